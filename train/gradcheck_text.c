/* The report of a gradient check in words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

const char *convt_gradcheck_verdict_text(convt_gradcheck_verdict verdict)
{
    static const struct {
        int number;
        const char *text;
    } verdicts[] = {
#define VERDICT(name, number, text) {number, text},
#include "convt/verdicts.def"
    };
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (verdicts[i].number == (int)verdict) return verdicts[i].text;
    return "unknown verdict";
}

/* Text that grows as snprintf's does: what does not fit is counted. */
struct writer {
    char *text;
    size_t size, length;
};

static void add(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct writer *w, const char *format, ...)
{
    const size_t room = w->length < w->size ? w->size - w->length : 0;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(room ? w->text + w->length : NULL, room, format, arguments);
    va_end(arguments);
    if (length > 0) w->length += (size_t)length;
}

static const char *unit(const convt_gradcheck_report *r)
{
    return r->options.mode == CONVT_GRADCHECK_DIRECTIONS ? "directions" : "elements";
}

static void add_verdict(struct writer *w, const convt_gradcheck_report *r)
{
    const char *text = convt_gradcheck_verdict_text(r->verdict);
    if (r->verdict == CONVT_GRADCHECK_PASSED)
        add(w, "gradient check passed, rtol %g\n", r->options.rtol.value);
    else
        add(w, "gradient check FAILED: %s%s%s\n", r->block, r->block[0] ? ": " : "", text);
}

static void add_table(struct writer *w, const convt_gradcheck_report *r)
{
    int width = 5;
    for (int i = 0; i < r->count; i++) {
        const int length = (int)strlen(r->rows[i].name);
        width = length > width ? length : width;
    }
    add(w, "  %-*s %12s %12s %9s %9s   %s\n", width, "block", "elements", "checked", "skipped",
        "wrong", "worst relative error");
    for (int i = 0; i < r->count; i++) {
        const convt_gradcheck_row *row = &r->rows[i];
        add(w, "  %-*s %12lld %12lld %9lld %9lld   %.2e%s\n", width, row->name,
            (long long)row->elements, (long long)row->checked, (long long)row->skipped,
            (long long)row->wrong, row->relative_error,
            r->options.mode != CONVT_GRADCHECK_DIRECTIONS ? ""
            : row->sampled                                ? " (elements)"
                                                          : " (directions)");
    }
}

static bool was_compared(const convt_gradcheck_report *r)
{
    int64_t compared = 0;
    for (int i = 0; i < r->count; i++) compared += r->rows[i].checked + r->rows[i].skipped;
    return compared > 0;
}

static void add_place(struct writer *w, const convt_gradcheck_row *row)
{
    add(w, "%s", row->name);
    if (row->direction >= 0) {
        add(w, " along random direction %lld", (long long)row->direction);
        return;
    }
    for (int i = 0; i < row->rank; i++) {
        const bool named = strncmp(row->axis[i], "axis ", 5) != 0; /* "axis 0" says nothing here */
        add(w, "%s%s%s%lld%s", i ? ", " : "[", named ? row->axis[i] : "", named ? " " : "",
            (long long)row->index[i], i == row->rank - 1 ? "]" : "");
    }
}

static void add_failure(struct writer *w, const convt_gradcheck_row *row, bool single)
{
    if (row->checked > 0) {
        add(w, "  worst: ");
        add_place(w, row);
        add(w, ": %s %.12g, %s %.12g (relative error %.2g)\n",
            single ? "in float32" : "backward gives", row->analytic,
            single ? "in float64" : "central differences give", row->numeric, row->relative_error);
    }
    if (row->pattern[0]) add(w, "  pattern in %s: %s\n", row->name, row->pattern);
}

size_t convt_gradcheck_text(const convt_gradcheck_report *r, char *text, size_t size)
{
    struct writer w = {text, size, 0};
    if (size > 0) text[0] = 0;
    add_verdict(&w, r);
    if (was_compared(r)) add_table(&w, r);
    for (int i = 0; i < r->count; i++)
        if (r->rows[i].wrong > 0) add_failure(&w, &r->rows[i], r->options.float32);
    if (r->verdict == CONVT_GRADCHECK_SKIPPED_TOO_MUCH)
        add(&w, "  at most %g of the %s of a block may be skipped: move the values off the kinks\n",
            r->options.max_skipped.value, unit(r));
    return w.length;
}
