/*
 * What the formulas of losses.def need beside src/kernel/eltwise.h: sign, logarithm, and binary
 * crossentropy of probabilities.
 *
 *   log(x) = k ln 2 + log1p(m - 1),   x = 2^k m,   sqrt(1/2) <= m < sqrt(2)
 */
#ifndef CONVT_ELEMENTS_H
#define CONVT_ELEMENTS_H

#define CONVT_VECTOR_BYTES 16 /* what every machine has: these units are compiled once */

#include "../../src/kernel/eltwise.h"

INLINE vec v_sign(vec x)
{
    return v_select(x > 0, 1, v_select(x < 0, -1, 0));
}

/* For positive normal x; NaN stays NaN. */
INLINE vec v_log(vec x)
{
    const vec_bits root_half = (vec_bits)v_splat((real)0.70710678118654752440);
    const vec_bits exponent = ((vec_bits)x - root_half) >> MANTISSA_BITS;
    const vec m = (vec)((vec_bits)x - (exponent << MANTISSA_BITS));
    const vec k = __builtin_convertvector(exponent, vec);
    const vec y = k * (real)LN2_HIGH + (v_log1p(m - 1) + k * (real)LN2_LOW);
    return v_select(x == x, y, x);
}

/* Clipped as Keras clips; no slope where it was clipped. */
INLINE vec clip_probability(vec p)
{
    const real least = (real)1e-7;
    return v_min(v_max(p, least), 1 - least);
}

INLINE vec crossentropy(vec t, vec p)
{
    const vec q = clip_probability(p);
    return -(t * v_log(q) + (1 - t) * v_log(1 - q));
}

INLINE vec crossentropy_slope(vec t, vec p)
{
    const vec q = clip_probability(p);
    return v_select(q == p, (q - t) / (q * (1 - q)), p - p); /* p - p: 0, but NaN of NaN */
}

#endif
