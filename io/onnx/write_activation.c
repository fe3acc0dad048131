/* Activations as nodes: one node, a Clip, a recipe of several, or a refusal by name. */
#include <math.h>
#include <stdio.h>

#include "names.h"
#include "write.h"

/* min(max(x, least), most) */
static const struct clip {
    convt_activation_kind kind;
    double least, most;
} clips[] = {{CONVT_RELU6, 0, 6}, {CONVT_HARD_TANH, -1, 1}};

/* Along the last axis of Keras' tensor. */
static const struct rows {
    convt_activation_kind kind;
    const char *op;
} along_rows[] = {{CONVT_SOFTMAX, "Softmax"}, {CONVT_LOG_SOFTMAX, "LogSoftmax"}};

#define LENGTH(list) (int)(sizeof(list) / sizeof *(list))

static void write_clip(convti_onnx_writer *w, convti_onnx_name name, double least, double most)
{
    convti_onnx_name bounds[2];
    for (int i = 0; i < 2; i++) {
        snprintf(bounds[i].text, sizeof bounds[i].text, "%.240s/%s", name.text, i ? "max" : "min");
        convti_onnx_put_scalar(w, bounds[i].text, i ? most : least);
    }
    convti_onnx_begin_node(w, name, "Clip",
                           (const char *[]){w->value.text, bounds[0].text, bounds[1].text}, 3);
    convti_onnx_end_node(w);
}

static void write_rows(convti_onnx_writer *w, convti_onnx_name name, const char *op)
{
    convti_onnx_begin_node(w, name, op, (const char *[]){w->value.text}, 1);
    convti_onnx_add_integer(w, "axis", w->turned ? 1 : -1);
    convti_onnx_end_node(w);
}

static void write_one(convti_onnx_writer *w, convti_onnx_name name,
                      const convti_onnx_activation *row, const convt_activation *activation)
{
    convti_onnx_begin_node(w, name, row->op, (const char *[]){w->value.text}, 1);
    for (int i = 0; i < 2 && row->arguments[i].name; i++) {
        const convti_onnx_argument *argument = &row->arguments[i];
        convti_onnx_add_float(w, argument->name,
                              argument->argument
                                  ? convti_onnx_get_argument(activation, argument->argument)
                                  : argument->value);
    }
    convti_onnx_end_node(w);
}

/* Of a step: the last one bears the name itself. */
static convti_onnx_name step_name(convti_onnx_name name, int step, int steps)
{
    convti_onnx_name own = name;
    if (step < steps - 1) snprintf(own.text, sizeof own.text, "%.240s/%d", name.text, step);
    return own;
}

static void write_recipe(convti_onnx_writer *w, convti_onnx_name name,
                         const convti_onnx_recipe *recipe)
{
    const int steps = convti_onnx_recipe_steps(recipe);
    const convti_onnx_name x = w->value;
    for (int i = 0; i < steps; i++) {
        const convti_onnx_step *step = &recipe->steps[i];
        const int operands[2] = {step->a, step->b};
        const convti_onnx_name own = step_name(name, i, steps);
        convti_onnx_name inputs[2];
        int count = 0;
        for (; count < 2 && operands[count] != CONVTI_RECIPE_NOTHING; count++) {
            if (operands[count] == CONVTI_RECIPE_CONSTANT) {
                snprintf(inputs[count].text, sizeof inputs[count].text, "%.230s/constant",
                         own.text);
                convti_onnx_put_scalar(w, inputs[count].text, step->constant);
            } else {
                inputs[count] = operands[count] == CONVTI_RECIPE_X
                                    ? x
                                    : step_name(name, operands[count], steps);
            }
        }
        convti_onnx_begin_node(w, own, step->op, (const char *[]){inputs[0].text, inputs[1].text},
                               count);
        convti_onnx_end_node(w);
    }
}

/* relu has three arguments, of which ONNX knows one at a time. */
static convt_status write_relu(convti_onnx_writer *w, convti_onnx_name name,
                               const convt_activation *activation)
{
    const double slope = convti_onnx_get_argument(activation, "negative_slope"),
                 most = convti_onnx_get_argument(activation, "max_value"),
                 threshold = convti_onnx_get_argument(activation, "threshold");
    const bool leaks = slope < 0 || slope > 0, ends = isfinite(most);
    if (threshold < 0 || threshold > 0 || (leaks && ends))
        return convti_onnx_refuse_layer(w, "has a relu with %s, which no ONNX operator computes",
                                        leaks && ends ? "negative_slope and max_value"
                                                      : "a threshold");
    if (ends) {
        write_clip(w, name, 0, most);
        return CONVT_OK;
    }
    convti_onnx_begin_node(w, name, leaks ? "LeakyRelu" : "Relu", (const char *[]){w->value.text},
                           1);
    if (leaks) convti_onnx_add_float(w, "alpha", slope);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

/* ONNX' Celu takes no doubles. With alpha 1, which is all that Keras' own name says, it is Elu. */
static convt_status write_celu(convti_onnx_writer *w, convti_onnx_name name,
                               const convt_activation *activation)
{
    const double alpha = convti_onnx_get_argument(activation, "alpha");
    const bool is_elu = alpha >= 1 && alpha <= 1;
    if (!is_elu && w->items.dtype == CONVT_FLOAT64)
        return convti_onnx_refuse_layer(w, "has a celu in float64, which ONNX has in float32 only");
    convti_onnx_begin_node(w, name, is_elu ? "Elu" : "Celu", (const char *[]){w->value.text}, 1);
    convti_onnx_add_float(w, "alpha", alpha);
    convti_onnx_end_node(w);
    return CONVT_OK;
}

convt_status convti_onnx_write_activation(convti_onnx_writer *w, const convt_activation *activation,
                                          const char *suffix)
{
    const convti_onnx_name name = convti_onnx_name_of(w, suffix);
    const convt_activation_kind kind = activation->kind;
    if (kind == CONVT_LINEAR) return CONVT_OK;
    if (kind == CONVT_RELU) return write_relu(w, name, activation);
    if (kind == CONVT_CELU) return write_celu(w, name, activation);
    for (int i = 0; i < LENGTH(clips); i++) {
        if (clips[i].kind != kind) continue;
        write_clip(w, name, clips[i].least, clips[i].most);
        return CONVT_OK;
    }
    for (int i = 0; i < LENGTH(along_rows); i++) {
        if (along_rows[i].kind != kind) continue;
        write_rows(w, name, along_rows[i].op);
        return CONVT_OK;
    }
    for (int i = 0; i < convti_onnx_activation_count; i++) {
        if (convti_onnx_activations[i].kind != kind) continue;
        write_one(w, name, &convti_onnx_activations[i], activation);
        return CONVT_OK;
    }
    const double approximate = convti_onnx_get_argument(activation, "approximate");
    for (int i = 0; i < convti_onnx_recipe_count; i++) {
        const convti_onnx_recipe *recipe = &convti_onnx_recipes[i];
        if (recipe->kind != kind || (recipe->approximate > 0) != (approximate > 0)) continue;
        write_recipe(w, name, recipe);
        return CONVT_OK;
    }
    return convti_onnx_refuse_layer(w, "has the activation %s, which ONNX has no operator for",
                                    convti_snake_name(CONVTI_ACTIVATIONS, (int)kind));
}
