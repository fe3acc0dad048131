/*
 * A process beside rank 0; see witness.h.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

/* What a note is about; a rank that is gone is its number. Rank 0 itself is where nothing is said. Behind
 * HAS_ENDED there is nothing to witness. */
enum { IS_SAVED = -3, WAS_TOLD, HAS_ENDED, RANK_0 };

/* Short enough for a pipe to take it whole or not at all. */
struct note {
    int about;
    char saved[500];
};

/* A signal handler writes, too. */
static struct {
    int pipe; /* -1: no witness */
    pid_t process;
    pid_t *ranks; /* process numbers; 0: of another machine, or container */
    volatile sig_atomic_t count;
} witness = {.pipe = -1};

process_place process_here(void)
{
    process_place here = {.number = getpid()};
    struct stat space;
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "r");
    const bool known = boot && stat("/proc/self/ns/pid", &space) == 0 &&
                       fgets(here.boot, sizeof here.boot, boot);
    if (boot) fclose(boot);
    if (known)
        here.space = (uint64_t)space.st_ino;
    else
        here.boot[0] = 0;
    return here;
}

/* ---- the witness ----------------------------------------------------------------------------- */

static void say(const struct note *last)
{
    if (last->about == WAS_TOLD)
        complain(EXIT_FAILED, "train",
                 "told to end and not yet able to, maybe because a rank is gone; %s", last->saved);
    else
        complain(EXIT_FAILED, "train", "rank %d is gone, and the run with it; %s", last->about,
                 last->saved);
}

/* mpirun passes nothing on once it has killed its processes: what is to be read is said before. */
static void watch(int pipe, int patience)
{
    struct note note, last = {RANK_0, "it had not begun"};
    while (last.about == RANK_0 || last.about == WAS_TOLD) {
        struct pollfd in = {.fd = pipe, .events = POLLIN};
        const int most = last.about == WAS_TOLD ? patience : -1;
        if (poll(&in, 1, most) <= 0 || read(pipe, &note, sizeof note) != sizeof note) break;
        if (note.about == IS_SAVED)
            memcpy(last.saved, note.saved, sizeof last.saved);
        else
            last.about = note.about;
    }
    if (last.about != HAS_ENDED) say(&last);
}

/* The group of rank 0 gets the signals that are to end it. */
static void become_witness(int pipe, int patience)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < LENGTH(ignored); i++) signal(ignored[i], SIG_IGN);
    setsid();
    prctl(PR_SET_NAME, "convt-witness");
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    watch(pipe, patience);
    _exit(0);
}

/* ---- rank 0 ---------------------------------------------------------------------------------- */

void witness_start(int patience)
{
    int ends[2];
    if (pipe(ends) != 0) return;
    const pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        become_witness(ends[0], patience);
    }
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return;
    }
    /* Rather no note than a training that waits for its witness. */
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    witness.pipe = ends[1];
    witness.process = child;
}

static void tell(const struct note *note)
{
    if (witness.pipe < 0) return;
    const ssize_t told = write(witness.pipe, note, sizeof *note);
    (void)told; /* there is nobody else to tell */
}

void witness_ranks(const process_place ranks[], int count)
{
    witness.ranks = witness.pipe < 0 ? NULL : calloc((size_t)count, sizeof *witness.ranks);
    if (!witness.ranks) return;
    for (int rank = 0; rank < count; rank++) {
        const process_place *place = &ranks[rank];
        const bool near = place->space == ranks[0].space && ranks[0].boot[0] &&
                          strcmp(place->boot, ranks[0].boot) == 0;
        witness.ranks[rank] = near ? (pid_t)place->number : 0;
    }
    witness.count = count;
}

void witness_saved(const char *directory, const char *place)
{
    struct note note = {.about = IS_SAVED};
    snprintf(note.saved, sizeof note.saved, "%s holds the state after %s, --resume goes on",
             directory, place);
    tell(&note);
}

/* The launcher has waited for a rank that is gone, so its number is free. */
static bool is_gone(int rank)
{
    return witness.ranks[rank] > 0 && kill(witness.ranks[rank], 0) != 0 && errno == ESRCH;
}

/* Where every rank is there, it is somebody's wish that the run ends. */
void witness_told(bool by_launcher)
{
    const int kept = errno, count = witness.count;
    struct note note = {.about = count > 0 ? HAS_ENDED : WAS_TOLD};
    int gone = 0;
    for (int rank = 0; rank < count && gone == 0; rank++) {
        if (witness.ranks[rank] == 0) note.about = WAS_TOLD;
        if (is_gone(rank)) gone = rank;
    }
    if (gone > 0) note.about = gone;
    if (by_launcher || gone > 0) tell(&note);
    errno = kept;
}

void witness_end(void)
{
    const struct note note = {.about = HAS_ENDED};
    if (witness.pipe < 0) return;
    witness.count = 0;
    tell(&note);
    close(witness.pipe);
    witness.pipe = -1;
    waitpid(witness.process, NULL, 0);
    free(witness.ranks);
}
