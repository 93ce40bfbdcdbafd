"""What is wrong with a recipe, in words that name the key and the nearest right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pskd.errors import UsageError, nearest
from pskd.recipe.parts import (
    Budget,
    Choice,
    ClipOptions,
    ComputeOptions,
    DistillOptions,
    FitOptions,
    Loss,
    Part,
    Recipe,
    Schedule,
    Stage,
    Teacher,
    TestOptions,
    ViewOptions,
)

PARTS: Mapping[str, type[Part]] = {
    "dataset": Choice, "protocol": Choice, "model": Choice, "clips": ClipOptions,
    "views": ViewOptions, "chain": Stage, "distill": DistillOptions, "fit": FitOptions,
    "compute": ComputeOptions, "teachers": Teacher, "losses": Loss, "test": TestOptions,
    "budget": Budget,
}  # fmt: skip
"""Which part of a recipe a key holds, or a list of."""

WEIGHTS = {"label", "logits", "semantic", "motion", "weight"}


def name_of(item: Any) -> Any:
    """By what an item of a list goes in a key path: its name, or its stage's."""
    return item.get("name", item.get("stage")) if isinstance(item, dict) else item


def explain(
    error: ValidationError,
    tree: Mapping[str, Any],
    where: str,
    root: type[Part] = Recipe,
    parts: Mapping[str, type[Part]] = PARTS,
) -> UsageError:
    """The first error of a recipe, or of another tree of parts, that pydantic refused."""
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    if first["type"] != "extra_forbidden" and isinstance(first["input"], dict):
        # Of a weight that is no number but a schedule, what is wrong with the schedule.
        first = next((e for e in errors if Schedule.__name__ in e["loc"]), first)
    node: Any = tree
    place: list[Any] = []
    for step in first["loc"]:
        # Where a value may be one of several types, the place also names the type that was tried.
        if _holds(node, step):
            node = node[step]
            place.append(step)
    if first["type"] == "missing":
        place.append(first["loc"][-1])
    node = tree
    shown = []
    for step in place:
        node = node[step] if _holds(node, step) else None
        name = name_of(node) if isinstance(step, int) else None
        shown.append(str(name if name is not None else step))
    key = ".".join(shown)
    if first["type"] == "extra_forbidden":
        return UsageError(
            f"unknown key {key!r}",
            where=where,
            remedy=nearest(str(place[-1]), _known_keys(place[:-1], root, parts)),
        )
    if first["type"] == "missing":
        return UsageError(f"key {key!r} is missing", where=where, remedy="Add it")
    message = first["msg"].removeprefix("Value error, ")
    got = f", not {first['input']!r}" if not isinstance(first["input"], dict | list) else ""
    expected = first.get("ctx", {}).get("expected") if first["type"] == "literal_error" else None
    remedy = None
    if expected is not None and isinstance(first["input"], str):
        remedy = nearest(first["input"], [w.strip(" '") for w in _split_words(str(expected))])
    if isinstance(first["input"], dict) and first["type"] not in ("value_error", "model_type"):
        message, remedy = "takes a value and has no keys of its own", f"Write {key}=VALUE"
    elif first["type"] == "model_type":
        message, remedy = "needs keys of its own", nearest("", _known_keys(place, root, parts))
    return UsageError(f"{key}: {message}{got}" if key else message, where=where, remedy=remedy)


def _split_words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _holds(node: Any, part: Any) -> bool:
    if isinstance(node, list | tuple):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _known_keys(place: list[Any], root: type[Part], parts: Mapping[str, type[Part]]) -> list[str]:
    """Keys allowed at a place, by the last key on the way that names a part."""
    names = [p for p in place if isinstance(p, str)]
    if names and names[-1] in WEIGHTS:
        return list(Schedule.model_fields)
    # A mapping of names to parts, such as the methods of a grid, has the part one step up.
    kind = next((parts[name] for name in reversed(names[-2:]) if name in parts), root)
    return list(kind.model_fields)
