/*
 * Every row of every table against central differences in float64, through whole layers: backward
 * must give the gradients of sum(dy * y) + layer loss with respect to x, kernel and bias.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convt/gradcheck.h"
#include "names.h"
#include "support/close.h"
#include "support/isa.h"
#include "support/random_config.h"
#include "support/values.h"
#include "tables.h"

struct problem {
    convt_layer *layer;
    convt_view x, y, dy, dx;
};

static struct problem set_up(const convt_config *cfg, uint64_t seed)
{
    struct problem p;
    convt_error err;
    convt_config c = *cfg;
    c.max_batch = 2;
    c.seed = seed;
    c.dtype = CONVT_FLOAT64;
    c.kernel_initializer =
        (convt_initializer){.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(0.5)};
    c.bias_initializer = (convt_initializer){.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(0.5)};
    if (convt_layer_create(&p.layer, &c, &err) != CONVT_OK)
        fail_msg("%s: %s", err.field, err.message);
    convt_shape i = c.input, o = convt_layer_output(p.layer);
    p.x = values_new(c.dtype, 2, i.h, i.w, i.c);
    p.dx = values_new(c.dtype, 2, i.h, i.w, i.c);
    p.y = values_new(c.dtype, 2, o.h, o.w, o.c);
    p.dy = values_new(c.dtype, 2, o.h, o.w, o.c);
    values_random(p.x, seed + 1, -1, 1);
    values_random(p.dy, seed + 2, -1, 1);
    return p;
}

static void tear_down(struct problem *p)
{
    values_free(p->x), values_free(p->y), values_free(p->dy), values_free(p->dx);
    convt_layer_destroy(p->layer);
}

static void check_layer(const convt_config *cfg, uint64_t seed, const char *what)
{
    convt_gradcheck_report report;
    convt_error err;
    char text[4096];
    convt_config c = *cfg;
    c.max_batch = 2;
    if (convt_layer_gradcheck(&c, &(convt_gradcheck_options){.seed = seed}, &report, &err))
        fail_msg("%s: %s: %s", what, err.field, err.message);
    convt_gradcheck_text(&report, text, sizeof text);
    if (report.verdict != CONVT_GRADCHECK_PASSED) fail_msg("%s: %s", what, text);
}

/* Layouts and geometries that reach every path of the sweep; glu needs an even last axis. */
static const convt_config shapes[] = {
    {.input = {4, 3, 5},
     .filters = 6,
     .kernel_size = {3, 2},
     .strides = {2, 1},
     .padding = CONVT_SAME},
    {.input = {3, 4, 4}, .filters = 1, .kernel_size = {2, 3}, .data_format = CONVT_CHANNELS_FIRST},
    {.input = {5, 5, 9},
     .filters = 17,
     .kernel_size = {2, 2},
     .dilation_rate = {2, 1},
     .data_format = CONVT_CHANNELS_FIRST},
};

static void check_everywhere(convt_config cfg, const char *what)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        convt_config c = shapes[i];
        c.activation = cfg.activation;
        c.kernel_regularizer = cfg.kernel_regularizer;
        c.bias_regularizer = cfg.bias_regularizer;
        c.activity_regularizer = cfg.activity_regularizer;
        check_layer(&c, i + 1, what);
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

static void check_activations(const char *isa, void *context)
{
    (void)isa;
    (void)context;
    int kind;
    const char *name;
    for (int i = 0; (name = convti_name_at(CONVTI_ACTIVATIONS, i, &kind)); i++)
        check_everywhere((convt_config){.activation = complete_activation((convt_activation){
                                            .kind = (convt_activation_kind)kind})},
                         name);
}

static void every_activation_has_the_gradient_of_its_formula(void **state)
{
    (void)state;
    for_each_isa(check_activations, NULL);
}

static void activations_with_unusual_parameters_too(void **state)
{
    (void)state;
    static const convt_activation unusual[] = {
        {CONVT_RELU, .negative_slope = {true, 0.3}, .max_value = {true, 0.9},
         .threshold = {true, 0.2}},
        {CONVT_RELU, .threshold = {true, -0.4}},             /* needs z */
        {CONVT_RELU, .negative_slope = {true, -0.5}},        /* needs z */
        {CONVT_LEAKY_RELU, .negative_slope = {true, -0.25}}, /* needs z */
        {CONVT_LEAKY_RELU, .negative_slope = {true, 1.75}},
        {CONVT_ELU, .alpha = {true, 2.5}},
        {CONVT_ELU, .alpha = {true, -0.5}}, /* needs z */
        {CONVT_CELU, .alpha = {true, 0.3}},
        {CONVT_SQUAREPLUS, .b = {true, 0.5}},
        {CONVT_GELU, .approximate = {true, 1}},
        {CONVT_SOFT_SHRINK, .threshold = {true, 0.1}},
        {CONVT_HARD_SHRINK, .threshold = {true, 0.2}},
        {CONVT_HARD_SHRINK, .threshold = {true, -0.2}}, /* needs z */
        {CONVT_THRESHOLD, .threshold = {true, 0.1}, .default_value = {true, -1}},
        {CONVT_THRESHOLD, .threshold = {true, 0.1}, .default_value = {true, 2}}, /* needs z */
    };
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++)
        check_everywhere((convt_config){.activation = unusual[i]}, "unusual activation");
}

/* softsign: z / (1 + |z|), whose derivative wants z */
static void softsign(void *context, convt_dtype dtype, int64_t count, const void *z, void *y)
{
    assert_int_equal(dtype, CONVT_FLOAT64);
    assert_ptr_equal(context, &shapes);
    for (int64_t i = 0; i < count; i++)
        ((double *)y)[i] = ((const double *)z)[i] / (1 + fabs(((const double *)z)[i]));
}

static void softsign_backward(void *context, convt_dtype dtype, int64_t count, const void *z,
                              const void *y, const void *dy, void *dz)
{
    (void)context, (void)dtype, (void)y;
    for (int64_t i = 0; i < count; i++)
        ((double *)dz)[i] = ((const double *)dy)[i] / pow(1 + fabs(((const double *)z)[i]), 2);
}

static const convt_activation custom_activation = {
    CONVT_CUSTOM_ACTIVATION, .custom = {softsign, softsign_backward, (void *)&shapes}};

static void a_custom_activation_is_differentiated_by_its_callback(void **state)
{
    (void)state;
    check_everywhere((convt_config){.activation = custom_activation}, "custom activation");
}

static void check_kept_z(const convt_config *cfg)
{
    struct problem p = set_up(cfg, 3);
    convt_config linear = *cfg;
    convt_shape s;
    linear.activation = (convt_activation){CONVT_LINEAR};
    assert_int_equal(convt_output_shape(&linear, &s, NULL), CONVT_OK);
    convt_view z = values_new(CONVT_FLOAT64, p.y.n, s.h, s.w, s.c),
               y = values_new(CONVT_FLOAT64, p.y.n, p.y.h, p.y.w, p.y.c),
               again = values_new(CONVT_FLOAT64, p.x.n, p.x.h, p.x.w, p.x.c);
    const convt_const_view none = {0};
    assert_int_equal(convt_forward(p.layer, convt_read(p.x), y), CONVT_OK);
    assert_int_equal(convt_forward_z(p.layer, convt_read(p.x), z, p.y), CONVT_OK);
    assert_same_bits(p.y.data, y.data, (size_t)values_count(convt_read(y)) * sizeof(double));
    assert_int_equal(convt_backward_data(p.layer, convt_read(p.x), convt_read(z), convt_read(p.y),
                                         convt_read(p.dy), p.dx, 2),
                     CONVT_OK);
    assert_int_equal(convt_backward_data(p.layer, convt_read(p.x), none, convt_read(p.y),
                                         convt_read(p.dy), again, 2),
                     CONVT_OK);
    assert_same_bits(p.dx.data, again.data,
                     (size_t)values_count(convt_read(again)) * sizeof(double));
    values_free(z), values_free(y), values_free(again);
    tear_down(&p);
}

static void a_kept_z_gives_the_bits_that_a_recomputed_one_gives(void **state)
{
    (void)state;
    const convt_activation needy[] = {custom_activation,
                                      {CONVT_ELU, .alpha = {true, -0.5}},
                                      {.kind = CONVT_GLU},
                                      {.kind = CONVT_SOFTMAX}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof needy / sizeof *needy; k++) {
            convt_config cfg = shapes[i];
            cfg.activation = needy[k];
            check_kept_z(&cfg);
        }
}

/* ---- regularizers ---------------------------------------------------------------------------- */

static void every_regularizer_has_the_gradient_of_its_loss(void **state)
{
    (void)state;
    int kind;
    const char *name;
    for (int i = 0; (name = convti_name_at(CONVTI_REGULARIZERS, i, &kind)); i++) {
        convt_regularizer r = {(convt_regularizer_kind)kind, .l1 = CONVT_SET(0.3),
                               .l2 = CONVT_SET(0.2)};
        r.l1.set = kind != CONVT_L2;
        r.l2.set = kind != CONVT_L1;
        check_everywhere((convt_config){.kernel_regularizer = r}, name);
        check_everywhere((convt_config){.bias_regularizer = r}, name);
        check_everywhere((convt_config){.activity_regularizer = r}, name);
        check_everywhere((convt_config){.kernel_regularizer = r,
                                        .bias_regularizer = r,
                                        .activity_regularizer = r,
                                        .activation = {CONVT_TANH}},
                         name);
        check_everywhere((convt_config){.activity_regularizer = r,
                                        .activation = {CONVT_ELU, .alpha = {true, -0.5}}},
                         name); /* z and activity at once */
        check_everywhere(
            (convt_config){.activity_regularizer = r, .activation = {.kind = CONVT_GLU}},
            name); /* and a y that is smaller than z */
        check_everywhere(
            (convt_config){.activity_regularizer = r, .activation = {.kind = CONVT_SOFTMAX}}, name);
    }
}

/* sum of fourth powers */
static double quartic(void *context, convt_const_view w)
{
    (void)context;
    double sum = 0;
    for (int64_t i = 0; i < values_count(w); i++) sum += pow(values_get(w, i), 4);
    return sum;
}

static void quartic_gradient(void *context, convt_const_view w, double scale, convt_view dw)
{
    (void)context;
    for (int64_t i = 0; i < values_count(w); i++)
        values_set(dw, i, values_get(convt_read(dw), i) + scale * 4 * pow(values_get(w, i), 3));
}

static void a_custom_regularizer_is_differentiated_by_its_callback(void **state)
{
    (void)state;
    const convt_regularizer r = {
        .kind = CONVT_CUSTOM_REGULARIZER, .loss = quartic, .gradient = quartic_gradient};
    check_everywhere((convt_config){.kernel_regularizer = r, .bias_regularizer = r},
                     "custom weight regularizer");
    check_everywhere((convt_config){.activity_regularizer = r, .activation = {CONVT_SOFTPLUS}},
                     "custom activity regularizer");
    check_everywhere((convt_config){.activity_regularizer = r, .activation = custom_activation},
                     "custom both");
}

static void a_frozen_layer_has_no_weight_terms(void **state)
{
    (void)state;
    convt_config cfg = shapes[0];
    cfg.frozen = true;
    cfg.kernel_regularizer = cfg.bias_regularizer = cfg.activity_regularizer =
        (convt_regularizer){CONVT_L2, .l2 = {true, 0.5}};
    check_layer(&cfg, 5, "frozen");
    struct problem p = set_up(&cfg, 5);
    assert_close(convt_layer_weight_loss(p.layer), 0, 0, 0);
    tear_down(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation_has_the_gradient_of_its_formula),
        cmocka_unit_test(activations_with_unusual_parameters_too),
        cmocka_unit_test(a_custom_activation_is_differentiated_by_its_callback),
        cmocka_unit_test(a_kept_z_gives_the_bits_that_a_recomputed_one_gives),
        cmocka_unit_test(every_regularizer_has_the_gradient_of_its_loss),
        cmocka_unit_test(a_custom_regularizer_is_differentiated_by_its_callback),
        cmocka_unit_test(a_frozen_layer_has_no_weight_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
