/* Teams: a plain call, or a parallel region of OpenMP. */
#include "team.h"

#include <assert.h>
#include <omp.h>

void convti_team_run(int threads, convti_team_body *body, void *work)
{
    struct queue queues[CONVTI_MOST_QUEUES];
    if (threads == 1) {
        body(&(struct team){.threads = 1, .queue = queues}, work);
        return;
    }
    for (int i = 0; i < CONVTI_MOST_QUEUES; i++) queues[i].next = 0;
#pragma omp parallel num_threads(threads)
    body(&(struct team){.threads = omp_get_num_threads(),
                        .thread = omp_get_thread_num(),
                        .queue = queues},
         work);
}

struct loop {
    int64_t count;
    convti_team_item *item;
    void *work;
};

static void each(struct team *team, void *work)
{
    const struct loop *loop = work;
    const struct share own = convti_share(team, loop->count);
    for (int64_t i = own.first; i < own.last; i++) loop->item(loop->work, i);
}

void convti_team_each(int threads, int64_t count, convti_team_item *item, void *work)
{
    convti_team_run(threads, each, &(struct loop){count, item, work});
}

void convti_wait(const struct team *team)
{
    if (team->threads == 1) return;
#pragma omp barrier
}

_Atomic int64_t *convti_queue(struct team *team)
{
    assert(team->queues < CONVTI_MOST_QUEUES);
    _Atomic int64_t *next = &team->queue[team->queues++].next;
    /* A call of a tiny layer would notice all of them being cleared in front. */
    if (team->threads == 1) atomic_store_explicit(next, 0, memory_order_relaxed);
    return next;
}
