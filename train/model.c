/*
 * A model: y[0] = layer 0 of x, y[i] = layer i of y[i-1], and backwards dx[i] -> dy[i-1], in one
 * arena. Where layer i names another shape for its input than y[i-1] has, that is the same memory
 * seen in another shape.
 *
 *     the model | arena of layer 0, 1, ... | activations | two gradient buffers that take turns
 *
 * Training keeps every activation. Inference needs two that take turns. The pre-activation of an
 * activation that needs it is not kept: backward recomputes it.
 */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "backward.h"
#include "convt/train.h"
#include "pieces.h"
#include "rng.h"
#include "status.h"

struct link {
    convt_layer *layer;
    void *y;
    convt_shape input, output;
    bool activity; /* has an activity regularizer */
};

/* The allocator of the layers: memory of the arena, handed out once. */
struct bump {
    void *memory;
    size_t room;
};

struct convt_model {
    convti_arena arena;
    convt_error error;
    bool inference;
    convt_dtype dtype;
    int64_t max_batch;
    convt_shape input;
    struct bump bump;
    void *gradient[2];
    int64_t n;       /* samples of the last forward */
    double activity; /* regularization of its activations, not yet divided */
    int count;
    struct link links[];
};

static void *bump_alloc(void *context, size_t size)
{
    struct bump *bump = context;
    void *memory = size <= bump->room ? bump->memory : NULL;
    bump->room = 0;
    return memory;
}

static void bump_free(void *context, void *memory, size_t size)
{
    (void)context, (void)memory, (void)size;
}

/* -1 where there are too many: it overflows every size that it is added to. */
static int64_t elements(int64_t n, convt_shape shape)
{
    int64_t count;
    return convti_count(n, shape.h, shape.w, shape.c, &count) ? count : -1;
}

/* ---- the configs, completed one after the other ---------------------------------------------- */

struct walk {
    const convt_config *layers;
    int index; /* of the present layer; -1 before the first */
    int unnamed;
    char name[64];
    convt_config cfg; /* of the present layer */
    convt_shape output;
    size_t bytes; /* its arena */
};

static convt_status fail_layer(convt_error *err, int index, const convt_error *why)
{
    char field[sizeof why->field];
    snprintf(field, sizeof field, "layers[%d].%.40s", index, why->field);
    return convti_fail(err, why->status, field, "%s", why->message);
}

static convt_status fail_field(convt_error *err, int index, const char *field, const char *message)
{
    convt_error why = {.status = CONVT_INVALID_ARGUMENT};
    snprintf(why.field, sizeof why.field, "%s", field);
    snprintf(why.message, sizeof why.message, "%s", message);
    return fail_layer(err, index, &why);
}

/* Keras' automatic names: conv2d_transpose, conv2d_transpose_1, ... */
static const char *automatic_name(char name[64], int unnamed)
{
    const char *base = "conv2d_transpose";
    if (unnamed == 0)
        snprintf(name, 64, "%s", base);
    else
        snprintf(name, 64, "%s_%d", base, unnamed);
    return name;
}

static bool name_is_taken(const convt_config layers[], int index, const char *name)
{
    char automatic[64];
    for (int i = 0, unnamed = 0; i < index; i++) {
        const char *other = layers[i].name ? layers[i].name : automatic_name(automatic, unnamed++);
        if (strcmp(other, name) == 0) return true;
    }
    return false;
}

static bool is_zero(convt_shape s)
{
    return s.h == 0 && s.w == 0 && s.c == 0;
}

/* The output of the layer before may be taken in any shape of as many elements. */
static convt_status check_input(const struct walk *walk, convt_error *err)
{
    const convt_shape x = walk->cfg.input, y = walk->output;
    char message[200];
    if (walk->index == 0 || (x.h > 0 && x.w > 0 && x.c > 0 && elements(1, x) == elements(1, y)))
        return CONVT_OK;
    snprintf(message, sizeof message,
             "must be zero, or a shape of as many elements as (%lld, %lld, %lld), which the layer "
             "before gives, got (%lld, %lld, %lld)",
             (long long)y.h, (long long)y.w, (long long)y.c, (long long)x.h, (long long)x.w,
             (long long)x.c);
    return fail_field(err, walk->index, "input", message);
}

static convt_status check_agreement(const struct walk *walk, convt_error *err)
{
    const convt_config *first = &walk->layers[0], *cfg = &walk->layers[walk->index];
    char message[160];
    if (cfg->dtype != first->dtype)
        return fail_field(err, walk->index, "dtype", "must be that of layers[0]");
    if (cfg->data_format != first->data_format)
        return fail_field(err, walk->index, "data_format", "must be that of layers[0]");
    const convt_status status = check_input(walk, err);
    if (status) return status;
    if (name_is_taken(walk->layers, walk->index, walk->cfg.name)) {
        snprintf(message, sizeof message, "names of layers must differ, got '%.64s' again",
                 walk->cfg.name);
        return fail_field(err, walk->index, "name", message);
    }
    return CONVT_OK;
}

/* Completes the config of the next layer and asks how much memory it needs. */
static convt_status step(struct walk *walk, convt_error *err)
{
    const convt_config *first = &walk->layers[0];
    convt_error why;
    walk->index++;
    walk->cfg = walk->layers[walk->index];
    walk->cfg.max_batch = first->max_batch;
    walk->cfg.inference = first->inference;
    walk->cfg.threads = first->threads;
    walk->cfg.seed = walk->index > 0 ? convti_mix(first->seed, (uint64_t)walk->index) : first->seed;
    if (walk->index > 0 && is_zero(walk->cfg.input)) walk->cfg.input = walk->output;
    if (!walk->cfg.name) walk->cfg.name = automatic_name(walk->name, walk->unnamed++);
    convt_status status = check_agreement(walk, err);
    if (status) return status;
    walk->bytes = convt_layer_memory(&walk->cfg, &why);
    if (walk->bytes == 0 || convt_output_shape(&walk->cfg, &walk->output, &why))
        return fail_layer(err, walk->index, &why);
    return CONVT_OK;
}

/* ---- the arena, laid out twice in the same way: to measure it, and with a model to fill it ----
 */

static void *place(const convt_model *model, convti_size *size, int64_t count, size_t element_size)
{
    const size_t at = convti_size_add(size, count, element_size);
    return model ? convti_arena_at(&model->arena, at) : NULL;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a < 0 || b < 0 ? -1 : a > b ? a : b;
}

static convt_status create_layer(convt_model *model, const struct walk *walk, void *memory,
                                 convt_error *err)
{
    struct link *link = &model->links[walk->index];
    convt_config cfg = walk->cfg;
    convt_error why;
    model->bump = (struct bump){memory, walk->bytes};
    cfg.allocator = (convt_allocator){bump_alloc, bump_free, &model->bump};
    if (convt_layer_create(&link->layer, &cfg, &why)) return fail_layer(err, walk->index, &why);
    model->bump.room = 0;
    model->count = walk->index + 1;
    link->input = walk->cfg.input;
    link->output = walk->output;
    link->activity = cfg.activity_regularizer.kind != CONVT_NO_REGULARIZER;
    return CONVT_OK;
}

static convt_status lay_out(convt_model *model, const convt_config layers[], int count,
                            convti_size *size, convt_error *err)
{
    struct walk walk = {.layers = layers, .index = -1};
    const int64_t batch = layers[0].max_batch ? layers[0].max_batch : 1;
    const size_t real = convti_element_bytes(layers[0].dtype);
    const bool inference = layers[0].inference;
    int64_t shared[2] = {0, 0}, gradient[2] = {0, 0};

    convti_size_add(size, 1, sizeof(convt_model) + (size_t)count * sizeof(struct link));
    for (int i = 0; i < count; i++) {
        convt_status status = step(&walk, err);
        if (status) return status;
        void *memory = place(model, size, walk.bytes <= INT64_MAX ? (int64_t)walk.bytes : -1, 1);
        if (model && (status = create_layer(model, &walk, memory, err)) != CONVT_OK) return status;
        const int64_t y = elements(batch, walk.output);
        void *own = place(model, size, inference ? 0 : y, real);
        if (model) model->links[i].y = own;
        shared[i % 2] = larger(shared[i % 2], y);
        if (i + 1 < count) gradient[i % 2] = larger(gradient[i % 2], y);
    }
    for (int k = 0; k < 2; k++) {
        void *y = place(model, size, inference ? shared[k] : 0, real);
        void *dy = place(model, size, inference ? 0 : gradient[k], real);
        if (model) model->gradient[k] = dy;
        for (int i = k; model && inference && i < count; i += 2) model->links[i].y = y;
    }
    return size->overflow ? convti_fail(err, CONVT_TOO_LARGE, "layers",
                                        "the model exceeds what can be addressed")
                          : CONVT_OK;
}

static convt_status measure(const convt_config layers[], int count, convti_size *size,
                            convt_error *err)
{
    if (count < 1 || !layers)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "count",
                           "a model needs at least 1 layer, got %d", layers ? count : 0);
    return lay_out(NULL, layers, count, size, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t convt_model_memory(const convt_config layers[], int count, convt_error *err)
{
    convti_size size = {0};
    convti_clear(err);
    return measure(layers, count, &size, err) ? 0 : convti_size_total(&size);
}

convt_status convt_model_create(convt_model **out, const convt_config layers[], int count,
                                convt_error *err)
{
    convti_size size = {0}, again = {0};
    convti_arena arena;
    convti_clear(err);
    if (!out) return convti_fail(err, CONVT_INVALID_ARGUMENT, "model", "is NULL");
    *out = NULL;
    convt_status status = measure(layers, count, &size, err);
    if (status) return status;
    if (!convti_arena_take(&arena, &layers[0].allocator, &size))
        return convti_fail(err, CONVT_NO_MEMORY, "layers", "the model needs %zu bytes",
                           convti_size_total(&size));

    convt_model *model = convti_arena_at(&arena, 0);
    *model = (convt_model){
        .arena = arena,
        .inference = layers[0].inference,
        .dtype = layers[0].dtype,
        .max_batch = layers[0].max_batch ? layers[0].max_batch : 1,
        .input = layers[0].input,
    };
    status = lay_out(model, layers, count, &again, err);
    if (status) {
        convt_model_destroy(model);
        return status;
    }
    *out = model;
    return CONVT_OK;
}

void convt_model_destroy(convt_model *model)
{
    if (!model) return;
    for (int i = 0; i < model->count; i++) convt_layer_destroy(model->links[i].layer);
    convti_arena_release(&model->arena);
}

/* ---- questions ------------------------------------------------------------------------------- */

size_t convt_model_bytes(const convt_model *model)
{
    return model->arena.bytes;
}

const convt_error *convt_model_error(const convt_model *model)
{
    return &model->error;
}

int convt_model_layer_count(const convt_model *model)
{
    return model->count;
}

convt_layer *convt_model_layer(const convt_model *model, int index)
{
    return index >= 0 && index < model->count ? model->links[index].layer : NULL;
}

int convt_model_parameters(convt_model *model, convt_parameter rows[])
{
    int count = 0;
    for (int i = 0; i < model->count; i++)
        count += convt_layer_parameters(model->links[i].layer, rows + count);
    return count;
}

static convt_view view_of(const convt_model *model, void *data, convt_shape shape)
{
    return (convt_view){data, model->dtype, model->n, shape.h, shape.w, shape.c};
}

static convt_view activation(const convt_model *model, int index)
{
    return view_of(model, model->links[index].y, model->links[index].output);
}

/* What layer `index` reads where the model's input is x. */
static convt_const_view input_of(const convt_model *model, int index, convt_const_view x)
{
    return index == 0
               ? x
               : convt_read(view_of(model, model->links[index - 1].y, model->links[index].input));
}

convt_const_view convt_model_output(const convt_model *model)
{
    return convt_read(activation(model, model->count - 1));
}

/* ---- forward and backward -------------------------------------------------------------------- */

static convt_status check_view(convt_model *model, const char *field, convt_const_view v,
                               convt_shape shape, int64_t n)
{
    if (v.dtype != model->dtype)
        return convti_fail(&model->error, CONVT_INVALID_SHAPE, field,
                           "must be float%d as the model is",
                           model->dtype == CONVT_FLOAT32 ? 32 : 64);
    if (v.n != n || v.h != shape.h || v.w != shape.w || v.c != shape.c)
        return convti_fail(&model->error, CONVT_INVALID_SHAPE, field,
                           "expected (%lld, %lld, %lld, %lld), got (%lld, %lld, %lld, %lld)",
                           (long long)n, (long long)shape.h, (long long)shape.w, (long long)shape.c,
                           (long long)v.n, (long long)v.h, (long long)v.w, (long long)v.c);
    if (n > 0 && !v.data)
        return convti_fail(&model->error, CONVT_INVALID_SHAPE, field, "data is NULL");
    return CONVT_OK;
}

static convt_status fail_pass(convt_model *model, int index)
{
    const convt_error why = *convt_layer_error(model->links[index].layer);
    return fail_layer(&model->error, index, &why);
}

static convt_status add_activity(convt_model *model, int index)
{
    double loss = 0;
    if (!model->links[index].activity) return CONVT_OK;
    if (convt_layer_activity_loss(model->links[index].layer, convt_read(activation(model, index)),
                                  1, &loss))
        return fail_pass(model, index);
    model->activity += loss;
    return CONVT_OK;
}

convt_status convt_model_forward(convt_model *model, convt_const_view x)
{
    convti_clear(&model->error);
    if (x.n < 0 || x.n > model->max_batch)
        return convti_fail(&model->error, CONVT_INVALID_SHAPE, "x",
                           "holds %lld samples, the model takes 0 to %lld", (long long)x.n,
                           (long long)model->max_batch);
    convt_status status = check_view(model, "x", x, model->input, x.n);
    if (status) return status;
    model->n = x.n;
    model->activity = 0;
    for (int i = 0; i < model->count; i++) {
        const convt_view y = activation(model, i);
        if (convt_forward(model->links[i].layer, input_of(model, i, x), y))
            return fail_pass(model, i);
        if ((status = add_activity(model, i)) != CONVT_OK) return status;
    }
    return CONVT_OK;
}

convt_status convti_model_backward_data(convt_model *model, convt_const_view x, convt_const_view dy,
                                        convt_view dx, double divisor, convti_layer_done *done,
                                        void *context)
{
    const int last = model->count - 1;
    convti_clear(&model->error);
    if (model->inference)
        return convti_fail(&model->error, CONVT_INVALID_ARGUMENT, "inference",
                           "the model was created for forward only");
    const bool dx_alone = !x.data && x.h == 0; /* layers say where they need x all the same */
    convt_status status = dx_alone ? CONVT_OK : check_view(model, "x", x, model->input, model->n);
    if (!status) status = check_view(model, "dy", dy, model->links[last].output, model->n);
    if (!status && dx.data)
        status = check_view(model, "dx", convt_read(dx), model->input, model->n);
    if (status) return status;
    for (int i = last; i >= 0; i--) {
        const convt_const_view in = dx_alone ? x : input_of(model, i, x);
        const convt_view din =
            i ? view_of(model, model->gradient[(i - 1) % 2], model->links[i].input) : dx;
        if (convt_backward_data(model->links[i].layer, in, convt_read(CONVT_NONE),
                                convt_read(activation(model, i)), dy, din, divisor))
            return fail_pass(model, i);
        if (done) done(context, i);
        if (i) dy = convt_read(view_of(model, din.data, model->links[i - 1].output));
    }
    return CONVT_OK;
}

convt_status convt_model_backward_data(convt_model *model, convt_const_view x, convt_const_view dy,
                                       convt_view dx, double divisor)
{
    return convti_model_backward_data(model, x, dy, dx, divisor, NULL, NULL);
}

convt_status convt_model_backward_weights(convt_model *model)
{
    convti_clear(&model->error);
    if (model->inference)
        return convti_fail(&model->error, CONVT_INVALID_ARGUMENT, "inference",
                           "the model was created for forward only");
    for (int i = 0; i < model->count; i++)
        if (convt_backward_weights(model->links[i].layer)) return fail_pass(model, i);
    return CONVT_OK;
}

convt_status convt_model_backward(convt_model *model, convt_const_view x, convt_const_view dy,
                                  convt_view dx)
{
    convt_status status = convt_model_backward_data(model, x, dy, dx, (double)model->n);
    return status ? status : convt_model_backward_weights(model);
}

/* ---- regularization -------------------------------------------------------------------------- */

double convt_model_weight_loss(convt_model *model)
{
    double loss = 0;
    for (int i = 0; i < model->count; i++) loss += convt_layer_weight_loss(model->links[i].layer);
    return loss;
}

double convt_model_activity_loss(convt_model *model, double divisor)
{
    return divisor > 0 ? model->activity / divisor : 0;
}
