"""What is refused before a grid is trained: cells and folders that cannot end in its tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pskd.data.clips import VERSION as CLIPS
from pskd.errors import CheckpointError, PskdError, UsageError
from pskd.evaluate.run_files import data_made, load_environment
from pskd.evaluate.study.files import CELL_AGAIN
from pskd.recipe import Recipe, load_recipe
from pskd.recipe.grid import Cell, Grid, differences
from pskd.train.stages import check_stage
from pskd.train.tasks import Place, data_of, is_finished

ANOTHER = "another recipe"


def state_of(out: Path, cell: Cell) -> str:
    """What the folder of a grid has of a cell: `done`, `another recipe`, or nothing of it: ""."""
    if is_another(out, cell):
        return ANOTHER
    return "done" if is_finished(out, cell) else ""


def is_another(out: Path, cell: Cell) -> bool:
    """Whether another recipe made a cell's folder.

    Raises:
        CheckpointError: The recipe there is torn.
    """
    return _difference(out, cell) is not None


def refuse_others_cells(out: Path, cells: Iterable[Cell]) -> None:
    """Leave folders alone that another recipe made.

    Raises:
        UsageError: There is one; the key that differs is named.
        CheckpointError: The recipe of one is torn.
    """
    for cell in cells:
        if found := _difference(out, cell):
            key, theirs, ours = found
            raise UsageError(
                f"this cell's folder was made by {ANOTHER}: {key} is {theirs} there, {ours} now",
                where=out / cell.path,
                remedy="Choose another --out, or give what it was made with",
            )


def refuse_foreign(out: Path, grid: Grid, notice: Callable[[str], None]) -> None:
    """Leave a folder alone that holds something else; a first write may have been killed.

    Raises:
        UsageError: The folder is no grid's, or that of a grid which shares no table with this one.
    """
    if not out.exists():
        return
    if not (out / "grid.yaml").is_file():
        if not out.is_dir() or any(not p.name.startswith(".grid.yaml.") for p in out.iterdir()):
            raise UsageError(
                "exists and is no grid of pskd", where=out, remedy="Choose another --out"
            )
        return
    gone = [name for name in _tables_there(out) if name not in grid.tables]
    if gone and len(gone) == len(_tables_there(out)):
        raise UsageError(
            f"holds another grid, of {', '.join(gone)}",
            where=out,
            remedy="Choose another --out, or give one of the two grids another name",
        )
    if gone:
        notice(f"{out}: no longer listed are the tables {', '.join(gone)}; their cells are kept")


def check_cells(
    cells: Sequence[Cell], every: Sequence[Cell], out: Path, place: Place, strange: set[Path]
) -> None:
    """Find out before any training what cannot work, and say in whose cells.

    Args:
        cells: What is to be trained.
        every: All cells of the grid.
        out: Its folder.
        place: Where data lies.
        strange: Cells of `every` whose folder another recipe made.

    Raises:
        PskdError: A stage cannot be built, data cannot be used as a recipe says, two folds test
            the same recording, or finished cells of a table were trained on other data.
    """
    for table in dict.fromkeys(cell.table for cell in cells):
        own = [cell for cell in cells if cell.table == table]
        finished = [
            cell
            for cell in every
            if cell.table == table and cell.path not in strange and is_finished(out, cell)
        ]
        compared: set[str] = set()
        for method, cell in _firsts((cell.method, cell) for cell in own):
            _check_stages(cell.recipe, place, f"{table}, {method}")
            if (data := cell.recipe.dataset.model_dump_json()) not in compared:
                compared.add(data)
                _refuse_other_data(out, finished, cell.recipe, place)
        _check_folds(own, place)


def _check_stages(recipe: Recipe, place: Place, where: str) -> None:
    with named(where):
        data = data_of(recipe, place)
        for stage in recipe.chain:
            check_stage(recipe, stage, data)
        if recipe.compute.devices > 1:
            raise UsageError(
                f"compute.devices is {recipe.compute.devices}: a cell trains on one",
                remedy="Leave it out, and train several cells at a time",
            )


def _check_folds(cells: Sequence[Cell], place: Place) -> None:
    """Each fold of a table has data, and recordings of its own to test."""
    tested: dict[str, str] = {}
    for fold, cell in _firsts((cell.fold, cell) for cell in cells if cell.fold):
        with named(f"{cell.table}, fold {fold}"):
            test = data_of(cell.recipe, place).test
            for recording in test.ids:
                if (other := tested.setdefault(recording, fold)) != fold:
                    raise UsageError(
                        f"{recording} is tested here and in fold {other}",
                        remedy="Folds are pooled: each needs recordings of its own to test",
                    )


def _firsts(pairs: Iterable[tuple[str, Cell]]) -> Iterable[tuple[str, Cell]]:
    """The first pair of each name."""
    firsts: dict[str, Cell] = {}
    for name, cell in pairs:
        firsts.setdefault(name, cell)
    return firsts.items()


def _refuse_other_data(out: Path, finished: Iterable[Cell], recipe: Recipe, place: Place) -> None:
    """Leave a table alone whose finished cells were trained on other files or clips."""
    mine = data_made({"data": {"store": data_of(recipe, place).store.key, "clips": CLIPS}})
    for cell in finished:
        if cell.recipe.dataset != recipe.dataset:
            continue
        with _of_a_cell():
            theirs = data_made(load_environment(out / cell.path))
        for kind, value in mine.items():
            if theirs[kind] != value:
                raise UsageError(
                    f"this finished cell was trained on another {kind} ({theirs[kind]}) than what "
                    f"is missing of its table would be ({value})",
                    where=out / cell.path,
                    remedy="Choose another --out, or report what there is: pskd report GRID_FOLDER",
                )


def _difference(out: Path, cell: Cell) -> tuple[str, object, object] | None:
    """The first key at which the recipe in a cell's folder differs, with its value and ours."""
    path = out / cell.path / "recipe.yaml"
    if not path.exists():
        return None
    with _of_a_cell():
        there = load_recipe(path)
    if cell.recipe.same_as(there):
        return None
    return next(differences(there, cell.recipe), ("name", there.name, cell.recipe.name))


def _tables_there(out: Path) -> list[str]:
    try:
        tree = json.loads((out / "grid.json").read_text())
        return [str(table["name"]) for table in tree["tables"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


@contextmanager
def named(where: str) -> Iterator[None]:
    """Say in whose cells it is that something cannot work."""
    try:
        yield
    except PskdError as error:
        inside = f"{where}: {error.where}" if error.where is not None else where
        raise type(error)(error.what, where=inside, remedy=error.remedy) from error


@contextmanager
def _of_a_cell() -> Iterator[None]:
    """A torn file of a cell is mended by the command of its grid."""
    try:
        yield
    except PskdError as error:
        raise CheckpointError(error.what, where=error.where, remedy=CELL_AGAIN) from error
