/* HDF5 files: what is read of them, and what is refused by its name. tests/data/files/hostile.h5 is
 * h5py's (tests/keras/files_keras.py). */
#include "support/close.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elements.h"
#include "hdf5/hdf5_file.h"

#define FOLDER CONVT_SOURCE_DIR "/tests/data/files/"

/* Closes before anything is asserted: whoever opens next waits for that. */
static convt_status read_one(const convti_input *input, const char *path, convt_array *array,
                             convt_error *err)
{
    convti_hdf5 h5;
    *err = (convt_error){.status = CONVT_OK};
    *array = (convt_array){0};
    convt_status status = convti_hdf5_open(&h5, input, "member ", err);
    if (status) return status;
    status = convti_hdf5_read(&h5, path, array, err);
    convti_hdf5_close(&h5);
    return status;
}

static convt_status read_stored(const char *path, convt_array *array, convt_error *err)
{
    convti_input input;
    convt_status status = convti_input_open(&input, FOLDER "hostile.h5", err);
    if (!status) status = read_one(&input, path, array, err);
    convti_input_close(&input);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void every_float_is_read(void **state)
{
    (void)state;
    static const char *const paths[] = {"right/little_f2", "right/little_f4", "right/little_f8",
                                        "right/big_f2",    "right/big_f4",    "right/big_f8",
                                        "right/packed",    "right/chunks",    "right/brain"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        convt_array array;
        convt_error err;
        if (read_stored(paths[i], &array, &err)) fail_msg("%s", err.message);
        assert_int_equal(array.element,
                         strstr(paths[i], "f8") ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32);
        assert_int_equal(array.rank, 2);
        assert_int_equal(array.shape[0], 2);
        assert_int_equal(array.shape[1], 3);
        assert_int_equal(convt_array_convert(&array, CONVT_FLOAT64, &err), CONVT_OK);
        for (int k = 0; k < 6; k++) assert_close(((double *)array.data)[k], k, 0, 0);
        convt_array_free(&array);
    }
}

static void scalars_and_empty_ones_are_read(void **state)
{
    (void)state;
    convt_array scalar, empty;
    convt_error err;
    assert_int_equal(read_stored("right/scalar", &scalar, &err), CONVT_OK);
    assert_int_equal(read_stored("right/empty", &empty, &err), CONVT_OK);
    assert_int_equal(scalar.rank, 0);
    assert_close(*(float *)scalar.data, 1.5, 0, 0);
    assert_int_equal(empty.rank, 2);
    assert_int_equal(convt_array_count(&empty), 0);
    convt_array_free(&scalar);
    convt_array_free(&empty);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"wrong/soft", "leads over a soft link"},
        {"wrong/external", "leads over a link into another file"},
        {"wrong/soft_group/scalar", "leads over a soft link"},
        {"wrong/around/around/soft", "leads over a soft link"},
        {"wrong/group", "group is no dataset"},
        {"right/scalar/0", "scalar is no group"},
        {"wrong/nothing", "member has no wrong/nothing"},
        {"nothing/at/all", "member has no nothing/at/all"},
        {"wrong/external_storage", "lies in another file"},
        {"wrong/virtual", "is a virtual dataset"},
        {"wrong/chunk_bomb", "has chunks that do not unpack to their size"},
        {"wrong/integers", "holds no floats"},
        {"wrong/text", "holds no floats"},
        {"wrong/compound", "holds no floats"},
        {"wrong/no_shape", "has no shape"},
        {"wrong/rank", "has rank 9, more than 8"},
        {"wrong/lzf", "is packed by filter 32000"},
        {"wrong/no_numbers", "has a shape, but not the numbers"},
        {"wrong/many", "makes more numbers than 256 times the file's"},
        {"wrong/countless", "has a shape of more elements than can be counted"},
        {"wrong/chunk", "makes more numbers than 256 times the file's"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        convt_array array;
        convt_error err;
        const convt_status status = read_stored(cases[i][0], &array, &err);
        assert_refused(status, &err, CONVT_BAD_FORMAT, "hostile.h5", cases[i][1]);
        assert_non_null(strstr(err.message, "member "));
        assert_null(array.data);
    }
}

/* One dataset of 24 bytes, again and again, must not become more than the file. */
static void bytes_count_once(void **state)
{
    (void)state;
    convti_input input;
    convti_hdf5 h5;
    convt_error err = {.status = CONVT_OK};
    assert_int_equal(convti_input_open(&input, FOLDER "hostile.h5", &err), CONVT_OK);
    convt_status status = convti_hdf5_open(&h5, &input, "", &err);
    assert_int_equal(status, CONVT_OK);
    uint64_t reads = 0;
    while (!status && reads <= input.size) {
        convt_array array;
        status = convti_hdf5_read(&h5, "right/little_f4", &array, &err);
        convt_array_free(&array);
        reads += !status;
    }
    convti_hdf5_close(&h5);
    const uint64_t size = input.size;
    convti_input_close(&input);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "hostile.h5",
                   "makes more numbers than the file's");
    assert_int_equal(reads, size / 24);
}

static void what_is_no_hdf5_is_refused(void **state)
{
    (void)state;
    char bytes[4096] = "\x89HDF\r\n\x1a\n";
    for (size_t size = 0; size <= sizeof bytes; size += size < 16 ? 1 : 255) {
        const convti_input input = convti_input_of_memory("a.h5", bytes, size);
        convti_hdf5 h5;
        convt_error err = {.status = CONVT_OK};
        const convt_status status = convti_hdf5_open(&h5, &input, "", &err);
        assert_refused(status, &err, CONVT_BAD_FORMAT, "a.h5", "cannot be read: ");
        assert_null(strpbrk(err.message, "\r\n"));
    }
}

/* What the system says of a file is no matter of HDF5's. */
static void a_file_that_cannot_be_read_says_why(void **state)
{
    (void)state;
    const convti_input input = {.name = "a.h5", .fd = open("/dev/null", O_WRONLY), .size = 4096};
    convti_hdf5 h5;
    convt_error err = {.status = CONVT_OK};
    assert_true(input.fd >= 0);
    const convt_status status = convti_hdf5_open(&h5, &input, "", &err);
    close(input.fd);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.h5", "");
    assert_string_equal(err.message, "cannot be read: Bad file descriptor");
}

/* ---- writing --------------------------------------------------------------------------------- */

static void arrays_come_back(void **state)
{
    (void)state;
    double wide[6] = {0, 1, 2, 3, 4, 1e300};
    int64_t whole[3] = {-1, 2, 1 << 20};
    uint8_t bytes[3] = {0, 1, 255};
    float single[3] = {0.5f, -1, 255};
    const convt_array arrays[] = {
        {"", CONVT_ELEMENT_F64, 2, {2, 3}, wide},  {"", CONVT_ELEMENT_I64, 1, {3}, whole},
        {"", CONVT_ELEMENT_F64, 0, {0}, wide + 5}, {"", CONVT_ELEMENT_F64, 2, {0, 4}, wide},
        {"", CONVT_ELEMENT_U8, 1, {3}, bytes},     {"", CONVT_ELEMENT_F32, 1, {3}, single}};
    enum { ARRAYS = sizeof arrays / sizeof *arrays };
    convti_hdf5 h5;
    convt_error err = {.status = CONVT_OK};
    void *data;
    size_t size;
    convt_status status = convti_hdf5_create(&h5, "out.h5", &err);
    assert_int_equal(status, CONVT_OK);
    status = convti_hdf5_add_group(&h5, "a/b/vars", "caf\xC3\xA9", &err);
    for (int i = 0; i < ARRAYS && !status; i++) {
        char path[32];
        snprintf(path, sizeof path, "a/b/vars/%d", i);
        status = convti_hdf5_add(&h5, path, &arrays[i], &err);
    }
    if (convti_hdf5_finish(&h5, status, &data, &size, &err)) fail_msg("%s", err.message);

    const convti_input input = convti_input_of_memory("out.h5", data, size);
    for (int i = 0; i < ARRAYS; i++) {
        char path[32];
        convt_array array;
        snprintf(path, sizeof path, "a/b/vars/%d", i);
        if (read_one(&input, path, &array, &err)) fail_msg("%s", err.message);
        assert_int_equal(array.rank, arrays[i].rank);
        assert_memory_equal(array.shape, arrays[i].shape, sizeof array.shape);
        assert_int_equal(convt_array_convert(&array, CONVT_FLOAT64, &err), CONVT_OK);
        for (int k = 0; k < convt_array_count(&array); k++)
            assert_close(((double *)array.data)[k], convti_array_number(&arrays[i], k), 0, 0);
        convt_array_free(&array);
    }
    free(data);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    convti_hdf5 h5;
    convt_error err = {.status = CONVT_OK};
    void *data;
    size_t size;
    assert_int_equal(convti_hdf5_create(&h5, "out.h5", &err), CONVT_OK);
    assert_int_equal(convti_hdf5_add_group(&h5, "a", "x", &err), CONVT_OK);
    convt_status status = convti_hdf5_add_group(&h5, "a", "x", &err);
    status = convti_hdf5_finish(&h5, status, &data, &size, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "out.h5", "a cannot be written: ");
    assert_null(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_float_is_read),
        cmocka_unit_test(scalars_and_empty_ones_are_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(bytes_count_once),
        cmocka_unit_test(what_is_no_hdf5_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_says_why),
        cmocka_unit_test(arrays_come_back),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
