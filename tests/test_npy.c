/* .npy: every element type and header version, and every way to be wrong. */
#include "support/close.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/io.h>

#include "support/scratch.h"

/* A file built by hand: prefix, header text, data. */
static const char *write_npy(int version, const char *header, const void *data, size_t size)
{
    char bytes[4096] = "\x93NUMPY";
    size_t length = strlen(header), at = version == 1 ? 10 : 12;
    assert_true(at + length + size < sizeof bytes);
    bytes[6] = (char)version;
    for (size_t i = 0; i < at - 8; i++) bytes[8 + i] = (char)(length >> (8 * i));
    snprintf(bytes + at, sizeof bytes - at, "%s", header);
    memcpy(bytes + at + length, data, size);
    return scratch_write("a.npy", bytes, at + length + size);
}

static convt_array read_ok(const char *path)
{
    convt_array array;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_npy_read(path, &array, &err);
    if (status) fail_msg("%s: %s", err.field, err.message);
    return array;
}

static void check_refused(const char *path, convt_status expected, const char *part)
{
    convt_array array;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_npy_read(path, &array, &err);
    assert_refused(status, &err, expected, "a.npy", part);
    assert_null(strchr(err.message, '\n'));
    assert_null(array.data);
    convt_array_free(&array);
}

/* ---- what is written ------------------------------------------------------------------------- */

static void arrays_of_every_rank_and_type_come_back(void **state)
{
    (void)state;
    convt_error err;
    double data[256];
    for (int i = 0; i < 256; i++) data[i] = i * 1.5 - 7;
    static const convt_element elements[] = {CONVT_ELEMENT_F32, CONVT_ELEMENT_F64, CONVT_ELEMENT_U8,
                                             CONVT_ELEMENT_I64};
    static const size_t sizes[] = {4, 8, 1, 8};
    for (int rank = 0; rank <= CONVT_MAX_RANK; rank++) {
        for (int e = 0; e < 4; e++) {
            convt_array array = {.element = elements[e], .rank = rank, .data = data};
            for (int i = 0; i < rank; i++) array.shape[i] = i % 2 + 1;
            assert_int_equal(convt_npy_write(scratch("a.npy"), &array, &err), CONVT_OK);
            convt_array back = read_ok(scratch("a.npy"));
            assert_int_equal(back.element, array.element);
            assert_int_equal(back.rank, rank);
            assert_memory_equal(back.shape, array.shape, sizeof array.shape);
            assert_int_equal(convt_array_count(&back), convt_array_count(&array));
            assert_same_bits(back.data, data, (size_t)convt_array_count(&array) * sizes[e]);
            assert_string_equal(back.name, "");
            convt_array_free(&back);
        }
    }
    scratch_clear();
}

/* What numpy.save writes: 64-byte alignment, spaces, a newline. */
static void the_header_is_numpys(void **state)
{
    (void)state;
    convt_error err;
    float data[6] = {0};
    size_t size;
    static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    convt_array array = {.element = CONVT_ELEMENT_F32, .rank = 2, .shape = {2, 3}, .data = data};
    assert_int_equal(convt_npy_write(scratch("a.npy"), &array, &err), CONVT_OK);
    char *bytes = scratch_read("a.npy", &size);
    assert_int_equal(size, 128 + sizeof data);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(bytes + 10, text, strlen(text));
    for (size_t i = 10 + strlen(text); i < 127; i++) assert_int_equal(bytes[i], ' ');
    assert_int_equal(bytes[127], '\n');
    free(bytes);
    scratch_clear();
}

static void an_impossible_rank_is_not_written(void **state)
{
    (void)state;
    convt_error err;
    convt_array array = {.name = "deep", .rank = CONVT_MAX_RANK + 1};
    convt_status status = convt_npy_write(scratch("a.npy"), &array, &err);
    assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "deep", "rank 9");
    assert_int_equal(scratch_count(), 0);
}

static void a_full_disk_leaves_the_old_array(void **state)
{
    (void)state;
    convt_error err;
    static double data[20000];
    convt_array small = {.element = CONVT_ELEMENT_F64, .rank = 1, .shape = {2}, .data = data};
    convt_array large = {.element = CONVT_ELEMENT_F64, .rank = 1, .shape = {20000}, .data = data};
    assert_int_equal(convt_npy_write(scratch("a.npy"), &small, &err), CONVT_OK);
    scratch_limit(100000);
    convt_status status = convt_npy_write(scratch("a.npy"), &large, &err);
    scratch_limit((size_t)-1);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.npy", "File too large");
    convt_array back = read_ok(scratch("a.npy"));
    assert_int_equal(convt_array_count(&back), 2);
    convt_array_free(&back);
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void every_version_is_read(void **state)
{
    (void)state;
    const float data[6] = {1, 2, 3, 4, 5, 6};
    for (int version = 1; version <= 3; version++) {
        convt_array array = read_ok(
            write_npy(version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
                      data, sizeof data));
        assert_int_equal(array.element, CONVT_ELEMENT_F32);
        assert_int_equal(array.rank, 2);
        assert_int_equal(array.shape[0], 2);
        assert_int_equal(array.shape[1], 3);
        assert_same_bits(array.data, data, sizeof data);
        convt_array_free(&array);
    }
    scratch_clear();
}

static void headers_may_look_different(void **state)
{
    (void)state;
    const double data[3] = {1, 2, 3};
    static const char *const headers[] = {
        "{\"shape\":(3,),\"fortran_order\":True,\"descr\":\"<f8\"}",
        "  { 'fortran_order' : False ,'shape' : ( 3 , ) , 'descr' : 'f8' }  ",
        "{'descr': '=f8', 'fortran_order': False, 'shape': (3L,), }\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1), }\n",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        convt_array array = read_ok(write_npy(1, headers[i], data, sizeof data));
        assert_int_equal(array.shape[0], 3);
        assert_same_bits(array.data, data, sizeof data);
        convt_array_free(&array);
    }
    scratch_clear();
}

static void fortran_order_becomes_c_order(void **state)
{
    (void)state;
    const float flat[6] = {1, 4, 2, 5, 3, 6}, expected[6] = {1, 2, 3, 4, 5, 6};
    convt_array array = read_ok(write_npy(
        1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", flat, sizeof flat));
    assert_same_bits(array.data, expected, sizeof expected);
    convt_array_free(&array);

    /* Rank 4 against the definition: element (i,j,k,l) lies at i + 2*(j + 3*(k + 4*l)). */
    uint8_t bytes[120];
    for (int i = 0; i < 120; i++) bytes[i] = (uint8_t)i;
    array = read_ok(write_npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4, 5), }",
                              bytes, 120));
    const uint8_t *read = array.data;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < 5; l++)
                    assert_int_equal(read[((i * 3 + j) * 4 + k) * 5 + l],
                                     i + 2 * (j + 3 * (k + 4 * l)));
    convt_array_free(&array);
    scratch_clear();
}

static void empty_and_scalar_arrays_are_read(void **state)
{
    (void)state;
    const double data = 2.5;
    convt_array array =
        read_ok(write_npy(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (), }", &data, 8));
    assert_int_equal(array.rank, 0);
    assert_int_equal(convt_array_count(&array), 1);
    assert_close(((double *)array.data)[0], 2.5, 0, 0);
    convt_array_free(&array);
    array = read_ok(
        write_npy(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (3, 0, 2), }", "", 0));
    assert_int_equal(convt_array_count(&array), 0);
    assert_int_equal(array.element, CONVT_ELEMENT_I64);
    convt_array_free(&array);
    scratch_clear();
}

static void check_numbers(const char *descr, const void *data, size_t size, convt_element element,
                          int64_t first, int64_t second)
{
    char header[96];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }",
             descr);
    convt_array array = read_ok(write_npy(2, header, data, size));
    convt_error err;
    assert_int_equal(array.element, element);
    if (element == CONVT_ELEMENT_I64) {
        assert_true(((int64_t *)array.data)[0] == first);
        assert_true(((int64_t *)array.data)[1] == second);
    }
    assert_int_equal(convt_array_convert(&array, CONVT_FLOAT64, &err), CONVT_OK);
    assert_close(((double *)array.data)[0], (double)first, 0, 0);
    assert_close(((double *)array.data)[1], (double)second, 0, 0);
    convt_array_free(&array);
}

static void every_integer_type_and_byte_order_is_read(void **state)
{
    (void)state;
    check_numbers("|u1", "\x05\xFF", 2, CONVT_ELEMENT_U8, 5, 255);
    check_numbers("|i1", "\x05\xFF", 2, CONVT_ELEMENT_I64, 5, -1);
    check_numbers("<i2", "\x01\x02\xFE\xFF", 4, CONVT_ELEMENT_I64, 0x201, -2);
    check_numbers(">i2", "\x02\x01\xFF\xFE", 4, CONVT_ELEMENT_I64, 0x201, -2);
    check_numbers("<u2", "\x01\x02\xFE\xFF", 4, CONVT_ELEMENT_I64, 0x201, 0xFFFE);
    check_numbers("<i4", "\x01\x00\x00\x00\xFE\xFF\xFF\xFF", 8, CONVT_ELEMENT_I64, 1, -2);
    check_numbers(">u4", "\x00\x00\x00\x01\xFF\xFF\xFF\xFE", 8, CONVT_ELEMENT_I64, 1, 0xFFFFFFFE);
    check_numbers("<i8", "\x01\x00\x00\x00\x00\x00\x00\x00\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 16,
                  CONVT_ELEMENT_I64, 1, -2);
    check_numbers(">i8", "\x00\x00\x00\x00\x00\x00\x01\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE", 16,
                  CONVT_ELEMENT_I64, 256, -2);
    check_numbers("<u8", "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00", 16,
                  CONVT_ELEMENT_I64, 1, 2);
    check_numbers(">f4", "\x3F\x80\x00\x00\xC0\x00\x00\x00", 8, CONVT_ELEMENT_F32, 1, -2);
    check_numbers(">f8", "\x3F\xF0\x00\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x00", 16,
                  CONVT_ELEMENT_F64, 1, -2);
    write_npy(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }",
              "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    check_refused(scratch("a.npy"), CONVT_BAD_FORMAT, "18446744073709551615");
    scratch_clear();
}

static void truth_values_are_bytes_of_0_and_1(void **state)
{
    (void)state;
    convt_array array = read_ok(write_npy(
        1, "{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }", "\x00\x01\x00\xFF", 4));
    assert_int_equal(array.element, CONVT_ELEMENT_U8);
    assert_same_bits(array.data, "\x00\x01\x00\x01", 4);
    convt_array_free(&array);
    scratch_clear();
}

/* The value of a half from its definition. */
static double half_value(unsigned half)
{
    const unsigned exponent = half >> 10 & 31, fraction = half & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (double)(fraction ? NAN : INFINITY)
                                    : ldexp(1024 + fraction, (int)exponent - 25);
    return half & 0x8000 ? -value : value;
}

static void every_half_is_read_exactly(void **state)
{
    (void)state;
    enum { HALVES = 1 << 16 };
    for (int big = 0; big < 2; big++) {
        static char bytes[128 + 2 * HALVES];
        convt_array array;
        convt_error err = {CONVT_OK, "", ""};
        const int length = snprintf(bytes, 128,
                                    "%cNUMPY%c%c%c%c{'descr': '%cf2', 'fortran_order': False, "
                                    "'shape': (256, 256), }",
                                    0x93, 1, 0, 118, 0, big ? '>' : '<');
        bytes[7] = bytes[9] = 0;
        memset(bytes + length, ' ', 128 - (size_t)length);
        for (int i = 0; i < HALVES; i++) {
            bytes[128 + 2 * i + !big] = (char)(i >> 8);
            bytes[128 + 2 * i + big] = (char)i;
        }
        if (convt_npy_decode(bytes, sizeof bytes, "halves", &array, &err))
            fail_msg("%s: %s", err.field, err.message);
        assert_int_equal(array.element, CONVT_ELEMENT_F32);
        const float *values = array.data;
        for (int i = 0; i < HALVES; i++) {
            assert_close((double)values[i], half_value((unsigned)i), 0, 0);
            assert_int_equal(signbit(values[i]) != 0, i >> 15);
        }
        convt_array_free(&array);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_holds_what_a_file_holds(void **state)
{
    (void)state;
    convt_error err = {CONVT_OK, "", ""};
    float data[6] = {1, 2, 3, 4, 5, 6};
    void *encoded;
    size_t encoded_size, size;
    convt_array array = {.element = CONVT_ELEMENT_F32, .rank = 2, .shape = {2, 3}, .data = data},
                back;
    assert_int_equal(convt_npy_write(scratch("a.npy"), &array, &err), CONVT_OK);
    assert_int_equal(convt_npy_encode(&array, &encoded, &encoded_size, &err), CONVT_OK);
    char *bytes = scratch_read("a.npy", &size);
    assert_int_equal(encoded_size, size);
    assert_memory_equal(encoded, bytes, size);
    assert_int_equal(convt_npy_decode(encoded, size, "x", &back, &err), CONVT_OK);
    assert_same_bits(back.data, data, sizeof data);
    convt_array_free(&back);
    const convt_status status = convt_npy_decode(encoded, size - 1, "x", &back, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "x", "ends after");
    free(encoded);
    free(bytes);

    array.rank = CONVT_MAX_RANK + 1;
    assert_int_equal(convt_npy_encode(&array, &encoded, &size, &err), CONVT_INVALID_ARGUMENT);
    assert_null(encoded);
    scratch_clear();
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part;
    } cases[] = {
        {"", "no .npy header"},
        {"{}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "no .npy header"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
         "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [2]}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,,)}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}",
         "no .npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
         "no .npy header"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "no .npy header"},
        {"{'descr': '<f4\n', 'fortran_order': False, 'shape': 2\n}", "no .npy header"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "dtype '<c8'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "dtype '|O'"},
        {"{'descr': '<V2', 'fortran_order': False, 'shape': (4,)}", "dtype '<V2'"},
        {"{'descr': '<f20', 'fortran_order': False, 'shape': (2,)}", "dtype '<f20'"},
        {"{'descr': '<i3', 'fortran_order': False, 'shape': (2,)}", "dtype '<i3'"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}", "dtype '<f16'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "dtype ''"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         "more elements than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}",
         "more elements than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "ends after"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "holds more than"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000,)}", "ends after"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(write_npy(1, cases[i].header, "01234567", 8), CONVT_BAD_FORMAT,
                      cases[i].part);
    scratch_clear();
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    check_refused(scratch_write("a.npy", "", 0), CONVT_BAD_FORMAT, "ends after 0 of 10 bytes");
    check_refused(scratch_write("a.npy", "no numpy file", 13), CONVT_BAD_FORMAT,
                  "not in .npy format");
    check_refused(scratch_write("a.npy", "\x93NUMPY\x04\x00\x00\x00\x00\x00", 12), CONVT_BAD_FORMAT,
                  "format 4.0");
    check_refused(scratch_write("a.npy", "\x93NUMPY\x01\x01\x00\x00\x00\x00", 12), CONVT_BAD_FORMAT,
                  "format 1.1");
    check_refused(scratch_write("a.npy", "\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF", 12), CONVT_BAD_FORMAT,
                  "header of 4294967295");
    check_refused(scratch_write("a.npy", "\x93NUMPY\x02\x00\xFF\xFF\x00\x00", 12), CONVT_BAD_FORMAT,
                  "ends after 12 of");
    scratch_clear();
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    convt_error err;
    float data[6] = {1, 2, 3, 4, 5, 6};
    size_t size;
    convt_array array = {.element = CONVT_ELEMENT_F32, .rank = 2, .shape = {2, 3}, .data = data};
    assert_int_equal(convt_npy_write(scratch("a.npy"), &array, &err), CONVT_OK);
    char *bytes = scratch_read("a.npy", &size);
    for (size_t cut = 0; cut < size; cut++)
        check_refused(scratch_write("a.npy", bytes, cut), CONVT_BAD_FORMAT, "ends after");
    free(bytes);
    scratch_clear();
}

/* Any byte of the header may be anything: no crash, and an array that was read is whole. */
static void every_byte_of_a_header_may_change(void **state)
{
    (void)state;
    convt_error err;
    float data[6] = {1, 2, 3, 4, 5, 6};
    size_t size;
    convt_array array = {.element = CONVT_ELEMENT_F32, .rank = 2, .shape = {2, 3}, .data = data};
    assert_int_equal(convt_npy_write(scratch("a.npy"), &array, &err), CONVT_OK);
    char *bytes = scratch_read("a.npy", &size);
    for (size_t at = 0; at < 72; at++) {
        for (int change = 1; change < 256; change += 7) {
            bytes[at] = (char)(bytes[at] ^ change);
            convt_array back;
            if (convt_npy_read(scratch_write("a.npy", bytes, size), &back, &err) == CONVT_OK)
                assert_true(convt_array_count(&back) * (back.element == CONVT_ELEMENT_U8 ? 1 : 4) <=
                            48);
            convt_array_free(&back);
            bytes[at] = (char)(bytes[at] ^ change);
        }
    }
    free(bytes);
    scratch_clear();
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    check_refused(scratch("a.npy"), CONVT_FILE_FAILED, "No such file");
}

/* ---- views and conversion -------------------------------------------------------------------- */

static void views_fill_leading_sizes_with_one(void **state)
{
    (void)state;
    float data[24];
    convt_view view;
    convt_error err;
    convt_array array = {
        .name = "x", .element = CONVT_ELEMENT_F32, .rank = 2, .shape = {4, 6}, .data = data};
    assert_int_equal(convt_array_view(&array, &view, &err), CONVT_OK);
    assert_ptr_equal(view.data, data);
    assert_int_equal(view.dtype, CONVT_FLOAT32);
    assert_true(view.n == 1 && view.h == 1 && view.w == 4 && view.c == 6);
    array = (convt_array){
        .name = "x", .element = CONVT_ELEMENT_F64, .rank = 4, .shape = {1, 2, 3, 4}, .data = data};
    assert_int_equal(convt_array_view(&array, &view, &err), CONVT_OK);
    assert_int_equal(view.dtype, CONVT_FLOAT64);
    assert_true(view.n == 1 && view.h == 2 && view.w == 3 && view.c == 4);

    array.rank = 5;
    assert_refused(convt_array_view(&array, &view, &err), &err, CONVT_INVALID_SHAPE, "x", "rank 5");
    array.rank = 0;
    assert_refused(convt_array_view(&array, &view, &err), &err, CONVT_INVALID_SHAPE, "x", "rank 0");
    array.rank = 1;
    array.element = CONVT_ELEMENT_I64;
    assert_refused(convt_array_view(&array, &view, &err), &err, CONVT_INVALID_SHAPE, "x",
                   "integers");
    assert_null(view.data);
}

static void conversion_goes_both_ways(void **state)
{
    (void)state;
    convt_error err;
    convt_array array = {.element = CONVT_ELEMENT_U8, .rank = 1, .shape = {3}, .data = malloc(3)};
    assert_non_null(array.data);
    memcpy(array.data, (const uint8_t[]){0, 7, 255}, 3);
    assert_int_equal(convt_array_convert(&array, CONVT_FLOAT32, &err), CONVT_OK);
    assert_int_equal(array.element, CONVT_ELEMENT_F32);
    assert_close((double)((float *)array.data)[2], 255, 0, 0);
    void *same = array.data;
    assert_int_equal(convt_array_convert(&array, CONVT_FLOAT32, &err), CONVT_OK);
    assert_ptr_equal(array.data, same);
    assert_int_equal(convt_array_convert(&array, CONVT_FLOAT64, &err), CONVT_OK);
    assert_close(((double *)array.data)[1], 7, 0, 0);
    assert_int_equal(convt_array_convert(&array, CONVT_FLOAT32, &err), CONVT_OK);
    assert_close((double)((float *)array.data)[1], 7, 0, 0);
    convt_array_free(&array);
    convt_array_free(&array);
    convt_array_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_every_rank_and_type_come_back),
        cmocka_unit_test(the_header_is_numpys),
        cmocka_unit_test(an_impossible_rank_is_not_written),
        cmocka_unit_test(a_full_disk_leaves_the_old_array),
        cmocka_unit_test(every_version_is_read),
        cmocka_unit_test(headers_may_look_different),
        cmocka_unit_test(fortran_order_becomes_c_order),
        cmocka_unit_test(empty_and_scalar_arrays_are_read),
        cmocka_unit_test(every_integer_type_and_byte_order_is_read),
        cmocka_unit_test(truth_values_are_bytes_of_0_and_1),
        cmocka_unit_test(every_half_is_read_exactly),
        cmocka_unit_test(memory_holds_what_a_file_holds),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_byte_of_a_header_may_change),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(views_fill_leading_sizes_with_one),
        cmocka_unit_test(conversion_goes_both_ways),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
