/*
 * What Keras' serialize_keras_object gives for a Sequential of Conv2DTranspose layers, and its
 * get_config() for one layer, key for key and in its order. What goes beyond Keras stands in an
 * object "convt" behind them; callbacks, which have no name at all, are refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "argument.h"
#include "json.h"
#include "names.h"
#include "status.h"
#include "tables.h"

/* An object under construction; after a failure nothing is added any more. */
typedef struct object {
    json_t *json;
    convt_status status;
    convt_error *err;
} object;

static object start(convt_error *err)
{
    object o = {.json = json_object(), .err = err};
    if (!o.json) o.status = convti_fail(err, CONVT_NO_MEMORY, "json", "memory is out");
    return o;
}

/* Takes value over; NULL is memory that ran out, or an error that is in *err already. */
static void add(object *o, const char *key, json_t *value)
{
    if (o->status) {
        json_decref(value);
    } else if (!value) {
        o->status = o->err && o->err->status
                        ? o->err->status
                        : convti_fail(o->err, CONVT_NO_MEMORY, key, "memory is out");
    } else if (json_object_set_new(o->json, key, value)) {
        o->status = convti_fail(o->err, CONVT_NO_MEMORY, key, "memory is out");
    }
}

static json_t *finish(object *o)
{
    if (!o->status) return o->json;
    json_decref(o->json);
    return NULL;
}

static json_t *refuse(object *o, const char *field, const char *message)
{
    if (!o->status) o->status = convti_fail(o->err, CONVT_INVALID_ARGUMENT, field, "%s", message);
    return finish(o);
}

static const char automatic_name[] = "conv2d_transpose";
static const char custom[] = "is custom: Keras JSON has no name for it";

/* ---- small values ---------------------------------------------------------------------------- */

/* Infinite bounds are None in Keras. */
static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *optional_of(convt_optional given, convt_optional row)
{
    return real_or_null(given.set ? given.value : row.value);
}

static json_t *pair(int64_t h, int64_t w)
{
    return json_pack("[I, I]", (json_int_t)h, (json_int_t)w);
}

static json_t *pair_or_one(convt_hw size)
{
    return size.h == 0 && size.w == 0 ? pair(1, 1) : pair(size.h, size.w);
}

/* [null, h, w, c] in the order of data_format; unknown sizes are null. */
static json_t *batch_shape(convt_shape shape, convt_data_format format)
{
    int64_t last[] = {shape.h, shape.w, shape.c}, first[] = {shape.c, shape.h, shape.w};
    json_t *list = json_pack("[n]");
    for (int i = 0; i < 3; i++) {
        int64_t size = format == CONVT_CHANNELS_LAST ? last[i] : first[i];
        if (json_array_append_new(list, size > 0 ? json_integer(size) : json_null())) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static const char *dtype_name(convt_dtype dtype)
{
    return dtype == CONVT_FLOAT64 ? "float64" : "float32";
}

static json_t *dtype_policy(convt_dtype dtype)
{
    return convti_json_serialized("keras", "DTypePolicy",
                                  json_pack("{s:s}", "name", dtype_name(dtype)));
}

/* ---- families -------------------------------------------------------------------------------- */

/* An axis alone, or a list. */
static json_t *axis_list(const convt_axes *axes)
{
    json_t *list = json_array();
    for (int i = 0; i < axes->count && i < 4; i++)
        json_array_append_new(list, json_integer(axes->axis[i]));
    return list;
}

static json_t *fan_axes(const convt_axes *axes)
{
    return axes->count == 0 ? json_null() : axis_list(axes);
}

/* Keras draws from 32 bits. */
static json_t *seed(convt_optional given, const char *field, convt_error *err)
{
    if (!given.set) return json_null();
    if (given.value >= 0 && given.value <= UINT32_MAX) return json_integer((json_int_t)given.value);
    convti_argument_fail(err, field, "seed",
                         "is not from 0 to 4294967295, as Keras needs it, got %.17g", given.value);
    return NULL;
}

static json_t *initializer(const convt_initializer *init, convt_initializer_kind otherwise,
                           const char *field, convt_error *err)
{
    static const char *const modes[] = {
        [CONVT_FAN_IN] = "fan_in", [CONVT_FAN_OUT] = "fan_out", [CONVT_FAN_AVG] = "fan_avg"};
    static const char *const distributions[] = {
        [CONVT_TRUNCATED_NORMAL_DISTRIBUTION] = "truncated_normal",
        [CONVT_UNTRUNCATED_NORMAL_DISTRIBUTION] = "untruncated_normal",
        [CONVT_UNIFORM_DISTRIBUTION] = "uniform"};
    convt_initializer_kind kind = init->kind == CONVT_DEFAULT_INITIALIZER ? otherwise : init->kind;
    const convti_initializer_arguments *row = convti_initializer_arguments_of(kind);
    object o = start(err);
    if (!row) return refuse(&o, field, custom);
    if (row->seed) add(&o, "seed", seed(init->seed, field, err));
#define OPTIONAL(name) \
    if (row->name.set) add(&o, #name, optional_of(init->name, row->name))
    OPTIONAL(mean);
    OPTIONAL(stddev);
    OPTIONAL(minval);
    OPTIONAL(maxval);
    OPTIONAL(scale);
    OPTIONAL(gain);
    OPTIONAL(value);
#undef OPTIONAL
    if (row->mode) add(&o, "mode", json_string(modes[init->mode]));
    if (row->distribution) add(&o, "distribution", json_string(distributions[init->distribution]));
    if (row->axes) {
        add(&o, "input_axes", fan_axes(&init->input_axes));
        add(&o, "output_axes", fan_axes(&init->output_axes));
    }
    return convti_json_serialized("keras.initializers",
                                  convti_class_name(CONVTI_INITIALIZERS, (int)kind), finish(&o));
}

static json_t *regularizer(const convt_regularizer *r, const char *field, convt_error *err)
{
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(r->kind);
    if (r->kind == CONVT_NO_REGULARIZER) return json_null();
    object o = start(err);
    if (!row) return refuse(&o, field, custom);
    if (row->l1.set) add(&o, "l1", optional_of(r->l1, row->l1));
    if (row->l2.set) add(&o, "l2", optional_of(r->l2, row->l2));
    return convti_json_serialized("keras.regularizers",
                                  convti_class_name(CONVTI_REGULARIZERS, (int)r->kind), finish(&o));
}

static json_t *axis(const convt_axes *axes, bool list)
{
    if (axes->count == CONVT_ALL_AXES) return json_null();
    if (axes->count == 0) return json_integer(0);
    return axes->count == 1 && !list ? json_integer(axes->axis[0]) : axis_list(axes);
}

static json_t *constraint(const convt_constraint *c, const char *field, convt_error *err)
{
    const convti_constraint_arguments *row = convti_constraint_arguments_of(c->kind);
    if (c->kind == CONVT_NO_CONSTRAINT) return json_null();
    object o = start(err);
    if (!row) return refuse(&o, field, custom);
    if (row->min_value.set) add(&o, "min_value", optional_of(c->min_value, row->min_value));
    if (row->max_value.set) add(&o, "max_value", optional_of(c->max_value, row->max_value));
    if (row->rate.set) add(&o, "rate", optional_of(c->rate, row->rate));
    if (row->axis) add(&o, "axis", axis(&c->axis, c->axis_list));
    return convti_json_serialized("keras.constraints",
                                  convti_class_name(CONVTI_CONSTRAINTS, (int)c->kind), finish(&o));
}

/* Has any argument been given? */
static bool has_arguments(const convt_activation *a)
{
    bool given = false;
#define ACTIVATION_ARGUMENT(name, range) given = given || a->name.set;
#include "convt/activations.def"
    return given;
}

/* The layer that says an activation with its arguments: ReLU, LeakyReLU, ELU, Softmax, as far as
 * Keras takes the values; NULL where there is none. */
static const convti_activation_layer *layer_of(const convt_activation *a)
{
    struct convti_activation_params p;
    convti_activation_defaults(a, &p);
    bool negative = a->kind != CONVT_ELU &&
                    (p.negative_slope < 0 || p.max_value < 0 || p.threshold < 0);
    for (int i = 0; i < convti_activation_layer_count && has_arguments(a) && !negative; i++) {
        if (convti_activation_layers[i].start.kind == a->kind) return &convti_activation_layers[i];
    }
    return NULL;
}

/* Its dtype is that of the layer, or Keras would compute in another. */
static json_t *activation_layer(const convt_activation *a, const convti_activation_layer *layer,
                                convt_dtype dtype, convt_error *err)
{
    const convti_activation_arguments *row = convti_activation_arguments_of(a->kind);
    struct convti_activation_params p;
    object o = start(err);
    convti_activation_defaults(a, &p);
    add(&o, "name", json_string(layer->snake_name));
    if (row->alpha.set) /* Keras' ELU writes its own argument here, the others behind */
        add(&o, "alpha", real_or_null(p.alpha));
    add(&o, "trainable", json_true());
    add(&o, "dtype", dtype_policy(dtype));
    if (row->max_value.set) add(&o, "max_value", real_or_null(p.max_value));
    if (row->negative_slope.set) add(&o, "negative_slope", real_or_null(p.negative_slope));
    if (row->threshold.set) add(&o, "threshold", real_or_null(p.threshold));
    if (row->axis.set) add(&o, "axis", json_integer((json_int_t)p.axis));
    return convti_json_serialized("keras.layers", layer->class_name, finish(&o));
}

static json_t *activation(const convt_config *cfg, convt_error *err)
{
    const convti_activation_layer *layer = layer_of(&cfg->activation);
    const char *name = convti_snake_name(CONVTI_ACTIVATIONS, (int)cfg->activation.kind);
    if (layer) return activation_layer(&cfg->activation, layer, cfg->dtype, err);
    if (name) return json_string(name);
    convti_fail(err, CONVT_INVALID_ARGUMENT, "activation", "%s", custom);
    return NULL;
}

/* ---- beyond Keras ---------------------------------------------------------------------------- */

static json_t *argument(double value, convti_range range)
{
    if (range == CONVTI_SWITCH) return json_boolean(value > 0);
    if (range == CONVTI_LAST_AXIS) return json_integer((json_int_t)value);
    return real_or_null(value);
}

static json_t *activation_arguments(const convt_activation *a, convt_error *err)
{
    object o = start(err);
#define ACTIVATION_ARGUMENT(name, range) \
    if (a->name.set) add(&o, #name, argument(a->name.value, CONVTI_##range));
#include "convt/activations.def"
    return finish(&o);
}

/* An empty object where Keras can say it all. */
static json_t *beyond(const convt_config *cfg, convt_error *err)
{
    const convt_optional_sides *sides = &cfg->explicit_padding;
    object o = start(err);
    if (cfg->strides_with_dilation) add(&o, "strides_with_dilation", json_true());
    if (sides->set)
        add(&o, "explicit_padding",
            json_pack("[[I, I], [I, I]]", (json_int_t)sides->top, (json_int_t)sides->bottom,
                      (json_int_t)sides->left, (json_int_t)sides->right));
    if (has_arguments(&cfg->activation) && !layer_of(&cfg->activation))
        add(&o, "activation_arguments", activation_arguments(&cfg->activation, err));
    return finish(&o);
}

/* ---- layers ---------------------------------------------------------------------------------- */

json_t *convti_json_write_layer(const convt_config *cfg, const char *name, convt_error *err)
{
    bool same = cfg->padding == CONVT_SAME, first = cfg->data_format == CONVT_CHANNELS_FIRST;
    bool active = cfg->activity_regularizer.kind != CONVT_NO_REGULARIZER;
    json_t *more = beyond(cfg, err);
    object o = start(err);
    if (cfg->kernel_order != CONVT_KERNEL_TRANSPOSED || cfg->fixed) {
        json_decref(more);
        return refuse(&o, cfg->fixed ? "fixed" : "kernel_order",
                      "is of no Conv2DTranspose: a spec that was read saves its own layers");
    }
    add(&o, "name", json_string(name));
    add(&o, "trainable", json_boolean(!cfg->frozen));
    add(&o, "dtype", dtype_policy(cfg->dtype));
    if (active) /* Keras' base class writes it, so it stands here unless it is null */
        add(&o, "activity_regularizer",
            regularizer(&cfg->activity_regularizer, "activity_regularizer", err));
    add(&o, "filters", json_integer(cfg->filters));
    add(&o, "kernel_size", pair(cfg->kernel_size.h, cfg->kernel_size.w));
    add(&o, "strides", pair_or_one(cfg->strides));
    add(&o, "padding", json_string(same ? "same" : "valid"));
    add(&o, "output_padding",
        cfg->output_padding.set ? pair(cfg->output_padding.h, cfg->output_padding.w) : json_null());
    add(&o, "data_format", json_string(first ? "channels_first" : "channels_last"));
    add(&o, "dilation_rate", pair_or_one(cfg->dilation_rate));
    add(&o, "activation", activation(cfg, err));
    add(&o, "use_bias", json_boolean(!cfg->no_bias));
    add(&o, "kernel_initializer",
        initializer(&cfg->kernel_initializer, CONVT_GLOROT_UNIFORM, "kernel_initializer", err));
    add(&o, "bias_initializer",
        initializer(&cfg->bias_initializer, CONVT_ZEROS, "bias_initializer", err));
    add(&o, "kernel_regularizer", regularizer(&cfg->kernel_regularizer, "kernel_regularizer", err));
    add(&o, "bias_regularizer", regularizer(&cfg->bias_regularizer, "bias_regularizer", err));
    if (!active) add(&o, "activity_regularizer", json_null());
    add(&o, "kernel_constraint", constraint(&cfg->kernel_constraint, "kernel_constraint", err));
    add(&o, "bias_constraint", constraint(&cfg->bias_constraint, "bias_constraint", err));
    if (!more || json_object_size(more) > 0)
        add(&o, "convt", more);
    else
        json_decref(more);
    return finish(&o);
}

static json_t *input_layer(const convt_config *first)
{
    return convti_json_serialized("keras.layers", "InputLayer",
                                  json_pack("{s:o, s:s, s:b, s:b, s:s, s:b}", "batch_shape",
                                            batch_shape(first->input, first->data_format), "dtype",
                                            dtype_name(first->dtype), "sparse", 0, "ragged", 0,
                                            "name", "input_layer", "optional", 0));
}

/* The layer serialized; where its input is known it says what it was built for, and *shape
 * becomes its output. */
static json_t *built_layer(const convt_config *layer, const char *name, convt_shape *shape,
                           convt_error *err)
{
    convt_config cfg = *layer;
    json_t *json = convti_json_serialized("keras.layers", "Conv2DTranspose",
                                          convti_json_write_layer(layer, name, err));
    if (!json || shape->h <= 0 || shape->w <= 0 || shape->c <= 0) return json;
    cfg.input = *shape;
    json_t *build = json_pack("{s:o}", "input_shape", batch_shape(*shape, layer->data_format));
    if (!build || json_object_set_new(json, "build_config", build) ||
        convt_output_shape(&cfg, shape, err)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* The list of layers; an automatic name is that of the unnamed layer's number among its like. */
static json_t *layer_list(const convt_config layers[], int count, convt_error *err)
{
    convt_shape shape = layers[0].input;
    json_t *list = json_array();
    int unnamed = 0;
    if (shape.c > 0 && json_array_append_new(list, input_layer(&layers[0]))) goto failed;
    for (int i = 0; i < count; i++) {
        char name[64] = "conv2d_transpose";
        if (!layers[i].name && unnamed++ > 0)
            snprintf(name, sizeof name, "conv2d_transpose_%d", unnamed - 1);
        json_t *layer =
            built_layer(&layers[i], layers[i].name ? layers[i].name : name, &shape, err);
        if (!layer || json_array_append_new(list, layer)) goto failed;
    }
    return list;
failed:
    json_decref(list);
    return NULL;
}

static json_t *sequential(const convt_config layers[], int count, convt_error *err)
{
    bool known = layers[0].input.c > 0;
    object config = start(err), model = start(err);
    add(&config, "name", json_string("sequential"));
    add(&config, "trainable", json_true());
    add(&config, "dtype",
        dtype_policy(CONVT_FLOAT32)); /* the global policy; layers have their own */
    add(&config, "layers", layer_list(layers, count, err));
    if (known)
        add(&config, "build_input_shape", batch_shape(layers[0].input, layers[0].data_format));
    add(&model, "module", json_string("keras"));
    add(&model, "class_name", json_string("Sequential"));
    add(&model, "config", finish(&config));
    add(&model, "registered_name", json_null());
    if (known)
        add(&model, "build_config",
            json_pack("{s:o}", "input_shape", batch_shape(layers[0].input, layers[0].data_format)));
    add(&model, "compile_config", json_object());
    return finish(&model);
}

/* Takes root over: its text, or what *own says of why there is none. */
static convt_status write_text(json_t *root, const convt_error *own, char **json, convt_error *err)
{
    *json = root ? convti_json_text(root) : NULL;
    json_decref(root);
    if (*json) return CONVT_OK;
    return convti_fail(err, own->status ? own->status : CONVT_NO_MEMORY, own->field, "%s",
                       own->status ? own->message : "memory is out");
}

convt_status convt_spec_write(const convt_config layers[], int count, char **json, convt_error *err)
{
    convt_error own = {.status = CONVT_OK};
    *json = NULL;
    if (count < 1)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "count", "%d layers make no model", count);
    json_t *model = sequential(layers, count, &own);
    return write_text(model, &own, json, err);
}

convt_status convt_config_write(const convt_config *cfg, char **json, convt_error *err)
{
    convt_error own = {.status = CONVT_OK};
    json_t *layer = convti_json_write_layer(cfg, cfg->name ? cfg->name : automatic_name, &own);
    return write_text(layer, &own, json, err);
}
