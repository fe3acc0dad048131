/*
 * The life of a layer: plan, one arena, parameters, and the checks in front of every pass.
 *
 * The arena holds, in this order: the layer, parameters and gradients, whose sizes never change; packed
 * weights, whose sizes follow from the formulation; then what depends on batch and spatial size: tap
 * classes, dz, partial sums, scratch of every thread.
 */
#include "layer.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "integer.h"
#include "rng.h"
#include "status.h"

/* Offsets of the parts in the arena, found before memory is asked for. */
struct layout {
    convti_size size;
    size_t kernel, bias, dkernel, dbias, dw, packed_forward, packed_backward, packed_bias;
    size_t classes[4], slots[4];
    size_t dz, dy_copy, dw_parts, db_parts;
    size_t scratch, scratch_stride;
};

int64_t convti_packed_forward(const struct convt_layer *l)
{
    return l->forward_by == BY_FOLD ? l->fold.packed : l->forward.packed;
}

bool convti_needs_dz(const struct convt_layer *l)
{
    return l->cfg.activation.kind != CONVT_LINEAR ||
           l->cfg.activity_regularizer.kind != CONVT_NO_REGULARIZER || l->geometry.channels_first;
}

bool convti_has_gradients(const struct convt_layer *l)
{
    return !l->cfg.inference && !l->cfg.fixed;
}

/* Below the first a pass is done before a second thread is of use; the second is what an element
 * of z costs beside its sum, roughly. */
static const double region_flops = 4 << 20, element_flops = 16;

int convti_threads(const struct convt_layer *l, int64_t n)
{
    const struct geometry *g = &l->geometry;
    const double sums = (double)g->x_size * (double)g->taps * (double)g->filters,
                 flops = (double)n * (2 * sums + element_flops * (double)g->z_size);
    return flops < l->region_flops ? 1 : l->threads;
}

static void lay_fixed(struct layout *at, const struct convt_layer *l)
{
    const struct geometry *g = &l->geometry;
    size_t real = l->ops->real_size;
    bool train = !l->cfg.inference, bias = !l->cfg.no_bias, gradients = convti_has_gradients(l);
    convti_size_add(&at->size, 1, sizeof *l);
    at->kernel = convti_size_add(&at->size, g->w_size, real);
    at->bias = convti_size_add(&at->size, bias ? g->filters : 0, real);
    at->dkernel = convti_size_add(&at->size, gradients ? g->w_size : 0, real);
    at->dbias = convti_size_add(&at->size, gradients && bias ? g->filters : 0, real);
    at->dw = convti_size_add(&at->size, gradients && g->turned ? g->w_size : 0, real);
    at->packed_forward = convti_size_add(&at->size, convti_packed_forward(l), real);
    at->packed_backward = convti_size_add(&at->size, train ? l->backward.packed : 0, real);
    at->packed_bias =
        convti_size_add(&at->size, bias ? l->forward.panels * l->forward.panel : 0, real);
}

static void lay_plans(struct layout *at, const struct geometry *g)
{
    const int64_t classes[4] = {convti_forward_classes(&g->h), convti_forward_classes(&g->w),
                                convti_backward_classes(&g->h), convti_backward_classes(&g->w)};
    const int64_t slots[4] = {g->h.kernel, g->w.kernel, g->h.kernel, g->w.kernel};
    for (int i = 0; i < 4; i++) {
        at->classes[i] = convti_size_add(&at->size, classes[i], sizeof(struct tap_class));
        at->slots[i] = convti_size_add(&at->size, slots[i], sizeof(int64_t));
    }
}

static void lay_buffers(struct layout *at, const struct convt_layer *l)
{
    const struct geometry *g = &l->geometry;
    size_t real = l->ops->real_size;
    bool train = !l->cfg.inference, gradients = convti_has_gradients(l),
         custom = l->cfg.activity_regularizer.kind == CONVT_CUSTOM_REGULARIZER;
    int64_t inputs, outputs; /* x and z of a batch */
    if (!convti_mul64(g->x_size, l->cfg.max_batch, &inputs) ||
        !convti_mul64(g->z_size, l->cfg.max_batch, &outputs)) {
        at->size.overflow = true;
        return;
    }
    /* Forward keeps z there where y is too small for it. */
    at->dz = convti_size_add(&at->size,
                             (train && convti_needs_dz(l)) || g->inputs > 1 ? outputs : 0, real);
    at->dy_copy = convti_size_add(&at->size, train && custom ? outputs / g->inputs : 0, real);
    at->dw_parts = convti_size_add(
        &at->size, gradients ? convti_outer_parts_size(&l->outer, g, l->cfg.max_batch) : 0, real);
    at->db_parts = convti_size_add(
        &at->size, gradients ? convti_sweep_bound(&l->sweep, g, l->cfg.max_batch) * g->filters : 0,
        real);
    at->scratch_stride = (l->ops->scratch(l) + CONVTI_ALIGNMENT - 1) / CONVTI_ALIGNMENT *
                         CONVTI_ALIGNMENT;
    at->scratch = convti_size_add(&at->size, l->threads, at->scratch_stride);
}

/* Geometry and plans (without classes) of a layer whose config and kernels are known. */
static convt_status plan_shapes(struct convt_layer *l, convt_error *err)
{
    convt_status status = convti_geometry(&l->geometry, &l->cfg, err);
    if (status != CONVT_OK) return status;
    const struct tile_sizes *tiles = l->ops->tiles(l->kernels);
    convti_plan_gather_forward(&l->forward, &l->geometry, tiles, l->ops->real_size);
    convti_plan_gather_backward(&l->backward, &l->geometry, tiles, l->ops->real_size);
    convti_plan_lines(&l->lines, &l->geometry, tiles, l->ops->real_size);
    convti_plan_fold(&l->fold, &l->geometry, tiles, l->ops->real_size);
    l->forward_by = convti_forward_by(&l->geometry, &l->forward, &l->lines, &l->fold);
    if (convti_has_gradients(l))
        convti_plan_outer(&l->outer, &l->geometry, tiles, l->ops->real_size);
    convti_plan_sweep(&l->sweep, &l->geometry, l->ops->real_size);
    return CONVT_OK;
}

/* What every call would otherwise look up in the tables. */
static void resolve_rows(struct convt_layer *l)
{
    convti_activation_defaults(&l->cfg.activation, &l->activation);
    l->needs_z = convti_activation_needs_z(&l->cfg.activation);
    convti_regularizer_coefficients(&l->cfg.activity_regularizer, &l->activity_l1, &l->activity_l2);
}

/* Everything about a layer that needs no memory. */
static convt_status plan_layer(struct convt_layer *l, const convt_config *cfg, convt_error *err)
{
    *l = (struct convt_layer){0};
    convt_status status = convti_config_resolve(&l->cfg, cfg, err);
    if (status != CONVT_OK) return status;
    l->ops = l->cfg.dtype == CONVT_FLOAT64 ? &convti_ops_f64 : &convti_ops_f32;
    const char *forced = getenv("CONVT_ISA");
    l->kernels = l->ops->choose_isa(forced && *forced ? forced : NULL, &l->isa);
    if (!l->kernels)
        return convti_fail(err, CONVT_NO_ISA, "CONVT_ISA",
                           "CONVT_ISA=%.64s names no instruction set that this machine runs",
                           forced);
    l->threads = l->cfg.threads > 0 ? l->cfg.threads : omp_get_max_threads();
    l->region_flops = region_flops;
    resolve_rows(l);
    return plan_shapes(l, err);
}

static convt_status lay_out(struct layout *at, const struct convt_layer *l, convt_error *err)
{
    *at = (struct layout){0};
    lay_fixed(at, l);
    lay_plans(at, &l->geometry);
    lay_buffers(at, l);
    if (at->size.overflow || convti_size_total(&at->size) == 0)
        return convti_fail(err, CONVT_TOO_LARGE, "max_batch",
                           "the memory for max_batch %lld exceeds what 64 bits can count",
                           (long long)l->cfg.max_batch);
    return CONVT_OK;
}

/* What lies elsewhere than before has to be packed anew. */
static void place_packed(struct convt_layer *l, const struct layout *at)
{
    const convti_arena *a = &l->room;
    void *forward = convti_arena_at(a, at->packed_forward),
         *backward = l->cfg.inference ? NULL : convti_arena_at(a, at->packed_backward),
         *bias = l->cfg.no_bias ? NULL : convti_arena_at(a, at->packed_bias);
    if (forward != l->packed_forward || bias != l->packed_bias) l->packed_forward_version = 0;
    if (backward != l->packed_backward) l->packed_backward_version = 0;
    l->packed_forward = forward;
    l->packed_backward = backward;
    l->packed_bias = bias;
}

static void place_fixed(struct convt_layer *l, const struct layout *at)
{
    const convti_arena *a = &l->room;
    bool bias = !l->cfg.no_bias, gradients = convti_has_gradients(l);
    l->kernel = convti_arena_at(a, at->kernel);
    l->bias = bias ? convti_arena_at(a, at->bias) : NULL;
    l->dkernel = gradients ? convti_arena_at(a, at->dkernel) : NULL;
    l->dbias = gradients && bias ? convti_arena_at(a, at->dbias) : NULL;
    l->dw = l->geometry.turned ? convti_arena_at(a, at->dw) : l->dkernel;
    l->packed_forward = l->packed_backward = l->packed_bias = NULL; /* nothing is packed there */
    l->packed_forward_version = l->packed_backward_version = 0;
    place_packed(l, at);
}

static void place_variable(struct convt_layer *l, const struct layout *at)
{
    const convti_arena *a = &l->room;
    struct axis_plan *plans[4] = {&l->forward.h, &l->forward.w, &l->backward.h, &l->backward.w};
    for (int i = 0; i < 4; i++) {
        plans[i]->classes = convti_arena_at(a, at->classes[i]);
        plans[i]->tap_of_slot = convti_arena_at(a, at->slots[i]);
    }
    convti_plan_forward(&l->forward.h, &l->geometry.h);
    convti_plan_forward(&l->forward.w, &l->geometry.w);
    convti_plan_backward(&l->backward.h, &l->geometry.h);
    convti_plan_backward(&l->backward.w, &l->geometry.w);
    l->dz = convti_needs_dz(l) ? convti_arena_at(a, at->dz) : NULL;
    l->dy_copy = convti_arena_at(a, at->dy_copy);
    l->dw_parts = convti_arena_at(a, at->dw_parts);
    l->db_parts = convti_arena_at(a, at->db_parts);
    l->scratch = convti_arena_at(a, at->scratch);
    l->scratch_stride = at->scratch_stride;
}

/* A planned layer moves into an arena of its own; *l ends up there. */
static struct convt_layer *settle(const struct convt_layer *planned, const struct layout *at,
                                  convt_error *err)
{
    convti_arena arena = {0};
    if (!convti_arena_take(&arena, &planned->cfg.allocator, &at->size)) {
        convti_fail(err, CONVT_NO_MEMORY, "allocator",
                    "a layer of kernel (%lld, %lld, %lld, %lld) needs %zu bytes",
                    (long long)planned->geometry.h.kernel, (long long)planned->geometry.w.kernel,
                    (long long)planned->geometry.filters, (long long)planned->geometry.channels,
                    convti_size_total(&at->size));
        return NULL;
    }
    struct convt_layer *l = convti_arena_at(&arena, 0);
    *l = *planned;
    l->home = l->room = arena;
    strcpy(l->name, planned->cfg.name); /* which is no longer: see config.c */
    l->cfg.name = l->name;
    place_fixed(l, at);
    place_variable(l, at);
    return l;
}

/* Kernel and bias, whether they are parameters or constants. */
static int tensors(struct convt_layer *l, convt_parameter rows[2]);

static size_t parameter_bytes(const struct convt_layer *l, const convt_parameter *row)
{
    return (size_t)(row->value.n * row->value.h * row->value.w * row->value.c) * l->ops->real_size;
}

static void initialize(struct convt_layer *l)
{
    convt_parameter rows[2];
    int count = tensors(l, rows);
    const convt_initializer *initializers[2] = {&l->cfg.kernel_initializer,
                                                &l->cfg.bias_initializer};
    for (int i = 0; i < count; i++) {
        convti_initialize(initializers[i], convti_mix(l->cfg.seed, (uint64_t)i), rows[i].rank,
                          rows[i].value);
        if (rows[i].gradient.data) memset(rows[i].gradient.data, 0, parameter_bytes(l, &rows[i]));
    }
    l->version = 1;
}

convt_status convt_layer_create(convt_layer **layer, const convt_config *cfg, convt_error *err)
{
    struct convt_layer planned;
    struct layout at;
    convti_clear(err);
    if (!layer) return convti_fail(err, CONVT_INVALID_ARGUMENT, "layer", "layer must not be NULL");
    *layer = NULL;
    convt_status status = plan_layer(&planned, cfg, err);
    if (status == CONVT_OK) status = lay_out(&at, &planned, err);
    if (status != CONVT_OK) return status;
    *layer = settle(&planned, &at, err);
    if (!*layer) return CONVT_NO_MEMORY;
    initialize(*layer);
    return CONVT_OK;
}

void convt_layer_destroy(convt_layer *layer)
{
    if (!layer) return;
    if (layer->room.memory != layer->home.memory) convti_arena_release(&layer->room);
    convti_arena_release(&layer->home);
}

size_t convt_layer_memory(const convt_config *cfg, convt_error *err)
{
    struct convt_layer planned;
    struct layout at;
    convti_clear(err);
    if (plan_layer(&planned, cfg, err) != CONVT_OK || lay_out(&at, &planned, err) != CONVT_OK)
        return 0;
    return convti_size_total(&at.size);
}

convt_status convt_output_shape(const convt_config *cfg, convt_shape *output, convt_error *err)
{
    convt_config resolved;
    struct geometry g;
    convti_clear(err);
    convt_status status = convti_config_resolve(&resolved, cfg, err);
    if (status == CONVT_OK) status = convti_geometry(&g, &resolved, err);
    if (status == CONVT_OK) *output = g.y;
    return status;
}

/* ---- one caller at a time -------------------------------------------------------------------- */

/* Debug builds refuse a call while another one is at work; release builds do not look. */
static convt_status begin(struct convt_layer *l)
{
#ifndef NDEBUG
    if (atomic_exchange(&l->busy, true))
        return convti_fail(&l->error, CONVT_INVALID_ARGUMENT, "layer",
                           "layer %s is at work in another call: one caller at a time", l->name);
#endif
    (void)l;
    return CONVT_OK;
}

static void end(struct convt_layer *l)
{
#ifndef NDEBUG
    atomic_store(&l->busy, false);
#endif
    (void)l;
}

/* ---- reshape --------------------------------------------------------------------------------- */

/* Moves parameters and gradients to a larger arena. On failure nothing has changed. */
static convt_status move_to_larger(struct convt_layer *l, const struct layout *at)
{
    convti_arena larger = {0}, old = l->room;
    if (!convti_arena_take(&larger, &l->cfg.allocator, &at->size))
        return convti_fail(&l->error, CONVT_NO_MEMORY, "max_batch", "the new shape needs %zu bytes",
                           convti_size_total(&at->size));
    convt_parameter before[2], after[2];
    int count = tensors(l, before);
    l->room = larger;
    place_fixed(l, at);
    tensors(l, after);
    for (int i = 0; i < count; i++) {
        memcpy(after[i].value.data, before[i].value.data, parameter_bytes(l, &before[i]));
        if (before[i].gradient.data)
            memcpy(after[i].gradient.data, before[i].gradient.data, parameter_bytes(l, &before[i]));
    }
    if (old.memory != l->home.memory) convti_arena_release(&old);
    return CONVT_OK;
}

/* The order of packed weights follows from the formulation, and forward from the phases of the
 * stride that have an output. */
static bool same_panels(const struct gather_plan *a, const struct gather_plan *b)
{
    return a->dot == b->dot && a->panel == b->panel;
}

static bool same_phases(const struct axis *a, const struct axis *b)
{
    return lesser(a->stride, a->out) == lesser(b->stride, b->out);
}

static void forget_stale_panels(struct convt_layer *l, const struct convt_layer *planned)
{
    const struct geometry *before = &l->geometry, *after = &planned->geometry;
    if (l->forward_by != planned->forward_by || !same_panels(&l->forward, &planned->forward) ||
        !same_phases(&before->h, &after->h) || !same_phases(&before->w, &after->w))
        l->packed_forward_version = 0;
    if (!same_panels(&l->backward, &planned->backward)) l->packed_backward_version = 0;
}

static void move_in(struct convt_layer *layer, const struct convt_layer *planned,
                    const struct layout *at)
{
    forget_stale_panels(layer, planned);
    layer->cfg = planned->cfg;
    layer->geometry = planned->geometry;
    layer->forward = planned->forward;
    layer->lines = planned->lines;
    layer->fold = planned->fold;
    layer->forward_by = planned->forward_by;
    layer->backward = planned->backward;
    layer->outer = planned->outer;
    layer->sweep = planned->sweep;
    place_packed(layer, at);
    place_variable(layer, at);
}

convt_status convt_layer_reshape(convt_layer *layer, int64_t max_batch, int64_t h, int64_t w)
{
    struct convt_layer planned = *layer;
    struct layout at;
    convti_clear(&layer->error);
    convt_config cfg = layer->cfg;
    cfg.max_batch = max_batch;
    cfg.input.h = h;
    cfg.input.w = w;
    convt_status status = convti_config_resolve(&planned.cfg, &cfg, &layer->error);
    if (status == CONVT_OK) status = plan_shapes(&planned, &layer->error);
    if (status == CONVT_OK) status = lay_out(&at, &planned, &layer->error);
    if (status == CONVT_OK) status = begin(layer);
    if (status != CONVT_OK) return status;
    if (convti_size_total(&at.size) > layer->room.bytes) status = move_to_larger(layer, &at);
    if (status == CONVT_OK) move_in(layer, &planned, &at);
    end(layer);
    return status;
}

/* ---- what a layer tells ---------------------------------------------------------------------- */

const convt_error *convt_layer_error(const convt_layer *layer)
{
    return &layer->error;
}

const convt_config *convt_layer_config(const convt_layer *layer)
{
    return &layer->cfg;
}

convt_shape convt_layer_output(const convt_layer *layer)
{
    return layer->geometry.y;
}

const char *convt_layer_isa(const convt_layer *layer)
{
    return layer->isa;
}

size_t convt_layer_bytes(const convt_layer *layer)
{
    return layer->home.bytes + (layer->room.memory != layer->home.memory ? layer->room.bytes : 0);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static int tensors(struct convt_layer *l, convt_parameter rows[2])
{
    const struct geometry *g = &l->geometry;
    const convt_constraint *constraint[2] = {&l->cfg.kernel_constraint, &l->cfg.bias_constraint};
    const convt_view shape[2] = {{NULL, l->cfg.dtype, g->h.kernel, g->w.kernel,
                                  g->turned ? g->channels : g->filters,
                                  g->turned ? g->filters : g->channels},
                                 {NULL, l->cfg.dtype, 1, 1, 1, g->filters}};
    void *const value[2] = {l->kernel, l->bias}, *const gradient[2] = {l->dkernel, l->dbias};
    int count = l->cfg.no_bias ? 1 : 2;
    for (int i = 0; i < count; i++) {
        rows[i] = (convt_parameter){
            .owner = l->name,
            .name = i == 0 ? "kernel" : "bias",
            .value = shape[i],
            .gradient = shape[i],
            .rank = i == 0 ? convti_kernel_rank(l->cfg.kernel_order) : 1,
            .trainable = !l->cfg.frozen,
            .constraint = constraint[i]->kind != CONVT_NO_CONSTRAINT ? constraint[i] : NULL,
            .version = &l->version};
        rows[i].value.data = value[i];
        rows[i].gradient.data = gradient[i];
    }
    return count;
}

int convt_layer_parameters(convt_layer *layer, convt_parameter rows[2])
{
    return layer->cfg.fixed ? 0 : tensors(layer, rows);
}

static convt_status refuse_shape(convt_layer *l, const char *name, convt_const_view v,
                                 const convt_view *want)
{
    return convti_fail(
        &l->error, CONVT_INVALID_SHAPE, name,
        "%s is float%d (%lld, %lld, %lld, %lld), expected float%d (%lld, %lld, %lld, %lld)", name,
        v.dtype == CONVT_FLOAT64 ? 64 : 32, (long long)v.n, (long long)v.h, (long long)v.w,
        (long long)v.c, want->dtype == CONVT_FLOAT64 ? 64 : 32, (long long)want->n,
        (long long)want->h, (long long)want->w, (long long)want->c);
}

static convt_status set_parameter(convt_layer *l, int index, const char *name,
                                  convt_const_view value)
{
    convt_parameter rows[2];
    convti_clear(&l->error);
    if (index >= tensors(l, rows))
        return convti_fail(&l->error, CONVT_INVALID_ARGUMENT, name,
                           "the layer has no %s: use_bias is false (no_bias)", name);
    const convt_view *want = &rows[index].value;
    if (!value.data || value.dtype != want->dtype || value.n != want->n || value.h != want->h ||
        value.w != want->w || value.c != want->c)
        return refuse_shape(l, name, value, want);
    const convt_status status = begin(l);
    if (status != CONVT_OK) return status;
    memcpy(want->data, value.data, parameter_bytes(l, &rows[index]));
    l->version++;
    end(l);
    return CONVT_OK;
}

convt_status convt_layer_set_kernel(convt_layer *layer, convt_const_view kernel)
{
    return set_parameter(layer, 0, "kernel", kernel);
}

convt_status convt_layer_set_bias(convt_layer *layer, convt_const_view bias)
{
    return set_parameter(layer, 1, "bias", bias);
}

void convt_layer_touch(convt_layer *layer)
{
    layer->version++;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* A view of n samples of one shape, n <= max_batch; absent views pass where they may be absent. */
static bool check(convt_layer *l, const char *name, convt_const_view v, int64_t n,
                  convt_shape shape, bool optional)
{
    if (optional && !v.data) return true;
    convt_view want = {NULL, l->cfg.dtype, n, shape.h, shape.w, shape.c};
    bool fits = v.dtype == want.dtype && v.n == n && v.h == shape.h && v.w == shape.w &&
                v.c == shape.c;
    if (!fits)
        refuse_shape(l, name, v, &want);
    else if (n < 0 || n > l->cfg.max_batch)
        convti_fail(&l->error, CONVT_INVALID_SHAPE, name,
                    "%s holds %lld samples, max_batch is %lld", name, (long long)n,
                    (long long)l->cfg.max_batch);
    else if (!v.data && n > 0 && shape.h * shape.w * shape.c > 0)
        convti_fail(&l->error, CONVT_INVALID_SHAPE, name, "%s has no data", name);
    else if (!convti_aligned(v.data, v.dtype))
        convti_fail(&l->error, CONVT_INVALID_ARGUMENT, name,
                    "%s lies at %p, where no float%d can lie", name, v.data,
                    v.dtype == CONVT_FLOAT64 ? 64 : 32);
    else
        return true;
    return false;
}

static convt_shape shape_of_z(const convt_layer *l)
{
    return (convt_shape){l->geometry.h.out, l->geometry.w.out, l->geometry.filters};
}

convt_status convt_forward_z(convt_layer *l, convt_const_view x, convt_view z, convt_view y)
{
    convti_clear(&l->error);
    if (!check(l, "x", x, x.n, l->cfg.input, false) ||
        !check(l, "y", convt_read(y), x.n, convt_layer_output(l), false) ||
        !check(l, "z", convt_read(z), x.n, shape_of_z(l), true))
        return l->error.status;
    const convt_status status = begin(l);
    if (status != CONVT_OK) return status;
    l->ops->forward(l, x, z, y);
    end(l);
    return CONVT_OK;
}

convt_status convt_forward(convt_layer *layer, convt_const_view x, convt_view y)
{
    return convt_forward_z(layer, x, CONVT_NONE, y);
}

convt_status convt_backward_data(convt_layer *l, convt_const_view x, convt_const_view z,
                                 convt_const_view y, convt_const_view dy, convt_view dx,
                                 double divisor)
{
    convti_clear(&l->error);
    convt_shape output = convt_layer_output(l);
    if (l->cfg.inference)
        return convti_fail(&l->error, CONVT_INVALID_ARGUMENT, "inference",
                           "the layer was created with inference set");
    const bool z_known = z.data || !l->needs_z,
               no_weights = l->cfg.fixed || !convti_absent(convt_read(dx)),
               no_x = convti_absent(x) && z_known && no_weights;
    const int64_t n = no_x ? y.n : x.n;
    if ((!no_x && !check(l, "x", x, n, l->cfg.input, false)) ||
        !check(l, "y", y, n, output, false) || !check(l, "dy", dy, n, output, false) ||
        !check(l, "z", z, n, shape_of_z(l), true) ||
        !check(l, "dx", convt_read(dx), n, l->cfg.input, true))
        return l->error.status;
    const convt_status status = begin(l);
    if (status != CONVT_OK) return status;
    l->ops->backward(l, x, z, y, dy, dx, divisor);
    end(l);
    return CONVT_OK;
}

convt_status convt_backward_weights(convt_layer *l)
{
    convti_clear(&l->error);
    if (l->cfg.inference)
        return convti_fail(&l->error, CONVT_INVALID_ARGUMENT, "inference",
                           "the layer was created with inference set");
    const convt_regularizer *regularizers[2] = {&l->cfg.kernel_regularizer,
                                                &l->cfg.bias_regularizer};
    if (l->cfg.frozen || (regularizers[0]->kind == CONVT_NO_REGULARIZER &&
                          regularizers[1]->kind == CONVT_NO_REGULARIZER))
        return CONVT_OK;
    const convt_status status = begin(l);
    if (status != CONVT_OK) return status;
    convt_parameter rows[2];
    int count = convt_layer_parameters(l, rows);
    for (int i = 0; i < count; i++)
        convti_regularizer_gradient(regularizers[i], convt_read(rows[i].value), 1,
                                    rows[i].gradient);
    end(l);
    return CONVT_OK;
}

convt_status convt_backward(convt_layer *layer, convt_const_view x, convt_const_view y,
                            convt_const_view dy, convt_view dx)
{
    const convt_const_view none = {0};
    convt_status status = convt_backward_data(layer, x, none, y, dy, dx, (double)y.n);
    return status == CONVT_OK ? convt_backward_weights(layer) : status;
}

/* ---- losses ---------------------------------------------------------------------------------- */

double convt_layer_weight_loss(convt_layer *l)
{
    if (l->cfg.frozen) return 0;
    convt_parameter rows[2];
    int count = convt_layer_parameters(l, rows);
    const convt_regularizer *regularizers[2] = {&l->cfg.kernel_regularizer,
                                                &l->cfg.bias_regularizer};
    double loss = 0;
    for (int i = 0; i < count; i++)
        loss += convti_regularizer_loss(regularizers[i], convt_read(rows[i].value));
    return loss;
}

convt_status convt_layer_activity_loss(convt_layer *l, convt_const_view y, double divisor,
                                       double *loss)
{
    convti_clear(&l->error);
    *loss = 0;
    if (!check(l, "y", y, y.n, convt_layer_output(l), false)) return l->error.status;
    if (divisor != 0) *loss = convti_regularizer_loss(&l->cfg.activity_regularizer, y) / divisor;
    return CONVT_OK;
}

convt_status convt_layer_loss(convt_layer *layer, convt_const_view y, double *loss)
{
    convt_status status = convt_layer_activity_loss(layer, y, (double)y.n, loss);
    if (status == CONVT_OK) *loss += convt_layer_weight_loss(layer);
    return status;
}
