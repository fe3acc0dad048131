/*
 * Nodes that compute activations, one by one or several together (tables.c). An activation whose node
 * is called "<layer>/..." after the node before is that layer's own, as write_activation.c names
 * them; any other is a layer by itself.
 */
#include <math.h>
#include <string.h>

#include "names.h"
#include "read.h"

#define LENGTH(list) (int)(sizeof(list) / sizeof *(list))

/* float32 attributes and constants of numbers that have no end in binary. */
static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b);
}

static const char *snake_name(convt_activation_kind kind)
{
    return convti_snake_name(CONVTI_ACTIVATIONS, (int)kind);
}

/* ---- as Keras says it ------------------------------------------------------------------------ */

static bool is_owned(const convti_onnx_reader *r)
{
    const convti_wire owner = r->owner, name = r->node->name;
    const size_t size = convti_wire_size(owner);
    return size > 0 && convti_wire_size(name) > size && memcmp(name.at, owner.at, size) == 0 &&
           name.at[size] == '/';
}

/* An activation that a name says whole. */
static convt_status add_plain(convti_onnx_reader *r, convt_activation_kind kind)
{
    json_t *name = json_string(snake_name(kind));
    if (!is_owned(r))
        return convti_onnx_add_layer(r, "Activation", json_pack("{s:o}", "activation", name));
    r->owner = (convti_wire){0};
    r->biasless = 0;
    return convti_onnx_say(r, "activation", name);
}

/* Classes of Keras that say one argument. */
static const struct with_argument {
    convt_activation_kind kind;
    const char *class_name, *argument;
} with_arguments[] = {
    {CONVT_LEAKY_RELU, "LeakyReLU", "negative_slope"},
    {CONVT_ELU, "ELU", "alpha"},
    {CONVT_RELU, "ReLU", "max_value"},
};

static convt_status add_with_argument(convti_onnx_reader *r, convt_activation_kind kind,
                                      double value)
{
    for (int i = 0; i < LENGTH(with_arguments); i++) {
        if (with_arguments[i].kind == kind)
            return convti_onnx_add_layer(r, with_arguments[i].class_name,
                                         json_pack("{s:f}", with_arguments[i].argument, value));
    }
    return convti_onnx_refuse_node(r, "has an argument of %g, which Keras' %s has no words for",
                                   value, snake_name(kind));
}

/* ---- one node -------------------------------------------------------------------------------- */

/* An argument that has not its default ends in *value; false where the row says another function. */
static bool match_arguments(const convti_onnx_reader *r, const convti_onnx_activation *row,
                            bool *given, double *value)
{
    const convt_activation defaults = {.kind = row->kind};
    *given = false;
    for (int i = 0; i < 2 && row->arguments[i].name; i++) {
        const convti_onnx_argument *argument = &row->arguments[i];
        const double found = convti_onnx_float(r->node, argument->name, argument->missing),
                     expected = argument->argument
                                    ? convti_onnx_get_argument(&defaults, argument->argument)
                                    : argument->value;
        if (close_to(found, expected)) continue;
        if (!argument->argument || i > 0) return false;
        *given = true;
        *value = found;
    }
    return true;
}

static convt_status read_row(convti_onnx_reader *r)
{
    for (int i = 0; i < convti_onnx_activation_count; i++) {
        const convti_onnx_activation *row = &convti_onnx_activations[i];
        bool given;
        double value = 0;
        if (!convti_wire_is(r->node->op, row->op) || !match_arguments(r, row, &given, &value))
            continue;
        return given ? add_with_argument(r, row->kind, value) : add_plain(r, row->kind);
    }
    return convti_onnx_refuse_node(r, "has arguments that Keras has no words for");
}

/* A bound of Clip: an attribute up to opset 10, an input later; `missing` where there is none. */
static convt_status get_bound(convti_onnx_reader *r, const char *name, int input, double missing,
                              double *bound)
{
    const convti_onnx_tensor *tensor;
    *bound = convti_onnx_float(r->node, name, missing);
    if (!convti_onnx_has_input(r, input)) return CONVT_OK;
    convt_status status = convti_onnx_weight_input(r, input, name, 0, &tensor);
    if (status) return status;
    if (convti_onnx_tensor_reals(tensor, bound, 1) == 1) return CONVT_OK;
    return convti_onnx_refuse_node(r, "has more than one %s", name);
}

static bool equal(double a, double b)
{
    return a >= b && a <= b;
}

static convt_status read_clip(convti_onnx_reader *r)
{
    double least, most;
    convt_status status = get_bound(r, "min", 1, -HUGE_VAL, &least);
    if (!status) status = get_bound(r, "max", 2, HUGE_VAL, &most);
    if (status) return status;
    if (equal(least, -1) && equal(most, 1)) return add_plain(r, CONVT_HARD_TANH);
    if (equal(least, 0) && most >= (double)3e38f) return add_plain(r, CONVT_RELU);
    if (equal(least, 0) && equal(most, 6) && is_owned(r)) return add_plain(r, CONVT_RELU6);
    if (equal(least, 0) && most > 0) return add_with_argument(r, CONVT_RELU, most);
    return convti_onnx_refuse_node(r, "clips to %g and %g: Keras' relu begins at 0", least, most);
}

/* Keras' functions run along the last axis. Up to opset 12 the axes behind `axis` were one. */
static convt_status read_rows(convti_onnx_reader *r)
{
    const bool logarithm = convti_wire_is(r->node->op, "LogSoftmax");
    int64_t axis = convti_onnx_integer(r->node, "axis", r->graph.opset < 13 ? 1 : -1);
    if (axis < 0 && r->rank > 0) axis += r->rank;
    if (r->to_be_flat)
        return convti_onnx_refuse_node(r, "works on another order of axes than the nodes before");
    if (axis != (r->turned && r->graph.opset >= 13 ? 1 : r->rank - 1))
        return convti_onnx_refuse_node(
            r, "runs along axis %lld: Keras' softmax runs along the last one", (long long)axis);
    return add_plain(r, logarithm ? CONVT_LOG_SOFTMAX : CONVT_SOFTMAX);
}

static convt_status refuse_approximate(const convti_onnx_reader *r)
{
    return convti_onnx_refuse_node(
        r, "is the approximate form of gelu, which a Keras layer cannot name");
}

/* An operator from opset 20 on. */
static convt_status read_gelu(convti_onnx_reader *r)
{
    const convti_wire approximate = convti_onnx_string(r->node, "approximate");
    return convti_wire_size(approximate) == 0 || convti_wire_is(approximate, "none")
               ? add_plain(r, CONVT_GELU)
               : refuse_approximate(r);
}

static const struct special {
    const char *op;
    convti_onnx_read_node *read;
} specials[] = {
    {"Clip", read_clip}, {"Gelu", read_gelu}, {"Softmax", read_rows}, {"LogSoftmax", read_rows}};

static const struct special *find_special(const convti_onnx_node *node)
{
    for (int i = 0; i < LENGTH(specials); i++) {
        if (convti_wire_is(node->op, specials[i].op)) return &specials[i];
    }
    return NULL;
}

bool convti_onnx_is_activation(const convti_onnx_node *node)
{
    if (find_special(node)) return true;
    for (int i = 0; i < convti_onnx_activation_count; i++) {
        if (convti_wire_is(node->op, convti_onnx_activations[i].op)) return true;
    }
    return false;
}

convt_status convti_onnx_read_activation(convti_onnx_reader *r)
{
    const struct special *special = find_special(r->node);
    return special ? special->read(r) : read_row(r);
}

/* ---- several nodes --------------------------------------------------------------------------- */

/* A recipe being found in the graph. */
typedef struct match {
    const convti_onnx_reader *r;
    const convti_onnx_recipe *recipe;
    convti_wire results[CONVTI_MOST_STEPS];
    const convti_onnx_node *last;
} match;

static bool is_operand(const match *m, int operand, double constant, convti_wire name)
{
    double value;
    if (operand == CONVTI_RECIPE_X) return convti_wire_equal(name, m->r->value);
    if (operand >= 0) return convti_wire_equal(name, m->results[operand]);
    const convti_onnx_tensor *tensor = convti_onnx_constant(&m->r->graph, name);
    return tensor && convti_onnx_tensor_reals(tensor, &value, 1) == 1 && close_to(value, constant);
}

static bool is_step(const match *m, const convti_onnx_step *step, const convti_onnx_node *node)
{
    const int inputs = step->b == CONVTI_RECIPE_NOTHING ? 1 : 2;
    const bool commutes = convti_wire_is(node->op, "Mul") || convti_wire_is(node->op, "Add");
    if (node->inputs != inputs || !convti_wire_is(node->op, step->op)) return false;
    if (inputs == 1) return is_operand(m, step->a, step->constant, node->input[0]);
    for (int i = 0; i <= (int)commutes; i++) {
        if (is_operand(m, step->a, step->constant, node->input[i]) &&
            is_operand(m, step->b, step->constant, node->input[1 - i]))
            return true;
    }
    return false;
}

/* As many nodes take a result as steps do, so that nothing else needs it. */
static bool is_taken_within(const match *m, int result, convti_wire name)
{
    const convti_onnx_node *ignored;
    const int steps = convti_onnx_recipe_steps(m->recipe);
    int takers = 0;
    for (int i = 0; i < steps; i++)
        takers += m->recipe->steps[i].a == result || m->recipe->steps[i].b == result;
    return convti_onnx_count_consumers(&m->r->graph, name, &ignored) == takers;
}

static bool find_recipe(match *m)
{
    const convti_onnx_graph *graph = &m->r->graph;
    const int steps = convti_onnx_recipe_steps(m->recipe);
    for (int i = 0; i < steps; i++) {
        m->last = NULL;
        for (int k = 0; k < graph->node_count && !m->last; k++) {
            if (is_step(m, &m->recipe->steps[i], &graph->nodes[k])) m->last = &graph->nodes[k];
        }
        if (!m->last) return false;
        m->results[i] = m->last->output;
    }
    bool within = is_taken_within(m, CONVTI_RECIPE_X, m->r->value);
    for (int i = 0; i < steps - 1 && within; i++) within = is_taken_within(m, i, m->results[i]);
    return within;
}

bool convti_onnx_read_recipe(convti_onnx_reader *r, convt_status *status)
{
    for (int i = 0; i < convti_onnx_recipe_count; i++) {
        match m = {.r = r, .recipe = &convti_onnx_recipes[i]};
        if (!find_recipe(&m)) continue;
        r->node = m.last;
        r->value = m.last->output;
        *status = m.recipe->approximate > 0 ? refuse_approximate(r) : add_plain(r, m.recipe->kind);
        return true;
    }
    return false;
}
