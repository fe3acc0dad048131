/*
 * The samples of a training run: images whose codes are learned, or arrays x and y. One process reads
 * them all. Several read their headers first, which say what the model looks like and so who owns what,
 * with a few samples that must be the same for all, and then each its own samples; rank 0 at last those that it shows, or sets the model against.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"

/* Held out are the last samples; Keras rounds the others down. */
static void count_samples(job *j, int64_t count)
{
    j->dataset.count = count;
    j->train_count = (int64_t)floor((double)count * (1 - j->opt->validation_split.real));
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_images(job *j, const convt_selection *selection)
{
    convt_error err = {0};
    convt_images *images = &j->images.images;
    int64_t all;
    convt_images_free(images);
    if (!j->source)
        j->source = j->opt->data.given ? text_of("%s", j->opt->data.text) : default_images();
    if (!j->source && j->opt->data.given) return complain(EXIT_FAILED, "train", "out of memory");
    if (!j->source) return EXIT_FAILED;
    if (convt_images_read_some(j->source, selection, images, &all, &err) != CONVT_OK)
        return complain_data("--data", &err);
    if (all < 1) return complain(EXIT_FAILED, "--data", "%s holds no images", j->source);
    j->target = (convt_shape){images->h, images->w, images->c};
    count_samples(j, all);
    return OPTIONS_PARSED;
}

static int read_array(const char *where, const char *path, const convt_selection *selection,
                      convt_array *array, int64_t *all)
{
    convt_error err = {0};
    convt_array_free(array);
    if (convt_npy_read_some(path, selection, array, all, &err) != CONVT_OK)
        return complain_data(where, &err);
    if (array->rank < 2 || array->rank > 4)
        return complain(EXIT_USAGE, where, "%s has rank %d, models take 2 to 4", path, array->rank);
    return OPTIONS_PARSED;
}

static int read_arrays(job *j, const convt_selection *selection)
{
    int64_t x = 0, y = 0;
    int code = read_array("--x", j->opt->x.text, selection, &j->x, &x);
    if (code == OPTIONS_PARSED) code = read_array("--y", j->opt->y.text, selection, &j->y, &y);
    if (code != OPTIONS_PARSED) return code;
    count_samples(j, x);
    if (x == y) return OPTIONS_PARSED;
    return complain(EXIT_USAGE, "--y", "%lld samples, but x has %lld", (long long)y, (long long)x);
}

static int read_some(job *j, const convt_selection *selection)
{
    return j->supervised ? read_arrays(j, selection) : read_images(j, selection);
}

/* ---- whose? ---------------------------------------------------------------------------------- */

/* Samples 0, 1, 2, 4, 8, ..: few, and from all over the data. */
static bool keeps_probe(void *context, int64_t sample)
{
    (void)context;
    return (sample & (sample - 1)) == 0;
}

static bool keeps_own(void *context, int64_t sample)
{
    return convt_trainer_own(((const job *)context)->trainer, sample) >= 0;
}

/* Where a sample lies among those that were read; -1: it was not. */
static int64_t row_of(const job *j, int64_t sample)
{
    return crew_is_shared(&j->crew) ? convt_trainer_own(j->trainer, sample) : sample;
}

static bool reserve_rows(job *j, int64_t count)
{
    if (count <= j->rows_room) return true;
    int64_t *rows = realloc(j->rows, (size_t)count * sizeof *rows);
    if (!rows) return false;
    j->rows = rows;
    j->rows_room = count;
    return true;
}

/* A convt_dataset gather. */
static convt_status gather_own(void *context, const int64_t *index, int64_t n, convt_view x,
                               convt_view y)
{
    job *j = context;
    if (!reserve_rows(j, n)) return CONVT_NO_MEMORY;
    for (int64_t k = 0; k < n; k++) j->rows[k] = row_of(j, index[k]);
    return j->supervised ? convt_arrays_gather(&j->arrays, j->rows, n, x, y)
                         : image_gather(&j->images, j->rows, n, x, y);
}

/* Data in memory as it is, for one process; else by way of its rows. */
static void choose_gather(job *j)
{
    j->dataset.gather = j->supervised ? convt_arrays_gather : image_gather;
    j->dataset.context = j->supervised ? (void *)&j->arrays : (void *)&j->images;
    if (!crew_is_shared(&j->crew)) return;
    j->dataset.gather = gather_own;
    j->dataset.context = j;
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int check_images(job *j)
{
    const value_range range = image_range(&j->images.images);
    j->range = range;
    if (j->images.images.count == 0) return OPTIONS_PARSED;
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
    return OPTIONS_PARSED;
}

static int check_array(const char *where, const char *path, const convt_array *array,
                       value_range *range)
{
    *range = array_range(array);
    if (convt_array_count(array) > 0 && (!isfinite(range->low) || !isfinite(range->high)))
        return complain(EXIT_FAILED, where, "%s holds numbers that are NaN or infinite", path);
    return OPTIONS_PARSED;
}

static int check_arrays(job *j)
{
    int code = check_array("--x", j->opt->x.text, &j->x, &j->range);
    return code == OPTIONS_PARSED ? check_array("--y", j->opt->y.text, &j->y, &j->range) : code;
}

static int check_values(job *j)
{
    return j->supervised ? check_arrays(j) : check_images(j);
}

static bool has_elements(const convt_array *array)
{
    for (int i = 1; i < array->rank; i++)
        if (array->shape[i] < 1) return false;
    return true;
}

static int check_counts(const job *j)
{
    const double split = j->opt->validation_split.real;
    if (j->supervised && (j->dataset.count < 1 || !has_elements(&j->x) || !has_elements(&j->y)))
        return complain(EXIT_FAILED, "--x", "%s and %s hold no samples", j->opt->x.text,
                        j->opt->y.text);
    if (j->train_count < 1 || (split > 0 && j->train_count == j->dataset.count))
        return complain(EXIT_USAGE, "--validation-split", "%g of %lld samples leaves none to %s",
                        split, (long long)j->dataset.count,
                        j->train_count < 1 ? "train on" : "validate with");
    return OPTIONS_PARSED;
}

/* ---- the steps of a run ---------------------------------------------------------------------- */

static uint64_t digest_of_rows(const void *data, int64_t rows, int64_t elements,
                               convt_element element)
{
    const size_t bytes = (size_t)elements * element_size(element);
    uint64_t digest = 0;
    for (int64_t row = 0; row < rows; row++)
        digest += sample_digest((const char *)data + (size_t)row * bytes, bytes, row);
    return digest;
}

/* What was read of the images, or of x and y. */
static uint64_t digest_of_probe(const job *j)
{
    const convt_images *images = &j->images.images;
    if (!j->supervised)
        return digest_of_rows(images->data, images->count, images->h * images->w * images->c,
                              images->element);
    const convt_array *arrays[] = {&j->x, &j->y};
    uint64_t digest = 0;
    for (int i = 0; i < 2; i++) {
        const int64_t rows = arrays[i]->shape[0], elements = convt_array_count(arrays[i]);
        if (elements > 0)
            digest += digest_of_rows(arrays[i]->data, rows, elements / rows, arrays[i]->element);
    }
    return digest;
}

int job_read_data(job *j)
{
    const convt_selection probe = {keeps_probe, NULL};
    const bool shared = crew_is_shared(&j->crew);
    int code = read_some(j, shared ? &probe : NULL);
    if (code == OPTIONS_PARSED && shared) j->probe = digest_of_probe(j);
    if (code == OPTIONS_PARSED && !shared) code = check_values(j);
    if (code == OPTIONS_PARSED) code = check_counts(j);
    choose_gather(j);
    return code;
}

int job_read_share(job *j)
{
    const convt_selection own = {keeps_own, j};
    const int64_t count = j->dataset.count;
    if (!crew_is_shared(&j->crew)) return OPTIONS_PARSED;
    int code = read_some(j, &own);
    if (code == OPTIONS_PARSED && j->dataset.count != count)
        code = complain(EXIT_FAILED, j->supervised ? "--x" : "--data",
                        "%lld samples, and a moment ago %lld", (long long)j->dataset.count,
                        (long long)count);
    return code == OPTIONS_PARSED ? check_values(j) : code;
}

/* The shown samples, in rising order. */
struct shown {
    const int64_t *index;
    int64_t count;
};

static bool keeps_shown(void *context, int64_t sample)
{
    const struct shown *shown = context;
    for (int64_t i = 0; i < shown->count; i++)
        if (shown->index[i] == sample) return true;
    return false;
}

int job_read_shown(job *j, const int64_t index[], int64_t n)
{
    struct shown shown = {index, n};
    const convt_selection selection = {keeps_shown, &shown};
    if (!crew_is_shared(&j->crew)) return OPTIONS_PARSED;
    const int code = read_some(j, &selection);
    return code == OPTIONS_PARSED ? job_convert_arrays(j) : code;
}

static bool keeps_trained_on(void *context, int64_t sample)
{
    return sample < ((const job *)context)->train_count;
}

int job_read_trained_on(job *j)
{
    const convt_selection selection = {keeps_trained_on, j};
    return crew_is_shared(&j->crew) ? read_some(j, &selection) : OPTIONS_PARSED;
}

/* ---- contents -------------------------------------------------------------------------------- */

/* A sum over samples, so that whoever has read which does not matter. */
static uint64_t digest_of(const job *j, const void *data, int64_t elements, convt_element element)
{
    const size_t bytes = (size_t)elements * element_size(element);
    uint64_t digest = 0;
    for (int64_t sample = 0; data && sample < j->dataset.count; sample++) {
        const int64_t row = row_of(j, sample);
        if (row >= 0)
            digest += sample_digest((const char *)data + (size_t)row * bytes, bytes, sample);
    }
    return digest;
}

static uint64_t digest_of_array(const job *j, const convt_array *array)
{
    int64_t elements = 1;
    for (int i = 1; i < array->rank; i++) elements *= array->shape[i];
    return digest_of(j, array->data, elements, array->element);
}

static job_contents own_contents(const job *j)
{
    const convt_images *images = &j->images.images;
    return (job_contents){
        .digest = {digest_of(j, images->data, images->h * images->w * images->c, images->element),
                   digest_of_array(j, &j->x), digest_of_array(j, &j->y)},
        .range = j->range,
    };
}

static job_contents add_up(const job_contents of[], int ranks)
{
    job_contents all = of[0];
    for (int rank = 1; rank < ranks; rank++) {
        for (int i = 0; i < JOB_SOURCES; i++) all.digest[i] += of[rank].digest[i];
        all.range.low = fmin(all.range.low, of[rank].range.low);
        all.range.high = fmax(all.range.high, of[rank].range.high);
    }
    return all;
}

int job_find_contents(job *j)
{
    const convt_exchange *e = &j->crew.exchange;
    j->contents = own_contents(j);
    if (!crew_is_shared(&j->crew)) return OPTIONS_PARSED;
    job_contents *all = calloc((size_t)e->size, sizeof *all);
    int code = crew_agree(&j->crew,
                          all ? OPTIONS_PARSED : complain(EXIT_FAILED, "train", "out of memory"));
    if (code == OPTIONS_PARSED) code = crew_gather(&j->crew, &j->contents, sizeof j->contents, all);
    if (code == OPTIONS_PARSED && e->rank == 0) j->contents = add_up(all, e->size);
    free(all);
    return code == OPTIONS_PARSED ? crew_copy(&j->crew, &j->contents, sizeof j->contents) : code;
}
