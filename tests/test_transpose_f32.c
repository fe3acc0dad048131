/* The transpose kernel in float. */
#define CONVT_REAL 32
#include "support/transpose_tests.h"
