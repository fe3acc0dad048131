/*
 * convt info --config: how a layer computes, in the library's words: one subject a line, or as JSON.
 */
#include "explain.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int read_input(const char *text, convt_config *cfg)
{
    long long n, h, w, c;
    int end = 0;
    if (sscanf(text, "%lld,%lld,%lld,%lld%n", &n, &h, &w, &c, &end) != 4 || text[end] || n < 1 ||
        h < 1 || w < 1 || c < 1)
        return complain(EXIT_USAGE, "--input", "\"%s\" is not N,H,W,C, four integers of at least 1",
                        text);
    cfg->max_batch = n;
    cfg->input = (convt_shape){h, w, c};
    return EXIT_OK;
}

/* "forward: ...\n" lines to one member each. */
static json_t *members_of(char *text)
{
    json_t *object = json_object();
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");
        if (!colon) continue;
        *colon = 0;
        json_object_set_new(object, line, json_string(colon + 2));
    }
    return object;
}

static int print(const convt_layer *layer, bool json)
{
    const size_t length = convt_layer_explain(layer, NULL, 0);
    char *text = malloc(length + 1);
    if (!text) return complain(EXIT_FAILED, "--config", "out of memory");
    convt_layer_explain(layer, text, length + 1);
    if (json) {
        json_t *object = members_of(text);
        char *dump = json_dumps(object, JSON_INDENT(2));
        if (dump) puts(dump);
        free(dump);
        json_decref(object);
    } else {
        fputs(text, stdout);
    }
    free(text);
    return EXIT_OK;
}

static int create(const convt_config *cfg, const explain_options *opt, convt_layer **layer)
{
    convt_error err;
    if (opt->isa.given) setenv("CONVT_ISA", opt->isa.text, 1);
    const convt_status status = convt_layer_create(layer, cfg, &err);
    if (status == CONVT_NO_ISA && opt->isa.given)
        return complain(EXIT_USAGE, "--isa", "this machine runs no instruction set \"%s\"",
                        opt->isa.text);
    return status ? complain_config("--config", &err) : EXIT_OK;
}

static int explain_spec(const convt_spec *spec, const explain_options *opt)
{
    if (spec->count != 1)
        return complain(EXIT_USAGE, "--config", "%s has %d layers where one is needed",
                        opt->config.text, spec->count);
    convt_config cfg = spec->layers[0];
    convt_layer *layer = NULL;
    cfg.threads = (int)opt->threads.integer;
    int code = opt->input.given ? read_input(opt->input.text, &cfg) : EXIT_OK;
    if (code == EXIT_OK && cfg.input.h < 1)
        code =
            complain(EXIT_USAGE, "--input", "is missing: %s says no input shape", opt->config.text);
    if (code == EXIT_OK) code = create(&cfg, opt, &layer);
    if (code == EXIT_OK) code = print(layer, opt->json.given);
    convt_layer_destroy(layer);
    return code;
}

int explain(const explain_options *opt)
{
    convt_error err;
    convt_spec spec = {0};
    if (convt_spec_read(opt->config.text, &spec, &err) != CONVT_OK) {
        complain_config("--config", &err);
        return EXIT_USAGE;
    }
    const int code = explain_spec(&spec, opt);
    convt_spec_free(&spec);
    return code;
}
