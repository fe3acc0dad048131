/*
 * What a run continues from, as named arrays: <layer>/kernel, <layer>/bias, sgd/velocity/<i>,
 * sgd/average/<i> and sgd/accumulator/<i> over trainable parameters, sgd/iterations, epoch, batch,
 * loss_sum, mse_sum (of the epoch under way), codes.
 */
#include <math.h>
#include <stdio.h>

#include "sgd.h"
#include "trainer.h"

struct listing {
    convt_state *rows;
    int room, count;
};

/* The next row to fill; a scrap one where there is no room. */
static convt_state *next_row(struct listing *list, convt_state *scrap, convt_view values)
{
    convt_state *row = list->count < list->room ? &list->rows[list->count] : scrap;
    row->values = values;
    list->count++;
    return row;
}

static void list_parameters(struct listing *list, const convt_model *model)
{
    for (int i = 0; i < convt_model_layer_count(model); i++) {
        convt_parameter parameters[2];
        convt_state scrap;
        const int count = convt_layer_parameters(convt_model_layer(model, i), parameters);
        for (int p = 0; p < count; p++) {
            convt_state *row = next_row(list, &scrap, parameters[p].value);
            snprintf(row->name, sizeof row->name, "%.63s/%.31s", parameters[p].owner,
                     parameters[p].name);
        }
    }
}

static void list_slots(struct listing *list, const convt_sgd *sgd)
{
    for (int slot = 0; slot < CONVTI_SLOTS; slot++) {
        for (int i = 0; sgd->slot[slot] && i < sgd->count; i++) {
            convt_state scrap;
            convt_view values = sgd->rows[i].value;
            values.data = sgd->slot[slot][i];
            convt_state *row = next_row(list, &scrap, values);
            snprintf(row->name, sizeof row->name, "sgd/%s/%d", convti_slot_name(slot), i);
        }
    }
}

static void list_counters(struct listing *list, convt_trainer *t)
{
    const struct {
        const char *name;
        double *value;
    } counters[] = {
        {"sgd/iterations", &t->cfg.sgd->iterations},
        {"epoch", &t->epochs_done},
        {"batch", &t->batches_done},
        {"loss_sum", &t->loss_sum},
        {"mse_sum", &t->mse_sum},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        convt_state scrap;
        convt_state *row = next_row(list, &scrap, convt_f64(counters[i].value, 1, 1, 1, 1));
        snprintf(row->name, sizeof row->name, "%s", counters[i].name);
    }
}

int convt_trainer_state(convt_trainer *trainer, convt_state rows[], int room)
{
    struct listing list = {rows, room, 0};
    list_parameters(&list, trainer->cfg.model);
    list_slots(&list, trainer->cfg.sgd);
    list_counters(&list, trainer);
    if (trainer->cfg.codes.values.data) {
        convt_state scrap;
        convt_state *row = next_row(&list, &scrap, trainer->cfg.codes.values);
        snprintf(row->name, sizeof row->name, "codes");
    }
    return list.count;
}

/* A counter of a file that was damaged or made by hand must not lead out of the data. */
static double counter(double value, double most)
{
    return value >= 0 && value <= most ? floor(value) : 0; /* NaN too */
}

void convt_trainer_restored(convt_trainer *trainer)
{
    const double most = 9007199254740992.0; /* 2^53: doubles count no further */
    for (int i = 0; i < convt_model_layer_count(trainer->cfg.model); i++)
        convt_layer_touch(convt_model_layer(trainer->cfg.model, i));
    trainer->cfg.sgd->iterations = counter(trainer->cfg.sgd->iterations, most);
    trainer->epochs_done = counter(trainer->epochs_done, most);
    trainer->batches_done = counter(trainer->batches_done, (double)trainer->batches);
}
