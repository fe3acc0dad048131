/*
 * What convt.h promises about threads and processes: different layers work in different threads at once,
 * with OpenMP within each; debug builds notice two callers of one layer; a child that fork made works with
 * one thread.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/close.h"
#include "support/fingerprint.h"

enum { CALLERS = 8, CYCLES = 1000, LAYERS = 25 };

/* ---- different layers ------------------------------------------------------------------------ */

static fingerprint expected[LAYERS];

static convt_config layer_of(uint64_t cycle)
{
    convt_config cfg = fingerprint_config(cycle % LAYERS);
    cfg.threads = 1 + (int)(cycle % 3);
    return cfg;
}

/* Cycles number caller, caller + 8, ...; those that came to something else are counted. */
static void *live_and_die(void *argument)
{
    const uint64_t *caller = argument;
    uintptr_t wrong = 0;
    for (uint64_t cycle = *caller; cycle < CYCLES; cycle += CALLERS) {
        const convt_config cfg = layer_of(cycle);
        const fingerprint print = fingerprint_of(&cfg, 2, cycle % LAYERS);
        wrong += fingerprint_difference(&print, &expected[cycle % LAYERS]) != NULL;
    }
    return (void *)wrong;
}

static void different_layers_work_in_different_threads_at_once(void **state)
{
    (void)state;
    pthread_t thread[CALLERS];
    uint64_t number[CALLERS];
    for (uint64_t i = 0; i < LAYERS; i++) {
        const convt_config cfg = layer_of(i);
        expected[i] = fingerprint_of(&cfg, 2, i);
        assert_true(expected[i].y != 0);
    }
    for (uint64_t t = 0; t < CALLERS; t++) {
        number[t] = t;
        assert_int_equal(pthread_create(&thread[t], NULL, live_and_die, &number[t]), 0);
    }
    for (int t = 0; t < CALLERS; t++) {
        void *wrong;
        assert_int_equal(pthread_join(thread[t], &wrong), 0);
        assert_int_equal((uintptr_t)wrong, 0);
    }
}

/* ---- one layer, two callers ------------------------------------------------------------------ */

#ifndef NDEBUG
enum { LOOKS = 1 };
#else
enum { LOOKS = 0 };
#endif

/* A layer whose activation, in the midst of a pass, has another thread call the same layer. */
struct intrusion {
    convt_layer *layer;
    convt_status status[4];
    convt_error error;
};

static void *intrude(void *argument)
{
    struct intrusion *in = argument;
    float x[4] = {0}, y[4], w = 1;
    const convt_view vx = convt_f32(x, 1, 2, 2, 1), vy = convt_f32(y, 1, 2, 2, 1);
    in->status[0] = convt_forward(in->layer, convt_read(vx), vy);
    in->error = *convt_layer_error(in->layer);
    in->status[1] = convt_backward(in->layer, convt_read(vx), convt_read(vy), convt_read(vy), vx);
    in->status[2] = convt_layer_reshape(in->layer, 1, 2, 2);
    in->status[3] = convt_layer_set_kernel(in->layer, convt_read(convt_f32(&w, 1, 1, 1, 1)));
    return NULL;
}

static void forward_with_company(void *context, convt_dtype dtype, int64_t count, const void *z,
                                 void *y)
{
    pthread_t other;
    const float *from = z;
    float *to = y;
    (void)dtype;
    for (int64_t i = 0; i < count; i++) to[i] = 2 * from[i];
    if (pthread_create(&other, NULL, intrude, context) == 0) pthread_join(other, NULL);
}

static void backward(void *context, convt_dtype dtype, int64_t count, const void *z, const void *y,
                     const void *dy, void *dz)
{
    const float *from = dy;
    float *to = dz;
    (void)context, (void)dtype, (void)z, (void)y;
    for (int64_t i = 0; i < count; i++) to[i] = 2 * from[i];
}

static void debug_builds_refuse_a_second_caller_of_a_layer(void **state)
{
    (void)state;
    if (!LOOKS) {
        print_message("skipped: a release build does not look\n");
        return;
    }
    struct intrusion in = {0};
    const convt_config cfg = {
        .input = {2, 2, 1},
        .filters = 1,
        .kernel_size = {1, 1},
        .threads = 1,
        .kernel_initializer = {CONVT_ONES},
        .activation = {.kind = CONVT_CUSTOM_ACTIVATION,
                       .custom = {forward_with_company, backward, &in}},
    };
    float x[4] = {1, 2, 3, 4}, y[4];
    assert_int_equal(convt_layer_create(&in.layer, &cfg, NULL), CONVT_OK);
    for (int twice = 0; twice < 2; twice++) { /* the refusals leave the layer as it was */
        assert_int_equal(
            convt_forward(in.layer, convt_read(convt_f32(x, 1, 2, 2, 1)), convt_f32(y, 1, 2, 2, 1)),
            CONVT_OK);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(in.status[i], CONVT_INVALID_ARGUMENT);
            assert_close((double)y[i], 2 * (double)x[i], 0, 0);
        }
        assert_refused(in.status[0], &in.error, CONVT_INVALID_ARGUMENT, "layer", "at work");
    }
    convt_layer_destroy(in.layer);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void a_child_works_with_one_thread(void **state)
{
    (void)state;
    convt_config cfg = fingerprint_config(3);
    cfg.threads = 3; /* the runtime of OpenMP has threads that fork does not copy */
    const fingerprint parent = fingerprint_of(&cfg, 2, 3);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        cfg.threads = 1;
        const fingerprint child = fingerprint_of(&cfg, 2, 3);
        _exit(fingerprint_difference(&parent, &child) != NULL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_layers_work_in_different_threads_at_once),
        cmocka_unit_test(debug_builds_refuse_a_second_caller_of_a_layer),
        cmocka_unit_test(a_child_works_with_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
