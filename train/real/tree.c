/* sum = source[n-1] + ( .. + (source[0] + leaf)), element by element. */
#include "../tree.h"

#include <string.h>

#include "real.h"

static void add(int64_t count, const real *a, const real *b, real *sum)
{
    for (int64_t i = 0; i < count; i++) sum[i] = a[i] + b[i];
}

void FN(convti_tree_sum)(int64_t count, const void *leaf, const void *const source[], int n,
                         void *sum)
{
    if (n == 0) memcpy(sum, leaf, (size_t)count * sizeof(real));
    for (int k = 0; k < n; k++) add(count, source[k], k == 0 ? leaf : sum, sum);
}
