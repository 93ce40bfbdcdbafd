from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pskd.edge.c99.graph import Concat, Value
from pskd.edge.c99.memory import Arena


@given(st.lists(st.tuples(st.integers(1, 50), st.sets(st.integers(0, 9))), min_size=2, max_size=12))
def test_values_that_live_together_do_not_overlap(plan):
    values = [Value(i, 1, 1, size) for i, (size, _) in enumerate(plan)]
    steps = [
        Concat(tuple(values[r] for r in sorted(reads) if r < i), values[i])
        for i, (_, reads) in enumerate(plan)
    ]
    arena = Arena(steps, range(len(values)))
    for at, step in enumerate(steps):
        later = {v.buffer for s in steps[at:] for v in s.inputs}
        alive = {i for i in range(at) if i in later} | {
            v.buffer for v in (*step.inputs, step.output)
        }
        spans = sorted((arena.offsets[i], arena.offsets[i] + values[i].size) for i in alive)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        assert all(begin >= 0 and end <= arena.size for begin, end in spans)


def test_a_chain_needs_room_for_two_neighbours():
    values = [Value(i, 1, 1, size) for i, size in enumerate((10, 30, 20, 5))]
    steps = [Concat((), values[0]), *(Concat((a,), b) for a, b in pairwise(values))]
    assert Arena(steps, range(4)).size == 50
