/* The table of schedules: which arguments a row of schedules.def takes, and their defaults. */
#ifndef CONVT_SCHEDULE_H
#define CONVT_SCHEDULE_H

#include "convt/train.h"

typedef struct convti_schedule_arguments {
    const char *name; /* what Keras calls it where nobody gave it a name */
#define SCHEDULE_ARGUMENT(name, range) convt_optional name;
#include "convt/schedules.def"
    bool boundaries; /* takes boundaries and values, and no initial learning rate */
} convti_schedule_arguments;

/* NULL for a constant rate and for a kind that is no row. */
const convti_schedule_arguments *convti_schedule_arguments_of(convt_schedule_kind kind);

/* Refuses what Keras refuses; errors name "field.argument" and the value. */
convt_status convti_schedule_check(const convt_schedule *schedule, const char *field,
                                   convt_error *err);

#endif
