"""What a run leaves behind: environment, metrics, predictions, summary, student folder."""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pskd.data.clips import VERSION as CLIPS
from pskd.data.clips import Clips
from pskd.evaluate.metrics import score
from pskd.models import Model, count_macs, count_parameters
from pskd.models.student_folder import StudentConfig, save_student
from pskd.recipe import Recipe, Stage
from pskd.train.checkpoint import write_run_file
from pskd.train.fit import predict, visible
from pskd.train.prepare import Prepared
from pskd.train.wearer import predict_adapted

FORMAT = 1
"""Version of the run folder's format."""

_PACKAGES = ("pskd", "torch", "lightning-fabric", "numpy", "scipy", "safetensors", "torchmetrics")

Trained = tuple[Stage, str, Model, list[dict[str, Any]]]
"""A stage, its role (see `pskd.train.stages.role`), its model and its metrics."""


def write_environment(recipe: Recipe, data: Prepared, device: torch.device, out: Path) -> None:
    """environment.json: versions, device, commit, data and seed."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    content = {
        "format": FORMAT,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "device": gpu or _cpu(),
        "accelerator": device.type,
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
        "data": {"store": data.store.key, "recordings": len(data.store), "clips": CLIPS},
        "seed": recipe.seed,
    }
    path = out / "environment.json"
    if path.exists():  # what finished stages were trained with stays
        first = json.loads(path.read_text())
        resumed = first.pop("resumed", [])
        if content not in (first, *resumed):
            resumed.append(content)
        content = first | ({"resumed": resumed} if resumed else {})
    _write_json(path, content)


def write_results(
    recipe: Recipe, data: Prepared, trained: Iterable[Trained], out: Path
) -> dict[str, Any]:
    """metrics.jsonl, predictions/, embeddings/ and summary.json; returns the summary."""
    rows: list[dict[str, Any]] = []
    blocks: dict[str, Any] = {}
    for stage, role, model, metrics in trained:
        rows += [row | {"stage": stage.name} for row in metrics]
        blocks[stage.name] = {
            "role": role,
            "model": stage.model.name,
            "inputs": list(model.inputs),
            "teachers": [t.stage for t in stage.teachers],
            "parameters": count_parameters(model),
            "macs": count_macs(model, data.signal),
            "seconds": metrics[-1]["seconds"],
            **_predict_sides(recipe, stage, model, data, out),
        }
    write_run_file(out / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows).encode())
    split = data.split
    summary = {
        "format": FORMAT,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "dataset": {
            "name": data.source.name,
            "title": data.source.title,
            "classes": list(data.source.classes),
            "citation": data.source.citation,
            "licence": data.source.licence,
            "headline": data.source.headline,
            "recordings": len(data.store),
            "set_aside": [asdict(trial) for trial in data.store.set_aside],
        },
        "protocol": {
            "name": split.name,
            "subject_independent": split.subject_independent,
            "note": split.note + _data_note(recipe),
            "sides": {name: len(side) for name, side in split.sides.items()},
            "subjects": {
                name: sorted({data.store.info[i].subject for i in side})
                for name, side in split.sides.items()
            },
        },
        "audit": [
            {"level": f.level, "kind": f.kind, "sentence": f.sentence} for f in data.audit.findings
        ],
        "student": recipe.student.name,
        "alone": next((name for name, block in blocks.items() if block["role"] == "alone"), None),
        "stages": blocks,
        "seconds": sum(block["seconds"] for block in blocks.values()),
    }
    _write_json(out / "audit.json", asdict(data.audit))
    _write_json(out / "summary.json", summary)
    return summary


def write_student(
    recipe: Recipe, data: Prepared, model: Model, summary: Mapping[str, Any], out: Path
) -> None:
    """student/: what leaves for the watch."""
    window = float(data.train.seconds.median())
    block = summary["stages"][recipe.student.name]
    # What leaves has adapted to nobody: scores of adapted ones are not its own.
    scores = block["test"] if not recipe.test.adapt else {}
    plain = recipe.model_copy(update={"test": recipe.test.model_copy(update={"adapt": 0})})
    config = StudentConfig(
        model=recipe.student.model.name,
        options=recipe.student.model.options,
        dataset=data.source.name,
        classes=list(data.source.classes),
        samples=recipe.clips.samples,
        embedding=recipe.embedding,
        unit="g",
        rate=recipe.clips.samples / window,
        window_seconds=window,
        hop_seconds=window / 4,
        normalisation="inside the model: raw samples in g go in",
        placement=data.source.placement,
        protocol=data.split.name,
        protocol_note=data.split.note + _data_note(plain),
        accuracy=scores.get("accuracy"),
        macro_f1=scores.get("macro_f1"),
        parameters=block["parameters"],
        macs=block["macs"],
        licence=data.source.licence,
        seed=recipe.seed,
    )
    save_student(out / "student", model, config)


def _predict_sides(
    recipe: Recipe, stage: Stage, model: Model, data: Prepared, out: Path
) -> dict[str, Any]:
    """Write the predictions of a stage and return its scores by side."""
    adapts = recipe.test.adapt if model.inputs == ("acceleration",) else 0
    classes = data.source.classes
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = [f"p_{k}" for k in range(len(classes))]
    table.writerow(["recording", "subject", "side", "true", "predicted", *names])
    scores: dict[str, Any] = {}
    embeddings: list[Tensor] = []
    for side, clips in (("validation", data.validation), ("test", data.test)):
        if clips is None:
            continue
        clips = visible(model, clips)
        output = (
            predict_adapted(model, clips, adapts, recipe.seed)
            if adapts and side == "test"
            else predict(model, clips)
        )
        predicted = output.logits.argmax(1)
        for row in _rows(clips, side, predicted, output.logits.softmax(1)):
            table.writerow(row)
        embeddings.append(output.embedding)
        scores[side] = asdict(score(clips.labels, predicted, clips.subjects, classes))
    write_run_file(out / "predictions" / f"{stage.name}.csv", text.getvalue().encode())
    binary = io.BytesIO()
    np.save(binary, torch.cat(embeddings).numpy(), allow_pickle=False)
    write_run_file(out / "embeddings" / f"{stage.name}.npy", binary.getvalue())
    return scores


def _rows(
    clips: Clips, side: str, predicted: Tensor, probabilities: Tensor
) -> Iterable[list[object]]:
    facts = zip(clips.ids, clips.subjects, clips.labels.tolist(), predicted.tolist(), strict=True)
    for (name, subject, true, guess), p in zip(facts, probabilities.tolist(), strict=True):
        yield [name, subject, side, true, guess, *(f"{value:.6f}" for value in p)]


def _data_note(recipe: Recipe) -> str:
    """What the recipe changes of the data that the protocol gives."""
    notes = []
    if recipe.train_share < 1:
        notes.append(f"{recipe.train_share:.0%} of the training recordings are used")
    if names := recipe.labelled_subjects:
        whose = f"recordings of subject{'s' * (len(names) > 1)} {', '.join(map(str, names))}"
        share = f"{recipe.labelled:.0%} of the" if recipe.labelled < 1 else "only"
        notes.append(f"{share} {whose} keep their label")
    elif recipe.labelled < 1:
        notes.append(f"{recipe.labelled:.0%} of the training recordings keep their label")
    test = recipe.test
    if test.noise:
        notes.append(f"noise of {test.noise:g} g added to the test side")
    if test.rotation:
        notes.append(f"sensor turned by {test.rotation:g} rad on the test side")
    if test.rate is not None:
        notes.append(f"{test.rate:g} samples a second left on the test side")
    if test.adapt:
        notes.append(
            f"adapted to {test.adapt} recordings of each test subject (at most half of theirs), "
            "without labels"
        )
    return "".join(f"; {note}" for note in notes)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_run_file(path, (json.dumps(content, indent=2) + "\n").encode())


def _cpu() -> str:
    """Name of the processor, whose rounding a result is of; Python knows only its family."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Commit of the source tree that this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
