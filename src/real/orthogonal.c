/*
 * The Q of a = Q R with a positive diagonal of R, which for normal a is uniform among all such Q
 * (Haar measure). A matrix has `count` vectors of `length` elements: its columns, or its rows where
 * it has fewer of them.
 *
 * Gram-Schmidt in blocks, twice: vectors are projected away from all blocks before theirs and from
 * those before them in their own block; the second round removes what rounding and cancellation
 * left in the first. Sums run in double. Memory is read in the order it lies, a tile of LENGTH x
 * BLOCK at a time; the tiles on the stack are all the memory there is.
 */
#include <math.h>
#include <stdbool.h>

#include "draw.h"
#include "integer.h"
#include "real.h"

enum { BLOCK = 32, LENGTH = 64 };

struct vectors {
    real *data; /* element k of vector i is data[k * along + i * across] */
    int64_t length, along, across;
};

/* Some vectors that stand side by side. */
struct block {
    int64_t first, width;
};

typedef double tile[LENGTH][BLOCK];

static void load(const struct vectors *v, struct block b, int64_t from, int64_t length, tile out)
{
    const real *data = v->data + from * v->along + b.first * v->across;
    if (v->across == 1) {
        for (int64_t k = 0; k < length; k++)
            for (int64_t i = 0; i < b.width; i++) out[k][i] = (double)data[k * v->along + i];
    } else {
        for (int64_t i = 0; i < b.width; i++)
            for (int64_t k = 0; k < length; k++) out[k][i] = (double)data[k + i * v->across];
    }
}

static void store(const struct vectors *v, struct block b, int64_t from, int64_t length,
                  const tile in)
{
    real *data = v->data + from * v->along + b.first * v->across;
    if (v->across == 1) {
        for (int64_t k = 0; k < length; k++)
            for (int64_t i = 0; i < b.width; i++) data[k * v->along + i] = (real)in[k][i];
    } else {
        for (int64_t i = 0; i < b.width; i++)
            for (int64_t k = 0; k < length; k++) data[k + i * v->across] = (real)in[k][i];
    }
}

/* products[i][j] = q_i . p_j */
static void multiply(const struct vectors *v, struct block q, struct block p,
                     double products[BLOCK][BLOCK])
{
    tile a, b;
    for (int64_t i = 0; i < q.width; i++)
        for (int64_t j = 0; j < p.width; j++) products[i][j] = 0;
    for (int64_t from = 0; from < v->length; from += LENGTH) {
        int64_t length = lesser(LENGTH, v->length - from);
        load(v, q, from, length, a);
        load(v, p, from, length, b);
        for (int64_t k = 0; k < length; k++)
            for (int64_t i = 0; i < q.width; i++)
                for (int64_t j = 0; j < p.width; j++) products[i][j] += a[k][i] * b[k][j];
    }
}

/* p_j -= sum over i of (q_i . p_j) q_i */
static void project_away(const struct vectors *v, struct block q, struct block p)
{
    double products[BLOCK][BLOCK];
    tile a, b;
    multiply(v, q, p, products);
    for (int64_t from = 0; from < v->length; from += LENGTH) {
        int64_t length = lesser(LENGTH, v->length - from);
        load(v, q, from, length, a);
        load(v, p, from, length, b);
        for (int64_t k = 0; k < length; k++)
            for (int64_t i = 0; i < q.width; i++)
                for (int64_t j = 0; j < p.width; j++) b[k][j] -= a[k][i] * products[i][j];
        store(v, p, from, length, (const double(*)[BLOCK])b);
    }
}

static void normalize(const struct vectors *v, int64_t index)
{
    double squares = 0;
    real *data = v->data + index * v->across;
    for (int64_t k = 0; k < v->length; k++)
        squares += (double)data[k * v->along] * (double)data[k * v->along];
    if (squares > 0) /* else it stays 0, as the sign of a zero on the diagonal has it */
        for (int64_t k = 0; k < v->length; k++)
            data[k * v->along] = (real)((double)data[k * v->along] / sqrt(squares));
}

void FN(convti_orthonormalize)(int64_t rows, int64_t columns, double gain, real *matrix)
{
    const bool tall = rows >= columns;
    const struct vectors v = {.data = matrix,
                              .length = tall ? rows : columns,
                              .along = tall ? columns : 1,
                              .across = tall ? 1 : columns};
    const int64_t count = tall ? columns : rows;
    for (int64_t first = 0; first < count; first += BLOCK) {
        const struct block panel = {first, lesser(BLOCK, count - first)};
        for (int round = 0; round < 2; round++) {
            for (int64_t before = 0; before < first; before += BLOCK)
                project_away(&v, (struct block){before, BLOCK}, panel);
            for (int64_t i = 0; i < panel.width; i++) {
                project_away(&v, (struct block){first, i}, (struct block){first + i, 1});
                normalize(&v, first + i);
            }
        }
    }
    for (int64_t i = 0; i < rows * columns; i++) matrix[i] = (real)(gain * (double)matrix[i]);
}
