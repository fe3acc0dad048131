/*
 * The contract between the layer and the kernels: register tiles over plain pointers. Kernels know
 * no layer, no shapes and no threads. Each (ISA, real) unit exports one const table of this type;
 * everything in it is reached through the table.
 *
 * Three contractions cover every pass:
 *
 *   gather (forward, dx)
 *       c[r][j] = bias[j] + sum over runs and k of  a[r][run.a + k] * b[run.b + k][j]
 *   lines (forward with few filters)
 *       line[r][p] += sum over shifts s and k of  w[s][k][r] * x[k][p + s * x_shift]
 *   outer (dw)
 *       out[g][r][j] (+)= sum over segments and i of  v[g * pitch + r + i * vs] * u[j + i * us]
 *
 * gather comes in two shapes: `gemm` holds the columns j in vector lanes (wide), `dot` holds k in
 * vector lanes and reduces once at the end (few columns). Every element is summed in the order of
 * runs and k, whatever tile it falls into: both give the same bits for any number of rows, which
 * is why outputs do not depend on how work was cut.
 */
#ifndef CONVT_KERNEL_H
#define CONVT_KERNEL_H

#include <stdbool.h>

#include "../real.h"
#include "tiles.h"

/* The parameters of one activation in the layer's precision; unused ones are 0. */
struct activation_params {
#define ACTIVATION_ARGUMENT(name, range) real name;
#include "convt/activations.def"
};

/* Memory that a kernel fetches for later, a line at every step; never read, so it may lie outside
 * of any array. */
struct far {
    const real *from;
    int64_t step;
};

/* A stretch of an outer product: count pixels, u advancing by us and v by vs elements each. */
struct segment {
    const real *u, *v;
    int64_t count, us, vs;
    struct far far[2];
};

/* One tile of an outer product: where it begins in every segment, and where its sums go. */
struct outer_tile {
    int64_t u, v;
    int64_t pitch; /* in v, from one group of rows to the next */
    int fetch;     /* which of a segment's far memories this tile fetches */
    int64_t fetch_at;
    real *out;
    int64_t stride, group_stride; /* in out, between rows and between groups */
    int64_t width;                /* elements of a row; what a tile has beyond is not stored */
    bool add;                     /* to what out holds, else overwrite */
};

/* y = f(z), and dz = dy * f'(z, y); any arrays may be the same. */
typedef void activate_kernel(const struct activation_params *p, int64_t count, const real *z,
                             real *y);
typedef void slope_kernel(const struct activation_params *p, int64_t count, const real *z,
                          const real *y, const real *dy, real *dz);

/*
 * Activations along rows of `length` z, one row behind another; rows of y hold length / inputs.
 * value: y may be z where inputs is 1. slope is the vector-Jacobian product, dz = J(z, y)^T dy: z
 * is read only where the row of activations.def needs it, else it is called with z = y; dz may be
 * z, and dy where inputs is 1.
 */
typedef void axis_value_kernel(int64_t rows, int64_t length, const real *z, real *y);
typedef void axis_slope_kernel(int64_t rows, int64_t length, const real *z, const real *y,
                               const real *dy, real *dz);

/* What happens to a tile before it is stored. */
struct finish {
    activate_kernel *f;
    struct activation_params params;
};

/*
 * Pixels against a panel. The panel holds a row of whole vectors for every k; of the last vector
 * only `columns` of the row count. Sums start at bias (NULL: 0), or at what the target holds.
 */
struct gather_block {
    const real *source, *panel, *bias;
    real *target, *z;         /* z: the values before finish, or NULL */
    const int64_t *from, *to; /* offsets in source, and in target and z, of every pixel */
    const struct run *runs;
    int64_t run_count;
    int64_t columns;
    bool add;
    const struct finish *finish; /* NULL: sums are stored as they are */
    /* dot: from column to column of the panel; from tap to tap of a run in the panel, and in the
     * source, where it leads to the next pixel, too */
    int64_t column_step, tap_step, step;
};

/* Tiles of pixels from `first` on, [vectors][rows] of them in one. */
typedef void gemm_kernel(const struct gather_block *block, int64_t first, int64_t tiles);

/* Tiles of pixels from `first` on, [columns][rows] of them in one. The panel holds a row of all k for
 * every column; sums are whole. */
typedef void dot_kernel(const struct gather_block *block, int64_t first, int64_t tiles);

typedef void outer_kernel(const struct segment *segments, int64_t count,
                          const struct outer_tile *tile);

/* to[c * to_stride + r] = from[r * from_stride + c]; the two do not overlap. */
typedef void transpose_kernel(int64_t rows, int64_t columns, const real *from, int64_t from_stride,
                              real *to, int64_t to_stride);

/* sums[c] += sum over r of a[r * columns + c], in an order that depends on the sizes alone. */
typedef void columns_kernel(int64_t rows, int64_t columns, const real *a, real *sums);

/* A tile of lines: rows are broadcast from w, vector lanes run over positions p. */
struct line_tile {
    const real *x, *w;
    int64_t shifts, channels;
    int64_t x_stride, x_shift, w_stride, w_shift;
    real *const *line; /* one a row */
    int64_t at;        /* where the tile begins in each */
    const char *ahead; /* what the next tiles will read: `step` bytes further with every channel */
    int64_t step;
};
typedef void line_kernel(const struct line_tile *tile);

/* y[q * m + j] = line[j * stride + q]: the first count elements of m interleaved lines. Reads whole
 * vectors. */
typedef void weave_kernel(int64_t count, const real *line, int64_t stride, real *y);

/* A row of overlapping windows; see fold.h. from: of every tap row, where the window of the first position
 * begins. bias: of a block, and zeros up to a whole vector. Reads and writes up to LANES - 1 elements behind
 * what it takes and makes. */
struct fold_row {
    const real *const *from;
    int64_t taps, pitch, block, last;
    const real *bias;
    int64_t positions;
    real *line;
};
typedef void fold_kernel(const struct fold_row *row);

/* to[i * to_stride + j] = from[i * from_stride + j] for i < rows, j < count. */
typedef void copy_kernel(int64_t rows, int64_t count, const real *from, int64_t from_stride,
                         real *to, int64_t to_stride);

/* Rows of `length` elements in even cuts of whole units, of which [cut0, cut1) become panels. */
struct panels {
    int64_t length, units, unit, cuts, cut0, cut1;
    int64_t width, size; /* elements of a row of a panel, of a panel */
};

/* to[cut - cut0][r][j] = from[r * from_stride + begin(cut) + j] for r < rows, in whole vectors: what is
 * behind a cut's elements is undefined, 0 behind the row's; beyond the last row up to LANES - 1 elements
 * are written. */
typedef void split_kernel(int64_t rows, const real *from, int64_t from_stride,
                          const struct panels *panels, real *to);

struct kernels {
    struct tile_sizes tiles;
    gemm_kernel *const (*gemm)[GEMM_MAX_ROWS + 1]; /* [vectors][rows] */
    /* [groups][vectors][rows of a group] */
    outer_kernel *const (*outer)[KERNEL_MAX_VECTORS + 1][OUTER_MAX_ROWS + 1];
    dot_kernel *const (*dot)[DOT_MAX_ROWS + 1];    /* [columns][rows] */
    line_kernel *const (*line)[LINE_MAX_ROWS + 1]; /* [vectors][rows] */
    weave_kernel *const *weave;                    /* [lines] */
    fold_kernel *const *fold;                      /* [blocks of a window] */
    copy_kernel *copy;
    split_kernel *split;
    activate_kernel *const *activate; /* [activation number], element by element */
    slope_kernel *const *slope;
    axis_value_kernel *const *axis_value; /* [activation number], those along an axis */
    axis_slope_kernel *const *axis_slope;
    transpose_kernel *transpose;
    columns_kernel *columns;
};

#endif
