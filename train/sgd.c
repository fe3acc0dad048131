/*
 * SGD over a list of parameters, one step for all of them, as Keras' SGD:
 *
 *     norms of the gradients, where they are clipped by one
 *     every piece: gradient, weight decay, update, average (real/sgd.c)
 *     constraints, iterations += 1
 *
 * The learning rate is the schedule's at the number of steps done. Velocities, averages and
 * accumulators lie in one arena. Norms are summed in double, over a piece and then over the pieces
 * in order.
 */
#include "sgd.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "pieces.h"
#include "status.h"
#include "team.h"

enum { PARALLEL_FROM = 4 }; /* pieces; below, waking the threads costs more than the update */

/* ---- rows ------------------------------------------------------------------------------------ */

static bool same_shape(convt_view a, convt_view b)
{
    return a.dtype == b.dtype && a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}

static convt_status check_rows(const convt_parameter rows[], int count, convt_error *err)
{
    if (count < 0 || (count > 0 && !rows))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, count < 0 ? "count" : "rows",
                           "there is no list of %d rows", count);
    for (int i = 0; i < count; i++) {
        const convt_parameter *row = &rows[i];
        const char *owner = row->owner ? row->owner : "", *name = row->name ? row->name : "";
        int64_t size;
        if (!row->trainable) continue;
        if (!convti_count(row->value.n, row->value.h, row->value.w, row->value.c, &size) ||
            (size > 0 && !row->value.data))
            return convti_fail(err, CONVT_INVALID_SHAPE, "rows", "row %d (%s/%s) has no value", i,
                               owner, name);
        if (!same_shape(row->value, row->gradient) || (size > 0 && !row->gradient.data))
            return convti_fail(err, CONVT_INVALID_SHAPE, "rows",
                               "row %d (%s/%s) has no gradient of its own shape and dtype", i,
                               owner, name);
        if (!convti_aligned(row->value.data, row->value.dtype) ||
            !convti_aligned(row->gradient.data, row->value.dtype))
            return convti_fail(err, CONVT_INVALID_ARGUMENT, "rows",
                               "row %d (%s/%s) lies at %p and %p, where no float%d can lie", i,
                               owner, name, row->value.data, row->gradient.data,
                               row->value.dtype == CONVT_FLOAT64 ? 64 : 32);
    }
    return CONVT_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_on(convt_optional clip)
{
    return clip.set && clip.value > 0;
}

static bool clips_by_norm(const convt_sgd_config *cfg)
{
    return is_on(cfg->clipnorm) || is_on(cfg->global_clipnorm);
}

static bool has_velocity(const convt_sgd_config *cfg)
{
    return cfg->momentum > 0;
}

static bool has_average(const convt_sgd_config *cfg)
{
    return cfg->use_ema;
}

static bool has_accumulator(const convt_sgd_config *cfg)
{
    return cfg->gradient_accumulation_steps > 0;
}

static const struct slot {
    const char *name;
    bool (*wanted)(const convt_sgd_config *cfg);
} slots[CONVTI_SLOTS] = {
    [CONVTI_VELOCITY] = {"velocity", has_velocity},
    [CONVTI_AVERAGE] = {"average", has_average},
    [CONVTI_ACCUMULATOR] = {"accumulator", has_accumulator},
};

const char *convti_slot_name(int slot)
{
    return slots[slot].name;
}

struct offsets {
    size_t sgd, rows, clips, squares, slot[CONVTI_SLOTS];
};

/* Everything but the slots' tensors. */
static struct offsets measure(const convt_sgd_config *cfg, const convt_parameter rows[], int count,
                              convti_size *size)
{
    int64_t trainable = 0, pieces = 0;
    for (int i = 0; i < count; i++) {
        if (!rows[i].trainable) continue;
        trainable++;
        pieces += convti_piece_count(&rows[i], 1);
    }
    struct offsets at;
    at.sgd = convti_size_add(size, 1, sizeof(convt_sgd));
    at.rows = convti_size_add(size, trainable, sizeof(convt_parameter));
    at.clips = convti_size_add(size, clips_by_norm(cfg) ? trainable : 0, sizeof(convti_clip));
    at.squares = convti_size_add(size, clips_by_norm(cfg) ? pieces : 0, sizeof(double));
    for (int s = 0; s < CONVTI_SLOTS; s++)
        at.slot[s] = convti_size_add(size, slots[s].wanted(cfg) ? trainable : 0, sizeof(void *));
    return at;
}

/* Adds (and, where tensors is given, places and clears) a tensor for every trainable row. */
static void add_tensors(const convti_arena *arena, void **tensors, const convt_parameter rows[],
                        int count, convti_size *size)
{
    for (int i = 0, kept = 0; i < count; i++) {
        if (!rows[i].trainable) continue;
        const size_t element = convti_element_bytes(rows[i].value.dtype);
        const size_t at = convti_size_add(size, convti_elements(&rows[i]), element);
        if (tensors) {
            tensors[kept] = convti_arena_at(arena, at);
            memset(tensors[kept], 0, (size_t)convti_elements(&rows[i]) * element);
        }
        kept++;
    }
}

static convt_sgd *move_in(const convti_arena *arena, const struct offsets *at,
                          const convt_sgd_config *cfg, const convt_parameter rows[], int count,
                          convti_size *size)
{
    convt_sgd *sgd = convti_arena_at(arena, at->sgd);
    *sgd = (convt_sgd){
        .arena = *arena,
        .cfg = *cfg,
        .threads = cfg->threads ? cfg->threads : omp_get_max_threads(),
        .rows = convti_arena_at(arena, at->rows),
        .clips = clips_by_norm(cfg) ? convti_arena_at(arena, at->clips) : NULL,
        .squares = clips_by_norm(cfg) ? convti_arena_at(arena, at->squares) : NULL,
    };
    for (int i = 0; i < count; i++)
        if (rows[i].trainable) sgd->rows[sgd->count++] = rows[i];
    for (int s = 0; s < CONVTI_SLOTS; s++) {
        if (!slots[s].wanted(cfg)) continue;
        sgd->slot[s] = convti_arena_at(arena, at->slot[s]);
        add_tensors(arena, sgd->slot[s], rows, count, size);
    }
    sgd->pieces = convti_piece_count(sgd->rows, sgd->count);
    return sgd;
}

convt_status convt_sgd_create(convt_sgd **out, const convt_sgd_config *cfg,
                              const convt_parameter rows[], int count, convt_error *err)
{
    convti_clear(err);
    if (!out) return convti_fail(err, CONVT_INVALID_ARGUMENT, "sgd", "is NULL");
    *out = NULL;
    if (!cfg) return convti_fail(err, CONVT_INVALID_ARGUMENT, "cfg", "is NULL");
    convt_status status = convti_sgd_check(cfg, "schedule", err);
    if (!status) status = check_rows(rows, count, err);
    if (status) return status;

    convti_size size = {0};
    const struct offsets at = measure(cfg, rows, count, &size);
    convti_size end = size;
    for (int s = 0; s < CONVTI_SLOTS; s++)
        if (slots[s].wanted(cfg)) add_tensors(NULL, NULL, rows, count, &end);
    convti_arena arena;
    if (end.overflow)
        return convti_fail(err, CONVT_TOO_LARGE, "rows",
                           "the optimizer's tensors exceed what can be addressed");
    if (!convti_arena_take(&arena, &cfg->allocator, &end))
        return convti_fail(err, CONVT_NO_MEMORY, "rows", "the optimizer needs %zu bytes",
                           convti_size_total(&end));
    *out = move_in(&arena, &at, cfg, rows, count, &size);
    return CONVT_OK;
}

void convt_sgd_destroy(convt_sgd *sgd)
{
    if (sgd) convti_arena_release(&sgd->arena);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static const struct real_code {
    double (*squares)(const convti_sgd_rule *rule, const convti_sgd_piece *piece);
    void (*advance)(const convti_sgd_rule *rule, const convti_sgd_piece *piece);
} real_codes[] = {
    [CONVT_FLOAT32] = {convti_sgd_squares_f32, convti_sgd_advance_f32},
    [CONVT_FLOAT64] = {convti_sgd_squares_f64, convti_sgd_advance_f64},
};

static convti_sgd_piece piece_at(const convt_sgd *sgd, int64_t index, const struct real_code **code)
{
    const convti_piece cut = convti_piece_at(sgd->rows, index);
    const convt_parameter *row = &sgd->rows[cut.row];
    const convt_dtype dtype = row->value.dtype;
    convti_sgd_piece piece = {
        .count = cut.count,
        .w = convti_element(row->value.data, dtype, cut.first),
        .g = convti_element(row->gradient.data, dtype, cut.first),
        .clip = sgd->clips ? &sgd->clips[cut.row] : NULL,
    };
    for (int s = 0; s < CONVTI_SLOTS; s++)
        if (sgd->slot[s]) piece.slot[s] = convti_element(sgd->slot[s][cut.row], dtype, cut.first);
    *code = &real_codes[dtype];
    return piece;
}

struct update {
    const convt_sgd *sgd;
    const convti_sgd_rule *rule;
};

static void square_piece(void *work, int64_t i)
{
    const struct update *update = work;
    const struct real_code *code;
    const convti_sgd_piece piece = piece_at(update->sgd, i, &code);
    update->sgd->squares[i] = code->squares(update->rule, &piece);
}

static void advance_piece(void *work, int64_t i)
{
    const struct update *update = work;
    const struct real_code *code;
    const convti_sgd_piece piece = piece_at(update->sgd, i, &code);
    code->advance(update->rule, &piece);
}

static void for_each_piece(const convt_sgd *sgd, const convti_sgd_rule *rule,
                           convti_team_item *item)
{
    convti_team_each(sgd->pieces >= PARALLEL_FROM ? sgd->threads : 1, sgd->pieces, item,
                     &(struct update){sgd, rule});
}

/* ---- clipping by a norm ---------------------------------------------------------------------- */

/* Of one row: g * c / max(norm, c), where a norm that is NaN wins. */
static convti_clip clip_row(double squares, double c)
{
    const double norm = sqrt(squares);
    return (convti_clip){c, norm <= c ? c : norm};
}

/* Of all rows: g * c * min(1 / norm, 1 / c), and NaN for everything where the norm is no number or
 * infinite. */
static convti_clip clip_all(double squares, double c)
{
    const double norm = sqrt(squares);
    return (convti_clip){c * fmin(1 / norm, 1 / c) + (norm - norm), 1};
}

static void find_clips(convt_sgd *sgd, const convti_sgd_rule *rule)
{
    const double *squares = sgd->squares;
    double all = 0;
    for_each_piece(sgd, rule, square_piece);
    for (int r = 0; r < sgd->count; r++) {
        double sum = 0;
        for (int64_t i = convti_piece_count(&sgd->rows[r], 1); i > 0; i--) sum += *squares++;
        sgd->clips[r] = clip_row(sum, sgd->cfg.clipnorm.value);
        all += sum;
    }
    for (int r = 0; r < sgd->count && is_on(sgd->cfg.global_clipnorm); r++)
        sgd->clips[r] = clip_all(all, sgd->cfg.global_clipnorm.value);
}

/* ---- the step -------------------------------------------------------------------------------- */

/* Schedules see calls; averages see updates, as Keras' `iterations` counts them. */
static convti_sgd_rule rule_of(const convt_sgd *sgd, convt_optional loss_scale)
{
    const convt_sgd_config *cfg = &sgd->cfg;
    const int64_t steps = has_accumulator(cfg) ? cfg->gradient_accumulation_steps : 1;
    const int64_t calls = convt_sgd_iterations(sgd), updates = calls / steps;
    const int64_t frequency = cfg->use_ema ? cfg->ema_overwrite_frequency : 0;
    const double ema_momentum = cfg->ema_momentum.set ? cfg->ema_momentum.value : 0.99;
    return (convti_sgd_rule){
        .updates = (calls + 1) % steps == 0,
        .overwrites = frequency > 0 && (updates + 1) % frequency == 0,
        .loss_scale = loss_scale,
        .clipvalue = {is_on(cfg->clipvalue), cfg->clipvalue.value},
        .weight_decay = cfg->weight_decay,
        .steps = (double)steps,
        .rate = convt_sgd_learning_rate(sgd),
        .momentum = cfg->momentum,
        .ema_momentum = updates > 0 ? ema_momentum : 0,
        .nesterov = cfg->nesterov,
    };
}

static void touch(const convt_parameter *row)
{
    if (row->version) *row->version += 1;
}

void convti_sgd_apply(convt_sgd *sgd, convt_optional loss_scale)
{
    const convti_sgd_rule rule = rule_of(sgd, loss_scale);
    if (sgd->clips && rule.updates) find_clips(sgd, &rule);
    for_each_piece(sgd, &rule, advance_piece);
    for (int i = 0; i < sgd->count; i++) {
        convt_constraint_apply(&sgd->rows[i]);
        if (rule.updates || rule.overwrites) touch(&sgd->rows[i]);
    }
    sgd->iterations += 1;
}

void convt_sgd_step(convt_sgd *sgd)
{
    convti_sgd_apply(sgd, sgd->cfg.loss_scale_factor);
}

void convt_sgd_finalize(convt_sgd *sgd)
{
    if (!sgd->cfg.use_ema || convt_sgd_iterations(sgd) == 0) return;
    for (int i = 0; i < sgd->count; i++) {
        const convt_parameter *row = &sgd->rows[i];
        memcpy(row->value.data, sgd->slot[CONVTI_AVERAGE][i],
               (size_t)convti_elements(row) * convti_element_bytes(row->value.dtype));
        touch(row);
    }
}

int64_t convt_sgd_iterations(const convt_sgd *sgd)
{
    return (int64_t)sgd->iterations;
}

double convt_sgd_learning_rate(const convt_sgd *sgd)
{
    return convt_schedule_rate(&sgd->cfg, convt_sgd_iterations(sgd));
}
