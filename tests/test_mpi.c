/* The exchange over MPI, on the ranks that mpirun has started: messages of any number of pieces. */
#include "support/close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "join.h"

enum { PIECE = 7, MOST_BYTES = 1000, AT_ONCE = 100 };
static const size_t lengths[] = {0, 1, 6, 7, 8, 13, 14, 15, 21, MOST_BYTES};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static convt_mpi *mpi;
static convt_exchange world;

/* Byte `at` of what a rank sends as its number-th message. */
static unsigned char byte_of(int rank, size_t number, size_t at)
{
    return (unsigned char)(31 * (size_t)rank + 7 * number + 3 * at + at / 256);
}

static void fill(unsigned char *data, size_t bytes, int rank, size_t number)
{
    for (size_t at = 0; at < bytes; at++) data[at] = byte_of(rank, number, at);
}

static void assert_filled(const unsigned char *data, size_t bytes, int rank, size_t number)
{
    for (size_t at = 0; at < bytes; at++) assert_int_equal(data[at], byte_of(rank, number, at));
}

static void assert_waited(int request)
{
    assert_int_equal(world.wait(world.context, request), CONVT_OK);
}

/* Every rank sends to the next one, with one tag, and waits for the last message first. */
static void messages_of_any_length_arrive_in_their_order(void **state)
{
    (void)state;
    static unsigned char sent[LENGTHS][MOST_BYTES], got[LENGTHS][MOST_BYTES + 1];
    const int next = (world.rank + 1) % world.size;
    const int before = (world.rank + world.size - 1) % world.size;
    int out[LENGTHS], in[LENGTHS];
    for (size_t i = 0; i < LENGTHS; i++) {
        fill(sent[i], lengths[i], world.rank, i);
        got[i][lengths[i]] = 99;
        assert_int_equal(world.send(world.context, next, 5, sent[i], lengths[i], &out[i]),
                         CONVT_OK);
        assert_int_equal(world.receive(world.context, before, 5, got[i], lengths[i], &in[i]),
                         CONVT_OK);
    }
    for (size_t i = LENGTHS; i-- > 0;) {
        assert_waited(in[i]);
        assert_waited(out[i]);
        assert_filled(got[i], lengths[i], before, i);
        assert_int_equal(got[i][lengths[i]], 99); /* nothing behind it */
    }
}

static void broadcasts_of_any_length_reach_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTHS; i++) {
        unsigned char data[MOST_BYTES] = {0};
        int request;
        if (world.rank == 0) fill(data, lengths[i], 0, i);
        assert_int_equal(world.broadcast(world.context, data, lengths[i], &request), CONVT_OK);
        assert_waited(request);
        assert_filled(data, lengths[i], 0, i);
    }
}

/* More pieces on their way than there was room for, and numbers that are free again. */
static void many_messages_are_on_their_way(void **state)
{
    (void)state;
    static unsigned char sent[AT_ONCE][2 * PIECE], got[AT_ONCE][2 * PIECE];
    const int next = (world.rank + 1) % world.size;
    const int before = (world.rank + world.size - 1) % world.size;
    for (int round = 0, most = 0; round < 2; round++) {
        int out[AT_ONCE], in[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            fill(sent[i], sizeof sent[i], world.rank, (size_t)(i + round));
            assert_int_equal(world.receive(world.context, before, i, got[i], sizeof got[i], &in[i]),
                             CONVT_OK);
            assert_int_equal(world.send(world.context, next, i, sent[i], sizeof sent[i], &out[i]),
                             CONVT_OK);
            if (round == 0 && out[i] > most) most = out[i];
            assert_in_range(out[i], 0, most);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            assert_waited(in[i]);
            assert_waited(out[i]);
            assert_filled(got[i], sizeof got[i], before, (size_t)(i + round));
        }
    }
}

/* A second one, in an MPI that somebody else has initialized, which it leaves as it is. */
static void ranks_join_more_than_once(void **state)
{
    (void)state;
    convt_exchange other;
    convt_mpi *second;
    convt_error err;
    assert_int_equal(convt_mpi_create(&second, &other, &err), CONVT_OK);
    assert_int_equal(other.rank, world.rank);
    assert_int_equal(other.size, world.size);
    convt_mpi_destroy(second);
    broadcasts_of_any_length_reach_all(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_any_length_arrive_in_their_order),
        cmocka_unit_test(broadcasts_of_any_length_reach_all),
        cmocka_unit_test(many_messages_are_on_their_way),
        cmocka_unit_test(ranks_join_more_than_once),
    };
    convt_error err;
    if (convti_mpi_join(&mpi, &world, PIECE, &err) != CONVT_OK) {
        fprintf(stderr, "%s: %s\n", err.field, err.message);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    convt_mpi_destroy(mpi);
    return failed;
}
