/*
 * Long options as GNU programs have them, from a table: `--batch-size 32`, `--batch-size=32`,
 * `--quiet`, and `--help`, which is written from the same table.
 */
#ifndef CONVT_OPTIONS_H
#define CONVT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG, /* no argument */
    OPTION_TEXT,
    OPTION_INTEGER,    /* within minimum .. maximum */
    OPTION_REAL,       /* within minimum .. maximum */
    OPTION_SEED,       /* any 64-bit number that is not negative */
    OPTION_PAIR,       /* two integers, as two arguments */
    OPTION_POSITIONAL, /* the next argument without dashes; required */
    OPTION_OPERAND,    /* the same, and may be missing */
} option_kind;

typedef struct option_value {
    bool given;
    const char *text; /* as typed; points into argv */
    int64_t integer, second;
    uint64_t seed;
    double real;
} option_value;

typedef struct option {
    const char *name;     /* without dashes */
    const char *argument; /* what --help calls it; NULL for flags */
    option_kind kind;
    size_t offset; /* of the option_value in the caller's struct */
    const char *help;
    double minimum, maximum; /* of OPTION_INTEGER, OPTION_REAL and OPTION_PAIR; both 0: no bound */
} option;

typedef struct options {
    const char *command;
    const char *about; /* one or more lines for --help */
    const option *rows;
    size_t count;
} options;

enum { OPTIONS_PARSED = -1 };

/* Fills the option_values in *values, which starts zeroed. Returns OPTIONS_PARSED, or the exit
 * code: 0 after --help, 2 after the line that names what was refused. */
int options_parse(const options *table, void *values, int argc, char **argv);

/* The row of that name, NULL: none; and its value. */
const option *options_find(const options *table, const char *name);
option_value *options_value(const option *row, void *values);

/* Gives the option of that name this argument where the command line gave none; `text` must
 * outlive the values. Returns as options_parse does. */
int options_fill(const options *table, void *values, const char *name, const char *text);

/* An integer at the begin of a text, as strtoll takes it: returns what follows, NULL where there is none or
 * it does not fit. */
const char *integer_read(const char *text, int64_t *integer);

#endif
