/*
 * convt info: the layers of a model as a table, or as JSON for programs; with --config how one layer
 * computes.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "explain.h"
#include "model.h"
#include "options.h"
#include "progress.h"
#include "run.h"

typedef struct info_options {
    option_value file, batch;
    explain_options layer; /* json is of both */
} info_options;

static const option rows[] = {
    {"FILE", "FILE", OPTION_OPERAND, offsetof(info_options, file),
     "a model (.npz, or .json with a Keras config), or the directory of a run", 0, 0},
    {"json", NULL, OPTION_FLAG, offsetof(info_options, layer.json), "one JSON object, for programs",
     0, 0},
    {"batch-size", "B", OPTION_INTEGER, offsetof(info_options, batch),
     "samples that the memory is counted for (default 1)", 1, 1e9},
    {"config", "CONFIG.json", OPTION_TEXT, offsetof(info_options, layer.config),
     "explain how this layer (Keras' get_config() or serialized object) computes: formulation of "
     "each "
     "pass, tiles, packing, work items, memory",
     0, 0},
    {"input", "N,H,W,C", OPTION_TEXT, offsetof(info_options, layer.input),
     "with --config: samples, height, width and channels, in this order whatever data_format is", 0,
     0},
    {"threads", "N", OPTION_INTEGER, offsetof(info_options, layer.threads),
     "with --config: threads to use (default: all)", 0, 4096},
    {"isa", "NAME", OPTION_TEXT, offsetof(info_options, layer.isa),
     "with --config: instruction set (default: the best one that this machine runs)", 0, 0},
};

static const options table = {
    "info",
    "Shows the layers of a model: output shapes, parameters, activations "
    "and the memory that training takes.\nWith --config, explains how one "
    "layer computes.",
    rows, LENGTH(rows)};

/* What is shown of a layer; negative numbers are not known. */
typedef struct info_row {
    const char *name, *activation;
    convt_shape output;
    int64_t parameters, memory;
} info_row;

static void describe(const convt_spec *spec, int64_t batch, info_row shown[])
{
    convt_shape input = spec->layers[0].input;
    for (int i = 0; i < spec->count; i++) {
        convt_config layer = spec->layers[i];
        layer.input = input;
        layer.max_batch = batch;
        layer.dtype = spec->layers[0].dtype;
        layer.data_format = spec->layers[0].data_format;
        info_row *row = &shown[i];
        *row = (info_row){layer.name ? layer.name : "",
                          activation_name(&layer),
                          {-1, -1, output_channels(&layer)},
                          -1,
                          -1};
        if (input.c > 0) row->parameters = layer_parameters(&layer, input.c);
        size_t memory = input.h > 0 ? convt_layer_memory(&layer, NULL) : 0;
        if (memory > 0 && convt_output_shape(&layer, &row->output, NULL) == CONVT_OK)
            row->memory = (int64_t)memory;
        input = row->output;
        if (row->memory < 0) input.h = input.w = -1;
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static void size_text(char text[24], int64_t size)
{
    snprintf(text, 24, size >= 0 ? "%lld" : "None", (long long)size);
}

static void shape_text(char text[96], convt_shape shape, bool channels_first)
{
    char h[24], w[24], c[24];
    size_text(h, shape.h);
    size_text(w, shape.w);
    size_text(c, shape.c);
    snprintf(text, 96, "(None, %s, %s, %s)", channels_first ? c : h, channels_first ? h : w,
             channels_first ? w : c);
}

static void print_table(const convt_spec *spec, const info_row shown[], int64_t memory)
{
    bool first = spec->layers[0].data_format == CONVT_CHANNELS_FIRST;
    int name = 5;
    int64_t total = 0;
    char shape[96], number[32], size[32];
    for (int i = 0; i < spec->count; i++)
        name = (int)strlen(shown[i].name) > name ? (int)strlen(shown[i].name) : name;
    printf("%-*s  %-22s  %12s  %-11s  %10s\n", name, "layer", "output shape", "parameters",
           "activation", "memory");
    for (int i = 0; i < spec->count; i++) {
        shape_text(shape, shown[i].output, first);
        printf("%-*s  %-22s  %12s  %-11s  %10s\n", name, shown[i].name, shape,
               shown[i].parameters >= 0 ? count_text(number, shown[i].parameters) : "?",
               shown[i].activation,
               shown[i].memory >= 0 ? bytes_text(size, (double)shown[i].memory) : "?");
        total = shown[i].parameters < 0 || total < 0 ? -1 : total + shown[i].parameters;
    }
    printf("%-*s  %-22s  %12s  %-11s  %10s\n", name, "total", "",
           total >= 0 ? count_text(number, total) : "?", "",
           memory > 0 ? bytes_text(size, (double)memory) : "?");
    shape_text(shape,
               spec->layers[0].input.c > 0 ? spec->layers[0].input : (convt_shape){-1, -1, -1},
               first);
    printf("input %s, %s, %s\n", shape,
           spec->layers[0].dtype == CONVT_FLOAT64 ? "float64" : "float32",
           first ? "channels_first" : "channels_last");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_size(int64_t size)
{
    return size >= 0 ? json_integer(size) : json_null();
}

static json_t *json_shape(convt_shape shape, bool channels_first)
{
    int64_t h = shape.h, w = shape.w, c = shape.c;
    if (channels_first) return json_pack("[n,o,o,o]", json_size(c), json_size(h), json_size(w));
    return json_pack("[n,o,o,o]", json_size(h), json_size(w), json_size(c));
}

static int print_json(const convt_spec *spec, const info_row shown[], int64_t memory,
                      const char *file)
{
    bool first = spec->layers[0].data_format == CONVT_CHANNELS_FIRST;
    convt_shape input = spec->layers[0].input.c > 0 ? spec->layers[0].input
                                                    : (convt_shape){-1, -1, -1};
    json_t *layers = json_array();
    int64_t total = 0;
    for (int i = 0; i < spec->count; i++) {
        json_array_append_new(layers,
                              json_pack("{s:s, s:o, s:o, s:s, s:o}", "name", shown[i].name,
                                        "output_shape", json_shape(shown[i].output, first),
                                        "parameters", json_size(shown[i].parameters), "activation",
                                        shown[i].activation, "memory", json_size(shown[i].memory)));
        total = shown[i].parameters < 0 || total < 0 ? -1 : total + shown[i].parameters;
    }
    json_t *root = json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o}", "file", file, "input_shape",
                             json_shape(input, first), "dtype",
                             spec->layers[0].dtype == CONVT_FLOAT64 ? "float64" : "float32",
                             "data_format", first ? "channels_first" : "channels_last", "layers",
                             layers, "parameters", json_size(total), "memory",
                             json_size(memory > 0 ? memory : -1));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return complain(EXIT_FAILED, file, "no JSON could be made of it");
    puts(text);
    free(text);
    return EXIT_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int show(convt_spec *spec, const info_options *opt)
{
    if (!spec->layers) return complain(EXIT_USAGE, opt->file.text, "has no layers");
    info_row *shown = calloc((size_t)spec->count + 1, sizeof *shown);
    if (!shown) return complain(EXIT_FAILED, opt->file.text, "out of memory");
    int64_t memory = 0;
    describe(spec, opt->batch.given ? opt->batch.integer : 1, shown);
    if (spec->layers[0].input.h > 0) {
        spec->layers[0].max_batch = opt->batch.given ? opt->batch.integer : 1;
        memory = (int64_t)convt_model_memory(spec->layers, spec->count, NULL);
    }
    int code = EXIT_OK;
    if (opt->layer.json.given)
        code = print_json(spec, shown, memory, opt->file.text);
    else
        print_table(spec, shown, memory);
    free(shown);
    return code;
}

/* What belongs together, and what does not. */
static int check(const info_options *opt)
{
    const explain_options *l = &opt->layer;
    if (opt->file.given && l->config.given)
        return complain(EXIT_USAGE, "--config", "does not go with a FILE");
    if (!opt->file.given && !l->config.given)
        return complain(EXIT_USAGE, "info", "the argument FILE is missing, or --config");
    if (!l->config.given && (l->input.given || l->isa.given || l->threads.given))
        return complain(EXIT_USAGE,
                        l->input.given ? "--input"
                        : l->isa.given ? "--isa"
                                       : "--threads",
                        "needs --config");
    if (l->config.given && opt->batch.given)
        return complain(EXIT_USAGE, "--batch-size", "is N of --input where a layer is explained");
    return OPTIONS_PARSED;
}

static int show_file(const info_options *opt)
{
    convt_spec spec = {0};
    char *path = run_exists(opt->file.text) ? run_path(opt->file.text, RUN_MODEL)
                                            : text_of("%s", opt->file.text);
    int code = path ? model_read("FILE", path, &spec)
                    : complain(EXIT_FAILED, opt->file.text, "out of memory");
    if (code == OPTIONS_PARSED) {
        code = show(&spec, opt);
        convt_spec_free(&spec);
    }
    free(path);
    return code;
}

int command_info(int argc, char **argv)
{
    info_options opt = {0};
    int code = options_parse(&table, &opt, argc, argv);
    if (code == OPTIONS_PARSED) code = check(&opt);
    if (code != OPTIONS_PARSED) return code;
    return opt.layer.config.given ? explain(&opt.layer) : show_file(&opt);
}
