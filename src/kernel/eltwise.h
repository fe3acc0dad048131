/*
 * Elementary functions on vectors, for the formulas of activations.def: branch free, no libm, both
 * reals and every vector width from one source. NaN in, NaN out; infinities and overflow as in
 * libm; results below the normal range become 0.
 *
 *   exp, expm1   x = k ln 2 + r, |r| <= ln 2 / 2;   e^x = 2^k (1 + q)
 *                q = expm1(r) = r + r^2 / 2 + r^3 Q(r)
 *   log1p        s = u / (2 + u);   log1p(u) = 2 atanh(s) = u - s (u - s^2 L(s^2))
 *   sigmoid      t = e^-|x|, d = t / (1 + t);   1 - d for x >= 0, t - t d for x < 0
 *   tanh         t = e^-2|x|;   |tanh x| = 1 - 2 t / (1 + t),
 *                and |x| + |x|^3 T(x^2) where that is below 1/2
 *   softplus     max(x, 0) + log1p(e^-|x|)
 *
 * Q, L and T are minimax polynomials, fitted to the error of the whole function. Contraction to FMA
 * is welcome and not needed: ln 2 is split so that k times its upper part is exact.
 */
#ifndef CONVT_ELTWISE_H
#define CONVT_ELTWISE_H

#include "vector.h"

#if CONVT_REAL == 32
typedef uint32_t real_word;
enum { MANTISSA_BITS = 23, EXP_TERMS = 5, LOG_TERMS = 5, TANH_TERMS = 5 };
static const real exp_q[EXP_TERMS] = {0.166666667722f, 0.041666482072f, 0.00833328218857f,
                                      0.00139333079288f, 0.000199096733553f};
static const real log_l[LOG_TERMS] = {0.66666675479f, 0.399988879161f, 0.286166438245f,
                                      0.214299912258f, 0.24292972203f};
static const real tanh_t[TANH_TERMS] = {-0.333333180663f, 0.133326019512f, -0.0538538563127f,
                                        0.0210776610743f, -0.00628223248173f};
#define ROUNDER 0x1.8p23f /* adding it leaves the nearest integer in the low mantissa bits */
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW -0x1.bd0106p-13f
#define EXP_HIGHEST 0x1.62e42ep+6f /* e^x is finite up to here */
#define EXP_LOWEST -0x1.5d589ep+6f /* and normal down to here */
#define EXPM1_LOWEST -30           /* expm1 is -1 long before */
#define EXPONENT_BIAS 127
#else
typedef uint64_t real_word;
enum { MANTISSA_BITS = 52, EXP_TERMS = 10, LOG_TERMS = 10, TANH_TERMS = 11 };
static const real exp_q[EXP_TERMS] = {0.166666666666666764,      0.041666666666666689724,
                                      0.008333333333321745683,   0.0013888888888870271166,
                                      0.00019841269885873835434, 0.000024801587355867132305,
                                      2.755724443824060629e-6,   2.7557245780272215708e-7,
                                      2.5108963342522629306e-8,  2.0923699816635608621e-9};
static const real log_l[LOG_TERMS] = {
    0.66666666666666328195,  0.40000000000150451602, 0.28571428548559068346, 0.22222223932171856454,
    0.18181745089463896485,  0.1538653768621346519,  0.13301238848815161887, 0.12104159708273141493,
    0.083478947895526391166, 0.17005111227550039353};
static const real tanh_t[TANH_TERMS] = {
    -0.33333333333333300133,    0.13333333333326875629,     -0.053968253963895422692,
    0.021869488389437292216,    -0.0088632326565335212101,  0.0035920925570371997849,
    -0.0014555460730510974766,  0.00058845718024090603812,  -0.00023341255194187820911,
    0.000083359177671260477572, -0.000019520126743197798496};
#define ROUNDER 0x1.8p52
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_HIGHEST 0x1.62e42fefa39efp+9
#define EXP_LOWEST -0x1.6232bdd7abcd2p+9
#define EXPM1_LOWEST -60
#define EXPONENT_BIAS 1023
#endif

typedef real_word vec_word __attribute__((vector_size(CONVT_VECTOR_BYTES)));

/* Formulas mix vectors and scalars; both become vectors (x - 0 keeps every x, -0 too, and costs
 * nothing). */
#define v_of(a) ((a) - (vec){0})
#define v_select(mask, a, b) v_select_vectors((mask), v_of(a), v_of(b))
#define v_min(a, b) v_min_vectors(v_of(a), v_of(b))
#define v_max(a, b) v_max_vectors(v_of(a), v_of(b))

INLINE vec v_select_vectors(vec_bits mask, vec a, vec b)
{
    return (vec)(((vec_bits)a & mask) | ((vec_bits)b & ~mask));
}

/* A NaN in the first argument stays. */
INLINE vec v_min_vectors(vec a, vec b)
{
    return v_select_vectors(b < a, b, a);
}

INLINE vec v_max_vectors(vec a, vec b)
{
    return v_select_vectors(b > a, b, a);
}

INLINE vec_bits v_sign_bit(void)
{
    return (vec_bits)v_splat((real)-0.0);
}

INLINE vec v_abs(vec x)
{
    return (vec)((vec_bits)x & ~v_sign_bit());
}

/* slope * x, where slope 0 means nothing comes through, not even an infinity. */
INLINE vec v_leak(real slope, vec x)
{
    return slope != 0 ? slope * x : v_select(x == x, 0, x);
}

INLINE vec v_polynomial(vec x, const real *coefficients, int terms)
{
    vec sum = v_splat(coefficients[terms - 1]);
    UNROLL
    for (int i = terms - 2; i >= 0; i--) sum = sum * x + coefficients[i];
    return sum;
}

/* k is the nearest integer to x / ln 2; *scale is 2^(k + lift), returns expm1(x - k ln 2). */
INLINE vec v_reduced_expm1(vec x, vec lift, vec *scale)
{
    /* The sum's low mantissa bits are k + lift + bias: shifted into place they are the exponent of
     * 2^(k + lift). */
    const vec rounder = lift + (real)(ROUNDER + EXPONENT_BIAS);
    vec t = x * (real)LOG2_E + rounder, k = t - rounder;
    *scale = (vec)((vec_word)t << MANTISSA_BITS);
    vec r = x - k * (real)LN2_HIGH;
    r = r - k * (real)LN2_LOW;
    return r + r * r * (v_polynomial(r, exp_q, EXP_TERMS) * r + (real)0.5);
}

/* e^x for x <= 0 (and a little beyond). */
INLINE vec v_exp_down(vec x)
{
    vec scale, q = v_reduced_expm1(x, v_splat(0), &scale);
    return v_select(x < (real)EXP_LOWEST, 0, scale * q + scale);
}

INLINE vec v_exp(vec x)
{
    /* Where the result is near overflow 2^k is not finite, where it is near underflow 2^(k-1) is
     * not normal. */
    vec_bits up = x > 0;
    vec scale, q = v_reduced_expm1(x, v_select(up, -1, 0), &scale);
    vec y = (scale * q + scale) * v_select(up, 2, 1);
    y = v_select(x < (real)EXP_LOWEST, 0, y);
    return v_select(x > (real)EXP_HIGHEST, (real)__builtin_inf(), y);
}

INLINE vec v_expm1(vec x)
{
    vec half, q = v_reduced_expm1(v_max(x, EXPM1_LOWEST), v_splat(-1),
                                  &half); /* half of 2^k, which could overflow */
    vec y = half * q + (half - (real)0.5);
    return v_select(x > (real)EXP_HIGHEST, (real)__builtin_inf(), y + y);
}

/* For u in [0, 1]. */
INLINE vec v_log1p(vec u)
{
    vec s = u / (2 + u), z = s * s;
    return u - s * (u - z * v_polynomial(z, log_l, LOG_TERMS));
}

INLINE vec v_sigmoid(vec x)
{
    vec t = v_exp_down(-v_abs(x)), whole = v_select(x < 0, t, 1);
    return whole -
           whole * (t / (1 + t)); /* one rounding less than whole / (1 + t) where t is small */
}

INLINE vec v_tanh(vec x)
{
    vec a = v_abs(x), t = v_exp_down(-2 * a), z = a * a;
    vec far = 1 - 2 * t / (1 + t), near = a + a * z * v_polynomial(z, tanh_t, TANH_TERMS);
    vec y = v_select(a > (real)0.55, far, near);
    return (vec)((vec_bits)y | ((vec_bits)x & v_sign_bit()));
}

INLINE vec v_softplus(vec x)
{
    return v_max(x, 0) + v_log1p(v_exp_down(-v_abs(x)));
}

#endif
