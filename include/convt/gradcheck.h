/*
 * Gradient checks: is what a backward pass gives the derivative of what the forward pass computes?
 * For any differentiable function written in C, and in one call for the layers and models of this
 * library.
 *
 *     convt_gradcheck_block x = {.name = "x", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {3},
 *                                .data = values},
 *                           y = {.name = "y", .dtype = CONVT_FLOAT64, .rank = 1, .dims = {2}};
 *     convt_gradcheck_problem p = {&x, 1, &y, 1, forward, backward, &my_layer};
 *     size_t size = convt_gradcheck_workspace(&p, NULL, &err);
 *     void *workspace = malloc(size);
 *     convt_gradcheck(&p, NULL, workspace, size, &report, &err);        // NULL: every element
 *     if (report.verdict != CONVT_GRADCHECK_PASSED)
 *         convt_gradcheck_text(&report, text, sizeof text);
 *
 * In a test this is one line, assert_gradcheck(&p, NULL): see gradcheck_assert.h and
 * gradcheck_cmocka.h, and docs/gradcheck.md for how to write a suite.
 *
 * What is checked. Outputs are made one number by fixed random weights v (0.5 <= |v| <= 1.5, as the
 * fast mode of PyTorch's gradcheck), f = sum(v * outputs), so that one backward call gives the
 * whole analytic gradient a. The numeric one is
 *
 *     n = (f(x + h) - f(x - h)) / 2h
 *     h = step * max(|x|, root mean square of the block, or 1 where that is 0)
 *
 * with x + h and x - h rounded first and their true distance taken; step is eps^(1/3), which
 * balances the error h^2 f'''/6 against rounding, or with .richardson eps^(1/5) and (4 n(h/2) -
 * n(h)) / 3, whose error is of order h^4 (Press et al., Numerical Recipes 5.7). Differences are
 * taken output by output, so that outputs that do not change add no rounding.
 *
 *     relative error = |a - n| / max(|a|, |n|, floor, noise / usual rtol)
 *     noise          = 4 eps sum |v * output| / h: what rounding may do to n, over the outputs that
 *                      changed, each taken as the root mean square of its block at least
 *     usual rtol     = 1e-6 for float64, 1e-2 for float32
 *
 * so that at the usual rtol a check neither fails by rounding nor passes by a floor that hides
 * errors: where noise rules, what goes unseen is about 1e-9 of the outputs. A tighter rtol may fail
 * by rounding; functions that are linear or quadratic in an input are exact for any step, and take
 * a rtol of 1e-10 with a step of 0.5.
 *
 * Kinks. An element that fails is tried again with steps 8, 64 and 512 times smaller, as long as
 * noise permits. If it still fails, and the one-sided slopes of the outputs differ by enough to
 * explain that (relu at 0, a clipped edge), it is skipped and counted. Where more than max_skipped
 * of a block is skipped the check fails.
 *
 * Also checked: forward and backward give the same bits when they are called again; neither writes
 * to an input, backward writes to no output; nothing within 512 bytes of the arrays they are given
 * is touched (but inputs, which are the caller's own memory); gradients are overwritten: the two
 * backward calls find other numbers in their place, once 7, once NaN.
 *
 * Promises. Re-entrant, no globals, prints nothing, allocates nothing (convt_layer_gradcheck and
 * convt_model_gradcheck take their memory from the config's allocator and give it back). The same
 * arguments give the same report. At most 64 KiB of stack are used.
 */
#ifndef CONVT_GRADCHECK_H
#define CONVT_GRADCHECK_H

#include "train.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CONVT_GRADCHECK_MOST_BLOCKS = 64, /* inputs of a problem, and outputs */
    CONVT_GRADCHECK_MOST_RANK = 5
};

/* ---- the problem ----------------------------------------------------------------------------- */

/*
 * One array. Inputs: `data` is the caller's own, is changed in place and restored bit for bit.
 * Outputs: data is not read, forward gets arrays of the checker's. Names are borrowed for the time
 * of the call.
 */
typedef struct convt_gradcheck_block {
    const char *name; /* NULL: "input 0", "output 0", ... */
    convt_dtype dtype;
    int rank;                                /* 0: one number; at most CONVT_GRADCHECK_MOST_RANK */
    int64_t dims[CONVT_GRADCHECK_MOST_RANK]; /* 0 or more; the last runs fastest in memory */
    /* "kh", "kw", ... for the report; NULL: "axis 0", ... */
    const char *axis[CONVT_GRADCHECK_MOST_RANK];
    void *data;
    convt_optional step; /* of this input, in place of the options' */
    bool added;          /* output: v is 1, for losses that backward differentiates as they are */
} convt_gradcheck_block;

/*
 * Optional: which outputs depend on which elements. Elements of one color share no output, so all
 * of them are moved at once and a check of every element takes 2 forward calls a color instead of
 * 2 an element (Curtis, Powell and Reid 1974). A convolution over 100,000 elements has a few
 * hundred colors, an activation one. If an output changes without belonging to an element that was
 * moved, the verdict is CONVT_GRADCHECK_WRONG_SPARSITY; beside the elements one random direction of
 * each block is checked, which would find a gradient that is wrong in the way the sparsity is.
 */
typedef struct convt_gradcheck_sparsity {
    int64_t (*colors)(void *context, int input); /* 1 or more; 0: this input has no sparsity */
    int64_t (*color)(void *context, int input, int64_t element); /* 0 .. colors - 1 */
    /* owner[j] = the element of that color that output element j depends on, -1: none */
    void (*owners)(void *context, int input, int64_t color, int output, int64_t owner[]);
} convt_gradcheck_sparsity;

/*
 * forward: computes every outputs[k] from inputs[i] (which are the blocks' data; a function may as
 * well read its own pointers to them). backward: called right after a forward with the same inputs,
 * overwrites gradients[i] with the derivative of sum over k of sum(output_gradients[k] *
 * outputs[k]) with respect to input i, in the input's dtype and shape. Arrays are aligned to 64
 * bytes. Any status but CONVT_OK ends the check, which then returns it.
 */
typedef struct convt_gradcheck_problem {
    const convt_gradcheck_block *inputs;
    int input_count;
    const convt_gradcheck_block *outputs;
    int output_count;
    convt_status (*forward)(void *context, const void *const inputs[], void *const outputs[]);
    convt_status (*backward)(void *context, const void *const inputs[], const void *const outputs[],
                             const void *const output_gradients[], void *const gradients[]);
    void *context;
    const convt_gradcheck_sparsity *sparsity; /* NULL: none */
} convt_gradcheck_problem;

/* ---- how ------------------------------------------------------------------------------------- */

/*
 * ELEMENTS: every element of every input: 2 forward calls each (6 more where it fails), or each
 * color. SAMPLE: `count` elements of each block (default 100), spread evenly; all where there are
 * not more, or not more than as many colors. DIRECTIONS: `count` random directions u of each block
 * (default 2), 2 forward calls each: compares a.u with n along u, where u is normal times max(|x|,
 * root mean square). If e is the error of the gradient, e.u is normal with deviation |e|, so that
 * an error of length r |a| (both measured in units of u) escapes one direction with a probability
 * of at most 0.8 rtol / r times the size of a.u / |a|, about 1: with rtol 1e-6 and two directions,
 * an error of a thousandth passes about once in a million checks. What fails is then looked at by a
 * SAMPLE, for the report.
 */
typedef enum convt_gradcheck_mode {
    CONVT_GRADCHECK_ELEMENTS = 0,
    CONVT_GRADCHECK_SAMPLE = 1,
    CONVT_GRADCHECK_DIRECTIONS = 2
} convt_gradcheck_mode;

/* A zero field is the default; NULL stands for all of them. Defaults in brackets: float64,
 * float32 (any block of a problem). */
typedef struct convt_gradcheck_options {
    convt_gradcheck_mode mode;
    int64_t count;              /* of elements or directions, see above */
    convt_optional rtol;        /* largest relative error [1e-6, 1e-2] */
    convt_optional floor;       /* [1e-6, 1e-2], for values about 1 */
    convt_optional step;        /* relative [eps^(1/3), with richardson eps^(1/5)] */
    convt_optional max_skipped; /* largest share of a block on kinks, 0 .. 1 [0.2] */
    bool richardson;            /* 4 forward calls an element instead of 2 */
    uint64_t seed;
    /* Of convt_layer_gradcheck and convt_model_gradcheck: gradients in float32 against those in
     * float64. */
    bool float32;
} convt_gradcheck_options;

/* ---- the report ------------------------------------------------------------------------------ */

typedef enum convt_gradcheck_verdict {
#define VERDICT(name, number, text) CONVT_GRADCHECK_##name = number,
#include "verdicts.def"
} convt_gradcheck_verdict;

/* One input. index, analytic and numeric are those of the worst relative error; in directions
 * mode the numbers are the slopes along the worst direction, until a sample after a failure
 * finds a worse element (`sampled`). */
typedef struct convt_gradcheck_row {
    char name[48];
    int rank;
    int64_t dims[CONVT_GRADCHECK_MOST_RANK], index[CONVT_GRADCHECK_MOST_RANK];
    char axis[CONVT_GRADCHECK_MOST_RANK][24];
    /* In directions mode all but elements count directions, unless `sampled`. */
    int64_t elements, checked, skipped, wrong;
    int64_t direction; /* the worst, from 0; -1: the numbers are an element's */
    bool sampled;      /* directions mode: a failure was looked at element by element */
    double analytic, numeric, relative_error;
    char pattern[192]; /* "every element is 2 times what it should be"; empty: none was found */
} convt_gradcheck_row;

/* About 30 KiB: mind small stacks. */
typedef struct convt_gradcheck_report {
    convt_gradcheck_verdict verdict;
    char block[48];                  /* what the verdict is about; empty where it passed */
    convt_gradcheck_options options; /* defaults filled in */
    int count;
    convt_gradcheck_row rows[CONVT_GRADCHECK_MOST_BLOCKS]; /* one an input, in their order */
    int worst; /* the row of the worst relative error; -1 where nothing was compared */
    int64_t forward_calls, backward_calls;
} convt_gradcheck_report;

/* ---- the check ------------------------------------------------------------------------------- */

/*
 * Bytes of workspace for a problem: its outputs four times, its inputs twice, 1 KiB around each of
 * these, the largest input once more and 57 bytes an element of it; with sparsity 8 more, and 8 for
 * each element of the largest output and each color. 0 where it would be refused; *err (may be
 * NULL) says why.
 */
CONVT_API size_t convt_gradcheck_workspace(const convt_gradcheck_problem *problem,
                                           const convt_gradcheck_options *options,
                                           convt_error *err);

/*
 * Checks a problem. CONVT_OK: the check ran, *report says what it found. Otherwise *err (may be
 * NULL) says why it did not: CONVT_INVALID_ARGUMENT (NULL where something is needed, sizes and
 * options out of range), CONVT_TOO_LARGE, CONVT_NO_MEMORY (size is less than the workspace that is
 * needed, or workspace NULL), or what a callback returned (field "forward" or "backward"). Inputs
 * hold their values afterwards, also then. report must not be NULL. Different problems may be
 * checked in different threads.
 */
CONVT_API convt_status convt_gradcheck(const convt_gradcheck_problem *problem,
                                       const convt_gradcheck_options *options, void *workspace,
                                       size_t size, convt_gradcheck_report *report,
                                       convt_error *err);

/* The report for a person: a table of blocks and, where the check failed, block, index, numbers
 * and pattern. As snprintf: at most size bytes with the 0 behind the text, which may be NULL
 * where size is 0; returns the length of the whole text. */
CONVT_API size_t convt_gradcheck_text(const convt_gradcheck_report *report, char *text,
                                      size_t size);

/* A short English text, "wrong gradient". Static storage; "unknown verdict" for any other
 * number. */
CONVT_API const char *convt_gradcheck_verdict_text(convt_gradcheck_verdict verdict);

/* ---- layers and models of this library ------------------------------------------------------- */

/*
 * Checks dx, dw and db of sum(v * y) + regularization (kernel, bias, activity) for max_batch
 * samples, through the kernels that run in training: cfg with its own activation, regularizers,
 * format, threads and allocator, but dtype float64, and random x (normal), kernel (normal, so that
 * z is about 1 in size) and bias from options->seed. In ELEMENTS and SAMPLE modes the layer's
 * sparsity is used: 100,000 elements take seconds. A constraint is checked by one step of SGD,
 * after which applying it once more must change nothing (but for min_max_norm with a rate below 1,
 * which gets there over many steps).
 *
 * With options->float32 gradients in float32 are compared with those in float64 at the same
 * numbers, all elements of them: relative error |a32 - a64| / max(|a32|, |a64|, floor * size),
 * where size is the root mean square of the block, but at least a hundredth of the largest block's
 * and a tenth of sqrt(outputs / elements); rtol is 1e-3 and floor 0.1. Elements that jump while x
 * is made 1e-5 larger and smaller count as kinks.
 *
 * Rows: "x", "kernel", "bias". Beside gradients it is checked that convt_layer_loss is the sum of
 * its terms. Errors: those of convt_layer_create (.inference is refused), and of convt_gradcheck.
 */
CONVT_API convt_status convt_layer_gradcheck(const convt_config *cfg,
                                             const convt_gradcheck_options *options,
                                             convt_gradcheck_report *report, convt_error *err);

/*
 * The same for a chain of layers, as convt_model_create takes them, and a loss (NULL: sum(v * y))
 * against random targets in [0.1, 0.9], or class numbers. Every parameter is moved by itself: for
 * large models ask for SAMPLE or DIRECTIONS. Rows: "x", then "<layer>/kernel" and "<layer>/bias";
 * at most CONVT_GRADCHECK_MOST_BLOCKS.
 */
CONVT_API convt_status convt_model_gradcheck(const convt_config layers[], int count,
                                             const convt_loss_config *loss,
                                             const convt_gradcheck_options *options,
                                             convt_gradcheck_report *report, convt_error *err);

#ifdef __cplusplus
}
#endif
#endif
