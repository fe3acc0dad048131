/* The columns kernel in double. */
#define CONVT_REAL 64
#include "support/columns_tests.h"
