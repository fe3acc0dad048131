/*
 * vec: as many reals as CONVT_VECTOR_BYTES holds, over GCC vector extensions, so that one source
 * serves every ISA.
 */
#ifndef CONVT_VECTOR_H
#define CONVT_VECTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../real.h"

#define INLINE static inline __attribute__((always_inline))

/* In front of a loop whose bounds are constants once its function is inlined: a register tile must
 * have no loop left. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 40")
#endif

enum { LANES = CONVT_VECTOR_BYTES / (int)sizeof(real) };
enum { LINE_REALS = 64 / sizeof(real) }; /* of the cache */

typedef real vec __attribute__((vector_size(CONVT_VECTOR_BYTES)));
typedef real_bits vec_bits
    __attribute__((vector_size(CONVT_VECTOR_BYTES))); /* comparison results: all ones or zero */
typedef real loose_vec __attribute__((vector_size(CONVT_VECTOR_BYTES), aligned(sizeof(real)),
                                      may_alias)); /* anywhere */

INLINE vec v_load(const real *p)
{
    return *(const loose_vec *)p;
}

INLINE void v_store(real *p, vec v)
{
    *(loose_vec *)p = v;
}

INLINE vec v_splat(real a)
{
    return a - (vec){0}; /* folds to one broadcast; -0.0 survives, unlike a + 0 */
}

/* The value in a register: a load that several operations share is not repeated as the memory
 * operand of each, which would make their loop wait for loads. */
INLINE vec v_held(vec a)
{
#if defined(__AVX512F__) || (defined(__AVX__) && CONVT_VECTOR_BYTES <= 32) || \
    (defined(__SSE2__) && CONVT_VECTOR_BYTES <= 16)
    __asm__("" : "+v"(a));
#elif defined(__aarch64__) && CONVT_VECTOR_BYTES <= 16
    __asm__("" : "+w"(a));
#endif
    return a;
}

/* Fetches for writing. Elements that begin within a line end in one more, which is not among these. */
INLINE void prefetch_lines(const real *p, int count)
{
    UNROLL
    for (int at = 0; at < count; at += LINE_REALS) __builtin_prefetch(p + at, 1);
}

INLINE bool begins_within_line(const real *p)
{
    return (uintptr_t)p % (LINE_REALS * sizeof(real)) != 0;
}

/* One addition, in place of an address for every offset that would be worked out beforehand. */
INLINE const real *held_pointer(const real *p)
{
    __asm__("" : "+r"(p));
    return p;
}

/* Lane l is lane index[l] of a and b laid end to end; index holds constants once loops are
 * unrolled. */
INLINE vec v_shuffle(vec a, vec b, vec_bits index)
{
#ifdef __clang__
    vec r;
    UNROLL
    for (int l = 0; l < LANES; l++) r[l] = index[l] < LANES ? a[index[l]] : b[index[l] - LANES];
    return r;
#else
    return __builtin_shuffle(a, b, index);
#endif
}

/* count < LANES elements, by moves of constant size. */
INLINE void move_part(real *to, const real *from, int64_t count)
{
    UNROLL
    for (int step = LANES / 2; step >= 1; step /= 2)
        if (count & step) {
            memcpy(to, from, (size_t)step * sizeof(real));
            to += step;
            from += step;
        }
}

/* The first count < LANES elements, zeros behind; never reads past p[count - 1]. */
static inline vec v_load_part(const real *p, int64_t count)
{
    real lanes[LANES] __attribute__((aligned(CONVT_VECTOR_BYTES))) = {0};
    move_part(lanes, p, count);
    return *(const vec *)lanes;
}

static inline void v_store_part(real *p, vec v, int64_t count)
{
    real lanes[LANES] __attribute__((aligned(CONVT_VECTOR_BYTES)));
    *(vec *)lanes = v;
    move_part(p, lanes, count);
}

/* What is left of an array: a whole vector, or the part that there is. */
INLINE vec load_up_to(const real *p, int64_t count)
{
    return count < LANES ? v_load_part(p, count) : v_load(p);
}

INLINE void store_up_to(real *p, vec v, int64_t count)
{
    if (count < LANES)
        v_store_part(p, v, count);
    else
        v_store(p, v);
}

#endif
