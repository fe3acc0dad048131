/*
 * From Keras' layers to layers of this library. A rule for each class adds to the layers under
 * construction, or changes the last of them, so that both compute the same. What the layers need
 * beside their configs, and what it takes to put weights into them, lives in the spec's storage.
 */
#ifndef CONVTI_LOWER_H
#define CONVTI_LOWER_H

#include "classes.h"

/* The values of a fixed layer: taps of a diagonal matrix, and a bias. A number for all channels takes
 * no memory, whatever their number. */
typedef struct convti_constant {
    int64_t count;            /* of the diagonal */
    double scale, offset;     /* of all channels */
    double *scales, *offsets; /* or of each; NULL: see above */
    const convti_item *norm;  /* the BatchNormalization whose numbers they are; NULL: none */
    bool every_tap;           /* of the kernel; else this one alone */
    int64_t h, w;
} convti_constant;

/* A BatchNormalization that is part of the kernel and bias before it: filter f is its channel
 * f / inner % channels. */
typedef struct convti_fold {
    int layer;
    const convti_item *norm;
    int64_t inner, channels;
} convti_fold;

typedef struct convti_storage {
    json_t *config;
    convti_items items;
    convti_constant *constants; /* room for one an item and one more; configs point at them */
    convti_fold *folds;         /* in the order of the data */
    int constant_count, fold_count;
    char predicts_only[160];
} convti_storage;

void convti_storage_free(convti_storage *storage);

/* Makes spec->layers and all else but the weights of spec->storage, whose config has been set. */
convt_status convti_lower(convt_spec *spec, convt_error *err);

/* A BatchNormalization as y = scale * x + offset: malloc'ed scales of all channels, then offsets. */
convt_status convti_norm_factors(const convti_item *norm, const convt_archive *weights,
                                 int64_t channels, double **factors, convt_error *err);

/* What a variable of it is where there are no weights. */
double convti_norm_initial(const convti_item *norm, const char *variable);

/* Gives constants the numbers of these weights; on failure they keep those they had. */
convt_status convti_constants_take(convti_storage *storage, const convt_archive *weights,
                                   convt_error *err);

/* The callbacks that fill a fixed layer; the context is its convti_constant. */
void convti_fill_kernel(void *context, convt_view kernel);
void convti_fill_bias(void *context, convt_view bias);

convti_lower_rule convti_lower_transpose, convti_lower_conv, convti_lower_dense, convti_lower_norm,
    convti_lower_reshape, convti_lower_flatten, convti_lower_padding, convti_lower_cropping,
    convti_lower_upsampling, convti_lower_rescaling, convti_lower_dropout, convti_lower_activation;

#endif
