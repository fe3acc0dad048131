/*
 * IDX: bytes 0, 0, type (8: unsigned byte), rank, then `rank` sizes as big-endian 32-bit
 * numbers, then the elements. Rank 3 is (count, h, w), rank 4 is (count, h, w, c).
 */
#include "idx.h"

#include <string.h>
#include <zlib.h>

#include "file.h"
#include "status.h"

/* zlib passes files that are not gzipped through. */
static convt_status read_gzip(convti_source *source, void *data, size_t size, size_t *got,
                              convt_error *err)
{
    int code = Z_OK;
    int count = gzread(source->handle, data, size < (1U << 30) ? (unsigned)size : 1U << 30);
    const char *text = gzerror(source->handle, &code);
    if (code == Z_ERRNO) return convti_file_failed(err, source->name, "read");
    /* At the end of a cut file zlib gives what there is, together with Z_BUF_ERROR; our own
     * count says more. */
    if (count < 0 && code != Z_BUF_ERROR) {
        const char *reason = strstr(text, ": "); /* behind the path that zlib puts first */
        return convti_fail(err, CONVT_BAD_FORMAT, source->name, "cannot be unpacked: %s",
                           reason ? reason + 2 : text);
    }
    *got = count > 0 ? (size_t)count : 0;
    return CONVT_OK;
}

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static convt_status read_header(convti_source *source, convt_images *images, convt_error *err)
{
    unsigned char start[4], sizes[16];
    convt_status status = convti_source_fill(source, start, sizeof start, err);
    if (status) return status;
    if (start[0] != 0 || start[1] != 0)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name, "is no IDX file");
    if (start[2] != 8)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "holds elements of IDX type %d, not unsigned bytes (8)", start[2]);
    if (start[3] != 3 && start[3] != 4)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "has rank %d, images have 3 (count, h, w) or 4 (count, h, w, c)",
                           start[3]);
    status = convti_source_fill(source, sizes, (size_t)start[3] * 4, err);
    if (status) return status;
    images->count = big_endian(sizes);
    images->h = big_endian(sizes + 4);
    images->w = big_endian(sizes + 8);
    images->c = start[3] == 4 ? big_endian(sizes + 12) : 1;
    return CONVT_OK;
}

static bool count_bytes(const convt_images *images, uint64_t *bytes)
{
    *bytes = (uint64_t)images->h * (uint64_t)images->w;
    uint64_t rest = (uint64_t)images->count * (uint64_t)images->c;
    if (rest > 0 && *bytes > INT64_MAX / rest) return false;
    *bytes *= rest;
    return true;
}

static convt_status read_pixels(convti_source *source, convt_images *images, convt_error *err)
{
    char label[128];
    uint64_t bytes;
    snprintf(label, sizeof label, "%lld images of %lld x %lld x %lld: ", (long long)images->count,
             (long long)images->h, (long long)images->w, (long long)images->c);
    source->label = label;
    convt_status status = CONVT_OK;
    if (!count_bytes(images, &bytes))
        status = convti_fail(err, CONVT_BAD_FORMAT, source->name,
                             "%smore bytes than can be counted", label);
    if (!status) status = convti_source_take(source, bytes, &images->data, err);
    if (!status) status = convti_source_end(source, err);
    source->label = "";
    return status;
}

convt_status convti_idx_read(const char *path, convt_images *images, convt_error *err)
{
    *images = (convt_images){.element = CONVT_ELEMENT_U8};
    gzFile file = gzopen(path, "rbe");
    if (!file) return convti_file_failed(err, path, "opened");
    convti_source source = {.name = convti_base_name(path),
                            .label = "",
                            .handle = file,
                            .read = read_gzip,
                            .remaining = -1};
    convt_status status = read_header(&source, images, err);
    if (!status) status = read_pixels(&source, images, err);
    if (gzclose(file) == Z_BUF_ERROR &&
        !status) /* all the pixels, but not the checksum behind them */
        status = convti_fail(err, CONVT_BAD_FORMAT, source.name,
                             "is cut off at the end of its gzip stream");
    if (status) convt_images_free(images);
    return status;
}
