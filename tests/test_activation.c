/* Activations by number: defaults, checks, and when the pre-activation is needed. The formulas:
 * test_eltwise_*.c, test_axis_*.c. */
#include <math.h>

#include "names.h"
#include "support/close.h"
#include "support/random_config.h"
#include "tables.h"

/* Every row that is built in, each with the arguments that have no default. */
static const convt_activation every_row[] = {
#define ACTIVATION(enumerator, number, ...) {.kind = CONVT_##enumerator},
#define AXIS_ACTIVATION ACTIVATION
#include "convt/activations.def"
};

/* Keras' defaults; every argument that is not here is one that the row does not take. */
static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        convt_activation_kind kind;
        struct convti_activation_params params;
    } defaults[] = {
        {CONVT_RELU, {.max_value = HUGE_VAL}},
        {CONVT_LEAKY_RELU, {.negative_slope = 0.2}},
        {CONVT_ELU, {.alpha = 1}},
        {CONVT_CELU, {.alpha = 1}},
        {CONVT_SQUAREPLUS, {.b = 4}},
        {CONVT_GELU, {.approximate = 0}},
        {CONVT_SOFT_SHRINK, {.threshold = 0.5}},
        {CONVT_HARD_SHRINK, {.threshold = 0.5}},
        {CONVT_SOFTMAX, {.axis = -1}},
        {CONVT_LOG_SOFTMAX, {.axis = -1}},
        {CONVT_SPARSEMAX, {.axis = -1}},
        {CONVT_GLU, {.axis = -1}},
        {CONVT_THRESHOLD, {.threshold = 0.25, .default_value = 0.25}},
    };
    for (size_t i = 0; i < sizeof every_row / sizeof *every_row; i++) {
        const convt_activation activation = complete_activation(every_row[i]);
        struct convti_activation_params actual, expected = {0};
        for (size_t k = 0; k < sizeof defaults / sizeof *defaults; k++)
            if (defaults[k].kind == activation.kind) expected = defaults[k].params;
        convti_activation_defaults(&activation, &actual);
#define ACTIVATION_ARGUMENT(name, range) assert_close(actual.name, expected.name, 0, 0);
#include "convt/activations.def"
    }
}

/* The pinned numbers: rows stand in their order, without gaps. */
static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof every_row / sizeof *every_row; i++)
        assert_int_equal(every_row[i].kind, i);
    assert_int_equal(sizeof every_row / sizeof *every_row, 30);
    assert_null(convti_activation_arguments_of((convt_activation_kind)30));
}

static void test_aliases(void **state)
{
    (void)state;
    convt_activation_kind kind;
    assert_true(convti_activation_from_name("swish", &kind) && kind == CONVT_SILU);
    assert_true(convti_activation_from_name("hard_swish", &kind) && kind == CONVT_HARD_SILU);
    assert_string_equal(convti_class_name(CONVTI_ACTIVATIONS, CONVT_SILU), "silu");
    assert_string_equal(convti_class_name(CONVTI_ACTIVATIONS, CONVT_HARD_SILU), "hard_silu");
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
        {{.kind = CONVT_SELU}, false},
        {{.kind = CONVT_CELU, .alpha = {true, -1}}, false},
        {{.kind = CONVT_SQUAREPLUS}, false},
        {{.kind = CONVT_SILU}, true},
        {{.kind = CONVT_HARD_SILU}, true},
        {{.kind = CONVT_MISH}, true},
        {{.kind = CONVT_GELU}, true},
        {{.kind = CONVT_TANH_SHRINK}, true},
        {{.kind = CONVT_SOFT_SHRINK, .threshold = {true, -1}}, false},
        {{.kind = CONVT_HARD_SHRINK}, false},
        {{.kind = CONVT_HARD_SHRINK, .threshold = {true, -1}}, true},
        {{.kind = CONVT_THRESHOLD, .threshold = {true, 1}, .default_value = {true, 1}}, false},
        {{.kind = CONVT_THRESHOLD, .threshold = {true, 1}, .default_value = {true, 2}}, true},
        {{.kind = CONVT_SOFTMAX}, false},
        {{.kind = CONVT_LOG_SOFTMAX}, false},
        {{.kind = CONVT_SPARSEMAX}, false},
        {{.kind = CONVT_GLU}, true},
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
    convt_error err;
    for (size_t i = 0; i < sizeof every_row / sizeof *every_row; i++) {
        const convt_activation activation = complete_activation(every_row[i]);
        assert_int_equal(convti_activation_check(&activation, "activation", &err), CONVT_OK);
    }
    const convt_activation custom = {.kind = CONVT_CUSTOM_ACTIVATION,
                                     .custom = {forward, backward, NULL}};
    assert_int_equal(convti_activation_check(&custom, "activation", &err), CONVT_OK);
}

/* Rows along the last axis of memory, and how many z one y of theirs takes. */
static void test_axis_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof every_row / sizeof *every_row; i++) {
        const convt_activation_kind kind = every_row[i].kind;
        assert_int_equal(convti_activation_on_axis(kind), kind >= CONVT_SOFTMAX);
        assert_int_equal(convti_activation_inputs(kind), kind == CONVT_GLU ? 2 : 1);
    }
    assert_false(convti_activation_on_axis(CONVT_CUSTOM_ACTIVATION));
    assert_int_equal(convti_activation_inputs(CONVT_CUSTOM_ACTIVATION), 1);
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
        {{.kind = CONVT_THRESHOLD}, "activation.threshold", "is missing, threshold needs it"},
        {{.kind = CONVT_THRESHOLD, .threshold = {true, 1}},
         "activation.default_value",
         "is missing, threshold needs it"},
        {{.kind = CONVT_GELU, .approximate = {true, 0.5}},
         "activation.approximate",
         "0 or 1, got 0.5"},
        {{.kind = CONVT_SQUAREPLUS, .b = {true, HUGE_VAL}}, "activation.b", "finite, got inf"},
        {{.kind = CONVT_SOFTMAX, .alpha = {true, 1}}, "activation.alpha", "softmax"},
        {{.kind = CONVT_GLU, .axis = {true, 1}}, "activation.axis", "-1 or 3"},
        {{.kind = CONVT_RELU, .axis = {true, -1}}, "activation.axis", "relu, got -1"},
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
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_aliases),   cmocka_unit_test(test_set_values_win),
        cmocka_unit_test(test_needs_z),   cmocka_unit_test(test_every_row_passes),
        cmocka_unit_test(test_axis_rows), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
