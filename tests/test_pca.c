/* What PCA leaves, against images whose spectrum is known and against a covariance decomposed by
 * Jacobi rotations. */
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pca.h"

enum { SIDE = 5, PIXELS = SIDE * SIDE, COUNT = 90 };

/* Correlated bytes: a few random patterns mixed, with noise. */
static void make_images(uint8_t *bytes)
{
    uint32_t state = 7;
    for (int i = 0; i < COUNT; i++) {
        int a = (i * 37) % 101, b = (i * 61) % 89;
        for (int p = 0; p < PIXELS; p++) {
            state = state * 1664525U + 1013904223U;
            bytes[i * PIXELS + p] = (uint8_t)((a * (p % 5) + b * (p / 5)) / 4 + (int)(state >> 27));
        }
    }
}

/* Eigenvalues of a symmetric matrix, on its diagonal afterwards. */
static void jacobi(double a[PIXELS][PIXELS])
{
    for (int sweep = 0; sweep < 60; sweep++) {
        for (int p = 0; p < PIXELS; p++) {
            for (int q = p + 1; q < PIXELS; q++) {
                double angle = 0.5 * atan2(2 * a[p][q], a[q][q] - a[p][p]), c = cos(angle),
                       s = sin(angle);
                for (int k = 0; k < PIXELS; k++) {
                    double x = a[p][k], y = a[q][k];
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                }
                for (int k = 0; k < PIXELS; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y;
                    a[k][q] = s * x + c * y;
                }
            }
        }
    }
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void spectrum(const uint8_t *bytes, double eigenvalues[PIXELS])
{
    static double covariance[PIXELS][PIXELS];
    double mean[PIXELS] = {0};
    memset(covariance, 0, sizeof covariance);
    for (int i = 0; i < COUNT * PIXELS; i++) mean[i % PIXELS] += bytes[i] / 255.0 / COUNT;
    for (int i = 0; i < COUNT; i++) {
        for (int p = 0; p < PIXELS; p++) {
            for (int q = 0; q < PIXELS; q++)
                covariance[p][q] += (bytes[i * PIXELS + p] / 255.0 - mean[p]) *
                                    (bytes[i * PIXELS + q] / 255.0 - mean[q]) / COUNT;
        }
    }
    jacobi(covariance);
    for (int p = 0; p < PIXELS; p++) eigenvalues[p] = covariance[p][p];
    qsort(eigenvalues, PIXELS, sizeof *eigenvalues, descending);
}

static void agrees_with_jacobi(void **state)
{
    (void)state;
    static uint8_t bytes[COUNT * PIXELS];
    double eigenvalues[PIXELS];
    convt_images images = {COUNT, SIDE, SIDE, 1, CONVT_ELEMENT_U8, bytes};
    make_images(bytes);
    spectrum(bytes, eigenvalues);
    for (int components = 0; components <= PIXELS; components++) {
        double rest = 0;
        for (int p = PIXELS - 1; p >= components; p--) rest += eigenvalues[p];
        assert_close(pca_residual(&images, components), rest / PIXELS, 1e-4, 1e-8);
    }
}

static void few_or_equal_images_leave_nothing(void **state)
{
    (void)state;
    float pixels[3 * PIXELS];
    convt_images images = {3, SIDE, SIDE, 1, CONVT_ELEMENT_F32, pixels};
    for (int i = 0; i < 3 * PIXELS; i++) pixels[i] = (float)(i * i % 17) / 17;
    assert_close(pca_residual(&images, 2), 0, 0, 1e-8); /* three points span a plane */
    assert_true(pca_residual(&images, 1) > 1e-4);
    for (int i = 0; i < 3 * PIXELS; i++) pixels[i] = 0.25F;
    assert_close(pca_residual(&images, 1), 0, 0, 1e-12);
}

static void what_is_too_large_is_not_a_number(void **state)
{
    (void)state;
    convt_images images = {1, 65, 64, 1, CONVT_ELEMENT_U8, NULL};
    assert_true(isnan(pca_residual(&images, 2)));
    images = (convt_images){100000000, 28, 28, 1, CONVT_ELEMENT_U8, NULL};
    assert_true(isnan(pca_residual(&images, 32)));
    /* docs/clusters.md: 250 million pixels */
    for (int64_t pixels = 784; pixels <= 4096; pixels += 4096 - 784) {
        assert_true(pca_is_quick(250000000 / pixels, pixels, 32));
        assert_false(pca_is_quick(270000000 / pixels, pixels, 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_jacobi),
        cmocka_unit_test(few_or_equal_images_leave_nothing),
        cmocka_unit_test(what_is_too_large_is_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
