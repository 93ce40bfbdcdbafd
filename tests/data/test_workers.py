import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pskd.data import workers
from pskd.data.recording import Recording, SetAside
from pskd.data.workers import Workers, parse, worker_count
from pskd.errors import DataError, PskdError, UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as a class of a script is


class Odd:
    """A trial is named after what reading it does; any other name is a good trial."""

    name = "odd"

    def __init__(self, *trials: str) -> None:
        self.names = trials

    def trials(self) -> list[str]:
        return list(self.names)

    def load(self, trial: str) -> Recording | SetAside:
        actions: dict[str, Callable[[], object]] = {
            "segfault": lambda: ctypes.string_at(0),
            "exit": lambda: os._exit(3),
            "quit": lambda: sys.exit(4),
            "hang": lambda: time.sleep(600),
            "hang in C": lambda: re.match("(a+)+$", "a" * 50 + "b"),
            "memory": lambda: np.ones(1 << 29),
            "memory bit by bit": lambda: [bytearray(1 << 20) for _ in range(4000)],
            "data error": lambda: fail(DataError("gone", where="file", remedy="Look")),
            "usage error": lambda: fail(UsageError("no such option")),
            "fault": lambda: [][1],
        }
        if trial in actions:
            actions[trial]()
        if trial == "print":
            print("noise")
            os.write(1, b"more noise")
        if trial == "number":
            return 7  # type: ignore[return-value]
        if trial == "aside":
            return SetAside(trial, "torn")
        if trial.startswith("facts"):
            time.sleep(0.2)
            core = resource.getrlimit(resource.RLIMIT_CORE)
            times = os.times()
            return SetAside(
                str(os.getpid()), repr((core, "torch" in sys.modules, times.user + times.system))
            )
        rng = np.random.default_rng(len(trial))
        return Recording(
            id=trial,
            dataset="odd",
            label=len(trial),
            subject="1",
            trial=trial,
            acceleration=rng.normal(size=(9, 3)).astype(np.float32),
            rate=50.0,
        )


def fail(error: Exception) -> None:
    raise error


def read(*trials: str, count: int = 2, **options: Any) -> dict[str, Recording | SetAside]:
    return dict(parse(Odd(*trials), trials, workers=count, **options))


def test_trials_come_in_order_as_they_are_read_in_one_process() -> None:
    names = [f"trial {'x' * n}" for n in range(30)] + ["aside", "print", "schön"]
    alone, many = (list(parse(Odd(), names, workers=n)) for n in (0, 3))
    assert [name for name, _ in many] == [name for name, _ in alone] == names
    for (_, one), (_, other) in zip(many, alone, strict=True):
        if isinstance(one, Recording) and isinstance(other, Recording):
            np.testing.assert_array_equal(one.acceleration, other.acceleration)
            plain = {"acceleration": None}
            assert vars(one) | plain == vars(other) | plain
        else:
            assert one == other == SetAside("aside", "torn")


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        ("segfault", "reading it crashed (SIGSEGV), twice"),
        ("exit", "reading it ended the process (exit code 3), twice"),
        ("quit", "reading it ended the process (exit code 4), twice"),
        ("hang", "reading it took longer than 1 s, twice"),
        ("hang in C", "reading it took longer than 1 s, twice"),
        ("memory", "reading it needed more than 512 MiB of memory, twice"),
        ("memory bit by bit", "reading it needed more than 512 MiB of memory, twice"),
    ],
)
def test_what_kills_a_worker_is_set_aside_and_all_others_come_through(
    trial: str, reason: str
) -> None:
    names = ["a", "b", trial, "c", "d", "e"]
    seconds = 1.0 if trial.startswith("hang") else 60.0  # a busy machine is slow to fill memory
    results = read(*names, seconds=seconds, memory=512 << 20)
    assert list(results) == names
    assert results.pop(trial) == SetAside(trial, reason)
    assert all(isinstance(r, Recording) and r.id == name for name, r in results.items())


def test_an_answer_that_is_too_large_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ANSWER_BYTES", 300)
    results = read("aside", "recording", "aside")
    assert results["recording"] == SetAside("recording", "reading it gave more than 0 MiB, twice")
    assert results["aside"] == SetAside("aside", "torn")


@pytest.mark.parametrize("count", [0, 2])
def test_errors_about_the_whole_dataset_come_as_they_are(count: int) -> None:
    with pytest.raises(DataError) as caught:
        read("a", "data error", "b", count=count)
    error = caught.value
    assert (error.what, error.where, error.remedy) == ("gone", "file", "Look")
    with pytest.raises(UsageError, match="no such option"):
        read("usage error", count=count)


def test_a_fault_of_the_reader_names_the_trial() -> None:
    with pytest.raises(PskdError, match=r"odd fault: its reader failed \(IndexError: list") as one:
        read("a", "fault")
    assert "actions[trial]()" in one.value.__notes__[0]  # the traceback of the worker
    with pytest.raises(PskdError, match=r"odd number: .* load gave int, neither Recording"):
        read("number")
    with pytest.raises(IndexError):
        read("fault", count=0)


class Moody(Odd):
    """Crashes at each trial the first time."""

    def load(self, trial: str) -> Recording | SetAside:
        log = Path(self.names[0]) / trial
        if not log.exists():
            log.touch()
            os.abort()
        return super().load(trial)


def test_a_trial_that_failed_once_has_a_second_chance(tmp_path: Path) -> None:
    results = list(parse(Moody(str(tmp_path)), ["a", "b", "c"], workers=2))
    assert [name for name, r in results if isinstance(r, Recording)] == ["a", "b", "c"]


class Bad(Odd):
    def trials(self) -> list[str]:
        self.load(self.names[0])
        return []


def test_files_that_cannot_be_opened_are_the_fault_of_the_dataset() -> None:
    def names(trial: str) -> list[str]:
        with Workers(Bad(trial), 1, memory=512 << 20) as pool:
            return pool.trials()

    with pytest.raises(DataError, match=r"odd: opening its files crashed \(SIGSEGV\)"):
        names("segfault")
    with pytest.raises(DataError, match=r"opening its files needed more than 512 MiB"):
        names("memory")
    with pytest.raises(DataError, match="gone"):
        names("data error")
    with pytest.raises(PskdError, match=r"odd trials: its reader failed \(IndexError"):
        names("fault")
    with Workers(Odd("x", "y"), 1) as pool:
        assert pool.trials() == ["x", "y"]
        assert [name for name, _ in pool.parse(["x"])] == ["x"]


def test_workers_are_several_light_and_dump_no_core() -> None:
    results = read(*(f"facts {n}" for n in range(8)))
    about = {r.id: eval(r.reason) for r in results.values() if isinstance(r, SetAside)}
    assert len(about) == 2 and str(os.getpid()) not in about
    for core, has_torch, seconds in about.values():
        assert core == (0, 0) and not has_torch and seconds < 1.0


def test_readers_do_not_import_torch() -> None:
    code = "import sys, pskd.datasets, pskd.data.store; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_a_few_trials_are_held_at_a_time() -> None:
    asked = 0

    def names() -> Iterator[str]:
        nonlocal asked
        for asked in range(1, 101):
            yield f"t{asked}"

    for done, _ in enumerate(parse(Odd(), names(), workers=2), start=1):
        assert asked - done < 8
    assert asked == 100


def test_leaving_ends_what_is_still_running() -> None:
    began = time.monotonic()
    with Workers(Odd(), 2) as pool:
        assert next(pool.parse(["a", *["hang"] * 20]))[0] == "a"
        processes = [worker._process for worker in pool._workers]
    assert time.monotonic() - began < 20
    assert all(p is None or p.poll() is not None for p in processes) and any(processes)


def test_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSKD_WORKERS", "3")
    assert worker_count() == 3
    monkeypatch.delenv("PSKD_WORKERS")
    assert worker_count() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("PSKD_WORKERS", "many")
    with pytest.raises(UsageError, match="PSKD_WORKERS is 'many'"):
        worker_count()


# A script as users write them: its own class, a module beside it, no guard around what it does.
_SCRIPT = """
import os, sys, time
import beside
from pskd.data.recording import SetAside
from pskd.data.workers import parse

print("begun")

class Mine:
    name = "mine"
    def trials(self):
        return []
    def load(self, trial):
        with open(sys.argv[1], "a") as log:
            log.write(f"{os.getpid()}\\n")
        time.sleep(float(trial))
        return SetAside(trial, beside.WORD)

for name, result in parse(Mine(), LIST, workers=2):
    print(name, result.reason)
"""


def script(folder: Path, trials: list[str]) -> "tuple[subprocess.Popen[str], Path]":
    log = folder / "log"
    (folder / "beside.py").write_text("WORD = 'from beside'")
    # What sys.argv is, is no part of the class, so the path stands in its code.
    text = _SCRIPT.replace("LIST", repr(trials)).replace("sys.argv[1]", repr(str(log)))
    (folder / "script.py").write_text(text)
    command = [sys.executable, str(folder / "script.py")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), log


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_script_without_a_guard(tmp_path: Path) -> None:
    child, _ = script(tmp_path, ["0", "0.0"])
    out, errors = child.communicate(timeout=60)
    assert (out, errors) == ("begun\n0 from beside\n0.0 from beside\n", "")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_leaves_none_behind(tmp_path: Path, end: signal.Signals) -> None:
    # To Ctrl-C the workers die at once; of one that was killed they see the pipe closed.
    seconds = "600" if end == signal.SIGINT else "1"
    child, log = script(tmp_path, [seconds] * 9)
    wait_until(lambda: log.exists() and len(log.read_text().split()) >= 2, 60)
    began = time.monotonic()
    child.send_signal(end)
    _, errors = child.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert ("KeyboardInterrupt" in errors) == (end == signal.SIGINT) and child.returncode
    assert "BrokenPipeError" not in errors
    pids = [int(word) for word in log.read_text().split()]
    wait_until(lambda: all(map(gone, pids)), 10)
