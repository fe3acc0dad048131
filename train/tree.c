/* The tree over the leaves of a batch. */
#include "tree.h"

#include "pieces.h"
#include "team.h"

enum { PARALLEL_FROM = 4 }; /* pieces */

convti_merge convti_merge_of(int64_t leaf, bool last)
{
    const unsigned bits = (unsigned)leaf;
    if (last) return (convti_merge){bits, -1};
    const unsigned trailing_ones = bits & ~(bits + 1);
    return (convti_merge){trailing_ones, __builtin_popcount(trailing_ones)};
}

struct addition {
    const convti_tree *tree;
    convti_merge merge;
};

static void add_piece(void *work, int64_t index)
{
    const struct addition *addition = work;
    const convti_tree *tree = addition->tree;
    const convti_merge merge = addition->merge;
    const convti_piece piece = convti_piece_at(tree->rows, index);
    const convt_view gradient = tree->rows[piece.row].gradient;
    const void *source[CONVTI_MOST_SLOTS];
    int n = 0;
    for (int k = 0; k < CONVTI_MOST_SLOTS; k++)
        if (merge.slots >> k & 1)
            source[n++] = convti_element(tree->slot[k][piece.row], gradient.dtype, piece.first);
    void *leaf = convti_element(gradient.data, gradient.dtype, piece.first);
    void *sum = leaf;
    if (merge.slot >= 0)
        sum = convti_element(tree->slot[merge.slot][piece.row], gradient.dtype, piece.first);
    if (gradient.dtype == CONVT_FLOAT32)
        convti_tree_sum_f32(piece.count, leaf, source, n, sum);
    else
        convti_tree_sum_f64(piece.count, leaf, source, n, sum);
}

void convti_tree_add(const convti_tree *tree, int64_t leaf, bool last)
{
    const convti_merge merge = convti_merge_of(leaf, last);
    if (last && merge.slots == 0) return; /* a batch of one leaf */
    const int64_t pieces = tree->pieces;
    convti_team_each(pieces >= PARALLEL_FROM ? tree->threads : 1, pieces, add_piece,
                     &(struct addition){tree, merge});
}
