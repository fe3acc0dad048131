/*
 * What the commands share; see cli.h.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    bool later;
    char first[COMPLAINT_ROOM];
} kept;

void complain_later(bool later)
{
    kept.later = later;
}

const char *complained(void)
{
    return kept.first;
}

int complain(int code, const char *where, const char *format, ...)
{
    char what[1024];
    char line[COMPLAINT_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "convt: %s: %s", where, what);
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    }
    if (kept.later) {
        if (!kept.first[0]) memcpy(kept.first, line, sizeof line);
        return code;
    }
    fflush(stdout);
    fprintf(stderr, "%s\n", line);
    return code;
}

static const char *message_of(const convt_error *err)
{
    return err->message[0] ? err->message : convt_status_text(err->status);
}

int complain_config(const char *option, const convt_error *err)
{
    bool failed = err->status == CONVT_FILE_FAILED || err->status == CONVT_BAD_FORMAT ||
                  err->status == CONVT_NO_MEMORY;
    int code = failed ? EXIT_FAILED : EXIT_USAGE;
    return complain(code, err->field[0] ? err->field : option, "%s", message_of(err));
}

int complain_config_file(const char *option, const convt_error *err)
{
    if (err->status == CONVT_FILE_FAILED || err->status == CONVT_BAD_FORMAT)
        complain_data(option, err);
    else
        return complain_config(option, err);
    return EXIT_USAGE;
}

int complain_isa(const char *isa)
{
    return complain(EXIT_USAGE, "--isa", "this machine runs no instruction set \"%s\"", isa);
}

int complain_data(const char *option, const convt_error *err)
{
    return complain(EXIT_FAILED, option, "%s%s%s", err->field, err->field[0] ? ": " : "",
                    message_of(err));
}

char *text_of(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!text) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

char *bytes_text(char text[32], double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < LENGTH(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}
