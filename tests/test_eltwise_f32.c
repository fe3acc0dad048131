/* Elementary functions and activation kernels in float. */
#define CONVT_REAL 32
#include "support/eltwise_tests.h"
