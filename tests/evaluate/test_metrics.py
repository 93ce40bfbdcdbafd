"""Scores against a count by hand and a plain numpy computation."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pskd.errors import DataError
from pskd.evaluate import confusion_matrix, score

NAMES = ("a", "b", "c", "d")


def test_worked_example() -> None:
    scores = score([0, 0, 0, 1, 1], [0, 0, 1, 1, 2], ["x", "x", "y", "y", "y"], NAMES)
    assert scores.n == 5
    assert scores.accuracy == 3 / 5
    assert scores.per_subject == {"x": 1.0, "y": pytest.approx(1 / 3)}
    a, b, c, d = scores.per_class.values()
    assert (a.precision, a.recall, a.support) == (1.0, pytest.approx(2 / 3), 3)
    assert (b.precision, b.recall, b.support) == (0.5, 0.5, 2)
    assert (c.precision, c.recall, c.f1, c.support) == (0.0, 0.0, 0.0, 0)
    # d is neither done nor predicted, so three classes make the mean; c was predicted, so it counts
    assert (d.f1, d.support) == (0.0, 0)
    assert scores.macro_f1 == pytest.approx((0.8 + 0.5 + 0.0) / 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_against_plain_numpy(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    scores = score(true, predicted, ["s"] * len(true), NAMES)
    f1 = []
    for k in range(4):
        hits = np.sum((true == k) & (predicted == k))
        claimed, support = np.sum(predicted == k), np.sum(true == k)
        precision = hits / claimed if claimed else 0.0
        recall = hits / support if support else 0.0
        if claimed or support:
            f1.append(2 * precision * recall / (precision + recall) if hits else 0.0)
        assert scores.per_class[NAMES[k]].precision == pytest.approx(precision)
        assert scores.per_class[NAMES[k]].recall == pytest.approx(recall)
    assert scores.macro_f1 == pytest.approx(np.mean(f1))
    assert scores.accuracy == pytest.approx(np.mean(true == predicted))


def test_rows_of_the_matrix_are_true_classes() -> None:
    matrix = confusion_matrix([0, 0, 2], [1, 1, 2], 3)
    np.testing.assert_array_equal(matrix, [[0, 2, 0], [0, 0, 0], [0, 0, 1]])


def test_tensors_are_taken_too() -> None:
    tensors = score(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), ("x", "x", "y"), NAMES)
    assert tensors == score([0, 1, 1], [0, 1, 0], ["x", "x", "y"], NAMES)


def test_scores_are_plain_json() -> None:
    scores = asdict(score(np.array([0, 1]), np.array([0, 0]), ["x", "y"], NAMES))
    assert json.loads(json.dumps(scores)) == scores


@pytest.mark.parametrize(
    ("true", "predicted", "subjects", "classes", "message"),
    [
        ([], [], [], NAMES, "no clips"),
        ([0, 1], [0], ["x", "x"], NAMES, "pair up"),
        ([0, 1], [0, 1], ["x"], NAMES, "1 subjects for 2 clips"),
        ([0, 4], [0, 1], ["x", "x"], NAMES, "label 4 is outside the 4 classes"),
        ([0, 1], [0, -1], ["x", "x"], NAMES, "prediction -1"),
        ([0], [0], ["x"], ("a", "a"), "share a name"),
    ],
)
def test_bad_input(
    true: list[int], predicted: list[int], subjects: list[str], classes: tuple[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(true, predicted, subjects, classes)
