/*
 * Sweep: its cuts, by shape.
 */
#include "plan.h"

#include "integer.h"

enum {
    BLOCK_PIXELS = 256, /* pixels whose db is summed apart, at least */
    MOST_BLOCKS = 1024,
    STEP_ELEMENTS = 8 << 10 /* of dz made at once: stays in L1 */
};

struct sweep_plan convti_plan_sweep(const struct geometry *g, int64_t n)
{
    int64_t pixels = n * g->h.out * g->w.out;
    int64_t step = lesser(greater(STEP_ELEMENTS / g->filters, 1), BLOCK_PIXELS);
    return (struct sweep_plan){.block = greater(BLOCK_PIXELS, ceil_div(pixels, MOST_BLOCKS)),
                               .step = step};
}

int64_t convti_sweep_bound(const struct geometry *g, int64_t n)
{
    return lesser(ceil_div(n * g->h.out * g->w.out, BLOCK_PIXELS), MOST_BLOCKS);
}
