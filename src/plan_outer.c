/*
 * Outer: choice of formulation and of cuts, by shape.
 */
#include "plan.h"

#include "integer.h"

enum {
    CHUNK_PIXELS = 128,       /* pixels of x whose sums stay in registers, at most */
    CHUNK_BYTES = 128 << 10,  /* packed x of a chunk: stays in L2 */
    LEAST_PIXELS = 32,        /* below, adding up tiles costs more than the cache gives */
    PADDED_BYTES = 256 << 10, /* the padded copy of dz for a chunk: stays in L2 */
    TASK_ITEMS = 12,          /* tiles' worth of rows that share a packed chunk */
    LEAST_SHARING = 4,        /* tiles that pay for packing x */
    MOST_PARTS = 16,          /* sums of dw side by side, where one has too few tiles */
    PART_BYTES = 1 << 20      /* partial sums of dw, all parts together */
};

void convti_plan_outer(struct outer_plan *p, const struct geometry *g,
                       const struct tile_sizes *tiles)
{
    int64_t vectors = ceil_div(g->channels, tiles->lanes);
    p->lanes = tiles->lanes;
    p->vectors = lesser(vectors, tiles->vectors);
    p->rows = tiles->rows[p->vectors];
    p->padded = g->filters < p->rows;
    p->row_groups = ceil_div(p->padded ? g->taps * g->filters : g->filters, p->rows);
    p->items = p->padded ? p->row_groups : p->row_groups * g->taps;
    p->task_items = p->padded ? p->items : TASK_ITEMS;
    p->tasks = ceil_div(p->items, p->task_items);
    p->in_place = !g->channels_first && g->channels % tiles->lanes == 0 &&
                  lesser(p->items, p->task_items) < LEAST_SHARING;
    int64_t pixels = lesser(greater(CHUNK_BYTES / (g->channels * 4), LEAST_PIXELS), CHUNK_PIXELS);
    p->chunk_rows = greater(pixels / g->w.in, 1);

    p->pad_w = (g->w.in - 1) * g->w.stride + (g->w.kernel - 1) * g->w.dilation + 1;
    if (p->padded) {
        int64_t row = p->pad_w * g->filters * 8, extra = (g->h.kernel - 1) * g->h.dilation + 1;
        int64_t fit = greater((PADDED_BYTES / row - extra) / g->h.stride + 1, 1);
        p->chunk_rows = lesser(fit, g->h.in);
        p->pad_h = (p->chunk_rows - 1) * g->h.stride + extra;
    }
}

int64_t convti_outer_parts(const struct outer_plan *p, const struct geometry *g, int64_t n)
{
    int64_t chunks = p->padded ? n * ceil_div(g->h.in, p->chunk_rows)
                               : ceil_div(n * g->h.in, p->chunk_rows);
    int64_t wanted = p->tasks < MOST_PARTS ? ceil_div(MOST_PARTS, p->tasks) : 1;
    int64_t affordable = greater(PART_BYTES / (g->w_size * 8), 1);
    return greater(lesser(lesser(wanted, affordable), chunks), 1);
}
