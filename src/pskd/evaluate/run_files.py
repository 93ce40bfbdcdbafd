"""Read a run folder into plain dataclasses.

A report is made of these and nothing else: no model, no recording. The files (format version 1):
summary.json, recipe.yaml, environment.json, metrics.jsonl, predictions/<stage>.csv, and, where
they were kept, embeddings/<stage>.npy.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.metrics import Scores, score

FORMAT = 1
"""Newest version of the run folder that this package reads; it reads all older ones."""

COLUMNS = ["recording", "subject", "side", "true", "predicted"]
"""First columns of predictions/<stage>.csv; p_0, p_1, ... follow."""

StageName = Annotated[str, Field(pattern=r"^\w+$")]
"""A stage names files, so it holds no dots or slashes."""

MeanShare = Annotated[float, Field(ge=0, le=1 + 1e-6)]
"""A share that was summed over batches, so that it may pass 1 by a rounding error."""

T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """A trial that the reader set aside, and why."""

    id: str
    reason: str


Headline = Literal["accuracy", "macro_f1"]


@dataclass(frozen=True)
class DatasetFacts:
    """The dataset of a run; `headline` is the score that is usual for it and comes first."""

    name: str
    title: str
    classes: tuple[str, ...]
    citation: str = ""
    licence: str = ""
    headline: Headline = "accuracy"
    recordings: int = 0
    set_aside: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class ProtocolFacts:
    """How the recordings were split; `sides` counts them, `subjects` says whose they are."""

    name: str
    subject_independent: bool
    sides: dict[str, int]
    note: str = ""
    subjects: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class StageFacts:
    """One stage of the chain and its scores on the test side."""

    role: Literal["teacher", "student", "alone", "start"]
    model: str
    inputs: tuple[str, ...]
    parameters: int
    seconds: float
    test: Scores
    teachers: tuple[str, ...] = ()
    macs: int | None = None


@dataclass(frozen=True)
class AuditFinding:
    """One thing that the audit of the data said before the training."""

    level: Literal["leak", "warning", "fact"]
    kind: str
    sentence: str


@dataclass(frozen=True)
class Summary:
    """summary.json. `student` and `alone` name stages; `alone` is the student without teachers."""

    format: int
    recipe: str
    seed: int
    dataset: DatasetFacts
    protocol: ProtocolFacts
    student: str
    stages: dict[StageName, StageFacts]
    seconds: float
    alone: str | None = None
    audit: tuple[AuditFinding, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One line of metrics.jsonl."""

    stage: str
    epoch: int
    epochs: int
    loss: float
    train_accuracy: MeanShare
    terms: dict[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    choices: dict[str, MeanShare] | None = None
    validation_accuracy: MeanShare | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Predictions:
    """What one stage says of the N test clips.

    Attributes:
        recordings: Their ids.
        subjects: Who moved.
        true: Class indices [N].
        predicted: Class indices [N].
        probabilities: [N, K].
        embeddings: [N, E], or None where they were not kept.
    """

    recordings: tuple[str, ...]
    subjects: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    embeddings: NDArray[np.float32] | None = None

    def right(self) -> dict[str, bool]:
        """By recording, whether its prediction is right."""
        return dict(zip(self.recordings, (self.true == self.predicted).tolist(), strict=True))


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder tells it."""

    path: Path
    summary: Summary
    recipe: dict[str, Any]
    recipe_text: str
    environment: dict[str, Any]
    epochs: tuple[Epoch, ...]
    predictions: dict[str, Predictions]

    @property
    def data_made(self) -> dict[str, str]:
        """See `data_made`."""
        return data_made(self.environment)


def data_made(environment: Mapping[str, Any]) -> dict[str, str]:
    """What a run's clips were made of, and by which version of `pskd.data.clips`."""
    found = environment.get("data")
    data = found if isinstance(found, dict) else {}
    return {
        "prepared data": str(data.get("store", "unrecorded"))[:12],
        "version of clips": str(data.get("clips", "unrecorded")),
    }


def load_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        UsageError: There is no such folder.
        CheckpointError: A file is missing, torn, contradicts another, or is of a newer format.
    """
    if not path.is_dir():
        raise UsageError(
            "no such run folder", where=path, remedy="Name the folder that `pskd train` wrote"
        )
    summary = _summary(path / "summary.json")
    recipe_text = _text(path / "recipe.yaml")
    return Run(
        path=path,
        summary=summary,
        recipe=_mapping(path / "recipe.yaml", _yaml, recipe_text),
        recipe_text=recipe_text,
        environment=load_environment(path),
        epochs=_epochs(path / "metrics.jsonl"),
        predictions={name: _predictions(path, name, summary) for name in summary.stages},
    )


def load_environment(run: Path) -> dict[str, Any]:
    """What a run was trained with, of its environment.json.

    Raises:
        CheckpointError: It is missing or torn.
    """
    path = run / "environment.json"
    return _mapping(path, json.loads, _text(path))


def _summary(path: Path) -> Summary:
    text = _text(path)
    version = _mapping(path, json.loads, text).get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"run folder of format {version}, this version reads up to {FORMAT}",
            where=path,
            remedy="Update pskd: pip install --upgrade pskd",
        )
    summary = _parse(TypeAdapter(Summary), text, path)
    for key, name in (("student", summary.student), ("alone", summary.alone)):
        if name is not None and name not in summary.stages:
            raise _torn(path, f"{key} is {name!r}, which is none of its stages")
    return summary


def _epochs(path: Path) -> tuple[Epoch, ...]:
    adapter = TypeAdapter(Epoch)
    lines = enumerate(StringIO(_text(path)), 1)
    return tuple(_parse(adapter, line, f"{path}, line {n}") for n, line in lines)


def _predictions(run: Path, stage: str, summary: Summary) -> Predictions:
    path = run / "predictions" / f"{stage}.csv"
    classes = len(summary.dataset.classes)
    try:
        header, *rows = list(csv.reader(StringIO(_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise _torn(path, f"not CSV ({error})") from None
    if header != COLUMNS + [f"p_{k}" for k in range(classes)]:
        raise _torn(path, f"its columns are not {', '.join(COLUMNS)} and one p_ a class")
    labels = np.zeros((len(rows), 2), dtype=np.int64)
    probabilities = np.zeros((len(rows), classes))
    for i, row in enumerate(rows):
        try:
            labels[i], probabilities[i] = [int(v) for v in row[3:5]], [float(v) for v in row[5:]]
        except (ValueError, OverflowError):
            raise _torn(f"{path}, line {i + 2}", "not a whole row of predictions") from None
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
        raise _torn(path, f"holds a class index outside the {classes} classes")
    if not np.isfinite(probabilities).all():
        raise _torn(path, "holds probabilities that are not finite")
    tested = np.array([row[2] == "test" for row in rows], dtype=bool)
    predictions = Predictions(
        recordings=tuple(row[0] for row in rows if row[2] == "test"),
        subjects=tuple(row[1] for row in rows if row[2] == "test"),
        true=labels[tested, 0],
        predicted=labels[tested, 1],
        probabilities=probabilities[tested],
        embeddings=_embeddings(run / "embeddings" / f"{stage}.npy", tested),
    )
    _agree(path, predictions, summary.stages[stage].test, summary.dataset.classes)
    return predictions


def _agree(path: Path, predictions: Predictions, scores: Scores, classes: tuple[str, ...]) -> None:
    """Tables come from summary.json and pictures from predictions: they must tell the same."""
    n, hits = len(predictions.recordings), int((predictions.true == predictions.predicted).sum())
    if len(set(predictions.recordings)) < n:
        raise _torn(path, "lists a recording twice")
    if n != scores.n or hits != round(scores.accuracy * scores.n):
        raise _torn(
            path,
            f"{hits} of {n} test clips are right here, "
            f"{round(scores.accuracy * scores.n)} of {scores.n} in summary.json",
        )
    if n and not _alike(
        asdict(score(predictions.true, predictions.predicted, predictions.subjects, classes)),
        asdict(scores),
    ):
        raise _torn(path, "gives other scores of classes or subjects than summary.json has")


def _alike(a: Any, b: Any) -> bool:
    """Whether two trees of scores are the same but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    return math.isclose(a, b, abs_tol=1e-6)


def _embeddings(path: Path, tested: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    if not path.exists():
        return None
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _torn(path, "not a NumPy array file") from error
    if values.ndim != 2 or len(values) != len(tested) or not np.isfinite(values).all():
        raise _torn(path, f"shape {values.shape}, expected {len(tested)} rows of finite numbers")
    return np.asarray(values[tested], dtype=np.float32)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _torn(path, "missing") from None
    except OSError as error:
        raise _torn(path, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _torn(path, "not text") from None


class _NoAliases(yaml.SafeLoader):
    """What pskd writes has none, and a few lines of them can stand for billions of keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _yaml(text: str) -> Any:
    return yaml.load(text, _NoAliases)


def _mapping(path: Path, parse: Callable[[str], Any], text: str) -> dict[str, Any]:
    try:
        tree = parse(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise _torn(path, "does not parse") from None
    if not isinstance(tree, dict):
        raise _torn(path, "not a mapping of keys to values")
    return tree


def _parse(adapter: TypeAdapter[T], text: str, where: object) -> T:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _torn(where, f"{key}: {first['msg']}" if key else first["msg"]) from None


def _torn(where: object, what: str) -> CheckpointError:
    return CheckpointError(
        what,
        where=where,
        remedy="The run did not finish or the file was changed: run its `pskd train` command again",
    )
