/* The transpose kernel in double. */
#define CONVT_REAL 64
#include "support/transpose_tests.h"
