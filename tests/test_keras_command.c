/*
 * The command `convt layer` against Keras: every refusal of tests/keras/refusals.json, and every
 * layer of tests/keras/cases, or of the folder that the first argument names, from file to file.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/command.h"
#include "support/keras_case.h"
#include "support/scratch.h"
#include "support/values.h"

static const char *folder = CONVT_SOURCE_DIR "/tests/keras/cases";
static bool stored = true;

static void write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

/* Runs `convt layer` on config.json and in.npz of the scratch folder. */
static int run_layer(bool sgd, const char *steps)
{
    const char *arguments[] = {"layer",
                               "--config",
                               scratch("config.json"),
                               "--in",
                               scratch("in.npz"),
                               "--out",
                               scratch("out.npz"),
                               sgd ? "--sgd" : NULL,
                               scratch("sgd.json"),
                               "--steps",
                               steps,
                               NULL};
    return command_run(arguments);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* An array of ones in the shape that a member of the entry gives; false: there is none. */
static bool ones(convt_array *a, const char *name, const json_t *shape)
{
    memset(a, 0, sizeof *a);
    if (!shape) return false;
    snprintf(a->name, sizeof a->name, "%s", name);
    a->element = CONVT_ELEMENT_F64;
    a->rank = (int)json_array_size(shape);
    for (int i = 0; i < a->rank; i++)
        a->shape[i] = json_integer_value(json_array_get(shape, (size_t)i));
    a->data = malloc((size_t)convt_array_count(a) * sizeof(double));
    assert_non_null(a->data);
    for (int64_t i = 0; i < convt_array_count(a); i++) ((double *)a->data)[i] = 1;
    return true;
}

static void write_entry(const json_t *entry)
{
    static const char *const names[] = {"x", "kernel", "bias"};
    convt_array arrays[4];
    convt_error err;
    const json_t *sgd = json_object_get(entry, "sgd");
    int count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ones(&arrays[count], names[i], json_object_get(entry, names[i]))) count++;
    if (sgd) { /* a step needs dy: 3 filters of 3x3 over 4x4 */
        json_t *shape = json_pack("[i,i,i,i]", 1, 6, 6, 3);
        if (ones(&arrays[count], "dy", shape)) count++;
        json_decref(shape);
    }
    assert_int_equal(convt_npz_write(scratch("in.npz"), arrays, count, NULL, NULL, &err), CONVT_OK);
    for (int i = 0; i < count; i++) convt_array_free(&arrays[i]);
    char *config = json_dumps(json_object_get(entry, "config"), 0);
    write_text("config.json", config);
    free(config);
    char *optimizer = sgd ? json_dumps(sgd, 0) : NULL;
    if (sgd) write_text("sgd.json", optimizer);
    free(optimizer);
}

/* What is wrong with how the command refused, or NULL. */
static const char *wrong_refusal(int code, const char *said, const char *argument)
{
    const char *end = strchr(said, '\n');
    if (code != 2) return code == 0 ? "is accepted" : "does not end with exit code 2";
    if (!end || end[1] || strncmp(said, "convt: ", 7) != 0)
        return "does not say one line that begins with \"convt: \"";
    if (!strstr(said, argument)) return "does not name the argument";
    if (scratch_exists("out.npz")) return "writes a file all the same";
    return NULL;
}

static void test_refusals(void **state)
{
    (void)state;
    json_error_t error;
    json_t *entries = json_load_file(CONVT_SOURCE_DIR "/tests/keras/refusals.json", 0, &error), *e;
    size_t i;
    int failed = 0;
    if (!entries) fail_msg("refusals.json: %s", error.text);
    assert_true(json_array_size(entries) > 0);
    json_array_foreach(entries, i, e)
    {
        const char *argument = json_string_value(json_object_get(e, "argument"));
        scratch_clear();
        write_entry(e);
        int code = run_layer(json_object_get(e, "sgd") != NULL, "1");
        size_t size;
        char *said = scratch_read("err", &size);
        const char *wrong = wrong_refusal(code, said, argument);
        if (wrong) {
            char *text = json_dumps(e, JSON_COMPACT);
            print_message("%s %s:\n    %s    %s\n", argument, wrong, code ? said : "\n", text);
            free(text);
            failed++;
        }
        free(said);
    }
    print_message("%zu refusals, %d wrong\n", json_array_size(entries), failed);
    json_decref(entries);
    if (failed) fail_msg("%d refusals are wrong", failed);
}

/* ---- from file to file ----------------------------------------------------------------------- */

static void write_case(const keras_case *c)
{
    static const char *const names[] = {"x", "kernel", "bias", "dy"};
    convt_array arrays[4];
    convt_error err;
    int count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const convt_array *a = convt_archive_find(&c->archive, names[i]);
        if (a) arrays[count++] = *a;
    }
    assert_int_equal(convt_npz_write(scratch("in.npz"), arrays, count, NULL, NULL, &err), CONVT_OK);
    char *config = keras_text(c, "config"), *sgd = keras_text(c, "sgd");
    write_text("config.json", config);
    if (sgd) write_text("sgd.json", sgd);
    free(config);
    free(sgd);
}

/* Every array that the case has beside x and dy, and no other. */
static void compare_output(const keras_place *place)
{
    convt_archive out;
    convt_error err;
    if (convt_npz_read(scratch("out.npz"), NULL, &out, &err)) {
        keras_wrong(place, "%s", err.message);
        return;
    }
    for (int i = 0; i < out.count; i++) {
        const convt_array *a = &out.arrays[i];
        if (a->element != CONVT_ELEMENT_F64) {
            keras_wrong(place, "%s is no float64", a->name);
            continue;
        }
        keras_compare(place, a->name,
                      (convt_const_view){a->data, CONVT_FLOAT64, 1, 1, 1, convt_array_count(a)},
                      1e-9 * keras_largest(place->c, a->name));
        const convt_array *expected = convt_archive_find(&place->c->archive, a->name);
        if (expected && (a->rank != expected->rank ||
                         memcmp(a->shape, expected->shape, (size_t)a->rank * sizeof *a->shape)))
            keras_wrong(place, "%s has another shape", a->name);
    }
    if (out.count != place->c->archive.count - 2)
        keras_wrong(place, "%d arrays, expected %d", out.count, place->c->archive.count - 2);
    convt_archive_free(&out);
}

static void run_case(const keras_case *c, void *context)
{
    const keras_place place = {c, "the command", CONVT_FLOAT64, context};
    const json_t *steps = json_object_get(c->description, "steps");
    char count[16];
    place.tally->cases++;
    snprintf(count, sizeof count, "%d", (int)json_integer_value(steps));
    scratch_clear();
    write_case(c);
    int code = run_layer(steps != NULL, count);
    size_t size;
    char *said = scratch_read("err", &size);
    if (code != 0)
        keras_wrong(&place, "exit code %d: %s", code, said);
    else if (said[0])
        keras_wrong(&place, "says: %s", said);
    else
        compare_output(&place);
    free(said);
}

static void test_cases(void **state)
{
    (void)state;
    keras_tally tally = {0};
    keras_each_case(folder, "layer", run_case, &tally);
    keras_each_case(folder, "torch", run_case, &tally);
    keras_tally_assert(&tally, "convt layer");
    if (stored) assert_true(tally.cases > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_refusals)};
    if (argc > 1) {
        folder = argv[1];
        stored = false;
    }
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
