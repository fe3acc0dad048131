/*
 * w -= w * decay * rate;   then   w -= rate * g,   or with momentum m
 * v = m * v - rate * g,    w += v,                 or with nesterov   w += m * v - rate * g.
 */
#include "../sgd.h"

#include "real.h"

void FN(convti_sgd_update)(const convti_sgd_rule *rule, int64_t count, void *value,
                           const void *gradient, void *velocity)
{
    real *restrict w = value, *restrict v = velocity;
    const real *restrict g = gradient;
    const real rate = (real)rule->rate, momentum = (real)rule->momentum,
               decay = (real)rule->weight_decay.value;
    if (rule->weight_decay.set)
        for (int64_t i = 0; i < count; i++) w[i] -= w[i] * decay * rate;
    if (!v)
        for (int64_t i = 0; i < count; i++) w[i] -= rate * g[i];
    else if (!rule->nesterov)
        for (int64_t i = 0; i < count; i++) w[i] += v[i] = momentum * v[i] - rate * g[i];
    else
        for (int64_t i = 0; i < count; i++) {
            v[i] = momentum * v[i] - rate * g[i];
            w[i] += momentum * v[i] - rate * g[i];
        }
}
