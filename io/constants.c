/*
 * The numbers of fixed layers, and BatchNormalization as a factor and an offset of each channel:
 *
 *     y = gamma (x - mean) / sqrt(variance + epsilon) + beta = scale x + offset
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "lower.h"
#include "status.h"
#include "weights.h"

/* ---- BatchNormalization ---------------------------------------------------------------------- */

/* Where there are no weights. What is drawn at random may as well be the value in the middle. */
double convti_norm_initial(const convti_item *norm, const char *variable)
{
    const struct convti_arguments *a = norm->arguments;
    const struct {
        const char *name;
        const convt_initializer *initializer;
        double value;
    } rows[CONVTI_MOST_VARIABLES] = {{"gamma", &a->gamma, 1},
                                     {"beta", &a->beta, 0},
                                     {"moving_mean", &a->mean, 0},
                                     {"moving_variance", &a->variance, 1}};
    int i = 0;
    while (i < CONVTI_MOST_VARIABLES - 1 && strcmp(rows[i].name, variable) != 0) i++;
    switch ((int)rows[i].initializer->kind) {
    case CONVT_ZEROS: return 0;
    case CONVT_ONES: return 1;
    case CONVT_CONSTANT: return rows[i].initializer->value.value;
    default: return rows[i].value;
    }
}

static convt_status take(const convti_item *norm, const char *variable,
                         const convt_archive *weights, int64_t channels, double *values,
                         convt_error *err)
{
    const convti_parameter_shape shape = {1, {channels}};
    const convt_array *array = NULL;
    convt_status status =
        weights->count > 0 ? convti_weights_find(weights, norm->name, variable, &shape, &array, err)
                           : CONVT_OK;
    for (int64_t i = 0; i < channels && !status; i++)
        values[i] = array ? convti_array_number(array, i) : convti_norm_initial(norm, variable);
    return status;
}

convt_status convti_norm_factors(const convti_item *norm, const convt_archive *weights,
                                 int64_t channels, double *scale, double *offset, convt_error *err)
{
    const struct convti_arguments *a = norm->arguments;
    const size_t size = (size_t)channels * sizeof(double);
    double *mean = malloc(size), *variance = malloc(size);
    convt_status status = mean && variance ? CONVT_OK : convti_no_memory(err, norm->name, 2 * size);
    for (int64_t i = 0; i < channels && !status; i++) {
        scale[i] = 1;
        offset[i] = 0;
    }
    if (!status && !a->no_scale) status = take(norm, "gamma", weights, channels, scale, err);
    if (!status && !a->no_center) status = take(norm, "beta", weights, channels, offset, err);
    if (!status) status = take(norm, "moving_mean", weights, channels, mean, err);
    if (!status) status = take(norm, "moving_variance", weights, channels, variance, err);
    for (int64_t i = 0; i < channels && !status; i++) {
        scale[i] /= sqrt(variance[i] + a->epsilon.value);
        offset[i] -= mean[i] * scale[i];
    }
    free(mean);
    free(variance);
    return status;
}

/* All of them, or none at all. */
convt_status convti_constants_take(convti_storage *storage, const convt_archive *weights,
                                   convt_error *err)
{
    convt_status status = CONVT_OK;
    for (int pass = 0; pass < 2 && !status; pass++) {
        for (int i = 0; i < storage->constant_count && !status; i++) {
            convti_constant *c = &storage->constants[i];
            const size_t size = (size_t)c->count * sizeof(double);
            if (!c->norm) continue;
            double *scale = malloc(size), *offset = malloc(size);
            status = scale && offset
                         ? convti_norm_factors(c->norm, weights, c->count, scale, offset, err)
                         : convti_no_memory(err, c->norm->name, 2 * size);
            if (!status && pass == 1) {
                memcpy(c->scale, scale, size);
                memcpy(c->offset, offset, size);
            }
            free(scale);
            free(offset);
        }
    }
    return status;
}

/* ---- filling --------------------------------------------------------------------------------- */

static void put(convt_view view, int64_t index, double value)
{
    if (view.dtype == CONVT_FLOAT64)
        ((double *)view.data)[index] = value;
    else
        ((float *)view.data)[index] = (float)value;
}

/* (kh, kw, filters, in). */
void convti_fill_kernel(void *context, convt_view kernel)
{
    const convti_constant *c = context;
    const int64_t matrix = kernel.w * kernel.c;
    memset(kernel.data, 0,
           (size_t)(kernel.n * kernel.h * matrix) *
               (kernel.dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float)));
    for (int64_t tap = 0; tap < kernel.n * kernel.h; tap++) {
        if (!c->every_tap && tap != c->h * kernel.h + c->w) continue;
        for (int64_t i = 0; i < c->count; i++)
            put(kernel, tap * matrix + i * (kernel.c + 1), c->scale ? c->scale[i] : 1);
    }
}

void convti_fill_bias(void *context, convt_view bias)
{
    const convti_constant *c = context;
    for (int64_t i = 0; i < c->count; i++) put(bias, i, c->offset ? c->offset[i] : 0);
}
