/* The default decoder: it reaches every image size, its start keeps the signal's size, and it is
 * what the README says. */
#include "support/close.h"

#include "decoder.h"

/* The shape that the chain gives; fails the test where a layer is refused. */
static convt_shape run_shapes(convt_config layers[], int count)
{
    convt_shape shape = layers[0].input;
    convt_error err = {0};
    for (int i = 0; i < count; i++) {
        layers[i].input = shape;
        if (convt_output_shape(&layers[i], &shape, &err) != CONVT_OK)
            fail_msg("layer %d: %s: %s", i, err.field, err.message);
    }
    return shape;
}

static void check_size(int64_t h, int64_t w, int64_t c)
{
    convt_config layers[DECODER_MAX_LAYERS];
    int count = decoder_design(layers, (convt_shape){1, 1, 32}, (convt_shape){h, w, c}, true);
    if (count < 2) fail_msg("no decoder for %lldx%lld", (long long)h, (long long)w);
    convt_shape shape = run_shapes(layers, count);
    if (shape.h != h || shape.w != w || shape.c != c)
        fail_msg("%lldx%lldx%lld instead of %lldx%lldx%lld", (long long)shape.h, (long long)shape.w,
                 (long long)shape.c, (long long)h, (long long)w, (long long)c);
}

static void every_size_is_reached(void **state)
{
    (void)state;
    for (int64_t h = 1; h <= 70; h++) {
        for (int64_t w = 1; w <= 70; w++) check_size(h, w, h % 2 ? 1 : 3);
    }
    check_size(1023, 1, 3);
    check_size(4, 4097, 1);
    check_size(512, 768, 3);
}

static void default_is_the_known_decoder(void **state)
{
    (void)state;
    static const convt_shape outputs[] = {{7, 7, 64}, {14, 14, 64}, {28, 28, 32}, {28, 28, 1}};
    static const double variances[] = {2 / 32.0, 2 / (2.25 * 64), 2 / (2.25 * 64), 1 / (9 * 32.0)};
    convt_config layers[DECODER_MAX_LAYERS];
    assert_int_equal(
        decoder_design(layers, (convt_shape){1, 1, 32}, (convt_shape){28, 28, 1}, true), 4);
    run_shapes(layers, 4);
    for (int i = 0; i < 4; i++) {
        convt_shape shape;
        assert_int_equal(convt_output_shape(&layers[i], &shape, NULL), CONVT_OK);
        assert_memory_equal(&shape, &outputs[i], sizeof shape);
        double stddev = layers[i].kernel_initializer.stddev.value;
        assert_int_equal(layers[i].kernel_initializer.kind, CONVT_RANDOM_NORMAL);
        assert_close(stddev * stddev, variances[i], 1e-14, 0);
        assert_int_equal(layers[i].activation.kind, i < 3 ? CONVT_RELU : CONVT_SIGMOID);
        assert_false(layers[i].output_padding.set);
    }
}

static void maps_of_other_sizes_are_doubled_too(void **state)
{
    (void)state;
    convt_config layers[DECODER_MAX_LAYERS];
    int count = decoder_design(layers, (convt_shape){7, 4, 5}, (convt_shape){27, 15, 2}, false);
    assert_int_equal(count, 4);
    convt_shape shape = run_shapes(layers, count);
    assert_true(shape.h == 27 && shape.w == 15 && shape.c == 2);
    assert_int_equal(layers[count - 1].activation.kind, CONVT_LINEAR);
    assert_int_equal(
        decoder_design(layers, (convt_shape){5, 5, 5}, (convt_shape){28, 28, 1}, false), 0);
    assert_int_equal(
        decoder_design(layers, (convt_shape){30, 30, 5}, (convt_shape){28, 28, 1}, false), 0);
    assert_int_equal(
        decoder_design(layers, (convt_shape){28, 28, 5}, (convt_shape){28, 28, 1}, false), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_reached),
        cmocka_unit_test(default_is_the_known_decoder),
        cmocka_unit_test(maps_of_other_sizes_are_doubled_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
