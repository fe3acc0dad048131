/* Constraints: every row over every subset of axes against plain loops in double, numbers from
 * Keras, refusals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/values.h"
#include "tables.h"

static convt_parameter parameter_of(convt_view value, int rank, const convt_constraint *constraint,
                                    uint64_t *version)
{
    return (convt_parameter){.owner = "layer",
                             .name = rank == 4 ? "kernel" : "bias",
                             .value = value,
                             .rank = rank,
                             .trainable = true,
                             .constraint = constraint,
                             .version = version};
}

/* ---- the reference --------------------------------------------------------------------------- */

static double clip(double x, double low, double high)
{
    return fmin(fmax(x, low), high);
}

static double expected_value(const convt_constraint *c, double w, double norm)
{
    const double epsilon = 1e-7, rate = c->rate.set ? c->rate.value : 1;
    const double min = c->min_value.set ? c->min_value.value : 0;
    switch ((int)c->kind) {
    case CONVT_MAX_NORM:
        return w * clip(norm, 0, c->max_value.set ? c->max_value.value : 2) / (epsilon + norm);
    case CONVT_NON_NEG: return fmax(w, 0);
    case CONVT_UNIT_NORM: return w / (epsilon + norm);
    case CONVT_MIN_MAX_NORM: {
        double clipped = clip(norm, min, c->max_value.set ? c->max_value.value : 1);
        return w * (rate * clipped + (1 - rate) * norm) / (epsilon + norm);
    }
    default: fail_msg("no reference for constraint %d: add one", (int)c->kind); return w;
    }
}

/* For every element: the norm over all elements that agree with it on the axes that are kept. */
static double *reference(const convt_constraint *c, convt_const_view v, const bool reduced[4])
{
    const int64_t size[4] = {v.n, v.h, v.w, v.c};
    int64_t count = values_count(v);
    double *out = values_doubles(v);
    for (int64_t i = 0; i < count; i++) {
        double squares = 0;
        for (int64_t j = 0; j < count; j++) {
            bool same = true;
            int64_t a = i, b = j;
            for (int axis = 3; axis >= 0; a /= size[axis], b /= size[axis], axis--)
                same = same && (reduced[axis] || a % size[axis] == b % size[axis]);
            if (same) squares += values_get(v, j) * values_get(v, j);
        }
        out[i] = expected_value(c, values_get(v, i), sqrt(squares));
    }
    return out;
}

static const convt_constraint rows[] = {
#define CONSTRAINT(enumerator, number, ...) {.kind = CONVT_##enumerator},
#include "convt/constraints.def"
#undef CONSTRAINT
    {.kind = CONVT_MAX_NORM, .max_value = {true, 0.75}},
    {.kind = CONVT_MAX_NORM, .max_value = {true, HUGE_VAL}},
    {.kind = CONVT_MIN_MAX_NORM, .min_value = {true, -HUGE_VAL}, .max_value = {true, 0.5}},
    {.kind = CONVT_MIN_MAX_NORM, .min_value = {true, 1.5}, .max_value = {true, HUGE_VAL}},
    {.kind = CONVT_MIN_MAX_NORM,
     .min_value = {true, 1.5},
     .max_value = {true, 2},
     .rate = {true, 0.3}},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void check_against_reference(const convt_constraint *c, convt_view v, int rank,
                                    const bool reduced[4])
{
    uint64_t version = 41;
    double *expected = reference(c, convt_read(v), reduced);
    const convt_parameter parameter = parameter_of(v, rank, c, &version);
    assert_int_equal(convti_constraint_check(c, rank, "kernel_constraint", NULL), CONVT_OK);
    convt_constraint_apply(&parameter);
    double tolerance = v.dtype == CONVT_FLOAT64 ? 1e-14 : 3e-7;
    assert_all_close(convt_read(v), expected, tolerance, tolerance);
    assert_int_equal(version, 42);
    free(expected);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* 16 subsets, the empty one and the whole by their names, x positive and negative axes x both
 * precisions; 150 channels are more than one chunk of columns. */
static void test_every_subset_of_axes(void **state)
{
    (void)state;
    for (int row = 0; row < ROWS; row++)
        for (unsigned subset = 0; subset <= 16; subset++)
            for (int negative = 0; negative < 2; negative++)
                for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
                    bool reduced[4] = {false};
                    convt_constraint c = rows[row];
                    for (int axis = 3; axis >= 0; axis--)
                        if (subset == 16 || subset >> axis & 1) {
                            reduced[axis] = true;
                            if (convti_constraint_arguments_of(c.kind)->axis)
                                c.axis.axis[c.axis.count++] = negative ? axis - 4 : axis;
                        }
                    if (convti_constraint_arguments_of(c.kind)->axis && subset % 16 == 0)
                        c.axis = (convt_axes){.count = subset ? CONVT_ALL_AXES : CONVT_NO_AXES};
                    int64_t channels = subset == 2 || subset == 9 ? 150 : 5;
                    convt_view v =
                        values_new((convt_dtype)dtype, 2, 3, channels == 150 ? 2 : 4, channels);
                    values_random(v, subset, -1, 1);
                    check_against_reference(&c, v, 4, reduced);
                    values_free(v);
                }
}

static void test_default_axis_is_0(void **state)
{
    (void)state;
    static const bool first_of_4[4] = {true, false, false, false},
                      first_of_1[4] = {false, false, false, true};
    for (int row = 0; row < ROWS; row++) {
        convt_view kernel = values_new(CONVT_FLOAT64, 3, 2, 4, 5),
                   bias = values_new(CONVT_FLOAT32, 1, 1, 1, 300);
        values_random(kernel, 1, -2, 2);
        values_random(bias, 2, -2, 2);
        check_against_reference(&rows[row], kernel, 4, first_of_4);
        check_against_reference(&rows[row], bias, 1, first_of_1);
        values_free(kernel);
        values_free(bias);
    }
}

/* keras-team/keras, constraints_test.py: the norms of columns of a matrix, and single elements. */
static void test_numbers_of_keras(void **state)
{
    (void)state;
    double matrix[9] = {0, 0, 0, 1, 0, 0, 3, 0, 0};
    convt_constraint c = {.kind = CONVT_MAX_NORM, .max_value = {true, 2}, .axis = {1, {-1}}};
    convt_parameter p = parameter_of(convt_f64(matrix, 1, 1, 3, 3), 4, &c, NULL);
    const double expected[9] = {0, 0, 0, 1, 0, 0, 2, 0, 0};
    convt_constraint_apply(&p);
    assert_all_close(convt_read(p.value), expected, 1e-6, 1e-6);

    double zeros[4] = {0, 0, 0, 0};
    const double still[4] = {0, 0, 0, 0};
    for (int row = 0; row < ROWS; row++) { /* epsilon keeps 0 / 0 away */
        p = parameter_of(convt_f64(zeros, 1, 1, 1, 4), 1, &rows[row], NULL);
        convt_constraint_apply(&p);
        assert_all_close(convt_read(p.value), still, 0, 0);
    }
}

static void test_non_neg_and_odd_values(void **state)
{
    (void)state;
    double v[5] = {-1, -0.0, -HUGE_VAL, HUGE_VAL, (double)NAN};
    const double expected[5] = {0, 0, 0, HUGE_VAL, (double)NAN};
    const convt_constraint c = {.kind = CONVT_NON_NEG};
    const convt_parameter p = parameter_of(convt_f64(v, 1, 1, 1, 5), 1, &c, NULL);
    convt_constraint_apply(&p);
    assert_all_close(convt_read(p.value), expected, 0, 0);
    for (int i = 0; i < 3; i++) assert_false(signbit(v[i]));
}

static void test_none(void **state)
{
    (void)state;
    float v[2] = {-5, 7};
    uint64_t version = 3;
    const convt_constraint none = {.kind = CONVT_NO_CONSTRAINT};
    convt_parameter p = parameter_of(convt_f32(v, 1, 1, 1, 2), 1, &none, &version);
    convt_constraint_apply(&p);
    p.constraint = NULL;
    convt_constraint_apply(&p);
    assert_true(v[0] == -5 && v[1] == 7);
    assert_int_equal(version, 3);
}

static void negate(void *context, convt_view w)
{
    ++*(int *)context;
    for (int64_t i = 0; i < values_count(convt_read(w)); i++)
        values_set(w, i, -values_get(convt_read(w), i));
}

static void test_custom(void **state)
{
    (void)state;
    int calls = 0;
    float v[2] = {-5, 7};
    uint64_t version = 0;
    const convt_constraint c = {
        .kind = CONVT_CUSTOM_CONSTRAINT, .apply = negate, .context = &calls};
    const convt_parameter p = parameter_of(convt_f32(v, 1, 1, 1, 2), 1, &c, &version);
    assert_int_equal(convti_constraint_check(&c, 1, "c", NULL), CONVT_OK);
    convt_constraint_apply(&p);
    assert_true(calls == 1 && version == 1 && v[0] == 5 && v[1] == -7);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        convt_constraint constraint;
        int rank;
        const char *field, *part;
    } wrong[] = {
        {{.kind = (convt_constraint_kind)9}, 4, "c", "9"},
        {{.kind = CONVT_CUSTOM_CONSTRAINT}, 4, "c", "apply"},
        {{.kind = CONVT_UNIT_NORM, .axis = {1, {4}}}, 4, "c.axis", "got 4"},
        {{.kind = CONVT_UNIT_NORM, .axis = {1, {-5}}}, 4, "c.axis", "got -5"},
        {{.kind = CONVT_UNIT_NORM, .axis = {1, {1}}}, 1, "c.axis", "rank 1, got 1"},
        {{.kind = CONVT_UNIT_NORM, .axis = {2, {1, 1}}}, 4, "c.axis", "twice"},
        {{.kind = CONVT_UNIT_NORM, .axis = {2, {0, -4}}}, 4, "c.axis", "twice"},
        {{.kind = CONVT_UNIT_NORM, .axis = {5, {0, 1, 2, 3}}}, 4, "c.axis", "got 5"},
        {{.kind = CONVT_UNIT_NORM, .axis = {-3, {0}}}, 4, "c.axis", "got -3"},
        {{.kind = CONVT_NON_NEG, .axis = {1, {0}}}, 4, "c.axis", "non_neg"},
        {{.kind = CONVT_MAX_NORM, .max_value = {true, -HUGE_VAL}},
         4,
         "c.max_value",
         "inf, got -inf"},
        {{.kind = CONVT_MIN_MAX_NORM, .min_value = {true, HUGE_VAL}}, 4, "c.min_value", "got inf"},
        {{.kind = CONVT_MAX_NORM, .min_value = {true, 1}}, 4, "c.min_value", "max_norm"},
        {{.kind = CONVT_MIN_MAX_NORM, .rate = {true, -HUGE_VAL}}, 4, "c.rate", "-inf"},
        {{.kind = CONVT_NO_CONSTRAINT, .rate = {true, 1}}, 4, "c.rate", "no constraint"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_error err;
        convt_status status =
            convti_constraint_check(&wrong[i].constraint, wrong[i].rank, "c", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, wrong[i].field, wrong[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_subset_of_axes),
        cmocka_unit_test(test_default_axis_is_0),
        cmocka_unit_test(test_numbers_of_keras),
        cmocka_unit_test(test_non_neg_and_odd_values),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
