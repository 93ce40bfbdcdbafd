"""Damaged datasets made into stores by worker processes, as a user's command does it.

What must hold of every one: the store opens, with whole recordings, each trial there or set aside
by name with a reason, and trials whose files are sound unchanged; or an error that a user can act
on names the place. The cache then holds that store, or none and no part of one. In every fifth case
an earlier process was killed while it made the same store, and in another fifth the sound dataset
is then made in the same cache and has to give the same bytes as ever.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from fuzz import seeds
from fuzz.mutate import damaged
from pskd.data.store import Store, open_store
from pskd.datasets import dataset
from pskd.datasets.folder.check import check
from pskd.datasets.verify import verify
from pskd.errors import DataError, PskdError, UsageError

SECONDS = 300.0
"""Time on the clock for a dataset, in which a worker may need a minute for each of two trials."""

_KINDS = {
    ".zip": ("zip",), ".gz": ("gzip",), ".tar": ("tar",), ".mat": ("bytes", "mat"),
    ".npy": ("bytes", "npy"), ".parquet": ("bytes",), ".yaml": ("yaml",),
}  # fmt: skip
_LEFT = re.compile(r"\.digests|\..*\.lock")  # what a cache may hold besides stores


@dataclass(frozen=True)
class Kind:
    """A dataset in one of its forms.

    Attributes:
        name: Name of the dataset.
        form: Which form.
        make: Gives its files.
        trial: Finds, in the name of a file, what only the names of its own trials contain; None
            where files concern all trials.
    """

    name: str
    form: str
    make: Callable[[], seeds.Files]
    trial: str | None = None


def _berkeley_archives() -> seeds.Files:
    def of(top: str) -> seeds.Files:
        return {n: data for n, data in seeds.berkeley().items() if n.startswith(top)}

    return {
        f"{top}.tar.gz": gzip.compress(seeds.tarred(of(top)), 1, mtime=0)
        for top in ("Accelerometer", "Mocap", "Time_stamps")
    }


KINDS = (
    Kind("utd_mhad", "folders", seeds.utd, r"a\d+_s\d+_t\d+"),
    Kind("utd_mhad", "zips", lambda: seeds.utd(True)),
    Kind("berkeley_mhad", "folders", seeds.berkeley, r"s\d\d_a\d\d_r\d\d"),
    Kind("berkeley_mhad", "tar.gz", _berkeley_archives),
    Kind("mmact", "folders", seeds.mmact_tree, r"(?<=/)\w+(?=\.(?:csv|json)$)"),
    Kind("mmact", "archives", lambda: seeds.mmact_tree(zipped=True)),
    Kind("mmact", "openpose", lambda: seeds.mmact_tree("openpose"), r"(?<=/)\w+(?=\.(?:csv|npy)$)"),
    Kind("folder", "folder", seeds.own, r"(?<=/)r\d(?=\.)"),
    Kind("folder", "zip", lambda: {"own.zip": seeds.zipped(seeds.own())}),
)


class Broken(Exception):
    """Something that must hold does not."""


def try_store(kind: Kind, seed: int, number: int) -> str:
    """Damage a dataset and make its store; return what came of it, Broken if it must not.

    Returns:
        `opened`, `set aside` if a damaged trial was, or `refused`.
    """
    random = Random(f"{seed}/{kind.name}/{kind.form}/{number}")
    files = dict(kind.make())
    chosen = random.sample(sorted(files), min(len(files), random.choice((1, 1, 2, 5))))
    for name in chosen:
        alike = [data for other, data in files.items() if Path(other).suffix == Path(name).suffix]
        files[name] = damaged(random, files[name], alike, _KINDS.get(Path(name).suffix, ("text",)))
    sound = _sound(kind)
    with tempfile.TemporaryDirectory(prefix="pskd-fuzz-") as scratch:
        there, cache_folder = Path(scratch) / "data", Path(scratch) / "cache"
        put(files, there)
        with suppress(DataError, UsageError):  # what else reads such files
            check(_root(kind, there)) if kind.name == "folder" else verify(kind.name, there)
        if number % 5 == 1:
            _killed(kind, there, cache_folder, random.uniform(0.3, 1.5))
        try:
            store = open_store(dataset(kind.name, _root(kind, there)), cache_folder)
        except (DataError, UsageError) as error:
            _check_refusal(error, kind, scratch)
            result, kept = "refused", set[str]()
        else:
            result = _check_store(store, kind, chosen, sound)
            kept = {store.folder.name}
        left = {path.name for path in cache_folder.glob("*")} if cache_folder.exists() else set()
        if extra := {name for name in left - kept if not _LEFT.fullmatch(name)}:
            raise Broken(f"the cache holds {extra}")
        if number % 5 == 0:
            shutil.rmtree(there)
            put(kind.make(), there)
            again = open_store(dataset(kind.name, _root(kind, there)), cache_folder)
            if digests(again) != sound.digests:
                raise Broken("a build of the sound dataset gives other bytes")
    return result


def _killed(kind: Kind, there: Path, cache_folder: Path, seconds: float) -> None:
    """Kill a process that makes the store; what it leaves must not spoil the next one."""
    child = os.fork()
    if not child:
        with suppress(BaseException):
            open_store(dataset(kind.name, _root(kind, there)), cache_folder)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def put(files: seeds.Files, folder: Path) -> None:
    """Write files into a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _root(kind: Kind, there: Path) -> Path:
    return there / "own.zip" if kind.form == "zip" else there


def digests(store: Store) -> dict[str, str]:
    """Return the sha256 of each signal of a store by the name of its recording."""
    return {
        r.id: hashlib.sha256(
            r.acceleration.tobytes() + (b"" if r.skeleton is None else r.skeleton.tobytes())
        ).hexdigest()
        for r in store
    }


@dataclass(frozen=True)
class _Sound:
    digests: dict[str, str]
    aside: frozenset[str]


@cache
def _sound(kind: Kind) -> _Sound:
    """What comes of the dataset without damage."""
    with tempfile.TemporaryDirectory(prefix="pskd-fuzz-") as scratch:
        there = Path(scratch) / "data"
        put(kind.make(), there)
        store = open_store(dataset(kind.name, _root(kind, there)), Path(scratch) / "cache")
        return _Sound(digests(store), frozenset(trial.id for trial in store.set_aside))


def _check_refusal(error: PskdError, kind: Kind, scratch: str) -> None:
    if type(error) is PskdError:
        raise Broken(f"a fault of the reader: {error}") from error
    names = [scratch, kind.name, *kind.make()]
    if not any(Path(name).name in str(error) for name in names):
        raise Broken(f"names no place: {error}") from error


def _check_store(store: Store, kind: Kind, chosen: list[str], sound: _Sound) -> str:
    store.verify()
    there, aside = digests(store), {trial.id: trial.reason for trial in store.set_aside}
    if not all(aside.values()):
        raise Broken("a trial is set aside without a reason")
    if twice := there.keys() & aside.keys():
        raise Broken(f"in the store and set aside: {twice}")
    if kind.trial is None:
        return "set aside" if aside.keys() - sound.aside else "opened"
    marks = [re.search(kind.trial, name) for name in chosen]
    if all(marks):  # else a file that concerns all trials is among them
        own = {mark[0].lower() for mark in marks if mark}
        for trial, digest in sound.digests.items():
            if not any(trial.lower().endswith(mark) for mark in own) and there.get(trial) != digest:
                raise Broken(f"{trial}, whose files are sound, has changed: {aside.get(trial)}")
    lost = (sound.digests.keys() | sound.aside) - there.keys() - aside.keys()
    if lost and kind.name != "folder":  # in which the manifest says what trials there are
        raise Broken(f"gone without a word: {lost}")
    return "set aside" if aside.keys() - sound.aside else "opened"


def try_stores(count: int, seed: int, out: Path, told: Callable[[str], object]) -> dict[str, int]:
    """Try that many damaged datasets, each in a process of its own; keep what fails in a folder."""
    results: dict[str, int] = {"stores": 0, "opened": 0, "set aside": 0, "refused": 0, "failed": 0}
    start = time.monotonic()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        _sound(kind)  # made here once, for all
        result, story = _in_a_process(kind, seed, number)
        results["stores"] += 1
        results[result] += 1
        if result == "failed":
            out.mkdir(parents=True, exist_ok=True)
            name = f"store-{kind.name}-{kind.form}-{number}.txt"
            (out / name).write_text(story)
            told(f"{name}: {story.splitlines()[-1] if story else ''}")
        elif number % 50 == 49:
            told(f"{results} in {time.monotonic() - start:.0f} s")
    return results


def _in_a_process(kind: Kind, seed: int, number: int) -> tuple[str, str]:
    """Try a dataset; the process of its main part may die of it, too."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            os.environ["PSKD_WORKERS"] = str(1 + number % 2)
            story = try_store(kind, seed, number)
        except BaseException:
            story = "failed\n" + traceback.format_exc()
        os.write(writing, story.encode("utf-8", "replace")[-60_000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        story = stream.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        return "failed", f"exit code {code}"
    result, _, story = story.partition("\n")
    return result, story
