/*
 * The loop over epochs:
 *
 *     shuffle; every batch: step, on_batch; held-out samples; on_epoch
 *
 * and behind the last one parameters become their averages, where the optimizer keeps such.
 * A batch takes from every stratum: the samples that belong to one leaf (cut.h) are shuffled among
 * themselves, so that they and their codes stay with the rank that owns the leaf. The order of a stratum
 * depends on the seed, its number and that of the epoch alone, so a run continues from its counters
 * without the state of a generator, and a rank orders its own. Means are those of Keras: over samples,
 * of the losses of their batches.
 */
#include <math.h>

#include "rng.h"
#include "sgd.h"
#include "status.h"
#include "trainer.h"

enum { STREAM = 0x6f726472 }; /* "ordr": apart from what else a seed is used for */

/* Place i of a stratum in the order of all: `width` places in every batch. */
struct stratum {
    int64_t first, width, batch;
};

static int64_t place_of(const struct stratum *s, int64_t i)
{
    return i / s->width * s->batch + s->first + i % s->width;
}

/* Fisher-Yates from the identity. */
static void order_stratum(convt_trainer *t, int64_t leaf)
{
    const convti_cut *cut = &t->cut;
    const int64_t first = leaf * cut->leaf, rest = cut->batch - first;
    const struct stratum s = {first, rest < cut->leaf ? rest : cut->leaf, cut->batch};
    const int64_t over = cut->train_count % s.batch - first;
    const int64_t partial = over < 0 ? 0 : over < s.width ? over : s.width;
    const int64_t count = cut->train_count / s.batch * s.width + partial;
    convti_rng rng = convti_rng_start(convti_mix(t->cfg.seed, STREAM + (uint64_t)leaf),
                                      (uint64_t)t->epochs_done);
    for (int64_t i = 0; i < count; i++) t->order[place_of(&s, i)] = place_of(&s, i);
    for (int64_t i = count - 1; i > 0 && !t->cfg.no_shuffle; i--) {
        const int64_t j = (int64_t)convti_rng_below(&rng, (uint64_t)i + 1);
        int64_t *a = &t->order[place_of(&s, i)], *b = &t->order[place_of(&s, j)], swapped = *a;
        *a = *b;
        *b = swapped;
    }
}

/* The sum of a batch's sample weights is over all of it, so every rank must know the whole order. */
static void order_samples(convt_trainer *t)
{
    const bool all = t->cfg.data.sample_weight;
    const int64_t begin = all ? 0 : t->cut.begin, end = all ? t->cut.leaves : t->cut.end;
    for (int64_t leaf = begin; leaf < end; leaf++) order_stratum(t, leaf);
}

/* Means over consecutive samples of the data, in batches. */
static convt_status means(convt_trainer *t, int64_t first, int64_t count, convti_purpose purpose,
                          convt_loss_value *mean)
{
    *mean = (convt_loss_value){0, 0};
    for (int64_t done = 0; done < count; done += t->cfg.batch_size) {
        const int64_t rest = count - done, n = rest < t->cfg.batch_size ? rest : t->cfg.batch_size;
        convt_loss_value value;
        unsigned wishes;
        convt_status status =
            convti_batch(t, (convti_samples){NULL, first + done, n}, purpose, &value, &wishes);
        if (status) return status;
        mean->loss += value.loss * (double)n;
        mean->mse += value.mse * (double)n;
    }
    if (count > 0) {
        mean->loss /= (double)count;
        mean->mse /= (double)count;
    }
    return CONVT_OK;
}

static int64_t samples_done(const convt_trainer *t)
{
    const int64_t samples = (int64_t)t->batches_done * t->cfg.batch_size;
    return samples < t->cut.train_count ? samples : t->cut.train_count;
}

static convt_progress progress_of(const convt_trainer *t)
{
    const int64_t samples = samples_done(t), steps = convt_sgd_iterations(t->cfg.sgd);
    return (convt_progress){
        .epoch = (int64_t)t->epochs_done + 1,
        .epochs = t->cfg.epochs,
        .batch = (int64_t)t->batches_done,
        .batches = t->batches,
        .samples = samples,
        .loss = t->loss_sum / (double)samples,
        .mse = t->mse_sum / (double)samples,
        .val_loss = (double)NAN,
        .val_mse = (double)NAN,
        .whole = !convti_shared(t),
        .learning_rate = convt_schedule_rate(&t->cfg.sgd->cfg, steps > 0 ? steps - 1 : 0),
    };
}

static convt_status stopped(convt_trainer *t, convt_progress progress)
{
    return convti_fail(&t->error, CONVT_STOPPED, NULL,
                       "a callback stopped the run in epoch %lld after batch %lld",
                       (long long)progress.epoch, (long long)progress.batch);
}

/* A callback that says no is heard by the other ranks behind the next batch. */
static convt_status call(convt_trainer *t, bool (*callback)(void *, const convt_progress *),
                         convt_progress progress)
{
    if (!callback || callback(t->cfg.context, &progress)) return CONVT_OK;
    if (!convti_shared(t)) return stopped(t, progress);
    t->wishes |= CONVTI_STOP;
    return CONVT_OK;
}

static convt_status next_batch(convt_trainer *t)
{
    const int64_t first = samples_done(t), rest = t->cut.train_count - first;
    const int64_t n = rest < t->cfg.batch_size ? rest : t->cfg.batch_size;
    convt_loss_value value;
    unsigned wishes;
    convt_status status =
        convti_batch(t, (convti_samples){t->order, first, n}, CONVTI_TRAIN, &value, &wishes);
    if (status) return status;
    t->loss_sum += value.loss * (double)n;
    t->mse_sum += value.mse * (double)n;
    t->batches_done += 1;
    convt_progress progress = progress_of(t);
    if (wishes) { /* those of this rank are among them */
        t->wishes &= ~wishes;
        progress.whole = true;
        status = convti_codes_collect(t);
    }
    if (!status) status = call(t, t->cfg.on_batch, progress);
    return !status && wishes & CONVTI_STOP ? stopped(t, progress) : status;
}

/* Held-out samples never touch the weights. Where inputs are learned, theirs must be too, or they
 * would mean nothing. */
static convt_status end_epoch(convt_trainer *t)
{
    convt_progress progress = progress_of(t);
    if (t->cut.held_out > 0) {
        const convti_purpose purpose = t->code_slopes ? CONVTI_LEARN_CODES : CONVTI_EVALUATE;
        convt_loss_value mean;
        convt_status status = means(t, t->cut.train_count, t->cut.held_out, purpose, &mean);
        if (status) return status;
        progress.val_loss = mean.loss;
        progress.val_mse = mean.mse;
    }
    t->epochs_done += 1;
    t->batches_done = 0;
    t->loss_sum = t->mse_sum = 0;
    progress.whole = true;
    convt_status status = convti_codes_collect(t);
    return status ? status : call(t, t->cfg.on_epoch, progress);
}

convt_status convt_fit(convt_trainer *trainer)
{
    convti_clear(&trainer->error);
    while (trainer->epochs_done < (double)trainer->cfg.epochs) {
        convt_status status = CONVT_OK;
        order_samples(trainer);
        while (!status && trainer->batches_done < (double)trainer->batches)
            status = next_batch(trainer);
        if (!status) status = end_epoch(trainer);
        if (status) return status;
    }
    if (trainer->cfg.epochs > 0) convt_sgd_finalize(trainer->cfg.sgd);
    return CONVT_OK;
}

convt_status convt_evaluate(convt_trainer *trainer, int64_t first, int64_t count,
                            convt_loss_value *value)
{
    convti_clear(&trainer->error);
    if (first < 0 || count < 0 || first > trainer->cfg.data.count ||
        count > trainer->cfg.data.count - first)
        return convti_fail(&trainer->error, CONVT_INVALID_ARGUMENT, "first",
                           "samples %lld .. %lld + %lld are not all within 0 .. %lld",
                           (long long)first, (long long)first, (long long)count,
                           (long long)trainer->cfg.data.count);
    if (!value) return convti_fail(&trainer->error, CONVT_INVALID_ARGUMENT, "value", "is NULL");
    const int64_t part = first < trainer->cut.train_count ? 0 : trainer->cut.train_count;
    if (convti_shared(trainer) && ((first - part) % trainer->cfg.batch_size != 0 ||
                                   (part == 0 && count > trainer->cut.train_count - first)))
        return convti_fail(&trainer->error, CONVT_INVALID_ARGUMENT, "first",
                           "of several processes, must begin a batch of %lld in one part of the "
                           "samples, got %lld .. %lld + %lld",
                           (long long)trainer->cfg.batch_size, (long long)first, (long long)first,
                           (long long)count);
    return means(trainer, first, count, CONVTI_EVALUATE, value);
}
