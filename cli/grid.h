/*
 * A picture made of small pictures in rows and columns: samples.png and what `convt sample` draws.
 */
#ifndef CONVT_GRID_H
#define CONVT_GRID_H

#include <convt/io.h>

typedef struct grid {
    int64_t rows, columns;
    int64_t h, w, c; /* of one cell, in its own pixels; c = 1 or 3 */
    int64_t group;   /* so many rows stand close together; 1 where all are alike; divides rows */
    int64_t scale; /* each pixel becomes scale x scale; 0: chosen so that a cell is well visible */
    int64_t height, width;
    uint8_t *pixels; /* height x width x c */
} grid;

/* Sets height, width and scale and takes memory, all background. False where there is none. */
bool grid_open(grid *grid);
void grid_close(grid *grid);

/* Draws h*w*c numbers in [0, 1] (others are clipped), channels last. */
void grid_put(grid *grid, int64_t row, int64_t column, const float *pixels);

/* The picture as a file. */
convt_status grid_write(const grid *grid, const char *path, convt_error *err);

/* Images that are drawn: 1 or 3 channels and more than a pixel or two. */
bool drawable(convt_shape shape);

/* 0..255 of a number in [0, 1]; NaN is 0. */
uint8_t grey_byte(float value);

/* How many cells of width w stand side by side in a picture of a comfortable width, at most
 * `count`. */
int64_t grid_columns(int64_t w, int64_t count);

#endif
