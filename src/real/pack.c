/*
 * Packed weights, from the kernel in whatever order it is stored:
 *
 *     wide panels   b[panel][slot][k][column]   columns padded with zeros to whole vectors
 *     dot panels    b[column][slot][k]
 *
 * where (column, k) is (filter, channel) forward and (channel, filter) for dx, and slots are the
 * taps in the plan's order. And the way back of dw into the stored order.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

struct source {
    const real *w;
    const struct gather_plan *plan;
    const struct kernels *kernels;
    int64_t column_stride, k_stride; /* in w; one of them is 1 */
    int64_t tap_stride;
};

static const real *tap_of(const struct source *s, int64_t slot)
{
    int64_t th = s->plan->h.tap_of_slot[slot / s->plan->kernel_w],
            tw = s->plan->w.tap_of_slot[slot % s->plan->kernel_w];
    return s->w + (th * s->plan->kernel_w + tw) * s->tap_stride;
}

static void pack_wide(const struct source *s, int64_t panel, int64_t slot, real *packed)
{
    const struct gather_plan *p = s->plan;
    const int64_t first = panel * p->panel, columns = lesser(p->panel, p->columns - first);
    const int64_t lanes = s->kernels->tiles.lanes, width = ceil_div(columns, lanes) * lanes;
    const real *w = tap_of(s, slot) + first * s->column_stride;
    real *b = packed + first * p->taps * p->k + slot * p->k * width;
    if (s->k_stride == 1)
        s->kernels->transpose(columns, p->k, w, s->column_stride, b, width);
    else
        for (int64_t k = 0; k < p->k; k++)
            memcpy(b + k * width, w + k * s->k_stride, (size_t)columns * sizeof(real));
    for (int64_t k = 0; k < p->k && columns < width; k++)
        memset(b + k * width + columns, 0, (size_t)(width - columns) * sizeof(real));
}

static void pack_dot(const struct source *s, int64_t column, int64_t slot, real *packed)
{
    const struct gather_plan *p = s->plan;
    const real *w = tap_of(s, slot) + column * s->column_stride;
    real *b = packed + (column * p->taps + slot) * p->k;
    for (int64_t k = 0; k < p->k; k++) b[k] = w[k * s->k_stride];
}

static void pack(struct team *team, const struct source *s, real *packed)
{
    int64_t outer = s->plan->dot ? s->plan->columns : s->plan->panels,
            items = outer * s->plan->taps;
    const struct share own = convti_share(team, items);
    for (int64_t item = own.first; item < own.last; item++)
        (s->plan->dot ? pack_dot : pack_wide)(s, item / s->plan->taps, item % s->plan->taps,
                                              packed);
}

void FN(convti_pack_forward)(struct team *team, const struct convt_layer *l)
{
    const struct geometry *g = &l->geometry;
    const struct weight_strides *s = &g->stored;
    const real *w = l->kernel;
    switch (l->forward_by) {
    case BY_LINES: FN(convti_pack_lines)(team, l); break;
    case BY_FOLD: FN(convti_pack_fold)(team, l); break;
    case BY_GATHER:
        pack(team,
             &(struct source){w + s->first, &l->forward, l->kernels, s->filter, s->channel, s->tap},
             l->packed_forward);
    }
    if (l->bias) {
        const real *bias = l->bias;
        real *padded = l->packed_bias;
        const struct share own = convti_share(team, l->forward.panels * l->forward.panel);
        for (int64_t j = own.first; j < own.last; j++) padded[j] = j < g->filters ? bias[j] : 0;
    }
    convti_wait(team);
}

void FN(convti_pack_backward)(struct team *team, const struct convt_layer *l)
{
    const struct weight_strides *s = &l->geometry.stored;
    const real *w = l->kernel;
    pack(team,
         &(struct source){w + s->first, &l->backward, l->kernels, s->channel, s->filter, s->tap},
         l->packed_backward);
    convti_wait(team);
}

/* Filters and channels of an item: it writes rows of several cache lines, but not so many rows that
 * those which share a set of the cache, a power of two apart, drive one another out. */
enum { TURN_FILTERS = 128, TURN_CHANNELS = 32 };

void FN(convti_turn_dw)(struct team *team, const struct convt_layer *l)
{
    const struct geometry *g = &l->geometry;
    const struct weight_strides *s = &g->stored;
    const struct kernels *kernels = l->kernels;
    const real *dw = l->dw;
    real *stored = (real *)l->dkernel + s->first;
    const int64_t across = ceil_div(g->channels, TURN_CHANNELS),
                  blocks = ceil_div(g->filters, TURN_FILTERS) * across;
    const struct share own = convti_share(team, g->taps * blocks);
    for (int64_t i = own.first; i < own.last; i++) {
        const int64_t t = i / blocks, f = i % blocks / across * TURN_FILTERS,
                      c = i % across * TURN_CHANNELS;
        kernels->transpose(lesser(TURN_FILTERS, g->filters - f),
                           lesser(TURN_CHANNELS, g->channels - c),
                           dw + (t * g->filters + f) * g->channels + c, g->channels,
                           stored + t * s->tap + f * s->filter + c * s->channel, s->channel);
    }
}
