/* Errors: a status for the program, a field and a sentence for the person. */
#ifndef CONVT_STATUS_H
#define CONVT_STATUS_H

#include "convt/convt.h"

/*
 * Fills *err (may be NULL) and returns status, so that a refusal is one line:
 *     return convti_fail(err, CONVT_INVALID_ARGUMENT, "filters", "filters is %lld", n);
 * field may be NULL. What does not fit is cut, never inside a UTF-8 character.
 */
convt_status convti_fail(convt_error *err, convt_status status, const char *field,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Back to CONVT_OK with empty texts. NULL is accepted. */
void convti_clear(convt_error *err);

#endif
