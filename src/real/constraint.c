/*
 * w becomes f(w, norm), norm = sqrt(sum of w^2 over the reduced axes), f a row of constraints.def.
 *
 * The tensor is seen as rows of c contiguous numbers at (n, h, w). A group is a set of numbers that
 * share a norm: one kept (n, h, w), all reduced ones, and along c either everything or one column.
 * Columns are taken CHUNK at a time, so that memory is read in the order it lies and nothing is
 * allocated. Norms are summed in double, each in index order.
 */
#include <tgmath.h>

#include "integer.h"
#include "projection.h"
#include "real.h"

enum { CHUNK = 128 };

struct params {
    real max_value, min_value, rate;
};

/* One group (or CHUNK groups side by side): where it starts and which rows belong to it. */
struct group {
    real *first;
    int64_t count[3], stride[3]; /* of the reduced axes among n, h, w; count 1 for a kept one */
    int64_t width;               /* numbers of a row that take part */
    bool columns;                /* each of them has a norm of its own */
};

#define CONVT_EPSILON ((real)1e-7)

static inline real clip(real x, real low, real high)
{
    real y = x < low ? low : x;
    return y > high ? high : y;
}

/* One element; and count <= CHUNK of them, each with its norm. Inlined once a row, so that which row it is is no
 * question within the loop. */
typedef real constrained(struct params p, real w, real norm);
typedef void constrain(const struct params *params, int64_t count, real *row, const real *norms);

static inline __attribute__((always_inline)) void constrain_row(constrained *f,
                                                                const struct params *params,
                                                                int64_t count, real *row,
                                                                const real *norms)
{
    const struct params p = *params;
    for (int64_t c = 0; c < count; c++) row[c] = f(p, row[c], norms[c]);
}

#define CONSTRAINT(enumerator, number, class_name, name, value, ...)                    \
    static inline real constrained_##name(struct params p, real w, real norm)           \
    {                                                                                   \
        return (void)p, (void)norm, (value);                                            \
    }                                                                                   \
    static void constrain_##name(const struct params *params, int64_t count, real *row, \
                                 const real *norms)                                     \
    {                                                                                   \
        constrain_row(constrained_##name, params, count, row, norms);                   \
    }
#include "convt/constraints.def"
#undef CONSTRAINT

static constrain *const constrain_table[] = {
#define CONSTRAINT(enumerator, number, class_name, name, ...) [number] = constrain_##name,
#include "convt/constraints.def"
#undef CONSTRAINT
};

static real *row_of(const struct group *group, int64_t n, int64_t h, int64_t w)
{
    return group->first + n * group->stride[0] + h * group->stride[1] + w * group->stride[2];
}

static void add_squares(const struct group *group, const real *row, double sums[CHUNK])
{
    if (group->columns)
        for (int64_t c = 0; c < group->width; c++) sums[c] += (double)row[c] * (double)row[c];
    else
        for (int64_t c = 0; c < group->width; c++) sums[0] += (double)row[c] * (double)row[c];
}

static void find_norms(const struct group *group, real norms[CHUNK])
{
    double sums[CHUNK] = {0};
    for (int64_t n = 0; n < group->count[0]; n++)
        for (int64_t h = 0; h < group->count[1]; h++)
            for (int64_t w = 0; w < group->count[2]; w++)
                add_squares(group, row_of(group, n, h, w), sums);
    if (group->columns)
        for (int64_t c = 0; c < group->width; c++) norms[c] = (real)sqrt(sums[c]);
    else
        for (int64_t c = 0; c < CHUNK; c++) norms[c] = c > 0 ? norms[0] : (real)sqrt(sums[0]);
}

static void project_group(const convti_projection *projection, const struct params *params,
                          const struct group *group)
{
    constrain *const f = constrain_table[projection->kind];
    real norms[CHUNK] = {0};
    if (projection->needs_norm) find_norms(group, norms);
    for (int64_t n = 0; n < group->count[0]; n++)
        for (int64_t h = 0; h < group->count[1]; h++)
            for (int64_t w = 0; w < group->count[2]; w++)
                for (int64_t c = 0; c < group->width; c += CHUNK)
                    f(params, lesser(group->width - c, CHUNK), row_of(group, n, h, w) + c, norms);
}

/* All groups that start in one row. */
static void project_row(const convti_projection *projection, const struct params *params,
                        struct group group, int64_t c)
{
    real *row = group.first;
    int64_t step = group.columns ? CHUNK : c;
    for (int64_t at = 0; at < c; at += step) {
        group.first = row + at;
        group.width = c - at < step ? c - at : step;
        project_group(projection, params, &group);
    }
}

void FN(convti_project)(const convti_projection *projection, convt_view w)
{
    const struct params params = {(real)projection->max_value, (real)projection->min_value,
                                  (real)projection->rate};
    const int64_t size[3] = {w.n, w.h, w.w}, stride[3] = {w.h * w.w * w.c, w.w * w.c, w.c};
    struct group group = {.columns = !projection->reduced[3]};
    int64_t kept[3];
    for (int a = 0; a < 3; a++) {
        group.stride[a] = stride[a];
        group.count[a] = projection->reduced[a] ? size[a] : 1;
        kept[a] = projection->reduced[a] ? 1 : size[a];
    }
    for (int64_t i = 0; i < kept[0]; i++)
        for (int64_t j = 0; j < kept[1]; j++)
            for (int64_t k = 0; k < kept[2]; k++) {
                group.first = (real *)w.data + i * stride[0] + j * stride[1] + k * stride[2];
                project_row(projection, &params, group, w.c);
            }
}
