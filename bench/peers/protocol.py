"""What the Python peers share: a line of JSON with the version, then for each request on stdin a line of JSON on stdout.

A request is a line of a shapes file; the answer has the milliseconds of each pass in each format:

    {"fwd": {"nhwc": 1.25, "nchw": 1.5}, "dx": {...}, "dw": {...}}

or `step BATCH`, where a peer knows that: {"step": {"nhwc": 50.5}}, one training step of the default decoder.
"""

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass

BLOCK_SECONDS, BLOCKS, LONG_CALL = 15e-3, 3, 0.25
GIVE_UP = 1  # seconds: who is as slow as this is not asked again, in no other format either


@dataclass
class Axis:
    """Keras' output size and crops of one axis."""

    size: int
    kernel: int
    stride: int
    same: bool
    dilation: int

    def __post_init__(self):
        reach = (self.kernel - 1) * self.dilation + 1
        more = max(reach - self.stride, 0)
        self.out = self.size * self.stride + (0 if self.same else more)
        self.cut = (self.size - 1) * self.stride + reach - self.out  # less than 0: zeros are added
        self.begin = more // 2 if self.same else 0
        self.end = self.cut - self.begin

    def symmetric(self):
        """PyTorch's padding and output_padding with the same output size."""
        padding = max(0, -(-self.cut // 2))
        extra = 2 * padding - self.cut
        if extra >= max(self.stride, self.dilation):
            raise ValueError(f"no symmetric padding cuts {self.cut}")
        return padding, extra


class Shape:
    """A line of a shapes file: name n ih iw ic oc kh kw sh sw same dil."""

    def __init__(self, line):
        self.name, *numbers = line.split()
        self.n, ih, iw, self.ic, self.oc, kh, kw, sh, sw, same, dil = map(int, numbers)
        self.axes = [Axis(ih, kh, sh, same == 1, dil), Axis(iw, kw, sw, same == 1, dil)]
        self.kernel, self.strides, self.same, self.dilation = (kh, kw), (sh, sw), same == 1, dil
        self.flops = 2.0 * self.n * ih * iw * self.ic * self.oc * kh * kw

    def x(self, channels_last):
        return self._tensor(self.ic, [a.size for a in self.axes], channels_last)

    def y(self, channels_last):
        return self._tensor(self.oc, [a.out for a in self.axes], channels_last)

    def _tensor(self, channels, sizes, channels_last):
        return (self.n, *sizes, channels) if channels_last else (self.n, channels, *sizes)


def timed(run):
    """Milliseconds: the median of a few blocks of calls; a call that takes long counts by itself."""

    def block(calls):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls

    seconds = block(1)
    if seconds < GIVE_UP:
        seconds = block(1)  # now it has its memory
    if seconds < LONG_CALL:
        calls = 1 + int(BLOCK_SECONDS / seconds)
        seconds = statistics.median(block(calls) for _ in range(BLOCKS))
    return seconds * 1e3


def serve(version, measure_shape, measure_step=None):
    """measure_shape(shape) yields (pass, format, run), with everything compiled; measure_step(batch) the same. What raises
    is left out."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    print(json.dumps({"version": version}), file=answers, flush=True)
    cache = {}
    for line in sys.stdin:
        if line not in cache:
            cache = {line: prepare(line, measure_shape, measure_step)}
        answer = {}
        for name, fmt, run in cache[line]:
            if max(answer.get(name, {}).values(), default=0) > GIVE_UP * 1e3:
                continue
            try:
                answer.setdefault(name, {})[fmt] = timed(run)
            except Exception as error:  # a pass that a peer does not have
                print(f"{line.split()[0]} {name} {fmt}: {str(error)[:300]}", file=sys.stderr)
        print(json.dumps(answer), file=answers, flush=True)


def prepare(line, measure_shape, measure_step):
    words = line.split()
    prepared = []
    try:
        made = measure_step(int(words[1])) if words[0] == "step" else measure_shape(Shape(line))
        prepared.extend(made)
    except Exception as error:
        print(f"{words[0]}: {str(error)[:300]}", file=sys.stderr)
    return prepared
