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

/* Of numbers of at least 0, not both of them 0. */
static inline int64_t common_divisor(int64_t a, int64_t b)
{
    for (int64_t rest; b != 0; b = rest) {
        rest = a % b;
        a = b;
    }
    return a;
}

/* Takes the last digit off a number i >= 0 that is written in mixed radix, as those of work items
 * are. Divisions are slow, and of small layers there is one item. */
static inline int64_t take_digit(int64_t *i, int64_t radix)
{
    if (*i == 0 || radix == 1) return 0;
    const int64_t digit = *i % radix;
    *i /= radix;
    return digit;
}

#endif
