/*
 * Keras JSON to configs and back. tests/data/keras_*.json was written by Keras 3.15
 * (keras.saving.serialize_keras_object of a Sequential); which values are refused was tried on
 * the same Keras.
 */
#include "support/close.h"

#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/io.h>

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
    static const char *const wrong[] = {"2.0",        "[2]",      "[2, 2, 2]",  "\"3\"",
                                        "[1, \"a\"]", "[1, 2.5]", "[2.0, 2.0]", "{}",
                                        "-1",         "[1, -1]"};
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
    refused("\"filters\": false", "filters", "filters=0");
    refused("\"filters\": 2.0", "filters", "must be an integer, got 2.0");
    refused("\"filters\": null", "filters", "got null");
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
    refused("\"dtype\": {\"class_name\": \"Policy\", \"config\": {\"name\": \"float64\"}}", "dtype",
            "must be float32 or float64");
    refused("\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {\"name\": \"bfloat16\"}}",
            "dtype", "bfloat16");
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
        {"{\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": {\"name\": \"r\", "
         "\"trainable\": true, \"dtype\": \"float32\"}}",
         CONVT_RELU},
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
        "activation", "PReLU");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": "
            "{\"max_value\": -1}}",
            "activation.max_value", "must be 0 or more, got -1");
    refused("\"activation\": {\"module\": \"keras.layers\", \"class_name\": \"ReLU\", \"config\": "
            "{\"threshold\": null}}",
            "activation.threshold", "must be a number, got null");
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
    config_of("\"kernel_initializer\": {\"class_name\": \"HeNormal\", \"config\": {\"input_axes\": "
              "[1]}}"); /* heeded only in pairs */
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
    refused_initializer("Constant", "{\"value\": [1, 2]}", "value", "must be a number, got [1, 2]");
    refused_initializer("VarianceScaling", "{\"mode\": \"FAN_OUT\"}", "mode", "got \"FAN_OUT\"");
    refused_initializer("VarianceScaling", "{\"distribution\": \"cauchy\"}", "distribution",
                        "got \"cauchy\"");
    refused_initializer("HeNormal", "{\"seed\": 3.5}", "seed", "got 3.5");
    refused_initializer("HeNormal", "{\"seed\": -3}", "seed", "got -3");
    refused_initializer("HeNormal", "{\"seed\": 4294967296}", "seed", "got 4294967296");
    refused_initializer("HeNormal", "{\"input_axes\": [0], \"output_axes\": [1]}", "input_axes",
                        "not supported");
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
    assert_close(cfg.kernel_regularizer.l1.value, 0.1, 0, 0);
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
    assert_int_equal(cfg.kernel_constraint.axis.count, 4);
    assert_int_equal(cfg.bias_constraint.axis.count, 1);
    refused("\"kernel_constraint\": \"maxnorm\"", "kernel_constraint",
            "Could not interpret constraint identifier: \"maxnorm\"");
    refused("\"kernel_constraint\": {\"class_name\": \"NonNeg\", \"config\": {\"axis\": 0}}",
            "kernel_constraint.axis", "passed to NonNeg");
    refused("\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": 4}}",
            "kernel_constraint.axis", "got 4");
    refused("\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": []}}",
            "kernel_constraint.axis", "got []");
    refused(
        "\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": [0, 1.0]}}",
        "kernel_constraint.axis", "got [0, 1.0]");
    refused("\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": [0, 1, 2, "
            "3, 0]}}",
            "kernel_constraint.axis", "got");
    refused("\"bias_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"axis\": 1}}",
            "bias_constraint.axis", "got 1");
    refused("\"kernel_constraint\": {\"class_name\": \"MinMaxNorm\", \"config\": {\"rate\": null}}",
            "kernel_constraint.rate", "got null");
    refused(
        "\"kernel_constraint\": {\"class_name\": \"MaxNorm\", \"config\": {\"max_value\": null}}",
        "kernel_constraint.max_value", "got null");
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
                  "must be Conv2DTranspose, got 3");
    check_refused("{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\"}}",
                  CONVT_INVALID_ARGUMENT, "layers", "missing");
    check_refused("{\"class_name\": \"Sequential\"}", CONVT_INVALID_ARGUMENT, "layers", "missing");
    check_refused("{\"class_name\": \"Functional\", \"config\": {}}", CONVT_INVALID_ARGUMENT,
                  "class_name", "must be Sequential or Conv2DTranspose, got \"Functional\"");
    check_refused("{\"class_name\": \"conv2d_transpose\", \"config\": {}}", CONVT_INVALID_ARGUMENT,
                  "class_name", "conv2d_transpose");
    check_refused("{\"class_name\": 3, \"config\": {}}", CONVT_INVALID_ARGUMENT, "class_name",
                  "got 3");
    check_refused("{\"module\": \"foo\", \"class_name\": \"Conv2DTranspose\", \"config\": {}}",
                  CONVT_INVALID_ARGUMENT, "class_name", "");
    check_refused("{\"class_name\": \"Conv2DTranspose\", \"config\": null}", CONVT_INVALID_ARGUMENT,
                  "config", "got null");
    check_refused("{\"class_name\": \"Conv2DTranspose\"}", CONVT_INVALID_ARGUMENT, "config",
                  "must be an object");
    check_refused("[{\"class_name\": \"Dense\", \"config\": {\"units\": 3}}]",
                  CONVT_INVALID_ARGUMENT, "layers[0].class_name", "got \"Dense\"");
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
        {{.activation = {CONVT_RELU, .negative_slope = CONVT_SET(-1)}}, "activation", "below 0"},
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
        cmocka_unit_test(wrappings_are_taken_off),
        cmocka_unit_test(shapes_come_from_where_they_stand),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(unnamed_layers_are_counted),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(deep_nesting_ends_in_one_line),
        cmocka_unit_test(nested_activations_are_followed),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_keras_wrote_is_written_again),
        cmocka_unit_test(defaults_are_written_out),
        cmocka_unit_test(numbers_are_short_and_exact_in_every_locale),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(what_keras_cannot_say_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
