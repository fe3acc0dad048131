/*
 * The AXIS_ACTIVATION rows of activations.def as kernels over rows z[0 .. length - 1]:
 *
 *   softmax      y_i = e^(z_i - max z) / sum_k e^(z_k - max z)       dz_i = y_i (dy_i - sum y dy)
 *   log_softmax  y_i = z_i - max z - log sum_k e^(z_k - max z)       dz_i = dy_i - e^y_i sum dy
 *   sparsemax    y_i = max(z_i - tau, 0), tau so that sum y = 1      dz_i = dy_i - mean dy over
 *                                                                    y > 0 where y_i > 0, else 0
 *   glu          y_i = a_i sigmoid(b_i), a and b the halves of z
 *
 * Each row begins a vector of its own and its tail takes the same code as all before it, so that
 * the bits of a row depend on its values alone. A NaN spreads over its row (glu: stays where it
 * is); -infinity has the probability 0.
 */
#ifndef CONVT_AXIS_H
#define CONVT_AXIS_H

#include <math.h>

#include "eltwise.h"
#include "kernel.h"

/* ---- along one row --------------------------------------------------------------------------- */

/* Behind the row stands -infinity: no maximum, no exponential, in no support. */
INLINE vec load_of_row(const real *z, int64_t count)
{
    if (count >= LANES) return v_load(z);
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = i < count ? z[i] : -(real)HUGE_VAL;
    return v_load(lanes);
}

/* NaN if there is one. */
INLINE real row_max(int64_t length, const real *z)
{
    vec most = v_splat(-(real)HUGE_VAL);
    for (int64_t i = 0; i < length; i += LANES) {
        vec v = load_of_row(z + i, length - i);
        most = v_select((v > most) | (v != v), v, most);
    }
    real max = most[0];
    for (int l = 1; l < LANES; l++)
        if (most[l] > max || most[l] != most[l]) max = most[l];
    return max;
}

/* A compensated sum per lane: low collects what rounding took from high. */
struct row_sum {
    vec high, low;
};

INLINE void row_add(struct row_sum *sum, vec v)
{
    vec high = sum->high + v, added = high - sum->high;
    sum->low += (sum->high - (high - added)) + (v - added);
    sum->high = high;
}

INLINE double row_total(const struct row_sum *sum)
{
    double high = 0, low = 0;
    for (int l = 0; l < LANES; l++) {
        high += (double)sum->high[l];
        low += (double)sum->low[l];
    }
    return high + low;
}

/* The sum of a product of two rows. */
INLINE real row_dot(int64_t length, const real *a, const real *b)
{
    struct row_sum sum = {{0}, {0}};
    for (int64_t i = 0; i < length; i += LANES)
        row_add(&sum, load_up_to(a + i, length - i) * load_up_to(b + i, length - i));
    return (real)row_total(&sum);
}

/* ---- softmax --------------------------------------------------------------------------------- */

INLINE void value_of_softmax(int64_t length, const real *z, real *y)
{
    const real max = row_max(length, z);
    struct row_sum sum = {{0}, {0}};
    for (int64_t i = 0; i < length; i += LANES) {
        vec e = v_exp_down(load_of_row(z + i, length - i) - max);
        row_add(&sum, e);
        store_up_to(y + i, e, length - i);
    }
    const real total = (real)row_total(&sum);
    for (int64_t i = 0; i < length; i += LANES)
        store_up_to(y + i, load_up_to(y + i, length - i) / total, length - i);
}

INLINE void slope_of_softmax(int64_t length, const real *z, const real *y, const real *dy, real *dz)
{
    (void)z;
    const real dot = row_dot(length, y, dy);
    for (int64_t i = 0; i < length; i += LANES) {
        vec d = load_up_to(y + i, length - i) * (load_up_to(dy + i, length - i) - dot);
        store_up_to(dz + i, d, length - i);
    }
}

INLINE void value_of_log_softmax(int64_t length, const real *z, real *y)
{
    const real max = row_max(length, z);
    struct row_sum sum = {{0}, {0}};
    for (int64_t i = 0; i < length; i += LANES)
        row_add(&sum, v_exp_down(load_of_row(z + i, length - i) - max));
    const vec log = v_log(v_splat((real)row_total(&sum)));
    for (int64_t i = 0; i < length; i += LANES)
        store_up_to(y + i, (load_up_to(z + i, length - i) - max) - log, length - i);
}

INLINE void slope_of_log_softmax(int64_t length, const real *z, const real *y, const real *dy,
                                 real *dz)
{
    (void)z;
    struct row_sum sum = {{0}, {0}};
    for (int64_t i = 0; i < length; i += LANES) row_add(&sum, load_up_to(dy + i, length - i));
    const real total = (real)row_total(&sum);
    for (int64_t i = 0; i < length; i += LANES) {
        vec d = load_up_to(dy + i, length - i) - v_exp(load_up_to(y + i, length - i)) * total;
        store_up_to(dz + i, d, length - i);
    }
}

/* ---- sparsemax: the projection onto the simplex ---------------------------------------------- */

/*
 * tau - max z, by Michelot's iteration: tau of a set of elements is (their sum - 1) / their number,
 * elements at or below it leave the set, until none does. All that may remain lies above
 * max z - 1.
 */
INLINE real sparsemax_threshold(int64_t length, const real *z, real max)
{
    real tau = -1;
    int64_t count = length + 1, before;
    do {
        before = count;
        struct row_sum sum = {{0}, {0}};
        vec_bits inside = {0};
        for (int64_t i = 0; i < length; i += LANES) {
            vec s = load_of_row(z + i, length - i) - max;
            row_add(&sum, v_select(s > tau, s, 0));
            inside -= s > tau;
        }
        count = 0;
        for (int l = 0; l < LANES; l++) count += inside[l];
        tau = (real)((row_total(&sum) - 1) / (double)count);
    } while (count < before);
    return tau;
}

INLINE void value_of_sparsemax(int64_t length, const real *z, real *y)
{
    const real max = row_max(length, z), tau = sparsemax_threshold(length, z, max);
    for (int64_t i = 0; i < length; i += LANES)
        store_up_to(y + i, v_max((load_up_to(z + i, length - i) - max) - tau, 0), length - i);
}

INLINE void slope_of_sparsemax(int64_t length, const real *z, const real *y, const real *dy,
                               real *dz)
{
    (void)z;
    struct row_sum sum = {{0}, {0}}, support = {{0}, {0}};
    for (int64_t i = 0; i < length; i += LANES) {
        vec_bits inside = load_up_to(y + i, length - i) > 0;
        row_add(&sum, v_select(inside, load_up_to(dy + i, length - i), 0));
        row_add(&support, v_select(inside, 1, 0));
    }
    const real mean = (real)(row_total(&sum) / row_total(&support));
    for (int64_t i = 0; i < length; i += LANES) {
        vec v = load_up_to(y + i, length - i);
        vec d = v_select(v > 0, load_up_to(dy + i, length - i) - mean, v); /* else 0 or NaN, as y */
        store_up_to(dz + i, d, length - i);
    }
}

/* ---- gated linear unit ----------------------------------------------------------------------- */

INLINE void value_of_glu(int64_t length, const real *z, real *y)
{
    const int64_t half = length / 2;
    const real *a = z, *b = z + half;
    for (int64_t i = 0; i < half; i += LANES) {
        vec v = load_up_to(a + i, half - i) * v_sigmoid(load_up_to(b + i, half - i));
        store_up_to(y + i, v, half - i);
    }
}

INLINE void slope_of_glu(int64_t length, const real *z, const real *y, const real *dy, real *dz)
{
    (void)y;
    const int64_t half = length / 2;
    const real *a = z, *b = z + half;
    for (int64_t i = 0; i < half; i += LANES) {
        vec g = load_up_to(dy + i, half - i), v = load_up_to(a + i, half - i);
        vec gate = load_up_to(b + i, half - i);
        store_up_to(dz + i, g * v_sigmoid(gate), half - i);
        store_up_to(dz + half + i, g * v * v_sigmoid_slope(gate), half - i);
    }
}

/* ---- row behind row -------------------------------------------------------------------------- */

typedef void row_value(int64_t length, const real *z, real *y);
typedef void row_slope(int64_t length, const real *z, const real *y, const real *dy, real *dz);

INLINE void each_row_value(row_value *f, int inputs, int64_t rows, int64_t length, const real *z,
                           real *y)
{
    for (int64_t row = 0; row < rows; row++, z += length, y += length / inputs) f(length, z, y);
}

INLINE void each_row_slope(row_slope *f, int inputs, int64_t rows, int64_t length, const real *z,
                           const real *y, const real *dy, real *dz)
{
    for (int64_t row = 0; row < rows; row++, z += length, dz += length) {
        f(length, z, y, dy, dz);
        y += length / inputs;
        dy += length / inputs;
    }
}

#define AXIS_ACTIVATION(enumerator, number, name, needs_z, inputs, ...)                       \
    static void axis_value_##name(int64_t rows, int64_t length, const real *z, real *y)       \
    {                                                                                         \
        each_row_value(value_of_##name, inputs, rows, length, z, y);                          \
    }                                                                                         \
    static void axis_slope_##name(int64_t rows, int64_t length, const real *z, const real *y, \
                                  const real *dy, real *dz)                                   \
    {                                                                                         \
        each_row_slope(slope_of_##name, inputs, rows, length, z, y, dy, dz);                  \
    }
#include "convt/activations.def"

static axis_value_kernel *const axis_value_table[] = {
#define AXIS_ACTIVATION(enumerator, number, name, ...) [number] = axis_value_##name,
#include "convt/activations.def"
};

static axis_slope_kernel *const axis_slope_table[] = {
#define AXIS_ACTIVATION(enumerator, number, name, ...) [number] = axis_slope_##name,
#include "convt/activations.def"
};

#endif
