/* Name tables, one row per spelling; the spelling that stands first in a kind's rows is its class
 * name. */
#include "names.h"

#include <string.h>

struct spelling {
    int kind;
    const char *class_name, *snake_name; /* both NULL in an alias row */
    const char *alias;
};

static const struct spelling activations[] = {
#define ACTIVATION(enumerator, number, name, ...) {number, #name, #name, NULL},
#define AXIS_ACTIVATION(enumerator, number, name, ...) {number, #name, #name, NULL},
#define ACTIVATION_ALIAS(enumerator, alias) {CONVT_##enumerator, NULL, NULL, #alias},
#include "convt/activations.def"
};

static const struct spelling initializers[] = {
#define INITIALIZER(enumerator, number, class_name, name, ...) {number, #class_name, #name, NULL},
#define INITIALIZER_ALIAS(enumerator, alias) {CONVT_##enumerator, NULL, NULL, #alias},
#include "convt/initializers.def"
#undef INITIALIZER
};

static const struct spelling regularizers[] = {
#define REGULARIZER(enumerator, number, class_name, name, ...) {number, #class_name, #name, NULL},
#include "convt/regularizers.def"
#undef REGULARIZER
};

static const struct spelling constraints[] = {
#define CONSTRAINT(enumerator, number, class_name, name, ...) {number, #class_name, #name, NULL},
#include "convt/constraints.def"
#undef CONSTRAINT
};

static const struct spelling losses[] = {
#define LOSS(enumerator, number, class_name, name, ...) {number, #class_name, #name, NULL},
#define SUM_LOSS LOSS
#define AXIS_LOSS LOSS
#define BATCH_LOSS LOSS
#define LOSS_ALIAS(enumerator, alias) {CONVT_##enumerator, NULL, NULL, #alias},
#include "convt/losses.def"
};

static const struct spelling schedules[] = {
#define SCHEDULE(enumerator, number, class_name, ...) {number, #class_name, #class_name, NULL},
#include "convt/schedules.def"
};

struct family {
    const struct spelling *rows;
    int count;
};

#define ROWS(table)                                \
    {                                              \
        table, (int)(sizeof table / sizeof *table) \
    }
static const struct family families[] = {
    [CONVTI_ACTIVATIONS] = ROWS(activations),
    [CONVTI_INITIALIZERS] = ROWS(initializers),
    [CONVTI_REGULARIZERS] = ROWS(regularizers),
    [CONVTI_CONSTRAINTS] = ROWS(constraints),
    [CONVTI_LOSSES] = ROWS(losses),
    [CONVTI_SCHEDULES] = ROWS(schedules),
};
#undef ROWS

static const struct spelling *find_kind(convti_family family, int kind)
{
    for (int i = 0; i < families[family].count; i++)
        if (families[family].rows[i].kind == kind) return &families[family].rows[i];
    return NULL;
}

const char *convti_class_name(convti_family family, int kind)
{
    const struct spelling *row = find_kind(family, kind);
    return row ? row->class_name : NULL;
}

const char *convti_snake_name(convti_family family, int kind)
{
    const struct spelling *row = find_kind(family, kind);
    return row ? row->snake_name : NULL;
}

const char *convti_name_at(convti_family family, int index, int *kind)
{
    for (int i = 0; i < families[family].count; i++) {
        const struct spelling *row = &families[family].rows[i];
        const char *names[] = {row->snake_name, row->class_name, row->alias};
        for (int k = 0; k < 3; k++) {
            bool repeated = k == 1 && names[0] && strcmp(names[0], names[1]) == 0;
            if (!names[k] || repeated || index-- > 0) continue;
            if (kind) *kind = row->kind;
            return names[k];
        }
    }
    return NULL;
}

static int kind_of(convti_family family, const char *name)
{
    int kind = -1;
    const char *candidate;
    for (int i = 0; name && (candidate = convti_name_at(family, i, &kind)) != NULL; i++)
        if (strcmp(candidate, name) == 0) return kind;
    return -1;
}

bool convti_activation_from_name(const char *name, convt_activation_kind *kind)
{
    int found = kind_of(CONVTI_ACTIVATIONS, name);
    if (found >= 0) *kind = (convt_activation_kind)found;
    return found >= 0;
}

bool convti_initializer_from_name(const char *name, convt_initializer_kind *kind)
{
    int found = kind_of(CONVTI_INITIALIZERS, name);
    if (found >= 0) *kind = (convt_initializer_kind)found;
    return found >= 0;
}

bool convti_regularizer_from_name(const char *name, convt_regularizer_kind *kind)
{
    int found = kind_of(CONVTI_REGULARIZERS, name);
    if (found >= 0) *kind = (convt_regularizer_kind)found;
    return found >= 0;
}

bool convti_constraint_from_name(const char *name, convt_constraint_kind *kind)
{
    int found = kind_of(CONVTI_CONSTRAINTS, name);
    if (found >= 0) *kind = (convt_constraint_kind)found;
    return found >= 0;
}

bool convti_loss_from_name(const char *name, convt_loss_kind *kind)
{
    int found = kind_of(CONVTI_LOSSES, name);
    if (found >= 0) *kind = (convt_loss_kind)found;
    return found >= 0;
}

bool convti_schedule_from_name(const char *name, convt_schedule_kind *kind)
{
    int found = kind_of(CONVTI_SCHEDULES, name);
    if (found >= 0) *kind = (convt_schedule_kind)found;
    return found >= 0;
}
