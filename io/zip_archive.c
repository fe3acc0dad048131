/* Zip archives: see zip_archive.h. libzip sees neither files nor memory, but the functions below. */
#include "zip_archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "status.h"

/* ---- errors ---------------------------------------------------------------------------------- */

static convt_status zip_failed(convt_error *err, const char *name, const char *label,
                               const char *what, zip_error_t *error)
{
    convt_status status = CONVT_BAD_FORMAT;
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        status = CONVT_NO_MEMORY;
    else if (zip_error_system_type(error) == ZIP_ET_SYS)
        status = CONVT_FILE_FAILED;
    return convti_fail(err, status, name, "%scannot be %s: %s", label, what,
                       zip_error_strerror(error));
}

/* Of functions that leave a code: takes it along. */
static convt_status zip_failed_with(convt_error *err, const char *name, const char *what,
                                    zip_error_t *error)
{
    const convt_status status = zip_failed(err, name, "", what, error);
    zip_error_fini(error);
    return status;
}

/* ---- what libzip reads ----------------------------------------------------------------------- */

static zip_int64_t failed(convti_zip *zip, int code, int system)
{
    zip->error[0] = code;
    zip->error[1] = system;
    return -1;
}

static zip_int64_t read_input(convti_zip *zip, void *data, zip_uint64_t size)
{
    const uint64_t there = zip->input->size > zip->next ? zip->input->size - zip->next : 0;
    const size_t count = (size_t)(size < there ? size : there);
    convt_error ignored;
    const convt_status status = convti_input_read(zip->input, zip->next, data, count, &ignored);
    if (status) return failed(zip, status == CONVT_FILE_FAILED ? ZIP_ER_READ : ZIP_ER_EOF, errno);
    zip->last = zip->next;
    zip->next += count;
    return (zip_int64_t)count;
}

static zip_int64_t seek_input(convti_zip *zip, void *data, zip_uint64_t size)
{
    const zip_int64_t place =
        zip_source_seek_compute_offset(zip->next, zip->input->size, data, size, NULL);
    if (place < 0) return failed(zip, ZIP_ER_EOF, 0);
    zip->next = (uint64_t)place;
    return 0;
}

static zip_int64_t describe_input(const convti_zip *zip, zip_stat_t *stat)
{
    zip_stat_init(stat);
    stat->size = zip->input->size;
    stat->valid |= ZIP_STAT_SIZE;
    return sizeof *stat;
}

static zip_int64_t explain(int code, int system, void *data, zip_uint64_t size)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_error_set(&error, code, system);
    const zip_int64_t told = zip_error_to_data(&error, data, size);
    zip_error_fini(&error);
    return told;
}

static zip_int64_t serve_input(void *handle, void *data, zip_uint64_t size,
                               zip_source_cmd_t command)
{
    convti_zip *zip = handle;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_SUPPORTS, ZIP_SOURCE_OPEN, ZIP_SOURCE_READ,
                                              ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_CLOSE,
                                              ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
                                              ZIP_SOURCE_ACCEPT_EMPTY, -1);
    case ZIP_SOURCE_OPEN: zip->next = 0; return 0;
    case ZIP_SOURCE_READ: return read_input(zip, data, size);
    case ZIP_SOURCE_SEEK: return seek_input(zip, data, size);
    case ZIP_SOURCE_TELL: return (zip_int64_t)zip->next;
    case ZIP_SOURCE_STAT: return describe_input(zip, data);
    case ZIP_SOURCE_ERROR: return explain(zip->error[0], zip->error[1], data, size);
    default: return 0; /* nothing to close or free; no, an empty file is no archive */
    }
}

convt_status convti_zip_open(convti_zip *zip, const convti_input *input, convt_error *err)
{
    zip_error_t error;
    zip_error_init(&error);
    *zip = (convti_zip){.input = input};
    zip->left = input->size < (UINT64_MAX - CONVTI_ZIP_FREE) / CONVTI_ZIP_RATIO
                    ? CONVTI_ZIP_RATIO * input->size + CONVTI_ZIP_FREE
                    : UINT64_MAX;
    zip_source_t *source = zip_source_function_create(serve_input, zip, &error);
    zip->archive = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (!zip->archive) {
        zip_source_free(source);
        return zip_failed_with(err, input->name, "read", &error);
    }
    zip_error_fini(&error);
    return CONVT_OK;
}

void convti_zip_close(convti_zip *zip)
{
    if (zip->archive) zip_discard(zip->archive);
    zip->archive = NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

int64_t convti_zip_count(const convti_zip *zip)
{
    return zip_get_num_entries(zip->archive, 0);
}

const char *convti_zip_name(const convti_zip *zip, int64_t index)
{
    const char *name = zip_get_name(zip->archive, (zip_uint64_t)index, 0);
    return name ? name : "";
}

int64_t convti_zip_find(const convti_zip *zip, const char *member)
{
    return zip_name_locate(zip->archive, member, 0);
}

bool convti_zip_has_member(const convti_input *input, const char *member)
{
    convti_zip zip;
    convt_error ignored;
    if (convti_zip_open(&zip, input, &ignored)) return false;
    const bool found = convti_zip_find(&zip, member) >= 0;
    convti_zip_close(&zip);
    return found;
}

static convt_status unpacks_to_more(const convti_zip_member *member, convt_error *err)
{
    return convti_fail(err, CONVT_BAD_FORMAT, member->source.name,
                       "%sunpacks to more than %d times the file's %llu bytes", member->label,
                       CONVTI_ZIP_RATIO, (unsigned long long)member->zip->input->size);
}

static convt_status read_member(convti_source *source, void *data, size_t size, size_t *got,
                                convt_error *err)
{
    convti_zip_member *member = source->handle;
    const zip_int64_t count = zip_fread(member->file, data, size);
    if (count < 0)
        return zip_failed(err, source->name, source->label, "read",
                          zip_file_get_error(member->file));
    if ((uint64_t)count > member->zip->left) return unpacks_to_more(member, err);
    member->zip->left -= (uint64_t)count;
    *got = (size_t)count;
    return CONVT_OK;
}

/* What the directory says must be possible before anything is unpacked. */
static convt_status check_member(convti_zip_member *member, const zip_stat_t *stat,
                                 convt_error *err)
{
    if (stat->size > member->zip->left) return unpacks_to_more(member, err);
    if (stat->comp_method != ZIP_CM_STORE) return CONVT_OK;
    if (stat->size > member->zip->input->size)
        return convti_fail(err, CONVT_BAD_FORMAT, member->source.name,
                           "%shas %llu bytes in a file of %llu", member->label,
                           (unsigned long long)stat->size,
                           (unsigned long long)member->zip->input->size);
    member->source.remaining = (int64_t)stat->size;
    return CONVT_OK;
}

convt_status convti_zip_open_member(convti_zip *zip, int64_t index, convti_zip_member *member,
                                    convt_error *err)
{
    zip_stat_t stat;
    const char *name = convti_zip_name(zip, index);
    *member = (convti_zip_member){.zip = zip};
    snprintf(member->label, sizeof member->label, "%.150s ", *name ? name : "?");
    convti_make_printable(member->label);
    member->source = (convti_source){.name = zip->input->name,
                                     .label = member->label,
                                     .handle = member,
                                     .read = read_member,
                                     .remaining = -1};
    if (zip_stat_index(zip->archive, (zip_uint64_t)index, 0, &stat) == 0)
        member->file = zip_fopen_index(zip->archive, (zip_uint64_t)index, 0);
    if (!member->file)
        return zip_failed(err, zip->input->name, member->label, "read",
                          zip_get_error(zip->archive));
    const convt_status status = check_member(member, &stat, err);
    if (status) convti_zip_close_member(member);
    return status;
}

void convti_zip_close_member(convti_zip_member *member)
{
    if (member->file) zip_fclose(member->file);
    member->file = NULL;
}

convt_status convti_zip_take_text(convti_zip *zip, int64_t index, char **text, convt_error *err)
{
    convti_zip_member member;
    void *data = NULL;
    size_t size = 0;
    *text = NULL;
    convt_status status = convti_zip_open_member(zip, index, &member, err);
    if (status) return status;
    status = convti_source_take_all(&member.source, &data, &size, err);
    convti_zip_close_member(&member);
    if (!status && memchr(data, '\0', size)) {
        free(data);
        return convti_fail(err, CONVT_BAD_FORMAT, zip->input->name,
                           "%sis no text: it holds a zero byte", member.label);
    }
    *text = data;
    return status;
}

/* ---- members in place ------------------------------------------------------------------------ */

/* libzip tells no offsets, but where it reads: the first byte of a stored member is the last one
 * that it asked for. */
static convt_status find_data(convti_zip_member *member, const zip_stat_t *stat,
                              convti_input *input, convt_error *err)
{
    convti_zip *zip = member->zip;
    char byte;
    if (stat->size > 0) {
        const convt_status status = convti_source_fill(&member->source, &byte, 1, err);
        if (status) return status;
    }
    *input = convti_input_part(zip->input, zip->last, stat->size);
    if (input->size == stat->size) return CONVT_OK;
    return convti_fail(err, CONVT_BAD_FORMAT, zip->input->name, "%sends after %llu of %llu bytes",
                       member->label, (unsigned long long)input->size,
                       (unsigned long long)stat->size);
}

static convt_status check_sum(const convti_zip_member *member, const zip_stat_t *stat,
                              const convti_input *input, convt_error *err)
{
    unsigned char piece[1 << 16];
    uLong sum = crc32(0, NULL, 0);
    for (uint64_t at = 0, count; at < input->size; at += count) {
        count = input->size - at < sizeof piece ? input->size - at : sizeof piece;
        const convt_status status = convti_input_read(input, at, piece, (size_t)count, err);
        if (status) return status;
        sum = crc32(sum, piece, (uInt)count);
    }
    if (sum == stat->crc) return CONVT_OK;
    return convti_fail(err, CONVT_BAD_FORMAT, member->source.name, "%scannot be read: CRC error",
                       member->label);
}

static convt_status unpack(convti_zip_member *member, convti_input *input, convt_error *err)
{
    void *data;
    size_t size;
    const convt_status status = convti_source_take_all(&member->source, &data, &size, err);
    if (status) return status;
    *input = convti_input_of_memory(member->source.name, data, size);
    input->own = data;
    return CONVT_OK;
}

convt_status convti_zip_member_input(convti_zip *zip, int64_t index, convti_input *input,
                                     convt_error *err)
{
    convti_zip_member member;
    zip_stat_t stat;
    *input = (convti_input){.name = zip->input->name, .fd = -1};
    convt_status status = convti_zip_open_member(zip, index, &member, err);
    if (status) return status;
    zip_stat_index(zip->archive, (zip_uint64_t)index, 0, &stat); /* worked a moment ago */
    if (stat.comp_method == ZIP_CM_STORE && stat.encryption_method == ZIP_EM_NONE) {
        status = find_data(&member, &stat, input, err);
        if (!status) status = check_sum(&member, &stat, input, err);
    } else {
        status = unpack(&member, input, err);
    }
    convti_zip_close_member(&member);
    if (status) *input = (convti_input){.name = zip->input->name, .fd = -1};
    return status;
}

/* ---- what libzip writes ---------------------------------------------------------------------- */

static zip_int64_t write_memory(convti_zip_writer *writer, const void *data, zip_uint64_t size)
{
    enum { FIRST_ROOM = 4096 };
    if (size > SIZE_MAX / 4 - writer->next) return -1;
    const size_t end = writer->next + (size_t)size;
    if (end > writer->room) {
        size_t room = writer->room ? writer->room : FIRST_ROOM;
        while (room < end) room *= 2;
        unsigned char *larger = realloc(writer->data, room);
        if (!larger) return -1;
        writer->data = larger;
        writer->room = room;
    }
    memcpy(writer->data + writer->next, data, size);
    writer->next = end;
    if (end > writer->size) writer->size = end;
    return (zip_int64_t)size;
}

static zip_int64_t seek_memory(convti_zip_writer *writer, void *data, zip_uint64_t size)
{
    const zip_int64_t place =
        zip_source_seek_compute_offset(writer->next, writer->size, data, size, NULL);
    if (place >= 0) writer->next = (size_t)place;
    return place >= 0 ? 0 : -1;
}

/* An archive that is not there yet: only what writing one needs. */
static zip_int64_t serve_memory(void *handle, void *data, zip_uint64_t size,
                                zip_source_cmd_t command)
{
    convti_zip_writer *writer = handle;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS: return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_STAT: zip_stat_init(data); return sizeof(zip_stat_t);
    case ZIP_SOURCE_WRITE: return write_memory(writer, data, size);
    case ZIP_SOURCE_SEEK_WRITE: return seek_memory(writer, data, size);
    case ZIP_SOURCE_TELL_WRITE: return (zip_int64_t)writer->next;
    case ZIP_SOURCE_ERROR: return explain(ZIP_ER_MEMORY, 0, data, size);
    default: return 0;
    }
}

convt_status convti_zip_create(convti_zip_writer *writer, const char *name, convt_error *err)
{
    zip_error_t error;
    zip_error_init(&error);
    *writer = (convti_zip_writer){.name = name};
    zip_source_t *source = zip_source_function_create(serve_memory, writer, &error);
    if (source) writer->archive = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error);
    if (!writer->archive) {
        zip_source_free(source);
        return zip_failed_with(err, name, "written", &error);
    }
    zip_error_fini(&error);
    return CONVT_OK;
}

convt_status convti_zip_create_file(convti_zip_writer *writer, const char *path, const char *name,
                                    convt_error *err)
{
    zip_error_t error;
    int code = 0;
    *writer = (convti_zip_writer){.name = name};
    writer->archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (writer->archive) return CONVT_OK;
    zip_error_init_with_code(&error, code);
    return zip_failed_with(err, name, "written", &error);
}

/* Takes the source over. */
static bool add_source(zip_t *archive, const char *member, zip_source_t *source)
{
    enum { FIRST_OF_1980 = 1 << 5 | 1 };
    if (!source) return false;
    const zip_int64_t index = zip_file_add(archive, member, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    return zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(archive, (zip_uint64_t)index, 0, FIRST_OF_1980, 0) == 0;
}

convt_status convti_zip_add_two(convti_zip_writer *writer, const char *member, const void *head,
                                size_t head_size, const void *data, size_t size, convt_error *err)
{
    const zip_buffer_fragment_t parts[2] = {
        {.data = (zip_uint8_t *)(uintptr_t)head, .length = head_size},
        {.data = (zip_uint8_t *)(uintptr_t)data, .length = size}};
    zip_source_t *source = zip_source_buffer_fragment(writer->archive, parts, size > 0 ? 2 : 1, 0);
    if (add_source(writer->archive, member, source)) return CONVT_OK;
    return zip_failed(err, writer->name, "", "written", zip_get_error(writer->archive));
}

convt_status convti_zip_add(convti_zip_writer *writer, const char *member, const void *data,
                            size_t size, convt_error *err)
{
    return convti_zip_add_two(writer, member, data, size, NULL, 0, err);
}

convt_status convti_zip_finish(convti_zip_writer *writer, convt_status status, void **data,
                               size_t *size, convt_error *err)
{
    *data = NULL;
    *size = 0;
    if (!writer->archive) return status;
    if (!status && zip_close(writer->archive) != 0)
        status = zip_failed(err, writer->name, "", "written", zip_get_error(writer->archive));
    else if (!status)
        writer->archive = NULL;
    if (writer->archive) zip_discard(writer->archive);
    writer->archive = NULL;
    if (status) {
        free(writer->data);
    } else {
        *data = writer->data;
        *size = writer->size;
    }
    writer->data = NULL;
    return status;
}
