/*
 * gather: target[n, p, j] = bias[j] + sum over taps t of p, and k, of source[n, source(p, t), k] *
 * w[t, j, k]
 *
 * Work items are (group of panels, slab of the target). Within an item every pair of tap classes
 * (rows x columns of pixels that meet the same taps) is one matrix product over its pixels,
 * flattened over images, rows and columns, so that tiles are full even on small maps; its taps
 * become runs, contiguous stretches of source and panel.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

enum { MOST_ROWS = KERNEL_MAX_DOTS };

/* The part of the target an item covers, and where its source begins in memory. */
struct item {
    const struct gather_call *call;
    int64_t n0, n1, r0, r1; /* images, target rows */
    int64_t panel0, panel1;
    const real *source;       /* pixel (image n0, row low, column 0), channels_last */
    int64_t low, source_rows; /* first source row in memory, rows an image */
    struct run *runs;
};

/* A pair of classes: its pixels, counted (image, row, column), and its runs. */
struct pair {
    const struct tap_class *h, *w;
    int64_t q0, rows; /* of class h within the slab */
    int64_t pixels;
    int64_t runs;
};

/* Pixels in order, one after another. */
struct cursor {
    int64_t n, q, c;
};

/* Runs along a kernel row join where neighbouring taps are neighbours in memory. */
static int64_t make_runs(const struct item *it, const struct tap_class *h,
                         const struct tap_class *w)
{
    const struct gather_plan *p = it->call->plan;
    int64_t count = 0;
    bool joined = w->tap_step == 1;
    for (int64_t a = 0; a < h->taps; a++)
        for (int64_t b = 0; b < (joined ? w->taps > 0 : w->taps); b++)
            it->runs[count++] =
                (struct run){.a = (a * h->tap_step * p->source_w + b * w->tap_step) * p->k,
                             .b = ((h->slot + a) * p->kernel_w + w->slot + b) * p->k,
                             .k = joined ? w->taps * p->k : p->k};
    return count;
}

/* Where a pixel of the pair reads and writes; then on to the next one. */
static void place(const struct item *it, const struct pair *pair, struct cursor *at,
                  const real **source, int64_t *target)
{
    const struct gather_plan *p = it->call->plan;
    const struct tap_class *h = pair->h, *w = pair->w;
    if (pair->runs > 0) {
        int64_t row = h->source + (pair->q0 + at->q) * h->source_step - it->low,
                column = w->source + at->c * w->source_step;
        *source = it->source + ((at->n * it->source_rows + row) * p->source_w + column) * p->k;
    } else {
        *source = it->source;
    }
    int64_t n = it->n0 + at->n, oh = h->first + (pair->q0 + at->q) * h->step,
            ow = w->first + at->c * w->step;
    *target = it->call->channels_first ? (n * p->columns * p->target_h + oh) * p->target_w + ow
                                       : ((n * p->target_h + oh) * p->target_w + ow) * p->columns;
    if (++at->c == w->count) {
        at->c = 0;
        if (++at->q == pair->rows) {
            at->q = 0;
            at->n++;
        }
    }
}

/* A tile of values, rows x width, to their places; only the first `columns` of a row count. */
static void scatter(const struct gather_call *call, real *out, const real *tile, int64_t rows,
                    int64_t width, int64_t columns, int64_t first, const int64_t *target)
{
    int64_t stride = call->channels_first ? call->plan->target_h * call->plan->target_w : 1;
    for (int64_t r = 0; r < rows; r++) {
        real *to = out + target[r] + first * stride;
        for (int64_t j = 0; j < columns; j++) to[j * stride] = tile[r * width + j];
    }
}

/* The tile holds z: keep it where asked, finish it, store it. */
static void store(const struct gather_call *call, real *tile, int64_t rows, int64_t width,
                  int64_t columns, int64_t first, const int64_t *target)
{
    if (call->z) scatter(call, call->z, tile, rows, width, columns, first, target);
    if (call->finish.f) call->finish.f(&call->finish.params, rows * width, tile, tile);
    scatter(call, call->target, tile, rows, width, columns, first, target);
}

static void wide_panel(const struct item *it, int64_t panel, int64_t runs, int rows,
                       const real *const *source, const int64_t *target)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    int lanes = call->kernels->tiles.lanes;
    int64_t first = panel * p->panel,
            columns = p->columns - first < p->panel ? p->columns - first : p->panel;
    int vectors = (int)((columns + lanes - 1) / lanes);
    int64_t width = (int64_t)vectors * lanes;
    bool direct = !call->channels_first && !call->z && columns == width;
    real tile[KERNEL_MAX_ROWS * KERNEL_MAX_VECTORS * KERNEL_MAX_LANES] __attribute__((aligned(64)));
    real *c[KERNEL_MAX_ROWS];
    for (int r = 0; r < rows; r++)
        c[r] = direct ? call->target + target[r] + first : tile + r * width;
    const struct finish none = {0};
    call->kernels->gemm[vectors][rows](
        source, it->runs, runs, call->packed + first * p->taps * p->k,
        call->bias ? call->bias + first : NULL, direct ? &call->finish : &none, c);
    if (!direct) store(call, tile, rows, width, columns, first, target);
}

static void dot_panel(const struct item *it, int64_t panel, int64_t runs, int rows,
                      const real *const *source, const int64_t *target)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    int64_t first = panel * p->panel,
            columns = p->columns - first < p->panel ? p->columns - first : p->panel;
    real tile[KERNEL_MAX_DOTS * 2] __attribute__((aligned(64)));
    call->kernels->dot[columns](source, it->runs, runs, call->packed + first * p->taps * p->k,
                                p->taps * p->k, call->bias ? call->bias + first : NULL, tile);
    store(call, tile, rows, columns, columns, first, target);
}

/* A wide panel may have fewer vectors than the first one, and then more rows; tiles take what all
 * panels of the item allow. */
static int tile_rows(const struct item *it)
{
    const struct tile_sizes *t = &it->call->kernels->tiles;
    const struct gather_plan *p = it->call->plan;
    return p->dot ? t->dot_rows[p->panel] : t->rows[p->panel / t->lanes];
}

static void pair_tiles(const struct item *it, const struct pair *pair)
{
    const struct gather_plan *p = it->call->plan;
    int64_t full = tile_rows(it), tiles = ceil_div(pair->pixels, full);
    struct cursor at = {0, 0, 0};
    for (int64_t tile = 0; tile < tiles; tile++) {
        /* Even shares: a last tile of one row would wait for its own sums. */
        int rows = (int)(pair->pixels * (tile + 1) / tiles - pair->pixels * tile / tiles);
        const real *source[MOST_ROWS];
        int64_t target[MOST_ROWS];
        for (int r = 0; r < rows; r++) place(it, pair, &at, &source[r], &target[r]);
        for (int r = rows; r < MOST_ROWS; r++)
            source[r] = source[0]; /* dot tiles are always full: the rest is computed and dropped */
        for (int64_t panel = it->panel0; panel < it->panel1; panel++)
            (p->dot ? dot_panel : wide_panel)(it, panel, pair->runs, rows, source, target);
    }
}

/* Rows of class h in [r0, r1). */
static void clip_rows(struct pair *pair, int64_t r0, int64_t r1)
{
    const struct tap_class *h = pair->h;
    int64_t end = ceil_div(r1 - h->first, h->step);
    pair->q0 = ceil_div(r0 - h->first, h->step);
    pair->rows = (end < h->count ? end : h->count) - pair->q0;
}

static void run_item(const struct item *it)
{
    const struct gather_plan *p = it->call->plan;
    for (int64_t i = 0; i < p->h.count; i++) {
        struct pair pair = {.h = &p->h.classes[i]};
        clip_rows(&pair, it->r0, it->r1);
        for (int64_t j = 0; pair.rows > 0 && j < p->w.count; j++) {
            pair.w = &p->w.classes[j];
            pair.runs = make_runs(it, pair.h, pair.w);
            pair.pixels = (it->n1 - it->n0) * pair.rows * pair.w->count;
            pair_tiles(it, &pair);
        }
    }
}

/* Source rows that the slab reads. */
static void source_band(const struct item *it, int64_t *low, int64_t *high)
{
    const struct gather_plan *p = it->call->plan;
    *low = p->source_h;
    *high = 0;
    for (int64_t i = 0; i < p->h.count; i++) {
        struct pair pair = {.h = &p->h.classes[i]};
        clip_rows(&pair, it->r0, it->r1);
        if (pair.rows <= 0 || pair.h->taps == 0) continue;
        int64_t first = pair.h->source + pair.q0 * pair.h->source_step;
        int64_t last = first + (pair.rows - 1) * pair.h->source_step +
                       (pair.h->taps - 1) * pair.h->tap_step;
        *low = first < *low ? first : *low;
        *high = last + 1 > *high ? last + 1 : *high;
    }
}

/* channels_first to channels_last: the slab's source rows of every image, 16 pixels at a time so
 * that both sides stay in L1. */
static void stage(struct item *it, real *staged)
{
    const struct gather_plan *p = it->call->plan;
    int64_t low, high, plane = p->source_h * p->source_w;
    source_band(it, &low, &high);
    int64_t pixels = (high > low ? high - low : 0) * p->source_w;
    for (int64_t n = it->n0; n < it->n1; n++) {
        const real *from = it->call->source + n * p->k * plane + low * p->source_w;
        real *to = staged + (n - it->n0) * pixels * p->k;
        for (int64_t i0 = 0; i0 < pixels; i0 += 16)
            for (int64_t k = 0; k < p->k; k++)
                for (int64_t i = i0; i < pixels && i < i0 + 16; i++)
                    to[i * p->k + k] = from[k * plane + i];
    }
    it->source = staged;
    it->low = low;
    it->source_rows = high > low ? high - low : 0;
}

size_t FN(convti_gather_scratch)(const struct gather_plan *p)
{
    convti_size size = {0};
    convti_size_add(&size, p->taps, sizeof(struct run));
    if (p->staged) convti_size_add(&size, convti_slab_bound(p, sizeof(real)), sizeof(real));
    return size.bytes;
}

void FN(convti_gather)(const struct gather_call *call)
{
    const struct gather_plan *p = call->plan;
    struct slabs slabs = convti_plan_slabs(p, call->n, sizeof(real));
    int64_t cuts = slabs.image_cuts * slabs.row_cuts, items = slabs.groups * cuts;
    convti_size size = {0};
    struct run *runs =
        (struct run *)((char *)call->scratch + convti_size_add(&size, p->taps, sizeof(struct run)));
    real *staged = (real *)((char *)call->scratch + size.bytes);
#pragma omp for schedule(dynamic, 1) nowait
    for (int64_t i = 0; i < items; i++) {
        int64_t group = i / cuts, image = i % cuts / slabs.row_cuts, band = i % slabs.row_cuts;
        struct item it = {
            .call = call,
            .n0 = image * slabs.images,
            .n1 = lesser((image + 1) * slabs.images, call->n),
            .r0 = band * slabs.rows,
            .r1 = lesser((band + 1) * slabs.rows, p->target_h),
            .panel0 = group * slabs.group,
            .panel1 = lesser((group + 1) * slabs.group, p->panels),
            .source_rows = p->source_h,
            .runs = runs,
        };
        if (p->staged)
            stage(&it, staged);
        else
            it.source = call->source + it.n0 * p->source_h * p->source_w * p->k;
        run_item(&it);
    }
}
