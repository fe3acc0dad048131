/*
 * Lowering. The layers under construction take the data in turn:
 *
 *   Conv2DTranspose      is a layer as it stands
 *   Conv2D, strides 1    one whose kernel is turned:  z[o] = sum over t of x[o + t d - pad] k[t], and with
 *                        t' = K - 1 - t the natural output of x and k[t'], cut by (K - 1) d - pad
 *   Dense                one of a 1 x 1 kernel; two sizes of x are an image of one pixel
 *   Reshape, Flatten     the input of the layer behind, in the order of memory
 *   activations          that of the layer before, where it has none and nothing looks between the two
 *   BatchNormalization   a factor in kernel and bias before, or a layer of its own
 *   the others           layers whose numbers are fixed: identities with strides, padding, a diagonal
 */
#include "lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "status.h"
#include "tables.h"

typedef struct convti_lowering {
    convt_spec *spec;
    convti_storage *storage;
    convti_tensor last;         /* what the last layer gives */
    bool reshaped;              /* and what comes next takes it in another shape */
    const convti_item *padding; /* a ZeroPadding2D that may become part of a Conv2D */
    convt_error *err;
} convti_lowering;

static convt_status refuse(const convti_lowering *l, const convti_item *item, const char *key,
                           const char *reason)
{
    const convti_place place = convti_item_place(item, l->err);
    return convti_json_refuse(&place, key, "%s", reason);
}

/* ---- layers under construction --------------------------------------------------------------- */

static convt_config *last_layer(const convti_lowering *l)
{
    return l->spec->count > 0 ? &l->spec->layers[l->spec->count - 1] : NULL;
}

static bool all_known(const convti_tensor *tensor)
{
    return convti_tensor_count(tensor) > 0;
}

static convt_status add_layer(convti_lowering *l, const convti_item *item, const convt_config *cfg,
                              const convti_tensor *input, const convti_tensor *output)
{
    const convti_items *items = &l->storage->items;
    convt_config *layer = &l->spec->layers[l->spec->count];
    *layer = *cfg;
    layer->name = item->name;
    layer->dtype = items->dtype;
    layer->data_format = items->channels_first ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
    if (l->spec->count == 0 || l->reshaped)
        layer->input = convti_shape_of(input, items->channels_first);
    l->reshaped = false;
    l->last = *output;
    l->spec->count++;
    return CONVT_OK;
}

/* A fixed layer over `input`, a diagonal of its channels. */
static convt_status add_fixed(convti_lowering *l, const convti_item *item, convt_config cfg,
                              const convti_tensor *input, const convti_tensor *output)
{
    const int64_t channels =
        input->size[convti_channel_axis(input, l->storage->items.channels_first)];
    if (channels == 0) return refuse(l, item, "input", "has channels whose number is not known");
    convti_constant *constant = &l->storage->constants[l->storage->constant_count++];
    *constant = (convti_constant){.count = channels, .scale = 1};
    if (cfg.kernel_size.h == 0) cfg.kernel_size = (convt_hw){1, 1};
    cfg.fixed = true;
    cfg.filters = channels;
    cfg.no_bias = true;
    cfg.kernel_initializer = (convt_initializer){
        .kind = CONVT_CUSTOM_INITIALIZER, .fill = convti_fill_kernel, .context = constant};
    cfg.bias_initializer = (convt_initializer){
        .kind = CONVT_CUSTOM_INITIALIZER, .fill = convti_fill_bias, .context = constant};
    return add_layer(l, item, &cfg, input, output);
}

static convti_constant *last_constant(const convti_lowering *l)
{
    return &l->storage->constants[l->storage->constant_count - 1];
}

static convt_status add_identity(convti_lowering *l, const convti_item *item,
                                 const convt_config *cfg)
{
    return add_fixed(l, item, *cfg, &item->input, &item->output);
}

/* The padding that waits becomes a layer: one tap that is not 0 moves the image. */
static convt_status pad_now(convti_lowering *l)
{
    const convti_item *item = l->padding;
    if (!item) return CONVT_OK;
    const convt_optional_sides *sides = &item->arguments->sides;
    const convt_config cfg = {
        .kernel_size = {1 + sides->top + sides->bottom, 1 + sides->left + sides->right}};
    l->padding = NULL;
    convt_status status = add_fixed(l, item, cfg, &item->input, &item->output);
    if (status) return status;
    last_constant(l)->h = sides->top;
    last_constant(l)->w = sides->left;
    return CONVT_OK;
}

static void predicts_only(const convti_lowering *l, const convti_item *item, const char *why)
{
    char *text = l->storage->predicts_only;
    if (!text[0]) snprintf(text, sizeof l->storage->predicts_only, "%.60s %s", item->name, why);
}

/* Does the last layer end in what it sums, with nothing looking at it? */
static bool ends_linear(const convti_lowering *l)
{
    const convt_config *layer = last_layer(l);
    return layer && !l->padding && layer->activation.kind == CONVT_LINEAR &&
           layer->activity_regularizer.kind == CONVT_NO_REGULARIZER;
}

/* ---- activations ----------------------------------------------------------------------------- */

/* The last axis of memory is Keras' last axis but where an image of one pixel has its channels
 * first. */
static convt_status check_axis(const convti_lowering *l, const convti_item *item,
                               const convti_tensor *data)
{
    const convt_activation *a = &item->arguments->cfg.activation;
    if (!convti_activation_on_axis(a->kind) || data->rank == 3) return CONVT_OK;
    if (l->storage->items.channels_first)
        return refuse(l, item, "activation",
                      "runs along units, which is not supported where channels come first");
    return a->axis.set && a->axis.value > 0
               ? refuse(l, item, "axis", "must be -1: the input has no axis 3")
               : CONVT_OK;
}

convt_status convti_lower_activation(convti_lowering *l, const convti_item *item)
{
    const convt_config cfg = {.activation = item->arguments->cfg.activation};
    convt_status status = check_axis(l, item, &item->input);
    if (cfg.activation.kind == CONVT_LINEAR || status) return status;
    if (ends_linear(l) && !(l->reshaped && convti_activation_on_axis(cfg.activation.kind))) {
        last_layer(l)->activation = cfg.activation;
        if (!l->reshaped) l->last = item->output;
        return CONVT_OK;
    }
    status = pad_now(l);
    if (status) return status;
    return ends_linear(l) && !l->reshaped ? convti_lower_activation(l, item)
                                          : add_identity(l, item, &cfg);
}

/* ---- layers with kernels --------------------------------------------------------------------- */

convt_status convti_lower_transpose(convti_lowering *l, const convti_item *item)
{
    convt_status status = pad_now(l);
    return status ? status : add_layer(l, item, &item->arguments->cfg, &item->input, &item->output);
}

convt_status convti_lower_dense(convti_lowering *l, const convti_item *item)
{
    convt_config cfg = item->arguments->cfg;
    const convti_tensor units = {1, {cfg.filters}};
    cfg.kernel_order = CONVT_KERNEL_DENSE;
    cfg.kernel_size = (convt_hw){1, 1};
    if (item->input.rank == 3 && l->storage->items.channels_first)
        return refuse(l, item, "input",
                      "has channels first, where a Dense runs over the width, not over them");
    convt_status status = check_axis(l, item, item->input.rank == 3 ? &item->input : &units);
    if (!status) status = pad_now(l);
    return status ? status : add_layer(l, item, &cfg, &item->input, &item->output);
}

/* What is cut from one axis: reach is (K - 1) d, of which `same` leaves a half on each side. */
static void cut(int64_t kernel, int64_t dilation, bool same, int64_t *begin, int64_t *end)
{
    int64_t reach;
    if (__builtin_mul_overflow(kernel - 1, dilation ? dilation : 1, &reach)) reach = INT64_MAX;
    *begin = reach - (same ? reach / 2 : 0);
    *end = reach - (same ? reach - reach / 2 : 0);
}

/* Rows and columns of zeros are less to cut; as far as there is something to cut. */
static bool take_padding(convt_optional_sides *sides, const convt_optional_sides *zeros)
{
    if (zeros->top > sides->top || zeros->bottom > sides->bottom || zeros->left > sides->left ||
        zeros->right > sides->right)
        return false;
    sides->top -= zeros->top;
    sides->bottom -= zeros->bottom;
    sides->left -= zeros->left;
    sides->right -= zeros->right;
    return true;
}

convt_status convti_lower_conv(convti_lowering *l, const convti_item *item)
{
    const convti_place place = convti_item_place(item, l->err);
    convt_config cfg = item->arguments->cfg;
    convt_optional_sides *sides = &cfg.explicit_padding;
    const convti_tensor *input = &item->input;
    const bool same = cfg.padding == CONVT_SAME;
    if (cfg.strides.h > 1 || cfg.strides.w > 1)
        return convti_json_refuse_value(&place, "strides", json_object_get(item->config, "strides"),
                                        "1: a Conv2D with strides is no transposed convolution");
    if (item->arguments->groups > 1)
        return convti_json_refuse_value(&place, "groups", json_object_get(item->config, "groups"),
                                        "1: groups are not supported");
    cfg.kernel_order = CONVT_KERNEL_CONV;
    cfg.padding = CONVT_VALID;
    sides->set = true;
    cut(cfg.kernel_size.h, cfg.dilation_rate.h, same, &sides->top, &sides->bottom);
    cut(cfg.kernel_size.w, cfg.dilation_rate.w, same, &sides->left, &sides->right);
    if (l->padding && take_padding(sides, &l->padding->arguments->sides)) {
        input = &l->padding->input;
        l->padding = NULL;
    }
    convt_status status = pad_now(l);
    return status ? status : add_layer(l, item, &cfg, input, &item->output);
}

/* ---- BatchNormalization ---------------------------------------------------------------------- */

/* How the filters of the last layer are channels of `data`; false: they are not, or it is no layer
 * with weights. */
static bool fold_of(const convti_lowering *l, const convti_tensor *data, convti_fold *fold)
{
    const int axis = convti_channel_axis(data, l->storage->items.channels_first);
    if (!ends_linear(l) || last_layer(l)->fixed || (l->reshaped && l->last.rank != 1)) return false;
    fold->layer = l->spec->count - 1;
    fold->channels = data->size[axis];
    fold->inner = 1;
    for (int i = axis + 1; i < data->rank && l->last.rank == 1; i++) fold->inner *= data->size[i];
    return fold->channels > 0;
}

static convt_status norm_layer(convti_lowering *l, const convti_item *item)
{
    const convt_config cfg = {0};
    convt_status status = pad_now(l);
    if (!status) status = add_fixed(l, item, cfg, &item->input, &item->output);
    if (status) return status;
    last_constant(l)->norm = item;
    last_layer(l)->no_bias = false;
    return CONVT_OK;
}

/* Keras runs it by the batch's statistics in training, unless it says trainable=False itself. */
convt_status convti_lower_norm(convti_lowering *l, const convti_item *item)
{
    const convti_items *items = &l->storage->items;
    const int rank = item->input.rank,
              wanted = rank == 0 ? -1
                                 : convti_channel_axis(&item->input, items->channels_first) + 1;
    const int64_t axis = item->arguments->axis;
    convti_fold fold = {.norm = item};
    if (axis != wanted && (rank == 0 || axis + rank + 1 != wanted))
        return refuse(l, item, "axis", "must be that of the channels");
    if (json_is_false(json_object_get(item->config, "trainable"))) return norm_layer(l, item);
    if (!fold_of(l, &item->input, &fold)) {
        predicts_only(l, item, "would need the statistics of each batch in training");
        return norm_layer(l, item);
    }
    predicts_only(l, item, "is folded into the weights before it, and could not be trained");
    l->storage->folds[l->storage->fold_count++] = fold;
    last_layer(l)->no_bias = false;
    return CONVT_OK;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* In front of all layers x keeps its own shape only where it is a row of units. */
convt_status convti_lower_reshape(convti_lowering *l, const convti_item *item)
{
    const convt_config cfg = {0};
    const convti_tensor *input = &item->input, *output = &item->output;
    if (input->rank == output->rank && memcmp(input->size, output->size, sizeof input->size) == 0)
        return CONVT_OK;
    convt_status status = pad_now(l);
    if (!status && !all_known(output))
        status = refuse(l, item, "input", "has a size that is not known");
    if (!status && l->spec->count == 0 && input->rank == 3) {
        status = add_fixed(l, item, cfg, input, input);
    }
    l->reshaped = true;
    return status;
}

convt_status convti_lower_flatten(convti_lowering *l, const convti_item *item)
{
    const int64_t *size = item->input.size;
    if (item->arguments->cfg.data_format == CONVT_CHANNELS_FIRST && item->input.rank == 3 &&
        size[0] != 1 && (size[1] != 1 || size[2] != 1))
        return refuse(l, item, "data_format",
                      "must be channels_last: with channels first a Flatten moves them last");
    return convti_lower_reshape(l, item);
}

/* ---- fixed layers ---------------------------------------------------------------------------- */

static bool is_zero(const convt_optional_sides *sides)
{
    return sides->top == 0 && sides->bottom == 0 && sides->left == 0 && sides->right == 0;
}

convt_status convti_lower_padding(convti_lowering *l, const convti_item *item)
{
    convt_status status = pad_now(l);
    if (!status && !is_zero(&item->arguments->sides)) l->padding = item;
    return status;
}

/* Is the output the natural one, or cut by as much as we say? VALID fills up to the strides. */
static bool is_natural(const convt_config *layer)
{
    const convt_hw k = layer->kernel_size, s = layer->strides;
    return layer->explicit_padding.set ||
           (layer->padding == CONVT_VALID && k.h >= s.h && k.w >= s.w);
}

/* What the last layer leaves out by itself: it neither looks at what goes, nor mixes along rows. */
static bool crop_last(const convti_lowering *l, const convt_optional_sides *more)
{
    convt_config *layer = last_layer(l);
    if (!layer || l->padding || l->reshaped || !is_natural(layer) || layer->output_padding.set ||
        convti_activation_on_axis(layer->activation.kind) ||
        layer->activity_regularizer.kind != CONVT_NO_REGULARIZER)
        return false;
    convt_optional_sides sides = layer->explicit_padding;
    if (__builtin_add_overflow(sides.top, more->top, &sides.top) ||
        __builtin_add_overflow(sides.bottom, more->bottom, &sides.bottom) ||
        __builtin_add_overflow(sides.left, more->left, &sides.left) ||
        __builtin_add_overflow(sides.right, more->right, &sides.right))
        return false;
    sides.set = true;
    layer->explicit_padding = sides;
    return true;
}

convt_status convti_lower_cropping(convti_lowering *l, const convti_item *item)
{
    const convt_config cfg = {.explicit_padding = item->arguments->sides};
    if (is_zero(&item->arguments->sides)) return CONVT_OK;
    if (crop_last(l, &item->arguments->sides)) {
        l->last = item->output;
        return CONVT_OK;
    }
    convt_status status = pad_now(l);
    return status ? status : add_identity(l, item, &cfg);
}

convt_status convti_lower_upsampling(convti_lowering *l, const convti_item *item)
{
    const convt_hw size = item->arguments->cfg.strides;
    const convt_config cfg = {.kernel_size = size, .strides = size};
    if (item->arguments->other_interpolation)
        return refuse(l, item, "interpolation", "must be nearest: others are not supported");
    if (size.h == 1 && size.w == 1) return CONVT_OK;
    convt_status status = pad_now(l);
    if (!status) status = add_fixed(l, item, cfg, &item->input, &item->output);
    if (!status) last_constant(l)->every_tap = true;
    return status;
}

/* A number for all channels, or a list of one or of all of them; numpy's arrays are objects. */
static convt_status read_factors(const convti_lowering *l, const convti_item *item, const char *key,
                                 const json_t *value, int64_t count, double *all, double **each)
{
    const convti_place place = convti_item_place(item, l->err);
    const char *class_name = convti_json_string(value, "class_name");
    const bool last = item->input.rank == 1 || !l->storage->items.channels_first;
    if (class_name && strcmp(class_name, "__numpy__") == 0)
        value = json_object_get(json_object_get(value, "config"), "value");
    const size_t given = json_array_size(value);
    if (convti_json_number(given == 1 ? json_array_get(value, 0) : value, all)) return CONVT_OK;
    bool ok = given > 1 && given == (size_t)count && last;
    *each = ok ? malloc(given * sizeof **each) : NULL;
    if (ok && !*each) return convti_no_memory(l->err, item->name, given * sizeof **each);
    for (size_t i = 0; i < given && ok; i++)
        ok = convti_json_number(json_array_get(value, i), &(*each)[i]);
    return ok ? CONVT_OK
              : convti_json_refuse_value(&place, key, value,
                                         "a number, or one for each channel where these come last");
}

convt_status convti_lower_rescaling(convti_lowering *l, const convti_item *item)
{
    const convt_config cfg = {0};
    const json_t *scale = item->arguments->factor, *offset = item->arguments->offset;
    convt_status status = pad_now(l);
    if (!status) status = add_fixed(l, item, cfg, &item->input, &item->output);
    if (status) return status;
    convti_constant *c = last_constant(l);
    status = read_factors(l, item, "scale", scale, c->count, &c->scale, &c->scales);
    if (!status && offset)
        status = read_factors(l, item, "offset", offset, c->count, &c->offset, &c->offsets);
    if (!status) last_layer(l)->no_bias = false;
    return status;
}

convt_status convti_lower_dropout(convti_lowering *l, const convti_item *item)
{
    if (item->arguments->rate.value > 0) predicts_only(l, item, "drops at random in training");
    return CONVT_OK;
}

/* ---- models ---------------------------------------------------------------------------------- */

/* Ends the last layer; where there is none, x passes one that changes nothing. */
static convt_status end_lowering(convti_lowering *l)
{
    const convti_items *items = &l->storage->items;
    const convti_item *last = &items->list[items->count - 1];
    const convt_config cfg = {0};
    convt_status status = pad_now(l);
    if (!status && l->spec->count == 0)
        status = add_fixed(l, last, cfg, &last->output, &last->output);
    return status;
}

/* Where the file does not say what x is, the first layer that needs images or units does. */
static int rank_of_x(const convti_items *items)
{
    for (int i = 0; i < items->count; i++) {
        const convti_item *item = &items->list[i];
        if (item->input.rank > 0) return item->input.rank;
        if (item->output.rank > 0) break;
    }
    return 1;
}

static void describe_arrays(const convti_lowering *l)
{
    const convti_items *items = &l->storage->items;
    const convti_tensor *y = &items->list[items->count - 1].output;
    l->spec->x_rank = rank_of_x(items) == 1 ? 2 : 4;
    l->spec->y_rank = y->rank == 1 ? 2 : 4;
    if (l->reshaped) memcpy(l->spec->y_size, y->size, sizeof y->size);
}

convt_status convti_lower(convt_spec *spec, convt_error *err)
{
    convti_storage *storage = spec->storage;
    convti_lowering l = {.spec = spec, .storage = storage, .err = err};
    convti_items *items = &storage->items;
    convt_status status = convti_items_read(storage->config, items, err);
    if (status) return status;
    const size_t room = (size_t)items->count + 1;
    spec->layers = calloc(room, sizeof *spec->layers);
    storage->constants = calloc(room, sizeof *storage->constants);
    storage->folds = calloc(room, sizeof *storage->folds);
    if (!spec->layers || !storage->constants || !storage->folds)
        return convti_no_memory(err, "layers", room * sizeof *spec->layers);
    for (int i = 0; i < items->count && !status; i++)
        status = items->list[i].class->lower(&l, &items->list[i]);
    if (!status) status = end_lowering(&l);
    if (status) return status;
    describe_arrays(&l);
    spec->predicts_only = storage->predicts_only[0] ? storage->predicts_only : NULL;
    return CONVT_OK;
}

void convti_storage_free(convti_storage *storage)
{
    if (!storage) return;
    for (int i = 0; i < storage->constant_count; i++) {
        free(storage->constants[i].scales);
        if (!storage->constants[i].norm)
            free(storage->constants[i].offsets); /* else behind scales */
    }
    free(storage->constants);
    free(storage->folds);
    convti_items_free(&storage->items);
    json_decref(storage->config);
    free(storage);
}
