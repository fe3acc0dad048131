/*
 * convt info --config: how a layer computes, in the library's words: one subject a line, or as JSON.
 */
#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dump.h"
#include "model.h"

/* "forward: ...\n" lines to one member each. */
static json_t *members_of(char *text)
{
    json_t *object = json_object();
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");
        if (!colon) continue;
        *colon = 0;
        object = json_with(object, line, json_string(colon + 2));
    }
    return object;
}

static int print(const convt_layer *layer, bool json)
{
    const size_t length = convt_layer_explain(layer, NULL, 0);
    char *text = malloc(length + 1);
    if (!text) return complain(EXIT_FAILED, "--config", "out of memory");
    convt_layer_explain(layer, text, length + 1);
    int code = EXIT_OK;
    if (json)
        code = dump(members_of(text), "--json");
    else
        fputs(text, stdout);
    free(text);
    return code;
}

static int create(const convt_config *cfg, const explain_options *opt, convt_layer **layer)
{
    convt_error err;
    if (opt->isa.given) setenv("CONVT_ISA", opt->isa.text, 1);
    const convt_status status = convt_layer_create(layer, cfg, &err);
    if (status == CONVT_NO_ISA && opt->isa.given) return complain_isa(opt->isa.text);
    return status ? complain_config("--config", &err) : OPTIONS_PARSED;
}

static int explain_spec(const convt_spec *spec, const explain_options *opt)
{
    convt_config cfg = spec->layers[0];
    convt_layer *layer = NULL;
    cfg.threads = (int)opt->threads.integer;
    int code = opt->input.given ? input_read(opt->input.text, &cfg) : OPTIONS_PARSED;
    if (code == OPTIONS_PARSED && cfg.input.h < 1)
        code =
            complain(EXIT_USAGE, "--input", "is missing: %s says no input shape", opt->config.text);
    if (code == OPTIONS_PARSED) code = create(&cfg, opt, &layer);
    if (code == OPTIONS_PARSED) code = print(layer, opt->json.given);
    convt_layer_destroy(layer);
    return code;
}

int explain(const explain_options *opt)
{
    convt_spec spec = {0};
    int code = config_read(opt->config.text, &spec);
    if (code == OPTIONS_PARSED) code = explain_spec(&spec, opt);
    convt_spec_free(&spec);
    return code;
}
