"""What docs/devices.md shows is what is decoded."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pskd.stream.sources.ble import SAMPLES, SERVICE, Frames
from pskd.stream.wire import HEADER, MAX_BYTES, MAX_SAMPLES, Finish, Hello, Samples, decode

PAGE = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()

# A watch that lies face up and is shaken along x; time goes on by 20.5 ms a sample.
WATCH = """
const sent = [];
let listener, count = 0;
globalThis.Bangle = { setOptions() {}, accelWr() {}, setPollInterval() {},
  on: (name, heard) => { if (name === "accel") listener = heard; } };
globalThis.NRF = { setServices: (s) => sent.push(s), updateServices: (s) => sent.push(s) };
globalThis.getTime = () => 1.7e9 + 0.0205 * count;
SNIPPET
for (; count < 40; count++) listener({ x: Math.sin(count), y: -0.25, z: -1 });
const hex = (value) => Buffer.from(new Uint8Array(value)).toString("hex");
console.log(JSON.stringify(sent.map((s) => Object.entries(s).map(([service, inner]) =>
  Object.entries(inner).map(([id, c]) => [service, id, hex(c.value), c.notify, c.maxLen]))[0][0])));
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_lines_of_json() -> None:
    (lines,) = blocks("json")
    hello, two, one, finish = map(decode, lines.splitlines())
    assert hello == Hello("m/s2", None) and finish == Finish()
    assert isinstance(two, Samples) and isinstance(one, Samples)
    assert [*two.times, *one.times] == [12, 12.02, 12.04]
    np.testing.assert_allclose(two.acceleration, [[0.1, 0.2, 9.8], [0.1, 0.3, 9.8]], rtol=1e-6)
    for message in re.findall(r"-m '(.*)'", PAGE):
        assert not isinstance(decode(message), Finish)


def test_the_table_of_the_frame() -> None:
    table = re.findall(r"^\| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    offsets = [(int(offset), int(size)) for offset, size in table]
    sizes = [struct.calcsize("<" + c) for c in ("4s", "H", "B", "B", "d", "f", "f")]
    assert offsets == list(zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True))
    assert sum(offsets[-1]) == HEADER.size == 24
    assert f"at most {MAX_BYTES:,} bytes and {MAX_SAMPLES} samples" in PAGE


def test_the_bluetooth_profile() -> None:
    assert f"| service | `{SERVICE}` |" in PAGE
    assert f"| samples, notify | `{SAMPLES}` |" in PAGE


def test_the_code_for_bangle_js_sends_what_is_decoded(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    (snippet,) = blocks("js")
    program = tmp_path / "watch.js"
    program.write_text(WATCH.replace("SNIPPET", snippet))
    done = subprocess.run([node, program], capture_output=True, text=True, check=True, timeout=60)
    offered, *notified = json.loads(done.stdout)
    assert offered[:2] == [SERVICE, SAMPLES]
    assert len(notified) == 2  # 17 samples each; six wait
    frames = Frames()
    for index, (service, characteristic, value, notify, longest) in enumerate(notified):
        assert (service, characteristic, notify) == (SERVICE, SAMPLES, True)
        assert len(bytes.fromhex(value)) <= longest == 128
        (frame,) = frames.feed(bytes.fromhex(value))
        samples = decode(frame)
        numbers = 17 * index + np.arange(17)
        np.testing.assert_allclose(samples.times, 1.7e9 + 0.0205 * numbers, atol=1e-5)
        wanted = np.column_stack([np.sin(numbers), np.full(17, 0.25), np.ones(17)])
        np.testing.assert_allclose(samples.acceleration, wanted, atol=0.5 / 8192 + 1e-7)
