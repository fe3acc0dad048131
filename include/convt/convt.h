/*
 * convt: transposed convolution for training small decoders (Keras' Conv2DTranspose) in C11.
 *
 *   y[n,o,f] = act( b[f] + sum over (t,c) of x[n,i,c] * w[t,f,c] )
 *   per axis  o = i*stride + t*dilation - crop
 *
 * A layer is a plan: creation validates the config, infers every shape, chooses kernels and takes
 * one arena of memory. After that nothing allocates and nothing can fail for memory. The life of a
 * layer:
 *
 *     convt_config cfg = { .input = {10, 8, 128}, .max_batch = 4, .filters = 32,
 *                          .kernel_size = {2, 2}, .strides = {2, 2}, .activation = {CONVT_RELU} };
 *     convt_error err;  convt_layer *layer;
 *     if (convt_layer_create(&layer, &cfg, &err)) return fail(err.field, err.message);
 *     convt_forward (layer, x, y);              // y = act(x (*) w + b)
 *     convt_backward(layer, x, y, dy, dx);      // overwrites dx (may be CONVT_NONE), dw, db
 *     convt_layer_destroy(layer);
 *
 * Promises.
 *   Same bits: y, dx, dw, db and losses are bitwise equal for any number of threads. They depend on
 *   the shapes of the call and on the instruction set (CONVT_ISA), never on .threads, .max_batch,
 *   what was called before, or settings of OpenMP (docs/promises.md).
 *   Quiet: the library prints nothing, never aborts, keeps no global state, reads one environment
 *   variable (CONVT_ISA).
 *   Threads: one caller at a time per layer (debug builds refuse a second one); different layers
 *   may be used from different threads. After fork, a child uses layers of one thread.
 *   Views never overlap one another, except that const views may name the same memory. Data lies at
 *   a multiple of its numbers' size.
 */
#ifndef CONVT_CONVT_H
#define CONVT_CONVT_H

#include "view.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CONVT_VERSION "0.1.0"

/* The version of the library that runs, "major.minor.patch". Static storage. */
CONVT_API const char *convt_version(void);

/* ---- configuration: a zero field is the Keras default ---------------------------------------- */

/* A number whose default is not 0, or where None and 0 differ. Written CONVT_SET(0.5). */
typedef struct convt_optional {
    bool set;
    double value;
} convt_optional;

typedef struct convt_hw {
    int64_t h, w;
} convt_hw;

/* output_padding: None, or two sizes. Written CONVT_SET_HW(1, 1). */
typedef struct convt_optional_hw {
    bool set;
    int64_t h, w;
} convt_optional_hw;

/* Rows and columns cut from each side. Written CONVT_SET_SIDES(top, bottom, left, right). */
typedef struct convt_optional_sides {
    bool set;
    int64_t top, bottom, left, right;
} convt_optional_sides;

#ifdef __cplusplus
#define CONVT_SET(v) (convt_optional{true, (double)(v)})
#define CONVT_SET_HW(h, w) (convt_optional_hw{true, (h), (w)})
#define CONVT_SET_SIDES(t, b, l, r) (convt_optional_sides{true, (t), (b), (l), (r)})
#else
#define CONVT_SET(v) ((convt_optional){true, (double)(v)})
#define CONVT_SET_HW(h, w) ((convt_optional_hw){true, (h), (w)})
#define CONVT_SET_SIDES(t, b, l, r) ((convt_optional_sides){true, (t), (b), (l), (r)})
#endif

typedef struct convt_shape {
    int64_t h, w, c;
} convt_shape;

typedef enum convt_padding { CONVT_VALID = 0, CONVT_SAME = 1 } convt_padding;
typedef enum convt_data_format {
    CONVT_CHANNELS_LAST = 0,
    CONVT_CHANNELS_FIRST = 1
} convt_data_format;

/*
 * How the kernel lies as a parameter, which is what set calls, initializers, regularizers,
 * constraints, optimizers, files and gradient checks see. w is that of the formula above.
 *   TRANSPOSED  (kh, kw, filters, in)   w[th, tw, f, c] = kernel[th, tw, f, c]
 *   CONV        (kh, kw, in, filters)   w[th, tw, f, c] = kernel[kh-1-th, kw-1-tw, c, f]
 *   DENSE       (in, filters), rank 2   w[0, 0, f, c]   = kernel[c, f]; kernel_size must be 1, 1
 * With CONV a layer of strides 1 is Keras' Conv2D, with DENSE one of a 1 x 1 input is Dense.
 */
typedef enum convt_kernel_order {
    CONVT_KERNEL_TRANSPOSED = 0,
    CONVT_KERNEL_CONV = 1,
    CONVT_KERNEL_DENSE = 2
} convt_kernel_order;

/* Activations: rows of activations.def, then CONVT_CUSTOM_ACTIVATION. */
typedef enum convt_activation_kind {
#define ACTIVATION(name, number, ...) CONVT_##name = number,
#define AXIS_ACTIVATION(name, number, ...) CONVT_##name = number,
#include "activations.def"
    CONVT_CUSTOM_ACTIVATION = 1000
} convt_activation_kind;

/*
 * A custom activation works on contiguous blocks of `count` elements of the layer's dtype (float or
 * double), from several threads at once. forward: y = f(z), z and y may be the same memory.
 * backward: dz = dy * f'(z), z and y both given, dz and dy may be the same memory.
 */
typedef struct convt_activation_callbacks {
    void (*forward)(void *context, convt_dtype dtype, int64_t count, const void *z, void *y);
    void (*backward)(void *context, convt_dtype dtype, int64_t count, const void *z, const void *y,
                     const void *dy, void *dz);
    void *context;
} convt_activation_callbacks;

/*
 * An activation and its arguments, by Keras' names; which row takes which, and their defaults,
 * stand in activations.def: relu negative_slope 0, max_value infinite, threshold 0; leaky_relu
 * negative_slope 0.2; elu and celu alpha 1; squareplus b 4; soft_shrink and hard_shrink threshold
 * 0.5; gelu approximate 0 (1: the tanh form); threshold needs threshold and default_value.
 * softmax, log_softmax, sparsemax and glu work along the last axis of memory, as Keras applies
 * them: channels, or the width where channels come first; `axis` may say so, -1 or 3. glu halves
 * that axis, which must be even.
 */
typedef struct convt_activation {
    convt_activation_kind kind;
#define ACTIVATION_ARGUMENT(name, range) convt_optional name;
#include "activations.def"
    convt_activation_callbacks custom;
} convt_activation;

/* Initializers: 0 is glorot_uniform for a kernel and zeros for a bias. */
typedef enum convt_initializer_kind {
    CONVT_DEFAULT_INITIALIZER = 0,
#define INITIALIZER(name, number, ...) CONVT_##name = number,
#include "initializers.def"
#undef INITIALIZER
    CONVT_CUSTOM_INITIALIZER = 1000
} convt_initializer_kind;

typedef enum convt_fan_mode {
    CONVT_FAN_IN = 0,
    CONVT_FAN_OUT = 1,
    CONVT_FAN_AVG = 2
} convt_fan_mode;
typedef enum convt_distribution {
    CONVT_TRUNCATED_NORMAL_DISTRIBUTION = 0,
    CONVT_UNTRUNCATED_NORMAL_DISTRIBUTION = 1,
    CONVT_UNIFORM_DISTRIBUTION = 2
} convt_distribution;

/* Axes of a tensor: negative ones count from the end. Kernels have rank 4 (CONVT_KERNEL_DENSE: 2),
 * biases rank 1. count 0 is the default of the field, CONVT_NO_AXES an empty list (every element by
 * itself), CONVT_ALL_AXES None (the whole tensor; of constraints). */
typedef struct convt_axes {
    int count;
    int axis[4];
} convt_axes;
enum { CONVT_NO_AXES = -1, CONVT_ALL_AXES = -2 };

/*
 * Fans are Keras', of the kernel's shape as it is stored: taps times the last axis but one, and
 * taps times the last one; for (kh, kw, filters, in) fan_in = kh*kw*filters, fan_out = kh*kw*in.
 * Where input_axes and output_axes are both given, the products over those axes. `seed` unset:
 * derived from convt_config.seed, differently for kernel and bias. The streams are this library's
 * own (no backend's values are copied). orthogonal is for kernels alone: the kernel as a matrix
 * whose columns are the last axis has orthonormal columns, or rows where it has fewer of them.
 * identity is for rank 2 alone.
 */
typedef struct convt_initializer {
    convt_initializer_kind kind;
    convt_optional seed;
    convt_optional value;               /* constant: 0 */
    convt_optional mean, stddev;        /* random_normal, truncated_normal: 0, 0.05 */
    convt_optional minval, maxval;      /* random_uniform: -0.05, 0.05 */
    convt_optional scale;               /* variance_scaling: 1 */
    convt_optional gain;                /* orthogonal, identity: 1 */
    convt_axes input_axes, output_axes; /* of all that scale by fans: None */
    convt_fan_mode mode;
    convt_distribution distribution;
    void (*fill)(void *context,
                 convt_view parameter); /* custom: fills the whole tensor, on one thread */
    void *context;
} convt_initializer;

typedef enum convt_regularizer_kind {
    CONVT_NO_REGULARIZER = 0,
#define REGULARIZER(name, number, ...) CONVT_##name = number,
#include "regularizers.def"
#undef REGULARIZER
    CONVT_CUSTOM_REGULARIZER = 1000
} convt_regularizer_kind;

/* custom: `loss` returns the value; `gradient` adds scale * d loss / d w to dw. Whole tensor, one
 * thread. */
typedef struct convt_regularizer {
    convt_regularizer_kind kind;
    convt_optional l1, l2;
    double (*loss)(void *context, convt_const_view w);
    void (*gradient)(void *context, convt_const_view w, double scale, convt_view dw);
    void *context;
} convt_regularizer;

typedef enum convt_constraint_kind {
    CONVT_NO_CONSTRAINT = 0,
#define CONSTRAINT(name, number, ...) CONVT_##name = number,
#include "constraints.def"
#undef CONSTRAINT
    CONVT_CUSTOM_CONSTRAINT = 1000
} convt_constraint_kind;

/* Defaults: axis 0 (count 0), Keras' own; max_norm max_value 2; min_max_norm min_value 0, max_value
 * 1, rate 1. An infinite bound (Keras' None) does not bind. custom: `apply` changes w, on one
 * thread. */
typedef struct convt_constraint {
    convt_constraint_kind kind;
    convt_axes axis;
    bool axis_list; /* JSON says [a] for one axis, not a; the meaning is the same */
    convt_optional max_value, min_value, rate;
    void (*apply)(void *context, convt_view w);
    void *context;
} convt_constraint;

/* Where a layer, model or optimizer takes its one block of memory. All zero: malloc and free. alloc
 * must return memory aligned as malloc's; free gets the size that was asked for. */
typedef struct convt_allocator {
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *memory, size_t size);
    void *context;
} convt_allocator;

/* Required: input, filters, kernel_size. Everything else may stay zero. Nothing the config points
 * to is kept, except callbacks and their contexts, which must outlive the layer. */
typedef struct convt_config {
    const char *name;  /* copied; at most 63 bytes; NULL: "conv2d_transpose" */
    convt_shape input; /* height, width, channels of x */
    int64_t max_batch; /* samples per call, default 1; a cap that sizes the arena */
    int64_t filters;
    convt_hw kernel_size;
    convt_hw strides; /* default 1, 1 */
    convt_padding padding;
    convt_optional_hw output_padding;
    convt_data_format data_format;
    convt_hw dilation_rate; /* default 1, 1 */
    convt_activation activation;
    bool no_bias; /* use_bias=False */
    convt_initializer kernel_initializer, bias_initializer;
    convt_regularizer kernel_regularizer, bias_regularizer, activity_regularizer;
    convt_constraint kernel_constraint, bias_constraint;
    bool frozen; /* trainable=False: no weight regularization, no update */

    /*
     * Beyond Keras, off by default (docs/mapping.md has PyTorch's and ONNX' arguments):
     * strides_with_dilation allows both above 1 in one layer. explicit_padding takes the place of
     * padding, which must stay CONVT_VALID: what is cut from the natural output, 0 or more each,
     *     out = (in - 1) * stride + (kernel - 1) * dilation + 1 - begin - end + output_padding
     * where output_padding (None: 0) must be less than stride or dilation, whichever is larger.
     */
    bool strides_with_dilation;
    convt_optional_sides explicit_padding;
    convt_kernel_order kernel_order;
    bool fixed; /* kernel and bias are constants: no parameters, no gradients, no regularizer, no
                   constraint; their values are the initializers', or what set calls put there */

    convt_dtype dtype;
    bool inference; /* forward only: no gradient buffers; backward is refused */
    int threads;    /* 0: the OpenMP maximum at creation */
    uint64_t seed;  /* of the initializers that have no seed of their own */
    convt_allocator allocator;
} convt_config;

/* ---- the layer ------------------------------------------------------------------------------- */

typedef struct convt_layer convt_layer;

/*
 * Validates cfg, plans, allocates one arena and initializes the parameters. On failure *layer is
 * NULL and *err (may be NULL) names the field and its value. Errors: CONVT_INVALID_ARGUMENT,
 * CONVT_TOO_LARGE, CONVT_NO_MEMORY (the message says how many bytes), CONVT_NO_ISA.
 */
CONVT_API convt_status convt_layer_create(convt_layer **layer, const convt_config *cfg,
                                          convt_error *err);

/* Releases the arena. NULL is accepted. */
CONVT_API void convt_layer_destroy(convt_layer *layer);

/*
 * Bytes that convt_layer_create(cfg) asks of the allocator, in its one call; 0 where it would
 * refuse cfg, and *err (may be NULL) says why. Allocates nothing. At most: parameters and
 * gradients, packed weights for forward and dx, one tensor like z of a full batch, 2 MiB for
 * each thread, and for training with a kernel_order other than TRANSPOSED one more tensor like the
 * kernel, of which dw is turned around. Where .fixed there are no gradients, and no such tensor.
 * More only with over 32768 filters, with an activation along rows of over 32768 elements, and
 * where, with channels first, the taps of one output reach over 32768 pixels of x.
 */
CONVT_API size_t convt_layer_memory(const convt_config *cfg, convt_error *err);

/* The shape of y for a config, without creating a layer. */
CONVT_API convt_status convt_output_shape(const convt_config *cfg, convt_shape *output,
                                          convt_error *err);

/*
 * Makes room for another spatial size (input channels stay) and another max_batch; parameters keep
 * their values. Within the room there is, this is cheap and does not allocate; beyond it takes a
 * new arena. On failure the layer is as before. Pointers from convt_layer_parameters are void
 * afterwards.
 */
CONVT_API convt_status convt_layer_reshape(convt_layer *layer, int64_t max_batch, int64_t h,
                                           int64_t w);

/* The last error of this layer; valid until its next call. */
CONVT_API const convt_error *convt_layer_error(const convt_layer *layer);

/* The config as it was understood: defaults filled in, `name` pointing into the layer. Lives as
 * long as the layer. */
CONVT_API const convt_config *convt_layer_config(const convt_layer *layer);

/* The shape of y for the present input shape. */
CONVT_API convt_shape convt_layer_output(const convt_layer *layer);

/* The instruction set that was chosen ("avx512", "avx2", "base", ...). Static storage. */
CONVT_API const char *convt_layer_isa(const convt_layer *layer);

/* Bytes of the arena the layer holds. */
CONVT_API size_t convt_layer_bytes(const convt_layer *layer);

/*
 * How the layer computes a full batch, in words: formulation, tiles, packing, work items, memory. A line
 * for each subject, "forward: ...". Writes as snprintf does: at most size bytes with the 0 behind the
 * text, which may be NULL where size is 0; returns the length of the whole text. The words are for
 * people and change between versions.
 */
CONVT_API size_t convt_layer_explain(const convt_layer *layer, char *text, size_t size);

/*
 * y = act(x (*) w + b). x is (n, input.h, input.w, input.c) with n <= max_batch, y is (n, output).
 * Overwrites y. n = 0 is legal. Errors: CONVT_INVALID_SHAPE, naming x or y.
 */
CONVT_API convt_status convt_forward(convt_layer *layer, convt_const_view x, convt_view y);

/* The same, and keeps the pre-activation in z (the shape of y; under glu twice as long in the last
 * axis of memory) for convt_backward_data of an activation that needs it. z may be CONVT_NONE, and
 * may be the same memory as y where the activation is linear. */
CONVT_API convt_status convt_forward_z(convt_layer *layer, convt_const_view x, convt_view z,
                                       convt_view y);

/*
 * Gradients of  sum(dy * y) + convt_layer_loss(y)  after convt_forward(x) gave y: overwrites dx
 * (CONVT_NONE: not wanted), and the layer's dw and db. Stateless: any number of times, after any
 * other call, the same bits.
 */
CONVT_API convt_status convt_backward(convt_layer *layer, convt_const_view x, convt_const_view y,
                                      convt_const_view dy, convt_view dx);

/*
 * The two halves of convt_backward, for callers that cut a batch into chunks. The data half
 * overwrites dx, dw, db with the gradients of sum(dy*y) + activity regularization / divisor, where
 * divisor is the size of the whole batch; z is what convt_forward_z kept, or CONVT_NONE (then it is
 * recomputed where the activation needs it). x may be CONVT_NONE where dx alone is wanted, or the layer
 * is .fixed, and x is not needed for z: dw and db then keep their values. The weight half adds the
 * gradients of kernel and bias regularization to dw and db.
 */
CONVT_API convt_status convt_backward_data(convt_layer *layer, convt_const_view x,
                                           convt_const_view z, convt_const_view y,
                                           convt_const_view dy, convt_view dx, double divisor);
CONVT_API convt_status convt_backward_weights(convt_layer *layer);

/*
 * Regularization losses. convt_layer_loss: kernel + bias + activity(y)/n, what Keras adds to the
 * loss. Its two parts: the weight terms, and activity(y) / divisor (0 where divisor is 0).
 */
CONVT_API convt_status convt_layer_loss(convt_layer *layer, convt_const_view y, double *loss);
CONVT_API double convt_layer_weight_loss(convt_layer *layer);
CONVT_API convt_status convt_layer_activity_loss(convt_layer *layer, convt_const_view y,
                                                 double divisor, double *loss);

/* ---- parameters ------------------------------------------------------------------------------ */

/*
 * One trainable tensor, as an optimizer sees it. value and gradient point into the layer. Whoever
 * writes value increments *version afterwards (convt_layer_touch does it for both), or packed
 * copies of the weights go stale.
 */
typedef struct convt_parameter {
    const char *owner;   /* the layer's name */
    const char *name;    /* "kernel" or "bias" */
    convt_view value;    /* kernel as kernel_order says, (1, 1, in, filters) where that is DENSE;
                            bias (1, 1, 1, filters) */
    convt_view gradient; /* same shape; data is NULL where .inference */
    int rank;            /* 4, 2 or 1: what constraint axes count over */
    bool trainable;
    const convt_constraint *constraint; /* NULL: none */
    uint64_t *version;                  /* NULL where nobody caches */
} convt_parameter;

/* Fills rows[0] with the kernel and rows[1] with the bias, returns how many there are (1 or 2; 0
 * where .fixed). Valid until reshape or destroy. */
CONVT_API int convt_layer_parameters(convt_layer *layer, convt_parameter rows[2]);

/* Copies values in, of the shapes of convt_parameter, also where .fixed. bias is refused where
 * there is none. Errors: CONVT_INVALID_SHAPE. */
CONVT_API convt_status convt_layer_set_kernel(convt_layer *layer, convt_const_view kernel);
CONVT_API convt_status convt_layer_set_bias(convt_layer *layer, convt_const_view bias);

/* Says that parameters were written through the pointers of convt_layer_parameters. */
CONVT_API void convt_layer_touch(convt_layer *layer);

/* w = constraint(w) for any parameter row; what the optimizer calls after every update. NULL
 * constraint: nothing. */
CONVT_API void convt_constraint_apply(const convt_parameter *parameter);

#ifdef __cplusplus
}
#endif
#endif
