#include "values.h"

#include <math.h>
#include <stdlib.h>

#include "close.h"

int64_t values_count(convt_const_view v)
{
    return v.n * v.h * v.w * v.c;
}

double values_get(convt_const_view v, int64_t i)
{
    return v.dtype == CONVT_FLOAT64 ? ((const double *)v.data)[i]
                                    : (double)((const float *)v.data)[i];
}

void values_set(convt_view v, int64_t i, double value)
{
    if (v.dtype == CONVT_FLOAT64)
        ((double *)v.data)[i] = value;
    else
        ((float *)v.data)[i] = (float)value;
}

static size_t bytes_for(int64_t count, size_t size)
{
    return count > 0 ? (size_t)count * size : 1; /* so that malloc's NULL always means failure */
}

convt_view values_new(convt_dtype dtype, int64_t n, int64_t h, int64_t w, int64_t c)
{
    convt_view v = {NULL, dtype, n, h, w, c};
    int64_t count = values_count(convt_read(v));
    v.data = malloc(bytes_for(count, dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float)));
    assert_non_null(v.data);
    for (int64_t i = 0; i < count; i++) values_set(v, i, (double)NAN);
    return v;
}

void values_free(convt_view v)
{
    free(v.data);
}

uint64_t values_next(uint64_t *state)
{
    /* Knuth's MMIX generator; the upper half is good enough for test data. */
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 32;
}

void values_random(convt_view v, uint64_t seed, double low, double high)
{
    uint64_t state = seed * 2654435761u + 12345;
    int64_t count = values_count(convt_read(v));
    values_next(&state);
    for (int64_t i = 0; i < count; i++)
        values_set(v, i, low + (high - low) * (double)values_next(&state) * 0x1p-32);
}

double *values_doubles(convt_const_view v)
{
    int64_t count = values_count(v);
    double *values = malloc(bytes_for(count, sizeof *values));
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = values_get(v, i);
    return values;
}

void values_from(convt_view v, const double *values)
{
    int64_t count = values_count(convt_read(v));
    for (int64_t i = 0; i < count; i++) values_set(v, i, values[i]);
}
