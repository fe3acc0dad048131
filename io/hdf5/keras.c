/*
 * .keras and .weights.h5 as Keras 3 writes them. A .keras is a zip of config.json, metadata.json and
 * model.weights.h5. In the HDF5 file the variables of a layer are the datasets 0, 1, ... of
 *
 *     /layers/<class in snake_case>[_<n>]/vars
 *
 * where n counts the layers of that class before it in the model, whatever they are called. An
 * optimizer's state (/optimizer) is not looked at. Files of TensorFlow's Keras 2.13 and 2.14 say
 * /_layer_checkpoint_dependencies for /layers.
 */
#define _XOPEN_SOURCE 700 /* gmtime_r */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "classes.h"
#include "hdf5/hdf5_file.h"
#include "json.h"
#include "package.h"
#include "status.h"
#include "zip_archive.h"

static const char config_member[] = "config.json", metadata_member[] = "metadata.json",
                  weights_member[] = "model.weights.h5", container[] = "layers",
                  old_container[] = "_layer_checkpoint_dependencies";

/* Whose layout and metadata are written. */
static const char keras_version[] = "3.15.1";

/* ---- where the variables of a layer are ------------------------------------------------------ */

enum { PATH = 192, NAME = sizeof((convt_array *)NULL)->name };

/* A walk over the layers in their order. */
typedef struct walk {
    const convti_items *items;
    const char *root;
    int next;
    /* the layer that the walk is at */
    const convti_item *item;
    int variables;
    const char *names[CONVTI_MOST_VARIABLES];
    char path[PATH]; /* of its vars */
} walk;

/* Layers of the class in front. */
static int count_before(const convti_items *items, int index, const char *stem)
{
    int count = 0;
    for (int i = 0; i < index; i++)
        count += strcmp(convti_class_stem(items->list[i].class_name), stem) == 0;
    return count;
}

static bool next_layer(walk *w)
{
    char number[24] = "";
    if (w->next == w->items->count) return false;
    w->item = &w->items->list[w->next++];
    w->variables = convti_item_variables(w->item, w->names);
    const char *stem = convti_class_stem(w->item->class_name);
    const int before = count_before(w->items, w->next - 1, stem);
    if (before > 0) snprintf(number, sizeof number, "_%d", before);
    snprintf(w->path, PATH, "%s/%s%s/vars", w->root, stem, number);
    return true;
}

/* <layer>/<variable> in a package. */
static convt_status variable_name(const walk *w, int index, char name[NAME], const char *field,
                                  convt_error *err)
{
    const int length = snprintf(name, NAME, "%s/%s", w->item->name, w->names[index]);
    if (length < NAME) return CONVT_OK;
    return convti_fail(err, CONVT_BAD_FORMAT, field,
                       "%.100s... is too long for a name: %d bytes, at most %d", w->item->name,
                       length, NAME - 1);
}

static convt_status out_of_memory(const char *field, const convti_items *items, convt_error *err)
{
    return convti_no_memory(err, field, (size_t)items->count * sizeof *items->list);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* As Keras has it, a layer must have as many variables as the file. */
static convt_status read_layer(convti_hdf5 *h5, const walk *w, convt_archive *weights,
                               convt_error *err)
{
    uint64_t there = 0;
    if (w->variables == 0) return CONVT_OK;
    convt_status status = convti_hdf5_count(h5, w->path, &there, err);
    if (!status && there != (uint64_t)w->variables)
        status = convti_fail(err, CONVT_BAD_FORMAT, h5->name,
                             "%s%s has %llu variables where %s has %d", h5->label, w->path,
                             (unsigned long long)there, w->item->name, w->variables);
    for (int i = 0; i < w->variables && !status; i++) {
        char path[PATH + 16];
        convt_array *array = &weights->arrays[weights->count];
        snprintf(path, sizeof path, "%s/%d", w->path, i);
        status = convti_hdf5_read(h5, path, array, err);
        if (status) break;
        weights->count++;
        status = variable_name(w, i, array->name, h5->name, err);
    }
    return status;
}

static convt_status read_layers(convti_hdf5 *h5, const convti_items *items, convt_archive *weights,
                                convt_error *err)
{
    convt_status status = CONVT_OK;
    const bool old = !convti_hdf5_has(h5, container) && convti_hdf5_has(h5, old_container);
    walk w = {.items = items, .root = old ? old_container : container};
    while (!status && next_layer(&w)) status = read_layer(h5, &w, weights, err);
    return status;
}

static convt_status read_weights(const convti_input *input, const char *label,
                                 const convti_items *items, convt_archive *weights,
                                 convt_error *err)
{
    convti_hdf5 h5;
    const size_t most = (size_t)items->count * CONVTI_MOST_VARIABLES;
    weights->arrays = calloc(most + 1, sizeof *weights->arrays);
    if (!weights->arrays) return convti_no_memory(err, input->name, most * sizeof *weights->arrays);
    convt_status status = convti_hdf5_open(&h5, input, label, err);
    if (status) return status;
    status = read_layers(&h5, items, weights, err);
    convti_hdf5_close(&h5);
    return status;
}

convt_status convti_weights_h5_read(const convti_input *input, const convti_items *layers,
                                    convti_package *package, convt_error *err)
{
    *package = (convti_package){0};
    if (layers->count == 0)
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "holds weights alone: the layers must come from a model");
    const convt_status status = read_weights(input, "", layers, &package->weights, err);
    if (status) convti_package_free(package);
    return status;
}

static convt_status find_member(convti_zip *zip, const char *member, int64_t *index,
                                convt_error *err)
{
    *index = convti_zip_find(zip, member);
    return *index >= 0
               ? CONVT_OK
               : convti_fail(err, CONVT_BAD_FORMAT, zip->input->name, "has no member %s", member);
}

static convt_status read_config(convti_zip *zip, json_t **config, convt_error *err)
{
    int64_t index;
    char *text;
    convt_status status = find_member(zip, config_member, &index, err);
    if (!status) status = convti_zip_take_text(zip, index, &text, err);
    if (status) return status;
    status = convti_json_parse(text, zip->input->name, config, err);
    free(text);
    return status;
}

static convt_status read_member(convti_zip *zip, const convti_items *items, convt_archive *weights,
                                convt_error *err)
{
    char label[sizeof weights_member + 1];
    int64_t index;
    convti_input member;
    convt_status status = find_member(zip, weights_member, &index, err);
    if (!status) status = convti_zip_member_input(zip, index, &member, err);
    if (status) return status;
    snprintf(label, sizeof label, "%s ", weights_member);
    status = read_weights(&member, label, items, weights, err);
    convti_input_close(&member);
    return status;
}

convt_status convti_keras_read(const convti_input *input, const convti_items *layers,
                               convti_package *package, convt_error *err)
{
    convti_zip zip;
    convti_items own = {0};
    *package = (convti_package){0};
    convt_status status = convti_zip_open(&zip, input, err);
    if (status) return status;
    status = read_config(&zip, &package->config, err);
    if (layers && layers->count == 0) layers = NULL;
    if (!status && !layers) status = convti_items_read(package->config, &own, err);
    if (!status) status = read_member(&zip, layers ? layers : &own, &package->weights, err);
    convti_items_free(&own);
    convti_zip_close(&zip);
    if (status) convti_package_free(package);
    return status;
}

/* ---- the model as Keras reads it ------------------------------------------------------------- */

/* A Sequential of the layers, for what is no model but a list of them, or one. */
static json_t *sequential(const convti_items *items)
{
    json_t *layers = json_array();
    for (int i = 0; i < items->count; i++)
        layers = convti_json_and(layers,
                                 convti_json_serialized("keras.layers", items->list[i].class_name,
                                                        json_incref(items->list[i].config)));
    return convti_json_serialized(
        "keras", "Sequential",
        json_pack("{s:s, s:b, s:o}", "name", "sequential", "trainable", 1, "layers", layers));
}

static bool is_class(const json_t *object, const char *class_name)
{
    const char *given = convti_json_string(object, "class_name");
    return given && strcmp(given, class_name) == 0;
}

/* Keras takes weights only into what it has built, and a Sequential that begins with another layer
 * than InputLayer must be told the shape to build for. */
static convt_status add_input_shape(json_t *model, const convti_items *items, const char *name,
                                    convt_error *err)
{
    json_t *config = json_object_get(model, "config");
    const json_t *first = json_array_get(json_object_get(config, "layers"), 0);
    if (!is_class(model, "Sequential") || is_class(first, "InputLayer") ||
        json_is_array(json_object_get(config, "build_input_shape")))
        return CONVT_OK;
    const convti_tensor *input = &items->list[0].input;
    if (input->rank == 0 || input->size[convti_channel_axis(input, items->channels_first)] == 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, name,
                           "cannot be written: the shape of the input of %s is not known, without "
                           "which Keras takes no weights",
                           items->list[0].name);
    json_t *shape = json_pack("[n]");
    for (int i = 0; i < input->rank; i++)
        shape =
            convti_json_and(shape, input->size[i] > 0 ? json_integer(input->size[i]) : json_null());
    return json_object_set_new(config, "build_input_shape", shape) == 0
               ? CONVT_OK
               : convti_no_memory(err, name, sizeof *shape);
}

static convt_status check_layers(const convti_items *items, const char *name, convt_error *err)
{
    for (int i = 0; i < items->count; i++) {
        if (json_object_get(items->list[i].config, "convt"))
            return convti_fail(
                err, CONVT_INVALID_ARGUMENT, name,
                "cannot be written: layer %s has \"convt\" arguments, which Keras has "
                "no words for",
                items->list[i].name);
    }
    return CONVT_OK;
}

/* config.json, malloc'ed. */
static convt_status model_text(const json_t *config, const convti_items *items, const char *name,
                               char **text, convt_error *err)
{
    const bool is_model = is_class(config, "Sequential") || is_class(config, "Functional") ||
                          is_class(config, "Model");
    *text = NULL;
    convt_status status = check_layers(items, name, err);
    if (status) return status;
    json_t *listed = is_model ? NULL : sequential(items),
           *model = json_deep_copy(is_model ? config : listed);
    status = add_input_shape(model, items, name, err);
    if (!status) {
        *text = convti_json_text(model);
        if (!*text) status = out_of_memory(name, items, err);
    }
    json_decref(listed);
    json_decref(model);
    return status;
}

/* Keras writes the time and never reads it; SOURCE_DATE_EPOCH makes equal models equal files. */
static void metadata_text(char text[128])
{
    char saved[32] = "";
    struct tm parts;
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    const time_t now = epoch && *epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    if (gmtime_r(&now, &parts)) strftime(saved, sizeof saved, "%Y-%m-%d@%H:%M:%S", &parts);
    snprintf(text, 128, "{\"keras_version\": \"%s\", \"date_saved\": \"%s\"}", keras_version,
             saved);
}

/* ---- writing --------------------------------------------------------------------------------- */

static convt_status write_layer(convti_hdf5 *h5, const walk *w, const convt_archive *weights,
                                convt_error *err)
{
    convt_status status = convti_hdf5_add_group(h5, w->path, w->item->name, err);
    for (int i = 0; i < w->variables && !status; i++) {
        char name[NAME], path[PATH + 16];
        snprintf(path, sizeof path, "%s/%d", w->path, i);
        status = variable_name(w, i, name, h5->name, err);
        if (status) break;
        const convt_array *array = convt_archive_find(weights, name);
        status = array ? convti_hdf5_add(h5, path, array, err)
                       : convti_fail(err, CONVT_INVALID_ARGUMENT, h5->name,
                                     "cannot be written: there is no array %s", name);
    }
    return status;
}

/* /vars is of the model itself: always there, always empty. */
static convt_status write_weights(const convti_items *items, const convt_archive *weights,
                                  const char *name, convti_bytes *bytes, convt_error *err)
{
    convti_hdf5 h5;
    walk w = {.items = items, .root = container};
    convt_status status = convti_hdf5_create(&h5, name, err);
    if (status) return status;
    status = convti_hdf5_add_group(&h5, "vars", "model", err);
    while (!status && next_layer(&w)) status = write_layer(&h5, &w, weights, err);
    return convti_hdf5_finish(&h5, status, &bytes->data, &bytes->size, err);
}

static convt_status items_of(const convti_package *package, const char *name, convti_items *items,
                             convt_error *err)
{
    *items = (convti_items){0};
    if (package->config) return convti_items_read(package->config, items, err);
    return convti_fail(err, CONVT_INVALID_ARGUMENT, name,
                       "cannot be written: the layers are not known, which say where weights go");
}

convt_status convti_weights_h5_write(const convti_package *package, const char *name,
                                     convti_bytes *bytes, convt_error *err)
{
    convti_items items;
    *bytes = (convti_bytes){0};
    convt_status status = items_of(package, name, &items, err);
    if (!status) status = write_weights(&items, &package->weights, name, bytes, err);
    convti_items_free(&items);
    return status;
}

/* The members in Keras' order. */
static convt_status write_zip(const char *config, const convti_bytes *weights, const char *name,
                              convti_bytes *bytes, convt_error *err)
{
    char metadata[128];
    convti_zip_writer zip;
    metadata_text(metadata);
    convt_status status = convti_zip_create(&zip, name, err);
    if (status) return status;
    status = convti_zip_add(&zip, metadata_member, metadata, strlen(metadata), err);
    if (!status) status = convti_zip_add(&zip, config_member, config, strlen(config), err);
    if (!status) status = convti_zip_add(&zip, weights_member, weights->data, weights->size, err);
    return convti_zip_finish(&zip, status, &bytes->data, &bytes->size, err);
}

convt_status convti_keras_write(const convti_package *package, const char *name,
                                convti_bytes *bytes, convt_error *err)
{
    convti_items items;
    convti_bytes weights = {0};
    char *config = NULL;
    *bytes = (convti_bytes){0};
    convt_status status = items_of(package, name, &items, err);
    if (!status) status = model_text(package->config, &items, name, &config, err);
    if (!status) status = write_weights(&items, &package->weights, name, &weights, err);
    if (!status) status = write_zip(config, &weights, name, bytes, err);
    free(weights.data);
    free(config);
    convti_items_free(&items);
    return status;
}
