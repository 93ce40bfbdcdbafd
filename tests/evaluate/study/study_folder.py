"""A folder as `pskd compare` writes it, with predictions that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pskd.evaluate import score

CLASSES = ("wave", "clap", "walk")
SUBJECTS = ("2", "4", "6", "8")
CLIPS = 6
"""Of each subject, two of each class."""

Rule = Callable[[str, int], float]
"""Chance that the prediction of (method, seed) is right."""

RECIPE: dict[str, Any] = {
    "dataset": {"name": "utd_mhad", "options": {"placement": "wrist"}},
    "protocol": {"name": "cross_subject", "options": {"train": [1, 3], "test": [2, 4]}},
    "clips": {"samples": 128, "frames": 64},
    "train_share": 1.0,
    "labelled": 1.0,
    "test": {"noise": 0.0, "rate": None},
    "chain": [{"name": "student", "model": {"name": "temporal_cnn"}, "fit": {"epochs": 3}}],
}


def write_cell(
    path: Path,
    *,
    seed: int,
    right: dict[str, Sequence[bool]],
    subjects: Sequence[str] = SUBJECTS,
    clips: int = CLIPS,
    recipe: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
    parameters: int = 49_243,
    headline: str = "accuracy",
) -> None:
    """Write a run whose stages (student, student_alone) are right where `right` says."""
    who = [s for s in subjects for _ in range(clips)]
    true = np.array([t % len(CLASSES) for _ in subjects for t in range(clips)])
    stages: dict[str, Any] = {}
    (path / "predictions").mkdir(parents=True)
    for name, hits in right.items():
        predicted = np.where(hits, true, (true + 1) % len(CLASSES))
        lines = ["recording,subject,side,true,predicted,p_0,p_1,p_2"]
        lines += [
            f"s{who[i]}_t{i % clips},{who[i]},test,{true[i]},{predicted[i]},0.4,0.3,0.3"
            for i in range(len(true))
        ]
        (path / "predictions" / f"{name}.csv").write_text("\n".join(lines) + "\n")
        stages[name] = {
            "role": "student" if name == "student" else "alone",
            "model": "temporal_cnn",
            "inputs": ["acceleration"],
            "parameters": parameters,
            "seconds": 60.0 if name == "student" else 20.0,
            "macs": 1_620_000,
            "test": asdict(score(true, predicted, who, CLASSES)),
        }
    facts = {
        "format": 1,
        "recipe": "grid",
        "seed": seed,
        "dataset": {
            "name": "utd_mhad",
            "title": "UTD-MHAD",
            "classes": list(CLASSES),
            "recordings": 48,
            "headline": headline,
        },
        "protocol": {
            "name": "cross_subject",
            "subject_independent": True,
            "note": "subjects 1, 3 train, 2, 4, 6, 8 test",
            "sides": {"train": 24, "validation": 0, "test": len(true)},
            "subjects": {"train": ["1", "3"], "validation": [], "test": [*subjects]},
        },
        "student": "student",
        "alone": "student_alone" if "student_alone" in right else None,
        "stages": stages,
        "seconds": 80.0,
    }
    for key, part in (summary or {}).items():
        facts[key] = {**facts[key], **part} if isinstance(part, dict) else part
    (path / "summary.json").write_text(json.dumps(facts))
    tree = {"format": 1, "name": "grid", "seed": seed, **RECIPE, **(recipe or {})}
    (path / "recipe.yaml").write_text(json.dumps(tree))  # JSON is YAML too
    (path / "environment.json").write_text("{}")
    (path / "metrics.jsonl").write_text("")


def write_study(
    out: Path,
    *,
    methods: Sequence[str] = ("pskd", "kd"),
    seeds: Sequence[int] = (0, 1, 2),
    folds: Sequence[str] = ("",),
    baseline: str = "student_alone",
    chance: Rule = lambda method, seed: 0.8,
    absent: Sequence[tuple[str, int, str]] = (),
    cell: Callable[[str, int, str], dict[str, Any]] = lambda method, seed, fold: {},
    clips: int = CLIPS,
    **table: Any,
) -> Path:
    """Write grid.json and its cells; with folds, each tests the subject it is named after."""
    out.mkdir(parents=True, exist_ok=True)
    cells = []
    for method in methods:
        for seed in seeds:
            for fold in folds:
                name = f"{fold}-seed{seed}" if fold else f"seed{seed}"
                path = f"cells/main/{method}/{name}"
                missing = (method, seed, fold) in absent
                cells.append(
                    {"table": "main", "method": method, "seed": seed, "fold": fold, "path": path,
                     "state": "failed" if missing else "done",
                     "error": "disk full" if missing else ""}
                )  # fmt: skip
                if missing:
                    continue
                tested = (fold,) if fold else SUBJECTS
                rng = np.random.default_rng([seed, *f"{method}{fold}".encode()])
                alone = np.random.default_rng([seed, *fold.encode(), 9])
                n = len(tested) * clips
                options: dict[str, Any] = {
                    "seed": seed,
                    "right": {
                        "student": rng.random(n) < chance(method, seed),
                        "student_alone": alone.random(n) < 0.7,
                    },
                    "subjects": tested,
                    "clips": clips,
                }
                if fold:
                    options["summary"] = {
                        "protocol": {
                            "name": "leave_one_subject_out",
                            "note": f"subject {fold} held out",
                            "sides": {"train": 48 - n, "validation": 0, "test": n},
                            "subjects": {"train": [], "validation": [], "test": [fold]},
                        }
                    }
                    options["recipe"] = {
                        "protocol": {
                            "name": "leave_one_subject_out",
                            "options": {"held_out": fold},
                        }
                    }
                write_cell(out / path, **(options | cell(method, seed, fold)))
    grid = {
        "format": 1,
        "name": "grid",
        "about": "what helps",
        "tables": [
            {
                "name": "main",
                "about": "all of it",
                "baseline": baseline,
                "varies": [],
                "methods": [{"name": m, "about": f"about {m}", "group": ""} for m in methods],
                "seeds": list(seeds),
                "folds": list(folds),
                **table,
            }
        ],
        "cells": cells,
    }
    (out / "grid.json").write_text(json.dumps(grid))
    return out
