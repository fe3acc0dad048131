/*
 * Initializers. Variance scaling (He et al. 2015): with s = scale / max(1, fan) a tensor is drawn
 *   uniform in +- sqrt(3 s),
 *   normal with deviation sqrt(s),
 *   or normal with deviation sqrt(s) / 0.8796..., cut at 2 deviations,
 * where the constant is the deviation of a standard normal cut at +-2, so that the variance is s in
 * all three. Fans are Keras': of the last two axes, or of the axes that were named.
 */
#include <math.h>

#include "argument.h"
#include "draw.h"
#include "names.h"
#include "status.h"
#include "tables.h"

typedef enum recipe {
    SCALED_UNIFORM,
    SCALED_NORMAL,
    SCALED_TRUNCATED_NORMAL,
    FROM_CONFIG,
    NORMAL,
    TRUNCATED_NORMAL,
    UNIFORM,
    VALUE,
    ORTHOGONAL,
    IDENTITY
} recipe;

static const struct row {
    bool exists;
    double scale;
    convt_fan_mode mode;
    recipe recipe;
    convti_initializer_arguments arguments;
} rows[] = {
#define NO_ARGUMENTS  \
    {                 \
        .seed = false \
    }
#define INITIALIZER(enumerator, number, class_name, name, scale, mode, distribution, ...) \
    [number] = {true, scale, CONVT_##mode, distribution, __VA_ARGS__},
#include "convt/initializers.def"
#undef INITIALIZER
#undef NO_ARGUMENTS
};

static const struct row *find_row(convt_initializer_kind kind)
{
    return (size_t)kind < sizeof rows / sizeof *rows && rows[kind].exists ? &rows[kind] : NULL;
}

const convti_initializer_arguments *convti_initializer_arguments_of(convt_initializer_kind kind)
{
    const struct row *row = find_row(kind);
    return row ? &row->arguments : NULL;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static convt_status check_seed(const convt_initializer *init, bool taken, const char *owner,
                               const char *field, convt_error *err)
{
    const double seed = init->seed.value,
                 limit = 0x1p53; /* doubles hold every integer up to there */
    if (!init->seed.set) return CONVT_OK;
    if (!taken)
        return convti_argument_fail(err, field, "seed", "is not an argument of %s, got %.17g",
                                    owner, seed);
    if (!(fabs(seed) <= limit) || seed != floor(seed))
        return convti_argument_fail(err, field, "seed",
                                    "must be an integer of at most 53 bits, got %.17g", seed);
    return CONVT_OK;
}

static convt_status check_choices(const convt_initializer *init,
                                  const convti_initializer_arguments *row, const char *owner,
                                  const char *field, convt_error *err)
{
    if ((unsigned)init->mode > CONVT_FAN_AVG)
        return convti_argument_fail(err, field, "mode", "is no fan mode: number %d",
                                    (int)init->mode);
    if ((unsigned)init->distribution > CONVT_UNIFORM_DISTRIBUTION)
        return convti_argument_fail(err, field, "distribution", "is no distribution: number %d",
                                    (int)init->distribution);
    if (init->mode != 0 && !row->mode)
        return convti_argument_fail(err, field, "mode", "is not an argument of %s, got number %d",
                                    owner, (int)init->mode);
    if (init->distribution != 0 && !row->distribution)
        return convti_argument_fail(err, field, "distribution",
                                    "is not an argument of %s, got number %d", owner,
                                    (int)init->distribution);
    return CONVT_OK;
}

/* minval above maxval is the same range from the other end, as in Keras. */
static convt_status check_bounds(const convt_initializer *init,
                                 const convti_initializer_arguments *row, const char *field,
                                 convt_error *err)
{
    double low = convti_argument_value(init->minval, row->minval),
           high = convti_argument_value(init->maxval, row->maxval);
    if (!isfinite(high - low))
        return convti_argument_fail(err, field, "maxval", "is too far from minval %g, got %g", low,
                                    high);
    return CONVT_OK;
}

/* Axes may repeat; whether they are within the shape matters where both lists are given. */
static convt_status check_axes(const convt_axes *axes, const char *name, int rank, bool heeded,
                               const char *field, convt_error *err)
{
    if (axes->count < CONVT_NO_AXES || axes->count > 4)
        return convti_argument_fail(err, field, name, "must be a list of at most 4 axes, got %d",
                                    axes->count);
    for (int i = 0; i < axes->count && heeded && rank > 0; i++) {
        if (axes->axis[i] < -rank || axes->axis[i] >= rank)
            return convti_argument_fail(err, field, name,
                                        "must be within %d .. %d for rank %d, got %d", -rank,
                                        rank - 1, rank, axes->axis[i]);
    }
    return CONVT_OK;
}

static convt_status check_fans(const convt_initializer *init, bool taken, int rank,
                               const char *owner, const char *field, convt_error *err)
{
    const convt_axes *in = &init->input_axes, *out = &init->output_axes;
    bool heeded = in->count != 0 && out->count != 0;
    if ((in->count != 0 || out->count != 0) && !taken)
        return convti_argument_fail(err, field, in->count != 0 ? "input_axes" : "output_axes",
                                    "is not an argument of %s, got %d axes", owner,
                                    in->count != 0 ? in->count : out->count);
    convt_status status = check_axes(in, "input_axes", rank, heeded, field, err);
    return status ? status : check_axes(out, "output_axes", rank, heeded, field, err);
}

static convt_status check_rank(const struct row *row, int rank, const char *field, convt_error *err)
{
    if (row && row->recipe == ORTHOGONAL && rank == 1)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: orthogonal needs a tensor of at least two dimensions, got rank %d",
                           field, rank);
    if (row && row->recipe == IDENTITY && rank != 2 && rank != 0)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: identity can only be used for 2D matrices, got rank %d", field,
                           rank);
    return CONVT_OK;
}

convt_status convti_initializer_check(const convt_initializer *init, int rank, const char *field,
                                      convt_error *err)
{
    static const convti_initializer_arguments only_seed = {.seed = true};
    const struct row *found = find_row(init->kind);
    bool custom = init->kind == CONVT_CUSTOM_INITIALIZER,
         absent = init->kind == CONVT_DEFAULT_INITIALIZER;
    if (!found && !custom && !absent)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field, "%s is no initializer: number %d",
                           field, (int)init->kind);
    if (custom && !init->fill)
        return convti_fail(err, CONVT_INVALID_ARGUMENT, field,
                           "%s: custom needs fill, which is NULL", field);
    const convti_initializer_arguments *row = found ? &found->arguments : &only_seed;
    const char *owner = found    ? convti_snake_name(CONVTI_INITIALIZERS, (int)init->kind)
                        : custom ? "a custom initializer"
                                 : "the default initializer";
    const convti_argument arguments[] = {
        {"value", init->value, row->value, CONVTI_FINITE},
        {"mean", init->mean, row->mean, CONVTI_FINITE},
        {"stddev", init->stddev, row->stddev, CONVTI_FINITE},
        {"minval", init->minval, row->minval, CONVTI_FINITE},
        {"maxval", init->maxval, row->maxval, CONVTI_FINITE},
        {"scale", init->scale, row->scale, CONVTI_POSITIVE},
        {"gain", init->gain, row->gain, CONVTI_FINITE},
    };
    convt_status status = convti_arguments_check(
        arguments, (int)(sizeof arguments / sizeof *arguments), owner, field, err);
    if (!status) status = check_seed(init, row->seed, owner, field, err);
    if (!status) status = check_choices(init, row, owner, field, err);
    if (!status) status = check_bounds(init, row, field, err);
    if (!status) status = check_fans(init, row->axes, rank, owner, field, err);
    if (!status) status = check_rank(found, rank, field, err);
    return status;
}

/* ---- the draw -------------------------------------------------------------------------------- */

static double product(const convt_axes *axes, int rank, convt_view shape)
{
    const int64_t sizes[4] = {shape.n, shape.h, shape.w, shape.c}, *size = sizes + 4 - rank;
    double value = 1;
    for (int i = 0; i < axes->count; i++)
        value *= (double)size[axes->axis[i] + (axes->axis[i] < 0 ? rank : 0)];
    return value;
}

/* Unless the axes are named, in of the last axis but one and out of the last, which for the kernel of
 * a transposed convolution are filters and inputs. */
static double fan_of(const convt_initializer *init, convt_fan_mode mode, int rank, convt_view shape)
{
    double taps = rank == 4 ? (double)shape.n * (double)shape.h : 1;
    double fan_in = taps * (double)(rank == 1 ? shape.c : shape.w),
           fan_out = taps * (double)shape.c;
    if (init->input_axes.count != 0 && init->output_axes.count != 0) {
        fan_in = product(&init->input_axes, rank, shape);
        fan_out = product(&init->output_axes, rank, shape);
    }
    switch (mode) {
    case CONVT_FAN_IN: return fan_in;
    case CONVT_FAN_OUT: return fan_out;
    case CONVT_FAN_AVG: break;
    }
    return (fan_in + fan_out) / 2;
}

static recipe recipe_of(convt_distribution distribution)
{
    switch (distribution) {
    case CONVT_UNIFORM_DISTRIBUTION: return SCALED_UNIFORM;
    case CONVT_UNTRUNCATED_NORMAL_DISTRIBUTION: return SCALED_NORMAL;
    case CONVT_TRUNCATED_NORMAL_DISTRIBUTION: break;
    }
    return SCALED_TRUNCATED_NORMAL;
}

static convti_draw scaled_draw(recipe shape, double scale, double fan)
{
    const double cut_deviation = 0.87962566103423978;
    double variance = scale / fmax(1, fan), limit = sqrt(3 * variance);
    if (shape == SCALED_UNIFORM) return (convti_draw){CONVTI_UNIFORM, .a = -limit, .b = limit};
    if (shape == SCALED_NORMAL) return (convti_draw){CONVTI_NORMAL, .b = sqrt(variance)};
    return (convti_draw){CONVTI_TRUNCATED_NORMAL, .b = sqrt(variance) / cut_deviation};
}

static convti_draw normal_draw(convti_distribution distribution, const convt_initializer *init,
                               const convti_initializer_arguments *row)
{
    return (convti_draw){distribution, .a = convti_argument_value(init->mean, row->mean),
                         .b = convti_argument_value(init->stddev, row->stddev)};
}

static convti_draw draw_of(const convt_initializer *init, int rank, convt_view shape)
{
    const struct row *row = find_row(init->kind);
    const convti_initializer_arguments *arguments = &row->arguments;
    switch (row->recipe) {
    case NORMAL: return normal_draw(CONVTI_NORMAL, init, arguments);
    case TRUNCATED_NORMAL: return normal_draw(CONVTI_TRUNCATED_NORMAL, init, arguments);
    case UNIFORM:
        return (convti_draw){CONVTI_UNIFORM,
                             .a = convti_argument_value(init->minval, arguments->minval),
                             .b = convti_argument_value(init->maxval, arguments->maxval)};
    case VALUE:
        return (convti_draw){CONVTI_VALUE,
                             .a = arguments->value.set
                                      ? convti_argument_value(init->value, arguments->value)
                                      : row->scale};
    case ORTHOGONAL:
        return (convti_draw){CONVTI_ORTHOGONAL,
                             .a = convti_argument_value(init->gain, arguments->gain),
                             .columns = shape.c};
    case IDENTITY:
        return (convti_draw){CONVTI_IDENTITY,
                             .a = convti_argument_value(init->gain, arguments->gain),
                             .columns = shape.c};
    case FROM_CONFIG:
        return scaled_draw(recipe_of(init->distribution),
                           convti_argument_value(init->scale, arguments->scale),
                           fan_of(init, init->mode, rank, shape));
    case SCALED_UNIFORM:
    case SCALED_NORMAL:
    case SCALED_TRUNCATED_NORMAL: break;
    }
    return scaled_draw(row->recipe, row->scale, fan_of(init, row->mode, rank, shape));
}

void convti_initialize(const convt_initializer *init, uint64_t seed, int rank, convt_view parameter)
{
    if (init->kind == CONVT_CUSTOM_INITIALIZER) {
        init->fill(init->context, parameter);
        return;
    }
    const convti_draw draw = draw_of(init, rank, parameter);
    const int64_t count = parameter.n * parameter.h * parameter.w * parameter.c;
    if (init->seed.set) seed = (uint64_t)(int64_t)init->seed.value;
    if (parameter.dtype == CONVT_FLOAT64)
        convti_fill_f64(&draw, seed, count, parameter.data);
    else
        convti_fill_f32(&draw, seed, count, parameter.data);
}
