/* Files: see file.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"

enum { FIRST_PIECE = 1 << 20 };

const char *convti_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

void convti_make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == '\x7F') *text = ' ';
    }
}

convt_status convti_file_failed(convt_error *err, const char *path, const char *what)
{
    const convt_status status = errno == ENOMEM ? CONVT_NO_MEMORY : CONVT_FILE_FAILED;
    return convti_fail(err, status, convti_base_name(path), "cannot be %s: %s", what,
                       strerror(errno));
}

convt_status convti_no_memory(convt_error *err, const char *field, size_t size)
{
    return convti_fail(err, CONVT_NO_MEMORY, field,
                       "needs %zu bytes of memory, which are not to be had", size);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* The file that is really replaced. A device must never be renamed over: /dev/null would be
 * gone. */
static convt_status resolve(convti_output *out, const char *path, convt_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        out->path = strdup(path);
    } else if (!S_ISREG(info.st_mode)) {
        convti_fail(err, CONVT_FILE_FAILED, convti_base_name(path),
                    "cannot be written: it is not a regular file");
        return CONVT_FILE_FAILED;
    } else {
        out->path = realpath(path, NULL);
    }
    return out->path ? CONVT_OK : convti_file_failed(err, path, "written");
}

/* mkstemp would make the file private; open with O_EXCL leaves the mode to the umask. */
static int create_beside(convti_output *out)
{
    size_t room = strlen(out->path) + 32;
    out->temporary = malloc(room);
    if (!out->temporary) return -1;
    for (int attempt = 0; attempt < 1000; attempt++) {
        snprintf(out->temporary, room, "%s.%ld-%d.tmp", out->path, (long)getpid(), attempt);
        int fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static void release(convti_output *out)
{
    if (out->fd >= 0) close(out->fd);
    free(out->temporary);
    free(out->path);
    *out = (convti_output){.fd = -1};
}

convt_status convti_output_open(convti_output *out, const char *path, convt_error *err)
{
    *out = (convti_output){.fd = -1};
    convt_status status = resolve(out, path, err);
    if (!out->path) return status;
    out->fd = create_beside(out);
    if (out->fd < 0) {
        status = convti_file_failed(err, path, "written");
        release(out);
    }
    return status;
}

convt_status convti_output_write(convti_output *out, const void *data, size_t size,
                                 convt_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = write(out->fd, at, size < (1U << 30) ? size : 1U << 30);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return convti_file_failed(err, out->path, "written");
        at += done;
        size -= (size_t)done;
    }
    return CONVT_OK;
}

void convti_output_hand_over(convti_output *out)
{
    close(out->fd);
    out->fd = -1;
}

/* The rename itself must reach the disk; a file system that cannot sync a folder has no better
 * to offer. */
static void sync_folder(const char *path)
{
    char *folder = strdup(path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static convt_status commit(convti_output *out, convt_error *err)
{
    if (out->fd < 0) out->fd = open(out->temporary, O_RDONLY | O_CLOEXEC);
    if (out->fd < 0 || fsync(out->fd) != 0) return convti_file_failed(err, out->path, "written");
    int fd = out->fd;
    out->fd = -1;
    if (close(fd) != 0 || rename(out->temporary, out->path) != 0)
        return convti_file_failed(err, out->path, "written");
    sync_folder(out->path);
    return CONVT_OK;
}

convt_status convti_output_close(convti_output *out, convt_status status, convt_error *err)
{
    if (!out->path) return status;
    if (!status) status = commit(out, err);
    if (status) unlink(out->temporary);
    release(out);
    return status;
}

convt_status convt_file_write(const char *path, const void *data, size_t size, convt_error *err)
{
    convti_output out;
    convt_status status = convti_output_open(&out, path, err);
    if (!status) status = convti_output_write(&out, data, size, err);
    return convti_output_close(&out, status, err);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

convti_input convti_input_of_memory(const char *name, const void *data, size_t size)
{
    return (convti_input){.name = name, .fd = -1, .data = data, .size = size};
}

/* A regular file stays where it is, anything else is read to its end. */
convt_status convti_input_open(convti_input *input, const char *path, convt_error *err)
{
    struct stat info;
    *input = (convti_input){.name = convti_base_name(path), .fd = -1};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return convti_file_failed(err, path, "opened");
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        input->fd = fd;
        input->size = (uint64_t)info.st_size;
        return CONVT_OK;
    }
    char *memory = NULL;
    size_t size = 0;
    close(fd);
    convt_status status = convt_file_read(path, &memory, &size, err);
    if (!status) *input = convti_input_of_memory(input->name, memory, size);
    input->own = memory;
    return status;
}

void convti_input_close(convti_input *input)
{
    if (input->fd >= 0 && !input->part) close(input->fd);
    free(input->own);
    *input = (convti_input){.fd = -1};
}

convti_input convti_input_part(const convti_input *input, uint64_t offset, uint64_t size)
{
    convti_input part = *input;
    if (offset > input->size) offset = input->size;
    part.part = true;
    part.own = NULL;
    part.begin = input->begin + offset;
    if (input->data) part.data = input->data + offset;
    part.size = size < input->size - offset ? size : input->size - offset;
    return part;
}

/* As many bytes as there are, up to size; -1 with errno where the system refuses. */
static ssize_t read_at(const convti_input *input, uint64_t offset, void *data, size_t size)
{
    if (offset >= input->size) return 0;
    if (size > input->size - offset) size = (size_t)(input->size - offset);
    if (input->fd < 0) {
        memcpy(data, input->data + offset, size);
        return (ssize_t)size;
    }
    ssize_t got;
    do
        got = pread(input->fd, data, size < (1U << 30) ? size : 1U << 30,
                    (off_t)(input->begin + offset));
    while (got < 0 && errno == EINTR);
    return got;
}

convt_status convti_input_read(const convti_input *input, uint64_t offset, void *data, size_t size,
                               convt_error *err)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = read_at(input, offset + done, (char *)data + done, size - done);
        if (got < 0) return convti_file_failed(err, input->name, "read");
        if (got == 0)
            return convti_fail(
                err, CONVT_BAD_FORMAT, input->name, "ends after %llu bytes where %llu are needed",
                (unsigned long long)(offset + done), (unsigned long long)(offset + size));
        done += (size_t)got;
    }
    return CONVT_OK;
}

/* ---- sources --------------------------------------------------------------------------------- */

static convt_status read_input(convti_source *source, void *data, size_t size, size_t *got,
                               convt_error *err)
{
    const convti_input *input = source->handle;
    if (size > source->end - source->next) size = (size_t)(source->end - source->next);
    const ssize_t count = read_at(input, source->next, data, size);
    *got = count > 0 ? (size_t)count : 0;
    source->next += *got;
    return count < 0 ? convti_file_failed(err, input->name, "read") : CONVT_OK;
}

convti_source convti_source_of_input(const convti_input *input, uint64_t begin, uint64_t end)
{
    if (end > input->size) end = input->size;
    if (begin > end) begin = end;
    return (convti_source){.name = input->name,
                           .label = "",
                           .handle = (void *)(uintptr_t)input,
                           .read = read_input,
                           .remaining = (int64_t)(end - begin),
                           .next = begin,
                           .end = end};
}

static convt_status read_file(convti_source *source, void *data, size_t size, size_t *got,
                              convt_error *err)
{
    errno = 0;
    *got = fread(data, 1, size, source->handle);
    if (*got == 0 && ferror((FILE *)source->handle))
        return convti_file_failed(err, source->name, "read");
    return CONVT_OK;
}

convti_source convti_source_of_file(FILE *file, const char *path)
{
    struct stat info;
    bool known = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    return (convti_source){.name = convti_base_name(path),
                           .label = "",
                           .handle = file,
                           .read = read_file,
                           .remaining = known ? (int64_t)info.st_size : -1};
}

/* As many bytes as there are, up to size. */
static convt_status read_some(convti_source *source, void *data, size_t size, size_t *got,
                              convt_error *err)
{
    convt_status status = CONVT_OK;
    size_t piece = 1;
    for (*got = 0; *got < size && piece > 0 && !status; *got += piece) {
        piece = 0;
        status = source->read(source, (char *)data + *got, size - *got, &piece, err);
    }
    source->position += *got;
    if (source->remaining >= 0)
        source->remaining = source->remaining > (int64_t)*got ? source->remaining - (int64_t)*got
                                                              : 0;
    return status;
}

static convt_status ends_early(const convti_source *source, uint64_t there, uint64_t wanted,
                               convt_error *err)
{
    return convti_fail(err, CONVT_BAD_FORMAT, source->name, "%sends after %llu of %llu bytes",
                       source->label, (unsigned long long)there, (unsigned long long)wanted);
}

convt_status convti_source_fill(convti_source *source, void *data, size_t size, convt_error *err)
{
    size_t got;
    uint64_t start = source->position;
    convt_status status = read_some(source, data, size, &got, err);
    if (!status && got < size) return ends_early(source, start + got, start + size, err);
    return status;
}

convt_status convti_source_skip(convti_source *source, uint64_t size, convt_error *err)
{
    const uint64_t start = source->position;
    convt_status status = CONVT_OK;
    if (source->read == read_input && size <= source->end - source->next) {
        source->next += size;
        source->position += size;
        source->remaining -= (int64_t)size;
        return CONVT_OK;
    }
    while (source->position - start < size && !status) {
        char scrap[1 << 14];
        size_t got;
        const uint64_t rest = size - (source->position - start);
        status =
            read_some(source, scrap, rest < sizeof scrap ? (size_t)rest : sizeof scrap, &got, err);
        if (!status && got == 0) return ends_early(source, source->position, start + size, err);
    }
    return status;
}

/* One byte more than asked, for the zero. */
static convt_status resize(convti_source *source, void **data, size_t size, convt_error *err)
{
    void *larger = size < SIZE_MAX ? realloc(*data, size + 1) : NULL;
    if (!larger) return convti_no_memory(err, source->name, size);
    *data = larger;
    return CONVT_OK;
}

/* Doubles the room as bytes arrive, so that a lie about the size costs at most twice what is
 * really there. */
static convt_status take(convti_source *source, size_t limit, size_t first, void **data,
                         size_t *size, convt_error *err)
{
    convt_status status = CONVT_OK;
    size_t room = limit < first ? limit : first;
    *data = NULL;
    *size = 0;
    for (;;) {
        size_t got = 0;
        status = resize(source, data, room, err);
        if (!status) status = read_some(source, (char *)*data + *size, room - *size, &got, err);
        *size += got;
        if (status || *size < room || room == limit) break;
        room = room < limit / 2 ? 2 * room : limit;
    }
    if (!status) status = resize(source, data, *size, err);
    if (status) {
        free(*data);
        *data = NULL;
        return status;
    }
    ((char *)*data)[*size] = '\0';
    return CONVT_OK;
}

convt_status convti_source_take(convti_source *source, uint64_t size, void **data, convt_error *err)
{
    uint64_t start = source->position;
    size_t got;
    *data = NULL;
    if (source->remaining >= 0 && size > (uint64_t)source->remaining)
        return ends_early(source, start + (uint64_t)source->remaining, start + size, err);
    if (size >= SIZE_MAX) return convti_no_memory(err, source->name, SIZE_MAX);
    size_t first = source->remaining >= 0 ? (size_t)size : FIRST_PIECE;
    convt_status status = take(source, (size_t)size, first, data, &got, err);
    if (!status && got < size) {
        free(*data);
        *data = NULL;
        return ends_early(source, start + got, start + size, err);
    }
    return status;
}

convt_status convti_source_take_all(convti_source *source, void **data, size_t *size,
                                    convt_error *err)
{
    return take(source, SIZE_MAX - 1, FIRST_PIECE, data, size, err);
}

convt_status convti_source_end(convti_source *source, convt_error *err)
{
    char byte;
    size_t got;
    uint64_t end = source->position;
    convt_status status = read_some(source, &byte, 1, &got, err);
    if (!status && got > 0)
        return convti_fail(err, CONVT_BAD_FORMAT, source->name,
                           "%sholds more than the %llu bytes that its header says", source->label,
                           (unsigned long long)end);
    return status;
}

convt_status convt_file_read(const char *path, char **data, size_t *size, convt_error *err)
{
    void *memory = NULL;
    size_t count = 0;
    *data = NULL;
    FILE *file = fopen(path, "rbe");
    if (!file) return convti_file_failed(err, path, "opened");
    convti_source source = convti_source_of_file(file, path);
    convt_status status = convti_source_take_all(&source, &memory, &count, err);
    fclose(file);
    *data = memory;
    if (size) *size = count;
    return status;
}

convt_status convti_file_json(const char *path, char **text, convt_error *err)
{
    size_t size;
    convt_status status = convt_file_read(path, text, &size, err);
    if (status || strlen(*text) == size) return status;
    free(*text);
    return convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(path),
                       "is no JSON: it holds a zero byte");
}
