/* Checks of table arguments. */
#include "argument.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "status.h"

convt_status convti_argument_fail(convt_error *err, const char *field, const char *name,
                                  const char *format, ...)
{
    char path[128], message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(path, sizeof path, "%s.%s", field, name);
    return convti_fail(err, CONVT_INVALID_ARGUMENT, path, "%s %s", path, message);
}

static const char *violated(convti_range range, double value)
{
    if (isnan(value)) return "a number";
    if (range != CONVTI_ANY && isinf(value)) return "finite";
    if (range == CONVTI_NOT_NEGATIVE && value < 0) return "0 or more";
    if (range == CONVTI_POSITIVE && value <= 0) return "greater than 0";
    if (range == CONVTI_FRACTION && (value < 0 || value > 1)) return "between 0 and 1";
    if (range == CONVTI_LAST_AXIS && value != -1 && value != 3)
        return "-1 or 3, the last axis (others are not supported)";
    if (range == CONVTI_SWITCH && value != 0 && value != 1) return "0 or 1";
    return NULL;
}

convt_status convti_arguments_check(const convti_argument arguments[], int count, const char *owner,
                                    const char *field, convt_error *err)
{
    for (int i = 0; i < count; i++) {
        const convti_argument *a = &arguments[i];
        if (!a->given.set && a->row.set && isnan(a->row.value))
            return convti_argument_fail(err, field, a->name, "is missing, %s needs it", owner);
        if (!a->given.set) continue;
        if (!a->row.set)
            return convti_argument_fail(err, field, a->name, "is not an argument of %s, got %g",
                                        owner, a->given.value);
        const char *demand = violated(a->range, a->given.value);
        if (demand)
            return convti_argument_fail(err, field, a->name, "must be %s, got %g", demand,
                                        a->given.value);
    }
    return CONVT_OK;
}

double convti_argument_value(convt_optional given, convt_optional row)
{
    return given.set ? given.value : row.value;
}
