/*
 * gemm, in registers:   c[r][j] = bias[j] + sum over runs, k of a[r][run.a + k] * b[run.b + k][j]
 *
 * Vector lanes are columns. A row of the panel is loaded once and meets one broadcast per row of the
 * tile.
 */
#ifndef CONVT_GATHER_H
#define CONVT_GATHER_H

#include "kernel.h"
#include "vector.h"

/* The accumulators go through the activation, tile-wise. */
INLINE void finish_tile(int rows, int vectors, const struct finish *finish,
                        vec sum[GEMM_MAX_ROWS][KERNEL_MAX_VECTORS])
{
    real tile[GEMM_MAX_ROWS * KERNEL_MAX_VECTORS * LANES]
        __attribute__((aligned(CONVT_VECTOR_BYTES)));
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) v_store(tile + (r * vectors + v) * LANES, sum[r][v]);
    finish->f(&finish->params, rows * vectors * LANES, tile, tile);
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) sum[r][v] = v_load(tile + (r * vectors + v) * LANES);
}

INLINE void store_tile(int rows, int vectors, int64_t columns, real *target, const int64_t *to,
                       vec sum[GEMM_MAX_ROWS][KERNEL_MAX_VECTORS])
{
    const int64_t rest = columns - (vectors - 1) * LANES;
    UNROLL
    for (int r = 0; r < rows; r++) {
        real *c = target + to[r];
        UNROLL
        for (int v = 0; v < vectors - 1; v++) v_store(c + v * LANES, sum[r][v]);
        store_up_to(c + (vectors - 1) * LANES, sum[r][vectors - 1], rest);
    }
}

/* Where the target of a tile lies: its lines arrive while the sums are made. */
INLINE void prefetch_target(int rows, int vectors, const real *target, const int64_t *to)
{
    UNROLL
    for (int r = 0; r < rows; r++) prefetch_lines(target + to[r], vectors * LANES);
    if (begins_within_line(target + to[0])) UNROLL
    for (int r = 0; r < rows; r++) __builtin_prefetch(target + to[r] + vectors * LANES - 1, 1);
}

/* The source of the next tile lies at an even distance; where it does not, a prefetch is lost. */
INLINE void prefetch_source(int rows, const real *const *row, int64_t at)
{
    UNROLL
    for (int r = 0; r < rows; r++) __builtin_prefetch(row[r] + at);
}

/* Steps of k between which nothing is counted. Of four, gcc keeps a sum in memory. */
enum { GEMM_STEPS = 2 };

INLINE void gemm_step(int rows, int vectors, const real *const *row, int64_t k, const real *panel,
                      vec sum[GEMM_MAX_ROWS][KERNEL_MAX_VECTORS])
{
    vec w[KERNEL_MAX_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) w[v] = v_load(panel + v * LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
        const vec x = v_splat(row[r][k]);
        UNROLL
        for (int v = 0; v < vectors; v++) sum[r][v] += x * w[v];
    }
}

INLINE void gemm_tile(int rows, int vectors, const struct gather_block *block, int64_t first)
{
    const int64_t *from = block->from + first, *to = block->to + first;
    vec sum[GEMM_MAX_ROWS][KERNEL_MAX_VECTORS];
    if (block->add) {
        const int64_t rest = block->columns - (vectors - 1) * LANES;
        UNROLL
        for (int r = 0; r < rows; r++) {
            const real *c = block->target + to[r];
            UNROLL
            for (int v = 0; v < vectors - 1; v++) sum[r][v] = v_load(c + v * LANES);
            sum[r][vectors - 1] = load_up_to(c + (vectors - 1) * LANES, rest);
        }
    } else {
        const real *bias = block->bias;
        UNROLL
        for (int v = 0; v < vectors; v++) {
            vec start = bias ? v_load(bias + v * LANES) : v_splat(0);
            UNROLL
            for (int r = 0; r < rows; r++) sum[r][v] = start;
        }
        prefetch_target(rows, vectors, block->target, to);
    }

    const int64_t ahead = from[rows] - from[0];
    const real *row[GEMM_MAX_ROWS];
    UNROLL
    for (int r = 0; r < rows; r++) row[r] = block->source + from[r];
    for (const struct run *run = block->runs, *last = run + block->run_count; run < last; run++) {
        const real *panel = block->panel + run->b * (vectors * LANES);
        int64_t k = run->a;
        const int64_t end = k + run->k;
        while (k + LINE_REALS <= end) { /* a line of each row */
            prefetch_source(rows, row, k + ahead);
            for (const int64_t stop = k + LINE_REALS; k < stop; k += GEMM_STEPS)
                for (int s = 0; s < GEMM_STEPS; s++, panel += vectors * LANES)
                    gemm_step(rows, vectors, row, k + s, panel, sum);
        }
        for (; k < end; k++, panel += vectors * LANES) gemm_step(rows, vectors, row, k, panel, sum);
    }

    if (block->z) store_tile(rows, vectors, block->columns, block->z, to, sum);
    if (block->finish) finish_tile(rows, vectors, block->finish, sum);
    store_tile(rows, vectors, block->columns, block->target, to, sum);
}

INLINE void gemm(int rows, int vectors, const struct gather_block *block, int64_t first,
                 int64_t tiles)
{
    for (; tiles > 0; tiles--, first += rows) gemm_tile(rows, vectors, block, first);
}

#endif
