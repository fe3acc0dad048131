/* PNG images of a folder, decoded to bytes of gray or RGB. */
#ifndef CONVTI_PNG_FOLDER_H
#define CONVTI_PNG_FOLDER_H

#include "file.h"

/* Every *.png of a folder in name order; all must have the size and channels of the first. */
convt_status convti_png_read_folder(const char *folder, convt_images *images, convt_error *err);

/* One file as an image; count is 1. */
convt_status convti_png_read(const convti_input *input, convt_images *image, convt_error *err);

#endif
