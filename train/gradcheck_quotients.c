/*
 * Difference quotients of f = sum(v * outputs) against gradients a:
 *
 *     n     = sum over j of v[j] (y+[j] - y-[j]) / width
 *     gap   = sum over j of |v[j] (y+[j] - 2 y[j] + y-[j])| / width
 *     noise = 4 eps sum over j of |v[j]| (|y+[j]| + |y-[j]|) / width
 *
 * over the outputs that changed, width = x+ - x- as they were rounded, and each |y| taken as the
 * root mean square of its block at least. The gap is half of what one-sided slopes differ by.
 *
 * Along a smooth f the gap is h f''/2. Where one kink lies between x- and x+ it is the error of n:
 * one of the two slopes is a, and n is half way between them. So an element whose error exceeds the
 * gap is wrong, and not on a kink.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "check.h"
#include "integer.h"
#include "rng.h"
#include "status.h"

/* Steps are made 8 times smaller for elements that fail: away from kinks, and from large third
 * derivatives. */
static const double scales[] = {1, 1.0 / 8, 1.0 / 64, 1.0 / 512};
enum { ATTEMPTS = 4 };

/* What is moved at once: one element, those of a color, or all along a direction. */
struct group {
    int input;
    const int64_t *members; /* NULL: a direction, whose results are those of element 0 */
    int64_t count;
    int64_t color; /* -1: every output depends on what is moved */
};

/* ---- moving ---------------------------------------------------------------------------------- */

static double value_of(const convti_check *c, int input, int64_t e)
{
    return convti_number(c->in[input].block->dtype, c->saved, e);
}

static void save_input(convti_check *c, int input)
{
    memcpy(c->saved, c->x[input], c->in[input].bytes);
}

static double rms_of(const convti_check *c, int input)
{
    const double rms = convti_rms(&c->in[input], c->saved);
    return rms > 0 ? rms : 1;
}

static double step_of(const convti_check *c, int input)
{
    const convt_optional *own = &c->in[input].block->step;
    return own->set ? own->value : c->options.step.value;
}

static void move_element(convti_check *c, const struct group *g, int64_t e, double by)
{
    convti_number_set(c->in[g->input].block->dtype, c->x[g->input], e,
                      value_of(c, g->input, e) + by);
}

/* Moves the group to x + factor * h. rms: of the input. */
static void move(convti_check *c, const struct group *g, double rms, double factor)
{
    const double step = factor * step_of(c, g->input);
    for (int64_t m = 0; m < g->count; m++) {
        const int64_t e = g->members ? g->members[m] : m;
        const double size = fmax(fabs(value_of(c, g->input, e)), rms);
        move_element(c, g, e, step * (g->members ? size : c->numeric[e]));
    }
}

static void note_widths(convti_check *c, const struct group *g, bool above)
{
    const convt_dtype dtype = c->in[g->input].block->dtype;
    for (int64_t m = 0; m < g->count; m++) {
        const int64_t e = g->members ? g->members[m] : m;
        const double x = convti_number(dtype, c->x[g->input], e);
        c->width[e] = above ? x : c->width[e] - x;
    }
}

static void move_back(convti_check *c, const struct group *g)
{
    if (!g->members) memcpy(c->x[g->input], c->saved, c->in[g->input].bytes);
    for (int64_t m = 0; g->members && m < g->count; m++) move_element(c, g, g->members[m], 0);
}

/* ---- quotients ------------------------------------------------------------------------------- */

/* Adds what output k says. False: an output changed that nothing moved owns. */
static bool add_output(convti_check *c, const struct group *g, int k)
{
    const convt_dtype dtype = c->out[k].block->dtype;
    const void *here = c->y[CONVTI_HERE][k], *above = c->y[CONVTI_ABOVE][k],
               *below = c->y[CONVTI_BELOW][k];
    const double size = c->size[k];
    const int64_t sink = g->members ? g->members[0] : 0;
    if (g->color >= 0) c->p->sparsity->owners(c->p->context, g->input, g->color, k, c->owner);
    for (int64_t j = 0; j < c->out[k].count; j++) {
        const double y = convti_number(dtype, here, j), up = convti_number(dtype, above, j),
                     down = convti_number(dtype, below, j), v = convti_number(dtype, c->v[k], j);
        if (up == y && down == y) continue;
        const int64_t e = g->color >= 0 ? c->owner[j] : sink;
        if (e < 0) return false;
        c->quotient[e].slope += v * (up - down);
        c->quotient[e].gap += fabs(v * (up - y + (down - y)));
        c->quotient[e].noise += fabs(v) * (fmax(fabs(up), size) + fmax(fabs(down), size));
    }
    return true;
}

static void divide(convti_check *c, const struct group *g, double factor)
{
    const int64_t count = g->members ? g->count : 1;
    for (int64_t m = 0; m < count; m++) {
        const int64_t e = g->members ? g->members[m] : 0;
        const double width = g->members ? c->width[e] : 2 * factor * step_of(c, g->input);
        c->quotient[e].slope /= width;
        c->quotient[e].gap /= width;
        c->quotient[e].noise *= 4 * c->eps / width;
    }
}

static convt_status quotient_at(convti_check *c, const struct group *g, double rms, double factor)
{
    move(c, g, rms, factor);
    note_widths(c, g, true);
    convt_status status = convti_check_forward(c, CONVTI_ABOVE);
    move(c, g, rms, -factor);
    note_widths(c, g, false);
    if (!status) status = convti_check_forward(c, CONVTI_BELOW);
    move_back(c, g);
    if (status) return status;
    for (int64_t m = 0; m < (g->members ? g->count : 1); m++)
        c->quotient[g->members ? g->members[m] : 0] = (convti_quotient){0, 0, 0};
    for (int k = 0; k < c->p->output_count; k++)
        if (!add_output(c, g, k))
            convti_judge(c, CONVT_GRADCHECK_WRONG_SPARSITY, c->report->rows[g->input].name);
    divide(c, g, factor);
    return CONVT_OK;
}

/* (4 n(h/2) - n(h)) / 3; rounding grows to (4 * 2 + 1) / 3 of that of n(h), 1.5 times that of
 * n(h/2). */
static convt_status extrapolate(convti_check *c, const struct group *g, double rms, double factor)
{
    const int64_t count = g->members ? g->count : 1;
    convt_status status = quotient_at(c, g, rms, factor);
    for (int64_t m = 0; m < count && !status; m++) {
        const int64_t e = g->members ? g->members[m] : 0;
        c->rough[e] = c->quotient[e].slope;
    }
    if (!status) status = quotient_at(c, g, rms, factor / 2);
    for (int64_t m = 0; m < count && !status; m++) {
        convti_quotient *q = &c->quotient[g->members ? g->members[m] : 0];
        q->slope = (4 * q->slope - c->rough[g->members ? g->members[m] : 0]) / 3;
        q->gap *= 3; /* a kink may lie outside h/2 and disturb n(h) alone */
        q->noise *= 1.5;
    }
    return status;
}

/* ---- comparison ------------------------------------------------------------------------------ */

double convti_relative_error(double a, double n, double floor)
{
    const double largest = fmax(fmax(fabs(a), fabs(n)), floor);
    return largest > 0 ? fabs(a - n) / largest : 0;
}

/* The gradient along what was moved. */
static double analytic_of(const convti_check *c, const struct group *g, int64_t e, double factor)
{
    const convt_dtype dtype = c->in[g->input].block->dtype;
    const void *gradient = c->gradient[0][g->input];
    if (g->members) return convti_number(dtype, gradient, e);
    double sum = 0;
    for (int64_t i = 0; i < g->count; i++) sum += convti_number(dtype, gradient, i) * c->width[i];
    return sum / (2 * factor * step_of(c, g->input));
}

/* A direction's best numbers, which have no place in the arrays of elements. */
struct direction {
    double analytic, numeric;
};

/* Takes the present quotient of an element, unless it is too rough to tell more than the last. */
static void compare(convti_check *c, const struct group *g, int64_t e, int attempt,
                    struct direction *d)
{
    /* Widths are those of the last step, which Richardson's is half of. */
    const double a = analytic_of(c, g, e, scales[attempt] / (c->options.richardson ? 2 : 1));
    const convti_quotient *q = &c->quotient[e];
    const double last = g->members ? c->numeric[e] : d->numeric, off = fabs(a - q->slope);
    if (attempt > 0 && !(q->noise <= 0.1 * fabs(a - last))) return;
    const double error =
        convti_relative_error(a, q->slope, fmax(c->options.floor.value, q->noise / c->usual_rtol));
    const bool right = error <= c->options.rtol.value;
    const double slack = c->usual_rtol * fmax(fabs(a), fabs(q->slope));
    /* Along a smooth curve there is a gap, too; errors below the usual rtol are no matter of
     * kinks. */
    const bool kink = off <= 1.05 * q->gap + slack && error > c->usual_rtol;
    c->state[e] = right ? CONVTI_RIGHT : kink ? CONVTI_EXPLAINED : CONVTI_WRONG;
    /* What only confirms the last is noisier than that. */
    if (attempt > 0 && !right && fabs(q->slope - last) <= q->noise) return;
    *(g->members ? &c->numeric[e] : &d->numeric) = q->slope;
    d->analytic = a;
    c->error[e] = error;
    if (!isfinite(q->slope))
        convti_judge(c, CONVT_GRADCHECK_NOT_FINITE, c->report->rows[g->input].name);
}

/* Until every member is right, or the steps are used up. */
static convt_status check_group(convti_check *c, const struct group *g, double rms,
                                struct direction *d)
{
    const int64_t count = g->members ? g->count : 1;
    int64_t open = 1;
    for (int attempt = 0; attempt < ATTEMPTS && open > 0; attempt++) {
        convt_status status = c->options.richardson ? extrapolate(c, g, rms, scales[attempt])
                                                    : quotient_at(c, g, rms, scales[attempt]);
        if (status) return status;
        open = 0;
        for (int64_t m = 0; m < count; m++) {
            const int64_t e = g->members ? g->members[m] : 0;
            if (attempt == 0 || c->state[e] != CONVTI_RIGHT) compare(c, g, e, attempt, d);
            open += c->state[e] != CONVTI_RIGHT;
        }
        if (c->report->verdict != CONVT_GRADCHECK_NOT_RUN) break;
    }
    return CONVT_OK;
}

/* ---- one input ------------------------------------------------------------------------------- */

static void count_state(convt_gradcheck_row *row, unsigned char state)
{
    row->checked += state == CONVTI_RIGHT || state == CONVTI_WRONG;
    row->wrong += state == CONVTI_WRONG;
    row->skipped += state == CONVTI_EXPLAINED;
}

/* Counts, the worst element, and what the wrong ones have in common. */
static void fill_row(convti_check *c, int input)
{
    convt_gradcheck_row *row = &c->report->rows[input];
    const convti_array *array = &c->in[input];
    int64_t worst = -1;
    row->checked = row->wrong = row->skipped = 0;
    for (int64_t e = 0; e < array->count; e++) {
        count_state(row, c->state[e]);
        const bool compared = c->state[e] == CONVTI_RIGHT || c->state[e] == CONVTI_WRONG;
        if (compared && (worst < 0 || c->error[e] > c->error[worst])) worst = e;
    }
    row->direction = -1;
    if (worst < 0) return;
    convti_index(row, worst, row->index);
    row->analytic = convti_number(array->block->dtype, c->gradient[0][input], worst);
    row->numeric = c->numeric[worst];
    row->relative_error = c->error[worst];
    const convti_evidence evidence = {
        row,      array->block->dtype, array->count, c->gradient[0][input],
        c->saved, c->numeric,          c->state,     c->options.rtol.value};
    if (row->wrong > 0) convti_pattern(&evidence, row->pattern);
}

/* Elements sorted by their color (counting sort). False: a color out of range. */
static bool sort_by_color(convti_check *c, int input)
{
    const int64_t colors = c->colors[input], count = c->in[input].count;
    const convt_gradcheck_sparsity *s = c->p->sparsity;
    memset(c->start, 0, (size_t)(colors + 1) * sizeof *c->start);
    for (int64_t e = 0; e < count; e++) {
        const int64_t color = s->color(c->p->context, input, e);
        if (color < 0 || color >= colors) return false;
        c->start[color + 1]++;
    }
    for (int64_t k = 0; k < colors; k++) c->start[k + 1] += c->start[k];
    for (int64_t e = 0; e < count; e++) c->order[c->start[s->color(c->p->context, input, e)]++] = e;
    for (int64_t k = colors; k > 0; k--) c->start[k] = c->start[k - 1];
    c->start[0] = 0;
    return true;
}

static convt_status check_colors(convti_check *c, int input, double rms)
{
    struct direction unused;
    if (!sort_by_color(c, input))
        return convti_fail(c->err, CONVT_INVALID_ARGUMENT, "sparsity",
                           "color is out of range for input %d", input);
    for (int64_t k = 0; k < c->colors[input]; k++) {
        const struct group g = {input, c->order + c->start[k], c->start[k + 1] - c->start[k], k};
        if (g.count == 0) continue;
        convt_status status = check_group(c, &g, rms, &unused);
        if (status || c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return status;
    }
    return CONVT_OK;
}

/* `wanted` elements, one from each of as many equal parts of the input. */
static convt_status check_some(convti_check *c, int input, int64_t wanted, double rms)
{
    struct direction unused;
    const int64_t count = c->in[input].count;
    convti_rng rng = convti_rng_start(c->options.seed, 1 + 2 * (uint64_t)input);
    for (int64_t i = 0; i < wanted; i++) {
        const int64_t first = (int64_t)((double)count / (double)wanted * (double)i),
                      end = (int64_t)((double)count / (double)wanted * (double)(i + 1));
        const uint64_t room = (uint64_t)greater(end - first, 1);
        const int64_t e = lesser(first + (int64_t)convti_rng_below(&rng, room), count - 1);
        const struct group g = {input, &e, 1, -1};
        convt_status status = check_group(c, &g, rms, &unused);
        if (status || c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return status;
    }
    return CONVT_OK;
}

/* All elements, or `most` of them where that is less work. */
static convt_status check_elements(convti_check *c, int input, int64_t most, double rms)
{
    const int64_t count = c->in[input].count, colors = c->colors[input];
    memset(c->state, CONVTI_UNKNOWN, (size_t)count);
    for (int64_t e = 0; e < count; e++) c->numeric[e] = (double)NAN;
    const bool colored = colors > 0 && colors <= greater(most, 1);
    convt_status status = colored ? check_colors(c, input, rms)
                                  : check_some(c, input, lesser(most, count), rms);
    if (!status) fill_row(c, input);
    return status;
}

/* ---- directions ------------------------------------------------------------------------------ */

static convt_status check_direction(convti_check *c, int input, convti_rng *rng, double rms,
                                    struct direction *d)
{
    const int64_t count = c->in[input].count;
    const struct group g = {input, NULL, count, -1};
    for (int64_t e = 0; e < count; e++)
        c->numeric[e] = convti_rng_normal(rng) * fmax(fabs(value_of(c, input, e)), rms);
    c->state[0] = CONVTI_UNKNOWN;
    return check_group(c, &g, rms, d);
}

/* `count` directions off kinks; four times as many are drawn at most. */
static convt_status check_directions(convti_check *c, int input, int64_t count, double rms)
{
    convt_gradcheck_row *row = &c->report->rows[input];
    convti_rng rng = convti_rng_start(c->options.seed, 2 + 2 * (uint64_t)input);
    for (int64_t k = 0; k < 4 * count && row->checked < count; k++) {
        struct direction d = {0, 0};
        convt_status status = check_direction(c, input, &rng, rms, &d);
        if (status || c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return status;
        count_state(row, c->state[0]);
        if (c->state[0] == CONVTI_EXPLAINED) continue;
        if (row->direction >= 0 && c->error[0] <= row->relative_error) continue;
        row->direction = k;
        row->analytic = d.analytic;
        row->numeric = d.numeric;
        row->relative_error = c->error[0];
    }
    return CONVT_OK;
}

enum { SAMPLE_OF_A_FAILURE = 400 };

/* A direction says that the block is wrong; elements say where. */
static convt_status look_closer(convti_check *c, int input, double rms)
{
    convt_gradcheck_row *row = &c->report->rows[input];
    const convt_gradcheck_row before = *row;
    convt_status status = check_elements(c, input, SAMPLE_OF_A_FAILURE, rms);
    if (status) return status;
    if (row->wrong > 0) {
        row->sampled = true;
        return CONVT_OK;
    }
    const int64_t seen = row->checked;
    *row = before;
    snprintf(row->pattern, sizeof row->pattern,
             "none of the %lld elements looked at is wrong by itself: check every element",
             (long long)seen);
    return CONVT_OK;
}

convt_status convti_check_input(convti_check *c, int input)
{
    convt_gradcheck_row *row = &c->report->rows[input];
    const convt_gradcheck_mode mode = c->options.mode;
    const int64_t count = c->in[input].count;
    if (count == 0) return CONVT_OK;
    save_input(c, input);
    const double rms = rms_of(c, input);
    if (mode == CONVT_GRADCHECK_SAMPLE) return check_elements(c, input, c->options.count, rms);
    const bool elements = mode == CONVT_GRADCHECK_ELEMENTS;
    if (elements && c->colors[input] == 0) return check_elements(c, input, count, rms);

    convt_status status = check_directions(c, input, elements ? 1 : c->options.count, rms);
    const convt_gradcheck_row along = *row;
    if (status || c->report->verdict != CONVT_GRADCHECK_NOT_RUN) return status;
    if (!elements) return along.wrong > 0 ? look_closer(c, input, rms) : CONVT_OK;
    status = check_elements(c, input, INT64_MAX, rms);
    if (!status && along.wrong > 0 && row->wrong == 0) *row = along; /* the sparsity hid it */
    return status;
}
