/*
 * What the units of this folder offer one another; each exists once per real. Functions marked
 * "team" are called by every thread of a team (team.h) and share their work; the others run on one
 * thread.
 */
#ifndef CONVT_PASSES_H
#define CONVT_PASSES_H

#include "../kernel/kernel.h"
#include "../layer.h"
#include "../team.h"

/* ---- isa.c ----------------------------------------------------------------------------------- */
const void *FN(convti_choose_isa)(const char *name, const char **chosen);

/* ---- pack.c: weights in the order in which gather reads them, dw in that of the kernel -------- */

/* Team; both end with a barrier. Panels for forward (columns are filters, k channels) and for dx
 * (columns are channels, k filters). */
void FN(convti_pack_forward)(struct team *team, const struct convt_layer *l);
void FN(convti_pack_backward)(struct team *team, const struct convt_layer *l);

/* Team; ends without a barrier. dkernel from dw, where the kernel is stored turned. */
void FN(convti_turn_dw)(struct team *team, const struct convt_layer *l);

/* ---- gather.c: forward and dx ---------------------------------------------------------------- */
struct gather_call {
    struct team *team;
    const struct gather_plan *plan;
    const struct kernels *kernels;
    int64_t n;
    const real *source;          /* channels_first where plan->source_staged */
    const real *packed, *bias;   /* bias: NULL, or padded to whole panels */
    const struct finish *finish; /* NULL: target holds the sums as they are */
    real *target, *z;            /* z: the values before finish, or NULL */
    bool channels_first;         /* target and z */
    void *scratch;               /* of this thread */
};
void FN(convti_gather)(const struct gather_call *call); /* team; ends without a barrier */

/* Pixels against a wide panel. */
void FN(convti_run_tiles)(const struct kernels *kernels, const struct gather_block *block,
                          int64_t pixels);

/* ---- lines.c: forward with few filters ------------------------------------------------------- */
void FN(convti_pack_lines)(struct team *team, const struct convt_layer *l); /* team */

/* Team; ends without a barrier. Everything of the call but its plan. */
void FN(convti_lines)(const struct lines_plan *plan, const struct gather_call *call);

/* ---- fold.c: forward with few filters over many channels ------------------------------------- */
void FN(convti_pack_fold)(struct team *team, const struct convt_layer *l); /* team */

/* Team; ends without a barrier. Everything of the call but its plan. */
void FN(convti_fold)(const struct fold_plan *plan, const struct gather_call *call);

/* ---- outer.c: dw ----------------------------------------------------------------------------- */
struct outer_call {
    struct team *team;
    const struct outer_plan *plan;
    const struct geometry *geometry;
    const struct kernels *kernels;
    int64_t n;
    const real *x, *dz; /* x as data_format says, dz channels_last */
    real *dw, *parts;
    void *scratch; /* of this thread */
};
size_t FN(convti_outer_scratch)(const struct convt_layer *l);
void FN(convti_outer)(const struct outer_call *call); /* team; ends without a barrier */

/* ---- sweep.c: dz and db ---------------------------------------------------------------------- */
struct sweep_call {
    struct team *team;
    const struct sweep_plan *plan;
    const struct geometry *geometry;
    const struct kernels *kernels;
    int64_t n;
    const real *z, *y, *dy;        /* as data_format says; z may be NULL where it is not needed */
    bool z_in_dz;                  /* dz holds z, channels_last, before the call */
    slope_kernel *slope;           /* NULL: linear */
    axis_slope_kernel *axis_slope; /* of rows.c, which makes dz in front of the sweep */
    struct activation_params params;
    const convt_activation_callbacks *custom; /* takes the place of slope */
    double l1, l2;                            /* of the activity term, already divided */
    real *dz;                                 /* NULL: dz is dy, only db is wanted */
    real *db, *parts;                         /* db: NULL without bias */
    void *scratch;                            /* of this thread */
};
/* Team. dz is there for every thread when it returns, db at the next barrier. */
void FN(convti_sweep)(const struct sweep_call *call);

/* sum = dy + the activity term's gradient; sum may be dy. */
void FN(convti_add_activity)(const struct sweep_call *call, int64_t count, const real *y,
                             const real *dy, real *sum);

/* ---- rows.c: activations along the last axis of memory --------------------------------------- */

/* Team. y may be z where one z makes one y. backward overwrites dz, and ends with a barrier. */
void FN(convti_rows_forward)(struct team *team, const struct geometry *g, axis_value_kernel *value,
                             int64_t n, const real *z, real *y);
size_t FN(convti_rows_scratch)(const struct geometry *g);
void FN(convti_rows_backward)(const struct sweep_call *call);

#endif
