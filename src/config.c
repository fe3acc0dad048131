/*
 * A config is checked in Keras' order (constructor, then build), each rule a row: field, predicate,
 * message.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "status.h"
#include "tables.h"

static void fill_defaults(convt_config *c)
{
    const convt_hw zero = {0, 0}, one = {1, 1};
    if (!c->name) c->name = "conv2d_transpose";
    if (c->strides.h == zero.h && c->strides.w == zero.w) c->strides = one;
    if (c->dilation_rate.h == zero.h && c->dilation_rate.w == zero.w) c->dilation_rate = one;
    if (c->max_batch == 0) c->max_batch = 1;
    if (c->kernel_initializer.kind == CONVT_DEFAULT_INITIALIZER)
        c->kernel_initializer.kind = CONVT_GLOROT_UNIFORM;
    if (c->bias_initializer.kind == CONVT_DEFAULT_INITIALIZER)
        c->bias_initializer.kind = CONVT_ZEROS;
}

static bool positive(convt_hw v)
{
    return v.h > 0 && v.w > 0;
}

static bool kernel_size_ok(const convt_config *c)
{
    return positive(c->kernel_size);
}
static bool strides_ok(const convt_config *c)
{
    return positive(c->strides);
}
static bool dilation_ok(const convt_config *c)
{
    return positive(c->dilation_rate);
}
static bool padding_ok(const convt_config *c)
{
    return c->padding == CONVT_VALID || c->padding == CONVT_SAME;
}
static bool output_padding_ok(const convt_config *c)
{
    return !c->output_padding.set || (c->output_padding.h >= 0 && c->output_padding.w >= 0);
}
static bool data_format_ok(const convt_config *c)
{
    return c->data_format == CONVT_CHANNELS_LAST || c->data_format == CONVT_CHANNELS_FIRST;
}
static bool kernel_order_ok(const convt_config *c)
{
    return (unsigned)c->kernel_order <= CONVT_KERNEL_DENSE;
}
/* A matrix has no taps. */
static bool dense_has_one_tap(const convt_config *c)
{
    return c->kernel_order != CONVT_KERNEL_DENSE ||
           (c->kernel_size.h == 1 && c->kernel_size.w == 1);
}
/* Nothing is added to the loss of constants, and nothing moves them. */
static bool fixed_is_free(const convt_config *c)
{
    return !c->fixed || (c->kernel_regularizer.kind == CONVT_NO_REGULARIZER &&
                         c->bias_regularizer.kind == CONVT_NO_REGULARIZER &&
                         c->kernel_constraint.kind == CONVT_NO_CONSTRAINT &&
                         c->bias_constraint.kind == CONVT_NO_CONSTRAINT);
}
static bool filters_ok(const convt_config *c)
{
    return c->filters > 0;
}
static bool explicit_padding_ok(const convt_config *c)
{
    const convt_optional_sides *p = &c->explicit_padding;
    return !p->set || (p->top >= 0 && p->bottom >= 0 && p->left >= 0 && p->right >= 0);
}
static bool one_padding(const convt_config *c)
{
    return !c->explicit_padding.set || c->padding == CONVT_VALID;
}
/* Keras counts strides alone, PyTorch, whose rule explicit padding follows, dilations too. */
static bool output_padding_fits(const convt_config *c)
{
    const convt_optional_hw *p = &c->output_padding;
    bool fits = p->h < c->strides.h && p->w < c->strides.w;
    if (c->explicit_padding.set)
        fits = (p->h < c->strides.h || p->h < c->dilation_rate.h) &&
               (p->w < c->strides.w || p->w < c->dilation_rate.w);
    return !p->set || fits;
}
static bool strides_or_dilation(const convt_config *c)
{
    return c->strides_with_dilation || !((c->strides.h > 1 || c->strides.w > 1) &&
                                         (c->dilation_rate.h > 1 || c->dilation_rate.w > 1));
}
static bool dtype_ok(const convt_config *c)
{
    return c->dtype == CONVT_FLOAT32 || c->dtype == CONVT_FLOAT64;
}
static bool input_ok(const convt_config *c)
{
    return c->input.h > 0 && c->input.w > 0 && c->input.c > 0;
}
static bool max_batch_ok(const convt_config *c)
{
    return c->max_batch > 0;
}
static bool threads_ok(const convt_config *c)
{
    return c->threads >= 0;
}
/* Files and checkpoints tell arrays by it, so it is not cut. */
static bool name_fits(const convt_config *c)
{
    return strlen(c->name) <= CONVTI_MOST_NAME;
}
static bool allocator_ok(const convt_config *c)
{
    return !c->allocator.alloc == !c->allocator.free;
}

struct sizes {
    int count;
    long long value[4];
};

static struct sizes pair(convt_hw v)
{
    return (struct sizes){2, {v.h, v.w}};
}
static struct sizes show_kernel_size(const convt_config *c)
{
    return pair(c->kernel_size);
}
static struct sizes show_strides(const convt_config *c)
{
    return pair(c->strides);
}
static struct sizes show_dilation(const convt_config *c)
{
    return pair(c->dilation_rate);
}
static struct sizes show_padding(const convt_config *c)
{
    return (struct sizes){1, {c->padding}};
}
static struct sizes show_output_padding(const convt_config *c)
{
    return (struct sizes){2, {c->output_padding.h, c->output_padding.w}};
}
static struct sizes show_explicit_padding(const convt_config *c)
{
    const convt_optional_sides *p = &c->explicit_padding;
    return (struct sizes){4, {p->top, p->bottom, p->left, p->right}};
}
static struct sizes show_data_format(const convt_config *c)
{
    return (struct sizes){1, {c->data_format}};
}
static struct sizes show_kernel_order(const convt_config *c)
{
    return (struct sizes){1, {c->kernel_order}};
}
static struct sizes show_weight_terms(const convt_config *c)
{
    return (struct sizes){4,
                          {c->kernel_regularizer.kind, c->bias_regularizer.kind,
                           c->kernel_constraint.kind, c->bias_constraint.kind}};
}
static struct sizes show_filters(const convt_config *c)
{
    return (struct sizes){1, {c->filters}};
}
static struct sizes show_steps(const convt_config *c)
{
    return (struct sizes){4, {c->strides.h, c->strides.w, c->dilation_rate.h, c->dilation_rate.w}};
}
static struct sizes show_dtype(const convt_config *c)
{
    return (struct sizes){1, {c->dtype}};
}
static struct sizes show_input(const convt_config *c)
{
    return (struct sizes){3, {c->input.h, c->input.w, c->input.c}};
}
static struct sizes show_max_batch(const convt_config *c)
{
    return (struct sizes){1, {c->max_batch}};
}
static struct sizes show_threads(const convt_config *c)
{
    return (struct sizes){1, {c->threads}};
}
static struct sizes show_name(const convt_config *c)
{
    return (struct sizes){1, {(long long)strlen(c->name)}};
}
static struct sizes show_nothing(const convt_config *c)
{
    (void)c;
    return (struct sizes){0, {0}};
}

/* One rule: what must hold, and what is said where it does not. */
struct rule {
    const char *field;
    bool (*holds)(const convt_config *c);
    struct sizes (*show)(const convt_config *c);
    const char *message; /* followed by ", got <sizes>" */
};

/* The arguments one by one; the families are checked behind them. */
static const struct rule arguments[] = {
    {"dtype", dtype_ok, show_dtype, "dtype must be float32 (0) or float64 (1)"},
    {"kernel_size", kernel_size_ok, show_kernel_size,
     "kernel_size must be 2 integers greater than 0"},
    {"strides", strides_ok, show_strides, "strides must be 2 integers greater than 0"},
    {"dilation_rate", dilation_ok, show_dilation,
     "dilation_rate must be 2 integers greater than 0"},
    {"padding", padding_ok, show_padding, "padding must be valid (0) or same (1)"},
    {"output_padding", output_padding_ok, show_output_padding,
     "output_padding must be 2 integers of 0 or more"},
    {"explicit_padding", explicit_padding_ok, show_explicit_padding,
     "explicit_padding must be 4 integers of 0 or more"},
    {"data_format", data_format_ok, show_data_format,
     "data_format must be channels_last (0) or channels_first (1)"},
    {"kernel_order", kernel_order_ok, show_kernel_order,
     "kernel_order must be transposed (0), conv (1) or dense (2)"},
};

/* What must fit together, then what creation asks beyond Keras' constructor. */
static const struct rule together[] = {
    {"filters", filters_ok, show_filters, "filters must be greater than 0"},
    {"output_padding", output_padding_fits, show_output_padding,
     "output_padding must be less than strides in every dimension (with explicit_padding: than "
     "strides or dilation_rate)"},
    {"strides", strides_or_dilation, show_steps,
     "strides and dilation_rate must not both be greater than 1"},
    {"explicit_padding", one_padding, show_padding,
     "explicit_padding takes the place of padding, which must then be valid (0)"},
    {"kernel_size", dense_has_one_tap, show_kernel_size,
     "kernel_size must be 1, 1 where kernel_order is dense (2)"},
    {"fixed", fixed_is_free, show_weight_terms,
     "fixed: constants take neither kernel_regularizer, bias_regularizer, kernel_constraint nor "
     "bias_constraint, which must be 0, 0, 0, 0"},
    {"input", input_ok, show_input, "input must be height, width and channels greater than 0"},
    {"max_batch", max_batch_ok, show_max_batch, "max_batch must be greater than 0, or 0 for 1"},
    {"threads", threads_ok, show_threads, "threads must be 0 (the OpenMP maximum) or more"},
    {"name", name_fits, show_name, "name must have at most 63 bytes"},
    {"allocator", allocator_ok, show_nothing, "allocator must give alloc and free, or neither"},
};

static convt_status refuse(const struct rule *rule, const convt_config *c, convt_error *err)
{
    struct sizes sizes = rule->show(c);
    char text[96] = "";
    int length = 0;
    for (int i = 0; i < sizes.count; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s%lld",
                           i ? ", " : ", got ", sizes.value[i]);
    return convti_fail(err, CONVT_INVALID_ARGUMENT, rule->field, "%s%s", rule->message, text);
}

int convti_kernel_rank(convt_kernel_order order)
{
    return order == CONVT_KERNEL_DENSE ? 2 : 4;
}

static convt_status check_families(const convt_config *c, convt_error *err)
{
    const int rank = convti_kernel_rank(c->kernel_order);
    convt_status s = convti_activation_check(&c->activation, "activation", err);
    if (s == CONVT_OK)
        s = convti_initializer_check(&c->kernel_initializer, rank, "kernel_initializer", err);
    if (s == CONVT_OK)
        s = convti_initializer_check(&c->bias_initializer, c->no_bias ? 0 : 1, "bias_initializer",
                                     err);
    if (s == CONVT_OK)
        s = convti_regularizer_check(&c->kernel_regularizer, "kernel_regularizer", err);
    if (s == CONVT_OK) s = convti_regularizer_check(&c->bias_regularizer, "bias_regularizer", err);
    if (s == CONVT_OK)
        s = convti_regularizer_check(&c->activity_regularizer, "activity_regularizer", err);
    if (s == CONVT_OK)
        s = convti_constraint_check(&c->kernel_constraint, rank, "kernel_constraint", err);
    if (s == CONVT_OK) s = convti_constraint_check(&c->bias_constraint, 1, "bias_constraint", err);
    return s;
}

static convt_status check_rules(const struct rule rules[], size_t count, const convt_config *c,
                                convt_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!rules[i].holds(c)) return refuse(&rules[i], c, err);
    return CONVT_OK;
}

convt_status convti_config_resolve(convt_config *out, const convt_config *cfg, convt_error *err)
{
    if (!cfg) return convti_fail(err, CONVT_INVALID_ARGUMENT, "cfg", "cfg must not be NULL");
    *out = *cfg;
    fill_defaults(out);
    convt_status s = check_rules(arguments, sizeof arguments / sizeof *arguments, out, err);
    if (s == CONVT_OK) s = check_families(out, err);
    if (s == CONVT_OK) s = check_rules(together, sizeof together / sizeof *together, out, err);
    return s;
}
