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
 * and explicit padding follows PyTorch and ONNX:
 *     explicit      out = (in - 1) * stride + ke - begin - end + (op or 0)
 *                   crop = begin
 */
#include "geometry.h"

#include "integer.h"
#include "names.h"
#include "status.h"
#include "tables.h"

/* Sum and product mod m for 0 <= a, b < m, also where they do not fit. */
static int64_t add_mod(int64_t a, int64_t b, int64_t m)
{
    return a >= m - b ? a - (m - b) : a + b;
}

static int64_t multiply_mod(int64_t a, int64_t b, int64_t m)
{
    int64_t product;
    if (!__builtin_mul_overflow(a, b, &product)) return product % m;
    for (product = 0; b > 0; b /= 2) {
        if (b % 2) product = add_mod(product, a, m);
        a = add_mod(a, a, m);
    }
    return product;
}

/* x with a * x = 1 (mod m), for a and m without a common divisor (Euclid). */
static int64_t inverse_mod(int64_t a, int64_t m)
{
    int64_t x = 0, next = 1, rest = m, divisor = a % m;
    while (divisor > 0) {
        int64_t q = rest / divisor, t = x - q * next, r = rest % divisor;
        x = next, next = t;
        rest = divisor, divisor = r;
    }
    return m == 1 ? 0 : x < 0 ? x + m : x;
}

/* How the output of an axis is cut from its natural length. */
struct cut {
    enum { VALID, SAME, SAME_PADDED, EXPLICIT } rule;
    bool padded; /* output_padding is given */
    int64_t output_padding, begin, end;
};

static struct cut cut_of(const convt_config *cfg, int64_t output_padding, int64_t begin,
                         int64_t end)
{
    bool padded = cfg->output_padding.set;
    struct cut cut = {.padded = padded, .output_padding = padded ? output_padding : 0};
    if (cfg->explicit_padding.set) {
        cut.rule = EXPLICIT;
        cut.begin = begin;
        cut.end = end;
    } else if (cfg->padding == CONVT_SAME) {
        cut.rule = padded ? SAME_PADDED : SAME;
    }
    return cut;
}

/* False where 64 bits do not hold a size. Integer division truncates, so halves of negative numbers
 * are clipped to 0 first. */
static bool infer_axis(struct axis *axis, struct cut cut)
{
    const int64_t op = cut.output_padding;
    int64_t extent, reach, natural, cuts;
    if (__builtin_mul_overflow(axis->kernel - 1, axis->dilation, &extent) ||
        __builtin_add_overflow(extent, 1, &extent) ||
        __builtin_mul_overflow(axis->in - 1, axis->stride, &reach) ||
        __builtin_add_overflow(reach, extent, &natural) ||
        __builtin_add_overflow(natural, greater(axis->stride, op), &natural) ||
        __builtin_add_overflow(cut.begin, cut.end, &cuts))
        return false;

    switch (cut.rule) {
    case VALID:
        axis->out = reach + extent + (cut.padded ? op : greater(axis->stride - extent, 0));
        axis->crop = 0;
        break;
    case SAME:
        axis->out = reach + axis->stride;
        axis->crop = greater(extent - axis->stride, 0) / 2;
        break;
    case SAME_PADDED:
        axis->out = reach + extent % 2 + op;
        axis->crop = greater(extent - extent % 2 - op, 0) / 2;
        break;
    case EXPLICIT:
        axis->out = reach + extent - cuts + op;
        axis->crop = cut.begin;
        break;
    }
    return true;
}

/* With room for byte counts and small multiples, which plans may then compute without a check. */
static bool product(int64_t *out, int64_t a, int64_t b, int64_t c)
{
    return !__builtin_mul_overflow(a, b, out) && !__builtin_mul_overflow(*out, c, out) &&
           *out <= INT64_MAX / 1024;
}

static convt_status too_large(const convt_config *cfg, convt_error *err)
{
    return convti_fail(err, CONVT_TOO_LARGE, "input",
                       "the sizes that follow from input (%lld, %lld, %lld) exceed 64 bits",
                       (long long)cfg->input.h, (long long)cfg->input.w, (long long)cfg->input.c);
}

/* What is left after the activation: one that takes several z for a y shortens the last axis of
 * memory. */
static convt_status infer_output(struct geometry *g, const convt_config *cfg, convt_error *err)
{
    const int64_t inputs = convti_activation_inputs(cfg->activation.kind);
    const int64_t row = g->channels_first ? g->w.out : g->filters;
    g->row = row;
    g->inputs = inputs;
    g->y = (convt_shape){g->h.out, g->w.out, g->filters};
    if (row % inputs != 0)
        return convti_fail(
            err, CONVT_INVALID_ARGUMENT, "activation",
            "activation %s needs a last axis that can be divided by %lld, got size %lld",
            convti_snake_name(CONVTI_ACTIVATIONS, (int)cfg->activation.kind), (long long)inputs,
            (long long)row);
    if (g->channels_first)
        g->y.w /= inputs;
    else
        g->y.c /= inputs;
    g->y_size = g->z_size / inputs;
    return CONVT_OK;
}

/* Conv2D's kernel is turned by 180 degrees, which counts its taps from the last one; a Dense is one
 * of a single tap. */
static struct weight_strides strides_of(const struct geometry *g)
{
    const int64_t tap = g->filters * g->channels;
    return g->turned ? (struct weight_strides){(g->taps - 1) * tap, -tap, 1, g->filters}
                     : (struct weight_strides){0, tap, g->channels, 1};
}

convt_status convti_geometry(struct geometry *g, const convt_config *cfg, convt_error *err)
{
    const convt_optional_sides *sides = &cfg->explicit_padding;
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
        .turned = cfg->kernel_order != CONVT_KERNEL_TRANSPOSED,
    };
    if (!infer_axis(&g->h, cut_of(cfg, cfg->output_padding.h, sides->top, sides->bottom)) ||
        !infer_axis(&g->w, cut_of(cfg, cfg->output_padding.w, sides->left, sides->right)))
        return too_large(cfg, err);
    if (sides->set && (g->h.out < 1 || g->w.out < 1))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "explicit_padding",
                           "explicit_padding ((%lld, %lld), (%lld, %lld)) leaves no output: "
                           "(%lld, %lld)",
                           (long long)sides->top, (long long)sides->bottom, (long long)sides->left,
                           (long long)sides->right, (long long)g->h.out, (long long)g->w.out);
    if (!product(&g->x_size, g->h.in, g->w.in, g->channels) ||
        !product(&g->z_size, g->h.out, g->w.out, g->filters) ||
        !product(&g->taps, g->h.kernel, g->w.kernel, 1) ||
        !product(&g->w_size, g->taps, g->filters, g->channels))
        return too_large(cfg, err);
    g->stored = strides_of(g);
    return infer_output(g, cfg, err);
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
 * dilation); in descending order i ascends by dilation / g. Only residues that an output has are
 * visited, so that a stride far beyond the output costs nothing; taps that no output reads come
 * last.
 */
void convti_plan_forward(struct axis_plan *plan, const struct axis *axis)
{
    const int64_t s = axis->stride, d = axis->dilation, g = common_divisor(s, d), period = s / g;
    const int64_t inverse = inverse_mod(d / g, period), phases = lesser(s, axis->out);
    int64_t slot = 0;
    plan->count = 0;
    for (int64_t phase = 0; phase < phases; phase++) {
        const int64_t series = slot, residue = add_mod(phase, axis->crop % s, s);
        const int64_t lowest =
            residue % g == 0 ? multiply_mod(residue / g % period, inverse, period) : axis->kernel;
        const int64_t taps = ceil_div(axis->kernel - lowest, period);
        for (int64_t k = taps - 1; k >= 0; k--) plan->tap_of_slot[slot++] = lowest + k * period;

        for (int64_t o = phase; o < axis->out; o += s) {
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
            add_position(plan, o != phase, c);
        }
    }
    for (int64_t t = 0; t < axis->kernel && phases < s; t++) {
        const int64_t residue = t * d % s, phase = residue - axis->crop % s;
        if ((phase < 0 ? phase + s : phase) >= phases) plan->tap_of_slot[slot++] = t;
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
