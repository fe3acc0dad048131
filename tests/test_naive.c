/* The oracle against numbers from Keras' own tests and tables, and against itself as adjoint. */
#include "support/naive.h"

#include <stdlib.h>

#include "support/close.h"
#include "support/random_config.h"
#include "support/values.h"

/* Padding as Keras has it. */
#define AXIS(in, kernel, stride, dilation, same, output_padding)        \
    {                                                                   \
        in, kernel, stride, dilation, same, output_padding, false, 0, 0 \
    }

/* keras-team/keras, backend_utils_test and conv_transpose_test: input size -> output size. */
static void test_output_sizes(void **state)
{
    (void)state;
    static const struct {
        naive_axis axis;
        int64_t out;
    } known[] = {
        {AXIS(8, 2, 2, 1, false, -1), 16},    {AXIS(8, 2, 3, 1, true, 2), 23},
        {AXIS(8, 2, 2, 1, false, -1), 16},    {AXIS(8, 3, 1, 1, false, -1), 10},
        {AXIS(14, 7, 16, 1, false, -1), 224}, {AXIS(5, 3, 2, 1, true, -1), 10},
        {AXIS(5, 3, 2, 1, false, -1), 11},    {AXIS(5, 3, 2, 1, false, 1), 12},
        {AXIS(4, 4, 5, 1, false, 4), 23},     {AXIS(3, 2, 1, 3, false, -1), 6},
        {AXIS(1, 4, 1, 1, true, 0), 0},       {AXIS(5, 3, 2, 1, true, 1), 10},
        {AXIS(5, 3, 2, 1, true, 0), 9},       {AXIS(4, 2, 3, 2, true, 0), 10},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(naive_out(&known[i].axis), known[i].out);
}

/* Rows cut at the beginning and at the end for padding same, by stride 1..4 and kernel 1..7, as
 * Keras cuts them. */
static void test_crops(void **state)
{
    (void)state;
    static const int crops[4][7][2] = {
        {{0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}, {2, 3}, {3, 3}},
        {{0, -1}, {0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}, {2, 3}},
        {{0, -2}, {0, -1}, {0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}},
        {{0, -3}, {0, -2}, {0, -1}, {0, 0}, {0, 1}, {1, 1}, {1, 2}},
    };
    for (int s = 1; s <= 4; s++)
        for (int k = 1; k <= 7; k++) {
            naive_axis axis = AXIS(5, k, s, 1, true, -1);
            int64_t natural = (axis.in - 1) * s + k;
            assert_int_equal(naive_crop(&axis), crops[s - 1][k - 1][0]);
            assert_int_equal(natural - naive_crop(&axis) - naive_out(&axis),
                             crops[s - 1][k - 1][1]);
        }
    /* With output_padding: half of what is cut without it, less output_padding. */
    const naive_axis odd = AXIS(5, 5, 2, 1, true, 1), even = AXIS(5, 6, 3, 1, true, 0);
    const naive_axis valid = AXIS(5, 7, 2, 1, false, 1);
    assert_int_equal(naive_crop(&odd), 1);
    assert_int_equal(naive_crop(&even), 3);
    assert_int_equal(naive_crop(&valid), 0);
}

/* torch.nn.ConvTranspose2d(.., kernel, stride, padding, output_padding, dilation=dilation): its
 * output_size formula, and ONNX' pads where the two sides differ. */
static void test_explicit_padding(void **state)
{
    (void)state;
    static const struct {
        naive_axis axis;
        int64_t out;
    } known[] = {
        {{5, 3, 2, 1, false, 1, true, 1, 1}, 10},  {{7, 4, 2, 1, false, -1, true, 1, 1}, 14},
        {{4, 3, 2, 2, false, 1, true, 2, 2}, 8},   {{3, 5, 3, 1, false, 0, true, 0, 0}, 11},
        {{5, 3, 2, 1, false, -1, true, 0, 1}, 10}, {{1, 4, 4, 1, false, -1, true, 3, 0}, 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(naive_out(&known[i].axis), known[i].out);
        assert_int_equal(naive_crop(&known[i].axis), known[i].axis.begin);
    }
}

/* One dimension, x = ones, w = 1..k, worked by hand. */
static void test_small_example(void **state)
{
    (void)state;
    const naive_problem p = {1,    1, 1, AXIS(1, 1, 1, 1, false, -1), AXIS(3, 3, 2, 1, false, -1),
                             false};
    const double x[] = {1, 1, 1}, w[] = {1, 2, 3}, b[] = {10},
                 expected[] = {11, 12, 14, 12, 14, 12, 13};
    double z[7];
    naive_forward(&p, x, w, b, z);
    for (int i = 0; i < 7; i++) assert_close(z[i], expected[i], 0, 0);
}

/* Channels first is channels last with the axes of memory exchanged. */
static void test_channels_first(void **state)
{
    (void)state;
    enum { N = 2, H = 2, W = 3, C = 2, F = 3, OH = 4, OW = 6 };
    naive_problem p = {N, C, F, AXIS(H, 2, 2, 1, false, -1), AXIS(W, 2, 2, 1, false, -1), false};
    double x[N][H][W][C], x_first[N][C][H][W], w[2 * 2 * F * C], b[F] = {1, 2, 3};
    double z[N][OH][OW][F], z_first[N][F][OH][OW], db[F], db_first[F];
    for (int i = 0; i < 2 * 2 * F * C; i++) w[i] = i * i % 7 - 3;
    for (int n = 0; n < N; n++)
        for (int h = 0; h < H; h++)
            for (int v = 0; v < W; v++)
                for (int c = 0; c < C; c++)
                    x[n][h][v][c] = x_first[n][c][h][v] = n * 100 + h * 10 + v + c * 1000;
    naive_forward(&p, &x[0][0][0][0], w, b, &z[0][0][0][0]);
    naive_backward(&p, &x[0][0][0][0], w, &z[0][0][0][0], NULL, NULL, db);
    p.channels_first = true;
    naive_forward(&p, &x_first[0][0][0][0], w, b, &z_first[0][0][0][0]);
    naive_backward(&p, &x_first[0][0][0][0], w, &z_first[0][0][0][0], NULL, NULL, db_first);
    for (int f = 0; f < F; f++) {
        assert_close(db_first[f], db[f], 0, 0);
        for (int n = 0; n < N; n++)
            for (int h = 0; h < OH; h++)
                for (int v = 0; v < OW; v++) assert_close(z_first[n][f][h][v], z[n][h][v][f], 0, 0);
    }
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

static double *random_doubles(uint64_t seed, int64_t count)
{
    convt_view v = values_new(CONVT_FLOAT64, 1, 1, 1, count);
    values_random(v, seed, -1, 1);
    return v.data;
}

/* sum z*dz = sum x*dx = sum w*dw, and db is the gradient of the bias: forward and backward are
 * adjoint. */
static void test_adjoint(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        convt_config c = random_config(seed);
        const naive_problem p = naive_of_config(&c, 2);
        int64_t nx = p.n * p.h.in * p.w.in * p.channels,
                nw = p.h.kernel * p.w.kernel * p.filters * p.channels;
        int64_t nz = p.n * naive_out(&p.h) * naive_out(&p.w) * p.filters;
        double *x = random_doubles(seed, nx), *w = random_doubles(seed + 1, nw),
               *dz = random_doubles(seed + 2, nz);
        double *z = random_doubles(0, nz), *dx = random_doubles(0, nx), *dw = random_doubles(0, nw);
        double *db = random_doubles(0, p.filters), *ones = random_doubles(0, p.filters);
        for (int64_t f = 0; f < p.filters; f++) ones[f] = 1;
        naive_forward(&p, x, w, NULL, z);
        naive_backward(&p, x, w, dz, dx, dw, db);
        double pairing = dot(z, dz, nz);
        assert_close(dot(x, dx, nx), pairing, 1e-10, 1e-10);
        assert_close(dot(w, dw, nw), pairing, 1e-10, 1e-10);
        naive_forward(&p, x, w, ones, z);
        assert_close(dot(z, dz, nz), pairing + dot(db, ones, p.filters), 1e-10, 1e-10);
        double *all[] = {x, w, dz, z, dx, dw, db, ones};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_sizes),     cmocka_unit_test(test_crops),
        cmocka_unit_test(test_explicit_padding), cmocka_unit_test(test_small_example),
        cmocka_unit_test(test_channels_first),   cmocka_unit_test(test_adjoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
