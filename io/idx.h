/* IDX, the format of MNIST: image files of unsigned bytes, plain or gzipped. */
#ifndef CONVTI_IDX_H
#define CONVTI_IDX_H

#include "file.h"

/* The images that are kept (NULL: all) of *all. */
convt_status convti_idx_read(const convti_input *input, const convt_selection *selection,
                             convt_images *images, int64_t *all, convt_error *err);

#endif
