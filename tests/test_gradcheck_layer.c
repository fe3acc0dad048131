/*
 * Gradient checks of layers and models in one call: every row of every table passes, what is broken
 * by a callback is found, and random layers raise no false alarm. CONVT_GRADCHECK_CONFIGS=1000 in
 * the environment checks so many of them, not 50.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <convt/gradcheck.h>

#include "names.h"
#include "subject.h"
#include "support/close.h"
#include "support/failalloc.h"
#include "support/isa.h"
#include "support/random_config.h"
#include "support/values.h"

static const convt_gradcheck_options fast = {.mode = CONVT_GRADCHECK_DIRECTIONS},
                                     single = {.float32 = true};

static convt_gradcheck_report check(const convt_config layers[], int count,
                                    const convt_loss_config *loss,
                                    const convt_gradcheck_options *options)
{
    convt_gradcheck_report r;
    convt_error err;
    if (convt_model_gradcheck(layers, count, loss, options, &r, &err))
        fail_msg("%s: %s", err.field, err.message);
    return r;
}

static void must_be(const convt_gradcheck_report *r, convt_gradcheck_verdict verdict,
                    const char *block, const char *what)
{
    char text[8192];
    convt_gradcheck_text(r, text, sizeof text);
    if (r->verdict != verdict || (block && strcmp(r->block, block) != 0))
        fail_msg("%s: %s", what, text);
}

/* Every element, directions, and float32. */
static void must_pass(const convt_config *cfg, const char *what)
{
    const convt_gradcheck_options *const ways[] = {NULL, &fast, &single};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const convt_gradcheck_report r = check(cfg, 1, NULL, ways[i]);
        must_be(&r, CONVT_GRADCHECK_PASSED, NULL, what);
        for (int k = 0; k < r.count; k++) assert_true(r.rows[k].checked > 0);
    }
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const convt_config shapes[] = {
    {.input = {4, 3, 5},
     .max_batch = 2,
     .filters = 6,
     .kernel_size = {3, 2},
     .strides = {2, 1},
     .padding = CONVT_SAME},
    {.input = {3, 4, 4},
     .max_batch = 2,
     .filters = 2,
     .kernel_size = {4, 3},
     .strides = {2, 2},
     .data_format = CONVT_CHANNELS_FIRST,
     .padding = CONVT_SAME},
    {.input = {5, 4, 3},
     .filters = 4,
     .kernel_size = {2, 2},
     .dilation_rate = {2, 1},
     .no_bias = true},
    {.input = {4, 4, 2},
     .max_batch = 3,
     .filters = 4,
     .kernel_size = {3, 3},
     .strides = {3, 2},
     .dilation_rate = {2, 2},
     .strides_with_dilation = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check_activations(const char *isa, void *context)
{
    const char *name;
    int kind;
    (void)isa, (void)context;
    for (int i = 0; (name = convti_name_at(CONVTI_ACTIVATIONS, i, &kind)); i++)
        for (int k = 0; k < SHAPES; k++) {
            convt_config cfg = shapes[k];
            cfg.activation =
                complete_activation((convt_activation){.kind = (convt_activation_kind)kind});
            must_pass(&cfg, name);
        }
}

static void every_activation_passes(void **state)
{
    (void)state;
    for_each_isa(check_activations, NULL);
}

static void every_regularizer_passes(void **state)
{
    (void)state;
    const char *name;
    int kind;
    for (int i = 0; (name = convti_name_at(CONVTI_REGULARIZERS, i, &kind)); i++)
        for (int k = 0; k < SHAPES; k++)
            for (int where = 1; where < 8; where++) {
                const convt_regularizer r = {(convt_regularizer_kind)kind,
                                             .l1 = {kind != CONVT_L2, 0.3},
                                             .l2 = {kind != CONVT_L1, 0.2}};
                convt_config cfg = shapes[k];
                if (where & 1) cfg.kernel_regularizer = r;
                if (where & 2) cfg.bias_regularizer = r;
                if (where & 4) cfg.activity_regularizer = r;
                cfg.activation.kind = where == 7 ? CONVT_TANH : CONVT_LINEAR;
                cfg.frozen = where == 5;
                must_pass(&cfg, name);
            }
}

static void every_constraint_holds_after_a_step(void **state)
{
    (void)state;
    const char *name;
    int kind;
    for (int i = 0; (name = convti_name_at(CONVTI_CONSTRAINTS, i, &kind)); i++) {
        convt_config cfg = shapes[0];
        cfg.kernel_constraint.kind = cfg.bias_constraint.kind = (convt_constraint_kind)kind;
        must_pass(&cfg, name);
    }
}

static void every_loss_passes_behind_two_layers(void **state)
{
    (void)state;
    const char *name;
    int kind;
    const convt_config layers[] = {
        {.input = {2, 3, 3},
         .max_batch = 2,
         .filters = 4,
         .kernel_size = {3, 3},
         .strides = {2, 2},
         .activation = {.kind = CONVT_RELU},
         .activity_regularizer = {.kind = CONVT_L2}},
        {.filters = 3,
         .kernel_size = {2, 2},
         .activation = {.kind = CONVT_SIGMOID},
         .kernel_regularizer = {.kind = CONVT_L1L2, .l1 = {true, 0.01}, .l2 = {true, 0.1}}}};
    for (int i = 0; (name = convti_name_at(CONVTI_LOSSES, i, &kind)); i++) {
        const convt_loss_config loss = {.kind = (convt_loss_kind)kind};
        const convt_gradcheck_options sample = {.mode = CONVT_GRADCHECK_SAMPLE, .count = 30};
        convt_gradcheck_report r = check(layers, 2, &loss, &sample);
        must_be(&r, CONVT_GRADCHECK_PASSED, NULL, name);
        assert_int_equal(r.count, 5);
        assert_string_equal(r.rows[3].name, "conv2d_transpose_1/kernel");
        r = check(layers, 2, &loss, &fast);
        must_be(&r, CONVT_GRADCHECK_PASSED, NULL, name);
        r = check(layers, 2, &loss, &single);
        must_be(&r, CONVT_GRADCHECK_PASSED, NULL, name);
    }
    const convt_gradcheck_report r = check(layers, 2, NULL, NULL);
    must_be(&r, CONVT_GRADCHECK_PASSED, NULL, "every element of two layers");
}

/* ---- orders of the kernel, fixed layers, other shapes between layers ------------------------- */

/* Every element, with the stored axes in the report, and penalties of the stored kernel. */
static void every_kernel_order_passes(void **state)
{
    (void)state;
    static const struct {
        convt_kernel_order order;
        convt_hw kernel, strides;
        const char *axes;
        int64_t dims[4];
    } cases[] = {
        {CONVT_KERNEL_CONV, {3, 2}, {2, 1}, "kh kw c f", {3, 2, 5, 6}},
        {CONVT_KERNEL_DENSE, {1, 1}, {1, 1}, "c f", {5, 6}},
        {CONVT_KERNEL_TRANSPOSED, {3, 2}, {1, 2}, "kh kw f c", {3, 2, 6, 5}},
    };
    static const convt_activation_kind kinds[] = {CONVT_LINEAR, CONVT_GELU, CONVT_SOFTMAX};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 6; k++) {
            const convt_config cfg = {.input = {3, 4, 5},
                                      .max_batch = 2,
                                      .filters = 6,
                                      .kernel_size = cases[i].kernel,
                                      .strides = cases[i].strides,
                                      .kernel_order = cases[i].order,
                                      .data_format = k % 2 ? CONVT_CHANNELS_FIRST
                                                           : CONVT_CHANNELS_LAST,
                                      .activation = {kinds[k / 2]},
                                      .kernel_regularizer = {CONVT_L2, .l2 = {true, 0.3}},
                                      .kernel_constraint = {.kind = CONVT_UNIT_NORM}};
            char axes[32] = "";
            must_pass(&cfg, cases[i].axes);
            const convt_gradcheck_report r = check(&cfg, 1, NULL, NULL);
            for (int a = 0; a < r.rows[1].rank; a++) {
                strcat(strcat(axes, a ? " " : ""), r.rows[1].axis[a]);
                assert_int_equal(r.rows[1].dims[a], cases[i].dims[a]);
            }
            assert_string_equal(axes, cases[i].axes);
        }
}

static void a_decoder_from_dense_to_conv_passes(void **state)
{
    (void)state;
    for (int format = CONVT_CHANNELS_LAST; format <= CONVT_CHANNELS_FIRST; format++) {
        convt_config layers[] = {{.input = {1, 1, 4},
                                  .max_batch = 2,
                                  .filters = 12,
                                  .kernel_size = {1, 1},
                                  .kernel_order = CONVT_KERNEL_DENSE,
                                  .activation = {.kind = CONVT_TANH}},
                                 {.input = {2, 2, 3},
                                  .filters = 3,
                                  .kernel_size = {2, 2},
                                  .strides = {2, 2},
                                  .fixed = true},
                                 {.filters = 2,
                                  .kernel_size = {3, 3},
                                  .padding = CONVT_SAME,
                                  .kernel_order = CONVT_KERNEL_CONV,
                                  .activation = {.kind = CONVT_SIGMOID}}};
        for (int i = 0; i < 3; i++) layers[i].data_format = (convt_data_format)format;
        const convt_loss_config loss = {0};
        const convt_gradcheck_options *const ways[] = {NULL, &fast, &single};
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
            for (int with_loss = 0; with_loss < 2; with_loss++) {
                const convt_gradcheck_report r =
                    check(layers, 3, with_loss ? &loss : NULL, ways[i]);
                must_be(&r, CONVT_GRADCHECK_PASSED, NULL, "decoder");
                assert_int_equal(r.count, 5);
                assert_string_equal(r.rows[3].name, "conv2d_transpose_2/kernel");
            }
    }
}

/* ---- what is broken -------------------------------------------------------------------------- */

static void cube(void *context, convt_dtype dtype, int64_t count, const void *z, void *y)
{
    const convt_view to = {y, dtype, 1, 1, 1, count};
    (void)context;
    for (int64_t i = 0; i < count; i++) {
        const double v = values_get((convt_const_view){z, dtype, 1, 1, 1, count}, i);
        values_set(to, i, v * v * v / 3);
    }
}

/* y^2 where z^2 is right. */
static void cube_slope_at_y(void *context, convt_dtype dtype, int64_t count, const void *z,
                            const void *y, const void *dy, void *dz)
{
    const double wrong = *(const double *)context;
    for (int64_t i = 0; i < count; i++) {
        const double a = values_get((convt_const_view){z, dtype, 1, 1, 1, count}, i),
                     b = values_get((convt_const_view){y, dtype, 1, 1, 1, count}, i),
                     up = values_get((convt_const_view){dy, dtype, 1, 1, 1, count}, i);
        values_set((convt_view){dz, dtype, 1, 1, 1, count}, i,
                   up * (wrong * b * b + (1 - wrong) * a * a));
    }
}

static double quartic(void *context, convt_const_view w)
{
    double sum = 0;
    (void)context;
    for (int64_t i = 0; i < values_count(w); i++) sum += pow(values_get(w, i), 4) / 4;
    return sum;
}

static void quartic_gradient(void *context, convt_const_view w, double scale, convt_view dw)
{
    for (int64_t i = 0; i < values_count(w); i++)
        values_set(dw, i,
                   values_get(convt_read(dw), i) +
                       *(const double *)context * scale * pow(values_get(w, i), 3));
}

static void a_wrong_callback_is_found(void **state)
{
    (void)state;
    double right = 0, wrong = 1, half = 0.5;
    convt_config cfg = shapes[0];
    cfg.activation = (convt_activation){.kind = CONVT_CUSTOM_ACTIVATION,
                                        .custom = {cube, cube_slope_at_y, &right}};
    must_pass(&cfg, "custom activation");
    cfg.activation.custom.context = &wrong;
    convt_gradcheck_report r = check(&cfg, 1, NULL, NULL);
    must_be(&r, CONVT_GRADCHECK_WRONG_GRADIENT, NULL, "slope at y");
    for (int i = 0; i < 3; i++) assert_true(r.rows[i].wrong > 0);

    cfg = shapes[0];
    cfg.kernel_regularizer = (convt_regularizer){.kind = CONVT_CUSTOM_REGULARIZER,
                                                 .loss = quartic,
                                                 .gradient = quartic_gradient,
                                                 .context = &wrong};
    must_pass(&cfg, "custom regularizer");
    cfg.kernel_regularizer.context = &half;
    for (int fast_too = 0; fast_too < 2; fast_too++) {
        r = check(&cfg, 1, NULL, fast_too ? &fast : NULL);
        must_be(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "kernel", "half a regularizer");
        assert_int_equal(r.rows[0].wrong + r.rows[2].wrong, 0);
    }
}

static void scale(void *factor, convt_view w)
{
    for (int64_t i = 0; i < values_count(convt_read(w)); i++)
        values_set(w, i, *(const double *)factor * values_get(convt_read(w), i));
}

static void a_constraint_that_does_not_hold_is_found(void **state)
{
    (void)state;
    double nothing = 0, half = 0.5;
    convt_config cfg = shapes[0];
    cfg.bias_constraint =
        (convt_constraint){.kind = CONVT_CUSTOM_CONSTRAINT, .apply = scale, .context = &nothing};
    must_pass(&cfg, "always 0");
    cfg.bias_constraint.context = &half;
    const convt_gradcheck_report r = check(&cfg, 1, NULL, NULL);
    must_be(&r, CONVT_GRADCHECK_WRONG_CONSTRAINT, "bias", "halved in every step");
    cfg.bias_constraint = (convt_constraint){.kind = CONVT_MAX_NORM, .max_value = CONVT_SET(1e-7)};
    must_pass(&cfg, "a norm as small as Keras' epsilon");
}

static void a_loss_that_is_not_the_sum_of_its_terms_is_found(void **state)
{
    (void)state;
    convti_subject *s = malloc(sizeof *s);
    convt_gradcheck_report r = {.verdict = CONVT_GRADCHECK_PASSED};
    convt_error err;
    convt_config cfg = shapes[0];
    assert_non_null(s);
    cfg.kernel_regularizer.kind = CONVT_L2;
    assert_int_equal(convti_subject_create(s, &cfg, 1, NULL, CONVT_FLOAT64, 1, &err), CONVT_OK);
    assert_int_equal(convti_check_loss(s, &r), CONVT_OK);
    must_be(&r, CONVT_GRADCHECK_PASSED, NULL, "as it is");
    s->l2[1] *= 1 + 1e-8;
    assert_int_equal(convti_check_loss(s, &r), CONVT_OK);
    must_be(&r, CONVT_GRADCHECK_WRONG_LOSS, "loss", "another coefficient");
    convti_subject_destroy(s);
    free(s);
}

/* Right in double, rough in float: what the comparison of precisions is for. */
static void rough_in_float32(void *context, convt_dtype dtype, int64_t count, const void *z,
                             const void *y, const void *dy, void *dz)
{
    cube_slope_at_y(context, dtype, count, z, y, dy, dz);
    for (int64_t i = 0; dtype == CONVT_FLOAT32 && i < count; i++) ((float *)dz)[i] *= 1.05f;
}

static void a_gradient_that_is_wrong_in_float32_alone_is_found(void **state)
{
    (void)state;
    double right = 0;
    convt_config cfg = shapes[0];
    cfg.activation = (convt_activation){.kind = CONVT_CUSTOM_ACTIVATION,
                                        .custom = {cube, rough_in_float32, &right}};
    convt_gradcheck_report r = check(&cfg, 1, NULL, NULL);
    must_be(&r, CONVT_GRADCHECK_PASSED, NULL, "right in float64");
    r = check(&cfg, 1, NULL, &single);
    must_be(&r, CONVT_GRADCHECK_WRONG_GRADIENT, NULL, "rough in float32");
}

/* z^40: a slope that a little of x changes by as much as float32 is off. */
static void steep_slope(void *context, convt_dtype dtype, int64_t count, const void *z,
                        const void *y, const void *dy, void *dz)
{
    (void)context, (void)y;
    for (int64_t i = 0; i < count; i++) {
        if (dtype == CONVT_FLOAT32)
            ((float *)dz)[i] = 1.0013f * ((const float *)dy)[i] * powf(((const float *)z)[i], 40);
        else
            ((double *)dz)[i] = ((const double *)dy)[i] * pow(((const double *)z)[i], 40);
    }
}

static void kinks_between_precisions_are_skipped_and_counted(void **state)
{
    (void)state;
    double right = 0;
    const convt_gradcheck_options none = {.float32 = true, .max_skipped = CONVT_SET(0)};
    convt_config cfg = shapes[0];
    cfg.activation =
        (convt_activation){.kind = CONVT_CUSTOM_ACTIVATION, .custom = {cube, steep_slope, &right}};
    const convt_gradcheck_report r = check(&cfg, 1, NULL, &none);
    must_be(&r, CONVT_GRADCHECK_SKIPPED_TOO_MUCH, NULL, "kinks");
    assert_true(r.rows[0].skipped > 0 && r.rows[0].wrong == 0);
}

/* Of blocks with a step of their own, too: where all is linear it is large, and a small one brings noise. */
static void a_step_of_the_options_is_everybody_s(void **state)
{
    (void)state;
    const convt_gradcheck_options usual = {.seed = 1},
                                  tiny = {.seed = 1, .step = CONVT_SET(1e-8), .rtol = CONVT_SET(1)};
    const convt_gradcheck_report fine = check(&shapes[0], 1, NULL, &usual),
                                 rough = check(&shapes[0], 1, NULL, &tiny);
    must_be(&fine, CONVT_GRADCHECK_PASSED, NULL, "its own steps");
    must_be(&rough, CONVT_GRADCHECK_PASSED, NULL, "tiny steps");
    for (int i = 0; i < fine.count; i++)
        assert_true(rough.rows[i].relative_error > 10 * fine.rows[i].relative_error);
}

/* ---- the call -------------------------------------------------------------------------------- */

static void sparsity_takes_few_calls_for_the_same_numbers(void **state)
{
    (void)state;
    const convt_config cfg = {.input = {12, 10, 4},
                              .filters = 5,
                              .kernel_size = {3, 3},
                              .strides = {2, 2},
                              .activation = {.kind = CONVT_TANH}};
    convt_gradcheck_report r = check(&cfg, 1, NULL, NULL);
    must_be(&r, CONVT_GRADCHECK_PASSED, NULL, "sparse");
    assert_int_equal(r.rows[0].checked, 480);
    assert_int_equal(r.rows[1].checked, 180);
    /* Colors: x 2 * 2 * 4, kernel 2 * 2 * 4, bias 1; two calls each, beside a direction a
     * block. */
    assert_int_equal(r.forward_calls, 2 + 2 * 3 + 2 * (16 + 16 + 1));
    assert_true(r.rows[1].relative_error < 1e-7);
}

static void memory_comes_from_the_config_and_goes_back(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++)
        for (int64_t k = 0; k < 20; k++) {
            failalloc accounts = {.fail_at = k};
            convt_config cfg = shapes[0];
            convt_gradcheck_report r;
            convt_error err;
            cfg.kernel_constraint.kind = CONVT_NON_NEG;
            cfg.allocator = failalloc_allocator(&accounts);
            const convt_status status = convt_layer_gradcheck(&cfg, way ? &single : NULL, &r, &err);
            assert_int_equal(accounts.live, 0);
            if (k == 0 || accounts.calls < k) {
                assert_int_equal(status, CONVT_OK);
                assert_int_equal(r.verdict, CONVT_GRADCHECK_PASSED);
                if (k > 0) break;
            } else {
                assert_int_equal(status, CONVT_NO_MEMORY);
                assert_int_equal(err.status, CONVT_NO_MEMORY);
            }
        }
}

static void wrong_configs_are_refused(void **state)
{
    (void)state;
    convt_gradcheck_report r;
    convt_error err;
    convt_config cfg = shapes[0];
    assert_refused(convt_layer_gradcheck(NULL, NULL, &r, &err), &err, CONVT_INVALID_ARGUMENT, "cfg",
                   "NULL");
    assert_refused(convt_layer_gradcheck(&cfg, NULL, NULL, &err), &err, CONVT_INVALID_ARGUMENT,
                   "report", "NULL");
    cfg.inference = true;
    assert_refused(convt_layer_gradcheck(&cfg, NULL, &r, &err), &err, CONVT_INVALID_ARGUMENT,
                   "inference", "no gradient");
    cfg.inference = false, cfg.filters = 0;
    assert_int_equal(convt_layer_gradcheck(&cfg, NULL, &r, &err), CONVT_INVALID_ARGUMENT);
    assert_non_null(strstr(err.field, "filters"));
    assert_refused(convt_model_gradcheck(NULL, 1, NULL, NULL, &r, &err), &err,
                   CONVT_INVALID_ARGUMENT, "layers", "NULL");
    assert_refused(convt_model_gradcheck(shapes, 32, NULL, NULL, &r, &err), &err,
                   CONVT_INVALID_ARGUMENT, "count", "32");
    const convt_loss_config loss = {.delta = CONVT_SET(1)};
    assert_int_equal(convt_model_gradcheck(shapes, 1, &loss, NULL, &r, &err),
                     CONVT_INVALID_ARGUMENT);
    const convt_gradcheck_options options = {.rtol = CONVT_SET(-1)};
    assert_refused(convt_layer_gradcheck(shapes, &options, &r, &err), &err, CONVT_INVALID_ARGUMENT,
                   "rtol", "-1");
    assert_int_equal(convt_layer_gradcheck(shapes, &options, &r, NULL), CONVT_INVALID_ARGUMENT);
}

/* ---- random layers --------------------------------------------------------------------------- */

static int64_t configs_wanted(void)
{
    const char *text = getenv("CONVT_GRADCHECK_CONFIGS");
    return text ? strtoll(text, NULL, 10) : 50;
}

/* A random geometry with what comes around next of every family. */
static convt_config draw(int64_t i)
{
    convt_config cfg = random_config((uint64_t)i + 1);
    int kind, count = 0;
    while (convti_name_at(CONVTI_ACTIVATIONS, count, NULL)) count++;
    convti_name_at(CONVTI_ACTIVATIONS, (int)(i % count), &kind);
    cfg.activation = complete_activation((convt_activation){.kind = (convt_activation_kind)kind});
    cfg.kernel_regularizer.kind = (convt_regularizer_kind)(i / 2 % 3);
    cfg.bias_regularizer.kind = cfg.no_bias ? CONVT_NO_REGULARIZER
                                            : (convt_regularizer_kind)(i / 6 % 3);
    cfg.activity_regularizer.kind = (convt_regularizer_kind)(i / 18 % 3);
    if (cfg.fixed) cfg.kernel_regularizer.kind = cfg.bias_regularizer.kind = CONVT_NO_REGULARIZER;
    if (kind == CONVT_GLU && convt_output_shape(&cfg, &(convt_shape){0}, NULL))
        cfg.activation =
            (convt_activation){.kind = CONVT_LINEAR}; /* an odd axis cannot be halved */
    return cfg;
}

static void random_layers_raise_no_false_alarm(void **state)
{
    (void)state;
    const int64_t wanted = configs_wanted();
    double worst = 0;
    int64_t skipped = 0, checked = 0;
    for (int64_t i = 0; i < wanted; i++) {
        char what[512];
        const convt_config cfg = draw(i);
        const convt_gradcheck_options options = {.seed = (uint64_t)i};
        const convt_gradcheck_options ways[] = {
            options,
            {.mode = CONVT_GRADCHECK_DIRECTIONS, .seed = options.seed},
            {.float32 = true, .seed = options.seed}};
        const int length = snprintf(what, sizeof what, "config %lld, activation %d: ", (long long)i,
                                    (int)cfg.activation.kind);
        config_text(&cfg, what + length, sizeof what - (size_t)length);
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            const convt_gradcheck_report r = check(&cfg, 1, NULL, &ways[k]);
            must_be(&r, CONVT_GRADCHECK_PASSED, NULL, what);
            for (int b = 0; k == 0 && b < r.count; b++) {
                worst = fmax(worst, r.rows[b].relative_error);
                skipped += r.rows[b].skipped;
                checked += r.rows[b].checked;
            }
        }
    }
    print_message("%lld layers: %lld elements checked, %lld on kinks, worst relative error %.2g\n",
                  (long long)wanted, (long long)checked, (long long)skipped, worst);
    assert_true(checked > 1000 * skipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation_passes),
        cmocka_unit_test(every_regularizer_passes),
        cmocka_unit_test(every_constraint_holds_after_a_step),
        cmocka_unit_test(every_loss_passes_behind_two_layers),
        cmocka_unit_test(every_kernel_order_passes),
        cmocka_unit_test(a_decoder_from_dense_to_conv_passes),
        cmocka_unit_test(a_wrong_callback_is_found),
        cmocka_unit_test(a_constraint_that_does_not_hold_is_found),
        cmocka_unit_test(a_loss_that_is_not_the_sum_of_its_terms_is_found),
        cmocka_unit_test(a_gradient_that_is_wrong_in_float32_alone_is_found),
        cmocka_unit_test(kinks_between_precisions_are_skipped_and_counted),
        cmocka_unit_test(a_step_of_the_options_is_everybody_s),
        cmocka_unit_test(sparsity_takes_few_calls_for_the_same_numbers),
        cmocka_unit_test(memory_comes_from_the_config_and_goes_back),
        cmocka_unit_test(wrong_configs_are_refused),
        cmocka_unit_test(random_layers_raise_no_false_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
