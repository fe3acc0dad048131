/*
 * rewrite IN OUT: the Keras config of every layer case of the folder IN, read and written again, as
 * OUT/<case>.json. Keras says whether it is still the same (roundtrip.py).
 */
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/keras_case.h"

static const char *from, *to;

static void rewrite(const keras_case *c, void *context)
{
    convt_spec spec = {0};
    convt_error err = {0};
    char path[640], *config = keras_text(c, "config"), *json = NULL;
    (void)context;
    snprintf(path, sizeof path, "%s/%s.json", to, c->name);
    if (convt_spec_parse(config, &spec, &err) ||
        convt_spec_write(spec.layers, spec.count, &json, &err) ||
        convt_file_write(path, json, strlen(json), &err))
        fail_msg("%s: %s: %s", c->name, err.field, err.message);
    convt_spec_free(&spec);
    free(config);
    free(json);
}

static void rewrite_all(void **state)
{
    (void)state;
    keras_each_case(from, "layer", rewrite, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rewrite_all)};
    if (argc != 3) {
        fprintf(stderr, "usage: keras_rewrite IN OUT\n");
        return 2;
    }
    from = argv[1];
    to = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
