/*
 * After creation and one step to warm up, training asks the system for nothing: no memory, no call with
 * one thread, and only futex and sched_yield with several (the OpenMP runtime waits with them).
 *
 * Memory is counted by taking malloc's place in this program. Calls are filtered by the kernel: a child
 * trains one step, installs a filter that lets nothing else through, and trains on.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "convt/train.h"
#include "layer.h"
#include "names.h"
#include "support/close.h"
#include "support/random_config.h"

/* ---- memory ---------------------------------------------------------------------------------- */

static _Atomic long allocations;

/* A sanitizer has taken malloc's place already, and calls the system as it likes. */
#ifdef CONVT_SANITIZED
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#if defined(__GLIBC__) && !defined(CONVT_SANITIZED)
enum { COUNTED = 1 };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}
#else
enum { COUNTED = 0 };
#endif

/* ---- what is trained ------------------------------------------------------------------------- */

struct job {
    convt_config layers[2];
    convt_model *model;
    convt_sgd *sgd;
    convt_loss_config loss;
    convt_view x, target, dy, dx;
    float *data;
};

static convt_view take(float **at, int64_t n, convt_shape s)
{
    const convt_view v = convt_f32(*at, n, s.h, s.w, s.c);
    *at += n * s.h * s.w * s.c;
    return v;
}

/* Every part that a step may have: a chain, an activation, regularizers, a constraint, momentum. */
static void set_up(struct job *j, int activation, convt_data_format format, int threads)
{
    const int64_t n = 3;
    *j = (struct job){0};
    j->layers[0] = (convt_config){.input = {5, 4, 6},
                                  .max_batch = n,
                                  .filters = 9,
                                  .kernel_size = {3, 3},
                                  .strides = {2, 2},
                                  .data_format = format,
                                  .threads = threads,
                                  .activation = {.kind = CONVT_RELU},
                                  .kernel_regularizer = {.kind = CONVT_L2},
                                  .kernel_constraint = {.kind = CONVT_MAX_NORM}};
    j->layers[1] = (convt_config){.filters = 2,
                                  .kernel_size = {2, 2},
                                  .strides = {2, 1},
                                  .data_format = format,
                                  .activation = complete_activation((convt_activation){
                                      .kind = (convt_activation_kind)activation}),
                                  .activity_regularizer = {.kind = CONVT_L1}};
    convt_sgd_config sgd = {
        .momentum = 0.9, .nesterov = true, .global_clipnorm = CONVT_SET(1), .threads = threads};
    convt_parameter rows[4];
    convt_error err;
    if (convt_model_create(&j->model, j->layers, 2, &err))
        fail_msg("%s: %s", err.field, err.message);
    const int count = convt_model_parameters(j->model, rows);
    assert_int_equal(convt_sgd_create(&j->sgd, &sgd, rows, count, &err), CONVT_OK);
    for (int i = 0; i < 2; i++) convt_model_layer(j->model, i)->region_flops = 0;
    j->loss = (convt_loss_config){.threads = threads, .data_format = format};
    const convt_shape in = j->layers[0].input,
                      out = convt_layer_output(convt_model_layer(j->model, 1));
    const int64_t floats = 2 * n * (in.h * in.w * in.c + out.h * out.w * out.c);
    float *at = j->data = calloc((size_t)floats, sizeof *at);
    for (int64_t i = 0; i < floats; i++) at[i] = (float)(i % 7) / 7;
    j->x = take(&at, n, in);
    j->dx = take(&at, n, in);
    j->target = take(&at, n, out);
    j->dy = take(&at, n, out);
}

/* One step; the layer's own calls besides those of the model. */
static bool step(struct job *j)
{
    convt_loss_value value = {0};
    convt_error err;
    convt_layer *first = convt_model_layer(j->model, 0);
    bool ok = convt_model_forward(j->model, convt_read(j->x)) == CONVT_OK;
    ok = ok && convt_loss(&j->loss, convt_read(j->target), convt_model_output(j->model), NULL,
                          j->x.n, &value, j->dy, &err) == CONVT_OK;
    ok = ok &&
         convt_model_backward(j->model, convt_read(j->x), convt_read(j->dy), j->dx) == CONVT_OK;
    ok = ok && convt_model_weight_loss(j->model) >= 0 &&
         convt_model_activity_loss(j->model, 3) >= 0;
    if (ok) convt_sgd_step(j->sgd);
    ok = ok && convt_layer_reshape(first, 2, 4, 4) == CONVT_OK;
    return ok && convt_layer_reshape(first, 3, 5, 4) == CONVT_OK;
}

static void tear_down(struct job *j)
{
    convt_sgd_destroy(j->sgd);
    convt_model_destroy(j->model);
    free(j->data);
}

/* ---- every activation, both formats, some numbers of threads --------------------------------- */

/* What other runtimes than libgomp do when a team starts is not convt's to promise. */
#ifdef __clang__
enum { MOST_THREADS = 1 };
#else
enum { MOST_THREADS = 3 };
#endif

typedef void job_body(struct job *job, int threads, const char *name);

static void for_each_job(job_body *body)
{
    const char *name;
    int kind;
    if (MOST_THREADS == 1) print_message("SKIPPED: several threads of LLVM's OpenMP runtime\n");
    for (int threads = 1; threads <= MOST_THREADS; threads++)
        for (int format = 0; format < 2; format++)
            for (int k = 0; (name = convti_name_at(CONVTI_ACTIVATIONS, k, &kind)); k++) {
                struct job job;
                set_up(&job, kind, (convt_data_format)format, threads);
                body(&job, threads, name);
                tear_down(&job);
            }
}

static void count_allocations(struct job *job, int threads, const char *name)
{
    assert_true(step(job));
    const long before = allocations;
    for (int i = 0; i < 3; i++) assert_true(step(job));
    if (allocations != before)
        fail_msg("%s on %d threads: %ld allocations in three steps", name, threads,
                 allocations - before);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTED) {
        print_message("SKIPPED: malloc belongs to a sanitizer or to another libc\n");
        skip();
    }
    const long before = allocations;
    void *volatile memory = malloc(1); /* not left out by the compiler */
    free(memory);
    assert_true(allocations > before); /* it does count */
    for_each_job(count_allocations);
}

/* ---- system calls ---------------------------------------------------------------------------- */

/* Shared with the child: the number of the call that was refused. */
static volatile long *refused;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    *refused = info->si_syscall;
    _exit(3);
}

#define LET(number)                                      \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* For all threads of this process, from now on. A step may not write; the test ends with exit_group. */
static bool forbid_calls(bool waiting)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        LET(SYS_exit_group),
        LET((unsigned)(waiting ? SYS_futex : SYS_exit_group)),
        LET((unsigned)(waiting ? SYS_sched_yield : SYS_exit_group)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

enum { QUIET = 0, NOT_PERMITTED = 2, REFUSED = 3, BROKEN = 4 };

/* What the child of a check does: OpenMP's threads do not outlive fork, so all of it happens there. */
static int quiet_steps(int activation, convt_data_format format, int threads, bool talk)
{
    struct job job;
    set_up(&job, activation, format, threads);
    if (!step(&job)) return BROKEN;
    if (!forbid_calls(threads > 1)) return NOT_PERMITTED;
    if (talk) (void)getppid();
    for (int i = 0; i < 3; i++)
        if (!step(&job)) return BROKEN;
    return QUIET;
}

static int in_a_child(int activation, convt_data_format format, int threads, bool talk)
{
    *refused = -1;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(quiet_steps(activation, format, threads, talk));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static void a_step_makes_no_system_calls(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("SKIPPED: a sanitizer makes calls of its own\n");
        skip();
    }
    void *page =
        mmap(NULL, sizeof *refused, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    refused = page;
    const int control = in_a_child(CONVT_RELU, CONVT_CHANNELS_LAST, 1, true);
    if (control == NOT_PERMITTED) {
        print_message("SKIPPED: this system permits no seccomp filter\n");
        skip();
    }
    assert_int_equal(control, REFUSED); /* the filter does catch a call */
    assert_int_equal(*refused, SYS_getppid);
    const char *name;
    int kind;
    for (int threads = 1; threads <= 3; threads++)
        for (int k = 0; (name = convti_name_at(CONVTI_ACTIVATIONS, k, &kind)); k++) {
            const int answer = in_a_child(kind, (convt_data_format)(k % 2), threads, false);
            if (answer != QUIET)
                fail_msg("%s on %d threads: system call %ld (answer %d)", name, threads, *refused,
                         answer);
        }
    munmap(page, sizeof *refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_makes_no_system_calls),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
