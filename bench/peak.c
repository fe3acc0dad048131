/*
 * FMA peak: enough independent accumulators to fill the units, nothing but FMAs in the loop, over
 * the widest vectors that the machine has. The same loop is compiled for each vector width; the
 * widest supported one runs.
 */
#include "peak.h"

#include <omp.h>
#include <stdint.h>
#include <time.h>

enum { STEPS = 100000, CHAINS = 12 };

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A vector register, as the machine's constraints name it. */
#if defined(__aarch64__)
#define VECTOR "+w"
#else
#define VECTOR "+v"
#endif

/* The barrier keeps the accumulators in registers and the loop as written. */
#define PROBE(name, bytes, isa)                                                                   \
    typedef float name##_vec __attribute__((vector_size(bytes)));                                 \
    isa static double name(void)                                                                  \
    {                                                                                             \
        name##_vec a[CHAINS] = {{0}}, x = {0}, y = {0};                                           \
        __asm__ volatile("" : VECTOR(x), VECTOR(y));                                              \
        double start = bench_now();                                                               \
        for (int i = 0; i < STEPS; i++) _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) \
            {                                                                                     \
                a[k] = a[k] * x + y;                                                              \
                __asm__ volatile("" : VECTOR(a[k]));                                              \
            }                                                                                     \
        double seconds = bench_now() - start;                                                     \
        return 2.0 * STEPS * CHAINS * (double)(bytes / sizeof(float)) / seconds * 1e-9;           \
    }

#if defined(__x86_64__)
PROBE(probe_avx512, 64, __attribute__((target("avx512f,prefer-vector-width=512"))))
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

double bench_peak_gflops(int threads)
{
    double best = 0;
    /* Long enough for the scheduler to give every thread a core of its own. */
    for (double start = bench_now(); bench_now() - start < 0.02;) {
        double sum = 0, each[256];
#pragma omp parallel num_threads(threads)
        {
#pragma omp barrier
            each[omp_get_thread_num() % 256] = probe();
        }
        for (int t = 0; t < threads && t < 256; t++) sum += each[t];
        best = sum > best ? sum : best;
    }
    return best;
}
