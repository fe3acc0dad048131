/*
 * .npz: a zip archive of .npy members, as numpy writes them. Members are read in pieces: neither
 * the sizes of the archive's directory nor the shapes of the arrays are believed before that
 * many bytes have arrived.
 */
#include "npz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "file.h"
#include "npy.h"
#include "status.h"

static const char suffix[] = ".npy";

/* ---- the archive ----------------------------------------------------------------------------- */

static convt_status zip_failed(convt_error *err, const char *name, const char *label,
                               const char *what, zip_error_t *error)
{
    convt_status status = CONVT_BAD_FORMAT;
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        status = CONVT_NO_MEMORY;
    else if (zip_error_system_type(error) == ZIP_ET_SYS)
        status = CONVT_FILE_FAILED;
    return convti_fail(err, status, name, "%scannot be %s: %s", label, what,
                       zip_error_strerror(error));
}

static convt_status open_archive(const char *path, zip_t **archive, convt_error *err)
{
    int code = 0;
    *archive = NULL;
    FILE *file = fopen(path, "rbe"); /* for errno, which libzip does not always tell */
    if (!file) return convti_file_failed(err, path, "opened");
    fclose(file);
    *archive = zip_open(path, ZIP_RDONLY, &code);
    if (*archive) return CONVT_OK;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    convt_status status = zip_failed(err, convti_base_name(path), "", "read", &error);
    zip_error_fini(&error);
    return status;
}

static convt_status read_member(convti_source *source, void *data, size_t size, size_t *got,
                                convt_error *err)
{
    zip_int64_t count = zip_fread(source->handle, data, size);
    if (count < 0)
        return zip_failed(err, source->name, source->label, "read",
                          zip_file_get_error(source->handle));
    *got = (size_t)count;
    return CONVT_OK;
}

/* A member opened for reading; close with zip_fclose(source->handle). */
static convt_status open_member(zip_t *archive, zip_uint64_t index, const char *path,
                                char label[160], convti_source *source, convt_error *err)
{
    const char *member = zip_get_name(archive, index, 0);
    snprintf(label, 160, "%.150s ", member ? member : "?");
    convti_make_printable(label);
    *source = (convti_source){
        .name = convti_base_name(path), .label = label, .read = read_member, .remaining = -1};
    source->handle = zip_fopen_index(archive, index, 0);
    return source->handle ? CONVT_OK
                          : zip_failed(err, source->name, label, "read", zip_get_error(archive));
}

/* The length of an array's name; 0 where the member is no array. */
static size_t array_name_length(const char *member)
{
    size_t length = member ? strlen(member) : 0;
    return length >= 5 && strcmp(member + length - 4, suffix) == 0 ? length - 4 : 0;
}

static convt_status read_array(zip_t *archive, zip_uint64_t index, const char *path,
                               convt_array *array, convt_error *err)
{
    const char *member = zip_get_name(archive, index, 0);
    size_t length = array_name_length(member);
    char label[160];
    convti_source source;
    *array = (convt_array){0};
    if (length >= sizeof array->name)
        return convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path),
                           "%.100s... has a name of %zu bytes, more than %zu", member, length,
                           sizeof array->name - 1);
    convt_status status = open_member(archive, index, path, label, &source, err);
    if (status) return status;
    status = convti_npy_take(&source, array, err);
    zip_fclose(source.handle);
    if (!status) memcpy(array->name, member, length); /* npy_take leaves the name zeroed */
    return status;
}

static convt_status read_text(zip_t *archive, zip_uint64_t index, const char *path, char **text,
                              convt_error *err)
{
    char label[160];
    convti_source source;
    void *data = NULL;
    size_t size = 0;
    convt_status status = open_member(archive, index, path, label, &source, err);
    if (status) return status;
    status = convti_source_take_all(&source, &data, &size, err);
    zip_fclose(source.handle);
    if (!status && memchr(data, '\0', size)) {
        free(data);
        return convti_fail(err, CONVT_BAD_FORMAT, source.name, "%sis no text: it holds a zero byte",
                           label);
    }
    *text = data;
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static convt_status read_arrays(zip_t *archive, const char *path, convt_archive *result,
                                convt_error *err)
{
    zip_int64_t members = zip_get_num_entries(archive, 0);
    size_t count = 0;
    for (zip_int64_t i = 0; i < members; i++)
        count += array_name_length(zip_get_name(archive, (zip_uint64_t)i, 0)) > 0;
    if (count == 0) return CONVT_OK;
    result->arrays = count < INT32_MAX ? calloc(count, sizeof *result->arrays) : NULL;
    if (!result->arrays)
        return convti_no_memory(err, convti_base_name(path), count * sizeof *result->arrays);
    convt_status status = CONVT_OK;
    for (zip_int64_t i = 0; i < members && !status; i++) {
        if (array_name_length(zip_get_name(archive, (zip_uint64_t)i, 0)) == 0) continue;
        status = read_array(archive, (zip_uint64_t)i, path, &result->arrays[result->count], err);
        result->count += !status;
    }
    return status;
}

convt_status convt_npz_read(const char *path, const char *text_name, convt_archive *archive,
                            convt_error *err)
{
    zip_t *zip;
    *archive = (convt_archive){0};
    convt_status status = open_archive(path, &zip, err);
    if (status) return status;
    zip_int64_t text = text_name ? zip_name_locate(zip, text_name, 0) : -1;
    if (text >= 0) status = read_text(zip, (zip_uint64_t)text, path, &archive->text, err);
    if (!status) status = read_arrays(zip, path, archive, err);
    zip_discard(zip);
    if (status) convt_archive_free(archive);
    return status;
}

/* The index of the array to read, or -1; *arrays counts them all. */
static zip_int64_t choose(zip_t *archive, const char *const names[], int *arrays)
{
    zip_int64_t members = zip_get_num_entries(archive, 0), last = -1;
    *arrays = 0;
    for (zip_int64_t i = 0; i < members; i++) {
        if (array_name_length(zip_get_name(archive, (zip_uint64_t)i, 0)) == 0) continue;
        ++*arrays;
        last = i;
    }
    for (int i = 0; names[i]; i++) {
        char member[64];
        snprintf(member, sizeof member, "%s%s", names[i], suffix);
        zip_int64_t found = zip_name_locate(archive, member, 0);
        if (found >= 0) return found;
    }
    return *arrays == 1 ? last : -1;
}

convt_status convti_npz_read_one(const char *path, const char *const names[], convt_array *array,
                                 convt_error *err)
{
    zip_t *zip;
    int arrays;
    *array = (convt_array){0};
    convt_status status = open_archive(path, &zip, err);
    if (status) return status;
    zip_int64_t index = choose(zip, names, &arrays);
    if (index >= 0)
        status = read_array(zip, (zip_uint64_t)index, path, array, err);
    else
        status = convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path),
                             "holds %d arrays, none of them called %s", arrays, names[0]);
    zip_discard(zip);
    return status;
}

bool convti_npz_has_member(const char *path, const char *member)
{
    zip_t *zip;
    convt_error ignored;
    if (open_archive(path, &zip, &ignored)) return false;
    bool found = zip_name_locate(zip, member, 0) >= 0;
    zip_discard(zip);
    return found;
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

/* Stored, and dated as numpy dates its members, so that equal content gives equal files. */
static bool add_member(zip_t *archive, const char *member, zip_source_t *source)
{
    enum { FIRST_OF_1980 = 1 << 5 | 1 };
    if (!source) return false;
    zip_int64_t index = zip_file_add(archive, member, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    return zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(archive, (zip_uint64_t)index, 0, FIRST_OF_1980, 0) == 0;
}

/* Nothing is copied: header and data must stay until the archive is closed. */
static convt_status add_array(zip_t *archive, const convt_array *array,
                              char header[CONVTI_NPY_HEADER], const char *path, convt_error *err)
{
    char member[sizeof array->name + sizeof suffix];
    size_t header_size;
    convt_status status = convti_npy_header(array, header, &header_size, err);
    if (status) return status;
    zip_buffer_fragment_t parts[2] = {{.data = (zip_uint8_t *)header, .length = header_size},
                                      {.data = array->data, .length = convti_array_bytes(array)}};
    snprintf(member, sizeof member, "%s%s", array->name, suffix);
    if (!add_member(archive, member,
                    zip_source_buffer_fragment(archive, parts, parts[1].length > 0 ? 2 : 1, 0)))
        return zip_failed(err, convti_base_name(path), "", "written", zip_get_error(archive));
    return CONVT_OK;
}

/* One header per array, in memory that outlives the archive. */
static convt_status fill_archive(zip_t *archive, const char *path, const convt_array arrays[],
                                 int count, char *headers, const char *text_name, const char *text,
                                 convt_error *err)
{
    if (text && !add_member(archive, text_name, zip_source_buffer(archive, text, strlen(text), 0)))
        return zip_failed(err, convti_base_name(path), "", "written", zip_get_error(archive));
    convt_status status = CONVT_OK;
    for (int i = 0; i < count && !status; i++)
        status = add_array(archive, &arrays[i], headers + (size_t)i * CONVTI_NPY_HEADER, path, err);
    return status;
}

static convt_status write_archive(const char *temporary, const char *path,
                                  const convt_array arrays[], int count, char *headers,
                                  const char *text_name, const char *text, convt_error *err)
{
    int code = 0;
    zip_t *archive = zip_open(temporary, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!archive) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        convt_status status = zip_failed(err, convti_base_name(path), "", "written", &error);
        zip_error_fini(&error);
        return status;
    }
    convt_status status = fill_archive(archive, path, arrays, count, headers, text_name, text, err);
    if (!status && zip_close(archive) == 0) return CONVT_OK;
    if (!status)
        status = zip_failed(err, convti_base_name(path), "", "written", zip_get_error(archive));
    zip_discard(archive);
    return status;
}

convt_status convt_npz_write(const char *path, const convt_array arrays[], int count,
                             const char *text_name, const char *text, convt_error *err)
{
    convti_output out;
    if (count < 0 || (count == 0 && !text))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "count",
                           "%d arrays and no text make no archive", count);
    char *headers = malloc((size_t)count * CONVTI_NPY_HEADER + 1);
    if (!headers)
        return convti_no_memory(err, convti_base_name(path), (size_t)count * CONVTI_NPY_HEADER);
    convt_status status = convti_output_open(&out, path, err);
    if (!status) {
        convti_output_hand_over(&out);
        status = write_archive(out.temporary, path, arrays, count, headers, text_name, text, err);
    }
    free(headers);
    return convti_output_close(&out, status, err);
}
