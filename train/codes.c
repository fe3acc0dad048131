/*
 * Learned inputs: one code of D numbers for every sample.
 *
 *     start   code = standardized (target of the sample x random matrix)
 *             component 0 = 1 with fix_first
 *     step    code -= learning_rate * d(loss of the sample) / d(code)
 *
 * Means and deviations are sums over the samples of each leaf, which their owner adds up, and then over
 * the leaves in their order, which rank 0 does: the same for any number of ranks.
 *
 * The loss of a sample is its own mean over elements: what dx of a batch holds, times the size of
 * the batch.
 */
#include "codes.h"

#include <math.h>
#include <string.h>

#include "alloc.h"
#include "pieces.h"
#include "rng.h"
#include "status.h"
#include "team.h"
#include "trainer.h"

static int64_t code_size(const convt_codes *codes)
{
    return codes->values.h * codes->values.w * codes->values.c;
}

static void *code_of(const convt_codes *codes, int64_t sample)
{
    return convti_element(codes->values.data, codes->values.dtype, sample * code_size(codes));
}

/* ---- in training ----------------------------------------------------------------------------- */

convt_status convti_codes_check(const convt_codes *codes, int64_t count, convt_dtype dtype,
                                convt_shape input, convt_error *err)
{
    const convt_view v = codes->values;
    if (v.dtype != dtype)
        return convti_fail(err, CONVT_INVALID_SHAPE, "codes.values",
                           "must be float%d as the model is", dtype == CONVT_FLOAT32 ? 32 : 64);
    if (v.n != count || v.h != input.h || v.w != input.w || v.c != input.c)
        return convti_fail(err, CONVT_INVALID_SHAPE, "codes.values",
                           "expected (%lld, %lld, %lld, %lld): an input of the model for each "
                           "sample, got (%lld, %lld, "
                           "%lld, %lld)",
                           (long long)count, (long long)input.h, (long long)input.w,
                           (long long)input.c, (long long)v.n, (long long)v.h, (long long)v.w,
                           (long long)v.c);
    if (!convti_aligned(v.data, dtype))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "codes.values",
                           "lie at %p, where no float%d can lie", v.data,
                           dtype == CONVT_FLOAT32 ? 32 : 64);
    if (!isfinite(codes->learning_rate))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "codes.learning_rate",
                           "must be finite, got %g", codes->learning_rate);
    return CONVT_OK;
}

void convti_codes_gather(const convt_codes *codes, const int64_t *index, int64_t n, convt_view x)
{
    const size_t bytes = (size_t)code_size(codes) * convti_element_bytes(x.dtype);
    for (int64_t k = 0; k < n; k++)
        memcpy((unsigned char *)x.data + (size_t)k * bytes, code_of(codes, index[k]), bytes);
}

void convti_codes_step(const convt_codes *codes, convti_samples samples, int64_t batch,
                       const void *dx)
{
    const bool f32 = codes->values.dtype == CONVT_FLOAT32;
    const int64_t size = code_size(codes), first = codes->fix_first ? 1 : 0;
    const size_t bytes = (size_t)size * convti_element_bytes(codes->values.dtype);
    const double rate = codes->learning_rate * (double)batch;
    for (int64_t k = 0; k < samples.count; k++) {
        void *code = code_of(codes, convti_sample(samples, k));
        const void *slope = (const unsigned char *)dx + (size_t)k * bytes;
        if (f32)
            convti_codes_descend_f32(code, slope, first, size, rate);
        else
            convti_codes_descend_f64(code, slope, first, size, rate);
    }
}

/* ---- between ranks --------------------------------------------------------------------------- */

/* Tags of messages; those of rows and reports come before. */
enum { CODES_TAG = 32000, SUMS_TAG };

static size_t code_bytes(const convt_codes *codes)
{
    return (size_t)code_size(codes) * convti_element_bytes(codes->values.dtype);
}

size_t convti_codes_parcel(const convt_codes *codes)
{
    const size_t bytes = code_bytes(codes);
    return bytes > CONVTI_PARCEL ? bytes : CONVTI_PARCEL / bytes * bytes;
}

/* One message from one rank to another, waited for. */
static convt_status pass(convt_trainer *t, int from, int to, int tag, void *data, size_t bytes)
{
    const convt_exchange *e = &t->cfg.exchange;
    int request = 0;
    convt_status status = t->cut.rank == from
                              ? e->send(e->context, to, tag, data, bytes, &request)
                              : e->receive(e->context, from, tag, data, bytes, &request);
    return convti_exchanged(t, status ? status : e->wait(e->context, request));
}

static convt_status broadcast(convt_trainer *t, void *data, size_t bytes)
{
    const convt_exchange *e = &t->cfg.exchange;
    int request = 0;
    convt_status status = e->broadcast(e->context, data, bytes, &request);
    return convti_exchanged(t, status ? status : e->wait(e->context, request));
}

/* Copies codes of runs between the data and the parcel until it is full; returns the bytes. */
static size_t fill_parcel(convt_trainer *t, convti_runs *runs, bool out)
{
    const convt_codes *codes = &t->cfg.codes;
    const size_t bytes = code_bytes(codes), room = convti_codes_parcel(codes);
    size_t at = 0;
    while (at + bytes <= room && (runs->count > 0 || convti_cut_next(&t->cut, runs))) {
        const int64_t fit = (int64_t)((room - at) / bytes);
        const int64_t n = runs->count < fit ? runs->count : fit;
        void *code = code_of(codes, runs->first), *place = t->parcel + at;
        memcpy(out ? place : code, out ? code : place, (size_t)n * bytes);
        at += (size_t)n * bytes;
        runs->first += n;
        runs->count -= n;
    }
    return at;
}

/* Where the runs of a parcel end is known to both sides. */
static convt_status collect_from(convt_trainer *t, int rank)
{
    const convti_cut *cut = &t->cut;
    const bool sender = cut->rank == rank;
    convti_runs runs = {.begin = convti_cut_begin(cut, rank),
                        .end = convti_cut_begin(cut, rank + 1)};
    convt_status status = CONVT_OK;
    while (!status) {
        convti_runs before = runs;
        const size_t bytes = fill_parcel(t, &runs, true);
        if (bytes == 0) break;
        status = pass(t, rank, 0, CODES_TAG, t->parcel, bytes);
        if (!status && !sender) fill_parcel(t, &before, false);
    }
    return status;
}

convt_status convti_codes_collect(convt_trainer *t)
{
    const int self = t->cut.rank;
    convt_status status = CONVT_OK;
    if (!t->parcel) return CONVT_OK;
    for (int rank = 1; rank < t->cut.size && !status; rank++)
        if (self == 0 || self == rank) status = collect_from(t, rank);
    return status;
}

/* ---- the start ------------------------------------------------------------------------------- */

enum {
    CHUNK_BYTES = 1 << 20,
    MOST_CHUNK = 1024,
    STREAM = 0x636f6465 /* "code": apart from what else a seed is used for */
};

struct start {
    convt_trainer *trainer;
    const convt_codes *codes;
    int64_t elements, components, panels, chunk;
    bool f32;
    int threads;
    void *matrix, *samples;
    int64_t *index; /* of the samples of a chunk */
    uint64_t seed;
    double *sum;   /* of every component, by leaf */
    double *total; /* over the leaves */
    double *mean;  /* of every component */
};

static void fill_panel(void *work, int64_t p)
{
    const struct start *s = work;
    if (s->f32)
        convti_codes_matrix_f32(s->seed, p, s->elements, s->components, s->matrix);
    else
        convti_codes_matrix_f64(s->seed, p, s->elements, s->components, s->matrix);
}

static void project_sample(void *work, int64_t k)
{
    const struct start *s = work;
    const void *sample = convti_element(s->samples, s->codes->values.dtype, k * s->elements);
    void *code = code_of(s->codes, s->index[k]);
    if (s->f32)
        convti_codes_project_f32(sample, s->elements, s->matrix, s->components, code);
    else
        convti_codes_project_f64(sample, s->elements, s->matrix, s->components, code);
}

/* The next own samples; 0 behind the last ones. */
static int64_t next_chunk(const struct start *s, convti_runs *runs)
{
    int64_t n = 0;
    while (n < s->chunk && (runs->count > 0 || convti_cut_next(&s->trainer->cut, runs))) {
        s->index[n++] = runs->first++;
        runs->count--;
    }
    return n;
}

static convti_runs own_runs(const convt_trainer *t)
{
    return (convti_runs){.begin = t->cut.begin, .end = t->cut.end};
}

static convt_status project_own(struct start *s)
{
    const convt_dataset *data = &s->trainer->cfg.data;
    const convt_shape shape = s->trainer->label;
    convti_runs runs = own_runs(s->trainer);
    for (int64_t n; (n = next_chunk(s, &runs)) > 0;) {
        const convt_view y = {s->samples, s->codes->values.dtype, n, shape.h, shape.w, shape.c};
        convt_status status = data->gather(data->context, s->index, n, CONVT_NONE, y);
        if (status)
            return convti_fail(&s->trainer->error, status, "data.gather",
                               "samples could not be read: %s", convt_status_text(status));
        convti_team_each(s->threads, n, project_sample, s);
    }
    return CONVT_OK;
}

/* Sums of c - mean, or of its square, over the samples of own leaves; mean 0 at first. */
struct moment {
    const struct start *start;
    bool squares;
};

static void sum_component(void *work, int64_t d)
{
    const struct moment *moment = work;
    const struct start *s = moment->start;
    const convt_trainer *t = s->trainer;
    for (int64_t leaf = t->cut.begin; leaf < t->cut.end; leaf++) {
        convti_runs runs = {.begin = leaf, .end = leaf + 1};
        double *sum = &s->sum[leaf * s->components + d];
        for (*sum = 0; convti_cut_next(&t->cut, &runs);) {
            const void *code = code_of(s->codes, runs.first);
            if (s->f32)
                convti_codes_moment_f32(code, runs.count, s->components, d, s->mean[d],
                                        moment->squares, sum);
            else
                convti_codes_moment_f64(code, runs.count, s->components, d, s->mean[d],
                                        moment->squares, sum);
        }
    }
}

/* total = the mean over all samples, on every rank. */
static convt_status sum_up(struct start *s, bool squares)
{
    convt_trainer *t = s->trainer;
    const convti_cut *cut = &t->cut;
    const size_t row = (size_t)s->components * sizeof *s->sum;
    convt_status status = CONVT_OK;
    convti_team_each(s->threads, s->components, sum_component, &(struct moment){s, squares});
    for (int64_t leaf = 0; leaf < cut->leaves && !status; leaf++) {
        const int owner = convti_cut_owner(cut, leaf);
        if (owner != 0 && (cut->rank == 0 || cut->rank == owner))
            status = pass(t, owner, 0, SUMS_TAG, s->sum + leaf * s->components, row);
    }
    for (int64_t d = 0; d < s->components && !status; d++) {
        s->total[d] = 0;
        for (int64_t leaf = 0; leaf < cut->leaves; leaf++)
            s->total[d] += s->sum[leaf * s->components + d];
        s->total[d] /= (double)t->cfg.data.count;
    }
    return !status && convti_shared(t) ? broadcast(t, s->total, row) : status;
}

static void scale_component(void *work, int64_t d)
{
    const struct start *s = work;
    convti_runs runs = own_runs(s->trainer);
    const double deviation = sqrt(s->total[d]);
    /* Equal samples differ from their mean by its rounding alone, which must not be blown up. */
    const double scale = deviation > 1e-12 * fabs(s->mean[d]) ? 1 / deviation : 0;
    const bool fixed = s->codes->fix_first && d == 0;
    while (convti_cut_next(&s->trainer->cut, &runs)) {
        void *code = code_of(s->codes, runs.first);
        if (s->f32)
            convti_codes_scale_f32(code, runs.count, s->components, d, s->mean[d], scale, fixed);
        else
            convti_codes_scale_f64(code, runs.count, s->components, d, s->mean[d], scale, fixed);
    }
}

static convt_status standardize(struct start *s)
{
    memset(s->mean, 0, (size_t)s->components * sizeof *s->mean);
    convt_status status = sum_up(s, false);
    if (status) return status;
    memcpy(s->mean, s->total, (size_t)s->components * sizeof *s->mean);
    status = sum_up(s, true);
    if (!status) convti_team_each(s->threads, s->components, scale_component, s);
    return status;
}

/* What the projection works with. */
static struct start start_of(convt_trainer *t)
{
    const convt_codes *codes = &t->cfg.codes;
    const int64_t real = (int64_t)convti_element_bytes(codes->values.dtype);
    struct start s = {.trainer = t,
                      .codes = codes,
                      .elements = t->label.h * t->label.w * t->label.c,
                      .components = code_size(codes),
                      .chunk = 1,
                      .f32 = codes->values.dtype == CONVT_FLOAT32,
                      .threads = t->tree.threads,
                      .seed = convti_mix(t->cfg.seed, STREAM)};
    s.panels = (s.components - 1) / CONVTI_PANEL + 1;
    while (s.chunk < MOST_CHUNK && s.elements <= CHUNK_BYTES / real / (2 * s.chunk)) s.chunk *= 2;
    return s;
}

static bool take_scratch(struct start *s, convti_arena *arena, convti_size *size)
{
    const size_t real = convti_element_bytes(s->codes->values.dtype);
    int64_t matrix, sums;
    const bool fits = convti_count(s->panels, CONVTI_PANEL, s->elements, 1, &matrix) &&
                      convti_count(s->trainer->cut.leaves, s->components, 1, 1, &sums);
    const size_t at_matrix = convti_size_add(size, fits ? matrix : -1, real);
    const size_t at_samples = convti_size_add(size, s->chunk * s->elements, real);
    const size_t at_index = convti_size_add(size, s->chunk, sizeof *s->index);
    const size_t at_sum = convti_size_add(size, fits ? sums : -1, sizeof *s->sum);
    const size_t at_total = convti_size_add(size, s->components, sizeof *s->total);
    const size_t at_mean = convti_size_add(size, s->components, sizeof *s->mean);
    if (!convti_arena_take(arena, &s->trainer->cfg.allocator, size)) return false;
    s->matrix = convti_arena_at(arena, at_matrix);
    s->samples = convti_arena_at(arena, at_samples);
    s->index = convti_arena_at(arena, at_index);
    s->sum = convti_arena_at(arena, at_sum);
    s->total = convti_arena_at(arena, at_total);
    s->mean = convti_arena_at(arena, at_mean);
    return true;
}

convt_status convt_codes_start(convt_trainer *trainer)
{
    convti_size size = {0};
    convti_arena arena;
    convti_clear(&trainer->error);
    if (!trainer->cfg.codes.values.data)
        return convti_fail(&trainer->error, CONVT_INVALID_ARGUMENT, "codes.values",
                           "data is NULL: no codes are learned");
    struct start s = start_of(trainer);
    if (!take_scratch(&s, &arena, &size))
        return size.overflow
                   ? convti_fail(&trainer->error, CONVT_TOO_LARGE, "codes.values",
                                 "the projection exceeds what can be addressed")
                   : convti_fail(&trainer->error, CONVT_NO_MEMORY, "codes.values",
                                 "the projection needs %zu bytes", convti_size_total(&size));
    convti_team_each(s.threads, s.panels, fill_panel, &s);
    convt_status status = convti_agree(trainer, project_own(&s));
    if (!status) status = standardize(&s);
    convti_arena_release(&arena);
    return status ? status : convti_codes_collect(trainer);
}
