/*
 * A small decoder on synthetic images: every image has a code of 8 numbers, which descends along dx while the weights descend
 * along dw and db. Images are soft discs of random place and size.
 *
 *     build/release/examples/decoder
 */
#include <convt/train.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 256, SIDE = 16, CODE = 8, BATCH = 32, EPOCHS = 30 };

static float images[IMAGES][SIDE * SIDE], codes[IMAGES * CODE];
static double first_mse, last_mse;

static void draw(float *image, int number)
{
    const double y = 4 + number % 9, x = 4 + number / 9 % 9, radius = 2 + number % 4;
    for (int h = 0; h < SIDE; h++)
        for (int w = 0; w < SIDE; w++)
            image[h * SIDE + w] = (float)(1 / (1 + exp(2 * (hypot(h - y, w - x) - radius))));
}

static bool on_epoch(void *context, const convt_progress *p)
{
    (void)context;
    if (p->epoch == 1) first_mse = p->mse;
    last_mse = p->mse;
    if (p->epoch == 1 || p->epoch % 10 == 0)
        printf("epoch %2d of %d: loss %.4f, mse %.4f\n", (int)p->epoch, (int)p->epochs, p->loss,
               p->mse);
    return true;
}

/* Kernels normal with variance 2 / (input channels * taps that reach an output) keep the signal's size through relu. */
static convt_initializer normal(double variance)
{
    return (convt_initializer){.kind = CONVT_RANDOM_NORMAL, .stddev = CONVT_SET(sqrt(variance))};
}

static convt_status train(convt_error *err)
{
    const convt_config layers[] = {
        {.input = {1, 1, CODE},
         .max_batch = BATCH,
         .filters = 32,
         .kernel_size = {4, 4},
         .activation = {.kind = CONVT_RELU},
         .kernel_initializer = normal(2.0 / CODE),
         .seed = 1},
        {.filters = 16,
         .kernel_size = {3, 3},
         .strides = {2, 2},
         .padding = CONVT_SAME,
         .activation = {.kind = CONVT_RELU},
         .kernel_initializer = normal(2 / (2.25 * 32))},
        {.filters = 1,
         .kernel_size = {3, 3},
         .strides = {2, 2},
         .padding = CONVT_SAME,
         .kernel_initializer = normal(1 / (2.25 * 16))},
    };
    const convt_sgd_config rule = {.learning_rate = CONVT_SET(0.2), .momentum = 0.9};
    convt_arrays arrays = {.y = convt_read(convt_f32(images[0], IMAGES, SIDE, SIDE, 1))};
    convt_trainer_config fit = {
        /* The last layer gives logits, the picture is their sigmoid. */
        .loss = {.kind = CONVT_BINARY_CROSSENTROPY, .sigmoid_output = true},
        .data = {.count = IMAGES, .gather = convt_arrays_gather, .context = &arrays},
        .codes = {convt_f32(codes, IMAGES, 1, 1, CODE), .learning_rate = 10, .fix_first = true},
        .epochs = EPOCHS,
        .batch_size = BATCH,
        .on_epoch = on_epoch,
    };
    convt_trainer *trainer = NULL;
    convt_parameter rows[6];
    convt_status status = convt_model_create(&fit.model, layers, 3, err);
    if (!status)
        status =
            convt_sgd_create(&fit.sgd, &rule, rows, convt_model_parameters(fit.model, rows), err);
    if (!status) status = convt_trainer_create(&trainer, &fit, err);
    if (!status) {
        status = convt_codes_start(trainer);
        if (!status) status = convt_fit(trainer);
        if (status) *err = *convt_trainer_error(trainer);
    }
    convt_trainer_destroy(trainer);
    convt_sgd_destroy(fit.sgd);
    convt_model_destroy(fit.model);
    return status;
}

int main(void)
{
    convt_error err;
    for (int i = 0; i < IMAGES; i++) draw(images[i], i);
    if (train(&err)) {
        fprintf(stderr, "%s: %s\n", err.field, err.message);
        return EXIT_FAILURE;
    }
    return last_mse < first_mse / 4 ? EXIT_SUCCESS : EXIT_FAILURE;
}
