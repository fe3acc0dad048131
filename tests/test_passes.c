/*
 * Forward and all gradients against the oracle, for every ISA, dtype, layout and random geometry;
 * the same bits for any number of threads; the adjoint identity.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "names.h"
#include "support/close.h"
#include "support/isa.h"
#include "support/naive.h"
#include "support/random_config.h"
#include "support/values.h"

/* One layer with its tensors and what a run of both passes gave. */
struct bench {
    convt_config cfg;
    int64_t n;
    convt_layer *layer;
    convt_view x, dy, y, dx;
    convt_parameter rows[2];
    int count;
};

static struct bench set_up(const convt_config *cfg, int64_t n, uint64_t seed)
{
    struct bench b = {.cfg = *cfg, .n = n};
    convt_error err;
    b.cfg.max_batch = n;
    b.cfg.bias_initializer = (convt_initializer){.kind = CONVT_RANDOM_UNIFORM};
    b.cfg.seed = seed;
    assert_int_equal(convt_layer_create(&b.layer, &b.cfg, &err), CONVT_OK);
    convt_shape o = convt_layer_output(b.layer), i = cfg->input;
    b.x = values_new(cfg->dtype, n, i.h, i.w, i.c);
    b.dx = values_new(cfg->dtype, n, i.h, i.w, i.c);
    b.y = values_new(cfg->dtype, n, o.h, o.w, o.c);
    b.dy = values_new(cfg->dtype, n, o.h, o.w, o.c);
    values_random(b.x, seed + 1, -1, 1);
    values_random(b.dy, seed + 2, -1, 1);
    b.count = convt_layer_parameters(b.layer, b.rows);
    return b;
}

static void run(struct bench *b)
{
    assert_int_equal(convt_forward(b->layer, convt_read(b->x), b->y), CONVT_OK);
    assert_int_equal(
        convt_backward(b->layer, convt_read(b->x), convt_read(b->y), convt_read(b->dy), b->dx),
        CONVT_OK);
}

static void tear_down(struct bench *b)
{
    values_free(b->x);
    values_free(b->dx);
    values_free(b->y);
    values_free(b->dy);
    convt_layer_destroy(b->layer);
}

/* 4 * eps * K * max|a| * max|b|, K terms a sum: what any order of summation keeps to. */
static double tolerance(convt_dtype dtype, double terms)
{
    return 4 * (dtype == CONVT_FLOAT64 ? DBL_EPSILON : (double)FLT_EPSILON) * (terms + 2);
}

/* Kernel and bias as the oracle takes them; bias NULL where there is none. A fixed layer has no rows:
 * it draws what a layer with parameters draws of the same seed. */
static void values_of(const struct bench *b, double **w, double **bias)
{
    convt_config cfg = b->cfg;
    convt_parameter rows[2];
    convt_layer *twin;
    cfg.fixed = false;
    assert_int_equal(convt_layer_create(&twin, &cfg, NULL), CONVT_OK);
    const int count = b->count > 0 ? b->count : convt_layer_parameters(twin, rows);
    if (b->count > 0) memcpy(rows, b->rows, sizeof rows);
    double *stored = values_doubles(convt_read(rows[0].value));
    *w = malloc((size_t)values_count(convt_read(rows[0].value)) * sizeof **w);
    naive_kernel(&cfg, stored, *w);
    *bias = count > 1 ? values_doubles(convt_read(rows[1].value)) : NULL;
    free(stored);
    convt_layer_destroy(twin);
}

/* What the oracle says, or where `spread` NaN in its place. */
static void check_tensor(convt_view actual, double *expected, bool spread, double absolute)
{
    for (int64_t i = 0; spread && i < values_count(convt_read(actual)); i++)
        if (isnan(values_get(convt_read(actual), i))) expected[i] = (double)NAN;
    assert_all_close(convt_read(actual), expected, 0, absolute);
}

/* Of the tensors in which a formulation multiplies padding: y where few filters make lines, dw. */
struct spread {
    bool y, dw;
};

static void check_with_spread(struct bench *b, struct spread spread)
{
    naive_problem p = naive_of_config(&b->cfg, b->n);
    int64_t outputs = values_count(convt_read(b->y)), inputs = values_count(convt_read(b->x));
    int64_t taps = p.h.kernel * p.w.kernel, weights = taps * p.filters * p.channels;
    double *x = values_doubles(convt_read(b->x)), *dy = values_doubles(convt_read(b->dy));
    double *w, *bias;
    values_of(b, &w, &bias);
    double *y = calloc((size_t)outputs + 1, sizeof *y),
           *dx = calloc((size_t)inputs + 1, sizeof *dx);
    double *dw = calloc((size_t)weights, sizeof *dw), *db = calloc((size_t)p.filters, sizeof *db),
           *stored_dw = calloc((size_t)weights, sizeof *dw);
    naive_forward(&p, x, w, bias, y);
    naive_backward(&p, x, w, dy, dx, dw, db);
    stored_kernel(&b->cfg, dw, stored_dw);

    const double pixels = tolerance(b->cfg.dtype, (double)(outputs / p.filters));
    check_tensor(b->y, y, spread.y, tolerance(b->cfg.dtype, (double)(taps * p.channels)));
    check_tensor(b->dx, dx, false, tolerance(b->cfg.dtype, (double)(taps * p.filters)));
    if (b->count > 0) check_tensor(b->rows[0].gradient, stored_dw, spread.dw, pixels);
    if (b->count > 1) check_tensor(b->rows[1].gradient, db, false, pixels);
    free(x), free(dy), free(w), free(bias), free(y), free(dx), free(dw), free(db);
    free(stored_dw);
}

static void check_against_oracle(struct bench *b)
{
    check_with_spread(b, (struct spread){false, false});
}

static void check_random_configs(const char *isa, void *context)
{
    (void)context;
    for (uint64_t seed = 0; seed < 150; seed++) {
        convt_config cfg = random_config(seed);
        if (seed % 5 == 0) { /* beyond one tile in every direction */
            cfg.filters = 1 + (int64_t)(seed * 7 % 70);
            cfg.input.c = 1 + (int64_t)(seed * 13 % 90);
        }
        struct bench b = set_up(&cfg, 1 + (int64_t)seed % 5, seed);
        assert_string_equal(convt_layer_isa(b.layer), isa);
        run(&b);
        check_against_oracle(&b);
        tear_down(&b);
    }
}

static void agrees_with_the_oracle_on_random_configs(void **state)
{
    (void)state;
    for_each_isa(check_random_configs, NULL);
}

/* A few numbers of a tensor become NaN or infinite. */
static void plant(convt_view v, uint64_t seed)
{
    static const double bad[] = {(double)NAN, HUGE_VAL, -HUGE_VAL};
    uint64_t state = seed;
    for (uint64_t i = 0; i < 1 + seed % 3; i++)
        values_set(v, (int64_t)(values_next(&state) % (uint64_t)values_count(convt_read(v))),
                   bad[(seed + i) % 3]);
}

/*
 * NaN and infinities go where the equations send them, and no sample reaches another: exactly so for dx,
 * db, and for y of finite weights. In the rest a padding of zeros meets them: none is lost, but some more
 * elements may be NaN.
 */
static void check_non_finite(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (uint64_t seed = 0; seed < 120; seed++) {
        convt_config cfg = random_config(5000 + seed);
        if (seed % 4 == 0) cfg.filters = 1 + (int64_t)(seed * 7 % 70);
        if (seed % 5 == 0) cfg.input.c = 1 + (int64_t)(seed * 13 % 90);
        struct bench b = set_up(&cfg, 1 + (int64_t)seed % 4, seed);
        const bool weights = seed % 4 == 3 && !cfg.fixed; /* which has no rows */
        if (seed % 4 != 1) plant(b.x, seed);
        if (seed % 4 != 2) plant(b.dy, seed + 1);
        if (weights) plant(b.rows[0].value, seed + 2);
        convt_layer_touch(b.layer);
        run(&b);
        check_with_spread(&b, (struct spread){.y = weights, .dw = true});
        tear_down(&b);
    }
}

static void what_is_not_finite_goes_where_the_equations_send_it(void **state)
{
    (void)state;
    for_each_isa(check_non_finite, NULL);
}

/* Strides and dilations with and without common divisors, also where some taps meet no output. */
static void steps_that_share_divisors(void **state)
{
    (void)state;
    for (int64_t s = 1; s <= 9; s++)
        for (int64_t d = 1; d <= 9; d++)
            for (int64_t k = 1; k <= 4; k++) {
                convt_config cfg = {.input = {3, 2, 2},
                                    .filters = 2,
                                    .kernel_size = {k, 5 - k},
                                    .strides = {s, d},
                                    .dilation_rate = {d, s},
                                    .strides_with_dilation = true,
                                    .explicit_padding = CONVT_SET_SIDES((k - 1) * d / 2, s, 0, d),
                                    .dtype = CONVT_FLOAT64};
                naive_problem p = naive_of_config(&cfg, 1);
                if (naive_out(&p.h) < 1 || naive_out(&p.w) < 1) continue;
                struct bench b = set_up(&cfg, 1, (uint64_t)(s * 100 + d * 10 + k));
                run(&b);
                check_against_oracle(&b);
                tear_down(&b);
            }
}

/* Planning must not walk through a stride, whose outputs are not there. */
static void a_stride_far_beyond_the_output_costs_nothing(void **state)
{
    (void)state;
    const int64_t far = INT64_C(1) << 55;
    const convt_config cfgs[] = {
        {.strides = {far, far - 1}, .padding = CONVT_SAME, .output_padding = CONVT_SET_HW(0, 0)},
        {.strides = {far, far}, .explicit_padding = CONVT_SET_SIDES(0, 0, 0, 0)},
        {.strides = {far - 1, far},
         .dilation_rate = {1001, 3},
         .strides_with_dilation = true,
         .explicit_padding = CONVT_SET_SIDES(1001, 2002, 0, 6)},
    };
    for (size_t i = 0; i < sizeof cfgs / sizeof *cfgs; i++) {
        convt_config cfg = cfgs[i];
        cfg.input = (convt_shape){1, 1, 3};
        cfg.filters = 2;
        cfg.kernel_size = i == 2 ? (convt_hw){4, 3} : (convt_hw){1, 1};
        cfg.dtype = CONVT_FLOAT64;
        struct bench b = set_up(&cfg, 2, i);
        assert_int_equal(b.y.h * b.y.w, 1);
        run(&b);
        check_against_oracle(&b);
        tear_down(&b);
    }
}

/* Every number of filters and channels around the tile sizes, where panels, tails and the few-
 * column kernels take turns. */
static void check_tails(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64, 65, 80};
    const int count = sizeof sizes / sizeof *sizes;
    for (int f = 0; f < count; f++)
        for (int c = 0; c < count; c++) {
            convt_config cfg = {.input = {4, 3, sizes[c]},
                                .filters = sizes[f],
                                .kernel_size = {3, 2},
                                .strides = {1 + f % 2, 1 + c % 2},
                                .padding = (f + c) % 2 ? CONVT_SAME : CONVT_VALID,
                                .data_format = (f + c) % 3 == 0 ? CONVT_CHANNELS_FIRST
                                                                : CONVT_CHANNELS_LAST,
                                .dtype = (f * count + c) % 2 ? CONVT_FLOAT64 : CONVT_FLOAT32};
            struct bench b = set_up(&cfg, 3, (uint64_t)(f * count + c));
            run(&b);
            check_against_oracle(&b);
            tear_down(&b);
        }
}

static void agrees_with_the_oracle_at_every_tile_tail(void **state)
{
    (void)state;
    for_each_isa(check_tails, NULL);
}

/* Maps large enough for several slabs, bands, chunks, blocks and parts. */
static const convt_config large[] = {
    {.input = {40, 37, 24},
     .filters = 20,
     .kernel_size = {3, 3},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    {.input = {33, 41, 32}, .filters = 1, .kernel_size = {3, 3}, .padding = CONVT_SAME},
    {.input = {20, 20, 40},
     .filters = 3,
     .kernel_size = {4, 4},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    {.input = {1, 1, 32}, .filters = 64, .kernel_size = {7, 7}},
    {.input = {5, 60, 130},
     .filters = 18,
     .kernel_size = {2, 2},
     .strides = {2, 2},
     .data_format = CONVT_CHANNELS_FIRST},
    {.input = {64, 64, 9},
     .filters = 1,
     .kernel_size = {9, 9},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    /* taps so far apart that some channels at a time are transposed */
    {.input = {30, 44, 70},
     .filters = 18,
     .kernel_size = {2, 2},
     .dilation_rate = {40, 43},
     .data_format = CONVT_CHANNELS_FIRST},
};

/* Few filters: images side by side, segments of wide rows, parts of many channels, phases in groups,
 * shifts to one side alone, rows that no tap reaches. */
static const convt_config few[] = {
    {.input = {9, 28, 32}, .filters = 1, .kernel_size = {3, 3}, .padding = CONVT_SAME},
    {.input = {4, 110, 5}, .filters = 1, .kernel_size = {3, 3}, .padding = CONVT_SAME}, /* 7 wide */
    {.input = {7, 11, 70},
     .filters = 3,
     .kernel_size = {4, 4},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    {.input = {3, 650, 9}, .filters = 2, .kernel_size = {5, 3}, .strides = {2, 1}},
    {.input = {5, 6, 700}, .filters = 5, .kernel_size = {2, 2}, .strides = {3, 3}},
    {.input = {12, 13, 17}, .filters = 12, .kernel_size = {3, 9}, .strides = {1, 4}},
    {.input = {10, 40, 8}, .filters = 7, .kernel_size = {3, 3}, .dilation_rate = {2, 2}},
    {.input = {6, 19, 20},
     .filters = 9,
     .kernel_size = {3, 5},
     .strides = {2, 3},
     .dilation_rate = {3, 2},
     .strides_with_dilation = true,
     .explicit_padding = {true, 4, 1, 9, 0}},
    {.input = {1, 50, 33}, .filters = 1, .kernel_size = {1, 16}, .strides = {1, 8}},
    {.input = {4, 3, 6}, .filters = 19, .kernel_size = {1, 2}, .strides = {4, 1}},
    {.input = {6, 23, 48}, .filters = 1, .kernel_size = {3, 5}, .padding = CONVT_SAME},
    {.input = {7, 21, 2}, .filters = 40, .kernel_size = {3, 5}, .strides = {1, 2}},
    /* over many channels: several panels, parts of k, blocks wider than a vector, tap rows apart, one
     * pixel, windows of which the last block is cut off, outputs that no window reaches */
    {.input = {9, 2, 390}, .filters = 1, .kernel_size = {8, 8}, .strides = {3, 3}},
    {.input = {4, 5, 1300},
     .filters = 5,
     .kernel_size = {4, 4},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    {.input = {3, 4, 300}, .filters = 9, .kernel_size = {3, 7}, .strides = {2, 4}},
    {.input = {5, 9, 500},
     .filters = 2,
     .kernel_size = {3, 4},
     .dilation_rate = {3, 1},
     .strides = {2, 2},
     .strides_with_dilation = true,
     .explicit_padding = {true, 1, 2, 1, 0}},
    {.input = {1, 1, 900}, .filters = 3, .kernel_size = {5, 5}},
    {.input = {30, 6, 600},
     .filters = 1,
     .kernel_size = {5, 9},
     .strides = {2, 2},
     .padding = CONVT_SAME},
    {.input = {6, 7, 900},
     .filters = 2,
     .kernel_size = {4, 4},
     .strides = {2, 2},
     .output_padding = {true, 1, 1}},
    {.input = {3, 5, 1200}, .filters = 1, .kernel_size = {3, 9}},
    {.input = {3, 5, 1200}, .filters = 1, .kernel_size = {3, 6}},
};

static void check_few(const char *isa, void *context)
{
    int *chosen = context;
    (void)isa;
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        for (int d = 0; d < 4; d++) {
            convt_config cfg = few[i];
            cfg.dtype = d % 2 ? CONVT_FLOAT64 : CONVT_FLOAT32;
            cfg.data_format = d / 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
            struct bench b = set_up(&cfg, 7, i);
            chosen[b.layer->forward_by]++;
            run(&b);
            check_against_oracle(&b);
            tear_down(&b);
        }
}

static void agrees_with_the_oracle_on_few_filters(void **state)
{
    (void)state;
    int chosen[3] = {0};
    for_each_isa(check_few, chosen);
    for (int by = BY_GATHER; by <= BY_FOLD; by++) assert_true(chosen[by] > 0);
}

/* Few filters over many channels: every kernel against every stride. */
static void check_folded(const char *isa, void *context)
{
    int *folded = context;
    (void)isa;
    for (int64_t i = 0; i < 96; i++) {
        const convt_config cfg = {
            .input = {1 + i % 5, 1 + i * 3 % 11, 400 + 161 * (i % 7)},
            .filters = 1 + i % 6,
            .kernel_size = {2 + i % 7, 2 + i * 5 % 9},
            .strides = {1 + i % 4, 1 + i / 4 % 4},
            .padding = i % 3 ? CONVT_SAME : CONVT_VALID,
            .data_format = i % 5 < 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST,
            .dtype = i % 4 ? CONVT_FLOAT32 : CONVT_FLOAT64,
            .no_bias = i % 8 == 0,
        };
        struct bench b = set_up(&cfg, 1 + i % 3, (uint64_t)i);
        *folded += b.layer->forward_by == BY_FOLD;
        run(&b);
        check_against_oracle(&b);
        tear_down(&b);
    }
}

static void agrees_with_the_oracle_where_products_are_folded(void **state)
{
    (void)state;
    int folded = 0;
    for_each_isa(check_folded, &folded);
    print_message("%d layers folded\n", folded);
    assert_true(folded > 96);
}

/* Rows of every length and every number of taps, for dot tiles whose pixels share what they read:
 * forward with few filters, dx with few channels. */
static void check_shared(const char *isa, void *context)
{
    int *shared = context;
    (void)isa;
    for (int64_t i = 0; i < 4 * 36; i++) {
        const int64_t few_of = 1 + i % 2, many = 16 + 8 * (i % 4) + i % 5 / 4;
        const convt_config cfg = {
            .input = {2, 5 + i / 4, i % 4 < 2 ? many : few_of},
            .filters = i % 4 < 2 ? few_of : many,
            .kernel_size = {2, 1 + i % 9},
            .strides = {1, 1 + i % 7 / 5},
            .padding = i % 3 ? CONVT_SAME : CONVT_VALID,
            .dtype = i % 5 ? CONVT_FLOAT32 : CONVT_FLOAT64,
        };
        struct bench b = set_up(&cfg, 2, (uint64_t)i);
        const struct gather_plan *p = i % 4 < 2 ? &b.layer->forward : &b.layer->backward;
        for (int64_t k = 0; p->dot && k < p->w.count; k++)
            *shared += convti_shares_loads(p, &p->w.classes[k]);
        run(&b);
        check_against_oracle(&b);
        tear_down(&b);
    }
}

static void agrees_with_the_oracle_where_pixels_share_loads(void **state)
{
    (void)state;
    int shared = 0;
    for_each_isa(check_shared, &shared);
    assert_true(shared > 0);
}

static void check_large(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        for (int d = 0; d < 2; d++) {
            convt_config cfg = large[i];
            cfg.dtype = d ? CONVT_FLOAT64 : CONVT_FLOAT32;
            struct bench b = set_up(&cfg, i == 3 ? 70 : 3, i);
            run(&b);
            check_against_oracle(&b);
            tear_down(&b);
        }
}

static void agrees_with_the_oracle_on_large_maps(void **state)
{
    (void)state;
    for_each_isa(check_large, NULL);
}

/* ---- the same bits --------------------------------------------------------------------------- */

static size_t bytes(convt_view v)
{
    return (size_t)values_count(convt_read(v)) * (v.dtype == CONVT_FLOAT64 ? 8 : 4);
}

static void check_threads(const convt_config *cfg, int64_t n, uint64_t seed)
{
    static const int threads[] = {1, 2, 3, 7};
    struct bench first = {0};
    for (int t = 0; t < 4; t++) {
        convt_config c = *cfg;
        c.threads = threads[t];
        struct bench b = set_up(&c, n, seed);
        b.layer->region_flops = 0; /* small as it is, all threads take part */
        run(&b);
        if (t == 0) {
            first = b;
            continue;
        }
        assert_same_bits(b.y.data, first.y.data, bytes(b.y));
        assert_same_bits(b.dx.data, first.dx.data, bytes(b.dx));
        for (int i = 0; i < b.count; i++)
            assert_same_bits(b.rows[i].gradient.data, first.rows[i].gradient.data,
                             bytes(b.rows[i].gradient));
        tear_down(&b);
    }
    tear_down(&first);
}

/* How a batch is cut into images side by side and bands of rows shows in no output. */
static void check_samples(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        struct bench all = set_up(&few[i], 7, i);
        run(&all);
        for (int64_t n = 0; n < 7; n++) {
            struct bench one = all;
            const size_t x = bytes(all.x) / 7, y = bytes(all.y) / 7;
            one.x.n = one.y.n = one.dy.n = one.dx.n = 1;
            one.x.data = (char *)all.x.data + (size_t)n * x;
            one.y.data = malloc(y);
            assert_int_equal(convt_forward(one.layer, convt_read(one.x), one.y), CONVT_OK);
            assert_same_bits(one.y.data, (char *)all.y.data + (size_t)n * y, y);
            free(one.y.data);
        }
        tear_down(&all);
    }
}

static void bits_of_a_sample_do_not_depend_on_its_batch(void **state)
{
    (void)state;
    for_each_isa(check_samples, NULL);
}

static void check_bits(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    int kind;
    for (int k = 0; convti_name_at(CONVTI_ACTIVATIONS, k, &kind); k++)
        for (uint64_t seed = 0; seed < 2; seed++) {
            convt_config cfg = activated_config(random_config(1000 + 2 * (uint64_t)k + seed), kind);
            cfg.activity_regularizer.kind = seed % 2 ? CONVT_L2 : CONVT_NO_REGULARIZER;
            check_threads(&cfg, 1 + k % 4, seed);
        }
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) check_threads(&few[i], 7, i);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_threads(&large[i], 3, i);
        const convt_config softmax = activated_config(large[i], CONVT_SOFTMAX),
                           glu = activated_config(large[i], CONVT_GLU);
        check_threads(&softmax, 3, i);
        check_threads(&glu, 3, i);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for_each_isa(check_bits, NULL);
}

static void bits_do_not_depend_on_capacity_or_history(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        convt_config cfg = random_config(2000 + seed);
        cfg.activation.kind = CONVT_TANH;
        struct bench exact = set_up(&cfg, 2, seed);
        run(&exact);
        convt_config roomy = exact.cfg;
        roomy.max_batch = 9;
        convt_layer *layer;
        assert_int_equal(convt_layer_create(&layer, &roomy, NULL), CONVT_OK);
        convt_view y = values_new(cfg.dtype, exact.y.n, exact.y.h, exact.y.w, exact.y.c);
        convt_view dx = values_new(cfg.dtype, exact.x.n, exact.x.h, exact.x.w, exact.x.c);
        for (int twice = 0; twice < 2; twice++) {
            assert_int_equal(convt_forward(layer, convt_read(exact.x), y), CONVT_OK);
            assert_int_equal(
                convt_backward(layer, convt_read(exact.x), convt_read(y), convt_read(exact.dy), dx),
                CONVT_OK);
            assert_same_bits(y.data, exact.y.data, bytes(y));
            assert_same_bits(dx.data, exact.dx.data, bytes(dx));
        }
        values_free(y);
        values_free(dx);
        convt_layer_destroy(layer);
        tear_down(&exact);
    }
}

/* ---- orders of the kernel -------------------------------------------------------------------- */

/* Kernels that fill no block of those in which dw is turned, one, and some with a rest. */
static const convt_config matrices[] = {
    {.input = {1, 1, 130}, .filters = 200, .kernel_size = {1, 1}},
    {.input = {1, 1, 1}, .filters = 300, .kernel_size = {1, 1}},
    {.input = {1, 1, 301}, .filters = 1, .kernel_size = {1, 1}},
    {.input = {1, 1, 3}, .filters = 150, .kernel_size = {1, 1}},
    {.input = {1, 1, 64}, .filters = 64, .kernel_size = {1, 1}},
    {.input = {3, 2, 65}, .filters = 129, .kernel_size = {3, 2}, .padding = CONVT_SAME},
};

static void put_kernel(const struct bench *from, const struct bench *to)
{
    const convt_view v = to->rows[0].value;
    double *given = values_doubles(convt_read(from->rows[0].value)),
           *w = malloc((size_t)values_count(convt_read(v)) * sizeof *w);
    convt_view stored = values_new(v.dtype, v.n, v.h, v.w, v.c);
    naive_kernel(&from->cfg, given, w);
    stored_kernel(&to->cfg, w, given);
    values_from(stored, given);
    assert_int_equal(convt_layer_set_kernel(to->layer, convt_read(stored)), CONVT_OK);
    values_free(stored);
    free(given), free(w);
}

/* Another order is another place of the same numbers: not a bit may tell, but in dw its place. */
static void check_order(const convt_config *cfg, convt_kernel_order order, int threads, int64_t n)
{
    convt_config other = *cfg;
    other.kernel_order = order;
    other.threads = threads;
    struct bench plain = set_up(cfg, n, 5), turned = set_up(&other, n, 5);
    turned.layer->region_flops = 0;
    put_kernel(&plain, &turned);
    memset(turned.rows[0].gradient.data, 0x7f, bytes(turned.rows[0].gradient));
    run(&plain);
    run(&turned);
    assert_same_bits(turned.y.data, plain.y.data, bytes(plain.y));
    assert_same_bits(turned.dx.data, plain.dx.data, bytes(plain.dx));
    assert_same_bits(turned.rows[1].gradient.data, plain.rows[1].gradient.data,
                     bytes(plain.rows[1].gradient));
    double *dw = values_doubles(convt_read(plain.rows[0].gradient)),
           *stored = values_doubles(convt_read(plain.rows[0].gradient));
    stored_kernel(&other, dw, stored);
    assert_all_close(convt_read(turned.rows[0].gradient), stored, 0, 0);
    free(dw), free(stored);
    tear_down(&plain);
    tear_down(&turned);
}

static void check_orders_of(const convt_config list[], size_t count, int64_t n)
{
    for (size_t i = 0; i < count; i++)
        for (int d = 0; d < 4; d++) {
            convt_config cfg = list[i];
            cfg.dtype = d % 2 ? CONVT_FLOAT64 : CONVT_FLOAT32;
            cfg.data_format = d / 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
            check_order(&cfg, CONVT_KERNEL_CONV, 1 + (int)i % 3, n);
            if (cfg.kernel_size.h == 1 && cfg.kernel_size.w == 1)
                check_order(&cfg, CONVT_KERNEL_DENSE, 3, n);
        }
}

static void check_orders(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    check_orders_of(matrices, sizeof matrices / sizeof *matrices, 9);
    check_orders_of(few, sizeof few / sizeof *few, 2);
    check_orders_of(large, sizeof large / sizeof *large, 2);
}

static void the_order_of_the_kernel_changes_no_bit(void **state)
{
    (void)state;
    for_each_isa(check_orders, NULL);
}

/* ---- fixed layers ---------------------------------------------------------------------------- */

static void check_fixed(const convt_config *cfg, int64_t n, uint64_t seed)
{
    const convt_const_view none = convt_read(CONVT_NONE);
    convt_config constant = *cfg, moving = *cfg;
    constant.fixed = true;
    moving.fixed = false;
    struct bench want = set_up(&moving, n, seed), b = set_up(&constant, n, seed);
    const bool needs_z = convti_activation_needs_z(&cfg->activation);
    assert_int_equal(b.count, 0);
    run(&want);
    run(&b);
    assert_same_bits(b.y.data, want.y.data, bytes(b.y));
    assert_same_bits(b.dx.data, want.dx.data, bytes(b.dx));
    memset(b.dx.data, 0x7f, bytes(b.dx));
    for (int given = 0; given < 2; given++) { /* without x, and without x and dx */
        const convt_status status = convt_backward(b.layer, none, convt_read(b.y), convt_read(b.dy),
                                                   given ? CONVT_NONE : b.dx);
        if (needs_z)
            assert_refused(status, convt_layer_error(b.layer), CONVT_INVALID_SHAPE, "x",
                           "expected");
        else
            assert_int_equal(status, CONVT_OK);
    }
    if (!needs_z) assert_same_bits(b.dx.data, want.dx.data, bytes(b.dx));
    assert_int_equal(
        convt_backward(b.layer, convt_read(b.x), convt_read(b.y), convt_read(b.dy), CONVT_NONE),
        CONVT_OK);
    tear_down(&want);
    tear_down(&b);
}

static void check_fixed_layers(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    int kind;
    for (int k = 0; convti_name_at(CONVTI_ACTIVATIONS, k, &kind); k++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            convt_config cfg = activated_config(random_config(5000 + 4 * (uint64_t)k + seed), kind);
            cfg.activity_regularizer.kind = seed % 2 ? CONVT_L1 : CONVT_NO_REGULARIZER;
            check_fixed(&cfg, 1 + k % 3, seed);
        }
}

static void a_fixed_layer_makes_dx_alone(void **state)
{
    (void)state;
    for_each_isa(check_fixed_layers, NULL);
}

/* ---- the adjoint identity: without bias and activation, sum y*dy = sum x*dx = sum w*dw ------- */

static double inner(convt_view a, convt_view b)
{
    double sum = 0;
    for (int64_t i = 0; i < values_count(convt_read(a)); i++)
        sum += values_get(convt_read(a), i) * values_get(convt_read(b), i);
    return sum;
}

static void check_adjoint(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (uint64_t seed = 0; seed < 60; seed++) {
        convt_config cfg = random_config(3000 + seed);
        cfg.no_bias = true;
        cfg.fixed = false;
        cfg.dtype = CONVT_FLOAT64;
        struct bench b = set_up(&cfg, 2, seed);
        run(&b);
        double y = inner(b.y, b.dy), x = inner(b.x, b.dx),
               w = inner(b.rows[0].value, b.rows[0].gradient);
        assert_close(x, y, 1e-12, 1e-11);
        assert_close(w, y, 1e-12, 1e-11);
        tear_down(&b);
    }
}

static void passes_are_adjoint(void **state)
{
    (void)state;
    for_each_isa(check_adjoint, NULL);
}

/* ---- small print of the header --------------------------------------------------------------- */

static void an_empty_batch_gives_empty_outputs_and_zero_gradients(void **state)
{
    (void)state;
    convt_config cfg = {
        .input = {3, 3, 4}, .filters = 5, .kernel_size = {2, 2}, .kernel_regularizer = {CONVT_L2}};
    struct bench b = set_up(&cfg, 2, 1);
    run(&b);
    struct bench empty = b;
    empty.x.n = empty.y.n = empty.dy.n = empty.dx.n = 0;
    empty.x.data = empty.y.data = empty.dy.data = NULL;
    run(&empty);
    for (int64_t i = 0; i < values_count(convt_read(b.rows[0].value)); i++) {
        double w = values_get(convt_read(b.rows[0].value), i),
               dw = values_get(convt_read(b.rows[0].gradient), i);
        assert_close(dw, 2 * (double)0.01f * w, 1e-5, 0);
    }
    assert_close(values_get(convt_read(b.rows[1].gradient), 0), 0, 0, 0);
    tear_down(&b);
}

static void positions_without_taps_hold_the_activated_bias(void **state)
{
    (void)state;
    convt_config cfg = {.input = {2, 2, 3},
                        .filters = 2,
                        .kernel_size = {1, 1},
                        .strides = {3, 3},
                        .padding = CONVT_SAME};
    struct bench b = set_up(&cfg, 1, 5);
    run(&b);
    for (int f = 0; f < 2; f++)
        assert_close(values_get(convt_read(b.y), 2 + f), values_get(convt_read(b.rows[1].value), f),
                     0, 0);
    tear_down(&b);
}

/* z is kept as it would be without an activation, whatever makes it, and changes no y. */
static void check_kept_z(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        for (int d = 0; d < 4; d++) {
            convt_config cfg = few[i];
            cfg.data_format = d / 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
            struct bench linear = set_up(&cfg, 2, i);
            cfg.activation.kind = d % 2 ? CONVT_TANH : CONVT_LINEAR;
            struct bench b = set_up(&cfg, 2, i);
            run(&linear);
            run(&b);
            const convt_view z = values_new(cfg.dtype, b.y.n, b.y.h, b.y.w, b.y.c),
                             y = values_new(cfg.dtype, b.y.n, b.y.h, b.y.w, b.y.c);
            assert_int_equal(convt_forward_z(b.layer, convt_read(b.x), z, y), CONVT_OK);
            assert_same_bits(z.data, linear.y.data, bytes(z));
            assert_same_bits(y.data, b.y.data, bytes(y));
            values_free(z);
            values_free(y);
            tear_down(&linear);
            tear_down(&b);
        }
}

static void z_may_be_kept(void **state)
{
    (void)state;
    for_each_isa(check_kept_z, NULL);
}

static void dx_may_be_left_out(void **state)
{
    (void)state;
    convt_config cfg = {
        .input = {4, 4, 9}, .filters = 6, .kernel_size = {3, 3}, .activation = {CONVT_RELU}};
    struct bench b = set_up(&cfg, 2, 3);
    run(&b);
    size_t size = bytes(b.rows[0].gradient);
    void *dw = malloc(size);
    memcpy(dw, b.rows[0].gradient.data, size);
    memset(b.rows[0].gradient.data, 0x7f, size);
    assert_int_equal(
        convt_backward(b.layer, convt_read(b.x), convt_read(b.y), convt_read(b.dy), CONVT_NONE),
        CONVT_OK);
    assert_same_bits(b.rows[0].gradient.data, dw, size);
    free(dw);
    tear_down(&b);
}

static void check_dx_alone(const convt_config *cfg, int64_t n, uint64_t seed)
{
    const convt_const_view none = convt_read(CONVT_NONE);
    struct bench b = set_up(cfg, n, seed);
    const bool kept = convti_activation_needs_z(&cfg->activation);
    const struct geometry *g = &b.layer->geometry;
    const convt_view z = values_new(cfg->dtype, n, g->h.out, g->w.out, g->filters),
                     again = values_new(cfg->dtype, n, b.dx.h, b.dx.w, b.dx.c);
    run(&b);
    assert_int_equal(convt_forward_z(b.layer, convt_read(b.x), z, b.y), CONVT_OK);
    for (int i = 0; i < b.count; i++)
        memset(b.rows[i].gradient.data, 0x7f, bytes(b.rows[i].gradient));
    assert_int_equal(convt_backward_data(b.layer, none, kept ? convt_read(z) : none,
                                         convt_read(b.y), convt_read(b.dy), again, (double)n),
                     CONVT_OK);
    assert_same_bits(again.data, b.dx.data, bytes(b.dx));
    for (int i = 0; i < b.count; i++) {
        const unsigned char *gradient = b.rows[i].gradient.data;
        for (size_t k = 0; k < bytes(b.rows[i].gradient); k++) assert_int_equal(gradient[k], 0x7f);
    }
    if (kept) {
        const convt_status status = convt_backward_data(b.layer, none, none, convt_read(b.y),
                                                        convt_read(b.dy), again, (double)n);
        assert_refused(status, convt_layer_error(b.layer), CONVT_INVALID_SHAPE, "x", "expected");
    }
    values_free(z);
    values_free(again);
    tear_down(&b);
}

static void dx_alone_of_every_activation(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    int kind;
    for (int k = 0; convti_name_at(CONVTI_ACTIVATIONS, k, &kind); k++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            convt_config cfg = activated_config(random_config(3000 + 4 * (uint64_t)k + seed), kind);
            cfg.activity_regularizer.kind = seed % 2 ? CONVT_L1 : CONVT_NO_REGULARIZER;
            check_dx_alone(&cfg, 1 + k % 3, seed);
        }
}

static void x_may_be_left_out_where_dx_alone_is_wanted(void **state)
{
    (void)state;
    for_each_isa(dx_alone_of_every_activation, NULL);
}

static void x_is_needed_for_weights_and_for_z(void **state)
{
    (void)state;
    const convt_const_view none = convt_read(CONVT_NONE);
    convt_config cfg = {.input = {3, 3, 4}, .filters = 5, .kernel_size = {2, 2}};
    struct bench b = set_up(&cfg, 2, 1);
    run(&b);
    convt_status status =
        convt_backward_data(b.layer, none, none, convt_read(b.y), convt_read(b.dy), CONVT_NONE, 2);
    assert_refused(status, convt_layer_error(b.layer), CONVT_INVALID_SHAPE, "x", "expected");

    struct bench empty = b;
    empty.y.n = empty.dy.n = empty.dx.n = 0;
    memset(b.rows[0].gradient.data, 0x7f, bytes(b.rows[0].gradient));
    status = convt_backward_data(b.layer, none, none, convt_read(empty.y), convt_read(empty.dy),
                                 empty.dx, 2);
    assert_int_equal(status, CONVT_OK);
    assert_int_equal(*(const unsigned char *)b.rows[0].gradient.data, 0x7f);
    empty.x.n = 0; /* no samples are not the same as no x */
    empty.x.data = NULL;
    status = convt_backward_data(b.layer, convt_read(empty.x), none, convt_read(empty.y),
                                 convt_read(empty.dy), empty.dx, 2);
    assert_int_equal(status, CONVT_OK);
    assert_close(values_get(convt_read(b.rows[0].gradient), 0), 0, 0, 0);
    tear_down(&b);
}

/* A source that stays in the cache streams by, a larger one is cut into slabs: not a bit may tell. */
static void check_cuts(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    const convt_config cfg = {
        .input = {64, 64, 256}, .filters = 128, .kernel_size = {2, 2}, .strides = {2, 2}};
    struct bench all = set_up(&cfg, 3, 7), one = set_up(&cfg, 1, 7);
    const int64_t last = 2 * values_count(convt_read(one.y));
    memcpy(one.x.data, (float *)all.x.data + 2 * values_count(convt_read(one.x)),
           (size_t)values_count(convt_read(one.x)) * sizeof(float));
    assert_int_equal(convt_forward(all.layer, convt_read(all.x), all.y), CONVT_OK);
    assert_int_equal(convt_forward(one.layer, convt_read(one.x), one.y), CONVT_OK);
    assert_true(one.layer->forward.slabs.streamed && !one.layer->forward.slabs.resident);
    assert_true(!all.layer->forward.slabs.streamed && !all.layer->forward.slabs.resident);
    assert_same_bits(one.y.data, (float *)all.y.data + last,
                     (size_t)values_count(convt_read(one.y)) * sizeof(float));
    tear_down(&all);
    tear_down(&one);
}

/* Where channels come first a source is staged: of a few images for every panel, of many once. One layer
 * has the memory for either. */
static void check_staging(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    const convt_config cfg = {.input = {8, 8, 128},
                              .filters = 200,
                              .kernel_size = {2, 2},
                              .strides = {2, 2},
                              .data_format = CONVT_CHANNELS_FIRST};
    struct bench all = set_up(&cfg, 90, 7);
    const int64_t size = values_count(convt_read(all.y)) / 90;
    convt_view one = values_new(CONVT_FLOAT32, 1, all.y.h, all.y.w, all.y.c), x = all.x;
    assert_int_equal(convt_forward(all.layer, convt_read(all.x), all.y), CONVT_OK);
    assert_true(!all.layer->forward.slabs.streamed && !all.layer->forward.slabs.resident);
    x.n = 1;
    assert_int_equal(convt_forward(all.layer, convt_read(x), one), CONVT_OK);
    assert_true(all.layer->forward.slabs.streamed && !all.layer->forward.slabs.resident);
    assert_same_bits(one.data, all.y.data, (size_t)size * sizeof(float));
    values_free(one);
    tear_down(&all);
}

static void cuts_of_the_source_change_no_bit(void **state)
{
    (void)state;
    for_each_isa(check_cuts, NULL);
    for_each_isa(check_staging, NULL);
}

/* The cuts of a batch are kept for the next call: not beyond another batch or another size. */
static void cuts_follow_the_call(void **state)
{
    (void)state;
    const convt_config cfg = {.input = {20, 23, 40}, .filters = 30, .kernel_size = {3, 3}};
    struct bench kept = set_up(&cfg, 4, 11);
    static const convt_shape size[] = {{20, 23, 40}, {9, 31, 40}, {20, 23, 40}};
    for (int i = 0; i < 3; i++)
        for (int64_t n = 4; n > 0; n -= 3) {
            convt_config now = cfg;
            now.input = size[i];
            struct bench fresh = set_up(&now, n, 11);
            convt_view y = values_new(CONVT_FLOAT32, n, fresh.y.h, fresh.y.w, fresh.y.c);
            assert_int_equal(convt_layer_reshape(kept.layer, 4, size[i].h, size[i].w), CONVT_OK);
            assert_int_equal(convt_forward(fresh.layer, convt_read(fresh.x), fresh.y), CONVT_OK);
            assert_int_equal(convt_forward(kept.layer, convt_read(fresh.x), y), CONVT_OK);
            assert_same_bits(y.data, fresh.y.data, (size_t)values_count(convt_read(y)) * 4);
            values_free(y);
            tear_down(&fresh);
        }
    tear_down(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_on_random_configs),
        cmocka_unit_test(what_is_not_finite_goes_where_the_equations_send_it),
        cmocka_unit_test(steps_that_share_divisors),
        cmocka_unit_test(cuts_of_the_source_change_no_bit),
        cmocka_unit_test(cuts_follow_the_call),
        cmocka_unit_test(a_stride_far_beyond_the_output_costs_nothing),
        cmocka_unit_test(agrees_with_the_oracle_at_every_tile_tail),
        cmocka_unit_test(agrees_with_the_oracle_on_large_maps),
        cmocka_unit_test(agrees_with_the_oracle_on_few_filters),
        cmocka_unit_test(agrees_with_the_oracle_where_products_are_folded),
        cmocka_unit_test(agrees_with_the_oracle_where_pixels_share_loads),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(bits_of_a_sample_do_not_depend_on_its_batch),
        cmocka_unit_test(bits_do_not_depend_on_capacity_or_history),
        cmocka_unit_test(the_order_of_the_kernel_changes_no_bit),
        cmocka_unit_test(a_fixed_layer_makes_dx_alone),
        cmocka_unit_test(passes_are_adjoint),
        cmocka_unit_test(an_empty_batch_gives_empty_outputs_and_zero_gradients),
        cmocka_unit_test(positions_without_taps_hold_the_activated_bias),
        cmocka_unit_test(z_may_be_kept),
        cmocka_unit_test(dx_may_be_left_out),
        cmocka_unit_test(x_may_be_left_out_where_dx_alone_is_wanted),
        cmocka_unit_test(x_is_needed_for_weights_and_for_z),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
