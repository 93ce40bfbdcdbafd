"""`layout.yaml`: the user's own skeleton; or that of the BVH files."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence

import numpy as np

from pskd.data.bvh import Bvh
from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.settings import read_yaml
from pskd.errors import DataError, nearest

KEYS = ("name", "joints", "parents", "torso", "up", "dims")
MAX_JOINTS = 256
_AXES = {"x": 0, "y": 1, "z": 2}
_UPPER = re.compile(r"(upper_?)?neck\d*|head|thorax|(upper_?)?chest|sternum", re.IGNORECASE)
_LOWER = re.compile(r"hips?(_?cent(er|re))?|pelvis|mid_?hip|root|spine_?base", re.IGNORECASE)


def read_layout(data: bytes, where: str, bvh: Bvh | None = None) -> SkeletonLayout:
    """Read a layout file.

    Args:
        data: The file.
        where: Its name in errors.
        bvh: A BVH file whose joints and parents are taken where the layout file names none.

    Raises:
        DataError: It is no such file, a key is unknown or missing, or the joints are no tree.
    """
    given = read_yaml(data, where)

    def refused(what: str, remedy: str) -> DataError:
        return DataError(what, where=where, remedy=remedy)

    for key in given:
        if key not in KEYS:
            raise refused(f"unknown key {key[:100]!r}", nearest(key, KEYS))
    if "joints" in given or bvh is None:
        joints = _names(given.get("joints"))
        if joints is None:
            raise refused(
                "joints is no list of names, each once", "Write joints: [hips, neck, head, ...]"
            )
        try:
            parents = _parents(given.get("parents"), joints)
        except ValueError as error:
            raise refused(str(error), "Name the parent of every joint but one, the root") from None
    else:
        joints, parents = bvh.joints, bvh.parents
    torso = _names(given.get("torso"))
    if torso is None or len(torso) != 2 or not set(torso) <= set(joints):
        raise refused(
            f"torso is {reprlib.repr(given.get('torso'))}, not an upper and a lower joint",
            "Write for example torso: [neck, hips]",
        )
    up, dims = given.get("up", "y"), given.get("dims", "3")
    if dims not in ("2", "3"):
        raise refused(f"dims is {reprlib.repr(dims)}", "Give 2 or 3 coordinates")
    if up not in list(_AXES)[: int(dims)]:
        raise refused(f"up is {reprlib.repr(up)}", "Name the axis that points up: x, y or z")
    name = given.get("name", "own")
    upper, lower = (joints.index(joint) for joint in torso)
    return SkeletonLayout(str(name)[:100], joints, parents, (upper, lower), _AXES[up], int(dims))


def guess_layout(bvh: Bvh, where: str) -> SkeletonLayout:
    """Make the layout of a BVH file: torso by the names of joints, up by where it points.

    Raises:
        DataError: No joints have the names of the ends of a torso.
    """
    joints = bvh.joints
    short = [joint.rpartition(":")[2] for joint in joints]  # some exporters write `actor:Hips`
    upper = next((i for i, joint in enumerate(short) if _UPPER.fullmatch(joint)), None)
    lower = next((i for i, joint in enumerate(short) if _LOWER.fullmatch(joint)), None)
    if upper is None or lower is None:
        raise DataError(
            f"no joints look like neck and hips, among {', '.join(joints)[:300]}",
            where=where,
            remedy="Name the ends of the torso in layout.yaml, as in torso: [neck, hips]",
        )
    torso = (bvh.positions[:, upper] - bvh.positions[:, lower]).mean(axis=0)
    return SkeletonLayout("bvh", joints, bvh.parents, (upper, lower), int(np.abs(torso).argmax()))


def _names(value: object) -> tuple[str, ...] | None:
    """Names in a list, each once; None where it is no such list."""
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_JOINTS:
        return None
    names = tuple(name.strip() for name in value if isinstance(name, str) and name.strip())
    return names if len(set(names)) == len(value) else None


def _parents(value: object, joints: Sequence[str]) -> tuple[int, ...]:
    """Index of the parent of each joint; ValueError where they are no tree."""
    if not isinstance(value, dict):
        raise ValueError("parents is no mapping of joints to joints")
    index = {joint: i for i, joint in enumerate(joints)}
    parents = list(range(len(joints)))
    for joint, parent in value.items():
        for name in (joint, parent):
            if not isinstance(name, str) or name not in index:
                raise ValueError(f"parents names {reprlib.repr(name)}, which is none of the joints")
        parents[index[joint]] = index[parent]
    roots = [joint for joint, i in index.items() if parents[i] == i]
    if len(roots) != 1:
        raise ValueError(f"{len(roots)} joints have no parent ({', '.join(roots)[:200]}), not one")
    for joint, i in index.items():
        for _ in joints:
            i = parents[i]
        if parents[i] != i:
            raise ValueError(f"the parents of {joint!r} go round in a circle")
    return tuple(parents)
