/* IDX images, plain and gzipped. */
#include "support/close.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <convt/io.h>

#include "idx.h"

#include "support/scratch.h"

/* Magic, sizes and pixels 0, 1, 2, ... of a file that is right. */
static size_t idx_bytes(unsigned char bytes[256], int rank, const unsigned char sizes[])
{
    size_t at = 4, count = 1;
    memset(bytes, 0, 256);
    bytes[2] = 8;
    bytes[3] = (unsigned char)rank;
    for (int i = 0; i < rank; i++, at += 4) {
        bytes[at + 3] = sizes[i];
        count *= sizes[i];
    }
    for (size_t i = 0; i < count; i++) bytes[at + i] = (unsigned char)i;
    return at + count;
}

static void write_gzip(const char *name, const void *bytes, size_t size)
{
    gzFile file = gzopen(scratch(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static void check_refused(const char *path, const char *part)
{
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_images_read(path, &images, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "a.idx", part);
    assert_null(images.data);
}

static void check_images(int64_t count, int64_t h, int64_t w, int64_t c)
{
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_images_read(scratch("a.idx"), &images, &err))
        fail_msg("%s: %s", err.field, err.message);
    assert_int_equal(images.element, CONVT_ELEMENT_U8);
    assert_true(images.count == count && images.h == h && images.w == w && images.c == c);
    for (int64_t i = 0; i < count * h * w * c; i++)
        assert_int_equal(((uint8_t *)images.data)[i], i);
    convt_images_free(&images);
}

static void both_ranks_are_read_plain_and_gzipped(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t size = idx_bytes(bytes, 3, (const unsigned char[]){2, 3, 4});
    scratch_write("a.idx", bytes, size);
    check_images(2, 3, 4, 1);
    write_gzip("a.idx", bytes, size);
    check_images(2, 3, 4, 1);
    size = idx_bytes(bytes, 4, (const unsigned char[]){2, 3, 4, 3});
    scratch_write("a.idx", bytes, size);
    check_images(2, 3, 4, 3);
    scratch_clear();
}

static void every_truncation_says_how_much_there_is(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t size = idx_bytes(bytes, 3, (const unsigned char[]){2, 3, 4});
    for (size_t cut = 2; cut < size; cut++) {
        char part[96];
        snprintf(part, sizeof part, "%sends after %zu of %zu bytes",
                 cut < 16 ? "" : "2 images of 3 x 4 x 1: ", cut,
                 cut < 4    ? 4
                 : cut < 16 ? 16
                            : size);
        check_refused(scratch_write("a.idx", bytes, cut), part);
    }
    check_refused(scratch_write("a.idx", bytes, 0), "is empty");
    check_refused(scratch_write("a.idx", bytes, 1), "is no .npy, .npz or IDX file");
    scratch_clear();
}

static void every_truncation_of_a_gzip_stream_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t size = idx_bytes(bytes, 3, (const unsigned char[]){2, 3, 4});
    write_gzip("a.idx", bytes, size);
    char *packed = scratch_read("a.idx", &size);
    for (size_t cut = 2; cut < size; cut++) check_refused(scratch_write("a.idx", packed, cut), "");
    packed[size - 6] ^= 1; /* its checksum */
    check_refused(scratch_write("a.idx", packed, size), "cannot be unpacked: incorrect data check");
    free(packed);
    scratch_clear();
}

static void what_is_no_image_file_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[256];
    size_t size = idx_bytes(bytes, 3, (const unsigned char[]){2, 3, 4});
    check_refused(scratch_write("a.idx", bytes, size + 1), "holds more than the 40 bytes");
    bytes[2] = 13;
    check_refused(scratch_write("a.idx", bytes, size), "IDX type 13");
    bytes[2] = 8;
    bytes[3] = 1; /* labels */
    check_refused(scratch_write("a.idx", bytes, size), "has rank 1");
    bytes[3] = 5;
    check_refused(scratch_write("a.idx", bytes, size), "has rank 5");
    size = idx_bytes(bytes, 3, (const unsigned char[]){0, 3, 4});
    check_refused(scratch_write("a.idx", bytes, size), "holds 0 images");
    size = idx_bytes(bytes, 3, (const unsigned char[]){2, 0, 4});
    check_refused(scratch_write("a.idx", bytes, size), "holds 2 images of 0 x 4");
    memset(bytes + 4, 0xFF, 12);
    check_refused(scratch_write("a.idx", bytes, 16), "more bytes than can be counted");
    memset(bytes + 4, 0x7F, 4);
    memset(bytes + 8, 0, 8);
    bytes[11] = bytes[15] = 1;
    check_refused(scratch_write("a.idx", bytes, 200),
                  "2139062143 images of 1 x 1 x 1: ends after 200 of 2139062159 bytes");
    scratch_clear();
}

/* With an error to fill and without. */
static void a_file_that_cannot_be_read_says_why(void **state)
{
    (void)state;
    const convti_input input = {.name = "a.idx", .fd = open("/dev/null", O_WRONLY), .size = 4096};
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    int64_t all;
    assert_true(input.fd >= 0);
    const convt_status status = convti_idx_read(&input, NULL, &images, &all, &err);
    assert_int_equal(convti_idx_read(&input, NULL, &images, &all, NULL), CONVT_FILE_FAILED);
    close(input.fd);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.idx", "");
    assert_string_equal(err.message, "cannot be read: Bad file descriptor");
}

static void the_example_images_are_read(void **state)
{
    (void)state;
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_images_read(CONVT_SOURCE_DIR "/examples/data/train-images-2000-idx3-ubyte.gz",
                          &images, &err))
        fail_msg("%s: %s", err.field, err.message);
    assert_true(images.count == 2000 && images.h == 28 && images.w == 28 && images.c == 1);
    convt_images_free(&images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ranks_are_read_plain_and_gzipped),
        cmocka_unit_test(every_truncation_says_how_much_there_is),
        cmocka_unit_test(every_truncation_of_a_gzip_stream_is_refused),
        cmocka_unit_test(what_is_no_image_file_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_says_why),
        cmocka_unit_test(the_example_images_are_read),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
