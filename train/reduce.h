/*
 * A batch on its way through the tree: gradients, and a report of losses and of what went wrong, from
 * the leaves of all ranks to rank 0, and the whole back to every rank.
 *
 *     convti_reduce_begin (t, leaves, gradients);
 *     for every own leaf:  convti_reduce_layer(t, layer) as layers of the last one are final
 *                          convti_reduce_leaf (t, leaf, &report)
 *     convti_reduce_finish(t, &total);
 *
 * What one rank does for another is done whatever went wrong, so that none waits for nothing. A rank that
 * has no leaf in a batch that is trained on has no report, and tells rank 0 what it wishes.
 */
#ifndef CONVT_REDUCE_H
#define CONVT_REDUCE_H

#include "tree.h"

/* Of a leaf, or a sum of leaves. */
typedef struct convti_report {
    convt_loss_value value;
    unsigned wishes; /* of all its ranks: convti_wish */
    int rank;        /* where the error happened */
    convt_error error;
} convti_report;

typedef struct convti_reduction {
    convti_span span;
    bool gradients;     /* take part; else reports alone */
    convt_status lost;  /* of the exchange: nothing goes on */
    convti_climb climb; /* of the last own leaf, or what it came to */
    int layers;         /* of the last own leaf that are through */
    int outboxes;       /* in use */
    convti_report report, incoming, slot[CONVTI_MOST_SLOTS], outbox[CONVTI_MOST_SLOTS];
    /* Of rows, then of the report; of every outbox the same. */
    int *request, *outbox_request;
    unsigned wishes, heard; /* of this rank, where it has no leaf; of another one, by rank 0 */
    int wishes_request;
} convti_reduction;

void convti_reduce_begin(convt_trainer *trainer, int64_t leaves, bool gradients);
void convti_reduce_layer(convt_trainer *trainer, int layer);
void convti_reduce_leaf(convt_trainer *trainer, int64_t leaf, const convti_report *report);
convt_status convti_reduce_finish(convt_trainer *trainer, convti_report *total);

/* The own leaf behind which none follows in the batch? */
static inline bool convti_reduce_is_last(const convti_reduction *r, int64_t leaf)
{
    return leaf + 1 == r->span.end;
}

/* A report that makes whatever comes behind it worthless. */
bool convti_report_is_bad(const convti_report *report, bool trained_on);

#endif
