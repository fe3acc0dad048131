/*
 * The body of activations_f32.c and activations_f64.c: what every elementwise activation moves, in
 * GB/s, over arrays far beyond the caches, beside copies of the same blocks.
 *
 *     bench_activations_f32 [threads] [name]
 *
 * forward reads z and writes y, as a copy does; backward reads y (or z) and dy, writes dz, and is
 * compared to dz = y + dy. The last number of each is the copy's or the sum's speed over it.
 */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/real/passes.h"
#include "probe.h"

enum { RUNS = 7, BYTES = 64 << 20, COUNT = BYTES / sizeof(real), BLOCK = 4096 };

struct arrays {
    const struct kernels *kernels;
    real *z, *y, *dy, *dz;
    int activation, threads;
    struct activation_params params;
    bool needs_z;
};

typedef void block_work(const struct arrays *a, int64_t first);

static void copy(const struct arrays *a, int64_t first)
{
    memcpy(a->y + first, a->z + first, BLOCK * sizeof(real));
}

static void add(const struct arrays *a, int64_t first)
{
    for (int64_t i = first; i < first + BLOCK; i++) a->dz[i] = a->y[i] + a->dy[i];
}

static void forward(const struct arrays *a, int64_t first)
{
    a->kernels->activate[a->activation](&a->params, BLOCK, a->z + first, a->y + first);
}

static void backward(const struct arrays *a, int64_t first)
{
    const real *y = (a->needs_z ? a->z : a->y) + first;
    a->kernels->slope[a->activation](&a->params, BLOCK, y, a->y + first, a->dy + first,
                                     a->dz + first);
}

/* The best of several runs, in GB/s. */
static double speed(const struct arrays *a, block_work *work, int passes)
{
    double best = 0;
    for (int r = 0; r < RUNS; r++) {
        const double start = probe_now();
#pragma omp parallel for schedule(static) num_threads(a->threads)
        for (int64_t i = 0; i < COUNT; i += BLOCK) work(a, i);
        best = fmax(best, (double)passes * BYTES / (probe_now() - start) * 1e-9);
    }
    return best;
}

static void measure(struct arrays *a, const char *name, int number)
{
    const convt_activation activation = {.kind = (convt_activation_kind)number};
    struct convti_activation_params p;
    convti_activation_defaults(&activation, &p);
    a->activation = number;
    a->needs_z = convti_activation_needs_z(&activation);
    a->params = (struct activation_params){
#define ACTIVATION_ARGUMENT(name, range) .name = (real)(isnan(p.name) ? 0.5 : p.name),
#include "convt/activations.def"
    };
    const double copied = speed(a, copy, 2), y = speed(a, forward, 2);
    const double added = speed(a, add, 3), dz = speed(a, backward, 3);
    printf("%-16s forward %5.1f, copy %5.1f: %4.2f    backward %5.1f, sum %5.1f: %4.2f\n", name, y,
           copied, copied / y, dz, added, added / dz);
}

static real *numbers(uint32_t seed, int threads)
{
    real *a = aligned_alloc(64, BYTES);
    if (!a) exit(1);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < COUNT; i++) {
        const uint32_t bits = ((uint32_t)i + seed) * 2654435761u;
        a[i] = (real)(bits >> 8) * (real)0x1p-22 - 2;
    }
    return a;
}

int main(int argc, char **argv)
{
    const char *isa;
    const int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    struct arrays a = {.kernels = FN(convti_choose_isa)(getenv("CONVT_ISA"), &isa),
                       .z = numbers(1, threads),
                       .y = numbers(2, threads),
                       .dy = numbers(3, threads),
                       .dz = numbers(4, threads),
                       .threads = threads};
    if (!a.kernels) return 1;
    printf("float%d, %s, %d threads, arrays of %d MiB; GB/s, best of %d\n", CONVT_REAL, isa,
           threads, BYTES >> 20, RUNS);
#define ACTIVATION(enumerator, number, name, ...) \
    if (argc < 3 || strcmp(argv[2], #name) == 0) measure(&a, #name, number);
#include "convt/activations.def"
    free(a.z);
    free(a.y);
    free(a.dy);
    free(a.dz);
    return 0;
}
