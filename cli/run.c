/*
 * The directory of a training run; see run.h.
 */
#include "run.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "data.h"
#include "dump.h"

static const char settings_member[] = "settings.json", digest_name[] = "digest";

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
        [RUN_HISTORY] = "history.csv",       [RUN_MODEL] = "model.npz",
        [RUN_KERAS] = "model.keras",         [RUN_CODES] = "codes.npy",
        [RUN_SAMPLES] = "samples.png",       [RUN_REPORT] = "report.html",
        [RUN_CHECKPOINT] = "checkpoint.npz", [RUN_BEFORE] = "checkpoint-before.npz",
        [RUN_NEXT] = "checkpoint-next.npz"};
    return names[file];
}

char *run_path(const char *directory, run_file file)
{
    return text_of("%s/%s", directory, run_file_name(file));
}

/* A checkpoint that never took its place makes no run. */
bool run_exists(const char *directory)
{
    bool found = false;
    for (int file = 0; file < RUN_NEXT && !found; file++) {
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

static void remove_file(const char *directory, run_file file)
{
    char *path = run_path(directory, file);
    if (path) unlink(path);
    free(path);
}

void run_remove_results(const char *directory)
{
    for (int file = 0; file < RUN_CHECKPOINT; file++) {
        if (file != RUN_HISTORY) remove_file(directory, (run_file)file);
    }
}

/* "model.npz.123-0.tmp", as convt_file_write and its like name them, and with a suffix of libzip's
 * behind. */
static bool is_temporary(const char *name)
{
    for (int file = 0; file < RUN_FILES; file++) {
        const char *own = run_file_name((run_file)file);
        size_t length = strlen(own);
        if (strncmp(name, own, length) != 0 || name[length] != '.') continue;
        const char *at = name + length + 1;
        while (isdigit((unsigned char)*at) || *at == '-') at++;
        if (strncmp(at, ".tmp", 4) == 0) return true;
    }
    return false;
}

void run_remove_temporaries(const char *directory)
{
    DIR *listing = opendir(directory);
    if (!listing) return;
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (is_temporary(entry->d_name)) unlinkat(dirfd(listing), entry->d_name, 0);
    }
    closedir(listing);
    remove_file(directory, RUN_NEXT);
}

int run_lock(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return fd;
    close(fd);
    errno = EWOULDBLOCK;
    return -1;
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
    json_t *root = json_read(text);
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

/* Every bit of the words changes every later state, and their order counts. The members of the
 * archive have sums of their own; this one is over all of them, so that members of different
 * checkpoints, or too few, are told as well. */
static uint64_t digest_bytes(uint64_t digest, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        digest = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        digest ^= digest >> 29;
    }
    return (digest ^ size) * UINT64_C(0xbf58476d1ce4e5b9);
}

static int64_t digest_of(const convt_array arrays[], int count, const char *text)
{
    uint64_t digest = digest_bytes(0, text, strlen(text));
    for (int i = 0; i < count; i++) {
        const convt_array *a = &arrays[i];
        digest = digest_bytes(digest, a->name, strlen(a->name));
        digest = digest_bytes(digest, a->shape, (size_t)a->rank * sizeof *a->shape);
        digest =
            digest_bytes(digest, a->data, (size_t)convt_array_count(a) * element_size(a->element));
    }
    return (int64_t)digest;
}

/* The rename itself must reach the disk; a file system that cannot sync a folder has no better to
 * offer. */
static void sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* Gives the complete checkpoint its place. Between the renames the one before is the newest. */
static convt_status succeed(const char *directory, run_succession succession, convt_error *err)
{
    char *next = run_path(directory, RUN_NEXT), *last = run_path(directory, RUN_CHECKPOINT),
         *before = run_path(directory, RUN_BEFORE);
    convt_status status = CONVT_OK;
    if (!next || !last || !before) {
        status = no_memory(err);
    } else {
        if (succession == RUN_BEGINS) unlink(before);
        bool moved = succession != RUN_FOLLOWS || rename(last, before) == 0 || errno == ENOENT;
        if (!moved || rename(next, last) != 0)
            status = refuse(err, CONVT_FILE_FAILED, "the checkpoint cannot be renamed: %s",
                            strerror(errno));
        sync_directory(directory);
    }
    free(next);
    free(last);
    free(before);
    return status;
}

/* State, history and digest; the arrays borrow their data. */
static convt_status write_arrays(const char *path, const run_state *state, const char *text,
                                 convt_error *err)
{
    const int count = state->count;
    convt_array *arrays = calloc((size_t)count + 2, sizeof *arrays);
    double none[1] = {0};
    if (!arrays) return no_memory(err);
    for (int i = 0; i < count; i++) borrow_state(&state->rows[i], &arrays[i]);
    arrays[count] = (convt_array){.name = "history",
                                  .element = CONVT_ELEMENT_F64,
                                  .rank = 2,
                                  .shape = {state->history->count, HISTORY_COLUMNS}};
    arrays[count].data = state->history->count ? (void *)state->history->rows : none;
    int64_t digest = digest_of(arrays, count + 1, text);
    arrays[count + 1] = (convt_array){.element = CONVT_ELEMENT_I64, .rank = 0, .data = &digest};
    snprintf(arrays[count + 1].name, sizeof arrays->name, "%s", digest_name);
    convt_status status = convt_npz_write(path, arrays, count + 2, settings_member, text, err);
    free(arrays);
    return status;
}

convt_status checkpoint_write(const char *directory, run_succession succession,
                              const run_state *state, convt_error *err)
{
    char *path = run_path(directory, RUN_NEXT), *text = settings_text(state->settings);
    convt_status status = path && text ? write_arrays(path, state, text, err) : no_memory(err);
    if (!status) status = succeed(directory, succession, err);
    free(text);
    free(path);
    return status;
}

/* The digest stands last, behind what it is of. */
static bool digest_agrees(const convt_archive *archive)
{
    const int last = archive->count - 1;
    const convt_array *array = last >= 0 ? &archive->arrays[last] : NULL;
    return archive->text && array && strcmp(array->name, digest_name) == 0 &&
           array->element == CONVT_ELEMENT_I64 && convt_array_count(array) == 1 &&
           *(const int64_t *)array->data == digest_of(archive->arrays, last, archive->text);
}

/* What is wrong with a checkpoint that could be read, NULL: nothing; takes the settings. */
static const char *find_flaw(run_checkpoint *checkpoint, const char *const names[], int count)
{
    const convt_archive *archive = &checkpoint->archive;
    if (!digest_agrees(archive)) return "its parts do not belong together";
    if (!settings_parse(archive->text, names, count, &checkpoint->settings))
        return "holds no settings of a run";
    return NULL;
}

/* Of an archive that was read, or was not: then with that status. */
static convt_status check_archive(convt_status status, run_file file, const char *const names[],
                                  int count, run_checkpoint *checkpoint, convt_error *err)
{
    const char *flaw = status ? NULL : find_flaw(checkpoint, names, count);
    if (flaw) {
        status = refuse(err, CONVT_BAD_FORMAT, "%s", flaw);
        snprintf(err->field, sizeof err->field, "%s", run_file_name(file));
    }
    if (status) checkpoint_free(checkpoint);
    return status;
}

static convt_status read_generation(const char *directory, run_file file, const char *const names[],
                                    int count, run_checkpoint *checkpoint, convt_error *err)
{
    char *path = run_path(directory, file);
    memset(checkpoint, 0, sizeof *checkpoint);
    if (!path) return no_memory(err);
    convt_status status = convt_npz_read(path, settings_member, &checkpoint->archive, err);
    free(path);
    return check_archive(status, file, names, count, checkpoint, err);
}

convt_status checkpoint_bytes(const char *directory, const run_checkpoint *checkpoint, char **data,
                              size_t *size, convt_error *err)
{
    char *path = run_path(directory, checkpoint->damage.status ? RUN_BEFORE : RUN_CHECKPOINT);
    convt_status status = path ? convt_file_read(path, data, size, err) : no_memory(err);
    free(path);
    return status;
}

convt_status checkpoint_decode(const void *data, size_t size, const char *const names[], int count,
                               run_checkpoint *checkpoint, convt_error *err)
{
    memset(checkpoint, 0, sizeof *checkpoint);
    convt_status status = convt_npz_decode(data, size, run_file_name(RUN_CHECKPOINT),
                                           settings_member, &checkpoint->archive, err);
    return check_archive(status, RUN_CHECKPOINT, names, count, checkpoint, err);
}

convt_status checkpoint_read(const char *directory, const char *const names[], int count,
                             run_checkpoint *checkpoint, convt_error *err)
{
    convt_error damage = {0};
    convt_status status = read_generation(directory, RUN_CHECKPOINT, names, count, checkpoint, err);
    if (status == CONVT_OK || status == CONVT_NO_MEMORY) return status;
    if (read_generation(directory, RUN_BEFORE, names, count, checkpoint, &damage) == CONVT_OK) {
        checkpoint->damage = *err;
        return CONVT_OK;
    }
    if (damage.status == CONVT_BAD_FORMAT) {
        size_t length = strlen(err->message);
        snprintf(err->message + length, sizeof err->message - length, "; %s: %s",
                 run_file_name(RUN_BEFORE), damage.message);
    }
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
