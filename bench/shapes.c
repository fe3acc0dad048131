/*
 * Every pass of every shape of a list: median time and share of the FMA peak.
 *
 *     bench_shapes FILE [threads] [f32|f64] [nhwc|nchw] [name]
 *
 * A line of the file: name n ih iw ic oc kh kw sh sw same dil. Flops are 2 * n * ih * iw * ic * oc
 * * kh * kw for each pass, taps that fall outside the output included (nominal), so a share may
 * exceed 100 %.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convt/convt.h"
#include "peak.h"

enum { RUNS = 9 };

struct job {
    convt_layer *layer;
    convt_view x, y, dy, dx;
};

static void run_forward(struct job *j)
{
    convt_forward(j->layer, convt_read(j->x), j->y);
}

static void run_dx(struct job *j)
{
    const convt_const_view none = {0};
    convt_backward_data(j->layer, none, none, convt_read(j->y), convt_read(j->dy), j->dx, 1);
}

static void run_dw(struct job *j)
{
    convt_backward(j->layer, convt_read(j->x), convt_read(j->y), convt_read(j->dy), CONVT_NONE);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds, and the median share of the peak that was measured beside each run. */
struct figure {
    double ms, gflops, share, best;
};

static struct figure measure(void (*pass)(struct job *), struct job *job, double flops, int threads,
                             double scale)
{
    double times[RUNS], shares[RUNS];
    pass(job);
    double start = bench_now();
    pass(job);
    int inner = 1 + (int)(8e-3 / (bench_now() - start + 1e-9));
    double peak = bench_peak_gflops(threads) * scale;
    for (int r = 0; r < RUNS; r++) {
        start = bench_now();
        for (int i = 0; i < inner; i++) pass(job);
        times[r] = (bench_now() - start) / inner;
        double next = bench_peak_gflops(threads) * scale;
        shares[r] = flops / times[r] * 1e-9 / (next > peak ? next : peak);
        peak = next;
    }
    qsort(times, RUNS, sizeof *times, ascending);
    qsort(shares, RUNS, sizeof *shares, ascending);
    return (struct figure){times[RUNS / 2] * 1e3, flops / times[RUNS / 2] * 1e-9,
                           100 * shares[RUNS / 2], 100 * shares[RUNS - 2]};
}

static convt_view tensor(convt_dtype dtype, int64_t n, int64_t h, int64_t w, int64_t c)
{
    int64_t count = n * h * w * c;
    uint32_t state = 1;
    convt_view v = {calloc((size_t)count + 1, dtype == CONVT_FLOAT64 ? 8 : 4), dtype, n, h, w, c};
    for (int64_t i = 0; v.data && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        double value = (double)(state >> 16) / 65536.0 - 0.5;
        if (dtype == CONVT_FLOAT64)
            ((double *)v.data)[i] = value;
        else
            ((float *)v.data)[i] = (float)value;
    }
    return v;
}

static int bench_shape(const char *name, const convt_config *cfg)
{
    convt_error err;
    struct job j;
    if (convt_layer_create(&j.layer, cfg, &err)) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        return 1;
    }
    convt_shape o = convt_layer_output(j.layer);
    int64_t n = cfg->max_batch;
    j.x = tensor(cfg->dtype, n, cfg->input.h, cfg->input.w, cfg->input.c);
    j.dx = tensor(cfg->dtype, n, cfg->input.h, cfg->input.w, cfg->input.c);
    j.y = tensor(cfg->dtype, n, o.h, o.w, o.c);
    j.dy = tensor(cfg->dtype, n, o.h, o.w, o.c);
    double flops = 2.0 * (double)(n * cfg->input.h * cfg->input.w * cfg->input.c * cfg->filters) *
                   (double)(cfg->kernel_size.h * cfg->kernel_size.w);
    double scale = cfg->dtype == CONVT_FLOAT64 ? 0.5 : 1;
    void (*const passes[])(struct job *) = {run_forward, run_dx, run_dw};
    printf("%-12s", name);
    for (int i = 0; i < 3; i++) {
        struct figure f = measure(passes[i], &j, flops, cfg->threads, scale);
        printf(" %9.3f %7.1f %4.0f%% (%3.0f%%)", f.ms, f.gflops, f.share, f.best);
    }
    printf("\n");
    fflush(stdout);
    free(j.x.data);
    free(j.dx.data);
    free(j.y.data);
    free(j.dy.data);
    convt_layer_destroy(j.layer);
    return 0;
}

int main(int argc, char **argv)
{
    FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: %s FILE [threads] [f32|f64] [nhwc|nchw] [name]\n", argv[0]);
        return 2;
    }
    int threads = argc > 2 ? atoi(argv[2]) : 2, failed = 0;
    bool f64 = argc > 3 && strcmp(argv[3], "f64") == 0,
         nchw = argc > 4 && strcmp(argv[4], "nchw") == 0;
    double peak = bench_peak_gflops(threads) / (f64 ? 2 : 1);
    printf("peak %.1f GFLOP/s, %d threads, %s, %s; medians of %d\n", peak, threads,
           f64 ? "f64" : "f32", nchw ? "nchw" : "nhwc", RUNS);
    char line[256], name[64];
    while (fgets(line, sizeof line, file)) {
        long long v[11];
        if (line[0] == '#' ||
            sscanf(line, "%63s %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", name, v,
                   v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8, v + 9, v + 10) != 12)
            continue;
        if (argc > 5 && strcmp(argv[5], name) != 0) continue;
        convt_config cfg = {.input = {v[1], v[2], v[3]},
                            .max_batch = v[0],
                            .filters = v[4],
                            .kernel_size = {v[5], v[6]},
                            .strides = {v[7], v[8]},
                            .padding = v[9] ? CONVT_SAME : CONVT_VALID,
                            .dilation_rate = {v[10], v[10]},
                            .data_format = nchw ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST,
                            .dtype = f64 ? CONVT_FLOAT64 : CONVT_FLOAT32,
                            .threads = threads};
        failed |= bench_shape(name, &cfg);
    }
    fclose(file);
    return failed;
}
