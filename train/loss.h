/* What loss.c asks of the per-real code, and the trainer of loss.c. */
#ifndef CONVT_LOSS_H
#define CONVT_LOSS_H

#include "convt/train.h"

/* How predictions are read: as outputs, as logits of the loss, or as logits of an output that is
 * their sigmoid. */
typedef enum convti_reading { CONVTI_OUTPUTS, CONVTI_LOGITS, CONVTI_SIGMOID_LOGITS } convti_reading;

/* Over what a row of losses.def has a value of its own. */
typedef enum convti_loss_form {
    CONVTI_ELEMENT_LOSS,
    CONVTI_AXIS_LOSS,
    CONVTI_BATCH_LOSS
} convti_loss_form;

typedef struct convti_loss_params {
#define LOSS_ARGUMENT(name, range) double name;
#include "convt/losses.def"
} convti_loss_params;

/* What a row reads of its target: t * keep + share, after Keras' label smoothing. */
typedef struct convti_smoothing {
    double keep, share;
} convti_smoothing;

/* Over a range of elements: loss and squared error; of a BATCH_LOSS, instead of the loss, the sums
 * of its formula. */
typedef struct convti_loss_sums {
    double loss, error;
    double tp, t, p;
} convti_loss_sums;

typedef struct convti_loss_task {
    const convt_loss_config *loss;
    convt_loss_kind kind;
    convti_reading reading;
    convti_loss_params params;
    convti_smoothing smoothing;
    int64_t axis;       /* elements of a position */
    bool class_numbers; /* a target a position */
    const void *target, *prediction;
    const void *weight;  /* NULL: all 1 */
    int64_t weight_span; /* elements that share a weight */
    void *dy;            /* NULL: no gradient wanted */
    double scale;        /* of dy */
    double by_tp, by_p;  /* derivatives of a BATCH_LOSS */
} convti_loss_task;

/* Works on elements first .. first + count, whole positions of an AXIS_LOSS. */
typedef convti_loss_sums convti_loss_block(const convti_loss_task *task, int64_t first,
                                           int64_t count);

/* Loss, error and dy. */
convti_loss_block convti_element_loss_f32, convti_element_loss_f64;
convti_loss_block convti_axis_loss_f32, convti_axis_loss_f64;

/* A BATCH_LOSS takes two calls: its sums; then, with its derivatives, dy (returns zeros). */
convti_loss_block convti_batch_loss_f32, convti_batch_loss_f64;
convti_loss_block convti_batch_slope_f32, convti_batch_slope_f64;

convt_status convti_loss_check(const convt_loss_config *loss, convt_error *err);

/* BATCH_LOSS rows, which need whole batches. */
bool convti_loss_of_batch(convt_loss_kind kind);

/* Of the target, where the prediction has this shape. */
convt_shape convti_target_shape(const convt_loss_config *loss, convt_shape prediction);

#endif
