/*
 * The shapes of tensors between layers, through every class. What Keras refuses to call a layer with
 * is refused; an unknown size stays 0 all the way.
 */
#include <stdio.h>

#include "classes.h"
#include "status.h"
#include "tables.h"

/* ---- tensors --------------------------------------------------------------------------------- */

int convti_channel_axis(const convti_tensor *tensor, bool channels_first)
{
    return tensor->rank == 3 && !channels_first ? 2 : 0;
}

convt_shape convti_shape_of(const convti_tensor *tensor, bool channels_first)
{
    const int64_t *size = tensor->size;
    if (tensor->rank == 1 && size[0] > 0) return (convt_shape){1, 1, size[0]};
    if (tensor->rank != 3) return (convt_shape){0, 0, 0};
    return channels_first ? (convt_shape){.h = size[1], .w = size[2], .c = size[0]}
                          : (convt_shape){.h = size[0], .w = size[1], .c = size[2]};
}

static convti_tensor tensor_of(convt_shape shape, bool channels_first)
{
    return channels_first ? (convti_tensor){3, {shape.c, shape.h, shape.w}}
                          : (convti_tensor){3, {shape.h, shape.w, shape.c}};
}

int64_t convti_tensor_count(const convti_tensor *tensor)
{
    int64_t count = tensor->rank > 0;
    for (int i = 0; i < tensor->rank; i++) {
        if (__builtin_mul_overflow(count, tensor->size[i], &count)) return 0;
    }
    return count;
}

convti_shown convti_tensor_text(const convti_tensor *tensor)
{
    convti_shown shown = {"(None"};
    size_t length = 5;
    for (int i = 0; i < tensor->rank; i++) {
        int more = tensor->size[i] > 0
                       ? snprintf(shown.text + length, sizeof shown.text - length, ", %lld",
                                  (long long)tensor->size[i])
                       : snprintf(shown.text + length, sizeof shown.text - length, ", None");
        length += more > 0 ? (size_t)more : 0;
    }
    snprintf(shown.text + length, sizeof shown.text - length, ")");
    return shown;
}

convti_place convti_item_place(const convti_item *item, convt_error *err)
{
    convti_place place = {.err = err};
    snprintf(place.path, sizeof place.path, "%s", item->name);
    return place;
}

/* ---- rules ----------------------------------------------------------------------------------- */

convt_status convti_shape_same(const convti_item *item, bool channels_first, convti_tensor *output,
                               convt_error *err)
{
    (void)channels_first, (void)err;
    *output = item->input;
    return CONVT_OK;
}

/* glu halves the last axis of memory. */
convt_status convti_shape_activation(const convti_item *item, bool channels_first,
                                     convti_tensor *output, convt_error *err)
{
    const int inputs = convti_activation_inputs(item->arguments->cfg.activation.kind);
    (void)channels_first, (void)err;
    *output = item->input;
    if (output->rank > 0) output->size[output->rank - 1] /= inputs;
    return CONVT_OK;
}

/* A size that is not known is taken for 1, and its result forgotten. What the layer itself refuses
 * it says when it is created. */
convt_status convti_shape_transpose(const convti_item *item, bool channels_first,
                                    convti_tensor *output, convt_error *err)
{
    const convt_shape x = convti_shape_of(&item->input, channels_first);
    convt_config cfg = item->arguments->cfg;
    convt_shape y = {0, 0, cfg.filters};
    (void)err;
    cfg.input = (convt_shape){x.h > 0 ? x.h : 1, x.w > 0 ? x.w : 1, x.c > 0 ? x.c : 1};
    if (convt_output_shape(&cfg, &y, NULL)) y = (convt_shape){0, 0, cfg.filters};
    if (x.h == 0) y.h = 0;
    if (x.w == 0) y.w = 0;
    *output = tensor_of(y, channels_first);
    return CONVT_OK;
}

/* One axis of a convolution; false: nothing is left. */
static bool convolve(int64_t *size, int64_t kernel, int64_t stride, int64_t dilation, bool same)
{
    int64_t reach;
    if (*size == 0) return true;
    if (__builtin_mul_overflow(kernel - 1, dilation ? dilation : 1, &reach)) return false;
    *size -= same ? 0 : reach;
    if (*size <= 0) return false;
    *size = (*size - 1) / (stride ? stride : 1) + 1;
    return true;
}

convt_status convti_shape_conv(const convti_item *item, bool channels_first, convti_tensor *output,
                               convt_error *err)
{
    const convt_config *cfg = &item->arguments->cfg;
    const convti_place place = convti_item_place(item, err);
    const bool same = cfg->padding == CONVT_SAME;
    convt_shape shape = convti_shape_of(&item->input, channels_first);
    if (!convolve(&shape.h, cfg->kernel_size.h, cfg->strides.h, cfg->dilation_rate.h, same) ||
        !convolve(&shape.w, cfg->kernel_size.w, cfg->strides.w, cfg->dilation_rate.w, same))
        return convti_json_refuse(
            &place, "kernel_size",
            "Computed output size would be zero or negative. Received `inputs shape=%s`, "
            "`kernel_size=(%lld, %lld)`",
            convti_tensor_text(&item->input).text, (long long)cfg->kernel_size.h,
            (long long)cfg->kernel_size.w);
    shape.c = cfg->filters;
    *output = tensor_of(shape, channels_first);
    output->size[2] /= convti_activation_inputs(cfg->activation.kind);
    return CONVT_OK;
}

/* Along the last axis. */
convt_status convti_shape_dense(const convti_item *item, bool channels_first, convti_tensor *output,
                                convt_error *err)
{
    const convt_config *cfg = &item->arguments->cfg;
    const int64_t units = cfg->filters / convti_activation_inputs(cfg->activation.kind);
    (void)channels_first, (void)err;
    *output = item->input;
    if (output->rank == 0) output->rank = 1;
    output->size[output->rank - 1] = units;
    return CONVT_OK;
}

convt_status convti_shape_reshape(const convti_item *item, bool channels_first,
                                  convti_tensor *output, convt_error *err)
{
    const convti_place place = convti_item_place(item, err);
    const int64_t count = convti_tensor_count(&item->input);
    int64_t known = 1, unknown = -1;
    bool fits = true;
    (void)channels_first;
    *output = item->arguments->target;
    for (int i = 0; i < output->rank; i++) {
        if (output->size[i] < 0)
            unknown = i;
        else
            fits = fits && !__builtin_mul_overflow(known, output->size[i], &known);
    }
    if (unknown >= 0) output->size[unknown] = count / known;
    fits = fits && (count == 0 || (unknown < 0 ? known == count : count % known == 0));
    if (fits) return CONVT_OK;
    return convti_json_refuse(
        &place, "target_shape",
        "The total size of the tensor must be unchanged. Received: input_shape=%s, target_shape=%s",
        convti_tensor_text(&item->input).text,
        convti_json_show(json_object_get(item->config, "target_shape")).text);
}

convt_status convti_shape_flatten(const convti_item *item, bool channels_first,
                                  convti_tensor *output, convt_error *err)
{
    (void)channels_first, (void)err;
    *output = (convti_tensor){1, {convti_tensor_count(&item->input)}};
    return CONVT_OK;
}

/* ---- rows and columns added or taken --------------------------------------------------------- */

convt_status convti_shape_padding(const convti_item *item, bool channels_first,
                                  convti_tensor *output, convt_error *err)
{
    const convt_optional_sides *sides = &item->arguments->sides;
    const convti_place place = convti_item_place(item, err);
    convt_shape shape = convti_shape_of(&item->input, channels_first);
    int64_t h, w;
    if (__builtin_add_overflow(sides->top, sides->bottom, &h) ||
        __builtin_add_overflow(sides->left, sides->right, &w) || h == INT64_MAX || w == INT64_MAX ||
        (shape.h > 0 && __builtin_add_overflow(shape.h, h, &shape.h)) ||
        (shape.w > 0 && __builtin_add_overflow(shape.w, w, &shape.w)))
        return convti_json_refuse_value(&place, "padding", json_object_get(item->config, "padding"),
                                        "less than 2^63");
    *output = tensor_of(shape, channels_first);
    return CONVT_OK;
}

/* False: nothing is left. */
static bool crop(int64_t *size, int64_t begin, int64_t end)
{
    if (*size == 0) return true;
    if (begin >= *size || end >= *size - begin) return false;
    *size -= begin + end;
    return true;
}

convt_status convti_shape_cropping(const convti_item *item, bool channels_first,
                                   convti_tensor *output, convt_error *err)
{
    const convt_optional_sides *sides = &item->arguments->sides;
    const convti_place place = convti_item_place(item, err);
    convt_shape shape = convti_shape_of(&item->input, channels_first);
    if (!crop(&shape.h, sides->top, sides->bottom) || !crop(&shape.w, sides->left, sides->right))
        return convti_json_refuse(
            &place, "cropping",
            "Values in `cropping` argument should be smaller than the corresponding spatial "
            "dimension of the input. Received: input_shape=%s, cropping=%s",
            convti_tensor_text(&item->input).text,
            convti_json_show(json_object_get(item->config, "cropping")).text);
    *output = tensor_of(shape, channels_first);
    return CONVT_OK;
}

convt_status convti_shape_upsampling(const convti_item *item, bool channels_first,
                                     convti_tensor *output, convt_error *err)
{
    const convt_hw *size = &item->arguments->cfg.strides;
    const convti_place place = convti_item_place(item, err);
    convt_shape shape = convti_shape_of(&item->input, channels_first);
    if (__builtin_mul_overflow(shape.h, size->h, &shape.h) ||
        __builtin_mul_overflow(shape.w, size->w, &shape.w))
        return convti_json_refuse_value(&place, "size", json_object_get(item->config, "size"),
                                        "small enough to be addressed");
    *output = tensor_of(shape, channels_first);
    return CONVT_OK;
}
