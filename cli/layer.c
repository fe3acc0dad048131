/*
 * convt layer: one layer, every number. Parameters and x come from an .npz, y, losses and gradients
 * go into another; with --sgd also the parameters after K optimizer steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "model.h"
#include "options.h"
#include "predictor.h"

typedef struct layer_options {
    option_value config, in, out, threads, isa, sgd, steps;
} layer_options;

static const option rows[] = {
    {"config", "CONFIG.json", OPTION_TEXT, offsetof(layer_options, config),
     "the layer: Keras' get_config() or serialized object", 0, 0},
    {"in", "IN.npz", OPTION_TEXT, offsetof(layer_options, in),
     "x in the order that data_format names; kernel (kh, kw, filters, in) and bias, else the "
     "initializers fill them; dy, where gradients are wanted",
     0, 0},
    {"out", "OUT.npz", OPTION_TEXT, offsetof(layer_options, out),
     "y, kernel, bias, loss (kernel, bias and activity regularization) and, where dy is given, the "
     "gradients of sum(dy * y) + loss: dx, dkernel, dbias",
     0, 0},
    {"sgd", "OPT.json", OPTION_TEXT, offsetof(layer_options, sgd),
     "Keras' SGD config: adds kernel_after and bias_after", 0, 0},
    {"steps", "K", OPTION_INTEGER, offsetof(layer_options, steps),
     "steps of that optimizer, with the same x and dy", 0, 1e9},
    {"threads", "N", OPTION_INTEGER, offsetof(layer_options, threads),
     "threads to use (default: all)", 0, 4096},
    {"isa", "NAME", OPTION_TEXT, offsetof(layer_options, isa),
     "instruction set to use (default: the best one that this machine runs)", 0, 0},
};

static const options table = {"layer",
                              "Runs one Conv2DTranspose on arrays: output, regularization losses, "
                              "gradients, optimizer steps.",
                              rows, LENGTH(rows)};

enum { X, KERNEL, BIAS, DY, INPUTS };
static const char *const input_names[INPUTS] = {"x", "kernel", "bias", "dy"};

/* What is written, in this order; absent arrays have no data. */
enum { Y, KERNEL_USED, BIAS_USED, LOSS, DX, DKERNEL, DBIAS, KERNEL_AFTER, BIAS_AFTER, OUTPUTS };
static const char *const output_names[OUTPUTS] = {
    "y", "kernel", "bias", "loss", "dx", "dkernel", "dbias", "kernel_after", "bias_after"};

/* Everything of one run; zeroed, then filled from top to bottom. */
typedef struct job {
    convt_spec spec;
    convt_config cfg;
    convt_archive archive;
    convt_array *in[INPUTS]; /* in the archive; NULL: not given */
    convt_layer *layer;
    convt_parameter parameters[2];
    int parameter_count;
    convt_array out[OUTPUTS];
    convt_sgd_config sgd_config;
    convt_sgd *sgd;
} job;

static int out_of_memory(const char *name)
{
    return complain(EXIT_FAILED, name, "out of memory");
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* A tensor in memory order: what data_format names, or a parameter's own. */
static convt_view view_of(const convt_config *cfg, const convt_array *a)
{
    const int64_t *s = a->shape;
    return cfg->data_format == CONVT_CHANNELS_FIRST
               ? (convt_view){a->data, cfg->dtype, s[0], s[2], s[3], s[1]}
               : (convt_view){a->data, cfg->dtype, s[0], s[1], s[2], s[3]};
}

static size_t array_bytes(const job *j, const convt_array *a)
{
    return (size_t)convt_array_count(a) *
           (j->cfg.dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float));
}

static int add_output(job *j, int which, int rank, const int64_t *shape)
{
    convt_array *a = &j->out[which];
    snprintf(a->name, sizeof a->name, "%s", output_names[which]);
    a->element = j->cfg.dtype == CONVT_FLOAT64 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32;
    a->rank = rank;
    for (int i = 0; i < rank; i++) a->shape[i] = shape[i];
    a->data = malloc(array_bytes(j, a) + 1);
    return a->data ? OPTIONS_PARSED : out_of_memory(output_names[which]);
}

/* A copy of what a parameter's value or gradient is now. */
static int copy_parameter(job *j, int which, int index, bool gradient)
{
    const convt_parameter *p = &j->parameters[index];
    const convt_view v = gradient ? p->gradient : p->value;
    const int64_t sizes[4] = {v.n, v.h, v.w, v.c};
    int code = add_output(j, which, p->rank, sizes + 4 - p->rank);
    if (code == OPTIONS_PARSED) memcpy(j->out[which].data, v.data, array_bytes(j, &j->out[which]));
    return code;
}

/* ---- input ----------------------------------------------------------------------------------- */

static int read_config(job *j, const layer_options *opt)
{
    convt_error err = {0};
    const int code = config_read(opt->config.text, &j->spec);
    if (code != OPTIONS_PARSED) return code;
    j->cfg = j->spec.layers[0];
    if (opt->sgd.given && convt_sgd_read(opt->sgd.text, &j->sgd_config, &err) != CONVT_OK)
        return complain_config_file("--sgd", &err);
    return OPTIONS_PARSED;
}

static int read_arrays(job *j, const layer_options *opt)
{
    convt_error err = {0};
    if (convt_npz_read(opt->in.text, NULL, &j->archive, &err) != CONVT_OK)
        return complain_data("--in", &err);
    for (int i = 0; i < INPUTS; i++) {
        for (int k = 0; k < j->archive.count; k++)
            if (strcmp(j->archive.arrays[k].name, input_names[i]) == 0)
                j->in[i] = &j->archive.arrays[k];
        if (j->in[i] && convt_array_convert(j->in[i], j->cfg.dtype, &err) != CONVT_OK)
            return complain_data("--in", &err);
    }
    if (!j->in[X]) return complain(EXIT_FAILED, "--in", "%s has no array x", opt->in.text);
    if (opt->sgd.given && !j->in[DY])
        return complain(EXIT_USAGE, "dy", "missing in %s: --sgd needs it", opt->in.text);
    return OPTIONS_PARSED;
}

/* "(2, 3)", as numpy shows a shape. */
static const char *shape_text(char text[96], const convt_array *a)
{
    int length = snprintf(text, 96, "(");
    for (int i = 0; i < a->rank && length < 70; i++)
        length += snprintf(text + length, 96 - (size_t)length, "%s%lld", i ? ", " : "",
                           (long long)a->shape[i]);
    snprintf(text + length, 96 - (size_t)length, a->rank == 1 ? ",)" : ")");
    return text;
}

static int check_rank(const job *j, int which, int rank)
{
    char text[96];
    if (!j->in[which] || j->in[which]->rank == rank) return OPTIONS_PARSED;
    return complain(EXIT_USAGE, input_names[which], "must have rank %d, got shape %s", rank,
                    shape_text(text, j->in[which]));
}

/* The layer takes height, width and batch from x; channels that the config knows must agree. */
static int fit_input(job *j)
{
    static const int ranks[INPUTS] = {[X] = 4, [KERNEL] = 4, [BIAS] = 1, [DY] = 4};
    for (int i = 0; i < INPUTS; i++) {
        int code = check_rank(j, i, ranks[i]);
        if (code != OPTIONS_PARSED) return code;
    }
    const convt_view x = view_of(&j->cfg, j->in[X]);
    char text[96];
    if (x.h == 0 || x.w == 0 || x.c == 0)
        return complain(EXIT_USAGE, "x", "must have height, width and channels, got shape %s",
                        shape_text(text, j->in[X]));
    if (j->cfg.input.c > 0 && x.c != j->cfg.input.c)
        return complain(EXIT_USAGE, "x", "has %lld channels, the layer was built for %lld",
                        (long long)x.c, (long long)j->cfg.input.c);
    j->cfg.input = (convt_shape){x.h, x.w, x.c};
    j->cfg.max_batch = x.n > 0 ? x.n : 1;
    return OPTIONS_PARSED;
}

/* ---- the layer ------------------------------------------------------------------------------- */

static int set_parameters(job *j)
{
    convt_layer *l = j->layer;
    convt_status status = CONVT_OK;
    if (j->in[KERNEL]) {
        const convt_array *k = j->in[KERNEL];
        const convt_view view = {k->data,     j->cfg.dtype, k->shape[0],
                                 k->shape[1], k->shape[2],  k->shape[3]};
        status = convt_layer_set_kernel(l, convt_read(view));
    }
    if (!status && j->in[BIAS]) {
        const convt_view view = {j->in[BIAS]->data, j->cfg.dtype, 1, 1, 1, j->in[BIAS]->shape[0]};
        status = convt_layer_set_bias(l, convt_read(view));
    }
    return status ? complain_config("--in", convt_layer_error(l)) : OPTIONS_PARSED;
}

static int create(job *j, const layer_options *opt)
{
    convt_error err = {0};
    j->cfg.threads = (int)opt->threads.integer;
    if (opt->isa.given) setenv("CONVT_ISA", opt->isa.text, 1);
    int code = check_memory(&j->cfg, 1);
    if (code != OPTIONS_PARSED) return code;
    convt_status status = convt_layer_create(&j->layer, &j->cfg, &err);
    if (status == CONVT_NO_ISA && opt->isa.given) return complain_isa(opt->isa.text);
    if (status != CONVT_OK) return complain_config("--config", &err);
    code = set_parameters(j);
    if (code != OPTIONS_PARSED) return code;
    j->parameter_count = convt_layer_parameters(j->layer, j->parameters);
    j->sgd_config.threads = j->cfg.threads;
    if (opt->sgd.given && convt_sgd_create(&j->sgd, &j->sgd_config, j->parameters,
                                           j->parameter_count, &err) != CONVT_OK)
        return complain_config("--sgd", &err);
    return OPTIONS_PARSED;
}

/* ---- the numbers ----------------------------------------------------------------------------- */

/* Forward and, where dy is given, backward; the gradients of the parameters stay in the layer. */
static int run_passes(job *j, convt_view y, convt_view dx)
{
    const convt_const_view x = convt_read(view_of(&j->cfg, j->in[X]));
    convt_status status = convt_forward(j->layer, x, y);
    if (!status && j->in[DY])
        status =
            convt_backward(j->layer, x, convt_read(y), convt_read(view_of(&j->cfg, j->in[DY])), dx);
    return status ? complain_config("--in", convt_layer_error(j->layer)) : OPTIONS_PARSED;
}

static int make_outputs(job *j)
{
    const convt_shape y = convt_layer_output(j->layer);
    const int64_t n = j->in[X]->shape[0], last[4] = {n, y.h, y.w, y.c},
                  first[4] = {n, y.c, y.h, y.w};
    int code = add_output(j, Y, 4, j->cfg.data_format == CONVT_CHANNELS_FIRST ? first : last);
    if (code == OPTIONS_PARSED) code = add_output(j, LOSS, 0, NULL);
    if (code == OPTIONS_PARSED && j->in[DY]) code = add_output(j, DX, 4, j->in[X]->shape);
    return code;
}

static int run_once(job *j)
{
    const convt_view y = view_of(&j->cfg, &j->out[Y]);
    double loss;
    int code = run_passes(j, y, j->in[DY] ? view_of(&j->cfg, &j->out[DX]) : CONVT_NONE);
    for (int i = 0; i < j->parameter_count && code == OPTIONS_PARSED; i++) {
        code = copy_parameter(j, KERNEL_USED + i, i, false);
        if (code == OPTIONS_PARSED && j->in[DY]) code = copy_parameter(j, DKERNEL + i, i, true);
    }
    if (code != OPTIONS_PARSED) return code;
    if (convt_layer_loss(j->layer, convt_read(y), &loss) != CONVT_OK)
        return complain_config("--in", convt_layer_error(j->layer));
    if (j->cfg.dtype == CONVT_FLOAT64)
        *(double *)j->out[LOSS].data = loss;
    else
        *(float *)j->out[LOSS].data = (float)loss;
    return OPTIONS_PARSED;
}

/* The y that is written is that of the parameters given: the steps have one of their own. */
static int run_steps(job *j, int64_t steps)
{
    convt_view y = view_of(&j->cfg, &j->out[Y]);
    y.data = malloc(array_bytes(j, &j->out[Y]) + 1);
    if (!y.data) return out_of_memory("y");
    int code = OPTIONS_PARSED;
    for (int64_t k = 0; k < steps && code == OPTIONS_PARSED; k++) {
        code = run_passes(j, y, CONVT_NONE);
        if (code == OPTIONS_PARSED) convt_sgd_step(j->sgd);
    }
    free(y.data);
    for (int i = 0; i < j->parameter_count && code == OPTIONS_PARSED; i++)
        code = copy_parameter(j, KERNEL_AFTER + i, i, false);
    return code;
}

static int write_outputs(const job *j, const char *path)
{
    convt_array written[OUTPUTS];
    convt_error err = {0};
    int count = 0;
    for (int i = 0; i < OUTPUTS; i++)
        if (j->out[i].data) written[count++] = j->out[i];
    if (convt_npz_write(path, written, count, NULL, NULL, &err) != CONVT_OK)
        return complain_data("--out", &err);
    return EXIT_OK;
}

static int run(job *j, const layer_options *opt)
{
    int code = read_config(j, opt);
    if (code == OPTIONS_PARSED) code = read_arrays(j, opt);
    if (code == OPTIONS_PARSED) code = fit_input(j);
    if (code == OPTIONS_PARSED) code = create(j, opt);
    if (code == OPTIONS_PARSED) code = make_outputs(j);
    if (code == OPTIONS_PARSED) code = run_once(j);
    if (code == OPTIONS_PARSED && opt->sgd.given) code = run_steps(j, opt->steps.integer);
    return code == OPTIONS_PARSED ? write_outputs(j, opt->out.text) : code;
}

int command_layer(int argc, char **argv)
{
    layer_options opt = {0};
    job j = {0};
    int code = options_parse(&table, &opt, argc, argv);
    if (code != OPTIONS_PARSED) return code;
    const bool given[] = {opt.config.given, opt.in.given, opt.out.given};
    for (size_t i = 0; i < LENGTH(given); i++)
        if (!given[i]) return complain(EXIT_USAGE, "layer", "--%s is missing", rows[i].name);
    if (opt.sgd.given != opt.steps.given)
        return complain(EXIT_USAGE, opt.sgd.given ? "--sgd" : "--steps", "needs --%s",
                        opt.sgd.given ? "steps" : "sgd");
    code = run(&j, &opt);
    convt_sgd_destroy(j.sgd);
    convt_layer_destroy(j.layer);
    for (int i = 0; i < OUTPUTS; i++) free(j.out[i].data);
    convt_archive_free(&j.archive);
    convt_spec_free(&j.spec);
    return code;
}
