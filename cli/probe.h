/*
 * What this machine can do, measured: the FMA peak that shares are shares of, and the speed of
 * memory beyond the caches.
 */
#ifndef CONVT_PROBE_H
#define CONVT_PROBE_H

/* GFLOP/s of float32 FMAs in registers on `threads` threads at once, the best of several short
 * runs that take `seconds` together. */
double probe_peak(int threads, double seconds);

/* GB/s to and from memory on `threads` threads at once; copy counts what is read and what is
 * written. Both 0 where there is no memory to measure with. */
struct bandwidth {
    double read, copy;
};
struct bandwidth probe_bandwidth(int threads);

/* Seconds of a monotonic clock. */
double probe_now(void);

#endif
