/*
 * loss = sum of weight * value / divisor over positions,   dy = d loss / d prediction,   mse the
 * mean of (output - t)^2 over elements.
 *
 * The elements are cut into at most 64 blocks, by their number alone; sums of the blocks are added
 * in order, in double.
 */
#include "loss.h"

#include <omp.h>

#include "alloc.h"
#include "argument.h"
#include "names.h"
#include "status.h"
#include "team.h"

enum { BLOCKS = 64, LEAST_BLOCK = 1024, PARALLEL_FROM = 4096 };

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct loss_arguments {
#define LOSS_ARGUMENT(name, range) convt_optional name;
#include "convt/losses.def"
} loss_arguments;

struct row {
    loss_arguments arguments;
    convti_loss_form form;
    bool known;
    bool axis_mean; /* the value of a position is a mean over its elements */
    bool class_numbers;
};

#define NO_ARGUMENTS          \
    {                         \
        .alpha = { false, 0 } \
    }
enum { VALUES = false, CLASS_NUMBERS = true };
static const struct row rows[] = {
#define LOSS(enumerator, number, class_name, name, value, slope, ...) \
    [number] = {__VA_ARGS__, CONVTI_ELEMENT_LOSS, true, .axis_mean = true},
#define SUM_LOSS(enumerator, number, class_name, name, value, slope, ...) \
    [number] = {__VA_ARGS__, CONVTI_ELEMENT_LOSS, true},
#define AXIS_LOSS(enumerator, number, class_name, name, function, targets, ...) \
    [number] = {__VA_ARGS__, CONVTI_AXIS_LOSS, true, .class_numbers = targets},
#define BATCH_LOSS(enumerator, number, class_name, name, value, by_tp, by_p, ...) \
    [number] = {__VA_ARGS__, CONVTI_BATCH_LOSS, true},
#include "convt/losses.def"
};
#undef NO_ARGUMENTS

static convt_loss_kind resolved(convt_loss_kind kind)
{
    return kind == CONVT_DEFAULT_LOSS ? CONVT_MEAN_SQUARED_ERROR : kind;
}

/* NULL for what is no loss. */
static const struct row *find_row(convt_loss_kind kind)
{
    static const struct row custom = {.form = CONVTI_ELEMENT_LOSS, .axis_mean = true};
    const size_t number = (size_t)resolved(kind);
    if (kind == CONVT_CUSTOM_LOSS) return &custom;
    return number < sizeof rows / sizeof *rows && rows[number].known ? &rows[number] : NULL;
}

static bool has_logit_form(convt_loss_kind kind)
{
    switch ((int)kind) {
#define LOGIT_LOSS(name, ...) case CONVT_##name:
#define AXIS_LOGIT_LOSS LOGIT_LOSS
#include "convt/losses.def"
        return true;
    }
    return false;
}

bool convti_loss_of_batch(convt_loss_kind kind)
{
    const struct row *row = find_row(kind);
    return row && row->form == CONVTI_BATCH_LOSS;
}

/* ---- the last axis of memory ----------------------------------------------------------------- */

static int64_t *last_axis(convt_shape *shape, convt_data_format format)
{
    return format == CONVT_CHANNELS_FIRST ? &shape->w : &shape->c;
}

static convt_shape without_axis(convt_shape shape, convt_data_format format)
{
    *last_axis(&shape, format) = 1;
    return shape;
}

convt_shape convti_target_shape(const convt_loss_config *loss, convt_shape prediction)
{
    const struct row *row = find_row(loss->kind);
    return row && row->class_numbers ? without_axis(prediction, loss->data_format) : prediction;
}

/* ---- what is refused ------------------------------------------------------------------------- */

static convt_status check_arguments(const convt_loss_config *loss, convt_error *err)
{
    const loss_arguments *row = &find_row(loss->kind)->arguments;
    const convti_argument arguments[] = {
#define LOSS_ARGUMENT(name, range) {#name, loss->name, row->name, CONVTI_##range},
#include "convt/losses.def"
    };
    const char *owner = loss->kind == CONVT_CUSTOM_LOSS
                            ? "a custom loss"
                            : convti_snake_name(CONVTI_LOSSES, (int)resolved(loss->kind));
    return convti_arguments_check(arguments, (int)(sizeof arguments / sizeof *arguments), owner,
                                  "loss", err);
}

convt_status convti_loss_check(const convt_loss_config *loss, convt_error *err)
{
    const convt_status status = CONVT_INVALID_ARGUMENT;
    if (!loss) return convti_fail(err, status, "loss", "is missing");
    if (!find_row(loss->kind))
        return convti_fail(err, status, "loss.kind", "there is no loss number %d", (int)loss->kind);
    if (loss->kind == CONVT_CUSTOM_LOSS && !loss->element)
        return convti_fail(err, status, "loss.element", "a custom loss needs it");
    if (loss->from_logits && !has_logit_form(loss->kind))
        return convti_fail(err, status, "loss.from_logits", "%s takes no logits",
                           loss->kind == CONVT_CUSTOM_LOSS
                               ? "a custom loss"
                               : convti_snake_name(CONVTI_LOSSES, (int)resolved(loss->kind)));
    if ((int)loss->reduction < 0 || loss->reduction > CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT)
        return convti_fail(err, status, "loss.reduction", "there is no reduction number %d",
                           (int)loss->reduction);
    if ((int)loss->data_format < 0 || loss->data_format > CONVT_CHANNELS_FIRST)
        return convti_fail(err, status, "loss.data_format", "there is no data format number %d",
                           (int)loss->data_format);
    if (loss->threads < 0)
        return convti_fail(err, status, "loss.threads", "must not be negative, got %d",
                           loss->threads);
    return check_arguments(loss, err);
}

static convt_shape shape_of(convt_const_view v)
{
    return (convt_shape){v.h, v.w, v.c};
}

static bool same_shape(convt_shape a, convt_shape b)
{
    return a.h == b.h && a.w == b.w && a.c == b.c;
}

static convt_status check_view(convt_const_view v, convt_const_view prediction,
                               convt_shape expected, const char *field, convt_error *err)
{
    if (v.dtype != prediction.dtype)
        return convti_fail(err, CONVT_INVALID_SHAPE, field,
                           "dtype differs from that of prediction");
    if (v.n != prediction.n || !same_shape(shape_of(v), expected))
        return convti_fail(err, CONVT_INVALID_SHAPE, field,
                           "expected (%lld, %lld, %lld, %lld) by the shape of prediction, got "
                           "(%lld, %lld, %lld, %lld)",
                           (long long)prediction.n, (long long)expected.h, (long long)expected.w,
                           (long long)expected.c, (long long)v.n, (long long)v.h, (long long)v.w,
                           (long long)v.c);
    if (prediction.n > 0 && !v.data)
        return convti_fail(err, CONVT_INVALID_SHAPE, field, "data is NULL");
    if (!convti_aligned(v.data, v.dtype))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "lies at %p, where no float%d can lie", v.data,
                           v.dtype == CONVT_FLOAT64 ? 64 : 32);
    return CONVT_OK;
}

/* One a sample, or one a position. */
static convt_status check_weight(const convt_loss_config *loss, convt_const_view weight,
                                 convt_const_view prediction, convt_error *err)
{
    const convt_shape sample = {1, 1, 1},
                      position = without_axis(shape_of(prediction), loss->data_format);
    const convt_shape expected = same_shape(shape_of(weight), sample) ? sample : position;
    return check_view(weight, prediction, expected, "sample_weight", err);
}

static convt_status check_batch(const convt_loss_config *loss, int64_t n, int64_t batch,
                                convt_error *err)
{
    if (batch < n)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "batch",
                           "must be at least the %lld samples given, got %lld", (long long)n,
                           (long long)batch);
    if (n > 0 && batch != n && convti_loss_of_batch(loss->kind))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "batch",
                           "%s is no sum over samples and takes all %lld at once, got %lld",
                           convti_snake_name(CONVTI_LOSSES, (int)loss->kind), (long long)batch,
                           (long long)n);
    return CONVT_OK;
}

static convt_status check_views(const convt_loss_config *loss, convt_const_view target,
                                convt_const_view prediction,
                                const convt_sample_weight *sample_weight, convt_view dy,
                                convt_error *err)
{
    int64_t count;
    const convt_shape shape = shape_of(prediction);
    if (prediction.dtype != CONVT_FLOAT32 && prediction.dtype != CONVT_FLOAT64)
        return convti_fail(err, CONVT_INVALID_SHAPE, "prediction", "there is no dtype number %d",
                           (int)prediction.dtype);
    if (!convti_count(prediction.n, shape.h, shape.w, shape.c, &count))
        return convti_fail(err, CONVT_INVALID_SHAPE, "prediction",
                           "sizes are negative or too large");
    convt_status status =
        check_view(target, prediction, convti_target_shape(loss, shape), "target", err);
    if (!status) status = check_view(prediction, prediction, shape, "prediction", err);
    if (!status && dy.data) status = check_view(convt_read(dy), prediction, shape, "dy", err);
    if (!status && sample_weight)
        status = check_weight(loss, sample_weight->values, prediction, err);
    return status;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static int threads_of(const convt_loss_config *loss)
{
    return loss->threads ? loss->threads : omp_get_max_threads();
}

struct blocks {
    const convti_loss_task *task;
    convti_loss_block *sum;
    int64_t count, block; /* elements of all, and of one */
    convti_loss_sums *part;
};

static void sum_block(void *work, int64_t b)
{
    const struct blocks *all = work;
    const int64_t first = b * all->block, rest = all->count - first;
    all->part[b] = all->sum(all->task, first, rest < all->block ? rest : all->block);
}

/* `unit` elements stay together. */
static convti_loss_sums sum_blocks(const convti_loss_task *task, convti_loss_block *work,
                                   int64_t count, int64_t unit)
{
    convti_loss_sums part[BLOCKS], sums = {0};
    const int64_t units = count / unit;
    int64_t block = (units + BLOCKS - 1) / BLOCKS;
    if (block * unit < LEAST_BLOCK) block = (LEAST_BLOCK + unit - 1) / unit;
    block *= unit;
    const int blocks = (int)((count + block - 1) / block);
    convti_team_each(count >= PARALLEL_FROM ? threads_of(task->loss) : 1, blocks, sum_block,
                     &(struct blocks){task, work, count, block, part});
    for (int b = 0; b < blocks; b++) {
        sums.loss += part[b].loss;
        sums.error += part[b].error;
        sums.tp += part[b].tp;
        sums.t += part[b].t;
        sums.p += part[b].p;
    }
    return sums;
}

static double sum_of(convt_const_view v)
{
    const int64_t count = v.n * v.h * v.w * v.c;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += v.dtype == CONVT_FLOAT32 ? (double)((const float *)v.data)[i]
                                        : ((const double *)v.data)[i];
    return sum;
}

/* ---- losses of the batch --------------------------------------------------------------------- */

#define CONVT_EPSILON 1e-7

/* What Tversky's index divides by: hits, and the weighted misses of either kind. */
static double tversky_size(convti_loss_params a, convti_loss_sums s)
{
    return s.tp + a.alpha * (s.t - s.tp) + a.beta * (s.p - s.tp) + CONVT_EPSILON;
}

/* The value, and its derivatives into the task. */
static double batch_value(convti_loss_task *task, convti_loss_sums s)
{
    const convti_loss_params a = task->params;
    double found = 0;
    (void)a;
    switch ((int)task->kind) {
#define BATCH_LOSS(enumerator, number, class_name, name, value, slope_by_tp, slope_by_p, ...) \
    case number:                                                                              \
        task->by_tp = slope_by_tp;                                                            \
        task->by_p = slope_by_p;                                                              \
        found = value;                                                                        \
        break;
#include "convt/losses.def"
    }
    return found;
}

/* ---- the loss -------------------------------------------------------------------------------- */

static convti_loss_params params_of(const convt_loss_config *loss, const struct row *row)
{
    return (convti_loss_params){
#define LOSS_ARGUMENT(name, range) .name = convti_argument_value(loss->name, row->arguments.name),
#include "convt/losses.def"
    };
}

static convti_loss_task task_of(const convt_loss_config *loss, convt_const_view prediction)
{
    const struct row *row = find_row(loss->kind);
    convt_shape shape = shape_of(prediction);
    convti_loss_task task = {
        .loss = loss,
        .kind = resolved(loss->kind),
        .reading = loss->sigmoid_output ? CONVTI_SIGMOID_LOGITS
                   : loss->from_logits  ? CONVTI_LOGITS
                                        : CONVTI_OUTPUTS,
        .params = params_of(loss, row),
        .axis = *last_axis(&shape, loss->data_format),
        .class_numbers = row->class_numbers,
        .prediction = prediction.data,
    };
    const double smoothing = task.params.label_smoothing;
    const double classes = row->form == CONVTI_AXIS_LOSS ? (double)task.axis : 2;
    task.smoothing = (convti_smoothing){1 - smoothing, smoothing / classes};
    return task;
}

/* What the sum over positions is divided by. */
static double divisor_of(convt_reduction reduction, double positions,
                         const convt_sample_weight *sample_weight)
{
    if (reduction == CONVT_REDUCE_SUM) return 1;
    if (reduction == CONVT_REDUCE_MEAN || !sample_weight) return positions;
    return sample_weight->sum != 0 ? sample_weight->sum : sum_of(sample_weight->values);
}

/* What a call is about, beside the task. */
struct call {
    const convt_sample_weight *sample_weight; /* NULL: all 1 */
    bool f32;
    int64_t n, count; /* samples and elements that are given */
    double batch;     /* samples of the whole batch */
};

/* Keras multiplies the one value with every weight, and reduces that. */
static double value_of_batch(convti_loss_task *task, const struct call *call, double *error)
{
    const convti_loss_sums sums =
        sum_blocks(task, call->f32 ? convti_batch_loss_f32 : convti_batch_loss_f64, call->count, 1);
    const double value = batch_value(task, sums);
    *error = sums.error;
    task->scale = 1;
    if (call->sample_weight) {
        const convt_const_view w = call->sample_weight->values;
        const double divisor =
            divisor_of(task->loss->reduction, (double)(w.n * w.h * w.w * w.c), call->sample_weight);
        task->scale = divisor != 0 ? sum_of(w) / divisor : 0;
    }
    if (task->dy)
        sum_blocks(task, call->f32 ? convti_batch_slope_f32 : convti_batch_slope_f64, call->count,
                   1);
    return value * task->scale;
}

static double mean_of_positions(convti_loss_task *task, const struct call *call, double *error)
{
    const struct row *row = find_row(task->kind);
    const bool axis = row->form == CONVTI_AXIS_LOSS;
    const double positions = call->batch * (double)(call->count / task->axis / call->n);
    double divisor = divisor_of(task->loss->reduction, positions, call->sample_weight);
    if (row->axis_mean) divisor *= (double)task->axis;
    task->scale = divisor != 0 ? 1 / divisor : 0;
    convti_loss_block *work = axis ? convti_axis_loss_f64 : convti_element_loss_f64;
    if (call->f32) work = axis ? convti_axis_loss_f32 : convti_element_loss_f32;
    const convti_loss_sums sums = sum_blocks(task, work, call->count, axis ? task->axis : 1);
    *error = sums.error;
    return divisor != 0 ? sums.loss / divisor : 0;
}

convt_status convt_loss(const convt_loss_config *loss, convt_const_view target,
                        convt_const_view prediction, const convt_sample_weight *sample_weight,
                        int64_t batch, convt_loss_value *value, convt_view dy, convt_error *err)
{
    convti_clear(err);
    convt_status status = convti_loss_check(loss, err);
    if (!status) status = check_views(loss, target, prediction, sample_weight, dy, err);
    if (!status) status = check_batch(loss, prediction.n, batch, err);
    if (status) return status;
    if (!value) return convti_fail(err, CONVT_INVALID_ARGUMENT, "value", "is NULL");
    *value = (convt_loss_value){0, 0};
    const int64_t sample = prediction.h * prediction.w * prediction.c;
    if (prediction.n == 0 || sample == 0) return CONVT_OK;

    convti_loss_task task = task_of(loss, prediction);
    task.target = target.data;
    task.dy = dy.data;
    if (sample_weight) {
        const convt_const_view w = sample_weight->values;
        task.weight = w.data;
        task.weight_span = sample / (w.h * w.w * w.c);
    }
    const struct call call = {.sample_weight = sample_weight,
                              .f32 = prediction.dtype == CONVT_FLOAT32,
                              .n = prediction.n,
                              .batch = (double)batch,
                              .count = prediction.n * sample};
    double error;
    value->loss = convti_loss_of_batch(loss->kind) ? value_of_batch(&task, &call, &error)
                                                   : mean_of_positions(&task, &call, &error);
    value->mse = error / ((double)batch * (double)sample);
    return CONVT_OK;
}
