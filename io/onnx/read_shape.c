/* Operators that move elements, as Keras layers: shapes, orders of axes, borders, repetition. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "read.h"

enum { MOST_SIZE = 1 << 30 };

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Elements of a sample; 0: not known. */
static int64_t elements_of(const int64_t size[], int rank)
{
    int64_t count = 1;
    for (int i = 1; i < rank; i++) {
        if (size[i] == 0 || count > INT64_MAX / size[i]) return 0;
        count *= size[i];
    }
    return count;
}

/* The one size of the new shape that is not known, if the others say it. */
static void complete(const convti_onnx_reader *r, int64_t size[], int rank)
{
    const int64_t all = elements_of(r->size, r->rank);
    int64_t others = 1;
    int unknown = 0, at = 0;
    for (int i = 1; i < rank; i++) {
        if (size[i] == 0) {
            unknown++;
            at = i;
        } else if (others <= MOST_SIZE)
            others *= size[i];
    }
    if (unknown == 1 && all > 0 && all % others == 0 && all / others <= MOST_SIZE)
        size[at] = all / others;
}

/* The value in another shape, with the batch in front. Of several one behind the other the last
 * counts. */
static convt_status reshape(convti_onnx_reader *r, int64_t size[4], int rank)
{
    int unknown = 0;
    json_t *target = json_array();
    complete(r, size, rank);
    for (int i = 1; i < rank; i++) {
        unknown += size[i] == 0;
        target = convti_json_and(target, json_integer(size[i] > 0 ? size[i] : -1));
    }
    const int64_t all = elements_of(r->size, r->rank), now = elements_of(size, rank);
    if (unknown > 1 || r->turned || (all && now && all != now)) {
        json_decref(target);
        return convti_onnx_refuse_node(
            r, unknown > 1 ? "has a shape of which too little is known"
               : r->turned ? "works on another order of axes than the nodes before"
                           : "has a shape of another number of elements than its input");
    }
    r->rank = rank;
    memcpy(r->size, size, (size_t)rank * sizeof *size);
    if (r->last_class && strcmp(r->last_class, "Reshape") == 0)
        return convti_onnx_say(r, "target_shape", target);
    return convti_onnx_add_layer(r, "Reshape", json_pack("{s:o}", "target_shape", target));
}

/* The first size must be the batch: 0, -1, or the one that the file fixes. */
static bool is_batch(const convti_onnx_reader *r, int64_t size)
{
    return size == CONVTI_ONNX_BATCH || size == 0 || size == -1 || size == r->graph.input.size[0];
}

static convt_status read_reshape(convti_onnx_reader *r)
{
    int64_t shape[8], size[4] = {0};
    int rank;
    convt_status status = convti_onnx_get_integers(r, "shape", 1, shape, &rank);
    if (!status && r->rank < 0) status = convti_onnx_need(r, 2, 0);
    if (status) return status;
    if (rank < 2 || rank > 4 || !is_batch(r, shape[0]))
        return convti_onnx_refuse_node(
            r, "has a shape that does not keep the samples and 1 to 3 axes of each");
    for (int i = 1; i < rank; i++) {
        const bool kept = shape[i] == 0;
        if (shape[i] < -1 || shape[i] > MOST_SIZE ||
            (kept && (i >= r->rank || convti_onnx_integer(r->node, "allowzero", 0) != 0)))
            return convti_onnx_refuse_node(r, "has %lld in its shape", (long long)shape[i]);
        size[i] = kept ? r->size[i] : shape[i] < 0 ? 0 : shape[i];
    }
    return reshape(r, size, rank);
}

/* Keras' own puts channels last before; where the file did so, it is that layer. */
static convt_status read_flatten(convti_onnx_reader *r)
{
    int64_t size[4] = {0};
    if (convti_onnx_integer(r->node, "axis", 1) != 1)
        return convti_onnx_refuse_node(r, "has axis %lld: only 1 keeps the samples",
                                       (long long)convti_onnx_integer(r->node, "axis", 1));
    if (r->rank == 2) return CONVT_OK;
    if (r->turned || (r->format == CHANNELS_FIRST && !r->to_be_flat)) return reshape(r, size, 2);
    size[1] = elements_of(r->size, r->rank);
    r->rank = 2;
    memcpy(r->size, size, sizeof size);
    const char *format = r->to_be_flat ? "channels_first" : "channels_last";
    r->to_be_flat = false;
    return convti_onnx_add_layer(r, "Flatten", json_pack("{s:s}", "data_format", format));
}

/* Axes in an attribute up to opset 12, in an input later; those below 0 count from `rank`. */
static convt_status get_axes(convti_onnx_reader *r, int rank, bool marked[8])
{
    int64_t axes[8];
    int count;
    convt_status status = convti_onnx_get_integers(r, "axes", 1, axes, &count);
    if (status) return status;
    memset(marked, 0, 8 * sizeof *marked);
    if (count < 1) return convti_onnx_refuse_node(r, "names no axes");
    for (int i = 0; i < count; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 1 || axis >= rank || axis > 7 || marked[axis])
            return convti_onnx_refuse_node(r, "has %lld among its axes", (long long)axes[i]);
        marked[axis] = true;
    }
    return CONVT_OK;
}

static convt_status read_squeeze(convti_onnx_reader *r)
{
    bool marked[8];
    int64_t size[4] = {0};
    int rank = 0;
    convt_status status = get_axes(r, r->rank, marked);
    if (status) return status;
    for (int i = 0; i < r->rank; i++) {
        if (marked[i] && r->size[i] != 1)
            return convti_onnx_refuse_node(r, "leaves out axis %d, whose size is not 1", i);
        if (!marked[i]) size[rank++] = r->size[i];
    }
    return reshape(r, size, rank);
}

static convt_status read_unsqueeze(convti_onnx_reader *r)
{
    bool marked[8];
    int64_t size[4] = {0};
    int rank = 0, from = 0, count = 0;
    int64_t axes[8];
    convt_status status = convti_onnx_get_integers(r, "axes", 1, axes, &count);
    if (!status && r->rank < 0) status = convti_onnx_need(r, 2, 0);
    const int wanted = r->rank + count;
    if (!status && wanted > 4) status = convti_onnx_refuse_node(r, "leads to more than 4 axes");
    if (!status) status = get_axes(r, wanted, marked);
    if (status) return status;
    for (; rank < wanted; rank++) size[rank] = marked[rank] ? 1 : r->size[from++];
    return reshape(r, size, rank);
}

/* ---- the order of axes ----------------------------------------------------------------------- */

static void permute(convti_onnx_reader *r, const int64_t perm[4])
{
    int64_t size[4];
    for (int i = 0; i < 4; i++) size[i] = r->size[perm[i]];
    memcpy(r->size, size, sizeof size);
}

static convt_status read_transpose(convti_onnx_reader *r)
{
    static const int64_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
    int64_t perm[8];
    int count;
    convt_status status = convti_onnx_get_integers(r, "perm", 0, perm, &count);
    if (!status) status = convti_onnx_need(r, 4, 0);
    if (status) return status;
    const bool first = count == 4 && memcmp(perm, to_first, sizeof to_first) == 0,
               last = count == 4 && memcmp(perm, to_last, sizeof to_last) == 0;
    if (first && r->format != CHANNELS_FIRST && !r->turned) {
        r->format = CHANNELS_LAST;
        r->turned = true;
    } else if (last && r->turned)
        r->turned = false;
    else if (last && r->format != CHANNELS_LAST) {
        r->format = CHANNELS_FIRST;
        r->to_be_flat = true;
    } else
        return convti_onnx_refuse_node(r, "reorders axes as no Keras layer here does");
    permute(r, perm);
    return CONVT_OK;
}

/* ---- borders --------------------------------------------------------------------------------- */

/* [[top, bottom], [left, right]] under a key of a layer's config. */
static convt_status add_sides(convti_onnx_reader *r, const char *class_name, const char *key,
                              const int64_t begin[2], const int64_t end[2])
{
    for (int i = 0; i < 2; i++) {
        const int64_t grown = strcmp(key, "padding") == 0 ? begin[i] + end[i] : -begin[i] - end[i];
        if (r->size[2 + i] == 0) continue;
        r->size[2 + i] += grown;
        if (r->size[2 + i] < 1 || r->size[2 + i] > MOST_SIZE)
            return convti_onnx_refuse_node(r, "leaves no size that can be");
    }
    return convti_onnx_add_layer(r, class_name,
                                 json_pack("{s:[[I,I],[I,I]], s:s}", key, (json_int_t)begin[0],
                                           (json_int_t)end[0], (json_int_t)begin[1],
                                           (json_int_t)end[1], "data_format",
                                           convti_onnx_data_format(r)));
}

static convt_status check_pad(convti_onnx_reader *r)
{
    const convti_wire mode = convti_onnx_string(r->node, "mode");
    double value = convti_onnx_float(r->node, "value", 0);
    if (convti_onnx_has_input(r, 2)) {
        const convti_onnx_tensor *tensor;
        convt_status status = convti_onnx_weight_input(r, 2, "value", 0, &tensor);
        if (status) return status;
        if (convti_onnx_tensor_reals(tensor, &value, 1) != 1) value = HUGE_VAL;
    }
    if (value < 0 || value > 0 || (convti_wire_size(mode) && !convti_wire_is(mode, "constant")))
        return convti_onnx_refuse_node(r, "pads with something else than zeros");
    if (convti_onnx_has_input(r, 3))
        return convti_onnx_refuse_node(r, "names axes: pads of all four are read");
    return CONVT_OK;
}

static convt_status read_pad(convti_onnx_reader *r)
{
    int64_t pads[8];
    int count;
    convt_status status = check_pad(r);
    if (!status) status = convti_onnx_get_integers(r, "pads", 1, pads, &count);
    if (!status) status = convti_onnx_need_image(r, 0);
    if (status) return status;
    for (int i = 0; i < count && count == 8; i++) {
        if (pads[i] < 0 || pads[i] > MOST_SIZE || (i % 4 < 2 && pads[i] != 0)) count = 0;
    }
    if (count != 8)
        return convti_onnx_refuse_node(r, "pads other sides than those of an image, or below 0");
    return add_sides(r, "ZeroPadding2D", "padding", pads + 2, pads + 6);
}

/* Slice as Cropping2D writes it: whole steps, some rows from either end. */
static bool find_crops(int64_t given[4][8], const int counts[4], int64_t begin[2], int64_t end[2])
{
    const int count = counts[0];
    if (count < 1 || counts[1] != count || (counts[2] >= 0 && counts[2] != count) ||
        (counts[3] >= 0 && counts[3] != count))
        return false;
    for (int i = 0; i < count; i++) {
        const int64_t axis = counts[2] < 0     ? i
                             : given[2][i] < 0 ? given[2][i] + 4
                                               : given[2][i],
                      start = given[0][i], stop = given[1][i];
        const bool to_the_end = stop >= INT32_MAX;
        if (axis < 2 || axis > 3 || start < 0 || start > MOST_SIZE || (stop >= 0 && !to_the_end) ||
            stop < -MOST_SIZE || (counts[3] >= 0 && given[3][i] != 1))
            return false;
        begin[axis - 2] = start;
        end[axis - 2] = to_the_end ? 0 : -stop;
    }
    return true;
}

static convt_status read_slice(convti_onnx_reader *r)
{
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    int64_t given[4][8], begin[2] = {0, 0}, end[2] = {0, 0};
    int counts[4];
    convt_status status = convti_onnx_need_image(r, 0);
    for (int i = 0; i < 4 && !status; i++)
        status = convti_onnx_get_integers(r, names[i], 1 + i, given[i], &counts[i]);
    if (status) return status;
    if (!find_crops(given, counts, begin, end))
        return convti_onnx_refuse_node(r, "cuts something else than rows from either end");
    return add_sides(r, "Cropping2D", "cropping", begin, end);
}

/* ---- repetition ------------------------------------------------------------------------------ */

/* Whether every output takes the input that it lies in. */
static bool repeats(const convti_onnx_node *node)
{
    static const char *const pairs[][2] = {
        {"asymmetric", "floor"},
        {"half_pixel", "round_prefer_floor"},
        {"half_pixel", "round_prefer_ceil"},
        {"pytorch_half_pixel", "round_prefer_floor"},
        {"tf_half_pixel_for_nn", "floor"},
    };
    const bool old = convti_wire_is(node->op, "Upsample") || node->inputs == 2;
    const convti_wire mode = convti_onnx_string(node, "mode"),
                      transform = convti_onnx_string(node, "coordinate_transformation_mode"),
                      nearest = convti_onnx_string(node, "nearest_mode");
    if (convti_wire_size(mode) && !convti_wire_is(mode, "nearest")) return false;
    if (old) return true;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const bool same_transform = transform.at ? convti_wire_is(transform, pairs[i][0]) : i == 1,
                   same_nearest = nearest.at ? convti_wire_is(nearest, pairs[i][1])
                                             : i == 1 || i == 3;
        if (same_transform && same_nearest) return true;
    }
    return false;
}

/* Factors of all four axes: scales in an attribute or an input, or sizes. */
static convt_status get_scales(convti_onnx_reader *r, double scales[4])
{
    const int input = r->node->inputs > 2 ? 2 : 1;
    int64_t sizes[8];
    int count = convti_onnx_floats(r->node, "scales", scales, 4);
    convt_status status = CONVT_OK;
    if (count < 0 && convti_onnx_has_input(r, 3)) {
        status = convti_onnx_get_integers(r, "sizes", 3, sizes, &count);
        for (int i = 0; i < 4 && count == 4; i++)
            scales[i] = i < 2 ? 1 : r->size[i] > 0 ? (double)sizes[i] / (double)r->size[i] : 0;
    } else if (count < 0) {
        const convti_onnx_tensor *tensor;
        status = convti_onnx_weight_input(r, input, "scales", 1, &tensor);
        if (!status) count = convti_onnx_tensor_reals(tensor, scales, 4);
    }
    if (status || count == 4) return status;
    return convti_onnx_refuse_node(r, "has %d scales where an image has 4", count);
}

static convt_status read_resize(convti_onnx_reader *r)
{
    double scales[4] = {0};
    int64_t factors[4];
    convt_status status = convti_onnx_need_image(r, 0);
    if (!status) status = get_scales(r, scales);
    if (status) return status;
    if (!repeats(r->node))
        return convti_onnx_refuse_node(r, "is not the nearest kind that repeats every pixel");
    for (int i = 0; i < 4; i++) {
        factors[i] = scales[i] >= 1 && scales[i] < 65536 ? (int64_t)scales[i] : 0;
        if (factors[i] == 0 || (double)factors[i] < scales[i] || (i < 2 && factors[i] != 1))
            return convti_onnx_refuse_node(r, "scales axis %d by %g: whole factors are read", i,
                                           scales[i]);
        r->size[i] *= factors[i];
        if (r->size[i] > MOST_SIZE) r->size[i] = 0;
    }
    return convti_onnx_add_layer(r, "UpSampling2D",
                                 json_pack("{s:[I,I], s:s, s:s}", "size", (json_int_t)factors[2],
                                           (json_int_t)factors[3], "interpolation", "nearest",
                                           "data_format", convti_onnx_data_format(r)));
}

const convti_onnx_operator convti_onnx_shapes[] = {
    {"Reshape", read_reshape, "allowzero"},
    {"Flatten", read_flatten, "axis"},
    {"Squeeze", read_squeeze, "axes"},
    {"Unsqueeze", read_unsqueeze, "axes"},
    {"Transpose", read_transpose, "perm"},
    {"Pad", read_pad, "mode pads value"},
    {"Slice", read_slice, "starts ends axes"},
    {"Resize", read_resize,
     "mode coordinate_transformation_mode nearest_mode antialias cubic_coeff_a "
     "exclude_outside extrapolation_value keep_aspect_ratio_policy"},
    {"Upsample", read_resize, "mode scales"},
};
const int convti_onnx_shape_count = (int)(sizeof convti_onnx_shapes / sizeof *convti_onnx_shapes);
