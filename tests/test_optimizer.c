/* Keras' SGD as JSON: what get_config() gives is read, what is not supported is refused by name. */
#include "support/close.h"

#include <stdlib.h>

#include "cli.h"
#include "optimizer.h"

static void get_config_is_read(void **state)
{
    (void)state;
    static const char json[] =
        "{\"name\":\"SGD\",\"learning_rate\":0.009999999776482582,\"weight_decay\":null,"
        "\"clipnorm\":null,"
        "\"global_clipnorm\":null,\"clipvalue\":null,\"use_ema\":false,\"ema_momentum\":0.99,"
        "\"ema_overwrite_frequency\":null,\"loss_scale_factor\":null,\"gradient_accumulation_"
        "steps\":null,"
        "\"momentum\":0.9,\"nesterov\":true}";
    convt_sgd_config sgd;
    convt_error err;
    assert_int_equal(optimizer_parse(json, &sgd, &err), CONVT_OK);
    assert_true(sgd.learning_rate.set && sgd.learning_rate.value == 0.009999999776482582);
    assert_true(sgd.momentum == 0.9 && sgd.nesterov && !sgd.weight_decay.set);
    assert_int_equal(sgd.schedule.kind, CONVT_CONSTANT_RATE);
}

static void missing_keys_are_defaults(void **state)
{
    (void)state;
    convt_sgd_config sgd;
    convt_error err;
    assert_int_equal(optimizer_parse("{}", &sgd, &err), CONVT_OK);
    assert_true(!sgd.learning_rate.set && sgd.momentum == 0 && !sgd.nesterov);
    assert_int_equal(
        optimizer_parse("{\"class_name\":\"SGD\",\"config\":{\"momentum\":0.5}}", &sgd, &err),
        CONVT_OK);
    assert_true(sgd.momentum == 0.5);
}

static void schedules_are_read(void **state)
{
    (void)state;
    static const char json[] = "{\"learning_rate\":{\"module\":\"keras.optimizers.schedules\","
                               "\"class_name\":\"CosineDecay\",\"config\":"
                               "{\"initial_learning_rate\":0.0,\"decay_steps\":100,\"alpha\":0.1,"
                               "\"name\":\"CosineDecay\",\"warmup_target\":0.5,"
                               "\"warmup_steps\":10},\"registered_name\":null}}";
    convt_sgd_config sgd, again;
    convt_error err;
    assert_int_equal(optimizer_parse(json, &sgd, &err), CONVT_OK);
    assert_int_equal(sgd.schedule.kind, CONVT_COSINE_DECAY);
    assert_true(sgd.learning_rate.set && sgd.learning_rate.value == 0 &&
                sgd.schedule.decay_steps == 100);
    assert_true(sgd.schedule.alpha == 0.1 && sgd.schedule.warmup_target.value == 0.5 &&
                sgd.schedule.warmup_steps == 10);
    char *text = optimizer_write(&sgd);
    assert_non_null(text);
    assert_int_equal(optimizer_parse(text, &again, &err), CONVT_OK);
    free(text);
    for (int64_t step = 0; step < 120; step += 7)
        assert_true(convt_schedule_rate(&sgd, step) == convt_schedule_rate(&again, step));
}

static void the_rest_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field, *part;
    } rows[] = {
        {"{\"clipnorm\":1.0}", "clipnorm", "1.0"},
        {"{\"use_ema\":true}", "use_ema", "true"},
        {"{\"gradient_accumulation_steps\":4}", "gradient_accumulation_steps", "4"},
        {"{\"momentum\":1.5}", "momentum", "1.5"},
        {"{\"momentum\":\"a\"}", "momentum", "\"a\""},
        {"{\"learning_rate\":-1}", "learning_rate", "-1"},
        {"{\"learning_rate\":{\"class_name\":\"PolynomialDecay\",\"config\":{}}}", "learning_rate",
         "PolynomialDecay"},
        {"{\"learning_rate\":{\"class_name\":\"CosineDecay\",\"config\":{\"initial_learning_rate\":"
         "1}}}",
         "learning_rate.decay_steps", "0"},
        {"{\"learning_rte\":0.1}", "learning_rte", "0.1"},
        {"{\"class_name\":\"Adam\",\"config\":{}}", "class_name", "Adam"},
        {"[1]", "optimizer", "object"},
        {"{", "", ""},
    };
    convt_sgd_config sgd;
    convt_error err;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_refused(optimizer_parse(rows[i].json, &sgd, &err), &err, CONVT_INVALID_ARGUMENT,
                       rows[i].field, rows[i].part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_config_is_read),
        cmocka_unit_test(missing_keys_are_defaults),
        cmocka_unit_test(schedules_are_read),
        cmocka_unit_test(the_rest_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
