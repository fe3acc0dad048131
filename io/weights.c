/*
 * Weights of files into models and back. What a file has is copied into the parameters themselves;
 * where it is of another type, element by element. A BatchNormalization that is folded changes the
 * rows afterwards:  w <- scale[f] w  and  b <- scale[f] b + offset[f].
 */
#include "weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
#include "lower.h"
#include "status.h"

/* ---- arrays ---------------------------------------------------------------------------------- */

static convt_element element_of(convt_dtype dtype)
{
    return dtype == CONVT_FLOAT64 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32;
}

static void shape_text(char text[96], int rank, const int64_t shape[])
{
    int length = snprintf(text, 96, "(");
    for (int i = 0; i < rank && length < 70; i++)
        length += snprintf(text + length, 96 - (size_t)length, "%s%lld", i ? ", " : "",
                           (long long)shape[i]);
    snprintf(text + length, 96 - (size_t)length, ")");
}

/* False: the name is longer than names of arrays are. */
static bool name_array(char name[sizeof(convt_array){0}.name], const char *layer,
                       const char *variable)
{
    const int length = snprintf(name, sizeof(convt_array){0}.name, "%s/%s", layer, variable);
    return length >= 0 && (size_t)length < sizeof(convt_array){0}.name;
}

convt_status convti_weights_find(const convt_archive *weights, const char *layer,
                                 const char *variable, const convti_parameter_shape *shape,
                                 const convt_array **array, convt_error *err)
{
    char name[sizeof(*array)->name], wanted[96], given[96];
    *array = name_array(name, layer, variable) ? convt_archive_find(weights, name) : NULL;
    if (!*array)
        return convti_fail(err, CONVT_BAD_FORMAT, name,
                           "missing: the file has other weights, but not these");
    if ((*array)->rank == shape->rank &&
        memcmp((*array)->shape, shape->size, (size_t)shape->rank * sizeof *shape->size) == 0)
        return CONVT_OK;
    shape_text(wanted, shape->rank, shape->size);
    shape_text(given, (*array)->rank, (*array)->shape);
    return convti_fail(err, CONVT_INVALID_SHAPE, name, "has shape %s, the layer needs %s", given,
                       wanted);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static convti_parameter_shape shape_of(const convt_parameter *p)
{
    const int64_t sizes[4] = {p->value.n, p->value.h, p->value.w, p->value.c};
    convti_parameter_shape shape = {.rank = p->rank};
    memcpy(shape.size, sizes + 4 - p->rank, (size_t)p->rank * sizeof *sizes);
    return shape;
}

static int64_t count_of(const convt_parameter *p)
{
    return p->value.n * p->value.h * p->value.w * p->value.c;
}

static double get(const convt_parameter *p, int64_t index)
{
    return p->value.dtype == CONVT_FLOAT64 ? ((const double *)p->value.data)[index]
                                           : (double)((const float *)p->value.data)[index];
}

static void put(const convt_parameter *p, int64_t index, double value)
{
    if (p->value.dtype == CONVT_FLOAT64)
        ((double *)p->value.data)[index] = value;
    else
        ((float *)p->value.data)[index] = (float)value;
}

static void copy_in(const convt_array *array, const convt_parameter *p)
{
    const int64_t count = count_of(p);
    if (array->element == element_of(p->value.dtype))
        memcpy(p->value.data, array->data, (size_t)count * convti_element_size(array->element));
    else
        for (int64_t i = 0; i < count; i++) put(p, i, convti_array_number(array, i));
}

/* ---- folding --------------------------------------------------------------------------------- */

/* A bias that Keras' layer has not is there for folding alone. */
static bool is_made_for_folds(const convti_storage *storage, int layer, const convt_parameter *p)
{
    const char *names[CONVTI_MOST_VARIABLES];
    bool folded = false;
    for (int i = 0; i < storage->fold_count; i++)
        folded = folded || storage->folds[i].layer == layer;
    for (int i = 0; i < storage->items.count && folded; i++) {
        const convti_item *item = &storage->items.list[i];
        if (strcmp(item->name, p->owner) != 0) continue;
        for (int k = convti_item_variables(item, names) - 1; k >= 0; k--)
            if (strcmp(names[k], p->name) == 0) return false;
        return true;
    }
    return false;
}

/* The filter that an element of the kernel belongs to. */
static int64_t filter_of(const convt_config *cfg, const convt_parameter *kernel, int64_t index)
{
    return cfg->kernel_order == CONVT_KERNEL_TRANSPOSED ? index / kernel->value.c % kernel->value.w
                                                        : index % kernel->value.c;
}

static convt_status fold(const convti_fold *f, const convt_archive *weights, convt_layer *layer,
                         convt_error *err)
{
    const convt_config *cfg = convt_layer_config(layer);
    convt_parameter rows[2];
    double *factors;
    convt_status status = convti_norm_factors(f->norm, weights, f->channels, &factors, err);
    if (status) return status;
    const double *scale = factors, *offset = factors + f->channels;
    convt_layer_parameters(layer, rows);
    for (int64_t i = 0; i < count_of(&rows[0]); i++) {
        const int64_t channel = filter_of(cfg, &rows[0], i) / f->inner % f->channels;
        put(&rows[0], i, get(&rows[0], i) * scale[channel]);
    }
    for (int64_t i = 0; i < cfg->filters; i++) {
        const int64_t channel = i / f->inner % f->channels;
        put(&rows[1], i, get(&rows[1], i) * scale[channel] + offset[channel]);
    }
    free(factors);
    return CONVT_OK;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Finds every weight and, with `copy`, takes it. */
static convt_status for_weights(const convt_spec *spec, convt_model *model, bool copy,
                                convt_error *err)
{
    for (int i = 0; i < convt_model_layer_count(model); i++) {
        convt_layer *layer = convt_model_layer(model, i);
        convt_parameter rows[2];
        const int count = convt_layer_parameters(layer, rows);
        for (int k = 0; k < count; k++) {
            const convti_parameter_shape shape = shape_of(&rows[k]);
            const convt_array *array = NULL;
            const bool made = is_made_for_folds(spec->storage, i, &rows[k]);
            convt_status status = made ? CONVT_OK
                                       : convti_weights_find(&spec->weights, rows[k].owner,
                                                             rows[k].name, &shape, &array, err);
            if (status) return status;
            if (copy && array) copy_in(array, &rows[k]);
            for (int64_t f = 0; copy && made && f < count_of(&rows[k]); f++) put(&rows[k], f, 0);
        }
        if (copy) convt_layer_touch(layer);
    }
    return CONVT_OK;
}

/* Of every fold, so that none fails when weights have been copied. */
static convt_status check_folds(const convt_spec *spec, convt_error *err)
{
    const convti_storage *storage = spec->storage;
    convt_status status = CONVT_OK;
    for (int i = 0; i < storage->fold_count && !status; i++) {
        const convti_fold *f = &storage->folds[i];
        double *factors;
        status = convti_norm_factors(f->norm, &spec->weights, f->channels, &factors, err);
        free(factors);
    }
    return status;
}

convt_status convt_spec_load_weights(const convt_spec *spec, convt_model *model, convt_error *err)
{
    const convti_storage *storage = spec->storage;
    const bool training = !convt_layer_config(convt_model_layer(model, 0))->inference;
    convt_status status = CONVT_OK;
    if (spec->predicts_only && training)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "inference", "must be set: %s",
                           spec->predicts_only);
    if (spec->weights.count == 0) return CONVT_OK;
    if (convt_model_layer_count(model) != spec->count)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "model", "has %d layers, the spec %d",
                           convt_model_layer_count(model), spec->count);
    status = for_weights(spec, model, false, err);
    if (!status) status = check_folds(spec, err);
    if (!status) status = for_weights(spec, model, true, err);
    for (int i = 0; i < storage->fold_count && !status; i++)
        status = fold(&storage->folds[i], &spec->weights,
                      convt_model_layer(model, storage->folds[i].layer), err);
    return status;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* An array for a variable that the spec has none of. */
static convt_status add_array(convt_archive *weights, const char *layer, const char *variable,
                              const convti_parameter_shape *shape, convt_dtype dtype,
                              convt_array **array, convt_error *err)
{
    convt_array *arrays =
        realloc(weights->arrays, ((size_t)weights->count + 1) * sizeof *weights->arrays);
    int64_t count = 1;
    if (!arrays) return convti_no_memory(err, layer, sizeof *arrays);
    weights->arrays = arrays;
    *array = &arrays[weights->count];
    **array = (convt_array){.element = element_of(dtype), .rank = shape->rank};
    if (!name_array((*array)->name, layer, variable))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "name", "%.60s... is too long for a file",
                           layer);
    for (int i = 0; i < shape->rank; i++) {
        (*array)->shape[i] = shape->size[i];
        count *= shape->size[i];
    }
    const size_t size = (size_t)count * convti_element_size((*array)->element);
    (*array)->data = calloc(1, size + 1);
    if (!(*array)->data) return convti_no_memory(err, (*array)->name, size);
    weights->count++;
    return CONVT_OK;
}

static convt_array *find(const convt_archive *weights, const char *layer, const char *variable)
{
    char name[sizeof(convt_array){0}.name];
    return name_array(name, layer, variable)
               ? (convt_array *)(uintptr_t)convt_archive_find(weights, name)
               : NULL;
}

/* The row in the array of its name, which takes the row's type. */
static convt_status take_row(convt_archive *weights, const convt_parameter *p, convt_error *err)
{
    const convti_parameter_shape shape = shape_of(p);
    const convt_array *found;
    convt_array *array = find(weights, p->owner, p->name);
    convt_status status =
        array ? convti_weights_find(weights, p->owner, p->name, &shape, &found, err)
              : add_array(weights, p->owner, p->name, &shape, p->value.dtype, &array, err);
    if (!status) status = convt_array_convert(array, p->value.dtype, err);
    if (!status) memcpy(array->data, p->value.data, convti_array_bytes(array));
    return status;
}

/* A model without weights has those of its BatchNormalizations still to be said. */
static convt_status add_statistics(convt_spec *spec, const convti_item *item, convt_dtype dtype,
                                   convt_error *err)
{
    const convti_items *items = &((convti_storage *)spec->storage)->items;
    const convti_parameter_shape shape = {
        1, {item->input.size[convti_channel_axis(&item->input, items->channels_first)]}};
    const char *names[CONVTI_MOST_VARIABLES];
    convt_status status = CONVT_OK;
    const int count = convti_item_variables(item, names);
    for (int k = 0; k < count && !status; k++) {
        convt_array *array = find(&spec->weights, item->name, names[k]);
        if (array) continue;
        status = add_array(&spec->weights, item->name, names[k], &shape, dtype, &array, err);
        for (int64_t i = 0; i < shape.size[0] && !status; i++) {
            const double value = convti_norm_initial(item, names[k]);
            if (dtype == CONVT_FLOAT64)
                ((double *)array->data)[i] = value;
            else
                ((float *)array->data)[i] = (float)value;
        }
    }
    return status;
}

/* Folded rows are not what Keras' layers have, and nobody could train them: the spec's stay. */
static bool is_folded(const convti_storage *storage, int layer)
{
    for (int i = 0; i < storage->fold_count; i++)
        if (storage->folds[i].layer == layer) return true;
    return false;
}

convt_status convt_spec_take_weights(convt_spec *spec, convt_model *model, convt_error *err)
{
    const convti_storage *storage = spec->storage;
    const bool loaded = spec->weights.count > 0;
    convt_status status = CONVT_OK;
    for (int i = 0; i < convt_model_layer_count(model) && !status; i++) {
        convt_parameter rows[2];
        const int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        for (int k = 0; k < count && !status; k++) {
            if (is_made_for_folds(storage, i, &rows[k]) || (loaded && is_folded(storage, i)))
                continue;
            status = take_row(&spec->weights, &rows[k], err);
        }
    }
    for (int i = 0; i < storage->items.count && !status; i++) {
        const convti_item *item = &storage->items.list[i];
        if (item->class->variables == CONVTI_STATISTICS)
            status = add_statistics(spec, item, storage->items.dtype, err);
    }
    return status;
}
