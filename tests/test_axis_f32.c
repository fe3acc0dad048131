/* Activation kernels along rows in float. */
#define CONVT_REAL 32
#include "support/axis_tests.h"
