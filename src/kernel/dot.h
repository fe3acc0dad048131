/*
 * dot, in registers:   c[r][j] = bias[j] + sum over runs, taps t < run.taps and k of
 *                                a[from[r] + run.a + t * step + k] * b[j][run.b + t * tap + k]
 *
 * Vector lanes are k: rows x columns accumulators, which become numbers at the end by one transposed
 * reduction. A run of several taps belongs to rows that are `step` apart, as its taps are: what row r
 * reads for tap t is what row r + 1 reads for tap t - 1. It is loaded once for all taps, which is what
 * tiles of one or two columns need, that are too narrow to share a load otherwise.
 */
#ifndef CONVT_DOT_H
#define CONVT_DOT_H

#include "kernel.h"
#include "vector.h"

enum { DOT_SUMS = 25, DOT_ROUND = 32 }; /* accumulators of a tile, and rounded to whole vectors */

/* A vector of k. The last one of a run that whole vectors do not fill ends where the run ends, without
 * the lanes that the one before it had (rest, a mask); of a run shorter than a vector it is moved piece
 * by piece. */
enum dot_piece { WHOLE, REST, SHORT };

INLINE vec load_piece_of(enum dot_piece piece, const real *p, int64_t k, vec_bits rest)
{
    if (piece == SHORT) return v_load_part(p, k);
    const vec v = v_load(p);
    return piece == REST ? (vec)((vec_bits)v & rest) : v;
}

INLINE vec_bits rest_of(int64_t k)
{
    vec_bits lane;
    UNROLL
    for (int l = 0; l < LANES; l++) lane[l] = l;
    const vec_bits first = (vec_bits){0} + (real_bits)(LANES - k % LANES);
    return lane >= first;
}

/* A vector of k of every row, column and tap. The operands of the lesser number stay in registers,
 * those of the other are used as they come. */
INLINE void dot_step(int rows, int columns, int taps, enum dot_piece piece, const real *const a[],
                     const struct gather_block *block, const real *b, int64_t at, int64_t k,
                     vec_bits rest, vec sum[])
{
    vec held[DOT_MAX_TAPS * DOT_MAX_ROWS];
    if (taps > 1 || rows >= columns) {
        UNROLL
        for (int t = 0; t < taps; t++) UNROLL
        for (int j = 0; j < columns; j++)
            held[t * columns + j] = load_piece_of(
                piece, b + j * block->column_step + t * block->tap_step + at, k, rest);
        const real *next = a[0] + at;
        UNROLL
        for (int i = 0; i < rows + taps - 1; i++, next = held_pointer(next + block->step)) {
            const vec x = v_held(load_piece_of(piece, taps > 1 ? next : a[i] + at, k, rest));
            UNROLL
            for (int t = 0; t < taps; t++) {
                if (t > i || i - t >= rows) continue;
                UNROLL
                for (int j = 0; j < columns; j++)
                    sum[(i - t) * columns + j] += x * held[t * columns + j];
            }
        }
    } else {
        UNROLL
        for (int r = 0; r < rows; r++) held[r] = load_piece_of(piece, a[r] + at, k, rest);
        UNROLL
        for (int j = 0; j < columns; j++) {
            const vec w = v_held(load_piece_of(piece, b + j * block->column_step + at, k, rest));
            UNROLL
            for (int r = 0; r < rows; r++) sum[r * columns + j] += held[r] * w;
        }
    }
}

INLINE void dot_run(int rows, int columns, int taps, const struct gather_block *block,
                    const int64_t *from, const struct run *run, vec sum[])
{
    const real *a[DOT_MAX_ROWS], *b = block->panel + run->b;
    const int64_t k = run->k;
    UNROLL
    for (int r = 0; r < rows; r++) a[r] = block->source + from[r] + run->a;
    const vec_bits none = {0};
    for (int64_t at = 0; at + LANES <= k; at += LANES)
        dot_step(rows, columns, taps, WHOLE, a, block, b, at, LANES, none, sum);
    if (taps == 1 && k < LANES)
        dot_step(rows, columns, taps, SHORT, a, block, b, 0, k, none, sum);
    else if (k % LANES != 0)
        dot_step(rows, columns, taps, REST, a, block, b, k - LANES, k, rest_of(k), sum);
}

/* The lanes of a that are `far` apart, added, where l & far is 0, and those of b where it is not. */
INLINE vec add_far(int far, vec a, vec b)
{
    vec_bits keep, cross;
    UNROLL
    for (int l = 0; l < LANES; l++) {
        keep[l] = l & far ? l + LANES : l;
        cross[l] = (l ^ far) + (l & far ? LANES : 0);
    }
    return v_shuffle(a, b, keep) + v_shuffle(a, b, cross);
}

/* One vector of two, or a fold where there are no two that far apart. `done`: the rounds before. */
INLINE void reduce_round(int far, int done, int count, vec sum[])
{
    UNROLL
    for (int i = 0; i < count; i++)
        if (!(i & (done | far))) sum[i] = add_far(far, sum[i], sum[far < count ? i + far : i]);
}

/* Lane o of the result is the sum over the lanes of sum[o], o < count, a power of two. Every sum is the
 * same tree, whatever its place. The first round, the largest, is one in which two vectors blend. */
INLINE vec reduce_lanes(int count, vec sum[])
{
    if (LANES > 4) reduce_round(4, 0, count, sum);
    reduce_round(1, 4, count, sum);
    if (LANES > 2) reduce_round(2, 5, count, sum);
    if (LANES > 8) reduce_round(8, 7, count, sum);
    return sum[0];
}

INLINE void store_dots(int rows, int columns, const real *tile, const int64_t *to, real *target)
{
    UNROLL
    for (int r = 0; r < rows; r++)
        memcpy(target + to[r], tile + r * columns, (size_t)columns * sizeof(real));
}

/* bias: of every sum of a tile. */
INLINE void dot_tile(int rows, int columns, int most_taps, const struct gather_block *block,
                     int64_t first, const real *bias)
{
    const int64_t *from = block->from + first, *to = block->to + first;
    vec sum[DOT_ROUND];
    UNROLL
    for (int i = 0; i < DOT_ROUND; i++) sum[i] = v_splat(0);

    for (const struct run *run = block->runs, *end = run + block->run_count; run < end; run++) {
        if (most_taps >= 4 && run->taps == 4)
            dot_run(rows, columns, 4, block, from, run, sum);
        else if (most_taps >= 3 && run->taps == 3)
            dot_run(rows, columns, 3, block, from, run, sum);
        else if (most_taps >= 2 && run->taps == 2)
            dot_run(rows, columns, 2, block, from, run, sum);
        else
            dot_run(rows, columns, 1, block, from, run, sum);
    }

    real tile[DOT_ROUND] __attribute__((aligned(CONVT_VECTOR_BYTES)));
    const int all = rows * columns, left = all % LANES;
    UNROLL
    for (int i = 0; i + LANES <= all; i += LANES)
        v_store(tile + i, reduce_lanes(LANES, sum + i) + v_load(bias + i));
    if (left > 0)
        v_store(tile + all - left, reduce_lanes(left > 8   ? 16
                                                : left > 4 ? 8
                                                : left > 2 ? 4
                                                           : left,
                                                sum + all - left) +
                                       v_load(bias + all - left));
    if (block->z) store_dots(rows, columns, tile, to, block->z);
    if (block->finish)
        block->finish->f(&block->finish->params, (all + LANES - 1) / LANES * LANES, tile, tile);
    store_dots(rows, columns, tile, to, block->target);
}

INLINE void dot(int rows, int columns, int most_taps, const struct gather_block *block,
                int64_t first, int64_t tiles)
{
    real bias[DOT_ROUND] __attribute__((aligned(CONVT_VECTOR_BYTES))) = {0};
    for (int i = 0; i < rows * columns && block->bias; i++) bias[i] = block->bias[i % columns];
    for (; tiles > 0; tiles--, first += rows)
        dot_tile(rows, columns, most_taps, block, first, bias);
}

/* Tiles of up to `rows` rows for every number of columns: as many accumulators as registers hold
 * beside what they share; those of several taps as many as one reduction takes. */
#define DOT(rows, columns)                                                                         \
    static void dot_##rows##x##columns(const struct gather_block *b, int64_t first, int64_t tiles) \
    {                                                                                              \
        dot(rows, columns, DOT_TAPS_##columns, b, first, tiles);                                   \
    }
#define DOT_NAME(rows, columns) dot_##rows##x##columns,

#define DOT_TO_1(of, c) of(1, c)
#define DOT_TO_2(of, c) DOT_TO_1(of, c) of(2, c)
#define DOT_TO_3(of, c) DOT_TO_2(of, c) of(3, c)
#define DOT_TO_4(of, c) DOT_TO_3(of, c) of(4, c)
#define DOT_TO_5(of, c) DOT_TO_4(of, c) of(5, c)
#define DOT_TO_6(of, c) DOT_TO_5(of, c) of(6, c)
#define DOT_TO_8(of, c) DOT_TO_6(of, c) of(7, c) of(8, c)
#define DOT_TO_16(of, c) \
    DOT_TO_8(of, c) of(9, c) of(10, c) of(11, c) of(12, c) of(13, c) of(14, c) of(15, c) of(16, c)

#if CONVT_VECTOR_REGISTERS >= 32
#define DOT_COLUMNS(of) of(16, 1) of(8, 2) of(8, 3) of(6, 4) of(5, 5) of(4, 6) of(3, 7) of(3, 8)
enum { DOT_TAPS_1 = 4, DOT_TAPS_2 = 3 };
#else
#define DOT_COLUMNS(of) of(8, 1) of(4, 2) of(4, 3) of(3, 4) of(2, 5) of(2, 6)
enum { DOT_TAPS_1 = 3, DOT_TAPS_2 = 3 };
#endif
enum {
    DOT_TAPS_3 = 1,
    DOT_TAPS_4 = 1,
    DOT_TAPS_5 = 1,
    DOT_TAPS_6 = 1,
    DOT_TAPS_7 = 1,
    DOT_TAPS_8 = 1
};

#define DOT_UP_TO(rows, columns) DOT_TO_##rows(DOT, columns)
#define DOT_NAMES(rows, columns) {NULL, DOT_TO_##rows(DOT_NAME, columns)},
#define DOT_ROWS(rows, columns) rows,
DOT_COLUMNS(DOT_UP_TO)
static dot_kernel *const dot_tiles[][DOT_MAX_ROWS + 1] = {{NULL}, DOT_COLUMNS(DOT_NAMES)};

#endif
