/*
 * Models as the commands see them; see model.h.
 */
#include "model.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The weights know how many channels come in, and config files often do not. */
static void infer_channels(convt_spec *spec)
{
    char name[128];
    if (spec->layers[0].input.c > 0 || !spec->layers[0].name) return;
    snprintf(name, sizeof name, "%s/kernel", spec->layers[0].name);
    const convt_array *kernel = convt_archive_find(&spec->weights, name);
    if (kernel && kernel->rank == 4) spec->layers[0].input.c = kernel->shape[3];
}

int model_read(const char *where, const char *path, convt_spec *spec)
{
    convt_error err = {0};
    convt_status status = convt_spec_read(path, spec, &err);
    if (status == CONVT_OK && spec->count > 0) {
        infer_channels(spec);
        return OPTIONS_PARSED;
    }
    if (status == CONVT_OK) {
        convt_spec_free(spec);
        return complain(EXIT_USAGE, where, "%s has no layers", path);
    }
    if (status != CONVT_FILE_FAILED && status != CONVT_BAD_FORMAT)
        return complain_config(where, &err);
    int code = complain_data(where, &err);
    return ends_with(path, ".json") ? EXIT_USAGE : code;
}

int config_read(const char *path, convt_spec *spec)
{
    convt_error err = {0};
    if (convt_spec_read(path, spec, &err) != CONVT_OK)
        return complain_config_file("--config", &err);
    if (spec->weights.count > 0)
        return complain(EXIT_USAGE, "--config", "%s is a model with weights, not a config", path);
    if (spec->count != 1)
        return complain(EXIT_USAGE, "--config", "%s has %d layers where one is needed", path,
                        spec->count);
    return OPTIONS_PARSED;
}

int input_read(const char *text, convt_config *cfg)
{
    long long n, h, w, c;
    int end = 0;
    if (sscanf(text, "%lld,%lld,%lld,%lld%n", &n, &h, &w, &c, &end) != 4 || text[end] || n < 1 ||
        h < 1 || w < 1 || c < 1)
        return complain(EXIT_USAGE, "--input", "\"%s\" is not N,H,W,C, four integers of at least 1",
                        text);
    cfg->max_batch = n;
    cfg->input = (convt_shape){h, w, c};
    return OPTIONS_PARSED;
}

const char *activation_name(const convt_config *layer)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
#define ACTIVATION(enumerator, number, name, ...) {number, #name},
#define AXIS_ACTIVATION(enumerator, number, name, ...) {number, #name},
#include <convt/activations.def>
    };
    for (size_t i = 0; i < LENGTH(names); i++) {
        if (names[i].number == (int)layer->activation.kind) return names[i].name;
    }
    return "custom";
}

int64_t layer_parameters(const convt_config *layer, int64_t channels)
{
    const int64_t sizes[] = {layer->kernel_size.h, layer->kernel_size.w, layer->filters, channels};
    int64_t count = 1;
    for (size_t i = 0; i < LENGTH(sizes); i++)
        if (__builtin_mul_overflow(count, sizes[i], &count)) return -1;
    return __builtin_add_overflow(count, layer->no_bias ? 0 : layer->filters, &count) ? -1 : count;
}

int64_t output_channels(const convt_config *layer)
{
    int inputs = 1;
    switch ((int)layer->activation.kind) {
#define AXIS_ACTIVATION(enumerator, number, name, needs_z, inputs_a_y, ...) \
    case CONVT_##enumerator:                                                \
        inputs = inputs_a_y;                                                \
        break;
#include <convt/activations.def>
    }
    return layer->data_format == CONVT_CHANNELS_LAST ? layer->filters / inputs : layer->filters;
}

size_t model_parameter_bytes(const convt_config layers[], int count)
{
    const size_t element = layers[0].dtype == CONVT_FLOAT64 ? 8 : 4;
    int64_t channels = layers[0].input.c;
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        const int64_t numbers = layer_parameters(&layers[i], channels);
        size_t more;
        if (numbers < 0 || __builtin_mul_overflow((size_t)numbers, element, &more) ||
            __builtin_add_overflow(bytes, more, &bytes))
            return SIZE_MAX;
        channels = output_channels(&layers[i]);
    }
    return bytes;
}
