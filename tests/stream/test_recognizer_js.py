"""The recognizer of the page gives what Python's gives, run in Node on the same streams."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import NamedTuple

import numpy as np
import pytest

import pskd.edge.page
from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer
from pskd.models.student_config import StudentConfig
from pskd.stream.recognizer import Prediction, Recognizer

pytestmark = pytest.mark.skipif(which("node") is None, reason="needs node")

CONFIG = StudentConfig(
    model="linear",
    dataset="made up",
    classes=["walk", "wave", "clap", "sit"],
    samples=40,
    embedding=4,
    rate=32.0,
    window_seconds=1.25,
    hop_seconds=0.33,
    normalisation="none",
    placement="right wrist",
    protocol="none",
    protocol_note="none",
    parameters=0,
    macs=0,
    licence="none",
    seed=0,
)
WEIGHTS = np.random.default_rng(7).normal(0, 0.4, (4, 3 * CONFIG.samples))

IN_NODE = """
import { readFileSync } from "node:fs";
const { Recognizer } = await import(process.argv[1]);
const { config, weights, streams } = JSON.parse(readFileSync(0, "utf-8"));
const predict = (window) => {
  const logits = weights.map((row) => row.reduce((sum, w, k) => sum + w * window[k], 0));
  const most = Math.max(...logits), powers = logits.map((v) => Math.exp(v - most));
  const total = powers.reduce((a, b) => a + b);
  return { logits: Float32Array.from(logits),
           probabilities: Float32Array.from(powers, (p) => p / total) };
};
const said = streams.map(({ settings, pieces }) => {
  const recognizer = new Recognizer(predict, config, settings);
  const found = [];
  let kept = 0; // at most
  for (const { times, values } of pieces) {
    const finite = (list) => list.map((v) => v ?? NaN);
    found.push(...recognizer.push(Float32Array.from(finite(values)), finite(times)));
    kept = Math.max(kept, recognizer.resampler.times.length, recognizer.held.length);
    if (!times.length) found.push(...recognizer.finish());
  }
  return { found, counts: recognizer.counts, kept };
});
console.log(JSON.stringify(said));
"""


class Stream(NamedTuple):
    settings: StreamSettings
    times: np.ndarray
    values: np.ndarray
    ends: list[int]
    """Where the pieces end; the stream is finished after the last, and where a piece is empty."""


def linear(window: np.ndarray) -> Answer:
    logits = WEIGHTS @ window.reshape(-1).astype(np.float64)
    powers = np.exp(logits - logits.max())
    return Answer(logits.astype(np.float32), (powers / powers.sum()).astype(np.float32))


def stream(seed: int) -> Stream:
    """Samples of a device with every fault there is, and settings, at random."""
    rng = np.random.default_rng(seed)
    rates = rng.choice([20.0, 31.0, 32.0, 50.0, 104.0, 400.0], 2)
    steps = np.concatenate([np.full(round(9 * rate), 1 / rate) for rate in rates])
    steps *= rng.uniform(0.7, 1.3, len(steps)) if seed % 3 else 1
    for _ in range(rng.integers(0, 4)):
        steps[rng.integers(len(steps))] += rng.choice([0.1, 0.24, 0.4, 0.9, 3.0])
    times = rng.uniform(-5, 1e6) + steps.cumsum()
    if seed % 4 == 1:  # the clock is set back
        times[rng.integers(len(times) // 2, len(times)) :] -= rng.uniform(0.5, 40)
    phase = np.outer(times - times[0], rng.uniform(3, 12, 3))
    values = rng.normal(0, 1, 3) + np.sin(phase) + rng.normal(0, 0.3, phase.shape)
    values[(np.arange(len(times)) // 150) % 3 == 0] = rng.normal(0, 0.02, 3)  # now and then idle
    order = np.arange(len(times))
    for at in rng.integers(1, len(times), rng.integers(0, 5)):
        order[[at - 1, at]] = order[[at, at - 1]]
    order = np.sort(np.r_[order, rng.integers(0, len(times), rng.integers(0, 5))], kind="stable")
    times, values = times[order], values[order]
    if seed % 2:  # nearly the same time
        at = rng.integers(1, len(times), 5)
        times[at] = times[at - 1] + 2e-5
    if seed % 5 == 0:
        values[rng.integers(len(times))] = np.inf
        times[rng.integers(len(times))] = np.nan
    settings = StreamSettings(
        hop_seconds=rng.choice([None, 0.2, 6.5 / 32]),
        smoothing=rng.choice(["none", "exponential", "hmm"]),
        rejection=rng.choice(["none", "probability", "energy"]),
        threshold=rng.choice([0.4, 0.9, 2.0]),
        idle_g=rng.choice([0.0, 0.3]),
        agree=rng.choice([1, 1, 2]),
        refractory_seconds=rng.choice([0.0, 0.7]),
    )
    ends = sorted(rng.integers(0, len(times), rng.integers(0, 200)).tolist())
    return Stream(settings, times, values.astype(np.float32), [*ends, len(times)])


def pieces(given: Stream) -> list[slice]:
    edges = [0, *given.ends, given.ends[-1]]  # the last one is empty
    return [slice(a, b) for a, b in pairwise(edges)]


def in_python(given: Stream) -> tuple[list[Prediction], dict[str, int]]:
    recognizer = Recognizer(linear, CONFIG, given.settings)
    found = []
    for piece in pieces(given):
        found += recognizer.push(given.values[piece], given.times[piece])
        if piece.start == piece.stop:
            found += recognizer.finish()
    return found, vars(recognizer.counts)


def in_node(streams: list[Stream]) -> list[dict]:
    def plain(array: np.ndarray) -> list[float | None]:
        return [float(v) if np.isfinite(v) else None for v in array.ravel()]

    said = [
        {
            "settings": s.settings.model_dump(mode="json"),
            "pieces": [
                {"times": plain(s.times[p]), "values": plain(s.values[p])} for p in pieces(s)
            ],
        }
        for s in streams
    ]
    config = CONFIG.model_dump(mode="json")
    module = Path(pskd.edge.page.__file__).with_name("recognizer.mjs").as_uri()
    process = subprocess.run(
        ["node", "--input-type=module", "--eval", IN_NODE, module],
        input=json.dumps({"config": config, "weights": WEIGHTS.tolist(), "streams": said}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def both() -> list[tuple[tuple[list[Prediction], dict[str, int]], dict]]:
    streams = [stream(seed) for seed in range(60)]
    return list(zip(map(in_python, streams), in_node(streams), strict=True))


def test_same_windows_classes_and_probabilities(both):
    for seed, ((expected, _), said) in enumerate(both):
        found = said["found"]
        assert len(found) == len(expected), seed
        for window, right in zip(found, expected, strict=True):
            assert window["start"] == pytest.approx(right.start_s, abs=1e-9), seed
            assert window["end"] == pytest.approx(right.end_s, abs=1e-9), seed
            assert window["name"] == right.class_name, seed
            assert window["action"] == right.action, seed
            np.testing.assert_allclose(window["probabilities"], right.probabilities, atol=1e-5)
            assert window["probability"] == max(window["probabilities"])


def test_same_counts(both):
    assert [said["counts"] for _, said in both] == [counts for (_, counts), _ in both]


def test_the_streams_hold_every_fault_and_every_decision(both):
    total = {name: sum(c[name] for (_, c), _ in both) for name in both[0][0][1]}
    assert min(total.values()) > 0, total
    names = {p.class_name for (found, _), _ in both for p in found}
    assert names == {*CONFIG.classes, "idle", "unknown"}


def test_memory_does_not_grow():
    times = np.arange(30_000) / 100
    values = np.random.default_rng(0).normal(0, 1, (len(times), 3)).astype(np.float32)
    ends = list(range(50, len(times) + 1, 50))
    long = Stream(StreamSettings(), times, values, ends)
    short = Stream(StreamSettings(), times[:500], values[:500], ends[:10])
    kept = [said["kept"] for said in in_node([long, short])]
    assert kept[0] < 2 * kept[1] < 400
