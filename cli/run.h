/*
 * The directory of a training run: its files, its history, and the checkpoint that --resume
 * continues from.
 *
 * checkpoint.npz holds the trainer's state after a whole epoch ("state/<name>"), the history up to
 * it ("history"), and as text the settings of the run, so that a resumed run can be told from
 * another one.
 */
#ifndef CONVT_RUN_H
#define CONVT_RUN_H

#include <stdbool.h>

#include <convt/io.h>

/* ---- files ----------------------------------------------------------------------------------- */

typedef enum run_file {
    RUN_HISTORY,
    RUN_MODEL,
    RUN_KERAS, /* where Keras has words for the model, and the build for its files */
    RUN_CODES,
    RUN_SAMPLES,
    RUN_REPORT,
    RUN_CHECKPOINT,
    RUN_FILES
} run_file;

/* The path of a file in the directory; malloc'ed, NULL where memory is out. */
char *run_path(const char *directory, run_file file);
const char *run_file_name(run_file file);

/* Does the directory hold any file of a run? */
bool run_exists(const char *directory);

/* Makes the directory and those above it. False with errno. */
bool run_make_directory(const char *directory);

/* Takes away every file of an earlier run but the two that are written after each epoch. */
void run_remove_results(const char *directory);

/* ---- history --------------------------------------------------------------------------------- */

enum { HISTORY_COLUMNS = 5 };

/* Row e is epoch e + 1: loss, mse, val_loss, val_mse (NaN without validation), learning rate of the
 * last step. */
typedef struct run_history {
    int64_t count, room;
    bool validation;
    double (*rows)[HISTORY_COLUMNS];
} run_history;

/* Room for so many epochs in all; false where memory is out. */
bool history_reserve(run_history *history, int64_t epochs);
void history_append(run_history *history, const convt_progress *progress);
convt_status history_write(const run_history *history, const char *directory, convt_error *err);

/* ---- settings -------------------------------------------------------------------------------- */

/* What makes a run what it is, as text: names are those of the options. */
enum { SETTINGS_ROOM = 24 };
typedef struct run_settings {
    int count;
    const char *names[SETTINGS_ROOM]; /* static storage */
    char *values[SETTINGS_ROOM];      /* malloc'ed */
} run_settings;

/* Adds a row; takes over `value`. False where it is NULL. */
bool settings_add(run_settings *settings, const char *name, char *value);
const char *settings_find(const run_settings *settings, const char *name); /* NULL: absent */
void settings_free(run_settings *settings);

/* ---- checkpoint ------------------------------------------------------------------------------ */

typedef struct run_checkpoint {
    convt_archive archive;
    run_settings settings;
} run_checkpoint;

convt_status checkpoint_write(const char *directory, const convt_state rows[], int count,
                              const run_history *history, const run_settings *settings,
                              convt_error *err);

/* Names of settings are taken from `names`, other ones in the file are left alone. */
convt_status checkpoint_read(const char *directory, const char *const names[], int count,
                             run_checkpoint *checkpoint, convt_error *err);
void checkpoint_free(run_checkpoint *checkpoint);

/* Copies state and history out of the checkpoint; every row must be there in its shape. */
convt_status checkpoint_restore(const run_checkpoint *checkpoint, convt_state rows[], int count,
                                run_history *history, convt_error *err);

#endif
