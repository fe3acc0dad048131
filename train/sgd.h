/* The optimizer as checkpoint.c, fit.c, batch.c and the per-real code see it. */
#ifndef CONVT_SGD_H
#define CONVT_SGD_H

#include "alloc.h"
#include "convt/train.h"

/* Refuses what Keras refuses. Errors of the schedule's arguments name "<schedule>.argument".
 * sgd_config.c */
convt_status convti_sgd_check(const convt_sgd_config *cfg, const char *schedule, convt_error *err);

/* What the optimizer keeps beside a parameter: tensors of its shape, zero at first. */
enum { CONVTI_VELOCITY, CONVTI_AVERAGE, CONVTI_ACCUMULATOR, CONVTI_SLOTS };

/* "velocity", ... */
const char *convti_slot_name(int slot);

/* Clipping by a norm: g * times / over. */
typedef struct convti_clip {
    double times, over;
} convti_clip;

struct convt_sgd {
    convti_arena arena;
    convt_sgd_config cfg;
    int threads;
    int count; /* of the trainable rows; the others are not kept */
    convt_parameter *rows;
    void **slot[CONVTI_SLOTS]; /* one tensor a row; NULL where the config does without */
    int64_t pieces;
    /* sum g^2 of every piece, and what follows from them for every row; NULL where nothing is
     * clipped by a norm */
    double *squares;
    convti_clip *clips;
    double iterations; /* calls so far; a double because it is saved as one */
};

/* convt_sgd_step for gradients of loss_scale * loss. Not set: of the loss, where nobody scales. */
void convti_sgd_apply(convt_sgd *sgd, convt_optional loss_scale);

/* ---- for one real ---------------------------------------------------------------------------- */

/* The numbers of one call. */
typedef struct convti_sgd_rule {
    bool updates;    /* w moves; else g is only accumulated */
    bool overwrites; /* w becomes its average */
    convt_optional loss_scale, clipvalue, weight_decay;
    double steps; /* that the accumulator's mean is over */
    double rate, momentum, ema_momentum;
    bool nesterov;
} convti_sgd_rule;

/* A piece of a row; slots that there are not, and clip, may be NULL. */
typedef struct convti_sgd_piece {
    int64_t count;
    void *w;
    const void *g;
    void *slot[CONVTI_SLOTS];
    const convti_clip *clip;
} convti_sgd_piece;

/* sum g^2 of what is to be clipped. */
double convti_sgd_squares_f32(const convti_sgd_rule *rule, const convti_sgd_piece *piece);
double convti_sgd_squares_f64(const convti_sgd_rule *rule, const convti_sgd_piece *piece);

/* All of a step but the constraints. */
void convti_sgd_advance_f32(const convti_sgd_rule *rule, const convti_sgd_piece *piece);
void convti_sgd_advance_f64(const convti_sgd_rule *rule, const convti_sgd_piece *piece);

#endif
