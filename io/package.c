/*
 * The table of formats: who recognizes, reads and writes which. A format that was left out of the
 * build keeps its row, so that its files are known by name.
 */
#include "package.h"

#include <string.h>

#include "status.h"
#include "zip_archive.h"

/* What a row needs, as a macro that leaves its functions in or takes them out. */
#define CONVT_IO(function) function
#ifdef CONVTI_WITH_HDF5
#define CONVT_WITH_HDF5(function) function
#else
#define CONVT_WITH_HDF5(function) NULL
#endif
#ifdef CONVTI_WITH_SAFETENSORS
#define CONVT_WITH_SAFETENSORS(function) function
#else
#define CONVT_WITH_SAFETENSORS(function) NULL
#endif
#ifdef CONVTI_WITH_ONNX
#define CONVT_WITH_ONNX(function) function
#else
#define CONVT_WITH_ONNX(function) NULL
#endif

static const struct row {
    const char *suffix, *needs;
    bool has_config;
    convti_format_read *read; /* NULL: not built */
    convti_format_write *write;
} rows[] = {
#define FORMAT(enumerator, number, suffix, what, needs, config, read, write) \
    [number] = {suffix, #needs, config, needs(read), needs(write)},
#include "convt/formats.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

convt_format convt_format_of(const char *path)
{
    const size_t length = strlen(path);
    for (int i = 1; i < ROWS; i++) {
        const size_t end = strlen(rows[i].suffix);
        if (length > end && strcmp(path + length - end, rows[i].suffix) == 0)
            return (convt_format)i;
    }
    return CONVT_NO_FORMAT;
}

bool convt_format_is_built(convt_format format)
{
    return (size_t)format < ROWS && rows[format].read;
}

/* ---- by content ------------------------------------------------------------------------------ */

static bool starts_with(const unsigned char *start, size_t size, const char *magic, size_t length)
{
    return size >= length && memcmp(start, magic, length) == 0;
}

/* The length of its JSON header, then the header. */
static bool is_safetensors(const unsigned char *start, size_t size, uint64_t whole)
{
    uint64_t header = 0;
    for (int i = 0; i < 8 && size >= 9; i++) header |= (uint64_t)start[i] << (8 * i);
    return size >= 9 && whole >= 8 && header <= whole - 8 && start[8] == '{';
}

/* A message that begins with its field 1, a small number: ir_version. */
static bool is_onnx(const unsigned char *start, size_t size)
{
    return size >= 3 && start[0] == 0x08 && start[1] > 0 && start[1] < 0x80;
}

/* The first character that is no space. */
static bool is_json(const unsigned char *start, size_t size)
{
    size_t i = starts_with(start, size, "\xEF\xBB\xBF", 3) ? 3 : 0;
    while (i < size && strchr(" \t\r\n", start[i]) && start[i]) i++;
    return i < size && (start[i] == '{' || start[i] == '[');
}

convt_format convti_format_recognize(const convti_input *input)
{
    unsigned char start[64];
    convt_error ignored;
    const size_t size = input->size < sizeof start ? (size_t)input->size : sizeof start;
    if (convti_input_read(input, 0, start, size, &ignored)) return CONVT_NO_FORMAT;
    if (starts_with(start, size, "PK\x03\x04", 4))
        return convti_zip_has_member(input, "model.weights.h5") ? CONVT_FORMAT_KERAS
                                                                : CONVT_FORMAT_NPZ;
    if (starts_with(start, size, "\x89HDF\r\n\x1a\n", 8)) return CONVT_FORMAT_WEIGHTS_H5;
    if (is_safetensors(start, size, input->size)) return CONVT_FORMAT_SAFETENSORS;
    if (is_json(start, size)) return CONVT_FORMAT_JSON;
    return is_onnx(start, size) ? CONVT_FORMAT_ONNX : CONVT_NO_FORMAT;
}

/* ---- packages -------------------------------------------------------------------------------- */

void convti_package_free(convti_package *package)
{
    if (!package) return;
    json_decref(package->config);
    convt_archive_free(&package->weights);
    *package = (convti_package){0};
}

static convt_status not_built(const struct row *row, const char *name, convt_error *err)
{
    return convti_fail(err, CONVT_BAD_FORMAT, name, "is a %s file: this build was made with %s=OFF",
                       row->suffix, row->needs);
}

convt_status convti_package_read(const convti_input *input, const convti_items *layers,
                                 convti_package *package, convt_error *err)
{
    const convt_format format = convti_format_recognize(input);
    const struct row *row = &rows[format];
    *package = (convti_package){0};
    if (format == CONVT_NO_FORMAT)
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "is no model: neither JSON nor any format of models");
    if (!row->read) return not_built(row, input->name, err);
    if (!row->has_config && !layers)
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "holds weights alone: the layers must come from a model");
    return row->read(input, layers, package, err);
}

convt_status convti_package_write(const convti_package *package, convt_format format,
                                  const char *name, convti_bytes *bytes, convt_error *err)
{
    const struct row *row = (size_t)format < ROWS ? &rows[format] : &rows[0];
    *bytes = (convti_bytes){0};
    if (row->suffix && !row->write) return not_built(row, name, err);
    if (!row->suffix)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, name,
                           "has no suffix of a format of models");
    return row->write(package, name, bytes, err);
}
