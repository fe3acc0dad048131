/* Checked sizes and arenas. */
#include "alloc.h"

#include <stdlib.h>

bool convti_mul64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool convti_count(int64_t n, int64_t h, int64_t w, int64_t c, int64_t *out)
{
    if (n < 0 || h < 0 || w < 0 || c < 0) return false;
    *out = 0;
    if (n == 0 || h == 0 || w == 0 || c == 0)
        return true; /* else 0 samples of an absurd shape would overflow on the way */
    return convti_mul64(n, h, out) && convti_mul64(*out, w, out) && convti_mul64(*out, c, out);
}

size_t convti_size_add(convti_size *size, int64_t count, size_t element_size)
{
    size_t bytes = 0, end = 0, offset = size->bytes;
    bool fits = !size->overflow && count >= 0 &&
                !__builtin_mul_overflow(count, element_size, &bytes) &&
                !__builtin_add_overflow(bytes, (size_t)CONVTI_ALIGNMENT - 1, &bytes);
    bytes &= ~((size_t)CONVTI_ALIGNMENT - 1);
    /* PTRDIFF_MAX bounds every object in C, the slack of convti_size_total included. */
    fits = fits && !__builtin_add_overflow(offset, bytes, &end) &&
           end <= PTRDIFF_MAX - CONVTI_ALIGNMENT;
    *size = (convti_size){.bytes = fits ? end : 0, .overflow = !fits};
    return fits ? offset : 0;
}

size_t convti_size_total(const convti_size *size)
{
    return size->overflow ? 0 : size->bytes + CONVTI_ALIGNMENT - 1;
}

void *convti_alloc(const convt_allocator *allocator, size_t size)
{
    if (allocator && allocator->alloc) return allocator->alloc(allocator->context, size);
    return malloc(size);
}

void convti_free(const convt_allocator *allocator, void *memory, size_t size)
{
    if (!memory) return;
    if (allocator && allocator->alloc) {
        if (allocator->free) /* a caller's bump allocator may have nothing to free */
            allocator->free(allocator->context, memory, size);
        return;
    }
    free(memory);
}

bool convti_arena_take(convti_arena *arena, const convt_allocator *allocator,
                       const convti_size *size)
{
    *arena = (convti_arena){.allocator = allocator ? *allocator : (convt_allocator){0}};
    size_t bytes = convti_size_total(size);
    void *memory = bytes ? convti_alloc(allocator, bytes) : NULL;
    if (!memory) return false;
    size_t slack = (CONVTI_ALIGNMENT - (uintptr_t)memory % CONVTI_ALIGNMENT) % CONVTI_ALIGNMENT;
    arena->memory = memory;
    arena->bytes = bytes;
    arena->base = (unsigned char *)memory + slack;
    return true;
}

void *convti_arena_at(const convti_arena *arena, size_t offset)
{
    return arena->base + offset;
}

void convti_arena_release(convti_arena *arena)
{
    convti_arena last = *arena;
    *arena = (convti_arena){0};
    convti_free(&last.allocator, last.memory, last.bytes);
}
