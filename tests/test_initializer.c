/* Initializers: fans, moments and bounds of every row, seeds, precisions, refusals. */
#include <math.h>
#include <string.h>

#include "support/close.h"
#include "support/values.h"
#include "tables.h"

/* The fans of (3, 5, 32, 64): taps 15, fan_in 15 * 32, fan_out 15 * 64, as Keras computes them. */
enum { KH = 3, KW = 5, FILTERS = 32, INPUTS = 64, FAN_IN = 480, FAN_OUT = 960, FAN_AVG = 720 };

struct moments {
    double mean, variance, low, high;
};

static struct moments moments_of(const convt_initializer *init, uint64_t seed, convt_dtype dtype)
{
    convt_view v = values_new(dtype, KH, KW, FILTERS, INPUTS);
    convti_initialize(init, seed, 4, v);
    int64_t count = values_count(convt_read(v));
    struct moments m = {0, 0, HUGE_VAL, -HUGE_VAL};
    for (int64_t i = 0; i < count; i++) {
        double x = values_get(convt_read(v), i);
        m.mean += x;
        m.variance += x * x;
        m.low = fmin(m.low, x);
        m.high = fmax(m.high, x);
    }
    m.mean /= (double)count;
    m.variance = m.variance / (double)count - m.mean * m.mean;
    values_free(v);
    return m;
}

/* What a row draws: values within low .. high, which are there up to 1 % where they are finite. */
struct distribution {
    double mean, variance, low, high;
};

static struct distribution uniform(double low, double high)
{
    return (struct distribution){(low + high) / 2, (high - low) * (high - low) / 12, low, high};
}

static struct distribution truncated(double mean, double deviation)
{
    const double cut_deviation = 0.87962566103423978, cut = cut_deviation * deviation;
    return (struct distribution){mean, cut * cut, mean - 2 * deviation, mean + 2 * deviation};
}

static struct distribution constant(double value)
{
    return (struct distribution){value, 0, value, value};
}

static struct distribution scaled(double scale, double fan, bool is_uniform)
{
    const double variance = scale / fan, limit = sqrt(3 * variance);
    return is_uniform ? uniform(-limit, limit) : truncated(0, sqrt(variance) / 0.87962566103423978);
}

/* Every row with its default arguments, from Keras' definitions. */
static struct distribution expected_of(convt_initializer_kind kind, double fan_in, double fan_out)
{
    const double fan_avg = (fan_in + fan_out) / 2;
    switch ((int)kind) {
    case CONVT_GLOROT_UNIFORM: return scaled(1, fan_avg, true);
    case CONVT_GLOROT_NORMAL: return scaled(1, fan_avg, false);
    case CONVT_HE_UNIFORM: return scaled(2, fan_in, true);
    case CONVT_HE_NORMAL: return scaled(2, fan_in, false);
    case CONVT_LECUN_UNIFORM: return scaled(1, fan_in, true);
    case CONVT_LECUN_NORMAL: return scaled(1, fan_in, false);
    case CONVT_VARIANCE_SCALING: return scaled(1, fan_in, false);
    case CONVT_RANDOM_NORMAL: return (struct distribution){0, 0.05 * 0.05, -HUGE_VAL, HUGE_VAL};
    case CONVT_TRUNCATED_NORMAL: return truncated(0, 0.05);
    case CONVT_RANDOM_UNIFORM: return uniform(-0.05, 0.05);
    case CONVT_ZEROS:
    case CONVT_CONSTANT: return constant(0);
    case CONVT_ONES: return constant(1);
    /* 64 columns of length 480; elements of a unit vector of that length */
    case CONVT_ORTHOGONAL: return (struct distribution){0, 1.0 / 480, -HUGE_VAL, HUGE_VAL};
    default: fail_msg("no reference for initializer %d: add one", (int)kind);
    }
    return constant(0);
}

/* 30,720 draws: five deviations of their mean and variance stay within these bounds. */
static void check_moments(const convt_initializer *init, struct distribution expected)
{
    for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
        struct moments m = moments_of(init, 11, (convt_dtype)dtype);
        assert_close(m.mean, expected.mean, 0, 5 * sqrt(expected.variance / 30720));
        assert_close(m.variance, expected.variance, 0.05, 0);
        double edge = (expected.high - expected.low) / 2,
               slack = 1e-7 * fmax(fabs(expected.low), fabs(expected.high));
        if (isinf(edge)) {
            assert_true(m.high > expected.mean + 3 * sqrt(expected.variance));
            continue;
        }
        assert_true(m.low >= expected.low - slack && m.high <= expected.high + slack);
        assert_true(m.low <= expected.low + 0.01 * edge && m.high >= expected.high - 0.01 * edge);
    }
}

static const convt_initializer_kind kinds[] = {
#define INITIALIZER(enumerator, ...) CONVT_##enumerator,
#include "convt/initializers.def"
#undef INITIALIZER
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void test_every_row(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        const convt_initializer init = {.kind = kinds[k]};
        if (kinds[k] == CONVT_IDENTITY) continue; /* of matrices: test_identity */
        check_moments(&init, expected_of(kinds[k], FAN_IN, FAN_OUT));
    }
}

/* input_axes and output_axes take the place of the fans where both are there; an empty one is 1. */
static void test_fans_over_axes(void **state)
{
    (void)state;
    static const struct {
        convt_axes in, out;
        double fan_in, fan_out;
    } cases[] = {
        {{2, {0, 3}}, {1, {-3}}, KH * INPUTS, KW},
        {{3, {2, 2, -1}}, {4, {0, 1, 2, 3}}, FILTERS * FILTERS * INPUTS, 30720},
        {{1, {1}}, {CONVT_NO_AXES, {0}}, KW, 1},
        {{1, {9}}, {0, {0}}, FAN_IN, FAN_OUT},
        {{0, {0}}, {CONVT_NO_AXES, {0}}, FAN_IN, FAN_OUT},
    };
    for (int k = 0; k < KINDS; k++) {
        if (!convti_initializer_arguments_of(kinds[k])->axes) continue;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const convt_initializer init = {
                .kind = kinds[k], .input_axes = cases[i].in, .output_axes = cases[i].out};
            assert_int_equal(convti_initializer_check(&init, 4, "k", NULL), CONVT_OK);
            check_moments(&init, expected_of(kinds[k], cases[i].fan_in, cases[i].fan_out));
        }
    }
}

/* Variance scaling with arguments of its own. */
static void check_scaled(convt_initializer init, double scale, double fan, bool is_uniform)
{
    check_moments(&init, scaled(scale, fan, is_uniform));
}

static void test_variance_scaling(void **state)
{
    (void)state;
    static const double fans[] = {
        [CONVT_FAN_IN] = FAN_IN, [CONVT_FAN_OUT] = FAN_OUT, [CONVT_FAN_AVG] = FAN_AVG};
    check_scaled((convt_initializer){.kind = CONVT_VARIANCE_SCALING}, 1, FAN_IN, false);
    for (int mode = CONVT_FAN_IN; mode <= CONVT_FAN_AVG; mode++) {
        convt_initializer init = {
            .kind = CONVT_VARIANCE_SCALING, .scale = CONVT_SET(3), .mode = (convt_fan_mode)mode};
        check_scaled(init, 3, fans[mode], false);
        init.distribution = CONVT_UNIFORM_DISTRIBUTION;
        check_scaled(init, 3, fans[mode], true);
        init.distribution = CONVT_UNTRUNCATED_NORMAL_DISTRIBUTION;
        struct moments m = moments_of(&init, 12, CONVT_FLOAT64);
        assert_close(m.variance, 3 / fans[mode], 0.05, 0);
        assert_true(m.high > 3.5 * sqrt(3 / fans[mode])); /* not cut */
    }
}

static void test_arguments(void **state)
{
    (void)state;
    convt_initializer init = {
        .kind = CONVT_RANDOM_NORMAL, .mean = CONVT_SET(-3), .stddev = CONVT_SET(2)};
    check_moments(&init, (struct distribution){-3, 4, -HUGE_VAL, HUGE_VAL});
    init.stddev = CONVT_SET(-2); /* as in Keras */
    check_moments(&init, (struct distribution){-3, 4, -HUGE_VAL, HUGE_VAL});
    init.kind = CONVT_TRUNCATED_NORMAL;
    init.stddev = CONVT_SET(2);
    check_moments(&init, truncated(-3, 2));
    init = (convt_initializer){
        .kind = CONVT_RANDOM_UNIFORM, .minval = CONVT_SET(2), .maxval = CONVT_SET(5)};
    check_moments(&init, uniform(2, 5));
    init = (convt_initializer){
        .kind = CONVT_RANDOM_UNIFORM, .minval = CONVT_SET(5), .maxval = CONVT_SET(2)};
    check_moments(&init, uniform(2, 5));
    init = (convt_initializer){.kind = CONVT_CONSTANT, .value = CONVT_SET(-2.5)};
    check_moments(&init, constant(-2.5));
}

/* The range is half open even where its end is the only other number there is. */
static void test_uniform_is_half_open(void **state)
{
    (void)state;
    const double last = (double)nextafterf(1, 2);
    convt_initializer init = {
        .kind = CONVT_RANDOM_UNIFORM, .minval = CONVT_SET(1), .maxval = CONVT_SET(last)};
    struct moments m = moments_of(&init, 1, CONVT_FLOAT32);
    assert_true(m.low == 1 && m.high == 1);
    init.maxval = CONVT_SET(1);
    m = moments_of(&init, 1, CONVT_FLOAT64);
    assert_true(m.low == 1 && m.high == 1);
    init.minval = CONVT_SET(last); /* from the other end */
    m = moments_of(&init, 1, CONVT_FLOAT32);
    assert_true(m.low == last && m.high == last);
}

/* ---- orthogonal ------------------------------------------------------------------------------ */

/* vector a . vector b, of the columns of a matrix, or of its rows. */
static double inner(convt_const_view u, int64_t a, convt_const_view v, int64_t b, bool columns)
{
    const int64_t width = u.c, length = columns ? values_count(u) / width : width;
    double sum = 0;
    for (int64_t k = 0; k < length; k++)
        sum += columns ? values_get(u, k * width + a) * values_get(v, k * width + b)
                       : values_get(u, a * width + k) * values_get(v, b * width + k);
    return sum;
}

/* Orthonormal vectors, and the Q of the normals that the same seed draws: Q'A is triangular with a
 * positive diagonal. */
static void check_orthogonal(convt_dtype dtype, int64_t kh, int64_t kw, int64_t filters,
                             int64_t inputs, double gain)
{
    const convt_initializer init = {.kind = CONVT_ORTHOGONAL, .gain = CONVT_SET(gain)},
                            normal = {.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(1)};
    const int64_t rows = kh * kw * filters, count = rows < inputs ? rows : inputs;
    const double tolerance = dtype == CONVT_FLOAT64 ? 1e-13 : 1e-6;
    convt_view q = values_new(dtype, kh, kw, filters, inputs),
               a = values_new(dtype, kh, kw, filters, inputs);
    convti_initialize(&init, 3, 4, q);
    convti_initialize(&normal, 3, 4, a);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++) {
            assert_close(inner(convt_read(q), i, convt_read(q), j, rows >= inputs),
                         i == j ? gain * gain : 0, 0, tolerance * gain * gain);
            double r = inner(convt_read(q), i, convt_read(a), j, rows >= inputs) / gain;
            if (i == j)
                assert_true(r > 0);
            else
                assert_close(r, 0, 0, 200 * tolerance);
        }
    values_free(q);
    values_free(a);
}

/* More columns, more rows, as many; fewer and more vectors than a block, elements than a tile. */
static void test_orthogonal(void **state)
{
    (void)state;
    static const int64_t shapes[][4] = {{1, 1, 1, 1},    {3, 5, 4, 8},   {1, 2, 3, 40},
                                        {2, 2, 8, 32},   {1, 1, 33, 33}, {5, 5, 8, 70},
                                        {1, 1, 70, 210}, {2, 3, 11, 65}, {1, 1, 64, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
            const int64_t *s = shapes[i];
            check_orthogonal((convt_dtype)dtype, s[0], s[1], s[2], s[3], 1);
            check_orthogonal((convt_dtype)dtype, s[0], s[1], s[2], s[3], -2.5);
        }
    const convt_initializer none = {.kind = CONVT_ORTHOGONAL, .gain = CONVT_SET(0)};
    struct moments m = moments_of(&none, 3, CONVT_FLOAT32);
    assert_true(m.low == 0 && m.high == 0);
}

/* Haar measure of 2 x 2: the angle of the first column is uniform, either orientation as likely.
 * Five deviations of 4,000 seeds. */
static void test_orthogonal_is_uniform(void **state)
{
    (void)state;
    enum { SEEDS = 4000 };
    const convt_initializer init = {.kind = CONVT_ORTHOGONAL};
    double mean = 0, squares = 0, fourth = 0, turned = 0, q[4];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        convti_initialize(&init, seed, 4, convt_f64(q, 1, 1, 2, 2));
        mean += q[0] / SEEDS;
        squares += q[0] * q[0] / SEEDS;
        fourth += q[0] * q[0] * q[0] * q[0] / SEEDS;
        turned += q[0] * q[3] - q[1] * q[2] < 0 ? 1.0 / SEEDS : 0;
    }
    assert_close(mean, 0, 0, 5 * sqrt(1.0 / 2 / SEEDS));
    assert_close(squares, 1.0 / 2, 0, 5 * sqrt(1.0 / 8 / SEEDS));
    assert_close(fourth, 3.0 / 8, 0, 5 * sqrt(0.133 / SEEDS));
    assert_close(turned, 1.0 / 2, 0, 5 * sqrt(1.0 / 4 / SEEDS));
}

/* ---- fans, seeds, precisions ----------------------------------------------------------------- */

/* A bias of n: both fans are n. Tiny fans count as 1. */
static void test_fans_of_a_vector(void **state)
{
    (void)state;
    const convt_initializer init = {.kind = CONVT_VARIANCE_SCALING,
                                    .mode = CONVT_FAN_AVG,
                                    .distribution = CONVT_UNIFORM_DISTRIBUTION};
    convt_view bias = values_new(CONVT_FLOAT64, 1, 1, 1, 3000);
    convti_initialize(&init, 1, 1, bias);
    double high = 0;
    for (int64_t i = 0; i < 3000; i++) high = fmax(high, fabs(values_get(convt_read(bias), i)));
    assert_true(high <= sqrt(3.0 / 3000) && high > 0.99 * sqrt(3.0 / 3000));
    values_free(bias);
}

/* fan_in is the first size of a matrix, fan_out the second, as Keras has it of a Dense. */
static void test_fans_of_a_matrix(void **state)
{
    (void)state;
    static const convt_initializer_kind modes[] = {CONVT_LECUN_UNIFORM, CONVT_GLOROT_UNIFORM};
    for (int k = 0; k < 2; k++) {
        const convt_initializer init = {.kind = modes[k]};
        const double limit = sqrt(3.0 / (k == 0 ? 50 : (50 + 600) / 2.0));
        convt_view v = values_new(CONVT_FLOAT64, 1, 1, 50, 600);
        double most = 0;
        convti_initialize(&init, 3, 2, v);
        for (int64_t i = 0; i < 50 * 600; i++)
            most = fmax(most, fabs(values_get(convt_read(v), i)));
        assert_true(most <= limit && most > 0.999 * limit);
        values_free(v);
    }
    const convt_initializer named = {
        .kind = CONVT_LECUN_UNIFORM, .input_axes = {1, {-1}}, .output_axes = {1, {0}}};
    convt_view v = values_new(CONVT_FLOAT64, 1, 1, 50, 600);
    double most = 0;
    convti_initialize(&named, 3, 2, v);
    for (int64_t i = 0; i < 50 * 600; i++) most = fmax(most, fabs(values_get(convt_read(v), i)));
    assert_true(most <= sqrt(3.0 / 600) && most > 0.999 * sqrt(3.0 / 600));
    values_free(v);
}

static void test_identity(void **state)
{
    (void)state;
    for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++)
        for (int64_t rows = 1; rows <= 7; rows += 3) {
            const convt_initializer init = {.kind = CONVT_IDENTITY,
                                            .gain = {.set = rows > 1, .value = -2.5}};
            convt_view v = values_new((convt_dtype)dtype, 1, 1, rows, 4);
            values_random(v, 1, -1, 1);
            convti_initialize(&init, 7, 2, v);
            for (int64_t i = 0; i < rows * 4; i++)
                assert_close(values_get(convt_read(v), i),
                             i / 4 != i % 4 ? 0
                             : rows > 1     ? -2.5
                                            : 1,
                             0, 0);
            values_free(v);
        }
}

static void test_seeds(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        convt_initializer init = {.kind = kinds[k]};
        if (!convti_initializer_arguments_of(kinds[k])->seed) continue;
        convt_view a = values_new(CONVT_FLOAT64, 2, 2, 3, 4),
                   b = values_new(CONVT_FLOAT64, 2, 2, 3, 4);
        const size_t bytes = 48 * sizeof(double);
        convti_initialize(&init, 5, 4, a);
        convti_initialize(&init, 5, 4, b);
        assert_same_bits(a.data, b.data, bytes);
        convti_initialize(&init, 6, 4, b);
        assert_memory_not_equal(a.data, b.data, bytes);
        init.seed = CONVT_SET(5); /* its own seed wins over the layer's */
        convti_initialize(&init, 7, 4, b);
        assert_same_bits(a.data, b.data, bytes);
        values_free(a);
        values_free(b);
    }
}

/* One rounding apart; orthogonal as many as a vector of 72 elements makes of it. */
static void test_precisions_agree(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        const convt_initializer init = {.kind = kinds[k]};
        bool rounded_once = kinds[k] != CONVT_ORTHOGONAL;
        convt_view single = values_new(CONVT_FLOAT32, 3, 3, 8, 8),
                   full = values_new(CONVT_FLOAT64, 3, 3, 8, 8);
        convti_initialize(&init, 9, 4, single);
        convti_initialize(&init, 9, 4, full);
        assert_all_close(convt_read(single), full.data, rounded_once ? 0x1p-24 : 0,
                         rounded_once ? 0 : 1e-6);
        values_free(single);
        values_free(full);
    }
}

static void fill_with_three(void *context, convt_view parameter)
{
    ++*(int *)context;
    for (int64_t i = 0; i < values_count(convt_read(parameter)); i++) values_set(parameter, i, 3);
}

static void test_custom(void **state)
{
    (void)state;
    int calls = 0;
    const convt_initializer init = {
        .kind = CONVT_CUSTOM_INITIALIZER, .fill = fill_with_three, .context = &calls};
    struct moments m = moments_of(&init, 0, CONVT_FLOAT32);
    assert_int_equal(calls, 1);
    assert_true(m.low == 3 && m.high == 3);
}

static void test_accepted(void **state)
{
    (void)state;
    convt_error err;
    for (int k = 0; k < KINDS; k++) {
        const convt_initializer init = {.kind = kinds[k]};
        if (kinds[k] != CONVT_IDENTITY)
            assert_int_equal(convti_initializer_check(&init, 4, "kernel_initializer", &err),
                             CONVT_OK);
        assert_int_equal(convti_initializer_check(&init, 2, "kernel_initializer", &err), CONVT_OK);
        if (kinds[k] != CONVT_ORTHOGONAL && kinds[k] != CONVT_IDENTITY)
            assert_int_equal(convti_initializer_check(&init, 1, "bias_initializer", &err),
                             CONVT_OK);
    }
    static const convt_initializer right[] = {
        {.kind = CONVT_DEFAULT_INITIALIZER},
        {.kind = CONVT_DEFAULT_INITIALIZER, .seed = {true, -7}},
        {.kind = CONVT_ORTHOGONAL, .gain = {true, -3}},
        {.kind = CONVT_RANDOM_NORMAL, .stddev = {true, -0.25}},
        {.kind = CONVT_RANDOM_UNIFORM, .minval = {true, 1}},
        {.kind = CONVT_HE_NORMAL, .input_axes = {1, {7}}}, /* alone it is not heeded */
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_int_equal(convti_initializer_check(&right[i], 4, "k", NULL), CONVT_OK);
    /* of a bias that is not there, the shape is not asked */
    assert_int_equal(convti_initializer_check(&right[2], 0, "k", NULL), CONVT_OK);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        convt_initializer init;
        const char *field, *part;
    } wrong[] = {
        {{.kind = (convt_initializer_kind)77}, "k", "77"},
        {{.kind = CONVT_CUSTOM_INITIALIZER}, "k", "fill"},
        {{.kind = CONVT_VARIANCE_SCALING, .scale = {true, 0}}, "k.scale", "greater than 0, got 0"},
        {{.kind = CONVT_VARIANCE_SCALING, .scale = {true, -1}}, "k.scale", "-1"},
        {{.kind = CONVT_VARIANCE_SCALING, .scale = {true, HUGE_VAL}}, "k.scale", "inf"},
        {{.kind = CONVT_VARIANCE_SCALING, .mode = (convt_fan_mode)3}, "k.mode", "3"},
        {{.kind = CONVT_VARIANCE_SCALING, .distribution = (convt_distribution)-1},
         "k.distribution",
         "-1"},
        {{.kind = CONVT_HE_NORMAL, .mode = CONVT_FAN_OUT}, "k.mode", "he_normal"},
        {{.kind = CONVT_HE_NORMAL, .distribution = CONVT_UNIFORM_DISTRIBUTION},
         "k.distribution",
         "he_normal"},
        {{.kind = CONVT_HE_NORMAL, .scale = {true, 2}}, "k.scale", "not an argument of he_normal"},
        {{.kind = CONVT_ZEROS, .seed = {true, 2}}, "k.seed", "not an argument of zeros"},
        {{.kind = CONVT_HE_NORMAL, .seed = {true, 0.5}}, "k.seed", "0.5"},
        {{.kind = CONVT_HE_NORMAL, .seed = {true, 1e300}}, "k.seed", "1e+300"},
        {{.kind = CONVT_RANDOM_NORMAL, .stddev = {true, HUGE_VAL}}, "k.stddev", "finite, got inf"},
        {{.kind = CONVT_ORTHOGONAL, .gain = {true, HUGE_VAL}}, "k.gain", "finite, got inf"},
        {{.kind = CONVT_HE_NORMAL, .gain = {true, 1}}, "k.gain", "not an argument of he_normal"},
        {{.kind = CONVT_ZEROS, .output_axes = {2, {0, 1}}}, "k.output_axes", "zeros, got 2 axes"},
        {{.kind = CONVT_HE_NORMAL, .input_axes = {5, {0}}}, "k.input_axes", "got 5"},
        {{.kind = CONVT_HE_NORMAL, .input_axes = {CONVT_ALL_AXES, {0}}}, "k.input_axes", "got -2"},
        {{.kind = CONVT_HE_NORMAL, .input_axes = {1, {4}}, .output_axes = {1, {0}}},
         "k.input_axes",
         "rank 4, got 4"},
        {{.kind = CONVT_HE_NORMAL, .input_axes = {1, {0}}, .output_axes = {2, {0, -5}}},
         "k.output_axes",
         "got -5"},
        {{.kind = CONVT_RANDOM_UNIFORM, .minval = {true, -1.5e308}, .maxval = {true, 1.5e308}},
         "k.maxval",
         "1.5e+308"},
        {{.kind = CONVT_CONSTANT, .value = {true, -HUGE_VAL}}, "k.value", "-inf"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_error err;
        convt_status status = convti_initializer_check(&wrong[i].init, 4, "k", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, wrong[i].field, wrong[i].part);
    }
    const convt_initializer nan = {.kind = CONVT_CONSTANT, .value = {true, (double)NAN}};
    convt_error err;
    convt_status status = convti_initializer_check(&nan, 1, "bias_initializer", &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "bias_initializer.value", "nan");
    const convt_initializer orthogonal = {.kind = CONVT_ORTHOGONAL};
    status = convti_initializer_check(&orthogonal, 1, "bias_initializer", &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "bias_initializer",
                   "at least two dimensions, got rank 1");
    const convt_initializer identity = {.kind = CONVT_IDENTITY};
    for (int rank = 1; rank <= 4; rank += 3) {
        status = convti_initializer_check(&identity, rank, "kernel_initializer", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "kernel_initializer",
                       rank == 1 ? "2D matrices, got rank 1" : "2D matrices, got rank 4");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_fans_over_axes),
        cmocka_unit_test(test_variance_scaling),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_uniform_is_half_open),
        cmocka_unit_test(test_orthogonal),
        cmocka_unit_test(test_orthogonal_is_uniform),
        cmocka_unit_test(test_fans_of_a_vector),
        cmocka_unit_test(test_fans_of_a_matrix),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_precisions_agree),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
