/*
 * The table of classes, and the keys of each in the order in which its constructor looks at them.
 */
#include "classes.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lower.h"
#include "status.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

typedef struct convti_arguments arguments;

/* ---- values ---------------------------------------------------------------------------------- */

static convt_status read_units(const convti_place *place, const char *key, const json_t *value,
                               void *target)
{
    int64_t units;
    if (!convti_json_integer(value, &units) || units <= 0) {
        convti_shown shown = convti_json_show(value);
        return convti_json_refuse(place, key,
                                  "Received an invalid value for `units`, expected a positive "
                                  "integer. Received: units=%s",
                                  shown.text);
    }
    *(int64_t *)target = units;
    return CONVT_OK;
}

static convt_status read_integer(const convti_place *place, const char *key, const json_t *value,
                                 void *target)
{
    return convti_json_integer(value, target)
               ? CONVT_OK
               : convti_json_refuse_value(place, key, value, "an integer");
}

/* Keras 2 wrote a list of one. */
static convt_status read_norm_axis(const convti_place *place, const char *key, const json_t *value,
                                   void *target)
{
    return read_integer(place, key, json_array_size(value) == 1 ? json_array_get(value, 0) : value,
                        target);
}

static convt_status read_true(const convti_place *place, const char *key, const json_t *value,
                              void *target)
{
    (void)place, (void)key;
    *(bool *)target = convti_json_truth(value);
    return CONVT_OK;
}

/* What the layer computes does not depend on it. */
static convt_status ignore(const convti_place *place, const char *key, const json_t *value,
                           void *target)
{
    (void)place, (void)key, (void)value, (void)target;
    return CONVT_OK;
}

static convt_status read_nothing(const convti_place *place, const char *key, const json_t *value,
                                 void *target)
{
    (void)target;
    return json_is_null(value)
               ? CONVT_OK
               : convti_json_refuse_value(place, key, value, "null: it is not supported");
}

static convt_status read_rate(const convti_place *place, const char *key, const json_t *value,
                              void *target)
{
    double rate;
    if (!convti_json_number(value, &rate) || rate < 0 || rate > 1) {
        convti_shown shown = convti_json_show(value);
        return convti_json_refuse(place, key,
                                  "Invalid value received for argument `rate`. Expected a float "
                                  "value between 0 and 1. Received: rate=%s",
                                  shown.text);
    }
    *(convt_optional *)target = CONVT_SET(rate);
    return CONVT_OK;
}

static convt_status read_interpolation(const convti_place *place, const char *key,
                                       const json_t *value, void *target)
{
    const char *text = json_string_value(value);
    if (!text) return convti_json_refuse_value(place, key, value, "a string");
    *(bool *)target = strcasecmp(text, "nearest") != 0;
    return CONVT_OK;
}

static convt_status read_target(const convti_place *place, const char *key, const json_t *value,
                                void *target)
{
    convti_tensor shape = {.rank = (int)json_array_size(value)};
    const size_t rank = json_array_size(value);
    int unknown = 0;
    bool ok = json_is_array(value) && (rank == 1 || rank == 3);
    for (size_t i = 0; i < rank && ok; i++) {
        ok = convti_json_integer(json_array_get(value, i), &shape.size[i]) &&
             (shape.size[i] > 0 || shape.size[i] == -1);
        unknown += shape.size[i] == -1;
    }
    if (!ok || unknown > 1)
        return convti_json_refuse_value(
            place, key, value,
            "1 or 3 sizes greater than 0, one of them -1 at most, as a model of images can have");
    *(convti_tensor *)target = shape;
    return CONVT_OK;
}

/* A size for both sides, or one for each. */
static bool read_side(const json_t *value, int64_t *begin, int64_t *end)
{
    bool both = convti_json_integer(value, begin);
    if (both) *end = *begin;
    return (both ||
            (json_array_size(value) == 2 && convti_json_integer(json_array_get(value, 0), begin) &&
             convti_json_integer(json_array_get(value, 1), end))) &&
           *begin >= 0 && *end >= 0;
}

static convt_status read_sides(const convti_place *place, const char *key, const json_t *value,
                               void *target)
{
    int64_t side[4] = {0};
    const bool one = convti_json_integer(value, &side[0]),
               ok = (one || json_array_size(value) == 2) &&
                    read_side(one ? value : json_array_get(value, 0), &side[0], &side[1]) &&
                    read_side(one ? value : json_array_get(value, 1), &side[2], &side[3]);
    if (!ok)
        return convti_json_refuse_value(place, key, value,
                                        "an int, a tuple of 2 ints, or a tuple of 2 tuples of 2 "
                                        "ints of 0 or more");
    *(convt_optional_sides *)target = CONVT_SET_SIDES(side[0], side[1], side[2], side[3]);
    return CONVT_OK;
}

static convt_status keep(const convti_place *place, const char *key, const json_t *value,
                         void *target)
{
    (void)place, (void)key;
    *(const json_t **)target = value;
    return CONVT_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

#define CFG(field) offsetof(arguments, cfg.field)

/* What layers with a kernel take alike. */
#define WINDOW_KEYS                                                   \
    {"kernel_size", convti_json_read_pair, CFG(kernel_size)},         \
        {"strides", convti_json_read_pair, CFG(strides)},             \
        {"dilation_rate", convti_json_read_pair, CFG(dilation_rate)}, \
    {                                                                 \
        "padding", convti_json_read_padding, CFG(padding)             \
    }
#define KERNEL_KEYS                                                                    \
    {"activation", convti_json_read_activation, CFG(activation)},                      \
        {"use_bias", convti_json_read_off, CFG(no_bias)},                              \
        {"kernel_initializer", convti_json_read_initializer, CFG(kernel_initializer)}, \
        {"bias_initializer", convti_json_read_initializer, CFG(bias_initializer)},     \
        {"kernel_regularizer", convti_json_read_regularizer, CFG(kernel_regularizer)}, \
        {"bias_regularizer", convti_json_read_regularizer, CFG(bias_regularizer)},     \
        {"kernel_constraint", convti_json_read_constraint, CFG(kernel_constraint)},    \
    {                                                                                  \
        "bias_constraint", convti_json_read_constraint, CFG(bias_constraint)           \
    }

static const convti_json_key transpose_keys[] = {
    WINDOW_KEYS,
    {"output_padding", convti_json_read_output_padding, CFG(output_padding)},
    {"data_format", convti_json_read_data_format, CFG(data_format)},
    KERNEL_KEYS,
    {"convt", convti_json_read_convt, 0},
    {"filters", convti_json_read_filters, CFG(filters)},
};

static const convti_json_key conv_keys[] = {
    WINDOW_KEYS,
    {"data_format", convti_json_read_data_format, CFG(data_format)},
    KERNEL_KEYS,
    {"filters", convti_json_read_filters, CFG(filters)},
    {"groups", read_integer, offsetof(arguments, groups)},
    {"lora_rank", read_nothing, 0},
    {"lora_alpha", read_nothing, 0},
};

static const convti_json_key dense_keys[] = {
    {"units", read_units, CFG(filters)},      KERNEL_KEYS,
    {"lora_rank", read_nothing, 0},           {"lora_alpha", read_nothing, 0},
    {"quantization_config", read_nothing, 0},
};

/* Keras trains with batch renormalization or without; predictions are the same. */
static const convti_json_key norm_keys[] = {
    {"axis", read_norm_axis, offsetof(arguments, axis)},
    {"momentum", ignore, 0},
    {"epsilon", convti_json_read_number, offsetof(arguments, epsilon)},
    {"center", convti_json_read_off, offsetof(arguments, no_center)},
    {"scale", convti_json_read_off, offsetof(arguments, no_scale)},
    {"beta_initializer", convti_json_read_initializer, offsetof(arguments, beta)},
    {"gamma_initializer", convti_json_read_initializer, offsetof(arguments, gamma)},
    {"moving_mean_initializer", convti_json_read_initializer, offsetof(arguments, mean)},
    {"moving_variance_initializer", convti_json_read_initializer, offsetof(arguments, variance)},
    {"beta_regularizer", ignore, 0},
    {"gamma_regularizer", ignore, 0},
    {"beta_constraint", ignore, 0},
    {"gamma_constraint", ignore, 0},
    {"renorm", read_true, offsetof(arguments, renorm)},
    {"renorm_clipping", ignore, 0},
    {"renorm_momentum", ignore, 0},
    {"synchronized", ignore, 0},
};

static const convti_json_key reshape_keys[] = {
    {"target_shape", read_target, offsetof(arguments, target)},
};
static const convti_json_key flatten_keys[] = {
    {"data_format", convti_json_read_data_format, CFG(data_format)},
};
static const convti_json_key padding_keys[] = {
    {"data_format", convti_json_read_data_format, CFG(data_format)},
    {"padding", read_sides, offsetof(arguments, sides)},
};
static const convti_json_key cropping_keys[] = {
    {"data_format", convti_json_read_data_format, CFG(data_format)},
    {"cropping", read_sides, offsetof(arguments, sides)},
};
static const convti_json_key upsampling_keys[] = {
    {"data_format", convti_json_read_data_format, CFG(data_format)},
    {"size", convti_json_read_pair, CFG(strides)},
    {"interpolation", read_interpolation, offsetof(arguments, other_interpolation)},
};
static const convti_json_key rescaling_keys[] = {
    {"scale", keep, offsetof(arguments, factor)},
    {"offset", keep, offsetof(arguments, offset)},
};
static const convti_json_key dropout_keys[] = {
    {"rate", read_rate, offsetof(arguments, rate)},
    {"noise_shape", ignore, 0},
    {"seed", ignore, 0},
};

/* ---- checks over several arguments ----------------------------------------------------------- */

static convt_status check_strides(const convti_place *place, const json_t *config,
                                  const arguments *a)
{
    const convt_hw strides = a->cfg.strides, dilation = a->cfg.dilation_rate;
    (void)config;
    if (a->cfg.strides_with_dilation || (strides.h <= 1 && strides.w <= 1) ||
        (dilation.h <= 1 && dilation.w <= 1))
        return CONVT_OK;
    return convti_json_refuse(place, "strides",
                              "`strides > 1` not supported in conjunction with `dilation_rate > "
                              "1`. Received: strides=(%lld, %lld) and dilation_rate=(%lld, %lld)",
                              (long long)strides.h, (long long)strides.w, (long long)dilation.h,
                              (long long)dilation.w);
}

/* Explicit padding has a rule of its own, which is the layer's to check. */
static convt_status check_transpose(const convti_place *place, const json_t *config,
                                    const arguments *a)
{
    const convt_config *cfg = &a->cfg;
    const int64_t padding[2] = {cfg->output_padding.h, cfg->output_padding.w},
                  strides[2] = {cfg->strides.h ? cfg->strides.h : 1,
                                cfg->strides.w ? cfg->strides.w : 1};
    for (int i = 0; i < 2 && cfg->output_padding.set && !cfg->explicit_padding.set; i++) {
        if (padding[i] >= strides[i])
            return convti_json_refuse(
                place, "output_padding",
                "`output_padding` must be strictly less than `strides` for all dimensions. At "
                "dimension %d, `output_padding` is %lld but `strides` is %lld",
                i, (long long)padding[i], (long long)strides[i]);
    }
    return check_strides(place, config, a);
}

static convt_status check_conv(const convti_place *place, const json_t *config, const arguments *a)
{
    const long long groups = (long long)a->groups, filters = (long long)a->cfg.filters;
    if (groups <= 0)
        return convti_json_refuse(
            place, "groups",
            "The number of groups must be a positive integer. Received: groups=%lld", groups);
    if (filters % groups != 0)
        return convti_json_refuse(place, "groups",
                                  "The number of filters must be evenly divisible by the number of "
                                  "groups. Received: groups=%lld, filters=%lld",
                                  groups, filters);
    return check_strides(place, config, a);
}

static convt_status refuse_activity(const convti_place *place, const json_t *config,
                                    const arguments *a)
{
    if (a->cfg.activity_regularizer.kind == CONVT_NO_REGULARIZER) return CONVT_OK;
    return convti_json_refuse_value_later(place, "activity_regularizer",
                                          json_object_get(config, "activity_regularizer"),
                                          "null: only layers with a kernel can have one here");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const convti_class classes[] = {
    {.names = {"Conv2DTranspose", "Convolution2DTranspose"},
     .stem = "conv2d_transpose",
     .needed = {"filters", "kernel_size"},
     .keys = CONVTI_JSON_KEYS(transpose_keys),
     .check = check_transpose,
     .variables = CONVTI_KERNEL_AND_BIAS,
     .has_format = true,
     .shape = convti_shape_transpose,
     .lower = convti_lower_transpose},
    {.names = {"Conv2D", "Convolution2D"},
     .stem = "conv2d",
     .needed = {"filters", "kernel_size"},
     .start = {.groups = 1},
     .keys = CONVTI_JSON_KEYS(conv_keys),
     .check = check_conv,
     .variables = CONVTI_KERNEL_AND_BIAS,
     .has_format = true,
     .shape = convti_shape_conv,
     .lower = convti_lower_conv},
    {.names = {"Dense"},
     .stem = "dense",
     .needed = {"units"},
     .keys = CONVTI_JSON_KEYS(dense_keys),
     .variables = CONVTI_KERNEL_AND_BIAS,
     .shape = convti_shape_dense,
     .lower = convti_lower_dense},
    {.names = {"BatchNormalization"},
     .stem = "batch_normalization",
     .start = {.axis = -1, .epsilon = {true, 1e-3}},
     .keys = CONVTI_JSON_KEYS(norm_keys),
     .check = refuse_activity,
     .variables = CONVTI_STATISTICS,
     .shape = convti_shape_same,
     .lower = convti_lower_norm},
    {.names = {"Reshape"},
     .stem = "reshape",
     .needed = {"target_shape"},
     .keys = CONVTI_JSON_KEYS(reshape_keys),
     .check = refuse_activity,
     .shape = convti_shape_reshape,
     .lower = convti_lower_reshape},
    {.names = {"Flatten"},
     .stem = "flatten",
     .keys = CONVTI_JSON_KEYS(flatten_keys),
     .check = refuse_activity,
     .shape = convti_shape_flatten,
     .lower = convti_lower_flatten},
    {.names = {"ZeroPadding2D"},
     .stem = "zero_padding2d",
     .start = {.sides = {true, 1, 1, 1, 1}},
     .keys = CONVTI_JSON_KEYS(padding_keys),
     .check = refuse_activity,
     .has_format = true,
     .shape = convti_shape_padding,
     .lower = convti_lower_padding},
    {.names = {"Cropping2D"},
     .stem = "cropping2d",
     .keys = CONVTI_JSON_KEYS(cropping_keys),
     .check = refuse_activity,
     .has_format = true,
     .shape = convti_shape_cropping,
     .lower = convti_lower_cropping},
    {.names = {"UpSampling2D"},
     .stem = "up_sampling2d",
     .start = {.cfg.strides = {2, 2}},
     .keys = CONVTI_JSON_KEYS(upsampling_keys),
     .check = refuse_activity,
     .has_format = true,
     .shape = convti_shape_upsampling,
     .lower = convti_lower_upsampling},
    {.names = {"Rescaling"},
     .stem = "rescaling",
     .needed = {"scale"},
     .keys = CONVTI_JSON_KEYS(rescaling_keys),
     .check = refuse_activity,
     .shape = convti_shape_same,
     .lower = convti_lower_rescaling},
    {.names = {"Dropout"},
     .stem = "dropout",
     .needed = {"rate"},
     .keys = CONVTI_JSON_KEYS(dropout_keys),
     .check = refuse_activity,
     .shape = convti_shape_same,
     .lower = convti_lower_dropout},
#define ACTIVATION_CLASS(name, snake_name)                                 \
    {                                                                      \
        .names = {name}, .stem = snake_name, .check = refuse_activity,     \
        .shape = convti_shape_activation, .lower = convti_lower_activation \
    }
    ACTIVATION_CLASS("ReLU", "re_lu"),
    ACTIVATION_CLASS("LeakyReLU", "leaky_re_lu"),
    ACTIVATION_CLASS("ELU", "elu"),
    ACTIVATION_CLASS("Softmax", "softmax"),
    {.names = {"Activation"},
     .stem = "activation",
     .needed = {"activation"},
     .check = refuse_activity,
     .shape = convti_shape_activation,
     .lower = convti_lower_activation},
};

const convti_class *convti_class_of(const char *name)
{
    for (size_t i = 0; name && i < LENGTH(classes); i++) {
        const convti_class *class = &classes[i];
        if (strcmp(name, class->names[0]) == 0 ||
            (class->names[1] && strcmp(name, class->names[1]) == 0))
            return class;
    }
    return NULL;
}

const char *convti_class_stem(const char *class_name)
{
    const convti_class *class = convti_class_of(class_name);
    return class ? class->stem : NULL;
}

int convti_item_variables(const convti_item *item, const char *names[CONVTI_MOST_VARIABLES])
{
    const arguments *a = item->arguments;
    int count = 0;
    if (item->class->variables == CONVTI_KERNEL_AND_BIAS) {
        names[count++] = "kernel";
        if (!a->cfg.no_bias) names[count++] = "bias";
    }
    if (item->class->variables == CONVTI_STATISTICS) {
        if (!a->no_scale) names[count++] = "gamma";
        if (!a->no_center) names[count++] = "beta";
        names[count++] = "moving_mean";
        names[count++] = "moving_variance";
    }
    return count;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const convti_activation_layer *activation_of(const convti_class *class)
{
    for (int i = 0; i < convti_activation_layer_count && class->keys.count == 0; i++) {
        if (strcmp(convti_activation_layers[i].class_name, class->names[0]) == 0)
            return &convti_activation_layers[i];
    }
    return NULL;
}

/* Keras makes the policy first, then sees which arguments there are. */
static convt_status check_call(const convti_class *class, const convti_place *place,
                               const json_t *config)
{
    const json_t *dtype = json_object_get(config, "dtype");
    const char *first = class->needed[0], *second = class->needed[1];
    convt_dtype ignored;
    if (json_is_object(dtype)) {
        convt_status status = convti_json_read_dtype(place, "dtype", dtype, &ignored);
        if (status) return status;
    }
    for (int i = 0; i < 2; i++) {
        if (class->needed[i] && !json_object_get(config, class->needed[i]))
            return convti_json_refuse(place, class->needed[i], "missing: %s needs %s%s%s",
                                      class->names[0], first, second ? " and " : "",
                                      second ? second : "");
    }
    return CONVT_OK;
}

/* The units of a Dense come before what every layer takes. */
static convt_status check_first(const convti_class *class, const convti_place *place,
                                const json_t *config)
{
    int64_t ignored;
    return class->keys.list == dense_keys
               ? read_units(place, "units", json_object_get(config, "units"), &ignored)
               : CONVT_OK;
}

/* Only the kernel of a Dense is a matrix. */
static convt_status check_identity(const convti_class *class, const convti_place *place,
                                   const json_t *config, const arguments *a)
{
    const bool matrix = class->keys.list == dense_keys,
               kernel = a->cfg.kernel_initializer.kind == CONVT_IDENTITY && !matrix,
               bias = a->cfg.bias_initializer.kind == CONVT_IDENTITY;
    const char *key = kernel ? "kernel_initializer" : "bias_initializer";
    if (!kernel && !bias) return CONVT_OK;
    return convti_json_refuse_later(
        place, key, "Identity matrix initializer can only be used for 2D matrices, got %s",
        convti_json_show(json_object_get(config, key)).text);
}

convt_status convti_class_read(const convti_class *class, const convti_place *outer,
                               const json_t *config, struct convti_arguments *a)
{
    const convti_activation_layer *activation = activation_of(class);
    const convti_json_keys keys = activation ? activation->keys : class->keys;
    convt_error later = {.status = CONVT_OK};
    convti_place place = *outer;
    place.later = &later;
    *a = class->start;
    if (activation) a->cfg.activation = activation->start;
    convt_status status = check_call(class, &place, config);
    if (!status) status = check_first(class, &place, config);
    if (!status) status = convti_json_read_base(&place, class->names[0], keys, config, &a->cfg);
    if (!status)
        status = convti_json_read_keys(&place, keys, config,
                                       activation ? (void *)&a->cfg.activation : a);
    if (!status) status = check_identity(class, &place, config, a);
    if (!status && class->check) status = class->check(&place, config, a);
    if (status || !later.status) return status;
    return convti_fail(place.err, later.status, later.field, "%s", later.message);
}
