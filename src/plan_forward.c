/*
 * Forward: the choice of formulation, by what each costs for an image.
 */
#include "plan.h"

/* Beside its tiles a gather transposes channels_first tensors. */
static double gather_cost(const struct geometry *g, const struct gather_plan *gather)
{
    const double outputs = (double)(g->h.out * g->w.out),
                 inputs = (double)(g->h.in * g->w.in * g->channels);
    const double moved = g->channels_first ? (inputs + outputs * (double)g->filters) / 4 : 0;
    return moved + outputs * gather->cost;
}

enum forward_by convti_forward_by(const struct geometry *g, const struct gather_plan *gather,
                                  const struct lines_plan *lines, const struct fold_plan *fold)
{
    double least = gather_cost(g, gather);
    enum forward_by by = BY_GATHER;
    if (lines->possible && lines->cost < least) {
        least = lines->cost;
        by = BY_LINES;
    }
    if (fold->possible && fold->cost < least) by = BY_FOLD;
    return by;
}
