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
 * A plan holds the cuts of the last batch: a layer has one caller at a time, who plans them anew
 * where a call brings another n, in front of the team. A call of a tiny layer is over sooner than
 * they are planned.
 */

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

/* How far a stretch of a target axis reads: rows (or columns) of the source for `count` of the
 * target. */
struct gather_axis {
    int64_t source, target; /* lengths */
    int64_t target_step;    /* of the target between positions of one class */
    int64_t source_step;    /* of the source for target_step of the target */
    int64_t reach;          /* of the target from the first tap to the last, in the same unit */
    int64_t taps;           /* that meet at a position of the target, at most */
};

/* A part of the target that one thread computes: whole images, or a box of one image. */
struct slabs {
    int64_t images, rows, columns;             /* of a slab */
    int64_t image_cuts, row_cuts, column_cuts; /* how many of each */
    int64_t group, groups;                     /* panels of an item, and how many such groups */
    int64_t phases_h, phases_w; /* 1, or every phase of the stride is an item of its own */
    bool resident;              /* all panels stay in the cache with a slab */
    bool streamed; /* an item is one panel of one phase, and as many pixels as the threads allow */
};

/* Where things lie in a thread's scratch; the runs come first. */
struct gather_desk {
    size_t from, to, source, target, bytes;
};

struct gather_plan {
    struct axis_plan h, w;
    struct gather_axis axis_h, axis_w;
    int64_t kernel_w; /* slots a kernel row */
    int64_t columns, k, taps;
    int64_t positions;   /* of x, each of which meets every tap */
    double met_h, met_w; /* taps that meet at a target pixel on average, per axis */
    int64_t met;         /* and all, roughly */
    double cost;         /* of a pixel of the target, in multiplications of vectors at full rate */
    int64_t lanes;
    bool dot;
    int64_t most_taps; /* of dot: those that may share loads */
    int64_t depth; /* of k, brought into scratch at a time where the source is staged; else all */
    int64_t panel; /* columns of a full panel; the last one may hold fewer */
    int64_t panels;
    int64_t packed;    /* elements of all panels */
    int64_t block_k;   /* k of a panel that all pixels of a chunk meet before the next */
    int64_t chunk;     /* pixels of a chunk */
    int64_t most_runs; /* of a pair of classes */
    bool source_staged, target_staged; /* channels_first: slabs are transposed in scratch */
    struct gather_desk desk;           /* for any batch */
    int64_t cut_for;                   /* the batch that slabs are for; 0: none yet */
    struct slabs slabs;
};

/* Source x, target y; source dz, target dx. Everything but the classes, whose arrays need memory
 * first (geometry.h). */
void convti_plan_gather_forward(struct gather_plan *plan, const struct geometry *g,
                                const struct tile_sizes *tiles, size_t real_size);
void convti_plan_gather_backward(struct gather_plan *plan, const struct geometry *g,
                                 const struct tile_sizes *tiles, size_t real_size);

/* Whether the pixels of a class of the width, neighbours in a row, share the loads of a dot tile. By
 * the class alone, as the order of sums follows from it. */
bool convti_shares_loads(const struct gather_plan *plan, const struct tap_class *w);

struct slabs convti_plan_slabs(const struct gather_plan *plan, int64_t n, size_t real_size);

/* plan->slabs for a batch of n > 0: planned again only where n is not the last one. */
void convti_cut_slabs_for(struct gather_plan *plan, int64_t n, size_t real_size);

/*
 * lines: the forward pass where filters are too few to fill vector lanes. Per axis
 * o = i * stride + t * dilation - crop; along the width o = q * stride + phase and i = q + shift,
 *
 *     line[o][phase, f][q] = b[f] + sum over (i, th) that reach row o, shifts and c
 *                            of w[th, tw(phase, shift), f, c] * x[i][c][q + shift]
 *
 * Vector lanes run over positions q, of several images side by side where maps are narrow. A source
 * row is brought into x[c][q] once; its product with the taps is added to the lines of the target
 * rows that it reaches, a ring; complete rows are interleaved into memory.
 */
enum { LINES_MAX_PHASES = 16 };

/* Neighbouring phases of the width that meet the same shifts; their rows share every load of x. */
struct line_group {
    int64_t phase, phases; /* first phase, and how many */
    int64_t taps, shift;   /* shifts that each meets, and the lowest of them */
    int64_t slot;          /* of its first tap (geometry.h): taps slots for each phase */
    int64_t packed;        /* where its weights begin */
};

/* Rows x vectors of lines in even shares: tiles of each. */
struct line_tiling {
    int64_t rows, down, across;
};

/* Work items of a batch: images side by side, or segments of a row; and bands of target rows. */
struct line_cuts {
    int64_t images, pitch;   /* and positions from one image to the next */
    int64_t positions, rows; /* of a segment, of a band */
    int64_t image_cuts, segments, bands;
    int64_t vectors;         /* of a line */
    int64_t stride;          /* from line to line */
    int64_t x_stride;        /* from channel to channel */
    int64_t lead;            /* in front of x: reads without a shift are aligned */
    int64_t channels, parts; /* of x at a time; how often */
};

struct lines_plan {
    bool possible;
    double cost; /* of an image, in multiplications of vectors at full rate */
    struct axis h, w;
    int64_t channels, filters;
    bool channels_first; /* x */
    int groups;
    struct line_group group[LINES_MAX_PHASES];
    int64_t phases, shift_step;
    int64_t low, high; /* shifts of all groups */
    int64_t positions; /* of a whole target row */
    int64_t span;      /* target rows that may be incomplete at a time */
    int64_t lanes;
    const struct tile_sizes *tiles;
    size_t x, bytes; /* of a thread's scratch, for any batch: the ring, then x */
    int64_t cut_for; /* the batch that cuts are for; 0: none yet */
    struct line_cuts cuts;
    struct line_tiling
        tiling[LINES_MAX_PHASES]; /* of each group, where a row of x meets all taps */
};

void convti_plan_lines(struct lines_plan *plan, const struct geometry *g,
                       const struct tile_sizes *tiles, size_t real_size);
struct line_cuts convti_cut_lines(const struct lines_plan *plan, int64_t n, size_t real_size);
struct line_tiling convti_tile_lines(const struct tile_sizes *tiles, int64_t rows, int64_t vectors);

/* plan->cuts for a batch of n > 0: planned again only where n is not the last one. */
void convti_cut_lines_for(struct lines_plan *plan, int64_t n, size_t real_size);

/*
 * fold: the forward pass where filters are few and channels many, without dilation along the width
 *
 *     product[n, i][t, f] = sum over c of x[n, i, c] * w[t, f, c]
 *     y[n, o, f] = b[f] + sum over (i, t) that meet at o of product[n, i][t, f]
 *
 * The columns (t, f) of all taps fill the vectors that filters alone do not. The product of a few source
 * rows at a time goes to a ring, from which target rows are added up: what a pixel has for a tap row is
 * a window of kernel w * filters elements, and the next pixel's begins a block of stride * filters later.
 */
struct fold_cuts {
    int64_t images, rows; /* of an item: several images, or a band of target rows of one */
    int64_t image_cuts, bands;
};

struct fold_plan {
    bool possible;
    double cost; /* of an image, in multiplications of vectors at full rate */
    struct axis h, w;
    int64_t channels, filters;
    bool channels_first;                   /* x */
    int64_t columns, panel, panels, pitch; /* in all, of a panel; elements of a pixel's product */
    int64_t packed, block_k;               /* elements of all panels; k of one at a time */
    int64_t block, blocks, last; /* elements of a block, blocks of a window, elements of its last */
    int64_t reach, group, ring;  /* source rows of a target row, multiplied at once, in the ring */
    int64_t chunk;               /* pixels whose offsets are listed at once */
    int64_t first, positions;    /* blocks of a target row */
    size_t to, product, line, bias, taps, staged, bytes; /* of a thread's scratch, for any batch */
    int64_t cut_for; /* the batch that cuts are for; 0: none yet */
    struct fold_cuts cuts;
};

void convti_plan_fold(struct fold_plan *plan, const struct geometry *g,
                      const struct tile_sizes *tiles, size_t real_size);
struct fold_cuts convti_cut_fold(const struct fold_plan *plan, int64_t n);

/* plan->cuts for a batch of n > 0: planned again only where n is not the last one. */
void convti_cut_fold_for(struct fold_plan *plan, int64_t n);

/* The formulation of forward: the one that costs least. */
enum forward_by { BY_GATHER, BY_LINES, BY_FOLD };

enum forward_by convti_forward_by(const struct geometry *g, const struct gather_plan *gather,
                                  const struct lines_plan *lines, const struct fold_plan *fold);

/*
 * outer: dw[t, f, c] = sum over pixels (n, i) of dz[n, o(i, t), f] * x[n, i, c]
 *
 * A window is what is contiguous in a row of dz for one pixel of x: the filters of `span` taps. A
 * tile meets a window, or windows of several kernel rows, with channels: either channels lie in
 * vector lanes and the elements of the window are its rows, or, swapped, the other way round. Whole
 * tiles: an item is a stretch of a window, a strip one of channels.
 *
 * Pixels are cut into chunks of rows of x, or pieces of one; chunks into parts with sums of their
 * own that are added in order. A task is a part, a block of strips and a stretch of items.
 */
struct outer_plan {
    bool swapped;  /* lanes run over the window */
    bool copied;   /* windows that leave the output are read from copies with zeros around */
    bool in_place; /* x is not packed */
    bool apart;    /* swapped: a task is one window, whose sums are transposed from scratch */
    int64_t lanes;
    int64_t vectors, rows; /* of a full tile; rows of each group */
    int64_t together;      /* kernel rows of a tile: its groups */
    int64_t span, bands;   /* taps of a window, windows of a kernel row */
    int64_t window;        /* elements */
    int64_t window_vectors, channel_vectors;
    int64_t cuts_of_window; /* items of a window */
    int64_t items;
    int64_t strips, blocks, stretches;
    int64_t most_parts; /* that memory allows */
    int64_t chunk_rows, row_cuts;
    int64_t dz_cuts;     /* items whose dz is packed at a time; 0: dz is read where it lies */
    int64_t dz_panel;    /* elements of one of them */
    int64_t left, right; /* pixels at either end of a row whose windows are copied */
    int64_t copy_rows;   /* of dz for one chunk, at most */
    int64_t copy_size;   /* elements of one of them, at most */
};

void convti_plan_outer(struct outer_plan *plan, const struct geometry *g,
                       const struct tile_sizes *tiles, size_t real_size);

/* Parts for a batch of n: enough tasks for many threads, few enough partial sums. At least 1. */
int64_t convti_outer_parts(const struct outer_plan *plan, const struct geometry *g, int64_t n);

/* Elements of one part's sums; of all parts: 0 where dw itself is the sum. */
int64_t convti_outer_sums(const struct outer_plan *plan, const struct geometry *g);
int64_t convti_outer_parts_size(const struct outer_plan *plan, const struct geometry *g, int64_t n);

/* Elements of a task's sums in scratch; 0 where they lie elsewhere. */
int64_t convti_outer_task_sums(const struct outer_plan *plan, const struct geometry *g);

int64_t convti_outer_chunks(const struct outer_plan *plan, const struct geometry *g, int64_t n);

/* Elements of the part of a padded row of dz that the windows of neighbouring pixels reach. */
int64_t convti_outer_piece(const struct outer_plan *plan, const struct geometry *g, int64_t pixels);

/* Pixels of an axis that tap t maps inside the output; may be empty, even inverted. */
struct pixels {
    int64_t begin, end;
};
struct pixels convti_valid_pixels(const struct axis *axis, int64_t t);

/* (tap, pixel) pairs of an axis that meet the output, roughly. */
double convti_pairs_inside(const struct axis *axis);

/* The sweep that makes dz and db. */
struct sweep_plan {
    int64_t least_block, most_blocks; /* pixels of a block, blocks of a batch */
    int64_t step;                     /* pixels at a time within a block */
    size_t sum, bytes;                /* of a thread's scratch: z of a step, then its sum */
    int64_t cut_for;                  /* the batch that what follows is for; 0: none yet */
    int64_t block, blocks;
};
void convti_plan_sweep(struct sweep_plan *plan, const struct geometry *g, size_t real_size);

/* Pixels of a block for a batch of n; blocks, for any batch up to n. */
int64_t convti_sweep_block(const struct sweep_plan *plan, const struct geometry *g, int64_t n);
int64_t convti_sweep_bound(const struct sweep_plan *plan, const struct geometry *g, int64_t n);

/* plan->block and blocks for a batch of n > 0: planned again only where n is not the last one. */
void convti_cut_sweep_for(struct sweep_plan *plan, const struct geometry *g, int64_t n);

#endif
