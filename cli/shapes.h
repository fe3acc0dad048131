/*
 * The layers that `convt bench` measures: lines of a shapes file, the list that comes along, or
 * seeded random ones.
 *
 *     name n ih iw ic oc kh kw sh sw same dil
 *
 * n samples of ih x iw x ic, oc filters of kh x kw, strides sh and sw, padding same (1) or valid
 * (0), dilation dil in both axes.
 */
#ifndef CONVT_SHAPES_H
#define CONVT_SHAPES_H

#include <convt/convt.h>
#include <stdio.h>

enum { SHAPE_NAME = 64 };

typedef struct shape {
    char name[SHAPE_NAME];
    convt_config cfg; /* input, max_batch, filters, kernel_size, strides, padding, dilation_rate */
} shape;

/* Reads a line. False where it is none. */
bool shape_read(const char *line, shape *shape);
void shape_write(FILE *out, const shape *shape);

/* Lines of bench/shapes.txt, in its order; NULL behind the last one. */
const char *shape_of_list(int index);

/* The index-th of the shapes of a seed: kernels of 1 to 9, strides of 1 to 4, up to 2048 channels
 * and 512 filters, 0.05 to 5 GFLOP. */
void shape_draw(uint64_t seed, int index, shape *shape);

/*
 * Flops of a pass: 2 for each pair of a position of x and a tap, for each sample, channel and
 * filter. Nominal ones count every pair, useful ones those whose output is there.
 */
struct flops {
    double nominal, useful;
};

/* 0 and 0 where the config is refused. */
struct flops shape_flops(const convt_config *cfg);

#endif
