/* The training loop: against the loop by hand, interrupted and resumed, on any number of threads,
 * and what it refuses. */
#include "support/close.h"
#include "support/failalloc.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COUNT = 23,
    CODE = 4,
    SIDE = 6,
    PIXELS = SIDE * SIDE * 2,
    LAYERS = 2,
    ROWS = 4,
    BATCH = 8,
    MOST_STATE = 32,
    SEEN = 64 * COUNT
};

/* ---- one run: a small decoder with regularizers and a constraint, on random data ------------- */

struct run {
    convt_config layers[LAYERS];
    convt_sgd_config rule;
    convt_trainer_config cfg;
    convt_arrays arrays;
    convt_view x, y;
    bool codes;
    convt_error err;
    convt_trainer *trainer;

    /* what gather and the callbacks saw */
    int64_t order[SEEN];
    int64_t gathered, fails_at;
    convt_progress batches[256], epochs[64];
    int batch_calls, epoch_calls, stop_at_batch, stop_at_epoch;
};

static convt_status gather(void *context, const int64_t *index, int64_t n, convt_view x,
                           convt_view y)
{
    struct run *run = context;
    for (int64_t k = 0; k < n; k++) run->order[run->gathered++ % SEEN] = index[k];
    assert_true(!x.data == run->codes);
    if (run->fails_at && run->gathered >= run->fails_at) return CONVT_FILE_FAILED;
    return convt_arrays_gather(&run->arrays, index, n, x, y);
}

static bool on_batch(void *context, const convt_progress *progress)
{
    struct run *run = context;
    run->batches[run->batch_calls++ % 256] = *progress;
    return run->batch_calls != run->stop_at_batch;
}

static bool on_epoch(void *context, const convt_progress *progress)
{
    struct run *run = context;
    run->epochs[run->epoch_calls++ % 64] = *progress;
    return run->epoch_calls != run->stop_at_epoch;
}

/* Everything but the objects; a test changes what it wants before `create`. */
static struct run *prepare(convt_dtype dtype, bool codes)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    const convt_config layers[LAYERS] = {
        {.input = {1, 1, CODE},
         .max_batch = BATCH,
         .filters = 5,
         .kernel_size = {3, 3},
         .dtype = dtype,
         .seed = 3,
         .activation = {.kind = CONVT_ELU},
         .kernel_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.01)},
         .activity_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.02)}},
        {.filters = 2,
         .kernel_size = {3, 3},
         .strides = {2, 2},
         .padding = CONVT_SAME,
         .dtype = dtype,
         .kernel_constraint = {.kind = CONVT_MAX_NORM, .max_value = CONVT_SET(1)}},
    };
    memcpy(run->layers, layers, sizeof layers);
    run->codes = codes;
    run->x = values_new(dtype, COUNT, 1, 1, CODE);
    run->y = values_new(dtype, COUNT, SIDE, SIDE, 2);
    values_random(run->x, 1, -1, 1);
    values_random(run->y, 2, 0, 1);
    run->arrays = (convt_arrays){convt_read(run->x), convt_read(run->y)};
    run->rule =
        (convt_sgd_config){.learning_rate = CONVT_SET(0.1),
                           .momentum = 0.9,
                           .schedule = {.kind = CONVT_COSINE_DECAY, .decay_steps = CONVT_SET(40)}};
    run->cfg = (convt_trainer_config){
        .data = {.count = COUNT, .gather = gather, .context = run},
        .loss = {.kind = CONVT_BINARY_CROSSENTROPY, .sigmoid_output = true},
        .epochs = 3,
        .batch_size = BATCH,
        .seed = 17,
        .on_batch = on_batch,
        .on_epoch = on_epoch,
        .context = run,
    };
    if (codes) run->cfg.codes = (convt_codes){run->x, .learning_rate = 0.5, .fix_first = true};
    return run;
}

static void create(struct run *run)
{
    convt_parameter rows[ROWS];
    convt_status status = convt_model_create(&run->cfg.model, run->layers, LAYERS, &run->err);
    if (!status)
        status = convt_sgd_create(&run->cfg.sgd, &run->rule, rows,
                                  convt_model_parameters(run->cfg.model, rows), &run->err);
    if (!status) status = convt_trainer_create(&run->trainer, &run->cfg, &run->err);
    if (status) fail_msg("%s: %s", run->err.field, run->err.message);
}

static struct run *start(convt_dtype dtype, bool codes)
{
    struct run *run = prepare(dtype, codes);
    create(run);
    return run;
}

static void finish(struct run *run)
{
    convt_trainer_destroy(run->trainer);
    convt_sgd_destroy(run->cfg.sgd);
    convt_model_destroy(run->cfg.model);
    values_free(run->x);
    values_free(run->y);
    free(run);
}

static void assert_same_progress(const convt_progress *a, const convt_progress *b, int count)
{
    for (int i = 0; i < count; i++) {
        assert_same_bits(&a[i], &b[i], offsetof(convt_progress, whole));
        assert_true(a[i].whole && b[i].whole);
    }
}

static void fit(struct run *run, convt_status expected)
{
    const convt_status status = convt_fit(run->trainer);
    if (status != expected)
        fail_msg("status %d, not %d: %s: %s", (int)status, (int)expected,
                 convt_trainer_error(run->trainer)->field,
                 convt_trainer_error(run->trainer)->message);
    assert_int_equal(convt_trainer_error(run->trainer)->status, expected);
}

static size_t bytes_of(convt_view v)
{
    return (size_t)values_count(convt_read(v)) *
           (v.dtype == CONVT_FLOAT32 ? sizeof(float) : sizeof(double));
}

static int state_of(struct run *run, convt_state rows[MOST_STATE])
{
    const int count = convt_trainer_state(run->trainer, rows, MOST_STATE);
    assert_in_range(count, 1, MOST_STATE);
    return count;
}

/* Parameters, velocities, counters and codes, bit for bit. */
static void assert_same_state(struct run *a, struct run *b)
{
    convt_state rows_a[MOST_STATE], rows_b[MOST_STATE];
    const int count = state_of(a, rows_a);
    assert_int_equal(state_of(b, rows_b), count);
    for (int i = 0; i < count; i++) {
        assert_string_equal(rows_a[i].name, rows_b[i].name);
        assert_int_equal(bytes_of(rows_a[i].values), bytes_of(rows_b[i].values));
        assert_same_bits(rows_a[i].values.data, rows_b[i].values.data, bytes_of(rows_a[i].values));
    }
}

static void copy_state(struct run *from, struct run *to)
{
    convt_state source[MOST_STATE], target[MOST_STATE];
    const int count = state_of(from, source);
    assert_int_equal(state_of(to, target), count);
    for (int i = 0; i < count; i++)
        memcpy(target[i].values.data, source[i].values.data, bytes_of(source[i].values));
    convt_trainer_restored(to->trainer);
}

/* ---- the loop by hand ------------------------------------------------------------------------ */

enum { MOST_PARAMETERS = 3 * 3 * 5 * CODE + 5 + 3 * 3 * 2 * 5 + 2 };

/* Gradients and loss of one sample as its share of a batch. */
struct leaf {
    double gradient[MOST_PARAMETERS];
    convt_loss_value value;
};

static void read_gradients(convt_model *model, double *out)
{
    convt_parameter rows[ROWS];
    const int count = convt_model_parameters(model, rows);
    for (int r = 0; r < count; r++)
        for (int64_t i = 0; i < values_count(convt_read(rows[r].gradient)); i++)
            *out++ = values_get(convt_read(rows[r].gradient), i);
}

static void write_gradients(convt_model *model, const double *in)
{
    convt_parameter rows[ROWS];
    const int count = convt_model_parameters(model, rows);
    for (int r = 0; r < count; r++)
        for (int64_t i = 0; i < values_count(convt_read(rows[r].gradient)); i++)
            values_set(rows[r].gradient, i, *in++);
}

static void run_leaf(struct run *run, convt_model *model, int64_t sample, int64_t batch,
                     struct leaf *leaf)
{
    const double *x = (const double *)run->x.data + sample * CODE,
                 *y = (const double *)run->y.data + sample * PIXELS;
    double dy[PIXELS];
    const convt_view slopes = convt_f64(dy, 1, SIDE, SIDE, 2);
    assert_int_equal(convt_model_forward(model, convt_f64(x, 1, 1, 1, CODE)), CONVT_OK);
    assert_int_equal(convt_loss(&run->cfg.loss, convt_f64(y, 1, SIDE, SIDE, 2),
                                convt_model_output(model), NULL, batch, &leaf->value, slopes, NULL),
                     CONVT_OK);
    leaf->value.loss += convt_model_activity_loss(model, (double)batch);
    assert_int_equal(convt_model_backward_data(model, convt_f64(x, 1, 1, 1, CODE),
                                               convt_read(slopes), CONVT_NONE, (double)batch),
                     CONVT_OK);
    read_gradients(model, leaf->gradient);
}

/* The sum over leaves first .. last in a binary tree whose left part is as full as can be. */
static struct leaf add_leaves(const struct leaf *leaves, int64_t count)
{
    if (count == 1) return leaves[0];
    int64_t left = 1;
    while (2 * left < count) left *= 2;
    struct leaf a = add_leaves(leaves, left), b = add_leaves(leaves + left, count - left);
    for (int i = 0; i < MOST_PARAMETERS; i++) a.gradient[i] += b.gradient[i];
    a.value.loss += b.value.loss;
    a.value.mse += b.value.mse;
    return a;
}

static void fit_is_the_loop_by_hand(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT64, false), *hand = prepare(CONVT_FLOAT64, false);
    run->cfg.no_shuffle = true;
    create(run);
    create(hand);
    fit(run, CONVT_OK);
    convt_model *model = hand->cfg.model;
    for (int64_t epoch = 0; epoch < run->cfg.epochs; epoch++) {
        double loss = 0, mse = 0;
        for (int64_t first = 0; first < COUNT; first += BATCH) {
            const int64_t n = COUNT - first < BATCH ? COUNT - first : BATCH;
            static struct leaf leaves[BATCH];
            const double weights = convt_model_weight_loss(model);
            assert_int_equal(
                convt_leaf_size(CONVT_DEFAULT_LOSS, BATCH, MOST_PARAMETERS * sizeof(double)), 1);
            for (int64_t k = 0; k < n; k++) run_leaf(hand, model, first + k, n, &leaves[k]);
            const struct leaf sum = add_leaves(leaves, n);
            write_gradients(model, sum.gradient);
            assert_int_equal(convt_model_backward_weights(model), CONVT_OK);
            convt_sgd_step(hand->cfg.sgd);
            loss += (sum.value.loss + weights) * (double)n;
            mse += sum.value.mse * (double)n;
        }
        assert_close(run->epochs[epoch].loss, loss / COUNT, 1e-14, 0);
        assert_close(run->epochs[epoch].mse, mse / COUNT, 1e-14, 0);
    }
    convt_parameter a[ROWS], b[ROWS];
    assert_int_equal(convt_model_parameters(run->cfg.model, a), ROWS);
    assert_int_equal(convt_model_parameters(model, b), ROWS);
    for (int r = 0; r < ROWS; r++)
        assert_same_bits(a[r].value.data, b[r].value.data, bytes_of(a[r].value));
    finish(hand);
    finish(run);
}

/* The same run with whole batches through the whole model; means of loss and mse by epoch. */
static void fit_by_whole_batches(struct run *hand, convt_loss_value means[])
{
    const convt_loss_config *loss = &hand->cfg.loss;
    const convt_const_view x = hand->arrays.x, y = hand->arrays.y;
    const double *weight = hand->cfg.data.sample_weight;
    double dy[BATCH * PIXELS];
    for (int64_t step = 0; step < 9; step++) {
        const int64_t first = step % 3 * BATCH, n = COUNT - first < BATCH ? COUNT - first : BATCH;
        convt_const_view batch_x = x, batch_y = y;
        batch_x.n = batch_y.n = n;
        batch_x.data = (const double *)x.data + first * CODE;
        batch_y.data = (const double *)y.data + first * y.h * y.w * y.c;
        const convt_sample_weight weights = {
            .values = convt_f64(weight ? weight + first : NULL, n, 1, 1, 1)};
        const convt_view slopes = convt_f64(dy, n, SIDE, SIDE, 2);
        convt_model *model = hand->cfg.model;
        convt_loss_value value, *mean = &means[step / 3];
        assert_int_equal(convt_model_forward(model, batch_x), CONVT_OK);
        assert_int_equal(convt_loss(loss, batch_y, convt_model_output(model),
                                    weight ? &weights : NULL, n, &value, slopes, NULL),
                         CONVT_OK);
        value.loss += convt_model_activity_loss(model, (double)n) + convt_model_weight_loss(model);
        assert_int_equal(convt_model_backward(model, batch_x, convt_read(slopes), CONVT_NONE),
                         CONVT_OK);
        convt_sgd_step(hand->cfg.sgd);
        if (first == 0) *mean = (convt_loss_value){0, 0};
        mean->loss += value.loss * (double)n / COUNT;
        mean->mse += value.mse * (double)n / COUNT;
    }
}

/* Leaves are a matter of rounding: the same as whole batches, whatever the loss adds up. */
static void leaves_add_up_to_whole_batches(void **state)
{
    (void)state;
    const struct {
        convt_loss_config loss;
        bool weights, channels_first;
    } cases[] = {
        {{.kind = CONVT_BINARY_CROSSENTROPY, .sigmoid_output = true}, false, false},
        {{.kind = CONVT_BINARY_CROSSENTROPY, .sigmoid_output = true}, true, false},
        {{.kind = CONVT_HUBER, .delta = CONVT_SET(0.3), .reduction = CONVT_REDUCE_SUM}, true, true},
        {{.kind = CONVT_LOG_COSH, .reduction = CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT}, true, false},
        {{.kind = CONVT_COSINE_SIMILARITY,
          .reduction = CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT,
          .sigmoid_output = true},
         true,
         true},
        {{.kind = CONVT_KL_DIVERGENCE, .sigmoid_output = true}, false, true},
        {{.kind = CONVT_DICE, .sigmoid_output = true}, false, false},
        {{.kind = CONVT_TVERSKY, .sigmoid_output = true, .alpha = CONVT_SET(0.7)}, true, false},
        {{.kind = CONVT_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true}, true, false},
        {{.kind = CONVT_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true}, false, true},
    };
    double weight[COUNT];
    for (int i = 0; i < COUNT; i++) weight[i] = 0.25 * (1 + i * 7 % 5);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct run *runs[2];
        const bool first = cases[c].channels_first;
        for (int k = 0; k < 2; k++) {
            struct run *run = runs[k] = prepare(CONVT_FLOAT64, false);
            run->cfg.loss = cases[c].loss;
            run->cfg.data.sample_weight = cases[c].weights ? weight : NULL;
            run->cfg.no_shuffle = true;
            run->rule.learning_rate = CONVT_SET(0.01);
            for (int i = 0; i < LAYERS; i++)
                run->layers[i].data_format = first ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
            if (cases[c].loss.kind == CONVT_SPARSE_CATEGORICAL_CROSSENTROPY) {
                *(first ? &run->arrays.y.w : &run->arrays.y.c) = 1;
                for (int64_t i = 0; i < values_count(run->arrays.y); i++)
                    values_set(run->y, i, (double)(i * 5 % 7 % 2));
            }
            create(run);
        }
        convt_loss_value means[3];
        struct run *run = runs[0], *hand = runs[1];
        fit(run, CONVT_OK);
        if (first) hand->cfg.loss.data_format = CONVT_CHANNELS_FIRST; /* which the trainer knows */
        fit_by_whole_batches(hand, means);
        for (int epoch = 0; epoch < 3; epoch++) {
            assert_close(run->epochs[epoch].loss, means[epoch].loss, 1e-11, 0);
            assert_close(run->epochs[epoch].mse, means[epoch].mse, 1e-11, 0);
        }
        convt_parameter a[ROWS], b[ROWS];
        convt_model_parameters(run->cfg.model, a);
        convt_model_parameters(hand->cfg.model, b);
        for (int r = 0; r < ROWS; r++) {
            double *expected = values_doubles(convt_read(b[r].value));
            assert_all_close(convt_read(a[r].value), expected, 1e-11, 1e-13);
            free(expected);
        }
        finish(hand);
        finish(run);
    }
}

static void leaf_size_depends_on_batch_and_bytes(void **state)
{
    (void)state;
    assert_int_equal(convt_leaf_size(CONVT_DEFAULT_LOSS, 128, 600 << 10), 8);
    assert_int_equal(convt_leaf_size(CONVT_DEFAULT_LOSS, 100, 0), 7);
    assert_int_equal(convt_leaf_size(CONVT_DICE, 100, 0), 100);
    assert_int_equal(convt_leaf_size(CONVT_DEFAULT_LOSS, 1, 0), 1);
    assert_int_equal(convt_leaf_size(CONVT_DEFAULT_LOSS, 128, (size_t)1 << 30), 128);
    assert_int_equal(convt_leaf_size(CONVT_DEFAULT_LOSS, 128, (size_t)4 << 20), 32);
    for (int64_t batch = 1; batch < 200; batch++)
        assert_in_range((batch - 1) / convt_leaf_size(CONVT_DEFAULT_LOSS, batch, 1000) + 1, 1, 16);
}

/* A single leaf is not copied anywhere; its model sees the whole batch at once. */
static void one_leaf_is_a_plain_step(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT64, false), *hand = prepare(CONVT_FLOAT64, false);
    run->cfg.no_shuffle = true;
    run->cfg.batch_size = 1;
    run->cfg.epochs = 1;
    create(run);
    create(hand);
    fit(run, CONVT_OK);
    static struct leaf leaf;
    for (int64_t k = 0; k < COUNT; k++) {
        run_leaf(hand, hand->cfg.model, k, 1, &leaf);
        assert_int_equal(convt_model_backward_weights(hand->cfg.model), CONVT_OK);
        convt_sgd_step(hand->cfg.sgd);
    }
    convt_parameter a[ROWS], b[ROWS];
    convt_model_parameters(run->cfg.model, a);
    convt_model_parameters(hand->cfg.model, b);
    for (int r = 0; r < ROWS; r++)
        assert_same_bits(a[r].value.data, b[r].value.data, bytes_of(a[r].value));
    finish(hand);
    finish(run);
}

/* ---- order, batches, progress ---------------------------------------------------------------- */

static void assert_permutation(const int64_t *order, int64_t count)
{
    bool seen[COUNT] = {false};
    for (int64_t k = 0; k < count; k++) {
        assert_in_range(order[k], 0, count - 1);
        assert_false(seen[order[k]]);
        seen[order[k]] = true;
    }
}

static void epochs_are_seeded_permutations(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false), *again = start(CONVT_FLOAT32, false);
    struct run *other = prepare(CONVT_FLOAT32, false), *plain = prepare(CONVT_FLOAT32, false);
    other->cfg.seed++;
    plain->cfg.no_shuffle = true;
    create(other);
    create(plain);
    fit(run, CONVT_OK);
    fit(again, CONVT_OK);
    fit(other, CONVT_OK);
    fit(plain, CONVT_OK);
    const size_t epoch = COUNT * sizeof(int64_t);
    assert_int_equal(run->gathered, 3 * COUNT);
    for (int64_t e = 0; e < 3; e++) {
        assert_permutation(run->order + e * COUNT, COUNT);
        assert_memory_not_equal(run->order + e * COUNT, plain->order + e * COUNT, epoch);
    }
    assert_memory_not_equal(run->order, run->order + COUNT, epoch);
    assert_same_bits(run->order, again->order, 3 * epoch);
    assert_memory_not_equal(run->order, other->order, epoch);
    for (int64_t k = 0; k < plain->gathered; k++) assert_int_equal(plain->order[k], k % COUNT);
    finish(run);
    finish(again);
    finish(other);
    finish(plain);
}

/* A shuffle without bias leaves one sample in its place, on average. */
static void every_order_is_as_likely(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, false);
    run->cfg.epochs = SEEN / COUNT;
    run->cfg.leaves = 1;
    create(run);
    fit(run, CONVT_OK);
    int in_place = 0, first_in_front = 0;
    for (int64_t k = 0; k < SEEN; k++) {
        in_place += run->order[k] == k % COUNT;
        first_in_front += run->order[k] == 0 && k % COUNT < COUNT / 2;
    }
    assert_in_range(in_place, 64 - 32, 64 + 32);       /* deviation 8 */
    assert_in_range(first_in_front, 31 - 16, 31 + 16); /* deviation 4 */
    finish(run);
}

/* A batch of 8 in 3 leaves takes, of every 8 samples in the order of the data, 3, 3 and 2. */
static void a_batch_takes_from_every_stratum(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, false);
    run->cfg.leaves = 3;
    create(run);
    fit(run, CONVT_OK);
    int moved = 0;
    for (int64_t k = 0; k < 3 * COUNT; k++) {
        const int64_t place = k % COUNT, sample = run->order[k];
        assert_int_equal(sample % BATCH / 3, place % BATCH / 3);
        moved += sample != place;
    }
    assert_in_range(moved, 3 * COUNT / 2, 3 * COUNT);
    for (int e = 0; e < 3; e++) assert_permutation(run->order + (int64_t)e * COUNT, COUNT);
    assert_int_equal(convt_trainer_leaves(run->trainer), 3);
    finish(run);
}

static void progress_counts_from_one(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false);
    fit(run, CONVT_OK);
    assert_int_equal(run->batch_calls, 9);
    assert_int_equal(run->epoch_calls, 3);
    for (int k = 0; k < 9; k++) {
        const convt_progress *p = &run->batches[k];
        assert_int_equal(p->epoch, k / 3 + 1);
        assert_int_equal(p->epochs, 3);
        assert_int_equal(p->batch, k % 3 + 1);
        assert_int_equal(p->batches, 3);
        assert_int_equal(p->samples, k % 3 == 2 ? COUNT : (k % 3 + 1) * BATCH);
        assert_close(p->learning_rate, convt_schedule_rate(&run->rule, k), 0, 0);
        assert_true(isnan(p->val_loss) && isnan(p->val_mse));
        assert_true(isfinite(p->loss) && isfinite(p->mse));
    }
    for (int64_t e = 0; e < 3; e++) {
        assert_close(run->epochs[e].loss, run->batches[3 * e + 2].loss, 0, 0);
        assert_int_equal(run->epochs[e].epoch, e + 1);
        assert_int_equal(run->epochs[e].samples, COUNT);
    }
    fit(run, CONVT_OK); /* nothing left to do */
    assert_int_equal(run->epoch_calls, 3);
    finish(run);
}

/* ---- validation ------------------------------------------------------------------------------ */

static void held_out_samples_are_the_last_and_never_trained_on(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT64, false), *first = prepare(CONVT_FLOAT64, false);
    run->cfg.validation_split = 0.25; /* of 23: floor(17.25) stay */
    first->cfg.data.count = 17;
    create(run);
    create(first);
    fit(run, CONVT_OK);
    fit(first, CONVT_OK);
    for (int64_t e = 0; e < 3; e++) {
        assert_permutation(run->order + e * COUNT, 17);
        for (int k = 17; k < COUNT; k++) assert_int_equal(run->order[e * COUNT + k], k);
        assert_close(run->epochs[e].loss, first->epochs[e].loss, 0, 0);
        assert_int_equal(run->epochs[e].samples, 17);
    }
    assert_same_state(run, first);
    convt_loss_value value;
    assert_int_equal(convt_evaluate(run->trainer, 17, COUNT - 17, &value), CONVT_OK);
    assert_close(run->epochs[2].val_loss, value.loss, 0, 0);
    assert_close(run->epochs[2].val_mse, value.mse, 0, 0);
    assert_true(value.loss > 0 && value.mse > 0);
    finish(run);
    finish(first);
}

static void evaluation_is_the_mean_of_losses_and_changes_nothing(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT64, false), *same = start(CONVT_FLOAT64, false);
    convt_model *model = same->cfg.model;
    convt_loss_value value, part;
    double loss = 0, mse = 0;
    for (int64_t first = 3; first < COUNT; first += BATCH) {
        const int64_t n = COUNT - first < BATCH ? COUNT - first : BATCH;
        const double *x = (const double *)same->x.data + first * CODE,
                     *y = (const double *)same->y.data + first * PIXELS;
        assert_int_equal(convt_model_forward(model, convt_f64(x, n, 1, 1, CODE)), CONVT_OK);
        assert_int_equal(convt_loss(&same->cfg.loss, convt_f64(y, n, SIDE, SIDE, 2),
                                    convt_model_output(model), NULL, n, &part, CONVT_NONE, NULL),
                         CONVT_OK);
        loss += (double)n * (part.loss + convt_model_activity_loss(model, (double)n) +
                             convt_model_weight_loss(model));
        mse += (double)n * part.mse;
    }
    assert_int_equal(convt_evaluate(run->trainer, 3, COUNT - 3, &value), CONVT_OK);
    assert_close(value.loss, loss / (COUNT - 3), 1e-13, 0);
    assert_close(value.mse, mse / (COUNT - 3), 1e-13, 0);
    assert_same_state(run, same);
    assert_int_equal(convt_evaluate(run->trainer, 0, COUNT + 1, &value), CONVT_INVALID_ARGUMENT);
    assert_int_equal(convt_evaluate(run->trainer, -1, 2, &value), CONVT_INVALID_ARGUMENT);
    assert_int_equal(convt_evaluate(run->trainer, 2, 0, &value), CONVT_OK);
    finish(run);
    finish(same);
}

/* ---- stopping and going on ------------------------------------------------------------------- */

static void a_stopped_run_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    for (int stop = 1; stop <= 9; stop++) {
        struct run *run = start(CONVT_FLOAT32, true), *whole = start(CONVT_FLOAT32, true);
        run->stop_at_batch = stop;
        fit(run, CONVT_STOPPED);
        assert_int_equal(run->batch_calls, stop);
        assert_int_equal(run->epoch_calls, (stop - 1) / 3);
        fit(run, CONVT_OK);
        fit(whole, CONVT_OK);
        assert_int_equal(run->batch_calls, 9);
        assert_same_progress(run->epochs, whole->epochs, 3);
        assert_same_state(run, whole);
        finish(run);
        finish(whole);
    }
}

static void an_epoch_callback_stops_after_its_epoch(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false), *whole = start(CONVT_FLOAT32, false);
    run->stop_at_epoch = 2;
    fit(run, CONVT_STOPPED);
    assert_int_equal(run->batch_calls, 6);
    fit(run, CONVT_OK);
    fit(whole, CONVT_OK);
    assert_same_state(run, whole);
    finish(run);
    finish(whole);
}

static void a_run_resumes_from_its_state(void **state)
{
    (void)state;
    for (int stop = 1; stop <= 7; stop += 2) {
        struct run *run = start(CONVT_FLOAT32, true), *resumed = prepare(CONVT_FLOAT32, true);
        struct run *whole = start(CONVT_FLOAT32, true);
        resumed->layers[0].seed = 99; /* all that matters comes from the state */
        values_random(resumed->x, 99, -1, 1);
        create(resumed);
        run->stop_at_batch = stop;
        fit(run, CONVT_STOPPED);
        convt_loss_value value; /* packs weights that the state then replaces */
        assert_int_equal(convt_evaluate(resumed->trainer, 0, COUNT, &value), CONVT_OK);
        copy_state(run, resumed);
        fit(resumed, CONVT_OK);
        fit(whole, CONVT_OK);
        assert_same_state(resumed, whole);
        const int epochs = resumed->epoch_calls;
        assert_int_equal(epochs, 3 - (stop - 1) / 3);
        assert_same_progress(resumed->epochs, whole->epochs + 3 - epochs, epochs);
        finish(run);
        finish(resumed);
        finish(whole);
    }
}

/* ---- an optimizer with a state of its own --------------------------------------------------- */

/* Stops in the middle, and behind the last epoch, where weights are not yet their averages. */
static void averages_and_accumulators_resume(void **state)
{
    (void)state;
    const convt_sgd_config rule = {.learning_rate = CONVT_SET(0.1),
                                   .momentum = 0.9,
                                   .global_clipnorm = CONVT_SET(0.5),
                                   .use_ema = true,
                                   .ema_momentum = CONVT_SET(0.8),
                                   .ema_overwrite_frequency = 3,
                                   .gradient_accumulation_steps = 2};
    for (int stop = 1; stop <= 9; stop += 2) {
        struct run *runs[3]; /* one that stops, one that goes on from there, one that does not */
        for (int k = 0; k < 3; k++) {
            runs[k] = prepare(CONVT_FLOAT32, true);
            runs[k]->rule = rule;
            create(runs[k]);
        }
        *(stop < 9 ? &runs[0]->stop_at_batch : &runs[0]->stop_at_epoch) = stop < 9 ? stop : 3;
        fit(runs[0], CONVT_STOPPED);
        copy_state(runs[0], runs[1]);
        fit(runs[1], CONVT_OK);
        fit(runs[2], CONVT_OK);
        assert_same_state(runs[1], runs[2]);
        for (int k = 0; k < 3; k++) finish(runs[k]);
    }
}

static const convt_state *find_state(const convt_state rows[], int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    fail_msg("there is no %s in the state", name);
    return NULL;
}

/* As at the end of Keras' fit; not where a callback ends it. */
static void a_complete_fit_ends_with_the_averages(void **state)
{
    (void)state;
    for (int stop = 0; stop < 2; stop++) {
        convt_state rows[MOST_STATE];
        struct run *run = prepare(CONVT_FLOAT64, false);
        run->rule.use_ema = true;
        run->stop_at_epoch = stop ? 3 : 0;
        create(run);
        fit(run, stop ? CONVT_STOPPED : CONVT_OK);
        const int count = state_of(run, rows);
        for (int i = 0; i < ROWS; i++) { /* parameters come first, in the optimizer's order */
            char name[32];
            snprintf(name, sizeof name, "sgd/average/%d", i);
            const convt_view w = rows[i].values, average = find_state(rows, count, name)->values;
            assert_true((memcmp(w.data, average.data, bytes_of(w)) == 0) == !stop);
        }
        finish(run);
    }
}

/* Keras' fit multiplies the loss by what the optimizer divides by. */
static void loss_scale_does_not_matter_to_a_fit(void **state)
{
    (void)state;
    struct run *plain = start(CONVT_FLOAT32, true), *scaled = prepare(CONVT_FLOAT32, true);
    scaled->rule.loss_scale_factor = CONVT_SET(1000);
    create(scaled);
    fit(plain, CONVT_OK);
    fit(scaled, CONVT_OK);
    assert_same_state(plain, scaled);
    finish(plain);
    finish(scaled);
}

static void the_state_names_everything(void **state)
{
    (void)state;
    static const char *names[] = {"conv2d_transpose/kernel",
                                  "conv2d_transpose/bias",
                                  "conv2d_transpose_1/kernel",
                                  "conv2d_transpose_1/bias",
                                  "sgd/velocity/0",
                                  "sgd/velocity/1",
                                  "sgd/velocity/2",
                                  "sgd/velocity/3",
                                  "sgd/iterations",
                                  "epoch",
                                  "batch",
                                  "loss_sum",
                                  "mse_sum",
                                  "codes"};
    enum { NAMES = sizeof names / sizeof *names };
    struct run *run = start(CONVT_FLOAT32, true);
    convt_state rows[NAMES];
    run->stop_at_batch = 4;
    fit(run, CONVT_STOPPED);
    assert_int_equal(convt_trainer_state(run->trainer, NULL, 0), NAMES);
    rows[3].name[0] = '!';
    assert_int_equal(convt_trainer_state(run->trainer, rows, 3), NAMES);
    assert_int_equal(rows[3].name[0], '!'); /* no more than there is room for */
    assert_int_equal(convt_trainer_state(run->trainer, rows, NAMES), NAMES);
    for (int i = 0; i < NAMES; i++) assert_string_equal(rows[i].name, names[i]);
    assert_close(values_get(convt_read(rows[8].values), 0), 4, 0, 0);
    assert_close(values_get(convt_read(rows[9].values), 0), 1, 0, 0);
    assert_close(values_get(convt_read(rows[10].values), 0), 1, 0, 0);
    /* Damaged counters do no harm. */
    values_set(rows[8].values, 0, -5);
    values_set(rows[9].values, 0, (double)NAN);
    values_set(rows[10].values, 0, 1e300);
    convt_trainer_restored(run->trainer);
    for (int i = 8; i < 11; i++) assert_close(values_get(convt_read(rows[i].values), 0), 0, 0, 0);
    finish(run);
}

static void a_loss_that_is_not_finite_takes_no_step(void **state)
{
    (void)state;
    for (int codes = 0; codes < 2; codes++) {
        struct run *run = prepare(CONVT_FLOAT32, codes), *clean = prepare(CONVT_FLOAT32, codes);
        run->cfg.no_shuffle = clean->cfg.no_shuffle = true;
        clean->stop_at_batch = 1;
        values_set(run->y, (BATCH + 5) * PIXELS + 7,
                   (double)NAN); /* in a late leaf of the second batch */
        create(run);
        create(clean);
        fit(run, CONVT_NOT_FINITE);
        fit(clean, CONVT_STOPPED);
        assert_non_null(strstr(convt_trainer_error(run->trainer)->message, "epoch 1, batch 2"));
        assert_int_equal(run->batch_calls, 1);
        assert_same_state(run, clean);
        fit(run, CONVT_NOT_FINITE); /* still there */
        assert_same_state(run, clean);
        finish(run);
        finish(clean);
    }
}

static void a_failing_source_ends_the_fit(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false);
    run->fails_at = 12;
    fit(run, CONVT_FILE_FAILED);
    assert_string_equal(convt_trainer_error(run->trainer)->field, "data.gather");
    assert_int_equal(run->batch_calls, 1);
    finish(run);
}

/* ---- promises -------------------------------------------------------------------------------- */

static struct run *train_with_threads(convt_dtype dtype, int threads)
{
    struct run *run = prepare(dtype, true);
    run->layers[0].threads = run->rule.threads = run->cfg.loss.threads = threads;
    run->layers[0].filters = 40; /* several pieces, several blocks */
    run->layers[0].kernel_size = (convt_hw){12, 12};
    run->layers[1].filters = 2;
    values_free(run->y);
    run->y = values_new(dtype, COUNT, 24, 24, 2);
    values_random(run->y, 3, 0, 1);
    run->arrays.y = convt_read(run->y);
    run->cfg.epochs = 2;
    run->cfg.validation_split = 0.2;
    run->rule.learning_rate = CONVT_SET(0.01);
    create(run);
    assert_int_equal(convt_codes_start(run->trainer), CONVT_OK);
    fit(run, CONVT_OK);
    return run;
}

static void bits_of_a_run_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++) {
        struct run *one = train_with_threads((convt_dtype)dtype, 1);
        for (int k = 0; k < 3; k++) {
            struct run *many = train_with_threads((convt_dtype)dtype, (int[]){2, 3, 7}[k]);
            assert_same_state(one, many);
            assert_same_progress(one->epochs, many->epochs, 2);
            finish(many);
        }
        finish(one);
    }
}

static void memory_is_one_block_and_none_in_the_fit(void **state)
{
    (void)state;
    for (int64_t k = 0; k < 2; k++) {
        struct run *run = start(CONVT_FLOAT32, true);
        failalloc accounts = {.fail_at = k};
        convt_trainer *trainer;
        run->cfg.allocator = failalloc_allocator(&accounts);
        const convt_status status = convt_trainer_create(&trainer, &run->cfg, &run->err);
        if (k == 1) {
            assert_refused(status, &run->err, CONVT_NO_MEMORY, "batch_size", "bytes");
            assert_null(trainer);
        } else {
            assert_int_equal(status, CONVT_OK);
            assert_int_equal(convt_fit(trainer), CONVT_OK);
            convt_trainer_destroy(trainer);
        }
        assert_int_equal(accounts.calls, 1);
        assert_int_equal(accounts.live, 0);

        finish(run);
    }
    convt_trainer_destroy(NULL);
}

static void the_start_of_codes_gives_its_memory_back(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, true);
    failalloc accounts = {0};
    run->cfg.allocator = failalloc_allocator(&accounts);
    create(run);
    const int64_t trainer = accounts.live;
    assert_int_equal(convt_codes_start(run->trainer), CONVT_OK);
    assert_int_equal(accounts.calls, 2);
    assert_int_equal(accounts.live, trainer);
    accounts.fail_at = 3;
    assert_refused(convt_codes_start(run->trainer), convt_trainer_error(run->trainer),
                   CONVT_NO_MEMORY, "codes.values", "bytes");
    assert_int_equal(accounts.live, trainer);
    finish(run);
}

static void frozen_layers_stay(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, false), *same = prepare(CONVT_FLOAT32, false);
    run->layers[0].frozen = true;
    create(run);
    create(same);
    fit(run, CONVT_OK);
    convt_parameter a[ROWS], b[ROWS];
    convt_model_parameters(run->cfg.model, a);
    convt_model_parameters(same->cfg.model, b);
    assert_same_bits(a[0].value.data, b[0].value.data, bytes_of(a[0].value));
    assert_same_bits(a[1].value.data, b[1].value.data, bytes_of(a[1].value));
    assert_memory_not_equal(a[2].value.data, b[2].value.data, bytes_of(a[2].value));
    finish(run);
    finish(same);
}

/* ---- learned codes --------------------------------------------------------------------------- */

static double sample_loss(struct run *run, const double *code, int64_t sample)
{
    const double *y = (const double *)run->y.data + sample * PIXELS;
    convt_loss_value value;
    assert_int_equal(convt_model_forward(run->cfg.model, convt_f64(code, 1, 1, 1, CODE)), CONVT_OK);
    assert_int_equal(convt_loss(&run->cfg.loss, convt_f64(y, 1, SIDE, SIDE, 2),
                                convt_model_output(run->cfg.model), NULL, 1, &value, CONVT_NONE,
                                NULL),
                     CONVT_OK);
    return value.loss + convt_model_activity_loss(run->cfg.model, 1);
}

static void codes_descend_on_the_loss_of_their_own_sample(void **state)
{
    (void)state;
    for (int fix = 0; fix < 2; fix++) {
        struct run *run = prepare(CONVT_FLOAT64, true), *before = start(CONVT_FLOAT64, true);
        run->cfg.epochs = 1;
        run->cfg.codes.fix_first = fix;
        run->rule = (convt_sgd_config){.learning_rate = CONVT_SET(0)}; /* the weights stay */
        create(run);
        fit(run, CONVT_OK);
        const double step = 1e-6, rate = run->cfg.codes.learning_rate;
        for (int64_t s = 0; s < COUNT; s++)
            for (int d = 0; d < CODE; d++) {
                double code[CODE];
                memcpy(code, (const double *)before->x.data + s * CODE, sizeof code);
                const double old = code[d];
                code[d] = old + step;
                const double up = sample_loss(before, code, s);
                code[d] = old - step;
                const double slope = (up - sample_loss(before, code, s)) / (2 * step);
                const double expected = fix && d == 0 ? old : old - rate * slope;
                assert_close(values_get(convt_read(run->x), s * CODE + d), expected, 1e-8, 1e-8);
            }
        finish(run);
        finish(before);
    }
}

static void held_out_codes_learn_without_the_weights(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT64, true), *first = prepare(CONVT_FLOAT64, true);
    run->cfg.validation_split = 0.25;
    run->cfg.epochs = first->cfg.epochs = 8;
    values_free(first->x);
    first->x = values_new(CONVT_FLOAT64, 17, 1, 1, CODE);
    memcpy(first->x.data, run->x.data, bytes_of(first->x));
    first->cfg.codes.values = first->x;
    first->cfg.data.count = 17;
    double *held_out = values_doubles(convt_read(run->x));
    create(run);
    create(first);
    fit(run, CONVT_OK);
    fit(first, CONVT_OK);
    convt_parameter a[ROWS], b[ROWS];
    convt_model_parameters(run->cfg.model, a);
    convt_model_parameters(first->cfg.model, b);
    for (int r = 0; r < ROWS; r++)
        assert_same_bits(a[r].value.data, b[r].value.data, bytes_of(a[r].value));
    assert_same_bits(run->x.data, first->x.data, bytes_of(first->x));
    const size_t trained = bytes_of(first->x);
    assert_memory_not_equal((char *)run->x.data + trained, (char *)held_out + trained,
                            bytes_of(run->x) - trained);
    assert_true(run->epochs[7].val_loss < run->epochs[0].val_loss);
    free(held_out);
    finish(run);
    finish(first);
}

static void start_codes(struct run *run, uint64_t seed, int threads)
{
    run->cfg.seed = seed;
    run->layers[0].threads = threads;
    create(run);
    if (convt_codes_start(run->trainer))
        fail_msg("%s: %s", convt_trainer_error(run->trainer)->field,
                 convt_trainer_error(run->trainer)->message);
}

static void codes_start_standardized(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++)
        for (int fix = 0; fix < 2; fix++) {
            struct run *run = prepare((convt_dtype)dtype, true);
            run->cfg.codes.fix_first = fix;
            start_codes(run, 1, 1);
            for (int d = 0; d < CODE; d++) {
                double mean = 0, square = 0;
                for (int s = 0; s < COUNT; s++) {
                    const double c = values_get(convt_read(run->x), s * CODE + d);
                    mean += c / COUNT;
                    square += c * c / COUNT;
                    if (fix && d == 0) assert_close(c, 1, 0, 0);
                }
                assert_close(mean, fix && d == 0 ? 1 : 0, 1e-15, 1e-6);
                assert_close(square, 1, 1e-5, 0);
            }
            finish(run);
        }
}

/* 40 components: three panels, the last one part full. */
static struct run *many_codes(void)
{
    struct run *run = prepare(CONVT_FLOAT64, true);
    values_free(run->x);
    run->x = values_new(CONVT_FLOAT64, COUNT, 1, 1, 40);
    run->layers[0].input.c = 40;
    run->cfg.codes = (convt_codes){.values = run->x, .fix_first = true};
    return run;
}

static void codes_start_as_a_projection_of_the_targets(void **state)
{
    (void)state;
    struct run *run = many_codes(), *same = many_codes(), *other = many_codes();
    double *y = run->y.data;
    for (int i = 0; i < PIXELS; i++) {
        y[2 * PIXELS + i] = (y[i] + y[PIXELS + i]) / 2; /* sample 2 lies between 0 and 1 */
        y[5 * PIXELS + i] = y[4 * PIXELS + i];
    }
    memcpy(same->y.data, y, bytes_of(run->y));
    memcpy(other->y.data, y, bytes_of(run->y));
    start_codes(run, 1, 1);
    start_codes(same, 1, 3);
    start_codes(other, 2, 1);
    const double *c = run->x.data;
    for (int d = 0; d < 40; d++) {
        assert_close(c[2 * 40 + d], (c[d] + c[40 + d]) / 2, 1e-10, 1e-12);
        assert_close(c[5 * 40 + d], c[4 * 40 + d], 0, 0);
        for (int e = 1; e < d; e++) /* every component looks at something else */
            assert_true(fabs(c[d] - c[e]) > 1e-9);
    }
    assert_same_bits(run->x.data, same->x.data, bytes_of(run->x));
    assert_memory_not_equal(run->x.data, other->x.data, bytes_of(run->x));
    finish(run);
    finish(same);
    finish(other);
}

static void equal_targets_start_with_codes_of_zero(void **state)
{
    (void)state;
    struct run *run = many_codes();
    run->cfg.codes.fix_first = false;
    for (int64_t i = 0; i < values_count(convt_read(run->y)); i++)
        values_set(run->y, i, 0.1 + 0.01 * (double)(i % PIXELS));
    start_codes(run, 1, 1);
    for (int64_t i = 0; i < values_count(convt_read(run->x)); i++)
        assert_close(values_get(convt_read(run->x), i), 0, 0, 1e-12);
    finish(run);
}

static void no_codes_start_without_codes_or_samples(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false), *unread = start(CONVT_FLOAT32, true);
    assert_refused(convt_codes_start(run->trainer), convt_trainer_error(run->trainer),
                   CONVT_INVALID_ARGUMENT, "codes.values", "NULL");
    unread->fails_at = 3;
    assert_refused(convt_codes_start(unread->trainer), convt_trainer_error(unread->trainer),
                   CONVT_FILE_FAILED, "data.gather", "");
    finish(run);
    finish(unread);
}

/* ---- does it learn? -------------------------------------------------------------------------- */

static void a_decoder_learns_its_images(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, true);
    for (int s = 0; s < COUNT; s++) /* a bright row and a dark column */
        for (int i = 0; i < PIXELS; i++)
            values_set(run->y, s * PIXELS + i,
                       (i / (2 * SIDE) == s % SIDE) * 0.9 + (i / 2 % SIDE == s / SIDE ? 0 : 0.1));
    for (int i = 0; i < LAYERS; i++) {
        run->layers[i].kernel_regularizer.kind = run->layers[i].activity_regularizer.kind =
            CONVT_NO_REGULARIZER;
        run->layers[i].kernel_regularizer.l2.set = run->layers[i].activity_regularizer.l2.set =
            false;
        run->layers[i].kernel_constraint = (convt_constraint){0};
    }
    run->layers[0].filters = 16;
    run->cfg.epochs = 60;
    run->cfg.codes.learning_rate = 5;
    run->rule = (convt_sgd_config){.learning_rate = CONVT_SET(0.3), .momentum = 0.9};
    start_codes(run, 1, 0);
    fit(run, CONVT_OK);
    assert_true(run->epochs[0].mse > 0.08);
    assert_true(run->epochs[59].mse < 0.01);
    finish(run);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refuse(struct run *run, convt_trainer_config cfg, convt_status status,
                   const char *field, const char *part)
{
    convt_trainer *trainer = (convt_trainer *)run;
    convt_error err = {0};
    assert_refused(convt_trainer_create(&trainer, &cfg, &err), &err, status, field, part);
    assert_null(trainer);
}

static void refusals_name_the_argument(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, true);
#define REFUSE(member, value, status, field, part) \
    do {                                           \
        convt_trainer_config changed = run->cfg;   \
        changed.member = value;                    \
        refuse(run, changed, status, field, part); \
    } while (0)
    const convt_status argument = CONVT_INVALID_ARGUMENT, shape = CONVT_INVALID_SHAPE;
    REFUSE(model, NULL, argument, "model", "");
    REFUSE(sgd, NULL, argument, "sgd", "");
    REFUSE(data.count, 0, argument, "data.count", "0");
    REFUSE(data.gather, NULL, argument, "data.gather", "");
    REFUSE(epochs, -1, argument, "epochs", "-1");
    REFUSE(batch_size, -8, argument, "batch_size", "-8");
    REFUSE(leaves, -1, argument, "leaves", "-1");
    REFUSE(leaves, 65537, argument, "leaves", "65537");
    REFUSE(validation_split, 1, argument, "validation_split", "1");
    REFUSE(validation_split, -0.5, argument, "validation_split", "-0.5");
    REFUSE(validation_split, (double)NAN, argument, "validation_split", "nan");
    REFUSE(validation_split, 0.99, argument, "validation_split", "0.99"); /* leaves none to train */
    REFUSE(loss.kind, (convt_loss_kind)55, argument, "loss.kind", "55");
    REFUSE(loss.reduction, CONVT_REDUCE_SUM, argument, "loss.reduction", "codes");
    convt_trainer_config whole = run->cfg, guessing = run->cfg;
    whole.leaves = 2, whole.loss.kind = CONVT_DICE;
    refuse(run, whole, argument, "leaves",
           "must be 1 where the loss is no sum over samples, got 2");
    convt_config layer = *convt_layer_config(convt_model_layer(run->cfg.model, 0));
    convt_error err;
    layer.inference = true;
    layer.allocator = (convt_allocator){0};
    assert_int_equal(convt_model_create(&guessing.model, &layer, 1, &err), CONVT_OK);
    refuse(run, guessing, argument, "model.inference", "the model was created for forward only");
    convt_model_destroy(guessing.model);
    REFUSE(batch_size, 368, argument, "model.max_batch", "23"); /* 16 leaves of 23 */
    REFUSE(codes.values.n, COUNT - 1, shape, "codes.values", "22");
    REFUSE(codes.values.c, CODE + 1, shape, "codes.values", "5");
    REFUSE(codes.values.dtype, CONVT_FLOAT64, shape, "codes.values", "float32");
    REFUSE(codes.values.data, (char *)run->cfg.codes.values.data + 1, argument, "codes.values",
           "where no float32 can lie");
    REFUSE(codes.learning_rate, (double)INFINITY, argument, "codes.learning_rate", "inf");
#undef REFUSE
    finish(run);
}

/* The order of so many samples has no address; nothing is asked of them. */
static void more_samples_than_can_be_counted_are_refused(void **state)
{
    (void)state;
    struct run *run = start(CONVT_FLOAT32, false);
    convt_trainer_config cfg = run->cfg;
    cfg.data.count = INT64_MAX / 2;
    refuse(run, cfg, CONVT_TOO_LARGE, "data.count", "the buffers exceed what can be addressed");
    finish(run);
}

static void arrays_refuse_other_shapes(void **state)
{
    (void)state;
    struct run *run = prepare(CONVT_FLOAT32, false);
    const int64_t inside[2] = {0, COUNT - 1}, outside[1] = {COUNT}, negative[1] = {-1};
    float x[2 * CODE], y[2 * PIXELS];
    convt_arrays *a = &run->arrays;
    const convt_view rows_x = convt_f32(x, 2, 1, 1, CODE), rows_y = convt_f32(y, 2, SIDE, SIDE, 2);
    assert_int_equal(convt_arrays_gather(a, inside, 2, rows_x, rows_y), CONVT_OK);
    assert_same_bits(x, run->x.data, CODE * sizeof(float));
    assert_same_bits(y + PIXELS, (float *)run->y.data + inside[1] * PIXELS, PIXELS * sizeof(float));
    assert_int_equal(convt_arrays_gather(a, inside, 2, CONVT_NONE, rows_y), CONVT_OK);
    assert_int_equal(convt_arrays_gather(a, inside, 2, convt_f32(x, 2, 1, CODE, 1), rows_y),
                     CONVT_INVALID_SHAPE);
    assert_int_equal(convt_arrays_gather(a, inside, 1, rows_x, rows_y), CONVT_INVALID_SHAPE);
    assert_int_equal(convt_arrays_gather(a, inside, 2, rows_x, CONVT_NONE), CONVT_INVALID_SHAPE);
    assert_int_equal(convt_arrays_gather(a, outside, 1, CONVT_NONE, convt_f32(y, 1, SIDE, SIDE, 2)),
                     CONVT_INVALID_ARGUMENT);
    assert_int_equal(
        convt_arrays_gather(a, negative, 1, CONVT_NONE, convt_f32(y, 1, SIDE, SIDE, 2)),
        CONVT_INVALID_ARGUMENT);
    values_free(run->x);
    values_free(run->y);
    free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fit_is_the_loop_by_hand),
        cmocka_unit_test(leaves_add_up_to_whole_batches),
        cmocka_unit_test(leaf_size_depends_on_batch_and_bytes),
        cmocka_unit_test(one_leaf_is_a_plain_step),
        cmocka_unit_test(epochs_are_seeded_permutations),
        cmocka_unit_test(every_order_is_as_likely),
        cmocka_unit_test(a_batch_takes_from_every_stratum),
        cmocka_unit_test(progress_counts_from_one),
        cmocka_unit_test(held_out_samples_are_the_last_and_never_trained_on),
        cmocka_unit_test(evaluation_is_the_mean_of_losses_and_changes_nothing),
        cmocka_unit_test(a_stopped_run_goes_on_with_the_same_bits),
        cmocka_unit_test(an_epoch_callback_stops_after_its_epoch),
        cmocka_unit_test(a_run_resumes_from_its_state),
        cmocka_unit_test(averages_and_accumulators_resume),
        cmocka_unit_test(a_complete_fit_ends_with_the_averages),
        cmocka_unit_test(loss_scale_does_not_matter_to_a_fit),
        cmocka_unit_test(the_state_names_everything),
        cmocka_unit_test(a_loss_that_is_not_finite_takes_no_step),
        cmocka_unit_test(a_failing_source_ends_the_fit),
        cmocka_unit_test(bits_of_a_run_do_not_depend_on_threads),
        cmocka_unit_test(memory_is_one_block_and_none_in_the_fit),
        cmocka_unit_test(the_start_of_codes_gives_its_memory_back),
        cmocka_unit_test(frozen_layers_stay),
        cmocka_unit_test(codes_descend_on_the_loss_of_their_own_sample),
        cmocka_unit_test(held_out_codes_learn_without_the_weights),
        cmocka_unit_test(codes_start_standardized),
        cmocka_unit_test(codes_start_as_a_projection_of_the_targets),
        cmocka_unit_test(equal_targets_start_with_codes_of_zero),
        cmocka_unit_test(no_codes_start_without_codes_or_samples),
        cmocka_unit_test(a_decoder_learns_its_images),
        cmocka_unit_test(refusals_name_the_argument),
        cmocka_unit_test(more_samples_than_can_be_counted_are_refused),
        cmocka_unit_test(arrays_refuse_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
