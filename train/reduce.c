/*
 * A batch on its way through the tree; see reduce.h.
 *
 * A chunk is the gradient of one parameter, the last layer's first, or, behind them all, the report.
 * Chunks go through the tree one after the other, each as soon as it is there: what is sent of the
 * last layers travels while backward is at the first ones, and no chunk waits for another on its way
 * through several ranks. Broadcasts begin in the order of chunks on every rank.
 */
#include "reduce.h"

#include <math.h>

#include "pieces.h"
#include "trainer.h"

/* ---- reports --------------------------------------------------------------------------------- */

bool convti_report_is_bad(const convti_report *report, bool trained_on)
{
    return report->error.status || (trained_on && !isfinite(report->value.loss));
}

/* *right = left + right. Of what is bad the first leaf's counts, as if one process had stopped there. */
static void add_report(const convti_report *left, convti_report *right, bool trained_on)
{
    const unsigned wishes = left->wishes | right->wishes;
    if (convti_report_is_bad(left, trained_on)) {
        *right = *left;
    } else {
        right->value.loss = left->value.loss + right->value.loss;
        right->value.mse = left->value.mse + right->value.mse;
    }
    right->wishes = wishes;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static int chunks_before_report(const convt_trainer *t)
{
    return t->reduction.gradients ? t->tree.count : 0;
}

static bool is_report(const convt_trainer *t, int chunk)
{
    return chunk == t->tree.count;
}

/* The first chunk of a reduction, and the one behind: reports alone begin with the report. */
static int first_chunk(const convt_trainer *t)
{
    return t->reduction.gradients ? 0 : t->tree.count;
}

static size_t chunk_bytes(const convt_trainer *t, int chunk)
{
    if (is_report(t, chunk)) return sizeof t->reduction.report;
    const convt_parameter *row = &t->tree.rows[chunk];
    return (size_t)convti_elements(row) * convti_element_bytes(row->gradient.dtype);
}

static void *sum_of(convt_trainer *t, int chunk)
{
    return is_report(t, chunk) ? (void *)&t->reduction.report : t->tree.rows[chunk].gradient.data;
}

static void *incoming_of(convt_trainer *t, int chunk)
{
    return is_report(t, chunk) ? (void *)&t->reduction.incoming : t->tree.incoming[chunk];
}

/* ---- the exchange ---------------------------------------------------------------------------- */

static void note(convt_trainer *t, convt_status status)
{
    if (!t->reduction.lost) t->reduction.lost = status;
}

static void wait_for(convt_trainer *t, int request)
{
    const convt_exchange *e = &t->cfg.exchange;
    if (!t->reduction.lost) note(t, e->wait(e->context, request));
}

static void broadcast(convt_trainer *t, int chunk)
{
    const convt_exchange *e = &t->cfg.exchange;
    if (!t->reduction.lost)
        note(t, e->broadcast(e->context, sum_of(t, chunk), chunk_bytes(t, chunk),
                             &t->reduction.request[chunk]));
}

static void send_sum(convt_trainer *t, int chunk, const void *data, int64_t sibling, int *request)
{
    const convt_exchange *e = &t->cfg.exchange;
    if (!t->reduction.lost)
        note(t, e->send(e->context, convti_cut_owner(&t->cut, sibling), chunk, data,
                        chunk_bytes(t, chunk), request));
}

/* What follows where a chunk of the last own leaf has come as far as it can. */
static void hand_over(convt_trainer *t, int chunk)
{
    const convt_exchange *e = &t->cfg.exchange;
    convti_reduction *r = &t->reduction;
    if (!convti_shared(t) || r->lost) return;
    if (r->climb.then == CONVTI_SENDS)
        send_sum(t, chunk, sum_of(t, chunk), r->climb.sibling, &r->request[chunk]);
    else if (r->climb.then == CONVTI_RECEIVES)
        note(t, e->receive(e->context, convti_cut_owner(&t->cut, r->climb.sibling), chunk,
                           incoming_of(t, chunk), chunk_bytes(t, chunk), &r->request[chunk]));
    else
        broadcast(t, chunk);
}

/* ---- wishes of ranks that have no leaf in a batch, and so no report ----------------------------- */

enum { WISHES_TAG = 31999 }; /* those of chunks come before, those of codes behind */

static bool is_idle(const convti_reduction *r)
{
    return r->span.end == r->span.begin;
}

static void tell_wishes(convt_trainer *t)
{
    const convt_exchange *e = &t->cfg.exchange;
    convti_reduction *r = &t->reduction;
    r->wishes = t->wishes;
    note(t, e->send(e->context, 0, WISHES_TAG, &r->wishes, sizeof r->wishes, &r->wishes_request));
}

/* By rank 0, which has the first leaf of every batch. They were sent when the batch began, and the ranks
 * without a leaf are the last ones. */
static void hear_wishes(convt_trainer *t)
{
    const convt_exchange *e = &t->cfg.exchange;
    convti_reduction *r = &t->reduction;
    const int first = convti_cut_owner(&t->cut, r->span.leaves - 1) + 1;
    for (int rank = first; rank < t->cut.size && !r->lost; rank++) {
        note(t, e->receive(e->context, rank, WISHES_TAG, &r->heard, sizeof r->heard,
                           &r->wishes_request));
        wait_for(t, r->wishes_request);
        r->report.wishes |= r->heard;
    }
}

/* ---- up -------------------------------------------------------------------------------------- */

void convti_reduce_begin(convt_trainer *t, int64_t leaves, bool gradients)
{
    const convti_cut *cut = &t->cut;
    convti_reduction *r = &t->reduction;
    r->span = (convti_span){cut->begin < leaves ? cut->begin : leaves,
                            cut->end < leaves ? cut->end : leaves, leaves};
    r->gradients = gradients;
    r->lost = CONVT_OK;
    r->layers = 0;
    r->outboxes = 0;
    r->climb = (convti_climb){.then = CONVTI_IS_ALL}; /* of a rank without a leaf in this batch */
    if (!is_idle(r))
        r->climb = convti_tree_climb((convti_node){0, r->span.end - 1}, r->span);
    else if (gradients)
        tell_wishes(t);
}

/* Rows first .. last of the last own leaf. */
static void climb_rows(convt_trainer *t, int first, int last)
{
    convti_tree_add(&t->tree,
                    (convti_addition){first, last, t->reduction.climb.slots, false, NULL});
    for (int row = first; row < last; row++) hand_over(t, row);
}

void convti_reduce_layer(convt_trainer *t, int layer)
{
    const int done = convt_model_layer_count(t->cfg.model) - 1 - layer;
    climb_rows(t, done > 0 ? t->tree.layer_end[done - 1] : 0, t->tree.layer_end[done]);
    t->reduction.layers = done + 1;
}

/* Rows whose layers nobody announced: of one process all of them, in one loop. */
static void climb_the_rest(convt_trainer *t)
{
    const int layers = t->reduction.layers;
    climb_rows(t, layers > 0 ? t->tree.layer_end[layers - 1] : 0, t->tree.count);
}

/* A leaf that others follow: its sum waits in a slot, or goes off from an outbox. */
static void set_aside(convt_trainer *t, const convti_climb *climb)
{
    convti_reduction *r = &t->reduction;
    const bool sends = climb->then == CONVTI_SENDS;
    const int at = sends ? r->outboxes++ : climb->node.level;
    convti_report *report = sends ? &r->outbox[at] : &r->slot[at];
    void **to = sends ? t->tree.outbox[at] : t->tree.slot[at];
    int *request = r->outbox_request + (sends ? at : 0) * (t->tree.count + 1);
    *report = r->report;
    if (r->gradients)
        convti_tree_add(&t->tree, (convti_addition){0, t->tree.count, climb->slots, false, to});
    for (int chunk = first_chunk(t); sends && chunk <= t->tree.count; chunk++)
        send_sum(t, chunk, is_report(t, chunk) ? (void *)report : to[chunk], climb->sibling,
                 &request[chunk]);
}

static void climb_report(convt_trainer *t, unsigned slots)
{
    convti_reduction *r = &t->reduction;
    for (int k = 0; k < CONVTI_MOST_SLOTS; k++)
        if (slots >> k & 1) add_report(&r->slot[k], &r->report, r->gradients);
}

void convti_reduce_leaf(convt_trainer *t, int64_t leaf, const convti_report *report)
{
    convti_reduction *r = &t->reduction;
    const convti_climb climb = convti_tree_climb((convti_node){0, leaf}, r->span);
    r->report = *report;
    climb_report(t, climb.slots);
    if (!convti_reduce_is_last(r, leaf)) {
        set_aside(t, &climb);
        return;
    }
    if (r->gradients) climb_the_rest(t);
    if (r->gradients && t->cut.rank == 0) hear_wishes(t);
    hand_over(t, t->tree.count);
}

/* ---- behind the last own leaf ---------------------------------------------------------------- */

/* Sums of other ranks come in, from the nearest neighbour to the one that has the other half. */
static void take_in(convt_trainer *t)
{
    convti_reduction *r = &t->reduction;
    while (r->climb.then == CONVTI_RECEIVES && !r->lost) {
        const int last = chunks_before_report(t);
        r->climb = convti_tree_climb(convti_tree_parent(r->climb.node), r->span);
        for (int row = 0; row < last && !r->lost; row++) {
            wait_for(t, r->request[row]);
            convti_tree_add(&t->tree, (convti_addition){row, row + 1, r->climb.slots, true, NULL});
            hand_over(t, row);
        }
        wait_for(t, r->request[t->tree.count]);
        const convti_report left = r->report;
        r->report = r->incoming;
        add_report(&left, &r->report, r->gradients);
        climb_report(t, r->climb.slots);
        hand_over(t, t->tree.count);
    }
}

/* Every rank but rank 0 takes the whole from there, in place of what it has sent. */
static void take_the_whole(convt_trainer *t)
{
    for (int chunk = first_chunk(t); chunk <= t->tree.count && !t->reduction.lost; chunk++) {
        if (!is_idle(&t->reduction)) wait_for(t, t->reduction.request[chunk]);
        broadcast(t, chunk);
    }
}

convt_status convti_reduce_finish(convt_trainer *t, convti_report *total)
{
    convti_reduction *r = &t->reduction;
    if (convti_shared(t)) {
        take_in(t);
        if (t->cut.rank != 0) take_the_whole(t);
        for (int chunk = first_chunk(t); chunk <= t->tree.count; chunk++)
            wait_for(t, r->request[chunk]);
        for (int box = 0; box < r->outboxes; box++)
            for (int chunk = first_chunk(t); chunk <= t->tree.count; chunk++)
                wait_for(t, r->outbox_request[box * (t->tree.count + 1) + chunk]);
        if (r->gradients && is_idle(r)) wait_for(t, r->wishes_request);
    }
    *total = r->report;
    return convti_exchanged(t, r->lost);
}
