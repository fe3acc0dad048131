/* Leaves and samples of ranks; see cut.h. */
#include "cut.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Those that own anything. */
static int64_t workers(const convti_cut *cut)
{
    return smaller(cut->size, cut->leaves);
}

int64_t convti_cut_begin(const convti_cut *cut, int rank)
{
    return smaller(rank, workers(cut)) * cut->leaves / workers(cut);
}

int convti_cut_owner(const convti_cut *cut, int64_t leaf)
{
    return (int)(((leaf + 1) * workers(cut) - 1) / cut->leaves);
}

int64_t convti_cut_leaves(const convti_cut *cut, int64_t count)
{
    return (count + cut->leaf - 1) / cut->leaf;
}

int64_t convti_cut_leaf(const convti_cut *cut, int64_t sample)
{
    const int64_t at = sample < cut->train_count ? sample : sample - cut->train_count;
    return at % cut->batch / cut->leaf;
}

static int64_t batches(const convti_cut *cut, int64_t count)
{
    return (count + cut->batch - 1) / cut->batch;
}

bool convti_cut_next(const convti_cut *cut, convti_runs *runs)
{
    const int64_t training = batches(cut, cut->train_count);
    const int64_t all = training + batches(cut, cut->held_out);
    for (runs->count = 0; runs->count <= 0 && runs->batches < all; runs->batches++) {
        const bool trains = runs->batches < training;
        const int64_t base = trains ? 0 : cut->train_count;
        const int64_t part = trains ? cut->train_count : cut->held_out;
        const int64_t batch = (runs->batches - (trains ? 0 : training)) * cut->batch;
        const int64_t most = smaller(cut->batch, part - batch);
        runs->first = base + batch + runs->begin * cut->leaf;
        runs->count = smaller(runs->end * cut->leaf, most) - runs->begin * cut->leaf;
    }
    return runs->count > 0;
}

static int64_t within(int64_t value, int64_t most)
{
    return value < 0 ? 0 : smaller(value, most);
}

int64_t convti_cut_index(const convti_cut *cut, int64_t sample)
{
    const int64_t leaf = convti_cut_leaf(cut, sample), first = cut->begin * cut->leaf;
    const int64_t width = smaller(cut->end * cut->leaf, cut->batch) - first;
    if (leaf < cut->begin || leaf >= cut->end) return -1;
    const int64_t training = cut->train_count / cut->batch * width +
                             within(cut->train_count % cut->batch - first, width);
    const bool trains = sample < cut->train_count;
    const int64_t at = trains ? sample : sample - cut->train_count;
    return (trains ? 0 : training) + at / cut->batch * width + at % cut->batch - first;
}
