/* Images from whatever a SOURCE is: told by content, not by suffix. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "idx.h"
#include "npy.h"
#include "npz.h"
#include "png_folder.h"
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

static convt_status read_array(const char *path, bool archive, convt_images *images,
                               convt_error *err)
{
    static const char *const names[] = {"images", "x", NULL};
    convt_array array = {0};
    convti_input input;
    convt_status status = convti_input_open(&input, path, err);
    if (!status)
        status = archive ? convti_npz_read_one(&input, names, &array, err)
                         : convt_npy_read(path, &array, err);
    convti_input_close(&input);
    if (!status) status = from_array(&array, convti_base_name(path), images, err);
    convt_array_free(&array);
    return status;
}

static convt_status read_start(const char *path, unsigned char start[6], convt_error *err)
{
    memset(start, 0xFF, 6);
    FILE *file = fopen(path, "rbe");
    if (!file) return convti_file_failed(err, path, "opened");
    size_t got = fread(start, 1, 6, file);
    bool failed = ferror(file) != 0;
    convt_status status = failed ? convti_file_failed(err, path, "read") : CONVT_OK;
    fclose(file);
    if (!status && got == 0)
        status = convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path), "is empty");
    return status;
}

static convt_status read_regular_file(const char *path, convt_images *images, convt_error *err)
{
    unsigned char start[6];
    convt_status status = read_start(path, start, err);
    if (status) return status;
    if (memcmp(start, "\x93NUMPY", 6) == 0) return read_array(path, false, images, err);
    if (memcmp(start, "PK", 2) == 0) return read_array(path, true, images, err);
    if (memcmp(start, "\x1F\x8B", 2) == 0 || memcmp(start, "\0\0", 2) == 0)
        return convti_idx_read(path, images, err);
    if (memcmp(start, "\x89PNG", 4) == 0)
        return convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path),
                           "is one PNG file: name the folder that holds them");
    return convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path),
                       "is no .npy, .npz or IDX file and no folder of PNG files");
}

convt_status convt_images_read(const char *source, convt_images *images, convt_error *err)
{
    struct stat info;
    convt_status status;
    *images = (convt_images){0};
    if (stat(source, &info) != 0) return convti_file_failed(err, source, "opened");
    if (S_ISDIR(info.st_mode))
        status = convti_png_read_folder(source, images, err);
    else if (S_ISREG(info.st_mode))
        status = read_regular_file(source, images, err);
    else
        status = convti_fail(err, CONVT_FILE_FAILED, convti_base_name(source),
                             "is no file and no folder");
    if (!status && (images->count < 1 || images->h < 1 || images->w < 1 || images->c < 1)) {
        status = convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(source),
                             "holds %lld images of %lld x %lld x %lld", (long long)images->count,
                             (long long)images->h, (long long)images->w, (long long)images->c);
        convt_images_free(images);
    }
    return status;
}
