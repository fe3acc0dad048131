/*
 * gather, in registers:   c[r][j] = bias[j] + sum over runs, k of a[r][run.a + k] * b[run.b + k][j]
 *
 * gemm: vector lanes are columns. A row of the panel is loaded once and meets one broadcast per row
 * of the tile. dot: vector lanes are k. Rows x columns accumulators, one transposed reduction at
 * the end.
 */
#ifndef CONVT_GATHER_H
#define CONVT_GATHER_H

#include "kernel.h"
#include "vector.h"

INLINE void gemm(int rows, int vectors, const real *const a[], const struct run *runs,
                 int64_t count, const real *b, const real *bias, const struct finish *finish,
                 real *const c[])
{
    vec sum[KERNEL_MAX_ROWS][KERNEL_MAX_VECTORS];
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) sum[r][v] = bias ? v_load(bias + v * LANES) : v_splat(0);

    for (const struct run *run = runs; run < runs + count; run++) {
        const real *row[KERNEL_MAX_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++) row[r] = a[r] + run->a;
        const real *panel = b + run->b * (vectors * LANES);
        for (int64_t k = 0; k < run->k; k++, panel += vectors * LANES) {
            vec w[KERNEL_MAX_VECTORS];
            UNROLL
            for (int v = 0; v < vectors; v++) w[v] = v_load(panel + v * LANES);
            UNROLL
            for (int r = 0; r < rows; r++) {
                vec x = v_splat(row[r][k]);
                UNROLL
                for (int v = 0; v < vectors; v++) sum[r][v] += x * w[v];
            }
        }
    }

    if (finish->f) {
        real tile[KERNEL_MAX_ROWS * KERNEL_MAX_VECTORS * LANES]
            __attribute__((aligned(CONVT_VECTOR_BYTES)));
        UNROLL
        for (int r = 0; r < rows; r++) UNROLL
        for (int v = 0; v < vectors; v++) v_store(tile + (r * vectors + v) * LANES, sum[r][v]);
        finish->f(&finish->params, rows * vectors * LANES, tile, tile);
        UNROLL
        for (int r = 0; r < rows; r++) UNROLL
        for (int v = 0; v < vectors; v++) sum[r][v] = v_load(tile + (r * vectors + v) * LANES);
    }
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) v_store(c[r] + v * LANES, sum[r][v]);
}

/* Lane l of the result is the sum over the lanes of sum[l]: log2(LANES) rounds that halve the
 * number of vectors. */
INLINE vec reduce_lanes(vec sum[LANES])
{
    UNROLL
    for (int half = LANES / 2; half >= 1; half /= 2) {
        vec_bits keep, cross;
        UNROLL
        for (int l = 0; l < LANES; l++) {
            keep[l] = l & half ? l + LANES : l;
            cross[l] = (l ^ half) + (l & half ? LANES : 0);
        }
        UNROLL
        for (int i = 0; i < half; i++)
            sum[i] = v_shuffle(sum[i], sum[i + half], keep) +
                     v_shuffle(sum[i], sum[i + half], cross);
    }
    return sum[0];
}

INLINE void dot(int rows, int columns, const real *const a[], const struct run *runs, int64_t count,
                const real *b, int64_t stride, const real *bias, real *c)
{
    enum { ROUND = KERNEL_MAX_DOTS + KERNEL_MAX_LANES };
    vec sum[ROUND];
    UNROLL
    for (int i = 0; i < ROUND; i++) sum[i] = v_splat(0);

    for (const struct run *run = runs; run < runs + count; run++) {
        const real *w_row = b + run->b;
        int64_t k = 0;
        for (; k + LANES <= run->k; k += LANES) {
            vec w[KERNEL_MAX_COLUMNS];
            UNROLL
            for (int j = 0; j < columns; j++) w[j] = v_load(w_row + j * stride + k);
            UNROLL
            for (int r = 0; r < rows; r++) {
                vec x = v_load(a[r] + run->a + k);
                UNROLL
                for (int j = 0; j < columns; j++) sum[r * columns + j] += x * w[j];
            }
        }
        if (k < run->k) {
            vec w[KERNEL_MAX_COLUMNS];
            UNROLL
            for (int j = 0; j < columns; j++)
                w[j] = v_load_part(w_row + j * stride + k, run->k - k);
            UNROLL
            for (int r = 0; r < rows; r++) {
                vec x = v_load_part(a[r] + run->a + k, run->k - k);
                UNROLL
                for (int j = 0; j < columns; j++) sum[r * columns + j] += x * w[j];
            }
        }
    }

    UNROLL
    for (int i = 0; i < rows * columns; i += LANES) {
        real lanes[LANES] __attribute__((aligned(CONVT_VECTOR_BYTES)));
        *(vec *)lanes = reduce_lanes(sum + i);
        for (int l = 0; l < LANES && i + l < rows * columns; l++)
            c[i + l] = lanes[l] + (bias ? bias[(i + l) % columns] : 0);
    }
}

#endif
