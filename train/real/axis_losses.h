/*
 * Losses whose value at a position is no sum over its elements; t and p run along the last axis of
 * memory, sums over it are in double.
 *
 *   cosine               -<t, p> / (|t| |p|), norms at least epsilon
 *                        dp = -t / (|t| |p|) + p <t, p> / (|t| |p|^3)
 *   categorical          -sum t log q,   q = p / sum p, clipped
 *                        dp = (T - t / q) / sum p,   T = sum of t; over what is not clipped
 *   softmax_categorical  sum t (log sum e^z - z);   dz = T softmax(z) - t,   T = sum t
 *
 * A row is read in pieces, so that its length is free and nothing is allocated.
 */
#ifndef CONVT_AXIS_LOSSES_H
#define CONVT_AXIS_LOSSES_H

#include <math.h>

#include "block.h"

typedef struct axis_row {
    int64_t n;
    const real *target; /* n, or one class number */
    bool class_number;
    const real *prediction;
    bool squash; /* predictions are logits, p their sigmoid */
    smoothing smooth;
} axis_row;

/* Elements `first` .. first + n; also filled behind the last one, up to a whole vector. */
typedef struct axis_piece {
    int64_t first, n;
    real t[CHUNK], p[CHUNK];
} axis_piece;

/* Numbers are cut to whole ones, as Keras casts them; of no class: all 0. */
static real class_of(real number)
{
    const real most = (real)1e9;
    if (number > -most && number < most) return (real)(int64_t)number;
    return number - number - 1; /* -1, but NaN of NaN */
}

INLINE vec one_hot(real class_number, int64_t first)
{
    vec hot = {0};
    for (int l = 0; l < LANES; l++) hot[l] = class_number == (real)(first + l) ? 1 : 0;
    return hot + (class_number - class_number);
}

static bool load_piece(const axis_row *row, int64_t first, axis_piece *piece)
{
    const int64_t rest = row->n - first;
    const real class_number = row->class_number ? class_of(*row->target) : 0;
    piece->first = first;
    piece->n = rest < CHUNK ? rest : CHUNK;
    for (int64_t i = 0; i < piece->n; i += LANES) {
        const vec t = row->class_number ? one_hot(class_number, first + i)
                                        : load(row->target + first + i, rest - i);
        const vec given = load(row->prediction + first + i, rest - i);
        v_store(piece->t + i, t * row->smooth.keep + row->smooth.share);
        v_store(piece->p + i, row->squash ? v_sigmoid(given) : given);
    }
    return rest > 0;
}

/* By the labels as they were given. */
static double squared_error(const axis_row *row)
{
    axis_row plain = *row;
    axis_piece piece;
    double error = 0;
    plain.smooth = (smoothing){1, 0};
    for (int64_t first = 0; load_piece(&plain, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i++) piece.p[i] -= piece.t[i];
        error += sum_of_products(piece.p, piece.p, piece.n);
    }
    return error;
}

/* dy = slope, times dp/dz where predictions are logits; slope stands in t of the piece. */
static void store_slopes(const axis_row *row, const axis_piece *piece, real *dy)
{
    for (int64_t i = 0; i < piece->n; i++) {
        const real p = piece->p[i];
        dy[piece->first + i] = row->squash ? piece->t[i] * p * (1 - p) : piece->t[i];
    }
}

/* dp = a t + b p + c, in double, because the terms may cancel. */
static void store_line(const axis_row *row, double a, double b, double c, real *dy)
{
    axis_piece piece;
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i++)
            piece.t[i] = (real)(a * (double)piece.t[i] + (b * (double)piece.p[i] + c));
        store_slopes(row, &piece, dy);
    }
}

/* 1 / |x|, at most 1 / epsilon; NaN stays. */
static double inverse_norm(double squares)
{
    const double inverse = 1 / sqrt(squares), most = 1 / (double)CONVT_EPSILON;
    return inverse > most ? most : inverse;
}

static double cosine(const axis_row *row, real scale, real *dy)
{
    double tt = 0, tp = 0, pp = 0;
    axis_piece piece;
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK) {
        tt += sum_of_products(piece.t, piece.t, piece.n);
        tp += sum_of_products(piece.t, piece.p, piece.n);
        pp += sum_of_products(piece.p, piece.p, piece.n);
    }
    const double p_inverse = inverse_norm(pp), both = inverse_norm(tt) * p_inverse;
    const bool cut = p_inverse == inverse_norm(0);
    const double turn = cut ? 0 : tp * both * p_inverse * p_inverse;
    if (dy) store_line(row, -both * (double)scale, turn * (double)scale, 0, dy);
    return -tp * both;
}

static double categorical(const axis_row *row, real scale, real *dy)
{
    double total = 0, value = 0, open = 0;
    real term[CHUNK], target[CHUNK];
    axis_piece piece;
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK)
        total += sum(piece.p, piece.n);
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i += LANES) {
            const vec t = v_load(piece.t + i), q = v_load(piece.p + i) / (real)total;
            const vec clipped = clip_probability(q);
            v_store(term + i, -t * v_log(clipped));
            v_store(target + i, where_unclipped(q, clipped, t));
        }
        value += sum(term, piece.n);
        open += sum(target, piece.n);
    }
    for (int64_t first = 0; dy && load_piece(row, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i += LANES) {
            const vec t = v_load(piece.t + i), q = v_load(piece.p + i) / (real)total;
            const vec pull = where_unclipped(q, clip_probability(q), t / q);
            v_store(piece.t + i, ((real)open - pull) * (scale / (real)total));
        }
        store_slopes(row, &piece, dy);
    }
    return value;
}

static double softmax_categorical(const axis_row *row, real scale, real *dy)
{
    double total = 0, targets = 0, dot = 0;
    real highest = -(real)INFINITY, above[CHUNK];
    axis_piece piece;
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK)
        for (int64_t i = 0; i < piece.n; i++)
            if (!(piece.p[i] <= highest)) highest = piece.p[i];
    for (int64_t first = 0; load_piece(row, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i += LANES) {
            const vec z = v_load(piece.p + i) - highest;
            v_store(above + i, z);
            v_store(piece.p + i, v_exp_down(z));
        }
        total += sum(piece.p, piece.n);
        targets += sum(piece.t, piece.n);
        dot += sum_of_products(piece.t, above, piece.n);
    }
    for (int64_t first = 0; dy && load_piece(row, first, &piece); first += CHUNK) {
        for (int64_t i = 0; i < piece.n; i += LANES) {
            const vec part = v_exp_down(v_load(piece.p + i) - highest) * (real)(targets / total);
            v_store(piece.t + i, (part - v_load(piece.t + i)) * scale);
        }
        store_slopes(row, &piece, dy);
    }
    return targets * log(total) - dot;
}

#endif
