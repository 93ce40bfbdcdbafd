"""What every twin asks of the folder and the sizes that it is given."""

from __future__ import annotations

from pathlib import Path

from pskd.errors import UsageError


def check(folder: Path, *, classes: tuple[int | None, int] | None = None, **sizes: int) -> None:
    """Check where a twin is to be written and how large it is to be.

    Args:
        folder: A folder that is empty or not there yet.
        classes: How many classes are wanted, None for all, and how many there are.
        sizes: Sizes by name, at least 1.

    Raises:
        UsageError: There is something in the folder, or a size is out of its range.
    """
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"{name} is {size}", where="simulate", remedy="Give 1 or more")
    if classes and classes[0] is not None and not 1 <= classes[0] <= classes[1]:
        raise UsageError(
            f"classes is {classes[0]}", where="simulate", remedy=f"Give 1 to {classes[1]}"
        )
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise UsageError(
            f"cannot be looked into ({error.strerror})", where=folder, remedy="Name another folder"
        ) from error
    if taken:
        raise UsageError(
            "is there already and is no empty folder",
            where=folder,
            remedy="Name a new folder, so that simulated and other files never mix",
        )
