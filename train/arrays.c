/* A dataset over two arrays in memory. */
#include <string.h>

#include "convt/train.h"
#include "pieces.h"

static bool holds_rows_of(convt_const_view all, convt_view rows)
{
    return all.data && rows.data && all.dtype == rows.dtype && all.h == rows.h && all.w == rows.w &&
           all.c == rows.c;
}

static convt_status copy_rows(convt_const_view all, const int64_t *index, int64_t n,
                              convt_view rows)
{
    const size_t bytes = (size_t)(all.h * all.w * all.c) * convti_element_bytes(all.dtype);
    if (!holds_rows_of(all, rows) || rows.n != n) return CONVT_INVALID_SHAPE;
    for (int64_t k = 0; k < n; k++) {
        if (index[k] < 0 || index[k] >= all.n) return CONVT_INVALID_ARGUMENT;
        memcpy((unsigned char *)rows.data + (size_t)k * bytes,
               (const unsigned char *)all.data + (size_t)index[k] * bytes, bytes);
    }
    return CONVT_OK;
}

convt_status convt_arrays_gather(void *arrays, const int64_t *index, int64_t n, convt_view x,
                                 convt_view y)
{
    const convt_arrays *a = arrays;
    convt_status status = x.data ? copy_rows(a->x, index, n, x) : CONVT_OK;
    return status ? status : copy_rows(a->y, index, n, y);
}
