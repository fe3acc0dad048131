/*
 * A curve over epochs as inline SVG: colours and fonts come from the page's style sheet, so that it
 * follows dark mode.
 */
#ifndef CONVT_CHART_H
#define CONVT_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct chart {
    const char *title;
    int64_t count;
    const double *values; /* the first epoch's value; NaN is a gap */
    const double *second; /* of the validation; NULL: none */
    int64_t stride;       /* numbers from one epoch to the next */
    double reference;     /* a dashed line; NaN: none */
    const char *reference_label;
} chart;

void chart_write(FILE *out, const chart *chart);

#endif
