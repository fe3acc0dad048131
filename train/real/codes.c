/*
 * Learned inputs in one precision: the random projection  c[d] = sum over e of s[e] * P[e,d],  its
 * standardization c[d] = (c[d] - mean) / deviation  over the samples, and the descent  c -= rate *
 * dc.
 */
#include "../codes.h"

#define CONVT_VECTOR_BYTES 16 /* what every machine has: this unit is compiled once */

#include "rng.h"
#include "vector.h"

void FN(convti_codes_matrix)(uint64_t seed, int64_t panel, int64_t elements, int64_t components,
                             void *matrix)
{
    real *p = (real *)matrix + panel * elements * CONVTI_PANEL;
    convti_rng rng = convti_rng_start(seed, (uint64_t)panel);
    const int64_t columns = components - panel * CONVTI_PANEL;
    for (int64_t e = 0; e < elements; e++)
        for (int64_t d = 0; d < CONVTI_PANEL; d++)
            *p++ = d < columns ? (real)convti_rng_normal(&rng) : 0;
}

static void project_panel(const real *sample, int64_t elements, const real *p, int64_t columns,
                          real *code)
{
    enum { VECTORS = CONVTI_PANEL / LANES };
    vec sum[VECTORS] = {{0}};
    for (int64_t e = 0; e < elements; e++)
        for (int v = 0; v < VECTORS; v++)
            sum[v] += sample[e] * v_load(p + e * CONVTI_PANEL + v * LANES);
    for (int64_t d = 0; d < columns; d++) code[d] = sum[d / LANES][d % LANES];
}

void FN(convti_codes_project)(const void *sample, int64_t elements, const void *matrix,
                              int64_t components, void *codes)
{
    for (int64_t d = 0; d < components; d += CONVTI_PANEL) {
        const int64_t columns = components - d < CONVTI_PANEL ? components - d : CONVTI_PANEL;
        project_panel(sample, elements, (const real *)matrix + d * elements, columns,
                      (real *)codes + d);
    }
}

void FN(convti_codes_moment)(const void *codes, int64_t count, int64_t stride, int64_t component,
                             double mean, bool square, double *sum)
{
    const real *c = (const real *)codes + component;
    for (int64_t i = 0; i < count; i++) {
        const double apart = (double)c[i * stride] - mean;
        *sum += square ? apart * apart : apart;
    }
}

void FN(convti_codes_scale)(void *codes, int64_t count, int64_t stride, int64_t component,
                            double mean, double scale, bool fixed)
{
    real *c = (real *)codes + component;
    for (int64_t i = 0; i < count; i++)
        c[i * stride] = fixed ? 1 : (real)(((double)c[i * stride] - mean) * scale);
}

void FN(convti_codes_descend)(void *code, const void *slope, int64_t first, int64_t components,
                              double rate)
{
    real *c = code;
    const real *d = slope, step = (real)rate;
    for (int64_t i = first; i < components; i++) c[i] -= step * d[i];
}
