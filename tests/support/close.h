/* Assertions on numbers; cmocka 1.1.5 has none that compare doubles. Include this instead of
 * cmocka.h. */
#ifndef CLOSE_H
#define CLOSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "convt/convt.h"

/* |actual - expected| <= absolute + relative * |expected|. Equal infinities are close, and NaN is
 * close to NaN alone. */
#define assert_close(actual, expected, relative, absolute) \
    close_check((actual), (expected), (relative), (absolute), #actual, __FILE__, __LINE__)

/* Every element of a view against doubles; says how many differ, and where and what the first and
 * the worst are. */
#define assert_all_close(view, expected, relative, absolute) \
    close_check_all((view), (expected), (relative), (absolute), #view, __FILE__, __LINE__)

/* Bit for bit: -0 is not 0. Says which byte differs first. */
#define assert_same_bits(a, b, bytes) close_check_bits((a), (b), (bytes), #a, __FILE__, __LINE__)

/* A refusal: status, field, and a message that contains `part`. */
#define assert_refused(status, err, expected_status, expected_field, part)                      \
    close_check_refusal((status), (err), (expected_status), (expected_field), (part), __FILE__, \
                        __LINE__)

bool close_enough(double actual, double expected, double relative, double absolute);

void close_check(double actual, double expected, double relative, double absolute, const char *what,
                 const char *file, int line);
void close_check_all(convt_const_view actual, const double *expected, double relative,
                     double absolute, const char *what, const char *file, int line);
void close_check_bits(const void *a, const void *b, size_t bytes, const char *what,
                      const char *file, int line);
void close_check_refusal(convt_status status, const convt_error *err, convt_status expected_status,
                         const char *expected_field, const char *part, const char *file, int line);

#endif
