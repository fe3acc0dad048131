/*
 * Training: a model (a chain of layers in one arena), losses, SGD and the loop over them.
 *
 *     convt_model_forward (model, x);                      // y = the chain of layers
 *     convt_loss(&loss, target, convt_model_output(model), NULL, n, &value, dy, &err);
 *     convt_model_backward(model, x, dy, CONVT_NONE);      // every dw, db
 *     convt_sgd_step(sgd);                                 // update, then constraints
 *
 * convt_fit is that loop with shuffling, partial last batches, validation, learned codes and
 * callbacks. Everything is built on the public functions of convt.h alone. The promises of convt.h
 * hold here too: nothing allocates after creation, and whole runs give the same bits for any number
 * of threads.
 */
#ifndef CONVT_TRAIN_H
#define CONVT_TRAIN_H

#include "convt.h"
#include "exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- model: a chain of layers ---------------------------------------------------------------- */

typedef struct convt_model convt_model;

/*
 * Creates `count` layers, each fed by the one before. layers[0] gives input, max_batch, dtype,
 * data_format, inference, threads and allocator for all; in the others dtype and data_format must
 * be the same, and input may be zero: the shape of the output before. Another shape of as many
 * elements takes that output as it lies in memory, element for element, as Keras' Reshape does.
 * Layer i takes its initializers' seed from layers[0].seed and i. Unnamed layers are called conv2d_transpose,
 * conv2d_transpose_1, ...; names must differ. The layers lie in the model's arena, so
 * convt_layer_reshape of one finds no room beyond what it was created for. On failure *model is
 * NULL and *err (may be NULL) names "layers[i].field".
 */
CONVT_API convt_status convt_model_create(convt_model **model, const convt_config layers[],
                                          int count, convt_error *err);
CONVT_API void convt_model_destroy(convt_model *model);

/* Bytes that creation asks of the allocator in its one call; 0 where it would refuse. */
CONVT_API size_t convt_model_memory(const convt_config layers[], int count, convt_error *err);
CONVT_API size_t convt_model_bytes(const convt_model *model);

CONVT_API const convt_error *convt_model_error(const convt_model *model);
CONVT_API int convt_model_layer_count(const convt_model *model);
CONVT_API convt_layer *convt_model_layer(const convt_model *model, int index);

/* Runs the chain on x (n <= max_batch samples) and keeps every activation in the model. */
CONVT_API convt_status convt_model_forward(convt_model *model, convt_const_view x);

/* The output of the last forward: (n, h, w, c), in the model's memory, valid until the next
 * forward. */
CONVT_API convt_const_view convt_model_output(const convt_model *model);

/*
 * Gradients of sum(dy * output) + regularization after a forward on the same x: overwrites dx (may
 * be CONVT_NONE) and every layer's dw and db. Refused where .inference. The data and weight halves
 * are those of convt_backward_data and convt_backward_weights over all layers; `divisor` is the
 * size of the whole batch. x may be CONVT_NONE in the data half where dx alone is wanted and no
 * layer's activation needs its z: every dw and db then keeps its values.
 */
CONVT_API convt_status convt_model_backward(convt_model *model, convt_const_view x,
                                            convt_const_view dy, convt_view dx);
CONVT_API convt_status convt_model_backward_data(convt_model *model, convt_const_view x,
                                                 convt_const_view dy, convt_view dx,
                                                 double divisor);
CONVT_API convt_status convt_model_backward_weights(convt_model *model);

/* Regularization losses: of the weights, and of the last forward's activations divided by
 * `divisor`. */
CONVT_API double convt_model_weight_loss(convt_model *model);
CONVT_API double convt_model_activity_loss(convt_model *model, double divisor);

/* Fills rows (room for 2 * layer count), returns how many. */
CONVT_API int convt_model_parameters(convt_model *model, convt_parameter rows[]);

/* ---- losses ---------------------------------------------------------------------------------- */

typedef enum convt_loss_kind {
    CONVT_DEFAULT_LOSS = 0, /* mean_squared_error */
#define LOSS(name, number, ...) CONVT_##name = number,
#define SUM_LOSS(name, number, ...) CONVT_##name = number,
#define AXIS_LOSS(name, number, ...) CONVT_##name = number,
#define BATCH_LOSS(name, number, ...) CONVT_##name = number,
#include "losses.def"
    CONVT_CUSTOM_LOSS = 1000
} convt_loss_kind;

/* Keras' reduction of the values of all positions (a position is a place of every axis of memory
 * but the last). MEAN is sum_over_batch_size, or "mean". */
typedef enum convt_reduction {
    CONVT_REDUCE_MEAN = 0,
    CONVT_REDUCE_SUM = 1,
    CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT = 2
} convt_reduction;

/*
 * A loss and its arguments by Keras' names; losses.def says which row takes which, and defaults.
 * from_logits: predictions are logits (the crossentropies). label_smoothing in [0, 1].
 * data_format says which axis of memory is the last, over which Keras' losses reduce.
 * sigmoid_output: predictions are logits of a model whose output is their sigmoid: the loss is
 * computed from the logits, the squared error from the sigmoid. It goes with every loss, by the
 * chain rule where a loss has no form of its own over logits, and makes from_logits redundant.
 * custom: `element` returns the loss of one element and its derivative with respect to the
 * prediction; several threads at once.
 */
typedef struct convt_loss_config {
    convt_loss_kind kind;
    bool from_logits;
    bool sigmoid_output;
    convt_reduction reduction;
    convt_data_format data_format;
#define LOSS_ARGUMENT(name, range) convt_optional name;
#include "losses.def"
    double (*element)(void *context, double target, double prediction, double *derivative);
    void *context;
    int threads; /* 0: the OpenMP maximum */
} convt_loss_config;

/*
 * Sample weights: values is (n, 1, 1, 1), one a sample, or one a position: the shape of prediction
 * with 1 in place of the last axis of memory; its dtype is that of prediction. `sum` is that of the
 * whole batch's weights, for CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT; 0: the sum of the values given.
 * A sum of 0 gives a loss of 0. The one value of a BATCH_LOSS is multiplied with every weight, and
 * that is reduced, as Keras does.
 */
typedef struct convt_sample_weight {
    convt_const_view values;
    double sum;
} convt_sample_weight;

/* The loss of a batch as its reduction says, and the mean over all elements of the squared error of
 * the outputs (of class numbers: against their one-hot vectors). */
typedef struct convt_loss_value {
    double loss;
    double mse;
} convt_loss_value;

/*
 * Adds up loss and squared error of n samples of a batch of `batch` samples, so that values of the
 * chunks of a batch add up to that of the batch (BATCH_LOSS rows, which are no sums over samples,
 * take whole batches only: n = batch). target has the shape of prediction, or, for
 * sparse_categorical_crossentropy, 1 in place of the last axis of memory. sample_weight NULL: all
 * 1. dy (shape of prediction; CONVT_NONE: not wanted) is overwritten with the gradient of
 * value->loss. Errors: CONVT_INVALID_ARGUMENT, CONVT_INVALID_SHAPE; *err may be NULL.
 */
CONVT_API convt_status convt_loss(const convt_loss_config *loss, convt_const_view target,
                                  convt_const_view prediction,
                                  const convt_sample_weight *sample_weight, int64_t batch,
                                  convt_loss_value *value, convt_view dy, convt_error *err);

/* ---- SGD ------------------------------------------------------------------------------------- */

typedef enum convt_schedule_kind {
    CONVT_CONSTANT_RATE = 0,
#define SCHEDULE(name, number, ...) CONVT_##name = number,
#include "schedules.def"
} convt_schedule_kind;

enum { CONVT_MOST_BOUNDARIES = 64 };

/* A schedule and its arguments by Keras' names (schedules.def: which row takes which, and
 * defaults); switches (staircase, cycle) are 0 or 1. Steps are calls of convt_sgd_step, counted
 * from 0. */
typedef struct convt_schedule {
    convt_schedule_kind kind;
#define SCHEDULE_ARGUMENT(name, range) convt_optional name;
#include "schedules.def"
    /* piecewise_constant_decay: values[i] up to and including step boundaries[i], then
     * values[boundary_count]; learning_rate is not used */
    int boundary_count;
    double boundaries[CONVT_MOST_BOUNDARIES], values[CONVT_MOST_BOUNDARIES + 1];
} convt_schedule;

/*
 * Keras' SGD. learning_rate defaults to 0.01 and is the schedule's initial rate. At most one of
 * clipnorm, clipvalue and global_clipnorm may be set (0: off); ema_momentum defaults to 0.99;
 * ema_overwrite_frequency 0 is None; gradient_accumulation_steps 0 is None, else 2 or more.
 * loss_scale_factor says that gradients are those of loss_scale_factor * loss; convt_fit, as Keras'
 * fit, sees to that itself.
 */
typedef struct convt_sgd_config {
    convt_optional learning_rate;
    convt_schedule schedule;
    double momentum; /* in [0, 1] */
    bool nesterov;
    convt_optional weight_decay;
    convt_optional clipnorm, clipvalue, global_clipnorm;
    bool use_ema;
    convt_optional ema_momentum;
    int64_t ema_overwrite_frequency;
    convt_optional loss_scale_factor;
    int64_t gradient_accumulation_steps;
    int threads;
    convt_allocator allocator;
} convt_sgd_config;

typedef struct convt_sgd convt_sgd;

/* An optimizer over a list of parameters (copied; what they point to must outlive the optimizer),
 * one step for all of them. */
CONVT_API convt_status convt_sgd_create(convt_sgd **sgd, const convt_sgd_config *cfg,
                                        const convt_parameter rows[], int count, convt_error *err);
CONVT_API void convt_sgd_destroy(convt_sgd *sgd);

/*
 * One step, in the order of Keras' optimizer.apply: gradients / loss_scale_factor; accumulation
 * (only every gradient_accumulation_steps-th call goes on, with the mean); clipping; w -= w *
 * weight_decay * rate; w -= rate * g, or with momentum v = momentum * v - rate * g and w += v
 * (nesterov: w += momentum * v - rate * g). In every call: averages, their overwriting of w, every
 * constraint, and steps += 1. Gradients are only read. Rows that are not trainable are left alone.
 */
CONVT_API void convt_sgd_step(convt_sgd *sgd);

/* With use_ema, after a step: parameters become their averages, as at the end of Keras' fit. Else
 * nothing. */
CONVT_API void convt_sgd_finalize(convt_sgd *sgd);

/* Steps done (calls of convt_sgd_step), and the rate that the next step will use. */
CONVT_API int64_t convt_sgd_iterations(const convt_sgd *sgd);
CONVT_API double convt_sgd_learning_rate(const convt_sgd *sgd);

/* The rate of a config at a step, without an optimizer. */
CONVT_API double convt_schedule_rate(const convt_sgd_config *cfg, int64_t step);

/* ---- the training loop ----------------------------------------------------------------------- */

/*
 * Where samples come from. gather writes samples index[0..n) into the rows of x and y (targets as
 * convt_loss takes them); x.data is NULL where inputs are learned codes. It is called from one
 * thread and returns CONVT_OK, or a status that ends the fit.
 */
typedef struct convt_dataset {
    int64_t count;
    convt_status (*gather)(void *context, const int64_t *index, int64_t n, convt_view x,
                           convt_view y);
    void *context;
    const double *sample_weight; /* `count` of them, in the order of the samples; NULL: all 1 */
} convt_dataset;

/* A dataset over two arrays in memory: {.count = x.n, .gather = convt_arrays_gather, .context =
 * &arrays}. x.data is NULL with learned codes. */
typedef struct convt_arrays {
    convt_const_view x, y;
} convt_arrays;
CONVT_API convt_status convt_arrays_gather(void *arrays, const int64_t *index, int64_t n,
                                           convt_view x, convt_view y);

/*
 * Learned inputs: every sample's code (1, 1, D) descends along dx of its own loss averaged over
 * elements: code -= learning_rate * d(sample loss)/d(code). With fix_first, component 0 (the first
 * number of a code) stays as it is. Codes of held-out samples descend too, on the same weights,
 * which they do not touch: without codes of their own their loss would mean nothing.
 */
typedef struct convt_codes {
    /* (count, h, w, D): the model's input for each sample; data NULL: no learned codes */
    convt_view values;
    double learning_rate;
    bool fix_first;
} convt_codes;

/* What callbacks see. Means run over the epoch so far, as Keras prints them; epochs and batches
 * count from 1. */
typedef struct convt_progress {
    int64_t epoch, epochs;
    int64_t batch, batches;
    int64_t samples; /* done in this epoch */
    double loss, mse;
    double val_loss, val_mse; /* NaN before the end of the epoch, or without validation */
    double learning_rate;     /* of the last step */
    /* The state can be saved on rank 0. One process: always. Several: at the end of an epoch, where the
     * fit stops, and where convt_trainer_collect asked for it. */
    bool whole;
} convt_progress;

/* Callbacks return true to go on; false ends the fit with CONVT_STOPPED after the present batch or
 * epoch, and another convt_fit goes on from there with the same bits. In several processes any rank
 * may say so, and all of them stop together behind the next batch (at the end of the run: nowhere). */
typedef struct convt_trainer_config {
    /* borrowed, as are sgd and codes.values; its max_batch bounds the leaf, see convt_leaf_size */
    convt_model *model;
    convt_sgd *sgd;
    convt_loss_config loss; /* .data_format is taken from the model; learned codes need the mean */
    convt_dataset data;
    convt_codes codes;
    int64_t epochs;
    int64_t batch_size;      /* default 32 */
    double validation_split; /* the last fraction of the samples, before shuffling; in [0, 1) */
    /* that a batch is cut into, at most; up to 65536. 0: as convt_leaf_size says */
    int64_t leaves;
    /* keep the order of the data; else a batch takes from every stratum, see convt_trainer_own */
    bool no_shuffle;
    uint64_t seed;
    bool (*on_batch)(void *context, const convt_progress *progress);
    bool (*on_epoch)(void *context, const convt_progress *progress);
    void *context;
    convt_exchange exchange; /* all zero: one process */
    convt_allocator allocator;
} convt_trainer_config;

typedef struct convt_trainer convt_trainer;

CONVT_API convt_status convt_trainer_create(convt_trainer **trainer,
                                            const convt_trainer_config *cfg, convt_error *err);
CONVT_API void convt_trainer_destroy(convt_trainer *trainer);
CONVT_API const convt_error *convt_trainer_error(const convt_trainer *trainer);

/*
 * Several processes: everything in a config but callbacks, gather, rank and threads is the same on all
 * ranks, and all call convt_fit, convt_evaluate, convt_codes_start and convt_trainer_restored
 * together. A rank gathers, and keeps codes of, its own samples alone; arrays are as long as in one
 * process, but memory of codes that are not own is not touched. An error of one rank is that of all;
 * its message ends with "(rank 3)". CONVT_EXCHANGE_FAILED: a rank cannot be reached; the others must
 * be given up, too.
 *
 * convt_trainer_own: how many of this rank's own samples come before this one; -1 for another rank's.
 * Samples i of the training part and of the held-out part belong, for good, to
 * leaf (i mod batch_size) / leaf size, and leaves to ranks, in order and in equal shares. Shuffling
 * permutes the samples of a leaf; with one leaf, all.
 *
 * convt_trainer_collect: for callbacks of rank 0. Behind the next batch all codes are brought there,
 * and progress says that the state is whole.
 */
CONVT_API int64_t convt_trainer_own(const convt_trainer *trainer, int64_t sample);
CONVT_API void convt_trainer_collect(convt_trainer *trainer);

/* Leaves of a full batch; ranks beyond as many have nothing to do. */
CONVT_API int64_t convt_trainer_leaves(const convt_trainer *trainer);

/*
 * The start that lets plain SGD learn codes: a random projection of each sample's target, seeded, every
 * component standardized over all samples; with fix_first component 0 is 1. Rank 0 has them all. Takes scratch from the
 * allocator and gives it back. CONVT_INVALID_ARGUMENT without codes; CONVT_NO_MEMORY,
 * CONVT_TOO_LARGE, any status of gather.
 */
CONVT_API convt_status convt_codes_start(convt_trainer *trainer);

/*
 * Samples per leaf. A batch is cut into leaves of this many samples (the last may be smaller), each
 * leaf runs forward, loss and the data half of backward, and gradients and losses of the leaves are
 * added in a fixed binary tree. A function of batch size and parameter bytes (values of all layers)
 * alone: 16 leaves for small models, one where parameters are large, and one for a BATCH_LOSS,
 * which is no sum over leaves. convt_trainer_config.leaves overrules it.
 */
CONVT_API int64_t convt_leaf_size(convt_loss_kind loss, int64_t batch_size, size_t parameter_bytes);

/*
 * Trains until `epochs` are done, from wherever the state stands, then calls convt_sgd_finalize
 * (not where `epochs` is 0, or where the run ends otherwise). CONVT_NOT_FINITE: the loss of a batch
 * is NaN or infinite; no step was taken for it, the error names epoch and batch. CONVT_STOPPED: a
 * callback said so. Any status of gather.
 */
CONVT_API convt_status convt_fit(convt_trainer *trainer);

/* Means of loss (regularization included) and mse over samples first .. first + count, without
 * training. In several processes they begin where a batch does, and are all of the training part or all
 * held out. */
CONVT_API convt_status convt_evaluate(convt_trainer *trainer, int64_t first, int64_t count,
                                      convt_loss_value *value);

/*
 * Everything that a run continues from, as named arrays in the objects' own memory:
 * "<layer>/kernel", "<layer>/bias", of trainable parameters "sgd/velocity/<i>" (with momentum),
 * "sgd/average/<i>" (with use_ema) and "sgd/accumulator/<i>" (with gradient_accumulation_steps),
 * "codes", and the counters as float64 scalars: "sgd/iterations", "epoch" (epochs done), and of the
 * epoch under way "batch", "loss_sum" and "mse_sum". Saving them between two batches (from a
 * callback, or after a convt_fit that was stopped) and refilling them later continues bit for bit.
 * Fills at most `room` rows, returns how many there are. After refilling, call
 * convt_trainer_restored, which takes counters that make no sense as 0.
 */
typedef struct convt_state {
    char name[96];
    convt_view values;
} convt_state;
CONVT_API int convt_trainer_state(convt_trainer *trainer, convt_state rows[], int room);
CONVT_API void convt_trainer_restored(convt_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
