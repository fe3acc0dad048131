/* The rows of isa_rows.def, one after another; restores CONVT_ISA. */
#define _POSIX_C_SOURCE 200809L
#include "isa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "close.h"

void for_each_isa(isa_body *body, void *context)
{
    const struct {
        const char *name;
        int supported;
    } rows[] = {
#define ISA_ROW(name, bytes, registers, supported) {#name, supported},
#include "isa_rows.def"
#undef ISA_ROW
    };
    const char *before = getenv("CONVT_ISA");
    char kept[64] = "";
    int ran = 0;
    if (before) snprintf(kept, sizeof kept, "%s", before);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].supported) {
            print_message("isa %s: skipped, this machine does not run it\n", rows[i].name);
            continue;
        }
        setenv("CONVT_ISA", rows[i].name, 1);
        body(rows[i].name, context);
        ran++;
    }
    if (before)
        setenv("CONVT_ISA", kept, 1);
    else
        unsetenv("CONVT_ISA");
    assert_true(ran > 0);
}
