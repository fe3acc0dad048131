/*
 * One layer under the clock: the passes that `convt bench` knows, each timed in several runs with
 * the FMA peak of the machine measured beside every one of them.
 */
#ifndef CONVT_MEASURE_H
#define CONVT_MEASURE_H

#include <convt/io.h>

/*
 * fwd   convt_forward
 * dx    the gradient of x alone
 * dw    the gradients of the kernel and the bias
 * step  forward, all gradients, one SGD step with momentum and a constraint
 */
enum pass { PASS_FWD, PASS_DX, PASS_DW, PASS_STEP, PASSES };

/* A layer with tensors to run it on. */
typedef struct subject {
    convt_layer *layer;
    convt_sgd *sgd;
    convt_view x, z, y, dy, dx; /* z where backward would otherwise compute it again */
} subject;

/* cfg says how many threads, isa what --isa asked for (NULL: nothing). Returns OPTIONS_PARSED (-1),
 * or the exit code after the line, which begins with `where` or the field. Close it in any case. */
int subject_open(subject *s, const convt_config *cfg, const char *where, const char *isa);
void subject_close(subject *s);

const char *pass_name(enum pass pass);

/* How many contractions a pass consists of: its flops are as many times those of one. */
int pass_contractions(enum pass pass);

/* Bytes that a pass cannot do without: x, y and w once for each contraction, and what the optimizer
 * reads and writes. */
double pass_bytes(enum pass pass, const subject *s);

/*
 * Medians over the runs that count. Two threads now and then share one core for a while, so a run
 * beside which the peak lies below three quarters of the best one seen is dropped and made again,
 * for a while; where none counts, all do.
 */
enum { MOST_RUNS = 100 };

typedef struct figure {
    double seconds;        /* of one call */
    double peak;           /* GFLOP/s, in the layer's dtype */
    double share;          /* of `flops`, in the peak beside each run */
    double best;           /* the second best share */
    int64_t runs, dropped; /* how many runs these are, how many did not count */
} figure;

/* `flops` of one call, up to MOST_RUNS runs; *best_peak is the best one seen, 0 at first. No runs
 * where a pass failed, as the layer's error says. */
figure measure(subject *s, enum pass pass, double flops, int64_t runs, double *best_peak);

#endif
