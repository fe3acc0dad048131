/*
 * The one place where the two precisions differ. Units in src/real/, train/real/ and the kernels
 * are compiled once per real with CONVT_REAL = 32 or 64; everything they export carries the suffix
 * that FN() adds.
 */
#ifndef CONVT_REAL_H
#define CONVT_REAL_H

#include <stdint.h>

#define CONVT_JOIN_(a, b) a##b
#define CONVT_JOIN(a, b) CONVT_JOIN_(a, b)

#if CONVT_REAL == 32
typedef float real;
typedef int32_t real_bits; /* same width, for masks */
#define REAL_SUFFIX _f32
#define REAL_DTYPE CONVT_FLOAT32
#elif CONVT_REAL == 64
typedef double real;
typedef int64_t real_bits;
#define REAL_SUFFIX _f64
#define REAL_DTYPE CONVT_FLOAT64
#else
#error "compile with -DCONVT_REAL=32 or 64"
#endif

#define FN(name) CONVT_JOIN(name, REAL_SUFFIX)

#endif
