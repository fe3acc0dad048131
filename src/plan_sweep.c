/*
 * Sweep: its cuts, by shape.
 */
#include "plan.h"

#include "alloc.h"
#include "integer.h"

enum {
    MOST_BLOCKS = 64,
    SUMS_BYTES = 256 << 10,    /* partial sums of all blocks */
    BLOCK_PIXELS = 16,         /* at least, so that a block's sums are few beside its pixels */
    BLOCK_ELEMENTS = 16 << 10, /* at least, so that a block is worth a thread's while */
    STEP_ELEMENTS = 8 << 10,   /* of dz made at once: stays in L1 */
    /* channels_first reads a line of every plane for 16 floats: several lines of each, where the
     * second-level cache still holds the step. */
    STEP_PIXELS = 64,
    MOST_STEP_BYTES = 256 << 10
};

static int64_t least_block(const struct geometry *g)
{
    return greater(BLOCK_PIXELS, ceil_div(BLOCK_ELEMENTS, g->filters));
}

/* Counted in the wider real: the order of summation is the same in both. */
static int64_t most_blocks(const struct geometry *g)
{
    return greater(lesser(SUMS_BYTES / 8 / g->filters, MOST_BLOCKS), 1);
}

static int64_t step_pixels(const struct geometry *g, int64_t real_size)
{
    const int64_t step = greater(STEP_ELEMENTS / g->filters, 1);
    if (!g->channels_first) return step;
    return greater(step, lesser(STEP_PIXELS, MOST_STEP_BYTES / real_size / g->filters));
}

void convti_plan_sweep(struct sweep_plan *p, const struct geometry *g, size_t real_size)
{
    *p = (struct sweep_plan){.least_block = least_block(g),
                             .most_blocks = most_blocks(g),
                             .step = step_pixels(g, (int64_t)real_size)};
    convti_size size = {0};
    convti_size_add(&size, p->step * g->filters, real_size);
    p->sum = convti_size_add(&size, p->step * g->filters, real_size);
    p->bytes = size.bytes;
}

int64_t convti_sweep_block(const struct sweep_plan *p, const struct geometry *g, int64_t n)
{
    return greater(p->least_block, ceil_div(n * g->h.out * g->w.out, p->most_blocks));
}

int64_t convti_sweep_bound(const struct sweep_plan *p, const struct geometry *g, int64_t n)
{
    return lesser(ceil_div(n * g->h.out * g->w.out, p->least_block), p->most_blocks);
}

void convti_cut_sweep_for(struct sweep_plan *p, const struct geometry *g, int64_t n)
{
    if (p->cut_for == n) return;
    p->block = convti_sweep_block(p, g, n);
    p->blocks = ceil_div(n * g->h.out * g->w.out, p->block);
    p->cut_for = n;
}
