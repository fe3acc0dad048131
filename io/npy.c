/*
 * .npy: magic, version, a Python dict {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3),
 * }, then the elements. Elements become C-ordered float, double, uint8_t or int64_t of this
 * machine (elements.h).
 */
#include "npy.h"

#include <stdlib.h>
#include <string.h>

#include "selection.h"
#include "status.h"

static const char magic[] = "\x93NUMPY";

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { NATIVE_ORDER = '<' };
#else
enum { NATIVE_ORDER = '>' };
#endif

enum { LONGEST_HEADER = 1 << 20, PREFIX = 10 };

typedef struct header {
    char descr[16];
    char order; /* '<' or '>' */
    convti_type type;
    bool fortran;
    int rank;
    int64_t shape[CONVT_MAX_RANK];
    int64_t count;
} header;

/* ---- arrays ---------------------------------------------------------------------------------- */

void convt_array_free(convt_array *array)
{
    if (!array) return;
    free(array->data);
    *array = (convt_array){0};
}

int64_t convt_array_count(const convt_array *array)
{
    int64_t count = 1;
    for (int i = 0; i < array->rank; i++) count *= array->shape[i];
    return count;
}

convt_status convt_array_view(const convt_array *array, convt_view *view, convt_error *err)
{
    int64_t sizes[4] = {1, 1, 1, 1};
    *view = CONVT_NONE;
    if (array->element != CONVT_ELEMENT_F32 && array->element != CONVT_ELEMENT_F64)
        return convti_fail(err, CONVT_INVALID_SHAPE, array->name,
                           "holds integers where floats are needed");
    if (array->rank < 1 || array->rank > 4)
        return convti_fail(err, CONVT_INVALID_SHAPE, array->name,
                           "has rank %d where 1 to 4 is needed", array->rank);
    for (int i = 0; i < array->rank; i++) sizes[4 - array->rank + i] = array->shape[i];
    *view =
        (convt_view){.data = array->data,
                     .dtype = array->element == CONVT_ELEMENT_F32 ? CONVT_FLOAT32 : CONVT_FLOAT64,
                     .n = sizes[0],
                     .h = sizes[1],
                     .w = sizes[2],
                     .c = sizes[3]};
    return CONVT_OK;
}

convt_status convt_array_convert(convt_array *array, convt_dtype dtype, convt_error *err)
{
    convt_element wanted = dtype == CONVT_FLOAT32 ? CONVT_ELEMENT_F32 : CONVT_ELEMENT_F64;
    int64_t count = convt_array_count(array);
    size_t size = convti_element_size(wanted);
    if (array->element == wanted) return CONVT_OK;
    void *data = (uint64_t)count < SIZE_MAX / size ? malloc((size_t)count * size + 1) : NULL;
    if (!data) return convti_no_memory(err, array->name, (size_t)count * size);
    for (int64_t i = 0; i < count; i++) {
        if (wanted == CONVT_ELEMENT_F32)
            ((float *)data)[i] = (float)convti_array_number(array, i);
        else
            ((double *)data)[i] = convti_array_number(array, i);
    }
    free(array->data);
    array->data = data;
    array->element = wanted;
    return CONVT_OK;
}

/* ---- the header: just enough Python ---------------------------------------------------------- */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* The functions below return what follows, NULL where the text is something else. */
static const char *expect(const char *at, char c)
{
    at = skip_space(at);
    return *at == c ? at + 1 : NULL;
}

static const char *parse_string(const char *at, char *text, size_t room)
{
    at = skip_space(at);
    char quote = *at;
    if (quote != '\'' && quote != '"') return NULL;
    const char *end = strchr(at + 1, quote);
    if (!end || (size_t)(end - at) > room) return NULL;
    memcpy(text, at + 1, (size_t)(end - at - 1));
    text[end - at - 1] = '\0';
    return end + 1;
}

static const char *parse_flag(const char *at, bool *flag)
{
    at = skip_space(at);
    *flag = strncmp(at, "True", 4) == 0;
    return *flag ? at + 4 : strncmp(at, "False", 5) == 0 ? at + 5 : NULL;
}

/* A decimal number; Python 2 wrote an L behind long ones. */
static const char *parse_size(const char *at, int64_t *size)
{
    at = skip_space(at);
    if (*at < '0' || *at > '9') return NULL;
    for (*size = 0; *at >= '0' && *at <= '9'; at++) {
        if (*size > (INT64_MAX - 9) / 10) return NULL;
        *size = 10 * *size + (*at - '0');
    }
    return *at == 'L' ? at + 1 : at;
}

static const char *parse_shape(const char *at, header *h)
{
    const char *next = expect(at, '(');
    for (h->rank = 0; next && *skip_space(next) != ')'; h->rank++) {
        if (h->rank == CONVT_MAX_RANK) return NULL;
        at = parse_size(next, &h->shape[h->rank]);
        next = at ? expect(at, ',') : NULL;
        if (at && !next && *skip_space(at) == ')') next = at;
    }
    return next ? expect(next, ')') : NULL;
}

static const char *parse_entry(const char *at, header *h, unsigned *seen)
{
    char key[16];
    const char *next = parse_string(at, key, sizeof key);
    next = next ? expect(next, ':') : NULL;
    if (!next) return NULL;
    unsigned bit = strcmp(key, "descr") == 0           ? 1
                   : strcmp(key, "fortran_order") == 0 ? 2
                   : strcmp(key, "shape") == 0         ? 4
                                                       : 0;
    if (bit == 0 || (*seen & bit)) return NULL;
    *seen |= bit;
    return bit == 1   ? parse_string(next, h->descr, sizeof h->descr)
           : bit == 2 ? parse_flag(next, &h->fortran)
                      : parse_shape(next, h);
}

static bool parse_dict(const char *at, header *h)
{
    unsigned seen = 0;
    at = expect(at, '{');
    while (at && *skip_space(at) != '}') {
        const char *entry = parse_entry(at, h, &seen);
        at = entry ? expect(entry, ',') : NULL;
        if (entry && !at && *skip_space(entry) == '}') at = entry;
    }
    at = at ? expect(at, '}') : NULL;
    return at && *skip_space(at) == '\0' && seen == 7;
}

static const struct type {
    char name[3];
    convti_type type;
} types[] = {
    {"f2", {CONVTI_FLOAT, 2}},    {"f4", {CONVTI_FLOAT, 4}},    {"f8", {CONVTI_FLOAT, 8}},
    {"i1", {CONVTI_SIGNED, 1}},   {"i2", {CONVTI_SIGNED, 2}},   {"i4", {CONVTI_SIGNED, 4}},
    {"i8", {CONVTI_SIGNED, 8}},   {"u1", {CONVTI_UNSIGNED, 1}}, {"u2", {CONVTI_UNSIGNED, 2}},
    {"u4", {CONVTI_UNSIGNED, 4}}, {"u8", {CONVTI_UNSIGNED, 8}}, {"b1", {CONVTI_TRUTH, 1}},
};
enum { TYPES = sizeof types / sizeof *types };

/* "<f4", "|u1", ">i8", "=f8" */
static bool parse_descr(header *h)
{
    const char *at = h->descr;
    h->order = NATIVE_ORDER;
    if (*at && strchr("<>|=", *at)) {
        if (*at == '<' || *at == '>') h->order = *at;
        at++;
    }
    for (int i = 0; i < TYPES; i++) {
        if (strcmp(at, types[i].name) == 0) h->type = types[i].type;
    }
    return h->type.kind != CONVTI_NO_KIND;
}

static convt_status check_header(const convti_source *source, const char *text, header *h,
                                 convt_error *err)
{
    if (!parse_dict(text, h))
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "%shas no .npy header that can be understood: %.100s", source->label,
                           skip_space(text));
    if (!parse_descr(h))
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "%shas dtype '%s', not f2, f4, f8, b1 or an integer type", source->label,
                           h->descr);
    if (!convti_count_elements(h->rank, h->shape, &h->count))
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "%shas a shape of more elements than can be counted", source->label);
    return CONVT_OK;
}

static convt_status read_header(convti_source *source, header *h, convt_error *err)
{
    unsigned char prefix[12];
    convt_status status = convti_source_fill(source, prefix, PREFIX, err);
    if (status) return status;
    if (memcmp(prefix, magic, 6) != 0)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name, "%sis not in .npy format",
                           source->label);
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "%sis in .npy format %d.%d, not 1.0, 2.0 or 3.0", source->label,
                           prefix[6], prefix[7]);
    uint32_t length = prefix[8] | (uint32_t)prefix[9] << 8;
    if (prefix[6] > 1) {
        status = convti_source_fill(source, prefix + PREFIX, 2, err);
        if (status) return status;
        length |= (uint32_t)prefix[10] << 16 | (uint32_t)prefix[11] << 24;
    }
    if (length > LONGEST_HEADER)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name, "%shas a header of %u bytes",
                           source->label, length);
    void *text;
    status = convti_source_take(source, length, &text, err);
    if (status) return status;
    convti_make_printable(text);
    status = check_header(source, text, h, err);
    free(text);
    return status;
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Walks the result in C order and keeps the offset in the source, whose first axis is the fast
 * one. */
static convt_status transpose(const convti_source *source, const header *h, convt_array *array,
                              convt_error *err)
{
    int64_t index[CONVT_MAX_RANK] = {0}, stride[CONVT_MAX_RANK] = {1}, from = 0;
    size_t size = convti_element_size(array->element);
    char *data = malloc((size_t)h->count * size + 1);
    if (!data) return convti_no_memory(err, source->name, (size_t)h->count * size);
    for (int i = 1; i < h->rank; i++) stride[i] = stride[i - 1] * h->shape[i - 1];
    for (int64_t to = 0; to < h->count; to++) {
        memcpy(data + (size_t)to * size, (const char *)array->data + (size_t)from * size, size);
        int axis = h->rank - 1;
        for (; axis >= 0 && ++index[axis] == h->shape[axis]; axis--) {
            from -= stride[axis] * (h->shape[axis] - 1);
            index[axis] = 0;
        }
        if (axis >= 0) from += stride[axis];
    }
    free(array->data);
    array->data = data;
    return CONVT_OK;
}

/* Data of the samples that are kept, of which there are array->shape[0] then. A number alone is none. */
static convt_status take_data(convti_source *source, const header *h,
                              const convt_selection *selection, convt_array *array,
                              convt_error *err)
{
    const int64_t samples = h->rank > 0 ? h->shape[0] : 1, each = samples ? h->count / samples : 0;
    int64_t kept;
    convt_status status = convti_source_take_kept(source, h->rank > 0 ? selection : NULL, samples,
                                                  (uint64_t)each * (uint64_t)h->type.width,
                                                  &array->data, &kept, err);
    if (!status && h->rank > 0) array->shape[0] = kept;
    if (!status) status = convti_source_end(source, err);
    if (!status)
        status = convti_elements_convert(source, array, kept * each, h->type, h->order == '<', err);
    return status;
}

/* Samples of a transposed array lie in pieces all over it. */
static convt_status take_transposed(convti_source *source, const header *h,
                                    const convt_selection *selection, convt_array *array,
                                    convt_error *err)
{
    convt_status status = take_data(source, h, NULL, array, err);
    if (!status) status = transpose(source, h, array, err);
    if (status || !selection) return status;
    const size_t each = (size_t)(h->shape[0] ? h->count / h->shape[0] : 0);
    array->shape[0] = convti_keep(selection, h->shape[0],
                                  each * convti_element_size(array->element), array->data);
    return CONVT_OK;
}

convt_status convti_npy_take_some(convti_source *source, const convt_selection *selection,
                                  convt_array *array, int64_t *all, convt_error *err)
{
    header h = {0};
    convt_status status = read_header(source, &h, err);
    if (status) return status;
    array->rank = h.rank;
    memcpy(array->shape, h.shape, sizeof h.shape);
    *all = h.rank > 0 ? h.shape[0] : 1;
    status = h.fortran && h.rank > 1 ? take_transposed(source, &h, selection, array, err)
                                     : take_data(source, &h, selection, array, err);
    if (status) convt_array_free(array);
    return status;
}

convt_status convti_npy_take(convti_source *source, convt_array *array, convt_error *err)
{
    int64_t all;
    return convti_npy_take_some(source, NULL, array, &all, err);
}

convt_status convt_npy_read_some(const char *path, const convt_selection *selection,
                                 convt_array *array, int64_t *all, convt_error *err)
{
    convti_input input;
    *array = (convt_array){0};
    convt_status status = convti_input_open(&input, path, err);
    convti_source source = convti_source_of_input(&input, 0, status ? 0 : input.size);
    if (!status) status = convti_npy_take_some(&source, selection, array, all, err);
    convti_input_close(&input);
    return status;
}

convt_status convt_npy_read(const char *path, convt_array *array, convt_error *err)
{
    int64_t all;
    return convt_npy_read_some(path, NULL, array, &all, err);
}

convt_status convt_npy_decode(const void *data, size_t size, const char *name, convt_array *array,
                              convt_error *err)
{
    const convti_input input = convti_input_of_memory(name, data, size);
    convti_source source = convti_source_of_input(&input, 0, input.size);
    *array = (convt_array){0};
    return convti_npy_take(&source, array, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

convt_status convti_npy_header(const convt_array *array, char header_text[CONVTI_NPY_HEADER],
                               size_t *size, convt_error *err)
{
    static const char *const names[] = {[CONVT_ELEMENT_F32] = "f4",
                                        [CONVT_ELEMENT_F64] = "f8",
                                        [CONVT_ELEMENT_U8] = "u1",
                                        [CONVT_ELEMENT_I64] = "i8"};
    char order = array->element == CONVT_ELEMENT_U8 ? '|' : (char)NATIVE_ORDER;
    if (array->rank < 0 || array->rank > CONVT_MAX_RANK)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, array->name, "has rank %d, not 0 to %d",
                           array->rank, CONVT_MAX_RANK);
    int length = PREFIX + snprintf(header_text + PREFIX, CONVTI_NPY_HEADER - PREFIX,
                                   "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order,
                                   names[array->element]);
    for (int i = 0; i < array->rank; i++)
        length += snprintf(header_text + length, (size_t)(CONVTI_NPY_HEADER - length), "%s%lld",
                           i ? ", " : "", (long long)array->shape[i]);
    length += snprintf(header_text + length, (size_t)(CONVTI_NPY_HEADER - length), "%s), }",
                       array->rank == 1 ? "," : "");
    /* numpy aligns the data to 64 bytes; the header ends with a newline. */
    int end = (length + 1 + 63) / 64 * 64;
    memset(header_text + length, ' ', (size_t)(end - length));
    header_text[end - 1] = '\n';
    memcpy(header_text, magic, 6);
    header_text[6] = 1;
    header_text[7] = 0;
    header_text[8] = (char)((end - PREFIX) & 0xFF);
    header_text[9] = (char)((end - PREFIX) >> 8);
    *size = (size_t)end;
    return CONVT_OK;
}

convt_status convt_npy_write(const char *path, const convt_array *array, convt_error *err)
{
    char text[CONVTI_NPY_HEADER];
    size_t size = 0;
    convti_output out;
    convt_status status = convti_npy_header(array, text, &size, err);
    if (status) return status;
    status = convti_output_open(&out, path, err);
    if (!status) status = convti_output_write(&out, text, size, err);
    if (!status) status = convti_output_write(&out, array->data, convti_array_bytes(array), err);
    return convti_output_close(&out, status, err);
}

convt_status convt_npy_encode(const convt_array *array, void **data, size_t *size, convt_error *err)
{
    char text[CONVTI_NPY_HEADER];
    size_t header_size = 0;
    *data = NULL;
    *size = 0;
    convt_status status = convti_npy_header(array, text, &header_size, err);
    if (status) return status;
    const size_t bytes = convti_array_bytes(array);
    char *whole = bytes < SIZE_MAX - header_size ? malloc(header_size + bytes) : NULL;
    if (!whole) return convti_no_memory(err, array->name, bytes);
    memcpy(whole, text, header_size);
    if (bytes > 0) memcpy(whole + header_size, array->data, bytes);
    *data = whole;
    *size = header_size + bytes;
    return CONVT_OK;
}
