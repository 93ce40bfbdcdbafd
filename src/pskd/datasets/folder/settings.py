"""`dataset.yaml`: what holds for all recordings of a folder."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal

import yaml

from pskd.data.accelerometer_file import RATES, Unit
from pskd.errors import DataError, PskdError, nearest

SETTINGS = "dataset.yaml"
MAX_YAML = 64 << 10
ALIGNMENTS = ("stretch", "clock", "none")
FRAME_RATES = (1.0, 1000.0)

Alignment = Literal["stretch", "clock", "none"]


@dataclass(frozen=True)
class Settings:
    """What `dataset.yaml` may say; all of it is optional.

    Attributes:
        title: Name for people.
        unit: Unit of the accelerometer files; `auto` tells it from gravity.
        rate: Rate that all recordings are brought to, Hz; also that of files without time stamps.
        skeleton_rate: Frames a second of skeletons without time stamps.
        placement: Where the sensor was worn.
        layout: A named layout; None where the folder has its own, or no skeletons.
        classes: Names of the classes in their order; None takes the labels, sorted.
        alignment: How the two signals of a recording go together.
        citation: What to cite.
        licence: Terms of use.
        homepage: Where the data are to be had.
    """

    title: str = ""
    unit: Unit = "auto"
    rate: float | None = None
    skeleton_rate: float | None = None
    placement: str = "not said"
    layout: str | None = None
    classes: tuple[str, ...] | None = None
    alignment: Alignment = "stretch"
    citation: str = "none"
    licence: str = "not said"
    homepage: str = ""


def read_settings(data: bytes, where: str, problems: list[PskdError]) -> Settings:
    """Read `dataset.yaml`; what is wrong in it is added to `problems` and left out."""
    known = [field.name for field in fields(Settings)]
    found: dict[str, Any] = {}
    try:
        given = read_yaml(data, where)
    except DataError as error:
        problems.append(error)
        return Settings()
    for key, value in given.items():
        try:
            if key not in known:
                raise ValueError(nearest(key, known))
            found[key] = _setting(key, value)
        except ValueError as error:
            what = (
                f"{key} is {reprlib.repr(value)}" if key in known else f"unknown key {key[:100]!r}"
            )
            problems.append(DataError(what, where=where, remedy=str(error)))
    return Settings(**found)


def read_yaml(data: bytes, where: str) -> dict[str, Any]:
    """Return the mapping in a small YAML file; every plain value is text, so `no` stays `no`.

    Raises:
        DataError: It is no such file, or larger than 64 KiB.
    """
    if len(data) > MAX_YAML:
        raise DataError(
            f"is larger than {MAX_YAML} bytes", where=where, remedy="Leave the documented keys only"
        )
    try:
        tree = yaml.load(data, Loader=yaml.BaseLoader)  # makes text, lists and mappings, no more
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(
            f"is not YAML ({str(getattr(error, 'problem', None) or error)[:200]})",
            where=f"{where}{line}",
            remedy="Write lines of the form `key: value`",
        ) from None
    if tree is None or tree == "":
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise DataError(
            "is no mapping of keys to values",
            where=where,
            remedy="Write lines of the form `key: value`",
        )
    return tree


def _setting(key: str, value: object) -> object:
    """The value of a key; ValueError with the remedy where it is wrong."""
    if key == "classes":
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ValueError("Give a list of class names, as in [walk, sit]")
        names = [name.strip() for name in value]
        if not names or "" in names or len(set(names)) < len(names):
            raise ValueError("Name each class once")
        return tuple(names)
    if not isinstance(value, str) or not value.strip():
        raise ValueError("Give a value, or leave the key out")
    text = value.strip()
    if key == "unit":
        return one_of(text, ("g", "m/s2"))
    if key == "alignment":
        return one_of(text, ALIGNMENTS)
    if key in ("rate", "skeleton_rate"):
        return number(text, RATES if key == "rate" else FRAME_RATES)
    return text[:1000]


def one_of(text: str, known: Collection[str]) -> str:
    """Return a known word; ValueError with the nearest one otherwise."""
    if text not in known:
        raise ValueError(nearest(text, known))
    return text


def number(text: str, span: tuple[float, float]) -> float:
    """Return a number within a span; ValueError that names the span otherwise."""
    try:
        value = float(text)
        if span[0] <= value <= span[1]:
            return value
    except ValueError:
        pass
    raise ValueError(f"Give a number from {span[0]:g} to {span[1]:g}")
