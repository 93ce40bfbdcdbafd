"""Your own recordings: a folder with a manifest, accelerometer files and, where seen, skeletons.

The format is that of docs/your-data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from pskd.data.recording import Recording, SetAside
from pskd.datasets.base import Dataset
from pskd.datasets.folder.pair import make_recording
from pskd.datasets.folder.row import BadRow, Row
from pskd.datasets.folder.source import Source
from pskd.errors import PskdError


class Folder(Dataset):
    """Reader of a folder of the user's own recordings, or of a zip or tar of one.

    Args:
        root: The folder with `manifest.csv`.
        options: None are taken.

    Raises:
        DataError: There is no manifest, or it, `dataset.yaml` or `layout.yaml` are wrong; no
            accelerometer file can be read.
        UsageError: There are options; an unknown layout.
    """

    name = "folder"
    title = "Your own data"
    version = 1
    citation = "none"
    licence = "not said"
    homepage = ""

    def __init__(self, root: Path | None = None, options: Mapping[str, object] | None = None):
        super().__init__(root, options)
        self._source = source = Source(root)
        if source.problems:
            raise source.problems[0]
        settings = source.settings
        self.layout = source.layout
        self.classes = settings.classes or tuple(sorted({row.label for row in source.good_rows}))
        self.rate = settings.rate or source.usual_rate()
        self.placement = settings.placement
        self.title = source.title
        self.citation, self.licence = settings.citation, settings.licence
        self.homepage = settings.homepage

    def key(self) -> str:
        """Return the sha256 over the manifest, the settings and the files that they name."""
        return self._source.digest()

    def trials(self) -> list[str]:
        """Return the recordings in the order of the manifest; bad lines by name or number."""
        return list(self._rows)

    def load(self, trial: str) -> Recording | SetAside:
        """Read the files of a recording; one that cannot be used is set aside."""
        row = self._rows[trial]
        if isinstance(row, BadRow):
            return SetAside(trial, " ".join(map(str, row.errors)))
        try:
            return make_recording(
                row,
                self._source.accelerometer(row),
                self._source.skeleton(row),
                self.layout,
                dataset=self.name,
                label=self.classes.index(row.label),
                rate=self.rate,
                shared=row.accelerometer in self._source.shared,
            )
        except PskdError as error:
            return SetAside(trial, str(error))

    @cached_property
    def _rows(self) -> dict[str, Row | BadRow]:
        return {r.recording if isinstance(r, Row) else r.name: r for r in self._source.rows}
