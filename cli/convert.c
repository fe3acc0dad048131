/*
 * convt convert: a model or weights from one format to another, by suffix.
 */
#include "cli.h"
#include "model.h"
#include "options.h"

typedef struct convert_options {
    option_value in, out, model;
} convert_options;

static const option rows[] = {
    {"IN", "IN", OPTION_POSITIONAL, offsetof(convert_options, in),
     "a model, its format told by content, or the directory of a run", 0, 0},
    {"OUT", "OUT", OPTION_POSITIONAL, offsetof(convert_options, out),
     "where it goes, its format told by suffix", 0, 0},
    {"model", "MODEL", OPTION_TEXT, offsetof(convert_options, model),
     "the layers, where IN holds weights alone (.weights.h5, or arrays without config.json)", 0, 0},
};

static const options table = {
    "convert",
    "Converts a model between formats. Layers and weights stay what they are: what a format has no "
    "words for is refused.\n"
    "Formats:\n"
#define FORMAT(enumerator, number, suffix, what, ...) "  " suffix ": " what "\n"
#include <convt/formats.def>
    ,
    rows, LENGTH(rows)};

/* A suffix that is no format, or one that this build does without. */
static int check_suffix(const char *path)
{
    const convt_format format = convt_format_of(path);
    if (format == CONVT_NO_FORMAT)
        return complain(EXIT_USAGE, "OUT", "%s: its suffix is none of%s", path,
#define FORMAT(enumerator, number, suffix, ...) " " suffix
#include <convt/formats.def>
        );
    if (!convt_format_is_built(format))
        return complain(EXIT_USAGE, "OUT", "%s: this build was made without that format", path);
    return OPTIONS_PARSED;
}

int command_convert(int argc, char **argv)
{
    convert_options opt = {0};
    convt_spec spec = {0};
    convt_error err = {0};
    int code = options_parse(&table, &opt, argc, argv);
    if (code == OPTIONS_PARSED) code = check_suffix(opt.out.text);
    if (code == OPTIONS_PARSED) code = weights_read("IN", opt.in.text, opt.model.text, &spec);
    if (code == OPTIONS_PARSED)
        code = convt_spec_save(opt.out.text, &spec, &err) ? complain_config("OUT", &err) : EXIT_OK;
    convt_spec_free(&spec);
    return code;
}
