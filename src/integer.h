/* Small arithmetic on sizes and positions. */
#ifndef CONVT_INTEGER_H
#define CONVT_INTEGER_H

#include <stdint.h>

static inline int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a / b rounded up, b > 0; 0 where a is negative: how many steps of b reach a. */
static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : 0;
}

static inline int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return lesser(greater(value, low), high);
}

#endif
