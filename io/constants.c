/*
 * The numbers of fixed layers, and BatchNormalization as a factor and an offset of each channel:
 *
 *     y = gamma (x - mean) / sqrt(variance + epsilon) + beta = scale x + offset
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
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

/* The numbers of a variable; NULL where scale or center say that there is none. */
static convt_status find(const convti_item *norm, bool absent, const char *variable,
                         const convt_archive *weights, int64_t channels, const convt_array **array,
                         convt_error *err)
{
    const convti_parameter_shape shape = {1, {channels}};
    *array = NULL;
    return absent ? CONVT_OK
                  : convti_weights_find(weights, norm->name, variable, &shape, array, err);
}

/* Nothing is allocated before all arrays are there. */
convt_status convti_norm_factors(const convti_item *norm, const convt_archive *weights,
                                 int64_t channels, double **factors, convt_error *err)
{
    const struct convti_arguments *a = norm->arguments;
    const convt_array *gamma, *beta, *mean, *variance;
    *factors = NULL;
    convt_status status = find(norm, a->no_scale, "gamma", weights, channels, &gamma, err);
    if (!status) status = find(norm, a->no_center, "beta", weights, channels, &beta, err);
    if (!status) status = find(norm, false, "moving_mean", weights, channels, &mean, err);
    if (!status) status = find(norm, false, "moving_variance", weights, channels, &variance, err);
    if (status) return status;
    const size_t size = (size_t)channels * 2 * sizeof(double);
    double *scale = malloc(size), *offset = scale ? scale + channels : NULL;
    if (!scale) return convti_no_memory(err, norm->name, size);
    for (int64_t i = 0; i < channels; i++) {
        const double root = sqrt(convti_array_number(variance, i) + a->epsilon.value);
        scale[i] = (gamma ? convti_array_number(gamma, i) : 1) / root;
        offset[i] = (beta ? convti_array_number(beta, i) : 0) -
                    convti_array_number(mean, i) * scale[i];
    }
    *factors = scale;
    return CONVT_OK;
}

/* ---- constants ------------------------------------------------------------------------------- */

static void take_initial(convti_constant *c)
{
    const struct convti_arguments *a = c->norm->arguments;
    const double gamma = a->no_scale ? 1 : convti_norm_initial(c->norm, "gamma"),
                 beta = a->no_center ? 0 : convti_norm_initial(c->norm, "beta"),
                 variance = convti_norm_initial(c->norm, "moving_variance");
    c->scale = gamma / sqrt(variance + a->epsilon.value);
    c->offset = beta - convti_norm_initial(c->norm, "moving_mean") * c->scale;
}

/* All are computed once more before the first changes. */
convt_status convti_constants_take(convti_storage *storage, const convt_archive *weights,
                                   convt_error *err)
{
    convt_status status = CONVT_OK;
    for (int k = 0; k < 2 * storage->constant_count && !status; k++) {
        convti_constant *c = &storage->constants[k % storage->constant_count];
        double *factors = NULL;
        if (!c->norm) continue;
        if (weights->count > 0)
            status = convti_norm_factors(c->norm, weights, c->count, &factors, err);
        if (status || k < storage->constant_count) {
            free(factors);
            continue;
        }
        free(c->scales);
        c->scales = factors;
        c->offsets = factors ? factors + c->count : NULL;
        take_initial(c);
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
            put(kernel, tap * matrix + i * (kernel.c + 1), c->scales ? c->scales[i] : c->scale);
    }
}

void convti_fill_bias(void *context, convt_view bias)
{
    const convti_constant *c = context;
    for (int64_t i = 0; i < c->count; i++) put(bias, i, c->offsets ? c->offsets[i] : c->offset);
}
