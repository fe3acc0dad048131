/* Every name finds its kind and back; every row of a .def has its names. */
#include "names.h"

#include <string.h>

#include "support/close.h"

static bool from_name(convti_family family, const char *name, int *kind)
{
    convt_activation_kind activation = CONVT_LINEAR;
    convt_initializer_kind initializer = CONVT_DEFAULT_INITIALIZER;
    convt_regularizer_kind regularizer = CONVT_NO_REGULARIZER;
    convt_constraint_kind constraint = CONVT_NO_CONSTRAINT;
    convt_loss_kind loss = CONVT_DEFAULT_LOSS;
    convt_schedule_kind schedule = CONVT_CONSTANT_RATE;
    bool found = false;
    switch (family) {
    case CONVTI_ACTIVATIONS:
        found = convti_activation_from_name(name, &activation);
        *kind = (int)activation;
        break;
    case CONVTI_INITIALIZERS:
        found = convti_initializer_from_name(name, &initializer);
        *kind = (int)initializer;
        break;
    case CONVTI_REGULARIZERS:
        found = convti_regularizer_from_name(name, &regularizer);
        *kind = (int)regularizer;
        break;
    case CONVTI_CONSTRAINTS:
        found = convti_constraint_from_name(name, &constraint);
        *kind = (int)constraint;
        break;
    case CONVTI_LOSSES:
        found = convti_loss_from_name(name, &loss);
        *kind = (int)loss;
        break;
    case CONVTI_SCHEDULES:
        found = convti_schedule_from_name(name, &schedule);
        *kind = (int)schedule;
        break;
    }
    return found;
}

static void check_row(convti_family family, int number, const char *class_name,
                      const char *snake_name)
{
    int kind = -1;
    assert_string_equal(convti_class_name(family, number), class_name);
    assert_string_equal(convti_snake_name(family, number), snake_name);
    assert_true(from_name(family, class_name, &kind));
    assert_int_equal(kind, number);
    assert_true(from_name(family, snake_name, &kind));
    assert_int_equal(kind, number);
}

static void test_every_row(void **state)
{
    (void)state;
#define ACTIVATION(enumerator, number, name, ...) \
    check_row(CONVTI_ACTIVATIONS, number, #name, #name);
#include "convt/activations.def"
#define INITIALIZER(enumerator, number, class_name, name, ...) \
    check_row(CONVTI_INITIALIZERS, number, #class_name, #name);
#include "convt/initializers.def"
#undef INITIALIZER
#define REGULARIZER(enumerator, number, class_name, name, ...) \
    check_row(CONVTI_REGULARIZERS, number, #class_name, #name);
#include "convt/regularizers.def"
#undef REGULARIZER
#define CONSTRAINT(enumerator, number, class_name, name, ...) \
    check_row(CONVTI_CONSTRAINTS, number, #class_name, #name);
#include "convt/constraints.def"
#undef CONSTRAINT
#define LOSS(enumerator, number, class_name, name, ...) \
    check_row(CONVTI_LOSSES, number, #class_name, #name);
#define SUM_LOSS LOSS
#define AXIS_LOSS LOSS
#define BATCH_LOSS LOSS
#include "convt/losses.def"
#define SCHEDULE(enumerator, number, class_name, ...) \
    check_row(CONVTI_SCHEDULES, number, #class_name, #class_name);
#include "convt/schedules.def"
}

static void test_names_of_keras(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        convti_family family;
        int kind;
    } known[] = {
        {"relu", CONVTI_ACTIVATIONS, CONVT_RELU},
        {"leaky_relu", CONVTI_ACTIVATIONS, CONVT_LEAKY_RELU},
        {"GlorotUniform", CONVTI_INITIALIZERS, CONVT_GLOROT_UNIFORM},
        {"variance_scaling", CONVTI_INITIALIZERS, CONVT_VARIANCE_SCALING},
        {"normal", CONVTI_INITIALIZERS, CONVT_RANDOM_NORMAL},
        {"uniform", CONVTI_INITIALIZERS, CONVT_RANDOM_UNIFORM},
        {"zero", CONVTI_INITIALIZERS, CONVT_ZEROS},
        {"one", CONVTI_INITIALIZERS, CONVT_ONES},
        {"l1l2", CONVTI_REGULARIZERS, CONVT_L1L2},
        {"MinMaxNorm", CONVTI_CONSTRAINTS, CONVT_MIN_MAX_NORM},
        {"mse", CONVTI_LOSSES, CONVT_MEAN_SQUARED_ERROR},
        {"bce", CONVTI_LOSSES, CONVT_BINARY_CROSSENTROPY},
        {"KLD", CONVTI_LOSSES, CONVT_KL_DIVERGENCE},
        {"Huber", CONVTI_LOSSES, CONVT_HUBER},
        {"tversky", CONVTI_LOSSES, CONVT_TVERSKY},
        {"CosineDecay", CONVTI_SCHEDULES, CONVT_COSINE_DECAY},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int kind = -1;
        assert_true(from_name(known[i].family, known[i].name, &kind));
        assert_int_equal(kind, known[i].kind);
    }
}

static void test_unknown_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",      "l1_l2", "Relu", "glorotuniform", "no_such_thing",
                                        "relu ", NULL};
    for (int family = CONVTI_ACTIVATIONS; family <= CONVTI_SCHEDULES; family++) {
        int kind;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            assert_false(from_name((convti_family)family, wrong[i], &kind));
        assert_null(convti_class_name((convti_family)family, 1000));
        assert_null(convti_snake_name((convti_family)family, -1));
    }
}

/* The list for messages has every name once, and each is understood. */
static void test_lists(void **state)
{
    (void)state;
    for (int f = CONVTI_ACTIVATIONS; f <= CONVTI_SCHEDULES; f++) {
        convti_family family = (convti_family)f;
        int count = 0, listed, kind;
        for (const char *name; (name = convti_name_at(family, count, &listed)) != NULL; count++) {
            assert_true(from_name(family, name, &kind));
            assert_int_equal(kind, listed);
            for (int i = 0; i < count; i++)
                assert_string_not_equal(convti_name_at(family, i, NULL), name);
        }
        assert_true(count >= 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_names_of_keras),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
