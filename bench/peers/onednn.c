/*
 * oneDNN's deconvolution, called directly: a shape a line on stdin, a line of JSON on stdout with
 * the milliseconds of each pass in each format (protocol.py has the same for Python).
 *
 *     {"fwd": {"nhwc": 1.25, "nchw": 1.5, "any": 1.125}, "dx": {...}, "dw": {...}}
 *
 * `any` leaves the layout of x and y to oneDNN. Weights are in the layout it likes best throughout,
 * and what it costs to bring tensors into these layouts is not counted.
 *
 *     cc -O2 onednn.c -I$ROOT/include -L$ROOT/lib -Wl,-rpath,$ROOT/lib -ldnnl -o onednn
 */
#include <dnnl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 3, MOST_ARGS = 4 };
static const double block_seconds = 15e-3, long_call = 0.25;

enum pass { FWD, DX, DW, PASSES };
static const char *const pass_names[PASSES] = {"fwd", "dx", "dw"};
static const struct {
    const char *name;
    dnnl_format_tag_t tag;
} formats[] = {{"nhwc", dnnl_nhwc}, {"nchw", dnnl_nchw}, {"any", dnnl_format_tag_any}};
enum { FORMATS = sizeof formats / sizeof *formats };

/* What each pass reads and writes. */
static const struct {
    dnnl_query_t query;
    int arg;
} tensors[PASSES][MOST_ARGS] = {
    [FWD] = {{dnnl_query_src_md, DNNL_ARG_SRC},
             {dnnl_query_weights_md, DNNL_ARG_WEIGHTS},
             {dnnl_query_weights_md, DNNL_ARG_BIAS},
             {dnnl_query_dst_md, DNNL_ARG_DST}},
    [DX] = {{dnnl_query_diff_src_md, DNNL_ARG_DIFF_SRC},
            {dnnl_query_weights_md, DNNL_ARG_WEIGHTS},
            {dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST}},
    [DW] = {{dnnl_query_src_md, DNNL_ARG_SRC},
            {dnnl_query_diff_weights_md, DNNL_ARG_DIFF_WEIGHTS},
            {dnnl_query_diff_weights_md, DNNL_ARG_DIFF_BIAS},
            {dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST}},
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- a primitive and its tensors ------------------------------------------------------------- */

struct layer {
    dnnl_dims_t x, y, w, b, strides, dilates, begin, end;
};

/* Keras' output sizes and crops, but without rows and columns at the end that no tap reaches:
 * oneDNN 3.2 writes beyond its memory where a 1x1 kernel has some. */
static void axis(struct layer *l, int a, int64_t in, int64_t kernel, int64_t stride, int same,
                 int64_t dilation)
{
    const int64_t reach = (kernel - 1) * dilation + 1;
    const int64_t more = reach > stride ? reach - stride : 0;
    const int64_t natural = (in - 1) * stride + reach, keras = in * stride + (same ? 0 : more);
    const int64_t out = keras < natural ? keras : natural;
    l->strides[a] = stride;
    l->dilates[a] = dilation - 1;
    l->begin[a] = same ? more / 2 : 0;
    l->end[a] = natural - out - l->begin[a];
    l->x[2 + a] = in;
    l->y[2 + a] = out;
    l->w[2 + a] = kernel;
}

static int read_layer(const char *line, struct layer *l)
{
    long long v[11];
    if (sscanf(line, "%*s %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", v, v + 1, v + 2,
               v + 3, v + 4, v + 5, v + 6, v + 7, v + 8, v + 9, v + 10) != 11)
        return 0;
    l->x[0] = l->y[0] = v[0];
    l->x[1] = l->w[1] = v[3];
    l->y[1] = l->w[0] = l->b[0] = v[4];
    axis(l, 0, v[1], v[5], v[7], (int)v[9], v[10]);
    axis(l, 1, v[2], v[6], v[8], (int)v[9], v[10]);
    return 1;
}

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, const struct layer *l, enum pass pass,
                              dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t x, y, w, b;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_memory_desc_create_with_tag(&x, 4, l->x, dnnl_f32, tag);
    dnnl_memory_desc_create_with_tag(&y, 4, l->y, dnnl_f32, tag);
    dnnl_memory_desc_create_with_tag(&w, 4, l->w, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_create_with_tag(&b, 1, l->b, dnnl_f32, dnnl_x);
    dnnl_status_t status = dnnl_deconvolution_forward_primitive_desc_create(
        &forward, engine, dnnl_forward_training, dnnl_deconvolution_direct, x, w, b, y, l->strides,
        l->dilates, l->begin, l->end, NULL);
    if (status == dnnl_success && pass == DX)
        status = dnnl_deconvolution_backward_data_primitive_desc_create(
            pd, engine, dnnl_deconvolution_direct, x, w, y, l->strides, l->dilates, l->begin,
            l->end, forward, NULL);
    if (status == dnnl_success && pass == DW)
        status = dnnl_deconvolution_backward_weights_primitive_desc_create(
            pd, engine, dnnl_deconvolution_direct, x, w, b, y, l->strides, l->dilates, l->begin,
            l->end, forward, NULL);
    if (pass == FWD)
        *pd = forward;
    else if (forward)
        dnnl_primitive_desc_destroy(forward);
    const dnnl_memory_desc_t made[] = {x, y, w, b};
    for (int i = 0; i < 4; i++) dnnl_memory_desc_destroy(made[i]);
    return status;
}

/* Numbers that are neither denormal nor large, in whatever layout. */
static void fill(dnnl_memory_t memory, const_dnnl_memory_desc_t desc)
{
    void *data;
    dnnl_memory_get_data_handle(memory, &data);
    const size_t count = dnnl_memory_desc_get_size(desc) / sizeof(float);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        ((float *)data)[i] = (float)(state >> 16) / 65536.0f - 0.5f;
    }
}

/* ---- the clock ------------------------------------------------------------------------------- */

static double run(dnnl_primitive_t primitive, const dnnl_exec_arg_t args[], int count, int calls)
{
    const double start = now();
    for (int i = 0; i < calls; i++) dnnl_primitive_execute(primitive, stream, count, args);
    dnnl_stream_wait(stream);
    return (now() - start) / calls;
}

/* The median of a few blocks of calls; a call that takes long counts by itself. */
static double timed(dnnl_primitive_t primitive, const dnnl_exec_arg_t args[], int count)
{
    const double first = run(primitive, args, count, 1);
    if (first > long_call) return first;
    const int calls = 1 + (int)(block_seconds / run(primitive, args, count, 1));
    double t[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) t[i] = run(primitive, args, count, calls);
    const double low = t[0] < t[1] ? t[0] : t[1], high = t[0] < t[1] ? t[1] : t[0];
    return t[2] < low ? low : t[2] > high ? high : t[2];
}

/* Milliseconds; 0 where oneDNN has no such primitive. */
static double measure(const struct layer *l, enum pass pass, dnnl_format_tag_t tag)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    if (describe(&pd, l, pass, tag) != dnnl_success) return 0;
    if (dnnl_primitive_create(&primitive, pd) != dnnl_success) return 0;
    dnnl_exec_arg_t args[MOST_ARGS];
    int count = 0;
    for (; count < MOST_ARGS && tensors[pass][count].arg; count++) {
        const int arg = tensors[pass][count].arg;
        const int second = arg == DNNL_ARG_BIAS || arg == DNNL_ARG_DIFF_BIAS;
        const_dnnl_memory_desc_t desc =
            dnnl_primitive_desc_query_md(pd, tensors[pass][count].query, second);
        args[count].arg = arg;
        dnnl_memory_create(&args[count].memory, desc, engine, DNNL_MEMORY_ALLOCATE);
        fill(args[count].memory, desc);
    }
    const double seconds = timed(primitive, args, count);
    for (int i = 0; i < count; i++) dnnl_memory_destroy(args[i].memory);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
    return seconds * 1e3;
}

static void answer(const struct layer *l)
{
    for (int p = 0; p < PASSES; p++) {
        const char *comma = "";
        printf("%s\"%s\": {", p ? ", " : "{", pass_names[p]);
        for (int f = 0; f < FORMATS; f++) {
            const double ms = measure(l, (enum pass)p, formats[f].tag);
            if (ms <= 0) continue;
            printf("%s\"%s\": %.6g", comma, formats[f].name, ms);
            comma = ", ";
        }
        printf("}");
    }
    printf("}\n");
    fflush(stdout);
}

int main(void)
{
    const dnnl_version_t *v = dnnl_version();
    char line[512];
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) return 1;
    if (dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) return 1;
    printf("{\"version\": \"%d.%d.%d\"}\n", v->major, v->minor, v->patch);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        struct layer l;
        if (read_layer(line, &l))
            answer(&l);
        else
            printf("{}\n");
        fflush(stdout);
    }
    return 0;
}
