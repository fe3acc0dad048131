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

/* Planes of one step: z and dz of channels_first, or dy with the activity term. */
struct desk {
    real *z, *g;
};

void FN(convti_add_activity)(const struct sweep_call *call, int64_t count, const real *y,
                             const real *dy, real *sum)
{
    real l1 = (real)call->l1, l2 = (real)(2 * call->l2);
    for (int64_t i = 0; i < count; i++)
        sum[i] = dy[i] + l1 * (real)((y[i] > 0) - (y[i] < 0)) + l2 * y[i];
}

/* Stretches of one step that are contiguous in memory: channels_last is one, channels_first has one
 * a plane. */
struct strips {
    int64_t rows, count;       /* how many, and elements of each */
    int64_t stride, dz_stride; /* from one to the next; of z where it lies with y */
    int64_t z_stride;
    const real *z, *y, *dy;
    real *sum, *dz; /* dy with the activity term, as dz lies; and the result */
};

static void run_strips(const struct sweep_call *call, const struct strips *s)
{
    for (int64_t r = 0; r < s->rows; r++) {
        const real *y = s->y + r * s->stride, *z = s->z + r * s->z_stride,
                   *gradient = s->dy + r * s->stride;
        real *dz = s->dz + r * s->dz_stride;
        if (call->l1 != 0 || call->l2 != 0) {
            real *sum = s->sum + r * s->dz_stride;
            FN(convti_add_activity)(call, s->count, y, gradient, sum);
            gradient = sum;
        }
        if (call->custom)
            call->custom->backward(call->custom->context, REAL_DTYPE, s->count, z, y, gradient, dz);
        else if (call->slope)
            call->slope(&call->params, s->count, z, y, gradient, dz);
        else if (dz != gradient)
            memcpy(dz, gradient, (size_t)s->count * sizeof(real));
    }
}

static void make_last(const struct sweep_call *call, const struct desk *desk, int64_t pixel,
                      int64_t pixels)
{
    const int64_t at = pixel * call->geometry->filters;
    real *dz = call->dz + at;
    const bool made = call->slope || call->custom;
    run_strips(call, &(struct strips){.rows = 1,
                                      .count = pixels * call->geometry->filters,
                                      .z = call->z_in_dz ? dz
                                           : call->z     ? call->z + at
                                                         : call->y + at,
                                      .y = call->y + at,
                                      .dy = call->dy + at,
                                      .sum = made ? desk->g : dz,
                                      .dz = dz});
}

/* Pixels of one image. dz is made plane by plane, as its operands lie, and then transposed. */
static void make_first(const struct sweep_call *call, const struct desk *desk, int64_t pixel,
                       int64_t pixels)
{
    const struct geometry *g = call->geometry;
    const int64_t plane = g->h.out * g->w.out, at = pixel / plane * g->z_size + pixel % plane;
    real *dz = call->dz + pixel * g->filters;
    const real *planes = call->dy + at;
    int64_t stride = plane;
    if (call->z_in_dz)
        call->kernels->transpose(pixels, g->filters, dz, g->filters, desk->z, pixels);
    if (call->slope || call->custom || call->l1 != 0 || call->l2 != 0) {
        run_strips(call, &(struct strips){.rows = g->filters,
                                          .count = pixels,
                                          .stride = plane,
                                          .dz_stride = pixels,
                                          .z_stride = call->z_in_dz ? pixels : plane,
                                          .z = call->z_in_dz ? desk->z
                                               : call->z     ? call->z + at
                                                             : call->y + at,
                                          .y = call->y + at,
                                          .dy = call->dy + at,
                                          .sum = desk->g,
                                          .dz = desk->g});
        planes = desk->g;
        stride = pixels;
    }
    call->kernels->transpose(g->filters, pixels, planes, stride, dz, g->filters);
}

static void run_block(const struct sweep_call *call, const struct desk *desk, int64_t first,
                      int64_t last, int64_t step, real *sums)
{
    const struct geometry *g = call->geometry;
    const int64_t plane = g->h.out * g->w.out;
    int64_t pixels;
    if (call->db) memset(sums, 0, (size_t)g->filters * sizeof(real));
    for (int64_t pixel = first; pixel < last; pixel += pixels) {
        pixels = lesser(step, last - pixel);
        if (call->dz && g->channels_first) {
            pixels = lesser(pixels, plane - pixel % plane);
            make_first(call, desk, pixel, pixels);
        } else if (call->dz) {
            make_last(call, desk, pixel, pixels);
        }
        if (call->db)
            call->kernels->columns(pixels, g->filters,
                                   (call->dz ? call->dz : call->dy) + pixel * g->filters, sums);
    }
}

static void add_blocks(const struct sweep_call *call)
{
    const int64_t filters = call->geometry->filters, blocks = call->plan->blocks;
    const struct share columns = convti_share(call->team, filters);
    for (int64_t f = columns.first; f < columns.last; f++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++) sum += (double)call->parts[b * filters + f];
        call->db[f] = (real)sum;
    }
}

void FN(convti_sweep)(const struct sweep_call *call)
{
    const struct geometry *g = call->geometry;
    const struct sweep_plan *p = call->plan;
    const int64_t pixels = call->n * g->h.out * g->w.out;
    const struct desk desk = {call->scratch, (real *)(void *)((char *)call->scratch + p->sum)};
    if (!call->dz && !call->db) return;
    const struct share own = convti_share(call->team, p->blocks);
    for (int64_t b = own.first; b < own.last; b++)
        run_block(call, &desk, b * p->block, lesser((b + 1) * p->block, pixels), p->step,
                  call->db ? call->parts + b * g->filters : NULL);
    convti_wait(call->team);
    if (call->db) add_blocks(call);
}
