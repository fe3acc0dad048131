/*
 * A process beside rank 0 that says in one line what became of a run whose rank 0 can say nothing more: a
 * rank is gone, and the launcher has ended the others, which wait for it, after a moment.
 *
 * Rank 0 tells it over a pipe what is saved, and what it knows when it is told to end. The pipe ends with
 * rank 0, however that ends; where it has not said that all is well, the witness prints its line.
 */
#ifndef CONVT_WITNESS_H
#define CONVT_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/* Where a process is: processes with the same boot and space have numbers of their own. */
typedef struct process_place {
    char boot[40];  /* of the machine; "": not known */
    uint64_t space; /* of process numbers */
    int64_t number;
} process_place;

process_place process_here(void);

/* Starts the witness, for rank 0, before there are threads. `patience`: milliseconds that the launcher surely
 * leaves between the signal that tells processes to end and the one that ends them. Without a witness,
 * where the system gives none, the other functions do nothing. */
void witness_start(int patience);

/* The ranks. Which of those on this machine is gone is looked up when rank 0 is told to end. */
void witness_ranks(const process_place ranks[], int count);

/* What is saved by now. */
void witness_saved(const char *directory, const char *place);

/* Rank 0 is told to end, by the launcher or by somebody else. For a signal handler. */
void witness_told(bool by_launcher);

/* The run has ended and rank 0 has said how, or the others are free to end: nothing to witness. */
void witness_end(void);

#endif
