/*
 * A layer with more outputs than 32 bits count, every pass: 13 GiB of memory and some minutes, so
 *
 *     CONVT_HUGE=1 build/test/tests/test_huge
 *
 * and otherwise only what arithmetic says about huge shapes.
 *
 *   y[2i + t] = w[t] x[i] + 1/2     dx[i] = sum over t of w[t] dy[2i + t]     dy = y
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/close.h"

enum { SIDE = 23171, BIG = 2 * SIDE }; /* 46342 * 46342 = 2147580964 > 2^31 */

static const float weights[4] = {1, 2, 3, 4}; /* of the taps (0, 0), (0, 1), (1, 0), (1, 1) */

static convt_config huge(void)
{
    return (convt_config){.input = {SIDE, SIDE, 1},
                          .filters = 1,
                          .kernel_size = {2, 2},
                          .strides = {2, 2},
                          .bias_initializer = {.kind = CONVT_CONSTANT, .value = CONVT_SET(0.5)}};
}

static float input(int64_t i)
{
    return (float)(i % 7);
}

static void check_output(const float *y)
{
    for (int64_t h = 0; h < BIG; h++)
        for (int64_t w = 0; w < BIG; w++) {
            const float expected = weights[h % 2 * 2 + w % 2] * input(h / 2 * SIDE + w / 2) + 0.5f;
            if (y[h * BIG + w] < expected || y[h * BIG + w] > expected)
                fail_msg("y[%lld, %lld] is %g, expected %g", (long long)h, (long long)w,
                         (double)y[h * BIG + w], (double)expected);
        }
}

static void check_dx(const float *dx)
{
    for (int64_t i = 0; i < (int64_t)SIDE * SIDE; i++) {
        const float expected = 30 * input(i) + 5;
        if (dx[i] < expected || dx[i] > expected)
            fail_msg("dx[%lld] is %g, expected %g", (long long)i, (double)dx[i], (double)expected);
    }
}

/* Sums of half a billion terms in float32: a thousandth is what parts of them leave. */
static void check_sums(convt_layer *layer)
{
    convt_parameter rows[2];
    double x1 = 0, x2 = 0, db = 0;
    assert_int_equal(convt_layer_parameters(layer, rows), 2);
    for (int64_t i = 0; i < (int64_t)SIDE * SIDE; i++) {
        const double x = (double)input(i);
        x1 += x;
        x2 += x * x;
        db += 10 * x + 2;
    }
    for (int t = 0; t < 4; t++)
        assert_close((double)((const float *)rows[0].gradient.data)[t],
                     (double)weights[t] * x2 + x1 / 2, 1e-3, 0);
    assert_close((double)*(const float *)rows[1].gradient.data, db, 1e-3, 0);
}

static void a_layer_of_more_than_2_31_outputs_computes_every_one(void **state)
{
    (void)state;
    if (!getenv("CONVT_HUGE")) {
        print_message("skipped: needs 13 GiB, set CONVT_HUGE to run it\n");
        return;
    }
    const convt_config cfg = huge();
    const int64_t inputs = (int64_t)SIDE * SIDE, outputs = (int64_t)BIG * BIG;
    float *x = malloc((size_t)inputs * sizeof *x), *dx = malloc((size_t)inputs * sizeof *dx),
          *y = malloc((size_t)outputs * sizeof *y);
    convt_layer *layer;
    assert_true(outputs > INT32_MAX && x && dx && y);
    for (int64_t i = 0; i < inputs; i++) x[i] = input(i);
    const convt_view vx = convt_f32(x, 1, SIDE, SIDE, 1), vy = convt_f32(y, 1, BIG, BIG, 1),
                     vdx = convt_f32(dx, 1, SIDE, SIDE, 1);
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_int_equal(convt_layer_set_kernel(layer, convt_f32(weights, 2, 2, 1, 1)), CONVT_OK);
    assert_int_equal(convt_forward(layer, convt_read(vx), vy), CONVT_OK);
    check_output(y);
    assert_int_equal(convt_backward(layer, convt_read(vx), convt_read(vy), convt_read(vy), vdx),
                     CONVT_OK);
    check_dx(dx);
    check_sums(layer);
    convt_layer_destroy(layer);
    free(x), free(dx), free(y);
}

/* Sizes far beyond any memory are counted, and refused where bytes leave 63 bits: never a wrong number. */
static void sizes_are_counted_in_64_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t side, batch;
        convt_status status;
    } cases[] = {
        {SIDE, 1, CONVT_OK},
        {INT64_C(1) << 20, 1000, CONVT_OK},
        {INT64_C(1) << 25, 1, CONVT_OK}, /* 2^52 outputs */
        {INT64_C(1) << 25, 1 << 12, CONVT_TOO_LARGE},
        {INT64_C(1) << 31, 1, CONVT_TOO_LARGE},
        {INT64_MAX, 1, CONVT_TOO_LARGE},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        convt_config cfg = huge();
        convt_error err;
        const int64_t side = cases[i / 2].side, batch = cases[i / 2].batch;
        cfg.data_format = i % 2 > 0 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
        cfg.input.h = cfg.input.w = side;
        cfg.max_batch = batch;
        cfg.activation.kind = CONVT_RELU; /* which makes the layer keep z */
        const size_t bytes = convt_layer_memory(&cfg, &err);
        assert_int_equal(err.status, cases[i / 2].status);
        assert_true((bytes > 0) == (err.status == CONVT_OK));
        if (bytes > 0) assert_true(bytes > 4 * 4 * (size_t)batch * (size_t)side * (size_t)side);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_counted_in_64_bits),
        cmocka_unit_test(a_layer_of_more_than_2_31_outputs_computes_every_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
