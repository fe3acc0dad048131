/*
 * Output sizes, crops and tap classes.
 *
 * Sizes and crops follow Keras 3: with ke = (kernel - 1) * dilation + 1,
 *     valid         out = (in - 1) * stride + ke + (op or max(stride - ke, 0))
 *                   crop = 0
 *     same          out = in * stride
 *                   crop = max((ke - stride) / 2, 0)
 *     same with op  out = (in - 1) * stride + ke % 2 + op
 *                   crop = max((ke - ke % 2 - op) / 2, 0)
 */
#include "geometry.h"

#include "integer.h"
#include "status.h"

static int64_t gcd(int64_t a, int64_t b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* False where 64 bits do not hold a size. Integer division truncates, so halves of negative numbers
 * are clipped to 0 first. */
static bool infer_axis(struct axis *axis, bool same, bool padded, int64_t output_padding)
{
    int64_t extent, reach, natural;
    if (__builtin_mul_overflow(axis->kernel - 1, axis->dilation, &extent) ||
        __builtin_add_overflow(extent, 1, &extent) ||
        __builtin_mul_overflow(axis->in - 1, axis->stride, &reach) ||
        __builtin_add_overflow(reach, extent, &natural) ||
        __builtin_add_overflow(natural, greater(axis->stride, output_padding), &natural))
        return false;

    if (!same) {
        axis->out = reach + extent + (padded ? output_padding : greater(axis->stride - extent, 0));
        axis->crop = 0;
    } else if (!padded) {
        axis->out = reach + axis->stride;
        axis->crop = greater(extent - axis->stride, 0) / 2;
    } else {
        axis->out = reach + extent % 2 + output_padding;
        axis->crop = greater(extent - extent % 2 - output_padding, 0) / 2;
    }
    return true;
}

/* With room for byte counts and small multiples, which plans may then compute without a check. */
static bool product(int64_t *out, int64_t a, int64_t b, int64_t c)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out) &&
           *out <= INT64_MAX / 1024;
}

convt_status convti_geometry(struct geometry *g, const convt_config *cfg, convt_error *err)
{
    *g = (struct geometry){
        .h = {.in = cfg->input.h,
              .kernel = cfg->kernel_size.h,
              .stride = cfg->strides.h,
              .dilation = cfg->dilation_rate.h},
        .w = {.in = cfg->input.w,
              .kernel = cfg->kernel_size.w,
              .stride = cfg->strides.w,
              .dilation = cfg->dilation_rate.w},
        .channels = cfg->input.c,
        .filters = cfg->filters,
        .channels_first = cfg->data_format == CONVT_CHANNELS_FIRST,
    };
    bool same = cfg->padding == CONVT_SAME, padded = cfg->output_padding.set;
    int64_t weights;
    if (!infer_axis(&g->h, same, padded, cfg->output_padding.h) ||
        !infer_axis(&g->w, same, padded, cfg->output_padding.w) ||
        !product(&g->x_size, g->h.in, g->w.in, g->channels) ||
        !product(&g->y_size, g->h.out, g->w.out, g->filters) ||
        !product(&g->taps, g->h.kernel, g->w.kernel, 1) ||
        !product(&weights, g->taps, g->filters, g->channels))
        return convti_fail(err, CONVT_TOO_LARGE, "input",
                           "the sizes that follow from input (%lld, %lld, %lld) exceed 64 bits",
                           (long long)cfg->input.h, (long long)cfg->input.w,
                           (long long)cfg->input.c);
    g->w_size = weights;
    return CONVT_OK;
}

int64_t convti_forward_classes(const struct axis *axis)
{
    return lesser(axis->out, 2 * axis->kernel + axis->stride);
}

int64_t convti_backward_classes(const struct axis *axis)
{
    return lesser(axis->in, 2 * axis->kernel + 1);
}

/* Appends position to the last class where the taps are the same, else opens a class. */
static void add_position(struct axis_plan *plan, bool same_series, struct tap_class fresh)
{
    struct tap_class *last = plan->count > 0 ? &plan->classes[plan->count - 1] : NULL;
    if (same_series && last && last->slot == fresh.slot && last->taps == fresh.taps)
        last->count++;
    else
        plan->classes[plan->count++] = fresh;
}

/*
 * Forward: o is reached from i = (o + crop - t * dilation) / stride by the taps with t * dilation =
 * o + crop (mod stride). For one residue these are every (stride / g)-th tap, g = gcd(stride,
 * dilation); in descending order i ascends by dilation / g.
 */
void convti_plan_forward(struct axis_plan *plan, const struct axis *axis)
{
    int64_t s = axis->stride, d = axis->dilation, g = gcd(s, d), slot = 0;
    plan->count = 0;
    for (int64_t residue = 0; residue < s; residue++) {
        int64_t series = slot;
        for (int64_t t = axis->kernel - 1; t >= 0; t--)
            if (t * d % s == residue) plan->tap_of_slot[slot++] = t;

        int64_t first = ((residue - axis->crop) % s + s) % s;
        for (int64_t o = first; o < axis->out; o += s) {
            struct tap_class c = {.first = o,
                                  .step = s,
                                  .count = 1,
                                  .slot = series,
                                  .source_step = 1,
                                  .tap_step = d / g};
            for (int64_t at = series; at < slot; at++) {
                int64_t reach = o + axis->crop - plan->tap_of_slot[at] * d;
                if (reach < 0 || reach / s >= axis->in) continue;
                if (c.taps++ == 0) {
                    c.slot = at;
                    c.source = reach / s;
                }
            }
            add_position(plan, o != first, c);
        }
    }
}

/* dx: i reads dz at o = i * stride + t * dilation - crop. Slots are the taps in ascending order. */
void convti_plan_backward(struct axis_plan *plan, const struct axis *axis)
{
    plan->count = 0;
    for (int64_t t = 0; t < axis->kernel; t++) plan->tap_of_slot[t] = t;
    for (int64_t i = 0; i < axis->in; i++) {
        struct tap_class c = {.first = i,
                              .step = 1,
                              .count = 1,
                              .source_step = axis->stride,
                              .tap_step = axis->dilation};
        for (int64_t t = 0; t < axis->kernel; t++) {
            int64_t o = i * axis->stride + t * axis->dilation - axis->crop;
            if (o < 0 || o >= axis->out) continue;
            if (c.taps++ == 0) {
                c.slot = t;
                c.source = o;
            }
        }
        add_position(plan, i > 0, c);
    }
}
