"""The C student as WebAssembly, in wasmtime and in Node."""

import json
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import torch

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.edge.targets.wasm import compile_wasm
from pskd.errors import CheckpointError, UsageError

wasmtime = pytest.importorskip("wasmtime")

needs_compiler = pytest.mark.skipif(
    not (which("clang") and which("wasm-ld")), reason="needs clang and lld"
)
needs_node = pytest.mark.skipif(which("node") is None, reason="needs node")

IN_NODE = """
import { readFileSync } from "node:fs";
import { loadStudent } from "./student.mjs";
const student = await loadStudent(readFileSync(process.argv[1]));
const all = readFileSync("../windows.bin");
const values = new Float32Array(all.buffer, all.byteOffset, all.length / 4);
const answers = [];
for (let at = 0; at < values.length; at += 3 * student.samples) {
  const { logits, probabilities } = student.predict(values.subarray(at, at + 3 * student.samples));
  answers.push([[...logits], [...probabilities]]);
}
let refused = "";
try { student.predict(values.subarray(1, 3 * student.samples)); } catch (e) { refused = e.message; }
console.log(JSON.stringify({ answers, names: student.classNames, refused }));
"""


@pytest.fixture(scope="module")
def exports(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of one student as C and as WebAssembly, float and int8."""
    folder = tmp_path_factory.mktemp("wasm")
    for name in ("c", "c-int8", "wasm", "wasm-int8"):
        TARGETS[name].export(material, folder)
    return folder


def answers(name: str, folder: Path, windows: np.ndarray) -> np.ndarray:
    """Logits and probabilities [N, 2, K] of an export."""
    run = TARGETS[name].load(folder / TARGETS[name].file)
    return np.array([run(window[None]) for window in windows])


def same_as_torch(folder: Path, material: Material) -> None:
    with torch.inference_mode():
        logits = material.student(torch.from_numpy(material.test)).logits
    found = answers("wasm", folder, material.test)
    np.testing.assert_allclose(found[:, 0], logits, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], logits.softmax(1), atol=1e-5)


@needs_compiler
def test_float_answers_are_those_of_torch(exports: Path, material: Material):
    same_as_torch(exports, material)


@needs_compiler
def test_a_student_of_angular_fields_too(gaf_material: Material, tmp_path: Path):
    TARGETS["wasm"].export(gaf_material, tmp_path)
    same_as_torch(tmp_path, gaf_material)


@needs_compiler
def test_int8_answers_are_those_of_c_bit_for_bit(exports: Path, material: Material):
    loud = np.concatenate([material.test, 40 * material.test[:5], 0 * material.test[:1]])
    in_c, in_wasm = answers("c-int8", exports, loud), answers("wasm-int8", exports, loud)
    assert in_wasm.tobytes() == in_c.tobytes()
    assert len(np.unique(in_c[:, 0], axis=0)) > 30


@needs_compiler
@needs_node
@pytest.mark.parametrize("name", ["wasm", "wasm-int8"])
def test_node_answers_as_wasmtime_does(name: str, exports: Path, material: Material):
    material.test.tofile(exports / "windows.bin")
    said = subprocess.run(
        ["node", "--input-type=module", "--eval", IN_NODE, "student.wasm"],
        cwd=(exports / TARGETS[name].file).parent,
        capture_output=True,
        check=True,
        timeout=60,
    )
    in_node = json.loads(said.stdout)
    assert np.array_equal(in_node["answers"], answers(name, exports, material.test))
    assert in_node["names"] == material.config.classes
    assert in_node["refused"] == "a window has 3 x 64 values, not 191"


@needs_compiler
@pytest.mark.parametrize("name", ["wasm", "wasm-int8"])
def test_the_module_stands_alone(name: str, exports: Path):
    module = wasmtime.Module.from_file(wasmtime.Engine(), str(exports / TARGETS[name].file))
    assert module.imports == []
    (memory,) = (e.type for e in module.exports if e.name == "memory")
    assert memory.limits.min == memory.limits.max <= 2


@needs_compiler
def test_the_same_student_gives_the_same_bytes(exports: Path):
    again = compile_wasm((exports / TARGETS["c-int8"].file).parent)
    assert again == (exports / TARGETS["wasm-int8"].file).read_bytes()


STRANGE = """
(module (memory (export "memory") 1)
  (func (export "student_samples") (result i32) i32.const {samples})
  (func (export "student_classes") (result i32) i32.const 2)
  (func (export "student_input") (result i32) i32.const {address})
  (func (export "student_logits") (result i32) i32.const 0)
  (func (export "student_probabilities") (result i32) i32.const 0)
  (func (export "student_run")))
"""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0asm\1\0\0\0\1",
        b"no module at all",
        wasmtime.wat2wasm("(module)"),
        wasmtime.wat2wasm('(module (func (export "memory")))'),
        wasmtime.wat2wasm('(module (import "wasi" "exit" (func)))'),
        wasmtime.wat2wasm("(module (func $f unreachable) (start $f))"),
        wasmtime.wat2wasm(STRANGE.format(samples=8, address=65536 - 90)),
        wasmtime.wat2wasm(STRANGE.format(samples=-3, address=0)),
    ],
    ids=[
        "empty", "torn", "text", "nothing in it", "no memory", "imports", "traps",
        "reaches out of its memory", "negative size",
    ],
)  # fmt: skip
def test_a_torn_or_foreign_module_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "student.wasm").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"student\.wasm: is no student"):
        TARGETS["wasm"].load(tmp_path / "student.wasm")


def test_a_missing_module_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="No such file"):
        TARGETS["wasm"].load(tmp_path / "student.wasm")


def test_missing_compilers_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"clang, wasm-ld.*apt-get install clang lld"):
        TARGETS["wasm"].require()
