/* .safetensors: what its own library wrote (tests/data/files), the way there and back, and headers
 * that lie. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
#include "package.h"

enum { PREFIX = 8 };

/* A file built by hand: length, header, data. */
static size_t build(char bytes[2048], const char *header, const void *data, size_t size)
{
    const size_t length = strlen(header);
    assert_true(PREFIX + length + size <= 2048);
    memset(bytes, 0, PREFIX);
    bytes[0] = (char)length;
    bytes[1] = (char)(length >> 8);
    memcpy(bytes + PREFIX, header, length);
    memcpy(bytes + PREFIX + length, data, size);
    return PREFIX + length + size;
}

static convt_status decode(const void *bytes, size_t size, const convti_items *layers,
                           convti_package *package, convt_error *err)
{
    const convti_input input = convti_input_of_memory("a.safetensors", bytes, size);
    *err = (convt_error){.status = CONVT_OK};
    return convti_safetensors_read(&input, layers, package, err);
}

static void check_refused(const void *bytes, size_t size, const char *part)
{
    static const convti_items none = {.count = 0};
    convti_package package;
    convt_error err;
    const convt_status status = decode(bytes, size, &none, &package, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "a.safetensors", part);
    assert_null(strchr(err.message, '\n'));
    assert_null(package.config);
    assert_null(package.weights.arrays);
}

/* One more than 2^16, of no bytes each. */
static void more_tensors_than_a_model_has_are_refused(void **state)
{
    (void)state;
    enum { COUNT = (1 << 16) + 1, ROOM = 64 * COUNT };
    char *bytes = malloc(ROOM);
    assert_non_null(bytes);
    size_t at = PREFIX;
    for (int i = 0; i < COUNT; i++)
        at += (size_t)snprintf(bytes + at, ROOM - at,
                               "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                               i ? ',' : '{', i);
    bytes[at++] = '}';
    for (int i = 0; i < PREFIX; i++) bytes[i] = (char)((at - PREFIX) >> (8 * i));
    check_refused(bytes, at, "holds more than 65536 tensors");
    free(bytes);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static float ramp[64];
static const char config[] = "{\"class_name\": \"S \\\"e\\\\\", \"config\": [1, 0.25, null]}";

static convti_package some_package(convt_array arrays[4])
{
    for (int i = 0; i < 64; i++) ramp[i] = (float)i;
    const convt_array of[4] = {{"up1/bytes", CONVT_ELEMENT_U8, 1, {3}, ramp},
                               {"up1/kernel", CONVT_ELEMENT_F32, 4, {1, 2, 3, 4}, ramp},
                               {"up1/empty", CONVT_ELEMENT_I64, 2, {3, 0}, ramp},
                               {"up1/scalar", CONVT_ELEMENT_F64, 0, {0}, ramp}};
    memcpy(arrays, of, sizeof of);
    return (convti_package){.config = json_loads(config, 0, NULL),
                            .weights = {.arrays = arrays, .count = 4}};
}

static void packages_come_back(void **state)
{
    (void)state;
    convt_array arrays[4];
    convti_package package = some_package(arrays), back;
    convti_bytes bytes;
    convt_error err = {CONVT_OK, "", ""};
    assert_int_equal(convti_safetensors_write(&package, "x", &bytes, &err), CONVT_OK);
    if (decode(bytes.data, bytes.size, NULL, &back, &err)) fail_msg("%s", err.message);
    assert_true(json_equal(back.config, package.config));
    assert_int_equal(back.weights.count, 4);
    for (int i = 0; i < 4; i++) {
        const convt_array *array = convt_archive_find(&back.weights, arrays[i].name);
        assert_non_null(array);
        assert_int_equal(array->element, arrays[i].element);
        assert_int_equal(array->rank, arrays[i].rank);
        assert_memory_equal(array->shape, arrays[i].shape, sizeof array->shape);
        assert_same_bits(array->data, ramp, convti_array_bytes(array));
    }
    json_decref(package.config);
    convti_package_free(&back);
    free(bytes.data);
}

/* The data begin at a multiple of 8, and wide elements come first, so that all are aligned. */
static void what_is_written_is_aligned(void **state)
{
    (void)state;
    convt_array arrays[4];
    convti_package package = some_package(arrays);
    convti_bytes bytes;
    convt_error err;
    assert_int_equal(convti_safetensors_write(&package, "x", &bytes, &err), CONVT_OK);
    const unsigned char *start = bytes.data;
    assert_int_equal(start[0] % 8, 0);
    const size_t header = start[0] | (size_t)start[1] << 8;
    assert_memory_equal(start + PREFIX, "{\"__metadata__\":{\"config\":\"{", 28);
    assert_same_bits(start + PREFIX + header, ramp, 8);          /* the double */
    assert_same_bits(start + PREFIX + header + 8, ramp, 24 * 4); /* the kernel */
    assert_int_equal(bytes.size, PREFIX + header + 8 + 24 * 4 + 3);
    json_decref(package.config);
    free(bytes.data);
}

static void weights_alone_are_written_and_need_a_model(void **state)
{
    (void)state;
    convt_array arrays[4];
    convti_package package = some_package(arrays), back;
    convti_bytes bytes;
    convt_error err;
    const convti_items none = {.count = 0};
    json_decref(package.config);
    package.config = NULL;
    assert_int_equal(convti_safetensors_write(&package, "x", &bytes, &err), CONVT_OK);
    assert_int_equal(decode(bytes.data, bytes.size, &none, &back, &err), CONVT_OK);
    assert_null(back.config);
    assert_int_equal(back.weights.count, 4);
    convti_package_free(&back);
    const convt_status status = decode(bytes.data, bytes.size, NULL, &back, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "a.safetensors", "has no config");
    free(bytes.data);
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void every_type_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        int width;
        const char *data; /* -2 and 1, or 254 and 1 */
        convt_element element;
        double first;
    } cases[] = {
        {"F64", 8, "\0\0\0\0\0\0\0\xC0\0\0\0\0\0\0\xF0\x3F", CONVT_ELEMENT_F64, -2},
        {"F32", 4, "\0\0\0\xC0\0\0\x80\x3F", CONVT_ELEMENT_F32, -2},
        {"F16", 2, "\0\xC0\0\x3C", CONVT_ELEMENT_F32, -2},
        {"BF16", 2, "\0\xC0\x80\x3F", CONVT_ELEMENT_F32, -2},
        {"I64", 8, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1\0\0\0\0\0\0\0", CONVT_ELEMENT_I64, -2},
        {"I32", 4, "\xFE\xFF\xFF\xFF\1\0\0\0", CONVT_ELEMENT_I64, -2},
        {"I16", 2, "\xFE\xFF\1\0", CONVT_ELEMENT_I64, -2},
        {"I8", 1, "\xFE\1", CONVT_ELEMENT_I64, -2},
        {"U64", 8, "\xFE\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", CONVT_ELEMENT_I64, 254},
        {"U32", 4, "\xFE\0\0\0\1\0\0\0", CONVT_ELEMENT_I64, 254},
        {"U16", 2, "\xFE\0\1\0", CONVT_ELEMENT_I64, 254},
        {"U8", 1, "\xFE\1", CONVT_ELEMENT_U8, 254},
        {"BOOL", 1, "\xFE\1", CONVT_ELEMENT_U8, 1},
    };
    const convti_items none = {.count = 0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128], bytes[2048];
        convti_package package;
        convt_error err;
        const int size = 2 * cases[i].width;
        snprintf(header, sizeof header,
                 "{ \"x\" : {\"shape\": [2], \"dtype\":\"%s\",\"data_offsets\":[0,%d]}}  ",
                 cases[i].dtype, size);
        const size_t all = build(bytes, header, cases[i].data, (size_t)size);
        if (decode(bytes, all, &none, &package, &err)) fail_msg("%s", err.message);
        convt_array *x = &package.weights.arrays[0];
        assert_int_equal(x->element, cases[i].element);
        assert_int_equal(convt_array_convert(x, CONVT_FLOAT64, &err), CONVT_OK);
        assert_close(((double *)x->data)[0], cases[i].first, 0, 0);
        assert_close(((double *)x->data)[1], 1, 0, 0);
        convti_package_free(&package);
    }
}

static void tensors_may_stand_in_any_order(void **state)
{
    (void)state;
    char bytes[2048];
    convti_package package;
    convt_error err;
    const convti_items none = {.count = 0};
    const size_t size =
        build(bytes,
              "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
              "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]},"
              "\"__metadata__\":{\"format\":\"pt\"},"
              "\"a\\u00e4\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
              "abc", 3);
    if (decode(bytes, size, &none, &package, &err)) fail_msg("%s", err.message);
    assert_int_equal(package.weights.count, 3);
    assert_string_equal(package.weights.arrays[0].name, "a\xC3\xA4");
    assert_string_equal(package.weights.arrays[1].name, "e");
    assert_memory_equal(package.weights.arrays[2].data, "bc", 2);
    convti_package_free(&package);
}

static void dots_are_slashes_for_the_layers_of_a_model(void **state)
{
    (void)state;
    char bytes[2048];
    convti_package package;
    convt_error err;
    convti_item list[] = {{.name = "up1"}, {.name = "block.up"}};
    const convti_items layers = {.list = list, .count = 2};
    static const char *const names[] = {"up1/kernel", "up2.bias", "block.up/bias"};
    const size_t size =
        build(bytes,
              "{\"up1.kernel\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
              "\"up2.bias\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]},"
              "\"block.up.bias\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[2,3]}}",
              "abc", 3);
    if (decode(bytes, size, &layers, &package, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 3; i++) assert_string_equal(package.weights.arrays[i].name, names[i]);
    convti_package_free(&package);
}

/* Written by safetensors 0.8.0 (tests/keras/files.py): a ramp in every type that numpy has. */
static void files_of_the_formats_own_library_are_read(void **state)
{
    (void)state;
    convti_input input;
    convti_package package;
    convt_error err;
    if (convti_input_open(&input, CONVT_SOURCE_DIR "/tests/data/files/library.safetensors", &err) ||
        convti_safetensors_read(&input, NULL, &package, &err))
        fail_msg("%s: %s", err.field, err.message);
    convti_input_close(&input);
    assert_string_equal(json_string_value(json_object_get(package.config, "class_name")),
                        "Sequential");
    assert_int_equal(package.weights.count, 12);
    for (int i = 0; i < package.weights.count; i++) {
        convt_array *array = &package.weights.arrays[i];
        const bool truth = strcmp(array->name, "ramp/bool") == 0;
        assert_memory_equal(array->name, "ramp/", 5);
        assert_int_equal(array->rank, 2);
        assert_int_equal(array->shape[0], 2);
        assert_int_equal(array->shape[1], 3);
        assert_int_equal(convt_array_convert(array, CONVT_FLOAT64, &err), CONVT_OK);
        for (int k = 0; k < 6; k++)
            assert_close(((double *)array->data)[k], truth ? k != 0 : k, 0, 0);
    }
    convti_package_free(&package);
}

/* ---- refusals -------------------------------------------------------------------------------- */

#define TENSOR(name, dtype, shape, begin, end)                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part;
    } cases[] = {
        /* of 8 bytes of data */
        {"", "no '{' at byte 0"},
        {"[]", "no '{' at byte 0"},
        {"{", "no string at byte 1"},
        {"{\"a", "no end of the string at byte 1"},
        {"{\"a\\", "no end of the string"},
        {"{\"a\xFF\":1}", "no string at byte 1"},
        {"{\"a\\u0000\":{}}", "no string at byte 1"},
        {"{\"a\"}", "no ':' at byte 4"},
        {"{\"a\":1}", "no '{' at byte 5"},
        {"{\"a\":{}}", "a lacks one of dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", "a has a key twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"strides\":[1]}}",
         "a has a key that is none of"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "} x", "no end at byte"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") ",}", "no string at byte"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8"), "no '}' at byte"},
        {"{" TENSOR("a", "F32", "[2,]", "0", "8") "}", "no whole number at byte"},
        {"{" TENSOR("a", "F32", "[-2]", "0", "8") "}", "no whole number at byte"},
        {"{" TENSOR("a", "F32", "[2.0]", "0", "8") "}", "no ']' at byte"},
        {"{" TENSOR("a", "F32", "[9999999999999999999]", "0", "8") "}", "no number of 63 bits"},
        {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "8") "}", "more than 8 numbers"},
        {"{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "8") "}", "a has a shape of more"},
        {"{" TENSOR("a", "F32", "[0,4294967296,4294967296]", "0", "8") "}",
         "a has a shape of more"},
        {"{" TENSOR("a", "C64", "[1]", "0", "8") "}", "a has dtype 'C64'"},
        {"{" TENSOR("a", "F8_E4M3", "[8]", "0", "8") "}", "a has dtype 'F8_E4M3'"},
        {"{" TENSOR("a", "F32", "[2]", "0", "4") "}", "a has data_offsets 0 and 4"},
        {"{" TENSOR("a", "F32", "[2]", "8", "0") "}", "a has data_offsets 8 and 0"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8,9") "}", "more than 2 numbers"},
        {"{\"a\":{\"data_offsets\":[0]}}", "a has no pair of data_offsets"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "}", "holds 8 bytes of data, its tensors need 4"},
        {"{" TENSOR("a", "F32", "[3]", "0", "12") "}",
         "holds 8 bytes of data, its tensors need 12"},
        {"{" TENSOR("a", "F32", "[1]", "4", "8") "}", "a begins at byte 4 of the data"},
        {"{" TENSOR("a", "U8", "[2]", "0", "2") "," TENSOR("b", "U8", "[5]", "3", "8") "}",
         "b begins at byte 3 of the data, where the tensors before it end at 2"},
        {"{" TENSOR("a", "U8", "[6]", "0", "6") "," TENSOR("b", "U8", "[4]", "4", "8") "}",
         "b begins at byte 4 of the data, where the tensors before it end at 6"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("a", "F32", "[1]", "4", "8") "}",
         "holds a twice"},
        {"{\"__metadata__\":[]}", "no '{'"},
        {"{\"__metadata__\":{\"a\":1}}", "no string"},
        {"{\"__metadata__\":{\"config\":\"{}\",\"config\":\"{}\"}}", "config twice"},
        {"{\"__metadata__\":{\"config\":\"{\"}," TENSOR("a", "F32", "[2]", "0", "8") "}",
         "no JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[2048];
        check_refused(bytes, build(bytes, cases[i].header, "01234567", 8), cases[i].part);
    }
}

static void names_have_a_limit(void **state)
{
    (void)state;
    char bytes[2048], header[512], name[200];
    memset(name, 'n', sizeof name);
    name[128] = '\0';
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", name);
    check_refused(bytes, build(bytes, header, "x", 1), "name of 128 bytes");
}

static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    check_refused("", 0, "ends after 0 of 8 bytes");
    check_refused("\x02\0\0\0\0\0\0\0{", 9, "ends after 9 of 10 bytes");
    check_refused("\x00\xE1\xF5\x05\0\0\0\0{}", 10, "ends after 10 of 100000008 bytes");
    check_refused("\x01\xE1\xF5\x05\0\0\0\0{}", 10, "header of 100000001 bytes");
    check_refused("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, "header of 18446744073709551615");
}

/* A level costs neither stack nor memory: only three are read. */
static void deep_headers_are_refused(void **state)
{
    (void)state;
    enum { DEPTH = 10000 };
    char *bytes = malloc(PREFIX + 5 * DEPTH);
    assert_non_null(bytes);
    memset(bytes, 0, PREFIX);
    bytes[0] = (char)(5 * DEPTH & 0xFF);
    bytes[1] = (char)(5 * DEPTH >> 8);
    for (int i = 0; i < DEPTH; i++) memcpy(bytes + PREFIX + 5 * i, "{\"a\":", 5);
    check_refused(bytes, PREFIX + 5 * DEPTH, "a has a key that is none of");
    free(bytes);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    convt_array arrays[4];
    convti_package package = some_package(arrays);
    convti_bytes bytes;
    convt_error err;
    assert_int_equal(convti_safetensors_write(&package, "x", &bytes, &err), CONVT_OK);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        char *exact = malloc(cut ? cut : 1); /* what is read behind its end shows under ASan */
        assert_non_null(exact);
        memcpy(exact, bytes.data, cut);
        check_refused(exact, cut, "");
        free(exact);
    }
    json_decref(package.config);
    free(bytes.data);
}

/* Whatever a byte becomes: no crash, and what was read is freed. */
static void every_byte_may_change(void **state)
{
    (void)state;
    convt_array arrays[4];
    convti_package package = some_package(arrays), back;
    convti_bytes bytes;
    convt_error err;
    assert_int_equal(convti_safetensors_write(&package, "x", &bytes, &err), CONVT_OK);
    char *changed = bytes.data;
    for (size_t at = 0; at < bytes.size; at++) {
        for (int change = 1; change < 256; change += 11) {
            changed[at] = (char)(changed[at] ^ change);
            const convt_status status = decode(changed, bytes.size, NULL, &back, &err);
            assert_true(status == CONVT_OK || status == CONVT_BAD_FORMAT);
            convti_package_free(&back);
            changed[at] = (char)(changed[at] ^ change);
        }
    }
    json_decref(package.config);
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_tensors_than_a_model_has_are_refused),
        cmocka_unit_test(packages_come_back),
        cmocka_unit_test(what_is_written_is_aligned),
        cmocka_unit_test(weights_alone_are_written_and_need_a_model),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(tensors_may_stand_in_any_order),
        cmocka_unit_test(dots_are_slashes_for_the_layers_of_a_model),
        cmocka_unit_test(files_of_the_formats_own_library_are_read),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(deep_headers_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_byte_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
