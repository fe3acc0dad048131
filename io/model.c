/*
 * The life of a spec: out of a package of any format and back into one. Its storage keeps what the
 * file said, so that saving gives back the layers that were read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "lower.h"
#include "status.h"

/* ---- reading --------------------------------------------------------------------------------- */

/* Takes the package over. */
static convt_status take_package(convti_package *package, convt_spec *spec, convt_error *err)
{
    convti_storage *storage = calloc(1, sizeof *storage);
    spec->storage = storage;
    spec->weights = package->weights;
    package->weights = (convt_archive){0};
    if (storage) storage->config = package->config;
    if (storage) package->config = NULL;
    convt_status status = storage ? convti_lower(spec, err)
                                  : convti_no_memory(err, "config", sizeof *storage);
    if (!status) status = convti_constants_take(storage, &spec->weights, err);
    convti_package_free(package);
    if (status) convt_spec_free(spec);
    return status;
}

convt_status convt_spec_parse(const char *json, convt_spec *spec, convt_error *err)
{
    *spec = (convt_spec){0};
    convti_package package = {.config = convti_json_parse(json, "config", err)};
    return package.config ? take_package(&package, spec, err) : CONVT_BAD_FORMAT;
}

static convt_status read_input(const convti_input *input, convt_spec *spec, convt_error *err)
{
    convti_package package;
    convt_status status = convti_package_read(input, NULL, &package, err);
    if (!status && !package.config) {
        convti_package_free(&package);
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "holds weights alone: the layers must come from a model");
    }
    return status ? status : take_package(&package, spec, err);
}

convt_status convt_spec_read(const char *path, convt_spec *spec, convt_error *err)
{
    convti_input input;
    *spec = (convt_spec){0};
    convt_status status = convti_input_open(&input, path, err);
    if (status) return status;
    status = read_input(&input, spec, err);
    convti_input_close(&input);
    return status;
}

convt_status convt_spec_decode(const void *data, size_t size, const char *name, convt_spec *spec,
                               convt_error *err)
{
    const convti_input input = convti_input_of_memory(name, data, size);
    *spec = (convt_spec){0};
    return read_input(&input, spec, err);
}

convt_status convt_spec_read_weights(const char *path, convt_spec *spec, convt_error *err)
{
    convti_storage *storage = spec->storage;
    convti_input input;
    convti_package package = {0};
    convt_status status = convti_input_open(&input, path, err);
    if (status) return status;
    status = convti_package_read(&input, &storage->items, &package, err);
    if (!status && package.weights.count == 0)
        status = convti_fail(err, CONVT_BAD_FORMAT, input.name, "holds no weights");
    if (!status) status = convti_constants_take(storage, &package.weights, err);
    convti_input_close(&input);
    if (!status) {
        convt_archive_free(&spec->weights);
        spec->weights = package.weights;
        package.weights = (convt_archive){0};
    }
    convti_package_free(&package);
    return status;
}

void convt_spec_free(convt_spec *spec)
{
    if (!spec) return;
    convt_archive_free(&spec->weights);
    convti_storage_free(spec->storage);
    free(spec->layers);
    *spec = (convt_spec){0};
}

/* ---- the config as Keras reads it ------------------------------------------------------------ */

/* [null, ...] as Keras has shapes. */
static json_t *batch_shape(const convti_tensor *tensor)
{
    json_t *shape = json_pack("[n]");
    for (int i = 0; i < tensor->rank; i++)
        json_array_append_new(shape,
                              tensor->size[i] > 0 ? json_integer(tensor->size[i]) : json_null());
    return shape;
}

/* Enough is known of a shape to build a layer for it. */
static bool is_given(const convti_items *items, const convti_tensor *tensor)
{
    return tensor->size[convti_channel_axis(tensor, items->channels_first)] > 0;
}

/* Built for `input`, where there is one. */
static json_t *serialized(const char *class_name, json_t *config, const convti_tensor *input)
{
    json_t *layer = json_pack("{s:s, s:s, s:O, s:n}", "module", "keras.layers", "class_name",
                              class_name, "config", config, "registered_name");
    if (input)
        json_object_set_new(layer, "build_config",
                            json_pack("{s:o}", "input_shape", batch_shape(input)));
    return layer;
}

static json_t *input_layer(const convti_items *items)
{
    json_t *config = json_pack("{s:o, s:s, s:s}", "batch_shape", batch_shape(&items->list[0].input),
                               "dtype", items->dtype == CONVT_FLOAT64 ? "float64" : "float32",
                               "name", "input_layer");
    json_t *layer = serialized("InputLayer", config, NULL);
    json_decref(config);
    return layer;
}

/* A Sequential of all layers, for lists and layers alone. */
static json_t *sequential_of(const convti_items *items)
{
    json_t *layers = json_array();
    if (is_given(items, &items->list[0].input)) json_array_append_new(layers, input_layer(items));
    for (int i = 0; i < items->count; i++) {
        const convti_item *item = &items->list[i];
        const convti_tensor *input = is_given(items, &item->input) ? &item->input : NULL;
        json_array_append_new(layers, serialized(item->class_name, item->config, input));
    }
    return json_pack("{s:s, s:s, s:{s:s, s:o}, s:n}", "module", "keras", "class_name", "Sequential",
                     "config", "name", "sequential", "layers", layers, "registered_name");
}

/* Is it a model as Keras 3 serializes it? */
static bool is_model(const json_t *config)
{
    const char *class_name = convti_json_string(config, "class_name");
    return convti_json_string(config, "module") && class_name && !convti_class_of(class_name);
}

/* What was read, in the form that deserialize_keras_object takes; NULL where memory is out. */
static json_t *config_of(const convti_storage *storage)
{
    json_t *config = storage->config, *inner = json_object_get(config, "config");
    const char *class_name = convti_json_string(config, "class_name");
    const bool bare = !class_name && json_object_get(config, "input_layers");
    if (is_model(config)) return json_incref(config);
    if (bare || (class_name && json_object_get(inner, "input_layers")))
        return json_pack("{s:s, s:s, s:O, s:n}", "module", "keras.src.models.functional",
                         "class_name", "Functional", "config", bare ? config : inner,
                         "registered_name");
    return sequential_of(&storage->items);
}

/* ---- saving ---------------------------------------------------------------------------------- */

convt_status convt_spec_json(const convt_spec *spec, char **json, convt_error *err)
{
    json_t *config = config_of(spec->storage);
    *json = config ? convti_json_text(config) : NULL;
    json_decref(config);
    return *json ? CONVT_OK : convti_no_memory(err, "config", 1);
}

static convt_status encode(const convt_spec *spec, convt_format format, const char *name,
                           convti_bytes *bytes, convt_error *err)
{
    const convti_package package = {.config = config_of(spec->storage), .weights = spec->weights};
    *bytes = (convti_bytes){0};
    convt_status status = package.config ? convti_package_write(&package, format, name, bytes, err)
                                         : convti_no_memory(err, name, 1);
    json_decref(package.config);
    return status;
}

convt_status convt_spec_encode(const convt_spec *spec, convt_format format, void **data,
                               size_t *size, convt_error *err)
{
    convti_bytes bytes;
    convt_status status = encode(spec, format, "model", &bytes, err);
    *data = bytes.data;
    *size = bytes.size;
    return status;
}

static convt_status save(const char *path, const convt_spec *spec, convt_format format,
                         convt_error *err)
{
    convti_bytes bytes;
    convt_status status = encode(spec, format, convti_base_name(path), &bytes, err);
    if (!status) status = convt_file_write(path, bytes.data, bytes.size, err);
    free(bytes.data);
    return status;
}

convt_status convt_spec_save(const char *path, const convt_spec *spec, convt_error *err)
{
    return save(path, spec, convt_format_of(path), err);
}

/* ---- models of plain layers ------------------------------------------------------------------ */

/* The configs to write, under the names that the model has. */
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

/* A path without a suffix of a format gets an .npz, too. */
convt_status convt_model_save(const char *path, convt_model *model, const convt_config layers[],
                              convt_error *err)
{
    const convt_format format = convt_format_of(path);
    convt_error own = {.status = CONVT_OK};
    convt_spec spec = {0};
    char *text = config_text(model, layers, convt_model_layer_count(model), &own);
    if (!text) return convti_fail(err, own.status, own.field, "%s", own.message);
    convt_status status = convt_spec_parse(text, &spec, err);
    free(text);
    if (!status) status = convt_spec_take_weights(&spec, model, err);
    if (!status) status = save(path, &spec, format ? format : CONVT_FORMAT_NPZ, err);
    convt_spec_free(&spec);
    return status;
}
