/*
 * Gather: choice of formulation and of cuts, by shape.
 */
#include "plan.h"

#include "integer.h"

enum {
    SLAB_BYTES = 128 << 10,  /* source of a slab: stays in L2 beside a group of panels */
    GROUP_BYTES = 256 << 10, /* packed panels that one visit of a slab walks through */
    LEAST_ITEMS = 16,        /* work items, where the work is worth it: enough for 16 threads */
    ITEM_FLOPS = 4 << 20     /* smaller items lose more in partial tiles than threads gain */
};

/*
 * Vector multiplications a tap and pixel: a wide tile spends one per k and vector of columns, a dot
 * tile one per column and vector of k, a tail that is loaded element by element, and the final
 * reduction (about three a column, shared by the taps).
 */
static bool dot_is_cheaper(int64_t columns, int64_t k, int64_t taps, const struct tile_sizes *tiles)
{
    int64_t lanes = tiles->lanes;
    int64_t wide = taps * k * ceil_div(columns, lanes);
    int64_t dot = columns * (taps * (k / lanes) + 3) + taps * (k % lanes ? 8 + 2 * columns : 0);
    return 5 * dot < 4 * wide;
}

static void cut_panels(struct gather_plan *p, const struct tile_sizes *tiles)
{
    p->dot = dot_is_cheaper(p->columns, p->k, p->met, tiles);
    if (p->dot) {
        p->panels = ceil_div(p->columns, KERNEL_MAX_COLUMNS);
        p->panel = ceil_div(p->columns, p->panels);
        p->packed = p->columns * p->taps * p->k;
    } else {
        int64_t vectors = ceil_div(p->columns, tiles->lanes);
        p->panel = lesser(vectors, tiles->vectors) * tiles->lanes;
        p->panels = ceil_div(p->columns, p->panel);
        p->packed = vectors * tiles->lanes * p->taps * p->k;
    }
}

void convti_plan_gather_forward(struct gather_plan *p, const struct geometry *g,
                                const struct tile_sizes *tiles)
{
    p->source_h = g->h.in;
    p->source_w = g->w.in;
    p->target_h = g->h.out;
    p->target_w = g->w.out;
    p->target_step = g->h.stride;
    p->reach = (g->h.kernel - 1) * g->h.dilation;
    p->kernel_w = g->w.kernel;
    p->columns = g->filters;
    p->k = g->channels;
    p->taps = g->taps;
    p->staged = g->channels_first;
    p->met = greater(g->taps / g->h.stride / g->w.stride, 1);
    cut_panels(p, tiles);
}

void convti_plan_gather_backward(struct gather_plan *p, const struct geometry *g,
                                 const struct tile_sizes *tiles)
{
    p->source_h = g->h.out;
    p->source_w = g->w.out;
    p->target_h = g->h.in;
    p->target_w = g->w.in;
    p->target_step = 1;
    p->reach = 0;
    p->kernel_w = g->w.kernel;
    p->columns = g->channels;
    p->k = g->filters;
    p->taps = g->taps;
    p->staged = false; /* dz is channels_last in any case */
    p->met = g->taps;
    cut_panels(p, tiles);
}

struct slabs convti_plan_slabs(const struct gather_plan *p, int64_t n, size_t real_size)
{
    int64_t size = (int64_t)real_size;
    int64_t image = greater(p->source_h * p->source_w * p->k * size, 1);
    int64_t panel = greater(p->taps * p->k * p->panel * size, 1);
    struct slabs s = {.images = 1, .rows = p->target_h};

    s.group = lesser(greater(GROUP_BYTES / panel, 1), p->panels);
    s.groups = ceil_div(p->panels, s.group);
    int64_t flops = 2 * p->met * p->k * p->columns * p->target_h * p->target_w; /* of an image */
    int64_t worth = greater(n * greater(flops / 1024, 1) / (ITEM_FLOPS / 1024), 1);
    int64_t cuts = ceil_div(lesser(LEAST_ITEMS, worth), s.groups); /* wanted of the batch */
    if (image <= SLAB_BYTES && n >= 2 * cuts)
        s.images = lesser(SLAB_BYTES / image, n / cuts);
    else if (image > SLAB_BYTES || n < cuts)
        s.rows = ceil_div(p->target_h,
                          greater(ceil_div(image, SLAB_BYTES), ceil_div(cuts, greater(n, 1))));
    s.rows = lesser(ceil_div(greater(s.rows, 1), p->target_step) * p->target_step,
                    greater(p->target_h, 1));
    s.image_cuts = ceil_div(n, s.images);
    s.row_cuts = ceil_div(p->target_h, s.rows);
    return s;
}

/* Forward: i = (o + crop - t * dilation) / stride spans (rows - 1 + reach) / stride + 1 rows, and
 * one for rounding. */
static int64_t slab_source(const struct gather_plan *p, const struct slabs *s)
{
    int64_t rows = lesser((s->rows - 1 + p->reach) / p->target_step + 2, p->source_h);
    return s->images * rows * p->source_w * p->k;
}

/* Slabs of whole images stay within SLAB_BYTES; bands are widest where the batch alone gives enough
 * work. */
int64_t convti_slab_bound(const struct gather_plan *p, size_t real_size)
{
    int64_t image = p->source_h * p->source_w * p->k;
    struct slabs widest = convti_plan_slabs(p, LEAST_ITEMS, real_size);
    return greater(image * (int64_t)real_size <= SLAB_BYTES ? SLAB_BYTES / (int64_t)real_size : 0,
                   slab_source(p, &widest));
}
