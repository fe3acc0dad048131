/* Status texts, the version, and how an error is written down. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *convt_version(void)
{
    return CONVT_VERSION;
}

const char *convt_status_text(convt_status status)
{
    switch (status) {
#define STATUS(name, number, text) \
    case CONVT_##name:             \
        return text;
#include "convt/status.def"
#undef STATUS
    }
    return "unknown status";
}

/* Drops a character that vsnprintf cut in half: its lead byte announces more bytes than the text
 * still has. */
static void drop_partial_character(char *text)
{
    size_t length = strlen(text), tail = 0;
    while (tail < 3 && tail < length && ((unsigned char)text[length - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (tail == length) return;
    unsigned char lead = (unsigned char)text[length - 1 - tail];
    size_t announced = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (announced > tail) text[length - 1 - tail] = '\0';
}

static void write_text(char *text, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void write_text(char *text, size_t room, const char *format, va_list arguments)
{
    if ((size_t)vsnprintf(text, room, format, arguments) >= room) drop_partial_character(text);
}

convt_status convti_fail(convt_error *err, convt_status status, const char *field,
                         const char *format, ...)
{
    if (!err) return status;
    /* The arguments may point into *err itself (a message that quotes another), so it is written
     * last. */
    convt_error fresh = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    write_text(fresh.message, sizeof fresh.message, format, arguments);
    va_end(arguments);
    if (snprintf(fresh.field, sizeof fresh.field, "%s", field ? field : "") >=
        (int)sizeof fresh.field)
        drop_partial_character(fresh.field);
    *err = fresh;
    return status;
}

void convti_clear(convt_error *err)
{
    if (!err) return;
    err->status = CONVT_OK; /* at every call: the rest of the texts is not worth clearing */
    err->field[0] = err->message[0] = '\0';
}
