#include "close.h"

#include <math.h>
#include <string.h>

#include "values.h"

bool close_enough(double actual, double expected, double relative, double absolute)
{
    if (isnan(actual) || isnan(expected)) return isnan(actual) && isnan(expected);
    if (isinf(actual) || isinf(expected)) return actual == expected;
    return fabs(actual - expected) <= absolute + relative * fabs(expected);
}

void close_check(double actual, double expected, double relative, double absolute, const char *what,
                 const char *file, int line)
{
    if (close_enough(actual, expected, relative, absolute)) return;
    print_error("%s is %.17g, expected %.17g: off by %g, allowed %g\n", what, actual, expected,
                fabs(actual - expected), absolute + relative * fabs(expected));
    _fail(file, line);
}

void close_check_all(convt_const_view actual, const double *expected, double relative,
                     double absolute, const char *what, const char *file, int line)
{
    int64_t count = values_count(actual), wrong = 0, first = -1, worst = -1;
    double worst_by = -1;
    for (int64_t i = 0; i < count; i++) {
        double a = values_get(actual, i), e = expected[i];
        if (close_enough(a, e, relative, absolute)) continue;
        wrong++;
        first = first < 0 ? i : first;
        double by = isnan(a - e) ? HUGE_VAL : fabs(a - e);
        if (by > worst_by) {
            worst_by = by;
            worst = i;
        }
    }
    if (wrong == 0) return;
    print_error("%s: %lld of %lld differ; [%lld] is %.17g, expected %.17g; worst [%lld] is %.17g, "
                "expected %.17g\n",
                what, (long long)wrong, (long long)count, (long long)first,
                values_get(actual, first), expected[first], (long long)worst,
                values_get(actual, worst), expected[worst]);
    _fail(file, line);
}

void close_check_bits(const void *a, const void *b, size_t bytes, const char *what,
                      const char *file, int line)
{
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != q[i]) {
            print_error("%s: byte %zu of %zu differs, %02x and %02x\n", what, i, bytes, p[i], q[i]);
            _fail(file, line);
        }
}

void close_check_refusal(convt_status status, const convt_error *err, convt_status expected_status,
                         const char *expected_field, const char *part, const char *file, int line)
{
    if (status == expected_status && err->status == status &&
        strcmp(err->field, expected_field) == 0 && strstr(err->message, part))
        return;
    print_error(
        "refusal is %d, field \"%s\", \"%s\"; expected %d, field \"%s\", a message with \"%s\"\n",
        (int)status, err->field, err->message, (int)expected_status, expected_field, part);
    _fail(file, line);
}
