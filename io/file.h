/*
 * Files underneath the formats: outputs that are complete or were not touched, and sources of
 * bytes whose length is not believed before it is seen. In errors the field is the file's name
 * without folders, the message names the member if any.
 */
#ifndef CONVTI_FILE_H
#define CONVTI_FILE_H

#include <stdio.h>

#include "convt/io.h"

/* The last component of a path. */
const char *convti_base_name(const char *path);

/* Control characters become spaces: names and texts out of a file may hold anything, an error is
 * one line. */
void convti_make_printable(char *text);

/* CONVT_FILE_FAILED (of no memory: CONVT_NO_MEMORY) with errno's text: "cannot be <what>: No such file or directory". */
convt_status convti_file_failed(convt_error *err, const char *path, const char *what);

/* CONVT_NO_MEMORY with the size. */
convt_status convti_no_memory(convt_error *err, const char *field, size_t size);

/* ---- outputs --------------------------------------------------------------------------------- */

/* A file under construction: `temporary` lies beside `path` until the end. */
typedef struct convti_output {
    char *path; /* symbolic links resolved */
    char *temporary;
    int fd; /* -1: handed over */
} convti_output;

convt_status convti_output_open(convti_output *out, const char *path, convt_error *err);
convt_status convti_output_write(convti_output *out, const void *data, size_t size,
                                 convt_error *err);

/* For writers that open files by name: closes the descriptor, `temporary` is theirs to fill. */
void convti_output_hand_over(convti_output *out);

/* With status OK syncs and renames, otherwise removes; returns the first thing that went wrong. */
convt_status convti_output_close(convti_output *out, convt_status status, convt_error *err);

/* ---- inputs ---------------------------------------------------------------------------------- */

/* A whole file, or memory, that can be read anywhere. What cannot be read anywhere (a pipe) is taken
 * into memory first. */
typedef struct convti_input {
    const char *name;          /* without folders: field of errors; borrowed */
    int fd;                    /* -1: memory */
    const unsigned char *data; /* of memory; NULL: a file */
    uint64_t begin, size;      /* begin: where a part of a file begins in it */
    bool part;                 /* of another input, whose file it is */
    void *own;                 /* memory to free */
} convti_input;

convt_status convti_input_open(convti_input *input, const char *path, convt_error *err);
convti_input convti_input_of_memory(const char *name, const void *data, size_t size);
void convti_input_close(convti_input *input);

/* `size` bytes of an input from `offset` on, fewer where it ends; to be closed before it. */
convti_input convti_input_part(const convti_input *input, uint64_t offset, uint64_t size);

/* Exactly `size` bytes from `offset` on, or CONVT_BAD_FORMAT. */
convt_status convti_input_read(const convti_input *input, uint64_t offset, void *data, size_t size,
                               convt_error *err);

/* ---- sources --------------------------------------------------------------------------------- */

/* Bytes in order, from a file, a gzip stream or a member of an archive. */
typedef struct convti_source {
    const char *name;  /* field of errors */
    const char *label; /* before every message: "", or the member's name and a space */
    void *handle;
    /* Reads up to size bytes, *got = 0 at the end. */
    convt_status (*read)(struct convti_source *source, void *data, size_t size, size_t *got,
                         convt_error *err);
    int64_t remaining; /* known to be there; -1: unknown */
    uint64_t position;
    uint64_t next, end; /* of a part of an input */
} convti_source;

/* Over a file that stays the caller's. */
convti_source convti_source_of_file(FILE *file, const char *path);

/* Over bytes `begin` to `end` of an input that stays the caller's. */
convti_source convti_source_of_input(const convti_input *input, uint64_t begin, uint64_t end);

/* Exactly `size` bytes or CONVT_BAD_FORMAT. */
convt_status convti_source_fill(convti_source *source, void *data, size_t size, convt_error *err);

/* Past `size` bytes, or CONVT_BAD_FORMAT. Those of a file are not read. */
convt_status convti_source_skip(convti_source *source, uint64_t size, convt_error *err);

/* Exactly `size` bytes into malloc'ed memory with a zero byte behind, which grows with what really arrives;
 * *data NULL on failure. */
convt_status convti_source_take(convti_source *source, uint64_t size, void **data,
                                convt_error *err);

/* Everything up to the end. */
convt_status convti_source_take_all(convti_source *source, void **data, size_t *size,
                                    convt_error *err);

/* A whole file of JSON, malloc'ed; refused where it holds a zero byte. */
convt_status convti_file_json(const char *path, char **text, convt_error *err);

/* Refuses what is left over. Reading up to the end also makes archives check their sums. */
convt_status convti_source_end(convti_source *source, convt_error *err);

#endif
