"""Losses by name: what each is given, of which clips, and how their values are weighed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pskd.distill.losses import LOSSES, register
from pskd.distill.losses.kd import kd
from pskd.distill.objective import (
    Lesson,
    Objective,
    Sizes,
    wants_class_vectors,
    wants_features,
    wants_skeletons,
)
from pskd.errors import UsageError
from pskd.recipe import Stage

B, K, E, D, T = 6, 4, 3, 5, 7
DRAW = torch.Generator().manual_seed(0)
STUDENT = tuple(torch.randn(shape, generator=DRAW) for shape in ((B, K), (B, E), (B, D, T)))
TARGET = torch.eye(K)[[0, 1, 2, 3, 0, 1]]
VECTORS = torch.nn.functional.normalize(torch.randn(K, E, generator=DRAW), dim=1)
SKELETON = torch.randn(B, 8, 4, 3, generator=DRAW)
ALL = torch.ones(B, dtype=torch.bool)
SIZES = Sizes(D, E)


def lesson(available: Tensor = ALL) -> Lesson:
    shapes = ((B, K), (B, E), (B, D + 1, T))
    logits, embedding, features = (torch.randn(shape, generator=DRAW) for shape in shapes)
    return Lesson(logits, embedding, features, available)


def stage(*losses: dict[str, Any], teachers: tuple[str, ...] = ("a", "b")) -> Stage:
    return Stage.model_validate(
        {
            "name": "student",
            "model": {"name": "temporal_cnn"},
            "teachers": teachers,
            "distill": {"selection": "label", "label": 0.0, "losses": list(losses)},
        }
    )


def objective(*losses: dict[str, Any], teachers: tuple[str, ...] = ("a", "b")) -> Objective:
    sizes = {name: Sizes(D + 1, E) for name in teachers}
    return Objective(
        stage(*losses, teachers=teachers), SIZES, sizes, classes=K, clips=20, coordinates=12
    )


def value(
    made: Objective,
    lessons: dict[str, Lesson],
    usable: Tensor = ALL,
    moves: Tensor = ALL,
    progress: float = 0.0,
) -> tuple[float, dict[str, float]]:
    loss = made(
        *STUDENT,
        progress=progress,
        target=TARGET,
        index=torch.arange(10, 10 + B),
        usable=usable,
        skeleton=SKELETON,
        moves=moves,
        lessons=lessons,
        class_vectors=VECTORS,
        generator=torch.Generator().manual_seed(0),
    )
    return loss.total.item(), {name: float(term) for name, term in loss.terms.items()}


@pytest.fixture
def spy() -> list[dict[str, Any]]:
    """Losses that keep what they are given and say how many clips that was."""
    calls: list[dict[str, Any]] = []

    class Each(nn.Module):
        def __init__(self, teacher_channels: int, student_size: int, clips: int, gain: float = 1.0):
            super().__init__()
            self.built = (teacher_channels, student_size, clips, gain)

        def forward(
            self, student_logits: Tensor, teacher_features: Tensor, index: Tensor
        ) -> Tensor:
            given = {"student_logits": student_logits, "features": teacher_features, "index": index}
            calls.append(given | {"built": self.built})
            return torch.full((len(index),), 2.0)

    class All(nn.Module):
        def __init__(self, teachers_size: list[int]) -> None:
            super().__init__()
            self.built = teachers_size

        def forward(self, teachers_logits: list[Tensor], class_vectors: Tensor) -> Tensor:
            calls.append({"logits": teachers_logits, "vectors": class_vectors, "built": self.built})
            return torch.tensor(3.0)

    class Body(nn.Module):
        def forward(self, skeleton: Tensor) -> Tensor:
            calls.append({"skeleton": skeleton})
            return torch.ones(len(skeleton))

    register("spy_each")(Each)
    register("spy_all")(All)
    register("spy_body")(Body)
    return calls


def test_a_loss_of_one_teacher_is_asked_for_each_about_the_clips_that_have_it(
    spy: list[dict[str, Any]],
) -> None:
    some = torch.tensor([True, False, True, True, False, True])
    lessons = {"a": lesson(), "b": lesson(some)}
    made = objective({"name": "spy_each", "weight": 0.5, "options": {"gain": 4.0}})
    total, terms = value(made, lessons)
    first, second = spy
    assert first["built"] == second["built"] == (D + 1, E, 20, 4.0)
    assert first["index"].tolist() == list(range(10, 16))
    assert second["index"].tolist() == [10, 12, 13, 15]
    torch.testing.assert_close(second["student_logits"], STUDENT[0][some])
    torch.testing.assert_close(second["features"], lessons["b"].features[some])
    expected = (2.0 + 2.0 * 4 / 6) / 2  # the mean over teachers of the mean over usable clips
    assert terms["spy_each"] == pytest.approx(expected)
    assert total == pytest.approx(0.5 * expected)


def test_a_loss_of_all_teachers_sees_clips_that_all_of_them_have(spy: list[dict[str, Any]]) -> None:
    one = torch.tensor([True, True, True, False, False, True])
    two = torch.tensor([True, False, True, True, True, True])
    usable = torch.tensor([False, True, True, True, True, True])
    lessons = {"a": lesson(one), "b": lesson(two)}
    total, _ = value(objective({"name": "spy_all"}), lessons, usable=usable)
    (given,) = spy
    rows = [2, 5]
    for name, seen in zip(("a", "b"), given["logits"], strict=True):
        torch.testing.assert_close(seen, lessons[name].logits[rows])
    assert given["built"] == [E, E] and torch.equal(given["vectors"], VECTORS)
    assert total == pytest.approx(3.0 * 2 / 5)


def test_nobody_left_costs_nothing(spy: list[dict[str, Any]]) -> None:
    lessons = {"a": lesson(), "b": lesson(~ALL)}
    assert value(objective({"name": "spy_all"}), lessons)[0] == 0.0
    assert not spy


def test_named_teachers_alone_are_asked(spy: list[dict[str, Any]]) -> None:
    lessons = {"a": lesson(), "b": lesson()}
    value(objective({"name": "spy_each", "teachers": ["b"]}), lessons)
    (given,) = spy
    torch.testing.assert_close(given["features"], lessons["b"].features)


def test_skeletons_are_shown_where_they_say_what_the_wrist_felt(spy: list[dict[str, Any]]) -> None:
    moves = torch.tensor([True, True, False, False, False, True])
    total, _ = value(objective({"name": "spy_body"}, teachers=()), {}, moves=moves)
    torch.testing.assert_close(spy[0]["skeleton"], SKELETON[moves])
    assert total == pytest.approx(3 / 6)


def test_weights_move_and_losses_add_up() -> None:
    lessons = {"a": lesson()}
    losses = (
        {"name": "kd", "weight": {"start": 1, "end": 0}, "options": {"temperature": 3.0}},
        {"name": "pkt", "weight": 2.0},
    )
    made = objective(*losses, teachers=("a",))
    expected = kd(STUDENT[0], lessons["a"].logits, 3.0).mean().item()
    total, terms = value(made, lessons, progress=0.25)
    assert terms["kd"] == pytest.approx(expected)
    assert total == pytest.approx(0.75 * expected + 2.0 * terms["pkt"])


def test_what_a_loss_trains_is_trained_with_the_student() -> None:
    made = objective({"name": "fitnet"}, teachers=("a",))
    names = [name for name, _ in made.named_parameters()]
    assert names and all(name.startswith("terms.0.losses.0.") for name in names)
    loss = made(
        *STUDENT, progress=0.0, target=TARGET, index=torch.arange(B), usable=ALL,
        skeleton=SKELETON, moves=ALL, lessons={"a": lesson()}, class_vectors=VECTORS,
        generator=DRAW,
    )  # fmt: skip
    loss.total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_what_a_stage_asks_for() -> None:
    plain, hints = stage({"name": "kd"}), stage({"name": "fitnet", "teachers": ["b"]})
    assert wants_features(plain) == set() and wants_features(hints) == {"b"}
    assert wants_features(stage({"name": "ca_mkd"})) == {"a", "b"}
    assert wants_class_vectors(stage({"name": "acs"})) and not wants_class_vectors(plain)
    assert wants_skeletons(stage({"name": "motion"})) and not wants_skeletons(plain)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_trains_by_its_name(name: str) -> None:
    made = objective({"name": name})
    total, terms = value(made, {"a": lesson(), "b": lesson()})
    own = terms.get(f"{name}_loss", terms[name])  # the stage has terms of two of these names
    assert total == pytest.approx(own) and total != 0
    said = tuple(part.clone().requires_grad_() for part in STUDENT)
    made(
        *said, progress=0.0, target=TARGET, index=torch.arange(B), usable=ALL,
        skeleton=SKELETON, moves=ALL, lessons={"a": lesson(), "b": lesson()},
        class_vectors=VECTORS, generator=DRAW,
    ).total.backward()  # fmt: skip
    pulls = [part.grad for part in said if part.grad is not None]
    assert any(pull.abs().sum() > 0 for pull in pulls)
    assert all(pull.isfinite().all() for pull in pulls)


@pytest.mark.parametrize(
    ("loss", "teachers", "words"),
    [
        ({"name": "rkd_distanc"}, ("a",), r"student.distill.losses.0: unknown loss.*rkd_distance"),
        ({"name": "kd", "options": {"T": 2}}, ("a",), r"no option 'T'.*temperature"),
        ({"name": "kd", "options": {"temperature": "4"}}, ("a",), r"'kd' cannot be built with"),
        ({"name": "kd", "options": {"temperature": 0}}, ("a",), r"temperature is 0, not above 0"),
        ({"name": "kd"}, (), r"'kd' is about teachers, and stage 'student' has none"),
        ({"name": "crd", "options": {"size": "big"}}, ("a",), r"'crd' cannot be built with"),
    ],
)
def test_a_loss_that_does_not_fit_is_named(
    loss: dict[str, Any], teachers: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        objective(loss, teachers=teachers)


class Odd(nn.Module):
    """Asks for what there is not."""

    def forward(self, student_logit: Tensor) -> Tensor:
        return student_logit


class Wide(nn.Module):
    """Gives a value a class."""

    def forward(self, student_logits: Tensor) -> Tensor:
        return student_logits


def test_what_a_loss_of_ones_own_gets_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "odd", Odd)
    with pytest.raises(UsageError, match=r"losses\.0: forward of loss 'odd' asks for 'student_log"):
        objective({"name": "odd"})
    monkeypatch.setitem(LOSSES, "wide", Wide)
    with pytest.raises(ValueError, match=r"'wide' gives \(6, 4\) for 6 clips; a value a clip"):
        value(objective({"name": "wide"}), {})
