/* Losses against plain formulas in double, their slopes against central differences, and the
 * promises about bits. */
#include "support/close.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3 * 40 * 60 * 11 }; /* more than 64 blocks of 1024, and no multiple of anything */

/* ---- the rows -------------------------------------------------------------------------------- */

enum reading { OUTPUTS, LOGITS, SIGMOID };
enum form { ELEMENT, SUM, AXIS, BATCH };
enum { VALUES = false, CLASS_NUMBERS = true };

struct arguments {
#define LOSS_ARGUMENT(name, range) convt_optional name;
#include "convt/losses.def"
};

#define NO_ARGUMENTS          \
    {                         \
        .alpha = { false, 0 } \
    }
static const struct family {
    convt_loss_kind kind;
    const char *name;
    enum form form;
    bool numbers;
    struct arguments takes;
} families[] = {
#define LOSS(enumerator, number, class_name, name, value, slope, ...) \
    {CONVT_##enumerator, #name, ELEMENT, false, __VA_ARGS__},
#define SUM_LOSS(enumerator, number, class_name, name, value, slope, ...) \
    {CONVT_##enumerator, #name, SUM, false, __VA_ARGS__},
#define AXIS_LOSS(enumerator, number, class_name, name, function, targets, ...) \
    {CONVT_##enumerator, #name, AXIS, targets, __VA_ARGS__},
#define BATCH_LOSS(enumerator, number, class_name, name, value, by_tp, by_p, ...) \
    {CONVT_##enumerator, #name, BATCH, false, __VA_ARGS__},
#include "convt/losses.def"
};

static const struct row {
    convt_loss_kind kind;
    enum reading reading;
} rows[] = {
#define LOSS(name, ...) {CONVT_##name, OUTPUTS}, {CONVT_##name, SIGMOID},
#define SUM_LOSS LOSS
#define AXIS_LOSS LOSS
#define BATCH_LOSS LOSS
#define LOGIT_LOSS(name, ...) {CONVT_##name, LOGITS},
#define AXIS_LOGIT_LOSS LOGIT_LOSS
#include "convt/losses.def"
};
enum { ROWS = sizeof rows / sizeof *rows, REDUCTIONS = 3 };

static const struct family *family_of(convt_loss_kind kind)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i].kind == kind) return &families[i];
    fail_msg("loss %d is in no family", (int)kind);
    return NULL;
}

static convt_loss_config config_of(const struct row *row)
{
    return (convt_loss_config){.kind = row->kind,
                               .from_logits = row->reading == LOGITS,
                               .sigmoid_output = row->reading == SIGMOID};
}

/* Every argument that the row takes is set to something that is no default. */
static void set_arguments(convt_loss_config *loss)
{
    static const double delta = 0.3, label_smoothing = 0.2, alpha = 0.7, beta = 0.4, gamma = 1.5,
                        apply_class_balancing = 1;
    const struct arguments *takes = &family_of(loss->kind)->takes;
#define LOSS_ARGUMENT(name, range) \
    if (takes->name.set) loss->name = CONVT_SET(name);
#include "convt/losses.def"
}

/* ---- a batch --------------------------------------------------------------------------------- */

enum weighting { EQUAL, BY_SAMPLE, BY_POSITION, WEIGHTINGS };

struct batch {
    convt_loss_config loss;
    int64_t n, h, w, c;
    enum weighting weighting;
};

static double t64[MOST], p64[MOST], d64[MOST], w64[MOST];
static float t32[MOST], p32[MOST], d32[MOST], w32[MOST];

static int64_t elements_of(const struct batch *b)
{
    return b->n * b->h * b->w * b->c;
}

static int64_t axis_of(const struct batch *b)
{
    return b->loss.data_format == CONVT_CHANNELS_FIRST ? b->w : b->c;
}

static int64_t weight_count(const struct batch *b)
{
    return b->weighting == BY_SAMPLE ? b->n : elements_of(b) / axis_of(b);
}

static enum reading reading_of(const convt_loss_config *loss)
{
    return loss->sigmoid_output ? SIGMOID : loss->from_logits ? LOGITS : OUTPUTS;
}

/* Targets in [0, 1], or class numbers; predictions in (0, 1), or logits. Floats hold the same. */
static void draw(uint64_t seed, const struct batch *b)
{
    const int64_t count = elements_of(b);
    const bool outputs = reading_of(&b->loss) == OUTPUTS;
    const bool numbers = b->loss.kind != CONVT_CUSTOM_LOSS && family_of(b->loss.kind)->numbers;
    values_random(convt_f64(t64, 1, 1, 1, count), seed, 0, numbers ? (double)axis_of(b) : 1);
    values_random(convt_f64(p64, 1, 1, 1, count), seed + 1, outputs ? 0.02 : -8,
                  outputs ? 0.98 : 8);
    values_random(convt_f64(w64, 1, 1, 1, count), seed + 2, 0, 2);
    for (int64_t i = 0; i < count; i++) {
        if (numbers) t64[i] = floor(t64[i]);
        t32[i] = (float)t64[i];
        p32[i] = (float)p64[i];
        w32[i] = (float)w64[i];
    }
}

static convt_const_view view(const struct batch *b, convt_dtype dtype, const void *f32,
                             const void *f64)
{
    return (convt_const_view){dtype ? f64 : f32, dtype, b->n, b->h, b->w, b->c};
}

static convt_const_view without_axis(const struct batch *b, convt_const_view v)
{
    *(b->loss.data_format == CONVT_CHANNELS_FIRST ? &v.w : &v.c) = 1;
    return v;
}

/* The loss of the arrays above, slopes to d64 or d32. */
static convt_loss_value compute(const struct batch *b, convt_dtype dtype)
{
    convt_loss_value value;
    convt_error err;
    convt_const_view t = view(b, dtype, t32, t64);
    const convt_const_view p = view(b, dtype, p32, p64);
    convt_sample_weight weight = {.values = without_axis(b, view(b, dtype, w32, w64))};
    if (b->weighting == BY_SAMPLE) weight.values.h = weight.values.w = weight.values.c = 1;
    if (b->loss.kind != CONVT_CUSTOM_LOSS && family_of(b->loss.kind)->numbers)
        t = without_axis(b, t);
    const convt_view dy = {dtype ? (void *)d64 : (void *)d32, dtype, b->n, b->h, b->w, b->c};
    if (convt_loss(&b->loss, t, p, b->weighting == EQUAL ? NULL : &weight, b->n, &value, dy, &err))
        fail_msg("loss %d: %s: %s", (int)b->loss.kind, err.field, err.message);
    return value;
}

/* ---- the oracle: Keras' formulas, with its defaults ------------------------------------------ */

static double squash(double z)
{
    return 1 / (1 + exp(-z));
}

static double clip(double p)
{
    return fmin(fmax(p, 1e-7), 1 - 1e-7);
}

static double or_default(convt_optional given, double value)
{
    return given.set ? given.value : value;
}

static double plain_element(const convt_loss_config *loss, double t, double p)
{
    const double e = p - t, delta = or_default(loss->delta, 1);
    const double alpha = or_default(loss->alpha, 0.25), gamma = or_default(loss->gamma, 2);
    const double s = or_default(loss->label_smoothing, 0), smooth = t * (1 - s) + s / 2;
    const double bce = -smooth * log(clip(p)) - (1 - smooth) * log(clip(1 - p));
    const double missed = 1 - (smooth * p + (1 - smooth) * (1 - p));
    const double share = smooth * alpha + (1 - smooth) * (1 - alpha);
    switch ((int)loss->kind) {
    case CONVT_MEAN_SQUARED_ERROR: return e * e;
    case CONVT_MEAN_ABSOLUTE_ERROR: return fabs(e);
    case CONVT_BINARY_CROSSENTROPY: return bce;
    case CONVT_MEAN_ABSOLUTE_PERCENTAGE_ERROR: return 100 * fabs(e / fmax(fabs(t), 1e-7));
    case CONVT_MEAN_SQUARED_LOGARITHMIC_ERROR:
        return pow(log1p(fmax(p, 1e-7)) - log1p(fmax(t, 1e-7)), 2);
    case CONVT_HUBER: return fabs(e) <= delta ? e * e / 2 : delta * fabs(e) - delta * delta / 2;
    case CONVT_LOG_COSH: return log(cosh(e));
    case CONVT_KL_DIVERGENCE: return fmax(t, 1e-7) * (log(fmax(t, 1e-7)) - log(fmax(p, 1e-7)));
    case CONVT_BINARY_FOCAL_CROSSENTROPY:
        return pow(missed, gamma) * bce * (loss->apply_class_balancing.value != 0 ? share : 1);
    case CONVT_POISSON: return p - t * log(p + 1e-7);
    }
    fail_msg("no formula for loss %d: add one", (int)loss->kind);
    return 0;
}

/* Of a row along the last axis; p are outputs, or logits of a softmax. */
static double plain_row(const convt_loss_config *loss, int64_t n, const double *t, const double *p)
{
    const double s = or_default(loss->label_smoothing, 0);
    const bool softmax = reading_of(loss) == LOGITS;
    double total = 0, value = 0, tp = 0, tt = 0, pp = 0;
    for (int64_t i = 0; i < n; i++) {
        total += softmax ? exp(p[i]) : p[i];
        tp += t[i] * p[i];
        tt += t[i] * t[i];
        pp += p[i] * p[i];
    }
    switch ((int)loss->kind) {
    case CONVT_COSINE_SIMILARITY: return -tp / sqrt(tt * pp);
    case CONVT_CATEGORICAL_CROSSENTROPY:
    case CONVT_SPARSE_CATEGORICAL_CROSSENTROPY:
        for (int64_t i = 0; i < n; i++)
            value -= (t[i] * (1 - s) + s / (double)n) *
                     (softmax ? p[i] - log(total) : log(clip(p[i] / total)));
        return value;
    }
    fail_msg("no formula for loss %d: add one", (int)loss->kind);
    return 0;
}

static double plain_batch(const convt_loss_config *loss, int64_t n, const double *t,
                          const double *p)
{
    double hit = 0, missed = 0, wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        hit += t[i] * p[i];
        missed += t[i] * (1 - p[i]);
        wrong += (1 - t[i]) * p[i];
    }
    switch ((int)loss->kind) {
    case CONVT_DICE: return 1 - 2 * hit / (2 * hit + missed + wrong + 1e-7);
    case CONVT_TVERSKY:
        return 1 - hit / (hit + missed * or_default(loss->alpha, 0.5) +
                          wrong * or_default(loss->beta, 0.5) + 1e-7);
    }
    fail_msg("no formula for loss %d: add one", (int)loss->kind);
    return 0;
}

static double weight_at(const struct batch *b, int64_t position)
{
    const int64_t positions = elements_of(b) / axis_of(b);
    return b->weighting == EQUAL       ? 1
           : b->weighting == BY_SAMPLE ? w64[position / (positions / b->n)]
                                       : w64[position];
}

/* Sum over positions of weight times value; the value itself for a loss of the batch. */
static double plain_sum(const struct batch *b, const double *t, const double *p)
{
    const int64_t axis = axis_of(b), positions = elements_of(b) / axis;
    const enum form form = family_of(b->loss.kind)->form;
    double sum = 0;
    if (form == BATCH) return plain_batch(&b->loss, elements_of(b), t, p);
    for (int64_t r = 0; r < positions; r++) {
        double value = 0;
        for (int64_t i = r * axis; i < (r + 1) * axis && form != AXIS; i++)
            value += plain_element(&b->loss, t[i], p[i]) / (form == SUM ? 1 : (double)axis);
        if (form == AXIS) value = plain_row(&b->loss, axis, t + r * axis, p + r * axis);
        sum += weight_at(b, r) * value;
    }
    return sum;
}

static double reduced(const struct batch *b, double sum)
{
    const int64_t positions = elements_of(b) / axis_of(b);
    const bool whole = family_of(b->loss.kind)->form == BATCH;
    const int64_t values = !whole ? positions : b->weighting == EQUAL ? 1 : weight_count(b);
    double weights = 0;
    for (int64_t i = 0; i < weight_count(b); i++) weights += w64[i];
    if (whole && b->weighting != EQUAL) sum *= weights;
    if (b->loss.reduction == CONVT_REDUCE_SUM) return sum;
    if (b->loss.reduction == CONVT_REDUCE_MEAN || b->weighting == EQUAL)
        return sum / (double)values;
    return sum / weights;
}

/* The labels of all elements, and predictions as the formulas take them. */
static void read_batch(const struct batch *b, const double *given, double *t, double *p)
{
    const enum reading reading = reading_of(&b->loss);
    const bool softmax = family_of(b->loss.kind)->form == AXIS;
    const int64_t axis = axis_of(b);
    for (int64_t i = 0; i < elements_of(b); i++) {
        t[i] = family_of(b->loss.kind)->numbers ? (double)(t64[i / axis] == (double)(i % axis))
                                                : t64[i];
        p[i] = reading == OUTPUTS || (reading == LOGITS && softmax) ? given[i] : squash(given[i]);
    }
}

static convt_loss_value plain_loss(const struct batch *b, const double *given)
{
    static double t[MOST], p[MOST];
    const int64_t count = elements_of(b);
    const bool logits = reading_of(&b->loss) == LOGITS;
    convt_loss_value value = {0, 0};
    read_batch(b, given, t, p);
    value.loss = reduced(b, plain_sum(b, t, p));
    for (int64_t i = 0; i < count; i++)
        value.mse += pow((logits ? given[i] : p[i]) - t[i], 2) / (double)count;
    return value;
}

/* ---- values and slopes ----------------------------------------------------------------------- */

/* Calls check for every row, with default arguments and others, every reduction, weighting and
 * format. */
static void for_each_batch(struct batch b, void (*check)(const struct batch *))
{
    for (int r = 0; r < ROWS; r++)
        for (int other = 0; other < 2; other++)
            for (int k = 0; k < REDUCTIONS * WEIGHTINGS * 2; k++) {
                b.loss = config_of(&rows[r]);
                if (other) set_arguments(&b.loss);
                b.loss.reduction = (convt_reduction)(k % REDUCTIONS);
                b.weighting = (enum weighting)(k / REDUCTIONS % WEIGHTINGS);
                b.loss.data_format = (convt_data_format)(k / (REDUCTIONS * WEIGHTINGS));
                check(&b);
            }
}

static void check_value(const struct batch *b)
{
    draw(7, b);
    const convt_loss_value expected = plain_loss(b, p64), value = compute(b, CONVT_FLOAT64);
    assert_close(value.loss, expected.loss, 2e-13, 1e-14);
    assert_close(value.mse, expected.mse, 1e-13, 0);
    /* 1 - 1e-7 is 1 - 1.2e-7 in float, which shows where nothing else is left of a position */
    const bool mean = b->loss.reduction == CONVT_REDUCE_MEAN;
    const double clipped = 5e-8 * (mean ? 1 : (double)(elements_of(b) / axis_of(b)));
    const convt_loss_value single = compute(b, CONVT_FLOAT32);
    assert_close(single.loss, expected.loss, 3e-6, clipped);
    assert_close(single.mse, expected.mse, 3e-6, 0);
}

static void values_are_those_of_the_formulas(void **state)
{
    (void)state;
    for_each_batch((struct batch){.n = 1, .h = 1, .w = 1, .c = 1}, check_value);
    for_each_batch((struct batch){.n = 2, .h = 3, .w = 5, .c = 1}, check_value);
    for_each_batch((struct batch){.n = 5, .h = 2, .w = 3, .c = 11}, check_value);
    for (int r = 0; r < ROWS; r++) { /* several blocks, and rows longer than what is read at once */
        check_value(
            &(struct batch){.loss = config_of(&rows[r]), .n = 3, .h = 40, .w = 60, .c = 11});
        check_value(&(struct batch){.loss = config_of(&rows[r]), .n = 3, .h = 4, .w = 3, .c = 601});
    }
}

static void check_slopes(const struct batch *b)
{
    const double step = 1e-6;
    const int64_t count = elements_of(b);
    double most = 0, moved[512];
    assert_in_range(count, 1, 512);
    draw(11, b);
    compute(b, CONVT_FLOAT64);
    compute(b, CONVT_FLOAT32);
    memcpy(moved, p64, (size_t)count * sizeof *moved);
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(d64[i]));
    for (int64_t i = 0; i < count; i++) {
        moved[i] = p64[i] + step;
        const double up = plain_loss(b, moved).loss;
        moved[i] = p64[i] - step;
        const double down = plain_loss(b, moved).loss;
        moved[i] = p64[i];
        assert_close(d64[i], (up - down) / (2 * step), 1e-6, 1e-6 * most + 1e-9);
        assert_close((double)d32[i], d64[i], 1e-4, 2e-6 * most + 1e-9);
    }
}

static void slopes_are_those_of_central_differences(void **state)
{
    (void)state;
    for_each_batch((struct batch){.n = 2, .h = 2, .w = 3, .c = 5}, check_slopes);
    for_each_batch((struct batch){.n = 2, .h = 2, .w = 3, .c = 1}, check_slopes);
}

/* ---- chunks and threads ---------------------------------------------------------------------- */

static convt_loss_value part_of(const struct batch *b, int64_t first, int64_t n, double weight_sum)
{
    convt_loss_value value;
    struct batch part = *b;
    part.n = n;
    const int64_t sample = b->h * b->w * b->c, positions = sample / axis_of(b);
    const bool numbers = family_of(b->loss.kind)->numbers;
    convt_const_view t =
        view(&part, CONVT_FLOAT64, NULL, t64 + first * (numbers ? positions : sample));
    if (numbers) t = without_axis(b, t);
    const convt_sample_weight weight = {
        without_axis(b, view(&part, CONVT_FLOAT64, NULL, w64 + first * positions)), weight_sum};
    assert_int_equal(convt_loss(&b->loss, t, view(&part, CONVT_FLOAT64, NULL, p64 + first * sample),
                                &weight, b->n, &value,
                                convt_f64(d64 + first * sample, n, b->h, b->w, b->c), NULL),
                     CONVT_OK);
    return value;
}

static void chunks_add_up_to_the_batch(void **state)
{
    (void)state;
    for (int r = 0; r < ROWS * REDUCTIONS; r++) {
        struct batch b = {.loss = config_of(&rows[r / REDUCTIONS]), .n = 7, .h = 6, .w = 5, .c = 2};
        static double slopes[7 * 6 * 5 * 2];
        b.loss.reduction = (convt_reduction)(r % REDUCTIONS);
        b.weighting = BY_POSITION;
        if (family_of(b.loss.kind)->form == BATCH) continue;
        draw(3, &b);
        double weight_sum = 0;
        for (int64_t i = 0; i < weight_count(&b); i++) weight_sum += w64[i];
        const convt_loss_value whole = compute(&b, CONVT_FLOAT64);
        memcpy(slopes, d64, sizeof slopes);
        const convt_loss_value first = part_of(&b, 0, 3, weight_sum),
                               second = part_of(&b, 3, 4, weight_sum);
        assert_close(first.loss + second.loss, whole.loss, 1e-13, 0);
        assert_close(first.mse + second.mse, whole.mse, 1e-14, 0);
        assert_same_bits(slopes, d64, sizeof slopes);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int r = 0; r < ROWS * 2; r++) {
        struct batch b = {.loss = config_of(&rows[r / 2]), .n = 3, .h = 40, .w = 60, .c = 11};
        static float slopes[MOST];
        convt_loss_value first = {0, 0};
        b.loss.data_format = (convt_data_format)(r % 2);
        b.weighting = BY_SAMPLE;
        draw(13, &b);
        for (int k = 0; k < 4; k++) {
            b.loss.threads = (int[]){1, 2, 3, 7}[k];
            const convt_loss_value value = compute(&b, CONVT_FLOAT32);
            if (k == 0) {
                first = value;
                memcpy(slopes, d32, sizeof slopes);
            }
            assert_same_bits(&value, &first, sizeof value);
            assert_same_bits(d32, slopes, sizeof slopes);
        }
    }
}

/* A weight of 1 is no weight. */
static void weights_of_one_change_no_bit(void **state)
{
    (void)state;
    for (int r = 0; r < ROWS; r++) {
        struct batch b = {.loss = config_of(&rows[r]), .n = 4, .h = 3, .w = 5, .c = 3};
        static double slopes[4 * 3 * 5 * 3];
        draw(17, &b);
        const convt_loss_value none = compute(&b, CONVT_FLOAT64);
        memcpy(slopes, d64, sizeof slopes);
        for (int64_t i = 0; i < MOST; i++) w64[i] = 1;
        for (int k = 1; k < WEIGHTINGS; k++) {
            b.weighting = (enum weighting)k;
            const convt_loss_value ones = compute(&b, CONVT_FLOAT64);
            assert_same_bits(&ones, &none, sizeof ones);
            assert_same_bits(d64, slopes, sizeof slopes);
        }
    }
}

static void weights_that_sum_to_zero_give_no_loss(void **state)
{
    (void)state;
    struct batch b = {.loss = {.reduction = CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT},
                      .n = 2,
                      .h = 3,
                      .w = 3,
                      .c = 2,
                      .weighting = BY_SAMPLE};
    for (int k = 0; k < 3; k++) {
        b.loss.kind =
            (convt_loss_kind[]){CONVT_MEAN_SQUARED_ERROR, CONVT_COSINE_SIMILARITY, CONVT_DICE}[k];
        draw(19, &b);
        w64[0] = w64[1] = 0;
        assert_close(compute(&b, CONVT_FLOAT64).loss, 0, 0, 0);
        for (int64_t i = 0; i < elements_of(&b); i++) assert_close(d64[i], 0, 0, 0);
    }
}

/* ---- single numbers -------------------------------------------------------------------------- */

static convt_loss_value one_element(convt_loss_config loss, double t, double p, double *slope)
{
    convt_loss_value value;
    const double target[1] = {t}, prediction[1] = {p};
    assert_int_equal(convt_loss(&loss, convt_f64(target, 1, 1, 1, 1),
                                convt_f64(prediction, 1, 1, 1, 1), NULL, 1, &value,
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

static void a_negative_rate_has_no_logarithm(void **state)
{
    (void)state;
    double slope;
    const convt_loss_config poisson = {.kind = CONVT_POISSON};
    assert_true(isnan(one_element(poisson, 0.5, -2, &slope).loss));
    assert_true(isfinite(one_element(poisson, 0.5, -1e-8, &slope).loss)); /* + 1e-7 */
}

/* Two classes: t, p and slopes of one position. */
static double one_position(convt_loss_config loss, const double *t, const double p[2],
                           double slopes[2])
{
    convt_loss_value value;
    const int64_t targets = loss.kind == CONVT_SPARSE_CATEGORICAL_CROSSENTROPY ? 1 : 2;
    assert_int_equal(convt_loss(&loss, convt_f64(t, 1, 1, 1, targets), convt_f64(p, 1, 1, 1, 2),
                                NULL, 1, &value, convt_f64(slopes, 1, 1, 1, 2), NULL),
                     CONVT_OK);
    return value.loss;
}

static void classes_are_clipped_as_keras_clips_them(void **state)
{
    (void)state;
    const convt_loss_config loss = {.kind = CONVT_CATEGORICAL_CROSSENTROPY},
                            divergence = {.kind = CONVT_KL_DIVERGENCE};
    double slopes[2];
    assert_close(one_position(loss, (double[]){0, 1}, (double[]){3, 0}, slopes), -log(1e-7), 1e-12,
                 0);
    assert_close(slopes[0], 0, 0, 0);
    assert_close(slopes[1], 0, 0, 0);
    assert_close(one_position(loss, (double[]){0, 1}, (double[]){3, 1}, slopes), log(4), 1e-14, 0);
    assert_close(slopes[0], 0.25, 1e-14, 0);
    assert_close(slopes[1], -0.75, 1e-14, 0);
    assert_close(one_position(divergence, (double[]){0, 0.5}, (double[]){1, 0}, slopes),
                 1e-7 * log(1e-7) + 0.5 * log(0.5 / 1e-7), 1e-12, 0);
    assert_close(slopes[0], -1e-7, 1e-9, 0);
    assert_close(slopes[1], 0, 0, 0);
}

/* What is none of the classes counts 0, fractions are cut off. */
static void class_numbers_are_read_as_keras_casts_them(void **state)
{
    (void)state;
    for (int logits = 0; logits < 2; logits++) {
        const convt_loss_config loss = {.kind = CONVT_SPARSE_CATEGORICAL_CROSSENTROPY,
                                        .from_logits = logits};
        const double none[] = {-1, 2, 1e30}, p[2] = {1, 3};
        const double one = logits ? log1p(exp(-2)) : log(4.0 / 3);
        double slopes[2];
        for (int i = 0; i < 3; i++) {
            assert_close(one_position(loss, &none[i], p, slopes), 0, 0, 0);
            assert_close(slopes[0], 0, 0, 0);
            assert_close(slopes[1], 0, 0, 0);
        }
        assert_close(one_position(loss, (double[]){1}, p, slopes), one, 1e-14, 0);
        assert_close(one_position(loss, (double[]){1.9}, p, slopes), one, 1e-14, 0);
        assert_close(one_position(loss, (double[]){-0.9}, p, slopes), logits ? one + 2 : log(4),
                     1e-14, 0);
    }
}

static void a_row_of_zeros_has_no_direction(void **state)
{
    (void)state;
    const convt_loss_config loss = {.kind = CONVT_COSINE_SIMILARITY};
    double slopes[2];
    assert_close(one_position(loss, (double[]){3, 4}, (double[]){0, 0}, slopes), 0, 0, 0);
    assert_close(slopes[0], -0.6e7, 1e-9, 0); /* norms count as 1e-7 at least */
    assert_close(slopes[1], -0.8e7, 1e-9, 0);
    assert_close(one_position(loss, (double[]){0, 0}, (double[]){3, 4}, slopes), 0, 0, 0);
    assert_close(slopes[0], 0, 0, 0);
}

static void small_and_large_errors_keep_their_digits(void **state)
{
    (void)state;
    const convt_loss_config cosh = {.kind = CONVT_LOG_COSH},
                            logarithmic = {.kind = CONVT_MEAN_SQUARED_LOGARITHMIC_ERROR};
    for (int i = 0; i < 40; i++) {
        const float zero = 0, e = ldexpf(1.3f, i - 32), t = 0.5f, p = t + e;
        const double x = (double)e, y = (double)p - 0.5;
        convt_loss_value value;
        assert_int_equal(convt_loss(&cosh, convt_f32(&zero, 1, 1, 1, 1), convt_f32(&e, 1, 1, 1, 1),
                                    NULL, 1, &value, CONVT_NONE, NULL),
                         CONVT_OK);
        assert_close(value.loss, x < 1e-3 ? x * x / 2 : x + log1p(exp(-2 * x)) - log(2), 4e-7, 0);
        assert_int_equal(convt_loss(&logarithmic, convt_f32(&t, 1, 1, 1, 1),
                                    convt_f32(&p, 1, 1, 1, 1), NULL, 1, &value, CONVT_NONE, NULL),
                         CONVT_OK);
        assert_close(value.loss, pow(log1p(y / 1.5), 2), 1e-6, 0);
    }
}

static void focal_powers_may_be_any(void **state)
{
    (void)state;
    const double gammas[] = {0, 1, 2, 3, 0.5, 2.75, -1};
    for (int i = 0; i < 7; i++)
        for (int logits = 0; logits < 2; logits++) {
            const convt_loss_config loss = {.kind = CONVT_BINARY_FOCAL_CROSSENTROPY,
                                            .gamma = CONVT_SET(gammas[i]),
                                            .from_logits = logits};
            const double t = 0.75, z = 0.3, p = logits ? squash(z) : z;
            const double missed = t * (1 - p) + (1 - t) * p;
            double slope;
            assert_close(one_element(loss, t, z, &slope).loss,
                         pow(missed, gammas[i]) * (-t * log(p) - (1 - t) * log(1 - p)), 1e-14, 0);
            assert_true(isfinite(slope));
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
    double factor = 1;
    for (int k = 0; k < 2 * REDUCTIONS * WEIGHTINGS; k++) {
        static double slopes[5 * 7 * 9 * 11];
        struct batch b = {.loss = {.kind = CONVT_MEAN_SQUARED_ERROR,
                                   .sigmoid_output = k % 2,
                                   .reduction = (convt_reduction)(k / 2 % REDUCTIONS)},
                          .n = 5,
                          .h = 7,
                          .w = 9,
                          .c = 11,
                          .weighting = (enum weighting)(k / 2 / REDUCTIONS)};
        draw(5, &b);
        const convt_loss_value row = compute(&b, CONVT_FLOAT64);
        memcpy(slopes, d64, sizeof slopes);
        b.loss.kind = CONVT_CUSTOM_LOSS;
        b.loss.element = squared;
        b.loss.context = &factor;
        const convt_loss_value custom = compute(&b, CONVT_FLOAT64);
        assert_close(custom.loss, row.loss, 1e-15, 0);
        assert_close(custom.mse, row.mse, 0, 0);
        for (int64_t i = 0; i < elements_of(&b); i++) assert_close(d64[i], slopes[i], 1e-14, 1e-20);
    }
}

static void no_samples_are_no_loss(void **state)
{
    (void)state;
    const convt_loss_config loss = {0};
    convt_loss_value value = {1, 1};
    assert_int_equal(convt_loss(&loss, convt_read(convt_f32((float *)NULL, 0, 4, 4, 1)),
                                convt_read(convt_f32((float *)NULL, 0, 4, 4, 1)), NULL, 8, &value,
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
    assert_int_equal(convt_loss(&loss, t, p, NULL, batch, &value, dy, &err), status);
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
    const convt_const_view wide = convt_read(convt_f64(t64, 2, 3, 2, 2));
    const convt_loss_config mse = {0};
    const convt_status argument = CONVT_INVALID_ARGUMENT, shape = CONVT_INVALID_SHAPE;
    refuse((convt_loss_config){.kind = (convt_loss_kind)77}, a, a, 2, CONVT_NONE, argument,
           "loss.kind");
    refuse((convt_loss_config){.kind = CONVT_CUSTOM_LOSS}, a, a, 2, CONVT_NONE, argument,
           "loss.element");
    refuse((convt_loss_config){.from_logits = true}, a, a, 2, CONVT_NONE, argument,
           "loss.from_logits");
    refuse((convt_loss_config){.kind = CONVT_HUBER, .from_logits = true}, a, a, 2, CONVT_NONE,
           argument, "loss.from_logits");
    refuse((convt_loss_config){.reduction = (convt_reduction)3}, a, a, 2, CONVT_NONE, argument,
           "loss.reduction");
    refuse((convt_loss_config){.data_format = (convt_data_format)2}, a, a, 2, CONVT_NONE, argument,
           "loss.data_format");
    refuse((convt_loss_config){.delta = CONVT_SET(1)}, a, a, 2, CONVT_NONE, argument, "loss.delta");
    refuse((convt_loss_config){.kind = CONVT_HUBER, .delta = CONVT_SET(NAN)}, a, a, 2, CONVT_NONE,
           argument, "loss.delta");
    refuse((convt_loss_config){.kind = CONVT_BINARY_CROSSENTROPY, .label_smoothing = CONVT_SET(2)},
           a, a, 2, CONVT_NONE, argument, "loss.label_smoothing");
    refuse((convt_loss_config){.kind = CONVT_BINARY_FOCAL_CROSSENTROPY,
                               .apply_class_balancing = CONVT_SET(0.5)},
           a, a, 2, CONVT_NONE, argument, "loss.apply_class_balancing");
    refuse((convt_loss_config){.kind = CONVT_DICE}, a, a, 3, CONVT_NONE, argument, "batch");
    refuse((convt_loss_config){.kind = CONVT_SPARSE_CATEGORICAL_CROSSENTROPY}, wide, wide, 2,
           CONVT_NONE, shape, "target");
    refuse((convt_loss_config){.threads = -1}, a, a, 2, CONVT_NONE, argument, "loss.threads");
    refuse(mse, other, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, single, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, none, a, 2, CONVT_NONE, shape, "target");
    refuse(mse, a, none, 2, CONVT_NONE, shape, "prediction");
    refuse(mse, a, a, 2, convt_f64(d64, 2, 4, 3, 1), shape, "dy");
    refuse(mse, a, a, 1, CONVT_NONE, argument, "batch");
    convt_const_view odd = a, unknown = a, negative = a;
    odd.data = (const char *)a.data + 1;
    unknown.dtype = (convt_dtype)7;
    negative.h = -3;
    refuse(mse, odd, a, 2, CONVT_NONE, argument, "target");
    refuse(mse, a, unknown, 2, CONVT_NONE, shape, "prediction");
    refuse(mse, a, negative, 2, CONVT_NONE, shape, "prediction");
}

static void refuse_weight(convt_data_format format, convt_const_view weight)
{
    const convt_const_view a = convt_read(convt_f64(t64, 2, 3, 4, 5));
    const convt_loss_config loss = {.data_format = format};
    const convt_sample_weight weights = {.values = weight};
    convt_error err = {0};
    convt_loss_value value;
    assert_refused(convt_loss(&loss, a, a, &weights, 2, &value, CONVT_NONE, &err), &err,
                   CONVT_INVALID_SHAPE, "sample_weight", "");
}

static void weights_of_another_shape_are_refused(void **state)
{
    (void)state;
    refuse_weight(CONVT_CHANNELS_LAST, convt_read(convt_f64(w64, 2, 3, 1, 5)));
    refuse_weight(CONVT_CHANNELS_FIRST, convt_read(convt_f64(w64, 2, 3, 4, 1)));
    refuse_weight(CONVT_CHANNELS_LAST, convt_read(convt_f64(w64, 1, 1, 1, 1)));
    refuse_weight(CONVT_CHANNELS_LAST, convt_read(convt_f64(w64, 2, 3, 4, 5)));
    refuse_weight(CONVT_CHANNELS_LAST, convt_read(convt_f32(w32, 2, 1, 1, 1)));
    refuse_weight(CONVT_CHANNELS_LAST, convt_read(convt_f64((double *)NULL, 2, 1, 1, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formulas),
        cmocka_unit_test(slopes_are_those_of_central_differences),
        cmocka_unit_test(chunks_add_up_to_the_batch),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(weights_of_one_change_no_bit),
        cmocka_unit_test(weights_that_sum_to_zero_give_no_loss),
        cmocka_unit_test(probabilities_are_clipped_as_keras_clips_them),
        cmocka_unit_test(large_logits_stay_finite),
        cmocka_unit_test(what_is_no_number_stays_none),
        cmocka_unit_test(a_negative_rate_has_no_logarithm),
        cmocka_unit_test(classes_are_clipped_as_keras_clips_them),
        cmocka_unit_test(class_numbers_are_read_as_keras_casts_them),
        cmocka_unit_test(a_row_of_zeros_has_no_direction),
        cmocka_unit_test(small_and_large_errors_keep_their_digits),
        cmocka_unit_test(focal_powers_may_be_any),
        cmocka_unit_test(a_custom_loss_is_one_more_row),
        cmocka_unit_test(no_samples_are_no_loss),
        cmocka_unit_test(refusals_name_the_argument),
        cmocka_unit_test(weights_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
