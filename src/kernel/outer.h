/*
 * outer, in registers:
 *
 *     out[r][j] (+)= sum over segments and i of v[row[r] + i * vs] * u[column[j] + i * us]
 *
 * Vector lanes run along u (input channels), rows are broadcasts from v (filters, or taps x
 * filters). Operands are read where the segments say, in place or in the caller's copies.
 */
#ifndef CONVT_OUTER_H
#define CONVT_OUTER_H

#include <stdbool.h>

#include "gather.h"

INLINE void outer(int rows, int vectors, const struct segment *segments, int64_t count,
                  const int64_t *row, const int64_t *column, real *out, int64_t stride, bool add)
{
    vec sum[KERNEL_MAX_ROWS][KERNEL_MAX_VECTORS];
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int j = 0; j < vectors; j++) sum[r][j] = v_splat(0);

    for (const struct segment *s = segments; s < segments + count; s++) {
        const real *v[KERNEL_MAX_ROWS], *u[KERNEL_MAX_VECTORS];
        UNROLL
        for (int r = 0; r < rows; r++) v[r] = s->v + row[r];
        UNROLL
        for (int j = 0; j < vectors; j++) u[j] = s->u + column[j];
        for (int64_t i = s->count, at = 0, from = 0; i > 0; i--, at += s->vs, from += s->us) {
            vec x[KERNEL_MAX_VECTORS];
            UNROLL
            for (int j = 0; j < vectors; j++) x[j] = v_load(u[j] + from);
            UNROLL
            for (int r = 0; r < rows; r++) {
                vec d = v_splat(v[r][at]);
                UNROLL
                for (int j = 0; j < vectors; j++) sum[r][j] += d * x[j];
            }
        }
    }

    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int j = 0; j < vectors; j++)
        v_store(out + r * stride + j * LANES,
                add ? v_load(out + r * stride + j * LANES) + sum[r][j] : sum[r][j]);
}

#endif
