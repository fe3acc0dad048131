/*
 * The processes of one `convt train`: one, or as many ranks as mpirun has started. Every rank runs the
 * same program; rank 0 alone prints and writes.
 */
#ifndef CONVT_CREW_H
#define CONVT_CREW_H

#include <stdbool.h>
#include <stddef.h>

#include <convt/exchange.h>

typedef struct crew {
    convt_exchange exchange; /* all zero: one process */
    struct convt_mpi *mpi;   /* NULL: one process */
    bool lost;               /* another rank could not be reached: nothing goes on */
} crew;

/*
 * Joins the ranks that a launcher has started, if one has. From here on, other ranks than 0 write to
 * /dev/null and keep their error line until crew_agree. OPTIONS_PARSED, or the exit code after rank 0's
 * line, where they would be so many processes that each train the same: the build has no MPI, or MPI
 * and launcher do not know each other.
 */
int crew_join(crew *c);

/* Waits for the others; where one is lost, ends them all. */
void crew_leave(crew *c);

static inline bool crew_is_shared(const crew *c)
{
    return c->exchange.size > 1;
}

/* Of a step that every rank has taken, with its own code: that of the first rank where it is not
 * OPTIONS_PARSED, whose error line rank 0 prints. */
int crew_agree(crew *c, int code);

/* Gives every rank what rank 0 has. Elsewhere *data becomes malloc'ed memory, NULL where there is none of
 * it: so many bytes, or that rank 0 gave NULL. */
int crew_share(crew *c, void **data, size_t *size);

/* The same of so many bytes that every rank has room for. */
int crew_copy(crew *c, void *data, size_t size);

/* Gives rank 0 so many bytes of every rank, in the order of ranks; `all` is there. */
int crew_gather(crew *c, const void *own, size_t size, void *all);

#endif
