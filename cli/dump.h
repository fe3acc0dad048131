/* JSON for --json: values that are made in steps, and what prints them. */
#ifndef CONVT_DUMP_H
#define CONVT_DUMP_H

#include <jansson.h>

/* An array with one more element, an object with one more member (both taken over). NULL where one of the two
 * is NULL or memory is out, and nothing is left of either. */
json_t *json_and(json_t *array, json_t *value);
json_t *json_with(json_t *object, const char *key, json_t *value);

/* Prints root, which is taken over, and returns the exit code; NULL: memory was out, a line about `where`. */
int dump(json_t *root, const char *where);

#endif
