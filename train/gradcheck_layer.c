/*
 * Which elements of a layer's inputs share no output, so that all of them may be moved at once. Per
 * axis an output o is reached from
 *
 *     x   position i, where 0 <= o + crop - i*s <= reach, reach = (k - 1)*d: positions that are
 *         reach / s + 1 apart share none
 *     w   tap t, where s divides o + crop - t*d: those that differ modulo T = s / gcd(s, d)
 *         share none
 *     b   everywhere
 *
 * Channels of x share outputs, filters do not, samples do not. A color is thus, of x, (i mod
 * period) of both axes and a channel; of w, (t / T) of both axes and a channel; of b there is one.
 * An activation along the last axis of memory mixes filters, or, where channels come first, all of
 * a row: then those are moved one by one.
 */
#include "integer.h"
#include "subject.h"

/* How many colors an axis of x, or of the kernel, takes. mixed: each by itself. */
static int64_t x_period(const struct axis *a, bool mixed)
{
    return mixed ? a->in : lesser((a->kernel - 1) * a->dilation / a->stride + 1, a->in);
}

static int64_t tap_classes(const struct axis *a, bool mixed)
{
    return mixed ? 1 : a->stride / common_divisor(a->stride, a->dilation);
}

static int64_t tap_ranks(const struct axis *a, bool mixed)
{
    return ceil_div(a->kernel, tap_classes(a, mixed));
}

static bool mixes_filters(const convti_subject *s)
{
    return s->mixes && !s->geometry.channels_first;
}

static bool mixes_width(const convti_subject *s)
{
    return s->mixes && s->geometry.channels_first;
}

static int64_t colors(void *context, int input)
{
    const convti_subject *s = context;
    const struct geometry *g = &s->geometry;
    const bool w = mixes_width(s);
    const int64_t filters = mixes_filters(s) ? g->filters : 1;
    if (input == CONVTI_X) return x_period(&g->h, false) * x_period(&g->w, w) * g->channels;
    if (input == CONVTI_KERNEL)
        return tap_ranks(&g->h, false) * tap_ranks(&g->w, w) * g->channels * filters;
    return filters;
}

/* ---- indices --------------------------------------------------------------------------------- */

struct place {
    int64_t n, h, w, c;
};

static struct place place_of(bool channels_first, convt_shape s, int64_t e)
{
    const int64_t last = channels_first ? s.w : s.c, middle = channels_first ? s.h : s.w,
                  first = channels_first ? s.c : s.h;
    const int64_t a = e % last, b = e / last % middle, c = e / last / middle % first,
                  n = e / last / middle / first;
    return channels_first ? (struct place){n, b, a, c} : (struct place){n, c, b, a};
}

static int64_t element_of(bool channels_first, convt_shape s, struct place p)
{
    return channels_first ? ((p.n * s.c + p.c) * s.h + p.h) * s.w + p.w
                          : ((p.n * s.h + p.h) * s.w + p.w) * s.c + p.c;
}

static convt_shape x_shape(const struct geometry *g)
{
    return (convt_shape){g->h.in, g->w.in, g->channels};
}

/* Colors are mixed numbers, too: two of the axes, a channel, and a filter where filters mix. */
static int64_t color(void *context, int input, int64_t e)
{
    const convti_subject *s = context;
    const struct geometry *g = &s->geometry;
    const bool w = mixes_width(s), f = mixes_filters(s);
    if (input == CONVTI_BIAS) return f ? e : 0;
    if (input == CONVTI_X) {
        const struct place p = place_of(g->channels_first, x_shape(g), e);
        const int64_t ph = x_period(&g->h, false), pw = x_period(&g->w, w);
        return (p.h % ph * pw + p.w % pw) * g->channels + p.c;
    }
    const struct weight_strides *at = &g->stored; /* |at->tap| elements a tap */
    const int64_t c = e / at->channel % g->channels, filter = e / at->filter % g->filters,
                  tap = (e - e % at->tap - at->first) / at->tap, kw = tap % g->w.kernel,
                  kh = tap / g->w.kernel;
    const int64_t rank = kh / tap_classes(&g->h, false) * tap_ranks(&g->w, w) +
                         kw / tap_classes(&g->w, w);
    return (rank * g->channels + c) * (f ? g->filters : 1) + (f ? filter : 0);
}

/* The position of x with that phase that reaches o, -1: none. */
static int64_t x_reaching(const struct axis *a, int64_t phase, int64_t o, bool mixed)
{
    const int64_t period = x_period(a, mixed), reach = (a->kernel - 1) * a->dilation;
    if (mixed) return phase;
    const int64_t last = lesser((o + a->crop) / a->stride, a->in - 1);
    const int64_t first = ceil_div(o + a->crop - reach, a->stride);
    const int64_t i = last - ((last - phase) % period + period) % period;
    return i >= first && i >= 0 ? i : -1;
}

/* The tap of that rank that reaches o, -1: none. */
static int64_t tap_reaching(const struct axis *a, int64_t rank, int64_t o, bool mixed)
{
    const int64_t classes = tap_classes(a, mixed), first = rank * classes;
    if (mixed) return rank;
    for (int64_t t = first; t < first + classes && t < a->kernel; t++)
        if ((o + a->crop - t * a->dilation) % a->stride == 0) return t;
    return -1;
}

/* ---- owners ---------------------------------------------------------------------------------- */

/* The elements of a color that the filters of y at one pixel depend on: base + f * step; base
 * -1: none. */
struct line {
    int64_t base, step;
};

static struct line owners_at(const convti_subject *s, int input, int64_t color, struct place o)
{
    const struct geometry *g = &s->geometry;
    const struct line none = {-1, 0};
    const bool w = mixes_width(s), mixed = mixes_filters(s);
    if (input == CONVTI_BIAS) return mixed ? (struct line){color, 0} : (struct line){0, 1};
    if (input == CONVTI_X) {
        const int64_t c = color % g->channels, pw = x_period(&g->w, w);
        const int64_t ih = x_reaching(&g->h, color / g->channels / pw, o.h, false),
                      iw = x_reaching(&g->w, color / g->channels % pw, o.w, w);
        if (ih < 0 || iw < 0) return none;
        return (struct line){
            element_of(g->channels_first, x_shape(g), (struct place){o.n, ih, iw, c}), 0};
    }
    const int64_t rest = mixed ? color / g->filters : color,
                  filter = mixed ? color % g->filters : 0;
    const int64_t c = rest % g->channels, ranks = tap_ranks(&g->w, w);
    const int64_t kh = tap_reaching(&g->h, rest / g->channels / ranks, o.h, false),
                  kw = tap_reaching(&g->w, rest / g->channels % ranks, o.w, w);
    if (kh < 0 || kw < 0) return none;
    const struct weight_strides *at = &g->stored;
    return (struct line){at->first + (kh * g->w.kernel + kw) * at->tap + filter * at->filter +
                             c * at->channel,
                         mixed ? 0 : at->filter};
}

static void owners_of_y(const convti_subject *s, int input, int64_t color, int64_t owner[])
{
    const struct geometry *g = &s->geometry;
    const convt_shape y = g->y;
    const int64_t step = g->channels_first ? y.h * y.w : 1;
    for (int64_t n = 0; n < s->x.n; n++)
        for (int64_t h = 0; h < y.h; h++)
            for (int64_t w = 0; w < y.w; w++) {
                const struct place o = {n, h, w, 0};
                const struct line line = owners_at(s, input, color, o);
                int64_t *at = owner + element_of(g->channels_first, y, o);
                for (int64_t f = 0; f < y.c; f++)
                    at[f * step] = line.base < 0 ? -1 : line.base + f * line.step;
            }
}

/* A penalty of a parameter depends on the element that it is the penalty of. */
static void owners_of_penalty(const convti_subject *s, int input, int64_t of_color, int output,
                              int64_t owner[])
{
    const int penalized = s->role[output] == CONVTI_KERNEL_PENALTY ? CONVTI_KERNEL : CONVTI_BIAS;
    const int64_t count = convti_view_count(convt_read(s->rows[penalized - 1].value));
    for (int64_t j = 0; j < count; j++)
        owner[j] = input == penalized && color((void *)s, input, j) == of_color ? j : -1;
}

static void owners(void *context, int input, int64_t of_color, int output, int64_t owner[])
{
    const convti_subject *s = context;
    if (s->role[output] == CONVTI_Y || s->role[output] == CONVTI_ACTIVITY_PENALTY)
        owners_of_y(s, input, of_color, owner);
    else
        owners_of_penalty(s, input, of_color, output, owner);
}

const convt_gradcheck_sparsity convti_layer_sparsity = {colors, color, owners};
