/* Regularizers by number: arguments, coefficients, and the choice of precision. */
#include "argument.h"
#include "names.h"
#include "penalty.h"
#include "status.h"
#include "tables.h"

static const struct row {
    bool exists;
    convti_regularizer_arguments arguments;
} rows[] = {
#define REGULARIZER(enumerator, number, class_name, name, ...) [number] = {true, __VA_ARGS__},
#include "convt/regularizers.def"
#undef REGULARIZER
};

const convti_regularizer_arguments *convti_regularizer_arguments_of(convt_regularizer_kind kind)
{
    return (size_t)kind < sizeof rows / sizeof *rows && rows[kind].exists ? &rows[kind].arguments
                                                                          : NULL;
}

convt_status convti_regularizer_check(const convt_regularizer *regularizer, const char *field,
                                      convt_error *err)
{
    static const convti_regularizer_arguments none;
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(regularizer->kind);
    bool custom = regularizer->kind == CONVT_CUSTOM_REGULARIZER,
         absent = regularizer->kind == CONVT_NO_REGULARIZER;
    if (!row && !custom && !absent)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s is no regularizer: number %d",
                           field, (int)regularizer->kind);
    if (custom && (!regularizer->loss || !regularizer->gradient))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: custom needs both loss and gradient, one is NULL", field);
    const char *owner = row      ? convti_snake_name(CONVTI_REGULARIZERS, (int)regularizer->kind)
                        : custom ? "a custom regularizer"
                                 : "no regularizer (kind is 0)";
    if (!row) row = &none;
    const convti_argument arguments[] = {
        {"l1", regularizer->l1, row->l1, CONVTI_NOT_NEGATIVE},
        {"l2", regularizer->l2, row->l2, CONVTI_NOT_NEGATIVE},
    };
    return convti_arguments_check(arguments, 2, owner, field, err);
}

void convti_regularizer_coefficients(const convt_regularizer *regularizer, double *l1, double *l2)
{
    const convti_regularizer_arguments *row = convti_regularizer_arguments_of(regularizer->kind);
    *l1 = row ? convti_argument_value(regularizer->l1, row->l1) : 0;
    *l2 = row ? convti_argument_value(regularizer->l2, row->l2) : 0;
}

double convti_regularizer_loss(const convt_regularizer *regularizer, convt_const_view w)
{
    if (regularizer->kind == CONVT_CUSTOM_REGULARIZER)
        return regularizer->loss(regularizer->context, w);
    double l1, l2;
    convti_regularizer_coefficients(regularizer, &l1, &l2);
    const int64_t count = w.n * w.h * w.w * w.c;
    return w.dtype == CONVT_FLOAT64 ? convti_penalty_f64(l1, l2, count, w.data)
                                    : convti_penalty_f32(l1, l2, count, w.data);
}

void convti_regularizer_gradient(const convt_regularizer *regularizer, convt_const_view w,
                                 double scale, convt_view dw)
{
    if (regularizer->kind == CONVT_CUSTOM_REGULARIZER) {
        regularizer->gradient(regularizer->context, w, scale, dw);
        return;
    }
    double l1, l2;
    convti_regularizer_coefficients(regularizer, &l1, &l2);
    const int64_t count = w.n * w.h * w.w * w.c;
    if (w.dtype == CONVT_FLOAT64)
        convti_penalty_gradient_f64(scale * l1, scale * l2, count, w.data, dw.data);
    else
        convti_penalty_gradient_f32(scale * l1, scale * l2, count, w.data, dw.data);
}
