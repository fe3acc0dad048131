/* The optimizer as checkpoint.c and the per-real code see it. */
#ifndef CONVT_SGD_H
#define CONVT_SGD_H

#include "alloc.h"
#include "convt/train.h"

struct convt_sgd {
    convti_arena arena;
    convt_sgd_config cfg;
    int threads;
    int count; /* of the trainable rows; the others are not kept */
    convt_parameter *rows;
    void **velocity; /* one tensor a row; NULL without momentum */
    int64_t pieces;
    double iterations; /* a double because it is saved as one */
};

/* One update with this step's numbers. */
typedef struct convti_sgd_rule {
    double rate, momentum;
    bool nesterov;
    convt_optional weight_decay;
} convti_sgd_rule;

/* v is NULL without momentum. */
void convti_sgd_update_f32(const convti_sgd_rule *rule, int64_t count, void *w, const void *g,
                           void *v);
void convti_sgd_update_f64(const convti_sgd_rule *rule, int64_t count, void *w, const void *g,
                           void *v);

#endif
