"""A run folder that looks like a real one, made of noise around class prototypes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.evaluate import score

CLASSES = (
    "swipe left", "swipe right", "wave", "clap", "throw", "arm cross",
    "draw circle clockwise", "draw circle counter-clockwise", "boxing", "knock", "sit down", "walk",
)  # fmt: skip

CHAIN: dict[str, dict[str, Any]] = {
    "skeleton": {
        "role": "teacher", "model": "skeleton_graph", "inputs": ["skeleton"], "teachers": [],
        "parameters": 336_459, "macs": 41_200_000, "seconds": 301.2, "noise": 0.75,
    },
    "fused": {
        "role": "teacher", "model": "fused", "inputs": ["acceleration", "skeleton"],
        "teachers": ["skeleton"], "parameters": 389_723, "macs": 44_900_000, "seconds": 352.9,
        "noise": 0.62,
    },
    "sensor": {
        "role": "teacher", "model": "sensor_large", "inputs": ["acceleration"],
        "teachers": ["skeleton", "fused"], "parameters": 183_115, "macs": 11_300_000,
        "seconds": 187.0, "noise": 0.92,
    },
    "student": {
        "role": "student", "model": "sensor_small", "inputs": ["acceleration"],
        "teachers": ["skeleton", "fused", "sensor"], "parameters": 49_707, "macs": 3_120_000,
        "seconds": 121.4, "noise": 0.93,
    },
    "student_alone": {
        "role": "alone", "model": "sensor_small", "inputs": ["acceleration"], "teachers": [],
        "parameters": 49_707, "macs": 3_120_000, "seconds": 60.3, "noise": 1.05,
    },
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a fake run folder; every argument but the name has a default."""

    def make(name: str = "run", **options: Any) -> Path:
        return write_fake_run(tmp_path / name, **options)

    return make


def write_fake_run(
    path: Path,
    *,
    seed: int = 0,
    recipe: str = "utd_mhad",
    classes: tuple[str, ...] = CLASSES,
    subjects: tuple[str, ...] = ("s2", "s4", "s6", "s8"),
    trials: int = 4,
    epochs: int = 60,
    stages: tuple[str, ...] = tuple(CHAIN),
    choices: bool = True,
    validation: bool = False,
    embeddings: bool = True,
    changes: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write a run folder of format 1; `changes` overrides `part.key` of its summary."""
    rng = np.random.default_rng([seed, 7])
    for folder in ("predictions", "embeddings"):
        (path / folder).mkdir(parents=True)
    prototypes = np.random.default_rng(1).normal(size=(len(classes), 16)) / 2.2
    prototypes[1::2] = prototypes[1::2] * 0.55 + prototypes[:-1:2] * 0.45  # pairs that look alike
    rows = [(f"a{k + 1}_{s}_t{t + 1}", s, k) for k in range(len(classes)) for s in subjects
            for t in range(trials)]  # fmt: skip
    ids, who, labels = ([row[i] for row in rows] for i in range(3))
    difficulty = np.array([1.25 if s == subjects[0] else 0.95 for s in who])[:, None]
    shared = rng.normal(size=(len(rows), 16))
    summary: dict[str, Any] = {
        "format": 1,
        "recipe": recipe,
        "seed": seed,
        "dataset": {
            "name": "utd_mhad",
            "title": "UTD-MHAD",
            "classes": list(classes),
            "citation": "C. Chen, R. Jafari, N. Kehtarnavaz, UTD-MHAD, ICIP 2015.",
            "licence": "free for research",
            "recordings": 2 * len(rows),
            "set_aside": [
                {"id": "a8_s1_t4", "reason": "no accelerometer file"},
                {"id": "a23_s6_t4", "reason": "no skeleton file"},
            ],
        },
        "protocol": {
            "name": "cross_subject",
            "subject_independent": True,
            "note": "No subject is on two sides.",
            "subjects": {"train": ["s1", "s3", "s5", "s7"], "validation": [], "test": [*subjects]},
            "sides": {"train": len(rows), "validation": 0, "test": len(rows)},
        },
        "student": "student",
        "alone": "student_alone" if "student_alone" in stages else None,
        "stages": {},
        "seconds": 1022.8,
    }
    log = []
    for stage in stages:
        facts = dict(CHAIN[stage])
        mixed = 0.8 * shared + 0.6 * rng.normal(size=shared.shape)
        z = prototypes[labels] + 0.35 * facts.pop("noise") * difficulty * mixed
        logits = 6 * (z @ prototypes.T - (prototypes**2).sum(axis=1) / 2)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        predicted = odds.argmax(axis=1)
        header = ["recording", "subject", "side", "true", "predicted"]
        lines = [",".join(header + [f"p_{k}" for k in range(len(classes))])]
        lines += [
            ",".join([ids[i], who[i], "test", str(labels[i]), str(predicted[i])]
                     + [f"{p:.6f}" for p in odds[i]])
            for i in range(len(rows))
        ]  # fmt: skip
        (path / "predictions" / f"{stage}.csv").write_text("\n".join(lines) + "\n")
        if embeddings:
            np.save(path / "embeddings" / f"{stage}.npy", z.astype(np.float32))
        test = asdict(score(labels, predicted, who, classes))
        summary["stages"][stage] = {**facts, "test": test}
        taught = choices and facts["teachers"]
        log += [
            _epoch(rng, stage, e, epochs, facts["teachers"] if taught else [], validation)
            for e in range(1, epochs + 1)
        ]
    for place, value in (changes or {}).items():
        part, _, key = place.rpartition(".")
        (summary[part] if part else summary)[key] = value
    (path / "summary.json").write_text(json.dumps(summary, indent=2))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    tree = {
        "format": 1,
        "name": recipe,
        "seed": seed,
        "dataset": {"name": "utd_mhad"},
        "protocol": {"name": "cross_subject"},
        "chain": [
            {"name": s, "model": {"name": CHAIN[s]["model"]}, "fit": {"epochs": epochs}}
            for s in stages
            if s != "student_alone"
        ],
        **(settings or {}),
    }
    (path / "recipe.yaml").write_text(json.dumps(tree, indent=2))  # JSON is YAML too
    environment = {"python": "3.13.1", "torch": "2.13.0", "device": "cpu", "seed": seed}
    (path / "environment.json").write_text(json.dumps(environment))
    return path


def _epoch(
    rng: np.random.Generator, stage: str, epoch: int, epochs: int, teachers: list[str], check: bool
) -> dict[str, Any]:
    progress = epoch / epochs
    left = np.exp(-4 * progress)
    loss = float(2.4 * left + 0.15 + rng.normal(0, 0.03))
    row: dict[str, Any] = {
        "stage": stage,
        "epoch": epoch,
        "epochs": epochs,
        "loss": loss,
        "terms": {"label": 0.55 * loss, "distillation": 0.3 * loss if teachers else 0.0,
                  "semantic": 0.1 * loss if teachers else 0.0, "motion": 0.0},
        "train_accuracy": float(np.clip(1 - 0.9 * left + rng.normal(0, 0.012), 0, 1)),
        "learning_rate": 3e-3 * float(np.sin(np.pi * progress)),
        "seconds": 1.0,
    }  # fmt: skip
    if teachers:
        shares = np.exp(np.linspace(0, 1.2, len(teachers)) * progress) + rng.normal(0, 0.02, 1)
        label = 0.25 + 0.4 * left + rng.normal(0, 0.015)
        shares = shares / shares.sum() * (1 - label)
        row["choices"] = {**dict(zip(teachers, shares.tolist(), strict=True)), "label": label}
    if check:
        row["validation_accuracy"] = float(np.clip(0.93 - 0.85 * left, 0, 1))
    return row
