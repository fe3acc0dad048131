/*
 * What small layers cost beyond their arithmetic: calls, creation, reshape. Best of many rounds of
 * each, because what disturbs a microsecond is never the library.
 *
 *     bench_calls
 *
 * "beyond the flops" is the time of a call less the time that its flops take at 70 % of the FMA peak.
 */
#include <stdio.h>
#include <stdlib.h>

#include "convt/convt.h"
#include "probe.h"

enum { ROUNDS = 40 };

struct desk {
    convt_config cfg;
    convt_layer *layer;
    convt_view x, y, dy, dx;
    double *data;
};

typedef void step(struct desk *d);

static void forward(struct desk *d)
{
    convt_forward(d->layer, convt_read(d->x), d->y);
}

static void backward(struct desk *d)
{
    convt_backward(d->layer, convt_read(d->x), convt_read(d->y), convt_read(d->dy), d->dx);
}

static void create(struct desk *d)
{
    convt_layer *layer;
    if (convt_layer_create(&layer, &d->cfg, NULL) == CONVT_OK) convt_layer_destroy(layer);
}

/* Between two sizes, both of which fit: half of the calls go down, half of them up. */
static void reshape(struct desk *d)
{
    const convt_shape whole = d->cfg.input, now = convt_layer_config(d->layer)->input;
    const int64_t less = now.h == whole.h;
    convt_layer_reshape(d->layer, d->cfg.max_batch, whole.h - less, whole.w - less);
}

/* Seconds of a call, the best round. */
static double best_of(step *run, struct desk *d)
{
    double best = 1e9, start = probe_now();
    run(d);
    run(d);
    const int inner = 1 + (int)(1e-3 / (probe_now() - start + 1e-9));
    for (int round = 0; round < ROUNDS; round++) {
        start = probe_now();
        for (int i = 0; i < inner; i++) run(d);
        const double seconds = (probe_now() - start) / inner;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static convt_view take(double **at, int64_t n, convt_shape s)
{
    float *data = (void *)*at;
    const convt_view v = convt_f32(data, n, s.h, s.w, s.c);
    *at += (n * s.h * s.w * s.c + 15) / 16 * 8;
    return v;
}

static bool set_up(struct desk *d, const convt_config *cfg)
{
    convt_error err;
    d->cfg = *cfg;
    if (convt_layer_create(&d->layer, cfg, &err) != CONVT_OK) {
        fprintf(stderr, "bench_calls: %s\n", err.message);
        return false;
    }
    const convt_shape in = cfg->input, out = convt_layer_output(d->layer);
    d->data = calloc((size_t)(cfg->max_batch * (in.h * in.w * in.c + out.h * out.w * out.c)) + 64,
                     sizeof *d->data);
    double *at = d->data;
    if (!d->data) return false;
    d->x = take(&at, cfg->max_batch, in);
    d->dx = take(&at, cfg->max_batch, in);
    d->y = take(&at, cfg->max_batch, out);
    d->dy = take(&at, cfg->max_batch, out);
    return true;
}

static double flops_of(const convt_config *c)
{
    return 2.0 * (double)(c->max_batch * c->input.h * c->input.w * c->input.c * c->filters *
                          c->kernel_size.h * c->kernel_size.w);
}

static void report(const char *what, const char *name, const struct desk *d, double seconds,
                   double flops, double peak)
{
    printf("%-8s  %-10s  %d thread%s  %9.3f us", name, what, d->cfg.threads,
           d->cfg.threads > 1 ? "s" : " ", seconds * 1e6);
    if (flops > 0)
        printf("  %9.3f us beyond the flops  %5.2f x the flops' time",
               (seconds - flops / (0.7e9 * peak)) * 1e6, seconds * 0.7e9 * peak / flops);
    printf("\n");
}

static bool measure(const char *name, convt_config cfg, int threads)
{
    struct desk d = {0};
    cfg.threads = threads;
    if (!set_up(&d, &cfg)) return false;
    const double flops = flops_of(&cfg), peak = probe_peak(threads, 20e-3);
    report("forward", name, &d, best_of(forward, &d), flops, peak);
    report("backward", name, &d, best_of(backward, &d), 2 * flops, peak);
    if (threads == 1) {
        report("create", name, &d, best_of(create, &d), 0, peak);
        report("reshape", name, &d, best_of(reshape, &d), 0, peak);
    }
    convt_layer_destroy(d.layer);
    free(d.data);
    return true;
}

int main(void)
{
    const struct {
        const char *name;
        convt_config cfg;
    } layers[] = {
        {"tiny",
         {.input = {2, 2, 4},
          .filters = 4,
          .kernel_size = {2, 2},
          .strides = {2, 2},
          .max_batch = 1}},
        {"dense",
         {.input = {2, 2, 16},
          .filters = 16,
          .kernel_size = {1, 1},
          .max_batch = 1,
          .activation = {.kind = CONVT_RELU}}},
        {"decoder",
         {.input = {7, 7, 8},
          .filters = 1,
          .kernel_size = {3, 3},
          .strides = {2, 2},
          .padding = CONVT_SAME,
          .max_batch = 1,
          .activation = {.kind = CONVT_SIGMOID}}},
        {"seed",
         {.input = {10, 8, 128},
          .filters = 32,
          .kernel_size = {2, 2},
          .strides = {2, 2},
          .padding = CONVT_SAME,
          .max_batch = 4}},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int threads = 1; threads <= 2; threads++)
            ok = measure(layers[i].name, layers[i].cfg, threads) && ok;
    return ok ? 0 : 1;
}
