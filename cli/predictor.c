/*
 * Inference in batches of bounded memory; see predictor.h.
 */
#include "predictor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "data.h"
#include "model.h"
#include "options.h"

enum { MOST_SAMPLES = 64, LAYERS_BYTES = 32 << 20 };

/* ---- memory ---------------------------------------------------------------------------------- */

/* A control group may allow less than the machine has. */
static double group_limit(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    double limit = 1e300;
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "r");
        char text[64] = "";
        if (file && fgets(text, sizeof text, file)) {
            double bytes = strtod(text, NULL); /* 0 for "max" */
            limit = bytes > 0 && bytes < limit ? bytes : limit;
        }
        if (file) fclose(file);
    }
    return limit;
}

static double machine_memory(void)
{
    double physical = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double limit = group_limit();
    return physical > 0 && physical < limit ? physical : limit;
}

static double kernel_bytes(const convt_config *layer, int64_t channels)
{
    double elements = (double)layer->kernel_size.h * (double)layer->kernel_size.w *
                      (double)layer->filters;
    return elements * (double)channels * (layer->dtype == CONVT_FLOAT64 ? 8 : 4);
}

int check_memory(const convt_config layers[], int count)
{
    double machine = machine_memory();
    char needed[32], there[32];
    convt_error err = {0};
    int64_t channels = layers[0].input.c;
    bytes_text(there, machine);
    for (int i = 0; i < count; i++) {
        const convt_config *layer = &layers[i];
        double bytes = kernel_bytes(layer, channels);
        if (bytes > machine)
            return complain(
                EXIT_USAGE, "kernel_size",
                "the kernel %lldx%lldx%lldx%lld of layer %d takes %s, this machine has %s",
                (long long)layer->kernel_size.h, (long long)layer->kernel_size.w,
                (long long)layer->filters, (long long)channels, i + 1, bytes_text(needed, bytes),
                there);
        channels = output_channels(layer);
        if (i + 1 < count && layers[i + 1].input.c > 0) channels = layers[i + 1].input.c;
    }
    double bytes = (double)convt_model_memory(layers, count, &err);
    if (bytes > machine)
        return complain(EXIT_USAGE, "model", "its layers take %s, this machine has %s",
                        bytes_text(needed, bytes), there);
    return OPTIONS_PARSED;
}

/* ---- the model ------------------------------------------------------------------------------- */

convt_status predictor_open(predictor *p, const convt_config layers[], int count, int threads,
                            convt_error *err)
{
    memset(p, 0, sizeof *p);
    convt_config *own = malloc((size_t)count * sizeof *own);
    if (!own) {
        err->status = CONVT_NO_MEMORY;
        return CONVT_NO_MEMORY;
    }
    memcpy(own, layers, (size_t)count * sizeof *own);
    own[0].inference = true;
    own[0].threads = threads;
    for (own[0].max_batch = MOST_SAMPLES; own[0].max_batch > 1; own[0].max_batch /= 2) {
        if (convt_model_memory(own, count, err) <= LAYERS_BYTES) break;
    }
    convt_status status = convt_model_create(&p->model, own, count, err);
    if (!status) {
        const convt_config *first = convt_layer_config(convt_model_layer(p->model, 0));
        p->batch = own[0].max_batch;
        p->input = first->input;
        p->output = convt_layer_output(convt_model_layer(p->model, count - 1));
        p->dtype = first->dtype;
        p->channels_first = first->data_format == CONVT_CHANNELS_FIRST;
    }
    free(own);
    return status;
}

void predictor_close(predictor *p)
{
    convt_model_destroy(p->model);
    memset(p, 0, sizeof *p);
}

convt_status predictor_copy_weights(predictor *p, const convt_model *model, convt_error *err)
{
    for (int i = 0; i < convt_model_layer_count(model); i++) {
        convt_parameter rows[2];
        convt_layer *to = convt_model_layer(p->model, i);
        int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        convt_status status = CONVT_OK; /* a fixed layer has no parameters */
        if (count > 0) status = convt_layer_set_kernel(to, convt_read(rows[0].value));
        if (!status && count > 1) status = convt_layer_set_bias(to, convt_read(rows[1].value));
        if (status) {
            *err = *convt_layer_error(to);
            return status;
        }
    }
    return CONVT_OK;
}

static int64_t sample_bytes(const predictor *p, convt_shape shape)
{
    return shape.h * shape.w * shape.c * (p->dtype == CONVT_FLOAT64 ? 8 : 4);
}

convt_status predictor_run(predictor *p, const void *x, int64_t n, void *y, convt_error *err)
{
    int64_t x_bytes = sample_bytes(p, p->input), y_bytes = sample_bytes(p, p->output);
    for (int64_t first = 0; first < n; first += p->batch) {
        int64_t count = n - first < p->batch ? n - first : p->batch;
        convt_const_view view = {
            (const char *)x + first * x_bytes, p->dtype, count, p->input.h, p->input.w, p->input.c};
        convt_status status = convt_model_forward(p->model, view);
        if (status) {
            *err = *convt_model_error(p->model);
            return status;
        }
        memcpy((char *)y + first * y_bytes, convt_model_output(p->model).data,
               (size_t)(count * y_bytes));
    }
    return CONVT_OK;
}

static void draw(const predictor *p, const void *y, int64_t n, float *scratch, float *pixels)
{
    int64_t count = p->output.h * p->output.w * p->output.c;
    for (int64_t i = 0; i < n; i++) {
        const float *from = (const float *)y + i * count;
        if (p->dtype == CONVT_FLOAT64) {
            for (int64_t j = 0; j < count; j++)
                scratch[j] = (float)((const double *)y)[i * count + j];
            from = scratch;
        }
        pixels_channels_last(from, p->output, p->channels_first, pixels + i * count);
    }
}

convt_status predictor_draw(predictor *p, const void *x, int64_t n, float *pixels, convt_error *err)
{
    int64_t y_bytes = sample_bytes(p, p->output);
    char *y = malloc((size_t)(n * y_bytes));
    float *scratch = malloc((size_t)y_bytes);
    convt_status status = CONVT_NO_MEMORY;
    if (y && scratch)
        status = predictor_run(p, x, n, y, err);
    else
        err->status = status;
    if (!status) draw(p, y, n, scratch, pixels);
    free(scratch);
    free(y);
    return status;
}
