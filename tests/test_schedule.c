/* Learning rates against numbers worked out by hand from Keras' formulas. */
#include "support/close.h"

#include <convt/train.h>

static void constant_rate_is_the_learning_rate(void **state)
{
    (void)state;
    const convt_sgd_config none = {0}, given = {.learning_rate = CONVT_SET(0.25)},
                           zero = {.learning_rate = CONVT_SET(0)};
    assert_close(convt_schedule_rate(&none, 0), 0.01, 0, 0);
    assert_close(convt_schedule_rate(&given, 12345), 0.25, 0, 0);
    assert_close(convt_schedule_rate(&zero, 3), 0, 0, 0);
}

static void cosine_falls_from_the_rate_to_alpha(void **state)
{
    (void)state;
    convt_sgd_config cfg = {.learning_rate = CONVT_SET(0.1),
                            .schedule = {.kind = CONVT_COSINE_DECAY, .decay_steps = 1000}};
    assert_close(convt_schedule_rate(&cfg, 0), 0.1, 1e-15, 0);
    assert_close(convt_schedule_rate(&cfg, 250), 0.1 * 0.85355339059327376, 1e-14,
                 0); /* (1 + cos(pi/4)) / 2 */
    assert_close(convt_schedule_rate(&cfg, 500), 0.05, 1e-14, 0);
    assert_close(convt_schedule_rate(&cfg, 1000), 0, 0, 1e-17);
    assert_close(convt_schedule_rate(&cfg, 5000), 0, 0, 1e-17);
    cfg.schedule.alpha = 0.2;
    assert_close(convt_schedule_rate(&cfg, 500), 0.1 * (0.8 * 0.5 + 0.2), 1e-14, 0);
    assert_close(convt_schedule_rate(&cfg, 2000), 0.02, 1e-14, 0);
}

static void warm_up_is_a_line_to_its_target(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {
        .learning_rate = CONVT_SET(0.1),
        .schedule = {CONVT_COSINE_DECAY, .decay_steps = 1000, .warmup_target = CONVT_SET(0.5),
                     .warmup_steps = 100},
    };
    assert_close(convt_schedule_rate(&cfg, 0), 0.1, 1e-15, 0);
    assert_close(convt_schedule_rate(&cfg, 25), 0.2, 1e-14, 0);
    assert_close(convt_schedule_rate(&cfg, 99), 0.1 + 0.4 * 0.99, 1e-14, 0);
    assert_close(convt_schedule_rate(&cfg, 100), 0.5, 1e-14, 0);
    assert_close(convt_schedule_rate(&cfg, 600), 0.25, 1e-14,
                 0); /* 500 of 1000 after the warm-up */
    assert_close(convt_schedule_rate(&cfg, 1100), 0, 0, 1e-16);
    assert_close(convt_schedule_rate(&cfg, 99999), 0, 0, 1e-16);
}

static void without_a_target_there_is_no_warm_up(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {
        .learning_rate = CONVT_SET(0.1),
        .schedule = {CONVT_COSINE_DECAY, .decay_steps = 1000, .warmup_steps = 100},
    };
    assert_close(convt_schedule_rate(&cfg, 0), 0.1, 1e-15, 0);
    assert_close(convt_schedule_rate(&cfg, 500), 0.05, 1e-14, 0);
}

static void a_target_without_steps_starts_there(void **state)
{
    (void)state;
    const convt_sgd_config cfg = {
        .schedule = {CONVT_COSINE_DECAY, .decay_steps = 10, .warmup_target = CONVT_SET(0.5)},
    };
    assert_close(convt_schedule_rate(&cfg, 0), 0.5, 1e-15, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_rate_is_the_learning_rate),
        cmocka_unit_test(cosine_falls_from_the_rate_to_alpha),
        cmocka_unit_test(warm_up_is_a_line_to_its_target),
        cmocka_unit_test(without_a_target_there_is_no_warm_up),
        cmocka_unit_test(a_target_without_steps_starts_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
