/* The machine's fused multiply-add peak, measured: what shares are shares of. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

/* GFLOP/s of float32 FMAs in registers on `threads` threads at once, the best of several short
 * runs. */
double bench_peak_gflops(int threads);

/* Seconds of a monotonic clock. */
double bench_now(void);

#endif
