/* convt gradcheck --all: every argument of the layer, checked. */
#ifndef CONVT_CLI_GRADCHECK_H
#define CONVT_CLI_GRADCHECK_H

#include <convt/gradcheck.h>

/*
 * Checks kernels 1 to 5, strides 1 to 4, dilations 1 to 3, both paddings, output_padding None, 0
 * and strides - 1, both data formats and every activation, all with all; regularizers, sizes and
 * the other axis go around with them; on every instruction set that this machine runs, in float64
 * (options: rtol, seed) and float32 against float64. Prints a table in Markdown. Returns the exit
 * code: 1 where a check failed, whose lines then stand below the table.
 */
int gradcheck_grid(const convt_gradcheck_options *options, int threads);

#endif
