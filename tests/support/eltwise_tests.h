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
#include "support/close.h"
#include "support/kernels.h"
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

/* The long double functions that more than one row needs. Cancellation and rounded arguments would
 * show in double's last place: terms are added with one sign, and the normal tail is corrected for
 * the rounding of x / sqrt 2. */
static long double sigmoid(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static long double softplus(long double x)
{
    return (x > 0 ? x : isnan(x) ? x : 0) + log1pl(expl(-fabsl(x)));
}

static long double tanh_softplus(long double x)
{
    return tanhl(softplus(x));
}

/* x cosh x - sinh x is the sum of 2 k x^(2 k + 1) / (2 k + 1)! over k. */
static long double tanh_shrink(long double x)
{
    if (!(fabsl(x) < 2)) return x - tanhl(x);
    long double sum = 0, power = x;
    for (int k = 1; k < 25; k++) {
        power *= x / (2 * k) * x / (2 * k + 1);
        sum += 2 * k * power;
    }
    return sum / coshl(x);
}

static long double normal_cdf(long double x)
{
    const long double a = fabsl(x), scaled = a * 0.707106781186547524400844362104849L;
    if (!(a < 100)) return x > 0 ? 1 : x < 0 ? 0 : x;
    const long double half = a * a / 2,
                      rounding = fmal(scaled, scaled, -half) - fmal(a, a / 2, -half);
    const long double tail = erfcl(scaled) / 2 * expl(rounding);
    return x > 0 ? 1 - tail : tail;
}

static long double normal_density(long double x)
{
    const long double half = x * x / 2;
    if (!(fabsl(x) < 1000)) return isnan(x) ? x : 0;
    return expl(-half) * (1 - fmal(x, x / 2, -half)) * 0.398942280401432677939946059934382L;
}

/* What gelu(approximate) takes for the normal distribution. */
static long double logistic(long double x)
{
    return 2 * 0.797884560802865355879892119868764L * (x + 0.044715L * x * x * x);
}

static long double logistic_slope(long double x)
{
    return 2 * 0.797884560802865355879892119868764L * (1 + 3 * 0.044715L * x * x);
}

#define FUNCTION_RUNNER(name)                      \
    static void run_##name(const real *x, real *y) \
    {                                              \
        v_store(y, v_##name(v_load(x)));           \
    }
FUNCTION_RUNNER(exp)
FUNCTION_RUNNER(expm1)
FUNCTION_RUNNER(log1p)
FUNCTION_RUNNER(log)
FUNCTION_RUNNER(sqrt)
FUNCTION_RUNNER(sigmoid)
FUNCTION_RUNNER(tanh)
FUNCTION_RUNNER(tanh_shrink)
FUNCTION_RUNNER(softplus)
FUNCTION_RUNNER(tanh_softplus)
FUNCTION_RUNNER(abs)

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
        {"log", run_log, logl, (real)SMALLEST_NORMAL, (real)LARGEST, 1.25},
        {"sqrt", run_sqrt, sqrtl, 0, (real)LARGEST, 0.5001},
        {"sigmoid", run_sigmoid, sigmoid, -everywhere, everywhere, 1.75},
        {"tanh", run_tanh, tanhl, -everywhere, everywhere, 1.5},
        {"tanh_shrink", run_tanh_shrink, tanh_shrink, -everywhere, everywhere, 3.25},
        {"softplus", run_softplus, softplus, -everywhere, everywhere, 2},
        {"tanh_softplus", run_tanh_softplus, tanh_softplus, -everywhere, everywhere, 3},
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
        print_message("%-14s worst %.3f ulp at %a\n", functions[f].name, worst, (double)at);
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

/* Every row with its defaults, then rows with arguments that lead elsewhere. */
static const struct formula formulas[] = {
#define ACTIVATION(enumerator, number, name, ...) {number, #name, {.kind = CONVT_##enumerator}},
#include "convt/activations.def"
#define WITH(enumerator, ...)                             \
    {                                                     \
        CONVT_##enumerator, #enumerator " " #__VA_ARGS__, \
        {                                                 \
            .kind = CONVT_##enumerator, __VA_ARGS__       \
        }                                                 \
    }
    WITH(RELU, .negative_slope = {true, 0.25}, .max_value = {true, 6}, .threshold = {true, 0.5}),
    WITH(RELU, .negative_slope = {true, -0.25}, .threshold = {true, -1.5}),
    WITH(LEAKY_RELU, .negative_slope = {true, 0}),
    WITH(LEAKY_RELU, .negative_slope = {true, -0.5}),
    WITH(ELU, .alpha = {true, 0.5}),
    WITH(ELU, .alpha = {true, -2}),
    WITH(CELU, .alpha = {true, 3}),
    WITH(CELU, .alpha = {true, -2}),
    WITH(SQUAREPLUS, .b = {true, 0}),
    WITH(SQUAREPLUS, .b = {true, 1e-3}),
    WITH(SQUAREPLUS, .b = {true, 1e6}),
    WITH(GELU, .approximate = {true, 1}),
    WITH(SOFT_SHRINK, .threshold = {true, 0}),
    WITH(SOFT_SHRINK, .threshold = {true, -1.5}),
    WITH(HARD_SHRINK, .threshold = {true, 0}),
    WITH(HARD_SHRINK, .threshold = {true, -1}),
    WITH(THRESHOLD, .threshold = {true, -1}, .default_value = {true, 20}),
    WITH(THRESHOLD, .threshold = {true, 0.25}, .default_value = {true, 0.25}),
};

/* The arguments that the kernels get, for the references. */
struct parameters {
#define ACTIVATION_ARGUMENT(name, range) long double name;
#include "convt/activations.def"
};

static struct parameters widened(const struct activation_params *p)
{
    return (struct parameters){
#define ACTIVATION_ARGUMENT(name, range) .name = (long double)p->name,
#include "convt/activations.def"
    };
}

static long double leak(long double slope, long double x)
{
    return slope != 0 || isnan(x) ? slope * x : 0;
}

static long double clip(long double x, long double low, long double high)
{
    return x < low ? low : x > high ? high : x;
}

static long double squareplus(long double x, long double b)
{
    long double root = sqrtl(x * x + b);
    return x < 0 ? b / 2 / (root - x) : (x + root) / 2;
}

/* Values, and derivatives with respect to z, written from Keras' definitions. */
static long double value_of(const struct formula *f, const struct parameters *p, long double z)
{
    const long double selu = 1.0507009873554804934193349852946L;
    const long double t = p->threshold;
    switch ((int)f->config.kind) {
    case CONVT_LINEAR: return z;
    case CONVT_RELU: return z > t ? fminl(z, p->max_value) : leak(p->negative_slope, z - t);
    case CONVT_LEAKY_RELU: return z > 0 ? z : leak(p->negative_slope, z);
    case CONVT_ELU: return z > 0 ? z : p->alpha * expm1l(z);
    case CONVT_SIGMOID: return sigmoid(z);
    case CONVT_TANH: return tanhl(z);
    case CONVT_SOFTPLUS: return softplus(z);
    case CONVT_RELU6: return clip(z, 0, 6);
    case CONVT_SELU: return selu * (z > 0 ? z : 1.6732632423543772848170429916717L * expm1l(z));
    case CONVT_CELU: return z > 0 ? z : p->alpha * expm1l(z / p->alpha);
    case CONVT_HARD_SIGMOID: return clip(z + 3, 0, 6) / 6;
    case CONVT_LOG_SIGMOID: return -softplus(-z);
    case CONVT_SPARSE_SIGMOID: return clip((z + 1) / 2, 0, 1);
    case CONVT_SOFTSIGN: return z / (1 + fabsl(z));
    case CONVT_SQUAREPLUS: return squareplus(z, p->b);
    case CONVT_SPARSE_PLUS: return z <= -1 ? 0 : z < 1 ? (z + 1) * (z + 1) / 4 : z;
    case CONVT_EXPONENTIAL: return expl(z);
    case CONVT_SILU: return z * sigmoid(z);
    case CONVT_HARD_SILU: return z * clip(z + 3, 0, 6) / 6;
    case CONVT_MISH: return z * tanh_softplus(z);
    case CONVT_GELU: return p->approximate != 0 ? z * sigmoid(logistic(z)) : z * normal_cdf(z);
    case CONVT_HARD_TANH: return clip(z, -1, 1);
    case CONVT_TANH_SHRINK: return tanh_shrink(z);
    case CONVT_SOFT_SHRINK: return z > t ? z - t : z < -t ? z + t : 0;
    case CONVT_HARD_SHRINK: return fabsl(z) > t ? z : 0;
    case CONVT_THRESHOLD: return z > t ? z : p->default_value;
    default: fail_msg("no reference for activation %s: add one", f->name); return 0;
    }
}

static long double sigmoid_slope(long double x)
{
    long double t = expl(-fabsl(x));
    return t / ((1 + t) * (1 + t));
}

static long double slope_of(const struct formula *f, const struct parameters *p, long double z)
{
    const long double selu = 1.0507009873554804934193349852946L;
    const long double t = p->threshold, th = tanhl(z), ts = tanh_softplus(z);
    switch ((int)f->config.kind) {
    case CONVT_LINEAR: return 1;
    case CONVT_RELU: return z <= t ? p->negative_slope : z < p->max_value;
    case CONVT_LEAKY_RELU: return z > 0 ? 1 : p->negative_slope;
    case CONVT_ELU: return z > 0 ? 1 : p->alpha * expl(z);
    case CONVT_SIGMOID: return sigmoid_slope(z);
    case CONVT_TANH: return 4 * sigmoid_slope(2 * z);
    case CONVT_SOFTPLUS: return sigmoid(z);
    case CONVT_RELU6: return z > 0 && z < 6;
    case CONVT_SELU: return selu * (z > 0 ? 1 : 1.6732632423543772848170429916717L * expl(z));
    case CONVT_CELU: return z > 0 ? 1 : expl(z / p->alpha);
    case CONVT_HARD_SIGMOID: return fabsl(z) < 3 ? 1 / 6.0L : 0;
    case CONVT_LOG_SIGMOID: return sigmoid(-z);
    case CONVT_SPARSE_SIGMOID: return fabsl(z) < 1 ? 0.5L : 0;
    case CONVT_SOFTSIGN: return 1 / ((1 + fabsl(z)) * (1 + fabsl(z)));
    case CONVT_SQUAREPLUS:
        return z != 0 ? squareplus(z, p->b) / sqrtl(z * z + p->b) : p->b > 0 ? 0.5L : 0;
    case CONVT_SPARSE_PLUS: return clip((z + 1) / 2, 0, 1);
    case CONVT_EXPONENTIAL: return expl(z);
    case CONVT_SILU: return sigmoid(z) + z * sigmoid_slope(z);
    case CONVT_HARD_SILU: return z <= -3 ? 0 : z < 3 ? z / 3 + 0.5L : 1;
    case CONVT_MISH: return ts + z * (1 - ts * ts) * sigmoid(z);
    case CONVT_GELU:
        return p->approximate != 0
                   ? sigmoid(logistic(z)) + z * sigmoid_slope(logistic(z)) * logistic_slope(z)
                   : normal_cdf(z) + z * normal_density(z);
    case CONVT_HARD_TANH: return fabsl(z) < 1;
    case CONVT_TANH_SHRINK: return th * th;
    case CONVT_SOFT_SHRINK:
    case CONVT_HARD_SHRINK: return fabsl(z) > t;
    case CONVT_THRESHOLD: return z > t;
    default: fail_msg("no reference for the slope of %s: add one", f->name); return 0;
    }
}

/* Arguments without a default get one here. */
static struct activation_params parameters_of(const convt_activation *config)
{
    struct convti_activation_params p;
    convti_activation_defaults(config, &p);
    return (struct activation_params){
#define ACTIVATION_ARGUMENT(name, range) .name = (real)(isnan(p.name) ? 0.5 : p.name),
#include "convt/activations.def"
    };
}

/* Calls check once per formula and instruction set; says which sets this machine does not have. */
static void every_kernel(void (*check)(const struct kernels *, const struct formula *,
                                       const struct activation_params *))
{
    for (size_t i = 0; i < KERNEL_ISAS; i++) {
        const struct kernels *kernels = kernels_at(i);
        for (size_t k = 0; kernels && k < sizeof formulas / sizeof *formulas; k++) {
            const struct activation_params params = parameters_of(&formulas[k].config);
            check(kernels, &formulas[k], &params);
        }
    }
}

/* Units in the last place that a value may be off: more where an elementary function is one of
 * several factors or terms. e^x shows every rounding of x, that is in gelu(approximate) the
 * argument of the sigmoid. */
static double allowed(const struct formula *f, const struct parameters *p, long double z)
{
    switch ((int)f->config.kind) {
    case CONVT_GELU: return p->approximate != 0 && z < 0 ? 4 + 4 * (double)fabsl(logistic(z)) : 3.5;
    case CONVT_SILU: return 2.25;
    case CONVT_SQUAREPLUS: return 3;
    case CONVT_MISH: return 4;
    case CONVT_TANH_SHRINK: return 3.25;
    default: return 2;
    }
}

/* A factor of z below the normal range is 0: |z| smallest normal numbers are no error. */
static void check_values(const struct kernels *kernels, const struct formula *f,
                         const struct activation_params *params)
{
    const struct parameters p = widened(params);
    real *z = arguments(-(real)HUGE_VAL, (real)HUGE_VAL), *y = malloc(POINTS * sizeof *y);
    double worst = 0;
    assert_non_null(y);
    kernels->activate[f->number](params, POINTS, z, y);
    for (int i = 0; i < POINTS; i++) {
        const long double x = (long double)z[i], expected = isnan(x) ? x : value_of(f, &p, x);
        if (fabsl((long double)y[i] - expected) <= (1 + fabsl(x)) * SMALLEST_NORMAL) continue;
        double error = ulps(y[i], expected);
        if (error > worst) worst = error;
        if (error > allowed(f, &p, x))
            fail_msg("%s(%a) is %.17g: %g ulp off", f->name, (double)z[i], (double)y[i], error);
    }
    print_message("%-40s worst %.3f ulp\n", f->name, worst);
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
    const struct parameters p = widened(params);
    const bool needs_z = convti_activation_needs_z(&f->config);
    real *z = arguments(-1000, 1000), *y = malloc(POINTS * sizeof *y),
         *d = malloc(POINTS * sizeof *d);
    assert_non_null(y);
    assert_non_null(d);
    kernels->activate[f->number](params, POINTS, z, y);
    for (int i = 0; i < POINTS; i++) d[i] = 3;
    kernels->slope[f->number](params, POINTS, needs_z ? z : y, y, d, d);
    for (int i = 0; i < POINTS; i++) {
        if (isnan(z[i])) continue;
        double expected = (double)(real)(3 * slope_of(f, &p, (long double)z[i]));
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
 * place. Except NaN: which of two comes through an operation is the compiler's choice. */
static void check_positions(const struct kernels *kernels, const struct formula *f,
                            const struct activation_params *params)
{
    enum { MOST = 40, GUARD = 99 };
    real *z = arguments(-30, 30), y[MOST + 2], whole[MOST], slopes[MOST], dz[MOST + 2], dy[MOST];
    for (int i = 0; i < MOST; i++) {
        dy[i] = (real)(i - 11) / 7;
        if (isnan(z[i])) z[i] = (real)0.7;
    }
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
