"""What docs/watch.md shows works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.models import Signal, build, count_macs, count_parameters
from pskd.train.budget import FAMILY, int8_bytes

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


def test_the_family_is_as_listed():
    rows = re.findall(
        r"^\| \**([\d.]+)\** \| \**([\d,]+)\** \| \**([\d,]+)\** \| \**([\d.]+)\** \|",
        PAGE.read_text(),
        re.MULTILINE,
    )
    signal = Signal(classes=27)
    with torch.device("meta"):
        models = {width: build("temporal_cnn", signal, width=width) for width in FAMILY}
    found = [
        (f"{w:g}", f"{count_parameters(m):,}", f"{int8_bytes(m) / 1024:.1f}")
        for w, m in models.items()
    ]
    assert [(w, parameters, kb) for w, parameters, _, kb in rows] == found
    (macs,) = [m for w, _, m, _ in rows if w == "1"]
    assert macs == f"{count_macs(build('temporal_cnn', signal), signal):,}"
