/*
 * loss = l1 * sum |w| + l2 * sum w^2, d loss / d w = l1 * sign(w) + 2 * l2 * w with sign(0) = 0.
 *
 * Sums run in double over PARTS interleaved partial sums, added in order: an order that depends on
 * the count alone, in which compilers find vectors without being allowed to reorder anything.
 */
#include <math.h>

#include "penalty.h"
#include "real.h"

enum { PARTS = 16 };

static double add_parts(const double parts[PARTS])
{
    double sum = 0;
    for (int k = 0; k < PARTS; k++) sum += parts[k];
    return sum;
}

static double sum_absolute(int64_t count, const real *w)
{
    double parts[PARTS] = {0};
    int64_t whole = count - count % PARTS;
    for (int64_t i = 0; i < whole; i += PARTS)
        for (int k = 0; k < PARTS; k++) parts[k] += fabs((double)w[i + k]);
    for (int64_t i = whole; i < count; i++) parts[i - whole] += fabs((double)w[i]);
    return add_parts(parts);
}

static double sum_squares(int64_t count, const real *w)
{
    double parts[PARTS] = {0};
    int64_t whole = count - count % PARTS;
    for (int64_t i = 0; i < whole; i += PARTS)
        for (int k = 0; k < PARTS; k++) parts[k] += (double)w[i + k] * (double)w[i + k];
    for (int64_t i = whole; i < count; i++) parts[i - whole] += (double)w[i] * (double)w[i];
    return add_parts(parts);
}

double FN(convti_penalty)(double l1, double l2, int64_t count, const real *w)
{
    double loss = 0;
    if (l1 != 0) loss += l1 * sum_absolute(count, w);
    if (l2 != 0) loss += l2 * sum_squares(count, w);
    return loss;
}

void FN(convti_penalty_gradient)(double l1, double l2, int64_t count, const real *w, real *dw)
{
    const real step = (real)l1, slope = (real)(2 * l2);
    if (l1 != 0)
        for (int64_t i = 0; i < count; i++)
            dw[i] += w[i] > 0 ? step : w[i] < 0 ? -step : 0 * w[i]; /* NaN stays NaN */
    if (l2 != 0)
        for (int64_t i = 0; i < count; i++) dw[i] += slope * w[i];
}
