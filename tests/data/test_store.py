import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pskd.data.archive import file_digest, open_archive
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


def test_numbers_that_name_something_become_text(small: Any, tmp_path: Path) -> None:
    first = next(small.make())
    numbers: dict[str, Any] = {"label": np.uint8(2), "subject": np.int64(7), "trial": 1, "take": 3}
    small.make = lambda: iter([replace(first, **numbers)])
    for _ in range(2):  # as built, and as read
        (info,) = opened(small, tmp_path).info
        assert (info.label, info.subject, info.trial, info.take) == (2, "7", "1", "3")


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
    assert acceleration.shape == (sum(index["recordings"]["samples"]), 3)
    assert skeleton.shape == (sum(index["recordings"]["frames"]), 20, 3)
    content = (folder / "index.json").read_bytes()
    head, body = content[:79], content[79:]  # {"sha256": "...", and all that it covers
    assert head.decode() == '{"sha256": "' + hashlib.sha256(body).hexdigest() + '", '
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
    index["recordings"]["label"][0] = 2
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


@pytest.mark.parametrize(
    "step",
    [
        "pskd.data.npy.NpyWriter.append",
        "pskd.data.npy.NpyWriter.finish",
        "pskd.data.build.write_index",
        "os.fsync",
        "pathlib.Path.rename",
    ],
)
def test_disk_full_leaves_nothing_under_its_name(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(DataError, match=r"No space left on device.*Free some space"):
            opened(small, cache)
    (left,) = (p for p in cache.iterdir() if p.is_dir())
    assert left.name.endswith(".part")
    opened(small, cache).verify()
    assert len(opened(small, cache)) == 23 and not left.exists()


def test_a_disk_that_is_really_full(small: Any, tmp_path: Path) -> None:
    """In a process whose files may have 20 kB each; the arrays need more."""
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import Small
from pskd.data.store import open_store
from pskd.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    open_store(Small(), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "File too large" in done.stdout and "Free some space" in done.stdout
    assert not done.stderr and not (cache / f"small-{store_key(small)[:16]}").exists()
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


def test_two_processes_at_once_build_one_store(small: Any, tmp_path: Path) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    children = [_child(cache, log, 1.0) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert outputs == [f"23 {store_key(small)}\n"] * 2
    assert log.read_text() == "read\n"
    assert len([p for p in cache.iterdir() if p.is_dir()]) == 1


# --- taking up a build ------------------------------------------------------------------------


class Stopped(BaseException):
    """As a kill: nothing can be done about it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_after(source: Any, cache: Path, trials: int) -> Path:
    """Build until some trials are done; return the partial build."""

    def progress(done: int, _: int) -> None:
        if done == trials:
            raise Stopped

    with pytest.raises(Stopped):
        open_store(source, cache, progress=progress)
    return cache / f".small-{store_key(source)[:16]}.part"


@pytest.fixture
def noted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pskd.data.build._NOTE_SECONDS", -1.0)


@pytest.mark.usefixtures("noted_at_once")
@pytest.mark.parametrize("stop", [0, 1, 13, 14, 18, 24])
def test_a_stopped_build_is_taken_up_and_ends_with_the_same_bytes(
    small: Any, tmp_path: Path, stop: int
) -> None:
    expected = contents(opened(small, tmp_path / "undisturbed").folder)
    cache = tmp_path / "cache"
    stop_after(small, cache, stop)
    told: list[tuple[int, int]] = []
    store = open_store(small, cache, progress=lambda *done: told.append(done))
    assert told == [(n, 24) for n in range(stop, 25)]
    assert contents(store.folder) == expected
    assert [p.name for p in cache.iterdir() if p.is_dir()] == [store.folder.name]


@pytest.mark.usefixtures("noted_at_once")
def test_a_partial_build_torn_anywhere_is_taken_up_or_begun_again(
    small: Any, tmp_path: Path
) -> None:
    expected = contents(opened(small, tmp_path / "undisturbed").folder)
    cache = tmp_path / "cache"
    part = stop_after(small, cache, 16)
    journal, arrays = (part / "journal").read_bytes(), ("acceleration.npy", "skeleton.npy")
    began: list[int] = []
    for length in range(0, len(journal) + 1, 411):
        (part / "journal").write_bytes(journal[:length])
        for name in arrays:
            with (part / name).open("ab") as stream:
                stream.write(b"torn")
        store = open_store(small, cache, progress=lambda done, _: began.append(done))
        assert contents(store.folder) == expected
        assert min(began) == max(journal[:length].count(b"\n") - 1, 0)
        began.clear()
        shutil.rmtree(store.folder)
        stop_after(small, cache, 16)
    for damage in (lambda p: os.truncate(p, p.stat().st_size - 900), Path.unlink):
        for name in arrays:
            damage(part / name)
            store = open_store(small, cache, progress=lambda done, _: began.append(done))
            assert contents(store.folder) == expected and min(began) == 0
            began.clear()
            shutil.rmtree(store.folder)
            stop_after(small, cache, 16)


@pytest.mark.usefixtures("noted_at_once")
@pytest.mark.parametrize("change", ["key", "trials"])
def test_a_partial_build_of_other_recordings_is_not_taken_up(
    small: Any, tmp_path: Path, change: str
) -> None:
    part = stop_after(small, tmp_path, 9)
    if change == "trials":
        fewer = list(small.make())[:-1]
        small.make = lambda: iter(fewer)
        told: list[int] = []
        store = open_store(small, tmp_path, progress=lambda done, _: told.append(done))
        assert min(told) == 0 and len(store) == 22 and not part.exists()
    else:
        small.version = 2
        other = opened(small, tmp_path)
        assert part.is_dir() and len(other) == 23
        small.version = 1
        told = []
        open_store(small, tmp_path, progress=lambda done, _: told.append(done))
        assert min(told) == 9 and not part.exists()


_KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import conftest
from conftest import Small
import cloudpickle
import pskd.data.build, pskd.data.store
cloudpickle.register_pickle_by_value(conftest)
pskd.data.build._NOTE_SECONDS = 0.0

class Slow(Small):
    def load(self, trial):
        with open(LOG, "a") as log:
            log.write(trial + "\\n")
        time.sleep(0.05)
        return super().load(trial)

LOG = sys.argv[3]
store = pskd.data.store.open_store(Slow(), Path(sys.argv[2]))
"""


def test_a_killed_process_is_taken_up_where_it_was(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_WORKERS", "2")
    expected = contents(opened_in_workers(small, tmp_path / "undisturbed").folder)
    cache, log = tmp_path / "cache", tmp_path / "log"
    code = _KILLED
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(cache), str(log)]
    child = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().split()) < 12:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (cache / f"small-{store_key(small)[:16]}").exists()
    before = set(log.read_text().split())
    log.unlink()
    subprocess.run(command, check=True, timeout=60)
    after = set(log.read_text().split())
    assert before | after == {str(n) for n in range(24)} and len(after) < 20
    assert contents(cache / f"small-{store_key(small)[:16]}") == expected


def opened_in_workers(source: Any, cache: Path) -> Store:
    modules = {sys.modules[kind.__module__] for kind in type(source).__mro__[:-1]}
    for module in modules:  # which workers cannot import
        cloudpickle.register_pickle_by_value(module)
    try:
        return open_store(source, cache)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def test_workers_build_what_one_process_builds(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = contents(opened(small, tmp_path / "one").folder)
    monkeypatch.setenv("PSKD_WORKERS", "3")
    assert contents(opened_in_workers(small, tmp_path / "three").folder) == one


def test_a_tar_is_unpacked_once_for_all_workers_and_nothing_of_it_stays(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "source.tgz", tmp_path / "cache"
    with tarfile.open(path, "w:gz") as stream:
        stream.add(__file__, "member")

    class Tarred(type(small)):  # type: ignore[misc]
        def load(self, trial: str) -> Recording | SetAside:
            with open_archive(path) as archive:
                archive.read("member", 1 << 20)
            (unpacked,) = cache.glob(".small-*.part/unpacked/*.tar")
            assert unpacked.stat().st_ino == int(first.read_text() or unpacked.stat().st_ino)
            first.write_text(str(unpacked.stat().st_ino))
            return super().load(trial)

    first = tmp_path / "inode"
    first.write_text("")
    monkeypatch.setenv("PSKD_WORKERS", "2")
    folder = opened_in_workers(Tarred(), cache).folder
    assert first.read_text()
    assert {p.name for p in folder.iterdir()} == {"acceleration.npy", "index.json", "skeleton.npy"}


# --- the key ----------------------------------------------------------------------------------


def test_sources_are_not_read_again_to_open_a_store_but_are_to_verify_it(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, cache = tmp_path / "source.zip", tmp_path / "cache"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a", b"1")
    old = time.time_ns() - 10**11
    os.utime(archive, ns=(old, old))
    small.key = lambda: open_archive(archive).digest()
    reads: list[Path] = []

    def counted(path: Path) -> str:
        reads.append(path)
        return file_digest(path)

    monkeypatch.setattr("pskd.data.archive.base.file_digest", counted)
    folders = {opened(small, cache).folder for _ in range(3)}
    assert len(folders) == 1 and reads == [archive]
    folders.add(opened(small, cache, verify=True).folder)
    assert len(folders) == 1 and reads == [archive] * 2
    archive.write_bytes(archive.read_bytes().replace(b"1", b"2"))
    assert opened(small, cache).folder not in folders
