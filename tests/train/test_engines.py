"""Engines against tasks that fail, kill their workers or are stopped, on real local clusters."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from pskd.errors import DataError, UsageError
from pskd.train.engines import Done, run
from pskd.train.engines.base import THREADS

PACKAGES = {"joblib": "joblib", "ray": "ray", "dask": "distributed"}
ENGINES = [
    pytest.param(
        engine,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(package) is None, reason=f"{package} is not installed"
        ),
    )
    for engine, package in PACKAGES.items()
]
OTHERS = ENGINES[1:]


@dataclass(frozen=True)
class Work:
    """A task that does what its name says and leaves a line when it starts and when it ends."""

    name: str
    folder: Path

    def __str__(self) -> str:
        return self.name

    def log(self, event: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(f"{event} {self.name}\n")

    def times(self, line: str) -> int:
        return (self.folder / "log").read_text().splitlines().count(line)

    def wait_for(self, line: str, times: int = 1) -> None:
        end = time.monotonic() + 60
        while self.times(line) < times:
            assert time.monotonic() < end, f"{line!r} did not come"
            time.sleep(0.02)


def work(task: Work) -> str:
    task.log("start")
    match task.name:
        case "neighbour":
            task.wait_for("start killed once", 2)
        case "killed once" if task.times("start killed once") == 1:
            task.wait_for("start neighbour")
            os.kill(os.getpid(), signal.SIGKILL)
        case "killed always":
            task.wait_for("end killed once")
            time.sleep(
                0.5
            )  # Dask may have given it the worker of a task whose result is on its way
            os.kill(os.getpid(), signal.SIGKILL)
        case "fails":
            raise ValueError("seven")
        case "refuses":
            raise DataError("it is torn", where="clip 3", remedy="Record it again")
    task.log("end")
    return f"{task.name}, {os.environ.get('OMP_NUM_THREADS')} thread"


NAMES = [
    *("first", "neighbour", "killed once", "fails", "refuses"),
    *(f"plain {number}" for number in range(6)),
    *("killed always", "last"),
]


class Told(NamedTuple):
    done: dict[str, Done]
    order: list[str]
    starts: Counter[str]
    notices: list[str]


@pytest.fixture(scope="module", params=ENGINES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What one run of all tasks on two workers gave."""
    folder = tmp_path_factory.mktemp(request.param)
    notices: list[str] = []
    tasks = [Work(name, folder) for name in NAMES]
    with pytest.MonkeyPatch.context() as patch:
        for variable in THREADS:
            patch.delenv(variable, raising=False)
        ended = list(run(request.param, work, tasks, workers=2, notice=notices.append))
    assert [done.task for done in sorted(ended, key=lambda done: tasks.index(done.task))] == tasks
    lines = (folder / "log").read_text().splitlines()
    order = [line.removeprefix("start ") for line in lines if line.startswith("start ")]
    return Told({done.task.name: done for done in ended}, order, Counter(order), notices)


def test_every_task_ends_once_with_its_result_in_one_thread(told: Told):
    bad = {"fails", "refuses", "killed always"}
    for name in set(NAMES) - bad:
        assert told.done[name].result == f"{name}, 1 thread"
        assert told.done[name].error is None


def test_what_goes_wrong_in_a_task_is_its_error(told: Told):
    assert told.done["fails"].error == "ValueError: seven"
    assert told.done["refuses"].error == "clip 3: it is torn. Record it again."
    assert told.done["fails"].result is None


def test_a_lost_worker_costs_its_own_task_and_no_other(told: Told):
    twice = {name: count for name, count in told.starts.items() if count != 1}
    assert twice == {"killed once": 2, "killed always": 3}


def test_a_task_that_is_lost_three_times_is_given_up(told: Told):
    assert told.done["killed always"].error == "its worker was lost 3 times"


def test_every_lost_worker_is_said_by_the_name_of_its_task(told: Told):
    lost = Counter(notice.split(":")[0] for notice in told.notices)
    assert lost["killed once"] == 1
    assert lost["killed always"] >= 2
    assert "killed once: its worker was lost (time 1 of 3)" in told.notices


def test_tasks_start_in_their_order(told: Told):
    first = list(dict.fromkeys(told.order))
    for place, name in enumerate(first):
        earlier = set(NAMES[: NAMES.index(name)])
        # The other worker may have been given one and be slow to begin.
        assert len(earlier - set(first[:place])) <= 1


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_that_die_between_tasks_take_nothing_with_them(engine: str, tmp_path: Path):
    tasks = [Work(name, tmp_path) for name in ("a", "b", "c")]
    with closing(run(engine, process_id, tasks, workers=2)) as running:
        done = [next(running)]
        for task in tasks[:2]:
            task.wait_for(f"end {task}")
        time.sleep(0.5)
        for path in tmp_path.glob("*.pid"):
            os.kill(int(path.stem), signal.SIGKILL)
        done += running
    assert {str(each.task): each.error for each in done} == {"a": None, "b": None, "c": None}
    starts = Counter((tmp_path / "log").read_text().splitlines())
    assert starts == {f"{event} {task}": 1 for task in tasks for event in ("start", "end")}


def process_id(task: Work) -> int:
    task.log("start")
    (task.folder / f"{os.getpid()}.pid").touch()
    other = {"a": "b", "b": "a"}.get(task.name)
    if other:
        task.wait_for(f"start {other}")
    task.log("end")
    return os.getpid()


def test_one_worker_of_joblib_is_this_process(tmp_path: Path):
    tasks = [Work(name, tmp_path) for name in ("x", "fails", "y")]
    ended = list(run("joblib", work, tasks, workers=1))
    assert [done.task for done in ended] == tasks
    assert [done.error for done in ended] == [None, "ValueError: seven", None]
    assert next(run("joblib", process_id, tasks[:1], workers=1)).result == os.getpid()


def test_no_tasks_are_no_work():
    assert list(run("joblib", work, [], workers=2)) == []


# --- clusters that are here already -------------------------------------------------------------


@pytest.fixture
def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def check_cluster(engine: str, address: str, folder: Path) -> None:
    """All tasks end on a cluster of two processors, and a lost worker is noticed."""
    notices: list[str] = []
    names = ["neighbour", "killed once", "fails", "last"]
    tasks = [Work(name, folder) for name in names]
    ended = list(run(engine, work, tasks, workers=None, address=address, notice=notices.append))
    assert {done.task.name: done.error for done in ended} == {
        "neighbour": None, "killed once": None, "fails": "ValueError: seven", "last": None
    }  # fmt: skip
    assert notices == ["killed once: its worker was lost (time 1 of 3)"]
    assert tasks[0].times("start neighbour") == 1


def memory_settings(_: object) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")}


def test_dask_workers_keep_the_memory_that_the_next_step_needs():
    pytest.importorskip("distributed")
    (done,) = run("dask", memory_settings, [0], workers=1)
    large = str(2**30)
    assert done.result == {"MALLOC_TRIM_THRESHOLD_": large, "MALLOC_MMAP_THRESHOLD_": large}


def test_a_dask_cluster_by_its_address(tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=60
    ) as cluster:
        check_cluster("dask", cluster.scheduler_address, tmp_path)
        assert len(cluster.scheduler.workers) == 2


def test_a_ray_cluster_by_its_address(tmp_path: Path, free_port: int):
    pytest.importorskip("ray")
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={free_port}",
         "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", "--block"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # Else it asks for a token as soon as any cluster here has ever made one.
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not answers(free_port):
            assert time.monotonic() < end
            time.sleep(0.1)
        check_cluster("ray", f"127.0.0.1:{free_port}", tmp_path)
    finally:
        head.terminate()
        head.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("address", ["127.0.0.1:{}", "nonsense"])
def test_an_address_where_nothing_answers(
    engine: str, address: str, free_port: int, monkeypatch: pytest.MonkeyPatch
):
    if engine == "dask":
        monkeypatch.setattr("pskd.train.engines.on_dask.ANSWER", 0.5)
    address = address.format(free_port)
    with pytest.raises(UsageError, match=rf"{address}: no (Ray|Dask) .* answers there") as caught:
        next(run(engine, work, [], workers=2, address=address))
    assert "Give " in str(caught.value)


def test_processes_of_this_machine_have_no_address():
    with pytest.raises(UsageError, match=r"host:1: .* no other machines.*'ray' or 'dask'"):
        next(run("joblib", work, [], workers=2, address="host:1"))


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed(
    engine: str, package: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"pskd.train.engines.on_{engine}", raising=False)
    with pytest.raises(UsageError, match=rf"pip install 'pskd\[{engine}\]'"):
        next(run(engine, work, [], workers=2))


def test_an_engine_that_does_not_exist():
    with pytest.raises(UsageError, match=r"no engine 'spark'.*dask, joblib, ray"):
        next(run("spark", work, [], workers=2))  # type: ignore[arg-type]


def test_no_workers():
    with pytest.raises(UsageError, match="0 workers"):
        next(run("joblib", work, [], workers=0))


# --- stopping -----------------------------------------------------------------------------------

SCRIPT = """
import os, sys, time
from pathlib import Path
from pskd.train.engines import run

def sleep(folder):
    Path(folder, f"{os.getpid()}.pid").touch()
    time.sleep(600)

if __name__ == "__main__":
    for done in run(sys.argv[1], sleep, sys.argv[2:] * 4, workers=2):
        print(done)
"""


def sleeping(engine: str, folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that runs tasks without an end on two workers, and these workers."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, engine, folder],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while len(pids := [int(path.stem) for path in folder.glob("*.pid")]) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "two workers did not start"
        time.sleep(0.05)
    return process, pids


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_ends_all_workers(engine: str, tmp_path: Path):
    process, pids = sleeping(engine, tmp_path)
    # As a terminal does: to everything that it runs.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert gone(pids, 5)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") <= 1


@linux
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_do_not_outlive_a_killed_run(engine: str, tmp_path: Path):
    process, pids = sleeping(engine, tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert gone(pids, 30)
