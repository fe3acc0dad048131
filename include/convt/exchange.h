/*
 * Several processes that train one model: what the trainer asks of whatever joins them. <convt/mpi.h>
 * is one implementation, over MPI; train.h includes this header.
 *
 * Every process is a rank, 0 .. size - 1, runs the same program on the same configs, and owns a share
 * of the samples (convt_trainer_own). Sums of gradients travel up a tree that ends at rank 0, and down
 * again as bytes, so that weights, codes, losses and history have the same bits for any number of
 * ranks, one included.
 */
#ifndef CONVT_EXCHANGE_H
#define CONVT_EXCHANGE_H

#include "view.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All zero: one process, and none of the functions is called. Otherwise all of them are there. They are
 * called from one thread, that of the caller of the trainer, and return CONVT_OK, or a status that ends
 * the fit; what was begun is then not waited for.
 *
 * Nothing may depend on whether a message has arrived before somebody waits for it, and memory of a
 * message is neither written (send, and broadcast on rank 0) nor read (the others) until its wait has
 * returned.
 */
typedef struct convt_exchange {
    int rank, size;
    void *context;

    /* Begin to send and to receive any number of bytes, and give a number to wait for. Of two messages
     * between the same ranks with the same tag (0 .. 32767) the first sent is the first received. */
    convt_status (*send)(void *context, int rank, int tag, const void *data, size_t bytes,
                         int *request);
    convt_status (*receive)(void *context, int rank, int tag, void *data, size_t bytes,
                            int *request);

    /* Begins to give all ranks the bytes of rank 0. All ranks begin the same broadcasts in the same
     * order. */
    convt_status (*broadcast)(void *context, void *data, size_t bytes, int *request);

    /* Returns when what was begun is through. Once for each request; the number is free again then. */
    convt_status (*wait)(void *context, int request);
} convt_exchange;

#ifdef __cplusplus
}
#endif
#endif
