/*
 * gather: target[n, p, j] = bias[j] + sum over taps t of p, and k, of source[n, source(p, t), k] *
 * w[t, j, k]
 *
 * Work items are (group of panels, slab of the target). Within an item every pair of tap classes
 * (rows x columns of pixels that meet the same taps) is one matrix product over its pixels, counted
 * over images, rows and columns, so that tiles are full even on small maps; its taps become runs,
 * contiguous stretches of source and panel. Pixels are listed a chunk at a time, and a chunk meets
 * a block of k of every panel before the next one, so that both stay in the cache.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* Where a box of an image stack lies in memory, channels_last: whole in the tensor, or a copy. */
struct field {
    int64_t rows, columns, depth; /* an image's, a row's, a pixel's extent in memory */
    int64_t row0, column0;        /* the first that is there */
};

static int64_t field_at(const struct field *f, int64_t n, int64_t row, int64_t column)
{
    return ((n * f->rows + row - f->row0) * f->columns + column - f->column0) * f->depth;
}

/* The part of the target an item covers. Images count from n0 in both fields. */
struct item {
    const struct gather_call *call;
    int64_t n0, n1, r0, r1, c0, c1; /* images; rows and columns of the target */
    int64_t panel0, panel1;
    int64_t k0, k1;           /* of k: all of it, or what of the source is staged at a time */
    int64_t phase_h, phase_w; /* of the stride; -1: all */
    const real *source;
    real *target, *z;
    struct field from, to;
};

/* Memory of one thread. */
struct desk {
    struct run *runs;
    int64_t *from, *to; /* of the pixels of a chunk */
    real *source, *target;
};

/* A pair of classes: its pixels, counted (image, row, column), and its runs. */
struct pair {
    const struct tap_class *h, *w;
    int64_t q0, rows, p0, columns; /* of the classes within the slab */
    int64_t pixels;
    int64_t runs;
    bool shared; /* of dot: the pixels of a row share loads */
};

/* Pixels in order, one after another. */
struct cursor {
    int64_t n, q, c;
};

static struct desk desk_at(const struct gather_desk *at, void *memory)
{
    char *base = memory;
    return (struct desk){memory, (void *)(base + at->from), (void *)(base + at->to),
                         (void *)(base + at->source), (void *)(base + at->target)};
}

/* Runs along a kernel row join where neighbouring taps are neighbours in memory; none is longer
 * than a block of k. */
static int64_t make_runs(const struct item *it, const struct tap_class *h,
                         const struct tap_class *w, struct run *runs)
{
    const struct gather_plan *p = it->call->plan;
    const int64_t depth = it->k1 - it->k0;
    const bool joined = w->tap_step == 1 && depth == p->k;
    const int64_t length = joined ? w->taps * depth : depth;
    const int64_t part = length <= p->block_k ? length
                                              : ceil_div(length, ceil_div(length, p->block_k));
    int64_t count = 0;
    for (int64_t a = 0; a < h->taps; a++)
        for (int64_t b = 0; b < (joined ? w->taps > 0 : w->taps); b++)
            for (int64_t k = 0; k < length; k += part)
                runs[count++] = (struct run){
                    .a = (a * h->tap_step * it->from.columns + b * w->tap_step) * depth + k,
                    .b = ((h->slot + a) * p->kernel_w + w->slot + b) * p->k + it->k0 + k,
                    .k = lesser(part, length - k),
                    .taps = 1};
    return count;
}

/* Offsets of the next `count` pixels of the pair. */
static void list_pixels(const struct item *it, const struct pair *pair, struct cursor *at,
                        int64_t count, int64_t *from, int64_t *to)
{
    const struct tap_class *h = pair->h, *w = pair->w;
    const int64_t source_step = w->source_step * it->from.depth,
                  target_step = w->step * it->to.depth;
    while (count > 0) {
        const int64_t q = pair->q0 + at->q, c = pair->p0 + at->c;
        const int64_t stretch = lesser(count, pair->columns - at->c);
        int64_t s = pair->runs == 0 ? 0
                                    : field_at(&it->from, at->n, h->source + q * h->source_step,
                                               w->source + c * w->source_step);
        int64_t t = field_at(&it->to, at->n, h->first + q * h->step, w->first + c * w->step);
        for (int64_t i = 0; i < stretch; i++, s += source_step, t += target_step) {
            from[i] = s;
            to[i] = t;
        }
        from += stretch, to += stretch, count -= stretch, at->c += stretch;
        if (at->c < pair->columns) return;
        at->c = 0;
        if (++at->q < pair->rows) continue;
        at->q = 0;
        at->n++;
    }
}

/* Even shares: a last tile of one row would wait for its own sums. */
void FN(convti_run_tiles)(const struct kernels *kernels, const struct gather_block *block,
                          int64_t pixels)
{
    int64_t vectors = 1;
    while (vectors * kernels->tiles.lanes < block->columns) vectors++;
    const int64_t most = kernels->tiles.gemm_rows[vectors];
    if (pixels <= most) {
        kernels->gemm[vectors][pixels](block, 0, 1);
        return;
    }
    const int64_t tiles = ceil_div(pixels, most), rows = pixels / tiles, larger = pixels % tiles;
    if (larger > 0) kernels->gemm[vectors][rows + 1](block, 0, larger);
    kernels->gemm[vectors][rows](block, larger * (rows + 1), tiles - larger);
}

static void run_panels(const struct item *it, const struct desk *desk, int64_t runs, int64_t count,
                       bool first, bool last, int64_t pixels)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    for (int64_t panel = it->panel0; panel < it->panel1; panel++) {
        const int64_t column = panel * p->panel, shift = column - it->panel0 * p->panel;
        struct gather_block block = {
            .source = it->source,
            .panel = call->packed + column * p->taps * p->k,
            .bias = call->bias ? call->bias + column : NULL,
            .target = it->target + (call->channels_first ? shift : column),
            .z = it->z && last ? it->z + column : NULL,
            .from = desk->from,
            .to = desk->to,
            .runs = desk->runs + runs,
            .run_count = count,
            .columns = lesser(p->panel, p->columns - column),
            .add = !first,
            .finish = last && !call->channels_first ? call->finish : NULL,
        };
        FN(convti_run_tiles)(call->kernels, &block, pixels);
    }
}

/* A chunk meets the runs a block of k at a time. */
static void run_blocks(const struct item *it, const struct desk *desk, int64_t runs, int64_t pixels)
{
    const int64_t most = it->call->plan->block_k;
    int64_t run = 0;
    do {
        const int64_t first = run;
        for (int64_t k = 0; run < runs && (run == first || k + desk->runs[run].k <= most); run++)
            k += desk->runs[run].k;
        run_panels(it, desk, first, run - first, first == 0 && it->k0 == 0,
                   run == runs && it->k1 == it->call->plan->k, pixels);
    } while (run < runs);
}

/* ---- dot panels ------------------------------------------------------------------------------ */

/* Runs of neighbouring pixels that share loads: the taps of a kernel row that lie a pixel apart, some
 * at a time. */
static int64_t make_shared_runs(const struct item *it, const struct pair *pair, struct run *runs)
{
    const struct gather_plan *p = it->call->plan;
    const struct tap_class *h = pair->h, *w = pair->w;
    const int64_t apart = w->source_step / w->tap_step;
    int64_t count = 0;
    for (int64_t a = 0; a < h->taps; a++)
        for (int64_t first = 0; first < lesser(apart, w->taps); first++) {
            const int64_t all = ceil_div(w->taps - first, apart),
                          parts = ceil_div(all, p->most_taps);
            for (int64_t part = 0; part < parts; part++) {
                const int64_t tap = all * part / parts, b = first + tap * apart;
                runs[count++] =
                    (struct run){.a = (a * h->tap_step * it->from.columns + b * w->tap_step) * p->k,
                                 .b = ((h->slot + a) * p->kernel_w + w->slot + b) * p->k,
                                 .k = p->k,
                                 .taps = all * (part + 1) / parts - tap};
            }
        }
    return count;
}

/* Tiles in even shares of a stretch of pixels. */
static void dot_stretch(const struct item *it, const struct gather_block *block, int64_t first,
                        int64_t pixels)
{
    const struct kernels *kernels = it->call->kernels;
    dot_kernel *const *tile = kernels->dot[block->columns];
    const int64_t tiles = ceil_div(pixels, kernels->tiles.dot_rows[block->columns]);
    const int64_t rows = pixels / tiles, larger = pixels % tiles;
    if (larger > 0) tile[rows + 1](block, first, larger);
    tile[rows](block, first + larger * (rows + 1), tiles - larger);
}

/* Tiles that share loads end where a row of the target ends. */
static void dot_tiles(const struct item *it, const struct desk *desk, const struct pair *pair,
                      int64_t column, int64_t pixels)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    for (int64_t panel = it->panel0; panel < it->panel1; panel++) {
        const int64_t first = panel * p->panel, shift = first - it->panel0 * p->panel;
        const struct gather_block block = {
            .source = it->source,
            .panel = call->packed + first * p->taps * p->k,
            .bias = call->bias ? call->bias + first : NULL,
            .target = it->target + (call->channels_first ? shift : first),
            .z = it->z ? it->z + first : NULL,
            .from = desk->from,
            .to = desk->to,
            .runs = desk->runs,
            .run_count = pair->runs,
            .columns = lesser(p->panel, p->columns - first),
            .finish = call->channels_first ? NULL : call->finish,
            .column_step = p->taps * p->k,
            .tap_step = pair->shared ? pair->w->source_step / pair->w->tap_step * p->k : 0,
            .step = pair->w->source_step * p->k,
        };
        int64_t stretch = pair->shared ? lesser(pair->columns - column, pixels) : pixels;
        for (int64_t at = 0; at < pixels;
             at += stretch, stretch = lesser(pair->columns, pixels - at))
            dot_stretch(it, &block, at, stretch);
    }
}

/* ---- an item --------------------------------------------------------------------------------- */

static void run_pair(const struct item *it, const struct desk *desk, struct pair *pair)
{
    const struct gather_plan *p = it->call->plan;
    struct cursor at = {0, 0, 0};
    pair->shared = convti_shares_loads(p, pair->w);
    pair->runs = pair->shared ? make_shared_runs(it, pair, desk->runs)
                              : make_runs(it, pair->h, pair->w, desk->runs);
    pair->pixels = (it->n1 - it->n0) * pair->rows * pair->columns;
    const int64_t chunks = pair->pixels <= p->chunk ? 1 : ceil_div(pair->pixels, p->chunk);
    for (int64_t chunk = 1, done = 0, next; chunk <= chunks; chunk++, done = next) {
        next = chunk < chunks ? pair->pixels * chunk / chunks : pair->pixels;
        const int64_t count = next - done, column = at.c;
        list_pixels(it, pair, &at, count, desk->from, desk->to);
        for (int64_t i = count; i < count + GEMM_MAX_ROWS; i++) { /* the last tile looks ahead */
            desk->from[i] = desk->from[count - 1];
            desk->to[i] = desk->to[count - 1];
        }
        if (p->dot)
            dot_tiles(it, desk, pair, column, count);
        else
            run_blocks(it, desk, pair->runs, count);
    }
}

/* The members of a class in [low, high). */
static int64_t clip(const struct tap_class *c, int64_t low, int64_t high, int64_t *first)
{
    *first = 0;
    if (low <= c->first && c->first + (c->count - 1) * c->step < high) return c->count;
    *first = ceil_div(low - c->first, c->step);
    return lesser(ceil_div(high - c->first, c->step), c->count) - *first;
}

static bool in_phase(const struct tap_class *c, int64_t phase)
{
    return phase < 0 || c->first % c->step == phase;
}

static void run_item(const struct item *it, const struct desk *desk)
{
    const struct gather_plan *p = it->call->plan;
    for (int64_t i = 0; i < p->h.count; i++) {
        struct pair pair = {.h = &p->h.classes[i]};
        if (!in_phase(pair.h, it->phase_h)) continue;
        pair.rows = clip(pair.h, it->r0, it->r1, &pair.q0);
        for (int64_t j = 0; pair.rows > 0 && j < p->w.count; j++) {
            pair.w = &p->w.classes[j];
            if (!in_phase(pair.w, it->phase_w)) continue;
            pair.columns = clip(pair.w, it->c0, it->c1, &pair.p0);
            if (pair.columns > 0) run_pair(it, desk, &pair);
        }
    }
}

/* ---- channels_first: boxes copied with their axes exchanged ---------------------------------- */

/* Positions of the source that [low, high) of the target reads. */
static void source_span(const struct axis_plan *plan, int64_t low, int64_t high, int64_t *first,
                        int64_t *end)
{
    *first = INT64_MAX;
    *end = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const struct tap_class *c = &plan->classes[i];
        int64_t q0, count = clip(c, low, high, &q0);
        if (count <= 0 || c->taps == 0) continue;
        int64_t begin = c->source + q0 * c->source_step;
        *first = lesser(*first, begin);
        *end =
            greater(*end, begin + (count - 1) * c->source_step + (c->taps - 1) * c->tap_step + 1);
    }
    *first = lesser(*first, *end);
}

/* Rows of a box, or all of them as one where they follow one another. */
struct stretch {
    int64_t count, length;
};

static struct stretch join_rows(int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t width)
{
    return c1 - c0 == width ? (struct stretch){1, (r1 - r0) * width}
                            : (struct stretch){r1 - r0, c1 - c0};
}

static void stage_source(struct item *it, real *staged)
{
    const struct gather_plan *p = it->call->plan;
    const int64_t plane = p->axis_h.source * p->axis_w.source;
    int64_t r0, r1, c0, c1;
    source_span(&p->h, it->r0, it->r1, &r0, &r1);
    source_span(&p->w, it->c0, it->c1, &c0, &c1);
    it->from = (struct field){r1 - r0, c1 - c0, it->k1 - it->k0, r0, c0};
    it->source = staged;
    const struct stretch rows = join_rows(r0, r1, c0, c1, p->axis_w.source);
    for (int64_t n = it->n0; n < it->n1; n++)
        for (int64_t r = 0; r < rows.count; r++)
            it->call->kernels->transpose(
                it->k1 - it->k0, rows.length,
                it->call->source + (n * p->k + it->k0) * plane + (r0 + r) * p->axis_w.source + c0,
                plane, staged + field_at(&it->from, n - it->n0, r0 + r, c0), it->k1 - it->k0);
}

/* All of k, in even parts where the source is staged. */
static void run_depth(struct item *it, const struct desk *desk)
{
    const struct gather_plan *p = it->call->plan;
    const int64_t parts = ceil_div(p->k, p->depth);
    for (int64_t part = 0; part < parts; part++) {
        it->k0 = p->k * part / parts;
        it->k1 = p->k * (part + 1) / parts;
        if (p->source_staged) stage_source(it, desk->source);
        run_item(it, desk);
    }
}

/* The finished box to where channels come first. */
static void unstage(const struct item *it, real *out)
{
    const struct gather_plan *p = it->call->plan;
    const int64_t plane = p->axis_h.target * p->axis_w.target, columns = it->to.depth;
    const struct stretch rows = join_rows(it->r0, it->r1, it->c0, it->c1, p->axis_w.target);
    out += it->panel0 * p->panel * plane + it->r0 * p->axis_w.target + it->c0;
    for (int64_t n = it->n0; n < it->n1; n++)
        for (int64_t r = 0; r < rows.count; r++)
            it->call->kernels->transpose(
                rows.length, columns,
                it->target + field_at(&it->to, n - it->n0, it->r0 + r, it->c0), columns,
                out + n * p->columns * plane + r * p->axis_w.target, plane);
}

static void run_staged(struct item *it, const struct desk *desk)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    const int64_t depth = lesser(it->panel1 * p->panel, p->columns) - it->panel0 * p->panel;
    it->to = (struct field){it->r1 - it->r0, it->c1 - it->c0, depth, it->r0, it->c0};
    it->target = desk->target;
    run_depth(it, desk);
    if (call->z) unstage(it, call->z);
    if (call->finish)
        call->finish->f(&call->finish->params,
                        (it->n1 - it->n0) * it->to.rows * it->to.columns * depth, it->target,
                        it->target);
    unstage(it, call->target);
}

static void run_in_place(struct item *it, const struct desk *desk)
{
    const struct gather_call *call = it->call;
    const struct gather_plan *p = call->plan;
    it->to = (struct field){p->axis_h.target, p->axis_w.target, p->columns, 0, 0};
    const int64_t begin = field_at(&it->to, it->n0, 0, 0);
    it->target = call->target + begin;
    it->z = call->z ? call->z + begin : NULL;
    run_depth(it, desk);
}

void FN(convti_gather)(const struct gather_call *call)
{
    const struct gather_plan *p = call->plan;
    const struct slabs s = p->slabs; /* for all that the compiler knows, tiles may write to *p */
    const int64_t items = s.groups * s.phases_h * s.phases_w * s.image_cuts * s.row_cuts *
                          s.column_cuts;
    const struct desk desk = desk_at(&p->desk, call->scratch);
    _Atomic int64_t *queue = convti_queue(call->team);
    for (int64_t i; (i = convti_next(queue)) < items;) {
        const int64_t column = take_digit(&i, s.column_cuts), row = take_digit(&i, s.row_cuts),
                      image = take_digit(&i, s.image_cuts), phase_w = take_digit(&i, s.phases_w),
                      phase_h = take_digit(&i, s.phases_h), group = i;
        struct item it; /* not cleared first, which takes longer than a tile */
        it.call = call;
        it.n0 = image * s.images;
        it.n1 = lesser(it.n0 + s.images, call->n);
        it.r0 = row * s.rows;
        it.r1 = lesser(it.r0 + s.rows, p->axis_h.target);
        it.c0 = column * s.columns;
        it.c1 = lesser(it.c0 + s.columns, p->axis_w.target);
        it.panel0 = group * s.group;
        it.panel1 = lesser(it.panel0 + s.group, p->panels);
        it.phase_h = s.phases_h > 1 ? phase_h : -1;
        it.phase_w = s.phases_w > 1 ? phase_w : -1;
        it.from = (struct field){p->axis_h.source, p->axis_w.source, p->k, 0, 0};
        it.source = call->source + field_at(&it.from, it.n0, 0, 0);
        it.z = NULL;
        (call->channels_first ? run_staged : run_in_place)(&it, &desk);
    }
}
