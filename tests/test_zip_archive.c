/* Zip archives: members in place, bombs, and directories that lie. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scratch.h"
#include "zip_archive.h"

/* An archive of libzip alone: "stored" and "deflated" of 100000 bytes, "empty". */
static char content[100000];

static void write_archive(void)
{
    static const struct {
        const char *name;
        size_t size;
        int32_t method;
    } members[] = {{"stored", sizeof content, ZIP_CM_STORE},
                   {"deflated", sizeof content, ZIP_CM_DEFLATE},
                   {"empty", 0, ZIP_CM_STORE}};
    int code;
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)(i * i % 251);
    zip_t *zip = zip_open(scratch("a.zip"), ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(zip);
    for (size_t i = 0; i < 3; i++) {
        zip_source_t *source = zip_source_buffer(zip, content, members[i].size, 0);
        const zip_int64_t index = zip_file_add(zip, members[i].name, source, 0);
        assert_true(index >= 0);
        assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)index, members[i].method, 0),
                         0);
    }
    assert_int_equal(zip_close(zip), 0);
}

static void put32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (char)(value >> (8 * i));
}

static void check_member(convti_zip *zip, const char *name, size_t size, bool in_place)
{
    convti_input member;
    convt_error err = {CONVT_OK, "", ""};
    const int64_t index = convti_zip_find(zip, name);
    assert_true(index >= 0);
    assert_string_equal(convti_zip_name(zip, index), name);
    if (convti_zip_member_input(zip, index, &member, &err)) fail_msg("%s", err.message);
    assert_int_equal(member.size, size);
    assert_true((member.own == NULL) == in_place);
    for (size_t at = 0; at < size; at += size / 7 + 1) {
        char piece[100];
        const size_t count = size - at < sizeof piece ? size - at : sizeof piece;
        assert_int_equal(convti_input_read(&member, at, piece, count, &err), CONVT_OK);
        assert_memory_equal(piece, content + at, count);
    }
    char byte;
    assert_refused(convti_input_read(&member, size, &byte, 1, &err), &err, CONVT_BAD_FORMAT,
                   member.name, "ends after");
    convti_input_close(&member);
}

static void check_archive(const convti_input *input)
{
    convti_zip zip;
    convt_error err = {CONVT_OK, "", ""};
    if (convti_zip_open(&zip, input, &err)) fail_msg("%s", err.message);
    assert_int_equal(convti_zip_count(&zip), 3);
    assert_int_equal(convti_zip_find(&zip, "other"), -1);
    check_member(&zip, "stored", sizeof content, true);
    check_member(&zip, "deflated", sizeof content, false);
    check_member(&zip, "empty", 0, true);
    convti_zip_close(&zip);
    convti_zip_close(&zip);
    assert_true(convti_zip_has_member(input, "empty"));
    assert_false(convti_zip_has_member(input, "other"));
}

static void members_are_read_where_they_lie(void **state)
{
    (void)state;
    convti_input file;
    convt_error err;
    size_t size;
    write_archive();
    assert_int_equal(convti_input_open(&file, scratch("a.zip"), &err), CONVT_OK);
    check_archive(&file);
    convti_input_close(&file);

    char *bytes = scratch_read("a.zip", &size);
    const convti_input memory = convti_input_of_memory("m", bytes, size);
    check_archive(&memory);
    /* An archive that is a part of something longer. */
    char *longer = calloc(1, size + 20);
    assert_non_null(longer);
    memcpy(longer + 10, bytes, size);
    const convti_input whole = convti_input_of_memory("w", longer, size + 20),
                       part = convti_input_part(&whole, 10, size);
    check_archive(&part);
    free(longer);
    free(bytes);
    scratch_clear();
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void check_refused(const char *bytes, size_t size, const char *member, const char *part)
{
    const convti_input input = convti_input_of_memory("m", bytes, size);
    convti_input view;
    convti_zip zip;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convti_zip_open(&zip, &input, &err);
    if (!status) status = convti_zip_member_input(&zip, convti_zip_find(&zip, member), &view, &err);
    assert_refused(status, &err, CONVT_BAD_FORMAT, "m", part);
    assert_null(strchr(err.message, '\n'));
    convti_zip_close(&zip);
}

/* The place of the n-th of a kind of header. */
static char *header(char *bytes, const char *magic, int n)
{
    while (memcmp(bytes, magic, 4) != 0 || n-- > 0) bytes++;
    return bytes;
}

static void wrong_bytes_are_refused(void **state)
{
    (void)state;
    size_t size;
    write_archive();
    char *bytes = scratch_read("a.zip", &size);
    char *local = header(bytes, "PK\x03\x04", 0), *central = header(bytes, "PK\x01\x02", 0);
    local[30 + 6 + 5000] ^= 1;
    check_refused(bytes, size, "stored", "stored cannot be read: CRC error");
    local[30 + 6 + 5000] ^= 1;

    put32(central + 20, 200000000); /* what there is and what it unpacks to */
    put32(central + 24, 200000000);
    check_refused(bytes, size, "stored", "");
    put32(central + 24, 4000000);
    put32(central + 20, 4000000);
    check_refused(bytes, size, "stored", "");
    put32(central + 20, sizeof content);
    put32(central + 24, sizeof content);

    put32(central + 24, (uint32_t)size); /* as long as the archive, in which it does not begin */
    check_refused(bytes, size, "stored", "stored ends after ");
    put32(central + 24, sizeof content);

    central[10] = 99; /* a method that nobody knows */
    check_refused(bytes, size, "stored", "cannot be read");
    central[10] = 0;
    put32(central + 42, 0x7FFFFFFF); /* where the member begins */
    check_refused(bytes, size, "stored", "");
    put32(central + 42, 0);
    check_refused(bytes, 10, "stored", "cannot be read: Not a zip archive");
    check_refused(bytes, size - 1, "stored", "");
    free(bytes);
    scratch_clear();
}

/* Each by itself is small, together they are a bomb. */
static void members_together_have_a_limit(void **state)
{
    (void)state;
    enum { COUNT = 200, SIZE = 1 << 20 };
    convti_zip_writer writer;
    convti_zip zip;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = CONVT_OK;
    size_t size;
    void *data;
    char *zeros = calloc(1, SIZE), name[16];
    int code;
    zip_t *archive = zip_open(scratch("b.zip"), ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(archive);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_true(zip_file_add(archive, name, zip_source_buffer(archive, zeros, SIZE, 0), 0) >=
                    0);
    }
    assert_int_equal(zip_close(archive), 0);
    char *bytes = scratch_read("b.zip", &size);
    const convti_input input = convti_input_of_memory("m", bytes, size);
    assert_int_equal(convti_zip_open(&zip, &input, &err), CONVT_OK);
    int read = 0;
    for (; read < COUNT && !status; read++) {
        convti_input member;
        status = convti_zip_member_input(&zip, read, &member, &err);
        convti_input_close(&member);
    }
    assert_refused(status, &err, CONVT_BAD_FORMAT, "m", "more than 256 times");
    assert_in_range(read, 20, COUNT - 20);
    convti_zip_close(&zip);
    free(bytes);

    /* Stored they are no bomb. */
    assert_int_equal(convti_zip_create(&writer, "w", &err), CONVT_OK);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_int_equal(convti_zip_add(&writer, name, zeros, SIZE, &err), CONVT_OK);
    }
    assert_int_equal(convti_zip_finish(&writer, CONVT_OK, &data, &size, &err), CONVT_OK);
    const convti_input stored = convti_input_of_memory("m", data, size);
    assert_int_equal(convti_zip_open(&zip, &stored, &err), CONVT_OK);
    for (int i = 0; i < 20; i++) {
        convti_input member;
        assert_int_equal(convti_zip_member_input(&zip, i, &member, &err), CONVT_OK);
        convti_input_close(&member);
    }
    convti_zip_close(&zip);
    free(data);
    free(zeros);
    scratch_clear();
}

/* ---- writing --------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    (void)state;
    convti_zip_writer writer;
    convti_zip zip;
    convt_error err = {CONVT_OK, "", ""};
    void *data;
    size_t size;
    char *text;
    assert_int_equal(convti_zip_create(&writer, "w", &err), CONVT_OK);
    assert_int_equal(convti_zip_add_two(&writer, "a/b", "one ", 4, "two", 3, &err), CONVT_OK);
    assert_int_equal(convti_zip_add(&writer, "big", content, sizeof content, &err), CONVT_OK);
    assert_int_equal(convti_zip_finish(&writer, CONVT_OK, &data, &size, &err), CONVT_OK);
    const convti_input input = convti_input_of_memory("m", data, size);
    assert_int_equal(convti_zip_open(&zip, &input, &err), CONVT_OK);
    assert_int_equal(convti_zip_take_text(&zip, 0, &text, &err), CONVT_OK);
    assert_string_equal(text, "one two");
    free(text);
    assert_refused(convti_zip_take_text(&zip, 1, &text, &err), &err, CONVT_BAD_FORMAT, "m",
                   "big is no text");
    convti_zip_close(&zip);
    free(data);

    assert_int_equal(convti_zip_create(&writer, "w", &err), CONVT_OK);
    assert_int_equal(convti_zip_add(&writer, "a", "x", 1, &err), CONVT_OK);
    assert_int_equal(convti_zip_add(&writer, "a", "x", 1, &err), CONVT_BAD_FORMAT);
    assert_int_equal(convti_zip_finish(&writer, CONVT_BAD_FORMAT, &data, &size, &err),
                     CONVT_BAD_FORMAT);
    assert_null(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_where_they_lie),
        cmocka_unit_test(wrong_bytes_are_refused),
        cmocka_unit_test(members_together_have_a_limit),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
