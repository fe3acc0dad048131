/* An ONNX graph under construction: write.c begins and ends it, write_layer.c has a row for each Keras
 * class, write_activation.c the activations, write_node.c the nodes and their constants. */
#ifndef CONVTI_ONNX_WRITE_H
#define CONVTI_ONNX_WRITE_H

#include "onnx.h"
#include "package.h"

typedef struct convti_onnx_name {
    char text[256];
} convti_onnx_name;

typedef struct convti_onnx_writer {
    const convti_package *package;
    const char *file; /* field of errors */
    convti_items items;
    const convti_item *item;
    convti_message graph;
    convti_onnx_name value; /* of what the nodes so far come to */
    bool turned;            /* that is (n, c, h, w) where Keras has (n, h, w, c) */
    size_t node;            /* where the node under construction begins */
    convti_onnx_name node_name;
    convt_error *err;
} convti_onnx_writer;

/* CONVT_INVALID_ARGUMENT: "<class> <layer> ...". */
convt_status convti_onnx_refuse_layer(const convti_onnx_writer *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- nodes ----------------------------------------------------------------------------------- */

/* "<layer>", with a suffix "<layer>/<suffix>". */
convti_onnx_name convti_onnx_name_of(const convti_onnx_writer *w, const char *suffix);

/* Begins a node whose output bears its name; the inputs are names. `end` makes its output the
 * value. */
void convti_onnx_begin_node(convti_onnx_writer *w, convti_onnx_name name, const char *op,
                            const char *const inputs[], int count);
void convti_onnx_add_float(convti_onnx_writer *w, const char *name, double value);
void convti_onnx_add_integer(convti_onnx_writer *w, const char *name, int64_t value);
void convti_onnx_add_string(convti_onnx_writer *w, const char *name, const char *value);
void convti_onnx_add_integers(convti_onnx_writer *w, const char *name, const int64_t values[],
                              int count);
void convti_onnx_end_node(convti_onnx_writer *w);

/* Constants; the name is that of the initializer. */
void convti_onnx_put_integers(convti_onnx_writer *w, const char *name, const int64_t values[],
                              int count);
void convti_onnx_put_floats(convti_onnx_writer *w, const char *name, const float values[],
                            int count);
void convti_onnx_put_scalar(convti_onnx_writer *w, const char *name, double value);
void convti_onnx_put_filled(convti_onnx_writer *w, const char *name, int64_t count, double value);

/* Transposes where the value is not yet as asked. */
void convti_onnx_turn(convti_onnx_writer *w, bool turned);

/* ---- layers ---------------------------------------------------------------------------------- */

/* A weight of the layer as an initializer of its name, axes permuted (NULL: as they are). sizes:
 * what it must have, 0 any. CONVT_INVALID_ARGUMENT where the package lacks it. */
convt_status convti_onnx_put_weight(convti_onnx_writer *w, const char *variable, int rank,
                                    const int64_t sizes[], const int axes[]);

/* The nodes of a layer. */
convt_status convti_onnx_write_layer(convti_onnx_writer *w);

/* Of an activation; `suffix` is that of the last node's name, NULL where it is a layer itself. */
convt_status convti_onnx_write_activation(convti_onnx_writer *w, const convt_activation *activation,
                                          const char *suffix);

#endif
