/*
 * Learned inputs: one code of D numbers for every sample.
 *
 *     start   code = standardized (target of the sample x random matrix)
 *             component 0 = 1 with fix_first
 *     step    code -= learning_rate * d(loss of the sample) / d(code)
 *
 * The loss of a sample is its own mean over elements: what dx of a batch holds, times the size of
 * the batch.
 */
#include "codes.h"

#include <math.h>
#include <omp.h>
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

void convti_codes_step(const convt_codes *codes, convti_samples samples, const void *dx)
{
    const bool f32 = codes->values.dtype == CONVT_FLOAT32;
    const int64_t size = code_size(codes), first = codes->fix_first ? 1 : 0;
    const size_t bytes = (size_t)size * convti_element_bytes(codes->values.dtype);
    const double rate = codes->learning_rate * (double)samples.count;
    for (int64_t k = 0; k < samples.count; k++) {
        void *code = code_of(codes, convti_sample(samples, k));
        const void *slope = (const unsigned char *)dx + (size_t)k * bytes;
        if (f32)
            convti_codes_descend_f32(code, slope, first, size, rate);
        else
            convti_codes_descend_f64(code, slope, first, size, rate);
    }
}

/* ---- the start ------------------------------------------------------------------------------- */

enum {
    CHUNK_BYTES = 1 << 20,
    MOST_CHUNK = 1024,
    STREAM = 0x636f6465 /* "code": apart from what else a seed is used for */
};

struct start {
    const convt_codes *codes;
    const convt_dataset *data;
    convt_shape target;
    int64_t elements, components, panels, chunk;
    bool f32;
    int threads;
    void *matrix, *samples;
    int64_t *index; /* of the samples of a chunk */
    uint64_t seed;
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

static convt_status project_all(struct start *s, convt_error *err)
{
    for (int64_t first = 0; first < s->data->count; first += s->chunk) {
        const int64_t rest = s->data->count - first, n = rest < s->chunk ? rest : s->chunk;
        const convt_shape shape = s->target;
        const convt_view y = {s->samples, s->codes->values.dtype, n, shape.h, shape.w, shape.c};
        for (int64_t k = 0; k < n; k++) s->index[k] = first + k;
        convt_status status = s->data->gather(s->data->context, s->index, n, CONVT_NONE, y);
        if (status)
            return convti_fail(err, status, "data.gather", "samples could not be read: %s",
                               convt_status_text(status));
        convti_team_each(s->threads, n, project_sample, s);
    }
    return CONVT_OK;
}

static void standardize_component(void *work, int64_t d)
{
    const struct start *s = work;
    void *codes = s->codes->values.data;
    if (s->f32)
        convti_codes_standardize_f32(codes, s->data->count, s->components, d);
    else
        convti_codes_standardize_f64(codes, s->data->count, s->components, d);
}

static void standardize(struct start *s)
{
    void *codes = s->codes->values.data;
    const int64_t count = s->data->count, size = s->components;
    convti_team_each(s->threads, size, standardize_component, s);
    if (!s->codes->fix_first) return;
    if (s->f32)
        convti_codes_fix_f32(codes, count, size);
    else
        convti_codes_fix_f64(codes, count, size);
}

static convt_status check_start(struct start *s, convt_error *err)
{
    const convt_view v = s->codes->values;
    int64_t all;
    if (!v.data || (v.dtype != CONVT_FLOAT32 && v.dtype != CONVT_FLOAT64))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "codes.values",
                           v.data ? "has an unknown dtype" : "data is NULL");
    if (s->data->count < 1 || !s->data->gather)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "data", "has no samples");
    if (v.n != s->data->count || !convti_count(v.n, v.h, v.w, v.c, &all) || all == 0)
        return convti_fail(err, CONVT_INVALID_SHAPE, "codes.values",
                           "holds %lld codes for %lld samples", (long long)v.n,
                           (long long)s->data->count);
    if (!convti_count(1, s->target.h, s->target.w, s->target.c, &s->elements) || s->elements == 0)
        return convti_fail(err, CONVT_INVALID_SHAPE, "target", "has no elements");
    return CONVT_OK;
}

convt_status convt_codes_start(const convt_codes *codes, const convt_dataset *data,
                               convt_shape target, uint64_t seed, int threads,
                               const convt_allocator *allocator, convt_error *err)
{
    convti_clear(err);
    if (!codes || !data)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, codes ? "data" : "codes", "is NULL");
    struct start s = {.codes = codes,
                      .data = data,
                      .target = target,
                      .f32 = codes->values.dtype == CONVT_FLOAT32};
    convt_status status = check_start(&s, err);
    if (status) return status;

    const size_t real = convti_element_bytes(codes->values.dtype);
    s.threads = threads > 0 ? threads : omp_get_max_threads();
    s.components = code_size(codes);
    s.panels = (s.components - 1) / CONVTI_PANEL + 1;
    s.chunk = 1;
    while (s.chunk < MOST_CHUNK && s.elements <= CHUNK_BYTES / (int64_t)real / (2 * s.chunk))
        s.chunk *= 2;
    int64_t matrix;
    convti_size size = {0};
    convti_arena arena;
    const bool fits = convti_count(s.panels, CONVTI_PANEL, s.elements, 1, &matrix);
    const size_t at_matrix = convti_size_add(&size, fits ? matrix : -1, real);
    const size_t at_samples = convti_size_add(&size, s.chunk * s.elements, real);
    const size_t at_index = convti_size_add(&size, s.chunk, sizeof *s.index);
    if (size.overflow)
        return convti_fail(err, CONVT_TOO_LARGE, "codes.values",
                           "the projection exceeds what can be addressed");
    if (!convti_arena_take(&arena, allocator, &size))
        return convti_fail(err, CONVT_NO_MEMORY, "codes.values", "the projection needs %zu bytes",
                           convti_size_total(&size));
    s.matrix = convti_arena_at(&arena, at_matrix);
    s.samples = convti_arena_at(&arena, at_samples);
    s.index = convti_arena_at(&arena, at_index);
    s.seed = convti_mix(seed, STREAM);
    convti_team_each(s.threads, s.panels, fill_panel, &s);
    status = project_all(&s, err);
    convti_arena_release(&arena);
    if (!status) standardize(&s);
    return status;
}
