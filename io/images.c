/* Images from whatever a SOURCE is: told by content, not by suffix. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "idx.h"
#include "npy.h"
#include "npz.h"
#include "png_folder.h"
#include "selection.h"
#include "status.h"

void convt_images_free(convt_images *images)
{
    if (!images) return;
    free(images->data);
    *images = (convt_images){0};
}

/* Integers wider than a byte are pictures where every value is one of 0..255. */
static convt_status narrow(convt_array *array, const char *name, convt_error *err)
{
    int64_t count = convt_array_count(array);
    const int64_t *wide = array->data;
    for (int64_t i = 0; i < count; i++) {
        if (wide[i] < 0 || wide[i] > 255)
            return convti_fail(err, CONVT_BAD_FORMAT, name, "holds %lld where pixels are 0 to 255",
                               (long long)wide[i]);
    }
    uint8_t *bytes = malloc((size_t)count + 1);
    if (!bytes) return convti_no_memory(err, name, (size_t)count);
    for (int64_t i = 0; i < count; i++) bytes[i] = (uint8_t)wide[i];
    free(array->data);
    array->data = bytes;
    array->element = CONVT_ELEMENT_U8;
    return CONVT_OK;
}

/* Takes the array's memory over. */
static convt_status from_array(convt_array *array, const char *name, convt_images *images,
                               convt_error *err)
{
    if (array->rank != 3 && array->rank != 4)
        return convti_fail(err, CONVT_BAD_FORMAT, name,
                           "has rank %d, images have 3 (count, h, w) or 4 (count, h, w, c)",
                           array->rank);
    convt_status status = array->element == CONVT_ELEMENT_I64 ? narrow(array, name, err) : CONVT_OK;
    if (status) return status;
    *images = (convt_images){.count = array->shape[0],
                             .h = array->shape[1],
                             .w = array->shape[2],
                             .c = array->rank == 4 ? array->shape[3] : 1,
                             .element = array->element,
                             .data = array->data};
    array->data = NULL;
    return CONVT_OK;
}

static convt_status read_array(const convti_input *input, bool archive,
                               const convt_selection *selection, convt_images *images, int64_t *all,
                               convt_error *err)
{
    static const char *const names[] = {"images", "x", NULL};
    convt_array array = {0};
    convti_source source = convti_source_of_input(input, 0, input->size);
    convt_status status = archive ? convti_npz_read_one(input, names, &array, err)
                                  : convti_npy_take_some(&source, selection, &array, all, err);
    if (!status) status = from_array(&array, input->name, images, err);
    if (!status && archive) {
        const size_t each = (size_t)(images->h * images->w * images->c);
        *all = images->count;
        images->count =
            convti_keep(selection, *all, each * convti_element_size(images->element), images->data);
    }
    convt_array_free(&array);
    return status;
}

static bool begins(const unsigned char start[6], const char *magic, size_t length)
{
    return memcmp(start, magic, length) == 0;
}

static convt_status read_input(const convti_input *input, bool one_png,
                               const convt_selection *selection, convt_images *images, int64_t *all,
                               convt_error *err)
{
    unsigned char start[6];
    const size_t size = input->size < sizeof start ? (size_t)input->size : sizeof start;
    memset(start, 0xFF, sizeof start);
    if (size == 0) return convti_fail(err, CONVT_BAD_FORMAT, input->name, "is empty");
    convt_status status = convti_input_read(input, 0, start, size, err);
    if (status) return status;
    if (begins(start, "\x93NUMPY", 6)) return read_array(input, false, selection, images, all, err);
    if (begins(start, "PK", 2)) return read_array(input, true, selection, images, all, err);
    if (begins(start, "\x1F\x8B", 2) || begins(start, "\0\0", 2))
        return convti_idx_read(input, selection, images, all, err);
    if (begins(start, "\x89PNG", 4) && one_png) {
        *all = 1;
        return convti_png_read(input, images, err);
    }
    if (begins(start, "\x89PNG", 4))
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "is one PNG file: name the folder that holds them");
    return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                       "is no .npy, .npz or IDX file and no folder of PNG files");
}

/* None, or images without a pixel, are nothing to learn from. */
static convt_status check_count(convt_status status, const char *name, convt_images *images,
                                int64_t all, convt_error *err)
{
    if (status || (all > 0 && images->h > 0 && images->w > 0 && images->c > 0)) return status;
    status = convti_fail(err, CONVT_BAD_FORMAT, name, "holds %lld images of %lld x %lld x %lld",
                         (long long)all, (long long)images->h, (long long)images->w,
                         (long long)images->c);
    convt_images_free(images);
    return status;
}

convt_status convt_images_decode(const void *data, size_t size, const char *name,
                                 convt_images *images, convt_error *err)
{
    const convti_input input = convti_input_of_memory(name, data, size);
    int64_t all = 0;
    *images = (convt_images){0};
    convt_status status = read_input(&input, true, NULL, images, &all, err);
    return check_count(status, name, images, all, err);
}

static convt_status read_regular_file(const char *path, const convt_selection *selection,
                                      convt_images *images, int64_t *all, convt_error *err)
{
    convti_input input;
    convt_status status = convti_input_open(&input, path, err);
    if (!status) status = read_input(&input, false, selection, images, all, err);
    convti_input_close(&input);
    return status;
}

convt_status convt_images_read_some(const char *source, const convt_selection *selection,
                                    convt_images *images, int64_t *all, convt_error *err)
{
    struct stat info;
    convt_status status;
    *images = (convt_images){0};
    *all = 0;
    if (stat(source, &info) != 0) return convti_file_failed(err, source, "opened");
    if (S_ISDIR(info.st_mode))
        status = convti_png_read_folder(source, selection, images, all, err);
    else if (S_ISREG(info.st_mode))
        status = read_regular_file(source, selection, images, all, err);
    else
        status = convti_fail(err, CONVT_FILE_FAILED, convti_base_name(source),
                             "is no file and no folder");
    return check_count(status, convti_base_name(source), images, *all, err);
}

convt_status convt_images_read(const char *source, convt_images *images, convt_error *err)
{
    int64_t all;
    return convt_images_read_some(source, NULL, images, &all, err);
}
