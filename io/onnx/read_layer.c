/* Operators that compute with weights or numbers, as Keras layers. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "read.h"

enum { MOST_SIZE = 1 << 30 };

/* ---- convolutions ---------------------------------------------------------------------------- */

/* What Conv and ConvTranspose share; h and w in this order. */
typedef struct convolution {
    const convti_onnx_tensor *kernel, *bias;
    int64_t strides[2], dilations[2], output_padding[2], extent[2], size[2];
    int64_t begin[2], end[2]; /* pads */
} convolution;

/* So many sizes from `least` on; the default where the attribute is absent. */
static convt_status get_sizes(convti_onnx_reader *r, const char *name, int64_t least, int expected,
                              int64_t sizes[])
{
    int64_t values[8];
    int count;
    convt_status status = convti_onnx_get_integers(r, name, 0, values, &count);
    if (status || count < 0) return status;
    if (count != expected)
        return convti_onnx_refuse_node(r, "has %d %s where a layer of two axes has %d", count, name,
                                       expected);
    for (int i = 0; i < count; i++) {
        if (values[i] < least || values[i] > MOST_SIZE)
            return convti_onnx_refuse_node(r, "has %lld among its %s", (long long)values[i], name);
        sizes[i] = values[i];
    }
    return CONVT_OK;
}

static convt_status get_weights(convti_onnx_reader *r, int filters_axis, convolution *c)
{
    convt_status status = convti_onnx_weight_input(r, 1, "W", 4, &c->kernel);
    if (!status && convti_onnx_has_input(r, 2))
        status = convti_onnx_weight_input(r, 2, "B", 1, &c->bias);
    if (status) return status;
    const int64_t filters = c->kernel->size[filters_axis];
    if (c->bias && c->bias->count != filters)
        return convti_onnx_refuse_node(r, "has a B of %lld for %lld filters",
                                       (long long)c->bias->count, (long long)filters);
    return convti_onnx_need_image(r, c->kernel->size[1 - filters_axis]);
}

static convt_status get_convolution(convti_onnx_reader *r, int filters_axis, convolution *c)
{
    int64_t pads[4] = {0}, shape[2];
    const int64_t groups = convti_onnx_integer(r->node, "group", 1);
    *c = (convolution){.strides = {1, 1}, .dilations = {1, 1}};
    convt_status status = get_weights(r, filters_axis, c);
    if (!status && groups != 1)
        status = convti_onnx_refuse_node(r, "has %lld groups: only 1 is read", (long long)groups);
    if (!status) status = get_sizes(r, "strides", 1, 2, c->strides);
    if (!status) status = get_sizes(r, "dilations", 1, 2, c->dilations);
    if (!status) status = get_sizes(r, "output_padding", 0, 2, c->output_padding);
    if (!status) status = get_sizes(r, "pads", 0, 4, pads);
    if (status) return status;
    for (int i = 0; i < 2; i++) {
        shape[i] = c->kernel->size[2 + i];
        c->extent[i] = (shape[i] - 1) * c->dilations[i] + 1;
        c->size[i] = r->size[2 + i];
        c->begin[i] = pads[i];
        c->end[i] = pads[2 + i];
    }
    status = get_sizes(r, "kernel_shape", 1, 2, shape);
    if (status || (shape[0] == c->kernel->size[2] && shape[1] == c->kernel->size[3])) return status;
    return convti_onnx_refuse_node(r, "has another kernel_shape than its W");
}

typedef enum auto_pad { NOTSET, SAME_UPPER, SAME_LOWER, VALID, UNKNOWN } auto_pad;

static auto_pad auto_pad_of(const convti_onnx_node *node)
{
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const convti_wire text = convti_onnx_string(node, "auto_pad");
    int i = 0;
    while (i < UNKNOWN && !convti_wire_is(text, names[i])) i++;
    return convti_wire_size(text) == 0 ? NOTSET : (auto_pad)i;
}

/* Halves of what is cut; the odd one where the name says. */
static void split_pads(convolution *c, int axis, int64_t total, bool upper)
{
    const int64_t all = total > 0 ? total : 0;
    c->begin[axis] = upper ? all / 2 : all - all / 2;
    c->end[axis] = all - c->begin[axis];
    if (total < 0) c->output_padding[axis] -= total;
}

/* An output size that does not follow from a size of the input that is not known is 0. */
static int64_t known_size(int64_t in, int64_t out)
{
    return in > 0 && out > 0 && out <= MOST_SIZE ? out : 0;
}

/* Axes of W backwards are Keras' in both kinds. */
static const int kernel_axes[] = {2, 3, 1, 0};

/* The layer's weights; then it can take an activation, and a bias if it has none. */
static convt_status add_weights(convti_onnx_reader *r, const convti_onnx_tensor *kernel,
                                const int axes[], double kernel_scale,
                                const convti_onnx_tensor *bias, double bias_scale, int64_t units)
{
    convt_status status = convti_onnx_add_weight(r, "kernel", kernel, axes, kernel_scale);
    if (!status && bias) status = convti_onnx_add_weight(r, "bias", bias, NULL, bias_scale);
    r->owner = r->node->name;
    r->biasless = bias ? 0 : units;
    return status;
}

/* ---- Conv ------------------------------------------------------------------------------------ */

static json_t *sides(const convolution *c)
{
    return json_pack("[[I, I], [I, I]]", (json_int_t)c->begin[0], (json_int_t)c->end[0],
                     (json_int_t)c->begin[1], (json_int_t)c->end[1]);
}

static convt_status add_padding(convti_onnx_reader *r, const convolution *c)
{
    return convti_onnx_add_layer(
        r, "ZeroPadding2D",
        json_pack("{s:o, s:s}", "padding", sides(c), "data_format", convti_onnx_data_format(r)));
}

static convt_status read_conv(convti_onnx_reader *r)
{
    convolution c;
    const auto_pad automatic = auto_pad_of(r->node);
    convt_status status = get_convolution(r, 0, &c);
    if (status) return status;
    if (c.strides[0] != 1 || c.strides[1] != 1)
        return convti_onnx_refuse_node(r, "has strides %lld, %lld: only stride 1 is read",
                                       (long long)c.strides[0], (long long)c.strides[1]);
    if (automatic == UNKNOWN) return convti_onnx_refuse_node(r, "has an unknown auto_pad");
    bool none = true, same = true;
    for (int i = 0; i < 2; i++) {
        const int64_t total = automatic == VALID ? 0 : c.extent[i] - 1;
        if (automatic != NOTSET) split_pads(&c, i, total, automatic == SAME_UPPER);
        none = none && c.begin[i] == 0 && c.end[i] == 0;
        same = same && c.begin[i] == (c.extent[i] - 1) / 2 &&
               c.end[i] == c.extent[i] - 1 - c.begin[i];
        r->size[2 + i] = known_size(c.size[i], c.size[i] + c.begin[i] + c.end[i] - c.extent[i] + 1);
    }
    if (!none && !same) status = add_padding(r, &c);
    r->size[1] = c.kernel->size[0];
    if (!status)
        status = convti_onnx_add_layer(
            r, "Conv2D",
            json_pack("{s:I, s:[I,I], s:[i,i], s:[I,I], s:s, s:s, s:s, s:b}", "filters",
                      (json_int_t)c.kernel->size[0], "kernel_size", (json_int_t)c.kernel->size[2],
                      (json_int_t)c.kernel->size[3], "strides", 1, 1, "dilation_rate",
                      (json_int_t)c.dilations[0], (json_int_t)c.dilations[1], "padding",
                      same && !none ? "same" : "valid", "data_format", convti_onnx_data_format(r),
                      "activation", "linear", "use_bias", c.bias != NULL));
    return status ? status : add_weights(r, c.kernel, kernel_axes, 1, c.bias, 1, c.kernel->size[0]);
}

/* ---- ConvTranspose --------------------------------------------------------------------------- */

/* auto_pad and output_shape say what is cut in all; pads are not looked at then. */
static convt_status find_pads(convti_onnx_reader *r, convolution *c)
{
    const auto_pad automatic = auto_pad_of(r->node);
    int64_t out[2] = {0, 0};
    convt_status status = get_sizes(r, "output_shape", 1, 2, out);
    if (status) return status;
    if (automatic == UNKNOWN) return convti_onnx_refuse_node(r, "has an unknown auto_pad");
    for (int i = 0; i < 2; i++) {
        const int64_t natural = (c->size[i] - 1) * c->strides[i] + c->extent[i];
        if (out[i] > 0 && c->size[i] == 0)
            return convti_onnx_refuse_node(
                r, "has an output_shape, but the size of its input is not known");
        if (out[i] == 0 && (automatic == SAME_UPPER || automatic == SAME_LOWER) &&
            c->extent[i] + c->output_padding[i] < c->strides[i])
            return convti_onnx_refuse_node(
                r, "has a kernel smaller than its stride: runtimes disagree on auto_pad then");
        if (out[i] > 0)
            split_pads(c, i, natural + c->output_padding[i] - out[i], automatic == SAME_UPPER);
        else if (automatic == VALID)
            split_pads(c, i, 0, true);
        else if (automatic != NOTSET)
            split_pads(c, i, c->extent[i] - c->strides[i] + c->output_padding[i],
                       automatic == SAME_UPPER);
        const int64_t left = natural - c->begin[i] - c->end[i] + c->output_padding[i];
        if (c->size[i] > 0 && left < 1)
            return convti_onnx_refuse_node(r, "leaves no output of size %lld",
                                           (long long)c->size[i]);
        r->size[2 + i] = known_size(c->size[i], left);
    }
    return CONVT_OK;
}

/* Keras' words for pads: `padding`, and an output_padding of each axis, all -1 for None. */
typedef struct keras_words {
    bool same;
    int64_t output_padding[2];
} keras_words;

static bool says_axis(const convolution *c, int axis, bool same, int64_t output_padding)
{
    const convti_deconv one = {c->kernel->size[2 + axis], c->strides[axis], c->dilations[axis]};
    const convti_cut cut = convti_keras_cut(one, same, output_padding);
    return cut.begin == c->begin[axis] && cut.end == c->end[axis] - c->output_padding[axis];
}

/* The output_padding of an axis that says its pads: what it must add follows from Keras' rule. */
static bool find_output_padding(const convolution *c, int axis, bool same, int64_t *found)
{
    const int64_t cut = c->begin[axis] + c->end[axis] - c->output_padding[axis];
    *found = (same ? c->extent[axis] - c->extent[axis] % 2 : 0) - cut;
    return *found >= 0 && *found < c->strides[axis] && says_axis(c, axis, same, *found);
}

static bool find_words(const convolution *c, keras_words *words)
{
    for (int same = 0; same < 2; same++) {
        *words = (keras_words){same, {-1, -1}};
        if (says_axis(c, 0, same, -1) && says_axis(c, 1, same, -1)) return true;
    }
    for (int same = 0; same < 2; same++) {
        words->same = same;
        if (find_output_padding(c, 0, same, &words->output_padding[0]) &&
            find_output_padding(c, 1, same, &words->output_padding[1]))
            return true;
    }
    return false;
}

/* PyTorch's rule, which is that of explicit padding here. */
static convt_status check_output_padding(convti_onnx_reader *r, const convolution *c)
{
    for (int i = 0; i < 2; i++) {
        const int64_t step = c->strides[i] > c->dilations[i] ? c->strides[i] : c->dilations[i];
        if (c->output_padding[i] >= step)
            return convti_onnx_refuse_node(
                r, "has output_padding %lld, which must be less than its stride or dilation",
                (long long)c->output_padding[i]);
    }
    return CONVT_OK;
}

static json_t *pair(const int64_t values[2])
{
    return json_pack("[I, I]", (json_int_t)values[0], (json_int_t)values[1]);
}

/* padding, output_padding, and what Keras has no words for. */
static convt_status say_padding(convti_onnx_reader *r, const convolution *c, json_t **config)
{
    keras_words words;
    const bool strided = c->strides[0] > 1 || c->strides[1] > 1,
               dilated = c->dilations[0] > 1 || c->dilations[1] > 1, keras = find_words(c, &words);
    const int64_t *output_padding = keras ? words.output_padding : c->output_padding;
    *config =
        convti_json_with(*config, "padding", json_string(keras && words.same ? "same" : "valid"));
    *config = convti_json_with(*config, "output_padding",
                               output_padding[0] < 0 ? json_null() : pair(output_padding));
    if (!keras || (strided && dilated)) {
        json_t *beyond = json_object();
        if (!keras) beyond = convti_json_with(beyond, "explicit_padding", sides(c));
        if (strided && dilated)
            beyond = convti_json_with(beyond, "strides_with_dilation", json_true());
        *config = convti_json_with(*config, "convt", beyond);
    }
    return keras ? CONVT_OK : check_output_padding(r, c);
}

static convt_status read_conv_transpose(convti_onnx_reader *r)
{
    convolution c;
    convt_status status = get_convolution(r, 1, &c);
    if (!status) status = find_pads(r, &c);
    if (status) return status;
    const int64_t filters = c.kernel->size[1];
    json_t *config =
        json_pack("{s:I, s:[I,I], s:o, s:o, s:s, s:s, s:b}", "filters", (json_int_t)filters,
                  "kernel_size", (json_int_t)c.kernel->size[2], (json_int_t)c.kernel->size[3],
                  "strides", pair(c.strides), "dilation_rate", pair(c.dilations), "data_format",
                  convti_onnx_data_format(r), "activation", "linear", "use_bias", c.bias != NULL);
    status = say_padding(r, &c, &config);
    if (status)
        json_decref(config);
    else
        status = convti_onnx_add_layer(r, "Conv2DTranspose", config);
    r->size[1] = filters;
    return status ? status : add_weights(r, c.kernel, kernel_axes, 1, c.bias, 1, filters);
}

/* ---- dense ----------------------------------------------------------------------------------- */

static convt_status add_dense(convti_onnx_reader *r, int64_t units, bool biased)
{
    r->size[r->rank - 1] = units;
    return convti_onnx_add_layer(r, "Dense",
                                 json_pack("{s:I, s:s, s:b}", "units", (json_int_t)units,
                                           "activation", "linear", "use_bias", biased));
}

static convt_status read_gemm(convti_onnx_reader *r)
{
    static const int straight[] = {0, 1}, transposed[] = {1, 0};
    const convti_onnx_tensor *kernel, *bias = NULL;
    const int turn = convti_onnx_integer(r->node, "transB", 0) != 0;
    convt_status status = convti_onnx_weight_input(r, 1, "B", 2, &kernel);
    if (!status && convti_onnx_has_input(r, 2))
        status = convti_onnx_weight_input(r, 2, "C", 0, &bias);
    if (!status) status = convti_onnx_need(r, 2, kernel->size[turn]);
    if (status) return status;
    const int64_t units = kernel->size[1 - turn];
    if (convti_onnx_integer(r->node, "transA", 0) != 0)
        return convti_onnx_refuse_node(r, "has transA %lld: only 0 is read",
                                       (long long)convti_onnx_integer(r->node, "transA", 0));
    if (bias && (bias->count != units || bias->rank > 2 ||
                 (bias->rank > 0 && bias->size[bias->rank - 1] != units)))
        return convti_onnx_refuse_node(r, "has a C that is no bias of %lld units",
                                       (long long)units);
    status = add_dense(r, units, bias != NULL);
    return status ? status
                  : add_weights(r, kernel, turn ? transposed : straight,
                                convti_onnx_float(r->node, "alpha", 1), bias,
                                convti_onnx_float(r->node, "beta", 1), units);
}

static convt_status read_matmul(convti_onnx_reader *r)
{
    static const int axes[] = {0, 1};
    const convti_onnx_tensor *kernel;
    convt_status status = convti_onnx_weight_input(r, 1, "second factor", 2, &kernel);
    if (!status && r->rank < 0) status = convti_onnx_need(r, 2, kernel->size[0]);
    if (status) return status;
    const int64_t inputs = r->size[r->rank - 1];
    if (r->turned || (inputs && inputs != kernel->size[0]))
        return convti_onnx_refuse_node(r, "has %lld rows of weights for another last axis",
                                       (long long)kernel->size[0]);
    status = add_dense(r, kernel->size[1], false);
    return status ? status : add_weights(r, kernel, axes, 1, NULL, 1, kernel->size[1]);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static convt_status read_batch_normalization(convti_onnx_reader *r)
{
    static const char *const variables[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    const convti_onnx_tensor *tensors[4];
    convt_status status = CONVT_OK;
    for (int i = 0; i < 4 && !status; i++) {
        status = convti_onnx_weight_input(r, 1 + i, variables[i], 1, &tensors[i]);
        if (!status && tensors[i]->count != tensors[0]->count)
            status = convti_onnx_refuse_node(r, "has a %s of another size", variables[i]);
    }
    if (status) return status;
    if (r->node->outputs > 1 || convti_onnx_integer(r->node, "training_mode", 0) != 0 ||
        convti_onnx_integer(r->node, "spatial", 1) != 1)
        return convti_onnx_refuse_node(r, "trains: only the form for inference is read");
    status = r->rank == 2 ? convti_onnx_need(r, 2, tensors[0]->count)
                          : convti_onnx_need_image(r, tensors[0]->count);
    if (!status)
        status = convti_onnx_add_layer(
            r, "BatchNormalization",
            json_pack("{s:i, s:f, s:b, s:b}", "axis",
                      r->rank == 4 && r->format == CHANNELS_FIRST ? 1 : -1, "epsilon",
                      convti_onnx_float(r->node, "epsilon", 1e-5), "center", 1, "scale", 1));
    for (int i = 0; i < 4 && !status; i++)
        status = convti_onnx_add_weight(r, variables[i], tensors[i], NULL, 1);
    return status;
}

/* The other operand of a sum or product, either way round. */
static convt_status get_operand(convti_onnx_reader *r, const convti_onnx_tensor **tensor)
{
    const int other = r->node->inputs > 0 && convti_wire_equal(r->node->input[0], r->value);
    return convti_onnx_weight_input(r, other, "second operand", 0, tensor);
}

/* y = x * scale + offset. */
static convt_status rescale(convti_onnx_reader *r, double scale, double offset)
{
    return convti_onnx_add_layer(r, "Rescaling",
                                 json_pack("{s:f, s:f}", "scale", scale, "offset", offset));
}

static convt_status read_mul(convti_onnx_reader *r)
{
    const convti_onnx_tensor *tensor;
    double scale;
    convt_status status = get_operand(r, &tensor);
    if (status) return status;
    if (convti_onnx_tensor_reals(tensor, &scale, 1) != 1 || tensor->rank > r->rank)
        return convti_onnx_refuse_node(r, "multiplies by more than one number");
    return rescale(r, scale, 0);
}

/* A bias lies along the last axis of a Dense, along the channels of an image. */
static bool is_bias(const convti_onnx_reader *r, const convti_onnx_tensor *tensor)
{
    const bool dense = r->last_class && strcmp(r->last_class, "Dense") == 0;
    const int axis = tensor->rank - (dense ? 1 : 3);
    return r->biasless > 0 && tensor->count == r->biasless && tensor->rank <= r->rank &&
           axis >= 0 && tensor->size[axis] == r->biasless;
}

static convt_status read_add(convti_onnx_reader *r)
{
    const convti_onnx_tensor *tensor;
    double offset;
    convt_status status = get_operand(r, &tensor);
    if (status) return status;
    if (is_bias(r, tensor)) {
        r->biasless = 0;
        status = convti_onnx_say(r, "use_bias", json_true());
        return status ? status : convti_onnx_add_weight(r, "bias", tensor, NULL, 1);
    }
    if (convti_onnx_tensor_reals(tensor, &offset, 1) != 1 || tensor->rank > r->rank)
        return convti_onnx_refuse_node(r, "adds more than one number, and is no bias");
    const json_t *before = r->last_class && strcmp(r->last_class, "Rescaling") == 0
                               ? json_object_get(r->last, "offset")
                               : NULL;
    if (!before || json_real_value(before) < 0 || json_real_value(before) > 0)
        return rescale(r, 1, offset);
    return convti_onnx_say(r, "offset", json_real(offset));
}

/* ---- nothing --------------------------------------------------------------------------------- */

static convt_status read_identity(convti_onnx_reader *r)
{
    (void)r;
    return CONVT_OK;
}

static convt_status read_dropout(convti_onnx_reader *r)
{
    if (!convti_onnx_has_input(r, 2)) return CONVT_OK;
    const convti_onnx_tensor *mode = convti_onnx_constant(&r->graph, r->node->input[2]);
    if (mode && mode->type == ONNX_BOOL && !convti_onnx_tensor_flaw(mode) && mode->count == 1 &&
        mode->numbers.at[0] == 0)
        return CONVT_OK;
    return convti_onnx_refuse_node(r, "has a training_mode that is not stored as false");
}

const convti_onnx_operator convti_onnx_layers[] = {
    {"ConvTranspose", read_conv_transpose,
     "auto_pad dilations group kernel_shape output_padding output_shape pads strides"},
    {"Conv", read_conv, "auto_pad dilations group kernel_shape pads strides"},
    {"Gemm", read_gemm, "alpha beta transA transB"},
    {"MatMul", read_matmul, ""},
    {"BatchNormalization", read_batch_normalization, "epsilon momentum spatial training_mode"},
    {"Mul", read_mul, ""},
    {"Add", read_add, ""},
    {"Identity", read_identity, ""},
    {"Dropout", read_dropout, "ratio seed"},
};
const int convti_onnx_layer_count = (int)(sizeof convti_onnx_layers / sizeof *convti_onnx_layers);
