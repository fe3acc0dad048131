/*
 * The promise "same bits" of convt.h on random layers: y, dx, dw, db and the loss are the same for any
 * number of threads, whatever the OpenMP runtime was told.
 *
 *     CONVT_BITS_CONFIGS=500 build/test/tests/test_bits       more layers; 50 by default
 *
 * Environment variables of OpenMP count when a program starts: this one starts itself with each, as
 * `test_bits --print`, and compares what it prints.
 */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/fingerprint.h"
#include "support/isa.h"
#include "support/random_config.h"

static const char *program;

static uint64_t configs_wanted(void)
{
    const char *text = getenv("CONVT_BITS_CONFIGS");
    return text ? strtoull(text, NULL, 10) : 50;
}

static int64_t samples_of(uint64_t seed)
{
    return 1 + (int64_t)(seed % 5);
}

/* ---- what surrounds a call ------------------------------------------------------------------- */

struct call {
    convt_config cfg;
    uint64_t seed;
    fingerprint print;
};

static void plain(struct call *c)
{
    c->print = fingerprint_of(&c->cfg, samples_of(c->seed), c->seed);
}

static void dynamic_teams(struct call *c)
{
    omp_set_dynamic(1);
    plain(c);
    omp_set_dynamic(0);
}

/* One thread of a region of the caller calls; whether it gets a team of its own, the levels say. */
static void within_a_region(struct call *c, int levels)
{
    const int before = omp_get_max_active_levels();
    omp_set_max_active_levels(levels);
#pragma omp parallel num_threads(3)
#pragma omp single
    plain(c);
    omp_set_max_active_levels(before);
}

static void without_nesting(struct call *c)
{
    within_a_region(c, 1);
}

static void with_nesting(struct call *c)
{
    within_a_region(c, 2);
}

static void another_schedule(struct call *c)
{
    omp_sched_t kind;
    int chunk;
    omp_get_schedule(&kind, &chunk);
    omp_set_schedule(omp_sched_dynamic, 3);
    plain(c);
    omp_set_schedule(kind, chunk);
}

static void all_on_one_processor(struct call *c)
{
    cpu_set_t before, one;
    size_t first = 0;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    while (!CPU_ISSET(first, &before)) first++;
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    plain(c);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static const struct surroundings {
    const char *name;
    int threads;
    void (*call)(struct call *c);
} surroundings[] = {
    {"1 thread", 1, plain},
    {"2 threads", 2, plain},
    {"3 threads", 3, plain},
    {"4 threads", 4, plain},
    {"7 threads", 7, plain},
    {"16 threads", 16, plain},
    {"dynamic teams", 5, dynamic_teams},
    {"a region of the caller, no nesting", 4, without_nesting},
    {"a region of the caller, nesting", 2, with_nesting},
    {"another schedule", 3, another_schedule},
    {"one processor", 3, all_on_one_processor},
};

static void check_surroundings(const char *isa, void *context)
{
    (void)context;
    for (uint64_t seed = 0; seed < configs_wanted(); seed++) {
        struct call first = {fingerprint_config(seed), seed, {0}};
        char text[256];
        for (size_t s = 0; s < sizeof surroundings / sizeof *surroundings; s++) {
            struct call call = first;
            call.cfg.threads = surroundings[s].threads;
            surroundings[s].call(&call);
            if (s == 0) first.print = call.print;
            const char *what = fingerprint_difference(&first.print, &call.print);
            if (what || call.print.y == 0)
                fail_msg("%s, seed %llu, %s: %s differs under %s", isa, (unsigned long long)seed,
                         config_text(&call.cfg, text, sizeof text), what ? what : "refused",
                         surroundings[s].name);
        }
    }
}

static void no_number_of_threads_and_no_setting_changes_a_bit(void **state)
{
    (void)state;
    for_each_isa(check_surroundings, NULL);
}

/* The test can fail: another batch, and another instruction set than the first, give other bits. */
static void fingerprints_tell_layers_apart(void **state)
{
    (void)state;
    const convt_config cfg = fingerprint_config(1);
    const fingerprint a = fingerprint_of(&cfg, 2, 1), b = fingerprint_of(&cfg, 2, 2),
                      again = fingerprint_of(&cfg, 2, 1);
    assert_null(fingerprint_difference(&a, &again));
    assert_string_equal(fingerprint_difference(&a, &b), "y");
}

/* ---- the environment of the program ---------------------------------------------------------- */

enum { LINE = 128, PRINTED = 24 };

/* Layers that take the OpenMP maximum for their threads, and layers that say five. */
static void print_layer(uint64_t seed, char line[LINE])
{
    convt_config cfg = fingerprint_config(seed);
    cfg.threads = seed % 2 ? 5 : 0;
    const fingerprint p = fingerprint_of(&cfg, samples_of(seed), seed);
    snprintf(line, LINE, "%llu %016llx %016llx %016llx %016llx %016llx", (unsigned long long)seed,
             (unsigned long long)p.y, (unsigned long long)p.dx, (unsigned long long)p.dw,
             (unsigned long long)p.db, (unsigned long long)p.loss);
}

static int print_all(void)
{
    char line[LINE];
    for (uint64_t seed = 0; seed < PRINTED; seed++) {
        print_layer(seed, line);
        puts(line);
    }
    return 0;
}

static const char *const environments[] = {
    "OMP_NUM_THREADS=1",
    "OMP_NUM_THREADS=7",
    "OMP_DYNAMIC=true OMP_NUM_THREADS=4",
    "OMP_SCHEDULE=guided,7",
    "OMP_SCHEDULE=static,1",
    "OMP_THREAD_LIMIT=2 OMP_NUM_THREADS=4",
    "OMP_PROC_BIND=spread OMP_PLACES=threads",
    "OMP_PROC_BIND=master",
    "OMP_MAX_ACTIVE_LEVELS=0",
    "OMP_WAIT_POLICY=active OMP_NUM_THREADS=3",
    "OMP_STACKSIZE=256k OMP_NUM_THREADS=3",
};

/* False where a program cannot start itself: under an emulator, which the system knows nothing of. */
static bool can_start_itself(void)
{
    char command[1024];
    snprintf(command, sizeof command, "'%s' --print >/dev/null 2>&1", program);
    return system(command) == 0;
}

static void check_environment(const char *environment)
{
    char command[1024], printed[LINE], expected[LINE];
    snprintf(command, sizeof command, "env %s '%s' --print", environment, program);
    FILE *child = popen(command, "r");
    assert_non_null(child);
    for (uint64_t seed = 0; seed < PRINTED; seed++) {
        assert_non_null(fgets(printed, sizeof printed, child));
        printed[strcspn(printed, "\n")] = 0;
        print_layer(seed, expected);
        if (strcmp(printed, expected))
            fail_msg("%s: the layer of seed %llu differs\n%s\n%s", environment,
                     (unsigned long long)seed, printed, expected);
    }
    assert_int_equal(pclose(child), 0);
}

static void no_environment_variable_of_openmp_changes_a_bit(void **state)
{
    (void)state;
    if (!can_start_itself()) {
        print_message("skipped: this program cannot start itself here\n");
        return;
    }
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++)
        check_environment(environments[i]);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "--print") == 0) return print_all();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints_tell_layers_apart),
        cmocka_unit_test(no_number_of_threads_and_no_setting_changes_a_bit),
        cmocka_unit_test(no_environment_variable_of_openmp_changes_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
