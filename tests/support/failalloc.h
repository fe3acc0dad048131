/*
 * An allocator that fails on demand and keeps accounts. Memory comes filled with 0xA5, aligned to
 * 16 bytes and never to 64, with guards around it; a wrong size, an overrun or a double release
 * fails the test.
 */
#ifndef FAILALLOC_H
#define FAILALLOC_H

#include "convt/convt.h"

typedef struct failalloc {
    int64_t fail_at;   /* the call that fails, counted from 1; 0: none does */
    int64_t calls;     /* of alloc */
    int64_t live;      /* blocks not yet released */
    size_t live_bytes; /* as they were asked for */
    size_t peak_bytes;
    size_t last_size; /* of the last call of alloc */
} failalloc;

/* Start with {0}, or {.fail_at = k}. accounts must outlive the allocator. */
convt_allocator failalloc_allocator(failalloc *accounts);

#endif
