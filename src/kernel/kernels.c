/*
 * The one unit that is compiled per ISA and per real: it instantiates the register tiles that fit
 * this ISA's registers, and every activation, and exports them as one const table. Everything else
 * in here is static.
 *
 * Tile sizes: a gemm or outer tile holds rows x vectors accumulators and needs 8 of them to hide
 * the latency of two FMA units; more rows share a loaded vector, more vectors share a broadcast.
 * Sixteen registers: 6 x 2; thirty-two: 6 x 4.
 */
#include "gather.h"
#include "outer.h"

#include <stdbool.h>
#include <stddef.h>

#include "activation.h"
#include "axis.h"
#include "columns.h"
#include "dot.h"
#include "fold.h"
#include "lines.h"
#include "transpose.h"

enum { WIDE = CONVT_VECTOR_REGISTERS >= 32 };

#define GEMM(rows, vectors)                                                          \
    static void gemm_##rows##x##vectors(const struct gather_block *b, int64_t first, \
                                        int64_t tiles)                               \
    {                                                                                \
        gemm(rows, vectors, b, first, tiles);                                        \
    }

#define ROWS_TO_6(TILE, vectors) \
    TILE(1, vectors)             \
    TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define ROWS_TO_8(TILE, vectors) ROWS_TO_6(TILE, vectors) TILE(7, vectors) TILE(8, vectors)
#define ROWS_TO_12(TILE, vectors) \
    ROWS_TO_8(TILE, vectors)      \
    TILE(9, vectors) TILE(10, vectors) TILE(11, vectors) TILE(12, vectors)

ROWS_TO_12(GEMM, 1)
#if CONVT_VECTOR_REGISTERS >= 32
ROWS_TO_12(GEMM, 2)
ROWS_TO_8(GEMM, 3)
ROWS_TO_6(GEMM, 4)
#else
ROWS_TO_6(GEMM, 2)
#endif

#define ROWS_6(kind, vectors)                                                             \
    NULL, kind##_1x##vectors, kind##_2x##vectors, kind##_3x##vectors, kind##_4x##vectors, \
        kind##_5x##vectors, kind##_6x##vectors
#define ROWS_8(kind, vectors) ROWS_6(kind, vectors), kind##_7x##vectors, kind##_8x##vectors

#define ROWS_12(kind, vectors)                                                           \
    ROWS_8(kind, vectors), kind##_9x##vectors, kind##_10x##vectors, kind##_11x##vectors, \
        kind##_12x##vectors

static gemm_kernel *const gemm_tiles[][GEMM_MAX_ROWS + 1] = {
    {NULL},
    {ROWS_12(gemm, 1)},
#if CONVT_VECTOR_REGISTERS >= 32
    {ROWS_12(gemm, 2)},
    {ROWS_8(gemm, 3)},
    {ROWS_6(gemm, 4)},
#else
    {ROWS_6(gemm, 2)},
#endif
};

/* ---- outer: groups x rows x vectors; sizes as the registers allow ---------------------------- */

#define OUTER(groups, rows, vectors)                                                               \
    static void outer_##groups##x##rows##x##vectors(const struct segment *segments, int64_t count, \
                                                    const struct outer_tile *tile)                 \
    {                                                                                              \
        outer(groups, rows, vectors, segments, count, tile);                                       \
    }
#define OUTER_ENTRY(groups, rows, vectors) \
    [groups][vectors][rows] = outer_##groups##x##rows##x##vectors,

#define OUTER_1_TO_3(X, groups, vectors) \
    X(groups, 1, vectors) X(groups, 2, vectors) X(groups, 3, vectors)
#define OUTER_1_TO_6(X, vectors) \
    OUTER_1_TO_3(X, 1, vectors) X(1, 4, vectors) X(1, 5, vectors) X(1, 6, vectors)
#define OUTER_7_TO_12(X, vectors) \
    X(1, 7, vectors)              \
    X(1, 8, vectors) X(1, 9, vectors) X(1, 10, vectors) X(1, 11, vectors) X(1, 12, vectors)

#if CONVT_VECTOR_REGISTERS >= 32
#define OUTER_TILES(X)    \
    OUTER_1_TO_6(X, 1)    \
    OUTER_7_TO_12(X, 1)   \
    X(1, 13, 1)           \
    X(1, 14, 1)           \
    OUTER_1_TO_6(X, 2)    \
    OUTER_7_TO_12(X, 2)   \
    OUTER_1_TO_6(X, 3)    \
    X(1, 7, 3)            \
    X(1, 8, 3)            \
    OUTER_1_TO_6(X, 4)    \
    OUTER_1_TO_3(X, 2, 1) \
    OUTER_1_TO_3(X, 2, 2) \
    OUTER_1_TO_3(X, 2, 3) \
    OUTER_1_TO_3(X, 2, 4) \
    OUTER_1_TO_3(X, 3, 1) OUTER_1_TO_3(X, 3, 2) X(3, 1, 3) X(3, 2, 3) X(3, 1, 4) X(3, 2, 4)
#define OUTER_ROWS                               \
    {                                            \
        {0}, {0, 14, 12, 8, 6}, {0, 3, 3, 3, 3}, \
        {                                        \
            0, 3, 3, 2, 2                        \
        }                                        \
    }
#else
#define OUTER_TILES(X)    \
    OUTER_1_TO_6(X, 1)    \
    OUTER_7_TO_12(X, 1)   \
    OUTER_1_TO_6(X, 2)    \
    OUTER_1_TO_3(X, 1, 3) \
    X(1, 4, 3)            \
    OUTER_1_TO_3(X, 2, 1) OUTER_1_TO_3(X, 2, 2) OUTER_1_TO_3(X, 3, 1) X(3, 1, 2) X(3, 2, 2)
#define OUTER_ROWS                     \
    {                                  \
        {0}, {0, 12, 6, 4}, {0, 3, 3}, \
        {                              \
            0, 3, 2                    \
        }                              \
    }
#endif

OUTER_TILES(OUTER)
static outer_kernel *const outer_tiles[OUTER_MAX_GROUPS + 1][KERNEL_MAX_VECTORS + 1]
                                      [OUTER_MAX_ROWS + 1] = {OUTER_TILES(OUTER_ENTRY)};

/* A vector of 64 bytes lies across two lines wherever it does not fill one. Between what was measured where
 * two multiply-adds of such vectors begin in a cycle, and where one does (adr/0012, adr/0013). */
#if CONVT_VECTOR_BYTES == 64
#define DOT_RATES                          \
    {                                      \
        4, 2, 1.8, 1.6, 1.25, 1.05, 2, 0.7 \
    }
#else
#define DOT_RATES                      \
    {                                  \
        2, 1.5, 2, 1.4, 1.1, 1.1, 0, 1 \
    }
#endif

/*
 * A step of a 6 x 4 tile takes so long that what it reads may come from the second cache; its four lines of x,
 * moreover, leave room for 64 pixels in the first one, too few beside a visit of its sums. With shorter
 * vectors a line of dz serves 12 multiply-adds, and has to be near.
 */
#if CONVT_VECTOR_BYTES == 64
#define OUTER_CACHE  \
    {                \
        128 << 10, 8 \
    }
enum { OUTER_PANEL = 48 << 10, OUTER_BLOCK = 512 << 10 };
#else
#define OUTER_CACHE     \
    {                   \
        WAY_BYTES, WAYS \
    }
enum { OUTER_PANEL = 16 << 10, OUTER_BLOCK = 256 << 10 };
#endif

#define TABLE_NAME(isa) CONVT_JOIN(CONVT_JOIN(convt_kernels_, isa), REAL_SUFFIX)

extern const struct kernels TABLE_NAME(CONVT_ISA_NAME);
const struct kernels TABLE_NAME(CONVT_ISA_NAME) = {
    .tiles = {.lanes = LANES,
              .vectors = WIDE ? 4 : 2,
              .load_cost = sizeof(vec) == 64 ? 2 : 1,
              .gemm_rows = {0, 12, WIDE ? 12 : 6, 8, 6},
              .gemm_rate = {0, sizeof(vec) == 64 ? 1.3 : 2, 1.2, 1.05, 1.05},
              .dot_rates = DOT_RATES,
              .dot_columns = sizeof dot_tiles / sizeof *dot_tiles - 1,
              .dot_rows = {0, DOT_COLUMNS(DOT_ROWS)},
              .dot_taps = {0, DOT_TAPS_1, DOT_TAPS_2, 1, 1, 1, 1, 1, 1},
              .line_rows = LINE_ROWS,
              .outer_rows = OUTER_ROWS,
              .outer_cache = OUTER_CACHE,
              .outer_panel = OUTER_PANEL,
              .outer_block = OUTER_BLOCK},
    .gemm = gemm_tiles,
    .outer = outer_tiles,
    .split = split,
    .dot = dot_tiles,
    .line = line_tiles,
    .weave = weave_table,
    .fold = fold_table,
    .copy = copy,
    .activate = activate_table,
    .slope = slope_table,
    .axis_value = axis_value_table,
    .axis_slope = axis_slope_table,
    .transpose = transpose,
    .columns = columns,
};
