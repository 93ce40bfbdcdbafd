"""Simulated datasets in the official layouts and file formats of the real ones.

They try every reader from end to end, at any size and with no download. The people are those of
`pskd.datasets.simulation`; a class moves as `simulation.repertoire` has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from pskd.datasets.twins import berkeley_mhad, folder, mmact, utd_mhad
from pskd.datasets.twins.places import check
from pskd.errors import DataError, UsageError, nearest

TWINS: dict[str, Callable[..., int]] = {
    "utd_mhad": utd_mhad.write,
    "berkeley_mhad": berkeley_mhad.write,
    "mmact": mmact.write,
    "folder": folder.write,
}
"""What writes the twin of each dataset."""


def simulate(
    name: str,
    folder: Path,
    *,
    subjects: int,
    trials: int,
    classes: int | None = None,
    seed: int = 0,
    traps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the twin of a dataset into a folder: all of it, or nothing.

    Args:
        name: The dataset, one of `TWINS`.
        folder: A new or empty folder.
        subjects: How many people.
        trials: How often each performs each action.
        classes: How many classes, from the first; all if None.
        seed: Other people and other takes.
        traps: Add what is known to go wrong in the real files; the module of the twin names it.
        progress: Called with the clips written and all of them.

    Returns:
        How many clips were written.

    Raises:
        UsageError: An unknown dataset, a size out of its range, or a folder that is not empty.
        DataError: The files cannot be written.
    """
    if name not in TWINS:
        raise UsageError(f"{name!r} has no twin", remedy=nearest(name, TWINS))
    check(folder, subjects=subjects, trials=trials)
    folder = folder.resolve()
    new, lock = (folder.with_name(f".{folder.name}.{part}") for part in ("new", "lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            shutil.rmtree(new, ignore_errors=True)  # left by a process that was killed
            try:
                new.mkdir()
                written = TWINS[name](
                    new,
                    subjects=subjects,
                    trials=trials,
                    classes=classes,
                    seed=seed,
                    traps=traps,
                    progress=progress,
                )
                folder.mkdir(exist_ok=True)
                for made in new.iterdir():  # the folder itself may be somebody's working directory
                    made.rename(folder / made.name)
            finally:
                shutil.rmtree(new, ignore_errors=True)
                lock.unlink(missing_ok=True)
    except Timeout as error:
        raise DataError(
            "another process is writing it", where=folder, remedy="Wait for it"
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror})",
            where=folder,
            remedy="Free some space, or name a folder that can be written",
        ) from error
    return written
