/* The .npy format on a stream, for files and for members of archives. */
#ifndef CONVTI_NPY_H
#define CONVTI_NPY_H

#include "elements.h"

/* Reads one array up to the end of the source. array->name is left alone; on failure the array
 * is empty. */
convt_status convti_npy_take(convti_source *source, convt_array *array, convt_error *err);

/* The same of some samples, the first axis of the array; *all: how many there are. */
convt_status convti_npy_take_some(convti_source *source, const convt_selection *selection,
                                  convt_array *array, int64_t *all, convt_error *err);

/* The header of an array: text of *size bytes, which the data follow. */
enum { CONVTI_NPY_HEADER = 384 };
convt_status convti_npy_header(const convt_array *array, char header[CONVTI_NPY_HEADER],
                               size_t *size, convt_error *err);

#endif
