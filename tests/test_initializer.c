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
        m.mean += x / (double)count;
        m.variance += x * x / (double)count;
        m.low = fmin(m.low, x);
        m.high = fmax(m.high, x);
    }
    m.variance -= m.mean * m.mean;
    values_free(v);
    return m;
}

/* 30,720 draws: five deviations of their mean and variance stay within these bounds. */
static void check_scaled(convt_initializer init, double scale, double fan, bool uniform)
{
    const double variance = scale / fan,
                 limit = uniform ? sqrt(3 * variance) : 2 * sqrt(variance) / 0.87962566103423978;
    for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
        struct moments m = moments_of(&init, 11, (convt_dtype)dtype);
        assert_close(m.mean, 0, 0, 5 * sqrt(variance / 30720));
        assert_close(m.variance, variance, 0.05, 0);
        assert_true(m.low >= -limit * (1 + 1e-7) && m.high <= limit * (1 + 1e-7));
        assert_true(m.low < -0.99 * limit && m.high > 0.99 * limit);
    }
}

static void test_named_rows(void **state)
{
    (void)state;
    check_scaled((convt_initializer){.kind = CONVT_GLOROT_UNIFORM}, 1, FAN_AVG, true);
    check_scaled((convt_initializer){.kind = CONVT_GLOROT_NORMAL}, 1, FAN_AVG, false);
    check_scaled((convt_initializer){.kind = CONVT_HE_UNIFORM}, 2, FAN_IN, true);
    check_scaled((convt_initializer){.kind = CONVT_HE_NORMAL}, 2, FAN_IN, false);
    check_scaled((convt_initializer){.kind = CONVT_LECUN_UNIFORM}, 1, FAN_IN, true);
    check_scaled((convt_initializer){.kind = CONVT_LECUN_NORMAL}, 1, FAN_IN, false);
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

static void test_random_rows(void **state)
{
    (void)state;
    convt_initializer init = {.kind = CONVT_RANDOM_NORMAL};
    struct moments m = moments_of(&init, 1, CONVT_FLOAT32);
    assert_close(m.mean, 0, 0, 0.0015);
    assert_close(sqrt(m.variance), 0.05, 0.03, 0);
    init.mean = CONVT_SET(-3);
    init.stddev = CONVT_SET(2);
    m = moments_of(&init, 1, CONVT_FLOAT64);
    assert_close(m.mean, -3, 0, 0.06);
    assert_close(sqrt(m.variance), 2, 0.03, 0);

    init = (convt_initializer){.kind = CONVT_RANDOM_UNIFORM};
    m = moments_of(&init, 1, CONVT_FLOAT32);
    assert_true(m.low >= (double)-0.05f && m.low < -0.0499 && m.high < (double)0.05f &&
                m.high > 0.0499);
    init.minval = CONVT_SET(2);
    init.maxval = CONVT_SET(5);
    m = moments_of(&init, 1, CONVT_FLOAT64);
    assert_close(m.mean, 3.5, 0, 0.03);
    assert_true(m.low >= 2 && m.high < 5 && m.high > 4.99);
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
}

static void test_constants(void **state)
{
    (void)state;
    static const struct {
        convt_initializer init;
        double value;
    } rows[] = {
        {{.kind = CONVT_ZEROS}, 0},
        {{.kind = CONVT_ONES}, 1},
        {{.kind = CONVT_CONSTANT}, 0},
        {{.kind = CONVT_CONSTANT, .value = {true, -2.5}}, -2.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
            struct moments m = moments_of(&rows[i].init, 3, (convt_dtype)dtype);
            assert_true(m.low == rows[i].value && m.high == rows[i].value);
        }
}

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

static void test_seeds(void **state)
{
    (void)state;
    convt_initializer init = {.kind = CONVT_HE_NORMAL};
    convt_view a = values_new(CONVT_FLOAT64, 2, 2, 3, 4), b = values_new(CONVT_FLOAT64, 2, 2, 3, 4);
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

static void test_precisions_agree(void **state)
{
    (void)state;
    static const convt_initializer rows[] = {{.kind = CONVT_GLOROT_UNIFORM},
                                             {.kind = CONVT_HE_NORMAL},
                                             {.kind = CONVT_RANDOM_NORMAL},
                                             {.kind = CONVT_RANDOM_UNIFORM}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        convt_view single = values_new(CONVT_FLOAT32, 3, 3, 8, 8),
                   full = values_new(CONVT_FLOAT64, 3, 3, 8, 8);
        convti_initialize(&rows[i], 9, 4, single);
        convti_initialize(&rows[i], 9, 4, full);
        assert_all_close(convt_read(single), full.data, 0x1p-24, 0);
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
    for (int kind = CONVT_DEFAULT_INITIALIZER; kind <= CONVT_CONSTANT; kind++) {
        const convt_initializer init = {.kind = (convt_initializer_kind)kind};
        assert_int_equal(convti_initializer_check(&init, "kernel_initializer", &err), CONVT_OK);
    }
    const convt_initializer seeded = {.kind = CONVT_DEFAULT_INITIALIZER, .seed = CONVT_SET(-7)};
    assert_int_equal(convti_initializer_check(&seeded, "kernel_initializer", NULL), CONVT_OK);
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
        {{.kind = CONVT_RANDOM_NORMAL, .stddev = {true, -0.25}}, "k.stddev", "-0.25"},
        {{.kind = CONVT_RANDOM_UNIFORM, .minval = {true, 1}}, "k.minval", "0.05, got 1"},
        {{.kind = CONVT_RANDOM_UNIFORM, .minval = {true, -1.5e308}, .maxval = {true, 1.5e308}},
         "k.maxval",
         "1.5e+308"},
        {{.kind = CONVT_CONSTANT, .value = {true, -HUGE_VAL}}, "k.value", "-inf"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_error err;
        convt_status status = convti_initializer_check(&wrong[i].init, "k", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, wrong[i].field, wrong[i].part);
    }
    const convt_initializer nan = {.kind = CONVT_CONSTANT, .value = {true, (double)NAN}};
    convt_error err;
    convt_status status = convti_initializer_check(&nan, "bias_initializer", &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "bias_initializer.value", "nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_rows),  cmocka_unit_test(test_variance_scaling),
        cmocka_unit_test(test_random_rows), cmocka_unit_test(test_uniform_is_half_open),
        cmocka_unit_test(test_constants),   cmocka_unit_test(test_fans_of_a_vector),
        cmocka_unit_test(test_seeds),       cmocka_unit_test(test_precisions_agree),
        cmocka_unit_test(test_custom),      cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
