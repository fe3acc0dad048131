/*
 * transpose:   to[c * to_stride + r] = from[r * from_stride + c]
 *
 * A block is LANES rows by PIECE columns, where a piece is 16 bytes: vector i of it is put together
 * from the pieces of rows i, PIECE + i, 2 PIECE + i, ... as they are loaded, which costs no shuffle.
 * What is left is to transpose PIECE x PIECE elements within each piece: log2(PIECE) rounds of
 * interleaving, which every ISA has as one instruction. So vector j becomes column j of all rows.
 *
 * Where the matrix is large enough a block is HALF columns wide, and two halves are read for what
 * takes four pieces and three shuffles otherwise; pieces of two rows are paired last.
 *
 * Ragged edges are no case: the last block moves back until it is whole, and writes some elements
 * twice. Where there are fewer rows or columns than a piece holds and the other side is dense, whole
 * vectors are woven from up to WEAVE arrays, or unwoven.
 */
#ifndef CONVT_TRANSPOSE_H
#define CONVT_TRANSPOSE_H

#include "kernel.h"
#include "vector.h"

enum { PIECE = 16 / sizeof(real), PIECES = LANES / PIECE, HALF = LANES / 2, WEAVE = 3 };

typedef real piece __attribute__((vector_size(16)));
typedef real loose_piece __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));

INLINE piece load_piece(const real *p)
{
    return *(const loose_piece *)p;
}

/* The pieces at from + row[0], row[1], .. side by side. As elements of 128 bits, of which gcc makes
 * insertions from memory; of joined vectors it makes shuffles. */
INLINE vec join_pieces(const real *from, const int64_t row[PIECES])
{
#if CONVT_VECTOR_BYTES == 16
    return load_piece(from + row[0]);
#else
    __extension__ typedef __int128 loose __attribute__((aligned(sizeof(real)), may_alias));
    __extension__ typedef __int128 pieces __attribute__((vector_size(CONVT_VECTOR_BYTES)));
#define AT(q) (*(const loose *)(from + row[q]))
#if CONVT_VECTOR_BYTES == 32
    return (vec)(pieces){AT(0), AT(1)};
#else
    return (vec)(pieces){AT(0), AT(1), AT(2), AT(3)};
#endif
#undef AT
#endif
}

/* Within each piece, a0 b0 a1 b1 ..: the lower halves of a and b, or the upper ones. */
INLINE vec interleave(vec a, vec b, int upper)
{
    vec_bits index;
    UNROLL
    for (int l = 0; l < LANES; l++)
        index[l] = l / PIECE * PIECE + upper * (PIECE / 2) + l % PIECE / 2 + (l % 2) * LANES;
    return v_shuffle(a, b, index);
}

/* PIECE x PIECE elements in every piece of v[0], v[1], .. */
INLINE void turn_pieces(vec v[PIECE])
{
    vec turned[PIECE];
    UNROLL
    for (int round = 1; round < PIECE; round *= 2) {
        UNROLL
        for (int i = 0; i < PIECE; i++)
            turned[i] = interleave(v[i / 2], v[i / 2 + PIECE / 2], i % 2);
        UNROLL
        for (int i = 0; i < PIECE; i++) v[i] = turned[i];
    }
}

/* `whole`: the pieces' rows follow one another. */
INLINE void transpose_block(bool whole, const int64_t row[PIECES], const real *from,
                            int64_t from_stride, real *to, int64_t to_stride)
{
    vec v[PIECE];
    int64_t at[PIECES];
    UNROLL
    for (int q = 0; q < PIECES; q++) at[q] = row[q] * from_stride;
    UNROLL
    for (int i = 0; i < PIECE; i++) v[i] = join_pieces(from + i * from_stride, at);
    turn_pieces(v);
    UNROLL
    for (int j = 0; j < PIECE; j++) {
        if (whole) {
            v_store(to + j * to_stride + row[0], v[j]);
            continue;
        }
        UNROLL
        for (int q = 0; q < PIECES; q++)
            *(loose_piece *)(to + j * to_stride + row[q]) = ((const piece *)&v[j])[q];
    }
}

INLINE void transpose_rows(bool whole, const int64_t row[PIECES], int64_t columns, const real *from,
                           int64_t from_stride, real *to, int64_t to_stride)
{
    for (int64_t c = 0; c < columns; c += PIECE) {
        const int64_t first = c + PIECE <= columns ? c : columns - PIECE;
        transpose_block(whole, row, from + first, from_stride, to + first * to_stride, to_stride);
    }
}

/* At least PIECE rows and columns. */
static void transpose_blocks(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                             real *to, int64_t to_stride)
{
    int64_t row[PIECES];
    for (int64_t r = 0; r < rows; r += LANES) {
        const int64_t first = r + LANES <= rows || rows < LANES ? r : rows - LANES;
        for (int64_t q = 0; q < PIECES; q++)
            row[q] = first + (q + 1) * PIECE <= rows ? first + q * PIECE : rows - PIECE;
        if (rows >= LANES)
            transpose_rows(true, row, columns, from, from_stride, to, to_stride);
        else
            transpose_rows(false, row, columns, from, from_stride, to, to_stride);
    }
}

#if CONVT_VECTOR_BYTES > 16
/* a0 b0 a2 b2 of the pieces of a and b, or a1 b1 a3 b3. */
INLINE vec pair_pieces(vec a, vec b, int odd)
{
    vec_bits index;
    UNROLL
    for (int l = 0; l < LANES; l++) {
        const int p = l / PIECE;
        index[l] = (p / 2 * 2 + odd) * PIECE + l % PIECE + p % 2 * LANES;
    }
    return v_shuffle(a, b, index);
}

/* LANES rows by HALF columns. v_join_halves may read beside the block, but in rows of the matrix, because
 * i + HALF is not its first row and i not its last. */
INLINE void transpose_halves(const real *from, int64_t from_stride, real *to, int64_t to_stride)
{
    vec v[HALF];
    UNROLL
    for (int i = 0; i < HALF; i++)
        v[i] = v_join_halves(from + i * from_stride, from + (i + HALF) * from_stride);
    UNROLL
    for (int i = 0; i < HALF; i += PIECE) turn_pieces(v + i);
    UNROLL
    for (int j = 0; j < PIECE; j++) {
        if (HALF == PIECE) {
            v_store(to + j * to_stride, v[j]);
            continue;
        }
        v_store(to + j * to_stride, pair_pieces(v[j], v[j + HALF - PIECE], 0));
        v_store(to + (j + PIECE) * to_stride, pair_pieces(v[j], v[j + HALF - PIECE], 1));
    }
}

/* Rows are short stretches of memory far apart: the processor does not fetch by itself what comes next. */
enum { TRANSPOSE_AHEAD = 256 / sizeof(real) };

/* At least LANES rows and HALF columns. */
static void transpose_wide(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                           real *to, int64_t to_stride)
{
    for (int64_t r = 0; r < rows; r += LANES) {
        const int64_t row = r + LANES <= rows ? r : rows - LANES;
        for (int64_t c = 0; c < columns; c += HALF) {
            const int64_t column = c + HALF <= columns ? c : columns - HALF;
            if (c % LINE_REALS == 0) UNROLL
            for (int i = 0; i < LANES; i++)
                __builtin_prefetch(from + (row + i) * from_stride + column + TRANSPOSE_AHEAD);
            transpose_halves(from + row * from_stride + column, from_stride,
                             to + column * to_stride + row, to_stride);
        }
    }
}
#else
#define transpose_wide transpose_blocks /* a vector is a piece */
#endif

/*
 * Columns of `to` that may be written side by side. In the first cache (tiles.h)
 * columns a large power of two apart share few of them: of more columns, lines would be thrown out
 * half-written, before the next rows come to them.
 */
static int64_t columns_at_once(int64_t to_stride)
{
    const int64_t apart = to_stride * (int64_t)sizeof(real), power = apart & -apart;
    return power < WAY_BYTES ? WAY_BYTES / power * WAYS : WAYS;
}

/* At least LANES rows and HALF columns. */
static void transpose_parts(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                            real *to, int64_t to_stride)
{
    const int64_t part = columns_at_once(to_stride);
    for (int64_t c = 0; c + part < columns; c += part)
        transpose_wide(rows, part, from + c, from_stride, to + c * to_stride, to_stride);
    const int64_t rest = columns > part ? (columns - 1) % part + 1 : columns,
                  last = columns - (rest < HALF ? HALF : rest);
    transpose_wide(rows, columns - last, from + last, from_stride, to + last * to_stride,
                   to_stride);
}

static void transpose_elements(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                               real *to, int64_t to_stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) to[c * to_stride + r] = from[r * from_stride + c];
}

/* Lane l of the result is element at(l) of the arrays x[0], x[1], .. laid end to end. */
INLINE vec pick(int arrays, const vec x[], const int at[])
{
    vec picked = x[0];
    UNROLL
    for (int k = arrays > 1; k < arrays; k++) {
        vec_bits index;
        UNROLL
        for (int l = 0; l < LANES; l++)
            index[l] = at[l] / LANES == k ? LANES + at[l] % LANES : k > 1 ? l : at[l] % LANES;
        picked = v_shuffle(picked, x[k], index);
    }
    return picked;
}

/* LANES columns of `rows` rows to dense memory. */
INLINE void weave(int rows, int64_t columns, const real *from, int64_t from_stride, real *to)
{
    for (int64_t c = 0; c < columns; c += LANES) {
        const int64_t first = c + LANES <= columns ? c : columns - LANES;
        vec x[WEAVE];
        UNROLL
        for (int r = 0; r < rows; r++) x[r] = v_load(from + r * from_stride + first);
        UNROLL
        for (int v = 0; v < rows; v++) {
            int at[LANES];
            UNROLL
            for (int l = 0; l < LANES; l++)
                at[l] = (v * LANES + l) % rows * LANES + (v * LANES + l) / rows;
            v_store(to + first * rows + v * LANES, pick(rows, x, at));
        }
    }
}

/* LANES rows of `columns` columns from dense memory. */
INLINE void unweave(int columns, int64_t rows, const real *from, real *to, int64_t to_stride)
{
    for (int64_t r = 0; r < rows; r += LANES) {
        const int64_t first = r + LANES <= rows ? r : rows - LANES;
        vec x[WEAVE];
        UNROLL
        for (int v = 0; v < columns; v++) x[v] = v_load(from + first * columns + v * LANES);
        UNROLL
        for (int c = 0; c < columns; c++) {
            int at[LANES];
            UNROLL
            for (int l = 0; l < LANES; l++) at[l] = l * columns + c;
            v_store(to + c * to_stride + first, pick(columns, x, at));
        }
    }
}

static void transpose(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                      real *to, int64_t to_stride)
{
    const bool dense_to = to_stride == rows && columns >= LANES,
               dense_from = from_stride == columns && rows >= LANES;
    if (dense_to && rows == 1)
        weave(1, columns, from, from_stride, to);
    else if (dense_to && rows == 2)
        weave(2, columns, from, from_stride, to);
    else if (dense_to && rows == 3)
        weave(3, columns, from, from_stride, to);
    else if (dense_from && columns == 1)
        unweave(1, rows, from, to, to_stride);
    else if (dense_from && columns == 2)
        unweave(2, rows, from, to, to_stride);
    else if (dense_from && columns == 3)
        unweave(3, rows, from, to, to_stride);
    else if (rows < PIECE || columns < PIECE)
        transpose_elements(rows, columns, from, from_stride, to, to_stride);
    else if (rows < LANES || columns < HALF)
        transpose_blocks(rows, columns, from, from_stride, to, to_stride);
    else if (to_stride > from_stride)
        transpose_parts(rows, columns, from, from_stride, to, to_stride);
    else
        transpose_wide(rows, columns, from, from_stride, to, to_stride);
}

#endif
