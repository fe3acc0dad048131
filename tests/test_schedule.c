/*
 * Learning rates against numbers worked out by hand from Keras' formulas (those marked "Keras" are
 * what Keras 3.15 gives for lists that its documentation does not provide for), and what is
 * refused.
 */
#include "support/close.h"

#include <convt/train.h>

#include <math.h>
#include <stddef.h>

#include "argument.h"
#include "names.h"
#include "schedule.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST_POINTS = 6 };

struct row {
    const char *what;
    convt_schedule schedule;
    struct point {
        int64_t step;
        double rate;
    } points[MOST_POINTS]; /* from learning_rate 0.1 */
};

static const struct row rows[] = {
    /* (1 + cos(pi / 4)) / 2 = 0.8535533905932737 */
    {"cosine",
     {.kind = CONVT_COSINE_DECAY, .decay_steps = {true, 1000}},
     {{0, 0.1}, {250, 0.08535533905932737}, {500, 0.05}, {1000, 0}, {5000, 0}}},
    {"cosine to alpha",
     {.kind = CONVT_COSINE_DECAY, .decay_steps = {true, 1000}, .alpha = {true, 0.2}},
     {{0, 0.1}, {500, 0.06}, {1000, 0.02}, {2000, 0.02}}},
    {"cosine behind a warm-up",
     {.kind = CONVT_COSINE_DECAY,
      .decay_steps = {true, 1000},
      .warmup_target = {true, 0.5},
      .warmup_steps = {true, 100}},
     {{0, 0.1}, {25, 0.2}, {99, 0.496}, {100, 0.5}, {600, 0.25}, {1100, 0}}},
    {"warm-up without a target",
     {.kind = CONVT_COSINE_DECAY, .decay_steps = {true, 1000}, .warmup_steps = {true, 100}},
     {{0, 0.1}, {500, 0.05}}},
    {"warm-up without steps",
     {.kind = CONVT_COSINE_DECAY, .decay_steps = {true, 10}, .warmup_target = {true, 0.5}},
     {{0, 0.5}, {5, 0.25}}},
    /* 0.5 * (1 + cos(pi * 0.2)) = 0.9045084971874737 */
    {"warm-up of less than none",
     {.kind = CONVT_COSINE_DECAY,
      .decay_steps = {true, 10},
      .warmup_target = {true, 0.5},
      .warmup_steps = {true, -2}},
     {{0, 0.45225424859373686}, {3, 0.25}, {8, 0}, {9, 0}}},
    /* 0.1 * 2^-0.5, 0.1 * 2^-2.5 */
    {"exponential",
     {.kind = CONVT_EXPONENTIAL_DECAY, .decay_steps = {true, 10}, .decay_rate = {true, 0.5}},
     {{0, 0.1}, {5, 0.070710678118654752}, {10, 0.05}, {25, 0.017677669529663688}}},
    {"exponential in stairs",
     {.kind = CONVT_EXPONENTIAL_DECAY,
      .decay_steps = {true, 10},
      .decay_rate = {true, 0.5},
      .staircase = {true, 1}},
     {{0, 0.1}, {9, 0.1}, {10, 0.05}, {19, 0.05}, {25, 0.025}}},
    {"inverse time",
     {.kind = CONVT_INVERSE_TIME_DECAY, .decay_steps = {true, 10}, .decay_rate = {true, 0.5}},
     {{0, 0.1}, {5, 0.08}, {10, 0.2 / 3}, {25, 0.1 / 2.25}}},
    {"inverse time in stairs",
     {.kind = CONVT_INVERSE_TIME_DECAY,
      .decay_steps = {true, 10},
      .decay_rate = {true, 0.5},
      .staircase = {true, 1}},
     {{0, 0.1}, {9, 0.1}, {10, 0.2 / 3}, {25, 0.05}}},
    {"pieces",
     {.kind = CONVT_PIECEWISE_CONSTANT_DECAY,
      .boundary_count = 2,
      .boundaries = {5, 10},
      .values = {1, 0.5, 0.125}},
     {{0, 1}, {5, 1}, {6, 0.5}, {10, 0.5}, {11, 0.125}, {1000, 0.125}}},
    {"one boundary",
     {.kind = CONVT_PIECEWISE_CONSTANT_DECAY, .boundary_count = 1, .values = {1, 2}},
     {{0, 1}, {1, 2}}},
    {"boundaries that are cut to integers, Keras",
     {.kind = CONVT_PIECEWISE_CONSTANT_DECAY,
      .boundary_count = 2,
      .boundaries = {-0.5, 2.75},
      .values = {1, 2, 3}},
     {{0, 1}, {1, 2}, {2, 2}, {3, 3}}},
    {"boundaries out of order, Keras",
     {.kind = CONVT_PIECEWISE_CONSTANT_DECAY,
      .boundary_count = 2,
      .boundaries = {10, 5},
      .values = {1, 0.5, 2}},
     {{0, 1}, {5, 1}, {6, 3}, {10, 3}, {11, 2}}},
    {"polynomial",
     {.kind = CONVT_POLYNOMIAL_DECAY, .decay_steps = {true, 10}},
     {{0, 0.1}, {5, 0.05005}, {10, 0.0001}, {11, 0.0001}}},
    {"polynomial of degree 2",
     {.kind = CONVT_POLYNOMIAL_DECAY,
      .decay_steps = {true, 10},
      .end_learning_rate = {true, 0.02},
      .power = {true, 2}},
     {{0, 0.1}, {5, 0.04}, {10, 0.02}, {30, 0.02}}},
    {"polynomial in cycles",
     {.kind = CONVT_POLYNOMIAL_DECAY,
      .decay_steps = {true, 10},
      .end_learning_rate = {true, 0.02},
      .cycle = {true, 1}},
     {{0, 0.1}, {5, 0.06}, {10, 0.02}, {15, 0.04}, {25, 0.02 + 0.08 / 6}, {30, 0.02}}},
    {"cosine that restarts, each time twice as long",
     {.kind = CONVT_COSINE_DECAY_RESTARTS, .first_decay_steps = {true, 10}},
     {{0, 0.1}, {5, 0.05}, {10, 0.1}, {20, 0.05}, {30, 0.1}, {50, 0.05}}},
    {"cosine that restarts lower",
     {.kind = CONVT_COSINE_DECAY_RESTARTS,
      .first_decay_steps = {true, 10},
      .m_mul = {true, 0.5},
      .alpha = {true, 0.1}},
     {{0, 0.1}, {5, 0.055}, {10, 0.055}, {20, 0.0325}, {30, 0.0325}}},
    {"cosine that restarts in even periods",
     {.kind = CONVT_COSINE_DECAY_RESTARTS,
      .first_decay_steps = {true, 10},
      .t_mul = {true, 1},
      .m_mul = {true, 0.5}},
     {{0, 0.1}, {5, 0.05}, {10, 0.05}, {15, 0.025}, {20, 0.025}}},
};

static void rates_are_those_of_the_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const convt_sgd_config cfg = {.learning_rate = CONVT_SET(0.1),
                                      .schedule = rows[i].schedule};
        for (int k = 0; k < MOST_POINTS && (k == 0 || rows[i].points[k].step > 0); k++) {
            const struct point p = rows[i].points[k];
            const double rate = convt_schedule_rate(&cfg, p.step);
            if (!(fabs(rate - p.rate) <= 1e-14 * fabs(p.rate) + 1e-17))
                fail_msg("%s: step %lld is %.17g, not %.17g", rows[i].what, (long long)p.step, rate,
                         p.rate);
        }
    }
}

static void every_row_has_numbers(void **state)
{
    (void)state;
    int kind;
    const char *name;
    for (int i = 0; (name = convti_name_at(CONVTI_SCHEDULES, i, &kind)) != NULL; i++) {
        size_t seen = 0;
        for (size_t k = 0; k < LENGTH(rows); k++) seen += (int)rows[k].schedule.kind == kind;
        if (seen == 0) fail_msg("%s has no rates in rows: add some", name);
    }
}

static void constant_rate_is_the_learning_rate(void **state)
{
    (void)state;
    const convt_sgd_config none = {0}, given = {.learning_rate = CONVT_SET(0.25)},
                           zero = {.learning_rate = CONVT_SET(0)};
    assert_close(convt_schedule_rate(&none, 0), 0.01, 0, 0);
    assert_close(convt_schedule_rate(&given, 12345), 0.25, 0, 0);
    assert_close(convt_schedule_rate(&zero, 3), 0, 0, 0);
}

static void refuse(const convt_schedule *schedule, const char *field, const char *part)
{
    const convt_sgd_config cfg = {.schedule = *schedule};
    convt_sgd *sgd;
    convt_error err = {0};
    assert_refused(convt_sgd_create(&sgd, &cfg, NULL, 0, &err), &err, CONVT_INVALID_ARGUMENT, field,
                   part);
    assert_null(sgd);
}

/* Of an argument: its place in convt_schedule and in the rows. */
static const struct argument {
    const char *field;
    size_t given, row;
    convti_range range;
} arguments[] = {
#define SCHEDULE_ARGUMENT(name, range)                                                             \
    {"schedule." #name, offsetof(convt_schedule, name), offsetof(convti_schedule_arguments, name), \
     CONVTI_##range},
#include <convt/schedules.def>
};

static convt_optional *given(convt_schedule *schedule, const struct argument *a)
{
    return (convt_optional *)((char *)schedule + a->given);
}

/* A schedule of every argument that its row demands. */
static convt_schedule least(convt_schedule_kind kind, const convti_schedule_arguments *row)
{
    convt_schedule s = {.kind = kind, .boundary_count = row->boundaries};
    for (size_t i = 0; i < LENGTH(arguments); i++) {
        const convt_optional *otherwise =
            (const convt_optional *)((const char *)row + arguments[i].row);
        if (otherwise->set && isnan(otherwise->value)) *given(&s, &arguments[i]) = CONVT_SET(1);
    }
    return s;
}

static void check_argument(const convt_schedule *fitting, const convti_schedule_arguments *row,
                           const struct argument *a)
{
    const convt_optional *otherwise = (const convt_optional *)((const char *)row + a->row);
    convt_schedule s = *fitting;
    *given(&s, a) = CONVT_SET(HUGE_VAL);
    refuse(&s, a->field, otherwise->set ? "inf" : "not an argument");
    *given(&s, a) = CONVT_SET(-1);
    if (!otherwise->set) refuse(&s, a->field, "not an argument");
    if (otherwise->set && a->range != CONVTI_FINITE) refuse(&s, a->field, "-1");
    *given(&s, a) = CONVT_SET(0);
    if (otherwise->set && a->range == CONVTI_POSITIVE) refuse(&s, a->field, "0");
    *given(&s, a) = (convt_optional){false, 0};
    if (otherwise->set && isnan(otherwise->value)) refuse(&s, a->field, "missing");
}

static void arguments_are_checked_by_their_rows(void **state)
{
    (void)state;
    int kind;
    for (int i = 0; convti_name_at(CONVTI_SCHEDULES, i, &kind); i++) {
        const convti_schedule_arguments *row =
            convti_schedule_arguments_of((convt_schedule_kind)kind);
        const convt_schedule fitting = least((convt_schedule_kind)kind, row);
        const convt_sgd_config cfg = {.schedule = fitting};
        convt_sgd *sgd;
        assert_int_equal(convt_sgd_create(&sgd, &cfg, NULL, 0, NULL), CONVT_OK);
        convt_sgd_destroy(sgd);
        for (size_t k = 0; k < LENGTH(arguments); k++) check_argument(&fitting, row, &arguments[k]);
        convt_schedule more = fitting;
        more.boundary_count = row->boundaries ? 0 : 1;
        refuse(&more, "schedule.boundaries", row->boundaries ? "0" : "not an argument");
    }
    const convt_schedule constant = {.alpha = CONVT_SET(1)};
    refuse(&constant, "schedule.alpha", "constant rate");
}

static void lists_and_kinds_are_checked(void **state)
{
    (void)state;
    convt_schedule s = {.kind = CONVT_PIECEWISE_CONSTANT_DECAY, .boundary_count = 65};
    refuse(&s, "schedule.boundaries", "65");
    s.boundary_count = -1;
    refuse(&s, "schedule.boundaries", "-1");
    s.boundary_count = CONVT_MOST_BOUNDARIES;
    s.values[CONVT_MOST_BOUNDARIES] = NAN;
    refuse(&s, "schedule.values", "nan");
    s.boundaries[3] = HUGE_VAL;
    refuse(&s, "schedule.boundaries", "inf");
    s = (convt_schedule){.kind = (convt_schedule_kind)99};
    refuse(&s, "schedule.kind", "99");
    s.kind = (convt_schedule_kind)-1;
    refuse(&s, "schedule.kind", "-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_the_formulas),
        cmocka_unit_test(every_row_has_numbers),
        cmocka_unit_test(constant_rate_is_the_learning_rate),
        cmocka_unit_test(arguments_are_checked_by_their_rows),
        cmocka_unit_test(lists_and_kinds_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
