/*
 * Keras' SGD as JSON: what keras.optimizers.SGD.get_config() gives, to and from convt_sgd_config.
 */
#ifndef CONVT_OPTIMIZER_H
#define CONVT_OPTIMIZER_H

#include <convt/train.h>

/* Missing keys are defaults. Keys that are not supported are accepted at their defaults and refused
 * by name otherwise. */
convt_status optimizer_parse(const char *json, convt_sgd_config *sgd, convt_error *err);

/* The file at `path`. */
convt_status optimizer_read(const char *path, convt_sgd_config *sgd, convt_error *err);

/* The same config as JSON, malloc'ed; NULL where memory is out. Two configs are equal when their
 * texts are. */
char *optimizer_write(const convt_sgd_config *sgd);

#endif
