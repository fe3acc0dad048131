/*
 * Elements as files store them, and as convt_array has them: float for every float of at most 32
 * bits, double, bytes for bytes and truth values, int64_t for every other integer.
 */
#ifndef CONVTI_ELEMENTS_H
#define CONVTI_ELEMENTS_H

#include "file.h"

typedef enum convti_kind {
    CONVTI_NO_KIND,
    CONVTI_FLOAT, /* IEEE 754, 2, 4 or 8 bytes */
    CONVTI_BRAIN, /* the upper half of a float */
    CONVTI_SIGNED,
    CONVTI_UNSIGNED,
    CONVTI_TRUTH /* a byte that is 0 for false */
} convti_kind;

typedef struct convti_type {
    convti_kind kind;
    int width; /* bytes */
} convti_type;

/* What elements of a type become. */
convt_element convti_element_of(convti_type type);

size_t convti_element_size(convt_element element);

/* The product of a shape, whose zero sizes count as one: what overflows is refused whatever order
 * it is taken in. False where even 8 bytes an element would not fit; *count is 0 with a zero. */
bool convti_count_elements(int rank, const int64_t shape[], int64_t *count);

/* An element of an array of any type. */
double convti_array_number(const convt_array *array, int64_t index);

/* Bytes of the data; the shape is that of an existing array. */
size_t convti_array_bytes(const convt_array *array);

/* array->data, malloc'ed, holds `count` elements of a type in the order of bytes that `little` says:
 * they become array->element, exactly. Errors name the source; the data stay the array's. */
convt_status convti_elements_convert(const convti_source *source, convt_array *array, int64_t count,
                                     convti_type type, bool little, convt_error *err);

/* Bytes of this machine's elements in little-endian order, and back. */
void convti_elements_to_little(void *data, size_t size, size_t width);

#endif
