/* The table of targets, and what each does with its bytes. */
#define _XOPEN_SOURCE 700 /* ftruncate, pwrite */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elements.h"
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

/* ---- some of the samples of a file -------------------------------------------------------------- */

/* The path of a file of these bytes, the same file every time. NULL: the system has no room for one. */
static const char *path_of(const unsigned char *data, size_t size)
{
    static char path[32];
    static FILE *file;
    if (!file && !(file = tmpfile())) return NULL;
    const int fd = fileno(file);
    /* Never cut to nothing: some file systems then write to the disk when it is closed. */
    if (pwrite(fd, data, size, 0) != (ssize_t)size || ftruncate(fd, (off_t)size)) return NULL;
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    return path;
}

/* Every eighth sample or some more: the last byte says which. */
static bool keeps(void *context, int64_t sample)
{
    return *(const unsigned char *)context >> (sample & 7) & 1;
}

/* Those that are kept must be those of the whole. */
static void check_kept(const convt_selection *selection, int64_t all, size_t bytes,
                       const char *whole, const char *some, int64_t kept)
{
    int64_t count = 0;
    for (int64_t i = 0; bytes > 0 && i < all; i++) {
        if (!keeps(selection->context, i)) continue;
        if (count == kept || memcmp(some + (size_t)count * bytes, whole + (size_t)i * bytes, bytes))
            abort();
        count++;
    }
    if (count != kept) abort();
}

static void read_samples(const unsigned char *data, size_t size)
{
    unsigned char pattern = size > 0 ? data[size - 1] : 0;
    const convt_selection selection = {keeps, &pattern};
    const char *path = path_of(data, size);
    convt_array whole, some;
    convt_error err = {.status = CONVT_OK};
    int64_t all;
    if (!path) return;
    const convt_status status = convt_npy_decode(data, size, "fuzz", &whole, &err),
                       again = convt_npy_read_some(path, &selection, &some, &all, &err);
    check_error(again, &err);
    if (!status != !again) abort();
    if (!status && whole.rank > 0)
        check_kept(&selection, all, all > 0 ? convti_array_bytes(&whole) / (size_t)all : 0,
                   whole.data, some.data, some.shape[0]);
    convt_array_free(&whole);
    convt_array_free(&some);
}

static void read_images(const unsigned char *data, size_t size)
{
    convt_images images;
    convt_error err = {.status = CONVT_OK};
    check_error(convt_images_decode(data, size, "fuzz", &images, &err), &err);
    convt_images_free(&images);
}

static void read_some_images(const unsigned char *data, size_t size)
{
    unsigned char pattern = size > 0 ? data[size - 1] : 0;
    const convt_selection selection = {keeps, &pattern};
    const char *path = path_of(data, size);
    const bool is_png = size > 0 && data[0] == 0x89; /* of files only as a folder's */
    convt_images whole, some;
    convt_error err = {.status = CONVT_OK};
    int64_t all;
    if (!path || is_png) return;
    const convt_status status = convt_images_decode(data, size, "fuzz", &whole, &err),
                       again = convt_images_read_some(path, &selection, &some, &all, &err);
    check_error(again, &err);
    if (!status != !again) abort();
    if (!status)
        check_kept(&selection, all,
                   (size_t)(whole.h * whole.w * whole.c) * convti_element_size(whole.element),
                   whole.data, some.data, some.count);
    convt_images_free(&whole);
    convt_images_free(&some);
}

/* ---- JSON ----------------------------------------------------------------------------------------- */

/* Zero-terminated, to be freed; NULL: no memory. */
static char *text_of(const unsigned char *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) return NULL;
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* What is read can be written, and is read as the same; its schedule has a rate at every step. */
static void check_sgd(const convt_sgd_config *sgd)
{
    static const int64_t steps[] = {0, 1, 7, 1000, INT64_MAX};
    convt_sgd_config again;
    char *one, *two;
    convt_error err = {.status = CONVT_OK};
    if (convt_sgd_write(sgd, &one, &err) || convt_sgd_parse(one, &again, &err) ||
        convt_sgd_write(&again, &two, &err) || strcmp(one, two) != 0)
        abort();
    free(one);
    free(two);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        (void)convt_schedule_rate(sgd, steps[i]);
}

static void read_sgd(const unsigned char *data, size_t size)
{
    convt_sgd_config sgd;
    convt_error err = {.status = CONVT_OK};
    char *text = text_of(data, size);
    if (!text) return;
    const convt_status status = convt_sgd_parse(text, &sgd, &err);
    free(text);
    check_error(status, &err);
    if (!status) check_sgd(&sgd);
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
    char *text = text_of(data, size);
    if (!text) return;
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
