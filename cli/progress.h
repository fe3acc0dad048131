/*
 * What a training run shows while it runs: on a terminal one line that redraws, elsewhere one plain
 * line an epoch.
 */
#ifndef CONVT_PROGRESS_H
#define CONVT_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#include <convt/train.h>

typedef struct progress {
    FILE *out;
    bool quiet, terminal, color, unicode;
    double started, drawn, epoch_started; /* seconds of a clock that only grows */
    int64_t finished, samples,
        batches;         /* samples of whole epochs, samples and batches in all, of this session */
    int64_t first_epoch; /* epochs that were done before this session */
    int64_t before_batches, before_samples; /* of the epoch in which it began */
    int shown;                              /* columns of the line on the terminal */
} progress;

/* Looks at `out`, NO_COLOR, TERM and the locale. `done` is where the session begins: epochs done,
 * batches and samples in the epoch under way. */
void progress_open(progress *p, FILE *out, bool quiet, const convt_progress *done);
void progress_batch(progress *p, const convt_progress *now);
void progress_epoch(progress *p, const convt_progress *now);

/* Ends the line on the terminal, so that something else can be written. */
void progress_close(progress *p);

/* "1:05", "2:03:04", "0.43 s"; text needs 32 bytes. Returns text. */
char *duration_text(char text[32], double seconds);

/* "12,345"; text needs 32 bytes. Returns text. */
char *count_text(char text[32], int64_t count);

double seconds_now(void);

#endif
