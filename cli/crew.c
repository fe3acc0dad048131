/*
 * The processes of one `convt train`; see crew.h.
 */
#include "crew.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "witness.h"

#ifdef CONVT_WITH_MPI
#include <convt/mpi.h>
#endif

enum { AGREEMENT_TAG = 1, GATHER_TAG };

/* ---- who has started this process? ----------------------------------------------------------- */

/* What launchers say to the processes that they start, those that may start others last. */
static const struct launcher {
    const char *size, *rank;
} launchers[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, /* OpenMPI's mpirun */
    {"PMI_SIZE", "PMI_RANK"},                         /* MPICH's and Intel's, srun --mpi=pmi2 */
    {"MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},   /* MVAPICH2's */
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},         /* srun, whatever it tells MPI */
};

static long number_of(const char *variable, long otherwise)
{
    const char *text = getenv(variable);
    char *end;
    const long number = text ? strtol(text, &end, 10) : otherwise;
    return text && (end == text || *end) ? otherwise : number;
}

static struct launch {
    long size, rank;
} find_launch(void)
{
    for (size_t i = 0; i < LENGTH(launchers); i++) {
        const long size = number_of(launchers[i].size, 0);
        if (size > 0) return (struct launch){size, number_of(launchers[i].rank, 0)};
    }
    return (struct launch){1, 0};
}

/* The line of rank 0; the others, who can ask nobody, say nothing. */
static int refuse(struct launch launch, const char *why)
{
    if (launch.rank == 0)
        complain(EXIT_USAGE, "train",
                 "%ld processes were started, and each would train the same: %s", launch.size, why);
    return EXIT_USAGE;
}

/* ---- joining and leaving --------------------------------------------------------------------- */

/* What the command prints is rank 0's to print. */
static void keep_quiet(void)
{
    complain_later(true);
    if (!freopen("/dev/null", "w", stdout)) fclose(stdout);
}

#ifdef CONVT_WITH_MPI
/* OpenMPI's mpirun waits a second between SIGTERM and SIGKILL, unless told otherwise. */
static int patience(void)
{
    const long seconds = number_of("OMPI_MCA_odls_base_sigkill_timeout", 1);
    return (int)(seconds < 3600 ? seconds * 700 : 3600 * 700);
}

static int join(crew *c, struct launch launch)
{
    convt_error err;
    if (launch.rank == 0) witness_start(patience());
    if (convt_mpi_create(&c->mpi, &c->exchange, &err) != CONVT_OK)
        return launch.rank == 0 ? complain_config("mpi", &err) : EXIT_FAILED;
    if (c->exchange.size == launch.size) return OPTIONS_PARSED;
    char why[160];
    snprintf(
        why, sizeof why,
        "MPI joins %d of them; start them with the mpirun of the MPI that convt was built with",
        c->exchange.size);
    return refuse(launch, why);
}

static void leave(crew *c)
{
    if (c->lost) convt_mpi_abort(c->mpi, EXIT_FAILED);
    convt_mpi_destroy(c->mpi);
}
#else
static int join(crew *c, struct launch launch)
{
    (void)c;
    return refuse(launch,
                  "this convt is built without MPI; install it (Debian: libopenmpi-dev) and "
                  "build with -DCONVT_WITH_MPI=ON");
}

static void leave(crew *c)
{
    (void)c;
}
#endif

/* Where the ranks are, for the witness of rank 0. */
static int tell_witness(crew *c)
{
    const process_place here = process_here();
    process_place *all = calloc((size_t)c->exchange.size, sizeof *all);
    int code = all ? OPTIONS_PARSED : complain(EXIT_FAILED, "train", "out of memory");
    code = crew_agree(c, code);
    if (code == OPTIONS_PARSED) code = crew_gather(c, &here, sizeof here, all);
    if (code == OPTIONS_PARSED && c->exchange.rank == 0) witness_ranks(all, c->exchange.size);
    free(all);
    return code;
}

int crew_join(crew *c)
{
    const struct launch launch = find_launch();
    *c = (crew){.mpi = NULL};
    if (launch.size <= 1) return OPTIONS_PARSED;
    const int code = join(c, launch);
    if (code == OPTIONS_PARSED && c->exchange.rank > 0) keep_quiet();
    return code == OPTIONS_PARSED ? tell_witness(c) : code;
}

void crew_leave(crew *c)
{
    witness_end();
    leave(c);
}

/* ---- all together ---------------------------------------------------------------------------- */

static int lost(crew *c)
{
    c->lost = true;
    return complain(EXIT_FAILED, "mpi", "%s", convt_status_text(CONVT_EXCHANGE_FAILED));
}

static bool pass(const crew *c, int from, int to, int tag, void *data, size_t size)
{
    const convt_exchange *e = &c->exchange;
    int request;
    convt_status status = e->rank == from ? e->send(e->context, to, tag, data, size, &request)
                                          : e->receive(e->context, from, tag, data, size, &request);
    return !status && !e->wait(e->context, request);
}

static bool broadcast(const crew *c, void *data, size_t size)
{
    const convt_exchange *e = &c->exchange;
    int request;
    return !e->broadcast(e->context, data, size, &request) && !e->wait(e->context, request);
}

/* How a step went on one rank. */
struct outcome {
    int code;
    char line[COMPLAINT_ROOM];
};

int crew_agree(crew *c, int code)
{
    struct outcome first = {.code = code};
    if (!crew_is_shared(c)) return code;
    snprintf(first.line, sizeof first.line, "%s", complained());
    if (c->exchange.rank > 0 && !pass(c, c->exchange.rank, 0, AGREEMENT_TAG, &first, sizeof first))
        return lost(c);
    for (int rank = 1; c->exchange.rank == 0 && rank < c->exchange.size; rank++) {
        struct outcome other;
        if (!pass(c, rank, 0, AGREEMENT_TAG, &other, sizeof other)) return lost(c);
        if (first.code != OPTIONS_PARSED || other.code == OPTIONS_PARSED) continue;
        first = other;
        fflush(stdout);
        fprintf(stderr, "%s (rank %d)\n", other.line, rank);
    }
    return broadcast(c, &first.code, sizeof first.code) ? first.code : lost(c);
}

int crew_share(crew *c, void **data, size_t *size)
{
    int64_t bytes = c->exchange.rank == 0 && *data ? (int64_t)*size : -1;
    if (!crew_is_shared(c)) return OPTIONS_PARSED;
    if (!broadcast(c, &bytes, sizeof bytes)) return lost(c);
    if (bytes < 0) return OPTIONS_PARSED;
    if (c->exchange.rank > 0) *data = malloc((size_t)bytes + 1);
    const int code = *data ? OPTIONS_PARSED : complain(EXIT_FAILED, "train", "out of memory");
    if (crew_agree(c, code) != OPTIONS_PARSED) return code == OPTIONS_PARSED ? EXIT_FAILED : code;
    *size = (size_t)bytes;
    return broadcast(c, *data, *size) ? OPTIONS_PARSED : lost(c);
}

int crew_copy(crew *c, void *data, size_t size)
{
    return !crew_is_shared(c) || broadcast(c, data, size) ? OPTIONS_PARSED : lost(c);
}

int crew_gather(crew *c, const void *own, size_t size, void *all)
{
    const convt_exchange *e = &c->exchange;
    if (e->rank == 0) memcpy(all, own, size);
    if (e->rank > 0 && !pass(c, e->rank, 0, GATHER_TAG, (void *)(uintptr_t)own, size))
        return lost(c);
    for (int rank = 1; e->rank == 0 && rank < e->size; rank++)
        if (!pass(c, rank, 0, GATHER_TAG, (char *)all + (size_t)rank * size, size)) return lost(c);
    return OPTIONS_PARSED;
}
