/*
 * The parser behind options.h: finds a row by name, checks the argument by the row's kind.
 */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { HELP_COLUMN = 29, HELP_WIDTH = 96 };

/* ---- --help ---------------------------------------------------------------------------------- */

static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (at > column && at + 1 + word > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", word, text);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static bool has_no_dashes(const option *row)
{
    return row->kind == OPTION_POSITIONAL || row->kind == OPTION_OPERAND;
}

static int help(const options *table)
{
    printf("usage: convt %s", table->command);
    for (size_t i = 0; i < table->count; i++) {
        const option *row = &table->rows[i];
        if (row->kind == OPTION_POSITIONAL) printf(" %s", row->argument);
        if (row->kind == OPTION_OPERAND) printf(" [%s]", row->argument);
    }
    printf(" [OPTION]...\n\n%s\n\n", table->about);
    for (size_t i = 0; i <= table->count; i++) {
        static const option last = {.name = "help", .kind = OPTION_FLAG, .help = "this text"};
        const option *row = i < table->count ? &table->rows[i] : &last;
        char left[64];
        if (has_no_dashes(row))
            snprintf(left, sizeof left, "  %s", row->argument);
        else
            snprintf(left, sizeof left, "  --%s%s%s", row->name, row->argument ? " " : "",
                     row->argument ? row->argument : "");
        printf("%-*s", HELP_COLUMN, left);
        if (strlen(left) >= HELP_COLUMN) printf("\n%*s", HELP_COLUMN, "");
        print_wrapped(row->help, HELP_COLUMN);
    }
    return EXIT_OK;
}

/* ---- arguments ------------------------------------------------------------------------------- */

option_value *options_value(const option *row, void *values)
{
    return (option_value *)(void *)((char *)values + row->offset);
}

static void dashed(char text[64], const option *row)
{
    snprintf(text, 64, has_no_dashes(row) ? "%s" : "--%s", row->name);
}

/* "an integer from 1 to 9", for messages. */
static void expected(char text[128], const option *row)
{
    const char *noun = row->kind == OPTION_REAL ? "a number" : "an integer";
    if (row->kind == OPTION_SEED)
        snprintf(text, 128, "an integer from 0 to 18446744073709551615");
    else if (row->minimum == row->maximum)
        snprintf(text, 128, "%s", noun);
    else if (isinf(row->maximum))
        snprintf(text, 128, "%s of at least %.15g", noun, row->minimum);
    else
        snprintf(text, 128, "%s from %.15g to %.15g", noun, row->minimum, row->maximum);
}

static int refuse_value(const option *row, const char *text)
{
    char where[64], what[128];
    dashed(where, row);
    expected(what, row);
    return complain(EXIT_USAGE, where, "\"%s\" is not %s", text, what);
}

static bool in_range(const option *row, double number)
{
    return row->minimum == row->maximum || (number >= row->minimum && number <= row->maximum);
}

const char *integer_read(const char *text, int64_t *integer)
{
    char *end;
    errno = 0;
    *integer = strtoll(text, &end, 10);
    return end != text && errno == 0 ? end : NULL;
}

static bool read_integer(const option *row, const char *text, int64_t *integer)
{
    const char *end = integer_read(text, integer);
    return end && !*end && in_range(row, (double)*integer);
}

static bool read_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0;
}

static bool read_real(const option *row, const char *text, double *real)
{
    char *end;
    *real = strtod(text, &end);
    return end != text && !*end && isfinite(*real) && in_range(row, *real);
}

static int read_value(const option *row, option_value *value, const char *text)
{
    bool good = true;
    if (row->kind == OPTION_INTEGER || row->kind == OPTION_PAIR)
        good = read_integer(row, text, value->given ? &value->second : &value->integer);
    else if (row->kind == OPTION_SEED)
        good = read_seed(text, &value->seed);
    else if (row->kind == OPTION_REAL)
        good = read_real(row, text, &value->real);
    else if (!*text)
        good = false;
    if (!good && (row->kind == OPTION_TEXT || has_no_dashes(row))) {
        char where[64];
        dashed(where, row);
        return complain(EXIT_USAGE, where, "the name is empty");
    }
    if (!good) return refuse_value(row, text);
    value->given = true;
    value->text = text;
    return OPTIONS_PARSED;
}

/* ---- the command line ------------------------------------------------------------------------ */

static const option *find_row(const options *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        const option *row = &table->rows[i];
        if (!has_no_dashes(row) && strlen(row->name) == length &&
            memcmp(row->name, name, length) == 0)
            return row;
    }
    return NULL;
}

/* An option at argv[*at]; moves *at over its arguments. */
static int parse_option(const options *table, void *values, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    size_t length = strcspn(word, "=");
    const char *inside = word[length] == '=' ? word + length + 1 : NULL;
    const option *row = strncmp(word, "--", 2) == 0 ? find_row(table, word + 2, length - 2) : NULL;
    char where[64];
    snprintf(where, sizeof where, "%.*s", (int)length, word);
    if (!row)
        return complain(EXIT_USAGE, where, "no such option, see convt %s --help", table->command);
    option_value *value = options_value(row, values);
    if (value->given) return complain(EXIT_USAGE, where, "given twice");
    if (row->kind == OPTION_FLAG) {
        value->given = true;
        return inside ? complain(EXIT_USAGE, where, "takes no argument, got \"%s\"", inside)
                      : OPTIONS_PARSED;
    }
    int code = OPTIONS_PARSED;
    for (int n = row->kind == OPTION_PAIR ? 2 : 1; n > 0 && code == OPTIONS_PARSED; n--) {
        const char *text = inside ? inside : ++*at < argc ? argv[*at] : NULL;
        inside = NULL;
        if (!text) return complain(EXIT_USAGE, where, "the argument %s is missing", row->argument);
        code = read_value(row, value, text);
    }
    return code;
}

static int parse_positional(const options *table, void *values, const char *text)
{
    for (size_t i = 0; i < table->count; i++) {
        option_value *value = options_value(&table->rows[i], values);
        if (has_no_dashes(&table->rows[i]) && !value->given)
            return read_value(&table->rows[i], value, text);
    }
    return complain(EXIT_USAGE, table->command, "unexpected argument \"%s\"", text);
}

static int check_positionals(const options *table, void *values)
{
    for (size_t i = 0; i < table->count; i++) {
        const option *row = &table->rows[i];
        if (row->kind == OPTION_POSITIONAL && !options_value(row, values)->given)
            return complain(EXIT_USAGE, table->command, "the argument %s is missing",
                            row->argument);
    }
    return OPTIONS_PARSED;
}

int options_parse(const options *table, void *values, int argc, char **argv)
{
    bool only_names = false; /* after a lone -- */
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) return help(table);
        if (strcmp(argv[i], "--") == 0) break;
    }
    for (int i = 0; i < argc; i++) {
        int code = OPTIONS_PARSED;
        if (!only_names && strcmp(argv[i], "--") == 0)
            only_names = true;
        else if (!only_names && argv[i][0] == '-' && argv[i][1])
            code = parse_option(table, values, argc, argv, &i);
        else
            code = parse_positional(table, values, argv[i]);
        if (code != OPTIONS_PARSED) return code;
    }
    return check_positionals(table, values);
}

const option *options_find(const options *table, const char *name)
{
    return find_row(table, name, strlen(name));
}

int options_fill(const options *table, void *values, const char *name, const char *text)
{
    const option *row = options_find(table, name);
    if (!row || options_value(row, values)->given) return OPTIONS_PARSED;
    if (row->kind != OPTION_FLAG) return read_value(row, options_value(row, values), text);
    options_value(row, values)->given = true;
    return OPTIONS_PARSED;
}
