/* Nodes, their attributes, and constants: see write.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "npy.h"
#include "status.h"
#include "write.h"

convt_status convti_onnx_refuse_layer(const convti_onnx_writer *w, const char *format, ...)
{
    char reason[140], message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    snprintf(message, sizeof message, "%.40s %.60s %s", w->item->class_name, w->item->name, reason);
    convti_make_printable(message);
    return convti_fail(w->err, CONVT_INVALID_ARGUMENT, w->file, "%s", message);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

convti_onnx_name convti_onnx_name_of(const convti_onnx_writer *w, const char *suffix)
{
    convti_onnx_name name;
    snprintf(name.text, sizeof name.text, "%.127s%s%.100s", w->item->name, suffix ? "/" : "",
             suffix ? suffix : "");
    return name;
}

void convti_onnx_begin_node(convti_onnx_writer *w, convti_onnx_name name, const char *op,
                            const char *const inputs[], int count)
{
    w->node = convti_message_begin(&w->graph);
    w->node_name = name;
    for (int i = 0; i < count; i++) convti_message_text(&w->graph, NODE_INPUT, inputs[i]);
    convti_message_text(&w->graph, NODE_OUTPUT, name.text);
    convti_message_text(&w->graph, NODE_NAME, name.text);
    convti_message_text(&w->graph, NODE_OP_TYPE, op);
}

void convti_onnx_end_node(convti_onnx_writer *w)
{
    convti_message_end(&w->graph, GRAPH_NODE, w->node);
    w->value = w->node_name;
}

static size_t begin_attribute(convti_onnx_writer *w, const char *name, uint64_t type)
{
    const size_t begin = convti_message_begin(&w->graph);
    convti_message_text(&w->graph, ATTRIBUTE_NAME, name);
    convti_message_varint(&w->graph, ATTRIBUTE_TYPE, type);
    return begin;
}

void convti_onnx_add_float(convti_onnx_writer *w, const char *name, double value)
{
    const size_t begin = begin_attribute(w, name, ATTRIBUTE_IS_FLOAT);
    convti_message_float(&w->graph, ATTRIBUTE_F, (float)value);
    convti_message_end(&w->graph, NODE_ATTRIBUTE, begin);
}

void convti_onnx_add_integer(convti_onnx_writer *w, const char *name, int64_t value)
{
    const size_t begin = begin_attribute(w, name, ATTRIBUTE_IS_INT);
    convti_message_varint(&w->graph, ATTRIBUTE_I, (uint64_t)value);
    convti_message_end(&w->graph, NODE_ATTRIBUTE, begin);
}

void convti_onnx_add_string(convti_onnx_writer *w, const char *name, const char *value)
{
    const size_t begin = begin_attribute(w, name, ATTRIBUTE_IS_STRING);
    convti_message_text(&w->graph, ATTRIBUTE_S, value);
    convti_message_end(&w->graph, NODE_ATTRIBUTE, begin);
}

void convti_onnx_add_integers(convti_onnx_writer *w, const char *name, const int64_t values[],
                              int count)
{
    const size_t begin = begin_attribute(w, name, ATTRIBUTE_IS_INTS);
    for (int i = 0; i < count; i++)
        convti_message_varint(&w->graph, ATTRIBUTE_INTS, (uint64_t)values[i]);
    convti_message_end(&w->graph, NODE_ATTRIBUTE, begin);
}

void convti_onnx_turn(convti_onnx_writer *w, bool turned)
{
    static const int64_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
    if (w->turned == turned) return;
    convti_onnx_begin_node(w, convti_onnx_name_of(w, turned ? "to_nchw" : "to_nhwc"), "Transpose",
                           (const char *[]){w->value.text}, 1);
    convti_onnx_add_integers(w, "perm", turned ? to_first : to_last, 4);
    convti_onnx_end_node(w);
    w->turned = turned;
}

/* ---- constants ------------------------------------------------------------------------------- */

/* A tensor up to its numbers, which are `size` bytes to be filled; NULL where there is no memory. */
static unsigned char *begin_tensor(convti_message *graph, const char *name, uint64_t type, int rank,
                                   const int64_t shape[], size_t size)
{
    for (int i = 0; i < rank; i++) convti_message_varint(graph, TENSOR_DIMS, (uint64_t)shape[i]);
    convti_message_varint(graph, TENSOR_DATA_TYPE, type);
    convti_message_text(graph, TENSOR_NAME, name);
    return convti_message_room(graph, TENSOR_RAW_DATA, size);
}

static void put_bits(unsigned char *bytes, uint64_t bits, size_t size)
{
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(bits >> (8 * i));
}

static void put_number(unsigned char *bytes, double value, convt_dtype dtype)
{
    const float single = (float)value;
    uint64_t bits = 0;
    uint32_t single_bits;
    memcpy(&bits, &value, sizeof bits);
    memcpy(&single_bits, &single, sizeof single_bits);
    if (dtype == CONVT_FLOAT64)
        put_bits(bytes, bits, 8);
    else
        put_bits(bytes, single_bits, 4);
}

static uint64_t type_of(convt_dtype dtype)
{
    return dtype == CONVT_FLOAT64 ? ONNX_DOUBLE : ONNX_FLOAT;
}

static size_t size_of(convt_dtype dtype)
{
    return dtype == CONVT_FLOAT64 ? 8 : 4;
}

void convti_onnx_put_integers(convti_onnx_writer *w, const char *name, const int64_t values[],
                              int count)
{
    const size_t begin = convti_message_begin(&w->graph);
    unsigned char *bytes =
        begin_tensor(&w->graph, name, ONNX_INT64, 1, (int64_t[]){count}, 8 * (size_t)count);
    for (int i = 0; i < count && bytes; i++) put_bits(bytes + 8 * i, (uint64_t)values[i], 8);
    convti_message_end(&w->graph, GRAPH_INITIALIZER, begin);
}

void convti_onnx_put_floats(convti_onnx_writer *w, const char *name, const float values[],
                            int count)
{
    const size_t begin = convti_message_begin(&w->graph);
    unsigned char *bytes =
        begin_tensor(&w->graph, name, ONNX_FLOAT, 1, (int64_t[]){count}, 4 * (size_t)count);
    for (int i = 0; i < count && bytes; i++)
        put_number(bytes + 4 * i, (double)values[i], CONVT_FLOAT32);
    convti_message_end(&w->graph, GRAPH_INITIALIZER, begin);
}

void convti_onnx_put_scalar(convti_onnx_writer *w, const char *name, double value)
{
    const convt_dtype dtype = w->items.dtype;
    const size_t begin = convti_message_begin(&w->graph);
    unsigned char *bytes = begin_tensor(&w->graph, name, type_of(dtype), 0, NULL, size_of(dtype));
    if (bytes) put_number(bytes, value, dtype);
    convti_message_end(&w->graph, GRAPH_INITIALIZER, begin);
}

void convti_onnx_put_filled(convti_onnx_writer *w, const char *name, int64_t count, double value)
{
    const convt_dtype dtype = w->items.dtype;
    const size_t begin = convti_message_begin(&w->graph);
    unsigned char *bytes =
        begin_tensor(&w->graph, name, type_of(dtype), 1, &count, (size_t)count * size_of(dtype));
    for (int64_t i = 0; i < count && bytes; i++)
        put_number(bytes + (size_t)i * size_of(dtype), value, dtype);
    convti_message_end(&w->graph, GRAPH_INITIALIZER, begin);
}

/* ---- weights --------------------------------------------------------------------------------- */

static double element_of(const convt_array *array, int64_t i)
{
    return array->element == CONVT_ELEMENT_F64 ? ((const double *)array->data)[i]
                                               : (double)((const float *)array->data)[i];
}

/* Element after element of the permuted array: `at` counts its positions, axis 0 slowest. */
static void put_permuted(unsigned char *bytes, const convt_array *array, const int64_t shape[],
                         const int axes[], convt_dtype dtype)
{
    int64_t strides[CONVT_MAX_RANK], at[CONVT_MAX_RANK] = {0}, stride = 1, from = 0;
    for (int i = array->rank - 1; i >= 0; stride *= array->shape[i--]) strides[i] = stride;
    for (int64_t i = 0, count = convt_array_count(array); i < count; i++, bytes += size_of(dtype)) {
        put_number(bytes, element_of(array, from), dtype);
        for (int k = array->rank - 1; k >= 0; k--) {
            from += strides[axes[k]];
            if (++at[k] < shape[k]) break;
            from -= at[k] * strides[axes[k]];
            at[k] = 0;
        }
    }
}

static convt_status find_weight(const convti_onnx_writer *w, const char *variable, int rank,
                                const int64_t sizes[], const convt_array **array)
{
    const convti_onnx_name name = convti_onnx_name_of(w, variable);
    *array = convt_archive_find(&w->package->weights, name.text);
    if (!*array)
        return convti_onnx_refuse_layer(w, "has no %s: an ONNX file needs the weights", variable);
    bool fits = (*array)->rank == rank;
    for (int i = 0; i < rank && fits; i++) fits = sizes[i] == 0 || sizes[i] == (*array)->shape[i];
    if (!fits || (*array)->element > CONVT_ELEMENT_F64)
        return convti_onnx_refuse_layer(w, "has a %s of another shape or type than its layer",
                                        variable);
    return CONVT_OK;
}

convt_status convti_onnx_put_weight(convti_onnx_writer *w, const char *variable, int rank,
                                    const int64_t sizes[], const int axes[])
{
    static const int as_they_are[] = {0, 1, 2, 3};
    const convti_onnx_name name = convti_onnx_name_of(w, variable);
    const convt_array *array;
    int64_t shape[CONVT_MAX_RANK];
    convt_status status = find_weight(w, variable, rank, sizes, &array);
    if (status) return status;
    if (!axes) axes = as_they_are;
    for (int i = 0; i < rank; i++) shape[i] = array->shape[axes[i]];
    const size_t begin = convti_message_begin(&w->graph),
                 size = (size_t)convt_array_count(array) * size_of(w->items.dtype);
    unsigned char *bytes =
        begin_tensor(&w->graph, name.text, type_of(w->items.dtype), rank, shape, size);
    if (bytes) put_permuted(bytes, array, shape, axes, w->items.dtype);
    convti_message_end(&w->graph, GRAPH_INITIALIZER, begin);
    return CONVT_OK;
}
