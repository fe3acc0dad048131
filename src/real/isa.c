/*
 * The kernels of this real, best ISA first; the rows come from cmake/isa.cmake through the
 * generated isa_rows.def.
 */
#include <string.h>

#include "passes.h"

#define ROW_NAME(isa) CONVT_JOIN(CONVT_JOIN(convt_kernels_, isa), REAL_SUFFIX)

#define ISA_ROW(name, bytes, registers, supported) extern const struct kernels ROW_NAME(name);
#include "isa_rows.def"
#undef ISA_ROW

const void *FN(convti_choose_isa)(const char *name, const char **chosen)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
#endif
    const struct {
        const char *name;
        const struct kernels *kernels;
        int supported;
    } rows[] = {
#define ISA_ROW(name, bytes, registers, supported) {#name, &ROW_NAME(name), supported},
#include "isa_rows.def"
#undef ISA_ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].supported && (!name || strcmp(name, rows[i].name) == 0)) {
            *chosen = rows[i].name;
            return rows[i].kernels;
        }
    return NULL;
}
