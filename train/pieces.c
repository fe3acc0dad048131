/* Pieces of parameters. */
#include "pieces.h"

int64_t convti_elements(const convt_parameter *row)
{
    return row->value.n * row->value.h * row->value.w * row->value.c;
}

size_t convti_element_bytes(convt_dtype dtype)
{
    return dtype == CONVT_FLOAT32 ? sizeof(float) : sizeof(double);
}

static int64_t pieces_of(const convt_parameter *row)
{
    return (convti_elements(row) + CONVTI_PIECE - 1) / CONVTI_PIECE;
}

int64_t convti_piece_count(const convt_parameter rows[], int count)
{
    int64_t pieces = 0;
    for (int i = 0; i < count; i++) pieces += pieces_of(&rows[i]);
    return pieces;
}

convti_piece convti_piece_at(const convt_parameter rows[], int64_t index)
{
    int row = 0;
    for (; index >= pieces_of(&rows[row]); row++) index -= pieces_of(&rows[row]);
    const int64_t first = index * CONVTI_PIECE, rest = convti_elements(&rows[row]) - first;
    return (convti_piece){row, first, rest < CONVTI_PIECE ? rest : CONVTI_PIECE};
}

void *convti_element(void *data, convt_dtype dtype, int64_t first)
{
    return (unsigned char *)data + (size_t)first * convti_element_bytes(dtype);
}
