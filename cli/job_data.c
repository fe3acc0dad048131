/*
 * The samples of a training run: images whose codes are learned, or arrays x and y.
 */
#include <math.h>
#include <stdlib.h>

#include "cli.h"
#include "job.h"

/* Held out are the last samples; Keras rounds the others down. */
static void count_samples(job *j, int64_t count)
{
    j->dataset.count = count;
    j->train_count = (int64_t)floor((double)count * (1 - j->opt->validation_split.real));
}

static int read_images(job *j)
{
    convt_error err = {0};
    convt_images *images = &j->images.images;
    j->source = j->opt->data.given ? text_of("%s", j->opt->data.text) : default_images();
    if (!j->source && j->opt->data.given) return complain(EXIT_FAILED, "train", "out of memory");
    if (!j->source) return EXIT_FAILED;
    if (convt_images_read(j->source, images, &err) != CONVT_OK)
        return complain_data("--data", &err);
    if (images->count < 1) return complain(EXIT_FAILED, "--data", "%s holds no images", j->source);
    value_range range = image_range(images);
    if (!isfinite(range.low) || !isfinite(range.high))
        return complain(EXIT_FAILED, "--data", "%s holds numbers that are NaN or infinite",
                        j->source);
    /* Whoever brings a model may have targets of any range, unless the loss is one of
     * probabilities. */
    bool free_range = j->opt->model.given && loss_logits_of(j->loss.kind) == NO_LOGITS;
    if (!free_range && (range.low < 0 || range.high > 1))
        return complain(EXIT_FAILED, "--data",
                        "%s holds numbers from %g to %g, expected bytes or numbers from 0 to 1",
                        j->source, range.low, range.high);
    j->target = (convt_shape){images->h, images->w, images->c};
    j->dataset.gather = image_gather;
    j->dataset.context = &j->images;
    count_samples(j, images->count);
    return OPTIONS_PARSED;
}

static int read_array(const char *where, const char *path, convt_array *array)
{
    convt_error err = {0};
    if (convt_npy_read(path, array, &err) != CONVT_OK) return complain_data(where, &err);
    if (array->rank < 2 || array->rank > 4)
        return complain(EXIT_USAGE, where, "%s has rank %d, models take 2 to 4", path, array->rank);
    value_range range = array_range(array);
    if (array->shape[0] > 0 && (!isfinite(range.low) || !isfinite(range.high)) &&
        convt_array_count(array) > 0)
        return complain(EXIT_FAILED, where, "%s holds numbers that are NaN or infinite", path);
    return OPTIONS_PARSED;
}

static int read_arrays(job *j)
{
    int code = read_array("--x", j->opt->x.text, &j->x);
    if (code == OPTIONS_PARSED) code = read_array("--y", j->opt->y.text, &j->y);
    if (code != OPTIONS_PARSED) return code;
    if (j->x.shape[0] != j->y.shape[0])
        return complain(EXIT_USAGE, "--y", "%lld samples, but x has %lld", (long long)j->y.shape[0],
                        (long long)j->x.shape[0]);
    if (convt_array_count(&j->x) < 1 || convt_array_count(&j->y) < 1)
        return complain(EXIT_FAILED, "--x", "%s and %s hold no samples", j->opt->x.text,
                        j->opt->y.text);
    j->dataset.gather = convt_arrays_gather;
    j->dataset.context = &j->arrays;
    count_samples(j, j->x.shape[0]);
    return OPTIONS_PARSED;
}

int job_read_data(job *j)
{
    int code = j->supervised ? read_arrays(j) : read_images(j);
    if (code != OPTIONS_PARSED) return code;
    double split = j->opt->validation_split.real;
    if (j->train_count < 1 || (split > 0 && j->train_count == j->dataset.count))
        return complain(EXIT_USAGE, "--validation-split", "%g of %lld samples leaves none to %s",
                        split, (long long)j->dataset.count,
                        j->train_count < 1 ? "train on" : "validate with");
    return OPTIONS_PARSED;
}
