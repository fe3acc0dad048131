/*
 * lines, in registers:
 *
 *     line[r][p] += sum over shifts s and k of w[s][k][r] * x[k][p + s * step]
 *
 * Vector lanes run over positions p of long lines, rows are broadcasts from w (a tap row, a phase
 * and a filter each). Around it: copy brings channels_first x into lines, weave interleaves the lines
 * of all phases (and filters) to y.
 */
#ifndef CONVT_LINES_H
#define CONVT_LINES_H

#include "kernel.h"
#include "vector.h"

/* The operands of the lesser number stay in registers, those of the other are used as they come. */
INLINE void line(int rows, int vectors, const struct line_tile *t)
{
    vec sum[LINE_MAX_ROWS][LINE_MAX_VECTORS];
    real *const *const line = t->line;
    const int64_t at = t->at;
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) sum[r][v] = v_load(line[r] + at + v * LANES);

    const char *ahead = t->ahead;
    const int64_t step = t->step;
    for (int64_t s = 0; s < t->shifts; s++) {
        const real *x = t->x + s * t->x_shift, *w = t->w + s * t->w_shift;
        for (int64_t k = t->channels; k > 0; k--, x += t->x_stride, w += t->w_stride) {
            __builtin_prefetch(ahead, 0, 2);
            ahead += step;
            vec held[LINE_MAX_VECTORS];
            UNROLL
            for (int v = 0; v < vectors && rows >= vectors; v++)
                held[v] = v_held(v_load(x + v * LANES));
            UNROLL
            for (int r = 0; r < rows && rows >= vectors; r++) {
                vec a = v_splat(w[r]);
                UNROLL
                for (int v = 0; v < vectors; v++) sum[r][v] += a * held[v];
            }
            UNROLL
            for (int r = 0; r < rows && rows < vectors; r++) held[r] = v_splat(w[r]);
            UNROLL
            for (int v = 0; v < vectors && rows < vectors; v++) {
                vec a = v_held(v_load(x + v * LANES));
                UNROLL
                for (int r = 0; r < rows; r++) sum[r][v] += held[r] * a;
            }
        }
    }

    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < vectors; v++) v_store(line[r] + at + v * LANES, sum[r][v]);
}

/* Zips the first and second half of every `width` of m vectors into as many of twice the positions. */
INLINE void zip_halves(int m, int width, vec *v)
{
    vec zipped[LINE_MAX_WEAVE];
    vec_bits low, high;
    UNROLL
    for (int l = 0; l < LANES; l++) {
        low[l] = l / 2 + l % 2 * LANES;
        high[l] = low[l] + LANES / 2;
    }
    UNROLL
    for (int j = 0; j < m; j++) {
        const int at = j - j % width + j % (width / 2);
        zipped[j] = v_shuffle(v[at], v[at + width / 2], j % width < width / 2 ? low : high);
    }
    UNROLL
    for (int j = 0; j < m; j++) v[j] = zipped[j];
}

/* Interleaves every `width` of m vectors, lane by lane. */
INLINE void pick_lanes(int m, int width, vec *v)
{
    vec picked[LINE_MAX_WEAVE];
    UNROLL
    for (int i = 0; i < m; i++) {
        const int block = i - i % width;
        picked[i] = v[block];
        UNROLL
        for (int j = 1; j < width; j++) {
            vec_bits from;
            UNROLL
            for (int l = 0; l < LANES; l++) {
                int at = i % width * LANES + l;
                from[l] = at % width == j ? LANES + at / width : j == 1 ? at / width : l;
            }
            picked[i] = v_shuffle(picked[i], v[block + j], from);
        }
    }
    UNROLL
    for (int i = 0; i < m; i++) v[i] = picked[i];
}

/* v[j], elements of line j, become vectors of the m interleaved lines: zipping costs one shuffle a
 * vector and halves their number until it is odd, picking the rest all but one. */
INLINE void interleave_lines(int m, vec *v)
{
    if (m % 2 == 0) zip_halves(m, m, v);
    if (m % 4 == 0) zip_halves(m, m / 2, v);
    if (m % 8 == 0) zip_halves(m, m / 4, v);
    pick_lanes(m, m / (m % 8 == 0 ? 8 : m % 4 == 0 ? 4 : m % 2 == 0 ? 2 : 1), v);
}

INLINE void weave_lines(int m, int64_t count, const real *line, int64_t stride, real *y)
{
    for (; count > 0; count -= m * LANES, line += LANES, y += m * LANES) {
        vec v[LINE_MAX_WEAVE];
        UNROLL
        for (int j = 0; j < m; j++) v[j] = v_load(line + j * stride);
        interleave_lines(m, v);
        if (count >= m * LANES) {
            UNROLL
            for (int j = 0; j < m; j++) v_store(y + j * LANES, v[j]);
        } else {
            real last[LINE_MAX_WEAVE * LANES];
            UNROLL
            for (int j = 0; j < m; j++) v_store(last + j * LANES, v[j]);
            memcpy(y, last, (size_t)count * sizeof(real));
        }
    }
}

static void copy(int64_t rows, int64_t count, const real *from, int64_t from_stride, real *to,
                 int64_t to_stride)
{
    for (; rows > 0; rows--, from += from_stride, to += to_stride) {
        int64_t j = 0;
        for (; j + LANES <= count; j += LANES) v_store(to + j, v_load(from + j));
        if (j < count && count >= LANES)
            v_store(to + count - LANES, v_load(from + count - LANES));
        else
            for (; j < count; j++) to[j] = from[j];
    }
}

/* Twenty-four accumulators of thirty-two registers, twelve of sixteen. */
#define LINE(rows, vectors)                                        \
    static void line_##rows##x##vectors(const struct line_tile *t) \
    {                                                              \
        line(rows, vectors, t);                                    \
    }
#define LINE_NAME(rows, vectors) line_##rows##x##vectors,
#define UP_TO_1(of, v) of(1, v)
#define UP_TO_2(of, v) UP_TO_1(of, v) of(2, v)
#define UP_TO_3(of, v) UP_TO_2(of, v) of(3, v)
#define UP_TO_4(of, v) UP_TO_3(of, v) of(4, v)
#define UP_TO_6(of, v) UP_TO_4(of, v) of(5, v) of(6, v)
#define UP_TO_8(of, v) UP_TO_6(of, v) of(7, v) of(8, v)
#define UP_TO_12(of, v) UP_TO_8(of, v) of(9, v) of(10, v) of(11, v) of(12, v)

#if CONVT_VECTOR_REGISTERS >= 32
#define LINE_ROWS                   \
    {                               \
        0, 12, 12, 8, 6, 4, 4, 3, 3 \
    }
UP_TO_12(LINE, 1)
UP_TO_12(LINE, 2)
UP_TO_8(LINE, 3)
UP_TO_6(LINE, 4)
UP_TO_4(LINE, 5)
UP_TO_4(LINE, 6)
UP_TO_3(LINE, 7)
UP_TO_3(LINE, 8)
static line_kernel *const line_tiles[][LINE_MAX_ROWS + 1] = {
    {NULL},
    {NULL, UP_TO_12(LINE_NAME, 1)},
    {NULL, UP_TO_12(LINE_NAME, 2)},
    {NULL, UP_TO_8(LINE_NAME, 3)},
    {NULL, UP_TO_6(LINE_NAME, 4)},
    {NULL, UP_TO_4(LINE_NAME, 5)},
    {NULL, UP_TO_4(LINE_NAME, 6)},
    {NULL, UP_TO_3(LINE_NAME, 7)},
    {NULL, UP_TO_3(LINE_NAME, 8)},
};
#else
#define LINE_ROWS                  \
    {                              \
        0, 12, 6, 4, 3, 2, 2, 1, 1 \
    }
UP_TO_12(LINE, 1)
UP_TO_6(LINE, 2)
UP_TO_4(LINE, 3)
UP_TO_3(LINE, 4)
UP_TO_2(LINE, 5)
UP_TO_2(LINE, 6)
UP_TO_1(LINE, 7)
UP_TO_1(LINE, 8)
static line_kernel *const line_tiles[][LINE_MAX_ROWS + 1] = {
    {NULL},
    {NULL, UP_TO_12(LINE_NAME, 1)},
    {NULL, UP_TO_6(LINE_NAME, 2)},
    {NULL, UP_TO_4(LINE_NAME, 3)},
    {NULL, UP_TO_3(LINE_NAME, 4)},
    {NULL, UP_TO_2(LINE_NAME, 5)},
    {NULL, UP_TO_2(LINE_NAME, 6)},
    {NULL, UP_TO_1(LINE_NAME, 7)},
    {NULL, UP_TO_1(LINE_NAME, 8)},
};
#endif

#define WEAVE(m)                                                                    \
    static void weave_##m(int64_t count, const real *line, int64_t stride, real *y) \
    {                                                                               \
        weave_lines(m, count, line, stride, y);                                     \
    }
WEAVE(1)
WEAVE(2)
WEAVE(3)
WEAVE(4)
WEAVE(5)
WEAVE(6)
WEAVE(7)
WEAVE(8)
static weave_kernel *const weave_table[] = {NULL,    weave_1, weave_2, weave_3, weave_4,
                                            weave_5, weave_6, weave_7, weave_8};

#endif
