/*
 * repack IN OUT: the package of one file as another, whose suffix says the format. For files.py, which
 * compares the two with what other libraries read and write.
 */
#include <stdio.h>
#include <stdlib.h>

#include "package.h"

static convt_status repack(const char *from, const char *to, convt_error *err)
{
    const convti_items none = {.count = 0}; /* weights alone will do */
    convti_input input;
    convti_package package = {0};
    convti_bytes bytes = {0};
    convt_status status = convti_input_open(&input, from, err);
    if (!status) status = convti_package_read(&input, &none, &package, err);
    if (!status)
        status =
            convti_package_write(&package, convt_format_of(to), convti_base_name(to), &bytes, err);
    if (!status) status = convt_file_write(to, bytes.data, bytes.size, err);
    free(bytes.data);
    convti_package_free(&package);
    convti_input_close(&input);
    return status;
}

int main(int argc, char **argv)
{
    convt_error err = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: keras_repack IN OUT\n");
        return 2;
    }
    if (repack(argv[1], argv[2], &err) == CONVT_OK) return 0;
    fprintf(stderr, "%s: %s\n", err.field, err.message);
    return 1;
}
