/*
 * The body of test_transpose_f32.c and test_transpose_f64.c: to[c][r] = from[r][c] on every
 * instruction set, for every small size, dense and with strides; what lies between stays.
 */
#include <stdlib.h>

#include "support/kernels.h"

enum { MOST = 37, GAP = 5, GUARD = -1 };

struct matrix {
    int64_t rows, columns, from_gap, to_gap;
};

static void check(const struct kernels *kernels, struct matrix m)
{
    const int64_t from_stride = m.columns + m.from_gap, to_stride = m.rows + m.to_gap;
    const int64_t from_size = (m.rows - 1) * from_stride + m.columns,
                  to_size = m.columns * to_stride + GAP;
    /* As long as it may be read: the sanitizer sees what goes beyond. */
    real *from = malloc((size_t)from_size * sizeof *from),
         *to = malloc((size_t)to_size * sizeof *to);
    assert_non_null(from);
    assert_non_null(to);
    for (int64_t i = 0; i < from_size; i++) from[i] = (real)i;
    for (int64_t i = 0; i < to_size; i++) to[i] = GUARD;
    kernels->transpose(m.rows, m.columns, from, from_stride, to, to_stride);
    for (int64_t i = 0; i < to_size; i++) {
        const int64_t r = i % to_stride, c = i / to_stride;
        const real expected = r < m.rows && c < m.columns ? from[r * from_stride + c] : GUARD;
        if (to[i] != expected)
            fail_msg("%lld x %lld, gaps %lld and %lld: [%lld][%lld] is %g", (long long)m.rows,
                     (long long)m.columns, (long long)m.from_gap, (long long)m.to_gap, (long long)c,
                     (long long)r, (double)to[i]);
    }
    free(from);
    free(to);
}

static void test_sizes(void **state)
{
    (void)state;
    for (size_t isa = 0; isa < KERNEL_ISAS; isa++) {
        const struct kernels *kernels = kernels_at(isa);
        for (int64_t rows = 1; kernels && rows <= MOST; rows++)
            for (int64_t columns = 1; columns <= MOST; columns++)
                for (int64_t gaps = 0; gaps < 4; gaps++)
                    check(kernels,
                          (struct matrix){rows, columns, gaps & 1 ? GAP : 0, gaps & 2 ? GAP : 0});
    }
}

/* Columns so far apart that they share sets of the cache are written a few at a time. */
static void test_planes(void **state)
{
    (void)state;
    for (size_t isa = 0; isa < KERNEL_ISAS; isa++) {
        const struct kernels *kernels = kernels_at(isa);
        for (int64_t rows = 1; kernels && rows <= MOST; rows += 4)
            for (int64_t columns = 1; columns <= MOST; columns++)
                for (int64_t plane = 256; plane <= 1024; plane *= 2)
                    check(kernels, (struct matrix){rows, columns, GAP, plane - rows});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_planes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
