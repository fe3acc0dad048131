/*
 * The exchange over MPI: a message is a message, a broadcast MPI_Ibcast from rank 0, whose bytes MPI
 * only moves. Errors of MPI come back as statuses.
 */
#include "convt/mpi.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

struct convt_mpi {
    MPI_Comm world;
    bool own; /* MPI was initialized here */
    MPI_Request *requests;
    int room;
};

/* The number of a request that is free; -1 where memory is out. */
static int free_request(convt_mpi *mpi)
{
    int number = 0;
    while (number < mpi->room && mpi->requests[number] != MPI_REQUEST_NULL) number++;
    if (number < mpi->room) return number;
    const int room = 2 * mpi->room + 16;
    MPI_Request *more = realloc(mpi->requests, (size_t)room * sizeof(MPI_Request));
    if (!more) return -1;
    for (int i = mpi->room; i < room; i++) more[i] = MPI_REQUEST_NULL;
    mpi->requests = more;
    mpi->room = room;
    return number;
}

static convt_status begin(convt_mpi *mpi, size_t bytes, int *request)
{
    if (bytes > INT_MAX) return CONVT_TOO_LARGE;
    *request = free_request(mpi);
    return *request < 0 ? CONVT_NO_MEMORY : CONVT_OK;
}

static convt_status status_of(int code)
{
    return code == MPI_SUCCESS ? CONVT_OK : CONVT_EXCHANGE_FAILED;
}

static convt_status send_bytes(void *context, int rank, int tag, const void *data, size_t bytes,
                               int *request)
{
    convt_mpi *mpi = context;
    convt_status status = begin(mpi, bytes, request);
    if (status) return status;
    return status_of(
        MPI_Isend(data, (int)bytes, MPI_BYTE, rank, tag, mpi->world, &mpi->requests[*request]));
}

static convt_status receive_bytes(void *context, int rank, int tag, void *data, size_t bytes,
                                  int *request)
{
    convt_mpi *mpi = context;
    convt_status status = begin(mpi, bytes, request);
    if (status) return status;
    return status_of(
        MPI_Irecv(data, (int)bytes, MPI_BYTE, rank, tag, mpi->world, &mpi->requests[*request]));
}

static convt_status broadcast_bytes(void *context, void *data, size_t bytes, int *request)
{
    convt_mpi *mpi = context;
    convt_status status = begin(mpi, bytes, request);
    if (status) return status;
    return status_of(
        MPI_Ibcast(data, (int)bytes, MPI_BYTE, 0, mpi->world, &mpi->requests[*request]));
}

/* Where ranks share a core, the one that is waited for gets it. */
static convt_status wait_for(void *context, int request)
{
    convt_mpi *mpi = context;
    int done = 0, code = MPI_Test(&mpi->requests[request], &done, MPI_STATUS_IGNORE);
    while (code == MPI_SUCCESS && !done) {
        sched_yield();
        code = MPI_Test(&mpi->requests[request], &done, MPI_STATUS_IGNORE);
    }
    return status_of(code);
}

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

convt_status convt_mpi_create(convt_mpi **out, convt_exchange *exchange, convt_error *err)
{
    convti_clear(err);
    *out = NULL;
    convt_mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi) return convti_fail(err, CONVT_NO_MEMORY, "mpi", "%zu bytes", sizeof *mpi);
    mpi->world = MPI_COMM_NULL;
    convt_status status = join(mpi, exchange, err);
    if (status)
        convt_mpi_destroy(mpi);
    else
        *out = mpi;
    return status;
}

void convt_mpi_destroy(convt_mpi *mpi)
{
    if (!mpi) return;
    if (mpi->world != MPI_COMM_NULL) MPI_Comm_free(&mpi->world);
    if (mpi->own) MPI_Finalize();
    free(mpi->requests);
    free(mpi);
}

void convt_mpi_abort(convt_mpi *mpi, int code)
{
    MPI_Abort(mpi->world, code);
}
