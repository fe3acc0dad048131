/* Regularizers: values against plain sums, gradients against central differences, refusals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/values.h"
#include "tables.h"

static const struct {
    convt_regularizer regularizer;
    double l1, l2;
} rows[] = {
    {{.kind = CONVT_NO_REGULARIZER}, 0, 0},
    {{.kind = CONVT_L1}, 0.01, 0},
    {{.kind = CONVT_L2}, 0, 0.01},
    {{.kind = CONVT_L1L2}, 0, 0},
    {{.kind = CONVT_L1, .l1 = {true, 0.5}}, 0.5, 0},
    {{.kind = CONVT_L2, .l2 = {true, 0.25}}, 0, 0.25},
    {{.kind = CONVT_L2, .l2 = {true, 0}}, 0, 0},
    {{.kind = CONVT_L1L2, .l1 = {true, 0.5}, .l2 = {true, 0.25}}, 0.5, 0.25},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void test_coefficients(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        double l1 = -1, l2 = -1;
        convti_regularizer_coefficients(&rows[i].regularizer, &l1, &l2);
        assert_close(l1, rows[i].l1, 0, 0);
        assert_close(l2, rows[i].l2, 0, 0);
    }
}

/* Sizes around the number of partial sums, in both precisions. */
static void test_losses(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 15, 16, 17, 1000};
    for (int i = 0; i < ROWS; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int dtype = CONVT_FLOAT32; dtype <= CONVT_FLOAT64; dtype++) {
                convt_view w = values_new((convt_dtype)dtype, 1, 1, 1, sizes[k]);
                values_random(w, k, -2, 2);
                double expected = 0;
                for (int64_t j = 0; j < sizes[k]; j++) {
                    double v = values_get(convt_read(w), j);
                    expected += rows[i].l1 * fabs(v) + rows[i].l2 * v * v;
                }
                assert_close(convti_regularizer_loss(&rows[i].regularizer, convt_read(w)), expected,
                             1e-13, 0);
                values_free(w);
            }
}

/* float32 squares beyond FLT_MAX: the sum is double. */
static void test_no_overflow_in_float(void **state)
{
    (void)state;
    float w[2] = {1e25f, -1e25f};
    const convt_regularizer l2 = {.kind = CONVT_L2, .l2 = {true, 1}};
    assert_close(convti_regularizer_loss(&l2, convt_f32((const float *)w, 1, 1, 1, 2)), 2e50, 1e-6,
                 0);
}

static void test_gradient_by_differences(void **state)
{
    (void)state;
    enum { COUNT = 37 };
    const double scale = 1.75, step = 1e-5;
    for (int i = 0; i < ROWS; i++) {
        convt_view w = values_new(CONVT_FLOAT64, 1, 1, 1, COUNT),
                   dw = values_new(CONVT_FLOAT64, 1, 1, 1, COUNT);
        values_random(w, 3, -2, 2);
        values_random(dw, 4, -1, 1);
        double *before = values_doubles(convt_read(dw));
        convti_regularizer_gradient(&rows[i].regularizer, convt_read(w), scale, dw);
        for (int64_t j = 0; j < COUNT; j++) {
            double v = values_get(convt_read(w), j);
            values_set(w, j, v + step);
            double up = convti_regularizer_loss(&rows[i].regularizer, convt_read(w));
            values_set(w, j, v - step);
            double down = convti_regularizer_loss(&rows[i].regularizer, convt_read(w));
            values_set(w, j, v);
            assert_close(values_get(convt_read(dw), j),
                         before[j] + scale * (up - down) / (2 * step), 0, 1e-8);
        }
        free(before);
        values_free(w);
        values_free(dw);
    }
}

static void test_gradient_in_float(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        float w[3] = {-1.5f, 0, 2.5f}, dw[3] = {1, 1, 1};
        double expected[3];
        for (int j = 0; j < 3; j++)
            expected[j] = 1 + 2 * (rows[i].l1 * (double)((w[j] > 0) - (w[j] < 0)) +
                                   2 * rows[i].l2 * (double)w[j]);
        convti_regularizer_gradient(&rows[i].regularizer, convt_f32((const float *)w, 1, 1, 1, 3),
                                    2, convt_f32(dw, 1, 1, 1, 3));
        assert_all_close(convt_f32((const float *)dw, 1, 1, 1, 3), expected, 1e-6, 0);
    }
}

static void test_zero_has_no_slope(void **state)
{
    (void)state;
    const convt_regularizer l1 = {.kind = CONVT_L1, .l1 = {true, 1}};
    double w[3] = {0.0, -0.0, 1e-300}, dw[3] = {0, 0, 0};
    const double expected[3] = {0, 0, 1};
    convti_regularizer_gradient(&l1, convt_f64((const double *)w, 1, 1, 1, 3), 1,
                                convt_f64(dw, 1, 1, 1, 3));
    assert_all_close(convt_f64((const double *)dw, 1, 1, 1, 3), expected, 0, 0);
}

static double custom_loss(void *context, convt_const_view w)
{
    return *(double *)context * values_get(w, 0);
}

static void custom_gradient(void *context, convt_const_view w, double scale, convt_view dw)
{
    (void)w;
    values_set(dw, 0, values_get(convt_read(dw), 0) + scale * *(double *)context);
}

static void test_custom(void **state)
{
    (void)state;
    double factor = 4, w[1] = {3}, dw[1] = {1};
    const convt_regularizer custom = {.kind = CONVT_CUSTOM_REGULARIZER,
                                      .loss = custom_loss,
                                      .gradient = custom_gradient,
                                      .context = &factor};
    assert_int_equal(convti_regularizer_check(&custom, "kernel_regularizer", NULL), CONVT_OK);
    assert_close(convti_regularizer_loss(&custom, convt_f64((const double *)w, 1, 1, 1, 1)), 12, 0,
                 0);
    convti_regularizer_gradient(&custom, convt_f64((const double *)w, 1, 1, 1, 1), 0.5,
                                convt_f64(dw, 1, 1, 1, 1));
    assert_close(dw[0], 3, 0, 0);
}

static void test_checks(void **state)
{
    (void)state;
    convt_error err;
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(convti_regularizer_check(&rows[i].regularizer, "r", &err), CONVT_OK);
    static const struct {
        convt_regularizer regularizer;
        const char *field, *part;
    } wrong[] = {
        {{.kind = (convt_regularizer_kind)-5}, "r", "-5"},
        {{.kind = CONVT_CUSTOM_REGULARIZER, .loss = custom_loss}, "r", "gradient"},
        {{.kind = CONVT_CUSTOM_REGULARIZER, .gradient = custom_gradient}, "r", "loss"},
        {{.kind = CONVT_L1, .l1 = {true, -0.5}}, "r.l1", "-0.5"},
        {{.kind = CONVT_L2, .l2 = {true, HUGE_VAL}}, "r.l2", "finite, got inf"},
        {{.kind = CONVT_L1, .l2 = {true, 0.5}}, "r.l2", "not an argument of l1"},
        {{.kind = CONVT_NO_REGULARIZER, .l2 = {true, 0.5}}, "r.l2", "no regularizer"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_status status = convti_regularizer_check(&wrong[i].regularizer, "r", &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, wrong[i].field, wrong[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coefficients),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_no_overflow_in_float),
        cmocka_unit_test(test_gradient_by_differences),
        cmocka_unit_test(test_gradient_in_float),
        cmocka_unit_test(test_zero_has_no_slope),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
