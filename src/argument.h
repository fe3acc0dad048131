/* Arguments of table rows: does the row take it, is the value allowed, what is the default. */
#ifndef CONVT_ARGUMENT_H
#define CONVT_ARGUMENT_H

#include "convt/convt.h"

typedef enum convti_range {
    CONVTI_ANY,
    CONVTI_FINITE,
    CONVTI_NOT_NEGATIVE,
    CONVTI_POSITIVE,
    CONVTI_FRACTION, /* 0 .. 1 */
    CONVTI_SWITCH,   /* 0 or 1 */
    CONVTI_LAST_AXIS /* of a tensor of rank 4 */
} convti_range;

typedef struct convti_argument {
    const char *name;
    convt_optional given;
    convt_optional row; /* .set: the row takes it; value NaN: it has no default */
    convti_range range; /* all but ANY are finite; NaN is never allowed */
} convti_argument;

/* owner is the row's name, for messages; the error's field is "field.name". */
convt_status convti_arguments_check(const convti_argument arguments[], int count, const char *owner,
                                    const char *field, convt_error *err);

/* "field.name" is refused; the message is the path and what format gives: "must be 1, got
 * 2". */
convt_status convti_argument_fail(convt_error *err, const char *field, const char *name,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What was given, else the row's default, 0 where the row does not take it. */
double convti_argument_value(convt_optional given, convt_optional row);

#endif
