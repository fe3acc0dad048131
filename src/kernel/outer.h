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

enum { NEAR = 8 }; /* pixels ahead that rows are fetched from L2: they lie strides apart */

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

INLINE void outer(int groups, int rows, int vectors, const struct segment *segments, int64_t count,
                  const struct outer_tile *t)
{
    vec sum[OUTER_MAX_GROUPS][OUTER_MAX_ROWS][KERNEL_MAX_VECTORS];
    UNROLL
    for (int g = 0; g < groups; g++) UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int j = 0; j < vectors; j++) {
        sum[g][r][j] = v_splat(0);
        __builtin_prefetch(t->out + g * t->group_stride + r * t->stride + j * LANES, 1);
    }

    const int64_t pitch = t->pitch;
    for (const struct segment *s = segments; s < segments + count; s++) {
        const real *u = s->u + t->u, *v = s->v + t->v;
        const char *far = (const char *)s->far[t->fetch].from + t->fetch_at * (int64_t)sizeof(real);
        const int64_t us = s->us, vs = s->vs, step = s->far[t->fetch].step * (int64_t)sizeof(real);
        for (int64_t i = s->count; i > 0; i--, u += us, v += vs, far += step) {
            vec x[KERNEL_MAX_VECTORS];
            UNROLL
            for (int j = 0; j < vectors; j++) x[j] = v_held(v_load(u + j * LANES));
            __builtin_prefetch(far, 0, 2);
            __builtin_prefetch(v + NEAR * vs);
            UNROLL
            for (int g = 0; g < groups; g++) UNROLL
            for (int r = 0; r < rows; r++) {
                vec d = v_splat(v[g * pitch + r]);
                UNROLL
                for (int j = 0; j < vectors; j++) sum[g][r][j] += d * x[j];
            }
        }
    }
    UNROLL
    for (int g = 0; g < groups; g++)
        store_group(rows, vectors, sum[g], t->out + g * t->group_stride, t);
}

/* to[r][c] = from[r][c], c < columns, zeros up to whole vectors; rows are fetched ahead of their
 * turn, since nothing else does where they lie far apart. */
static void copy_rows(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                      real *to, int64_t to_stride)
{
    enum { AHEAD = 12 };
    const int64_t whole = columns / LANES * LANES;
    for (; rows > 0; rows--, from += from_stride, to += to_stride) {
        for (int64_t c = 0; c < columns; c += 64 / (int)sizeof(real))
            __builtin_prefetch(from + AHEAD * from_stride + c);
        for (int64_t c = 0; c < whole; c += LANES) v_store(to + c, v_load(from + c));
        if (whole < columns) v_store(to + whole, v_load_part(from + whole, columns - whole));
    }
}

#endif
