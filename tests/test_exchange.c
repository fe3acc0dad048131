/* Several ranks, as threads of this process: the bits of one, whatever is whose; their errors, wishes and
 * bytes. Messages are rendezvous: nothing is copied before the other side is there. */
#include "support/close.h"
#include "support/values.h"

#include <convt/train.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reduce.h"
#include "trainer.h"
#include "tree.h"

enum { MOST_RANKS = 6, MOST_POSTS = 1 << 16, PATIENCE = 30, CODE = 3, SIDE = 4, MOST_EPOCHS = 4 };

/* ---- an exchange within a process ------------------------------------------------------------ */

typedef enum kind { SEND, RECEIVE, BROADCAST } kind;

/* The number-th of its kind between two ranks with a tag. */
struct post {
    kind kind;
    int from, to, tag, number;
    void *data;
    size_t bytes;
    int takers; /* that have copied it */
};

struct world {
    pthread_mutex_t mutex;
    pthread_cond_t change;
    int size, count;
    struct post posts[MOST_POSTS];
    size_t bytes; /* sent */
    int fails_at; /* the call that fails, counted over all ranks; 0: none */
    int calls;
    int open;  /* requests that nobody has waited for */
    bool lost; /* a rank has given up: nobody waits for it */
};

struct seat {
    struct world *world;
    int rank;
};

static convt_status post(struct seat *seat, struct post p, int *request)
{
    struct world *w = seat->world;
    pthread_mutex_lock(&w->mutex);
    const bool fails = w->lost || ++w->calls == w->fails_at || w->count == MOST_POSTS;
    for (int i = 0; i < w->count; i++) {
        const struct post *q = &w->posts[i];
        p.number += q->kind == p.kind && q->from == p.from && q->to == p.to && q->tag == p.tag;
    }
    *request = w->count;
    if (!fails) w->posts[w->count++] = p;
    w->open += !fails;
    if (!fails && p.kind == SEND) w->bytes += p.bytes;
    if (!fails && p.kind == BROADCAST && p.from > 0) w->bytes += p.bytes;
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->mutex);
    return fails ? CONVT_EXCHANGE_FAILED : CONVT_OK;
}

static convt_status fake_send(void *context, int rank, int tag, const void *data, size_t bytes,
                              int *request)
{
    struct seat *seat = context;
    return post(seat,
                (struct post){SEND, seat->rank, rank, tag, 0, (void *)(uintptr_t)data, bytes, 0},
                request);
}

static convt_status fake_receive(void *context, int rank, int tag, void *data, size_t bytes,
                                 int *request)
{
    struct seat *seat = context;
    return post(seat, (struct post){RECEIVE, rank, seat->rank, tag, 0, data, bytes, 0}, request);
}

static convt_status fake_broadcast(void *context, void *data, size_t bytes, int *request)
{
    struct seat *seat = context;
    return post(seat, (struct post){BROADCAST, seat->rank, -1, 0, 0, data, bytes, 0}, request);
}

/* What a request takes its bytes from. */
static struct post *source_of(struct world *w, const struct post *p)
{
    for (int i = 0; i < w->count; i++) {
        struct post *q = &w->posts[i];
        const bool same = q->number == p->number && q->bytes == p->bytes;
        if (p->kind == RECEIVE && q->kind == SEND && q->from == p->from && q->to == p->to &&
            q->tag == p->tag && same)
            return q;
        if (p->kind == BROADCAST && q->kind == BROADCAST && q->from == 0 && same) return q;
    }
    return NULL;
}

/* True when the request is through; copies what it takes. */
static bool settle(struct world *w, struct post *p)
{
    if (p->kind == SEND) return p->takers == 1;
    if (p->kind == BROADCAST && p->from == 0) return p->takers == w->size - 1;
    struct post *source = source_of(w, p);
    if (!source) return false;
    memcpy(p->data, source->data, p->bytes);
    source->takers++;
    pthread_cond_broadcast(&w->change);
    return true;
}

static convt_status fake_wait(void *context, int request)
{
    struct world *w = ((struct seat *)context)->world;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    pthread_mutex_lock(&w->mutex);
    bool late = false, through = settle(w, &w->posts[request]);
    while (!through && !late && !w->lost) {
        late = pthread_cond_timedwait(&w->change, &w->mutex, &until) != 0;
        through = settle(w, &w->posts[request]);
    }
    w->open -= through;
    pthread_mutex_unlock(&w->mutex);
    return through ? CONVT_OK : CONVT_EXCHANGE_FAILED;
}

/* ---- one rank -------------------------------------------------------------------------------- */

/* What all ranks agree on, and who misbehaves. */
struct plan {
    convt_dtype dtype;
    int ranks; /* 0: no exchange at all */
    int64_t count, batch, leaves, epochs;
    double split;
    bool codes, weighted;
    int filters, threads;
    int broken_rank, broken_batch; /* whose gather fails, and behind which batch; rank -1: none */
    int nan_rank;                  /* whose first target of the second batch is NaN; -1: none */
    int stop_rank, stop_batch;     /* whose callback says no; -1: none */
    int collect_batch;             /* when rank 0 asks for the codes; 0: never */
    int fails_at;                  /* see world */
};

struct rank {
    const struct plan *plan;
    struct seat seat;
    convt_view x, y;
    double *weights;
    convt_arrays arrays;
    convt_trainer_config cfg;
    convt_trainer *trainer;
    convt_status status;
    convt_error error;
    convt_progress epochs[MOST_EPOCHS];
    convt_loss_value evaluated;
    int batches, epochs_done, whole, foreign;
    pthread_t thread;
};

static convt_status gather(void *context, const int64_t *index, int64_t n, convt_view x,
                           convt_view y)
{
    struct rank *r = context;
    const struct plan *plan = r->plan;
    for (int64_t k = 0; k < n; k++) {
        r->foreign += convt_trainer_own(r->trainer, index[k]) < 0;
        if (plan->broken_rank == r->seat.rank && r->batches >= plan->broken_batch)
            return CONVT_FILE_FAILED;
    }
    convt_status status = convt_arrays_gather(&r->arrays, index, n, x, y);
    if (plan->nan_rank == r->seat.rank && r->batches == 1) values_set(y, 0, (double)NAN);
    return status;
}

static bool on_batch(void *context, const convt_progress *now)
{
    struct rank *r = context;
    r->batches++;
    r->whole += now->whole && r->plan->ranks > 1;
    if (r->seat.rank == 0 && r->batches == r->plan->collect_batch)
        convt_trainer_collect(r->trainer);
    return !(r->seat.rank == r->plan->stop_rank && r->batches == r->plan->stop_batch);
}

static bool on_epoch(void *context, const convt_progress *now)
{
    struct rank *r = context;
    r->epochs[r->epochs_done++] = *now;
    return true;
}

static void prepare(struct rank *r, const struct plan *plan, struct world *world, int rank)
{
    r->plan = plan;
    r->seat = (struct seat){world, rank};
    r->x = values_new(plan->dtype, plan->count, 1, 1, CODE);
    r->y = values_new(plan->dtype, plan->count, SIDE, SIDE, 1);
    values_random(r->x, 1, -1, 1);
    values_random(r->y, 2, 0, 1);
    r->weights = calloc((size_t)plan->count, sizeof *r->weights);
    for (int64_t i = 0; i < plan->count; i++) r->weights[i] = 1 + 0.1 * (double)(i % 7);
    r->arrays = (convt_arrays){convt_read(r->x), convt_read(r->y)};
}

static convt_status create(struct rank *r)
{
    const struct plan *plan = r->plan;
    const convt_config layers[] = {
        {.input = {1, 1, CODE},
         .max_batch = plan->count,
         .threads = plan->threads,
         .filters = plan->filters,
         .kernel_size = {2, 2},
         .dtype = plan->dtype,
         .activation = {.kind = CONVT_ELU},
         .kernel_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.01)},
         .activity_regularizer = {.kind = CONVT_L2, .l2 = CONVT_SET(0.02)}},
        {.filters = plan->filters, .kernel_size = {1, 1}, .dtype = plan->dtype, .frozen = true},
        {.filters = 1,
         .kernel_size = {3, 3},
         .strides = {2, 2},
         .padding = CONVT_SAME,
         .dtype = plan->dtype},
    };
    convt_parameter rows[6];
    r->cfg = (convt_trainer_config){.data = {.count = plan->count,
                                             .gather = gather,
                                             .context = r,
                                             .sample_weight = plan->weighted ? r->weights : NULL},
                                    .epochs = plan->epochs,
                                    .batch_size = plan->batch,
                                    .leaves = plan->leaves,
                                    .validation_split = plan->split,
                                    .seed = 5,
                                    .on_batch = on_batch,
                                    .on_epoch = on_epoch,
                                    .context = r,
                                    .exchange = {r->seat.rank, plan->ranks, &r->seat, fake_send,
                                                 fake_receive, fake_broadcast, fake_wait}};
    if (plan->codes) r->cfg.codes = (convt_codes){r->x, .learning_rate = 0.5, .fix_first = true};
    convt_status status = convt_model_create(&r->cfg.model, layers, 3, &r->error);
    if (!status)
        status = convt_sgd_create(
            &r->cfg.sgd,
            &(convt_sgd_config){.learning_rate = CONVT_SET(0.1), .momentum = 0.9, .threads = 1},
            rows, convt_model_parameters(r->cfg.model, rows), &r->error);
    return status ? status : convt_trainer_create(&r->trainer, &r->cfg, &r->error);
}

static void *run_rank(void *context)
{
    struct rank *r = context;
    r->status = create(r);
    if (r->status) return NULL;
    if (r->plan->codes) r->status = convt_codes_start(r->trainer);
    if (!r->status) r->status = convt_fit(r->trainer);
    const int64_t batch = r->plan->batch, rest = r->plan->count - batch;
    if (!r->status)
        r->status = convt_evaluate(r->trainer, batch, rest < batch ? rest : batch, &r->evaluated);
    r->error = *convt_trainer_error(r->trainer);
    struct world *w = r->seat.world;
    pthread_mutex_lock(&w->mutex);
    w->lost = w->lost || r->status == CONVT_EXCHANGE_FAILED; /* as a rank that exits */
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- all ranks ------------------------------------------------------------------------------- */

struct crew {
    struct world world;
    struct rank rank[MOST_RANKS];
    int size;
};

static struct crew *train(const struct plan *plan)
{
    struct crew *crew = calloc(1, sizeof *crew);
    assert_non_null(crew);
    crew->size = plan->ranks > 0 ? plan->ranks : 1;
    crew->world.size = crew->size;
    crew->world.fails_at = plan->fails_at;
    pthread_mutex_init(&crew->world.mutex, NULL);
    pthread_cond_init(&crew->world.change, NULL);
    for (int r = 0; r < crew->size; r++) prepare(&crew->rank[r], plan, &crew->world, r);
    for (int r = 0; r < crew->size; r++)
        assert_int_equal(pthread_create(&crew->rank[r].thread, NULL, run_rank, &crew->rank[r]), 0);
    for (int r = 0; r < crew->size; r++) pthread_join(crew->rank[r].thread, NULL);
    return crew;
}

static void disband(struct crew *crew)
{
    for (int i = 0; i < crew->size; i++) {
        struct rank *r = &crew->rank[i];
        convt_trainer_destroy(r->trainer);
        convt_sgd_destroy(r->cfg.sgd);
        convt_model_destroy(r->cfg.model);
        values_free(r->x);
        values_free(r->y);
        free(r->weights);
    }
    pthread_mutex_destroy(&crew->world.mutex);
    pthread_cond_destroy(&crew->world.change);
    free(crew);
}

static void assert_status(const struct crew *crew, convt_status expected)
{
    for (int i = 0; i < crew->size; i++)
        if (crew->rank[i].status != expected)
            fail_msg("rank %d of %d: status %d, not %d: %s: %s", i, crew->size,
                     (int)crew->rank[i].status, (int)expected, crew->rank[i].error.field,
                     crew->rank[i].error.message);
}

static size_t bytes_of(convt_view v)
{
    return (size_t)(v.n * v.h * v.w * v.c) * (v.dtype == CONVT_FLOAT64 ? 8 : 4);
}

/* Weights, velocities and counters are the same everywhere; codes on rank 0. */
static void assert_same_state(const struct crew *one, const struct crew *many)
{
    enum { ROOM = 32 };
    convt_state a[ROOM], b[ROOM];
    const int count = convt_trainer_state(one->rank[0].trainer, a, ROOM);
    for (int i = 0; i < many->size; i++) {
        assert_int_equal(convt_trainer_state(many->rank[i].trainer, b, ROOM), count);
        for (int k = 0; k < count; k++) {
            if (i > 0 && strcmp(a[k].name, "codes") == 0) continue;
            if (memcmp(a[k].values.data, b[k].values.data, bytes_of(a[k].values)) != 0)
                fail_msg("%s of rank %d of %d", a[k].name, i, many->size);
        }
    }
}

static void assert_same_run(const struct plan *plan, const struct crew *one)
{
    struct crew *many = train(plan);
    assert_status(many, CONVT_OK);
    assert_int_equal(many->world.open, 0);
    assert_same_state(one, many);
    for (int i = 0; i < many->size; i++) {
        const struct rank *r = &many->rank[i];
        assert_int_equal(r->foreign, 0);
        assert_same_bits(&r->evaluated, &one->rank[0].evaluated, sizeof r->evaluated);
        for (int e = 0; e < r->epochs_done; e++)
            assert_same_bits(&r->epochs[e], &one->rank[0].epochs[e],
                             offsetof(convt_progress, whole));
    }
    disband(many);
}

static const struct plan usual = {.dtype = CONVT_FLOAT32,
                                  .count = 41,
                                  .batch = 12,
                                  .epochs = 2,
                                  .filters = 4,
                                  .threads = 1,
                                  .broken_rank = -1,
                                  .nan_rank = -1,
                                  .stop_rank = -1};

/* ---- tests ----------------------------------------------------------------------------------- */

static void any_number_of_ranks_gives_the_bits_of_one(void **state)
{
    (void)state;
    for (int64_t leaves = 0; leaves <= 12; leaves = leaves < 7 ? leaves + 1 : leaves + 5)
        for (int variant = 0; variant < 4; variant++) {
            struct plan plan = usual;
            plan.leaves = leaves;
            plan.codes = variant & 1;
            plan.dtype = variant & 1 ? CONVT_FLOAT64 : CONVT_FLOAT32;
            plan.batch = variant & 2 ? 11 : 12; /* 11: the last leaf is smaller */
            plan.split = variant & 2 ? 0.3 : 0;
            plan.weighted = variant == 2;
            struct crew *one = train(&plan);
            assert_status(one, CONVT_OK);
            for (plan.ranks = 1; plan.ranks <= 5; plan.ranks++) assert_same_run(&plan, one);
            disband(one);
        }
}

static void ranks_may_have_several_threads(void **state)
{
    (void)state;
    struct plan plan = usual;
    plan.filters = 64; /* gradients of several pieces */
    plan.codes = true;
    struct crew *one = train(&plan);
    plan.ranks = 3;
    plan.threads = 2;
    assert_same_run(&plan, one);
    disband(one);
}

/* Fewer samples than a batch, and fewer than leaves or ranks. */
static void idle_ranks_take_part_in_the_step(void **state)
{
    (void)state;
    for (int64_t count = 13; count <= 29; count += 4)
        for (int64_t leaves = 0; leaves <= 2; leaves += 2) {
            struct plan plan = usual;
            plan.count = count;
            plan.leaves = leaves;
            plan.codes = true;
            struct crew *one = train(&plan);
            for (plan.ranks = 2; plan.ranks <= MOST_RANKS; plan.ranks += 2)
                assert_same_run(&plan, one);
            disband(one);
        }
}

/* From each leaf the first half up; across ranks the same sums, each exactly once. */
static void every_node_is_summed_once(void **state)
{
    (void)state;
    for (int64_t leaves = 1; leaves <= 40; leaves++)
        for (int64_t begin = 0; begin < leaves; begin += 3) {
            const convti_span span = {begin, begin + 3 < leaves ? begin + 3 : leaves, leaves};
            for (int64_t leaf = span.begin; leaf < span.end; leaf++) {
                const convti_climb c = convti_tree_climb((convti_node){0, leaf}, span);
                const int64_t size = (int64_t)1 << c.node.level;
                assert_int_equal(c.node.first % size, 0);
                assert_true(c.node.first >= span.begin || c.then == CONVTI_SENDS);
                if (c.then == CONVTI_IS_ALL) assert_true(c.node.first == 0 && size >= leaves);
                if (c.then == CONVTI_SENDS) assert_true(c.sibling < span.begin);
                if (c.then == CONVTI_WAITS) assert_int_equal(c.sibling, c.node.first + size);
                if (c.then == CONVTI_RECEIVES) assert_in_range(c.sibling, span.end, leaves - 1);
                assert_true(c.then == CONVTI_WAITS || c.then == CONVTI_SENDS ||
                            leaf + 1 == span.end);
            }
        }
}

static void the_error_of_one_rank_is_that_of_all(void **state)
{
    (void)state;
    for (int batch = 0; batch < 2; batch++) { /* 0: the start of the codes */
        struct plan plan = usual;
        plan.ranks = 3;
        plan.codes = true;
        plan.broken_rank = 1;
        plan.broken_batch = batch;
        struct crew *crew = train(&plan);
        assert_status(crew, CONVT_FILE_FAILED);
        for (int i = 0; i < crew->size; i++) {
            assert_string_equal(crew->rank[i].error.field, "data.gather");
            assert_non_null(strstr(crew->rank[i].error.message, "(rank 1)"));
            assert_int_equal(crew->rank[i].batches, batch);
        }
        assert_int_equal(crew->world.open, 0);
        disband(crew);
    }
}

static void nan_on_one_rank_stops_all_before_the_step(void **state)
{
    (void)state;
    for (int rank = 0; rank < 3; rank++) {
        struct plan plan = usual;
        plan.ranks = 3;
        plan.nan_rank = rank;
        plan.codes = true;
        struct crew *crew = train(&plan);
        assert_status(crew, CONVT_NOT_FINITE);
        for (int i = 0; i < crew->size; i++) {
            assert_int_equal(crew->rank[i].batches, 1);
            assert_non_null(strstr(crew->rank[i].error.message, "epoch 1, batch 2"));
        }
        plan.nan_rank = -1;
        plan.epochs = 1;
        plan.stop_rank = 0;
        plan.stop_batch = 1;
        plan.ranks = 0;
        struct crew *before = train(&plan); /* one batch, then stopped */
        for (int i = 0; i < crew->size; i++) {
            convt_parameter a[6], b[6];
            const int rows = convt_model_parameters(crew->rank[i].cfg.model, a);
            convt_model_parameters(before->rank[0].cfg.model, b);
            for (int k = 0; k < rows; k++)
                assert_same_bits(a[k].value.data, b[k].value.data, bytes_of(a[k].value));
        }
        disband(before);
        disband(crew);
    }
}

/* Whether it has a leaf in that batch or not: of 12 leaves, in the fourth batch, which has 5 samples, rank
 * 0 alone has some; of 2 leaves rank 2 never has one. */
static void any_rank_stops_all_behind_the_next_batch(void **state)
{
    (void)state;
    for (int variant = 0; variant < 12; variant++) {
        struct plan plan = usual;
        plan.ranks = 3;
        plan.codes = true;
        plan.leaves = variant < 6 ? 12 : 2;
        plan.stop_rank = variant % 3;
        plan.stop_batch = variant % 6 < 3 ? 1 : 3;
        const int heard = plan.stop_batch + 1;
        struct crew *crew = train(&plan);
        assert_status(crew, CONVT_STOPPED);
        plan.ranks = 0;
        plan.stop_rank = 0;
        plan.stop_batch = heard;
        struct crew *one = train(&plan);
        assert_status(one, CONVT_STOPPED);
        assert_same_state(one, crew);
        assert_int_equal(crew->world.open, 0);
        for (int i = 0; i < crew->size; i++) assert_int_equal(crew->rank[i].batches, heard);
        disband(one);
        disband(crew);
    }
}

static void codes_come_to_rank_0_when_it_asks(void **state)
{
    (void)state;
    struct plan plan = usual;
    plan.ranks = 4;
    plan.codes = true;
    plan.collect_batch = 1;
    struct crew *crew = train(&plan);
    assert_status(crew, CONVT_OK);
    for (int i = 0; i < crew->size; i++) assert_int_equal(crew->rank[i].whole, 1);
    disband(crew);
}

/* Whichever call fails, every rank ends with that status, and none hangs. */
static void a_lost_exchange_ends_every_rank(void **state)
{
    (void)state;
    for (int k = 1; k < 200; k += 7) {
        struct plan plan = usual;
        plan.ranks = 3;
        plan.leaves = k % 2 ? 0 : 2; /* of which rank 2 has none */
        plan.codes = true;
        plan.fails_at = k;
        struct crew *crew = train(&plan);
        assert_status(crew, CONVT_EXCHANGE_FAILED);
        for (int i = 0; i < crew->size; i++)
            assert_string_equal(crew->rank[i].error.field, "exchange");
        disband(crew);
    }
}

/* What ranks send in a step, all together; *parameters: bytes of the trainable ones. */
static size_t bytes_of_step(int ranks, int64_t leaves, size_t *parameters)
{
    enum { STEPS = 3 };
    size_t bytes[2];
    for (int64_t epochs = 1; epochs <= 2; epochs++) {
        struct plan plan = usual;
        plan.ranks = ranks;
        plan.leaves = leaves;
        plan.batch = 16;
        plan.count = STEPS * plan.batch;
        plan.epochs = epochs;
        plan.filters = 512;
        struct crew *crew = train(&plan);
        assert_status(crew, CONVT_OK);
        bytes[epochs - 1] = crew->world.bytes;
        convt_parameter rows[6];
        const int count = convt_model_parameters(crew->rank[0].cfg.model, rows);
        *parameters = 0;
        for (int k = 0; k < count; k++)
            if (rows[k].trainable) *parameters += bytes_of(rows[k].value);
        disband(crew);
    }
    return (bytes[1] - bytes[0]) / STEPS;
}

/* docs/clusters.md: R ranks send 2 (R - 1) times the trainable parameters a step, where R divides the
 * number of leaves; who has no leaf sends four bytes. */
static void bytes_of_a_step_are_those_of_the_formula(void **state)
{
    (void)state;
    size_t parameters;
    for (int ranks = 2; ranks <= 4; ranks += 2) {
        const size_t step = bytes_of_step(ranks, 0, &parameters);
        assert_close((double)step, 2.0 * (ranks - 1) * (double)parameters, 0.05, 0);
    }
    const size_t without = bytes_of_step(2, 2, &parameters);
    const size_t idle = bytes_of_step(3, 2, &parameters) - without;
    assert_int_equal(idle, 4 + parameters + sizeof(convti_report)); /* and takes the whole */
}

static void own_samples_are_counted_in_their_order(void **state)
{
    (void)state;
    struct plan plan = usual;
    plan.split = 0.3;
    for (plan.ranks = 1; plan.ranks <= 5; plan.ranks++) {
        struct crew *crew = train(&plan);
        int64_t owners = 0;
        for (int i = 0; i < crew->size; i++)
            for (int64_t sample = 0, own = 0; sample < plan.count; sample++) {
                const int64_t index = convt_trainer_own(crew->rank[i].trainer, sample);
                if (index < 0) continue;
                assert_int_equal(index, own++);
                owners++;
            }
        assert_int_equal(owners, plan.count); /* every sample has one */
        disband(crew);
    }
}

static void wrong_exchanges_are_refused(void **state)
{
    (void)state;
    struct crew *crew = train(&usual);
    struct rank *r = &crew->rank[0];
    const convt_exchange wrong[] = {{.rank = 2, .size = 2},
                                    {.rank = -1, .size = 2},
                                    {.rank = 0, .size = 2, .send = fake_send},
                                    {.size = -1}};
    const char *const fields[] = {"exchange.rank", "exchange.rank", "exchange", "exchange.rank"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        convt_trainer *trainer;
        r->cfg.exchange = wrong[i];
        assert_refused(convt_trainer_create(&trainer, &r->cfg, &r->error), &r->error,
                       CONVT_INVALID_ARGUMENT, fields[i], "");
    }
    disband(crew);
}

static void several_ranks_evaluate_whole_batches(void **state)
{
    (void)state;
    struct plan plan = usual;
    plan.ranks = 2;
    struct crew *crew = train(&plan);
    convt_loss_value value;
    assert_refused(convt_evaluate(crew->rank[1].trainer, 5, 12, &value),
                   convt_trainer_error(crew->rank[1].trainer), CONVT_INVALID_ARGUMENT, "first",
                   "5");
    disband(crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_is_summed_once),
        cmocka_unit_test(any_number_of_ranks_gives_the_bits_of_one),
        cmocka_unit_test(ranks_may_have_several_threads),
        cmocka_unit_test(idle_ranks_take_part_in_the_step),
        cmocka_unit_test(the_error_of_one_rank_is_that_of_all),
        cmocka_unit_test(nan_on_one_rank_stops_all_before_the_step),
        cmocka_unit_test(any_rank_stops_all_behind_the_next_batch),
        cmocka_unit_test(codes_come_to_rank_0_when_it_asks),
        cmocka_unit_test(a_lost_exchange_ends_every_rank),
        cmocka_unit_test(bytes_of_a_step_are_those_of_the_formula),
        cmocka_unit_test(own_samples_are_counted_in_their_order),
        cmocka_unit_test(wrong_exchanges_are_refused),
        cmocka_unit_test(several_ranks_evaluate_whole_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
