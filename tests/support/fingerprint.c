#include "fingerprint.h"

#include <stdlib.h>

#include "layer.h"
#include "names.h"
#include "random_config.h"
#include "values.h"

/* FNV-1a */
static uint64_t hash(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ byte[i]) * 0x100000001B3u;
    return h;
}

static uint64_t hash_of(convt_view v)
{
    const size_t size = v.dtype == CONVT_FLOAT64 ? sizeof(double) : sizeof(float);
    return hash(v.data, (size_t)values_count(convt_read(v)) * size);
}

static bool run(convt_layer *layer, convt_view x, convt_view y, convt_view dy, convt_view dx,
                fingerprint *print)
{
    convt_parameter rows[2];
    double loss;
    const int count = convt_layer_parameters(layer, rows);
    if (convt_forward(layer, convt_read(x), y) || convt_layer_loss(layer, convt_read(y), &loss) ||
        convt_backward(layer, convt_read(x), convt_read(y), convt_read(dy), dx))
        return false;
    print->y = hash_of(y);
    print->dx = hash_of(dx);
    print->dw = count > 0 ? hash_of(rows[0].gradient) : 0; /* of a fixed layer */
    print->db = count > 1 ? hash_of(rows[1].gradient) : 0;
    print->loss = hash(&loss, sizeof loss);
    return true;
}

fingerprint fingerprint_of(const convt_config *cfg, int64_t n, uint64_t seed)
{
    fingerprint print = {0};
    convt_layer *layer;
    convt_config c = *cfg;
    c.max_batch = n;
    c.bias_initializer.kind = CONVT_RANDOM_UNIFORM;
    if (convt_layer_create(&layer, &c, NULL)) return print;
    layer->region_flops = 0;
    const convt_shape i = c.input, o = convt_layer_output(layer);
    const convt_view x = values_new(c.dtype, n, i.h, i.w, i.c),
                     dx = values_new(c.dtype, n, i.h, i.w, i.c),
                     y = values_new(c.dtype, n, o.h, o.w, o.c),
                     dy = values_new(c.dtype, n, o.h, o.w, o.c);
    values_random(x, seed + 1, -1, 1);
    values_random(dy, seed + 2, -1, 1);
    if (!run(layer, x, y, dy, dx, &print)) print = (fingerprint){0};
    values_free(x);
    values_free(dx);
    values_free(y);
    values_free(dy);
    convt_layer_destroy(layer);
    return print;
}

const char *fingerprint_difference(const fingerprint *a, const fingerprint *b)
{
    const uint64_t *part[] = {&a->y,  &b->y,  &a->dx, &b->dx,   &a->dw,
                              &b->dw, &a->db, &b->db, &a->loss, &b->loss};
    static const char *const name[] = {"y", "dx", "dw", "db", "loss"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (*part[2 * i] != *part[2 * i + 1]) return name[i];
    return NULL;
}

convt_config fingerprint_config(uint64_t seed)
{
    int kind, kinds = 0;
    convt_config cfg = random_config(seed);
    if (seed % 3 == 0) {
        cfg.input.h += (int64_t)(seed * 11 % 23);
        cfg.input.w += (int64_t)(seed * 5 % 29);
    }
    if (seed % 5 == 0) cfg.filters += (int64_t)(seed * 7 % 60);
    while (convti_name_at(CONVTI_ACTIVATIONS, kinds, NULL)) kinds++;
    convti_name_at(CONVTI_ACTIVATIONS, (int)(seed % (uint64_t)kinds), &kind);
    cfg.kernel_regularizer.kind = seed % 2 && !cfg.fixed ? CONVT_L1 : CONVT_NO_REGULARIZER;
    cfg.activity_regularizer.kind = seed / 2 % 2 ? CONVT_L2 : CONVT_NO_REGULARIZER;
    return activated_config(cfg, kind);
}
