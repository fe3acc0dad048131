/*
 * What a layer's plans come to, in words: a line for each subject, "forward: ...". Read from the same
 * plans that the passes follow; a formulation that is added says here, in a function of its own, what it
 * does and why it was chosen.
 */
#include <stdarg.h>
#include <stdio.h>

#include "layer.h"
#include "names.h"

/* Text that may not fit: its length is counted all the same. */
struct page {
    char *text;
    size_t size, length;
};

static void say(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct page *page, const char *format, ...)
{
    const size_t used = page->length < page->size ? page->length : page->size;
    va_list arguments;
    va_start(arguments, format);
    const int more =
        vsnprintf(page->text ? page->text + used : NULL, page->size - used, format, arguments);
    va_end(arguments);
    if (more > 0) page->length += (size_t)more;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static void explain_layer(struct page *page, const struct convt_layer *l)
{
    const struct geometry *g = &l->geometry;
    const struct tile_sizes *tiles = l->ops->tiles(l->kernels);
    say(page,
        "layer: (%lld, %lld, %lld) to (%lld, %lld, %lld) as height, width, channels; batches of up "
        "to %lld; %s, %s in memory\n",
        (long long)g->h.in, (long long)g->w.in, (long long)g->channels, (long long)g->y.h,
        (long long)g->y.w, (long long)g->y.c, (long long)l->cfg.max_batch,
        l->cfg.dtype == CONVT_FLOAT64 ? "float64" : "float32",
        g->channels_first ? "channels first" : "channels last");
    say(page, "kernels: %s, vectors of %d, register tiles of up to %d rows x %d vectors\n", l->isa,
        tiles->lanes, tiles->gemm_rows[tiles->vectors], tiles->vectors);
}

/* What a layer beyond Keras' does with its kernel. */
static void explain_kernel(struct page *page, const struct convt_layer *l)
{
    static const char *const orders[] = {
        [CONVT_KERNEL_CONV] = "stored as Conv2D's, (height, width, channels, filters), turned by "
                              "180 degrees",
        [CONVT_KERNEL_DENSE] = "stored as Dense's, (channels, filters)",
    };
    const char *order = orders[l->cfg.kernel_order];
    if (!order && !l->cfg.fixed) return;
    say(page, "kernel: %s%s%s%s\n", order ? order : "",
        order && convti_has_gradients(l)
            ? "; packing reads it in that order, and dw is turned into it at the end"
            : "",
        order && l->cfg.fixed ? "; " : "",
        l->cfg.fixed ? "fixed, as the bias: neither dw nor db" : "");
}

/* ---- gather: forward and dx ------------------------------------------------------------------ */

static void explain_panels(struct page *page, const struct gather_plan *p,
                           const struct tile_sizes *tiles, const char *columns, const char *k)
{
    if (p->dot)
        say(page,
            "dot products: the %lld %s are too few to fill vectors, so %s lie in vector lanes "
            "and are summed at the end; tiles of %d pixels x %lld %s%s",
            (long long)p->columns, columns, k, tiles->dot_rows[p->panel], (long long)p->panel,
            columns, p->most_taps > 1 ? ", in which neighbours in a row share what they read" : "");
    else
        say(page, "matrix products with %s in vector lanes; tiles of %d pixels x %lld vectors",
            columns, tiles->gemm_rows[p->panel / tiles->lanes], (long long)p->panel / tiles->lanes);
}

static void explain_gather(struct page *page, const struct convt_layer *l, const char *name,
                           const struct gather_plan *p, const char *columns, const char *k)
{
    const struct slabs s = convti_plan_slabs(p, l->cfg.max_batch, l->ops->real_size);
    const int64_t items = s.groups * s.phases_h * s.phases_w * s.image_cuts * s.row_cuts *
                          s.column_cuts;
    say(page, "%s: ", name);
    explain_panels(page, p, l->ops->tiles(l->kernels), columns, k);
    say(page,
        "; %lld x %lld classes of positions that meet the same taps, about %lld of %lld taps each; "
        "weights in %lld panel%s of %lld %s, %s; work of a full batch in %lld item%s of %lld "
        "image%s x %lld rows x %lld columns%s%s\n",
        (long long)p->h.count, (long long)p->w.count, (long long)p->met, (long long)p->taps,
        (long long)p->panels, plural(p->panels), (long long)p->panel, columns,
        s.resident   ? "which stay in the cache with a slab of the source"
        : s.streamed ? "each of which stays in the cache while the source streams by"
                     : "which stream by for every slab of the source",
        (long long)items, plural(items), (long long)s.images, plural(s.images), (long long)s.rows,
        (long long)s.columns, p->source_staged ? ", brought to channels last first" : "",
        p->target_staged ? ", brought to channels first at the end" : "");
}

/* ---- lines: forward with few filters --------------------------------------------------------- */

static void explain_lines(struct page *page, const struct convt_layer *l)
{
    const struct lines_plan *p = &l->lines;
    const struct line_cuts c = convti_cut_lines(p, l->cfg.max_batch, l->ops->real_size);
    const int64_t items = c.image_cuts * c.segments * c.bands;
    say(page,
        "forward: lines of target positions in vector lanes, because filters are few; %lld phase%s "
        "of the width in %d group%s that share every load of x, %lld target row%s open at a time; "
        "lines of %lld vector%s from %lld image%s, %lld of %lld channels at a time; work of a full "
        "batch in %lld item%s of %lld rows x %lld positions%s\n",
        (long long)p->phases, plural(p->phases), p->groups, plural(p->groups), (long long)p->span,
        plural(p->span), (long long)c.vectors, plural(c.vectors), (long long)c.images,
        plural(c.images), (long long)c.channels, (long long)p->channels, (long long)items,
        plural(items), (long long)c.rows, (long long)c.positions,
        p->channels_first ? "" : ", each source row transposed first");
}

/* ---- fold: forward with few filters over many channels ----------------------------------------- */

static void explain_fold(struct page *page, const struct convt_layer *l)
{
    const struct fold_plan *p = &l->fold;
    const struct tile_sizes *tiles = l->ops->tiles(l->kernels);
    const struct fold_cuts c = convti_cut_fold(p, l->cfg.max_batch);
    const int64_t items = c.image_cuts * c.bands, vectors = p->panel / tiles->lanes;
    say(page,
        "forward: a matrix product with the filters of all taps in vector lanes, because filters "
        "are few and channels many, then folded: each output adds up what its taps made; tiles of "
        "%d pixels x %lld vectors, weights in %lld panel%s of %lld of %lld columns; %lld source "
        "row%s "
        "multiplied at once, %lld kept; work of a full batch in %lld item%s of %lld image%s x %lld "
        "rows%s\n",
        tiles->gemm_rows[vectors], (long long)vectors, (long long)p->panels, plural(p->panels),
        (long long)p->panel, (long long)p->columns, (long long)p->group, plural(p->group),
        (long long)p->ring, (long long)items, plural(items), (long long)c.images, plural(c.images),
        (long long)c.rows,
        p->channels_first ? ", x brought to channels last first, y to channels first at the end"
                          : "");
}

/* ---- outer: dw ------------------------------------------------------------------------------- */

static void explain_outer(struct page *page, const struct convt_layer *l)
{
    const struct outer_plan *p = &l->outer;
    const int64_t parts = convti_outer_parts(p, &l->geometry, l->cfg.max_batch),
                  tasks = p->stretches * p->blocks;
    if (p->swapped)
        say(page,
            "dw: outer products with the filters of a kernel row's taps in vector lanes, because "
            "channels fill no vectors; tiles of %lld channels x %lld vectors",
            (long long)p->rows, (long long)p->vectors);
    else if (p->copied)
        say(page,
            "dw: outer products with channels in vector lanes; filters are few, so tiles are the "
            "taps of %lld kernel row%s x up to %lld vectors, over a padded copy of dz%s",
            (long long)p->together, plural(p->together), (long long)p->vectors,
            p->dz_cuts > 0 ? ", packed for every kernel row" : "");
    else
        say(page,
            "dw: outer products with channels in vector lanes; tiles of up to %lld filters of a "
            "tap x %lld vectors, dz %s",
            (long long)p->rows, (long long)p->vectors,
            p->dz_cuts > 0 ? "packed for every tap" : "read in place");
    say(page, "; chunks of up to %lld row%s of x, %s; %lld part%s x %lld task%s\n",
        (long long)p->chunk_rows, plural(p->chunk_rows),
        p->in_place ? "read in place" : "packed once for all tiles", (long long)parts,
        plural(parts), (long long)tasks, plural(tasks));
}

/* ---- sweep: dz and db ------------------------------------------------------------------------ */

static void explain_sweep(struct page *page, const struct convt_layer *l)
{
    const convt_activation *a = &l->cfg.activation;
    const char *name = convti_snake_name(CONVTI_ACTIVATIONS, (int)a->kind);
    const int64_t block = convti_sweep_block(&l->sweep, &l->geometry, l->cfg.max_batch);
    if (convti_needs_dz(l))
        say(page, "dz: one sweep for dz = dy * (%s)'%s, in blocks of %lld pixels%s\n",
            name ? name : "custom activation", l->cfg.fixed ? "" : " and db", (long long)block,
            l->needs_z ? "; z is what forward kept, or is computed again" : "");
    else if (l->cfg.fixed)
        say(page, "dz: is dy itself\n");
    else
        say(page, "dz: is dy itself; db in blocks of %lld pixels\n", (long long)block);
}

/* ---- memory and threads ---------------------------------------------------------------------- */

static void explain_memory(struct page *page, const struct convt_layer *l)
{
    const size_t real = l->ops->real_size;
    const bool train = !l->cfg.inference;
    say(page,
        "packing: %zu bytes of weights forward, %zu for dx, again after every change of the "
        "weights\n",
        (size_t)convti_packed_forward(l) * real, train ? (size_t)l->backward.packed * real : 0);
    say(page, "memory: %zu bytes, of them %zu for scratch of each of %d thread%s\n",
        convt_layer_bytes(l), l->scratch_stride, l->threads, plural(l->threads));
    say(page, "threads: %d for a full batch, 1 for passes of less than %.1f million operations\n",
        convti_threads(l, l->cfg.max_batch), l->region_flops * 1e-6);
}

size_t convt_layer_explain(const convt_layer *l, char *text, size_t size)
{
    struct page page = {text, size, 0};
    explain_layer(&page, l);
    explain_kernel(&page, l);
    switch (l->forward_by) {
    case BY_LINES: explain_lines(&page, l); break;
    case BY_FOLD: explain_fold(&page, l); break;
    case BY_GATHER: explain_gather(&page, l, "forward", &l->forward, "filters", "channels");
    }
    if (!l->cfg.inference) {
        explain_sweep(&page, l);
        explain_gather(&page, l, "dx", &l->backward, "channels", "filters");
        if (convti_has_gradients(l)) explain_outer(&page, l);
    }
    explain_memory(&page, l);
    return page.length;
}
