/* The tree over the leaves of a batch. */
#include "tree.h"

#include "pieces.h"
#include "team.h"

enum { PARALLEL_FROM = 4 }; /* pieces */

convti_climb convti_tree_climb(convti_node node, convti_span span)
{
    convti_climb climb = {0, node, CONVTI_IS_ALL, 0};
    convti_node *at = &climb.node;
    for (int64_t size = (int64_t)1 << at->level; at->first > 0 || size < span.leaves; size *= 2) {
        const bool right = at->first & size;
        climb.sibling = right ? at->first - size : at->first + size;
        climb.then = right                      ? CONVTI_SENDS
                     : climb.sibling < span.end ? CONVTI_WAITS
                                                : CONVTI_RECEIVES;
        const bool alone = climb.sibling >= span.leaves;
        if (!alone && (!right || climb.sibling < span.begin)) return climb;
        if (right) climb.slots |= 1U << at->level;
        if (right) at->first = climb.sibling;
        at->level++;
    }
    climb.then = CONVTI_IS_ALL;
    return climb;
}

struct task {
    const convti_tree *tree;
    convti_addition addition;
};

static void add_piece(void *work, int64_t index)
{
    const struct task *task = work;
    const convti_tree *tree = task->tree;
    const convti_addition *a = &task->addition;
    const convti_piece piece = convti_piece_at(tree->rows + a->first, index);
    const int row = a->first + piece.row;
    const convt_view gradient = tree->rows[row].gradient;
    const void *source[CONVTI_MOST_SLOTS + 1];
    int n = 0;
    if (a->incoming) source[n++] = convti_element(tree->incoming[row], gradient.dtype, piece.first);
    for (int k = 0; k < CONVTI_MOST_SLOTS; k++)
        if (a->slots >> k & 1)
            source[n++] = convti_element(tree->slot[k][row], gradient.dtype, piece.first);
    void *leaf = convti_element(gradient.data, gradient.dtype, piece.first);
    void *sum = a->to ? convti_element(a->to[row], gradient.dtype, piece.first) : leaf;
    if (gradient.dtype == CONVT_FLOAT32)
        convti_tree_sum_f32(piece.count, leaf, source, n, sum);
    else
        convti_tree_sum_f64(piece.count, leaf, source, n, sum);
}

void convti_tree_add(const convti_tree *tree, convti_addition addition)
{
    if (!addition.slots && !addition.incoming && !addition.to) return; /* the sum is there */
    const int64_t pieces =
        convti_piece_count(tree->rows + addition.first, addition.last - addition.first);
    convti_team_each(pieces >= PARALLEL_FROM ? tree->threads : 1, pieces, add_piece,
                     &(struct task){tree, addition});
}
