"""What cells must have in common to stand in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pskd.errors import UsageError
from pskd.evaluate.compare import recipe_settings
from pskd.evaluate.run_files import Run
from pskd.recipe.grid import COMPARED, covers

FOLLOWS = {
    "prepared data": ("dataset",),
    "version of clips": (),
    "dataset.classes": ("dataset",),
    "dataset.recordings": ("dataset",),
    "protocol.sides": ("dataset", "protocol", "labelled", "train_share"),
    "protocol.subjects": ("dataset", "protocol"),
    "test recordings": ("dataset", "protocol"),
}
"""What a run tells of its data, and the keys that may change it."""


def same_data(
    table: str, cells: Sequence[tuple[str, str, Run]], varies: Sequence[str], *, folds: bool
) -> None:
    """Refuse cells that do not belong into one table.

    Args:
        table: Its name.
        cells: Name of the cell, its fold, and its run.
        varies: Key paths that may differ, each with all below it.
        folds: Whether the table has folds, which differ in the options of their protocol.

    Raises:
        UsageError: Two cells differ in dataset, protocol, clips, labels or test side.
    """
    firsts: dict[str, tuple[str, Run]] = {}
    for name, fold, run in cells:
        first = firsts.setdefault(fold, (name, run))
        _refuse(table, first, (name, run), varies)
    across = [*varies, "protocol.options", "protocol.sides", "protocol.subjects"]
    leader, *others = firsts.values()
    for other in others:
        _refuse(table, leader, other, across if folds else varies)


def same_test_side(table: str, runs: Iterable[tuple[str, Run]], varies: Sequence[str]) -> None:
    """Refuse methods and seeds that were not tested on the same recordings, folds pooled."""
    (first, leader), *others = runs
    mine = labels(leader)
    for name, run in others:
        theirs = labels(run)
        if theirs == mine or _may_vary("test recordings", varies):
            continue
        apart = mine.items() ^ theirs.items()
        example = min(recording for recording, _ in apart)
        raise _apart(
            table,
            first,
            name,
            "test recordings",
            f"{len(theirs):,} against {len(mine):,}, {example!r} is not the same in both",
            run,
        )


def labels(run: Run) -> dict[str, int]:
    """The recordings that a run tested, with their true class."""
    said = run.predictions[run.summary.student]
    return dict(zip(said.recordings, said.true.tolist(), strict=True))


def _refuse(
    table: str, first: tuple[str, Run], other: tuple[str, Run], varies: Sequence[str]
) -> None:
    mine, theirs = _data_of(first[1]), _data_of(other[1])
    for key in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(key, "absent"), theirs.get(key, "absent")
        if a != b and not _may_vary(key, varies):
            raise _apart(table, first[0], other[0], key, f"{b} against {a}", other[1])


def _data_of(run: Run) -> Mapping[str, str]:
    mine = recipe_settings(run.recipe)
    dataset, protocol = run.summary.dataset, run.summary.protocol
    return {
        **{path: value for path, value in mine.items() if path.split(".")[0] in COMPARED},
        "dataset.name": dataset.name,
        "dataset.classes": ", ".join(dataset.classes),
        "dataset.recordings": f"{dataset.recordings:,}",
        **run.data_made,
        "protocol.name": protocol.name,
        "protocol.sides": _words(protocol.sides),
        "protocol.subjects": _words(protocol.subjects),
    }


def _words(parts: Mapping[str, object]) -> str:
    return "; ".join(
        f"{key} {' '.join(part) if isinstance(part, tuple) else part}"
        for key, part in parts.items()
    )


def _may_vary(key: str, varies: Sequence[str]) -> bool:
    """Whether `varies` names the key, what is above it, or a cause of it."""
    return covers(varies, key) or any(
        other.split(".")[0] in FOLLOWS.get(key, ()) for other in varies
    )


def _apart(table: str, first: str, other: str, key: str, values: str, run: Run) -> UsageError:
    remedy = "Put them into tables of their own"
    if key not in FOLLOWS:
        remedy += f", or name {key} under `varies` if it is what the table is about"
    return UsageError(
        f"table {table!r}: {other} and {first} differ in {key}: {values}",
        where=run.path,
        remedy=remedy,
    )
