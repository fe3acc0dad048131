/*
 * The sum over the leaves of a batch, in a fixed binary tree:  ((l0 + l1) + (l2 + l3)) + ((l4 + l5)
 * + ...).
 *
 * A node is the sum of the 2^level leaves from `first` on, as far as the batch has them: left half +
 * right half, or the left half alone where there is no leaf in the right one. It belongs to the rank
 * that owns its first leaf. Leaves of a rank come one after the other; sums of 2^k of them wait in slot
 * k until their neighbour is there, as the bits of a counter, so log2(leaves) copies of the gradients
 * suffice. Where the neighbour belongs to another rank, the right one is sent to the left one.
 */
#ifndef CONVT_TREE_H
#define CONVT_TREE_H

#include "alloc.h"
#include "convt/train.h"

enum { CONVTI_MOST_SLOTS = 16, CONVTI_MOST_LEAVES = 1 << CONVTI_MOST_SLOTS };

typedef struct convti_node {
    int level;
    int64_t first;
} convti_node;

/* Own leaves begin .. end of the `leaves` of a batch. */
typedef struct convti_span {
    int64_t begin, end, leaves;
} convti_span;

typedef enum convti_then {
    CONVTI_WAITS,    /* in slot node.level */
    CONVTI_SENDS,    /* to the owner of its left sibling */
    CONVTI_RECEIVES, /* its right sibling */
    CONVTI_IS_ALL
} convti_then;

/* How far the sum of a node comes within a rank: it takes in what waits in `slots` (bit k stands for
 * slot k), smallest first, and is the sum of `node` then. */
typedef struct convti_climb {
    unsigned slots;
    convti_node node;
    convti_then then;
    int64_t sibling; /* first leaf of the node that is received, or sent to */
} convti_climb;
convti_climb convti_tree_climb(convti_node node, convti_span span);

/* From a node whose right sibling has arrived. */
static inline convti_node convti_tree_parent(convti_node left)
{
    return (convti_node){left.level + 1, left.first};
}

/* Gradients of a list of parameters; those of the present leaf stand in the rows' own gradients,
 * and finally the sum. */
typedef struct convti_tree {
    int count;
    convt_parameter *rows;            /* trainable ones, those of the last layer first */
    int *layer_end;                   /* rows of the last layer, of the last two layers, ... */
    void **slot[CONVTI_MOST_SLOTS];   /* a tensor a row */
    void **outbox[CONVTI_MOST_SLOTS]; /* the same: sums on their way to other ranks */
    void **incoming;                  /* the same: the sum that arrives; NULL: none does */
    int threads;
} convti_tree;

/* Adds up rows first .. last: to[row] (NULL: the gradients) = slots + (incoming + gradient). */
typedef struct convti_addition {
    int first, last;
    unsigned slots;
    bool incoming;
    void **to;
} convti_addition;
void convti_tree_add(const convti_tree *tree, convti_addition addition);

/* sum[i] = source[n-1][i] + ( .. + (source[0][i] + leaf[i])); sum may be leaf. */
void convti_tree_sum_f32(int64_t count, const void *leaf, const void *const source[], int n,
                         void *sum);
void convti_tree_sum_f64(int64_t count, const void *leaf, const void *const source[], int n,
                         void *sum);

#endif
