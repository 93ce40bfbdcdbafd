"""Parsers that read files and folders, not bytes: each is given what it reads on disk."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from fuzz import seeds
from pskd.data.archive import open_archive
from pskd.data.npy import map_npy
from pskd.data.skeleton import KINECT_V1
from pskd.errors import DataError


@contextmanager
def _folder(files: seeds.Files) -> Iterator[Path]:
    """Write files into a folder for as long as they are needed."""
    folder = Path(tempfile.mkdtemp(prefix="pskd-fuzz-"))
    try:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        yield folder
    finally:
        shutil.rmtree(folder)


def archive(data: bytes) -> None:
    """Read all members of an archive, and its digest."""
    with _folder({"archive": data}) as folder:
        _read_all(folder / "archive")


def _read_all(path: Path) -> None:
    with open_archive(path) as archive:
        archive.digest()
        fault = None
        for name in archive.names:
            assert not name.startswith("/") and ".." not in name.split("/")
            try:
                assert len(archive.read(name, 1 << 20)) <= 1 << 20
            except DataError as error:
                fault = error  # the others are still to be tried
        if fault:
            raise fault


def listing(data: bytes) -> None:
    """Make a folder with the files that the lines of a text name; `>` makes a symbolic link."""
    with _folder({}) as folder:
        for line in data.split(b"\n")[:50]:
            link, name = line.startswith(b">"), os.fsdecode(line.lstrip(b">/")[:400])
            with suppress(OSError, ValueError):
                if ".." not in name and not link:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(line)
                elif ".." not in name:
                    (folder / name).symlink_to("/etc/passwd")
        _read_all(folder)


def _small() -> seeds.Files:
    return {
        "Inertial/a1_s1_t1_inertial.mat": b"signal" * 9,
        "x/" * 60 + "y.txt": b"",
        "ä.csv": b"1,2" * 9,
    }


def zips() -> list[bytes]:
    """Zips, one of them compressed in a way that is refused."""
    return [
        seeds.zipped(_small()),
        seeds.zipped(_small(), zipfile.ZIP_STORED),
        seeds.zipped({"a": b"x"}, zipfile.ZIP_BZIP2),
        seeds.utd(True)["Inertial.zip"],
    ]


def tars() -> list[bytes]:
    """Tars of three kinds."""
    forms = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    return [seeds.tarred(_small(), form) for form in forms[:2]] + [
        seeds.tarred({"a/b": b"x" * 700, "c": b""}, forms[2])
    ]


def gzips() -> list[bytes]:
    """Gzipped tars."""
    return [gzip.compress(data, 1, mtime=0) for data in tars()]


def _sealed(data: bytes) -> bytes:
    """Put the right sha256 at the beginning of an index, as its writer does."""
    rest = data.partition(b", ")[2]
    return b'{"sha256": "%s", ' % hashlib.sha256(rest).hexdigest().encode() + rest


def index(data: bytes) -> None:
    """Open a store whose index was changed, and was changed and sealed anew."""
    from pskd.data.store import Store

    folder, key, name = _store()
    source = SimpleNamespace(name=name, layout=KINECT_V1)
    (folder / "index.json").write_bytes(_sealed(data))
    with suppress(DataError):
        Store(folder, key, source)
    (folder / "index.json").write_bytes(data)
    for recording in Store(folder, key, source):
        assert np.isfinite(recording.acceleration).all()


@cache
def _store() -> tuple[Path, str, str]:
    """A store of simulated people, made once a process."""
    from pskd.data.store import open_store
    from pskd.datasets.simulated import Simulated

    folder = Path(tempfile.mkdtemp(prefix="pskd-fuzz-store-"))
    os.environ["PSKD_WORKERS"] = "0"
    store = open_store(Simulated(None, {"subjects": 1, "trials": 1}), folder)
    return store.folder, store.key, store.dataset


def indices() -> list[bytes]:
    """The index of a store."""
    return [(_store()[0] / "index.json").read_bytes()]


def array(data: bytes) -> None:
    """Map an array of a store."""
    with _folder({"acceleration.npy": data}) as folder:
        map_npy(folder / "acceleration.npy", (30, 4, 3)).tobytes()


def recipe(data: bytes) -> None:
    """Load a recipe."""
    from pskd.recipe import load_recipe

    with _folder({"recipe.yaml": data}) as folder:
        load_recipe(folder / "recipe.yaml")


def recipes() -> list[bytes]:
    """Those that ship."""
    folder = Path(__file__).parents[1] / "src" / "pskd" / "recipes"
    return [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]


@cache
def students() -> dict[str, seeds.Files]:
    """The files of students that were never trained, by the checksum of their weights."""
    import torch

    from pskd.models import build
    from pskd.models.base import Signal
    from pskd.models.student_folder import StudentConfig, save_student

    torch.manual_seed(0)
    signal = Signal(classes=3, samples=96, embedding=8)
    some = {
        "temporal_cnn": {"widths": [8, 8], "strides": [2, 1], "stem": 8},
        "gaf_cnn": {"image_size": 16},
        "xtinyhar": {"patch": 8},
        "tinyhar": {"filters": 4},
    }
    found = {}
    for name, options in some.items():
        config = StudentConfig(
            model=name, options=options, dataset="simulated", classes=["a", "b", "c"],
            samples=96, embedding=8, rate=48.0, window_seconds=2.0, hop_seconds=1.0,
            normalisation="none", placement="wrist", protocol="cross_subject", protocol_note="",
            parameters=1, macs=1, licence="none", seed=0,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            save_student(Path(folder) / "student", build(name, signal, **options), config)
            files = seeds.files_of(Path(folder) / "student")
        found[json.loads(files["config.json"])["sha256"]] = files
    return found


def student_files(name: str) -> list[bytes]:
    """A file of each student."""
    return [files[name] for files in students().values()]


def student_config(data: bytes) -> None:
    """Load a student whose configuration was changed."""
    known = (files for sha256, files in students().items() if sha256.encode() in data)
    files = next(known, next(iter(students().values())))
    _load_student({**files, "config.json": data})


def student_weights(data: bytes) -> None:
    """Load a student whose weights were changed and sealed anew."""
    config = json.loads(next(iter(students().values()))["config.json"])
    config["sha256"] = hashlib.sha256(data).hexdigest()
    _load_student({"model.safetensors": data, "config.json": json.dumps(config).encode()})


def _load_student(files: seeds.Files) -> None:
    """Load a student; it must then take a window and be fit to be shown, or be refused in words."""
    import torch

    from pskd.errors import PskdError
    from pskd.models.student_card import model_card
    from pskd.models.student_folder import load_student

    with _folder(files) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, of layers without any numbers
        try:
            model, config = load_student(folder)
        except PskdError as error:
            assert str(error).isprintable() and len(str(error)) < 10_000
            raise
    with torch.inference_mode():
        model(torch.zeros(1, 3, config.samples))
    assert all(line.isprintable() for line in model_card(config).split("\n"))
