/*
 * Loss over one block of elements:  sums += weight * value(t, p), (output - t)^2;   dy = scale *
 * weight * slope(t, p).
 *
 * Every row of losses.def becomes vector loops: kind and reading are constants where `chunk` is
 * inlined. Rows over an axis stand in axis.h.
 */
#include "../loss.h"
#include "axis_losses.h"
#include "block.h"
#include "elements.h"

static loss_params params_of(const convti_loss_task *task)
{
    return (loss_params){
#define LOSS_ARGUMENT(name, range) .name = (real)task->params.name,
#include "convt/losses.def"
    };
}

static smoothing smoothing_of(const convti_loss_task *task)
{
    return (smoothing){(real)task->smoothing.keep, (real)task->smoothing.share};
}

/* ---- losses of elements ---------------------------------------------------------------------- */

typedef struct element {
    vec value, slope, output;
} element;

INLINE element of_output(convt_loss_kind kind, loss_params a, vec t, vec p)
{
    element e = {.output = p};
    (void)a;
    switch ((int)kind) {
#define LOSS(name, number, class_name, snake_name, VALUE, SLOPE, ...) \
    case number:                                                      \
        e.value = VALUE;                                              \
        e.slope = SLOPE;                                              \
        break;
#define SUM_LOSS LOSS
#include "convt/losses.def"
    }
    return e;
}

INLINE element of_logit(convt_loss_kind kind, loss_params a, vec t, vec z)
{
    const vec p = v_sigmoid(z);
    element e;
    switch ((int)kind) {
#define LOGIT_LOSS(name, VALUE, SLOPE) \
    case CONVT_##name:                 \
        e.value = VALUE;               \
        e.slope = SLOPE;               \
        break;
#include "convt/losses.def"
    default: e = of_output(kind, a, t, p); e.slope *= p * (1 - p);
    }
    e.output = p;
    return e;
}

/* Arrays beyond the cache come while the formulas compute. */
enum { AHEAD = 2048 / sizeof(real) };

typedef struct chunk_results {
    real value[CHUNK], error[CHUNK],
        slope[CHUNK]; /* also written behind the last element, up to a whole vector */
} chunk_results;

INLINE void chunk(convt_loss_kind kind, convti_reading reading, const convti_loss_task *task,
                  int64_t count, const real *target, const real *prediction, chunk_results *out)
{
    const loss_params a = params_of(task);
    const smoothing smooth = smoothing_of(task);
    for (int64_t i = 0; i < count; i += LANES) {
        __builtin_prefetch(prediction + i + AHEAD);
        __builtin_prefetch(target + i + AHEAD);
        const vec given = load(prediction + i, count - i), label = load(target + i, count - i);
        const vec t = label * smooth.keep + smooth.share;
        const element e = reading == CONVTI_OUTPUTS ? of_output(kind, a, t, given)
                                                    : of_logit(kind, a, t, given);
        const vec error = (reading == CONVTI_LOGITS ? given : e.output) - label;
        v_store(out->value + i, e.value);
        v_store(out->error + i, error * error);
        v_store(out->slope + i, e.slope);
    }
}

static void any_reading(const convti_loss_task *task, int64_t count, const real *target,
                        const real *prediction, chunk_results *out)
{
    switch ((int)task->kind) {
#define LOSS(name, number, ...)                                                         \
    case number:                                                                        \
        if (task->reading == CONVTI_OUTPUTS)                                            \
            chunk(number, CONVTI_OUTPUTS, task, count, target, prediction, out);        \
        else if (task->reading == CONVTI_LOGITS)                                        \
            chunk(number, CONVTI_LOGITS, task, count, target, prediction, out);         \
        else                                                                            \
            chunk(number, CONVTI_SIGMOID_LOGITS, task, count, target, prediction, out); \
        break;
#define SUM_LOSS LOSS
#include "convt/losses.def"
    }
}

static void custom(const convti_loss_task *task, int64_t count, const real *target,
                   const real *prediction, chunk_results *out)
{
    const convt_loss_config *loss = task->loss;
    const bool squash = task->reading == CONVTI_SIGMOID_LOGITS;
    for (int64_t i = 0; i < count; i += LANES) {
        const vec given = load(prediction + i, count - i);
        v_store(out->slope + i, squash ? v_sigmoid(given) : given);
    }
    for (int64_t i = 0; i < count; i++) {
        const real t = target[i], p = out->slope[i];
        double slope = 0;
        out->value[i] = (real)loss->element(loss->context, (double)t, (double)p, &slope);
        out->error[i] = (p - t) * (p - t);
        out->slope[i] = squash ? (real)slope * p * (1 - p) : (real)slope;
    }
}

static void apply_weights(const convti_loss_task *task, int64_t first, int64_t count,
                          chunk_results *out)
{
    int64_t owner = first / task->weight_span, rest = (owner + 1) * task->weight_span - first;
    for (int64_t i = 0; i < count; owner++, rest = task->weight_span) {
        const int64_t end = rest < count - i ? i + rest : count;
        const real weight = ((const real *)task->weight)[owner];
        for (; i < end; i++) {
            out->value[i] *= weight;
            out->slope[i] *= weight;
        }
    }
}

convti_loss_sums FN(convti_element_loss)(const convti_loss_task *task, int64_t first, int64_t count)
{
    const real *target = (const real *)task->target + first,
               *prediction = (const real *)task->prediction + first;
    real *dy = task->dy ? (real *)task->dy + first : NULL;
    const real scale = (real)task->scale;
    convti_loss_sums sums = {0};
    chunk_results out = {{0}, {0}, {0}};
    for (int64_t i = 0; i < count; i += CHUNK) {
        const int64_t n = count - i < CHUNK ? count - i : CHUNK;
        if (task->kind == CONVT_CUSTOM_LOSS)
            custom(task, n, target + i, prediction + i, &out);
        else
            any_reading(task, n, target + i, prediction + i, &out);
        if (task->weight) apply_weights(task, first + i, n, &out);
        sums.loss += sum(out.value, n);
        sums.error += sum(out.error, n);
        for (int64_t k = 0; dy && k < n; k += LANES) {
            __builtin_prefetch(dy + i + k + AHEAD, 1);
            store_up_to(dy + i + k, scale * v_load(out.slope + k), n - k);
        }
    }
    return sums;
}

/* ---- losses along an axis -------------------------------------------------------------------- */

typedef double axis_function(const axis_row *row, real scale, real *dy);

static axis_function *const of_outputs[] = {
#define AXIS_LOSS(name, number, class_name, snake_name, function, ...) [number] = function,
#include "convt/losses.def"
};

static axis_function *const of_logits[] = {
#define AXIS_LOGIT_LOSS(name, function) [CONVT_##name] = function,
#include "convt/losses.def"
};

convti_loss_sums FN(convti_axis_loss)(const convti_loss_task *task, int64_t first, int64_t count)
{
    const int64_t n = task->axis;
    const smoothing smooth = smoothing_of(task);
    axis_function *const function =
        (task->reading == CONVTI_LOGITS ? of_logits : of_outputs)[task->kind];
    convti_loss_sums sums = {0};
    for (int64_t at = first; at < first + count; at += n) {
        const real weight = task->weight ? ((const real *)task->weight)[at / task->weight_span] : 1;
        const axis_row row = {
            .n = n,
            .target = (const real *)task->target + (task->class_numbers ? at / n : at),
            .class_number = task->class_numbers,
            .prediction = (const real *)task->prediction + at,
            .squash = task->reading == CONVTI_SIGMOID_LOGITS,
            .smooth = smooth,
        };
        sums.loss += (double)weight * function(&row, (real)task->scale * weight,
                                               task->dy ? (real *)task->dy + at : NULL);
        sums.error += squared_error(&row);
    }
    return sums;
}

/* ---- losses of the batch --------------------------------------------------------------------- */

convti_loss_sums FN(convti_batch_loss)(const convti_loss_task *task, int64_t first, int64_t count)
{
    const axis_row all = {.n = count,
                          .target = (const real *)task->target + first,
                          .prediction = (const real *)task->prediction + first,
                          .squash = task->reading == CONVTI_SIGMOID_LOGITS,
                          .smooth = {1, 0}};
    convti_loss_sums sums = {.error = squared_error(&all)};
    axis_piece piece;
    for (int64_t i = 0; load_piece(&all, i, &piece); i += CHUNK) {
        sums.tp += sum_of_products(piece.t, piece.p, piece.n);
        sums.t += sum(piece.t, piece.n);
        sums.p += sum(piece.p, piece.n);
    }
    return sums;
}

convti_loss_sums FN(convti_batch_slope)(const convti_loss_task *task, int64_t first, int64_t count)
{
    const axis_row all = {.n = count,
                          .target = (const real *)task->target + first,
                          .prediction = (const real *)task->prediction + first,
                          .squash = task->reading == CONVTI_SIGMOID_LOGITS,
                          .smooth = {1, 0}};
    store_line(&all, task->scale * task->by_tp, 0, task->scale * task->by_p,
               (real *)task->dy + first);
    return (convti_loss_sums){0};
}
