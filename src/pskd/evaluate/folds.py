"""Folds of one training as one run: no recording is tested twice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pskd.errors import UsageError
from pskd.evaluate.metrics import score
from pskd.evaluate.run_files import Predictions, ProtocolFacts, Run, StageFacts

BY_SUBJECT = "leave_one_subject_out"
"""The protocol whose runs are folds."""

BY_FOLD = "protocol.options"
"""Key of a recipe in which folds differ."""


def pool(folds: Sequence[Run]) -> Run:
    """Join runs of one recipe and seed that tested different recordings.

    Predictions are put one after the other, scores computed over all of them, times summed. What
    belongs to one network, its epochs, is left out; what is the same in all is the first run's.

    Raises:
        UsageError: A recording is tested twice, or the runs differ in their stages.
    """
    if len(folds) == 1:
        return folds[0]
    first = folds[0].summary
    for run in folds[1:]:
        if list(run.summary.stages) != list(first.stages):
            raise UsageError(
                f"its stages are not those of {folds[0].path}, another fold of the same training",
                where=run.path,
                remedy="Train both folds with the same recipe",
            )
    predictions = {name: _join(folds, name) for name in first.stages}
    stages = {name: _stage(folds, name, said) for name, said in predictions.items()}
    test = stages[first.student].test
    protocol = ProtocolFacts(
        name=first.protocol.name,
        subject_independent=all(run.summary.protocol.subject_independent for run in folds),
        sides={"test": test.n},
        note="; ".join(filter(None, [f"{len(folds)} folds pooled", shared_note(folds)])),
        subjects={"test": tuple(test.per_subject)},
    )
    seconds = sum(run.summary.seconds for run in folds)
    return replace(
        folds[0],
        path=Path(os.path.commonpath([run.path.absolute() for run in folds])),
        summary=replace(first, protocol=protocol, stages=stages, seconds=seconds),
        recipe={**folds[0].recipe, "protocol": {"name": first.protocol.name}},
        epochs=(),
        predictions=predictions,
    )


def shared_note(runs: Sequence[Run]) -> str:
    """What is said of the data of all runs; the rest, such as who was held out, is of some."""
    first, *others = (run.summary.protocol.note.split("; ") for run in runs)
    return "; ".join(words for words in first if all(words in other for other in others))


def _join(folds: Sequence[Run], stage: str) -> Predictions:
    tested_by: dict[str, Run] = {}
    for run in folds:
        for recording in run.predictions[stage].recordings:
            if recording in tested_by:
                raise UsageError(
                    f"recording {recording} is tested here and in {tested_by[recording].path}",
                    where=run.path,
                    remedy="Name one run for each fold and seed",
                )
            tested_by[recording] = run
    said = [run.predictions[stage] for run in folds]
    return Predictions(
        recordings=tuple(tested_by),
        subjects=tuple(subject for part in said for subject in part.subjects),
        true=np.concatenate([part.true for part in said]),
        predicted=np.concatenate([part.predicted for part in said]),
        probabilities=np.concatenate([part.probabilities for part in said]),
    )


def _stage(folds: Sequence[Run], name: str, said: Predictions) -> StageFacts:
    facts = [run.summary.stages[name] for run in folds]
    classes = folds[0].summary.dataset.classes
    return replace(
        facts[0],
        seconds=sum(f.seconds for f in facts),
        test=score(said.true, said.predicted, said.subjects, classes),
    )
