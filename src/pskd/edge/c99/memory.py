"""Where each value lies in the workspace: fixed before the C is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pskd.edge.c99.graph import Step


class Arena:
    """Offsets of buffers in one array, in elements.

    Buffers that live at the same time do not overlap. The largest are placed first, each at the
    lowest place that is free while it lives.

    Args:
        steps: All steps, in their order.
        buffers: Those that lie in this array.

    Attributes:
        offsets: By buffer.
        size: Of the array.
    """

    def __init__(self, steps: Sequence[Step], buffers: Iterable[int]) -> None:
        self.offsets: dict[int, int] = {}
        lives, sizes = _lives(steps)
        for buffer in sorted(buffers, key=lambda b: (-sizes[b], b)):
            born, dies = lives[buffer]
            taken = sorted(
                (offset, offset + sizes[other])
                for other, offset in self.offsets.items()
                if lives[other][0] <= dies and born <= lives[other][1]
            )
            place = 0
            for begin, end in taken:
                if place + sizes[buffer] <= begin:
                    break
                place = max(place, end)
            self.offsets[buffer] = place
        self.size = max((at + sizes[b] for b, at in self.offsets.items()), default=0)


def _lives(steps: Sequence[Step]) -> tuple[dict[int, tuple[int, int]], dict[int, int]]:
    """The first and the last step that each buffer is needed in, and its elements."""
    lives: dict[int, tuple[int, int]] = {}
    sizes: dict[int, int] = {}
    for at, step in enumerate(steps):
        for value in (step.output, *step.inputs):
            lives[value.buffer] = (lives.get(value.buffer, (at, at))[0], at)
            sizes[value.buffer] = value.size
    return lives, sizes
