/*
 * The body of test_axis_f32.c and test_axis_f64.c: every AXIS_ACTIVATION of activations.def, on
 * every instruction set that this machine runs, against long double.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/kernels.h"
#include "support/values.h"
#include "tables.h"

#if CONVT_REAL == 32
#define EPSILON ((double)FLT_EPSILON)
#define SMALLEST_NORMAL ((double)FLT_MIN)
#else
#define EPSILON DBL_EPSILON
#define SMALLEST_NORMAL DBL_MIN
#endif

enum { LONGEST = 40, ROWS = 7, MOST = 2 * LONGEST };

/* ---- references: one row of n outputs -------------------------------------------------------- */

typedef void reference_value(int n, const long double *z, long double *y);
typedef void reference_slope(int n, const long double *z, const long double *dy, long double *dz);

static long double maximum(int n, const long double *z)
{
    long double most = z[0];
    for (int i = 1; i < n; i++) most = fmaxl(most, z[i]);
    return most;
}

static void softmax(int n, const long double *z, long double *y)
{
    long double sum = 0, most = maximum(n, z);
    for (int i = 0; i < n; i++) sum += expl(z[i] - most);
    for (int i = 0; i < n; i++) y[i] = expl(z[i] - most) / sum;
}

static void softmax_slope(int n, const long double *z, const long double *dy, long double *dz)
{
    long double y[LONGEST], dot = 0;
    softmax(n, z, y);
    for (int i = 0; i < n; i++) dot += y[i] * dy[i];
    for (int i = 0; i < n; i++) dz[i] = y[i] * (dy[i] - dot);
}

static void log_softmax(int n, const long double *z, long double *y)
{
    long double sum = 0, most = maximum(n, z);
    for (int i = 0; i < n; i++) sum += expl(z[i] - most);
    for (int i = 0; i < n; i++) y[i] = z[i] - most - logl(sum);
}

static void log_softmax_slope(int n, const long double *z, const long double *dy, long double *dz)
{
    long double y[LONGEST], sum = 0;
    softmax(n, z, y);
    for (int i = 0; i < n; i++) sum += dy[i];
    for (int i = 0; i < n; i++) dz[i] = dy[i] - y[i] * sum;
}

static int descending(const void *a, const void *b)
{
    const long double *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* By sorting (Martins & Astudillo 2016): the support is the longest head of the sorted row whose
 * last element lies above the threshold of that head. */
static long double sparsemax_threshold(int n, const long double *z)
{
    long double *sorted = malloc((size_t)n * sizeof *sorted), sum = 0, tau = 0;
    assert_non_null(sorted);
    memcpy(sorted, z, (size_t)n * sizeof *z);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    for (int k = 1; k <= n; k++) {
        sum += sorted[k - 1];
        if (sorted[k - 1] > (sum - 1) / k) tau = (sum - 1) / k;
    }
    free(sorted);
    return tau;
}

static void sparsemax(int n, const long double *z, long double *y)
{
    const long double tau = sparsemax_threshold(n, z);
    for (int i = 0; i < n; i++) y[i] = z[i] > tau ? z[i] - tau : 0;
}

static void sparsemax_slope(int n, const long double *z, const long double *dy, long double *dz)
{
    const long double tau = sparsemax_threshold(n, z);
    long double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++) {
        sum += z[i] > tau ? dy[i] : 0;
        count += z[i] > tau;
    }
    for (int i = 0; i < n; i++) dz[i] = z[i] > tau ? dy[i] - sum / count : 0;
}

static long double sigmoid(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static void glu(int n, const long double *z, long double *y)
{
    for (int i = 0; i < n; i++) y[i] = z[i] * sigmoid(z[n + i]);
}

static void glu_slope(int n, const long double *z, const long double *dy, long double *dz)
{
    for (int i = 0; i < n; i++) {
        dz[i] = dy[i] * sigmoid(z[n + i]);
        dz[n + i] = dy[i] * z[i] * sigmoid(z[n + i]) * sigmoid(-z[n + i]);
    }
}

static const struct {
    reference_value *value;
    reference_slope *slope;
} references[] = {
    [CONVT_SOFTMAX] = {softmax, softmax_slope},
    [CONVT_LOG_SOFTMAX] = {log_softmax, log_softmax_slope},
    [CONVT_SPARSEMAX] = {sparsemax, sparsemax_slope},
    [CONVT_GLU] = {glu, glu_slope},
};

/* ---- the rows of the table and the kernels --------------------------------------------------- */

struct activation {
    int number;
    const char *name;
    int inputs;
    bool needs_z;
    reference_value *value;
    reference_slope *slope;
    axis_value_kernel *run_value;
    axis_slope_kernel *run_slope;
};

/* Calls check once per row and instruction set; says which sets this machine does not have. */
static void every_kernel(void (*check)(const struct activation *))
{
    static const struct {
        int number, inputs;
        const char *name;
    } rows[] = {
#define AXIS_ACTIVATION(enumerator, number, name, needs_z, inputs, ...) {number, inputs, #name},
#include "convt/activations.def"
    };
    for (size_t i = 0; i < KERNEL_ISAS; i++) {
        const struct kernels *kernels = kernels_at(i);
        for (size_t k = 0; kernels && k < sizeof rows / sizeof *rows; k++) {
            const int number = rows[k].number;
            if ((size_t)number >= sizeof references / sizeof *references ||
                !references[number].value)
                fail_msg("no reference for activation %s: add one", rows[k].name);
            const convt_activation config = {.kind = (convt_activation_kind)number};
            check(&(struct activation){number, rows[k].name, rows[k].inputs,
                                       convti_activation_needs_z(&config), references[number].value,
                                       references[number].slope, kernels->axis_value[number],
                                       kernels->axis_slope[number]});
        }
    }
}

static void widen(int count, const real *from, long double *to)
{
    for (int i = 0; i < count; i++) to[i] = (long double)from[i];
}

static double uniform(uint64_t *state)
{
    return (double)(values_next(state) % 1000000) / 500000 - 1;
}

/* ROWS rows of `length`: near 0, wide, very wide, far from 0, all equal, pairs of equal ones, and
 * one after the other leaving the support of sparsemax. */
static void fill(int length, real *z)
{
    static const double scale[ROWS] = {1, 10, 300, 0.5, 0, 2, 0}, shift[ROWS] = {0, 0, 0, 50, -3};
    uint64_t state = (uint64_t)length;
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < length; i++) {
            double u = uniform(&state) * scale[row] + shift[row];
            if (row == 5) u = (i * 7 % length / 2) * 0.3;
            if (row == 6) u = -ldexp(1, i / 2 - 20);
            z[row * length + i] = (real)u;
        }
}

static void fill_gradient(int count, real *dy)
{
    for (int i = 0; i < count; i++) dy[i] = (real)((i * 37 % 29 - 14) / 9.0);
}

/* z of ROWS rows with `outputs` y each, y, dy, dz from the kernels. */
struct example {
    int outputs, length;
    real z[ROWS * MOST], y[ROWS * LONGEST], dy[ROWS * LONGEST], dz[ROWS * MOST];
};

static void run(const struct activation *a, struct example *e, int outputs)
{
    e->outputs = outputs;
    e->length = outputs * a->inputs;
    fill(e->length, e->z);
    fill_gradient(ROWS * outputs, e->dy);
    a->run_value(ROWS, e->length, e->z, e->y);
    a->run_slope(ROWS, e->length, a->needs_z ? e->z : e->y, e->y, e->dy, e->dz);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* e^x shows the rounding of x = z - max z, and glu that of its gate; sums and differences round
 * where they are large, not where the result is. */
static void check_values(const struct activation *a)
{
    static struct example e;
    for (int outputs = 1; outputs <= LONGEST; outputs++) {
        run(a, &e, outputs);
        for (int row = 0; row < ROWS; row++) {
            long double z[MOST], y[LONGEST];
            widen(e.length, e.z + row * e.length, z);
            a->value(outputs, z, y);
            const bool probability = a->number == CONVT_SOFTMAX || a->number == CONVT_GLU;
            for (int i = 0; i < outputs; i++) {
                double distance = (double)(maximum(outputs, z) - z[i]);
                assert_close((double)e.y[row * outputs + i], (double)y[i], (4 + distance) * EPSILON,
                             probability ? (1 + fabs((double)z[i])) * SMALLEST_NORMAL
                                         : 4 * EPSILON);
            }
        }
    }
}

static void test_values(void **state)
{
    (void)state;
    every_kernel(check_values);
}

/* In long rows rounding must not add up. */
static void check_long_rows(const struct activation *a)
{
    enum { LONG = 300000 };
    const int outputs = LONG / a->inputs;
    real *z = malloc(LONG * sizeof *z), *y = malloc(LONG * sizeof *y);
    long double *wide = malloc(LONG * sizeof *wide), *expected = malloc(LONG * sizeof *expected);
    assert_true(z && y && wide && expected);
    for (int i = 0; i < LONG; i++) z[i] = (real)(-0.1 * (i % 7));
    widen(LONG, z, wide);
    a->value(outputs, wide, expected);
    a->run_value(1, LONG, z, y);
    for (int i = 0; i < outputs; i++)
        assert_close((double)y[i], (double)expected[i], 4 * EPSILON, 0);
    free(z);
    free(y);
    free(wide);
    free(expected);
}

static void test_long_rows(void **state)
{
    (void)state;
    every_kernel(check_long_rows);
}

/* ---- vector-Jacobian products ---------------------------------------------------------------- */

static void check_slopes(const struct activation *a)
{
    static struct example e;
    for (int outputs = 1; outputs <= LONGEST; outputs++) {
        run(a, &e, outputs);
        for (int row = 0; row < ROWS; row++) {
            long double z[MOST], dy[LONGEST], dz[MOST];
            widen(e.length, e.z + row * e.length, z);
            widen(outputs, e.dy + row * outputs, dy);
            a->slope(outputs, z, dy, dz);
            /* y has rounded e^(z - max z), and sums of dy are as large as there are dy. */
            for (int i = 0; i < e.length; i++)
                assert_close((double)e.dz[row * e.length + i], (double)dz[i], 4 * EPSILON,
                             (16 + 2 * outputs) * EPSILON);
        }
    }
}

static void test_slopes(void **state)
{
    (void)state;
    every_kernel(check_slopes);
}

/* sum dy (y(z + h) - y(z - h)) / 2 h for one element of z; sparsemax only where no element enters
 * or leaves the support within h. */
static bool difference(const struct activation *a, int outputs, long double *z, int at,
                       const long double *dy, long double *slope)
{
    const long double h = 1e-6L, here = z[at];
    long double up[LONGEST], down[LONGEST], sum = 0;
    if (a->number == CONVT_SPARSEMAX) {
        const long double tau = sparsemax_threshold(outputs, z);
        for (int i = 0; i < outputs; i++)
            if (fabsl(z[i] - tau) < 4 * h) return false;
    }
    z[at] = here + h;
    a->value(outputs, z, up);
    z[at] = here - h;
    a->value(outputs, z, down);
    z[at] = here;
    for (int i = 0; i < outputs; i++) sum += dy[i] * (up[i] - down[i]);
    *slope = sum / (2 * h);
    return true;
}

static void check_differences(const struct activation *a)
{
    static struct example e;
    int compared = 0, skipped = 0;
    for (int outputs = 1; outputs <= LONGEST; outputs++) {
        run(a, &e, outputs);
        for (int row = 0; row < ROWS; row++) {
            long double z[MOST], dy[LONGEST], slope;
            widen(e.length, e.z + row * e.length, z);
            widen(outputs, e.dy + row * outputs, dy);
            for (int i = 0; i < e.length; i++) {
                const bool smooth = difference(a, outputs, z, i, dy, &slope);
                compared += smooth;
                skipped += !smooth;
                if (smooth)
                    assert_close((double)e.dz[row * e.length + i], (double)slope,
                                 1e-8 + 4 * EPSILON, 1e-8 + 100 * EPSILON);
            }
        }
    }
    assert_true(compared > 5 * skipped);
}

static void test_differences(void **state)
{
    (void)state;
    every_kernel(check_differences);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* A row's bits depend on its values alone: not on what stands before it or behind it, or on working
 * in place. */
static void check_positions(const struct activation *a)
{
    enum { GUARD = 99 };
    static struct example e;
    for (int outputs = 1; outputs <= LONGEST; outputs++) {
        run(a, &e, outputs);
        const size_t y_bytes = (size_t)outputs * sizeof(real),
                     z_bytes = (size_t)e.length * sizeof(real);
        for (int row = 0; row < ROWS; row++) {
            const real *z = e.z + row * e.length, *y = e.y + row * outputs,
                       *dy = e.dy + row * outputs, *dz = e.dz + row * e.length;
            real data[MOST + 2];
            data[outputs + 1] = data[0] = GUARD;
            if (a->inputs == 1) {
                memcpy(data + 1, z, z_bytes);
                a->run_value(1, e.length, data + 1, data + 1);
            } else {
                a->run_value(1, e.length, z, data + 1);
            }
            assert_same_bits(data + 1, y, y_bytes);
            assert_true(data[0] == GUARD && data[outputs + 1] == GUARD);
            /* dz in the place of z, or of y where that stands for z */
            const real *kept = a->needs_z ? z : y;
            memcpy(data + 1, kept, z_bytes);
            data[e.length + 1] = GUARD;
            a->run_slope(1, e.length, data + 1, a->needs_z ? y : data + 1, dy, data + 1);
            assert_same_bits(data + 1, dz, z_bytes);
            assert_true(data[0] == GUARD && data[e.length + 1] == GUARD);
            if (a->inputs > 1) continue;
            memcpy(data + 1, dy, y_bytes);
            a->run_slope(1, e.length, kept, y, data + 1, data + 1);
            assert_same_bits(data + 1, dz, z_bytes);
        }
    }
}

static void test_positions(void **state)
{
    (void)state;
    every_kernel(check_positions);
}

/* ---- special values -------------------------------------------------------------------------- */

/* NaN spreads over its row and no further; in glu it stays in its element. +infinity is as NaN. */
static void check_nan(const struct activation *a)
{
    static const double bad[] = {(double)NAN, HUGE_VAL};
    for (int outputs = 1; outputs <= LONGEST; outputs++)
        for (int k = 0; k < 2 * outputs; k++) {
            const int length = outputs * a->inputs, at = k / 2;
            real z[3 * MOST], y[3 * LONGEST], dy[3 * LONGEST], dz[3 * MOST];
            if (a->inputs > 1 && k % 2) continue; /* infinity is a number to glu */
            for (int i = 0; i < 3 * length; i++) z[i] = (real)(i % 5);
            fill_gradient(3 * outputs, dy);
            z[length + length - outputs + at] = (real)bad[k % 2]; /* glu: in the gate */
            a->run_value(3, length, z, y);
            a->run_slope(3, length, a->needs_z ? z : y, y, dy, dz);
            for (int i = 0; i < 3 * outputs; i++) {
                const bool hit = a->inputs == 1 ? i / outputs == 1 : i == outputs + at;
                assert_int_equal(isnan(y[i]) != 0, hit);
            }
            for (int i = 0; i < 3 * length; i++)
                assert_int_equal(isnan(dz[i]) != 0,
                                 i / length == 1 && (a->inputs == 1 || i % outputs == at));
        }
}

static void test_nan(void **state)
{
    (void)state;
    every_kernel(check_nan);
}

/* An element at -infinity is as good as absent. */
static void check_minus_infinity(const struct activation *a)
{
    if (a->inputs > 1) return;
    for (int length = 2; length <= LONGEST; length++)
        for (int at = 0; at < length; at++) {
            real z[LONGEST], y[LONGEST], dy[LONGEST], dz[LONGEST];
            long double rest[LONGEST], expected[LONGEST], dy_rest[LONGEST], dz_rest[LONGEST];
            for (int i = 0; i < length; i++) z[i] = (real)((i * 13 % 17) * 0.3);
            fill_gradient(length, dy);
            dy[at] = 0;
            for (int i = 0, k = 0; i < length; i++) {
                if (i == at) continue;
                rest[k] = (long double)z[i];
                dy_rest[k++] = (long double)dy[i];
            }
            z[at] = (real)-HUGE_VAL;
            a->value(length - 1, rest, expected);
            a->slope(length - 1, rest, dy_rest, dz_rest);
            a->run_value(1, length, z, y);
            a->run_slope(1, length, y, y, dy, dz);
            assert_true(y[at] == (a->number == CONVT_LOG_SOFTMAX ? (real)-HUGE_VAL : 0));
            assert_true(dz[at] == 0);
            for (int i = 0, k = 0; i < length; i++) {
                if (i == at) continue;
                assert_close((double)y[i], (double)expected[k], 16 * EPSILON, 4 * EPSILON);
                assert_close((double)dz[i], (double)dz_rest[k++], 4 * EPSILON,
                             (16 + 2 * length) * EPSILON);
            }
        }
}

static void test_minus_infinity(void **state)
{
    (void)state;
    every_kernel(check_minus_infinity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),         cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_slopes),         cmocka_unit_test(test_differences),
        cmocka_unit_test(test_positions),      cmocka_unit_test(test_nan),
        cmocka_unit_test(test_minus_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
