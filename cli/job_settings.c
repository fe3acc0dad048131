/*
 * What makes a run what it is, as text in its checkpoint; and what a resumed run takes from there
 * or is refused for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"

enum { MAY_DIFFER = true, MUST_AGREE = false };

/* Options in the order of the command line that repeats the run, then what they stood for. Paths
 * may differ where the content is the same; the number of epochs is the user's to change. */
static const struct setting {
    const char *name;
    bool may_differ;
} setting_rows[] = {
    {"data", MAY_DIFFER},       {"x", MAY_DIFFER},
    {"y", MAY_DIFFER},          {"model", MUST_AGREE},
    {"codes", MUST_AGREE},      {"epochs", MAY_DIFFER},
    {"batch-size", MUST_AGREE}, {"leaves", MUST_AGREE},
    {"loss", MUST_AGREE},       {"from-logits", MUST_AGREE},
    {"optimizer", MUST_AGREE},  {"codes-learning-rate", MUST_AGREE},
    {"no-shuffle", MUST_AGREE}, {"validation-split", MUST_AGREE},
    {"seed", MUST_AGREE},       {"data content", MUST_AGREE},
    {"x content", MUST_AGREE},  {"y content", MUST_AGREE},
    {"layers", MAY_DIFFER},     {"sgd", MAY_DIFFER},
};

static bool is_option(const char *name)
{
    return !strchr(name, ' ') && strcmp(name, "layers") != 0 && strcmp(name, "sgd") != 0;
}

/* ---- going on -------------------------------------------------------------------------------- */

static bool same_value(const option *row, const option_value *a, const option_value *b)
{
    convt_loss_kind one, other;
    if (a->given != b->given) return false;
    if (row->kind == OPTION_FLAG) return true;
    if (strcmp(row->name, "loss") == 0 && loss_kind(a->text, &one) && loss_kind(b->text, &other))
        return one == other;
    if (row->kind == OPTION_TEXT) return strcmp(a->text, b->text) == 0;
    return a->integer == b->integer && a->real == b->real && a->seed == b->seed;
}

static int check_option(const job *j, const options *table, const struct setting *setting,
                        train_options *before)
{
    const option *row = options_find(table, setting->name);
    char where[64];
    if (setting->may_differ || !row) return OPTIONS_PARSED;
    const option_value *now = options_value(row, j->opt), *then = options_value(row, before);
    if (!now->given || same_value(row, now, then)) return OPTIONS_PARSED;
    snprintf(where, sizeof where, "--%s", row->name);
    if (!then->given)
        return complain(EXIT_USAGE, where, "the run in %s was started without it", j->directory);
    return complain(EXIT_USAGE, where, "%s, but the run in %s was started with %s", now->text,
                    j->directory, then->text);
}

int job_take_settings(job *j, const options *table)
{
    train_options before = {0};
    const run_settings *stored = &j->checkpoint.settings;
    int code = OPTIONS_PARSED;
    if ((j->opt->x.given || j->opt->y.given) && !settings_find(stored, "x"))
        return complain(EXIT_USAGE, "--x", "the run in %s learns codes of images", j->directory);
    if (j->opt->data.given && !settings_find(stored, "data"))
        return complain(EXIT_USAGE, "--data", "the run in %s goes from x to y", j->directory);
    for (int i = 0; i < stored->count && code == OPTIONS_PARSED; i++)
        code = options_fill(table, &before, stored->names[i], stored->values[i]);
    for (size_t i = 0; i < LENGTH(setting_rows) && code == OPTIONS_PARSED; i++)
        code = check_option(j, table, &setting_rows[i], &before);
    for (int i = 0; i < stored->count && code == OPTIONS_PARSED; i++)
        code = options_fill(table, j->opt, stored->names[i], stored->values[i]);
    return code;
}

static const char *const *setting_names(void)
{
    static const char *names[LENGTH(setting_rows)];
    for (size_t i = 0; i < LENGTH(setting_rows); i++) names[i] = setting_rows[i].name;
    return names;
}

convt_status job_read_checkpoint(job *j, convt_error *err)
{
    return checkpoint_read(j->directory, setting_names(), LENGTH(setting_rows), &j->checkpoint,
                           err);
}

convt_status job_decode_checkpoint(job *j, const void *data, size_t size, convt_error *err)
{
    return checkpoint_decode(data, size, setting_names(), LENGTH(setting_rows), &j->checkpoint,
                             err);
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* What the data holds, by the option that it came from: images, or x and y. */
static const struct content {
    const char *setting, *option;
} contents[] = {{"data content", "--data"}, {"x content", "--x"}, {"y content", "--y"}};

static char *content_text(const job *j, size_t i)
{
    char text[160] = "";
    if (i == 0)
        image_fingerprint(&j->images.images, j->dataset.count, j->contents.digest[i], text);
    else
        array_fingerprint(i == 1 ? &j->x : &j->y, j->dataset.count, j->contents.digest[i], text);
    return text_of("%s", text);
}

/* The contents come first: arrays lose their dtype when the model converts them. */
bool job_add_contents(job *j)
{
    bool good = true;
    for (size_t i = j->supervised ? 1 : 0; i < (j->supervised ? LENGTH(contents) : 1) && good; i++)
        good = settings_add(&j->settings, contents[i].setting, content_text(j, i));
    return good;
}

int job_check_contents(const job *j)
{
    for (size_t i = 0; i < LENGTH(contents); i++) {
        const char *now = settings_find(&j->settings, contents[i].setting);
        const char *then = settings_find(&j->checkpoint.settings, contents[i].setting);
        if (now && then && strcmp(now, then) != 0)
            return complain(EXIT_USAGE, contents[i].option,
                            "holds %s, but the run in %s was started with %s", now, j->directory,
                            then);
    }
    return OPTIONS_PARSED;
}

/* The text of an option as it was understood; NULL where the run has none of it. */
static char *option_text(const job *j, const options *table, const char *name)
{
    const option_value *value = options_value(options_find(table, name), j->opt);
    const convt_view *codes = &j->codes.values;
    int64_t code_size = codes->h * codes->w * codes->c;
    char text[32];
    if (strcmp(name, "data") == 0) return j->source ? text_of("%s", j->source) : NULL;
    if (strcmp(name, "codes") == 0)
        return j->supervised ? NULL : text_of("%lld", (long long)code_size);
    if (strcmp(name, "codes-learning-rate") == 0)
        return j->supervised ? NULL : text_of("%s", real_text(text, j->codes.learning_rate));
    if (strcmp(name, "epochs") == 0) return text_of("%lld", (long long)j->epochs);
    if (strcmp(name, "batch-size") == 0) return text_of("%lld", (long long)j->batch_size);
    if (strcmp(name, "loss") == 0) return text_of("%s", loss_name(&j->loss));
    if (strcmp(name, "validation-split") == 0) return text_of("%s", real_text(text, value->real));
    if (strcmp(name, "seed") == 0) return text_of("%llu", (unsigned long long)value->seed);
    return value->given ? text_of("%s", value->text ? value->text : "yes") : NULL;
}

bool job_add_settings(job *j, const options *table)
{
    convt_error err;
    char *layers = NULL, *sgd = NULL;
    for (size_t i = 0; i < LENGTH(setting_rows); i++) {
        const char *name = setting_rows[i].name;
        char *text = is_option(name) ? option_text(j, table, name) : NULL;
        if (text && !settings_add(&j->settings, name, text)) return false;
    }
    if (convt_spec_json(&j->spec, &layers, &err) != CONVT_OK) return false;
    if (!settings_add(&j->settings, "layers", layers)) return false;
    if (j->recipe) return true;
    if (convt_sgd_write(&j->sgd_config, &sgd, &err) != CONVT_OK) return false;
    return settings_add(&j->settings, "sgd", sgd);
}

/* ---- the command line that repeats the run --------------------------------------------------- */

/* A word as a shell reads it. */
static void put_word(FILE *out, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    if (*text && !text[strspn(text, plain)]) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++) fprintf(out, *text == '\'' ? "'\\''" : "%c", *text);
    fputc('\'', out);
}

char *job_command_line(const job *j)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fputs("convt train", out);
    for (size_t i = 0; i < LENGTH(setting_rows); i++) {
        const char *name = setting_rows[i].name, *value = settings_find(&j->settings, name);
        bool flag = strcmp(name, "from-logits") == 0 || strcmp(name, "no-shuffle") == 0;
        bool off = strcmp(name, "validation-split") == 0 && value && strcmp(value, "0") == 0;
        if (!is_option(name) || !value || off) continue;
        fprintf(out, " --%s%s", name, flag ? "" : " ");
        if (!flag) put_word(out, value);
    }
    fputs(" --out ", out);
    put_word(out, j->directory);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
