/* A model against its layers called by hand, its gradients against central differences, and its one
 * arena. */
#include "support/close.h"
#include "support/failalloc.h"
#include "support/values.h"

#include <convt/train.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 3, H = 2, W = 3, C = 3, LAYERS = 4, X_SIZE = N * H * W * C };

/* An activation that needs z, one that does not change its input, regularizers of every kind, a
 * layer without a bias. Outputs shrink, so that a buffer sized for the last of the layers that
 * share it is too small. */
static void configure(convt_config layers[LAYERS], convt_dtype dtype)
{
    const convt_config configs[LAYERS] = {
        {.input = {H, W, C},
         .max_batch = N,
         .filters = 20,
         .kernel_size = {3, 2},
         .strides = {2, 1},
         .dtype = dtype,
         .activation = {.kind = CONVT_RELU, .negative_slope = CONVT_SET(-0.3)},
         .seed = 5,
         .kernel_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.02)},
         .activity_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.05)},
         .bias_initializer = {.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(0.3)}},
        {.filters = 7,
         .kernel_size = {3, 3},
         .padding = CONVT_SAME,
         .dtype = dtype,
         .activation = {.kind = CONVT_ELU},
         .bias_initializer = {.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(0.3)},
         .bias_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.1)},
         .activity_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.01)}},
        {.filters = 5, .kernel_size = {3, 3}, .padding = CONVT_SAME, .dtype = dtype},
        {.filters = 2,
         .kernel_size = {1, 1},
         .no_bias = true,
         .activation = {.kind = CONVT_SIGMOID},
         .dtype = dtype},
    };
    memcpy(layers, configs, sizeof configs);
}

static convt_model *create(const convt_config layers[], int count)
{
    convt_model *model;
    convt_error err;
    if (convt_model_create(&model, layers, count, &err)) fail_msg("%s: %s", err.field, err.message);
    return model;
}

static void draw(uint64_t seed, int64_t count, double *a)
{
    values_random(convt_f64(a, 1, 1, 1, count), seed, -2, 2);
}

static double *numbers(int64_t count)
{
    double *a = calloc((size_t)count, sizeof *a);
    assert_non_null(a);
    return a;
}

static convt_const_view input(const double *x, int64_t n)
{
    return convt_f64(x, n, H, W, C);
}

/* ---- against layers by hand ------------------------------------------------------------------ */

/* Layers of their own with the parameters of a model's. */
static void copy_layers(convt_model *model, convt_layer *copies[LAYERS])
{
    for (int i = 0; i < LAYERS; i++) {
        convt_config cfg = *convt_layer_config(convt_model_layer(model, i));
        convt_parameter rows[2];
        cfg.allocator = (convt_allocator){0};
        assert_int_equal(convt_layer_create(&copies[i], &cfg, NULL), CONVT_OK);
        const int count = convt_layer_parameters(convt_model_layer(model, i), rows);
        assert_int_equal(convt_layer_set_kernel(copies[i], convt_read(rows[0].value)), CONVT_OK);
        if (count > 1)
            assert_int_equal(convt_layer_set_bias(copies[i], convt_read(rows[1].value)), CONVT_OK);
    }
}

static void compare_gradients(convt_layer *a, convt_layer *b)
{
    convt_parameter rows_a[2], rows_b[2];
    const int count = convt_layer_parameters(a, rows_a);
    assert_int_equal(convt_layer_parameters(b, rows_b), count);
    for (int r = 0; r < count; r++)
        assert_same_bits(rows_a[r].gradient.data, rows_b[r].gradient.data,
                         (size_t)values_count(convt_read(rows_a[r].gradient)) * sizeof(double));
}

static void a_model_is_its_layers_in_a_row(void **state)
{
    (void)state;
    convt_config layers[LAYERS];
    configure(layers, CONVT_FLOAT64);
    convt_model *model = create(layers, LAYERS);
    convt_layer *copies[LAYERS];
    copy_layers(model, copies);
    for (int64_t n = N; n >= 0; n--) {
        double x[X_SIZE], dx[X_SIZE], dx_by_hand[X_SIZE], activity = 0, weights = 0, *y[LAYERS],
                                                          *dy[LAYERS];
        convt_view views[LAYERS];
        convt_const_view in = input(x, n);
        draw(1, X_SIZE, x);
        memset(dx, 0, sizeof dx);
        memset(dx_by_hand, 0, sizeof dx_by_hand);
        for (int i = 0; i < LAYERS; i++) {
            const convt_shape s = convt_layer_output(copies[i]);
            double part;
            y[i] = numbers(N * s.h * s.w * s.c);
            dy[i] = numbers(N * s.h * s.w * s.c);
            views[i] = convt_f64(y[i], n, s.h, s.w, s.c);
            assert_int_equal(convt_forward(copies[i], in, views[i]), CONVT_OK);
            assert_int_equal(
                convt_layer_activity_loss(copies[i], convt_read(views[i]), (double)n, &part),
                CONVT_OK);
            activity += part;
            weights += convt_layer_weight_loss(copies[i]);
            in = convt_read(views[i]);
        }
        assert_int_equal(convt_model_forward(model, input(x, n)), CONVT_OK);
        const convt_const_view out = convt_model_output(model);
        assert_int_equal(out.n, n);
        assert_int_equal(values_count(out), values_count(in));
        assert_same_bits(out.data, y[LAYERS - 1], (size_t)values_count(out) * sizeof(double));
        assert_close(convt_model_activity_loss(model, (double)n), activity, 1e-14, 0);
        assert_close(convt_model_weight_loss(model), weights, 1e-14, 0);

        draw(9, values_count(out), dy[LAYERS - 1]);
        const convt_const_view top = {dy[LAYERS - 1], out.dtype, out.n, out.h, out.w, out.c};
        assert_int_equal(convt_model_backward(model, input(x, n), top, convt_f64(dx, n, H, W, C)),
                         CONVT_OK);
        for (int i = LAYERS - 1; i >= 0; i--) {
            convt_view slopes = views[i],
                       below = i ? views[i - 1] : convt_f64(dx_by_hand, n, H, W, C);
            slopes.data = dy[i];
            if (i) below.data = dy[i - 1];
            assert_int_equal(convt_backward(copies[i], i ? convt_read(views[i - 1]) : input(x, n),
                                            convt_read(views[i]), convt_read(slopes), below),
                             CONVT_OK);
            compare_gradients(convt_model_layer(model, i), copies[i]);
        }
        assert_same_bits(dx, dx_by_hand, sizeof dx);
        for (int i = 0; i < LAYERS; i++) {
            free(y[i]);
            free(dy[i]);
        }
    }
    for (int i = 0; i < LAYERS; i++) convt_layer_destroy(copies[i]);
    convt_model_destroy(model);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static double total(convt_model *model, const double *x, const double *dy)
{
    double sum = 0;
    assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
    const convt_const_view out = convt_model_output(model);
    for (int64_t i = 0; i < values_count(out); i++) sum += dy[i] * ((const double *)out.data)[i];
    return sum + convt_model_weight_loss(model) + convt_model_activity_loss(model, N);
}

static double central_difference(convt_model *model, const double *x, const double *dy,
                                 double *number)
{
    const double step = 1e-6, kept = *number;
    double sides[2];
    for (int side = 0; side < 2; side++) {
        *number = side ? kept + step : kept - step;
        for (int i = 0; i < LAYERS; i++) convt_layer_touch(convt_model_layer(model, i));
        sides[side] = total(model, x, dy);
    }
    *number = kept;
    for (int i = 0; i < LAYERS; i++) convt_layer_touch(convt_model_layer(model, i));
    return (sides[1] - sides[0]) / (2 * step);
}

static void gradients_are_those_of_output_and_regularization(void **state)
{
    (void)state;
    convt_config layers[LAYERS];
    configure(layers, CONVT_FLOAT64);
    convt_model *model = create(layers, LAYERS);
    double x[X_SIZE], dx[X_SIZE];
    draw(1, X_SIZE, x);
    assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
    const convt_const_view out = convt_model_output(model);
    double *dy = numbers(values_count(out));
    draw(2, values_count(out), dy);
    const convt_const_view top = {dy, out.dtype, out.n, out.h, out.w, out.c};
    assert_int_equal(convt_model_backward(model, input(x, N), top, convt_f64(dx, N, H, W, C)),
                     CONVT_OK);
    for (int i = 0; i < X_SIZE; i++)
        assert_close(dx[i], central_difference(model, x, dy, &x[i]), 1e-5, 1e-6);

    convt_parameter rows[2 * LAYERS];
    const int count = convt_model_parameters(model, rows);
    assert_int_equal(count, 2 * LAYERS - 1);
    for (int r = 0; r < count; r++)
        for (int64_t i = 0; i < values_count(convt_read(rows[r].value)); i += 3)
            assert_close(((double *)rows[r].gradient.data)[i],
                         central_difference(model, x, dy, (double *)rows[r].value.data + i), 1e-5,
                         1e-6);
    free(dy);
    convt_model_destroy(model);
}

static void the_divisor_is_that_of_the_whole_batch(void **state)
{
    (void)state;
    convt_config layer = {.input = {H, W, C},
                          .max_batch = N,
                          .filters = 2,
                          .kernel_size = {2, 2},
                          .dtype = CONVT_FLOAT64,
                          .activity_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.5)},
                          .kernel_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.5)}};
    convt_model *model = create(&layer, 1);
    double x[X_SIZE], whole[X_SIZE], part[X_SIZE], *dy;
    draw(1, X_SIZE, x);
    assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
    convt_const_view top = convt_model_output(model);
    dy = numbers(values_count(top)); /* zeros: the regularizers alone */
    top.data = dy;
    assert_int_equal(
        convt_model_backward_data(model, input(x, N), top, convt_f64(whole, N, H, W, C), 1),
        CONVT_OK);
    assert_int_equal(
        convt_model_backward_data(model, input(x, N), top, convt_f64(part, N, H, W, C), 8),
        CONVT_OK);
    for (int i = 0; i < X_SIZE; i++) assert_close(part[i], whole[i] / 8, 1e-13, 0);
    assert_close(convt_model_activity_loss(model, 8), convt_model_activity_loss(model, 1) / 8,
                 1e-15, 0);
    assert_close(convt_model_activity_loss(model, 0), 0, 0, 0);

    convt_parameter rows[2];
    convt_model_parameters(model, rows);
    const double *dw = rows[0].gradient.data, *w = rows[0].value.data, before = dw[0];
    assert_int_equal(convt_model_backward_weights(model), CONVT_OK);
    assert_close(dw[0], before + 2 * 0.5 * w[0], 1e-14, 0);
    free(dy);
    convt_model_destroy(model);
}

static void x_may_be_left_out_where_dx_alone_is_wanted(void **state)
{
    (void)state;
    convt_config layers[2] = {{.input = {H, W, C},
                               .max_batch = N,
                               .filters = 3,
                               .kernel_size = {2, 2},
                               .dtype = CONVT_FLOAT64,
                               .activation = {.kind = CONVT_SIGMOID}},
                              {.filters = 2, .kernel_size = {3, 3}, .dtype = CONVT_FLOAT64}};
    for (int gelu = 0; gelu < 2; gelu++) {
        if (gelu) layers[1].activation.kind = CONVT_GELU; /* its slope needs z, hence the input */
        convt_model *model = create(layers, 2);
        const convt_const_view none = convt_read(CONVT_NONE);
        double x[X_SIZE], dx[X_SIZE], alone[X_SIZE];
        draw(1, X_SIZE, x);
        assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
        const convt_const_view top = convt_model_output(model); /* as good a dy as any */
        const convt_view to = convt_f64(dx, N, H, W, C), apart = convt_f64(alone, N, H, W, C);
        assert_int_equal(convt_model_backward_data(model, input(x, N), top, to, N), CONVT_OK);
        convt_parameter rows[4];
        convt_model_parameters(model, rows);
        double *dw = rows[0].gradient.data, before = dw[0];
        dw[0] = before + 1;
        const convt_status status = convt_model_backward_data(model, none, top, apart, N);
        assert_close(dw[0], before + 1, 0, 0);
        if (gelu)
            assert_refused(status, convt_model_error(model), CONVT_INVALID_SHAPE, "layers[1].x",
                           "expected");
        else
            assert_same_bits(alone, dx, sizeof dx);
        assert_int_not_equal(convt_model_backward_data(model, none, top, CONVT_NONE, N), CONVT_OK);
        convt_model_destroy(model);
    }
}

/* ---- other shapes between layers, and fixed layers ------------------------------------------- */

/* A decoder as Keras has them: Dense, Reshape, a fixed layer that doubles every pixel, Conv2D. */
enum { CODE = 5, MIDDLE_H = 2, MIDDLE_W = 3, MIDDLE_C = 4, CODES_SIZE = N * CODE, CHAIN = 3 };

static void ones(void *context, convt_view parameter)
{
    (void)context;
    for (int64_t i = 0; i < values_count(convt_read(parameter)); i++) values_set(parameter, i, 1);
}

static void configure_chain(convt_config layers[CHAIN], convt_data_format format)
{
    const convt_initializer random = {.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(0.3)};
    const convt_config configs[CHAIN] = {
        {.input = {1, 1, CODE},
         .max_batch = N,
         .filters = MIDDLE_H * MIDDLE_W * MIDDLE_C,
         .kernel_size = {1, 1},
         .kernel_order = CONVT_KERNEL_DENSE,
         .activation = {CONVT_TANH},
         .bias_initializer = random,
         .kernel_regularizer = {.kind = CONVT_L2},
         .seed = 5},
        {.input = {MIDDLE_H, MIDDLE_W, MIDDLE_C},
         .filters = MIDDLE_C,
         .kernel_size = {2, 2},
         .strides = {2, 2},
         .no_bias = true,
         .kernel_initializer = {.kind = CONVT_CUSTOM_INITIALIZER, .fill = ones},
         .fixed = true},
        {.filters = 2,
         .kernel_size = {3, 2},
         .padding = CONVT_SAME,
         .kernel_order = CONVT_KERNEL_CONV,
         .bias_initializer = random,
         .activation = {CONVT_SIGMOID}},
    };
    memcpy(layers, configs, sizeof configs);
    for (int i = 0; i < CHAIN; i++) {
        layers[i].dtype = CONVT_FLOAT64;
        layers[i].data_format = format;
    }
}

/* The chain layer by layer, with the same numbers in views of other shapes. */
static void run_chain_by_hand(const convt_config layers[CHAIN], const double *x, const double *dy,
                              double *y[CHAIN], double *dx[CHAIN])
{
    convt_shape in[CHAIN], out[CHAIN];
    convt_layer *layer[CHAIN];
    convt_model *model = create(layers, CHAIN); /* which knows seeds and shapes */
    for (int i = 0; i < CHAIN; i++) {
        convt_config cfg = *convt_layer_config(convt_model_layer(model, i));
        cfg.allocator = (convt_allocator){0};
        assert_int_equal(convt_layer_create(&layer[i], &cfg, NULL), CONVT_OK);
        in[i] = cfg.input;
        out[i] = convt_layer_output(layer[i]);
        y[i] = numbers(N * out[i].h * out[i].w * out[i].c);
        dx[i] = numbers(N * in[i].h * in[i].w * in[i].c);
        const double *from = i ? y[i - 1] : x;
        assert_int_equal(convt_forward(layer[i], convt_f64(from, N, in[i].h, in[i].w, in[i].c),
                                       convt_f64(y[i], N, out[i].h, out[i].w, out[i].c)),
                         CONVT_OK);
    }
    for (int i = CHAIN - 1; i >= 0; i--) {
        const double *from = i ? y[i - 1] : x, *own = y[i];
        const double *above = i == CHAIN - 1 ? dy : dx[i + 1];
        assert_int_equal(convt_backward(layer[i], convt_f64(from, N, in[i].h, in[i].w, in[i].c),
                                        convt_f64(own, N, out[i].h, out[i].w, out[i].c),
                                        convt_f64(above, N, out[i].h, out[i].w, out[i].c),
                                        convt_f64(dx[i], N, in[i].h, in[i].w, in[i].c)),
                         CONVT_OK);
    }
    for (int i = 0; i < CHAIN; i++) convt_layer_destroy(layer[i]);
    convt_model_destroy(model);
}

static void outputs_are_taken_in_the_shape_that_the_next_layer_names(void **state)
{
    (void)state;
    for (int format = CONVT_CHANNELS_LAST; format <= CONVT_CHANNELS_FIRST; format++) {
        convt_config layers[CHAIN];
        configure_chain(layers, (convt_data_format)format);
        convt_model *model = create(layers, CHAIN);
        const convt_shape last = convt_layer_output(convt_model_layer(model, CHAIN - 1));
        assert_true(last.h == 2 * MIDDLE_H && last.w == 2 * MIDDLE_W && last.c == 2);
        const int64_t outputs = N * last.h * last.w * last.c;
        double x[CODES_SIZE], own_dx[CODES_SIZE], *dy = numbers(outputs), *y[CHAIN], *dx[CHAIN];
        const double *cx = x, *cdy = dy;
        const convt_const_view in = convt_f64(cx, N, 1, 1, CODE),
                               top = convt_f64(cdy, N, last.h, last.w, last.c);
        draw(1, CODES_SIZE, x);
        draw(2, outputs, dy);
        run_chain_by_hand(layers, x, dy, y, dx);
        assert_int_equal(convt_model_forward(model, in), CONVT_OK);
        assert_same_bits(convt_model_output(model).data, y[CHAIN - 1],
                         (size_t)outputs * sizeof(double));
        assert_int_equal(convt_model_backward(model, in, top, convt_f64(own_dx, N, 1, 1, CODE)),
                         CONVT_OK);
        assert_same_bits(own_dx, dx[0], sizeof own_dx);

        layers[0].inference = true;
        convt_model *forward = create(layers, CHAIN);
        assert_int_equal(convt_model_forward(forward, in), CONVT_OK);
        assert_same_bits(convt_model_output(forward).data, y[CHAIN - 1],
                         (size_t)outputs * sizeof(double));
        convt_model_destroy(forward);
        convt_model_destroy(model);
        for (int i = 0; i < CHAIN; i++) free(y[i]), free(dx[i]);
        free(dy);
    }
}

/* What lies where, by hand: unit i of a Dense is element i of the image in memory. */
static void a_reshape_moves_no_element(void **state)
{
    (void)state;
    for (int format = CONVT_CHANNELS_LAST; format <= CONVT_CHANNELS_FIRST; format++) {
        const convt_config layers[] = {{.input = {1, 1, 24},
                                        .filters = 24,
                                        .kernel_size = {1, 1},
                                        .kernel_order = CONVT_KERNEL_DENSE,
                                        .kernel_initializer = {.kind = CONVT_IDENTITY},
                                        .data_format = (convt_data_format)format},
                                       {.input = {2, 3, 4},
                                        .filters = 4,
                                        .kernel_size = {1, 1},
                                        .kernel_order = CONVT_KERNEL_DENSE,
                                        .kernel_initializer = {.kind = CONVT_IDENTITY},
                                        .data_format = (convt_data_format)format}};
        convt_model *model = create(layers, 2);
        float x[24];
        const float *cx = x;
        for (int i = 0; i < 24; i++) x[i] = (float)i;
        assert_int_equal(convt_model_forward(model, convt_f32(cx, 1, 1, 1, 24)), CONVT_OK);
        const convt_const_view y = convt_model_output(model);
        assert_true(y.h == 2 && y.w == 3 && y.c == 4);
        assert_same_bits(y.data, x, sizeof x);
        convt_model_destroy(model);
    }
}

static void other_counts_of_elements_are_refused_with_both_shapes(void **state)
{
    (void)state;
    static const convt_shape wrong[] = {
        {2, 3, 5}, {0, 0, 24}, {-2, -3, 4}, {INT64_MAX, 2, 12}, {1, 1, 23}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_config layers[CHAIN];
        convt_model *model;
        convt_error err;
        char got[96];
        configure_chain(layers, CONVT_CHANNELS_LAST);
        layers[1].input = wrong[i];
        snprintf(got, sizeof got,
                 "(1, 1, 24), which the layer before gives, got (%lld, %lld, %lld)",
                 (long long)wrong[i].h, (long long)wrong[i].w, (long long)wrong[i].c);
        assert_refused(convt_model_create(&model, layers, CHAIN, &err), &err,
                       CONVT_INVALID_ARGUMENT, "layers[1].input", got);
        assert_int_equal(convt_model_memory(layers, CHAIN, NULL), 0);
    }
}

/* A fixed layer has no rows, and the ones on either side learn through it. */
static void a_model_trains_around_a_fixed_layer(void **state)
{
    (void)state;
    enum { SAMPLES = 7 };
    convt_config layers[CHAIN];
    configure_chain(layers, CONVT_CHANNELS_LAST);
    convt_model *model = create(layers, CHAIN);
    convt_parameter rows[2 * CHAIN];
    const int count = convt_model_parameters(model, rows);
    assert_int_equal(count, 4);
    assert_string_equal(rows[0].owner, "conv2d_transpose");
    assert_string_equal(rows[2].owner, "conv2d_transpose_2");
    convt_sgd *sgd;
    convt_trainer *trainer;
    convt_error err;
    const convt_sgd_config rule = {.learning_rate = CONVT_SET(0.5), .momentum = 0.5};
    assert_int_equal(convt_sgd_create(&sgd, &rule, rows, count, &err), CONVT_OK);
    convt_view x = values_new(CONVT_FLOAT64, SAMPLES, 1, 1, CODE),
               y = values_new(CONVT_FLOAT64, SAMPLES, 2 * MIDDLE_H, 2 * MIDDLE_W, 2);
    values_random(x, 1, -1, 1);
    values_random(y, 2, 0.2, 0.8);
    convt_arrays arrays = {convt_read(x), convt_read(y)};
    const convt_trainer_config cfg = {
        .model = model,
        .sgd = sgd,
        .batch_size = N,
        .epochs = 60,
        .data = {.count = SAMPLES, .gather = convt_arrays_gather, .context = &arrays}};
    if (convt_trainer_create(&trainer, &cfg, &err)) fail_msg("%s: %s", err.field, err.message);
    convt_loss_value before, after;
    assert_int_equal(convt_evaluate(trainer, 0, SAMPLES, &before), CONVT_OK);
    assert_int_equal(convt_fit(trainer), CONVT_OK);
    assert_int_equal(convt_evaluate(trainer, 0, SAMPLES, &after), CONVT_OK);
    assert_true(after.mse < 0.7 * before.mse);
    convt_state list[32];
    const int states = convt_trainer_state(trainer, list, 32);
    for (int i = 0; i < states; i++) assert_null(strstr(list[i].name, "conv2d_transpose_1/"));
    convt_trainer_destroy(trainer);
    convt_sgd_destroy(sgd);
    convt_model_destroy(model);
    values_free(x), values_free(y);
}

/* Nothing to learn at all: every call does its part, and nothing else. */
static void a_model_of_fixed_layers_has_no_parameters(void **state)
{
    (void)state;
    const convt_config layer = {
        .input = {2, 2, 3}, .max_batch = 2, .filters = 2, .kernel_size = {2, 2}, .fixed = true};
    convt_model *model = create(&layer, 1);
    convt_parameter rows[2];
    convt_sgd *sgd;
    assert_int_equal(convt_model_parameters(model, rows), 0);
    assert_int_equal(convt_sgd_create(&sgd, &(convt_sgd_config){.momentum = 0.5}, rows, 0, NULL),
                     CONVT_OK);
    convt_view x = values_new(CONVT_FLOAT32, 2, 2, 2, 3);
    values_random(x, 1, -1, 1);
    assert_int_equal(convt_model_forward(model, convt_read(x)), CONVT_OK);
    assert_int_equal(
        convt_model_backward(model, convt_read(x), convt_model_output(model), CONVT_NONE),
        CONVT_OK);
    assert_close(convt_model_weight_loss(model), 0, 0, 0);
    convt_sgd_step(sgd);
    convt_sgd_destroy(sgd);
    convt_model_destroy(model);
    values_free(x);
}

/* ---- inference ------------------------------------------------------------------------------- */

static void inference_gives_the_same_bits_in_less_memory(void **state)
{
    (void)state;
    convt_config layers[LAYERS];
    configure(layers, CONVT_FLOAT64);
    convt_model *training = create(layers, LAYERS);
    const size_t bytes = convt_model_bytes(training);
    layers[0].inference = true;
    convt_model *model = create(layers, LAYERS);
    assert_true(convt_model_bytes(model) < bytes);
    double x[X_SIZE];
    draw(1, X_SIZE, x);
    assert_int_equal(convt_model_forward(training, input(x, N)), CONVT_OK);
    assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
    const convt_const_view a = convt_model_output(training), b = convt_model_output(model);
    assert_same_bits(a.data, b.data, (size_t)values_count(a) * sizeof(double));
    assert_close(convt_model_activity_loss(model, N), convt_model_activity_loss(training, N), 0, 0);
    assert_int_equal(convt_model_backward(model, input(x, N), a, CONVT_NONE),
                     CONVT_INVALID_ARGUMENT);
    assert_string_equal(convt_model_error(model)->field, "inference");
    assert_int_equal(convt_model_backward_weights(model), CONVT_INVALID_ARGUMENT);
    convt_model_destroy(model);
    convt_model_destroy(training);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    double x[X_SIZE], first_dx[X_SIZE], dx[X_SIZE], *first_y = NULL;
    draw(1, X_SIZE, x);
    for (int k = 0; k < 4; k++) {
        convt_config layers[LAYERS];
        configure(layers, CONVT_FLOAT64);
        layers[0].threads = (int[]){1, 2, 3, 7}[k];
        convt_model *model = create(layers, LAYERS);
        assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
        const convt_const_view out = convt_model_output(model);
        const size_t bytes = (size_t)values_count(out) * sizeof(double);
        assert_int_equal(convt_model_backward(model, input(x, N), out, convt_f64(dx, N, H, W, C)),
                         CONVT_OK);
        if (k == 0) {
            first_y = numbers(values_count(out));
            memcpy(first_y, out.data, bytes);
            memcpy(first_dx, dx, sizeof dx);
        }
        assert_same_bits(out.data, first_y, bytes);
        assert_same_bits(dx, first_dx, sizeof dx);
        convt_model_destroy(model);
    }
    free(first_y);
}

/* ---- creation -------------------------------------------------------------------------------- */

static void unnamed_layers_are_named_and_seeded(void **state)
{
    (void)state;
    const convt_config layers[] = {
        {.input = {2, 2, 4}, .filters = 4, .kernel_size = {3, 3}},
        {.filters = 4, .kernel_size = {3, 3}, .name = "mine"},
        {.filters = 4, .kernel_size = {3, 3}},
    };
    convt_model *model = create(layers, 3), *again = create(layers, 3);
    static const char *names[] = {"conv2d_transpose", "mine", "conv2d_transpose_1"};
    convt_parameter rows[6], same[6];
    assert_int_equal(convt_model_layer_count(model), 3);
    assert_null(convt_model_layer(model, 3));
    assert_null(convt_model_layer(model, -1));
    for (int i = 0; i < 3; i++)
        assert_string_equal(convt_layer_config(convt_model_layer(model, i))->name, names[i]);
    assert_int_equal(convt_model_parameters(model, rows), 6);
    assert_int_equal(convt_model_parameters(again, same), 6);
    const size_t bytes = sizeof(float[3][3][4][4]);
    for (int i = 0; i < 6; i += 2) assert_same_bits(rows[i].value.data, same[i].value.data, bytes);
    assert_memory_not_equal(rows[0].value.data, rows[2].value.data, bytes);
    assert_memory_not_equal(rows[2].value.data, rows[4].value.data, bytes);
    convt_model_destroy(again);
    convt_model_destroy(model);
    convt_model_destroy(NULL);
}

static void refuse(const convt_config layers[], int count, convt_status status, const char *field)
{
    convt_model *model = (convt_model *)&status;
    convt_error err = {0};
    assert_int_equal(convt_model_memory(layers, count, &err), 0);
    assert_string_equal(err.field, field);
    assert_int_equal(convt_model_create(&model, layers, count, &err), status);
    assert_null(model);
    assert_int_equal(err.status, status);
    assert_string_equal(err.field, field);
    assert_true(err.message[0] != '\0');
}

static void refusals_name_layer_and_field(void **state)
{
    (void)state;
    convt_config good[LAYERS], layers[LAYERS];
    configure(good, CONVT_FLOAT32);
#define REFUSE(index, member, value, text)                    \
    do {                                                      \
        memcpy(layers, good, sizeof good);                    \
        layers[index].member = value;                         \
        refuse(layers, LAYERS, CONVT_INVALID_ARGUMENT, text); \
    } while (0)
    REFUSE(0, filters, 0, "layers[0].filters");
    REFUSE(3, filters, -3, "layers[3].filters");
    REFUSE(1, kernel_size.w, 0, "layers[1].kernel_size");
    REFUSE(1, dtype, CONVT_FLOAT64, "layers[1].dtype");
    REFUSE(2, data_format, CONVT_CHANNELS_FIRST, "layers[2].data_format");
    REFUSE(1, input, ((convt_shape){5, 4, 6}), "layers[1].input");
    REFUSE(1, name, "conv2d_transpose", "layers[1].name");
    REFUSE(0, max_batch, -1, "layers[0].max_batch");
#undef REFUSE
    refuse(good, 0, CONVT_INVALID_ARGUMENT, "count");
    refuse(NULL, 3, CONVT_INVALID_ARGUMENT, "count");
    memcpy(layers, good, sizeof good);
    layers[1].input = (convt_shape){5, 4, 20}; /* what layer 0 gives */
    convt_model_destroy(create(layers, LAYERS));
}

static void wrong_views_are_refused(void **state)
{
    (void)state;
    convt_config layers[LAYERS];
    configure(layers, CONVT_FLOAT64);
    convt_model *model = create(layers, LAYERS);
    double x[2 * X_SIZE] = {0};
    const float single[X_SIZE] = {0};
    assert_int_equal(convt_model_forward(model, convt_f32(single, N, H, W, C)),
                     CONVT_INVALID_SHAPE);
    assert_string_equal(convt_model_error(model)->field, "x");
    assert_int_equal(convt_model_forward(model, input(x, N + 1)), CONVT_INVALID_SHAPE);
    assert_int_equal(convt_model_forward(model, convt_read(convt_f64(x, N, W, H, C))),
                     CONVT_INVALID_SHAPE);
    assert_int_equal(convt_model_forward(model, input(NULL, N)), CONVT_INVALID_SHAPE);
    assert_int_equal(convt_model_forward(model, input(x, N)), CONVT_OK);
    assert_int_equal(convt_model_error(model)->status, CONVT_OK);
    const convt_const_view out = convt_model_output(model);
    convt_const_view wrong = out;
    wrong.c++;
    assert_int_equal(convt_model_backward(model, input(x, N), wrong, CONVT_NONE),
                     CONVT_INVALID_SHAPE);
    assert_string_equal(convt_model_error(model)->field, "dy");
    assert_int_equal(convt_model_backward(model, input(x, N - 1), out, CONVT_NONE),
                     CONVT_INVALID_SHAPE);
    assert_string_equal(convt_model_error(model)->field, "x");
    assert_int_equal(convt_model_backward(model, input(x, N), out, convt_f64(x, N, H, W, 1)),
                     CONVT_INVALID_SHAPE);
    assert_string_equal(convt_model_error(model)->field, "dx");
    convt_model_destroy(model);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_is_one_block_of_the_size_that_was_said(void **state)
{
    (void)state;
    for (int inference = 0; inference < 2; inference++) {
        convt_config layers[LAYERS];
        failalloc accounts = {0};
        configure(layers, CONVT_FLOAT32);
        layers[0].inference = inference;
        layers[0].allocator = failalloc_allocator(&accounts);
        const size_t bytes = convt_model_memory(layers, LAYERS, NULL);
        assert_int_equal(accounts.calls, 0);
        convt_model *model = create(layers, LAYERS);
        assert_int_equal(accounts.calls, 1);
        assert_int_equal(accounts.last_size, bytes);
        assert_int_equal(convt_model_bytes(model), bytes);
        convt_view x = values_new(CONVT_FLOAT32, N, H, W, C);
        values_random(x, 1, -1, 1);
        assert_int_equal(convt_model_forward(model, convt_read(x)), CONVT_OK);
        if (!inference)
            assert_int_equal(
                convt_model_backward(model, convt_read(x), convt_model_output(model), x), CONVT_OK);
        assert_int_equal(accounts.calls, 1);
        values_free(x);
        convt_model_destroy(model);
        assert_int_equal(accounts.live, 0);
    }
}

static void refused_memory_is_an_error(void **state)
{
    (void)state;
    convt_config layers[LAYERS];
    failalloc accounts = {.fail_at = 1};
    convt_model *model;
    convt_error err;
    char bytes[32];
    configure(layers, CONVT_FLOAT32);
    layers[0].allocator = failalloc_allocator(&accounts);
    snprintf(bytes, sizeof bytes, "%zu", convt_model_memory(layers, LAYERS, NULL));
    const convt_status status = convt_model_create(&model, layers, LAYERS, &err);
    assert_refused(status, &err, CONVT_NO_MEMORY, "layers", bytes);
    assert_null(model);
    assert_int_equal(accounts.live, 0);
}

static void too_large_is_said(void **state)
{
    (void)state;
    const convt_config layers[] = {
        {.input = {1, 1, 1}, .filters = 1, .kernel_size = {1, 1}, .max_batch = INT64_MAX / 8},
        {.filters = 1, .kernel_size = {2, 2}, .strides = {2, 2}}};
    convt_error err;
    assert_int_equal(convt_model_memory(layers, 2, &err), 0);
    assert_int_equal(err.status, CONVT_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_its_layers_in_a_row),
        cmocka_unit_test(gradients_are_those_of_output_and_regularization),
        cmocka_unit_test(the_divisor_is_that_of_the_whole_batch),
        cmocka_unit_test(x_may_be_left_out_where_dx_alone_is_wanted),
        cmocka_unit_test(outputs_are_taken_in_the_shape_that_the_next_layer_names),
        cmocka_unit_test(a_reshape_moves_no_element),
        cmocka_unit_test(other_counts_of_elements_are_refused_with_both_shapes),
        cmocka_unit_test(a_model_trains_around_a_fixed_layer),
        cmocka_unit_test(a_model_of_fixed_layers_has_no_parameters),
        cmocka_unit_test(inference_gives_the_same_bits_in_less_memory),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(unnamed_layers_are_named_and_seeded),
        cmocka_unit_test(refusals_name_layer_and_field),
        cmocka_unit_test(wrong_views_are_refused),
        cmocka_unit_test(memory_is_one_block_of_the_size_that_was_said),
        cmocka_unit_test(refused_memory_is_an_error),
        cmocka_unit_test(too_large_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
