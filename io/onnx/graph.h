/*
 * An ONNX file as its bytes say it: nodes, constants, the one input and the one output. Everything
 * points into the bytes. graph.c takes it apart, tensor.c reads constants.
 */
#ifndef CONVTI_ONNX_GRAPH_H
#define CONVTI_ONNX_GRAPH_H

#include "file.h"
#include "onnx.h"

/* Nodes and constants each: memory for them does not follow from the size of a file of empty ones. */
enum { CONVTI_ONNX_MOST = 4096, CONVTI_ONNX_INPUTS = 8 };

typedef struct convti_onnx_tensor {
    convti_wire name;
    int rank; /* -1: more than any here */
    int64_t size[CONVT_MAX_RANK], count;
    uint64_t type;
    bool external;
    convti_wire numbers; /* `count` of the type, lowest byte first; NULL: only as varints */
    convti_wire message;
} convti_onnx_tensor;

typedef struct convti_onnx_node {
    convti_wire name, op, domain, output, message;
    int inputs, outputs; /* outputs: that have a name */
    convti_wire input[CONVTI_ONNX_INPUTS];
} convti_onnx_node;

/* The graph's input or output: 0 is a size that is not known, rank -1 none that is given. */
typedef struct convti_onnx_value {
    convti_wire name;
    uint64_t type;
    int rank;
    int64_t size[4];
} convti_onnx_value;

typedef struct convti_onnx_graph {
    const char *file;
    uint64_t file_size, opset;
    convti_onnx_node *nodes;
    convti_onnx_tensor *tensors;
    int node_count, tensor_count;
    convti_onnx_value input, output;
} convti_onnx_graph;

/* The bytes stay the caller's. On failure the graph is empty. */
convt_status convti_onnx_parse(convti_wire bytes, const char *file, convti_onnx_graph *graph,
                               convt_error *err);
void convti_onnx_graph_free(convti_onnx_graph *graph);

/* ---- attributes ------------------------------------------------------------------------------ */

/* The attribute's message; at NULL: the node has none of that name. */
convti_wire convti_onnx_attribute(const convti_onnx_node *node, const char *name);
int64_t convti_onnx_integer(const convti_onnx_node *node, const char *name, int64_t missing);
/* With the fewest digits that say the same float. */
double convti_onnx_float(const convti_onnx_node *node, const char *name, double missing);
convti_wire convti_onnx_string(const convti_onnx_node *node, const char *name);

/* At most `most` integers; how many there are, -1 where the attribute is absent. */
int convti_onnx_integers(const convti_onnx_node *node, const char *name, int64_t values[],
                         int most);
int convti_onnx_floats(const convti_onnx_node *node, const char *name, double values[], int most);

/* ---- constants ------------------------------------------------------------------------------- */

/* An initializer, or what a Constant node or an Identity over one gives; NULL: none of that name. */
const convti_onnx_tensor *convti_onnx_constant(const convti_onnx_graph *graph, convti_wire name);
const convti_onnx_node *convti_onnx_node_of(const convti_onnx_graph *graph, convti_wire output);

/* NULL, or why its numbers cannot be read. */
const char *convti_onnx_tensor_flaw(const convti_onnx_tensor *tensor);

/* At most `most` integers of a tensor; how many there are, -1 where they are no integers. */
int convti_onnx_tensor_integers(const convti_onnx_tensor *tensor, int64_t values[], int most);

/* Numbers of a tensor of a real type: the first ones, and all of them times `scale` in the order of
 * permuted axes. */
int convti_onnx_tensor_reals(const convti_onnx_tensor *tensor, double values[], int most);
void convti_onnx_tensor_copy(const convti_onnx_tensor *tensor, const int axes[], double scale,
                             convt_dtype dtype, void *data);

/* Where shapes that exporters compute have the batch. */
#define CONVTI_ONNX_BATCH INT64_MIN

/* A value whose sizes are known. */
typedef struct convti_onnx_sizes {
    convti_wire value;
    int rank;
    const int64_t *size; /* 0: not known; [0] is the batch in any case */
} convti_onnx_sizes;

/* At most 8 integers that are stored, or computed from stored ones and the shape of a value; how many
 * there are, -1 where they are neither. */
int convti_onnx_compute(const convti_onnx_graph *graph, const convti_onnx_sizes *known,
                        convti_wire name, int64_t values[8]);

/* FLOAT, DOUBLE, FLOAT16, BFLOAT16. */
bool convti_onnx_is_real(uint64_t type);

#endif
