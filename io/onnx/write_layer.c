/*
 * Keras layers as nodes, a row a class. Layers that ONNX computes on (n, c, h, w) turn the value
 * first where Keras has it otherwise; the turned value stays until a layer needs Keras' order.
 */
#include <string.h>

#include "classes.h"
#include "names.h"
#include "write.h"

static bool has_bias(const convti_onnx_writer *w)
{
    return !w->item->arguments->cfg.no_bias;
}

/* The activation of a layer that is more than one. */
static convt_status write_own_activation(convti_onnx_writer *w)
{
    const convt_activation *activation = &w->item->arguments->cfg.activation;
    return convti_onnx_write_activation(
        w, activation, convti_snake_name(CONVTI_ACTIVATIONS, (int)activation->kind));
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

/* 1, 1 where the config does not say. */
static convt_hw steps(convt_hw given)
{
    return given.h == 0 ? (convt_hw){1, 1} : given;
}

static void add_sizes(convti_onnx_writer *w, const char *name, convt_hw sizes)
{
    convti_onnx_add_integers(w, name, (int64_t[]){sizes.h, sizes.w}, 2);
}

static convt_status write_conv_transpose(convti_onnx_writer *w)
{
    convt_config cfg = w->item->arguments->cfg;
    int64_t pads[4], output_padding[2];
    cfg.strides = steps(cfg.strides);
    cfg.dilation_rate = steps(cfg.dilation_rate);
    find_pads(&cfg, pads, output_padding);
    convt_status status = put_weights(
        w, (int64_t[]){cfg.kernel_size.h, cfg.kernel_size.w, cfg.filters, 0}, cfg.filters);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    begin_convolution(w, "ConvTranspose");
    add_sizes(w, "kernel_shape", cfg.kernel_size);
    add_sizes(w, "strides", cfg.strides);
    add_sizes(w, "dilations", cfg.dilation_rate);
    convti_onnx_add_integers(w, "pads", pads, 4);
    convti_onnx_add_integers(w, "output_padding", output_padding, 2);
    convti_onnx_end_node(w);
    return write_own_activation(w);
}

static convt_status write_conv(convti_onnx_writer *w)
{
    const struct convti_arguments *a = w->item->arguments;
    const convt_hw dilation = steps(a->cfg.dilation_rate), strides = steps(a->cfg.strides);
    const int64_t extent[2] = {(a->cfg.kernel_size.h - 1) * dilation.h,
                               (a->cfg.kernel_size.w - 1) * dilation.w};
    int64_t pads[4] = {0};
    if (strides.h != 1 || strides.w != 1 || a->groups != 1)
        return convti_onnx_refuse_layer(w, "has strides or groups: only 1 is written");
    for (int i = 0; i < 2 && a->cfg.padding == CONVT_SAME; i++) {
        pads[i] = extent[i] / 2;
        pads[2 + i] = extent[i] - pads[i];
    }
    convt_status status =
        put_weights(w, (int64_t[]){a->cfg.kernel_size.h, a->cfg.kernel_size.w, 0, a->cfg.filters},
                    a->cfg.filters);
    if (status) return status;
    convti_onnx_turn(w, is_turned_by(w));
    begin_convolution(w, "Conv");
    add_sizes(w, "kernel_shape", a->cfg.kernel_size);
    add_sizes(w, "strides", strides);
    add_sizes(w, "dilations", dilation);
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
    const int64_t units = w->item->arguments->cfg.filters;
    convt_status status = convti_onnx_put_weight(w, "kernel", 2, (int64_t[]){0, units}, NULL);
    if (!status && biased) status = convti_onnx_put_weight(w, "bias", 1, &units, NULL);
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
    const convti_tensor *target = &w->item->arguments->target;
    int64_t shape[4] = {0};
    memcpy(shape + 1, target->size, (size_t)target->rank * sizeof *shape);
    convti_onnx_turn(w, false);
    reshape(w, shape, 1 + target->rank);
    return CONVT_OK;
}

/* Where channels come first, Keras' Flatten puts them last before it does so. */
static convt_status write_flatten(convti_onnx_writer *w)
{
    convti_onnx_turn(w, false);
    if (w->item->arguments->cfg.data_format == CONVT_CHANNELS_FIRST && w->item->input.rank == 3) {
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
    const convt_optional_sides *s = &w->item->arguments->sides;
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_integers(w, constant.text,
                             (int64_t[]){0, 0, s->top, s->left, 0, 0, s->bottom, s->right}, 8);
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
    const convt_optional_sides *s = &w->item->arguments->sides;
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_integers(w, starts.text, (int64_t[]){s->top, s->left}, 2);
    convti_onnx_put_integers(
        w, ends.text,
        (int64_t[]){s->bottom ? -s->bottom : INT64_MAX, s->right ? -s->right : INT64_MAX}, 2);
    convti_onnx_put_integers(w, axes.text, (int64_t[]){2, 3}, 2);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Slice",
                           (const char *[]){w->value.text, starts.text, ends.text, axes.text}, 4);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_upsampling(convti_onnx_writer *w)
{
    const convti_onnx_name scales = convti_onnx_name_of(w, "scales");
    const struct convti_arguments *a = w->item->arguments;
    if (a->other_interpolation)
        return convti_onnx_refuse_layer(w, "has an interpolation that is not nearest");
    convti_onnx_turn(w, is_turned_by(w));
    convti_onnx_put_floats(w, scales.text,
                           (float[]){1, 1, (float)a->cfg.strides.h, (float)a->cfg.strides.w}, 4);
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Resize",
                           (const char *[]){w->value.text, "", scales.text}, 3);
    convti_onnx_add_string(w, "mode", "nearest");
    convti_onnx_add_string(w, "coordinate_transformation_mode", "asymmetric");
    convti_onnx_add_string(w, "nearest_mode", "floor");
    convti_onnx_end_node(w);
    return CONVT_OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* ONNX normalizes axis 1: Keras' last one is there once the value is turned. */
static convt_status turn_to_axis(convti_onnx_writer *w)
{
    const int rank = 1 + w->item->input.rank;
    int64_t axis = w->item->arguments->axis;
    if (axis < 0) axis += rank;
    if (axis != 1 && axis != rank - 1)
        return convti_onnx_refuse_layer(w, "normalizes axis %lld: 1 and the last one are written",
                                        (long long)axis);
    convti_onnx_turn(w, axis > 1);
    return CONVT_OK;
}

/* gamma and beta may be absent, ONNX needs them: as long as the moving mean. */
static convt_status put_statistics(convti_onnx_writer *w)
{
    const struct convti_arguments *a = w->item->arguments;
    const struct variable {
        const char *name;
        bool absent;
        double instead;
    } variables[] = {{"gamma", a->no_scale, 1},
                     {"beta", a->no_center, 0},
                     {"moving_mean", false, 0},
                     {"moving_variance", false, 0}};
    const convti_onnx_name mean = convti_onnx_name_of(w, "moving_mean");
    const convt_array *array = convt_archive_find(&w->package->weights, mean.text);
    const int64_t count = array && array->rank == 1 ? array->shape[0] : 0;
    convt_status status = CONVT_OK;
    for (int i = 0; i < 4 && !status; i++) {
        const struct variable *v = &variables[i];
        if (v->absent)
            convti_onnx_put_filled(w, convti_onnx_name_of(w, v->name).text, count, v->instead);
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
    convt_status status = put_statistics(w);
    if (!status) status = turn_to_axis(w);
    if (status) return status;
    convti_onnx_begin_node(
        w, convti_onnx_name_of(w, NULL), "BatchNormalization",
        (const char *[]){w->value.text, gamma.text, beta.text, mean.text, variance.text}, 5);
    convti_onnx_add_float(w, "epsilon", w->item->arguments->epsilon.value);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

static convt_status write_rescaling(convti_onnx_writer *w)
{
    static const char *const names[] = {"scale", "offset"}, *const ops[] = {"Mul", "Add"};
    const json_t *given[] = {w->item->arguments->factor, w->item->arguments->offset};
    double values[2] = {1, 0};
    for (int i = 0; i < 2; i++) {
        if (given[i] && !convti_json_number(given[i], &values[i]))
            return convti_onnx_refuse_layer(w, "has a %s that is no number", names[i]);
    }
    for (int i = 0; i < 2; i++) {
        const convti_onnx_name constant = convti_onnx_name_of(w, names[i]);
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

/* Those that are no row are activations. */
convt_status convti_onnx_write_layer(convti_onnx_writer *w)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].class_name, w->item->class_name) == 0) return rows[i].write(w);
    }
    return convti_onnx_write_activation(w, &w->item->arguments->cfg.activation, NULL);
}
