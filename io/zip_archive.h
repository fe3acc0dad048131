/*
 * Zip archives over inputs and into memory: the room of .npz and .keras. What an archive's directory
 * says of sizes is believed only as far as the archive is long, and all members together may unpack
 * to CONVTI_ZIP_FREE bytes and CONVTI_ZIP_RATIO times the archive: deflate reaches 1032 times with
 * nothing but equal bytes, numbers that were trained not even 10 times.
 */
#ifndef CONVTI_ZIP_ARCHIVE_H
#define CONVTI_ZIP_ARCHIVE_H

#include <zip.h>

#include "file.h"

enum { CONVTI_ZIP_FREE = 16 << 20, CONVTI_ZIP_RATIO = 256, CONVTI_ZIP_LABEL = 160 };

/* ---- reading --------------------------------------------------------------------------------- */

/* Stays where it is while it is open: libzip holds its address. */
typedef struct convti_zip {
    zip_t *archive;
    const convti_input *input; /* the caller's */
    uint64_t next, last;       /* where libzip reads next, where it read last */
    int error[2];              /* of libzip and of the system: why it could not */
    uint64_t left;             /* bytes that members may still unpack to */
} convti_zip;

convt_status convti_zip_open(convti_zip *zip, const convti_input *input, convt_error *err);
void convti_zip_close(convti_zip *zip); /* a zeroed one, too */

/* Members have indices 0 ... count - 1, in the order of the directory. */
int64_t convti_zip_count(const convti_zip *zip);
const char *convti_zip_name(const convti_zip *zip, int64_t index);  /* "" where it has none */
int64_t convti_zip_find(const convti_zip *zip, const char *member); /* -1: absent */

/* A member as a source; read to its end, its checksum is checked. */
typedef struct convti_zip_member {
    convti_source source;
    convti_zip *zip;
    zip_file_t *file;
    char label[CONVTI_ZIP_LABEL]; /* source.label */
} convti_zip_member;

convt_status convti_zip_open_member(convti_zip *zip, int64_t index, convti_zip_member *member,
                                    convt_error *err);
void convti_zip_close_member(convti_zip_member *member);

/* A member of text: malloc'ed, zero-terminated, refused where it holds a zero byte. */
convt_status convti_zip_take_text(convti_zip *zip, int64_t index, char **text, convt_error *err);

/* A member as an input, its checksum checked: a part of the archive's own where it is stored,
 * unpacked into memory where it is deflated. Close it before the archive's. */
convt_status convti_zip_member_input(convti_zip *zip, int64_t index, convti_input *input,
                                     convt_error *err);

/* False also where the input is no archive. */
bool convti_zip_has_member(const convti_input *input, const char *member);

/* ---- writing --------------------------------------------------------------------------------- */

/* Members are stored, and dated as numpy dates its own, so that equal content gives equal archives.
 * Stays where it is while it is open. */
typedef struct convti_zip_writer {
    zip_t *archive;
    const char *name; /* field of errors; borrowed */
    /* of an archive in memory */
    unsigned char *data;
    size_t size, room, next;
} convti_zip_writer;

/* Into memory, or into a file of libzip's own (a convti_output that was handed over). */
convt_status convti_zip_create(convti_zip_writer *writer, const char *name, convt_error *err);
convt_status convti_zip_create_file(convti_zip_writer *writer, const char *path, const char *name,
                                    convt_error *err);

/* Nothing is copied: the bytes must stay until the archive is finished. */
convt_status convti_zip_add(convti_zip_writer *writer, const char *member, const void *data,
                            size_t size, convt_error *err);
convt_status convti_zip_add_two(convti_zip_writer *writer, const char *member, const void *head,
                                size_t head_size, const void *data, size_t size, convt_error *err);

/* Writes everything where `status` is OK and gives up otherwise; returns the first thing that went
 * wrong. *data is malloc'ed; both are NULL for a file. */
convt_status convti_zip_finish(convti_zip_writer *writer, convt_status status, void **data,
                               size_t *size, convt_error *err);

#endif
