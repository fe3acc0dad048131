/*
 * The exchange of exchange.h over MPI: library convt_mpi (CMake: convt::mpi), built where an MPI is found.
 *
 *     convt_mpi *mpi;
 *     convt_trainer_config cfg = {...};
 *     if (convt_mpi_create(&mpi, &cfg.exchange, &err)) ...
 *     ... the program as for one process ...
 *     convt_mpi_destroy(mpi);
 *
 * and `mpirun -np 8 program`. Calls come from one thread (MPI_THREAD_FUNNELED); OpenMP threads of a rank
 * may be as many as it has cores.
 */
#ifndef CONVT_MPI_H
#define CONVT_MPI_H

#include "exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct convt_mpi convt_mpi;

/*
 * Joins the processes of MPI_COMM_WORLD, over a communicator of its own whose errors are statuses, and
 * fills *exchange, which is valid until destroy. Initializes MPI where nobody has. Errors, in *err (may
 * be NULL): CONVT_EXCHANGE_FAILED with MPI's words, CONVT_NO_MEMORY; *mpi is NULL then.
 */
CONVT_API convt_status convt_mpi_create(convt_mpi **mpi, convt_exchange *exchange,
                                        convt_error *err);

/* Waits for the other ranks, and finalizes MPI where create initialized it. NULL: nothing. */
CONVT_API void convt_mpi_destroy(convt_mpi *mpi);

/* Ends all ranks at once, this one with exit status `code`: for who cannot go on while others wait. */
CONVT_API void convt_mpi_abort(convt_mpi *mpi, int code);

#ifdef __cplusplus
}
#endif
#endif
