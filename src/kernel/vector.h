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

#ifdef __AVX512F__
#include <immintrin.h>
#endif

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

/*
 * Moves of less than a vector, where the instruction set has them, or made of what all have.
 *
 *     v_load_part, v_store_part   the first count < LANES elements, zeros behind; nothing behind is touched
 *     v_join_halves               half a vector from low and half from high; half a vector behind low and
 *                                 before high may be read, too
 */
#if defined(__AVX512F__) && CONVT_VECTOR_BYTES == 64

/* Elements of 4 or 8 bytes, whose bits a masked move keeps. */
INLINE vec v_load_part(const real *p, int64_t count)
{
    const __mmask16 part = (__mmask16)((1u << count) - 1);
    return sizeof(real) == 4 ? (vec)_mm512_maskz_loadu_epi32(part, p)
                             : (vec)_mm512_maskz_loadu_epi64((__mmask8)part, p);
}

INLINE void v_store_part(real *p, vec v, int64_t count)
{
    const __mmask16 part = (__mmask16)((1u << count) - 1);
    if (sizeof(real) == 4)
        _mm512_mask_storeu_epi32(p, part, (__m512i)v);
    else
        _mm512_mask_storeu_epi64(p, (__mmask8)part, (__m512i)v);
}

/* One insertion as the second half is loaded. */
INLINE vec v_join_halves(const real *low, const real *high)
{
    const __m256i first = _mm256_loadu_si256((const void *)low),
                  second = _mm256_loadu_si256((const void *)high);
    return (vec)_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

#else

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

/* A blend of two whole vectors, the second read half a vector early. */
INLINE vec v_join_halves(const real *low, const real *high)
{
    vec_bits index;
    UNROLL
    for (int l = 0; l < LANES; l++) index[l] = l < LANES / 2 ? l : LANES + l;
    return v_shuffle(v_load(low), v_load(high - LANES / 2), index);
}

#endif

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
