/* Activation kernels along rows in double. */
#define CONVT_REAL 64
#include "support/axis_tests.h"
