/* What reading and writing share: Keras' padding, and the activations that ONNX has or can compose. */
#include <math.h>
#include <string.h>

#include "onnx.h"
#include "tables.h"

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- padding --------------------------------------------------------------------------------- */

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

convti_cut convti_keras_cut(convti_deconv axis, bool same, int64_t output_padding)
{
    const int64_t extent = (axis.kernel - 1) * axis.dilation + 1;
    if (!same)
        return (convti_cut){
            0, -(output_padding < 0 ? greater(axis.stride - extent, 0) : output_padding)};
    const int64_t all = output_padding < 0 ? extent - axis.stride
                                           : extent - extent % 2 - output_padding,
                  begin = greater(all, 0) / 2;
    return (convti_cut){begin, all - begin};
}

/* ---- activations ----------------------------------------------------------------------------- */

#define SELU_ALPHA 1.6732632423543772
#define SELU_SCALE 1.0507009873554805

const convti_onnx_activation convti_onnx_activations[] = {
    {CONVT_RELU, "Relu", {{0}}},
    {CONVT_LEAKY_RELU, "LeakyRelu", {{"alpha", 0, "negative_slope", 0.01}}},
    {CONVT_ELU, "Elu", {{"alpha", 0, "alpha", 1}}},
    {CONVT_CELU, "Celu", {{"alpha", 0, "alpha", 1}}},
    {CONVT_SELU,
     "Selu",
     {{"alpha", SELU_ALPHA, NULL, SELU_ALPHA}, {"gamma", SELU_SCALE, NULL, SELU_SCALE}}},
    {CONVT_SIGMOID, "Sigmoid", {{0}}},
    {CONVT_TANH, "Tanh", {{0}}},
    {CONVT_SOFTPLUS, "Softplus", {{0}}},
    {CONVT_SOFTSIGN, "Softsign", {{0}}},
    {CONVT_EXPONENTIAL, "Exp", {{0}}},
    {CONVT_HARD_SIGMOID, "HardSigmoid", {{"alpha", 1.0 / 6, NULL, 0.2}, {"beta", 0.5, NULL, 0.5}}},
    {CONVT_SPARSE_SIGMOID, "HardSigmoid", {{"alpha", 0.5, NULL, 0.2}, {"beta", 0.5, NULL, 0.5}}},
    {CONVT_HARD_SILU, "HardSwish", {{0}}},
    {CONVT_SOFT_SHRINK, "Shrink", {{"lambd", 0, "threshold", 0.5}, {"bias", 0, "threshold", 0}}},
    {CONVT_HARD_SHRINK, "Shrink", {{"lambd", 0, "threshold", 0.5}, {"bias", 0, NULL, 0}}},
};
const int convti_onnx_activation_count = (int)LENGTH(convti_onnx_activations);

enum { X = CONVTI_RECIPE_X, C = CONVTI_RECIPE_CONSTANT, NOTHING = CONVTI_RECIPE_NOTHING };

const convti_onnx_recipe convti_onnx_recipes[] = {
    {CONVT_SILU, 0, {{"Sigmoid", X, NOTHING, 0}, {"Mul", X, 0, 0}}},
    {CONVT_MISH, 0, {{"Softplus", X, NOTHING, 0}, {"Tanh", 0, NOTHING, 0}, {"Mul", X, 1, 0}}},
    {CONVT_LOG_SIGMOID,
     0,
     {{"Neg", X, NOTHING, 0}, {"Softplus", 0, NOTHING, 0}, {"Neg", 1, NOTHING, 0}}},
    {CONVT_TANH_SHRINK, 0, {{"Tanh", X, NOTHING, 0}, {"Sub", X, 0, 0}}},
    /* x / 2 * (1 + erf(x / sqrt 2)), in the order in which PyTorch exports it */
    {CONVT_GELU,
     0,
     {{"Div", X, C, 1.4142135623730951},
      {"Erf", 0, NOTHING, 0},
      {"Add", 1, C, 1},
      {"Mul", X, 2, 0},
      {"Mul", 3, C, 0.5}}},
    /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) */
    {CONVT_GELU,
     1,
     {{"Mul", X, X, 0},
      {"Mul", 0, X, 0},
      {"Mul", 1, C, 0.044715},
      {"Add", X, 2, 0},
      {"Mul", 3, C, 0.7978845608028654},
      {"Tanh", 4, NOTHING, 0},
      {"Add", 5, C, 1},
      {"Mul", X, 6, 0},
      {"Mul", 7, C, 0.5}}},
};
const int convti_onnx_recipe_count = (int)LENGTH(convti_onnx_recipes);

int convti_onnx_recipe_steps(const convti_onnx_recipe *recipe)
{
    int count = 0;
    while (count < CONVTI_MOST_STEPS && recipe->steps[count].op) count++;
    return count;
}

double convti_onnx_get_argument(const convt_activation *activation, const char *name)
{
    struct convti_activation_params params;
    double value = 0;
    convti_activation_defaults(activation, &params);
#define ACTIVATION_ARGUMENT(argument, range) \
    if (strcmp(name, #argument) == 0) value = params.argument;
#include "convt/activations.def"
    return value;
}
