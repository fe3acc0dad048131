/*
 * The passes of a layer: one team each.
 *
 *     forward    pack w where stale;  y = act(gather(x))
 *     backward   z = gather(x) where the activation needs it and nobody kept it;
 *                dz, db = sweep(z, y, dy);  dx = gather(dz);  dw = outer(x, dz), turned as the
 *                kernel is
 */
#include "passes.h"

#include <string.h>

#include "../integer.h"

/* A block of a custom activation's pass: small enough to stay in L1, large enough to hide the call.
 */
enum { CUSTOM_BLOCK = 4096 };

static struct activation_params params_of(const struct convt_layer *l)
{
    const struct convti_activation_params *p = &l->activation;
    return (struct activation_params){
#define ACTIVATION_ARGUMENT(name, range) (real) p->name,
#include "convt/activations.def"
    };
}

static void *scratch_of(const struct convt_layer *l, const struct team *team)
{
    return (char *)l->scratch + (size_t)team->thread * l->scratch_stride;
}

/* In front of the team: the cuts for a batch of n. */
static void cut_forward(struct convt_layer *l, int64_t n)
{
    switch (l->forward_by) {
    case BY_LINES: convti_cut_lines_for(&l->lines, n, sizeof(real)); break;
    case BY_FOLD: convti_cut_fold_for(&l->fold, n); break;
    case BY_GATHER: convti_cut_slabs_for(&l->forward, n, sizeof(real));
    }
}

static struct gather_call forward_call(struct team *team, const struct convt_layer *l, int64_t n,
                                       const real *x, real *target)
{
    return (struct gather_call){.team = team,
                                .plan = &l->forward,
                                .kernels = l->kernels,
                                .n = n,
                                .source = x,
                                .packed = l->packed_forward,
                                .bias = l->packed_bias,
                                .target = target,
                                .channels_first = l->geometry.channels_first,
                                .scratch = scratch_of(l, team)};
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
    switch (l->forward_by) {
    case BY_LINES: FN(convti_lines)(&l->lines, call); break;
    case BY_FOLD: FN(convti_fold)(&l->fold, call); break;
    case BY_GATHER: FN(convti_gather)(call);
    }
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
    const struct convt_layer *layer;
    int64_t n;
    const real *x;
    real *target, *z, *y;
    bool apart; /* the activation runs behind the gather, from its target to y */
    struct finish finish;
};

static void forward_body(struct team *team, void *work)
{
    const struct forward_pass *pass = work;
    struct gather_call gather = forward_call(team, pass->layer, pass->n, pass->x, pass->target);
    gather.z = pass->z;
    gather.finish = pass->finish.f ? &pass->finish : NULL;
    pack_forward(team, pass->layer);
    contract(pass->layer, &gather);
    if (!pass->apart) return;
    convti_wait(team);
    finish_apart(team, pass->layer, pass->n, pass->target, pass->y);
}

/* Where the sums go: to y where it has room for z. */
static real *target_of(const struct convt_layer *l, convt_view z, convt_view y)
{
    return z.data ? z.data : l->geometry.inputs > 1 ? l->dz : y.data;
}

static void forward(struct convt_layer *l, convt_const_view x, convt_view z, convt_view y)
{
    const struct kernels *kernels = l->kernels;
    const convt_activation_kind kind = l->cfg.activation.kind;
    const bool apart = kind == CONVT_CUSTOM_ACTIVATION || convti_activation_on_axis(kind);
    if (x.n * l->geometry.z_size == 0) return;
    cut_forward(l, x.n);
    struct forward_pass pass;
    pass.layer = l;
    pass.n = x.n;
    pass.x = x.data;
    pass.target = apart ? target_of(l, z, y) : y.data;
    pass.z = apart || z.data == y.data ? NULL : z.data;
    pass.y = y.data;
    pass.apart = apart;
    pass.finish.f = apart || kind == CONVT_LINEAR ? NULL : kernels->activate[kind];
    if (pass.finish.f) pass.finish.params = params_of(l);
    convti_team_run(convti_threads(l, x.n), forward_body, &pass);
    l->packed_forward_version = l->version;
}

/* The activity term: built-in rows give coefficients, a custom one adds to a copy of dy. */
static const real *activity(struct convt_layer *l, convt_const_view y, convt_const_view dy,
                            double scale)
{
    const convt_regularizer *r = &l->cfg.activity_regularizer;
    if (r->kind != CONVT_CUSTOM_REGULARIZER) return dy.data;
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
    const struct convt_layer *layer;
    int64_t n;
    const real *x, *dz;
    real *dx;
    struct sweep_call sweep;
    bool recompute; /* z, which is needed and was not kept */
    bool weights;   /* dw and db are wanted, too */
};

static void make_dz(struct team *team, const struct backward_pass *pass)
{
    const struct convt_layer *l = pass->layer;
    struct sweep_call sweep = pass->sweep;
    sweep.team = team;
    sweep.scratch = scratch_of(l, team);
    if (pass->recompute) {
        struct gather_call again = forward_call(team, l, pass->n, pass->x, l->dz);
        again.channels_first = false;
        pack_forward(team, l);
        contract(l, &again);
        convti_wait(team);
    }
    if (sweep.axis_slope) {
        FN(convti_rows_backward)(&sweep);
        sweep.dy = sweep.dz; /* it is there: what is left is db */
        sweep.dz = NULL;
    }
    FN(convti_sweep)(&sweep);
}

static void make_dx(struct team *team, const struct backward_pass *pass)
{
    const struct convt_layer *l = pass->layer;
    if (l->packed_backward_version != l->version) FN(convti_pack_backward)(team, l);
    FN(convti_gather)
    (&(struct gather_call){.team = team,
                           .plan = &l->backward,
                           .kernels = l->kernels,
                           .n = pass->n,
                           .source = pass->dz,
                           .packed = l->packed_backward,
                           .target = pass->dx,
                           .channels_first = l->geometry.channels_first,
                           .scratch = scratch_of(l, team)});
}

static void make_dw(struct team *team, const struct backward_pass *pass)
{
    const struct convt_layer *l = pass->layer;
    FN(convti_outer)
    (&(struct outer_call){.team = team,
                          .plan = &l->outer,
                          .geometry = &l->geometry,
                          .kernels = l->kernels,
                          .n = pass->n,
                          .x = pass->x,
                          .dz = pass->dz,
                          .dw = l->dw,
                          .parts = l->dw_parts,
                          .scratch = scratch_of(l, team)});
    if (!l->geometry.turned) return;
    convti_wait(team);
    FN(convti_turn_dw)(team, l);
}

static void backward_body(struct team *team, void *work)
{
    const struct backward_pass *pass = work;
    make_dz(team, pass);
    if (pass->dx) make_dx(team, pass);
    if (pass->weights) make_dw(team, pass); /* begins where dx leaves a thread idle */
}

static void set_sweep(struct sweep_call *sweep, struct convt_layer *l, convt_const_view z,
                      convt_const_view y, convt_const_view dy, double divisor)
{
    const struct kernels *kernels = l->kernels;
    const convt_activation_kind kind = l->cfg.activation.kind;
    const bool custom = kind == CONVT_CUSTOM_ACTIVATION, rows = convti_activation_on_axis(kind);
    const double scale = divisor != 0 ? 1 / divisor : 0;
    convti_cut_sweep_for(&l->sweep, &l->geometry, y.n);
    *sweep = (struct sweep_call){
        .team = NULL, /* and scratch: each thread's own */
        .scratch = NULL,
        .plan = &l->sweep,
        .geometry = &l->geometry,
        .kernels = kernels,
        .n = y.n,
        .z = z.data,
        .y = y.data,
        .z_in_dz = l->needs_z && !z.data,
        .dz = l->dz,
        .db = l->dbias,
        .parts = l->db_parts,
        .params = params_of(l),
        .axis_slope = rows ? kernels->axis_slope[kind] : NULL,
        .slope = custom || rows || kind == CONVT_LINEAR ? NULL : kernels->slope[kind],
        .custom = custom ? &l->cfg.activation.custom : NULL,
        .l1 = scale * l->activity_l1,
        .l2 = scale * l->activity_l2,
        .dy = activity(l, y, dy, scale)};
}

static void backward(struct convt_layer *l, convt_const_view x, convt_const_view z,
                     convt_const_view y, convt_const_view dy, convt_view dx, double divisor)
{
    const bool weights = convti_has_gradients(l) && !convti_absent(x); /* else dx alone is wanted */
    if (y.n * l->geometry.z_size == 0) {
        empty_batch(l, weights, dx);
        return;
    }
    if (!weights && !dx.data) return;
    struct backward_pass pass;
    pass.layer = l;
    pass.n = y.n;
    pass.x = x.data;
    pass.dz = l->dz ? l->dz : dy.data;
    pass.dx = dx.data;
    pass.weights = weights;
    set_sweep(&pass.sweep, l, z, y, dy, divisor);
    if (!weights) pass.sweep.db = NULL;
    pass.recompute = pass.sweep.z_in_dz;
    if (pass.recompute) cut_forward(l, y.n);
    if (pass.dx) convti_cut_slabs_for(&l->backward, y.n, sizeof(real));
    convti_team_run(convti_threads(l, y.n), backward_body, &pass);
    if (pass.recompute) l->packed_forward_version = l->version;
    if (pass.dx) l->packed_backward_version = l->version;
}

static size_t scratch(const struct convt_layer *l)
{
    const bool rows = convti_activation_on_axis(l->cfg.activation.kind);
    const size_t forward = l->forward_by == BY_LINES  ? l->lines.bytes
                           : l->forward_by == BY_FOLD ? l->fold.bytes
                                                      : l->forward.desk.bytes;
    if (l->cfg.inference) return forward;
    const size_t all[] = {forward, l->backward.desk.bytes,
                          convti_has_gradients(l) ? FN(convti_outer_scratch)(l) : 0, l->sweep.bytes,
                          rows ? FN(convti_rows_scratch)(&l->geometry) : 0};
    size_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) most = all[i] > most ? all[i] : most;
    return most;
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
