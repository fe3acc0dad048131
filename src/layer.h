/*
 * The layer as the passes see it: plans, and where everything lies in the arena.
 */
#ifndef CONVT_LAYER_H
#define CONVT_LAYER_H

#include "alloc.h"
#include "config.h"
#include "plan.h"
#include "tables.h"

struct convti_ops;

struct convt_layer {
    convt_config cfg; /* resolved; cfg.name is name below */
    char name[CONVTI_MOST_NAME + 1];
    convt_error error;
    struct geometry geometry;
    const struct convti_ops *ops; /* the code for this real */
    const void *kernels;          /* struct kernels of the chosen ISA and this real */
    const char *isa;
#ifndef NDEBUG
    _Atomic bool busy; /* a call is at work: a second one is a mistake of the caller */
#endif
    int threads;
    double region_flops; /* less is done by one thread; tests set it to 0 */
    /* this struct lies in it, and so do the buffers until a reshape outgrows it */
    convti_arena home;
    convti_arena room; /* where the buffers lie: home, or what replaced it */

    struct gather_plan forward, backward;
    struct lines_plan lines; /* and fold: may take forward's place, as forward_by says */
    struct fold_plan fold;
    enum forward_by forward_by;
    struct outer_plan outer;
    struct sweep_plan sweep;

    struct convti_activation_params activation; /* of cfg.activation, defaults filled in */
    bool needs_z;                               /* its derivative does */
    double activity_l1, activity_l2;            /* of cfg.activity_regularizer, built-in */

    void *kernel, *bias, *dkernel, *dbias; /* gradients: NULL where there are none */
    void *dw;         /* as outer makes it: dkernel, or what is turned to make that */
    uint64_t version; /* of the parameters; packed copies carry the version they were made from */
    uint64_t packed_forward_version, packed_backward_version;
    void *packed_forward, *packed_backward;
    void *packed_bias; /* with zeros up to whole panels */

    /* what depends on the batch and the spatial size */
    void *dz;      /* NULL where dz is dy itself */
    void *dy_copy; /* NULL but for a custom activity regularizer, which adds to it */
    void *dw_parts;
    void *db_parts;
    void *scratch;
    size_t scratch_stride; /* bytes a thread */
};

/* What exists once per real. Shapes and dtypes are checked before. */
struct convti_ops {
    size_t real_size;
    /* First ISA that runs here, or the one that `name` forces; NULL where there is none of that
     * name. */
    const void *(*choose_isa)(const char *name, const char **chosen);
    const struct tile_sizes *(*tiles)(const void *kernels);
    size_t (*scratch)(const struct convt_layer *layer); /* bytes a thread for max_batch */
    void (*forward)(struct convt_layer *layer, convt_const_view x, convt_view z, convt_view y);
    void (*backward)(struct convt_layer *layer, convt_const_view x, convt_const_view z,
                     convt_const_view y, convt_const_view dy, convt_view dx, double divisor);
};

extern const struct convti_ops convti_ops_f32, convti_ops_f64;

/* dz differs from dy: it needs memory of its own. */
bool convti_needs_dz(const struct convt_layer *layer);

/* Passes make dw and db. */
bool convti_has_gradients(const struct convt_layer *layer);

/* Elements of the weights as forward reads them. */
int64_t convti_packed_forward(const struct convt_layer *layer);

/* Threads of a pass over n samples: all of them or, where the work does not pay for a second one, 1. */
int convti_threads(const struct convt_layer *layer, int64_t n);

/* CONVT_NONE, which is not the same as a view of no samples. */
static inline bool convti_absent(convt_const_view v)
{
    return !v.data && v.h == 0;
}

#endif
