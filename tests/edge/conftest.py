"""Small students with weights and statistics of some size, and windows to calibrate them with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pskd.edge.material import Material
from pskd.models import build, count_macs, count_parameters
from pskd.models.base import Signal
from pskd.models.student_config import read_config
from pskd.models.student_folder import StudentConfig

SMALL = {"widths": (12, 12, 16), "strides": (2, 1, 2), "stem": 8, "kernel": 5}


def make_material(model: str = "temporal_cnn", samples: int = 64, **options: object) -> Material:
    """A student that gives different answers to different windows, untrained."""
    draw = np.random.default_rng(0)
    signal = Signal(classes=5, samples=samples, embedding=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student = build(model, signal, **options)
        student.train()
        for _ in range(30):  # the normalisations take up statistics that are not 0 and 1
            student(torch.from_numpy(windows(draw, 32, samples)))
    student.eval()
    config = StudentConfig(
        model=model,
        options=dict(options),
        dataset="made up",
        classes=["walk", "wave", "clap", "jog", "sit"],
        samples=samples,
        embedding=16,
        rate=32.0,
        window_seconds=samples / 32,
        hop_seconds=0.5,
        normalisation="inside the model: raw samples in g go in",
        placement="right wrist",
        protocol="cross_subject",
        protocol_note="made up",
        parameters=count_parameters(student),
        macs=count_macs(student, signal),
        licence="none",
        sha256="0" * 64,
        seed=0,
    )
    test = windows(draw, 40, samples)
    with torch.inference_mode():
        labels = student(torch.from_numpy(test)).logits.argmax(1).numpy()
    return Material(student, config, windows(draw, 64, samples), test, labels)


def windows(draw: np.random.Generator, n: int, samples: int) -> np.ndarray:
    """Smooth movements of some g about gravity, [n, 3, samples]."""
    steps = draw.normal(0, 0.25, (n, 3, samples)).cumsum(-1)
    gravity = draw.normal(0, 1, (n, 3, 1))
    return (steps - steps.mean(-1, keepdims=True) + gravity).astype(np.float32)


@pytest.fixture(scope="session")
def material() -> Material:
    return make_material(**SMALL)


@pytest.fixture(scope="session")
def gaf_material() -> Material:
    return make_material("gaf_cnn", image_size=16)


@pytest.fixture(scope="session")
def made() -> Callable[..., Material]:
    return make_material


@pytest.fixture
def recording(run: Path, tmp_path: Path) -> Path:
    """A CSV file of three and a half windows of the run's student."""
    seconds = read_config(run / "student" / "config.json").window_seconds
    t = np.arange(0, 3.5 * seconds, 1 / 50)
    signal = np.c_[np.sin(4 * t), 0.2 * np.cos(7 * t), np.ones(len(t))]
    path = tmp_path / "mine.csv"
    np.savetxt(path, np.c_[t, signal], delimiter=",", header="t,x,y,z", comments="")
    return path
