/* What an initializer comes down to once its row, its arguments and the fans are known: one
 * distribution, two numbers. */
#ifndef CONVT_DRAW_H
#define CONVT_DRAW_H

#include <stdint.h>

typedef enum convti_distribution {
    CONVTI_VALUE,            /* a */
    CONVTI_UNIFORM,          /* [a, b) */
    CONVTI_NORMAL,           /* mean a, deviation b */
    CONVTI_TRUNCATED_NORMAL, /* a + b z, |z| <= 2 */
} convti_distribution;

typedef struct convti_draw {
    convti_distribution distribution;
    double a, b;
} convti_draw;

void convti_fill_f32(const convti_draw *draw, uint64_t seed, int64_t count, float *out);
void convti_fill_f64(const convti_draw *draw, uint64_t seed, int64_t count, double *out);

#endif
