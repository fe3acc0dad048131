/*
 * One layer: 4 images of 10 x 8 with 128 channels become 4 of 20 x 16 with 32 channels.
 *
 *     build/release/examples/seed
 */
#include <convt/convt.h>

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const convt_config config = {
        .input = {10, 8, 128},
        .max_batch = 4,
        .filters = 32,
        .kernel_size = {2, 2},
        .strides = {2, 2},
        .activation = {.kind = CONVT_RELU},
    };
    convt_error err;
    convt_layer *layer;
    if (convt_layer_create(&layer, &config, &err)) {
        fprintf(stderr, "%s: %s\n", err.field, err.message);
        return EXIT_FAILURE;
    }

    const convt_shape out = convt_layer_output(layer);
    const int64_t x_size = (int64_t)4 * 10 * 8 * 128, y_size = 4 * out.h * out.w * out.c;
    float *x = malloc((size_t)x_size * sizeof *x), *y = malloc((size_t)y_size * sizeof *y);
    convt_status status = x && y ? CONVT_OK : CONVT_NO_MEMORY;
    if (!status) {
        for (int64_t i = 0; i < x_size; i++) x[i] = (float)(i % 7) - 3;
        status = convt_forward(layer, convt_read(convt_f32(x, 4, 10, 8, 128)),
                               convt_f32(y, 4, out.h, out.w, out.c));
    }

    double sum = 0;
    for (int64_t i = 0; !status && i < y_size; i++) sum += (double)y[i];
    if (status)
        fprintf(stderr, "forward: %s\n", convt_status_text(status));
    else
        printf("4x10x8x128 -> 4x%dx%dx%d on %s, mean of y %.4f\n", (int)out.h, (int)out.w,
               (int)out.c, convt_layer_isa(layer), sum / (double)y_size);

    free(x);
    free(y);
    convt_layer_destroy(layer);
    return status || out.h != 20 || out.w != 16 || out.c != 32 ? EXIT_FAILURE : EXIT_SUCCESS;
}
