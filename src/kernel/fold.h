/*
 * fold, in registers: a row of blocks, each the sum of parts of windows that overlap there,
 *
 *     line[q][e] = bias[e] + sum over taps t and b of from[t][(q - b) * pitch + b * block + e],
 *     e < block, and of the last b e < last
 *
 * Windows are products of neighbouring pixels with a kernel row's taps; a stride further on, each
 * begins a block later.
 */
#ifndef CONVT_FOLD_H
#define CONVT_FOLD_H

#include "kernel.h"
#include "vector.h"

INLINE vec lanes_below(int64_t count, vec v)
{
    vec_bits lane;
    UNROLL
    for (int l = 0; l < LANES; l++) lane[l] = l;
    const vec_bits below = lane < (vec_bits){0} + (real_bits)count;
    return (vec)((vec_bits)v & below);
}

/* A vector of a block, from element e on. */
INLINE vec fold_vector(int blocks, const struct fold_row *row, int64_t at, int64_t e)
{
    const int64_t back = row->pitch - row->block;
    vec sum = v_load(row->bias + e);
    for (const real *const *t = row->from, *const *end = t + row->taps; t < end; t++) {
        const real *p = *t + at + e;
        UNROLL
        for (int b = 0; b < blocks - 1; b++, p -= back) sum += v_load(p);
        sum += lanes_below(row->last - e, v_load(p));
    }
    return sum;
}

/* The last vector of a block that whole ones do not fill moves back; of a block shorter than a vector
 * the lanes behind it are stored, too, and the next block over them. */
INLINE void fold(int blocks, const struct fold_row *row)
{
    const int64_t size = row->block, pitch = row->pitch;
    real *line = row->line;
    int64_t at = 0;
    if (size <= LANES) {
        for (int64_t q = row->positions; q > 0; q--, at += pitch, line += size)
            v_store(line, fold_vector(blocks, row, at, 0));
        return;
    }
    for (int64_t q = row->positions; q > 0; q--, at += pitch, line += size) {
        for (int64_t e = 0; e + LANES < size; e += LANES)
            v_store(line + e, fold_vector(blocks, row, at, e));
        v_store(line + size - LANES, fold_vector(blocks, row, at, size - LANES));
    }
}

#define FOLD(blocks)                                      \
    static void fold_##blocks(const struct fold_row *row) \
    {                                                     \
        fold(blocks, row);                                \
    }
FOLD(1)
FOLD(2)
FOLD(3)
FOLD(4)
FOLD(5)
FOLD(6)
FOLD(7)
FOLD(8)
FOLD(9)
static fold_kernel *const fold_table[FOLD_MAX_BLOCKS + 1] = {
    NULL, fold_1, fold_2, fold_3, fold_4, fold_5, fold_6, fold_7, fold_8, fold_9};

#endif
