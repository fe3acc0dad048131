/*
 * Shapes files, random shapes, and flops; see shapes.h.
 */
#include "shapes.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "options.h"

/* ---- lines ----------------------------------------------------------------------------------- */

static const char *const list[] = {
#include "bench_shapes.def"
};

const char *shape_of_list(int index)
{
    return (size_t)index < LENGTH(list) ? list[index] : NULL;
}

bool shape_read(const char *line, shape *s)
{
    enum { N, IH, IW, IC, OC, KH, KW, SH, SW, SAME, DIL, NUMBERS };
    static const char space[] = " \t\r\n";
    int64_t number[NUMBERS];
    line += strspn(line, space);
    const size_t length = strcspn(line, space);
    const char *at = line + length;
    for (int i = 0; i < NUMBERS && at; i++)
        at = strchr(space, *at) ? integer_read(at, &number[i]) : NULL;
    if (!at || at[strspn(at, space)] || length >= SHAPE_NAME || number[SAME] < 0 ||
        number[SAME] > 1)
        return false;
    *s = (shape){.cfg = {.input = {number[IH], number[IW], number[IC]},
                         .max_batch = number[N],
                         .filters = number[OC],
                         .kernel_size = {number[KH], number[KW]},
                         .strides = {number[SH], number[SW]},
                         .padding = number[SAME] ? CONVT_SAME : CONVT_VALID,
                         .dilation_rate = {number[DIL], number[DIL]},
                         .strides_with_dilation = true}};
    memcpy(s->name, line, length);
    return true;
}

void shape_write(FILE *out, const shape *s)
{
    const convt_config *c = &s->cfg;
    const int64_t numbers[] = {c->max_batch, c->input.h,       c->input.w,        c->input.c,
                               c->filters,   c->kernel_size.h, c->kernel_size.w,  c->strides.h,
                               c->strides.w, c->padding,       c->dilation_rate.h};
    fprintf(out, "%s", s->name);
    for (size_t i = 0; i < LENGTH(numbers); i++) fprintf(out, " %lld", (long long)numbers[i]);
    fprintf(out, "\n");
}

/* ---- flops ----------------------------------------------------------------------------------- */

/*
 * How many pairs of a position of x and a tap meet an output: a layer of ones adds up exactly those.
 * So every rule of padding counts as the library understands it.
 */
static double useful_pairs(const convt_config *cfg)
{
    convt_config ones = {.input = {cfg->input.h, cfg->input.w, 1},
                         .filters = 1,
                         .kernel_size = cfg->kernel_size,
                         .strides = cfg->strides,
                         .padding = cfg->padding,
                         .output_padding = cfg->output_padding,
                         .dilation_rate = cfg->dilation_rate,
                         .strides_with_dilation = cfg->strides_with_dilation,
                         .explicit_padding = cfg->explicit_padding,
                         .kernel_initializer = {.kind = CONVT_ONES},
                         .no_bias = true,
                         .inference = true,
                         .dtype = CONVT_FLOAT64,
                         .threads = 1};
    convt_layer *layer;
    if (convt_layer_create(&layer, &ones, NULL) != CONVT_OK) return 0;
    const convt_shape o = convt_layer_output(layer);
    const int64_t inputs = ones.input.h * ones.input.w, outputs = o.h * o.w;
    double pairs = 0;
    double *x = malloc((size_t)(inputs + outputs + 1) * sizeof *x), *y = x ? x + inputs : NULL;
    for (int64_t i = 0; x && i < inputs; i++) x[i] = 1;
    if (x && convt_forward(layer, convt_read(convt_f64(x, 1, ones.input.h, ones.input.w, 1)),
                           convt_f64(y, 1, o.h, o.w, 1)) == CONVT_OK)
        for (int64_t i = 0; i < outputs; i++) pairs += y[i];
    free(x);
    convt_layer_destroy(layer);
    return pairs;
}

static double flops_of_pairs(const convt_config *c, double pairs)
{
    return 2 * (double)c->max_batch * (double)c->input.c * (double)c->filters * pairs;
}

static double all_pairs(const convt_config *c)
{
    return (double)c->input.h * (double)c->input.w * (double)c->kernel_size.h *
           (double)c->kernel_size.w;
}

struct flops shape_flops(const convt_config *c)
{
    return (struct flops){flops_of_pairs(c, all_pairs(c)), flops_of_pairs(c, useful_pairs(c))};
}

/* ---- random shapes --------------------------------------------------------------------------- */

/* splitmix64: the same shapes on every machine, whatever the library's own streams become. */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static int64_t uniform(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(next_bits(state) % (uint64_t)(high - low + 1));
}

/* 1 to 2^bits, every power of two as likely as the next. */
static int64_t any_scale(uint64_t *state, int bits)
{
    const int64_t low = (int64_t)1 << uniform(state, 0, bits - 1);
    return uniform(state, low, 2 * low);
}

static void draw(uint64_t *state, convt_config *c)
{
    *c = (convt_config){.max_batch = any_scale(state, 6), .strides_with_dilation = true};
    c->input.h = any_scale(state, 7);
    c->input.w = uniform(state, 0, 3) ? c->input.h : any_scale(state, 7);
    c->input.c = any_scale(state, 11);
    c->filters = any_scale(state, 9);
    c->kernel_size.h = uniform(state, 1, 9);
    c->kernel_size.w = uniform(state, 0, 3) ? c->kernel_size.h : uniform(state, 1, 9);
    c->strides.h = uniform(state, 1, 4);
    c->strides.w = uniform(state, 0, 3) ? c->strides.h : uniform(state, 1, 4);
    c->padding = uniform(state, 0, 1) ? CONVT_SAME : CONVT_VALID;
    c->dilation_rate = (convt_hw){1, 1};
}

/* Worth a measurement, and no tensor beyond 64 MiB in float32. */
static bool is_measurable(const convt_config *c)
{
    const double flops = flops_of_pairs(c, all_pairs(c)), most = 16 << 20;
    convt_shape y;
    if (flops < 0.05e9 || flops > 5e9 || convt_output_shape(c, &y, NULL) != CONVT_OK) return false;
    const double n = (double)c->max_batch;
    return n * (double)(y.h * y.w * y.c) <= most &&
           n * (double)(c->input.h * c->input.w * c->input.c) <= most &&
           (double)(c->kernel_size.h * c->kernel_size.w * c->filters * c->input.c) <= most;
}

void shape_draw(uint64_t seed, int index, shape *s)
{
    uint64_t state = seed ^ ((uint64_t)index << 40);
    do draw(&state, &s->cfg);
    while (!is_measurable(&s->cfg));
    snprintf(s->name, sizeof s->name, "random%d", index + 1);
}
