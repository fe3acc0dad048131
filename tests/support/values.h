/* Tensors of either dtype for tests: owned views, and their elements as doubles. Allocation failure
 * ends the test. */
#ifndef VALUES_H
#define VALUES_H

#include "convt/convt.h"

int64_t values_count(convt_const_view view);
double values_get(convt_const_view view, int64_t index);
void values_set(convt_view view, int64_t index, double value);

/* A new tensor, filled with NaN so that whatever is not written shows. Release with values_free. */
convt_view values_new(convt_dtype dtype, int64_t n, int64_t h, int64_t w, int64_t c);
void values_free(convt_view view);

/* Uniform in [low, high), the same numbers in both dtypes up to rounding, from a generator of the
 * tests' own. */
void values_random(convt_view view, uint64_t seed, double low, double high);

/* Elements as a new array of doubles (free()), and back. */
double *values_doubles(convt_const_view view);
void values_from(convt_view view, const double *values);

/* The next number of a small generator: state is any number. */
uint64_t values_next(uint64_t *state);

#endif
