from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pskd.edge.c99 import quantise, reference
from pskd.edge.c99.quantise import Code, Quantised, Rescale
from pskd.errors import UsageError


def test_codes_are_the_nearest_and_stay_in_8_bits():
    code = Code(0.1, -28)
    assert code.encode(np.array([0.0, 0.26, -0.34, 15.5, 99.0, -99.0])).tolist() == [
        *(-28, -25, -31, 127, 127, -128)
    ]


def test_factors_are_as_exact_as_31_bits_allow():
    factors = np.array([0.9, 3e-3, 1.7e-4])
    rescale = Rescale.by(factors)
    assert rescale.multipliers.max() < 2**31
    totals = rescale.multipliers * np.array([[100_000], [-70_001]])
    exact = np.floor(factors * np.array([[100_000], [-70_001]]) + 0.5)
    assert np.abs(rescale.down(totals) - exact).max() <= 1
    assert Rescale.by(np.array([0.5])).down(np.array([3 << 29, -3 << 29])).tolist() == [2, -1]


@pytest.mark.parametrize("name", ["temporal", "both"])
def test_int8_logits_are_near_those_in_float(students, name):
    material, graph = students(name)
    exact = reference.run(graph, material.test)[graph.logits.buffer]
    near = quantise.run(Quantised(graph, material.calibration), material.test)[graph.logits.buffer]
    assert 0 < np.abs(near - exact).max() < 0.15 * np.ptp(exact)


def test_ranges_need_windows(students):
    material, graph = students("temporal")
    with pytest.raises(UsageError, match="no windows to measure the ranges"):
        Quantised(graph, material.calibration[:0])


@pytest.mark.parametrize("change", [{"relu": True}, {"shortcut": True}, {"depthwise": True}])
def test_a_student_that_ends_otherwise_is_refused(students, change):
    """The last layer in int8 knows neither a shortcut nor a ReLU: it would leave them out."""
    material, graph = students("temporal")
    *steps, last = graph.steps
    if "shortcut" in change:
        change = {"shortcut": last.input}
    odd = replace(graph, steps=(*steps, replace(last, **change)))
    with pytest.raises(UsageError, match="ends in one linear layer"):
        Quantised(odd, material.calibration)
    with pytest.raises(UsageError, match="ends in one linear layer"):
        Quantised(replace(graph, steps=tuple(steps)), material.calibration)
