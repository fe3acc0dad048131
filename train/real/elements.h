/*
 * What the formulas of losses.def need beside src/kernel/eltwise.h: sign, powers, and the pieces of
 * Keras' losses that are longer than a line.
 *
 *   log cosh(x)  = log1p(u^2 / (2 (1 + u))),   u = e^|x| - 1,   near 0, where
 *                  |x| + log1p(e^-2|x|) - log 2 would cancel
 */
#ifndef CONVT_ELEMENTS_H
#define CONVT_ELEMENTS_H

#define CONVT_VECTOR_BYTES 16 /* what every machine has: these units are compiled once */

#include "../../src/kernel/eltwise.h"

#define CONVT_EPSILON ((real)1e-7)

/* Arguments of a loss, by their names. */
typedef struct loss_params {
#define LOSS_ARGUMENT(name, range) real name;
#include "convt/losses.def"
} loss_params;

INLINE vec v_sign(vec x)
{
    return v_select(x > 0, 1, v_select(x < 0, -1, 0));
}

/* For any x: NaN below 0, and minus infinity at 0. */
INLINE vec log_or_nan(vec x)
{
    const real least = CONVT_REAL == 32 ? (real)0x1p-126 : (real)0x1p-1022;
    const vec low = v_select(x < 0, (real)__builtin_nan(""), -(real)__builtin_inf());
    return v_select(x < least, low, v_log(v_select(x < least, 1, x)));
}

/* x^y; whole powers by multiplication, so that x may be negative. */
INLINE vec v_power(vec x, real y)
{
    enum { MOST_WHOLE = 64 };
    if (y >= -MOST_WHOLE && y <= MOST_WHOLE && (real)(int)y == y) {
        vec product = v_splat(1);
        for (int n = y < 0 ? -(int)y : (int)y; n > 0; n >>= 1, x *= x)
            if (n & 1) product *= x;
        return y < 0 ? 1 / product : product;
    }
    return v_exp(y * log_or_nan(x));
}

INLINE vec v_log_cosh(vec x)
{
    const vec a = v_abs(x), u = v_expm1(v_min(a, 1));
    const vec near = v_log1p(u * u / (2 * (1 + u)));
    const vec far = a + (v_log1p(v_exp_down(-2 * a)) - (real)0.69314718055994530942);
    return v_select(a < 1, near, far);
}

/* Clipped as Keras clips; no slope where it was clipped. */
INLINE vec clip_probability(vec p)
{
    return v_min(v_max(p, CONVT_EPSILON), 1 - CONVT_EPSILON);
}

INLINE vec clip_to_one(vec p)
{
    return v_min(v_max(p, CONVT_EPSILON), 1);
}

INLINE vec where_unclipped(vec p, vec clipped, vec slope)
{
    return v_select(clipped == p, slope, p - p); /* p - p: 0, but NaN of NaN */
}

INLINE vec crossentropy(vec t, vec p)
{
    const vec q = clip_probability(p);
    return -(t * v_log(q) + (1 - t) * v_log(1 - q));
}

INLINE vec crossentropy_slope(vec t, vec p)
{
    const vec q = clip_probability(p);
    return where_unclipped(p, q, (q - t) / (q * (1 - q)));
}

/* log((1 + p) / (1 + t)), both at least epsilon, without cancellation where they are close. */
INLINE vec log_error(vec t, vec p)
{
    const vec q = v_max(p, CONVT_EPSILON), r = v_max(t, CONVT_EPSILON);
    const vec_bits up = q >= r;
    const vec u = v_select(up, q - r, r - q) / (1 + v_select(up, r, q));
    const vec size = v_select(u <= 1, v_log1p(v_min(u, 1)), v_log(1 + u));
    return v_select(up, size, -size);
}

INLINE vec log_error_slope(vec t, vec p)
{
    const vec q = v_max(p, CONVT_EPSILON);
    return where_unclipped(p, q, 2 * log_error(t, p) / (1 + q));
}

/* Focal crossentropy of a probability p and its complement r (given, because 1 - p has few digits
 * left where p came from a large logit):
 *
 *     u^gamma c,   u = t r + (1 - t) p,   c = -t log p - (1 - t) log r
 */
INLINE vec focal_crossentropy(vec t, vec p, vec r)
{
    const real least = 1 - (1 - CONVT_EPSILON); /* what Keras' clip of p leaves of 1 - p */
    return -(t * v_log(clip_probability(p)) +
             (1 - t) * v_log(v_min(v_max(r, least), 1 - CONVT_EPSILON)));
}

INLINE vec focal(real gamma, vec t, vec p, vec r)
{
    return v_power(t * r + (1 - t) * p, gamma) * focal_crossentropy(t, p, r);
}

INLINE vec focal_slope(real gamma, vec t, vec p, vec r)
{
    const vec u = t * r + (1 - t) * p;
    const vec inner = where_unclipped(p, clip_probability(p), (1 - t) / r - t / p);
    const vec outer = gamma != 0 ? gamma * v_power(u, gamma - 1) : v_splat(0);
    return outer * (1 - 2 * t) * focal_crossentropy(t, p, r) + v_power(u, gamma) * inner;
}

INLINE vec class_weight(loss_params a, vec t)
{
    return a.apply_class_balancing != 0 ? t * a.alpha + (1 - t) * (1 - a.alpha) : v_splat(1);
}

#endif
