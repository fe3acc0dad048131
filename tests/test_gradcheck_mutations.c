/*
 * Does the gradient check catch what people get wrong? A transposed convolution in plain double
 * loops, with tanh, L2 on the kernel and on y, and a list of classic mistakes in its backward pass.
 * Each must be caught in every mode, in the blocks that are wrong and in no other; without a
 * mistake the check passes.
 *
 *   z[n,o,f] = b[f] + sum x[n,i,c] w[t,f,c],  o = 2 i + 3 t - 1
 *   y = tanh(z),  loss = l2 sum w^2 + a / n sum y^2
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convt/gradcheck.h"
#include "support/close.h"
#include "support/values.h"

enum {
    N = 3,
    H = 4,
    W = 3,
    C = 2,
    KH = 3,
    KW = 2,
    F = 3,
    STRIDE = 2,
    DILATION = 3,
    CROP = 1,
    OH = (H - 1) * STRIDE + (KH - 1) * DILATION + 1 - 2 * CROP,
    OW = (W - 1) * STRIDE + (KW - 1) * DILATION + 1 - 2 * CROP,
    X_COUNT = N * H * W * C,
    W_COUNT = KH * KW * F * C,
    Y_COUNT = N * OH * OW * F
};
static const double l2 = 0.03, activity = 0.2;

enum mistake {
    NONE,
    STRIDE_FORGOTTEN_IN_DW,
    KERNEL_FLIPPED_IN_DX,
    DW_FLIPPED,
    DW_TRANSPOSED,
    BIAS_OVER_WRONG_AXIS,
    SLOPE_AT_Y,
    SLOPE_FORGOTTEN,
    DW_ACCUMULATED,
    DB_ACCUMULATED,
    DX_MISSES_LAST_ROW,
    DX_LEAVES_FIRST_ROW,
    DW_OVER_BATCH,
    PHASE_DROPPED_IN_DX,
    TAP_PHASE_DROPPED_IN_DW,
    L2_HALF,
    L2_FORGOTTEN,
    CROP_OFF_BY_ONE_IN_DX,
    DILATION_IGNORED_IN_DW,
    CHANNELS_SWAPPED_IN_DX,
    ACTIVITY_FORGOTTEN,
    ACTIVITY_NOT_DIVIDED,
    DB_OF_ONE_IMAGE,
    DW_OF_LAST_IMAGE,
    DX_SIGN,
    DB_ZERO,
    DX_SHIFTED,
    DW_OUT_OF_BOUNDS,
    DX_BEFORE_BOUNDS,
    NOT_DETERMINISTIC,
    WRITES_X,
    WRITES_DY,
    DX_NAN,
    MISTAKES
};

struct layer {
    double x[X_COUNT], w[W_COUNT], b[F];
    enum mistake mistake;
    int calls;
};

static int64_t at_x(int64_t n, int64_t h, int64_t w, int64_t c)
{
    return ((n * H + h) * W + w) * C + c;
}

static int64_t at_y(int64_t n, int64_t h, int64_t w, int64_t f)
{
    return ((n * OH + h) * OW + w) * F + f;
}

static int64_t at_w(int64_t kh, int64_t kw, int64_t f, int64_t c)
{
    return ((kh * KW + kw) * F + f) * C + c;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* A meeting of x[n,h,w] with tap kh,kw at y[n,oh,ow]. */
struct meeting {
    int64_t n, h, w, kh, kw, oh, ow;
};

/* The index-th meeting under other strides, dilations and crops, which mistakes use; false where
 * it falls outside. */
static bool meet(int64_t index, int64_t stride, int64_t dilation, int64_t crop, struct meeting *m)
{
    m->kw = index % KW, index /= KW;
    m->kh = index % KH, index /= KH;
    m->w = index % W, index /= W;
    m->h = index % H, m->n = index / H;
    m->oh = m->h * stride + m->kh * dilation - crop;
    m->ow = m->w * stride + m->kw * dilation - crop;
    return m->oh >= 0 && m->oh < OH && m->ow >= 0 && m->ow < OW;
}

enum { MEETINGS = N * H * W * KH * KW };

static void pre_activation(const struct layer *l, double z[])
{
    struct meeting m;
    for (int64_t j = 0; j < Y_COUNT; j++) z[j] = l->b[j % F];
    for (int64_t i = 0; i < MEETINGS; i++) {
        if (!meet(i, STRIDE, DILATION, CROP, &m)) continue;
        for (int64_t f = 0; f < F; f++)
            for (int64_t c = 0; c < C; c++)
                z[at_y(m.n, m.oh, m.ow, f)] += l->x[at_x(m.n, m.h, m.w, c)] *
                                               l->w[at_w(m.kh, m.kw, f, c)];
    }
}

static convt_status forward(void *context, const void *const inputs[], void *const outputs[])
{
    const struct layer *l = context;
    double *y = outputs[0], *loss = outputs[1];
    (void)inputs;
    pre_activation(l, y);
    *loss = 0;
    for (int64_t j = 0; j < Y_COUNT; j++) {
        y[j] = tanh(y[j]);
        *loss += activity / N * y[j] * y[j];
    }
    for (int64_t i = 0; i < W_COUNT; i++) *loss += l2 * l->w[i] * l->w[i];
    return CONVT_OK;
}

/* ---- backward, with mistakes ----------------------------------------------------------------- */

static void slopes(const struct layer *l, const double y[], const double dy[], double dz[])
{
    double term = 2 * activity / N;
    if (l->mistake == ACTIVITY_FORGOTTEN) term = 0;
    if (l->mistake == ACTIVITY_NOT_DIVIDED) term *= N;
    for (int64_t j = 0; j < Y_COUNT; j++) {
        double slope = 1 - y[j] * y[j];
        if (l->mistake == SLOPE_AT_Y) slope = 1 - tanh(y[j]) * tanh(y[j]);
        if (l->mistake == SLOPE_FORGOTTEN) slope = 1;
        dz[j] = (dy[j] + term * y[j]) * slope;
    }
}

static void backward_x(const struct layer *l, const double dz[], double dx[])
{
    const enum mistake wrong = l->mistake;
    struct meeting m;
    for (int64_t i = wrong == DX_LEAVES_FIRST_ROW ? W * C : 0; i < X_COUNT; i++) dx[i] = 0;
    for (int64_t i = 0; i < MEETINGS; i++) {
        if (!meet(i, STRIDE, DILATION, wrong == CROP_OFF_BY_ONE_IN_DX ? 0 : CROP, &m)) continue;
        if (wrong == DX_MISSES_LAST_ROW && m.h == H - 1) continue;
        if (wrong == DX_LEAVES_FIRST_ROW && m.n == 0 && m.h == 0) continue;
        if (wrong == PHASE_DROPPED_IN_DX && m.oh % STRIDE == 1 && m.ow % STRIDE == 0) continue;
        const bool flip = wrong == KERNEL_FLIPPED_IN_DX;
        const int64_t kh = flip ? KH - 1 - m.kh : m.kh, kw = flip ? KW - 1 - m.kw : m.kw;
        const int64_t h = wrong == DX_SHIFTED ? m.h + 1 : m.h;
        for (int64_t f = 0; f < F && h < H; f++)
            for (int64_t c = 0; c < C; c++)
                dx[at_x(m.n, h, m.w, wrong == CHANNELS_SWAPPED_IN_DX ? C - 1 - c : c)] +=
                    dz[at_y(m.n, m.oh, m.ow, f)] * l->w[at_w(kh, kw, f, c)];
    }
    for (int64_t i = 0; i < X_COUNT && wrong == DX_SIGN; i++) dx[i] = -dx[i];
    if (wrong == DX_BEFORE_BOUNDS) dx[-1] = 0;
    if (wrong == DX_NAN) dx[X_COUNT / 2] = (double)NAN;
}

/* Where a w goes. */
static int64_t place_in_dw(enum mistake wrong, const struct meeting *m, int64_t f, int64_t c)
{
    if (wrong == DW_FLIPPED) return at_w(KH - 1 - m->kh, KW - 1 - m->kw, f, c);
    if (wrong == DW_TRANSPOSED) return ((m->kh * KW + m->kw) * C + c) * F + f;
    return at_w(m->kh, m->kw, f, c);
}

static void backward_w(const struct layer *l, const double dz[], double dw[])
{
    const enum mistake wrong = l->mistake;
    struct meeting m;
    for (int64_t i = 0; i < W_COUNT && wrong != DW_ACCUMULATED; i++) dw[i] = 0;
    for (int64_t i = 0; i < MEETINGS; i++) {
        if (!meet(i, wrong == STRIDE_FORGOTTEN_IN_DW ? 1 : STRIDE,
                  wrong == DILATION_IGNORED_IN_DW ? 1 : DILATION, CROP, &m))
            continue;
        if (wrong == DW_OF_LAST_IMAGE && m.n < N - 1) continue;
        if (wrong == TAP_PHASE_DROPPED_IN_DW && m.kh % 2 == 1) continue;
        for (int64_t f = 0; f < F; f++)
            for (int64_t c = 0; c < C; c++)
                dw[place_in_dw(wrong, &m, f, c)] += dz[at_y(m.n, m.oh, m.ow, f)] *
                                                    l->x[at_x(m.n, m.h, m.w, c)] /
                                                    (wrong == DW_OVER_BATCH ? N : 1);
    }
    const double factor = wrong == L2_HALF ? 1 : wrong == L2_FORGOTTEN ? 0 : 2;
    for (int64_t i = 0; i < W_COUNT; i++) dw[i] += factor * l2 * l->w[i];
    if (wrong == DW_OUT_OF_BOUNDS) dw[W_COUNT] = 0;
    if (wrong == NOT_DETERMINISTIC) dw[0] += 1e-13 * l->calls;
}

static void backward_b(const struct layer *l, const double dz[], double db[])
{
    const enum mistake wrong = l->mistake;
    for (int64_t f = 0; f < F && wrong != DB_ACCUMULATED; f++) db[f] = 0;
    for (int64_t j = 0; j < Y_COUNT && wrong != DB_ZERO; j++) {
        if (wrong == DB_OF_ONE_IMAGE && j >= Y_COUNT / N) continue;
        db[wrong == BIAS_OVER_WRONG_AXIS ? j / F % F : j % F] += dz[j];
    }
}

static convt_status backward(void *context, const void *const inputs[], const void *const outputs[],
                             const void *const output_gradients[], void *const gradients[])
{
    struct layer *l = context;
    double dz[Y_COUNT];
    (void)inputs;
    l->calls++;
    slopes(l, outputs[0], output_gradients[0], dz);
    backward_x(l, dz, gradients[0]);
    backward_w(l, dz, gradients[1]);
    backward_b(l, dz, gradients[2]);
    if (l->mistake == WRITES_X) l->x[3] *= 0.5;
    if (l->mistake == WRITES_DY) memcpy((void *)output_gradients[0], dz, sizeof dz);
    return CONVT_OK;
}

/* ---- what must be found ---------------------------------------------------------------------- */

enum { BLOCK_X = 1, BLOCK_W = 2, BLOCK_B = 4, ALL = 7 };

/* The verdict, the blocks whose gradient is wrong, and a word of the pattern in the first of
 * them. */
static const struct expectation {
    enum mistake mistake;
    const char *what;
    convt_gradcheck_verdict verdict;
    int blocks;
    const char *pattern; /* NULL: none is promised */
} expectations[] = {
    {NONE, "no mistake", CONVT_GRADCHECK_PASSED, 0, NULL},
    {STRIDE_FORGOTTEN_IN_DW, "stride forgotten in dw", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W,
     NULL},
    {KERNEL_FLIPPED_IN_DX, "kernel flipped in dx", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X, NULL},
    {DW_FLIPPED, "dw flipped", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W, NULL},
    {DW_TRANSPOSED, "dw transposed", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W, NULL},
    {BIAS_OVER_WRONG_AXIS, "db summed over the wrong axis", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_B,
     NULL},
    {SLOPE_AT_Y, "slope of the activation at y", CONVT_GRADCHECK_WRONG_GRADIENT, ALL, NULL},
    {SLOPE_FORGOTTEN, "slope of the activation forgotten", CONVT_GRADCHECK_WRONG_GRADIENT, ALL,
     NULL},
    {DW_ACCUMULATED, "dw added to", CONVT_GRADCHECK_NOT_OVERWRITTEN, BLOCK_W,
     "every element: the gradient is added"},
    {DB_ACCUMULATED, "db added to", CONVT_GRADCHECK_NOT_OVERWRITTEN, BLOCK_B,
     "added to what was there"},
    {DX_MISSES_LAST_ROW, "dx misses the last row", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X,
     "only where h = 3 (a border) is 0"},
    {DX_LEAVES_FIRST_ROW, "a row of dx is not written", CONVT_GRADCHECK_NOT_OVERWRITTEN, BLOCK_X,
     "n = 0 and h = 0: the gradient is never written"},
    {DW_OVER_BATCH, "1 / batch on dw only", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W, NULL},
    {PHASE_DROPPED_IN_DX, "one phase dropped in dx", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X, NULL},
    {TAP_PHASE_DROPPED_IN_DW, "taps of one phase dropped in dw", CONVT_GRADCHECK_WRONG_GRADIENT,
     BLOCK_W, "kh = 1"},
    {L2_HALF, "L2 without its factor 2", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W,
     "every element is off by -0.03 times the element's own value"},
    {L2_FORGOTTEN, "L2 forgotten", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W,
     "off by -0.06 times the element's own value"},
    {CROP_OFF_BY_ONE_IN_DX, "padding off by one in dx", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X,
     NULL},
    {DILATION_IGNORED_IN_DW, "dilation ignored in dw", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W,
     NULL},
    {CHANNELS_SWAPPED_IN_DX, "channels of dx swapped", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X,
     "flipped along c"},
    {ACTIVITY_FORGOTTEN, "activity regularizer forgotten", CONVT_GRADCHECK_WRONG_GRADIENT, ALL,
     NULL},
    {ACTIVITY_NOT_DIVIDED, "activity regularizer not divided by the batch",
     CONVT_GRADCHECK_WRONG_GRADIENT, ALL, NULL},
    {DB_OF_ONE_IMAGE, "db of one image", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_B, NULL},
    {DW_OF_LAST_IMAGE, "dw of the last image", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_W, NULL},
    {DX_SIGN, "dx negated", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X,
     "every element has the wrong sign"},
    {DB_ZERO, "db forgotten", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_B, "every element is 0"},
    {DX_SHIFTED, "dx one row down", CONVT_GRADCHECK_WRONG_GRADIENT, BLOCK_X, "off by one along h"},
    {DW_OUT_OF_BOUNDS, "dw written behind its end", CONVT_GRADCHECK_WROTE_OUTSIDE, BLOCK_W, NULL},
    {DX_BEFORE_BOUNDS, "dx written before its start", CONVT_GRADCHECK_WROTE_OUTSIDE, BLOCK_X, NULL},
    {NOT_DETERMINISTIC, "dw differs from call to call", CONVT_GRADCHECK_NOT_REPEATABLE, BLOCK_W,
     NULL},
    {WRITES_X, "x written to", CONVT_GRADCHECK_WROTE_INPUT, BLOCK_X, NULL},
    {WRITES_DY, "dy written to", CONVT_GRADCHECK_WROTE_OUTPUT, 0, NULL},
    {DX_NAN, "a NaN in dx", CONVT_GRADCHECK_NOT_FINITE, BLOCK_X, NULL},
};

static void set_up(struct layer *l, enum mistake mistake)
{
    *l = (struct layer){.mistake = mistake};
    values_random(convt_f64(l->x, N, H, W, C), 1, -1, 1);
    values_random(convt_f64(l->w, KH, KW, F, C), 2, -1, 1);
    values_random(convt_f64(l->b, 1, 1, 1, F), 3, -1, 1);
}

static void check(struct layer *l, const convt_gradcheck_options *options,
                  convt_gradcheck_report *report)
{
    const convt_gradcheck_block inputs[] = {{.name = "x",
                                             .dtype = CONVT_FLOAT64,
                                             .rank = 4,
                                             .dims = {N, H, W, C},
                                             .axis = {"n", "h", "w", "c"},
                                             .data = l->x},
                                            {.name = "kernel",
                                             .dtype = CONVT_FLOAT64,
                                             .rank = 4,
                                             .dims = {KH, KW, F, C},
                                             .axis = {"kh", "kw", "f", "c"},
                                             .data = l->w},
                                            {.name = "bias",
                                             .dtype = CONVT_FLOAT64,
                                             .rank = 1,
                                             .dims = {F},
                                             .axis = {"f"},
                                             .data = l->b}};
    const convt_gradcheck_block outputs[] = {
        {.name = "y", .dtype = CONVT_FLOAT64, .rank = 4, .dims = {N, OH, OW, F}},
        {.name = "loss", .dtype = CONVT_FLOAT64, .rank = 0, .added = true}};
    const convt_gradcheck_problem p = {inputs, 3, outputs, 2, forward, backward, l, NULL};
    convt_error err;
    const size_t size = convt_gradcheck_workspace(&p, options, &err);
    void *workspace = malloc(size);
    assert_non_null(workspace);
    if (convt_gradcheck(&p, options, workspace, size, report, &err))
        fail_msg("%s: %s", err.field, err.message);
    free(workspace);
}

static void must_find(const struct expectation *e, const convt_gradcheck_report *r)
{
    static const char *const names[] = {"x", "kernel", "bias"};
    char text[4096];
    int wrong = 0, named = 0, first = -1;
    convt_gradcheck_text(r, text, sizeof text);
    for (int i = 0; i < 3; i++) {
        if (r->rows[i].wrong > 0) wrong |= 1 << i;
        if (strcmp(r->block, names[i]) == 0) named = 1 << i;
        if (e->blocks >> i & 1 && first < 0) first = i;
    }
    if (r->verdict != e->verdict) fail_msg("%s: %s", e->what, text);
    if (e->verdict == CONVT_GRADCHECK_WRONG_GRADIENT && wrong != e->blocks)
        fail_msg("%s: blocks %d, not %d: %s", e->what, wrong, e->blocks, text);
    if ((named & e->blocks) != named || (e->blocks && !named))
        fail_msg("%s: names %s: %s", e->what, r->block, text);
    if (e->pattern && !strstr(r->rows[first].pattern, e->pattern))
        fail_msg("%s: no \"%s\" in: %s", e->what, e->pattern, text);
    if (r->verdict != CONVT_GRADCHECK_PASSED && !strstr(text, r->block))
        fail_msg("%s: the text does not name %s: %s", e->what, r->block, text);
}

static void every_mistake_is_caught(const convt_gradcheck_options *options)
{
    struct layer *l = malloc(sizeof *l);
    convt_gradcheck_report report;
    assert_non_null(l);
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        set_up(l, expectations[i].mistake);
        check(l, options, &report);
        must_find(&expectations[i], &report);
    }
    free(l);
}

static void every_element_finds_every_mistake(void **state)
{
    (void)state;
    every_mistake_is_caught(&(convt_gradcheck_options){.mode = CONVT_GRADCHECK_ELEMENTS});
}

static void directions_find_every_mistake(void **state)
{
    (void)state;
    every_mistake_is_caught(&(convt_gradcheck_options){.mode = CONVT_GRADCHECK_DIRECTIONS});
}

static void one_direction_finds_every_mistake_for_any_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        every_mistake_is_caught(&(convt_gradcheck_options){
            .mode = CONVT_GRADCHECK_DIRECTIONS, .count = 1, .seed = seed});
}

static void richardson_finds_every_mistake(void **state)
{
    (void)state;
    every_mistake_is_caught(
        &(convt_gradcheck_options){.richardson = true, .rtol = CONVT_SET(1e-8)});
}

static void a_sample_finds_every_mistake(void **state)
{
    (void)state;
    every_mistake_is_caught(
        &(convt_gradcheck_options){.mode = CONVT_GRADCHECK_SAMPLE, .count = 40});
}

static void every_mistake_is_in_the_list(void **state)
{
    (void)state;
    bool listed[MISTAKES] = {false};
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++)
        listed[expectations[i].mistake] = true;
    for (int m = 0; m < MISTAKES; m++) assert_true(listed[m]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_is_in_the_list),
        cmocka_unit_test(every_element_finds_every_mistake),
        cmocka_unit_test(directions_find_every_mistake),
        cmocka_unit_test(one_direction_finds_every_mistake_for_any_seed),
        cmocka_unit_test(richardson_finds_every_mistake),
        cmocka_unit_test(a_sample_finds_every_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
