/*
 * Plans: how each pass cuts its contraction into register tiles. A function of shapes and tile
 * sizes alone, never of the number of threads, so that results are the same bits for any number of
 * them.
 */
#ifndef CONVT_PLAN_H
#define CONVT_PLAN_H

#include "geometry.h"
#include "kernel/tiles.h"

/*
 * gather: target[n, p, j] = sum over taps t of position p, and k, of source[n, source(p, t), k] *
 * w[t, j, k]
 *
 *     forward   source x,  target y,  j = filter,  k = channel
 *     dx        source dz, target dx, j = channel, k = filter
 *
 * Columns j are cut into panels of packed weights. Wide panels hold columns in vector lanes; where
 * columns are too few to fill them, dot panels hold k in vector lanes.
 */
struct gather_plan {
    struct axis_plan h, w;
    int64_t source_h, source_w, target_h, target_w;
    int64_t target_step; /* rows of the target between rows of one class */
    int64_t reach;       /* rows of the target from the first tap to the last */
    int64_t kernel_w;    /* slots a kernel row */
    int64_t columns, k, taps;
    int64_t met; /* taps that meet at a target pixel, roughly */
    bool dot;
    int64_t panel; /* columns of a full panel; the last one may hold fewer */
    int64_t panels;
    int64_t packed; /* elements of all panels */
    bool staged;    /* the source is channels_first: slabs of it are transposed into scratch */
};

/* A part of the target that one thread computes: whole images, or a band of rows of one image. */
struct slabs {
    int64_t images, rows;         /* of a slab */
    int64_t image_cuts, row_cuts; /* how many of each */
    int64_t group, groups;        /* panels that share a visit, and how many such groups */
};

/* Source x, target y; source dz, target dx. Everything but the classes, whose arrays need memory
 * first (geometry.h). */
void convti_plan_gather_forward(struct gather_plan *plan, const struct geometry *g,
                                const struct tile_sizes *tiles);
void convti_plan_gather_backward(struct gather_plan *plan, const struct geometry *g,
                                 const struct tile_sizes *tiles);

struct slabs convti_plan_slabs(const struct gather_plan *plan, int64_t n, size_t real_size);

/* Elements of the source that a slab reads, at most, whatever the batch. */
int64_t convti_slab_bound(const struct gather_plan *plan, size_t real_size);

/*
 * outer: dw[t, f, c] = sum over pixels (n, i) of dz[n, o(i, t), f] * x[n, i, c]
 *
 * Vector lanes run over c; the rows of a tile are filters of one tap, or, where filters are few,
 * (tap, filter) pairs over a zero-padded copy of dz. Pixels are cut into chunks of whole rows of x,
 * chunks into parts with sums of their own that are added in order; a task is a part and a group of
 * rows.
 */
struct outer_plan {
    bool padded;   /* rows are (tap, filter) pairs over padded dz */
    bool in_place; /* too few tiles share x to pay for packing it */
    int64_t lanes;
    int64_t vectors;      /* of a full tile */
    int64_t rows;         /* of a full tile */
    int64_t row_groups;   /* tiles that cover the filters of a tap, or all pairs */
    int64_t items;        /* row groups over all taps */
    int64_t task_items;   /* items of a task: what shares a chunk in the cache */
    int64_t tasks;        /* a part has this many */
    int64_t chunk_rows;   /* rows of x in a chunk */
    int64_t pad_h, pad_w; /* rows and pixels of the padded copy of dz for one chunk */
};

void convti_plan_outer(struct outer_plan *plan, const struct geometry *g,
                       const struct tile_sizes *tiles);

/* Parts for a batch of n: enough tasks for many threads, few enough partial sums. At least 1. */
int64_t convti_outer_parts(const struct outer_plan *plan, const struct geometry *g, int64_t n);

/* The sweep that makes dz and db: pixels of a block, and of a step within it. */
struct sweep_plan {
    int64_t block, step;
};
struct sweep_plan convti_plan_sweep(const struct geometry *g, int64_t n);
int64_t convti_sweep_bound(const struct geometry *g, int64_t n); /* blocks, for any batch up to n */

#endif
