"""A page that holds the student: what is in the file is what is checked."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from pskd.edge.material import Material
from pskd.edge.page import read_module
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import TARGETS
from pskd.errors import CheckpointError, UsageError

pytest.importorskip("wasmtime")

needs_compiler = pytest.mark.skipif(
    not (which("clang") and which("wasm-ld")), reason="needs clang and lld"
)


@pytest.fixture(scope="module")
def exports(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    material = replace(material, settings=StreamSettings(idle_g=0.0625))
    for name in ("wasm", "wasm-int8", "html", "html-int8"):
        TARGETS[name].export(material, folder)
    return folder


@needs_compiler
@pytest.mark.parametrize("kind", ["", "-int8"])
def test_the_page_answers_as_the_module_does(exports: Path, material: Material, kind: str):
    page, wasm = TARGETS[f"html{kind}"], TARGETS[f"wasm{kind}"]
    assert read_module((exports / page.file).read_bytes()) == (exports / wasm.file).read_bytes()
    runs = [target.load(exports / target.file) for target in (page, wasm)]
    said = [np.array([run(window[None]) for window in material.test]) for run in runs]
    assert said[0].tobytes() == said[1].tobytes()
    assert page.int8 == wasm.int8 == bool(kind)


@needs_compiler
def test_what_the_file_holds_is_what_is_run(exports: Path, material: Material, tmp_path: Path):
    page, module, other = (
        (exports / TARGETS[name].file).read_bytes() for name in ("html", "wasm", "wasm-int8")
    )
    changed = tmp_path / "student.html"
    changed.write_bytes(page.replace(base64.b64encode(module), base64.b64encode(other)))
    said = TARGETS["html"].load(changed)(material.test[:1])
    integers = TARGETS["wasm-int8"].load(exports / TARGETS["wasm-int8"].file)(material.test[:1])
    assert np.array_equal(said.logits, integers.logits)


@needs_compiler
def test_the_page_knows_student_and_settings(exports: Path, material: Material):
    page = (exports / TARGETS["html"].file).read_text()
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data = json.loads(found)
    assert data["config"]["classes"] == material.config.classes
    assert data["config"]["hop_seconds"] == material.config.hop_seconds
    assert data["settings"]["idle_g"] == 0.0625
    assert data["server"] is False


@needs_compiler
def test_the_same_student_gives_the_same_page(exports: Path, material: Material, tmp_path: Path):
    TARGETS["html"].export(replace(material, settings=StreamSettings(idle_g=0.0625)), tmp_path)
    file = TARGETS["html"].file
    assert (tmp_path / file).read_bytes() == (exports / file).read_bytes()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"", "no student in the page"),
        (b"\xff\xfe\x00", "no student in the page"),
        (b'<script type="application/wasm" id="student"></script>', "no student in the page"),
        (b'<script type="application/wasm" id="student">AAA</script>', "torn student"),
        (b'<script type="application/wasm" id="student">A(AA</script>', "torn student"),
        (2 * b'<script type="application/wasm" id="student">AAAA</script>', "no student"),
        (b'<script type="application/wasm" id="student">AAAA</script>', "as WebAssembly"),
    ],
)
def test_a_torn_or_foreign_page_is_refused(page: bytes, message: str, tmp_path: Path):
    (tmp_path / "student.html").write_bytes(page)
    with pytest.raises(CheckpointError, match=rf"student\.html: is no page.*{message}"):
        TARGETS["html"].load(tmp_path / "student.html")


def test_a_missing_page_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="No such file"):
        TARGETS["html"].load(tmp_path / "student.html")


def test_missing_compilers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"clang, wasm-ld.*apt-get install clang lld"):
        TARGETS["html-int8"].require()
