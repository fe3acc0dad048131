/*
 * Activations along rows, the last axis of memory, as passes of their own: a row spans register
 * tiles, and for channels_first it is not even along a tile.
 *
 *     forward    y  = f(z)                  row by row
 *     backward   dz = J(z, y)^T (dy + l1 * sign(y) + 2 * l2 * y)
 *
 * z, y and dy lie as data_format says, dz channels_last, which is what the contractions read. A
 * thread takes blocks of rows; no row meets another, so cuts do not matter to the result.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* z of a block: enough to hide the call, small enough for L1. */
enum { BLOCK_ELEMENTS = 4 << 10 };

static int64_t rows_of_block(const struct geometry *g)
{
    return greater(BLOCK_ELEMENTS / greater(g->row, 1), 1);
}

static int64_t all_rows(const struct geometry *g, int64_t n)
{
    return g->row > 0 ? n * (g->z_size / g->row) : 0;
}

void FN(convti_rows_forward)(struct team *team, const struct geometry *g, axis_value_kernel *value,
                             int64_t n, const real *z, real *y)
{
    const int64_t rows = all_rows(g, n), block = rows_of_block(g), short_row = g->row / g->inputs;
    const struct share own = convti_share(team, ceil_div(rows, block));
    for (int64_t r = own.first * block; r < lesser(own.last * block, rows); r += block)
        value(lesser(block, rows - r), g->row, z + r * g->row, y + r * short_row);
}

/* Two blocks: dy with the activity term, and a row of z and dz where these lie apart. */
size_t FN(convti_rows_scratch)(const struct geometry *g)
{
    convti_size size = {0};
    for (int i = 0; i < 2; i++) convti_size_add(&size, rows_of_block(g) * g->row, sizeof(real));
    return size.bytes;
}

/* Where row r (n, f, oh) of a channels_first tensor begins in its channels_last copy; its elements
 * are `filters` apart. */
static int64_t first_of_row(const struct geometry *g, int64_t r)
{
    int64_t oh = r % g->h.out, f = r / g->h.out % g->filters, n = r / g->h.out / g->filters;
    return (n * g->h.out + oh) * g->w.out * g->filters + f;
}

static void slope_apart(const struct sweep_call *call, int64_t r, const real *y, const real *dy,
                        real *row)
{
    const struct geometry *g = call->geometry;
    real *dz = call->dz + first_of_row(g, r);
    const real *z = call->z ? call->z + r * g->row : y;
    if (call->z_in_dz) {
        for (int64_t i = 0; i < g->row; i++) row[i] = dz[i * g->filters];
        z = row;
    }
    call->axis_slope(1, g->row, z, y, dy, row);
    for (int64_t i = 0; i < g->row; i++) dz[i * g->filters] = row[i];
}

static void slope_in_place(const struct sweep_call *call, int64_t r, int64_t rows, const real *y,
                           const real *dy)
{
    const int64_t row = call->geometry->row;
    real *dz = call->dz + r * row;
    const real *z = call->z ? call->z + r * row : call->z_in_dz ? dz : y;
    call->axis_slope(rows, row, z, y, dy, dz);
}

void FN(convti_rows_backward)(const struct sweep_call *call)
{
    const struct geometry *g = call->geometry;
    const int64_t rows = all_rows(g, call->n), short_row = g->row / g->inputs,
                  block = g->channels_first ? 1 : rows_of_block(g);
    real *sum = call->scratch, *apart = sum + rows_of_block(g) * g->row;
    const struct share own = convti_share(call->team, ceil_div(rows, block));
    for (int64_t r = own.first * block; r < lesser(own.last * block, rows); r += block) {
        const int64_t count = lesser(block, rows - r), at = r * short_row;
        const real *y = call->y + at, *dy = call->dy + at;
        if (call->l1 != 0 || call->l2 != 0) {
            FN(convti_add_activity)(call, count * short_row, y, dy, sum);
            dy = sum;
        }
        if (g->channels_first)
            slope_apart(call, r, y, dy, apart);
        else
            slope_in_place(call, r, count, y, dy);
    }
    convti_wait(call->team);
}
