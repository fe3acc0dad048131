/*
 * The assertions of gradcheck_assert.h with a runner's own way to fail, here one that jumps, as
 * Unity does. (With cmocka's they are used in test_gradcheck.c.)
 */
#include <stdio.h>
#include <string.h>

#include "support/close.h"

static jmp_buf failed;
static char message_of_failure[4096];
static int line_of_failure;

static void note_failure(const char *message, const char *file, int line)
{
    assert_non_null(strstr(file, "test_gradcheck_assert.c"));
    snprintf(message_of_failure, sizeof message_of_failure, "%s", message);
    line_of_failure = line;
    longjmp(failed, 1);
}

#define CONVT_GRADCHECK_FAIL(message, file, line) note_failure((message), (file), (line))

#include <convt/gradcheck_assert.h>

/* y = x^2, whose slope is `slope` times what is given. */
static convt_status forward(void *slope, const void *const inputs[], void *const outputs[])
{
    const double *x = inputs[0];
    (void)slope;
    for (int i = 0; i < 3; i++) ((double *)outputs[0])[i] = x[i] * x[i];
    return CONVT_OK;
}

static convt_status backward(void *slope, const void *const inputs[], const void *const outputs[],
                             const void *const output_gradients[], void *const gradients[])
{
    const double *x = inputs[0], *dy = output_gradients[0];
    (void)outputs;
    for (int i = 0; i < 3; i++)
        ((double *)gradients[0])[i] = *(const double *)slope * 2 * x[i] * dy[i];
    return CONVT_OK;
}

static double values[3] = {0.5, -1, 2};
static const convt_gradcheck_block
    x = {.name = "x", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {3}, .data = values},
    y = {.name = "y", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {3}};

static void what_is_right_passes(void **state)
{
    (void)state;
    double right = 1;
    const convt_gradcheck_problem p = {&x, 1, &y, 1, forward, backward, &right, NULL};
    const convt_config cfg = {.input = {3, 2, 2}, .filters = 2, .kernel_size = {2, 2}};
    if (setjmp(failed)) fail_msg("%s", message_of_failure);
    assert_gradcheck(&p, NULL);
    assert_layer_gradcheck(&cfg, NULL);
    assert_model_gradcheck(&cfg, 1, &(convt_loss_config){.kind = CONVT_HUBER}, NULL);
}

static void what_is_wrong_fails_with_the_report(void **state)
{
    (void)state;
    double wrong = 3;
    const convt_gradcheck_problem p = {&x, 1, &y, 1, forward, backward, &wrong, NULL};
    volatile bool came_back = false;
    volatile int line = 0;
    if (!setjmp(failed)) {
        line = __LINE__ + 1;
        assert_gradcheck(&p, NULL);
        came_back = true;
    }
    assert_false(came_back);
    assert_int_equal(line_of_failure, line);
    assert_non_null(strstr(message_of_failure, "gradient check FAILED: x: wrong gradient"));
    assert_non_null(strstr(message_of_failure, "every element is 3 times what it should be"));
}

static void what_cannot_be_checked_fails_with_the_reason(void **state)
{
    (void)state;
    const convt_gradcheck_problem p = {&x, 1, &y, 1, forward, NULL, NULL, NULL};
    const convt_config cfg = {.input = {3, 2, 2}, .filters = 0, .kernel_size = {2, 2}};
    volatile int failures = 0;
    if (setjmp(failed)) {
        assert_non_null(strstr(message_of_failure, "did not run: "));
        assert_non_null(strstr(message_of_failure, failures == 0 ? "backward" : "filters"));
        failures = failures + 1;
    }
    if (failures == 0) assert_gradcheck(&p, NULL);
    if (failures == 1) assert_layer_gradcheck(&cfg, NULL);
    assert_int_equal(failures, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_passes),
        cmocka_unit_test(what_is_wrong_fails_with_the_report),
        cmocka_unit_test(what_cannot_be_checked_fails_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
