/*
 * Passes, tensors and the clock; see measure.h.
 */
#include "measure.h"

#include <stdlib.h>

#include "cli.h"
#include "options.h"
#include "predictor.h"
#include "probe.h"

/* A probe is long enough for the scheduler to give every thread a core of its own. */
static const double run_seconds = 8e-3, probe_seconds = 20e-3;
static const double acceptable_peak = 0.75, patience_seconds = 5;

/* ---- passes ---------------------------------------------------------------------------------- */

static const convt_const_view none = {0};

static convt_status run_forward(subject *s)
{
    return s->z.data ? convt_forward_z(s->layer, convt_read(s->x), s->z, s->y)
                     : convt_forward(s->layer, convt_read(s->x), s->y);
}

static convt_status run_gradients(subject *s, convt_const_view x, convt_view dx)
{
    return convt_backward_data(s->layer, x, convt_read(s->z), convt_read(s->y), convt_read(s->dy),
                               dx, (double)s->x.n);
}

static convt_status run_dx(subject *s)
{
    return run_gradients(s, none, s->dx);
}

static convt_status run_dw(subject *s)
{
    const convt_status status = run_gradients(s, convt_read(s->x), CONVT_NONE);
    return status ? status : convt_backward_weights(s->layer);
}

static convt_status run_step(subject *s)
{
    convt_status status = run_forward(s);
    if (!status) status = run_gradients(s, convt_read(s->x), s->dx);
    if (!status) status = convt_backward_weights(s->layer);
    if (!status) convt_sgd_step(s->sgd);
    return status;
}

/* The optimizer reads dw, and reads and writes w and the velocity. */
static const struct {
    const char *name;
    convt_status (*run)(subject *s);
    int contractions, more_w;
} passes[PASSES] = {
    [PASS_FWD] = {"fwd", run_forward, 1, 0},
    [PASS_DX] = {"dx", run_dx, 1, 0},
    [PASS_DW] = {"dw", run_dw, 1, 0},
    [PASS_STEP] = {"step", run_step, 3, 5},
};

const char *pass_name(enum pass pass)
{
    return passes[pass].name;
}

int pass_contractions(enum pass pass)
{
    return passes[pass].contractions;
}

static double count(convt_view v)
{
    return (double)v.n * (double)v.h * (double)v.w * (double)v.c;
}

double pass_bytes(enum pass pass, const subject *s)
{
    convt_parameter rows[2];
    convt_layer_parameters(s->layer, rows);
    const double w = count(rows[0].value);
    return (passes[pass].contractions * (count(s->x) + count(s->y) + w) + passes[pass].more_w * w) *
           (s->x.dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float));
}

/* ---- the layer and its tensors --------------------------------------------------------------- */

/* Numbers in [-0.5, 0.5); data is NULL where memory is out. At a cache line, as the peers' tensors and
 * those of a trainer lie. */
static convt_view tensor(convt_dtype dtype, int64_t n, int64_t h, int64_t w, int64_t c)
{
    convt_view v = {NULL, dtype, n, h, w, c};
    const size_t elements = (size_t)(n * h * w * c);
    const size_t bytes = elements * (dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float));
    v.data = aligned_alloc(64, bytes / 64 * 64 + 64);
    uint32_t state = 1;
    for (size_t i = 0; v.data && i < elements; i++) {
        state = state * 1664525u + 1013904223u;
        const double value = (double)(state >> 16) / 65536.0 - 0.5;
        if (dtype == CONVT_FLOAT64)
            ((double *)v.data)[i] = value;
        else
            ((float *)v.data)[i] = (float)value;
    }
    return v;
}

static bool make_tensors(subject *s)
{
    const convt_config *c = convt_layer_config(s->layer);
    const convt_shape i = c->input, o = convt_layer_output(s->layer);
    s->x = tensor(c->dtype, c->max_batch, i.h, i.w, i.c);
    s->dx = tensor(c->dtype, c->max_batch, i.h, i.w, i.c);
    s->y = tensor(c->dtype, c->max_batch, o.h, o.w, o.c);
    s->dy = tensor(c->dtype, c->max_batch, o.h, o.w, o.c);
    return s->x.data && s->dx.data && s->y.data && s->dy.data;
}

/* An activation that needs z refuses a dx without it and without x. */
static bool make_z(subject *s)
{
    const convt_config *c = convt_layer_config(s->layer);
    convt_shape z = convt_layer_output(s->layer);
    if (convt_forward(s->layer, convt_read(s->x), s->y) || run_dx(s) == CONVT_OK) return true;
    if (c->activation.kind == CONVT_GLU)
        *(c->data_format == CONVT_CHANNELS_FIRST ? &z.w : &z.c) *= 2;
    s->z = tensor(c->dtype, c->max_batch, z.h, z.w, z.c);
    return s->z.data && run_forward(s) == CONVT_OK;
}

static convt_status make_optimizer(subject *s, convt_error *err)
{
    convt_parameter rows[2];
    const int parameters = convt_layer_parameters(s->layer, rows);
    const convt_sgd_config sgd = {.momentum = 0.9,
                                  .threads = convt_layer_config(s->layer)->threads};
    return convt_sgd_create(&s->sgd, &sgd, rows, parameters, err);
}

int subject_open(subject *s, const convt_config *config, const char *where, const char *isa)
{
    convt_config cfg = *config;
    convt_error err = {0};
    *s = (subject){0};
    if (cfg.kernel_constraint.kind == CONVT_NO_CONSTRAINT)
        cfg.kernel_constraint.kind = CONVT_MAX_NORM;
    if (cfg.input.c > 0) {
        const int code = check_memory(&cfg, 1);
        if (code != OPTIONS_PARSED) return code;
    }
    const convt_status status = convt_layer_create(&s->layer, &cfg, &err);
    if (status == CONVT_NO_ISA && isa) return complain_isa(isa);
    if (status || make_optimizer(s, &err)) return complain_config(where, &err);
    if (!make_tensors(s) || !make_z(s)) return complain(EXIT_FAILED, where, "out of memory");
    return OPTIONS_PARSED;
}

void subject_close(subject *s)
{
    const convt_view views[] = {s->x, s->z, s->y, s->dy, s->dx};
    for (size_t i = 0; i < LENGTH(views); i++) free(views[i].data);
    convt_sgd_destroy(s->sgd);
    convt_layer_destroy(s->layer);
}

/* ---- the clock ------------------------------------------------------------------------------- */

/* Seconds of a call; the higher and the lower of the peaks before and after. */
struct run {
    double seconds, peak, low;
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double median(double values[], int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* Calls that take about as long as a run should, after a first one, which packs the weights; 0
 * where the pass fails. */
static int64_t calls_of_a_run(subject *s, enum pass pass)
{
    if (passes[pass].run(s)) return 0;
    const double start = probe_now();
    passes[pass].run(s);
    return 1 + (int64_t)(run_seconds / (probe_now() - start + 1e-9));
}

/* The peak beside a run, best of before and after: the worse one would flatter the pass. */
static struct run timed_run(subject *s, enum pass pass, int64_t calls, double *peak)
{
    const double before = *peak, start = probe_now();
    for (int64_t i = 0; i < calls; i++) passes[pass].run(s);
    const double seconds = (probe_now() - start) / (double)calls;
    *peak = probe_peak(convt_layer_config(s->layer)->threads, probe_seconds);
    return (struct run){seconds, before > *peak ? before : *peak, before < *peak ? before : *peak};
}

static figure figure_of(struct run runs[], int64_t n, double flops)
{
    double seconds[MOST_RUNS], peaks[MOST_RUNS], shares[MOST_RUNS];
    for (int64_t r = 0; r < n; r++) {
        seconds[r] = runs[r].seconds;
        peaks[r] = runs[r].peak;
        shares[r] = flops / runs[r].seconds * 1e-9 / runs[r].peak;
    }
    figure f = {.seconds = median(seconds, n), .peak = median(peaks, n), .runs = n};
    f.share = median(shares, n); /* sorts them */
    f.best = shares[n > 2 ? n - 2 : n - 1];
    return f;
}

figure measure(subject *s, enum pass pass, double flops, int64_t wanted, double *best_peak)
{
    struct run counted[MOST_RUNS], dropped[MOST_RUNS];
    const double scale = s->x.dtype == CONVT_FLOAT64 ? 0.5 : 1;
    const int64_t calls = calls_of_a_run(s, pass);
    if (calls == 0) return (figure){0};
    double peak = probe_peak(convt_layer_config(s->layer)->threads, probe_seconds);
    const double start = probe_now();
    int64_t n = 0, out = 0;
    while (n < wanted && (out == 0 || probe_now() - start < patience_seconds)) {
        struct run run = timed_run(s, pass, calls, &peak);
        if (run.peak > *best_peak) *best_peak = run.peak;
        const bool good = run.low >= acceptable_peak * *best_peak;
        run.peak *= scale;
        *(good ? &counted[n++] : &dropped[out++ % MOST_RUNS]) = run;
    }
    figure found = n > 0 ? figure_of(counted, n, flops)
                         : figure_of(dropped, out < MOST_RUNS ? out : MOST_RUNS, flops);
    found.dropped = out;
    return found;
}
