"""The files of a folder, opened: its manifest, settings and layout, and the signals they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pskd.data.accelerometer_file import MAX_BYTES, AccelerometerFile, read_accelerometer
from pskd.data.archive import Archive, Folder, open_archive
from pskd.data.bvh import Bvh
from pskd.data.skeleton import KINECT_V1, LAYOUTS, SkeletonLayout
from pskd.datasets.folder import skeleton
from pskd.datasets.folder.layout import guess_layout, read_layout
from pskd.datasets.folder.manifest import MAX_BYTES as MAX_MANIFEST
from pskd.datasets.folder.manifest import read_manifest
from pskd.datasets.folder.row import MANIFEST, BadRow, Row
from pskd.datasets.folder.settings import MAX_YAML, SETTINGS, Settings, read_settings
from pskd.datasets.folder.skeleton import SkeletonFile, parse_bvh, read_skeleton
from pskd.errors import DataError, PskdError, nearest

LAYOUT = "layout.yaml"
_PROBES, _HEAD = 25, 256 << 10  # files whose beginnings give the usual rate, and bytes of each


class Source:
    """A folder or an archive with a manifest.

    Args:
        root: The folder, or a zip or tar of it, whose files may lie in one folder within.

    Attributes:
        archive: What is opened.
        settings: What `dataset.yaml` says.
        rows: A row for each line of the manifest.
        problems: What is wrong with `dataset.yaml`.
        layout_guessed: Whether `layout` was made out of the names in a BVH file.

    Raises:
        DataError: There is no manifest, or it cannot be read as one.
    """

    def __init__(self, root: Path | None) -> None:
        if root is None or not root.exists():
            raise _missing("no such folder" if root else "no data folder was named", root)
        self.archive: Archive = open_archive(root)
        every = self.archive.names
        found = [MANIFEST] if MANIFEST in every else []
        if not found and not root.is_dir():
            found = [n for n in every if n.count("/") == 1 and n.endswith(f"/{MANIFEST}")]
        if len(found) != 1:
            raise _missing(f"no {MANIFEST} is in it", root)
        self._prefix = found[0].removesuffix(MANIFEST)
        self.names = [n.removeprefix(self._prefix) for n in every if n.startswith(self._prefix)]
        self.problems: list[PskdError] = []
        self.settings = Settings()
        if SETTINGS in self.names:
            data = self.read(SETTINGS, MAX_YAML)
            self.settings = read_settings(data, SETTINGS, self.problems)
        self.rows: list[Row | BadRow] = read_manifest(
            self.read(MANIFEST, MAX_MANIFEST), self.names, self.settings
        )
        self.layout_guessed = False
        self._last: dict[str, tuple[Hashable, Any]] = {}

    @property
    def title(self) -> str:
        """Name for people."""
        return self.settings.title or self.archive.path.resolve().name

    @property
    def good_rows(self) -> list[Row]:
        """The rows that can be used."""
        return [row for row in self.rows if isinstance(row, Row)]

    @cached_property
    def layout(self) -> SkeletonLayout:
        """Layout of the skeletons, by name, by the folder's own file, or by its BVH files.

        Raises:
            DataError: There are skeletons and no layout, or it is wrong.
        """
        named = self.settings.layout
        if named and LAYOUT in self.names:
            raise DataError(
                f"names layout {named!r}, and {LAYOUT} is there too",
                where=SETTINGS,
                remedy="Leave one of them out",
            )
        if named and named not in LAYOUTS:
            raise DataError(
                f"unknown layout {named!r}", where=SETTINGS, remedy=nearest(named, LAYOUTS)
            )
        if named:
            return LAYOUTS[named]
        if LAYOUT in self.names:
            return read_layout(self.read(LAYOUT, MAX_YAML), LAYOUT, self._first_bvh())
        files = [row.skeleton for row in self.good_rows if row.skeleton]
        if not files:
            return KINECT_V1  # no skeleton will ever be laid out by it
        if bvh := self._first_bvh():
            self.layout_guessed = True
            return guess_layout(bvh, files[0])
        raise DataError(
            "does not say what joints the skeletons have",
            where=SETTINGS if SETTINGS in self.names else self.archive.path,
            remedy=f"Write {LAYOUT}, or name a layout in {SETTINGS}, as in layout: kinect_v1",
        )

    @cached_property
    def shared(self) -> frozenset[str]:
        """Accelerometer files that several recordings are cut from."""
        files = Counter(row.accelerometer for row in self.good_rows)
        return frozenset(name for name, count in files.items() if count > 1)

    def digest(self) -> str:
        """Return the sha256 of all that is named: files beside it are nobody's business.

        Raises:
            DataError: They cannot be read.
        """
        if not isinstance(self.archive, Folder):
            return self.archive.digest()
        named = {MANIFEST, SETTINGS, LAYOUT}
        for row in self.good_rows:
            named |= {row.accelerometer, row.skeleton or ""}
        return self.archive.only(named).digest()

    def read(self, name: str, at_most: int) -> bytes:
        """Return the bytes of a file of the folder; DataError if over `at_most`."""
        return self.archive.read(self._prefix + name, at_most)

    def accelerometer(self, row: Row) -> AccelerometerFile:
        """Read the whole accelerometer file of a recording; PskdError where it is wrong."""
        name, rate, unit = row.accelerometer, row.rate, row.unit
        return self._kept(  # type: ignore[no-any-return]
            "accelerometer",
            (name, rate, unit),
            lambda: read_accelerometer(self.read(name, MAX_BYTES), Path(name), rate, unit),
        )

    def skeleton(self, row: Row) -> SkeletonFile | None:
        """Read the skeleton file of a recording; PskdError where it is wrong."""
        name, rate = row.skeleton, row.skeleton_rate
        if name is None:
            return None
        return self._kept(  # type: ignore[no-any-return]
            "skeleton",
            (name, rate),
            lambda: read_skeleton(self.read(name, skeleton.MAX_BYTES), name, self.layout, rate),
        )

    def usual_rate(self) -> float:
        """Median sampling rate of a few accelerometer files, from their beginnings, Hz.

        Raises:
            PskdError: None of them can be read.
        """
        rows = self.good_rows
        if not rows:
            raise DataError(
                "names no recording that can be used",
                where=MANIFEST,
                remedy=f"`pskd data check {self.archive.path}` lists what is wrong",
            )
        rates: list[float] = []
        faults: list[PskdError] = []
        for row in rows[:: -(-len(rows) // _PROBES)]:
            try:
                data = self.read(row.accelerometer, MAX_BYTES)
                if not row.accelerometer.lower().endswith(".parquet") and len(data) > _HEAD:
                    data = data[: data.rfind(b"\n", 0, _HEAD) + 1]
                name = Path(row.accelerometer)
                rates.append(read_accelerometer(data, name, row.rate, row.unit).rate)
            except PskdError as error:
                faults.append(error)
        if not rates:
            raise faults[0]
        usual = float(np.median(rates))
        return float(round(usual)) if usual >= 10 else round(usual, 1)

    def _first_bvh(self) -> Bvh | None:
        names = (row.skeleton for row in self.good_rows if row.skeleton)
        name = next((name for name in names if name.lower().endswith(".bvh")), None)
        return parse_bvh(self.read(name, skeleton.MAX_BYTES), name) if name else None

    def _kept(self, kind: str, key: Hashable, read: Callable[[], object]) -> Any:
        """What was read last, kept because recordings cut from one file follow each other."""
        if kind not in self._last or self._last[kind][0] != key:
            try:
                self._last[kind] = key, read()
            except PskdError as error:
                self._last[kind] = key, error
        found = self._last[kind][1]
        if isinstance(found, PskdError):
            raise found
        return found


def _missing(what: str, root: Path | None) -> DataError:
    return DataError(
        f"no recordings found: {what}",
        where=root,
        remedy=f"Write {MANIFEST} as docs/your-data.md says and name its folder; "
        "`pskd data simulate folder DIR` writes an example",
    )
