/*
 * The directory of a training run: its files, its lock, its history, and the checkpoints that
 * --resume continues from.
 *
 * checkpoint.npz holds the trainer's state between two batches ("state/<name>"), the history of the
 * whole epochs before ("history"), as text the settings of the run, so that a resumed run can be
 * told from another one, and a digest of all that ("digest"). The checkpoint that it replaced stays
 * as checkpoint-before.npz, and is used where the newer one is damaged.
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
    RUN_BEFORE,
    RUN_NEXT, /* a checkpoint that is complete and has not taken its place yet */
    RUN_FILES
} run_file;

/* The path of a file in the directory; malloc'ed, NULL where memory is out. */
char *run_path(const char *directory, run_file file);
const char *run_file_name(run_file file);

/* Does the directory hold any file of a run? */
bool run_exists(const char *directory);

/* Makes the directory and those above it. False with errno. */
bool run_make_directory(const char *directory);

/* Takes away every file of an earlier run but history and checkpoints. */
void run_remove_results(const char *directory);

/* Takes away what a process that was killed left half written; for who holds the lock. */
void run_remove_temporaries(const char *directory);

/* Locks the directory for this process: a descriptor to close, or -1 with errno, which is
 * EWOULDBLOCK where another process has the lock. The system releases it when the process ends,
 * however it ends. Where the file system knows no locks of directories, everybody gets it. */
int run_lock(const char *directory);

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

/* What becomes of the checkpoint that is there when the next one is written. */
typedef enum run_succession {
    RUN_FOLLOWS,  /* it becomes the one before */
    RUN_REPLACES, /* it is damaged, and the one before stays */
    RUN_BEGINS,   /* it belongs to another run, and so does the one before */
} run_succession;

typedef struct run_state {
    const convt_state *rows;
    int count;
    const run_history *history;
    const run_settings *settings;
} run_state;

/* Until the new checkpoint is complete and on the disk, nothing that was there is touched. */
convt_status checkpoint_write(const char *directory, run_succession succession,
                              const run_state *state, convt_error *err);

typedef struct run_checkpoint {
    convt_archive archive;
    run_settings settings;
    convt_error damage; /* of checkpoint.npz, where this is the one before it; else CONVT_OK */
} run_checkpoint;

/* The newest checkpoint that is whole. Names of settings are taken from `names`, other ones in the
 * file are left alone. */
convt_status checkpoint_read(const char *directory, const char *const names[], int count,
                             run_checkpoint *checkpoint, convt_error *err);
void checkpoint_free(run_checkpoint *checkpoint);

/* The bytes of the file that this checkpoint was read from (malloc'ed), and a checkpoint from them. */
convt_status checkpoint_bytes(const char *directory, const run_checkpoint *checkpoint, char **data,
                              size_t *size, convt_error *err);
convt_status checkpoint_decode(const void *data, size_t size, const char *const names[], int count,
                               run_checkpoint *checkpoint, convt_error *err);

/* Copies state and history out of the checkpoint; every row must be there in its shape. */
convt_status checkpoint_restore(const run_checkpoint *checkpoint, convt_state rows[], int count,
                                run_history *history, convt_error *err);

#endif
