/*
 * Fills a tensor from a distribution. Numbers are drawn in double whatever the real is, so a seed
 * means the same tensor in both precisions up to one rounding.
 */
#include <tgmath.h>

#include "draw.h"
#include "real.h"
#include "rng.h"

void FN(convti_fill)(const convti_draw *draw, uint64_t seed, int64_t count, real *out)
{
    const double a = draw->a, b = draw->b;
    convti_rng rng = convti_rng_start(seed, 0);
    switch (draw->distribution) {
    case CONVTI_VALUE:
        for (int64_t i = 0; i < count; i++) out[i] = (real)a;
        return;
    case CONVTI_UNIFORM:
        for (int64_t i = 0; i < count; i++) {
            out[i] = (real)(a + (b - a) * convti_rng_uniform(&rng));
            /* rounded to the end, which does not belong to the range */
            if (a <= b ? out[i] >= (real)b : out[i] <= (real)b)
                out[i] = nextafter((real)b, (real)a);
        }
        return;
    case CONVTI_NORMAL:
        for (int64_t i = 0; i < count; i++) out[i] = (real)(a + b * convti_rng_normal(&rng));
        return;
    case CONVTI_TRUNCATED_NORMAL:
        for (int64_t i = 0; i < count; i++)
            out[i] = (real)(a + b * convti_rng_truncated_normal(&rng));
        return;
    case CONVTI_ORTHOGONAL:
        for (int64_t i = 0; i < count; i++) out[i] = (real)convti_rng_normal(&rng);
        FN(convti_orthonormalize)(count / draw->columns, draw->columns, a, out);
        return;
    case CONVTI_IDENTITY:
        for (int64_t i = 0; i < count; i++)
            out[i] = i / draw->columns == i % draw->columns ? (real)a : 0;
        return;
    }
}
