/* See keras_case.h. */
#define _XOPEN_SOURCE 700
#include "keras_case.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "close.h"
#include "values.h"

/* ---- cases ----------------------------------------------------------------------------------- */

static void read_case(keras_case *c, const char *folder, const char *file)
{
    convt_error err;
    memset(c, 0, sizeof *c);
    snprintf(c->path, sizeof c->path, "%s/%s", folder, file);
    snprintf(c->name, sizeof c->name, "%.*s", (int)(strlen(file) - strlen(".npz")), file);
    if (convt_npz_read(c->path, "case.json", &c->archive, &err))
        fail_msg("%s: %s", c->path, err.message);
    if (c->archive.text) c->description = json_loads(c->archive.text, 0, NULL);
    const char *kind = json_string_value(json_object_get(c->description, "kind"));
    if (!kind) fail_msg("%s: no case.json with a kind", c->path);
    snprintf(c->kind, sizeof c->kind, "%s", kind);
}

static void free_case(keras_case *c)
{
    json_decref(c->description);
    convt_archive_free(&c->archive);
}

static int is_case(const struct dirent *entry)
{
    const char *suffix = strrchr(entry->d_name, '.');
    return suffix && strcmp(suffix, ".npz") == 0;
}

int keras_each_case(const char *folder, const char *kind, keras_case_body *body, void *context)
{
    struct dirent **entries;
    int found = 0, count = scandir(folder, &entries, is_case, alphasort);
    if (count < 0) fail_msg("%s: no such folder", folder);
    for (int i = 0; i < count; i++) {
        keras_case c;
        read_case(&c, folder, entries[i]->d_name);
        if (strcmp(c.kind, kind) == 0) {
            body(&c, context);
            found++;
        }
        free_case(&c);
        free(entries[i]);
    }
    free(entries);
    return found;
}

char *keras_text(const keras_case *c, const char *key)
{
    const json_t *member = json_object_get(c->description, key);
    return member ? json_dumps(member, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
}

static double element(const convt_array *a, int64_t i)
{
    return a->element == CONVT_ELEMENT_I64 ? (double)((const int64_t *)a->data)[i]
                                           : ((const double *)a->data)[i];
}

convt_view keras_view(const keras_case *c, const char *array, convt_data_format format,
                      convt_dtype dtype)
{
    const convt_array *a = convt_archive_find(&c->archive, array);
    if (!a) return CONVT_NONE;
    int64_t size[4] = {1, 1, 1, 1};
    assert_true(a->rank <= 4);
    for (int i = 0; i < a->rank; i++) size[4 - a->rank + i] = a->shape[i];
    convt_view view = format == CONVT_CHANNELS_LAST
                          ? values_new(dtype, size[0], size[1], size[2], size[3])
                          : values_new(dtype, size[0], size[2], size[3], size[1]);
    for (int64_t i = 0; i < convt_array_count(a); i++) values_set(view, i, element(a, i));
    return view;
}

double keras_largest(const keras_case *c, const char *array)
{
    const convt_array *a = convt_archive_find(&c->archive, array);
    double largest = 0;
    for (int64_t i = 0; a && i < convt_array_count(a); i++)
        largest = fmax(largest, fabs(element(a, i)));
    return largest;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static void describe(const keras_place *place, char *text, size_t size)
{
    snprintf(text, size, "%s (%s, %s)", place->c->name, place->isa,
             place->dtype == CONVT_FLOAT64 ? "float64" : "float32");
}

void keras_wrong(const keras_place *place, const char *format, ...)
{
    char where[128], what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    describe(place, where, sizeof where);
    print_message("DIFFERS %s: %s\n", where, what);
    place->tally->differences++;
}

/* The worst of all comparisons of a precision is the one that uses most of its tolerance. */
static void remember(const keras_place *place, const char *array, double error, double largest,
                     double tolerance)
{
    keras_tally *tally = place->tally;
    double share = tolerance > 0 ? error / tolerance : 0;
    if (!(share > tally->worst_share[place->dtype])) return;
    char where[96];
    describe(place, where, sizeof where);
    snprintf(tally->worst_name[place->dtype], sizeof tally->worst_name[0], "%s of %s", array,
             where);
    tally->worst_share[place->dtype] = share;
    tally->worst_error[place->dtype] = error / largest;
}

void keras_compare(const keras_place *place, const char *array, convt_const_view actual,
                   double tolerance)
{
    const convt_array *expected = convt_archive_find(&place->c->archive, array);
    const double largest = keras_largest(place->c, array);
    double worst = 0;
    int64_t at = -1;
    place->tally->comparisons++;
    if (!expected || convt_array_count(expected) != values_count(actual)) {
        keras_wrong(place, "%s has %lld elements, expected %lld", array,
                    (long long)values_count(actual),
                    expected ? (long long)convt_array_count(expected) : -1LL);
        return;
    }
    for (int64_t i = 0; i < values_count(actual); i++) {
        double error = fabs(values_get(actual, i) - element(expected, i));
        if (error <= worst) continue;
        worst = error; /* NaN stays */
        at = i;
        if (isnan(error)) break;
    }
    remember(place, array, worst, largest, tolerance);
    if (!(worst <= tolerance))
        keras_wrong(place,
                    "%s[%lld] is %.17g, expected %.17g: off by %.3g of the largest value, "
                    "allowed are %.3g",
                    array, (long long)at, values_get(actual, at), element(expected, at),
                    worst / largest, tolerance / largest);
}

void keras_compare_scalar(const keras_place *place, const char *array, double actual,
                          double tolerance)
{
    keras_compare(place, array, convt_read(convt_f64(&actual, 1, 1, 1, 1)), tolerance);
}

void keras_tally_assert(const keras_tally *tally, const char *kind)
{
    static const char *const reals[] = {"float32", "float64"};
    print_message("%s: %d cases, %d comparisons, %d differences\n", kind, tally->cases,
                  tally->comparisons, tally->differences);
    for (int i = 0; i < 2; i++)
        if (tally->worst_share[i] > 0)
            print_message("  nearest to its tolerance in %s: %s, off by %.3g of the largest value, "
                          "%.2g %% of what is allowed\n",
                          reals[i], tally->worst_name[i], tally->worst_error[i],
                          100 * tally->worst_share[i]);
    if (tally->differences > 0) fail_msg("%s: %d differences", kind, tally->differences);
}
