/*
 * The directory of a training run; see run.h.
 */
#include "run.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "data.h"

static const char settings_member[] = "settings.json";

static convt_status refuse(convt_error *err, convt_status status, const char *format,
                           const char *what)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    snprintf(err->message, sizeof err->message, format, what);
    return status;
}

static convt_status no_memory(convt_error *err)
{
    return refuse(err, CONVT_NO_MEMORY, "%s", "out of memory");
}

/* ---- files ----------------------------------------------------------------------------------- */

const char *run_file_name(run_file file)
{
    static const char *const names[] = {
        [RUN_HISTORY] = "history.csv",      [RUN_MODEL] = "model.npz",
        [RUN_KERAS] = "model.keras",        [RUN_CODES] = "codes.npy",
        [RUN_SAMPLES] = "samples.png",      [RUN_REPORT] = "report.html",
        [RUN_CHECKPOINT] = "checkpoint.npz"};
    return names[file];
}

char *run_path(const char *directory, run_file file)
{
    return text_of("%s/%s", directory, run_file_name(file));
}

bool run_exists(const char *directory)
{
    bool found = false;
    for (int file = 0; file < RUN_FILES && !found; file++) {
        struct stat info;
        char *path = run_path(directory, (run_file)file);
        found = path && lstat(path, &info) == 0;
        free(path);
    }
    return found;
}

bool run_make_directory(const char *directory)
{
    char *path = text_of("%s", directory);
    struct stat info;
    if (!path) return false;
    for (char *slash = path + 1; *path && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777); /* the last mkdir reports */
        *slash = '/';
    }
    mkdir(path, 0777);
    bool good = stat(path, &info) == 0;
    if (good && !S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        good = false;
    }
    if (good) good = access(path, W_OK | X_OK) == 0;
    free(path);
    return good;
}

void run_remove_results(const char *directory)
{
    for (int file = 0; file < RUN_FILES; file++) {
        char *path = file == RUN_HISTORY || file == RUN_CHECKPOINT
                         ? NULL
                         : run_path(directory, (run_file)file);
        if (path) unlink(path);
        free(path);
    }
}

/* ---- history --------------------------------------------------------------------------------- */

bool history_reserve(run_history *history, int64_t epochs)
{
    if (epochs <= history->room) return true;
    void *rows = realloc(history->rows, (size_t)epochs * sizeof *history->rows);
    if (!rows) return false;
    history->rows = rows;
    history->room = epochs;
    return true;
}

void history_append(run_history *history, const convt_progress *progress)
{
    double *row = history->rows[history->count++];
    row[0] = progress->loss;
    row[1] = progress->mse;
    row[2] = history->validation ? progress->val_loss : (double)NAN;
    row[3] = history->validation ? progress->val_mse : (double)NAN;
    row[4] = progress->learning_rate;
}

convt_status history_write(const run_history *history, const char *directory, convt_error *err)
{
    char *text = NULL, *path = run_path(directory, RUN_HISTORY);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    convt_status status = CONVT_NO_MEMORY;
    if (out) {
        fprintf(out, "epoch,loss,mse,%slearning_rate\n",
                history->validation ? "val_loss,val_mse," : "");
        for (int64_t i = 0; i < history->count; i++) {
            const double *row = history->rows[i];
            fprintf(out, "%lld,%.17g,%.17g,", (long long)i + 1, row[0], row[1]);
            if (history->validation) fprintf(out, "%.17g,%.17g,", row[2], row[3]);
            fprintf(out, "%.17g\n", row[4]);
        }
        if (fclose(out) == 0 && path) status = convt_file_write(path, text, size, err);
    }
    if (status == CONVT_NO_MEMORY) no_memory(err);
    free(text);
    free(path);
    return status;
}

/* ---- settings -------------------------------------------------------------------------------- */

bool settings_add(run_settings *settings, const char *name, char *value)
{
    if (!value || settings->count == SETTINGS_ROOM) {
        free(value);
        return false;
    }
    settings->names[settings->count] = name;
    settings->values[settings->count++] = value;
    return true;
}

const char *settings_find(const run_settings *settings, const char *name)
{
    for (int i = 0; i < settings->count; i++) {
        if (strcmp(settings->names[i], name) == 0) return settings->values[i];
    }
    return NULL;
}

void settings_free(run_settings *settings)
{
    for (int i = 0; i < settings->count; i++) free(settings->values[i]);
    settings->count = 0;
}

static char *settings_text(const run_settings *settings)
{
    json_t *root = json_object();
    for (int i = 0; i < settings->count; i++) {
        if (json_object_set_new(root, settings->names[i], json_string(settings->values[i])) != 0) {
            json_decref(root);
            return NULL;
        }
    }
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

static bool settings_parse(const char *text, const char *const names[], int count,
                           run_settings *settings)
{
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    bool good = json_is_object(root);
    for (int i = 0; i < count && good; i++) {
        const char *value = json_string_value(json_object_get(root, names[i]));
        if (value) good = settings_add(settings, names[i], text_of("%s", value));
    }
    json_decref(root);
    return good;
}

/* ---- checkpoint ------------------------------------------------------------------------------ */

/* The array borrows the state's memory. */
static void borrow_state(const convt_state *state, convt_array *array)
{
    const convt_view *v = &state->values;
    snprintf(array->name, sizeof array->name, "state/%s", state->name);
    array->element = v->dtype == CONVT_FLOAT64 ? CONVT_ELEMENT_F64 : CONVT_ELEMENT_F32;
    array->rank = 4;
    array->shape[0] = v->n;
    array->shape[1] = v->h;
    array->shape[2] = v->w;
    array->shape[3] = v->c;
    array->data = v->data;
}

convt_status checkpoint_write(const char *directory, const convt_state rows[], int count,
                              const run_history *history, const run_settings *settings,
                              convt_error *err)
{
    char *path = run_path(directory, RUN_CHECKPOINT), *text = settings_text(settings);
    convt_array *arrays = calloc((size_t)count + 1, sizeof *arrays);
    convt_status status = CONVT_NO_MEMORY;
    if (path && text && arrays) {
        double none[1] = {0};
        for (int i = 0; i < count; i++) borrow_state(&rows[i], &arrays[i]);
        arrays[count] = (convt_array){.name = "history", .element = CONVT_ELEMENT_F64, .rank = 2};
        arrays[count].shape[0] = history->count;
        arrays[count].shape[1] = HISTORY_COLUMNS;
        arrays[count].data = history->count ? (void *)history->rows : none;
        status = convt_npz_write(path, arrays, count + 1, settings_member, text, err);
    } else {
        no_memory(err);
    }
    free(arrays);
    free(text);
    free(path);
    return status;
}

convt_status checkpoint_read(const char *directory, const char *const names[], int count,
                             run_checkpoint *checkpoint, convt_error *err)
{
    char *path = run_path(directory, RUN_CHECKPOINT);
    memset(checkpoint, 0, sizeof *checkpoint);
    if (!path) return no_memory(err);
    convt_status status = convt_npz_read(path, settings_member, &checkpoint->archive, err);
    if (!status && !settings_parse(checkpoint->archive.text, names, count, &checkpoint->settings))
        status = refuse(err, CONVT_BAD_FORMAT, "%s holds no settings of a run", path);
    free(path);
    if (status) checkpoint_free(checkpoint);
    return status;
}

void checkpoint_free(run_checkpoint *checkpoint)
{
    convt_archive_free(&checkpoint->archive);
    settings_free(&checkpoint->settings);
}

static convt_status restore_history(const run_checkpoint *checkpoint, run_history *history,
                                    convt_error *err)
{
    const convt_array *array = convt_archive_find(&checkpoint->archive, "history");
    bool good = array && array->element == CONVT_ELEMENT_F64 && array->rank == 2 &&
                array->shape[1] == HISTORY_COLUMNS;
    if (!good) return refuse(err, CONVT_BAD_FORMAT, "the checkpoint has no %s", "history");
    if (!history_reserve(history, array->shape[0])) return no_memory(err);
    history->count = array->shape[0];
    if (history->count > 0)
        memcpy(history->rows, array->data, (size_t)history->count * sizeof *history->rows);
    return CONVT_OK;
}

convt_status checkpoint_restore(const run_checkpoint *checkpoint, convt_state rows[], int count,
                                run_history *history, convt_error *err)
{
    for (int i = 0; i < count; i++) {
        convt_array expected;
        borrow_state(&rows[i], &expected);
        const convt_array *array = convt_archive_find(&checkpoint->archive, expected.name);
        bool good = array && array->element == expected.element && array->rank == expected.rank &&
                    memcmp(array->shape, expected.shape, 4 * sizeof *array->shape) == 0;
        if (!good)
            return refuse(err, CONVT_BAD_FORMAT, "the checkpoint has no fitting \"%s\"",
                          expected.name);
    }
    for (int i = 0; i < count; i++) {
        convt_array to;
        borrow_state(&rows[i], &to);
        size_t size = (size_t)convt_array_count(&to) * element_size(to.element);
        if (size > 0)
            memcpy(to.data, convt_archive_find(&checkpoint->archive, to.name)->data, size);
    }
    return restore_history(checkpoint, history, err);
}
