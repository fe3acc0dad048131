/*
 * convt train: trains a decoder whose codes are learned with it, or a model from x to y, and leaves
 * a directory with what came of it.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"
#include "model.h"
#include "witness.h"

static const option rows[] = {
#define ROW(name, argument, kind, field, help, low, high)                     \
    {                                                                         \
        name, argument, kind, offsetof(train_options, field), help, low, high \
    }
    ROW("data", "SOURCE", OPTION_TEXT, data,
        "images: an IDX file (.gz too), an .npy or .npz, or a folder of PNG files (default: the "
        "images that come along)",
        0, 0),
    ROW("x", "X.npy", OPTION_TEXT, x, "train from x to y instead: the inputs", 0, 0),
    ROW("y", "Y.npy", OPTION_TEXT, y, "the targets of x", 0, 0),
    ROW("model", "MODEL", OPTION_TEXT, model,
        "the layers, and weights to start from where it has any: .keras, .npz, .safetensors, "
        ".onnx, or "
        ".json with a Keras config (default: a decoder that fits the images)",
        0, 0),
    ROW("out", "DIR", OPTION_TEXT, out, "where the results go (default convt-run)", 0, 0),
    ROW("epochs", "E", OPTION_INTEGER, epochs, "passes over the data (default 60; 10 with --x)", 1,
        1e9),
    ROW("batch-size", "B", OPTION_INTEGER, batch_size,
        "samples per step (default 128; 32 with --x)", 1, 1e9),
    ROW("leaves", "N", OPTION_INTEGER, leaves,
        "parts of a batch that are summed in a fixed tree, and that ranks of mpirun share "
        "(default: "
        "16, fewer for large models); part of what fixes the bits",
        1, 65536),
    ROW("loss", "NAME", OPTION_TEXT, loss,
        "as Keras names it: mse, mae, huber, binary_crossentropy, dice, ... (default: "
        "binary_crossentropy; mse with --x)",
        0, 0),
    ROW("from-logits", NULL, OPTION_FLAG, from_logits,
        "the model ends without a sigmoid, or softmax; for the crossentropies", 0, 0),
    ROW("optimizer", "OPT.json", OPTION_TEXT, optimizer,
        "of the weights: what keras.optimizers.SGD.get_config() gives (default: rate 0.5, momentum "
        "0.9, two epochs of warm-up "
        "and a cosine to zero; Keras' defaults with --x)",
        0, 0),
    ROW("codes", "D", OPTION_INTEGER, codes, "numbers in the code of an image (default 32)", 1,
        1e6),
    ROW("codes-learning-rate", "R", OPTION_REAL, codes_learning_rate, "of the codes (default 20)",
        0, 1e12),
    ROW("no-shuffle", NULL, OPTION_FLAG, no_shuffle, "keep the order of the file", 0, 0),
    ROW("seed", "S", OPTION_SEED, seed, "of weights, codes and order (default 0)", 0, 0),
    ROW("threads", "N", OPTION_INTEGER, threads,
        "threads to use (default: all); results are the same for any number", 0, 4096),
    ROW("validation-split", "P", OPTION_REAL, validation_split,
        "hold out this share of the samples, the last ones (default 0)", 0, 0.999999),
    ROW("checkpoint-minutes", "M", OPTION_REAL, checkpoint_minutes,
        "save a checkpoint this often within an epoch, beside the one after it (default 10; 0: "
        "after every batch)",
        0, 1e6),
    ROW("resume", NULL, OPTION_FLAG, resume,
        "go on where the run in DIR was stopped, with its options", 0, 0),
    ROW("force", NULL, OPTION_FLAG, force, "replace the run in DIR", 0, 0),
    ROW("quiet", NULL, OPTION_FLAG, quiet, "print nothing but errors", 0, 0),
#undef ROW
};

static const options table = {
    "train",
    "Trains a decoder on images. Every image gets a code, a few numbers that are learned together "
    "with the decoder that turns\n"
    "them back into the image. With --x and --y, trains a model from x to y. DIR gets history.csv, "
    "model.npz, model.keras, codes.npy,\n"
    "samples.png, report.html, checkpoint.npz and checkpoint-before.npz. Ctrl-C stops and saves "
    "what "
    "there is; after anything\n"
    "else, a crash or a kill, --resume goes on from the last checkpoint. Only one run at a time is "
    "let into DIR.\n"
    "Several machines: mpirun -np 8 convt train ..., with the same results for any number.",
    rows, LENGTH(rows)};

static const char default_directory[] = "convt-run";
static const double CHECKPOINT_MINUTES = 10;
enum { CODE_EPOCHS = 60, CODE_BATCH = 128, PLAIN_EPOCHS = 10, PLAIN_BATCH = 32 };

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_signal;

/* The first signal asks for a clean end, the second one ends at once, whichever it is. */
static void note_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    stop_signal = number;
    witness_told(info->si_pid == getppid());
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

static void catch_signals(void)
{
    /* What is being read or written goes on: half of it would look like a failure. */
    struct sigaction action = {.sa_sigaction = note_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A reader of the progress that goes away does not end the training. */
    signal(SIGPIPE, SIG_IGN);
}

static const char *signal_name(void)
{
    return stop_signal == SIGINT ? "SIGINT" : "SIGTERM";
}

/* ---- before the first batch ------------------------------------------------------------------ */

/* A directory that is not there yet is made, and locked, when everything else is known to be
 * right. */
static int lock_directory(job *j)
{
    j->lock = run_lock(j->directory);
    if (j->lock >= 0 || errno == ENOENT) return OPTIONS_PARSED;
    if (errno == EWOULDBLOCK)
        return complain(EXIT_FAILED, "--out", "%s is in use: another run is under way in it",
                        j->directory);
    return complain(EXIT_FAILED, "--out", "%s: %s", j->directory, strerror(errno));
}

static int refuse_earlier_run(const job *j)
{
    if (j->opt->resume.given || j->opt->force.given || !run_exists(j->directory))
        return OPTIONS_PARSED;
    return complain(EXIT_USAGE, "--out",
                    "%s holds a run: --resume goes on with it, --force replaces it", j->directory);
}

static int read_checkpoint(job *j)
{
    convt_error err = {0};
    if (!run_exists(j->directory))
        return complain(EXIT_FAILED, "--resume", "%s holds no run", j->directory);
    if (job_read_checkpoint(j, &err) != CONVT_OK) return complain_data("--resume", &err);
    const convt_error *damage = &j->checkpoint.damage;
    if (damage->status)
        complain(EXIT_FAILED, "--resume", "%s: %s; going on from %s", damage->field,
                 damage->message, run_file_name(RUN_BEFORE));
    return job_take_settings(j, &table);
}

/* Options that exclude each other, and the directory. */
static int open_directory(job *j)
{
    if (j->opt->resume.given && j->opt->force.given)
        return complain(EXIT_USAGE, "--force", "given together with --resume");
    int code = lock_directory(j);
    if (code == OPTIONS_PARSED) code = refuse_earlier_run(j);
    return code == OPTIONS_PARSED && j->opt->resume.given ? read_checkpoint(j) : code;
}

/* Another run may have begun since open_directory looked. */
static int make_directory(job *j)
{
    if (!run_make_directory(j->directory))
        return complain(EXIT_FAILED, "--out", "%s: %s", j->directory, strerror(errno));
    int code = j->lock < 0 ? lock_directory(j) : OPTIONS_PARSED;
    if (code == OPTIONS_PARSED) code = refuse_earlier_run(j);
    if (code == OPTIONS_PARSED) run_remove_temporaries(j->directory);
    return code;
}

static int choose_loss(job *j)
{
    const train_options *o = j->opt;
    const char *name = o->loss.given   ? o->loss.text
                       : j->supervised ? "mean_squared_error"
                                       : "binary_crossentropy";
    j->loss.from_logits = o->from_logits.given;
    if (!loss_kind(name, &j->loss.kind))
        return complain(EXIT_USAGE, "--loss", "\"%s\" is not known", name);
    if (j->loss.from_logits && loss_logits_of(j->loss.kind) == NO_LOGITS)
        return complain(EXIT_USAGE, "--from-logits", "%s takes no logits", name);
    if (loss_of_class_numbers(j->loss.kind) && !(j->supervised && o->model.given))
        return complain(EXIT_USAGE, "--loss",
                        "%s takes class numbers: it needs --x, --y and --model", name);
    return OPTIONS_PARSED;
}

static int choose_mode(job *j)
{
    const train_options *o = j->opt;
    const struct {
        const option_value *value;
        const char *name;
    } excluded[] = {{&o->data, "--data"},
                    {&o->codes, "--codes"},
                    {&o->codes_learning_rate, "--codes-learning-rate"}};
    if (o->x.given != o->y.given)
        return complain(EXIT_USAGE, o->x.given ? "--y" : "--x", "is missing beside %s",
                        o->x.given ? "--x" : "--y");
    j->supervised = o->x.given;
    for (size_t i = 0; i < LENGTH(excluded); i++) {
        if (j->supervised && excluded[i].value->given)
            return complain(EXIT_USAGE, excluded[i].name,
                            "given together with --x: from x to y there are no codes");
    }
    j->epochs = o->epochs.given ? o->epochs.integer : j->supervised ? PLAIN_EPOCHS : CODE_EPOCHS;
    j->batch_size = o->batch_size.given ? o->batch_size.integer
                    : j->supervised     ? PLAIN_BATCH
                                        : CODE_BATCH;
    return choose_loss(j);
}

/* ---- the steps in front of the first batch, each taken by all ranks --------------------------- */

static bool leads(const job *j)
{
    return j->crew.exchange.rank == 0;
}

static int lead_open_directory(job *j)
{
    return leads(j) ? open_directory(j) : OPTIONS_PARSED;
}

static int share_checkpoint(job *j)
{
    return job_share_checkpoint(j, &table);
}

static int note_contents(job *j)
{
    int code = job_find_contents(j);
    if (code != OPTIONS_PARSED) return code;
    return job_add_contents(j) ? job_check_contents(j)
                               : complain(EXIT_FAILED, "train", "out of memory");
}

/* One process has its data before its model, whose errors come later then; several the other way. */
static int note_contents_first(job *j)
{
    return crew_is_shared(&j->crew) ? OPTIONS_PARSED : note_contents(j);
}

static int note_contents_now(job *j)
{
    return crew_is_shared(&j->crew) ? note_contents(j) : OPTIONS_PARSED;
}

static int note_settings(job *j)
{
    return job_add_settings(j, &table) ? OPTIONS_PARSED
                                       : complain(EXIT_FAILED, "train", "out of memory");
}

static int make_ready(job *j)
{
    if (stop_signal != 0)
        return complain(EXIT_SIGNAL + (int)stop_signal, "train",
                        "stopped by %s before the first batch, nothing is saved", signal_name());
    return leads(j) ? make_directory(j) : OPTIONS_PARSED;
}

static void announce(const job *j)
{
    char text[32], place[64];
    const convt_shape in = j->saved[0].input;
    if (j->opt->quiet.given) return;
    printf("%s %s of %lldx%lldx%lld from %s\n", count_text(text, j->dataset.count),
           j->supervised ? "samples" : "images", (long long)j->target.h, (long long)j->target.w,
           (long long)j->target.c, j->supervised ? j->opt->x.text : j->source);
    printf("%s %lldx%lldx%lld", j->supervised ? "model" : "decoder", (long long)in.h,
           (long long)in.w, (long long)in.c);
    for (int i = 0; i < j->layer_count; i++) {
        convt_shape out = convt_layer_output(convt_model_layer(j->model, i));
        printf(" > %lldx%lldx%lld", (long long)out.h, (long long)out.w, (long long)out.c);
    }
    size_t bytes = model_parameter_bytes(j->saved, j->layer_count);
    printf(", %s parameters\n",
           count_text(text, (int64_t)(bytes / (j->saved[0].dtype == CONVT_FLOAT64 ? 8 : 4))));
    if (j->opt->resume.given)
        printf("going on after %s of %s\n", job_place(j, j->live, place), j->directory);
    fflush(stdout);
}

/* The first checkpoint shows that the directory can be written before hours are spent, and lets a
 * run that is killed in its first epoch be resumed. It is what replaces an earlier run. */
static int begin(job *j)
{
    convt_error err = {0};
    char place[64];
    if (!leads(j)) return OPTIONS_PARSED;
    announce(j);
    if (j->opt->resume.given) {
        witness_saved(j->directory, job_place(j, j->live, place));
        return OPTIONS_PARSED;
    }
    j->succession = RUN_BEGINS;
    if (job_write_checkpoint(j, j->good, &err) != CONVT_OK) return complain_data("--out", &err);
    run_remove_results(j->directory);
    return OPTIONS_PARSED;
}

static int prepare(job *j)
{
    static int (*const steps[])(job *) = {lead_open_directory, share_checkpoint,
                                          choose_mode,         job_read_data,
                                          note_contents_first, job_create,
                                          job_check_ranks,     job_read_share,
                                          note_contents_now,   job_start,
                                          note_settings,       job_compare_ranks,
                                          make_ready,          begin};
    int code = OPTIONS_PARSED;
    for (size_t i = 0; i < LENGTH(steps) && code == OPTIONS_PARSED; i++)
        code = crew_agree(&j->crew, steps[i](j));
    return code;
}

/* ---- training -------------------------------------------------------------------------------- */

/* Rank 0's clock decides; the state of other ranks is there behind the next batch. */
static void save_in_time(job *j, bool whole)
{
    const option_value *minutes = &j->opt->checkpoint_minutes;
    const double every = 60 * (minutes->given ? minutes->real : CHECKPOINT_MINUTES);
    if (seconds_now() - j->kept < every) return;
    convt_trainer_collect(j->trainer);
    if (whole) job_write_checkpoint(j, j->live, &j->error);
}

static bool on_batch(void *context, const convt_progress *now)
{
    job *j = context;
    progress_batch(&j->progress, now);
    if (leads(j)) save_in_time(j, now->whole);
    return stop_signal == 0 && j->error.status == CONVT_OK;
}

static bool on_epoch(void *context, const convt_progress *now)
{
    job *j = context;
    history_append(&j->history, now);
    job_keep_state(j);
    if (leads(j)) job_write_checkpoint(j, j->live, &j->error);
    if (j->error.status == CONVT_OK) progress_epoch(&j->progress, now);
    return stop_signal == 0 && j->error.status == CONVT_OK;
}

/* Saves a run that did not reach its end. */
static int save_part(job *j, const char *notice)
{
    convt_error err = {0};
    if (job_write_checkpoint(j, j->live, &err) != CONVT_OK) return complain_data("--out", &err);
    return job_write_results(j, notice);
}

/* The loss is no number: what is saved is the last good state. */
static int end_not_finite(job *j)
{
    char what[256], notice[512], place[64];
    snprintf(what, sizeof what, "%s", convt_trainer_error(j->trainer)->message);
    job_restore_state(j);
    snprintf(notice, sizeof notice, "The loss %s. This is the state after %s.", what,
             job_place(j, j->live, place));
    int code = save_part(j, notice);
    if (code != OPTIONS_PARSED) return code;
    return complain(EXIT_FAILED, "loss", "%s; %s holds the state after %s", what, j->directory,
                    place);
}

static int end_interrupted(job *j)
{
    char notice[512], place[64];
    snprintf(notice, sizeof notice,
             "Stopped by %s before the end. convt train --resume --out %s goes on after %s.",
             signal_name(), j->directory, job_place(j, j->live, place));
    int code = save_part(j, notice);
    if (code != OPTIONS_PARSED) return code;
    return complain(EXIT_SIGNAL + (int)stop_signal, "train",
                    "stopped by %s, %s is saved, --resume goes on after %s", signal_name(),
                    j->directory, place);
}

static int end_complete(job *j)
{
    int code = job_write_results(j, NULL);
    char time[32];
    if (code != OPTIONS_PARSED) return code;
    if (stop_signal != 0)
        return complain(EXIT_SIGNAL + (int)stop_signal, "train", "%s came at the end, %s is whole",
                        signal_name(), j->directory);
    if (!j->opt->quiet.given) {
        int64_t trained = j->history.count - j->progress.first_epoch;
        if (trained > 0)
            printf("%lld epoch%s in %s, ", (long long)trained, trained == 1 ? "" : "s",
                   duration_text(time, j->seconds));
        printf("mse %.5f: see %s/%s\n",
               j->history.count > 0 ? j->history.rows[j->history.count - 1][1] : (double)NAN,
               j->directory, run_file_name(RUN_REPORT));
    }
    return EXIT_OK;
}

static void open_progress(job *j)
{
    const int64_t batches = job_batches_done(j, j->live), samples = batches * j->batch_size;
    const convt_progress done = {
        .epoch = j->history.count,
        .batch = batches,
        .samples = samples < j->train_count ? samples : j->train_count,
    };
    progress_open(&j->progress, stdout, j->opt->quiet.given, &done);
    /* mpirun gives its processes a terminal, whatever its own output is. */
    if (crew_is_shared(&j->crew)) j->progress.terminal = false;
    j->kept = seconds_now();
}

static int end(job *j, convt_status status)
{
    if (j->error.status != CONVT_OK) return complain_data("--out", &j->error);
    if (status == CONVT_OK) return end_complete(j);
    if (status == CONVT_NOT_FINITE) return end_not_finite(j);
    if (status != CONVT_STOPPED) return complain_config("train", convt_trainer_error(j->trainer));
    if (stop_signal == 0) stop_signal = SIGTERM; /* another rank heard it */
    return end_interrupted(j);
}

static int train(job *j)
{
    int code = prepare(j);
    if (code != OPTIONS_PARSED) return code;
    open_progress(j);
    convt_status status = convt_fit(j->trainer);
    j->crew.lost = status == CONVT_EXCHANGE_FAILED;
    j->seconds = seconds_now() - j->progress.started;
    progress_close(&j->progress);
    if (j->crew.lost) return complain_config("train", convt_trainer_error(j->trainer));
    return crew_agree(&j->crew, leads(j) ? end(j, status) : OPTIONS_PARSED);
}

static int run(job *j, int argc, char **argv)
{
    int code = crew_agree(&j->crew, options_parse(&table, j->opt, argc, argv));
    if (code != OPTIONS_PARSED) return code;
    j->directory = j->opt->out.given ? j->opt->out.text : default_directory;
    code = train(j);
    job_close(j);
    if (j->lock >= 0) close(j->lock);
    return code;
}

int command_train(int argc, char **argv)
{
    train_options opt = {0};
    job j = {.opt = &opt, .lock = -1};
    j.trainer_config =
        (convt_trainer_config){.on_batch = on_batch, .on_epoch = on_epoch, .context = &j};
    catch_signals();
    int code = crew_join(&j.crew);
    if (code == OPTIONS_PARSED) code = run(&j, argc, argv);
    crew_leave(&j.crew);
    return code;
}
