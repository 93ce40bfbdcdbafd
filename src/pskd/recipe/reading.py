"""Reading a recipe: from the package or a file, with overrides, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from pskd.errors import UsageError, nearest
from pskd.recipe.explain import explain, name_of
from pskd.recipe.parts import Recipe

Kind = Literal["recipe", "grid"]


def shipped(kind: Kind = "recipe") -> dict[str, str]:
    """Names of what ships with the package, with what each is about."""
    files = sorted(p for p in _folder(kind).iterdir() if p.name.endswith(".yaml"))
    return {p.name[:-5]: str(yaml.safe_load(p.read_text()).get("about", "")) for p in files}


def load_recipe(name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or path, with `key.path=value` overrides applied.

    In a key path a stage of the chain goes by its name: `chain.student.fit.epochs=10`.

    Raises:
        UsageError: No such recipe, YAML that does not parse, an unknown key, a wrong value.
    """
    tree, where = read_tree(name)
    for override in overrides:
        path, value = parse_override(override)
        set_value(tree, path, value)
    return parse_recipe(tree, where)


def read_tree(name: str | Path, kind: Kind = "recipe") -> tuple[dict[str, Any], str]:
    """Plain values of a YAML file, by its shipped name or path, and how errors call it.

    Raises:
        UsageError: There is none, it cannot be read, or it is no mapping.
    """
    path, command = Path(name), f"pskd {kind}s"
    beside = path.is_dir() and str(name) in shipped(kind)  # such as the folder of its runs
    if path.suffix in {".yaml", ".yml"} or (path.exists() and not beside):
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UsageError(
                f"cannot be read as a {kind}: {why}",
                where=where,
                remedy=f"Name a YAML file, or a {kind} that `{command}` lists",
            ) from None
    else:
        names = shipped(kind)
        if str(name) not in names:
            raise UsageError(f"unknown {kind} {str(name)!r}", remedy=nearest(str(name), names))
        where, text = str(name), (_folder(kind) / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        tree = yaml.load(text, _UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a date, or lists in lists
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"not YAML{line}: {getattr(error, 'problem', error)}",
            where=where,
            remedy=f"Mend it, or start from a {kind} that `{command}` lists",
        ) from None
    if not isinstance(tree, dict):
        raise UsageError(f"a {kind} is a mapping of keys to values", where=where)
    return tree, where


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, where YAML readers keep the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return node


def parse_recipe(tree: Mapping[str, Any], where: str) -> Recipe:
    """Check a tree of plain values; `where` is named in errors."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise explain(error, tree, where) from None


def parse_override(override: str) -> tuple[str, Any]:
    """Key path and value of `key.path=value`."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UsageError(
            f"{override!r} is no override", remedy="Write key.path=value, for example seed=3"
        )
    try:
        return path, yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"the value of {path} is not YAML: {text[:100]!r}") from None


def set_value(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a key path of a tree, in place; None takes an item out of a list.

    Raises:
        UsageError: The path leads nowhere.
    """
    node: Any = tree
    *parents, last = path.split(".")
    for key in parents:
        node = _step(node, key, path)
    if isinstance(node, list):
        _step(node, last, path)
        position = _position(node, last)
        node[position : position + 1] = [] if value is None else [value]
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise UsageError(f"{path}: {parents[-1]!r} holds no keys, it is {node!r}")


def _folder(kind: Kind) -> Any:
    return resources.files("pskd") / f"{kind}s"


def _step(node: Any, key: str, path: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(key, {})
    if isinstance(node, list) and _position(node, key) is not None:
        return node[_position(node, key)]
    names = [str(name_of(n)) for n in node] if isinstance(node, list) else []
    raise UsageError(f"{path}: nothing is called {key!r}", remedy=nearest(key, names))


def _position(items: list[Any], key: str) -> Any:
    for i, item in enumerate(items):
        if key == str(i) or name_of(item) == key:
            return i
    return None
