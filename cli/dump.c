/*
 * JSON of the command; see dump.h.
 */
#include "dump.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

json_t *json_and(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0) return array;
    json_decref(array);
    return NULL;
}

json_t *json_with(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0) return object;
    json_decref(object);
    return NULL;
}

json_t *json_read(const char *text)
{
    json_t *value = text ? json_loads(text, 0, NULL) : NULL,
           *again = value ? json_loads(text, 0, NULL) : NULL;
    const bool same = json_equal(value, again);
    json_decref(again);
    if (same) return value;
    json_decref(value);
    return NULL;
}

int dump(json_t *root, const char *where)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return complain(EXIT_FAILED, where, "no JSON could be made of it");
    puts(text);
    free(text);
    return EXIT_OK;
}
