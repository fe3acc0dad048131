/*
 * A training run in memory: what the options ask for, the data, the model, the optimizer, and the
 * last good state.
 */
#ifndef CONVT_JOB_H
#define CONVT_JOB_H

#include <convt/io.h>

#include "crew.h"
#include "data.h"
#include "options.h"
#include "progress.h"
#include "run.h"

typedef struct train_options {
    option_value data, model, out, epochs, batch_size, leaves, loss, from_logits, optimizer, x, y,
        codes, codes_learning_rate;
    option_value no_shuffle, seed, threads, validation_split, checkpoint_minutes, resume, force,
        quiet;
} train_options;

/* What the images, or x and y, hold on all ranks together: sums of the samples' digests; range of the
 * targets. */
enum { JOB_SOURCES = 3 };
typedef struct job_contents {
    uint64_t digest[JOB_SOURCES];
    value_range range;
} job_contents;

typedef struct job {
    train_options *opt;
    crew crew;
    const char *directory;
    int lock; /* of the directory; -1: not there yet */
    bool supervised;
    int64_t epochs, batch_size;
    run_settings settings;
    run_checkpoint checkpoint; /* of the run that goes on; empty otherwise */

    /* Samples. */
    char *source; /* where the images came from */
    image_data images;
    convt_array x, y;
    convt_arrays arrays;
    convt_dataset dataset;
    int64_t *rows, rows_room; /* where samples that are gathered lie among those of this rank */
    value_range range;        /* of this rank's targets */
    job_contents contents;
    convt_shape target; /* as a picture */
    convt_shape output; /* the same as the last layer gives it */
    int64_t train_count;

    /* The model: `spec` as it is written; `layers` as trained, `saved` as the spec has them, with
     * their defaults filled in. They differ where the loss wants logits of a model that ends in a
     * sigmoid. */
    convt_spec spec;
    convt_config *layers, *saved;
    int layer_count;
    uint64_t probe; /* digest of some samples, the same ones on every rank */
    convt_loss_config loss;
    bool recipe; /* the default optimizer of learned codes, made for the length of the run */
    convt_sgd_config sgd_config;
    convt_codes codes;
    convt_array code_values;
    convt_model *model;
    convt_sgd *sgd;
    convt_trainer_config trainer_config; /* with the callbacks from the beginning */
    convt_trainer *trainer;

    /* The present state, and a copy of the one after the last whole epoch, or with which this
     * process began. */
    convt_state *live, *good;
    int state_count;
    unsigned char *good_memory;
    run_history history;

    run_succession succession; /* of the next checkpoint */
    double kept;               /* seconds_now() of the last checkpoint */

    progress progress;
    convt_error error; /* of writing within the run */
    double seconds;    /* of the fit */
} job;

/* Functions that return int give OPTIONS_PARSED to go on, or the exit code after the error line. */

/* The data, checked: all of it, or, where there are several ranks, what it looks like and a few samples to
 * compare, and, when the trainer knows whose is what, the own samples. job_data.c */
int job_read_data(job *j);
int job_read_share(job *j);

/* Sees to it that the samples index[0..n), n distinct ones in rising order, can be shown: sample i lies
 * in row job_shown_row(j, i, index[i]) then. For rank 0, at the end. */
int job_read_shown(job *j, const int64_t index[], int64_t n);
static inline int64_t job_shown_row(const job *j, int64_t i, int64_t index)
{
    return crew_is_shared(&j->crew) ? i : index;
}

/* The same of all samples that are trained on: sample i lies in row i. */
int job_read_trained_on(job *j);

/* What the data hold, on all ranks together; every rank. */
int job_find_contents(job *j);

/* The checkpoint of the run in the directory; and its options where the command line gives none.
 * job_settings.c */
convt_status job_read_checkpoint(job *j, convt_error *err);
convt_status job_decode_checkpoint(job *j, const void *data, size_t size, convt_error *err);
int job_take_settings(job *j, const options *table);

/* Gives every rank the checkpoint that rank 0 has read, if it has. job_ranks.c */
int job_share_checkpoint(job *j, const options *table);

/* Refuses ranks that there is no work for, and says how it is shared; refuses those that would not train
 * what rank 0 does. */
int job_check_ranks(job *j);
int job_compare_ranks(job *j);

/* Notes what the data holds, and compares it with what it was; then notes everything else. False
 * where memory is out. */
bool job_add_contents(job *j);
int job_check_contents(const job *j);
bool job_add_settings(job *j, const options *table);

/* The options spelled out, as a shell reads them; malloc'ed, NULL where memory is out. */
char *job_command_line(const job *j);

/* Makes model, optimizer, codes and trainer. job.c */
int job_create(job *j);

/* With the data there: starts the codes, or takes the values of the checkpoint. Every rank. */
int job_start(job *j);
void job_close(job *j);

/* Arrays are trained on in the model's dtype; images are converted batch by batch. */
int job_convert_arrays(job *j);

/* Copies the present state to the good one, or back; on rank 0. */
void job_keep_state(job *j);
void job_restore_state(job *j);

/* Writes checkpoint and history; `rows` is the live or the good state. */
convt_status job_write_checkpoint(job *j, const convt_state rows[], convt_error *err);

/* "epoch 3", or "batch 17 of epoch 4": how far a state is. Needs 64 bytes. Returns text. */
char *job_place(const job *j, const convt_state rows[], char text[64]);
int64_t job_batches_done(const job *j, const convt_state rows[]); /* of the epoch under way */

/* Writes history, model, codes, pictures and report of the present state; `notice` goes into the report,
 * NULL: none. results.c */
int job_write_results(job *j, const char *notice);

/* Class name, snake_case or short name, as Keras takes them. */
bool loss_kind(const char *name, convt_loss_kind *kind);
const char *loss_name(const convt_loss_config *loss);

/* What a loss takes from logits, if anything; and whether its targets are class numbers. */
typedef enum loss_logits { NO_LOGITS, LOGITS_OF_SIGMOID, LOGITS_OF_SOFTMAX } loss_logits;
loss_logits loss_logits_of(convt_loss_kind kind);
bool loss_of_class_numbers(convt_loss_kind kind);

/* The shortest text that reads back as the same number; needs 32 bytes. Returns text. */
char *real_text(char text[32], double value);

#endif
