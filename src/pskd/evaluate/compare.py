"""Runs side by side: what may share a table, means over seeds, and paired gains."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ValidationError

from pskd.errors import CheckpointError, UsageError
from pskd.evaluate.folds import BY_FOLD, BY_SUBJECT, pool, shared_note
from pskd.evaluate.run_files import DatasetFacts, ProtocolFacts, Run, StageFacts
from pskd.evaluate.statistics import McNemar, Spread, mcnemar, spread, t_interval, unless_cancelled
from pskd.recipe import Recipe

NOT_SETTINGS = {"about", "budget", "compute", "seed"}
"""Keys of a recipe in which two runs may differ and still be the same recipe."""


@dataclass(frozen=True)
class StageResult:
    """One stage of one recipe, over the seeds.

    Attributes:
        name: Name of the stage.
        facts: What does not depend on the seed, as the first run has it.
        accuracy: Over the runs.
        macro_f1: Over the runs.
        score: The one of the two that is usual for the dataset.
        seconds: Over the runs.
        per_class: Mean F1 by class, classes without test clips left out.
        per_subject: Mean accuracy by subject.
    """

    name: str
    facts: StageFacts
    accuracy: Spread
    macro_f1: Spread
    score: Spread
    seconds: Spread
    per_class: dict[str, float]
    per_subject: dict[str, float]


@dataclass(frozen=True)
class Gain:
    """The student against the same student without teachers, paired by seed.

    Attributes:
        difference: Of the dataset's usual score, student - alone, over the runs.
        interval: Student's t interval of its mean; None for a single run, and for a gain that is
            the same in all.
        pairs: McNemar's test in each run.
    """

    difference: Spread
    interval: tuple[float, float] | None
    pairs: tuple[McNemar, ...]


@dataclass(frozen=True)
class Group:
    """The runs of one recipe, one a seed.

    Attributes:
        label: Name of the recipe, and the settings that tell it from its namesakes.
        runs: In order of their seeds.
        stages: In the order of the chain.
        gain: None where there was no student alone.
    """

    label: str
    runs: tuple[Run, ...]
    stages: tuple[StageResult, ...]
    gain: Gain | None

    @property
    def student(self) -> StageResult:
        """The student taught by the others."""
        return self.stage(self.runs[0].summary.student)

    @property
    def alone(self) -> StageResult | None:
        """The same student without teachers."""
        name = self.runs[0].summary.alone
        return self.stage(name) if name is not None else None

    def stage(self, name: str) -> StageResult:
        """A stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)


@dataclass(frozen=True)
class Comparison:
    """Runs on the same test clips of the same dataset, grouped by recipe."""

    dataset: DatasetFacts
    protocol: ProtocolFacts
    groups: tuple[Group, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for group in self.groups for run in group.runs)


def compare(runs: Sequence[Run]) -> Comparison:
    """Group runs by recipe; the folds of leave_one_subject_out of one seed become one run.

    Raises:
        UsageError: There are no runs, they differ in dataset, protocol or test recordings, or a
            recipe has a seed twice.
    """
    if not runs:
        raise UsageError("no runs to report", remedy="Name at least one run folder")
    runs = _pool_folds(runs)
    for run in runs[1:]:
        _same_table(runs[0], run)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = [run.summary.recipe, list(run.summary.stages), recipe_settings(run.recipe)]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    labels = _labels([members[0] for members in groups.values()])
    return Comparison(
        dataset=runs[0].summary.dataset,
        protocol=replace(runs[0].summary.protocol, note=shared_note(runs)),
        groups=tuple(_group(*pair) for pair in zip(labels, groups.values(), strict=True)),
    )


def recipe_settings(recipe: Mapping[str, Any]) -> dict[str, str]:
    """As `settings`, of a run's recipe; keys younger than it are at what it was trained with."""
    with suppress(ValidationError):
        recipe = Recipe.model_validate(recipe).model_dump(mode="json")
    return settings(recipe)


def settings(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Flatten a recipe into `key.path: value`, without what does not change its meaning."""
    return {
        path: value
        for key, part in recipe.items()
        if key not in NOT_SETTINGS
        for path, value in _flatten(str(key), part)
    }


def _pool_folds(runs: Sequence[Run]) -> list[Run]:
    """Join runs of one recipe and seed that held out different subjects."""
    trainings: dict[str, list[Run]] = {}
    for position, run in enumerate(runs):
        facts, key = run.summary, str(position)
        if facts.protocol.name == BY_SUBJECT:
            mine = recipe_settings(run.recipe)
            same = {k: v for k, v in mine.items() if not k.startswith(BY_FOLD)}
            classes, stages = list(facts.dataset.classes), list(facts.stages)
            told = [facts.recipe, facts.seed, classes, stages, same, run.data_made]
            key = json.dumps(told, sort_keys=True)
        trainings.setdefault(key, []).append(run)
    return [pool(folds) for folds in trainings.values()]


def _flatten(path: str, part: Any) -> Iterable[tuple[str, str]]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _flatten(f"{path}.{key}", value)
    elif isinstance(part, list):
        names = [value.get("name") if isinstance(value, dict) else None for value in part]
        for position, (name, value) in enumerate(zip(names, part, strict=True)):
            known = position if name is None or names.count(name) > 1 else name
            yield from _flatten(f"{path}.{known}", value)
    else:
        yield path, str(part)


def _same_table(first: Run, other: Run) -> None:
    a, b = first.summary, other.summary
    pairs: dict[str, tuple[object, object]] = {
        "dataset": (a.dataset.name, b.dataset.name),
        # Before what follows from it: folds of different data are not pooled.
        **{kind: (mine, other.data_made[kind]) for kind, mine in first.data_made.items()},
        "classes": (a.dataset.classes, b.dataset.classes),
        "protocol": (a.protocol.name, b.protocol.name),
        "sides": (a.protocol.sides, b.protocol.sides),
        "subjects": (a.protocol.subjects, b.protocol.subjects),
        "recordings": (a.dataset.recordings, b.dataset.recordings),
    }
    for kind, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise _apart(first, other, f"{kind} {theirs} against {mine}")
    mine, theirs = (set(run.predictions[run.summary.student].recordings) for run in (first, other))
    if mine != theirs:
        raise _apart(first, other, f"{len(mine ^ theirs)} test recordings are in only one of them")


def _apart(first: Run, other: Run, difference: str) -> UsageError:
    return UsageError(
        f"cannot share a table with {first.path}: {difference}",
        where=other.path,
        remedy="Report each dataset and protocol by itself, and train what differs in data again",
    )


def _labels(firsts: Sequence[Run]) -> list[str]:
    """Names of the recipes; where two share one, with the settings in which they differ."""
    labels = []
    for run in firsts:
        name, mine = run.summary.recipe, recipe_settings(run.recipe)
        namesakes = [recipe_settings(r.recipe) for r in firsts if r.summary.recipe == name]
        keys = {key for other in namesakes for key in other}
        differ = sorted(k for k in keys if len({other.get(k) for other in namesakes}) > 1)
        extra = ", ".join(f"{key}={mine.get(key, 'absent')}" for key in differ)
        labels.append(f"{name} ({extra})" if extra else name)
    return labels


def _group(label: str, members: Sequence[Run]) -> Group:
    runs = tuple(sorted(members, key=lambda run: run.summary.seed))
    for run, after in pairwise(runs):
        if run.summary.seed == after.summary.seed:
            raise UsageError(
                f"seed {run.summary.seed} of recipe {label!r} is also in {run.path}",
                where=after.path,
                remedy="Name one run a seed: a seed counted twice is no second measurement",
            )
    return Group(
        label=label,
        runs=runs,
        stages=tuple(_stage(name, runs) for name in runs[0].summary.stages),
        gain=_gain(runs),
    )


def _stage(name: str, runs: Sequence[Run]) -> StageResult:
    facts = [run.summary.stages[name] for run in runs]
    tests = [f.test for f in facts]
    present = [c for c, scores in tests[0].per_class.items() if scores.support]
    return StageResult(
        name=name,
        facts=facts[0],
        accuracy=spread([t.accuracy for t in tests]),
        macro_f1=spread([t.macro_f1 for t in tests]),
        score=spread([getattr(t, runs[0].summary.dataset.headline) for t in tests]),
        seconds=spread([f.seconds for f in facts]),
        per_class={c: float(np.mean([t.per_class[c].f1 for t in tests])) for c in present},
        per_subject={
            s: float(np.mean([t.per_subject[s] for t in tests])) for s in tests[0].per_subject
        },
    )


def _gain(runs: Sequence[Run]) -> Gain | None:
    names = [(run.summary.student, run.summary.alone) for run in runs]
    if any(alone is None for _, alone in names):
        return None
    pairs = []
    for run, (student, alone) in zip(runs, names, strict=True):
        taught, untaught = (run.predictions[str(name)].right() for name in (student, alone))
        if taught.keys() != untaught.keys():
            raise CheckpointError(
                f"{student} and {alone} were not tested on the same recordings",
                where=run.path,
                remedy="Run its `pskd train` command again",
            )
        pairs.append(mcnemar([taught[r] for r in taught], [untaught[r] for r in taught]))
    scores = _stage(names[0][0], runs).score.values, _stage(str(names[0][1]), runs).score.values
    differences = [taught - untaught for taught, untaught in zip(*scores, strict=True)]
    same = not any(pair.won for pair in pairs)
    interval = unless_cancelled(t_interval(differences), same=same)
    return Gain(spread(differences), interval, tuple(pairs))
