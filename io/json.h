/*
 * Keras JSON in parts: single values with their refusals (json_value.c), members of the
 * families (json_family.c), what layers take (json_layer.c) and which class takes which (classes.h),
 * models in all their wrappings (items.c, functional.h); json_write.c is the way back of a
 * Conv2DTranspose. json_optimizer.c is SGD, both ways. Every refusal names the key by its place in
 * the file and shows the value.
 */
#ifndef CONVTI_JSON_H
#define CONVTI_JSON_H

#include <jansson.h>

#include "convt/io.h"

/*
 * Where a value stands: "", "layers[1]", "layers[1].kernel_initializer". `later` collects the first
 * refusal of what Keras' constructor lets through and build or call refuses, so that it counts only
 * where the constructor has nothing to say; NULL: such refusals count at once.
 */
typedef struct convti_place {
    char path[48];
    convt_error *err;
    convt_error *later;
} convti_place;

/* The place one step further in. */
convti_place convti_place_within(const convti_place *place, const char *key);

/* CONVT_INVALID_ARGUMENT at place.key. */
convt_status convti_json_refuse(const convti_place *place, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same of what Keras refuses at build or call: CONVT_OK where place collects those. */
convt_status convti_json_refuse_later(const convti_place *place, const char *key,
                                      const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A value as JSON on one line, cut to fit, for messages. */
typedef struct convti_shown {
    char text[96];
} convti_shown;
convti_shown convti_json_show(const json_t *value);

/* "must be <expected>, got <value>"; at once, or later. */
convt_status convti_json_refuse_value(const convti_place *place, const char *key,
                                      const json_t *value, const char *expected);
convt_status convti_json_refuse_value_later(const convti_place *place, const char *key,
                                            const json_t *value, const char *expected);

/* As Keras says it: "Unrecognized keyword arguments passed to <class>: {<key>: <value>}". */
convt_status convti_json_unknown_key(const convti_place *place, const char *class_name,
                                     const char *key, const json_t *value);

/* {"module", "class_name", "config", "registered_name": null}, as Keras serializes an object. Takes config over;
 * NULL where that is NULL, or memory is out. */
json_t *convti_json_serialized(const char *module, const char *class_name, json_t *config);

/* json_loadb, but NULL and errno ENOMEM wherever memory was out, and errno another where a letter is wrong, of which jansson
 * says the same. Of a string that it finds no room for it leaves out a letter, says nothing and goes on (2.14): so text is
 * read twice, and only what is the same both times is what it says. */
json_t *convti_json_load(const char *text, size_t length, size_t flags, json_error_t *error);

/* An array with one more element, an object with one more member (both taken over). NULL where one of the two
 * is NULL or memory is out, and nothing is left of either: a value that is made in steps is whole or NULL. */
json_t *convti_json_and(json_t *array, json_t *value);
json_t *convti_json_with(json_t *object, const char *key, json_t *value);

/* A serialized object may be registered under its own name alone: `name` or its class name. */
convt_status convti_json_check_registered(const convti_place *place, const char *key,
                                          const json_t *object, const char *name);

/* The root of a text, or NULL: CONVT_BAD_FORMAT naming `name` where it is no JSON, CONVT_NO_MEMORY. */
convt_status convti_json_parse(const char *text, const char *name, json_t **root, convt_error *err);

/* Text with numbers as short as they read back exactly, indented, one-line lists; malloc'ed,
 * NULL where memory is out. */
char *convti_json_text(const json_t *root);

/* ---- single values --------------------------------------------------------------------------- */

/* An integer; true and false count as 1 and 0, as in Python. 2.0 is none: Keras fails to build most
 * layers from it. */
bool convti_json_integer(const json_t *value, int64_t *integer);

/* A finite number or a boolean. */
bool convti_json_number(const json_t *value, double *number);

/* Python's bool(value); false where there is none. */
bool convti_json_truth(const json_t *value);

/* The string value of a key; NULL where it is absent or something else. */
const char *convti_json_string(const json_t *object, const char *key);

/* Reads the value of place.key into the field at target, which stays as it is on failure. */
typedef convt_status convti_json_reader(const convti_place *place, const char *key,
                                        const json_t *value, void *target);

convti_json_reader convti_json_read_number;      /* into a convt_optional */
convti_json_reader convti_json_read_initializer; /* into a convt_initializer, and so on */
convti_json_reader convti_json_read_regularizer;
convti_json_reader convti_json_read_constraint;
convti_json_reader convti_json_read_activation;

convti_json_reader convti_json_read_filters; /* into an int64_t */
convti_json_reader convti_json_read_pair;    /* one size or two, into a convt_hw */
convti_json_reader convti_json_read_output_padding;
convti_json_reader convti_json_read_padding;
convti_json_reader convti_json_read_data_format;
convti_json_reader convti_json_read_dtype; /* a name or a policy */
convti_json_reader convti_json_read_off;   /* into a bool that is true where the value is not */
convti_json_reader convti_json_read_convt; /* {...}, what goes beyond Keras, into a convt_config */

/* {"alpha": 0.5, ...}: arguments of the activation at target, which was read before. */
convti_json_reader convti_json_read_activation_arguments;

/* ---- objects --------------------------------------------------------------------------------- */

/* One key of an object, and where in a struct its value goes. A list of keys is in the order in
 * which Keras looks at them. */
typedef struct convti_json_key {
    const char *name;
    convti_json_reader *read;
    size_t offset;
} convti_json_key;

typedef struct convti_json_keys {
    const convti_json_key *list;
    size_t count;
} convti_json_keys;

#define CONVTI_JSON_KEYS(list)              \
    {                                       \
        list, sizeof(list) / sizeof *(list) \
    }

bool convti_json_has_key(convti_json_keys keys, const char *name);

/* Reads the keys that are there into the struct at target; others are not looked at. */
convt_status convti_json_read_keys(const convti_place *place, convti_json_keys keys,
                                   const json_t *object, void *target);

/* ---- layers ---------------------------------------------------------------------------------- */

/* What every Keras layer takes (name, dtype, trainable ...), into cfg; refuses what is neither that
 * nor in `own`. */
convt_status convti_json_read_base(const convti_place *place, const char *class_name,
                                   convti_json_keys own, const json_t *config, convt_config *cfg);

/* layer.get_config(): every key of Conv2DTranspose; NULL and *err where Keras has no words for it. */
json_t *convti_json_write_layer(const convt_config *cfg, const char *name, convt_error *err);

/* Keras' layers that are activations, some with arguments of their own: ReLU, LeakyReLU, ELU. */
typedef struct convti_activation_layer {
    const char *class_name, *snake_name;
    convt_activation start; /* with the layer's defaults, which may differ from the function's */
    convti_json_keys keys;
} convti_activation_layer;
extern const convti_activation_layer convti_activation_layers[];
extern const int convti_activation_layer_count;

#endif
