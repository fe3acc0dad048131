/*
 * The decoder that fits an image size, for runs without --model.
 */
#ifndef CONVT_DECODER_H
#define CONVT_DECODER_H

#include <convt/convt.h>

enum { DECODER_MAX_LAYERS = 40 };

/*
 * Fills layers for an input (1x1xD for codes, or an x of another size) and an output shape;
 * `sigmoid` says how it ends. Returns how many layers there are, 0 where no chain of doublings
 * leads from one size to the other.
 */
int decoder_design(convt_config layers[DECODER_MAX_LAYERS], convt_shape input, convt_shape output,
                   bool sigmoid);

#endif
