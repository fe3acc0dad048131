/*
 * Every reader on its seeds (tests/data/fuzz), and on bytes that were seeds: cut, turned over, spliced,
 * with numbers that lie. The same ones in every run; CONVT_FUZZ_ROUNDS says how many a target, 2000
 * by itself. sh tests/fuzz.sh looks further, with libFuzzer.
 */
#define _XOPEN_SOURCE 700
#include "support/close.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <convt/io.h>

#include "fuzz/targets.h"

enum { MOST_SEEDS = 64, LARGEST = 1 << 16 };

typedef struct bytes {
    size_t size;
    unsigned char at[LARGEST];
} bytes;

typedef struct corpus {
    bytes *seeds[MOST_SEEDS];
    int count;
} corpus;

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t state_of_random = 1;

/* 0 ... below - 1; xorshift64*. */
static size_t draw(size_t below)
{
    uint64_t *x = &state_of_random;
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return below ? (size_t)((*x * 0x2545F4914F6CDD1D) >> 16) % below : 0;
}

/* ---- mutations ------------------------------------------------------------------------------- */

static void cut(bytes *b, const corpus *c)
{
    (void)c;
    b->size = draw(b->size + 1);
}

static void flip_bits(bytes *b, const corpus *c)
{
    (void)c;
    for (size_t n = 1 + draw(8); n > 0 && b->size > 0; n--)
        b->at[draw(b->size)] ^= (unsigned char)(1 << draw(8));
}

static void replace(bytes *b, const corpus *c)
{
    (void)c;
    if (b->size > 0) b->at[draw(b->size)] = (unsigned char)draw(256);
}

/* A number of 1 to 8 bytes, of either endianness, as lies are made of. */
static void lie(bytes *b, const corpus *c)
{
    (void)c;
    const uint64_t numbers[] = {
        0,         1,         UINT64_MAX,    b->size,          b->size + 1,
        1U << 31,  1U << 30,  UINT32_MAX,    INT64_MAX,        (uint64_t)1 << 32,
        draw(256), draw(512), draw(b->size), (uint64_t)1 << 63};
    const uint64_t number = numbers[draw(sizeof numbers / sizeof *numbers)];
    const size_t width = (size_t)1 << draw(4), big = draw(2);
    if (b->size < width) return;
    const size_t place = draw(b->size - width + 1);
    for (size_t i = 0; i < width; i++)
        b->at[place + (big ? width - 1 - i : i)] = (unsigned char)(number >> (8 * i));
}

/* Makes room for or takes away `count` bytes. */
static void shift(bytes *b, size_t place, size_t gone, size_t room)
{
    if (b->size - gone + room > LARGEST) return;
    memmove(b->at + place + room, b->at + place + gone, b->size - place - gone);
    b->size = b->size - gone + room;
}

static void take_out(bytes *b, const corpus *c)
{
    (void)c;
    const size_t place = draw(b->size), count = draw(b->size - place + 1);
    if (b->size > 0) shift(b, place, count < 64 ? count : draw(64), 0);
}

/* A piece of any seed, over what is there or in between. */
static void splice(bytes *b, const corpus *c)
{
    const bytes *other = c->seeds[draw((size_t)c->count)];
    const size_t from = draw(other->size), count = draw(other->size - from + 1) % 256,
                 place = draw(b->size + 1), over = draw(2) ? count : 0;
    if (over > b->size - place || b->size - over + count > LARGEST) return;
    shift(b, place, over, count);
    memcpy(b->at + place, other->at + from, count);
}

static void (*const mutations[])(bytes *b, const corpus *c) = {cut, flip_bits, replace, lie,
                                                               lie, take_out,  splice};

static void mutate(bytes *b, const corpus *c)
{
    for (size_t n = 1 + draw(4); n > 0; n--)
        mutations[draw(sizeof mutations / sizeof *mutations)](b, c);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void read_corpus(corpus *c, const char *target)
{
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/tests/data/fuzz/%s", CONVT_SOURCE_DIR, target);
    struct dirent **names;
    const int found = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char *data;
        size_t size;
        convt_error err;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            assert_int_equal(convt_file_read(path, &data, &size, &err), CONVT_OK);
            assert_true(size <= LARGEST && c->count < MOST_SEEDS);
            bytes *seed = malloc(sizeof *seed);
            assert_non_null(seed);
            seed->size = size;
            memcpy(seed->at, data, size);
            c->seeds[c->count++] = seed;
            free(data);
        }
        free(names[i]);
    }
    if (found >= 0) free(names);
    if (c->count == 0) fail_msg("%s has no seeds: add some in %s", target, folder);
}

/* In memory of just this size: what is read behind its end shows. */
static void run(const fuzz_target *target, const bytes *b)
{
    unsigned char *exact = malloc(b->size ? b->size : 1);
    assert_non_null(exact);
    memcpy(exact, b->at, b->size);
    target->run(exact, b->size);
    free(exact);
}

static void every_target_survives(void **state)
{
    (void)state;
    const char *asked = getenv("CONVT_FUZZ_ROUNDS");
    const long rounds = asked ? atol(asked) : 2000;
    static bytes b;
    for (int i = 0; i < fuzz_target_count; i++) {
        corpus c = {.count = 0};
        const clock_t start = clock();
        read_corpus(&c, fuzz_targets[i].name);
        for (int s = 0; s < c.count; s++) run(&fuzz_targets[i], c.seeds[s]);
        for (long round = 0; round < rounds; round++) {
            b = *c.seeds[draw((size_t)c.count)];
            mutate(&b, &c);
            run(&fuzz_targets[i], &b);
        }
        printf("%s: %d seeds, %ld mutations, %.1f s\n", fuzz_targets[i].name, c.count, rounds,
               (double)(clock() - start) / CLOCKS_PER_SEC);
        for (int s = 0; s < c.count; s++) free(c.seeds[s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_target_survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
