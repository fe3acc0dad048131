/*
 * A gradient check of somebody's own layer: y = tanh(w x + b), four inputs and three outputs, whose
 * author forgot the slope of tanh in dw. The check says which block is wrong and which element is
 * worst; without the bug it passes.
 *
 *     build/release/examples/gradcheck_your_layer
 */
#include <convt/gradcheck.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- somebody's layer ------------------------------------------------------------------------ */

enum { IN = 4, OUT = 3 };

typedef struct dense {
    double x[IN], w[OUT][IN], b[OUT];
    bool fixed;
} dense;

static convt_status forward(void *layer, const void *const inputs[], void *const outputs[])
{
    const dense *l = layer;
    double *y = outputs[0];
    (void)inputs; /* they are the layer's own arrays */
    for (int o = 0; o < OUT; o++) {
        y[o] = l->b[o];
        for (int i = 0; i < IN; i++) y[o] += l->w[o][i] * l->x[i];
        y[o] = tanh(y[o]);
    }
    return CONVT_OK;
}

static convt_status backward(void *layer, const void *const inputs[], const void *const outputs[],
                             const void *const output_gradients[], void *const gradients[])
{
    const dense *l = layer;
    const double *y = outputs[0], *dy = output_gradients[0];
    double *dx = gradients[0], *dw = gradients[1], *db = gradients[2];
    (void)inputs;
    for (int i = 0; i < IN; i++) dx[i] = 0;
    for (int o = 0; o < OUT; o++) {
        const double dz = dy[o] * (1 - y[o] * y[o]);
        for (int i = 0; i < IN; i++) {
            dx[i] += dz * l->w[o][i];
            dw[o * IN + i] = (l->fixed ? dz : dy[o]) * l->x[i]; /* the bug: dy for dz */
        }
        db[o] = dz;
    }
    return CONVT_OK;
}

/* ---- the check: twenty lines ----------------------------------------------------------------- */

static bool gradients_are_right(dense *l)
{
    const convt_gradcheck_block inputs[] = {
        {.name = "x", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {IN}, .data = l->x},
        {.name = "w", .dtype = CONVT_FLOAT64, .rank = 2, .dims = {OUT, IN}, .data = l->w},
        {.name = "b", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {OUT}, .data = l->b}};
    const convt_gradcheck_block outputs[] = {
        {.name = "y", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {OUT}}};
    const convt_gradcheck_problem problem = {inputs, 3, outputs, 1, forward, backward, l, NULL};
    convt_gradcheck_report report = {CONVT_GRADCHECK_NOT_RUN};
    const size_t size = convt_gradcheck_workspace(&problem, NULL, NULL);
    void *workspace = malloc(size);
    char text[2048];
    convt_gradcheck(&problem, NULL, workspace, size, &report, NULL);
    convt_gradcheck_text(&report, text, sizeof text);
    fputs(text, stdout);
    free(workspace);
    return report.verdict == CONVT_GRADCHECK_PASSED;
}

int main(void)
{
    dense layer = {.x = {0.5, -1, 0.25, 2},
                   .w = {{0.3, -0.2, 0.5, 0.1}, {-0.4, 0.6, 0.2, 0.3}, {0.1, 0.1, -0.7, 0.2}},
                   .b = {0.1, -0.3, 0.2}};
    const bool before = gradients_are_right(&layer);
    puts("\nand with the bug fixed:\n");
    layer.fixed = true;
    const bool after = gradients_are_right(&layer);
    return !before && after ? EXIT_SUCCESS : EXIT_FAILURE;
}
