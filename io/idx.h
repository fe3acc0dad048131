/* IDX, the format of MNIST: image files of unsigned bytes, plain or gzipped. */
#ifndef CONVTI_IDX_H
#define CONVTI_IDX_H

#include "file.h"

convt_status convti_idx_read(const convti_input *input, convt_images *images, convt_error *err);

#endif
