/* Constants of an ONNX file: integers of shapes, and weights in any of four real types. */
#include <string.h>

#include "graph.h"

static uint64_t bits_at(const unsigned char *at, size_t size)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++) bits |= (uint64_t)at[i] << (8 * i);
    return bits;
}

/* ---- integers -------------------------------------------------------------------------------- */

/* int64_data: varints, in one field or many. */
static int varints_of(const convti_onnx_tensor *tensor, int64_t values[], int most)
{
    convti_wire rest = tensor->message;
    convti_wire_field field;
    int count = 0;
    while (convti_wire_next(&rest, &field)) {
        convti_wire packed = field.bytes;
        uint64_t value = field.value;
        if (field.number != TENSOR_INT64_DATA) continue;
        bool more = field.type == CONVTI_VARINT || convti_wire_varint(&packed, &value);
        while (more && count <= most) {
            if (count < most) values[count] = (int64_t)value;
            count++;
            more = field.type == CONVTI_BYTES && convti_wire_varint(&packed, &value);
        }
    }
    return count == tensor->count || count > most ? count : -1;
}

int convti_onnx_tensor_integers(const convti_onnx_tensor *tensor, int64_t values[], int most)
{
    if (convti_onnx_tensor_flaw(tensor)) return -1;
    if (tensor->type == ONNX_INT64 && !tensor->numbers.at) return varints_of(tensor, values, most);
    if (tensor->type != ONNX_INT64 && tensor->type != ONNX_INT32) return -1;
    for (int i = 0; i < most && i < tensor->count; i++)
        values[i] = tensor->type == ONNX_INT64
                        ? (int64_t)bits_at(tensor->numbers.at + 8 * i, 8)
                        : (int32_t)(uint32_t)bits_at(tensor->numbers.at + 4 * i, 4);
    return tensor->count > most ? most + 1 : (int)tensor->count;
}

/* ---- reals ----------------------------------------------------------------------------------- */

static double of_float(uint64_t bits)
{
    const uint32_t half = (uint32_t)bits;
    float value;
    memcpy(&value, &half, sizeof value);
    return (double)value;
}

static double of_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double of_bfloat16(uint64_t bits)
{
    return of_float(bits << 16);
}

/* Sign, 5 bits of exponent, 10 of fraction: moved into a float's fields, and its smallest numbers,
 * which have no leading one, scaled. */
static double of_float16(uint64_t bits)
{
    const uint64_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 0x1F,
                   fraction = bits & 0x3FF;
    if (exponent == 0) return (sign ? -1.0 : 1.0) * (double)fraction / 16777216;
    const uint64_t wide = exponent == 31 ? 255 : exponent + 112;
    return of_float(sign | wide << 23 | fraction << 13);
}

static const struct real {
    uint64_t type;
    size_t size;
    double (*read)(uint64_t bits);
} reals[] = {
    {ONNX_FLOAT, 4, of_float},
    {ONNX_DOUBLE, 8, of_double},
    {ONNX_FLOAT16, 2, of_float16},
    {ONNX_BFLOAT16, 2, of_bfloat16},
};

static const struct real *real_of(uint64_t type)
{
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        if (reals[i].type == type) return &reals[i];
    }
    return NULL;
}

bool convti_onnx_is_real(uint64_t type)
{
    return real_of(type) != NULL;
}

static double number_at(const struct real *real, convti_wire numbers, int64_t i)
{
    return real->read(bits_at(numbers.at + real->size * (size_t)i, real->size));
}

int convti_onnx_tensor_reals(const convti_onnx_tensor *tensor, double values[], int most)
{
    const struct real *real = real_of(tensor->type);
    if (convti_onnx_tensor_flaw(tensor) || !real) return -1;
    for (int i = 0; i < most && i < tensor->count; i++)
        values[i] = number_at(real, tensor->numbers, i);
    return tensor->count > most ? most + 1 : (int)tensor->count;
}

void convti_onnx_tensor_copy(const convti_onnx_tensor *tensor, const int axes[], double scale,
                             convt_dtype dtype, void *data)
{
    const struct real *real = real_of(tensor->type);
    int64_t strides[CONVT_MAX_RANK], at[CONVT_MAX_RANK] = {0}, stride = 1, from = 0;
    for (int i = tensor->rank - 1; i >= 0; stride *= tensor->size[i--]) strides[i] = stride;
    for (int64_t i = 0; i < tensor->count; i++) {
        const double value = scale * number_at(real, tensor->numbers, from);
        if (dtype == CONVT_FLOAT64)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
        for (int k = tensor->rank - 1; k >= 0; k--) {
            from += strides[axes[k]];
            if (++at[k] < tensor->size[axes[k]]) break;
            from -= at[k] * strides[axes[k]];
            at[k] = 0;
        }
    }
}
