/* The table of targets, and what each does with its bytes. */
#include "targets.h"

#include <stdlib.h>
#include <string.h>

#include "package.h"

/* One line, whatever was in the file. */
static void check_error(convt_status status, const convt_error *err)
{
    if (status && (err->message[0] == '\0' || strpbrk(err->message, "\r\n"))) abort();
}

static void read_npy(const unsigned char *data, size_t size)
{
    convt_array array;
    convt_error err = {.status = CONVT_OK};
    check_error(convt_npy_decode(data, size, "fuzz", &array, &err), &err);
    convt_array_free(&array);
}

static void read_npz(const unsigned char *data, size_t size)
{
    convt_archive archive;
    convt_error err = {.status = CONVT_OK};
    check_error(convt_npz_decode(data, size, "fuzz", "config.json", &archive, &err), &err);
    convt_archive_free(&archive);
}

/* From a config to a spec, and back to JSON where it is one. */
static void finish_spec(convt_status status, convt_spec *spec, convt_error *err)
{
    char *json = NULL;
    check_error(status, err);
    if (status) return;
    check_error(convt_spec_json(spec, &json, err), err);
    free(json);
    convt_spec_free(spec);
}

static void read_config(const unsigned char *data, size_t size)
{
    convt_spec spec = {0};
    convt_error err = {.status = CONVT_OK};
    char *text = malloc(size + 1);
    if (!text) return;
    memcpy(text, data, size);
    text[size] = '\0';
    const convt_status status = convt_spec_parse(text, &spec, &err);
    free(text);
    finish_spec(status, &spec, &err);
}

static void read_model(const unsigned char *data, size_t size)
{
    convt_spec spec = {0};
    convt_error err = {.status = CONVT_OK};
    const convt_status status = convt_spec_decode(data, size, "fuzz", &spec, &err);
    finish_spec(status, &spec, &err);
}

/* Weights of a model that is known: its layers are those of the seeds. */
static void read_weights(const unsigned char *data, size_t size)
{
    static const char model[] =
        "{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", "
        "\"layers\": [{\"module\": \"keras.layers\", \"class_name\": \"InputLayer\", \"config\": "
        "{\"batch_shape\": [null, 2, 2, 1], \"dtype\": \"float32\", \"name\": \"x\"}}, "
        "{\"module\": \"keras.layers\", \"class_name\": \"Conv2DTranspose\", \"config\": "
        "{\"name\": \"up\", \"filters\": 2, \"kernel_size\": [2, 2]}}]}}";
    const convti_input input = convti_input_of_memory("fuzz", data, size);
    convti_items items = {0};
    convti_package package = {0};
    convt_error err = {.status = CONVT_OK};
    json_t *config = json_loads(model, 0, NULL);
    if (convti_items_read(config, &items, &err)) abort();
    check_error(convti_package_read(&input, &items, &package, &err), &err);
    convti_package_free(&package);
    convti_items_free(&items);
    json_decref(config);
}

const fuzz_target fuzz_targets[] = {
#define TARGET(name, run) {#name, run},
#include "targets.def"
};
const int fuzz_target_count = sizeof fuzz_targets / sizeof *fuzz_targets;
