/*
 * Sweep: its cuts, by shape.
 */
#include "plan.h"

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

struct sweep_plan convti_plan_sweep(const struct geometry *g, int64_t n, size_t real_size)
{
    const int64_t pixels = n * g->h.out * g->w.out;
    int64_t step = greater(STEP_ELEMENTS / g->filters, 1);
    if (g->channels_first)
        step =
            greater(step, lesser(STEP_PIXELS, MOST_STEP_BYTES / (int64_t)real_size / g->filters));
    return (struct sweep_plan){.block = greater(least_block(g), ceil_div(pixels, most_blocks(g))),
                               .step = step};
}

int64_t convti_sweep_bound(const struct geometry *g, int64_t n)
{
    return lesser(ceil_div(n * g->h.out * g->w.out, least_block(g)), most_blocks(g));
}
