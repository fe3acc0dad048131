/*
 * HDF5 files over inputs and into memory, as far as Keras uses them: groups, datasets of floats, a
 * text beside a group. A file is read where it lies, through a driver of HDF5 over convti_input, and
 * a dataset straight into its array. Only hard links are followed.
 *
 * HDF5 has one state for the whole process, so that one file at a time is open here: opening waits
 * for whoever has another.
 */
#ifndef CONVTI_HDF5_FILE_H
#define CONVTI_HDF5_FILE_H

#include <hdf5.h>

#include "file.h"

/* Stays where it is while it is open: the driver holds its address. */
typedef struct convti_hdf5 {
    const char *name, *label; /* field of errors, and what stands before every message */
    hid_t file;
    H5E_auto2_t report; /* what HDF5 did with errors before */
    void *report_to;
    /* of reading */
    const convti_input *input;
    hid_t driver;
    uint64_t plain, packed; /* bytes that datasets may still have, as they lie and unpacked */
    convt_error failure;    /* of the input */
} convti_hdf5;

/* Both close after a failure themselves. `label`: "", or the member's name and a space. */
convt_status convti_hdf5_open(convti_hdf5 *h5, const convti_input *input, const char *label,
                              convt_error *err);
void convti_hdf5_close(convti_hdf5 *h5);

/* Of the root group. */
bool convti_hdf5_has(convti_hdf5 *h5, const char *member);

/* How many members the group at a path has; refuses what is no group, or not reached by hard links
 * alone. */
convt_status convti_hdf5_count(convti_hdf5 *h5, const char *path, uint64_t *count,
                               convt_error *err);

/* The dataset at a path: float, double, or a narrower float that becomes float. array->name is left
 * empty; on failure the array is empty. */
convt_status convti_hdf5_read(convti_hdf5 *h5, const char *path, convt_array *array,
                              convt_error *err);

/* False where a chunk of a dataset with elements, packed by gzip, unpacks to more than `most` bytes
 * (chunks.c). */
bool convti_hdf5_chunks_fit(hid_t dataset, hid_t layout, hid_t space, uint64_t most,
                            uint64_t file_size);

/* ---- writing --------------------------------------------------------------------------------- */

convt_status convti_hdf5_create(convti_hdf5 *h5, const char *name, convt_error *err);

/* A group with the groups above it, and a text as its attribute "name". */
convt_status convti_hdf5_add_group(convti_hdf5 *h5, const char *path, const char *text,
                                   convt_error *err);
convt_status convti_hdf5_add(convti_hdf5 *h5, const char *path, const convt_array *array,
                             convt_error *err);

/* The file's bytes (malloc'ed) where `status` is OK; closes in any case and returns the first thing
 * that went wrong. */
convt_status convti_hdf5_finish(convti_hdf5 *h5, convt_status status, void **data, size_t *size,
                                convt_error *err);

#endif
