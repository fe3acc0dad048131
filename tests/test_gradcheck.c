/*
 * The gradient check by itself: what it refuses, what it counts, what it says. Functions are y[i] =
 * c[i] phi(x[i]) with a gradient that a test may twist, so that the right gradient is known and
 * every pattern can be made.
 */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <convt/gradcheck.h>

#include "support/close.h"
#include "support/values.h"

#include <convt/gradcheck_cmocka.h>

enum { MOST = 720 };

struct function {
    convt_gradcheck_block input, output;
    int64_t count;
    double x[MOST], c[MOST];
    float x32[MOST];
    double (*phi)(double x), (*slope)(double x);
    /* Makes a wrong gradient out of the right one; NULL: none. */
    void (*twist)(const struct function *f, const double right[], double wrong[]);
    convt_status fail_forward, fail_backward;
    int64_t fail_at; /* the forward call that fails, from 1; 0: none */
    int64_t calls;
    int mischief;
};

enum {
    NO_MISCHIEF,
    RANDOM_FORWARD,
    FORWARD_WRITES_X,
    FORWARD_WRITES_OUTSIDE,
    BACKWARD_WRITES_Y,
    UNWRITTEN_Y
};

static double square(double x)
{
    return x * x;
}
static double square_slope(double x)
{
    return 2 * x;
}
static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double relu_slope(double x)
{
    return x > 0 ? 1 : 0;
}
static double clipped(double x)
{
    return x < -0.5 ? -0.5 : x > 0.5 ? 0.5 : x;
}
static double clipped_slope(double x)
{
    return x > -0.5 && x < 0.5 ? 1 : 0;
}
static double linear(double x)
{
    return x;
}
static double linear_slope(double x)
{
    (void)x;
    return 1;
}
static double wavy(double x)
{
    return sin(40 * x);
}
static double wavy_slope(double x)
{
    return 40 * cos(40 * x);
}
static double twice_relu_slope(double x)
{
    return x > 0 ? 2 : 0;
}

static double value(const struct function *f, int64_t i)
{
    return f->input.dtype == CONVT_FLOAT64 ? f->x[i] : (double)f->x32[i];
}

static void store(convt_dtype dtype, void *data, int64_t i, double v)
{
    values_set((convt_view){data, dtype, 1, 1, 1, MOST}, i, v);
}

static convt_status forward(void *context, const void *const inputs[], void *const outputs[])
{
    struct function *f = context;
    (void)inputs;
    f->calls++;
    if (f->fail_forward && f->calls == f->fail_at) return f->fail_forward;
    for (int64_t i = f->mischief == UNWRITTEN_Y; i < f->count; i++)
        store(f->output.dtype, outputs[0], i,
              f->c[i] * f->phi(value(f, i)) +
                  (f->mischief == RANDOM_FORWARD ? (double)f->calls : 0));
    if (f->mischief == FORWARD_WRITES_X) f->x[0] += 1;
    if (f->mischief == FORWARD_WRITES_OUTSIDE) store(f->output.dtype, outputs[0], f->count, 0);
    return CONVT_OK;
}

static convt_status backward(void *context, const void *const inputs[], const void *const outputs[],
                             const void *const output_gradients[], void *const gradients[])
{
    struct function *f = context;
    double right[MOST], wrong[MOST];
    (void)inputs;
    if (f->fail_backward) return f->fail_backward;
    for (int64_t i = 0; i < f->count; i++)
        right[i] = wrong[i] =
            f->c[i] * f->slope(value(f, i)) *
            values_get((convt_const_view){output_gradients[0], f->output.dtype, 1, 1, 1, MOST}, i);
    if (f->twist) f->twist(f, right, wrong);
    for (int64_t i = 0; i < f->count; i++) store(f->input.dtype, gradients[0], i, wrong[i]);
    if (f->mischief == BACKWARD_WRITES_Y) ((double *)outputs[0])[0] += 1;
    return CONVT_OK;
}

static struct function *function_new(double (*phi)(double), double (*slope)(double))
{
    struct function *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *f = (struct function){.phi = phi, .slope = slope, .count = 5 * 4 * 3 * 6};
    values_random(convt_f64(f->x, 1, 1, 1, MOST), 7, -1, 1);
    values_random(convt_f64(f->c, 1, 1, 1, MOST), 8, 0.5, 2);
    for (int i = 0; i < MOST; i++) f->x32[i] = (float)f->x[i];
    f->input = (convt_gradcheck_block){.name = "x",
                                       .dtype = CONVT_FLOAT64,
                                       .rank = 4,
                                       .dims = {5, 4, 3, 6},
                                       .axis = {"n", "h", "w", "c"},
                                       .data = f->x};
    f->output = (convt_gradcheck_block){
        .name = "y", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {5 * 4 * 3 * 6}};
    return f;
}

static convt_gradcheck_problem problem_of(struct function *f)
{
    return (convt_gradcheck_problem){&f->input, 1, &f->output, 1, forward, backward, f, NULL};
}

static convt_status run(const convt_gradcheck_problem *p, const convt_gradcheck_options *options,
                        convt_gradcheck_report *report, convt_error *err)
{
    const size_t size = convt_gradcheck_workspace(p, options, err);
    void *workspace = malloc(size + 1);
    assert_non_null(workspace);
    const convt_status status = convt_gradcheck(p, options, workspace, size, report, err);
    free(workspace);
    return status;
}

/* The report of a check that runs. */
static convt_gradcheck_report check(struct function *f, const convt_gradcheck_options *options)
{
    const convt_gradcheck_problem p = problem_of(f);
    convt_gradcheck_report report;
    convt_error err;
    if (run(&p, options, &report, &err)) fail_msg("%s: %s", err.field, err.message);
    return report;
}

static void must_say(const convt_gradcheck_report *r, convt_gradcheck_verdict verdict,
                     const char *part)
{
    char text[4096];
    convt_gradcheck_text(r, text, sizeof text);
    if (r->verdict != verdict || !strstr(text, part))
        fail_msg("expected %s, \"%s\": %s", convt_gradcheck_verdict_text(verdict), part, text);
}

/* ---- a right gradient ------------------------------------------------------------------------ */

static void a_right_gradient_passes_in_every_mode(void **state)
{
    (void)state;
    static const convt_gradcheck_options ways[] = {
        {.mode = CONVT_GRADCHECK_ELEMENTS},
        {.mode = CONVT_GRADCHECK_SAMPLE, .count = 17},
        {.mode = CONVT_GRADCHECK_DIRECTIONS, .count = 3},
        {.richardson = true, .rtol = {true, 1e-9}},
        {.mode = CONVT_GRADCHECK_DIRECTIONS, .richardson = true},
    };
    static const int64_t checked[] = {360, 17, 3, 360, 2},
                         forwards[] = {2 + 720, 2 + 34, 2 + 6, 2 + 1440, 2 + 8};
    struct function *f = function_new(square, square_slope);
    double before[MOST];
    memcpy(before, f->x, sizeof before);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const convt_gradcheck_report r = check(f, &ways[i]);
        must_say(&r, CONVT_GRADCHECK_PASSED, "gradient check passed");
        assert_int_equal(r.rows[0].checked, checked[i]);
        assert_int_equal(r.rows[0].skipped, 0);
        assert_int_equal(r.rows[0].wrong, 0);
        assert_int_equal(r.forward_calls, forwards[i]);
        assert_int_equal(r.backward_calls, 2);
        assert_int_equal(r.worst, 0);
        assert_true(r.rows[0].relative_error < r.options.rtol.value);
        assert_same_bits(before, f->x, sizeof before);
    }
    free(f);
}

static void richardson_removes_the_error_of_a_large_step(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    convt_gradcheck_options o = {.step = CONVT_SET(1e-3), .rtol = CONVT_SET(1)};
    const double plain = check(f, &o).rows[0].relative_error;
    o.richardson = true;
    const double better = check(f, &o).rows[0].relative_error;
    assert_true(better < plain / 100);
    free(f);
}

static void too_large_a_step_is_made_smaller(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    const convt_gradcheck_report r = check(f, &(convt_gradcheck_options){.step = CONVT_SET(1e-3)});
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_true(r.forward_calls > 2 + 720);
    free(f);
}

static void float32_functions_are_checked_to_their_precision(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    f->input.dtype = f->output.dtype = CONVT_FLOAT32;
    f->input.data = f->x32;
    for (int mode = CONVT_GRADCHECK_ELEMENTS; mode <= CONVT_GRADCHECK_DIRECTIONS; mode++) {
        const convt_gradcheck_options o = {.mode = (convt_gradcheck_mode)mode};
        f->slope = square_slope;
        convt_gradcheck_report r = check(f, &o);
        must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
        f->slope = relu_slope;
        r = check(f, &o);
        must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "x");
    }
    free(f);
}

static void the_same_arguments_give_the_same_report(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_options o = {.mode = CONVT_GRADCHECK_DIRECTIONS, .seed = 5},
                                  other = {.mode = CONVT_GRADCHECK_DIRECTIONS, .seed = 6};
    const convt_gradcheck_report a = check(f, &o), b = check(f, &o), c = check(f, &other);
    assert_same_bits(&a, &b, sizeof a);
    assert_true(a.rows[0].numeric != c.rows[0].numeric);
    free(f);
}

static void problems_are_checked_in_threads_side_by_side(void **state)
{
    (void)state;
    struct function *f[2] = {function_new(square, square_slope), function_new(square, relu_slope)};
    convt_gradcheck_report alone[2], together[2];
    convt_status status[2];
    for (int t = 0; t < 2; t++) alone[t] = check(f[t], NULL);
#pragma omp parallel for num_threads(2)
    for (int t = 0; t < 2; t++) {
        const convt_gradcheck_problem p = problem_of(f[t]);
        const size_t size = convt_gradcheck_workspace(&p, NULL, NULL);
        void *workspace = malloc(size);
        status[t] = convt_gradcheck(&p, NULL, workspace, size, &together[t], NULL);
        free(workspace);
    }
    for (int t = 0; t < 2; t++) {
        assert_int_equal(status[t], CONVT_OK);
        assert_same_bits(&alone[t], &together[t], sizeof alone[t]);
        free(f[t]);
    }
    assert_int_equal(alone[0].verdict, CONVT_GRADCHECK_PASSED);
    assert_int_equal(alone[1].verdict, CONVT_GRADCHECK_WRONG_GRADIENT);
}

static void empty_and_scalar_blocks_are_blocks(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    f->input.rank = f->output.rank = 0;
    f->count = 1;
    convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_int_equal(r.rows[0].checked, 1);
    f->input.rank = f->output.rank = 2;
    f->input.dims[0] = f->output.dims[0] = 0;
    f->output.dims[1] = 3;
    f->count = 0;
    r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_int_equal(r.worst, -1);
    free(f);
}

/* ---- kinks ----------------------------------------------------------------------------------- */

static void kinks_are_skipped_and_counted(void **state)
{
    (void)state;
    struct function *f = function_new(relu, relu_slope);
    for (int i = 0; i < 10; i++) f->x[7 * i] = 0; /* on the kink, whatever the step */
    convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_PASSED, "10");
    assert_int_equal(r.rows[0].skipped, 10);
    assert_int_equal(r.rows[0].checked, 350);
    f->phi = clipped, f->slope = clipped_slope;
    for (int i = 0; i < 10; i++) f->x[7 * i] = i % 2 ? 0.5 : -0.5;
    r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_int_equal(r.rows[0].skipped, 10);
    free(f);
}

static void a_kink_beside_the_value_is_stepped_away_from(void **state)
{
    (void)state;
    struct function *f = function_new(relu, relu_slope);
    for (int i = 0; i < 10; i++)
        f->x[7 * i] = i % 2 ? 1e-6 : -1e-6; /* nearer than the first step */
    convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_int_equal(r.rows[0].skipped, 0);
    assert_int_equal(r.rows[0].checked, 360);
    r = check(f, &(convt_gradcheck_options){.mode = CONVT_GRADCHECK_DIRECTIONS});
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    free(f);
}

static void a_check_that_skips_too_much_fails(void **state)
{
    (void)state;
    struct function *f = function_new(relu, relu_slope);
    for (int i = 0; i < 100; i++) f->x[i] = 0;
    convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_SKIPPED_TOO_MUCH, "x: too many elements lie on a kink");
    assert_int_equal(r.rows[0].skipped, 100);
    r = check(f, &(convt_gradcheck_options){.max_skipped = CONVT_SET(0.3)});
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    r = check(f, &(convt_gradcheck_options){.mode = CONVT_GRADCHECK_DIRECTIONS});
    must_say(&r, CONVT_GRADCHECK_SKIPPED_TOO_MUCH, "x");
    assert_true(r.rows[0].skipped > 0);
    free(f);
}

static void a_wrong_gradient_is_no_kink(void **state)
{
    (void)state;
    struct function *f = function_new(relu, twice_relu_slope);
    for (int i = 0; i < 10; i++) f->x[7 * i] = 0;
    const convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "every element is 2 times what it should be");
    assert_int_equal(r.rows[0].skipped, 10);
    free(f);
}

/* ---- patterns -------------------------------------------------------------------------------- */

/* The gradients of a block of 5 x 4 x 3 x 6: (n, h, w, c). */
static int64_t at(int64_t n, int64_t h, int64_t w, int64_t c)
{
    return ((n * 4 + h) * 3 + w) * 6 + c;
}

#define EACH(body)                                    \
    for (int64_t n = 0; n < 5; n++)                   \
        for (int64_t h = 0; h < 4; h++)               \
            for (int64_t w = 0; w < 3; w++)           \
                for (int64_t c = 0; c < 6; c++) {     \
                    const int64_t e = at(n, h, w, c); \
                    body;                             \
                }                                     \
    (void)f, (void)right
#define TWIST(name, body)                                                            \
    static void name(const struct function *f, const double right[], double wrong[]) \
    {                                                                                \
        EACH(body);                                                                  \
    }

TWIST(third, wrong[e] = right[e] / 3)
TWIST(negated, wrong[e] = -right[e])
TWIST(zeroed, wrong[e] = 0)
TWIST(decayed, wrong[e] = right[e] + 0.02 * f->x[e])
TWIST(lassoed, wrong[e] = right[e] - 0.5 * (f->x[e] > 0 ? 1 : -1))
TWIST(offset, wrong[e] = right[e] + 0.25)
TWIST(flip_h, wrong[e] = right[at(n, 3 - h, w, c)])
TWIST(flip_hw, wrong[e] = right[at(n, 3 - h, 2 - w, c)])
TWIST(transpose_hc, wrong[((n * 6 + c) * 3 + w) * 4 + h] = right[e])
TWIST(transpose_wc, wrong[((n * 4 + h) * 6 + c) * 3 + w] = right[e])
TWIST(later, wrong[e] = w > 0 ? right[at(n, h, w - 1, c)] : 0)
TWIST(earlier, wrong[e] = h < 3 ? right[at(n, h + 1, w, c)] : 0)
TWIST(rotate_c, wrong[e] = right[at(n, h, w, (c + 5) % 6)])
TWIST(swap_c, wrong[e] = right[c < 2 ? at(n, h, w, 1 - c) : e])
TWIST(first_row, wrong[e] = h == 0 ? 0 : right[e])
TWIST(last_column, wrong[e] = w == 2 ? 2 * right[e] : right[e])
TWIST(both_rows, wrong[e] = h == 0 || h == 3 ? right[e] / 2 : right[e])
TWIST(odd_channels, wrong[e] = c % 2 == 1 ? 0 : right[e])
TWIST(third_channels, wrong[e] = c % 3 == 2 ? 0 : right[e])
TWIST(phase_hc, wrong[e] = h % 2 == 1 && c % 3 == 1 ? 0 : right[e])
TWIST(one_image, wrong[e] = n == 2 ? 3 * right[e] : right[e])
TWIST(all_but_one_image, wrong[e] = n == 2 ? right[e] : 0)
TWIST(corner, wrong[e] = n == 4 && h == 0 ? 0 : right[e])
TWIST(frame, wrong[e] = h == 0 || h == 3 || c == 0 || c == 5 ? 0 : right[e])
TWIST(scattered, wrong[e] = e * e % 13 < 5 ? 0 : right[e])
TWIST(noisy_row, wrong[e] = h == 1 ? right[e] * (1 + 0.1 * (double)(e % 7) + 0.3) : right[e])
TWIST(noise, wrong[e] = right[e] * (1.5 + 0.1 * (double)(e * 7 % 11)))

static const struct {
    void (*twist)(const struct function *f, const double right[], double wrong[]);
    const char *pattern;
} patterns[] = {
    {third, "every element is 0.3333 times what it should be"},
    {negated, "every element has the wrong sign"},
    {zeroed, "every element is 0"},
    {decayed, "every element is off by 0.02 times the element's own value"},
    {lassoed, "every element is off by -0.5 times the sign of the element's value"},
    {offset, "every element is off by 0.25"},
    {flip_h, "the gradient is flipped along h\n"},
    {flip_hw, "the gradient is flipped along h and w\n"},
    {transpose_hc, "transposed: h and c"},
    {transpose_wc, "transposed: w and c"},
    {later, "off by one along w: it stands one too far back"},
    {earlier, "off by one along h: it stands one too far in front"},
    {rotate_c, "rotated by 1 along c"},
    {swap_c, "0 and 1 of c stand in each other's place"},
    {first_row, "only where h = 0 (a border) is 0"},
    {last_column, "only where w = 2 (a border) is 2 times what it should be"},
    {both_rows, "only where h = 0 or 3 (both borders) is 0.5 times"},
    {odd_channels, "only where c mod 2 = 1 (a stride phase) is 0"},
    {third_channels, "only where c mod 3 = 2 (a stride phase) is 0"},
    {phase_hc, "only where h mod 2 = 1 and c mod 3 = 1 (a stride phase) is 0"},
    {one_image, "only where n = 2 is 3 times what it should be"},
    {all_but_one_image, "everywhere but where n = 2 is 0"},
    {corner, "only where n = 4 and h = 0 is 0"},
    {frame, "only on the borders of h and c is 0"},
    {scattered, "what is wrong is 0"},
    {noisy_row, "pattern in x: wrong only where h = 1\n"},
};

static void the_text_names_the_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct function *f = function_new(wavy, wavy_slope);
        f->twist = patterns[i].twist;
        convt_gradcheck_report r = check(f, NULL);
        must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, patterns[i].pattern);
        r = check(f, &(convt_gradcheck_options){.mode = CONVT_GRADCHECK_DIRECTIONS});
        must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, patterns[i].pattern);
        free(f);
    }
}

static void no_pattern_is_made_up(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    f->twist = noise;
    const convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "worst: x[n ");
    assert_string_equal(r.rows[0].pattern, "");
    free(f);
}

TWIST(needle, wrong[e] = e == at(1, 2, 0, 3) ? 1.5 * right[e] : right[e])

static void the_worst_element_is_named(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    f->twist = needle;
    const convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "worst: x[n 1, h 2, w 0, c 3]: backward gives ");
    assert_int_equal(r.rows[0].wrong, 1);
    assert_close(r.rows[0].analytic, 1.5 * r.rows[0].numeric, 1e-6, 0);
    assert_close(r.rows[0].relative_error, 1.0 / 3, 1e-5, 0);
    free(f);
}

/* Blocks without a name go by their number. */
static void blocks_without_a_name_are_numbered(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    f->input.name = f->output.name = NULL;
    f->twist = needle;
    convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "worst: input 0[n 1, h 2, w 0, c 3]: ");
    f->mischief = FORWARD_WRITES_OUTSIDE;
    r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_WROTE_OUTSIDE, "output 0: memory around");
    free(f);
}

TWIST(within_tolerance, wrong[e] = right[e] * (e % 2 ? 1.0008 : 0.9992))

/* Errors that are small for each element are large for a direction in which the rest cancels. */
static void a_wrong_direction_of_right_elements_says_so(void **state)
{
    (void)state;
    struct function *f = function_new(wavy, wavy_slope);
    f->twist = within_tolerance;
    const convt_gradcheck_options o = {
        .mode = CONVT_GRADCHECK_DIRECTIONS, .count = 100, .rtol = CONVT_SET(1e-3)};
    const convt_gradcheck_report r = check(f, &o);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT,
             "none of the 360 elements looked at is wrong by itself: check every element");
    free(f);
}

static void the_text_is_cut_as_snprintf_cuts(void **state)
{
    (void)state;
    struct function *f = function_new(square, relu_slope);
    const convt_gradcheck_report r = check(f, NULL);
    char whole[4096], part[20];
    const size_t length = convt_gradcheck_text(&r, whole, sizeof whole);
    assert_int_equal(length, strlen(whole));
    assert_int_equal(convt_gradcheck_text(&r, part, sizeof part), length);
    assert_memory_equal(part, whole, sizeof part - 1);
    assert_int_equal(part[sizeof part - 1], 0);
    assert_int_equal(convt_gradcheck_text(&r, NULL, 0), length);
    free(f);
}

/* ---- mischief -------------------------------------------------------------------------------- */

static void passes_that_misbehave_are_named(void **state)
{
    (void)state;
    static const struct {
        int mischief;
        convt_gradcheck_verdict verdict;
        const char *text;
    } cases[] = {
        {RANDOM_FORWARD, CONVT_GRADCHECK_NOT_REPEATABLE, "y: the same call gives other bits"},
        {UNWRITTEN_Y, CONVT_GRADCHECK_NOT_REPEATABLE, "y: "},
        {FORWARD_WRITES_X, CONVT_GRADCHECK_WROTE_INPUT, "x: an input was written to"},
        {FORWARD_WRITES_OUTSIDE, CONVT_GRADCHECK_WROTE_OUTSIDE, "y: memory around"},
        {BACKWARD_WRITES_Y, CONVT_GRADCHECK_WROTE_OUTPUT, "y: backward writes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct function *f = function_new(square, square_slope);
        f->mischief = cases[i].mischief;
        const convt_gradcheck_report r = check(f, NULL);
        must_say(&r, cases[i].verdict, cases[i].text);
        free(f);
    }
}

static double infinite_at_1(double x)
{
    return 1 / (1 - x);
}
static double infinite_slope(double x)
{
    return 1 / ((1 - x) * (1 - x));
}

static double wall(double x)
{
    return x < 1 ? x : HUGE_VAL;
}

static void numbers_that_are_none_are_named(void **state)
{
    (void)state;
    struct function *f = function_new(infinite_at_1, infinite_slope);
    f->x[11] = 1;
    const convt_gradcheck_report r = check(f, NULL);
    must_say(&r, CONVT_GRADCHECK_NOT_FINITE, "y: a number is NaN or infinite");
    f->phi = wall, f->slope = linear_slope;
    f->x[11] = 1 - 1e-9; /* within a step */
    const convt_gradcheck_report beside = check(f, NULL);
    must_say(&beside, CONVT_GRADCHECK_NOT_FINITE, "x: a number is NaN or infinite");
    free(f);
}

static void a_callback_that_fails_ends_the_check(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_problem p = problem_of(f);
    convt_gradcheck_report r;
    convt_error err;
    double before[MOST];
    memcpy(before, f->x, sizeof before);
    f->fail_forward = CONVT_NOT_FINITE;
    for (f->fail_at = 1; f->fail_at <= 6; f->fail_at++) {
        f->calls = 0;
        assert_refused(run(&p, NULL, &r, &err), &err, CONVT_NOT_FINITE, "forward",
                       "forward failed");
        assert_same_bits(before, f->x, sizeof before);
        assert_int_equal(r.verdict, CONVT_GRADCHECK_NOT_RUN);
    }
    f->fail_forward = CONVT_OK;
    f->fail_backward = CONVT_STOPPED;
    assert_refused(run(&p, NULL, &r, &err), &err, CONVT_STOPPED, "backward", "backward failed");
    free(f);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static int64_t no_color(void *context, int input)
{
    (void)context, (void)input;
    return -1;
}

static int64_t color_0(void *context, int input, int64_t e)
{
    (void)context, (void)input, (void)e;
    return 0;
}

static void themselves(void *context, int input, int64_t color, int output, int64_t owner[])
{
    const struct function *f = context;
    (void)input, (void)color, (void)output;
    for (int64_t j = 0; j < f->count; j++) owner[j] = j;
}

static void must_refuse(struct function *f, const convt_gradcheck_problem *p,
                        const convt_gradcheck_options *o, convt_status status, const char *field)
{
    convt_gradcheck_report r;
    convt_error err;
    assert_int_equal(convt_gradcheck_workspace(p, o, &err), 0);
    assert_refused(err.status, &err, status, field, "");
    assert_refused(convt_gradcheck(p, o, f, 1 << 20, &r, &err), &err, status, field, "");
    assert_int_equal(r.verdict, CONVT_GRADCHECK_NOT_RUN);
}

static void wrong_problems_are_refused(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_problem right = problem_of(f);
    const convt_gradcheck_block good = f->input;
    convt_gradcheck_problem p = right;
    must_refuse(f, NULL, NULL, CONVT_INVALID_ARGUMENT, "problem");
    p.forward = NULL;
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "forward");
    p = right, p.backward = NULL;
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "backward");
    p = right, p.inputs = NULL;
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "inputs");
    p = right, p.input_count = 0;
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "inputs");
    p = right, p.output_count = CONVT_GRADCHECK_MOST_BLOCKS + 1;
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "outputs");
    p = right, p.sparsity = &(convt_gradcheck_sparsity){NULL, NULL, NULL};
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "sparsity");
    p = right, p.sparsity = &(convt_gradcheck_sparsity){no_color, color_0, themselves};
    must_refuse(f, &p, NULL, CONVT_INVALID_ARGUMENT, "sparsity");
    f->input.rank = 6;
    must_refuse(f, &right, NULL, CONVT_INVALID_ARGUMENT, "inputs[0]");
    f->input = good, f->input.dtype = (convt_dtype)7;
    must_refuse(f, &right, NULL, CONVT_INVALID_ARGUMENT, "inputs[0]");
    f->input = good, f->input.dims[2] = -1;
    must_refuse(f, &right, NULL, CONVT_INVALID_ARGUMENT, "inputs[0]");
    f->input = good, f->input.dims[2] = f->input.dims[3] = INT64_MAX / 2;
    must_refuse(f, &right, NULL, CONVT_TOO_LARGE, "inputs[0]");
    f->input = good, f->input.data = NULL;
    must_refuse(f, &right, NULL, CONVT_INVALID_ARGUMENT, "inputs[0]");
    f->input = good, f->input.step = CONVT_SET(0);
    must_refuse(f, &right, NULL, CONVT_INVALID_ARGUMENT, "inputs[0]");
    free(f);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        convt_gradcheck_options options;
        const char *field;
    } cases[] = {
        {{.mode = (convt_gradcheck_mode)3}, "mode"},
        {{.count = -1}, "count"},
        {{.rtol = {true, 0}}, "rtol"},
        {{.rtol = {true, NAN}}, "rtol"},
        {{.floor = {true, -1}}, "floor"},
        {{.step = {true, -1e-5}}, "step"},
        {{.max_skipped = {true, 1.5}}, "max_skipped"},
    };
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_problem p = problem_of(f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        must_refuse(f, &p, &cases[i].options, CONVT_INVALID_ARGUMENT, cases[i].field);
    free(f);
}

/* Blocks that fit in 64 bits, which together with what the check keeps of them do not. */
static void a_workspace_beyond_64_bits_is_refused(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    convt_gradcheck_block blocks[CONVT_GRADCHECK_MOST_BLOCKS];
    convt_gradcheck_problem p = problem_of(f);
    for (int i = 0; i < CONVT_GRADCHECK_MOST_BLOCKS; i++) {
        blocks[i] = f->input;
        blocks[i].rank = 1;
        blocks[i].dims[0] = INT64_MAX / 1024;
    }
    p.inputs = p.outputs = blocks;
    p.input_count = p.output_count = CONVT_GRADCHECK_MOST_BLOCKS;
    must_refuse(f, &p, NULL, CONVT_TOO_LARGE, "inputs");
    free(f);
}

static void the_workspace_is_enough_and_no_less_is(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_problem p = problem_of(f);
    convt_gradcheck_report r;
    convt_error err;
    const size_t size = convt_gradcheck_workspace(&p, NULL, &err);
    for (size_t shift = 0; shift < 64; shift += 13) { /* any alignment, and not a byte beyond */
        unsigned char *memory = malloc(size + shift);
        assert_non_null(memory);
        assert_int_equal(convt_gradcheck(&p, NULL, memory + shift, size, &r, &err), CONVT_OK);
        assert_int_equal(r.verdict, CONVT_GRADCHECK_PASSED);
        assert_refused(convt_gradcheck(&p, NULL, memory, size - 1, &r, &err), &err, CONVT_NO_MEMORY,
                       "workspace", "bytes are needed");
        free(memory);
    }
    assert_refused(convt_gradcheck(&p, NULL, NULL, size, &r, &err), &err, CONVT_NO_MEMORY,
                   "workspace", "got 0");
    assert_refused(convt_gradcheck(&p, NULL, NULL, size, NULL, &err), &err, CONVT_INVALID_ARGUMENT,
                   "report", "NULL");
    free(f);
}

static void verdicts_have_texts(void **state)
{
    (void)state;
#define VERDICT(name, number, text)                   \
    assert_int_equal(CONVT_GRADCHECK_##name, number); \
    assert_string_equal(convt_gradcheck_verdict_text(CONVT_GRADCHECK_##name), text);
#include <convt/verdicts.def>
    assert_string_equal(convt_gradcheck_verdict_text((convt_gradcheck_verdict)99),
                        "unknown verdict");
}

/* ---- sparsity -------------------------------------------------------------------------------- */

/* An elementwise function takes one color; with `lie` output 5 is said to depend on nothing. */
static int64_t one_color(void *context, int input)
{
    (void)context, (void)input;
    return 1;
}

static int64_t color_7(void *context, int input, int64_t e)
{
    (void)context, (void)input, (void)e;
    return 7;
}

static void all_but_5(void *context, int input, int64_t color, int output, int64_t owner[])
{
    themselves(context, input, color, output, owner);
    owner[5] = -1;
}

/* Claims what a backward pass that is flipped along the whole block would need. */
static void backwards(void *context, int input, int64_t color, int output, int64_t owner[])
{
    const struct function *f = context;
    (void)input, (void)color, (void)output;
    for (int64_t j = 0; j < f->count; j++) owner[j] = f->count - 1 - j;
}

TWIST(turned_around, wrong[e] = right[359 - e])

static void sparsity_saves_calls_and_is_watched(void **state)
{
    (void)state;
    struct function *f = function_new(linear, linear_slope);
    convt_gradcheck_problem p = problem_of(f);
    convt_gradcheck_report r;
    convt_error err;
    f->input.step =
        CONVT_SET(0.5); /* every width is nearly the same, so that claims can be consistent */
    for (int i = 0; i < MOST; i++) f->x[i] = i % 2 ? 1 : -1;
    p.sparsity = &(convt_gradcheck_sparsity){one_color, color_0, themselves};
    assert_int_equal(run(&p, NULL, &r, &err), CONVT_OK);
    must_say(&r, CONVT_GRADCHECK_PASSED, "passed");
    assert_int_equal(r.rows[0].checked, 360);
    assert_int_equal(r.forward_calls, 2 + 2 + 2); /* twice here, a direction, a color */

    p.sparsity = &(convt_gradcheck_sparsity){one_color, color_0, all_but_5};
    assert_int_equal(run(&p, NULL, &r, &err), CONVT_OK);
    must_say(&r, CONVT_GRADCHECK_WRONG_SPARSITY, "x: an output changes");

    f->twist = turned_around;
    p.sparsity = &(convt_gradcheck_sparsity){one_color, color_0, backwards};
    assert_int_equal(run(&p, NULL, &r, &err), CONVT_OK);
    must_say(&r, CONVT_GRADCHECK_WRONG_GRADIENT, "x along random direction 0");

    p.sparsity = &(convt_gradcheck_sparsity){one_color, color_7, themselves};
    f->twist = NULL;
    assert_refused(run(&p, NULL, &r, &err), &err, CONVT_INVALID_ARGUMENT, "sparsity",
                   "out of range");
    free(f);
}

/* ---- assertions ------------------------------------------------------------------------------ */

static void assertions_pass_what_is_right(void **state)
{
    (void)state;
    struct function *f = function_new(square, square_slope);
    const convt_gradcheck_problem p = problem_of(f);
    const convt_config layers[] = {{.input = {3, 4, 2},
                                    .filters = 3,
                                    .kernel_size = {3, 3},
                                    .strides = {2, 2},
                                    .activation = {.kind = CONVT_TANH}},
                                   {.filters = 2, .kernel_size = {2, 2}}};
    assert_gradcheck(&p, NULL);
    assert_gradcheck(&p, &(convt_gradcheck_options){.mode = CONVT_GRADCHECK_DIRECTIONS});
    assert_layer_gradcheck(&layers[0], NULL);
    assert_model_gradcheck(layers, 2, &(convt_loss_config){.kind = CONVT_HUBER}, NULL);
    free(f);
}

static void a_test_that_fails(void **state)
{
    (void)state;
    struct function *f = function_new(square, relu_slope);
    const convt_gradcheck_problem p = problem_of(f);
    assert_gradcheck(&p, NULL);
}

/* In a process of its own, whose output comes back. */
static void run_a_failing_test(int output)
{
    const struct CMUnitTest failing[] = {cmocka_unit_test(a_test_that_fails)};
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    const int failures = cmocka_run_group_tests(failing, NULL, NULL);
    fflush(stdout);
    _exit(failures);
}

static void cmocka_shows_the_report(void **state)
{
    (void)state;
    char output[8192];
    size_t length = 0;
    ssize_t got;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) run_a_failing_test(ends[1]);
    close(ends[1]);
    while ((got = read(ends[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(output, "gradient check FAILED: x: wrong gradient"));
    assert_non_null(strstr(output, "test_gradcheck.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_gradient_passes_in_every_mode),
        cmocka_unit_test(richardson_removes_the_error_of_a_large_step),
        cmocka_unit_test(too_large_a_step_is_made_smaller),
        cmocka_unit_test(float32_functions_are_checked_to_their_precision),
        cmocka_unit_test(the_same_arguments_give_the_same_report),
        cmocka_unit_test(problems_are_checked_in_threads_side_by_side),
        cmocka_unit_test(empty_and_scalar_blocks_are_blocks),
        cmocka_unit_test(kinks_are_skipped_and_counted),
        cmocka_unit_test(a_kink_beside_the_value_is_stepped_away_from),
        cmocka_unit_test(a_check_that_skips_too_much_fails),
        cmocka_unit_test(a_wrong_gradient_is_no_kink),
        cmocka_unit_test(the_text_names_the_pattern),
        cmocka_unit_test(no_pattern_is_made_up),
        cmocka_unit_test(the_worst_element_is_named),
        cmocka_unit_test(blocks_without_a_name_are_numbered),
        cmocka_unit_test(a_wrong_direction_of_right_elements_says_so),
        cmocka_unit_test(the_text_is_cut_as_snprintf_cuts),
        cmocka_unit_test(passes_that_misbehave_are_named),
        cmocka_unit_test(numbers_that_are_none_are_named),
        cmocka_unit_test(a_callback_that_fails_ends_the_check),
        cmocka_unit_test(wrong_problems_are_refused),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(a_workspace_beyond_64_bits_is_refused),
        cmocka_unit_test(the_workspace_is_enough_and_no_less_is),
        cmocka_unit_test(verdicts_have_texts),
        cmocka_unit_test(sparsity_saves_calls_and_is_watched),
        cmocka_unit_test(assertions_pass_what_is_right),
        cmocka_unit_test(cmocka_shows_the_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
