/* An outside program: a layer forward and backward, with numbers that are known. */
#include <convt/convt.h>
#ifdef WITH_IO
#include <convt/io.h>
#endif
#include <stdio.h>
#include <string.h>

enum { N = 4, H = 10, W = 8, C = 128, F = 32 };
static float x[N * H * W * C], dx[N * H * W * C], y[N * 2 * H * 2 * W * F],
    dy[N * 2 * H * 2 * W * F];

static int fail(const char *what, const convt_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err->field, err->message);
    return 1;
}

int main(void)
{
    if (strcmp(convt_version(), CONVT_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", CONVT_VERSION, convt_version());
        return 1;
    }
    convt_config cfg = {.input = {H, W, C},
                        .max_batch = N,
                        .filters = F,
                        .kernel_size = {2, 2},
                        .strides = {2, 2},
                        .activation = {.kind = CONVT_RELU},
                        .kernel_initializer = {.kind = CONVT_ONES}};
    convt_error err = {0};
    convt_layer *layer;
    if (convt_layer_create(&layer, &cfg, &err)) return fail("create", &err);

    convt_shape out = convt_layer_output(layer);
    if (out.h != 2 * H || out.w != 2 * W || out.c != F) return fail("output shape", &err);
    for (int i = 0; i < N * H * W * C; i++) x[i] = 1;
    for (int i = 0; i < N * 2 * H * 2 * W * F; i++) dy[i] = 1;
    convt_view vy = convt_f32(y, N, out.h, out.w, out.c);
    const float *cx = x, *cdy = dy;
    if (convt_forward(layer, convt_f32(cx, N, H, W, C), vy))
        return fail("forward", convt_layer_error(layer));
    if (convt_backward(layer, convt_f32(cx, N, H, W, C), convt_read(vy),
                       convt_f32(cdy, N, out.h, out.w, out.c), convt_f32(dx, N, H, W, C)))
        return fail("backward", convt_layer_error(layer));

    /* With all ones every output sums C products, and every input reaches 2 * 2 * F outputs. */
    for (int i = 0; i < N * 2 * H * 2 * W * F; i++)
        if (y[i] != C) return fail("y", &err);
    for (int i = 0; i < N * H * W * C; i++)
        if (dx[i] != 4 * F) return fail("dx", &err);
#ifdef WITH_IO
    convt_array none = {0};
    if (convt_npy_read("no such file.npy", &none, &err) == CONVT_OK)
        return fail("convt_npy_read", &err);
#endif
    printf("convt %s, %s: 4x10x8x128 -> %dx%dx%dx%d\n", convt_version(), convt_layer_isa(layer), N,
           (int)out.h, (int)out.w, (int)out.c);
    convt_layer_destroy(layer);
    return 0;
}
