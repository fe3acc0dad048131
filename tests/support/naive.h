/*
 * The oracle: transposed convolution as seven plain loops in double, written from the equations and
 * from Keras' rules for output size and crop. Shares no code with the library.
 *
 *   z [n,o,f] = b[f] + sum over (t,c) of x [n,i,c] * w[t,f,c]
 *   per axis  o = i * stride + t * dilation - crop
 *   dx[n,i,c] =        sum over (t,f) of dz[n,o,f] * w[t,f,c]
 *   dw[t,f,c] =        sum over (n,i) of dz[n,o,f] * x[n,i,c]
 *   db[f]     =        sum over (n,o) of dz[n,o,f]
 */
#ifndef NAIVE_H
#define NAIVE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct naive_axis {
    int64_t in, kernel, stride, dilation;
    bool same;
    int64_t output_padding; /* -1: None */
    bool cut;               /* begin and end are cut, whatever same says */
    int64_t begin, end;
} naive_axis;

typedef struct naive_problem {
    int64_t n, channels, filters;
    naive_axis h, w;
    bool channels_first;
} naive_problem;

int64_t naive_out(const naive_axis *axis);  /* may be 0 or less for a shape without output */
int64_t naive_crop(const naive_axis *axis); /* rows cut at the beginning */

/* z before the activation; b may be NULL. */
void naive_forward(const naive_problem *p, const double *x, const double *w, const double *b,
                   double *z);

/* Overwrites; any of dx, dw, db may be NULL. */
void naive_backward(const naive_problem *p, const double *x, const double *w, const double *dz,
                    double *dx, double *dw, double *db);

#endif
