/*
 * What the commands share: exit codes, the one-line error, and the table of commands.
 *
 * Every error is one line on stderr, `convt: <where>: <what is wrong, with the value>`, and the
 * exit code says whose fault it was: 2 for the command line and configs, 1 for data, files and
 * training.
 */
#ifndef CONVT_CLI_H
#define CONVT_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include <convt/io.h>

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,  /* file missing or corrupt, I/O, NaN loss */
    EXIT_USAGE = 2,   /* wrong usage, a config that is missing or refused */
    EXIT_SIGNAL = 128 /* plus the number of the signal */
};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* Prints the line and returns `code`, so that a command can `return complain(...)`. Control
 * characters become '?'. */
int complain(int code, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Later: error lines are kept, and the first one is what complained() gives, "" while there is none.
 * For ranks that are not the one that prints. */
enum { COMPLAINT_ROOM = 2048 };
void complain_later(bool later);
const char *complained(void);

/* The line of a library error about a config or model: where is the field, or `option` where the
 * error names none. Returns 1 for files that cannot be read or are corrupt and where memory
 * is out, 2 for everything else. */
int complain_config(const char *option, const convt_error *err);

/* The same for a config file, of which everything that is wrong is wrong usage: also that it is
 * missing, or no JSON. */
int complain_config_file(const char *option, const convt_error *err);

/* The line of an --isa that this machine does not have; returns 2. */
int complain_isa(const char *isa);

/* The line of a library error about data: `option` is where, and the exit code is 1. */
int complain_data(const char *option, const convt_error *err);

/* malloc'ed text like sprintf's; NULL where memory is out. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "7.7 MiB"; text needs 32 bytes. Returns text. */
char *bytes_text(char text[32], double bytes);

/* Each takes the arguments after its name and returns the exit code. */
typedef int command_function(int argc, char **argv);
command_function command_bench, command_convert, command_gradcheck, command_info, command_layer,
    command_predict, command_sample, command_train;

#endif
