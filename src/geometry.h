/*
 * Geometry: every shape and index rule of a layer, inferred once from its config and immutable
 * afterwards.
 *
 * Per axis, with tap t of the kernel, input position i and output position o (Keras 3,
 * base_conv_transpose.py):
 *
 *     o = i * stride + t * dilation - crop,     0 <= o < out
 */
#ifndef CONVT_GEOMETRY_H
#define CONVT_GEOMETRY_H

#include "convt/convt.h"

struct axis {
    int64_t in, out;
    int64_t kernel, stride, dilation;
    int64_t crop; /* at the beginning; what is cut or added at the end follows from out */
};

/* Where weights lie in the kernel as it is stored (convt_kernel_order): w[t,f,c] at
 * first + t * tap + f * filter + c * channel, t counting the taps of both axes. */
struct weight_strides {
    int64_t first, tap, filter, channel;
};

struct geometry {
    struct axis h, w;
    int64_t channels, filters;
    int64_t taps;           /* kernel h * w */
    int64_t x_size, z_size; /* elements of one sample */
    int64_t w_size;         /* elements of the kernel */
    struct weight_strides stored;
    bool turned; /* stored is not [t][f][c], the order in which dw is made */
    bool channels_first;

    /* After the activation: y has the shape of z unless the activation takes several z for a y. */
    convt_shape y;
    int64_t y_size;
    int64_t inputs; /* z for one y */
    int64_t row; /* z along the last axis of memory: filters, or w.out where channels come first */
};

/* Infers the geometry of a checked config. CONVT_TOO_LARGE where a size exceeds 64 bits. */
convt_status convti_geometry(struct geometry *geometry, const convt_config *cfg, convt_error *err);

/*
 * A gather reads, for every position of a target axis, the source positions that its taps reach.
 * Positions that meet the same taps form a class; the plan of a pass is the list of classes, so no
 * inner loop asks whether a tap falls outside and none multiplies zeros. Classes partition the
 * target axis.
 *
 *     position(q) = first + q * step,  0 <= q < count
 *     source(q, a) = source + q * source_step + a * tap_step,  0 <= a < taps
 *     tap(a)       = tap_of_slot[slot + a]
 *
 * Slots are the taps in the order in which the kernel is packed: ascending source, so that
 * neighbouring taps of a class are neighbours in the panel, and in memory where tap_step is 1.
 */
struct tap_class {
    int64_t first, step, count;
    int64_t slot, taps;
    int64_t source, source_step, tap_step;
};

struct axis_plan {
    int64_t count;
    struct tap_class *classes;
    int64_t *tap_of_slot;
};

/* Upper bounds for the arrays of a plan: classes and slots. */
int64_t convti_forward_classes(const struct axis *axis);
int64_t convti_backward_classes(const struct axis *axis);

/* Target y, source x: forward. Target x, source y: dx. Fill the arrays that the plan points to. */
void convti_plan_forward(struct axis_plan *plan, const struct axis *axis);
void convti_plan_backward(struct axis_plan *plan, const struct axis *axis);

#endif
