/*
 * outer: dw[t, f, c] = sum over pixels (n, i) of dz[n, o(i, t), f] * x[n, i, c],   o = i * stride + t * dilation - crop
 *
 * A task is a part of the pixels and some items (tiles' worth of rows). It walks its part chunk by chunk, so that the chunk's
 * x stays in the cache while all its tiles use it; a tile's sums stay in registers over a chunk and are then added to dw.
 * Taps that fall outside the output skip rows and columns. With few filters, rows are (tap, filter) pairs instead, reading
 * a copy of dz with zeros around it.
 */
#include <string.h>

#include "passes.h"

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a > 0 ? (a + b - 1) / b : 0;
}

/* Memory of one task. */
struct desk {
    real *x;                  /* staged chunk, channels padded to whole vectors */
    real *dz;                 /* padded copy */
    struct segment *segments; /* [tap of the task][row of the chunk] */
    int64_t *segment_count;   /* [tap of the task] */
    int64_t *rows;            /* row offsets in dz of every row of an item */
};

static size_t lay_desk(const struct outer_plan *p, const struct geometry *g, struct desk *desk, void *memory)
{
    convti_size size = {0};
    int64_t channels = ceil_div(g->channels, p->lanes) * p->lanes;
    size_t x = convti_size_add(&size, p->staged ? p->chunk_rows * g->w.in * channels : 0, sizeof(real));
    size_t dz = convti_size_add(&size, p->padded ? p->pad_h * p->pad_w * g->filters : 0, sizeof(real));
    int64_t taps = p->padded ? 1 : lesser(p->task_items, g->taps);
    size_t segments = convti_size_add(&size, taps * p->chunk_rows, sizeof(struct segment));
    size_t count = convti_size_add(&size, taps, sizeof(int64_t));
    size_t rows = convti_size_add(&size, p->padded ? g->taps * g->filters : p->rows, sizeof(int64_t));
    if (memory) {
        char *at = memory;
        *desk = (struct desk){(real *)(at + x), (real *)(at + dz), (struct segment *)(at + segments), (int64_t *)(at + count),
                              (int64_t *)(at + rows)};
    }
    return size.bytes;
}

size_t FN(convti_outer_scratch)(const struct convt_layer *l)
{
    return lay_desk(&l->outer, &l->geometry, NULL, NULL);
}

/* A chunk of x: rows [first, last) counted over all images, where they lie and how far apart pixels are. */
struct chunk {
    int64_t first, last;
    const real *x;
    int64_t stride;
};

static void find_chunk(const struct outer_call *call, const struct desk *desk, struct chunk *chunk)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t width = g->w.in, plane = g->h.in * width;
    if (!p->staged) {
        chunk->x = call->x + chunk->first * width * g->channels;
        chunk->stride = g->channels;
        return;
    }
    chunk->x = desk->x;
    chunk->stride = ceil_div(g->channels, p->lanes) * p->lanes;
    int64_t pixel_stride = g->channels_first ? 1 : g->channels, channel_stride = g->channels_first ? plane : 1;
    for (int64_t row = chunk->first; row < chunk->last; row++) {
        const real *from = call->x + row / g->h.in * g->x_size + row % g->h.in * width * pixel_stride;
        real *to = desk->x + (row - chunk->first) * width * chunk->stride;
        for (int64_t j = 0; j < width; j++) {
            for (int64_t c = 0; c < g->channels; c++)
                to[j * chunk->stride + c] = from[j * pixel_stride + c * channel_stride];
            for (int64_t c = g->channels; c < chunk->stride; c++)
                to[j * chunk->stride + c] = 0;
        }
    }
}

/* Pixels of one axis that tap t maps inside the output: [*low, *high). */
static void valid_range(const struct axis *a, int64_t t, int64_t *low, int64_t *high)
{
    int64_t shift = t * a->dilation - a->crop;
    *low = ceil_div(-shift, a->stride);
    *high = lesser(ceil_div(a->out - shift, a->stride), a->in);
}

/* The stretches of (x, dz) that one tap pairs in a chunk. Single pixels an equal distance apart join into one stretch. */
static int64_t tap_segments(const struct outer_call *call, const struct chunk *chunk, int64_t tap, struct segment *segments)
{
    const struct geometry *g = call->geometry;
    int64_t th = tap / g->w.kernel, tw = tap % g->w.kernel, low, high, top, bottom, count = 0;
    valid_range(&g->h, th, &top, &bottom);
    valid_range(&g->w, tw, &low, &high);
    if (low >= high)
        return 0;
    int64_t ow = low * g->w.stride + tw * g->w.dilation - g->w.crop;
    for (int64_t row = chunk->first; row < chunk->last; row++) {
        int64_t n = row / g->h.in, i = row % g->h.in;
        if (i < top || i >= bottom)
            continue;
        int64_t oh = i * g->h.stride + th * g->h.dilation - g->h.crop;
        struct segment fresh = {.u = chunk->x + ((row - chunk->first) * g->w.in + low) * chunk->stride,
                                .v = call->dz + ((n * g->h.out + oh) * g->w.out + ow) * g->filters,
                                .count = high - low,
                                .us = chunk->stride,
                                .vs = g->w.stride * g->filters};
        struct segment *last = count > 0 ? &segments[count - 1] : NULL;
        if (high - low == 1 && last && last->count == 1) {
            last->us = fresh.u - last->u;
            last->vs = fresh.v - last->v;
            last->count = 2;
        } else if (high - low == 1 && last && fresh.u == last->u + last->count * last->us &&
                   fresh.v == last->v + last->count * last->vs) {
            last->count++;
        } else {
            segments[count++] = fresh;
        }
    }
    return count;
}

/* A tile's sums to dw: row r of the tile is row `first + r` of out, out rows are `channels` long. */
static void add_tile(real *out, const real *tile, int64_t rows, int64_t vectors, const struct tile_sizes *t, int64_t column,
                     const int64_t *starts, int64_t channels, bool overwrite)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t v = 0; v < vectors; v++) {
            int64_t c0 = column + v * t->lanes, c1 = lesser(c0 + t->lanes, channels);
            const real *from = tile + (r * vectors + v) * t->lanes + (c0 - starts[v]);
            real *to = out + r * channels + c0;
            for (int64_t c = 0; c < c1 - c0; c++)
                to[c] = overwrite ? from[c] : to[c] + from[c];
        }
}

/* One tile's rows over all channels. Where x is not staged its last vector starts early enough to end with the channels. */
static void run_rows(const struct outer_call *call, const struct segment *segments, int64_t count, const int64_t *offsets,
                     int64_t rows, real *out, bool overwrite)
{
    const struct geometry *g = call->geometry;
    const struct tile_sizes *t = &call->kernels->tiles;
    real tile[KERNEL_MAX_ROWS * KERNEL_MAX_VECTORS * KERNEL_MAX_LANES] __attribute__((aligned(64)));
    int64_t all = ceil_div(g->channels, t->lanes);
    for (int64_t v0 = 0; v0 < all; v0 += call->plan->vectors) {
        int64_t vectors = lesser(call->plan->vectors, all - v0), starts[KERNEL_MAX_VECTORS];
        for (int64_t v = 0; v < vectors; v++)
            starts[v] = call->plan->staged ? (v0 + v) * t->lanes : lesser((v0 + v) * t->lanes, g->channels - t->lanes);
        call->kernels->outer[vectors][rows](segments, count, offsets, starts, tile);
        add_tile(out, tile, rows, vectors, t, v0 * t->lanes, starts, g->channels, overwrite);
    }
}

/* ---- rows are filters of one tap ---- */

static void tap_task(const struct outer_call *call, struct desk *desk, int64_t item0, int64_t item1, int64_t row0, int64_t row1,
                     real *dw)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t groups = p->row_groups, tap0 = item0 / groups;
    for (int64_t r = 0; r < p->rows; r++)
        desk->rows[r] = r;
    for (int64_t first = row0; first < row1; first += p->chunk_rows) {
        struct chunk chunk = {.first = first, .last = lesser(first + p->chunk_rows, row1)};
        find_chunk(call, desk, &chunk);
        for (int64_t tap = tap0; tap <= (item1 - 1) / groups; tap++)
            desk->segment_count[tap - tap0] = tap_segments(call, &chunk, tap, desk->segments + (tap - tap0) * p->chunk_rows);
        for (int64_t item = item0; item < item1; item++) {
            int64_t tap = item / groups, group = item % groups;
            int64_t f0 = g->filters * group / groups, f1 = g->filters * (group + 1) / groups;
            struct segment *segments = desk->segments + (tap - tap0) * p->chunk_rows;
            int64_t count = desk->segment_count[tap - tap0];
            for (int64_t s = 0; s < count; s++)
                segments[s].v += f0;
            run_rows(call, segments, count, desk->rows, f1 - f0, dw + (tap * g->filters + f0) * g->channels, first == row0);
            for (int64_t s = 0; s < count; s++)
                segments[s].v -= f0;
        }
    }
}

/* ---- rows are (tap, filter) pairs over padded dz ---- */

/* The rows of dz that x rows [i0, i1) of image n reach, zeros where they fall outside. */
static void pad_dz(const struct outer_call *call, real *padded, int64_t n, int64_t i0, int64_t i1)
{
    const struct geometry *g = call->geometry;
    int64_t rows = (i1 - i0 - 1) * g->h.stride + (g->h.kernel - 1) * g->h.dilation + 1, width = call->plan->pad_w * g->filters;
    int64_t skip = lesser(g->w.crop, call->plan->pad_w) * g->filters;
    int64_t inside = greater(lesser(g->w.out * g->filters, width - skip), 0);
    for (int64_t r = 0; r < rows; r++) {
        int64_t oh = i0 * g->h.stride + r - g->h.crop;
        real *to = padded + r * width;
        memset(to, 0, (size_t)width * sizeof(real));
        if (oh >= 0 && oh < g->h.out && inside > 0)
            memcpy(to + skip, call->dz + (n * g->h.out + oh) * g->w.out * g->filters, (size_t)inside * sizeof(real));
    }
}

static void pair_offsets(const struct outer_call *call, int64_t *offsets)
{
    const struct geometry *g = call->geometry;
    for (int64_t t = 0; t < g->taps; t++)
        for (int64_t f = 0; f < g->filters; f++)
            offsets[t * g->filters + f] = (t / g->w.kernel * g->h.dilation * call->plan->pad_w +
                                           t % g->w.kernel * g->w.dilation) * g->filters + f;
}

static void padded_task(const struct outer_call *call, struct desk *desk, int64_t band0, int64_t band1, real *dw)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t bands = ceil_div(g->h.in, p->chunk_rows), pairs = g->taps * g->filters;
    pair_offsets(call, desk->rows);
    for (int64_t band = band0; band < band1; band++) {
        int64_t n = band / bands, i0 = band % bands * p->chunk_rows, i1 = lesser(i0 + p->chunk_rows, g->h.in);
        struct chunk chunk = {.first = n * g->h.in + i0, .last = n * g->h.in + i1};
        find_chunk(call, desk, &chunk);
        pad_dz(call, desk->dz, n, i0, i1);
        for (int64_t i = 0; i < i1 - i0; i++)
            desk->segments[i] = (struct segment){.u = chunk.x + i * g->w.in * chunk.stride,
                                                 .v = desk->dz + i * g->h.stride * p->pad_w * g->filters,
                                                 .count = g->w.in,
                                                 .us = chunk.stride,
                                                 .vs = g->w.stride * g->filters};
        for (int64_t group = 0; group < p->row_groups; group++) {
            int64_t r0 = pairs * group / p->row_groups, r1 = pairs * (group + 1) / p->row_groups;
            run_rows(call, desk->segments, i1 - i0, desk->rows + r0, r1 - r0, dw + r0 * g->channels, band == band0);
        }
    }
}

void FN(convti_outer)(const struct outer_call *call)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    struct desk desk;
    lay_desk(p, g, &desk, call->scratch);
    int64_t parts = convti_outer_parts(p, g, call->n);
    int64_t chunks = p->padded ? call->n * ceil_div(g->h.in, p->chunk_rows) : ceil_div(call->n * g->h.in, p->chunk_rows);
    real *sums = parts > 1 ? call->parts : call->dw;
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < parts * p->tasks; i++) {
        int64_t part = i / p->tasks, task = i % p->tasks;
        int64_t chunk0 = chunks * part / parts, chunk1 = chunks * (part + 1) / parts;
        real *dw = sums + part * g->w_size;
        if (p->padded)
            padded_task(call, &desk, chunk0, chunk1, dw);
        else
            tap_task(call, &desk, task * p->task_items, lesser((task + 1) * p->task_items, p->items), chunk0 * p->chunk_rows,
                     lesser(chunk1 * p->chunk_rows, call->n * g->h.in), dw);
    }
    if (parts > 1) {
#pragma omp for schedule(static)
        for (int64_t k = 0; k < g->w_size; k++) {
            real sum = sums[k];
            for (int64_t part = 1; part < parts; part++)
                sum += sums[part * g->w_size + k];
            call->dw[k] = sum;
        }
    }
}
