/* Speed of the activations in float. */
#define CONVT_REAL 32
#include "activations.h"
