/*
 * The default decoder: from a code of 1x1xD to the image, the side doubled by each layer.
 *
 *   1x1xD -> 7x7x64 -> 14x14x64 -> 28x28x32 -> 28x28x1    kernel 7 valid, then 3 same
 *
 * Any size works: each axis is halved, rounding up, until it is at most 7; on the way back `same`
 * with output_padding 1 or 0 reaches 2n or 2n - 1. Axes are independent; the one with fewer
 * doublings starts later, where maps are still small.
 *
 * Kernels start normal with variance 2 / (channels in * taps that reach an output), He et al.'s
 * rule with the true number of summands: a stride 2 leaves 1.5 of 3 taps per axis. The last layer
 * has no relu behind it, hence gain 1.
 */
#include "decoder.h"

#include <math.h>

enum { BASE_SIDE = 7, TAPS = 3, WIDE = 64, NARROW = 32, MAX_LEVELS = 32 };

/* The sizes an axis passes through, finest first: 28, 14, 7. */
typedef struct axis {
    int64_t size[MAX_LEVELS + 1];
    int halvings;
} axis;

/* From `from` to `to`; a `from` of 1 stands for any size that a first valid kernel makes of it. */
static bool plan_axis(axis *plan, int64_t from, int64_t to)
{
    int64_t goal = from == 1 ? BASE_SIDE : from;
    plan->halvings = 0;
    plan->size[0] = to;
    while (plan->size[plan->halvings] > goal && plan->halvings < MAX_LEVELS) {
        int64_t size = plan->size[plan->halvings];
        plan->size[++plan->halvings] = size / 2 + size % 2;
    }
    int64_t coarse = plan->size[plan->halvings];
    return from == 1 ? coarse <= BASE_SIDE : coarse == from;
}

static convt_initializer normal(double gain, int64_t channels, double taps)
{
    return (convt_initializer){.kind = CONVT_RANDOM_NORMAL,
                               .stddev = CONVT_SET(sqrt(gain / ((double)channels * taps)))};
}

static double reaching_taps(convt_hw strides)
{
    return (double)(TAPS * TAPS) / (double)(strides.h * strides.w);
}

/* A layer that doubles one axis or both; `level` counts doublings that remain after it. */
static convt_config doubling(const axis *h, const axis *w, int level, int64_t channels)
{
    bool grows_h = level < h->halvings, grows_w = level < w->halvings;
    convt_hw strides = {grows_h ? 2 : 1, grows_w ? 2 : 1};
    bool exact = (grows_h && h->size[level] % 2 == 0) && (grows_w && w->size[level] % 2 == 0);
    convt_config layer = {
        .filters = level == 0 ? NARROW : WIDE,
        .kernel_size = {TAPS, TAPS},
        .strides = strides,
        .padding = CONVT_SAME,
        .activation = {.kind = CONVT_RELU},
        .kernel_initializer = normal(2, channels, reaching_taps(strides)),
    };
    /* Keras' default already gives 2n where both axes double. */
    if (!exact)
        layer.output_padding =
            CONVT_SET_HW(grows_h && h->size[level] % 2 == 0, grows_w && w->size[level] % 2 == 0);
    return layer;
}

int decoder_design(convt_config layers[DECODER_MAX_LAYERS], convt_shape input, convt_shape output,
                   bool sigmoid)
{
    axis h, w;
    int count = 0;
    int64_t channels = input.c;
    if (!plan_axis(&h, input.h, output.h) || !plan_axis(&w, input.w, output.w)) return 0;
    convt_hw base = {input.h == 1 ? h.size[h.halvings] : 1, input.w == 1 ? w.size[w.halvings] : 1};
    layers[count++] = (convt_config){
        .filters = WIDE,
        .kernel_size = base,
        .activation = {.kind = CONVT_RELU},
        .kernel_initializer = normal(2, channels, 1),
    };
    int levels = h.halvings > w.halvings ? h.halvings : w.halvings;
    for (int level = levels - 1; level >= 0; level--) {
        layers[count] = doubling(&h, &w, level, layers[count - 1].filters);
        count++;
    }
    layers[count] = (convt_config){
        .filters = output.c,
        .kernel_size = {TAPS, TAPS},
        .padding = CONVT_SAME,
        .activation = {.kind = sigmoid ? CONVT_SIGMOID : CONVT_LINEAR},
        .kernel_initializer = normal(1, layers[count - 1].filters, TAPS * TAPS),
    };
    layers[0].input = input;
    return count + 1;
}
