/* The typed halves of src/regularizer.c, one per real. */
#ifndef CONVT_PENALTY_H
#define CONVT_PENALTY_H

#include <stdint.h>

/* l1 * sum |w| + l2 * sum w^2; a coefficient 0 leaves its sum out, infinite or not. */
double convti_penalty_f32(double l1, double l2, int64_t count, const float *w);
double convti_penalty_f64(double l1, double l2, int64_t count, const double *w);

/* dw += l1 * sign(w) + 2 * l2 * w */
void convti_penalty_gradient_f32(double l1, double l2, int64_t count, const float *w, float *dw);
void convti_penalty_gradient_f64(double l1, double l2, int64_t count, const double *w, double *dw);

#endif
