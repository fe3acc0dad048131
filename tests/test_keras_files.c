/* .keras and .weights.h5: what Keras 3.0 and the current one wrote (tests/data/files/keras-*, made by
 * tests/keras/files_keras.py), the way there and back, and files that are broken. */
#define _XOPEN_SOURCE 700 /* setenv */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
#include "package.h"
#include "zip_archive.h"

#define FOLDER CONVT_SOURCE_DIR "/tests/data/files/"

static const char *const stems[] = {"keras-3.0.5-sequential", "keras-3.0.5-functional",
                                    "keras-3.15.1-sequential", "keras-3.15.1-functional"};
enum { STEMS = sizeof stems / sizeof *stems };

static const char *file_of(const char *stem, const char *suffix)
{
    static char path[512];
    snprintf(path, sizeof path, FOLDER "%s%s", stem, suffix);
    return path;
}

static char *bytes_of(const char *stem, const char *suffix, size_t *size)
{
    char *data;
    convt_error err;
    if (convt_file_read(file_of(stem, suffix), &data, size, &err)) fail_msg("%s", err.message);
    return data;
}

static convti_package read_package(const char *stem)
{
    convti_input input;
    convti_package package;
    convt_error err;
    if (convti_input_open(&input, file_of(stem, ".keras"), &err)) fail_msg("%s", err.message);
    if (convti_package_read(&input, NULL, &package, &err)) fail_msg("%s", err.message);
    convti_input_close(&input);
    return package;
}

/* As many arrays as Keras says, with its numbers; the .npz also holds x and y. */
static void check_weights(const convt_archive *weights, const char *stem)
{
    convt_archive expected;
    convt_error err;
    if (convt_npz_read(file_of(stem, ".npz"), NULL, &expected, &err)) fail_msg("%s", err.message);
    assert_int_equal(weights->count, expected.count - 2);
    for (int i = 0; i < weights->count; i++) {
        const convt_array *array = &weights->arrays[i],
                          *other = convt_archive_find(&expected, array->name);
        if (!other) fail_msg("%s: %s is none of Keras'", stem, array->name);
        assert_int_equal(array->element, other->element);
        assert_int_equal(array->rank, other->rank);
        assert_memory_equal(array->shape, other->shape, sizeof array->shape);
        assert_same_bits(array->data, other->data, convti_array_bytes(array));
    }
    convt_archive_free(&expected);
}

/* ---- what Keras wrote ------------------------------------------------------------------------ */

static void weights_are_those_of_keras(void **state)
{
    (void)state;
    for (int i = 0; i < STEMS; i++) {
        convti_package package = read_package(stems[i]);
        check_weights(&package.weights, stems[i]);
        convti_package_free(&package);
    }
}

static void weights_alone_are_those_of_keras(void **state)
{
    (void)state;
    for (int i = 0; i < STEMS; i += 2) {
        convti_package model = read_package(stems[i]), package;
        convti_items items;
        convti_input input;
        convt_error err;
        if (convti_items_read(model.config, &items, &err)) fail_msg("%s", err.message);
        if (convti_input_open(&input, file_of(stems[i], ".weights.h5"), &err))
            fail_msg("%s", err.message);
        if (convti_package_read(&input, &items, &package, &err)) fail_msg("%s", err.message);
        check_weights(&package.weights, stems[i]);
        assert_null(package.config);
        convti_input_close(&input);
        convti_package_free(&package);
        convti_items_free(&items);
        convti_package_free(&model);
    }
}

static convt_model *model_of(const convt_spec *spec, int64_t samples)
{
    convt_model *model;
    convt_error err = {.status = CONVT_OK};
    spec->layers[0].max_batch = samples;
    spec->layers[0].inference = true;
    if (convt_model_create(&model, spec->layers, spec->count, &err)) fail_msg("%s", err.message);
    if (convt_spec_load_weights(spec, model, &err)) fail_msg("%s", err.message);
    return model;
}

static void predictions_are_those_of_keras(void **state)
{
    (void)state;
    for (int i = 0; i < STEMS; i++) {
        convt_spec spec;
        convt_archive expected;
        convt_error err;
        convt_view x;
        if (convt_spec_read(file_of(stems[i], ".keras"), &spec, &err)) fail_msg("%s", err.message);
        if (convt_npz_read(file_of(stems[i], ".npz"), NULL, &expected, &err))
            fail_msg("%s", err.message);
        convt_array *y = (convt_array *)convt_archive_find(&expected, "y"),
                    *given = (convt_array *)convt_archive_find(&expected, "x");
        convt_model *model = model_of(&spec, given->shape[0]);
        if (given->rank == 2) { /* units are channels */
            given->shape[3] = given->shape[1];
            given->shape[1] = given->shape[2] = 1;
            given->rank = 4;
        }
        assert_int_equal(convt_array_convert(given, spec.layers[0].dtype, &err), CONVT_OK);
        assert_int_equal(convt_array_view(given, &x, &err), CONVT_OK);
        if (convt_model_forward(model, convt_read(x)))
            fail_msg("%s: %s", stems[i], convt_model_error(model)->message);
        const bool wide = y->element == CONVT_ELEMENT_F64;
        assert_int_equal(convt_array_convert(y, CONVT_FLOAT64, &err), CONVT_OK);
        assert_all_close(convt_model_output(model), y->data, wide ? 1e-12 : 2e-5,
                         wide ? 1e-12 : 2e-5);
        convt_model_destroy(model);
        convt_archive_free(&expected);
        convt_spec_free(&spec);
    }
}

/* ---- there and back -------------------------------------------------------------------------- */

static convti_bytes write_package(const convti_package *package, convt_format format)
{
    convti_bytes bytes;
    convt_error err;
    if (convti_package_write(package, format, "out", &bytes, &err)) fail_msg("%s", err.message);
    return bytes;
}

static void packages_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < STEMS; i++) {
        convti_package package = read_package(stems[i]), back;
        convt_error err;
        convti_bytes bytes = write_package(&package, CONVT_FORMAT_KERAS);
        const convti_input input = convti_input_of_memory("out", bytes.data, bytes.size);
        if (convti_package_read(&input, NULL, &back, &err)) fail_msg("%s", err.message);
        check_weights(&back.weights, stems[i]);
        assert_true(json_equal(back.config, package.config));
        convti_package_free(&back);
        convti_package_free(&package);
        free(bytes.data);
    }
}

static void weights_alone_come_back(void **state)
{
    (void)state;
    convti_package package = read_package(stems[0]), back;
    convti_items items;
    convt_error err;
    convti_bytes bytes = write_package(&package, CONVT_FORMAT_WEIGHTS_H5);
    const convti_input input = convti_input_of_memory("out", bytes.data, bytes.size);
    assert_int_equal(convti_items_read(package.config, &items, &err), CONVT_OK);
    if (convti_package_read(&input, &items, &back, &err)) fail_msg("%s", err.message);
    check_weights(&back.weights, stems[0]);
    convti_package_free(&back);
    const convt_status status = convti_package_read(&input, NULL, &back, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "out", "holds weights alone");
    convti_items_free(&items);
    convti_package_free(&package);
    free(bytes.data);
}

static void equal_models_are_equal_files(void **state)
{
    (void)state;
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    convti_package package = read_package(stems[0]);
    convti_bytes one = write_package(&package, CONVT_FORMAT_KERAS),
                 two = write_package(&package, CONVT_FORMAT_KERAS);
    assert_int_equal(one.size, two.size);
    assert_same_bits(one.data, two.data, one.size);
    const convti_input input = convti_input_of_memory("out", one.data, one.size);
    convti_zip zip;
    char *text;
    convt_error err;
    assert_int_equal(convti_zip_open(&zip, &input, &err), CONVT_OK);
    assert_int_equal(convti_zip_take_text(&zip, 0, &text, &err), CONVT_OK);
    assert_string_equal(text,
                        "{\"keras_version\": \"3.15.1\", \"date_saved\": \"2023-11-14@22:13:20\"}");
    free(text);
    convti_zip_close(&zip);
    convti_package_free(&package);
    free(one.data);
    free(two.data);
}

/* ---- what Keras would not read --------------------------------------------------------------- */

static void check_unwritten(const char *config, const char *field, const char *part)
{
    float numbers[4] = {0};
    convt_array arrays[] = {{"up/kernel", CONVT_ELEMENT_F32, 4, {2, 2, 1, 1}, numbers}};
    convti_package package = {.config = json_loads(config, 0, NULL),
                              .weights = {.arrays = arrays, .count = 1}};
    convti_bytes bytes;
    convt_error err = {.status = CONVT_OK};
    const convt_status status =
        convti_package_write(&package, CONVT_FORMAT_KERAS, "a.keras", &bytes, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, field, part);
    assert_null(bytes.data);
    json_decref(package.config);
}

#define UP "\"name\": \"up\", \"filters\": 1, \"kernel_size\": 2, \"use_bias\": false"

static void what_keras_has_no_words_for_is_refused(void **state)
{
    (void)state;
    check_unwritten("[{" UP ", \"convt\": {\"strides_with_dilation\": true}}]", "a.keras",
                    "layer up has \"convt\" arguments");
    check_unwritten("[{" UP "}]", "a.keras", "the shape of the input of up is not known");
    check_unwritten(
        "{\"class_name\": \"Sequential\", \"config\": {\"build_input_shape\": [null, 2, 2, "
        "1], \"layers\": [{\"class_name\": \"Conv2DTranspose\", \"config\": {\"name\": "
        "\"other\", \"filters\": 1, \"kernel_size\": 2}}]}}",
        "a.keras", "there is no array other/kernel");
}

/* Packages of weights alone: who needs layers says so. */
static void weights_alone_have_no_place(void **state)
{
    (void)state;
    static const char unknown[] =
        "cannot be written: the layers are not known, which say where weights go";
    static const struct row {
        convt_format format;
        const char *message;
    } rows[] = {{CONVT_FORMAT_KERAS, unknown},
                {CONVT_FORMAT_WEIGHTS_H5, unknown},
                {CONVT_FORMAT_JSON, "has no layers to write"},
                {CONVT_NO_FORMAT, "has no suffix of a format of models"},
                {(convt_format)1000, "has no suffix of a format of models"}};
    const convti_package package = {.config = NULL};
    const convti_items none = {0};
    const convti_input input = convti_input_of_memory("a.h5", "", 0);
    convti_package read;
    convt_error err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        convti_bytes bytes;
        assert_refused(convti_package_write(&package, rows[i].format, "a", &bytes, &err), &err,
                       CONVT_INVALID_ARGUMENT, "a", "");
        assert_string_equal(err.message, rows[i].message);
        assert_null(bytes.data);
    }
    assert_refused(convti_weights_h5_read(&input, &none, &read, &err), &err, CONVT_BAD_FORMAT,
                   "a.h5", "holds weights alone: the layers must come from a model");
    assert_null(read.weights.arrays);
}

/* <layer>/<variable> is the name of an array, which has an end. */
static void names_that_are_too_long_are_refused(void **state)
{
    (void)state;
    char json[512], expected[256], name[122];
    convti_bytes bytes;
    convt_error err;
    memset(name, 'a', 121);
    name[121] = '\0';
    snprintf(json, sizeof json,
             "[{\"name\": \"%s\", \"filters\": 1, \"kernel_size\": 2, \"input_shape\": [2, 2, 1]}]",
             name);
    snprintf(expected, sizeof expected, "%.100s... is too long for a name: 128 bytes, at most 127",
             name);
    const convti_package package = {.config = json_loads(json, 0, NULL)};
    assert_refused(convti_package_write(&package, CONVT_FORMAT_KERAS, "a.keras", &bytes, &err),
                   &err, CONVT_BAD_FORMAT, "a.keras", expected);
    assert_null(bytes.data);
    json_decref(package.config);
}

/* What is no model becomes a Sequential, built for the shape that the first layer says. */
static void a_list_of_layers_is_a_sequential(void **state)
{
    (void)state;
    float numbers[4] = {1, 2, 3, 4};
    convt_array kernel = {"up/kernel", CONVT_ELEMENT_F32, 4, {2, 2, 1, 1}, numbers};
    const convti_package package = {
        .config = json_loads("[{" UP ", \"input_shape\": [null, 3, 1]}]", 0, NULL),
        .weights = {&kernel, 1, NULL}};
    convti_package back;
    convt_error err;
    convti_bytes bytes = write_package(&package, CONVT_FORMAT_KERAS);
    const convti_input input = convti_input_of_memory("out", bytes.data, bytes.size);
    if (convti_package_read(&input, NULL, &back, &err)) fail_msg("%s", err.message);
    const json_t *config = json_object_get(back.config, "config");
    json_t *shape = json_loads("[null, null, 3, 1]", 0, NULL);
    assert_string_equal(json_string_value(json_object_get(back.config, "class_name")),
                        "Sequential");
    assert_true(json_equal(json_object_get(config, "build_input_shape"), shape));
    assert_same_bits(back.weights.arrays[0].data, numbers, sizeof numbers);
    json_decref(shape);
    json_decref(package.config);
    convti_package_free(&back);
    free(bytes.data);
}

/* A .json is the config alone. */
static void layers_alone_come_back(void **state)
{
    (void)state;
    convti_package package = read_package(stems[0]), back;
    convt_error err;
    convti_bytes bytes = write_package(&package, CONVT_FORMAT_JSON);
    const convti_input input = convti_input_of_memory("out", bytes.data, bytes.size);
    if (convti_package_read(&input, NULL, &back, &err)) fail_msg("%s", err.message);
    assert_true(json_equal(back.config, package.config));
    assert_int_equal(back.weights.count, 0);
    convti_package_free(&back);
    convti_package_free(&package);
    free(bytes.data);
}

/* ---- broken files ---------------------------------------------------------------------------- */

/* One line, or a package. */
static bool reads(const void *bytes, size_t size, const convti_items *items)
{
    const convti_input input = convti_input_of_memory("broken", bytes, size);
    convti_package package;
    convt_error err = {.status = CONVT_OK};
    const convt_status status = convti_package_read(&input, items, &package, &err);
    if (status && (err.message[0] == '\0' || strpbrk(err.message, "\r\n")))
        fail_msg("no line: %s", err.message);
    if (status) assert_null(package.weights.arrays);
    convti_package_free(&package);
    return status == CONVT_OK;
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *bytes = bytes_of(stems[2], ".keras", &size);
    for (size_t cut = 0; cut < size; cut += cut < size - 300 ? 61 : 1)
        assert_false(reads(bytes, cut, NULL));
    assert_true(reads(bytes, size, NULL));
    free(bytes);
}

/* The checksums of the archive see a bit turned over in config or weights before HDF5 does. */
static void turned_bits_are_found(void **state)
{
    (void)state;
    size_t size, wrong = 0, tried = 0;
    char *bytes = bytes_of(stems[2], ".keras", &size);
    for (size_t at = 11; at < size; at += 37, tried++) {
        bytes[at] ^= (char)(1 << at % 8);
        wrong += !reads(bytes, size, NULL);
        bytes[at] ^= (char)(1 << at % 8);
    }
    /* metadata.json is not read, and neither are the dates of members */
    assert_true(wrong >= tried - 8);
    free(bytes);
}

/* Bytes of HDF5 have no checksums: something is read, or one line says why not. */
static void broken_weights_are_one_line(void **state)
{
    (void)state;
    size_t size;
    char *bytes = bytes_of(stems[2], ".weights.h5", &size);
    convti_package model = read_package(stems[2]);
    convti_items items;
    convt_error err;
    assert_int_equal(convti_items_read(model.config, &items, &err), CONVT_OK);
    for (size_t cut = 0; cut < size; cut += 101) assert_false(reads(bytes, cut, &items));
    for (size_t at = 0; at < size; at += 23) {
        bytes[at] ^= (char)(1 << at % 8);
        reads(bytes, size, &items);
        bytes[at] ^= (char)(1 << at % 8);
    }
    assert_true(reads(bytes, size, &items));
    convti_items_free(&items);
    convti_package_free(&model);
    free(bytes);
}

/* A .keras out of parts; NULL leaves the member out. */
static convti_bytes zip_of(const char *config, const void *weights, size_t size)
{
    convti_zip_writer zip;
    convti_bytes bytes;
    convt_error err;
    convt_status status = convti_zip_create(&zip, "zip", &err);
    if (!status && config)
        status = convti_zip_add(&zip, "config.json", config, strlen(config), &err);
    if (!status && weights) status = convti_zip_add(&zip, "model.weights.h5", weights, size, &err);
    if (convti_zip_finish(&zip, status, &bytes.data, &bytes.size, &err))
        fail_msg("%s", err.message);
    return bytes;
}

static void check_parts(const char *config, const void *weights, size_t size, const char *part)
{
    convti_bytes bytes = zip_of(config, weights, size);
    const convti_input input = convti_input_of_memory("a.keras", bytes.data, bytes.size);
    convti_package package;
    convt_error err = {.status = CONVT_OK};
    const convt_status status = convti_keras_read(&input, NULL, &package, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "a.keras", part);
    assert_null(package.config);
    free(bytes.data);
}

#define MODEL(layers) "{\"class_name\": \"Sequential\", \"config\": {\"layers\": [" layers "]}}"
#define DENSE(name) \
    "{\"class_name\": \"Dense\", \"config\": {\"name\": \"" name "\", \"units\": 8}}"

static void missing_parts_are_named(void **state)
{
    (void)state;
    size_t size;
    char *weights = bytes_of(stems[2], ".weights.h5", &size);
    check_parts(NULL, weights, size, "has no member config.json");
    check_parts(MODEL(DENSE("a")), NULL, 0, "has no member model.weights.h5");
    check_parts("{", weights, size, "is no JSON");
    check_parts(MODEL(DENSE("a")), "HDF", 3, "model.weights.h5 cannot be read: ");
    check_parts(MODEL(DENSE("a") "," DENSE("b")), weights, size,
                "model.weights.h5 has no layers/dense_1/vars");
    check_parts(MODEL("{\"class_name\": \"Dense\", \"config\": {\"name\": \"a\", \"units\": 8, "
                      "\"use_bias\": false}}"),
                weights, size, "layers/dense/vars has 2 variables where a has 1");
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_keras),
        cmocka_unit_test(weights_alone_are_those_of_keras),
        cmocka_unit_test(predictions_are_those_of_keras),
        cmocka_unit_test(packages_come_back),
        cmocka_unit_test(weights_alone_come_back),
        cmocka_unit_test(equal_models_are_equal_files),
        cmocka_unit_test(what_keras_has_no_words_for_is_refused),
        cmocka_unit_test(weights_alone_have_no_place),
        cmocka_unit_test(names_that_are_too_long_are_refused),
        cmocka_unit_test(a_list_of_layers_is_a_sequential),
        cmocka_unit_test(layers_alone_come_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(turned_bits_are_found),
        cmocka_unit_test(broken_weights_are_one_line),
        cmocka_unit_test(missing_parts_are_named),
    };
    if (!convt_format_is_built(CONVT_FORMAT_KERAS)) {
        printf("skipped: this build was made with CONVT_WITH_HDF5=OFF\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
