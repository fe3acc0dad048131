/* Constraints by number: arguments, axes, and the choice of precision. */
#include <math.h>

#include "argument.h"
#include "names.h"
#include "projection.h"
#include "status.h"
#include "tables.h"

static const struct row {
    bool exists;
    convti_constraint_arguments arguments;
} rows[] = {
#define CONSTRAINT(enumerator, number, class_name, name, value, ...) [number] = {true, __VA_ARGS__},
#include "convt/constraints.def"
#undef CONSTRAINT
};

const convti_constraint_arguments *convti_constraint_arguments_of(convt_constraint_kind kind)
{
    return (size_t)kind < sizeof rows / sizeof *rows && rows[kind].exists ? &rows[kind].arguments
                                                                          : NULL;
}

static convt_status check_axes(const convt_axes *axes, int rank, const char *field,
                               convt_error *err)
{
    bool seen[4] = {false};
    if (axes->count < CONVT_ALL_AXES || axes->count > 4)
        return convti_argument_fail(err, field, "axis", "must be at most 4 axes, got %d",
                                    axes->count);
    for (int i = 0; i < axes->count; i++) {
        int axis = axes->axis[i];
        if (axis < -rank || axis >= rank)
            return convti_argument_fail(err, field, "axis",
                                        "must be within %d .. %d for rank %d, got %d", -rank,
                                        rank - 1, rank, axis);
        axis += axis < 0 ? rank : 0;
        if (seen[axis])
            return convti_argument_fail(err, field, "axis", "must name an axis once, got %d twice",
                                        axis);
        seen[axis] = true;
    }
    return CONVT_OK;
}

/* An infinite bound is Keras' None on its side; on the other side it would make every weight
 * infinite. */
static convt_status check_bound(convt_optional bound, double side, const char *name,
                                const char *field, convt_error *err)
{
    if (bound.set && isinf(bound.value) && bound.value != side)
        return convti_argument_fail(err, field, name, "must be a number or %g, got %g", side,
                                    bound.value);
    return CONVT_OK;
}

convt_status convti_constraint_check(const convt_constraint *constraint, int rank,
                                     const char *field, convt_error *err)
{
    static const convti_constraint_arguments none;
    const convti_constraint_arguments *row = convti_constraint_arguments_of(constraint->kind);
    bool custom = constraint->kind == CONVT_CUSTOM_CONSTRAINT,
         absent = constraint->kind == CONVT_NO_CONSTRAINT;
    if (!row && !custom && !absent)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s is no constraint: number %d",
                           field, (int)constraint->kind);
    if (custom && !constraint->apply)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: custom needs apply, which is NULL", field);
    const char *owner = row      ? convti_snake_name(CONVTI_CONSTRAINTS, (int)constraint->kind)
                        : custom ? "a custom constraint"
                                 : "no constraint (kind is 0)";
    if (!row) row = &none;
    if (constraint->axis.count != 0 && !row->axis)
        return convti_argument_fail(err, field, "axis", "is not an argument of %s, got %d axes",
                                    owner, constraint->axis.count);
    const convti_argument arguments[] = {
        {"max_value", constraint->max_value, row->max_value, CONVTI_ANY},
        {"min_value", constraint->min_value, row->min_value, CONVTI_ANY},
        {"rate", constraint->rate, row->rate, CONVTI_FINITE},
    };
    convt_status status = convti_arguments_check(arguments, 3, owner, field, err);
    if (!status) status = check_bound(constraint->max_value, HUGE_VAL, "max_value", field, err);
    if (!status) status = check_bound(constraint->min_value, -HUGE_VAL, "min_value", field, err);
    return status ? status : check_axes(&constraint->axis, rank, field, err);
}

static convti_projection projection_of(const convt_constraint *constraint, int rank)
{
    const convti_constraint_arguments *row = convti_constraint_arguments_of(constraint->kind);
    convti_projection projection = {.kind = constraint->kind, .needs_norm = row->axis};
    projection.max_value = convti_argument_value(constraint->max_value, row->max_value);
    projection.min_value = convti_argument_value(constraint->min_value, row->min_value);
    projection.rate = convti_argument_value(constraint->rate, row->rate);
    for (int i = 0; i < constraint->axis.count; i++) {
        int axis = constraint->axis.axis[i];
        projection.reduced[4 - rank + (axis < 0 ? axis + rank : axis)] = true;
    }
    if (constraint->axis.count == 0) projection.reduced[4 - rank] = true; /* axis 0 */
    for (int axis = 0; axis < 4 && constraint->axis.count == CONVT_ALL_AXES; axis++)
        projection.reduced[axis] = true;
    return projection;
}

void convt_constraint_apply(const convt_parameter *parameter)
{
    const convt_constraint *constraint = parameter->constraint;
    if (!constraint || constraint->kind == CONVT_NO_CONSTRAINT) return;
    if (constraint->kind == CONVT_CUSTOM_CONSTRAINT) {
        constraint->apply(constraint->context, parameter->value);
    } else {
        const convti_projection projection = projection_of(constraint, parameter->rank);
        if (parameter->value.dtype == CONVT_FLOAT64)
            convti_project_f64(&projection, parameter->value);
        else
            convti_project_f32(&projection, parameter->value);
    }
    if (parameter->version) ++*parameter->version;
}
