/* The target FUZZ_TARGET for libFuzzer (sh tests/fuzz.sh). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fuzz_target *target;
    for (int i = 0; i < fuzz_target_count && !target; i++) {
        if (strcmp(fuzz_targets[i].name, FUZZ_TARGET) == 0) target = &fuzz_targets[i];
    }
    if (!target) abort();
    target->run(data, size);
    return 0;
}
