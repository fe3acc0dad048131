/*
 * ONNX: field numbers and enumerations of onnx.proto, as far as decoders need them, and the tables
 * that reading and writing share.
 *
 *     model { ir_version, producer, opset_import { domain, version }, graph }
 *     graph { node { input, output, name, op_type, attribute }, name, initializer, input, output }
 *     tensor { dims, data_type, name, and its numbers: raw_data or one of the others }
 */
#ifndef CONVTI_ONNX_H
#define CONVTI_ONNX_H

#include "convt/io.h"
#include "wire.h"

enum { ONNX_OPSET = 17, ONNX_IR_VERSION = 8 }; /* that are written */

enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER_NAME = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET_IMPORT = 8
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum {
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    NODE_DOMAIN = 7
};
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum {
    ATTRIBUTE_IS_FLOAT = 1,
    ATTRIBUTE_IS_INT = 2,
    ATTRIBUTE_IS_STRING = 3,
    ATTRIBUTE_IS_TENSOR = 4,
    ATTRIBUTE_IS_FLOATS = 6,
    ATTRIBUTE_IS_INTS = 7
};
enum {
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_INT64_DATA = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14
};
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };
enum {
    ONNX_FLOAT = 1,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_BFLOAT16 = 16
};

/* ---- padding --------------------------------------------------------------------------------- */

/* One axis of a transposed convolution. */
typedef struct convti_deconv {
    int64_t kernel, stride, dilation;
} convti_deconv;

/*
 * What Keras cuts off the (in - 1) * stride + (kernel - 1) * dilation + 1 positions that taps reach:
 * `begin` in front, `end` behind, negative where it adds some. output_padding below 0 is None.
 */
typedef struct convti_cut {
    int64_t begin, end;
} convti_cut;
convti_cut convti_keras_cut(convti_deconv axis, bool same, int64_t output_padding);

/* ---- activations ----------------------------------------------------------------------------- */

/* A node's float attribute: a number, or an argument of the activation. */
typedef struct convti_onnx_argument {
    const char *name;
    double value;         /* where argument is NULL */
    const char *argument; /* its name in activations.def */
    double missing;       /* ONNX' value where a node does not say */
} convti_onnx_argument;

/* An activation that one node computes. */
typedef struct convti_onnx_activation {
    convt_activation_kind kind;
    const char *op;
    convti_onnx_argument arguments[2];
} convti_onnx_activation;
extern const convti_onnx_activation convti_onnx_activations[];
extern const int convti_onnx_activation_count;

/* An activation that several nodes compute: steps over x, results of steps before, and constants. */
enum { CONVTI_RECIPE_X = -1, CONVTI_RECIPE_CONSTANT = -2, CONVTI_RECIPE_NOTHING = -3 };
typedef struct convti_onnx_step {
    const char *op;
    int a, b; /* numbers of steps, or one of the above */
    double constant;
} convti_onnx_step;

enum { CONVTI_MOST_STEPS = 9 };
typedef struct convti_onnx_recipe {
    convt_activation_kind kind;
    double approximate; /* of gelu */
    convti_onnx_step steps[CONVTI_MOST_STEPS];
} convti_onnx_recipe;
extern const convti_onnx_recipe convti_onnx_recipes[];
extern const int convti_onnx_recipe_count;
int convti_onnx_recipe_steps(const convti_onnx_recipe *recipe);

/* The value of an argument in an activation with its defaults filled in. */
double convti_onnx_get_argument(const convt_activation *activation, const char *name);

#endif
