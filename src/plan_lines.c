/*
 * Lines: what they cost, and how a batch is cut.
 */
#include "plan.h"

#include "alloc.h"
#include "integer.h"

enum {
    MOST_SHIFTS = 64,       /* from the lowest to the highest: pads beside every row */
    MOST_POSITIONS = 288,   /* of a line */
    RING_BYTES = 192 << 10, /* lines of the target rows that are incomplete at a time */
    X_BYTES = 36 << 10,     /* a source row, or some of its channels: in L1 for all tiles */
    LEAST_ITEMS = 16,       /* work items, where the work is worth it */
    ITEM_FLOPS = 4 << 20
};

/* Taps of a phase, the lowest shift, and the step from one to the next: o + crop - t * dilation is
 * a multiple of the stride. */
static struct line_group group_of(const struct axis *w, int64_t phase)
{
    struct line_group group = {.phase = phase, .phases = 1};
    for (int64_t t = 0; t < w->kernel; t++) {
        int64_t reach = phase + w->crop - t * w->dilation;
        if (reach % w->stride != 0) continue;
        group.taps++;
        group.shift = reach / w->stride; /* ascending t, descending shifts */
    }
    return group;
}

static int64_t highest_shift(const struct line_group *group, int64_t step)
{
    return group->shift + (group->taps - 1) * step;
}

static int64_t shift_step(const struct axis *w)
{
    int64_t a = w->dilation, b = w->stride;
    while (b > 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return w->dilation / a;
}

static void make_groups(struct lines_plan *p)
{
    int64_t slot = 0, rows = p->h.kernel * p->filters * p->channels, packed = 0;
    bool any = false;
    for (int64_t phase = 0; phase < p->phases; phase++) {
        struct line_group fresh = group_of(&p->w, phase);
        struct line_group *last = p->groups > 0 ? &p->group[p->groups - 1] : NULL;
        fresh.slot = slot;
        fresh.packed = packed;
        slot += fresh.taps;
        packed += fresh.taps * rows;
        if (last && last->taps == fresh.taps && last->shift == fresh.shift)
            last->phases++;
        else
            p->group[p->groups++] = fresh;
        if (fresh.taps == 0) continue;
        int64_t high = highest_shift(&fresh, p->shift_step);
        p->low = any ? lesser(p->low, fresh.shift) : fresh.shift;
        p->high = any ? greater(p->high, high) : high;
        any = true;
    }
}

static int64_t row_lines(const struct lines_plan *p)
{
    return p->phases * p->filters;
}

/* Positions of a line: what the ring has room for. */
static int64_t most_positions(const struct lines_plan *p, int64_t size)
{
    int64_t room = RING_BYTES / size / (p->span * row_lines(p)) - p->lanes;
    return lesser(room, MOST_POSITIONS) / p->lanes * p->lanes;
}

static int64_t vectors_of(const struct lines_plan *p, const struct line_cuts *cuts, int64_t images)
{
    return images > 0 ? ceil_div((images - 1) * cuts->pitch + p->positions, p->lanes) : 0;
}

/* Images side by side such that the fewest vectors are empty: of endlessly many, then of n. Two
 * vectors, which share broadcasts, are better than one. */
static void join_images(struct line_cuts *cuts, const struct lines_plan *p, int64_t n, int64_t most)
{
    int64_t limit = 1, least = INT64_MAX;
    for (int64_t images = 1; images <= LEAST_ITEMS; images++) {
        const int64_t vectors = vectors_of(p, cuts, images);
        if (images > 1 && vectors * p->lanes > most) break;
        const int64_t now = vectors * limit, before = vectors_of(p, cuts, limit) * images;
        if (now < before || (now == before && vectors <= 2)) limit = images;
    }
    cuts->images = limit;
    for (int64_t images = 1; images <= lesser(limit, n); images++) {
        const int64_t all = n / images * vectors_of(p, cuts, images) +
                            vectors_of(p, cuts, n % images);
        if (all > least) continue;
        least = all;
        cuts->images = images;
    }
    cuts->vectors = vectors_of(p, cuts, cuts->images);
}

/* Segments of wide rows, or images side by side. */
static struct line_cuts cut_positions(const struct lines_plan *p, int64_t n, int64_t size)
{
    const int64_t most = most_positions(p, size);
    struct line_cuts cuts = {.images = 1, .segments = 1, .positions = p->positions};

    /* Wide enough that no image reads the pixels of another one. */
    cuts.pitch = greater(greater(p->positions, p->positions + p->high - greater(p->low, 0)),
                         lesser(p->w.in, p->positions + p->high) - p->low);
    if (p->positions > most) {
        cuts.segments = ceil_div(p->positions, most);
        cuts.vectors = ceil_div(ceil_div(p->positions, cuts.segments), p->lanes);
        cuts.positions = cuts.vectors * p->lanes;
        cuts.segments = ceil_div(p->positions, cuts.positions);
    } else {
        join_images(&cuts, p, n, most);
    }
    cuts.stride = (cuts.vectors + 1) * p->lanes;
    cuts.lead = (p->low % p->lanes + p->lanes) % p->lanes;
    cuts.x_stride = cuts.stride + ceil_div(cuts.lead + p->high - p->low, p->lanes) * p->lanes;
    return cuts;
}

/* Channels of x at a time: even parts of whole vectors. As for many images, so that the sums of an
 * image do not depend on how many there are. */
static int64_t cut_channels(const struct lines_plan *p, int64_t size)
{
    const int64_t all = p->channels, bytes = cut_positions(p, 0, size).x_stride * size;
    const int64_t parts = ceil_div(all * bytes, X_BYTES);
    return lesser(ceil_div(ceil_div(all, parts), p->lanes) * p->lanes, all);
}

/* Vectors of a tile, such that all tiles together wait least for loads: each loads its rows and its
 * vectors, which lie across two cache lines, once for rows x vectors multiplications. */
struct line_tiling convti_tile_lines(const struct tile_sizes *t, int64_t rows, int64_t vectors)
{
    struct line_tiling best = {.rows = rows};
    int64_t least = INT64_MAX;
    for (int64_t width = 1; width <= LINE_MAX_VECTORS; width++) {
        const int64_t across = ceil_div(vectors, width), down = ceil_div(rows, t->line_rows[width]);
        const int64_t loads = rows * across + 2 * vectors * down, latency = 8 * across * down;
        const int64_t cost = greater(rows * vectors / 2 + loads, latency);
        if (cost >= least) continue;
        least = cost;
        best.down = down;
        best.across = across;
    }
    return best;
}

struct line_cuts convti_cut_lines(const struct lines_plan *p, int64_t n, size_t real_size)
{
    struct line_cuts cuts = cut_positions(p, n, (int64_t)real_size);
    cuts.channels = cut_channels(p, (int64_t)real_size);
    cuts.parts = ceil_div(p->channels, cuts.channels);

    cuts.image_cuts = ceil_div(n, cuts.images);
    int64_t flops = 2 * p->h.kernel * p->w.kernel * p->channels * p->filters * p->h.in * p->w.in;
    int64_t worth = greater(n * greater(flops / 1024, 1) / (ITEM_FLOPS / 1024), 1);
    int64_t bands =
        ceil_div(lesser(LEAST_ITEMS, worth), greater(cuts.image_cuts * cuts.segments, 1));
    /* Both neighbours bring the source rows of a border into lines. */
    cuts.rows = greater(ceil_div(p->h.out, bands), lesser(3 * p->span, p->h.out));
    cuts.rows = ceil_div(cuts.rows, p->h.stride) * p->h.stride;
    cuts.bands = ceil_div(p->h.out, cuts.rows);
    return cuts;
}

void convti_cut_lines_for(struct lines_plan *p, int64_t n, size_t real_size)
{
    if (p->cut_for == n) return;
    p->cuts = convti_cut_lines(p, n, real_size);
    for (int g = 0; g < p->groups; g++)
        if (p->group[g].taps > 0)
            p->tiling[g] = convti_tile_lines(
                p->tiles, p->h.kernel * p->group[g].phases * p->filters, p->cuts.vectors);
    p->cut_for = n;
}

static void plan_scratch(struct lines_plan *p, size_t real_size)
{
    const struct line_cuts cuts = cut_positions(p, 0, (int64_t)real_size);
    convti_size size = {0};
    convti_size_add(&size, (p->span + 1) * row_lines(p) * cuts.stride, real_size);
    p->x = convti_size_add(&size, cut_channels(p, (int64_t)real_size) * cuts.x_stride, real_size);
    p->bytes = size.bytes;
}

static bool possible(const struct lines_plan *p, const struct geometry *g, int64_t size)
{
    return g->w.stride <= LINES_MAX_PHASES && g->h.in > 0 && g->w.in > 0 && g->h.out > 0 &&
           g->w.out > 0 && p->span <= RING_BYTES && row_lines(p) <= RING_BYTES &&
           most_positions(p, size) >= 2 * p->lanes;
}

/*
 * Multiplications of vectors for an image, and what else takes as long. Lines pay for loads that
 * few rows share, for bringing in x (a copy, or a transposition) and for interleaving.
 */
static double lines_cost(const struct lines_plan *p, int64_t size)
{
    const struct line_cuts cuts = cut_positions(p, 0, size);
    const double taps = (double)(p->h.kernel * p->w.kernel), filters = (double)p->filters;
    const double rows = (double)lesser(p->h.kernel * p->filters, 4);
    const double vectors = (double)p->h.in * (double)(cuts.vectors * cuts.segments) /
                           (double)cuts.images; /* of an image */
    const double products = vectors * taps * filters * (double)p->channels;
    const double bring = (p->channels_first ? 4 : 8) * vectors * (double)p->channels;
    const double store = 6 * (double)(p->h.out * p->w.out) * filters / (double)p->lanes;
    return products * 1.35 + products / rows + bring + store;
}

void convti_plan_lines(struct lines_plan *p, const struct geometry *g,
                       const struct tile_sizes *tiles, size_t real_size)
{
    int64_t size = (int64_t)real_size;
    *p = (struct lines_plan){.h = g->h,
                             .w = g->w,
                             .channels = g->channels,
                             .filters = g->filters,
                             .channels_first = g->channels_first,
                             .phases = lesser(g->w.stride, g->w.out),
                             .positions = ceil_div(g->w.out, g->w.stride),
                             .lanes = tiles->lanes,
                             .tiles = tiles};
    int64_t reach;
    if (__builtin_mul_overflow(g->h.kernel - 1, g->h.dilation, &reach)) return;
    p->span = reach + 1;
    p->shift_step = shift_step(&p->w);
    if (!possible(p, g, size)) return;
    make_groups(p);
    p->possible = p->high - p->low <= MOST_SHIFTS;
    p->cost = lines_cost(p, size);
    if (p->possible) plan_scratch(p, real_size);
}
