"""Measuring exports: every one has its turns, and what cannot be measured is said."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pskd.edge import bench as module
from pskd.edge.bench import bench, entries, machine
from pskd.edge.export import EXPORT, read_export
from pskd.edge.material import Material
from pskd.edge.targets.c99 import compiler
from pskd.errors import CheckpointError, PskdError, UsageError
from tests.edge import fakes
from tests.edge.conftest import make_material

needs_c = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "size"))), reason="needs a C compiler and binutils"
)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.enter(monkeypatch)
    monkeypatch.setattr(module, "Worker", fakes.Here)


def test_every_export_is_measured_in_turns(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    turns: list[tuple[str, int]] = []

    class Timed(fakes.Here):
        def latencies(self, windows, calls):
            assert windows.shape[1:] == (3, 64)
            turns.append((self._name, calls))
            slower = 2000 if self._name == "right" else 1000
            return slower * np.arange(1, calls + 1)

    monkeypatch.setattr(module, "Worker", Timed)
    own = fakes.saved(material, tmp_path / "student")
    folder = fakes.write_exports(own, tmp_path / "export", "right")
    done = bench(folder, student=tmp_path / "student", calls=1000)
    assert turns == [("torch", 100), ("right", 100)] * 10
    latency = done.found["right"].latency
    assert latency is not None
    assert latency.calls == 1000
    assert latency.p50_us == pytest.approx(2 * np.percentile(np.tile(np.arange(1, 101), 10), 50))
    assert latency.p99_us == pytest.approx(2 * np.percentile(np.tile(np.arange(1, 101), 10), 99))
    assert done.ratios == {"torch": 1, "right": 2}
    assert not done.without_torch and not done.found["right"].failed
    assert done.entries["right"].bytes == len("right")
    memory = done.found["right"].memory
    assert memory is not None and memory.export == 3 << 10


def test_what_cannot_be_measured_is_said_and_the_rest_go_on(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Mute(fakes.Here):
        turns = 0

        def latencies(self, windows, calls):
            self.turns += 1
            if self._name == "loud" and self.turns == 3:
                raise PskdError("crashed (SIGSEGV)", where="loud")
            return super().latencies(windows, calls)

        def peak_memory(self, window):
            return None

    monkeypatch.setattr(module, "Worker", Mute)
    folder = fakes.write_exports(material, tmp_path, "absent", "torn", "loud", "right")
    done = bench(folder)
    assert "pip install" in done.found["absent"].reasons["not measured"]
    assert "is torn" in done.found["torn"].reasons["failed"]
    assert [name for name, m in done.found.items() if m.failed] == ["torn", "loud"]
    assert "SIGSEGV" in done.found["loud"].reasons["failed"]
    assert done.found["loud"].latency is None
    assert done.found["right"].latency is not None
    assert done.found["right"].reasons == {"memory": "this system does not tell it"}
    assert done.ratios == {}


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda at: shutil.rmtree(at) or at.mkdir(), r"config\.json"),
        (lambda at: (at / "model.safetensors").unlink(), "weights cannot be read"),
        (lambda at: (at / "config.json").write_text("{"), r"config\.json"),
        (lambda at: fakes.saved(make_material(), at), "is not the student that was exported"),
        (
            lambda at: _claim(at.parent / "export", 40),
            r"are \[3, 40\], the student takes \[3, 64",
        ),
    ],
    ids=["empty", "no weights", "torn", "another", "other windows"],
)
def test_pytorch_is_left_out_where_the_student_is_not_the_exported(
    harm, says: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = fakes.saved(material, tmp_path / "student")
    folder = fakes.write_exports(own, tmp_path / "export", "right")
    harm(tmp_path / "student")
    done = bench(folder, student=tmp_path / "student", calls=20)
    assert list(done.found) == ["right"] and done.ratios == {}
    assert re.search(says, done.without_torch)


def _claim(folder: Path, samples: int) -> None:
    listing = json.loads((folder / EXPORT).read_text())
    listing["input"]["shape"] = [1, 3, samples]
    (folder / EXPORT).write_text(json.dumps(listing))


@needs_c
def test_the_workspace_of_c_is_what_its_header_says(material: Material, tmp_path: Path):
    folder = fakes.write_exports(material, tmp_path, "c", "c-int8", "right")
    found = {name: e.workspace for name, e in entries(folder, read_export(folder), None).items()}
    assert found.pop("right") is None
    for name, workspace in found.items():
        program = tmp_path / "print.c"
        program.write_text(
            '#include <stdio.h>\n#include "student.h"\n'
            'int main(void) { printf("%zu", sizeof(student_workspace)); return 0; }\n'
        )
        command = [*compiler(), f"-I{folder / name}", program, "-o", tmp_path / "print"]
        subprocess.run(command, check=True)
        printed = subprocess.run([tmp_path / "print"], capture_output=True, check=True).stdout
        assert workspace == int(printed) > 100


def test_exports_of_a_runtime_that_is_not_known_are_not_measured(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = fakes.write_exports(material, tmp_path, "right")
    text = (folder / EXPORT).read_text().replace('"right":', '"of-tomorrow":')
    (folder / EXPORT).write_text(text)
    assert "unknown target" in bench(folder).found["of-tomorrow"].reasons["not measured"]


def test_folders_that_hold_nothing(material: Material, tmp_path: Path):
    with pytest.raises(UsageError, match="no such export folder"):
        bench(tmp_path / "nowhere")
    run = tmp_path / "run"
    run.mkdir()
    fakes.write_exports(material, run / "export", "right")
    with pytest.raises(UsageError, match=f"Name {run / 'export'}"):
        bench(run)
    with pytest.raises(UsageError, match="holds no export"):
        bench(fakes.write_exports(material, tmp_path))
    (tmp_path / EXPORT).unlink()
    with pytest.raises(CheckpointError, match=r"export\.json"):
        bench(tmp_path)


def test_a_file_that_was_changed_is_named(material: Material, tmp_path: Path):
    folder = fakes.write_exports(material, tmp_path, "right", "loud")
    (folder / "loud.bin").write_text("Loud")
    with pytest.raises(CheckpointError, match=r"loud\.bin: checksum"):
        bench(folder)


def test_a_busy_machine_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for load, busy in ((2.9, False), (3.1, True)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0, 0))
        found = machine()
        assert (found.load, found.busy) == (load, busy)
    assert found.cpu
