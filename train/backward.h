/* The data half of backward, as the trainer sees it. */
#ifndef CONVT_BACKWARD_H
#define CONVT_BACKWARD_H

#include "convt/train.h"

/* Called when dw and db of a layer are final, the last layer first; NULL: nobody asks. */
typedef void convti_layer_done(void *context, int layer);

convt_status convti_model_backward_data(convt_model *model, convt_const_view x, convt_const_view dy,
                                        convt_view dx, double divisor, convti_layer_done *done,
                                        void *context);

#endif
