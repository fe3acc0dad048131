/*
 * What Keras and PyTorch say, replayed: every case of tests/keras/cases, or of the folder that the
 * first argument names, on every instruction set and in both precisions.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/close.h"
#include "support/isa.h"
#include "support/keras_case.h"
#include "support/values.h"

static const char *folder = CONVT_SOURCE_DIR "/tests/keras/cases";
static bool stored = true; /* every kind must be there; elsewhere, what there is */

/* Of the largest absolute value of an array. Of the contraction itself, see contraction(). */
static const double exact = 1e-9, single_value = 3e-4, single_gradient = 2e-3;

static double allowed(const keras_place *place, const char *array, double in_single)
{
    return keras_largest(place->c, array) * (place->dtype == CONVT_FLOAT64 ? exact : in_single);
}

static void compare(const keras_place *place, const char *array, convt_const_view actual,
                    double in_single)
{
    keras_compare(place, array, actual, allowed(place, array, in_single));
}

/* ---- layers ---------------------------------------------------------------------------------- */

struct layer_case {
    convt_spec spec;
    convt_config config;
    convt_layer *layer;
    convt_view x, kernel, bias, dy, y, dx;
};

static bool layer_open(struct layer_case *l, const keras_place *place)
{
    char *json = keras_text(place->c, "config");
    convt_error err = {0};
    memset(l, 0, sizeof *l);
    convt_status status = convt_spec_parse(json, &l->spec, &err);
    free(json);
    if (status == CONVT_OK) {
        l->config = l->spec.layers[0];
        l->x = keras_view(place->c, "x", l->config.data_format, place->dtype);
        l->config.input = (convt_shape){l->x.h, l->x.w, l->x.c};
        l->config.max_batch = l->x.n;
        l->config.dtype = place->dtype;
        l->config.threads = 2;
        status = convt_layer_create(&l->layer, &l->config, &err);
    }
    if (status != CONVT_OK) {
        keras_wrong(place, "refused: %s: %s", err.field, err.message);
        return false;
    }
    const convt_shape out = convt_layer_output(l->layer);
    l->kernel = keras_view(place->c, "kernel", CONVT_CHANNELS_LAST, place->dtype);
    l->bias = keras_view(place->c, "bias", CONVT_CHANNELS_LAST, place->dtype);
    l->dy = keras_view(place->c, "dy", l->config.data_format, place->dtype);
    l->y = values_new(place->dtype, l->x.n, out.h, out.w, out.c);
    l->dx = values_new(place->dtype, l->x.n, l->x.h, l->x.w, l->x.c);
    return true;
}

static void layer_close(struct layer_case *l)
{
    const convt_view views[] = {l->x, l->kernel, l->bias, l->dy, l->y, l->dx};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) values_free(views[i]);
    convt_layer_destroy(l->layer);
    convt_spec_free(&l->spec);
}

/* Ends the replay of a case at the first call that fails. */
static bool ok(const keras_place *place, const struct layer_case *l, const char *call,
               convt_status status)
{
    if (status == CONVT_OK) return true;
    const convt_error *err = convt_layer_error(l->layer);
    keras_wrong(place, "%s: %s: %s", call, err->field, err->message);
    return false;
}

static bool forward_backward(const keras_place *place, struct layer_case *l)
{
    return ok(place, l, "forward", convt_forward(l->layer, convt_read(l->x), l->y)) &&
           ok(place, l, "backward",
              convt_backward(l->layer, convt_read(l->x), convt_read(l->y), convt_read(l->dy),
                             l->dx));
}

/* Rounding of a sum of so many products, where nothing follows it. */
static double contraction(const keras_place *place, const struct layer_case *l)
{
    const double terms = (double)(l->kernel.n * l->kernel.h * l->kernel.c);
    if (place->dtype == CONVT_FLOAT64 || l->config.activation.kind != CONVT_LINEAR)
        return allowed(place, "y", single_value);
    return 4 * (double)FLT_EPSILON * terms * keras_largest(place->c, "x") *
           keras_largest(place->c, "kernel");
}

static void compare_gradients(const keras_place *place, struct layer_case *l)
{
    convt_parameter rows[2];
    const int count = convt_layer_parameters(l->layer, rows);
    double loss = NAN;
    keras_compare(place, "y", convt_read(l->y), contraction(place, l));
    if (!ok(place, l, "loss", convt_layer_loss(l->layer, convt_read(l->y), &loss))) return;
    keras_compare_scalar(place, "loss", loss, allowed(place, "loss", single_value));
    compare(place, "dx", convt_read(l->dx), single_gradient);
    compare(place, "dkernel", convt_read(rows[0].gradient), single_gradient);
    if (count > 1) compare(place, "dbias", convt_read(rows[1].gradient), single_gradient);
}

static void compare_steps(const keras_place *place, struct layer_case *l, const char *json)
{
    const int steps = (int)json_integer_value(json_object_get(place->c->description, "steps"));
    convt_sgd_config config;
    convt_sgd *sgd = NULL;
    convt_parameter rows[2];
    convt_error err = {0};
    const int count = convt_layer_parameters(l->layer, rows);
    if (convt_sgd_parse(json, &config, &err) ||
        convt_sgd_create(&sgd, &config, rows, count, &err)) {
        keras_wrong(place, "sgd: %s: %s", err.field, err.message);
        return;
    }
    for (int step = 0; step < steps && forward_backward(place, l); step++) convt_sgd_step(sgd);
    compare(place, "kernel_after", convt_read(rows[0].value), single_value);
    if (count > 1) compare(place, "bias_after", convt_read(rows[1].value), single_value);
    convt_sgd_destroy(sgd);
}

static void replay_layer(const keras_place *place)
{
    struct layer_case l;
    char *sgd = keras_text(place->c, "sgd");
    if (layer_open(&l, place) &&
        ok(place, &l, "set_kernel", convt_layer_set_kernel(l.layer, convt_read(l.kernel))) &&
        (!l.bias.data ||
         ok(place, &l, "set_bias", convt_layer_set_bias(l.layer, convt_read(l.bias)))) &&
        forward_backward(place, &l)) {
        compare_gradients(place, &l);
        if (sgd) compare_steps(place, &l, sgd);
    }
    layer_close(&l);
    free(sgd);
}

/* What goes beyond Keras in a layer's config, serialized or not; NULL: nothing. */
static const json_t *beyond(const json_t *config)
{
    const json_t *inner = json_object_get(config, "config");
    return json_object_get(inner ? inner : config, "convt");
}

static bool same_beyond(const keras_place *place, const char *written)
{
    json_t *model = json_loads(written, 0, NULL);
    const json_t *layers = json_object_get(json_object_get(model, "config"), "layers"),
                 *layer = json_array_get(layers, json_array_size(layers) - 1),
                 *expected = beyond(json_object_get(place->c->description, "config"));
    bool same = expected ? json_equal(expected, beyond(layer)) : !beyond(layer);
    json_decref(model);
    return same;
}

/* A config that is written, read and written again has the same text, and goes as far beyond Keras
 * as the one that was read. */
static void rewrite_layer(const keras_case *c, void *context)
{
    const keras_place place = {c, "any", CONVT_FLOAT64, context};
    char *json = keras_text(c, "config"), *once = NULL, *twice = NULL;
    convt_spec first = {0}, second = {0};
    convt_error err = {0};
    place.tally->cases++;
    place.tally->comparisons++;
    if (convt_spec_parse(json, &first, &err) ||
        convt_spec_write(first.layers, first.count, &once, &err) ||
        convt_spec_parse(once, &second, &err) ||
        convt_spec_write(second.layers, second.count, &twice, &err))
        keras_wrong(&place, "not written again: %s: %s", err.field, err.message);
    else if (strcmp(once, twice) != 0)
        keras_wrong(&place, "written twice:\n%s\n%s", once, twice);
    else if (!same_beyond(&place, once))
        keras_wrong(&place, "\"convt\" is another in:\n%s", once);
    convt_spec_free(&first);
    convt_spec_free(&second);
    free(json);
    free(once);
    free(twice);
}

/* ---- losses ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    convt_loss_kind kind;
} losses[] = {
#define LOSS(name, number, class_name, ...) {#class_name, CONVT_##name},
#define SUM_LOSS LOSS
#define AXIS_LOSS LOSS
#define BATCH_LOSS LOSS
#include "convt/losses.def"
};

static const struct {
    const char *name;
    convt_reduction reduction;
} reductions[] = {
    {"sum_over_batch_size", CONVT_REDUCE_MEAN},
    {"mean", CONVT_REDUCE_MEAN},
    {"sum", CONVT_REDUCE_SUM},
    {"mean_with_sample_weight", CONVT_REDUCE_MEAN_WITH_SAMPLE_WEIGHT},
};

/* The arguments of a loss as Keras' config has them. False: something is not known. */
static bool read_loss(const keras_case *c, convt_loss_config *loss)
{
    const struct {
        const char *name;
        convt_optional *value;
    } arguments[] = {
#define LOSS_ARGUMENT(name, range) {#name, &loss->name},
#include "convt/losses.def"
    };
    enum { LOSSES = sizeof losses / sizeof *losses };
    enum { REDUCTIONS = sizeof reductions / sizeof *reductions };
    const char *name = json_string_value(json_object_get(c->description, "class_name")), *key;
    const char *format = json_string_value(json_object_get(c->description, "data_format"));
    json_t *value;
    size_t i = 0;
    while (i < LOSSES && strcmp(losses[i].name, name) != 0) i++;
    if (i == LOSSES) return false;
    *loss = (convt_loss_config){.kind = losses[i].kind, .threads = 2};
    loss->data_format = strcmp(format, "channels_first") == 0 ? CONVT_CHANNELS_FIRST
                                                              : CONVT_CHANNELS_LAST;
    json_object_foreach(json_object_get(c->description, "config"), key, value)
    {
        bool known = true;
        if (strcmp(key, "from_logits") == 0) {
            loss->from_logits = json_is_true(value);
        } else if (strcmp(key, "reduction") == 0) {
            for (i = 0; i < REDUCTIONS; i++)
                if (strcmp(reductions[i].name, json_string_value(value)) == 0) break;
            known = i < REDUCTIONS;
            if (known) loss->reduction = reductions[i].reduction;
        } else {
            for (i = 0; i < sizeof arguments / sizeof *arguments; i++)
                if (strcmp(arguments[i].name, key) == 0) break;
            known = i < sizeof arguments / sizeof *arguments;
            if (known)
                *arguments[i].value = CONVT_SET(json_is_true(value) ? 1 : json_number_value(value));
        }
        if (!known) return false;
    }
    return true;
}

/* Keras' weights (n, 1, 1) and (positions) have no last axis of memory; views have one, of 1. */
static convt_view weight_view(const keras_case *c, convt_data_format format, convt_dtype dtype)
{
    const convt_array *a = convt_archive_find(&c->archive, "sample_weight");
    if (!a) return CONVT_NONE;
    convt_view view = keras_view(c, "sample_weight", CONVT_CHANNELS_LAST, dtype);
    const int64_t *s = a->shape;
    view.n = s[0];
    view.h = format == CONVT_CHANNELS_LAST ? s[1] : s[2];
    view.w = format == CONVT_CHANNELS_LAST ? s[2] : 1;
    view.c = format == CONVT_CHANNELS_LAST ? 1 : s[1];
    return view;
}

static void replay_loss(const keras_place *place)
{
    convt_loss_config loss;
    convt_loss_value value = {NAN, NAN};
    convt_error err = {0};
    if (!read_loss(place->c, &loss)) {
        keras_wrong(place, "unknown loss or argument");
        return;
    }
    const convt_data_format format = loss.data_format;
    convt_view target = keras_view(place->c, "target", format, place->dtype),
               prediction = keras_view(place->c, "prediction", format, place->dtype),
               weight = weight_view(place->c, format, place->dtype),
               dy =
                   values_new(place->dtype, prediction.n, prediction.h, prediction.w, prediction.c);
    const convt_sample_weight weights = {convt_read(weight), 0};
    if (convt_loss(&loss, convt_read(target), convt_read(prediction), weight.data ? &weights : NULL,
                   prediction.n, &value, dy, &err)) {
        keras_wrong(place, "refused: %s: %s", err.field, err.message);
    } else {
        keras_compare_scalar(place, "loss", value.loss, allowed(place, "loss", single_value));
        compare(place, "dy", convt_read(dy), single_gradient);
    }
    values_free(target);
    values_free(prediction);
    values_free(weight);
    values_free(dy);
}

/* ---- schedules ------------------------------------------------------------------------------- */

static void replay_schedule(const keras_place *place)
{
    convt_sgd_config config;
    convt_error err = {0};
    json_t *sgd =
        json_pack("{s: O}", "learning_rate", json_object_get(place->c->description, "schedule"));
    char *json = json_dumps(sgd, JSON_REAL_PRECISION(17));
    convt_view rates = keras_view(place->c, "steps", CONVT_CHANNELS_LAST, CONVT_FLOAT64);
    if (convt_sgd_parse(json, &config, &err)) {
        keras_wrong(place, "refused: %s: %s", err.field, err.message);
    } else {
        for (int64_t i = 0; i < values_count(convt_read(rates)); i++)
            values_set(rates, i,
                       convt_schedule_rate(&config, (int64_t)values_get(convt_read(rates), i)));
        compare(place, "rates", convt_read(rates), exact);
    }
    values_free(rates);
    free(json);
    json_decref(sgd);
}

/* ---- all of a kind --------------------------------------------------------------------------- */

struct replay {
    void (*replay)(const keras_place *place);
    const char *kind, *isa;
    bool reals; /* in both precisions; else once */
    keras_tally tally;
};

static void replay_case(const keras_case *c, void *context)
{
    struct replay *r = context;
    if (r->reals) r->replay(&(keras_place){c, r->isa, CONVT_FLOAT32, &r->tally});
    r->replay(&(keras_place){c, r->isa, CONVT_FLOAT64, &r->tally});
}

static void replay_isa(const char *isa, void *context)
{
    struct replay *r = context;
    r->isa = isa;
    r->tally.cases = keras_each_case(folder, r->kind, replay_case, r);
}

static void finish(const keras_tally *tally, const char *kind)
{
    keras_tally_assert(tally, kind);
    if (stored) assert_true(tally->cases > 0);
}

static void replay_kind(const char *kind, void (*replay)(const keras_place *), bool every_isa)
{
    struct replay r = {.replay = replay, .kind = kind, .reals = every_isa};
    if (every_isa)
        for_each_isa(replay_isa, &r);
    else
        replay_isa("any", &r);
    finish(&r.tally, kind);
}

static void test_layers(void **state)
{
    (void)state;
    replay_kind("layer", replay_layer, true);
}

static void test_torch(void **state)
{
    (void)state;
    replay_kind("torch", replay_layer, true);
}

static void test_losses(void **state)
{
    (void)state;
    replay_kind("loss", replay_loss, true);
}

static void test_schedules(void **state)
{
    (void)state;
    replay_kind("schedule", replay_schedule, false);
}

static void test_rewritten_configs(void **state)
{
    (void)state;
    keras_tally tally = {0};
    keras_each_case(folder, "layer", rewrite_layer, &tally);
    keras_each_case(folder, "torch", rewrite_layer, &tally);
    finish(&tally, "configs written again");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_torch),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_rewritten_configs),
    };
    if (argc > 1) {
        folder = argv[1];
        stored = false;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
