/*
 * ONNX graphs written down in a line each: what every operator becomes, and what is refused.
 *
 *     in x n 1 2 2              a graph's input with sizes, n one that is not known; without any its shape is open
 *     out y                     its output
 *     f32 w 1 1 2 2 = 0.5       a constant, every number the last of those that are given (bool, f16, bf16: their
 *                               bits); f32*, f64* and i64* in a field of their type, not in raw_data
 *     f32! w 1                  one whose numbers are in another file
 *     i64 a = 1 2               without sizes: a row of them
 *     Conv x w > y group:1 strides=1,1 alpha%0.5 mode~text      a node with an integer, integers, a float, a text
 *     opset 9                   other than 17
 *     ;                         between two of these
 */
#include "support/close.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.h"
#include "package.h"

/* ---- from a line to a file ------------------------------------------------------------------- */

enum { MOST_WORDS = 32 };

/* A statement, cut at spaces. */
typedef struct words {
    int count;
    char text[512], *at[MOST_WORDS];
} words;

static void cut(words *w, const char *statement, size_t size)
{
    assert_true(size < sizeof w->text);
    memcpy(w->text, statement, size);
    w->text[size] = '\0';
    w->count = 0;
    for (char *at = strtok(w->text, " "); at; at = strtok(NULL, " ")) {
        assert_true(w->count < MOST_WORDS);
        w->at[w->count++] = at;
    }
}

/* Elements of a constant by name; `field` is that of their type where they are not raw. */
static const struct element {
    const char *name;
    uint64_t type, width, field;
} elements[] = {
    {"f32", ONNX_FLOAT, 4, TENSOR_FLOAT_DATA},
    {"f64", ONNX_DOUBLE, 8, TENSOR_DOUBLE_DATA},
    {"i64", ONNX_INT64, 8, TENSOR_INT64_DATA},
    {"i32", ONNX_INT32, 4, 0},
    {"bool", ONNX_BOOL, 1, 0},
    {"f16", ONNX_FLOAT16, 2, 0},
    {"bf16", ONNX_BFLOAT16, 2, 0},
    {"string", 8, 1, 0},
};

/* NULL: the word is none, but the operator of a node. */
static const struct element *find_element(const char *word)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        const size_t size = strlen(elements[i].name);
        if (strncmp(word, elements[i].name, size) == 0 && strspn(word + size, "*!") < 2 &&
            word[size + strspn(word + size, "*!")] == '\0')
            return &elements[i];
    }
    return NULL;
}

static uint64_t bits_of(const struct element *element, const char *word)
{
    const double wide = strtod(word, NULL);
    const float narrow = (float)wide;
    uint64_t bits = (uint64_t)strtoll(word, NULL, 0);
    uint32_t narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    if (element->type == ONNX_FLOAT) return narrow_bits;
    if (element->type == ONNX_DOUBLE) memcpy(&bits, &wide, sizeof bits);
    return bits;
}

static void put_tensor(convti_message *m, const struct element *element, const words *w)
{
    const bool typed = strchr(w->at[0], '*') != NULL;
    int sizes = 2;
    int64_t count = 1;
    while (sizes < w->count && strcmp(w->at[sizes], "=") != 0) sizes++;
    const int values = w->count - sizes - 1;
    const size_t begin = convti_message_begin(m);
    for (int i = 2; i < sizes; i++) {
        const int64_t size = strtoll(w->at[i], NULL, 10);
        convti_message_varint(m, TENSOR_DIMS, (uint64_t)size);
        count *= size;
    }
    if (sizes == 2 && element->type == ONNX_INT64)
        convti_message_varint(m, TENSOR_DIMS, (uint64_t)(count = values));
    convti_message_varint(m, TENSOR_DATA_TYPE, element->type);
    convti_message_text(m, TENSOR_NAME, w->at[1]);
    if (strchr(w->at[0], '!')) convti_message_varint(m, TENSOR_DATA_LOCATION, 1);
    unsigned char *raw = typed && element->type == ONNX_INT64
                             ? NULL
                             : convti_message_room(m, typed ? element->field : TENSOR_RAW_DATA,
                                                   (size_t)count * element->width);
    for (int64_t i = 0; i < count; i++) {
        const int given = (int)i < values ? (int)i : values - 1;
        const uint64_t bits = given < 0 ? 0 : bits_of(element, w->at[sizes + 1 + given]);
        for (uint64_t k = 0; raw && k < element->width; k++)
            raw[(uint64_t)i * element->width + k] = (unsigned char)(bits >> (8 * k));
        if (!raw) convti_message_varint(m, element->field, bits);
    }
    convti_message_end(m, GRAPH_INITIALIZER, begin);
}

/* name:integer, name=integers, name%float, name~text */
static void put_attribute(convti_message *m, char *word)
{
    const size_t length = strcspn(word, ":=%~");
    const char kind = word[length], *value = word + length + 1;
    const size_t begin = convti_message_begin(m);
    word[length] = '\0';
    convti_message_text(m, ATTRIBUTE_NAME, word);
    if (kind == ':') convti_message_varint(m, ATTRIBUTE_I, (uint64_t)strtoll(value, NULL, 10));
    if (kind == '%') convti_message_float(m, ATTRIBUTE_F, strtof(value, NULL));
    if (kind == '~') convti_message_text(m, ATTRIBUTE_S, value);
    for (char *at; kind == '=' && *value; value = *at == ',' ? at + 1 : at)
        convti_message_varint(m, ATTRIBUTE_INTS, (uint64_t)strtoll(value, &at, 10));
    convti_message_end(m, NODE_ATTRIBUTE, begin);
}

/* Attributes that are FLOATS: scales of old. */
static void put_floats(convti_message *m, char *word)
{
    char *value = strchr(word, '^');
    const size_t begin = convti_message_begin(m);
    *value++ = '\0';
    convti_message_text(m, ATTRIBUTE_NAME, word);
    for (char *at; *value; value = *at == ',' ? at + 1 : at)
        convti_message_float(m, ATTRIBUTE_FLOATS, strtof(value, &at));
    convti_message_end(m, NODE_ATTRIBUTE, begin);
}

static void put_node(convti_message *m, const words *w)
{
    const size_t begin = convti_message_begin(m);
    int at = 1;
    for (; at < w->count && strcmp(w->at[at], ">") != 0; at++)
        convti_message_text(m, NODE_INPUT, strcmp(w->at[at], "-") == 0 ? "" : w->at[at]);
    for (at++; at < w->count && !strpbrk(w->at[at], ":=%~^@"); at++)
        convti_message_text(m, NODE_OUTPUT, w->at[at]);
    convti_message_text(m, NODE_NAME, "n");
    convti_message_text(m, NODE_OP_TYPE, w->at[0]);
    for (; at < w->count; at++) {
        if (w->at[at][0] == '@')
            convti_message_text(m, NODE_DOMAIN, w->at[at] + 1);
        else if (strchr(w->at[at], '^'))
            put_floats(m, w->at[at]);
        else
            put_attribute(m, w->at[at]);
    }
    convti_message_end(m, GRAPH_NODE, begin);
}

/* in:type, where the type is not float's. */
static void put_value(convti_message *m, uint64_t number, const words *w)
{
    const char *type_number = strchr(w->at[0], ':');
    const size_t begin = convti_message_begin(m);
    convti_message_text(m, VALUE_NAME, w->at[1]);
    const size_t type = convti_message_begin(m);
    convti_message_varint(m, TYPE_ELEMENT,
                          type_number ? strtoull(type_number + 1, NULL, 10) : ONNX_FLOAT);
    const size_t shape = convti_message_begin(m);
    for (int i = 2; i < w->count; i++) {
        const size_t dimension = convti_message_begin(m);
        const long size = strtol(w->at[i], NULL, 10);
        if (size > 0) convti_message_varint(m, DIM_VALUE, (uint64_t)size);
        convti_message_end(m, SHAPE_DIM, dimension);
    }
    if (w->count > 2) convti_message_end(m, TYPE_SHAPE, shape);
    convti_message_end(m, TYPE_TENSOR, type);
    convti_message_end(m, VALUE_TYPE, type);
    convti_message_end(m, number, begin);
}

/* What statements said of the whole. */
typedef struct presence {
    uint64_t opset;
    bool input, output;
} presence;

static void put_statement(convti_message *m, const words *w, presence *said)
{
    const struct element *element = find_element(w->at[0]);
    const bool input = strcmp(w->at[0], "in") == 0 || strncmp(w->at[0], "in:", 3) == 0,
               output = strcmp(w->at[0], "out") == 0;
    said->input |= input;
    said->output |= output;
    if (strcmp(w->at[0], "opset") == 0)
        said->opset = strtoull(w->at[1], NULL, 10);
    else if (input || output)
        put_value(m, input ? GRAPH_INPUT : GRAPH_OUTPUT, w);
    else if (element)
        put_tensor(m, element, w);
    else
        put_node(m, w);
}

/* Input x and output y are there by themselves where no statement names another. */
static convti_message file_of(const char *line)
{
    convti_message m = {0};
    presence said = {17, false, false};
    words w;
    const size_t graph = convti_message_begin(&m);
    for (const char *at = line; *at; at += strcspn(at, ";"), at += *at == ';') {
        cut(&w, at, strcspn(at, ";"));
        put_statement(&m, &w, &said);
    }
    for (int i = 0; i < 2; i++) {
        cut(&w, i ? "out y" : "in x", i ? 5 : 4);
        if (!(i ? said.output : said.input)) put_statement(&m, &w, &said);
    }
    convti_message_end(&m, MODEL_GRAPH, graph);
    const size_t import = convti_message_begin(&m);
    convti_message_varint(&m, OPSET_VERSION, said.opset);
    convti_message_end(&m, MODEL_OPSET_IMPORT, import);
    return m;
}

static convt_status read_line(const char *line, convti_package *package, convt_error *err)
{
    convti_message m = file_of(line);
    const convti_input input = convti_input_of_memory("a.onnx", m.data, m.size);
    assert_false(m.failed);
    convt_status status = convti_onnx_read(&input, NULL, package, err);
    free(m.data);
    return status;
}

/* ---- refusals -------------------------------------------------------------------------------- */

typedef struct refusal {
    const char *line, *message;
} refusal;

/* `message` is the whole of it, behind "node n (<op>) " where it begins with a small letter and `op` is
 * given. */
static void check_refusals(const char *op, const refusal list[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        convti_package package;
        convt_error err = {CONVT_OK, "", ""};
        char expected[256];
        snprintf(expected, sizeof expected, op ? "node n (%s) %s" : "%s%s", op ? op : "",
                 list[i].message);
        if (!read_line(list[i].line, &package, &err)) fail_msg("%s is read", list[i].line);
        if (strcmp(err.message, expected) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", list[i].line, err.message, expected);
        assert_string_equal(err.field, "a.onnx");
        assert_null(package.config);
    }
}

#define REFUSED(op, ...)                                      \
    do {                                                      \
        static const refusal list[] = {__VA_ARGS__};          \
        check_refusals(op, list, sizeof list / sizeof *list); \
    } while (0)

static void axes_are_named_once_and_where_the_opset_has_them(void **state)
{
    (void)state;
    REFUSED("Squeeze",
            {"in x n 3 1 1; Squeeze x > y axes=2,3",
             "has the attribute axes, an input from opset 13 on"},
            {"in x n 3 1 1; i64 a = 2 3; Squeeze x a > y axes:2",
             "has the attribute axes, an input from opset 13 on"},
            {"opset 12; in x n 3 1 1; Squeeze x > y axes:2", "names no axes"},
            {"in x n 3 1 1; Squeeze x > y", "names no axes"},
            {"in x n 3 1 1; i64 a =; Squeeze x a > y", "names no axes"},
            {"in x n 3 1 1; i64 a = 0; Squeeze x a > y", "has 0 among its axes"},
            {"in x n 3 1 1; i64 a = 4; Squeeze x a > y", "has 4 among its axes"},
            {"in x n 3 1 1; i64 a = 3 -1; Squeeze x a > y", "has -1 among its axes"},
            {"i64 a = 2; Squeeze x a > y", "has 2 among its axes"},
            {"in x n 3 1 2; i64 a = 3; Squeeze x a > y", "leaves out axis 3, whose size is not 1"});
    REFUSED(
        "Unsqueeze",
        {"in x n 3; Unsqueeze x > y axes=2", "has the attribute axes, an input from opset 13 on"},
        {"in x n 3; Unsqueeze x > y", "names no axes"},
        {"in x n 3; i64 a = 2 2; Unsqueeze x a > y", "has 2 among its axes"},
        {"in x n 3; i64 a = 2 9; Unsqueeze x a > y", "has 9 among its axes"},
        {"in x n 3; i64 a = 2 3 4; Unsqueeze x a > y", "leads to more than 4 axes"});
}

static void a_line_of_nodes_is_what_it_must_be(void **state)
{
    (void)state;
    REFUSED(
        NULL,
        {"in x n 2 2 1; Transpose x > t perm=0,3,1,2; Relu t > y",
         "has an output in another order of axes than its layers"},
        {"Transpose x > y perm=0,2,3,1", "has an output in another order of axes than its layers"},
        {"f32 w 1 1 1 1; Conv x w > c; Transpose c > y perm=0,2,3,1",
         "has an output in another order of axes than its layers"},
        {"in:7 x n 3; Relu x > y", "has an input of ONNX' type 7: only real numbers are read"},
        {"in x n; Relu x > y", "has an input with 1 axes: 2 or 4 are read"},
        {"in x; in z; Relu x > y", "has several inputs: a straight line of layers has one"},
        {"f32 x 1; Relu x > y; in x", "has no input: a straight line of layers has one"},
        {"out y; out z; Relu x > y", "has 2 outputs: a straight line of layers has one"},
        {"Relu x > x", "has nodes that run in a circle"});
    REFUSED("Relu",
            {"Relu x > y @com.example", "is of the domain com.example: only ONNX' own are read"});
    REFUSED("Sum", {"Sum x x x x x x x x x > y", "takes 9 inputs: a layer has one"});
    REFUSED(
        "Conv",
        {"in x n 1 1 1; f32 w 1 1 1 1; Transpose x > t perm=0,3,1,2; Conv t w > c; "
         "Transpose c > l perm=0,2,3,1; Conv l w > y",
         "works on another order of axes than the nodes before"},
        {"f32 w 1 1 1 1; Conv x w > c; Transpose c > t perm=0,2,3,1; Conv t w > y",
         "works on another order of axes than the nodes before"},
        {"f32 w 1 3 1 1; in x n 2 4 4; Conv x w > y",
         "has weights for 3 channels, its input has 2"},
        {"in x n 3; f32 w 1 3 1 1; Conv x w > y", "needs an input with 4 axes, which has 2 here"});
    REFUSED("Transpose",
            {"Transpose x > y perm=0,1,3,2", "reorders axes as no Keras layer here does"},
            {"Transpose x > y perm=0,3,1,2,4,5,6,7,8", "has a long perm"});
}

static void weights_are_stored_real_numbers(void **state)
{
    (void)state;
    REFUSED(
        "Conv",
        {"i64 w 1 1 1 1 = 1; Conv x w > y",
         "has a W that is none of FLOAT, DOUBLE, FLOAT16 and BFLOAT16"},
        {"string w 1 1 1 1; Conv x w > y", "has a W that has a type that is not read"},
        {"f32 w 1 0 1 1; Conv x w > y", "has a W that is empty"},
        {"f32! w 1 1 1 1; Conv x w > y",
         "has a W that has its numbers in another file, as external data"},
        {"f32 w 1 1 1 1; Identity w > a; Identity a > b; Identity b > c; Identity c > d; "
         "Identity d > e; Identity e > f; Identity f > g; Identity g > h; Conv x h > y",
         "has a W that is not stored in the file"},
        {"f32 w 1 1 1 1; f32 b 2; Conv x w b > y", "has a B of 2 for 1 filters"},
        {"f32 w 1 1 1 1; Conv x w > y strides=1", "has 1 strides where a layer of two axes has 2"},
        {"f32 w 1 1 1 1; Conv x w > y strides:2", "has 0 strides where a layer of two axes has 2"},
        {"f32 w 1 1 1 1; Conv x w > y strides=2,1", "has strides 2, 1: only stride 1 is read"},
        {"f32 w 1 1 1 1; Conv x w > y dilations=0,1", "has 0 among its dilations"},
        {"f32 w 1 1 1 1; Conv x w > y kernel_shape=2,1", "has another kernel_shape than its W"},
        {"f32 w 1 1 1 1; Conv x w > y auto_pad~SAME", "has an unknown auto_pad"});
    REFUSED("ConvTranspose",
            {"f32 w 1 1 1 1; ConvTranspose x w > y auto_pad~SAME", "has an unknown auto_pad"},
            {"f32 w 1 1 1 1; ConvTranspose x w > y output_shape=2,2",
             "has an output_shape, but the size of its input is not known"},
            {"f32 w 1 1 1 1; ConvTranspose x w > y auto_pad~SAME_UPPER strides=2,2",
             "has a kernel smaller than its stride: runtimes disagree on auto_pad then"},
            {"in x n 1 2 2; f32 w 1 1 1 1; ConvTranspose x w > y pads=1,1,1,1",
             "leaves no output of size 2"},
            {"in x n 1 2 2; f32 w 1 1 3 3; ConvTranspose x w > y pads=1,0,0,0 output_padding=1,0",
             "has output_padding 1, which must be less than its stride or dilation"});
    REFUSED("MatMul",
            {"in x n 3; f32 w 2 2; MatMul x w > y", "has 2 rows of weights for another last axis"},
            {"MatMul x w > y", "has a second factor that is not stored in the file"});
    REFUSED("Gemm", {"f32 w 2 3; Gemm x w > y transA:1", "has transA 1: only 0 is read"},
            {"f32 w 2 3; f32 c 2; Gemm x w c > y", "has a C that is no bias of 3 units"});
    REFUSED("BatchNormalization",
            {"f32 a 2; f32 b 3; BatchNormalization x a b a a > y", "has a beta of another size"},
            {"f32 a 2; BatchNormalization x a a a a > y training_mode:1",
             "trains: only the form for inference is read"},
            {"f32 a 2; BatchNormalization x a a a > y",
             "has a moving_variance that is not stored in the file"});
    REFUSED("Dropout",
            {"bool m 1 = 1; Dropout x - m > y", "has a training_mode that is not stored as false"},
            {"Dropout x - m > y", "has a training_mode that is not stored as false"});
}

static void activations_are_those_that_keras_has(void **state)
{
    (void)state;
    REFUSED("Celu",
            {"Celu x > y alpha%0.5", "has an argument of 0.5, which Keras' celu has no words for"});
    REFUSED("HardSigmoid",
            {"HardSigmoid x > y alpha%0.3", "has arguments that Keras has no words for"});
    REFUSED("Clip", {"f32 m 2 = 1; Clip x m > y", "has more than one min"},
            {"Clip x m > y", "has a min that is not stored in the file"},
            {"f32 m 1 = -2; Clip x m > y", "clips to -2 and inf: Keras' relu begins at 0"},
            {"Clip x > y min%-1 max%1", "has the attribute min, an input from opset 11 on"});
    REFUSED("Gelu", {"opset 20; Gelu x > y approximate~tanh",
                     "is the approximate form of gelu, which a Keras layer cannot name"});
    REFUSED("Softmax",
            {"in x n 3; Softmax x > y axis:0",
             "runs along axis 0: Keras' softmax runs along the last one"},
            {"opset 12; in x n 2 3 4; Softmax x > y",
             "runs along axis 1: Keras' softmax runs along the last one"},
            {"f32 w 1 1 1 1; Conv x w > c; Transpose c > t perm=0,2,3,1; Softmax t > f; "
             "Flatten f > y",
             "works on another order of axes than the nodes before"});
}

static void shapes_are_those_of_images(void **state)
{
    (void)state;
    REFUSED("Reshape",
            {"i64 s = 0 -1 -1; Reshape x s > y", "has a shape of which too little is known"},
            {"in x n 4; i64 s = 0 3; Reshape x s > y",
             "has a shape of another number of elements than its input"},
            {"i64 s = 0 1 1 1 1; Reshape x s > y",
             "has a shape that does not keep the samples and 1 to 3 axes of each"},
            {"i64 s = 4 2; Reshape x s > y",
             "has a shape that does not keep the samples and 1 to 3 axes of each"},
            {"i64 s = 0 -2; Reshape x s > y", "has -2 in its shape"},
            {"in x n 4; i64 s = 0 0; Reshape x s > y allowzero:1", "has 0 in its shape"},
            {"in x n 2 2 1; Transpose x > t perm=0,3,1,2; i64 s = 0 4; Reshape t s > y",
             "works on another order of axes than the nodes before"},
            {"f32 s 2; Reshape x s > y", "has shape that do not follow from the file"});
    REFUSED(
        "Pad",
        {"i64 p = 0 0 1 1 0 0 1 1; Pad x p > y mode~reflect",
         "pads with something else than zeros"},
        {"i64 p = 0 0 1 1 0 0 1 1; f32 v 1 = 2; Pad x p v > y",
         "pads with something else than zeros"},
        {"i64 p = 0 0 1 1 0 0 1 1; Pad x p v > y", "has a value that is not stored in the file"},
        {"i64 p = 0 0 1 1 0 0 1 1; i64 a = 0 1 2 3; Pad x p - a > y",
         "names axes: pads of all four are read"},
        {"i64 p = 0 1 1 1 0 0 1 1; Pad x p > y",
         "pads other sides than those of an image, or below 0"},
        {"i64 p = 0 0 1 1; Pad x p > y", "pads other sides than those of an image, or below 0"},
        {"Pad x > y pads=0,0,1,1,0,0,1,1", "has the attribute pads, an input from opset 11 on"},
        {"in x n 1 1073741824 1; i64 p = 0 0 1 0 0 0 0 0; Pad x p > y",
         "leaves no size that can be"});
    REFUSED("Slice",
            {"i64 s = 1; i64 e = -1; i64 a = 1; Slice x s e a > y",
             "cuts something else than rows from either end"},
            {"i64 s = 1; i64 e = -1; i64 a = 2; i64 t = 2; Slice x s e a t > y",
             "cuts something else than rows from either end"},
            {"i64 s = 1 1; i64 e = -1; i64 a = 2 3; Slice x s e a > y",
             "cuts something else than rows from either end"},
            {"Slice x > y starts=1 ends=-1 axes=2",
             "has the attribute starts, an input from opset 10 on"},
            {"opset 9; Slice x > y starts:1 ends:2 axes:2",
             "cuts something else than rows from either end"},
            {"in x n 1 2 2; i64 s = 1; i64 e = -1; i64 a = 2; Slice x s e a > y",
             "leaves no size that can be"});
    REFUSED("Resize",
            {"f32 s 3 = 1; Resize x - s > y mode~nearest", "has 3 scales where an image has 4"},
            {"Resize x - s > y mode~nearest", "has a scales that is not stored in the file"},
            {"f32 s 4 = 1 1 2 2; Resize x - s > y mode~linear",
             "is not the nearest kind that repeats every pixel"},
            {"f32 s 4 = 1 1 2.5 2; Resize x - s > y mode~nearest nearest_mode~floor "
             "coordinate_transformation_mode~asymmetric",
             "scales axis 2 by 2.5: whole factors are read"},
            {"i64 z = 1 1 4 4; Resize x - - z > y mode~nearest",
             "scales axis 2 by 0: whole factors are read"});
}

/* ---- what is read ---------------------------------------------------------------------------- */

/* Classes behind the InputLayer, and a piece of the config of the last layer ("": none asked). */
typedef struct reading {
    const char *line, *classes, *piece;
} reading;

/* The layers of a package, and the classes of those that are no InputLayer. */
static const json_t *layers_of(const convti_package *package, char classes[256])
{
    const json_t *layers = json_object_get(json_object_get(package->config, "config"), "layers"),
                 *layer;
    size_t i;
    classes[0] = '\0';
    json_array_foreach(layers, i, layer)
    {
        const char *name = json_string_value(json_object_get(layer, "class_name"));
        if (strcmp(name, "InputLayer") != 0)
            snprintf(classes + strlen(classes), 256 - strlen(classes), "%s ", name);
    }
    return layers;
}

static void check_package(const char *what, const convti_package *package, const char *classes,
                          const char *piece)
{
    char found[256];
    const json_t *layers = layers_of(package, found);
    char *text = json_dumps(
        json_object_get(json_array_get(layers, json_array_size(layers) - 1), "config"), 0);
    if (strcmp(found, classes) != 0 || !strstr(text, piece))
        fail_msg("%s: %s %s, not %s ... %s", what, found, text, classes, piece);
    free(text);
}

static void check_reading(const reading *expected)
{
    convti_package package;
    convt_error err = {CONVT_OK, "", ""};
    if (read_line(expected->line, &package, &err)) fail_msg("%s: %s", expected->line, err.message);
    check_package(expected->line, &package, expected->classes, expected->piece);
    convti_package_free(&package);
}

static void operators_become_layers(void **state)
{
    (void)state;
    static const reading list[] = {
        {"opset 20; Gelu x > y", "Activation ", "\"activation\": \"gelu\""},
        {"opset 12; in x n 3; Softmax x > y", "Activation ", "\"activation\": \"softmax\""},
        {"in x n 3; LogSoftmax x > y axis:1", "Activation ", "\"activation\": \"log_softmax\""},
        {"opset 10; Clip x > y min%0 max%4", "ReLU ", "\"max_value\": 4.0"},
        {"f32 w 1 1 1 1; Identity w > a; Identity a > b; Conv x b > y", "Conv2D ",
         "\"filters\": 1"},
        {"in x n 2; f32 w 2 3; f32 b 3; MatMul x w > t; Add t b > y", "Dense ",
         "\"use_bias\": true"},
        {"Selu x > y", "Activation ", "\"activation\": \"selu\""},
        {"Elu x > y alpha%0.2", "ELU ", "\"alpha\": 0.2"},
        {"Identity x > y", "Activation ", "\"activation\": \"linear\""},
        {"bool m 1; Dropout x - m > t; Relu t > y", "Activation ", "\"activation\": \"relu\""},
        {"in x n 4 1 1; i64 a = 2 -1; Squeeze x a > y", "Reshape ", "\"target_shape\": [4]"},
        {"opset 12; in x n 4 1 1; Squeeze x > y axes=2,3", "Reshape ", "\"target_shape\": [4]"},
        {"in x n 4; i64* a = 2 3; Unsqueeze x a > y", "Reshape ", "\"target_shape\": [4, 1, 1]"},
        {"in x n 4; i64 s = 0 2 -1; Reshape x s > y", "Reshape ", "\"target_shape\": [2, 2]"},
        {"opset 10; Pad x > y pads=0,0,1,2,0,0,3,4", "ZeroPadding2D ",
         "\"padding\": [[1, 3], [2, 4]]"},
        {"opset 9; Slice x > y starts=1 ends=-2 axes=2", "Cropping2D ",
         "\"cropping\": [[1, 2], [0, 0]]"},
        {"opset 7; Upsample x > y mode~nearest scales^1,1,2,3", "UpSampling2D ",
         "\"size\": [2, 3]"},
        {"in x n 1 2 2; i64 z = 1 1 4 6; Resize x - - z > y mode~nearest nearest_mode~floor "
         "coordinate_transformation_mode~asymmetric",
         "UpSampling2D ", "\"size\": [2, 3]"},
        {"f64 s = 3; Mul x s > t; f32* o 1 = 0.5; in x n 2; Add t o > y", "Rescaling ",
         "\"scale\": 3.0, \"offset\": 0.5"},
        {"in x n 2; f32 o 1 = 0.5; Add o x > y", "Rescaling ", "\"scale\": 1.0, \"offset\": 0.5"},
        {"f32 w 1 1 3 3; ConvTranspose x w > y auto_pad~SAME_LOWER", "Conv2DTranspose ",
         "\"padding\": \"same\""},
        {"in x n 1 2 2; f32 w 1 1 2 2; ConvTranspose x w > y output_shape=3,3", "Conv2DTranspose ",
         "\"padding\": \"valid\""},
        {"in x n 4; i64 s = 0 2 2; i64 t = 0 4 1; Reshape x s > a; Reshape a t > y", "Reshape ",
         "\"target_shape\": [4, 1]"},
        {"f32 w 1 1 3 3; ConvTranspose x w > y auto_pad~VALID", "Conv2DTranspose ",
         "\"padding\": \"valid\""},
        {"f32 w 1 1 3 3; Conv x w > y auto_pad~VALID", "Conv2D ", "\"padding\": \"valid\""},
        {"f32 w 1 1 2 2; Conv x w > y auto_pad~SAME_LOWER", "ZeroPadding2D Conv2D ",
         "\"padding\": \"valid\""},
        {"f32 a 3; in x n 3; BatchNormalization x a a a a > y epsilon%0.25", "BatchNormalization ",
         "\"axis\": -1, \"epsilon\": 0.25"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) check_reading(&list[i]);
}

/* 1.5, -0.5, the smallest float16 and its infinity, in every real type there is. */
static void every_real_type_is_read_exactly(void **state)
{
    (void)state;
    static const struct numbers {
        const char *line;
        double expected[4];
    } list[] = {
        {"f32 w 4 1 = 1.5 -0.5 0 8", {1.5, -0.5, 0, 8}},
        {"f32* w 4 1 = 1.5 -0.5 0 8", {1.5, -0.5, 0, 8}},
        {"f64 w 4 1 = 1.5 -0.5 0 8", {1.5, -0.5, 0, 8}},
        {"f64* w 4 1 = 1.5 -0.5 0 8", {1.5, -0.5, 0, 8}},
        {"f16 w 4 1 = 0x3E00 0xB800 0x0001 0x7C00", {1.5, -0.5, 1.0 / 16777216, HUGE_VAL}},
        {"bf16 w 4 1 = 0x3FC0 0xBF00 0 0x4100", {1.5, -0.5, 0, 8}},
    };
    for (size_t i = 0; i < 2 * (sizeof list / sizeof *list); i++) {
        const struct numbers *numbers = &list[i / 2];
        convti_package package;
        convt_error err = {CONVT_OK, "", ""};
        char line[256];
        snprintf(line, sizeof line, "in:%d x n 4; %s; MatMul x w > y",
                 i % 2 ? ONNX_DOUBLE : ONNX_FLOAT, numbers->line);
        if (read_line(line, &package, &err)) fail_msg("%s: %s", line, err.message);
        const convt_array *kernel = convt_archive_find(&package.weights, "n/kernel");
        assert_non_null(kernel);
        assert_int_equal(kernel->element, i % 2 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32);
        for (int k = 0; k < 4; k++) {
            const double found = i % 2 ? ((const double *)kernel->data)[k]
                                       : (double)((const float *)kernel->data)[k];
            assert_close(found, numbers->expected[k], 0, 0);
        }
        convti_package_free(&package);
    }
}

/* ---- what is written ------------------------------------------------------------------------- */

#define INPUT "{'class_name': 'InputLayer', 'config': {'batch_shape': [null, 2, 2, 1]}}, "
#define LAYER(name, config) \
    "[" INPUT "{'class_name': '" name "', 'config': {'name': 'a'" config "}}]"

/* Layers of a Sequential, with ' for ", and their weights. */
static convti_package package_of(const char *layers, const convt_array weights[], int count)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", layers);
    for (char *at = text; (at = strchr(at, '\'')) != NULL;) *at = '"';
    const convti_package package = {.config = json_loads(text, 0, NULL),
                                    .weights = {(convt_array *)(uintptr_t)weights, count, NULL}};
    assert_true(package.config || layers[0] == '\0');
    return package;
}

/* Written and read: the same layers, or what they come to. */
static void check_there_and_back(const char *layers, const convt_array weights[], int count,
                                 const char *classes, const char *piece)
{
    const convti_package package = package_of(layers, weights, count);
    convti_package back;
    convti_bytes bytes;
    convt_error err = {CONVT_OK, "", ""};
    if (convti_onnx_write(&package, "b.onnx", &bytes, &err))
        fail_msg("%s: %s", layers, err.message);
    const convti_input input = convti_input_of_memory("b.onnx", bytes.data, bytes.size);
    if (convti_onnx_read(&input, NULL, &back, &err)) fail_msg("%s: %s", layers, err.message);
    check_package(layers, &back, classes, piece);
    json_decref(package.config);
    convti_package_free(&back);
    free(bytes.data);
}

#define FIRST "{'class_name': 'InputLayer', 'config': {'batch_shape': [null, 3, 2, 2]}}, "
#define AT_FIRST ", 'data_format': 'channels_first'"

static void layers_come_back_as_what_they_compute(void **state)
{
    (void)state;
    static const char *const list[][3] = {
        {LAYER("Dropout", ", 'rate': 0.5"), "Activation ", "\"activation\": \"linear\""},
        {"[" INPUT "{'class_name': 'ReLU', 'config': {'name': 'input'}}]", "Activation ",
         "\"name\": \"input\""},
        {LAYER("ReLU", ", 'negative_slope': 0.5"), "LeakyReLU ", "\"negative_slope\": 0.5"},
        {LAYER("ReLU", ", 'max_value': 4"), "ReLU ", "\"max_value\": 4.0"},
        {LAYER("Activation", ", 'activation': 'celu'"), "Activation ", "\"activation\": \"elu\""},
        {LAYER("Activation", ", 'activation': 'softmax'"), "Activation ",
         "\"activation\": \"softmax\""},
        {LAYER("Activation", ", 'activation': 'gelu'"), "Activation ", "\"activation\": \"gelu\""},
        {LAYER("Cropping2D", ", 'cropping': [[1, 0], [0, 1]]"), "Cropping2D ",
         "\"cropping\": [[1, 0], [0, 1]]"},
        {LAYER("UpSampling2D", ", 'size': [2, 3]"), "UpSampling2D ", "\"size\": [2, 3]"},
        {LAYER("Rescaling", ", 'scale': 2, 'offset': 0.5"), "Rescaling ",
         "\"scale\": 2.0, \"offset\": 0.5"},
        {"[" FIRST "{'class_name': 'Flatten', 'config': {'name': 'a'" AT_FIRST "}}]", "Flatten ",
         "\"data_format\": \"channels_first\""},
        {"[" FIRST "{'class_name': 'UpSampling2D', 'config': {'name': 'b'" AT_FIRST "}}, "
         "{'class_name': 'Flatten', 'config': {'name': 'a'" AT_FIRST "}}]",
         "UpSampling2D Flatten ", "\"data_format\": \"channels_first\""},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        check_there_and_back(list[i][0], NULL, 0, list[i][1], list[i][2]);
}

/* A Dense over pixels has its bias in a node of its own; what a BatchNormalization has not is 1 or 0. */
static void weights_come_back(void **state)
{
    (void)state;
    double ones[4] = {1, 1, 1, 1};
    const convt_array dense[] = {{"a/kernel", CONVT_ELEMENT_F64, 2, {1, 2}, ones},
                                 {"a/bias", CONVT_ELEMENT_F64, 1, {2}, ones}},
                      statistics[] = {{"a/moving_mean", CONVT_ELEMENT_F64, 1, {1}, ones},
                                      {"a/moving_variance", CONVT_ELEMENT_F64, 1, {1}, ones}};
    check_there_and_back(LAYER("Dense", ", 'units': 2, 'dtype': 'float64'"), dense, 2, "Dense ",
                         "\"use_bias\": true");
    check_there_and_back(
        LAYER("BatchNormalization", ", 'scale': false, 'center': false, 'dtype': 'float64'"),
        statistics, 2, "BatchNormalization ", "\"axis\": -1");
    check_there_and_back(LAYER("BatchNormalization", ", 'scale': false, 'center': false"),
                         statistics, 2, "BatchNormalization ", "\"axis\": -1");
}

/* ---- what is not written --------------------------------------------------------------------- */

static void check_not_written(const char *layers, const convt_array weights[], int count,
                              const char *message)
{
    convti_bytes bytes;
    convt_error err = {CONVT_OK, "", ""};
    const convti_package package = package_of(layers, weights, count);
    assert_refused(convti_onnx_write(&package, "b.onnx", &bytes, &err), &err,
                   CONVT_INVALID_ARGUMENT, "b.onnx", "");
    assert_string_equal(err.message, message);
    assert_null(bytes.data);
    json_decref(package.config);
}

static void what_onnx_has_no_words_for_is_not_written(void **state)
{
    (void)state;
    static const char *const list[][2] = {
        {"", "cannot be written: there are weights alone and no layers"},
        {"[{'class_name': 'Dense', 'config': {'name': 'a', 'units': 1}}]",
         "Dense a has an input whose shape is not known"},
        {LAYER("Dense", ", 'units': 1"), "Dense a has no kernel: an ONNX file needs the weights"},
        {LAYER("Conv2D", ", 'filters': 1, 'kernel_size': 1, 'strides': 2"),
         "Conv2D a has strides or groups: only 1 is written"},
        {LAYER("UpSampling2D", ", 'interpolation': 'bilinear'"),
         "UpSampling2D a has an interpolation that is not nearest"},
        {LAYER("Rescaling", ", 'scale': 2, 'offset': [1, 2]"),
         "Rescaling a has a offset that is no number"},
        {LAYER("ReLU", ", 'threshold': 1"),
         "ReLU a has a relu with a threshold, which no ONNX operator computes"},
        {LAYER("ReLU", ", 'negative_slope': 1, 'max_value': 2"),
         "ReLU a has a relu with negative_slope and max_value, which no ONNX operator computes"},
        {LAYER("Activation", ", 'activation': 'squareplus'"),
         "Activation a has the activation squareplus, which ONNX has no operator for"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        check_not_written(list[i][0], NULL, 0, list[i][1]);
}

static void weights_that_do_not_fit_are_not_written(void **state)
{
    (void)state;
    double ones[4] = {1, 1, 1, 1};
    const convt_array flat = {"a/kernel", CONVT_ELEMENT_F64, 2, {1, 2}, ones},
                      bytes = {"a/kernel", CONVT_ELEMENT_U8, 2, {1, 1}, ones},
                      kernel = {"a/kernel", CONVT_ELEMENT_F64, 4, {1, 1, 1, 1}, ones},
                      statistics[] = {{"a/gamma", CONVT_ELEMENT_F64, 1, {2}, ones},
                                      {"a/beta", CONVT_ELEMENT_F64, 1, {2}, ones},
                                      {"a/moving_mean", CONVT_ELEMENT_F64, 1, {2}, ones},
                                      {"a/moving_variance", CONVT_ELEMENT_F64, 1, {2}, ones}};
    check_not_written(LAYER("Dense", ", 'units': 1"), &flat, 1,
                      "Dense a has a kernel of another shape or type than its layer");
    check_not_written(LAYER("Dense", ", 'units': 1"), &bytes, 1,
                      "Dense a has a kernel of another shape or type than its layer");
    check_not_written(
        LAYER("Conv2DTranspose",
              ", 'filters': 1, 'kernel_size': 1, 'use_bias': false, 'dtype': 'float64', "
              "'activation': 'celu', 'convt': {'activation_arguments': {'alpha': 0.5}}"),
        &kernel, 1, "Conv2DTranspose a has a celu in float64, which ONNX has in float32 only");
    check_not_written(LAYER("BatchNormalization", ", 'axis': 2"), statistics, 4,
                      "BatchNormalization a normalizes axis 2: 1 and the last one are written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_named_once_and_where_the_opset_has_them),
        cmocka_unit_test(a_line_of_nodes_is_what_it_must_be),
        cmocka_unit_test(weights_are_stored_real_numbers),
        cmocka_unit_test(activations_are_those_that_keras_has),
        cmocka_unit_test(shapes_are_those_of_images),
        cmocka_unit_test(operators_become_layers),
        cmocka_unit_test(every_real_type_is_read_exactly),
        cmocka_unit_test(layers_come_back_as_what_they_compute),
        cmocka_unit_test(weights_come_back),
        cmocka_unit_test(what_onnx_has_no_words_for_is_not_written),
        cmocka_unit_test(weights_that_do_not_fit_are_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
