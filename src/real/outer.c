/*
 * outer: dw[t, f, c] = sum over pixels (n, i) of dz[n, o(i, t), f] * x[n, i, c],   o = i * stride +
 * t * dilation - crop
 *
 * A task is a part of the pixels and some items (tiles' worth of rows). It walks its part chunk by
 * chunk: the chunk's x is packed once for all tiles, the rows of dz for each; a tile's sums stay in
 * registers over a chunk and are then added to dw. Pixels that a tap maps outside the output are
 * left out. With few filters, rows are (tap, filter) pairs instead, reading a copy of dz with zeros
 * around it.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* Copies go by blocks of constant size, which compile to a few moves. */
enum { BLOCK = KERNEL_MAX_ROWS };

/*
 * Memory of one task. x and the rows of dz are copied so that what a tile reads is contiguous: in
 * place, the pixels of a tensor with a power of two of channels fall into few cache sets and evict
 * one another.
 */
struct desk {
    /* [panel of channels][pixel of the chunk][channel of the panel], zeros behind the channels;
     * unused where plan->in_place */
    real *x;
    real *dz;                 /* [pixel][BLOCK, one for each row of a tile], or the padded copy */
    struct segment *segments; /* of one tap: [row of the chunk] */
    int64_t *rows; /* offset in dz of every row of a tile, or of every (tap, filter) pair */
};

static int64_t panel_width(const struct outer_plan *p)
{
    return p->vectors * p->lanes;
}

static size_t lay_desk(const struct outer_plan *p, const struct geometry *g, struct desk *desk,
                       void *memory)
{
    convti_size size = {0};
    int64_t pixels = p->chunk_rows * g->w.in,
            channels = ceil_div(g->channels, panel_width(p)) * panel_width(p);
    size_t x = convti_size_add(&size, p->in_place ? 0 : pixels * channels, sizeof(real));
    size_t dz = convti_size_add(
        &size, p->padded ? p->pad_h * p->pad_w * g->filters : pixels * BLOCK, sizeof(real));
    size_t segments = convti_size_add(&size, p->chunk_rows, sizeof(struct segment));
    size_t rows =
        convti_size_add(&size, p->padded ? g->taps * g->filters : p->rows, sizeof(int64_t));
    if (memory) {
        char *at = memory;
        *desk = (struct desk){(real *)(void *)(at + x), (real *)(void *)(at + dz),
                              (struct segment *)(void *)(at + segments),
                              (int64_t *)(void *)(at + rows)};
    }
    return size.bytes;
}

size_t FN(convti_outer_scratch)(const struct convt_layer *l)
{
    return lay_desk(&l->outer, &l->geometry, NULL, NULL);
}

static void copy(real *to, const real *from, int64_t count)
{
    for (; count >= BLOCK; count -= BLOCK, to += BLOCK, from += BLOCK)
        memcpy(to, from, BLOCK * sizeof(real));
    for (; count > 0; count--) *to++ = *from++;
}

/* One row of x to the panels, from pixel `at` of the chunk on. */
static void pack_row(const struct outer_call *call, real *panels, const real *from, int64_t at,
                     int64_t pixels)
{
    const struct geometry *g = call->geometry;
    int64_t width = panel_width(call->plan), plane = g->h.in * g->w.in;
    for (int64_t c0 = 0; c0 < g->channels; c0 += width) {
        int64_t channels = lesser(width, g->channels - c0);
        real *to = panels + c0 * pixels + at * width;
        for (int64_t j = 0; j < g->w.in; j++, to += width) {
            if (g->channels_first)
                for (int64_t c = 0; c < channels; c++) to[c] = from[j + (c0 + c) * plane];
            else
                copy(to, from + j * g->channels + c0, channels);
            for (int64_t c = channels; c < width; c++) to[c] = 0;
        }
    }
}

/* A chunk of x as tiles read it: in place, or packed. */
struct chunk {
    const real *x;
    int64_t pixel_stride, panel_stride;
};

/* Rows [first, last) of x, counted over all images. */
static struct chunk take_chunk(const struct outer_call *call, const struct desk *desk,
                               int64_t first, int64_t last)
{
    const struct geometry *g = call->geometry;
    int64_t width = panel_width(call->plan),
            row_size = g->channels_first ? g->w.in : g->w.in * g->channels;
    if (call->plan->in_place) return (struct chunk){call->x + first * row_size, g->channels, width};
    for (int64_t row = first; row < last; row++)
        pack_row(call, desk->x, call->x + row / g->h.in * g->x_size + row % g->h.in * row_size,
                 (row - first) * g->w.in, (last - first) * g->w.in);
    return (struct chunk){desk->x, width, (last - first) * g->w.in * width};
}

/* One tile over all channels: rows of dw from `out` on. */
static void run_tiles(const struct outer_call *call, const struct desk *desk, int64_t count,
                      const struct chunk *chunk, const int64_t *offsets, int64_t rows, real *out,
                      bool add)
{
    int64_t lanes = call->plan->lanes, channels = call->geometry->channels,
            width = panel_width(call->plan);
    for (int64_t c0 = 0; c0 < channels; c0 += width) {
        int64_t vectors = ceil_div(lesser(width, channels - c0), lanes), start[KERNEL_MAX_VECTORS];
        outer_kernel *outer = call->kernels->outer[vectors][rows];
        for (int64_t v = 0; v < vectors; v++)
            start[v] = c0 / width * chunk->panel_stride + v * lanes;
        if (c0 + vectors * lanes <= channels) {
            outer(desk->segments, count, offsets, start, out + c0, channels, add);
            continue;
        }
        real tile[KERNEL_MAX_ROWS * KERNEL_MAX_VECTORS * KERNEL_MAX_LANES]
            __attribute__((aligned(64)));
        outer(desk->segments, count, offsets, start, tile, vectors * lanes, false);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = c0; c < channels; c++) {
                real sum = tile[r * vectors * lanes + c - c0];
                out[r * channels + c] = add ? out[r * channels + c] + sum : sum;
            }
    }
}

/* ---- rows are filters of one tap ------------------------------------------------------------- */

/* Pixels of one axis that tap t maps inside the output: [*low, *high). */
static void valid_range(const struct axis *a, int64_t t, int64_t *low, int64_t *high)
{
    int64_t shift = t * a->dilation - a->crop;
    *low = ceil_div(-shift, a->stride);
    *high = lesser(ceil_div(a->out - shift, a->stride), a->in);
}

/* The pixels of a chunk that a tap maps inside the output: columns [low, high) of some rows, one
 * after another in dz's copy. */
struct tap {
    int64_t first, last; /* the chunk's rows */
    int64_t top, bottom, low, high;
    int64_t dh, dw; /* output position of input position 0 */
};

static struct tap find_tap(const struct geometry *g, int64_t tap, int64_t first, int64_t last)
{
    int64_t th = tap / g->w.kernel, tw = tap % g->w.kernel;
    struct tap t = {.first = first,
                    .last = last,
                    .dh = th * g->h.dilation - g->h.crop,
                    .dw = tw * g->w.dilation - g->w.crop};
    valid_range(&g->h, th, &t.top, &t.bottom);
    valid_range(&g->w, tw, &t.low, &t.high);
    return t;
}

static bool meets(const struct geometry *g, const struct tap *t, int64_t row)
{
    int64_t i = row % g->h.in;
    return i >= t->top && i < t->bottom && t->low < t->high;
}

/* Stretches of x and of dz's copy; rows that follow one another in both join. */
static int64_t tap_segments(const struct outer_call *call, const struct desk *desk,
                            const struct chunk *chunk, const struct tap *t)
{
    const struct geometry *g = call->geometry;
    int64_t count = 0, done = 0;
    for (int64_t row = t->first; row < t->last; row++) {
        if (!meets(g, t, row)) continue;
        const real *u = chunk->x + ((row - t->first) * g->w.in + t->low) * chunk->pixel_stride;
        struct segment *last = count > 0 ? &desk->segments[count - 1] : NULL;
        if (last && u == last->u + last->count * last->us)
            last->count += t->high - t->low;
        else
            desk->segments[count++] = (struct segment){u, desk->dz + done * BLOCK, t->high - t->low,
                                                       chunk->pixel_stride, BLOCK};
        done += t->high - t->low;
    }
    return count;
}

/* Filters from f0 on of dz at the tap's pixels: a block each, of which the tile uses its rows. */
static void pack_dz(const struct outer_call *call, const struct desk *desk, const struct tap *t,
                    int64_t f0)
{
    const struct geometry *g = call->geometry;
    const real *end = call->dz + call->n * g->z_size;
    real *to = desk->dz;
    for (int64_t row = t->first; row < t->last; row++) {
        if (!meets(g, t, row)) continue;
        int64_t oh = row % g->h.in * g->h.stride + t->dh, ow = t->low * g->w.stride + t->dw;
        const real *from = call->dz +
                           ((row / g->h.in * g->h.out + oh) * g->w.out + ow) * g->filters + f0;
        for (int64_t j = t->low; j < t->high; j++, from += g->w.stride * g->filters, to += BLOCK)
            copy(to, from, lesser(end - from, BLOCK));
    }
}

static void tap_task(const struct outer_call *call, struct desk *desk, int64_t item0, int64_t item1,
                     int64_t row0, int64_t row1, real *dw)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t groups = p->row_groups;
    for (int64_t r = 0; r < p->rows; r++) desk->rows[r] = r;
    for (int64_t first = row0; first < row1; first += p->chunk_rows) {
        int64_t last = lesser(first + p->chunk_rows, row1), count = 0;
        struct tap tap = {0};
        struct chunk chunk = take_chunk(call, desk, first, last);
        for (int64_t item = item0; item < item1; item++) {
            int64_t group = item % groups, f0 = g->filters * group / groups,
                    f1 = g->filters * (group + 1) / groups;
            if (item == item0 || group == 0) {
                tap = find_tap(g, item / groups, first, last);
                count = tap_segments(call, desk, &chunk, &tap);
            }
            pack_dz(call, desk, &tap, f0);
            run_tiles(call, desk, count, &chunk, desk->rows, f1 - f0,
                      dw + (item / groups * g->filters + f0) * g->channels, first > row0);
        }
    }
}

/* ---- rows are (tap, filter) pairs over padded dz --------------------------------------------- */

/* The rows of dz that x rows [i0, i1) of image n reach, zeros where they fall outside. */
static void pad_dz(const struct outer_call *call, real *padded, int64_t n, int64_t i0, int64_t i1)
{
    const struct geometry *g = call->geometry;
    int64_t rows = (i1 - i0 - 1) * g->h.stride + (g->h.kernel - 1) * g->h.dilation + 1,
            width = call->plan->pad_w * g->filters;
    int64_t skip = lesser(g->w.crop, call->plan->pad_w) * g->filters;
    int64_t inside = greater(lesser(g->w.out * g->filters, width - skip), 0);
    for (int64_t r = 0; r < rows; r++) {
        int64_t oh = i0 * g->h.stride + r - g->h.crop;
        real *to = padded + r * width;
        memset(to, 0, (size_t)width * sizeof(real));
        if (oh >= 0 && oh < g->h.out && inside > 0)
            memcpy(to + skip, call->dz + (n * g->h.out + oh) * g->w.out * g->filters,
                   (size_t)inside * sizeof(real));
    }
}

static void pair_offsets(const struct outer_call *call, int64_t *offsets)
{
    const struct geometry *g = call->geometry;
    for (int64_t t = 0; t < g->taps; t++)
        for (int64_t f = 0; f < g->filters; f++)
            offsets[t * g->filters + f] = (t / g->w.kernel * g->h.dilation * call->plan->pad_w +
                                           t % g->w.kernel * g->w.dilation) *
                                              g->filters +
                                          f;
}

static void padded_task(const struct outer_call *call, struct desk *desk, int64_t band0,
                        int64_t band1, real *dw)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t bands = ceil_div(g->h.in, p->chunk_rows), pairs = g->taps * g->filters;
    pair_offsets(call, desk->rows);
    for (int64_t band = band0; band < band1; band++) {
        int64_t n = band / bands, i0 = band % bands * p->chunk_rows,
                i1 = lesser(i0 + p->chunk_rows, g->h.in);
        struct chunk chunk = take_chunk(call, desk, n * g->h.in + i0, n * g->h.in + i1);
        pad_dz(call, desk->dz, n, i0, i1);
        for (int64_t i = 0; i < i1 - i0; i++)
            desk->segments[i] =
                (struct segment){.u = chunk.x + i * g->w.in * chunk.pixel_stride,
                                 .v = desk->dz + i * g->h.stride * p->pad_w * g->filters,
                                 .count = g->w.in,
                                 .us = chunk.pixel_stride,
                                 .vs = g->w.stride * g->filters};
        for (int64_t group = 0; group < p->row_groups; group++) {
            int64_t r0 = pairs * group / p->row_groups, r1 = pairs * (group + 1) / p->row_groups;
            run_tiles(call, desk, i1 - i0, &chunk, desk->rows + r0, r1 - r0, dw + r0 * g->channels,
                      band > band0);
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
    int64_t chunks = p->padded ? call->n * ceil_div(g->h.in, p->chunk_rows)
                               : ceil_div(call->n * g->h.in, p->chunk_rows);
    real *sums = parts > 1 ? call->parts : call->dw;
    _Atomic int64_t *queue = convti_queue(call->team);
    for (int64_t i; (i = convti_next(queue)) < parts * p->tasks;) {
        int64_t part = i / p->tasks, task = i % p->tasks;
        int64_t chunk0 = chunks * part / parts, chunk1 = chunks * (part + 1) / parts;
        real *dw = sums + part * g->w_size;
        if (p->padded)
            padded_task(call, &desk, chunk0, chunk1, dw);
        else
            tap_task(call, &desk, task * p->task_items,
                     lesser((task + 1) * p->task_items, p->items), chunk0 * p->chunk_rows,
                     lesser(chunk1 * p->chunk_rows, call->n * g->h.in), dw);
    }
    if (parts > 1) {
        convti_wait(call->team);
        const struct share own = convti_share(call->team, g->w_size);
        for (int64_t k = own.first; k < own.last; k++) {
            real sum = sums[k];
            for (int64_t part = 1; part < parts; part++) sum += sums[part * g->w_size + k];
            call->dw[k] = sum;
        }
    }
}
