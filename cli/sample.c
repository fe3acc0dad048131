/*
 * convt sample: pictures that a trained decoder draws, from random codes or on the way from one
 * image to another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "codes.h"
#include "grid.h"
#include "model.h"
#include "options.h"
#include "predictor.h"
#include "run.h"

typedef struct sample_options {
    option_value run, out, interpolate, count, seed, threads;
} sample_options;

static const option rows[] = {
    {"run", "DIR", OPTION_TEXT, offsetof(sample_options, run),
     "the directory of a run that learned codes", 0, 0},
    {"out", "GRID.png", OPTION_TEXT, offsetof(sample_options, out), "where the picture goes", 0, 0},
    {"interpolate", "I J", OPTION_PAIR, offsetof(sample_options, interpolate),
     "the way from image I to image J, counted from 0, instead of random codes", 0, 1e15},
    {"count", "N", OPTION_INTEGER, offsetof(sample_options, count),
     "pictures to draw (default 64; 16 with --interpolate)", 1, 65536},
    {"seed", "S", OPTION_SEED, offsetof(sample_options, seed), "of the random codes (default 0)", 0,
     0},
    {"threads", "N", OPTION_INTEGER, offsetof(sample_options, threads),
     "threads to use (default: all)", 0, 4096},
};

static const options table = {"sample",
                              "Draws pictures from a trained decoder: random codes as scattered as "
                              "those of the run, or a way between two images.",
                              rows, LENGTH(rows)};

enum { RANDOM_COUNT = 64, WAY_COUNT = 16 };

typedef struct sampler {
    const sample_options *opt;
    convt_spec spec;
    convt_array codes;
    predictor predictor;
    int64_t count;
} sampler;

/* The codes' shape is the model's input. */
static int fit_codes(sampler *s)
{
    const convt_array *codes = &s->codes;
    convt_error err = {0};
    if (codes->rank != s->spec.x_rank || codes->shape[0] < 1)
        return complain(EXIT_FAILED, "--run", "codes.npy has rank %d and %lld codes", codes->rank,
                        (long long)codes->shape[0]);
    sample_shape("--run", codes, codes->rank, s->spec.layers[0].data_format == CONVT_CHANNELS_FIRST,
                 &s->spec.layers[0].input);
    if (convt_array_convert(&s->codes, s->spec.layers[0].dtype, &err) != CONVT_OK)
        return complain_data("--run", &err);
    return OPTIONS_PARSED;
}

static int open_run(sampler *s)
{
    convt_error err = {0};
    const char *directory = s->opt->run.text;
    char *model = run_path(directory, RUN_MODEL), *codes = run_path(directory, RUN_CODES);
    int code = OPTIONS_PARSED;
    if (!run_exists(directory))
        code = complain(EXIT_FAILED, "--run", "%s holds no run", directory);
    else if (!model || !codes)
        code = complain(EXIT_FAILED, "--run", "out of memory");
    else if (convt_npy_read(codes, &s->codes, &err) != CONVT_OK)
        code = complain_data("--run", &err);
    else
        code = model_read("--run", model, &s->spec);
    free(codes);
    free(model);
    if (code == OPTIONS_PARSED) code = fit_codes(s);
    if (code != OPTIONS_PARSED) return code;
    if (predictor_open(&s->predictor, s->spec.layers, s->spec.count, (int)s->opt->threads.integer,
                       &err) != CONVT_OK ||
        convt_spec_load_weights(&s->spec, s->predictor.model, &err) != CONVT_OK)
        return complain_config("--run", &err);
    s->predictor.output = output_shape(&s->spec, s->predictor.output);
    if (!drawable(s->predictor.output))
        return complain(EXIT_FAILED, "--run", "its outputs of %lldx%lldx%lld are no pictures",
                        (long long)s->predictor.output.h, (long long)s->predictor.output.w,
                        (long long)s->predictor.output.c);
    return OPTIONS_PARSED;
}

static int choose_codes(const sampler *s, void *chosen)
{
    const convt_array *a = &s->codes;
    const option_value *way = &s->opt->interpolate;
    code_set codes = {a->data, s->spec.layers[0].dtype, a->shape[0],
                      convt_array_count(a) / a->shape[0]};
    if (way->given && (way->integer >= codes.count || way->second >= codes.count))
        return complain(EXIT_USAGE, "--interpolate",
                        "%lld %lld, but the images count from 0 to %lld", (long long)way->integer,
                        (long long)way->second, (long long)codes.count - 1);
    if (way->given)
        codes_between(&codes, way->integer, way->second, s->count, chosen);
    else if (!codes_random(&codes, s->opt->seed.seed, s->count, chosen))
        return complain(EXIT_FAILED, "--run", "out of memory");
    return OPTIONS_PARSED;
}

static int draw(sampler *s, const void *chosen, float *pixels)
{
    convt_error err = {0};
    convt_shape shape = s->predictor.output;
    grid picture = {.h = shape.h, .w = shape.w, .c = shape.c, .group = 1};
    if (predictor_draw(&s->predictor, chosen, s->count, pixels, &err) != CONVT_OK)
        return complain_config("--run", &err);
    bool square = !s->opt->interpolate.given && !s->opt->count.given;
    picture.columns = square ? 8 : grid_columns(shape.w, s->count);
    picture.rows = (s->count + picture.columns - 1) / picture.columns;
    if (!grid_open(&picture)) return complain(EXIT_FAILED, "--out", "out of memory");
    for (int64_t i = 0; i < s->count; i++)
        grid_put(&picture, i / picture.columns, i % picture.columns,
                 pixels + i * shape.h * shape.w * shape.c);
    int code = grid_write(&picture, s->opt->out.text, &err) == CONVT_OK
                   ? EXIT_OK
                   : complain_data("--out", &err);
    grid_close(&picture);
    return code;
}

static int sample(sampler *s)
{
    int code = open_run(s);
    if (code != OPTIONS_PARSED) return code;
    s->count = s->opt->count.given         ? s->opt->count.integer
               : s->opt->interpolate.given ? WAY_COUNT
                                           : RANDOM_COUNT;
    convt_shape in = s->predictor.input, out = s->predictor.output;
    void *chosen = calloc((size_t)s->count, (size_t)(in.h * in.w * in.c) * sizeof(double));
    float *pixels = calloc((size_t)s->count, (size_t)(out.h * out.w * out.c) * sizeof *pixels);
    code = chosen && pixels
               ? choose_codes(s, chosen)
               : complain(EXIT_FAILED, "--count", "%lld pictures are too many for the memory",
                          (long long)s->count);
    if (code == OPTIONS_PARSED) code = draw(s, chosen, pixels);
    free(pixels);
    free(chosen);
    return code;
}

int command_sample(int argc, char **argv)
{
    sample_options opt = {0};
    sampler s = {.opt = &opt};
    int code = options_parse(&table, &opt, argc, argv);
    if (code != OPTIONS_PARSED) return code;
    if (!opt.run.given || !opt.out.given)
        return complain(EXIT_USAGE, "sample", "--%s is missing", opt.run.given ? "out" : "run");
    code = sample(&s);
    predictor_close(&s.predictor);
    convt_array_free(&s.codes);
    convt_spec_free(&s.spec);
    return code;
}
