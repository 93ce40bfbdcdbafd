import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.recording import Recording, SetAside
from pskd.data.store import Store, open_store, store_key
from pskd.errors import DataError


def opened(source: Any, cache: Path, **options: Any) -> Store:
    return open_store(source, cache, **options)


def test_recordings_come_back_as_they_were(small: Any, tmp_path: Path) -> None:
    trials = list(small.make())
    originals = [t for t in trials if isinstance(t, Recording)]
    store = opened(small, tmp_path)
    assert len(store) == len(originals) == len(store.info) == 23
    for original, kept, info in zip(originals, store, store.info, strict=True):
        np.testing.assert_array_equal(kept.acceleration, original.acceleration)
        assert (kept.skeleton is None) == (original.skeleton is None) != info.has_skeleton
        if original.skeleton is not None:
            np.testing.assert_array_equal(kept.skeleton, original.skeleton)
        plain = {"acceleration": None, "skeleton": None}
        assert vars(kept) | plain == vars(original) | plain
        assert (info.id, info.label, info.subject) == (kept.id, kept.label, kept.subject)
        assert (info.trial, info.session, info.seconds) == (kept.trial, "morning", kept.seconds)
    assert store.set_aside == [SetAside("a1_s3_t2", "torn")]
    assert store[-1].id == originals[-1].id
    with pytest.raises(IndexError):
        store[23]


def test_signals_are_read_only_views_of_the_files(small: Any, tmp_path: Path) -> None:
    store = opened(small, tmp_path)
    skeleton = store[0].skeleton
    assert skeleton is not None and not skeleton.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        store[0].acceleration[0] = 0


def test_the_files_are_plain(small: Any, tmp_path: Path) -> None:
    folder = opened(small, tmp_path).folder
    assert sorted(p.name for p in folder.iterdir()) == [
        "acceleration.npy",
        "index.json",
        "skeleton.npy",
    ]
    acceleration = np.load(folder / "acceleration.npy", allow_pickle=False)
    skeleton = np.load(folder / "skeleton.npy", allow_pickle=False)
    index = json.loads((folder / "index.json").read_text())
    assert acceleration.shape == (sum(r["samples"] for r in index["recordings"]), 3)
    assert skeleton.shape == (sum(r["frames"] for r in index["recordings"]), 20, 3)
    assert acceleration.dtype == skeleton.dtype == np.float32


def test_built_once_and_again_when_the_key_changes(small: Any, tmp_path: Path) -> None:
    first = opened(small, tmp_path)
    opened(small, tmp_path)
    assert small.reads == 1
    small.version = 2
    second = opened(small, tmp_path)
    assert small.reads == 2 and second.folder != first.folder and first.folder.is_dir()
    small.key = lambda: "changed"
    assert opened(small, tmp_path).folder != second.folder and small.reads == 3
    assert opened(small, tmp_path).folder.name == f"small-{store_key(small)[:16]}"


def test_no_skeleton_at_all(small: Any, tmp_path: Path) -> None:
    def without() -> Iterator[Recording]:
        for trial in type(small)().make():
            if isinstance(trial, Recording):
                yield replace(trial, skeleton=None)

    small.make = without
    store = opened(small, tmp_path)
    store.verify()
    assert len(store) == 23 and store[5].skeleton is None


Damage = Callable[[Path], object]


def _truncate(name: str) -> Damage:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 4)


def _flip(name: str, position: int) -> Damage:
    def flip(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[position] ^= 0xFF
        (folder / name).write_bytes(data)

    return flip


def _lengthen(folder: Path) -> None:
    with (folder / "acceleration.npy").open("ab") as stream:
        stream.write(b"more")


def _relabel(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["recordings"][0]["label"] = 2
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate("acceleration.npy"),
        _truncate("skeleton.npy"),
        _truncate("index.json"),
        lambda folder: (folder / "skeleton.npy").unlink(),
        lambda folder: (folder / "index.json").write_text("[]"),
        lambda folder: (folder / "acceleration.npy").write_bytes(b""),
        _lengthen,
        lambda folder: np.save(folder / "skeleton.npy", np.zeros((3, 20, 3), np.float32)),
        _relabel,
    ],
)
def test_a_damaged_store_is_built_again(small: Any, tmp_path: Path, damage: Damage) -> None:
    store = opened(small, tmp_path)
    expected = [r.acceleration.copy() for r in store]
    damage(store.folder)
    with pytest.raises(DataError, match="is no complete store"):
        Store(store.folder, store.key, small)
    again = opened(small, tmp_path)
    assert small.reads == 2 and again.folder == store.folder
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.acceleration, other)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [store.folder.name]


@pytest.mark.parametrize("position", range(0, 128, 3))
def test_a_damaged_array_header_is_found(small: Any, tmp_path: Path, position: int) -> None:
    folder = opened(small, tmp_path).folder
    _flip("acceleration.npy", position)(folder)
    opened(small, tmp_path, verify=True)
    assert small.reads == 2


def test_a_flipped_bit_is_found_by_verify(small: Any, tmp_path: Path) -> None:
    store = opened(small, tmp_path)
    store.verify()
    _flip("acceleration.npy", 201)(store.folder)
    with pytest.raises(DataError, match=r"sha256 of acceleration.npy differs"):
        store.verify()
    opened(small, tmp_path, verify=True).verify()
    assert small.reads == 2


@pytest.mark.parametrize("step", ["numpy.save", "json.dump", "os.fsync", "pathlib.Path.rename"])
def test_disk_full_leaves_nothing(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(DataError, match=r"No space left on device.*Free some space"):
            opened(small, cache)
    assert not [p for p in cache.iterdir() if p.is_dir()]
    assert len(opened(small, cache)) == 23


def test_a_cache_that_cannot_be_made(small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose a cache folder that can be written"):
        opened(small, tmp_path / "file" / "cache")


def test_a_source_that_fails_leaves_nothing(small: Any, tmp_path: Path) -> None:
    def failing() -> Iterator[Recording]:
        yield next(type(small)().make())
        raise DataError("gone")

    small.make = failing
    with pytest.raises(DataError, match="gone"):
        opened(small, tmp_path)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (lambda r: [], "no recording of small can be used"),
        (lambda r: [SetAside("a9", "torn")], "no recording of small can be used; a9: torn"),
        (lambda r: [r, r], "two recordings have this name"),
        (lambda r: [replace(r, skeleton=np.zeros((9, 17, 3), np.float32))], "not that of kinect"),
    ],
)
def test_recordings_that_make_no_store(
    small: Any, tmp_path: Path, trials: Callable[[Recording], list[object]], message: str
) -> None:
    first = next(small.make())
    small.make = lambda: iter(trials(first))
    with pytest.raises(DataError, match=message):
        opened(small, tmp_path)


# A second source for real processes: each read leaves a line, then takes its time.
_CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import Small
from pskd.data.store import open_store

class Slow(Small):
    def make(self):
        with open(sys.argv[3], "a") as log:
            log.write("read\\n")
        time.sleep(float(sys.argv[4]))
        yield from super().make()

store = open_store(Slow(), Path(sys.argv[2]))
store.verify()
print(len(store), store.key)
"""


def _child(cache: Path, log: Path, seconds: float) -> "subprocess.Popen[str]":
    arguments = [str(Path(__file__).parent), str(cache), str(log), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments], stdout=subprocess.PIPE, text=True
    )


def _wait_for(log: Path) -> None:
    deadline = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < deadline, "the process never began to read"
        time.sleep(0.01)


def test_two_processes_at_once_build_one_store(small: Any, tmp_path: Path) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    children = [_child(cache, log, 1.0) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert outputs == [f"23 {store_key(small)}\n"] * 2
    assert log.read_text() == "read\n"
    assert len([p for p in cache.iterdir() if p.is_dir()]) == 1


def test_a_process_killed_while_building_is_no_hindrance(small: Any, tmp_path: Path) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    child = _child(cache, log, 60)
    _wait_for(log)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    folder = cache / f"small-{store_key(small)[:16]}"
    left = folder.with_name(f".{folder.name}.new")
    left.mkdir()  # as if it had been killed a little later
    (left / "acceleration.npy").write_bytes(b"half")
    assert len(opened(small, cache)) == 23
    assert not left.exists()
