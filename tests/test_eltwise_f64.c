/* Elementary functions and activation kernels in double. */
#define CONVT_REAL 64
#include "support/eltwise_tests.h"
