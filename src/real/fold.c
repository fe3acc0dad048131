/*
 * fold: y = act(b + sum over (i, t) that meet at o of product[n, i][t, f]), where
 *
 *     product[n, i][t, f] = sum over c of x[n, i, c] * w[t, f, c]
 *
 * A work item is some images, or a band of target rows of one. It walks through the target rows; before a
 * row needs them, the next source rows, counted over images, are multiplied with all columns (t, f) at
 * once, into a ring of rows. A target row adds up the windows of its tap rows, and is activated and stored.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* Memory of one thread. */
struct desk {
    int64_t *from, *to; /* of the pixels of a chunk, in x and in the ring */
    const real **taps;  /* of a target row: where its windows begin */
    real *product;      /* the ring: rows of pixels with blocks - 1 empty ones around */
    real *line, *bias, *staged;
};

struct item {
    const struct fold_plan *plan;
    const struct gather_call *call;
    const struct desk *desk;
    int64_t made, end; /* source rows, counted over images: those before are in the ring; all */
};

static struct desk desk_at(const struct fold_plan *p, void *memory)
{
    char *at = memory;
    return (struct desk){(int64_t *)memory,
                         (int64_t *)(void *)(at + p->to),
                         (const real **)(void *)(at + p->taps),
                         (real *)(void *)(at + p->product),
                         (real *)(void *)(at + p->line),
                         (real *)(void *)(at + p->bias),
                         (real *)(void *)(at + p->staged)};
}

static int64_t row_size(const struct fold_plan *p)
{
    return (p->w.in + p->blocks - 1) * p->pitch;
}

/* The first pixel of a source row in the ring. */
static int64_t place_of(const struct fold_plan *p, int64_t row)
{
    return row % p->ring * row_size(p) + (p->blocks - 1) * p->pitch;
}

/* What no item changes: empty pixels, the bias of a block, where the pixels of x lie. */
static void lay_desk(const struct fold_plan *p, const struct gather_call *call,
                     const struct desk *desk)
{
    const size_t empty = (size_t)((p->blocks - 1) * p->pitch) * sizeof(real);
    for (int64_t r = 0; r <= p->ring; r++) memset(desk->product + r * row_size(p), 0, empty);
    memset(desk->bias, 0, (size_t)(p->block + call->kernels->tiles.lanes) * sizeof(real));
    for (int64_t e = 0; e < p->block && call->bias; e++) desk->bias[e] = call->bias[e % p->filters];
    for (int64_t i = 0; i < p->chunk + GEMM_MAX_ROWS; i++) desk->from[i] = i * p->channels;
}

/* ---- products -------------------------------------------------------------------------------- */

/* Pixels, counted over images, to channels_last. */
static void stage(const struct item *it, int64_t pixel, int64_t count)
{
    const struct fold_plan *p = it->plan;
    const int64_t plane = p->h.in * p->w.in, end = pixel + count;
    real *to = it->desk->staged;
    for (int64_t next; pixel < end; to += (next - pixel) * p->channels, pixel = next) {
        const int64_t n = pixel / plane;
        next = lesser((n + 1) * plane, end);
        it->call->kernels->transpose(p->channels, next - pixel,
                                     it->call->source + n * p->channels * plane + pixel % plane,
                                     plane, to, p->channels);
    }
}

/* A chunk of pixels, listed, with all columns, a block of k at a time. */
static void multiply(const struct item *it, const real *source, int64_t pixels)
{
    const struct fold_plan *p = it->plan;
    const struct desk *desk = it->desk;
    for (int64_t k = 0; k < p->channels; k += p->block_k) {
        const struct run run = {
            .a = k, .b = k, .k = lesser(p->block_k, p->channels - k), .taps = 1};
        for (int64_t column = 0; column < p->pitch; column += p->panel) {
            const struct gather_block block = {
                .source = source,
                .panel = it->call->packed + column * p->channels,
                .target = desk->product + column,
                .from = desk->from,
                .to = desk->to,
                .runs = &run,
                .run_count = 1,
                .columns = lesser(p->panel, p->pitch - column),
                .add = k > 0,
            };
            FN(convti_run_tiles)(it->call->kernels, &block, pixels);
        }
    }
}

/* The next few source rows. */
static void multiply_rows(struct item *it)
{
    const struct fold_plan *p = it->plan;
    const int64_t width = p->w.in, rows = lesser(p->group, it->end - it->made);
    for (int64_t at = 0, all = rows * width, count; at < all; at += count) {
        count = lesser(p->chunk, all - at);
        int64_t *to = it->desk->to;
        for (int64_t i = 0; i < count; i++)
            to[i] = place_of(p, it->made + (at + i) / width) + (at + i) % width * p->pitch;
        for (int64_t i = count; i < count + GEMM_MAX_ROWS; i++) to[i] = to[count - 1];
        const int64_t pixel = it->made * width + at;
        if (p->channels_first) stage(it, pixel, count);
        multiply(it, p->channels_first ? it->desk->staged : it->call->source + pixel * p->channels,
                 count);
    }
    it->made += rows;
}

/* ---- target rows ----------------------------------------------------------------------------- */

/* Where the windows of target row o of image n begin, for every tap row that meets it. */
static int64_t find_taps(const struct item *it, int64_t n, int64_t o)
{
    const struct fold_plan *p = it->plan;
    const struct axis *h = &p->h;
    int64_t count = 0;
    for (int64_t th = 0; th < h->kernel; th++) {
        const int64_t reached = o + h->crop - th * h->dilation, i = reached / h->stride;
        if (reached < 0) break;
        if (reached % h->stride != 0 || i >= h->in) continue;
        it->desk->taps[count++] = it->desk->product + place_of(p, n * h->in + i) +
                                  p->first * p->pitch + th * p->w.kernel * p->filters;
    }
    return count;
}

static void fold_row(const struct item *it, int64_t n, int64_t o)
{
    const struct fold_plan *p = it->plan;
    const struct desk *desk = it->desk;
    const int64_t reached = clamp(p->w.in + p->blocks - 1 - p->first, 0, p->positions);
    const struct fold_row row = {.from = desk->taps,
                                 .taps = find_taps(it, n, o),
                                 .pitch = p->pitch,
                                 .block = p->block,
                                 .last = p->last,
                                 .bias = desk->bias,
                                 .positions = reached,
                                 .line = desk->line};
    it->call->kernels->fold[p->blocks](&row);
    for (int64_t q = reached; q < p->positions; q++)
        memcpy(desk->line + q * p->block, desk->bias, (size_t)p->block * sizeof(real));
}

static void store_row(const struct item *it, int64_t n, int64_t o)
{
    const struct fold_plan *p = it->plan;
    const struct gather_call *call = it->call;
    const int64_t width = p->w.out, count = width * p->filters, plane = p->h.out * width;
    real *row = it->desk->line + (p->w.crop - p->first * p->w.stride) * p->filters;
    if (!call->channels_first) {
        const int64_t at = (n * p->h.out + o) * count;
        if (call->z) memcpy(call->z + at, row, (size_t)count * sizeof(real));
        if (call->finish)
            call->finish->f(&call->finish->params, count, row, call->target + at);
        else
            memcpy(call->target + at, row, (size_t)count * sizeof(real));
        return;
    }
    const int64_t at = n * p->filters * plane + o * width;
    if (call->z) call->kernels->transpose(width, p->filters, row, p->filters, call->z + at, plane);
    if (call->finish) call->finish->f(&call->finish->params, count, row, row);
    call->kernels->transpose(width, p->filters, row, p->filters, call->target + at, plane);
}

/* ---- an item --------------------------------------------------------------------------------- */

/* Source rows of an image that [first, end) of its target rows read. */
static void source_rows(const struct axis *h, int64_t *first, int64_t *end)
{
    const int64_t reach = (h->kernel - 1) * h->dilation;
    *first = lesser(ceil_div(*first + h->crop - reach, h->stride), h->in);
    *end = lesser((*end - 1 + h->crop) / h->stride + 1, h->in);
}

static void run_item(struct item *it, int64_t n0, int64_t n1, int64_t r0, int64_t r1)
{
    const struct axis *h = &it->plan->h;
    int64_t first = r0, end = r1;
    source_rows(h, &first, &end);
    it->made = n0 * h->in + first;
    it->end = (n1 - 1) * h->in + end;
    for (int64_t n = n0; n < n1; n++)
        for (int64_t o = r0; o < r1; o++) {
            int64_t i0 = o, i1 = o + 1;
            source_rows(h, &i0, &i1);
            while (i1 > i0 && it->made < n * h->in + i1) multiply_rows(it);
            fold_row(it, n, o);
            store_row(it, n, o);
        }
}

void FN(convti_fold)(const struct fold_plan *p, const struct gather_call *call)
{
    const struct fold_cuts *cuts = &p->cuts;
    const struct desk desk = desk_at(p, call->scratch);
    _Atomic int64_t *queue = convti_queue(call->team);
    int64_t i = convti_next(queue);
    if (i < cuts->image_cuts * cuts->bands) lay_desk(p, call, &desk);
    for (; i < cuts->image_cuts * cuts->bands; i = convti_next(queue)) {
        struct item it = {p, call, &desk, 0, 0};
        const int64_t image = i / cuts->bands * cuts->images, row = i % cuts->bands * cuts->rows;
        run_item(&it, image, lesser(image + cuts->images, call->n), row,
                 lesser(row + cuts->rows, p->h.out));
    }
}

/* b[panel][c][column], columns (t, f) padded with zeros to whole vectors. */
static void pack_panel(const struct convt_layer *l, int64_t panel, int64_t c0, int64_t c1)
{
    const struct fold_plan *p = &l->fold;
    const struct kernels *kernels = l->kernels;
    const struct weight_strides *s = &l->geometry.stored;
    const int64_t first = panel * p->panel, width = lesser(p->panel, p->pitch - first),
                  columns = lesser(width, p->columns - first);
    const real *w = (const real *)l->kernel + s->first;
    real *b = (real *)l->packed_forward + first * p->channels;
    if (s->channel == 1 && s->tap == p->filters * s->filter) { /* columns lie evenly apart */
        kernels->transpose(columns, c1 - c0, w + first * s->filter + c0, s->filter, b + c0 * width,
                           width);
    } else {
        for (int64_t j = 0; j < columns; j++) {
            const real *column = w + (first + j) / p->filters * s->tap +
                                 (first + j) % p->filters * s->filter;
            for (int64_t c = c0; c < c1; c++) b[c * width + j] = column[c * s->channel];
        }
    }
    for (int64_t c = c0; c < c1 && columns < width; c++)
        memset(b + c * width + columns, 0, (size_t)(width - columns) * sizeof(real));
}

void FN(convti_pack_fold)(struct team *team, const struct convt_layer *l)
{
    enum { CHANNELS = 64 };
    const struct fold_plan *p = &l->fold;
    const int64_t cuts = ceil_div(p->channels, CHANNELS);
    const struct share own = convti_share(team, p->panels * cuts);
    for (int64_t i = own.first; i < own.last; i++) {
        const int64_t c = i % cuts * CHANNELS;
        pack_panel(l, i / cuts, c, lesser(c + CHANNELS, p->channels));
    }
}
