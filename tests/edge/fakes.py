"""Targets that are wrong in one way each; a worker finds them here by their class."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from pskd.data.archive import file_digest
from pskd.edge.export import EXPORT, ExportedFile, describe
from pskd.edge.material import Material
from pskd.edge.targets import TARGETS, Answer, Runner, Target
from pskd.edge.targets.torch import Torch
from pskd.edge.worker import Answers, Memory, Worker
from pskd.errors import CheckpointError
from pskd.evaluate.certificate.facts import Parity
from pskd.models.student_folder import load_student, save_student


class Fake(Target):
    """PyTorch on the student folder beside the file, so that it is right."""

    name = "right"

    @property
    def file(self) -> str:  # type: ignore[override]
        return f"{self.name}.bin"

    def export(self, material: Material, folder: Path) -> None:
        (folder / self.file).write_text(self.name)

    def load(self, path: Path) -> Runner:
        run = Torch().load(path.parent / "student")
        return lambda window: self.change(*run(window))

    def change(self, logits: NDArray[np.float32], probabilities: NDArray[np.float32]) -> Answer:
        return Answer(logits, probabilities)


class Off(Fake):
    name = "off"

    def change(self, logits, probabilities):
        return Answer(logits + np.float32(2e-4), probabilities)


class OffInt8(Off):
    name, int8 = "off-int8", True


class LostClass(Fake):
    name = "lost-class"

    def change(self, logits, probabilities):
        return Answer(logits[:-1], probabilities[:-1])


class Loud(Fake):
    """Prints where the answers go, from Python and from C."""

    name = "loud"

    def change(self, logits, probabilities):
        print("loud" * 1000)
        ctypes.CDLL(None).puts(b"louder")
        sys.stderr.write("loudest")
        return Answer(logits, probabilities)


class Aborts(Fake):
    name = "aborts"

    def load(self, path):
        return self.abort

    def abort(self, window):
        sys.stderr.write("free(): invalid pointer\n")
        sys.stderr.flush()
        os.abort()


class Hangs(Fake):
    name = "hangs"

    def load(self, path):
        time.sleep(3600)


class Torn(Fake):
    name = "torn"

    def load(self, path):
        raise CheckpointError("is torn", where=path)


class Absent(Fake):
    name, needs, extra = "absent", ("no_such_runtime",), "none-such"


class Ballast(Fake):
    """Takes 40 MB when the first copy is opened, and 20 MB with every copy."""

    name = "ballast"
    kept: ClassVar[list[bytes]] = []

    def load(self, path):
        if not self.kept:
            self.kept.append(b"\1" * 40_000_000)
        self.kept.append(b"\1" * 20_000_000)
        return super().load(path)


class Sleeper(Fake):
    """Takes two milliseconds."""

    name = "sleeper"

    def change(self, logits, probabilities):
        time.sleep(0.002)
        return Answer(logits, probabilities)


FAKES = (
    Fake, Off, OffInt8, LostClass, Loud, Aborts, Hangs, Torn, Absent, Ballast, Sleeper
)  # fmt: skip

NOT_COMPARED = Parity(
    golden=0,
    test=0,
    difference=None,
    where="",
    test_difference=None,
    relative=None,
    relative_where="",
    agreement=0,
    disagreements=(),
    accuracy=0,
    torch_accuracy=0,
    sum_error=None,
    softmax_error=None,
    failures=(),
)


class Here(Worker):
    """A worker without a process, which would take most of the time of tests."""

    def __enter__(self):
        self._run = self._target.load(self._path)
        return self

    def __exit__(self, *_):
        pass

    def answers(self, windows):
        found = [self._run(window[None]) for window in windows]
        return Answers(*(np.stack(values) for values in zip(*found, strict=True)))

    def latencies(self, windows, calls):
        return np.arange(calls, dtype=np.int64) * 1000

    def peak_memory(self, window):
        return Memory(export=3 << 10, first=4 << 10, process=5 << 20)


def enter(patch: pytest.MonkeyPatch) -> None:
    """Enter all fakes into the table of targets."""
    for fake in FAKES:
        patch.setitem(TARGETS, fake.name, fake())


def saved(material: Material, folder: Path) -> Material:
    """Write the student folder; the material whose configuration has its checksum."""
    save_student(folder, material.student, material.config)
    student, config = load_student(folder)
    return Material(student, config, material.calibration, material.test, material.labels)


def write_exports(material: Material, folder: Path, *names: str, accepted: str = "") -> Path:
    """An export folder with targets that nobody checked."""
    folder.mkdir(exist_ok=True)
    save_student(folder / "student", material.student, material.config)
    files = {}
    for name in names:
        target = TARGETS[name]
        target.export(material, folder)
        path = folder / target.file
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        files[name] = ExportedFile(
            file=target.file,
            sha256={p.relative_to(folder).as_posix(): file_digest(p) for p in paths},
            bytes=sum(p.stat().st_size for p in paths),
            parity=NOT_COMPARED,
            accepted=name == accepted,
        )
    export = describe(material.config, calibration=len(material.calibration))
    text = export.model_copy(update={"files": files}).model_dump_json()
    (folder / EXPORT).write_text(text)
    return folder
