/* .npz beyond the public functions: one array of many, and what else an archive holds. */
#ifndef CONVTI_NPZ_H
#define CONVTI_NPZ_H

#include "file.h"

/* The array that the first of `names` (NULL-terminated) found names, or the only one. Nothing
 * else is read. */
convt_status convti_npz_read_one(const char *path, const char *const names[], convt_array *array,
                                 convt_error *err);

/* False also where the input is no archive. */
bool convti_zip_has_member(const convti_input *input, const char *member);

#endif
