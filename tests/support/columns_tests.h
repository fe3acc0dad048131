/*
 * The body of test_columns_f32.c and test_columns_f64.c: sums of columns on every instruction set,
 * for every small size and some large ones, exact because the numbers are small and whole.
 */
#include <stdlib.h>

#include "support/kernels.h"

static void check(const struct kernels *kernels, int64_t rows, int64_t columns)
{
    const int64_t count = rows * columns;
    real *a = malloc((size_t)count * sizeof *a),
         *sums = malloc((size_t)(columns + 1) * sizeof *sums);
    assert_non_null(a);
    assert_non_null(sums);
    for (int64_t i = 0; i < count; i++) a[i] = (real)(i * 7 % 31 - 11);
    for (int64_t c = 0; c <= columns; c++) sums[c] = (real)(c % 5);
    kernels->columns(rows, columns, a, sums);
    for (int64_t c = 0; c <= columns; c++) {
        int64_t expected = c % 5;
        for (int64_t r = 0; r < rows && c < columns; r++)
            expected += (r * columns + c) * 7 % 31 - 11;
        if (sums[c] != (real)expected)
            fail_msg("%lld x %lld: column %lld is %g, not %lld", (long long)rows,
                     (long long)columns, (long long)c, (double)sums[c], (long long)expected);
    }
    free(a);
    free(sums);
}

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t many[] = {64, 100, 127, 128, 129, 511, 512, 1025, 1100};
    for (size_t isa = 0; isa < KERNEL_ISAS; isa++) {
        const struct kernels *kernels = kernels_at(isa);
        for (int64_t columns = 1; kernels && columns <= 40; columns++)
            for (int64_t rows = 1; rows <= 70; rows++) check(kernels, rows, columns);
        for (size_t i = 0; kernels && i < sizeof many / sizeof *many; i++)
            for (int64_t rows = 1; rows <= 9; rows++) check(kernels, rows, many[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
