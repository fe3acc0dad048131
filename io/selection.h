/* Reading some of the samples of a source, which lie there one behind another. */
#ifndef CONVTI_SELECTION_H
#define CONVTI_SELECTION_H

#include "file.h"

bool convti_keeps(const convt_selection *selection, int64_t sample);

/* Of `count` samples of so many bytes each those that are kept (NULL: all), into malloc'ed memory which
 * grows with what really arrives; what is skipped of a file is not read. *data NULL on failure. Samples of
 * no bytes are not asked about, of which a file may claim any number: none is kept. */
convt_status convti_source_take_kept(convti_source *source, const convt_selection *selection,
                                     int64_t count, uint64_t bytes, void **data, int64_t *kept,
                                     convt_error *err);

/* Moves those that are kept together; returns how many. Of no bytes: as above. */
int64_t convti_keep(const convt_selection *selection, int64_t count, size_t bytes, void *data);

#endif
