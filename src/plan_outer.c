/*
 * Outer: choice of formulation, tile and cuts, by shape.
 *
 * Three formulations compete by what their inner loops cost:
 *
 *     taps     lanes: channels, rows: filters of one tap; pixels outside the output are left out
 *     windows  lanes: channels, rows: the filters of a kernel row's taps, which are contiguous
 *              without dilation, or of several kernel rows; for few filters
 *     swapped  lanes: the window, rows: channels; for channels that fill no vectors
 *
 * The last two read zeros where a window leaves the output.
 */
#include "plan.h"

#include "integer.h"

enum {
    LONG_PANEL_BYTES = 32 << 10, /* x of a chunk for one tile, where dw lies beyond L2: at least */
    MOST_PIXELS = 512,           /* of a chunk; more gains nothing */
    SHARED_PIXELS = 256,         /* of a chunk that is packed */
    COPY_BYTES = 128 << 10,      /* copies of dz for a chunk: stay in L2 */
    MOST_COPY_BYTES = 640 << 10, /* the same, where one row of x needs that much */
    LEAST_PIECE = 4,             /* pixels of a row whose copies need even more */
    SUMS_BYTES = 512 << 10,      /* dw of a task: stays in L2 */
    LEAST_SHARING = 4,           /* tiles that pay for packing x */
    DZ_BYTES = 160 << 10,        /* packed dz of a chunk: stays in L2 beside x */
    LEAST_VECTORS = 6,           /* of a task's channels that pay for packing dz: short rows join */
    ENOUGH_VECTORS = 12,         /* the same, whatever a row's length */
    PIXELS_A_VECTOR = 2,         /* of a row, for every vector that has to pay in between */
    SHARING_ROWS = 256,          /* of dw, in a task: what a visit of x is worth */
    MOST_TASKS = 32,             /* of all parts, swapped; more balance no better */
    WANTED_TASKS = 16,           /* of all parts: enough for 16 threads */
    LEAST_TASKS = 8,             /* the same, where every further one reads more */
    LEAST_SIDE = 48,             /* rows or channels of a task: what packing is worth */
    MOST_PARTS = 16,             /* sums of dw side by side, where one has too few tasks */
    PART_BYTES = 1 << 20         /* partial sums of dw, all parts together */
};

/* Of sums that are transposed in the end, and of dz that nothing fetches ahead; half cycles of a
 * pixel's window beside its tiles. */
static const double SWAP_COST = 1.15, VISIT_COST = 8;

enum formulation { TAPS, WINDOWS, SWAPPED, FORMULATIONS };

struct pixels convti_valid_pixels(const struct axis *a, int64_t t)
{
    int64_t shift = t * a->dilation - a->crop;
    return (struct pixels){ceil_div(-shift, a->stride),
                           lesser(ceil_div(a->out - shift, a->stride), a->in)};
}

/* All but a triangle at either end. */
double convti_pairs_inside(const struct axis *a)
{
    double s = (double)a->stride, d = (double)a->dilation, all = (double)a->kernel * (double)a->in;
    double before = (double)a->crop,
           behind = (double)(a->in - 1) * s + (double)(a->kernel - 1) * d - before - (double)a->out;
    behind = behind + 1 > 0 ? behind + 1 : 0;
    double lost = (before * (before + s) + behind * (behind + s)) / (2 * s * d);
    return lost < all ? all - lost : 0;
}

int64_t convti_outer_piece(const struct outer_plan *p, const struct geometry *g, int64_t pixels)
{
    if (pixels == 0) return 0;
    int64_t reach = (pixels - 1) * g->w.stride + (g->w.kernel - 1) * g->w.dilation + 1;
    return reach * g->filters + (p->swapped ? p->window_vectors * p->lanes - p->window : 0);
}

/* Half cycles a pixel of the tiles that cover rows x vectors: multiply-adds, two a cycle, or loads
 * where a tile is too small to hide them; and the turn of the loop. */
static double tiles_cost(const struct tile_sizes *sizes, int64_t rows, int64_t row_tiles,
                         int64_t vectors, int64_t panels)
{
    double tiles = (double)row_tiles * (double)panels, sums = (double)rows * (double)vectors,
           loads = ((double)rows * (double)panels + (double)row_tiles * (double)vectors) *
                   sizes->load_cost;
    return (sums > loads ? sums : loads) + tiles;
}

/* Windows that leave the output, or that a vector's tail leads beyond it. */
static void plan_edges(struct outer_plan *p, const struct geometry *g)
{
    const struct axis *w = &g->w;
    p->left = w->in;
    if (!p->swapped) return;
    int64_t tail = ceil_div(p->window_vectors * p->lanes - p->window, g->filters),
            last = w->out - 1 - tail + w->crop - (w->kernel - 1) * w->dilation;
    p->left = lesser(ceil_div(w->crop, w->stride), w->in);
    p->right = w->in - lesser(greater(last >= 0 ? last / w->stride + 1 : 0, p->left), w->in);
}

/* Half cycles of an image, beside what every formulation costs; negative: not possible. */
static double fill_in(struct outer_plan *p, const struct geometry *g,
                      const struct tile_sizes *tiles, enum formulation formulation,
                      int64_t together, int64_t vectors)
{
    bool wide = formulation != TAPS && g->w.dilation == 1;
    *p = (struct outer_plan){.lanes = tiles->lanes,
                             .swapped = formulation == SWAPPED,
                             .copied = formulation != TAPS,
                             .together = together,
                             .span = wide ? g->w.kernel : 1,
                             .bands = wide ? 1 : g->w.kernel};
    p->window = p->span * g->filters;
    p->window_vectors = ceil_div(p->window, p->lanes);
    p->channel_vectors = ceil_div(g->channels, p->lanes);
    int64_t rows = p->swapped ? g->channels : p->window,
            across = p->swapped ? p->window_vectors : p->channel_vectors,
            panels = ceil_div(across, vectors);
    p->vectors = ceil_div(across, panels);
    p->rows = tiles->outer_rows[together][p->vectors];
    if (p->rows == 0 || together > g->h.kernel) return -1;
    int64_t row_tiles = ceil_div(rows, p->rows);
    if (together > 1 && (formulation != WINDOWS || row_tiles > 1)) return -1;
    if (formulation == WINDOWS && g->filters >= p->rows) return -1;
    p->cuts_of_window = p->swapped ? panels : row_tiles;
    p->strips = p->swapped ? row_tiles : panels;
    p->items = ceil_div(g->h.kernel, together) * p->bands * p->cuts_of_window;

    double each = (tiles_cost(tiles, rows * together, row_tiles, across, panels) + VISIT_COST) /
                  (double)together;
    double high = together > 1 ? (double)g->h.kernel * (double)g->h.in : convti_pairs_inside(&g->h);
    double weights = (double)g->w_size / (double)p->lanes;
    if (formulation == TAPS) return high * convti_pairs_inside(&g->w) * each;
    plan_edges(p, g);
    double copies = (double)convti_outer_piece(p, g, p->left) +
                    (double)convti_outer_piece(p, g, p->right);
    double cost = high * (double)(g->w.in * p->bands) * each +
                  (double)g->h.in * (double)g->h.stride * (copies / (double)p->lanes * 4 + 60);
    return p->swapped ? SWAP_COST * cost + weights * 8 : cost;
}

/* Whether pieces of `width` bytes, `stride` bytes apart, push each other out of the cache: a power of two
 * in the stride leaves them few places. */
static bool crowded(const struct cache *cache, int64_t pieces, int64_t width, int64_t stride)
{
    const int64_t lines = ceil_div(width, LINE_BYTES), apart = common_divisor(stride, cache->way),
                  places = cache->way / greater(apart, LINE_BYTES),
                  room = places * lesser(lines, greater(apart / LINE_BYTES, 1)) * cache->ways;
    return pieces * lines > room;
}

/* Pixels of a chunk for one tile. */
static int64_t tile_pixels(const struct outer_plan *p, const struct geometry *g,
                           const struct tile_sizes *sizes, int64_t real)
{
    int64_t tiles = p->swapped ? p->strips : p->items;
    int64_t panel = p->swapped ? p->lanes * p->vectors : lesser(p->vectors * p->lanes, g->channels);
    int64_t room = g->w_size * real > SUMS_BYTES ? greater(LONG_PANEL_BYTES, sizes->outer_panel)
                                                 : sizes->outer_panel;
    return tiles == 1 ? MOST_PIXELS : lesser(room / (panel * real), MOST_PIXELS);
}

/* Packing x costs a visit; it pays where enough tiles share pixels that would not stay as they lie. */
static bool reads_in_place(const struct outer_plan *p, const struct geometry *g,
                           const struct tile_sizes *tiles, int64_t real)
{
    if (g->channels_first) return false;
    if (p->swapped) return true;
    if (g->channels % p->lanes != 0) return false;
    if (p->strips == 1 || p->items < LEAST_SHARING) return true;
    return !crowded(&tiles->outer_cache, lesser(tile_pixels(p, g, tiles, real), SHARED_PIXELS),
                    p->vectors * p->lanes * real, g->channels * real);
}

/* Rows of x, or pieces of one, whose x and copies of dz stay in the caches. False: no such. */
static bool plan_chunks(struct outer_plan *p, const struct geometry *g,
                        const struct tile_sizes *tiles, size_t real_size)
{
    int64_t real = (int64_t)real_size, pixels = tile_pixels(p, g, tiles, real);
    if (!p->in_place) pixels = lesser(pixels, SHARED_PIXELS);
    p->row_cuts = ceil_div(g->w.in, pixels + pixels / 2);
    p->chunk_rows = greater((pixels + g->w.in / 2) / g->w.in, 1);
    if (!p->copied) return true;
    int64_t reach = (g->h.kernel - 1) * g->h.dilation + 1;
    for (;;) {
        int64_t most = ceil_div(g->w.in, p->row_cuts);
        p->copy_size = convti_outer_piece(p, g, lesser(p->left, most)) +
                       convti_outer_piece(p, g, lesser(p->right, most));
        /* as many images as make the most of it: a gap between rows may be larger than the kernel */
        int64_t images = reach < g->h.stride ? ceil_div(p->chunk_rows, g->h.in)
                                             : ceil_div(p->chunk_rows - 1, g->h.in) + 1;
        p->copy_rows = (p->chunk_rows - images) * g->h.stride + images * reach;
        double bytes = (double)p->copy_rows * (double)p->copy_size * (double)real;
        if (bytes <= COPY_BYTES) return true;
        if (p->chunk_rows > 1)
            p->chunk_rows--;
        else if (bytes <= MOST_COPY_BYTES)
            return true;
        else if (most < 2 * LEAST_PIECE)
            return false;
        else
            p->row_cuts *= 2;
    }
}

/* Rows and channels of a task. */
static int64_t task_rows(const struct outer_plan *p)
{
    return ceil_div(p->items, p->stretches) * p->rows;
}

static int64_t task_channels(const struct outer_plan *p)
{
    return ceil_div(p->strips, p->blocks) * p->vectors * p->lanes;
}

/* Stretches of whole taps, so many that a task's rows are worth a visit of x. */
static int64_t cut_taps(const struct outer_plan *p)
{
    const int64_t taps = p->items / p->cuts_of_window;
    int64_t each = lesser(ceil_div(SHARING_ROWS, p->window), taps);
    while (taps % each != 0) each--;
    return taps / each;
}

/*
 * Tasks bring x for all their rows and dz for all their channels: rather few large ones, but enough for
 * many threads, and sums that stay in the cache. They are halved the longer way.
 */
static void halve_tasks(struct outer_plan *p, int64_t real)
{
    for (;;) {
        const int64_t rows = task_rows(p), channels = task_channels(p);
        if (p->stretches * p->blocks * p->most_parts >= LEAST_TASKS &&
            rows * channels * real <= SUMS_BYTES)
            return;
        if (rows >= channels && p->items >= 2 * p->stretches && rows >= 2 * LEAST_SIDE)
            p->stretches *= 2;
        else if (p->strips >= 2 * p->blocks && channels >= 2 * LEAST_SIDE)
            p->blocks *= 2;
        else
            return;
    }
}

/* Blocks of channels whose packed x stays in L2; every task of copied windows makes its own copies. */
static void plan_tasks(struct outer_plan *p, const struct geometry *g,
                       const struct tile_sizes *tiles, size_t real_size)
{
    int64_t pixels = p->chunk_rows * ceil_div(g->w.in, p->row_cuts), real = (int64_t)real_size;
    int64_t channels = greater(tiles->outer_block / (pixels * real), 1);
    p->blocks = lesser(ceil_div(g->channels, channels), p->strips);
    p->most_parts = clamp(PART_BYTES / real / convti_outer_sums(p, g), 1, MOST_PARTS);
    if (p->apart) {
        p->stretches = p->items / p->cuts_of_window;
    } else if (p->swapped) {
        int64_t block = ceil_div(g->channels, p->blocks);
        int64_t most = greater(SUMS_BYTES / (p->vectors * p->lanes * block * real), 1);
        int64_t tasks = ceil_div(MOST_TASKS, p->most_parts);
        int64_t each = greater(p->cuts_of_window, ceil_div(p->items * p->blocks, tasks));
        p->stretches = ceil_div(p->items, lesser(each, most));
    } else {
        p->stretches = p->copied ? 1 : cut_taps(p);
        halve_tasks(p, real);
    }
}

/*
 * The pixels of a tile's dz lie strides apart. dz is packed where enough channels meet it, and either
 * its pixels are crowded or its rows are so short, beside the channels, that one stretch of all pays.
 */
static void plan_dz(struct outer_plan *p, const struct geometry *g, const struct tile_sizes *tiles,
                    size_t real_size)
{
    const int64_t least = clamp(g->w.in / PIXELS_A_VECTOR, LEAST_VECTORS, ENOUGH_VECTORS);
    if (p->swapped || p->together > 1 || p->window < p->rows ||
        p->channel_vectors < least * p->blocks)
        return;
    const int64_t pixels = p->chunk_rows * ceil_div(g->w.in, p->row_cuts),
                  real = (int64_t)real_size;
    if (!crowded(&tiles->outer_cache, pixels, p->rows * real, g->w.stride * g->filters * real) &&
        p->channel_vectors < greater(g->w.in, ENOUGH_VECTORS) * p->blocks)
        return;
    p->dz_panel = pixels * p->rows + p->lanes; /* the last pixel is stored in whole vectors */
    const int64_t cuts = lesser(ceil_div(p->items, p->stretches), p->cuts_of_window);
    const int64_t most = greater(DZ_BYTES / (p->dz_panel * real), 1);
    p->dz_cuts = ceil_div(cuts, ceil_div(cuts, most));
}

/* Where roles are swapped even a single part has sums of its own, and pads. False: too many even
 * for one window. */
static bool plan_sums(struct outer_plan *p, const struct geometry *g, size_t real_size)
{
    const int64_t real = (int64_t)real_size;
    p->apart = p->swapped && convti_outer_sums(p, g) > PART_BYTES / real;
    return convti_outer_task_sums(p, g) <= SUMS_BYTES / real;
}

void convti_plan_outer(struct outer_plan *plan, const struct geometry *g,
                       const struct tile_sizes *tiles, size_t real_size)
{
    double least = -1;
    for (int f = TAPS; f < FORMULATIONS; f++)
        for (int together = 1; together <= OUTER_MAX_GROUPS; together++)
            for (int vectors = 1; vectors <= KERNEL_MAX_VECTORS; vectors++) {
                struct outer_plan p;
                double cost = fill_in(&p, g, tiles, (enum formulation)f, together, vectors);
                if (cost < 0 || (least >= 0 && cost >= least)) continue;
                p.in_place = reads_in_place(&p, g, tiles, (int64_t)real_size);
                if (!plan_sums(&p, g, real_size)) continue;
                if (!plan_chunks(&p, g, tiles, real_size)) continue;
                plan_tasks(&p, g, tiles, real_size);
                plan_dz(&p, g, tiles, real_size);
                *plan = p;
                least = cost;
            }
}

int64_t convti_outer_chunks(const struct outer_plan *p, const struct geometry *g, int64_t n)
{
    return ceil_div(n * g->h.in, p->chunk_rows) * p->row_cuts;
}

int64_t convti_outer_parts(const struct outer_plan *p, const struct geometry *g, int64_t n)
{
    int64_t wanted = ceil_div(WANTED_TASKS, p->stretches * p->blocks);
    return greater(lesser(lesser(wanted, p->most_parts), convti_outer_chunks(p, g, n)), 1);
}

int64_t convti_outer_sums(const struct outer_plan *p, const struct geometry *g)
{
    return p->swapped ? g->h.kernel * p->bands * g->channels * p->window_vectors * p->lanes
                      : g->w_size;
}

int64_t convti_outer_parts_size(const struct outer_plan *p, const struct geometry *g, int64_t n)
{
    int64_t parts = convti_outer_parts(p, g, n);
    return parts > 1 || (p->swapped && !p->apart) ? parts * convti_outer_sums(p, g) : 0;
}

int64_t convti_outer_task_sums(const struct outer_plan *p, const struct geometry *g)
{
    return p->apart ? g->channels * p->window_vectors * p->lanes : 0;
}
