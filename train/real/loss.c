/*
 * Loss over one block of elements:  sums += value(t, p), (output - t)^2;   dy = scale * slope(t,
 * p).
 *
 * Every row of losses.def becomes vector loops: kind and reading are constants where `chunk` is
 * inlined.
 */
#include "../loss.h"
#include "elements.h"

enum { CHUNK = 256, PARTIAL_SUMS = 8 };

typedef struct element {
    vec value, slope, output;
} element;

INLINE element of_output(convt_loss_kind kind, vec t, vec p)
{
    element e = {.output = p};
    switch ((int)kind) {
#define LOSS(name, number, class_name, snake_name, short_name, VALUE, SLOPE) \
    case CONVT_##name:                                                       \
        e.value = VALUE;                                                     \
        e.slope = SLOPE;                                                     \
        break;
#include "convt/losses.def"
    }
    return e;
}

INLINE element of_logit(convt_loss_kind kind, vec t, vec z)
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
    default: e = of_output(kind, t, p); e.slope *= p * (1 - p);
    }
    e.output = p;
    return e;
}

INLINE vec load(const real *a, int64_t count)
{
    return count >= LANES ? v_load(a) : v_load_part(a, count);
}

typedef struct chunk_results {
    real value[CHUNK], error[CHUNK],
        slope[CHUNK]; /* also written behind the last element, up to a whole vector */
} chunk_results;

INLINE void chunk(convt_loss_kind kind, convti_reading reading, int64_t count, const real *target,
                  const real *prediction, chunk_results *out)
{
    for (int64_t i = 0; i < count; i += LANES) {
        const vec t = load(target + i, count - i), given = load(prediction + i, count - i);
        const element e = reading == CONVTI_OUTPUTS ? of_output(kind, t, given)
                                                    : of_logit(kind, t, given);
        const vec error = (reading == CONVTI_LOGITS ? given : e.output) - t;
        v_store(out->value + i, e.value);
        v_store(out->error + i, error * error);
        v_store(out->slope + i, e.slope);
    }
}

static void any_reading(convt_loss_kind kind, convti_reading reading, int64_t count,
                        const real *target, const real *prediction, chunk_results *out)
{
    switch ((int)kind) {
#define LOSS(name, ...)                                                                 \
    case CONVT_##name:                                                                  \
        if (reading == CONVTI_OUTPUTS)                                                  \
            chunk(CONVT_##name, CONVTI_OUTPUTS, count, target, prediction, out);        \
        else if (reading == CONVTI_LOGITS)                                              \
            chunk(CONVT_##name, CONVTI_LOGITS, count, target, prediction, out);         \
        else                                                                            \
            chunk(CONVT_##name, CONVTI_SIGMOID_LOGITS, count, target, prediction, out); \
        break;
#include "convt/losses.def"
    }
}

static void custom(const convt_loss_config *loss, convti_reading reading, int64_t count,
                   const real *target, const real *prediction, chunk_results *out)
{
    const bool squash = reading == CONVTI_SIGMOID_LOGITS;
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

/* In double, over partial sums, in an order that depends on count alone. */
static double sum(const real *a, int64_t count)
{
    double part[PARTIAL_SUMS] = {0}, total = 0;
    int64_t i = 0;
    for (; i + PARTIAL_SUMS <= count; i += PARTIAL_SUMS)
        for (int k = 0; k < PARTIAL_SUMS; k++) part[k] += (double)a[i + k];
    for (int k = 0; k < PARTIAL_SUMS; k++) total += part[k];
    for (; i < count; i++) total += (double)a[i];
    return total;
}

convt_loss_value FN(convti_loss_block)(const convti_loss_task *task, int64_t first, int64_t count)
{
    const real *target = (const real *)task->target + first,
               *prediction = (const real *)task->prediction + first;
    real *dy = task->dy ? (real *)task->dy + first : NULL;
    const real scale = (real)task->scale;
    convt_loss_value sums = {0, 0};
    chunk_results out = {{0}, {0}, {0}};
    for (int64_t i = 0; i < count; i += CHUNK) {
        const int64_t n = count - i < CHUNK ? count - i : CHUNK;
        if (task->kind == CONVT_CUSTOM_LOSS)
            custom(task->loss, task->reading, n, target + i, prediction + i, &out);
        else
            any_reading(task->kind, task->reading, n, target + i, prediction + i, &out);
        sums.loss += sum(out.value, n);
        sums.mse += sum(out.error, n);
        if (dy)
            for (int64_t k = 0; k < n; k++) dy[i + k] = scale * out.slope[k];
    }
    return sums;
}
