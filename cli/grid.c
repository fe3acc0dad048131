/*
 * A picture made of small pictures; see grid.h.
 */
#include "grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    VISIBLE = 56,
    GAP = 4,
    NEAR_GAP = 1,
    BACKGROUND = 0xff,
    COMFORTABLE_WIDTH = 1000,
    DRAWABLE_SIDE = 4
};

bool drawable(convt_shape shape)
{
    return (shape.c == 1 || shape.c == 3) && shape.h >= DRAWABLE_SIDE && shape.w >= DRAWABLE_SIDE;
}

uint8_t grey_byte(float value)
{
    if (!(value > 0)) return 0;
    return value >= 1 ? 255 : (uint8_t)lroundf(value * 255);
}

static int64_t scale_for(int64_t w)
{
    return w >= VISIBLE ? 1 : (VISIBLE + w - 1) / w;
}

int64_t grid_columns(int64_t w, int64_t count)
{
    int64_t columns = COMFORTABLE_WIDTH / (w * scale_for(w) + GAP);
    columns = columns < 4 ? 4 : columns;
    return columns < count ? columns : count;
}

static int64_t row_top(const grid *g, int64_t row)
{
    int64_t groups = row / g->group;
    return GAP + row * g->h * g->scale + groups * GAP + (row - groups) * NEAR_GAP;
}

static int64_t column_left(const grid *g, int64_t column)
{
    return GAP + column * (g->w * g->scale + GAP);
}

bool grid_open(grid *g)
{
    if (g->scale == 0) g->scale = scale_for(g->w);
    g->height = row_top(g, g->rows);
    g->width = column_left(g, g->columns);
    size_t size = (size_t)g->height * (size_t)g->width * (size_t)g->c;
    g->pixels = malloc(size);
    if (g->pixels) memset(g->pixels, BACKGROUND, size);
    return g->pixels != NULL;
}

void grid_close(grid *g)
{
    free(g->pixels);
    g->pixels = NULL;
}

void grid_put(grid *g, int64_t row, int64_t column, const float *pixels)
{
    int64_t top = row_top(g, row), left = column_left(g, column);
    for (int64_t i = 0; i < g->h * g->scale; i++) {
        uint8_t *to = g->pixels + ((top + i) * g->width + left) * g->c;
        const float *from = pixels + i / g->scale * g->w * g->c;
        for (int64_t j = 0; j < g->w * g->scale; j++) {
            for (int64_t c = 0; c < g->c; c++)
                to[j * g->c + c] = grey_byte(from[j / g->scale * g->c + c]);
        }
    }
}

convt_status grid_write(const grid *g, const char *path, convt_error *err)
{
    return convt_png_write(path, g->pixels, g->height, g->width, g->c, err);
}
