/*
 * What tests/instructions.sh counts: one thread runs every pass of small layers, chosen so that each
 * formulation is met, with a tail in some dimension. Each call of `measured` is a row, and prints its
 * name; a pass runs once before, so that packing is not counted, but forward, which packs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "convt/convt.h"

struct desk {
    convt_layer *layer;
    convt_view x, z, y, dy, dx;
};

typedef convt_status pass(struct desk *d);

static convt_status forward(struct desk *d)
{
    convt_layer_touch(d->layer); /* weights are packed again, as behind a step */
    return convt_forward_z(d->layer, convt_read(d->x), d->z, d->y);
}

static convt_status dx(struct desk *d)
{
    return convt_backward_data(d->layer, convt_read(CONVT_NONE), convt_read(d->z), convt_read(d->y),
                               convt_read(d->dy), d->dx, 1);
}

static convt_status dw(struct desk *d)
{
    return convt_backward_data(d->layer, convt_read(d->x), convt_read(d->z), convt_read(d->y),
                               convt_read(d->dy), CONVT_NONE, 1);
}

/* valgrind knows it by its name; a pointer that may change keeps compilers from inlining or cloning it. */
static convt_status measured(pass *run, struct desk *d)
{
    const convt_status status = run(d);
    __asm__ volatile("" ::: "memory"); /* not a tail call */
    return status;
}
static convt_status (*volatile const measure)(pass *run, struct desk *d) = measured;

static convt_view tensor(convt_dtype dtype, int64_t n, convt_shape s)
{
    const int64_t count = n * s.h * s.w * s.c;
    convt_view v = {calloc((size_t)count, sizeof(double)), dtype, n, s.h, s.w, s.c};
    for (int64_t i = 0; v.data && i < count; i++) {
        const double value = (double)(i * 37 % 101) / 101 - 0.5;
        if (dtype == CONVT_FLOAT64)
            ((double *)v.data)[i] = value;
        else
            ((float *)v.data)[i] = (float)value;
    }
    return v;
}

static bool run_layer(const char *name, convt_config cfg)
{
    static const struct {
        const char *name;
        pass *run;
    } passes[] = {{"forward", forward}, {"dx", dx}, {"dw", dw}};
    struct desk d;
    convt_error err;
    if (convt_layer_create(&d.layer, &cfg, &err) != CONVT_OK) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        return false;
    }
    const convt_shape y = convt_layer_output(d.layer);
    d.x = tensor(cfg.dtype, cfg.max_batch, cfg.input);
    d.dx = tensor(cfg.dtype, cfg.max_batch, cfg.input);
    d.z = tensor(cfg.dtype, cfg.max_batch, y);
    d.y = tensor(cfg.dtype, cfg.max_batch, y);
    d.dy = tensor(cfg.dtype, cfg.max_batch, y);
    bool ok = true;
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        ok = ok && passes[i].run(&d) == CONVT_OK && measure(passes[i].run, &d) == CONVT_OK;
        printf("%s\t%s\t%s\t%s\n", name, passes[i].name, cfg.dtype == CONVT_FLOAT64 ? "f64" : "f32",
               cfg.data_format == CONVT_CHANNELS_FIRST ? "nchw" : "nhwc");
    }
    convt_view *const views[] = {&d.x, &d.dx, &d.z, &d.y, &d.dy};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) free(views[i]->data);
    convt_layer_destroy(d.layer);
    return ok;
}

int main(void)
{
    /* Names say input, filters, kernel, stride. */
    static const struct {
        const char *name;
        convt_config cfg;
    } layers[] = {
        {"7x7x64-48-k3s2",
         {.input = {7, 7, 64},
          .max_batch = 2,
          .filters = 48,
          .kernel_size = {3, 3},
          .strides = {2, 2},
          .padding = CONVT_SAME,
          .activation = {.kind = CONVT_RELU}}},
        {"9x5x37-21-k5s3",
         {.input = {9, 5, 37},
          .max_batch = 2,
          .filters = 21,
          .kernel_size = {5, 5},
          .strides = {3, 3}}},
        {"16x16x64-32-k2s2",
         {.input = {16, 16, 64},
          .max_batch = 1,
          .filters = 32,
          .kernel_size = {2, 2},
          .strides = {2, 2}}},
        {"14x14x32-1-k3s1",
         {.input = {14, 14, 32},
          .max_batch = 2,
          .filters = 1,
          .kernel_size = {3, 3},
          .padding = CONVT_SAME,
          .activation = {.kind = CONVT_SIGMOID}}},
        {"12x11x64-3-k4s2",
         {.input = {12, 11, 64},
          .max_batch = 2,
          .filters = 3,
          .kernel_size = {4, 4},
          .strides = {2, 2},
          .padding = CONVT_SAME,
          .activation = {.kind = CONVT_TANH}}},
        {"20x20x24-1-k9s2",
         {.input = {20, 20, 24},
          .max_batch = 1,
          .filters = 1,
          .kernel_size = {9, 9},
          .strides = {2, 2},
          .padding = CONVT_SAME}},
        {"8x8x21-21-k16s8",
         {.input = {8, 8, 21},
          .max_batch = 1,
          .filters = 21,
          .kernel_size = {16, 16},
          .strides = {8, 8},
          .padding = CONVT_SAME}},
        {"9x2x390-1-k8s3",
         {.input = {9, 2, 390},
          .max_batch = 1,
          .filters = 1,
          .kernel_size = {8, 8},
          .strides = {3, 3}}},
        {"16x16x3-24-k3s1",
         {.input = {16, 16, 3},
          .max_batch = 2,
          .filters = 24,
          .kernel_size = {3, 3},
          .activation = {.kind = CONVT_GELU}}},
        {"1x1x100-96-k4s1",
         {.input = {1, 1, 100}, .max_batch = 8, .filters = 96, .kernel_size = {4, 4}}},
        {"10x10x16-20-k3d2",
         {.input = {10, 10, 16},
          .max_batch = 2,
          .filters = 20,
          .kernel_size = {3, 3},
          .dilation_rate = {2, 2},
          .activation = {.kind = CONVT_SOFTMAX}}},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int k = 0; k < 4; k++) {
            convt_config cfg = layers[i].cfg;
            cfg.threads = 1;
            cfg.dtype = k & 1 ? CONVT_FLOAT64 : CONVT_FLOAT32;
            cfg.data_format = k & 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
            ok = run_layer(layers[i].name, cfg) && ok;
        }
    return ok ? 0 : 1;
}
