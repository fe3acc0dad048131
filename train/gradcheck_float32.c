/*
 * Gradients in float32 against those in float64, at the same numbers:
 *
 *     relative error = |a32 - a64| / max(|a32|, |a64|, floor * rms(a64))
 *
 * Where rounding puts a z on the other side of a kink the two differ for a good reason: an element
 * that fails is skipped where a64 jumps by as much while x is made 1e-5 larger and smaller.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rng.h"
#include "status.h"
#include "subject.h"

enum { MOST = CONVT_GRADCHECK_MOST_BLOCKS };
static const double jitter = 1e-5, usual_rtol = 1e-3;

/* A subject with arrays for its passes. */
struct run {
    convti_subject s;
    void *y[CONVTI_MOST_OUTPUTS], *v[CONVTI_MOST_OUTPUTS];
    void *gradient[MOST];
    void *larger[MOST], *smaller[MOST]; /* gradients where x is */
};

static void *take(convti_size *size, unsigned char *base, const convt_gradcheck_block *b)
{
    const size_t at =
        convti_size_add(size, convti_array_of(b).count, convti_element_bytes(b->dtype));
    return base ? base + at : NULL;
}

static void lay_out(struct run *r, convti_size *size, unsigned char *base)
{
    for (int k = 0; k < r->s.problem.output_count; k++) {
        r->y[k] = take(size, base, &r->s.outputs[k]);
        r->v[k] = take(size, base, &r->s.outputs[k]);
    }
    for (int i = 0; i < r->s.problem.input_count; i++) {
        r->gradient[i] = take(size, base, &r->s.inputs[i]);
        r->larger[i] = take(size, base, &r->s.inputs[i]);
        r->smaller[i] = take(size, base, &r->s.inputs[i]);
    }
}

static void draw_weights(struct run *r, uint64_t seed)
{
    convti_rng rng = convti_rng_start(seed, 0);
    for (int k = 0; k < r->s.problem.output_count; k++)
        for (int64_t j = 0; j < convti_array_of(&r->s.outputs[k]).count; j++)
            convti_number_set(r->s.outputs[k].dtype, r->v[k], j,
                              r->s.outputs[k].added ? 1 : (double)(float)convti_rng_normal(&rng));
}

static convt_status gradients(struct run *r, void *const into[])
{
    const convt_gradcheck_problem *p = &r->s.problem;
    const void *inputs[MOST];
    for (int i = 0; i < p->input_count; i++) inputs[i] = p->inputs[i].data;
    convt_status status = p->forward(p->context, inputs, r->y);
    if (!status)
        status = p->backward(p->context, inputs, (const void *const *)r->y,
                             (const void *const *)r->v, into);
    return status;
}

static void scale_x(struct run *r, double factor)
{
    const convt_view x = r->s.x;
    for (int64_t i = 0; i < convti_view_count(convt_read(x)); i++)
        convti_number_set(x.dtype, x.data, i, factor * convti_number(x.dtype, x.data, i));
}

/* ---- comparison ------------------------------------------------------------------------------ */

static void note(convt_gradcheck_row *row, int64_t e, double a, double n, double error)
{
    if (row->checked > 0 && !(error > row->relative_error)) return;
    row->analytic = a;
    row->numeric = n;
    row->relative_error = error;
    convti_index(row, e, row->index);
}

/*
 * What numbers of a block are measured by: its root mean square. Where a gradient vanishes (a bias
 * under softmax) it still holds the rounding of terms that cancelled: a tenth of what the outputs'
 * weights would come to if they were spread over the block, or a hundredth of the largest block, is
 * the least.
 */
static double size_of(const struct run *twice, int i)
{
    double largest = 0, outputs = 0, own = 0;
    for (int k = 0; k < twice->s.problem.input_count; k++) {
        const convti_array array = convti_array_of(&twice->s.inputs[k]);
        const double rms = convti_rms(&array, twice->gradient[k]);
        largest = fmax(largest, rms);
        if (k == i) own = rms;
    }
    for (int k = 0; k < twice->s.problem.output_count; k++)
        if (!twice->s.outputs[k].added)
            outputs += (double)convti_array_of(&twice->s.outputs[k]).count;
    const double count = (double)convti_array_of(&twice->s.inputs[i]).count;
    return fmax(own, fmax(0.01 * largest, 0.1 * sqrt(outputs / fmax(count, 1))));
}

static void compare(const struct run *single, const struct run *twice, int i,
                    convt_gradcheck_report *report)
{
    convt_gradcheck_row *row = &report->rows[i];
    const double rtol = report->options.rtol.value,
                 floor = report->options.floor.value * size_of(twice, i);
    for (int64_t e = 0; e < row->elements; e++) {
        const double a = convti_number(CONVT_FLOAT32, single->gradient[i], e),
                     n = convti_number(CONVT_FLOAT64, twice->gradient[i], e),
                     jump = fabs(convti_number(CONVT_FLOAT64, twice->larger[i], e) -
                                 convti_number(CONVT_FLOAT64, twice->smaller[i], e)),
                     error = convti_relative_error(a, n, floor);
        const bool right = error <= rtol;
        if (error > usual_rtol && !right && isfinite(a) && jump >= 0.5 * fabs(a - n)) {
            row->skipped++;
            continue;
        }
        note(row, e, a, n, isfinite(a) ? error : HUGE_VAL);
        row->checked++;
        row->wrong += !right;
    }
}

static void judge(convt_gradcheck_report *r)
{
    r->verdict = CONVT_GRADCHECK_PASSED;
    convti_find_worst(r);
    for (int i = 0; i < r->count; i++) {
        const convt_gradcheck_row *row = &r->rows[i];
        if ((double)row->skipped >
            r->options.max_skipped.value * (double)(row->checked + row->skipped)) {
            r->verdict = CONVT_GRADCHECK_SKIPPED_TOO_MUCH;
            snprintf(r->block, sizeof r->block, "%s", row->name);
        }
    }
    if (r->worst < 0 || r->rows[r->worst].wrong == 0) return;
    r->verdict = CONVT_GRADCHECK_WRONG_GRADIENT;
    snprintf(r->block, sizeof r->block, "%s", r->rows[r->worst].name);
}

static void start_report(const struct run *run, const convt_gradcheck_options *options,
                         convt_gradcheck_report *r)
{
    r->options = *options;
    if (!r->options.rtol.set) r->options.rtol = CONVT_SET(usual_rtol);
    if (!r->options.floor.set) r->options.floor = CONVT_SET(0.1);
    if (!r->options.max_skipped.set) r->options.max_skipped = CONVT_SET(0.2);
    r->options.mode = CONVT_GRADCHECK_ELEMENTS;
    r->worst = -1;
    r->count = run->s.problem.input_count;
    for (int i = 0; i < r->count; i++) {
        const convti_array array = convti_array_of(&run->s.inputs[i]);
        convti_row_start(&r->rows[i], &array, i);
    }
}

static convt_status run_both(struct run runs[2], convt_gradcheck_report *report)
{
    struct run *single = &runs[0], *twice = &runs[1];
    convt_status status = gradients(single, single->gradient);
    if (!status) status = gradients(twice, twice->gradient);
    scale_x(twice, 1 + jitter);
    if (!status) status = gradients(twice, twice->larger);
    scale_x(twice, (1 - jitter) / (1 + jitter));
    if (!status) status = gradients(twice, twice->smaller);
    report->forward_calls = report->backward_calls = 4;
    for (int i = 0; i < report->count && !status; i++) compare(single, twice, i, report);
    return status;
}

static convt_status with_arrays(struct run runs[2], const convt_gradcheck_options *options,
                                convt_gradcheck_report *report, convt_error *err)
{
    convti_size size = {0};
    convti_arena arena;
    for (int i = 0; i < 2; i++) lay_out(&runs[i], &size, NULL);
    if (!convti_arena_take(&arena, &runs[0].s.allocator, &size))
        return convti_fail(err, CONVT_NO_MEMORY, NULL, "%zu bytes for the check",
                           convti_size_total(&size));
    memset(arena.base, 0, size.bytes); /* gradients are exchanged with what lies there */
    size = (convti_size){0};
    for (int i = 0; i < 2; i++) {
        lay_out(&runs[i], &size, arena.base);
        draw_weights(&runs[i], options->seed);
    }
    start_report(&runs[1], options, report);
    convt_status status = run_both(runs, report);
    if (status)
        convti_fail(err, status, "forward", "a pass failed: %s", convt_status_text(status));
    else
        judge(report);
    convti_arena_release(&arena);
    return status;
}

convt_status convti_compare_precisions(const convt_config layers[], int count,
                                       const convt_loss_config *loss,
                                       const convt_gradcheck_options *options,
                                       convt_gradcheck_report *report, convt_error *err)
{
    struct run runs[2];
    memset(runs, 0, sizeof runs);
    convt_status status =
        convti_subject_create(&runs[0].s, layers, count, loss, CONVT_FLOAT32, options->seed, err);
    if (!status)
        status = convti_subject_create(&runs[1].s, layers, count, loss, CONVT_FLOAT64,
                                       options->seed, err);
    if (!status) status = with_arrays(runs, options, report, err);
    for (int i = 0; i < 2; i++) convti_subject_destroy(&runs[i].s);
    return status;
}
