/*
 * One batch, cut into leaves:
 *
 *     for every leaf:  gather, forward, loss / batch, data half of backward
 *     in a fixed tree: gradients and losses of the leaves added
 *     once:            weight half of backward, codes, SGD step
 *
 * Each rank does this for its own leaves and samples, and every rank the same step. The weights change only behind the last leaf, so all leaves see the same; and nothing changes
 * where a loss is not finite.
 */
#include <math.h>
#include <string.h>

#include "backward.h"
#include "pieces.h"
#include "sgd.h"
#include "status.h"
#include "trainer.h"

/* Forwards the error of another object, which then names the field. */
static convt_status pass_on(convt_trainer *t, const convt_error *why)
{
    return convti_fail(&t->error, why->status, why->field, "%s", why->message);
}

static convt_view leaf_view(const convt_trainer *t, void *data, int64_t n, convt_shape shape)
{
    return (convt_view){data, t->dtype, n, shape.h, shape.w, shape.c};
}

static void gather_weights(const convt_trainer *t, convti_samples samples)
{
    for (int64_t k = 0; k < samples.count; k++) {
        const double weight = t->cfg.data.sample_weight[convti_sample(samples, k)];
        if (t->dtype == CONVT_FLOAT32)
            ((float *)t->weight)[k] = (float)weight;
        else
            ((double *)t->weight)[k] = weight;
    }
}

/* Of a batch, for CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT. */
static double weight_sum(const convt_trainer *t, convti_samples batch)
{
    double sum = 0;
    for (int64_t k = 0; t->weight && k < batch.count; k++)
        sum += t->cfg.data.sample_weight[convti_sample(batch, k)];
    return sum;
}

static convt_status gather(convt_trainer *t, convti_samples samples)
{
    const bool codes = t->cfg.codes.values.data;
    const int64_t *index = samples.order ? samples.order + samples.first : t->index;
    const convt_view x = leaf_view(t, t->x, samples.count, t->input);
    const convt_view target = leaf_view(t, t->target, samples.count, t->label);
    for (int64_t k = 0; !samples.order && k < samples.count; k++) t->index[k] = samples.first + k;
    if (t->weight) gather_weights(t, samples);
    if (codes) convti_codes_gather(&t->cfg.codes, index, samples.count, x);
    convt_status status = t->cfg.data.gather(t->cfg.data.context, index, samples.count,
                                             codes ? CONVT_NONE : x, target);
    if (status)
        return convti_fail(&t->error, status, "data.gather", "samples could not be read: %s",
                           convt_status_text(status));
    return CONVT_OK;
}

/* The whole batch that a leaf is a part of. */
struct batch {
    int64_t count;
    double weight_sum;
    bool slopes; /* wanted: of codes, or of weights too */
    bool codes_alone;
};

/* Loss of a leaf, activity regularization included, as its share of the batch's. */
static convt_status leaf_loss(convt_trainer *t, int64_t n, const struct batch *batch,
                              convt_loss_value *value)
{
    const convt_const_view target = convt_read(leaf_view(t, t->target, n, t->label));
    const convt_view dy = batch->slopes ? leaf_view(t, t->dy, n, t->output) : CONVT_NONE;
    const convt_sample_weight weight = {
        convt_read(leaf_view(t, t->weight, n, (convt_shape){1, 1, 1})), batch->weight_sum};
    convt_error err;
    if (convt_loss(&t->cfg.loss, target, convt_model_output(t->cfg.model),
                   t->weight ? &weight : NULL, batch->count, value, dy, &err))
        return pass_on(t, &err);
    value->loss += convt_model_activity_loss(t->cfg.model, (double)batch->count);
    return CONVT_OK;
}

/* Where dx of a leaf goes: behind those of the leaves before it. */
static convt_view slopes_of_codes(const convt_trainer *t, int64_t done, int64_t n)
{
    if (!t->code_slopes) return CONVT_NONE;
    const int64_t code = t->input.h * t->input.w * t->input.c;
    return leaf_view(t, convti_element(t->code_slopes, t->dtype, done * code), n, t->input);
}

static void layer_done(void *trainer, int layer)
{
    convti_reduce_layer(trainer, layer);
}

static convt_status run_leaf(convt_trainer *t, convti_samples leaf, int64_t done,
                             const struct batch *batch, convt_loss_value *value)
{
    const convt_const_view x = convt_read(leaf_view(t, t->x, leaf.count, t->input));
    convt_status status = gather(t, leaf);
    if (status) return status;
    if (convt_model_forward(t->cfg.model, x)) return pass_on(t, convt_model_error(t->cfg.model));
    status = leaf_loss(t, leaf.count, batch, value);
    if (status || !batch->slopes || !isfinite(value->loss)) return status;
    /* One process adds up all layers in one loop, which is faster. */
    const bool at_once = !convti_shared(t) || !t->reduction.gradients ||
                         !convti_reduce_is_last(&t->reduction, done / t->cut.leaf);
    if (convti_model_backward_data(t->cfg.model, batch->codes_alone ? convt_read(CONVT_NONE) : x,
                                   convt_read(leaf_view(t, t->dy, leaf.count, t->output)),
                                   slopes_of_codes(t, done, leaf.count), (double)batch->count,
                                   at_once ? NULL : layer_done, t))
        return pass_on(t, convt_model_error(t->cfg.model));
    return CONVT_OK;
}

/* Samples of the batch that belong to own leaves. */
static convti_samples own_samples(const convt_trainer *t, convti_samples batch)
{
    const convti_span span = t->reduction.span;
    const int64_t first = span.begin * t->cut.leaf, last = span.end * t->cut.leaf;
    const int64_t begin = first < batch.count ? first : batch.count;
    const int64_t end = last < batch.count ? last : batch.count;
    return (convti_samples){batch.order, batch.first + begin, end - begin};
}

/* Behind a leaf that went wrong nothing is computed, but everything is sent: others wait for it. */
static void run_leaves(convt_trainer *t, convti_samples batch, convti_purpose purpose)
{
    const struct batch whole = {batch.count, weight_sum(t, batch), purpose != CONVTI_EVALUATE,
                                purpose == CONVTI_LEARN_CODES && t->dx_alone};
    const bool trained_on = purpose == CONVTI_TRAIN;
    bool bad = false;
    for (int64_t leaf = t->reduction.span.begin; leaf < t->reduction.span.end; leaf++) {
        const int64_t done = leaf * t->cut.leaf, rest = batch.count - done;
        const convti_samples samples = {batch.order, batch.first + done,
                                        rest < t->cut.leaf ? rest : t->cut.leaf};
        convti_report report;
        memset(&report, 0, sizeof report); /* it travels as it lies in memory */
        if (!bad && run_leaf(t, samples, done, &whole, &report.value)) report.error = t->error;
        report.rank = t->cut.rank;
        report.wishes = t->wishes;
        bad = bad || convti_report_is_bad(&report, trained_on);
        convti_reduce_leaf(t, leaf, &report);
    }
}

convt_status convti_exchanged(convt_trainer *t, convt_status status)
{
    return status ? convti_fail(&t->error, status, "exchange", "%s", convt_status_text(status))
                  : CONVT_OK;
}

static void step_codes(const convt_trainer *t, convti_samples own, int64_t batch)
{
    const int64_t done = t->reduction.span.begin * t->cut.leaf;
    if (own.count > 0)
        convti_codes_step(&t->cfg.codes, own, batch, slopes_of_codes(t, done, own.count).data);
}

/* The error of a rank is that of all. */
static convt_status error_of(convt_trainer *t, const convti_report *report)
{
    if (!convti_shared(t)) return pass_on(t, &report->error);
    return convti_fail(&t->error, report->error.status, report->error.field, "%s (rank %d)",
                       report->error.message, report->rank);
}

convt_status convti_batch(convt_trainer *t, convti_samples batch, convti_purpose purpose,
                          convt_loss_value *value, unsigned *wishes)
{
    const double weights = convt_model_weight_loss(t->cfg.model);
    convti_report total;
    convti_reduce_begin(t, convti_cut_leaves(&t->cut, batch.count), purpose == CONVTI_TRAIN);
    run_leaves(t, batch, purpose);
    convt_status status = convti_reduce_finish(t, &total);
    if (!status && total.error.status) status = error_of(t, &total);
    if (status) return status;
    *value = total.value;
    *wishes = total.wishes;
    value->loss += weights;
    if (purpose == CONVTI_EVALUATE || (purpose == CONVTI_LEARN_CODES && !isfinite(value->loss)))
        return CONVT_OK;
    if (!isfinite(value->loss))
        return convti_fail(&t->error, CONVT_NOT_FINITE, "loss", "is %g in epoch %.0f, batch %.0f",
                           value->loss, t->epochs_done + 1, t->batches_done + 1);
    if (t->code_slopes) step_codes(t, own_samples(t, batch), batch.count);
    if (purpose == CONVTI_LEARN_CODES) return CONVT_OK;
    if (convt_model_backward_weights(t->cfg.model))
        return pass_on(t, convt_model_error(t->cfg.model));
    convti_sgd_apply(t->cfg.sgd, (convt_optional){false, 0}); /* nothing scaled the loss */
    return CONVT_OK;
}

convt_status convti_agree(convt_trainer *t, convt_status status)
{
    convti_report mine, total;
    if (!convti_shared(t)) return status;
    memset(&mine, 0, sizeof mine);
    if (status) mine.error = t->error;
    mine.rank = t->cut.rank;
    convti_reduce_begin(t, t->cut.leaves, false);
    for (int64_t leaf = t->cut.begin; leaf < t->cut.end; leaf++) convti_reduce_leaf(t, leaf, &mine);
    status = convti_reduce_finish(t, &total);
    return !status && total.error.status ? error_of(t, &total) : status;
}
