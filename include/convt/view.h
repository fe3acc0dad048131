/*
 * What every header of convt shares: statuses, errors, and views: typed pointers with a shape.
 * Included by convt.h.
 */
#ifndef CONVT_VIEW_H
#define CONVT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CONVT_API __attribute__((visibility("default")))
#else
#define CONVT_API
#endif

/* ---- status and errors ----------------------------------------------------------------------- */

typedef enum convt_status {
#define STATUS(name, number, text) CONVT_##name = number,
#include "status.def"
#undef STATUS
} convt_status;

/* What was refused: `field` is the config field or argument by its Keras name, `message` one
 * sentence with the value. */
typedef struct convt_error {
    convt_status status;
    char field[64];
    char message[256];
} convt_error;

/* A short English text for a status, "unknown status" for any other number. Static storage. */
CONVT_API const char *convt_status_text(convt_status status);

/* ---- views: typed pointers with a shape ------------------------------------------------------ */

typedef enum convt_dtype { CONVT_FLOAT32 = 0, CONVT_FLOAT64 = 1 } convt_dtype;

/*
 * Contiguous memory with its shape; the caller owns it. Sizes are named n, h, w, c whatever the
 * memory order: the layer's data_format alone says whether memory runs n,h,w,c (channels_last) or
 * n,c,h,w (channels_first). A kernel (kh, kw, filters, input channels) is a view with these four
 * sizes in this order, a bias is (1, 1, 1, filters).
 */
typedef struct convt_view {
    void *data;
    convt_dtype dtype;
    int64_t n, h, w, c;
} convt_view;

typedef struct convt_const_view {
    const void *data;
    convt_dtype dtype;
    int64_t n, h, w, c;
} convt_const_view;

#define CONVT_NONE ((convt_view){0}) /* the absent view: no gradient wanted, nothing kept */

static inline convt_view convt_view_of_f32(float *data, int64_t n, int64_t h, int64_t w, int64_t c)
{
    convt_view v = {data, CONVT_FLOAT32, n, h, w, c};
    return v;
}
static inline convt_view convt_view_of_f64(double *data, int64_t n, int64_t h, int64_t w, int64_t c)
{
    convt_view v = {data, CONVT_FLOAT64, n, h, w, c};
    return v;
}
static inline convt_const_view convt_const_view_of_f32(const float *data, int64_t n, int64_t h,
                                                       int64_t w, int64_t c)
{
    convt_const_view v = {data, CONVT_FLOAT32, n, h, w, c};
    return v;
}
static inline convt_const_view convt_const_view_of_f64(const double *data, int64_t n, int64_t h,
                                                       int64_t w, int64_t c)
{
    convt_const_view v = {data, CONVT_FLOAT64, n, h, w, c};
    return v;
}

/* convt_f32(p, n, h, w, c): a view of a float *, a const view of a const float *. convt_f64 the
 * same for double. */
#ifndef __cplusplus
#define convt_f32(p, n, h, w, c) \
    _Generic((p), float *: convt_view_of_f32, const float *: convt_const_view_of_f32)( \
        (p), (n), (h), (w), (c))
#define convt_f64(p, n, h, w, c) \
    _Generic((p), double *: convt_view_of_f64, const double *: convt_const_view_of_f64)( \
        (p), (n), (h), (w), (c))
#endif

/* The same memory, for reading. */
static inline convt_const_view convt_read(convt_view v)
{
    convt_const_view r = {v.data, v.dtype, v.n, v.h, v.w, v.c};
    return r;
}

#ifdef __cplusplus
}
#endif
#endif
