/*
 * What PCA leaves: with C the covariance of the pixels (P x P) and l_1 >= l_2 ... its eigenvalues,
 *
 *   residual = (trace C - l_1 - ... - l_D) / P
 *
 * C is never formed. The Lanczos iteration needs only products, each of them a pass over the images,
 *
 *   C v = 1/N sum_i (x_i - m) ((x_i - m) . v)
 *
 * and the largest eigenvalues of its small tridiagonal matrix approach those of C from below; with
 * full reorthogonalization a few dozen steps more than D give them to six digits. Partial sums have
 * a fixed order, so that the figure is the same for any number of threads.
 */
#include "pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"

enum { CHUNKS = 32, EXTRA_STEPS = 48 };
static const double WORK_LIMIT = 1.5e11; /* operations: seconds after minutes of training */

typedef struct analysis {
    const convt_images *images;
    int64_t count, pixels, steps;
    double *mean;              /* (pixels) */
    double *partial;           /* (CHUNKS, pixels) */
    double *chunk_value;       /* (CHUNKS) */
    double *basis;             /* (steps, pixels): orthonormal rows */
    double *product;           /* (pixels) */
    float *direction;          /* (pixels): the vector a product is taken with */
    double *diagonal, *beside; /* (steps): the tridiagonal matrix */
} analysis;

/* ---- vectors --------------------------------------------------------------------------------- */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *a, double scale, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] += scale * b[i];
}

/* ---- passes over the images ------------------------------------------------------------------ */

/* partial += scale * pixels */
static void accumulate(double *partial, const float *pixels, double scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) partial[i] += scale * (double)pixels[i];
}

static float dot_pixels(const float *pixels, const float *direction, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += pixels[i] * direction[i];
    return sum;
}

/* One chunk's part of  sum_i x_i s_i  and of  sum_i s_i, with s_i = x_i . v - offset; without v,
 * s_i = 1. */
static void chunk_pass(analysis *a, int64_t chunk, bool project, double offset, float *pixels)
{
    int64_t first = a->count * chunk / CHUNKS, end = a->count * (chunk + 1) / CHUNKS;
    double *partial = a->partial + chunk * a->pixels;
    memset(partial, 0, (size_t)a->pixels * sizeof *partial);
    a->chunk_value[chunk] = 0;
    for (int64_t i = first; i < end; i++) {
        image_pixels(a->images, i, pixels);
        double s = project ? (double)dot_pixels(pixels, a->direction, a->pixels) - offset : 1;
        accumulate(partial, pixels, s, a->pixels);
        a->chunk_value[chunk] += s;
    }
}

/* out = 1/N sum_i x_i s_i, *value = 1/N sum_i s_i. False where memory is out. */
static bool pass(analysis *a, bool project, double offset, double *out, double *value)
{
    bool good = true;
#pragma omp parallel reduction(&& : good)
    {
        float *pixels = malloc((size_t)a->pixels * sizeof *pixels);
        good = pixels != NULL;
#pragma omp for
        for (int64_t chunk = 0; chunk < CHUNKS; chunk++) {
            if (good) chunk_pass(a, chunk, project, offset, pixels);
        }
        free(pixels);
    }
    memset(out, 0, (size_t)a->pixels * sizeof *out);
    *value = 0;
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++) {
        add_scaled(out, 1 / (double)a->count, a->partial + chunk * a->pixels, a->pixels);
        *value += a->chunk_value[chunk] / (double)a->count;
    }
    return good;
}

/* product = C v. The mean of the s_i is 0 but for rounding, which the last line takes out. */
static bool multiply(analysis *a, const double *v)
{
    double mean_s;
    for (int64_t i = 0; i < a->pixels; i++) a->direction[i] = (float)v[i];
    if (!pass(a, true, dot(a->mean, v, a->pixels), a->product, &mean_s)) return false;
    add_scaled(a->product, -mean_s, a->mean, a->pixels);
    return true;
}

/* Sum of the variances of all pixels. */
static double trace(const analysis *a)
{
    double sum = 0;
    float *pixels = malloc((size_t)a->pixels * sizeof *pixels);
    if (!pixels) return NAN;
    for (int64_t i = 0; i < a->count; i++) {
        image_pixels(a->images, i, pixels);
        for (int64_t p = 0; p < a->pixels; p++) {
            double d = (double)pixels[p] - a->mean[p];
            sum += d * d;
        }
    }
    free(pixels);
    return sum / (double)a->count;
}

/* ---- Lanczos --------------------------------------------------------------------------------- */

/* Takes the parts along the first k basis vectors out of v, twice, which is enough. */
static void orthogonalize(const analysis *a, int64_t k, double *v)
{
    for (int twice = 0; twice < 2; twice++) {
        for (int64_t j = 0; j < k; j++)
            add_scaled(v, -dot(a->basis + j * a->pixels, v, a->pixels), a->basis + j * a->pixels,
                       a->pixels);
    }
}

/* Any fixed vector that is nobody's eigenvector. */
static void start_vector(double *v, int64_t n, uint64_t state)
{
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        v[i] = (double)(state >> 40) / (double)(1 << 23) - 1;
    }
}

/* basis[k] = the part of v that is new, with length 1; returns the length it had. */
static double append(analysis *a, int64_t k, double *v)
{
    orthogonalize(a, k, v);
    double length = sqrt(dot(v, v, a->pixels));
    if (length > 0) {
        for (int64_t i = 0; i < a->pixels; i++) a->basis[k * a->pixels + i] = v[i] / length;
    }
    return length;
}

/* Returns how many steps were made, 0 where memory is out. */
static int64_t lanczos(analysis *a, double total)
{
    start_vector(a->product, a->pixels, 1);
    append(a, 0, a->product);
    for (int64_t k = 0; k < a->steps; k++) {
        const double *v = a->basis + k * a->pixels;
        if (!multiply(a, v)) return 0;
        a->diagonal[k] = dot(v, a->product, a->pixels);
        if (k + 1 == a->steps) break;
        a->beside[k] = append(a, k + 1, a->product);
        /* An invariant subspace is used up: go on in what is left of the space. */
        if (a->beside[k] <= 1e-9 * total) {
            a->beside[k] = 0;
            start_vector(a->product, a->pixels, (uint64_t)k + 2);
            if (append(a, k + 1, a->product) <= 1e-9) return k + 1;
        }
    }
    return a->steps;
}

/* How many eigenvalues of the tridiagonal matrix are above x (Sturm's count). */
static int64_t count_above(const analysis *a, int64_t n, double x)
{
    int64_t above = 0;
    double q = 1;
    for (int64_t i = 0; i < n; i++) {
        double b = i > 0 ? a->beside[i - 1] : 0;
        q = a->diagonal[i] - x - (i > 0 ? b * b / q : 0);
        if (q == 0) q = -1e-300;
        above += q > 0;
    }
    return above;
}

/* The k-th largest eigenvalue, k from 1, by bisection. */
static double eigenvalue(const analysis *a, int64_t n, int64_t k, double high)
{
    double low = 0;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (count_above(a, n, middle) >= k)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double residual(analysis *a, int64_t components)
{
    double one;
    if (!pass(a, false, 0, a->mean, &one)) return NAN;
    double total = trace(a), kept = 0;
    if (isnan(total) || total <= 0) return total;
    int64_t steps = lanczos(a, total);
    if (steps == 0) return NAN;
    for (int64_t k = 1; k <= components && k <= steps; k++)
        kept += eigenvalue(a, steps, k, total * 1.0001);
    return fmax(total - kept, 0) / (double)a->pixels;
}

static int64_t step_count(int64_t pixels, int64_t components)
{
    const int64_t steps = 3 * components + EXTRA_STEPS;
    return steps < pixels ? steps : pixels;
}

bool pca_is_quick(int64_t count, int64_t pixels, int64_t components)
{
    if (pixels > PCA_MAX_PIXELS || pixels < 1 || count < 1 || components < 0) return false;
    const double steps = (double)step_count(pixels, components);
    const double passes = 4 * (double)count * (double)pixels * steps;
    const double orthogonal = 4 * (double)pixels * steps * steps;
    return passes + orthogonal <= WORK_LIMIT;
}

double pca_residual(const convt_images *images, int64_t components)
{
    analysis a = {
        .images = images, .count = images->count, .pixels = images->h * images->w * images->c};
    if (!pca_is_quick(a.count, a.pixels, components)) return NAN;
    a.steps = step_count(a.pixels, components);
    size_t pixels = (size_t)a.pixels, steps = (size_t)a.steps;
    size_t doubles = pixels * (2 + CHUNKS + steps) + CHUNKS + 2 * steps;
    double *memory = malloc(doubles * sizeof *memory);
    a.direction = malloc(pixels * sizeof *a.direction);
    double result = NAN;
    if (memory && a.direction) {
        a.mean = memory;
        a.product = a.mean + pixels;
        a.partial = a.product + pixels;
        a.basis = a.partial + CHUNKS * pixels;
        a.chunk_value = a.basis + steps * pixels;
        a.diagonal = a.chunk_value + CHUNKS;
        a.beside = a.diagonal + steps;
        result = residual(&a, components);
    }
    free(a.direction);
    free(memory);
    return result;
}
