/* The arrays of a package and the parameters of a model, by "<layer>/<variable>". */
#ifndef CONVTI_WEIGHTS_H
#define CONVTI_WEIGHTS_H

#include "file.h"

typedef struct convti_parameter_shape {
    int rank;
    int64_t size[4];
} convti_parameter_shape;

/* The array in the shape it must have, or CONVT_BAD_FORMAT, CONVT_INVALID_SHAPE naming it. */
convt_status convti_weights_find(const convt_archive *weights, const char *layer,
                                 const char *variable, const convti_parameter_shape *shape,
                                 const convt_array **array, convt_error *err);

#endif
