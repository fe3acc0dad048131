/*
 * What planning needs to know of the kernels, whatever their precision: tile sizes, and the unit of
 * a gather.
 */
#ifndef CONVT_TILES_H
#define CONVT_TILES_H

#include <stdint.h>

/* Capacities over all ISAs; a unit uses what its registers allow. */
enum {
    GEMM_MAX_ROWS = 12,
    KERNEL_MAX_VECTORS = 4,
    DOT_MAX_ROWS = 16,
    DOT_MAX_COLUMNS = 8,
    DOT_MAX_TAPS = 4,
    LINE_MAX_ROWS = 12,
    LINE_MAX_VECTORS = 8,
    LINE_MAX_WEAVE = 8,
    FOLD_MAX_BLOCKS = 9,
    OUTER_MAX_ROWS = 14,
    OUTER_MAX_GROUPS = 3
};

/* Half cycles that a multiply-add of dot tiles takes, measured. Whole: k fills vectors, so that none of
 * the source lies across lines of the cache where none of it did before. */
struct dot_rates {
    double one, two;             /* columns, nothing shared */
    double shared, shared_whole; /* one or two columns whose taps share loads */
    double many, many_whole;     /* columns */
    double far;                  /* more, for a vector of weights that L1 does not hold */
    double closing; /* times what reducing and storing a pixel's sums takes with short vectors */
};

/* The first cache: a line lies at its address modulo WAY_BYTES, and as many as WAYS share a place. */
enum { LINE_BYTES = 64, WAY_BYTES = 4096, WAYS = 8 };

/* Where a tile of dw finds again what it shares with others: a line lies at its address modulo `way`, and as
 * many as `ways` share a place. */
struct cache {
    int64_t way, ways;
};

struct tile_sizes {
    int lanes;                             /* reals in a vector */
    int vectors;                           /* of the widest gemm tile */
    int load_cost;                         /* half cycles of a load of a vector, as they come */
    int gemm_rows[KERNEL_MAX_VECTORS + 1]; /* [vectors]: rows of a full gemm tile */
    /* [vectors of all columns, or the most]: half cycles of a multiply-add, measured */
    double gemm_rate[KERNEL_MAX_VECTORS + 1];
    struct dot_rates dot_rates;
    int dot_columns;                     /* of the widest dot tile */
    int dot_rows[DOT_MAX_COLUMNS + 1];   /* [columns]: rows of a full dot tile */
    int dot_taps[DOT_MAX_COLUMNS + 1];   /* [columns]: taps that share its loads */
    int line_rows[LINE_MAX_VECTORS + 1]; /* [vectors]: rows of a full line tile */
    /* [groups][vectors]: rows a group of a full outer tile, 0 where there is none */
    int outer_rows[OUTER_MAX_GROUPS + 1][KERNEL_MAX_VECTORS + 1];
    struct cache outer_cache;
    int64_t outer_panel; /* bytes of x that a tile meets in a chunk */
    int64_t outer_block; /* of packed x, all tiles of a task */
};

/* A stretch of a gather that is contiguous in memory: k elements at a[r] + a meet the rows b .. b +
 * k of the panel; and so do those of further taps, at the steps of the block (dot alone). */
struct run {
    int64_t a, b, k, taps;
};

#endif
