/*
 * convt gradcheck: is backward the derivative of forward, for a layer's config? Central differences
 * in float64, every element or random directions; --all for every argument there is.
 */
#include "gradcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dump.h"
#include "model.h"
#include "options.h"

typedef struct gradcheck_options {
    option_value config, input, batch, seed, directions, sample, rtol, richardson, float32, threads,
        isa, json, all;
} gradcheck_options;

static const option rows[] = {
    {"config", "CONFIG.json", OPTION_TEXT, offsetof(gradcheck_options, config),
     "the layer: Keras' get_config() or serialized object", 0, 0},
    {"input", "H,W,C", OPTION_TEXT, offsetof(gradcheck_options, input),
     "height, width and channels of x, in this order whatever data_format is", 0, 0},
    {"batch", "N", OPTION_INTEGER, offsetof(gradcheck_options, batch), "samples (default 2)", 1,
     1e9},
    {"seed", "S", OPTION_SEED, offsetof(gradcheck_options, seed),
     "of x, the parameters and what is drawn besides (default 0)", 0, 0},
    {"directions", "K", OPTION_INTEGER, offsetof(gradcheck_options, directions),
     "check K random directions of every block, which is fast, instead of every element", 1, 1e6},
    {"sample", "K", OPTION_INTEGER, offsetof(gradcheck_options, sample),
     "check K elements of every block", 1, 1e9},
    {"rtol", "R", OPTION_REAL, offsetof(gradcheck_options, rtol),
     "largest relative error that passes (default 1e-6, with --float32 1e-3)", 1e-15, 1e3},
    {"richardson", NULL, OPTION_FLAG, offsetof(gradcheck_options, richardson),
     "extrapolate differences of two steps", 0, 0},
    {"float32", NULL, OPTION_FLAG, offsetof(gradcheck_options, float32),
     "compare gradients in float32 with those in float64, instead of differences", 0, 0},
    {"threads", "N", OPTION_INTEGER, offsetof(gradcheck_options, threads),
     "threads to use (default: all)", 0, 4096},
    {"isa", "NAME", OPTION_TEXT, offsetof(gradcheck_options, isa),
     "instruction set to use (default: the best one that this machine runs)", 0, 0},
    {"json", NULL, OPTION_FLAG, offsetof(gradcheck_options, json), "one JSON object, for programs",
     0, 0},
    {"all", NULL, OPTION_FLAG, offsetof(gradcheck_options, all),
     "check every argument of the layer on every instruction set, some minutes: a table in "
     "Markdown",
     0, 0},
};

static const options table = {
    "gradcheck",
    "Checks the gradients of a layer with respect to x, kernel and bias, regularization included,\n"
    "against central differences in float64. Exit 1 where a relative error exceeds --rtol.",
    rows, LENGTH(rows)};

/* ---- options --------------------------------------------------------------------------------- */

static int check_options(const gradcheck_options *opt)
{
    if (opt->directions.given && opt->sample.given)
        return complain(EXIT_USAGE, "--sample", "does not go with --directions");
    if (opt->float32.given && (opt->directions.given || opt->sample.given || opt->richardson.given))
        return complain(EXIT_USAGE, "--float32", "compares every element and takes no differences");
    if (!opt->all.given && !opt->config.given)
        return complain(EXIT_USAGE, "gradcheck", "--config is missing, or --all");
    const struct {
        const option_value *value;
        const char *name;
    } alone[] = {{&opt->config, "--config"},
                 {&opt->input, "--input"},
                 {&opt->batch, "--batch"},
                 {&opt->directions, "--directions"},
                 {&opt->sample, "--sample"},
                 {&opt->float32, "--float32"},
                 {&opt->richardson, "--richardson"},
                 {&opt->isa, "--isa"},
                 {&opt->json, "--json"}};
    for (size_t i = 0; i < LENGTH(alone) && opt->all.given; i++)
        if (alone[i].value->given)
            return complain(EXIT_USAGE, alone[i].name, "does not go with --all");
    return OPTIONS_PARSED;
}

static convt_gradcheck_options library_options(const gradcheck_options *opt)
{
    convt_gradcheck_options o = {.seed = opt->seed.seed,
                                 .richardson = opt->richardson.given,
                                 .float32 = opt->float32.given,
                                 .count = opt->directions.integer + opt->sample.integer};
    if (opt->directions.given) o.mode = CONVT_GRADCHECK_DIRECTIONS;
    if (opt->sample.given) o.mode = CONVT_GRADCHECK_SAMPLE;
    if (opt->rtol.given) o.rtol = CONVT_SET(opt->rtol.real);
    return o;
}

static int read_input(const char *text, convt_config *cfg)
{
    int64_t sizes[3];
    if (!sizes_read(text, 3, sizes))
        return complain(EXIT_USAGE, "--input", "\"%s\" is not H,W,C, three integers of at least 1",
                        text);
    cfg->input = (convt_shape){sizes[0], sizes[1], sizes[2]};
    return OPTIONS_PARSED;
}

/* ---- output ---------------------------------------------------------------------------------- */

static int print_text(const convt_gradcheck_report *r)
{
    const size_t size = convt_gradcheck_text(r, NULL, 0) + 1;
    char *text = malloc(size);
    if (!text) return complain(EXIT_FAILED, "--config", "out of memory");
    convt_gradcheck_text(r, text, size);
    fputs(text, stdout);
    free(text);
    return EXIT_OK;
}

static json_t *json_row(const convt_gradcheck_row *row)
{
    json_t *index = json_array(), *shape = json_array();
    for (int i = 0; i < row->rank; i++) {
        shape = json_and(shape, json_integer(row->dims[i]));
        if (row->direction < 0) index = json_and(index, json_integer(row->index[i]));
    }
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:f, s:o, s:f, s:f, s:s}", "name", row->name,
                     "shape", shape, "elements", (json_int_t)row->elements, "checked",
                     (json_int_t)row->checked, "skipped", (json_int_t)row->skipped, "wrong",
                     (json_int_t)row->wrong, "relative_error", row->relative_error, "index", index,
                     "analytic", row->analytic, "numeric", row->numeric, "pattern", row->pattern);
}

static int print_json(const convt_gradcheck_report *r)
{
    static const char *const modes[] = {"elements", "sample", "directions"};
    json_t *blocks = json_array();
    for (int i = 0; i < r->count; i++) blocks = json_and(blocks, json_row(&r->rows[i]));
    return dump(json_pack("{s:b, s:s, s:s, s:s, s:b, s:f, s:I, s:I, s:I, s:o}", "passed",
                          r->verdict == CONVT_GRADCHECK_PASSED, "verdict",
                          convt_gradcheck_verdict_text(r->verdict), "block", r->block, "mode",
                          modes[r->options.mode], "float32", r->options.float32, "rtol",
                          r->options.rtol.value, "seed", (json_int_t)r->options.seed,
                          "forward_calls", (json_int_t)r->forward_calls, "backward_calls",
                          (json_int_t)r->backward_calls, "blocks", blocks),
                "--json");
}

/* ---- the command ----------------------------------------------------------------------------- */

static int check_layer(convt_config cfg, const gradcheck_options *opt)
{
    static convt_gradcheck_report report; /* large */
    const convt_gradcheck_options o = library_options(opt);
    convt_error err;
    int code = opt->input.given ? read_input(opt->input.text, &cfg) : OPTIONS_PARSED;
    if (code != OPTIONS_PARSED) return code;
    if (cfg.input.h < 1)
        return complain(EXIT_USAGE, "--input", "is missing: %s says no input shape",
                        opt->config.text);
    cfg.max_batch = opt->batch.given ? opt->batch.integer : 2;
    cfg.threads = (int)opt->threads.integer;
    if (opt->isa.given) setenv("CONVT_ISA", opt->isa.text, 1);
    const convt_status status = convt_layer_gradcheck(&cfg, &o, &report, &err);
    if (status == CONVT_NO_ISA && opt->isa.given) return complain_isa(opt->isa.text);
    if (status) return complain_config("--config", &err);
    code = opt->json.given ? print_json(&report) : print_text(&report);
    return code != EXIT_OK || report.verdict == CONVT_GRADCHECK_PASSED ? code : EXIT_FAILED;
}

int command_gradcheck(int argc, char **argv)
{
    gradcheck_options opt = {0};
    convt_spec spec = {0};
    int code = options_parse(&table, &opt, argc, argv);
    if (code == OPTIONS_PARSED) code = check_options(&opt);
    if (code != OPTIONS_PARSED) return code;
    if (opt.all.given) {
        const convt_gradcheck_options o = library_options(&opt);
        return gradcheck_grid(&o, (int)opt.threads.integer);
    }
    code = config_read(opt.config.text, &spec);
    if (code == OPTIONS_PARSED) code = check_layer(spec.layers[0], &opt);
    convt_spec_free(&spec);
    return code;
}
