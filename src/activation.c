/* Activations by number: arguments, defaults, what backward needs. Formulas run in the kernels. */
#include <math.h>

#include "argument.h"
#include "names.h"
#include "status.h"
#include "tables.h"

static const struct row {
    bool exists;
    convti_activation_arguments arguments;
} rows[] = {
#define NO_ARGUMENTS          \
    {                         \
        .alpha = { false, 0 } \
    }
#define ACTIVATION(enumerator, number, name, needs_z, value, slope, ...) \
    [number] = {true, __VA_ARGS__},
#include "convt/activations.def"
#undef ACTIVATION
#undef NO_ARGUMENTS
};

const convti_activation_arguments *convti_activation_arguments_of(convt_activation_kind kind)
{
    bool known = (size_t)kind < sizeof rows / sizeof *rows && rows[kind].exists;
    return known ? &rows[kind].arguments : NULL;
}

convt_status convti_activation_check(const convt_activation *activation, const char *field,
                                     convt_error *err)
{
    static const convti_activation_arguments none;
    const convti_activation_arguments *row = convti_activation_arguments_of(activation->kind);
    bool custom = activation->kind == CONVT_CUSTOM_ACTIVATION;
    if (!row && !custom)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s is no activation: number %d",
                           field, (int)activation->kind);
    if (custom && (!activation->custom.forward || !activation->custom.backward))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: custom needs both forward and backward, one is NULL", field);
    if (!row) row = &none;
    const convti_argument arguments[] = {
        {"negative_slope", activation->negative_slope, row->negative_slope, CONVTI_FINITE},
        {"max_value", activation->max_value, row->max_value, CONVTI_ANY},
        {"threshold", activation->threshold, row->threshold, CONVTI_FINITE},
        {"alpha", activation->alpha, row->alpha, CONVTI_FINITE},
    };
    const char *owner = custom ? "a custom activation"
                               : convti_snake_name(CONVTI_ACTIVATIONS, (int)activation->kind);
    return convti_arguments_check(arguments, (int)(sizeof arguments / sizeof *arguments), owner,
                                  field, err);
}

void convti_activation_defaults(const convt_activation *activation,
                                struct convti_activation_params *params)
{
    const convti_activation_arguments *row = convti_activation_arguments_of(activation->kind);
    *params = (struct convti_activation_params){0};
    if (!row) return;
    params->negative_slope = convti_argument_value(activation->negative_slope, row->negative_slope);
    params->max_value = convti_argument_value(activation->max_value, row->max_value);
    params->threshold = convti_argument_value(activation->threshold, row->threshold);
    params->alpha = convti_argument_value(activation->alpha, row->alpha);
}

bool convti_activation_needs_z(const convt_activation *activation)
{
    struct convti_activation_params p;
    convti_activation_defaults(activation, &p);
    switch ((int)activation->kind) {
#define ACTIVATION(enumerator, number, name, needs_z, ...) \
    case number:                                           \
        return needs_z;
#include "convt/activations.def"
#undef ACTIVATION
    default: return true;
    }
}
