/*
 * convt bench: every pass of layers under the clock, as shares of what this machine can do.
 *
 *   peak       GFLOP/s of FMAs in registers, measured beside every run
 *   roofline   min(peak, useful flops / bytes * bandwidth), bytes being those that a pass cannot do
 *              without, bandwidth that of memory beyond the caches
 */
#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "measure.h"
#include "model.h"
#include "options.h"
#include "probe.h"
#include "shapes.h"

typedef struct bench_options {
    option_value shapes, config, input, only, random, seed, list, pass, dtype, format, threads, isa,
        runs, json;
} bench_options;

static const option rows[] = {
    {"shapes", "FILE", OPTION_TEXT, offsetof(bench_options, shapes),
     "layers to measure, a line each: name n ih iw ic oc kh kw sh sw same dil (default: a list "
     "that "
     "comes along); -: from standard input, each as it arrives",
     0, 0},
    {"config", "CONFIG.json", OPTION_TEXT, offsetof(bench_options, config),
     "one layer: Keras' get_config() or serialized object; needs --input", 0, 0},
    {"input", "N,H,W,C", OPTION_TEXT, offsetof(bench_options, input),
     "the shape of its x, in this order whatever data_format is", 0, 0},
    {"random", "N", OPTION_INTEGER, offsetof(bench_options, random),
     "N random layers: kernels 1 to 9, strides 1 to 4, up to 2048 channels, 0.05 to 5 GFLOP", 1,
     1e6},
    {"seed", "S", OPTION_SEED, offsetof(bench_options, seed), "of the random layers (default 0)", 0,
     0},
    {"only", "NAME,...", OPTION_TEXT, offsetof(bench_options, only),
     "only the layers of these names", 0, 0},
    {"list", NULL, OPTION_FLAG, offsetof(bench_options, list),
     "print the lines of the layers, measure nothing", 0, 0},
    {"pass", "PASS,...", OPTION_TEXT, offsetof(bench_options, pass),
     "any of fwd, dx, dw (with db), step: forward, all gradients and one SGD step with momentum "
     "and "
     "a constraint (default: all four)",
     0, 0},
    {"dtype", "f32|f64", OPTION_TEXT, offsetof(bench_options, dtype),
     "numbers (default: f32, or what CONFIG.json says)", 0, 0},
    {"format", "nhwc|nchw", OPTION_TEXT, offsetof(bench_options, format),
     "channels last or first (default: nhwc, or what CONFIG.json says)", 0, 0},
    {"threads", "N", OPTION_INTEGER, offsetof(bench_options, threads),
     "threads to use (default: all)", 0, 4096},
    {"isa", "NAME", OPTION_TEXT, offsetof(bench_options, isa),
     "instruction set to use (default: the best one that this machine runs)", 0, 0},
    {"runs", "N", OPTION_INTEGER, offsetof(bench_options, runs),
     "runs that a median is taken of (default 9)", 1, MOST_RUNS},
    {"json", NULL, OPTION_FLAG, offsetof(bench_options, json), "one JSON object a row", 0, 0},
};

static const options table = {
    "bench",
    "Measures the passes of layers: median time, GFLOP/s (2*N*IH*IW*C*F*KH*KW flops a pass, three\n"
    "times that for a step), and the share of this machine's FMA peak, which is measured beside\n"
    "every run. Useful flops leave out taps that fall outside the output.",
    rows, LENGTH(rows)};

enum { DEFAULT_RUNS = 9 };

/* What the options come to. */
typedef struct bench {
    const bench_options *opt;
    bool passes[PASSES];
    convt_dtype dtype;
    convt_data_format format;
    int threads;
    int64_t runs;
    double best_peak;
    struct bandwidth memory;
    int64_t layers, dropped; /* measured so far */
} bench;

/* ---- options --------------------------------------------------------------------------------- */

/* Whether a comma-separated list has a word; words of no list at all are in it. */
static bool lists(const option_value *list, const char *word)
{
    if (!list->given) return true;
    const size_t length = strlen(word);
    for (const char *p = list->text; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
        if (strncmp(p, word, length) == 0 && (p[length] == ',' || !p[length])) return true;
    return false;
}

/* One of two words: `*second` where it is the second one. */
static int choose(const option_value *value, const char *name, const char *const words[2],
                  bool *second)
{
    *second = value->given && strcmp(value->text, words[1]) == 0;
    if (!value->given || *second || strcmp(value->text, words[0]) == 0) return OPTIONS_PARSED;
    return complain(EXIT_USAGE, name, "\"%s\" is neither %s nor %s", value->text, words[0],
                    words[1]);
}

static int read_passes(bench *b)
{
    const option_value *list = &b->opt->pass;
    size_t known = 0, words = 1;
    for (int p = 0; p < PASSES; p++) {
        b->passes[p] = lists(list, pass_name((enum pass)p));
        known += b->passes[p];
    }
    for (const char *p = list->given ? list->text : ""; *p; p++) words += *p == ',';
    if (!list->given || known == words) return OPTIONS_PARSED;
    return complain(EXIT_USAGE, "--pass", "\"%s\" is no list of fwd, dx, dw and step", list->text);
}

/* Layers come from one place. */
static int check_sources(const bench_options *opt)
{
    if (opt->config.given != opt->input.given)
        return complain(EXIT_USAGE, opt->config.given ? "--config" : "--input", "needs --%s",
                        opt->config.given ? "input" : "config");
    if (opt->shapes.given + opt->config.given + opt->random.given > 1)
        return complain(EXIT_USAGE, opt->shapes.given ? "--shapes" : "--random",
                        "does not go with --%s", opt->config.given ? "config" : "random");
    if (opt->seed.given && !opt->random.given)
        return complain(EXIT_USAGE, "--seed", "needs --random");
    if (opt->list.given && opt->config.given)
        return complain(EXIT_USAGE, "--list", "does not go with --config");
    return OPTIONS_PARSED;
}

static int understand(bench *b)
{
    static const char *const dtypes[] = {"f32", "f64"}, *const formats[] = {"nhwc", "nchw"};
    bool f64, nchw;
    int code = check_sources(b->opt);
    if (code == OPTIONS_PARSED) code = choose(&b->opt->dtype, "--dtype", dtypes, &f64);
    if (code == OPTIONS_PARSED) code = choose(&b->opt->format, "--format", formats, &nchw);
    if (code == OPTIONS_PARSED) code = read_passes(b);
    if (code != OPTIONS_PARSED) return code;
    b->dtype = f64 ? CONVT_FLOAT64 : CONVT_FLOAT32;
    b->format = nchw ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
    b->threads = b->opt->threads.integer > 0 ? (int)b->opt->threads.integer : omp_get_max_threads();
    b->runs = b->opt->runs.given ? b->opt->runs.integer : DEFAULT_RUNS;
    if (b->opt->isa.given) setenv("CONVT_ISA", b->opt->isa.text, 1);
    return OPTIONS_PARSED;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A pass of a layer, measured. */
typedef struct row {
    const char *name, *pass, *format, *dtype, *isa;
    int threads;
    figure figure;
    struct flops flops;
    double intensity, roofline; /* flops a byte, GFLOP/s */
} row;

static double gflops(const row *r, double flops)
{
    return flops / r->figure.seconds * 1e-9;
}

static int print_json(const bench *b, const row *r)
{
    const figure *f = &r->figure;
    const double useful = gflops(r, r->flops.useful);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, "
        "s:f, "
        "s:f, s:I, s:I}",
        "name", r->name, "pass", r->pass, "format", r->format, "dtype", r->dtype, "threads",
        r->threads, "isa", r->isa, "ms", f->seconds * 1e3, "gflops", gflops(r, r->flops.nominal),
        "peak_gflops", f->peak, "share", f->share, "best_share", f->best, "flops", r->flops.nominal,
        "useful_gflops", useful, "useful_share", f->share * r->flops.useful / r->flops.nominal,
        "intensity", r->intensity, "roofline_gflops", r->roofline, "roofline_share",
        useful / r->roofline, "read_gbs", b->memory.read, "copy_gbs", b->memory.copy, "runs",
        (json_int_t)f->runs, "dropped", (json_int_t)f->dropped);
    char *text = object ? json_dumps(object, JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text) return complain(EXIT_FAILED, r->name, "no JSON could be made of its row");
    puts(text);
    free(text);
    return OPTIONS_PARSED;
}

static void print_heading(const bench *b, const row *r)
{
    printf("%d %s, %s, %s, %s; FMA peak %.1f GFLOP/s; memory %.1f GB/s read, %.1f GB/s copied\n",
           r->threads, r->threads == 1 ? "thread" : "threads", r->isa, r->dtype, r->format,
           r->figure.peak, b->memory.read, b->memory.copy);
    printf("medians of %lld runs; shares of the peak beside each run: nominal flops (second best "
           "run), useful flops;\nroofline: GFLOP/s that peak and memory allow, and the share of it "
           "in useful flops\n\n",
           (long long)b->runs);
    printf("%-14s %-5s %10s %9s %7s %7s %7s %9s %6s\n", "layer", "pass", "ms", "GFLOP/s", "peak",
           "(best)", "useful", "roofline", "of it");
}

static void print_text(const bench *b, const row *r)
{
    const figure *f = &r->figure;
    if (b->layers == 0) print_heading(b, r);
    printf("%-14s %-5s %10.4f %9.1f %6.1f%% %6.1f%% %6.1f%% %9.1f %5.0f%%%s\n", r->name, r->pass,
           f->seconds * 1e3, gflops(r, r->flops.nominal), 100 * f->share, 100 * f->best,
           100 * f->share * r->flops.useful / r->flops.nominal, r->roofline,
           100 * gflops(r, r->flops.useful) / r->roofline, f->dropped ? " *" : "");
}

static int measure_pass(bench *b, subject *s, enum pass pass, row *r)
{
    const struct flops once = r->flops;
    const double n = pass_contractions(pass);
    const double bandwidth = b->memory.read > b->memory.copy ? b->memory.read : b->memory.copy;
    int code = OPTIONS_PARSED;
    r->pass = pass_name(pass);
    r->flops = (struct flops){n * once.nominal, n * once.useful};
    r->figure = measure(s, pass, r->flops.nominal, b->runs, &b->best_peak);
    if (r->figure.runs == 0) return complain_config(r->name, convt_layer_error(s->layer));
    r->intensity = r->flops.useful / pass_bytes(pass, s);
    r->roofline = r->intensity * bandwidth;
    if (r->roofline > r->figure.peak || bandwidth <= 0) r->roofline = r->figure.peak;
    if (b->opt->json.given)
        code = print_json(b, r);
    else
        print_text(b, r);
    fflush(stdout);
    b->layers++;
    b->dropped += r->figure.dropped;
    r->flops = once;
    return code;
}

static int bench_layer(bench *b, const char *name, convt_config cfg)
{
    subject s;
    cfg.threads = b->threads;
    int code = subject_open(&s, &cfg, name, b->opt->isa.text);
    if (code == OPTIONS_PARSED) {
        const convt_config *c = convt_layer_config(s.layer);
        row r = {.name = name,
                 .format = c->data_format == CONVT_CHANNELS_FIRST ? "nchw" : "nhwc",
                 .dtype = c->dtype == CONVT_FLOAT64 ? "f64" : "f32",
                 .isa = convt_layer_isa(s.layer),
                 .threads = b->threads,
                 .flops = shape_flops(c)};
        if (b->memory.read <= 0) b->memory = probe_bandwidth(b->threads);
        for (int p = 0; p < PASSES && code == OPTIONS_PARSED; p++)
            if (b->passes[p]) code = measure_pass(b, &s, (enum pass)p, &r);
    }
    subject_close(&s);
    return code;
}

/* ---- sources of layers ----------------------------------------------------------------------- */

static int bench_shape(bench *b, shape *s)
{
    if (!lists(&b->opt->only, s->name)) return OPTIONS_PARSED;
    if (b->opt->list.given) {
        shape_write(stdout, s);
        b->layers++;
        return OPTIONS_PARSED;
    }
    s->cfg.dtype = b->dtype;
    s->cfg.data_format = b->format;
    return bench_layer(b, s->name, s->cfg);
}

static int bench_file(bench *b, FILE *file, const char *path)
{
    char line[512];
    shape s;
    int code = OPTIONS_PARSED;
    for (long long number = 1; code == OPTIONS_PARSED && fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = 0;
        if (!line[strspn(line, " \t")] || line[0] == '#') continue;
        if (!shape_read(line, &s))
            return complain(EXIT_FAILED, "--shapes",
                            "%s:%lld: \"%s\" is not name n ih iw ic oc kh kw sh sw same dil", path,
                            number, line);
        code = bench_shape(b, &s);
    }
    if (code == OPTIONS_PARSED && ferror(file))
        return complain(EXIT_FAILED, "--shapes", "%s cannot be read", path);
    return code;
}

static int bench_shapes(bench *b)
{
    const char *path = b->opt->shapes.text;
    if (strcmp(path, "-") == 0) return bench_file(b, stdin, path);
    FILE *file = fopen(path, "r");
    if (!file) return complain(EXIT_FAILED, "--shapes", "%s cannot be opened", path);
    const int code = bench_file(b, file, path);
    fclose(file);
    return code;
}

static int bench_list(bench *b)
{
    int code = OPTIONS_PARSED;
    shape s;
    for (int i = 0; code == OPTIONS_PARSED && shape_of_list(i); i++)
        if (shape_read(shape_of_list(i), &s)) code = bench_shape(b, &s);
    return code;
}

static int bench_random(bench *b)
{
    int code = OPTIONS_PARSED;
    shape s;
    for (int i = 0; code == OPTIONS_PARSED && i < b->opt->random.integer; i++) {
        shape_draw(b->opt->seed.seed, i, &s);
        code = bench_shape(b, &s);
    }
    return code;
}

static int bench_config(bench *b)
{
    convt_spec spec = {0};
    int code = config_read(b->opt->config.text, &spec);
    if (code == OPTIONS_PARSED) {
        convt_config cfg = spec.layers[0];
        if (b->opt->dtype.given) cfg.dtype = b->dtype;
        if (b->opt->format.given) cfg.data_format = b->format;
        code = input_read(b->opt->input.text, &cfg);
        if (code == OPTIONS_PARSED) code = bench_layer(b, cfg.name ? cfg.name : "layer", cfg);
    }
    convt_spec_free(&spec);
    return code;
}

int command_bench(int argc, char **argv)
{
    bench_options opt = {0};
    bench b = {.opt = &opt};
    int code = options_parse(&table, &opt, argc, argv);
    if (code == OPTIONS_PARSED) code = understand(&b);
    if (code != OPTIONS_PARSED) return code;
    code = opt.config.given   ? bench_config(&b)
           : opt.shapes.given ? bench_shapes(&b)
           : opt.random.given ? bench_random(&b)
                              : bench_list(&b);
    if (code != OPTIONS_PARSED) return code;
    if (b.layers == 0) return complain(EXIT_FAILED, "bench", "there is no layer to measure");
    if (b.dropped > 0 && !opt.json.given)
        printf("\n* %lld runs were dropped: the peak beside them was below 75 %% of the best one, "
               "%.1f GFLOP/s\n",
               (long long)b.dropped, b.best_peak);
    return EXIT_OK;
}
