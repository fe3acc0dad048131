/*
 * A training step of the default decoder, for bench/peers: forward, loss, all gradients (those of
 * the codes too), SGD with momentum and a constraint.
 *
 *     bench_step [THREADS]
 *
 * A request a line on stdin, `step BATCH`; the answer is a line of JSON on stdout.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "convt/train.h"
#include "decoder.h"
#include "probe.h"
#include "shapes.h"

enum { MOST_STEPS = 1000 };
static const double warm_seconds = 0.1, run_seconds = 0.5, probe_seconds = 20e-3;
static const convt_shape code = {1, 1, 32}, image = {28, 28, 1};

struct training {
    convt_model *model;
    convt_sgd *sgd;
    convt_loss_config loss;
    convt_view x, target, dy, dx;
    struct flops flops; /* of a step */
};

static convt_view tensor(int64_t n, convt_shape s)
{
    const int64_t count = n * s.h * s.w * s.c;
    float *data = calloc((size_t)count, sizeof *data);
    uint32_t state = 1;
    for (int64_t i = 0; data && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(state >> 16) / 65536.0f;
    }
    return convt_f32(data, n, s.h, s.w, s.c);
}

static bool open_training(struct training *t, int64_t batch, int threads)
{
    convt_config layers[DECODER_MAX_LAYERS];
    convt_parameter rows[2 * DECODER_MAX_LAYERS];
    convt_error err;
    const int count = decoder_design(layers, code, image, false);
    for (int i = 0; i < count; i++) layers[i].kernel_constraint.kind = CONVT_MAX_NORM;
    layers[0].max_batch = batch;
    layers[0].threads = threads;
    *t = (struct training){
        .loss = {.kind = CONVT_BINARY_CROSSENTROPY, .from_logits = true, .threads = threads},
        .x = tensor(batch, code),
        .dx = tensor(batch, code),
        .target = tensor(batch, image),
        .dy = tensor(batch, image)};
    if (convt_model_create(&t->model, layers, count, &err)) return false;
    const convt_sgd_config sgd = {.momentum = 0.9, .threads = threads};
    if (convt_sgd_create(&t->sgd, &sgd, rows, convt_model_parameters(t->model, rows), &err))
        return false;
    for (int i = 0; i < count; i++) {
        const struct flops once = shape_flops(convt_layer_config(convt_model_layer(t->model, i)));
        t->flops.nominal += 3 * once.nominal;
        t->flops.useful += 3 * once.useful;
    }
    return t->x.data && t->dx.data && t->target.data && t->dy.data;
}

static void close_training(struct training *t)
{
    const convt_view views[] = {t->x, t->target, t->dy, t->dx};
    for (int i = 0; i < 4; i++) free(views[i].data);
    convt_sgd_destroy(t->sgd);
    convt_model_destroy(t->model);
}

static bool step(struct training *t)
{
    convt_loss_value value;
    const convt_const_view x = convt_read(t->x), target = convt_read(t->target);
    if (convt_model_forward(t->model, x) ||
        convt_loss(&t->loss, target, convt_model_output(t->model), NULL, t->x.n, &value, t->dy,
                   NULL) ||
        convt_model_backward(t->model, x, convt_read(t->dy), t->dx))
        return false;
    convt_sgd_step(t->sgd);
    return true;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool answer(int64_t batch, int threads)
{
    struct training t;
    double times[MOST_STEPS];
    int n = 0;
    bool good = open_training(&t, batch, threads);
    for (double start = probe_now(); good && probe_now() - start < warm_seconds;) good = step(&t);
    const double before = probe_peak(threads, probe_seconds), start = probe_now();
    while (good && n < MOST_STEPS && probe_now() - start < run_seconds) {
        const double begin = probe_now();
        good = step(&t);
        times[n++] = probe_now() - begin;
    }
    const double after = probe_peak(threads, probe_seconds);
    qsort(times, (size_t)n, sizeof *times, ascending);
    if (good)
        printf("{\"ms\": %.6g, \"peak_gflops\": %.6g, \"low_gflops\": %.6g, \"flops\": %.17g, "
               "\"useful_flops\": %.17g}\n",
               times[n / 2] * 1e3, before > after ? before : after, before < after ? before : after,
               t.flops.nominal, t.flops.useful);
    close_training(&t);
    return good;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    char line[64];
    long long batch;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "step %lld", &batch) != 1 || !answer(batch, threads)) {
            fprintf(stderr, "bench_step: no step of this: %s", line);
            return 1;
        }
        fflush(stdout);
    }
    return 0;
}
