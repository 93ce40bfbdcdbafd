"""What makes an export pass or fail, against figures computed here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pskd.edge.material import Material, score
from pskd.edge.parity import Exam, check, compare, set_exam
from pskd.edge.targets import TARGETS
from pskd.edge.worker import Answers
from pskd.errors import CheckpointError, UsageError
from tests.edge import fakes


@pytest.fixture(scope="module")
def exam(material: Material) -> Exam:
    return set_exam(material)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.enter(monkeypatch)


def answers(logits: np.ndarray) -> Answers:
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    shares = powers / powers.sum(1, keepdims=True)
    return Answers(logits.astype(np.float32), shares.astype(np.float32))


def changed(exam: Exam, window: int | str, by: float, of: int = 0) -> Answers:
    index = exam.names.index(window) if isinstance(window, str) else window
    logits = exam.answers.logits.copy()
    logits[index, of] += by
    return answers(logits)


def test_the_exam_is_golden_and_test_windows_answered_by_pytorch(material: Material, exam: Exam):
    import torch

    with torch.inference_mode():
        scores = score(material.student, torch.from_numpy(exam.windows))
    np.testing.assert_allclose(exam.answers.logits, scores.logits.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(exam.windows[exam.golden :], material.test)
    assert len(exam.names) == len(exam.windows) == exam.golden + len(material.test)


def test_pytorch_passes(exam: Exam):
    parity = compare(exam, exam.answers, "right")
    assert parity.passed
    assert parity.difference == parity.relative == parity.drop == 0
    assert parity.agreement == parity.accuracy == parity.torch_accuracy == 1
    assert parity.golden + parity.test == len(exam.windows)
    assert "accuracy 100.0 %, PyTorch's 100.0 %" in parity.sentence


def test_the_largest_difference_and_its_window_are_found(exam: Exam):
    parity = compare(exam, changed(exam, "silence", -9e-5), "right")
    assert parity.passed
    assert parity.difference == pytest.approx(9e-5, rel=0.01)
    assert parity.where == "silence"
    assert parity.test_difference == 0
    parity = compare(exam, changed(exam, "test window 7", 2e-4), "right")
    assert parity.test_difference == parity.difference
    assert parity.failures == ("a logit of 'test window 7' differs by 0.0002, more than 0.0001",)


def test_beyond_what_a_watch_measures_differences_are_relative(exam: Exam):
    name = "saturated at 100 g"
    largest = np.abs(exam.answers.logits[exam.names.index(name)]).max()
    assert largest > 10
    parity = compare(exam, changed(exam, name, 5e-5 * largest), "right")
    assert parity.passed
    assert parity.difference == 0
    assert parity.relative == pytest.approx(5e-5, rel=0.05)
    parity = compare(exam, changed(exam, name, 2e-4 * largest), "right")
    assert parity.failures[0].startswith(f"a logit of '{name}' differs by 0.0002 of the largest")


def wrong_in(exam: Exam, count: int) -> Answers:
    """Another class in some test windows, by swapping the two highest logits."""
    logits = exam.answers.logits.copy()
    for k in range(exam.golden, exam.golden + count):
        first, second = np.argsort(-logits[k])[:2]
        logits[k, [first, second]] = logits[k, [second, first]]
    return answers(logits)


def test_int8_may_lose_one_point(material: Material):
    exam = set_exam(
        replace(
            material,
            test=np.concatenate([material.test] * 5),
            labels=np.concatenate([material.labels] * 5),
        )
    )
    two = compare(exam, wrong_in(exam, 2), "off-int8")  # of 200
    assert two.passed
    assert two.difference is not None and two.difference > 1e-4
    assert (two.drop, two.agreement) == (pytest.approx(0.01), 0.99)
    three = compare(exam, wrong_in(exam, 3), "off-int8")
    assert three.failures == ("accuracy falls by 1.50 points to 98.5 %, more than 1",)
    assert "differs by" in compare(exam, wrong_in(exam, 2), "right").sentence


def test_windows_with_another_class_are_listed_with_their_margin(exam: Exam):
    parity = compare(exam, wrong_in(exam, 2), "off-int8")
    logits = exam.answers.logits[exam.golden]
    first, second = np.argsort(-logits)[:2]
    found = parity.disagreements[0]
    assert (found.window, found.torch, found.export) == ("test window 0", first, second)
    assert found.margin == pytest.approx(logits[first] - logits[second])
    assert len(parity.disagreements) == 2


def test_probabilities_are_those_of_the_logits(exam: Exam):
    shares = exam.answers.probabilities.copy()
    shares[3, 1] += 5e-4
    parity = compare(exam, Answers(exam.answers.logits, shares), "right")
    assert parity.failures == ("a probability is 0.0005 away from the softmax of its logits",)
    assert compare(exam, Answers(exam.answers.logits, shares), "off-int8").passed
    shares[3, 1] += 1e-3
    for name in ("right", "off-int8"):
        broken = compare(exam, Answers(exam.answers.logits, shares), name).failures
        assert broken[0] == "probabilities sum to 1 within 0.0015 only"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["right", "off-int8"])
def test_answers_that_are_not_finite_fail(exam: Exam, value: float, name: str):
    logits, shares = exam.answers.logits.copy(), exam.answers.probabilities.copy()
    logits[2, 0] = shares[2, 0] = value
    parity = compare(exam, Answers(logits, shares), name)
    assert parity.failures == (
        f"logits of {exam.names[2]!r} are not finite",
        "probabilities are not finite",
    )
    assert parity.difference is None
    parity.model_dump_json()


def test_a_lost_class_is_refused(exam: Exam):
    less = Answers(exam.answers.logits[:, :4], exam.answers.probabilities[:, :4])
    with pytest.raises(CheckpointError, match=r"right: gives logits \[4\], the student has 5"):
        compare(exam, less, "right")


def test_material_that_cannot_be_compared(material: Material):
    with pytest.raises(UsageError, match="no window to compare"):
        set_exam(replace(material, test=material.test[:0], labels=material.labels[:0]))
    with pytest.raises(UsageError, match=r"size \[3, 32\], the student takes \[3, 64\]"):
        set_exam(replace(material, test=material.test[..., :32]))


def test_exports_in_a_folder(material: Material, tmp_path: Path):
    folder = fakes.write_exports(material, tmp_path, "off")
    found = check(folder, "off", set_exam(material))
    assert found.difference == pytest.approx(2e-4, rel=0.01)
    assert not found.passed


def test_int8_that_says_other_classes_is_refused_though_accuracy_stays(
    exam: Exam, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(TARGETS["right"], "int8", True, raising=False)
    lost = replace(exam, labels=np.full_like(exam.labels, 4))  # right and export: both wrong
    rolled = exam.answers.logits.copy()
    rolled[:, :4] = np.roll(rolled[:, :4], 1, axis=1)
    powers = np.exp(rolled - rolled.max(1, keepdims=True))
    answers = Answers(rolled, powers / powers.sum(1, keepdims=True))
    (why,) = compare(lost, answers, "right").failures
    assert "get the same class, less than 90" in why
