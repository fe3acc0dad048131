/*
 * The sum over the leaves of a batch, in a fixed binary tree:  ((l0 + l1) + (l2 + l3)) + ((l4 + l5)
 * + ...).
 *
 * Leaves come one after the other; sums of 2^k leaves wait in slot k until their neighbour is
 * there, as the bits of a counter. So log2(leaves) copies of the gradients suffice. The last leaf
 * takes in whatever waits, the smallest sums first.
 */
#ifndef CONVT_TREE_H
#define CONVT_TREE_H

#include "alloc.h"
#include "convt/train.h"

enum { CONVTI_MOST_LEAVES = 16, CONVTI_MOST_SLOTS = 4 };

/* What waiting sums leaf takes in, smallest first: bit k stands for slot k. The sum then waits in
 * slot `slot`; -1: it is all. */
typedef struct convti_merge {
    unsigned slots;
    int slot;
} convti_merge;
convti_merge convti_merge_of(int64_t leaf, bool last);

/* Gradients of a list of parameters; those of the present leaf stand in the rows' own gradients,
 * and finally the sum. */
typedef struct convti_tree {
    int count;
    convt_parameter *rows;          /* trainable ones */
    void **slot[CONVTI_MOST_SLOTS]; /* a tensor a row */
    int64_t pieces;
    int threads;
} convti_tree;

void convti_tree_add(const convti_tree *tree, int64_t leaf, bool last);

/* sum[i] = source[n-1][i] + ( .. + (source[0][i] + leaf[i])); sum may be leaf. */
void convti_tree_sum_f32(int64_t count, const void *leaf, const void *const source[], int n,
                         void *sum);
void convti_tree_sum_f64(int64_t count, const void *leaf, const void *const source[], int n,
                         void *sum);

#endif
