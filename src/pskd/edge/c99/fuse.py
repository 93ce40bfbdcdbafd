"""Steps that only scale, shift, add to or clamp the output of a convolution become part of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from pskd.edge.c99.graph import Conv, Step


def fuse(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Merge each channel-wise 1 x 1 convolution into the convolution that only it reads."""
    steps = list(steps)
    readers = Counter(value.buffer for step in steps for value in step.inputs)
    done: dict[int, Step] = {}  # by the buffer written, in order
    for step in steps:
        before = done.get(step.inputs[0].buffer) if step.inputs else None
        if (
            isinstance(step, Conv)
            and isinstance(before, Conv)
            and readers[before.output.buffer] == 1
            and _fits(before, step)
        ):
            del done[before.output.buffer]
            step = _merge(before, step)
        done[step.output.buffer] = step
    return tuple(done.values())


def _fits(first: Conv, then: Conv) -> bool:
    """Whether `then` is a scale and shift of channels that can be done within `first`."""
    if not then.depthwise or then.kernel != (1, 1) or then.stride != (1, 1) or first.relu:
        return False
    identity = bool(np.all(then.weights == 1) and np.all(then.bias == 0))
    return first.shortcut is None or (identity and then.shortcut is None)


def _merge(first: Conv, then: Conv) -> Conv:
    scale = then.weights.reshape(-1)
    return replace(
        first,
        output=then.output,
        weights=first.weights * scale[:, None, None, None],
        bias=first.bias * scale + then.bias,
        shortcut=then.shortcut or first.shortcut,
        relu=then.relu,
    )
