/*
 * Memory: checked sizes, and one arena per object.
 *
 *     convti_size size = {0};
 *     size_t at_x = convti_size_add(&size, count, sizeof(float));   // overflow sticks
 *     if (size.overflow) ...                                        // CONVT_TOO_LARGE
 *     if (!convti_arena_take(&arena, &cfg->allocator, &size)) ...   // CONVT_NO_MEMORY
 *     float *x = convti_arena_at(&arena, at_x);                     // 64-byte aligned
 *     convti_arena_release(&arena);
 */
#ifndef CONVT_ALLOC_H
#define CONVT_ALLOC_H

#include "convt/convt.h"

enum { CONVTI_ALIGNMENT = 64 };

/* *out = a * b; false where the result does not fit (*out is then unspecified). */
bool convti_mul64(int64_t a, int64_t b, int64_t *out);

/* n * h * w * c; false where it does not fit in 63 bits or a factor is negative. */
bool convti_count(int64_t n, int64_t h, int64_t w, int64_t c, int64_t *out);

/* Numbers of a dtype may lie there: NULL, or a multiple of their size. */
static inline bool convti_aligned(const void *data, convt_dtype dtype)
{
    return (uintptr_t)data % (dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float)) == 0;
}

/* Sizes of an arena under construction. Start with {0}. */
typedef struct convti_size {
    size_t bytes;  /* a multiple of CONVTI_ALIGNMENT */
    bool overflow; /* sticky; bytes and offsets are 0 from then on */
} convti_size;

/* Room for count elements; returns its offset. A negative count is an overflow. */
size_t convti_size_add(convti_size *size, int64_t count, size_t element_size);

/* What is asked of the allocator: the parts and the slack aligning costs; 0 after an overflow. */
size_t convti_size_total(const convti_size *size);

/* Plain allocation through the callbacks; NULL callbacks are malloc and free, which one a NULL
 * allocator also means. */
void *convti_alloc(const convt_allocator *allocator, size_t size);
void convti_free(const convt_allocator *allocator, void *memory,
                 size_t size); /* NULL memory is accepted */

typedef struct convti_arena {
    convt_allocator allocator;
    void *memory; /* as the allocator gave it */
    size_t bytes; /* as it was asked */
    unsigned char *base;
} convti_arena;

/* False where memory is refused or the size overflowed; the arena is then empty. Contents are not
 * cleared. */
bool convti_arena_take(convti_arena *arena, const convt_allocator *allocator,
                       const convti_size *size);
void *convti_arena_at(const convti_arena *arena, size_t offset);

/* Safe on a zeroed arena and on one that lies in its own memory. */
void convti_arena_release(convti_arena *arena);

#endif
