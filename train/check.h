/*
 * A gradient check under way, for the files that share it:
 *
 *   gradcheck.c            options, workspace, the order of things, the verdict
 *   gradcheck_calls.c      the two passes called twice: the same bits, nothing else written to
 *   gradcheck_quotients.c  differences of outputs against gradients
 *   gradcheck_pattern.c    what wrong elements have in common
 *   gradcheck_text.c       the report in words
 *   gradcheck_model.c      layers and models as problems
 *   gradcheck_layer.c      which outputs an element of a layer reaches
 *   gradcheck_float32.c    gradients in float32 against those in float64
 */
#ifndef CONVT_CHECK_H
#define CONVT_CHECK_H

#include "convt/gradcheck.h"
#include "pieces.h"

enum { CONVTI_GUARD = 512 }; /* bytes before and behind every array that callbacks write */

/* The three places at which outputs are computed. */
enum { CONVTI_HERE, CONVTI_ABOVE, CONVTI_BELOW, CONVTI_PLACES };

/* What is known of an element, or of a direction. EXPLAINED: wrong, but by no more than a kink
 * may do. */
enum { CONVTI_UNKNOWN, CONVTI_RIGHT, CONVTI_WRONG, CONVTI_EXPLAINED };

/* sum v (above - below), sum |v (above - 2 here + below)|, sum |v output|, over outputs that
 * changed; then each divided by what the element was moved by. */
typedef struct convti_quotient {
    double slope, gap, noise;
} convti_quotient;

/* Of one array of the problem. */
typedef struct convti_array {
    const convt_gradcheck_block *block;
    int64_t count;
    size_t bytes;
} convti_array;

typedef struct convti_check {
    const convt_gradcheck_problem *p;
    convt_gradcheck_options options; /* defaults filled in */
    convt_gradcheck_report *report;
    convt_error *err;
    double eps, usual_rtol; /* of the least precise block */
    convti_array in[CONVT_GRADCHECK_MOST_BLOCKS], out[CONVT_GRADCHECK_MOST_BLOCKS];
    int64_t colors[CONVT_GRADCHECK_MOST_BLOCKS]; /* 0: no sparsity */
    void *x[CONVT_GRADCHECK_MOST_BLOCKS];        /* the caller's */
    void *y[CONVTI_PLACES][CONVT_GRADCHECK_MOST_BLOCKS];
    void *v[CONVT_GRADCHECK_MOST_BLOCKS];
    double size[CONVT_GRADCHECK_MOST_BLOCKS]; /* root mean square of each output */
    void *gradient[2][CONVT_GRADCHECK_MOST_BLOCKS];

    /* An element of the input under way each. */
    void *saved; /* its values */
    convti_quotient *quotient;
    double *width;   /* what it was moved by, from below to above */
    double *numeric; /* the best numeric slope; of a direction check: the direction */
    double *error;   /* its relative error */
    double *rough;   /* Richardson's first quotient */
    unsigned char *state;
    int64_t *order, *start; /* elements by color, and where each color starts */
    int64_t *owner;         /* of an output: the element that it depends on */
} convti_check;

static inline double convti_number(convt_dtype dtype, const void *data, int64_t i)
{
    return dtype == CONVT_FLOAT64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static inline void convti_number_set(convt_dtype dtype, void *data, int64_t i, double value)
{
    if (dtype == CONVT_FLOAT64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

/* An input or output that was found to be in order. */
static inline convti_array convti_array_of(const convt_gradcheck_block *b)
{
    int64_t count = 1;
    for (int i = 0; i < b->rank; i++) count *= b->dims[i];
    return (convti_array){b, count, (size_t)count * convti_element_bytes(b->dtype)};
}

/* The place of element e. */
static inline void convti_index(const convt_gradcheck_row *row, int64_t e, int64_t index[])
{
    for (int i = row->rank - 1; i >= 0; i--) {
        index[i] = e % row->dims[i];
        e /= row->dims[i];
    }
}

/* A row of which nothing is known yet. */
void convti_row_start(convt_gradcheck_row *row, const convti_array *array, int input);

/* Sets the report's worst row. */
void convti_find_worst(convt_gradcheck_report *report);

/* Sets the verdict, unless there is one; `block` is what it is about. */
void convti_judge(convti_check *c, convt_gradcheck_verdict verdict, const char *block);

/* Name of output k; text needs 48 bytes. */
const char *convti_output_name(const convti_check *c, int k, char text[48]);

/* Runs forward into the outputs of a place. */
convt_status convti_check_forward(convti_check *c, int place);

/* The root mean square of an array. */
double convti_rms(const convti_array *array, const void *data);

/* gradcheck_calls.c: fills outputs HERE, their sizes and both gradients, and judges. */
convt_status convti_check_calls(convti_check *c);

/* gradcheck_quotients.c: compares one input in the options' mode, fills its row. */
convt_status convti_check_input(convti_check *c, int input);

/* |a - n| / max(|a|, |n|, floor). */
double convti_relative_error(double a, double n, double floor);

/* ---- patterns -------------------------------------------------------------------------------- */

/* A tensor of which some elements are known to be right or wrong. */
typedef struct convti_evidence {
    const convt_gradcheck_row *row; /* name, rank, dims, axis */
    convt_dtype dtype;              /* of gradient and value */
    int64_t count;
    const void *gradient, *value;
    const double *numeric;
    const unsigned char *state;
    double rtol;
} convti_evidence;

/* "only where h = 0 (a border)", "every element"; empty where nothing is wrong or nothing is
 * common. Returns text. */
const char *convti_where(const convti_evidence *evidence, char text[128]);

/* Fills a row's pattern. */
void convti_pattern(const convti_evidence *evidence, char text[192]);

#endif
