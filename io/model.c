/*
 * The life of a spec: out of a package of any format and back into one. Its storage keeps what the
 * file said, so that saving gives back the layers that were read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
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
    convti_package package = {0};
    const convt_status status = convti_json_parse(json, "config", &package.config, err);
    return status ? status : take_package(&package, spec, err);
}

static convt_status read_input(const convti_input *input, convt_spec *spec, convt_error *err)
{
    convti_package package;
    convt_status status = convti_package_read(input, NULL, &package, err);
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
        shape = convti_json_and(shape,
                                tensor->size[i] > 0 ? json_integer(tensor->size[i]) : json_null());
    return shape;
}

/* Enough is known of a shape to build a layer for it. */
static bool is_given(const convti_items *items, const convti_tensor *tensor)
{
    return tensor->size[convti_channel_axis(tensor, items->channels_first)] > 0;
}

/* Built for `input`, where there is one. */
static json_t *layer_of_item(const convti_item *item, const convti_tensor *input)
{
    json_t *layer =
        convti_json_serialized("keras.layers", item->class_name, json_incref(item->config));
    return input ? convti_json_with(layer, "build_config",
                                    json_pack("{s:o}", "input_shape", batch_shape(input)))
                 : layer;
}

static json_t *input_layer(const convti_items *items)
{
    json_t *config = json_pack("{s:o, s:s, s:s}", "batch_shape", batch_shape(&items->list[0].input),
                               "dtype", items->dtype == CONVT_FLOAT64 ? "float64" : "float32",
                               "name", "input_layer");
    return convti_json_serialized("keras.layers", "InputLayer", config);
}

/* A Sequential of all layers, for lists and layers alone. */
static json_t *sequential_of(const convti_items *items)
{
    json_t *layers = json_array();
    if (is_given(items, &items->list[0].input))
        layers = convti_json_and(layers, input_layer(items));
    for (int i = 0; i < items->count; i++) {
        const convti_item *item = &items->list[i];
        const convti_tensor *input = is_given(items, &item->input) ? &item->input : NULL;
        layers = convti_json_and(layers, layer_of_item(item, input));
    }
    return convti_json_serialized("keras", "Sequential",
                                  json_pack("{s:s, s:o}", "name", "sequential", "layers", layers));
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
        return convti_json_serialized("keras.src.models.functional", "Functional",
                                      json_incref(bare ? config : inner));
    return sequential_of(&storage->items);
}

/* ---- what x is ------------------------------------------------------------------------------- */

/* The layers of a Sequential. */
static json_t *list_of(json_t *sequential)
{
    json_t *config = json_object_get(sequential, "config");
    return json_is_array(config) ? config : json_object_get(config, "layers");
}

/* Puts an InputLayer of this shape in front, in place of one that is there. */
static bool put_input(json_t *sequential, const convti_items *items)
{
    json_t *list = list_of(sequential), *inner = json_object_get(sequential, "config");
    const char *first = convti_json_string(json_array_get(list, 0), "class_name");
    if (first && strcmp(first, "InputLayer") == 0) json_array_remove(list, 0);
    const convti_tensor *input = &items->list[0].input;
    bool failed = json_object_get(inner, "build_input_shape") &&
                  json_object_set_new(inner, "build_input_shape", batch_shape(input)) != 0;
    if (json_object_get(sequential, "build_config"))
        failed |= json_object_set_new(sequential, "build_config",
                                      json_pack("{s:o}", "input_shape", batch_shape(input))) != 0;
    return !failed && json_array_insert_new(list, 0, input_layer(items)) == 0;
}

/* False: a size that is there is another one. *open says that some size is not there. */
static bool complete(convti_tensor *input, const convti_tensor *given, bool *open)
{
    bool same = input->rank == 0 || input->rank == given->rank;
    *open = input->rank == 0;
    for (int i = 0; i < input->rank && same; i++) {
        same = input->size[i] == 0 || input->size[i] == given->size[i];
        *open = *open || input->size[i] == 0;
    }
    *input = *given;
    return same;
}

static convti_tensor tensor_of(const convt_spec *spec, convt_shape s)
{
    if (spec->x_rank == 2) return (convti_tensor){1, {s.c}};
    return spec->layers[0].data_format == CONVT_CHANNELS_FIRST
               ? (convti_tensor){3, {s.c, s.h, s.w}}
               : (convti_tensor){3, {s.h, s.w, s.c}};
}

/* The Input of a Functional has a name that its layers know: it stays, with the sizes it leaves open. */
convt_status convt_spec_set_input(convt_spec *spec, convt_shape input, convt_error *err)
{
    convti_storage *storage = spec->storage;
    const convti_tensor given = tensor_of(spec, input);
    bool open;
    if (!complete(&storage->items.list[0].input, &given, &open)) {
        convt_spec_free(spec);
        return convti_fail(err, CONVT_INVALID_SHAPE, "x", "is %s where the model takes another",
                           convti_tensor_text(&given).text);
    }
    json_t *shared = open ? config_of(storage) : NULL, *config = json_deep_copy(shared);
    json_decref(shared);
    if (!open || (config && !list_of(config)) ||
        json_object_get(json_object_get(config, "config"), "input_layers")) {
        spec->layers[0].input = input;
        json_decref(config);
        return CONVT_OK;
    }
    convti_package package = {.config = config, .weights = spec->weights};
    const bool good = config && put_input(config, &storage->items);
    spec->weights = (convt_archive){0};
    convt_spec_free(spec);
    if (good) return take_package(&package, spec, err);
    convti_package_free(&package);
    return convti_no_memory(err, "config", 1);
}

/* ---- what a spec holds ----------------------------------------------------------------------- */

/* The layer of an item's name, or the one that was there before it. */
static int layer_of(const convt_spec *spec, const convti_item *item, int before)
{
    for (int i = 0; i < spec->count; i++)
        if (spec->layers[i].name && strcmp(spec->layers[i].name, item->name) == 0) return i;
    return before;
}

static int64_t variables_of(const convti_item *item, bool channels_first)
{
    const char *names[CONVTI_MOST_VARIABLES];
    const convt_config *cfg = &item->arguments->cfg;
    const int64_t count = convti_item_variables(item, names);
    const convt_shape x = convti_shape_of(&item->input, channels_first),
                      y = convti_shape_of(&item->output, channels_first);
    int64_t kernel;
    if (item->class->variables == CONVTI_NO_VARIABLES) return 0;
    if (item->class->variables == CONVTI_STATISTICS) return x.c > 0 ? count * x.c : -1;
    const int64_t filters = cfg->filters > 0 ? cfg->filters : y.c;
    const bool taps = cfg->kernel_size.h > 0;
    if (x.c < 1 || !convti_count(taps ? cfg->kernel_size.h : 1, taps ? cfg->kernel_size.w : 1,
                                 filters, x.c, &kernel))
        return -1;
    return kernel + (count > 1 ? filters : 0);
}

int convt_spec_rows(const convt_spec *spec, convt_spec_row rows[], int room)
{
    const convti_items *items = &((const convti_storage *)spec->storage)->items;
    int layer = -1;
    for (int i = 0; i < items->count && i < room; i++) {
        const convti_item *item = &items->list[i];
        layer = layer_of(spec, item, layer);
        rows[i] = (convt_spec_row){.class_name = item->class_name,
                                   .name = item->name,
                                   .rank = item->output.rank,
                                   .variables = variables_of(item, items->channels_first),
                                   .layer = layer};
        memcpy(rows[i].size, item->output.size, sizeof rows[i].size);
    }
    return items->count;
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
