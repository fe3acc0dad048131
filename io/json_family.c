/*
 * Members of the families: initializers, regularizers, constraints, activations. They come as
 * strings, as {"class_name", "config"} or serialized; which arguments a member takes stands in
 * its row of the .def table.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "names.h"
#include "tables.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A family member as its class name and its arguments (NULL: none given). */
typedef struct member {
    const char *class_name;
    json_t *config;
} member;

static convt_status not_a_member(const convti_place *place, const char *name, const char *family,
                                 const json_t *value)
{
    convti_shown shown = convti_json_show(value);
    return convti_json_refuse(place, name, "Could not interpret %s identifier: %s", family,
                              shown.text);
}

static convt_status read_member(const convti_place *place, const char *name, const char *family,
                                const json_t *value, member *m)
{
    json_t *config = json_object_get(value, "config");
    *m = (member){.class_name = json_is_object(value) ? convti_json_string(value, "class_name")
                                                      : json_string_value(value)};
    if (!m->class_name) return not_a_member(place, name, family, value);
    if (json_is_object(value) && config && !json_is_null(config) && !json_is_object(config)) {
        convti_shown shown = convti_json_show(config);
        return convti_json_refuse(place, name,
                                  "Expected 'config' to be a dict for %.60s, instead got %s",
                                  m->class_name, shown.text);
    }
    m->config = json_is_object(config) ? config : NULL;
    return CONVT_OK;
}

/* The number that an optional argument of a row is read into: where in the config, where in the
 * row's arguments. */
typedef struct argument {
    const char *name;
    size_t field, row;
} argument;

/* Is place.name an argument that the row takes? Then *target is its field. */
static bool find_argument(const argument *arguments, size_t count, const char *name,
                          const void *row, void *object, convt_optional **target)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, arguments[i].name) != 0) continue;
        *target = (convt_optional *)((char *)object + arguments[i].field);
        return ((const convt_optional *)((const char *)row + arguments[i].row))->set;
    }
    return false;
}

/* ---- initializers ---------------------------------------------------------------------------- */

/* An integer, or a SeedGenerator with one. Streams are seeded with 32 bits in Keras. */
static convt_status read_seed(const convti_place *place, const json_t *value, convt_optional *seed)
{
    const json_t *number =
        json_is_object(value) ? json_object_get(json_object_get(value, "config"), "seed") : value;
    int64_t integer;
    if (!number || json_is_null(number)) return CONVT_OK;
    if (!convti_json_integer(number, &integer) || integer < 0 || integer > UINT32_MAX)
        return convti_json_refuse_value(place, "seed", value,
                                        "an integer from 0 to 4294967295 or null");
    *seed = CONVT_SET(integer);
    return CONVT_OK;
}

static convt_status read_mode(const convti_place *place, const json_t *value, convt_fan_mode *mode)
{
    static const char *const names[] = {
        [CONVT_FAN_IN] = "fan_in", [CONVT_FAN_OUT] = "fan_out", [CONVT_FAN_AVG] = "fan_avg"};
    for (size_t i = 0; i < LENGTH(names) && json_is_string(value); i++) {
        if (strcmp(json_string_value(value), names[i]) == 0) {
            *mode = (convt_fan_mode)i;
            return CONVT_OK;
        }
    }
    return convti_json_refuse_value(place, "mode", value, "\"fan_in\", \"fan_out\" or \"fan_avg\"");
}

static convt_status read_distribution(const convti_place *place, const json_t *value,
                                      convt_distribution *distribution)
{
    static const struct {
        const char *name;
        convt_distribution distribution;
    } names[] = {{"truncated_normal", CONVT_TRUNCATED_NORMAL_DISTRIBUTION},
                 {"untruncated_normal", CONVT_UNTRUNCATED_NORMAL_DISTRIBUTION},
                 {"uniform", CONVT_UNIFORM_DISTRIBUTION},
                 {"normal", CONVT_TRUNCATED_NORMAL_DISTRIBUTION}};
    for (size_t i = 0; i < LENGTH(names) && json_is_string(value); i++) {
        if (strcasecmp(json_string_value(value), names[i].name) == 0) {
            *distribution = names[i].distribution;
            return CONVT_OK;
        }
    }
    return convti_json_refuse_value(place, "distribution", value,
                                    "\"truncated_normal\", \"untruncated_normal\" or \"uniform\"");
}

static convt_status read_initializer_key(const convti_place *place, const member *m,
                                         const char *name, const json_t *value,
                                         convt_initializer *init)
{
    static const argument arguments[] = {
#define ARGUMENT(name) \
    {#name, offsetof(convt_initializer, name), offsetof(convti_initializer_arguments, name)}
        ARGUMENT(value),  ARGUMENT(mean), ARGUMENT(stddev), ARGUMENT(minval),
        ARGUMENT(maxval), ARGUMENT(scale)
#undef ARGUMENT
    };
    const convti_initializer_arguments *row = convti_initializer_arguments_of(init->kind);
    convt_optional *target;
    if (find_argument(arguments, LENGTH(arguments), name, row, init, &target))
        return convti_json_read_number(place, name, value, target);
    if (row->seed && strcmp(name, "seed") == 0) return read_seed(place, value, &init->seed);
    if (row->mode && strcmp(name, "mode") == 0) return read_mode(place, value, &init->mode);
    if (row->distribution && strcmp(name, "distribution") == 0)
        return read_distribution(place, value, &init->distribution);
    /* Arguments of everything that scales by fans; Keras heeds them only where both are given. */
    bool scales = row->seed && !row->mean.set && !row->minval.set;
    if (scales && (strcmp(name, "input_axes") == 0 || strcmp(name, "output_axes") == 0)) {
        bool both = convti_json_truth(json_object_get(m->config, "input_axes")) &&
                    convti_json_truth(json_object_get(m->config, "output_axes"));
        return both ? convti_json_refuse_value(
                          place, name, value,
                          "null: other axes than Keras' default are not supported")
                    : CONVT_OK;
    }
    return convti_json_unknown_key(place, m->class_name, name, value);
}

/* null is what add_weight does without an initializer: glorot_uniform, for a bias too. */
convt_status convti_json_read_initializer(const convti_place *place, const char *name,
                                          const json_t *value, void *target)
{
    convt_initializer init = {.kind = CONVT_GLOROT_UNIFORM};
    convti_place inner = convti_place_within(place, name);
    convt_status status = CONVT_OK;
    const char *key;
    json_t *argument_value;
    member m;
    if (!json_is_null(value)) {
        status = read_member(place, name, "initializer", value, &m);
        if (status) return status;
        if (!convti_initializer_from_name(m.class_name, &init.kind))
            return not_a_member(place, name, "initializer", value);
        json_object_foreach(m.config, key, argument_value)
        {
            status = read_initializer_key(&inner, &m, key, argument_value, &init);
            if (status) return status;
        }
    }
    *(convt_initializer *)target = init;
    return status;
}

/* ---- regularizers ---------------------------------------------------------------------------- */

/* null is the default. */
static convt_status read_factor(const convti_place *place, const char *name, const json_t *value,
                                convt_optional *factor)
{
    double number;
    if (json_is_null(value)) return CONVT_OK;
    if (!convti_json_number(value, &number) || number < 0)
        return convti_json_refuse_value(place, name, value, "a non-negative float");
    *factor = CONVT_SET(number);
    return CONVT_OK;
}

convt_status convti_json_read_regularizer(const convti_place *place, const char *name,
                                          const json_t *value, void *target)
{
    static const argument arguments[] = {
        {"l1", offsetof(convt_regularizer, l1), offsetof(convti_regularizer_arguments, l1)},
        {"l2", offsetof(convt_regularizer, l2), offsetof(convti_regularizer_arguments, l2)},
    };
    convt_regularizer regularizer = {.kind = CONVT_NO_REGULARIZER};
    convti_place inner = convti_place_within(place, name);
    convt_optional *factor;
    const char *key;
    json_t *number;
    member m;
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_member(place, name, "regularizer", value, &m);
    if (status) return status;
    if (!convti_regularizer_from_name(m.class_name, &regularizer.kind))
        return not_a_member(place, name, "regularizer", value);
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(regularizer.kind);
    json_object_foreach(m.config, key, number)
    {
        if (!find_argument(arguments, LENGTH(arguments), key, row, &regularizer, &factor))
            return convti_json_unknown_key(&inner, m.class_name, key, number);
        status = read_factor(&inner, key, number, factor);
        if (status) return status;
    }
    *(convt_regularizer *)target = regularizer;
    return CONVT_OK;
}

/* ---- constraints ----------------------------------------------------------------------------- */

/* An axis, a list of them, or null for all. The layer checks their range. */
static convt_status read_axis(const convti_place *place, const json_t *value, int rank,
                              convt_axes *axes)
{
    int64_t axis;
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    convt_axes read = {.count = (int)(count < 5 ? count : 5)};
    if (json_is_null(value)) {
        for (read.count = 0; read.count < rank; read.count++) read.axis[read.count] = read.count;
        *axes = read;
        return CONVT_OK;
    }
    if (read.count < 1 || read.count > rank)
        return convti_json_refuse_value(place, "axis", value,
                                        "an axis or a list of axes of the weight");
    for (int i = 0; i < read.count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, (size_t)i) : value;
        if (!convti_json_integer(item, &axis) || axis < -rank || axis >= rank)
            return convti_json_refuse_value(place, "axis", value,
                                            "an axis or a list of axes of the weight");
        read.axis[i] = (int)axis;
    }
    *axes = read;
    return CONVT_OK;
}

convt_status convti_json_read_constraint(const convti_place *place, const char *name,
                                         const json_t *value, void *target)
{
    static const argument arguments[] = {
#define ARGUMENT(name) \
    {#name, offsetof(convt_constraint, name), offsetof(convti_constraint_arguments, name)}
        ARGUMENT(max_value), ARGUMENT(min_value), ARGUMENT(rate)
#undef ARGUMENT
    };
    convt_constraint constraint = {.kind = CONVT_NO_CONSTRAINT};
    convti_place inner = convti_place_within(place, name);
    int rank = strcmp(name, "bias_constraint") == 0 ? 1 : 4;
    convt_optional *bound;
    const char *key;
    json_t *argument_value;
    member m;
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_member(place, name, "constraint", value, &m);
    if (status) return status;
    if (!convti_constraint_from_name(m.class_name, &constraint.kind))
        return not_a_member(place, name, "constraint", value);
    const convti_constraint_arguments *row = convti_constraint_arguments_of(constraint.kind);
    json_object_foreach(m.config, key, argument_value)
    {
        if (row->axis && strcmp(key, "axis") == 0)
            status = read_axis(&inner, argument_value, rank, &constraint.axis);
        else if (find_argument(arguments, LENGTH(arguments), key, row, &constraint, &bound))
            status = convti_json_read_number(&inner, key, argument_value, bound);
        else
            status = convti_json_unknown_key(&inner, m.class_name, key, argument_value);
        if (status) return status;
    }
    *(convt_constraint *)target = constraint;
    return CONVT_OK;
}

/* ---- activations ----------------------------------------------------------------------------- */

const convti_activation_layer convti_activation_layers[] = {
    {"ReLU", "re_lu", CONVT_RELU, 0},
    {"LeakyReLU", "leaky_re_lu", CONVT_LEAKY_RELU, 0.3},
    {"ELU", "elu", CONVT_ELU, 0},
};
const int convti_activation_layer_count = (int)LENGTH(convti_activation_layers);

static convt_status not_an_activation(const convti_place *place, const char *name,
                                      const json_t *value)
{
    return not_a_member(place, name, "activation function", value);
}

/* One argument of an activation layer. Only relu's max_value may be null. */
static convt_status read_slope(const convti_place *place, const char *key, const json_t *value,
                               convt_activation *activation, convt_optional *target)
{
    if (json_is_null(value) && activation->kind == CONVT_RELU && target == &activation->max_value)
        return CONVT_OK;
    convt_status status = convti_json_read_number(place, key, value, target);
    if (!status && target->value < 0 && activation->kind != CONVT_ELU)
        return convti_json_refuse_value(place, key, value, "0 or more");
    return status;
}

static bool is_layer_key(const char *key)
{
    static const char *const keys[] = {"name", "trainable", "dtype", "autocast"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (strcmp(key, keys[i]) == 0) return true;
    }
    return false;
}

static convt_status read_activation_layer(const convti_place *place,
                                          const convti_activation_layer *layer, json_t *config,
                                          convt_activation *activation)
{
    static const argument arguments[] = {
#define ARGUMENT(name) \
    {#name, offsetof(convt_activation, name), offsetof(convti_activation_arguments, name)}
        ARGUMENT(negative_slope), ARGUMENT(max_value), ARGUMENT(threshold), ARGUMENT(alpha)
#undef ARGUMENT
    };
    const convti_activation_arguments *row = convti_activation_arguments_of(layer->kind);
    convt_optional *target;
    const char *key;
    json_t *value;
    *activation = (convt_activation){.kind = layer->kind};
    if (layer->negative_slope > 0) activation->negative_slope = CONVT_SET(layer->negative_slope);
    json_object_foreach(config, key, value)
    {
        if (is_layer_key(key)) continue;
        bool old_name = layer->kind == CONVT_LEAKY_RELU && strcmp(key, "alpha") == 0;
        if (!find_argument(arguments, LENGTH(arguments), old_name ? "negative_slope" : key, row,
                           activation, &target))
            return convti_json_unknown_key(place, layer->class_name, key, value);
        convt_status status = read_slope(place, key, value, activation, target);
        if (status) return status;
    }
    return CONVT_OK;
}

/* Objects of keras.layers and functions of keras.activations; without a module Keras finds
 * neither. */
static convt_status read_activation_object(const convti_place *place, const char *name,
                                           const json_t *value, void *target)
{
    const char *module = convti_json_string(value, "module"),
               *class_name = convti_json_string(value, "class_name");
    json_t *config = json_object_get(value, "config");
    convti_place inner = convti_place_within(place, name);
    if (!module || !class_name || !config) return not_an_activation(place, name, value);
    if (strcmp(class_name, "function") == 0)
        return json_is_string(config) ? convti_json_read_activation(place, name, config, target)
                                      : not_an_activation(place, name, value);
    if (strcmp(module, "keras.activations") == 0)
        return convti_json_read_activation(place, name, json_object_get(value, "class_name"),
                                           target);
    if (strcmp(class_name, "Activation") == 0 && json_is_object(config) &&
        json_object_get(config, "activation"))
        return convti_json_read_activation(&inner, "activation",
                                           json_object_get(config, "activation"), target);
    for (int i = 0; i < convti_activation_layer_count; i++) {
        if (strcmp(class_name, convti_activation_layers[i].class_name) == 0)
            return read_activation_layer(&inner, &convti_activation_layers[i], config, target);
    }
    return not_an_activation(place, name, value);
}

convt_status convti_json_read_activation(const convti_place *place, const char *name,
                                         const json_t *value, void *target)
{
    convt_activation activation = {.kind = CONVT_LINEAR};
    if (json_is_object(value)) return read_activation_object(place, name, value, target);
    if (!json_is_null(value) &&
        (!json_is_string(value) ||
         !convti_activation_from_name(json_string_value(value), &activation.kind)))
        return not_an_activation(place, name, value);
    *(convt_activation *)target = activation;
    return CONVT_OK;
}
