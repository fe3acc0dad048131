/*
 * What every format of models gives and takes: a package, that is the Keras JSON of a model and the
 * arrays of its layers, "<layer>/<variable>", in Keras' shapes and orders. package.c has the table of
 * formats; keras.c, safetensors.c, onnx_read.c ... know their bytes and nothing else; lower.c makes
 * layers of this library of a package's config, and knows no format.
 */
#ifndef CONVTI_PACKAGE_H
#define CONVTI_PACKAGE_H

#include <jansson.h>

#include "file.h"

typedef struct convti_package {
    json_t *config; /* a Sequential, Functional, list or layer; NULL where the format has none */
    convt_archive weights;
} convti_package;

void convti_package_free(convti_package *package);

/* Memory that a writer made (malloc). */
typedef struct convti_bytes {
    void *data;
    size_t size;
} convti_bytes;

/* ---- the layers of a model, one after the other ---------------------------------------------- */

/* The shape of a tensor between layers, without the batch: (units) or (h, w, c) in the order of
 * memory, so (c, h, w) where channels come first. 0: not known. */
typedef struct convti_tensor {
    int rank; /* 1 or 3; 0: not known */
    int64_t size[3];
} convti_tensor;

typedef struct convti_class convti_class; /* classes.h */
struct convti_arguments;

/* One Keras layer of a straight line; strings and config are borrowed from the JSON. */
typedef struct convti_item {
    const convti_class *class;
    struct convti_arguments *arguments; /* what the config says */
    const char *class_name; /* as Keras calls it today: "Conv2DTranspose", "BatchNormalization" */
    const char *name;       /* unique; automatic where the JSON has none */
    json_t *config;         /* its get_config() */
    convti_tensor input, output;
} convti_item;

/* The layers in the order of the data, without InputLayer. */
typedef struct convti_items {
    convti_item *list;
    int count;
    bool channels_first; /* data_format of all layers that have one */
    convt_dtype dtype;
} convti_items;

/* Reads a config whose names it completes; free in any case. Errors name the layer. */
convt_status convti_items_read(json_t *config, convti_items *items, convt_error *err);
void convti_items_free(convti_items *items);

/* The variables of a layer in Keras' order ("kernel", "bias"; "gamma", "beta", "moving_mean",
 * "moving_variance" as scale and center say), static strings; returns how many. */
enum { CONVTI_MOST_VARIABLES = 4 };
int convti_item_variables(const convti_item *item, const char *names[CONVTI_MOST_VARIABLES]);

/* Keras' snake_case of a class: "conv2d_transpose"; the stem of automatic names and the names of
 * groups in its HDF5 files. NULL for a class that is not known. */
const char *convti_class_stem(const char *class_name);

/* ---- formats --------------------------------------------------------------------------------- */

/*
 * read: the package of a file. `layers` are those of the model that a file of weights alone belongs
 * to; NULL where the file must say itself. On failure *package is empty.
 * write: the bytes of a package; *bytes is empty on failure. Where config is NULL only formats
 * without a config can be written.
 */
typedef convt_status convti_format_read(const convti_input *input, const convti_items *layers,
                                        convti_package *package, convt_error *err);
typedef convt_status convti_format_write(const convti_package *package, const char *name,
                                         convti_bytes *bytes, convt_error *err);

convti_format_read convti_npz_package_read, convti_keras_read, convti_weights_h5_read,
    convti_safetensors_read, convti_onnx_read, convti_json_package_read;
convti_format_write convti_npz_package_write, convti_keras_write, convti_weights_h5_write,
    convti_safetensors_write, convti_onnx_write, convti_json_package_write;

/* By content; for writing, by the suffix of the name. 0: none. */
convt_format convti_format_recognize(const convti_input *input);

/* Any format that has been built in; one that has not is named with what it needs. */
convt_status convti_package_read(const convti_input *input, const convti_items *layers,
                                 convti_package *package, convt_error *err);
convt_status convti_package_write(const convti_package *package, convt_format format,
                                  const char *name, convti_bytes *bytes, convt_error *err);

#endif
