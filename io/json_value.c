/* Single JSON values: see json.h. */
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "status.h"

/* ---- places and messages --------------------------------------------------------------------- */

convti_place convti_place_within(const convti_place *place, const char *key)
{
    convti_place inner = {.err = place->err, .later = place->later};
    /* Nested deeper than any message needs: the path stays that of the object around. */
    int length = snprintf(inner.path, sizeof inner.path, "%s%s%s", place->path,
                          place->path[0] ? "." : "", key);
    if (length < 0 || (size_t)length >= sizeof inner.path)
        memcpy(inner.path, place->path, sizeof inner.path);
    return inner;
}

static convt_status refuse(convt_error *err, const convti_place *place, const char *key,
                           const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));

static convt_status refuse(convt_error *err, const convti_place *place, const char *key,
                           const char *format, va_list arguments)
{
    char message[sizeof err->message], field[sizeof place->path + sizeof err->field];
    vsnprintf(message, sizeof message, format, arguments);
    snprintf(field, sizeof field, "%s%s%.*s", place->path, place->path[0] && key[0] ? "." : "",
             (int)sizeof err->field - 1, key);
    convti_make_printable(message);
    convti_make_printable(field);
    return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s", message);
}

convt_status convti_json_refuse(const convti_place *place, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    convt_status status = refuse(place->err, place, key, format, arguments);
    va_end(arguments);
    return status;
}

convt_status convti_json_refuse_later(const convti_place *place, const char *key,
                                      const char *format, ...)
{
    va_list arguments;
    if (place->later && place->later->status) return CONVT_OK;
    va_start(arguments, format);
    convt_status status =
        refuse(place->later ? place->later : place->err, place, key, format, arguments);
    va_end(arguments);
    return place->later ? CONVT_OK : status;
}

convti_shown convti_json_show(const json_t *value)
{
    convti_shown shown = {""};
    const size_t room = sizeof shown.text - 4;
    size_t length = json_dumpb(value, shown.text, room,
                               JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    if (length > room) memcpy(shown.text + room, "...", 4);
    return shown;
}

convt_status convti_json_unknown_key(const convti_place *place, const char *class_name,
                                     const char *name, const json_t *value)
{
    convti_shown shown = convti_json_show(value);
    return convti_json_refuse(place, name,
                              "Unrecognized keyword arguments passed to %s: {\"%.60s\": %s}",
                              class_name, name, shown.text);
}

convt_status convti_json_refuse_value(const convti_place *place, const char *name,
                                      const json_t *value, const char *expected)
{
    convti_shown shown = convti_json_show(value);
    return convti_json_refuse(place, name, "must be %s, got %s", expected, shown.text);
}

convt_status convti_json_refuse_value_later(const convti_place *place, const char *name,
                                            const json_t *value, const char *expected)
{
    convti_shown shown = convti_json_show(value);
    return convti_json_refuse_later(place, name, "must be %s, got %s", expected, shown.text);
}

json_t *convti_json_serialized(const char *module, const char *class_name, json_t *config)
{
    return config ? json_pack("{s:s, s:s, s:o, s:n}", "module", module, "class_name", class_name,
                              "config", config, "registered_name")
                  : NULL;
}

json_t *convti_json_and(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0) return array;
    json_decref(array);
    return NULL;
}

json_t *convti_json_with(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0) return object;
    json_decref(object);
    return NULL;
}

convt_status convti_json_check_registered(const convti_place *place, const char *key,
                                          const json_t *object, const char *name)
{
    const json_t *registered = json_object_get(object, "registered_name");
    const char *text = json_string_value(registered),
               *class_name = convti_json_string(object, "class_name");
    if (!convti_json_truth(registered) || (text && strcmp(text, name) == 0) ||
        (text && class_name && strcmp(text, class_name) == 0))
        return CONVT_OK;
    convti_shown shown = convti_json_show(registered);
    return convti_json_refuse(place, key,
                              "registered_name must be null for %.60s, which is built into Keras, "
                              "got %s",
                              name, shown.text);
}

json_t *convti_json_load(const char *text, size_t length, size_t flags, json_error_t *error)
{
    errno = 0;
    json_t *value = json_loadb(text, length, flags, error);
    if (!value) return NULL;
    json_t *again = json_loadb(text, length, flags, error);
    const bool same = json_equal(value, again);
    json_decref(again);
    if (same) return value;
    json_decref(value);
    errno = ENOMEM;
    return NULL;
}

/* A tree of jansson's may take 44 times its text, so text is not taken beyond a size that no config of
 * layers comes near. */
enum { LONGEST_TEXT = 4 << 20 };

convt_status convti_json_parse(const char *text, const char *name, json_t **root, convt_error *err)
{
    json_error_t error;
    const size_t length = strlen(text);
    *root = NULL;
    if (length > LONGEST_TEXT)
        return convti_fail(err, CONVT_BAD_FORMAT, name, "holds %zu bytes of JSON, more than %d",
                           length, LONGEST_TEXT);
    *root = convti_json_load(text, length, 0, &error);
    if (*root) return CONVT_OK;
    if (errno == ENOMEM)
        return convti_fail(err, CONVT_NO_MEMORY, name, "there is no memory for %zu bytes of JSON",
                           length);
    convti_make_printable(error.text);
    return convti_fail(err, CONVT_BAD_FORMAT, name, "is no JSON: %.150s, line %d column %d",
                       error.text, error.line, error.column);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool convti_json_integer(const json_t *value, int64_t *integer)
{
    if (json_is_integer(value))
        *integer = json_integer_value(value);
    else if (json_is_boolean(value))
        *integer = json_is_true(value);
    else
        return false;
    return true;
}

bool convti_json_number(const json_t *value, double *number)
{
    if (json_is_boolean(value))
        *number = json_is_true(value) ? 1 : 0;
    else if (json_is_number(value) && isfinite(json_number_value(value)))
        *number = json_number_value(value);
    else
        return false;
    return true;
}

convt_status convti_json_read_number(const convti_place *place, const char *name,
                                     const json_t *value, void *target)
{
    double number;
    if (!convti_json_number(value, &number))
        return convti_json_refuse_value(place, name, value, "a number");
    *(convt_optional *)target = CONVT_SET(number);
    return CONVT_OK;
}

bool convti_json_truth(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT: return json_object_size(value) > 0;
    case JSON_ARRAY: return json_array_size(value) > 0;
    case JSON_STRING: return json_string_length(value) > 0;
    case JSON_INTEGER:
    case JSON_REAL: return json_number_value(value) < 0 || json_number_value(value) > 0;
    case JSON_TRUE: return true;
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return false;
}

const char *convti_json_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- objects --------------------------------------------------------------------------------- */

bool convti_json_has_key(convti_json_keys keys, const char *name)
{
    for (size_t i = 0; i < keys.count; i++) {
        if (strcmp(name, keys.list[i].name) == 0) return true;
    }
    return false;
}

convt_status convti_json_read_keys(const convti_place *place, convti_json_keys keys,
                                   const json_t *object, void *target)
{
    for (size_t i = 0; i < keys.count; i++) {
        const convti_json_key *key = &keys.list[i];
        const json_t *value = json_object_get(object, key->name);
        convt_status status =
            value ? key->read(place, key->name, value, (char *)target + key->offset) : CONVT_OK;
        if (status) return status;
    }
    return CONVT_OK;
}

/* ---- text ------------------------------------------------------------------------------------ */

typedef struct text {
    char *data; /* NULL after memory ran out */
    size_t size, room;
} text;

static void put(text *out, const char *data, size_t size)
{
    if (out->data && size >= out->room - out->size) {
        size_t room = 2 * out->room + size;
        char *larger = realloc(out->data, room);
        if (!larger) free(out->data);
        out->data = larger;
        out->room = room;
    }
    if (!out->data) return;
    memcpy(out->data + out->size, data, size);
    out->size += size;
    out->data[out->size] = '\0';
}

static void put_line(text *out, int depth)
{
    put(out, "\n", 1);
    for (int i = 0; i < depth; i++) put(out, "  ", 2);
}

/* The fewest digits that read back as the same number; jansson prints and reads without regard
 * to the locale. */
static void put_real(text *out, const json_t *value)
{
    char digits[64];
    size_t length = 0;
    for (size_t precision = 1; precision <= 17; precision++) {
        length = json_dumpb(value, digits, sizeof digits,
                            JSON_ENCODE_ANY | JSON_REAL_PRECISION(precision));
        json_t *back = json_loadb(digits, length, JSON_DECODE_ANY, NULL);
        double difference = back ? json_real_value(back) - json_real_value(value) : 1;
        json_decref(back);
        if (difference >= 0 && difference <= 0) break;
    }
    put(out, digits, length);
}

static void put_scalar(text *out, const json_t *value)
{
    if (json_is_real(value)) {
        put_real(out, value);
        return;
    }
    char *dumped = json_dumps(value, JSON_ENCODE_ANY);
    if (dumped) {
        put(out, dumped, strlen(dumped));
    } else {
        free(out->data);
        out->data = NULL;
    }
    free(dumped);
}

static void put_value(text *out, const json_t *value, int depth);

/* Lists of objects on lines of their own, lists of numbers on one. */
static void put_array(text *out, const json_t *array, int depth)
{
    size_t count = json_array_size(array);
    put(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(array, i);
        if (json_is_object(item))
            put_line(out, depth + 1);
        else if (i > 0)
            put(out, " ", 1);
        put_value(out, item, depth + 1);
        if (i + 1 < count)
            put(out, ",", 1);
        else if (json_is_object(item))
            put_line(out, depth);
    }
    put(out, "]", 1);
}

static void put_object(text *out, const json_t *object, int depth)
{
    const char *key;
    json_t *value;
    size_t left = json_object_size(object);
    put(out, "{", 1);
    json_object_foreach((json_t *)object, key, value)
    {
        json_t *name = json_string(key);
        put_line(out, depth + 1);
        put_scalar(out, name);
        json_decref(name);
        put(out, ": ", 2);
        put_value(out, value, depth + 1);
        if (--left > 0)
            put(out, ",", 1);
        else
            put_line(out, depth);
    }
    put(out, "}", 1);
}

static void put_value(text *out, const json_t *value, int depth)
{
    if (json_is_object(value))
        put_object(out, value, depth);
    else if (json_is_array(value))
        put_array(out, value, depth);
    else
        put_scalar(out, value);
}

char *convti_json_text(const json_t *root)
{
    text out = {.data = malloc(4096), .room = 4096};
    put_value(&out, root, 0);
    put(&out, "\n", 1);
    return out.data;
}
