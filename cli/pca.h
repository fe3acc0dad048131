/*
 * What a principal component analysis of the same images would leave: the yardstick that the report
 * shows.
 */
#ifndef CONVT_PCA_H
#define CONVT_PCA_H

#include <stdbool.h>

#include <convt/io.h>

enum { PCA_MAX_PIXELS = 4096 };

/* Are the images few and small enough for a quick answer? */
bool pca_is_quick(int64_t count, int64_t pixels, int64_t components);

/*
 * The mean squared error per pixel, on the scale of [0, 1], of the best linear code of `components`
 * numbers for these images, i.e. mean image plus so many principal components. NaN where memory is
 * out, or the answer would not be quick.
 */
double pca_residual(const convt_images *images, int64_t components);

#endif
