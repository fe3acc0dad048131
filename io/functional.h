/* Functional models that are a straight line. */
#ifndef CONVTI_FUNCTIONAL_H
#define CONVTI_FUNCTIONAL_H

#include "json.h"

/* The layers of a Functional's config from its input to its output, a new list of the same
 * objects. Anything but one line through every layer is refused. */
convt_status convti_functional_line(const json_t *config, json_t **line, convt_error *err);

#endif
