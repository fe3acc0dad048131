/* Activations by number: arguments, defaults, what backward needs. Formulas run in the kernels. */
#include <math.h>

#include "argument.h"
#include "names.h"
#include "status.h"
#include "tables.h"

static const struct row {
    int inputs; /* z for one y; 0: there is no such row */
    convti_activation_arguments arguments;
    bool axis;
} rows[] = {
#define NO_ARGUMENTS          \
    {                         \
        .alpha = { false, 0 } \
    }
#define ACTIVATION(enumerator, number, name, needs_z, value, slope, ...) \
    [number] = {1, __VA_ARGS__},
#define AXIS_ACTIVATION(enumerator, number, name, needs_z, inputs, ...) \
    [number] = {inputs, __VA_ARGS__, .axis = true},
#include "convt/activations.def"
#undef NO_ARGUMENTS
};

static const struct row *find_row(convt_activation_kind kind)
{
    return (size_t)kind < sizeof rows / sizeof *rows && rows[kind].inputs ? &rows[kind] : NULL;
}

const convti_activation_arguments *convti_activation_arguments_of(convt_activation_kind kind)
{
    const struct row *row = find_row(kind);
    return row ? &row->arguments : NULL;
}

bool convti_activation_on_axis(convt_activation_kind kind)
{
    const struct row *row = find_row(kind);
    return row && row->axis;
}

int convti_activation_inputs(convt_activation_kind kind)
{
    const struct row *row = find_row(kind);
    return row ? row->inputs : 1;
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
#define ACTIVATION_ARGUMENT(name, range) {#name, activation->name, row->name, CONVTI_##range},
#include "convt/activations.def"
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
#define ACTIVATION_ARGUMENT(name, range) \
    params->name = convti_argument_value(activation->name, row->name);
#include "convt/activations.def"
}

bool convti_activation_needs_z(const convt_activation *activation)
{
    struct convti_activation_params p;
    convti_activation_defaults(activation, &p);
    switch ((int)activation->kind) {
#define ACTIVATION(enumerator, number, name, needs_z, ...) \
    case number:                                           \
        return needs_z;
#define AXIS_ACTIVATION ACTIVATION
#include "convt/activations.def"
    default: return true;
    }
}
