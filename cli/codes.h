/*
 * Codes as points in space: random ones that look like those of a run, and the way from one to
 * another.
 */
#ifndef CONVT_CLI_CODES_H
#define CONVT_CLI_CODES_H

#include <convt/io.h>

/* `count` codes of `size` numbers each, one behind another, as the run left them. */
typedef struct code_set {
    const void *values;
    convt_dtype dtype;
    int64_t count, size;
} code_set;

/* Writes n random codes, drawn from the normal distribution that has the mean and the covariance
 * of the set. `out` has the set's dtype. False where memory is out. */
bool codes_random(const code_set *codes, uint64_t seed, int64_t n, void *out);

/* Writes n codes on the straight line from code i to code j, both included. */
void codes_between(const code_set *codes, int64_t i, int64_t j, int64_t n, void *out);

#endif
