/*
 * The exchange over MPI: a message is one of MPI's, or several, since their counts are int; a broadcast
 * is MPI_Ibcast from rank 0, whose bytes MPI only moves. Errors of MPI come back as statuses.
 */
#include "convt/mpi.h"

#include <mpi.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "join.h"
#include "status.h"

enum { PIECE = 1 << 30, NO_PIECE = -1 };

/* On its way; free where the request is MPI_REQUEST_NULL. */
struct piece {
    MPI_Request request;
    int next; /* of the same message, or NO_PIECE */
};

struct convt_mpi {
    MPI_Comm world;
    bool own;          /* MPI was initialized here */
    size_t most_bytes; /* of a piece, on every rank the same */
    struct piece *pieces;
    int room;
};

/* NO_PIECE where memory is out. */
static int free_piece(convt_mpi *mpi)
{
    int number = 0;
    while (number < mpi->room && mpi->pieces[number].request != MPI_REQUEST_NULL) number++;
    if (number < mpi->room) return number;
    const int room = 2 * mpi->room + 16;
    struct piece *more = realloc(mpi->pieces, (size_t)room * sizeof *more);
    if (!more) return NO_PIECE;
    for (int i = mpi->room; i < room; i++) more[i].request = MPI_REQUEST_NULL;
    mpi->pieces = more;
    mpi->room = room;
    return number;
}

static convt_status status_of(int code)
{
    return code == MPI_SUCCESS ? CONVT_OK : CONVT_EXCHANGE_FAILED;
}

/* ---- pieces of a message --------------------------------------------------------------------- */

struct message {
    int rank, tag; /* of the other side */
    char *data;
    size_t bytes;
};

/* Begins with the first `bytes` of what is left. */
typedef int begin_function(const convt_mpi *mpi, const struct message *rest, int bytes,
                           MPI_Request *request);

static int begin_to_send(const convt_mpi *mpi, const struct message *rest, int bytes,
                         MPI_Request *request)
{
    return MPI_Isend(rest->data, bytes, MPI_BYTE, rest->rank, rest->tag, mpi->world, request);
}

static int begin_to_receive(const convt_mpi *mpi, const struct message *rest, int bytes,
                            MPI_Request *request)
{
    return MPI_Irecv(rest->data, bytes, MPI_BYTE, rest->rank, rest->tag, mpi->world, request);
}

static int begin_to_broadcast(const convt_mpi *mpi, const struct message *rest, int bytes,
                              MPI_Request *request)
{
    return MPI_Ibcast(rest->data, bytes, MPI_BYTE, 0, mpi->world, request);
}

/* The number of a message is that of its first piece. MPI keeps the order of pieces, as that of messages. */
static convt_status begin(convt_mpi *mpi, begin_function *function, struct message rest,
                          int *request)
{
    int last = NO_PIECE;
    do {
        const size_t bytes = rest.bytes < mpi->most_bytes ? rest.bytes : mpi->most_bytes;
        const int number = free_piece(mpi);
        if (number == NO_PIECE) return CONVT_NO_MEMORY;
        struct piece *piece = &mpi->pieces[number];
        const int code = function(mpi, &rest, (int)bytes, &piece->request);
        if (code != MPI_SUCCESS) return status_of(code);
        piece->next = NO_PIECE;
        *(last == NO_PIECE ? request : &mpi->pieces[last].next) = number;
        last = number;
        rest.data += bytes;
        rest.bytes -= bytes;
    } while (rest.bytes > 0);
    return CONVT_OK;
}

/* ---- the four functions ---------------------------------------------------------------------- */

static convt_status send_bytes(void *context, int rank, int tag, const void *data, size_t bytes,
                               int *request)
{
    const struct message all = {rank, tag, (char *)(uintptr_t)data, bytes};
    return begin(context, begin_to_send, all, request);
}

static convt_status receive_bytes(void *context, int rank, int tag, void *data, size_t bytes,
                                  int *request)
{
    const struct message all = {rank, tag, data, bytes};
    return begin(context, begin_to_receive, all, request);
}

static convt_status broadcast_bytes(void *context, void *data, size_t bytes, int *request)
{
    const struct message all = {.data = data, .bytes = bytes};
    return begin(context, begin_to_broadcast, all, request);
}

/* Where ranks share a core, the one that is waited for gets it. */
static int wait_for_piece(MPI_Request *request)
{
    int done = 0, code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
    while (code == MPI_SUCCESS && !done) {
        sched_yield();
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
    }
    return code;
}

static convt_status wait_for(void *context, int request)
{
    convt_mpi *mpi = context;
    int code = MPI_SUCCESS;
    for (int i = request; i != NO_PIECE && code == MPI_SUCCESS; i = mpi->pieces[i].next)
        code = wait_for_piece(&mpi->pieces[i].request);
    return status_of(code);
}

/* ---- life ------------------------------------------------------------------------------------ */

static convt_status refuse(convt_error *err, const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return convti_fail(err, CONVT_EXCHANGE_FAILED, "mpi", "%s failed: %s", what, text);
}

static convt_status join(convt_mpi *mpi, convt_exchange *exchange, convt_error *err)
{
    int initialized = 0, level = 0, code = MPI_Initialized(&initialized);
    if (code == MPI_SUCCESS && !initialized) {
        code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
        mpi->own = code == MPI_SUCCESS;
    }
    if (code != MPI_SUCCESS) return refuse(err, "MPI_Init_thread", code);
    code = MPI_Comm_dup(MPI_COMM_WORLD, &mpi->world);
    if (code != MPI_SUCCESS) return refuse(err, "MPI_Comm_dup", code);
    MPI_Comm_set_errhandler(mpi->world, MPI_ERRORS_RETURN);
    *exchange = (convt_exchange){.context = mpi,
                                 .send = send_bytes,
                                 .receive = receive_bytes,
                                 .broadcast = broadcast_bytes,
                                 .wait = wait_for};
    code = MPI_Comm_rank(mpi->world, &exchange->rank);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(mpi->world, &exchange->size);
    return code == MPI_SUCCESS ? CONVT_OK : refuse(err, "MPI_Comm_rank", code);
}

convt_status convti_mpi_join(convt_mpi **out, convt_exchange *exchange, size_t most_bytes,
                             convt_error *err)
{
    convti_clear(err);
    *out = NULL;
    convt_mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi) return convti_fail(err, CONVT_NO_MEMORY, "mpi", "%zu bytes", sizeof *mpi);
    mpi->world = MPI_COMM_NULL;
    mpi->most_bytes = most_bytes;
    convt_status status = join(mpi, exchange, err);
    if (status)
        convt_mpi_destroy(mpi);
    else
        *out = mpi;
    return status;
}

convt_status convt_mpi_create(convt_mpi **out, convt_exchange *exchange, convt_error *err)
{
    return convti_mpi_join(out, exchange, PIECE, err);
}

void convt_mpi_destroy(convt_mpi *mpi)
{
    if (!mpi) return;
    if (mpi->world != MPI_COMM_NULL) MPI_Comm_free(&mpi->world);
    if (mpi->own) MPI_Finalize();
    free(mpi->pieces);
    free(mpi);
}

void convt_mpi_abort(convt_mpi *mpi, int code)
{
    MPI_Abort(mpi->world, code);
}
