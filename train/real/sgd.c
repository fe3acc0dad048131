/*
 * One piece of a parameter, in the order of Keras' optimizer.apply:
 *
 *     g /= loss_scale;   g = (g + accumulated) / steps
 *     g = g * times / over,   or within +-clipvalue
 *     w -= w * decay * rate
 *     w -= rate * g,    or  v = m * v - rate * g,  w += v,  with nesterov  w += m * v - rate * g
 *     average = e * average + (1 - e) * w;   w = average, now and then
 *
 * Gradients are only read: what becomes of them lies in a buffer, which stays in the L1 cache.
 */
#include <string.h>

#include "../pieces.h"
#include "../sgd.h"
#include "real.h"

/* ---- gradients: each returns g itself where it has nothing to do ----------------------------- */

static const real *unscale(const convti_sgd_rule *rule, int64_t count, const real *g, real *out)
{
    const real scale = (real)rule->loss_scale.value;
    if (!rule->loss_scale.set) return g;
    for (int64_t i = 0; i < count; i++) out[i] = g[i] / scale;
    return out;
}

static const real *accumulated_mean(const convti_sgd_rule *rule, const convti_sgd_piece *p,
                                    const real *g, real *out)
{
    const real *accumulator = p->slot[CONVTI_ACCUMULATOR];
    const real steps = (real)rule->steps;
    if (!accumulator) return g;
    for (int64_t i = 0; i < p->count; i++) out[i] = (g[i] + accumulator[i]) / steps;
    return out;
}

static const real *clip_norm(const convti_sgd_piece *p, const real *g, real *out)
{
    if (!p->clip) return g;
    const real times = (real)p->clip->times, over = (real)p->clip->over;
    for (int64_t i = 0; i < p->count; i++) out[i] = g[i] * times / over;
    return out;
}

/* NaN stays NaN. */
static const real *clip_value(const convti_sgd_rule *rule, int64_t count, const real *g, real *out)
{
    const real most = (real)rule->clipvalue.value;
    if (!rule->clipvalue.set) return g;
    for (int64_t i = 0; i < count; i++) {
        const real low = g[i] < -most ? -most : g[i];
        out[i] = low > most ? most : low;
    }
    return out;
}

static const real *to_be_clipped(const convti_sgd_rule *rule, const convti_sgd_piece *p, real *out)
{
    return accumulated_mean(rule, p, unscale(rule, p->count, p->g, out), out);
}

double FN(convti_sgd_squares)(const convti_sgd_rule *rule, const convti_sgd_piece *p)
{
    real buffer[CONVTI_PIECE];
    const real *g = to_be_clipped(rule, p, buffer);
    double sum = 0;
    for (int64_t i = 0; i < p->count; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void accumulate(const convti_sgd_rule *rule, const convti_sgd_piece *p, real *buffer)
{
    const real *g = unscale(rule, p->count, p->g, buffer);
    real *accumulator = p->slot[CONVTI_ACCUMULATOR];
    for (int64_t i = 0; i < p->count; i++) accumulator[i] = g[i] + accumulator[i];
}

static void decay_weights(const convti_sgd_rule *rule, const convti_sgd_piece *p)
{
    const real decay = (real)rule->weight_decay.value, rate = (real)rule->rate;
    real *w = p->w;
    if (!rule->weight_decay.set) return;
    for (int64_t i = 0; i < p->count; i++) w[i] -= w[i] * decay * rate;
}

static void descend(const convti_sgd_rule *rule, const convti_sgd_piece *p, const real *restrict g)
{
    const real rate = (real)rule->rate, momentum = (real)rule->momentum;
    real *restrict w = p->w, *restrict v = p->slot[CONVTI_VELOCITY];
    if (!v)
        for (int64_t i = 0; i < p->count; i++) w[i] -= rate * g[i];
    else if (!rule->nesterov)
        for (int64_t i = 0; i < p->count; i++) w[i] += v[i] = momentum * v[i] - rate * g[i];
    else
        for (int64_t i = 0; i < p->count; i++) {
            v[i] = momentum * v[i] - rate * g[i];
            w[i] += momentum * v[i] - rate * g[i];
        }
}

static void update(const convti_sgd_rule *rule, const convti_sgd_piece *p, real *buffer)
{
    const real *g = to_be_clipped(rule, p, buffer);
    g = clip_norm(p, g, buffer);
    g = clip_value(rule, p->count, g, buffer);
    decay_weights(rule, p);
    descend(rule, p, g);
    if (p->slot[CONVTI_ACCUMULATOR])
        memset(p->slot[CONVTI_ACCUMULATOR], 0, (size_t)p->count * sizeof(real));
}

static void average(const convti_sgd_rule *rule, const convti_sgd_piece *p)
{
    const real momentum = (real)rule->ema_momentum;
    real *restrict w = p->w, *restrict mean = p->slot[CONVTI_AVERAGE];
    if (!mean) return;
    for (int64_t i = 0; i < p->count; i++) mean[i] = momentum * mean[i] + (1 - momentum) * w[i];
    if (rule->overwrites) memcpy(w, mean, (size_t)p->count * sizeof(real));
}

void FN(convti_sgd_advance)(const convti_sgd_rule *rule, const convti_sgd_piece *p)
{
    real buffer[CONVTI_PIECE];
    if (rule->updates)
        update(rule, p, buffer);
    else
        accumulate(rule, p, buffer);
    average(rule, p);
}
