/*
 * convt gradcheck --all: kernel x stride x dilation x padding x output_padding x data format x
 * activation, all with all, on every instruction set. What else a layer has goes around along them:
 * the kernel and the stride of the other axis, channels and filters that fill vectors or leave a
 * rest, samples, and for kernel, bias and activity each of the regularizers.
 */
#include "gradcheck.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "model.h"

/* ---- the families ---------------------------------------------------------------------------- */

struct arguments {
#define ACTIVATION_ARGUMENT(name, range) convt_optional name;
#include <convt/activations.def>
};

#define NO_ARGUMENTS          \
    {                         \
        .alpha = { false, 0 } \
    }
static const struct family {
    convt_activation_kind kind;
    struct arguments arguments; /* NaN: there is no default */
} activations[] = {
#define ACTIVATION(enumerator, number, name, needs_z, y, dy, ...) {CONVT_##enumerator, __VA_ARGS__},
#define AXIS_ACTIVATION(enumerator, number, name, needs_z, inputs, ...) \
    {CONVT_##enumerator, __VA_ARGS__},
#include <convt/activations.def>
};

static const convt_regularizer regularizers[] = {
    {CONVT_NO_REGULARIZER},
#define REGULARIZER(enumerator, number, ...) {.kind = CONVT_##enumerator},
#include <convt/regularizers.def>
#undef REGULARIZER
};

enum { KERNELS = 5, STRIDES = 4, DILATIONS = 3, PADDINGS = 2, OUTPUT_PADDINGS = 3, FORMATS = 2 };
enum { GEOMETRIES = KERNELS * STRIDES * DILATIONS * PADDINGS * OUTPUT_PADDINGS * FORMATS };

/* ---- one config ------------------------------------------------------------------------------ */

static convt_activation activation_of(const struct family *f)
{
    convt_activation a = {.kind = f->kind};
#define ACTIVATION_ARGUMENT(name, range) \
    if (f->arguments.name.set && isnan(f->arguments.name.value)) a.name = CONVT_SET(0.25);
#include <convt/activations.def>
    return a;
}

/* Takes a digit off a number in a mixed base. */
static int64_t digit(int64_t *number, int64_t base)
{
    const int64_t d = *number % base;
    *number /= base;
    return d;
}

static convt_config geometry_of(int64_t i)
{
    static const int64_t channels[] = {2, 5, 1, 9}, filters[] = {4, 2, 10, 6};
    convt_config c = {.input = {4, 3, channels[i % 4]}, .filters = filters[i / 4 % 4]};
    c.max_batch = 1 + i % 2;
    const int64_t around = i;
    c.kernel_size.h = 1 + digit(&i, KERNELS);
    c.strides.h = 1 + digit(&i, STRIDES);
    c.dilation_rate.h = 1 + digit(&i, DILATIONS);
    c.padding = digit(&i, PADDINGS) ? CONVT_SAME : CONVT_VALID;
    const int64_t output_padding = digit(&i, OUTPUT_PADDINGS); /* None, 0, the largest */
    c.data_format = digit(&i, FORMATS) ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
    c.kernel_size.w = 1 + (c.kernel_size.h + around / 7) % KERNELS;
    c.strides.w = 1 + (c.strides.h + around / 11) % STRIDES;
    c.dilation_rate.w = 1 + (c.dilation_rate.h + around / 13) % DILATIONS;
    c.strides_with_dilation = true;
    if (output_padding > 0)
        c.output_padding = output_padding == 1 ? CONVT_SET_HW(0, 0)
                                               : CONVT_SET_HW(c.strides.h - 1, c.strides.w - 1);
    return c;
}

/* The i-th geometry with the k-th activation. */
static convt_config config_of(int64_t i, int64_t k)
{
    convt_config c = geometry_of(i);
    int64_t around = i * (int64_t)LENGTH(activations) + k;
    c.threads = 1;
    c.activation = activation_of(&activations[k]);
    c.kernel_regularizer = regularizers[digit(&around, LENGTH(regularizers))];
    c.bias_regularizer = regularizers[digit(&around, LENGTH(regularizers))];
    c.activity_regularizer = regularizers[digit(&around, LENGTH(regularizers))];
    c.no_bias = around % 5 == 4;
    if (c.no_bias) c.bias_regularizer = regularizers[0];
    return c;
}

/* ---- what it comes to ------------------------------------------------------------------------ */

/* A row of the table. */
struct tally {
    int64_t layers, elements, skipped, failed;
    double worst, single; /* relative errors, in float64 and in float32 */
};

/* The checks of one config, in float64 and in float32. */
struct result {
    bool is_layer;
    convt_status status;
    convt_error err;
    convt_gradcheck_report reports[2];
};

struct grid {
    convt_gradcheck_options options;
    int threads;
    int64_t refused; /* no layers: nothing is left of the output, or glu finds an odd axis */
    struct tally of_activation[LENGTH(activations)], of_geometry[KERNELS][STRIDES], total;
    struct result results[LENGTH(activations)]; /* of one geometry */
    FILE *failures;                             /* their lines, until the table is printed */
};

static void count(struct tally *t, const convt_gradcheck_report *r, bool single)
{
    t->layers += !single;
    t->failed += r->verdict != CONVT_GRADCHECK_PASSED;
    for (int i = 0; i < r->count; i++) {
        const double error = r->rows[i].relative_error;
        t->elements += single ? 0 : r->rows[i].checked;
        t->skipped += single ? 0 : r->rows[i].skipped;
        if (!single) t->worst = error > t->worst ? error : t->worst;
        if (single) t->single = error > t->single ? error : t->single;
    }
}

static void note_failure(const struct grid *g, const convt_config *c, const char *isa,
                         const convt_gradcheck_report *r)
{
    char text[4096];
    convt_gradcheck_text(r, text, sizeof text);
    fprintf(g->failures,
            "%s, %s: kernel %lld,%lld strides %lld,%lld dilation %lld,%lld %s %s output_padding "
            "%lld,%lld channels %lld filters %lld %s\n%s\n",
            isa, r->options.float32 ? "float32" : "float64", (long long)c->kernel_size.h,
            (long long)c->kernel_size.w, (long long)c->strides.h, (long long)c->strides.w,
            (long long)c->dilation_rate.h, (long long)c->dilation_rate.w,
            c->padding == CONVT_SAME ? "same" : "valid",
            c->data_format == CONVT_CHANNELS_FIRST ? "channels_first" : "channels_last",
            c->output_padding.set ? (long long)c->output_padding.h : -1,
            c->output_padding.set ? (long long)c->output_padding.w : -1, (long long)c->input.c,
            (long long)c->filters, activation_name(c), text);
}

static void check(const struct grid *g, int64_t i, const convt_config *c, struct result *r)
{
    convt_shape y;
    r->is_layer = convt_output_shape(c, &y, NULL) == CONVT_OK;
    r->status = CONVT_OK;
    for (int single = 0; single < 2 && r->is_layer && !r->status; single++) {
        convt_gradcheck_options o = g->options;
        o.seed += (uint64_t)i;
        o.float32 = single;
        if (single) o.rtol.set = false;
        r->status = convt_layer_gradcheck(c, &o, &r->reports[single], &r->err);
    }
}

static int tally_up(struct grid *g, int64_t i, int64_t k, const char *isa)
{
    const convt_config c = config_of(i, k);
    const struct result *r = &g->results[k];
    if (r->status) return complain_config("--all", &r->err);
    g->refused += !r->is_layer;
    for (int single = 0; single < 2 && r->is_layer; single++) {
        count(&g->of_activation[k], &r->reports[single], single);
        count(&g->of_geometry[c.kernel_size.h - 1][c.strides.h - 1], &r->reports[single], single);
        count(&g->total, &r->reports[single], single);
        if (r->reports[single].verdict != CONVT_GRADCHECK_PASSED)
            note_failure(g, &c, isa, &r->reports[single]);
    }
    return EXIT_OK;
}

/* Layers this small have work for one thread each; the activations of a geometry run side by side. */
static int check_geometry(struct grid *g, int64_t i, const char *isa)
{
    const int64_t kinds = (int64_t)LENGTH(activations);
    int code = EXIT_OK;
#pragma omp parallel for schedule(dynamic) num_threads(g->threads)
    for (int64_t k = 0; k < kinds; k++) {
        const convt_config c = config_of(i, k);
        check(g, i, &c, &g->results[k]);
    }
    for (int64_t k = 0; k < kinds && code == EXIT_OK; k++) code = tally_up(g, i, k, isa);
    return code;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_heading(const char *first)
{
    printf(
        "| %s | layers | elements checked | on kinks | failed | worst, float64 | worst, float32 |\n"
        "|---|--:|--:|--:|--:|--:|--:|\n",
        first);
}

static void print_tally(const char *name, const struct tally *t)
{
    printf("| %s | %lld | %lld | %lld | %lld | %.1e | %.1e |\n", name, (long long)t->layers,
           (long long)t->elements, (long long)t->skipped, (long long)t->failed, t->worst,
           t->single);
}

static void print_tables(const struct grid *g, const char *ran)
{
    char name[64];
    printf("# Gradients of every argument\n\n"
           "`convt gradcheck --all`: %d geometries (kernel 1-5, stride 1-4, dilation 1-3, both "
           "paddings, output_padding None,\n"
           "0 and stride - 1, both data formats) with each of %d activations; regularizers of "
           "kernel, bias and activity, the\n"
           "other axis, channels, filters and samples go around with them. Instruction sets: %s.\n"
           "Every element of x, kernel and bias against central differences in float64, rtol %g; "
           "and gradients in float32\n"
           "against those in float64, rtol 1e-3. %lld of the combinations are no layers: nothing "
           "is left of the output, or\n"
           "glu finds an odd axis.\n\n",
           GEOMETRIES, (int)LENGTH(activations), ran,
           g->options.rtol.set ? g->options.rtol.value : 1e-6, (long long)g->refused);
    print_heading("activation");
    for (size_t k = 0; k < LENGTH(activations); k++)
        print_tally(activation_name(&(convt_config){.activation.kind = activations[k].kind}),
                    &g->of_activation[k]);
    print_tally("**all**", &g->total);
    putchar('\n');
    print_heading("kernel, stride (height)");
    for (int k = 0; k < KERNELS; k++)
        for (int s = 0; s < STRIDES; s++) {
            snprintf(name, sizeof name, "%d, %d", k + 1, s + 1);
            print_tally(name, &g->of_geometry[k][s]);
        }
}

static void print_failures(FILE *failures)
{
    char line[4096];
    rewind(failures);
    while (fgets(line, sizeof line, failures)) fputs(line, stdout);
}

static int check_all(struct grid *g, const char *isa)
{
    setenv("CONVT_ISA", isa, 1);
    int code = EXIT_OK;
    for (int64_t i = 0; i < GEOMETRIES && code == EXIT_OK; i++) code = check_geometry(g, i, isa);
    return code;
}

int gradcheck_grid(const convt_gradcheck_options *options, int threads)
{
    const struct {
        const char *name;
        int supported;
    } isas[] = {
#define ISA_ROW(name, bytes, registers, supported) {#name, supported},
#include "isa_rows.def"
#undef ISA_ROW
    };
    char ran[256] = "";
    int code = EXIT_OK;
    struct grid *g = calloc(1, sizeof *g);
    FILE *failures = tmpfile();
    if (!g || !failures) {
        code = complain(EXIT_FAILED, "--all", "no memory or no temporary file");
    } else {
        g->options = *options;
        g->threads = threads > 0 ? threads : omp_get_max_threads();
        g->failures = failures;
        for (size_t i = 0; i < LENGTH(isas) && code == EXIT_OK; i++) {
            if (!isas[i].supported) continue;
            const size_t length = strlen(ran);
            snprintf(ran + length, sizeof ran - length, "%s%s", length ? ", " : "", isas[i].name);
            code = check_all(g, isas[i].name);
        }
        if (code == EXIT_OK) print_tables(g, ran);
        if (code == EXIT_OK) print_failures(failures);
        if (code == EXIT_OK && g->total.failed > 0) code = EXIT_FAILED;
    }
    if (failures) fclose(failures);
    free(g);
    return code;
}
