/* A fresh folder per test program, for the tests that touch files. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

/* cmocka group fixtures: make the folder, remove it with all it holds. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* The path of a name within the folder; valid until the 8th call from here. "" is the folder. */
const char *scratch(const char *name);

/* Writes a file and returns its path. */
const char *scratch_write(const char *name, const void *data, size_t size);

/* A malloc'ed file of the folder, zero-terminated. */
char *scratch_read(const char *name, size_t *size);

bool scratch_exists(const char *name);

/* How many entries there are: a temporary that was left behind shows. */
int scratch_count(void);

/* Removes all entries. */
void scratch_clear(void);

/* Limits the size that a file may grow to (a full disk, as far as write() can tell); (size_t)-1
 * takes the limit away. */
void scratch_limit(size_t size);

#endif
