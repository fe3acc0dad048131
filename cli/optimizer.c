/*
 * Keras' SGD as JSON; see optimizer.h. A table of keys, each with the function that reads or
 * refuses its value.
 */
#include "optimizer.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

typedef struct sgd_key {
    const char *name;
    convt_status (*read)(const struct sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                         convt_error *err);
} sgd_key;

static convt_status refuse(convt_error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static convt_status refuse(convt_error *err, const char *field, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    err->status = CONVT_INVALID_ARGUMENT;
    snprintf(err->field, sizeof err->field, "%s", field);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    return err->status;
}

/* A short JSON text of a value, for messages. */
static convt_status refuse_value(convt_error *err, const char *field, const json_t *value,
                                 const char *what)
{
    char text[80] = "";
    size_t length = json_dumpb(value, text, sizeof text - 1, JSON_ENCODE_ANY | JSON_COMPACT);
    text[length < sizeof text - 1 ? length : sizeof text - 1] = '\0';
    return refuse(err, field, "%s is %s", text, what);
}

static bool finite_number(const json_t *value, double minimum)
{
    return json_is_number(value) && isfinite(json_number_value(value)) &&
           json_number_value(value) >= minimum;
}

/* ---- schedules ------------------------------------------------------------------------------- */

/* A number of a schedule; keeps *number where the key is missing or null. */
static convt_status read_number(const json_t *config, const char *name, double minimum,
                                double *number, convt_error *err)
{
    const json_t *value = json_object_get(config, name);
    char field[64];
    if (!value || json_is_null(value)) return CONVT_OK;
    snprintf(field, sizeof field, "learning_rate.%s", name);
    if (!finite_number(value, minimum))
        return refuse_value(err, field, value, "no number that CosineDecay takes");
    *number = json_number_value(value);
    return CONVT_OK;
}

static convt_status read_cosine(const json_t *config, convt_sgd_config *sgd, convt_error *err)
{
    convt_schedule *schedule = &sgd->schedule;
    double initial = -1, target = -1;
    convt_status status = read_number(config, "initial_learning_rate", 0, &initial, err);
    if (!status) status = read_number(config, "decay_steps", 0, &schedule->decay_steps, err);
    if (!status) status = read_number(config, "alpha", -INFINITY, &schedule->alpha, err);
    if (!status) status = read_number(config, "warmup_target", 0, &target, err);
    if (!status) status = read_number(config, "warmup_steps", 0, &schedule->warmup_steps, err);
    if (status) return status;
    if (initial < 0)
        return refuse(err, "learning_rate.initial_learning_rate", "CosineDecay needs it");
    if (schedule->decay_steps <= 0)
        return refuse(err, "learning_rate.decay_steps", "%g is not more than 0",
                      schedule->decay_steps);
    schedule->kind = CONVT_COSINE_DECAY;
    sgd->learning_rate = CONVT_SET(initial);
    if (target >= 0) schedule->warmup_target = CONVT_SET(target);
    return CONVT_OK;
}

static convt_status read_learning_rate(const sgd_key *key, const json_t *value,
                                       convt_sgd_config *sgd, convt_error *err)
{
    if (json_is_object(value)) {
        const char *name = json_string_value(json_object_get(value, "class_name"));
        const json_t *config = json_object_get(value, "config");
        if (!name || strcmp(name, "CosineDecay") != 0)
            return refuse(err, key->name, "the schedule \"%.60s\" is not known, only CosineDecay",
                          name ? name : "");
        return read_cosine(config, sgd, err);
    }
    if (!finite_number(value, 0)) return refuse_value(err, key->name, value, "no learning rate");
    sgd->learning_rate = CONVT_SET(json_number_value(value));
    return CONVT_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static convt_status read_momentum(const sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                                  convt_error *err)
{
    if (!finite_number(value, 0) || json_number_value(value) > 1)
        return refuse_value(err, key->name, value, "not in [0, 1]");
    sgd->momentum = json_number_value(value);
    return CONVT_OK;
}

static convt_status read_nesterov(const sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                                  convt_error *err)
{
    if (!json_is_boolean(value))
        return refuse_value(err, key->name, value, "neither true nor false");
    sgd->nesterov = json_is_true(value);
    return CONVT_OK;
}

static convt_status read_weight_decay(const sgd_key *key, const json_t *value,
                                      convt_sgd_config *sgd, convt_error *err)
{
    if (json_is_null(value)) return CONVT_OK;
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return refuse_value(err, key->name, value, "no number");
    sgd->weight_decay = CONVT_SET(json_number_value(value));
    return CONVT_OK;
}

static convt_status ignore(const sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                           convt_error *err)
{
    (void)key, (void)value, (void)sgd, (void)err;
    return CONVT_OK;
}

/* Off is null, false or 0, as Keras counts. */
static convt_status only_off(const sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                             convt_error *err)
{
    (void)sgd;
    if (json_is_null(value) || json_is_false(value) ||
        (json_is_number(value) && json_number_value(value) == 0))
        return CONVT_OK;
    return refuse_value(err, key->name, value, "not supported, only null");
}

/* null and 1 both mean that nothing is scaled or accumulated. */
static convt_status only_one(const sgd_key *key, const json_t *value, convt_sgd_config *sgd,
                             convt_error *err)
{
    if (json_is_number(value) && json_number_value(value) == 1) return CONVT_OK;
    return only_off(key, value, sgd, err);
}

static const sgd_key keys[] = {
    {"name", ignore},
    {"learning_rate", read_learning_rate},
    {"momentum", read_momentum},
    {"nesterov", read_nesterov},
    {"weight_decay", read_weight_decay},
    {"clipnorm", only_off},
    {"clipvalue", only_off},
    {"global_clipnorm", only_off},
    {"use_ema", only_off},
    {"ema_momentum", ignore}, /* of use_ema, which is off */
    {"ema_overwrite_frequency", ignore},
    {"loss_scale_factor", only_one},
    {"gradient_accumulation_steps", only_one},
};

static convt_status read_key(const char *name, const json_t *value, convt_sgd_config *sgd,
                             convt_error *err)
{
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (strcmp(name, keys[i].name) == 0) return keys[i].read(&keys[i], value, sgd, err);
    }
    return refuse_value(err, name, value, "given, but SGD has no such argument");
}

static convt_status read_object(json_t *root, convt_sgd_config *sgd, convt_error *err)
{
    const char *class_name = json_string_value(json_object_get(root, "class_name"));
    json_t *config = class_name ? json_object_get(root, "config") : root;
    const char *name;
    json_t *value;
    if (class_name && strcmp(class_name, "SGD") != 0)
        return refuse(err, "class_name", "the optimizer \"%.60s\" is not known, only SGD",
                      class_name);
    if (!json_is_object(config))
        return refuse(err, "optimizer", "not an object with SGD's arguments");
    json_object_foreach(config, name, value)
    {
        convt_status status = read_key(name, value, sgd, err);
        if (status) return status;
    }
    return CONVT_OK;
}

static convt_status read_root(json_t *root, const json_error_t *trouble, convt_sgd_config *sgd,
                              convt_error *err)
{
    *sgd = (convt_sgd_config){0};
    memset(err, 0, sizeof *err);
    if (!root) return refuse(err, "", "%s: %.150s", trouble->source, trouble->text);
    convt_status status = read_object(root, sgd, err);
    json_decref(root);
    return status;
}

convt_status optimizer_parse(const char *json, convt_sgd_config *sgd, convt_error *err)
{
    json_error_t trouble;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &trouble);
    return read_root(root, &trouble, sgd, err);
}

convt_status optimizer_read(const char *path, convt_sgd_config *sgd, convt_error *err)
{
    json_error_t trouble;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &trouble);
    return read_root(root, &trouble, sgd, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *optional_number(convt_optional number, double otherwise)
{
    if (number.set) return json_real(number.value);
    return isnan(otherwise) ? json_null() : json_real(otherwise);
}

static json_t *write_learning_rate(const convt_sgd_config *sgd)
{
    json_t *rate = optional_number(sgd->learning_rate, 0.01);
    const convt_schedule *schedule = &sgd->schedule;
    if (schedule->kind == CONVT_CONSTANT_RATE) return rate;
    return json_pack("{s:s, s:s, s:{s:o, s:f, s:f, s:o, s:f}, s:n}", "module",
                     "keras.optimizers.schedules", "class_name", "CosineDecay", "config",
                     "initial_learning_rate", rate, "decay_steps", schedule->decay_steps, "alpha",
                     schedule->alpha, "warmup_target",
                     optional_number(schedule->warmup_target, NAN), "warmup_steps",
                     schedule->warmup_steps, "registered_name");
}

char *optimizer_write(const convt_sgd_config *sgd)
{
    json_t *root = json_pack("{s:s, s:o, s:f, s:b, s:o}", "name", "SGD", "learning_rate",
                             write_learning_rate(sgd), "momentum", sgd->momentum, "nesterov",
                             (int)sgd->nesterov, "weight_decay",
                             optional_number(sgd->weight_decay, NAN));
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    return text;
}
