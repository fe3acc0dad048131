/*
 * Gradient checks of any function: options, workspace, and the order of things.
 *
 *     arguments -> workspace -> the calls themselves -> every input against quotients -> verdict
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "check.h"
#include "integer.h"
#include "status.h"

enum { MOST = CONVT_GRADCHECK_MOST_BLOCKS };

/* ---- arguments ------------------------------------------------------------------------------- */

static convt_status refuse(convt_error *err, const char *field, const char *what)
{
    return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s", what);
}

static convt_status check_block(const convt_gradcheck_block *b, const char *field, bool input,
                                convti_array *array, convt_error *err)
{
    int64_t count = 1;
    if (b->rank < 0 || b->rank > CONVT_GRADCHECK_MOST_RANK)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "rank must be 0 to %d, got %d",
                           CONVT_GRADCHECK_MOST_RANK, b->rank);
    if (b->dtype != CONVT_FLOAT32 && b->dtype != CONVT_FLOAT64)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "dtype is no type: number %d",
                           (int)b->dtype);
    for (int i = 0; i < b->rank; i++) {
        if (b->dims[i] < 0)
            return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                               "dims must be 0 or more, got %lld", (long long)b->dims[i]);
        if (!convti_mul64(count, b->dims[i], &count) || count > INT64_MAX / 1024)
            return convti_fail(err, CONVT_TOO_LARGE, field, "dims exceed 64 bits");
    }
    if (input && !b->data && count > 0) return refuse(err, field, "data is NULL");
    if (b->step.set && !(b->step.value > 0 && isfinite(b->step.value)))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "step must be positive, got %g",
                           b->step.value);
    *array = (convti_array){b, count, (size_t)count * convti_element_bytes(b->dtype)};
    return CONVT_OK;
}

static convt_status check_blocks(const convt_gradcheck_block blocks[], int count, const char *field,
                                 bool input, convti_array arrays[], convt_error *err)
{
    char place[32];
    if (!blocks) return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s is NULL", field);
    if (count < 1 || count > MOST)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "there must be 1 to %d, got %d",
                           MOST, count);
    for (int i = 0; i < count; i++) {
        snprintf(place, sizeof place, "%s[%d]", field, i);
        convt_status status = check_block(&blocks[i], place, input, &arrays[i], err);
        if (status) return status;
    }
    return CONVT_OK;
}

static bool is_single(const convt_gradcheck_problem *p)
{
    for (int i = 0; i < p->input_count; i++)
        if (p->inputs[i].dtype == CONVT_FLOAT32) return true;
    for (int k = 0; k < p->output_count; k++)
        if (p->outputs[k].dtype == CONVT_FLOAT32) return true;
    return false;
}

static void set_default(convt_optional *option, double value)
{
    if (!option->set) *option = (convt_optional){true, value};
}

static convt_status complete_options(convti_check *c, const convt_gradcheck_options *given)
{
    convt_gradcheck_options *o = &c->options;
    const bool single = is_single(c->p);
    *o = given ? *given : (convt_gradcheck_options){0};
    c->eps = single ? (double)FLT_EPSILON : DBL_EPSILON;
    c->usual_rtol = single ? 1e-2 : 1e-6;
    set_default(&o->rtol, c->usual_rtol);
    set_default(&o->floor, single ? 1e-2 : 1e-6);
    set_default(&o->step, o->richardson ? pow(c->eps, 1.0 / 5) : cbrt(c->eps));
    set_default(&o->max_skipped, 0.2);
    if ((unsigned)o->mode > CONVT_GRADCHECK_DIRECTIONS)
        return convti_fail(c->err, CONVT_INVALID_ARGUMENT, "mode", "mode is no mode: number %d",
                           (int)o->mode);
    if (o->count < 0)
        return convti_fail(c->err, CONVT_INVALID_ARGUMENT, "count",
                           "count must be 0 or more, got %lld", (long long)o->count);
    if (o->count == 0) o->count = o->mode == CONVT_GRADCHECK_DIRECTIONS ? 2 : 100;
    const struct {
        const char *name;
        double value, least, most;
    } ranges[] = {{"rtol", o->rtol.value, DBL_MIN, DBL_MAX},
                  {"floor", o->floor.value, 0, DBL_MAX},
                  {"step", o->step.value, DBL_MIN, DBL_MAX},
                  {"max_skipped", o->max_skipped.value, 0, 1}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].least && ranges[i].value <= ranges[i].most))
            return convti_fail(c->err, CONVT_INVALID_ARGUMENT, ranges[i].name,
                               "%s is out of range, got %g", ranges[i].name, ranges[i].value);
    return CONVT_OK;
}

static convt_status check_sparsity(convti_check *c)
{
    const convt_gradcheck_sparsity *s = c->p->sparsity;
    if (!s) return CONVT_OK;
    if (!s->colors || !s->color || !s->owners)
        return refuse(c->err, "sparsity", "colors, color or owners is NULL");
    for (int i = 0; i < c->p->input_count; i++) {
        c->colors[i] = s->colors(c->p->context, i);
        if (c->colors[i] < 0 || c->colors[i] > INT64_MAX / 1024)
            return convti_fail(c->err, CONVT_INVALID_ARGUMENT, "sparsity",
                               "colors must be 0 or more, got %lld", (long long)c->colors[i]);
    }
    return CONVT_OK;
}

static convt_status start(convti_check *c, const convt_gradcheck_problem *p,
                          const convt_gradcheck_options *options, convt_error *err)
{
    memset(c, 0, sizeof *c);
    convti_clear(err);
    c->p = p;
    c->err = err;
    if (!p) return refuse(err, "problem", "problem is NULL");
    if (!p->forward) return refuse(err, "forward", "forward is NULL");
    if (!p->backward) return refuse(err, "backward", "backward is NULL");
    convt_status status = check_blocks(p->inputs, p->input_count, "inputs", true, c->in, err);
    if (!status) status = check_blocks(p->outputs, p->output_count, "outputs", false, c->out, err);
    if (!status) status = complete_options(c, options);
    return status ? status : check_sparsity(c);
}

/* ---- workspace ------------------------------------------------------------------------------- */

/* The next array in the workspace, which may not be there yet. */
static void *take(convti_size *size, unsigned char *base, int64_t count, size_t element)
{
    const size_t at = convti_size_add(size, count, element);
    return base ? base + at : NULL;
}

static void *take_guarded(convti_size *size, unsigned char *base, size_t bytes)
{
    take(size, base, CONVTI_GUARD, 1);
    void *memory = take(size, base, (int64_t)bytes, 1);
    take(size, base, CONVTI_GUARD, 1);
    return memory;
}

static void lay_out(convti_check *c, convti_size *size, unsigned char *base)
{
    int64_t most_in = 1, most_out = 1, most_colors = 0;
    size_t bytes = 0;
    for (int k = 0; k < c->p->output_count; k++) {
        for (int place = 0; place < CONVTI_PLACES; place++)
            c->y[place][k] = take_guarded(size, base, c->out[k].bytes);
        c->v[k] = take_guarded(size, base, c->out[k].bytes);
        most_out = greater(most_out, c->out[k].count);
    }
    for (int i = 0; i < c->p->input_count; i++) {
        for (int g = 0; g < 2; g++) c->gradient[g][i] = take_guarded(size, base, c->in[i].bytes);
        c->x[i] = c->in[i].block->data;
        most_in = greater(most_in, c->in[i].count);
        most_colors = greater(most_colors, c->colors[i]);
        if (c->in[i].bytes > bytes) bytes = c->in[i].bytes;
    }
    c->saved = take(size, base, (int64_t)bytes, 1);
    c->quotient = take(size, base, most_in, sizeof *c->quotient);
    double **const numbers[] = {&c->width, &c->numeric, &c->error, &c->rough};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = take(size, base, most_in, sizeof **numbers[i]);
    c->state = take(size, base, most_in, sizeof *c->state);
    if (most_colors == 0) return;
    c->order = take(size, base, most_in, sizeof *c->order);
    c->start = take(size, base, most_colors + 1, sizeof *c->start);
    c->owner = take(size, base, most_out, sizeof *c->owner);
}

size_t convt_gradcheck_workspace(const convt_gradcheck_problem *problem,
                                 const convt_gradcheck_options *options, convt_error *err)
{
    convti_check c;
    convti_size size = {0};
    if (start(&c, problem, options, err)) return 0;
    lay_out(&c, &size, NULL);
    if (size.overflow) convti_fail(err, CONVT_TOO_LARGE, "inputs", "the workspace exceeds 64 bits");
    return convti_size_total(&size);
}

static convt_status use_workspace(convti_check *c, void *workspace, size_t given)
{
    convti_size size = {0};
    lay_out(c, &size, NULL);
    const size_t needed = convti_size_total(&size);
    if (needed == 0)
        return convti_fail(c->err, CONVT_TOO_LARGE, "inputs", "the workspace exceeds 64 bits");
    if (!workspace || given < needed)
        return convti_fail(c->err, CONVT_NO_MEMORY, "workspace", "%zu bytes are needed, got %zu",
                           needed, workspace ? given : (size_t)0);
    unsigned char *base = workspace;
    base += -(uintptr_t)base % CONVTI_ALIGNMENT;
    size = (convti_size){0};
    lay_out(c, &size, base);
    return CONVT_OK;
}

/* ---- the report ------------------------------------------------------------------------------ */

void convti_judge(convti_check *c, convt_gradcheck_verdict verdict, const char *block)
{
    if (c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return;
    c->report->verdict = verdict;
    snprintf(c->report->block, sizeof c->report->block, "%s", block);
}

const char *convti_output_name(const convti_check *c, int k, char text[48])
{
    if (c->out[k].block->name)
        snprintf(text, 48, "%s", c->out[k].block->name);
    else
        snprintf(text, 48, "output %d", k);
    return text;
}

double convti_rms(const convti_array *array, const void *data)
{
    double sum = 0;
    for (int64_t i = 0; i < array->count; i++) {
        const double v = convti_number(array->block->dtype, data, i);
        sum += v * v;
    }
    return array->count > 0 ? sqrt(sum / (double)array->count) : 0;
}

void convti_row_start(convt_gradcheck_row *row, const convti_array *array, int input)
{
    const convt_gradcheck_block *b = array->block;
    *row = (convt_gradcheck_row){.rank = b->rank, .elements = array->count, .direction = -1};
    if (b->name)
        snprintf(row->name, sizeof row->name, "%s", b->name);
    else
        snprintf(row->name, sizeof row->name, "input %d", input);
    for (int i = 0; i < b->rank; i++) {
        row->dims[i] = b->dims[i];
        if (b->axis[i])
            snprintf(row->axis[i], sizeof row->axis[i], "%s", b->axis[i]);
        else
            snprintf(row->axis[i], sizeof row->axis[i], "axis %d", i);
    }
}

static void start_report(convti_check *c, convt_gradcheck_report *report)
{
    c->report = report;
    report->options = c->options;
    report->count = c->p->input_count;
    report->worst = -1;
    for (int i = 0; i < report->count; i++) convti_row_start(&report->rows[i], &c->in[i], i);
}

/* Whether so much of a row lies on kinks that the rest proves little. Of directions, all that
 * are asked for must be checked; more are drawn in place of those that are skipped. */
static bool skips_too_much(const convti_check *c, const convt_gradcheck_row *row)
{
    if (c->options.mode == CONVT_GRADCHECK_DIRECTIONS && !row->sampled)
        return row->elements > 0 && row->checked < c->options.count;
    const double looked_at = (double)(row->checked + row->skipped);
    return (double)row->skipped > c->options.max_skipped.value * looked_at;
}

void convti_find_worst(convt_gradcheck_report *r)
{
    for (int i = 0; i < r->count; i++) {
        const convt_gradcheck_row *row = &r->rows[i];
        if (row->checked > 0 &&
            (r->worst < 0 || row->relative_error > r->rows[r->worst].relative_error))
            r->worst = i;
    }
}

static void conclude(convti_check *c)
{
    convt_gradcheck_report *r = c->report;
    convti_find_worst(r);
    if (r->worst >= 0 && r->rows[r->worst].wrong > 0)
        convti_judge(c, CONVT_GRADCHECK_WRONG_GRADIENT, r->rows[r->worst].name);
    for (int i = 0; i < r->count; i++)
        if (skips_too_much(c, &r->rows[i]))
            convti_judge(c, CONVT_GRADCHECK_SKIPPED_TOO_MUCH, r->rows[i].name);
    convti_judge(c, CONVT_GRADCHECK_PASSED, "");
}

/* ---- the check ------------------------------------------------------------------------------- */

convt_status convti_check_forward(convti_check *c, int place)
{
    c->report->forward_calls++;
    const convt_status status =
        c->p->forward(c->p->context, (const void *const *)c->x, c->y[place]);
    if (status)
        return convti_fail(c->err, status, "forward", "forward failed: %s",
                           convt_status_text(status));
    return CONVT_OK;
}

convt_status convt_gradcheck(const convt_gradcheck_problem *problem,
                             const convt_gradcheck_options *options, void *workspace, size_t size,
                             convt_gradcheck_report *report, convt_error *err)
{
    convti_check c;
    if (!report) return refuse(err, "report", "report is NULL");
    memset(report, 0, sizeof *report);
    convt_status status = start(&c, problem, options, err);
    if (!status) status = use_workspace(&c, workspace, size);
    if (status) return status;
    start_report(&c, report);
    status = convti_check_calls(&c);
    for (int i = 0; !status && report->verdict == CONVT_GRADCHECK_NOT_RUN && i < report->count; i++)
        status = convti_check_input(&c, i);
    if (!status) conclude(&c);
    return status;
}
