/*
 * Random codes. With c_i the codes of a run, m their mean and g_i independent standard normal
 * numbers,
 *
 *   z = m + 1/sqrt(N) sum_i g_i (c_i - m)
 *
 * is normal with exactly the mean and the covariance of the codes: no factorization, any size.
 */
#include "codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double read_code(const code_set *codes, int64_t at)
{
    return codes->dtype == CONVT_FLOAT64 ? ((const double *)codes->values)[at]
                                         : (double)((const float *)codes->values)[at];
}

static void write_code(const code_set *codes, void *out, int64_t at, double value)
{
    if (codes->dtype == CONVT_FLOAT64)
        ((double *)out)[at] = value;
    else
        ((float *)out)[at] = (float)value;
}

/* splitmix64 (Steele, Lea, Flood 2014): in (0, 1). */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    z ^= z >> 31;
    return ((double)(z >> 11) + 0.5) / 9007199254740992.0;
}

static double gaussian(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(6.283185307179586 * uniform(state));
}

/* z, and the mean on the way; both in double. */
static void random_code(const code_set *codes, const double *mean, uint64_t *state, double *z)
{
    double scale = 1 / sqrt((double)codes->count);
    memcpy(z, mean, (size_t)codes->size * sizeof *z);
    for (int64_t i = 0; i < codes->count; i++) {
        double g = scale * gaussian(state);
        for (int64_t k = 0; k < codes->size; k++)
            z[k] += g * (read_code(codes, i * codes->size + k) - mean[k]);
    }
}

bool codes_random(const code_set *codes, uint64_t seed, int64_t n, void *out)
{
    double *mean = calloc(2 * (size_t)codes->size, sizeof *mean);
    if (!mean) return false;
    double *z = mean + codes->size;
    uint64_t state = seed;
    for (int64_t i = 0; i < codes->count; i++) {
        for (int64_t k = 0; k < codes->size; k++)
            mean[k] += read_code(codes, i * codes->size + k) / (double)codes->count;
    }
    for (int64_t i = 0; i < n; i++) {
        random_code(codes, mean, &state, z);
        for (int64_t k = 0; k < codes->size; k++) write_code(codes, out, i * codes->size + k, z[k]);
    }
    free(mean);
    return true;
}

void codes_between(const code_set *codes, int64_t i, int64_t j, int64_t n, void *out)
{
    for (int64_t step = 0; step < n; step++) {
        double t = n > 1 ? (double)step / (double)(n - 1) : 0;
        for (int64_t k = 0; k < codes->size; k++) {
            double from = read_code(codes, i * codes->size + k),
                   to = read_code(codes, j * codes->size + k);
            write_code(codes, out, step * codes->size + k, (1 - t) * from + t * to);
        }
    }
}
