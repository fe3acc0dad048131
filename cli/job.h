/*
 * A training run in memory: what the options ask for, the data, the model, the optimizer, and the
 * last good state.
 */
#ifndef CONVT_JOB_H
#define CONVT_JOB_H

#include <convt/io.h>

#include "data.h"
#include "options.h"
#include "progress.h"
#include "run.h"

typedef struct train_options {
    option_value data, model, out, epochs, batch_size, loss, from_logits, optimizer, x, y, codes,
        codes_learning_rate;
    option_value no_shuffle, seed, threads, validation_split, checkpoint_minutes, resume, force,
        quiet;
} train_options;

typedef struct job {
    train_options *opt;
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
    convt_shape target;
    int64_t train_count;

    /* The model: `layers` as trained, `saved` as written. They differ where the loss wants
     * logits of a model that ends in a sigmoid. */
    convt_spec spec;
    convt_config *layers, *saved;
    int layer_count;
    convt_loss_config loss;
    bool recipe; /* the default optimizer of learned codes, made for the length of the run */
    convt_sgd_config sgd_config;
    convt_codes codes;
    convt_array code_values;
    convt_model *model;
    convt_sgd *sgd;
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

/* Reads the data and checks it. job_data.c */
int job_read_data(job *j);

/* The checkpoint of the run in the directory; and its options where the command line gives none.
 * job_settings.c */
convt_status job_read_checkpoint(job *j, convt_error *err);
int job_take_settings(job *j, const options *table);

/* Notes what the data holds, and compares it with what it was; then notes everything else. False
 * where memory is out. */
bool job_add_contents(job *j);
int job_check_contents(const job *j);
bool job_add_settings(job *j, const options *table);

/* The options spelled out, as a shell reads them; malloc'ed, NULL where memory is out. */
char *job_command_line(const job *j);

/* Makes model, optimizer, codes and trainer, with the values of the checkpoint if there is one.
 * job.c */
int job_create(job *j, convt_trainer_config *callbacks);
void job_close(job *j);

/* Copies the present state to the good one, or back. */
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
