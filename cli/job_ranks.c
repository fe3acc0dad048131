/*
 * What the ranks of a training run must agree on before the first batch; see job.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "model.h"

/* ---- the checkpoint -------------------------------------------------------------------------- */

/* Rank 0 alone can be relied on to see the directory. */
int job_share_checkpoint(job *j, const options *table)
{
    convt_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    int code = OPTIONS_PARSED;
    if (!crew_is_shared(&j->crew) || !j->opt->resume.given) return OPTIONS_PARSED;
    const bool reads = j->crew.exchange.rank == 0;
    if (reads && checkpoint_bytes(j->directory, &j->checkpoint, &bytes, &size, &err) != CONVT_OK)
        code = complain_data("--resume", &err);
    code = crew_agree(&j->crew, code);
    if (code == OPTIONS_PARSED) code = crew_share(&j->crew, (void **)&bytes, &size);
    if (code == OPTIONS_PARSED && !reads) {
        code = job_decode_checkpoint(j, bytes, size, &err) == CONVT_OK
                   ? job_take_settings(j, table)
                   : complain_data("--resume", &err);
    }
    free(bytes);
    return code;
}

/* ---- is there work for all? ------------------------------------------------------------------ */

static int refuse_one_leaf(const job *j)
{
    char text[32];
    if (j->opt->leaves.given || j->batch_size == 1)
        return complain(EXIT_USAGE, j->opt->leaves.given ? "--leaves" : "--batch-size",
                        "1 leaves nothing to share between %d ranks", j->crew.exchange.size);
    const size_t bytes = model_parameter_bytes(j->layers, j->layer_count);
    if (convt_leaf_size(j->loss.kind, j->batch_size, 0) == j->batch_size)
        return complain(EXIT_USAGE, "--loss",
                        "%s is no sum over samples: its batches cannot be shared between %d ranks",
                        loss_name(&j->loss), j->crew.exchange.size);
    return complain(EXIT_USAGE, "--leaves",
                    "with parameters of %s a batch is not cut, so %d ranks have nothing to share; "
                    "--leaves N cuts it into N parts, which changes the bits of the run",
                    bytes_text(text, (double)bytes), j->crew.exchange.size);
}

int job_check_ranks(job *j)
{
    const int ranks = j->crew.exchange.size;
    const int64_t leaves = convt_trainer_leaves(j->trainer);
    if (!crew_is_shared(&j->crew)) return OPTIONS_PARSED;
    if (j->batch_size < ranks)
        return complain(EXIT_USAGE, "--batch-size", "%lld samples are fewer than the %d ranks",
                        (long long)j->batch_size, ranks);
    if (leaves == 1) return refuse_one_leaf(j);
    if (j->opt->quiet.given) return OPTIONS_PARSED;
    printf("%d ranks share the %lld leaves of a batch of %lld", ranks, (long long)leaves,
           (long long)j->batch_size);
    if (leaves < ranks)
        printf("; %lld ranks have nothing to do, --leaves N would cut batches finer",
               (long long)(ranks - leaves));
    printf("\n");
    return OPTIONS_PARSED;
}

/* ---- do all train the same? ------------------------------------------------------------------ */

static uint64_t digest_of_parameters(const job *j)
{
    uint64_t digest = 0;
    for (int i = 0; i < j->state_count; i++) {
        const convt_view *v = &j->live[i].values;
        const size_t bytes = (size_t)(v->n * v->h * v->w * v->c) *
                             (v->dtype == CONVT_FLOAT64 ? 8 : 4);
        if (strcmp(j->live[i].name, "codes") != 0) digest += sample_digest(v->data, bytes, i);
    }
    return digest;
}

/* What must be the same beside the settings of the run. */
enum { MARKS = 4 };
struct mark {
    char name[32], value[64];
};

static void find_marks(const job *j, struct mark marks[MARKS])
{
    const struct mark found[MARKS] = {
        {"version", ""}, {"instruction set", ""}, {"initial state", ""}, {"settings", ""}};
    memcpy(marks, found, sizeof found);
    snprintf(marks[0].value, sizeof marks->value, "%s", convt_version());
    snprintf(marks[1].value, sizeof marks->value, "%s",
             convt_layer_isa(convt_model_layer(j->model, 0)));
    snprintf(marks[2].value, sizeof marks->value, "%016llx",
             (unsigned long long)digest_of_parameters(j));
    snprintf(marks[3].value, sizeof marks->value, "%d of them", j->settings.count);
}

static int differs(const char *name, const char *own, const char *first)
{
    return complain(EXIT_FAILED, "train", "ranks differ in %s: %s, and %s on rank 0", name, own,
                    first);
}

static int compare_marks(job *j, const struct mark own[], int count)
{
    struct mark first[MARKS];
    memcpy(first, own, (size_t)count * sizeof *own);
    int code = crew_copy(&j->crew, first, (size_t)count * sizeof *own);
    for (int i = 0; i < count && code == OPTIONS_PARSED; i++)
        if (strcmp(own[i].value, first[i].value) != 0)
            code = differs(own[i].name, own[i].value, first[i].value);
    return crew_agree(&j->crew, code);
}

/* Paths may differ: of the data it is the content that counts. */
static bool is_path(const char *name)
{
    return strcmp(name, "data") == 0 || strcmp(name, "x") == 0 || strcmp(name, "y") == 0;
}

static int compare_setting(job *j, int i)
{
    const char *own = j->settings.values[i];
    void *first = (void *)(uintptr_t)own;
    size_t size = strlen(own) + 1;
    int code = crew_share(&j->crew, &first, &size);
    if (code == OPTIONS_PARSED && !is_path(j->settings.names[i]) && strcmp(own, first) != 0)
        code = differs(j->settings.names[i], own, first);
    if (j->crew.exchange.rank > 0) free(first);
    return code;
}

/* How many samples there are is one of the settings: of different ones it is told first. */
int job_compare_ranks(job *j)
{
    struct mark own[MARKS], probe = {"samples of the data", ""};
    if (!crew_is_shared(&j->crew)) return OPTIONS_PARSED;
    find_marks(j, own);
    snprintf(probe.value, sizeof probe.value, "%016llx", (unsigned long long)j->probe);
    int code = compare_marks(j, own, MARKS);
    for (int i = 0; i < j->settings.count && code == OPTIONS_PARSED; i++)
        code = crew_agree(&j->crew, compare_setting(j, i));
    return code == OPTIONS_PARSED ? compare_marks(j, &probe, 1) : code;
}
