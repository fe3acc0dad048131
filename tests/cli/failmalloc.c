/*
 * A library to preload: takes malloc's place and fails on demand. FAILMALLOC_AT=k: the k-th call fails, and
 * with FAILMALLOC_ON=1 every one behind it. The number of calls is written to the file FAILMALLOC_COUNT.
 * HDF5's own calls do not count: HDF5 1.10 does not survive without memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static atomic_long calls, at, on;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("FAILMALLOC_AT");
    atomic_store(&on, getenv("FAILMALLOC_ON") != NULL);
    atomic_store(&calls, 0);
    atomic_store(&at, text ? atol(text) : 0);
}

__attribute__((destructor)) static void end(void)
{
    const char *name = getenv("FAILMALLOC_COUNT");
    const long count = atomic_load(&calls);
    atomic_store(&at, 0);
    FILE *file = name ? fopen(name, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", count);
    fclose(file);
}

static int fails(const void *caller)
{
    Dl_info where;
    if (dladdr(caller, &where) && where.dli_fname && strstr(where.dli_fname, "hdf5")) return 0;
    const long call = atomic_fetch_add(&calls, 1) + 1, first = atomic_load(&at);
    if (first == 0 || (call != first && !(atomic_load(&on) && call > first))) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}
