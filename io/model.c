/*
 * Models in files: a spec from .json or .npz, its weights into a model, a model into an .npz. A
 * model.npz holds config.json, then <layer>/kernel.npy and <layer>/bias.npy of every layer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "file.h"
#include "json.h"
#include "npy.h"
#include "npz.h"
#include "package.h"
#include "status.h"

static const char config_member[] = "config.json";

/* ---- reading --------------------------------------------------------------------------------- */

/* The layers of a config, which becomes the spec's. */
static convt_status take_config(json_t *config, convt_spec *spec, convt_error *err)
{
    convti_items items;
    spec->storage = config;
    convt_status status = convti_items_read(config, &items, err);
    spec->layers = calloc((size_t)items.count + 1, sizeof *spec->layers);
    if (!spec->layers) status = convti_no_memory(err, "layers", 1);
    for (int i = 0; i < items.count && !status; i++) {
        const convti_item *item = &items.list[i];
        const convti_place place = convti_item_place(item, err);
        if (item->class != convti_class_of("Conv2DTranspose"))
            status =
                convti_json_refuse(&place, "class_name", "%s is not lowered yet", item->class_name);
        spec->layers[spec->count] = item->arguments->cfg;
        if (i == 0) spec->layers[0].input = convti_shape_of(&item->input, items.channels_first);
        spec->count++;
    }
    convti_items_free(&items);
    if (status) convt_spec_free(spec);
    return status;
}

convt_status convt_spec_parse(const char *json, convt_spec *spec, convt_error *err)
{
    *spec = (convt_spec){0};
    json_t *root = convti_json_parse(json, "config", err);
    return root ? take_config(root, spec, err) : CONVT_BAD_FORMAT;
}

convt_status convt_spec_read(const char *path, convt_spec *spec, convt_error *err)
{
    convti_input input;
    convti_package package;
    *spec = (convt_spec){0};
    convt_status status = convti_input_open(&input, path, err);
    if (status) return status;
    status = convti_package_read(&input, NULL, &package, err);
    convti_input_close(&input);
    if (!status) status = take_config(package.config, spec, err);
    package.config = NULL;
    if (status)
        convti_package_free(&package);
    else
        spec->weights = package.weights;
    return status;
}

void convt_spec_free(convt_spec *spec)
{
    if (!spec) return;
    convt_archive_free(&spec->weights);
    json_decref(spec->storage);
    free(spec->layers);
    *spec = (convt_spec){0};
}

/* ---- weights --------------------------------------------------------------------------------- */

static void shape_text(char text[96], int rank, const int64_t shape[])
{
    int length = snprintf(text, 96, "(");
    for (int i = 0; i < rank && length < 70; i++)
        length += snprintf(text + length, 96 - (size_t)length, "%s%lld", i ? ", " : "",
                           (long long)shape[i]);
    snprintf(text + length, 96 - (size_t)length, ")");
}

/* The array of a parameter in the shape it must have. */
static convt_status find_weight(const convt_spec *spec, const convt_parameter *p,
                                const convt_array **array, convt_error *err)
{
    char name[sizeof(*array)->name], wanted[96], given[96];
    int64_t sizes[4] = {p->value.n, p->value.h, p->value.w, p->value.c};
    const int64_t *shape = sizes + 4 - p->rank;
    snprintf(name, sizeof name, "%s/%s", p->owner, p->name);
    *array = convt_archive_find(&spec->weights, name);
    if (!*array)
        return convti_fail(err, CONVT_BAD_FORMAT, name,
                           "missing: the file has other weights, but not these");
    if ((*array)->rank == p->rank &&
        memcmp((*array)->shape, shape, (size_t)p->rank * sizeof *shape) == 0)
        return CONVT_OK;
    shape_text(wanted, p->rank, shape);
    shape_text(given, (*array)->rank, (*array)->shape);
    return convti_fail(err, CONVT_INVALID_SHAPE, name, "has shape %s, the layer needs %s", given,
                       wanted);
}

/* The parameter becomes the array, in the parameter's dtype. */
static convt_status copy_weight(const convt_array *array, const convt_parameter *p,
                                convt_error *err)
{
    convt_array copy = *array;
    size_t size = convti_array_bytes(array);
    copy.data = malloc(size + 1);
    if (!copy.data) return convti_no_memory(err, array->name, size);
    memcpy(copy.data, array->data, size);
    convt_status status = convt_array_convert(&copy, p->value.dtype, err);
    if (!status) memcpy(p->value.data, copy.data, convti_array_bytes(&copy));
    convt_array_free(&copy);
    return status;
}

typedef convt_status per_weight(const convt_array *array, const convt_parameter *p,
                                convt_error *err);

static convt_status check_only(const convt_array *array, const convt_parameter *p, convt_error *err)
{
    (void)array, (void)p, (void)err;
    return CONVT_OK;
}

/* Finds every weight and does `act` with it. */
static convt_status for_weights(const convt_spec *spec, convt_model *model, per_weight *act,
                                convt_error *err)
{
    convt_status status = CONVT_OK;
    for (int i = 0; i < convt_model_layer_count(model) && !status; i++) {
        convt_layer *layer = convt_model_layer(model, i);
        convt_parameter rows[2];
        int count = convt_layer_parameters(layer, rows);
        for (int k = 0; k < count && !status; k++) {
            const convt_array *array;
            status = find_weight(spec, &rows[k], &array, err);
            if (!status) status = act(array, &rows[k], err);
        }
        if (act != check_only) convt_layer_touch(layer);
    }
    return status;
}

convt_status convt_spec_load_weights(const convt_spec *spec, convt_model *model, convt_error *err)
{
    if (spec->weights.count == 0) return CONVT_OK;
    convt_status status = for_weights(spec, model, check_only, err);
    return status ? status : for_weights(spec, model, copy_weight, err);
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* An array over the parameter's own memory: only to be written. */
static convt_array array_of(const convt_parameter *p)
{
    convt_array array = {.element = p->value.dtype == CONVT_FLOAT64 ? CONVT_ELEMENT_F64
                                                                    : CONVT_ELEMENT_F32,
                         .rank = p->rank,
                         .data = p->value.data};
    int64_t sizes[4] = {p->value.n, p->value.h, p->value.w, p->value.c};
    snprintf(array.name, sizeof array.name, "%s/%s", p->owner, p->name);
    memcpy(array.shape, sizes + 4 - p->rank, (size_t)p->rank * sizeof *sizes);
    return array;
}

/* The configs to write under the names that the weights are stored under. */
static char *config_text(convt_model *model, const convt_config layers[], int count,
                         convt_error *err)
{
    char *text = NULL;
    convt_config *named = malloc((size_t)count * sizeof *named);
    if (!named) {
        convti_no_memory(err, "layers", (size_t)count * sizeof *named);
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        const convt_config *own = convt_layer_config(convt_model_layer(model, i));
        named[i] = layers[i];
        named[i].name = own->name;
        named[i].input = own->input;
    }
    convt_spec_write(named, count, &text, err);
    free(named);
    return text;
}

convt_status convt_model_save(const char *path, convt_model *model, const convt_config layers[],
                              convt_error *err)
{
    int count = convt_model_layer_count(model), weights = 0;
    convt_error own = {.status = CONVT_OK};
    convt_parameter rows[2];
    convt_array *arrays = malloc((size_t)count * 2 * sizeof *arrays);
    if (!arrays) return convti_no_memory(err, "layers", (size_t)count * 2 * sizeof *arrays);
    for (int i = 0; i < count; i++) {
        int parameters = convt_layer_parameters(convt_model_layer(model, i), rows);
        for (int k = 0; k < parameters; k++) arrays[weights++] = array_of(&rows[k]);
    }
    char *text = config_text(model, layers, count, &own);
    convt_status status = text ? convt_npz_write(path, arrays, weights, config_member, text, err)
                               : convti_fail(err, own.status, own.field, "%s", own.message);
    free(text);
    free(arrays);
    return status;
}
