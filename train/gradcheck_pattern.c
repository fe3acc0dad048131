/*
 * What the wrong elements of a gradient have in common. Two questions, each a list of guesses,
 * simplest first:
 *
 *     where   every element, a border, a stride phase, one index of an axis, all but one
 *     how     a[e] = 0, k n[e], n[e] + k w[e], n[e] + k sign(w[e]), n[e] + k;
 *             a[map(e)] = n[e] for flips, transpositions, shifts
 *
 * A guess about the place holds where all wrong elements satisfy it and no right one does. Right
 * elements whose slope is nearly 0 say nothing: most mistakes leave a 0 as it is.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

enum { RANK = CONVT_GRADCHECK_MOST_RANK };

static double analytic(const convti_evidence *v, int64_t e)
{
    return convti_number(v->dtype, v->gradient, e);
}

static bool is_known(const convti_evidence *v, int64_t e)
{
    return v->state[e] == CONVTI_RIGHT || v->state[e] == CONVTI_WRONG;
}

static double rms_of_numeric(const convti_evidence *v)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t e = 0; e < v->count; e++)
        if (is_known(v, e) && isfinite(v->numeric[e])) {
            sum += v->numeric[e] * v->numeric[e];
            count++;
        }
    return count > 0 ? sqrt(sum / (double)count) : 0;
}

static int64_t count_wrong(const convti_evidence *v)
{
    int64_t count = 0;
    for (int64_t e = 0; e < v->count; e++) count += v->state[e] == CONVTI_WRONG;
    return count;
}

/* ---- where ----------------------------------------------------------------------------------- */

enum place_kind { EVERYWHERE, AT, ENDS, PHASE, NOT_AT, CORNER, PHASES, BORDER, PLACE_KINDS };

struct place {
    enum place_kind kind;
    int p, q;                           /* axes */
    int64_t at, period, at_q, period_q; /* index, or residue */
};

static bool at_end(const convt_gradcheck_row *row, const int64_t index[], int axis)
{
    return index[axis] == 0 || index[axis] == row->dims[axis] - 1;
}

static bool is_within(const convt_gradcheck_row *row, const struct place *s, const int64_t i[])
{
    switch (s->kind) {
    case AT: return i[s->p] == s->at;
    case PHASE: return i[s->p] % s->period == s->at;
    case ENDS: return at_end(row, i, s->p);
    case NOT_AT: return i[s->p] != s->at;
    case PHASES: return i[s->p] % s->period == s->at && i[s->q] % s->period_q == s->at_q;
    case CORNER: return i[s->p] == s->at && i[s->q] == s->at_q;
    case BORDER: return at_end(row, i, s->p) || at_end(row, i, s->q);
    default: return true;
    }
}

/* All wrong elements lie there, and no right one whose slope says something. */
static bool holds(const convti_evidence *v, const struct place *s, double small)
{
    int64_t index[RANK];
    for (int64_t e = 0; e < v->count; e++) {
        const bool wrong = v->state[e] == CONVTI_WRONG;
        if (!wrong && (v->state[e] != CONVTI_RIGHT || fabs(v->numeric[e]) <= small)) continue;
        convti_index(v->row, e, index);
        if (is_within(v->row, s, index) != wrong) return false;
    }
    return true;
}

static const char *border(const convt_gradcheck_row *row, int axis, int64_t at)
{
    return at == 0 || at == row->dims[axis] - 1 ? " (a border)" : "";
}

static void say_where(const convt_gradcheck_row *row, const struct place *s, char text[128])
{
    const char *p = row->axis[s->p], *q = row->axis[s->q];
    const long long at = s->at, at_q = s->at_q;
    switch (s->kind) {
    case AT: snprintf(text, 128, "only where %s = %lld%s", p, at, border(row, s->p, s->at)); break;
    case PHASE:
        snprintf(text, 128, "only where %s mod %lld = %lld (a stride phase)", p,
                 (long long)s->period, at);
        break;
    case ENDS:
        snprintf(text, 128, "only where %s = 0 or %lld (both borders)", p,
                 (long long)row->dims[s->p] - 1);
        break;
    case NOT_AT: snprintf(text, 128, "everywhere but where %s = %lld", p, at); break;
    case PHASES:
        snprintf(text, 128, "only where %s mod %lld = %lld and %s mod %lld = %lld (a stride phase)",
                 p, (long long)s->period, at, q, (long long)s->period_q, at_q);
        break;
    case CORNER: snprintf(text, 128, "only where %s = %lld and %s = %lld", p, at, q, at_q); break;
    case BORDER: snprintf(text, 128, "only on the borders of %s and %s", p, q); break;
    default: snprintf(text, 128, "every element"); break;
    }
}

struct search {
    const convti_evidence *evidence;
    double small;
    int64_t wrong[RANK], right[RANK]; /* the first of either */
    bool has_right;
};

static bool guess(const struct search *s, struct place place, char text[128])
{
    if (!holds(s->evidence, &place, s->small)) return false;
    say_where(s->evidence->row, &place, text);
    return true;
}

/* A phase must have two members at least, or it is an index. */
static bool has_phase(const convt_gradcheck_row *row, int axis, int64_t at, int64_t period)
{
    return at % period + period < row->dims[axis];
}

static bool guess_axis(const struct search *s, enum place_kind kind, int p, char text[128])
{
    const convt_gradcheck_row *row = s->evidence->row;
    if (row->dims[p] < 2) return false;
    if (kind == AT) return guess(s, (struct place){AT, .p = p, .at = s->wrong[p]}, text);
    /* Of three, the first and the last are rather a phase. */
    if (kind == ENDS) return row->dims[p] > 3 && guess(s, (struct place){ENDS, .p = p}, text);
    if (kind == NOT_AT)
        return s->has_right && row->dims[p] > 2 &&
               guess(s, (struct place){NOT_AT, .p = p, .at = s->right[p]}, text);
    for (int64_t period = 2; kind == PHASE && period <= 8; period++)
        if (has_phase(row, p, s->wrong[p], period) &&
            guess(s, (struct place){PHASE, .p = p, .at = s->wrong[p] % period, .period = period},
                  text))
            return true;
    return false;
}

static bool guess_phases(const struct search *s, int p, int q, char text[128])
{
    const convt_gradcheck_row *row = s->evidence->row;
    for (int64_t a = 2; a <= 4; a++)
        for (int64_t b = 2; b <= 4; b++) {
            if (!has_phase(row, p, s->wrong[p], a) && !has_phase(row, q, s->wrong[q], b)) continue;
            const struct place place = {PHASES, p, q, s->wrong[p] % a, a, s->wrong[q] % b, b};
            if (guess(s, place, text)) return true;
        }
    return false;
}

static bool guess_axes(const struct search *s, enum place_kind kind, int p, int q, char text[128])
{
    const int64_t *dims = s->evidence->row->dims;
    if (dims[p] < 2 || dims[q] < 2) return false;
    if (kind == PHASES) return guess_phases(s, p, q, text);
    return guess(s, (struct place){kind, p, q, s->wrong[p], 0, s->wrong[q], 0}, text);
}

static bool find_first(struct search *s)
{
    const convti_evidence *v = s->evidence;
    bool wrong = false;
    for (int64_t e = 0; e < v->count; e++) {
        if (v->state[e] == CONVTI_WRONG && !wrong) {
            convti_index(v->row, e, s->wrong);
            wrong = true;
        }
        if (v->state[e] == CONVTI_RIGHT && !s->has_right && !(fabs(v->numeric[e]) <= s->small)) {
            convti_index(v->row, e, s->right);
            s->has_right = true;
        }
    }
    return wrong;
}

const char *convti_where(const convti_evidence *v, char text[128])
{
    struct search s = {.evidence = v, .small = 1e-6 * rms_of_numeric(v)};
    const int rank = v->row->rank;
    text[0] = 0;
    if (!find_first(&s) || guess(&s, (struct place){.kind = EVERYWHERE}, text)) return text;
    for (int kind = AT; kind < PLACE_KINDS; kind++)
        for (int p = 0; p < rank; p++) {
            if (kind < CORNER && guess_axis(&s, (enum place_kind)kind, p, text)) return text;
            for (int q = p + 1; kind >= CORNER && q < rank; q++)
                if (guess_axes(&s, (enum place_kind)kind, p, q, text)) return text;
        }
    return text;
}

/* ---- how: element by element ----------------------------------------------------------------- */

/* b is near a among numbers of size `scale`, of which each may be off by rtol times `size`. */
static bool near(const convti_evidence *v, double a, double b, double scale, double size)
{
    const double tolerance = fmax(10 * v->rtol, 1e-5);
    return fabs(a - b) <= tolerance * fmax(fmax(fabs(a), fabs(b)), 0.01 * scale) + v->rtol * size;
}

static double one(const convti_evidence *v, int64_t e)
{
    (void)v, (void)e;
    return 1;
}

static double numeric(const convti_evidence *v, int64_t e)
{
    return v->numeric[e];
}

static double weight(const convti_evidence *v, int64_t e)
{
    return convti_number(v->dtype, v->value, e);
}

static double sign(const convti_evidence *v, int64_t e)
{
    const double w = weight(v, e);
    return w > 0 ? 1 : w < 0 ? -1 : 0;
}

/* a - offset * n = k * term(e) for all wrong elements, with the k of least squares. */
static const struct relation {
    double offset;
    double (*term)(const convti_evidence *v, int64_t e);
    const char *format;
} relations[] = {
    {0, numeric, "is %.4g times what it should be"},
    {1, weight,
     "is off by %.4g times the element's own value, as a forgotten or doubled L2 term is"},
    {1, sign, "is off by %.4g times the sign of the element's value, as an L1 term is"},
    {1, one, "is off by %.4g"},
};

static bool fits(const convti_evidence *v, const struct relation *r, double *k)
{
    double top = 0, bottom = 0, scale = 0;
    for (int64_t e = 0; e < v->count; e++) {
        if (v->state[e] != CONVTI_WRONG) continue;
        const double term = r->term(v, e), rest = analytic(v, e) - r->offset * v->numeric[e];
        top += rest * term;
        bottom += term * term;
        scale = fmax(scale, fabs(rest));
    }
    if (!(bottom > 0)) return false;
    *k = top / bottom;
    for (int64_t e = 0; e < v->count; e++) {
        const double a = analytic(v, e), n = v->numeric[e];
        if (v->state[e] == CONVTI_WRONG &&
            !near(v, a - r->offset * n, *k * r->term(v, e), scale, fmax(fabs(a), fabs(n))))
            return false;
    }
    return true;
}

static bool is_zero(const convti_evidence *v)
{
    for (int64_t e = 0; e < v->count; e++)
        if (v->state[e] == CONVTI_WRONG && analytic(v, e) != 0) return false;
    return true;
}

/* What is wrong with the wrong elements; empty where no relation fits. */
static void say_how(const convti_evidence *v, char text[128])
{
    double k = 0;
    text[0] = 0;
    if (is_zero(v)) {
        snprintf(text, 128, "is 0");
        return;
    }
    if (count_wrong(v) < 2) return; /* one number is any multiple of another */
    for (size_t i = 0; i < sizeof relations / sizeof *relations; i++)
        if (fits(v, &relations[i], &k)) {
            if (i == 0 && near(v, k, -1, 1, 1))
                snprintf(text, 128, "has the wrong sign");
            else
                snprintf(text, 128, relations[i].format, k);
            return;
        }
}

/* ---- how: elements that stand in each other's place ------------------------------------------ */

struct map {
    int p, q;
    int64_t by; /* of flips: the axes, as bits */
};

static int64_t position(const int64_t index[], const int64_t dims[], int rank)
{
    int64_t at = 0;
    for (int i = 0; i < rank; i++) at = at * dims[i] + index[i];
    return at;
}

static int64_t flipped(const convt_gradcheck_row *row, int64_t index[], const struct map *m)
{
    for (int i = 0; i < row->rank; i++)
        if (m->by >> i & 1) index[i] = row->dims[i] - 1 - index[i];
    return position(index, row->dims, row->rank);
}

static int64_t transposed(const convt_gradcheck_row *row, int64_t index[], const struct map *m)
{
    int64_t dims[RANK], kept = index[m->p];
    memcpy(dims, row->dims, sizeof dims);
    index[m->p] = index[m->q];
    index[m->q] = kept;
    dims[m->p] = row->dims[m->q];
    dims[m->q] = row->dims[m->p];
    return position(index, dims, row->rank);
}

static int64_t shifted(const convt_gradcheck_row *row, int64_t index[], const struct map *m)
{
    index[m->p] += m->by;
    if (index[m->p] < 0 || index[m->p] >= row->dims[m->p]) return -1;
    return position(index, row->dims, row->rank);
}

static int64_t rotated(const convt_gradcheck_row *row, int64_t index[], const struct map *m)
{
    index[m->p] = (index[m->p] + row->dims[m->p] + m->by) % row->dims[m->p];
    return position(index, row->dims, row->rank);
}

static int64_t swapped(const convt_gradcheck_row *row, int64_t index[], const struct map *m)
{
    if (index[m->p] < 2) index[m->p] = 1 - index[m->p];
    return position(index, row->dims, row->rank);
}

typedef int64_t map_function(const convt_gradcheck_row *row, int64_t index[], const struct map *m);

/* a[map(e)] = n[e] wherever both are there; and that many elements are moved by it. */
static bool maps(const convti_evidence *v, map_function *map, struct map m, double rms)
{
    int64_t index[RANK], moved = 0;
    for (int64_t e = 0; e < v->count; e++) {
        if (!is_known(v, e)) continue;
        convti_index(v->row, e, index);
        const int64_t there = map(v->row, index, &m);
        if (there < 0) continue;
        if (!near(v, analytic(v, there), v->numeric[e], rms, 0)) return false;
        moved += there != e && fabs(v->numeric[e]) > 1e-3 * rms;
    }
    return moved >= 2;
}

static void say_flip(const convt_gradcheck_row *row, int64_t axes, char text[192])
{
    int length = snprintf(text, 192, "the gradient is flipped along");
    for (int i = 0; i < row->rank; i++)
        if (axes >> i & 1)
            length += snprintf(text + length, 192 - (size_t)length, "%s %s",
                               axes & ((1 << i) - 1) ? " and" : "", row->axis[i]);
}

static bool guess_flip(const convti_evidence *v, double rms, char text[192])
{
    const convt_gradcheck_row *row = v->row;
    for (int64_t axes = 1; axes < 1 << row->rank; axes++) {
        bool useful = true; /* an axis of one is flipped for nothing */
        for (int i = 0; i < row->rank; i++)
            useful = useful && (!(axes >> i & 1) || row->dims[i] > 1);
        if (!useful || !maps(v, flipped, (struct map){.by = axes}, rms)) continue;
        say_flip(row, axes, text);
        return true;
    }
    return false;
}

static bool guess_transposition(const convti_evidence *v, double rms, char text[192])
{
    const convt_gradcheck_row *row = v->row;
    for (int p = 0; p < row->rank; p++)
        for (int q = p + 1; q < row->rank; q++)
            if (maps(v, transposed, (struct map){p, q, 0}, rms)) {
                snprintf(text, 192,
                         "the gradient is transposed: %s and %s stand in each other's place",
                         row->axis[p], row->axis[q]);
                return true;
            }
    return false;
}

static bool guess_shift(const convti_evidence *v, double rms, char text[192])
{
    static const struct {
        map_function *map;
        int64_t by;
        const char *format;
    } guesses[] = {
        {rotated, 1, "the gradient is rotated by 1 along %s"},
        {rotated, -1, "the gradient is rotated by -1 along %s"},
        {shifted, 1, "the gradient is off by one along %s: it stands one too far back"},
        {shifted, -1, "the gradient is off by one along %s: it stands one too far in front"},
        {swapped, 0, "0 and 1 of %s stand in each other's place"},
    };
    for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++)
        for (int p = 0; p < v->row->rank; p++)
            if (v->row->dims[p] > 1 &&
                maps(v, guesses[i].map, (struct map){.p = p, .by = guesses[i].by}, rms)) {
                snprintf(text, 192, guesses[i].format, v->row->axis[p]);
                return true;
            }
    return false;
}

/* ---- both ------------------------------------------------------------------------------------ */

void convti_pattern(const convti_evidence *v, char text[192])
{
    char where[128], how[128];
    const double rms = rms_of_numeric(v);
    text[0] = 0;
    convti_where(v, where);
    say_how(v, how);
    if (!how[0] && (guess_flip(v, rms, text) || guess_transposition(v, rms, text) ||
                    guess_shift(v, rms, text)))
        return;
    if (where[0] && how[0])
        snprintf(text, 192, "%.90s %.100s", where, how);
    else if (where[0] && strcmp(where, "every element") != 0)
        snprintf(text, 192, "wrong %.120s", where);
    else if (how[0])
        snprintf(text, 192, "what is wrong %.120s", how);
}
