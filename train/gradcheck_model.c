/*
 * Gradient checks of layers and models: they become problems of convt_gradcheck, with random
 * values. A layer is moved through convt_forward and convt_backward alone, a model through those of
 * train.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "integer.h"
#include "pieces.h"
#include "rng.h"
#include "status.h"
#include "subject.h"
#include "tables.h"

enum { MOST = CONVT_GRADCHECK_MOST_BLOCKS };
enum {
    STREAM_X = 1000,
    STREAM_TARGET,
    STREAM_PARAMETERS
}; /* of the seed; a check has those below */

/* ---- the passes ------------------------------------------------------------------------------ */

static convt_const_view read_as(convt_view shape, const void *data)
{
    return (convt_const_view){data, shape.dtype, shape.n, shape.h, shape.w, shape.c};
}

static convt_view write_as(convt_view shape, void *data)
{
    return (convt_view){data, shape.dtype, shape.n, shape.h, shape.w, shape.c};
}

static double penalty(const convti_subject *s, int k, double w)
{
    return s->l1[k] * fabs(w) + s->l2[k] * w * w;
}

/* Where the numbers that output k penalizes lie. */
static convt_const_view penalized(const convti_subject *s, int k, const void *y)
{
    if (s->role[k] == CONVTI_ACTIVITY_PENALTY) return read_as(s->y, y);
    return convt_read(s->rows[s->role[k] == CONVTI_BIAS_PENALTY].value);
}

static convt_status layer_forward(void *context, const void *const inputs[], void *const outputs[])
{
    convti_subject *s = context;
    convt_layer_touch(s->layer); /* the check moves parameters where they lie */
    convt_status status =
        convt_forward(s->layer, read_as(s->x, inputs[CONVTI_X]), write_as(s->y, outputs[0]));
    for (int k = 1; k < s->problem.output_count && !status; k++) {
        const convt_const_view w = penalized(s, k, outputs[0]);
        const int64_t count = convti_view_count(w);
        for (int64_t j = 0; j < count; j++)
            convti_number_set(w.dtype, outputs[k], j,
                              penalty(s, k, convti_number(w.dtype, w.data, j)));
    }
    return status;
}

/* Parameters' gradients lie in the layer: what the check left in its arrays goes there first, so
 * that adding to it shows. */
static void exchange_gradients(convti_subject *s, void *const gradients[], bool into_layer)
{
    for (int i = 0; i < s->row_count; i++) {
        const size_t bytes = (size_t)convti_elements(&s->rows[i]) *
                             convti_element_bytes(s->rows[i].value.dtype);
        void *const own = s->rows[i].gradient.data, *const given = gradients[i + 1];
        memcpy(into_layer ? own : given, into_layer ? given : own, bytes);
    }
}

static convt_status layer_backward(void *context, const void *const inputs[],
                                   const void *const outputs[],
                                   const void *const output_gradients[], void *const gradients[])
{
    convti_subject *s = context;
    exchange_gradients(s, gradients, true);
    const convt_status status =
        convt_backward(s->layer, read_as(s->x, inputs[CONVTI_X]), read_as(s->y, outputs[0]),
                       read_as(s->y, output_gradients[0]), write_as(s->x, gradients[CONVTI_X]));
    exchange_gradients(s, gradients, false);
    return status;
}

static convt_status model_loss(convti_subject *s, convt_view dy, double *loss)
{
    convt_loss_value value = {0, 0};
    convt_status status = CONVT_OK;
    if (s->loss)
        status = convt_loss(s->loss, convt_read(s->target), convt_model_output(s->model), NULL,
                            s->x.n, &value, dy, NULL);
    *loss = value.loss + convt_model_weight_loss(s->model) +
            convt_model_activity_loss(s->model, (double)s->x.n);
    return status;
}

static convt_status model_forward(void *context, const void *const inputs[], void *const outputs[])
{
    convti_subject *s = context;
    double loss = 0;
    for (int i = 0; i < convt_model_layer_count(s->model); i++)
        convt_layer_touch(convt_model_layer(s->model, i));
    convt_status status = convt_model_forward(s->model, read_as(s->x, inputs[CONVTI_X]));
    if (!status) status = model_loss(s, CONVT_NONE, &loss);
    if (status) return status;
    const convt_const_view y = convt_model_output(s->model);
    if (!s->loss)
        memcpy(outputs[0], y.data, (size_t)convti_view_count(y) * convti_element_bytes(y.dtype));
    *(double *)outputs[s->problem.output_count - 1] = loss;
    return CONVT_OK;
}

static convt_status model_backward(void *context, const void *const inputs[],
                                   const void *const outputs[],
                                   const void *const output_gradients[], void *const gradients[])
{
    convti_subject *s = context;
    convt_status status = CONVT_OK;
    double loss;
    (void)outputs;
    if (s->loss) status = model_loss(s, s->dy, &loss);
    exchange_gradients(s, gradients, true);
    if (!status)
        status =
            convt_model_backward(s->model, read_as(s->x, inputs[CONVTI_X]),
                                 s->loss ? convt_read(s->dy) : read_as(s->y, output_gradients[0]),
                                 write_as(s->x, gradients[CONVTI_X]));
    exchange_gradients(s, gradients, false);
    return status;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Numbers that float32 holds exactly: the same in both precisions. */
static void draw(convt_view v, uint64_t seed, uint64_t stream, double deviation)
{
    convti_rng rng = convti_rng_start(seed, stream);
    const int64_t count = convti_view_count(convt_read(v));
    for (int64_t i = 0; i < count; i++)
        convti_number_set(v.dtype, v.data, i, (float)(deviation * convti_rng_normal(&rng)));
}

/* Of the layer that a row belongs to. */
static const convt_config *config_of(const convti_subject *s, int row)
{
    const convt_config *cfg = convt_layer_config(convt_model_layer(s->model, 0));
    for (int i = 0; i < convt_model_layer_count(s->model); i++) {
        const convt_config *own = convt_layer_config(convt_model_layer(s->model, i));
        if (strcmp(own->name, s->rows[row].owner) == 0) cfg = own;
    }
    return cfg;
}

/* Kernels that keep z about 1 in size: a z sums channels times the taps of a phase. */
static double deviation_of(const convti_subject *s, int row)
{
    const convt_config *cfg = config_of(s, row);
    const double taps = (double)(cfg->kernel_size.h * cfg->kernel_size.w) /
                        (double)(cfg->strides.h * cfg->strides.w);
    return s->rows[row].rank == 1 ? 0.3 : 1 / sqrt((double)cfg->input.c * fmax(taps, 1));
}

static void draw_targets(convti_subject *s, uint64_t seed)
{
    convti_rng rng = convti_rng_start(seed, STREAM_TARGET);
    const int64_t count = convti_view_count(convt_read(s->target));
    const bool numbers = s->loss->kind == CONVT_SPARSE_CATEGORICAL_CROSSENTROPY;
    const int64_t classes = s->format == CONVT_CHANNELS_FIRST ? s->y.w : s->y.c;
    for (int64_t i = 0; i < count; i++)
        convti_number_set(s->target.dtype, s->target.data, i,
                          numbers ? (double)convti_rng_below(&rng, (uint64_t)classes)
                                  : (double)(float)(0.1 + 0.8 * convti_rng_uniform(&rng)));
}

static void draw_values(convti_subject *s, uint64_t seed)
{
    draw(s->x, seed, STREAM_X, 1);
    for (int i = 0; i < s->row_count; i++)
        draw(s->rows[i].value, seed, STREAM_PARAMETERS + (uint64_t)i, deviation_of(s, i));
    if (s->loss) draw_targets(s, seed);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void add_input(convti_subject *s, int i, const char *name, convt_view v, int rank,
                      const char *const axis[4])
{
    const bool first = i == CONVTI_X && s->format == CONVT_CHANNELS_FIRST;
    const int64_t dims[4] = {v.n, first ? v.c : v.h, first ? v.h : v.w, first ? v.w : v.c};
    convt_gradcheck_block *b = &s->inputs[i];
    *b = (convt_gradcheck_block){.name = name, .dtype = v.dtype, .rank = rank, .data = v.data};
    for (int k = 0; k < rank; k++) {
        b->dims[k] = dims[4 - rank + k];
        b->axis[k] = axis[4 - rank + k];
    }
}

static void add_inputs(convti_subject *s, bool chain)
{
    static const char *const last[4] = {"n", "h", "w", "c"}, *const first[4] = {"n", "c", "h", "w"},
                             *const bias[4] = {"", "", "", "f"};
    static const char *const kernel[][4] = {[CONVT_KERNEL_TRANSPOSED] = {"kh", "kw", "f", "c"},
                                            [CONVT_KERNEL_CONV] = {"kh", "kw", "c", "f"},
                                            [CONVT_KERNEL_DENSE] = {"", "", "c", "f"}};
    add_input(s, CONVTI_X, "x", s->x, 4, s->format == CONVT_CHANNELS_FIRST ? first : last);
    for (int i = 0; i < s->row_count; i++) {
        const convt_parameter *p = &s->rows[i];
        snprintf(s->names[i], sizeof s->names[i], "%.36s%s%s", chain ? p->owner : "",
                 chain ? "/" : "", p->name);
        add_input(s, i + 1, s->names[i], p->value, p->rank,
                  p->rank == 1 ? bias : kernel[config_of(s, i)->kernel_order]);
    }
    s->problem.inputs = s->inputs;
    s->problem.input_count = 1 + s->row_count;
}

static void add_output(convti_subject *s, convti_role role, const char *name, int64_t count,
                       const convt_regularizer *regularizer, double divisor)
{
    const int k = s->problem.output_count++;
    s->role[k] = role;
    s->outputs[k] =
        (convt_gradcheck_block){.name = name,
                                .dtype = role == CONVTI_LOSS ? CONVT_FLOAT64 : s->x.dtype,
                                .rank = 1,
                                .dims = {count},
                                .axis = {"element"},
                                .added = role != CONVTI_Y};
    if (!regularizer) return;
    convti_regularizer_coefficients(regularizer, &s->l1[k], &s->l2[k]);
    s->l1[k] /= divisor;
    s->l2[k] /= divisor;
}

/* Penalties element by element, so that one element does not disturb the penalty of another. */
static void add_penalties(convti_subject *s, const convt_config *cfg)
{
    const struct {
        const convt_regularizer *regularizer;
        convti_role role;
        const char *name;
        int64_t count;
        double divisor;
    } terms[] = {
        {&cfg->kernel_regularizer, CONVTI_KERNEL_PENALTY, "kernel penalty",
         convti_elements(&s->rows[0]), 1},
        {&cfg->bias_regularizer, CONVTI_BIAS_PENALTY, "bias penalty",
         s->row_count > 1 ? convti_elements(&s->rows[1]) : 0, 1},
        {&cfg->activity_regularizer, CONVTI_ACTIVITY_PENALTY, "activity penalty",
         convti_view_count(convt_read(s->y)), (double)s->x.n},
    };
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        const bool weights = terms[i].role != CONVTI_ACTIVITY_PENALTY;
        if (terms[i].regularizer->kind == CONVT_NO_REGULARIZER || terms[i].count == 0 ||
            (weights && cfg->frozen))
            continue;
        add_output(s, terms[i].role, terms[i].name, terms[i].count, terms[i].regularizer,
                   terms[i].divisor);
    }
}

static bool is_custom(const convt_config *cfg)
{
    return cfg->kernel_regularizer.kind == CONVT_CUSTOM_REGULARIZER ||
           cfg->bias_regularizer.kind == CONVT_CUSTOM_REGULARIZER ||
           cfg->activity_regularizer.kind == CONVT_CUSTOM_REGULARIZER;
}

/* Along one block, a linear layer with quadratic penalties is a polynomial of degree 2: central
 * differences are exact whatever the step, and rounding is least with a large one. */
static void choose_steps(convti_subject *s, const convt_config *cfg)
{
    double of_block[MOST] = {0}, of_y = 0;
    if (cfg->activation.kind != CONVT_LINEAR) return;
    for (int k = 0; k < s->problem.output_count; k++) {
        if (s->role[k] == CONVTI_ACTIVITY_PENALTY) of_y = s->l1[k];
        if (s->role[k] == CONVTI_KERNEL_PENALTY) of_block[CONVTI_KERNEL] = s->l1[k];
        if (s->role[k] == CONVTI_BIAS_PENALTY) of_block[CONVTI_BIAS] = s->l1[k];
    }
    for (int i = 0; i < s->problem.input_count && of_y == 0; i++)
        if (of_block[i] == 0) s->inputs[i].step = CONVT_SET(0.5);
}

static void add_outputs(convti_subject *s, bool chain)
{
    const convt_config *cfg = convt_layer_config(convt_model_layer(s->model, 0));
    s->problem.outputs = s->outputs;
    s->problem.context = s;
    if (!s->loss) add_output(s, CONVTI_Y, "y", convti_view_count(convt_read(s->y)), NULL, 1);
    if (chain || s->loss || is_custom(cfg)) {
        add_output(s, CONVTI_LOSS, "loss", 1, NULL, 1);
        s->problem.forward = model_forward;
        s->problem.backward = model_backward;
        return;
    }
    s->layer = convt_model_layer(s->model, 0);
    add_penalties(s, cfg);
    choose_steps(s, cfg);
    s->mixes = convti_activation_on_axis(cfg->activation.kind);
    s->problem.forward = layer_forward;
    s->problem.backward = layer_backward;
    s->problem.sparsity = &convti_layer_sparsity;
}

/* ---- creation -------------------------------------------------------------------------------- */

/* A model of the configs in another dtype. */
static convt_status create_model(convti_subject *s, const convt_config layers[], int count,
                                 convt_dtype dtype, convt_error *err)
{
    const size_t bytes = (size_t)count * sizeof *layers;
    convt_config *copies = convti_alloc(&s->allocator, bytes);
    if (!copies) return convti_fail(err, CONVT_NO_MEMORY, NULL, "%zu bytes for configs", bytes);
    memcpy(copies, layers, bytes);
    for (int i = 0; i < count; i++) copies[i].dtype = dtype;
    const convt_status status = convt_model_create(&s->model, copies, count, err);
    convti_free(&s->allocator, copies, bytes);
    return status;
}

static convt_view view_at(const convti_subject *s, size_t at, convt_dtype dtype, int64_t n,
                          convt_shape shape)
{
    return (convt_view){convti_arena_at(&s->arena, at), dtype, n, shape.h, shape.w, shape.c};
}

static convt_shape target_shape(const convti_subject *s, convt_shape y)
{
    if (!s->loss || s->loss->kind != CONVT_SPARSE_CATEGORICAL_CROSSENTROPY) return y;
    *(s->format == CONVT_CHANNELS_FIRST ? &y.w : &y.c) = 1;
    return y;
}

static convt_status create_arrays(convti_subject *s, convt_dtype dtype, convt_error *err)
{
    const int last = convt_model_layer_count(s->model) - 1;
    const convt_config *cfg = convt_layer_config(convt_model_layer(s->model, 0));
    const convt_shape y = convt_layer_output(convt_model_layer(s->model, last)),
                      target = target_shape(s, y);
    const size_t element = convti_element_bytes(dtype);
    const int64_t n = cfg->max_batch,
                  of_y = n * y.h * y.w * y.c; /* which the model has in memory */
    convti_size size = {0};
    const size_t at_x = convti_size_add(&size, n * cfg->input.h * cfg->input.w * cfg->input.c,
                                        element),
                 at_target = convti_size_add(&size, of_y, element),
                 at_y = convti_size_add(&size, of_y, element),
                 at_dy = convti_size_add(&size, of_y, element);
    if (!convti_arena_take(&s->arena, &s->allocator, &size))
        return convti_fail(err, CONVT_NO_MEMORY, NULL, "%zu bytes for arrays",
                           convti_size_total(&size));
    s->x = view_at(s, at_x, dtype, n, cfg->input);
    s->target = view_at(s, at_target, dtype, n, target);
    s->y = view_at(s, at_y, dtype, n, y);
    s->dy = view_at(s, at_dy, dtype, n, y);
    return CONVT_OK;
}

convt_status convti_subject_create(convti_subject *s, const convt_config layers[], int count,
                                   const convt_loss_config *loss, convt_dtype dtype, uint64_t seed,
                                   convt_error *err)
{
    memset(s, 0, sizeof *s);
    if (!layers) return convti_fail(err, CONVT_INVALID_ARGUMENT, "layers", "layers is NULL");
    if (count < 1 || 2 * (int64_t)count + 1 > MOST)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "count", "count must be 1 to %d, got %d",
                           (MOST - 1) / 2, count);
    if (layers[0].inference)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "inference",
                           "inference leaves no gradient to check");
    s->allocator = layers[0].allocator;
    convt_status status = create_model(s, layers, count, dtype, err);
    if (status) return status;
    const convt_config *cfg = convt_layer_config(convt_model_layer(s->model, 0));
    s->format = cfg->data_format;
    if (loss) {
        s->loss_config = *loss;
        s->loss_config.data_format = s->format;
        s->loss = &s->loss_config;
    }
    s->row_count = convt_model_parameters(s->model, s->rows);
    status = create_arrays(s, dtype, err);
    if (!status) status = convti_geometry(&s->geometry, cfg, err);
    if (!status && loss) { /* a loss that is refused is refused here, with its field */
        convt_loss_value value = {0, 0};
        const int64_t outputs = convti_view_count(convt_read(s->y));
        draw_values(s, seed);
        for (int64_t j = 0; j < outputs; j++) convti_number_set(dtype, s->y.data, j, 0.5);
        status = convt_loss(s->loss, convt_read(s->target), convt_read(s->y), NULL, cfg->max_batch,
                            &value, CONVT_NONE, err);
    }
    if (status) return status;
    draw_values(s, seed);
    add_inputs(s, count > 1);
    add_outputs(s, count > 1);
    return CONVT_OK;
}

void convti_subject_destroy(convti_subject *s)
{
    convti_arena_release(&s->arena);
    convt_model_destroy(s->model);
}

/* ---- beside the gradients -------------------------------------------------------------------- */

convt_status convti_check_loss(convti_subject *s, convt_gradcheck_report *report)
{
    double sum = 0, loss = 0;
    if (!s->layer) return CONVT_OK;
    convt_status status = convt_forward(s->layer, convt_read(s->x), s->y);
    if (!status) status = convt_layer_loss(s->layer, convt_read(s->y), &loss);
    for (int k = 1; k < s->problem.output_count; k++) {
        const convt_const_view w = penalized(s, k, s->y.data);
        for (int64_t j = 0; j < convti_view_count(w); j++)
            sum += penalty(s, k, convti_number(w.dtype, w.data, j));
    }
    if (status || fabs(loss - sum) <= 1e-10 * fabs(sum)) return status;
    report->verdict = CONVT_GRADCHECK_WRONG_LOSS;
    snprintf(report->block, sizeof report->block, "loss");
    return CONVT_OK;
}

/* A constraint that holds changes nothing when it is applied once more. */
static bool keeps(const convt_parameter *row, double *before)
{
    const int64_t count = convti_elements(row);
    double *w = row->value.data, largest = 0, change = 0;
    memcpy(before, w, (size_t)count * sizeof *w);
    convt_constraint_apply(row);
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(before[i]));
        change = fmax(change, fabs(w[i] - before[i]));
    }
    return change <= 1e-5 * largest + 2e-7; /* a norm is divided by itself and Keras' 1e-7 */
}

/* min_max_norm with a rate below 1 gets there over many steps. */
static bool is_projection(const convt_parameter *row)
{
    const convt_constraint *c = row->constraint;
    return c && row->trainable &&
           !(c->kind == CONVT_MIN_MAX_NORM && c->rate.set && c->rate.value < 1);
}

static convt_status check_constraints(convti_subject *s, double *scratch,
                                      convt_gradcheck_report *report, convt_error *err)
{
    convt_sgd_config rule = {.learning_rate = CONVT_SET(0.1), .allocator = s->allocator};
    convt_sgd *sgd;
    bool any = false;
    for (int i = 0; i < s->row_count; i++) any = any || is_projection(&s->rows[i]);
    if (!any) return CONVT_OK;
    convt_status status = convt_sgd_create(&sgd, &rule, s->rows, s->row_count, err);
    if (status) return status;
    convt_sgd_step(sgd);
    convt_sgd_destroy(sgd);
    for (int i = 0; i < s->row_count; i++) {
        if (!is_projection(&s->rows[i]) || keeps(&s->rows[i], scratch)) continue;
        report->verdict = CONVT_GRADCHECK_WRONG_CONSTRAINT;
        snprintf(report->block, sizeof report->block, "%s", s->names[i]);
    }
    return CONVT_OK;
}

/* ---- the checks ------------------------------------------------------------------------------ */

static convt_status check_subject(convti_subject *s, const convt_gradcheck_options *options,
                                  convt_gradcheck_report *report, convt_error *err)
{
    for (int i = 0; options && options->step.set && i < s->problem.input_count; i++)
        s->inputs[i].step.set = false;
    const size_t size = convt_gradcheck_workspace(&s->problem, options, err);
    if (size == 0) return err ? err->status : CONVT_INVALID_ARGUMENT;
    void *workspace = convti_alloc(&s->allocator, size);
    if (!workspace)
        return convti_fail(err, CONVT_NO_MEMORY, "workspace", "%zu bytes for the check", size);
    convt_status status = convt_gradcheck(&s->problem, options, workspace, size, report, err);
    if (!status && report->verdict == CONVT_GRADCHECK_PASSED) status = convti_check_loss(s, report);
    if (!status && report->verdict == CONVT_GRADCHECK_PASSED)
        status = check_constraints(s, workspace, report, err);
    convti_free(&s->allocator, workspace, size);
    return status;
}

convt_status convt_model_gradcheck(const convt_config layers[], int count,
                                   const convt_loss_config *loss,
                                   const convt_gradcheck_options *options,
                                   convt_gradcheck_report *report, convt_error *err)
{
    convt_error own;
    convti_subject s;
    if (!err) err = &own;
    convti_clear(err);
    if (!report) return convti_fail(err, CONVT_INVALID_ARGUMENT, "report", "report is NULL");
    memset(report, 0, sizeof *report);
    if (options && options->float32)
        return convti_compare_precisions(layers, count, loss, options, report, err);
    convt_status status = convti_subject_create(&s, layers, count, loss, CONVT_FLOAT64,
                                                options ? options->seed : 0, err);
    if (!status) status = check_subject(&s, options, report, err);
    convti_subject_destroy(&s);
    return status;
}

convt_status convt_layer_gradcheck(const convt_config *cfg, const convt_gradcheck_options *options,
                                   convt_gradcheck_report *report, convt_error *err)
{
    if (!cfg) return convti_fail(err, CONVT_INVALID_ARGUMENT, "cfg", "cfg is NULL");
    return convt_model_gradcheck(cfg, 1, NULL, options, report, err);
}
