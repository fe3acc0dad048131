/* What loss.c asks of the per-real code. */
#ifndef CONVT_LOSS_H
#define CONVT_LOSS_H

#include "convt/train.h"

/* How predictions are read: as outputs, as logits of the loss, or as logits of an output that is
 * their sigmoid. */
typedef enum convti_reading { CONVTI_OUTPUTS, CONVTI_LOGITS, CONVTI_SIGMOID_LOGITS } convti_reading;

typedef struct convti_loss_task {
    const convt_loss_config *loss;
    convt_loss_kind kind;
    convti_reading reading;
    const void *target, *prediction;
    void *dy;     /* NULL: no gradient wanted */
    double scale; /* of dy */
} convti_loss_task;

/* Sums over elements first .. first + count, and their dy. */
convt_loss_value convti_loss_block_f32(const convti_loss_task *task, int64_t first, int64_t count);
convt_loss_value convti_loss_block_f64(const convti_loss_task *task, int64_t first, int64_t count);

convt_status convti_loss_check(const convt_loss_config *loss, convt_error *err);

#endif
