/* Keras' SGD as JSON: what get_config() and serialize_keras_object give is read, what Keras refuses
 * is refused by its place, and what is written reads back equal. */
#include "support/close.h"
#include "support/scratch.h"

#include <convt/io.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "schedule.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define SCHEDULE_OF(class_name, config)                                                 \
    "{\"learning_rate\": {\"module\": \"keras.optimizers.schedules\", \"class_name\": " \
    "\"" class_name "\", \"config\": {" config "}, \"registered_name\": null}}"

static convt_sgd_config read_json(const char *json)
{
    convt_sgd_config sgd = {.threads = 5};
    convt_error err = {0};
    if (convt_sgd_parse(json, &sgd, &err)) fail_msg("%s: %s: %s", json, err.field, err.message);
    assert_int_equal(sgd.threads, 0);
    return sgd;
}

static char *written(const convt_sgd_config *sgd)
{
    char *json;
    convt_error err = {0};
    if (convt_sgd_write(sgd, &json, &err)) fail_msg("%s: %s", err.field, err.message);
    return json;
}

/* Written, read and written again: the same text, and the same rates. */
static void check_way_back(const convt_sgd_config *sgd)
{
    char *one = written(sgd);
    const convt_sgd_config again = read_json(one);
    char *two = written(&again);
    assert_string_equal(one, two);
    for (int64_t step = 0; step < 120; step += 7)
        assert_close(convt_schedule_rate(&again, step), convt_schedule_rate(sgd, step), 0, 0);
    free(one);
    free(two);
}

/* ---- what Keras writes ----------------------------------------------------------------------- */

static const char plain[] =
    "{\"name\": \"sgd\", \"learning_rate\": 0.009999999776482582, \"weight_decay\": null, "
    "\"clipnorm\": null, \"global_clipnorm\": null, \"clipvalue\": null, \"use_ema\": false, "
    "\"ema_momentum\": 0.99, \"ema_overwrite_frequency\": null, \"loss_scale_factor\": null, "
    "\"gradient_accumulation_steps\": null, \"momentum\": 0.0, \"nesterov\": false}";

static const char full[] =
    "{\"module\": \"keras.optimizers\", \"class_name\": \"SGD\", \"config\": {\"name\": \"sgd_1\", "
    "\"learning_rate\": {\"module\": \"keras.optimizers.schedules\", \"class_name\": "
    "\"ExponentialDecay\", \"config\": {\"initial_learning_rate\": 0.1, \"decay_steps\": 100, "
    "\"decay_rate\": 0.9, \"staircase\": true, \"name\": \"ExponentialDecay\"}, "
    "\"registered_name\": null}, \"weight_decay\": 0.004, \"clipnorm\": null, "
    "\"global_clipnorm\": 2.5, \"clipvalue\": null, \"use_ema\": true, \"ema_momentum\": 0.95, "
    "\"ema_overwrite_frequency\": 7, \"loss_scale_factor\": 1024.0, "
    "\"gradient_accumulation_steps\": 4, \"momentum\": 0.9, \"nesterov\": true}, "
    "\"registered_name\": null}";

static void assert_optional(convt_optional number, double value)
{
    assert_true(number.set);
    assert_close(number.value, value, 0, 0);
}

static void get_config_is_read(void **state)
{
    (void)state;
    const convt_sgd_config sgd = read_json(plain);
    assert_optional(sgd.learning_rate, 0.009999999776482582);
    assert_optional(sgd.ema_momentum, 0.99);
    assert_false(sgd.weight_decay.set || sgd.clipnorm.set || sgd.global_clipnorm.set ||
                 sgd.clipvalue.set || sgd.loss_scale_factor.set || sgd.use_ema || sgd.nesterov);
    assert_int_equal(sgd.ema_overwrite_frequency, 0);
    assert_int_equal(sgd.gradient_accumulation_steps, 0);
    assert_int_equal(sgd.schedule.kind, CONVT_CONSTANT_RATE);
    assert_close(sgd.momentum, 0, 0, 0);
    check_way_back(&sgd);
}

static void serialized_optimizers_are_read(void **state)
{
    (void)state;
    const convt_sgd_config sgd = read_json(full);
    assert_optional(sgd.learning_rate, 0.1);
    assert_int_equal(sgd.schedule.kind, CONVT_EXPONENTIAL_DECAY);
    assert_optional(sgd.schedule.decay_steps, 100);
    assert_optional(sgd.schedule.decay_rate, 0.9);
    assert_optional(sgd.schedule.staircase, 1);
    assert_optional(sgd.weight_decay, 0.004);
    assert_optional(sgd.global_clipnorm, 2.5);
    assert_optional(sgd.ema_momentum, 0.95);
    assert_optional(sgd.loss_scale_factor, 1024);
    assert_true(sgd.use_ema && sgd.nesterov && !sgd.clipnorm.set && !sgd.clipvalue.set);
    assert_int_equal(sgd.ema_overwrite_frequency, 7);
    assert_int_equal(sgd.gradient_accumulation_steps, 4);
    assert_close(sgd.momentum, 0.9, 0, 0);
    check_way_back(&sgd);
}

/* Without line breaks and indents, a blank behind each comma, as Python's json.dumps. In place. */
static void join_lines(char *text)
{
    char *end = text;
    for (const char *c = text; *c; c++) {
        if (*c != '\n') {
            *end++ = *c;
            continue;
        }
        if (end > text && end[-1] == ',') *end++ = ' ';
        while (c[1] == ' ') c++;
    }
    *end = '\0';
}

static void text_is_that_of_get_config(void **state)
{
    (void)state;
    const convt_sgd_config sgd = read_json(plain);
    char *text = written(&sgd);
    join_lines(text);
    assert_string_equal(text, plain);
    free(text);
}

static void missing_keys_are_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"class_name\": \"SGD\"}",
                                        "{\"class_name\": \"sgd\", \"config\": null}"};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const convt_sgd_config sgd = read_json(texts[i]);
        assert_true(!sgd.learning_rate.set && sgd.momentum <= 0 && !sgd.nesterov && !sgd.use_ema &&
                    !sgd.ema_momentum.set);
        check_way_back(&sgd);
    }
    assert_close(read_json("{\"class_name\": \"Sgd\", \"config\": {\"momentum\": 0.5}}").momentum,
                 0.5, 0, 0);
}

/* As Keras' arguments take what JSON makes of Python's values. */
static void odd_values_mean_what_they_mean_to_keras(void **state)
{
    (void)state;
    assert_true(read_json("{\"nesterov\": 1, \"use_ema\": \"yes\"}").use_ema);
    assert_false(read_json("{\"nesterov\": null, \"use_ema\": []}").use_ema);
    assert_true(read_json("{\"use_ema\": {\"a\": 0}}").use_ema);
    assert_false(read_json("{\"use_ema\": {}}").use_ema);
    assert_int_equal(
        read_json("{\"gradient_accumulation_steps\": 3.0}").gradient_accumulation_steps, 3);
    assert_int_equal(
        read_json("{\"gradient_accumulation_steps\": false}").gradient_accumulation_steps, 0);
    assert_int_equal(
        read_json("{\"use_ema\": true, \"ema_overwrite_frequency\": 0.0}").ema_overwrite_frequency,
        0);
    assert_int_equal(read_json("{\"ema_overwrite_frequency\": -1}").ema_overwrite_frequency, -1);
    assert_false(read_json("{\"ema_momentum\": null}").ema_momentum.set);
    assert_optional(read_json("{\"ema_momentum\": 1, \"use_ema\": true}").ema_momentum, 1);
    assert_optional(read_json("{\"clipnorm\": 0}").clipnorm, 0);
    assert_optional(read_json("{\"learning_rate\": -1.5}").learning_rate, -1.5);
    read_json("{\"decay\": 0.1, \"name\": null}");
    read_json("{\"name\": \"\"}");
}

/* ---- schedules ------------------------------------------------------------------------------- */

static void schedules_are_read(void **state)
{
    (void)state;
    convt_sgd_config sgd = read_json(
        SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.0, \"decay_steps\": 100, "
                                   "\"alpha\": 0.1, \"name\": \"CosineDecay\", "
                                   "\"warmup_target\": 0.5, \"warmup_steps\": 10"));
    assert_int_equal(sgd.schedule.kind, CONVT_COSINE_DECAY);
    assert_optional(sgd.learning_rate, 0);
    assert_optional(sgd.schedule.warmup_target, 0.5);
    assert_close(convt_schedule_rate(&sgd, 5), 0.25, 1e-15, 0);
    check_way_back(&sgd);
    sgd =
        read_json(SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 10, "
                                             "\"warmup_target\": null"));
    assert_false(sgd.schedule.warmup_target.set);
    check_way_back(&sgd);
    sgd = read_json(SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [5, 10], "
                                                          "\"values\": [1.0, 0.5, 0.25], "
                                                          "\"name\": \"PiecewiseConstant\""));
    assert_false(sgd.learning_rate.set);
    assert_int_equal(sgd.schedule.boundary_count, 2);
    assert_close(convt_schedule_rate(&sgd, 6), 0.5, 0, 0);
    check_way_back(&sgd);
    sgd = read_json(SCHEDULE_OF("PolynomialDecay", "\"initial_learning_rate\": 1, "
                                                   "\"decay_steps\": 10, \"cycle\": null"));
    assert_optional(sgd.schedule.cycle, 0);
    assert_close(convt_schedule_rate(&sgd, 10), 1e-4, 1e-15, 0);
}

/* Every row of the table, with every argument it takes set to a number of its own. */
static void every_schedule_goes_there_and_back(void **state)
{
    (void)state;
    int kind;
    const char *name;
    for (int i = 0; (name = convti_name_at(CONVTI_SCHEDULES, i, &kind)) != NULL; i++) {
        const convti_schedule_arguments *row =
            convti_schedule_arguments_of((convt_schedule_kind)kind);
        convt_sgd_config sgd = {.schedule = {.kind = (convt_schedule_kind)kind}};
        double number = 1;
#define SCHEDULE_ARGUMENT(name, range) \
    if (row->name.set)                 \
        sgd.schedule.name = CONVT_SET(strcmp(#range, "SWITCH") ? (number += 0.375) : 1);
#include <convt/schedules.def>
        if (row->boundaries)
            sgd.schedule.boundary_count = CONVT_MOST_BOUNDARIES;
        else
            sgd.learning_rate = CONVT_SET(0.1);
        for (int k = 0; k <= CONVT_MOST_BOUNDARIES && row->boundaries; k++) {
            if (k < CONVT_MOST_BOUNDARIES) sgd.schedule.boundaries[k] = k;
            sgd.schedule.values[k] = 1.0 / (k + 3);
        }
        check_way_back(&sgd);
        char *text = written(&sgd);
        const convt_sgd_config again = read_json(text);
        assert_non_null(strstr(text, name));
        assert_non_null(strstr(text, row->name));
#define SCHEDULE_ARGUMENT(name, range)                                \
    assert_int_equal(again.schedule.name.set, sgd.schedule.name.set); \
    assert_close(again.schedule.name.value, sgd.schedule.name.value, 0, 0);
#include <convt/schedules.def>
        free(text);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void what_keras_refuses_is_refused_by_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field, *part;
    } rows[] = {
        {"{\"momentum\": 1.5}", "momentum", "1.5"},
        {"{\"momentum\": 0}", "momentum", "float"},
        {"{\"momentum\": true}", "momentum", "float"},
        {"{\"momentum\": null}", "momentum", "null"},
        {"{\"momentum\": \"a\"}", "momentum", "\"a\""},
        {"{\"learning_rate\": 1}", "learning_rate", "float"},
        {"{\"learning_rate\": null}", "learning_rate", "null"},
        {"{\"learning_rate\": true}", "learning_rate", "true"},
        {"{\"learning_rate\": {}}", "learning_rate", "{}"},
        {"{\"learning_rate\": \"CosineDecay\"}", "learning_rate", "CosineDecay"},
        {"{\"name\": 3}", "name", "name=3"},
        {"{\"name\": \"a/b\"}", "name", "a/b"},
        {"{\"weight_decay\": \"a\"}", "weight_decay", "\"a\""},
        {"{\"clipnorm\": [1]}", "clipnorm", "[1]"},
        {"{\"clipnorm\": 0, \"clipvalue\": 1.5}", "clipvalue", "clipnorm 0 and clipvalue 1.5"},
        {"{\"use_ema\": true, \"ema_momentum\": 1.5}", "ema_momentum", "1.5"},
        {"{\"ema_momentum\": null, \"use_ema\": true}", "ema_momentum", "null"},
        {"{\"use_ema\": 1, \"ema_overwrite_frequency\": -1}", "ema_overwrite_frequency", "-1"},
        {"{\"use_ema\": 1, \"ema_overwrite_frequency\": 2.0}", "ema_overwrite_frequency", "2.0"},
        {"{\"gradient_accumulation_steps\": 1}", "gradient_accumulation_steps", "1"},
        {"{\"gradient_accumulation_steps\": true}", "gradient_accumulation_steps", "1"},
        {"{\"gradient_accumulation_steps\": -3}", "gradient_accumulation_steps", "-3"},
        {"{\"gradient_accumulation_steps\": 2.5}", "gradient_accumulation_steps", "2.5"},
        {"{\"learning_rte\": 0.1}", "learning_rte",
         "Argument(s) not recognized: {\"learning_rte\": 0.1}"},
        {"{\"jit_compile\": true}", "jit_compile", "not recognized"},
        {"{\"threads\": 2}", "threads", "not recognized"},
        {"{\"class_name\": \"Adam\", \"config\": {}}", "class_name", "Adam"},
        {"{\"class_name\": 3, \"config\": {}}", "class_name", "3"},
        {"{\"class_name\": \"SGD\", \"config\": [1]}", "config", "[1]"},
        {"[1]", "optimizer", "[1]"},
        {SCHEDULE_OF("Cosine", ""), "learning_rate", "Cosine"},
        {"{\"learning_rate\": {\"class_name\": \"CosineDecay\", \"config\": {}}}", "learning_rate",
         "CosineDecay"},
        {"{\"learning_rate\": {\"module\": \"keras.optimizers.schedules\", \"class_name\": "
         "\"CosineDecay\"}}",
         "learning_rate.config", "CosineDecay"},
        {SCHEDULE_OF("CosineDecay", "\"decay_steps\": 3"), "learning_rate.initial_learning_rate",
         "missing"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5"), "learning_rate.decay_steps",
         "missing"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 0"),
         "learning_rate.decay_steps", "got 0"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": null"),
         "learning_rate.decay_steps", "null"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": null, \"decay_steps\": 3"),
         "learning_rate.initial_learning_rate", "null"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 3, "
                                    "\"alpha\": null"),
         "learning_rate.alpha", "null"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 3, "
                                    "\"power\": 2"),
         "learning_rate.power", "CosineDecay: {\"power\": 2}"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 3, "
                                    "\"boundaries\": []"),
         "learning_rate.boundaries", "[]"},
        {SCHEDULE_OF("CosineDecay", "\"initial_learning_rate\": 0.5, \"decay_steps\": 3, "
                                    "\"name\": null"),
         "learning_rate.name", "name=null"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"values\": [0.5]"), "learning_rate.boundaries",
         "missing"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [1]"), "learning_rate.values",
         "missing"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [], \"values\": [0.5]"),
         "learning_rate.boundaries", "got 0"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [1, 2], \"values\": [0.5]"),
         "learning_rate.boundaries", "boundaries of length 2, and values of length 1"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [1, \"a\"], \"values\": [1, 2, 3]"),
         "learning_rate.boundaries", "\"a\""},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": 3, \"values\": [1, 2]"),
         "learning_rate.boundaries", "3"},
        {SCHEDULE_OF("PiecewiseConstantDecay", "\"boundaries\": [1], \"values\": [1, 2], "
                                               "\"initial_learning_rate\": 0.5"),
         "learning_rate.initial_learning_rate", "0.5"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        convt_sgd_config sgd = {.threads = 5};
        convt_error err = {0};
        assert_refused(convt_sgd_parse(rows[i].json, &sgd, &err), &err, CONVT_INVALID_ARGUMENT,
                       rows[i].field, rows[i].part);
        assert_int_equal(convt_sgd_parse(rows[i].json, &sgd, NULL), CONVT_INVALID_ARGUMENT);
        assert_int_equal(sgd.threads, 5); /* untouched */
    }
}

static void lists_that_are_too_long_are_refused(void **state)
{
    (void)state;
    char json[2048] = "{\"learning_rate\": {\"module\": \"keras.optimizers.schedules\", "
                      "\"class_name\": \"PiecewiseConstantDecay\", \"config\": {\"values\": [1], "
                      "\"boundaries\": [0";
    for (int i = 1; i <= CONVT_MOST_BOUNDARIES; i++) strcat(json, ", 1");
    strcat(json, "]}}}");
    convt_sgd_config sgd;
    convt_error err = {0};
    assert_refused(convt_sgd_parse(json, &sgd, &err), &err, CONVT_INVALID_ARGUMENT,
                   "learning_rate.boundaries", "at most 64");
}

static void texts_that_are_no_json_are_refused(void **state)
{
    (void)state;
    convt_sgd_config sgd;
    convt_error err = {0};
    assert_refused(convt_sgd_parse("{", &sgd, &err), &err, CONVT_BAD_FORMAT, "optimizer",
                   "is no JSON");
    assert_refused(convt_sgd_read(scratch("missing.json"), &sgd, &err), &err, CONVT_FILE_FAILED,
                   "missing.json", "cannot be opened");
    assert_refused(convt_sgd_read(scratch_write("zero.json", "{}\0{}", 5), &sgd, &err), &err,
                   CONVT_BAD_FORMAT, "zero.json", "zero byte");
    assert_refused(convt_sgd_read(scratch_write("cut.json", plain, 20), &sgd, &err), &err,
                   CONVT_BAD_FORMAT, "cut.json", "is no JSON");
    assert_int_equal(convt_sgd_read(scratch_write("good.json", full, strlen(full)), &sgd, &err),
                     CONVT_OK);
    assert_int_equal(sgd.schedule.kind, CONVT_EXPONENTIAL_DECAY);
}

static void what_no_optimizer_takes_is_not_written(void **state)
{
    (void)state;
    const convt_sgd_config sgd = {.momentum = 2};
    char *json = (char *)&json;
    convt_error err = {0};
    assert_refused(convt_sgd_write(&sgd, &json, &err), &err, CONVT_INVALID_ARGUMENT, "momentum",
                   "2");
    assert_null(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_config_is_read),
        cmocka_unit_test(serialized_optimizers_are_read),
        cmocka_unit_test(text_is_that_of_get_config),
        cmocka_unit_test(missing_keys_are_defaults),
        cmocka_unit_test(odd_values_mean_what_they_mean_to_keras),
        cmocka_unit_test(schedules_are_read),
        cmocka_unit_test(every_schedule_goes_there_and_back),
        cmocka_unit_test(what_keras_refuses_is_refused_by_its_place),
        cmocka_unit_test(lists_that_are_too_long_are_refused),
        cmocka_unit_test(texts_that_are_no_json_are_refused),
        cmocka_unit_test(what_no_optimizer_takes_is_not_written),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
