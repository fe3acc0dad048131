/*
 * Models as JSON: a Sequential (serialized, or its get_config()), a list of layers, or one layer
 * (get_config() or serialized). The spec keeps the parsed JSON, so that names stay valid;
 * automatic names are added to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "status.h"

/* A model under construction. */
typedef struct build {
    convt_spec *spec;
    json_t *names;       /* an object whose keys are the names taken */
    bool is_list;        /* places are then layers[i] */
    int unnamed;         /* layers that got an automatic name */
    const json_t *input; /* an InputLayer's config, or the model's build_input_shape */
    convti_place input_place;
    convt_error *err;
} build;

static convti_place place_of(const build *b, size_t index)
{
    convti_place place = {.err = b->err};
    if (b->is_list) snprintf(place.path, sizeof place.path, "layers[%zu]", index);
    return place;
}

/* ---- input shapes ---------------------------------------------------------------------------- */

/* A size of a shape: 0 for null. */
static bool read_size(const json_t *value, int64_t *size)
{
    *size = 0;
    return json_is_null(value) || (convti_json_integer(value, size) && *size > 0);
}

/* [batch, h, w, c] or, with `batch` 0, [h, w, c]; in the order of data_format. */
static convt_status read_shape(const convti_place *place, const char *key, const json_t *value,
                               size_t batch, convt_data_format format, convt_shape *shape)
{
    int64_t size[3] = {0}, ignored;
    convti_shown shown = convti_json_show(value);
    if (!json_is_array(value) || json_array_size(value) != batch + 3)
        return convti_json_refuse(place, key, "must be a shape of %zu sizes, got %s", batch + 3,
                                  shown.text);
    bool known = batch == 0 || read_size(json_array_get(value, 0), &ignored);
    for (size_t i = 0; i < 3; i++)
        known = known && read_size(json_array_get(value, batch + i), &size[i]);
    if (!known)
        return convti_json_refuse(
            place, key, "must be a shape of sizes greater than 0 or null, got %s", shown.text);
    *shape = format == CONVT_CHANNELS_LAST
                 ? (convt_shape){.h = size[0], .w = size[1], .c = size[2]}
                 : (convt_shape){.h = size[1], .w = size[2], .c = size[0]};
    if (shape->c == 0)
        return convti_json_refuse(place, key, "must say how many channels there are, got %s",
                                  shown.text);
    return CONVT_OK;
}

/* What speaks first counts; channels that contradict it are refused, as Keras refuses to call
 * such a layer. */
static convt_status merge_shape(const convti_place *place, const char *key, convt_shape shape,
                                convt_shape *input)
{
    if (input->c != 0 && shape.c != input->c)
        return convti_json_refuse(place, key, "has %lld channels where the input has %lld",
                                  (long long)shape.c, (long long)input->c);
    input->c = shape.c;
    if (input->h == 0) input->h = shape.h;
    if (input->w == 0) input->w = shape.w;
    return CONVT_OK;
}

static convt_status add_shape(const convti_place *place, const char *key, const json_t *value,
                              size_t batch, convt_config *first)
{
    convt_shape shape = {0, 0, 0};
    if (!value || json_is_null(value)) return CONVT_OK;
    convt_status status = read_shape(place, key, value, batch, first->data_format, &shape);
    return status ? status : merge_shape(place, key, shape, &first->input);
}

static convt_status no_input_shape(const convti_place *place)
{
    return convti_json_refuse(place, "batch_shape", "missing: an InputLayer must have a shape");
}

/* The first of two keys that is there and not null; NULL where none is. */
static const char *find_one(const json_t *config, const char *key, const char *other)
{
    const json_t *value = json_object_get(config, key), *second = json_object_get(config, other);
    if (value && !json_is_null(value)) return key;
    return second && !json_is_null(second) ? other : NULL;
}

/* The shape that an InputLayer gives: batch_shape, or shape without the batch; each has an old
 * name, which wins. */
static convt_status add_input_layer(const convti_place *place, const json_t *config,
                                    convt_config *first)
{
    const char *with_batch = find_one(config, "batch_input_shape", "batch_shape"),
               *shape = find_one(config, "input_shape", "shape"),
               *size = find_one(config, "batch_size", "batch_size");
    if (with_batch && (shape || size)) {
        convti_shown shown = convti_json_show(config);
        return convti_json_refuse(place, shape ? shape : size,
                                  "cannot be given together with %s, got %s", with_batch,
                                  shown.text);
    }
    if (with_batch)
        return add_shape(place, with_batch, json_object_get(config, with_batch), 1, first);
    return shape ? add_shape(place, shape, json_object_get(config, shape), 0, first)
                 : no_input_shape(place);
}

/* ---- layers ---------------------------------------------------------------------------------- */

static bool has_class(const json_t *object, const char *class_name)
{
    const char *text = convti_json_string(object, "class_name");
    return text && strcmp(text, class_name) == 0;
}

/* The classes, and the modules where Keras finds them (beside its own, keras.src); files of old
 * have none. */
typedef struct known_class {
    const char *names[2], *modules[2];
} known_class;

static const known_class layer_class = {{"Conv2DTranspose", "Convolution2DTranspose"},
                                        {"keras.layers", NULL}},
                         input_class = {{"InputLayer", NULL}, {"keras.layers", NULL}},
                         model_class = {{"Sequential", NULL}, {"keras", "keras.models"}};

static bool is_named(const json_t *object, const known_class *known)
{
    return has_class(object, known->names[0]) ||
           (known->names[1] && has_class(object, known->names[1]));
}

static bool is_of(const json_t *object, const known_class *known)
{
    const json_t *module = json_object_get(object, "module");
    const char *text = json_string_value(module);
    bool found = !module || (text && strncmp(text, "keras.src.", 10) == 0);
    for (int i = 0; i < 2; i++)
        found = found || (text && known->modules[i] && strcmp(text, known->modules[i]) == 0);
    return found && is_named(object, known);
}

static convt_status check_registered(const convti_place *place, const json_t *object)
{
    return json_object_get(object, "module")
               ? convti_json_check_registered(place, "registered_name", object,
                                              convti_json_string(object, "class_name"))
               : CONVT_OK;
}

/* Names must be unique; unnamed layers are counted as Keras counts them. */
static convt_status name_layer(build *b, const convti_place *place, json_t *config,
                               convt_config *cfg)
{
    if (!cfg->name) {
        char name[64] = "conv2d_transpose";
        if (b->unnamed++ > 0) snprintf(name, sizeof name, "conv2d_transpose_%d", b->unnamed - 1);
        if (json_object_set_new(config, "name", json_string(name)))
            return convti_no_memory(b->err, "config", sizeof name);
        cfg->name = convti_json_string(config, "name");
    }
    if (json_object_get(b->names, cfg->name))
        return convti_json_refuse(place, "name", "must be unique, got \"%.60s\" again", cfg->name);
    if (json_object_set_new(b->names, cfg->name, json_true()))
        return convti_no_memory(b->err, "config", strlen(cfg->name));
    return CONVT_OK;
}

/* One layer, as get_config() or serialized. */
static convt_status add_layer(build *b, size_t index, json_t *item)
{
    convt_spec *spec = b->spec;
    convt_config *cfg = &spec->layers[spec->count];
    convti_place place = place_of(b, index);
    bool serialized = json_object_get(item, "class_name") != NULL;
    json_t *config = serialized ? json_object_get(item, "config") : item;
    if (!json_is_object(config))
        return convti_json_refuse_value(&place, "config", config ? config : item,
                                        "an object with the layer's arguments");
    convt_status status = serialized ? check_registered(&place, item) : CONVT_OK;
    if (!status) status = convti_json_read_layer(&place, config, cfg);
    if (!status) status = name_layer(b, &place, config, cfg);
    if (status || spec->count++ > 0) return status;
    /* Of the first layer: what an InputLayer or the model said, then what the layer was built
     * with, then its argument. */
    if (json_is_object(b->input))
        status = add_input_layer(&b->input_place, b->input, cfg);
    else if (b->input)
        status = add_shape(&b->input_place, "build_input_shape", b->input, 1, cfg);
    if (!status && serialized)
        status = add_shape(&place, "build_config",
                           json_object_get(json_object_get(item, "build_config"), "input_shape"), 1,
                           cfg);
    if (!status)
        status = add_shape(&place, "input_shape", json_object_get(config, "input_shape"), 0, cfg);
    return status;
}

/* What is no layer, by the module where its name is right. */
static convt_status not_a_layer(const convti_place *place, const json_t *item, const char *expected)
{
    const json_t *shown_value = json_is_object(item) ? json_object_get(item, "class_name") : item;
    if (is_named(item, &layer_class))
        return convti_json_refuse_value(place, "module", json_object_get(item, "module"),
                                        "keras.layers");
    if (is_named(item, &model_class))
        return convti_json_refuse_value(place, "module", json_object_get(item, "module"), "keras");
    return convti_json_refuse_value(place, "class_name", shown_value, expected);
}

/* An item of a model's list. */
static convt_status add_item(build *b, size_t index, json_t *item)
{
    convti_place place = place_of(b, index);
    if (!json_is_object(item)) return not_a_layer(&place, item, "Conv2DTranspose");
    if (is_of(item, &input_class)) {
        if (index > 0)
            return convti_json_refuse(&place, "class_name",
                                      "must not be InputLayer behind the first place");
        b->input = json_object_get(item, "config");
        b->input_place = place;
        return json_is_object(b->input) ? check_registered(&place, item) : no_input_shape(&place);
    }
    if (json_object_get(item, "class_name") && !is_of(item, &layer_class))
        return not_a_layer(&place, item, "Conv2DTranspose");
    return add_layer(b, index, item);
}

static convt_status add_list(build *b, json_t *list)
{
    size_t count = json_array_size(list);
    convt_status status = CONVT_OK;
    b->is_list = true;
    b->spec->layers = calloc(count + 1, sizeof *b->spec->layers);
    if (!b->spec->layers)
        return convti_no_memory(b->err, "layers", count * sizeof *b->spec->layers);
    for (size_t i = 0; i < count && !status; i++) status = add_item(b, i, json_array_get(list, i));
    if (!status && b->spec->count == 0)
        status = convti_fail(b->err, CONVT_INVALID_ARGUMENT, "layers",
                             "must hold a Conv2DTranspose, got %zu items", count);
    return status;
}

/* ---- models ---------------------------------------------------------------------------------- */

static convt_status add_sequential(build *b, const json_t *config)
{
    json_t *layers = json_object_get(config, "layers");
    convti_place place = {.err = b->err};
    if (!json_is_array(layers))
        return convti_json_refuse(&place, "layers",
                                  "missing: a Sequential needs its list of layers");
    const json_t *shape = json_object_get(config, "build_input_shape");
    if (shape && !json_is_null(shape)) {
        b->input = shape;
        b->input_place = place;
    }
    return add_list(b, layers);
}

static convt_status add_root(build *b, json_t *root)
{
    convti_place place = {.err = b->err};
    json_t *config = json_object_get(root, "config");
    if (json_is_array(root)) return add_list(b, root);
    if (is_of(root, &model_class)) {
        convt_status status = check_registered(&place, root);
        if (status) return status;
        return json_is_array(config) ? add_list(b, config) : add_sequential(b, config);
    }
    if (json_is_array(json_object_get(root, "layers")) && !json_object_get(root, "class_name"))
        return add_sequential(b, root);
    b->spec->layers = calloc(1, sizeof *b->spec->layers);
    if (!b->spec->layers) return convti_no_memory(b->err, "layers", sizeof *b->spec->layers);
    if (json_object_get(root, "class_name") && !is_of(root, &layer_class))
        return not_a_layer(&place, root, "Sequential or Conv2DTranspose");
    return add_layer(b, 0, root);
}

convt_status convti_spec_parse(const char *json, const char *name, convt_spec *spec,
                               convt_error *err)
{
    *spec = (convt_spec){0};
    json_t *root = convti_json_parse(json, name, err);
    if (!root) return CONVT_BAD_FORMAT;
    spec->storage = root;
    build b = {.spec = spec, .names = json_object(), .err = err};
    convt_status status = add_root(&b, root);
    json_decref(b.names);
    if (status) convt_spec_free(spec);
    return status;
}

convt_status convt_spec_parse(const char *json, convt_spec *spec, convt_error *err)
{
    return convti_spec_parse(json, "config", spec, err);
}

void convt_spec_free(convt_spec *spec)
{
    if (!spec) return;
    convt_archive_free(&spec->weights);
    json_decref(spec->storage);
    free(spec->layers);
    *spec = (convt_spec){0};
}
