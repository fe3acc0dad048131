/*
 * The passes of a layer: one team each.
 *
 *     forward    pack w where stale;  y = act(gather(x))
 *     backward   z = gather(x) where the activation needs it and nobody kept it;
 *                dz, db = sweep(z, y, dy);  dw = outer(x, dz);  dx = gather(dz)
 */
#include "passes.h"

#include <string.h>

#include "../integer.h"

/* A block of a custom activation's pass: small enough to stay in L1, large enough to hide the call.
 */
enum { CUSTOM_BLOCK = 4096 };

static struct activation_params params_of(const struct convt_layer *l)
{
    struct convti_activation_params p;
    convti_activation_defaults(&l->cfg.activation, &p);
    return (struct activation_params){
#define ACTIVATION_ARGUMENT(name, range) (real) p.name,
#include "convt/activations.def"
    };
}

static void *scratch_of(const struct convt_layer *l, const struct team *team)
{
    return (char *)l->scratch + (size_t)team->thread * l->scratch_stride;
}

static struct gather_call forward_call(struct convt_layer *l, int64_t n, const real *x,
                                       real *target)
{
    if (l->lines.chosen)
        convti_cut_lines_for(&l->lines, n, sizeof(real));
    else
        convti_cut_slabs_for(&l->forward, n, sizeof(real));
    return (struct gather_call){.plan = &l->forward,
                                .kernels = l->kernels,
                                .n = n,
                                .source = x,
                                .packed = l->packed_forward,
                                .bias = l->packed_bias,
                                .target = target,
                                .channels_first = l->geometry.channels_first};
}

/* Team. Every thread sees the same versions, so all take the same branch; the version is noted
 * after the region. */
static void pack_forward(struct team *team, const struct convt_layer *l)
{
    if (l->packed_forward_version != l->version) FN(convti_pack_forward)(team, l);
}

/* Team; ends without a barrier. The contraction in the formulation of the plan. */
static void contract(const struct convt_layer *l, const struct gather_call *call)
{
    if (l->lines.chosen)
        FN(convti_lines)(&l->lines, call);
    else
        FN(convti_gather)(call);
}

/* Team. What an activation that is no elementwise row does behind the gather: y = f(z). */
static void finish_apart(struct team *team, const struct convt_layer *l, int64_t n, const real *z,
                         real *y)
{
    const convt_activation_callbacks *custom = &l->cfg.activation.custom;
    const struct kernels *kernels = l->kernels;
    const int64_t count = n * l->geometry.y_size;
    if (convti_activation_on_axis(l->cfg.activation.kind)) {
        FN(convti_rows_forward)
        (team, &l->geometry, kernels->axis_value[l->cfg.activation.kind], n, z, y);
        return;
    }
    const struct share own = convti_share(team, ceil_div(count, CUSTOM_BLOCK));
    for (int64_t i = own.first * CUSTOM_BLOCK; i < lesser(own.last * CUSTOM_BLOCK, count);
         i += CUSTOM_BLOCK)
        custom->forward(custom->context, REAL_DTYPE, lesser(count - i, CUSTOM_BLOCK), z + i, y + i);
}

struct forward_pass {
    struct convt_layer *layer;
    struct gather_call gather;
    bool apart; /* the activation runs behind the gather, from its target to y */
    real *y;
};

static void forward_body(struct team *team, void *work)
{
    const struct forward_pass *pass = work;
    struct gather_call gather = pass->gather;
    gather.team = team;
    gather.scratch = scratch_of(pass->layer, team);
    pack_forward(team, pass->layer);
    contract(pass->layer, &gather);
    if (!pass->apart) return;
    convti_wait(team);
    finish_apart(team, pass->layer, gather.n, gather.target, pass->y);
}

static void forward(struct convt_layer *l, convt_const_view x, convt_view z, convt_view y)
{
    const struct kernels *kernels = l->kernels;
    convt_activation_kind kind = l->cfg.activation.kind;
    bool apart = kind == CONVT_CUSTOM_ACTIVATION || convti_activation_on_axis(kind);
    if (x.n * l->geometry.z_size == 0) return;
    struct gather_call call = forward_call(l, x.n, x.data, y.data);
    if (!apart && kind != CONVT_LINEAR)
        call.finish = (struct finish){kernels->activate[kind], params_of(l)};
    if (!apart)
        call.z = z.data == y.data ? NULL : z.data;
    else if (z.data)
        call.target = z.data;
    else if (l->geometry.inputs > 1)
        call.target = l->dz; /* y has no room for z */
    convti_team_run(convti_threads(l, x.n), forward_body,
                    &(struct forward_pass){l, call, apart, y.data});
    l->packed_forward_version = l->version;
}

/* The activity term: built-in rows give coefficients, a custom one adds to a copy of dy. */
static const real *activity(struct convt_layer *l, convt_const_view y, convt_const_view dy,
                            double divisor, struct sweep_call *sweep)
{
    const convt_regularizer *r = &l->cfg.activity_regularizer;
    double scale = divisor != 0 ? 1 / divisor : 0;
    if (r->kind != CONVT_CUSTOM_REGULARIZER) {
        convti_regularizer_coefficients(r, &sweep->l1, &sweep->l2);
        sweep->l1 *= scale;
        sweep->l2 *= scale;
        return dy.data;
    }
    convt_view sum = {l->dy_copy, dy.dtype, dy.n, dy.h, dy.w, dy.c};
    memcpy(sum.data, dy.data, (size_t)(y.n * l->geometry.y_size) * sizeof(real));
    convti_regularizer_gradient(r, y, scale, sum);
    return sum.data;
}

static void empty_batch(struct convt_layer *l, bool weights, convt_view dx)
{
    if (weights) memset(l->dkernel, 0, (size_t)l->geometry.w_size * sizeof(real));
    if (weights && l->dbias) memset(l->dbias, 0, (size_t)l->geometry.filters * sizeof(real));
    if (dx.data) memset(dx.data, 0, (size_t)(dx.n * l->geometry.x_size) * sizeof(real));
}

struct backward_pass {
    struct convt_layer *layer;
    struct gather_call again, gather; /* z, where it is needed and was not kept; dx */
    struct sweep_call sweep;
    struct outer_call outer;
    bool recompute, dx, weights; /* which of them is wanted beside dz */
};

static void make_dz(struct team *team, const struct backward_pass *pass, void *scratch)
{
    struct gather_call again = pass->again;
    struct sweep_call sweep = pass->sweep;
    sweep.team = again.team = team;
    sweep.scratch = again.scratch = scratch;
    if (pass->recompute) {
        pack_forward(team, pass->layer);
        contract(pass->layer, &again);
        convti_wait(team);
    }
    if (sweep.axis_slope) {
        FN(convti_rows_backward)(&sweep);
        sweep.dy = sweep.dz; /* it is there: what is left is db */
        sweep.dz = NULL;
    }
    FN(convti_sweep)(&sweep);
}

static void backward_body(struct team *team, void *work)
{
    const struct backward_pass *pass = work;
    const struct convt_layer *l = pass->layer;
    void *scratch = scratch_of(l, team);
    make_dz(team, pass, scratch);
    if (pass->dx) {
        struct gather_call gather = pass->gather;
        gather.team = team;
        gather.scratch = scratch;
        if (l->packed_backward_version != l->version) FN(convti_pack_backward)(team, l);
        FN(convti_gather)(&gather); /* dw begins where dx leaves a thread idle */
    }
    if (pass->weights) {
        struct outer_call outer = pass->outer;
        outer.team = team;
        outer.scratch = scratch;
        FN(convti_outer)(&outer);
    }
}

static struct sweep_call sweep_call(struct convt_layer *l, convt_const_view z, convt_const_view y,
                                    convt_const_view dy, double divisor)
{
    const struct kernels *kernels = l->kernels;
    convt_activation_kind kind = l->cfg.activation.kind;
    bool custom = kind == CONVT_CUSTOM_ACTIVATION, rows = convti_activation_on_axis(kind);
    struct sweep_call sweep = {
        .geometry = &l->geometry,
        .kernels = kernels,
        .n = y.n,
        .z = z.data,
        .y = y.data,
        .z_in_dz = convti_activation_needs_z(&l->cfg.activation) && !z.data,
        .dz = l->dz,
        .db = l->dbias,
        .parts = l->db_parts,
        .params = params_of(l),
        .axis_slope = rows ? kernels->axis_slope[kind] : NULL,
        .slope = custom || rows || kind == CONVT_LINEAR ? NULL : kernels->slope[kind],
        .custom = custom ? &l->cfg.activation.custom : NULL};
    sweep.dy = activity(l, y, dy, divisor, &sweep);
    return sweep;
}

static void backward(struct convt_layer *l, convt_const_view x, convt_const_view z,
                     convt_const_view y, convt_const_view dy, convt_view dx, double divisor)
{
    const struct geometry *g = &l->geometry;
    const bool weights = !convti_absent(x); /* else dx alone is wanted */
    if (y.n * g->z_size == 0) {
        empty_batch(l, weights, dx);
        return;
    }
    struct backward_pass pass = {.layer = l,
                                 .sweep = sweep_call(l, z, y, dy, divisor),
                                 .again = forward_call(l, y.n, x.data, l->dz),
                                 .dx = dx.data,
                                 .weights = weights};
    const real *dz = l->dz ? l->dz : dy.data;
    pass.recompute = pass.sweep.z_in_dz;
    pass.again.channels_first = false;
    if (!weights) pass.sweep.db = NULL;
    convti_cut_slabs_for(&l->backward, y.n, sizeof(real));
    pass.gather = (struct gather_call){.plan = &l->backward,
                                       .kernels = l->kernels,
                                       .n = y.n,
                                       .source = dz,
                                       .packed = l->packed_backward,
                                       .target = dx.data,
                                       .channels_first = g->channels_first};
    pass.outer = (struct outer_call){.plan = &l->outer,
                                     .geometry = g,
                                     .kernels = l->kernels,
                                     .n = y.n,
                                     .x = x.data,
                                     .dz = dz,
                                     .dw = l->dkernel,
                                     .parts = l->dw_parts};
    convti_team_run(convti_threads(l, y.n), backward_body, &pass);
    if (pass.recompute) l->packed_forward_version = l->version;
    if (pass.dx) l->packed_backward_version = l->version;
}

static size_t scratch(const struct convt_layer *l)
{
    size_t most = l->lines.chosen ? FN(convti_lines_scratch)(&l->lines)
                                  : FN(convti_gather_scratch)(&l->forward),
           other;
    if (l->cfg.inference) return most;
    other = FN(convti_gather_scratch)(&l->backward);
    most = other > most ? other : most;
    other = FN(convti_outer_scratch)(l);
    most = other > most ? other : most;
    other = FN(convti_sweep_scratch)(&l->geometry);
    most = other > most ? other : most;
    other = convti_activation_on_axis(l->cfg.activation.kind)
                ? FN(convti_rows_scratch)(&l->geometry)
                : 0;
    return other > most ? other : most;
}

static const struct tile_sizes *tiles(const void *kernels)
{
    return &((const struct kernels *)kernels)->tiles;
}

extern const struct convti_ops FN(convti_ops);
const struct convti_ops FN(convti_ops) = {
    .real_size = sizeof(real),
    .choose_isa = FN(convti_choose_isa),
    .tiles = tiles,
    .scratch = scratch,
    .forward = forward,
    .backward = backward,
};
