/* .npz beyond the public functions: over inputs, and one array of many. */
#ifndef CONVTI_NPZ_H
#define CONVTI_NPZ_H

#include "file.h"

/* What convt_npz_read and convt_npz_decode do. */
convt_status convti_npz_read(const convti_input *input, const char *text_name,
                             convt_archive *archive, convt_error *err);

/* The array that the first of `names` (NULL-terminated) found names, or the only one. Nothing
 * else is read. */
convt_status convti_npz_read_one(const convti_input *input, const char *const names[],
                                 convt_array *array, convt_error *err);

#endif
