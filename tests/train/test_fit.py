"""The parts of the training loop: pairing, averaging, learning rate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pskd.data.clips import Clips
from pskd.models.base import Model, Output
from pskd.recipe import DistillOptions, Recipe, Stage
from pskd.signal.augment import make_views
from pskd.train.fit import fit, learning_rate, spare_skeletons
from pskd.train.lessons import Teacher
from pskd.train.stream import draw_share, epoch_order, make_stream, read_batch

SIZE, CLASSES = 12, 12


def numbered() -> Clips:
    """Clip n has n everywhere in both signals, and label n."""
    number = np.arange(SIZE, dtype=np.float32)
    return Clips(
        signals={
            "acceleration": np.tile(number[:, None, None], (3, 16)),
            "skeleton": np.tile(number[:, None, None, None], (8, 4, 3)),
        },
        rows=torch.arange(SIZE),
        has_skeleton=torch.ones(SIZE, dtype=torch.bool),
        aligned=torch.ones(SIZE, dtype=torch.bool),
        labels=torch.arange(SIZE),
        ids=tuple(map(str, range(SIZE))),
        subjects=("1",) * SIZE,
        moments=tuple(map(str, range(SIZE))),
        seconds=torch.ones(SIZE),
    )


def test_recordings_stay_paired_through_shuffling_warping_and_mixing(tiny: Recipe) -> None:
    options = tiny.views.model_copy(
        update={"rotation": 0.0, "scale": 0.0, "noise": 0.0, "yaw": 0.0, "limbs": 0.0}
    )
    shuffle = torch.Generator().manual_seed(0)
    order = epoch_order(torch.arange(SIZE), SIZE, shuffle)
    assert order.tolist() != sorted(order.tolist())
    seen = []
    for index in order.split(4):
        batch = read_batch(numbered(), torch.eye(CLASSES), index)
        view = make_views(batch, options, shuffle)
        number = view.target @ torch.arange(float(CLASSES))
        torch.testing.assert_close(view.acceleration, number.view(-1, 1, 1).expand(-1, 3, 16))
        torch.testing.assert_close(view.skeleton, number.view(-1, 1, 1, 1).expand(-1, 8, 4, 3))
        seen += batch.target.argmax(1).tolist()
    assert seen == order.tolist()


class Recorder(Model):
    """Keeps the first value of every clip that it is shown while training."""

    feature_channels = 2

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.inputs = (modality,)  # type: ignore[misc]
        self.seen: list[Tensor] = []
        self.layer = nn.Linear(1, 2 + CLASSES)

    def forward(self, signal: Tensor) -> Output:
        first = signal.flatten(1)[:, :1]
        self.seen.append(first.detach().flatten())
        out = self.layer(first)
        return Output(out[:, 2:], out[:, :2], out[:, :2].unsqueeze(-1))


def fit_recorders(
    tiny: Recipe, path: Path, clips: Clips, student: Recorder, teacher: Recorder, **distill: float
) -> list[dict[str, Any]]:
    still = dict.fromkeys(("rotation", "scale", "noise", "yaw", "limbs"), 0.0)
    recipe = tiny.model_copy(update={"views": tiny.views.model_copy(update=still)})
    stage = Stage.model_validate(
        {
            "name": "student",
            "model": {"name": "recorder"},
            "teachers": ["teacher"],
            "fit": {"epochs": 2, "batch_size": 4},
            "distill": distill,
        }
    )
    _, rows = fit(
        stage,
        student,
        clips,
        None,
        {"teacher": teacher},
        recipe=recipe,
        class_vectors=torch.zeros(CLASSES, 2),
        up=1,
        fabric=Fabric(accelerator="cpu", devices=1),
        checkpoint=path,
        identity={"recipe": "x"},
        stream="student",
        report=lambda _: None,
    )
    return rows


def test_teacher_and_student_see_the_same_view_of_the_same_recording(
    tiny: Recipe, tmp_path: Path
) -> None:
    student, teacher = Recorder("acceleration"), Recorder("skeleton")
    fit_recorders(tiny, tmp_path / "x.ckpt", numbered(), student, teacher)
    assert len(student.seen) == len(teacher.seen) == 2 * 3
    for wrist, body in zip(student.seen, teacher.seen, strict=True):
        torch.testing.assert_close(wrist, body)
    assert not torch.equal(student.seen[0].sort().values, student.seen[3].sort().values)


def test_skeletons_that_nobody_sees_are_spared_and_nothing_else_changes(tiny: Recipe) -> None:
    views = tiny.views.model_copy(update={"cut": 0.5, "mixup": 0.4})
    recipe = tiny.model_copy(update={"views": views})
    stream = make_stream(recipe, tiny.student, numbered(), CLASSES, name="student", up=1)
    device = torch.device("cpu")
    spared = replace(stream, skeletons=False)
    for whole, spare in zip(stream.epoch(0, device), spared.epoch(0, device), strict=True):
        assert torch.equal(whole.generator.get_state(), spare.generator.get_state())
        assert whole.key == spare.key and torch.equal(whole.clips, spare.clips)
        for name, values in whole.batch._asdict().items():
            if name != "skeleton":
                assert torch.equal(values, getattr(spare.batch, name)), name
        assert whole.batch.skeleton.shape[1] == 8 and spare.batch.skeleton.shape[1] == 2


@pytest.mark.parametrize("modality", ["acceleration", "skeleton"])
def test_skeletons_are_spared_only_if_model_loss_and_teachers_do_without(
    tiny: Recipe, modality: str
) -> None:
    sees = modality == "skeleton"
    clips, watch = numbered(), Recorder("acceleration")
    teacher = Teacher(Recorder(modality), Fabric(accelerator="cpu", devices=1), features=False)
    plain = tiny.student.model_copy(update={"distill": DistillOptions()})
    motion = tiny.student.model_copy(update={"distill": DistillOptions(motion=1.0)})
    stream = make_stream(tiny, plain, clips, CLASSES, name="student", up=1)
    assert spare_skeletons(stream, plain, Recorder(modality), {}).skeletons is sees
    assert spare_skeletons(stream, plain, watch, {"teacher": teacher}).skeletons is sees
    assert spare_skeletons(stream, motion, watch, {}).skeletons


def test_pairs_that_are_not_aligned_train_by_losses_that_need_no_alignment(
    tiny: Recipe, tmp_path: Path
) -> None:
    signals, terms = ("acceleration", "skeleton"), {}
    for aligned in (True, False):
        clips = replace(numbered(), aligned=torch.full((SIZE,), aligned))
        student, teacher = (Recorder(name) for name in signals)
        rows = fit_recorders(tiny, tmp_path / f"{aligned}", clips, student, teacher, motion=1.0)
        terms[aligned] = rows[0]["terms"]
    assert terms[True]["motion"] > 0 and terms[False]["motion"] == 0
    assert terms[False]["label"] > 0 and "distillation" in terms[False]


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.2) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[20] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)


def test_a_share_is_drawn_of_moments_not_of_cameras() -> None:
    """Four cameras of a take have one acceleration: all of them have a label, or none."""
    takes, cameras = 20, 4
    clips = replace(
        numbered().select([0] * takes * cameras),
        moments=tuple(f"take {n // cameras}" for n in range(takes * cameras)),
    )
    kept = draw_share(clips, 0.25, torch.Generator().manual_seed(0)).view(takes, cameras)
    assert torch.equal(kept.any(1), kept.all(1))
    assert kept.all(1).sum() == 5
