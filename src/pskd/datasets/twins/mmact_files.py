"""How the simulated MMAct writes files, with what goes wrong in the real ones."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta

import numpy as np

from pskd.datasets.simulation.body import Array
from pskd.datasets.twins.cameras import as_openpose
from pskd.datasets.twins.mmact_takes import Act

SENSOR_TRAPS = (
    "none", "late stamps", "rows moved", "rows copied", "stamps repeated", "zero fraction left out",
    "a second without fractions", "no fractions", "header", "upper case", "empty", "one row", "gap",
)  # fmt: skip
POSE_TRAPS = (
    "none", "joints unseen", "people swapped", "frames without people", "nobody", "no file", "torn",
    "upper case",
)  # fmt: skip
UNUSABLE = {"empty", "one row", "gap", "torn"}
"""Traps that leave nothing to read."""


def sensor_trap(act: Act) -> str:
    """Which of `SENSOR_TRAPS` the sensor files of a take have."""
    return SENSOR_TRAPS[(act.label + 5 * act.subject + 3 * act.number) % len(SENSOR_TRAPS)]


def pose_trap(act: Act, camera: int) -> str:
    """Which of `POSE_TRAPS` the pose file of a camera has."""
    return POSE_TRAPS[(act.label + act.subject + act.number + camera) % len(POSE_TRAPS)]


def sensor_file(act: Act, times: Array, values: Array, trap: str) -> bytes:
    """Rows of `time,x,y,z`."""
    start = datetime(2018, 10, 16, 9, 0, 0, 612_000) + timedelta(
        minutes=37 * act.subject + act.label, hours=act.number
    )
    milliseconds = np.round(times * 1000).astype(int)
    middle = len(times) // 2
    if trap == "zero fraction left out":
        start = start.replace(microsecond=int(-milliseconds[middle] % 1000) * 1000)
    stamps = [start + timedelta(milliseconds=int(t)) for t in milliseconds]
    if trap == "late stamps":
        for row in (4, middle, middle + 1):
            stamps[row] += timedelta(milliseconds=45)
    if trap == "stamps repeated":
        for row in (4, middle):
            stamps[row] = stamps[row - 1]
    cut = slice(0)  # rows whose stamps lose their fraction
    if trap == "no fractions":
        cut = slice(None)
    if trap == "a second without fractions":
        second = stamps[middle].replace(microsecond=0)
        where = [i for i, s in enumerate(stamps) if s.replace(microsecond=0) == second]
        cut = slice(where[0], where[-1] + 1)
    text = [f"{s:%Y%m%d_%H:%M:%S.%f}" for s in stamps]
    text[cut] = [stamp[:-7] for stamp in text[cut]]
    if trap == "zero fraction left out":
        text[middle] = text[middle].removesuffix(".000000")
    rows = [
        f"{t},{x:.8g},{y:.8g},{z:.8g}\r\n"
        for t, (x, y, z) in zip(text, values.tolist(), strict=True)
    ]
    if trap == "rows moved":
        fast = int(np.abs(np.diff(values[5:-60], axis=0)).sum(axis=1).argmax()) + 5
        rows[fast : fast + 44] = rows[fast + 4 : fast + 44] + rows[fast : fast + 4]
    if trap == "rows copied":
        rows[middle:middle] = rows[middle - 3 : middle]
    if trap == "header":
        rows.insert(0, "time,x,y,z\r\n")
    if trap == "gap":
        del rows[20:-20]
    return "".join(rows[: {"empty": 0, "one row": 1}.get(trap)]).encode()


def poses(act: Act, camera: int, trap: str) -> tuple[Array, Array]:
    """Return what stands in a pose file [F, 2, 17, 3], and what was there to be seen, alike.

    In the latter the first is who moves.
    """
    actor, onlooker = act.people(camera, watched=trap == "people swapped")
    there = np.stack([actor, np.zeros_like(actor) if onlooker is None else onlooker], axis=1)
    found = there.copy()
    frames = len(there)
    rng = act.rng(4, camera)
    if trap == "joints unseen":
        found[frames // 4 : frames // 2, :, 10] = 0  # a wrist for a while
        found[:, :, 4] = 0  # an ear all along
    if trap == "frames without people":
        found[[0, *range(frames // 3, frames // 3 + 5)]] = 0
    if trap == "nobody":
        found[:] = 0
    if trap == "people swapped":
        swapped = rng.random(frames) < 0.3
        found[swapped] = found[swapped, ::-1]
    return found, there


def coco_file(found: Array, trap: str) -> bytes:
    """Poses as the JSON of the challenge."""
    frames = {
        str(number): {
            f"person{slot}": body.ravel().tolist() if body.any() else []
            for slot, body in enumerate(frame, start=1)
        }
        for number, frame in enumerate(found)
    }
    data = json.dumps(frames).encode()
    return data[: len(data) // 2] if trap == "torn" else data


def openpose_file(found: Array, trap: str) -> bytes:
    """Poses as an array [F, 18, 3, 2]."""
    buffer = io.BytesIO()
    np.save(buffer, as_openpose(found).transpose(0, 2, 3, 1), allow_pickle=False)
    data = buffer.getvalue()
    return data[: len(data) // 2] if trap == "torn" else data
