/*
 * The elementwise rows of activations.def as kernels over contiguous blocks: y = f(z), and
 * dz = dy * f'(z, y). Arrays may be the same. Rows along an axis: axis.h.
 *
 * The last, partial vector takes the same code as all others, so that an element's bits do not
 * depend on its position.
 */
#ifndef CONVT_ACTIVATION_H
#define CONVT_ACTIVATION_H

#include "eltwise.h"
#include "kernel.h"

typedef vec value_formula(struct activation_params p, vec z);
typedef vec slope_formula(struct activation_params p, vec z, vec y);

/* Arrays beyond the cache come while the formula computes; the processor's own prefetching leaves
 * compute and memory to take turns. */
enum { AHEAD = 2048 / sizeof(real) };

INLINE void apply_value(value_formula *f, const struct activation_params *params, int64_t count,
                        const real *z, real *y)
{
    const struct activation_params p = *params;
    for (; count > 0; count -= LANES, z += LANES, y += LANES) {
        __builtin_prefetch(z + AHEAD);
        __builtin_prefetch(y + AHEAD, 1);
        store_up_to(y, f(p, load_up_to(z, count)), count);
    }
}

INLINE void apply_slope(slope_formula *f, const struct activation_params *params, int64_t count,
                        const real *z, const real *y, const real *dy, real *dz)
{
    const struct activation_params p = *params;
    for (; count > 0; count -= LANES, z += LANES, y += LANES, dy += LANES, dz += LANES) {
        __builtin_prefetch(z + AHEAD);
        if (y != z) __builtin_prefetch(y + AHEAD);
        __builtin_prefetch(dy + AHEAD);
        __builtin_prefetch(dz + AHEAD, 1);
        store_up_to(dz, load_up_to(dy, count) * f(p, load_up_to(z, count), load_up_to(y, count)),
                    count);
    }
}

/* Four one-line functions per row; the loops above are written once. */
#define ACTIVATION(enumerator, number, name, needs_z, value, slope, ...)                         \
    INLINE vec value_of_##name(struct activation_params p, vec z)                                \
    {                                                                                            \
        return (void)p, (value);                                                                 \
    }                                                                                            \
    INLINE vec slope_of_##name(struct activation_params p, vec z, vec y)                         \
    {                                                                                            \
        return (void)p, (void)z, (void)y, (slope);                                               \
    }                                                                                            \
    static void activate_##name(const struct activation_params *p, int64_t count, const real *z, \
                                real *y)                                                         \
    {                                                                                            \
        apply_value(value_of_##name, p, count, z, y);                                            \
    }                                                                                            \
    static void slope_##name(const struct activation_params *p, int64_t count, const real *z,    \
                             const real *y, const real *dy, real *dz)                            \
    {                                                                                            \
        apply_slope(slope_of_##name, p, count, z, y, dy, dz);                                    \
    }
#include "convt/activations.def"

static activate_kernel *const activate_table[] = {
#define ACTIVATION(enumerator, number, name, ...) [number] = activate_##name,
#include "convt/activations.def"
};

static slope_kernel *const slope_table[] = {
#define ACTIVATION(enumerator, number, name, ...) [number] = slope_##name,
#include "convt/activations.def"
};

#endif
