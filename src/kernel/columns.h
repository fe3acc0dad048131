/*
 * columns:   sums[c] += sum over r of a[r * columns + c]
 *
 * Memory is read in its order, one row behind the other: two rows at once, or a part of each, and what
 * the processor fetches ahead is half as much.
 *
 * As many columns as lanes and more: a vector is a stretch of a row. The sums of a few vectors stay in
 * registers, those of more in L1. The last vector moves back until it is whole; lanes that the one before
 * it has are dropped.
 *
 * Fewer columns: memory is read as whole vectors, whatever a row is. Lane l of vector v of a period
 * (lcm(columns, LANES) elements) always belongs to the same column.
 */
#ifndef CONVT_COLUMNS_H
#define CONVT_COLUMNS_H

#include "kernel.h"
#include "vector.h"

enum {
    COLUMN_VECTORS = 4, /* of sums in registers, even and odd rows apart: an addition waits */
    COLUMN_PARTS = 64,  /* vectors whose sums L1 holds beside what is read */
    COLUMN_CHAINS = 8
};

/* Rows that are not in the cache come in time if they are asked for this far ahead. */
enum { COLUMNS_AHEAD = 4096 / sizeof(real) };

/* Lanes of a vector that begins at column `first`, from column c on. */
static void add_lanes(vec sum, int64_t c, int64_t first, real *sums)
{
    real lane[LANES];
    v_store(lane, sum);
    for (int64_t l = c - first; l < LANES; l++) sums[first + l] += lane[l];
}

/* Rows of `vectors` vectors, the last of which begins at column `last`. */
INLINE void sum_in_registers(int vectors, int64_t rows, int64_t columns, int64_t last,
                             const real *a, real *sums)
{
    vec even[COLUMN_VECTORS], odd[COLUMN_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) even[v] = odd[v] = v_splat(0);
    for (; rows >= 2; rows -= 2, a += 2 * columns) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t at = v < vectors - 1 ? v * LANES : last;
            __builtin_prefetch(a + at + COLUMNS_AHEAD);
            __builtin_prefetch(a + at + columns + COLUMNS_AHEAD);
            even[v] += v_load(a + at);
            odd[v] += v_load(a + at + columns);
        }
    }
    for (int v = 0; v < vectors; v++) {
        const int64_t at = v < vectors - 1 ? v * LANES : last;
        const vec first = rows > 0 ? even[v] + v_load(a + at) : even[v];
        add_lanes(first + odd[v], v * LANES, at, sums);
    }
}

static void sum_in_cache(int64_t vectors, int64_t rows, int64_t columns, int64_t last,
                         const real *a, real *sums)
{
    vec sum[COLUMN_PARTS];
    for (int64_t v = 0; v < vectors; v++) sum[v] = v_splat(0);
    for (; rows > 0; rows--, a += columns) {
        for (int64_t v = 0; v < vectors - 1; v++) sum[v] += v_load(a + v * LANES);
        sum[vectors - 1] += v_load(a + last);
    }
    for (int64_t v = 0; v < vectors; v++)
        add_lanes(sum[v], v * LANES, v < vectors - 1 ? v * LANES : last, sums);
}

static void many_columns(int64_t rows, int64_t columns, const real *a, real *sums)
{
    for (int64_t c = 0; c < columns; c += COLUMN_PARTS * LANES, a += COLUMN_PARTS * LANES) {
        const int64_t rest = columns - c, most = COLUMN_PARTS * LANES,
                      all = rest < most ? rest : most;
        const int64_t vectors = (all + LANES - 1) / LANES, last = all - LANES;
        switch (vectors) {
        case 1: sum_in_registers(1, rows, columns, last, a, sums + c); break;
        case 2: sum_in_registers(2, rows, columns, last, a, sums + c); break;
        case 3: sum_in_registers(3, rows, columns, last, a, sums + c); break;
        case 4: sum_in_registers(4, rows, columns, last, a, sums + c); break;
        default: sum_in_cache(vectors, rows, columns, last, a, sums + c);
        }
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
