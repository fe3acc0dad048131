/*
 * Models as the commands see them; see model.h.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "run.h"

/* The weights know how many channels come in, and config files often do not. */
static void infer_channels(convt_spec *spec)
{
    char name[128];
    if (spec->layers[0].input.c > 0 || !spec->layers[0].name) return;
    snprintf(name, sizeof name, "%s/kernel", spec->layers[0].name);
    const convt_array *kernel = convt_archive_find(&spec->weights, name);
    static const struct {
        int rank, axis;
    } channels[] = {[CONVT_KERNEL_TRANSPOSED] = {4, 3},
                    [CONVT_KERNEL_CONV] = {4, 2},
                    [CONVT_KERNEL_DENSE] = {2, 0}};
    const convt_kernel_order order = spec->layers[0].kernel_order;
    if (kernel && kernel->rank == channels[order].rank)
        spec->layers[0].input.c = kernel->shape[channels[order].axis];
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
    return convt_format_of(path) == CONVT_FORMAT_JSON ? EXIT_USAGE : code;
}

static int read_weights(const char *where, const char *path, const char *model, convt_spec *spec)
{
    convt_error err = {0};
    int code = model_read("--model", model, spec);
    if (code != OPTIONS_PARSED) return code;
    return convt_spec_read_weights(path, spec, &err) ? complain_config(where, &err)
                                                     : OPTIONS_PARSED;
}

int weights_read(const char *where, const char *path, const char *model, convt_spec *spec)
{
    char *file = run_exists(path) ? run_path(path, RUN_MODEL) : text_of("%s", path);
    int code = !file   ? complain(EXIT_FAILED, where, "out of memory")
               : model ? read_weights(where, file, model, spec)
                       : model_read(where, file, spec);
    free(file);
    return code;
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

bool sizes_read(const char *text, int count, int64_t sizes[])
{
    for (int i = 0; i < count; i++) {
        const char *end = integer_read(text, &sizes[i]);
        if (!end || *end != (i < count - 1 ? ',' : '\0') || sizes[i] < 1) return false;
        text = end + 1;
    }
    return true;
}

int input_read(const char *text, convt_config *cfg)
{
    int64_t sizes[4];
    if (!sizes_read(text, 4, sizes))
        return complain(EXIT_USAGE, "--input", "\"%s\" is not N,H,W,C, four integers of at least 1",
                        text);
    cfg->max_batch = sizes[0];
    cfg->input = (convt_shape){sizes[1], sizes[2], sizes[3]};
    return OPTIONS_PARSED;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

int sample_shape(const char *where, const convt_array *array, int rank, bool channels_first,
                 convt_shape *shape)
{
    const int64_t *size = array->shape;
    if (array->rank != rank)
        return complain(EXIT_USAGE, where, "rank %d, the model takes rank %d", array->rank, rank);
    if (rank == 2)
        *shape = (convt_shape){1, 1, size[1]};
    else if (channels_first)
        *shape = (convt_shape){size[2], size[3], size[1]};
    else
        *shape = (convt_shape){size[1], size[2], size[3]};
    return OPTIONS_PARSED;
}

int fit_model_input(const char *where, convt_shape there, convt_shape *input)
{
    if (input->c > 0 && input->c != there.c)
        return complain(EXIT_USAGE, where, "%lld channels, the model takes %lld",
                        (long long)there.c, (long long)input->c);
    if (input->h > 0 && (input->h != there.h || input->w != there.w))
        return complain(EXIT_USAGE, where, "%lldx%lld, the model takes %lldx%lld",
                        (long long)there.h, (long long)there.w, (long long)input->h,
                        (long long)input->w);
    *input = there;
    return OPTIONS_PARSED;
}

static bool first_of(const convt_spec *spec)
{
    return spec->layers[0].data_format == CONVT_CHANNELS_FIRST;
}

convt_array output_array(const convt_spec *spec, convt_shape last, convt_dtype dtype, int64_t n)
{
    convt_array array = {.element = dtype == CONVT_FLOAT64 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32,
                         .rank = spec->y_rank,
                         .shape = {n}};
    const bool first = first_of(spec);
    const int64_t flat[] = {last.h * last.w * last.c},
                  sizes[] = {first ? last.c : last.h, first ? last.h : last.w,
                             first ? last.w : last.c};
    const int64_t *size = spec->y_size[0] > 0 ? spec->y_size : spec->y_rank == 2 ? flat : sizes;
    memcpy(array.shape + 1, size, (size_t)(spec->y_rank - 1) * sizeof *size);
    return array;
}

convt_shape output_shape(const convt_spec *spec, convt_shape last)
{
    const int64_t *s = spec->y_size;
    if (spec->y_rank != 4 || s[0] == 0) return last;
    return first_of(spec) ? (convt_shape){s[1], s[2], s[0]} : (convt_shape){s[0], s[1], s[2]};
}

/* ---- layers ---------------------------------------------------------------------------------- */

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
    if (layer->fixed) return 0;
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
        if (layers[i].input.c > 0) channels = layers[i].input.c; /* a Reshape */
        const int64_t numbers = layer_parameters(&layers[i], channels);
        size_t more;
        if (numbers < 0 || __builtin_mul_overflow((size_t)numbers, element, &more) ||
            __builtin_add_overflow(bytes, more, &bytes))
            return SIZE_MAX;
        channels = output_channels(&layers[i]);
    }
    return bytes;
}
