/*
 * {"__metadata__": {"config": "..."}, "up1/kernel": {"dtype": "F32", "shape": [2, 2], "data_offsets":
 * [0, 16]}, ...}. Only this much JSON is read, by hand: a tree of JSON values may take a hundred times
 * the memory of its text, which may have 100 MB. Strings are jansson's to decode.
 */
#include "header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "status.h"

/* More than any model has; what is known of a tensor is longer than its text. */
enum { MOST_TENSORS = 1 << 16 };

static const struct dtype {
    char name[5];
    convti_type type;
} dtypes[] = {
    {"F64", {CONVTI_FLOAT, 8}},    {"F32", {CONVTI_FLOAT, 4}},    {"F16", {CONVTI_FLOAT, 2}},
    {"BF16", {CONVTI_BRAIN, 2}},   {"I64", {CONVTI_SIGNED, 8}},   {"I32", {CONVTI_SIGNED, 4}},
    {"I16", {CONVTI_SIGNED, 2}},   {"I8", {CONVTI_SIGNED, 1}},    {"U64", {CONVTI_UNSIGNED, 8}},
    {"U32", {CONVTI_UNSIGNED, 4}}, {"U16", {CONVTI_UNSIGNED, 2}}, {"U8", {CONVTI_UNSIGNED, 1}},
    {"BOOL", {CONVTI_TRUTH, 1}},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

void convti_tensor_list_free(convti_tensor_list *tensors)
{
    free(tensors->list);
    free(tensors->config);
    *tensors = (convti_tensor_list){0};
}

/* ---- the text -------------------------------------------------------------------------------- */

typedef struct text {
    const char *start, *at, *end;
    const char *name; /* field of errors */
    convt_error *err;
} text;

static convt_status not_understood(const text *t, const char *expected)
{
    return convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                       "has a header that cannot be understood: no %s at byte %llu", expected,
                       (unsigned long long)(t->at - t->start));
}

/* The next character that is no space; 0 at the end. */
static char peek(text *t)
{
    while (t->at < t->end && *t->at && strchr(" \t\r\n", *t->at)) t->at++;
    return t->at < t->end ? *t->at : '\0';
}

static bool skip(text *t, char c)
{
    if (peek(t) != c) return false;
    t->at++;
    return true;
}

static convt_status expect(text *t, char c)
{
    const char expected[] = {'\'', c, '\'', '\0'};
    return skip(t, c) ? CONVT_OK : not_understood(t, expected);
}

/* A list goes on behind a comma and ends with `close`. */
static convt_status expect_more(text *t, char close, bool *more)
{
    *more = skip(t, ',');
    return *more ? CONVT_OK : expect(t, close);
}

/* A string with its quotes, as it stands. */
static convt_status skip_string(text *t)
{
    if (peek(t) != '"') return not_understood(t, "string");
    const char *at = t->at + 1;
    while (at < t->end && *at != '"') at += *at == '\\' ? 2 : 1;
    if (at >= t->end) return not_understood(t, "end of the string");
    t->at = at + 1;
    return CONVT_OK;
}

/* A decoded string, in a JSON value that the caller releases. */
static convt_status read_string(text *t, json_t **string)
{
    json_error_t ignored;
    *string = NULL;
    peek(t);
    text before = *t;
    const convt_status status = skip_string(t);
    if (status) return status;
    const size_t length = (size_t)(t->at - before.at);
    *string = convti_json_load(before.at, length, JSON_DECODE_ANY, &ignored);
    if (*string) return CONVT_OK;
    return errno == ENOMEM ? convti_no_memory(t->err, t->name, length)
                           : not_understood(&before, "string");
}

static convt_status read_number(text *t, uint64_t *number)
{
    const char c = peek(t);
    if (c < '0' || c > '9') return not_understood(t, "whole number");
    for (*number = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        if (*number > (INT64_MAX - 9) / 10) return not_understood(t, "number of 63 bits");
        *number = 10 * *number + (uint64_t)(*t->at - '0');
    }
    return CONVT_OK;
}

/* At most `most` of them. */
static convt_status read_numbers(text *t, uint64_t numbers[], int most, int *count)
{
    convt_status status = expect(t, '[');
    bool more = !status && peek(t) != ']';
    *count = 0;
    if (!status && !more) return expect(t, ']');
    while (!status && more) {
        if (*count == most)
            return convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                               "has a list of more than %d numbers at byte %llu of its header",
                               most, (unsigned long long)(t->at - t->start));
        status = read_number(t, &numbers[(*count)++]);
        if (!status) status = expect_more(t, ']', &more);
    }
    return status;
}

/* ---- members of objects ---------------------------------------------------------------------- */

/* Reads the value of a key into `target`. */
typedef convt_status read_member(text *t, const char *key, void *target);

static convt_status read_object(text *t, read_member *read, void *target)
{
    convt_status status = expect(t, '{');
    bool more = !status && peek(t) != '}';
    if (!status && !more) return expect(t, '}');
    while (!status && more) {
        json_t *key;
        status = read_string(t, &key);
        if (!status) status = expect(t, ':');
        if (!status) status = read(t, json_string_value(key), target);
        json_decref(key);
        if (!status) status = expect_more(t, '}', &more);
    }
    return status;
}

/* Every value of __metadata__ is a string. */
static convt_status read_metadata(text *t, const char *key, void *target)
{
    convti_tensor_list *tensors = target;
    json_t *string;
    if (strcmp(key, "config") != 0) return skip_string(t);
    if (tensors->config)
        return convti_fail(t->err, CONVT_BAD_FORMAT, t->name, "has config twice in its metadata");
    const convt_status status = read_string(t, &string);
    if (status) return status;
    tensors->config = strdup(json_string_value(string));
    const size_t size = json_string_length(string);
    json_decref(string);
    return tensors->config ? CONVT_OK : convti_no_memory(t->err, t->name, size);
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A tensor under construction, and which of its keys were there. */
typedef struct tensor {
    convti_tensor_entry *entry;
    bool has_dtype, has_shape, has_offsets;
} tensor;

static convt_status refuse(const text *t, const tensor *of, const char *what)
{
    return convti_fail(t->err, CONVT_BAD_FORMAT, t->name, "%s %s", of->entry->array.name, what);
}

static convt_status read_dtype(text *t, tensor *of)
{
    json_t *string;
    convt_status status = read_string(t, &string);
    if (status) return status;
    const char *name = json_string_value(string);
    for (int i = 0; i < DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) == 0) of->entry->type = dtypes[i].type;
    }
    if (of->entry->type.kind == CONVTI_NO_KIND)
        status = convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                             "%s has dtype '%.20s', which cannot be read", of->entry->array.name,
                             name);
    json_decref(string);
    return status;
}

static convt_status read_shape(text *t, tensor *of)
{
    convt_array *array = &of->entry->array;
    uint64_t sizes[CONVT_MAX_RANK];
    const convt_status status = read_numbers(t, sizes, CONVT_MAX_RANK, &array->rank);
    for (int i = 0; i < array->rank && !status; i++) array->shape[i] = (int64_t)sizes[i];
    return status;
}

static convt_status read_offsets(text *t, tensor *of)
{
    uint64_t offsets[2];
    int count;
    const convt_status status = read_numbers(t, offsets, 2, &count);
    if (status) return status;
    if (count != 2) return refuse(t, of, "has no pair of data_offsets");
    of->entry->begin = offsets[0];
    of->entry->end = offsets[1];
    return CONVT_OK;
}

static convt_status read_tensor_key(text *t, const char *key, void *target)
{
    tensor *of = target;
    const struct {
        const char *key;
        bool *seen;
        convt_status (*read)(text *t, tensor *of);
    } keys[] = {{"dtype", &of->has_dtype, read_dtype},
                {"shape", &of->has_shape, read_shape},
                {"data_offsets", &of->has_offsets, read_offsets}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key, keys[i].key) != 0) continue;
        if (*keys[i].seen) return refuse(t, of, "has a key twice");
        *keys[i].seen = true;
        return keys[i].read(t, of);
    }
    return refuse(t, of, "has a key that is none of dtype, shape and data_offsets");
}

static convt_status check_tensor(const text *t, const tensor *of)
{
    convti_tensor_entry *entry = of->entry;
    if (!of->has_dtype || !of->has_shape || !of->has_offsets)
        return refuse(t, of, "lacks one of dtype, shape and data_offsets");
    if (!convti_count_elements(entry->array.rank, entry->array.shape, &entry->count))
        return refuse(t, of, "has a shape of more elements than can be counted");
    const uint64_t bytes = (uint64_t)entry->count * (uint64_t)entry->type.width;
    if (entry->begin <= entry->end && entry->end - entry->begin == bytes) return CONVT_OK;
    return convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                       "%s has data_offsets %llu and %llu, its shape and dtype need %llu bytes",
                       entry->array.name, (unsigned long long)entry->begin,
                       (unsigned long long)entry->end, (unsigned long long)bytes);
}

/* A zeroed entry behind the others. */
static convt_status append(const text *t, convti_tensor_list *tensors, convti_tensor_entry **entry)
{
    if (tensors->count == MOST_TENSORS)
        return convti_fail(t->err, CONVT_BAD_FORMAT, t->name, "holds more than %d tensors",
                           MOST_TENSORS);
    if (tensors->count == tensors->room) {
        const int room = tensors->room ? 2 * tensors->room : 16;
        void *larger = realloc(tensors->list, (size_t)room * sizeof *tensors->list);
        if (!larger) return convti_no_memory(t->err, t->name, (size_t)room * sizeof *tensors->list);
        tensors->list = larger;
        tensors->room = room;
    }
    *entry = &tensors->list[tensors->count++];
    **entry = (convti_tensor_entry){.count = 0};
    return CONVT_OK;
}

static convt_status read_member_of_file(text *t, const char *key, void *target)
{
    convti_tensor_list *tensors = target;
    tensor of = {.entry = NULL};
    if (strcmp(key, "__metadata__") == 0) return read_object(t, read_metadata, tensors);
    convt_status status = append(t, tensors, &of.entry);
    if (status) return status;
    const size_t length = strlen(key), room = sizeof of.entry->array.name;
    if (length >= room)
        return convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                           "%.100s... has a name of %zu bytes, more than %zu", key, length,
                           room - 1);
    memcpy(of.entry->array.name, key, length);
    convti_make_printable(of.entry->array.name);
    status = read_object(t, read_tensor_key, &of);
    return status ? status : check_tensor(t, &of);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const convti_tensor_entry *one = a, *other = b;
    return strcmp(one->array.name, other->array.name);
}

/* Empty tensors come before the one that begins where they stand. */
static int compare_places(const void *a, const void *b)
{
    const convti_tensor_entry *one = a, *other = b;
    if (one->begin != other->begin) return one->begin < other->begin ? -1 : 1;
    return (one->end > other->end) - (one->end < other->end);
}

static convt_status check_names(const text *t, convti_tensor_list *tensors)
{
    qsort(tensors->list, (size_t)tensors->count, sizeof *tensors->list, compare_names);
    for (int i = 1; i < tensors->count; i++) {
        const char *name = tensors->list[i].array.name;
        if (strcmp(name, tensors->list[i - 1].array.name) == 0)
            return convti_fail(t->err, CONVT_BAD_FORMAT, t->name, "holds %s twice", name);
    }
    return CONVT_OK;
}

static convt_status check_places(const text *t, convti_tensor_list *tensors, uint64_t data)
{
    uint64_t place = 0;
    qsort(tensors->list, (size_t)tensors->count, sizeof *tensors->list, compare_places);
    for (int i = 0; i < tensors->count; i++) {
        const convti_tensor_entry *entry = &tensors->list[i];
        if (entry->begin != place)
            return convti_fail(
                t->err, CONVT_BAD_FORMAT, t->name,
                "%s begins at byte %llu of the data, where the tensors before it end "
                "at %llu",
                entry->array.name, (unsigned long long)entry->begin, (unsigned long long)place);
        place = entry->end;
    }
    if (place == data) return CONVT_OK;
    return convti_fail(t->err, CONVT_BAD_FORMAT, t->name,
                       "holds %llu bytes of data, its tensors need %llu", (unsigned long long)data,
                       (unsigned long long)place);
}

convt_status convti_safetensors_parse(const char *bytes, size_t size, uint64_t data,
                                      const char *name, convti_tensor_list *tensors,
                                      convt_error *err)
{
    text t = {bytes, bytes, bytes + size, name, err};
    *tensors = (convti_tensor_list){0};
    convt_status status = read_object(&t, read_member_of_file, tensors);
    if (!status && (peek(&t) || t.at < t.end)) status = not_understood(&t, "end");
    if (!status && tensors->count > 0) status = check_names(&t, tensors);
    if (!status && tensors->count > 0) status = check_places(&t, tensors, data);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *tensor_json(const convt_array *array, uint64_t begin, uint64_t end)
{
    static const char *const names[] = {[CONVT_ELEMENT_F32] = "F32",
                                        [CONVT_ELEMENT_F64] = "F64",
                                        [CONVT_ELEMENT_U8] = "U8",
                                        [CONVT_ELEMENT_I64] = "I64"};
    json_t *shape = json_array();
    for (int i = 0; i < array->rank; i++)
        shape = convti_json_and(shape, json_integer(array->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", names[array->element], "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static json_t *header_json(const convt_archive *archive, const int order[], const char *config)
{
    json_t *root = json_object();
    uint64_t place = 0;
    if (config) root = convti_json_with(root, "__metadata__", json_pack("{s:s}", "config", config));
    for (int i = 0; i < archive->count; i++) {
        const convt_array *array = &archive->arrays[order[i]];
        const uint64_t end = place + convti_array_bytes(array);
        root = convti_json_with(root, array->name, tensor_json(array, place, end));
        place = end;
    }
    return root;
}

char *convti_safetensors_text(const convt_archive *archive, const int order[], const char *config)
{
    json_t *root = header_json(archive, order, config);
    char *dumped = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!dumped) return NULL;
    const size_t length = strlen(dumped), padded = (length + 7) / 8 * 8;
    char *padded_text = realloc(dumped, padded + 1);
    if (!padded_text) {
        free(dumped);
        return NULL;
    }
    memset(padded_text + length, ' ', padded - length);
    padded_text[padded] = '\0';
    return padded_text;
}
