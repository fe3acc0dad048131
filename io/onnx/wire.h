/*
 * The wire format of protocol buffers, as much as ONNX needs. A message is a row of fields, each a
 * key (number * 8 + type) and what follows it:
 *
 *     type 0   varint: 7 bits a byte, lowest first, bit 7 says that more follow, at most 10 bytes
 *     type 1   8 bytes, type 5: 4 bytes, lowest first
 *     type 2   a varint length and as many bytes: text, a message, numbers one after the other
 *
 * Reading copies nothing: what is found points into the message, and a length counts only within it.
 */
#ifndef CONVTI_ONNX_WIRE_H
#define CONVTI_ONNX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum convti_wire_type {
    CONVTI_VARINT = 0,
    CONVTI_FIXED64 = 1,
    CONVTI_BYTES = 2,
    CONVTI_FIXED32 = 5
} convti_wire_type;

/* ---- reading --------------------------------------------------------------------------------- */

/* Bytes of a message, or a text. `at` NULL: none, or no message. */
typedef struct convti_wire {
    const unsigned char *at, *end;
} convti_wire;

typedef struct convti_wire_field {
    uint64_t number;
    convti_wire_type type;
    uint64_t value;    /* of a varint, or of 4 or 8 bytes */
    convti_wire bytes; /* of CONVTI_BYTES and of 4 or 8 bytes */
} convti_wire_field;

/* Takes the next field off; false at the end, and where the bytes are no field: wire->at is NULL
 * then. */
bool convti_wire_next(convti_wire *wire, convti_wire_field *field);

/* Takes one varint off; false as above. */
bool convti_wire_varint(convti_wire *wire, uint64_t *value);

/* Whether every field of the message can be taken; messages within it are not looked at. */
bool convti_wire_is_sound(convti_wire wire);

size_t convti_wire_size(convti_wire wire);
bool convti_wire_is(convti_wire text, const char *expected);
bool convti_wire_equal(convti_wire a, convti_wire b);

/* ---- writing --------------------------------------------------------------------------------- */

/* A message under construction, in memory from malloc. */
typedef struct convti_message {
    unsigned char *data;
    size_t size, room;
    bool failed; /* no memory: sticky, nothing is added any more */
} convti_message;

void convti_message_reserve(convti_message *message, size_t more);
void convti_message_varint(convti_message *message, uint64_t number, uint64_t value);
void convti_message_bytes(convti_message *message, uint64_t number, const void *data, size_t size);
void convti_message_text(convti_message *message, uint64_t number, const char *text);
void convti_message_float(convti_message *message, uint64_t number, float value);

/* Bytes to be filled at once; NULL where there is no memory. */
unsigned char *convti_message_room(convti_message *message, uint64_t number, size_t size);

/* A message within the message: what is added between the two. */
size_t convti_message_begin(const convti_message *message);
void convti_message_end(convti_message *message, uint64_t number, size_t begin);

#endif
