/* SGD over hand-made parameter rows, against Keras' optimizer.apply written out in double. */
#include "support/close.h"
#include "support/failalloc.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <string.h>

enum {
    ROWS = 3,
    FROZEN = 2,
    SIZE = 3 * 2 * 4 * 5,
    ALL = ROWS * SIZE,
    STEPS = 11,
    COMBINATIONS = 600
};
enum { BIG = 3 * 3 * 64 * 100, BIG_BIAS = 64 };

/* ---- the oracle: three tensors of SIZE numbers, the first of them constrained ---------------- */

struct plain {
    double w[ALL], v[ALL], average[ALL], accumulator[ALL];
    int64_t calls;
};

static double norm_of(const double *g, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += g[i] * g[i];
    return sqrt(sum);
}

/* g holds the trainable rows, one behind the other. */
static void plain_clip(const convt_sgd_config *cfg, double *g)
{
    const double c = cfg->clipnorm.value, all = cfg->global_clipnorm.value,
                 most = cfg->clipvalue.value;
    if (cfg->clipnorm.set && c > 0)
        for (int r = 0; r < FROZEN; r++) {
            const double norm = norm_of(g + r * SIZE, SIZE), over = norm > c ? norm : c;
            for (int i = 0; i < SIZE; i++) g[r * SIZE + i] *= isnan(norm) ? norm : c / over;
        }
    if (cfg->global_clipnorm.set && all > 0) {
        const double norm = norm_of(g, FROZEN * SIZE);
        for (int i = 0; i < FROZEN * SIZE; i++) {
            if (norm > all) g[i] *= all / norm;
            if (!isfinite(norm)) g[i] = NAN;
        }
    }
    if (cfg->clipvalue.set && most > 0)
        for (int i = 0; i < FROZEN * SIZE; i++)
            if (fabs(g[i]) > most) g[i] = copysign(most, g[i]);
}

static void plain_update(struct plain *p, const convt_sgd_config *cfg, int r, const double *g,
                         double rate)
{
    const double m = cfg->momentum;
    for (int i = 0; i < SIZE; i++) {
        double *w = &p->w[r * SIZE + i], *v = &p->v[r * SIZE + i];
        if (cfg->weight_decay.set) *w -= *w * cfg->weight_decay.value * rate;
        *v = m * *v - rate * g[i];
        *w += m > 0 && cfg->nesterov ? m * *v - rate * g[i] : *v;
    }
}

static void plain_average(struct plain *p, const convt_sgd_config *cfg, int64_t updates)
{
    const double given = cfg->ema_momentum.set ? cfg->ema_momentum.value : 0.99;
    const double e = updates == 0 ? 0 : given;
    const int64_t frequency = cfg->ema_overwrite_frequency;
    for (int i = 0; i < FROZEN * SIZE && cfg->use_ema; i++) {
        p->average[i] = e * p->average[i] + (1 - e) * p->w[i];
        if (frequency && (updates + 1) % frequency == 0) p->w[i] = p->average[i];
    }
}

static void plain_max_norm(double *w, double most) /* over axis 0: 3 rows of 40 */
{
    for (int i = 0; i < SIZE / 3; i++) {
        const double column[] = {w[i], w[SIZE / 3 + i], w[2 * SIZE / 3 + i]};
        const double norm = norm_of(column, 3);
        for (int k = 0; k < 3; k++) w[k * SIZE / 3 + i] *= fmin(norm, most) / (1e-7 + norm);
    }
}

static void plain_step(struct plain *p, const convt_sgd_config *cfg, const double *g,
                       bool constrained)
{
    const int64_t steps = cfg->gradient_accumulation_steps ? cfg->gradient_accumulation_steps : 1;
    const double rate = convt_schedule_rate(cfg, p->calls);
    const double scale = cfg->loss_scale_factor.set ? cfg->loss_scale_factor.value : 1;
    double sum[FROZEN * SIZE];
    for (int i = 0; i < FROZEN * SIZE; i++) sum[i] = p->accumulator[i] + g[i] / scale;
    if ((p->calls + 1) % steps == 0) {
        for (int i = 0; i < FROZEN * SIZE; i++) sum[i] /= (double)steps;
        plain_clip(cfg, sum);
        for (int r = 0; r < FROZEN; r++) plain_update(p, cfg, r, sum + r * SIZE, rate);
        memset(p->accumulator, 0, sizeof p->accumulator);
    } else {
        memcpy(p->accumulator, sum, sizeof sum);
    }
    plain_average(p, cfg, p->calls / steps);
    if (constrained) plain_max_norm(p->w, 0.8);
    p->calls++;
}

/* ---- both, side by side ---------------------------------------------------------------------- */

static void draw(uint64_t seed, double low, double high, int64_t count, double *a)
{
    values_random(convt_f64(a, 1, 1, 1, count), seed, low, high);
}

static const convt_constraint max_norm = {.kind = CONVT_MAX_NORM, .max_value = {true, 0.8}};

struct pair {
    double w[ALL], g[ALL];
    float w32[ALL], g32[ALL];
    uint64_t versions[ROWS];
    struct plain plain;
    convt_sgd *sgd, *sgd32;
};

static convt_sgd *create(const convt_sgd_config *cfg, const convt_parameter rows[], int count)
{
    convt_sgd *sgd;
    convt_error err;
    if (convt_sgd_create(&sgd, cfg, rows, count, &err)) fail_msg("%s: %s", err.field, err.message);
    return sgd;
}

static convt_parameter row_of(convt_view w, convt_view g, uint64_t *version)
{
    return (convt_parameter){"layer", "kernel", w, g, 4, true, NULL, version};
}

static void start(struct pair *pair, const convt_sgd_config *cfg, bool constrained)
{
    convt_parameter rows[ROWS], rows32[ROWS];
    memset(pair, 0, sizeof *pair);
    draw(1, -2, 2, ALL, pair->w);
    memcpy(pair->plain.w, pair->w, sizeof pair->w);
    for (int i = 0; i < ALL; i++) pair->w32[i] = (float)pair->w[i];
    for (int r = 0; r < ROWS; r++) {
        const int at = r * SIZE;
        rows[r] = row_of(convt_f64(pair->w + at, 3, 2, 4, 5), convt_f64(pair->g + at, 3, 2, 4, 5),
                         &pair->versions[r]);
        rows32[r] = row_of(convt_f32(pair->w32 + at, 3, 2, 4, 5),
                           convt_f32(pair->g32 + at, 3, 2, 4, 5), NULL);
        rows[r].trainable = rows32[r].trainable = r != FROZEN;
        rows[r].constraint = rows32[r].constraint = constrained && r == 0 ? &max_norm : NULL;
    }
    pair->sgd = create(cfg, rows, ROWS);
    pair->sgd32 = create(cfg, rows32, ROWS);
}

static void assert_same_weights(const struct pair *pair, int calls)
{
    for (int i = 0; i < ALL; i++) {
        const double w = pair->w[i], w32 = (double)pair->w32[i], expected = pair->plain.w[i];
        if (!close_enough(w, expected, 1e-12, 1e-12) || !close_enough(w32, expected, 2e-5, 2e-5))
            fail_msg("row %d, element %d after %d calls: %.17g and %.9g, not %.17g", i / SIZE,
                     i % SIZE, calls, w, w32, expected);
    }
}

static void step(struct pair *pair, const convt_sgd_config *cfg, bool constrained, int number)
{
    double before[ALL];
    draw((uint64_t)number + 100, -2, 2, ALL, pair->g);
    for (int i = 0; i < ALL; i++) pair->g32[i] = (float)pair->g[i];
    memcpy(before, pair->g, sizeof before);
    assert_int_equal(convt_sgd_iterations(pair->sgd), number);
    assert_close(convt_sgd_learning_rate(pair->sgd), convt_schedule_rate(cfg, number), 0, 0);
    plain_step(&pair->plain, cfg, pair->g, constrained);
    convt_sgd_step(pair->sgd);
    convt_sgd_step(pair->sgd32);
    assert_same_bits(pair->g, before, sizeof before); /* gradients are only read */
}

static void finish(struct pair *pair)
{
    convt_sgd_destroy(pair->sgd);
    convt_sgd_destroy(pair->sgd32);
}

/* ---- every argument with every other --------------------------------------------------------- */

static double pick(uint64_t *state, const double choices[], int count)
{
    return choices[(values_next(state) >> 20) % (uint64_t)count];
}

/* The first choice of an optional argument is None. */
static convt_optional pick_optional(uint64_t *state, double first, double second, double third)
{
    const double choices[] = {NAN, NAN, first, second, third};
    const double value = pick(state, choices, 5);
    return (convt_optional){!isnan(value), isnan(value) ? 0 : value};
}

static convt_sgd_config random_config(uint64_t *state)
{
    static const convt_schedule schedules[] = {
        {.kind = CONVT_CONSTANT_RATE},
        {.kind = CONVT_EXPONENTIAL_DECAY, .decay_steps = {true, 3}, .decay_rate = {true, 0.8}},
        {.kind = CONVT_COSINE_DECAY,
         .decay_steps = {true, 8},
         .warmup_target = {true, 0.3},
         .warmup_steps = {true, 4}}};
    const double thirds[] = {0, 1, 2};
    convt_sgd_config cfg = {
        .learning_rate = CONVT_SET(0.07),
        .schedule = schedules[(int)pick(state, thirds, 3)],
        .momentum = pick(state, (const double[]){0, 0.9, 1}, 3),
        .nesterov = pick(state, thirds, 2) > 0,
        .weight_decay = pick_optional(state, 0.02, 0.1, 0),
        .use_ema = pick(state, thirds, 2) > 0,
        .ema_momentum = pick_optional(state, 0.5, 0, 1),
        .ema_overwrite_frequency = (int64_t)pick(state, (const double[]){0, 1, 2, 3}, 4),
        .loss_scale_factor = pick_optional(state, 3, 1024, 0.5),
        .gradient_accumulation_steps = (int64_t)pick(state, (const double[]){0, 2, 3}, 3),
    };
    convt_optional *ways[] = {&cfg.clipnorm, &cfg.clipvalue, &cfg.global_clipnorm};
    *ways[(int)pick(state, thirds, 3)] = pick_optional(state, 0.4, 100, 3);
    return cfg;
}

static void steps_are_those_of_keras(void **state)
{
    (void)state;
    static struct pair pair;
    uint64_t random = 7;
    for (int k = 0; k < COMBINATIONS; k++) {
        const convt_sgd_config cfg = random_config(&random);
        const bool constrained = k % 2;
        start(&pair, &cfg, constrained);
        for (int i = 0; i < STEPS; i++) {
            step(&pair, &cfg, constrained, i);
            assert_same_weights(&pair, i + 1);
        }
        if (cfg.use_ema) memcpy(pair.plain.w, pair.plain.average, FROZEN * SIZE * sizeof(double));
        convt_sgd_finalize(pair.sgd);
        convt_sgd_finalize(pair.sgd32);
        assert_same_weights(&pair, STEPS);
        finish(&pair);
    }
}

/* Zero and less are off; set they are. */
static void clipping_at_zero_is_off(void **state)
{
    (void)state;
    static struct pair pair, plain;
    const convt_sgd_config none = {0}, off[] = {{.clipnorm = CONVT_SET(0)},
                                                {.clipvalue = CONVT_SET(-1)},
                                                {.global_clipnorm = CONVT_SET(0)}};
    start(&plain, &none, false);
    step(&plain, &none, false, 0);
    for (int k = 0; k < 3; k++) {
        start(&pair, &off[k], false);
        step(&pair, &off[k], false, 0);
        assert_same_bits(pair.w, plain.w, sizeof pair.w);
        finish(&pair);
    }
    finish(&plain);
}

/* ---- gradients that are no numbers: as Keras spreads them ------------------------------------ */

/* One call with g[0][3] = bad; how many elements of each row are then NaN. */
static void count_nan(convt_sgd_config cfg, double bad, int nan[ROWS], double *w3)
{
    static double w[ALL], g[ALL];
    convt_parameter rows[ROWS];
    draw(4, -1, 1, ALL, g);
    g[3] = bad;
    for (int i = 0; i < ALL; i++) w[i] = 1;
    for (int r = 0; r < ROWS; r++)
        rows[r] =
            row_of(convt_f64(w + r * SIZE, 3, 2, 4, 5), convt_f64(g + r * SIZE, 3, 2, 4, 5), NULL);
    cfg.learning_rate = CONVT_SET(1);
    convt_sgd *sgd = create(&cfg, rows, ROWS);
    convt_sgd_step(sgd);
    convt_sgd_destroy(sgd);
    for (int r = 0; r < ROWS; r++) {
        nan[r] = 0;
        for (int i = 0; i < SIZE; i++) nan[r] += isnan(w[r * SIZE + i]);
    }
    *w3 = w[3];
}

static void what_is_no_number_spreads_as_in_keras(void **state)
{
    (void)state;
    const struct {
        convt_sgd_config cfg;
        double bad;
        int first, others; /* NaN in the row of the bad gradient, and in each of the others */
    } cases[] = {
        {{.clipvalue = CONVT_SET(0.5)}, NAN, 1, 0},
        {{.clipvalue = CONVT_SET(0.5)}, -HUGE_VAL, 0, 0},
        {{.clipnorm = CONVT_SET(0.5)}, NAN, SIZE, 0},
        {{.clipnorm = CONVT_SET(0.5)}, HUGE_VAL, 1, 0}, /* the others of the row become 0 */
        {{.global_clipnorm = CONVT_SET(0.5)}, NAN, SIZE, SIZE},
        {{.global_clipnorm = CONVT_SET(0.5)}, HUGE_VAL, SIZE, SIZE},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int nan[ROWS];
        double w3;
        count_nan(cases[k].cfg, cases[k].bad, nan, &w3);
        assert_int_equal(nan[0], cases[k].first);
        for (int r = 1; r < ROWS; r++) assert_int_equal(nan[r], cases[k].others);
        if (cases[k].first == 0) assert_close(w3, 1.5, 0, 0);
    }
}

static void gradients_of_zero_stay_zero(void **state)
{
    (void)state;
    const convt_sgd_config rules[] = {{.clipnorm = CONVT_SET(1)},
                                      {.global_clipnorm = CONVT_SET(1)}};
    for (int k = 0; k < 2; k++) {
        double w[] = {1, 2}, g[] = {0, 0};
        const convt_parameter row =
            row_of(convt_f64(w, 1, 1, 1, 2), convt_f64(g, 1, 1, 1, 2), NULL);
        convt_sgd *sgd = create(&rules[k], &row, 1);
        convt_sgd_step(sgd);
        convt_sgd_destroy(sgd);
        assert_close(w[0], 1, 0, 0);
        assert_close(w[1], 2, 0, 0);
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Packed copies of the weights notice every change, and only changes. */
static void versions_count_changes(void **state)
{
    (void)state;
    static struct pair pair;
    const convt_sgd_config cfg = {.gradient_accumulation_steps = 2};
    for (int constrained = 0; constrained < 2; constrained++) {
        start(&pair, &cfg, constrained);
        for (int i = 0; i < 4; i++) {
            const uint64_t first = pair.versions[0], second = pair.versions[1];
            step(&pair, &cfg, constrained, i);
            assert_true((pair.versions[0] > first) == (constrained || i % 2 == 1));
            assert_true((pair.versions[1] > second) == (i % 2 == 1));
        }
        assert_int_equal(pair.versions[FROZEN], 0);
        finish(&pair);
    }
}

static void averages_are_taken_once_there_are_some(void **state)
{
    (void)state;
    static struct pair pair;
    const convt_sgd_config cfg = {.use_ema = true}, none = {0};
    double before[ALL];
    start(&pair, &cfg, false);
    memcpy(before, pair.w, sizeof before);
    convt_sgd_finalize(pair.sgd); /* before the first step */
    assert_same_bits(pair.w, before, sizeof before);
    for (int i = 0; i < 3; i++) step(&pair, &cfg, false, i);
    const uint64_t version = pair.versions[0];
    memcpy(before, pair.w, sizeof before);
    convt_sgd_finalize(pair.sgd);
    assert_memory_not_equal(pair.w + SIZE, before + SIZE, SIZE * sizeof(double));
    assert_same_bits(pair.w + FROZEN * SIZE, before + FROZEN * SIZE, SIZE * sizeof(double));
    assert_true(pair.versions[0] > version);
    memcpy(before, pair.w, sizeof before);
    convt_sgd_finalize(pair.sgd); /* again is the same */
    assert_same_bits(pair.w, before, sizeof before);
    finish(&pair);

    start(&pair, &none, false);
    step(&pair, &none, false, 0);
    memcpy(before, pair.w, sizeof before);
    convt_sgd_finalize(pair.sgd);
    assert_same_bits(pair.w, before, sizeof before);
    finish(&pair);
}

static void rows_of_both_precisions_share_a_norm(void **state)
{
    (void)state;
    double w[] = {1}, g[] = {3};
    float w32[] = {1}, g32[] = {4};
    const convt_parameter rows[] = {
        row_of(convt_f64(w, 1, 1, 1, 1), convt_f64(g, 1, 1, 1, 1), NULL),
        row_of(convt_f32(w32, 1, 1, 1, 1), convt_f32(g32, 1, 1, 1, 1), NULL)};
    const convt_sgd_config cfg = {.learning_rate = CONVT_SET(1), .global_clipnorm = CONVT_SET(0.5)};
    convt_sgd *sgd = create(&cfg, rows, 2);
    convt_sgd_step(sgd);
    convt_sgd_destroy(sgd);
    assert_close(w[0], 1 - 0.3, 1e-15, 0);
    assert_close((double)w32[0], 1 - 0.4, 1e-7, 0);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static float w[BIG + BIG_BIAS], g[BIG + BIG_BIAS], first[2][BIG + BIG_BIAS];
    static double numbers[BIG + BIG_BIAS];
    for (int k = 0; k < 8; k++) {
        convt_sgd_config cfg = {.momentum = 0.9,
                                .nesterov = true,
                                .weight_decay = CONVT_SET(0.01),
                                .use_ema = true,
                                .ema_overwrite_frequency = 2,
                                .loss_scale_factor = CONVT_SET(3),
                                .gradient_accumulation_steps = 2,
                                .threads = (int[]){1, 2, 3, 7}[k / 2]};
        *(k % 2 ? &cfg.clipnorm : &cfg.global_clipnorm) = CONVT_SET(1);
        draw(5, -2, 2, BIG + BIG_BIAS, numbers);
        for (int i = 0; i < BIG + BIG_BIAS; i++) {
            w[i] = (float)numbers[i];
            g[i] = (float)numbers[BIG + BIG_BIAS - 1 - i];
        }
        const convt_parameter rows[] = {
            row_of(convt_f32(w, 3, 3, 64, 100), convt_f32(g, 3, 3, 64, 100), NULL),
            row_of(convt_f32(w + BIG, 1, 1, 1, BIG_BIAS), convt_f32(g + BIG, 1, 1, 1, BIG_BIAS),
                   NULL)};
        convt_sgd *sgd = create(&cfg, rows, 2);
        for (int i = 0; i < 7; i++) convt_sgd_step(sgd);
        convt_sgd_finalize(sgd);
        convt_sgd_destroy(sgd);
        if (k < 2) memcpy(first[k], w, sizeof w);
        assert_same_bits(w, first[k % 2], sizeof w);
        assert_true(w[BIG - 1] != (float)numbers[BIG - 1]); /* the last piece took part */
    }
    assert_memory_not_equal(first[0], first[1], sizeof first[0]);
}

static void an_empty_list_counts_steps(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {
        .momentum = 0.9, .global_clipnorm = CONVT_SET(1), .use_ema = true};
    convt_sgd *sgd = create(&cfg, NULL, 0);
    convt_sgd_step(sgd);
    convt_sgd_finalize(sgd);
    assert_int_equal(convt_sgd_iterations(sgd), 1);
    convt_sgd_destroy(sgd);
    convt_sgd_destroy(NULL);
}

static void memory_is_one_block_and_none_in_a_step(void **state)
{
    (void)state;
    double w[SIZE] = {0}, g[SIZE] = {0};
    const convt_parameter row = row_of(convt_f64(w, 3, 2, 4, 5), convt_f64(g, 3, 2, 4, 5), NULL);
    for (int64_t k = 0; k < 2; k++) {
        failalloc accounts = {.fail_at = k};
        const convt_sgd_config cfg = {.momentum = 0.9,
                                      .use_ema = true,
                                      .clipnorm = CONVT_SET(1),
                                      .gradient_accumulation_steps = 2,
                                      .allocator = failalloc_allocator(&accounts)};
        convt_sgd *sgd;
        convt_error err;
        const convt_status status = convt_sgd_create(&sgd, &cfg, &row, 1, &err);
        if (k == 1) {
            assert_refused(status, &err, CONVT_NO_MEMORY, "rows", "bytes");
            assert_null(sgd);
        } else {
            assert_int_equal(status, CONVT_OK);
            for (int i = 0; i < 2; i++) convt_sgd_step(sgd);
            convt_sgd_finalize(sgd);
            convt_sgd_destroy(sgd);
        }
        assert_int_equal(accounts.calls, 1);
        assert_int_equal(accounts.live, 0);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refusals_name_the_argument_and_the_value(void **state)
{
    (void)state;
    const convt_optional infinite = CONVT_SET(HUGE_VAL), nothing = CONVT_SET(NAN),
                         one = CONVT_SET(1), zero = CONVT_SET(0), two = CONVT_SET(2);
    const struct {
        convt_sgd_config cfg;
        const char *field, *part;
    } cases[] = {
        {{.learning_rate = infinite}, "learning_rate", "inf"},
        {{.momentum = 1.5}, "momentum", "1.5"},
        {{.momentum = -0.1}, "momentum", "-0.1"},
        {{.momentum = nothing.value}, "momentum", "nan"},
        {{.weight_decay = nothing}, "weight_decay", "nan"},
        {{.clipnorm = infinite}, "clipnorm", "inf"},
        {{.clipvalue = nothing}, "clipvalue", "nan"},
        {{.global_clipnorm = infinite}, "global_clipnorm", "inf"},
        {{.loss_scale_factor = nothing}, "loss_scale_factor", "nan"},
        {{.clipnorm = zero, .clipvalue = two}, "clipvalue", "clipnorm 0 and clipvalue 2"},
        {{.clipnorm = one, .global_clipnorm = two}, "global_clipnorm", "clipnorm 1 and"},
        {{.clipvalue = one, .global_clipnorm = two}, "global_clipnorm", "clipvalue 1 and"},
        {{.gradient_accumulation_steps = 1}, "gradient_accumulation_steps", "1"},
        {{.gradient_accumulation_steps = -2}, "gradient_accumulation_steps", "-2"},
        {{.use_ema = true, .ema_momentum = CONVT_SET(1.5)}, "ema_momentum", "1.5"},
        {{.use_ema = true, .ema_momentum = CONVT_SET(-1)}, "ema_momentum", "-1"},
        {{.use_ema = true, .ema_momentum = nothing}, "ema_momentum", "nan"},
        {{.use_ema = true, .ema_overwrite_frequency = -1}, "ema_overwrite_frequency", "-1"},
        {{.threads = -2}, "threads", "-2"},
        {{.schedule = {.kind = CONVT_COSINE_DECAY}}, "schedule.decay_steps", "missing"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        convt_error err = {0};
        convt_sgd *sgd = (convt_sgd *)&err;
        assert_refused(convt_sgd_create(&sgd, &cases[k].cfg, NULL, 0, &err), &err,
                       CONVT_INVALID_ARGUMENT, cases[k].field, cases[k].part);
        assert_null(sgd);
    }
}

/* What Keras looks at with use_ema alone. */
static void what_is_not_used_is_not_checked(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {.ema_momentum = CONVT_SET(7), .ema_overwrite_frequency = -1};
    convt_sgd_destroy(create(&cfg, NULL, 0));
}

static void rows_are_checked(void **state)
{
    (void)state;
    double w[SIZE] = {0}, g[SIZE] = {0};
    const convt_sgd_config cfg = {0};
    const convt_parameter good = row_of(convt_f64(w, 3, 2, 4, 5), convt_f64(g, 3, 2, 4, 5), NULL);
    convt_parameter bad[] = {good, good, good, good};
    convt_sgd *sgd;
    convt_error err;
    bad[0].gradient.c = 4;
    bad[1].gradient.data = NULL;
    bad[2].value.n = -1;
    bad[3].gradient.dtype = CONVT_FLOAT32;
    for (int k = 0; k < 4; k++)
        assert_refused(convt_sgd_create(&sgd, &cfg, &bad[k], 1, &err), &err, CONVT_INVALID_SHAPE,
                       "rows", "row 0");
    assert_refused(convt_sgd_create(&sgd, &cfg, &good, -1, &err), &err, CONVT_INVALID_ARGUMENT,
                   "count", "-1");
    const convt_sgd_config keeps = {
        .momentum = 0.5, .use_ema = true, .gradient_accumulation_steps = 2};
    convt_parameter large[3] = {good, good, good};
    for (int k = 0; k < 3; k++) /* each below 2^62 bytes, all tensors of all beyond 2^64 */
        large[k].value.n = large[k].gradient.n = INT64_MAX / 16 / (2 * 4 * 5);
    assert_refused(convt_sgd_create(&sgd, &keeps, large, 3, &err), &err, CONVT_TOO_LARGE, "rows",
                   "exceed what can be addressed");
    convt_parameter odd = good;
    odd.gradient.data = (char *)odd.gradient.data + 1;
    assert_refused(convt_sgd_create(&sgd, &cfg, &odd, 1, &err), &err, CONVT_INVALID_ARGUMENT,
                   "rows", "where no float64 can lie");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_keras),
        cmocka_unit_test(clipping_at_zero_is_off),
        cmocka_unit_test(what_is_no_number_spreads_as_in_keras),
        cmocka_unit_test(gradients_of_zero_stay_zero),
        cmocka_unit_test(versions_count_changes),
        cmocka_unit_test(averages_are_taken_once_there_are_some),
        cmocka_unit_test(rows_of_both_precisions_share_a_norm),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(an_empty_list_counts_steps),
        cmocka_unit_test(memory_is_one_block_and_none_in_a_step),
        cmocka_unit_test(refusals_name_the_argument_and_the_value),
        cmocka_unit_test(what_is_not_used_is_not_checked),
        cmocka_unit_test(rows_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
