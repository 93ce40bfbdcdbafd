"""Whether an export is the student: the same windows through PyTorch and through its runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pskd.edge.golden import Golden, golden_windows
from pskd.edge.material import Material, Windows, score
from pskd.edge.targets import TARGETS
from pskd.edge.worker import Answers, Worker
from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.certificate.facts import Disagreement, Limits, Parity

__all__ = ["LIMITS", "Exam", "Parity", "check", "compare", "differences", "set_exam"]

LIMITS = Limits(
    difference=1e-4,
    measurable=16.0,
    relative=1e-4,
    drop=0.01,
    agreement=0.9,
    sum_error=1e-3,
    softmax_error=1e-4,
)
"""Logits grow with the acceleration, and their rounding with them: that of PyTorch itself, of a
student of UTD-MHAD, is 3e-5 at 16 g and 3e-4 at 100 g. So `difference` holds up to what a watch can
measure; beyond it, differences are taken as a share of the window's largest logit."""


@dataclass(frozen=True)
class Exam:
    """Windows that every export must answer, and what PyTorch answers.

    Attributes:
        names: [N] of the windows: the golden ones, then the test side.
        windows: [N, 3, S] in g.
        golden: How many of them are golden.
        labels: [N - golden] of the test side.
        answers: PyTorch's.
    """

    names: tuple[str, ...]
    windows: Windows
    golden: int
    labels: NDArray[np.int64]
    answers: Answers

    @property
    def measurable(self) -> NDArray[np.bool_]:
        """[N] Whether a watch can measure the window."""
        inside: NDArray[np.bool_] = np.abs(self.windows).max((1, 2)) <= LIMITS.measurable
        return inside


def set_exam(material: Material, golden: Golden | None = None) -> Exam:
    """Golden windows and the whole test side, answered by PyTorch one at a time.

    Raises:
        UsageError: The test side is empty, or its windows have another size.
    """
    samples = material.config.samples
    if material.test.shape[1:] != (3, samples):
        raise UsageError(
            f"test windows have the size {list(material.test.shape[1:])}, the student takes "
            f"{[3, samples]}",
            remedy="Name the run that the student comes from",
        )
    if not len(material.test):
        raise UsageError(
            "the test side holds no window to compare exports on",
            remedy="Name the data of the run with --data-root",
        )
    golden = golden or golden_windows(material)
    windows = np.concatenate([golden.windows, material.test])
    tested = tuple(f"test window {k}" for k in range(len(material.test)))
    with torch.inference_mode(), _one_thread():
        scores = [score(material.student, torch.from_numpy(w[None])) for w in windows]
    answers = Answers(*(torch.cat(values).numpy() for values in zip(*scores, strict=True)))
    return Exam(golden.names + tested, windows, len(golden.names), material.labels, answers)


def check(folder: Path, name: str, exam: Exam) -> Parity:
    """Compare an export in a folder with the student that it was made of.

    Raises:
        UsageError: The runtime is not installed.
        PskdError: The export cannot be run at all.
    """
    with Worker(name, folder / TARGETS[name].file) as worker:
        return compare(exam, worker.answers(exam.windows), name)


def differences(exam: Exam, answers: Answers) -> NDArray[np.float64]:
    """Largest absolute difference of a logit, window by window [N]; inf where not finite."""
    apart = np.abs(answers.logits.astype(np.float64) - exam.answers.logits)
    largest: NDArray[np.float64] = np.where(np.isfinite(apart), apart, np.inf).max(1)
    return largest


def compare(exam: Exam, answers: Answers, name: str) -> Parity:
    """Compare an export's answers with PyTorch's, and hold them against `LIMITS`.

    Args:
        exam: As `set_exam` gives it.
        answers: Of the export, to the same windows.
        name: Its target.

    Raises:
        CheckpointError: It has other classes than the student.
    """
    _check_shapes(exam, answers, name)
    apart, measurable = differences(exam, answers), exam.measurable
    share = apart / np.maximum(np.abs(exam.answers.logits).max(1), 1)
    worst = int(np.where(measurable, apart, -1).argmax())
    worst_share = int(np.where(measurable, -1, share).argmax())
    exact, said = exam.answers.logits.argmax(1), answers.logits.argmax(1)
    tested = slice(exam.golden, None)
    parity = Parity(
        golden=exam.golden,
        test=len(exam.labels),
        difference=finite(apart[worst]),
        where=exam.names[worst],
        test_difference=finite(apart[tested].max()),
        relative=0.0 if measurable.all() else finite(share[worst_share]),
        relative_where="" if measurable.all() else exam.names[worst_share],
        agreement=float((said == exact)[tested].mean()),
        disagreements=tuple(
            Disagreement(
                window=exam.names[k],
                torch=int(exact[k]),
                export=int(said[k]),
                margin=float(exam.answers.logits[k, exact[k]] - exam.answers.logits[k, said[k]]),
            )
            for k in np.flatnonzero(said != exact)
        ),
        accuracy=float((said[tested] == exam.labels).mean()),
        torch_accuracy=float((exact[tested] == exam.labels).mean()),
        sum_error=_largest(answers.probabilities.astype(np.float64).sum(1) - 1),
        softmax_error=_largest(answers.probabilities - _softmax(answers.logits)),
        failures=(),
    )
    broken = tuple(_broken(parity, TARGETS[name].int8))
    return parity.model_copy(update={"failures": broken})


def _broken(parity: Parity, int8: bool) -> Iterator[str]:
    """The limits that an export breaks, in words."""
    for what, value, limit, where in (
        ("", parity.difference, LIMITS.difference, parity.where),
        (" of the largest", parity.relative, LIMITS.relative, parity.relative_where),
    ):
        if value is None:
            yield f"logits of {where!r} are not finite"
        elif value > limit and not int8:
            yield f"a logit of {where!r} differs by {value:.2g}{what}, more than {limit:g}"
    if parity.drop > LIMITS.drop + 1e-12:  # a difference of two shares is rounded
        yield (
            f"accuracy falls by {100 * parity.drop:.2f} points to {100 * parity.accuracy:.1f} %, "
            f"more than {100 * LIMITS.drop:g}"
        )
    if parity.agreement < LIMITS.agreement:
        yield (
            f"{100 * parity.agreement:.1f} % of the test side get the same class, less than "
            f"{100 * LIMITS.agreement:g}"
        )
    if parity.sum_error is None or parity.softmax_error is None:
        yield "probabilities are not finite"
        return
    if parity.sum_error > LIMITS.sum_error:
        yield f"probabilities sum to 1 within {parity.sum_error:.2g} only"
    if parity.softmax_error > LIMITS.softmax_error and not int8:
        yield f"a probability is {parity.softmax_error:.2g} away from the softmax of its logits"


def finite(value: float) -> float | None:
    """A number that JSON can hold, or none."""
    return float(value) if np.isfinite(value) else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """On a busy machine several threads wait for each other at every small layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_shapes(exam: Exam, answers: Answers, name: str) -> None:
    expected = exam.answers.logits.shape
    for what, values in answers._asdict().items():
        if values.shape != expected:
            raise CheckpointError(
                f"gives {what} {list(values.shape[1:])}, the student has {expected[1]} classes",
                where=name,
                remedy="Export the student again",
            )


def _largest(errors: NDArray[np.float64]) -> float | None:
    return finite(np.abs(errors).max())


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # logits that are not finite fail by themselves
        powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares
