/*
 * The layers of a model, in the order of the data, out of every form that Keras writes; and what is
 * no straight line of them.
 */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "package.h"

/* Items borrow from the JSON, so both live together. */
typedef struct model {
    json_t *config;
    convti_items items;
} model;

static model read_ok(const char *json)
{
    model m;
    convt_error err = {CONVT_OK, "", ""};
    json_error_t why;
    m.config = json_loads(json, 0, &why);
    if (!m.config) fail_msg("no JSON: %s in %s", why.text, json);
    if (convti_items_read(m.config, &m.items, &err))
        fail_msg("%s: %s in %.200s", err.field, err.message, json);
    return m;
}

static void release(model *m)
{
    convti_items_free(&m->items);
    json_decref(m->config);
}

static void refused(const char *json, const char *field, const char *part)
{
    convt_error err = {CONVT_OK, "", ""};
    convti_items items;
    json_t *config = json_loads(json, 0, NULL);
    assert_non_null(config);
    convt_status status = convti_items_read(config, &items, &err);
    if (!status) fail_msg("accepted: %s", json);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, field, part);
    assert_null(strchr(err.message, '\n'));
    convti_items_free(&items);
    json_decref(config);
}

static void assert_tensor(const convti_tensor *tensor, int rank, int64_t a, int64_t b, int64_t c)
{
    assert_int_equal(tensor->rank, rank);
    assert_int_equal(tensor->size[0], a);
    assert_int_equal(tensor->size[1], b);
    assert_int_equal(tensor->size[2], c);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

#define LAYER(class_name, config) "{\"class_name\": \"" class_name "\", \"config\": {" config "}}"
#define INPUT(shape) LAYER("InputLayer", "\"batch_shape\": [null, " shape "]")

static void shapes_go_through_every_class(void **state)
{
    (void)state;
    static const struct {
        const char *layer, *input;
        convti_tensor output;
    } rows[] = {
        {LAYER("Dense", "\"units\": 5"), "3", {1, {5}}},
        {LAYER("Dense", "\"units\": 5"), "7, 6, 3", {3, {7, 6, 5}}},
        {LAYER("Dense", "\"units\": 6, \"activation\": \"glu\""), "3", {1, {3}}},
        {LAYER("Reshape", "\"target_shape\": [2, -1, 3]"), "12", {3, {2, 2, 3}}},
        {LAYER("Reshape", "\"target_shape\": [-1]"), "4, 5, 6", {1, {120}}},
        {LAYER("Reshape", "\"target_shape\": [-1]"), "null, 5, 6", {1, {0}}},
        {LAYER("Flatten", ""), "4, 5, 6", {1, {120}}},
        {LAYER("Conv2D", "\"filters\": 9, \"kernel_size\": [2, 3]"), "7, 7, 4", {3, {6, 5, 9}}},
        {LAYER("Conv2D", "\"filters\": 9, \"kernel_size\": 3, \"dilation_rate\": 2"),
         "7, null, 4",
         {3, {3, 0, 9}}},
        {LAYER("Convolution2D", "\"filters\": 9, \"kernel_size\": 3, \"padding\": \"same\""),
         "7, 6, 4",
         {3, {7, 6, 9}}},
        {LAYER("Conv2DTranspose", "\"filters\": 2, \"kernel_size\": 3, \"strides\": [2, 1]"),
         "7, 6, 4",
         {3, {15, 8, 2}}},
        {LAYER("Conv2DTranspose", "\"filters\": 2, \"kernel_size\": 3"),
         "null, 6, 4",
         {3, {0, 8, 2}}},
        {LAYER("BatchNormalization", ""), "7, 6, 4", {3, {7, 6, 4}}},
        {LAYER("ReLU", ""), "7", {1, {7}}},
        {LAYER("Activation", "\"activation\": \"glu\""), "7, 6, 4", {3, {7, 6, 2}}},
        {LAYER("Dropout", "\"rate\": 0.5"), "7, 6, 4", {3, {7, 6, 4}}},
        {LAYER("ZeroPadding2D", ""), "7, 6, 4", {3, {9, 8, 4}}},
        {LAYER("ZeroPadding2D", "\"padding\": [[1, 2], 3]"), "7, 6, 4", {3, {10, 12, 4}}},
        {LAYER("Cropping2D", "\"cropping\": [[1, 2], [0, 5]]"), "7, 6, 4", {3, {4, 1, 4}}},
        {LAYER("Cropping2D", ""), "7, 6, 4", {3, {7, 6, 4}}},
        {LAYER("UpSampling2D", ""), "7, null, 4", {3, {14, 0, 4}}},
        {LAYER("UpSampling2D", "\"size\": [3, 1]"), "7, 6, 4", {3, {21, 6, 4}}},
        {LAYER("Rescaling", "\"scale\": 0.5"), "7, 6, 4", {3, {7, 6, 4}}},
        {LAYER("UpSampling2D", "\"data_format\": \"channels_first\""), "4, 7, 6", {3, {4, 14, 12}}},
        {LAYER("Conv2D", "\"filters\": 9, \"kernel_size\": 3, \"data_format\": "
                         "\"channels_first\""),
         "4, 7, 6",
         {3, {9, 5, 4}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[512];
        snprintf(
            json, sizeof json,
            "[{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, %s]}}, %s]",
            rows[i].input, rows[i].layer);
        model m = read_ok(json);
        const convti_tensor *want = &rows[i].output;
        assert_int_equal(m.items.count, 1);
        assert_tensor(&m.items.list[0].output, want->rank, want->size[0], want->size[1],
                      want->size[2]);
        release(&m);
    }
}

static void shapes_come_from_where_they_stand(void **state)
{
    (void)state;
    model m = read_ok("{\"layers\": [" LAYER("ReLU", "") "], \"build_input_shape\": [null, 9]}");
    assert_tensor(&m.items.list[0].input, 1, 9, 0, 0);
    release(&m);
    m = read_ok("{\"class_name\": \"Dense\", \"config\": {\"units\": 3}, \"build_config\": "
                "{\"input_shape\": [null, 2, 2, 5]}}");
    assert_tensor(&m.items.list[0].input, 3, 2, 2, 5);
    release(&m);
    m = read_ok("[" LAYER("Dense", "\"units\": 8, \"input_shape\": [4]") ", " LAYER(
        "Reshape", "\"target_shape\": [2, 2, 2]") "]");
    assert_tensor(&m.items.list[0].input, 1, 4, 0, 0);
    assert_tensor(&m.items.list[1].output, 3, 2, 2, 2);
    release(&m);
    m = read_ok("[" LAYER("Dense", "\"units\": 8") ", " LAYER("Reshape",
                                                              "\"target_shape\": [2, 2, -1]") "]");
    assert_tensor(&m.items.list[0].input, 0, 0, 0, 0);
    assert_tensor(&m.items.list[1].output, 3, 2, 2, 2);
    release(&m);
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    refused("[" INPUT("3, 3") ", " LAYER("ReLU", "") "]", "layers[0].batch_shape",
            "must be a shape of 2 or 4 sizes, got [null, 3, 3]");
    refused("[" INPUT("3") ", " LAYER("UpSampling2D", "") "]", "layers[0].batch_shape",
            "must be a shape of 4 sizes, got [null, 3]");
    refused("[" INPUT("null") ", " LAYER("Dense", "\"units\": 2") "]", "layers[0].batch_shape",
            "must say how many units there are");
    refused("[" INPUT("4") ", " LAYER("Dense", "\"units\": 2, \"input_shape\": [5]") "]",
            "layers[1].input_shape", "has 5 units where the input has 4");
    refused("[" INPUT("4") ", " LAYER("Dense", "\"units\": 2, \"input_shape\": [5, 5, 4]") "]",
            "layers[1].input_shape", "must be a shape of 1 sizes");
    refused("[" INPUT("4") ", " LAYER("Dense", "\"units\": 2") ", " LAYER("UpSampling2D", "") "]",
            "up_sampling2d.input", "expected ndim=4, found ndim=2. Full shape received: (None, 2)");
    refused("[" INPUT("10") ", " LAYER("Reshape", "\"target_shape\": [2, 2, 3]") "]",
            "reshape.target_shape",
            "unchanged. Received: input_shape=(None, 10), target_shape=[2, 2, 3]");
    refused("[" INPUT("10") ", " LAYER("Reshape", "\"target_shape\": [-1, 2, 3]") "]",
            "reshape.target_shape", "input_shape=(None, 10)");
    refused("[" INPUT("4, 4, 1") ", " LAYER("Conv2D", "\"filters\": 1, \"kernel_size\": 5") "]",
            "conv2d.kernel_size", "would be zero or negative. Received `inputs shape=(None, 4, 4");
    refused("[" INPUT("4, 4, 1") ", " LAYER("Cropping2D", "\"cropping\": 2") "]",
            "cropping2d.cropping", "should be smaller than the corresponding spatial dimension");
    refused(
        "[" INPUT("4, 4, 1") ", " LAYER("ZeroPadding2D", "\"padding\": 9223372036854775807") "]",
        "zero_padding2d.padding", "less than 2^63");
    refused("[" INPUT("4, 4, 1") ", " LAYER("UpSampling2D", "\"size\": 9223372036854775807") "]",
            "up_sampling2d.size", "small enough");
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void arguments_are_checked_as_keras_does(void **state)
{
    (void)state;
    static const struct {
        const char *layer, *field, *part;
    } rows[] = {
        {LAYER("Dense", ""), "units", "missing: Dense needs units"},
        {LAYER("Dense", "\"units\": 0, \"name\": 3"), "units",
         "expected a positive integer. Received: units=0"},
        {LAYER("Dense", "\"units\": 2.0"), "units", "Received: units=2.0"},
        {LAYER("Dense", "\"units\": 2, \"filters\": 3"), "filters", "passed to Dense"},
        {LAYER("Dense", "\"units\": 2, \"lora_rank\": 3"), "lora_rank", "not supported, got 3"},
        {LAYER("Conv2D", "\"filters\": 3"), "kernel_size", "Conv2D needs filters and kernel_size"},
        {LAYER("Conv2D", "\"filters\": 3, \"kernel_size\": 3, \"output_padding\": 1"),
         "output_padding", "passed to Conv2D"},
        {LAYER("Conv2D", "\"filters\": 3, \"kernel_size\": 3, \"groups\": 0"), "groups",
         "must be a positive integer. Received: groups=0"},
        {LAYER("Conv2D", "\"filters\": 3, \"kernel_size\": 3, \"groups\": 2"), "groups",
         "Received: groups=2, filters=3"},
        {LAYER("Conv2D",
               "\"filters\": 3, \"kernel_size\": 3, \"strides\": 2, \"dilation_rate\": 2"),
         "strides", "not supported in conjunction"},
        {LAYER("Reshape", ""), "target_shape", "missing"},
        {LAYER("Reshape", "\"target_shape\": [2, 3]"), "target_shape", "1 or 3 sizes"},
        {LAYER("Reshape", "\"target_shape\": [-1, -1, 3]"), "target_shape", "one of them -1"},
        {LAYER("Reshape", "\"target_shape\": 3"), "target_shape", "got 3"},
        {LAYER("ZeroPadding2D", "\"padding\": -1"), "padding", "got -1"},
        {LAYER("ZeroPadding2D", "\"padding\": [1, 2, 3]"), "padding", "a tuple of 2 ints"},
        {LAYER("Cropping2D", "\"cropping\": [[1, 2], [3, -4]]"), "cropping", "of 0 or more"},
        {LAYER("Cropping2D", "\"cropping\": [[1, 2], [3]]"), "cropping", "of 0 or more"},
        {LAYER("UpSampling2D", "\"size\": 0"), "size", "`value > 0`"},
        {LAYER("UpSampling2D", "\"interpolation\": 3"), "interpolation", "a string, got 3"},
        {LAYER("Dropout", ""), "rate", "missing"},
        {LAYER("Dropout", "\"rate\": 1.5"), "rate", "between 0 and 1. Received: rate=1.5"},
        {LAYER("Rescaling", ""), "scale", "missing"},
        {LAYER("BatchNormalization", "\"axis\": \"a\""), "axis", "an integer, got \"a\""},
        {LAYER("BatchNormalization", "\"fused\": true"), "fused", "passed to BatchNormalization"},
        {LAYER("Activation", ""), "activation", "missing: Activation needs activation"},
        {LAYER("Activation", "\"activation\": \"foo\""), "activation", "Could not interpret"},
        {LAYER("ReLU", "\"max_value\": -1"), "max_value", "0 or more, got -1"},
        {LAYER("LeakyReLU", "\"negative_slope\": null"), "negative_slope", "got null"},
        {LAYER("ELU", "\"alpha\": \"x\""), "alpha", "a number, got \"x\""},
        {LAYER("ReLU", "\"activity_regularizer\": \"l2\""), "activity_regularizer",
         "only layers with a kernel can have one here, got \"l2\""},
        {LAYER("PReLU", ""), "class_name",
         "must be Conv2DTranspose or another layer that can be computed exactly, got \"PReLU\""},
        {LAYER("Sequential", ""), "class_name", "is Sequential: models within models"},
        {LAYER("Functional", ""), "class_name", "is Functional: models within models"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[512], field[64];
        snprintf(json, sizeof json, "[%s]", rows[i].layer);
        snprintf(field, sizeof field, "layers[0].%s", rows[i].field);
        refused(json, field, rows[i].part);
    }
}

static void layers_agree_on_dtype_and_format(void **state)
{
    (void)state;
    refused("[" LAYER("UpSampling2D", "") ", " LAYER("UpSampling2D",
                                                     "\"data_format\": \"channels_first\"") "]",
            "layers[1].data_format", "must be that of the layers before, channels_last");
    refused("[" LAYER("Dense", "\"units\": 1, \"dtype\": \"float64\"") ", " LAYER("ReLU", "") "]",
            "layers[1].dtype", "must be that of the layers before, float64");
    model m = read_ok("[" LAYER("ReLU", "\"dtype\": \"float64\"") ", " LAYER(
        "UpSampling2D", "\"data_format\": "
                        "\"channels_first\", \"dtype\": "
                        "\"float64\"") ", " LAYER("Flatten", "\"dtype\""
                                                             ": "
                                                             "\"float64"
                                                             "\"") "]");
    assert_true(m.items.channels_first);
    assert_int_equal(m.items.dtype, CONVT_FLOAT64);
    release(&m);
}

/* ---- names and variables --------------------------------------------------------------------- */

static void unnamed_layers_are_counted_by_class(void **state)
{
    (void)state;
    static const char *const expected[] = {"dense",   "re_lu",       "dense_1",
                                           "mine",    "leaky_re_lu", "batch_normalization",
                                           "dense_2", "re_lu_1"};
    model m = read_ok("[" LAYER("Dense", "\"units\": 1") ", " LAYER("ReLU", "") ", " LAYER(
        "Dense",
        "\"un"
        "its"
        "\": "
        "1") ", " LAYER("ReLU",
                        "\"name\": \"mine\"") ", " LAYER("LeakyReLU",
                                                         "") ", " LAYER("BatchNormalization",
                                                                        "") ", " LAYER("Dense",
                                                                                       "\"units\": "
                                                                                       "1") ","
                                                                                            " " LAYER(
                                                                                                "Re"
                                                                                                "L"
                                                                                                "U",
                                                                                                "") "]");
    assert_int_equal(m.items.count, 8);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(m.items.list[i].name, expected[i]);
        assert_string_equal(json_string_value(json_object_get(m.items.list[i].config, "name")),
                            expected[i]);
    }
    release(&m);
    refused("[" LAYER("ReLU", "\"name\": \"a\"") ", " LAYER("ELU", "\"name\": \"a\"") "]",
            "layers[1].name", "must be unique, got \"a\" again");
}

static void variables_are_those_of_keras(void **state)
{
    (void)state;
    static const struct {
        const char *layer, *variables;
    } rows[] = {
        {LAYER("Dense", "\"units\": 1"), "kernel bias "},
        {LAYER("Dense", "\"units\": 1, \"use_bias\": false"), "kernel "},
        {LAYER("BatchNormalization", ""), "gamma beta moving_mean moving_variance "},
        {LAYER("BatchNormalization", "\"scale\": false"), "beta moving_mean moving_variance "},
        {LAYER("BatchNormalization", "\"center\": false"), "gamma moving_mean moving_variance "},
        {LAYER("ReLU", ""), ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[256], text[128] = "";
        const char *names[CONVTI_MOST_VARIABLES];
        snprintf(json, sizeof json, "[%s]", rows[i].layer);
        model m = read_ok(json);
        const int count = convti_item_variables(&m.items.list[0], names);
        for (int k = 0; k < count; k++) {
            strcat(text, names[k]);
            strcat(text, " ");
        }
        assert_string_equal(text, rows[i].variables);
        release(&m);
    }
    assert_string_equal(convti_class_stem("Conv2DTranspose"), "conv2d_transpose");
    assert_string_equal(convti_class_stem("ZeroPadding2D"), "zero_padding2d");
    assert_null(convti_class_stem("PReLU"));
}

/* ---- functional models ----------------------------------------------------------------------- */

#define CALL(name)                                                                    \
    "{\"args\": [{\"class_name\": \"__keras_tensor__\", \"config\": {\"shape\": "     \
    "[null, 1], \"dtype\": \"float32\", \"keras_history\": [\"" name "\", 0, 0]}}], " \
    "\"kwargs\": {\"mask\": null}}"
#define OLD(name) "[[\"" name "\", 0, 0, {}]]"
#define NODE(class_name, name, config, nodes)                                           \
    "{\"class_name\": \"" class_name "\", \"name\": \"" name "\", \"config\": {" config \
    "}, \"inbound_nodes\": [" nodes "]}"
#define IN NODE("InputLayer", "in", "\"batch_shape\": [null, 4]", "")
#define FUNCTIONAL(layers, inputs, outputs)                                                     \
    "{\"module\": \"keras.src.models.functional\", \"class_name\": \"Functional\", "            \
    "\"registered_name\": \"Functional\", \"config\": {\"name\": \"f\", \"trainable\": "        \
    "true, \"layers\": [" layers "], \"input_layers\": " inputs ", \"output_layers\": " outputs \
    "}}"
#define A "[\"in\", 0, 0]"
#define Z "[[\"z\", 0, 0]]"
#define DENSE(name, from) NODE("Dense", name, "\"name\": \"" name "\", \"units\": 3", from)

static void functional_models_are_read_in_the_order_of_the_data(void **state)
{
    (void)state;
    static const char *const forms[] = {
        FUNCTIONAL(IN ", " DENSE("y", CALL("in")) ", " DENSE("z", CALL("y")), A, Z),
        FUNCTIONAL(DENSE("z", CALL("y")) ", " IN ", " DENSE("y", CALL("in")), "[" A "]", Z),
        FUNCTIONAL(DENSE("z", OLD("y")) ", " DENSE("y", "[\"in\", 0, 0, {}]") ", " IN, A,
                   "[\"z\", 0, 0]"),
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        model m = read_ok(forms[i]);
        assert_int_equal(m.items.count, 2);
        assert_string_equal(m.items.list[0].name, "y");
        assert_string_equal(m.items.list[1].name, "z");
        assert_tensor(&m.items.list[0].input, 1, 4, 0, 0);
        release(&m);
    }
}

static void what_is_no_straight_line_is_refused(void **state)
{
    (void)state;
    refused(FUNCTIONAL(IN ", " DENSE("y", CALL("in")) ", " DENSE("z", CALL("in")), A, Z),
            "y.inbound_nodes", "is not on the way from the input to the output");
    refused(FUNCTIONAL(IN ", " DENSE("z", CALL("in") ", " CALL("z")), A, Z), "z.inbound_nodes",
            "is called more than once");
    refused(FUNCTIONAL(IN ", " DENSE("z", "{\"args\": [], \"kwargs\": {}}"), A, Z),
            "z.inbound_nodes", "is not called with one tensor alone");
    refused(FUNCTIONAL(IN ", " DENSE("z", "[[\"in\", 0, 0, {}], [\"in\", 0, 0, {}]]"), A, Z),
            "z.inbound_nodes", "is not called with one tensor alone");
    refused(FUNCTIONAL(IN ", " DENSE("z", "[[\"in\", 0, 0, {\"training\": true}]]"), A, Z),
            "z.inbound_nodes", "is not called with one tensor alone");
    refused(FUNCTIONAL(IN ", " DENSE("y", CALL("z")) ", " DENSE("z", CALL("y")), A, Z),
            "z.inbound_nodes", "leads to no layer, or back to itself");
    refused(FUNCTIONAL(IN ", " DENSE("z", CALL("x")), A, Z), "x.inbound_nodes", "leads to no");
    refused(FUNCTIONAL(DENSE("z", ""), A, Z), "z.inbound_nodes", "is not called");
    refused(FUNCTIONAL(IN ", " DENSE("z", CALL("in")), "[\"z\", 0, 0]", Z), "in.inbound_nodes",
            "is not the input of the model");
    refused(FUNCTIONAL(IN ", " DENSE("z", CALL("in")), "[" A ", " A "]", Z), "input_layers",
            "one input and one output, got [[\"in\", 0, 0], [\"in\", 0, 0]]");
    refused(FUNCTIONAL(IN ", " DENSE("z", CALL("in")), A, "null"), "output_layers",
            "one input and one output, got null");
    refused(FUNCTIONAL("{}", A, Z), "layers[0].name", "missing");
    refused(FUNCTIONAL(IN ", " IN, A, Z), "layers[1].name", "must be unique");
    refused(FUNCTIONAL(IN ", " NODE("Add", "z", "", CALL("in")), A, Z), "z.class_name",
            "got \"Add\"");
    refused("{\"class_name\": \"Functional\", \"config\": {}}", "layers",
            "missing: a Functional needs its list of layers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_go_through_every_class),
        cmocka_unit_test(shapes_come_from_where_they_stand),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(arguments_are_checked_as_keras_does),
        cmocka_unit_test(layers_agree_on_dtype_and_format),
        cmocka_unit_test(unnamed_layers_are_counted_by_class),
        cmocka_unit_test(variables_are_those_of_keras),
        cmocka_unit_test(functional_models_are_read_in_the_order_of_the_data),
        cmocka_unit_test(what_is_no_straight_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
