/*
 * SGD over a list of parameters, one step for all of them, as Keras' SGD:
 *
 *     weight decay, update (real/sgd.c), constraints, iterations += 1.
 *
 * The learning rate is the schedule's at the number of steps done. Velocities lie in one arena.
 */
#include "sgd.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "pieces.h"
#include "status.h"

enum { PARALLEL_FROM = 4 }; /* pieces; below, waking the threads costs more than the update */

/* ---- what is refused ------------------------------------------------------------------------- */

static convt_status check_schedule(const convt_schedule *s, convt_error *err)
{
    switch ((int)s->kind) {
    case CONVT_CONSTANT_RATE: return CONVT_OK;
#define SCHEDULE(name, ...) case CONVT_##name:
#include "convt/schedules.def"
#undef SCHEDULE
        break;
    default:
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "schedule.kind",
                           "there is no schedule number %d", (int)s->kind);
    }
    const struct {
        const char *field;
        double value;
        bool fits;
        const char *demand;
    } checks[] = {
        {"schedule.decay_steps", s->decay_steps, s->decay_steps > 0, "greater than 0"},
        {"schedule.alpha", s->alpha, true, "finite"},
        {"schedule.warmup_target", s->warmup_target.set ? s->warmup_target.value : 0, true,
         "finite"},
        {"schedule.warmup_steps", s->warmup_steps, s->warmup_steps >= 0, "0 or more"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!isfinite(checks[i].value) || !checks[i].fits)
            return convti_fail(err, CONVT_INVALID_ARGUMENT, checks[i].field, "must be %s, got %g",
                               checks[i].demand, checks[i].value);
    return CONVT_OK;
}

static convt_status check_config(const convt_sgd_config *cfg, convt_error *err)
{
    const double rate = cfg->learning_rate.value, decay = cfg->weight_decay.value;
    if (cfg->learning_rate.set && !isfinite(rate))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "learning_rate", "must be finite, got %g",
                           rate);
    if (!(cfg->momentum >= 0 && cfg->momentum <= 1))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "momentum",
                           "must be between 0 and 1, got %g", cfg->momentum);
    if (cfg->weight_decay.set && !isfinite(decay))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "weight_decay", "must be finite, got %g",
                           decay);
    if (cfg->threads < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "threads", "must be 0 or more, got %d",
                           cfg->threads);
    return check_schedule(&cfg->schedule, err);
}

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
    }
    return CONVT_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct offsets {
    size_t sgd, rows, velocity;
};

static int trainable_rows(const convt_parameter rows[], int count)
{
    int trainable = 0;
    for (int i = 0; i < count; i++) trainable += rows[i].trainable;
    return trainable;
}

static struct offsets measure(const convt_sgd_config *cfg, const convt_parameter rows[], int count,
                              convti_size *size)
{
    const int trainable = trainable_rows(rows, count);
    struct offsets at;
    at.sgd = convti_size_add(size, 1, sizeof(convt_sgd));
    at.rows = convti_size_add(size, trainable, sizeof(convt_parameter));
    at.velocity = convti_size_add(size, cfg->momentum > 0 ? trainable : 0, sizeof(void *));
    return at;
}

/* Adds (and, where sgd is given, clears) the velocities of the trainable rows. */
static void add_velocities(convt_sgd *sgd, const convt_parameter rows[], int count,
                           convti_size *size)
{
    for (int i = 0, kept = 0; i < count; i++) {
        if (!rows[i].trainable) continue;
        const size_t element = convti_element_bytes(rows[i].value.dtype);
        const size_t at = convti_size_add(size, convti_elements(&rows[i]), element);
        if (sgd) {
            sgd->velocity[kept] = convti_arena_at(&sgd->arena, at);
            memset(sgd->velocity[kept], 0, (size_t)convti_elements(&rows[i]) * element);
        }
        kept++;
    }
}

convt_status convt_sgd_create(convt_sgd **out, const convt_sgd_config *cfg,
                              const convt_parameter rows[], int count, convt_error *err)
{
    convti_clear(err);
    if (!out) return convti_fail(err, CONVT_INVALID_ARGUMENT, "sgd", "is NULL");
    *out = NULL;
    if (!cfg) return convti_fail(err, CONVT_INVALID_ARGUMENT, "cfg", "is NULL");
    convt_status status = check_config(cfg, err);
    if (!status) status = check_rows(rows, count, err);
    if (status) return status;

    convti_size size = {0};
    const struct offsets at = measure(cfg, rows, count, &size);
    convti_size end = size;
    if (cfg->momentum > 0) add_velocities(NULL, rows, count, &end);
    convti_arena arena;
    if (end.overflow)
        return convti_fail(err, CONVT_TOO_LARGE, "rows",
                           "the velocities exceed what can be addressed");
    if (!convti_arena_take(&arena, &cfg->allocator, &end))
        return convti_fail(err, CONVT_NO_MEMORY, "rows", "the optimizer needs %zu bytes",
                           convti_size_total(&end));

    convt_sgd *sgd = convti_arena_at(&arena, at.sgd);
    *sgd = (convt_sgd){
        .arena = arena,
        .cfg = *cfg,
        .threads = cfg->threads ? cfg->threads : omp_get_max_threads(),
        .rows = convti_arena_at(&arena, at.rows),
        .velocity = cfg->momentum > 0 ? convti_arena_at(&arena, at.velocity) : NULL,
    };
    for (int i = 0; i < count; i++)
        if (rows[i].trainable) sgd->rows[sgd->count++] = rows[i];
    if (sgd->velocity) add_velocities(sgd, rows, count, &size);
    sgd->pieces = convti_piece_count(sgd->rows, sgd->count);
    *out = sgd;
    return CONVT_OK;
}

void convt_sgd_destroy(convt_sgd *sgd)
{
    if (sgd) convti_arena_release(&sgd->arena);
}

/* ---- the step -------------------------------------------------------------------------------- */

static void update_piece(const convt_sgd *sgd, const convti_sgd_rule *rule, int64_t index)
{
    const convti_piece piece = convti_piece_at(sgd->rows, index);
    const convt_parameter *row = &sgd->rows[piece.row];
    const convt_dtype dtype = row->value.dtype;
    void *w = convti_element(row->value.data, dtype, piece.first);
    const void *g = convti_element(row->gradient.data, dtype, piece.first);
    void *v = sgd->velocity ? convti_element(sgd->velocity[piece.row], dtype, piece.first) : NULL;
    if (dtype == CONVT_FLOAT32)
        convti_sgd_update_f32(rule, piece.count, w, g, v);
    else
        convti_sgd_update_f64(rule, piece.count, w, g, v);
}

void convt_sgd_step(convt_sgd *sgd)
{
    const convti_sgd_rule rule = {convt_sgd_learning_rate(sgd), sgd->cfg.momentum,
                                  sgd->cfg.nesterov, sgd->cfg.weight_decay};
    const int64_t pieces = sgd->pieces;
#pragma omp parallel for schedule(static) num_threads(sgd->threads) if (pieces >= PARALLEL_FROM)
    for (int64_t i = 0; i < pieces; i++) update_piece(sgd, &rule, i);

    for (int i = 0; i < sgd->count; i++) {
        convt_constraint_apply(&sgd->rows[i]);
        if (sgd->rows[i].version) *sgd->rows[i].version += 1;
    }
    sgd->iterations += 1;
}

int64_t convt_sgd_iterations(const convt_sgd *sgd)
{
    return (int64_t)sgd->iterations;
}

double convt_sgd_learning_rate(const convt_sgd *sgd)
{
    return convt_schedule_rate(&sgd->cfg, convt_sgd_iterations(sgd));
}
