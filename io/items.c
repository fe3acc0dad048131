/*
 * The layers of a model in the order of the data: out of a Sequential (serialized, or its
 * get_config()), a Functional, a list of layers, or one layer (get_config() or serialized).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "file.h"
#include "functional.h"
#include "json.h"
#include "status.h"

/* A list under construction. */
typedef struct build {
    convti_items *items;
    json_t *taken;       /* an object whose keys are the names taken */
    json_t *unnamed;     /* how many layers of a class got an automatic name, by its stem */
    bool is_list;        /* places are then layers[i] */
    bool is_functional;  /* or the layers' names */
    bool has_format;     /* of some layer */
    const json_t *input; /* an InputLayer's config, or the model's build_input_shape */
    convti_place input_place;
    const json_t *first; /* as it stands in the model */
    convt_error *err;
} build;

static convti_place place_of(const build *b, size_t index, const json_t *layer)
{
    convti_place place = {.err = b->err};
    const char *name = convti_json_string(layer, "name");
    if (b->is_functional && name)
        snprintf(place.path, sizeof place.path, "%s", name);
    else if (b->is_list)
        snprintf(place.path, sizeof place.path, "layers[%zu]", index);
    return place;
}

/* ---- input shapes ---------------------------------------------------------------------------- */

/* A size of a shape: 0 for null. */
static bool read_size(const json_t *value, int64_t *size)
{
    *size = 0;
    return json_is_null(value) || (convti_json_integer(value, size) && *size > 0);
}

/* Images, or what else a model may take: a Dense, say. */
static convt_status check_rank(const convti_place *place, const char *key, const json_t *value,
                               size_t batch, const convti_item *first)
{
    const size_t rank = json_is_array(value) ? json_array_size(value) - batch : 0;
    const int needed = first->class->has_format ? 3 : first->input.rank;
    convti_shown shown = convti_json_show(value);
    if (needed ? rank == (size_t)needed : rank == 1 || rank == 3) return CONVT_OK;
    return needed ? convti_json_refuse(place, key, "must be a shape of %zu sizes, got %s",
                                       batch + (size_t)needed, shown.text)
                  : convti_json_refuse(place, key, "must be a shape of %zu or %zu sizes, got %s",
                                       batch + 1, batch + 3, shown.text);
}

/* [batch, ...] or, with `batch` 0, what is behind it. */
static convt_status read_shape(const build *b, const convti_place *place, const char *key,
                               const json_t *value, size_t batch, convti_tensor *shape)
{
    int64_t ignored;
    convti_shown shown = convti_json_show(value);
    convt_status status = check_rank(place, key, value, batch, &b->items->list[0]);
    if (status) return status;
    bool known = batch == 0 || read_size(json_array_get(value, 0), &ignored);
    shape->rank = (int)(json_array_size(value) - batch);
    for (int i = 0; i < shape->rank; i++)
        known = known && read_size(json_array_get(value, batch + (size_t)i), &shape->size[i]);
    if (!known)
        return convti_json_refuse(
            place, key, "must be a shape of sizes greater than 0 or null, got %s", shown.text);
    if (shape->size[convti_channel_axis(shape, b->items->channels_first)] == 0)
        return convti_json_refuse(place, key, "must say how many %s there are, got %s",
                                  shape->rank == 3 ? "channels" : "units", shown.text);
    return CONVT_OK;
}

/* What speaks first counts; channels that contradict it are refused, as Keras refuses to call
 * such a layer. */
static convt_status merge_shape(const build *b, const convti_place *place, const char *key,
                                const convti_tensor *shape)
{
    convti_tensor *input = &b->items->list[0].input;
    const int channels = convti_channel_axis(shape, b->items->channels_first);
    const char *what = shape->rank == 3 ? "channels" : "units";
    if (input->size[channels] > 0 && input->size[channels] != shape->size[channels])
        return convti_json_refuse(place, key, "has %lld %s where the input has %lld",
                                  (long long)shape->size[channels], what,
                                  (long long)input->size[channels]);
    input->rank = shape->rank;
    for (int i = 0; i < shape->rank; i++)
        if (input->size[i] == 0) input->size[i] = shape->size[i];
    return CONVT_OK;
}

static convt_status add_shape(const build *b, const convti_place *place, const char *key,
                              const json_t *value, size_t batch)
{
    convti_tensor shape = {0};
    if (!value || json_is_null(value)) return CONVT_OK;
    convt_status status = read_shape(b, place, key, value, batch, &shape);
    return status ? status : merge_shape(b, place, key, &shape);
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
static convt_status add_input_layer(const build *b, const convti_place *place, const json_t *config)
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
    if (with_batch) return add_shape(b, place, with_batch, json_object_get(config, with_batch), 1);
    return shape ? add_shape(b, place, shape, json_object_get(config, shape), 0)
                 : no_input_shape(place);
}

/* Of the first layer: what an InputLayer or the model said, then what the layer was built with,
 * then its argument. */
static convt_status add_input(const build *b)
{
    const convti_item *first = &b->items->list[0];
    const convti_place place = place_of(b, json_is_object(b->input) ? 1 : 0, b->first);
    const json_t *built = json_object_get(b->first, "build_config");
    convt_status status = CONVT_OK;
    if (json_is_object(b->input))
        status = add_input_layer(b, &b->input_place, b->input);
    else if (b->input)
        status = add_shape(b, &b->input_place, "build_input_shape", b->input, 1);
    if (!status && json_object_get(b->first, "class_name"))
        status = add_shape(b, &place, "build_config", json_object_get(built, "input_shape"), 1);
    if (!status)
        status =
            add_shape(b, &place, "input_shape", json_object_get(first->config, "input_shape"), 0);
    return status;
}

/* ---- through the layers ---------------------------------------------------------------------- */

/* Keras' words for images where there are none. */
static convt_status check_input(convti_item *item, convt_error *err)
{
    const convti_place place = convti_item_place(item, err);
    if (!item->class->has_format) return CONVT_OK;
    if (item->input.rank == 0) item->input.rank = 3;
    return item->input.rank == 3
               ? CONVT_OK
               : convti_json_refuse(&place, "input",
                                    "is incompatible with the layer: expected ndim=4, found "
                                    "ndim=2. Full shape received: %s",
                                    convti_tensor_text(&item->input).text);
}

static convt_status pass_shapes(convti_items *items, convt_error *err)
{
    convt_status status = CONVT_OK;
    for (int i = 0; i < items->count && !status; i++) {
        convti_item *item = &items->list[i];
        if (i > 0) item->input = items->list[i - 1].output;
        status = check_input(item, err);
        if (!status) status = item->class->shape(item, items->channels_first, &item->output, err);
    }
    return status;
}

/* One order of axes and one dtype for all; a Reshape behind a layer of another would convert. */
static convt_status check_agreement(build *b, const convti_place *place, const convti_item *item)
{
    convti_items *items = b->items;
    const convt_config *cfg = &item->arguments->cfg;
    const bool first = cfg->data_format == CONVT_CHANNELS_FIRST;
    if (!b->has_format && item->class->has_format) items->channels_first = first;
    b->has_format = b->has_format || item->class->has_format;
    if (items->count == 0) items->dtype = cfg->dtype;
    if (item->class->has_format && first != items->channels_first)
        return convti_json_refuse(place, "data_format", "must be that of the layers before, %s",
                                  first ? "channels_last" : "channels_first");
    if (cfg->dtype != items->dtype)
        return convti_json_refuse(place, "dtype", "must be that of the layers before, float%d",
                                  items->dtype == CONVT_FLOAT64 ? 64 : 32);
    return CONVT_OK;
}

/* ---- layers ---------------------------------------------------------------------------------- */

/* What is no layer of the table, by the modules where Keras finds it (beside its own, keras.src);
 * files of old have none. */
typedef struct known_class {
    const char *names[2], *modules[2];
} known_class;

static const known_class input_class = {{"InputLayer", NULL}, {"keras.layers", NULL}},
                         sequential_class = {{"Sequential", NULL}, {"keras", "keras.models"}},
                         functional_class = {{"Functional", "Model"}, {"keras", "keras.models"}};

static bool is_named(const json_t *object, const known_class *known)
{
    const char *text = convti_json_string(object, "class_name");
    return text && (strcmp(text, known->names[0]) == 0 ||
                    (known->names[1] && strcmp(text, known->names[1]) == 0));
}

static bool is_in(const json_t *object, const char *const modules[2])
{
    const json_t *module = json_object_get(object, "module");
    const char *text = json_string_value(module);
    bool found = !module || (text && strncmp(text, "keras.src.", 10) == 0);
    for (int i = 0; i < 2; i++)
        found = found || (text && modules[i] && strcmp(text, modules[i]) == 0);
    return found;
}

static bool is_of(const json_t *object, const known_class *known)
{
    return is_named(object, known) && is_in(object, known->modules);
}

static convt_status check_registered(const convti_place *place, const json_t *object)
{
    return json_object_get(object, "module")
               ? convti_json_check_registered(place, "registered_name", object,
                                              convti_json_string(object, "class_name"))
               : CONVT_OK;
}

/* Keras counts the unnamed layers of each class. */
static convt_status set_automatic_name(const build *b, const convti_item *item)
{
    const char *stem = item->class->stem;
    const json_int_t number = json_integer_value(json_object_get(b->unnamed, stem));
    char name[64];
    if (number > 0)
        snprintf(name, sizeof name, "%s_%lld", stem, (long long)number);
    else
        snprintf(name, sizeof name, "%s", stem);
    return json_object_set_new(item->config, "name", json_string(name)) ||
                   json_object_set_new(b->unnamed, stem, json_integer(number + 1))
               ? convti_no_memory(b->err, "config", sizeof name)
               : CONVT_OK;
}

static convt_status name_layer(build *b, const convti_place *place, convti_item *item)
{
    convt_status status = item->name ? CONVT_OK : set_automatic_name(b, item);
    if (status) return status;
    item->name = convti_json_string(item->config, "name");
    if (json_object_get(b->taken, item->name))
        return convti_json_refuse(place, "name", "must be unique, got \"%.60s\" again", item->name);
    return json_object_set_new(b->taken, item->name, json_true())
               ? convti_no_memory(b->err, "config", strlen(item->name))
               : CONVT_OK;
}

/* One layer, as get_config() or serialized. */
static convt_status add_layer(build *b, const convti_place *place, json_t *layer)
{
    convti_items *items = b->items;
    convti_item *item = &items->list[items->count];
    const char *class_name = convti_json_string(layer, "class_name");
    const bool serialized = json_object_get(layer, "class_name") != NULL;
    json_t *config = serialized ? json_object_get(layer, "config") : layer;
    if (!json_is_object(config))
        return convti_json_refuse_value(place, "config", config ? config : layer,
                                        "an object with the layer's arguments");
    convt_status status = serialized ? check_registered(place, layer) : CONVT_OK;
    if (status) return status;
    struct convti_arguments *arguments = calloc(1, sizeof *arguments);
    if (!arguments) return convti_no_memory(b->err, "layers", sizeof *arguments);
    *item = (convti_item){.class = convti_class_of(serialized ? class_name : "Conv2DTranspose"),
                          .arguments = arguments,
                          .config = config};
    item->class_name = item->class->names[0];
    status = convti_class_read(item->class, place, config, arguments);
    item->name = arguments->cfg.name;
    if (!status) status = name_layer(b, place, item);
    if (!status) status = check_agreement(b, place, item);
    arguments->cfg.name = item->name;
    if (items->count++ == 0) b->first = layer;
    return status;
}

/* What is no layer, by the module where its name is right. */
static convt_status not_a_layer(const convti_place *place, const json_t *item, const char *expected)
{
    const json_t *shown = json_is_object(item) ? json_object_get(item, "class_name") : item;
    const bool model = is_named(item, &sequential_class) || is_named(item, &functional_class);
    if (convti_class_of(json_string_value(shown)))
        return convti_json_refuse_value(place, "module", json_object_get(item, "module"),
                                        "keras.layers");
    if (model && place->path[0])
        return convti_json_refuse(place, "class_name",
                                  "is %s: models within models are not supported",
                                  json_string_value(shown));
    if (model)
        return convti_json_refuse_value(place, "module", json_object_get(item, "module"), "keras");
    return convti_json_refuse_value(place, "class_name", shown, expected);
}

static bool is_layer(const json_t *item)
{
    static const char *const modules[2] = {"keras.layers", NULL};
    return json_is_object(item) &&
           (!json_object_get(item, "class_name") ||
            (convti_class_of(convti_json_string(item, "class_name")) && is_in(item, modules)));
}

/* An item of a model's list. */
static convt_status add_item(build *b, size_t index, json_t *item)
{
    const convti_place place = place_of(b, index, item);
    if (is_of(item, &input_class)) {
        if (index > 0)
            return convti_json_refuse(&place, "class_name",
                                      "must not be InputLayer behind the first place");
        b->input = json_object_get(item, "config");
        b->input_place = place;
        return json_is_object(b->input) ? check_registered(&place, item) : no_input_shape(&place);
    }
    return is_layer(item)
               ? add_layer(b, &place, item)
               : not_a_layer(&place, item,
                             "Conv2DTranspose or another layer that can be computed exactly");
}

/* ---- models ---------------------------------------------------------------------------------- */

static convt_status make_room(build *b, size_t count)
{
    b->items->list = calloc(count + 1, sizeof *b->items->list);
    return b->items->list ? CONVT_OK
                          : convti_no_memory(b->err, "layers", count * sizeof *b->items->list);
}

static convt_status add_list(build *b, json_t *list)
{
    const size_t count = json_array_size(list);
    convt_status status = make_room(b, count);
    b->is_list = true;
    for (size_t i = 0; i < count && !status; i++) status = add_item(b, i, json_array_get(list, i));
    if (!status && b->items->count == 0)
        status = convti_fail(b->err, CONVT_INVALID_ARGUMENT, "layers",
                             "must hold a Conv2DTranspose, got %zu items", count);
    return status;
}

static convt_status no_layers(const build *b, const char *what)
{
    const convti_place place = {.err = b->err};
    return convti_json_refuse(&place, "layers", "missing: a %s needs its list of layers", what);
}

static convt_status add_sequential(build *b, const json_t *config)
{
    json_t *layers = json_object_get(config, "layers");
    const json_t *shape = json_object_get(config, "build_input_shape");
    if (!json_is_array(layers)) return no_layers(b, "Sequential");
    if (shape && !json_is_null(shape)) {
        b->input = shape;
        b->input_place = (convti_place){.err = b->err};
    }
    return add_list(b, layers);
}

/* trainable=False of the whole model, which its layers need not say. */
static void freeze(const build *b)
{
    for (int i = 0; i < b->items->count; i++) b->items->list[i].arguments->cfg.frozen = true;
}

static convt_status add_functional(build *b, const json_t *config)
{
    json_t *line = NULL;
    if (!json_is_array(json_object_get(config, "layers"))) return no_layers(b, "Functional");
    convt_status status = convti_functional_line(config, &line, b->err);
    b->is_functional = true;
    if (!status) status = add_list(b, line);
    if (!status && json_is_false(json_object_get(config, "trainable"))) freeze(b);
    json_decref(line);
    return status;
}

static convt_status add_root(build *b, json_t *root)
{
    const convti_place place = {.err = b->err};
    json_t *config = json_object_get(root, "config");
    const bool functional = is_of(root, &functional_class),
               bare = !json_object_get(root, "class_name");
    if (json_is_array(root)) return add_list(b, root);
    if (functional || is_of(root, &sequential_class)) {
        convt_status status = check_registered(&place, root);
        if (status) return status;
        if (functional) return add_functional(b, config);
        return json_is_array(config) ? add_list(b, config) : add_sequential(b, config);
    }
    if (bare && json_is_array(json_object_get(root, "layers")))
        return json_object_get(root, "input_layers") ? add_functional(b, root)
                                                     : add_sequential(b, root);
    if (!is_layer(root)) return not_a_layer(&place, root, "Sequential, Functional or a layer");
    convt_status status = make_room(b, 1);
    return status ? status : add_layer(b, &place, root);
}

convt_status convti_items_read(json_t *config, convti_items *items, convt_error *err)
{
    *items = (convti_items){0};
    build b = {.items = items, .taken = json_object(), .unnamed = json_object(), .err = err};
    convt_status status = add_root(&b, config);
    if (!status) status = add_input(&b);
    if (!status) status = pass_shapes(items, err);
    json_decref(b.taken);
    json_decref(b.unnamed);
    return status;
}

void convti_items_free(convti_items *items)
{
    for (int i = 0; items && i < items->count; i++) free(items->list[i].arguments);
    if (!items) return;
    free(items->list);
    *items = (convti_items){0};
}
