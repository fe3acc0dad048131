/*
 * What planning needs to know of the kernels, whatever their precision: tile sizes, and the unit of
 * a gather.
 */
#ifndef CONVT_TILES_H
#define CONVT_TILES_H

#include <stdint.h>

/* Capacities over all ISAs; a unit uses what its registers allow. */
enum {
    KERNEL_MAX_ROWS = 8,
    GEMM_MAX_ROWS = 12,
    KERNEL_MAX_VECTORS = 4,
    KERNEL_MAX_COLUMNS = 4,
    KERNEL_MAX_LANES = 16,
    KERNEL_MAX_DOTS = 24,
    LINE_MAX_ROWS = 12,
    LINE_MAX_VECTORS = 8,
    LINE_MAX_WEAVE = 8
};

struct tile_sizes {
    int lanes;                             /* reals in a vector */
    int vectors;                           /* of the widest tile */
    int rows[KERNEL_MAX_VECTORS + 1];      /* [vectors]: rows of a full outer tile */
    int gemm_rows[KERNEL_MAX_VECTORS + 1]; /* [vectors]: rows of a full gemm tile */
    int dot_rows[KERNEL_MAX_COLUMNS + 1];  /* [columns]: rows of a dot tile; always full */
    int line_rows[LINE_MAX_VECTORS + 1];   /* [vectors]: rows of a full line tile */
};

/* A stretch of a gather that is contiguous in memory: k elements at a[r] + a meet the rows b .. b +
 * k of the panel. */
struct run {
    int64_t a, b, k;
};

#endif
