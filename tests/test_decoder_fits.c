/*
 * Whole decoders from .keras files: `convt train --model` repeats what Keras' model.fit made of them,
 * tests/data/fits, or of the folder that the first argument names. tests/keras/decoder_fits.py made
 * those.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "convt/io.h"
#include "progress.h"
#include "support/close.h"
#include "support/command.h"
#include "support/scratch.h"

static const char *folder = CONVT_SOURCE_DIR "/tests/data/fits";

/* What a test asks of a fit: the tolerances are those of float32 over a few dozen steps. */
static const double LOSS = 2e-4, WEIGHTS = 5e-3;

typedef struct fit {
    const char *name;
    json_t *description;
    char paths[4][256]; /* of model.keras, x.npy, y.npy, after.npz */
} fit;

static const char *path_of(fit *f, int i, const char *file)
{
    snprintf(f->paths[i], sizeof f->paths[i], "%s/%s/%s", folder, f->name, file);
    return f->paths[i];
}

static void fit_open(fit *f, const char *name)
{
    json_error_t error;
    *f = (fit){.name = name};
    f->description = json_load_file(path_of(f, 0, "fit.json"), 0, &error);
    if (!f->description) fail_msg("%s/fit.json: %s", name, error.text);
    char *sgd = json_dumps(json_object_get(f->description, "optimizer"), 0);
    assert_non_null(sgd);
    scratch_clear();
    scratch_write("sgd.json", sgd, strlen(sgd));
    free(sgd);
}

static void assert_ran(const char *const arguments[])
{
    const int code = command_run(arguments);
    size_t size;
    char *said = scratch_read("err", &size);
    if (code != 0 || said[0]) fail_msg("convt %s: exit code %d: %s", arguments[0], code, said);
    free(said);
}

static void train(fit *f)
{
    char epochs[16], batch[16];
    const json_t *d = f->description;
    snprintf(epochs, sizeof epochs, "%d", (int)json_integer_value(json_object_get(d, "epochs")));
    snprintf(batch, sizeof batch, "%d", (int)json_integer_value(json_object_get(d, "batch_size")));
    const char *const arguments[] = {"train",
                                     "--model",
                                     path_of(f, 0, "model.keras"),
                                     "--x",
                                     path_of(f, 1, "x.npy"),
                                     "--y",
                                     path_of(f, 2, "y.npy"),
                                     "--out",
                                     scratch("run"),
                                     "--optimizer",
                                     scratch("sgd.json"),
                                     "--loss",
                                     json_string_value(json_object_get(d, "loss")),
                                     "--epochs",
                                     epochs,
                                     "--batch-size",
                                     batch,
                                     "--no-shuffle",
                                     "--quiet",
                                     NULL};
    assert_ran(arguments);
}

/* The loss of every epoch, the second column. */
static void compare_history(const fit *f)
{
    const json_t *expected = json_object_get(f->description, "history");
    size_t size, epochs = 0;
    char *text = scratch_read("run/history.csv", &size), *line = strchr(text, '\n');
    for (; line && line[1]; line = strchr(line + 1, '\n'), epochs++) {
        const double loss = strtod(strchr(line + 1, ',') + 1, NULL),
                     keras = json_real_value(json_array_get(expected, epochs));
        assert_close(loss, keras, LOSS, 0);
    }
    assert_int_equal(epochs, json_array_size(expected));
    free(text);
}

static double largest(const convt_array *a)
{
    double most = 0;
    for (int64_t i = 0; i < convt_array_count(a); i++)
        most = fmax(most, fabs((double)((const float *)a->data)[i]));
    return most;
}

static void compare_array(const convt_array *actual, const convt_array *expected)
{
    assert_non_null(actual);
    assert_int_equal(actual->element, CONVT_ELEMENT_F32);
    assert_int_equal(actual->rank, expected->rank);
    assert_memory_equal(actual->shape, expected->shape,
                        (size_t)expected->rank * sizeof *expected->shape);
    const double scale = largest(expected);
    for (int64_t i = 0; i < convt_array_count(expected); i++)
        assert_close((double)((const float *)actual->data)[i],
                     (double)((const float *)expected->data)[i], 0, WEIGHTS * scale);
}

/* Every parameter in Keras' name and shape, in model.npz and in what comes of model.keras. */
static void compare_weights(fit *f, const char *path)
{
    convt_archive actual, expected;
    convt_error err;
    if (convt_npz_read(path, NULL, &actual, &err)) fail_msg("%s: %s", path, err.message);
    if (convt_npz_read(path_of(f, 3, "after.npz"), NULL, &expected, &err))
        fail_msg("after.npz: %s", err.message);
    assert_true(expected.count > 0);
    assert_int_equal(actual.count, expected.count);
    for (int i = 0; i < expected.count; i++)
        compare_array(convt_archive_find(&actual, expected.arrays[i].name), &expected.arrays[i]);
    convt_archive_free(&actual);
    convt_archive_free(&expected);
}

/* The report counts Keras' parameters: none of a layer that only enlarges or pads. */
static void check_report(fit *f)
{
    convt_archive after;
    convt_error err;
    char number[32], cell[96];
    size_t size;
    int64_t total = 0;
    assert_int_equal(convt_npz_read(path_of(f, 3, "after.npz"), NULL, &after, &err), CONVT_OK);
    for (int i = 0; i < after.count; i++) total += convt_array_count(&after.arrays[i]);
    convt_archive_free(&after);
    snprintf(cell, sizeof cell, "<td class=\"n\">%s</tr></tfoot>", count_text(number, total));
    char *report = scratch_read("run/report.html", &size);
    if (!strstr(report, cell)) fail_msg("the report of %s has no total of %s", f->name, number);
    free(report);
}

static void run_fit(const char *name)
{
    fit f;
    fit_open(&f, name);
    train(&f);
    compare_history(&f);
    check_report(&f);
    compare_weights(&f, scratch("run/model.npz"));
    const char *const convert[] = {"convert", scratch("run/model.keras"), scratch("back.npz"),
                                   NULL};
    assert_ran(convert);
    compare_weights(&f, scratch("back.npz"));
    json_decref(f.description);
}

static void test_fits(void **state)
{
    static const char *const names[] = {"vae", "dcgan", "functional"};
    (void)state;
    if (!convt_format_is_built(CONVT_FORMAT_KERAS)) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) run_fit(names[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fits)};
    if (argc > 1) folder = argv[1];
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
