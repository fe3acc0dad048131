/*
 * Training steps by hand: forward, loss, backward, update. Two layers learn to draw a disc from one input, and the loss falls.
 *
 *     build/release/examples/training_step
 */
#include <convt/train.h>

#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 8, STEPS = 200 };

static int fail(const char *what, const convt_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err->field, err->message);
    return EXIT_FAILURE;
}

static void draw_disc(float image[SIDE * SIDE])
{
    for (int h = 0; h < SIDE; h++)
        for (int w = 0; w < SIDE; w++)
            image[h * SIDE + w] = (2 * h - 7) * (2 * h - 7) + (2 * w - 7) * (2 * w - 7) < 40 ? 1
                                                                                             : 0;
}

int main(void)
{
    const convt_config layers[] = {
        {.input = {1, 1, 4},
         .filters = 8,
         .kernel_size = {4, 4},
         .activation = {.kind = CONVT_TANH}},
        {.filters = 1, .kernel_size = {2, 2}, .strides = {2, 2}},
    };
    const convt_loss_config loss = {.kind = CONVT_MEAN_SQUARED_ERROR};
    const convt_sgd_config rule = {.learning_rate = CONVT_SET(0.5), .momentum = 0.9};
    convt_error err;
    convt_model *model = NULL;
    convt_sgd *sgd = NULL;
    convt_parameter rows[4];
    convt_loss_value first = {0, 0}, value = {0, 0};
    float code[4] = {1, -1, 0.5f, 0.25f}, disc[SIDE * SIDE], slopes[SIDE * SIDE];
    draw_disc(disc);
    const convt_const_view x = convt_read(convt_f32(code, 1, 1, 1, 4));
    const convt_const_view target = convt_read(convt_f32(disc, 1, SIDE, SIDE, 1));
    const convt_view dy = convt_f32(slopes, 1, SIDE, SIDE, 1);

    convt_status status = convt_model_create(&model, layers, 2, &err);
    if (!status)
        status = convt_sgd_create(&sgd, &rule, rows, convt_model_parameters(model, rows), &err);
    if (status) fail("create", &err);

    for (int step = 0; !status && step < STEPS; step++) {
        status = convt_model_forward(model, x);
        if (!status)
            status =
                convt_loss(&loss, target, convt_model_output(model), NULL, 1, &value, dy, NULL);
        if (!status) status = convt_model_backward(model, x, convt_read(dy), CONVT_NONE);
        if (status) break;
        convt_sgd_step(sgd);
        if (step == 0) first = value;
    }

    if (!status)
        printf("mean squared error: %.6f at first, %.6f after %d steps\n", first.loss, value.loss,
               STEPS);
    convt_sgd_destroy(sgd);
    convt_model_destroy(model);
    return !status && value.loss < 0.01 * first.loss ? EXIT_SUCCESS : EXIT_FAILURE;
}
