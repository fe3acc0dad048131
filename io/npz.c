/*
 * .npz: a zip archive of .npy members, as numpy writes them. Members are read in pieces: neither
 * the sizes of the archive's directory nor the shapes of the arrays are believed before that
 * many bytes have arrived. A model is an archive with config.json, its Keras JSON, inside.
 */
#include "npz.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "npy.h"
#include "package.h"
#include "status.h"
#include "zip_archive.h"

static const char suffix[] = ".npy", config_member[] = "config.json";

/* ---- reading --------------------------------------------------------------------------------- */

/* The length of an array's name; 0 where the member is no array. */
static size_t array_name_length(const char *member)
{
    size_t length = strlen(member);
    return length >= 5 && strcmp(member + length - 4, suffix) == 0 ? length - 4 : 0;
}

static convt_status read_array(convti_zip *zip, int64_t index, convt_array *array, convt_error *err)
{
    const char *name = convti_zip_name(zip, index);
    const size_t length = array_name_length(name);
    convti_zip_member member;
    *array = (convt_array){0};
    if (length >= sizeof array->name)
        return convti_fail(err, CONVT_BAD_FORMAT, zip->input->name,
                           "%.100s... has a name of %zu bytes, more than %zu", name, length,
                           sizeof array->name - 1);
    convt_status status = convti_zip_open_member(zip, index, &member, err);
    if (status) return status;
    status = convti_npy_take(&member.source, array, err);
    convti_zip_close_member(&member);
    if (!status) memcpy(array->name, name, length); /* npy_take leaves the name zeroed */
    return status;
}

static convt_status read_arrays(convti_zip *zip, convt_archive *result, convt_error *err)
{
    const int64_t members = convti_zip_count(zip);
    size_t count = 0;
    for (int64_t i = 0; i < members; i++) count += array_name_length(convti_zip_name(zip, i)) > 0;
    if (count == 0) return CONVT_OK;
    result->arrays = count < INT32_MAX ? calloc(count, sizeof *result->arrays) : NULL;
    if (!result->arrays)
        return convti_no_memory(err, zip->input->name, count * sizeof *result->arrays);
    convt_status status = CONVT_OK;
    for (int64_t i = 0; i < members && !status; i++) {
        if (array_name_length(convti_zip_name(zip, i)) == 0) continue;
        status = read_array(zip, i, &result->arrays[result->count], err);
        result->count += !status;
    }
    return status;
}

convt_status convti_npz_read(const convti_input *input, const char *text_name,
                             convt_archive *archive, convt_error *err)
{
    convti_zip zip;
    *archive = (convt_archive){0};
    convt_status status = convti_zip_open(&zip, input, err);
    if (status) return status;
    const int64_t text = text_name ? convti_zip_find(&zip, text_name) : -1;
    if (text >= 0) status = convti_zip_take_text(&zip, text, &archive->text, err);
    if (!status) status = read_arrays(&zip, archive, err);
    convti_zip_close(&zip);
    if (status) convt_archive_free(archive);
    return status;
}

convt_status convt_npz_read(const char *path, const char *text_name, convt_archive *archive,
                            convt_error *err)
{
    convti_input input;
    *archive = (convt_archive){0};
    convt_status status = convti_input_open(&input, path, err);
    if (!status) status = convti_npz_read(&input, text_name, archive, err);
    convti_input_close(&input);
    return status;
}

convt_status convt_npz_decode(const void *data, size_t size, const char *name,
                              const char *text_name, convt_archive *archive, convt_error *err)
{
    const convti_input input = convti_input_of_memory(name, data, size);
    return convti_npz_read(&input, text_name, archive, err);
}

/* The index of the array to read, or -1; *arrays counts them all. */
static int64_t choose(const convti_zip *zip, const char *const names[], int *arrays)
{
    const int64_t members = convti_zip_count(zip);
    int64_t last = -1;
    *arrays = 0;
    for (int64_t i = 0; i < members; i++) {
        if (array_name_length(convti_zip_name(zip, i)) == 0) continue;
        ++*arrays;
        last = i;
    }
    for (int i = 0; names[i]; i++) {
        char member[64];
        snprintf(member, sizeof member, "%s%s", names[i], suffix);
        const int64_t found = convti_zip_find(zip, member);
        if (found >= 0) return found;
    }
    return *arrays == 1 ? last : -1;
}

convt_status convti_npz_read_one(const convti_input *input, const char *const names[],
                                 convt_array *array, convt_error *err)
{
    convti_zip zip;
    int arrays;
    *array = (convt_array){0};
    convt_status status = convti_zip_open(&zip, input, err);
    if (status) return status;
    const int64_t index = choose(&zip, names, &arrays);
    if (index >= 0)
        status = read_array(&zip, index, array, err);
    else
        status = convti_fail(err, CONVT_BAD_FORMAT, input->name,
                             "holds %d arrays, none of them called %s", arrays, names[0]);
    convti_zip_close(&zip);
    return status;
}

const convt_array *convt_archive_find(const convt_archive *archive, const char *name)
{
    for (int i = 0; i < archive->count; i++) {
        if (strcmp(archive->arrays[i].name, name) == 0) return &archive->arrays[i];
    }
    return NULL;
}

void convt_archive_free(convt_archive *archive)
{
    if (!archive) return;
    for (int i = 0; i < archive->count; i++) convt_array_free(&archive->arrays[i]);
    free(archive->arrays);
    free(archive->text);
    *archive = (convt_archive){0};
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What becomes an archive, with one header per array in memory that outlives it. */
typedef struct content {
    const convt_array *arrays;
    int count;
    const char *text_name, *text;
    char *headers;
} content;

static convt_status prepare(content *c, const char *name, convt_error *err)
{
    if (c->count < 0 || (c->count == 0 && !c->text))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "count",
                           "%d arrays and no text make no archive", c->count);
    const size_t size = (size_t)c->count * CONVTI_NPY_HEADER;
    c->headers = malloc(size + 1);
    return c->headers ? CONVT_OK : convti_no_memory(err, name, size);
}

static convt_status add_array(convti_zip_writer *writer, const convt_array *array, char *header,
                              convt_error *err)
{
    char member[sizeof array->name + sizeof suffix];
    size_t size;
    const convt_status status = convti_npy_header(array, header, &size, err);
    if (status) return status;
    snprintf(member, sizeof member, "%s%s", array->name, suffix);
    return convti_zip_add_two(writer, member, header, size, array->data, convti_array_bytes(array),
                              err);
}

static convt_status add_all(convti_zip_writer *writer, const content *c, convt_error *err)
{
    convt_status status = CONVT_OK;
    if (c->text) status = convti_zip_add(writer, c->text_name, c->text, strlen(c->text), err);
    for (int i = 0; i < c->count && !status; i++)
        status = add_array(writer, &c->arrays[i], c->headers + (size_t)i * CONVTI_NPY_HEADER, err);
    return status;
}

convt_status convt_npz_write(const char *path, const convt_array arrays[], int count,
                             const char *text_name, const char *text, convt_error *err)
{
    content c = {arrays, count, text_name, text, NULL};
    convti_output out;
    convti_zip_writer writer;
    void *nothing;
    size_t none;
    convt_status status = prepare(&c, convti_base_name(path), err);
    if (status) return status;
    status = convti_output_open(&out, path, err);
    if (!status) {
        convti_output_hand_over(&out);
        status = convti_zip_create_file(&writer, out.temporary, convti_base_name(path), err);
        if (!status) status = add_all(&writer, &c, err);
        status = convti_zip_finish(&writer, status, &nothing, &none, err);
    }
    free(c.headers);
    return convti_output_close(&out, status, err);
}

static convt_status encode(content *c, const char *name, void **data, size_t *size,
                           convt_error *err)
{
    convti_zip_writer writer;
    *data = NULL;
    *size = 0;
    convt_status status = prepare(c, name, err);
    if (status) return status;
    status = convti_zip_create(&writer, name, err);
    if (!status) status = add_all(&writer, c, err);
    status = convti_zip_finish(&writer, status, data, size, err);
    free(c->headers);
    return status;
}

convt_status convt_npz_encode(const convt_array arrays[], int count, const char *text_name,
                              const char *text, void **data, size_t *size, convt_error *err)
{
    content c = {arrays, count, text_name, text, NULL};
    return encode(&c, ".npz", data, size, err);
}

/* ---- packages -------------------------------------------------------------------------------- */

convt_status convti_npz_package_read(const convti_input *input, const convti_items *layers,
                                     convti_package *package, convt_error *err)
{
    convt_archive archive;
    *package = (convti_package){0};
    convt_status status = convti_npz_read(input, config_member, &archive, err);
    if (status) return status;
    if (archive.text)
        status = convti_json_parse(archive.text, input->name, &package->config, err);
    else if (!layers)
        status = convti_fail(err, CONVT_BAD_FORMAT, input->name, "has no member %s", config_member);
    if (status) {
        convt_archive_free(&archive);
        return status;
    }
    free(archive.text);
    archive.text = NULL;
    package->weights = archive;
    return CONVT_OK;
}

convt_status convti_npz_package_write(const convti_package *package, const char *name,
                                      convti_bytes *bytes, convt_error *err)
{
    char *text = package->config ? convti_json_text(package->config) : NULL;
    if (package->config && !text)
        return convti_fail(err, CONVT_NO_MEMORY, name, "needs memory that is not to be had");
    content c = {package->weights.arrays, package->weights.count, config_member, text, NULL};
    const convt_status status = encode(&c, name, &bytes->data, &bytes->size, err);
    free(text);
    return status;
}
