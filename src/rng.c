/* xoshiro256++ and what is drawn from it. */
#include "rng.h"

#include <math.h>

static const uint64_t golden = 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio: splitmix64's step */

/* The output function of splitmix64: a bijection whose every output bit depends on every input
 * bit. */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

uint64_t convti_mix(uint64_t seed, uint64_t index)
{
    /* Scrambled twice: neighbouring seeds with neighbouring indices must not meet on one value. */
    return scramble(scramble(seed + golden) + (index + 1) * golden);
}

convti_rng convti_rng_start(uint64_t seed, uint64_t stream)
{
    convti_rng rng;
    uint64_t x = convti_mix(seed, stream);
    for (int i = 0; i < 4; i++)
        rng.state[i] = scramble(x += golden); /* four different numbers, so never all zero */
    return rng;
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t convti_rng_bits(convti_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double convti_rng_uniform(convti_rng *rng)
{
    return (double)(convti_rng_bits(rng) >> 11) * 0x1p-53;
}

uint64_t convti_rng_below(convti_rng *rng, uint64_t n)
{
    if (n == 0) return 0;
    uint64_t surplus = (0 - n) % n,
             bits; /* 2^64 mod n: numbers below it would favour small remainders */
    do bits = convti_rng_bits(rng);
    while (bits < surplus);
    return bits % n;
}

double convti_rng_normal(convti_rng *rng)
{
    /* Box-Muller; the second number of the pair is not kept, so that the state stays four words. */
    const double two_pi = 6.283185307179586477;
    double radius = sqrt(-2 * log(1 - convti_rng_uniform(rng)));
    return radius * cos(two_pi * convti_rng_uniform(rng));
}

double convti_rng_truncated_normal(convti_rng *rng)
{
    double z;
    do z = convti_rng_normal(rng);
    while (!(fabs(z) <= 2));
    return z;
}
