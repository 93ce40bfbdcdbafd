"""Every parser of untrusted bytes: good files to start from, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from fuzz import on_disk, seeds
from pskd.data.accelerometer_file import read_accelerometer
from pskd.data.bvh import read_bvh
from pskd.data.matfile import read_matrix
from pskd.data.skeleton import COCO_17, OPENPOSE_18, SkeletonLayout, layout
from pskd.datasets.berkeley_mhad import mocap
from pskd.datasets.berkeley_mhad.signals import read_samples
from pskd.datasets.folder.layout import guess_layout, read_layout
from pskd.datasets.folder.manifest import read_manifest
from pskd.datasets.folder.pair import make_recording
from pskd.datasets.folder.row import Row
from pskd.datasets.folder.settings import Settings, read_settings
from pskd.datasets.folder.skeleton import fill_holes, read_skeleton
from pskd.datasets.mmact import pose
from pskd.datasets.mmact.signals import read_clip
from pskd.errors import DataError, PskdError


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: Its name.
        parse: Takes the bytes of a file; all of it is read, and what comes out is used.
        make_seeds: Makes good files.
        refuses: What it may raise, as its documentation says.
        kinds: What damage is to know of the format: keys of `fuzz.mutate.DAMAGES`.
    """

    name: str
    parse: Callable[[bytes], object]
    make_seeds: Callable[[], list[bytes]]
    refuses: tuple[type[Exception], ...] = (ValueError,)
    kinds: tuple[str, ...] = ("text",)

    @cached_property
    def seeds(self) -> list[bytes]:
        """Good files, made when first needed."""
        return self.make_seeds()


# --- UTD-MHAD and Berkeley-MHAD -----------------------------------------------------------------


def _mat(data: bytes) -> None:
    for name in ("d_iner", "d_skel"):
        with suppress(ValueError):
            read_matrix(data, name, 1 << 20)
    read_matrix(data, "d_iner", 1 << 20)


def _mats() -> list[bytes]:
    plain = BytesIO()
    savemat(plain, {"d_iner": np.eye(3), "text": np.array("abc")})
    files = seeds.utd()
    return [plain.getvalue(), *(data for name, data in files.items() if "Inertial" in name)]


def _markers(data: bytes) -> None:
    mocap.marker_start(data)
    times, positions = mocap.read_markers(data)
    mocap.resample(times, positions, np.linspace(times[0], times[-1], 50))


def _bvh(data: bytes) -> None:
    bvh = read_bvh(data)
    with suppress(DataError):
        guess_layout(bvh, "s.bvh")


def _berkeley(start: str, rows: int) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        found = [data for name, data in seeds.berkeley().items() if name.startswith(start)]
        return [seeds.first_rows(data, rows) for data in found]

    return make


# --- MMAct --------------------------------------------------------------------------------------


def _poses(parse: Callable[[bytes], Any], joints: SkeletonLayout) -> Callable[[bytes], object]:
    def use(data: bytes) -> None:
        poses = parse(data)
        for persons in (1, 2):
            found = pose.skeleton(poses, joints, persons)
            assert found is None or np.isfinite(found).all()

    return use


def _watch_files() -> list[bytes]:
    files = seeds.mmact_tree()
    return [data[:4000] for name, data in files.items() if name.endswith(".csv")]


def _coco_files() -> list[bytes]:
    files = [data for name, data in seeds.mmact_tree().items() if name.endswith(".json")]
    whole = [data for data in files if data.endswith(b"}")][:8]
    return [seeds.first_frames(data, 5) for data in whole]


def _openpose_files() -> list[bytes]:
    files = seeds.mmact_tree("openpose")
    arrays = [np.load(BytesIO(data)) for name, data in files.items() if name.endswith("2.npy")]
    arrays += [np.load(BytesIO(data)) for name, data in list(files.items())[20:24]]
    return [seeds.npy(array[:5]) for array in arrays] + [seeds.npy(arrays[0][:9, ..., 0])]


# --- a user's own folder ------------------------------------------------------------------------

FOUR = SkeletonLayout("four", seeds.JOINTS, (0, 0, 1, 1), (1, 0))
_ROW = Row(
    line=2, recording="r1", label="stir", subject="1", trial="1", session="", scene="", side="",
    accelerometer="a.csv", skeleton="s.csv", start=None, stop=None, rate=50.0, skeleton_rate=None,
    unit="auto", alignment="stretch",
)  # fmt: skip


def _manifest(data: bytes) -> None:
    for given in (Settings(), Settings(classes=("stir", "cut"), rate=50.0)):
        rows = read_manifest(data, list(seeds.own()), given)
        names = [row.recording if isinstance(row, Row) else row.name for row in rows]
        assert len(set(names)) == len(names)


def _settings(data: bytes) -> None:
    problems: list[PskdError] = []
    given = read_settings(data, "dataset.yaml", problems)
    if problems:
        raise problems[0]
    if given.layout:
        layout(given.layout)


def _layout(data: bytes) -> None:
    with suppress(DataError):
        read_layout(data, "layout.yaml", read_bvh(seeds.small_bvh(2)))
    made = read_layout(data, "layout.yaml")
    assert len(made.edges) == len(made.joints) - 1


def _accelerometer(ending: str) -> Callable[[bytes], object]:
    def use(data: bytes) -> None:
        sensor = read_accelerometer(data, Path(f"a{ending}"), 50.0)
        for rate in (10.0, 100.0):
            make_recording(
                _ROW, sensor, None, FOUR, dataset="own", label=0, rate=rate, shared=False
            )

    return use


def _skeleton(ending: str) -> Callable[[bytes], object]:
    def use(data: bytes) -> None:
        found = read_skeleton(data, f"s{ending}", FOUR, 30.0)
        sensor = _sensor()
        for alignment in ("stretch", "clock"):
            row = replace(_ROW, alignment=alignment)
            make_recording(row, sensor, found, FOUR, dataset="own", label=0, rate=50.0, shared=True)
        fill_holes(found.joints, found.rate or 30.0, FOUR, "s")

    return use


@cache
def _sensor() -> Any:
    return read_accelerometer(seeds.own()["accelerometer/r1.csv"], Path("a.csv"))


def _own(*endings: str) -> Callable[[], list[bytes]]:
    return lambda: [data for name, data in seeds.own().items() if name.endswith(endings)]


def _parquets() -> list[bytes]:
    times, values = np.arange(60) / 50, np.tile([0.0, 0.6, 0.8], (60, 1))
    return [
        seeds.parquet(times, values, how) for how in ("snappy", "none", "gzip", "zstd", "brotli")
    ]


# --- all of them ---------------------------------------------------------------------------------

_PSKD, _DATA = (PskdError,), (DataError,)

_ALL = (
    Target("zip", on_disk.archive, on_disk.zips, _DATA, ("zip",)),
    Target("tar", on_disk.archive, on_disk.tars, _DATA, ("tar",)),
    Target("tar.gz", on_disk.archive, on_disk.gzips, _DATA, ("gzip",)),
    Target("folder listing", on_disk.listing, lambda: [b"a/b.csv\nc/d.npy\n", b"f\n>e\n"], _DATA),
    Target("mat", _mat, _mats, kinds=("bytes", "mat")),
    Target("bvh", _bvh, lambda: [*_berkeley("Mocap/Sk", 12)()[:2], seeds.small_bvh(8)]),
    Target("berkeley accelerometer", read_samples, _berkeley("Acc", 60)),
    Target("berkeley markers", _markers, _berkeley("Mocap/Op", 12)),
    Target("berkeley skeleton", mocap.read_skeleton, _berkeley("Mocap/Sk", 12)),
    Target("berkeley cameras", mocap.camera_middle, _berkeley("Time", 30)),
    Target("mmact csv", read_clip, _watch_files),
    Target("mmact coco", _poses(pose.read_coco, COCO_17), _coco_files),
    Target(
        "mmact openpose", _poses(pose.read_openpose, OPENPOSE_18), _openpose_files,
        kinds=("bytes", "npy"),
    ),
    Target("manifest", _manifest, _own("manifest.csv"), _DATA),
    Target("dataset.yaml", _settings, _own("dataset.yaml"), _PSKD, ("yaml",)),
    Target("layout.yaml", _layout, _own("layout.yaml"), _DATA, ("yaml",)),
    Target(
        "accelerometer csv", _accelerometer(".csv"),
        lambda: [d for n, d in seeds.own().items() if n.startswith("acc") and n.endswith("csv")],
        _PSKD,
    ),
    Target("accelerometer parquet", _accelerometer(".parquet"), _parquets, _PSKD, ("bytes",)),
    Target("skeleton csv", _skeleton(".csv"), _own("skeleton/r1.csv"), _PSKD),
    Target("skeleton npy", _skeleton(".npy"), _own(".npy"), _PSKD, ("bytes", "npy")),
    Target("skeleton bvh", _skeleton(".bvh"), _own(".bvh"), _PSKD),
    Target("store index", on_disk.index, on_disk.indices, _DATA),
    Target(
        "store array", on_disk.array, lambda: [seeds.npy(np.zeros((30, 4, 3), "f4"))],
        (ValueError, OSError), ("bytes", "npy"),
    ),
    Target("recipe", on_disk.recipe, on_disk.recipes, _PSKD, ("yaml",)),
    Target(
        "student config", on_disk.student_config,
        lambda: on_disk.student_files("config.json"), _PSKD,
    ),
    Target(
        "student weights", on_disk.student_weights,
        lambda: on_disk.student_files("model.safetensors")[:1], _PSKD, ("bytes", "safetensors"),
    ),
)  # fmt: skip
TARGETS = {target.name: target for target in _ALL}
