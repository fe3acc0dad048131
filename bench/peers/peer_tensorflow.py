"""TensorFlow: the transposed convolution that Keras calls, and its gradients, as graphs. See protocol.py."""

import os

import tensorflow as tf

from protocol import serve


def measure_shape(s):
    x, dy = (tf.random.uniform(t, -0.5, 0.5) for t in (s.x(True), s.y(True)))
    w, b = tf.random.uniform((*s.kernel, s.oc, s.ic), -0.5, 0.5), tf.zeros(s.oc)

    def layer(x, w, b):
        y = tf.nn.conv2d_transpose(x, w, s.y(True), s.strides, "SAME" if s.same else "VALID", dilations=s.dilation)
        return tf.nn.bias_add(y, b)

    def gradient(*of):
        with tf.GradientTape() as tape:
            tape.watch((x, w, b))
            y = layer(x, w, b)
        return tape.gradient(y, of, dy)

    passes = {"fwd": lambda: layer(x, w, b), "dx": lambda: gradient(x), "dw": lambda: gradient(w, b)}
    for name, function in passes.items():
        yield name, "nhwc", tf.function(function, autograph=False).get_concrete_function()


threads = int(os.environ["OMP_NUM_THREADS"])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
serve(tf.__version__, measure_shape)
