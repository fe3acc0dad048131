/*
 * outer: dw[t, f, c] = sum over pixels (n, i) of dz[n, o(i, t), f] * x[n, i, c],   o = i * stride +
 * t * dilation - crop
 *
 * A task owns a block of dw: items (stretches of windows, plan.h) x strips of channels. It walks
 * its part of the pixels chunk by chunk; a tile's sums stay in registers over a chunk and are then
 * added to dw, or to the part's own sums. The pixels of a chunk are found as segments, which the
 * tiles of a window share.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* x and dz beyond this are fetched a chunk ahead: read in place, they come from further than L2; packed,
 * from memory. */
enum { FAR_BYTES = 1 << 20, MEMORY_BYTES = 16 << 20 };

/* Pixels of a chunk, `step` apart from `pixel` on, and what they meet of dz, `ds` apart. */
struct stretch {
    const real *dz;
    int64_t pixel, count, step, ds;
};

/* Memory of one task. */
struct desk {
    real *x;      /* [strip][pixel of the chunk][channel of the strip], zeros behind the last */
    real *dz;     /* of one window: [cut][pixel that it meets][filter of the cut] */
    real *copies; /* rows of dz, as padded */
    real *sums;   /* of one window: [channel][element] */
    bool *copied; /* which of them are there */
    struct stretch *stretches; /* of one window */
    struct stretch *packed;    /* the same where dz is packed */
    struct segment *segments;  /* the same with one strip of x */
};

/* Of a strip of packed x. */
static int64_t panel_width(const struct outer_plan *p)
{
    return p->swapped ? p->rows : p->vectors * p->lanes;
}

static size_t lay_desk(const struct outer_plan *p, const struct geometry *g, struct desk *desk,
                       void *memory)
{
    convti_size size = {0};
    int64_t pixels = p->chunk_rows * ceil_div(g->w.in, p->row_cuts),
            channels = ceil_div(p->strips, p->blocks) * panel_width(p);
    size_t x = convti_size_add(&size, p->in_place ? 0 : pixels * channels, sizeof(real));
    size_t dz = convti_size_add(&size, p->dz_cuts * p->dz_panel, sizeof(real));
    size_t copies = convti_size_add(&size, p->copy_rows * p->copy_size + p->lanes, sizeof(real));
    size_t sums = convti_size_add(&size, convti_outer_task_sums(p, g), sizeof(real));
    size_t copied = convti_size_add(&size, p->copy_rows, sizeof(bool));
    int64_t pieces = (p->swapped ? 3 : 1) * p->chunk_rows;
    size_t stretches = convti_size_add(&size, pieces, sizeof(struct stretch));
    size_t packed = convti_size_add(&size, p->dz_cuts > 0 ? pieces : 0, sizeof(struct stretch));
    size_t segments = convti_size_add(&size, pieces, sizeof(struct segment));
    if (memory) {
        char *at = memory;
        *desk = (struct desk){(real *)(void *)(at + x),
                              (real *)(void *)(at + dz),
                              (real *)(void *)(at + copies),
                              (real *)(void *)(at + sums),
                              (bool *)(at + copied),
                              (struct stretch *)(void *)(at + stretches),
                              (struct stretch *)(void *)(at + packed),
                              (struct segment *)(void *)(at + segments)};
    }
    return size.bytes;
}

size_t FN(convti_outer_scratch)(const struct convt_layer *l)
{
    return lay_desk(&l->outer, &l->geometry, NULL, NULL);
}

/* ---- what a task works on -------------------------------------------------------------------- */

/* Items x strips of dw, and the chunks of pixels that it sums. */
struct task {
    int64_t item0, item1, strip0, strip1, chunk0, chunk1;
};

/* Channels [c0, c1) of tiles: `vectors` vectors, or rows where roles are swapped. */
struct strip {
    int64_t c0, c1, vectors;
};

static struct strip find_strip(const struct outer_plan *p, const struct geometry *g, int64_t index)
{
    if (p->swapped)
        return (struct strip){g->channels * index / p->strips,
                              g->channels * (index + 1) / p->strips, 0};
    int64_t v0 = p->channel_vectors * index / p->strips,
            v1 = p->channel_vectors * (index + 1) / p->strips;
    return (struct strip){v0 * p->lanes, lesser(v1 * p->lanes, g->channels), v1 - v0};
}

/* Pixels: rows [row0, row1) of x, counted over all images, in even shares; columns [j0, j1) of each. */
struct chunk {
    int64_t row0, row1, j0, j1;
    /* columns [j0, a) and [b, j1) meet copies of dz, [a, b) dz itself */
    int64_t a, b;
    int64_t pitch;    /* of the copies */
    int64_t th0, th1; /* the kernel rows of the task, whose rows of dz are copied */
};

static struct chunk find_chunk(const struct outer_call *call, int64_t index)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    const int64_t rows = call->n * g->h.in, shares = ceil_div(rows, p->chunk_rows),
                  share = index / p->row_cuts, larger = rows % shares;
    struct chunk k = {.row0 = rows / shares * share + lesser(share, larger)};
    k.row1 = k.row0 + rows / shares + (share < larger);
    k.j0 = g->w.in * (index % p->row_cuts) / p->row_cuts;
    k.j1 = g->w.in * (index % p->row_cuts + 1) / p->row_cuts;
    k.a = lesser(greater(p->left, k.j0), k.j1);
    k.b = lesser(greater(g->w.in - p->right, k.a), k.j1);
    k.pitch = convti_outer_piece(p, g, k.a - k.j0) + convti_outer_piece(p, g, k.j1 - k.b);
    return k;
}

/* A chunk's rows within one image: [i0, i1), with its first pixel in the chunk and its first row
 * among the copies. */
struct band {
    int64_t n, i0, i1, pixel, copy;
};

static struct band first_band(const struct geometry *g, const struct chunk *k)
{
    struct band b = {.n = k->row0 / g->h.in, .i0 = k->row0 % g->h.in};
    b.i1 = lesser(b.i0 + k->row1 - k->row0, g->h.in);
    return b;
}

static bool next_band(const struct geometry *g, const struct chunk *k, struct band *b)
{
    int64_t done = b->n * g->h.in + b->i1;
    if (done >= k->row1) return false;
    int64_t rows = b->i1 - b->i0;
    *b = (struct band){.n = b->n + 1,
                       .i1 = lesser(k->row1 - done, g->h.in),
                       .pixel = b->pixel + rows * (k->j1 - k->j0),
                       .copy = b->copy + (rows - 1) * g->h.stride +
                               (k->th1 - k->th0 - 1) * g->h.dilation + 1};
    return true;
}

/* ---- x --------------------------------------------------------------------------------------- */

/* A chunk of x as tiles read it: channel c of pixel k at x[k * stride + c]. */
struct sight {
    const real *x;
    int64_t stride;
};

/* Pixels [at, at + pixels) of an image, which come last in memory, as rows of the strips' panels. */
static void transpose_strips(const struct outer_call *call, struct task t, const real *image,
                             int64_t at, int64_t pixels, int64_t size, real *to)
{
    const struct geometry *g = call->geometry;
    const int64_t width = panel_width(call->plan), plane = g->h.in * g->w.in;
    for (int64_t i = t.strip0; i < t.strip1; i++, to += size) {
        const struct strip s = find_strip(call->plan, g, i);
        const int64_t channels = s.c1 - s.c0;
        call->kernels->transpose(channels, pixels, image + s.c0 * plane + at, plane, to, width);
        for (int64_t j = 0; channels < width && j < pixels; j++)
            memset(to + j * width + channels, 0, (size_t)(width - channels) * sizeof(real));
    }
}

/* The task's strips of a chunk, a panel each. */
static void pack_strips(const struct outer_call *call, const struct chunk *k, struct task t,
                        real *to)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    const int64_t pixels = k->j1 - k->j0, width = panel_width(p);
    const struct panels panels = {
        .length = g->channels,
        .units = p->channel_vectors,
        .unit = p->lanes,
        .cuts = p->strips,
        .cut0 = t.strip0,
        .cut1 = t.strip1,
        .width = width,
        .size = (k->row1 - k->row0) * pixels * width,
    };
    if (!g->channels_first && pixels == g->w.in) { /* rows and images follow one another */
        call->kernels->split((k->row1 - k->row0) * pixels, call->x + k->row0 * pixels * g->channels,
                             g->channels, &panels, to);
        return;
    }
    struct band b = first_band(g, k);
    do
        for (int64_t i = b.i0; i < b.i1; i++, to += pixels * width) {
            const real *image = call->x + b.n * g->x_size;
            const int64_t at = i * g->w.in + k->j0;
            if (g->channels_first)
                transpose_strips(call, t, image, at, pixels, panels.size, to);
            else
                call->kernels->split(pixels, image + at * g->channels, g->channels, &panels, to);
        }
    while (next_band(g, k, &b));
}

static struct sight see_strip(const struct outer_call *call, const struct chunk *k,
                              const real *packed, int64_t index, const struct strip *s)
{
    const struct geometry *g = call->geometry;
    if (call->plan->in_place)
        return (struct sight){call->x + (k->row0 * g->w.in + k->j0) * g->channels + s->c0,
                              g->channels};
    const int64_t pixels = (k->row1 - k->row0) * (k->j1 - k->j0), width = panel_width(call->plan);
    return (struct sight){packed + index * pixels * width, width};
}

/* ---- dz -------------------------------------------------------------------------------------- */

/* The part of a row of dz, or of a row outside (NULL), that `pixels` windows from column j on
 * reach; zeros where that leaves the output. */
static real *copy_piece(const struct outer_call *call, const real *row, int64_t j, int64_t pixels,
                        real *to)
{
    const struct geometry *g = call->geometry;
    int64_t size = convti_outer_piece(call->plan, g, pixels),
            start = (j * g->w.stride - g->w.crop) * g->filters, end = g->w.out * g->filters;
    int64_t low = lesser(greater(-start, 0), size), high = lesser(greater(end - start, low), size);
    if (!row) high = low;
    memset(to, 0, (size_t)low * sizeof(real));
    if (high > low) memcpy(to + low, row + start + low, (size_t)(high - low) * sizeof(real));
    memset(to + high, 0, (size_t)(size - high) * sizeof(real));
    return to + size;
}

static const real *dz_row(const struct outer_call *call, int64_t n, int64_t oh)
{
    const struct geometry *g = call->geometry;
    return call->dz + (n * g->h.out + oh) * g->w.out * g->filters;
}

static void copy_rows(const struct outer_call *call, const struct desk *desk, const struct chunk *k)
{
    const struct geometry *g = call->geometry;
    memset(desk->copied, 0, (size_t)call->plan->copy_rows * sizeof(bool));
    struct band b = first_band(g, k);
    do
        for (int64_t th = k->th0; th < k->th1; th++)
            for (int64_t i = b.i0; i < b.i1; i++) {
                int64_t at = b.copy + (i - b.i0) * g->h.stride + (th - k->th0) * g->h.dilation,
                        oh = i * g->h.stride + th * g->h.dilation - g->h.crop;
                if (desk->copied[at]) continue;
                desk->copied[at] = true;
                const real *row = oh >= 0 && oh < g->h.out ? dz_row(call, b.n, oh) : NULL;
                real *to = copy_piece(call, row, k->j0, k->a - k->j0, desk->copies + at * k->pitch);
                copy_piece(call, row, k->b, k->j1 - k->b, to);
            }
    while (next_band(g, k, &b));
}

/* ---- stretches ------------------------------------------------------------------------------- */

/* Stretches of a window in the making; pixels next to one another are ds apart in dz. */
struct trail {
    struct stretch *stretches;
    int64_t count, ds;
};

/* Appends a stretch of pixels, or lengthens the last one: also one of single pixels, so that narrow
 * maps have long stretches, too. */
static void append(struct trail *trail, int64_t pixel, const real *dz, int64_t count)
{
    if (count <= 0) return;
    struct stretch *last = &trail->stretches[trail->count - 1];
    if (trail->count > 0 && count == 1 && last->count == 1) {
        last->step = pixel - last->pixel;
        last->ds = dz - last->dz;
    }
    if (trail->count > 0 && pixel == last->pixel + last->count * last->step &&
        dz == last->dz + last->count * last->ds &&
        (count == 1 || (last->step == 1 && last->ds == trail->ds)))
        last->count += count;
    else
        trail->stretches[trail->count++] = (struct stretch){dz, pixel, count, 1, trail->ds};
}

/* Where a tile's windows are: kernel rows [th, th + together), tap column tw on; the index-th window
 * of dw. */
struct window {
    int64_t th, tw, together, index;
};

static void append_row(const struct outer_call *call, const struct desk *desk,
                       const struct chunk *k, const struct band *b, int64_t i, struct window w,
                       struct pixels valid, struct trail *trail)
{
    const struct geometry *g = call->geometry;
    int64_t oh = i * g->h.stride + w.th * g->h.dilation - g->h.crop;
    if (oh + (w.together - 1) * g->h.dilation < 0 || oh >= g->h.out) return;
    const real *row = dz_row(call, b->n, oh);
    int64_t shift = w.tw * g->w.dilation - g->w.crop,
            pixel = b->pixel + (i - b->i0) * (k->j1 - k->j0) - k->j0;
    if (!call->plan->copied) {
        append(trail, pixel + valid.begin, row + (valid.begin * g->w.stride + shift) * g->filters,
               valid.end - valid.begin);
        return;
    }
    int64_t at = b->copy + (i - b->i0) * g->h.stride + (w.th - k->th0) * g->h.dilation;
    const real *copy = desk->copies + at * k->pitch + w.tw * g->w.dilation * g->filters;
    append(trail, pixel + k->j0, copy, k->a - k->j0);
    append(trail, pixel + k->a, row + (k->a * g->w.stride + shift) * g->filters, k->b - k->a);
    append(trail, pixel + k->b, copy + convti_outer_piece(call->plan, g, k->a - k->j0),
           k->j1 - k->b);
}

static int64_t find_stretches(const struct outer_call *call, const struct desk *desk,
                              const struct chunk *k, struct window w)
{
    const struct geometry *g = call->geometry;
    struct trail trail = {desk->stretches, 0, g->w.stride * g->filters};
    struct pixels valid = convti_valid_pixels(&g->w, w.tw);
    valid = (struct pixels){greater(valid.begin, k->j0), lesser(valid.end, k->j1)};
    struct band b = first_band(g, k);
    do
        for (int64_t i = b.i0; i < b.i1; i++) append_row(call, desk, k, &b, i, w, valid, &trail);
    while (next_band(g, k, &b));
    return trail.count;
}

/* ---- what is fetched ahead ------------------------------------------------------------------- */

/* Elements from a pixel of x and of dz to what is worth fetching while it is used: the same pixel
 * of the next chunk, or where x is read once, a few pixels on. Of dz only where its rows follow one
 * another in the next chunk as they do in this one; else it is lost. */
struct ahead {
    const real *x; /* the chunk's first pixel in place, NULL where nothing is worth it */
    int64_t x_ahead, dz_ahead;
};

static struct ahead look_ahead(const struct outer_call *call, const struct chunk *k)
{
    enum { NEAR = 32 };
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t size = call->n * (g->x_size + g->z_size) * (int64_t)sizeof(real),
            rows = k->row1 - k->row0, columns = k->j1 - k->j0;
    if (size <= (p->dz_cuts > 0 ? MEMORY_BYTES : FAR_BYTES) || g->channels_first || p->swapped)
        return (struct ahead){NULL, 0, 0};
    struct ahead a = {.x = call->x + (k->row0 * g->w.in + k->j0) * g->channels};
    a.x_ahead = (p->items == 1 ? NEAR : rows * columns) * g->channels;
    a.dz_ahead = p->row_cuts > 1 ? columns * g->w.stride * g->filters
                                 : rows * g->h.stride * g->w.out * g->filters;
    return a;
}

/* Rows that some tiles of a window fetch, each a few of them in one go, `step` elements at every pixel
 * of its own. */
struct portion {
    int64_t rows, stride, tiles, step;
};

static struct portion share_out(int64_t rows, int64_t stride, int64_t width, int64_t tiles,
                                int64_t pixels)
{
    const int64_t each = ceil_div(rows, tiles), length = each > 1 ? each * stride : width;
    return (struct portion){rows, stride, tiles, ceil_div(length, pixels)};
}

/* What packing will read of the next chunk, evenly over the tiles of a window, so that it is not waited
 * for: some of the tiles fetch dz, as many as there are pixels if it can be, the others x, once for all
 * windows. */
struct errands {
    struct ahead ahead;
    int64_t tiles, tile; /* of the window; the one that is next */
    struct portion dz, x;
    const struct stretch *stretch; /* of dz, where the portion's next row is */
    int64_t row;                   /* the stretch's first one */
};

static struct errands plan_errands(const struct outer_call *call, const struct desk *desk,
                                   struct task t, const struct chunk *k, int64_t count, bool x)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    struct errands e = {.ahead = look_ahead(call, k),
                        .tiles = (t.strip1 - t.strip0) * (t.item1 - t.item0),
                        .stretch = desk->stretches};
    int64_t pixels = 0;
    for (int64_t i = 0; i < count; i++) pixels += desk->stretches[i].count;
    if (pixels == 0) e.ahead.x = NULL;
    if (!e.ahead.x) return e;

    const int64_t c0 = find_strip(p, g, t.strip0).c0, c1 = find_strip(p, g, t.strip1 - 1).c1,
                  cut0 = t.item0 % p->cuts_of_window, cut1 = cut0 + t.item1 - t.item0,
                  w0 = p->window * cut0 / p->cuts_of_window,
                  w1 = p->window * cut1 / p->cuts_of_window,
                  most = x ? greater(e.tiles * 3 / 4, 1) : e.tiles;
    if (!p->copied) /* copies are made of rows that all windows share */
        e.dz = share_out(pixels, g->w.stride * g->filters, w1 - w0, lesser(pixels, most), pixels);
    if (x && e.tiles > e.dz.tiles)
        e.x = share_out((k->row1 - k->row0) * (k->j1 - k->j0), g->channels, c1 - c0,
                        e.tiles - e.dz.tiles, pixels);
    e.ahead.x += e.ahead.x_ahead + c0;
    e.ahead.dz_ahead += w0;
    return e;
}

/* What the next tile fetches. */
static void next_errand(const struct outer_call *call, struct errands *e, struct outer_tile *tile)
{
    if (!e->ahead.x) return;
    const int64_t before = e->dz.tiles * e->tile / e->tiles;
    e->tile++;
    tile->fetch = e->dz.tiles * e->tile / e->tiles == before;
    if (tile->fetch) { /* x */
        const int64_t at = e->tile - 1 - before;
        tile->fetch_at = e->x.tiles > 0 ? e->x.rows * at / e->x.tiles * e->x.stride : 0;
        return;
    }
    const int64_t row = e->dz.rows * before / e->dz.tiles;
    for (; row - e->row >= e->stretch->count; e->stretch++) e->row += e->stretch->count;
    tile->fetch_at = e->stretch->dz - call->dz + (row - e->row) * e->stretch->ds;
}

/* The stretches with one strip of packed x, at channel 0, as segments. */
static void aim_packed(const struct outer_call *call, const struct desk *desk, int64_t count,
                       struct sight x, const struct errands *e)
{
    const struct stretch *s = desk->packed;
    for (int64_t i = 0, done = 0; i < count; done += s->count, i++, s++) {
        const real *at = x.x + s->pixel * x.stride;
        struct far self = {at, s->step * x.stride}, dz = self, next = self;
        if (e->ahead.x) {
            dz = (struct far){call->dz + e->ahead.dz_ahead + done * e->dz.step, e->dz.step};
            next = (struct far){e->ahead.x + done * e->x.step, e->x.step};
        }
        desk->segments[i] =
            (struct segment){at, s->dz, s->count, s->step * x.stride, s->ds, {dz, next}};
    }
}

/* The stretches with one strip of x, from channel c0 on, as segments. */
static void aim(const struct outer_call *call, const struct desk *desk, int64_t count,
                struct sight x, struct ahead ahead, int64_t c0)
{
    const int64_t channels = call->geometry->channels;
    const struct outer_plan *p = call->plan;
    for (int64_t i = 0; i < count; i++) {
        const struct stretch *s = &desk->stretches[i];
        const real *at = x.x + s->pixel * x.stride;
        int64_t xs = s->step * x.stride;
        struct far self = {at, xs}, dz = self, next = self;
        if (ahead.x)
            next = (struct far){ahead.x + s->pixel * channels + ahead.x_ahead + c0,
                                s->step * channels};
        if (ahead.x) dz = p->copied ? next : (struct far){s->dz + ahead.dz_ahead, s->ds};
        desk->segments[i] = p->swapped
                                ? (struct segment){s->dz, at, s->count, s->ds, xs, {dz, next}}
                                : (struct segment){at, s->dz, s->count, xs, s->ds, {dz, next}};
    }
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static struct window find_window(const struct outer_plan *p, const struct geometry *g, int64_t item)
{
    int64_t place = item / p->cuts_of_window, th = place / p->bands * p->together,
            band = place % p->bands;
    return (struct window){th, band * p->span, lesser(p->together, g->h.kernel - th),
                           p->apart ? 0 : th * p->bands + band};
}

/* Elements [w0, w1) of a window, or vectors of it where roles are swapped. Nothing is handed
 * over as a copy, which would wait for its fields, and so for the sums that were stored before them. */
static void run_tile(const struct outer_call *call, const struct segment *segments, int64_t count,
                     const struct window *w, int64_t w0, int64_t w1, const struct strip *s,
                     struct outer_tile *tile, real *sums)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    if (p->swapped) {
        tile->u = w0 * p->lanes;
        tile->v = 0;
        tile->stride = p->window_vectors * p->lanes;
        tile->width = (w1 - w0) * p->lanes;
        tile->out = sums + (w->index * g->channels + s->c0) * tile->stride + tile->u;
        call->kernels->outer[1][w1 - w0][s->c1 - s->c0](segments, count, tile);
    } else {
        tile->stride = g->channels;
        tile->group_stride = p->bands * p->window * g->channels;
        tile->width = s->c1 - s->c0;
        tile->out = sums + (w->index * p->window + w0) * g->channels + s->c0;
        call->kernels->outer[w->together][s->vectors][w1 - w0](segments, count, tile);
    }
}

/* What the task's items take of dz, for every pixel that the window meets. Packed, stretches lie one
 * behind another; where x does, too, they become one. Returns how many are left. */
static int64_t pack_dz(const struct outer_call *call, const struct desk *desk, struct task t,
                       int64_t count)
{
    const struct outer_plan *p = call->plan;
    const int64_t cut0 = t.item0 % p->cuts_of_window;
    const struct panels panels = {
        .length = p->copied ? p->window + p->lanes : p->window, /* copies have room behind */
        .units = p->window,
        .unit = 1,
        .cuts = p->cuts_of_window,
        .cut0 = cut0,
        .cut1 = cut0 + t.item1 - t.item0,
        .width = p->rows,
        .size = p->dz_panel,
    };
    real *to = desk->dz;
    int64_t joined = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct stretch s = desk->stretches[i];
        call->kernels->split(s.count, s.dz, s.ds, &panels, to);
        struct stretch *last = &desk->packed[joined > 0 ? joined - 1 : 0];
        if (joined > 0 && last->step == s.step && last->pixel + last->count * last->step == s.pixel)
            last->count += s.count;
        else
            desk->packed[joined++] = (struct stretch){to, s.pixel, s.count, s.step, p->rows};
        to += s.count * p->rows;
    }
    return joined;
}

/* One window's items [item0, item1) of packed dz. `x`: nothing has fetched the next chunk's x yet. */
static void run_packed(const struct outer_call *call, const struct desk *desk, struct task t,
                       const struct chunk *k, bool x, struct outer_tile tile, real *sums)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    const struct window w = find_window(p, g, t.item0);
    const int64_t raw = find_stretches(call, desk, k, w);
    struct errands errands = plan_errands(call, desk, t, k, raw, x);
    const int64_t count = pack_dz(call, desk, t, raw), cuts = p->cuts_of_window,
                  cut0 = t.item0 % cuts, cut1 = cut0 + t.item1 - t.item0;
    for (int64_t i = t.strip0; i < t.strip1; i++) {
        const struct strip s = find_strip(p, g, i);
        aim_packed(call, desk, count, see_strip(call, k, desk->x, i - t.strip0, &s), &errands);
        for (int64_t cut = cut0; cut < cut1; cut++) {
            next_errand(call, &errands, &tile);
            tile.v = (cut - cut0) * p->dz_panel;
            run_tile(call, desk->segments, count, &w, p->window * cut / cuts,
                     p->window * (cut + 1) / cuts, &s, &tile, sums);
        }
    }
}

/* One window's items [item0, item1): what they read of dz stays in the caches while strips pass, and
 * a strip of x in L1 while items pass. */
static void run_window(const struct outer_call *call, const struct desk *desk, struct task t,
                       const struct chunk *k, struct outer_tile tile, real *sums)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    const struct window w = find_window(p, g, t.item0);
    const int64_t count = find_stretches(call, desk, k, w);
    const int64_t cuts = p->cuts_of_window, cut0 = t.item0 % cuts, cut1 = cut0 + t.item1 - t.item0,
                  length = p->swapped ? p->window_vectors : p->window, begin = length * cut0 / cuts;
    const int64_t line = 64 / (int64_t)sizeof(real),
                  lines = ceil_div(p->window * cut1 / cuts - p->window * cut0 / cuts, line);
    const struct ahead ahead = look_ahead(call, k);
    int64_t fetched = 0;
    for (int64_t i = t.strip0; i < t.strip1; i++) {
        struct strip s = find_strip(p, g, i);
        aim(call, desk, count, see_strip(call, k, desk->x, i - t.strip0, &s), ahead, s.c0);
        for (int64_t cut = cut0, w0 = begin, w1; cut < cut1; cut++, w0 = w1, fetched++) {
            w1 = length * (cut + 1) / cuts;
            tile.fetch = fetched >= lines;
            tile.fetch_at = tile.fetch ? (cut - cut0) * line : fetched * line;
            tile.v = w0;
            run_tile(call, desk->segments, count, &w, w0, w1, &s, &tile, sums);
        }
    }
}

/* A window at a time, or as many of its items as dz is packed for. */
static void run_chunk(const struct outer_call *call, const struct desk *desk, struct task t,
                      const struct chunk *k, bool add, real *sums)
{
    const struct outer_plan *p = call->plan;
    const int64_t cuts = p->cuts_of_window, most = p->dz_cuts > 0 ? p->dz_cuts : cuts,
                  first = t.item0, last = t.item1;
    const struct outer_tile tile = {.pitch = call->geometry->h.dilation * k->pitch, .add = add};
    for (; t.item0 < last; t.item0 = t.item1) {
        t.item1 = lesser(lesser((t.item0 / cuts + 1) * cuts, t.item0 + most), last);
        if (p->dz_cuts > 0)
            run_packed(call, desk, t, k, t.item0 == first, tile, sums);
        else
            run_window(call, desk, t, k, tile, sums);
    }
}

static void run_task(const struct outer_call *call, const struct desk *desk, struct task t,
                     real *sums)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    for (int64_t c = t.chunk0; c < t.chunk1; c++) {
        struct chunk k = find_chunk(call, c);
        struct window first = find_window(p, g, t.item0), last = find_window(p, g, t.item1 - 1);
        k.th0 = first.th;
        k.th1 = last.th + last.together;
        if (!p->in_place) pack_strips(call, &k, t, desk->x);
        if (p->copied) copy_rows(call, desk, &k);
        run_chunk(call, desk, t, &k, c > t.chunk0, sums);
    }
}

/* dw of the task's window. */
static void transpose_sums(const struct outer_call *call, struct task t, const real *sums)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    const int64_t c0 = find_strip(p, g, t.strip0).c0, c1 = find_strip(p, g, t.strip1 - 1).c1,
                  row = p->window_vectors * p->lanes, index = t.item0 / p->cuts_of_window;
    call->kernels->transpose(c1 - c0, p->window, sums + c0 * row, row,
                             call->dw + index * p->window * g->channels + c0, g->channels);
}

/* ---- sums of parts --------------------------------------------------------------------------- */

/* Long enough for the processor to fetch a part ahead, and in L1 until the last is added. */
enum { SUM_BLOCK = 512 };

static void sum_parts(const struct outer_call *call, int64_t parts, int64_t size, int64_t at,
                      int64_t count, real *sum)
{
    const real *first = call->parts + at, *part = first;
    if (parts == 1) memcpy(sum, first, (size_t)count * sizeof(real));
    for (int64_t i = 1; i < parts; i++, first = sum) {
        part += size;
        for (int64_t k = 0; k < count; k++) sum[k] = first[k] + part[k];
    }
}

/* Team. dw = the parts in order; swapped, they hold [window][channel][element]. */
static void add_parts(const struct outer_call *call, int64_t parts)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    int64_t size = convti_outer_sums(p, g), row = p->window_vectors * p->lanes;
    int64_t length = p->swapped ? p->window : g->w_size, blocks = ceil_div(length, SUM_BLOCK),
            windows = p->swapped ? g->h.kernel * p->bands : 1;
    real sum[SUM_BLOCK];
    const struct share own = convti_share(call->team, windows * blocks);
    for (int64_t i = own.first; i < own.last; i++) {
        int64_t at = i % blocks * SUM_BLOCK, count = lesser(SUM_BLOCK, length - at);
        if (!p->swapped) {
            sum_parts(call, parts, size, at, count, call->dw + at);
            continue;
        }
        real *dw = call->dw + (i / blocks * p->window + at) * g->channels;
        for (int64_t c = 0; c < g->channels; c++) {
            sum_parts(call, parts, size, (i / blocks * g->channels + c) * row + at, count, sum);
            for (int64_t k = 0; k < count; k++) dw[k * g->channels + c] = sum[k];
        }
    }
}

void FN(convti_outer)(const struct outer_call *call)
{
    const struct geometry *g = call->geometry;
    const struct outer_plan *p = call->plan;
    struct desk desk = {0};
    lay_desk(p, g, &desk, call->scratch);
    int64_t parts = convti_outer_parts(p, g, call->n), chunks = convti_outer_chunks(p, g, call->n),
            tasks = p->stretches * p->blocks;
    bool summed = convti_outer_parts_size(p, g, call->n) > 0;
    _Atomic int64_t *queue = convti_queue(call->team);
    for (int64_t i; (i = convti_next(queue)) < parts * tasks;) {
        int64_t part = i / tasks, stretch = i % tasks / p->blocks, block = i % p->blocks;
        struct task task = {p->items * stretch / p->stretches,
                            p->items * (stretch + 1) / p->stretches,
                            p->strips * block / p->blocks,
                            p->strips * (block + 1) / p->blocks,
                            chunks * part / parts,
                            chunks * (part + 1) / parts};
        run_task(call, &desk, task,
                 p->apart ? desk.sums
                 : summed ? call->parts + part * convti_outer_sums(p, g)
                          : call->dw);
        if (p->apart) transpose_sums(call, task, desk.sums);
    }
    if (summed) {
        convti_wait(call->team);
        add_parts(call, parts);
    }
}
