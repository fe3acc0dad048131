/* Speed of the activations in double. */
#define CONVT_REAL 64
#include "activations.h"
