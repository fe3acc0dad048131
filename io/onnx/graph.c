/* An ONNX file taken apart: see graph.h. Sizes are counted before there is memory for anything. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "status.h"

/* ---- tensors --------------------------------------------------------------------------------- */

static const struct element {
    uint64_t type;
    size_t size;
    uint64_t field; /* beside raw_data: packed numbers that lie as raw_data would */
} elements[] = {
    {ONNX_FLOAT, 4, TENSOR_FLOAT_DATA},
    {ONNX_DOUBLE, 8, TENSOR_DOUBLE_DATA},
    {ONNX_FLOAT16, 2, 0},
    {ONNX_BFLOAT16, 2, 0},
    {ONNX_INT64, 8, 0},
    {ONNX_INT32, 4, 0},
    {ONNX_BOOL, 1, 0},
};

static const struct element *element_of(uint64_t type)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        if (elements[i].type == type) return &elements[i];
    }
    return NULL;
}

/* Sizes of a packed or single field, one after the other; rank -1 where they are too many. */
static void add_size(convti_onnx_tensor *tensor, uint64_t size)
{
    if (tensor->rank < 0) return;
    if (tensor->rank == CONVT_MAX_RANK || size > INT64_MAX)
        tensor->rank = -1;
    else
        tensor->size[tensor->rank++] = (int64_t)size;
}

static void add_sizes(convti_onnx_tensor *tensor, const convti_wire_field *field)
{
    convti_wire packed = field->bytes;
    uint64_t size;
    if (field->type == CONVTI_VARINT) add_size(tensor, field->value);
    while (convti_wire_varint(&packed, &size)) add_size(tensor, size);
}

/* Overflow is a count that no numbers can have. */
static int64_t count_of(const convti_onnx_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        if (!convti_mul64(count, tensor->size[i], &count)) return INT64_MAX;
    }
    return count;
}

static void parse_tensor(convti_wire message, convti_onnx_tensor *tensor)
{
    convti_wire raw = {0}, typed = {0}, rest = message;
    convti_wire_field field;
    uint64_t typed_field = 0;
    *tensor = (convti_onnx_tensor){.message = message};
    while (convti_wire_next(&rest, &field)) {
        switch (field.number) {
        case TENSOR_DIMS: add_sizes(tensor, &field); break;
        case TENSOR_DATA_TYPE: tensor->type = field.value; break;
        case TENSOR_NAME: tensor->name = field.bytes; break;
        case TENSOR_RAW_DATA: raw = field.bytes; break;
        case TENSOR_EXTERNAL_DATA: tensor->external = true; break;
        case TENSOR_DATA_LOCATION: tensor->external |= field.value != 0; break;
        case TENSOR_FLOAT_DATA:
        case TENSOR_DOUBLE_DATA:
            typed_field = field.number;
            typed = field.bytes;
            break;
        default: break;
        }
    }
    const struct element *element = element_of(tensor->type);
    tensor->count = count_of(tensor);
    tensor->numbers = raw;
    if (!raw.at && element && element->field && element->field == typed_field)
        tensor->numbers = typed;
}

const char *convti_onnx_tensor_flaw(const convti_onnx_tensor *tensor)
{
    const struct element *element = element_of(tensor->type);
    if (tensor->external) return "has its numbers in another file, as external data";
    if (tensor->rank < 0) return "has more than 8 axes";
    if (!element) return "has a type that is not read";
    if (tensor->type == ONNX_INT64 && !tensor->numbers.at) return NULL;
    if ((uint64_t)tensor->count != convti_wire_size(tensor->numbers) / element->size ||
        convti_wire_size(tensor->numbers) % element->size != 0)
        return "has another shape than its numbers";
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A message within a message; at NULL: none. The last one counts. */
static convti_wire find_message(convti_wire message, uint64_t number)
{
    convti_wire_field field;
    convti_wire found = {0};
    while (convti_wire_next(&message, &field)) {
        if (field.number == number && field.type == CONVTI_BYTES) found = field.bytes;
    }
    return found;
}

static uint64_t find_number(convti_wire message, uint64_t number)
{
    convti_wire_field field;
    uint64_t found = 0;
    while (convti_wire_next(&message, &field)) {
        if (field.number == number && field.type == CONVTI_VARINT) found = field.value;
    }
    return found;
}

static void parse_value(convti_wire message, convti_onnx_value *value)
{
    const convti_wire tensor = find_message(find_message(message, VALUE_TYPE), TYPE_TENSOR);
    convti_wire shape = find_message(tensor, TYPE_SHAPE);
    convti_wire_field field;
    *value = (convti_onnx_value){.name = find_message(message, VALUE_NAME),
                                 .type = find_number(tensor, TYPE_ELEMENT),
                                 .rank = shape.at ? 0 : -1};
    while (convti_wire_next(&shape, &field)) {
        if (field.number != SHAPE_DIM) continue;
        const uint64_t size = find_number(field.bytes, DIM_VALUE);
        if (value->rank < 4) value->size[value->rank] = size <= INT32_MAX ? (int64_t)size : 0;
        value->rank++;
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void parse_node(convti_wire message, convti_onnx_node *node)
{
    convti_wire rest = message;
    convti_wire_field field;
    *node = (convti_onnx_node){.message = message};
    while (convti_wire_next(&rest, &field)) {
        switch (field.number) {
        case NODE_NAME: node->name = field.bytes; break;
        case NODE_OP_TYPE: node->op = field.bytes; break;
        case NODE_DOMAIN: node->domain = field.bytes; break;
        case NODE_OUTPUT:
            if (node->outputs == 0) node->output = field.bytes;
            node->outputs += convti_wire_size(field.bytes) > 0;
            break;
        case NODE_INPUT:
            if (node->inputs < CONVTI_ONNX_INPUTS) node->input[node->inputs] = field.bytes;
            node->inputs++;
            break;
        default: break;
        }
    }
}

/* ---- attributes ------------------------------------------------------------------------------ */

convti_wire convti_onnx_attribute(const convti_onnx_node *node, const char *name)
{
    convti_wire rest = node->message;
    convti_wire_field field;
    while (convti_wire_next(&rest, &field)) {
        if (field.number == NODE_ATTRIBUTE &&
            convti_wire_is(find_message(field.bytes, ATTRIBUTE_NAME), name))
            return field.bytes;
    }
    return (convti_wire){0};
}

int64_t convti_onnx_integer(const convti_onnx_node *node, const char *name, int64_t missing)
{
    const convti_wire attribute = convti_onnx_attribute(node, name);
    return attribute.at ? (int64_t)find_number(attribute, ATTRIBUTE_I) : missing;
}

convti_wire convti_onnx_string(const convti_onnx_node *node, const char *name)
{
    return find_message(convti_onnx_attribute(node, name), ATTRIBUTE_S);
}

/* 0.2f is 0.2 again. */
static double shortest(uint64_t bits)
{
    const uint32_t half = (uint32_t)bits;
    char text[32];
    float value;
    memcpy(&value, &half, sizeof value);
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        const float again = strtof(text, NULL);
        if (memcmp(&again, &value, sizeof value) == 0) return strtod(text, NULL);
    }
    return (double)value;
}

double convti_onnx_float(const convti_onnx_node *node, const char *name, double missing)
{
    convti_wire attribute = convti_onnx_attribute(node, name);
    convti_wire_field field;
    double found = attribute.at ? 0 : missing;
    while (convti_wire_next(&attribute, &field)) {
        if (field.number == ATTRIBUTE_F && field.type == CONVTI_FIXED32)
            found = shortest(field.value);
    }
    return found;
}

int convti_onnx_integers(const convti_onnx_node *node, const char *name, int64_t values[], int most)
{
    convti_wire attribute = convti_onnx_attribute(node, name);
    convti_wire_field field;
    int count = attribute.at ? 0 : -1;
    while (convti_wire_next(&attribute, &field)) {
        convti_wire packed = field.bytes;
        uint64_t value = field.value;
        if (field.number != ATTRIBUTE_INTS) continue;
        bool more = field.type == CONVTI_VARINT || convti_wire_varint(&packed, &value);
        while (more) {
            if (count < most) values[count] = (int64_t)value;
            count += count <= most;
            more = field.type == CONVTI_BYTES && convti_wire_varint(&packed, &value);
        }
    }
    return count;
}

static double float_at(const unsigned char *at)
{
    return shortest(at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24);
}

int convti_onnx_floats(const convti_onnx_node *node, const char *name, double values[], int most)
{
    convti_wire attribute = convti_onnx_attribute(node, name);
    convti_wire_field field;
    int count = attribute.at ? 0 : -1;
    while (convti_wire_next(&attribute, &field)) {
        if (field.number != ATTRIBUTE_FLOATS) continue;
        for (size_t i = 0; i + 4 <= convti_wire_size(field.bytes); i += 4) {
            if (count < most) values[count] = float_at(field.bytes.at + i);
            count += count <= most;
        }
    }
    return count;
}

/* ---- the graph ------------------------------------------------------------------------------- */

const convti_onnx_node *convti_onnx_node_of(const convti_onnx_graph *graph, convti_wire output)
{
    for (int i = 0; i < graph->node_count && convti_wire_size(output) > 0; i++) {
        if (convti_wire_equal(graph->nodes[i].output, output)) return &graph->nodes[i];
    }
    return NULL;
}

const convti_onnx_tensor *convti_onnx_constant(const convti_onnx_graph *graph, convti_wire name)
{
    enum { MOST_IDENTITIES = 8 };
    for (int step = 0; step < MOST_IDENTITIES && convti_wire_size(name) > 0; step++) {
        for (int i = 0; i < graph->tensor_count; i++) {
            if (convti_wire_equal(graph->tensors[i].name, name)) return &graph->tensors[i];
        }
        const convti_onnx_node *node = convti_onnx_node_of(graph, name);
        if (!node || node->inputs != 1 || !convti_wire_is(node->op, "Identity")) return NULL;
        name = node->input[0];
    }
    return NULL;
}

/* What the graph holds of everything. */
typedef struct counts {
    int nodes, tensors, outputs;
    bool broken; /* a node or a constant is no message */
} counts;

/* The value of a Constant node, named by its output. at NULL: it is none. */
static convti_wire constant_of(const convti_onnx_node *node)
{
    if (!convti_wire_is(node->op, "Constant")) return (convti_wire){0};
    return find_message(convti_onnx_attribute(node, "value"), ATTRIBUTE_T);
}

/* A Constant node becomes a tensor, any other a node. */
static void visit_node(convti_wire message, convti_onnx_graph *graph, counts *found)
{
    convti_onnx_node node;
    parse_node(message, &node);
    const convti_wire constant = constant_of(&node);
    if (graph && constant.at) {
        parse_tensor(constant, &graph->tensors[found->tensors]);
        graph->tensors[found->tensors].name = node.output;
    } else if (graph)
        graph->nodes[found->nodes] = node;
    found->tensors += constant.at != NULL;
    found->nodes += constant.at == NULL;
}

/* With `graph` NULL counts only; otherwise there is room for what was counted. */
static counts visit_graph(convti_wire message, convti_onnx_graph *graph)
{
    counts found = {0};
    convti_wire_field field;
    while (convti_wire_next(&message, &field) && found.nodes <= CONVTI_ONNX_MOST &&
           found.tensors <= CONVTI_ONNX_MOST) {
        switch (field.number) {
        case GRAPH_NODE:
            found.broken |= !convti_wire_is_sound(field.bytes);
            visit_node(field.bytes, graph, &found);
            break;
        case GRAPH_INITIALIZER:
            found.broken |= !convti_wire_is_sound(field.bytes);
            if (graph) parse_tensor(field.bytes, &graph->tensors[found.tensors]);
            found.tensors++;
            break;
        case GRAPH_OUTPUT:
            if (graph) parse_value(field.bytes, &graph->output);
            found.outputs++;
            break;
        default: break;
        }
    }
    return found;
}

/* Files of old list the initializers among the inputs. */
static int find_input(convti_wire message, convti_onnx_graph *graph)
{
    convti_wire_field field;
    int count = 0;
    while (convti_wire_next(&message, &field)) {
        convti_onnx_value value;
        if (field.number != GRAPH_INPUT) continue;
        parse_value(field.bytes, &value);
        if (convti_onnx_constant(graph, value.name)) continue;
        graph->input = value;
        if (++count > 1) break;
    }
    return count;
}

static convt_status check_counts(const counts *found, const char *file, convt_error *err)
{
    if (found->nodes > CONVTI_ONNX_MOST || found->tensors > CONVTI_ONNX_MOST)
        return convti_fail(err, CONVT_BAD_FORMAT, file,
                           "has more than %d nodes or constants: it is no decoder",
                           CONVTI_ONNX_MOST);
    if (found->broken)
        return convti_fail(err, CONVT_BAD_FORMAT, file, "has a node or a constant that is none");
    if (found->outputs != 1)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, file,
                           "has %d outputs: a straight line of layers has one", found->outputs);
    return CONVT_OK;
}

/* The version of ONNX' own operators; 0: the file names none. */
static uint64_t find_opset(convti_wire model)
{
    convti_wire_field field;
    uint64_t version = 0;
    while (convti_wire_next(&model, &field)) {
        if (field.number != MODEL_OPSET_IMPORT) continue;
        const convti_wire domain = find_message(field.bytes, OPSET_DOMAIN);
        if (convti_wire_size(domain) == 0 || convti_wire_is(domain, "ai.onnx"))
            version = find_number(field.bytes, OPSET_VERSION);
    }
    return version;
}

static convt_status check_model(convti_wire bytes, convti_wire graph, uint64_t opset,
                                const char *file, convt_error *err)
{
    if (!convti_wire_is_sound(bytes) || !graph.at || !convti_wire_is_sound(graph))
        return convti_fail(err, CONVT_BAD_FORMAT, file,
                           "is no ONNX file, or not a complete one: its fields do not fit");
    if (opset < 7)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, file,
                           "has operators of opset %llu: 7 and later are read",
                           (unsigned long long)opset);
    return CONVT_OK;
}

static convt_status parse_graph(convti_wire message, convti_onnx_graph *graph, convt_error *err)
{
    const counts found = visit_graph(message, NULL);
    convt_status status = check_counts(&found, graph->file, err);
    if (status) return status;
    const size_t nodes = (size_t)(found.nodes + 1) * sizeof *graph->nodes,
                 tensors = (size_t)(found.tensors + 1) * sizeof *graph->tensors;
    graph->nodes = malloc(nodes);
    graph->tensors = malloc(tensors);
    if (!graph->nodes || !graph->tensors)
        return convti_no_memory(err, graph->file, nodes + tensors);
    visit_graph(message, graph);
    graph->node_count = found.nodes;
    graph->tensor_count = found.tensors;
    const int inputs = find_input(message, graph);
    if (inputs == 1) return CONVT_OK;
    return convti_fail(err, CONVT_INVALID_ARGUMENT, graph->file,
                       "has %s: a straight line of layers has one",
                       inputs ? "several inputs" : "no input");
}

convt_status convti_onnx_parse(convti_wire bytes, const char *file, convti_onnx_graph *graph,
                               convt_error *err)
{
    const convti_wire message = find_message(bytes, MODEL_GRAPH);
    *graph = (convti_onnx_graph){
        .file = file, .file_size = convti_wire_size(bytes), .opset = find_opset(bytes)};
    convt_status status = check_model(bytes, message, graph->opset, file, err);
    if (!status) status = parse_graph(message, graph, err);
    if (status) convti_onnx_graph_free(graph);
    return status;
}

void convti_onnx_graph_free(convti_onnx_graph *graph)
{
    free(graph->nodes);
    free(graph->tensors);
    *graph = (convti_onnx_graph){0};
}
