"""The model card of a student: Markdown under the metadata that the Hugging Face Hub reads.

Metadata: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import html
import re
from typing import Any

import yaml

from pskd.models.student_config import StudentConfig

TAGS = ("pskd", "human-activity-recognition", "accelerometer", "knowledge-distillation")

HUB_LICENCES = (
    "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-4.0",
    "cc0-1.0", "mit", "odbl",
)  # fmt: skip
"""Licences of data that the Hub knows by name."""


def model_card(config: StudentConfig, repo: str | None = None) -> str:
    """Model card of a student.

    Args:
        config: Of the student.
        repo: OWNER/NAME on the Hub, where it is going there.
    """
    shown = {name: _markdown(value) for name, value in config if isinstance(value, str)}
    accuracy, macro_f1 = (
        "not measured" if value is None else f"{100 * value:.1f} %"
        for value in (config.accuracy, config.macro_f1)
    )
    folder = repo.rpartition("/")[2] if repo else "FOLDER"
    pull = f"    pip install 'pskd[hub]'\n    pskd pull {repo}\n" if repo else ""
    return f"""---
{_metadata(config)}---

# Student `{config.model}`, trained on {shown["dataset"]}

Recognises {len(config.classes)} actions from the accelerometer of a watch alone. Trained by pskd
{shown["pskd_version"]}, an independent implementation of PSKD (progressive cross-modal knowledge
distillation); skeletons were used while training only.

| | |
|---|---|
| Input | acceleration with gravity, x, y, z in {config.unit}, {config.samples} samples over \
{config.window_seconds:g} s ({config.rate:.2f} Hz) |
| Normalisation | {shown["normalisation"]} |
| Sensor worn | {shown["placement"]} |
| Size | {config.parameters:,} parameters, {config.macs:,} multiply-accumulates a window |
| Test accuracy | {accuracy} |
| Test macro-F1 | {macro_f1} |
| Protocol | {shown["protocol"]}: {shown["protocol_note"]} |
| Seed | {config.seed} |
| Licence of the training data | {shown["licence"]} |

Classes: {", ".join(map(_markdown, config.classes))}.

## Use

{pull}    pskd predict {folder} recording.csv --unit g

`recording.csv` has the columns t,x,y,z, t in seconds. Windows of {config.window_seconds:g} s are
predicted every {config.hop_seconds:g} s.

It is meant for research on recognising these actions from a sensor worn as said above, by people
who know that it is worn. It is not meant for medical or safety use, for alarms that a life depends
on, or for watching people without their consent. Test it on your own wearers and device first.

## Limits

The student knows no other action than its classes: it names one of them for whatever it is given,
and was trained on clips that hold one whole action each. A sensor worn elsewhere or turned
otherwise than in training lowers the accuracy. The figures are those of the test side named above,
not of your wearers. Who may use it is also for the licence of the training data to say.
"""


def _metadata(config: StudentConfig) -> str:
    """YAML for the Hub; what was not measured is left out."""
    licence = config.licence.lower()
    known = {"license": licence}
    other = {"license": "other", "license_name": "terms-of-the-training-data"}
    dataset = re.sub(r"[^a-z0-9._-]+", "-", config.dataset.lower()).strip("-._") or "unnamed"
    metrics = [
        {"type": kind, "value": round(value, 4), "name": name}
        for kind, value, name in (
            ("accuracy", config.accuracy, "Test accuracy"),
            ("f1", config.macro_f1, "Test macro-F1"),
        )
        if value is not None
    ]
    data: dict[str, Any] = {
        **(known if licence in HUB_LICENCES else other),
        "library_name": "pskd",
        "tags": list(TAGS),
        "datasets": [dataset],
    }
    if metrics:
        result = {
            "task": {"type": "other", "name": "Human activity recognition"},
            "dataset": {"type": dataset, "name": config.dataset, "split": "test"},
            "metrics": metrics,
        }
        data["metrics"] = [metric["type"] for metric in metrics]
        data["model-index"] = [{"name": config.model, "results": [result]}]
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _markdown(text: str) -> str:
    """Text as it is, whatever marks of Markdown or HTML are in it."""
    return re.sub(r"([\\`*\[\]|!~$])", r"\\\1", html.escape(text, quote=False))
