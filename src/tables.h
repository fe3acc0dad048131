/*
 * The families of include/convt/: activations, initializers, regularizers, constraints. A row of a
 * .def is all it takes to add a member; these are the functions that read the rows. Every check
 * names `field`, or "field.argument", and the value.
 */
#ifndef CONVT_TABLES_H
#define CONVT_TABLES_H

#include "convt/convt.h"

/* ---- which arguments a row takes, and their defaults: .set says that it takes one ------------ */

typedef struct convti_activation_arguments {
#define ACTIVATION_ARGUMENT(name, range) convt_optional name;
#include "convt/activations.def"
} convti_activation_arguments;

typedef struct convti_initializer_arguments {
    convt_optional value, mean, stddev, minval, maxval, scale, gain;
    bool seed, mode, distribution, axes; /* axes: input_axes and output_axes */
} convti_initializer_arguments;

typedef struct convti_regularizer_arguments {
    convt_optional l1, l2;
} convti_regularizer_arguments;

typedef struct convti_constraint_arguments {
    bool axis;
    convt_optional max_value, min_value, rate;
} convti_constraint_arguments;

/* NULL for a kind that is no row (0, custom, unknown); LINEAR has a row. */
const convti_activation_arguments *convti_activation_arguments_of(convt_activation_kind kind);
const convti_initializer_arguments *convti_initializer_arguments_of(convt_initializer_kind kind);
const convti_regularizer_arguments *convti_regularizer_arguments_of(convt_regularizer_kind kind);
const convti_constraint_arguments *convti_constraint_arguments_of(convt_constraint_kind kind);

/* ---- activations ----------------------------------------------------------------------------- */

struct convti_activation_params {
#define ACTIVATION_ARGUMENT(name, range) double name;
#include "convt/activations.def"
};

convt_status convti_activation_check(const convt_activation *activation, const char *field,
                                     convt_error *err);

/* What is set, or the row's default; 0 for what the row does not take. */
void convti_activation_defaults(const convt_activation *activation,
                                struct convti_activation_params *params);

/* A row that works along the last axis of memory, and how many z one y takes. */
bool convti_activation_on_axis(convt_activation_kind kind);
int convti_activation_inputs(convt_activation_kind kind);

/* y alone cannot give the derivative. True for a custom activation. */
bool convti_activation_needs_z(const convt_activation *activation);

/* ---- initializers ---------------------------------------------------------------------------- */

/* Kind 0 passes: it stands for the default of the field. rank is 4 or 2 for a kernel, 1 for a bias, 0
 * for a bias that the layer does without: what depends on the shape is then not asked. */
convt_status convti_initializer_check(const convt_initializer *init, int rank, const char *field,
                                      convt_error *err);

/* Fills parameter; rank is that of the kernel, 4 or 2, or 1. The kind is not 0; init->seed, where set,
 * wins over seed. */
void convti_initialize(const convt_initializer *init, uint64_t seed, int rank,
                       convt_view parameter);

/* ---- regularizers: l1 * sum |w| + l2 * sum w^2 ----------------------------------------------- */

convt_status convti_regularizer_check(const convt_regularizer *regularizer, const char *field,
                                      convt_error *err);

/* 0 and 0 for none and for a custom one. */
void convti_regularizer_coefficients(const convt_regularizer *regularizer, double *l1, double *l2);

/* Summed in double, in an order that depends on the size alone. 0 for none. */
double convti_regularizer_loss(const convt_regularizer *regularizer, convt_const_view w);

/* dw += scale * d loss / d w. */
void convti_regularizer_gradient(const convt_regularizer *regularizer, convt_const_view w,
                                 double scale, convt_view dw);

/* ---- constraints (convt_constraint_apply is public) ------------------------------------------ */

/* rank is 4 or 2 for a kernel, 1 for a bias. */
convt_status convti_constraint_check(const convt_constraint *constraint, int rank,
                                     const char *field, convt_error *err);

#endif
