/*
 * Samples of a training run; see data.h.
 */
#include "data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "cli.h"

static const char images_name[] = "train-images-2000-idx3-ubyte.gz";

size_t element_size(convt_element element)
{
    static const size_t sizes[] = {[CONVT_ELEMENT_F32] = 4,
                                   [CONVT_ELEMENT_F64] = 8,
                                   [CONVT_ELEMENT_U8] = 1,
                                   [CONVT_ELEMENT_I64] = 8};
    return sizes[element];
}

static const char *element_name(convt_element element)
{
    static const char *const names[] = {[CONVT_ELEMENT_F32] = "f4",
                                        [CONVT_ELEMENT_F64] = "f8",
                                        [CONVT_ELEMENT_U8] = "u1",
                                        [CONVT_ELEMENT_I64] = "i8"};
    return names[element];
}

/* ---- images ---------------------------------------------------------------------------------- */

static int64_t pixel_count(const convt_images *images)
{
    return images->h * images->w * images->c;
}

/* Element `at` of all elements of all images, scaled. */
static double element_value(convt_element element, const void *data, int64_t at)
{
    if (element == CONVT_ELEMENT_U8) return (double)((const uint8_t *)data)[at] / 255;
    if (element == CONVT_ELEMENT_F32) return (double)((const float *)data)[at];
    if (element == CONVT_ELEMENT_F64) return ((const double *)data)[at];
    return (double)((const int64_t *)data)[at];
}

static void bytes_to_f32(const uint8_t *from, int64_t count, int64_t stride, float *to)
{
    const float scale = 1.0F / 255;
    for (int64_t i = 0; i < count; i++) to[i] = (float)from[i * stride] * scale;
}

/* One channel (or, where memory is channels last, all of them) of an image. */
static void gather_plane(const convt_images *images, int64_t first, int64_t count, int64_t stride,
                         convt_view y, int64_t at)
{
    if (images->element == CONVT_ELEMENT_U8 && y.dtype == CONVT_FLOAT32) {
        bytes_to_f32((const uint8_t *)images->data + first, count, stride, (float *)y.data + at);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double value = element_value(images->element, images->data, first + i * stride);
        if (y.dtype == CONVT_FLOAT32)
            ((float *)y.data)[at + i] = (float)value;
        else
            ((double *)y.data)[at + i] = value;
    }
}

void image_pixels(const convt_images *images, int64_t index, float *pixels)
{
    const convt_view to = {.data = pixels, .dtype = CONVT_FLOAT32};
    gather_plane(images, index * pixel_count(images), pixel_count(images), 1, to, 0);
}

convt_status image_gather(void *context, const int64_t *index, int64_t n, convt_view x,
                          convt_view y)
{
    const image_data *data = context;
    int64_t count = pixel_count(&data->images), channels = data->images.c;
    (void)x;
    for (int64_t i = 0; i < n; i++) {
        int64_t first = index[i] * count, at = i * count;
        if (!data->channels_first) {
            gather_plane(&data->images, first, count, 1, y, at);
            continue;
        }
        for (int64_t c = 0; c < channels; c++)
            gather_plane(&data->images, first + c, count / channels, channels, y,
                         at + c * (count / channels));
    }
    return CONVT_OK;
}

void pixels_channels_last(const float *from, convt_shape shape, bool channels_first, float *to)
{
    int64_t area = shape.h * shape.w;
    for (int64_t c = 0; c < shape.c; c++) {
        for (int64_t i = 0; i < area; i++)
            to[i * shape.c + c] = channels_first ? from[c * area + i] : from[i * shape.c + c];
    }
}

/* ---- checks ---------------------------------------------------------------------------------- */

static value_range range_of(convt_element element, const void *data, int64_t count)
{
    value_range range = {INFINITY, -INFINITY};
    for (int64_t i = 0; i < count; i++) {
        double value = element_value(element, data, i);
        if (isnan(value)) return (value_range){NAN, NAN};
        range.low = fmin(range.low, value);
        range.high = fmax(range.high, value);
    }
    return range;
}

value_range image_range(const convt_images *images)
{
    if (images->element == CONVT_ELEMENT_U8) return (value_range){0, 1};
    return range_of(images->element, images->data, images->count * pixel_count(images));
}

value_range array_range(const convt_array *array)
{
    return range_of(array->element, array->data, convt_array_count(array));
}

/* crc32 takes 32-bit lengths. */
static unsigned long checksum(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    unsigned long crc = crc32(0, NULL, 0);
    while (size > 0) {
        size_t piece = size < (1U << 30) ? size : 1U << 30;
        crc = crc32(crc, bytes, (unsigned)piece);
        bytes += piece;
        size -= piece;
    }
    return crc;
}

uint64_t sample_digest(const void *sample, size_t bytes, int64_t index)
{
    uint64_t z = (uint64_t)index * UINT64_C(0x9e3779b97f4a7c15) + checksum(sample, bytes);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void image_fingerprint(const convt_images *images, int64_t count, uint64_t digest, char text[160])
{
    snprintf(text, 160, "%lldx%lldx%lldx%lld %s %016llx", (long long)count, (long long)images->h,
             (long long)images->w, (long long)images->c, element_name(images->element),
             (unsigned long long)digest);
}

void array_fingerprint(const convt_array *array, int64_t count, uint64_t digest, char text[160])
{
    size_t at = (size_t)snprintf(text, 160, "%lld", (long long)count);
    for (int i = 1; i < array->rank && at < 120; i++)
        at += (size_t)snprintf(text + at, 160 - at, "x%lld", (long long)array->shape[i]);
    snprintf(text + at, 160 - at, " %s %016llx", element_name(array->element),
             (unsigned long long)digest);
}

/* Where images lie beside the command that runs, wherever that prefix is now. malloc'ed. */
static char *installed_folder(void)
{
    char command[4096];
    ssize_t length = readlink("/proc/self/exe", command, sizeof command - 1);
    if (length <= 0) return NULL;
    command[length] = 0;
    char *slash = strrchr(command, '/');
    if (!slash) return NULL;
    *slash = 0;
    return text_of("%s/%s", command, CONVT_DATA_FROM_BIN);
}

static char *readable(const char *folder)
{
    char *path = folder ? text_of("%s/%s", folder, images_name) : NULL;
    if (path && access(path, R_OK) == 0) return path;
    free(path);
    return NULL;
}

char *default_images(void)
{
    char *beside = installed_folder();
    const char *const folders[] = {"examples/data", beside, CONVT_DATA_DIR};
    char *path = NULL;
    for (size_t i = 0; !path && i < LENGTH(folders); i++) path = readable(folders[i]);
    free(beside);
    if (!path)
        complain(EXIT_FAILED, "--data", "not given, and %s is neither in %s nor in %s", images_name,
                 folders[0], CONVT_DATA_DIR);
    return path;
}
