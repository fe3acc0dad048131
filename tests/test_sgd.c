/* SGD over hand-made parameter rows, against Keras' update written out in double. */
#include "support/close.h"
#include "support/failalloc.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <string.h>

enum { SIZE = 3 * 2 * 4 * 5, BIG = 3 * 3 * 64 * 100, STEPS = 12 };

/* ---- the oracle ------------------------------------------------------------------------------ */

struct plain {
    double w[SIZE], v[SIZE];
};

static void plain_step(struct plain *p, const double *g, const convt_sgd_config *cfg, double rate)
{
    for (int i = 0; i < SIZE; i++) {
        if (cfg->weight_decay.set) p->w[i] -= p->w[i] * cfg->weight_decay.value * rate;
        if (cfg->momentum == 0) {
            p->w[i] -= rate * g[i];
            continue;
        }
        p->v[i] = cfg->momentum * p->v[i] - g[i] * rate;
        p->w[i] += cfg->nesterov ? cfg->momentum * p->v[i] - g[i] * rate : p->v[i];
    }
}

static void plain_max_norm(struct plain *p, double most) /* over axis 0: 3 rows of 40 */
{
    for (int i = 0; i < SIZE / 3; i++) {
        double *w = p->w + i, square = 0;
        for (int k = 0; k < 3; k++) square += w[k * SIZE / 3] * w[k * SIZE / 3];
        const double norm = sqrt(square), factor = fmin(norm, most) / (1e-7 + norm);
        for (int k = 0; k < 3; k++) w[k * SIZE / 3] *= factor;
    }
}

static void draw(uint64_t seed, int64_t count, double *a)
{
    values_random(convt_f64(a, 1, 1, 1, count), seed, -2, 2);
}

static convt_parameter row_f64(double *w, double *g, uint64_t *version)
{
    return (convt_parameter){
        "layer", "kernel", convt_f64(w, 3, 2, 4, 5), convt_f64(g, 3, 2, 4, 5), 4, true,
        NULL,    version};
}

static convt_parameter row_f32(float *w, float *g)
{
    return (convt_parameter){
        "layer", "kernel", convt_f32(w, 3, 2, 4, 5), convt_f32(g, 3, 2, 4, 5), 4, true, NULL, NULL};
}

static convt_sgd *create(const convt_sgd_config *cfg, const convt_parameter rows[], int count)
{
    convt_sgd *sgd;
    convt_error err;
    if (convt_sgd_create(&sgd, cfg, rows, count, &err)) fail_msg("%s: %s", err.field, err.message);
    return sgd;
}

/* Every combination of momentum, nesterov, decay and schedule, both precisions, over some steps. */
static void check_against_plain(const convt_sgd_config *cfg)
{
    static struct plain plain;
    double w[SIZE], g[SIZE];
    float w32[SIZE], g32[SIZE];
    draw(1, SIZE, w);
    for (int i = 0; i < SIZE; i++) {
        plain.w[i] = w[i];
        plain.v[i] = 0;
        w32[i] = (float)w[i];
    }
    const convt_parameter rows[] = {row_f64(w, g, NULL), row_f32(w32, g32)};
    convt_sgd *sgd = create(cfg, rows, 2);
    for (int step = 0; step < STEPS; step++) {
        draw((uint64_t)step + 100, SIZE, g);
        for (int i = 0; i < SIZE; i++) g32[i] = (float)g[i];
        assert_int_equal(convt_sgd_iterations(sgd), step);
        assert_close(convt_sgd_learning_rate(sgd), convt_schedule_rate(cfg, step), 0, 0);
        plain_step(&plain, g, cfg, convt_schedule_rate(cfg, step));
        convt_sgd_step(sgd);
        for (int i = 0; i < SIZE; i++) {
            assert_close(w[i], plain.w[i], 1e-13, 1e-13);
            assert_close((double)w32[i], plain.w[i], 1e-5, 1e-5);
        }
    }
    convt_sgd_destroy(sgd);
}

static void steps_are_those_of_keras(void **state)
{
    (void)state;
    const convt_optional decays[] = {{0}, CONVT_SET(0.02)};
    const convt_schedule schedules[] = {
        {0},
        {CONVT_COSINE_DECAY, .decay_steps = 8, .warmup_target = CONVT_SET(0.3), .warmup_steps = 4}};
    const double momenta[] = {0, 0.9, 1};
    for (int m = 0; m < 3; m++)
        for (int nesterov = 0; nesterov < 2; nesterov++)
            for (int d = 0; d < 2; d++)
                for (int s = 0; s < 2; s++) {
                    const convt_sgd_config cfg = {.learning_rate = CONVT_SET(0.07),
                                                  .momentum = momenta[m],
                                                  .nesterov = nesterov,
                                                  .weight_decay = decays[d],
                                                  .schedule = schedules[s]};
                    check_against_plain(&cfg);
                }
}

static void constraints_follow_the_update(void **state)
{
    (void)state;
    static struct plain plain;
    const convt_constraint constraint = {.kind = CONVT_MAX_NORM, .max_value = CONVT_SET(0.8)};
    const convt_sgd_config cfg = {.learning_rate = CONVT_SET(0.1), .momentum = 0.9};
    double w[SIZE], g[SIZE];
    uint64_t version = 41, seen = 41;
    draw(2, SIZE, w);
    memcpy(plain.w, w, sizeof w);
    memset(plain.v, 0, sizeof plain.v);
    convt_parameter row = row_f64(w, g, &version);
    row.constraint = &constraint;
    convt_sgd *sgd = create(&cfg, &row, 1);
    for (int step = 0; step < STEPS; step++) {
        draw((uint64_t)step + 200, SIZE, g);
        plain_step(&plain, g, &cfg, 0.1);
        plain_max_norm(&plain, 0.8);
        convt_sgd_step(sgd);
        for (int i = 0; i < SIZE; i++) assert_close(w[i], plain.w[i], 1e-12, 1e-13);
        assert_true(version > seen); /* packed copies must notice */
        seen = version;
    }
    convt_sgd_destroy(sgd);
}

static void frozen_rows_stay(void **state)
{
    (void)state;
    double w[SIZE], g[SIZE], before[SIZE], other[SIZE];
    uint64_t version = 7, other_version = 7;
    draw(3, SIZE, w);
    draw(4, SIZE, g);
    memcpy(before, w, sizeof w);
    memcpy(other, w, sizeof w);
    const convt_constraint constraint = {.kind = CONVT_NON_NEG};
    convt_parameter rows[] = {row_f64(w, g, &version), row_f64(other, g, &other_version)};
    rows[0].trainable = false;
    rows[0].constraint = &constraint;
    rows[0].gradient.data = NULL;
    const convt_sgd_config cfg = {.momentum = 0.5, .weight_decay = CONVT_SET(0.1)};
    convt_sgd *sgd = create(&cfg, rows, 2);
    convt_sgd_step(sgd);
    assert_same_bits(w, before, sizeof w);
    assert_int_equal(version, 7);
    assert_true(other_version > 7); /* without a constraint, too */
    assert_memory_not_equal(other, before, sizeof w);
    convt_sgd_destroy(sgd);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static float w[BIG], g[BIG], first[BIG];
    static double numbers[BIG];
    for (int k = 0; k < 4; k++) {
        const convt_sgd_config cfg = {.momentum = 0.9,
                                      .nesterov = true,
                                      .weight_decay = CONVT_SET(0.01),
                                      .threads = (int[]){1, 2, 3, 7}[k]};
        draw(5, BIG, numbers);
        for (int i = 0; i < BIG; i++) {
            w[i] = (float)numbers[i];
            g[i] = (float)numbers[BIG - 1 - i];
        }
        const convt_parameter row = {
            "layer", "kernel", convt_f32(w, 3, 3, 64, 100), convt_f32(g, 3, 3, 64, 100), 4, true,
            NULL,    NULL};
        convt_sgd *sgd = create(&cfg, &row, 1);
        for (int step = 0; step < 3; step++) convt_sgd_step(sgd);
        convt_sgd_destroy(sgd);
        if (k == 0) memcpy(first, w, sizeof w);
        assert_same_bits(w, first, sizeof w);
        assert_close((double)w[BIG - 1], numbers[BIG - 1], 0.1, 0.1);
        assert_true(w[BIG - 1] != (float)numbers[BIG - 1]); /* the last piece took part */
    }
}

static void an_empty_list_counts_steps(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {.momentum = 0.9};
    convt_sgd *sgd = create(&cfg, NULL, 0);
    convt_sgd_step(sgd);
    assert_int_equal(convt_sgd_iterations(sgd), 1);
    convt_sgd_destroy(sgd);
    convt_sgd_destroy(NULL);
}

static void memory_is_one_block_and_none_in_a_step(void **state)
{
    (void)state;
    double w[SIZE] = {0}, g[SIZE] = {0};
    const convt_parameter row = row_f64(w, g, NULL);
    for (int64_t k = 0; k < 2; k++) {
        failalloc accounts = {.fail_at = k};
        const convt_sgd_config cfg = {.momentum = 0.9, .allocator = failalloc_allocator(&accounts)};
        convt_sgd *sgd;
        convt_error err;
        const convt_status status = convt_sgd_create(&sgd, &cfg, &row, 1, &err);
        if (k == 1) {
            assert_refused(status, &err, CONVT_NO_MEMORY, "rows", "bytes");
            assert_null(sgd);
        } else {
            assert_int_equal(status, CONVT_OK);
            convt_sgd_step(sgd);
            convt_sgd_destroy(sgd);
        }
        assert_int_equal(accounts.calls, 1);
        assert_int_equal(accounts.live, 0);
    }
}

static void refuse(convt_sgd_config cfg, const convt_parameter *row, convt_status status,
                   const char *field)
{
    convt_sgd *sgd = (convt_sgd *)&cfg;
    convt_error err = {0};
    assert_int_equal(convt_sgd_create(&sgd, &cfg, row, 1, &err), status);
    assert_null(sgd);
    assert_int_equal(err.status, status);
    assert_string_equal(err.field, field);
    assert_true(err.message[0] != '\0');
}

static void refusals_name_the_argument(void **state)
{
    (void)state;
    double w[SIZE] = {0}, g[SIZE] = {0};
    const convt_parameter good = row_f64(w, g, NULL);
    const convt_optional infinite = CONVT_SET(HUGE_VAL), none = CONVT_SET(NAN);
    const convt_status argument = CONVT_INVALID_ARGUMENT, shape = CONVT_INVALID_SHAPE;
    refuse((convt_sgd_config){.learning_rate = infinite}, &good, argument, "learning_rate");
    refuse((convt_sgd_config){.momentum = 1.5}, &good, argument, "momentum");
    refuse((convt_sgd_config){.momentum = -0.1}, &good, argument, "momentum");
    refuse((convt_sgd_config){.momentum = none.value}, &good, argument, "momentum");
    refuse((convt_sgd_config){.weight_decay = none}, &good, argument, "weight_decay");
    refuse((convt_sgd_config){.threads = -2}, &good, argument, "threads");
    refuse((convt_sgd_config){.schedule = {.kind = (convt_schedule_kind)9}}, &good, argument,
           "schedule.kind");
    refuse((convt_sgd_config){.schedule = {.kind = CONVT_COSINE_DECAY}}, &good, argument,
           "schedule.decay_steps");
    refuse((convt_sgd_config){.schedule = {CONVT_COSINE_DECAY, 10, 0, .warmup_steps = -1}}, &good,
           argument, "schedule.warmup_steps");
    refuse((convt_sgd_config){.schedule = {CONVT_COSINE_DECAY, 10, 0, .warmup_target = none}},
           &good, argument, "schedule.warmup_target");
    refuse((convt_sgd_config){.schedule = {CONVT_COSINE_DECAY, 10, infinite.value}}, &good,
           argument, "schedule.alpha");
    convt_parameter bad = good;
    bad.gradient.c = 4;
    refuse((convt_sgd_config){0}, &bad, shape, "rows");
    bad = good;
    bad.gradient.data = NULL;
    refuse((convt_sgd_config){0}, &bad, shape, "rows");
    bad = good;
    bad.value.n = -1;
    refuse((convt_sgd_config){0}, &bad, shape, "rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_keras),
        cmocka_unit_test(constraints_follow_the_update),
        cmocka_unit_test(frozen_rows_stay),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(an_empty_list_counts_steps),
        cmocka_unit_test(memory_is_one_block_and_none_in_a_step),
        cmocka_unit_test(refusals_name_the_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
