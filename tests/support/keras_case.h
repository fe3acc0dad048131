/*
 * Cases of tests/keras: one .npz each, numbers beside the text case.json, and the tally of a
 * replay. A comparison that fails is printed and counted, so that a run says everything that
 * differs; keras_tally_assert ends the test.
 */
#ifndef KERAS_CASE_H
#define KERAS_CASE_H

#include <jansson.h>

#include "convt/io.h"

typedef struct keras_case {
    char path[512];
    char name[64]; /* of the file, without .npz */
    char kind[16];
    json_t *description; /* case.json */
    convt_archive archive;
} keras_case;

typedef void keras_case_body(const keras_case *c, void *context);

/* Runs body on every case of a kind in a folder, in name order; returns how many there were. Ends
 * the test where a file cannot be read. */
int keras_each_case(const char *folder, const char *kind, keras_case_body *body, void *context);

/* Text of a member of case.json, or NULL; free() it. */
char *keras_text(const keras_case *c, const char *key);

/* A new view over an array of the case, in the given precision; the array has at most 4 axes, in
 * memory order as data_format says. Data is NULL where the case has no such array. */
convt_view keras_view(const keras_case *c, const char *array, convt_data_format format,
                      convt_dtype dtype);

double keras_largest(const keras_case *c, const char *array); /* absolute value */

/* ---- what a replay found --------------------------------------------------------------------- */

typedef struct keras_tally {
    int cases, comparisons, differences;
    char worst_name[2][128]; /* by convt_dtype: where the largest share of its tolerance is used */
    double worst_share[2], worst_error[2];
} keras_tally;

/* What is being compared, for messages. */
typedef struct keras_place {
    const keras_case *c;
    const char *isa;
    convt_dtype dtype;
    keras_tally *tally;
} keras_place;

/* actual against an array of the case: no element may be off by more than `tolerance`. */
void keras_compare(const keras_place *place, const char *array, convt_const_view actual,
                   double tolerance);
void keras_compare_scalar(const keras_place *place, const char *array, double actual,
                          double tolerance);

/* Something else went wrong: counts as a difference. */
void keras_wrong(const keras_place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints one line; fails the test if anything differed, or where there was nothing to compare. */
void keras_tally_assert(const keras_tally *tally, const char *kind);

#endif
