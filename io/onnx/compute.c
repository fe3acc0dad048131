/*
 * Integers that a graph computes from the shape of a value: exporters write `x.view(x.size(0), 64, 4, 4)`
 * as Shape, Gather and Concat. Whatever is not known makes the result unknown.
 */
#include <string.h>

#include "graph.h"

enum { MOST = 8, BIG = 1 << 30 };

typedef struct row {
    int count; /* -1: not known */
    int64_t at[MOST];
} row;

static const row unknown = {.count = -1};

/* What is computed; `left` ends what hostile files would compute for ever. */
typedef struct computation {
    const convti_onnx_graph *graph;
    const convti_onnx_sizes *known;
    int left;
} computation;

static row compute(computation *c, convti_wire name, int depth);

static row compute_shape(computation *c, const convti_onnx_node *node)
{
    row shape = {.count = c->known->rank};
    if (!convti_wire_equal(node->input[0], c->known->value) || shape.count < 0) return unknown;
    memcpy(shape.at, c->known->size, (size_t)shape.count * sizeof *shape.at);
    shape.at[0] = CONVTI_ONNX_BATCH;
    for (int i = 1; i < shape.count; i++) {
        if (shape.at[i] == 0) return unknown;
    }
    return shape;
}

static row compute_concat(computation *c, const convti_onnx_node *node, int depth)
{
    row all = {.count = 0};
    for (int i = 0; i < node->inputs && i < CONVTI_ONNX_INPUTS; i++) {
        const row piece = compute(c, node->input[i], depth);
        if (piece.count < 0 || piece.count > MOST - all.count) return unknown;
        memcpy(all.at + all.count, piece.at, (size_t)piece.count * sizeof *piece.at);
        all.count += piece.count;
    }
    return all;
}

/* A position of a row, counted from its end below 0, kept within it. */
static int64_t position(int64_t at, int count)
{
    if (at < 0) at += count;
    return at < 0 ? 0 : at > count ? count : at;
}

static row compute_gather(const row *data, const row *index)
{
    row one = {.count = 1};
    if (index->count != 1 || index->at[0] < -data->count || index->at[0] >= data->count)
        return unknown;
    one.at[0] = data->at[position(index->at[0], data->count)];
    return one;
}

static row compute_slice(const row *data, const row *starts, const row *ends)
{
    row part = {.count = 0};
    if (starts->count != 1 || ends->count != 1) return unknown;
    const int64_t end = position(ends->at[0], data->count);
    for (int64_t i = position(starts->at[0], data->count); i < end; i++)
        part.at[part.count++] = data->at[i];
    return part;
}

static bool is_small(int64_t value)
{
    return value > -BIG && value < BIG;
}

/* Of single numbers, as exporters need it for positions. */
static row compute_number(const convti_onnx_node *node, const row *a, const row *b)
{
    if (a->count != 1 || b->count != 1 || !is_small(a->at[0]) || !is_small(b->at[0]))
        return unknown;
    const int64_t x = a->at[0], y = b->at[0];
    if (convti_wire_is(node->op, "Add")) return (row){1, {x + y}};
    if (convti_wire_is(node->op, "Sub")) return (row){1, {x - y}};
    if (convti_wire_is(node->op, "Mul")) return (row){1, {x * y}};
    if (convti_wire_is(node->op, "Mod") && y > 0) return (row){1, {(x % y + y) % y}};
    return unknown;
}

static bool is_one_of(convti_wire op, const char *const names[], int count)
{
    for (int i = 0; i < count; i++) {
        if (convti_wire_is(op, names[i])) return true;
    }
    return false;
}

static row compute_node(computation *c, const convti_onnx_node *node, int depth)
{
    static const char *const same[] = {"Unsqueeze", "Squeeze", "Cast", "Identity", "Reshape"},
                             *const numbers[] = {"Add", "Sub", "Mul", "Mod"};
    if (convti_wire_is(node->op, "Shape")) return compute_shape(c, node);
    if (convti_wire_is(node->op, "Concat")) return compute_concat(c, node, depth);
    const row first = compute(c, node->input[0], depth);
    if (first.count < 0 || is_one_of(node->op, same, 5)) return first;
    const row second = compute(c, node->input[1], depth);
    if (second.count < 0) return unknown;
    if (convti_wire_is(node->op, "Gather")) return compute_gather(&first, &second);
    if (is_one_of(node->op, numbers, 4)) return compute_number(node, &first, &second);
    if (!convti_wire_is(node->op, "Slice") || node->inputs > 4) return unknown;
    const row third = compute(c, node->input[2], depth);
    return third.count < 0 ? unknown : compute_slice(&first, &second, &third);
}

static row compute(computation *c, convti_wire name, int depth)
{
    row stored = unknown;
    const convti_onnx_tensor *tensor = convti_onnx_constant(c->graph, name);
    if (tensor) stored.count = convti_onnx_tensor_integers(tensor, stored.at, MOST);
    if (tensor) return stored.count > MOST ? unknown : stored;
    const convti_onnx_node *node = convti_onnx_node_of(c->graph, name);
    if (!node || depth == 0 || c->left-- <= 0 || node->inputs > CONVTI_ONNX_INPUTS) return unknown;
    return compute_node(c, node, depth - 1);
}

int convti_onnx_compute(const convti_onnx_graph *graph, const convti_onnx_sizes *known,
                        convti_wire name, int64_t values[8])
{
    enum { DEPTH = 12, NODES = 64 };
    computation c = {graph, known, NODES};
    const row result = compute(&c, name, DEPTH);
    if (result.count > 0) memcpy(values, result.at, (size_t)result.count * sizeof *values);
    return result.count;
}
