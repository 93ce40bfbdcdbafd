"""Builds exported students with a compiler and runs them as programs of their own."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

DRIVER = Path(__file__).with_name("driver.c")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(folder: Path, out: Path, *flags: str, compiler: str = "gcc") -> Path:
    """Compile `folder`/student.c with strict warnings, and the driver; skip what cannot be."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    if set(SANITIZED) <= set(flags) and not sanitizes(compiler):
        pytest.skip(f"{compiler} came without its sanitizers (Debian: libasan, libclang-rt-dev)")
    command = [compiler, *STRICT, *flags, f"-I{folder}", str(folder / "student.c"), str(DRIVER)]
    result = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return out


@functools.cache
def sanitizes(compiler: str) -> bool:
    """Whether `compiler` can link the sanitizers: Debian only recommends clang's."""
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, *SANITIZED, "-x", "c", "-", "-o", str(Path(folder) / "empty")]
        source = "int main(void) { return 0; }"
        return not subprocess.run(
            command, input=source, text=True, capture_output=True, check=False
        ).returncode


def answers(program: Path, windows: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities [N, K] of a built program."""
    file = program.with_suffix(".windows")
    file.write_bytes(windows.astype(np.float32).tobytes())
    result = subprocess.run([program, file], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    found = np.frombuffer(result.stdout, np.float32).reshape(-1, 2, classes).copy()
    return found[:, 0], found[:, 1]


def edge_windows(samples: int) -> np.ndarray:
    """Silence, saturation, and what no sensor gives."""
    odd = [0.0, 16.0, -16.0, 1e30, -1e30, np.nan, np.inf, -np.inf, 1e-42, 3.4e38]
    flat = np.array([np.full((3, samples), x) for x in odd], np.float32)
    mixed = np.resize(np.array(odd, np.float32), (1, 3, samples))
    return np.concatenate([flat, mixed])
