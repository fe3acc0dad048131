/* Files that are complete or were not touched. */
#define _XOPEN_SOURCE 700
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <convt/io.h>

#include "file.h"
#include "support/scratch.h"

static void check_content(const char *name, const char *expected)
{
    size_t size;
    char *data = scratch_read(name, &size);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

static void a_file_reads_back_as_written(void **state)
{
    (void)state;
    convt_error err;
    char *data;
    size_t size;
    const char bytes[] = "zero \0 inside";
    assert_int_equal(convt_file_write(scratch("a"), bytes, sizeof bytes, &err), CONVT_OK);
    assert_int_equal(convt_file_read(scratch("a"), &data, &size, &err), CONVT_OK);
    assert_int_equal(size, sizeof bytes);
    assert_memory_equal(data, bytes, sizeof bytes);
    free(data);
    assert_int_equal(convt_file_write(scratch("a"), NULL, 0, &err), CONVT_OK);
    assert_int_equal(convt_file_read(scratch("a"), &data, NULL, &err), CONVT_OK);
    assert_string_equal(data, "");
    free(data);
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

/* Longer than the first piece that a reader takes. */
static void a_long_file_reads_back(void **state)
{
    (void)state;
    convt_error err;
    size_t size = 5000001, got;
    char *data, *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * 7 % 251);
    assert_int_equal(convt_file_write(scratch("long"), bytes, size, &err), CONVT_OK);
    assert_int_equal(convt_file_read(scratch("long"), &data, &got, &err), CONVT_OK);
    assert_int_equal(got, size);
    assert_memory_equal(data, bytes, size);
    free(data);
    free(bytes);
    scratch_clear();
}

static void what_cannot_be_opened_is_named(void **state)
{
    (void)state;
    convt_error err;
    char *data;
    convt_status status = convt_file_read(scratch("none"), &data, NULL, &err);
    assert_refused(status, &err, CONVT_FILE_FAILED, "none", "No such file or directory");
    assert_null(data);
    status = convt_file_read(scratch(""), &data, NULL, &err);
    assert_int_equal(status, CONVT_FILE_FAILED);
    assert_non_null(strstr(err.message, "Is a directory"));
    status = convt_file_write(scratch("none/a"), "x", 1, &err);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a", "No such file or directory");
    assert_int_equal(convt_file_write(scratch("none/a"), "x", 1, NULL), CONVT_FILE_FAILED);
}

static void a_long_name_is_cut_in_the_error(void **state)
{
    (void)state;
    convt_error err;
    char name[300], *data;
    memset(name, 'n', sizeof name);
    name[200] = '\0';
    assert_int_equal(convt_file_read(scratch(name), &data, NULL, &err), CONVT_FILE_FAILED);
    assert_int_equal(strlen(err.field), sizeof err.field - 1);
    assert_int_equal(err.field[0], 'n');
}

/* A device renamed over would be gone. */
static void only_regular_files_are_replaced(void **state)
{
    (void)state;
    convt_error err;
    struct stat info;
    convt_status status = convt_file_write("/dev/null", "x", 1, &err);
    assert_refused(status, &err, CONVT_FILE_FAILED, "null", "not a regular file");
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    status = convt_file_write(scratch(""), "x", 1, &err);
    assert_int_equal(status, CONVT_FILE_FAILED);
    assert_int_equal(scratch_count(), 0);
}

/* Where the place has been taken by what cannot be replaced while the file was written. */
static void a_place_that_was_taken_is_named(void **state)
{
    (void)state;
    convt_error err;
    convti_output out;
    assert_int_equal(convti_output_open(&out, scratch("a"), &err), CONVT_OK);
    assert_int_equal(mkdir(scratch("a"), 0777), 0);
    scratch_write("a/b", "", 0);
    assert_refused(convti_output_close(&out, CONVT_OK, &err), &err, CONVT_FILE_FAILED, "a", "");
    assert_string_equal(err.message, "cannot be written: Is a directory");
    unlink(scratch("a/b"));
    assert_int_equal(scratch_count(), 1);
    rmdir(scratch("a"));
}

/* Names of temporary files that others left behind are passed over, up to a thousand. */
static void a_thousand_temporaries_are_too_many(void **state)
{
    (void)state;
    convt_error err;
    char name[64];
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(convt_file_write(scratch("a"), "", 0, &err), CONVT_OK);
        snprintf(name, sizeof name, "a.%ld-%d.tmp", (long)getpid(), i);
        assert_int_equal(rename(scratch("a"), scratch(name)), 0);
    }
    assert_refused(convt_file_write(scratch("a"), "", 0, &err), &err, CONVT_FILE_FAILED, "a", "");
    assert_string_equal(err.message, "cannot be written: File exists");
    assert_int_equal(scratch_count(), 1000);
    scratch_clear();
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    convt_error err;
    static const char large[100000];
    scratch_write("old", "old", 3);
    scratch_limit(50000);
    convt_status status = convt_file_write(scratch("old"), large, sizeof large, &err);
    convt_status fresh = convt_file_write(scratch("new"), large, sizeof large, NULL);
    scratch_limit((size_t)-1);
    assert_refused(status, &err, CONVT_FILE_FAILED, "old", "File too large");
    assert_int_equal(fresh, CONVT_FILE_FAILED);
    check_content("old", "old");
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

static void a_link_stays_and_its_target_is_replaced(void **state)
{
    (void)state;
    convt_error err;
    struct stat info;
    scratch_write("target", "old", 3);
    assert_int_equal(symlink("target", scratch("link")), 0);
    assert_int_equal(convt_file_write(scratch("link"), "fresh", 5, &err), CONVT_OK);
    assert_int_equal(lstat(scratch("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    check_content("target", "fresh");
    scratch_clear();
}

static void the_umask_decides_the_mode(void **state)
{
    (void)state;
    convt_error err;
    struct stat info;
    mode_t old = umask(027);
    assert_int_equal(convt_file_write(scratch("a"), "x", 1, &err), CONVT_OK);
    umask(old);
    assert_int_equal(stat(scratch("a"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    scratch_clear();
}

/* Root may write everywhere, so it becomes nobody for a moment. */
static void a_read_only_folder_is_an_error(void **state)
{
    (void)state;
    convt_error err;
    uid_t user = geteuid();
    assert_int_equal(chmod(scratch(""), 0555), 0);
    assert_int_equal(seteuid(user == 0 ? 65534 : user), 0);
    convt_status status = convt_file_write(scratch("a"), "x", 1, &err);
    assert_int_equal(seteuid(user), 0);
    assert_int_equal(chmod(scratch(""), 0700), 0);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a", "Permission denied");
    assert_int_equal(scratch_count(), 0);
}

/* A temporary of a run that was killed must not stand in the way. */
static void a_leftover_temporary_is_no_hindrance(void **state)
{
    (void)state;
    convt_error err;
    char name[64];
    snprintf(name, sizeof name, "a.%ld-0.tmp", (long)getpid());
    scratch_write(name, "dead", 4);
    assert_int_equal(convt_file_write(scratch("a"), "x", 1, &err), CONVT_OK);
    check_content("a", "x");
    check_content(name, "dead");
    scratch_clear();
}

static void relative_names_work(void **state)
{
    (void)state;
    convt_error err;
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(scratch("")), 0);
    convt_status status = convt_file_write("plain", "x", 1, &err);
    assert_int_equal(chdir(before), 0);
    free(before);
    assert_int_equal(status, CONVT_OK);
    check_content("plain", "x");
    scratch_clear();
}

static void base_names_are_what_follows_the_last_slash(void **state)
{
    (void)state;
    assert_string_equal(convti_base_name("a/b/c.npy"), "c.npy");
    assert_string_equal(convti_base_name("c.npy"), "c.npy");
    assert_string_equal(convti_base_name("folder/"), "folder/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_reads_back_as_written),
        cmocka_unit_test(a_long_file_reads_back),
        cmocka_unit_test(what_cannot_be_opened_is_named),
        cmocka_unit_test(a_long_name_is_cut_in_the_error),
        cmocka_unit_test(only_regular_files_are_replaced),
        cmocka_unit_test(a_place_that_was_taken_is_named),
        cmocka_unit_test(a_thousand_temporaries_are_too_many),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(a_link_stays_and_its_target_is_replaced),
        cmocka_unit_test(the_umask_decides_the_mode),
        cmocka_unit_test(a_read_only_folder_is_an_error),
        cmocka_unit_test(a_leftover_temporary_is_no_hindrance),
        cmocka_unit_test(relative_names_work),
        cmocka_unit_test(base_names_are_what_follows_the_last_slash),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
