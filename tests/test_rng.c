/* The generator: pinned numbers (runs must be repeatable on any machine), and the moments of what
 * is drawn. */
#include "rng.h"

#include <math.h>

#include "support/close.h"

enum { DRAWS = 1 << 20 };

/* xoshiro256++ from the state {1, 2, 3, 4}: the numbers of the authors' reference code. */
static void test_reference_sequence(void **state)
{
    (void)state;
    convti_rng rng = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {41943041u, 58720359u, 3588806011781223u, 3591011842654386u,
                                        9228616714210784205u};
    for (int i = 0; i < 5; i++) assert_true(convti_rng_bits(&rng) == expected[i]);
}

static void test_streams_differ(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (uint64_t stream = 0; stream < 20; stream++) {
            convti_rng a = convti_rng_start(seed, stream), again = convti_rng_start(seed, stream);
            assert_true(convti_rng_bits(&a) == convti_rng_bits(&again));
            for (uint64_t other = 0; other < 400; other++) {
                convti_rng b = convti_rng_start(other / 20, other % 20);
                if (other != seed * 20 + stream)
                    assert_true(a.state[0] != b.state[0] &&
                                convti_mix(seed, stream) != convti_mix(other / 20, other % 20));
            }
        }
}

static void test_uniform(void **state)
{
    (void)state;
    convti_rng rng = convti_rng_start(1, 0);
    double sum = 0, squares = 0, low = 1, high = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = convti_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
        low = fmin(low, u);
        high = fmax(high, u);
    }
    /* Five deviations of the mean of 2^20 draws: 5 * sqrt(1/12) / 1024. */
    assert_close(sum / DRAWS, 0.5, 0, 0.0015);
    assert_close(squares / DRAWS, 1.0 / 3, 0, 0.0015);
    assert_true(low < 1e-4 && high > 1 - 1e-4);
}

struct moments {
    double mean, variance, fourth, largest;
};

static struct moments moments_of(double (*draw)(convti_rng *), uint64_t seed)
{
    convti_rng rng = convti_rng_start(seed, 0);
    struct moments m = {0, 0, 0, 0};
    for (int i = 0; i < DRAWS; i++) {
        double z = draw(&rng);
        m.mean += z / DRAWS;
        m.variance += z * z / DRAWS;
        m.fourth += z * z * z * z / DRAWS;
        m.largest = fmax(m.largest, fabs(z));
    }
    return m;
}

static void test_normal(void **state)
{
    (void)state;
    struct moments m = moments_of(convti_rng_normal, 2);
    assert_close(m.mean, 0, 0, 0.005);
    assert_close(m.variance, 1, 0, 0.007);
    assert_close(m.fourth, 3, 0, 0.05);
    assert_true(m.largest > 4 && m.largest < 7);
}

static void test_truncated_normal(void **state)
{
    (void)state;
    struct moments m = moments_of(convti_rng_truncated_normal, 3);
    const double deviation = 0.87962566103423978;
    assert_close(m.mean, 0, 0, 0.005);
    assert_close(m.variance, deviation * deviation, 0, 0.005);
    assert_true(m.largest <= 2 && m.largest > 1.999);
}

static void test_below(void **state)
{
    (void)state;
    convti_rng rng = convti_rng_start(4, 0);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t v = convti_rng_below(&rng, 7);
        assert_true(v < 7);
        counts[v]++;
    }
    for (int v = 0; v < 7; v++) assert_close(counts[v], 10000, 0, 500);
    assert_int_equal(convti_rng_below(&rng, 1), 0);
    assert_int_equal(convti_rng_below(&rng, 0), 0);
}

/* n = 3 * 2^62: a plain modulo would give the lowest third two chances in four. */
static void test_below_has_no_modulo_bias(void **state)
{
    (void)state;
    convti_rng rng = convti_rng_start(5, 0);
    const uint64_t third = UINT64_C(1) << 62;
    int low = 0;
    for (int i = 0; i < 30000; i++) low += convti_rng_below(&rng, 3 * third) < third;
    assert_close(low, 10000, 0, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_sequence),
        cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_truncated_normal),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_below_has_no_modulo_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
