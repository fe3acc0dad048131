/*
 * columns:   sums[c] += sum over r of a[r * columns + c]
 *
 * As many columns as lanes and more: a vector is a stretch of a row; vectors that share rows are
 * summed together, even and odd rows apart, to hide the latency of an addition. The last vector
 * moves back until it is whole; lanes that the one before it has are dropped.
 *
 * Fewer columns: memory is read as whole vectors, whatever a row is. Lane l of vector v of a period
 * (lcm(columns, LANES) elements) always belongs to the same column.
 */
#ifndef CONVT_COLUMNS_H
#define CONVT_COLUMNS_H

#include "kernel.h"
#include "vector.h"

enum { COLUMN_VECTORS = 4, COLUMN_CHAINS = 8 };

/* Rows that are not in the cache come in time if they are asked for this far ahead. */
enum { COLUMNS_AHEAD = 4096 / sizeof(real) };

/* `vectors` vectors that begin at a + first[v]. */
INLINE void sum_vectors(int vectors, int64_t rows, int64_t columns, const real *a,
                        const int64_t *first, vec *sum)
{
    vec even[COLUMN_VECTORS], odd[COLUMN_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) even[v] = odd[v] = v_splat(0);
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2, a += 2 * columns) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            __builtin_prefetch(a + first[v] + COLUMNS_AHEAD);
            __builtin_prefetch(a + first[v] + columns + COLUMNS_AHEAD);
            even[v] += v_load(a + first[v]);
            odd[v] += v_load(a + first[v] + columns);
        }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        if (r < rows) even[v] += v_load(a + first[v]);
        sum[v] = even[v] + odd[v];
    }
}

static void many_columns(int64_t rows, int64_t columns, const real *a, real *sums)
{
    for (int64_t c = 0; c < columns; c += COLUMN_VECTORS * LANES) {
        const int64_t rest = columns - c;
        const int vectors = rest < COLUMN_VECTORS * LANES ? (int)((rest + LANES - 1) / LANES)
                                                          : COLUMN_VECTORS;
        int64_t first[COLUMN_VECTORS];
        vec sum[COLUMN_VECTORS];
        for (int v = 0; v < vectors; v++)
            first[v] = c + (v + 1) * LANES <= columns ? c + v * LANES : columns - LANES;
        switch (vectors) {
        case 1: sum_vectors(1, rows, columns, a, first, sum); break;
        case 2: sum_vectors(2, rows, columns, a, first, sum); break;
        case 3: sum_vectors(3, rows, columns, a, first, sum); break;
        default: sum_vectors(4, rows, columns, a, first, sum);
        }
        for (int v = 0; v < vectors; v++)
            for (int64_t l = c + v * LANES - first[v]; l < LANES; l++)
                sums[first[v] + l] += sum[v][l];
    }
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* Fewer than LANES. */
static void few_columns(int64_t rows, int64_t columns, const real *a, real *sums)
{
    const int64_t period = columns / common_divisor(LANES, columns), count = rows * columns;
    const int64_t vectors = (COLUMN_CHAINS + period - 1) / period * period;
    vec sum[COLUMN_CHAINS + LANES];
    for (int64_t v = 0; v < vectors; v++) sum[v] = v_splat(0);
    int64_t i = 0;
    for (; i + vectors * LANES <= count; i += vectors * LANES)
        for (int64_t v = 0; v < vectors; v++) {
            __builtin_prefetch(a + i + v * LANES + COLUMNS_AHEAD);
            sum[v] += v_load(a + i + v * LANES);
        }
    for (int64_t v = 0; i < count; i += LANES, v++) sum[v] += load_up_to(a + i, count - i);
    for (int64_t v = period; v < vectors; v++) sum[v % period] += sum[v];
    const real *lane = (const real *)sum;
    for (int64_t end = period * LANES / columns; end > 0; end--, lane += columns)
        for (int64_t c = 0; c < columns; c++) sums[c] += lane[c];
}

static void columns(int64_t rows, int64_t count, const real *a, real *sums)
{
    (count < LANES ? few_columns : many_columns)(rows, count, a, sums);
}

#endif
