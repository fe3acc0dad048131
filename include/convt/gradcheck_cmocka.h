/*
 * assert_gradcheck, assert_layer_gradcheck and assert_model_gradcheck (gradcheck_assert.h) for
 * cmocka: a failure is the test's, with the report as its message and the line of the assertion.
 * Include cmocka.h first.
 */
#ifndef CONVT_GRADCHECK_CMOCKA_H
#define CONVT_GRADCHECK_CMOCKA_H

#define CONVT_GRADCHECK_FAIL(message, file, line) \
    (print_error("%s", (message)), _fail((file), (line)))

#include "gradcheck_assert.h"

#endif
