/*
 * A layer or a model of this library as the problem of a gradient check: its blocks, its passes,
 * and random values for x, the parameters and the targets of the loss.
 *
 *     a layer       outputs y and, element by element, the penalties of kernel, bias and y; sparse
 *     else          a chain, a loss, a custom regularizer: outputs y, or none where there is a
 *                   loss, and "loss", one number; dense
 */
#ifndef CONVT_SUBJECT_H
#define CONVT_SUBJECT_H

#include "alloc.h"
#include "check.h"
#include "geometry.h"

/* The inputs of a layer, in their order; those of a chain go on with kernels and biases. */
enum { CONVTI_X, CONVTI_KERNEL, CONVTI_BIAS };

/* What an output of a subject is. */
typedef enum convti_role {
    CONVTI_Y,
    CONVTI_LOSS,           /* loss and regularization, one number */
    CONVTI_KERNEL_PENALTY, /* l1 |w| + l2 w^2 for every w */
    CONVTI_BIAS_PENALTY,
    CONVTI_ACTIVITY_PENALTY /* the same for every y, over the samples */
} convti_role;

enum { CONVTI_MOST_OUTPUTS = 4 };

typedef struct convti_subject {
    convt_gradcheck_problem problem;
    convt_gradcheck_block inputs[CONVT_GRADCHECK_MOST_BLOCKS], outputs[CONVTI_MOST_OUTPUTS];
    convti_role role[CONVTI_MOST_OUTPUTS];
    double l1[CONVTI_MOST_OUTPUTS], l2[CONVTI_MOST_OUTPUTS]; /* of a penalty */
    char names[CONVT_GRADCHECK_MOST_BLOCKS][48];
    convt_model *model;
    convt_layer *layer; /* NULL: the whole model is called */
    const convt_loss_config *loss;
    convt_loss_config loss_config;
    convt_data_format format;
    struct geometry geometry; /* of the layer */
    bool mixes;               /* its activation mixes the last axis of memory */
    convt_parameter rows[CONVT_GRADCHECK_MOST_BLOCKS];
    int row_count;
    convt_view x, target, dy, y; /* y: where the layer's output is wanted between checks */
    convt_allocator allocator;   /* of everything */
    convti_arena arena;
} convti_subject;

/* Makes it in `dtype`; values follow from the seed alone, and are the same in both types. */
convt_status convti_subject_create(convti_subject *s, const convt_config layers[], int count,
                                   const convt_loss_config *loss, convt_dtype dtype, uint64_t seed,
                                   convt_error *err);
void convti_subject_destroy(convti_subject *s);

/* The layer's own loss is the sum of the penalties that a check differentiates: else that is the
 * verdict. */
convt_status convti_check_loss(convti_subject *s, convt_gradcheck_report *report);

/* The sparsity of a layer; context is the subject. */
extern const convt_gradcheck_sparsity convti_layer_sparsity;

/* The gradients of a subject in float32 against those of one in float64. */
convt_status convti_compare_precisions(const convt_config layers[], int count,
                                       const convt_loss_config *loss,
                                       const convt_gradcheck_options *options,
                                       convt_gradcheck_report *report, convt_error *err);

static inline int64_t convti_view_count(convt_const_view v)
{
    return v.n * v.h * v.w * v.c;
}

#endif
