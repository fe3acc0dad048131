/*
 * The two passes as callees: forward twice, backward twice, each time over other memory.
 *
 *   outputs     found NaN, then 7: who leaves one out, or draws random numbers, gives other bits
 *   gradients   found 7, then NaN: whoever adds to them leaves NaN behind
 *   guards      a known byte before and behind every array
 *   the rest    inputs, outputs and output gradients keep their fingerprints
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "check.h"
#include "rng.h"
#include "status.h"

enum { GUARD_BYTE = 0xC3 };
enum { WEIGHT_STREAM = 0 }; /* of the seed; inputs have the streams behind it */

static const double left_there[2] = {7, (double)NAN}; /* what the two backward calls find */

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t padded(size_t bytes)
{
    return (bytes + CONVTI_ALIGNMENT - 1) / CONVTI_ALIGNMENT * CONVTI_ALIGNMENT;
}

static void set_guards(void *array, size_t bytes)
{
    unsigned char *at = array;
    memset(at - CONVTI_GUARD, GUARD_BYTE, CONVTI_GUARD);
    memset(at + bytes, GUARD_BYTE, padded(bytes) - bytes + CONVTI_GUARD);
}

static bool guards_hold(const void *array, size_t bytes)
{
    const unsigned char *at = array;
    for (int i = 1; i <= CONVTI_GUARD; i++)
        if (at[-i] != GUARD_BYTE) return false;
    for (size_t i = bytes; i < padded(bytes) + CONVTI_GUARD; i++)
        if (at[i] != GUARD_BYTE) return false;
    return true;
}

static void fill(const convti_array *array, void *data, double value)
{
    for (int64_t i = 0; i < array->count; i++)
        convti_number_set(array->block->dtype, data, i, value);
}

/* A number that changes with any byte (FNV-1a over words, its multiplier that of 64 bits). */
static uint64_t fingerprint(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    uint64_t hash = 0xCBF29CE484222325u, word;
    for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * 0x100000001B3u;
        hash ^= hash >> 32;
    }
    for (; bytes > 0; bytes--) hash = (hash ^ *at++) * 0x100000001B3u;
    return hash;
}

/* What backward may only read. */
struct fingerprints {
    uint64_t x[CONVT_GRADCHECK_MOST_BLOCKS], y[CONVT_GRADCHECK_MOST_BLOCKS],
        v[CONVT_GRADCHECK_MOST_BLOCKS];
};

static void take_fingerprints(const convti_check *c, struct fingerprints *f)
{
    for (int i = 0; i < c->p->input_count; i++) f->x[i] = fingerprint(c->x[i], c->in[i].bytes);
    for (int k = 0; k < c->p->output_count; k++) {
        f->y[k] = fingerprint(c->y[CONVTI_HERE][k], c->out[k].bytes);
        f->v[k] = fingerprint(c->v[k], c->out[k].bytes);
    }
}

static void judge_inputs(convti_check *c, const struct fingerprints *before,
                         const struct fingerprints *after)
{
    for (int i = 0; i < c->p->input_count; i++)
        if (before->x[i] != after->x[i])
            convti_judge(c, CONVT_GRADCHECK_WROTE_INPUT, c->report->rows[i].name);
}

static void judge_outputs(convti_check *c, const struct fingerprints *before,
                          const struct fingerprints *after)
{
    char name[48];
    for (int k = 0; k < c->p->output_count; k++)
        if (before->y[k] != after->y[k] || before->v[k] != after->v[k])
            convti_judge(c, CONVT_GRADCHECK_WROTE_OUTPUT, convti_output_name(c, k, name));
}

static void judge_guards(convti_check *c)
{
    char name[48];
    for (int i = 0; i < c->p->input_count; i++)
        for (int g = 0; g < 2; g++)
            if (!guards_hold(c->gradient[g][i], c->in[i].bytes))
                convti_judge(c, CONVT_GRADCHECK_WROTE_OUTSIDE, c->report->rows[i].name);
    for (int k = 0; k < c->p->output_count; k++) {
        bool hold = guards_hold(c->v[k], c->out[k].bytes);
        for (int place = 0; place < CONVTI_PLACES; place++)
            hold = hold && guards_hold(c->y[place][k], c->out[k].bytes);
        if (!hold) convti_judge(c, CONVT_GRADCHECK_WROTE_OUTSIDE, convti_output_name(c, k, name));
    }
}

/* ---- what the passes find -------------------------------------------------------------------- */

/* Weights of either sign, none of them small: no output goes unseen. */
static void draw_weights(convti_check *c)
{
    convti_rng rng = convti_rng_start(c->options.seed, WEIGHT_STREAM);
    for (int k = 0; k < c->p->output_count; k++)
        for (int64_t j = 0; j < c->out[k].count; j++) {
            const double size = 0.5 + convti_rng_uniform(&rng),
                         sign = convti_rng_uniform(&rng) < 0.5 ? -1 : 1;
            convti_number_set(c->out[k].block->dtype, c->v[k], j,
                              c->out[k].block->added ? 1 : sign * size);
        }
}

static void prepare(convti_check *c)
{
    for (int k = 0; k < c->p->output_count; k++) {
        set_guards(c->v[k], c->out[k].bytes);
        for (int place = 0; place < CONVTI_PLACES; place++) {
            set_guards(c->y[place][k], c->out[k].bytes);
            fill(&c->out[k], c->y[place][k], place == CONVTI_HERE ? (double)NAN : 7);
        }
    }
    for (int i = 0; i < c->p->input_count; i++)
        for (int g = 0; g < 2; g++) {
            set_guards(c->gradient[g][i], c->in[i].bytes);
            fill(&c->in[i], c->gradient[g][i], left_there[g]);
        }
    draw_weights(c);
}

static bool all_finite(const convti_array *array, const void *data)
{
    for (int64_t i = 0; i < array->count; i++)
        if (!isfinite(convti_number(array->block->dtype, data, i))) return false;
    return true;
}

/* ---- forward --------------------------------------------------------------------------------- */

static convt_status call_forward(convti_check *c)
{
    char name[48];
    struct fingerprints before, after;
    take_fingerprints(c, &before);
    convt_status status = convti_check_forward(c, CONVTI_HERE);
    if (!status) status = convti_check_forward(c, CONVTI_ABOVE);
    if (status) return status;
    take_fingerprints(c, &after);
    judge_inputs(c, &before, &after);
    judge_guards(c);
    for (int k = 0; k < c->p->output_count; k++) {
        convti_output_name(c, k, name);
        c->size[k] = convti_rms(&c->out[k], c->y[CONVTI_HERE][k]);
        if (memcmp(c->y[CONVTI_HERE][k], c->y[CONVTI_ABOVE][k], c->out[k].bytes) != 0)
            convti_judge(c, CONVT_GRADCHECK_NOT_REPEATABLE, name);
        if (!all_finite(&c->out[k], c->y[CONVTI_HERE][k]))
            convti_judge(c, CONVT_GRADCHECK_NOT_FINITE, name);
    }
    return CONVT_OK;
}

/* ---- backward -------------------------------------------------------------------------------- */

static convt_status call_backward(convti_check *c, int g)
{
    c->report->backward_calls++;
    const convt_status status = c->p->backward(c->p->context, (const void *const *)c->x,
                                               (const void *const *)c->y[CONVTI_HERE],
                                               (const void *const *)c->v, c->gradient[g]);
    if (status)
        return convti_fail(c->err, status, "backward", "backward failed: %s",
                           convt_status_text(status));
    return CONVT_OK;
}

/* Elements that the second call left NaN and the first did not: never written, or added to. */
static void judge_overwriting(convti_check *c, int i)
{
    const convt_dtype dtype = c->in[i].block->dtype;
    convt_gradcheck_row *row = &c->report->rows[i];
    int64_t untouched = 0, bad = 0;
    for (int64_t e = 0; e < c->in[i].count; e++) {
        const double first = convti_number(dtype, c->gradient[0][i], e);
        const bool left = isfinite(first) && isnan(convti_number(dtype, c->gradient[1][i], e));
        c->state[e] = left ? CONVTI_WRONG : CONVTI_RIGHT;
        c->numeric[e] = (double)NAN;
        bad += left;
        untouched += left && first == left_there[0];
    }
    if (bad == 0) return;
    char where[128];
    const convti_evidence evidence = {row,  dtype,      c->in[i].count, NULL,
                                      NULL, c->numeric, c->state,       c->options.rtol.value};
    convti_where(&evidence, where);
    row->wrong = bad;
    snprintf(row->pattern, sizeof row->pattern, "%s%s", where[0] ? where : "some elements",
             untouched == bad ? ": the gradient is never written"
                              : ": the gradient is added to what was there before");
    convti_judge(c, CONVT_GRADCHECK_NOT_OVERWRITTEN, row->name);
}

static void judge_gradient(convti_check *c, int i)
{
    const char *name = c->report->rows[i].name;
    judge_overwriting(c, i);
    if (!all_finite(&c->in[i], c->gradient[0][i]))
        convti_judge(c, CONVT_GRADCHECK_NOT_FINITE, name);
    if (memcmp(c->gradient[0][i], c->gradient[1][i], c->in[i].bytes) != 0)
        convti_judge(c, CONVT_GRADCHECK_NOT_REPEATABLE, name);
}

convt_status convti_check_calls(convti_check *c)
{
    struct fingerprints before, after;
    prepare(c);
    convt_status status = call_forward(c);
    if (status || c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return status;
    take_fingerprints(c, &before);
    for (int g = 0; g < 2; g++)
        if ((status = call_backward(c, g)) != CONVT_OK) return status;
    take_fingerprints(c, &after);
    judge_inputs(c, &before, &after);
    judge_outputs(c, &before, &after);
    judge_guards(c);
    for (int i = 0; i < c->p->input_count; i++) judge_gradient(c, i);
    return CONVT_OK;
}
