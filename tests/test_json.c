/*
 * Keras JSON to configs and back. tests/data/keras_*.json was written by Keras 3.15
 * (keras.saving.serialize_keras_object of a Sequential); which values are refused was tried on
 * the same Keras.
 */
#include "support/close.h"
#include "support/values.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/io.h>

#include "argument.h"
#include "names.h"
#include "tables.h"

static convt_spec parse_ok(const char *json)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_parse(json, &spec, &err))
        fail_msg("%s: %s in %.200s", err.field, err.message, json);
    return spec;
}

/* A layer with filters and kernel_size and what `more` adds. */
static const char *layer(const char *more)
{
    static char json[2048];
    snprintf(json, sizeof json, "{\"filters\": 4, \"kernel_size\": 3%s%s}", more[0] ? ", " : "",
             more);
    return json;
}

static convt_config config_of(const char *more)
{
    convt_spec spec = parse_ok(layer(more));
    assert_int_equal(spec.count, 1);
    convt_config cfg = spec.layers[0];
    cfg.name = NULL;
    convt_spec_free(&spec);
    return cfg;
}

static void check_refused(const char *json, convt_status expected, const char *field,
                          const char *part)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_spec_parse(json, &spec, &err);
    if (!status) fail_msg("accepted: %s", json);
    assert_refused(status, &err, expected, field, part);
    assert_null(strchr(err.message, '\n'));
    assert_int_equal(spec.count, 0);
    assert_null(spec.layers);
    assert_int_equal(convt_spec_parse(json, &spec, NULL), expected);
}

static void refused(const char *more, const char *field, const char *part)
{
    check_refused(layer(more), CONVT_INVALID_ARGUMENT, field, part);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void missing_keys_are_defaults(void **state)
{
    (void)state;
    convt_spec spec = parse_ok(layer(""));
    convt_config cfg = spec.layers[0];
    assert_string_equal(cfg.name, "conv2d_transpose");
    assert_int_equal(cfg.filters, 4);
    assert_true(cfg.kernel_size.h == 3 && cfg.kernel_size.w == 3);
    assert_true(cfg.strides.h == 0 && cfg.dilation_rate.h == 0); /* 0 is the default */
    assert_int_equal(cfg.padding, CONVT_VALID);
    assert_false(cfg.output_padding.set);
    assert_int_equal(cfg.activation.kind, CONVT_LINEAR);
    assert_false(cfg.no_bias || cfg.frozen);
    assert_true(cfg.input.h == 0 && cfg.input.w == 0 && cfg.input.c == 0);
    assert_int_equal(spec.weights.count, 0);
    convt_spec_free(&spec);
    convt_spec_free(&spec);
    convt_spec_free(NULL);
}

static void sizes_are_integers_or_two(void **state)
{
    (void)state;
    convt_config cfg =
        config_of("\"strides\": [2, 5], \"dilation_rate\": 1, \"output_padding\": [0, 4]");
    assert_true(cfg.strides.h == 2 && cfg.strides.w == 5);
    assert_true(cfg.dilation_rate.h == 1 && cfg.dilation_rate.w == 1);
    assert_true(cfg.output_padding.set && cfg.output_padding.h == 0 && cfg.output_padding.w == 4);
    cfg = config_of("\"output_padding\": null, \"strides\": true");
    assert_false(cfg.output_padding.set);
    assert_true(cfg.strides.h == 1 && cfg.strides.w == 1);
    cfg = config_of("\"output_padding\": 0");
    assert_true(cfg.output_padding.set && cfg.output_padding.h == 0 && cfg.output_padding.w == 0);
    cfg = config_of("\"kernel_size\": [9223372036854775807, 1]");
    assert_true(cfg.kernel_size.h == INT64_MAX);

    static const char *const names[] = {"kernel_size", "strides", "dilation_rate",
                                        "output_padding"};
    static const char *const wrong[] = {"2.0",
                                        "[2]",
                                        "[2, 2, 2]",
                                        "\"3\"",
                                        "\"33\"",
                                        "[1, \"3\"]",
                                        "[1, 2.5]",
                                        "[2.0, 2.0]",
                                        "{}",
                                        "[1, null]",
                                        "[[1], [2]]",
                                        "-1",
                                        "{\"1\": 1, \"2\": 2}",
                                        "[1, -1]"};
    for (size_t n = 0; n < 4; n++) {
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            char more[128], part[128];
            snprintf(more, sizeof more, "\"%s\": %s", names[n], wrong[i]);
            snprintf(part, sizeof part, "must be a tuple of 2 integers. Received %s=%s", names[n],
                     wrong[i]);
            refused(more, names[n], part);
        }
    }
    refused("\"strides\": 0", "strides",
            "Received strides=0, including values that do not satisfy `value > 0`");
    refused("\"strides\": null", "strides", "strides=null");
    refused("\"kernel_size\": [0, 1]", "kernel_size", "`value > 0`");
    refused("\"output_padding\": -1", "output_padding", "`value >= 0`");
}

static void filters_are_a_positive_integer(void **state)
{
    (void)state;
    assert_int_equal(config_of("\"filters\": true").filters, 1);
    refused("\"filters\": 0", "filters", "Expected a strictly positive value. Received filters=0");
    refused("\"filters\": -3", "filters", "filters=-3");
    refused("\"filters\": false", "filters", "filters=false");
    refused("\"filters\": -2.5", "filters", "strictly positive value. Received filters=-2.5");
    refused("\"filters\": 2.0", "filters", "must be an integer, got 2.0");
    refused("\"filters\": null", "filters", "Received filters=null");
    refused("\"filters\": \"3\"", "filters", "got \"3\"");
    check_refused("{}", CONVT_INVALID_ARGUMENT, "filters", "missing");
    check_refused("{\"filters\": 3}", CONVT_INVALID_ARGUMENT, "kernel_size", "missing");
    check_refused("{\"kernel_size\": 3}", CONVT_INVALID_ARGUMENT, "filters", "missing");
}

static void words_are_those_of_keras(void **state)
{
    (void)state;
    assert_int_equal(config_of("\"padding\": \"SaMe\"").padding, CONVT_SAME);
    assert_int_equal(config_of("\"padding\": \"valid\"").padding, CONVT_VALID);
    refused("\"padding\": \"causal\"", "padding", "got \"causal\"");
    refused("\"padding\": null", "padding", "got null");
    refused("\"padding\": [\"same\"]", "padding", "got [\"same\"]");
    assert_int_equal(config_of("\"data_format\": \"Channels_First\"").data_format,
                     CONVT_CHANNELS_FIRST);
    assert_int_equal(config_of("\"data_format\": null").data_format, CONVT_CHANNELS_LAST);
    refused("\"data_format\": \"nchw\"", "data_format", "got \"nchw\"");
    refused("\"data_format\": 3", "data_format", "got 3");
    assert_true(config_of("\"use_bias\": false").no_bias);
    assert_true(config_of("\"use_bias\": null").no_bias);
    assert_true(config_of("\"use_bias\": 0").no_bias);
    assert_true(config_of("\"use_bias\": []").no_bias);
    assert_true(config_of("\"use_bias\": \"\"").no_bias);
    assert_false(config_of("\"use_bias\": \"no\"").no_bias); /* Python's truth */
    assert_false(config_of("\"use_bias\": 1.5").no_bias);
    assert_true(config_of("\"trainable\": false").frozen);
    assert_false(config_of("\"trainable\": true").frozen);
    refused("\"trainable\": 0", "trainable", "to be a boolean. Received: trainable=0");
    refused("\"trainable\": null", "trainable", "trainable=null");
    config_of("\"autocast\": false, \"input_dim\": 3");
    config_of("\"input_dim\": null, \"input_shape\": [1, 1, 1]");
    refused("\"input_dim\": 3, \"input_shape\": [1, 1, 1]", "input_shape", "Unrecognized");
}

static void dtypes_are_float32_and_float64(void **state)
{
    (void)state;
    assert_int_equal(config_of("\"dtype\": \"float64\"").dtype, CONVT_FLOAT64);
    assert_int_equal(config_of("\"dtype\": \"float32\"").dtype, CONVT_FLOAT32);
    assert_int_equal(config_of("\"dtype\": null").dtype, CONVT_FLOAT32);
    assert_int_equal(
        config_of(
            "\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {\"name\": \"float64\"}}")
            .dtype,
        CONVT_FLOAT64);
    assert_int_equal(config_of("\"dtype\": {\"module\": \"keras\", \"class_name\": "
                               "\"DTypePolicy\", \"config\": {\"name\": "
                               "\"float64\"}, \"registered_name\": null, \"shared_object_id\": 3}")
                         .dtype,
                     CONVT_FLOAT64);
    assert_int_equal(
        config_of("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {}}").dtype,
        CONVT_FLOAT32);
    refused("\"dtype\": \"float16\"", "dtype", "must be float32 or float64, got \"float16\"");
    refused("\"dtype\": \"Float32\"", "dtype", "got \"Float32\"");
    refused("\"dtype\": \"mixed_float16\"", "dtype", "got \"mixed_float16\"");
    refused("\"dtype\": 3", "dtype", "got 3");
    assert_int_equal(
        config_of("\"dtype\": {\"class_name\": \"FloatDTypePolicy\", \"config\": {\"name\": "
                  "\"float64\"}, \"module\": \"any\", \"registered_name\": \"other\"}")
            .dtype,
        CONVT_FLOAT64);
    refused("\"dtype\": {\"class_name\": \"Policy\", \"config\": {\"name\": \"float64\"}}", "dtype",
            "a DTypePolicy of that name");
    refused("\"dtype\": {\"class_name\": \"QuantizedDTypePolicy\", \"config\": {\"mode\": "
            "\"int8\"}}",
            "dtype", "Quantized");
    refused("\"dtype\": {}", "dtype", "got {}");
    refused("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": \"float64\"}", "dtype",
            "DTypePolicy");
    refused("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {}, \"module\": null}",
            "dtype", "null");
    refused("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {\"name\": \"float64\", "
            "\"foo\": 1}}",
            "dtype.foo", "passed to DTypePolicy: {\"foo\": 1}");
    refused("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {\"name\": \"bfloat16\"}}",
            "dtype", "got \"bfloat16\", which is not supported");
}

static void unknown_keys_are_refused_by_name_and_value(void **state)
{
    (void)state;
    refused("\"foo\": 1", "foo",
            "Unrecognized keyword arguments passed to Conv2DTranspose: {\"foo\": 1}");
    refused("\"groups\": 1", "groups", "{\"groups\": 1}");
    refused("\"batch_input_shape\": [1, 2, 3, 4]", "batch_input_shape",
            "{\"batch_input_shape\": [1, 2, 3, 4]}");
    refused("\"new\\nline\": \"a\\nb\"", "new line", "Unrecognized");
}

/* ---- families -------------------------------------------------------------------------------- */

static void activations_come_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        convt_activation_kind kind;
    } cases[] = {
        {"null", CONVT_LINEAR},
        {"\"linear\"", CONVT_LINEAR},
        {"\"relu\"", CONVT_RELU},
        {"\"softplus\"", CONVT_SOFTPLUS},
        {"{\"module\": \"builtins\", \"class_name\": \"function\", \"config\": \"tanh\", "
         "\"registered_name\": \"function\"}",
         CONVT_TANH},
        {"{\"module\": \"keras.activations\", \"class_name\": \"sigmoid\", \"config\": null}",
         CONVT_SIGMOID},
        {"{\"module\": \"keras.activations\", \"class_name\": \"elu\", \"config\": {}}", CONVT_ELU},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Activation\", \"config\": "
         "{\"activation\": \"relu\", \"name\": \"a\"}}",
         CONVT_RELU},
        {"{\"module\": \"keras.activations\", \"class_name\": \"function\", \"config\": \"tanh\"}",
         CONVT_TANH},
        {"{\"module\": \"keras.activations\", \"class_name\": \"elu\", \"config\": {\"a\": 1}, "
         "\"registered_name\": \"elu\"}",
         CONVT_ELU},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Softmax\", \"config\": {\"name\": "
         "\"s\"}}",
         CONVT_SOFTMAX},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Softmax\", \"config\": {\"axis\": 3}}",
         CONVT_SOFTMAX},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Softmax\", \"config\": {\"axis\": "
         "[-1]}}",
         CONVT_SOFTMAX},
        {"{\"module\": \"keras.layers\", \"class_name\": \"Activation\", \"config\": "
         "{\"activation\": null}}",
         CONVT_LINEAR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char more[512];
        snprintf(more, sizeof more, "\"activation\": %s", cases[i].json);
        convt_activation a = config_of(more).activation;
        assert_int_equal(a.kind, cases[i].kind);
        assert_false(a.negative_slope.set || a.max_value.set || a.threshold.set || a.alpha.set);
    }
}

static convt_activation layer_activation(const char *class_name, const char *config)
{
    char more[512];
    snprintf(
        more, sizeof more,
        "\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"%s\", \"config\": {%s}}",
        class_name, config);
    return config_of(more).activation;
}

static void activation_layers_bring_their_arguments(void **state)
{
    (void)state;
    convt_activation a = layer_activation("LeakyReLU", "");
    assert_int_equal(a.kind, CONVT_LEAKY_RELU);
    assert_close(a.negative_slope.value, 0.3, 0,
                 0); /* the layer's default; the function's is 0.2 */
    assert_true(a.negative_slope.set);
    assert_close(layer_activation("LeakyReLU", "\"alpha\": 0.1").negative_slope.value, 0.1, 0, 0);
    a = layer_activation("ReLU", "\"max_value\": 6, \"negative_slope\": 0.5, \"threshold\": 1");
    assert_true(a.max_value.set && a.negative_slope.set && a.threshold.set);
    assert_close(a.max_value.value, 6, 0, 0);
    assert_close(a.negative_slope.value, 0.5, 0, 0);
    assert_close(a.threshold.value, 1, 0, 0);
    assert_false(layer_activation("ReLU", "\"max_value\": null").max_value.set);
    a = layer_activation("ReLU", "\"name\": \"r\", \"trainable\": true, \"dtype\": \"float64\", "
                                 "\"autocast\": false, \"activity_regularizer\": null");
    assert_int_equal(a.kind, CONVT_RELU);
    assert_true(a.negative_slope.set); /* a layer stays one when it is written */
    assert_close(a.negative_slope.value, 0, 0, 0);
    assert_false(a.max_value.set || a.threshold.set);
    assert_close(layer_activation("ELU", "").alpha.value, 1, 0, 0);
    assert_close(layer_activation("LeakyReLU", "\"alpha\": 0.1, \"negative_slope\": 0.7")
                     .negative_slope.value,
                 0.1, 0, 0);
    assert_close(layer_activation("ELU", "\"alpha\": -2").alpha.value, -2, 0, 0);
}

static void other_activations_are_refused(void **state)
{
    (void)state;
    const char *unknown = "Could not interpret activation function identifier: ";
    refused("\"activation\": \"foo\"", "activation",
            "Could not interpret activation function identifier: \"foo\"");
    refused("\"activation\": \"ReLU\"", "activation", unknown);
    refused("\"activation\": \"\"", "activation", unknown);
    refused("\"activation\": 3", "activation", unknown);
    refused("\"activation\": {}", "activation", unknown);
    refused("\"activation\": [\"relu\"]", "activation", unknown);
    refused("\"activation\": {\"class_name\": \"ReLU\", \"config\": {}}", "activation", unknown);
    refused("\"activation\": {\"class_name\": \"relu\", \"config\": {}}", "activation", unknown);
    refused("\"activation\": {\"module\": \"keras.activations\", \"class_name\": \"relu\"}",
            "activation", unknown);
    refused("\"activation\": {\"module\": \"builtins\", \"class_name\": \"function\", \"config\": "
            "\"foo\"}",
            "activation", unknown);
    refused(
        "\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"PReLU\", \"config\": {}}",
        "activation", "others are not supported, got");
    static const char *const objects[] = {
        /* a function goes by the name it was defined with, in its module */
        "{\"module\": \"foo\", \"class_name\": \"function\", \"config\": \"relu\"}",
        "{\"module\": null, \"class_name\": \"function\", \"config\": \"relu\"}",
        "{\"class_name\": \"function\", \"config\": \"relu\"}",
        "{\"module\": \"builtins\", \"class_name\": \"function\", \"config\": \"hard_swish\"}",
        "{\"module\": \"keras\", \"class_name\": \"ReLU\", \"config\": {}}",
        "{\"module\": \"keras.layers\", \"class_name\": \"ReLU\"}",
        "{\"module\": \"keras.activations\", \"class_name\": \"ReLU\", \"config\": {}}",
    };
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        char more[256];
        snprintf(more, sizeof more, "\"activation\": %s", objects[i]);
        refused(more, "activation", unknown);
    }
    refused("\"activation\": {\"module\": \"keras.activations\", \"class_name\": \"relu\", "
            "\"config\": \"x\"}",
            "activation", "Expected 'config' to be a dict for relu, instead got \"x\"");
    refused(
        "\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": {}, "
        "\"registered_name\": \"x\"}",
        "activation", "registered_name must be null for ReLU");
    refused("\"activation\": {\"module\": \"builtins\", \"class_name\": \"function\", \"config\": "
            "\"relu\", \"registered_name\": \"x\"}",
            "activation", "registered_name must be null for relu");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"Activation\", "
            "\"config\": {}}",
            "activation.activation", "missing: Activation needs it");
    refused(
        "\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"Softmax\", \"config\": "
        "{\"axis\": 1}}",
        "activation.axis", "must be -1 or 3: other axes are not supported, got 1");
    refused(
        "\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"Softmax\", \"config\": "
        "{\"axis\": [1, 2]}}",
        "activation.axis", "must be -1 or 3: other axes are not supported, got [1, 2]");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": "
            "{\"activity_regularizer\": \"l2\"}}",
            "activation.activity_regularizer",
            "must be null: the regularizer of an activation is not supported, got \"l2\"");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": "
            "{\"max_value\": -1}}",
            "activation.max_value", "must be a number of 0 or more, got -1");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": "
            "{\"threshold\": null}}",
            "activation.threshold", "must be a number of 0 or more, got null");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"LeakyReLU\", "
            "\"config\": {\"negative_slope\": -1}}",
            "activation.negative_slope", "got -1");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ELU\", \"config\": "
            "{\"foo\": 1}}",
            "activation.foo", "Unrecognized keyword arguments passed to ELU: {\"foo\": 1}");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"Activation\", "
            "\"config\": {\"activation\": \"foo\"}}",
            "activation.activation", unknown);
}

static void initializers_come_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(config_of("\"kernel_initializer\": \"he_normal\"").kernel_initializer.kind,
                     CONVT_HE_NORMAL);
    assert_int_equal(config_of("\"kernel_initializer\": \"HeNormal\"").kernel_initializer.kind,
                     CONVT_HE_NORMAL);
    assert_int_equal(config_of("\"kernel_initializer\": \"normal\"").kernel_initializer.kind,
                     CONVT_RANDOM_NORMAL);
    assert_int_equal(config_of("\"bias_initializer\": \"one\"").bias_initializer.kind, CONVT_ONES);
    assert_int_equal(config_of("\"bias_initializer\": null").bias_initializer.kind,
                     CONVT_GLOROT_UNIFORM);
    convt_initializer init = config_of("\"kernel_initializer\": {\"class_name\": "
                                       "\"VarianceScaling\", \"config\": {\"scale\": 2, \"mode\": "
                                       "\"fan_avg\", \"distribution\": \"Uniform\", \"seed\": 5}}")
                                 .kernel_initializer;
    assert_int_equal(init.kind, CONVT_VARIANCE_SCALING);
    assert_close(init.scale.value, 2, 0, 0);
    assert_int_equal(init.mode, CONVT_FAN_AVG);
    assert_int_equal(init.distribution, CONVT_UNIFORM_DISTRIBUTION);
    assert_true(init.seed.set);
    assert_close(init.seed.value, 5, 0, 0);
    init = config_of("\"kernel_initializer\": {\"module\": \"keras.initializers\", \"class_name\": "
                     "\"RandomNormal\", \"config\": "
                     "{\"mean\": 1, \"stddev\": 0.5, \"seed\": null}, \"registered_name\": null}")
               .kernel_initializer;
    assert_close(init.mean.value, 1, 0, 0);
    assert_close(init.stddev.value, 0.5, 0, 0);
    assert_false(init.seed.set);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"random_uniform\", \"config\": "
                     "{\"minval\": -1, \"maxval\": 1}}")
               .kernel_initializer;
    assert_true(init.minval.set && init.maxval.set);
    init = config_of(
               "\"bias_initializer\": {\"class_name\": \"Constant\", \"config\": {\"value\": 0.5}}")
               .bias_initializer;
    assert_close(init.value.value, 0.5, 0, 0);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"HeNormal\", \"config\": "
                     "{\"seed\": {\"module\": \"keras.random\", "
                     "\"class_name\": \"SeedGenerator\", \"config\": {\"seed\": 3, \"name\": "
                     "\"g\"}}, \"input_axes\": null}}")
               .kernel_initializer;
    assert_close(init.seed.value, 3, 0, 0);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"HeNormal\", \"config\": "
                     "{\"input_axes\": [3, -4, 3], \"output_axes\": []}}")
               .kernel_initializer;
    assert_true(init.input_axes.count == 3 && init.input_axes.axis[1] == -4);
    assert_int_equal(init.output_axes.count, CONVT_NO_AXES);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"Orthogonal\", \"config\": "
                     "{\"gain\": -2, \"seed\": 4}}")
               .kernel_initializer;
    assert_int_equal(init.kind, CONVT_ORTHOGONAL);
    assert_close(init.gain.value, -2, 0, 0);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"RandomNormal\", \"config\": "
                     "{\"stddev\": -1}}")
               .kernel_initializer;
    assert_close(init.stddev.value, -1, 0, 0);
    init = config_of("\"kernel_initializer\": {\"class_name\": \"constant\", \"config\": "
                     "{\"value\": true, \"foo\": 1}}")
               .kernel_initializer; /* Keras looks at nothing but value */
    assert_close(init.value.value, 1, 0, 0);
    config_of("\"bias_initializer\": {\"module\": \"any\", \"class_name\": \"ones\", "
              "\"registered_name\": \"other\", \"shared_object_id\": 3}");
    config_of("\"kernel_initializer\": {\"class_name\": \"Zeros\"}");
    config_of("\"kernel_initializer\": {\"class_name\": \"Zeros\", \"config\": null}");
    assert_int_equal(config_of("\"kernel_initializer\": {\"class_name\": \"VarianceScaling\", "
                               "\"config\": {\"distribution\": \"normal\"}}")
                         .kernel_initializer.distribution,
                     CONVT_TRUNCATED_NORMAL_DISTRIBUTION);
}

static void refused_initializer(const char *class_name, const char *config, const char *field,
                                const char *part)
{
    char more[256], place[64];
    snprintf(more, sizeof more, "\"kernel_initializer\": {\"class_name\": \"%s\", \"config\": %s}",
             class_name, config);
    snprintf(place, sizeof place, "kernel_initializer%s%s", field[0] ? "." : "", field);
    refused(more, place, part);
}

static void other_initializers_are_refused(void **state)
{
    (void)state;
    refused("\"kernel_initializer\": \"foo\"", "kernel_initializer",
            "Could not interpret initializer identifier: \"foo\"");
    refused("\"kernel_initializer\": \"henormal\"", "kernel_initializer", "Could not interpret");
    refused("\"kernel_initializer\": 3", "kernel_initializer", "identifier: 3");
    refused("\"kernel_initializer\": {}", "kernel_initializer", "Could not interpret");
    refused("\"kernel_initializer\": {\"class_name\": 3}", "kernel_initializer",
            "Could not interpret");
    refused_initializer("L2", "{}", "", "Could not interpret");
    refused_initializer("HeNormal", "[]", "",
                        "Expected 'config' to be a dict for HeNormal, instead got []");
    refused_initializer("HeNormal", "{\"foo\": 3}", "foo", "passed to HeNormal: {\"foo\": 3}");
    refused_initializer("HeNormal", "{\"scale\": 3}", "scale", "passed to HeNormal");
    refused_initializer("Zeros", "{\"seed\": 1}", "seed", "passed to Zeros");
    refused_initializer("RandomNormal", "{\"input_axes\": null}", "input_axes",
                        "passed to RandomNormal");
    refused_initializer("RandomNormal", "{\"mean\": \"a\"}", "mean", "must be a number, got \"a\"");
    refused_initializer("RandomNormal", "{\"mean\": null}", "mean", "got null");
    refused("\"kernel_initializer\": \"constant\"", "kernel_initializer.value",
            "missing: constant needs it");
    refused_initializer("Constant", "{\"foo\": 1}", "value", "missing: Constant needs it");
    refused("\"kernel_initializer\": {\"module\": null, \"class_name\": \"Zeros\", \"config\": {}}",
            "kernel_initializer", "Could not interpret");
    refused_initializer("VarianceScaling", "{\"scale\": 0}", "scale", "positive float, got 0");
    refused_initializer("VarianceScaling", "{\"scale\": null}", "scale", "got null");
    refused_initializer("Identity", "{}", "", "can only be used for 2D matrices, got");
    refused("\"bias_initializer\": \"stft\"", "bias_initializer", "3 sizes, got \"stft\"");
    refused("\"bias_initializer\": \"initializer\"", "bias_initializer", "base class");
    refused_initializer("HeNormal", "{\"input_axes\": 3}", "input_axes", "got 3");
    refused_initializer("HeNormal", "{\"input_axes\": [1.0]}", "input_axes", "got [1.0]");
    refused_initializer("HeNormal", "{\"input_axes\": [0, 0, 0, 0, 0]}", "input_axes", "at most 4");
    refused_initializer("HeNormal", "{\"input_axes\": [99999999999]}", "input_axes", "99999999999");
    refused_initializer("Orthogonal", "{\"input_axes\": null}", "input_axes",
                        "passed to Orthogonal");
    refused_initializer("Orthogonal", "{\"gain\": null}", "gain", "must be a number, got null");
    refused_initializer("Constant", "{\"value\": [1, 2]}", "value", "must be a number, got [1, 2]");
    refused_initializer("VarianceScaling", "{\"mode\": \"FAN_OUT\"}", "mode", "got \"FAN_OUT\"");
    refused_initializer("VarianceScaling", "{\"distribution\": \"cauchy\"}", "distribution",
                        "got \"cauchy\"");
    refused_initializer("HeNormal", "{\"seed\": 3.5}", "seed", "got 3.5");
    refused_initializer("HeNormal", "{\"seed\": -3}", "seed", "got -3");
    refused_initializer("HeNormal", "{\"seed\": 4294967296}", "seed", "got 4294967296");
    refused_initializer("HeNormal", "{\"seed\": {}}", "seed", "a SeedGenerator, got {}");
    refused_initializer("HeNormal",
                        "{\"seed\": {\"class_name\": \"SeedGenerator\", \"config\": {}}}", "seed",
                        "or a SeedGenerator, got"); /* without a module Keras does not find it */
    refused_initializer("HeNormal",
                        "{\"seed\": {\"module\": \"keras.random\", \"class_name\": "
                        "\"SeedGenerator\", \"config\": {\"foo\": 1}}}",
                        "seed.foo", "passed to SeedGenerator");
    refused_initializer("HeNormal",
                        "{\"seed\": {\"module\": \"keras.random\", \"class_name\": "
                        "\"SeedGenerator\", \"config\": {\"seed\": -1}}}",
                        "seed", "from 0 to 4294967295");
}

static void regularizers_come_in_every_form(void **state)
{
    (void)state;
    convt_config cfg = config_of("\"kernel_regularizer\": \"l2\", \"bias_regularizer\": "
                                 "{\"class_name\": \"L1L2\", \"config\": {\"l1\": "
                                 "0.1, \"l2\": null}}, \"activity_regularizer\": {\"module\": "
                                 "\"keras.regularizers\", \"class_name\": "
                                 "\"L2\", \"config\": {\"l2\": 0.3}, \"registered_name\": null}");
    assert_int_equal(cfg.kernel_regularizer.kind, CONVT_L2);
    assert_false(cfg.kernel_regularizer.l2.set);
    assert_int_equal(cfg.bias_regularizer.kind, CONVT_L1L2);
    assert_close(cfg.bias_regularizer.l1.value, 0.1, 0, 0);
    assert_false(cfg.bias_regularizer.l2.set);
    assert_close(cfg.activity_regularizer.l2.value, 0.3, 0, 0);
    assert_int_equal(config_of("\"kernel_regularizer\": null").kernel_regularizer.kind,
                     CONVT_NO_REGULARIZER);
    cfg = config_of("\"kernel_regularizer\": {\"class_name\": \"L1\", \"config\": {\"l1\": 0.1}}");
    assert_close(cfg.kernel_regularizer.l1.value, 0.1, 0, 0); /* whatever Keras' floatx is */
    cfg = config_of("\"bias_regularizer\": \"l1\"");
    assert_false(cfg.bias_regularizer.l1.set);
    refused("\"kernel_regularizer\": \"orthogonal_regularizer\"", "kernel_regularizer",
            "must have rank 2, got \"orthogonal_regularizer\"");
    refused("\"kernel_regularizer\": \"regularizer\"", "kernel_regularizer", "base class");
    refused("\"kernel_regularizer\": \"l1_l2\"", "kernel_regularizer",
            "Could not interpret regularizer identifier: \"l1_l2\"");
    refused("\"kernel_regularizer\": 0.1", "kernel_regularizer", "identifier: 0.1");
    refused("\"bias_regularizer\": {\"class_name\": \"L1\", \"config\": {\"l1\": -1}}",
            "bias_regularizer.l1", "must be a non-negative float, got -1");
    refused("\"bias_regularizer\": {\"class_name\": \"L2\", \"config\": {\"l1\": 1}}",
            "bias_regularizer.l1", "passed to L2");
    refused("\"bias_regularizer\": {\"class_name\": \"L2\", \"config\": {\"l2\": \"x\"}}",
            "bias_regularizer.l2", "got \"x\"");
}

static void constraints_come_in_every_form(void **state)
{
    (void)state;
    convt_config cfg = config_of("\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": "
                                 "{\"max_value\": 3, \"axis\": [0, 1, -1]}}, "
                                 "\"bias_constraint\": \"non_neg\"");
    assert_int_equal(cfg.kernel_constraint.kind, CONVT_MAX_NORM);
    assert_close(cfg.kernel_constraint.max_value.value, 3, 0, 0);
    assert_int_equal(cfg.kernel_constraint.axis.count, 3);
    assert_int_equal(cfg.kernel_constraint.axis.axis[2], -1);
    assert_int_equal(cfg.bias_constraint.kind, CONVT_NON_NEG);
    cfg = config_of("\"kernel_constraint\": {\"class_name\": \"min_max_norm\", \"config\": "
                    "{\"min_value\": 0.5, \"max_value\": 2, "
                    "\"rate\": 0.5, \"axis\": null}}, \"bias_constraint\": {\"class_name\": "
                    "\"UnitNorm\", \"config\": {\"axis\": 0}}");
    assert_close(cfg.kernel_constraint.min_value.value, 0.5, 0, 0);
    assert_close(cfg.kernel_constraint.rate.value, 0.5, 0, 0);
    assert_int_equal(cfg.kernel_constraint.axis.count, CONVT_ALL_AXES);
    assert_int_equal(cfg.bias_constraint.axis.count, 1);
    cfg = config_of("\"kernel_constraint\": {\"class_name\": \"MinMaxNorm\", \"config\": "
                    "{\"min_value\": null, \"max_value\": null, \"axis\": []}}");
    assert_close(cfg.kernel_constraint.min_value.value, -HUGE_VAL, 0, 0);
    assert_close(cfg.kernel_constraint.max_value.value, HUGE_VAL, 0, 0);
    assert_int_equal(cfg.kernel_constraint.axis.count, CONVT_NO_AXES);
    refused("\"kernel_constraint\": \"constraint\"", "kernel_constraint",
            "base class and has no effect: use null");
    refused("\"kernel_constraint\": \"maxnorm\"", "kernel_constraint",
            "Could not interpret constraint identifier: \"maxnorm\"");
    refused("\"kernel_constraint\": {\"class_name\": \"NonNeg\", \"config\": {\"axis\": 0}}",
            "kernel_constraint.axis", "passed to NonNeg");
    refused(
        "\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": [0, 1.0]}}",
        "kernel_constraint.axis", "got [0, 1.0]");
    refused("\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": [0, 1, 2, "
            "3, 0]}}",
            "kernel_constraint.axis", "got");
    refused("\"kernel_constraint\": {\"class_name\": \"MinMaxNorm\", \"config\": {\"rate\": null}}",
            "kernel_constraint.rate", "got null");
    refused(
        "\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"max_value\": \"1\"}}",
        "kernel_constraint.max_value", "must be a number, got \"1\"");
}

/* ---- beyond Keras ---------------------------------------------------------------------------- */

static void what_keras_has_no_words_for(void **state)
{
    (void)state;
    convt_config cfg = config_of(
        "\"strides\": 2, \"dilation_rate\": 3, \"output_padding\": 2, \"activation\": \"elu\", "
        "\"convt\": {\"strides_with_dilation\": true, \"explicit_padding\": [[1, 2], [3, 0]], "
        "\"activation_arguments\": {\"alpha\": 0.5}}");
    assert_true(cfg.strides_with_dilation);
    assert_true(cfg.explicit_padding.set && cfg.explicit_padding.top == 1 &&
                cfg.explicit_padding.bottom == 2 && cfg.explicit_padding.left == 3 &&
                cfg.explicit_padding.right == 0);
    assert_close(cfg.activation.alpha.value, 0.5, 0, 0);
    cfg = config_of("\"activation\": \"relu\", \"convt\": {\"activation_arguments\": "
                    "{\"max_value\": null, \"threshold\": -1}}");
    assert_close(cfg.activation.max_value.value, HUGE_VAL, 0, 0);
    assert_close(cfg.activation.threshold.value, -1, 0, 0);
    cfg = config_of("\"convt\": {\"explicit_padding\": null}");
    assert_false(cfg.explicit_padding.set || cfg.strides_with_dilation);

    refused("\"convt\": 3", "convt", "must be an object, got 3");
    refused("\"convt\": null", "convt", "must be an object, got null");
    refused("\"convt\": {\"foo\": 1}", "convt.foo", "passed to convt: {\"foo\": 1}");
    refused("\"convt\": {\"strides_with_dilation\": 1}", "convt.strides_with_dilation",
            "must be true or false, got 1");
    static const char *const sides[] = {
        "1", "[1, 1]", "[[1, 1]]", "[[1], [1]]", "[[1, -1], [0, 0]]", "[[1, 1], [0, 0.5]]"};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        char more[128];
        snprintf(more, sizeof more, "\"convt\": {\"explicit_padding\": %s}", sides[i]);
        refused(more, "convt.explicit_padding", "[[top, bottom], [left, right]]");
    }
    refused("\"convt\": {\"activation_arguments\": []}", "convt.activation_arguments",
            "an object with numbers, got []");
    refused("\"activation\": \"tanh\", \"convt\": {\"activation_arguments\": {\"alpha\": 1}}",
            "convt.activation_arguments.alpha", "passed to tanh: {\"alpha\": 1}");
    refused("\"activation\": \"elu\", \"convt\": {\"activation_arguments\": {\"alpha\": null}}",
            "convt.activation_arguments.alpha", "must be a number, got null");
    refused("\"strides\": [2, 1], \"dilation_rate\": [1, 2], \"convt\": {}", "strides",
            "strides=(2, 1) and dilation_rate=(1, 2)");
}

/* ---- the order of refusals ------------------------------------------------------------------- */

/* Errors as Keras meets them: those of the constructor, then those of build and call. */
static const struct fault {
    const char *json, *field;
    bool later;
} faults[] = {
    {"\"dtype\": {}", "dtype", false},
    {"\"name\": \"a/b\"", "name", false},
    {"\"dtype\": \"foo\"", "dtype", false},
    {"\"activity_regularizer\": \"foo\"", "activity_regularizer", false},
    {"\"groups\": 1", "groups", false},
    {"\"trainable\": 3", "trainable", false},
    {"\"kernel_size\": 0", "kernel_size", false},
    {"\"strides\": [2, -1]", "strides", false},
    {"\"dilation_rate\": 0", "dilation_rate", false},
    {"\"padding\": \"causal\"", "padding", false},
    {"\"output_padding\": -1", "output_padding", false},
    {"\"data_format\": \"x\"", "data_format", false},
    {"\"activation\": \"foo\"", "activation", false},
    {"\"kernel_initializer\": \"foo\"", "kernel_initializer", false},
    {"\"kernel_initializer\": {\"class_name\": \"HeNormal\", \"config\": {\"foo\": 1, \"seed\": "
     "0.5}}",
     "kernel_initializer.foo", false},
    {"\"kernel_initializer\": {\"class_name\": \"VarianceScaling\", \"config\": {\"seed\": 0.5, "
     "\"mode\": \"x\", \"scale\": 0}}",
     "kernel_initializer.scale", false},
    {"\"bias_initializer\": \"foo\"", "bias_initializer", false},
    {"\"kernel_regularizer\": \"foo\"", "kernel_regularizer", false},
    {"\"bias_regularizer\": \"foo\"", "bias_regularizer", false},
    {"\"kernel_constraint\": \"foo\"", "kernel_constraint", false},
    {"\"bias_constraint\": \"foo\"", "bias_constraint", false},
    {"\"filters\": 0", "filters", false},
    {"\"output_padding\": 3", "output_padding", false},
    {"\"strides\": [4, 1], \"dilation_rate\": [1, 2]", "strides", false},
    {"\"kernel_size\": [1.0, 1]", "kernel_size", true},
    {"\"strides\": [1.5, 1.5]", "strides", true},
    {"\"padding\": [\"same\"]", "padding", true},
    {"\"kernel_initializer\": \"identity\"", "kernel_initializer", true},
    {"\"bias_initializer\": {\"class_name\": \"RandomNormal\", \"config\": {\"mean\": null}}",
     "bias_initializer.mean", true},
    {"\"bias_constraint\": {\"class_name\": \"UnitNorm\", \"config\": {\"axis\": \"a\"}}",
     "bias_constraint.axis", true},
    {"\"filters\": null", "filters", true},
    {"\"dtype\": \"mixed_float16\"", "dtype", true},
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* The keys of two faults are different ones, so that both can stand in one config. */
static bool differ(const struct fault *a, const struct fault *b)
{
    char text[512];
    snprintf(text, sizeof text, "{%s, %s}", a->json, b->json);
    json_t *both = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_decref(both);
    return both != NULL;
}

/* Of two errors the constructor's comes first, and of two of the constructor the one it meets
 * first, in whatever order the keys stand. */
static void refusals_come_in_the_order_of_keras(void **state)
{
    (void)state;
    int pairs = 0;
    for (int i = 0; i < FAULTS; i++)
        for (int j = i + 1; j < FAULTS; j++) {
            if (!differ(&faults[i], &faults[j]) || (faults[i].later && faults[j].later)) continue;
            char more[512];
            snprintf(more, sizeof more, "%s, %s", faults[i].json, faults[j].json);
            refused(more, faults[i].field, "");
            snprintf(more, sizeof more, "%s, %s", faults[j].json, faults[i].json);
            refused(more, faults[i].field, "");
            pairs++;
        }
    assert_true(pairs > 300);
    check_refused("{\"name\": 3, \"kernel_size\": 0}", CONVT_INVALID_ARGUMENT, "filters",
                  "missing");
    check_refused("{\"dtype\": {}, \"filters\": 0}", CONVT_INVALID_ARGUMENT, "dtype", "");
}

/* ---- models ---------------------------------------------------------------------------------- */

static const char wrapped[] = "{\"module\": \"keras.layers\", \"class_name\": \"Conv2DTranspose\", "
                              "\"config\": {\"filters\": 2, "
                              "\"kernel_size\": 2}, \"registered_name\": null, \"build_config\": "
                              "{\"input_shape\": [null, 3, 4, 5]}}";

static void wrappings_are_taken_off(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "%s",
        "[%s]",
        "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [%s]}}",
        "{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": {\"layers\": [%s]}}",
        "{\"class_name\": \"Sequential\", \"config\": [%s]}",
        "{\"name\": \"s\", \"layers\": [%s]}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char json[1024];
        snprintf(json, sizeof json, forms[i], wrapped);
        convt_spec spec = parse_ok(json);
        assert_int_equal(spec.count, 1);
        assert_int_equal(spec.layers[0].filters, 2);
        assert_true(spec.layers[0].input.h == 3 && spec.layers[0].input.w == 4 &&
                    spec.layers[0].input.c == 5);
        convt_spec_free(&spec);
    }
}

static void shapes_come_from_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        convt_shape input;
    } cases[] = {
        {"{\"filters\": 1, \"kernel_size\": 1, \"input_shape\": [3, 4, 5]}", {3, 4, 5}},
        {"{\"filters\": 1, \"kernel_size\": 1, \"input_shape\": [5, 3, 4], \"data_format\": "
         "\"channels_first\"}",
         {3, 4, 5}},
        {"[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 3, 4, 5]}}, "
         "{\"filters\": 1, \"kernel_size\": 1}]",
         {3, 4, 5}},
        {"[{\"class_name\": \"InputLayer\", \"config\": {\"shape\": [3, 4, 5]}}, {\"filters\": 1, "
         "\"kernel_size\": 1}]",
         {3, 4, 5}},
        {"[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [8, null, null, 5]}}, "
         "{\"filters\": 1, \"kernel_size\": 1}]",
         {0, 0, 5}},
        {"{\"layers\": [{\"filters\": 1, \"kernel_size\": 1}], \"build_input_shape\": [null, 3, 4, "
         "5]}",
         {3, 4, 5}},
        /* what speaks first counts, what it leaves open the next one fills */
        {"[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 7, null, 5]}}, "
         "{\"filters\": 1, \"kernel_size\": 1, "
         "\"input_shape\": [3, 4, 5]}]",
         {7, 4, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        convt_spec spec = parse_ok(cases[i].json);
        assert_true(spec.layers[0].input.h == cases[i].input.h &&
                    spec.layers[0].input.w == cases[i].input.w &&
                    spec.layers[0].input.c == cases[i].input.c);
        convt_spec_free(&spec);
    }
    convt_spec spec = parse_ok("[{\"filters\": 1, \"kernel_size\": 1}, {\"filters\": 1, "
                               "\"kernel_size\": 1, \"input_shape\": [3, 4, 5]}]");
    assert_true(spec.layers[0].input.c == 0 && spec.layers[1].input.c == 0);
    convt_spec_free(&spec);
}

static void bad_shapes_are_refused(void **state)
{
    (void)state;
    refused("\"input_shape\": 3", "input_shape", "must be a shape of 3 sizes, got 3");
    refused("\"input_shape\": [3, 4]", "input_shape", "got [3, 4]");
    refused("\"input_shape\": [3, 0, 5]", "input_shape", "greater than 0 or null, got [3, 0, 5]");
    refused("\"input_shape\": [3, 4.5, 5]", "input_shape", "got [3, 4.5, 5]");
    refused("\"input_shape\": [3, 4, null]", "input_shape", "how many channels");
    check_refused("[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 3, 3]}}, "
                  "{\"filters\": 1, \"kernel_size\": 1}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].batch_shape", "must be a shape of 4 sizes");
    check_refused(
        "[{\"class_name\": \"InputLayer\", \"config\": {}}, {\"filters\": 1, \"kernel_size\": 1}]",
        CONVT_INVALID_ARGUMENT, "layers[0].batch_shape", "missing");
    check_refused("[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 3, 3, "
                  "2], \"shape\": [3, 3, 2]}}, {\"filters\": 1, \"kernel_size\": 1}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].shape",
                  "cannot be given together with batch_shape");
    check_refused("[{\"class_name\": \"InputLayer\", \"config\": {\"batch_input_shape\": [null, 3, "
                  "3, 2], \"batch_size\": 4}}, {\"filters\": 1, \"kernel_size\": 1}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].batch_size", "with batch_input_shape");
    check_refused("[{\"class_name\": \"InputLayer\"}, {\"filters\": 1, \"kernel_size\": 1}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].batch_shape", "missing");
    check_refused("[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 3, 3, "
                  "2]}}, {\"filters\": 1, \"kernel_size\": 1, "
                  "\"input_shape\": [3, 3, 4]}]",
                  CONVT_INVALID_ARGUMENT, "layers[1].input_shape",
                  "has 4 channels where the input has 2");
}

static void unnamed_layers_are_counted(void **state)
{
    (void)state;
    convt_spec spec = parse_ok("[{\"filters\": 1, \"kernel_size\": 1}, {\"filters\": 1, "
                               "\"kernel_size\": 1, \"name\": \"mine\"}, "
                               "{\"filters\": 1, \"kernel_size\": 1, \"name\": null}, "
                               "{\"filters\": 1, \"kernel_size\": 1}]");
    assert_int_equal(spec.count, 4);
    assert_string_equal(spec.layers[0].name, "conv2d_transpose");
    assert_string_equal(spec.layers[1].name, "mine");
    assert_string_equal(spec.layers[2].name, "conv2d_transpose_1");
    assert_string_equal(spec.layers[3].name, "conv2d_transpose_2");
    convt_spec_free(&spec);
    check_refused("[{\"filters\": 1, \"kernel_size\": 1, \"name\": \"a\"}, {\"filters\": 1, "
                  "\"kernel_size\": 1, \"name\": \"a\"}]",
                  CONVT_INVALID_ARGUMENT, "layers[1].name", "must be unique, got \"a\" again");
    check_refused("[{\"filters\": 1, \"kernel_size\": 1, \"name\": \"conv2d_transpose\"}, "
                  "{\"filters\": 1, \"kernel_size\": 1}]",
                  CONVT_INVALID_ARGUMENT, "layers[1].name", "must be unique");
    refused("\"name\": \"a/b\"", "name", "cannot contain character `/`. Received: name=\"a/b\"");
    refused("\"name\": 3", "name", "name=3");
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    check_refused("[]", CONVT_INVALID_ARGUMENT, "layers", "0 items");
    check_refused("[3]", CONVT_INVALID_ARGUMENT, "layers[0].class_name",
                  "must be Conv2DTranspose or another layer that can be computed exactly, got 3");
    check_refused("{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\"}}",
                  CONVT_INVALID_ARGUMENT, "layers", "missing");
    check_refused("{\"class_name\": \"Sequential\"}", CONVT_INVALID_ARGUMENT, "layers", "missing");
    check_refused("{\"class_name\": \"Functional\", \"config\": {}}", CONVT_INVALID_ARGUMENT,
                  "layers", "missing: a Functional needs its list of layers");
    check_refused("{\"class_name\": \"PReLU\", \"config\": {}}", CONVT_INVALID_ARGUMENT,
                  "class_name", "must be Sequential, Functional or a layer, got \"PReLU\"");
    check_refused("{\"class_name\": \"conv2d_transpose\", \"config\": {}}", CONVT_INVALID_ARGUMENT,
                  "class_name", "conv2d_transpose");
    check_refused("{\"class_name\": 3, \"config\": {}}", CONVT_INVALID_ARGUMENT, "class_name",
                  "got 3");
    check_refused("{\"module\": \"foo\", \"class_name\": \"Conv2DTranspose\", \"config\": {}}",
                  CONVT_INVALID_ARGUMENT, "module", "got \"foo\"");
    check_refused("{\"module\": \"keras\", \"class_name\": \"Conv2DTranspose\", \"config\": {}}",
                  CONVT_INVALID_ARGUMENT, "module", "must be keras.layers, got \"keras\"");
    check_refused("[{\"module\": null, \"class_name\": \"Conv2DTranspose\", \"config\": {}}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].module", "must be keras.layers, got null");
    check_refused("{\"module\": \"keras.layers\", \"class_name\": \"Sequential\", \"config\": {}}",
                  CONVT_INVALID_ARGUMENT, "module", "must be keras, got \"keras.layers\"");
    check_refused("{\"module\": \"keras.layers\", \"class_name\": \"Conv2DTranspose\", \"config\": "
                  "{\"filters\": 1, \"kernel_size\": 1}, \"registered_name\": \"x\"}",
                  CONVT_INVALID_ARGUMENT, "registered_name",
                  "must be null for Conv2DTranspose, which is built into Keras, got \"x\"");
    check_refused(
        "{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": {\"layers\": "
        "[]}, \"registered_name\": \"x\"}",
        CONVT_INVALID_ARGUMENT, "registered_name", "Sequential");
    check_refused("{\"class_name\": \"Conv2DTranspose\", \"config\": null}", CONVT_INVALID_ARGUMENT,
                  "config", "got null");
    check_refused("{\"class_name\": \"Conv2DTranspose\"}", CONVT_INVALID_ARGUMENT, "config",
                  "must be an object");
    check_refused("[{\"class_name\": \"PReLU\", \"config\": {}}]", CONVT_INVALID_ARGUMENT,
                  "layers[0].class_name", "got \"PReLU\"");
    check_refused("[{\"filters\": 1, \"kernel_size\": 1}, {\"class_name\": \"InputLayer\", "
                  "\"config\": {\"shape\": [1, 1, 1]}}]",
                  CONVT_INVALID_ARGUMENT, "layers[1].class_name", "must not be InputLayer");
    check_refused("[{\"filters\": 1, \"kernel_size\": 1}, {\"filters\": 1, \"kernel_size\": 0}]",
                  CONVT_INVALID_ARGUMENT, "layers[1].kernel_size", "`value > 0`");
    check_refused("[{\"filters\": 1, \"kernel_size\": 1, \"kernel_initializer\": {\"class_name\": "
                  "\"Zeros\", \"config\": {\"a\": 1}}}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].kernel_initializer.a", "passed to Zeros");
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "3",
                                        "\"a\"",
                                        "null",
                                        "{",
                                        "[1, ]",
                                        "{\"a\": NaN}",
                                        "{\"a\": 1}x",
                                        "{\"a\": \"\x01\"}",
                                        "{\"a\": \"\xFF\"}",
                                        "{\"a\": 99999999999999999999}",
                                        "{\"a\": 1e999}",
                                        "{'a': 1}",
                                        "{\"a\"\n:\n\n}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refused(texts[i], CONVT_BAD_FORMAT, "config", "is no JSON: ");
}

static void deep_nesting_ends_in_one_line(void **state)
{
    (void)state;
    enum { DEPTH = 10000 };
    static char json[8 * DEPTH];
    const size_t depth = DEPTH;
    memset(json, '[', depth);
    memset(json + depth, ']', depth);
    json[2 * depth] = '\0';
    check_refused(json, CONVT_BAD_FORMAT, "config", "depth");
    json[0] = '\0';
    char *at = json;
    for (int i = 0; i < DEPTH; i++) at += sprintf(at, "{\"a\":");
    check_refused(json, CONVT_BAD_FORMAT, "config", "depth");
}

/* A tree takes many times its text: what is too long is not even begun. */
static void long_text_is_refused(void **state)
{
    (void)state;
    enum { TOO_LONG = (4 << 20) + 1 };
    char *json = malloc(TOO_LONG + 1);
    assert_non_null(json);
    memset(json, ' ', TOO_LONG);
    json[TOO_LONG] = '\0';
    check_refused(json, CONVT_BAD_FORMAT, "config", "4194305 bytes of JSON, more than 4194304");
    free(json);
}

/* As deep as the parser lets through: activations within activations. */
static void nested_activations_are_followed(void **state)
{
    (void)state;
    enum { DEPTH = 1000 };
    static const char open[] =
        "{\"module\":\"keras.layers\",\"class_name\":\"Activation\",\"config\":{\"activation\":";
    char *json = malloc(DEPTH * (sizeof open + 2) + 100), *at = json;
    assert_non_null(json);
    at += sprintf(at, "{\"filters\":1,\"kernel_size\":1,\"activation\":");
    for (int i = 0; i < DEPTH; i++) at += sprintf(at, "%s", open);
    at += sprintf(at, "\"relu\"");
    for (int i = 0; i < DEPTH; i++) at += sprintf(at, "}}");
    sprintf(at, "}");
    convt_spec spec = parse_ok(json);
    assert_int_equal(spec.layers[0].activation.kind, CONVT_RELU);
    convt_spec_free(&spec);
    free(json);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    convt_spec spec;
    convt_error err;
    char json[sizeof wrapped];
    for (size_t cut = 0; cut < sizeof wrapped - 1; cut++) {
        memcpy(json, wrapped, cut);
        json[cut] = '\0';
        assert_int_equal(convt_spec_parse(json, &spec, &err), CONVT_BAD_FORMAT);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Equal values under equal keys in equal order; 2 and 2.0 are equal, as they are in Python. */
static void check_same_json(const json_t *a, const json_t *b, const char *where)
{
    if (json_is_number(a) && json_is_number(b)) {
        if (json_number_value(a) < json_number_value(b) ||
            json_number_value(a) > json_number_value(b))
            fail_msg("%s: %.17g is not %.17g", where, json_number_value(a), json_number_value(b));
        return;
    }
    if (json_typeof(a) != json_typeof(b)) fail_msg("%s: another type", where);
    if (json_is_object(a)) {
        void *at_a = json_object_iter((json_t *)(uintptr_t)a),
             *at_b = json_object_iter((json_t *)(uintptr_t)b);
        for (; at_a && at_b; at_a = json_object_iter_next((json_t *)(uintptr_t)a, at_a),
                             at_b = json_object_iter_next((json_t *)(uintptr_t)b, at_b)) {
            assert_string_equal(json_object_iter_key(at_a), json_object_iter_key(at_b));
            check_same_json(json_object_iter_value(at_a), json_object_iter_value(at_b),
                            json_object_iter_key(at_a));
        }
        assert_true(!at_a && !at_b);
    } else if (json_is_array(a)) {
        assert_int_equal(json_array_size(a), json_array_size(b));
        for (size_t i = 0; i < json_array_size(a); i++)
            check_same_json(json_array_get(a, i), json_array_get(b, i), where);
    } else if (!json_equal(a, b)) {
        fail_msg("%s: another value", where);
    }
}

static void check_round_trip(const char *path)
{
    convt_error err = {CONVT_OK, "", ""};
    char *keras, *ours;
    assert_int_equal(convt_file_read(path, &keras, NULL, &err), CONVT_OK);
    convt_spec spec = parse_ok(keras);
    if (convt_spec_write(spec.layers, spec.count, &ours, &err))
        fail_msg("%s: %s", err.field, err.message);
    json_t *a = json_loads(ours, 0, NULL), *b = json_loads(keras, 0, NULL);
    assert_non_null(a);
    assert_non_null(b);
    check_same_json(a, b, path);
    json_decref(a);
    json_decref(b);
    free(ours);
    free(keras);
    convt_spec_free(&spec);
}

static void what_keras_wrote_is_written_again(void **state)
{
    (void)state;
    check_round_trip(CONVT_SOURCE_DIR "/tests/data/keras_sequential.json");
    check_round_trip(CONVT_SOURCE_DIR "/tests/data/keras_channels_first.json");
}

static char *write_ok(const convt_config *layers, int count)
{
    char *json;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_write(layers, count, &json, &err)) fail_msg("%s: %s", err.field, err.message);
    return json;
}

static void defaults_are_written_out(void **state)
{
    (void)state;
    const convt_config layers[2] = {{.filters = 2, .kernel_size = {1, 1}},
                                    {.filters = 3, .kernel_size = {2, 2}}};
    char *json = write_ok(layers, 2);
    assert_non_null(strstr(json, "\"name\": \"conv2d_transpose\","));
    assert_non_null(strstr(json, "\"name\": \"conv2d_transpose_1\","));
    assert_non_null(strstr(json, "\"strides\": [1, 1],"));
    assert_non_null(strstr(json, "\"class_name\": \"GlorotUniform\""));
    assert_non_null(strstr(json, "\"class_name\": \"Zeros\""));
    assert_null(strstr(json, "InputLayer"));
    assert_null(strstr(json, "build_"));
    convt_spec spec = parse_ok(json);
    assert_int_equal(spec.count, 2);
    assert_string_equal(spec.layers[1].name, "conv2d_transpose_1");
    convt_spec_free(&spec);
    free(json);
}

static void numbers_are_short_and_exact_in_every_locale(void **state)
{
    (void)state;
    const double values[] = {0.1, 1e-5, 1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.125, 2};
    setlocale(LC_ALL, "de_DE.UTF-8"); /* a comma, where that locale is installed */
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        convt_config cfg = {.filters = 1,
                            .kernel_size = {1, 1},
                            .kernel_regularizer = {CONVT_L2, .l2 = CONVT_SET(values[i])}};
        char *json = write_ok(&cfg, 1);
        convt_spec spec = parse_ok(json);
        assert_close(spec.layers[0].kernel_regularizer.l2.value, values[i], 0, 0);
        if (i == 0) assert_non_null(strstr(json, "\"l2\": 0.1\n"));
        convt_spec_free(&spec);
        free(json);
    }
    setlocale(LC_ALL, "C");
}

static void names_are_escaped(void **state)
{
    (void)state;
    const convt_config cfg = {
        .name = "a \"quote\" \\ and\nline", .filters = 1, .kernel_size = {1, 1}};
    char *json = write_ok(&cfg, 1);
    convt_spec spec = parse_ok(json);
    assert_string_equal(spec.layers[0].name, cfg.name);
    convt_spec_free(&spec);
    free(json);
}

/* ---- there and back -------------------------------------------------------------------------- */

static int64_t pick(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(values_next(state) % (uint64_t)(high - low + 1));
}

static bool toss(uint64_t *state)
{
    return pick(state, 0, 1) == 1;
}

/* Half of the time unset; else a number of few digits, or an infinite one where that is allowed. */
static convt_optional pick_number(uint64_t *state, bool taken, double least, double infinity)
{
    if (!taken || toss(state)) return (convt_optional){false, 0};
    if (infinity != 0 && pick(state, 0, 3) == 0) return CONVT_SET(infinity);
    return CONVT_SET(least + (double)pick(state, 0, 4000) / 1000);
}

/* A kind of a family by its number among all names that are understood. */
static int pick_kind(uint64_t *state, convti_family family)
{
    int count = 0, kind = 0;
    while (convti_name_at(family, count, NULL)) count++;
    convti_name_at(family, (int)pick(state, 0, count - 1), &kind);
    return kind;
}

static convt_axes pick_axes(uint64_t *state, int rank)
{
    convt_axes axes = {.count = (int)pick(state, CONVT_NO_AXES, rank)};
    for (int i = 0; i < axes.count; i++) axes.axis[i] = toss(state) ? i : i - rank;
    return axes;
}

static convt_initializer pick_initializer(uint64_t *state, int rank)
{
    convt_initializer init = {.kind = CONVT_DEFAULT_INITIALIZER};
    if (pick(state, 0, 9) == 0) return init;
    do init.kind = (convt_initializer_kind)pick_kind(state, CONVTI_INITIALIZERS);
    while (convti_initializer_check(&(convt_initializer){.kind = init.kind}, rank, "", NULL));
    const convti_initializer_arguments *row = convti_initializer_arguments_of(init.kind);
    init.value = pick_number(state, row->value.set, -2, 0);
    init.mean = pick_number(state, row->mean.set, -2, 0);
    init.stddev = pick_number(state, row->stddev.set, -2, 0);
    init.minval = pick_number(state, row->minval.set, -2, 0);
    init.maxval = pick_number(state, row->maxval.set, -2, 0);
    init.scale = pick_number(state, row->scale.set, 0.1, 0);
    init.gain = pick_number(state, row->gain.set, -2, 0);
    if (row->axes) init.input_axes = pick_axes(state, rank);
    if (row->axes) init.output_axes = pick_axes(state, rank);
    if (row->mode) init.mode = (convt_fan_mode)pick(state, 0, CONVT_FAN_AVG);
    if (row->distribution)
        init.distribution = (convt_distribution)pick(state, 0, CONVT_UNIFORM_DISTRIBUTION);
    if (row->seed && toss(state)) init.seed = CONVT_SET(pick(state, 0, UINT32_MAX));
    return init;
}

static convt_regularizer pick_regularizer(uint64_t *state)
{
    convt_regularizer r = {.kind = CONVT_NO_REGULARIZER};
    if (toss(state)) return r;
    r.kind = (convt_regularizer_kind)pick_kind(state, CONVTI_REGULARIZERS);
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(r.kind);
    r.l1 = pick_number(state, row->l1.set, 0, 0);
    r.l2 = pick_number(state, row->l2.set, 0, 0);
    return r;
}

static convt_constraint pick_constraint(uint64_t *state, int rank)
{
    convt_constraint c = {.kind = CONVT_NO_CONSTRAINT};
    if (toss(state)) return c;
    c.kind = (convt_constraint_kind)pick_kind(state, CONVTI_CONSTRAINTS);
    const convti_constraint_arguments *row = convti_constraint_arguments_of(c.kind);
    c.max_value = pick_number(state, row->max_value.set, -1, HUGE_VAL);
    c.min_value = pick_number(state, row->min_value.set, -1, -HUGE_VAL);
    c.rate = pick_number(state, row->rate.set, -1, 0);
    if (row->axis) c.axis = pick_axes(state, rank);
    if (row->axis && pick(state, 0, 4) == 0) c.axis = (convt_axes){.count = CONVT_ALL_AXES};
    c.axis_list = c.axis.count > 1 || c.axis.count == CONVT_NO_AXES ||
                  (c.axis.count && toss(state));
    if (c.axis.count == CONVT_ALL_AXES) c.axis_list = false;
    return c;
}

static double argument_of(double value, convti_range range)
{
    if (range == CONVTI_LAST_AXIS) return value > 1 ? 3 : -1;
    return range == CONVTI_SWITCH ? value > 1 : value;
}

static convt_activation pick_activation(uint64_t *state)
{
    convt_activation a = {.kind = (convt_activation_kind)pick_kind(state, CONVTI_ACTIVATIONS)};
    const convti_activation_arguments *row = convti_activation_arguments_of(a.kind);
    double least = pick(state, 0, 2) ? 0 : -2; /* below 0: no layer of Keras' says it */
#define ACTIVATION_ARGUMENT(name, range)                                                       \
    a.name =                                                                                   \
        pick_number(state, row->name.set, least, CONVTI_##range == CONVTI_ANY ? HUGE_VAL : 0); \
    if (row->name.set && isnan(row->name.value) && !a.name.set) a.name = CONVT_SET(least);     \
    a.name.value = argument_of(a.name.value, CONVTI_##range);
#include "convt/activations.def"
    return a;
}

static convt_hw pick_hw(uint64_t *state, int64_t high)
{
    return (convt_hw){pick(state, 1, high), pick(state, 1, high)};
}

/* Any config that the library takes, with a seed of its own. */
static convt_config pick_config(uint64_t seed)
{
    uint64_t rng = seed, *state = &rng;
    convt_config cfg = {.filters = pick(state, 1, 9), .kernel_size = pick_hw(state, 5)};
    cfg.strides_with_dilation = pick(state, 0, 3) == 0;
    if (toss(state)) cfg.strides = pick_hw(state, 4);
    if (cfg.strides_with_dilation || cfg.strides.h == 0) cfg.dilation_rate = pick_hw(state, 3);
    if (pick(state, 0, 3) == 0)
        cfg.explicit_padding = CONVT_SET_SIDES(pick(state, 0, 2), pick(state, 0, 2),
                                               pick(state, 0, 2), pick(state, 0, 2));
    else
        cfg.padding = (convt_padding)pick(state, 0, 1);
    if (toss(state))
        cfg.output_padding = CONVT_SET_HW(pick(state, 0, cfg.strides.h ? cfg.strides.h - 1 : 0),
                                          pick(state, 0, cfg.strides.w ? cfg.strides.w - 1 : 0));
    cfg.data_format = (convt_data_format)pick(state, 0, 1);
    cfg.activation = pick_activation(state);
    cfg.no_bias = toss(state);
    cfg.kernel_initializer = pick_initializer(state, 4);
    cfg.bias_initializer = pick_initializer(state, 1);
    cfg.kernel_regularizer = pick_regularizer(state);
    cfg.bias_regularizer = pick_regularizer(state);
    cfg.activity_regularizer = pick_regularizer(state);
    cfg.kernel_constraint = pick_constraint(state, 4);
    cfg.bias_constraint = pick_constraint(state, 1);
    cfg.frozen = toss(state);
    cfg.dtype = (convt_dtype)pick(state, 0, 1);
    return cfg;
}

#define assert_same(a, b, field) assert_true((a)->field == (b)->field)

static void check_same_number(convt_optional a, convt_optional b, convt_optional row)
{
    assert_close(convti_argument_value(a, row), convti_argument_value(b, row), 0, 0);
}

/* Equal as a call sees them: an axis 0 that was given is the default. */
static void check_same_axes(const convt_axes *a, const convt_axes *b, bool zero_is_default)
{
    int count_a = a->count, count_b = b->count;
    if (zero_is_default && count_a == 1 && a->axis[0] == 0) count_a = 0;
    if (zero_is_default && count_b == 1 && b->axis[0] == 0) count_b = 0;
    assert_int_equal(count_a, count_b);
    for (int i = 0; i < count_a; i++) assert_int_equal(a->axis[i], b->axis[i]);
}

static void check_same_initializer(const convt_initializer *a, const convt_initializer *b,
                                   convt_initializer_kind otherwise)
{
    convt_initializer_kind kind = a->kind ? a->kind : otherwise;
    const convti_initializer_arguments *row = convti_initializer_arguments_of(kind);
    assert_int_equal(b->kind, kind);
    assert_same(a, b, seed.set);
    check_same_number(a->seed, b->seed, (convt_optional){true, 0});
    check_same_number(a->value, b->value, row->value);
    check_same_number(a->mean, b->mean, row->mean);
    check_same_number(a->stddev, b->stddev, row->stddev);
    check_same_number(a->minval, b->minval, row->minval);
    check_same_number(a->maxval, b->maxval, row->maxval);
    check_same_number(a->scale, b->scale, row->scale);
    check_same_number(a->gain, b->gain, row->gain);
    check_same_axes(&a->input_axes, &b->input_axes, false);
    check_same_axes(&a->output_axes, &b->output_axes, false);
    assert_same(a, b, mode);
    assert_same(a, b, distribution);
}

static void check_same_regularizer(const convt_regularizer *a, const convt_regularizer *b)
{
    double l1[2], l2[2];
    assert_same(a, b, kind);
    convti_regularizer_coefficients(a, &l1[0], &l2[0]);
    convti_regularizer_coefficients(b, &l1[1], &l2[1]);
    assert_close(l1[0], l1[1], 0, 0);
    assert_close(l2[0], l2[1], 0, 0);
}

static void check_same_constraint(const convt_constraint *a, const convt_constraint *b)
{
    const convti_constraint_arguments *row = convti_constraint_arguments_of(a->kind);
    assert_same(a, b, kind);
    if (!row) return;
    check_same_number(a->max_value, b->max_value, row->max_value);
    check_same_number(a->min_value, b->min_value, row->min_value);
    check_same_number(a->rate, b->rate, row->rate);
    check_same_axes(&a->axis, &b->axis, true);
    assert_int_equal(a->axis_list, b->axis_list);
}

static void check_same_config(const convt_config *a, const convt_config *b)
{
    struct convti_activation_params p, q;
    assert_same(a, b, filters);
    assert_same(a, b, kernel_size.h);
    assert_same(a, b, kernel_size.w);
    assert_int_equal(a->strides.h ? a->strides.h : 1, b->strides.h);
    assert_int_equal(a->strides.w ? a->strides.w : 1, b->strides.w);
    assert_int_equal(a->dilation_rate.h ? a->dilation_rate.h : 1, b->dilation_rate.h);
    assert_int_equal(a->dilation_rate.w ? a->dilation_rate.w : 1, b->dilation_rate.w);
    assert_same(a, b, padding);
    assert_same(a, b, output_padding.set);
    assert_same(a, b, output_padding.h);
    assert_same(a, b, output_padding.w);
    assert_same(a, b, data_format);
    assert_same(a, b, no_bias);
    assert_same(a, b, frozen);
    assert_same(a, b, dtype);
    assert_same(a, b, strides_with_dilation);
    assert_same(a, b, explicit_padding.set);
    assert_same(a, b, explicit_padding.top);
    assert_same(a, b, explicit_padding.bottom);
    assert_same(a, b, explicit_padding.left);
    assert_same(a, b, explicit_padding.right);
    assert_same(a, b, activation.kind);
    convti_activation_defaults(&a->activation, &p);
    convti_activation_defaults(&b->activation, &q);
#define ACTIVATION_ARGUMENT(name, range) assert_close(p.name, q.name, 0, 0);
#include "convt/activations.def"
    check_same_initializer(&a->kernel_initializer, &b->kernel_initializer, CONVT_GLOROT_UNIFORM);
    check_same_initializer(&a->bias_initializer, &b->bias_initializer, CONVT_ZEROS);
    check_same_regularizer(&a->kernel_regularizer, &b->kernel_regularizer);
    check_same_regularizer(&a->bias_regularizer, &b->bias_regularizer);
    check_same_regularizer(&a->activity_regularizer, &b->activity_regularizer);
    check_same_constraint(&a->kernel_constraint, &b->kernel_constraint);
    check_same_constraint(&a->bias_constraint, &b->bias_constraint);
}

static char *config_text_of(const convt_config *cfg)
{
    char *json;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_config_write(cfg, &json, &err)) fail_msg("%s: %s", err.field, err.message);
    return json;
}

/* Whatever can be written is read as the same config, and written as the same text. */
static void every_config_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        const convt_config cfg = pick_config(seed);
        char *json = config_text_of(&cfg);
        convt_spec spec = parse_ok(json);
        assert_int_equal(spec.count, 1);
        check_same_config(&cfg, &spec.layers[0]);
        char *again = config_text_of(&spec.layers[0]);
        assert_string_equal(again, json);
        bool beyond = strstr(json, "\"convt\"") != NULL;
        if (cfg.strides_with_dilation || cfg.explicit_padding.set) assert_true(beyond);
        free(again);
        free(json);
        convt_spec_free(&spec);
    }
}

/* No object "convt" where Keras can say it all; it stands last where there is one. */
static void beyond_keras_is_written_where_it_is_needed(void **state)
{
    (void)state;
    static const struct {
        convt_activation activation;
        const char *part;
        bool beyond;
    } cases[] = {
        {{.kind = CONVT_RELU}, "\"activation\": \"relu\",", false},
        {{.kind = CONVT_RELU, .max_value = {true, 6}}, "\"class_name\": \"ReLU\"", false},
        {{.kind = CONVT_RELU, .negative_slope = {true, -1}}, "\"negative_slope\": -1.0\n", true},
        {{.kind = CONVT_RELU, .threshold = {true, -1}, .max_value = {true, HUGE_VAL}},
         "\"max_value\": null,\n",
         true},
        {{.kind = CONVT_LEAKY_RELU}, "\"activation\": \"leaky_relu\",", false},
        {{.kind = CONVT_LEAKY_RELU, .negative_slope = {true, 0.5}}, "LeakyReLU", false},
        {{.kind = CONVT_ELU, .alpha = {true, -0.5}}, "\"class_name\": \"ELU\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const convt_config cfg = {
            .filters = 1, .kernel_size = {1, 1}, .activation = cases[i].activation};
        char *json = config_text_of(&cfg), *beyond = strstr(json, "\"convt\"");
        assert_non_null(strstr(json, cases[i].part));
        assert_int_equal(beyond != NULL, cases[i].beyond);
        if (beyond) assert_true(strstr(json, "bias_constraint") < beyond);
        free(json);
    }
    const convt_config cfg = {.name = "up",
                              .filters = 1,
                              .kernel_size = {1, 1},
                              .dtype = CONVT_FLOAT64,
                              .activation = {CONVT_ELU, .alpha = {true, 2}}};
    char *json = config_text_of(&cfg);
    assert_non_null(strstr(json, "\"name\": \"up\""));
    assert_null(strstr(json, "float32")); /* the activation computes as the layer does */
    free(json);
    const convt_config l1 = {.kernel_regularizer = {CONVT_L1, .l1 = {true, 0.1}},
                             .bias_regularizer = {CONVT_L1L2, .l1 = {true, 0.2}}};
    json = config_text_of(&l1); /* Keras' L1 holds floatx, which no config tells */
    assert_non_null(strstr(json, "\"l1\": 0.1\n"));
    assert_non_null(strstr(json, "\"l1\": 0.2,\n"));
    free(json);
    convt_error err = {CONVT_OK, "", ""};
    const convt_config custom = {.kernel_constraint = {.kind = CONVT_CUSTOM_CONSTRAINT}};
    convt_status status = convt_config_write(&custom, &json, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "kernel_constraint", "custom");
    assert_null(json);
}

static void nothing_z(void *context, convt_dtype dtype, int64_t count, const void *z, void *y)
{
    (void)context, (void)dtype, (void)count, (void)z, (void)y;
}

static void what_keras_cannot_say_is_refused(void **state)
{
    (void)state;
    const struct {
        convt_config cfg;
        const char *field, *part;
    } cases[] = {
        {{.activation = {.kind = CONVT_CUSTOM_ACTIVATION, .custom = {.forward = nothing_z}}},
         "activation",
         "custom"},
        {{.kernel_initializer = {.kind = CONVT_CUSTOM_INITIALIZER}},
         "kernel_initializer",
         "custom"},
        {{.bias_regularizer = {.kind = CONVT_CUSTOM_REGULARIZER}}, "bias_regularizer", "custom"},
        {{.kernel_constraint = {.kind = CONVT_CUSTOM_CONSTRAINT}}, "kernel_constraint", "custom"},
        {{.kernel_initializer = {CONVT_HE_NORMAL, .seed = CONVT_SET(-1)}},
         "kernel_initializer.seed",
         "from 0 to 4294967295"},
        {{.kernel_initializer = {CONVT_HE_NORMAL, .seed = CONVT_SET(0x1p32)}},
         "kernel_initializer.seed",
         "got 4294967296"},
        {{.kernel_size = {3, 0}, .input = {1, 1, 1}}, "kernel_size", "kernel_size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        convt_config cfg = cases[i].cfg;
        convt_error err = {CONVT_OK, "", ""};
        char *json;
        cfg.filters = 1;
        if (cfg.kernel_size.h == 0) cfg.kernel_size = (convt_hw){1, 1};
        convt_status status = convt_spec_write(&cfg, 1, &json, &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, cases[i].field, cases[i].part);
        assert_null(json);
    }
    convt_error err;
    char *json;
    assert_int_equal(convt_spec_write(NULL, 0, &json, &err), CONVT_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_keys_are_defaults),
        cmocka_unit_test(sizes_are_integers_or_two),
        cmocka_unit_test(filters_are_a_positive_integer),
        cmocka_unit_test(words_are_those_of_keras),
        cmocka_unit_test(dtypes_are_float32_and_float64),
        cmocka_unit_test(unknown_keys_are_refused_by_name_and_value),
        cmocka_unit_test(activations_come_in_every_form),
        cmocka_unit_test(activation_layers_bring_their_arguments),
        cmocka_unit_test(other_activations_are_refused),
        cmocka_unit_test(initializers_come_in_every_form),
        cmocka_unit_test(other_initializers_are_refused),
        cmocka_unit_test(regularizers_come_in_every_form),
        cmocka_unit_test(constraints_come_in_every_form),
        cmocka_unit_test(what_keras_has_no_words_for),
        cmocka_unit_test(refusals_come_in_the_order_of_keras),
        cmocka_unit_test(wrappings_are_taken_off),
        cmocka_unit_test(shapes_come_from_where_they_stand),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(unnamed_layers_are_counted),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(deep_nesting_ends_in_one_line),
        cmocka_unit_test(long_text_is_refused),
        cmocka_unit_test(nested_activations_are_followed),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_keras_wrote_is_written_again),
        cmocka_unit_test(defaults_are_written_out),
        cmocka_unit_test(numbers_are_short_and_exact_in_every_locale),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(every_config_comes_back),
        cmocka_unit_test(beyond_keras_is_written_where_it_is_needed),
        cmocka_unit_test(what_keras_cannot_say_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
