/*
 * Fold: what it costs, and how a batch is cut.
 */
#include "plan.h"

#include "alloc.h"
#include "integer.h"

enum {
    RING_BYTES = 384 << 10, /* products that stay in L2 until their target rows are complete */
    BLOCK_BYTES =
        256 << 10, /* of a panel that the pixels of a chunk walk over: in L2 beside them */
    STAGED_BYTES = 128 << 10, /* of x, brought to channels_last */
    GROUP_PIXELS = 96,        /* multiplied at once, so that tiles are full */
    CHUNK = 512,              /* pixels whose offsets are listed at once */
    LEAST_ITEMS = 16,         /* work items, where the work is worth it */
    BAND_REACHES = 4, /* of source rows in a band: both neighbours of a border multiply them */
    ITEM_FLOPS = 4 << 20
};

/* Multiplications that take as long as adding a vector of a window, closing a block, closing a row. */
static const double ADD_COST = 2, BLOCK_COST = 8, ROW_COST = 200;

/* And all of it once more, beside what other formulations count: measured. */
static const double FOLD_RATE = 1.2;

/* Source rows of a target row, at most. */
static int64_t reach_of(const struct axis *h)
{
    return lesser((h->kernel - 1) * h->dilation / h->stride + 1, h->in);
}

static int64_t vectors_of(int64_t elements, int64_t lanes)
{
    return ceil_div(elements, lanes);
}

static double fold_cost(const struct fold_plan *p, const struct geometry *g,
                        const struct tile_sizes *tiles)
{
    const int64_t vectors = p->pitch / tiles->lanes;
    const double pixels = (double)(p->h.in * p->w.in);
    const double products = tiles->gemm_rate[lesser(vectors, KERNEL_MAX_VECTORS)] *
                            (double)vectors * (double)p->channels;
    const double adds = convti_pairs_inside(&g->h) * (double)p->blocks *
                        ADD_COST; /* of a position */
    const double block = adds + BLOCK_COST * (double)p->h.out;
    const double moved = g->channels_first ? (pixels * (double)p->channels + (double)g->z_size) / 4
                                           : 0;
    const double folds = ROW_COST * (double)p->h.out +
                         (double)p->positions * (double)vectors_of(p->block, tiles->lanes) * block;
    return FOLD_RATE * (pixels * products + folds) + moved;
}

/* Whether scratch stays small, whatever sizes are: the ring, a target row, pixels of x that are transposed. */
static bool fits(const struct fold_plan *p, int64_t size)
{
    const double row = (double)(p->w.in + p->blocks) * (double)p->pitch,
                 line = (double)(p->positions + 1) * (double)p->block,
                 staged = p->channels_first ? GEMM_MAX_ROWS * (double)p->channels : 0;
    const double most = RING_BYTES / (double)size;
    return (double)p->ring * row <= most && line <= most && staged <= most;
}

static void plan_scratch(struct fold_plan *p, const struct tile_sizes *tiles, size_t real_size)
{
    const int64_t staged = STAGED_BYTES / (int64_t)real_size / p->channels;
    convti_size size = {0};
    p->chunk = p->channels_first ? clamp(staged, GEMM_MAX_ROWS, CHUNK) : CHUNK;
    convti_size_add(&size, p->chunk + GEMM_MAX_ROWS, sizeof(int64_t));
    p->to = convti_size_add(&size, p->chunk + GEMM_MAX_ROWS, sizeof(int64_t));
    p->taps = convti_size_add(&size, p->reach, sizeof(void *));
    p->product = convti_size_add(
        &size, (p->ring * (p->w.in + p->blocks - 1) + p->blocks - 1) * p->pitch + tiles->lanes,
        real_size);
    p->line = convti_size_add(&size, p->positions * p->block + tiles->lanes, real_size);
    p->bias = convti_size_add(&size, p->block + tiles->lanes, real_size);
    p->staged = convti_size_add(&size, p->channels_first ? p->chunk * p->channels : 0, real_size);
    p->bytes = size.bytes;
}

void convti_plan_fold(struct fold_plan *p, const struct geometry *g, const struct tile_sizes *tiles,
                      size_t real_size)
{
    const struct axis *w = &g->w;
    const int64_t lanes = tiles->lanes, size = (int64_t)real_size;
    *p = (struct fold_plan){.h = g->h,
                            .w = g->w,
                            .channels = g->channels,
                            .filters = g->filters,
                            .channels_first = g->channels_first};
    const bool empty = g->h.in == 0 || w->in == 0 || g->h.out == 0 || w->out == 0;
    if (empty || w->dilation != 1 || g->h.kernel > RING_BYTES || w->kernel > RING_BYTES ||
        g->h.dilation > RING_BYTES || w->stride > RING_BYTES || g->filters > RING_BYTES ||
        g->channels > RING_BYTES)
        return;
    p->columns = g->taps * g->filters;
    p->blocks = ceil_div(w->kernel, w->stride);
    p->block = w->stride * g->filters;
    p->last = (w->kernel - (p->blocks - 1) * w->stride) * g->filters;
    p->pitch = vectors_of(p->columns, lanes) * lanes;
    p->panel = lesser(p->pitch, tiles->vectors * lanes);
    p->panels = ceil_div(p->columns, p->panel);
    p->packed = p->pitch * g->channels;
    p->block_k = ceil_div(g->channels, ceil_div(g->channels * p->panel * size, BLOCK_BYTES));
    p->reach = reach_of(&g->h);
    p->group = ceil_div(GROUP_PIXELS, w->in);
    p->ring = p->reach + p->group;
    p->first = w->crop / w->stride;
    p->positions = (w->crop + w->out - 1) / w->stride + 1 - p->first;
    p->possible = p->blocks <= FOLD_MAX_BLOCKS && fits(p, size);
    if (!p->possible) return;
    p->cost = fold_cost(p, g, tiles);
    plan_scratch(p, tiles, real_size);
}

struct fold_cuts convti_cut_fold(const struct fold_plan *p, int64_t n)
{
    const double flops = 2 * (double)n * (double)(p->h.in * p->w.in * p->channels) *
                         (double)p->columns;
    const int64_t items =
        flops < LEAST_ITEMS * (double)ITEM_FLOPS ? 1 + (int64_t)(flops / ITEM_FLOPS) : LEAST_ITEMS;
    struct fold_cuts c = {.images = greater(n / items, 1), .rows = p->h.out};
    c.image_cuts = ceil_div(n, c.images);
    c.bands = 1;
    if (c.images > 1 || c.image_cuts >= items) return c;
    const int64_t least = BAND_REACHES * p->reach * p->h.stride;
    c.rows =
        clamp(ceil_div(p->h.out, ceil_div(items, c.image_cuts)), lesser(least, p->h.out), p->h.out);
    c.bands = ceil_div(p->h.out, c.rows);
    return c;
}

void convti_cut_fold_for(struct fold_plan *p, int64_t n)
{
    if (p->cut_for == n) return;
    p->cuts = convti_cut_fold(p, n);
    p->cut_for = n;
}
