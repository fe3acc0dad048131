/*
 * report.html: one page that needs nothing else, with curves, pictures, the model and how to repeat
 * the run.
 */
#ifndef CONVT_REPORT_H
#define CONVT_REPORT_H

#include <convt/io.h>

#include "run.h"

typedef struct report_fact {
    const char *name;
    char value[160];
} report_fact;

enum { REPORT_FACTS = 20 };

typedef struct report {
    const char *title;
    const char *subtitle;
    const char *notice;  /* a run that did not end by itself; NULL: it did */
    const char *command; /* what repeats the run */
    const char *loss_name;

    const run_history *history;
    double seconds; /* of this session */
    int64_t epochs; /* trained in this session */
    double samples_per_second;

    const convt_config *layers; /* with every input shape */
    int layer_count;

    /* Pictures are h*w*c numbers each, channels last; NULL: none. */
    convt_shape shape;
    int64_t pair_count;
    const float *originals, *outputs;
    const int64_t *pair_index; /* which images of the data they are */
    int64_t random_count, way_count;
    const float *random, *way;
    int64_t way_from, way_to;

    int64_t pca_components; /* 0: not asked */
    double pca_mse;         /* NaN: not computed */

    report_fact facts[REPORT_FACTS];
    int fact_count;
} report;

void report_add_fact(report *report, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the page, complete or not at all. */
convt_status report_write(const report *report, const char *path, convt_error *err);

#endif
