/*
 * An ONNX graph on its way to Keras layers: read.c goes along the line of nodes, read_layer.c has a
 * row for each operator, read_shape.c those that move elements, read_activation.c the activations.
 *
 * The graph decides the data format: where a Transpose to (n, c, h, w) comes before the first
 * spatial operator it is channels_last, and the Transposes vanish; else channels_first.
 */
#ifndef CONVTI_ONNX_READ_H
#define CONVTI_ONNX_READ_H

#include "graph.h"
#include "package.h"

typedef enum convti_onnx_format { UNDECIDED, CHANNELS_FIRST, CHANNELS_LAST } convti_onnx_format;

typedef struct convti_onnx_reader {
    convti_onnx_graph graph;
    const convti_onnx_node *node; /* that is read */
    convti_package *package;
    json_t *layers, *names; /* names: an object whose keys are taken */
    convt_dtype dtype;
    uint64_t budget; /* bytes that weights may still take: initializers may be shared */

    /* What the nodes so far come to; sizes in the file's order, [0] the batch, 0: not known. */
    convti_wire value;
    int rank; /* -1: not known */
    int64_t size[4];
    convti_onnx_format format;
    bool turned;     /* the value is (n, c, h, w), Keras' tensor (n, h, w, c) */
    bool to_be_flat; /* the value is (n, h, w, c), Keras' tensor (n, c, h, w): Flatten follows */

    json_t *last; /* config of the last layer, class and name of it */
    const char *last_class, *last_name;
    convti_wire owner; /* the last layer's node, where an activation can become its own */
    int64_t biasless;  /* units of the last layer, where a bias can become its own */
    convt_error *err;
} convti_onnx_reader;

/* CONVT_INVALID_ARGUMENT: "node <name> (<op>) ...". */
convt_status convti_onnx_refuse_node(const convti_onnx_reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The operators of read_layer.c and read_shape.c; NULL: none of that name. */
typedef convt_status convti_onnx_read_node(convti_onnx_reader *r);
typedef struct convti_onnx_operator {
    const char *op;
    convti_onnx_read_node *read;
    const char *attributes; /* that are known, a space in between; another one is refused */
} convti_onnx_operator;
extern const convti_onnx_operator convti_onnx_layers[], convti_onnx_shapes[];
extern const int convti_onnx_layer_count, convti_onnx_shape_count;

/* ---- activations ----------------------------------------------------------------------------- */

/* The activation that the node computes alone. */
bool convti_onnx_is_activation(const convti_onnx_node *node);
convt_status convti_onnx_read_activation(convti_onnx_reader *r);

/* The activation that several nodes compute from the value; false where they do not. */
bool convti_onnx_read_recipe(convti_onnx_reader *r, convt_status *status);

/* Nodes that take a value; `first` one of them. Nodes that ask for its shape do not count. */
int convti_onnx_count_consumers(const convti_onnx_graph *graph, convti_wire value,
                                const convti_onnx_node **first);

/* ---- layers ---------------------------------------------------------------------------------- */

/* A layer of the node's name whose config has `more` (stolen; NULL: no memory). */
convt_status convti_onnx_add_layer(convti_onnx_reader *r, const char *class_name, json_t *more);

/* A member of the last layer's config, new or another value (stolen; NULL: no memory). */
convt_status convti_onnx_say(convti_onnx_reader *r, const char *key, json_t *value);

/* A weight of the last layer: the tensor's axes permuted, or, with axes NULL, all of it in one. */
convt_status convti_onnx_add_weight(convti_onnx_reader *r, const char *variable,
                                    const convti_onnx_tensor *tensor, const int axes[],
                                    double scale);

/* A stored input of a real type; rank 0: any. */
convt_status convti_onnx_weight_input(convti_onnx_reader *r, int input, const char *what, int rank,
                                      const convti_onnx_tensor **tensor);
bool convti_onnx_has_input(const convti_onnx_reader *r, int input);

/* Integers of an attribute, or of a stored input where input is not 0; CONVT_OK with count -1 where
 * there are none. */
convt_status convti_onnx_get_integers(convti_onnx_reader *r, const char *name, int input,
                                      int64_t values[8], int *count);

/* The value has this rank, and so many channels on axis 1 (0: any). */
convt_status convti_onnx_need(convti_onnx_reader *r, int rank, int64_t channels);

/* The value is (n, c, h, w) as spatial operators need it. */
convt_status convti_onnx_need_image(convti_onnx_reader *r, int64_t channels);

/* "channels_first" or "channels_last". */
const char *convti_onnx_data_format(const convti_onnx_reader *r);

#endif
