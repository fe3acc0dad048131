/* Readers that take any bytes: what libFuzzer (libfuzzer.c) and a test (test_fuzz.c) feed. */
#ifndef FUZZ_TARGETS_H
#define FUZZ_TARGETS_H

#include <stddef.h>

/* Returns whatever becomes of the bytes; a crash, a leak or a sanitizer ends the program. */
typedef void fuzz_run(const unsigned char *data, size_t size);

typedef struct fuzz_target {
    const char *name;
    fuzz_run *run;
} fuzz_target;

extern const fuzz_target fuzz_targets[];
extern const int fuzz_target_count;

#endif
