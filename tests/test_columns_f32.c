/* The columns kernel in float. */
#define CONVT_REAL 32
#include "support/columns_tests.h"
