/* What codes.c asks of the per-real code. */
#ifndef CONVT_CODES_H
#define CONVT_CODES_H

#include <stdbool.h>
#include <stdint.h>

enum { CONVTI_PANEL = 16 }; /* components that are projected together */

/* codes[d] = sum over e of sample[e] * matrix[d / PANEL][e][d % PANEL]; panels are padded with
 * zeros. */
void convti_codes_project_f32(const void *sample, int64_t elements, const void *matrix,
                              int64_t components, void *codes);
void convti_codes_project_f64(const void *sample, int64_t elements, const void *matrix,
                              int64_t components, void *codes);

/* Random normal numbers for the matrix, one panel. */
void convti_codes_matrix_f32(uint64_t seed, int64_t panel, int64_t elements, int64_t components,
                             void *matrix);
void convti_codes_matrix_f64(uint64_t seed, int64_t panel, int64_t elements, int64_t components,
                             void *matrix);

/* Adds to *sum  c - mean,  or its square, for one component c of `count` codes, in their order; codes
 * are `stride` apart. */
void convti_codes_moment_f32(const void *codes, int64_t count, int64_t stride, int64_t component,
                             double mean, bool square, double *sum);
void convti_codes_moment_f64(const void *codes, int64_t count, int64_t stride, int64_t component,
                             double mean, bool square, double *sum);

/* c = (c - mean) * scale; fixed: 1. */
void convti_codes_scale_f32(void *codes, int64_t count, int64_t stride, int64_t component,
                            double mean, double scale, bool fixed);
void convti_codes_scale_f64(void *codes, int64_t count, int64_t stride, int64_t component,
                            double mean, double scale, bool fixed);

/* code -= rate * slope, from component `first` on. */
void convti_codes_descend_f32(void *code, const void *slope, int64_t first, int64_t components,
                              double rate);
void convti_codes_descend_f64(void *code, const void *slope, int64_t first, int64_t components,
                              double rate);

#endif
