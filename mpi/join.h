/* What tests need of mpi.c beside <convt/mpi.h>. */
#ifndef CONVT_JOIN_H
#define CONVT_JOIN_H

#include "convt/mpi.h"

/* convt_mpi_create, with messages cut into pieces of at most so many bytes, 1 .. 2^31 - 1. */
convt_status convti_mpi_join(convt_mpi **mpi, convt_exchange *exchange, size_t most_bytes,
                             convt_error *err);

#endif
