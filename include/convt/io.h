/*
 * Files: arrays (.npy, .npz), images (IDX, PNG, arrays), Keras JSON configs and models.
 *
 * Every reader checks sizes before it allocates and refuses with one sentence that names the file
 * and the value; memory stays near the size of the content. Every writer writes beside the target,
 * syncs and renames, so that a file is complete or was not touched. This library (convt_io) is the
 * only one with dependencies: zlib, libpng, jansson, libzip.
 */
#ifndef CONVT_IO_H
#define CONVT_IO_H

#include "convt.h"
#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arrays ---------------------------------------------------------------------------------- */

typedef enum convt_element {
    CONVT_ELEMENT_F32 = 0, /* float16 and bfloat16 are read into this one, exactly */
    CONVT_ELEMENT_F64 = 1,
    CONVT_ELEMENT_U8 = 2, /* bool, too: 0 or 1 */
    CONVT_ELEMENT_I64 = 3 /* every other integer type is read into this one */
} convt_element;

enum { CONVT_MAX_RANK = 8 };

/* A C-ordered array that owns its memory (malloc). Released by convt_array_free; a zeroed one is
 * empty and free to release. */
typedef struct convt_array {
    char name[128]; /* member name within an archive, without .npy; "" otherwise */
    convt_element element;
    int rank;
    int64_t shape[CONVT_MAX_RANK];
    void *data;
} convt_array;

CONVT_API void convt_array_free(convt_array *array);
CONVT_API int64_t convt_array_count(const convt_array *array); /* product of the shape */

/* A rank 1..4 float array as a view: missing leading sizes are 1. Converts nothing;
 * CONVT_INVALID_SHAPE for other elements. */
CONVT_API convt_status convt_array_view(const convt_array *array, convt_view *view,
                                        convt_error *err);

/* In-place conversion of any element type to the given real type. */
CONVT_API convt_status convt_array_convert(convt_array *array, convt_dtype dtype, convt_error *err);

/*
 * Whatever is read from a file is decoded from memory, too: `name` stands in errors for the file's.
 * Whatever is written is encoded into malloc'ed memory, too, NULL on failure.
 */

/* .npy format 1.0 to 3.0, C or Fortran order, either endianness: f2, f4, f8, bool and every integer
 * type. Writes 1.0, C order. */
CONVT_API convt_status convt_npy_read(const char *path, convt_array *array, convt_error *err);
CONVT_API convt_status convt_npy_decode(const void *data, size_t size, const char *name,
                                        convt_array *array, convt_error *err);
CONVT_API convt_status convt_npy_write(const char *path, const convt_array *array,
                                       convt_error *err);
CONVT_API convt_status convt_npy_encode(const convt_array *array, void **data, size_t *size,
                                        convt_error *err);

/* Some samples of an array or of images: `keeps` says of each, 0, 1, ..., in their order, whether it is
 * wanted, maybe more than once. A NULL selection keeps all. *all: how many there are. Of plain .npy, IDX and
 * PNG files nothing else is read; what is packed, or in Fortran order, is read whole. Of samples without an
 * element none is kept; a number without axes always is. */
typedef struct convt_selection {
    bool (*keeps)(void *context, int64_t sample);
    void *context;
} convt_selection;
CONVT_API convt_status convt_npy_read_some(const char *path, const convt_selection *selection,
                                           convt_array *array, int64_t *all, convt_error *err);

/* .npz: all members that end in .npy, stored or deflated, in file order, and one text member (NULL
 * where absent or not asked for). All members together may unpack to 16 MiB and 256 times the
 * archive: what is no bomb stays far below, unless it is hardly anything but zeros. Writes stored
 * members. */
typedef struct convt_archive {
    convt_array *arrays;
    int count;
    char *text; /* zero-terminated; the member that `text_name` names */
} convt_archive;
CONVT_API convt_status convt_npz_read(const char *path, const char *text_name,
                                      convt_archive *archive, convt_error *err);
CONVT_API convt_status convt_npz_decode(const void *data, size_t size, const char *name,
                                        const char *text_name, convt_archive *archive,
                                        convt_error *err);
CONVT_API convt_status convt_npz_write(const char *path, const convt_array arrays[], int count,
                                       const char *text_name, const char *text, convt_error *err);
CONVT_API convt_status convt_npz_encode(const convt_array arrays[], int count,
                                        const char *text_name, const char *text, void **data,
                                        size_t *size, convt_error *err);
CONVT_API const convt_array *convt_archive_find(const convt_archive *archive,
                                                const char *name); /* NULL: absent */
CONVT_API void convt_archive_free(convt_archive *archive);

/* A whole file: *data is malloc'ed, with a zero byte behind its *size bytes (size may be NULL). */
CONVT_API convt_status convt_file_read(const char *path, char **data, size_t *size,
                                       convt_error *err);

/* A whole file, written beside, synced, renamed. Only regular files are replaced, devices and pipes
 * are refused. */
CONVT_API convt_status convt_file_write(const char *path, const void *data, size_t size,
                                        convt_error *err);

/* ---- images ---------------------------------------------------------------------------------- */

/* count images of h x w x c (channels last), bytes 0..255 or floats as they were stored. */
typedef struct convt_images {
    int64_t count, h, w, c;
    convt_element element; /* U8, F32 or F64 */
    void *data;
} convt_images;

/* SOURCE of the command: an .npy or .npz (member "images", "x" or the only one) of (count,h,w) or
 * (count,h,w,c), an IDX file (.gz too), or a folder of PNG files, in name order, all of one size.
 */
CONVT_API convt_status convt_images_read(const char *source, convt_images *images,
                                         convt_error *err);
/* images->count: those that are kept, maybe none. */
CONVT_API convt_status convt_images_read_some(const char *source, const convt_selection *selection,
                                              convt_images *images, int64_t *all, convt_error *err);
/* All images of a file's bytes; a PNG is one image. */
CONVT_API convt_status convt_images_decode(const void *data, size_t size, const char *name,
                                           convt_images *images, convt_error *err);
CONVT_API void convt_images_free(convt_images *images);

/* PNG of h x w x c bytes, c = 1 or 3. convt_png_encode gives malloc'ed memory. */
CONVT_API convt_status convt_png_encode(const uint8_t *pixels, int64_t h, int64_t w, int64_t c,
                                        uint8_t **png, size_t *size, convt_error *err);
CONVT_API convt_status convt_png_write(const char *path, const uint8_t *pixels, int64_t h,
                                       int64_t w, int64_t c, convt_error *err);

/* ---- Keras configs and models ---------------------------------------------------------------- */

/* Formats of models: rows of formats.def. */
typedef enum convt_format {
    CONVT_NO_FORMAT = 0,
#define FORMAT(name, number, ...) CONVT_##name = number,
#include "formats.def"
} convt_format;

/* The format that the end of a path names; CONVT_NO_FORMAT for none. */
CONVT_API convt_format convt_format_of(const char *path);

/* False for a format that was left out when the library was built. */
CONVT_API bool convt_format_is_built(convt_format format);

/*
 * A model as files hold it: a straight line of Keras layers, and their weights where there are any.
 * `layers` are what they come to here: a Dense is a layer whose kernel is CONVT_KERNEL_DENSE, a
 * stride-1 Conv2D one that is CONVT_KERNEL_CONV, a Reshape the `input` of the layer behind it,
 * activation layers the activation of the layer before, upsampling and padding layers that are
 * `.fixed` (docs/files.md has the table). Their values come from initializers that point into the
 * spec, so it must outlive the creation of a model of them. layers[0].input is zero where the file
 * does not say.
 */
typedef struct convt_spec {
    int count;
    convt_config *layers; /* strings and all owned by the spec */
    /* x and y as arrays: 2 is (n, units), 4 the order that data_format names. y_size: sizes behind the
     * batch where a Reshape comes last, else 0 */
    int x_rank, y_rank;
    int64_t y_size[3];
    convt_archive weights; /* "<Keras layer>/<variable>" in Keras' shapes; count 0: none */
    /* NULL, or why a model of these layers predicts but must not be trained ("batch_normalization is
     * folded ..."); convt_spec_load_weights refuses a model that was not created with .inference */
    const char *predicts_only;
    void *storage;
} convt_spec;

/*
 * From Keras JSON: a Sequential or Functional model whose layers are a straight line, a list of
 * layers, or one layer (get_config() dict or serialized object). What Keras' constructor refuses is
 * refused, in its order, and what it builds no layer with; the rest is for convt_layer_create to
 * check. A layer that cannot be computed exactly is refused by name. An object "convt" within a
 * layer's config says what Keras has no words for, all of it optional:
 *
 *     "convt": {"strides_with_dilation": true, "explicit_padding": [[top, bottom], [left, right]],
 *               "activation_arguments": {"alpha": 0.5}}
 */
CONVT_API convt_status convt_spec_parse(const char *json, convt_spec *spec, convt_error *err);

/* From a file, or from bytes of one, in any format that holds a config; told by content. `name`
 * stands in errors for the file's. */
CONVT_API convt_status convt_spec_read(const char *path, convt_spec *spec, convt_error *err);
CONVT_API convt_status convt_spec_decode(const void *data, size_t size, const char *name,
                                         convt_spec *spec, convt_error *err);
CONVT_API void convt_spec_free(convt_spec *spec);

/* Says what x is where the file leaves that open, so that the model is saved with it; layers and all
 * are made once more. Sizes that the file has must be these: CONVT_INVALID_SHAPE. On failure the spec
 * is empty. */
CONVT_API convt_status convt_spec_set_input(convt_spec *spec, convt_shape input, convt_error *err);

/* The Keras layers of a spec, in the order of the data. */
typedef struct convt_spec_row {
    const char *class_name, *name; /* "Dense", "dense"; owned by the spec */
    int rank;                      /* of its output behind the batch: 1 or 3; 0: not known */
    int64_t size[3];               /* in memory order; 0: not known */
    int64_t variables;             /* numbers in all its variables; -1: not known */
    int layer; /* of spec.layers, that computes it, alone or with others; -1: none */
} convt_spec_row;

/* Fills at most `room` rows, returns how many there are. */
CONVT_API int convt_spec_rows(const convt_spec *spec, convt_spec_row rows[], int room);

/* Takes the weights of a file, whatever else it holds, in place of the spec's. */
CONVT_API convt_status convt_spec_read_weights(const char *path, convt_spec *spec,
                                               convt_error *err);

/* Config and weights into a file whose suffix says the format, or into malloc'ed memory. What a
 * format has no words for is refused: "convt" objects in .keras, for one. */
CONVT_API convt_status convt_spec_save(const char *path, const convt_spec *spec, convt_error *err);
CONVT_API convt_status convt_spec_encode(const convt_spec *spec, convt_format format, void **data,
                                         size_t *size, convt_error *err);

/* The model's JSON as Keras' deserialize_keras_object accepts it (malloc'ed, indented): the layers
 * that were read, not what they came to. */
CONVT_API convt_status convt_spec_json(const convt_spec *spec, char **json, convt_error *err);

/* Copies the spec's weights into a model made from it; every layer must be there with its shape, or
 * none at all. */
CONVT_API convt_status convt_spec_load_weights(const convt_spec *spec, convt_model *model,
                                               convt_error *err);

/* The other way: a model's weights in place of the spec's, for saving. Weights that are no
 * parameters here (of a BatchNormalization) stay. */
CONVT_API convt_status convt_spec_take_weights(convt_spec *spec, convt_model *model,
                                               convt_error *err);

/* The Keras Sequential JSON of layers (malloc'ed, indented); what Keras' deserialize_keras_object
 * accepts. */
CONVT_API convt_status convt_spec_write(const convt_config layers[], int count, char **json,
                                        convt_error *err);

/* One layer as its get_config() in Keras (malloc'ed, indented). Callbacks are refused; so are seeds
 * beyond 32 bits. */
CONVT_API convt_status convt_config_write(const convt_config *cfg, char **json, convt_error *err);

/* A model of plain layers into a file, by suffix. `layers` are the configs to write (the model's
 * own, or with another activation than the one trained). */
CONVT_API convt_status convt_model_save(const char *path, convt_model *model,
                                        const convt_config layers[], convt_error *err);

/* ---- optimizers ------------------------------------------------------------------------------ */

/*
 * Keras' SGD: optimizer.get_config() or the serialized optimizer, its schedule within. Missing keys
 * are defaults; threads and allocator become zero. What Keras refuses is refused, by its place:
 * "learning_rate.decay_steps". On failure *sgd stays as it is. Keras computes a schedule whose
 * initial_learning_rate is an integer in integers; here it is a number as any other.
 */
CONVT_API convt_status convt_sgd_parse(const char *json, convt_sgd_config *sgd, convt_error *err);
CONVT_API convt_status convt_sgd_read(const char *path, convt_sgd_config *sgd, convt_error *err);

/* What SGD.from_config accepts, with every key of get_config() (malloc'ed, indented). */
CONVT_API convt_status convt_sgd_write(const convt_sgd_config *sgd, char **json, convt_error *err);

#ifdef __cplusplus
}
#endif
#endif
