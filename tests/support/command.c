#define _XOPEN_SOURCE 700
#include "support/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/close.h"
#include "support/scratch.h"

extern char **environ;

int command_run(const char *const arguments[])
{
    enum { MOST = 40 };
    const char *argv[MOST] = {CONVT_COMMAND};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status, count = 1;
    for (; arguments[count - 1]; count++) {
        assert_true(count < MOST - 1);
        argv[count] = arguments[count - 1];
    }
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, scratch("err"),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(
        posix_spawn(&pid, CONVT_COMMAND, &actions, NULL, (char *const *)(uintptr_t)argv, environ),
        0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
