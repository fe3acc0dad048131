#include "naive.h"

#include <stddef.h>
#include <string.h>

static int64_t effective_kernel(const naive_axis *a)
{
    return (a->kernel - 1) * a->dilation + 1;
}

static int64_t at_least_0(int64_t v)
{
    return v > 0 ? v : 0;
}

int64_t naive_out(const naive_axis *a)
{
    int64_t ke = effective_kernel(a), op = a->output_padding;
    if (a->cut) return (a->in - 1) * a->stride + ke - a->begin - a->end + at_least_0(op);
    if (!a->same)
        return (a->in - 1) * a->stride + ke +
               (op >= 0 ? op : (ke > a->stride ? ke : a->stride) - ke);
    return op >= 0 ? (a->in - 1) * a->stride + ke % 2 + op : a->in * a->stride;
}

int64_t naive_crop(const naive_axis *a)
{
    int64_t ke = effective_kernel(a);
    if (a->cut) return a->begin;
    if (!a->same) return 0;
    /* Where the numerator is negative, rounding its half down or to zero does not matter. */
    return at_least_0((a->output_padding >= 0 ? ke - ke % 2 - a->output_padding : ke - a->stride) /
                      2);
}

/* Memory order of a sample batch: channels last or channels first. */
static int64_t at(bool first, int64_t n, int64_t y, int64_t x, int64_t c, int64_t h, int64_t w,
                  int64_t channels)
{
    return first ? ((n * channels + c) * h + y) * w + x : ((n * h + y) * w + x) * channels + c;
}

/* One term of the sums: the offsets of x, w and z that meet. */
typedef void visit(void *context, int64_t x, int64_t w, int64_t z);

static void every_term(const naive_problem *p, visit *f, void *context)
{
    const int64_t out_h = naive_out(&p->h), out_w = naive_out(&p->w);
    const int64_t crop_h = naive_crop(&p->h), crop_w = naive_crop(&p->w);
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t i = 0; i < p->h.in; i++)
            for (int64_t j = 0; j < p->w.in; j++)
                for (int64_t s = 0; s < p->h.kernel; s++)
                    for (int64_t t = 0; t < p->w.kernel; t++) {
                        int64_t o = i * p->h.stride + s * p->h.dilation - crop_h;
                        int64_t q = j * p->w.stride + t * p->w.dilation - crop_w;
                        if (o < 0 || o >= out_h || q < 0 || q >= out_w) continue;
                        for (int64_t k = 0; k < p->filters; k++)
                            for (int64_t c = 0; c < p->channels; c++)
                                f(context,
                                  at(p->channels_first, n, i, j, c, p->h.in, p->w.in, p->channels),
                                  ((s * p->w.kernel + t) * p->filters + k) * p->channels + c,
                                  at(p->channels_first, n, o, q, k, out_h, out_w, p->filters));
                    }
}

struct arrays {
    const double *x, *w, *dz;
    double *z, *dx, *dw;
};

static void add_to_z(void *context, int64_t x, int64_t w, int64_t z)
{
    const struct arrays *a = context;
    a->z[z] += a->x[x] * a->w[w];
}

static void add_to_gradients(void *context, int64_t x, int64_t w, int64_t z)
{
    const struct arrays *a = context;
    if (a->dx) a->dx[x] += a->dz[z] * a->w[w];
    if (a->dw) a->dw[w] += a->dz[z] * a->x[x];
}

static void clear(double *values, int64_t count)
{
    if (values && count > 0) memset(values, 0, (size_t)count * sizeof *values);
}

void naive_forward(const naive_problem *p, const double *x, const double *w, const double *b,
                   double *z)
{
    const int64_t out_h = naive_out(&p->h), out_w = naive_out(&p->w);
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t o = 0; o < out_h; o++)
            for (int64_t q = 0; q < out_w; q++)
                for (int64_t k = 0; k < p->filters; k++)
                    z[at(p->channels_first, n, o, q, k, out_h, out_w, p->filters)] = b ? b[k] : 0;
    struct arrays a = {.x = x, .w = w, .z = z};
    every_term(p, add_to_z, &a);
}

void naive_backward(const naive_problem *p, const double *x, const double *w, const double *dz,
                    double *dx, double *dw, double *db)
{
    const int64_t out_h = naive_out(&p->h), out_w = naive_out(&p->w);
    clear(dx, p->n * p->h.in * p->w.in * p->channels);
    clear(dw, p->h.kernel * p->w.kernel * p->filters * p->channels);
    clear(db, p->filters);
    struct arrays a = {.x = x, .w = w, .dz = dz, .dx = dx, .dw = dw};
    if (dx || dw) every_term(p, add_to_gradients, &a);
    for (int64_t n = 0; db && n < p->n; n++)
        for (int64_t o = 0; o < out_h; o++)
            for (int64_t q = 0; q < out_w; q++)
                for (int64_t k = 0; k < p->filters; k++)
                    db[k] += dz[at(p->channels_first, n, o, q, k, out_h, out_w, p->filters)];
}
