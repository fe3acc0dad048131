/*
 * outer, in registers:
 *
 *     out[g][r][j] (+)= sum over segments and i of v[g * pitch + r + i * vs] * u[j + i * us]
 *
 * Vector lanes run along u; rows are broadcasts from v, contiguous within a group, so that a group
 * costs one pointer. Segments are read where they lie, in place or in the caller's copies.
 */
#ifndef CONVT_OUTER_H
#define CONVT_OUTER_H

#include "kernel.h"
#include "vector.h"

enum {
    NEAR = 8,  /* pixels ahead that rows are fetched from L2: they lie strides apart */
    PAIRED = 8 /* pixels that are worth a loop over two at a time */
};

/* Rows whose last vector is not whole. It is stored as the last LANES elements of its row, which
 * may overlap the vector before; read before that one is written, an element is added once. */
static void store_ragged(const real *tile, int rows, int vectors, real *out, int64_t stride,
                         int64_t width, bool add)
{
    for (int r = 0; r < rows; r++, out += stride, tile += vectors * LANES) {
        if (vectors == 1) {
            for (int64_t c = 0; c < width; c++) out[c] = add ? out[c] + tile[c] : tile[c];
            continue;
        }
        vec last = v_load(tile + width - LANES);
        if (add) last += v_load(out + width - LANES);
        for (int j = 0; j < vectors - 1; j++) {
            vec sum = v_load(tile + j * LANES);
            v_store(out + j * LANES, add ? v_load(out + j * LANES) + sum : sum);
        }
        v_store(out + width - LANES, last);
    }
}

INLINE void store_group(int rows, int vectors, vec sum[][KERNEL_MAX_VECTORS], real *out,
                        const struct outer_tile *t)
{
    const int64_t stride = t->stride;
    const bool add = t->add; /* for all that the compiler knows, out may be *t */
    if (t->width < vectors * LANES) {
        vec tile[OUTER_MAX_ROWS * KERNEL_MAX_VECTORS];
        UNROLL
        for (int r = 0; r < rows; r++) UNROLL
        for (int j = 0; j < vectors; j++) tile[r * vectors + j] = sum[r][j];
        store_ragged((const real *)tile, rows, vectors, out, stride, t->width, add);
        return;
    }
    UNROLL
    for (int r = 0; r < rows && add; r++) UNROLL
    for (int j = 0; j < vectors; j++) sum[r][j] += v_load(out + r * stride + j * LANES);
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int j = 0; j < vectors; j++) v_store(out + r * stride + j * LANES, sum[r][j]);
}

INLINE void prefetch_group(int rows, int vectors, const real *out, int64_t stride)
{
    UNROLL
    for (int r = 0; r < rows; r++) prefetch_lines(out + r * stride, vectors * LANES);
    if (begins_within_line(out) || stride % LINE_REALS != 0) UNROLL
    for (int r = 0; r < rows; r++) __builtin_prefetch(out + r * stride + vectors * LANES - 1, 1);
}

/* A pixel. */
INLINE void outer_step(int groups, int rows, int vectors, int64_t pitch, const real *u,
                       const real *v, vec sum[][OUTER_MAX_ROWS][KERNEL_MAX_VECTORS])
{
    vec x[KERNEL_MAX_VECTORS];
    UNROLL
    for (int j = 0; j < vectors; j++) x[j] = v_held(v_load(u + j * LANES));
    UNROLL
    for (int g = 0; g < groups; g++) UNROLL
    for (int r = 0; r < rows; r++) {
        const vec d = v_splat(v[g * pitch + r]);
        UNROLL
        for (int j = 0; j < vectors; j++) sum[g][r][j] += d * x[j];
    }
}

INLINE void outer(int groups, int rows, int vectors, const struct segment *segments, int64_t count,
                  const struct outer_tile *t)
{
    vec sum[OUTER_MAX_GROUPS][OUTER_MAX_ROWS][KERNEL_MAX_VECTORS];
    UNROLL
    for (int g = 0; g < groups; g++) UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int j = 0; j < vectors; j++) sum[g][r][j] = v_splat(0);
    UNROLL
    for (int g = 0; g < groups; g++)
        prefetch_group(rows, vectors, t->out + g * t->group_stride, t->stride);

    const int64_t pitch = t->pitch;
    for (const struct segment *s = segments; s < segments + count; s++) {
        const real *u = s->u + t->u, *v = s->v + t->v;
        const char *far = (const char *)s->far[t->fetch].from + t->fetch_at * (int64_t)sizeof(real);
        const int64_t us = s->us, vs = s->vs, step = s->far[t->fetch].step * (int64_t)sizeof(real);
        int64_t left = s->count;
        /* Both packed, as kernel rows that share x never are: nothing to fetch near by, and few lines far
         * away. Two pixels at a time, where a register is left for that, and pixels are not few. */
        if (groups == 1 && rows * vectors + vectors + 1 < CONVT_VECTOR_REGISTERS &&
            left >= PAIRED && us == vectors * LANES && vs <= OUTER_MAX_ROWS) {
            for (int64_t pairs = left / 2; pairs > 0; pairs--, far += 2 * step) {
                outer_step(groups, rows, vectors, pitch, u, v, sum);
                v = held_pointer(v + vs);
                __builtin_prefetch(far, 0, 2);
                outer_step(groups, rows, vectors, pitch, u + vectors * LANES, v, sum);
                v = held_pointer(v + vs);
                u = held_pointer(u + 2 * vectors * LANES);
            }
            left %= 2;
        }
        for (; left > 0; left--, u += us, v += vs, far += step) {
            __builtin_prefetch(far, 0, 2);
            __builtin_prefetch(v + NEAR * vs);
            outer_step(groups, rows, vectors, pitch, u, v, sum);
        }
    }
    UNROLL
    for (int g = 0; g < groups; g++)
        store_group(rows, vectors, sum[g], t->out + g * t->group_stride, t);
}

/*
 * Rows that panels take at a time: a panel's lines follow one another, and the rows stay in L1 until all
 * panels have had their part. The next rows are fetched meanwhile, line by line in memory's order.
 */
enum { SPLIT_ROWS = 16 };

struct coming {
    const real *row;
    int64_t stride, length, at; /* from row to row; of a row, and where in it */
    int64_t rows;               /* that are left */
};

INLINE void fetch_line(struct coming *c)
{
    if (c->rows <= 0) return;
    __builtin_prefetch(c->row + c->at);
    c->at += LINE_REALS;
    if (c->at < c->length) return;
    c->at = 0;
    c->row += c->stride;
    c->rows--;
}

/* What a panel takes of every row, in whole vectors: of dz these are more than its elements, and a row
 * is stored over what the one before it left behind its end. */
INLINE void split_panel(int64_t vectors, int64_t rows, const real *from, int64_t from_stride,
                        int64_t width, struct coming *coming, real *to)
{
    for (; rows > 0; rows--, from += from_stride, to += width) {
        fetch_line(coming);
        for (int64_t j = 0; j < vectors * LANES; j += LANES) v_store(to + j, v_load(from + j));
    }
}

/* The last panels, whose whole vectors would lie behind the row's end. */
static void split_end(int64_t vectors, int64_t rows, int64_t left, const real *from,
                      int64_t from_stride, int64_t width, real *to)
{
    for (; rows > 0; rows--, from += from_stride, to += width)
        for (int64_t j = 0; j < vectors * LANES; j += LANES)
            v_store(to + j, left > j ? load_up_to(from + j, left - j) : v_splat(0));
}

static void split_rows(const struct panels *p, int64_t rows, const real *from, int64_t from_stride,
                       struct coming *coming, real *to)
{
    const int64_t share = p->units / p->cuts, extra = p->units % p->cuts;
    int64_t owed = extra * p->cut0 % p->cuts, begin = p->units * p->cut0 / p->cuts * p->unit, count;
    for (int64_t cut = p->cut0; cut < p->cut1; cut++, begin += count, to += p->size) {
        owed += extra;
        count = (share + (owed >= p->cuts)) * p->unit;
        if (owed >= p->cuts) owed -= p->cuts;
        const int64_t vectors = (count + LANES - 1) / LANES, left = p->length - begin;
        const real *at = from + begin;
        if (left < vectors * LANES) {
            split_end(vectors, rows, left, at, from_stride, p->width, to);
            continue;
        }
        switch (vectors) { /* what is not listed occurs where vectors have two lanes */
        case 1: split_panel(1, rows, at, from_stride, p->width, coming, to); break;
        case 2: split_panel(2, rows, at, from_stride, p->width, coming, to); break;
        case 3: split_panel(3, rows, at, from_stride, p->width, coming, to); break;
        case 4: split_panel(4, rows, at, from_stride, p->width, coming, to); break;
        default: split_panel(vectors, rows, at, from_stride, p->width, coming, to);
        }
    }
}

static void split(int64_t rows, const real *from, int64_t from_stride, const struct panels *p,
                  real *to)
{
    const int64_t first = p->units * p->cut0 / p->cuts * p->unit,
                  last = p->units * p->cut1 / p->cuts * p->unit;
    for (; rows > 0; rows -= SPLIT_ROWS, to += SPLIT_ROWS * p->width) {
        const real *next = from + SPLIT_ROWS * from_stride;
        const int64_t left = rows - SPLIT_ROWS;
        struct coming coming = {next + first, from_stride, last - first, 0,
                                left < SPLIT_ROWS ? left : SPLIT_ROWS};
        split_rows(p, rows < SPLIT_ROWS ? rows : SPLIT_ROWS, from, from_stride, &coming, to);
        from = next;
    }
}

#endif
