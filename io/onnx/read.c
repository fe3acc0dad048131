/* An ONNX file as a package: along the line of nodes from the graph's input to its output. */
#include "read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "npy.h"
#include "status.h"

/* ---- refusals -------------------------------------------------------------------------------- */

convt_status convti_onnx_refuse_node(const convti_onnx_reader *r, const char *format, ...)
{
    char reason[180], message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    const convti_onnx_node *node = r->node;
    const convti_wire name = convti_wire_size(node->name) ? node->name : node->output;
    const size_t name_size = convti_wire_size(name), op_size = convti_wire_size(node->op);
    snprintf(message, sizeof message, "node %.*s (%.*s) %s", (int)(name_size < 48 ? name_size : 48),
             (const char *)name.at, (int)(op_size < 24 ? op_size : 24), (const char *)node->op.at,
             reason);
    convti_make_printable(message);
    return convti_fail(r->err, CONVT_INVALID_ARGUMENT, r->graph.file, "%s", message);
}

static convt_status no_memory(convti_onnx_reader *r, size_t size)
{
    return convti_no_memory(r->err, r->graph.file, size);
}

/* ---- names ----------------------------------------------------------------------------------- */

enum { MOST_NAME = 48 }; /* with a number behind it as long as a layer's may be */

/* A node's name as a layer may bear it: no '/', nothing that is no text. */
static void make_name(convti_wire text, const char *instead, char name[MOST_NAME + 1])
{
    while (convti_wire_size(text) > 0 && *text.at == '/') text.at++;
    const size_t size = convti_wire_size(text) < MOST_NAME ? convti_wire_size(text) : MOST_NAME;
    if (size == 0) {
        snprintf(name, MOST_NAME + 1, "%s", instead);
        return;
    }
    json_t *string = json_stringn((const char *)text.at, size);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = text.at[i];
        const bool bad = c <= ' ' || c == '/' || c == ':' || c == 0x7F || (c > 0x7F && !string);
        name[i] = bad ? '_' : (char)c;
    }
    name[size] = '\0';
    json_decref(string);
}

/* The name, or with a number behind it the first that is free. NULL: no memory. */
static const char *take_name(convti_onnx_reader *r, const char *wanted)
{
    char name[MOST_NAME + 16];
    snprintf(name, sizeof name, "%s", wanted);
    for (int i = 1; json_object_get(r->names, name); i++)
        snprintf(name, sizeof name, "%s_%d", wanted, i);
    json_t *string = json_string(name);
    const char *taken = json_string_value(string);
    return json_object_set_new(r->names, name, string) == 0 ? taken : NULL;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static const char *dtype_of(const convti_onnx_reader *r)
{
    return r->dtype == CONVT_FLOAT64 ? "float64" : "float32";
}

convt_status convti_onnx_add_layer(convti_onnx_reader *r, const char *class_name, json_t *more)
{
    char wanted[MOST_NAME + 1];
    const char *stem = convti_class_stem(class_name);
    make_name(r->node->name, stem ? stem : class_name, wanted);
    const char *name = take_name(r, wanted);
    json_t *layer = convti_json_serialized(
        "keras.layers", class_name,
        json_pack("{s:s, s:s}", "name", name ? name : "", "dtype", dtype_of(r)));
    json_t *config = json_object_get(layer, "config");
    const bool ok = name && more && config && json_object_update(config, more) == 0;
    json_decref(more);
    if (json_array_append_new(r->layers, layer) != 0 || !ok) return no_memory(r, sizeof *layer);
    r->last = config;
    r->last_class = class_name;
    r->last_name = name;
    r->owner = (convti_wire){0};
    r->biasless = 0;
    return CONVT_OK;
}

convt_status convti_onnx_say(convti_onnx_reader *r, const char *key, json_t *value)
{
    return json_object_set_new(r->last, key, value) == 0 ? CONVT_OK : no_memory(r, sizeof *value);
}

convt_status convti_onnx_add_weight(convti_onnx_reader *r, const char *variable,
                                    const convti_onnx_tensor *tensor, const int axes[],
                                    double scale)
{
    static const int as_they_are[] = {0, 1, 2, 3, 4, 5, 6, 7};
    convt_archive *weights = &r->package->weights;
    const uint64_t element = r->dtype == CONVT_FLOAT64 ? 8 : 4,
                   size = (uint64_t)tensor->count * element;
    if (size > r->budget)
        return convti_onnx_refuse_node(r, "uses weights that other nodes use, too often");
    convt_array *more =
        realloc(weights->arrays, ((size_t)weights->count + 1) * sizeof *weights->arrays);
    if (!more) return no_memory(r, ((size_t)weights->count + 1) * sizeof *more);
    weights->arrays = more;
    convt_array array = {.element = element == 8 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32,
                         .rank = axes ? tensor->rank : 1,
                         .shape = {tensor->count},
                         .data = malloc((size_t)size)};
    if (!array.data) return no_memory(r, (size_t)size);
    for (int i = 0; i < tensor->rank && axes; i++) array.shape[i] = tensor->size[axes[i]];
    snprintf(array.name, sizeof array.name, "%.100s/%s", r->last_name, variable);
    convti_onnx_tensor_copy(tensor, axes ? axes : as_they_are, scale, r->dtype, array.data);
    weights->arrays[weights->count++] = array;
    r->budget -= size;
    return CONVT_OK;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

bool convti_onnx_has_input(const convti_onnx_reader *r, int input)
{
    return input < r->node->inputs && convti_wire_size(r->node->input[input]) > 0;
}

convt_status convti_onnx_weight_input(convti_onnx_reader *r, int input, const char *what, int rank,
                                      const convti_onnx_tensor **tensor)
{
    *tensor = convti_onnx_has_input(r, input)
                  ? convti_onnx_constant(&r->graph, r->node->input[input])
                  : NULL;
    if (!*tensor)
        return convti_onnx_refuse_node(r, "has a %s that is not stored in the file", what);
    const char *flaw = convti_onnx_tensor_flaw(*tensor);
    if (!flaw && !convti_onnx_is_real((*tensor)->type))
        flaw = "is none of FLOAT, DOUBLE, FLOAT16 and BFLOAT16";
    if (!flaw && (*tensor)->count == 0) flaw = "is empty";
    if (flaw) return convti_onnx_refuse_node(r, "has a %s that %s", what, flaw);
    if (rank && (*tensor)->rank != rank)
        return convti_onnx_refuse_node(r, "has a %s with %d axes where it needs %d", what,
                                       (*tensor)->rank, rank);
    return CONVT_OK;
}

convt_status convti_onnx_get_integers(convti_onnx_reader *r, const char *name, int input,
                                      int64_t values[8], int *count)
{
    const convti_onnx_sizes known = {r->value, r->rank, r->size};
    *count = convti_onnx_integers(r->node, name, values, 8);
    if (*count >= 0 || input == 0 || !convti_onnx_has_input(r, input))
        return *count <= 8 ? CONVT_OK : convti_onnx_refuse_node(r, "has a long %s", name);
    *count = convti_onnx_compute(&r->graph, &known, r->node->input[input], values);
    if (*count >= 0 && *count <= 8) return CONVT_OK;
    return convti_onnx_refuse_node(r, "has %s that do not follow from the file", name);
}

/* ---- the value ------------------------------------------------------------------------------- */

convt_status convti_onnx_need(convti_onnx_reader *r, int rank, int64_t channels)
{
    if (r->rank < 0) {
        /* The graph's input, whose shape the file does not say. */
        r->rank = rank;
        r->size[1] = channels;
        r->graph.input.rank = rank;
        r->graph.input.size[1] = channels;
    }
    if (r->rank != rank)
        return convti_onnx_refuse_node(r, "needs an input with %d axes, which has %d here", rank,
                                       r->rank);
    if (channels && r->size[1] && r->size[1] != channels)
        return convti_onnx_refuse_node(r, "has weights for %lld channels, its input has %lld",
                                       (long long)channels, (long long)r->size[1]);
    return CONVT_OK;
}

convt_status convti_onnx_need_image(convti_onnx_reader *r, int64_t channels)
{
    convt_status status = convti_onnx_need(r, 4, channels);
    if (status) return status;
    if (r->format == UNDECIDED) r->format = CHANNELS_FIRST;
    if (r->format == CHANNELS_LAST && !r->turned)
        return convti_onnx_refuse_node(r, "works on another order of axes than the nodes before");
    if (channels) r->size[1] = channels;
    return CONVT_OK;
}

const char *convti_onnx_data_format(const convti_onnx_reader *r)
{
    return r->format == CHANNELS_LAST ? "channels_last" : "channels_first";
}

/* ---- the line of nodes ----------------------------------------------------------------------- */

int convti_onnx_count_consumers(const convti_onnx_graph *graph, convti_wire value,
                                const convti_onnx_node **first)
{
    int count = 0;
    *first = NULL;
    for (int i = 0; i < graph->node_count; i++) {
        const convti_onnx_node *node = &graph->nodes[i];
        bool takes = false;
        for (int k = 0; k < node->inputs && k < CONVTI_ONNX_INPUTS && !takes; k++)
            takes = convti_wire_equal(node->input[k], value);
        if (!takes || convti_wire_is(node->op, "Shape")) continue;
        if (count++ == 0) *first = node;
    }
    return count;
}

static const convti_onnx_operator *find_operator(convti_wire op)
{
    for (int i = 0; i < convti_onnx_layer_count; i++) {
        if (convti_wire_is(op, convti_onnx_layers[i].op)) return &convti_onnx_layers[i];
    }
    for (int i = 0; i < convti_onnx_shape_count; i++) {
        if (convti_wire_is(op, convti_onnx_shapes[i].op)) return &convti_onnx_shapes[i];
    }
    return NULL;
}

static bool is_listed(const char *list, convti_wire name)
{
    const size_t size = convti_wire_size(name);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ') {
        if (strcspn(at, " ") == size && memcmp(at, name.at, size) == 0) return true;
    }
    return false;
}

/* What an attribute means that is not known here cannot be told. */
static convt_status check_attributes(convti_onnx_reader *r, const char *known)
{
    convti_wire rest = r->node->message;
    convti_wire_field field, inner;
    while (convti_wire_next(&rest, &field)) {
        if (field.number != NODE_ATTRIBUTE) continue;
        convti_wire attribute = field.bytes, name = {0};
        while (convti_wire_next(&attribute, &inner)) {
            if (inner.number == ATTRIBUTE_NAME) name = inner.bytes;
        }
        if (convti_wire_size(name) == 0 || !is_listed(known, name))
            return convti_onnx_refuse_node(
                r, "has the attribute %.*s, which is not known",
                (int)(convti_wire_size(name) < 40 ? convti_wire_size(name) : 40),
                name.at ? (const char *)name.at : "");
    }
    return CONVT_OK;
}

/* Attributes that are inputs from an opset on: where a file has both, or the attribute alone, it cannot be told
 * which is meant. */
static const struct moved {
    const char *op, *attribute;
    uint64_t opset;
} moved[] = {
    {"Upsample", "scales", 9}, {"Slice", "starts", 10}, {"Slice", "ends", 10},
    {"Slice", "axes", 10},     {"Pad", "pads", 11},     {"Pad", "value", 11},
    {"Clip", "min", 11},       {"Clip", "max", 11},     {"Squeeze", "axes", 13},
    {"Unsqueeze", "axes", 13},
};

static convt_status check_moved(const convti_onnx_reader *r)
{
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        if (r->graph.opset >= moved[i].opset && convti_wire_is(r->node->op, moved[i].op) &&
            convti_onnx_attribute(r->node, moved[i].attribute).at)
            return convti_onnx_refuse_node(r, "has the attribute %s, an input from opset %d on",
                                           moved[i].attribute, (int)moved[i].opset);
    }
    return CONVT_OK;
}

static convt_status read_node(convti_onnx_reader *r)
{
    const convti_onnx_node *node = r->node;
    if (convti_wire_size(node->domain) > 0 && !convti_wire_is(node->domain, "ai.onnx"))
        return convti_onnx_refuse_node(r, "is of the domain %.*s: only ONNX' own are read",
                                       (int)(convti_wire_size(node->domain) & 0x3F),
                                       (const char *)node->domain.at);
    if (node->inputs > CONVTI_ONNX_INPUTS)
        return convti_onnx_refuse_node(r, "takes %d inputs: a layer has one", node->inputs);
    convt_status status = check_moved(r);
    if (status) return status;
    if (convti_onnx_is_activation(node)) return convti_onnx_read_activation(r);
    const convti_onnx_operator *known = find_operator(node->op);
    if (!known) return convti_onnx_refuse_node(r, "has no Keras layer here");
    if (r->to_be_flat && !convti_wire_is(node->op, "Flatten"))
        return convti_onnx_refuse_node(r, "works on another order of axes than the nodes before");
    status = check_attributes(r, known->attributes);
    return status ? status : known->read(r);
}

static convt_status branches(convti_onnx_reader *r, const convti_onnx_node *first, int consumers)
{
    r->node = first;
    return convti_onnx_refuse_node(
        r, "is one of %d that take the same value: branches are not read", consumers);
}

static convt_status read_line(convti_onnx_reader *r)
{
    const convti_onnx_graph *graph = &r->graph;
    for (int steps = 0; steps <= graph->node_count; steps++) {
        const convti_onnx_node *next;
        convt_status status = CONVT_OK;
        const int consumers = convti_onnx_count_consumers(graph, r->value, &next);
        const bool ends = convti_wire_equal(r->value, graph->output.name);
        if (ends && consumers == 0) return CONVT_OK;
        if (consumers == 0)
            return convti_fail(r->err, CONVT_BAD_FORMAT, graph->file,
                               "has an output that no line of nodes leads to");
        if (!ends && convti_onnx_read_recipe(r, &status)) {
            if (status) return status;
            continue;
        }
        if (ends || consumers > 1) return branches(r, next, consumers + ends);
        r->node = next;
        status = read_node(r);
        if (status) return status;
        r->value = next->output;
    }
    return convti_fail(r->err, CONVT_BAD_FORMAT, graph->file, "has nodes that run in a circle");
}

/* ---- the package ----------------------------------------------------------------------------- */

static convt_status start(convti_onnx_reader *r)
{
    const convti_onnx_value *input = &r->graph.input;
    r->layers = json_array();
    r->names = json_object();
    if (!r->layers || !r->names) return no_memory(r, sizeof *r);
    if (input->type && !convti_onnx_is_real(input->type))
        return convti_fail(r->err, CONVT_INVALID_ARGUMENT, r->graph.file,
                           "has an input of ONNX' type %llu: only real numbers are read",
                           (unsigned long long)input->type);
    if (input->rank > 4 || input->rank == 0 || input->rank == 1)
        return convti_fail(r->err, CONVT_INVALID_ARGUMENT, r->graph.file,
                           "has an input with %d axes: 2 or 4 are read", input->rank);
    r->dtype = input->type == ONNX_DOUBLE ? CONVT_FLOAT64 : CONVT_FLOAT32;
    r->budget = 4 * r->graph.file_size + (1 << 20);
    r->value = input->name;
    r->rank = input->rank;
    memcpy(r->size, input->size, sizeof r->size);
    return CONVT_OK;
}

static convt_status check_end(const convti_onnx_reader *r)
{
    if (!r->turned && !r->to_be_flat) return CONVT_OK;
    return convti_fail(r->err, CONVT_INVALID_ARGUMENT, r->graph.file,
                       "has an output in another order of axes than its layers");
}

static json_t *input_layer(convti_onnx_reader *r)
{
    const convti_onnx_value *input = &r->graph.input;
    const char *name = take_name(r, "input_layer");
    json_t *shape = json_pack("[n]");
    for (int i = 1; i < input->rank; i++)
        shape =
            convti_json_and(shape, input->size[i] > 0 ? json_integer(input->size[i]) : json_null());
    return convti_json_serialized("keras.layers", "InputLayer",
                                  json_pack("{s:o, s:s, s:s}", "batch_shape", shape, "dtype",
                                            dtype_of(r), "name", name ? name : "input_layer"));
}

static convt_status finish(convti_onnx_reader *r)
{
    convt_status status = check_end(r);
    if (!status && json_array_size(r->layers) == 0 && r->node) /* Keras needs one to call */
        status = convti_onnx_add_layer(r, "Activation", json_pack("{s:s}", "activation", "linear"));
    if (status) return status;
    if (r->graph.input.rank > 0 && json_array_insert_new(r->layers, 0, input_layer(r)) != 0)
        return no_memory(r, sizeof *r);
    r->package->config = convti_json_serialized(
        "keras", "Sequential", json_pack("{s:s, s:O}", "name", "sequential", "layers", r->layers));
    return r->package->config ? CONVT_OK : no_memory(r, sizeof *r);
}

static convt_status read_bytes(convti_wire bytes, const char *file, convti_package *package,
                               convt_error *err)
{
    convti_onnx_reader r = {.package = package, .err = err};
    convt_status status = convti_onnx_parse(bytes, file, &r.graph, err);
    if (status) return status;
    status = start(&r);
    if (!status) status = read_line(&r);
    if (!status) status = finish(&r);
    json_decref(r.layers);
    json_decref(r.names);
    convti_onnx_graph_free(&r.graph);
    return status;
}

convt_status convti_onnx_read(const convti_input *input, const convti_items *layers,
                              convti_package *package, convt_error *err)
{
    convti_source source = convti_source_of_input(input, 0, input->size);
    void *own = NULL;
    convt_status status = CONVT_OK;
    (void)layers; /* the graph says them */
    *package = (convti_package){0};
    if (!input->data) status = convti_source_take(&source, input->size, &own, err);
    const unsigned char *bytes = own ? own : input->data;
    if (!status)
        status = read_bytes((convti_wire){bytes, bytes + input->size}, input->name, package, err);
    free(own);
    if (status) convti_package_free(package);
    return status;
}
