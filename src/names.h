/*
 * The names of the families' members, both ways, generated from the .def files: the class name of
 * Keras' JSON ("GlorotUniform"), its snake_case name ("glorot_uniform"), and short names ("mse").
 */
#ifndef CONVT_NAMES_H
#define CONVT_NAMES_H

#include "convt/convt.h"
#include "convt/train.h"

typedef enum convti_family {
    CONVTI_ACTIVATIONS,
    CONVTI_INITIALIZERS,
    CONVTI_REGULARIZERS,
    CONVTI_CONSTRAINTS,
    CONVTI_LOSSES,
    CONVTI_SCHEDULES,
} convti_family;

/* Names of a kind; NULL where the kind is no row (0 of most families, custom, unknown). Where
 * Keras has no class (activations) or no snake_case name (schedules), both are the same. Static
 * storage. */
const char *convti_class_name(convti_family family, int kind);
const char *convti_snake_name(convti_family family, int kind);

/* The index-th name that is understood, for messages and documentation; NULL behind the last. *kind
 * may be NULL. */
const char *convti_name_at(convti_family family, int index, int *kind);

/* *kind from any of its names, which match exactly; false where there is none. */
bool convti_activation_from_name(const char *name, convt_activation_kind *kind);
bool convti_initializer_from_name(const char *name, convt_initializer_kind *kind);
bool convti_regularizer_from_name(const char *name, convt_regularizer_kind *kind);
bool convti_constraint_from_name(const char *name, convt_constraint_kind *kind);
bool convti_loss_from_name(const char *name, convt_loss_kind *kind);
bool convti_schedule_from_name(const char *name, convt_schedule_kind *kind);

#endif
