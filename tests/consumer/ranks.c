/* An outside program of several ranks: each sends its number to the next one, and rank 0 has the last
 * word. */
#include <convt/mpi.h>
#include <convt/train.h>
#include <stdio.h>

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static convt_status pass_on(const convt_exchange *world, int *got)
{
    const int next = (world->rank + 1) % world->size;
    const int before = (world->rank + world->size - 1) % world->size;
    int in, out;
    convt_status status = world->receive(world->context, before, 1, got, sizeof *got, &in);
    if (!status)
        status = world->send(world->context, next, 1, &world->rank, sizeof world->rank, &out);
    if (!status) status = world->wait(world->context, in);
    return status ? status : world->wait(world->context, out);
}

int main(void)
{
    convt_trainer_config cfg = {.epochs = 1};
    convt_mpi *mpi;
    convt_error err;
    if (convt_mpi_create(&mpi, &cfg.exchange, &err)) return fail(err.field, err.message);
    const convt_exchange *world = &cfg.exchange;
    int got = -1, last = world->size, request;
    if (pass_on(world, &got)) return fail("exchange", "a message is lost");
    if (got != (world->rank + world->size - 1) % world->size)
        return fail("exchange", "wrong bytes");
    if (world->rank > 0) last = 0;
    if (world->broadcast(world->context, &last, sizeof last, &request) ||
        world->wait(world->context, request) || last != world->size)
        return fail("exchange", "wrong broadcast");
    if (world->rank == 0) printf("convt %s: %d ranks\n", convt_version(), world->size);
    convt_mpi_destroy(mpi);
    return 0;
}
