/* IDX, the format of MNIST: image files of unsigned bytes, plain or gzipped. */
#ifndef CONVTI_IDX_H
#define CONVTI_IDX_H

#include "convt/io.h"

convt_status convti_idx_read(const char *path, convt_images *images, convt_error *err);

#endif
