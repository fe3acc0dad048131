/*
 * The kernels of every instruction set in the precision of the unit that includes this: private
 * tables, where isa.h forces a set on a whole layer.
 */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include "kernel/kernel.h"
#include "real/passes.h"
#include "support/close.h"

static const char *const kernel_isas[] = {
#define ISA_ROW(name, bytes, registers, supported) #name,
#include "isa_rows.def"
#undef ISA_ROW
};
enum { KERNEL_ISAS = sizeof kernel_isas / sizeof *kernel_isas };

/* The index-th set's; NULL, and a line that says so, where this machine does not run it. */
static inline const struct kernels *kernels_at(size_t index)
{
    const char *chosen;
    const struct kernels *kernels = FN(convti_choose_isa)(kernel_isas[index], &chosen);
    if (!kernels) print_message("%s: skipped, this machine does not run it\n", kernel_isas[index]);
    return kernels;
}

#endif
