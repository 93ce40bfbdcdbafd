from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pskd.edge.c99 import reference
from pskd.edge.c99.fuse import fuse
from pskd.edge.c99.graph import Conv, Load, Value
from pskd.edge.c99.trace import trace
from pskd.errors import UsageError


@pytest.mark.parametrize("name", ["temporal", "odd", "summation", "difference", "both"])
def test_a_graph_says_what_the_student_says(students, name):
    material, graph = students(name)
    with torch.inference_mode():
        expected = material.student(torch.from_numpy(material.test)).logits.numpy()
    found = reference.run(graph, material.test)[graph.logits.buffer].reshape(expected.shape)
    assert np.abs(found - expected).max() < 2e-5
    assert np.ptp(expected, 0).min() > 0.05  # windows do get different answers


def test_normalisations_shortcuts_and_relus_are_part_of_convolutions(students):
    _, graph = students("temporal")
    kinds = [type(step).__name__ for step in graph.steps]
    assert kinds == ["Load", *["Conv"] * 7, "Pool", "Pool", "Concat", "Conv"]
    assert [conv.shortcut is not None for conv in graph.convs].count(True) == 1


def test_a_convolution_that_others_read_too_keeps_its_output():
    values = [Value(i, 1, 4, 2) for i in range(4)]
    weights, bias = np.full((2, 1, 1, 1), 2.0), np.ones(2)
    first = Conv("first", values[0], values[1], weights, bias, depthwise=True)
    relu = replace(first, name="relu", input=values[1], output=values[2], relu=True)
    both = replace(relu, name="both", output=values[3], shortcut=values[2], relu=False)
    assert fuse([Load(values[0]), first, relu, both]) == (Load(values[0]), first, relu, both)
    alone = fuse([Load(values[0]), first, relu])
    assert len(alone) == 2 and isinstance(alone[1], Conv)
    assert alone[1].relu and alone[1].weights[0, 0, 0, 0] == 4 and alone[1].bias[0] == 3


def test_an_operator_without_c_is_named(made):
    material = made("tinyhar")
    with pytest.raises(UsageError, match=r"operator aten\.\w+\.\w+ .*'tinyhar'"):
        trace(material.student, material.config)


def test_weights_that_are_not_finite_are_refused(made):
    material = made(widths=(4,), strides=(1,), stem=4)
    with torch.no_grad():
        material.student.head.classifier.weight[0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"head\.classifier\.weight.*not finite"):
        trace(material.student, material.config)
