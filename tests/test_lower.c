/*
 * Models of many classes against real Keras: the files of tests/data/decoders, written by
 * tests/keras/decoders.py with Keras 3.15 on JAX. What a model predicts, and its weights after one
 * step of SGD; what comes of them in files; what is refused.
 */
#include "support/close.h"
#include "support/values.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <convt/gradcheck.h>
#include <convt/io.h>

static const double tolerance = 2e-5; /* of the largest value: float32 against float32 */
static const double rate = 0.05;      /* of decoders.py */

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/data/decoders/%s", CONVT_SOURCE_DIR, name);
    return path;
}

static convt_spec read_ok(const char *path)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_read(path, &spec, &err)) fail_msg("%s: %s: %s", path, err.field, err.message);
    return spec;
}

static const convt_array *array_of(const convt_spec *spec, const char *name)
{
    const convt_array *array = convt_archive_find(&spec->weights, name);
    if (!array) fail_msg("no %s", name);
    return array;
}

static int64_t count_of(convt_const_view v)
{
    return v.n * v.h * v.w * v.c;
}

/* The model of a file, with its weights. */
static convt_model *create(const convt_spec *spec, bool inference)
{
    const int64_t batch = array_of(spec, "x")->shape[0];
    convt_model *model;
    convt_error err = {CONVT_OK, "", ""};
    spec->layers[0].max_batch = batch;
    spec->layers[0].inference = inference;
    spec->layers[0].threads = 2;
    spec->layers[0].seed = 77; /* other weights to begin with */
    if (convt_model_create(&model, spec->layers, spec->count, &err) ||
        convt_spec_load_weights(spec, model, &err))
        fail_msg("%s: %s", err.field, err.message);
    return model;
}

static convt_const_view x_of(const convt_spec *spec)
{
    const convt_array *x = array_of(spec, "x");
    const convt_shape s = spec->layers[0].input;
    const convt_const_view view =
        convt_read(convt_f32((float *)x->data, x->shape[0], s.h, s.w, s.c));
    assert_int_equal(count_of(view), convt_array_count(x));
    assert_int_equal(x->rank, spec->x_rank);
    return view;
}

static double largest(const convt_array *array)
{
    double most = 1e-3;
    for (int64_t i = 0; i < convt_array_count(array); i++) {
        const double value = (double)((const float *)array->data)[i];
        most = value > most ? value : -value > most ? -value : most;
    }
    return most;
}

static void compare(const char *file, const char *what, convt_const_view actual,
                    const convt_array *expected, double allowed)
{
    double worst = 0;
    if (count_of(actual) != convt_array_count(expected))
        fail_msg("%s: %s has %lld elements, not %lld", file, what, (long long)count_of(actual),
                 (long long)convt_array_count(expected));
    for (int64_t i = 0; i < count_of(actual); i++) {
        const double difference = values_get(actual, i) -
                                  (double)((const float *)expected->data)[i];
        if (!(difference <= worst && -difference <= worst))
            worst = difference < 0 ? -difference : difference;
    }
    if (!(worst <= allowed * largest(expected)))
        fail_msg("%s: %s is off by %g of %g", file, what, worst, largest(expected));
}

/* ---- Keras' numbers -------------------------------------------------------------------------- */

static void check_prediction(const char *file, const convt_spec *spec)
{
    convt_model *model = create(spec, true);
    const convt_array *y = array_of(spec, "y");
    assert_int_equal(convt_model_forward(model, x_of(spec)), CONVT_OK);
    compare(file, "y", convt_model_output(model), y, tolerance);
    assert_int_equal(y->rank, spec->y_rank);
    for (int i = 0; i < y->rank - 1 && spec->y_size[0] > 0; i++)
        assert_int_equal(spec->y_size[i], y->shape[i + 1]);
    convt_model_destroy(model);
}

/* Forward, loss, backward, step, as Keras' fit. */
static void train_once(const convt_spec *spec, convt_model *model)
{
    const convt_array *t = array_of(spec, "target");
    const convt_loss_config loss = {.kind = CONVT_MEAN_SQUARED_ERROR};
    const convt_sgd_config config = {.learning_rate = CONVT_SET(rate)};
    convt_parameter rows[32];
    convt_loss_value value;
    convt_sgd *sgd;
    convt_error err = {CONVT_OK, "", ""};
    assert_int_equal(convt_model_forward(model, x_of(spec)), CONVT_OK);
    const convt_const_view out = convt_model_output(model),
                           target =
                               convt_read(convt_f32((float *)t->data, out.n, out.h, out.w, out.c));
    convt_view dy = values_new(CONVT_FLOAT32, out.n, out.h, out.w, out.c);
    if (convt_loss(&loss, target, out, NULL, out.n, &value, dy, &err))
        fail_msg("%s: %s", err.field, err.message);
    if (convt_model_backward(model, x_of(spec), convt_read(dy), CONVT_NONE))
        fail_msg("%s: %s", convt_model_error(model)->field, convt_model_error(model)->message);
    const int count = convt_model_parameters(model, rows);
    if (convt_sgd_create(&sgd, &config, rows, count, &err))
        fail_msg("%s: %s", err.field, err.message);
    convt_sgd_step(sgd);
    convt_sgd_destroy(sgd);
    values_free(dy);
}

static void check_step(const char *file, const convt_spec *spec)
{
    convt_parameter rows[32];
    convt_model *model = create(spec, false);
    train_once(spec, model);
    const int count = convt_model_parameters(model, rows);
    for (int i = 0; i < count; i++) {
        char name[128];
        snprintf(name, sizeof name, "after/%s/%s", rows[i].owner, rows[i].name);
        compare(file, name, convt_read(rows[i].value), array_of(spec, name), tolerance);
    }
    convt_model_destroy(model);
}

static void refuse_step(const char *file, const convt_spec *spec)
{
    convt_error err = {CONVT_OK, "", ""};
    convt_model *model;
    if (!spec->predicts_only) fail_msg("%s: nothing forbids to train it", file);
    spec->layers[0].inference = false;
    assert_int_equal(convt_model_create(&model, spec->layers, spec->count, &err), CONVT_OK);
    convt_status status = convt_spec_load_weights(spec, model, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "inference", spec->predicts_only);
    convt_model_destroy(model);
}

/* ---- there and back -------------------------------------------------------------------------- */

/* Keras' arrays, as they were read, but those of decoders.py's own. */
static void check_same_arrays(const char *file, const convt_spec *a, const convt_spec *b)
{
    for (int i = 0; i < a->weights.count; i++) {
        const convt_array *one = &a->weights.arrays[i],
                          *other = convt_archive_find(&b->weights, one->name);
        if (!other) fail_msg("%s: %s is lost", file, one->name);
        assert_int_equal(one->rank, other->rank);
        assert_memory_equal(one->shape, other->shape, (size_t)one->rank * sizeof *one->shape);
        assert_same_bits(other->data, one->data, (size_t)convt_array_count(one) * sizeof(float));
    }
}

static convt_spec encoded(const convt_spec *spec)
{
    convt_spec back = {0};
    convt_error err = {CONVT_OK, "", ""};
    void *data;
    size_t size;
    if (convt_spec_encode(spec, CONVT_FORMAT_NPZ, &data, &size, &err) ||
        convt_spec_decode(data, size, "memory", &back, &err))
        fail_msg("%s: %s", err.field, err.message);
    free(data);
    return back;
}

static void check_saving(const char *file, convt_spec *spec)
{
    convt_model *model = create(spec, true);
    convt_error err = {CONVT_OK, "", ""};
    convt_spec first = encoded(spec);
    check_same_arrays(file, spec, &first);
    assert_int_equal(convt_spec_take_weights(spec, model, &err), CONVT_OK);
    check_same_arrays(file, &first, spec);
    convt_spec second = encoded(spec);
    check_prediction(file, &second);
    assert_true((second.predicts_only == NULL) == (spec->predicts_only == NULL));
    convt_model_destroy(model);
    convt_spec_free(&first);
    convt_spec_free(&second);
}

/* ---- every file ------------------------------------------------------------------------------ */

static void decoders_compute_what_keras_computes(void **state)
{
    (void)state;
    int files = 0, steps = 0;
    DIR *folder = opendir(path_of(""));
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!strstr(entry->d_name, ".npz")) continue;
        convt_spec spec = read_ok(path_of(entry->d_name));
        const bool trains = convt_archive_find(&spec.weights, "target") != NULL;
        check_prediction(entry->d_name, &spec);
        if (trains)
            check_step(entry->d_name, &spec);
        else
            refuse_step(entry->d_name, &spec);
        check_saving(entry->d_name, &spec);
        convt_spec_free(&spec);
        files++;
        steps += trains;
    }
    closedir(folder);
    assert_true(files >= 30 && steps >= 20);
}

/* ---- what layers come to --------------------------------------------------------------------- */

#define LAYER(class_name, config) "{\"class_name\": \"" class_name "\", \"config\": {" config "}}"
#define INPUT(shape) LAYER("InputLayer", "\"batch_shape\": [null, " shape "]") ", "

static convt_spec parse_ok(const char *json)
{
    convt_spec spec;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_spec_parse(json, &spec, &err))
        fail_msg("%s: %s in %.200s", err.field, err.message, json);
    return spec;
}

/* Each letter a layer: t its kernel is transposed, c of a Conv2D, d of a Dense, f fixed; * with an
 * activation. */
static const char *shape_of(const convt_spec *spec)
{
    static char text[64];
    char *at = text;
    for (int i = 0; i < spec->count; i++) {
        *at++ = spec->layers[i].fixed ? 'f' : "tcd"[spec->layers[i].kernel_order];
        if (spec->layers[i].activation.kind != CONVT_LINEAR) *at++ = '*';
    }
    *at = '\0';
    return text;
}

static void layers_come_to_as_few_as_is_exact(void **state)
{
    (void)state;
#define DENSE LAYER("Dense", "\"units\": 8") ", "
#define RESHAPE LAYER("Reshape", "\"target_shape\": [2, 2, 2]") ", "
#define CONV LAYER("Conv2D", "\"filters\": 2, \"kernel_size\": 3, \"padding\": \"same\"") ", "
#define RELU LAYER("ReLU", "") ", "
#define NORM LAYER("BatchNormalization", "") ", "
#define PAD LAYER("ZeroPadding2D", "") ", "
#define CROP LAYER("Cropping2D", "\"cropping\": 1") ", "
#define UP LAYER("UpSampling2D", "") ", "
#define DROP LAYER("Dropout", "\"rate\": 0") ", "
#define END LAYER("Dropout", "\"rate\": 0")
#define VALID LAYER("Conv2D", "\"filters\": 2, \"kernel_size\": 3") ", "
#define TRANSPOSED LAYER("Conv2DTranspose", "\"filters\": 2, \"kernel_size\": 3") ", "
#define FAR LAYER("Cropping2D", "\"cropping\": 4611686018427387904") ", "
#define NUMPY(value) "{\"class_name\": \"__numpy__\", \"config\": {\"value\": " value "}}"
#define WATCHED \
    LAYER("Conv2D", "\"filters\": 2, \"kernel_size\": 3, \"activity_regularizer\": \"l2\"") ", "
    static const struct {
        const char *json, *shape;
    } rows[] = {
        {"[" INPUT("3") DENSE RELU RESHAPE CONV END "]", "d*c"},
        {"[" INPUT("3") DENSE RESHAPE RELU CONV END "]", "d*c"},
        {"[" INPUT("3") DENSE RELU RELU END "]", "d*f*"},
        {"[" INPUT("3") DENSE NORM RESHAPE NORM RELU END "]", "d*"},
        {"[" INPUT("3") DENSE RELU NORM NORM END "]", "d*ff"},
        {"[" INPUT("8") RESHAPE END "]", "f"},
        {"[" INPUT("3, 3, 2") END "]", "f"},
        {"[" INPUT("2, 2, 2") CONV RESHAPE END "]", "c"},
        {"[" INPUT("3, 3, 2") LAYER("Rescaling", "\"scale\": " NUMPY("[2, 3]")) "]", "f"},
        {"[" INPUT("null, null, 2") TRANSPOSED CROP CROP END "]", "t"},
        {"[" INPUT("null, null, 2") TRANSPOSED FAR FAR END "]", "tf"},
        {"[" INPUT("3, 3, 2") LAYER("Flatten", "") "]", "f"},
        {"[" INPUT("3, 3, 2") RELU CONV END "]", "f*c"},
        {"[" INPUT("9, 9, 2") WATCHED RELU END "]", "cf*"},
        {"[" INPUT("9, 9, 2") WATCHED CROP END "]", "cf"},
        {"[" INPUT("9, 9, 2") PAD DROP VALID VALID END "]", "cc"},
        {"[" INPUT("9, 9, 2") PAD PAD VALID END "]", "fc"},
        {"[" INPUT("9, 9, 2") PAD PAD PAD VALID END "]", "ffc"},
        {"[" INPUT("9, 9, 2") PAD CONV END "]", "c"},
        {"[" INPUT("9, 9, 2") PAD RELU END "]", "f*"},
        {"[" INPUT("9, 9, 2") VALID RELU CROP CROP END "]", "c*"},
        {"[" INPUT("9, 9, 2") UP CROP UP END "]", "ff"},
        {"[" INPUT("9, 9, 2") LAYER("Rescaling", "\"scale\": 2") "]", "f"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        convt_spec spec = parse_ok(rows[i].json);
        if (strcmp(shape_of(&spec), rows[i].shape) != 0)
            fail_msg("row %zu is %s, not %s", i, shape_of(&spec), rows[i].shape);
        convt_spec_free(&spec);
    }
}

static void ranks_say_what_arrays_are(void **state)
{
    (void)state;
    convt_spec spec = parse_ok("[" LAYER("Dense", "\"units\": 8") ", " LAYER(
        "Reshape", "\"target_shape\": [2, 2, 2]") "]");
    assert_int_equal(spec.x_rank, 2);
    assert_int_equal(spec.y_rank, 4);
    assert_int_equal(spec.y_size[2], 2);
    assert_int_equal(spec.layers[0].input.c, 0);
    convt_spec_free(&spec);
    spec = parse_ok("[{\"filters\": 1, \"kernel_size\": 2}]");
    assert_int_equal(spec.x_rank, 4);
    assert_int_equal(spec.y_size[0], 0);
    convt_spec_free(&spec);
}

/* A Dense that starts as a unit matrix, which no other kernel can. */
static void a_dense_may_start_as_the_identity(void **state)
{
    (void)state;
    convt_spec spec = parse_ok(
        "[" INPUT("2") LAYER("Dense", "\"units\": 3, \"kernel_initializer\": \"identity\"") "]");
    convt_model *model;
    convt_parameter rows[2];
    assert_int_equal(convt_model_create(&model, spec.layers, spec.count, NULL), CONVT_OK);
    convt_model_parameters(model, rows);
    assert_all_close(convt_read(rows[0].value), ((const double[]){1, 0, 0, 0, 1, 0}), 0, 0);
    convt_model_destroy(model);
    convt_spec_free(&spec);
}

static void gradients_of_lowered_models_are_right(void **state)
{
    (void)state;
    convt_spec spec = parse_ok("[" INPUT("3") LAYER(
        "Dense",
        "\"units\": 18, \"activation\": \"tanh\", \"dtype\": "
        "\"float64\", \"kernel_regularizer\": \"l2\"") ", " LAYER("Reshape",
                                                                  "\"target_shape\": [3, "
                                                                  "3, 2], \"dtype\": "
                                                                  "\"float64\"") ", " LAYER("UpSamp"
                                                                                            "ling2"
                                                                                            "D",
                                                                                            "\"dtyp"
                                                                                            "e\": "
                                                                                            "\"floa"
                                                                                            "t64\"") ", " LAYER("Conv2D",
                                                                                                                "\"filters\": 2, \"kernel_size\": [2, 3], \"padding\": \"same\", "
                                                                                                                "\"dtype\": \"float64\", \"activation\": \"sigmoid\"") "]");
    const convt_loss_config loss = {.kind = CONVT_MEAN_SQUARED_ERROR};
    const convt_gradcheck_options options = {.seed = 3};
    convt_gradcheck_report report;
    convt_error err = {CONVT_OK, "", ""};
    spec.layers[0].max_batch = 2;
    if (convt_model_gradcheck(spec.layers, spec.count, &loss, &options, &report, &err))
        fail_msg("%s: %s", err.field, err.message);
    assert_int_equal(report.verdict, CONVT_GRADCHECK_PASSED);
    convt_spec_free(&spec);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void what_is_not_exact_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *field, *message;
    } rows[] = {
        {INPUT("9, 9, 2") LAYER("Conv2D", "\"filters\": 1, \"kernel_size\": 3, \"strides\": 2"),
         "conv2d.strides", "must be 1: a Conv2D with strides is no transposed convolution, got 2"},
        {INPUT("9, 9, 2") LAYER("Conv2D", "\"filters\": 2, \"kernel_size\": 3, \"groups\": 2"),
         "conv2d.groups", "must be 1: groups are not supported, got 2"},
        {INPUT("9, 9, 2") LAYER("UpSampling2D", "\"interpolation\": \"bilinear\""),
         "up_sampling2d.interpolation", "must be nearest: others are not supported"},
        {INPUT("9, 9, 2") LAYER("UpSampling2D", "\"data_format\": \"channels_first\"") ", " LAYER(
             "Dense", "\"units\": 2, \"name\": \"d\""),
         "d.input", "has channels first, where a Dense runs over the width, not over them"},
        {INPUT("9, 9, 2") LAYER("BatchNormalization", "\"axis\": 1"), "batch_normalization.axis",
         "must be that of the channels"},
        {INPUT("9, 9, 2") LAYER("UpSampling2D", "\"data_format\": \"channels_first\"") ", " LAYER(
             "BatchNormalization", "\"name\": \"bn\""),
         "bn.axis", "must be that of the channels"},
        {INPUT("9, 9, 2") LAYER("Flatten", "\"data_format\": \"channels_first\""),
         "flatten.data_format",
         "must be channels_last: with channels first a Flatten moves them last"},
        {INPUT("null, 9, 2") LAYER("Flatten", ""), "flatten.input", "has a size that is not known"},
        {LAYER("ReLU", ""), "re_lu.input", "has channels whose number is not known"},
        {INPUT("9, 9, 2") LAYER("Rescaling", "\"scale\": [1, 2, 3]"), "rescaling.scale",
         "must be a number, or one for each channel where these come last, got [1, 2, 3]"},
        {INPUT("9, 9, 2") LAYER("Rescaling", "\"scale\": 1, \"offset\": null"), "rescaling.offset",
         "must be a number, or one for each channel where these come last, got null"},
        {INPUT("9") LAYER("Softmax", "\"axis\": 3"), "softmax.axis",
         "must be -1: the input has no axis 3"},
        {INPUT("4") LAYER("Dense", "\"units\": 4, \"activation\": \"softmax\"") ", " LAYER(
             "Reshape",
             "\"target_shape\": [1, 2, 2]") ", " LAYER("UpSampling2D",
                                                       "\"data_format\": \"channels_first\""),
         "dense.activation", "runs along units, which is not supported where channels come first"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[1024];
        convt_spec spec;
        convt_error err = {CONVT_OK, "", ""};
        snprintf(json, sizeof json, "[%s]", rows[i].layers);
        convt_status status = convt_spec_parse(json, &spec, &err);
        if (!status) fail_msg("accepted: %s", json);
        assert_int_equal(status, CONVT_INVALID_ARGUMENT);
        assert_string_equal(err.field, rows[i].field);
        assert_string_equal(err.message, rows[i].message);
        assert_null(spec.layers);
        assert_null(spec.storage);
    }
}

static void lacking_weights_are_refused_before_anything_changes(void **state)
{
    (void)state;
    static const char *const lacking[] = {"batch_normalization/gamma", "dense/kernel",
                                          "batch_normalization_1/moving_variance"};
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
        convt_spec spec = read_ok(path_of("normalized_last.npz"));
        convt_model *model = create(&spec, true);
        convt_parameter rows[16];
        convt_error err = {CONVT_OK, "", ""};
        convt_array *array = (convt_array *)(uintptr_t)array_of(&spec, lacking[i]);
        convt_model_parameters(model, rows);
        const float before = ((const float *)rows[0].value.data)[0];
        array->name[0] = '?';
        convt_status status = convt_spec_load_weights(&spec, model, &err);
        assert_refused(status, &err, CONVT_BAD_FORMAT, lacking[i], "missing");
        assert_true(memcmp(&before, rows[0].value.data, sizeof before) == 0);
        convt_model_destroy(model);
        convt_spec_free(&spec);
    }
}

/* Any bytes are a model or are refused in one line, and a model that is no larger than its file. */
static void damaged_configs_are_refused(void **state)
{
    (void)state;
    static const char json[] = "[" INPUT("6")
        LAYER("Dense", "\"units\": 12") ", " LAYER("BatchNormalization", "") ", " LAYER("Reshape", "\"target_shape\": [2, 3, 2]") ", " LAYER(
            "UpSampling2D",
            "") ", " LAYER("ZeroPadding2D",
                           "\"padding\": [[1, 2], [3, 4]]") ", " LAYER("Conv2D",
                                                                       "\"filters\": 2, "
                                                                       "\"kernel_size\": "
                                                                       "3") ", " LAYER("C"
                                                                                       "r"
                                                                                       "o"
                                                                                       "p"
                                                                                       "p"
                                                                                       "i"
                                                                                       "n"
                                                                                       "g"
                                                                                       "2"
                                                                                       "D",
                                                                                       "\"cropping"
                                                                                       "\": 1") ","
                                                                                                " " LAYER("Rescaling", "\"scale\": [1, 2]") ", " LAYER(
                                                                                                    "Activation",
                                                                                                    "\"activation\": \"elu\"") "]";
    static const char marks[] = "0123456789-.,:[]{}\"nul eE";
    uint64_t random = 5;
    int models = 0;
    for (int i = 0; i < 20000; i++) {
        char text[sizeof json];
        convt_spec spec;
        convt_error err = {CONVT_OK, "", ""};
        memcpy(text, json, sizeof json);
        for (uint64_t k = values_next(&random) % 3 + 1; k > 0; k--)
            text[values_next(&random) % (sizeof json - 1)] =
                marks[values_next(&random) % (sizeof marks - 1)];
        if (convt_spec_parse(text, &spec, &err)) {
            assert_true(err.field[0] && err.message[0]);
            assert_null(strchr(err.message, '\n'));
            assert_null(spec.storage);
            continue;
        }
        convt_model_memory(spec.layers, spec.count, &err);
        convt_spec_free(&spec);
        models++;
    }
    assert_true(models > 100);
}

/* ---- weights --------------------------------------------------------------------------------- */

static void lowered_layers_are_written_by_their_spec_alone(void **state)
{
    (void)state;
    convt_spec spec = parse_ok("[" INPUT("3, 3, 2") UP CONV END "]");
    convt_error err = {CONVT_OK, "", ""};
    char *json;
    convt_status status = convt_spec_write(spec.layers, spec.count, &json, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "fixed", "a spec that was read");
    status = convt_spec_write(spec.layers + 1, 1, &json, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "kernel_order", "a spec that was read");
    convt_spec_free(&spec);
}

/* A model that was made without weights has all of Keras' variables when it is saved. */
static void weights_are_taken_where_there_were_none(void **state)
{
    (void)state;
    convt_spec spec =
        parse_ok("[" INPUT("3") LAYER("Dense", "\"units\": 4, \"use_bias\": false") ", " LAYER(
            "BatchNormalization", "\"moving_mean_initializer\": \"ones\"") "]");
    convt_model *model;
    convt_error err = {CONVT_OK, "", ""};
    spec.layers[0].inference = true;
    assert_int_equal(convt_model_create(&model, spec.layers, spec.count, &err), CONVT_OK);
    assert_int_equal(convt_spec_take_weights(&spec, model, &err), CONVT_OK);
    assert_int_equal(spec.weights.count, 5);
    assert_close((double)((float *)array_of(&spec, "batch_normalization/moving_mean")->data)[2], 1,
                 0, 0);
    assert_close((double)((float *)array_of(&spec, "batch_normalization/beta")->data)[2], 0, 0, 0);
    assert_int_equal(array_of(&spec, "dense/kernel")->rank, 2);
    assert_int_equal(convt_spec_load_weights(&spec, model, &err), CONVT_OK);
    convt_model_destroy(model);
    convt_spec_free(&spec);
}

/* Doubles, halves (read as floats) and integers alike. */
static void weights_of_every_type_are_loaded(void **state)
{
    (void)state;
    double numbers[2] = {0.5, -2};
    int64_t integers[1] = {3};
    convt_array arrays[2] = {{.name = "dense/kernel",
                              .element = CONVT_ELEMENT_F64,
                              .rank = 2,
                              .shape = {2, 1},
                              .data = numbers},
                             {.name = "dense/bias",
                              .element = CONVT_ELEMENT_I64,
                              .rank = 1,
                              .shape = {1},
                              .data = integers}};
    convt_spec spec = parse_ok("[" INPUT("2") LAYER("Dense", "\"units\": 1") "]");
    convt_model *model;
    convt_parameter rows[2];
    convt_error err = {CONVT_OK, "", ""};
    spec.weights = (convt_archive){.arrays = arrays, .count = 2};
    assert_int_equal(convt_model_create(&model, spec.layers, spec.count, &err), CONVT_OK);
    assert_int_equal(convt_spec_load_weights(&spec, model, &err), CONVT_OK);
    assert_int_equal(convt_model_parameters(model, rows), 2);
    assert_close(values_get(convt_read(rows[0].value), 1), -2, 0, 0);
    assert_close(values_get(convt_read(rows[1].value), 0), 3, 0, 0);
    spec.weights = (convt_archive){0};
    convt_model_destroy(model);
    convt_spec_free(&spec);
}

/* What a file of weights alone holds is taken whole or not at all. */
static void weights_of_another_file_are_taken(void **state)
{
    (void)state;
    convt_spec spec = read_ok(path_of("normalized_last.npz")),
               other = read_ok(path_of("norms_last.npz"));
    convt_error err = {CONVT_OK, "", ""};
    float *gamma = array_of(&spec, "batch_normalization/gamma")->data;
    gamma[0] = 100;
    assert_int_equal(convt_spec_read_weights(path_of("normalized_last.npz"), &spec, &err),
                     CONVT_OK);
    check_prediction("normalized_last.npz", &spec);
    convt_status status = convt_spec_read_weights(path_of("frozen_last.npz"), &other, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "batch_normalization_2/gamma", "missing");
    check_prediction("norms_last.npz", &other);
    status =
        convt_spec_read_weights(CONVT_SOURCE_DIR "/tests/data/keras_sequential.json", &spec, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "keras_sequential.json", "holds no weights");
    convt_spec_free(&spec);
    convt_spec_free(&other);
}

static void a_model_that_is_frozen_has_frozen_layers(void **state)
{
    (void)state;
    static const char json[] =
        "{\"class_name\": \"Functional\", \"config\": {\"trainable\": false, \"layers\": [{"
        "\"class_name\": \"InputLayer\", \"name\": \"x\", \"config\": {\"batch_shape\": [null, "
        "4]}, "
        "\"inbound_nodes\": []}, {\"class_name\": \"Dense\", \"name\": \"d\", \"config\": "
        "{\"name\": "
        "\"d\", \"units\": 3}, \"inbound_nodes\": [[[\"x\", 0, 0, {}]]]}], \"input_layers\": "
        "[[\"x\", 0, "
        "0]], \"output_layers\": [[\"d\", 0, 0]]}}";
    convt_spec spec = parse_ok(json);
    assert_true(spec.layers[0].frozen);
    convt_spec_free(&spec);
}

/* ---- the config that is given back ----------------------------------------------------------- */

static void the_config_is_that_of_keras(void **state)
{
    (void)state;
    static const struct {
        const char *json, *class_name;
        size_t layers;
    } rows[] = {
        {"{\"filters\": 1, \"kernel_size\": 2}", "Sequential", 1},
        {"[{\"filters\": 1, \"kernel_size\": 2, \"input_shape\": [3, 3, 1]}]", "Sequential", 2},
        {"{\"layers\": [" LAYER("Dense", "\"units\": 2") "], \"build_input_shape\": [null, 4]}",
         "Sequential", 2},
        {"{\"class_name\": \"Sequential\", \"config\": [" LAYER("Dense", "\"units\": 2") "]}",
         "Sequential", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        convt_spec spec = parse_ok(rows[i].json), back;
        convt_error err = {CONVT_OK, "", ""};
        char *json = NULL;
        assert_int_equal(convt_spec_json(&spec, &json, &err), CONVT_OK);
        json_t *root = json_loads(json, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(root, "class_name")),
                            rows[i].class_name);
        assert_int_equal(
            json_array_size(json_object_get(json_object_get(root, "config"), "layers")),
            rows[i].layers);
        back = parse_ok(json);
        assert_int_equal(back.count, spec.count);
        assert_int_equal(back.x_rank, spec.x_rank);
        json_decref(root);
        free(json);
        convt_spec_free(&back);
        convt_spec_free(&spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders_compute_what_keras_computes),
        cmocka_unit_test(layers_come_to_as_few_as_is_exact),
        cmocka_unit_test(ranks_say_what_arrays_are),
        cmocka_unit_test(a_dense_may_start_as_the_identity),
        cmocka_unit_test(gradients_of_lowered_models_are_right),
        cmocka_unit_test(what_is_not_exact_is_refused_by_name),
        cmocka_unit_test(lacking_weights_are_refused_before_anything_changes),
        cmocka_unit_test(damaged_configs_are_refused),
        cmocka_unit_test(lowered_layers_are_written_by_their_spec_alone),
        cmocka_unit_test(weights_are_taken_where_there_were_none),
        cmocka_unit_test(weights_of_every_type_are_loaded),
        cmocka_unit_test(weights_of_another_file_are_taken),
        cmocka_unit_test(a_model_that_is_frozen_has_frozen_layers),
        cmocka_unit_test(the_config_is_that_of_keras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
