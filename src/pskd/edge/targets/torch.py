"""PyTorch itself: what all exports are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pskd.edge.material import Material, score
from pskd.edge.targets.base import Answer, Runner, Target, register
from pskd.models.student_folder import load_student, save_student


@register
class Torch(Target):
    """The student folder, run by PyTorch."""

    name = "torch"
    file = "student"

    def export(self, material: Material, folder: Path) -> None:
        """Write the student folder."""
        save_student(folder / self.file, material.student, material.config)

    def load(self, path: Path) -> Runner:
        """Open a student folder."""
        torch.set_num_threads(1)
        student = load_student(path)[0]

        @torch.inference_mode()
        def run(window: NDArray[np.float32]) -> Answer:
            scores = score(student, torch.from_numpy(window))
            return Answer(*(s[0].numpy() for s in scores))

        return run
