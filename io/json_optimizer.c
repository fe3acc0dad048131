/*
 * Keras' SGD and its schedules as JSON: a table of keys in the order of get_config(), each with the
 * functions that read and write a field of the config. Keys of a schedule come from schedules.def.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "argument.h"
#include "file.h"
#include "json.h"
#include "names.h"
#include "schedule.h"
#include "sgd.h"
#include "status.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- values ---------------------------------------------------------------------------------- */

static convt_status ignore(const convti_place *place, const char *name, const json_t *value,
                           void *target)
{
    (void)place, (void)name, (void)value, (void)target;
    return CONVT_OK;
}

static convt_status check_name(const convti_place *place, const char *name, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && !strchr(text, '/')) return CONVT_OK;
    convti_shown shown = convti_json_show(value);
    return convti_json_refuse(place, name,
                              "Argument `name` must be a string and cannot contain character `/`. "
                              "Received: name=%s",
                              shown.text);
}

static convt_status read_name(const convti_place *place, const char *name, const json_t *value,
                              void *target)
{
    (void)target; /* nothing here has a use for it */
    return json_is_null(value) ? CONVT_OK : check_name(place, name, value);
}

/* null is None. */
static convt_status read_optional(const convti_place *place, const char *name, const json_t *value,
                                  void *target)
{
    return json_is_null(value) ? CONVT_OK : convti_json_read_number(place, name, value, target);
}

static convt_status read_truth(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    (void)place, (void)name;
    *(bool *)target = convti_json_truth(value);
    return CONVT_OK;
}

/* Keras asks for a Python float: 0 and 1 are none. */
static convt_status read_momentum(const convti_place *place, const char *name, const json_t *value,
                                  void *target)
{
    if (!json_is_real(value))
        return convti_json_refuse_value(place, name, value, "a float in the range [0, 1]");
    *(double *)target = json_real_value(value);
    return CONVT_OK;
}

/* Only use_ema looks at it. */
static convt_status read_ema_momentum(const convti_place *place, const char *name,
                                      const json_t *value, void *target)
{
    convt_sgd_config *sgd = target;
    if (json_is_null(value) && !sgd->use_ema) return CONVT_OK;
    return convti_json_read_number(place, name, value, &sgd->ema_momentum);
}

/* What Python takes for false is None. */
static convt_status read_count(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    int64_t count = 0;
    if (convti_json_truth(value) && !convti_json_integer(value, &count))
        return convti_json_refuse_value(place, name, value, "an integer or null");
    *(int64_t *)target = count;
    return CONVT_OK;
}

/* Keras asks only whether it is 2 or more, so that 4.0 is 4. */
static convt_status read_steps(const convti_place *place, const char *name, const json_t *value,
                               void *target)
{
    const double most = 9007199254740992.0, number = json_real_value(value);
    if (!json_is_real(value) || number < floor(number) || number > floor(number) ||
        fabs(number) > most)
        return read_count(place, name, value, target);
    *(int64_t *)target = (int64_t)number;
    return CONVT_OK;
}

static json_t *write_optional(const void *field)
{
    const convt_optional *number = field;
    return number->set ? json_real(number->value) : json_null();
}

static json_t *write_truth(const void *field)
{
    return json_boolean(*(const bool *)field);
}

static json_t *write_count(const void *field)
{
    const int64_t count = *(const int64_t *)field;
    return count ? json_integer(count) : json_null();
}

static json_t *write_momentum(const void *field)
{
    return json_real(*(const double *)field);
}

static json_t *write_ema_momentum(const void *field)
{
    const convt_sgd_config *sgd = field;
    return json_real(convti_argument_value(sgd->ema_momentum, CONVT_SET(0.99)));
}

static json_t *write_name(const void *field)
{
    (void)field;
    return json_string("sgd"); /* as Keras calls it where nobody gave it a name */
}

/* ---- schedules ------------------------------------------------------------------------------- */

/* An argument of schedules.def: where it is in a convt_schedule and in a row's defaults. */
static const struct argument {
    const char *name;
    size_t field, row;
    convti_range range;
} arguments[] = {
#define SCHEDULE_ARGUMENT(name, range)                                                 \
    {#name, offsetof(convt_schedule, name), offsetof(convti_schedule_arguments, name), \
     CONVTI_##range},
#include "convt/schedules.def"
};

static convt_optional default_of(const struct argument *a, const convti_schedule_arguments *row)
{
    return *(const convt_optional *)((const char *)row + a->row);
}

static const struct argument *find_argument(const char *name, const convti_schedule_arguments *row)
{
    for (size_t i = 0; i < LENGTH(arguments); i++) {
        if (strcmp(name, arguments[i].name) == 0 && default_of(&arguments[i], row).set)
            return &arguments[i];
    }
    return NULL;
}

static convt_status read_argument(const convti_place *place, const struct argument *a,
                                  const convti_schedule_arguments *row, const json_t *value,
                                  convt_schedule *schedule)
{
    convt_optional *target = (convt_optional *)((char *)schedule + a->field);
    if (a->range == CONVTI_SWITCH) {
        *target = CONVT_SET(convti_json_truth(value) ? 1 : 0);
        return CONVT_OK;
    }
    if (json_is_null(value) && isinf(default_of(a, row).value)) return CONVT_OK;
    return convti_json_read_number(place, a->name, value, target);
}

static convt_status read_numbers(const convti_place *place, const char *name, const json_t *list,
                                 size_t most, double numbers[])
{
    const size_t count = json_array_size(list);
    if (!json_is_array(list) || count > most)
        return convti_json_refuse(place, name, "must be a list of at most %zu numbers, got %s",
                                  most, convti_json_show(list).text);
    for (size_t i = 0; i < count; i++) {
        if (!convti_json_number(json_array_get(list, i), &numbers[i]))
            return convti_json_refuse_value(place, name, list, "a list of numbers");
    }
    return CONVT_OK;
}

static convt_status missing(const convti_place *place, const char *name, const char *class_name)
{
    return convti_json_refuse(place, name, "is missing, %s needs it", class_name);
}

static convt_status read_boundaries(const convti_place *place, const char *class_name,
                                    const json_t *config, convt_schedule *schedule)
{
    const json_t *boundaries = json_object_get(config, "boundaries"),
                 *values = json_object_get(config, "values");
    if (!boundaries || !values)
        return missing(place, boundaries ? "values" : "boundaries", class_name);
    convt_status status =
        read_numbers(place, "boundaries", boundaries, CONVT_MOST_BOUNDARIES, schedule->boundaries);
    if (!status)
        status = read_numbers(place, "values", values, CONVT_MOST_BOUNDARIES + 1, schedule->values);
    if (status) return status;
    if (json_array_size(boundaries) + 1 != json_array_size(values))
        return convti_json_refuse(place, "boundaries",
                                  "The length of boundaries should be 1 less than the length of "
                                  "values. Received: boundaries of length %zu, and values of "
                                  "length %zu",
                                  json_array_size(boundaries), json_array_size(values));
    schedule->boundary_count = (int)json_array_size(boundaries);
    return CONVT_OK;
}

static convt_status read_initial_rate(const convti_place *place, const char *class_name,
                                      const json_t *config, convt_optional *rate)
{
    static const char name[] = "initial_learning_rate";
    const json_t *value = json_object_get(config, name);
    return value ? convti_json_read_number(place, name, value, rate)
                 : missing(place, name, class_name);
}

static bool is_start(const char *key, const convti_schedule_arguments *row)
{
    return row->boundaries ? strcmp(key, "boundaries") == 0 || strcmp(key, "values") == 0
                           : strcmp(key, "initial_learning_rate") == 0;
}

static convt_status read_schedule_config(const convti_place *place, const char *class_name,
                                         json_t *config, convt_sgd_config *sgd)
{
    const convti_schedule_arguments *row = convti_schedule_arguments_of(sgd->schedule.kind);
    convt_status status = CONVT_OK;
    const char *key;
    json_t *value;
    json_object_foreach(config, key, value)
    {
        const struct argument *argument = find_argument(key, row);
        if (argument)
            status = read_argument(place, argument, row, value, &sgd->schedule);
        else if (strcmp(key, "name") == 0)
            status = check_name(place, key, value);
        else if (!is_start(key, row))
            status = convti_json_unknown_key(place, class_name, key, value);
        if (status) return status;
    }
    return row->boundaries ? read_boundaries(place, class_name, config, &sgd->schedule)
                           : read_initial_rate(place, class_name, config, &sgd->learning_rate);
}

/* Keras finds a schedule by its module and class name. */
static convt_status read_schedule(const convti_place *place, const char *name, const json_t *value,
                                  convt_sgd_config *sgd)
{
    const char *module = convti_json_string(value, "module"),
               *class_name = convti_json_string(value, "class_name");
    json_t *config = json_object_get(value, "config");
    const convti_place inner = convti_place_within(place, name);
    if (!module || strncmp(module, "keras", 5) != 0 || !class_name ||
        !convti_schedule_from_name(class_name, &sgd->schedule.kind))
        return convti_json_refuse(place, name,
                                  "Could not deserialize %s: not a schedule of "
                                  "keras.optimizers.schedules",
                                  convti_json_show(value).text);
    if (!json_is_object(config))
        return convti_json_refuse_value(&inner, "config", config ? config : value,
                                        "an object with the schedule's arguments");
    return read_schedule_config(&inner, class_name, config, sgd);
}

/* A float; Keras refuses integers. */
static convt_status read_learning_rate(const convti_place *place, const char *name,
                                       const json_t *value, void *target)
{
    convt_sgd_config *sgd = target;
    if (json_object_size(value) > 0) return read_schedule(place, name, value, sgd);
    if (!json_is_real(value))
        return convti_json_refuse_value(place, name, value,
                                        "a float, or an instance of LearningRateSchedule");
    sgd->learning_rate = CONVT_SET(json_real_value(value));
    return CONVT_OK;
}

static json_t *write_argument(const struct argument *a, convt_optional given, convt_optional row)
{
    const double value = convti_argument_value(given, row);
    if (a->range == CONVTI_SWITCH) return json_boolean(value > 0);
    return isinf(value) ? json_null() : json_real(value);
}

static json_t *write_numbers(const double numbers[], int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(list, json_real(numbers[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *write_schedule_config(const convt_schedule *s, convt_optional rate)
{
    const convti_schedule_arguments *row = convti_schedule_arguments_of(s->kind);
    json_t *config = row->boundaries
                         ? json_pack("{s:o, s:o}", "boundaries",
                                     write_numbers(s->boundaries, s->boundary_count), "values",
                                     write_numbers(s->values, s->boundary_count + 1))
                         : json_pack("{s:f}", "initial_learning_rate", rate.value);
    int failed = !config;
    for (size_t i = 0; i < LENGTH(arguments); i++) {
        const convt_optional given =
            *(const convt_optional *)((const char *)s + arguments[i].field);
        const convt_optional otherwise = default_of(&arguments[i], row);
        if (otherwise.set)
            failed |= json_object_set_new(config, arguments[i].name,
                                          write_argument(&arguments[i], given, otherwise));
    }
    failed |= json_object_set_new(config, "name", json_string(row->name));
    if (!failed) return config;
    json_decref(config);
    return NULL;
}

static json_t *write_learning_rate(const void *field)
{
    const convt_sgd_config *sgd = field;
    const convt_schedule *s = &sgd->schedule;
    const convt_optional rate = {true, sgd->learning_rate.set ? sgd->learning_rate.value : 0.01};
    if (s->kind == CONVT_CONSTANT_RATE) return json_real(rate.value);
    return convti_json_serialized("keras.optimizers.schedules",
                                  convti_class_name(CONVTI_SCHEDULES, (int)s->kind),
                                  write_schedule_config(s, rate));
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* In the order of get_config(), and of reading: ema_momentum depends on use_ema. */
static const struct key {
    const char *name;
    convti_json_reader *read;
    json_t *(*write)(const void *field); /* NULL: Keras reads it and writes it no more */
    size_t offset;                       /* 0: the whole config */
} keys[] = {
#define FIELD(name) offsetof(convt_sgd_config, name)
    {"name", read_name, write_name, 0},
    {"learning_rate", read_learning_rate, write_learning_rate, 0},
    {"weight_decay", read_optional, write_optional, FIELD(weight_decay)},
    {"clipnorm", read_optional, write_optional, FIELD(clipnorm)},
    {"global_clipnorm", read_optional, write_optional, FIELD(global_clipnorm)},
    {"clipvalue", read_optional, write_optional, FIELD(clipvalue)},
    {"use_ema", read_truth, write_truth, FIELD(use_ema)},
    {"ema_momentum", read_ema_momentum, write_ema_momentum, 0},
    {"ema_overwrite_frequency", read_count, write_count, FIELD(ema_overwrite_frequency)},
    {"loss_scale_factor", read_optional, write_optional, FIELD(loss_scale_factor)},
    {"gradient_accumulation_steps", read_steps, write_count, FIELD(gradient_accumulation_steps)},
    {"momentum", read_momentum, write_momentum, FIELD(momentum)},
    {"nesterov", read_truth, write_truth, FIELD(nesterov)},
    {"decay", ignore, NULL, 0},
#undef FIELD
};

static bool is_key(const char *name)
{
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (strcmp(name, keys[i].name) == 0) return true;
    }
    return false;
}

static convt_status read_config(const convti_place *place, json_t *config, convt_sgd_config *sgd)
{
    const char *name;
    json_t *value;
    json_object_foreach(config, name, value)
    {
        if (!is_key(name))
            return convti_json_refuse(place, name, "Argument(s) not recognized: {\"%.60s\": %s}",
                                      name, convti_json_show(value).text);
    }
    for (size_t i = 0; i < LENGTH(keys); i++) {
        value = json_object_get(config, keys[i].name);
        convt_status status =
            value ? keys[i].read(place, keys[i].name, value, (char *)sgd + keys[i].offset)
                  : CONVT_OK;
        if (status) return status;
    }
    return convti_sgd_check(sgd, "learning_rate", place->err);
}

/* get_config(), or serialized; Keras takes the class name in any case, and no config as an empty
 * one. */
static convt_status read_root(json_t *root, convt_sgd_config *sgd, convt_error *err)
{
    const convti_place place = {.err = err};
    const json_t *class_value = json_object_get(root, "class_name");
    const char *class_name = json_string_value(class_value);
    json_t *config = class_value ? json_object_get(root, "config") : root;
    if (class_value && (!class_name || strcasecmp(class_name, "SGD") != 0))
        return convti_json_refuse_value(&place, "class_name", class_value, "SGD");
    if (class_value && (!config || json_is_null(config))) return CONVT_OK;
    if (!json_is_object(config))
        return convti_json_refuse_value(&place, class_value ? "config" : "optimizer", config,
                                        "an object with SGD's arguments");
    return read_config(&place, config, sgd);
}

static convt_status parse(const char *json, const char *name, convt_sgd_config *sgd,
                          convt_error *err)
{
    convt_sgd_config read = {0};
    json_t *root;
    convt_status status = convti_json_parse(json, name, &root, err);
    if (!status) status = read_root(root, &read, err);
    json_decref(root);
    if (!status) *sgd = read;
    return status;
}

convt_status convt_sgd_parse(const char *json, convt_sgd_config *sgd, convt_error *err)
{
    return parse(json, "optimizer", sgd, err);
}

convt_status convt_sgd_read(const char *path, convt_sgd_config *sgd, convt_error *err)
{
    char *text;
    convt_status status = convti_file_json(path, &text, err);
    if (status) return status;
    status = parse(text, convti_base_name(path), sgd, err);
    free(text);
    return status;
}

convt_status convt_sgd_write(const convt_sgd_config *sgd, char **json, convt_error *err)
{
    *json = NULL;
    convt_status status = convti_sgd_check(sgd, "schedule", err);
    if (status) return status;
    json_t *root = json_object();
    int failed = 0;
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (keys[i].write)
            failed |= json_object_set_new(root, keys[i].name,
                                          keys[i].write((const char *)sgd + keys[i].offset));
    }
    if (!failed) *json = convti_json_text(root);
    json_decref(root);
    return *json ? CONVT_OK : convti_fail(err, CONVT_NO_MEMORY, "json", "memory is out");
}
