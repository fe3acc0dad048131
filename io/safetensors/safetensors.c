/*
 * .safetensors: the length of a JSON header as 8 bytes, little-endian; the header (header.c); the
 * elements of the tensors, little-endian, one after the other. The Keras JSON of the layers is the
 * text "config" of the header's metadata.
 */
#include <stdlib.h>
#include <string.h>

#include "header.h"
#include "json.h"
#include "status.h"

/* The format's own limit. */
enum { PREFIX = 8, LONGEST_HEADER = 100000000 };

/* ---- reading --------------------------------------------------------------------------------- */

static convt_status read_header(const convti_input *input, convti_tensor_list *tensors,
                                uint64_t *data, convt_error *err)
{
    unsigned char prefix[PREFIX];
    convti_source source = convti_source_of_input(input, 0, input->size);
    convt_status status = convti_source_fill(&source, prefix, PREFIX, err);
    uint64_t length = 0;
    void *text;
    if (status) return status;
    for (int i = 0; i < PREFIX; i++) length |= (uint64_t)prefix[i] << (8 * i);
    if (length > LONGEST_HEADER)
        return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                           "has a header of %llu bytes, more than %d", (unsigned long long)length,
                           LONGEST_HEADER);
    status = convti_source_take(&source, length, &text, err);
    if (status) return status;
    *data = PREFIX + length;
    status = convti_safetensors_parse(text, (size_t)length, input->size - *data, input->name,
                                      tensors, err);
    free(text);
    return status;
}

/* The array of an entry, whose place within the input has been checked. */
static convt_status read_tensor(const convti_input *input, uint64_t data,
                                const convti_tensor_entry *entry, convt_array *array,
                                convt_error *err)
{
    char label[sizeof array->name + 1];
    convti_source source = convti_source_of_input(input, data + entry->begin, data + entry->end);
    snprintf(label, sizeof label, "%s ", entry->array.name);
    source.label = label;
    *array = entry->array;
    convt_status status = convti_source_take(&source, entry->end - entry->begin, &array->data, err);
    if (!status)
        status = convti_elements_convert(&source, array, entry->count, entry->type, true, err);
    if (status) convt_array_free(array);
    return status;
}

static convt_status read_tensors(const convti_input *input, uint64_t data,
                                 const convti_tensor_list *tensors, convt_archive *archive,
                                 convt_error *err)
{
    convt_status status = CONVT_OK;
    const size_t size = (size_t)tensors->count * sizeof *archive->arrays;
    archive->arrays = calloc((size_t)tensors->count + 1, sizeof *archive->arrays);
    if (!archive->arrays) return convti_no_memory(err, input->name, size);
    for (int i = 0; i < tensors->count && !status; i++) {
        status = read_tensor(input, data, &tensors->list[i], &archive->arrays[i], err);
        archive->count += !status;
    }
    return status;
}

/* Other libraries write "layer.kernel". A layer's name may hold a dot itself, so only what the layers
 * of a model are called is taken apart. */
static void separate(char *name, const convti_items *layers)
{
    char *dot = strrchr(name, '.');
    if (!dot || strchr(name, '/')) return;
    for (int i = 0; i < layers->count; i++) {
        const char *layer = layers->list[i].name;
        const size_t length = strlen(layer);
        if (length == (size_t)(dot - name) && memcmp(layer, name, length) == 0) *dot = '/';
    }
}

static convt_status take_config(const convti_input *input, const convti_tensor_list *tensors,
                                const convti_items *layers, convti_package *package,
                                convt_error *err)
{
    if (tensors->config)
        return convti_json_parse(tensors->config, input->name, &package->config, err);
    if (layers) return CONVT_OK;
    return convti_fail(err, CONVT_BAD_FORMAT, input->name,
                       "has no config in its metadata: the layers must come from a model");
}

convt_status convti_safetensors_read(const convti_input *input, const convti_items *layers,
                                     convti_package *package, convt_error *err)
{
    convti_tensor_list tensors = {0};
    uint64_t data = 0;
    *package = (convti_package){0};
    convt_status status = read_header(input, &tensors, &data, err);
    if (!status) status = take_config(input, &tensors, layers, package, err);
    if (!status) status = read_tensors(input, data, &tensors, &package->weights, err);
    for (int i = 0; layers && i < package->weights.count; i++)
        separate(package->weights.arrays[i].name, layers);
    convti_tensor_list_free(&tensors);
    if (status) convti_package_free(package);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Wide elements first, so that every tensor is aligned, as the format's own library does. */
static void sort_by_width(const convt_archive *archive, int order[])
{
    int count = 0;
    for (size_t width = 8; width > 0; width /= 2) {
        for (int i = 0; i < archive->count; i++) {
            if (convti_element_size(archive->arrays[i].element) == width) order[count++] = i;
        }
    }
}

/* Without the spaces between values. */
static void squeeze(char *json)
{
    bool inside = false;
    char *to = json;
    for (const char *at = json; *at; at++) {
        if (inside && *at == '\\')
            *to++ = *at++;
        else if (*at == '"')
            inside = !inside;
        if (inside || !strchr(" \n", *at)) *to++ = *at;
    }
    *to = '\0';
}

static char *header_text(const convti_package *package, const int order[])
{
    char *config = package->config ? convti_json_text(package->config) : NULL;
    if (package->config && !config) return NULL;
    if (config) squeeze(config);
    char *text = convti_safetensors_text(&package->weights, order, config);
    free(config);
    return text;
}

static convt_status put_together(const convt_archive *archive, const int order[],
                                 const char *header, const char *name, convti_bytes *bytes,
                                 convt_error *err)
{
    const size_t length = strlen(header);
    size_t size = PREFIX + length;
    for (int i = 0; i < archive->count; i++) size += convti_array_bytes(&archive->arrays[i]);
    unsigned char *at = malloc(size);
    if (!at) return convti_no_memory(err, name, size);
    *bytes = (convti_bytes){at, size};
    for (int i = 0; i < PREFIX; i++) *at++ = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(at, header, length);
    at += length;
    for (int i = 0; i < archive->count; i++) {
        const convt_array *array = &archive->arrays[order[i]];
        const size_t count = convti_array_bytes(array);
        if (count == 0) continue;
        memcpy(at, array->data, count);
        convti_elements_to_little(at, count, convti_element_size(array->element));
        at += count;
    }
    return CONVT_OK;
}

convt_status convti_safetensors_write(const convti_package *package, const char *name,
                                      convti_bytes *bytes, convt_error *err)
{
    const convt_archive *archive = &package->weights;
    *bytes = (convti_bytes){0};
    int *order = malloc(((size_t)archive->count + 1) * sizeof *order);
    if (!order) return convti_no_memory(err, name, (size_t)archive->count * sizeof *order);
    sort_by_width(archive, order);
    char *header = header_text(package, order);
    const convt_status status =
        header ? put_together(archive, order, header, name, bytes, err)
               : convti_fail(err, CONVT_NO_MEMORY, name, "needs memory that is not to be had");
    free(header);
    free(order);
    return status;
}
