/*
 * Gradient checks as assertions, for any test runner: what fails comes with the whole report.
 *
 *     assert_gradcheck(&problem, NULL);                  // or &(convt_gradcheck_options){...}
 *     assert_layer_gradcheck(&config, &options);
 *     assert_model_gradcheck(layers, 2, &loss, &options);
 *
 * A failure calls CONVT_GRADCHECK_FAIL(message, file, line), which must not return. Define it
 * before this header for your runner:
 *
 *     #define CONVT_GRADCHECK_FAIL(message, file, line) UNITY_TEST_FAIL(line, message)   // Unity
 *     #define CONVT_GRADCHECK_FAIL(message, file, line) ck_abort_msg("%s", message)      // Check
 *
 * cmocka has gradcheck_cmocka.h. By default the message goes to stderr and the program aborts, as
 * assert does. Everything here is inline in the program that includes it; the workspace comes from
 * malloc. In C++ use convt_gradcheck itself.
 */
#ifndef CONVT_GRADCHECK_ASSERT_H
#define CONVT_GRADCHECK_ASSERT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradcheck.h"

#ifndef CONVT_GRADCHECK_FAIL
#define CONVT_GRADCHECK_FAIL(message, file, line) \
    (fprintf(stderr, "%s:%d: %s\n", (file), (line), (message)), abort())
#endif

#define assert_gradcheck(problem, options) \
    convt_gradcheck_assert((problem), (options), __FILE__, __LINE__)
#define assert_layer_gradcheck(config, options) \
    convt_gradcheck_assert_model((config), 1, NULL, (options), __FILE__, __LINE__)
#define assert_model_gradcheck(layers, count, loss, options) \
    convt_gradcheck_assert_model((layers), (count), (loss), (options), __FILE__, __LINE__)

/* Fails with what the check found, or with why it did not run. */
static inline void convt_gradcheck_settle(convt_status status, const convt_error *err,
                                          const convt_gradcheck_report *report, const char *file,
                                          int line)
{
    char text[4096];
    if (!status && report->verdict == CONVT_GRADCHECK_PASSED) return;
    if (status)
        snprintf(text, sizeof text, "the gradient check did not run: %s: %s", err->field,
                 err->message);
    else
        convt_gradcheck_text(report, text, sizeof text);
    (void)file, (void)line; /* a runner may know them already */
    CONVT_GRADCHECK_FAIL(text, file, line);
}

static inline void convt_gradcheck_assert(const convt_gradcheck_problem *problem,
                                          const convt_gradcheck_options *options, const char *file,
                                          int line)
{
    convt_gradcheck_report report;
    convt_error err;
    memset(&report, 0, sizeof report);
    memset(&err, 0, sizeof err);
    convt_status status = CONVT_NO_MEMORY;
    const size_t size = convt_gradcheck_workspace(problem, options, &err);
    void *workspace = size > 0 ? malloc(size) : NULL;
    if (workspace || size == 0)
        status = convt_gradcheck(problem, options, workspace, size, &report, &err);
    free(workspace); /* before a failure jumps away */
    convt_gradcheck_settle(status, &err, &report, file, line);
}

static inline void convt_gradcheck_assert_model(const convt_config layers[], int count,
                                                const convt_loss_config *loss,
                                                const convt_gradcheck_options *options,
                                                const char *file, int line)
{
    convt_gradcheck_report report;
    convt_error err;
    memset(&report, 0, sizeof report);
    memset(&err, 0, sizeof err);
    const convt_status status = convt_model_gradcheck(layers, count, loss, options, &report, &err);
    convt_gradcheck_settle(status, &err, &report, file, line);
}

#endif
