/*
 * Random numbers: xoshiro256++ (Blackman and Vigna 2019), started by splitmix64 from a seed and a
 * stream. The state is a plain struct; integers and uniform numbers are the same on every machine,
 * normal ones as far as libm's log and cos are.
 */
#ifndef CONVT_RNG_H
#define CONVT_RNG_H

#include <stdint.h>

typedef struct convti_rng {
    uint64_t state[4];
} convti_rng;

/* Generators with different seeds or different streams give unrelated numbers. */
convti_rng convti_rng_start(uint64_t seed, uint64_t stream);

uint64_t convti_rng_bits(convti_rng *rng);
double convti_rng_uniform(convti_rng *rng); /* [0, 1), a multiple of 2^-53 */
uint64_t convti_rng_below(convti_rng *rng,
                          uint64_t n); /* 0 .. n-1, every value equally likely; 0 where n is 0 */
double convti_rng_normal(convti_rng *rng);           /* mean 0, deviation 1 */
double convti_rng_truncated_normal(convti_rng *rng); /* the same, drawn again until |z| <= 2 */

/* A seed of its own for the index-th of several things that share a seed. */
uint64_t convti_mix(uint64_t seed, uint64_t index);

#endif
