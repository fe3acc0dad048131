/*
 * loss = sum of value(t, p) / (batch * h * w * c),   dy = d loss / d prediction,   mse the same of
 * (output - t)^2.
 *
 * Elements are cut into at most 64 blocks, by their number alone; sums of the blocks are added in
 * order, in double.
 */
#include "loss.h"

#include <math.h>
#include <omp.h>

#include "alloc.h"
#include "status.h"

enum { BLOCKS = 64, LEAST_BLOCK = 1024, PARALLEL_FROM = 4096 };

static bool known(convt_loss_kind kind)
{
    switch ((int)kind) {
    case CONVT_DEFAULT_LOSS:
    case CONVT_CUSTOM_LOSS:
#define LOSS(name, ...) case CONVT_##name:
#include "convt/losses.def"
        return true;
    }
    return false;
}

static bool has_logit_form(convt_loss_kind kind)
{
    switch ((int)kind) {
#define LOGIT_LOSS(name, ...) case CONVT_##name:
#include "convt/losses.def"
        return true;
    }
    return false;
}

convt_status convti_loss_check(const convt_loss_config *loss, convt_error *err)
{
    if (!loss) return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss", "is missing");
    if (!known(loss->kind))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss.kind", "there is no loss number %d",
                           (int)loss->kind);
    if (loss->kind == CONVT_CUSTOM_LOSS && !loss->element)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss.element", "a custom loss needs it");
    if (loss->from_logits && !has_logit_form(loss->kind))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss.from_logits",
                           "only binary_crossentropy takes logits");
    if (loss->threads < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss.threads",
                           "must not be negative, got %d", loss->threads);
    return CONVT_OK;
}

static convt_status check_view(convt_const_view v, convt_const_view prediction, const char *field,
                               convt_error *err)
{
    if (v.dtype != prediction.dtype)
        return convti_fail(err, CONVT_INVALID_SHAPE, field,
                           "dtype differs from that of prediction");
    if (v.n != prediction.n || v.h != prediction.h || v.w != prediction.w || v.c != prediction.c)
        return convti_fail(
            err, CONVT_INVALID_SHAPE, field,
            "expected (%lld, %lld, %lld, %lld) as prediction has it, got (%lld, %lld, %lld, %lld)",
            (long long)prediction.n, (long long)prediction.h, (long long)prediction.w,
            (long long)prediction.c, (long long)v.n, (long long)v.h, (long long)v.w,
            (long long)v.c);
    return CONVT_OK;
}

static convt_status check_views(convt_const_view target, convt_const_view prediction, int64_t batch,
                                convt_view dy, int64_t *count, convt_error *err)
{
    if (prediction.dtype != CONVT_FLOAT32 && prediction.dtype != CONVT_FLOAT64)
        return convti_fail(err, CONVT_INVALID_SHAPE, "prediction", "there is no dtype number %d",
                           (int)prediction.dtype);
    if (!convti_count(prediction.n, prediction.h, prediction.w, prediction.c, count))
        return convti_fail(err, CONVT_INVALID_SHAPE, "prediction",
                           "sizes are negative or too large");
    convt_status status = check_view(target, prediction, "target", err);
    if (!status && dy.data) status = check_view(convt_read(dy), prediction, "dy", err);
    if (status) return status;
    if (*count > 0 && (!target.data || !prediction.data))
        return convti_fail(err, CONVT_INVALID_SHAPE, target.data ? "prediction" : "target",
                           "data is NULL");
    if (batch < prediction.n)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "batch",
                           "must be at least the %lld samples given, got %lld",
                           (long long)prediction.n, (long long)batch);
    return CONVT_OK;
}

static int threads_of(const convt_loss_config *loss)
{
    return loss->threads ? loss->threads : omp_get_max_threads();
}

static convt_loss_value sum_blocks(const convti_loss_task *task, convt_dtype dtype, int64_t count)
{
    convt_loss_value part[BLOCKS], sums = {0, 0};
    int64_t block = (count + BLOCKS - 1) / BLOCKS;
    if (block < LEAST_BLOCK) block = LEAST_BLOCK;
    const int blocks = (int)((count + block - 1) / block);
#pragma omp parallel for schedule(static) \
    num_threads(threads_of(task->loss)) if (count >= PARALLEL_FROM)
    for (int b = 0; b < blocks; b++) {
        const int64_t first = b * block, n = count - first < block ? count - first : block;
        part[b] = dtype == CONVT_FLOAT32 ? convti_loss_block_f32(task, first, n)
                                         : convti_loss_block_f64(task, first, n);
    }
    for (int b = 0; b < blocks; b++) {
        sums.loss += part[b].loss;
        sums.mse += part[b].mse;
    }
    return sums;
}

convt_status convt_loss(const convt_loss_config *loss, convt_const_view target,
                        convt_const_view prediction, int64_t batch, convt_loss_value *value,
                        convt_view dy, convt_error *err)
{
    int64_t count = 0;
    convti_clear(err);
    convt_status status = convti_loss_check(loss, err);
    if (!status) status = check_views(target, prediction, batch, dy, &count, err);
    if (status) return status;
    if (!value) return convti_fail(err, CONVT_INVALID_ARGUMENT, "value", "is NULL");
    *value = (convt_loss_value){0, 0};
    if (count == 0) return CONVT_OK;
    const double elements = (double)batch * ((double)count / (double)prediction.n);
    const convti_loss_task task = {
        .loss = loss,
        .kind = loss->kind == CONVT_DEFAULT_LOSS ? CONVT_MEAN_SQUARED_ERROR : loss->kind,
        .reading = loss->sigmoid_output ? CONVTI_SIGMOID_LOGITS
                   : loss->from_logits  ? CONVTI_LOGITS
                                        : CONVTI_OUTPUTS,
        .target = target.data,
        .prediction = prediction.data,
        .dy = dy.data,
        .scale = 1 / elements,
    };
    *value = sum_blocks(&task, prediction.dtype, count);
    value->loss /= elements;
    value->mse /= elements;
    return CONVT_OK;
}
