/* What an initializer comes down to once its row, its arguments and the shape are known: one
 * distribution, two numbers, and how many numbers make a row of the matrix. */
#ifndef CONVT_DRAW_H
#define CONVT_DRAW_H

#include <stdint.h>

typedef enum convti_distribution {
    CONVTI_VALUE,            /* a */
    CONVTI_UNIFORM,          /* [a, b) */
    CONVTI_NORMAL,           /* mean a, deviation b */
    CONVTI_TRUNCATED_NORMAL, /* a + b z, |z| <= 2 */
    CONVTI_ORTHOGONAL,       /* a times orthonormal columns, or rows where those are fewer */
    CONVTI_IDENTITY,         /* a on the diagonal, else 0 */
} convti_distribution;

typedef struct convti_draw {
    convti_distribution distribution;
    double a, b;
    int64_t columns; /* of the tensor as a matrix: its last axis */
} convti_draw;

void convti_fill_f32(const convti_draw *draw, uint64_t seed, int64_t count, float *out);
void convti_fill_f64(const convti_draw *draw, uint64_t seed, int64_t count, double *out);

/* Gram-Schmidt: the columns of a matrix, or its rows where it has fewer of them, become orthonormal
 * and are multiplied by gain. */
void convti_orthonormalize_f32(int64_t rows, int64_t columns, double gain, float *matrix);
void convti_orthonormalize_f64(int64_t rows, int64_t columns, double gain, double *matrix);

#endif
