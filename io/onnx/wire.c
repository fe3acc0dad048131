/* The wire format of protocol buffers: see wire.h. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static bool stop(convti_wire *wire)
{
    wire->at = NULL;
    return false;
}

bool convti_wire_varint(convti_wire *wire, uint64_t *value)
{
    *value = 0;
    if (!wire->at || wire->at == wire->end) return false;
    for (int shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        const unsigned char byte = *wire->at++;
        if (shift == 63 && byte > 1) return stop(wire);
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return stop(wire);
}

static bool take_bytes(convti_wire *wire, uint64_t size, convti_wire *bytes)
{
    if (size > convti_wire_size(*wire)) return stop(wire);
    *bytes = (convti_wire){wire->at, wire->at + size};
    wire->at += size;
    return true;
}

static bool take_fixed(convti_wire *wire, size_t size, convti_wire_field *field)
{
    if (!take_bytes(wire, size, &field->bytes)) return false;
    for (size_t i = 0; i < size; i++) field->value |= (uint64_t)field->bytes.at[i] << (8 * i);
    return true;
}

bool convti_wire_next(convti_wire *wire, convti_wire_field *field)
{
    uint64_t key;
    *field = (convti_wire_field){0};
    if (!convti_wire_varint(wire, &key)) return false;
    field->number = key >> 3;
    field->type = (convti_wire_type)(key & 7);
    if (field->number == 0) return stop(wire);
    switch (field->type) {
    case CONVTI_VARINT: return convti_wire_varint(wire, &field->value) || stop(wire);
    case CONVTI_FIXED64: return take_fixed(wire, 8, field);
    case CONVTI_FIXED32: return take_fixed(wire, 4, field);
    case CONVTI_BYTES:
        return convti_wire_varint(wire, &field->value)
                   ? take_bytes(wire, field->value, &field->bytes)
                   : stop(wire);
    }
    return stop(wire); /* groups, which ONNX never had */
}

bool convti_wire_is_sound(convti_wire wire)
{
    convti_wire_field field;
    while (convti_wire_next(&wire, &field)) {}
    return wire.at != NULL;
}

size_t convti_wire_size(convti_wire wire)
{
    return wire.at ? (size_t)(wire.end - wire.at) : 0;
}

bool convti_wire_equal(convti_wire a, convti_wire b)
{
    const size_t size = convti_wire_size(a);
    return size == convti_wire_size(b) && (size == 0 || memcmp(a.at, b.at, size) == 0);
}

bool convti_wire_is(convti_wire text, const char *expected)
{
    const unsigned char *at = (const unsigned char *)expected;
    return convti_wire_equal(text, (convti_wire){at, at + strlen(expected)});
}

/* ---- writing --------------------------------------------------------------------------------- */

void convti_message_reserve(convti_message *message, size_t more)
{
    if (message->failed || more <= message->room - message->size) return;
    const size_t twice = 2 * message->room, least = message->size + more,
                 room = least > twice ? least : twice;
    unsigned char *larger = least < more ? NULL : realloc(message->data, room);
    if (larger) {
        message->data = larger;
        message->room = room;
        return;
    }
    free(message->data);
    *message = (convti_message){.failed = true};
}

static size_t put_varint(unsigned char bytes[10], uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = (unsigned char)(value | 0x80);
    bytes[size++] = (unsigned char)value;
    return size;
}

static void append(convti_message *message, const void *data, size_t size)
{
    convti_message_reserve(message, size);
    if (message->failed || size == 0) return;
    memcpy(message->data + message->size, data, size);
    message->size += size;
}

static void append_varint(convti_message *message, uint64_t value)
{
    unsigned char bytes[10];
    append(message, bytes, put_varint(bytes, value));
}

static void append_key(convti_message *message, uint64_t number, convti_wire_type type)
{
    append_varint(message, number << 3 | type);
}

void convti_message_varint(convti_message *message, uint64_t number, uint64_t value)
{
    append_key(message, number, CONVTI_VARINT);
    append_varint(message, value);
}

unsigned char *convti_message_room(convti_message *message, uint64_t number, size_t size)
{
    append_key(message, number, CONVTI_BYTES);
    append_varint(message, size);
    convti_message_reserve(message, size);
    if (message->failed) return NULL;
    message->size += size;
    return message->data + message->size - size;
}

void convti_message_bytes(convti_message *message, uint64_t number, const void *data, size_t size)
{
    append_key(message, number, CONVTI_BYTES);
    append_varint(message, size);
    append(message, data, size);
}

void convti_message_text(convti_message *message, uint64_t number, const char *text)
{
    convti_message_bytes(message, number, text, strlen(text));
}

void convti_message_float(convti_message *message, uint64_t number, float value)
{
    uint32_t bits;
    unsigned char bytes[4];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(bits >> (8 * i));
    append_key(message, number, CONVTI_FIXED32);
    append(message, bytes, sizeof bytes);
}

size_t convti_message_begin(const convti_message *message)
{
    return message->size;
}

/* The length stands in front and is known now: what follows moves up. */
void convti_message_end(convti_message *message, uint64_t number, size_t begin)
{
    unsigned char head[20];
    if (message->failed) return;
    const size_t size = message->size - begin;
    size_t length = put_varint(head, number << 3 | CONVTI_BYTES);
    length += put_varint(head + length, size);
    convti_message_reserve(message, length);
    if (message->failed) return;
    memmove(message->data + begin + length, message->data + begin, size);
    memcpy(message->data + begin, head, length);
    message->size += length;
}
