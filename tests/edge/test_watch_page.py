"""What docs/watch.md shows works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS

PAGE = Path(__file__).parents[2] / "docs" / "watch.md"


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_program_in_c_says_what_was_done(material: Material, tmp_path: Path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    TARGETS["c"].export(material, tmp_path)
    (tmp_path / "main.c").write_text(block("c"))
    strict = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion")
    sources = ("main.c", "c/student.c", "-Ic", "-o", "watch")
    subprocess.run(["gcc", *strict, *sources], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "watch"], capture_output=True, text=True, check=True).stdout
    name, probability = said.split()
    silence = TARGETS["torch"]
    silence.export(material, tmp_path)
    answer = silence.load(tmp_path / silence.file)(0 * material.test[:1])
    assert name == material.config.classes[answer.probabilities.argmax()]
    assert float(probability) == pytest.approx(answer.probabilities.max(), abs=1e-3)


def test_every_target_is_in_the_table():
    listed = set(re.findall(r"^\| `([\w-]+)`, `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert {name for pair in listed for name in pair} == TARGETS.keys() - {"torch"}
