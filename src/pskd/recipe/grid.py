"""A grid: recipes that are compared, from one YAML file.

A grid names a base recipe, the methods as changes to it, and the tables: each a dataset, a
protocol and its folds. A cell is one method on one table with one fold and one seed, and so a
recipe of its own. docs/compare.md has an example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from pskd.errors import UsageError, nearest
from pskd.recipe.explain import explain
from pskd.recipe.parts import ALONE, Part, Recipe
from pskd.recipe.reading import parse_override, parse_recipe, read_tree, set_value

FORMAT = 1
"""Version of the grid format that this package writes."""

COMPARED = ("dataset", "protocol", "clips", "labelled", "labelled_subjects", "train_share", "test")
"""Keys of a recipe that say what is trained on and tested on, not how: alike within a table."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Seeds = tuple[Annotated[int, Field(ge=0, lt=2**31, strict=True)], ...]
Changes = dict[str, Any]
"""Values by key path of a recipe."""


class Method(Part):
    """One method.

    Attributes:
        about: What it is, a line.
        group: Ablations of one group are drawn together.
        set: What it changes in the recipe.
    """

    about: str = ""
    group: str = ""
    set: Changes = Field(default_factory=dict)


class Table(Part):
    """One table of results: recordings that everybody in it is tested on.

    Attributes:
        about: What it is, a line.
        recipe: Another base recipe than the grid's.
        set: What it changes in the recipe, before the methods do.
        folds: Changes of each fold by its name; their test sides are pooled.
        seeds: Others than the grid's.
        methods: Names of those in it, in order; all, if None.
        without: Names of those that are left out of all.
        baseline: Another one than the grid's; `student_alone` is each cell's own.
        varies: Key paths in which its methods may differ although the comparison depends on them.
    """

    about: str = ""
    recipe: str | None = None
    set: Changes = Field(default_factory=dict)
    folds: dict[Name, Changes] = Field(default_factory=dict)
    seeds: Annotated[Seeds, Field(min_length=1)] | None = None
    methods: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    without: tuple[str, ...] = ()
    baseline: str | None = None
    varies: tuple[str, ...] = ()


class Grid(Part):
    """All of a comparison; see the head of this module.

    `overrides` are changes to every recipe as `key.path=value`, applied last: what a command was
    given beside the file.
    """

    format: Annotated[int, Field(ge=1, strict=True)] = FORMAT
    name: Name
    about: str = ""
    recipe: str
    set: Changes = Field(default_factory=dict)
    seeds: Annotated[Seeds, Field(min_length=1)]
    baseline: str = ALONE
    tables: Annotated[dict[Name, Table], Field(min_length=1)]
    methods: Annotated[dict[Name, Method], Field(min_length=1)]
    overrides: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_hold(self) -> Grid:
        if self.format > FORMAT:
            raise ValueError(f"format {self.format} is newer than {FORMAT}: update pskd")
        for name, table in self.tables.items():
            for kind, listed in (("seeds", table.seeds or self.seeds), ("methods", table.methods)):
                if listed is not None and len(set(listed)) < len(listed):
                    raise ValueError(f"table {name!r} names one of its {kind} twice")
            used = self.methods_of(table)
            for method in (*used, *table.without):
                if method not in self.methods:
                    raise ValueError(
                        f"table {name!r} has an unknown method {method!r}. "
                        f"{nearest(method, self.methods)}"
                    )
            if not used:
                raise ValueError(f"table {name!r} has no method left")
            baseline = table.baseline or self.baseline
            if baseline not in (*used, ALONE):
                raise ValueError(
                    f"the baseline {baseline!r} is no method of table {name!r}. "
                    f"{nearest(baseline, (*used, ALONE))}"
                )
        return self

    def methods_of(self, table: Table) -> tuple[str, ...]:
        """Names of the methods of a table, in order."""
        named = self.methods if table.methods is None else table.methods
        return tuple(name for name in named if name not in table.without)

    def to_yaml(self) -> str:
        """The grid as it was read, defaults left out."""
        tree = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump({"format": self.format, **tree}, sort_keys=False, width=100)


_SIDE_BY_SIDE: Changes = {"compute.threads": 1}  # many small trainings side by side must not fight


@dataclass(frozen=True)
class Cell:
    """One method on one table, with one fold ("" for none) and one seed."""

    table: str
    method: str
    fold: str
    seed: int
    recipe: Recipe

    @property
    def path(self) -> Path:
        """Its run folder in the folder of the grid."""
        name = f"seed{self.seed}" if not self.fold else f"{self.fold}-seed{self.seed}"
        return Path("cells") / self.table / self.method / name


def load_grid(name: str | Path, overrides: Iterable[str] = ()) -> tuple[Grid, Path | None]:
    """Read a grid by its shipped name or path; with the folder that its recipes may lie in.

    Args:
        name: The grid.
        overrides: To be applied after its own.

    Raises:
        UsageError: No such grid, YAML that does not parse, an unknown key, a wrong value.
    """
    tree, where = read_tree(name, "grid")
    try:
        grid = Grid.model_validate(tree)
    except ValidationError as error:
        parts: dict[str, type[Part]] = {"tables": Table, "methods": Method}
        raise explain(error, tree, where, Grid, parts) from None
    grid = grid.model_copy(update={"overrides": (*grid.overrides, *overrides)})
    return grid, Path(where).parent if Path(where).exists() else None


def cells(grid: Grid, folder: Path | None = None) -> tuple[Cell, ...]:
    """All cells of a grid: table by table, method by method, seeds last.

    Stages that the student does not learn from, straight or through others, are left out.

    Args:
        grid: The grid.
        folder: Where its recipes are looked for, when they are no shipped ones.

    Raises:
        UsageError: A recipe that does not hold, with its cell named, or two cells of a table that
            must not be compared.
    """
    changes = [parse_override(override) for override in grid.overrides]
    made: list[Cell] = []
    for name, table in grid.tables.items():
        base = table.recipe or grid.recipe
        tree, _ = read_tree(own_recipes(grid, folder).get(base, base))
        own: list[Cell] = []
        for method in grid.methods_of(table):
            for fold, fold_changes in (table.folds or {"": {}}).items():
                parts = (_SIDE_BY_SIDE, grid.set, table.set, grid.methods[method].set, fold_changes)
                pairs = [pair for part in parts for pair in part.items()] + changes
                for seed in table.seeds or grid.seeds:
                    recipe = _recipe(tree, pairs, grid, method, seed, f"{grid.name}: {name}")
                    own.append(Cell(name, method, fold, seed, recipe))
        _refuse_mixture(table, own)
        made += own
    return tuple(made)


def own_recipes(grid: Grid, folder: Path | None) -> dict[str, Path]:
    """Base recipes of a grid that lie beside it, by what it calls them."""
    names = {grid.recipe, *(table.recipe for table in grid.tables.values() if table.recipe)}
    found = {name: folder / name for name in names} if folder is not None else {}
    return {name: path for name, path in found.items() if path.is_file()}


def select(
    grid: Grid,
    every: Iterable[Cell],
    *,
    methods: Iterable[str] | None = None,
    tables: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
) -> tuple[Cell, ...]:
    """Those cells that are of some methods, tables and seeds; of any, if None.

    Raises:
        UsageError: An unknown method or table, a seed that no table has, or nothing is left.
    """
    for kind, chosen, known in (("method", methods, grid.methods), ("table", tables, grid.tables)):
        for name in chosen or ():
            if name not in known:
                raise UsageError(f"unknown {kind} {name!r}", remedy=nearest(name, known))
    every = tuple(every)
    there = {cell.seed for cell in every}
    for seed in seeds or ():
        if seed not in there:
            raise UsageError(
                f"no table has seed {seed}",
                remedy=f"Choose from {', '.join(map(str, sorted(there)))}, or add it to the grid",
            )
    some, where, drawn = (None if x is None else set(x) for x in (methods, tables, seeds))
    left = tuple(
        cell
        for cell in every
        if (some is None or cell.method in some)
        and (where is None or cell.table in where)
        and (drawn is None or cell.seed in drawn)
    )
    if not left:
        raise UsageError("no cell is left to train", remedy="Mend --methods, --tables or --seeds")
    return left


def _recipe(
    tree: Mapping[str, Any],
    changes: Iterable[tuple[str, Any]],
    grid: Grid,
    method: str,
    seed: int,
    where: str,
) -> Recipe:
    own, where = deepcopy(dict(tree)), f"{where}, {method}"
    for path, value in changes:
        if path in ("seed", "name", "about"):
            raise UsageError(
                f"{path!r} is not a method's to set",
                where=where,
                remedy="Seeds, names and words about a method are the grid's own keys",
            )
        _set(own, path, deepcopy(value), where)
    own |= {"name": method, "about": grid.methods[method].about, "seed": seed}
    return _needed(parse_recipe(own, where))


def _refuse_mixture(table: Table, made: Iterable[Cell]) -> None:
    firsts: dict[str, Cell] = {}
    for cell in made:
        first = firsts.setdefault(cell.fold, cell)
        for key, ours, theirs in differences(first.recipe, cell.recipe, COMPARED):
            if not covers(table.varies, key):
                raise UsageError(
                    f"{cell.method} and {first.method} cannot share table {cell.table!r}: {key} is "
                    f"{theirs} against {ours}",
                    remedy="Give each a table of its own, or name the key in the table's `varies`",
                )
    _refuse_other_folds(table, list(firsts.values()))


def _refuse_other_folds(table: Table, firsts: Sequence[Cell]) -> None:
    """Folds are pooled: they are tested on different recordings, and all else is alike."""
    for n, cell in enumerate(firsts):
        for other in firsts[:n]:
            apart = list(differences(other.recipe, cell.recipe))
            where = f"folds {other.fold} and {cell.fold} of table {cell.table!r}"
            if not apart:
                raise UsageError(f"{where} are the same", remedy="Leave one out")
            for key, ours, theirs in apart:
                if not covers((*table.varies, "protocol.options"), key):
                    raise UsageError(
                        f"{where} cannot be pooled: {key} is {theirs} against {ours}",
                        remedy="Folds may differ in protocol.options: give each a table of its own",
                    )


def differences(
    recipe: Recipe, other: Recipe, keys: Iterable[str] | None = None
) -> Iterator[tuple[str, Any, Any]]:
    """Key paths at which two recipes differ, with both values; of some top keys, or of all.

    What they say of themselves does not count.
    """
    include = set(Recipe.model_fields if keys is None else keys) - {"name", "about"}
    ours, theirs = (
        dict(_flatten(r.model_dump(mode="json", include=include))) for r in (recipe, other)
    )
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield key, ours.get(key, "absent"), theirs.get(key, "absent")


def covers(paths: Iterable[str], key: str) -> bool:
    """Whether key paths name a key, or what is above it."""
    return any(key == path or key.startswith(f"{path}.") for path in paths)


def _flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Values of a tree by their key paths; lists are values, but for those of named parts."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
            names = [part.get("name", part.get("stage")) for part in value]
            whole = value and len(set(names)) == len(names)
            value = dict(zip(names if whole else range(len(value)), value, strict=True)) or value
        if isinstance(value, Mapping):
            yield from _flatten(value, path)
        else:
            yield path, value


def _set(tree: dict[str, Any], path: str, value: Any, where: str) -> None:
    try:
        set_value(tree, path, value)
    except UsageError as error:
        raise UsageError(error.what, where=where, remedy=error.remedy) from None


def _needed(recipe: Recipe) -> Recipe:
    """The recipe without stages that the student does not learn from or start from."""
    by_name = {stage.name: stage for stage in recipe.chain}
    needed, open_ = {recipe.student.name}, [recipe.student]
    while open_:
        for name in open_.pop().needs:
            if name not in needed:
                needed.add(name)
                open_.append(by_name[name])
    chain = tuple(stage for stage in recipe.chain if stage.name in needed)
    return recipe.model_copy(update={"chain": chain})
