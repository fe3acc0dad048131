/*
 * Elementary functions on vectors, for the formulas of activations.def: branch free, no libm, both
 * reals and every vector width from one source. NaN in, NaN out; infinities and overflow as in
 * libm; results below the normal range become 0.
 *
 *   exp, expm1   x = k ln 2 + r, |r| <= ln 2 / 2;   e^x = 2^k (1 + q)
 *                q = expm1(r) = r + r^2 / 2 + r^3 Q(r)
 *   log1p        s = u / (2 + u);   log1p(u) = 2 atanh(s) = u - s (u - s^2 L(s^2))
 *   log          x = 2^k m, sqrt(1/2) <= m < sqrt(2);   k ln 2 + log1p(m - 1)
 *   sigmoid      t = e^-|x|, d = t / (1 + t);   1 - d for x >= 0, t - t d for x < 0
 *                its slope: d - d^2
 *   tanh         t = e^-2|x|;   |tanh x| = 1 - 2 t / (1 + t),
 *                and |x| - |x|^3 T(x^2) where |x| is below 0.8
 *   x - tanh x   |x| - 1 + 2 t / (1 + t), and |x|^3 T(x^2)
 *   softplus     max(x, 0) + log1p(e^-|x|)
 *   tanh softplus  t = e^-|x|;   (t^2 + 2 t) / (t^2 + 2 t + 2) for x < 0,
 *                (1 + 2 t) / (1 + 2 t + 2 t^2) for x >= 0
 *   silu         n - n d,   n = x for x >= 0, x t for x < 0
 *   gelu         max(x, 0) - a N,   a = |x|, N = normal cdf of -a = (1 - v) u e^(-a^2 / 2),
 *                v = a / (a + 3/2), 1 - v = 3/2 / (a + 3/2);
 *                a N = v U e^(-a^2 / 2),   U = 3/2 u = 3/4 + v W(2 v - 1)
 *                its slope: m for x <= 0, 1 - m for x > 0,   m = N - a e^(-a^2 / 2) / sqrt(2 pi)
 *
 * Q, L, T and W are minimax polynomials, fitted to the error of the whole function. Contraction to
 * FMA is welcome and not needed: ln 2 is split so that k times its upper part is exact.
 *
 * Values of activations are off by at most 2 units in the last place, in float32 and in float64, with
 * FMA or without; but silu 2.25, squareplus 3, tanh_shrink 3.25, gelu 3.5 and mish 4
 * (tests/support/eltwise_tests.h).
 */
#ifndef CONVT_ELTWISE_H
#define CONVT_ELTWISE_H

#include "vector.h"

#if CONVT_REAL == 32
typedef uint32_t real_word;
enum { MANTISSA_BITS = 23, EXP_TERMS = 5, LOG_TERMS = 5, TANH_TERMS = 7, NORMAL_TERMS = 11 };
static const real exp_q[EXP_TERMS] = {0.166666667722f, 0.041666482072f, 0.00833328218857f,
                                      0.00139333079288f, 0.000199096733553f};
static const real log_l[LOG_TERMS] = {0.66666675479f, 0.399988879161f, 0.286166438245f,
                                      0.214299912258f, 0.24292972203f};
static const real tanh_t[TANH_TERMS] = {0.333333331955f,   -0.133333121596f,  0.0539628869432f,
                                        -0.0218177893099f, 0.00862114783669f, -0.00298716162635f,
                                        0.000634602438049f};
static const real normal_w[NORMAL_TERMS] = {
    -0.265315994554f,    -0.124882942479f,   0.00989164637079f, 0.0259009414855f,
    0.00938337513657f,   -0.00140387314373f, -0.0034765632064f, -0.00195365852981f,
    -0.000113115708382f, 0.000625740757891f, 0.000297362390305f};
#define ROUNDER 0x1.8p23f /* adding it leaves the nearest integer in the low mantissa bits */
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW -0x1.bd0106p-13f
#define EXP_HIGHEST 0x1.62e42ep+6f /* e^x is finite up to here */
#define EXP_LOWEST -0x1.5d589ep+6f /* and normal down to here */
#define EXPM1_LOWEST -30           /* expm1 is -1 long before */
#define EXPONENT_BIAS 127
#define SCALAR_SQRT __builtin_sqrtf
#else
typedef uint64_t real_word;
enum { MANTISSA_BITS = 52, EXP_TERMS = 10, LOG_TERMS = 10, TANH_TERMS = 14, NORMAL_TERMS = 30 };
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
    0.33333333333333333044,      -0.13333333333333155745,    0.053968253968072968541,
    -0.021869488528869394621,    0.0088632353763985964974,   -0.0035921260922194379077,
    0.0014558183582634757614,    -0.00058993719507841088072, 0.00023877190322374890817,
    -0.000095906070778026870526, 0.000037233907183687675928, -0.000012966331880171554385,
    3.4512616882747937064e-6,    -4.967890184297293865e-7};
static const real normal_w[NORMAL_TERMS] = {
    -0.26531599813563189288,     -0.12488303883613208453,     0.0098921340366180981096,
    0.025903904348683148828,     0.0093742580095682591136,    -0.0014300825350986365616,
    -0.0034203826584975096972,   -0.0018506622421817505774,   -0.00025376756519542885572,
    0.00041825797436518668256,   0.00042404083817015536938,   0.00020608978384703859012,
    0.000022263487854501727075,  -0.000058753720822633391944, -0.000062921691798187997558,
    -0.000036761905296207015626, -0.000011592340180594501108, 5.2396239179778442633e-6,
    0.000014040139034321482416,  8.7482484369211890554e-6,    -3.3635287199018650992e-6,
    -1.1729406282573339164e-6,   7.9546757765770017995e-6,    1.2793476077801599035e-6,
    -8.7210285599151522769e-6,   -3.498854691355823044e-6,    3.7159639445947573775e-6,
    2.0448060275639665494e-6,    -5.8545363675198497174e-7,   -3.8744609631516370831e-7};
#define ROUNDER 0x1.8p52
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_HIGHEST 0x1.62e42fefa39efp+9
#define EXP_LOWEST -0x1.6232bdd7abcd2p+9
#define EXPM1_LOWEST -60
#define EXPONENT_BIAS 1023
#define SCALAR_SQRT __builtin_sqrt
#endif

enum { HALF_BITS = (MANTISSA_BITS + 2) / 2 }; /* dropped, they leave numbers with exact squares */

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

INLINE vec v_with_sign(vec magnitude, vec x)
{
    return (vec)((vec_bits)magnitude | ((vec_bits)x & v_sign_bit()));
}

/* slope * x, where slope 0 means nothing comes through, not even an infinity. */
INLINE vec v_leak(real slope, vec x)
{
    return slope != 0 ? slope * x : v_select(x == x, 0, x);
}

/* c0 + x (p0 + x p1 + x^2 p2 + ..): polynomials of x^2 or x^4 side by side, since a single chain would
 * wait for its own sums. The last steps, whose rounding shows, are Horner's. More than 4 terms. */
INLINE vec v_polynomial(vec x, const real *coefficients, int terms)
{
    const int chains = terms > 12 ? 4 : 2;
    const vec square = x * x, step = chains == 4 ? square * square : square;
    vec chain[4];
    UNROLL
    for (int i = terms - 1; i >= 1; i--) {
        const int k = (i - 1) % chains;
        chain[k] = i >= terms - chains ? v_splat(coefficients[i])
                                       : chain[k] * step + coefficients[i];
    }
    vec sum = chain[1] * x + chain[0];
    if (chains == 4) sum = (chain[3] * x + chain[2]) * square + sum;
    return sum * x + coefficients[0];
}

/* k is the nearest integer to (x - low) / ln 2; *scale is 2^(k + lift), returns
 * expm1(x - low - k ln 2). */
INLINE vec v_reduced_expm1(vec x, vec low, vec lift, vec *scale)
{
    /* The sum's low mantissa bits are k + lift + bias: shifted into place they are the exponent of
     * 2^(k + lift). */
    const vec rounder = lift + (real)(ROUNDER + EXPONENT_BIAS);
    vec t = (x - low) * (real)LOG2_E + rounder, k = t - rounder;
    *scale = (vec)((vec_word)t << MANTISSA_BITS);
    const vec r = x - k * (real)LN2_HIGH - (k * (real)LN2_LOW + low);
    return r + r * r * (v_polynomial(r, exp_q, EXP_TERMS) * r + (real)0.5);
}

/* e^x for x <= 0 (and a little beyond). */
INLINE vec v_exp_down(vec x)
{
    vec scale, q = v_reduced_expm1(x, v_splat(0), v_splat(0), &scale);
    return v_select(x < (real)EXP_LOWEST, 0, scale * q + scale);
}

INLINE vec v_exp(vec x)
{
    /* Where the result is near overflow 2^k is not finite, where it is near underflow 2^(k-1) is
     * not normal. */
    vec_bits up = x > 0;
    vec scale, q = v_reduced_expm1(x, v_splat(0), v_select(up, -1, 0), &scale);
    vec y = (scale * q + scale) * v_select(up, 2, 1);
    y = v_select(x < (real)EXP_LOWEST, 0, y);
    return v_select(x > (real)EXP_HIGHEST, (real)__builtin_inf(), y);
}

INLINE vec v_expm1(vec x)
{
    vec half, q = v_reduced_expm1(v_max(x, EXPM1_LOWEST), v_splat(0), v_splat(-1),
                                  &half); /* half of 2^k, which could overflow */
    vec y = half * q + (half - (real)0.5);
    return v_select(x > (real)EXP_HIGHEST, (real)__builtin_inf(), y + y);
}

/* For u in [-0.3, 1]. */
INLINE vec v_log1p(vec u)
{
    vec s = u / (2 + u), z = s * s;
    return u - s * (u - z * v_polynomial(z, log_l, LOG_TERMS));
}

/* For positive normal x; NaN stays NaN. */
INLINE vec v_log(vec x)
{
    const vec_bits root_half = (vec_bits)v_splat((real)0.707106781186547524);
    const vec_bits exponent = ((vec_bits)x - root_half) >> MANTISSA_BITS;
    const vec m = (vec)((vec_bits)x - (exponent << MANTISSA_BITS));
    const vec k = __builtin_convertvector(exponent, vec);
    const vec y = k * (real)LN2_HIGH + (v_log1p(m - 1) + k * (real)LN2_LOW);
    return v_select(x == x, y, x);
}

INLINE vec v_sigmoid(vec x)
{
    vec t = v_exp_down(-v_abs(x)), whole = v_select(x < 0, t, 1);
    return whole -
           whole * (t / (1 + t)); /* one rounding less than whole / (1 + t) where t is small */
}

INLINE vec v_silu(vec x)
{
    const vec a = v_abs(x);
    vec scale, q = v_reduced_expm1(-a, v_splat(0), v_splat(0), &scale), n = x * scale;
    const vec_bits far = -a < (real)EXP_LOWEST;
    const vec t = v_select(far, 0, scale * q + scale); /* x t is rounded once: n is exact */
    const vec whole = v_select(x < 0, v_select(far, x - x, n * q + n), x);
    return whole - v_min(whole, 1000) * (t / (1 + t)); /* infinity times 0 is no number */
}

INLINE vec v_sigmoid_slope(vec x)
{
    vec t = v_exp_down(-v_abs(x)), d = t / (1 + t);
    return d - d * d;
}

/* 1 - tanh a for a >= 0. */
INLINE vec v_tanh_from_one(vec a)
{
    vec t = v_exp_down(-2 * a);
    return 2 * t / (1 + t);
}

/* a - tanh a for 0 <= a <= 0.8. */
INLINE vec v_tanh_from_line(vec a)
{
    vec z = a * a;
    return a * z * v_polynomial(z, tanh_t, TANH_TERMS);
}

INLINE vec v_tanh(vec x)
{
    vec a = v_abs(x);
    return v_with_sign(v_select(a > (real)0.8, 1 - v_tanh_from_one(a), a - v_tanh_from_line(a)), x);
}

/* x - tanh x */
INLINE vec v_tanh_shrink(vec x)
{
    vec a = v_abs(x), far = a - 1 + v_tanh_from_one(a);
    return v_with_sign(v_select(a > (real)0.8, far, v_tanh_from_line(a)), x);
}

INLINE vec v_softplus(vec x)
{
    return v_max(x, 0) + v_log1p(v_exp_down(-v_abs(x)));
}

/* selu's scale, and scale * alpha. */
#define SELU_SCALE ((real)1.050700987355480493)
#define SELU_SCALE_ALPHA ((real)1.758099340847376859)

/* tanh(softplus(x)), and its slope. */
INLINE vec v_tanh_softplus(vec x)
{
    vec t = v_exp_down(-v_abs(x)), up = v_select(x < 0, t * t, 1) + 2 * t;
    return up / (up + 2 * v_select(x < 0, 1, t * t));
}

INLINE vec v_tanh_softplus_slope(vec x)
{
    vec t = v_exp_down(-v_abs(x)),
        down = v_select(x < 0, t * t, 1) + 2 * t + 2 * v_select(x < 0, 1, t * t);
    return 4 * t * (1 + t) * v_select(x < 0, 1, t) / (down * down);
}

INLINE vec v_sqrt(vec x)
{
    vec y;
    UNROLL
    for (int l = 0; l < LANES; l++) y[l] = SCALAR_SQRT(x[l]);
    return y;
}

/* sqrt(x^2 + b), which is |x| where b is too small to show. */
INLINE vec v_sqrt_square_plus(vec x, real b)
{
    const real far = SCALAR_SQRT(b < 0 ? -b : b) * (real)(1 << (MANTISSA_BITS / 2 + 2));
    vec a = v_abs(x);
    return v_select(a < far, v_sqrt(x * x + b), a);
}

/* ---- the normal distribution, and the logistic one that gelu(approximate) takes for it ------- */

/* h e^(-a^2 / 2) for 0 <= a <= 40. a^2 is s^2 + (a - s) (a + s), where s, the upper half of the bits
 * of a, has an exact square. h 2^k is exact, so that the product is rounded once. */
INLINE vec v_times_bell(vec h, vec a)
{
    const vec s = (vec)(((vec_bits)a >> HALF_BITS) << HALF_BITS);
    const vec x = -s * s / 2, low = (a - s) * (a + s) / 2;
    vec scale, q = v_reduced_expm1(x, low, v_splat(0), &scale), scaled = h * scale;
    return v_select(x - low < (real)EXP_LOWEST, 0, scaled * q + scaled);
}

INLINE vec v_normal_u(vec v)
{
    return v * v_polynomial(v + v - 1, normal_w, NORMAL_TERMS) + (real)0.75;
}

INLINE vec v_gelu(vec x)
{
    const vec a = v_min(v_abs(x), 40), v = a / (a + (real)1.5); /* beyond 40 the tail is 0 */
    return v_select(x > 0, x, x - x) - v_times_bell(v * v_normal_u(v), a);
}

INLINE vec v_gelu_slope(vec x)
{
    const vec a = v_min(v_abs(x), 40), rest = 1 / (a + (real)1.5);
    const vec cdf = rest * v_normal_u(a * rest);
    const vec m = v_times_bell(cdf - a * (real)0.39894228040143267794, a);
    return v_select(x > 0, 1 - m, m);
}

/* sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), and its derivative. From |x| = 40 on it is 0 or 1. */
#define LOGISTIC_1 ((real)1.595769121605730711)
#define LOGISTIC_3 ((real)0.071354816272600248)

INLINE vec v_logistic_cdf(vec x)
{
    vec square = v_min(x * x, 1600);
    return v_sigmoid(x * (LOGISTIC_1 + LOGISTIC_3 * square));
}

INLINE vec v_logistic_density(vec x)
{
    vec square = v_min(x * x, 1600);
    return v_sigmoid_slope(x * (LOGISTIC_1 + LOGISTIC_3 * square)) *
           (LOGISTIC_1 + 3 * LOGISTIC_3 * square);
}

#endif
