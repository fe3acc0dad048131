/*
 * The body of test_eltwise_f32.c and test_eltwise_f64.c: every row of activations.def, on every
 * instruction set that this machine runs, against long double; and the functions of eltwise.h
 * directly, in the narrowest vectors.
 */
#define CONVT_VECTOR_BYTES 16

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/eltwise.h"
#include "kernel/kernel.h"
#include "real/passes.h"
#include "support/close.h"
#include "support/values.h"
#include "tables.h"

#if CONVT_REAL == 32
#define EPSILON 0x1p-23L
#define SMALLEST_NORMAL 0x1p-126L
#define LARGEST ((long double)FLT_MAX)
enum { DIGITS = 24 };
#else
#define EPSILON 0x1p-52L
#define SMALLEST_NORMAL 0x1p-1022L
#define LARGEST ((long double)DBL_MAX)
enum { DIGITS = 53 };
#endif

enum { POINTS = 100000 };

/* ---- errors in units of the last place ------------------------------------------------------- */

/* Below the normal range an absolute error of one smallest normal number counts as one unit:
 * results there may be 0. */
static double ulps(real actual, long double expected)
{
    if (isnan(expected)) return isnan(actual) ? 0 : HUGE_VAL;
    if (fabsl(expected) > LARGEST)
        return isinf(actual) && (actual > 0) == (expected > 0) ? 0 : HUGE_VAL;
    if (!isfinite(actual)) return HUGE_VAL;
    int exponent;
    frexpl(expected, &exponent);
    long double unit = fabsl(expected) < SMALLEST_NORMAL ? SMALLEST_NORMAL
                                                         : ldexpl(1, exponent - DIGITS);
    return (double)(fabsl((long double)actual - expected) / unit);
}

/* Arguments: every exponent, the ranges where things happen, and the special ones. */
static real *arguments(real low, real high)
{
    static const double special[] = {0.0,  -0.0, HUGE_VAL, -HUGE_VAL, 1,      -1,   0.5,
                                     -0.5, 88.7, -87.4,    709.7,     -708.4, 1e30, -1e30};
    const int specials = (int)(sizeof special / sizeof *special);
    real *x = malloc(POINTS * sizeof *x);
    uint64_t state = 7;
    assert_non_null(x);
    for (int i = 0; i < POINTS; i++) {
        double u = ((double)values_next(&state) + (double)values_next(&state) * 0x1p-32) * 0x1p-31 -
                   1;
        double reach = i % 4 == 0 ? 1 : i % 4 == 1 ? 20 : i % 4 == 2 ? 800 : 0;
        int exponent = (int)(values_next(&state) % 250) - 125;
        x[i] = (real)(reach > 0 ? u * reach : ldexp(u, exponent));
        if (i < specials) x[i] = (real)special[i];
        if (i == specials) x[i] = (real)NAN;
        if (x[i] < low || x[i] > high) x[i] = low + (high - low) * (real)fabs(u);
    }
    return x;
}

/* ---- functions of eltwise.h ------------------------------------------------------------------ */

static void run_exp(const real *x, real *y)
{
    v_store(y, v_exp(v_load(x)));
}
static void run_expm1(const real *x, real *y)
{
    v_store(y, v_expm1(v_load(x)));
}
static void run_log1p(const real *x, real *y)
{
    v_store(y, v_log1p(v_load(x)));
}
static void run_sigmoid(const real *x, real *y)
{
    v_store(y, v_sigmoid(v_load(x)));
}
static void run_tanh(const real *x, real *y)
{
    v_store(y, v_tanh(v_load(x)));
}
static void run_softplus(const real *x, real *y)
{
    v_store(y, v_softplus(v_load(x)));
}
static void run_abs(const real *x, real *y)
{
    v_store(y, v_abs(v_load(x)));
}

static long double sigmoid(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static long double softplus(long double x)
{
    return (x > 0 ? x : isnan(x) ? x : 0) + log1pl(expl(-fabsl(x)));
}

static void test_functions(void **state)
{
    (void)state;
    const real everywhere = (real)HUGE_VAL;
    const struct {
        const char *name;
        void (*run)(const real *x, real *y);
        long double (*expected)(long double x);
        real low, high;
        double bound; /* ulp */
    } functions[] = {
        {"exp", run_exp, expl, -everywhere, everywhere, 1.25},
        {"expm1", run_expm1, expm1l, -everywhere, everywhere, 2},
        {"log1p", run_log1p, log1pl, 0, 1, 1.5},
        {"sigmoid", run_sigmoid, sigmoid, -everywhere, everywhere, 2},
        {"tanh", run_tanh, tanhl, -everywhere, everywhere, 2},
        {"softplus", run_softplus, softplus, -everywhere, everywhere, 2.5},
        {"abs", run_abs, fabsl, -everywhere, everywhere, 0},
    };
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        real *x = arguments(functions[f].low, functions[f].high), at = 0, worst_y = 0;
        double worst = -1;
        for (int i = 0; i + LANES <= POINTS; i += LANES) {
            real y[LANES];
            functions[f].run(x + i, y);
            for (int l = 0; l < LANES; l++) {
                double error = ulps(y[l], functions[f].expected((long double)x[i + l]));
                if (error > worst) {
                    worst = error;
                    at = x[i + l];
                    worst_y = y[l];
                }
            }
        }
        print_message("%-8s worst %.3f ulp at %a\n", functions[f].name, worst, (double)at);
        if (worst > functions[f].bound)
            fail_msg("%s(%a) is %.17g: %g ulp off, allowed %g", functions[f].name, (double)at,
                     (double)worst_y, worst, functions[f].bound);
        free(x);
    }
}

static void test_select_min_max(void **state)
{
    (void)state;
    const real nan = (real)NAN;
    const vec a = v_splat(2), b = v_splat(-3);
    assert_true(v_min(a, b)[0] == -3 && v_max(a, b)[0] == 2 && v_min(a, 1)[1] == 1 &&
                v_max(b, 0)[0] == 0);
    assert_true(isnan(v_min(v_splat(nan), 1)[0]) && isnan(v_max(v_splat(nan), 1)[0]));
    assert_true(v_select(a > b, 1, b)[0] == 1 && v_select(a < b, 1, b)[0] == -3 &&
                v_select(a < b, 1, (real)0.5)[0] == (real)0.5);
    assert_true(signbit(v_select(a > b, (real)-0.0, 1)[0]));
}

/* ---- rows of activations.def ----------------------------------------------------------------- */

struct formula {
    int number;
    const char *name;
    convt_activation config;
};

static const struct formula formulas[] = {
#define ACTIVATION(enumerator, number, name, ...) {number, #name, {.kind = CONVT_##enumerator}},
#include "convt/activations.def"
#undef ACTIVATION
    {1,
     "relu, all arguments",
     {.kind = CONVT_RELU,
      .negative_slope = {true, 0.25},
      .max_value = {true, 6},
      .threshold = {true, 0.5}}},
    {1,
     "relu, z needed",
     {.kind = CONVT_RELU, .negative_slope = {true, -0.25}, .threshold = {true, -1.5}}},
    {2, "leaky_relu, slope 0", {.kind = CONVT_LEAKY_RELU, .negative_slope = {true, 0}}},
    {2, "leaky_relu, z needed", {.kind = CONVT_LEAKY_RELU, .negative_slope = {true, -0.5}}},
    {3, "elu, alpha 0.5", {.kind = CONVT_ELU, .alpha = {true, 0.5}}},
    {3, "elu, z needed", {.kind = CONVT_ELU, .alpha = {true, -2}}},
};

static long double leak(long double slope, long double x)
{
    return slope != 0 || isnan(x) ? slope * x : 0;
}

/* Values, and derivatives with respect to z, written from Keras' definitions. */
static long double value_of(const struct formula *f, const struct convti_activation_params *p,
                            long double z)
{
    switch ((int)f->config.kind) {
    case CONVT_LINEAR: return z;
    case CONVT_RELU:
        return z > (long double)p->threshold
                   ? fminl(z, (long double)p->max_value)
                   : leak((long double)p->negative_slope, z - (long double)p->threshold);
    case CONVT_LEAKY_RELU: return z > 0 ? z : leak((long double)p->negative_slope, z);
    case CONVT_ELU: return z > 0 ? z : (long double)p->alpha * expm1l(z);
    case CONVT_SIGMOID: return sigmoid(z);
    case CONVT_TANH: return tanhl(z);
    case CONVT_SOFTPLUS: return softplus(z);
    default: fail_msg("no reference for activation %s: add one", f->name); return 0;
    }
}

static long double slope_of(const struct formula *f, const struct convti_activation_params *p,
                            long double z)
{
    switch ((int)f->config.kind) {
    case CONVT_LINEAR: return 1;
    case CONVT_RELU:
        return z <= (long double)p->threshold ? (long double)p->negative_slope
                                              : z < (long double)p->max_value;
    case CONVT_LEAKY_RELU: return z > 0 ? 1 : (long double)p->negative_slope;
    case CONVT_ELU: return z > 0 ? 1 : (long double)p->alpha * expl(z);
    case CONVT_SIGMOID:
    case CONVT_TANH: {
        long double t = expl(-fabsl(f->config.kind == CONVT_TANH ? 2 * z : z));
        return (f->config.kind == CONVT_TANH ? 4 : 1) * t / ((1 + t) * (1 + t));
    }
    case CONVT_SOFTPLUS: return sigmoid(z);
    default: fail_msg("no reference for the slope of %s: add one", f->name); return 0;
    }
}

/* Calls check once per formula and instruction set; says which sets this machine does not have. */
static void every_kernel(void (*check)(const struct kernels *, const struct formula *,
                                       const struct activation_params *))
{
    static const char *const isas[] = {
#define ISA_ROW(name, bytes, registers, supported) #name,
#include "isa_rows.def"
#undef ISA_ROW
    };
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        const char *chosen;
        const struct kernels *kernels = FN(convti_choose_isa)(isas[i], &chosen);
        if (!kernels) {
            print_message("%s: skipped, this machine does not run it\n", isas[i]);
            continue;
        }
        for (size_t k = 0; k < sizeof formulas / sizeof *formulas; k++) {
            struct convti_activation_params p;
            convti_activation_defaults(&formulas[k].config, &p);
            const struct activation_params typed = {(real)p.negative_slope, (real)p.max_value,
                                                    (real)p.threshold, (real)p.alpha};
            check(kernels, &formulas[k], &typed);
        }
    }
}

static struct convti_activation_params wide(const struct activation_params *p)
{
    return (struct convti_activation_params){(double)p->negative_slope, (double)p->max_value,
                                             (double)p->threshold, (double)p->alpha};
}

static void check_values(const struct kernels *kernels, const struct formula *f,
                         const struct activation_params *params)
{
    const struct convti_activation_params p = wide(params);
    real *z = arguments(-(real)HUGE_VAL, (real)HUGE_VAL), *y = malloc(POINTS * sizeof *y);
    assert_non_null(y);
    kernels->activate[f->number](params, POINTS, z, y);
    for (int i = 0; i < POINTS; i++) {
        double error = ulps(y[i], value_of(f, &p, (long double)z[i]));
        if (error > (CONVT_REAL == 32 ? 2 : 2.5))
            fail_msg("%s(%a) is %.17g: %g ulp off", f->name, (double)z[i], (double)y[i], error);
    }
    free(z);
    free(y);
}

static void test_values(void **state)
{
    (void)state;
    every_kernel(check_values);
}

/* From y alone where the row promises that this is enough. 1 - y loses what y has rounded away:
 * absolute error. */
static void check_slopes(const struct kernels *kernels, const struct formula *f,
                         const struct activation_params *params)
{
    const struct convti_activation_params p = wide(params);
    const bool needs_z = convti_activation_needs_z(&f->config);
    real *z = arguments(-1000, 1000), *y = malloc(POINTS * sizeof *y),
         *d = malloc(POINTS * sizeof *d);
    assert_non_null(y);
    assert_non_null(d);
    kernels->activate[f->number](params, POINTS, z, y);
    for (int i = 0; i < POINTS; i++) d[i] = 3;
    kernels->slope[f->number](params, POINTS, needs_z ? z : y, y, d, d);
    for (int i = 0; i < POINTS; i++) {
        if (isnan(z[i]) || z[i] == (real)p.max_value) continue;
        double expected = (double)(3 * slope_of(f, &p, (long double)z[i]));
        if (!close_enough((double)d[i], expected, (double)(4 * EPSILON), (double)(16 * EPSILON)))
            fail_msg("3 * slope of %s at %a is %.17g, expected %.17g", f->name, (double)z[i],
                     (double)d[i], expected);
    }
    free(z);
    free(y);
    free(d);
}

static void test_slopes(void **state)
{
    (void)state;
    every_kernel(check_slopes);
}

/* An element's bits depend on its value alone: not on where it lies, on the tail, or on working in
 * place. */
static void check_positions(const struct kernels *kernels, const struct formula *f,
                            const struct activation_params *params)
{
    enum { MOST = 40, GUARD = 99 };
    real *z = arguments(-30, 30), y[MOST + 2], whole[MOST], slopes[MOST], dz[MOST + 2], dy[MOST];
    for (int i = 0; i < MOST; i++) dy[i] = (real)(i - 11) / 7;
    kernels->activate[f->number](params, MOST, z, whole);
    kernels->slope[f->number](params, MOST, z, whole, dy, slopes);
    for (int from = 0; from < 20; from++)
        for (int count = 0; count <= MOST - from; count++) {
            y[0] = y[count + 1] = dz[0] = dz[count + 1] = GUARD;
            memcpy(y + 1, z + from, (size_t)count * sizeof *y);
            memcpy(dz + 1, dy + from, (size_t)count * sizeof *dz);
            kernels->activate[f->number](params, count, y + 1, y + 1);
            assert_same_bits(y + 1, whole + from, (size_t)count * sizeof *y);
            kernels->slope[f->number](params, count, z + from, y + 1, dz + 1, dz + 1);
            assert_same_bits(dz + 1, slopes + from, (size_t)count * sizeof *dz);
            assert_true(y[0] == GUARD && y[count + 1] == GUARD && dz[0] == GUARD &&
                        dz[count + 1] == GUARD);
        }
    free(z);
}

static void test_positions(void **state)
{
    (void)state;
    every_kernel(check_positions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions), cmocka_unit_test(test_select_min_max),
        cmocka_unit_test(test_values),    cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
