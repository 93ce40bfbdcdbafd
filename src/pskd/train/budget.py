"""Students of many widths, and the widest of them that a budget allows.

A model that takes the option `width` is a family.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pskd.errors import UsageError
from pskd.models import MODELS, Model, Signal, count_macs, count_parameters
from pskd.recipe import Recipe
from pskd.train.stages import build_model, find_stage

FAMILY = (0.15, 0.25, 0.3, 0.4, 0.55, 0.65, 0.8, 1.0, 1.25, 1.55, 1.8, 2.25)
"""Widths of the members: the default student has from about 5,000 to 200,000 parameters."""

BY_HAND = {"width", "widths", "stem"}
"""Options that say how wide a student is: where a recipe names one, none is chosen."""

UNITS = {"parameters": "parameters", "macs": "MACs", "int8_kb": "KB int8"}
"""Of the figures of a size."""


@dataclass(frozen=True)
class Size:
    """What a student needs, by the names of a budget's keys."""

    parameters: int
    macs: int
    int8_kb: float

    @staticmethod
    def of(model: Model, signal: Signal) -> Size:
        """Count; the model runs once on a window of zeros."""
        macs = count_macs(model, signal)
        return Size(count_parameters(model), macs, int8_bytes(model) / 1024)


def int8_bytes(model: Model) -> int:
    """About what the numbers of an int8 export take: sum over layers of weights + 8 x outputs.

    A weight is one byte; each output channel has a bias of int32 and a scale of float32. The
    normalisations are folded into the convolutions before them. What a file format adds, its graph
    and names, is not counted.
    """
    return sum(p.numel() + 8 * len(p) for p in model.parameters() if p.ndim > 1)


def within_budget(recipe: Recipe, signal: Signal) -> Recipe:
    """The recipe with the widest student of its family that its budget allows.

    The width stands in the options of the student's model, so that what is returned says all of
    the run and stays as it is from then on. A student that the recipe makes wide by hand, or that
    has no family, is taken as it is if it fits.

    Args:
        recipe: Of a run.
        signal: The signals of the run.

    Raises:
        UsageError: No student of the family fits, or that of the recipe does not.
    """
    limits = recipe.budget.model_dump(exclude_none=True)
    if not limits:
        return recipe
    model, size = recipe.student.model, _size(recipe, signal)
    by_hand = sorted(BY_HAND & model.options.keys())
    family = "width" in inspect.signature(MODELS[model.name]).parameters
    if by_hand or not family:
        if not _over(size, limits):
            return recipe
        remedy = f"Raise it, or choose a smaller model: {model.name} comes in one width"
        if family:
            # Strides are one for each of the widths.
            free = {k: v for k, v in model.options.items() if k not in BY_HAND | {"strides"}}
            remedy = "Raise it: no student of the family is as small"
            with suppress(UsageError):
                nearest = _widest(_with_options(recipe, free), signal, limits)
                found = f"width={_width(nearest)} has {_words(_size(nearest, signal))}"
                remedy = f"Leave out {', '.join(by_hand)}: {found}"
        raise _exceeds(f"the {model.name} of the recipe", size, limits, remedy)
    return _widest(recipe, signal, limits)


def _widest(recipe: Recipe, signal: Signal, limits: Mapping[str, float]) -> Recipe:
    options = recipe.student.model.options
    for width in reversed(FAMILY):
        member = _with_options(recipe, options | {"width": width})
        size = _size(member, signal)
        if not _over(size, limits):
            return member
    name = recipe.student.model.name
    remedy = "Raise it to that; a smaller `embedding` or fewer `clips.samples` make it smaller yet"
    raise _exceeds(f"the smallest {name}, width={width},", size, limits, remedy)


def _with_options(recipe: Recipe, options: dict[str, Any]) -> Recipe:
    """The student with other options, and with it the stages whose weights it starts from."""
    model = recipe.student.model.model_copy(update={"options": options})
    alike, first = {recipe.student.name}, recipe.student.start
    while first is not None:
        alike.add(first)
        first = find_stage(recipe, first).start
    chain = [
        stage.model_copy(update={"model": model}) if stage.name in alike else stage
        for stage in recipe.chain
    ]
    return recipe.model_copy(update={"chain": tuple(chain)})


def _width(recipe: Recipe) -> float:
    return float(recipe.student.model.options["width"])


def _size(recipe: Recipe, signal: Signal) -> Size:
    return Size.of(build_model(recipe.student, signal), signal)


def _over(size: Size, limits: Mapping[str, float]) -> list[str]:
    """Keys of the limits that a size breaks."""
    return [key for key, most in limits.items() if getattr(size, key) > most]


def _exceeds(what: str, size: Size, limits: Mapping[str, float], remedy: str) -> UsageError:
    key = _over(size, limits)[0]
    return UsageError(
        f"{what} has {_figure(size, key)}, budget.{key} is {limits[key]:,}",
        where="budget",
        remedy=remedy,
    )


def _words(size: Size) -> str:
    return ", ".join(_figure(size, key) for key in UNITS)


def _figure(size: Size, key: str) -> str:
    value = getattr(size, key)
    return f"{value:,.1f} {UNITS[key]}" if key == "int8_kb" else f"{value:,} {UNITS[key]}"
