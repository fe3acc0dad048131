/* Random codes have the mean and the covariance of the codes of the run; lines between codes end at
 * both. */
#include "support/close.h"

#include <string.h>

#include "codes.h"
#include "rng.h"

enum { SIZE = 3, COUNT = 400, DRAWN = 20000 };

static void fill(float codes[COUNT][SIZE])
{
    convti_rng rng = convti_rng_start(3, 0);
    for (int i = 0; i < COUNT; i++) {
        double a = convti_rng_normal(&rng), b = convti_rng_normal(&rng);
        codes[i][0] = 1; /* fixed, as in training */
        codes[i][1] = (float)(2 + a);
        codes[i][2] = (float)(-1 + 0.8 * a + 0.3 * b);
    }
}

static void moments(const float *codes, int count, double mean[SIZE], double covariance[SIZE][SIZE])
{
    for (int k = 0; k < SIZE; k++) {
        mean[k] = 0;
        for (int i = 0; i < count; i++) mean[k] += (double)codes[i * SIZE + k] / count;
    }
    for (int k = 0; k < SIZE; k++) {
        for (int l = 0; l < SIZE; l++) {
            covariance[k][l] = 0;
            for (int i = 0; i < count; i++)
                covariance[k][l] += ((double)codes[i * SIZE + k] - mean[k]) *
                                    ((double)codes[i * SIZE + l] - mean[l]) / count;
        }
    }
}

static void random_codes_are_scattered_alike(void **state)
{
    (void)state;
    static float codes[COUNT][SIZE], drawn[DRAWN][SIZE];
    double mean[SIZE], covariance[SIZE][SIZE], drawn_mean[SIZE], drawn_covariance[SIZE][SIZE];
    code_set set = {codes, CONVT_FLOAT32, COUNT, SIZE};
    fill(codes);
    assert_true(codes_random(&set, 5, DRAWN, drawn));
    moments(codes[0], COUNT, mean, covariance);
    moments(drawn[0], DRAWN, drawn_mean, drawn_covariance);
    for (int k = 0; k < SIZE; k++) {
        assert_close(drawn_mean[k], mean[k], 0, 0.04);
        for (int l = 0; l < SIZE; l++)
            assert_close(drawn_covariance[k][l], covariance[k][l], 0, 0.05);
    }
    for (int i = 0; i < DRAWN; i++) assert_close((double)drawn[i][0], 1, 0, 1e-6);
}

static void a_seed_gives_the_same_codes(void **state)
{
    (void)state;
    static float codes[COUNT][SIZE];
    float one[4][SIZE], two[4][SIZE], other[4][SIZE];
    code_set set = {codes, CONVT_FLOAT32, COUNT, SIZE};
    fill(codes);
    assert_true(codes_random(&set, 9, 4, one) && codes_random(&set, 9, 4, two) &&
                codes_random(&set, 10, 4, other));
    assert_same_bits(one, two, sizeof one);
    assert_true(memcmp(one, other, sizeof one) != 0);
}

static void a_line_ends_at_both_codes(void **state)
{
    (void)state;
    double codes[2][SIZE] = {{1, 2, 3}, {1, -2, 0.1}}, line[5][SIZE];
    code_set set = {codes, CONVT_FLOAT64, 2, SIZE};
    codes_between(&set, 0, 1, 5, line);
    assert_same_bits(line[0], codes[0], sizeof line[0]);
    assert_same_bits(line[4], codes[1], sizeof line[4]);
    assert_close(line[2][1], 0, 0, 1e-15);
    codes_between(&set, 1, 0, 1, line);
    assert_same_bits(line[0], codes[1], sizeof line[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_codes_are_scattered_alike),
        cmocka_unit_test(a_seed_gives_the_same_codes),
        cmocka_unit_test(a_line_ends_at_both_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
