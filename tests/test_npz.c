/* .npz: archives of arrays as numpy writes them, and archives that lie. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include <convt/io.h>

#include "npz.h"
#include "package.h"
#include "support/scratch.h"

static float ramp[512];
static const char config[] = "{\"a\": [1, 2]}";

static const convt_array two[2] = {
    {.name = "up1/kernel",
     .element = CONVT_ELEMENT_F32,
     .rank = 4,
     .shape = {2, 3, 4, 5},
     .data = ramp},
    {.name = "up1/bias", .element = CONVT_ELEMENT_F64, .rank = 1, .shape = {7}, .data = ramp},
};

static void write_two(void)
{
    convt_error err = {CONVT_OK, "", ""};
    for (int i = 0; i < 512; i++) ramp[i] = (float)i;
    if (convt_npz_write(scratch("a.npz"), two, 2, "config.json", config, &err))
        fail_msg("%s: %s", err.field, err.message);
}

static void check_refused(convt_status expected, const char *part)
{
    convt_archive archive;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_npz_read(scratch("a.npz"), "config.json", &archive, &err);
    assert_refused(status, &err, expected, "a.npz", part);
    assert_null(strchr(err.message, '\n'));
    assert_int_equal(archive.count, 0);
    assert_null(archive.arrays);
    assert_null(archive.text);
}

static uint32_t get32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void put32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (char)(value >> (8 * i));
}

/* An archive of one member, stored or deflated, through libzip alone. */
static void write_member(const char *member, const void *data, size_t size, int32_t method)
{
    int code;
    zip_t *zip = zip_open(scratch("a.npz"), ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(zip);
    zip_int64_t index = zip_file_add(zip, member, zip_source_buffer(zip, data, size, 0), 0);
    assert_true(index >= 0);
    assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)index, method, 0), 0);
    assert_int_equal(zip_close(zip), 0);
}

/* An .npy of `count` floats whose header says (says,). */
static char *npy_bytes(size_t count, const char *says, size_t *size)
{
    char header[128];
    int length = snprintf(header, sizeof header,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }\n", says);
    *size = 10 + (size_t)length + 4 * count;
    char *bytes = calloc(1, *size);
    assert_non_null(bytes);
    memcpy(bytes, (const char[]){(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}, 8);
    bytes[8] = (char)length;
    memcpy(bytes + 10, header, (size_t)length);
    for (size_t i = 0; i < 4 * count; i++) bytes[10 + (size_t)length + i] = (char)(i % 7);
    return bytes;
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void arrays_and_text_come_back(void **state)
{
    (void)state;
    convt_archive archive;
    convt_error err;
    write_two();
    assert_int_equal(convt_npz_read(scratch("a.npz"), "config.json", &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, 2);
    assert_string_equal(archive.text, config);
    assert_string_equal(archive.arrays[0].name, "up1/kernel");
    assert_string_equal(archive.arrays[1].name, "up1/bias");
    const convt_array *kernel = convt_archive_find(&archive, "up1/kernel"),
                      *bias = convt_archive_find(&archive, "up1/bias");
    assert_non_null(kernel);
    assert_non_null(bias);
    assert_int_equal(kernel->rank, 4);
    assert_int_equal(kernel->shape[3], 5);
    assert_same_bits(kernel->data, ramp, 120 * sizeof(float));
    assert_int_equal(bias->element, CONVT_ELEMENT_F64);
    assert_same_bits(bias->data, ramp, 7 * sizeof(double));
    assert_null(convt_archive_find(&archive, "up1"));
    convt_archive_free(&archive);
    convt_archive_free(&archive);
    convt_archive_free(NULL);

    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    assert_null(archive.text);
    convt_archive_free(&archive);
    assert_int_equal(convt_npz_read(scratch("a.npz"), "other.json", &archive, &err), CONVT_OK);
    assert_null(archive.text);
    convt_archive_free(&archive);
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

static void empty_arrays_and_many_arrays_come_back(void **state)
{
    (void)state;
    convt_archive archive;
    convt_error err;
    enum { MANY = 300 };
    static convt_array arrays[MANY];
    for (int i = 0; i < MANY; i++) {
        arrays[i] =
            (convt_array){.element = CONVT_ELEMENT_F32, .rank = 1, .shape = {i}, .data = ramp};
        snprintf(arrays[i].name, sizeof arrays[i].name, "array%d", i);
    }
    assert_int_equal(convt_npz_write(scratch("a.npz"), arrays, MANY, NULL, NULL, &err), CONVT_OK);
    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(archive.arrays[i].name, arrays[i].name);
        assert_int_equal(archive.arrays[i].shape[0], i);
        assert_same_bits(archive.arrays[i].data, ramp, (size_t)i * sizeof(float));
    }
    convt_archive_free(&archive);
    scratch_clear();
}

static void equal_content_gives_equal_files(void **state)
{
    (void)state;
    convt_error err;
    size_t first_size, second_size;
    write_two();
    char *first = scratch_read("a.npz", &first_size);
    assert_int_equal(convt_npz_write(scratch("b.npz"), two, 2, "config.json", config, &err),
                     CONVT_OK);
    char *second = scratch_read("b.npz", &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    scratch_clear();
}

static void deflated_members_are_read(void **state)
{
    (void)state;
    convt_archive archive;
    convt_error err;
    size_t size;
    char *bytes = npy_bytes(100000, "100000,", &size);
    write_member("x.npy", bytes, size, ZIP_CM_DEFLATE);
    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, 1);
    assert_int_equal(archive.arrays[0].shape[0], 100000);
    assert_same_bits(archive.arrays[0].data, bytes + size - 400000, 400000);
    convt_archive_free(&archive);
    free(bytes);
    scratch_clear();
}

static void memory_holds_what_a_file_holds(void **state)
{
    (void)state;
    convt_archive archive;
    convt_error err = {CONVT_OK, "", ""};
    void *encoded;
    size_t encoded_size, size;
    write_two();
    char *bytes = scratch_read("a.npz", &size);
    assert_int_equal(convt_npz_encode(two, 2, "config.json", config, &encoded, &encoded_size, &err),
                     CONVT_OK);
    assert_int_equal(encoded_size, size);
    assert_memory_equal(encoded, bytes, size);
    assert_int_equal(convt_npz_decode(encoded, size, "m", "config.json", &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, 2);
    assert_string_equal(archive.text, config);
    assert_same_bits(archive.arrays[0].data, ramp, 120 * sizeof(float));
    convt_archive_free(&archive);
    for (size_t cut = 0; cut < size; cut++) {
        const convt_status status = convt_npz_decode(encoded, cut, "m", NULL, &archive, &err);
        assert_refused(status, &err, CONVT_BAD_FORMAT, "m", "");
    }
    free(encoded);
    free(bytes);
    assert_int_equal(convt_npz_encode(two, 0, NULL, NULL, &encoded, &size, &err),
                     CONVT_INVALID_ARGUMENT);
    assert_null(encoded);
    scratch_clear();
}

/* Written by numpy 2.4.6 (tests/keras/files.py): a ramp of every type, both endiannesses and orders,
 * every header version; deflated, with zip64's fields of sizes. */
static void files_of_numpy_are_read(void **state)
{
    (void)state;
    convt_archive archive;
    convt_error err = {CONVT_OK, "", ""};
    if (convt_npz_read(CONVT_SOURCE_DIR "/tests/data/files/numpy.npz", NULL, &archive, &err))
        fail_msg("%s: %s", err.field, err.message);
    assert_int_equal(archive.count, 24);
    for (int i = 0; i < archive.count; i++) {
        convt_array *array = &archive.arrays[i];
        const bool truth = strncmp(array->name, "ramp/b1", 7) == 0;
        assert_int_equal(array->rank, 2);
        assert_int_equal(array->shape[0], 2);
        assert_int_equal(array->shape[1], 3);
        assert_int_equal(convt_array_convert(array, CONVT_FLOAT64, &err), CONVT_OK);
        for (int k = 0; k < 6; k++)
            assert_close(((double *)array->data)[k], truth ? k != 0 : k, 0, 0);
    }
    convt_archive_free(&archive);
}

/* ---- packages -------------------------------------------------------------------------------- */

static void packages_come_back(void **state)
{
    (void)state;
    convt_error err = {CONVT_OK, "", ""};
    const convti_items none = {.count = 0};
    for (int with_config = 0; with_config < 2; with_config++) {
        convt_array arrays[2] = {two[0], two[1]};
        convti_package back, package = {.config = with_config ? json_loads(config, 0, NULL) : NULL,
                                        .weights = {.arrays = arrays, .count = 2}};
        convti_bytes bytes;
        assert_int_equal(convti_npz_package_write(&package, "x", &bytes, &err), CONVT_OK);
        const convti_input input = convti_input_of_memory("m", bytes.data, bytes.size);
        assert_int_equal(convti_format_recognize(&input), CONVT_FORMAT_NPZ);
        assert_int_equal(convti_npz_package_read(&input, &none, &back, &err), CONVT_OK);
        assert_true(with_config ? json_equal(back.config, package.config) : !back.config);
        assert_int_equal(back.weights.count, 2);
        assert_string_equal(back.weights.arrays[1].name, "up1/bias");
        convti_package_free(&back);
        const convt_status status = convti_npz_package_read(&input, NULL, &back, &err);
        if (with_config)
            assert_int_equal(status, CONVT_OK);
        else
            assert_refused(status, &err, CONVT_BAD_FORMAT, "m", "has no member config.json");
        convti_package_free(&back);
        json_decref(package.config);
        free(bytes.data);
    }
}

/* ---- one of many ----------------------------------------------------------------------------- */

static convt_status read_one(const char *const names[], convt_array *array, convt_error *err)
{
    convti_input input;
    assert_int_equal(convti_input_open(&input, scratch("a.npz"), err), CONVT_OK);
    const convt_status status = convti_npz_read_one(&input, names, array, err);
    convti_input_close(&input);
    return status;
}

static void one_array_is_chosen_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"images", "x", NULL};
    convt_array arrays[3] = {two[0], two[1], two[0]}, array;
    convt_error err;
    strcpy(arrays[0].name, "y");
    strcpy(arrays[1].name, "x");
    strcpy(arrays[2].name, "images");
    assert_int_equal(convt_npz_write(scratch("a.npz"), arrays, 3, NULL, NULL, &err), CONVT_OK);
    assert_int_equal(read_one(names, &array, &err), CONVT_OK);
    assert_string_equal(array.name, "images");
    convt_array_free(&array);
    assert_int_equal(convt_npz_write(scratch("a.npz"), arrays, 2, NULL, NULL, &err), CONVT_OK);
    assert_int_equal(read_one(names, &array, &err), CONVT_OK);
    assert_string_equal(array.name, "x");
    convt_array_free(&array);
    assert_int_equal(convt_npz_write(scratch("a.npz"), arrays, 1, "t", "text", &err), CONVT_OK);
    assert_int_equal(read_one(names, &array, &err), CONVT_OK);
    assert_string_equal(array.name, "y");
    convt_array_free(&array);

    strcpy(arrays[1].name, "z");
    assert_int_equal(convt_npz_write(scratch("a.npz"), arrays, 2, NULL, NULL, &err), CONVT_OK);
    convt_status status = read_one(names, &array, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "a.npz",
                   "holds 2 arrays, none of them called images");
    scratch_clear();
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void an_array_of_another_size_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *says, *part;
    } cases[] = {
        {"11,", "x.npy ends after"},
        {"1000000000000000,", "x.npy ends after"},
        {"9,", "x.npy holds more than"},
        {"0,", "x.npy holds more than"},
        {"9999999999999999999,", "x.npy has no .npy header"},
        {"4294967296, 4294967296,", "x.npy has a shape of more elements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int deflated = 0; deflated < 2; deflated++) {
            size_t size;
            char *bytes = npy_bytes(10, cases[i].says, &size);
            write_member("x.npy", bytes, size, deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE);
            check_refused(CONVT_BAD_FORMAT, cases[i].part);
            free(bytes);
        }
    }
    scratch_clear();
}

/* The archive's directory claims that a small member unpacks to 2 GB, and its array agrees. */
static void a_directory_that_lies_about_sizes_is_refused(void **state)
{
    (void)state;
    for (int deflated = 0; deflated < 2; deflated++) {
        size_t size, member_size;
        char *member = npy_bytes(10, "500000000,", &member_size);
        write_member("x.npy", member, member_size, deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE);
        char *bytes = scratch_read("a.npz", &size);
        for (size_t i = 0; i + 30 < size; i++) {
            bool local = memcmp(bytes + i, "PK\x03\x04", 4) == 0,
                 central = memcmp(bytes + i, "PK\x01\x02", 4) == 0;
            if (local || central) put32(bytes + i + (local ? 22 : 24), 2000000000);
            if ((local || central) && !deflated) put32(bytes + i + (local ? 18 : 20), 2000000000);
        }
        scratch_write("a.npz", bytes, size);
        check_refused(CONVT_BAD_FORMAT, "");
        free(bytes);
        free(member);
    }
    scratch_clear();
}

/* 32 MiB of zeros fit into 32 KiB: a bomb. 8 MiB of them are an array as any other. */
static void an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(void **state)
{
    (void)state;
    enum { COUNT = 8 << 20 };
    size_t size;
    char *bytes = npy_bytes(COUNT, "8388608,", &size);
    memset(bytes + size - 4 * (size_t)COUNT, 0, 4 * (size_t)COUNT);
    write_member("x.npy", bytes, size, ZIP_CM_DEFLATE);
    check_refused(CONVT_BAD_FORMAT, "x.npy unpacks to more than 256 times the file's");

    char *zipped = scratch_read("a.npz", &size);
    for (size_t i = 0; i + 30 < size; i++) { /* the directory says nothing of it */
        if (memcmp(zipped + i, "PK\x01\x02", 4) == 0) put32(zipped + i + 24, 100);
    }
    scratch_write("a.npz", zipped, size);
    check_refused(CONVT_BAD_FORMAT, "x.npy ");
    free(zipped);
    free(bytes);
    bytes = npy_bytes(COUNT / 4, "2097152,", &size);
    write_member("x.npy", bytes, size, ZIP_CM_DEFLATE);
    convt_archive archive;
    convt_error err;
    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    convt_archive_free(&archive);
    free(bytes);
    scratch_clear();
}

static void a_wrong_checksum_is_refused(void **state)
{
    (void)state;
    size_t size;
    write_two();
    char *bytes = scratch_read("a.npz", &size);
    char *data = bytes + 30;
    while (memcmp(data, "\x93NUMPY", 6) != 0) data++;
    data[200] ^= 1;
    scratch_write("a.npz", bytes, size);
    check_refused(CONVT_BAD_FORMAT, "CRC");
    free(bytes);
    scratch_clear();
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    write_two();
    char *bytes = scratch_read("a.npz", &size);
    for (size_t cut = 0; cut < size; cut++) {
        scratch_write("a.npz", bytes, cut);
        check_refused(CONVT_BAD_FORMAT, "");
    }
    free(bytes);
    scratch_clear();
}

/* Whatever a byte becomes: no crash, and what was read is freed. */
static void every_byte_may_change(void **state)
{
    (void)state;
    size_t size;
    convt_archive archive;
    convt_error err;
    convt_array small = {
        .name = "x", .element = CONVT_ELEMENT_F32, .rank = 1, .shape = {2}, .data = ramp};
    assert_int_equal(convt_npz_write(scratch("a.npz"), &small, 1, "config.json", config, &err),
                     CONVT_OK);
    char *bytes = scratch_read("a.npz", &size);
    for (size_t at = 0; at < size; at++) {
        for (int change = 1; change < 256; change += 41) {
            bytes[at] = (char)(bytes[at] ^ change);
            scratch_write("a.npz", bytes, size);
            convt_npz_read(scratch("a.npz"), "config.json", &archive, &err);
            convt_archive_free(&archive);
            bytes[at] = (char)(bytes[at] ^ change);
        }
    }
    free(bytes);
    scratch_clear();
}

static void what_is_no_archive_is_refused(void **state)
{
    (void)state;
    scratch_write("a.npz", "no archive", 10);
    check_refused(CONVT_BAD_FORMAT, "cannot be read: Not a zip archive");
    scratch_write("a.npz", "", 0);
    check_refused(CONVT_BAD_FORMAT, "");
    scratch_clear();
    check_refused(CONVT_FILE_FAILED, "No such file");
}

static void names_and_texts_have_limits(void **state)
{
    (void)state;
    char name[200];
    size_t size;
    char *bytes = npy_bytes(1, "1,", &size);
    memset(name, 'n', sizeof name);
    snprintf(name + 127, sizeof name - 127, ".npy");
    write_member(name, bytes, size, ZIP_CM_STORE);
    convt_archive archive;
    convt_error err;
    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    assert_int_equal(strlen(archive.arrays[0].name), 127);
    convt_archive_free(&archive);
    snprintf(name + 127, sizeof name - 127, "n.npy");
    write_member(name, bytes, size, ZIP_CM_STORE);
    check_refused(CONVT_BAD_FORMAT, "name of 128 bytes");
    free(bytes);
    write_member("config.json", "{\0}", 3, ZIP_CM_STORE);
    check_refused(CONVT_BAD_FORMAT, "zero byte");
    scratch_clear();
}

/* ---- writing --------------------------------------------------------------------------------- */

static void nothing_is_no_archive(void **state)
{
    (void)state;
    convt_error err;
    convt_status status = convt_npz_write(scratch("a.npz"), NULL, 0, NULL, NULL, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "count", "0 arrays");
    assert_int_equal(scratch_count(), 0);
    convt_archive archive;
    assert_int_equal(convt_npz_write(scratch("a.npz"), NULL, 0, "config.json", config, &err),
                     CONVT_OK);
    assert_int_equal(convt_npz_read(scratch("a.npz"), "config.json", &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, 0);
    assert_string_equal(archive.text, config);
    convt_archive_free(&archive);
    scratch_clear();
}

static void a_full_disk_leaves_the_old_archive(void **state)
{
    (void)state;
    convt_error err;
    convt_archive archive;
    static double data[20000];
    convt_array large = {
        .name = "large", .element = CONVT_ELEMENT_F64, .rank = 1, .shape = {20000}, .data = data};
    write_two();
    scratch_limit(100000);
    convt_status status = convt_npz_write(scratch("a.npz"), &large, 1, NULL, NULL, &err);
    scratch_limit((size_t)-1);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.npz", "File too large");
    assert_int_equal(convt_npz_read(scratch("a.npz"), NULL, &archive, &err), CONVT_OK);
    assert_int_equal(archive.count, 2);
    convt_archive_free(&archive);
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    convt_error err;
    convt_status status = convt_npz_write(scratch("none/a.npz"), two, 2, NULL, NULL, &err);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.npz", "No such file");
    status = convt_npz_write("/dev/null", two, 2, NULL, NULL, &err);
    assert_refused(status, &err, CONVT_FILE_FAILED, "null", "not a regular file");
}

static void members_are_stored_and_dated_as_numpy_does(void **state)
{
    (void)state;
    size_t size;
    write_two();
    char *bytes = scratch_read("a.npz", &size);
    assert_memory_equal(bytes, "PK\x03\x04", 4);
    assert_int_equal(bytes[8] | bytes[9], 0);               /* stored */
    assert_memory_equal(bytes + 10, "\x00\x00\x21\x00", 4); /* 1980-01-01 00:00 */
    assert_int_equal(get32(bytes + 22), strlen(config));
    free(bytes);
    scratch_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_and_text_come_back),
        cmocka_unit_test(empty_arrays_and_many_arrays_come_back),
        cmocka_unit_test(equal_content_gives_equal_files),
        cmocka_unit_test(deflated_members_are_read),
        cmocka_unit_test(memory_holds_what_a_file_holds),
        cmocka_unit_test(files_of_numpy_are_read),
        cmocka_unit_test(packages_come_back),
        cmocka_unit_test(one_array_is_chosen_by_name),
        cmocka_unit_test(an_array_of_another_size_is_refused),
        cmocka_unit_test(a_directory_that_lies_about_sizes_is_refused),
        cmocka_unit_test(an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused),
        cmocka_unit_test(a_wrong_checksum_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_byte_may_change),
        cmocka_unit_test(what_is_no_archive_is_refused),
        cmocka_unit_test(names_and_texts_have_limits),
        cmocka_unit_test(nothing_is_no_archive),
        cmocka_unit_test(a_full_disk_leaves_the_old_archive),
        cmocka_unit_test(a_missing_folder_is_named),
        cmocka_unit_test(members_are_stored_and_dated_as_numpy_does),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
