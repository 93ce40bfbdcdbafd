"""The loss of a stage: each part a switch, its weights and schedules."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pskd.distill.chain import StageLoss, stage_loss
from pskd.recipe import DistillOptions, Schedule, Stage, Teacher, weight_at

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(4, 3, generator=GENERATOR)
EMBEDDING = torch.randn(4, 2, generator=GENERATOR)
TARGET = torch.eye(3)[[0, 1, 2, 0]]
VECTORS = functional.normalize(torch.randn(3, 2, generator=GENERATOR), dim=1)
SKELETON = torch.randn(4, 6, 2, 3, generator=GENERATOR)
RIGHT = TARGET * 4  # a teacher that is always right and sure
ALL = torch.ones(4, dtype=torch.bool)


def loss(
    options: DistillOptions,
    teachers: dict[str, tuple[Tensor, Tensor, Tensor]] | None = None,
    weights: tuple[Teacher, ...] = (),
    progress: float = 0.0,
    usable: Tensor = ALL,
    moves: Tensor = ALL,
    motion: Tensor | None = None,
    target: Tensor = TARGET,
    seed: int = 0,
    smoothing: float = 0.0,
) -> StageLoss:
    stage = Stage.model_validate(
        {
            "name": "student",
            "model": {"name": "temporal_cnn"},
            "fit": {"label_smoothing": smoothing},
            "distill": options.model_dump(),
        }
    ).model_copy(update={"teachers": weights})
    return stage_loss(
        stage,
        progress=progress,
        logits=LOGITS,
        embedding=EMBEDDING,
        motion=motion,
        target=target,
        usable=usable,
        skeleton=SKELETON,
        moves=moves,
        teachers=teachers or {},
        class_vectors=VECTORS,
        generator=torch.Generator().manual_seed(seed),
    )


def one_teacher(logits: Tensor = RIGHT, available: Tensor = ALL) -> dict[str, tuple[Tensor, ...]]:
    return {"fused": (logits, torch.ones(4, 2), available)}


FUSED = (Teacher(stage="fused"),)
LABEL_LOSS = functional.cross_entropy(LOGITS, TARGET.argmax(1)).item()


def test_without_teachers_it_is_cross_entropy() -> None:
    assert loss(DistillOptions()).total.item() == pytest.approx(LABEL_LOSS)


def test_acs_adds_the_selected_teacher() -> None:
    result = loss(DistillOptions(temperature=1.0, logits=0.5), one_teacher(), FUSED)
    kl = functional.kl_div(
        LOGITS.log_softmax(1), RIGHT.log_softmax(1), log_target=True, reduction="batchmean"
    )
    assert result.total.item() == pytest.approx(LABEL_LOSS + 0.5 * kl.item(), rel=1e-5)
    assert result.choices == {"label": 0.0, "fused": 1.0}


def test_a_wrong_teacher_leaves_the_label_alone() -> None:
    result = loss(DistillOptions(), one_teacher(RIGHT.roll(1, 1)), FUSED)
    assert result.total.item() == pytest.approx(LABEL_LOSS)
    assert result.choices == {"label": 1.0, "fused": 0.0}


def test_exclusive_mimics_the_teacher_or_the_label_never_both() -> None:
    half = torch.where(torch.arange(4).unsqueeze(1) < 2, RIGHT, RIGHT.roll(1, 1))
    options = DistillOptions(exclusive=True)
    result = loss(options, one_teacher(half), FUSED)
    labels = functional.cross_entropy(LOGITS[2:], TARGET[2:].argmax(1), reduction="sum").item() / 4
    assert result.choices == {"label": 0.5, "fused": 0.5}
    assert result.terms["label"].item() == pytest.approx(labels)
    assert result.terms["distillation"].item() > 0


def test_average_mimics_the_mean_of_the_teachers() -> None:
    other = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    teachers = one_teacher() | {"skeleton": (other, torch.ones(4, 2), ALL)}
    both = (Teacher(stage="fused", weight=3.0), Teacher(stage="skeleton"))
    result = loss(DistillOptions(selection="average", temperature=2.0), teachers, both)
    mean = 0.75 * (RIGHT / 2).softmax(1) + 0.25 * (other / 2).softmax(1)
    kl = (mean * (mean.log() - (LOGITS / 2).log_softmax(1))).sum(1).mean()
    assert result.terms["distillation"].item() == pytest.approx(4 * kl.item(), rel=1e-4)


def test_a_teacher_without_its_modality_says_nothing() -> None:
    for selection in ("acs", "average"):
        options = DistillOptions.model_validate({"selection": selection})
        result = loss(options, one_teacher(available=~ALL), FUSED)
        assert result.terms["distillation"].item() == 0


def test_schedules_move_the_weights() -> None:
    fading = Schedule(start=1.0, end=0.0)
    options = DistillOptions(logits=fading, temperature=1.0)
    terms = [loss(options, one_teacher(), FUSED, progress=p) for p in (0.0, 0.5, 1.0)]
    gains = [t.total.item() - LABEL_LOSS for t in terms]
    assert gains[1] == pytest.approx(gains[0] / 2, rel=1e-5)
    assert gains[2] == pytest.approx(0.0, abs=1e-6)
    assert weight_at(Schedule(start=0, end=2, shape="cosine"), 0.25) == pytest.approx(0.29289, 1e-4)


@pytest.mark.parametrize("name", ["label", "semantic", "motion"])
def test_every_weight_has_a_schedule(name: str) -> None:
    fading = {"label": 0.0, "semantic": 0.0, name: Schedule(start=1.0, end=0.0)}
    motion = torch.zeros(4, 6, 3) if name == "motion" else None
    totals = [
        loss(DistillOptions(**fading), progress=p, motion=motion).total.item()
        for p in (0.0, 0.25, 1.0)
    ]
    assert totals[0] > 0.1
    assert totals[1] == pytest.approx(0.75 * totals[0], rel=1e-5)
    assert totals[2] == pytest.approx(0, abs=1e-7)


def test_teachers_fade_one_into_the_other() -> None:
    """Both are right and as sure: the one of more weight is chosen."""
    teachers = {name: one_teacher()["fused"] for name in ("first", "second")}
    weights = (
        Teacher(stage="first", weight=Schedule(start=1.0, end=0.0)),
        Teacher(stage="second", weight=Schedule(start=0.0, end=1.0)),
    )
    for progress, name in ((0.0, "first"), (0.4, "first"), (0.6, "second"), (1.0, "second")):
        assert loss(DistillOptions(), teachers, weights, progress).choices[name] == 1.0


def test_label_smoothing_is_that_of_torch_and_makes_no_labels() -> None:
    smoothed = loss(DistillOptions(), smoothing=0.1).terms["label"].item()
    expected = functional.cross_entropy(LOGITS, TARGET.argmax(1), label_smoothing=0.1).item()
    assert smoothed == pytest.approx(expected, rel=1e-5) != pytest.approx(LABEL_LOSS, rel=1e-3)
    none = loss(DistillOptions(), smoothing=0.1, target=torch.zeros_like(TARGET))
    assert none.terms["label"].item() == 0


def test_a_teacher_is_dropped_for_a_whole_batch() -> None:
    drawn = [
        loss(DistillOptions(teacher_dropping=0.5), one_teacher(), FUSED, seed=seed).choices["fused"]
        for seed in range(20)
    ]
    assert set(drawn) == {0.0, 1.0}


def test_a_teacher_dropped_with_near_certainty_leaves_the_label() -> None:
    result = loss(DistillOptions(teacher_dropping=0.999), one_teacher(), FUSED)
    assert result.choices["label"] == 1.0


def test_motion_counts_only_clips_with_a_skeleton() -> None:
    motion = torch.zeros(4, 6, 3)
    target = SKELETON.flatten(2).transpose(1, 2).reshape(4, 6, 3, 2).mean(-1)
    has = torch.tensor([True, False, True, True])
    result = loss(DistillOptions(motion=2.0), motion=motion, moves=has)
    expected = target.square().mean((1, 2))[has].sum().item() / 4
    assert result.terms["motion"].item() == pytest.approx(expected, rel=1e-5)
    assert result.total.item() == pytest.approx(LABEL_LOSS + 2 * expected, rel=1e-5)


def test_clips_that_the_model_cannot_see_do_not_count() -> None:
    usable = torch.tensor([True, True, False, False])
    expected = functional.cross_entropy(LOGITS[:2], TARGET[:2].argmax(1)).item()
    assert loss(DistillOptions(), usable=usable).total.item() == pytest.approx(expected)
