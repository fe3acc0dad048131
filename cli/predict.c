/*
 * convt predict: y = model(x) for an array in a file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "data.h"
#include "model.h"
#include "options.h"
#include "predictor.h"

typedef struct predict_options {
    option_value model, in, out, threads;
} predict_options;

static const option rows[] = {
    {"model", "MODEL", OPTION_TEXT, offsetof(predict_options, model),
     "the model: .keras, .npz, .safetensors, .onnx, or .json with a Keras config", 0, 0},
    {"in", "X.npy", OPTION_TEXT, offsetof(predict_options, in),
     "its input, of rank 4 in the order that data_format names, or of rank 2 where a Dense comes "
     "first",
     0, 0},
    {"out", "Y.npy", OPTION_TEXT, offsetof(predict_options, out), "where the output goes", 0, 0},
    {"threads", "N", OPTION_INTEGER, offsetof(predict_options, threads),
     "threads to use (default: all)", 0, 4096},
};

static const options table = {
    "predict", "Runs a model on an array. The output has the model's dtype and data_format.", rows,
    LENGTH(rows)};

static int write_output(const convt_spec *spec, predictor *p, const convt_array *x,
                        const predict_options *opt)
{
    convt_error err = {0};
    convt_array y = output_array(spec, p->output, p->dtype, x->shape[0]);
    size_t size = (size_t)convt_array_count(&y) * element_size(y.element);
    y.data = malloc(size ? size : 1);
    char text[32];
    if (!y.data)
        return complain(EXIT_FAILED, "--out", "the output takes %s, which is not there",
                        bytes_text(text, (double)size));
    convt_status status = predictor_run(p, x->data, x->shape[0], y.data, &err);
    int code = status ? complain_config("x", &err) : EXIT_OK;
    if (code == EXIT_OK && convt_npy_write(opt->out.text, &y, &err) != CONVT_OK)
        code = complain_data("--out", &err);
    convt_array_free(&y);
    return code;
}

static int predict(convt_spec *spec, convt_array *x, const predict_options *opt)
{
    convt_error err = {0};
    predictor p = {0};
    convt_shape given;
    const bool first = spec->layers[0].data_format == CONVT_CHANNELS_FIRST;
    int code = sample_shape("x", x, spec->x_rank, first, &given);
    if (code == OPTIONS_PARSED) code = fit_model_input("x", given, &spec->layers[0].input);
    if (code == OPTIONS_PARSED) code = check_memory(spec->layers, spec->count);
    if (code != OPTIONS_PARSED) return code;
    if (convt_array_convert(x, spec->layers[0].dtype, &err) != CONVT_OK)
        return complain_data("--in", &err);
    if (predictor_open(&p, spec->layers, spec->count, (int)opt->threads.integer, &err) != CONVT_OK)
        return complain_config("--model", &err);
    if (spec->weights.count > 0 && convt_spec_load_weights(spec, p.model, &err) != CONVT_OK)
        code = complain_config("--model", &err);
    else
        code = write_output(spec, &p, x, opt);
    predictor_close(&p);
    return code;
}

int command_predict(int argc, char **argv)
{
    predict_options opt = {0};
    convt_error err = {0};
    convt_array x = {0};
    convt_spec spec = {0};
    int code = options_parse(&table, &opt, argc, argv);
    if (code != OPTIONS_PARSED) return code;
    const bool given[] = {opt.model.given, opt.in.given, opt.out.given};
    for (size_t i = 0; i < LENGTH(given); i++) {
        if (!given[i]) return complain(EXIT_USAGE, "predict", "--%s is missing", rows[i].name);
    }
    code = model_read("--model", opt.model.text, &spec);
    if (code != OPTIONS_PARSED) return code;
    if (convt_npy_read(opt.in.text, &x, &err) != CONVT_OK)
        code = complain_data("--in", &err);
    else
        code = predict(&spec, &x, &opt);
    convt_array_free(&x);
    convt_spec_free(&spec);
    return code;
}
