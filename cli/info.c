/*
 * convt info: the layers of a model as a table, or as JSON for programs; with --config how one layer
 * computes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dump.h"
#include "explain.h"
#include "model.h"
#include "options.h"
#include "progress.h"
#include "run.h"

typedef struct info_options {
    option_value file, model, batch;
    explain_options layer; /* json is of both */
} info_options;

static const option rows[] = {
    {"FILE", "FILE", OPTION_OPERAND, offsetof(info_options, file),
     "a model (.keras, .npz, .safetensors, .onnx, or .json with a Keras config), or the directory "
     "of a run",
     0, 0},
    {"model", "MODEL", OPTION_TEXT, offsetof(info_options, model),
     "the layers, where FILE holds weights alone (.weights.h5)", 0, 0},
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

/* What is shown of a Keras layer; sizes of 0 and negative numbers are not known. */
typedef struct info_row {
    convt_spec_row layer;
    const char *activation; /* NULL: none of its own */
    int64_t memory;         /* of the layer that computes it; -1 also where it shares that */
} info_row;

/* ---- what is there --------------------------------------------------------------------------- */

/* Memory and output of every layer that computes; output sizes that are not known are -1. */
static void measure(const convt_spec *spec, int64_t batch, int64_t memory[], convt_shape output[])
{
    convt_shape input = spec->layers[0].input;
    for (int i = 0; i < spec->count; i++) {
        convt_config layer = spec->layers[i];
        if (layer.input.c == 0 || i == 0) layer.input = input;
        layer.max_batch = batch;
        output[i] = (convt_shape){-1, -1, output_channels(&layer)};
        const size_t bytes = layer.input.h > 0 ? convt_layer_memory(&layer, NULL) : 0;
        const bool known = bytes > 0 && convt_output_shape(&layer, &output[i], NULL) == CONVT_OK;
        memory[i] = known ? (int64_t)bytes : -1;
        input = output[i];
    }
}

static bool is_activation(const convt_spec_row *row)
{
    static const char *const classes[] = {"Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"};
    for (size_t i = 0; i < LENGTH(classes); i++) {
        if (strcmp(row->class_name, classes[i]) == 0) return true;
    }
    return false;
}

static bool is_own(const convt_spec *spec, const convt_spec_row *row)
{
    return row->layer >= 0 && strcmp(spec->layers[row->layer].name, row->name) == 0;
}

/* Where files leave sizes open, the layer may know them all the same. */
static void complete_shape(convt_spec_row *row, const convt_config *layer, convt_shape s)
{
    const bool first = layer->data_format == CONVT_CHANNELS_FIRST;
    const int64_t sizes[] = {first ? s.c : s.h, first ? s.h : s.w, first ? s.w : s.c};
    if (row->rank == 1) return;
    row->rank = 3;
    memcpy(row->size, sizes, sizeof sizes);
}

/* An activation layer that is part of the layer before has that one's activation. */
static void describe(const convt_spec *spec, int64_t batch, const convt_spec_row layers[],
                     int count, info_row shown[], int64_t memory[], convt_shape output[])
{
    measure(spec, batch, memory, output);
    for (int i = 0; i < count; i++) {
        const convt_spec_row *row = &layers[i];
        const bool own = is_own(spec, row);
        shown[i] = (info_row){*row, NULL, own ? memory[row->layer] : -1};
        if (row->layer < 0 || (!own && !is_activation(row))) continue;
        shown[i].activation = activation_name(&spec->layers[row->layer]);
        if (own) complete_shape(&shown[i].layer, &spec->layers[row->layer], output[row->layer]);
        for (int k = i - 1; !own && k >= 0 && layers[k].layer == row->layer; k--)
            shown[k].activation = shown[k].activation ? "linear" : NULL;
    }
}

static int64_t total_of(const info_row shown[], int count)
{
    int64_t total = 0;
    for (int i = 0; i < count; i++) {
        const int64_t more = shown[i].layer.variables;
        total = more < 0 || total < 0 ? -1 : total + more;
    }
    return total;
}

/* x as a row has shapes. */
static convt_spec_row input_of(const convt_spec *spec)
{
    const convt_config *first = &spec->layers[0];
    convt_spec_row x = {.rank = spec->x_rank - 1, .size = {first->input.c}};
    if (x.rank == 3) complete_shape(&x, first, first->input);
    return x;
}

static const char *dtype_of(const convt_spec *spec)
{
    return spec->layers[0].dtype == CONVT_FLOAT64 ? "float64" : "float32";
}

static const char *format_of(const convt_spec *spec)
{
    return spec->layers[0].data_format == CONVT_CHANNELS_FIRST ? "channels_first" : "channels_last";
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *shape_text(char text[96], const convt_spec_row *row)
{
    int length = snprintf(text, 96, row->rank ? "(None" : "?");
    for (int i = 0; i < row->rank; i++)
        length += row->size[i] > 0 ? snprintf(text + length, 96 - (size_t)length, ", %lld",
                                              (long long)row->size[i])
                                   : snprintf(text + length, 96 - (size_t)length, ", None");
    snprintf(text + length, 96 - (size_t)length, row->rank ? ")" : "");
    return text;
}

static int widest(const info_row shown[], int count, bool classes)
{
    size_t width = 5;
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(classes ? shown[i].layer.class_name : shown[i].layer.name);
        if (length > width) width = length;
    }
    return (int)width;
}

static void print_table(const convt_spec *spec, const info_row shown[], int count, int64_t memory)
{
    const int name = widest(shown, count, false), class = widest(shown, count, true);
    const int64_t total = total_of(shown, count);
    const convt_spec_row x = input_of(spec);
    char shape[96], number[32], size[32];
    printf("%-*s  %-*s  %-22s  %12s  %-11s  %10s\n", name, "layer", class, "class", "output shape",
           "parameters", "activation", "memory");
    for (int i = 0; i < count; i++) {
        const info_row *row = &shown[i];
        printf("%-*s  %-*s  %-22s  %12s  %-11s  %10s\n", name, row->layer.name, class,
               row->layer.class_name, shape_text(shape, &row->layer),
               row->layer.variables >= 0 ? count_text(number, row->layer.variables) : "?",
               row->activation ? row->activation : "",
               row->memory >= 0            ? bytes_text(size, (double)row->memory)
               : is_own(spec, &row->layer) ? "?"
                                           : "");
    }
    printf("%-*s  %-*s  %-22s  %12s  %-11s  %10s\n", name, "total", class, "", "",
           total >= 0 ? count_text(number, total) : "?", "",
           memory > 0 ? bytes_text(size, (double)memory) : "?");
    printf("input %s, %s, %s\n", shape_text(shape, &x), dtype_of(spec), format_of(spec));
    if (spec->predicts_only) printf("predicts, but cannot be trained: %s\n", spec->predicts_only);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_size(int64_t size)
{
    return size >= 0 ? json_integer(size) : json_null();
}

static json_t *json_shape(const convt_spec_row *row)
{
    json_t *shape = row->rank ? json_pack("[n]") : json_null();
    for (int i = 0; i < row->rank; i++)
        shape = json_and(shape, row->size[i] > 0 ? json_integer(row->size[i]) : json_null());
    return shape;
}

static json_t *json_row(const info_row *row)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", row->layer.name, "class_name",
                     row->layer.class_name, "output_shape", json_shape(&row->layer), "parameters",
                     json_size(row->layer.variables), "activation",
                     row->activation ? json_string(row->activation) : json_null(), "memory",
                     json_size(row->memory));
}

static int print_json(const convt_spec *spec, const info_row shown[], int count, int64_t memory,
                      const char *file)
{
    const convt_spec_row x = input_of(spec);
    json_t *layers = json_array();
    for (int i = 0; i < count; i++) layers = json_and(layers, json_row(&shown[i]));
    return dump(json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "file", file, "input_shape",
                          json_shape(&x), "dtype", dtype_of(spec), "data_format", format_of(spec),
                          "layers", layers, "parameters", json_size(total_of(shown, count)),
                          "memory", json_size(memory > 0 ? memory : -1), "predicts_only",
                          spec->predicts_only ? json_string(spec->predicts_only) : json_null()),
                file);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int show(convt_spec *spec, const info_options *opt)
{
    const int count = convt_spec_rows(spec, NULL, 0);
    const size_t rows_there = (size_t)count + 1, layers_there = (size_t)spec->count + 1;
    convt_spec_row *layers = calloc(rows_there, sizeof *layers);
    info_row *shown = calloc(rows_there, sizeof *shown);
    int64_t *memory = calloc(layers_there, sizeof *memory), all = 0;
    convt_shape *output = calloc(layers_there, sizeof *output);
    int code = layers && shown && memory && output
                   ? EXIT_OK
                   : complain(EXIT_FAILED, opt->file.text, "out of memory");
    if (code == EXIT_OK) {
        const int64_t batch = opt->batch.given ? opt->batch.integer : 1;
        convt_spec_rows(spec, layers, count);
        describe(spec, batch, layers, count, shown, memory, output);
        spec->layers[0].max_batch = batch;
        if (spec->layers[0].input.h > 0)
            all = (int64_t)convt_model_memory(spec->layers, spec->count, NULL);
        if (opt->layer.json.given)
            code = print_json(spec, shown, count, all, opt->file.text);
        else
            print_table(spec, shown, count, all);
    }
    free(output);
    free(memory);
    free(shown);
    free(layers);
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
    int code = weights_read("FILE", opt->file.text, opt->model.text, &spec);
    if (code == OPTIONS_PARSED) code = show(&spec, opt);
    convt_spec_free(&spec);
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
