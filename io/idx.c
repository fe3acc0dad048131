/*
 * IDX: bytes 0, 0, type (8: unsigned byte), rank, then `rank` sizes as big-endian 32-bit
 * numbers, then the elements. Rank 3 is (count, h, w), rank 4 is (count, h, w, c).
 */
#include "idx.h"

#include <string.h>
#include <zlib.h>

#include "selection.h"
#include "status.h"

/* Bytes that may be gzipped, as one member or several. */
typedef struct unpacker {
    convti_source bytes;
    z_stream z;
    bool gzip;
    bool whole; /* the last member has ended, and its sum was right */
    unsigned char in[1 << 15];
} unpacker;

static convt_status refill(unpacker *u, bool *more, convt_error *err)
{
    size_t got = u->z.avail_in;
    convt_status status = CONVT_OK;
    if (got == 0) status = u->bytes.read(&u->bytes, u->in, sizeof u->in, &got, err);
    if (u->z.avail_in == 0) u->z.next_in = u->in;
    u->z.avail_in = (unsigned)got;
    *more = got > 0;
    return status;
}

static convt_status unpack(unpacker *u, convt_error *err)
{
    const int ready = u->whole ? inflateReset(&u->z) : Z_OK,
              code = ready == Z_OK ? inflate(&u->z, Z_NO_FLUSH) : ready;
    u->whole = code == Z_STREAM_END;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return CONVT_OK;
    return convti_fail(err, code == Z_MEM_ERROR ? CONVT_NO_MEMORY : CONVT_BAD_FORMAT, u->bytes.name,
                       "cannot be unpacked: %s", u->z.msg ? u->z.msg : zError(code));
}

static convt_status read_gzip(convti_source *source, void *data, size_t size, size_t *got,
                              convt_error *err)
{
    unpacker *u = source->handle;
    const unsigned room = size < (1U << 30) ? (unsigned)size : 1U << 30;
    bool more = true;
    convt_status status = CONVT_OK;
    if (!u->gzip) return u->bytes.read(&u->bytes, data, size, got, err);
    u->z.next_out = data;
    u->z.avail_out = room;
    while (u->z.avail_out > 0 && !status) {
        status = refill(u, &more, err);
        if (status || !more) break;
        status = unpack(u, err);
    }
    *got = room - u->z.avail_out;
    return status;
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

static convt_status read_pixels(convti_source *source, const convt_selection *selection,
                                convt_images *images, convt_error *err)
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
    const uint64_t each = !status && images->count > 0 ? bytes / (uint64_t)images->count : 0;
    if (!status)
        status = convti_source_take_kept(source, selection, images->count, each, &images->data,
                                         &images->count, err);
    if (!status) status = convti_source_end(source, err);
    source->label = "";
    return status;
}

static convt_status read_images(unpacker *u, const convt_selection *selection, convt_images *images,
                                int64_t *all, convt_error *err)
{
    convti_source source = {
        .name = u->bytes.name, .label = "", .handle = u, .read = read_gzip, .remaining = -1};
    convt_status status = read_header(&source, images, err);
    *all = images->count;
    if (!status) status = read_pixels(&source, selection, images, err);
    if (!status && u->gzip && !u->whole) /* all the pixels, but not the checksum behind them */
        status = convti_fail(err, CONVT_BAD_FORMAT, source.name,
                             "is cut off at the end of its gzip stream");
    return status;
}

convt_status convti_idx_read(const convti_input *input, const convt_selection *selection,
                             convt_images *images, int64_t *all, convt_error *err)
{
    enum { GZIP_ALONE = 15 + 16 };
    unsigned char start[2] = {0};
    unpacker u = {.bytes = convti_source_of_input(input, 0, input->size)};
    *images = (convt_images){.element = CONVT_ELEMENT_U8};
    convt_status status = CONVT_OK;
    if (input->size >= sizeof start) status = convti_input_read(input, 0, start, sizeof start, err);
    if (status) return status;
    u.gzip = start[0] == 0x1F && start[1] == 0x8B;
    if (u.gzip && inflateInit2(&u.z, GZIP_ALONE) != Z_OK)
        return convti_no_memory(err, input->name, sizeof u);
    status = read_images(&u, selection, images, all, err);
    if (u.gzip) inflateEnd(&u.z);
    if (status) convt_images_free(images);
    return status;
}
