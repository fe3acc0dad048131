/*
 * FMA peak: enough independent accumulators to fill the units, nothing but FMAs in the loop, over
 * the widest vectors that the machine has. The same loop is compiled for each vector width; the
 * widest supported one runs.
 *
 * Bandwidth: every thread sums, or copies, a slice of memory of its own that no cache holds.
 */
#include "probe.h"

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 100000, CHAINS = 12, REPEATS = 5 };

static const size_t memory_bytes = (size_t)256 << 20;

double probe_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- FMA peak -------------------------------------------------------------------------------- */

#if defined(__aarch64__)
#define REGISTER "w"
#else
#define REGISTER "v"
#endif

/* The barrier keeps the accumulators in registers and the loop as written. */
#define PROBE(name, bytes, isa)                                                                   \
    typedef float name##_vec __attribute__((vector_size(bytes)));                                 \
    isa static double name(void)                                                                  \
    {                                                                                             \
        name##_vec a[CHAINS] = {{0}}, x = {0}, y = {0};                                           \
        __asm__ volatile("" : "+" REGISTER(x), "+" REGISTER(y));                                  \
        double start = probe_now();                                                               \
        for (int i = 0; i < STEPS; i++) _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) \
            {                                                                                     \
                a[k] = a[k] * x + y;                                                              \
                __asm__ volatile("" : "+" REGISTER(a[k]));                                        \
            }                                                                                     \
        double seconds = probe_now() - start;                                                     \
        return 2.0 * STEPS * CHAINS * (double)(bytes / sizeof(float)) / seconds * 1e-9;           \
    }

#if defined(__x86_64__)
PROBE(probe_avx512, 64, __attribute__((target("avx512f"))))
PROBE(probe_avx2, 32, __attribute__((target("avx2,fma"))))
#endif
PROBE(probe_base, 16, )

static double probe(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return probe_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return probe_avx2();
#endif
    return probe_base();
}

double probe_peak(int threads, double seconds)
{
    double best = 0;
    for (double start = probe_now(); probe_now() - start < seconds;) {
        double sum = 0;
#pragma omp parallel num_threads(threads)
        {
#pragma omp barrier
            double own = probe();
#pragma omp critical
            sum += own;
        }
        best = sum > best ? sum : best;
    }
    return best;
}

/* ---- memory ---------------------------------------------------------------------------------- */

typedef uint64_t lanes __attribute__((vector_size(16)));

/* Four streams, so that more lines are on their way than one stream asks for. */
static void read_slice(char *memory, size_t bytes)
{
    lanes a = {0}, b = {0}, c = {0}, d = {0};
    const lanes *p = (const void *)memory;
    const size_t quarter = bytes / sizeof *p / 4;
    for (size_t i = 0; i < quarter; i++) {
        a += p[i];
        b += p[i + quarter];
        c += p[i + 2 * quarter];
        d += p[i + 3 * quarter];
    }
    a += b + c + d;
    __asm__ volatile("" : : REGISTER(a));
}

static void copy_slice(char *memory, size_t bytes)
{
    memcpy(memory, memory + bytes / 2, bytes / 2);
}

static void write_slice(char *memory, size_t bytes)
{
    memset(memory, 1, bytes);
}

/* The best of several runs; every thread has a slice of whole cache lines. */
static double fastest(void (*work)(char *, size_t), char *memory, int threads)
{
    double best = 0;
    const size_t slice = memory_bytes / (size_t)threads / 4096 * 4096;
    for (int r = 0; r < REPEATS; r++) {
        const double start = probe_now();
#pragma omp parallel num_threads(threads)
        work(memory + (size_t)omp_get_thread_num() * slice, slice);
        const double speed = (double)(slice * (size_t)threads) / (probe_now() - start) * 1e-9;
        best = speed > best ? speed : best;
    }
    return best;
}

struct bandwidth probe_bandwidth(int threads)
{
    struct bandwidth found = {0, 0};
    char *memory = aligned_alloc(4096, memory_bytes);
    if (!memory) return found;
    fastest(write_slice, memory, threads); /* pages are there before they are measured */
    found.read = fastest(read_slice, memory, threads);
    found.copy = fastest(copy_slice, memory, threads);
    free(memory);
    return found;
}
