#include "random_config.h"

#include <math.h>
#include <stdio.h>

#include "tables.h"
#include "values.h"

static int64_t pick(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(values_next(state) % (uint64_t)(high - low + 1));
}

static int64_t or_1(int64_t v)
{
    return v ? v : 1;
}

static naive_axis axis_of(const convt_config *c, int64_t in, int64_t kernel, int64_t stride,
                          int64_t dilation, int64_t padding)
{
    return (naive_axis){.in = in,
                        .kernel = kernel,
                        .stride = or_1(stride),
                        .dilation = or_1(dilation),
                        .same = c->padding == CONVT_SAME,
                        .output_padding = c->output_padding.set ? padding : -1,
                        .cut = c->explicit_padding.set};
}

naive_problem naive_of_config(const convt_config *c, int64_t n)
{
    naive_problem p = {
        .n = n,
        .channels = c->input.c,
        .filters = c->filters,
        .h = axis_of(c, c->input.h, c->kernel_size.h, c->strides.h, c->dilation_rate.h,
                     c->output_padding.h),
        .w = axis_of(c, c->input.w, c->kernel_size.w, c->strides.w, c->dilation_rate.w,
                     c->output_padding.w),
        .channels_first = c->data_format == CONVT_CHANNELS_FIRST,
    };
    p.h.begin = c->explicit_padding.top;
    p.h.end = c->explicit_padding.bottom;
    p.w.begin = c->explicit_padding.left;
    p.w.end = c->explicit_padding.right;
    return p;
}

/* As convt.h has it, word for word. */
static int64_t stored_at(const convt_config *cfg, int64_t th, int64_t tw, int64_t f, int64_t c)
{
    const int64_t kh = cfg->kernel_size.h, kw = cfg->kernel_size.w, in = cfg->input.c;
    switch (cfg->kernel_order) {
    case CONVT_KERNEL_TRANSPOSED: break;
    case CONVT_KERNEL_CONV: return (((kh - 1 - th) * kw + kw - 1 - tw) * in + c) * cfg->filters + f;
    case CONVT_KERNEL_DENSE: return c * cfg->filters + f;
    }
    return ((th * kw + tw) * cfg->filters + f) * in + c;
}

static void permute(const convt_config *cfg, const double *from, double *to, bool into_stored)
{
    int64_t at = 0;
    for (int64_t th = 0; th < cfg->kernel_size.h; th++)
        for (int64_t tw = 0; tw < cfg->kernel_size.w; tw++)
            for (int64_t f = 0; f < cfg->filters; f++)
                for (int64_t c = 0; c < cfg->input.c; c++, at++) {
                    const int64_t stored = stored_at(cfg, th, tw, f, c);
                    to[into_stored ? stored : at] = from[into_stored ? at : stored];
                }
}

void naive_kernel(const convt_config *cfg, const double *stored, double *w)
{
    permute(cfg, stored, w, false);
}

void stored_kernel(const convt_config *cfg, const double *w, double *stored)
{
    permute(cfg, w, stored, true);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Padding as PyTorch and ONNX have it, instead of Keras' two kinds. */
static void draw_explicit(convt_config *c, uint64_t *state)
{
    c->padding = CONVT_VALID;
    c->explicit_padding =
        CONVT_SET_SIDES(pick(state, 0, 4), pick(state, 0, 4), pick(state, 0, 4), pick(state, 0, 4));
    if (pick(state, 0, 1))
        c->output_padding =
            CONVT_SET_HW(pick(state, 0, larger(or_1(c->strides.h), or_1(c->dilation_rate.h)) - 1),
                         pick(state, 0, larger(or_1(c->strides.w), or_1(c->dilation_rate.w)) - 1));
}

static convt_config draw_config(uint64_t *state)
{
    convt_config c = {.input = {pick(state, 1, 7), pick(state, 1, 7), 0},
                      .max_batch = pick(state, 1, 3)};
    /* Mostly few channels; sometimes enough to fill vectors and to leave a remainder. */
    c.input.c = pick(state, 0, 3) ? pick(state, 1, 5) : pick(state, 6, 40);
    c.filters = pick(state, 0, 3) ? pick(state, 1, 5) : pick(state, 6, 40);
    c.kernel_size = (convt_hw){pick(state, 1, 5), pick(state, 1, 5)};
    c.strides_with_dilation = pick(state, 0, 5) == 0;
    bool dilated = pick(state, 0, 3) == 0;
    if (!dilated || c.strides_with_dilation)
        c.strides = (convt_hw){pick(state, 1, 4), pick(state, 1, 4)};
    if (dilated || c.strides_with_dilation)
        c.dilation_rate = (convt_hw){pick(state, 1, 3), pick(state, 1, 3)};
    c.padding = pick(state, 0, 1) ? CONVT_SAME : CONVT_VALID;
    if (pick(state, 0, 2) == 0)
        c.output_padding = CONVT_SET_HW(pick(state, 0, or_1(c.strides.h) - 1),
                                        pick(state, 0, or_1(c.strides.w) - 1));
    if (pick(state, 0, 4) == 0) draw_explicit(&c, state);
    c.data_format = pick(state, 0, 1) ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
    c.dtype = pick(state, 0, 1) ? CONVT_FLOAT64 : CONVT_FLOAT32;
    c.no_bias = pick(state, 0, 4) == 0;
    c.seed = values_next(state);
    if (pick(state, 0, 2) == 0) c.kernel_order = CONVT_KERNEL_CONV;
    if (pick(state, 0, 7) == 0) {
        c.kernel_order = CONVT_KERNEL_DENSE;
        c.kernel_size = (convt_hw){1, 1};
    }
    c.fixed = pick(state, 0, 7) == 0;
    return c;
}

convt_config random_config(uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    convt_config c;
    naive_problem p;
    values_next(&state);
    do { /* an even kernel, same, output_padding 0: nothing may be left of a single row; nor may
            explicit padding cut everything */
        c = draw_config(&state);
        p = naive_of_config(&c, 1);
    } while (naive_out(&p.h) < 1 || naive_out(&p.w) < 1);
    return c;
}

convt_config random_wrong_config(uint64_t seed, const char **field)
{
    uint64_t state = ~seed * 0x9E3779B97F4A7C15u;
    convt_config c = random_config(seed);
    c.explicit_padding.set = c.strides_with_dilation = false;
    if (c.dilation_rate.h > 1 || c.dilation_rate.w > 1) c.strides = (convt_hw){1, 1};
    c.output_padding.set = false;
    switch (pick(&state, 0, 14)) {
    case 0:
        c.filters = -pick(&state, 0, 3);
        *field = "filters";
        break;
    case 1:
        c.kernel_size.h = -pick(&state, 0, 3);
        *field = "kernel_size";
        break;
    case 2:
        c.kernel_size.w = -pick(&state, 0, 3);
        *field = "kernel_size";
        break;
    case 3:
        c.strides = (convt_hw){2, -pick(&state, 0, 3)};
        *field = "strides";
        break;
    case 4:
        c.dilation_rate = (convt_hw){-pick(&state, 1, 3), 1};
        *field = "dilation_rate";
        break;
    case 5:
        c.input.c = -pick(&state, 0, 3);
        *field = "input";
        break;
    case 6:
        c.output_padding = CONVT_SET_HW(or_1(c.strides.h), 0);
        *field = "output_padding";
        break;
    case 7:
        c.max_batch = -pick(&state, 1, 3);
        *field = "max_batch";
        break;
    case 8:
        c.padding = CONVT_VALID;
        c.explicit_padding = CONVT_SET_SIDES(0, 1, -pick(&state, 1, 3), 0);
        *field = "explicit_padding";
        break;
    case 9:
        c.padding = CONVT_VALID;
        c.explicit_padding = CONVT_SET_SIDES(0, 0, 1000, 0);
        *field = "explicit_padding";
        break;
    case 10:
        c.padding = CONVT_SAME;
        c.explicit_padding = CONVT_SET_SIDES(0, 0, 0, 0);
        *field = "explicit_padding";
        break;
    case 11:
        c.kernel_order = (convt_kernel_order)(pick(&state, 0, 1) ? 3 : -1);
        *field = "kernel_order";
        break;
    case 12:
        c.kernel_order = CONVT_KERNEL_DENSE;
        c.kernel_size = (convt_hw){1, pick(&state, 2, 3)};
        *field = "kernel_size";
        break;
    case 13:
        c.fixed = true;
        *(pick(&state, 0, 1) ? &c.kernel_regularizer : &c.bias_regularizer) =
            (convt_regularizer){.kind = CONVT_L2};
        *field = "fixed";
        break;
    default:
        c.strides = c.dilation_rate = (convt_hw){2, 2};
        c.output_padding.set = false;
        *field = "strides";
        break;
    }
    return c;
}

convt_activation complete_activation(convt_activation activation)
{
    const convti_activation_arguments *row = convti_activation_arguments_of(activation.kind);
#define ACTIVATION_ARGUMENT(name, range)                                 \
    if (row->name.set && isnan(row->name.value) && !activation.name.set) \
        activation.name = CONVT_SET(0.25);
#include "convt/activations.def"
    return activation;
}

const char *config_text(const convt_config *c, char *buffer, size_t size)
{
    char padding[64] = "None";
    if (c->output_padding.set)
        snprintf(padding, sizeof padding, "(%lld,%lld)", (long long)c->output_padding.h,
                 (long long)c->output_padding.w);
    snprintf(buffer, size,
             "input %lldx%lldx%lld, filters %lld, kernel (%lld,%lld), strides (%lld,%lld), "
             "dilation (%lld,%lld), %s, "
             "output_padding %s, %s, %s%s, kernel order %d%s",
             (long long)c->input.h, (long long)c->input.w, (long long)c->input.c,
             (long long)c->filters, (long long)c->kernel_size.h, (long long)c->kernel_size.w,
             (long long)or_1(c->strides.h), (long long)or_1(c->strides.w),
             (long long)or_1(c->dilation_rate.h), (long long)or_1(c->dilation_rate.w),
             c->explicit_padding.set    ? "explicit"
             : c->padding == CONVT_SAME ? "same"
                                        : "valid",
             padding, c->data_format == CONVT_CHANNELS_FIRST ? "channels_first" : "channels_last",
             c->dtype == CONVT_FLOAT64 ? "float64" : "float32", c->no_bias ? ", no bias" : "",
             (int)c->kernel_order, c->fixed ? ", fixed" : "");
    return buffer;
}
