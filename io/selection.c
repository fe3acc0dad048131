/* Reading some of the samples of a source; see selection.h. */
#include "selection.h"

#include <stdlib.h>
#include <string.h>

bool convti_keeps(const convt_selection *selection, int64_t sample)
{
    return !selection || selection->keeps(selection->context, sample);
}

enum { PIECE = 1 << 20 };

/* Samples from `first` on that are all kept, or all not; no more than a piece, so that a count that lies
 * is not counted to its end before bytes are missed. */
static int64_t run_of(const convt_selection *selection, int64_t first, int64_t count,
                      uint64_t bytes, bool *kept)
{
    const int64_t most = bytes < PIECE ? PIECE / (int64_t)bytes : 1,
                  last = count - first < most ? count : first + most;
    int64_t end = first + 1;
    *kept = convti_keeps(selection, first);
    while (end < last && convti_keeps(selection, end) == *kept) end++;
    return end - first;
}

struct pile {
    unsigned char *data;
    size_t size, room;
};

static convt_status append(struct pile *pile, convti_source *source, size_t size, convt_error *err)
{
    if (size > pile->room - pile->size) {
        const size_t room = 2 * pile->room + size;
        unsigned char *more = room > size || pile->room == 0 ? realloc(pile->data, room + 1) : NULL;
        if (!more) return convti_no_memory(err, source->name, room);
        pile->data = more;
        pile->room = room;
    }
    convt_status status = convti_source_fill(source, pile->data + pile->size, size, err);
    if (!status) pile->size += size;
    return status;
}

/* In pieces, so that a run is not believed before it is there. */
static convt_status take_run(struct pile *pile, convti_source *source, uint64_t size,
                             convt_error *err)
{
    convt_status status = CONVT_OK;
    while (size > 0 && !status) {
        const size_t piece = size < PIECE ? (size_t)size : PIECE;
        status = append(pile, source, piece, err);
        size -= piece;
    }
    return status;
}

convt_status convti_source_take_kept(convti_source *source, const convt_selection *selection,
                                     int64_t count, uint64_t bytes, void **data, int64_t *kept,
                                     convt_error *err)
{
    struct pile pile = {0};
    convt_status status = CONVT_OK;
    *kept = count;
    if (!selection) return convti_source_take(source, (uint64_t)count * bytes, data, err);
    *data = NULL;
    *kept = 0;
    for (int64_t first = 0, run; bytes > 0 && first < count && !status; first += run) {
        bool wanted;
        run = run_of(selection, first, count, bytes, &wanted);
        status = wanted ? take_run(&pile, source, (uint64_t)run * bytes, err)
                        : convti_source_skip(source, (uint64_t)run * bytes, err);
        if (wanted) *kept += run;
    }
    if (!status && !pile.data && !(pile.data = malloc(1)))
        status = convti_no_memory(err, source->name, 1);
    if (status) free(pile.data);
    if (!status) *data = pile.data;
    return status;
}

int64_t convti_keep(const convt_selection *selection, int64_t count, size_t bytes, void *data)
{
    unsigned char *at = data;
    int64_t kept = 0;
    if (!selection) return count;
    for (int64_t sample = 0; bytes > 0 && sample < count; sample++) {
        if (!convti_keeps(selection, sample)) continue;
        memmove(at + (size_t)kept++ * bytes, at + (size_t)sample * bytes, bytes);
    }
    return kept;
}
