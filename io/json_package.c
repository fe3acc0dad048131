/* The package of a .json file: its config alone. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "package.h"
#include "status.h"

convt_status convti_json_package_read(const convti_input *input, const convti_items *layers,
                                      convti_package *package, convt_error *err)
{
    convti_source source = convti_source_of_input(input, 0, input->size);
    void *text = NULL;
    size_t size = 0;
    (void)layers;
    *package = (convti_package){0};
    convt_status status = convti_source_take_all(&source, &text, &size, err);
    if (!status && strlen(text) != size)
        status =
            convti_fail(err, CONVT_BAD_FORMAT, input->name, "is no JSON: it holds a zero byte");
    if (!status) status = convti_json_parse(text, input->name, &package->config, err);
    free(text);
    return status;
}

convt_status convti_json_package_write(const convti_package *package, const char *name,
                                       convti_bytes *bytes, convt_error *err)
{
    *bytes = (convti_bytes){0};
    if (!package->config)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, name, "has no layers to write");
    char *text = convti_json_text(package->config);
    if (!text) return convti_no_memory(err, name, 1);
    *bytes = (convti_bytes){text, strlen(text)};
    return CONVT_OK;
}
