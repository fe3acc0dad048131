/*
 * Keras layers as nodes, a row a class. Layers that ONNX computes on (n, c, h, w) turn the value
 * first where Keras has it otherwise; the turned value stays until a layer needs Keras' order.
 */
#include <string.h>

#include "json.h"
#include "names.h"
#include "write.h"

enum { MOST_SIZE = 1 << 30 };

/* ---- keys of a config ------------------------------------------------------------------------ */

static convti_place place_of(const convti_onnx_writer *w)
{
    return (convti_place){.err = w->err};
}

static convt_status refuse_key(const convti_onnx_writer *w, const char *key)
{
    const convti_shown shown = convti_json_show(json_object_get(w->item->config, key));
    return convti_onnx_refuse_layer(w, "cannot be written with %s %.60s", key, shown.text);
}

static bool read_size(const json_t *value, int64_t least, int64_t *size)
{
    return convti_json_integer(value, size) && *size >= least && *size <= MOST_SIZE;
}

/* One size or two, of at least `least`; the default where there is none. */
static convt_status get_pair(const convti_onnx_writer *w, const char *key, int64_t least,
                             int64_t pair[2])
{
    const json_t *value = json_object_get(w->item->config, key);
    if (!value || json_is_null(value)) return CONVT_OK;
    if (json_is_array(value) && json_array_size(value) == 2 &&
        read_size(json_array_get(value, 0), least, &pair[0]) &&
        read_size(json_array_get(value, 1), least, &pair[1]))
        return CONVT_OK;
    if (!read_size(value, least, &pair[0])) return refuse_key(w, key);
    pair[1] = pair[0];
    return CONVT_OK;
}

/* "padding" of ZeroPadding2D, "cropping": n, [h, w] or [[top, bottom], [left, right]]. */
static convt_status get_sides(const convti_onnx_writer *w, const char *key, int64_t sides[4])
{
    const json_t *value = json_object_get(w->item->config, key), *rows = json_array_get(value, 0);
    if (!json_is_array(rows)) {
        int64_t pair[2] = {1, 1};
        convt_status status = get_pair(w, key, 0, pair);
        for (int i = 0; i < 4; i++) sides[i] = pair[i / 2];
        return status;
    }
    for (size_t i = 0; i < 4; i++) {
        if (!read_size(json_array_get(json_array_get(value, i / 2), i % 2), 0, &sides[i]))
            return refuse_key(w, key);
    }
    return CONVT_OK;
}

/* True where the key is absent, null or the text, in any case of letters for Keras' own words. */
static bool has_word(const convti_onnx_writer *w, const char *key, const char *word)
{
    const json_t *value = json_object_get(w->item->config, key);
    return !value || json_is_null(value) ||
           (json_is_string(value) && strcmp(json_string_value(value), word) == 0);
}

static bool has_bias(const convti_onnx_writer *w)
{
    const json_t *value = json_object_get(w->item->config, "use_bias");
    return !value || convti_json_truth(value);
}

/* The "activation" of a layer that is more than one. */
static convt_status write_own_activation(convti_onnx_writer *w)
{
    const convti_place place = place_of(w);
    const json_t *value = json_object_get(w->item->config, "activation");
    convt_activation activation = {.kind = CONVT_LINEAR};
    convt_status status =
        value ? convti_json_read_activation(&place, "activation", value, &activation) : CONVT_OK;
    if (status) return status;
    return convti_onnx_write_activation(
        w, &activation, convti_snake_name(CONVTI_ACTIVATIONS, (int)activation.kind));
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static bool is_turned_by(const convti_onnx_writer *w)
{
    return !w->items.channels_first;
}

/* Keras' (h, w, out, in) of one and (h, w, in, out) of the other: ONNX' W is both backwards. */
static const int kernel_axes[] = {3, 2, 0, 1};

/* Begins the node of a convolution over x, kernel and bias. */
static void begin_convolution(convti_onnx_writer *w, const char *op)
{
    const convti_onnx_name kernel = convti_onnx_name_of(w, "kernel"),
                           bias = convti_onnx_name_of(w, "bias");
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), op,
                           (const char *[]){w->value.text, kernel.text, bias.text},
                           has_bias(w) ? 3 : 2);
}

static convt_status put_weights(convti_onnx_writer *w, const int64_t kernel[4], int64_t filters)
{
    convt_status status = convti_onnx_put_weight(w, "kernel", 4, kernel, kernel_axes);
    if (status || !has_bias(w)) return status;
    return convti_onnx_put_weight(w, "bias", 1, &filters, NULL);
}

/* pads [top, left, bottom, right] and output_padding of a transposed convolution. */
static void find_pads(const convt_config *cfg, int64_t pads[4], int64_t output_padding[2])
{
    const convt_optional_sides *sides = &cfg->explicit_padding;
    const int64_t given[4] = {sides->top, sides->left, sides->bottom, sides->right},
                  op[2] = {cfg->output_padding.h, cfg->output_padding.w};
    const convti_deconv axes[2] = {
        {cfg->kernel_size.h, cfg->strides.h, cfg->dilation_rate.h},
        {cfg->kernel_size.w, cfg->strides.w, cfg->dilation_rate.w},
    };
    for (int i = 0; i < 2; i++) {
        const convti_cut cut = convti_keras_cut(axes[i], cfg->padding == CONVT_SAME,
                                                cfg->output_padding.set ? op[i] : -1);
        pads[i] = sides->set ? given[i] : cut.begin;
        pads[2 + i] = sides->set ? given[2 + i] : cut.end > 0 ? cut.end : 0;
        output_padding[i] = sides->set ? op[i] : cut.end < 0 ? -cut.end : 0;
    }
}

static convt_status write_conv_transpose(convti_onnx_writer *w)
{
    const convti_place place = place_of(w);
    convt_config cfg = {0};
    int64_t pads[4], output_padding[2];
    convt_status status = convti_json_read_layer(&place, w->item->config, &cfg);
    if (status) return status;
    if (cfg.strides.h == 0) cfg.strides = (convt_hw){1, 1};
    if (cfg.dilation_rate.h == 0) cfg.dilation_rate = (convt_hw){1, 1};
    find_pads(&cfg, pads, output_padding);
    status = put_weights(w, (int64_t[]){cfg.kernel_size.h, cfg.kernel_size.w, cfg.filters, 0},
                         cfg.filters);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    begin_convolution(w, "ConvTranspose");
    convti_onnx_add_integers(w, "kernel_shape", (int64_t[]){cfg.kernel_size.h, cfg.kernel_size.w},
                             2);
    convti_onnx_add_integers(w, "strides", (int64_t[]){cfg.strides.h, cfg.strides.w}, 2);
    convti_onnx_add_integers(w, "dilations", (int64_t[]){cfg.dilation_rate.h, cfg.dilation_rate.w},
                             2);
    convti_onnx_add_integers(w, "pads", pads, 4);
    convti_onnx_add_integers(w, "output_padding", output_padding, 2);
    convti_onnx_end_node(w);
    return convti_onnx_write_activation(
        w, &cfg.activation, convti_snake_name(CONVTI_ACTIVATIONS, (int)cfg.activation.kind));
}

static convt_status write_conv(convti_onnx_writer *w)
{
    const bool same = !has_word(w, "padding", "valid");
    int64_t kernel[2] = {0, 0}, strides[2] = {1, 1}, dilations[2] = {1, 1}, groups[2] = {1, 1},
            pads[4] = {0};
    convt_status status = get_pair(w, "kernel_size", 1, kernel);
    if (!status) status = get_pair(w, "strides", 1, strides);
    if (!status) status = get_pair(w, "dilation_rate", 1, dilations);
    if (!status) status = get_pair(w, "groups", 1, groups);
    if (status) return status;
    if (strides[0] != 1 || strides[1] != 1) return refuse_key(w, "strides");
    if (groups[0] != 1) return refuse_key(w, "groups");
    if (same && !has_word(w, "padding", "same")) return refuse_key(w, "padding");
    for (int i = 0; i < 2 && same; i++) {
        pads[i] = (kernel[i] - 1) * dilations[i] / 2;
        pads[2 + i] = (kernel[i] - 1) * dilations[i] - pads[i];
    }
    status = put_weights(w, (int64_t[]){kernel[0], kernel[1], 0, 0}, 0);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    begin_convolution(w, "Conv");
    convti_onnx_add_integers(w, "kernel_shape", kernel, 2);
    convti_onnx_add_integers(w, "strides", strides, 2);
    convti_onnx_add_integers(w, "dilations", dilations, 2);
    convti_onnx_add_integers(w, "pads", pads, 4);
    convti_onnx_end_node(w);
    return write_own_activation(w);
}

/* ---- dense ----------------------------------------------------------------------------------- */

static convt_status write_dense(convti_onnx_writer *w)
{
    const convti_onnx_name name = convti_onnx_name_of(w, NULL),
                           kernel = convti_onnx_name_of(w, "kernel"),
                           bias = convti_onnx_name_of(w, "bias");
    const bool flat = w->item->input.rank == 1, biased = has_bias(w);
    int64_t units[2] = {0, 0};
    convt_status status = get_pair(w, "units", 1, units);
    if (!status) status = convti_onnx_put_weight(w, "kernel", 2, (int64_t[]){0, units[0]}, NULL);
    if (!status && biased) status = convti_onnx_put_weight(w, "bias", 1, units, NULL);
    if (status) return status;
    convti_onnx_turn(w, false);
    convti_onnx_begin_node(w, name, flat ? "Gemm" : "MatMul",
                           (const char *[]){w->value.text, kernel.text, bias.text},
                           flat && biased ? 3 : 2);
    convti_onnx_end_node(w);
    if (!flat && biased) {
        convti_onnx_begin_node(w, convti_onnx_name_of(w, "bias_add"), "Add",
                               (const char *[]){w->value.text, bias.text}, 2);
        convti_onnx_end_node(w);
    }
    return write_own_activation(w);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* 0 stands for the batch. */
static void reshape(convti_onnx_writer *w, const int64_t shape[], int rank)
{
    const convti_onnx_name constant = convti_onnx_name_of(w, "shape");
    convti_onnx_put_integers(w, constant.text, shape, rank);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Reshape",
                           (const char *[]){w->value.text, constant.text}, 2);
    convti_onnx_end_node(w);
}

static convt_status write_reshape(convti_onnx_writer *w)
{
    const json_t *target = json_object_get(w->item->config, "target_shape");
    const size_t rank = json_array_size(target);
    int64_t shape[4] = {0};
    bool ok = rank == 1 || rank == 3;
    for (size_t i = 0; i < rank && ok; i++)
        ok = read_size(json_array_get(target, i), -1, &shape[1 + i]) && shape[1 + i] != 0;
    if (!ok) return refuse_key(w, "target_shape");
    convti_onnx_turn(w, false);
    reshape(w, shape, 1 + (int)rank);
    return CONVT_OK;
}

/* Where channels come first, Keras' Flatten puts them last before it does so. */
static convt_status write_flatten(convti_onnx_writer *w)
{
    const bool first = !has_word(w, "data_format", "channels_last");
    convti_onnx_turn(w, false);
    if (first && w->item->input.rank == 3) {
        w->turned = true;
        convti_onnx_turn(w, false);
    }
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Flatten",
                           (const char *[]){w->value.text}, 1);
    convti_onnx_add_integer(w, "axis", 1);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_zero_padding(convti_onnx_writer *w)
{
    const convti_onnx_name constant = convti_onnx_name_of(w, "pads");
    int64_t s[4];
    convt_status status = get_sides(w, "padding", s);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_integers(w, constant.text, (int64_t[]){0, 0, s[0], s[2], 0, 0, s[1], s[3]}, 8);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Pad",
                           (const char *[]){w->value.text, constant.text}, 2);
    convti_onnx_add_string(w, "mode", "constant");
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_cropping(convti_onnx_writer *w)
{
    const convti_onnx_name starts = convti_onnx_name_of(w, "starts"),
                           ends = convti_onnx_name_of(w, "ends"),
                           axes = convti_onnx_name_of(w, "axes");
    int64_t s[4];
    convt_status status = get_sides(w, "cropping", s);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_integers(w, starts.text, (int64_t[]){s[0], s[2]}, 2);
    convti_onnx_put_integers(w, ends.text,
                             (int64_t[]){s[1] ? -s[1] : INT64_MAX, s[3] ? -s[3] : INT64_MAX}, 2);
    convti_onnx_put_integers(w, axes.text, (int64_t[]){2, 3}, 2);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Slice",
                           (const char *[]){w->value.text, starts.text, ends.text, axes.text}, 4);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_upsampling(convti_onnx_writer *w)
{
    const convti_onnx_name scales = convti_onnx_name_of(w, "scales");
    int64_t size[2] = {2, 2};
    convt_status status = get_pair(w, "size", 1, size);
    if (status) return status;
    if (!has_word(w, "interpolation", "nearest")) return refuse_key(w, "interpolation");
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_floats(w, scales.text, (float[]){1, 1, (float)size[0], (float)size[1]}, 4);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Resize",
                           (const char *[]){w->value.text, "", scales.text}, 3);
    convti_onnx_add_string(w, "mode", "nearest");
    convti_onnx_add_string(w, "coordinate_transformation_mode", "asymmetric");
    convti_onnx_add_string(w, "nearest_mode", "floor");
    convti_onnx_end_node(w);
    return CONVT_OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Keras' axis is that of the channels; ONNX knows no other. */
static convt_status check_axis(const convti_onnx_writer *w)
{
    const int rank = 1 + w->item->input.rank, channels = w->items.channels_first ? 1 : rank - 1;
    const json_t *value = json_object_get(w->item->config, "axis");
    int64_t axis = -1;
    if (json_is_array(value) && json_array_size(value) == 1) value = json_array_get(value, 0);
    if (value && !convti_json_integer(value, &axis)) return refuse_key(w, "axis");
    if ((axis < 0 ? axis + rank : axis) != channels) return refuse_key(w, "axis");
    return CONVT_OK;
}

/* gamma and beta may be absent, ONNX needs them: as long as the moving mean. */
static convt_status put_statistics(convti_onnx_writer *w)
{
    static const struct variable {
        const char *name, *key;
        double absent;
    } variables[] = {{"gamma", "scale", 1},
                     {"beta", "center", 0},
                     {"moving_mean", NULL, 0},
                     {"moving_variance", NULL, 0}};
    const convti_onnx_name mean = convti_onnx_name_of(w, "moving_mean");
    const convt_array *array = convt_archive_find(&w->package->weights, mean.text);
    const int64_t count = array && array->rank == 1 ? array->shape[0] : 0;
    convt_status status = CONVT_OK;
    for (int i = 0; i < 4 && !status; i++) {
        const struct variable *v = &variables[i];
        const json_t *given = v->key ? json_object_get(w->item->config, v->key) : NULL;
        if (given && !convti_json_truth(given))
            convti_onnx_put_filled(w, convti_onnx_name_of(w, v->name).text, count, v->absent);
        else
            status = convti_onnx_put_weight(w, v->name, 1, &count, NULL);
    }
    return status;
}

static convt_status write_batch_normalization(convti_onnx_writer *w)
{
    const convti_onnx_name gamma = convti_onnx_name_of(w, "gamma"),
                           beta = convti_onnx_name_of(w, "beta"),
                           mean = convti_onnx_name_of(w, "moving_mean"),
                           variance = convti_onnx_name_of(w, "moving_variance");
    const json_t *given = json_object_get(w->item->config, "epsilon");
    double epsilon = 1e-3;
    if (given && !convti_json_number(given, &epsilon)) return refuse_key(w, "epsilon");
    convt_status status = check_axis(w);
    if (!status) status = put_statistics(w);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w) && w->item->input.rank == 3);
    convti_onnx_begin_node(
        w, convti_onnx_name_of(w, NULL), "BatchNormalization",
        (const char *[]){w->value.text, gamma.text, beta.text, mean.text, variance.text}, 5);
    convti_onnx_add_float(w, "epsilon", epsilon);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_rescaling(convti_onnx_writer *w)
{
    static const char *const keys[] = {"scale", "offset"}, *const ops[] = {"Mul", "Add"};
    double values[2] = {1, 0};
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(w->item->config, keys[i]);
        if (value && !convti_json_number(value, &values[i])) return refuse_key(w, keys[i]);
    }
    for (int i = 0; i < 2; i++) {
        const convti_onnx_name constant = convti_onnx_name_of(w, keys[i]);
        convti_onnx_put_scalar(w, constant.text, values[i]);
        convti_onnx_begin_node(w, convti_onnx_name_of(w, i ? "add" : NULL), ops[i],
                               (const char *[]){w->value.text, constant.text}, 2);
        convti_onnx_end_node(w);
    }
    return CONVT_OK;
}

static convt_status write_nothing(convti_onnx_writer *w)
{
    (void)w;
    return CONVT_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct row {
    const char *class_name;
    convt_status (*write)(convti_onnx_writer *w);
} rows[] = {
    {"Conv2DTranspose", write_conv_transpose},
    {"Conv2D", write_conv},
    {"Dense", write_dense},
    {"Reshape", write_reshape},
    {"Flatten", write_flatten},
    {"ZeroPadding2D", write_zero_padding},
    {"Cropping2D", write_cropping},
    {"UpSampling2D", write_upsampling},
    {"BatchNormalization", write_batch_normalization},
    {"Rescaling", write_rescaling},
    {"Dropout", write_nothing},
};

static convt_status write_activation_layer(convti_onnx_writer *w,
                                           const convti_activation_layer *layer)
{
    const convti_place place = place_of(w);
    convt_activation activation = layer->start;
    convt_status status = convti_json_read_keys(&place, layer->keys, w->item->config, &activation);
    return status ? status : convti_onnx_write_activation(w, &activation, NULL);
}

convt_status convti_onnx_write_layer(convti_onnx_writer *w)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].class_name, w->item->class_name) == 0) return rows[i].write(w);
    }
    for (int i = 0; i < convti_activation_layer_count; i++) {
        const convti_activation_layer *layer = &convti_activation_layers[i];
        if (strcmp(layer->class_name, w->item->class_name) == 0)
            return write_activation_layer(w, layer);
    }
    return convti_onnx_refuse_layer(w, "has no ONNX form");
}
