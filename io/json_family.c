/*
 * Members of the families: initializers, regularizers, constraints, activations. They come as
 * strings, as {"class_name", "config"} or serialized; which arguments a member takes stands in
 * its row of the .def table, in which order Keras looks at them in the tables here.
 */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "argument.h"
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

static convt_status not_a_dict(const convti_place *place, const char *name, const char *class_name,
                               const json_t *config)
{
    convti_shown shown = convti_json_show(config);
    return convti_json_refuse(place, name,
                              "Expected 'config' to be a dict for %.60s, instead got %s",
                              class_name, shown.text);
}

/* Keras looks at class_name and config; at module only to see that it is not null. */
static convt_status read_member(const convti_place *place, const char *name, const char *family,
                                const json_t *value, member *m)
{
    json_t *config = json_object_get(value, "config");
    *m = (member){.class_name = json_is_object(value) ? convti_json_string(value, "class_name")
                                                      : json_string_value(value)};
    if (!m->class_name || json_is_null(json_object_get(value, "module")))
        return not_a_member(place, name, family, value);
    if (config && !json_is_null(config) && !json_is_object(config))
        return not_a_dict(place, name, m->class_name, config);
    m->config = json_is_object(config) ? config : NULL;
    return CONVT_OK;
}

/* What Keras builds a layer with, and then refuses to use it for these shapes, or what does nothing
 * at all. */
static bool is_unusable(convti_family family, const char *class_name, const char **reason)
{
    static const struct {
        convti_family family;
        const char *names[3], *reason;
    } rows[] = {
        {CONVTI_INITIALIZERS,
         {"STFT", "stft", "STFTInitializer"},
         "STFT can only be used for shapes of 3 sizes"},
        {CONVTI_INITIALIZERS,
         {"Initializer", "initializer"},
         "Initializer is the base class and has no values"},
        {CONVTI_REGULARIZERS,
         {"OrthogonalRegularizer", "orthogonal_regularizer"},
         "Inputs to OrthogonalRegularizer must have rank 2"},
        {CONVTI_REGULARIZERS,
         {"Regularizer", "regularizer"},
         "Regularizer is the base class and has no effect: use null"},
        {CONVTI_CONSTRAINTS,
         {"Constraint", "constraint"},
         "Constraint is the base class and has no effect: use null"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        for (size_t k = 0; k < LENGTH(rows[i].names) && rows[i].family == family; k++) {
            *reason = rows[i].reason;
            if (rows[i].names[k] && strcmp(class_name, rows[i].names[k]) == 0) return true;
        }
    }
    return false;
}

static convt_status no_row(const convti_place *place, const char *name, convti_family family,
                           const char *word, const json_t *value, const member *m)
{
    const char *reason;
    convti_shown shown = convti_json_show(value);
    return is_unusable(family, m->class_name, &reason)
               ? convti_json_refuse_later(place, name, "%s, got %s", reason, shown.text)
               : not_a_member(place, name, word, value);
}

/* An argument: what reads it, where it goes in the member, and the column of the row that says
 * whether the member takes it (a bool, or a convt_optional, which begins with one). */
typedef struct argument {
    const char *name;
    convti_json_reader *read;
    size_t field, column;
} argument;

static bool takes(const void *row, const argument *a)
{
    return *(const bool *)((const char *)row + a->column);
}

static convt_status read_arguments(const convti_place *place, const member *m,
                                   const argument *arguments, size_t count, const void *row,
                                   void *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(m->config, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known = known || (takes(row, &arguments[i]) && strcmp(key, arguments[i].name) == 0);
        if (!known) return convti_json_unknown_key(place, m->class_name, key, value);
    }
    for (size_t i = 0; i < count; i++) {
        const argument *a = &arguments[i];
        value = takes(row, a) ? json_object_get(m->config, a->name) : NULL;
        convt_status status = value ? a->read(place, a->name, value, (char *)object + a->field)
                                    : CONVT_OK;
        if (status) return status;
    }
    return CONVT_OK;
}

/* ---- numbers and axes ------------------------------------------------------------------------ */

/* A number that Keras keeps as it is until it computes with it. */
static convt_status read_kept_number(const convti_place *place, const char *name,
                                     const json_t *value, void *target)
{
    double number;
    if (!convti_json_number(value, &number))
        return convti_json_refuse_value_later(place, name, value, "a number");
    *(convt_optional *)target = CONVT_SET(number);
    return CONVT_OK;
}

/* A list of axes, or one alone; the layer checks their range. */
static bool read_axes(const json_t *value, convt_axes *axes)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    convt_axes read = {.count = count == 0 ? CONVT_NO_AXES : (int)(count < 5 ? count : 5)};
    for (int i = 0; i < read.count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, (size_t)i) : value;
        int64_t axis;
        if (i == 4 || !convti_json_integer(item, &axis) || axis < INT_MIN || axis > INT_MAX)
            return false;
        read.axis[i] = (int)axis;
    }
    *axes = read;
    return true;
}

/* ---- initializers ---------------------------------------------------------------------------- */

/* The object of a seed that is one: {"module": "keras.random", "class_name": "SeedGenerator",
 * "config": {"seed", "name"}}. */
static convt_status read_generator(const convti_place *place, const char *name, const json_t *value,
                                   const json_t **seed)
{
    const char *module = convti_json_string(value, "module"),
               *class_name = convti_json_string(value, "class_name"), *key;
    json_t *config = json_object_get(value, "config"), *item;
    convti_place inner = convti_place_within(place, name);
    if (!class_name || !config)
        return convti_json_refuse_value_later(place, name, value, "an integer or a SeedGenerator");
    if (!module || strcmp(module, "keras.random") != 0 ||
        strcmp(class_name, "SeedGenerator") != 0 ||
        (!json_is_object(config) && !json_is_null(config)))
        return convti_json_refuse_value(place, name, value, "an integer or a SeedGenerator");
    json_object_foreach(config, key, item)
    {
        if (strcmp(key, "seed") != 0 && strcmp(key, "name") != 0)
            return convti_json_unknown_key(&inner, class_name, key, item);
    }
    *seed = json_object_get(config, "seed");
    return convti_json_check_registered(place, name, value, class_name);
}

/* An integer, or a SeedGenerator with one. Streams are seeded with 32 bits in Keras. */
static convt_status read_seed(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    static const char range[] = "an integer from 0 to 4294967295 or null";
    const json_t *seed = value;
    int64_t integer;
    if (json_is_object(value)) {
        seed = NULL;
        convt_status status = read_generator(place, name, value, &seed);
        if (status) return status;
    }
    if (!seed || json_is_null(seed)) return CONVT_OK;
    if (!convti_json_integer(seed, &integer))
        return convti_json_refuse_value(place, name, value, range);
    if (integer < 0 || integer > UINT32_MAX)
        return convti_json_refuse_value_later(place, name, value, range);
    *(convt_optional *)target = CONVT_SET(integer);
    return CONVT_OK;
}

static convt_status read_scale(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    double scale;
    if (!convti_json_number(value, &scale) || scale <= 0)
        return convti_json_refuse_value(place, name, value, "a positive float");
    *(convt_optional *)target = CONVT_SET(scale);
    return CONVT_OK;
}

static convt_status read_mode(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    static const char *const names[] = {
        [CONVT_FAN_IN] = "fan_in", [CONVT_FAN_OUT] = "fan_out", [CONVT_FAN_AVG] = "fan_avg"};
    for (size_t i = 0; i < LENGTH(names) && json_is_string(value); i++) {
        if (strcmp(json_string_value(value), names[i]) == 0) {
            *(convt_fan_mode *)target = (convt_fan_mode)i;
            return CONVT_OK;
        }
    }
    return convti_json_refuse_value(place, name, value, "\"fan_in\", \"fan_out\" or \"fan_avg\"");
}

static convt_status read_distribution(const convti_place *place, const char *name,
                                      const json_t *value, void *target)
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
            *(convt_distribution *)target = names[i].distribution;
            return CONVT_OK;
        }
    }
    return convti_json_refuse_value(place, name, value,
                                    "\"truncated_normal\", \"untruncated_normal\" or \"uniform\"");
}

static convt_status read_fan_axes(const convti_place *place, const char *name, const json_t *value,
                                  void *target)
{
    if (json_is_null(value)) return CONVT_OK;
    if (!json_is_array(value) || !read_axes(value, target))
        return convti_json_refuse_value_later(place, name, value,
                                              "null or a list of at most 4 axes");
    return CONVT_OK;
}

/* Keras' Constant takes its value from the config without a default and looks at nothing else. */
static convt_status read_constant(const convti_place *place, const char *name, const member *m,
                                  convt_initializer *init)
{
    const json_t *value = json_object_get(m->config, "value");
    convti_place inner = convti_place_within(place, name);
    return value ? read_kept_number(&inner, "value", value, &init->value)
                 : convti_json_refuse(&inner, "value", "missing: %.60s needs it in its config",
                                      m->class_name);
}

/* null is what add_weight does without an initializer: glorot_uniform, for a bias too. */
convt_status convti_json_read_initializer(const convti_place *place, const char *name,
                                          const json_t *value, void *target)
{
#define ARGUMENT(name, read)                             \
    {                                                    \
#name, read, offsetof(convt_initializer, name),  \
            offsetof(convti_initializer_arguments, name) \
    }
#define AXES(name)                                               \
    {                                                            \
#name, read_fan_axes, offsetof(convt_initializer, name), \
            offsetof(convti_initializer_arguments, axes)         \
    }
    static const argument arguments[] = {
        ARGUMENT(scale, read_scale),
        ARGUMENT(mode, read_mode),
        ARGUMENT(distribution, read_distribution),
        ARGUMENT(gain, read_kept_number),
        ARGUMENT(mean, read_kept_number),
        ARGUMENT(stddev, read_kept_number),
        ARGUMENT(minval, read_kept_number),
        ARGUMENT(maxval, read_kept_number),
        AXES(input_axes),
        AXES(output_axes),
        ARGUMENT(seed, read_seed),
    };
#undef ARGUMENT
#undef AXES
    convt_initializer init = {.kind = CONVT_GLOROT_UNIFORM};
    convti_place inner = convti_place_within(place, name);
    member m;
    if (!json_is_null(value)) {
        convt_status status = read_member(place, name, "initializer", value, &m);
        if (status) return status;
        if (!convti_initializer_from_name(m.class_name, &init.kind))
            return no_row(place, name, CONVTI_INITIALIZERS, "initializer", value, &m);
        const convti_initializer_arguments *row = convti_initializer_arguments_of(init.kind);
        status = row->value.set
                     ? read_constant(place, name, &m, &init)
                     : read_arguments(&inner, &m, arguments, LENGTH(arguments), row, &init);
        if (status) return status;
    }
    *(convt_initializer *)target = init;
    return CONVT_OK;
}

/* ---- regularizers ---------------------------------------------------------------------------- */

/* null is the default. */
static convt_status read_factor(const convti_place *place, const char *name, const json_t *value,
                                void *target)
{
    double number;
    if (json_is_null(value)) return CONVT_OK;
    if (!convti_json_number(value, &number) || number < 0)
        return convti_json_refuse_value(place, name, value, "a non-negative float");
    *(convt_optional *)target = CONVT_SET(number);
    return CONVT_OK;
}

convt_status convti_json_read_regularizer(const convti_place *place, const char *name,
                                          const json_t *value, void *target)
{
    static const argument arguments[] = {
        {"l1", read_factor, offsetof(convt_regularizer, l1),
         offsetof(convti_regularizer_arguments, l1)},
        {"l2", read_factor, offsetof(convt_regularizer, l2),
         offsetof(convti_regularizer_arguments, l2)},
    };
    convt_regularizer regularizer = {.kind = CONVT_NO_REGULARIZER};
    convti_place inner = convti_place_within(place, name);
    member m;
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_member(place, name, "regularizer", value, &m);
    if (status) return status;
    if (!convti_regularizer_from_name(m.class_name, &regularizer.kind))
        return no_row(place, name, CONVTI_REGULARIZERS, "regularizer", value, &m);
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(regularizer.kind);
    status = read_arguments(&inner, &m, arguments, LENGTH(arguments), row, &regularizer);
    if (!status) *(convt_regularizer *)target = regularizer;
    return status;
}

/* ---- constraints ----------------------------------------------------------------------------- */

/* A bound that is null does not bind. */
static convt_status read_upper(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    if (!json_is_null(value)) return read_kept_number(place, name, value, target);
    *(convt_optional *)target = CONVT_SET(HUGE_VAL);
    return CONVT_OK;
}

static convt_status read_lower(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    if (!json_is_null(value)) return read_kept_number(place, name, value, target);
    *(convt_optional *)target = CONVT_SET(-HUGE_VAL);
    return CONVT_OK;
}

/* An axis, a list of them, or null for all. */
static convt_status read_axis(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    if (json_is_null(value))
        *(convt_axes *)target = (convt_axes){.count = CONVT_ALL_AXES};
    else if (!read_axes(value, target))
        return convti_json_refuse_value_later(place, name, value,
                                              "an axis or a list of axes of the weight");
    return CONVT_OK;
}

convt_status convti_json_read_constraint(const convti_place *place, const char *name,
                                         const json_t *value, void *target)
{
#define ARGUMENT(name, read)                                                                       \
    {                                                                                              \
#name, read, offsetof(convt_constraint, name), offsetof(convti_constraint_arguments, name) \
    }
    static const argument arguments[] = {
        ARGUMENT(min_value, read_lower),
        ARGUMENT(max_value, read_upper),
        ARGUMENT(rate, read_kept_number),
        ARGUMENT(axis, read_axis),
    };
#undef ARGUMENT
    convt_constraint constraint = {.kind = CONVT_NO_CONSTRAINT};
    convti_place inner = convti_place_within(place, name);
    member m;
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_member(place, name, "constraint", value, &m);
    if (status) return status;
    if (!convti_constraint_from_name(m.class_name, &constraint.kind))
        return no_row(place, name, CONVTI_CONSTRAINTS, "constraint", value, &m);
    status = read_arguments(&inner, &m, arguments, LENGTH(arguments),
                            convti_constraint_arguments_of(constraint.kind), &constraint);
    constraint.axis_list = json_is_array(json_object_get(m.config, "axis"));
    if (!status) *(convt_constraint *)target = constraint;
    return status;
}

/* ---- activations ----------------------------------------------------------------------------- */

static convt_status not_an_activation(const convti_place *place, const char *name,
                                      const json_t *value)
{
    return not_a_member(place, name, "activation function", value);
}

static convt_status read_not_negative(const convti_place *place, const char *key,
                                      const json_t *value, void *target)
{
    double number;
    if (!convti_json_number(value, &number) || number < 0)
        return convti_json_refuse_value(place, key, value, "a number of 0 or more");
    *(convt_optional *)target = CONVT_SET(number);
    return CONVT_OK;
}

static convt_status read_max_value(const convti_place *place, const char *key, const json_t *value,
                                   void *target)
{
    return json_is_null(value) ? CONVT_OK : read_not_negative(place, key, value, target);
}

/* softmax runs along the last axis of memory. */
static convt_status read_softmax_axis(const convti_place *place, const char *key,
                                      const json_t *value, void *target)
{
    convt_axes axes = {0};
    if (!read_axes(value, &axes) || axes.count != 1 || (axes.axis[0] != -1 && axes.axis[0] != 3))
        return convti_json_refuse_value_later(place, key, value,
                                              "-1 or 3: other axes are not supported");
    *(convt_optional *)target = CONVT_SET(axes.axis[0]);
    return CONVT_OK;
}

static const convti_json_key relu_keys[] = {
    {"max_value", read_max_value, offsetof(convt_activation, max_value)},
    {"negative_slope", read_not_negative, offsetof(convt_activation, negative_slope)},
    {"threshold", read_not_negative, offsetof(convt_activation, threshold)},
};
static const convti_json_key leaky_relu_keys[] = {
    {"negative_slope", read_not_negative, offsetof(convt_activation, negative_slope)},
    {"alpha", read_not_negative, offsetof(convt_activation, negative_slope)}, /* its old name */
};
static const convti_json_key elu_keys[] = {
    {"alpha", read_kept_number, offsetof(convt_activation, alpha)}};
static const convti_json_key softmax_keys[] = {
    {"axis", read_softmax_axis, offsetof(convt_activation, axis)}};
static const convti_json_key activation_keys[] = {{"activation", convti_json_read_activation, 0}};

const convti_activation_layer convti_activation_layers[] = {
    {"ReLU",
     "re_lu",
     {.kind = CONVT_RELU, .negative_slope = {true, 0}},
     CONVTI_JSON_KEYS(relu_keys)},
    {"LeakyReLU",
     "leaky_re_lu",
     {.kind = CONVT_LEAKY_RELU, .negative_slope = {true, 0.3}},
     CONVTI_JSON_KEYS(leaky_relu_keys)},
    {"ELU", "elu", {.kind = CONVT_ELU, .alpha = {true, 1}}, CONVTI_JSON_KEYS(elu_keys)},
    {"Softmax",
     "softmax",
     {.kind = CONVT_SOFTMAX, .axis = {true, -1}},
     CONVTI_JSON_KEYS(softmax_keys)},
    {"Activation", "activation", {.kind = CONVT_LINEAR}, CONVTI_JSON_KEYS(activation_keys)},
};
const int convti_activation_layer_count = (int)LENGTH(convti_activation_layers);

/* What any layer takes. Its dtype is that of the layer around, whatever it says. */
static convt_status check_layer(const convti_place *place, const convti_activation_layer *layer,
                                const json_t *config)
{
    convt_config cfg = {.filters = 0};
    convt_status status =
        convti_json_read_base(place, layer->class_name, layer->keys, config, &cfg);
    if (status || cfg.activity_regularizer.kind == CONVT_NO_REGULARIZER) return status;
    return convti_json_refuse_value_later(
        place, "activity_regularizer", json_object_get(config, "activity_regularizer"),
        "null: the regularizer of an activation is not supported");
}

static convt_status read_activation_layer(const convti_place *place,
                                          const convti_activation_layer *layer,
                                          const json_t *config, void *target)
{
    convt_activation activation = layer->start;
    if (layer->keys.list == activation_keys && !json_object_get(config, "activation"))
        return convti_json_refuse(place, "activation", "missing: Activation needs it");
    convt_status status = check_layer(place, layer, config);
    if (!status) status = convti_json_read_keys(place, layer->keys, config, &activation);
    if (!status) *(convt_activation *)target = activation;
    return status;
}

static bool is_module(const char *module, const char *public_name)
{
    return strcmp(module, public_name) == 0 || strncmp(module, "keras.src.", 10) == 0;
}

/* Functions go by the name they were defined with, not by an alias. */
static bool find_function(const char *name, convt_activation_kind *kind)
{
    return name && convti_activation_from_name(name, kind) &&
           strcmp(convti_snake_name(CONVTI_ACTIVATIONS, (int)*kind), name) == 0;
}

static convt_status read_function(const convti_place *place, const char *name, const json_t *value,
                                  const char *function, void *target)
{
    convt_activation activation = {.kind = CONVT_LINEAR};
    if (!find_function(function, &activation.kind)) return not_an_activation(place, name, value);
    convt_status status = convti_json_check_registered(place, name, value, function);
    if (!status) *(convt_activation *)target = activation;
    return status;
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
        return strcmp(module, "builtins") == 0 || is_module(module, "keras.activations")
                   ? read_function(place, name, value, json_string_value(config), target)
                   : not_an_activation(place, name, value);
    if (!json_is_object(config) && !json_is_null(config))
        return not_a_dict(place, name, class_name, config);
    if (strcmp(module, "keras.activations") == 0)
        return read_function(place, name, value, class_name, target);
    if (!is_module(module, "keras.layers")) return not_an_activation(place, name, value);
    for (int i = 0; i < convti_activation_layer_count; i++) {
        const convti_activation_layer *layer = &convti_activation_layers[i];
        if (strcmp(class_name, layer->class_name) != 0) continue;
        convt_status status = convti_json_check_registered(place, name, value, class_name);
        return status ? status : read_activation_layer(&inner, layer, config, target);
    }
    return convti_json_refuse_value(place, name, value,
                                    "a function, or a layer ReLU, LeakyReLU, ELU, Softmax or "
                                    "Activation: others are not supported");
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

/* null is a bound that does not bind, of the one argument that may be infinite. */
convt_status convti_json_read_activation_arguments(const convti_place *place, const char *name,
                                                   const json_t *value, void *target)
{
    static const argument arguments[] = {
#define ACTIVATION_ARGUMENT(name, range)                                  \
    {#name, CONVTI_##range == CONVTI_ANY ? read_upper : read_kept_number, \
     offsetof(convt_activation, name), offsetof(convti_activation_arguments, name)},
#include "convt/activations.def"
    };
    const convt_activation *activation = target;
    const member m = {.class_name = convti_snake_name(CONVTI_ACTIVATIONS, (int)activation->kind),
                      .config = (json_t *)(uintptr_t)value};
    convti_place inner = convti_place_within(place, name);
    if (!json_is_object(value))
        return convti_json_refuse_value(place, name, value, "an object with numbers");
    return read_arguments(&inner, &m, arguments, LENGTH(arguments),
                          convti_activation_arguments_of(activation->kind), target);
}
