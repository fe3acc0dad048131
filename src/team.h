/*
 * The threads that work on one pass. A body runs once on each of them, and cuts its loops by their
 * number: in shares of a range, or item by item, whoever is free. A team of one is a plain call, so
 * that a layer with one thread, or with too little work for two, costs no parallel region, and works
 * within a parallel region of the caller, too.
 *
 *     static void body(struct team *team, void *work)
 *     {
 *         const struct share s = convti_share(team, count);
 *         for (int64_t i = s.first; i < s.last; i++) ...         equal work: neighbours stay together
 *         convti_wait(team);                                     all have come as far
 *         _Atomic int64_t *queue = convti_queue(team);
 *         for (int64_t i; (i = convti_next(queue)) < items;) ... unequal work
 *     }
 *     convti_team_run(threads, body, &work);
 *
 * Which thread computes what must not change a bit of the result.
 */
#ifndef CONVT_TEAM_H
#define CONVT_TEAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { CONVTI_MOST_QUEUES = 8 }; /* in one body */

/* A cache line each: threads at different queues do not disturb one another. */
struct queue {
    _Alignas(64) _Atomic int64_t next;
};

struct team {
    int threads, thread; /* how many, and which one this is */
    int queues;          /* that this thread has asked for */
    struct queue *queue; /* of all threads */
};

typedef void convti_team_body(struct team *team, void *work);
void convti_team_run(int threads, convti_team_body *body, void *work);

/* The whole of a pass that is one loop of equal work: item(work, i) for i in [0, count), in shares. */
typedef void convti_team_item(void *work, int64_t i);
void convti_team_each(int threads, int64_t count, convti_team_item *item, void *work);

/* Nobody goes on before all are here. */
void convti_wait(const struct team *team);

/* A range [0, count) that is handed out item by item. Every thread asks for the same queues in the
 * same order. */
_Atomic int64_t *convti_queue(struct team *team);

static inline int64_t convti_next(_Atomic int64_t *queue)
{
    return atomic_fetch_add_explicit(queue, 1, memory_order_relaxed);
}

/* This thread's part of [0, count). */
struct share {
    int64_t first, last;
};

static inline struct share convti_share(const struct team *team, int64_t count)
{
    const int64_t whole = count / team->threads, rest = count % team->threads, t = team->thread;
    const int64_t first = t * whole + (t < rest ? t : rest);
    return (struct share){first, first + whole + (t < rest)};
}

#endif
