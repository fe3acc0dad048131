/* The typed halves of src/constraint.c, one per real. */
#ifndef CONVT_PROJECTION_H
#define CONVT_PROJECTION_H

#include "convt/convt.h"

typedef struct convti_projection {
    convt_constraint_kind kind;
    bool needs_norm;
    bool reduced[4]; /* which of n, h, w, c the norm runs over */
    double max_value, min_value, rate;
} convti_projection;

void convti_project_f32(const convti_projection *projection, convt_view w);
void convti_project_f64(const convti_projection *projection, convt_view w);

#endif
