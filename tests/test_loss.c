/* Losses against plain formulas in double, their slopes against central differences, and the
 * promises about bits. */
#include "support/close.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3 * 40 * 60 * 11 }; /* more than 64 blocks of 1024, and no multiple of anything */

/* ---- the oracle: value of one element, from the textbook ------------------------------------- */

enum reading { OUTPUTS, LOGITS, SIGMOID };

static double squash(double z)
{
    return 1 / (1 + exp(-z));
}

static double plain_element(convt_loss_kind kind, enum reading reading, double t, double given)
{
    const double p = reading == OUTPUTS ? given : squash(given);
    switch ((int)kind) {
    case CONVT_MEAN_SQUARED_ERROR: return (p - t) * (p - t);
    case CONVT_MEAN_ABSOLUTE_ERROR: return fabs(p - t);
    case CONVT_BINARY_CROSSENTROPY: return -t * log(p) - (1 - t) * log1p(-p);
    }
    fail_msg("no formula for loss %d: add one", (int)kind);
    return 0;
}

static const struct row {
    convt_loss_kind kind;
    enum reading reading;
    const char *name;
} rows[] = {
#define LOSS(name, number, class_name, snake_name, ...) \
    {CONVT_##name, OUTPUTS, #snake_name}, {CONVT_##name, SIGMOID, #snake_name " of sigmoid"},
#define LOGIT_LOSS(name, ...) {CONVT_##name, LOGITS, #name " of logits"},
#include "convt/losses.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

static convt_loss_config config_of(const struct row *row)
{
    return (convt_loss_config){.kind = row->kind,
                               .from_logits = row->reading == LOGITS,
                               .sigmoid_output = row->reading == SIGMOID};
}

/* Targets in [0, 1]; predictions in (0, 1), or logits. */
static void draw(uint64_t seed, enum reading reading, int64_t count, double *t, double *p)
{
    values_random(convt_f64(t, 1, 1, 1, count), seed, 0, 1);
    values_random(convt_f64(p, 1, 1, 1, count), seed + 1, reading == OUTPUTS ? 0.02 : -8,
                  reading == OUTPUTS ? 0.98 : 8);
}

static void plain_means(const struct row *row, int64_t count, const double *t, const double *p,
                        convt_loss_value *mean)
{
    *mean = (convt_loss_value){0, 0};
    for (int64_t i = 0; i < count; i++) {
        const double output = row->reading == SIGMOID ? squash(p[i]) : p[i];
        mean->loss += plain_element(row->kind, row->reading, t[i], p[i]) / (double)count;
        mean->mse += (output - t[i]) * (output - t[i]) / (double)count;
    }
}

static double t64[MOST], p64[MOST], d64[MOST];
static float t32[MOST], p32[MOST], d32[MOST];

static void to_floats(int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        t32[i] = (float)t64[i];
        p32[i] = (float)p64[i];
    }
}

static void values_are_those_of_the_formulas(void **state)
{
    (void)state;
    static const struct {
        int64_t n, h, w, c;
    } shapes[] = {{1, 1, 1, 1}, {2, 3, 5, 1}, {1, 16, 16, 1}, {5, 7, 9, 11}, {3, 40, 60, 11}};
    for (int r = 0; r < ROWS; r++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int64_t n = shapes[s].n, h = shapes[s].h, w = shapes[s].w, c = shapes[s].c,
                          count = n * h * w * c;
            const convt_loss_config loss = config_of(&rows[r]);
            convt_loss_value mean, value;
            draw(7 + s, rows[r].reading, count, t64, p64);
            plain_means(&rows[r], count, t64, p64, &mean);
            assert_int_equal(convt_loss(&loss, convt_read(convt_f64(t64, n, h, w, c)),
                                        convt_read(convt_f64(p64, n, h, w, c)), n, &value,
                                        CONVT_NONE, NULL),
                             CONVT_OK);
            assert_close(value.loss, mean.loss, 1e-13, 0);
            assert_close(value.mse, mean.mse, 1e-13, 0);
            to_floats(count);
            assert_int_equal(convt_loss(&loss, convt_read(convt_f32(t32, n, h, w, c)),
                                        convt_read(convt_f32(p32, n, h, w, c)), n, &value,
                                        CONVT_NONE, NULL),
                             CONVT_OK);
            assert_close(value.loss, mean.loss, 3e-6, 0);
            assert_close(value.mse, mean.mse, 3e-6, 0);
        }
}

static void slopes_are_those_of_central_differences(void **state)
{
    (void)state;
    enum { N = 2, C = 9, COUNT = N * 3 * 5 * C };
    const double step = 1e-6;
    for (int r = 0; r < ROWS; r++) {
        const convt_loss_config loss = config_of(&rows[r]);
        const convt_const_view t = convt_read(convt_f64(t64, N, 3, 5, C)),
                               p = convt_read(convt_f64(p64, N, 3, 5, C));
        convt_loss_value value;
        draw(11, rows[r].reading, COUNT, t64, p64);
        assert_int_equal(convt_loss(&loss, t, p, N, &value, convt_f64(d64, N, 3, 5, C), NULL),
                         CONVT_OK);
        for (int i = 0; i < COUNT; i++) {
            const double up = plain_element(rows[r].kind, rows[r].reading, t64[i], p64[i] + step);
            const double down = plain_element(rows[r].kind, rows[r].reading, t64[i], p64[i] - step);
            assert_close(d64[i] * COUNT, (up - down) / (2 * step), 1e-6, 1e-8);
        }
        to_floats(COUNT);
        assert_int_equal(convt_loss(&loss, convt_read(convt_f32(t32, N, 3, 5, C)),
                                    convt_read(convt_f32(p32, N, 3, 5, C)), N, &value,
                                    convt_f32(d32, N, 3, 5, C), NULL),
                         CONVT_OK);
        for (int i = 0; i < COUNT; i++) assert_close((double)d32[i], d64[i], 1e-4, 1e-6 / COUNT);
    }
}

static void chunks_add_up_to_the_batch(void **state)
{
    (void)state;
    const convt_loss_config loss = {.kind = CONVT_BINARY_CROSSENTROPY, .sigmoid_output = true};
    enum { SAMPLE = 6 * 5 * 2, THREE = 3 * SAMPLE, SEVEN = 7 * SAMPLE };
    convt_loss_value whole, first, second;
    draw(3, SIGMOID, SEVEN, t64, p64);
    const convt_view dy = convt_f64(d64, 7, 6, 5, 2);
    assert_int_equal(convt_loss(&loss, convt_read(convt_f64(t64, 7, 6, 5, 2)),
                                convt_read(convt_f64(p64, 7, 6, 5, 2)), 7, &whole, dy, NULL),
                     CONVT_OK);
    double parts[SEVEN];
    assert_int_equal(convt_loss(&loss, convt_read(convt_f64(t64, 3, 6, 5, 2)),
                                convt_read(convt_f64(p64, 3, 6, 5, 2)), 7, &first,
                                convt_f64(parts, 3, 6, 5, 2), NULL),
                     CONVT_OK);
    assert_int_equal(convt_loss(&loss, convt_read(convt_f64(t64 + THREE, 4, 6, 5, 2)),
                                convt_read(convt_f64(p64 + THREE, 4, 6, 5, 2)), 7, &second,
                                convt_f64(parts + THREE, 4, 6, 5, 2), NULL),
                     CONVT_OK);
    assert_close(first.loss + second.loss, whole.loss, 1e-14, 0);
    assert_close(first.mse + second.mse, whole.mse, 1e-14, 0);
    assert_same_bits(parts, d64, sizeof parts);
}

static convt_loss_value one_element(convt_loss_config loss, double t, double p, double *slope)
{
    convt_loss_value value;
    const double target[1] = {t}, prediction[1] = {p};
    assert_int_equal(convt_loss(&loss, convt_f64(target, 1, 1, 1, 1),
                                convt_f64(prediction, 1, 1, 1, 1), 1, &value,
                                convt_f64(slope, 1, 1, 1, 1), NULL),
                     CONVT_OK);
    return value;
}

static void probabilities_are_clipped_as_keras_clips_them(void **state)
{
    (void)state;
    const convt_loss_config loss = {.kind = CONVT_BINARY_CROSSENTROPY};
    double slope = 99;
    assert_close(one_element(loss, 1, 0, &slope).loss, -log(1e-7), 1e-12, 0);
    assert_close(slope, 0, 0, 0);
    assert_close(one_element(loss, 0, 1, &slope).loss, -log(1 - (1 - 1e-7)), 1e-12, 0);
    assert_close(slope, 0, 0, 0);
    assert_close(one_element(loss, 1, 1, &slope).loss, -log(1 - 1e-7), 1e-8, 0);
    assert_close(one_element(loss, 1, 1e-6, &slope).loss, -log(1e-6), 1e-12, 0);
    assert_close(slope, -1e6, 1e-5, 0);
}

static void large_logits_stay_finite(void **state)
{
    (void)state;
    const convt_loss_config loss = {.kind = CONVT_BINARY_CROSSENTROPY, .from_logits = true};
    double slope;
    assert_close(one_element(loss, 0, 1000, &slope).loss, 1000, 1e-15, 0);
    assert_close(slope, 1, 0, 0);
    assert_close(one_element(loss, 1, -1000, &slope).loss, 1000, 1e-15, 0);
    assert_close(slope, -1, 0, 0);
    assert_close(one_element(loss, 1, 1000, &slope).loss, 0, 0, 0);
    assert_close(slope, 0, 0, 0);
    assert_close(one_element(loss, 0.5, 0, &slope).loss, log(2), 1e-15, 0);
}

static void what_is_no_number_stays_none(void **state)
{
    (void)state;
    for (int r = 0; r < ROWS; r++) {
        double slope;
        assert_true(isnan(one_element(config_of(&rows[r]), 0.5, (double)NAN, &slope).loss));
        assert_true(isnan(one_element(config_of(&rows[r]), (double)NAN, 0.5, &slope).loss));
        assert_true(isnan(one_element(config_of(&rows[r]), (double)NAN, 0.5, &slope).mse));
    }
}

static double squared(void *context, double target, double prediction, double *derivative)
{
    const double factor = *(const double *)context;
    *derivative = factor * 2 * (prediction - target);
    return factor * (prediction - target) * (prediction - target);
}

static void a_custom_loss_is_one_more_row(void **state)
{
    (void)state;
    enum { ELEMENTS = 5 * 7 * 9 * 11 };
    double factor = 1;
    for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
        const convt_loss_config row = {.kind = CONVT_MEAN_SQUARED_ERROR, .sigmoid_output = sigmoid};
        const convt_loss_config custom = {.kind = CONVT_CUSTOM_LOSS,
                                          .sigmoid_output = sigmoid,
                                          .element = squared,
                                          .context = &factor};
        convt_loss_value a, b;
        double slopes[ELEMENTS];
        draw(5, SIGMOID, ELEMENTS, t64, p64);
        const convt_const_view t = convt_read(convt_f64(t64, 5, 7, 9, 11)),
                               p = convt_read(convt_f64(p64, 5, 7, 9, 11));
        assert_int_equal(convt_loss(&row, t, p, 5, &a, convt_f64(slopes, 5, 7, 9, 11), NULL),
                         CONVT_OK);
        assert_int_equal(convt_loss(&custom, t, p, 5, &b, convt_f64(d64, 5, 7, 9, 11), NULL),
                         CONVT_OK);
        assert_close(b.loss, a.loss, 1e-15, 0);
        assert_close(b.mse, a.mse, 0, 0);
        for (int i = 0; i < ELEMENTS; i++) assert_close(d64[i], slopes[i], 1e-14, 1e-20);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int r = 0; r < ROWS; r++) {
        convt_loss_value first = {0, 0}, value;
        static float slopes[MOST];
        draw(13, rows[r].reading, MOST, t64, p64);
        to_floats(MOST);
        for (int k = 0; k < 4; k++) {
            convt_loss_config loss = config_of(&rows[r]);
            loss.threads = (int[]){1, 2, 3, 7}[k];
            assert_int_equal(convt_loss(&loss, convt_read(convt_f32(t32, 3, 40, 60, 11)),
                                        convt_read(convt_f32(p32, 3, 40, 60, 11)), 3, &value,
                                        convt_f32(d32, 3, 40, 60, 11), NULL),
                             CONVT_OK);
            if (k == 0) {
                first = value;
                memcpy(slopes, d32, sizeof slopes);
            }
            assert_same_bits(&value, &first, sizeof value);
            assert_same_bits(d32, slopes, sizeof slopes);
        }
    }
}

static void no_samples_are_no_loss(void **state)
{
    (void)state;
    const convt_loss_config loss = {0};
    convt_loss_value value = {1, 1};
    assert_int_equal(convt_loss(&loss, convt_read(convt_f32((float *)NULL, 0, 4, 4, 1)),
                                convt_read(convt_f32((float *)NULL, 0, 4, 4, 1)), 8, &value,
                                CONVT_NONE, NULL),
                     CONVT_OK);
    assert_close(value.loss, 0, 0, 0);
    assert_close(value.mse, 0, 0, 0);
}

static void refuse(convt_loss_config loss, convt_const_view t, convt_const_view p, int64_t batch,
                   convt_view dy, convt_status status, const char *field)
{
    convt_error err = {0};
    convt_loss_value value;
    assert_int_equal(convt_loss(&loss, t, p, batch, &value, dy, &err), status);
    assert_int_equal(err.status, status);
    assert_string_equal(err.field, field);
    assert_true(err.message[0] != '\0');
}

static void refusals_name_the_argument(void **state)
{
    (void)state;
    const convt_const_view a = convt_read(convt_f64(t64, 2, 3, 4, 1)),
                           other = convt_read(convt_f64(t64, 2, 4, 3, 1));
    const convt_const_view single = convt_read(convt_f32(t32, 2, 3, 4, 1)),
                           none = convt_read(convt_f64((double *)NULL, 2, 3, 4, 1));
    const convt_loss_config mse = {0};
    const convt_status argument = CONVT_INVALID_ARGUMENT, shape = CONVT_INVALID_SHAPE;
    refuse((convt_loss_config){.kind = (convt_loss_kind)77}, a, a, 2, CONVT_NONE, argument,
           "loss.kind");
    refuse((convt_loss_config){.kind = CONVT_CUSTOM_LOSS}, a, a, 2, CONVT_NONE, argument,
           "loss.element");
    refuse((convt_loss_config){.from_logits = true}, a, a, 2, CONVT_NONE, argument,
           "loss.from_logits");
    refuse((convt_loss_config){.threads = -1}, a, a, 2, CONVT_NONE, argument, "loss.threads");
    refuse(mse, other, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, single, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, none, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, a, none, 2, CONVT_NONE, shape, "prediction");
    refuse(mse, a, a, 2, convt_f64(d64, 2, 4, 3, 1), shape, "dy");
    refuse(mse, a, a, 1, CONVT_NONE, argument, "batch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formulas),
        cmocka_unit_test(slopes_are_those_of_central_differences),
        cmocka_unit_test(chunks_add_up_to_the_batch),
        cmocka_unit_test(probabilities_are_clipped_as_keras_clips_them),
        cmocka_unit_test(large_logits_stay_finite),
        cmocka_unit_test(what_is_no_number_stays_none),
        cmocka_unit_test(a_custom_loss_is_one_more_row),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(no_samples_are_no_loss),
        cmocka_unit_test(refusals_name_the_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
