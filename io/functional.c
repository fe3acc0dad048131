/*
 * The straight line through a Functional model, found from its output backwards. A layer says what
 * it is called with:
 *
 *     "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config":
 *                       {"keras_history": ["name", 0, 0]}}], "kwargs": {"mask": null}}]    Keras 3
 *     "inbound_nodes": [[["name", 0, 0, {}]]]                                            before it
 *
 * and input_layers and output_layers are ["name", 0, 0], or a list of such.
 */
#include "functional.h"

#include <stdio.h>
#include <string.h>

#include "file.h"
#include "status.h"

static convt_status refuse(convt_error *err, const char *layer, const char *what)
{
    convti_place place = {.err = err};
    snprintf(place.path, sizeof place.path, "%s", layer);
    return convti_json_refuse(&place, "inbound_nodes", "%s", what);
}

/* ["name", 0, 0], the name of a tensor; NULL for anything else, a layer called again among it. */
static const char *name_of(const json_t *tensor)
{
    int64_t node, output;
    return convti_json_integer(json_array_get(tensor, 1), &node) &&
                   convti_json_integer(json_array_get(tensor, 2), &output) && node == 0 &&
                   output == 0
               ? json_string_value(json_array_get(tensor, 0))
               : NULL;
}

/* The one tensor of input_layers or output_layers. */
static convt_status find_end(const json_t *config, const char *key, const char **name,
                             convt_error *err)
{
    const convti_place place = {.err = err};
    const json_t *ends = json_object_get(config, key);
    const bool listed = json_array_size(ends) == 1;
    *name = name_of(listed ? json_array_get(ends, 0) : ends);
    return *name ? CONVT_OK
                 : convti_json_refuse_value(&place, key, ends,
                                            "one tensor: a straight line has one input and one "
                                            "output");
}

/* ---- what a layer is called with ------------------------------------------------------------- */

/* Whatever changes what the layer computes is set to something else than false. */
static bool is_plain(const json_t *arguments)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
    {
        if (convti_json_truth(value)) return false;
    }
    return true;
}

static bool read_node(const json_t *node, const char **input)
{
    const json_t *args = json_object_get(node, "args"), *tensor = json_array_get(args, 0),
                 *history = json_object_get(json_object_get(tensor, "config"), "keras_history");
    *input = name_of(history);
    return *input && json_array_size(args) == 1 && is_plain(json_object_get(node, "kwargs"));
}

/* As Keras 2 wrote it: a list of tensors, or one of them, with more arguments behind. */
static bool read_old_node(const json_t *node, const char **input)
{
    const bool one = json_is_string(json_array_get(node, 0));
    const json_t *tensor = one ? node : json_array_get(node, 0);
    *input = name_of(tensor);
    return *input && (one || json_array_size(node) == 1) && is_plain(json_array_get(tensor, 3));
}

/* *input is NULL for the InputLayer. */
static convt_status find_input(const json_t *layer, const char *name, const char **input,
                               convt_error *err)
{
    const json_t *nodes = json_object_get(layer, "inbound_nodes"), *node = json_array_get(nodes, 0);
    const char *class_name = convti_json_string(layer, "class_name");
    *input = NULL;
    if (json_array_size(nodes) == 0)
        return class_name && strcmp(class_name, "InputLayer") == 0
                   ? CONVT_OK
                   : refuse(err, name, "is not called: no layer leads to it");
    if (json_array_size(nodes) > 1)
        return refuse(err, name, "is called more than once: only straight lines can be read");
    return (json_is_object(node) ? read_node(node, input) : read_old_node(node, input))
               ? CONVT_OK
               : refuse(err, name,
                        "is not called with one tensor alone: only straight lines can be read");
}

/* ---- the line -------------------------------------------------------------------------------- */

/* Layers by name. */
static convt_status index_layers(json_t *layers, json_t *names, convt_error *err)
{
    for (size_t i = 0; i < json_array_size(layers); i++) {
        json_t *layer = json_array_get(layers, i);
        const char *name = convti_json_string(layer, "name");
        convti_place place = {.err = err};
        snprintf(place.path, sizeof place.path, "layers[%zu]", i);
        if (!name)
            return convti_json_refuse(&place, "name", "missing: a Functional's layers have names");
        if (json_object_get(names, name))
            return convti_json_refuse(&place, "name", "must be unique, got \"%.60s\" again", name);
        if (json_object_set(names, name, layer)) return convti_no_memory(err, "layers", 1);
    }
    return CONVT_OK;
}

/* Takes the layers out of `names` one by one, so that none is met twice. */
static convt_status follow(json_t *names, const char *output, json_t *line, convt_error *err)
{
    const char *name = output;
    while (name) {
        const char *input;
        json_t *layer = json_object_get(names, name);
        if (!layer) return refuse(err, name, "leads to no layer, or back to itself");
        convt_status status = find_input(layer, name, &input, err);
        if (status) return status;
        if (json_array_insert(line, 0, layer)) return convti_no_memory(err, "layers", 1);
        json_object_del(names, name);
        name = input;
    }
    return CONVT_OK;
}

/* What is left of `names` lies beside the line. */
static convt_status check_line(json_t *names, const json_t *line, const char *input,
                               convt_error *err)
{
    const char *first = convti_json_string(json_array_get(line, 0), "name"),
               *left = json_object_iter_key(json_object_iter(names));
    if (left)
        return refuse(err, left,
                      "is not on the way from the input to the output: only straight lines can be "
                      "read");
    return strcmp(first, input) == 0 ? CONVT_OK
                                     : refuse(err, first, "is not the input of the model");
}

convt_status convti_functional_line(const json_t *config, json_t **line, convt_error *err)
{
    const char *input, *output;
    json_t *names = json_object();
    *line = json_array();
    convt_status status = names && *line ? find_end(config, "input_layers", &input, err)
                                         : convti_no_memory(err, "layers", 1);
    if (!status) status = find_end(config, "output_layers", &output, err);
    if (!status) status = index_layers(json_object_get(config, "layers"), names, err);
    if (!status) status = follow(names, output, *line, err);
    if (!status) status = check_line(names, *line, input, err);
    json_decref(names);
    if (!status) return CONVT_OK;
    json_decref(*line);
    *line = NULL;
    return status;
}
