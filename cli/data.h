/*
 * Samples of a training run: images that stay bytes in memory and become numbers in [0, 1] when a
 * batch is gathered, or two arrays x and y.
 */
#ifndef CONVT_DATA_H
#define CONVT_DATA_H

#include <convt/io.h>

/* Images as the targets of a training run; the context of image_gather. */
typedef struct image_data {
    convt_images images;
    bool channels_first; /* the memory order that the model works in */
} image_data;

/* A convt_dataset gather: writes images index[0..n) to y; x is left alone. */
convt_status image_gather(void *image_data, const int64_t *index, int64_t n, convt_view x,
                          convt_view y);

/* One image as h*w*c numbers, channels last; bytes scaled to [0, 1], floats as they are. */
void image_pixels(const convt_images *images, int64_t index, float *pixels);

/* Reorders one sample of h x w pixels and c channels from the model's memory order to channels
 * last. */
void pixels_channels_last(const float *from, convt_shape shape, bool channels_first, float *to);

/* The smallest and largest value; NaN where there is any. */
typedef struct value_range {
    double low, high;
} value_range;
value_range image_range(const convt_images *images);
value_range array_range(const convt_array *array);

/* Of the bytes of a sample and of its number. */
uint64_t sample_digest(const void *sample, size_t bytes, int64_t index);

/* "60000x28x28x1 u8 1a2b3c4d5e6f7081": shape, element and the sum of all samples' digests, so that
 * --resume can tell other data. Needs 160 bytes. */
void image_fingerprint(const convt_images *images, int64_t count, uint64_t digest, char text[160]);
void array_fingerprint(const convt_array *array, int64_t count, uint64_t digest, char text[160]);

size_t element_size(convt_element element);

/* The images that come along: in the working directory's examples/data, else installed.
 * malloc'ed; NULL after an error line. */
char *default_images(void);

#endif
