/*
 * What the chunks of a dataset unpack to. HDF5 unpacks whatever a chunk holds, a thousand times its
 * bytes where deflate is made to, before it compares that with the chunk's size; so chunks are
 * counted before HDF5 sees them.
 */
#include <stdlib.h>
#include <zlib.h>

#include "hdf5/hdf5_file.h"

/* False where a zlib stream has more than `most` bytes. One that is broken is for HDF5 to refuse. */
static bool fits(const unsigned char *packed, size_t size, uint64_t most)
{
    unsigned char piece[1 << 14];
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)size};
    int code = inflateInit(&stream);
    if (code != Z_OK) return false;
    while (code == Z_OK && stream.total_out <= most) {
        stream.next_out = piece;
        stream.avail_out = sizeof piece;
        code = inflate(&stream, Z_NO_FLUSH);
    }
    inflateEnd(&stream);
    return stream.total_out <= most;
}

/* Chunks that are not there are filled, not unpacked. */
static bool chunk_fits(hid_t dataset, const hsize_t at[], uint64_t most, uint64_t file_size)
{
    hsize_t size = 0;
    haddr_t place = HADDR_UNDEF;
    unsigned skipped;
    uint32_t again;
    if (H5Dget_chunk_info_by_coord(dataset, at, &skipped, &place, &size) < 0) return false;
    if (place == HADDR_UNDEF || size == 0) return true;
    if (size > file_size) return false;
    unsigned char *packed = malloc((size_t)size);
    const bool fit = packed && H5Dread_chunk(dataset, H5P_DEFAULT, at, &again, packed) >= 0 &&
                     fits(packed, (size_t)size, most);
    free(packed);
    return fit;
}

static bool next_chunk(hsize_t at[], const hsize_t step[], const hsize_t size[], int rank)
{
    for (int i = rank; i-- > 0;) {
        at[i] += step[i];
        if (at[i] < size[i]) return true;
        at[i] = 0;
    }
    return false;
}

bool convti_hdf5_chunks_fit(hid_t dataset, hid_t layout, hid_t space, uint64_t most,
                            uint64_t file_size)
{
    hsize_t at[H5S_MAX_RANK] = {0}, step[H5S_MAX_RANK], size[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_dims(space, size, NULL);
    bool fit = rank > 0 && H5Pget_chunk(layout, rank, step) == rank;
    while (fit) {
        fit = chunk_fits(dataset, at, most, file_size);
        if (!next_chunk(at, step, size, rank)) break;
    }
    return fit;
}
