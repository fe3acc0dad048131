/* PNG: what is written comes back, every kind of file is converted, and a folder's files must
 * agree. */
#include "support/close.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include <convt/io.h>

#include "png_folder.h"
#include "support/scratch.h"

/* Writes rows of packed pixels as a PNG of any kind, through libpng alone. */
static void write_kind(const char *name, int w, int h, int depth, int type, int interlace,
                       const uint8_t *rows, size_t row)
{
    FILE *file = fopen(scratch(name), "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[2] = {{10, 20, 30}, {200, 100, 50}};
    png_byte alpha[2] = {0, 255};
    assert_non_null(file);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 2);
        png_set_tRNS(png, info, alpha, 2, NULL);
    }
    png_write_info(png, info);
    png_bytep lines[64];
    assert_true(h <= 64);
    for (int y = 0; y < h; y++) lines[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * row);
    png_write_image(png, lines);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void check_pixels(const char *name, int64_t h, int64_t w, int64_t c, const uint8_t *pixels)
{
    convt_images image;
    convt_error err = {CONVT_OK, "", ""};
    size_t size;
    char *bytes = scratch_read(name, &size);
    if (convt_images_decode(bytes, size, name, &image, &err))
        fail_msg("%s: %s", err.field, err.message);
    free(bytes);
    assert_true(image.count == 1 && image.h == h && image.w == w && image.c == c);
    assert_int_equal(image.element, CONVT_ELEMENT_U8);
    assert_same_bits(image.data, pixels, (size_t)(h * w * c));
    convt_images_free(&image);
}

static void write_gray(const char *name, int h, int w, uint8_t value)
{
    uint8_t pixels[256];
    convt_error err;
    memset(pixels, value, sizeof pixels);
    assert_int_equal(convt_png_write(scratch(name), pixels, h, w, 1, &err), CONVT_OK);
}

static void check_folder_fails(convt_status expected, const char *field, const char *part)
{
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    convt_status status = convt_images_read(scratch(""), &images, &err);
    assert_int_equal(status, expected);
    if (field) assert_string_equal(err.field, field);
    if (!strstr(err.message, part)) fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_null(strchr(err.message, '\n'));
    assert_null(images.data);
}

static void check_folder_refused(const char *field, const char *part)
{
    check_folder_fails(CONVT_BAD_FORMAT, field, part);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void pixels_come_back(void **state)
{
    (void)state;
    uint8_t pixels[5 * 7 * 3];
    convt_error err;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37);
    assert_int_equal(convt_png_write(scratch("gray.png"), pixels, 5, 7, 1, &err), CONVT_OK);
    check_pixels("gray.png", 5, 7, 1, pixels);
    assert_int_equal(convt_png_write(scratch("rgb.png"), pixels, 5, 7, 3, &err), CONVT_OK);
    check_pixels("rgb.png", 5, 7, 3, pixels);
    scratch_clear();
}

static void impossible_pictures_are_not_encoded(void **state)
{
    (void)state;
    uint8_t pixel = 0, *png;
    size_t size;
    convt_error err;
    static const int64_t sizes[][3] = {{0, 1, 1}, {1, 0, 1}, {-1, 1, 1},
                                       {1, 1, 2}, {1, 1, 4}, {1, 2000000, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        convt_status status =
            convt_png_encode(&pixel, sizes[i][0], sizes[i][1], sizes[i][2], &png, &size, &err);
        assert_refused(status, &err, CONVT_INVALID_ARGUMENT, "png", "cannot be a PNG");
        assert_null(png);
    }
}

static void a_full_disk_leaves_the_old_picture(void **state)
{
    (void)state;
    static uint8_t noise[256 * 256];
    uint32_t random = 1;
    convt_error err;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    write_gray("a.png", 2, 2, 9);
    scratch_limit(10000);
    convt_status status = convt_png_write(scratch("a.png"), noise, 256, 256, 1, &err);
    scratch_limit((size_t)-1);
    assert_refused(status, &err, CONVT_FILE_FAILED, "a.png", "File too large");
    check_pixels("a.png", 2, 2, 1, (const uint8_t *)"\x09\x09\x09\x09");
    assert_int_equal(scratch_count(), 1);
    scratch_clear();
}

/* ---- every kind of file ---------------------------------------------------------------------- */

static void every_kind_becomes_gray_or_rgb(void **state)
{
    (void)state;
    const uint8_t bits[2] = {0xA0, 0x40}; /* 1 0 1 / 0 1 0 */
    const uint8_t two_bits[2] = {0x1B, 0xE4};
    const uint8_t deep[8] = {0x12, 0x34, 0xFF, 0xFF, 0x00, 0x00, 0x80, 0x80};
    const uint8_t gray_alpha[8] = {1, 0, 2, 128, 3, 255, 4, 0};
    const uint8_t rgba[16] = {1, 2, 3, 0, 4, 5, 6, 128, 7, 8, 9, 255, 10, 11, 12, 0};
    write_kind("a.png", 3, 2, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, bits, 1);
    check_pixels("a.png", 2, 3, 1, (const uint8_t *)"\xFF\x00\xFF\x00\xFF\x00");
    write_kind("a.png", 4, 2, 2, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, two_bits, 1);
    check_pixels("a.png", 2, 4, 1, (const uint8_t *)"\x00\x55\xAA\xFF\xFF\xAA\x55\x00");
    write_kind("a.png", 2, 2, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, deep, 4);
    check_pixels("a.png", 2, 2, 1, (const uint8_t *)"\x12\xFF\x00\x80");
    write_kind("a.png", 2, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_INTERLACE_NONE, gray_alpha, 4);
    check_pixels("a.png", 2, 2, 1, (const uint8_t *)"\x01\x02\x03\x04");
    write_kind("a.png", 2, 2, 8, PNG_COLOR_TYPE_RGB_ALPHA, PNG_INTERLACE_NONE, rgba, 8);
    check_pixels("a.png", 2, 2, 3,
                 (const uint8_t *)"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C");
    write_kind("a.png", 3, 2, 1, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, bits, 1);
    check_pixels("a.png", 2, 3, 3,
                 (const uint8_t
                      *)"\xC8\x64\x32\x0A\x14\x1E\xC8\x64\x32\x0A\x14\x1E\xC8\x64\x32\x0A\x14\x1E");
    scratch_clear();
}

static void interlaced_files_are_read(void **state)
{
    (void)state;
    uint8_t pixels[17 * 19];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 11);
    write_kind("a.png", 19, 17, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7, pixels, 19);
    check_pixels("a.png", 17, 19, 1, pixels);
    scratch_clear();
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    write_gray("a.png", 4, 5, 77);
    char *bytes = scratch_read("a.png", &size);
    for (size_t cut = 0; cut < size; cut++) {
        scratch_write("a.png", bytes, cut);
        check_folder_refused("a.png", "cannot be read as PNG: ");
    }
    free(bytes);
    scratch_clear();
}

static void every_byte_may_change(void **state)
{
    (void)state;
    size_t size;
    convt_images image;
    convt_error err;
    write_gray("a.png", 4, 5, 77);
    char *bytes = scratch_read("a.png", &size);
    for (size_t at = 0; at < size; at++) {
        for (int change = 1; change < 256; change += 23) {
            bytes[at] = (char)(bytes[at] ^ change);
            convt_images_decode(bytes, size, "a.png", &image, &err);
            convt_images_free(&image);
            bytes[at] = (char)(bytes[at] ^ change);
        }
    }
    free(bytes);
    scratch_clear();
}

/* A valid IHDR of a gigantic picture in a file of a hundred bytes. */
static void a_header_that_lies_about_the_size_is_refused(void **state)
{
    (void)state;
    size_t size;
    write_gray("a.png", 4, 5, 77);
    char *bytes = scratch_read("a.png", &size);
    for (size_t i = 16; i < 24; i += 4)
        memcpy(bytes + i, (const uint8_t[]){0, 0x0F, 0x42, 0x40}, 4); /* 1,000,000 */
    uLong crc = crc32(crc32(0, NULL, 0), (const Bytef *)bytes + 12, 17);
    for (int i = 0; i < 4; i++) bytes[29 + i] = (char)(crc >> (24 - 8 * i));
    scratch_write("a.png", bytes, size);
    check_folder_refused("a.png", "says it is 1000000 x 1000000, too much for its size");
    free(bytes);
    scratch_clear();
}

/* ---- folders --------------------------------------------------------------------------------- */

static void files_are_read_in_name_order(void **state)
{
    (void)state;
    convt_images images;
    convt_error err = {CONVT_OK, "", ""};
    write_gray("b.png", 2, 3, 2);
    write_gray("a.png", 2, 3, 1);
    write_gray("c10.PNG", 2, 3, 3);
    write_gray("c9.png", 2, 3, 4);
    scratch_write(".hidden.png", "no picture", 10);
    scratch_write("notes.txt", "no picture", 10);
    scratch_write("png", "no picture", 10);
    if (convt_images_read(scratch(""), &images, &err)) fail_msg("%s: %s", err.field, err.message);
    assert_true(images.count == 4 && images.h == 2 && images.w == 3 && images.c == 1);
    for (int i = 0; i < 24; i++) assert_int_equal(((uint8_t *)images.data)[i], i / 6 + 1);
    convt_images_free(&images);
    scratch_clear();
}

static void another_size_is_named_with_both(void **state)
{
    (void)state;
    uint8_t rgb[18] = {0};
    convt_error err;
    write_gray("a.png", 2, 3, 1);
    write_gray("b.png", 2, 3, 2);
    write_gray("c.png", 3, 2, 2);
    check_folder_refused("c.png", "is 2 x 3 with 1 channels, the first, a.png, is 3 x 2 with 1");
    assert_int_equal(convt_png_write(scratch("c.png"), rgb, 2, 3, 3, &err), CONVT_OK);
    check_folder_refused("c.png", "is 3 x 2 with 3 channels, the first, a.png, is 3 x 2 with 1");
    scratch_clear();
}

static void a_folder_without_pictures_is_refused(void **state)
{
    (void)state;
    check_folder_refused(NULL, "holds no PNG file");
    scratch_write("notes.txt", "no picture", 10);
    check_folder_refused(NULL, "holds no PNG file");
    scratch_write("a.png", "no picture", 10);
    check_folder_refused("a.png", "cannot be read as PNG: Not a PNG file");
    scratch_clear();
    assert_int_equal(mkdir(scratch("a.png"), 0700), 0);
    check_folder_fails(CONVT_FILE_FAILED, "a.png", "cannot be read: Is a directory");
    scratch_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_come_back),
        cmocka_unit_test(impossible_pictures_are_not_encoded),
        cmocka_unit_test(a_full_disk_leaves_the_old_picture),
        cmocka_unit_test(every_kind_becomes_gray_or_rgb),
        cmocka_unit_test(interlaced_files_are_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_byte_may_change),
        cmocka_unit_test(a_header_that_lies_about_the_size_is_refused),
        cmocka_unit_test(files_are_read_in_name_order),
        cmocka_unit_test(another_size_is_named_with_both),
        cmocka_unit_test(a_folder_without_pictures_is_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
