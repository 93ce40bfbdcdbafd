"""Counts of a Cortex-M under qemu, checked with programs whose counts are known."""

from pathlib import Path
from shutil import which

import numpy as np
import pytest

from pskd.edge.cortex_m import BOARDS, CortexM, measure
from pskd.edge.cortex_m.measure import INSTRUCTIONS_A_TICK, TOOLS
from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.errors import PskdError, UsageError

MISSING = [package for tool, package in TOOLS.items() if which(tool) is None]
needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

HEADER = """
#define STUDENT_CHANNELS 3
#define STUDENT_SAMPLES 2
#define STUDENT_CLASSES 2
typedef struct { float numbers[100]; } student_workspace;
void student_predict(student_workspace *workspace, const float acceleration[6],
                     float logits[2], float probabilities[2]);
"""


def program(folder: Path, body: str) -> Path:
    """A student of two classes that does what the body says."""
    (folder / "student.h").write_text(HEADER)
    (folder / "student.c").write_text(
        '#include "student.h"\n'
        "void student_predict(student_workspace *workspace, const float acceleration[6],\n"
        f"                     float logits[2], float probabilities[2])\n{{{body}}}\n"
    )
    return folder


def windows(*firsts: float) -> np.ndarray:
    """Windows [N, 3, 2] that differ in their first value."""
    made = np.tile(np.arange(6, dtype=np.float32).reshape(3, 2), (len(firsts), 1, 1))
    made[:, 0, 0] = firsts
    return made


@needs_tools
@pytest.mark.parametrize("core", BOARDS)
def test_a_loop_of_known_length_takes_that_many_instructions(core: str, tmp_path: Path):
    loop = """
        unsigned n = (unsigned)acceleration[0];
        __asm__ volatile("1: subs %0, %0, #1\\n bne 1b" : "+r"(n) : : "cc");
    """
    source = program(tmp_path, loop)
    counted = [measure(source, windows(n), core).instructions for n in (1000, 100_000, 3_000_000)]
    for before, after, more in zip(counted, counted[1:], (99_000, 2_900_000), strict=False):
        assert abs(after - before - 2 * more) <= INSTRUCTIONS_A_TICK
    assert 2000 <= counted[0] < 2200  # the call, and where there is no FPU a conversion


@needs_tools
def test_the_window_with_the_most_instructions_counts(tmp_path: Path):
    loop = "for (volatile int i = 0; i < (int)acceleration[0]; i++) { }"
    source = program(tmp_path, loop)
    alone = measure(source, windows(5000)).instructions
    among = measure(source, windows(10, 5000, 20)).instructions
    assert abs(among - alone) <= INSTRUCTIONS_A_TICK


@needs_tools
def test_stack_ram_and_flash_are_those_of_the_student(tmp_path: Path):
    def with_table(stack: int, constants: int) -> CortexM:
        body = f"""
            static const char table[{constants}] = {{1}};
            volatile char local[{stack}];
            local[0] = table[(int)acceleration[0]];
        """
        return measure(program(tmp_path, body), windows(1))

    small, large = with_table(400, 1000), with_table(2400, 6000)
    assert large.stack_bytes - small.stack_bytes == 2000
    assert 400 <= small.stack_bytes <= 440
    assert abs(large.flash_bytes - small.flash_bytes - 5000) <= 8  # and wider instructions
    statics = 4 * (100 + 6 + 2 + 2)  # workspace, window, logits, probabilities
    assert statics < small.ram_bytes == large.ram_bytes < statics + 16


@needs_tools
def test_answers_come_back_in_the_order_of_the_windows(tmp_path: Path):
    body = """
        logits[0] = acceleration[0]; logits[1] = acceleration[5];
        probabilities[0] = workspace->numbers[0]; probabilities[1] = 0.25f;
        workspace->numbers[0] = acceleration[0];
    """
    answers = measure(program(tmp_path, body), windows(1.5, -7, 3), "cortex-m3").answers
    assert [a.logits.tolist() for a in answers] == [[1.5, 5], [-7, 5], [3, 5]]
    # the workspace starts as zeros and stays between calls
    assert [a.probabilities.tolist() for a in answers] == [[0, 0.25], [1.5, 0.25], [-7, 0.25]]


@needs_tools
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("not C", "arm-none-eabi-gcc failed"),
        ('__asm__("udf #0");', "a fault of the processor"),
        ("volatile char all[70000]; for (int i = 0; i < 70000; i++) all[i] = 1;", "more stack"),
        ("static volatile float all[2000000]; all[0] = 1;", "does not fit|will not fit"),
    ],
    ids=["does not compile", "faults", "overruns the stack", "needs more than the RAM"],
)
def test_a_student_that_fails_is_said_to(body: str, says: str, tmp_path: Path):
    with pytest.raises(PskdError, match=says):
        measure(program(tmp_path, body), windows(1))


@needs_tools
def test_windows_of_another_length_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"\[3, 7\].*\[3, 2\]"):
        measure(program(tmp_path, ""), np.zeros((1, 3, 7), np.float32))


def test_an_unknown_core_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="cortex-m4"):
        measure(tmp_path, windows(1), "cortex-m44")


def test_missing_tools_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"apt-get install gcc-arm-none-eabi.* qemu-system-arm"):
        measure(tmp_path, windows(1))


@needs_tools
@pytest.mark.skipif(not any(map(which, ("cc", "gcc", "clang"))), reason="needs a C compiler")
@pytest.mark.parametrize("name", ["c", "c-int8"])
def test_a_student_answers_as_on_the_host(name: str, material: Material, tmp_path: Path):
    TARGETS[name].export(material, tmp_path)
    path = tmp_path / TARGETS[name].file
    run = TARGETS[name].load(path)
    windows = material.test[:6]
    on_host = np.array([run(window[None]) for window in windows])
    assert len(np.unique(on_host[:, 0], axis=0)) == 6
    for core in ("cortex-m3", "cortex-m4"):  # without a floating-point unit and with one
        on_board = np.array(measure(path.parent, windows, core).answers)
        if name == "c-int8":
            assert on_board.tobytes() == on_host.tobytes()
        else:
            np.testing.assert_allclose(on_board, on_host, atol=1e-5)
