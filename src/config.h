/* Validation of a config. */
#ifndef CONVT_CONFIG_H
#define CONVT_CONFIG_H

#include "convt/convt.h"

enum { CONVTI_MOST_NAME = 63 }; /* bytes of a layer's name */

/* *out = *cfg with every default filled in, or a refusal that names the field and the value. */
convt_status convti_config_resolve(convt_config *out, const convt_config *cfg, convt_error *err);

/* Of the kernel as a parameter. */
int convti_kernel_rank(convt_kernel_order order);

#endif
