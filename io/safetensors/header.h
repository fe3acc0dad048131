/* The JSON header of .safetensors, both ways. */
#ifndef CONVTI_SAFETENSORS_HEADER_H
#define CONVTI_SAFETENSORS_HEADER_H

#include "elements.h"
#include "package.h"

typedef struct convti_tensor_entry {
    convt_array array; /* name, rank and shape; data NULL */
    convti_type type;
    int64_t count;       /* product of the shape */
    uint64_t begin, end; /* in the bytes behind the header */
} convti_tensor_entry;

typedef struct convti_tensor_list {
    convti_tensor_entry *list; /* in the order of the data */
    int count, room;
    char *config; /* malloc'ed text of "config" in "__metadata__"; NULL: none */
} convti_tensor_list;

void convti_tensor_list_free(convti_tensor_list *tensors);

/* Of text of `size` bytes, a zero byte behind it; names are unique, and the tensors fill `data` bytes
 * without a gap. Free in any case. */
convt_status convti_safetensors_parse(const char *text, size_t size, uint64_t data,
                                      const char *name, convti_tensor_list *tensors,
                                      convt_error *err);

/* The header of arrays in the order given (malloc'ed, NULL where memory is out), padded so that the
 * data begin at a multiple of 8 bytes. */
char *convti_safetensors_text(const convt_archive *archive, const int order[], const char *config);

#endif
