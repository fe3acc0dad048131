/* Reading a block of elements in chunks, and sums over it in double. */
#ifndef CONVT_BLOCK_H
#define CONVT_BLOCK_H

#include "elements.h"

enum { CHUNK = 256, PARTIAL_SUMS = 8 };

/* A label t is read as t * keep + share. */
typedef struct smoothing {
    real keep, share;
} smoothing;

INLINE vec load(const real *a, int64_t count)
{
    return count >= LANES ? v_load(a) : v_load_part(a, count);
}

/* In double, over partial sums, in an order that depends on count alone. */
static double sum(const real *a, int64_t count)
{
    double part[PARTIAL_SUMS] = {0}, total = 0;
    int64_t i = 0;
    for (; i + PARTIAL_SUMS <= count; i += PARTIAL_SUMS)
        for (int k = 0; k < PARTIAL_SUMS; k++) part[k] += (double)a[i + k];
    for (int k = 0; k < PARTIAL_SUMS; k++) total += part[k];
    for (; i < count; i++) total += (double)a[i];
    return total;
}

static double sum_of_products(const real *a, const real *b, int64_t count)
{
    double part[PARTIAL_SUMS] = {0}, total = 0;
    int64_t i = 0;
    for (; i + PARTIAL_SUMS <= count; i += PARTIAL_SUMS)
        for (int k = 0; k < PARTIAL_SUMS; k++) part[k] += (double)a[i + k] * (double)b[i + k];
    for (int k = 0; k < PARTIAL_SUMS; k++) total += part[k];
    for (; i < count; i++) total += (double)a[i] * (double)b[i];
    return total;
}

#endif
