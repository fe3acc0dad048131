/* Models in files: weights and configs come back, and what does not fit is refused before
 * anything changes. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/io.h>

#include "support/scratch.h"

static const convt_config two_layers[2] = {
    {.name = "up",
     .input = {3, 4, 5},
     .filters = 6,
     .kernel_size = {3, 2},
     .strides = {2, 2},
     .activation = {CONVT_RELU},
     .seed = 1},
    {.filters = 2,
     .kernel_size = {2, 2},
     .no_bias = true,
     .kernel_regularizer = {CONVT_L2, .l2 = {true, 0.25}}},
};

static convt_model *create(const convt_config *layers, int count)
{
    convt_model *model;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_model_create(&model, layers, count, &err)) fail_msg("%s: %s", err.field, err.message);
    return model;
}

static void save(const char *name, convt_model *model, const convt_config *layers)
{
    convt_error err = {CONVT_OK, "", ""};
    if (convt_model_save(scratch(name), model, layers, &err))
        fail_msg("%s: %s", err.field, err.message);
}

static convt_spec read_ok(const char *path)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_read(path, &spec, &err)) fail_msg("%s: %s", err.field, err.message);
    return spec;
}

static void check_refused(const char *path, convt_status expected, const char *field,
                          const char *part)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_spec_read(path, &spec, &err);
    assert_refused(status, &err, expected, field, part);
    assert_null(spec.layers);
    assert_null(spec.weights.arrays);
}

static void check_same_weights(convt_model *a, convt_model *b)
{
    convt_parameter rows_a[8], rows_b[8];
    int count = convt_model_parameters(a, rows_a);
    assert_int_equal(convt_model_parameters(b, rows_b), count);
    for (int i = 0; i < count; i++) {
        convt_view v = rows_a[i].value;
        size_t size = v.dtype == CONVT_FLOAT64 ? 8 : 4;
        assert_same_bits(rows_b[i].value.data, v.data, (size_t)(v.n * v.h * v.w * v.c) * size);
    }
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void a_saved_model_comes_back(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++) {
        convt_config layers[2] = {two_layers[0], two_layers[1]};
        convt_error err;
        layers[0].dtype = layers[1].dtype = (convt_dtype)dtype;
        convt_model *model = create(layers, 2);
        save("model.npz", model, layers);
        convt_spec spec = read_ok(scratch("model.npz"));
        assert_int_equal(spec.count, 2);
        assert_string_equal(spec.layers[0].name, "up");
        assert_string_equal(spec.layers[1].name, "conv2d_transpose");
        assert_true(spec.layers[0].input.h == 3 && spec.layers[0].input.w == 4 &&
                    spec.layers[0].input.c == 5);
        assert_int_equal(spec.layers[0].activation.kind, CONVT_RELU);
        assert_int_equal(spec.layers[1].dtype, dtype);
        assert_true(spec.layers[1].no_bias);
        assert_close(spec.layers[1].kernel_regularizer.l2.value, 0.25, 0, 0);
        assert_int_equal(spec.weights.count, 3);
        assert_non_null(convt_archive_find(&spec.weights, "up/kernel"));
        assert_non_null(convt_archive_find(&spec.weights, "up/bias"));
        assert_int_equal(convt_archive_find(&spec.weights, "up/bias")->rank, 1);
        assert_int_equal(convt_archive_find(&spec.weights, "conv2d_transpose/kernel")->rank, 4);

        spec.layers[0].seed = 99; /* other weights to begin with */
        convt_model *back = create(spec.layers, spec.count);
        assert_int_equal(convt_spec_load_weights(&spec, back, &err), CONVT_OK);
        check_same_weights(model, back);
        convt_model_destroy(back);
        convt_model_destroy(model);
        convt_spec_free(&spec);
    }
    scratch_clear();
}

/* A model that trains on logits is saved with the sigmoid that its users need. */
static void the_saved_config_may_differ_from_the_trained(void **state)
{
    (void)state;
    convt_model *model = create(two_layers, 2);
    convt_config layers[2] = {two_layers[0], two_layers[1]};
    layers[1].activation.kind = CONVT_SIGMOID;
    layers[0].input = (convt_shape){0, 0, 0};
    save("model.npz", model, layers);
    convt_spec spec = read_ok(scratch("model.npz"));
    assert_int_equal(spec.layers[1].activation.kind, CONVT_SIGMOID);
    assert_int_equal(spec.layers[0].input.c, 5);
    convt_spec_free(&spec);
    convt_model_destroy(model);
    scratch_clear();
}

static void weights_of_another_precision_are_converted(void **state)
{
    (void)state;
    convt_error err;
    convt_model *model = create(two_layers, 2);
    save("model.npz", model, two_layers);
    convt_spec spec = read_ok(scratch("model.npz"));
    spec.layers[0].dtype = spec.layers[1].dtype = CONVT_FLOAT64;
    convt_model *wide = create(spec.layers, 2);
    assert_int_equal(convt_spec_load_weights(&spec, wide, &err), CONVT_OK);
    convt_parameter rows_a[4], rows_b[4];
    int count = convt_model_parameters(model, rows_a);
    assert_int_equal(convt_model_parameters(wide, rows_b), count);
    for (int i = 0; i < count; i++) {
        convt_view v = rows_a[i].value;
        for (int64_t k = 0; k < v.n * v.h * v.w * v.c; k++)
            assert_close(((double *)rows_b[i].value.data)[k], (double)((float *)v.data)[k], 0, 0);
    }
    convt_model_destroy(wide);
    convt_model_destroy(model);
    convt_spec_free(&spec);
    scratch_clear();
}

/* Loaded weights are the ones that forward uses, also after it has packed others. */
static void loaded_weights_are_used_at_once(void **state)
{
    (void)state;
    convt_error err;
    float x[60], expected[2000];
    for (int i = 0; i < 60; i++) x[i] = (float)(i % 7) - 3;
    convt_config other[2] = {two_layers[0], two_layers[1]};
    other[0].seed = 2;
    convt_model *model = create(two_layers, 2), *fresh = create(other, 2);
    convt_const_view in = convt_const_view_of_f32(x, 1, 3, 4, 5);
    assert_int_equal(convt_model_forward(model, in), CONVT_OK);
    assert_int_equal(convt_model_forward(fresh, in), CONVT_OK);
    convt_const_view y = convt_model_output(model);
    size_t size = (size_t)(y.n * y.h * y.w * y.c) * sizeof(float);
    assert_true(size <= sizeof expected);
    memcpy(expected, y.data, size);
    save("model.npz", model, two_layers);
    convt_spec spec = read_ok(scratch("model.npz"));
    assert_int_equal(convt_spec_load_weights(&spec, fresh, &err), CONVT_OK);
    assert_int_equal(convt_model_forward(fresh, in), CONVT_OK);
    assert_same_bits(convt_model_output(fresh).data, expected, size);
    convt_spec_free(&spec);
    convt_model_destroy(model);
    convt_model_destroy(fresh);
    scratch_clear();
}

static void equal_models_give_equal_files(void **state)
{
    (void)state;
    convt_model *a = create(two_layers, 2), *b = create(two_layers, 2);
    size_t size_a, size_b;
    save("a.npz", a, two_layers);
    save("b.npz", b, two_layers);
    char *bytes_a = scratch_read("a.npz", &size_a), *bytes_b = scratch_read("b.npz", &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
    convt_model_destroy(a);
    convt_model_destroy(b);
    scratch_clear();
}

/* ---- what x is ------------------------------------------------------------------------------- */

#define UP "\"name\": \"up\", \"filters\": 1, \"kernel_size\": 2"
#define LAYER(class_name, config) "{\"class_name\": \"" class_name "\", \"config\": {" config "}}"

static convt_spec parse(const char *json)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_parse(json, &spec, &err)) fail_msg("%s: %s", err.field, err.message);
    return spec;
}

/* A file leaves sizes open; saved with them it says them wherever Keras looks. */
static void sizes_that_were_open_are_saved(void **state)
{
    (void)state;
    static const char *const models[] = {
        "[{" UP "}]",
        "[" LAYER("InputLayer", "\"batch_shape\": [null, null, null, 5]") ", {" UP "}]",
        "{\"module\": \"keras\", \"class_name\": \"Sequential\", \"config\": "
        "{\"build_input_shape\": "
        "[null, null, null, 5], \"layers\": [" LAYER(
            "Conv2DTranspose", UP) "]}, \"build_config\": "
                                   "{\"input_shape\": [null, null, null, 5]}}",
        "{\"layers\": [" LAYER("Conv2DTranspose", UP) "]}",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        convt_spec spec = parse(models[i]);
        convt_error err = {CONVT_OK, "", ""};
        char *json = NULL, *at;
        int said = 0;
        if (convt_spec_set_input(&spec, (convt_shape){3, 4, 5}, &err) ||
            convt_spec_json(&spec, &json, &err))
            fail_msg("%s: %s", err.field, err.message);
        assert_true(spec.layers[0].input.h == 3 && spec.layers[0].input.w == 4);
        convt_spec again = parse(json);
        assert_memory_equal(&again.layers[0].input, &spec.layers[0].input, sizeof(convt_shape));
        for (at = json; (at = strchr(at, '[')) != NULL; at++) {
            int h, w;
            if (sscanf(at, "[ null, %d, %d, 5 ]", &h, &w) != 2) continue;
            assert_true(h == 3 && w == 4);
            said++;
        }
        assert_true(said >= 2 && strstr(json, "null, null, null") == NULL);
        free(json);
        convt_spec_free(&again);
        convt_spec_free(&spec);
    }
}

/* get_config() of a Functional has neither module nor class: what is written says both. */
static void a_functional_is_written_as_one(void **state)
{
    (void)state;
    static const char config[] =
        "{\"name\": \"f\", \"layers\": [{\"class_name\": \"InputLayer\", \"name\": \"in\", "
        "\"config\": "
        "{\"batch_shape\": [null, 4]}, \"inbound_nodes\": []}, {\"class_name\": \"Dense\", "
        "\"name\": \"z\", "
        "\"config\": {\"name\": \"z\", \"units\": 3}, \"inbound_nodes\": [[[\"in\", 0, 0, {}]]]}], "
        "\"input_layers\": [[\"in\", 0, 0]], \"output_layers\": [[\"z\", 0, 0]]}";
    convt_spec spec = parse(config);
    convt_error err;
    char *json;
    assert_int_equal(convt_spec_json(&spec, &json, &err), CONVT_OK);
    assert_non_null(strstr(json, "\"module\": \"keras.src.models.functional\""));
    assert_non_null(strstr(json, "\"class_name\": \"Functional\""));
    convt_spec again = parse(json);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.layers[0].filters, 3);
    free(json);
    convt_spec_free(&again);
    convt_spec_free(&spec);
}

static void sizes_that_contradict_are_refused(void **state)
{
    (void)state;
    convt_spec spec =
        parse("[" LAYER("InputLayer", "\"batch_shape\": [null, 3, null, 5]") ", {" UP "}]");
    convt_error err;
    assert_refused(convt_spec_set_input(&spec, (convt_shape){4, 4, 5}, &err), &err,
                   CONVT_INVALID_SHAPE, "x", "");
    assert_string_equal(err.message, "is (None, 4, 4, 5) where the model takes another");
    assert_null(spec.layers);
}

/* A BatchNormalization is no parameter here, and starts with what its initializers say. */
static void statistics_begin_as_their_initializers_say(void **state)
{
    (void)state;
    static const struct row {
        const char *name;
        double value;
    } rows[] = {{"bn/gamma", 3}, {"bn/beta", 1}, {"bn/moving_mean", 0}, {"bn/moving_variance", 1}};
    convt_spec spec = parse(
        "[" LAYER("InputLayer", "\"batch_shape\": [null, 4], \"dtype\": \"float64\"") ", " LAYER(
            "Dense",
            "\"units\": 2, \"dtype\": \"float64\"") ", " LAYER("BatchNormalization",
                                                               "\"name\": \"bn\", \"dtype\": "
                                                               "\"float64\", "
                                                               "\"gamma_initializer\": "
                                                               "{\"module\": "
                                                               "\"keras.initializers\", "
                                                               "\"class_name\": \"Constant\", "
                                                               "\"config\": {\"value\": 3}, "
                                                               "\"registered_name\": null}, "
                                                               "\"beta_initializer\": \"ones\", "
                                                               "\"moving_mean_initializer\": "
                                                               "\"zeros\"") "]");
    convt_error err = {CONVT_OK, "", ""};
    spec.layers[0].inference = true;
    convt_model *model = create(spec.layers, spec.count);
    if (convt_spec_take_weights(&spec, model, &err)) fail_msg("%s: %s", err.field, err.message);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const convt_array *array = convt_archive_find(&spec.weights, rows[i].name);
        assert_non_null(array);
        assert_int_equal(array->element, CONVT_ELEMENT_F64);
        assert_true(array->rank == 1 && array->shape[0] == 2);
        for (int k = 0; k < 2; k++)
            assert_close(((const double *)array->data)[k], rows[i].value, 0, 0);
    }
    convt_model_destroy(model);
    convt_spec_free(&spec);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* That of a layer which is folded: no other is that long. */
static void a_name_that_no_file_holds_is_refused(void **state)
{
    (void)state;
    char json[512], name[122], expected[96];
    convt_error err;
    memset(name, 'a', 121);
    name[121] = '\0';
    snprintf(
        json, sizeof json,
        "[" LAYER("Dense", "\"units\": 2, \"input_shape\": [3]") ", {\"class_name\": "
                                                                 "\"BatchNormalization\", "
                                                                 "\"config\": {\"name\": \"%s\"}}]",
        name);
    convt_spec spec = parse(json);
    spec.layers[0].inference = true;
    convt_model *model = create(spec.layers, spec.count);
    snprintf(expected, sizeof expected, "%.60s... is too long for a file", name);
    assert_refused(convt_spec_take_weights(&spec, model, &err), &err, CONVT_INVALID_ARGUMENT,
                   "name", "");
    assert_string_equal(err.message, expected);
    convt_model_destroy(model);
    convt_spec_free(&spec);
}

/* Names tell arrays apart to their last byte: what is longer than a layer keeps is refused. */
static void long_names_come_back_or_are_refused(void **state)
{
    (void)state;
    char json[1024], name[64];
    convt_error err = {CONVT_OK, "", ""};
    for (size_t length = 62; length <= 63; length++) {
        convt_model *model, *back;
        memset(name, 'a', length);
        name[length] = '\0';
        snprintf(
            json, sizeof json,
            "[{\"name\": \"%s0\", \"filters\": 1, \"kernel_size\": 2, \"input_shape\": [2, 2, 1]}, "
            "{\"name\": \"%s1\", \"filters\": 1, \"kernel_size\": 2}]",
            name, name);
        convt_spec spec = parse(json);
        const convt_status status = convt_model_create(&model, spec.layers, 2, &err);
        if (length == 63) {
            assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "layers[0].name", "");
            assert_string_equal(err.message, "name must have at most 63 bytes, got 64");
            convt_spec_free(&spec);
            continue;
        }
        assert_int_equal(status, CONVT_OK);
        assert_int_equal(convt_spec_take_weights(&spec, model, &err), CONVT_OK);
        spec.layers[0].seed = 9;
        back = create(spec.layers, 2);
        assert_int_equal(convt_spec_load_weights(&spec, back, &err), CONVT_OK);
        check_same_weights(model, back);
        convt_model_destroy(back);
        convt_model_destroy(model);
        convt_spec_free(&spec);
    }
}

/* The model's own weights under other names, shapes or without some: nothing may be loaded. */
static void weights_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    convt_error err;
    convt_config other[2] = {two_layers[0], two_layers[1]};
    other[0].seed = 2;
    convt_model *model = create(two_layers, 2), *target = create(other, 2),
                *untouched = create(other, 2);
    save("model.npz", model, two_layers);
    convt_spec spec = read_ok(scratch("model.npz"));
    convt_array *last = &spec.weights.arrays[2];

    last->shape[0] = 1;
    last->shape[1] = 4;
    assert_refused(convt_spec_load_weights(&spec, target, &err), &err, CONVT_INVALID_SHAPE,
                   "conv2d_transpose/kernel",
                   "has shape (1, 4, 2, 6), the layer needs (2, 2, 2, 6)");
    check_same_weights(target, untouched);
    last->shape[0] = last->shape[1] = 2;
    last->rank = 3;
    assert_refused(convt_spec_load_weights(&spec, target, &err), &err, CONVT_INVALID_SHAPE,
                   "conv2d_transpose/kernel", "has shape (2, 2, 2)");
    last->rank = 4;
    strcpy(last->name, "conv2d_transpose_1/kernel");
    assert_refused(convt_spec_load_weights(&spec, target, &err), &err, CONVT_BAD_FORMAT,
                   "conv2d_transpose/kernel", "missing");
    check_same_weights(target, untouched);

    convt_model *half = create(two_layers, 1);
    assert_refused(convt_spec_load_weights(&spec, half, &err), &err, CONVT_INVALID_ARGUMENT,
                   "model", "has 1 layers, the spec 2");
    convt_model_destroy(half);

    convt_spec none = {0};
    assert_int_equal(convt_spec_load_weights(&none, target, &err), CONVT_OK);
    check_same_weights(target, untouched);
    convt_spec_free(&spec);
    convt_model_destroy(model);
    convt_model_destroy(target);
    convt_model_destroy(untouched);
    scratch_clear();
}

static void files_that_hold_no_model_are_refused(void **state)
{
    (void)state;
    convt_error err;
    float data[2] = {0};
    convt_array array = {
        .name = "x", .element = CONVT_ELEMENT_F32, .rank = 1, .shape = {2}, .data = data};
    check_refused(scratch("model.npz"), CONVT_FILE_FAILED, "model.npz", "No such file");
    check_refused(scratch_write("model.json", "", 0), CONVT_BAD_FORMAT, "model.json",
                  "is no model: neither JSON");
    check_refused(scratch_write("model.json", "{}\0{}", 5), CONVT_BAD_FORMAT, "model.json",
                  "zero byte");
    check_refused(scratch_write("model.json", "[{\"filters\": 1, \"kernel_size\": 0}]", 34),
                  CONVT_INVALID_ARGUMENT, "layers[0].kernel_size", "`value > 0`");
    assert_int_equal(convt_npz_write(scratch("model.npz"), &array, 1, NULL, NULL, &err), CONVT_OK);
    check_refused(scratch("model.npz"), CONVT_BAD_FORMAT, "model.npz", "has no member config.json");
    assert_int_equal(convt_npz_write(scratch("model.npz"), &array, 1, "config.json", "{", &err),
                     CONVT_OK);
    check_refused(scratch("model.npz"), CONVT_BAD_FORMAT, "model.npz", "is no JSON");
    assert_int_equal(convt_npz_write(scratch("model.npz"), NULL, 0, "model.weights.h5", "x", &err),
                     CONVT_OK);
    check_refused(scratch("model.npz"), CONVT_BAD_FORMAT, "model.npz",
                  convt_format_is_built(CONVT_FORMAT_KERAS) ? "has no member config.json"
                                                            : "CONVT_WITH_HDF5=OFF");
    scratch_clear();
}

static void a_json_file_is_a_model_without_weights(void **state)
{
    (void)state;
    static const char json[] = "[{\"filters\": 3, \"kernel_size\": 2, \"input_shape\": [4, 4, 2]}]";
    convt_error err;
    convt_spec spec = read_ok(scratch_write("model.json", json, sizeof json - 1));
    assert_int_equal(spec.count, 1);
    assert_int_equal(spec.weights.count, 0);
    convt_model *model = create(spec.layers, 1);
    assert_int_equal(convt_spec_load_weights(&spec, model, &err), CONVT_OK);
    convt_model_destroy(model);
    convt_spec_free(&spec);
    scratch_clear();
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    const convt_config layer = {.input = {1, 1, 1}, .filters = 1, .kernel_size = {1, 1}};
    convt_model *model = create(&layer, 1);
    convt_spec spec;
    convt_error err;
    size_t size;
    save("model.npz", model, &layer);
    char *bytes = scratch_read("model.npz", &size);
    for (size_t cut = 0; cut < size; cut += cut < 100 || cut + 300 > size ? 1 : 7) {
        convt_status status = convt_spec_read(scratch_write("model.npz", bytes, cut), &spec, &err);
        assert_int_equal(status, CONVT_BAD_FORMAT);
    }
    free(bytes);
    convt_model_destroy(model);
    scratch_clear();
}

static void a_full_disk_leaves_the_old_model(void **state)
{
    (void)state;
    convt_error err;
    const convt_config layer = {.input = {1, 1, 64}, .filters = 64, .kernel_size = {3, 3}};
    convt_model *small = create(two_layers, 2), *large = create(&layer, 1);
    save("model.npz", small, two_layers);
    scratch_limit(100000);
    convt_status status = convt_model_save(scratch("model.npz"), large, &layer, &err);
    scratch_limit((size_t)-1);
    assert_refused(status, &err, CONVT_FILE_FAILED, "model.npz", "File too large");
    convt_spec spec = read_ok(scratch("model.npz"));
    assert_int_equal(spec.count, 2);
    assert_int_equal(scratch_count(), 1);
    convt_spec_free(&spec);
    convt_model_destroy(small);
    convt_model_destroy(large);
    scratch_clear();
}

static void a_model_that_keras_cannot_name_is_not_saved(void **state)
{
    (void)state;
    convt_error err;
    convt_config layers[2] = {two_layers[0], two_layers[1]};
    convt_model *model = create(two_layers, 2);
    layers[1].kernel_constraint.kind = CONVT_CUSTOM_CONSTRAINT;
    convt_status status = convt_model_save(scratch("model.npz"), model, layers, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "kernel_constraint", "custom");
    assert_int_equal(scratch_count(), 0);
    convt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_model_comes_back),
        cmocka_unit_test(the_saved_config_may_differ_from_the_trained),
        cmocka_unit_test(weights_of_another_precision_are_converted),
        cmocka_unit_test(loaded_weights_are_used_at_once),
        cmocka_unit_test(equal_models_give_equal_files),
        cmocka_unit_test(sizes_that_were_open_are_saved),
        cmocka_unit_test(a_functional_is_written_as_one),
        cmocka_unit_test(sizes_that_contradict_are_refused),
        cmocka_unit_test(statistics_begin_as_their_initializers_say),
        cmocka_unit_test(a_name_that_no_file_holds_is_refused),
        cmocka_unit_test(long_names_come_back_or_are_refused),
        cmocka_unit_test(weights_that_do_not_fit_are_refused),
        cmocka_unit_test(files_that_hold_no_model_are_refused),
        cmocka_unit_test(a_json_file_is_a_model_without_weights),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_full_disk_leaves_the_old_model),
        cmocka_unit_test(a_model_that_keras_cannot_name_is_not_saved),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
