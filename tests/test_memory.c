/*
 * How much memory things take, over shapes as they occur and random ones: what convt.h and train.h promise.
 *
 *     layer     parameters and gradients + packed weights + z of a batch + 2 MiB a thread,
 *               one more dw where the kernel is stored in another order; no gradients where fixed
 *     trainer   buffers of a leaf + (log2(leaves) + 1) copies of the parameters
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convt/train.h"
#include "rng.h"
#include "support/close.h"
#include "support/failalloc.h"
#include "support/isa.h"
#include "support/random_config.h"

enum { THREAD_BYTES = 2 << 20, LANES = 16 };

static double up(int64_t count)
{
    return (double)((count + LANES - 1) / LANES * LANES);
}

/* Panels hold whole vectors of filters forward, of channels for dx. */
static double layer_bound(const convt_config *c)
{
    const double real = c->dtype == CONVT_FLOAT64 ? 8 : 4,
                 taps = (double)(c->kernel_size.h * c->kernel_size.w);
    const double w = taps * (double)c->filters * (double)c->input.c,
                 packed = taps * (up(c->filters) * (double)c->input.c +
                                  up(c->input.c) * (double)c->filters);
    convt_config linear = *c;
    convt_shape z;
    linear.activation.kind = CONVT_LINEAR; /* whose y has the shape of z */
    assert_int_equal(convt_output_shape(&linear, &z, NULL), CONVT_OK);
    const double outputs = (double)(c->max_batch * z.h * z.w) * (double)z.c;
    const double tensors = c->fixed ? 1 : c->kernel_order != CONVT_KERNEL_TRANSPOSED ? 3 : 2;
    return real * (tensors * w + 4 * up(c->filters) + packed + outputs) +
           (double)c->threads * THREAD_BYTES;
}

static void check_layer(const convt_config *c, const char *isa)
{
    char text[256];
    const double bytes = (double)convt_layer_memory(c, NULL), bound = layer_bound(c);
    if (bytes == 0 || bytes > bound)
        fail_msg("%s, %s, batch %lld, %d threads: %.0f bytes, %.0f more than promised", isa,
                 config_text(c, text, sizeof text), (long long)c->max_batch, c->threads, bytes,
                 bytes - bound);
}

/* With everything that takes memory, and without: nothing beside the parameters; dz; rows of it. */
static void check_variants(convt_config c, const char *isa)
{
    const convt_activation_kind activation[] = {CONVT_LINEAR, CONVT_GELU, CONVT_SOFTMAX};
    for (int k = 0; k < 12; k++) {
        c.dtype = k & 1 ? CONVT_FLOAT64 : CONVT_FLOAT32;
        c.data_format = k & 2 ? CONVT_CHANNELS_FIRST : CONVT_CHANNELS_LAST;
        c.activation.kind = activation[k / 4];
        c.kernel_order = k % 3 == 1 ? CONVT_KERNEL_CONV : CONVT_KERNEL_TRANSPOSED;
        c.fixed = k % 5 == 4;
        for (int threads = 1; threads <= 4; threads += 3) {
            c.threads = threads;
            check_layer(&c, isa);
        }
    }
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void check_listed(const char *isa, void *context)
{
    char line[256], name[64];
    FILE *file = fopen(CONVT_SOURCE_DIR "/bench/shapes.txt", "r");
    int count = 0;
    (void)context;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        long long n, h, w, c, f, kh, kw, sh, sw, same, d;
        if (line[0] == '#' ||
            sscanf(line, "%63s %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", name, &n,
                   &h, &w, &c, &f, &kh, &kw, &sh, &sw, &same, &d) != 12)
            continue;
        check_variants((convt_config){.input = {h, w, c},
                                      .max_batch = n,
                                      .filters = f,
                                      .kernel_size = {kh, kw},
                                      .strides = {sh, sw},
                                      .dilation_rate = {d, d},
                                      .padding = same ? CONVT_SAME : CONVT_VALID},
                       isa);
        count++;
    }
    fclose(file);
    assert_true(count > 7);
}

static void layers_of_the_list_keep_their_bound(void **state)
{
    (void)state;
    for_each_isa(check_listed, NULL);
}

/* 1 .. 2^bits, small numbers as often as large ones. */
static int64_t some(convti_rng *rng, unsigned bits)
{
    const int64_t top = (int64_t)1 << convti_rng_below(rng, bits + 1);
    return top - (int64_t)convti_rng_below(rng, (uint64_t)(top + 1) / 2);
}

static convt_hw up_to(convti_rng *rng, uint64_t most)
{
    return (convt_hw){1 + (int64_t)convti_rng_below(rng, most),
                      1 + (int64_t)convti_rng_below(rng, most)};
}

/* One in four has rows of up to 32768 pixels, one filter or one channel; one in four dilation, some
 * of these strides with it. */
static convt_config draw(uint64_t seed)
{
    convti_rng rng = convti_rng_start(seed, 77);
    const uint64_t odd = convti_rng_below(&rng, 12), dilated = convti_rng_below(&rng, 8);
    convt_config c = {.input = {some(&rng, 9), some(&rng, 9), some(&rng, 11)},
                      .max_batch = some(&rng, 7),
                      .filters = some(&rng, 11),
                      .kernel_size = up_to(&rng, 16),
                      .padding = convti_rng_below(&rng, 2) ? CONVT_SAME : CONVT_VALID,
                      .strides_with_dilation = dilated == 0};
    if (dilated != 1) c.strides = up_to(&rng, 4);
    if (dilated <= 1) c.dilation_rate = up_to(&rng, 4);
    if (odd == 0) c.input.w = some(&rng, 15);
    if (odd == 1) c.filters = 1;
    if (odd == 2) c.input.c = 1;
    return c;
}

static void check_random(const char *isa, void *context)
{
    (void)context;
    for (uint64_t seed = 0; seed < 2000; seed++) check_variants(draw(seed), isa);
}

static void random_layers_keep_their_bound(void **state)
{
    (void)state;
    for_each_isa(check_random, NULL);
}

/* ---- the trainer ----------------------------------------------------------------------------- */

static convt_status no_gather(void *context, const int64_t *index, int64_t n, convt_view x,
                              convt_view y)
{
    (void)context, (void)index, (void)n, (void)x, (void)y;
    return CONVT_OK;
}

static void check_trainer(int64_t batch, int64_t filters, int64_t samples)
{
    const convt_config layer = {
        .input = {3, 4, 32}, .filters = filters, .kernel_size = {3, 3}, .max_batch = batch};
    convt_error err;
    convt_model *model;
    convt_sgd *sgd;
    convt_trainer *trainer;
    convt_parameter rows[2];
    failalloc accounts = {0};
    assert_int_equal(convt_model_create(&model, &layer, 1, &err), CONVT_OK);
    assert_int_equal(convt_sgd_create(&sgd, &(convt_sgd_config){.momentum = 0}, rows,
                                      convt_model_parameters(model, rows), &err),
                     CONVT_OK);
    const convt_trainer_config cfg = {.model = model,
                                      .sgd = sgd,
                                      .batch_size = batch,
                                      .data = {.count = samples, .gather = no_gather},
                                      .allocator = failalloc_allocator(&accounts)};
    assert_int_equal(convt_trainer_create(&trainer, &cfg, &err), CONVT_OK);

    const size_t parameters = (size_t)(9 * 32 + 1) * (size_t)filters * sizeof(float);
    const int64_t leaf = convt_leaf_size(CONVT_DEFAULT_LOSS, batch, parameters);
    const convt_shape x = layer.input, y = convt_layer_output(convt_model_layer(model, 0));
    const size_t buffers = (size_t)(leaf * (x.h * x.w * x.c + 2 * y.h * y.w * y.c)) *
                               sizeof(float) +
                           (size_t)(samples + leaf) * sizeof(int64_t);
    size_t copies = 1;
    for (int64_t leaves = (batch + leaf - 1) / leaf; leaves > 1; leaves = (leaves + 1) / 2)
        copies++;
    const size_t bound = buffers + copies * parameters + (16 << 10); /* structs, alignment */
    if (accounts.peak_bytes > bound)
        fail_msg("batch %lld, %lld filters: %zu bytes, bound %zu", (long long)batch,
                 (long long)filters, accounts.peak_bytes, bound);
    convt_trainer_destroy(trainer);
    convt_sgd_destroy(sgd);
    convt_model_destroy(model);
}

static void a_trainer_adds_few_copies_of_the_parameters(void **state)
{
    (void)state;
    for (int64_t batch = 1; batch <= 256; batch = 2 * batch + batch / 3)
        for (int64_t filters = 1; filters <= 20000; filters = 5 * filters + 1)
            check_trainer(batch, filters, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_of_the_list_keep_their_bound),
        cmocka_unit_test(random_layers_keep_their_bound),
        cmocka_unit_test(a_trainer_adds_few_copies_of_the_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
