/*
 * Which leaves, and so which samples, are whose. Sample i of the training part, and of the held-out
 * one, belongs to leaf (i mod batch) / leaf for good; of the L leaves of a full batch rank r of R owns
 *
 *     r L / R  ..  (r + 1) L / R        rounded down; ranks beyond the L-th own none
 */
#ifndef CONVT_CUT_H
#define CONVT_CUT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct convti_cut {
    int64_t batch, leaf, leaves; /* samples of a batch and of a leaf, leaves of a full batch */
    int64_t train_count, held_out;
    int rank, size;
    int64_t begin, end; /* own leaves of a full batch */
} convti_cut;

/* First leaf of a rank; of rank `size`, all leaves. */
int64_t convti_cut_begin(const convti_cut *cut, int rank);
int convti_cut_owner(const convti_cut *cut, int64_t leaf);

/* Leaves of `count` samples. */
int64_t convti_cut_leaves(const convti_cut *cut, int64_t count);

/* Leaf of a sample. */
int64_t convti_cut_leaf(const convti_cut *cut, int64_t sample);

/* Own samples before an own one; -1: it is another rank's. */
int64_t convti_cut_index(const convti_cut *cut, int64_t sample);

/* Consecutive samples of leaves begin .. end; start with {.begin, .end}. False behind the last ones. */
typedef struct convti_runs {
    int64_t begin, end;   /* leaves */
    int64_t first, count; /* the present samples */
    int64_t batches;      /* visited: those of the training part, then the held-out ones */
} convti_runs;
bool convti_cut_next(const convti_cut *cut, convti_runs *runs);

#endif
