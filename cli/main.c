/*
 * The command `convt`: a table of commands and what they share. Each command lives in a file of its
 * own name.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct command {
    const char *name;
    command_function *run;
    const char *summary;
} commands[] = {
    {"train", command_train, "train a decoder on images, or a model from x to y"},
    {"layer", command_layer, "run one layer on arrays: output, losses, gradients, optimizer steps"},
    {"predict", command_predict, "run a model on an array"},
    {"sample", command_sample, "draw pictures from a trained decoder"},
    {"convert", command_convert, "write a model in another format: Keras, npz, safetensors, ONNX"},
    {"info", command_info, "show what a model file holds"},
    {"gradcheck", command_gradcheck, "check a layer's gradients against difference quotients"},
    {"bench", command_bench, "measure the passes of layers against this machine's limits"},
};

static int usage(void)
{
    printf("convt %s: training of transposed convolutions (Keras' Conv2DTranspose)\n\n",
           convt_version());
    printf("usage: convt COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < LENGTH(commands); i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    printf("\nconvt COMMAND --help shows the options of a command, convt --version the version.\n");
    printf("`convt train` without options trains a decoder on the images that come along.\n");
    return EXIT_OK;
}

/* A write error on stdout (a full disk, a closed pipe) must not look like success. */
static int finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (code == EXIT_OK)
            return complain(EXIT_FAILED, "stdout", "the output could not be written");
    }
    return code;
}

/*
 * libgomp's threads by default spin for milliseconds before they sleep, which on a machine that is
 * busy with something else keeps the very thread they wait for from running: measured, an epoch
 * of a second becomes half a minute. It reads its settings when it is loaded, so the command
 * starts itself once more with a short spin, unless the user has chosen. Results stay the same.
 */
static void wait_politely(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "10000", 1) == 0) execv("/proc/self/exe", argv);
    /* Where that is not to be had, the command works all the same. */
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    wait_politely(argv);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write, with its message */
    if (!name) return complain(EXIT_USAGE, "convt", "a command is missing, see convt --help");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return finish(usage());
    if (strcmp(name, "--version") == 0) {
        printf("convt %s\n", convt_version());
        return finish(EXIT_OK);
    }
    for (size_t i = 0; i < LENGTH(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) return finish(commands[i].run(argc - 2, argv + 2));
    }
    return complain(EXIT_USAGE, name, "no such %s, see convt --help",
                    name[0] == '-' ? "option" : "command");
}
