/* What Keras refuses of SGD's arguments, and numbers that are none. */
#include <math.h>

#include "schedule.h"
#include "sgd.h"
#include "status.h"

static convt_status check_numbers(const convt_sgd_config *cfg, convt_error *err)
{
    const convt_optional unused = {false, 0};
    const struct {
        const char *name;
        convt_optional given;
    } numbers[] = {
        {"learning_rate", cfg->learning_rate},
        {"momentum", CONVT_SET(cfg->momentum)},
        {"weight_decay", cfg->weight_decay},
        {"clipnorm", cfg->clipnorm},
        {"clipvalue", cfg->clipvalue},
        {"global_clipnorm", cfg->global_clipnorm},
        {"ema_momentum", cfg->use_ema ? cfg->ema_momentum : unused},
        {"loss_scale_factor", cfg->loss_scale_factor},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].given.set && !isfinite(numbers[i].given.value))
            return convti_fail(err, CONVT_INVALID_ARGUMENT, numbers[i].name,
                               "must be finite, got %g", numbers[i].given.value);
    return CONVT_OK;
}

static convt_status check_fraction(const char *name, double value, convt_error *err)
{
    if (value >= 0 && value <= 1) return CONVT_OK;
    return convti_fail(err, CONVT_INVALID_ARGUMENT, name, "must be in the range [0, 1], got %g",
                       value);
}

/* Set is what counts, 0 too: Keras asks whether the others are None. */
static convt_status check_clipping(const convt_sgd_config *cfg, convt_error *err)
{
    const struct {
        const char *name;
        convt_optional given;
    } ways[] = {{"clipnorm", cfg->clipnorm},
                {"clipvalue", cfg->clipvalue},
                {"global_clipnorm", cfg->global_clipnorm}};
    int first = -1;
    for (int i = 0; i < 3; i++) {
        if (!ways[i].given.set) continue;
        if (first >= 0)
            return convti_fail(err, CONVT_INVALID_ARGUMENT, ways[i].name,
                               "only one of clipnorm, clipvalue and global_clipnorm can be set, "
                               "got %s %g and %s %g",
                               ways[first].name, ways[first].given.value, ways[i].name,
                               ways[i].given.value);
        first = i;
    }
    return CONVT_OK;
}

static convt_status check_counts(const convt_sgd_config *cfg, convt_error *err)
{
    if (cfg->gradient_accumulation_steps < 0 || cfg->gradient_accumulation_steps == 1)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "gradient_accumulation_steps",
                           "must be an integer >= 2 (0: off), got %lld",
                           (long long)cfg->gradient_accumulation_steps);
    if (cfg->use_ema && cfg->ema_overwrite_frequency < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "ema_overwrite_frequency",
                           "must be an integer >= 1 (0: None), got %lld",
                           (long long)cfg->ema_overwrite_frequency);
    if (cfg->threads < 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, "threads", "must be 0 or more, got %d",
                           cfg->threads);
    return CONVT_OK;
}

convt_status convti_sgd_check(const convt_sgd_config *cfg, const char *schedule, convt_error *err)
{
    convt_status status = check_numbers(cfg, err);
    if (!status) status = check_fraction("momentum", cfg->momentum, err);
    if (!status && cfg->use_ema && cfg->ema_momentum.set)
        status = check_fraction("ema_momentum", cfg->ema_momentum.value, err);
    if (!status) status = check_clipping(cfg, err);
    if (!status) status = check_counts(cfg, err);
    return status ? status : convti_schedule_check(&cfg->schedule, schedule, err);
}
