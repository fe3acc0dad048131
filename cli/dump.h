/* JSON of the command: values that are made in steps, what prints them for --json, what reads them back. */
#ifndef CONVT_DUMP_H
#define CONVT_DUMP_H

#include <jansson.h>

/* An array with one more element, an object with one more member (both taken over). NULL where one of the two
 * is NULL or memory is out, and nothing is left of either. */
json_t *json_and(json_t *array, json_t *value);
json_t *json_with(json_t *object, const char *key, json_t *value);

/* What the text (may be NULL) says; NULL where it is no JSON or memory was out, of which jansson (2.14) does not always tell:
 * it leaves out a letter of a string that it finds no room for. So text is read twice. */
json_t *json_read(const char *text);

/* Prints root, which is taken over, and returns the exit code; NULL: memory was out, a line about `where`. */
int dump(json_t *root, const char *where);

#endif
