/* Elements of files: see elements.h. */
#include "elements.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { NATIVE_IS_LITTLE = true };
#else
enum { NATIVE_IS_LITTLE = false };
#endif

convt_element convti_element_of(convti_type type)
{
    if (type.kind == CONVTI_FLOAT || type.kind == CONVTI_BRAIN)
        return type.width == 8 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32;
    return type.width == 1 && type.kind != CONVTI_SIGNED ? CONVT_ELEMENT_U8 : CONVT_ELEMENT_I64;
}

size_t convti_element_size(convt_element element)
{
    return element == CONVT_ELEMENT_U8 ? 1 : element == CONVT_ELEMENT_F32 ? 4 : 8;
}

bool convti_count_elements(int rank, const int64_t shape[], int64_t *count)
{
    const int64_t limit = INT64_MAX / 8;
    bool empty = false;
    *count = 1;
    for (int i = 0; i < rank; i++) {
        const int64_t size = shape[i] > 0 ? shape[i] : 1;
        empty = empty || shape[i] == 0;
        if (size > limit / *count) return false;
        *count *= size;
    }
    if (empty) *count = 0;
    return true;
}

double convti_array_number(const convt_array *array, int64_t i)
{
    switch (array->element) {
    case CONVT_ELEMENT_F32: return (double)((const float *)array->data)[i];
    case CONVT_ELEMENT_F64: return ((const double *)array->data)[i];
    case CONVT_ELEMENT_U8: return (double)((const uint8_t *)array->data)[i];
    case CONVT_ELEMENT_I64: break;
    }
    return (double)((const int64_t *)array->data)[i];
}

size_t convti_array_bytes(const convt_array *array)
{
    return (size_t)convt_array_count(array) * convti_element_size(array->element);
}

/* ---- conversion ------------------------------------------------------------------------------ */

static void swap_bytes(char *data, int64_t count, int width)
{
    for (char *element = data; count > 0; count--, element += width) {
        for (int i = 0; i < width / 2; i++) {
            char byte = element[i];
            element[i] = element[width - 1 - i];
            element[width - 1 - i] = byte;
        }
    }
}

/* Sign, 5 bits of exponent, 10 of fraction. Every value is a float; below 2^-14 it is a whole number
 * of 2^-24. */
static float of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
                   fraction = half & 1023;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    float value;
    if (exponent == 31) bits = sign | 0x7F800000 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    if (exponent > 0) return value;
    value = (float)fraction * 0x1p-24F;
    return sign ? -value : value;
}

static float of_brain(uint16_t brain)
{
    const uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int64_t integer_at(const char *data, convti_type type, int64_t i)
{
    const bool is_signed = type.kind == CONVTI_SIGNED;
    int16_t i2;
    int32_t i4;
    int64_t i8;
    switch (type.width) {
    case 1: return ((const int8_t *)data)[i];
    case 2: memcpy(&i2, data + 2 * i, 2); return is_signed ? i2 : (int64_t)(uint16_t)i2;
    case 4: memcpy(&i4, data + 4 * i, 4); return is_signed ? i4 : (int64_t)(uint32_t)i4;
    default: memcpy(&i8, data + 8 * i, 8); return i8;
    }
}

static void widen_floats(const char *data, int64_t count, convti_type type, float *wide)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t narrow;
        memcpy(&narrow, data + 2 * i, 2);
        wide[i] = type.kind == CONVTI_BRAIN ? of_brain(narrow) : of_half(narrow);
    }
}

/* False where an unsigned one does not fit, which shows as a negative; *at is its place. */
static bool widen_integers(const char *data, int64_t count, convti_type type, int64_t *wide,
                           int64_t *at)
{
    for (*at = 0; *at < count; ++*at) {
        wide[*at] = integer_at(data, type, *at);
        if (type.kind == CONVTI_UNSIGNED && wide[*at] < 0) return false;
    }
    return true;
}

/* Into new memory of wider elements. */
static convt_status widen(const convti_source *source, convt_array *array, int64_t count,
                          convti_type type, convt_error *err)
{
    const size_t size = convti_element_size(array->element);
    convt_status status = CONVT_OK;
    int64_t at;
    void *wide = (uint64_t)count < SIZE_MAX / size ? malloc((size_t)count * size + 1) : NULL;
    if (!wide) return convti_no_memory(err, source->name, (size_t)count * size);
    if (array->element == CONVT_ELEMENT_F32)
        widen_floats(array->data, count, type, wide);
    else if (!widen_integers(array->data, count, type, wide, &at))
        status = convti_fail(err, CONVT_BAD_FORMAT, source->name,
                             "%sholds %llu, beyond 64-bit signed integers", source->label,
                             (unsigned long long)((const int64_t *)wide)[at]);
    if (status) {
        free(wide);
        return status;
    }
    free(array->data);
    array->data = wide;
    return CONVT_OK;
}

convt_status convti_elements_convert(const convti_source *source, convt_array *array, int64_t count,
                                     convti_type type, bool little, convt_error *err)
{
    char *bytes = array->data;
    array->element = convti_element_of(type);
    if (little != NATIVE_IS_LITTLE) swap_bytes(bytes, count, type.width);
    for (int64_t i = 0; type.kind == CONVTI_TRUTH && i < count; i++) bytes[i] = bytes[i] != 0;
    /* An u8 is looked at, too: it may not fit. */
    const bool as_it_is = (size_t)type.width == convti_element_size(array->element) &&
                          (type.kind != CONVTI_UNSIGNED || type.width == 1);
    return as_it_is ? CONVT_OK : widen(source, array, count, type, err);
}

void convti_elements_to_little(void *data, size_t size, size_t width)
{
    if (!NATIVE_IS_LITTLE) swap_bytes(data, (int64_t)(size / width), (int)width);
}
