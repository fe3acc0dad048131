#include "failalloc.h"

#include <stdlib.h>
#include <string.h>

#include "close.h"

enum {
    ALIGNED = 64,
    HEADER = 80,
    GUARD = 64,
    FILL = 0xA5,
    EDGE = 0x5C
}; /* 80: 16 past a multiple of 64 */

/* Before the block: the raw pointer and the size, then guard bytes; behind it: guard bytes. */
struct header {
    void *raw;
    size_t size;
};

static void *take(void *context, size_t size)
{
    failalloc *accounts = context;
    accounts->last_size = size;
    if (++accounts->calls == accounts->fail_at || size > SIZE_MAX / 2) return NULL;
    unsigned char *raw = malloc(size + ALIGNED + HEADER + GUARD);
    if (!raw) return NULL;
    unsigned char *base = raw + (ALIGNED - (uintptr_t)raw % ALIGNED) % ALIGNED,
                  *block = base + HEADER;
    struct header header = {raw, size};
    memset(base, EDGE, HEADER);
    memcpy(base, &header, sizeof header);
    memset(block, FILL, size);
    memset(block + size, EDGE, GUARD);
    accounts->live++;
    accounts->live_bytes += size;
    if (accounts->live_bytes > accounts->peak_bytes) accounts->peak_bytes = accounts->live_bytes;
    return block;
}

static void check_guard(const unsigned char *guard, size_t bytes, const char *side)
{
    for (size_t i = 0; i < bytes; i++)
        if (guard[i] != EDGE) fail_msg("memory was written %s a block, guard byte %zu", side, i);
}

static void give_back(void *context, void *memory, size_t size)
{
    failalloc *accounts = context;
    struct header header;
    if (!memory) {
        fail_msg("free was called with NULL");
        return;
    }
    unsigned char *block = memory;
    memcpy(&header, block - HEADER, sizeof header);
    if (header.size != size)
        fail_msg("free got size %zu for a block of %zu bytes (or one that is no longer there)",
                 size, header.size);
    check_guard(block - HEADER + sizeof header, HEADER - sizeof header, "before");
    check_guard(block + size, GUARD, "behind");
    header.size = ~size; /* a second release of memory that malloc has not reused yet */
    memcpy(block - HEADER, &header, sizeof header);
    accounts->live--;
    accounts->live_bytes -= size;
    free(header.raw);
}

convt_allocator failalloc_allocator(failalloc *accounts)
{
    return (convt_allocator){take, give_back, accounts};
}
