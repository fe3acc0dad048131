/*
 * An ONNX model of Keras layers, one node or a few for each. The graph's input and output are Keras':
 * (n, h, w, c) where channels come last, with a Transpose where a layer needs the other order and
 * behind the last one. Nodes bear the layers' names, initializers those of the package's arrays.
 */
#include "write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "status.h"

/* ---- inputs and outputs ---------------------------------------------------------------------- */

/* A size, or a name for one that is not known: "batch", "x1", "y3". */
static void put_dimension(convti_message *graph, int64_t size, char letter, int axis)
{
    char symbol[16] = "batch";
    const size_t begin = convti_message_begin(graph);
    if (axis > 0) snprintf(symbol, sizeof symbol, "%c%d", letter, axis);
    if (axis > 0 && size > 0)
        convti_message_varint(graph, DIM_VALUE, (uint64_t)size);
    else
        convti_message_text(graph, DIM_PARAM, symbol);
    convti_message_end(graph, SHAPE_DIM, begin);
}

static void put_value(convti_message *graph, uint64_t number, const char *name, char letter,
                      const convti_tensor *tensor, convt_dtype dtype)
{
    const size_t value = convti_message_begin(graph);
    convti_message_text(graph, VALUE_NAME, name);
    const size_t type = convti_message_begin(graph);
    convti_message_varint(graph, TYPE_ELEMENT, dtype == CONVT_FLOAT64 ? ONNX_DOUBLE : ONNX_FLOAT);
    const size_t shape = convti_message_begin(graph);
    for (int i = 0; i <= tensor->rank; i++)
        put_dimension(graph, i ? tensor->size[i - 1] : 0, letter, i);
    convti_message_end(graph, TYPE_SHAPE, shape);
    convti_message_end(graph, TYPE_TENSOR, type);
    convti_message_end(graph, VALUE_TYPE, type);
    convti_message_end(graph, number, value);
}

/* "input", and longer where a layer is called so. */
static convti_onnx_name input_name(const convti_items *items)
{
    convti_onnx_name name = {"input"};
    for (int i = 0; i < items->count; i++) {
        if (strcmp(items->list[i].name, name.text) != 0) continue;
        strncat(name.text, "_", sizeof name.text - strlen(name.text) - 1);
        i = -1;
    }
    return name;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* A graph whose output is its input is none. */
static void keep_one_node(convti_onnx_writer *w, const char *input)
{
    if (strcmp(w->value.text, input) != 0) return;
    convti_onnx_begin_node(w, convti_onnx_name_of(w, NULL), "Identity",
                           (const char *[]){w->value.text}, 1);
    convti_onnx_end_node(w);
}

static convt_status write_graph(convti_onnx_writer *w)
{
    const convti_items *items = &w->items;
    const convti_onnx_name input = input_name(items);
    w->item = &items->list[0];
    w->value = input;
    if (w->item->input.rank == 0)
        return convti_onnx_refuse_layer(w, "has an input whose shape is not known");
    put_value(&w->graph, GRAPH_INPUT, input.text, 'x', &w->item->input, items->dtype);
    for (int i = 0; i < items->count; i++) {
        w->item = &items->list[i];
        convt_status status = convti_onnx_write_layer(w);
        if (status) return status;
    }
    convti_onnx_turn(w, false);
    keep_one_node(w, input.text);
    put_value(&w->graph, GRAPH_OUTPUT, w->value.text, 'y', &w->item->output, items->dtype);
    convti_message_text(&w->graph, GRAPH_NAME, "convt");
    return CONVT_OK;
}

static convt_status write_model(convti_onnx_writer *w)
{
    convti_message *model = &w->graph;
    convti_message_varint(model, MODEL_IR_VERSION, ONNX_IR_VERSION);
    convti_message_text(model, MODEL_PRODUCER_NAME, "convt");
    convti_message_text(model, MODEL_PRODUCER_VERSION, CONVT_VERSION);
    const size_t opset = convti_message_begin(model);
    convti_message_text(model, OPSET_DOMAIN, "");
    convti_message_varint(model, OPSET_VERSION, ONNX_OPSET);
    convti_message_end(model, MODEL_OPSET_IMPORT, opset);
    const size_t graph = convti_message_begin(model);
    convt_status status = write_graph(w);
    convti_message_end(model, MODEL_GRAPH, graph);
    return status;
}

/* Once for the weights and some for the rest: what is written grows seldom. */
static size_t expected_size(const convti_package *package)
{
    size_t size = 1 << 12;
    for (int i = 0; i < package->weights.count; i++)
        size += convti_array_bytes(&package->weights.arrays[i]) + 1024;
    return size;
}

/* Protocol buffers end at 2 GiB. */
static convt_status check_size(const convti_onnx_writer *w, size_t expected)
{
    if (w->graph.failed) return convti_no_memory(w->err, w->file, expected);
    if (w->graph.size <= INT32_MAX) return CONVT_OK;
    return convti_fail(w->err, CONVT_INVALID_ARGUMENT, w->file,
                       "would have %zu bytes: an ONNX file has less than 2 GiB", w->graph.size);
}

convt_status convti_onnx_write(const convti_package *package, const char *name, convti_bytes *bytes,
                               convt_error *err)
{
    convti_onnx_writer w = {.package = package, .file = name, .err = err};
    const size_t expected = expected_size(package);
    *bytes = (convti_bytes){0};
    if (!package->config)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, name,
                           "cannot be written: there are weights alone and no layers");
    convt_status status = convti_items_read(package->config, &w.items, err);
    if (!status) {
        convti_message_reserve(&w.graph, expected);
        status = write_model(&w);
    }
    if (!status) status = check_size(&w, expected);
    if (!status)
        *bytes = (convti_bytes){w.graph.data, w.graph.size};
    else
        free(w.graph.data);
    convti_items_free(&w.items);
    return status;
}
