/*
 * The Keras classes that a model may be made of. A class is a row: its names, the arguments of its
 * constructor with their checks, its variables, the shape of what it gives, and (lower.h) what it
 * comes to here.
 */
#ifndef CONVTI_CLASSES_H
#define CONVTI_CLASSES_H

#include "json.h"
#include "package.h"

/* The arguments of any of the classes. */
struct convti_arguments {
    convt_config cfg;           /* of every layer, and of convolutions; first, for offsets */
    convt_optional_sides sides; /* of ZeroPadding2D and Cropping2D */
    convti_tensor target;       /* of Reshape; -1: what is left over */
    int64_t groups, axis;
    bool no_center, no_scale, renorm, other_interpolation;
    convt_optional epsilon, rate;
    convt_initializer gamma, beta, mean, variance;
    const json_t *factor, *offset; /* of Rescaling */
};

/* What a class gives for its input, and what it refuses. Sizes may be unknown, and the rank, too. */
typedef convt_status convti_shape_rule(const convti_item *item, bool channels_first,
                                       convti_tensor *output, convt_error *err);

convti_shape_rule convti_shape_same, convti_shape_activation, convti_shape_transpose,
    convti_shape_conv, convti_shape_dense, convti_shape_reshape, convti_shape_flatten,
    convti_shape_padding, convti_shape_cropping, convti_shape_upsampling;

/* What a class comes to here: lower.h. */
struct convti_lowering;
typedef convt_status convti_lower_rule(struct convti_lowering *l, const convti_item *item);

typedef enum convti_variables {
    CONVTI_NO_VARIABLES,
    CONVTI_KERNEL_AND_BIAS,
    CONVTI_STATISTICS
} convti_variables;

struct convti_class {
    const char *names[2]; /* as it is called today, and an alias */
    const char *stem;
    const char *needed[2];         /* arguments without a default */
    struct convti_arguments start; /* defaults that are not zero */
    convti_json_keys keys;         /* none: those of convti_activation_layers */
    convt_status (*check)(const convti_place *place, const json_t *config,
                          const struct convti_arguments *arguments); /* over several; NULL: none */
    convti_variables variables;
    bool has_format; /* takes images alone, in the order of its data_format */
    convti_shape_rule *shape;
    convti_lower_rule *lower;
};

/* NULL for a class that is not known. */
const convti_class *convti_class_of(const char *name);

/* layer.get_config(); cfg.input stays zero. Strings are the JSON's own. */
convt_status convti_class_read(const convti_class *class, const convti_place *place,
                               const json_t *config, struct convti_arguments *arguments);

/* ---- tensors (shapes.c) ---------------------------------------------------------------------- */

convt_shape convti_shape_of(const convti_tensor *tensor, bool channels_first);
int convti_channel_axis(const convti_tensor *tensor, bool channels_first); /* into size[] */
int64_t convti_tensor_count(const convti_tensor *tensor); /* of elements; 0: not known */

/* "(None, 7, 7, 64)", as Keras shows shapes. */
convti_shown convti_tensor_text(const convti_tensor *tensor);

/* Where an error about a layer of a model stands: its name. */
convti_place convti_item_place(const convti_item *item, convt_error *err);

#endif
