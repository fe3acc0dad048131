/*
 * Learning rates by step, as Keras' schedules give them.
 *
 * CosineDecay: while step < warmup_steps a line from rate to warmup_target; then, over k = step -
 * warmup_steps <= decay_steps,
 *     top * ((1 - alpha) * (1 + cos(pi * k / decay_steps)) / 2 + alpha),   top = warmup_target.
 * Without a warmup_target there is no warm-up whatever warmup_steps says, and top = rate.
 */
#include "convt/train.h"

#include <math.h>

static double cosine_decay(const convt_schedule *s, double rate, double step)
{
    const double pi = 3.14159265358979323846;
    const double warmup = s->warmup_target.set ? s->warmup_steps : 0;
    if (step < warmup) return rate + (s->warmup_target.value - rate) * (step / warmup);
    const double top = s->warmup_target.set ? s->warmup_target.value : rate;
    const double done = fmin(step - warmup, s->decay_steps) / s->decay_steps;
    return top * ((1 - s->alpha) * 0.5 * (1 + cos(pi * done)) + s->alpha);
}

double convt_schedule_rate(const convt_sgd_config *cfg, int64_t step_number)
{
    const double rate = cfg->learning_rate.set ? cfg->learning_rate.value : 0.01;
    const double step = (double)step_number;
    const convt_schedule *s = &cfg->schedule;
    switch (s->kind) {
    case CONVT_CONSTANT_RATE: break;
#define SCHEDULE(name, number, class_name, RATE) \
    case CONVT_##name:                           \
        return RATE;
#include "convt/schedules.def"
#undef SCHEDULE
    }
    return rate;
}
