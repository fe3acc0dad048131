/*
 * Gather: choice of formulation and of cuts, by shape.
 */
#include "plan.h"

#include "alloc.h"
#include "integer.h"

enum {
    RESIDENT_BYTES = 384 << 10, /* packed weights that stay in L2 beside a slab */
    NEAR_BYTES = 10 << 20,      /* of a source that stays in the last cache while panels pass */
    SLAB_BYTES = 320 << 10,     /* source of such a slab, and what is staged of any */
    STAGING_COST = 4,           /* of a byte, in bytes of panels that pass by */
    BLOCK_BYTES = 448 << 10,    /* of a panel that the pixels of a chunk walk over: stays in L2 */
    SLAB_PIXELS = 24,           /* of the target: a slab of fewer is not cut off */
    CHUNK = 512,                /* pixels whose offsets are listed at once */
    LEAST_ITEMS = 16,           /* work items, where the work is worth it: enough for 16 threads */
    NEAR_WEIGHTS = 32 << 10,    /* bytes of a dot panel that meet a pixel: stay in L1 */
    ITEM_FLOPS = 4 << 20        /* smaller items lose more in partial tiles than threads gain */
};

/* Taps that share loads do not join to runs: each has to fill its vectors. */
static bool fills_vectors(const struct gather_plan *p)
{
    return p->k >= p->lanes && 2 * ceil_div(p->k, p->lanes) * p->lanes <= 3 * p->k;
}

/* A tile of five pixels hides the latency of its sums better than one that shares nothing. */
bool convti_shares_loads(const struct gather_plan *p, const struct tap_class *w)
{
    return p->most_taps > 1 && w->count >= 5 && w->source_step % w->tap_step == 0 &&
           w->source_step / w->tap_step < w->taps && fills_vectors(p);
}

/*
 * What a pixel of the target costs, in multiplications of vectors at full rate, all columns together;
 * measured. A wide tile of one vector waits for its broadcasts, a dot tile of one or two columns for its
 * loads, most where pixels do not share them or where they lie across cache lines; and every sum of a dot
 * tile is reduced, and stored by itself.
 */
static double wide_cost(const struct gather_plan *p, const struct tile_sizes *tiles)
{
    const int64_t vectors = ceil_div(p->columns, p->lanes);
    return tiles->gemm_rate[lesser(vectors, KERNEL_MAX_VECTORS)] * (double)vectors * p->met_h *
           p->met_w * (double)p->k;
}

static double dot_rate(const struct dot_rates *rates, int64_t columns, bool shared, bool whole)
{
    if (columns > 2) return whole ? rates->many_whole : rates->many;
    if (shared) return whole ? rates->shared_whole : rates->shared;
    return columns == 1 ? rates->one : rates->two;
}

/* Weights of a panel that do not stay in L1 come to every tile anew. */
static double dot_cost(const struct gather_plan *p, const struct tile_sizes *tiles, int64_t size)
{
    const int64_t panels = ceil_div(p->columns, tiles->dot_columns),
                  columns = ceil_div(p->columns, panels);
    const double length = p->met_w * (double)p->k;
    const bool shared = tiles->dot_taps[columns] > 1 && p->met_w > 1 && fills_vectors(p);
    const bool far = p->met_h * length * (double)(columns * size) > NEAR_WEIGHTS;
    const double vectors = shared ? p->met_w * (double)ceil_div(p->k, p->lanes)
                                  : length / (double)p->lanes + 0.5;
    const double rate = dot_rate(&tiles->dot_rates, columns, shared, p->k % p->lanes == 0) +
                        (far ? tiles->dot_rates.far / tiles->dot_rows[columns] : 0);
    const bool pieces = p->axis_w.taps * p->k < p->lanes;
    const double moved = pieces ? 8 + 2 * (double)columns : 0;
    const double pixel = columns > 2 ? 20 : 12,
                 sum = columns > 2 ? 5 : 10; /* of a panel, reduced */
    return p->met_h * (rate * (double)p->columns * vectors + (double)panels * moved) +
           ((double)panels * pixel + (double)p->columns * sum) * tiles->dot_rates.closing;
}

/* Source positions that `count` neighbouring positions of the target read, at most. */
static int64_t span(const struct gather_axis *a, int64_t count)
{
    return lesser(((count - 1 + a->reach) / a->target_step + 2) * a->source_step, a->source);
}

/* A staged source has room for what one pixel of the target reads, whatever the taps reach: a part
 * of k at a time, where it must be. */
static int64_t cut_depth(const struct gather_plan *p, int64_t size)
{
    const int64_t pixel = greater(span(&p->axis_h, 1) * span(&p->axis_w, 1), 1);
    return p->source_staged ? clamp(SLAB_BYTES / size / pixel, 1, p->k) : p->k;
}

/* Dot tiles reduce all of k at once. */
static void cut_panels(struct gather_plan *p, const struct tile_sizes *tiles, int64_t size)
{
    p->depth = cut_depth(p, size);
    p->lanes = tiles->lanes;
    p->met = greater((int64_t)(p->met_h * p->met_w), 1);
    p->dot = p->depth == p->k && dot_cost(p, tiles, size) < wide_cost(p, tiles);
    p->cost = p->dot ? dot_cost(p, tiles, size) : wide_cost(p, tiles);
    if (p->dot) {
        p->panels = ceil_div(p->columns, tiles->dot_columns);
        p->panel = ceil_div(p->columns, p->panels);
        p->most_taps = tiles->dot_taps[p->panel];
        p->packed = p->columns * p->taps * p->k;
    } else {
        int64_t vectors = ceil_div(p->columns, tiles->lanes);
        p->panel = lesser(vectors, tiles->vectors) * tiles->lanes;
        p->panels = ceil_div(p->columns, p->panel);
        p->packed = vectors * tiles->lanes * p->taps * p->k;
    }
    const int64_t length = p->axis_h.taps * p->axis_w.taps * p->k,
                  most = greater(BLOCK_BYTES / (p->panel * size), 1);
    p->block_k = p->dot ? p->taps * p->k : ceil_div(length, ceil_div(length, most));
    p->most_runs = p->taps + p->taps * p->k / p->block_k + 1;
    p->chunk = CHUNK;
}

/* Elements of a box of one image that have to stay in the cache: what is staged, and the source
 * where all panels stay there with it. */
static int64_t box(const struct gather_plan *p, const struct slabs *s)
{
    int64_t source = span(&p->axis_h, s->rows) * span(&p->axis_w, s->columns) * p->depth;
    int64_t target = s->rows * s->columns * (s->groups > 1 ? p->panel : p->columns);
    return greater(p->source_staged || !s->streamed ? source : 0, p->target_staged ? target : 0);
}

/* Cuts of an axis: at least `cuts`, in whole steps of the target. */
static int64_t cut_axis(const struct gather_axis *a, int64_t cuts)
{
    int64_t length = ceil_div(greater(a->target, 1), greater(cuts, 1));
    return lesser(ceil_div(length, a->target_step) * a->target_step, greater(a->target, 1));
}

/* Half of an axis, in whole steps. */
static int64_t half(int64_t length, int64_t step)
{
    return ceil_div(ceil_div(length, 2), step) * step;
}

/* As many images as `room` allows, or boxes of rows; of a part of a row where one is larger. */
static void fit(const struct gather_plan *p, struct slabs *s, int64_t room)
{
    s->images = clamp(room / greater(box(p, s), 1), 1, s->images);
    while (box(p, s) > room && s->rows > p->axis_h.target_step)
        s->rows = half(s->rows, p->axis_h.target_step);
    while (box(p, s) > room && s->columns > p->axis_w.target_step)
        s->columns = half(s->columns, p->axis_w.target_step);
    while (box(p, s) > room && s->rows > 1) s->rows = half(s->rows, 1);
    while (box(p, s) > room && s->columns > 1) s->columns = half(s->columns, 1);
}

/* Of a huge layer, which is only asked for its size, more than 64 bits hold. */
static double slab_count(const struct gather_plan *p, const struct slabs *s, int64_t n)
{
    return (double)ceil_div(n, s->images) * (double)ceil_div(p->axis_h.target, s->rows) *
           (double)ceil_div(p->axis_w.target, s->columns);
}

static void cut_slabs(const struct gather_plan *p, struct slabs *s, int64_t n, int64_t wanted)
{
    if (slab_count(p, s, n) >= (double)wanted) return;
    s->images = greater(lesser(s->images, n / wanted), 1);
    int64_t cuts = ceil_div(wanted, greater(ceil_div(n, s->images), 1));
    s->rows = lesser(s->rows, cut_axis(&p->axis_h, cuts));
    cuts = ceil_div(cuts, ceil_div(greater(p->axis_h.target, 1), s->rows));
    s->columns = lesser(s->columns, cut_axis(&p->axis_w, cuts));
}

static int64_t phases(const struct gather_axis *a)
{
    return lesser(a->target_step, greater(a->target, 1));
}

/* Slabs that the threads need, and that are worth it: each reads its panels anew. */
static int64_t slabs_wanted(const struct gather_plan *p, int64_t n, int64_t groups)
{
    const double pixels = (double)n * (double)(p->axis_h.target * p->axis_w.target);
    const double flops = 2 * (double)n * (double)p->positions * (double)(p->taps * p->k) *
                         (double)p->columns;
    const double items = flops < LEAST_ITEMS * (double)ITEM_FLOPS ? 1 + flops / ITEM_FLOPS
                                                                  : LEAST_ITEMS;
    const double most = 1 + pixels / SLAB_PIXELS;
    return ceil_div((int64_t)(items < most * (double)groups ? items : most * (double)groups),
                    groups);
}

static bool resident(const struct gather_plan *p, int64_t size)
{
    return p->packed * size <= RESIDENT_BYTES;
}

/* Whether items are panels that the source streams by; see below. */
static bool streams(const struct gather_plan *p, int64_t n, int64_t size)
{
    if (resident(p, size)) return false;
    const double source = (double)n * (double)(p->axis_h.source * p->axis_w.source) *
                          (double)(p->k * size);
    if (p->source_staged) {
        const double most = source / LEAST_ITEMS, slab = most < SLAB_BYTES ? most : SLAB_BYTES;
        return (double)(p->taps * p->k * p->panel * size) > STAGING_COST * slab;
    }
    return source <= NEAR_BYTES || p->met * p->k * p->panel * size > SLAB_BYTES;
}

/*
 * What a tile reads most is the panel: a row of it for every k, four bytes of the source for every
 * pixel. So a panel has to stay in L2. Where all of them do, a slab of the source stays there, too, and
 * meets them one after the other. Where they do not, an item is one panel, of one phase if it may be,
 * and its slab as large as staging and threads allow: the source streams by, once for each of them. A
 * source that comes from memory each time had better stay in slabs all the same, and the panels stream
 * by for every slab; unless that is more to read, where a panel's phase is larger than a slab. Nor is a
 * source staged again for every panel, if the panels passing by are not more than what that costs.
 */
static struct slabs plan_slabs(const struct gather_plan *p, int64_t n, int64_t size, bool streamed)
{
    struct slabs s = {.images = greater(n, 1),
                      .rows = greater(p->axis_h.target, 1),
                      .columns = greater(p->axis_w.target, 1),
                      .groups = 1,
                      .phases_h = 1,
                      .phases_w = 1,
                      .resident = resident(p, size),
                      .streamed = streamed};
    if (s.streamed) s.groups = p->panels;
    if (s.streamed && !p->target_staged) {
        s.phases_h = phases(&p->axis_h);
        s.phases_w = phases(&p->axis_w);
    }
    fit(p, &s, SLAB_BYTES / size);
    const int64_t groups = s.groups * s.phases_h * s.phases_w;
    cut_slabs(p, &s, n, slabs_wanted(p, n, groups));
    s.image_cuts = ceil_div(n, s.images);
    s.row_cuts = ceil_div(p->axis_h.target, s.rows);
    s.column_cuts = ceil_div(p->axis_w.target, s.columns);
    s.group = ceil_div(p->panels, s.groups);
    return s;
}

struct slabs convti_plan_slabs(const struct gather_plan *p, int64_t n, size_t real_size)
{
    const int64_t size = (int64_t)real_size;
    return plan_slabs(p, n, size, streams(p, n, size));
}

void convti_cut_slabs_for(struct gather_plan *p, int64_t n, size_t real_size)
{
    if (p->cut_for == n) return;
    p->slabs = convti_plan_slabs(p, n, real_size);
    p->cut_for = n;
}

/* For any batch: it may stream or not. Images of a slab are at most what fits; a box is largest where
 * the batch alone gives the work. */
static void lay_desk(struct gather_plan *p, size_t real_size)
{
    int64_t source = 0, target = 0; /* elements of a staged slab */
    const bool staged = p->source_staged || p->target_staged;
    for (int streamed = 0; staged && streamed < 2; streamed++) {
        const struct slabs s = plan_slabs(p, INT32_MAX, (int64_t)real_size, streamed > 0);
        const int64_t columns = s.groups > 1 ? p->panel : p->columns,
                      read = s.images * span(&p->axis_h, s.rows) * span(&p->axis_w, s.columns),
                      made = s.images * s.rows * s.columns * columns;
        if (p->source_staged) source = greater(source, read * p->depth);
        if (p->target_staged) target = greater(target, made);
    }
    convti_size size = {0};
    convti_size_add(&size, p->most_runs, sizeof(struct run));
    p->desk.from = convti_size_add(&size, p->chunk + GEMM_MAX_ROWS, sizeof(int64_t));
    p->desk.to = convti_size_add(&size, p->chunk + GEMM_MAX_ROWS, sizeof(int64_t));
    p->desk.source = convti_size_add(&size, source, real_size);
    p->desk.target = convti_size_add(&size, target, real_size);
    p->desk.bytes = size.bytes;
    p->cut_for = 0;
}

/* ---- the two passes -------------------------------------------------------------------------- */

/* A phase of the stride meets every (stride / g)-th tap (geometry.c). */
static struct gather_axis forward_axis(const struct axis *a)
{
    const int64_t period = a->stride / common_divisor(a->stride, a->dilation);
    return (struct gather_axis){.source = a->in,
                                .target = a->out,
                                .target_step = a->stride,
                                .source_step = 1,
                                .reach = (a->kernel - 1) * a->dilation,
                                .taps = lesser(ceil_div(a->kernel, period), a->in)};
}

/* dx: a step of the target is one of `stride` in the source. */
static struct gather_axis backward_axis(const struct axis *a)
{
    return (struct gather_axis){.source = a->out,
                                .target = a->in,
                                .target_step = 1,
                                .source_step = a->stride,
                                .reach = ceil_div((a->kernel - 1) * a->dilation, a->stride),
                                .taps = lesser(a->kernel, greater(a->out, 1))};
}

/* What follows for either pass from its axes, columns and k. */
static void plan_gather(struct gather_plan *p, const struct geometry *g,
                        const struct tile_sizes *tiles, size_t real_size)
{
    p->kernel_w = g->w.kernel;
    p->positions = g->h.in * g->w.in;
    p->taps = g->taps;
    p->met_h = convti_pairs_inside(&g->h) / (double)greater(p->axis_h.target, 1);
    p->met_w = convti_pairs_inside(&g->w) / (double)greater(p->axis_w.target, 1);
    cut_panels(p, tiles, (int64_t)real_size);
    lay_desk(p, real_size);
}

void convti_plan_gather_forward(struct gather_plan *p, const struct geometry *g,
                                const struct tile_sizes *tiles, size_t real_size)
{
    p->axis_h = forward_axis(&g->h);
    p->axis_w = forward_axis(&g->w);
    p->columns = g->filters;
    p->k = g->channels;
    p->source_staged = p->target_staged = g->channels_first;
    plan_gather(p, g, tiles, real_size);
}

void convti_plan_gather_backward(struct gather_plan *p, const struct geometry *g,
                                 const struct tile_sizes *tiles, size_t real_size)
{
    p->axis_h = backward_axis(&g->h);
    p->axis_w = backward_axis(&g->w);
    p->columns = g->channels;
    p->k = g->filters;
    p->source_staged = false; /* dz is channels_last in any case */
    p->target_staged = g->channels_first;
    plan_gather(p, g, tiles, real_size);
}
