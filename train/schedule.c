/*
 * Learning rates by step, as Keras' schedules give them, in Keras' order of operations. Every
 * schedule is a row of schedules.def over the functions of this file:
 *
 *     exponential, inverse time   rate * decay_rate^p,  rate / (1 + decay_rate * p),
 *                                 p = step / decay_steps, rounded down with staircase
 *     polynomial                  (rate - end) * (1 - step / decay_steps)^power + end
 *     cosine                      top * ((1 - alpha) * (1 + cos(pi * p)) / 2 + alpha)
 *     piecewise constant          values[i] where boundaries[i - 1] < step <= boundaries[i]
 */
#include "schedule.h"

#include <math.h>

#include "argument.h"
#include "names.h"
#include "status.h"

static const double pi = 3.14159265358979323846;

/* ---- rows ------------------------------------------------------------------------------------ */

static const convti_schedule_arguments rows[] = {
#define SCHEDULE(enumerator, number, class_name, rate, ...) [number] = __VA_ARGS__,
#include "convt/schedules.def"
};

const convti_schedule_arguments *convti_schedule_arguments_of(convt_schedule_kind kind)
{
    return (size_t)kind < sizeof rows / sizeof *rows && rows[kind].name ? &rows[kind] : NULL;
}

static convt_status check_boundaries(const convt_schedule *s, const char *field, convt_error *err)
{
    if (s->boundary_count < 1 || s->boundary_count > CONVT_MOST_BOUNDARIES)
        return convti_argument_fail(err, field, "boundaries", "must be 1 to %d numbers, got %d",
                                    CONVT_MOST_BOUNDARIES, s->boundary_count);
    for (int i = 0; i < s->boundary_count; i++)
        if (!isfinite(s->boundaries[i]))
            return convti_argument_fail(err, field, "boundaries", "must be finite, got %g",
                                        s->boundaries[i]);
    for (int i = 0; i <= s->boundary_count; i++)
        if (!isfinite(s->values[i]))
            return convti_argument_fail(err, field, "values", "must be finite, got %g",
                                        s->values[i]);
    return CONVT_OK;
}

convt_status convti_schedule_check(const convt_schedule *s, const char *field, convt_error *err)
{
    static const convti_schedule_arguments constant;
    const convti_schedule_arguments *row = convti_schedule_arguments_of(s->kind);
    const char *owner = row ? convti_class_name(CONVTI_SCHEDULES, (int)s->kind) : "a constant rate";
    if (!row && s->kind != CONVT_CONSTANT_RATE)
        return convti_argument_fail(err, field, "kind", "is no schedule: number %d", (int)s->kind);
    if (!row) row = &constant;
    const convti_argument arguments[] = {
#define SCHEDULE_ARGUMENT(name, range) {#name, s->name, row->name, CONVTI_##range},
#include "convt/schedules.def"
    };
    convt_status status = convti_arguments_check(
        arguments, (int)(sizeof arguments / sizeof *arguments), owner, field, err);
    if (status) return status;
    if (row->boundaries) return check_boundaries(s, field, err);
    if (s->boundary_count != 0)
        return convti_argument_fail(err, field, "boundaries",
                                    "is not an argument of %s, got %d numbers", owner,
                                    s->boundary_count);
    return CONVT_OK;
}

/* ---- formulas -------------------------------------------------------------------------------- */

/* Arguments with defaults filled in. */
struct params {
#define SCHEDULE_ARGUMENT(name, range) double name;
#include "convt/schedules.def"
    int boundary_count;
    const double *boundaries, *values;
};

static double periods(const struct params *s, double step)
{
    const double p = step / s->decay_steps;
    return s->staircase > 0 ? floor(p) : p;
}

/* From 1 down to 0 while done goes from 0 to 1. */
static double half_wave(double done)
{
    return 0.5 * (1 + cos(pi * done));
}

/* A line from rate to warmup_target, then the wave from there. Without a target there is no
 * warm-up, whatever warmup_steps says. */
static double cosine_decay(const struct params *s, double rate, double step)
{
    const bool warms = isfinite(s->warmup_target);
    const double warmup = warms ? s->warmup_steps : 0, top = warms ? s->warmup_target : rate;
    const double now = fmin(step, s->decay_steps + warmup);
    if (now < warmup) return (top - rate) * (now / warmup) + rate;
    return top * ((1 - s->alpha) * half_wave((now - warmup) / s->decay_steps) + s->alpha);
}

/* Period i is t_mul^i times as long as the first and begins at m_mul^i times the rate. */
static double cosine_decay_restarts(const struct params *s, double rate, double step)
{
    const double t = s->t_mul, all = step / s->first_decay_steps;
    const bool equal = t >= 1 && t <= 1;
    const double i = floor(equal ? all : log(1 - all * (1 - t)) / log(t));
    const double done = equal ? all - i : (all - (1 - pow(t, i)) / (1 - t)) / pow(t, i);
    const double wave = pow(s->m_mul, i) * half_wave(done);
    return rate * ((1 - s->alpha) * wave + s->alpha);
}

/* cycle: over the first multiple of decay_steps that step does not exceed. */
static double polynomial_decay(const struct params *s, double rate, double step)
{
    const double cycles = s->cycle > 0 && step > 0 ? ceil(step / s->decay_steps) : 1;
    const double p = fmin(step / (s->decay_steps * cycles), 1);
    return (rate - s->end_learning_rate) * pow(1 - p, s->power) + s->end_learning_rate;
}

/* Keras adds up the values of all ranges that a step lies in, so that boundaries out of order give
 * what they give there; and counts steps in integers, to which it cuts the boundaries. */
static double piecewise_constant_decay(const struct params *s, double step)
{
    const int last = s->boundary_count;
    double rate = 0;
    for (int i = 0; i <= last; i++) {
        const bool above = i == 0 || step > trunc(s->boundaries[i - 1]);
        const bool below = i == last || step <= trunc(s->boundaries[i]);
        if (above && below) rate += s->values[i];
    }
    return rate;
}

static struct params params_of(const convt_schedule *given, const convti_schedule_arguments *row)
{
    struct params s = {.boundary_count = given->boundary_count,
                       .boundaries = given->boundaries,
                       .values = given->values};
#define SCHEDULE_ARGUMENT(name, range) s.name = convti_argument_value(given->name, row->name);
#include "convt/schedules.def"
    return s;
}

static double rate_at(convt_schedule_kind kind, const struct params *s, double rate, double step)
{
#define SCHEDULE(enumerator, number, class_name, formula, ...) \
    if (kind == CONVT_##enumerator) return formula;
#include "convt/schedules.def"
    return rate;
}

double convt_schedule_rate(const convt_sgd_config *cfg, int64_t step)
{
    const convti_schedule_arguments *row = convti_schedule_arguments_of(cfg->schedule.kind);
    const double rate = cfg->learning_rate.set ? cfg->learning_rate.value : 0.01;
    struct params s = {0};
    if (row) s = params_of(&cfg->schedule, row);
    return rate_at(cfg->schedule.kind, &s, rate, (double)step);
}
