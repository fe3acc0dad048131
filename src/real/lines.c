/*
 * lines: y = act(b + sum of products), with lanes over positions q of target rows, o = q * stride +
 * phase, which read x at q + shift:
 *
 *     line[o][phase, f][q] += sum over shifts and c of w[th, tw, f, c] * x[i][c][q + shift]
 *
 * A work item is some images side by side (or a segment of wide rows) and a band of target rows. It
 * walks through the source rows that reach the band: a row is transposed into x[c][q], with zeros
 * around, and multiplied with all its taps, whose rows (th, phase, f) add to the lines of target
 * rows i * stride + th * dilation - crop. Those are a ring: a row is opened with the bias, and closed
 * when no later source row reaches it: its phases are interleaved and stored, and activated with its
 * neighbours.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* Elements that are activated at once: many short rows, but still in L1. */
enum { BLOCK_ELEMENTS = 1024 };

/* The next source row, on its way into the cache while this one is multiplied: `pieces` of
 * contiguous memory, and how much of it for each tile. */
struct ahead {
    const char *from, *end;
    int64_t pieces, bytes, stride, share;
    int64_t step; /* of a share, for a channel */
};

struct item {
    const struct lines_plan *plan;
    const struct gather_call *call;
    const struct line_cuts *cuts;
    int64_t n0, n1, q0, q1, r0, r1;    /* images, positions, target rows */
    int64_t vectors;                   /* of a line */
    int64_t opened, closed, activated; /* rows below */
    int64_t base;                      /* the row that the ring begins with */
    real *ring, *fresh, *x;            /* lines, a row of them that holds the bias, source */
    struct line_tiling *tiling;        /* of each group's rows in the last source row */
    struct ahead ahead;
};

static int64_t row_size(const struct item *it)
{
    return it->plan->phases * it->plan->filters * it->cuts->stride;
}

static real *lines_of(const struct item *it, int64_t o)
{
    const struct lines_plan *p = it->plan;
    const int64_t at = o - it->base; /* below 2 * span */
    return it->ring + (at < p->span ? at : at - p->span) * row_size(it);
}

/* ---- target rows ----------------------------------------------------------------------------- */

static void fill_fresh(const struct item *it)
{
    const struct lines_plan *p = it->plan;
    const int64_t stride = it->cuts->stride;
    real *line = it->fresh;
    for (int64_t b = 0; b < p->phases; b++)
        for (int64_t f = 0; f < p->filters; f++, line += stride) {
            const real bias = it->call->bias ? it->call->bias[f] : 0;
            for (int64_t q = 0; q < stride; q++) line[q] = bias;
        }
}

static void open_row(struct item *it)
{
    memcpy(lines_of(it, it->opened++), it->fresh, (size_t)row_size(it) * sizeof(real));
}

/* The first count elements of m interleaved lines. */
static void interleave(const struct kernels *kernels, int64_t m, int64_t count, const real *line,
                       int64_t stride, real *to)
{
    if (m <= LINE_MAX_WEAVE) {
        kernels->weave[m](count, line, stride, to);
        return;
    }
    const int64_t whole = count / m;
    kernels->transpose(m, whole, line, stride, to, m);
    for (int64_t j = 0; j < count % m; j++) to[whole * m + j] = line[j * stride + whole];
}

/* The part of target row o that the item covers, of image n and filter f, which counts where channels
 * come first. */
static int64_t place_of(const struct item *it, int64_t n, int64_t f, int64_t o)
{
    const struct lines_plan *p = it->plan;
    const int64_t ow = it->q0 * p->w.stride;
    return it->call->channels_first ? ((n * p->filters + f) * p->h.out + o) * p->w.out + ow
                                    : ((n * p->h.out + o) * p->w.out + ow) * p->filters;
}

static int64_t columns_of(const struct item *it)
{
    const struct axis *w = &it->plan->w;
    return lesser(w->out, it->q1 * w->stride) - it->q0 * w->stride;
}

static void activate(const struct gather_call *call, int64_t count, int64_t at)
{
    real *y = call->target + at, *z = call->z ? call->z + at : y;
    if (call->finish)
        call->finish->f(&call->finish->params, count, z, y);
    else if (z != y)
        memcpy(y, z, (size_t)count * sizeof(real));
}

/* The rows that are closed since: one, or whole rows, which follow one another. */
static void activate_rows(struct item *it)
{
    const struct lines_plan *p = it->plan;
    const struct gather_call *call = it->call;
    const int64_t o = it->activated, count = columns_of(it) * (it->closed - o);
    it->activated = it->closed;
    if (!call->finish && !call->z) return;
    for (int64_t n = it->n0; n < it->n1; n++)
        if (!call->channels_first)
            activate(call, count * p->filters, place_of(it, n, 0, o));
        else
            for (int64_t f = 0; f < p->filters; f++) activate(call, count, place_of(it, n, f, o));
}

static void close_row(struct item *it)
{
    const struct lines_plan *p = it->plan;
    const struct gather_call *call = it->call;
    const int64_t stride = it->cuts->stride, o = it->closed, count = columns_of(it),
                  filters = p->filters;
    const real *line = lines_of(it, o);
    real *z = call->z ? call->z : call->target;
    for (int64_t n = it->n0; n < it->n1; n++, line += it->cuts->pitch)
        if (!call->channels_first)
            interleave(call->kernels, p->phases * filters, count * filters, line, stride,
                       z + place_of(it, n, 0, o));
        else
            for (int64_t f = 0; f < filters; f++)
                interleave(call->kernels, p->phases, count, line + f * stride, filters * stride,
                           z + place_of(it, n, f, o));
    it->closed++;
    if (it->closed - it->base == p->span) it->base += p->span;
    if (it->cuts->segments > 1 ||
        (it->closed - it->activated) * (it->n1 - it->n0) * count * filters >= BLOCK_ELEMENTS)
        activate_rows(it);
}

/* Rows below `end` are complete. One that no source row reached was not opened yet. */
static void close_rows(struct item *it, int64_t end)
{
    for (end = lesser(end, it->r1); it->closed < end; close_row(it))
        if (it->closed == it->opened) open_row(it);
}

/* ---- source rows ----------------------------------------------------------------------------- */

/* Channels [c0, c1) of source row i to x[c - c0][position]. */
static void bring(const struct item *it, int64_t i, int64_t c0, int64_t c1)
{
    const struct lines_plan *p = it->plan;
    const struct gather_call *call = it->call;
    const int64_t low = it->q0 + p->low, first = greater(low, 0),
                  pixels = lesser(p->w.in, it->q1 + p->high) - first, plane = p->h.in * p->w.in;
    real *to = it->x + it->cuts->lead + first - low;
    for (int64_t n = it->n0; n < it->n1 && pixels > 0; n++, to += it->cuts->pitch)
        if (p->channels_first)
            call->kernels->copy(c1 - c0, pixels,
                                call->source + (n * p->channels + c0) * plane + i * p->w.in + first,
                                plane, to, it->cuts->x_stride);
        else
            call->kernels->transpose(pixels, c1 - c0,
                                     call->source +
                                         (n * plane + i * p->w.in + first) * p->channels + c0,
                                     p->channels, to, it->cuts->x_stride);
}

static const struct line_tiling *tiling_of(struct item *it, int group, int64_t rows)
{
    struct line_tiling *tiling = &it->tiling[group];
    if (tiling->rows != rows) *tiling = convti_tile_lines(it->plan->tiles, rows, it->vectors);
    return tiling;
}

/* As planned, but for the last images and the last segment, which may have fewer vectors. */
static void copy_tiling(struct item *it)
{
    const struct lines_plan *p = it->plan;
    const bool planned = it->vectors == it->cuts->vectors;
    for (int g = 0; g < p->groups; g++)
        it->tiling[g] = planned ? p->tiling[g] : (struct line_tiling){0, 0, 0};
}

/* What a tile fetches; a piece ends with the tile that reaches its end. */
static void fetch_ahead(struct ahead *a, struct line_tile *tile)
{
    tile->ahead = a->from;
    tile->step = a->step;
    if (a->pieces == 0) return;
    a->from += a->share;
    while (a->from >= a->end && a->pieces > 0) {
        a->from += a->stride - a->bytes;
        a->end += a->stride;
        a->pieces--;
    }
}

/* All positions of some rows. */
static void tile_rows(struct item *it, struct line_tile *tile, int64_t rows, int64_t across)
{
    const struct kernels *kernels = it->call->kernels;
    const int64_t vectors = it->vectors, lanes = kernels->tiles.lanes;
    const real *x = tile->x;
    const int64_t even = across == 1 ? vectors : vectors / across,
                  more = vectors - even * across; /* the last ones take one more */
    for (int64_t left = across, at = 0; left > 0; left--) {
        const int64_t share = left > more ? even : even + 1;
        tile->at = at * lanes;
        tile->x = x + tile->at;
        fetch_ahead(&it->ahead, tile);
        kernels->line[share][rows](tile);
        at += share;
    }
    tile->x = x;
}

/* Adds source row i, channels [c0, c1), to the lines of a group: rows (th, phase, f) that meet
 * target rows of the item. */
static void add_group(struct item *it, int g, int64_t i, int64_t c0, int64_t c1)
{
    const struct lines_plan *p = it->plan;
    const struct line_group *group = &p->group[g];
    const int64_t o = i * p->h.stride - p->h.crop, d = p->h.dilation;
    const int64_t t0 = ceil_div(it->r0 - o, d),
                  t1 = o + p->span <= it->r1 ? p->h.kernel : (it->r1 - 1 - o) / d + 1;
    const int64_t tap_rows = group->phases * p->filters, packed_rows = p->h.kernel * tap_rows;
    if (t1 <= t0) return;
    const struct line_tiling *tiling = tiling_of(it, g, (t1 - t0) * tap_rows);
    if (it->ahead.pieces > 0) it->ahead.step = it->ahead.share / (group->taps * (c1 - c0)) + 1;
    real *line[LINE_MAX_ROWS];
    struct line_tile tile = {.x = it->x + it->cuts->lead + group->shift - p->low,
                             .w = (const real *)it->call->packed + group->packed +
                                  c0 * packed_rows + t0 * tap_rows,
                             .shifts = group->taps,
                             .channels = c1 - c0,
                             .x_stride = it->cuts->x_stride,
                             .x_shift = p->shift_step,
                             .w_stride = packed_rows,
                             .w_shift = p->channels * packed_rows,
                             .line = line};
    int64_t left = tiling->rows, to = o + t0 * d, at = 0; /* the next row: target row, line */
    for (int64_t down = tiling->down; down > 0; down--) {
        const int64_t rows = down == 1 ? left : left / down;
        for (int64_t r = 0; r < rows; r++, at++) {
            if (at == tap_rows) {
                at = 0;
                to += d;
            }
            line[r] = r > 0 && at > 0
                          ? line[r - 1] + it->cuts->stride
                          : lines_of(it, to) + (group->phase * p->filters + at) * it->cuts->stride;
        }
        tile_rows(it, &tile, rows, tiling->across);
        tile.w += rows;
        left -= rows;
    }
}

/* The source row behind i, in the shares of as many tiles as row i has at most. */
static struct ahead ahead_of(const struct item *it, int64_t i)
{
    const struct lines_plan *p = it->plan;
    const int64_t first = greater(it->q0 + p->low, 0),
                  pixels = lesser(p->w.in, it->q1 + p->high) - first, plane = p->h.in * p->w.in;
    if (i + 1 == p->h.in || pixels <= 0)
        return (struct ahead){.from = (const char *)it->call->source}; /* which is near */
    const int64_t k = p->channels_first ? 1 : p->channels, images = it->n1 - it->n0;
    struct ahead a = {.pieces = p->channels_first ? images * p->channels : images,
                      .bytes = pixels * k * (int64_t)sizeof(real),
                      .stride = plane * k * (int64_t)sizeof(real)};
    int64_t tiles = 0;
    for (int g = 0; g < p->groups; g++) tiles += it->tiling[g].down * it->tiling[g].across;
    a.share = 1 + a.pieces * a.bytes / greater(tiles * it->cuts->parts, 1);
    a.from = (const char *)(it->call->source + it->n0 * plane * p->channels +
                            ((i + 1) * p->w.in + first) * k);
    a.end = a.from + a.bytes;
    return a;
}

static void add_source_row(struct item *it, int64_t i)
{
    const struct lines_plan *p = it->plan;
    it->ahead = ahead_of(it, i);
    for (int64_t c0 = 0; c0 < p->channels; c0 += it->cuts->channels) {
        const int64_t c1 = lesser(c0 + it->cuts->channels, p->channels);
        bring(it, i, c0, c1);
        for (int g = 0; g < p->groups; g++)
            if (p->group[g].taps > 0) add_group(it, g, i, c0, c1);
    }
}

static void run_item(struct item *it)
{
    const struct lines_plan *p = it->plan;
    const struct axis *h = &p->h;
    const int64_t reach = (h->kernel - 1) * h->dilation;
    const int64_t first = ceil_div(it->r0 + h->crop - reach, h->stride),
                  end = lesser(h->in, (it->r1 - 1 + h->crop) / h->stride + 1);
    fill_fresh(it);
    memset(it->x, 0, (size_t)(it->cuts->channels * it->cuts->x_stride) * sizeof(real));
    for (int64_t i = first; i < end; i++) {
        const int64_t o = i * h->stride - h->crop;
        close_rows(it, o);
        while (it->opened < lesser(o + reach + 1, it->r1)) open_row(it);
        add_source_row(it, i);
    }
    close_rows(it, it->r1);
    activate_rows(it);
}

/* ---- the pass -------------------------------------------------------------------------------- */

void FN(convti_lines)(const struct lines_plan *p, const struct gather_call *call)
{
    const struct line_cuts *cuts = &p->cuts;
    const int64_t items = cuts->image_cuts * cuts->bands * cuts->segments;
    real *ring = call->scratch, *x = (real *)(void *)((char *)call->scratch + p->x);
    const int64_t row = p->phases * p->filters * cuts->stride;
    struct line_tiling tiling[LINES_MAX_PHASES];
    _Atomic int64_t *queue = convti_queue(call->team);
    for (int64_t i; (i = convti_next(queue)) < items;) {
        const int64_t segment = take_digit(&i, cuts->segments), band = take_digit(&i, cuts->bands),
                      image = i;
        struct item it = {
            .plan = p,
            .call = call,
            .cuts = cuts,
            .n0 = image * cuts->images,
            .n1 = lesser((image + 1) * cuts->images, call->n),
            .q0 = segment * cuts->positions,
            .q1 = lesser((segment + 1) * cuts->positions, p->positions),
            .r0 = band * cuts->rows,
            .r1 = lesser((band + 1) * cuts->rows, p->h.out),
            .ring = ring,
            .fresh = ring + p->span * row,
            .x = x,
            .tiling = tiling,
        };
        it.opened = it.closed = it.activated = it.base = it.r0;
        it.vectors = ceil_div((it.n1 - it.n0 - 1) * cuts->pitch + it.q1 - it.q0, p->lanes);
        copy_tiling(&it);
        run_item(&it);
    }
}

/* w[group][shift][c][th][phase][f] */
void FN(convti_pack_lines)(struct team *team, const struct convt_layer *l)
{
    const struct lines_plan *p = &l->lines;
    const struct weight_strides *s = &l->geometry.stored;
    const struct share own = convti_share(team, p->h.kernel * p->w.kernel);
    for (int64_t item = own.first; item < own.last; item++) {
        const int64_t th = item / p->w.kernel, slot = item % p->w.kernel;
        const struct line_group *group = p->group;
        while (group + 1 < p->group + p->groups && slot >= (group + 1)->slot) group++;
        if (group->taps == 0) continue;
        const int64_t phase = (slot - group->slot) / group->taps,
                      shift = (slot - group->slot) % group->taps;
        if (phase >= group->phases) continue; /* a tap that no output reads */
        const int64_t tap_rows = group->phases * p->filters, rows = p->h.kernel * tap_rows;
        const real *w = (const real *)l->kernel + s->first +
                        (th * p->w.kernel + l->forward.w.tap_of_slot[slot]) * s->tap;
        real *to = (real *)l->packed_forward + group->packed + shift * p->channels * rows +
                   th * tap_rows + phase * p->filters;
        for (int64_t f = 0; f < p->filters; f++)
            for (int64_t c = 0; c < p->channels; c++)
                to[c * rows + f] = w[f * s->filter + c * s->channel];
    }
}
