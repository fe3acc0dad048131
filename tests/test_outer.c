/*
 * dw against the oracle for every formulation of plan_outer.c, with tails of every tile dimension
 * and several chunks, bands and parts; the same bits for any number of threads.
 */
#include <float.h>
#include <stdlib.h>

#include "layer.h"
#include "support/close.h"
#include "support/isa.h"
#include "support/naive.h"
#include "support/random_config.h"
#include "support/values.h"

struct row {
    int64_t n, h, w, c, f, kh, kw, sh, sw, dilation;
    convt_padding padding;
};

static const struct row rows[] = {
    /* taps: filters fill tiles; short and long rows, several strips, blocks and chunks */
    {5, 7, 7, 64, 35, 3, 3, 2, 2, 1, CONVT_SAME},
    {2, 3, 131, 70, 33, 2, 2, 2, 2, 1, CONVT_VALID},
    {1, 2, 700, 16, 20, 1, 5, 1, 3, 1, CONVT_SAME},
    {17, 1, 1, 40, 48, 4, 4, 1, 1, 1, CONVT_VALID},
    {3, 9, 10, 33, 18, 3, 3, 1, 1, 3, CONVT_SAME},
    {2, 4, 5, 1100, 13, 2, 3, 2, 1, 1, CONVT_SAME},
    {3, 5, 300, 64, 16, 3, 3, 1, 1, 1, CONVT_SAME},
    /* the same with dz packed: several groups of cuts; a row in pieces */
    {2, 9, 8, 200, 270, 2, 2, 2, 2, 1, CONVT_SAME},
    {1, 2, 530, 100, 37, 1, 3, 1, 2, 1, CONVT_VALID},
    {2, 6, 11, 96, 66, 3, 3, 2, 2, 2, CONVT_SAME},
    {3, 2, 1, 19, 27, 4, 5, 1, 1, 1, CONVT_SAME}, /* more rows than four vectors of two lanes */
    /* windows: few filters, one or several kernel rows at once */
    {9, 13, 11, 32, 1, 3, 3, 1, 1, 1, CONVT_SAME},
    {2, 20, 21, 56, 1, 9, 9, 2, 2, 1, CONVT_SAME},
    {3, 8, 9, 128, 3, 5, 5, 2, 2, 1, CONVT_SAME},
    {2, 6, 600, 48, 2, 2, 1, 2, 1, 1, CONVT_VALID},
    {2, 11, 7, 64, 1, 4, 3, 1, 2, 4, CONVT_SAME},
    {30, 1, 1, 37, 2, 7, 6, 1, 1, 1, CONVT_VALID},
    {3, 40, 3, 80, 1, 5, 1, 3, 3, 1, CONVT_SAME},
    {1, 2, 250, 16, 5, 16, 4, 1, 4, 1, CONVT_VALID}, /* in pieces of a row */
    {1, 6, 111, 1, 6, 1, 3, 3, 3, 1, CONVT_VALID},   /* rows of dz that no kernel row reaches */
    {1, 9, 60, 40, 1, 1, 3, 4, 1, 1, CONVT_VALID},
    {9, 11, 2, 390, 1, 8, 8, 3, 3, 1, CONVT_VALID}, /* packed: narrow maps, many channels */
    {2, 7, 5, 870, 5, 3, 8, 2, 3, 2, CONVT_SAME},
    /* swapped: channels fill no vectors */
    {1, 9, 7, 21, 21, 16, 16, 8, 8, 1, CONVT_SAME},
    {4, 10, 12, 3, 40, 4, 4, 2, 2, 1, CONVT_SAME},
    {2, 5, 400, 1, 17, 3, 3, 1, 1, 1, CONVT_SAME},
    {2, 8, 8, 5, 70, 3, 2, 1, 1, 2, CONVT_VALID},
    {6, 1, 1, 2, 33, 5, 5, 1, 1, 1, CONVT_VALID},
    {1, 2, 3, 5, 700, 9, 9, 2, 3, 1, CONVT_SAME}, /* a window at a time */
};
enum { ROWS = sizeof rows / sizeof *rows };

/* x and dz of more than 16 MiB, whose packing is fetched ahead: stretches that are many, windows of a task
 * that are several, copies. */
static const struct row large_rows[] = {
    {80, 24, 11, 200, 20, 1, 2, 1, 1, 1, CONVT_SAME},
    {30, 45, 12, 200, 20, 2, 2, 2, 2, 1, CONVT_SAME},
    {9, 60, 20, 400, 5, 1, 4, 1, 1, 1, CONVT_VALID},
};
enum { LARGE_ROWS = sizeof large_rows / sizeof *large_rows };

static convt_config config_of(const struct row *r, bool f64, bool channels_first, int threads)
{
    return (convt_config){.input = {r->h, r->w, r->c},
                          .max_batch = r->n,
                          .filters = r->f,
                          .kernel_size = {r->kh, r->kw},
                          .strides = {r->sh, r->sw},
                          .dilation_rate = {r->dilation, r->dilation},
                          .strides_with_dilation = true,
                          .padding = r->padding,
                          .data_format = channels_first ? CONVT_CHANNELS_FIRST
                                                        : CONVT_CHANNELS_LAST,
                          .dtype = f64 ? CONVT_FLOAT64 : CONVT_FLOAT32,
                          .threads = threads};
}

struct bench {
    convt_layer *layer;
    convt_view x, dy, y, dw;
};

static struct bench run(const convt_config *cfg)
{
    struct bench b;
    convt_error err;
    convt_parameter parameters[2];
    if (convt_layer_create(&b.layer, cfg, &err)) fail_msg("%s: %s", err.field, err.message);
    convt_shape o = convt_layer_output(b.layer), i = cfg->input;
    b.x = values_new(cfg->dtype, cfg->max_batch, i.h, i.w, i.c);
    b.dy = values_new(cfg->dtype, cfg->max_batch, o.h, o.w, o.c);
    b.y = values_new(cfg->dtype, cfg->max_batch, o.h, o.w, o.c);
    values_random(b.x, 1, -1, 1);
    values_random(b.dy, 2, -1, 1);
    assert_int_equal(
        convt_backward(b.layer, convt_read(b.x), convt_read(b.y), convt_read(b.dy), CONVT_NONE),
        CONVT_OK);
    convt_layer_parameters(b.layer, parameters);
    b.dw = parameters[0].gradient;
    return b;
}

static void tear_down(struct bench *b)
{
    values_free(b->x);
    values_free(b->dy);
    values_free(b->y);
    convt_layer_destroy(b->layer);
}

static void check_row(const struct row *r, bool f64, bool channels_first)
{
    convt_config cfg = config_of(r, f64, channels_first, 2);
    struct bench b = run(&cfg);
    naive_problem p = naive_of_config(&cfg, r->n);
    double *x = values_doubles(convt_read(b.x)), *dy = values_doubles(convt_read(b.dy));
    double *w = calloc((size_t)(r->kh * r->kw * r->f * r->c), sizeof *w),
           *dw = calloc((size_t)(r->kh * r->kw * r->f * r->c), sizeof *dw),
           *dx = calloc((size_t)(r->n * r->h * r->w * r->c), sizeof *dx),
           *db = calloc((size_t)r->f, sizeof *db);
    naive_backward(&p, x, w, dy, dx, dw, db);
    /* 4 * eps * K * max|x| * max|dy|, K terms a sum */
    assert_all_close(convt_read(b.dw), dw, 0,
                     4 * (f64 ? DBL_EPSILON : (double)FLT_EPSILON) * (double)(r->n * r->h * r->w));
    free(x), free(dy), free(w), free(dw), free(dx), free(db);
    tear_down(&b);
}

static void check_oracle(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (int i = 0; i < ROWS; i++)
        for (int kind = 0; kind < 4; kind++) check_row(&rows[i], kind & 1, kind & 2);
    for (int i = 0; i < LARGE_ROWS; i++) check_row(&large_rows[i], false, false);
}

static void agrees_with_the_oracle(void **state)
{
    (void)state;
    for_each_isa(check_oracle, NULL);
}

static void check_bits(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    for (int i = 0; i < ROWS; i++)
        for (int f64 = 0; f64 < 2; f64++) {
            static const int threads[] = {2, 3, 5};
            convt_config one = config_of(&rows[i], f64, i % 2, 1);
            struct bench first = run(&one);
            for (int t = 0; t < 3; t++) {
                convt_config cfg = config_of(&rows[i], f64, i % 2, threads[t]);
                struct bench b = run(&cfg);
                assert_same_bits(b.dw.data, first.dw.data,
                                 (size_t)values_count(convt_read(b.dw)) * (f64 ? 8 : 4));
                tear_down(&b);
            }
            tear_down(&first);
        }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for_each_isa(check_bits, NULL);
}

/* The table above is worth something only while it reaches everything that a plan can be. */
static void check_plans(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    int taps = 0, windows = 0, together[OUTER_MAX_GROUPS + 1] = {0}, swapped = 0, edges = 0,
        pieces = 0, blocks = 0, parts = 0, packed = 0, packed_windows = 0, groups = 0;
    for (int i = 0; i < ROWS; i++) {
        convt_config cfg = config_of(&rows[i], false, false, 1);
        convt_layer *layer;
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        const struct outer_plan *p = &layer->outer;
        taps += !p->copied;
        windows += p->copied && !p->swapped;
        swapped += p->swapped;
        together[p->together]++;
        edges += p->swapped && p->left + p->right < rows[i].w;
        pieces += p->row_cuts > 1;
        blocks += p->blocks > 1;
        packed += p->dz_cuts > 0 && !p->copied;
        packed_windows += p->dz_cuts > 0 && p->copied;
        groups += p->dz_cuts > 0 && p->dz_cuts < p->cuts_of_window;
        parts += convti_outer_parts(p, &layer->geometry, rows[i].n) > 1;
        convt_layer_destroy(layer);
    }
    assert_true(taps && windows && swapped && edges && pieces && blocks && parts && packed &&
                packed_windows && groups);
    for (int k = 1; k <= OUTER_MAX_GROUPS; k++) assert_true(together[k]);

    for (int i = 0; i < LARGE_ROWS; i++) {
        convt_config cfg = config_of(&large_rows[i], false, false, 1);
        convt_layer *layer;
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        assert_true(layer->outer.dz_cuts > 0);
        assert_true((layer->geometry.x_size + layer->geometry.z_size) * large_rows[i].n * 4 >
                    16 << 20);
        convt_layer_destroy(layer);
    }
}

static void the_table_reaches_every_plan(void **state)
{
    (void)state;
    for_each_isa(check_plans, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(the_table_reaches_every_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
