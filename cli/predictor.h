/*
 * A model for inference, run over any number of samples in batches of bounded memory.
 */
#ifndef CONVT_PREDICTOR_H
#define CONVT_PREDICTOR_H

#include <convt/io.h>

typedef struct predictor {
    convt_model *model;
    int64_t batch;
    convt_shape input, output;
    convt_dtype dtype;
    bool channels_first;
} predictor;

/* layers[0].input must be known. `threads` 0: all. */
convt_status predictor_open(predictor *p, const convt_config layers[], int count, int threads,
                            convt_error *err);
void predictor_close(predictor *p);

/* The same values in every layer. */
convt_status predictor_copy_weights(predictor *p, const convt_model *model, convt_error *err);

/* y = model(x) for n samples in the model's memory order and dtype, one behind another. */
convt_status predictor_run(predictor *p, const void *x, int64_t n, void *y, convt_error *err);

/* The same as pictures: n * h*w*c numbers, channels last. */
convt_status predictor_draw(predictor *p, const void *x, int64_t n, float *pixels,
                            convt_error *err);

/*
 * Refuses, with the line, a model that this machine's memory cannot hold: the allocator may promise
 * what is not there. Returns OPTIONS_PARSED (-1) to go on, or the exit code.
 */
int check_memory(const convt_config layers[], int count);

#endif
