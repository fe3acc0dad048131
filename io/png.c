/*
 * PNG through libpng: any depth and colour becomes 8-bit gray or RGB; palettes are looked up,
 * alpha is dropped.
 *
 * libpng reports errors by longjmp. So each of its phases is a function of its own that holds
 * the setjmp and changes no local variable afterwards; everything that must survive lives in a
 * struct of the caller.
 */
#include "png_folder.h"

#include <dirent.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "selection.h"
#include "status.h"

static void keep_message(png_structp png, png_const_charp message)
{
    snprintf(png_get_error_ptr(png), 128, "%s", message);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

/* ---- reading one file ------------------------------------------------------------------------ */

typedef struct reader {
    const convti_input *input;
    uint64_t at;
    char message[128];
    png_structp png;
    png_infop info;
    int64_t h, w, c;
    uint64_t packed; /* bytes before inflation's end: rows as the file stores them */
    png_bytep *rows;
    uint8_t *pixels;
} reader;

static void read_bytes(png_structp png, png_bytep data, size_t size)
{
    reader *r = png_get_io_ptr(png);
    convt_error err;
    if (convti_input_read(r->input, r->at, data, size, &err)) png_error(png, err.message);
    r->at += size;
}

static bool read_header(reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    png_set_read_fn(r->png, r, read_bytes);
    png_read_info(r->png, r->info);
    r->h = png_get_image_height(r->png, r->info);
    r->w = png_get_image_width(r->png, r->info);
    r->packed = (uint64_t)r->h * (png_get_rowbytes(r->png, r->info) + 1);
    r->c = png_get_color_type(r->png, r->info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
    return true;
}

static bool read_rows(reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    int type = png_get_color_type(r->png, r->info), depth = png_get_bit_depth(r->png, r->info);
    if (depth == 16) png_set_scale_16(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(r->png);
    else if (depth < 8)
        png_set_expand_gray_1_2_4_to_8(r->png);
    png_set_strip_alpha(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != (size_t)(r->w * r->c))
        png_error(r->png, "unexpected row size");
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return true;
}

/* Deflate packs at most 1032 to 1, so a header that claims more than the file can hold is a lie. */
static bool plausible(const reader *r)
{
    return r->packed / 1040 <= r->input->size;
}

static convt_status make_room(reader *r, convt_error *err)
{
    size_t row = (size_t)(r->w * r->c);
    r->pixels = malloc((size_t)r->h * row);
    r->rows = malloc((size_t)r->h * sizeof *r->rows);
    if (!r->pixels || !r->rows) return convti_no_memory(err, r->input->name, (size_t)r->h * row);
    for (int64_t y = 0; y < r->h; y++) r->rows[y] = r->pixels + (size_t)y * row;
    return CONVT_OK;
}

static convt_status not_readable(const reader *r, convt_error *err)
{
    return convti_fail(err, CONVT_BAD_FORMAT, r->input->name, "cannot be read as PNG: %s",
                       r->message);
}

static convt_status decode(reader *r, convt_error *err)
{
    r->png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, r->message, keep_message, ignore_warning);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (!r->info) return convti_no_memory(err, r->input->name, sizeof *r);
    if (!read_header(r)) return not_readable(r, err);
    if (!plausible(r))
        return convti_fail(err, CONVT_BAD_FORMAT, r->input->name,
                           "says it is %lld x %lld, too much for its size", (long long)r->w,
                           (long long)r->h);
    convt_status status = make_room(r, err);
    if (!status && !read_rows(r)) status = not_readable(r, err);
    return status;
}

convt_status convti_png_read(const convti_input *input, convt_images *image, convt_error *err)
{
    reader r = {.input = input, .message = ""};
    *image = (convt_images){0};
    convt_status status = decode(&r, err);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    if (status)
        free(r.pixels);
    else
        *image = (convt_images){.count = 1,
                                .h = r.h,
                                .w = r.w,
                                .c = r.c,
                                .element = CONVT_ELEMENT_U8,
                                .data = r.pixels};
    return status;
}

/* ---- reading a folder ------------------------------------------------------------------------ */

typedef struct names {
    char **list;
    size_t count, room;
} names;

static void free_names(names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->list[i]);
    free(n->list);
}

static bool add_name(names *n, const char *folder, const char *name)
{
    if (n->count == n->room) {
        size_t room = n->room ? 2 * n->room : 64;
        char **list = realloc(n->list, room * sizeof *list);
        if (!list) return false;
        n->list = list;
        n->room = room;
    }
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = malloc(length);
    if (!path) return false;
    snprintf(path, length, "%s/%s", folder, name);
    n->list[n->count++] = path;
    return true;
}

/* Hidden files are no pictures (some systems leave ._x.png behind). */
static bool is_png_name(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 4 && strcasecmp(name + length - 4, ".png") == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static convt_status list_folder(const char *folder, names *n, convt_error *err)
{
    DIR *directory = opendir(folder);
    if (!directory) return convti_file_failed(err, folder, "opened");
    bool enough = true;
    for (const struct dirent *entry; enough && (entry = readdir(directory)) != NULL;) {
        if (is_png_name(entry->d_name)) enough = add_name(n, folder, entry->d_name);
    }
    closedir(directory);
    if (!enough) return convti_no_memory(err, convti_base_name(folder), n->count * sizeof *n->list);
    if (n->count == 0)
        return convti_fail(err, CONVT_BAD_FORMAT, convti_base_name(folder), "holds no PNG file");
    qsort(n->list, n->count, sizeof *n->list, compare_names);
    return CONVT_OK;
}

/* Appends one image; the room doubles, so that the first file's size is not believed for all of
 * them. */
static convt_status append(convt_images *images, const convt_images *image, size_t *room,
                           convt_error *err)
{
    size_t size = (size_t)(image->h * image->w * image->c);
    if ((size_t)images->count == *room) {
        size_t more = *room ? 2 * *room : 1;
        size_t most = size > 0 ? SIZE_MAX / size : 0;
        void *data = more <= most ? realloc(images->data, more * size) : NULL;
        if (!data) return convti_no_memory(err, "images", more * size);
        images->data = data;
        *room = more;
    }
    memcpy((uint8_t *)images->data + (size_t)images->count * size, image->data, size);
    images->count++;
    return CONVT_OK;
}

static convt_status read_next(const char *path, const char *first, bool kept, convt_images *images,
                              size_t *room, convt_error *err)
{
    convt_images image = {0};
    convti_input input;
    convt_status status = convti_input_open(&input, path, err);
    if (!status) status = convti_png_read(&input, &image, err);
    convti_input_close(&input);
    if (!image.data) return status;
    if (images->h == 0)
        *images =
            (convt_images){.h = image.h, .w = image.w, .c = image.c, .element = CONVT_ELEMENT_U8};
    if (image.h != images->h || image.w != images->w || image.c != images->c)
        status = convti_fail(
            err, CONVT_BAD_FORMAT, convti_base_name(path),
            "is %lld x %lld with %lld channels, the first, %.60s, is %lld x %lld with %lld",
            (long long)image.w, (long long)image.h, (long long)image.c, convti_base_name(first),
            (long long)images->w, (long long)images->h, (long long)images->c);
    if (!status && kept) status = append(images, &image, room, err);
    convt_images_free(&image);
    return status;
}

convt_status convti_png_read_folder(const char *folder, const convt_selection *selection,
                                    convt_images *images, int64_t *all, convt_error *err)
{
    names n = {0};
    size_t room = 0;
    *images = (convt_images){0};
    convt_status status = list_folder(folder, &n, err);
    *all = (int64_t)n.count;
    for (size_t i = 0; i < n.count && !status; i++) {
        const bool kept = convti_keeps(selection, (int64_t)i);
        if (kept || i == 0) status = read_next(n.list[i], n.list[0], kept, images, &room, err);
    }
    free_names(&n);
    if (status) convt_images_free(images);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    char message[128];
    png_structp png;
    png_infop info;
    uint8_t *data;
    size_t size, room;
} writer;

static void store(png_structp png, png_bytep data, size_t size)
{
    writer *w = png_get_io_ptr(png);
    if (size > w->room - w->size) {
        size_t room = 2 * w->room + size + 4096;
        uint8_t *larger = realloc(w->data, room);
        if (!larger) png_error(png, "out of memory");
        w->data = larger;
        w->room = room;
    }
    memcpy(w->data + w->size, data, size);
    w->size += size;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static bool write_image(writer *out, const uint8_t *pixels, int64_t h, int64_t w, int64_t c)
{
    if (setjmp(png_jmpbuf(out->png))) return false;
    png_set_write_fn(out->png, out, store, flush_nothing);
    png_set_IHDR(out->png, out->info, (png_uint_32)w, (png_uint_32)h, 8,
                 c == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(out->png, out->info);
    for (int64_t y = 0; y < h; y++) png_write_row(out->png, pixels + y * w * c);
    png_write_end(out->png, NULL);
    return true;
}

convt_status convt_png_encode(const uint8_t *pixels, int64_t h, int64_t w, int64_t c, uint8_t **png,
                              size_t *size, convt_error *err)
{
    writer out = {.message = "out of memory"};
    *png = NULL;
    *size = 0;
    if (h < 1 || w < 1 || h > 1000000 || w > 1000000 || (c != 1 && c != 3))
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "png",
                           "%lld x %lld with %lld channels cannot be a PNG", (long long)w,
                           (long long)h, (long long)c);
    out.png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, out.message, keep_message, ignore_warning);
    out.info = out.png ? png_create_info_struct(out.png) : NULL;
    bool done = out.info && write_image(&out, pixels, h, w, c);
    png_destroy_write_struct(&out.png, &out.info);
    if (!done) {
        free(out.data);
        return convti_fail(err, CONVT_NO_MEMORY, "png", "%lld x %lld cannot be encoded: %s",
                           (long long)w, (long long)h, out.message);
    }
    *png = out.data;
    *size = out.size;
    return CONVT_OK;
}

convt_status convt_png_write(const char *path, const uint8_t *pixels, int64_t h, int64_t w,
                             int64_t c, convt_error *err)
{
    uint8_t *png;
    size_t size;
    convt_status status = convt_png_encode(pixels, h, w, c, &png, &size, err);
    if (!status) status = convt_file_write(path, png, size, err);
    free(png);
    return status;
}
