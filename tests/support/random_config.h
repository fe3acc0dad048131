/* Seeded configs over the whole geometry grid, and the oracle's view of a config. */
#ifndef RANDOM_CONFIG_H
#define RANDOM_CONFIG_H

#include "convt/convt.h"
#include "naive.h"

/*
 * A small config: sizes 1..7, kernels 1..5, strides 1..4, dilations 1..3, both paddings,
 * output_padding or none, both formats, both dtypes, with and without bias; activation linear.
 * Now and then with what goes beyond Keras: strides with dilations, explicit padding, kernels stored
 * as Conv2D's or Dense's, fixed ones. Always valid:
 * output_padding is below strides, and there is an output.
 */
convt_config random_config(uint64_t seed);

/* The same with one thing wrong; *field is the name that a refusal must give. */
convt_config random_wrong_config(uint64_t seed, const char **field);

/* The oracle's problem for n samples of a config whose zero fields stand for defaults. */
naive_problem naive_of_config(const convt_config *cfg, int64_t n);

/* The layer's kernel, stored as kernel_order says, in the oracle's order, and back. */
void naive_kernel(const convt_config *cfg, const double *stored, double *w);
void stored_kernel(const convt_config *cfg, const double *w, double *stored);

/* The activation with 0.25 for every argument that it needs and lacks. */
convt_activation complete_activation(convt_activation activation);

/* One line of text: the shape of a config, for messages. Returns buffer. */
const char *config_text(const convt_config *cfg, char *buffer, size_t size);

#endif
