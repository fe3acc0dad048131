/* Activations by number: defaults, checks, and when the pre-activation is needed. The formulas:
 * test_eltwise_*.c. */
#include <math.h>

#include "support/close.h"
#include "tables.h"

static void test_defaults(void **state)
{
    (void)state;
    struct convti_activation_params p;
    convti_activation_defaults(&(convt_activation){.kind = CONVT_RELU}, &p);
    assert_true(p.negative_slope == 0 && p.max_value == HUGE_VAL && p.threshold == 0);
    convti_activation_defaults(&(convt_activation){.kind = CONVT_LEAKY_RELU}, &p);
    assert_close(p.negative_slope, 0.2, 0, 0);
    convti_activation_defaults(&(convt_activation){.kind = CONVT_ELU}, &p);
    assert_close(p.alpha, 1, 0, 0);
    convti_activation_defaults(&(convt_activation){.kind = CONVT_SIGMOID}, &p);
    assert_true(p.negative_slope == 0 && p.max_value == 0 && p.threshold == 0 && p.alpha == 0);
}

static void test_set_values_win(void **state)
{
    (void)state;
    const convt_activation relu = {.kind = CONVT_RELU,
                                   .negative_slope = CONVT_SET(0.1),
                                   .max_value = CONVT_SET(6),
                                   .threshold = CONVT_SET(0.5)};
    const convt_activation leaky = {.kind = CONVT_LEAKY_RELU, .negative_slope = CONVT_SET(0)};
    struct convti_activation_params p;
    convti_activation_defaults(&relu, &p);
    assert_true(p.negative_slope == 0.1 && p.max_value == 6 && p.threshold == 0.5);
    convti_activation_defaults(&leaky, &p);
    assert_true(p.negative_slope == 0);
}

static void test_needs_z(void **state)
{
    (void)state;
    static const struct {
        convt_activation activation;
        bool needs_z;
    } rows[] = {
        {{.kind = CONVT_LINEAR}, false},
        {{.kind = CONVT_RELU}, false},
        {{.kind = CONVT_RELU, .max_value = {true, 6}}, false},
        {{.kind = CONVT_RELU, .negative_slope = {true, -0.1}}, true},
        {{.kind = CONVT_RELU, .threshold = {true, -1}}, true},
        {{.kind = CONVT_RELU, .max_value = {true, 1}, .threshold = {true, 1}}, true},
        {{.kind = CONVT_LEAKY_RELU}, false},
        {{.kind = CONVT_LEAKY_RELU, .negative_slope = {true, -0.2}}, true},
        {{.kind = CONVT_ELU}, false},
        {{.kind = CONVT_ELU, .alpha = {true, -1}}, true},
        {{.kind = CONVT_SIGMOID}, false},
        {{.kind = CONVT_TANH}, false},
        {{.kind = CONVT_SOFTPLUS}, false},
        {{.kind = CONVT_CUSTOM_ACTIVATION}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(convti_activation_needs_z(&rows[i].activation), rows[i].needs_z);
}

static void forward(void *context, convt_dtype dtype, int64_t count, const void *z, void *y)
{
    (void)context, (void)dtype, (void)count, (void)z, (void)y;
}

static void backward(void *context, convt_dtype dtype, int64_t count, const void *z, const void *y,
                     const void *dy, void *dz)
{
    (void)context, (void)dtype, (void)count, (void)z, (void)y, (void)dy, (void)dz;
}

static void test_every_row_passes(void **state)
{
    (void)state;
    static const convt_activation rows[] = {
#define ACTIVATION(enumerator, number, ...) {.kind = CONVT_##enumerator},
#include "convt/activations.def"
#undef ACTIVATION
        {.kind = CONVT_CUSTOM_ACTIVATION, .custom = {forward, backward, NULL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        convt_error err;
        assert_int_equal(convti_activation_check(&rows[i], "activation", &err), CONVT_OK);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        convt_activation activation;
        const char *field, *part;
    } wrong[] = {
        {{.kind = (convt_activation_kind)999}, "activation", "999"},
        {{.kind = (convt_activation_kind)-1}, "activation", "-1"},
        {{.kind = CONVT_CUSTOM_ACTIVATION, .custom = {forward, NULL, NULL}},
         "activation",
         "backward"},
        {{.kind = CONVT_CUSTOM_ACTIVATION, .custom = {NULL, backward, NULL}},
         "activation",
         "forward"},
        {{.kind = CONVT_ELU, .alpha = {true, HUGE_VAL}}, "activation.alpha", "finite, got inf"},
        {{.kind = CONVT_RELU, .threshold = {true, -HUGE_VAL}}, "activation.threshold", "-inf"},
        {{.kind = CONVT_RELU, .alpha = {true, 1.5}},
         "activation.alpha",
         "not an argument of relu, got 1.5"},
        {{.kind = CONVT_LINEAR, .negative_slope = {true, 0}},
         "activation.negative_slope",
         "linear"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_error err;
        convt_status status = convti_activation_check(&wrong[i].activation, "activation", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, wrong[i].field, wrong[i].part);
    }
    const convt_activation nan = {.kind = CONVT_RELU, .max_value = {true, (double)NAN}};
    convt_error err;
    convt_status status = convti_activation_check(&nan, "activation", &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "activation.max_value",
                   "a number, got nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_set_values_win),
        cmocka_unit_test(test_needs_z),  cmocka_unit_test(test_every_row_passes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
