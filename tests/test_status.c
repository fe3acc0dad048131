/* Status numbers and texts are ABI; errors name a field and never overrun. */
#include <string.h>

#include "status.h"
#include "support/close.h"

static void test_numbers_are_pinned(void **state)
{
    (void)state;
    static const struct {
        convt_status status;
        int number;
    } pinned[] = {{CONVT_OK, 0},         {CONVT_INVALID_ARGUMENT, 1}, {CONVT_INVALID_SHAPE, 2},
                  {CONVT_TOO_LARGE, 3},  {CONVT_NO_MEMORY, 4},        {CONVT_NO_ISA, 5},
                  {CONVT_NOT_FINITE, 6}, {CONVT_STOPPED, 7},          {CONVT_FILE_FAILED, 8},
                  {CONVT_BAD_FORMAT, 9}, {CONVT_EXCHANGE_FAILED, 10}};
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
        assert_int_equal(pinned[i].status, pinned[i].number);
}

static void test_every_status_has_its_own_text(void **state)
{
    (void)state;
    static const convt_status all[] = {
#define STATUS(name, number, text) CONVT_##name,
#include "convt/status.def"
#undef STATUS
    };
    const int count = (int)(sizeof all / sizeof *all);
    for (int i = 0; i < count; i++) {
        assert_string_not_equal(convt_status_text(all[i]), "unknown status");
        for (int k = 0; k < i; k++)
            assert_string_not_equal(convt_status_text(all[i]), convt_status_text(all[k]));
    }
    assert_string_equal(convt_status_text(CONVT_OK), "success");
    assert_string_equal(convt_status_text((convt_status)12345), "unknown status");
    assert_string_equal(convt_status_text((convt_status)-1), "unknown status");
}

static void test_version(void **state)
{
    (void)state;
    assert_string_equal(convt_version(), CONVT_VERSION);
}

static void test_fail_fills_all_three(void **state)
{
    (void)state;
    convt_error err;
    memset(&err, 0x7F, sizeof err);
    convt_status status =
        convti_fail(&err, CONVT_INVALID_ARGUMENT, "filters", "filters must be %d, got %g", 3, 0.5);
    assert_int_equal(status, CONVT_INVALID_ARGUMENT);
    assert_int_equal(err.status, CONVT_INVALID_ARGUMENT);
    assert_string_equal(err.field, "filters");
    assert_string_equal(err.message, "filters must be 3, got 0.5");
    convti_clear(&err);
    assert_int_equal(err.status, CONVT_OK);
    assert_string_equal(err.field, "");
    assert_string_equal(err.message, "");
}

static void test_fail_accepts_null(void **state)
{
    (void)state;
    convt_error err;
    assert_int_equal(convti_fail(NULL, CONVT_NO_MEMORY, "x", "%d", 1), CONVT_NO_MEMORY);
    assert_int_equal(convti_fail(&err, CONVT_NO_MEMORY, NULL, "y"), CONVT_NO_MEMORY);
    assert_string_equal(err.field, "");
    convti_clear(NULL);
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char longer[1000];
    convt_error err;
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    convti_fail(&err, CONVT_NO_ISA, longer, "%s", longer);
    assert_int_equal(strlen(err.field), sizeof err.field - 1);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

/* Characters of 2, 3 and 4 bytes at every offset from the end: never a part of one. */
static void test_cut_keeps_utf8_whole(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8E\xA8"};
    for (int k = 0; k < 3; k++)
        for (int before = 0; before < 4; before++) {
            char text[400] = "";
            convt_error err;
            size_t size = strlen(characters[k]);
            memset(text, 'a', (size_t)before);
            for (size_t at = (size_t)before; at + size < sizeof text; at += size)
                memcpy(text + at, characters[k], size + 1);
            convti_fail(&err, CONVT_FILE_FAILED, text, "%s", text);
            assert_int_equal((strlen(err.message) - (size_t)before) % size, 0);
            assert_int_equal((strlen(err.field) - (size_t)before) % size, 0);
            assert_true(strlen(err.message) + size >= sizeof err.message);
            assert_memory_equal(err.message, text, strlen(err.message));
        }
}

static void test_message_may_quote_itself(void **state)
{
    (void)state;
    convt_error err;
    convti_fail(&err, CONVT_INVALID_ARGUMENT, "alpha", "got %d", 7);
    convti_fail(&err, CONVT_INVALID_ARGUMENT, err.field, "layers[0]: %s", err.message);
    assert_string_equal(err.message, "layers[0]: got 7");
    assert_string_equal(err.field, "alpha");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_pinned),
        cmocka_unit_test(test_every_status_has_its_own_text),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_fail_fills_all_three),
        cmocka_unit_test(test_fail_accepts_null),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_cut_keeps_utf8_whole),
        cmocka_unit_test(test_message_may_quote_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
