/* How a layer computes: the part of `convt info` that is about a config rather than a model. */
#ifndef CONVT_EXPLAIN_H
#define CONVT_EXPLAIN_H

#include "options.h"

typedef struct explain_options {
    option_value config, input, isa, threads, json;
} explain_options;

/* Prints it; returns the exit code. */
int explain(const explain_options *options);

#endif
