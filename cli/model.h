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

/* Reads the file of --config, which holds one layer and no weights. Returns OPTIONS_PARSED (-1), or 2
 * after the line. Free the spec in any case. */
int config_read(const char *path, convt_spec *spec);

/* Reads the N,H,W,C of --input into max_batch and input. Returns as config_read does. */
int input_read(const char *text, convt_config *cfg);

/* Keras' name of a layer's activation. */
const char *activation_name(const convt_config *layer);

/* Numbers in the kernel and the bias; -1 where 64 bits do not count them. */
int64_t layer_parameters(const convt_config *layer, int64_t channels);

/* Channels that the next layer sees: filters, but half of them behind a glu over channels. */
int64_t output_channels(const convt_config *layer);

/* Bytes of all parameters of a chain, SIZE_MAX where that is not enough. */
size_t model_parameter_bytes(const convt_config layers[], int count);

#endif
