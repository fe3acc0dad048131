/* Runs something under every instruction set that this build and this machine have, by forcing
 * CONVT_ISA. */
#ifndef ISA_H
#define ISA_H

/* Names of all rows that a build may have; those that are not here or do not run are skipped, and
 * said so. */
typedef void isa_body(const char *isa, void *context);
void for_each_isa(isa_body *body, void *context);

#endif
