"""Good files to start from, all simulated, and small so that many can be tried."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from pskd.datasets.twins import berkeley_mhad, mmact, utd_mhad

Files = dict[str, bytes]
"""Contents of a folder by relative names."""


def files_of(folder: Path) -> Files:
    """Read all that a folder holds."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _twin(write: Callable[[Path], object]) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "twin")
        return files_of(Path(folder) / "twin")


@cache
def utd(zipped: bool = False) -> Files:
    """A UTD-MHAD of seven actions, since every trap is in an action of its own."""
    return _twin(
        lambda f: utd_mhad.write(f, subjects=1, trials=1, classes=7, traps=True, zipped=zipped)
    )


@cache
def berkeley() -> Files:
    """A Berkeley-MHAD whose cameras are slow, so that its files are small."""
    return _twin(
        lambda f: berkeley_mhad.write(
            f, subjects=2, trials=2, classes=2, traps=True, markers_hz=30.0
        )
    )


@cache
def mmact_tree(pose: str = "coco", zipped: bool = False) -> Files:
    """An MMAct in which thirteen takes have all the traps of sensor files."""
    return _twin(
        lambda f: mmact.write(
            f, subjects=1, trials=1, classes=13, traps=True, pose=pose, zipped=zipped, workers=1
        )
    )


JOINTS = ("hips", "neck", "head", "right_wrist")
LAYOUT = b"""\
name: four
joints: [hips, neck, head, right_wrist]
parents: {neck: hips, head: neck, right_wrist: neck}
torso: [neck, hips]
"""
SETTINGS = b"""\
title: Kitchen
unit: g
rate: 50
skeleton_rate: 30
classes: [stir, cut]
alignment: stretch
"""
MANIFEST = b"""\
recording,label,subject,session,split,accelerometer,skeleton,start,stop,rate,alignment
r1,stir,1,a,train,accelerometer/r1.csv,skeleton/r1.csv,,,,clock
r2,cut,1,a,train,accelerometer/r2.parquet,skeleton/r2.npy,,,,none
r3,stir,2,b,test,accelerometer/r3.csv,skeleton/r3.bvh,,,50,stretch
"r4",cut,2,b,test,accelerometer/long.csv,,0.2,0.8,,
r5,cut,2,b,test,accelerometer/long.csv,,1,1.9,,
"""


@cache
def own() -> Files:
    """A folder of a user's own data with a file of every kind."""
    wave = np.sin(np.arange(100)[:, None] / [5, 7, 9]) * 0.2 + [0, 0, 1]
    times = np.arange(100) / 50
    joints = np.sin(np.arange(30)[:, None, None] / 9 + np.arange(12).reshape(4, 3)).astype("f4")
    return {
        "manifest.csv": MANIFEST,
        "dataset.yaml": SETTINGS,
        "layout.yaml": LAYOUT,
        "accelerometer/r1.csv": table("t,x,y,z", np.column_stack([times, wave])[:60]),
        "accelerometer/r2.parquet": parquet(times[:60], wave[:60]),
        "accelerometer/r3.csv": table("x,y,z", wave[:60]),
        "accelerometer/long.csv": table("t_ms,x,y,z", np.column_stack([times * 1000, wave])),
        "skeleton/r1.csv": table(
            ",".join(["t", *(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")]),
            np.column_stack([np.arange(30) / 25, joints.reshape(30, 12)]),
        ),
        "skeleton/r2.npy": npy(joints),
        "skeleton/r3.bvh": small_bvh(30),
    }


def table(header: str, values: np.ndarray) -> bytes:
    """Write a CSV file."""
    lines = [",".join(f"{value:.6g}" for value in row) for row in values.tolist()]
    return "\n".join([header, *lines, ""]).encode()


def parquet(times: np.ndarray, values: np.ndarray, compression: str = "snappy") -> bytes:
    """Write a parquet file of t, x, y and z."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    columns = dict(zip("txyz", [times, *values.T], strict=True))
    pq.write_table(pa.table(columns), stream, compression=compression)
    return stream.getvalue()


def npy(values: np.ndarray) -> bytes:
    """Write an npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def small_bvh(frames: int) -> bytes:
    """Write a BVH file of the four joints."""
    channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
    wrist = f"JOINT right_wrist {{ OFFSET 5 0 0 {channels} End Site {{ OFFSET 1 0 0 }} }}"
    head = f"JOINT head {{ OFFSET 0 2 0 {channels} End Site {{ OFFSET 0 1 0 }} }}"
    motion = np.sin(np.arange(frames)[:, None] / 9 + np.arange(15)) * 20
    rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in motion.tolist())
    return (
        "HIERARCHY\nROOT hips\n{\n OFFSET 0 0 0\n CHANNELS 6 Xposition Yposition Zposition "
        f"Zrotation Xrotation Yrotation\n JOINT neck\n {{\n OFFSET 0 5 0\n {channels}\n"
        f"{head}\n{wrist}\n}}\n}}\nMOTION\nFrames: {frames}\nFrame Time: 0.04\n{rows}\n"
    ).encode()


def first_rows(data: bytes, rows: int) -> bytes:
    """Return the first lines of a text; of a BVH file, the first of its motion."""
    head = b""
    if match := re.search(rb"Frames:\s*\d+(\s+Frame Time:.*\n)", data):
        head, data = data[: match.start()] + b"Frames: %d" % rows + match[1], data[match.end() :]
    return head + b"".join(data.splitlines(keepends=True)[:rows])


def first_frames(data: bytes, frames: int) -> bytes:
    """Return the first frames of a pose file in JSON."""
    return json.dumps(dict(list(json.loads(data).items())[:frames])).encode()


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack files into a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def tarred(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Pack files into a tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return stream.getvalue()
