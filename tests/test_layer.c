/*
 * The life of a layer: creation and its refusals, memory, reshape, parameters, views, and
 * allocation failure.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/failalloc.h"
#include "support/random_config.h"
#include "support/values.h"

static convt_config seed_config(void)
{
    return (convt_config){.input = {10, 8, 128},
                          .max_batch = 4,
                          .filters = 32,
                          .kernel_size = {2, 2},
                          .strides = {2, 2},
                          .activation = {CONVT_RELU}};
}

static void the_seed_example_has_the_shape_that_keras_gives(void **state)
{
    (void)state;
    convt_config cfg = seed_config();
    convt_layer *layer;
    convt_shape shape;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_int_equal(convt_output_shape(&cfg, &shape, NULL), CONVT_OK);
    assert_int_equal(shape.h, 20);
    assert_int_equal(shape.w, 16);
    assert_int_equal(shape.c, 32);
    const convt_shape output = convt_layer_output(layer);
    assert_memory_equal(&output, &shape, sizeof shape);
    assert_string_equal(convt_layer_config(layer)->name, "conv2d_transpose");
    assert_int_equal(convt_layer_config(layer)->dilation_rate.h, 1);
    convt_layer_destroy(layer);
    convt_layer_destroy(NULL);
}

static void wrong_configs_are_refused_by_field_and_leave_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        const char *field;
        convt_error err;
        failalloc accounts = {0};
        convt_config cfg = random_wrong_config(seed, &field);
        cfg.allocator = failalloc_allocator(&accounts);
        convt_layer *layer = (convt_layer *)&cfg;
        convt_status status = convt_layer_create(&layer, &cfg, &err);
        assert_int_not_equal(status, CONVT_OK);
        assert_int_equal(err.status, status);
        assert_string_equal(err.field, field);
        assert_true(strlen(err.message) > 10);
        assert_null(layer);
        assert_int_equal(accounts.calls, 0);
        assert_int_equal(convt_layer_memory(&cfg, NULL), 0);
    }
}

static void a_refusal_names_the_value(void **state)
{
    (void)state;
    convt_error err;
    convt_layer *layer;
    convt_config cfg = seed_config();
    cfg.kernel_size.w = -3;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "kernel_size", "2, -3");
    cfg = seed_config();
    cfg.output_padding = CONVT_SET_HW(1, 2);
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "output_padding", "1, 2");
    cfg = seed_config();
    cfg.dilation_rate = (convt_hw){1, 2};
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT, "strides",
                   "2, 2, 1, 2");
    cfg = seed_config();
    cfg.strides = (convt_hw){2, 0};
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT, "strides",
                   "2, 0");
    assert_refused(convt_layer_create(&layer, NULL, &err), &err, CONVT_INVALID_ARGUMENT, "cfg",
                   "NULL");
    cfg = seed_config();
    cfg.input.h = INT64_MAX / 2;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_TOO_LARGE, "input",
                   "4611686018427387903");
    cfg = seed_config();
    cfg.max_batch = INT64_MAX / 4;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_TOO_LARGE, "max_batch",
                   "2305843009213693951");
}

static void a_kernel_larger_than_memory_is_refused_with_its_size(void **state)
{
    (void)state;
    convt_error err;
    convt_layer *layer;
    convt_config cfg = {.input = {1, 1, 1 << 20}, .filters = 1 << 20, .kernel_size = {30, 30}};
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_NO_MEMORY, "allocator",
                   " bytes");
    assert_non_null(strstr(err.message, "1048576"));
}

static void kernel_orders_and_fixed_layers_are_refused_by_name(void **state)
{
    (void)state;
    convt_error err;
    convt_layer *layer;
    assert_int_equal(CONVT_KERNEL_TRANSPOSED, 0); /* numbers are ABI */
    assert_int_equal(CONVT_KERNEL_CONV, 1);
    assert_int_equal(CONVT_KERNEL_DENSE, 2);
    convt_config cfg = seed_config();
    cfg.kernel_order = (convt_kernel_order)3;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "kernel_order", "dense (2), got 3");
    cfg.kernel_order = CONVT_KERNEL_DENSE;
    cfg.kernel_size = (convt_hw){1, 2};
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "kernel_size", "kernel_order is dense (2), got 1, 2");
    cfg.kernel_size = (convt_hw){1, 1};
    cfg.kernel_constraint = (convt_constraint){.kind = CONVT_MAX_NORM, .axis = {1, {2}}};
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "kernel_constraint.axis", "rank 2, got 2");
    cfg.kernel_constraint.axis.axis[0] = 1;
    assert_int_equal(convt_layer_create(&layer, &cfg, &err), CONVT_OK);
    convt_layer_destroy(layer);

    void *const terms[] = {&cfg.kernel_regularizer.kind, &cfg.bias_regularizer.kind,
                           &cfg.kernel_constraint.kind, &cfg.bias_constraint.kind};
    static const char *const got[] = {"got 1, 0, 0, 0", "got 0, 1, 0, 0", "got 0, 0, 1, 0",
                                      "got 0, 0, 0, 1"};
    for (size_t i = 0; i < 4; i++) {
        cfg.kernel_constraint = (convt_constraint){.kind = CONVT_NO_CONSTRAINT};
        cfg.fixed = true;
        *(int *)terms[i] = 1;
        assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                       "fixed", got[i]);
        cfg.fixed = false;
        assert_int_equal(convt_layer_create(&layer, &cfg, &err), CONVT_OK);
        convt_layer_destroy(layer);
        *(int *)terms[i] = 0;
    }
    cfg.kernel_order = CONVT_KERNEL_CONV;
    cfg.kernel_initializer.kind = CONVT_IDENTITY;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT,
                   "kernel_initializer", "rank 4");
}

static void an_unknown_isa_is_refused_by_name(void **state)
{
    (void)state;
    convt_error err;
    convt_layer *layer;
    convt_config cfg = seed_config();
    setenv("CONVT_ISA", "mmx", 1);
    convt_status status = convt_layer_create(&layer, &cfg, &err);
    unsetenv("CONVT_ISA");
    assert_refused(status, &err, CONVT_NO_ISA, "CONVT_ISA", "mmx");
}

static void memory_is_known_before_and_taken_in_one_call(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        failalloc accounts = {0};
        convt_config cfg = random_config(seed);
        convt_layer *layer;
        cfg.inference = seed % 3 == 0;
        cfg.max_batch = 1 + (int64_t)seed % 7;
        size_t bytes = convt_layer_memory(&cfg, NULL);
        cfg.allocator = failalloc_allocator(&accounts);
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        assert_int_equal(accounts.calls, 1);
        assert_int_equal(accounts.last_size, bytes);
        assert_int_equal(convt_layer_bytes(layer), bytes);
        convt_layer_destroy(layer);
        assert_int_equal(accounts.live, 0);
    }
}

static void inference_takes_less_and_refuses_backward(void **state)
{
    (void)state;
    convt_config cfg = seed_config();
    size_t training = convt_layer_memory(&cfg, NULL);
    cfg.inference = true;
    assert_true(convt_layer_memory(&cfg, NULL) < training);
    convt_layer *layer;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    convt_parameter rows[2];
    assert_int_equal(convt_layer_parameters(layer, rows), 2);
    assert_null(rows[0].gradient.data);
    convt_const_view none = {0};
    assert_refused(convt_backward(layer, none, none, none, CONVT_NONE), convt_layer_error(layer),
                   CONVT_INVALID_ARGUMENT, "inference", "inference");
    assert_refused(convt_backward_weights(layer), convt_layer_error(layer), CONVT_INVALID_ARGUMENT,
                   "inference", "inference");
    convt_layer_destroy(layer);
}

static void refuse(convt_config cfg, const char *field, const char *part)
{
    convt_layer *layer;
    convt_error err;
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_INVALID_ARGUMENT, field,
                   part);
    assert_null(layer);
}

static void numbers_that_no_name_has_are_refused(void **state)
{
    (void)state;
    convt_config dtype = seed_config(), format = dtype, threads = dtype, allocator = dtype;
    dtype.dtype = (convt_dtype)7;
    format.data_format = (convt_data_format)8;
    threads.threads = -9;
    allocator.allocator.alloc = failalloc_allocator(&(failalloc){0}).alloc;
    refuse(dtype, "dtype", "float64 (1), got 7");
    refuse(format, "data_format", "channels_first (1), got 8");
    refuse(threads, "threads", "or more, got -9");
    refuse(allocator, "allocator", "or neither");
}

static int64_t up_to_alignment(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* What order and fixed add and spare, to the byte. */
static void orders_take_one_more_dw_and_fixed_layers_no_gradient(void **state)
{
    (void)state;
    convt_config cfg = {.input = {4, 5, 70}, .filters = 50, .kernel_size = {3, 2}, .threads = 1};
    const int64_t w = up_to_alignment(INT64_C(4) * 3 * 2 * 70 * 50), b = up_to_alignment(4 * 50);
    const int64_t plain = (int64_t)convt_layer_memory(&cfg, NULL);
    cfg.kernel_order = CONVT_KERNEL_CONV;
    assert_int_equal((int64_t)convt_layer_memory(&cfg, NULL) - plain, w);
    cfg.fixed = true;
    const int64_t fixed = (int64_t)convt_layer_memory(&cfg, NULL);
    assert_true(fixed > 0 && fixed <= plain - w - b); /* less also what dw and db are summed in */
    cfg.kernel_order = CONVT_KERNEL_TRANSPOSED;
    assert_int_equal(convt_layer_memory(&cfg, NULL), fixed);
    cfg.inference = true;
    const int64_t least = (int64_t)convt_layer_memory(&cfg, NULL);
    cfg.fixed = false;
    assert_int_equal(convt_layer_memory(&cfg, NULL), least);
    cfg.kernel_order = CONVT_KERNEL_CONV;
    assert_int_equal(convt_layer_memory(&cfg, NULL), least);
}

static void a_failed_allocation_leaves_nothing(void **state)
{
    (void)state;
    failalloc accounts = {.fail_at = 1};
    convt_error err;
    convt_layer *layer;
    convt_config cfg = seed_config();
    cfg.allocator = failalloc_allocator(&accounts);
    assert_refused(convt_layer_create(&layer, &cfg, &err), &err, CONVT_NO_MEMORY, "allocator",
                   " bytes");
    assert_null(layer);
    assert_int_equal(accounts.live, 0);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void views_of_the_wrong_shape_or_type_are_refused(void **state)
{
    (void)state;
    convt_config cfg = seed_config();
    convt_layer *layer;
    float *x = calloc(4 * 10 * 8 * 128, sizeof *x), *y = calloc(4 * 20 * 16 * 32, sizeof *y);
    const float *cx = x;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    const convt_error *err = convt_layer_error(layer);
    convt_const_view good = convt_f32(cx, 4, 10, 8, 128);
    convt_view out = convt_f32(y, 4, 20, 16, 32);
    assert_int_equal(convt_forward(layer, good, out), CONVT_OK);
    assert_refused(convt_forward(layer, convt_f32(cx, 4, 10, 8, 127), out), err,
                   CONVT_INVALID_SHAPE, "x", "127");
    assert_refused(convt_forward(layer, good, convt_f32(y, 3, 20, 16, 32)), err,
                   CONVT_INVALID_SHAPE, "y", "(3, 20");
    assert_refused(convt_forward(layer, convt_f32(cx, 5, 10, 8, 128), convt_f32(y, 5, 20, 16, 32)),
                   err, CONVT_INVALID_SHAPE, "x", "max_batch is 4");
    assert_refused(convt_forward(layer, convt_f32((const float *)NULL, 4, 10, 8, 128), out), err,
                   CONVT_INVALID_SHAPE, "x", "no data");
    const double *d = (const double *)(const void *)x;
    assert_refused(convt_forward(layer, convt_f64(d, 4, 10, 8, 128), out), err, CONVT_INVALID_SHAPE,
                   "x", "float64");
    assert_refused(
        convt_backward(layer, good, convt_read(out), convt_read(out), convt_f32(x, 4, 10, 9, 128)),
        err, CONVT_INVALID_SHAPE, "dx", "(4, 10, 9");
    convt_layer_destroy(layer);
    free(x);
    free(y);
}

/* Numbers lie at multiples of their size; nobody finds out by a crash on another processor. */
static void views_at_odd_addresses_are_refused_by_name(void **state)
{
    (void)state;
    const convt_config cfg = {.input = {2, 2, 3}, .filters = 3, .kernel_size = {1, 1}};
    convt_layer *layer;
    float good[5][12] = {{0}};
    unsigned char memory[sizeof good[0] + 2];
    convt_view view[5], odd = {memory + ((uintptr_t)memory % 2 == 0), CONVT_FLOAT32, 1, 2, 2, 3};
    static const char *const name[] = {"x", "z", "y", "dy", "dx"};
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    const convt_error *err = convt_layer_error(layer);
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 5; i++) view[i] = i == k ? odd : convt_f32(good[i], 1, 2, 2, 3);
        if (k < 3)
            assert_refused(convt_forward_z(layer, convt_read(view[0]), view[1], view[2]), err,
                           CONVT_INVALID_ARGUMENT, name[k], "no float32 can lie");
        assert_refused(convt_backward_data(layer, convt_read(view[0]), convt_read(view[1]),
                                           convt_read(view[2]), convt_read(view[3]), view[4], 1),
                       err, CONVT_INVALID_ARGUMENT, name[k], "no float32 can lie");
    }
    convt_layer_destroy(layer);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void parameters_are_rows_over_the_layers_memory(void **state)
{
    (void)state;
    convt_config cfg = seed_config();
    convt_layer *layer;
    convt_parameter rows[2];
    cfg.name = "up";
    cfg.frozen = true;
    cfg.kernel_constraint.kind = CONVT_MAX_NORM;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_int_equal(convt_layer_parameters(layer, rows), 2);
    assert_string_equal(rows[0].owner, "up");
    assert_string_equal(rows[0].name, "kernel");
    assert_string_equal(rows[1].name, "bias");
    assert_int_equal(rows[0].rank, 4);
    assert_int_equal(rows[1].rank, 1);
    assert_false(rows[0].trainable);
    assert_non_null(rows[0].constraint);
    assert_null(rows[1].constraint);
    convt_layer_destroy(layer);
}

/* Whatever way parameters are written, the next forward sees them. */
static void written_parameters_reach_the_next_forward(void **state)
{
    (void)state;
    convt_config cfg = {.input = {1, 1, 1}, .filters = 1, .kernel_size = {1, 1}};
    convt_layer *layer;
    convt_parameter rows[2];
    float x = 1, y, two = 2, three = 3;
    const float *cx = &x;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    convt_layer_parameters(layer, rows);
    convt_const_view in = convt_f32(cx, 1, 1, 1, 1);
    assert_int_equal(convt_layer_set_kernel(layer, convt_read(convt_f32(&two, 1, 1, 1, 1))),
                     CONVT_OK);
    convt_forward(layer, in, convt_f32(&y, 1, 1, 1, 1));
    assert_close((double)y, 2, 0, 0);
    assert_int_equal(convt_layer_set_bias(layer, convt_read(convt_f32(&three, 1, 1, 1, 1))),
                     CONVT_OK);
    convt_forward(layer, in, convt_f32(&y, 1, 1, 1, 1));
    assert_close((double)y, 5, 0, 0);
    *(float *)rows[0].value.data = 10;
    convt_layer_touch(layer);
    convt_forward(layer, in, convt_f32(&y, 1, 1, 1, 1));
    assert_close((double)y, 13, 0, 0);
    assert_refused(convt_layer_set_kernel(layer, convt_read(convt_f32(&two, 1, 1, 1, 2))),
                   convt_layer_error(layer), CONVT_INVALID_SHAPE, "kernel", "(1, 1, 1, 2)");
    convt_layer_destroy(layer);

    cfg.no_bias = true;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_int_equal(convt_layer_parameters(layer, rows), 1);
    assert_refused(convt_layer_set_bias(layer, convt_read(convt_f32(&two, 1, 1, 1, 1))),
                   convt_layer_error(layer), CONVT_INVALID_ARGUMENT, "bias", "no_bias");
    convt_layer_destroy(layer);
}

/* The shape that a row shows is the stored one, and so is its rank. */
static void rows_have_the_shape_of_their_order(void **state)
{
    (void)state;
    static const struct {
        convt_kernel_order order;
        int64_t n, h, w, c;
        int rank;
    } rows_of[] = {{CONVT_KERNEL_TRANSPOSED, 1, 1, 5, 3, 4},
                   {CONVT_KERNEL_CONV, 1, 1, 3, 5, 4},
                   {CONVT_KERNEL_DENSE, 1, 1, 3, 5, 2}};
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        const convt_config cfg = {.input = {2, 2, 3},
                                  .filters = 5,
                                  .kernel_size = {1, 1},
                                  .kernel_order = rows_of[i].order};
        convt_layer *layer;
        convt_parameter rows[2];
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        assert_int_equal(convt_layer_parameters(layer, rows), 2);
        const convt_view v = rows[0].value, g = rows[0].gradient;
        assert_true(v.n == rows_of[i].n && v.h == rows_of[i].h && v.w == rows_of[i].w &&
                    v.c == rows_of[i].c);
        assert_true(g.n == v.n && g.h == v.h && g.w == v.w && g.c == v.c);
        assert_int_equal(rows[0].rank, rows_of[i].rank);
        assert_int_equal(rows[1].rank, 1);
        convt_layer_destroy(layer);
    }
    const convt_config cfg = {
        .input = {1, 1, 3}, .filters = 5, .kernel_size = {4, 2}, .kernel_order = CONVT_KERNEL_CONV};
    convt_layer *layer;
    float wrong[4 * 2 * 5 * 3] = {0};
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_refused(convt_layer_set_kernel(layer, convt_read(convt_f32(wrong, 4, 2, 5, 3))),
                   convt_layer_error(layer), CONVT_INVALID_SHAPE, "kernel",
                   "(4, 2, 5, 3), expected float32 (4, 2, 3, 5)");
    convt_layer_destroy(layer);
}

static void fill_with_3(void *context, convt_view parameter)
{
    ++*(int *)context;
    for (int64_t i = 0; i < values_count(convt_read(parameter)); i++) values_set(parameter, i, 3);
}

/* Constants come from initializers and set calls, are no parameters, and cost no gradient. */
static void a_fixed_layer_has_values_but_no_parameters(void **state)
{
    (void)state;
    int calls = 0;
    const convt_initializer threes = {
        .kind = CONVT_CUSTOM_INITIALIZER, .fill = fill_with_3, .context = &calls};
    const convt_config cfg = {.input = {1, 1, 2},
                              .filters = 1,
                              .kernel_size = {1, 1},
                              .kernel_order = CONVT_KERNEL_DENSE,
                              .kernel_initializer = threes,
                              .bias_initializer = threes,
                              .activity_regularizer = {CONVT_L1, .l1 = {true, 0.5}},
                              .fixed = true};
    convt_layer *layer;
    convt_parameter rows[2];
    float x[2] = {1, 10}, y, dx[2], kernel[2] = {2, 5}, bias = -1, dy = 1;
    const float *cx = x, *cy = &y, *cdy = &dy;
    const convt_const_view in = convt_f32(cx, 1, 1, 1, 2), one = convt_f32(cdy, 1, 1, 1, 1);
    double loss;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_int_equal(calls, 2);
    assert_int_equal(convt_layer_parameters(layer, rows), 0);
    assert_int_equal(convt_forward(layer, in, convt_f32(&y, 1, 1, 1, 1)), CONVT_OK);
    assert_close((double)y, 36, 0, 0);
    assert_int_equal(convt_layer_set_kernel(layer, convt_read(convt_f32(kernel, 1, 1, 2, 1))),
                     CONVT_OK);
    assert_int_equal(convt_layer_set_bias(layer, convt_read(convt_f32(&bias, 1, 1, 1, 1))),
                     CONVT_OK);
    assert_int_equal(convt_forward(layer, in, convt_f32(&y, 1, 1, 1, 1)), CONVT_OK);
    assert_close((double)y, 51, 0, 0);
    assert_int_equal(
        convt_backward(layer, in, convt_f32(cy, 1, 1, 1, 1), one, convt_f32(dx, 1, 1, 1, 2)),
        CONVT_OK);
    assert_close((double)dx[0], 1.5 * 2, 0, 0);
    assert_close((double)dx[1], 1.5 * 5, 0, 0);
    assert_int_equal(convt_layer_loss(layer, convt_f32(cy, 1, 1, 1, 1), &loss), CONVT_OK);
    assert_close(loss, 0.5 * 51, 0, 0);
    assert_int_equal(convt_backward_weights(layer), CONVT_OK);
    assert_close(convt_layer_weight_loss(layer), 0, 0, 0);
    const float *none = NULL;
    float *nowhere = NULL;
    const convt_const_view empty = convt_f32(none, 0, 1, 1, 1);
    assert_int_equal(convt_backward(layer, convt_f32(none, 0, 1, 1, 2), empty, empty,
                                    convt_f32(nowhere, 0, 1, 1, 2)),
                     CONVT_OK);
    convt_layer_destroy(layer);
}

/* ---- reshape --------------------------------------------------------------------------------- */

/* What a fresh layer of that shape with the same seed computes. */
static convt_view fresh_output(const convt_config *cfg, int64_t n, int64_t h, int64_t w)
{
    convt_config c = *cfg;
    convt_layer *layer;
    c.input.h = h;
    c.input.w = w;
    c.max_batch = n;
    c.allocator = (convt_allocator){0};
    assert_int_equal(convt_layer_create(&layer, &c, NULL), CONVT_OK);
    convt_shape o = convt_layer_output(layer);
    convt_view x = values_new(c.dtype, n, h, w, c.input.c),
               y = values_new(c.dtype, n, o.h, o.w, o.c);
    values_random(x, 9, -1, 1);
    assert_int_equal(convt_forward(layer, convt_read(x), y), CONVT_OK);
    values_free(x);
    convt_layer_destroy(layer);
    return y;
}

static void check_shape(convt_layer *layer, const convt_config *cfg, int64_t n, int64_t h,
                        int64_t w)
{
    assert_int_equal(convt_layer_reshape(layer, n, h, w), CONVT_OK);
    convt_view want = fresh_output(cfg, n, h, w);
    convt_view x = values_new(cfg->dtype, n, h, w, cfg->input.c),
               y = values_new(cfg->dtype, n, want.h, want.w, want.c);
    convt_view dx = values_new(cfg->dtype, n, h, w, cfg->input.c);
    values_random(x, 9, -1, 1);
    assert_int_equal(convt_forward(layer, convt_read(x), y), CONVT_OK);
    assert_same_bits(y.data, want.data, (size_t)values_count(convt_read(y)) * sizeof(float));
    assert_int_equal(convt_backward(layer, convt_read(x), convt_read(y), convt_read(y), dx),
                     CONVT_OK);
    values_free(want), values_free(x), values_free(y), values_free(dx);
}

static void check_reshapes(convt_kernel_order order, bool fixed)
{
    failalloc accounts = {0};
    convt_layer *layer;
    convt_config cfg = {.input = {6, 7, 5},
                        .max_batch = 3,
                        .filters = 9,
                        .kernel_size = {3, 4},
                        .strides = {2, 1},
                        .padding = CONVT_SAME,
                        .activation = {CONVT_SIGMOID},
                        .kernel_order = order,
                        .fixed = fixed,
                        .seed = 4};
    cfg.allocator = failalloc_allocator(&accounts);
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    const size_t room = convt_layer_bytes(layer);
    convt_config small = cfg;
    small.input.h = 2, small.input.w = 3, small.max_batch = 1;
    /* another formulation may want more scratch for less */
    const int64_t calls = convt_layer_memory(&small, NULL) > room ? 2 : 1;
    check_shape(layer, &cfg, 1, 2, 3);
    check_shape(layer, &cfg, 3, 6, 7);
    assert_int_equal(accounts.calls, calls); /* within the room there is */
    check_shape(layer, &cfg, 8, 20, 30);
    assert_int_equal(accounts.calls, calls + 1);
    check_shape(layer, &cfg, 9, 40, 30);
    assert_int_equal(accounts.live, 2); /* home, and the latest room */
    check_shape(layer, &cfg, 1, 1, 1);
    convt_layer_destroy(layer);
    assert_int_equal(accounts.live, 0);
}

static void a_reshaped_layer_computes_what_a_fresh_one_does(void **state)
{
    (void)state;
    check_reshapes(CONVT_KERNEL_TRANSPOSED, false);
    check_reshapes(CONVT_KERNEL_CONV, false);
    check_reshapes(CONVT_KERNEL_CONV, true);
}

/* Explicit padding may leave fewer outputs than the stride: of its phases only some are packed. */
static void a_reshape_to_other_phases_packs_anew(void **state)
{
    (void)state;
    for (int64_t filters = 1; filters <= 32; filters += 31) {
        convt_layer *layer;
        convt_config cfg = {.input = {5, 5, 8},
                            .filters = filters,
                            .kernel_size = {6, 6},
                            .strides = {4, 4},
                            .explicit_padding = CONVT_SET_SIDES(3, 1, 3, 1),
                            .seed = 4};
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        check_shape(layer, &cfg, 1, 1, 1);
        check_shape(layer, &cfg, 1, 5, 5);
        check_shape(layer, &cfg, 1, 1, 5);
        check_shape(layer, &cfg, 1, 5, 1);
        convt_layer_destroy(layer);
    }
}

/* y and dx of some x. */
static void run_both(convt_layer *layer, const convt_config *cfg, convt_view *y, convt_view *dx)
{
    const convt_shape in = convt_layer_config(layer)->input, out = convt_layer_output(layer);
    const convt_view x = values_new(cfg->dtype, 1, in.h, in.w, in.c);
    *y = values_new(cfg->dtype, 1, out.h, out.w, out.c);
    *dx = values_new(cfg->dtype, 1, in.h, in.w, in.c);
    values_random(x, 9, -1, 1);
    assert_int_equal(convt_forward(layer, convt_read(x), *y), CONVT_OK);
    assert_int_equal(convt_backward(layer, convt_read(x), convt_read(*y), convt_read(*y), *dx),
                     CONVT_OK);
    values_free(x);
}

/* Weights packed for another formulation take more room, and what was packed behind them moves. */
static void a_reshape_to_another_formulation_moves_what_is_packed(void **state)
{
    (void)state;
    convt_config cfg = {.input = {1, 1, 500},
                        .max_batch = 5000, /* room for more than what comes */
                        .filters = 20,
                        .kernel_size = {3, 3},
                        .activation = {CONVT_TANH},
                        .seed = 4};
    convt_layer *layer, *fresh;
    convt_view y, dx, want, want_dx;
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    run_both(layer, &cfg, &y, &dx);
    values_free(y), values_free(dx);
    cfg.max_batch = 1;
    for (int64_t side = 9; side > 0; side -= 4) {
        cfg.input.h = side, cfg.input.w = 1 + side / 5;
        assert_int_equal(convt_layer_create(&fresh, &cfg, NULL), CONVT_OK);
        assert_int_equal(convt_layer_reshape(layer, 1, cfg.input.h, cfg.input.w), CONVT_OK);
        run_both(layer, &cfg, &y, &dx);
        run_both(fresh, &cfg, &want, &want_dx);
        assert_same_bits(y.data, want.data, (size_t)values_count(convt_read(y)) * sizeof(float));
        assert_same_bits(dx.data, want_dx.data,
                         (size_t)values_count(convt_read(dx)) * sizeof(float));
        values_free(y), values_free(dx), values_free(want), values_free(want_dx);
        convt_layer_destroy(fresh);
    }
    convt_layer_destroy(layer);
}

static void what_a_layer_explains_fits_where_it_is_written(void **state)
{
    (void)state;
    const convt_config cfg = {.input = {5, 4, 3}, .filters = 2, .kernel_size = {3, 3}};
    convt_layer *layer;
    char text[4096], part[64];
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    const size_t length = convt_layer_explain(layer, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_true(length > 200 && text[length - 1] == '\n');
    assert_int_equal(convt_layer_explain(layer, NULL, 0), length);
    for (size_t size = 1; size <= sizeof part; size++) {
        memset(part, 'x', sizeof part);
        assert_int_equal(convt_layer_explain(layer, part, size), length);
        assert_int_equal(strlen(part), size - 1);
        assert_memory_equal(part, text, size - 1);
    }
    convt_layer_destroy(layer);
}

static void a_layer_explains_where_its_kernel_is_not_keras_own(void **state)
{
    (void)state;
    static const struct {
        convt_kernel_order order;
        bool fixed;
        const char *part;
    } cases[] = {{CONVT_KERNEL_TRANSPOSED, false, NULL},
                 {CONVT_KERNEL_CONV, false, "\nkernel: stored as Conv2D's"},
                 {CONVT_KERNEL_DENSE, false, "\nkernel: stored as Dense's"},
                 {CONVT_KERNEL_TRANSPOSED, true, "\nkernel: fixed"},
                 {CONVT_KERNEL_CONV, true, "turned by 180 degrees; fixed"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const convt_config cfg = {.input = {5, 4, 3},
                                  .filters = 2,
                                  .kernel_size = {1, 1},
                                  .kernel_order = cases[i].order,
                                  .fixed = cases[i].fixed};
        convt_layer *layer;
        char text[4096];
        assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
        convt_layer_explain(layer, text, sizeof text);
        if (cases[i].part)
            assert_non_null(strstr(text, cases[i].part));
        else
            assert_null(strstr(text, "\nkernel: "));
        assert_int_equal(strstr(text, "\ndw: ") == NULL, cases[i].fixed);
        convt_layer_destroy(layer);
    }
}

/* A layer whose formulation the words name, of every kind that forward and dw have. */
static void a_layer_explains_every_formulation(void **state)
{
    (void)state;
    static const struct {
        convt_config cfg;
        const char *part;
    } cases[] = {
        {{.input = {8, 8, 64}, .filters = 64, .kernel_size = {2, 2}}, "\nforward: matrix products"},
        {{.input = {4, 4, 700}, .filters = 1, .kernel_size = {1, 1}}, "\nforward: dot products"},
        {{.input = {32, 64, 4}, .filters = 1, .kernel_size = {4, 4}, .strides = {2, 2}},
         "\nforward: lines"},
        {{.input = {9, 2, 900}, .filters = 1, .kernel_size = {8, 8}}, "then folded"},
        {{.input = {9, 2, 900},
          .filters = 1,
          .kernel_size = {8, 8},
          .data_format = CONVT_CHANNELS_FIRST},
         "x brought to channels last first, y to channels first"},
        {{.input = {8, 8, 64}, .filters = 64, .kernel_size = {2, 2}}, "filters of a tap"},
        {{.input = {8, 8, 64}, .filters = 1, .kernel_size = {3, 3}}, "over a padded copy of dz"},
        {{.input = {8, 8, 3}, .filters = 40, .kernel_size = {3, 3}}, "channels fill no vectors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        convt_layer *layer;
        char text[4096];
        assert_int_equal(convt_layer_create(&layer, &cases[i].cfg, NULL), CONVT_OK);
        convt_layer_explain(layer, text, sizeof text);
        if (!strstr(text, cases[i].part)) fail_msg("no \"%s\" in: %s", cases[i].part, text);
        convt_layer_destroy(layer);
    }
}

static void a_reshape_that_fails_changes_nothing(void **state)
{
    (void)state;
    failalloc accounts = {.fail_at = 2};
    convt_layer *layer;
    convt_config cfg = {.input = {3, 3, 4},
                        .filters = 5,
                        .kernel_size = {2, 2},
                        .activation = {CONVT_SIGMOID}}; /* dz grows with the shape */
    cfg.allocator = failalloc_allocator(&accounts);
    assert_int_equal(convt_layer_create(&layer, &cfg, NULL), CONVT_OK);
    assert_refused(convt_layer_reshape(layer, 100, 90, 90), convt_layer_error(layer),
                   CONVT_NO_MEMORY, "max_batch", " bytes");
    assert_refused(convt_layer_reshape(layer, 1, 0, 3), convt_layer_error(layer),
                   CONVT_INVALID_ARGUMENT, "input", "0, 3, 4");
    assert_int_equal(convt_layer_config(layer)->input.h, 3);
    check_shape(layer, &cfg, 1, 3, 3);
    convt_layer_destroy(layer);
}

/* It is there, so dz is memory of its own, and adds nothing: dx, dw and db have the same bits without it. */
static void an_activity_regularizer_of_zero_changes_nothing(void **state)
{
    (void)state;
    enum { X = 2 * 3 * 4 * 2, Y = 2 * 4 * 5 * 3 };
    float x[X], y[Y], dy[Y], dx[2][X], gradients[2][2][2 * 2 * 3 * 2];
    for (int i = 0; i < X; i++) x[i] = (float)(i % 7) - 3;
    for (int i = 0; i < Y; i++) dy[i] = (float)(i % 11) - 5;
    for (int with = 0; with < 2; with++) {
        convt_config cfg = {
            .input = {3, 4, 2}, .max_batch = 2, .filters = 3, .kernel_size = {2, 2}};
        convt_layer *layer;
        convt_parameter rows[2];
        convt_error err;
        if (with) cfg.activity_regularizer = (convt_regularizer){CONVT_L1, .l1 = CONVT_SET(0)};
        assert_int_equal(convt_layer_create(&layer, &cfg, &err), CONVT_OK);
        const convt_view view = convt_f32(y, 2, 4, 5, 3), slopes = convt_f32(dx[with], 2, 3, 4, 2);
        const convt_const_view in = convt_read(convt_f32(x, 2, 3, 4, 2));
        assert_int_equal(convt_forward(layer, in, view), CONVT_OK);
        assert_int_equal(convt_backward(layer, in, convt_read(view),
                                        convt_read(convt_f32(dy, 2, 4, 5, 3)), slopes),
                         CONVT_OK);
        assert_int_equal(convt_layer_parameters(layer, rows), 2);
        memcpy(gradients[with][0], rows[0].gradient.data, sizeof gradients[0][0]);
        memcpy(gradients[with][1], rows[1].gradient.data, 3 * sizeof(float));
        convt_layer_destroy(layer);
    }
    assert_same_bits(dx[1], dx[0], sizeof dx[0]);
    assert_same_bits(gradients[1][0], gradients[0][0], sizeof gradients[0][0]);
    assert_same_bits(gradients[1][1], gradients[0][1], 3 * sizeof(float));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_activity_regularizer_of_zero_changes_nothing),
        cmocka_unit_test(the_seed_example_has_the_shape_that_keras_gives),
        cmocka_unit_test(wrong_configs_are_refused_by_field_and_leave_nothing),
        cmocka_unit_test(a_refusal_names_the_value),
        cmocka_unit_test(a_kernel_larger_than_memory_is_refused_with_its_size),
        cmocka_unit_test(kernel_orders_and_fixed_layers_are_refused_by_name),
        cmocka_unit_test(an_unknown_isa_is_refused_by_name),
        cmocka_unit_test(memory_is_known_before_and_taken_in_one_call),
        cmocka_unit_test(inference_takes_less_and_refuses_backward),
        cmocka_unit_test(numbers_that_no_name_has_are_refused),
        cmocka_unit_test(orders_take_one_more_dw_and_fixed_layers_no_gradient),
        cmocka_unit_test(a_failed_allocation_leaves_nothing),
        cmocka_unit_test(views_of_the_wrong_shape_or_type_are_refused),
        cmocka_unit_test(views_at_odd_addresses_are_refused_by_name),
        cmocka_unit_test(parameters_are_rows_over_the_layers_memory),
        cmocka_unit_test(written_parameters_reach_the_next_forward),
        cmocka_unit_test(rows_have_the_shape_of_their_order),
        cmocka_unit_test(a_fixed_layer_has_values_but_no_parameters),
        cmocka_unit_test(a_reshaped_layer_computes_what_a_fresh_one_does),
        cmocka_unit_test(a_reshape_to_other_phases_packs_anew),
        cmocka_unit_test(a_reshape_that_fails_changes_nothing),
        cmocka_unit_test(a_reshape_to_another_formulation_moves_what_is_packed),
        cmocka_unit_test(what_a_layer_explains_fits_where_it_is_written),
        cmocka_unit_test(a_layer_explains_where_its_kernel_is_not_keras_own),
        cmocka_unit_test(a_layer_explains_every_formulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
