/* PNG images of a folder, decoded to bytes of gray or RGB. */
#ifndef CONVTI_PNG_FOLDER_H
#define CONVTI_PNG_FOLDER_H

#include "file.h"

/* Of every *.png of a folder, *all, in name order those that are kept (NULL: all); they must have the size
 * and channels of the first, which is read in any case. */
convt_status convti_png_read_folder(const char *folder, const convt_selection *selection,
                                    convt_images *images, int64_t *all, convt_error *err);

/* One file as an image; count is 1. */
convt_status convti_png_read(const convti_input *input, convt_images *image, convt_error *err);

#endif
