"""The student against the student of the method's lineage, in ONNX Runtime, fp32, one thread.

VSKD, and PSKD after it, make GASF images of 224 x 224 and classify them by ResNet-18. Both are
exported with all that they do to raw samples, and each runs in a process of its own, in turns, so
that other work on the machine counts for both. Ratios are the lineage's over the student's.

The weights are untrained: neither size, time nor memory depends on them. A window of 224 samples is
the shortest that images of 224 can be made of; the student has windows of 128, as in all recipes.

Example: python benchmarks/lineage.py
"""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.edge.worker import Worker
from pskd.models import Signal, build, count_macs, count_parameters
from pskd.models.student_folder import StudentConfig

TARGET = "onnx"
MODELS = {
    "student": ("temporal_cnn", Signal(classes=27), {}),
    "lineage": (
        "gaf_resnet18",
        Signal(classes=27, samples=224, embedding=300),
        {"image_size": 224},
    ),
}
"""By name: model, signals and options. VSKD's embedding has a size of 300."""


def material(name: str, signal: Signal, options: dict[str, int]) -> Material:
    """An untrained student with its description, and noise as windows."""
    torch.manual_seed(0)
    student = build(name, signal, **options).eval()
    seconds = signal.samples / 50
    config = StudentConfig(
        model=name,
        options=options,
        dataset="none: untrained",
        classes=[f"class {k}" for k in range(signal.classes)],
        samples=signal.samples,
        embedding=signal.embedding,
        rate=50.0,
        window_seconds=seconds,
        hop_seconds=seconds,
        normalisation="inside the model",
        placement="wrist",
        protocol="none",
        protocol_note="untrained",
        parameters=count_parameters(student),
        macs=count_macs(student, signal),
        licence="none",
        seed=0,
    )
    draw = np.random.default_rng(0)
    windows = draw.normal(0, 1, (16, 3, signal.samples)).astype(np.float32)
    return Material(student, config, windows, windows, np.zeros(16, np.int64))


def main() -> None:
    """Print a table, and a line of JSON for a program to read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns of each (default: 20)")
    parser.add_argument("--calls", type=int, default=50, help="windows a turn (default: 50)")
    chosen = parser.parse_args()

    made = {name: material(*parts) for name, parts in MODELS.items()}
    times: dict[str, list[float]] = {name: [] for name in made}
    rows: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {}
        for name, of in made.items():
            place = Path(folder, name)
            place.mkdir()
            TARGETS[TARGET].export(of, place)
            files = [path for path in place.rglob("*") if path.is_file()]
            rows[name] = {
                "parameters": of.config.parameters,
                "MACs": of.config.macs,
                "file KB": sum(path.stat().st_size for path in files) / 1024,
            }
            workers[name] = stack.enter_context(Worker(TARGET, place / TARGETS[TARGET].file))
        for _ in range(chosen.rounds):
            for name, worker in workers.items():
                took = worker.latencies(made[name].test, chosen.calls)
                times[name] += (took / 1000).tolist()
        for name, worker in workers.items():
            rows[name]["median µs"] = statistics.median(times[name])
            rows[name]["p99 µs"] = float(np.percentile(times[name], 99))
            if memory := worker.peak_memory(made[name].test[:1]):
                rows[name]["memory KB"] = memory.export / 1024
    print(f"{'':<12}{'student':>14}{'lineage':>16}{'ratio':>10}")
    ratios = {what: rows["lineage"][what] / value for what, value in rows["student"].items()}
    for what, ratio in ratios.items():
        ours, theirs = (rows[name][what] for name in ("student", "lineage"))
        print(f"{what:<12}{ours:>14,.0f}{theirs:>16,.0f}{ratio:>10,.1f}")
    print(
        json.dumps(
            {
                "target": TARGET,
                "windows": chosen.rounds * chosen.calls,
                "rows": rows,
                "ratios": ratios,
                "versions": {name: version(name) for name in ("torch", "onnxruntime")},
            }
        )
    )


if __name__ == "__main__":
    main()
