/*
 * What the commands ask about models beyond the library: reading one with the right exit code,
 * names, sizes.
 */
#ifndef CONVT_CLI_MODEL_H
#define CONVT_CLI_MODEL_H

#include <convt/io.h>

/*
 * Reads a model for the option that `where` names, with the input channels taken from the weights
 * where the config does not say. Returns OPTIONS_PARSED (-1), or the exit code after the line: 2
 * for a .json config that is missing or no JSON, 1 for another file that is, 2 for a config that is
 * refused.
 */
int model_read(const char *where, const char *path, convt_spec *spec);

/* The same for a file or the directory of a run; where `model` is not NULL, layers are those of that
 * file, and the file is asked for weights alone. */
int weights_read(const char *where, const char *path, const char *model, convt_spec *spec);

/* Reads the file of --config, which holds one layer and no weights. Returns OPTIONS_PARSED (-1), or 2
 * after the line. Free the spec in any case. */
int config_read(const char *path, convt_spec *spec);

/* So many integers of at least 1, commas in between. */
bool sizes_read(const char *text, int count, int64_t sizes[]);

/* Reads the N,H,W,C of --input into max_batch and input. Returns as config_read does. */
int input_read(const char *text, convt_config *cfg);

/* One sample of an array as a model takes it or gives it: rank 2 is (n, units), rank 4 (n, h, w, c) in
 * the order of data_format. Returns OPTIONS_PARSED, or 2 after the line. */
int sample_shape(const char *where, const convt_array *array, int rank, bool channels_first,
                 convt_shape *shape);

/* The input that the model asks for must be the one that is there; sizes that it leaves open are
 * taken from there. Returns the same. */
int fit_model_input(const char *where, convt_shape there, convt_shape *input);

/* The array that n samples of the last layer's output are, without data. */
convt_array output_array(const convt_spec *spec, convt_shape last, convt_dtype dtype, int64_t n);

/* The same as a picture: a Reshape at the end counts. */
convt_shape output_shape(const convt_spec *spec, convt_shape last);

/* Keras' name of a layer's activation. */
const char *activation_name(const convt_config *layer);

/* Numbers in the kernel and the bias, 0 where they are fixed; -1 where 64 bits do not count them. */
int64_t layer_parameters(const convt_config *layer, int64_t channels);

/* Channels that the next layer sees: filters, but half of them behind a glu over channels. */
int64_t output_channels(const convt_config *layer);

/* Bytes of all parameters of a chain, SIZE_MAX where that is not enough. */
size_t model_parameter_bytes(const convt_config layers[], int count);

#endif
