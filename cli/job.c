/*
 * Model, optimizer, codes and trainer of a training run; see job.h.
 */
#include "job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "decoder.h"
#include "model.h"
#include "predictor.h"
#include "witness.h"

/* The recipe of the default decoder: what trains it fast and never left it on a plateau. */
static const double RECIPE_RATE = 0.5, RECIPE_MOMENTUM = 0.9, RECIPE_CODES_RATE = 20;
enum { RECIPE_WARMUP_EPOCHS = 2, DEFAULT_CODES = 32 };

static int out_of_memory(void)
{
    return complain(EXIT_FAILED, "train", "out of memory");
}

char *real_text(char text[32], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

static const struct loss_row {
    convt_loss_kind kind;
    const char *class_name, *name; /* class_name NULL: an alias */
} losses[] = {
#define LOSS(enumerator, number, class_name, name, ...) {CONVT_##enumerator, #class_name, #name},
#define SUM_LOSS LOSS
#define AXIS_LOSS LOSS
#define BATCH_LOSS LOSS
#include <convt/losses.def>
#define LOSS_ALIAS(enumerator, alias) {CONVT_##enumerator, NULL, #alias},
#include <convt/losses.def>
};

bool loss_kind(const char *name, convt_loss_kind *kind)
{
    for (size_t i = 0; i < LENGTH(losses); i++) {
        const struct loss_row *row = &losses[i];
        if ((row->class_name && strcmp(name, row->class_name) == 0) ||
            strcasecmp(name, row->name) == 0) {
            *kind = row->kind;
            return true;
        }
    }
    return false;
}

const char *loss_name(const convt_loss_config *loss)
{
    for (size_t i = 0; i < LENGTH(losses); i++) {
        if (losses[i].kind == loss->kind) return losses[i].name;
    }
    return losses[0].name;
}

loss_logits loss_logits_of(convt_loss_kind kind)
{
    static const struct {
        convt_loss_kind kind;
        loss_logits logits;
    } takes[] = {
#define LOGIT_LOSS(enumerator, ...) {CONVT_##enumerator, LOGITS_OF_SIGMOID},
#define AXIS_LOGIT_LOSS(enumerator, ...) {CONVT_##enumerator, LOGITS_OF_SOFTMAX},
#include <convt/losses.def>
    };
    for (size_t i = 0; i < LENGTH(takes); i++) {
        if (takes[i].kind == kind) return takes[i].logits;
    }
    return NO_LOGITS;
}

bool loss_of_class_numbers(convt_loss_kind kind)
{
    enum { VALUES = false, CLASS_NUMBERS = true };
    static const struct {
        convt_loss_kind kind;
        bool numbers;
    } targets[] = {
#define AXIS_LOSS(enumerator, number, class_name, name, function, targets, ...) \
    {CONVT_##enumerator, targets},
#include <convt/losses.def>
    };
    for (size_t i = 0; i < LENGTH(targets); i++) {
        if (targets[i].kind == kind) return targets[i].numbers;
    }
    return false;
}

/* ---- layers ---------------------------------------------------------------------------------- */

/* A decoder that fits the samples, as the Keras config that it will be saved as. */
static int design_spec(job *j)
{
    convt_error err = {0};
    convt_config layers[DECODER_MAX_LAYERS];
    convt_shape x = {1, 1, j->opt->codes.given ? j->opt->codes.integer : DEFAULT_CODES},
                y = j->target;
    char *json = NULL;
    int code = OPTIONS_PARSED;
    if (j->supervised) code = sample_shape("x", &j->x, 4, false, &x);
    if (j->supervised && code == OPTIONS_PARSED) code = sample_shape("y", &j->y, 4, false, &y);
    if (code != OPTIONS_PARSED) return code;
    const int count = decoder_design(layers, x, y, !j->supervised);
    if (count == 0)
        return complain(EXIT_USAGE, "--model",
                        "is missing, and no default decoder leads from %lldx%lld to %lldx%lld",
                        (long long)x.h, (long long)x.w, (long long)y.h, (long long)y.w);
    if (convt_spec_write(layers, count, &json, &err) || convt_spec_parse(json, &j->spec, &err))
        code = complain_config("--model", &err);
    free(json);
    return code;
}

/* The layers of the run: of the checkpoint, of the file that --model names, or the default ones. */
static int read_spec(job *j)
{
    convt_error err = {0};
    const char *stored = settings_find(&j->checkpoint.settings, "layers");
    int code = OPTIONS_PARSED;
    if (stored && convt_spec_parse(stored, &j->spec, &err) != CONVT_OK)
        code = complain_data("--resume", &err);
    else if (!stored)
        code = j->opt->model.given ? model_read("--model", j->opt->model.text, &j->spec)
                                   : design_spec(j);
    if (code == OPTIONS_PARSED && j->spec.predicts_only)
        code = complain(EXIT_USAGE, "--model", "%s", j->spec.predicts_only);
    return code;
}

static bool channels_first(const job *j)
{
    return j->spec.layers[0].data_format == CONVT_CHANNELS_FIRST;
}

/* A code has the shape of the model's input where that is known, else 1x1xD. */
static int fit_codes(job *j)
{
    const option_value *codes = &j->opt->codes;
    convt_shape known = j->spec.layers[0].input,
                code = {1, 1, codes->given ? codes->integer : DEFAULT_CODES};
    if (known.c > 0 && known.h > 0) {
        int64_t size = known.h * known.w * known.c;
        if (codes->given && codes->integer != size)
            return complain(EXIT_USAGE, "--codes", "%lld numbers, the model takes %lldx%lldx%lld",
                            (long long)codes->integer, (long long)known.h, (long long)known.w,
                            (long long)known.c);
        code = known;
    } else if (known.c > 0 && !codes->given) {
        code.c = known.c;
    }
    return fit_model_input("--codes", code, &j->spec.layers[0].input);
}

static int fit_arrays(job *j)
{
    convt_shape x;
    const int code = sample_shape("x", &j->x, j->spec.x_rank, channels_first(j), &x);
    return code == OPTIONS_PARSED ? fit_model_input("x", x, &j->spec.layers[0].input) : code;
}

static int make_layers(job *j)
{
    convt_error err = {0};
    int code = j->supervised ? fit_arrays(j) : fit_codes(j);
    if (code != OPTIONS_PARSED) return code;
    if (convt_spec_set_input(&j->spec, j->spec.layers[0].input, &err) != CONVT_OK)
        return complain_config("--model", &err);
    const size_t count = (size_t)j->spec.count;
    j->layers = calloc(count, sizeof *j->layers);
    j->saved = calloc(count, sizeof *j->saved);
    if (!j->layers || !j->saved) return out_of_memory();
    memcpy(j->layers, j->spec.layers, count * sizeof *j->layers);
    j->layer_count = j->spec.count;
    const option_value *leaves = &j->opt->leaves;
    int64_t leaf = leaves->given
                       ? (j->batch_size - 1) / leaves->integer + 1
                       : convt_leaf_size(j->loss.kind, j->batch_size,
                                         model_parameter_bytes(j->layers, j->layer_count));
    j->layers[0].max_batch = leaf < j->dataset.count ? leaf : j->dataset.count;
    j->layers[0].threads = (int)j->opt->threads.integer;
    j->layers[0].seed = j->opt->seed.seed;
    j->images.channels_first = channels_first(j);
    return OPTIONS_PARSED;
}

/*
 * A loss of a sigmoid is computed from its argument, where nothing saturates. The last layer
 * is trained without its sigmoid then, and saved with it.
 */
static void train_on_logits(job *j)
{
    convt_config *last = &j->layers[j->layer_count - 1];
    bool probabilities = loss_logits_of(j->loss.kind) == LOGITS_OF_SIGMOID && !j->loss.from_logits;
    if (!probabilities || last->activation.kind != CONVT_SIGMOID ||
        last->activity_regularizer.kind != CONVT_NO_REGULARIZER)
        return;
    last->activation.kind = CONVT_LINEAR;
    j->loss.sigmoid_output = true;
}

/* ---- model ----------------------------------------------------------------------------------- */

/* "28x28x1" */
static const char *sizes_text(char text[96], int rank, const int64_t size[])
{
    int length = 0;
    for (int i = 0; i < rank; i++)
        length += snprintf(text + length, 96 - (size_t)length, "%s%lld", i ? "x" : "",
                           (long long)size[i]);
    return text;
}

/* The targets must fit the model: its output, or one class number along the last axis of memory. */
static int check_target(job *j)
{
    const bool numbers = loss_of_class_numbers(j->loss.kind), first = channels_first(j);
    convt_shape last = convt_layer_output(convt_model_layer(j->model, j->layer_count - 1));
    convt_array wanted = output_array(&j->spec, last, CONVT_FLOAT32, j->dataset.count),
                given = j->y;
    given.shape[0] = j->dataset.count;
    char a[96], b[96];
    if (numbers && j->spec.y_size[0] > 0)
        return complain(EXIT_USAGE, "--loss", "%s takes no model that ends with a Reshape",
                        loss_name(&j->loss));
    if (numbers) {
        wanted.shape[wanted.rank - 1] = 1;
        *(first ? &last.w : &last.c) = 1;
    }
    if (!j->supervised) {
        const convt_shape t = j->target;
        const int64_t sizes[] = {j->dataset.count, first ? t.c : t.h, first ? t.h : t.w,
                                 first ? t.w : t.c};
        given.rank = 4;
        memcpy(given.shape, sizes, sizeof sizes);
    }
    j->output = last;
    if (j->supervised) j->target = numbers ? last : output_shape(&j->spec, last);
    if (wanted.rank == given.rank &&
        memcmp(wanted.shape, given.shape, (size_t)wanted.rank * sizeof *wanted.shape) == 0)
        return OPTIONS_PARSED;
    return complain(
        EXIT_USAGE, "--model", "its %s %s, %s %s", numbers ? "class numbers are" : "output is",
        sizes_text(a, wanted.rank - 1, wanted.shape + 1), j->supervised ? "y is" : "the images are",
        sizes_text(b, given.rank - 1, given.shape + 1));
}

static int make_model(job *j)
{
    convt_error err = {0};
    train_on_logits(j);
    int code = check_memory(j->layers, j->layer_count);
    if (code != OPTIONS_PARSED) return code;
    if (convt_model_create(&j->model, j->layers, j->layer_count, &err) != CONVT_OK)
        return complain_config("--model", &err);
    for (int i = 0; i < j->layer_count; i++) {
        j->saved[i] = *convt_layer_config(convt_model_layer(j->model, i));
        j->saved[i].allocator = (convt_allocator){0}; /* that of the layers is the model's own */
    }
    if (j->loss.sigmoid_output) j->saved[j->layer_count - 1].activation.kind = CONVT_SIGMOID;
    code = check_target(j);
    if (code != OPTIONS_PARSED) return code;
    if (j->spec.weights.count > 0 && convt_spec_load_weights(&j->spec, j->model, &err) != CONVT_OK)
        return complain_config("--model", &err);
    return OPTIONS_PARSED;
}

/* A warm-up of two epochs (less in a short run), then a cosine to zero at the last step. */
static convt_sgd_config recipe(const job *j)
{
    int64_t per_epoch = (j->train_count - 1) / j->batch_size + 1;
    double batches = (double)per_epoch, steps = batches * (double)j->epochs;
    double warmup = fmin(RECIPE_WARMUP_EPOCHS * batches, floor(steps / 4));
    return (convt_sgd_config){
        .learning_rate = CONVT_SET(warmup > 0 ? 0 : RECIPE_RATE),
        .momentum = RECIPE_MOMENTUM,
        .schedule = {.kind = CONVT_COSINE_DECAY,
                     .decay_steps = CONVT_SET(fmax(steps - warmup, 1)),
                     .warmup_target = {warmup > 0, RECIPE_RATE},
                     .warmup_steps = CONVT_SET(warmup)},
    };
}

static int make_optimizer(job *j)
{
    convt_error err = {0};
    convt_parameter *rows = calloc(2 * (size_t)j->layer_count, sizeof *rows);
    const char *stored = settings_find(&j->checkpoint.settings, "sgd");
    convt_status status = CONVT_OK;
    if (!rows) return out_of_memory();
    if (stored)
        status = convt_sgd_parse(stored, &j->sgd_config, &err);
    else if (j->opt->optimizer.given)
        status = convt_sgd_read(j->opt->optimizer.text, &j->sgd_config, &err);
    else
        j->recipe = !j->supervised;
    if (j->recipe) j->sgd_config = recipe(j);
    j->sgd_config.threads = (int)j->opt->threads.integer;
    if (!status)
        status = convt_sgd_create(&j->sgd, &j->sgd_config, rows,
                                  convt_model_parameters(j->model, rows), &err);
    free(rows);
    if (!status) return OPTIONS_PARSED;
    /* a file that is not there or no JSON is a wrong option like a wrong argument in it */
    return complain(err.status == CONVT_NO_MEMORY ? EXIT_FAILED : EXIT_USAGE,
                    err.field[0] ? err.field : "--optimizer", "%s", err.message);
}

/* The array's shape is in memory order, as numpy and `convt predict` read it. */
static int make_codes(job *j)
{
    const convt_config *first = convt_layer_config(convt_model_layer(j->model, 0));
    convt_shape s = first->input;
    int64_t count = j->dataset.count;
    bool f64 = first->dtype == CONVT_FLOAT64;
    const int64_t last_shape[4] = {count, s.h, s.w, s.c}, first_shape[4] = {count, s.c, s.h, s.w},
                  flat_shape[4] = {count, s.c};
    if (j->supervised) return OPTIONS_PARSED;
    j->code_values = (convt_array){.element = f64 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32,
                                   .rank = j->spec.x_rank};
    memcpy(j->code_values.shape,
           j->spec.x_rank == 2 ? flat_shape
           : channels_first(j) ? first_shape
                               : last_shape,
           sizeof last_shape);
    j->code_values.data = calloc((size_t)count, (size_t)(s.h * s.w * s.c) * (f64 ? 8 : 4));
    if (!j->code_values.data) return out_of_memory();
    const option_value *rate = &j->opt->codes_learning_rate;
    j->codes = (convt_codes){.values = {j->code_values.data, first->dtype, count, s.h, s.w, s.c},
                             .learning_rate = rate->given ? rate->real : RECIPE_CODES_RATE,
                             .fix_first = s.h * s.w == 1 && s.c > 1};
    return OPTIONS_PARSED;
}

static int start_codes(job *j)
{
    if (j->supervised || j->checkpoint.archive.count > 0) return OPTIONS_PARSED;
    const convt_status status = convt_codes_start(j->trainer);
    if (status == CONVT_EXCHANGE_FAILED) j->crew.lost = true;
    return status ? complain_config("--codes", convt_trainer_error(j->trainer)) : OPTIONS_PARSED;
}

int job_convert_arrays(job *j)
{
    convt_error err = {0};
    convt_dtype dtype = convt_layer_config(convt_model_layer(j->model, 0))->dtype;
    convt_shape x = j->layers[0].input, y = j->output;
    if (!j->supervised) return OPTIONS_PARSED;
    if (convt_array_convert(&j->x, dtype, &err) != CONVT_OK) return complain_data("--x", &err);
    if (convt_array_convert(&j->y, dtype, &err) != CONVT_OK) return complain_data("--y", &err);
    j->arrays.x = (convt_const_view){j->x.data, dtype, j->x.shape[0], x.h, x.w, x.c};
    j->arrays.y = (convt_const_view){j->y.data, dtype, j->y.shape[0], y.h, y.w, y.c};
    return OPTIONS_PARSED;
}

/* ---- state ----------------------------------------------------------------------------------- */

static size_t view_bytes(const convt_view *v)
{
    return (size_t)(v->n * v->h * v->w * v->c) * (v->dtype == CONVT_FLOAT64 ? 8 : 4);
}

/* Only rank 0 saves, and so needs a good state to go back to. */
static int make_good_state(job *j)
{
    size_t size = 0;
    if (j->crew.exchange.rank > 0) return OPTIONS_PARSED;
    j->good = calloc((size_t)j->state_count, sizeof *j->good);
    for (int i = 0; i < j->state_count; i++) size += (view_bytes(&j->live[i].values) + 7) / 8 * 8;
    j->good_memory = malloc(size ? size : 1);
    if (!j->good || !j->good_memory) return out_of_memory();
    size = 0;
    for (int i = 0; i < j->state_count; i++) {
        j->good[i] = j->live[i];
        j->good[i].values.data = j->good_memory + size;
        size += (view_bytes(&j->live[i].values) + 7) / 8 * 8;
    }
    return OPTIONS_PARSED;
}

static int make_state(job *j)
{
    j->state_count = convt_trainer_state(j->trainer, NULL, 0);
    j->live = calloc((size_t)j->state_count, sizeof *j->live);
    if (!j->live || !history_reserve(&j->history, j->epochs)) return out_of_memory();
    convt_trainer_state(j->trainer, j->live, j->state_count);
    return make_good_state(j);
}

void job_keep_state(job *j)
{
    for (int i = 0; j->good && i < j->state_count; i++)
        memcpy(j->good[i].values.data, j->live[i].values.data, view_bytes(&j->live[i].values));
}

void job_restore_state(job *j)
{
    for (int i = 0; i < j->state_count; i++)
        memcpy(j->live[i].values.data, j->good[i].values.data, view_bytes(&j->live[i].values));
    convt_trainer_restored(j->trainer);
}

static int continue_from_checkpoint(job *j)
{
    convt_error err = {0};
    if (checkpoint_restore(&j->checkpoint, j->live, j->state_count, &j->history, &err) != CONVT_OK)
        return complain_data("--resume", &err);
    convt_trainer_restored(j->trainer);
    convt_archive_free(&j->checkpoint.archive);
    memset(&j->checkpoint.archive, 0, sizeof j->checkpoint.archive);
    j->succession = j->checkpoint.damage.status ? RUN_REPLACES : RUN_FOLLOWS;
    if (j->history.count > j->epochs)
        return complain(EXIT_USAGE, "--epochs", "%lld, but the run in %s has %lld already",
                        (long long)j->epochs, j->directory, (long long)j->history.count);
    return OPTIONS_PARSED;
}

convt_status job_write_checkpoint(job *j, const convt_state rows[], convt_error *err)
{
    const run_state state = {rows, j->state_count, &j->history, &j->settings};
    char place[64];
    convt_status status = checkpoint_write(j->directory, j->succession, &state, err);
    if (!status) j->succession = RUN_FOLLOWS;
    if (!status) witness_saved(j->directory, job_place(j, rows, place));
    j->kept = seconds_now();
    /* Within an epoch the history is as it was behind the last one. */
    if (status || job_batches_done(j, rows) > 0) return status;
    return history_write(&j->history, j->directory, err);
}

int64_t job_batches_done(const job *j, const convt_state rows[])
{
    for (int i = 0; i < j->state_count; i++) {
        if (strcmp(rows[i].name, "batch") == 0)
            return (int64_t) * (const double *)rows[i].values.data;
    }
    return 0;
}

char *job_place(const job *j, const convt_state rows[], char text[64])
{
    const long long epochs = j->history.count, batches = job_batches_done(j, rows);
    if (batches > 0)
        snprintf(text, 64, "batch %lld of epoch %lld", batches, epochs + 1);
    else
        snprintf(text, 64, "epoch %lld", epochs);
    return text;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int make_trainer(job *j)
{
    convt_error err = {0};
    convt_trainer_config *cfg = &j->trainer_config;
    j->loss.threads = (int)j->opt->threads.integer;
    cfg->model = j->model;
    cfg->sgd = j->sgd;
    cfg->loss = j->loss;
    cfg->data = j->dataset;
    cfg->codes = j->codes;
    cfg->epochs = j->epochs;
    cfg->batch_size = j->batch_size;
    cfg->leaves = j->opt->leaves.integer;
    cfg->validation_split = j->opt->validation_split.real;
    cfg->no_shuffle = j->opt->no_shuffle.given;
    cfg->seed = j->opt->seed.seed;
    cfg->exchange = j->crew.exchange;
    if (convt_trainer_create(&j->trainer, cfg, &err) != CONVT_OK)
        return complain_config("train", &err);
    return OPTIONS_PARSED;
}

int job_create(job *j)
{
    static int (*const steps[])(job *) = {read_spec,  make_layers,  make_model, make_optimizer,
                                          make_codes, make_trainer, make_state};
    int code = OPTIONS_PARSED;
    j->history.validation = j->opt->validation_split.real > 0;
    for (size_t i = 0; i < LENGTH(steps) && code == OPTIONS_PARSED; i++) code = steps[i](j);
    return code;
}

int job_start(job *j)
{
    int code = crew_agree(&j->crew, job_convert_arrays(j));
    if (code == OPTIONS_PARSED) code = start_codes(j);
    if (code == OPTIONS_PARSED && j->checkpoint.archive.count > 0)
        code = continue_from_checkpoint(j);
    if (code == OPTIONS_PARSED) job_keep_state(j);
    return code;
}

void job_close(job *j)
{
    convt_trainer_destroy(j->trainer);
    convt_sgd_destroy(j->sgd);
    convt_model_destroy(j->model);
    convt_array_free(&j->code_values);
    convt_spec_free(&j->spec);
    convt_array_free(&j->x);
    convt_array_free(&j->y);
    convt_images_free(&j->images.images);
    checkpoint_free(&j->checkpoint);
    settings_free(&j->settings);
    free(j->rows);
    free(j->history.rows);
    free(j->good_memory);
    free(j->good);
    free(j->live);
    free(j->saved);
    free(j->layers);
    free(j->source);
}
