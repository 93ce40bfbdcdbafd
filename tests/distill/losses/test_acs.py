"""The selection of ACS, one worked example a branch, and its two terms."""

import math

import pytest
import torch

from pskd.distill.losses import acs

# Two teachers, five clips, three classes; the label is class 0 throughout.
FIRST = [[0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.6, 0.3, 0.1], [0.45, 0.35, 0.2], [0.7, 0.2, 0.1]]
SECOND = [[0.2, 0.2, 0.6], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.5, 0.4, 0.1]]
LOGITS = torch.tensor([FIRST, SECOND]).log()
TARGET = torch.eye(3)[[0] * 5]


def test_every_branch_of_the_selection() -> None:
    choice = acs.select(LOGITS, TARGET, threshold=0.5).tolist()
    assert choice == [
        acs.LABEL,  # all teachers wrong
        0,  # one right: the first, although the second is surer of its wrong class
        1,  # both right: the more confident
        acs.LABEL,  # both right, neither above the threshold
        0,  # both right, one of them on the threshold only
    ]


def test_a_lower_threshold_lets_a_hesitant_teacher_speak() -> None:
    assert acs.select(LOGITS, TARGET, threshold=0.42).tolist() == [acs.LABEL, 0, 1, 0, 0]


def test_a_teacher_that_is_not_available_is_not_asked() -> None:
    available = torch.tensor([[True] * 5, [True, True, False, True, True]])
    assert acs.select(LOGITS, TARGET, 0.5, available=available).tolist() == [
        acs.LABEL,
        0,
        0,
        acs.LABEL,
        0,
    ]


def test_weights_are_preferences_and_zero_means_never() -> None:
    favour_first = torch.tensor([1.0, 0.5])
    assert acs.select(LOGITS, TARGET, 0.5, favour_first).tolist()[2] == 0  # 0.6 > 0.5 * 0.9
    only_second = torch.tensor([0.0, 1.0])
    expected = [acs.LABEL, acs.LABEL, 1, acs.LABEL, acs.LABEL]
    assert acs.select(LOGITS, TARGET, 0.5, only_second).tolist() == expected


@pytest.mark.parametrize("weight", [0.1, 3.0])
def test_the_threshold_is_for_the_confidence_whatever_the_weight(weight: float) -> None:
    plain = acs.select(LOGITS, TARGET, 0.5)
    assert torch.equal(acs.select(LOGITS, TARGET, 0.5, torch.full((2,), weight)), plain)


def test_without_a_label_the_most_confident_teacher_is_chosen() -> None:
    choice = acs.select(LOGITS, torch.zeros(5, 3), threshold=0.65).tolist()
    assert choice == [0, 1, 1, acs.LABEL, 0]


def test_mixed_labels_are_covered_by_the_smaller_share() -> None:
    target = torch.tensor([[0.7, 0.3, 0.0]])
    sure, fitting = torch.tensor([[0.9, 0.05, 0.05]]), torch.tensor([[0.68, 0.3, 0.02]])
    assert acs.confidence(sure, target).item() == pytest.approx(0.75)
    assert acs.confidence(fitting, target).item() == pytest.approx(0.98)
    logits = torch.stack([sure, fitting]).log()
    assert acs.select(logits, target, threshold=0.5).tolist() == [1]


def test_selected_kl_by_hand() -> None:
    student = torch.zeros(2, 3)
    teacher = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
    choice = torch.tensor([0, acs.LABEL])
    temperature = 2.0
    # At T = 2 the teacher gives e, 1, 1 over e + 2; the student a third each.
    p = [math.e / (math.e + 2), 1 / (math.e + 2), 1 / (math.e + 2)]
    kl = sum(q * math.log(q * 3) for q in p)
    loss = acs.selected_kl(student, teacher, choice, temperature)
    assert loss.tolist() == pytest.approx([4 * kl, 0.0], abs=1e-6)


def test_the_same_choice_drives_the_semantic_term() -> None:
    student = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    teachers = torch.tensor([[[0.0, 2.0], [3.0, 3.0], [5.0, 0.0]]])
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    choice = torch.tensor([0, 0, acs.LABEL])
    loss = acs.selected_semantic(student, teachers, choice, target, vectors)
    assert loss.tolist() == pytest.approx([1.0, 1 - math.sqrt(0.5), 1.0])


def test_without_teachers_the_semantic_term_ties_to_the_mixed_class_vectors() -> None:
    student = torch.tensor([[1.0, 1.0]])
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    none = torch.zeros(0, 1, 2)
    label = torch.full((1,), acs.LABEL)
    loss = acs.selected_semantic(student, none, label, torch.tensor([[0.5, 0.5]]), vectors)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_choice_shares_count_each_teacher_the_label_and_nobody() -> None:
    choice, names = torch.tensor([0, 1, 1, acs.LABEL]), ["skeleton", "fused"]
    every = torch.ones(4, dtype=torch.bool)
    shares = {"label": 0.25, "skeleton": 0.25, "fused": 0.5}
    assert acs.choice_shares(choice, every, names) == shares
    last = torch.tensor([True, True, True, False])
    assert acs.choice_shares(choice, last, names) == shares | {"label": 0.0, "nobody": 0.25}
    first = torch.tensor([False, True, True, True])
    assert acs.choice_shares(choice, first, names) == shares | {"nobody": 0.0}


def test_no_gradient_comes_from_a_clip_that_follows_the_label() -> None:
    student = torch.zeros(2, 3, requires_grad=True)
    acs.selected_kl(student, LOGITS[:1, :2], torch.tensor([acs.LABEL, 0]), 2.0).sum().backward()
    assert student.grad is not None
    assert student.grad[0].abs().sum() == 0
    assert student.grad[1].abs().sum() > 0


def module_inputs() -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Embeddings of two teachers for the five clips, logits of both, and class vectors."""
    generator = torch.Generator().manual_seed(0)
    embeddings = list(torch.randn(2, 5, 4, generator=generator))
    return list(LOGITS), embeddings, torch.eye(3, 4)


def test_module_adds_the_two_terms_of_the_choice_clip_by_clip() -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(5, 3, generator=generator)
    embedding = torch.randn(5, 4, generator=generator)
    logits, embeddings, vectors = module_inputs()
    loss = acs.ACS(threshold=0.5, temperature=2.0, semantic=0.3)
    value = loss(student, embedding, logits, embeddings, TARGET, vectors)
    for clip, chosen in enumerate([None, 0, 1, None, 0]):  # as in the first test
        expected = 0.0
        goal = vectors[0] if chosen is None else embeddings[chosen][clip]
        if chosen is not None:
            p = (logits[chosen][clip] / 2).softmax(-1)
            q = (student[clip] / 2).softmax(-1)
            expected = 4 * float((p * (p / q).log()).sum())
        cosine = float(embedding[clip] @ goal / embedding[clip].norm() / goal.norm())
        assert value[clip].item() == pytest.approx(expected + 0.3 * (1 - cosine), rel=1e-4)


def test_module_bears_clips_without_a_label_and_embeddings_of_zeros() -> None:
    logits, embeddings, vectors = module_inputs()
    student = torch.zeros(5, 3, requires_grad=True)
    embedding = torch.zeros(5, 4, requires_grad=True)
    value = acs.ACS()(student, embedding, logits, embeddings, torch.zeros(5, 3), vectors)
    value.sum().backward()
    assert value.isfinite().all()
    for leaf in (student, embedding):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


def test_module_draws_a_student_to_the_chosen_teachers() -> None:
    logits, embeddings, vectors = module_inputs()
    student = torch.zeros(5, 3, requires_grad=True)
    embedding = torch.ones(5, 4, requires_grad=True)
    optimizer = torch.optim.Adam([student, embedding], 0.05)
    loss = acs.ACS(semantic=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss(student, embedding, logits, embeddings, TARGET, vectors).sum().backward()
        optimizer.step()
    assert loss(student, embedding, logits, embeddings, TARGET, vectors).max() < 0.01
    assert torch.allclose(student[2].softmax(-1), torch.tensor(SECOND[2]), atol=0.01)
