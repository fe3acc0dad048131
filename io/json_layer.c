/*
 * The config of one Conv2DTranspose: a table of keys, each with the function that reads its
 * value into a field of the config.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "json.h"

typedef struct key {
    const char *name;
    convti_json_reader *read;
    size_t offset;
} key;

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- numbers --------------------------------------------------------------------------------- */

static convt_status read_filters(const convti_place *place, const char *name, const json_t *value,
                                 void *target)
{
    int64_t filters;
    if (!convti_json_integer(value, &filters))
        return convti_json_refuse_value(place, name, value, "an integer");
    if (filters <= 0)
        return convti_json_refuse(
            place, name,
            "Invalid value for argument `filters`. Expected a strictly positive value. "
            "Received filters=%lld",
            (long long)filters);
    *(int64_t *)target = filters;
    return CONVT_OK;
}

/* An integer for both, or a list of two. */
static bool two_integers(const json_t *value, int64_t size[2])
{
    if (convti_json_integer(value, &size[0])) {
        size[1] = size[0];
        return true;
    }
    return json_array_size(value) == 2 && convti_json_integer(json_array_get(value, 0), &size[0]) &&
           convti_json_integer(json_array_get(value, 1), &size[1]);
}

static convt_status read_two(const convti_place *place, const char *name, const json_t *value,
                             int64_t least, int64_t size[2])
{
    convti_shown shown = convti_json_show(value);
    if (!two_integers(value, size))
        return convti_json_refuse(place, name,
                                  "The `%s` argument must be a tuple of 2 integers. Received %s=%s",
                                  name, name, shown.text);
    if (size[0] < least || size[1] < least)
        return convti_json_refuse(
            place, name,
            "The `%s` argument must be a tuple of 2 integers. Received %s=%s, including values "
            "that do not satisfy `value %s 0`",
            name, name, shown.text, least > 0 ? ">" : ">=");
    return CONVT_OK;
}

static convt_status read_pair(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    int64_t size[2];
    convt_status status = read_two(place, name, value, 1, size);
    if (!status) *(convt_hw *)target = (convt_hw){size[0], size[1]};
    return status;
}

static convt_status read_output_padding(const convti_place *place, const char *name,
                                        const json_t *value, void *target)
{
    int64_t size[2];
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_two(place, name, value, 0, size);
    if (!status) *(convt_optional_hw *)target = CONVT_SET_HW(size[0], size[1]);
    return status;
}

/* ---- words ----------------------------------------------------------------------------------- */

static convt_status ignore(const convti_place *place, const char *name, const json_t *value,
                           void *target)
{
    (void)place, (void)name, (void)value, (void)target;
    return CONVT_OK;
}

static convt_status read_name(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    const char *text = json_string_value(value);
    if (json_is_null(value)) return CONVT_OK;
    if (!text || strchr(text, '/')) {
        convti_shown shown = convti_json_show(value);
        return convti_json_refuse(
            place, name,
            "Argument `name` must be a string and cannot contain character `/`. "
            "Received: name=%s",
            shown.text);
    }
    *(const char **)target = text;
    return CONVT_OK;
}

static convt_status read_trainable(const convti_place *place, const char *name, const json_t *value,
                                   void *target)
{
    if (!json_is_boolean(value)) {
        convti_shown shown = convti_json_show(value);
        return convti_json_refuse(place, name,
                                  "Expected `trainable` to be a boolean. Received: trainable=%s",
                                  shown.text);
    }
    *(bool *)target = json_is_false(value);
    return CONVT_OK;
}

static convt_status read_use_bias(const convti_place *place, const char *name, const json_t *value,
                                  void *target)
{
    (void)place, (void)name;
    *(bool *)target = !convti_json_truth(value);
    return CONVT_OK;
}

static convt_status read_padding(const convti_place *place, const char *name, const json_t *value,
                                 void *target)
{
    const char *text = json_string_value(value);
    if (text && strcasecmp(text, "valid") == 0)
        *(convt_padding *)target = CONVT_VALID;
    else if (text && strcasecmp(text, "same") == 0)
        *(convt_padding *)target = CONVT_SAME;
    else
        return convti_json_refuse_value(place, name, value, "\"valid\" or \"same\"");
    return CONVT_OK;
}

static convt_status read_data_format(const convti_place *place, const char *name,
                                     const json_t *value, void *target)
{
    const char *text = json_string_value(value);
    if (json_is_null(value) || (text && strcasecmp(text, "channels_last") == 0))
        *(convt_data_format *)target = CONVT_CHANNELS_LAST;
    else if (text && strcasecmp(text, "channels_first") == 0)
        *(convt_data_format *)target = CONVT_CHANNELS_FIRST;
    else
        return convti_json_refuse_value(place, name, value,
                                        "\"channels_last\" or \"channels_first\"");
    return CONVT_OK;
}

/* "float32", or a DTypePolicy object with that name. */
static convt_status read_dtype(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    const json_t *policy =
        json_is_object(value) ? json_object_get(json_object_get(value, "config"), "name") : value;
    const char *class_name = convti_json_string(value, "class_name"),
               *text = json_string_value(policy);
    bool known = !json_is_object(value) ||
                 (class_name && (strcmp(class_name, "DTypePolicy") == 0 ||
                                 strcmp(class_name, "FloatDTypePolicy") == 0));
    if (known && (!policy || json_is_null(policy) || (text && strcmp(text, "float32") == 0)))
        *(convt_dtype *)target = CONVT_FLOAT32;
    else if (known && text && strcmp(text, "float64") == 0)
        *(convt_dtype *)target = CONVT_FLOAT64;
    else
        return convti_json_refuse_value(place, name, value, "float32 or float64");
    return CONVT_OK;
}

/* ---- the layer ------------------------------------------------------------------------------- */

/* autocast concerns integers and half floats; input_dim and input_shape are for json_model.c. */
static const key keys[] = {
    {"name", read_name, offsetof(convt_config, name)},
    {"trainable", read_trainable, offsetof(convt_config, frozen)},
    {"dtype", read_dtype, offsetof(convt_config, dtype)},
    {"autocast", ignore, 0},
    {"input_dim", ignore, 0},
    {"input_shape", ignore, 0},
    {"filters", read_filters, offsetof(convt_config, filters)},
    {"kernel_size", read_pair, offsetof(convt_config, kernel_size)},
    {"strides", read_pair, offsetof(convt_config, strides)},
    {"padding", read_padding, offsetof(convt_config, padding)},
    {"output_padding", read_output_padding, offsetof(convt_config, output_padding)},
    {"data_format", read_data_format, offsetof(convt_config, data_format)},
    {"dilation_rate", read_pair, offsetof(convt_config, dilation_rate)},
    {"activation", convti_json_read_activation, offsetof(convt_config, activation)},
    {"use_bias", read_use_bias, offsetof(convt_config, no_bias)},
    {"kernel_initializer", convti_json_read_initializer,
     offsetof(convt_config, kernel_initializer)},
    {"bias_initializer", convti_json_read_initializer, offsetof(convt_config, bias_initializer)},
    {"kernel_regularizer", convti_json_read_regularizer,
     offsetof(convt_config, kernel_regularizer)},
    {"bias_regularizer", convti_json_read_regularizer, offsetof(convt_config, bias_regularizer)},
    {"activity_regularizer", convti_json_read_regularizer,
     offsetof(convt_config, activity_regularizer)},
    {"kernel_constraint", convti_json_read_constraint, offsetof(convt_config, kernel_constraint)},
    {"bias_constraint", convti_json_read_constraint, offsetof(convt_config, bias_constraint)},
};

static const key *find_key(const char *name)
{
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (strcmp(name, keys[i].name) == 0) return &keys[i];
    }
    return NULL;
}

convt_status convti_json_read_layer(const convti_place *place, const json_t *config,
                                    convt_config *cfg)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)config, name, value)
    {
        const key *known = find_key(name);
        if (!known) return convti_json_unknown_key(place, "Conv2DTranspose", name, value);
        convt_status status = known->read(place, name, value, (char *)cfg + known->offset);
        if (status) return status;
    }
    if (!json_object_get(config, "filters"))
        return convti_json_refuse(place, "filters",
                                  "missing: Conv2DTranspose needs filters and kernel_size");
    if (!json_object_get(config, "kernel_size"))
        return convti_json_refuse(place, "kernel_size",
                                  "missing: Conv2DTranspose needs filters and kernel_size");
    return CONVT_OK;
}
