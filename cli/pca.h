/*
 * What a principal component analysis of the same images would leave: the yardstick that the report
 * shows.
 */
#ifndef CONVT_PCA_H
#define CONVT_PCA_H

#include <stdbool.h>

#include <convt/io.h>

enum { PCA_MAX_PIXELS = 4096 };

/*
 * The mean squared error per pixel, on the scale of [0, 1], of the best linear code of `components`
 * numbers for these images, i.e. mean image plus so many principal components. NaN where memory is
 * out, or the images are too many or too large for a quick answer.
 */
double pca_residual(const convt_images *images, int64_t components);

#endif
