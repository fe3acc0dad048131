/* A SOURCE is told by its content. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/io.h>

#include "support/scratch.h"

static double data[64];

static convt_images read_ok(const char *path)
{
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_images_read(path, &images, &err)) fail_msg("%s: %s", err.field, err.message);
    return images;
}

static void check_refused(const char *path, convt_status expected, const char *field,
                          const char *part)
{
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_images_read(path, &images, &err);
    assert_refused(status, &err, expected, field, part);
    assert_null(images.data);
}

static convt_array array_of(convt_element element, int rank, int64_t a, int64_t b, int64_t c,
                            int64_t d)
{
    return (convt_array){
        .name = "x", .element = element, .rank = rank, .shape = {a, b, c, d}, .data = data};
}

static const char *write_npy(convt_array array)
{
    convt_error err;
    const char *path = scratch("some.file");
    assert_int_equal(convt_npy_write(path, &array, &err), CONVT_OK);
    return path;
}

/* ---- some of the samples --------------------------------------------------------------------- */

static bool keeps_some(void *context, int64_t sample)
{
    return *(const unsigned *)context >> sample & 1;
}

/* Whatever is kept are the same bytes as of the whole. */
static void check_some(const char *path)
{
    convt_images whole = read_ok(path);
    const size_t bytes = (size_t)(whole.h * whole.w * whole.c) *
                         (whole.element == CONVT_ELEMENT_U8    ? 1
                          : whole.element == CONVT_ELEMENT_F32 ? 4
                                                               : 8);
    for (unsigned kept = 0; kept < 1U << whole.count; kept++) {
        const convt_selection selection = {keeps_some, &kept};
        convt_images some;
        convt_error err;
        int64_t all, row = 0;
        assert_int_equal(convt_images_read_some(path, &selection, &some, &all, &err), CONVT_OK);
        assert_int_equal(all, whole.count);
        assert_int_equal(some.count, __builtin_popcount(kept));
        assert_true(some.h == whole.h && some.w == whole.w && some.c == whole.c);
        assert_int_equal(some.element, whole.element);
        for (int64_t i = 0; i < all; i++)
            if (kept >> i & 1)
                assert_same_bits((char *)some.data + (size_t)row++ * bytes,
                                 (char *)whole.data + (size_t)i * bytes, bytes);
        convt_images_free(&some);
    }
    convt_images_free(&whole);
}

static void some_samples_are_those_of_the_whole(void **state)
{
    (void)state;
    convt_error err;
    for (int i = 0; i < 64; i++) data[i] = i;
    check_some(write_npy(array_of(CONVT_ELEMENT_F64, 4, 5, 3, 2, 2)));
    check_some(write_npy(array_of(CONVT_ELEMENT_U8, 3, 4, 3, 2, 0)));

    convt_array array = array_of(CONVT_ELEMENT_F32, 3, 4, 3, 2, 0);
    const char *path = scratch("some.file");
    assert_int_equal(convt_npz_write(path, &array, 1, NULL, NULL, &err), CONVT_OK);
    check_some(path);

    const unsigned char idx[] = "\0\0\10\3\0\0\0\4\0\0\0\2\0\0\0\2abcdefghijklmnop";
    assert_int_equal(convt_file_write(path, idx, sizeof idx - 1, &err), CONVT_OK);
    check_some(path);

    /* What is skipped must be there, too. */
    unsigned first = 1;
    convt_images some;
    int64_t all;
    assert_int_equal(convt_file_write(path, idx, sizeof idx - 2, &err), CONVT_OK);
    assert_refused(
        convt_images_read_some(path, &(convt_selection){keeps_some, &first}, &some, &all, &err),
        &err, CONVT_BAD_FORMAT, "some.file", "ends after");
}

/* Fortran order: samples lie across the file. */
static void some_samples_of_a_transposed_array(void **state)
{
    (void)state;
    static const char header[] =
        "\x93NUMPY\x01\x00\x00\x00{'descr': '|u1', 'fortran_order': True, 'shape': (4, 2, 3), }"
        "         \n";
    char bytes[sizeof header - 1 + 24];
    convt_error err;
    memcpy(bytes, header, sizeof header - 1);
    bytes[8] = (char)(sizeof header - 1 - 10);
    for (int i = 0; i < 24; i++) bytes[sizeof header - 1 + (size_t)i] = (char)i;
    const char *path = scratch("some.file");
    assert_int_equal(convt_file_write(path, bytes, sizeof bytes, &err), CONVT_OK);
    check_some(path);
}

static bool keeps_none(void *context, int64_t sample)
{
    (void)context;
    return sample < 0;
}

/* Counting to 2^58, or to 2^32, would not end. */
static void check_not_counted(const char *path, const char *part)
{
    const convt_selection none = {keeps_none, NULL};
    const convt_selection *const selections[] = {&none, NULL};
    for (int i = 0; i < 2; i++) {
        convt_images images;
        convt_error err = {CONVT_OK, "", ""};
        int64_t all;
        assert_refused(convt_images_read_some(path, selections[i], &images, &all, &err), &err,
                       CONVT_BAD_FORMAT, "some.file", part);
        assert_null(images.data);
    }
}

static void samples_are_not_counted_before_they_are_there(void **state)
{
    (void)state;
    static const char *const orders[] = {"False", "True"}, *const rests[] = {"1, 1", "2, 0"};
    const char *path = scratch("some.file");
    const convt_array empty = array_of(CONVT_ELEMENT_U8, 3, 1LL << 58, 2, 0, 0);
    convt_error err;
    for (int i = 0; i < 4; i++) {
        char bytes[128] = "\x93NUMPY\x01\x00\x76";
        memset(bytes + 10, ' ', sizeof bytes - 10);
        const int length = snprintf(bytes + 10, sizeof bytes - 10,
                                    "{'descr': '|u1', 'fortran_order': %s, 'shape': (%lld, %s)}",
                                    orders[i / 2], 1LL << 58, rests[i % 2]);
        bytes[10 + length] = '\n';
        assert_int_equal(convt_file_write(path, bytes, sizeof bytes, &err), CONVT_OK);
        check_not_counted(path, i % 2 ? "holds 288230376151711744 images of 2 x 0 x 1"
                                      : "ends after 128 of ");
    }
    assert_int_equal(convt_npz_write(path, &empty, 1, NULL, NULL, &err), CONVT_OK);
    check_not_counted(path, "holds 288230376151711744 images of 2 x 0 x 1");
    static const char idx[] = "\0\0\10\3\377\377\377\377\0\0\0\1\0\0\0";
    assert_int_equal(convt_file_write(path, idx, sizeof idx, &err), CONVT_OK);
    check_not_counted(path, "holds 4294967295 images of 1 x 0 x 1");
}

/* A number has no axis to choose along: it was kept as no bytes of one element. */
static void a_number_alone_is_always_kept(void **state)
{
    (void)state;
    const convt_selection none = {keeps_none, NULL};
    const char *path = write_npy(array_of(CONVT_ELEMENT_F64, 0, 0, 0, 0, 0));
    convt_array array;
    convt_error err;
    int64_t all;
    assert_int_equal(convt_npy_read_some(path, &none, &array, &all, &err), CONVT_OK);
    assert_true(all == 1 && array.rank == 0 && convt_array_count(&array) == 1);
    assert_same_bits(array.data, data, sizeof *data);
    convt_array_free(&array);
}

static void arrays_keep_their_elements(void **state)
{
    (void)state;
    for (int i = 0; i < 64; i++) data[i] = i;
    convt_images images = read_ok(write_npy(array_of(CONVT_ELEMENT_F64, 4, 2, 3, 4, 2)));
    assert_true(images.count == 2 && images.h == 3 && images.w == 4 && images.c == 2);
    assert_int_equal(images.element, CONVT_ELEMENT_F64);
    assert_same_bits(images.data, data, 48 * sizeof *data);
    convt_images_free(&images);
    convt_images_free(&images);
    images = read_ok(write_npy(array_of(CONVT_ELEMENT_F32, 3, 2, 3, 4, 0)));
    assert_true(images.count == 2 && images.h == 3 && images.w == 4 && images.c == 1);
    assert_int_equal(images.element, CONVT_ELEMENT_F32);
    convt_images_free(&images);
    images = read_ok(write_npy(array_of(CONVT_ELEMENT_U8, 3, 2, 3, 4, 0)));
    assert_int_equal(images.element, CONVT_ELEMENT_U8);
    convt_images_free(&images);
    scratch_clear();
}

static void wide_integers_become_bytes(void **state)
{
    (void)state;
    int64_t *wide = (int64_t *)data;
    for (int i = 0; i < 8; i++) wide[i] = 255 - i;
    convt_images images = read_ok(write_npy(array_of(CONVT_ELEMENT_I64, 3, 2, 2, 2, 0)));
    assert_int_equal(images.element, CONVT_ELEMENT_U8);
    for (int i = 0; i < 8; i++) assert_int_equal(((uint8_t *)images.data)[i], 255 - i);
    convt_images_free(&images);
    wide[5] = 256;
    check_refused(write_npy(array_of(CONVT_ELEMENT_I64, 3, 2, 2, 2, 0)), CONVT_BAD_FORMAT,
                  "some.file", "holds 256");
    wide[5] = -1;
    check_refused(write_npy(array_of(CONVT_ELEMENT_I64, 3, 2, 2, 2, 0)), CONVT_BAD_FORMAT,
                  "some.file", "holds -1");
    scratch_clear();
}

static void an_archive_gives_its_images(void **state)
{
    (void)state;
    convt_error err;
    convt_array arrays[2] = {array_of(CONVT_ELEMENT_F64, 2, 2, 3, 0, 0),
                             array_of(CONVT_ELEMENT_F64, 3, 2, 3, 4, 0)};
    strcpy(arrays[1].name, "images");
    assert_int_equal(convt_npz_write(scratch("some.file"), arrays, 2, NULL, NULL, &err), CONVT_OK);
    convt_images images = read_ok(scratch("some.file"));
    assert_true(images.count == 2 && images.h == 3 && images.w == 4);
    convt_images_free(&images);
    assert_int_equal(convt_npz_write(scratch("some.file"), arrays, 1, NULL, NULL, &err), CONVT_OK);
    check_refused(scratch("some.file"), CONVT_BAD_FORMAT, "some.file", "has rank 2");
    scratch_clear();
}

static void what_holds_no_images_is_refused(void **state)
{
    (void)state;
    uint8_t pixel = 3;
    convt_error err;
    check_refused(scratch("some.file"), CONVT_FILE_FAILED, "some.file", "No such file");
    check_refused("/dev/null", CONVT_FILE_FAILED, "null", "is no file and no folder");
    check_refused(scratch_write("some.file", "plain text", 10), CONVT_BAD_FORMAT, "some.file",
                  "is no .npy, .npz or IDX file");
    check_refused(write_npy(array_of(CONVT_ELEMENT_F32, 3, 0, 2, 2, 0)), CONVT_BAD_FORMAT,
                  "some.file", "holds 0 images");
    check_refused(write_npy(array_of(CONVT_ELEMENT_F32, 4, 2, 2, 2, 0)), CONVT_BAD_FORMAT,
                  "some.file", "2 x 2 x 0");
    check_refused(write_npy(array_of(CONVT_ELEMENT_F32, 5, 1, 1, 1, 1)), CONVT_BAD_FORMAT,
                  "some.file", "");
    assert_int_equal(convt_png_write(scratch("some.file"), &pixel, 1, 1, 1, &err), CONVT_OK);
    check_refused(scratch("some.file"), CONVT_BAD_FORMAT, "some.file", "name the folder");
    scratch_clear();
}

/* What a path gives, its bytes give. */
static void bytes_give_what_files_give(void **state)
{
    (void)state;
    const char *path = CONVT_SOURCE_DIR "/examples/data/train-images-2000-idx3-ubyte.gz";
    convt_images file, memory;
    convt_error err;
    char *bytes;
    size_t size;
    assert_int_equal(convt_file_read(path, &bytes, &size, &err), CONVT_OK);
    assert_int_equal(convt_images_read(path, &file, &err), CONVT_OK);
    assert_int_equal(convt_images_decode(bytes, size, "idx", &memory, &err), CONVT_OK);
    assert_true(memory.count == 2000 && memory.h == file.h && memory.w == file.w && memory.c == 1);
    assert_same_bits(memory.data, file.data, (size_t)(file.count * file.h * file.w));
    convt_images_free(&memory);
    assert_refused(convt_images_decode(bytes, size - 4, "idx", &memory, &err), &err,
                   CONVT_BAD_FORMAT, "idx", "is cut off at the end of its gzip stream");
    assert_refused(convt_images_decode(bytes, 0, "idx", &memory, &err), &err, CONVT_BAD_FORMAT,
                   "idx", "is empty");
    convt_images_free(&file);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_give_what_files_give),
        cmocka_unit_test(some_samples_are_those_of_the_whole),
        cmocka_unit_test(some_samples_of_a_transposed_array),
        cmocka_unit_test(samples_are_not_counted_before_they_are_there),
        cmocka_unit_test(a_number_alone_is_always_kept),
        cmocka_unit_test(arrays_keep_their_elements),
        cmocka_unit_test(wide_integers_become_bytes),
        cmocka_unit_test(an_archive_gives_its_images),
        cmocka_unit_test(what_holds_no_images_is_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
