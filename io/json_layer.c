/*
 * Values that layers take as arguments, each with the refusals of Keras' constructors. What only
 * build or call refuse is refused later, behind all of the constructor. classes.c says which class
 * takes which.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "status.h"

/* ---- numbers --------------------------------------------------------------------------------- */

/* The constructor compares with 0; whether it is an integer shows when the kernel is made. */
convt_status convti_json_read_filters(const convti_place *place, const char *name,
                                      const json_t *value, void *target)
{
    double filters;
    if (json_is_null(value))
        return convti_json_refuse_later(place, name,
                                        "Shapes used to initialize variables must be fully-defined "
                                        "(no `None` dimensions). Received filters=null");
    if (!convti_json_number(value, &filters))
        return convti_json_refuse_value(place, name, value, "an integer");
    if (filters <= 0) {
        convti_shown shown = convti_json_show(value);
        return convti_json_refuse(place, name,
                                  "Invalid value for argument `filters`. Expected a strictly "
                                  "positive value. Received filters=%s",
                                  shown.text);
    }
    if (!convti_json_integer(value, target))
        return convti_json_refuse_value_later(place, name, value, "an integer");
    return CONVT_OK;
}

/* As the constructor sees sizes: numbers, one for both or two in a list. */
static bool two_numbers(const json_t *value, double number[2])
{
    int64_t integer;
    if (convti_json_integer(value, &integer)) {
        number[0] = number[1] = (double)integer;
        return true;
    }
    return json_array_size(value) == 2 &&
           convti_json_number(json_array_get(value, 0), &number[0]) &&
           convti_json_number(json_array_get(value, 1), &number[1]);
}

static bool two_integers(const json_t *value, int64_t size[2])
{
    if (convti_json_integer(value, &size[0])) {
        size[1] = size[0];
        return true;
    }
    return convti_json_integer(json_array_get(value, 0), &size[0]) &&
           convti_json_integer(json_array_get(value, 1), &size[1]);
}

/* `ok` says whether size was read. Fractions, 2.0 among them, pass the constructor. */
static convt_status read_two(const convti_place *place, const char *name, const json_t *value,
                             bool zero_allowed, int64_t size[2], bool *ok)
{
    convti_shown shown = convti_json_show(value);
    double number[2];
    *ok = false;
    if (!two_numbers(value, number))
        return convti_json_refuse(place, name,
                                  "The `%s` argument must be a tuple of 2 integers. Received %s=%s",
                                  name, name, shown.text);
    if (number[0] < 0 || number[1] < 0 || (!zero_allowed && !(number[0] > 0 && number[1] > 0)))
        return convti_json_refuse(
            place, name,
            "The `%s` argument must be a tuple of 2 integers. Received %s=%s, including values "
            "that do not satisfy `value %s 0`",
            name, name, shown.text, zero_allowed ? ">=" : ">");
    *ok = two_integers(value, size);
    if (*ok) return CONVT_OK;
    return convti_json_refuse_later(
        place, name, "The `%s` argument must be a tuple of 2 integers. Received %s=%s", name, name,
        shown.text);
}

convt_status convti_json_read_pair(const convti_place *place, const char *name, const json_t *value,
                                   void *target)
{
    int64_t size[2];
    bool ok;
    convt_status status = read_two(place, name, value, false, size, &ok);
    if (ok) *(convt_hw *)target = (convt_hw){size[0], size[1]};
    return status;
}

convt_status convti_json_read_output_padding(const convti_place *place, const char *name,
                                             const json_t *value, void *target)
{
    int64_t size[2];
    bool ok;
    if (json_is_null(value)) return CONVT_OK;
    convt_status status = read_two(place, name, value, true, size, &ok);
    if (ok) *(convt_optional_hw *)target = CONVT_SET_HW(size[0], size[1]);
    return status;
}

/* ---- words ----------------------------------------------------------------------------------- */

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

convt_status convti_json_read_off(const convti_place *place, const char *name, const json_t *value,
                                  void *target)
{
    (void)place, (void)name;
    *(bool *)target = !convti_json_truth(value);
    return CONVT_OK;
}

/* A list passes the constructor. */
convt_status convti_json_read_padding(const convti_place *place, const char *name,
                                      const json_t *value, void *target)
{
    static const char expected[] = "\"valid\" or \"same\"";
    const char *text = json_string_value(value);
    if (json_is_array(value)) return convti_json_refuse_value_later(place, name, value, expected);
    if (text && strcasecmp(text, "valid") == 0)
        *(convt_padding *)target = CONVT_VALID;
    else if (text && strcasecmp(text, "same") == 0)
        *(convt_padding *)target = CONVT_SAME;
    else
        return convti_json_refuse_value(place, name, value, expected);
    return CONVT_OK;
}

convt_status convti_json_read_data_format(const convti_place *place, const char *name,
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

/* ---- dtype ----------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const words[])
{
    for (; text && *words; words++) {
        if (strcmp(text, *words) == 0) return true;
    }
    return false;
}

/* A policy by its name; null is Keras' default. Half precision is Keras', not ours. */
static convt_status read_policy_name(const convti_place *place, const char *name,
                                     const json_t *value, void *target)
{
    static const char *const half[] = {"float16", "bfloat16", "mixed_float16", "mixed_bfloat16",
                                       NULL};
    const char *text = json_string_value(value);
    convti_shown shown = convti_json_show(value);
    if (!value || json_is_null(value) || (text && strcmp(text, "float32") == 0))
        *(convt_dtype *)target = CONVT_FLOAT32;
    else if (text && strcmp(text, "float64") == 0)
        *(convt_dtype *)target = CONVT_FLOAT64;
    else if (is_one_of(text, half))
        return convti_json_refuse_later(
            place, name, "must be float32 or float64, got %s, which is not supported", shown.text);
    else
        return convti_json_refuse_value(place, name, value, "float32 or float64");
    return CONVT_OK;
}

/* "float32", or a policy as an object, {"class_name": "DTypePolicy", "config": {"name": ...}}. */
convt_status convti_json_read_dtype(const convti_place *place, const char *name,
                                    const json_t *value, void *target)
{
    static const char *const policies[] = {"DTypePolicy", "FloatDTypePolicy", NULL};
    const char *class_name = convti_json_string(value, "class_name"), *key;
    json_t *config = json_object_get(value, "config"), *item;
    convti_place inner = convti_place_within(place, name);
    if (!json_is_object(value)) return read_policy_name(place, name, value, target);
    if (!is_one_of(class_name, policies) || json_is_null(json_object_get(value, "module")) ||
        (config && !json_is_object(config) && !json_is_null(config)))
        return convti_json_refuse_value(place, name, value,
                                        "float32, float64 or a DTypePolicy of that name");
    json_object_foreach(config, key, item)
    {
        if (strcmp(key, "name") != 0) return convti_json_unknown_key(&inner, class_name, key, item);
    }
    return read_policy_name(place, name, json_object_get(config, "name"), target);
}

/* ---- what every layer takes ------------------------------------------------------------------ */

static const convti_json_key first_keys[] = {
    {"name", read_name, offsetof(convt_config, name)},
    {"dtype", convti_json_read_dtype, offsetof(convt_config, dtype)},
    {"activity_regularizer", convti_json_read_regularizer,
     offsetof(convt_config, activity_regularizer)},
};
static const convti_json_key last_keys[] = {
    {"trainable", read_trainable, offsetof(convt_config, frozen)},
};

/* autocast concerns integers and half floats; input_dim and input_shape are for items.c, and
 * Keras takes one of them alone. */
static bool is_taken_by_layers(const json_t *config, const char *name)
{
    static const convti_json_keys first = CONVTI_JSON_KEYS(first_keys),
                                  last = CONVTI_JSON_KEYS(last_keys);
    static const char *const ignored[] = {"autocast", "input_dim", NULL};
    const json_t *input_dim = json_object_get(config, "input_dim");
    return convti_json_has_key(first, name) || convti_json_has_key(last, name) ||
           is_one_of(name, ignored) ||
           (strcmp(name, "input_shape") == 0 && (!input_dim || json_is_null(input_dim)));
}

convt_status convti_json_read_base(const convti_place *place, const char *class_name,
                                   convti_json_keys own, const json_t *config, convt_config *cfg)
{
    const convti_json_keys first = CONVTI_JSON_KEYS(first_keys), last = CONVTI_JSON_KEYS(last_keys);
    const char *name;
    json_t *value;
    convt_status status = convti_json_read_keys(place, first, config, cfg);
    if (status) return status;
    json_object_foreach((json_t *)(uintptr_t)config, name, value)
    {
        if (!convti_json_has_key(own, name) && !is_taken_by_layers(config, name))
            return convti_json_unknown_key(place, class_name, name, value);
    }
    return convti_json_read_keys(place, last, config, cfg);
}

/* ---- beyond Keras ---------------------------------------------------------------------------- */

static convt_status read_switch(const convti_place *place, const char *name, const json_t *value,
                                void *target)
{
    if (!json_is_boolean(value))
        return convti_json_refuse_value(place, name, value, "true or false");
    *(bool *)target = json_is_true(value);
    return CONVT_OK;
}

static convt_status read_sides(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    int64_t side[4] = {-1, -1, -1, -1};
    bool ok = json_array_size(value) == 2;
    if (json_is_null(value)) return CONVT_OK;
    for (size_t i = 0; i < 4 && ok; i++) {
        const json_t *pair = json_array_get(value, i / 2);
        ok = json_array_size(pair) == 2 &&
             convti_json_integer(json_array_get(pair, i % 2), &side[i]) && side[i] >= 0;
    }
    if (!ok)
        return convti_json_refuse_value(
            place, name, value, "[[top, bottom], [left, right]] with integers of 0 or more");
    *(convt_optional_sides *)target = CONVT_SET_SIDES(side[0], side[1], side[2], side[3]);
    return CONVT_OK;
}

/* "convt": {...}, all of it optional. */
convt_status convti_json_read_convt(const convti_place *place, const char *name,
                                    const json_t *value, void *target)
{
    static const convti_json_key list[] = {
        {"strides_with_dilation", read_switch, offsetof(convt_config, strides_with_dilation)},
        {"explicit_padding", read_sides, offsetof(convt_config, explicit_padding)},
        {"activation_arguments", convti_json_read_activation_arguments,
         offsetof(convt_config, activation)},
    };
    const convti_json_keys keys = CONVTI_JSON_KEYS(list);
    convti_place inner = convti_place_within(place, name);
    const char *key;
    json_t *item;
    if (!json_is_object(value)) return convti_json_refuse_value(place, name, value, "an object");
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (!convti_json_has_key(keys, key))
            return convti_json_unknown_key(&inner, name, key, item);
    }
    return convti_json_read_keys(&inner, keys, value, target);
}
