/* The life of a trainer: what it refuses, and the one arena with the buffers of a leaf and the
 * waiting sums of the tree. */
#include "trainer.h"

#include <math.h>
#include <omp.h>

#include "loss.h"
#include "pieces.h"
#include "status.h"
#include "tables.h"

enum { WAITING_BYTES = 16 << 20 }; /* of parameters that all leaves of a batch may come to */

int64_t convt_leaf_size(convt_loss_kind loss, int64_t batch_size, size_t parameter_bytes)
{
    int64_t leaves = convti_loss_of_batch(loss) ? 1 : CONVTI_MOST_LEAVES;
    while (leaves > 1 && parameter_bytes > WAITING_BYTES / (size_t)leaves) leaves /= 2;
    return batch_size > 0 ? (batch_size - 1) / leaves + 1 : 1;
}

/* ---- what is refused ------------------------------------------------------------------------- */

static convt_status check_numbers(const convt_trainer_config *cfg, convt_error *err)
{
    if (cfg->data.count < 1 || !cfg->data.gather)
        return convti_fail(err, CONVT_INVALID_ARGUMENT,
                           cfg->data.gather ? "data.count" : "data.gather",
                           "there are no samples: count %lld%s", (long long)cfg->data.count,
                           cfg->data.gather ? "" : ", gather NULL");
    if (cfg->epochs < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "epochs", "must be 0 or more, got %lld",
                           (long long)cfg->epochs);
    if (cfg->batch_size < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "batch_size",
                           "must be 1 or more, or 0 for 32, got %lld", (long long)cfg->batch_size);
    if (!(cfg->validation_split >= 0 && cfg->validation_split < 1))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "validation_split",
                           "must be at least 0 and less than 1, got %g", cfg->validation_split);
    return convti_loss_check(&cfg->loss, err);
}

static convt_status check_config(const convt_trainer_config *cfg, convt_error *err)
{
    if (!cfg) return convti_fail(err, CONVT_INVALID_ARGUMENT, "cfg", "is NULL");
    if (!cfg->model || !cfg->sgd)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, cfg->model ? "sgd" : "model", "is missing");
    const convt_config *first = convt_layer_config(convt_model_layer(cfg->model, 0));
    if (first->inference)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "model.inference",
                           "the model was created for forward only");
    convt_status status = check_numbers(cfg, err);
    if (!status && cfg->codes.values.data && cfg->loss.reduction != CONVT_REDUCE_MEAN)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "loss.reduction",
                           "must be the mean where codes are learned, got number %d",
                           (int)cfg->loss.reduction);
    if (!status && cfg->codes.values.data)
        status = convti_codes_check(&cfg->codes, cfg->data.count, first->dtype, first->input, err);
    return status;
}

static size_t parameter_bytes(const convt_model *model)
{
    size_t bytes = 0;
    for (int i = 0; i < convt_model_layer_count(model); i++) {
        convt_parameter rows[2];
        const int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        for (int r = 0; r < count; r++)
            bytes += (size_t)convti_elements(&rows[r]) * convti_element_bytes(rows[r].value.dtype);
    }
    return bytes;
}

static bool needs_no_z(const convt_model *model)
{
    for (int i = 0; i < convt_model_layer_count(model); i++)
        if (convti_activation_needs_z(&convt_layer_config(convt_model_layer(model, i))->activation))
            return false;
    return true;
}

/* Sets what follows from the config: how samples are split and cut. */
static convt_status cut(convt_trainer *t, convt_error *err)
{
    const int64_t count = t->cfg.data.count;
    if (t->cfg.batch_size == 0) t->cfg.batch_size = 32;
    t->train_count =
        (int64_t)floor((double)count * (1 - t->cfg.validation_split)); /* as Keras rounds */
    if (t->train_count > count) t->train_count = count;
    t->held_out = count - t->train_count;
    if (t->train_count == 0 || (t->cfg.validation_split > 0 && t->held_out == 0))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "validation_split",
                           "%g of %lld samples leaves none to %s", t->cfg.validation_split,
                           (long long)count, t->held_out ? "train" : "validate");
    t->batches = (t->train_count - 1) / t->cfg.batch_size + 1;
    t->leaf_size =
        convt_leaf_size(t->cfg.loss.kind, t->cfg.batch_size, parameter_bytes(t->cfg.model));
    const int64_t largest = t->leaf_size < count ? t->leaf_size : count;
    const int64_t max_batch = convt_layer_config(convt_model_layer(t->cfg.model, 0))->max_batch;
    if (max_batch < largest)
        return convti_fail(
            err, CONVT_INVALID_ARGUMENT, "model.max_batch",
            "must be at least the %lld samples that a batch of %lld is cut into, got %lld",
            (long long)largest, (long long)t->cfg.batch_size, (long long)max_batch);
    return CONVT_OK;
}

/* ---- the arena, laid out twice in the same way: to measure it, and to fill it ---------------- */

static void *place(convti_arena *arena, convti_size *size, int64_t count, size_t element_size)
{
    const size_t at = convti_size_add(size, count, element_size);
    return arena ? convti_arena_at(arena, at) : NULL;
}

static int64_t elements(int64_t n, convt_shape shape)
{
    int64_t count;
    return convti_count(n, shape.h, shape.w, shape.c, &count) ? count : -1;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void lay_out_buffers(convt_trainer *t, convti_arena *arena, convti_size *size)
{
    const size_t real = convti_element_bytes(t->dtype);
    const int64_t count = t->cfg.data.count, leaf = smaller(t->leaf_size, count);
    const int64_t batch = t->cfg.codes.values.data ? smaller(t->cfg.batch_size, count) : 0;
    t->order = place(arena, size, t->train_count, sizeof *t->order);
    t->index = place(arena, size, leaf, sizeof *t->index);
    t->x = place(arena, size, elements(leaf, t->input), real);
    t->target = place(arena, size, elements(leaf, t->label), real);
    t->weight = place(arena, size, t->cfg.data.sample_weight ? leaf : 0, real);
    if (!t->cfg.data.sample_weight) t->weight = NULL;
    t->dy = place(arena, size, elements(leaf, t->output), real);
    t->code_slopes = place(arena, size, elements(batch, t->input), real);
    if (batch == 0) t->code_slopes = NULL;
}

/* A tensor for every trainable parameter. */
static void **lay_out_slot(const convt_model *model, convti_arena *arena, convti_size *size)
{
    const int layers = convt_model_layer_count(model);
    void **slot = place(arena, size, 2 * (int64_t)layers, sizeof *slot);
    for (int i = 0, kept = 0; i < layers; i++) {
        convt_parameter rows[2];
        const int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        for (int r = 0; r < count; r++) {
            if (!rows[r].trainable) continue;
            void *sum = place(arena, size, convti_elements(&rows[r]),
                              convti_element_bytes(rows[r].value.dtype));
            if (arena) slot[kept] = sum;
            kept++;
        }
    }
    return slot;
}

static void lay_out(convt_trainer *t, convti_arena *arena, convti_size *size)
{
    const int64_t largest = smaller(t->cfg.batch_size, t->train_count);
    convti_size_add(size, 1, sizeof *t);
    lay_out_buffers(t, arena, size);
    t->tree.rows = place(arena, size, 2 * (int64_t)convt_model_layer_count(t->cfg.model),
                         sizeof *t->tree.rows);
    for (int k = 0; t->leaf_size << k < largest; k++) /* leaves > 2^k */
        t->tree.slot[k] = lay_out_slot(t->cfg.model, arena, size);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void take_parameters(convti_tree *tree, convt_model *model)
{
    const int count = convt_model_parameters(model, tree->rows);
    tree->count = 0;
    for (int i = 0; i < count; i++)
        if (tree->rows[i].trainable) tree->rows[tree->count++] = tree->rows[i];
    tree->pieces = convti_piece_count(tree->rows, tree->count);
}

/* The trainer without its memory. */
static convt_status plan(convt_trainer *t, const convt_trainer_config *cfg, convt_error *err)
{
    convt_status status = check_config(cfg, err);
    if (status) return status;
    const convt_model *model = cfg->model;
    const convt_config *first = convt_layer_config(convt_model_layer(model, 0));
    *t = (convt_trainer){
        .cfg = *cfg,
        .dtype = first->dtype,
        .input = first->input,
        .output = convt_layer_output(convt_model_layer(model, convt_model_layer_count(model) - 1)),
        .dx_alone = needs_no_z(model),
        .tree.threads = first->threads ? first->threads : omp_get_max_threads(),
    };
    if (t->cfg.loss.threads == 0) t->cfg.loss.threads = t->tree.threads;
    t->cfg.loss.data_format = first->data_format;
    t->label = convti_target_shape(&t->cfg.loss, t->output);
    return cut(t, err);
}

convt_status convt_trainer_create(convt_trainer **out, const convt_trainer_config *cfg,
                                  convt_error *err)
{
    convt_trainer draft;
    convti_size size = {0}, again = {0};
    convti_arena arena;
    convti_clear(err);
    if (!out) return convti_fail(err, CONVT_INVALID_ARGUMENT, "trainer", "is NULL");
    *out = NULL;
    convt_status status = plan(&draft, cfg, err);
    if (status) return status;
    lay_out(&draft, NULL, &size);
    if (size.overflow)
        return convti_fail(err, CONVT_TOO_LARGE, "data.count",
                           "the buffers exceed what can be addressed");
    if (!convti_arena_take(&arena, &cfg->allocator, &size))
        return convti_fail(err, CONVT_NO_MEMORY, "batch_size", "the trainer needs %zu bytes",
                           convti_size_total(&size));

    convt_trainer *t = convti_arena_at(&arena, 0);
    *t = draft;
    t->arena = arena;
    lay_out(t, &arena, &again);
    take_parameters(&t->tree, t->cfg.model);
    *out = t;
    return CONVT_OK;
}

void convt_trainer_destroy(convt_trainer *trainer)
{
    if (trainer) convti_arena_release(&trainer->arena);
}

const convt_error *convt_trainer_error(const convt_trainer *trainer)
{
    return &trainer->error;
}
