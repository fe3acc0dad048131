/*
 * The sweep over the output that starts backward:
 *
 *     dz = (dy + l1 * sign(y) + 2 * l2 * y) * act'(z, y)     l1, l2 already divided by the batch
 *     db[f] = sum over pixels of dz[pixel, f]
 *
 * Pixels are cut into blocks by shape alone; each block has partial sums of db that are added in
 * order at the end. dz is written channels_last whatever the data_format, which is what the
 * contractions read.
 */
#include <string.h>

#include "../integer.h"
#include "passes.h"

/* Room for z, y and dy of one step in channels_last. */
size_t FN(convti_sweep_scratch)(const struct geometry *g)
{
    convti_size size = {0};
    for (int i = 0; i < 3; i++)
        convti_size_add(&size, convti_plan_sweep(g, 1).step * g->filters, sizeof(real));
    return size.bytes;
}

/* count pixels of a channels_first tensor, pixel by pixel; all within one image. */
static const real *transpose(const struct geometry *g, const real *from, int64_t pixel,
                             int64_t count, real *to)
{
    int64_t plane = g->h.out * g->w.out;
    from += pixel / plane * g->z_size + pixel % plane;
    for (int64_t f = 0; f < g->filters; f++)
        for (int64_t i = 0; i < count; i++) to[i * g->filters + f] = from[f * plane + i];
    return to;
}

/* Where the operands of one step are, in channels_last order: in the caller's memory, or copied to
 * this desk. */
struct desk {
    real *z, *y, *g;
};

static void lay_desk(struct desk *desk, const struct geometry *g, void *memory)
{
    convti_size size = {0};
    real **part[3] = {&desk->z, &desk->y, &desk->g};
    for (int i = 0; i < 3; i++)
        *part[i] =
            (real *)(void *)((char *)memory +
                             convti_size_add(&size, convti_plan_sweep(g, 1).step * g->filters,
                                             sizeof(real)));
}

void FN(convti_add_activity)(const struct sweep_call *call, int64_t count, const real *y,
                             const real *dy, real *sum)
{
    real l1 = (real)call->l1, l2 = (real)(2 * call->l2);
    for (int64_t i = 0; i < count; i++)
        sum[i] = dy[i] + l1 * (real)((y[i] > 0) - (y[i] < 0)) + l2 * y[i];
}

/* dz of `pixels` pixels from `pixel` on, all within one image where channels_first. */
static void make_dz(const struct sweep_call *call, struct desk *desk, int64_t pixel, int64_t pixels)
{
    const struct geometry *g = call->geometry;
    int64_t at = pixel * g->filters, count = pixels * g->filters;
    const real *y = call->y + at, *gradient = call->dy + at, *z = call->z ? call->z + at : y;
    real *dz = call->dz + at;
    if (g->channels_first) {
        y = transpose(g, call->y, pixel, pixels, desk->y);
        gradient = transpose(g, call->dy, pixel, pixels, desk->g);
        z = call->z ? transpose(g, call->z, pixel, pixels, desk->z) : y;
    }
    if (call->z_in_dz) z = dz;
    if (call->l1 != 0 || call->l2 != 0) {
        FN(convti_add_activity)(call, count, y, gradient, desk->g);
        gradient = desk->g;
    }
    if (call->custom)
        call->custom->backward(call->custom->context, REAL_DTYPE, count, z, y, gradient, dz);
    else if (call->slope)
        call->slope(&call->params, count, z, y, gradient, dz);
    else
        memcpy(dz, gradient, (size_t)count * sizeof(real));
}

static void add_columns(real *sums, const real *dz, int64_t pixels, int64_t filters)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t f = 0; f < filters; f++) sums[f] += dz[i * filters + f];
}

static void run_block(const struct sweep_call *call, struct desk *desk, int64_t first, int64_t last,
                      int64_t step, real *sums)
{
    const struct geometry *g = call->geometry;
    int64_t plane = g->h.out * g->w.out, pixels;
    memset(sums, 0, (size_t)g->filters * sizeof(real));
    for (int64_t pixel = first; pixel < last; pixel += pixels) {
        pixels = lesser(step, last - pixel);
        if (g->channels_first) pixels = lesser(pixels, plane - pixel % plane);
        if (call->dz) make_dz(call, desk, pixel, pixels);
        if (call->db)
            add_columns(sums, (call->dz ? call->dz : call->dy) + pixel * g->filters, pixels,
                        g->filters);
    }
}

void FN(convti_sweep)(const struct sweep_call *call)
{
    const struct geometry *g = call->geometry;
    struct sweep_plan plan = convti_plan_sweep(g, call->n);
    int64_t pixels = call->n * g->h.out * g->w.out, blocks = (pixels + plan.block - 1) / plan.block;
    struct desk desk;
    lay_desk(&desk, g, call->scratch);
    if (!call->dz && !call->db) return;
#pragma omp for schedule(static)
    for (int64_t b = 0; b < blocks; b++)
        run_block(call, &desk, b * plan.block, lesser((b + 1) * plan.block, pixels), plan.step,
                  call->parts + b * g->filters);
    if (call->db) {
#pragma omp for schedule(static)
        for (int64_t f = 0; f < g->filters; f++) {
            double sum = 0;
            for (int64_t b = 0; b < blocks; b++) sum += (double)call->parts[b * g->filters + f];
            call->db[f] = (real)sum;
        }
    }
}
