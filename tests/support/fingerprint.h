/* What a layer computes, as a few numbers that other threads, teams and programs must come to as well. */
#ifndef FINGERPRINT_H
#define FINGERPRINT_H

#include "convt/convt.h"

typedef struct fingerprint {
    uint64_t y, dx, dw, db, loss; /* of the bytes of each */
} fingerprint;

/* Creates the layer, runs forward, loss and backward over n samples of random numbers, destroys it. All
 * of .threads take part, small as it may be. Asserts nothing, so that any thread may call it: where a call
 * is refused, all is 0. */
fingerprint fingerprint_of(const convt_config *cfg, int64_t n, uint64_t seed);

/* A name of what differs first, NULL where nothing does. */
const char *fingerprint_difference(const fingerprint *a, const fingerprint *b);

/* The layer of a seed: random_config, at times with maps and channels beyond one tile, an activation that
 * comes around with the seeds, regularizers. */
convt_config fingerprint_config(uint64_t seed);

#endif
