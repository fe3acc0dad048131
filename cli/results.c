/*
 * What a training run leaves behind: model, codes, pictures, report.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "codes.h"
#include "grid.h"
#include "job.h"
#include "model.h"
#include "pca.h"
#include "predictor.h"
#include "report.h"

enum { PAIRS = 24, FEWEST_PAIRS = 4, RANDOM = 24, WAY = 12, COLUMNS = 12, PAIR_NUMBERS = 1 << 19 };

/* Pictures of the present state: originals and outputs of some samples, random codes, the way
 * between two images. */
typedef struct gallery {
    convt_shape shape;
    int64_t pairs, random, way;
    int64_t index[PAIRS];
    float *originals, *outputs, *random_pixels, *way_pixels; /* NULL: none */
} gallery;

static size_t sample_bytes(const predictor *p)
{
    return (size_t)(p->input.h * p->input.w * p->input.c) * (p->dtype == CONVT_FLOAT64 ? 8 : 4);
}

static int64_t pixel_count(const gallery *g)
{
    return g->shape.h * g->shape.w * g->shape.c;
}

/* ---- pictures -------------------------------------------------------------------------------- */

static bool original_pixels(const job *j, int64_t index, bool channels_first, float *pixels)
{
    int64_t count = j->target.h * j->target.w * j->target.c;
    if (!j->supervised) {
        image_pixels(&j->images.images, index, pixels);
        return true;
    }
    float *plain = malloc((size_t)count * sizeof *plain);
    if (!plain) return false;
    for (int64_t i = 0; i < count; i++)
        plain[i] = j->arrays.y.dtype == CONVT_FLOAT64
                       ? (float)((const double *)j->arrays.y.data)[index * count + i]
                       : ((const float *)j->arrays.y.data)[index * count + i];
    pixels_channels_last(plain, j->target, channels_first, pixels);
    free(plain);
    return true;
}

static convt_status draw(const job *j, predictor *p, const void *x, int64_t n, float *pixels,
                         convt_error *err)
{
    convt_status status = predictor_draw(p, x, n, pixels, err);
    int64_t count = n * p->output.h * p->output.w * p->output.c;
    for (int64_t i = 0; !status && j->loss.from_logits && i < count; i++)
        pixels[i] = 1 / (1 + expf(-pixels[i]));
    return status;
}

static convt_status draw_pairs(const job *j, predictor *p, gallery *g, void *x, convt_error *err)
{
    const char *inputs = j->supervised ? j->arrays.x.data : j->code_values.data;
    size_t bytes = sample_bytes(p);
    for (int64_t i = 0; i < g->pairs; i++) {
        const int64_t row = job_shown_row(j, i, g->index[i]);
        const int64_t input = j->supervised ? row : g->index[i]; /* codes are all here */
        if (!original_pixels(j, row, p->channels_first, g->originals + i * pixel_count(g)))
            return err->status = CONVT_NO_MEMORY;
        memcpy((char *)x + (size_t)i * bytes, inputs + (size_t)input * bytes, bytes);
    }
    return draw(j, p, x, g->pairs, g->outputs, err);
}

static convt_status draw_codes(const job *j, predictor *p, gallery *g, void *x, convt_error *err)
{
    const convt_view *v = &j->codes.values;
    code_set codes = {v->data, v->dtype, v->n, v->h * v->w * v->c};
    if (!codes_random(&codes, j->opt->seed.seed, g->random, x)) return CONVT_NO_MEMORY;
    convt_status status = draw(j, p, x, g->random, g->random_pixels, err);
    if (status) return status;
    codes_between(&codes, g->index[0], g->index[g->pairs > 1], g->way, x);
    return draw(j, p, x, g->way, g->way_pixels, err);
}

/* Are target and output something to look at? Their numbers must be shades. */
static bool is_picture(const job *j)
{
    bool classes = loss_of_class_numbers(j->loss.kind) ||
                   (j->loss.from_logits && loss_logits_of(j->loss.kind) == LOGITS_OF_SOFTMAX);
    if (classes || !drawable(j->target)) return false;
    return j->contents.range.low >= 0 && j->contents.range.high <= 1;
}

static bool gallery_open(gallery *g, const job *j)
{
    memset(g, 0, sizeof *g);
    g->shape = j->target;
    int64_t pairs = PAIR_NUMBERS / pixel_count(g);
    pairs = pairs < FEWEST_PAIRS ? FEWEST_PAIRS : pairs > PAIRS ? PAIRS : pairs;
    g->pairs = pairs < j->dataset.count ? pairs : j->dataset.count;
    for (int64_t i = 0; i < g->pairs; i++) g->index[i] = i * j->dataset.count / g->pairs;
    g->random = j->supervised ? 0 : pairs;
    g->way = j->supervised ? 0 : pairs < WAY ? pairs : WAY;
    size_t count = (size_t)pixel_count(g), all = (size_t)(2 * g->pairs + g->random + g->way);
    g->originals = calloc(all, count * sizeof *g->originals);
    if (!g->originals) return false;
    g->outputs = g->originals + (size_t)g->pairs * count;
    g->random_pixels = g->outputs + (size_t)g->pairs * count;
    g->way_pixels = g->random_pixels + (size_t)g->random * count;
    return true;
}

/* Draws with the model as it is saved, so that `convt predict` gives the same pictures. */
static convt_status gallery_draw(gallery *g, const job *j, convt_error *err)
{
    predictor p;
    convt_status status =
        predictor_open(&p, j->saved, j->layer_count, (int)j->opt->threads.integer, err);
    void *x = status ? NULL : malloc(sample_bytes(&p) * PAIRS);
    if (!status) p.output = output_shape(&j->spec, p.output);
    if (!status) status = x ? predictor_copy_weights(&p, j->model, err) : CONVT_NO_MEMORY;
    if (!status) status = draw_pairs(j, &p, g, x, err);
    if (!status && !j->supervised) status = draw_codes(j, &p, g, x, err);
    if (status == CONVT_NO_MEMORY) err->status = status;
    free(x);
    predictor_close(&p);
    return status;
}

/* Originals over reconstructions, in bands. */
static convt_status write_samples(const gallery *g, const char *path, convt_error *err)
{
    int64_t columns = g->pairs < COLUMNS ? g->pairs : COLUMNS;
    int64_t fitting = grid_columns(g->shape.w, columns);
    columns = fitting < columns ? fitting : columns;
    grid picture = {.rows = 2 * ((g->pairs + columns - 1) / columns),
                    .columns = columns,
                    .h = g->shape.h,
                    .w = g->shape.w,
                    .c = g->shape.c,
                    .group = 2};
    if (!grid_open(&picture)) {
        err->status = CONVT_NO_MEMORY;
        return CONVT_NO_MEMORY;
    }
    for (int64_t i = 0; i < g->pairs; i++) {
        grid_put(&picture, i / columns * 2, i % columns, g->originals + i * pixel_count(g));
        grid_put(&picture, i / columns * 2 + 1, i % columns, g->outputs + i * pixel_count(g));
    }
    convt_status status = grid_write(&picture, path, err);
    grid_close(&picture);
    return status;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void add_facts(const job *j, report *r)
{
    char text[32], rate[32];
    convt_sgd_config sgd = j->sgd_config;
    double peak = sgd.schedule.warmup_target.set ? sgd.schedule.warmup_target.value
                                                 : convt_schedule_rate(&sgd, 0);
    report_add_fact(r, "data", "%s", j->supervised ? j->opt->x.text : j->source);
    report_add_fact(r, "samples", "%s", count_text(text, j->dataset.count));
    if (j->train_count < j->dataset.count)
        report_add_fact(r, "held out", "%s", count_text(text, j->dataset.count - j->train_count));
    report_add_fact(r, "batch", "%lld", (long long)j->batch_size);
    report_add_fact(r, "epochs", "%lld of %lld", (long long)j->history.count, (long long)j->epochs);
    report_add_fact(r, "loss", "%s%s", loss_name(&j->loss),
                    j->loss.from_logits ? ", from logits" : "");
    report_add_fact(r, "optimizer", "SGD%s", sgd.nesterov ? ", nesterov" : "");
    report_add_fact(r, "learning rate", "%s%s", real_text(rate, peak),
                    sgd.schedule.kind == CONVT_CONSTANT_RATE  ? ""
                    : sgd.schedule.kind == CONVT_COSINE_DECAY ? ", cosine decay"
                                                              : ", then by its schedule");
    report_add_fact(r, "momentum", "%s", real_text(rate, sgd.momentum));
    if (!j->supervised)
        report_add_fact(r, "learning rate of codes", "%s", real_text(rate, j->codes.learning_rate));
    report_add_fact(r, "seed", "%llu", (unsigned long long)j->opt->seed.seed);
    report_add_fact(r, "order", "%s",
                    j->opt->no_shuffle.given ? "as in the file" : "shuffled each epoch");
    if (r->epochs > 0)
        report_add_fact(r, "time per epoch", "%s",
                        duration_text(text, r->seconds / (double)r->epochs));
    report_add_fact(r, "threads", "%s",
                    j->opt->threads.integer > 0 ? real_text(rate, (double)j->opt->threads.integer)
                                                : "all");
    report_add_fact(r, "instruction set", "%s", convt_layer_isa(convt_model_layer(j->model, 0)));
    report_add_fact(r, "memory of the model", "%s",
                    bytes_text(text, (double)convt_model_bytes(j->model)));
    report_add_fact(r, "arithmetic", "%s",
                    j->saved[0].dtype == CONVT_FLOAT64 ? "float64" : "float32");
}

static void add_pictures(const gallery *g, report *r)
{
    r->shape = g->shape;
    r->pair_count = g->pairs;
    r->originals = g->originals;
    r->outputs = g->outputs;
    r->pair_index = g->index;
    r->random_count = g->random;
    r->random = g->random_pixels;
    r->way_count = g->way;
    r->way = g->way_pixels;
    r->way_from = g->index[0];
    r->way_to = g->index[g->pairs > 1];
}

/* What as many principal components would leave of the images that were trained on. Ranks that are told to
 * end have no time for it. */
static void add_pca(job *j, report *r)
{
    const convt_view *v = &j->codes.values;
    const int64_t pixels = j->target.h * j->target.w * j->target.c;
    if (j->supervised || (r->notice && crew_is_shared(&j->crew))) return;
    r->pca_components = v->h * v->w * v->c;
    r->pca_mse = (double)NAN;
    if (!pca_is_quick(j->train_count, pixels, r->pca_components)) return;
    if (job_read_trained_on(j) != OPTIONS_PARSED) {
        r->pca_components = 0;
        return;
    }
    convt_images images = j->images.images;
    images.count = j->train_count;
    r->pca_mse = pca_residual(&images, r->pca_components);
}

static convt_status write_report(job *j, const gallery *g, const char *notice, const char *path,
                                 convt_error *err)
{
    char title[128], subtitle[256], text[32];
    convt_shape t = j->target;
    char *command = job_command_line(j);
    report r = {.title = title,
                .subtitle = subtitle,
                .notice = notice,
                .command = command,
                .history = &j->history};
    if (!command) {
        err->status = CONVT_NO_MEMORY;
        return CONVT_NO_MEMORY;
    }
    snprintf(title, sizeof title, "%s trained on %s %s", j->supervised ? "A model" : "A decoder",
             count_text(text, j->train_count), j->supervised ? "samples" : "images");
    snprintf(subtitle, sizeof subtitle, "%d layers, %lld\u00d7%lld\u00d7%lld from %s.",
             j->layer_count, (long long)t.h, (long long)t.w, (long long)t.c,
             j->supervised ? "a given input" : "a learned code");
    r.loss_name = j->loss.kind == CONVT_BINARY_CROSSENTROPY ? "binary cross-entropy"
                                                            : loss_name(&j->loss);
    if (strcmp(r.loss_name, "mean_squared_error") == 0) r.loss_name = "loss";
    r.seconds = j->seconds;
    r.epochs = j->history.count - j->progress.first_epoch;
    r.samples_per_second = j->seconds > 0 ? (double)j->progress.samples / j->seconds : 0;
    r.layers = j->saved;
    r.layer_count = j->layer_count;
    if (g) add_pictures(g, &r);
    add_pca(j, &r);
    add_facts(j, &r);
    convt_status status = report_write(&r, path, err);
    free(command);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static convt_status write_model(job *j, const char *path, convt_error *err)
{
    convt_status status = convt_spec_take_weights(&j->spec, j->model, err);
    return status ? status : convt_spec_save(path, &j->spec, err);
}

/* Keras may have no words for a model: it gets no .keras file then. Comes last, for HDF5 may end a
 * process that has no memory left. */
static convt_status write_keras(const job *j, const char *path, convt_error *err)
{
    convt_error ignored;
    if (!convt_format_is_built(CONVT_FORMAT_KERAS)) return CONVT_OK;
    convt_status status = convt_spec_save(path, &j->spec, &ignored);
    if (status && status != CONVT_INVALID_ARGUMENT) *err = ignored;
    return status == CONVT_INVALID_ARGUMENT ? CONVT_OK : status;
}

static convt_status write_all(job *j, const gallery *g, const char *notice, char *const path[],
                              convt_error *err)
{
    convt_status status = history_write(&j->history, j->directory, err);
    if (!status) status = write_model(j, path[RUN_MODEL], err);
    if (!status && !j->supervised) status = convt_npy_write(path[RUN_CODES], &j->code_values, err);
    if (!status && g) status = write_samples(g, path[RUN_SAMPLES], err);
    if (!status) status = write_report(j, g, notice, path[RUN_REPORT], err);
    if (!status) status = write_keras(j, path[RUN_KERAS], err);
    /* What this run has none of is of a run that it replaced. */
    if (!status && j->supervised) unlink(path[RUN_CODES]);
    if (!status && !g) unlink(path[RUN_SAMPLES]);
    return status;
}

int job_write_results(job *j, const char *notice)
{
    convt_error err = {0};
    gallery g = {0};
    char *path[RUN_FILES] = {NULL};
    bool pictures = is_picture(j), good = !pictures || gallery_open(&g, j);
    for (int file = 0; file < RUN_FILES; file++) {
        path[file] = run_path(j->directory, (run_file)file);
        good = good && path[file];
    }
    /* Without its pictures, what was learned is saved all the same. */
    if (good && pictures) pictures = job_read_shown(j, g.index, g.pairs) == OPTIONS_PARSED;
    err.status = CONVT_NO_MEMORY;
    convt_status status = good ? CONVT_OK : CONVT_NO_MEMORY;
    if (!status && pictures) status = gallery_draw(&g, j, &err);
    if (!status) status = write_all(j, pictures ? &g : NULL, notice, path, &err);
    for (int file = 0; file < RUN_FILES; file++) free(path[file]);
    free(g.originals);
    return status ? complain_data("--out", &err) : OPTIONS_PARSED;
}
