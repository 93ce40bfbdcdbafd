"""Cross-compiling the C student into a program of its own and running that under qemu.

With `-icount shift=0` one instruction takes qemu's virtual clock 1 ns, and a timer of the board
reads that clock. So **instructions** are counted and not cycles: qemu models no pipeline, flash
wait states or cache, and a core takes more cycles than instructions, how many depends on the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from pskd.edge.material import Windows
from pskd.edge.targets.base import Answer
from pskd.edge.toolchain import require_tools, run_tool, sections
from pskd.errors import PskdError, UsageError, nearest

_HERE = Path(__file__).parent

TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
"""Command -> Debian package."""

INSTRUCTIONS_A_TICK = 40
"""The timer runs at 25 MHz, the virtual clock at 1 GHz: what a count is exact to."""


class Board(NamedTuple):
    """A machine of qemu and the compiler's options for its core."""

    machine: str
    options: tuple[str, ...]


BOARDS = {
    "cortex-m3": Board("mps2-an385", ("-mcpu=cortex-m3",)),
    "cortex-m4": Board("mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "cortex-m7": Board("mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard")),
}
"""By core. The Cortex-M3 has no floating-point unit: there gcc's routines stand in."""


@dataclass(frozen=True)
class CortexM:
    """What a student takes of a core, and what it answers there.

    Attributes:
        core: Name in `BOARDS`.
        flash_bytes: Code and constants of the whole program: the student, gcc's floating-point
            routines where the core has none, and about 700 bytes that feed it.
        ram_bytes: Static data of the whole program: the workspace, one window and one answer.
        stack_bytes: Deepest that the stack was touched below the call of the student.
        instructions: Of one window, the most of all windows; exact to `INSTRUCTIONS_A_TICK`.
        answers: One a window.
    """

    core: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    instructions: int
    answers: tuple[Answer, ...]

    @property
    def costs(self) -> dict[str, int]:
        """Its figures by their names."""
        names = ("flash_bytes", "ram_bytes", "stack_bytes", "instructions")
        return {name: getattr(self, name) for name in names}


def measure(source: Path, windows: Windows, core: str = "cortex-m4") -> CortexM:
    """Compile a C student for a core and run it there on some windows.

    The program reaches the host's files by semihosting: run only C that you trust, as on the host.

    Args:
        source: Folder that holds `student.h` and `student.c`.
        windows: [N, 3, S] in g, at least one.
        core: Name in `BOARDS`.

    Raises:
        UsageError: A tool is missing, the core is unknown, or the windows do not have the
            student's length.
        PskdError: The student does not compile, does not fit the board, or fails there.
    """
    if core not in BOARDS:
        raise UsageError(f"unknown core {core!r}", remedy=nearest(core, BOARDS))
    board = BOARDS[core]
    require_tools(TOOLS, purpose="a student on Cortex-M")
    with TemporaryDirectory(prefix="pskd-cortex-m-") as temporary:
        folder = Path(temporary)
        run_tool(
            [
                "arm-none-eabi-gcc", *board.options, "-mthumb", "-std=c99", "-O2", "-ffreestanding",
                "-nostdlib", "-I", source.resolve(), source.resolve() / "student.c",
                _HERE / "main.c", "-T", _HERE / "mps2.ld", "-lgcc", "-o", "student.elf",
            ],
            folder,
        )  # fmt: skip
        windows.astype("<f4").tofile(folder / "windows.bin")
        run_tool(
            [
                "qemu-system-arm", "-machine", board.machine, "-kernel", "student.elf",
                "-icount", "shift=0,sleep=off", "-display", "none", "-monitor", "none",
                "-serial", "none", "-semihosting-config", "enable=on,target=native",
            ],
            folder,
            seconds=60 + 10 * len(windows),
        )  # fmt: skip
        size = sections("student.elf", folder, tool="arm-none-eabi-size")
        content = (folder / "answers.bin").read_bytes()

    samples, classes = np.frombuffer(content, "<u4", count=2).tolist()
    if windows.shape[1:] != (3, samples):
        raise UsageError(
            f"windows are {list(windows.shape[1:])}, the student takes [3, {samples}]",
            where=source,
            remedy="Cut windows of the student's length",
        )
    logits = ("logits", "<f4", (classes,))
    probabilities = ("probabilities", "<f4", (classes,))
    record = np.dtype([("ticks", "<u4"), ("stack", "<u4"), logits, probabilities])
    answers = np.frombuffer(content, record, offset=8)
    if len(answers) != len(windows):
        raise PskdError(f"{len(answers)} answers to {len(windows)} windows", where=source)
    return CortexM(
        core=core,
        flash_bytes=size.text + size.data,
        ram_bytes=size.data + size.bss,
        stack_bytes=int(answers["stack"].max()),
        instructions=int(answers["ticks"].max()) * INSTRUCTIONS_A_TICK,
        answers=tuple(Answer(a["logits"].copy(), a["probabilities"].copy()) for a in answers),
    )
