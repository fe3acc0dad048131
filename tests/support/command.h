/* The command `convt` as a process, for tests that need more than sh compares. */
#ifndef COMMAND_H
#define COMMAND_H

/* Runs the command with arguments that end with NULL, the first of which names the subcommand; stderr
 * goes to the file err of the scratch folder. The exit code, or -1 after a signal. */
int command_run(const char *const arguments[]);

#endif
