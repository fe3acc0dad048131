/* A list of parameters cut into pieces of fixed size, so that one parallel loop runs over all of
 * them. */
#ifndef CONVT_PIECES_H
#define CONVT_PIECES_H

#include "convt/convt.h"

enum { CONVTI_PIECE = 4096 }; /* elements: a piece and what is added to it stay in the L1 cache */

typedef struct convti_piece {
    int row;
    int64_t first, count;
} convti_piece;

int64_t convti_elements(const convt_parameter *row);
size_t convti_element_bytes(convt_dtype dtype);

int64_t convti_piece_count(const convt_parameter rows[], int count);
convti_piece convti_piece_at(const convt_parameter rows[], int64_t index);

/* The address of element `first` of a tensor. */
void *convti_element(void *data, convt_dtype dtype, int64_t first);

#endif
