/* The life of a trainer: what it refuses, and the one arena with the buffers of a leaf and the
 * waiting sums of the tree; what is whose. */
#include "trainer.h"

#include <math.h>
#include <omp.h>

#include "loss.h"
#include "pieces.h"
#include "status.h"
#include "tables.h"

enum {
    WAITING_BYTES = 16 << 20, /* of parameters that all leaves of a batch may come to */
    MOST_LEAVES = 16          /* where nobody says how many */
};

int64_t convt_leaf_size(convt_loss_kind loss, int64_t batch_size, size_t parameter_bytes)
{
    int64_t leaves = convti_loss_of_batch(loss) ? 1 : MOST_LEAVES;
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
    if (cfg->leaves < 0 || cfg->leaves > CONVTI_MOST_LEAVES)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "leaves",
                           "must be 1 to %d, or 0 for what convt_leaf_size gives, got %lld",
                           (int)CONVTI_MOST_LEAVES, (long long)cfg->leaves);
    if (cfg->leaves > 1 && convti_loss_of_batch(cfg->loss.kind))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "leaves",
                           "must be 1 where the loss is no sum over samples, got %lld",
                           (long long)cfg->leaves);
    if (!(cfg->validation_split >= 0 && cfg->validation_split < 1))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "validation_split",
                           "must be at least 0 and less than 1, got %g", cfg->validation_split);
    return convti_loss_check(&cfg->loss, err);
}

static convt_status check_exchange(const convt_exchange *e, convt_error *err)
{
    if (e->size < 0 || e->rank < 0 || e->rank > (e->size > 0 ? e->size - 1 : 0))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "exchange.rank",
                           "must be 0 to size - 1, got %d of %d", e->rank, e->size);
    if (e->size > 1 && !(e->send && e->receive && e->broadcast && e->wait))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "exchange",
                           "%d processes need all four functions", e->size);
    return CONVT_OK;
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
    if (!status) status = check_exchange(&cfg->exchange, err);
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

/* How samples are split. */
static convt_status split(convt_trainer *t, convt_error *err)
{
    const int64_t count = t->cfg.data.count;
    convti_cut *cut = &t->cut;
    cut->train_count =
        (int64_t)floor((double)count * (1 - t->cfg.validation_split)); /* as Keras rounds */
    if (cut->train_count > count) cut->train_count = count;
    cut->held_out = count - cut->train_count;
    if (cut->train_count == 0 || (t->cfg.validation_split > 0 && cut->held_out == 0))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "validation_split",
                           "%g of %lld samples leaves none to %s", t->cfg.validation_split,
                           (long long)count, cut->held_out ? "train" : "validate");
    return CONVT_OK;
}

/* How batches are cut, and what is whose. */
static convt_status cut(convt_trainer *t, convt_error *err)
{
    const int64_t count = t->cfg.data.count, leaves = t->cfg.leaves;
    convti_cut *cut = &t->cut;
    if (t->cfg.batch_size == 0) t->cfg.batch_size = 32;
    cut->batch = t->cfg.batch_size;
    t->batches = (cut->train_count - 1) / cut->batch + 1;
    cut->leaf = leaves
                    ? (cut->batch - 1) / leaves + 1
                    : convt_leaf_size(t->cfg.loss.kind, cut->batch, parameter_bytes(t->cfg.model));
    cut->leaves = convti_cut_leaves(cut, cut->batch);
    cut->rank = t->cfg.exchange.rank;
    cut->size = t->cfg.exchange.size > 0 ? t->cfg.exchange.size : 1;
    cut->begin = convti_cut_begin(cut, cut->rank);
    cut->end = convti_cut_begin(cut, cut->rank + 1);
    const int64_t largest = cut->leaf < count ? cut->leaf : count;
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
    const int64_t count = t->cfg.data.count, leaf = smaller(t->cut.leaf, count);
    const int64_t batch = t->cfg.codes.values.data ? smaller(t->cfg.batch_size, count) : 0;
    t->order = place(arena, size, t->cut.train_count, sizeof *t->order);
    t->index = place(arena, size, leaf, sizeof *t->index);
    t->x = place(arena, size, elements(leaf, t->input), real);
    t->target = place(arena, size, elements(leaf, t->label), real);
    t->weight = place(arena, size, t->cfg.data.sample_weight ? leaf : 0, real);
    if (!t->cfg.data.sample_weight) t->weight = NULL;
    t->dy = place(arena, size, elements(leaf, t->output), real);
    t->code_slopes = place(arena, size, elements(batch, t->input), real);
    if (batch == 0) t->code_slopes = NULL;
    const bool parcels = batch > 0 && convti_shared(t);
    t->parcel = place(arena, size, parcels ? (int64_t)convti_codes_parcel(&t->cfg.codes) : 0, 1);
    if (!parcels) t->parcel = NULL;
}

/* A tensor for every trainable parameter, in the order of the tree's rows. */
static void **lay_out_copy(const convt_model *model, convti_arena *arena, convti_size *size)
{
    const int layers = convt_model_layer_count(model);
    void **copy = place(arena, size, 2 * (int64_t)layers, sizeof *copy);
    for (int i = layers - 1, kept = 0; i >= 0; i--) {
        convt_parameter rows[2];
        const int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        for (int r = 0; r < count; r++) {
            if (!rows[r].trainable) continue;
            void *sum = place(arena, size, convti_elements(&rows[r]),
                              convti_element_bytes(rows[r].value.dtype));
            if (arena) copy[kept] = sum;
            kept++;
        }
    }
    return copy;
}

/* Sums that a rank sends before it is at its last leaf. */
static int outboxes(const convti_cut *cut)
{
    const convti_span span = {cut->begin, cut->end, cut->leaves};
    int count = 0;
    for (int64_t leaf = span.begin; leaf + 1 < span.end; leaf++)
        count += convti_tree_climb((convti_node){0, leaf}, span).then == CONVTI_SENDS;
    return count;
}

static void lay_out_tree(convt_trainer *t, convti_arena *arena, convti_size *size)
{
    const convt_model *model = t->cfg.model;
    const convti_cut *cut = &t->cut;
    const int layers = convt_model_layer_count(model), boxes = outboxes(cut);
    const int64_t chunks = 2 * (int64_t)layers + 1;
    const int64_t all = convti_cut_leaves(cut, smaller(cut->batch, cut->train_count));
    t->tree.rows = place(arena, size, chunks, sizeof *t->tree.rows);
    t->tree.layer_end = place(arena, size, layers, sizeof *t->tree.layer_end);
    t->reduction.request = place(arena, size, chunks, sizeof *t->reduction.request);
    t->reduction.outbox_request =
        place(arena, size, chunks * boxes, sizeof *t->reduction.outbox_request);
    for (int k = 0; (int64_t)1 << k < smaller(cut->end, all) - cut->begin; k++)
        t->tree.slot[k] = lay_out_copy(model, arena, size);
    for (int box = 0; box < boxes; box++) t->tree.outbox[box] = lay_out_copy(model, arena, size);
    if (convti_shared(t)) t->tree.incoming = lay_out_copy(model, arena, size);
}

static void lay_out(convt_trainer *t, convti_arena *arena, convti_size *size)
{
    convti_size_add(size, 1, sizeof *t);
    lay_out_buffers(t, arena, size);
    lay_out_tree(t, arena, size);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void take_parameters(convti_tree *tree, convt_model *model)
{
    const int layers = convt_model_layer_count(model);
    tree->count = 0;
    for (int done = 0; done < layers; done++) {
        convt_parameter rows[2];
        const int count = convt_layer_parameters(convt_model_layer(model, layers - 1 - done), rows);
        for (int r = 0; r < count; r++)
            if (rows[r].trainable) tree->rows[tree->count++] = rows[r];
        tree->layer_end[done] = tree->count;
    }
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
    status = split(t, err);
    return status ? status : cut(t, err);
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

int64_t convt_trainer_own(const convt_trainer *trainer, int64_t sample)
{
    return convti_cut_index(&trainer->cut, sample);
}

void convt_trainer_collect(convt_trainer *trainer)
{
    trainer->wishes |= CONVTI_COLLECT;
}

int64_t convt_trainer_leaves(const convt_trainer *trainer)
{
    return trainer->cut.leaves;
}
