/* ONNX: the wire format, PyTorch's files, there and back, refusals, and files that lie. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.h"
#include "package.h"

/* ---- the wire format ------------------------------------------------------------------------- */

static convti_wire wire_of(const unsigned char *bytes, size_t size)
{
    return (convti_wire){bytes, bytes + size};
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, INT64_MAX, UINT64_MAX};
    enum { COUNT = sizeof values / sizeof *values };
    convti_message message = {0};
    const size_t begin = convti_message_begin(&message);
    for (uint64_t i = 0; i < COUNT; i++) convti_message_varint(&message, i + 1, values[i]);
    convti_message_text(&message, 1000, "text");
    convti_message_float(&message, 2000, 0.5f);
    convti_message_end(&message, 9, begin);
    convti_wire wire = wire_of(message.data, message.size), inner;
    convti_wire_field field;
    assert_true(convti_wire_next(&wire, &field));
    assert_int_equal(field.number, 9);
    inner = field.bytes;
    assert_false(convti_wire_next(&wire, &field));
    assert_non_null(wire.at);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(convti_wire_next(&inner, &field));
        assert_true(field.number == i + 1 && field.value == values[i]);
    }
    assert_true(convti_wire_next(&inner, &field) && convti_wire_is(field.bytes, "text"));
    assert_true(convti_wire_next(&inner, &field) && field.value == 0x3F000000);
    assert_false(convti_wire_next(&inner, &field));
    assert_non_null(inner.at);
    free(message.data);
}

static void fields_that_lie_are_none(void **state)
{
    (void)state;
    static const struct lie {
        size_t size;
        unsigned char bytes[12];
    } lies[] = {
        {2, {0x0A, 1}},                         /* longer than there is */
        {6, {0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 7}}, /* 2 GiB */
        {11, {0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1}},    /* 2^64 - 1 */
        {12, {8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}}, /* 11 bytes */
        {11, {8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2}},       /* 65 bits */
        {2, {8, 0x80}},                                                           /* no end */
        {1, {8}},
        {4, {0x0D, 1, 2, 3}},          /* 3 of 4 bytes */
        {8, {9, 1, 2, 3, 4, 5, 6, 7}}, /* 7 of 8 */
        {2, {0x0B, 0x0C}},             /* a group */
        {2, {0, 0}},                   /* number 0 */
        {2, {0x0E, 0}},                /* type 6 */
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_false(convti_wire_is_sound(wire_of(lies[i].bytes, lies[i].size)));
}

/* ---- files ----------------------------------------------------------------------------------- */

static const char *const stored[] = {"dcgan", "view", "upsample", "dynamo"};
enum { STORED = sizeof stored / sizeof *stored };

static char *file_bytes(const char *name, size_t *size)
{
    char path[512], *bytes;
    convt_error err;
    snprintf(path, sizeof path, "%s/tests/data/onnx/%s.onnx", CONVT_SOURCE_DIR, name);
    if (convt_file_read(path, &bytes, size, &err)) fail_msg("%s: %s", err.field, err.message);
    return bytes;
}

static convt_status read_bytes(const void *bytes, size_t size, convti_package *package,
                               convt_error *err)
{
    const convti_input input = convti_input_of_memory("a.onnx", bytes, size);
    return convti_onnx_read(&input, NULL, package, err);
}

static convti_bytes write_again(const void *bytes, size_t size)
{
    convti_package package;
    convti_bytes written = {0};
    convt_error err = {CONVT_OK, "", ""};
    if (read_bytes(bytes, size, &package, &err) ||
        convti_onnx_write(&package, "b.onnx", &written, &err))
        fail_msg("%s: %s", err.field, err.message);
    convti_package_free(&package);
    return written;
}

/* The classes in order, a space behind each. */
static void list_classes(const convti_package *package, char text[512])
{
    size_t i;
    json_t *layer;
    text[0] = '\0';
    json_array_foreach(json_object_get(json_object_get(package->config, "config"), "layers"), i,
                       layer)
    {
        const char *name = json_string_value(json_object_get(layer, "class_name"));
        strncat(text, name, 511 - strlen(text));
        strncat(text, " ", 511 - strlen(text));
    }
}

static void files_of_pytorch_are_keras_layers(void **state)
{
    (void)state;
    static const char *const classes[STORED] = {
        "InputLayer Conv2DTranspose BatchNormalization Activation Conv2DTranspose "
        "BatchNormalization Activation Conv2DTranspose Activation ",
        "InputLayer Dense LeakyReLU Reshape Conv2DTranspose Activation ",
        "InputLayer Dense Reshape UpSampling2D Conv2D Activation ZeroPadding2D Conv2D Activation "
        "Reshape Dense ",
        "InputLayer Dense Activation Reshape Conv2DTranspose Activation UpSampling2D Conv2D "
        "Activation ",
    };
    for (int i = 0; i < STORED; i++) {
        size_t size;
        char *bytes = file_bytes(stored[i], &size), found[512];
        convti_package package;
        convt_error err = {CONVT_OK, "", ""};
        if (read_bytes(bytes, size, &package, &err)) fail_msg("%s: %s", stored[i], err.message);
        list_classes(&package, found);
        assert_string_equal(found, classes[i]);
        convti_package_free(&package);
        free(bytes);
    }
}

static void what_is_read_and_written_is_read_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < STORED; i++) {
        size_t size;
        char *bytes = file_bytes(stored[i], &size);
        convti_bytes once = write_again(bytes, size), twice = write_again(once.data, once.size);
        assert_int_equal(once.size, twice.size);
        assert_same_bits(twice.data, once.data, once.size);
        free(bytes);
        free(once.data);
        free(twice.data);
    }
}

/* n samples of an array as the first layer takes them. */
static convt_const_view view_of(const convt_array *array, const convt_config *layer)
{
    const int64_t *size = array->shape;
    const convt_shape in = layer->input;
    return convt_const_view_of_f32(array->data, size[0], in.h, in.w, in.c);
}

/* The stored x through the layers that the file comes to, against PyTorch's y. */
static void check_predicts(const char *name)
{
    char path[512];
    size_t size;
    char *bytes = file_bytes(name, &size);
    convt_archive data;
    convt_spec spec;
    convt_model *model;
    convt_error err = {CONVT_OK, "", ""};
    snprintf(path, sizeof path, "%s/tests/data/onnx/%s.npz", CONVT_SOURCE_DIR, name);
    if (convt_npz_read(path, NULL, &data, &err) ||
        convt_spec_decode(bytes, size, "a.onnx", &spec, &err))
        fail_msg("%s: %s: %s", name, err.field, err.message);
    const convt_array *x = convt_archive_find(&data, "x"), *y = convt_archive_find(&data, "y");
    for (int i = 0; i < spec.count; i++) {
        spec.layers[i].inference = true;
        spec.layers[i].max_batch = x->shape[0];
    }
    if (convt_model_create(&model, spec.layers, spec.count, &err) ||
        convt_spec_load_weights(&spec, model, &err) ||
        convt_model_forward(model, view_of(x, &spec.layers[0])))
        fail_msg("%s: %s: %s", name, err.field, err.message);
    const float *got = convt_model_output(model).data, *expected = y->data;
    for (int64_t i = 0; i < convt_array_count(y); i++)
        assert_close((double)got[i], (double)expected[i], 2e-5, 2e-6);
    convt_model_destroy(model);
    convt_spec_free(&spec);
    convt_archive_free(&data);
    free(bytes);
}

static void files_of_pytorch_predict_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < STORED; i++) check_predicts(stored[i]);
}

/* ---- hostile bytes --------------------------------------------------------------------------- */

/* Ends in a valid read or in one line. */
static void check_survived(const void *bytes, size_t size)
{
    convti_package package;
    convt_error err = {CONVT_OK, "", ""};
    /* A copy without room behind it, so that a sanitizer sees the first byte too many. */
    void *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    if (read_bytes(exact, size, &package, &err)) {
        assert_null(package.config);
        assert_null(package.weights.arrays);
        assert_true(err.message[0] != '\0' && !strpbrk(err.message, "\n\r\t"));
    }
    convti_package_free(&package);
    free(exact);
}

static void every_truncation_ends_in_one_line(void **state)
{
    (void)state;
    for (int i = 0; i < STORED; i++) {
        size_t size;
        char *bytes = file_bytes(stored[i], &size);
        for (size_t length = 0; length < size; length++) check_survived(bytes, length);
        free(bytes);
    }
}

static void every_flip_ends_in_one_line(void **state)
{
    (void)state;
    for (int i = 0; i < STORED; i++) {
        size_t size;
        char *bytes = file_bytes(stored[i], &size);
        for (size_t at = 0; at < size; at++) {
            const char before = bytes[at];
            for (int bit = (int)(at % 4); bit < 8; bit += 4) {
                bytes[at] = (char)(before ^ 1 << bit);
                check_survived(bytes, size);
            }
            bytes[at] = before;
        }
        free(bytes);
    }
}

/* ---- models made here ------------------------------------------------------------------------ */

static void put_tensor(convti_message *m, const char *name, int rank, const int64_t shape[],
                       size_t bytes)
{
    const size_t begin = convti_message_begin(m);
    for (int i = 0; i < rank; i++) convti_message_varint(m, TENSOR_DIMS, (uint64_t)shape[i]);
    convti_message_varint(m, TENSOR_DATA_TYPE, ONNX_FLOAT);
    convti_message_text(m, TENSOR_NAME, name);
    memset(convti_message_room(m, TENSOR_RAW_DATA, bytes), 0, bytes);
    convti_message_end(m, GRAPH_INITIALIZER, begin);
}

static void put_node(convti_message *m, const char *op, const char *name, const char *x,
                     const char *w, const char *y, const char *attribute, int64_t value)
{
    const size_t begin = convti_message_begin(m);
    convti_message_text(m, NODE_INPUT, x);
    if (w) convti_message_text(m, NODE_INPUT, w);
    convti_message_text(m, NODE_OUTPUT, y);
    convti_message_text(m, NODE_NAME, name);
    convti_message_text(m, NODE_OP_TYPE, op);
    if (attribute) {
        const size_t inner = convti_message_begin(m);
        convti_message_text(m, ATTRIBUTE_NAME, attribute);
        convti_message_varint(m, ATTRIBUTE_I, (uint64_t)value);
        convti_message_end(m, NODE_ATTRIBUTE, inner);
    }
    convti_message_end(m, GRAPH_NODE, begin);
}

static void put_value(convti_message *m, uint64_t number, const char *name)
{
    const size_t begin = convti_message_begin(m);
    convti_message_text(m, VALUE_NAME, name);
    convti_message_end(m, number, begin);
}

/* What stands around the nodes of a graph from x to y. */
typedef struct model {
    convti_message message;
    size_t graph;
} model;

static model begin_model(uint64_t opset)
{
    model m = {0};
    convti_message_varint(&m.message, MODEL_IR_VERSION, 8);
    const size_t begin = convti_message_begin(&m.message);
    convti_message_varint(&m.message, OPSET_VERSION, opset);
    convti_message_end(&m.message, MODEL_OPSET_IMPORT, begin);
    m.graph = convti_message_begin(&m.message);
    put_value(&m.message, GRAPH_INPUT, "x");
    put_value(&m.message, GRAPH_OUTPUT, "y");
    return m;
}

static void check_refused(model *m, convt_status expected, const char *line)
{
    convti_package package;
    convt_error err = {CONVT_OK, "", ""};
    convti_message_end(&m->message, MODEL_GRAPH, m->graph);
    assert_int_equal(read_bytes(m->message.data, m->message.size, &package, &err), expected);
    assert_string_equal(err.field, "a.onnx");
    assert_string_equal(err.message, line);
    assert_null(package.config);
    free(m->message.data);
}

/* One node from x to y over a w of 1 x 1 x 1 x 1. */
static void check_node(const char *op, const char *attribute, int64_t value, const char *line)
{
    model m = begin_model(17);
    put_tensor(&m.message, "w", 4, (int64_t[]){1, 1, 1, 1}, 4);
    put_node(&m.message, op, "/a/n", "x", "w", "y", attribute, value);
    check_refused(&m, CONVT_INVALID_ARGUMENT, line);
}

static void refusals_name_node_and_reason(void **state)
{
    (void)state;
    check_node("LSTM", NULL, 0, "node /a/n (LSTM) has no Keras layer here");
    check_node("Conv", "group", 2, "node /a/n (Conv) has 2 groups: only 1 is read");
    check_node("Conv", "later", 1, "node /a/n (Conv) has the attribute later, which is not known");
    check_node("Gemm", NULL, 0, "node /a/n (Gemm) has a B with 4 axes where it needs 2");
    check_node("Flatten", "axis", 2, "node /a/n (Flatten) has axis 2: only 1 keeps the samples");
    check_node("Unsqueeze", NULL, 0,
               "node /a/n (Unsqueeze) has axes that do not follow from the file");
    check_node("Mul", NULL, 0, "node /a/n (Mul) multiplies by more than one number");
    check_node("Add", NULL, 0, "node /a/n (Add) adds more than one number, and is no bias");
    model m = begin_model(6);
    check_refused(&m, CONVT_INVALID_ARGUMENT, "has operators of opset 6: 7 and later are read");
    m = begin_model(17);
    put_node(&m.message, "Relu", "a", "x", NULL, "y", NULL, 0);
    put_node(&m.message, "Tanh", "b", "x", NULL, "z", NULL, 0);
    check_refused(&m, CONVT_INVALID_ARGUMENT,
                  "node a (Relu) is one of 2 that take the same value: branches are not read");
    m = begin_model(17);
    put_node(&m.message, "Relu", "a", "x", NULL, "z", NULL, 0);
    check_refused(&m, CONVT_BAD_FORMAT, "has an output that no line of nodes leads to");
    m = begin_model(17);
    put_node(&m.message, "Conv", "a", "x", "v", "y", NULL, 0);
    check_refused(&m, CONVT_INVALID_ARGUMENT,
                  "node a (Conv) has a W that is not stored in the file");
}

static void shapes_that_lie_are_refused(void **state)
{
    (void)state;
    static const int64_t lies[][4] = {
        {INT64_MAX, INT64_MAX, 2, 2}, {1LL << 32, 1LL << 32, 1, 1}, {1, 1, 1, 2}, {-1, 1, 1, -1}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        model m = begin_model(17);
        put_tensor(&m.message, "w", 4, lies[i], 4);
        put_node(&m.message, "Conv", "a", "x", "w", "y", NULL, 0);
        check_refused(&m, CONVT_INVALID_ARGUMENT,
                      i < 3 ? "node a (Conv) has a W that has another shape than its numbers"
                            : "node a (Conv) has a W that has more than 8 axes");
    }
}

/* Tied weights have a limit, so that a small file takes no memory by naming one again and again. */
static void weights_are_not_multiplied(void **state)
{
    (void)state;
    enum { UNITS = 256, NODES = 64 };
    model m = begin_model(17);
    char name[NODES + 1][16];
    put_tensor(&m.message, "w", 2, (int64_t[]){UNITS, UNITS}, 4 * UNITS * UNITS);
    for (int i = 0; i <= NODES; i++) snprintf(name[i], sizeof name[i], "v%d", i);
    snprintf(name[0], sizeof name[0], "x");
    snprintf(name[NODES], sizeof name[NODES], "y");
    for (int i = 0; i < NODES; i++)
        put_node(&m.message, "MatMul", name[i + 1], name[i], "w", name[i + 1], NULL, 0);
    check_refused(&m, CONVT_INVALID_ARGUMENT,
                  "node v9 (MatMul) uses weights that other nodes use, too often");
}

static void messages_nested_10000_deep_are_passed_over(void **state)
{
    (void)state;
    model m = begin_model(17);
    const size_t begin = convti_message_begin(&m.message), attribute = begin;
    for (int i = 0; i < 10000; i++) convti_message_end(&m.message, 6, attribute);
    convti_message_end(&m.message, GRAPH_NODE, begin);
    put_node(&m.message, "Relu", "a", "x", NULL, "z", NULL, 0);
    check_refused(&m, CONVT_BAD_FORMAT, "has an output that no line of nodes leads to");
}

static void more_nodes_than_a_decoder_has_are_refused(void **state)
{
    (void)state;
    model m = begin_model(17);
    for (int i = 0; i < 5000; i++) convti_message_text(&m.message, GRAPH_NODE, "");
    check_refused(&m, CONVT_BAD_FORMAT, "has more than 4096 nodes or constants: it is no decoder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(fields_that_lie_are_none),
        cmocka_unit_test(files_of_pytorch_are_keras_layers),
        cmocka_unit_test(files_of_pytorch_predict_the_same),
        cmocka_unit_test(what_is_read_and_written_is_read_the_same),
        cmocka_unit_test(every_truncation_ends_in_one_line),
        cmocka_unit_test(every_flip_ends_in_one_line),
        cmocka_unit_test(refusals_name_node_and_reason),
        cmocka_unit_test(shapes_that_lie_are_refused),
        cmocka_unit_test(weights_are_not_multiplied),
        cmocka_unit_test(messages_nested_10000_deep_are_passed_over),
        cmocka_unit_test(more_nodes_than_a_decoder_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
