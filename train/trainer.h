/* The trainer: what fit.c, batch.c and checkpoint.c share. */
#ifndef CONVT_TRAINER_H
#define CONVT_TRAINER_H

#include "alloc.h"
#include "convt/train.h"
#include "cut.h"
#include "reduce.h"
#include "tree.h"

struct convt_trainer {
    convti_arena arena;
    convt_error error;
    convt_trainer_config cfg; /* with defaults filled in */
    convt_dtype dtype;
    convt_shape input, output, label; /* label: of a target, see convti_target_shape */
    convti_cut cut;
    int64_t batches;
    bool dx_alone; /* codes can descend without gradients of the weights */

    int64_t *order;   /* of the training samples in this epoch, where they are own */
    int64_t *index;   /* of a leaf that follows no order */
    void *x, *target; /* of one leaf */
    void *weight;     /* of the samples of a leaf; NULL: all 1 */
    void *dy;
    void *code_slopes;     /* dx of a whole batch; NULL without codes */
    unsigned char *parcel; /* of codes on their way to rank 0; NULL in one process */
    convti_tree tree;
    convti_reduction reduction;
    unsigned wishes; /* of this rank, for the next batch: convti_wish */

    /* What a run continues from, beside parameters, velocities and codes. Doubles, because they are
     * saved as such. */
    double epochs_done, batches_done; /* the latter in the present epoch */
    double loss_sum, mse_sum;         /* over the samples of the present epoch */
};

/* Samples first .. first + count of order, or of the data where order is NULL. */
typedef struct convti_samples {
    const int64_t *order;
    int64_t first, count;
} convti_samples;

/* LEARN_CODES: weights stay, codes descend. */
typedef enum convti_purpose { CONVTI_EVALUATE, CONVTI_LEARN_CODES, CONVTI_TRAIN } convti_purpose;

/* Several processes? */
static inline bool convti_shared(const convt_trainer *trainer)
{
    return trainer->cut.size > 1;
}

/* What a rank wishes is known to all behind the next batch that is trained on. */
typedef enum convti_wish { CONVTI_STOP = 1, CONVTI_COLLECT = 2 } convti_wish;

/* One batch; its loss is that before the step. NaN or infinite losses are refused where weights
 * would be trained on them. *wishes: of all ranks together. */
convt_status convti_batch(convt_trainer *trainer, convti_samples samples, convti_purpose purpose,
                          convt_loss_value *value, unsigned *wishes);

/* The first error of all ranks that own samples, as that of each; status and trainer->error are those of
 * this one. */
convt_status convti_agree(convt_trainer *trainer, convt_status status);

/* The status of a call of the exchange, as the trainer's error where it is one. */
convt_status convti_exchanged(convt_trainer *trainer, convt_status status);

/* ---- codes ----------------------------------------------------------------------------------- */

convt_status convti_codes_check(const convt_codes *codes, int64_t count, convt_dtype dtype,
                                convt_shape input, convt_error *err);
void convti_codes_gather(const convt_codes *codes, const int64_t *index, int64_t n, convt_view x);

/* Codes of the samples -= learning_rate * batch * dx, where dx holds their slopes of the mean over
 * a batch of `batch` samples. */
void convti_codes_step(const convt_codes *codes, convti_samples samples, int64_t batch,
                       const void *dx);

enum { CONVTI_PARCEL = 1 << 18 }; /* bytes; a code may be longer */

/* Bytes of a message with codes. */
size_t convti_codes_parcel(const convt_codes *codes);

/* Brings the codes of all ranks to rank 0. */
convt_status convti_codes_collect(convt_trainer *trainer);

static inline int64_t convti_sample(convti_samples samples, int64_t k)
{
    return samples.order ? samples.order[samples.first + k] : samples.first + k;
}

#endif
