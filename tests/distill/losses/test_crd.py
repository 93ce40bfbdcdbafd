"""CRD: the estimate against loops, its memories, and that it draws pairs together."""

import math

import numpy as np
import pytest
import torch

from pskd.distill.losses.crd import CRD
from pskd.distill.losses.sp import unit


def test_value_by_loops_over_the_drawn_negatives() -> None:
    torch.manual_seed(0)
    clips, k, index = 7, 5, torch.tensor([2, 6, 0])
    loss = CRD(4, 3, clips, size=6, negatives=k, temperature=0.3).double()
    memory = {n: b.numpy().copy() for n, b in loss.named_buffers()}
    student, teacher = torch.randn(3, 4).double(), torch.randn(3, 3).double()
    torch.manual_seed(1)
    steps = torch.randint(1, clips, (3, k))
    torch.manual_seed(1)
    value = loss(student, teacher, index)

    g = []
    for layer, x in ((loss.student_map, student), (loss.teacher_map, teacher)):
        y = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        g.append([row / math.sqrt(row @ row) for row in y])
    expected = np.zeros(3)
    for anchors, others, bank in (
        (g[0], g[1], memory["teacher_memory"]),
        (g[1], g[0], memory["student_memory"]),
    ):
        scores = np.empty((3, 1 + k))
        for i in range(3):
            scores[i, 0] = math.exp(anchors[i] @ others[i] / 0.3)
            for j in range(k):
                far = bank[(index[i] + steps[i, j]) % clips]
                scores[i, 1 + j] = math.exp(anchors[i] @ far / 0.3)
        p = scores / (scores.mean() * clips)
        noise = k / clips
        expected -= np.log(p[:, 0] / (p[:, 0] + noise))
        expected -= np.log(noise / (p[:, 1:] + noise)).sum(1)
    assert value.tolist() == pytest.approx(expected.tolist())


def test_a_clip_is_never_its_own_negative() -> None:
    loss = CRD(2, 2, clips=3, size=2, negatives=200, temperature=1.0)
    with torch.no_grad():
        for bank in (loss.student_memory, loss.teacher_memory):
            bank.copy_(torch.tensor([[1e9, 1e9], [0.0, 0.0], [0.0, 0.0]]))
    assert loss(torch.randn(1, 2), torch.randn(1, 2), torch.tensor([0])).item() < 1e3


def test_memories_average_what_they_saw_and_rest_outside_training() -> None:
    torch.manual_seed(0)
    loss = CRD(4, 3, clips=5, size=6, momentum=0.25)
    student, teacher, index = torch.randn(2, 4), torch.randn(2, 3), torch.tensor([4, 1])
    old = loss.student_memory.clone()
    loss.eval()(student, teacher, index)
    assert torch.equal(loss.student_memory, old)
    loss.train()(student, teacher, index)
    new = torch.nn.functional.normalize(loss.student_map(student).detach())
    mixed = torch.nn.functional.normalize(0.25 * old[index] + 0.75 * new)
    torch.testing.assert_close(loss.student_memory[index], mixed)
    assert torch.equal(loss.student_memory[[0, 2, 3]], old[[0, 2, 3]])


def test_the_normaliser_is_that_of_the_first_batch() -> None:
    torch.manual_seed(0)
    loss = CRD(4, 3, clips=50, negatives=20)
    give = torch.randn(2, 4), torch.randn(2, 3), torch.tensor([4, 1])
    loss(*give)
    first = loss.normalisers.clone()
    assert (first > 0).all()
    loss(*give)
    assert torch.equal(loss.normalisers, first)


def test_same_seed_same_values_also_from_a_saved_state() -> None:
    give = torch.ones(2, 4), torch.ones(2, 3), torch.tensor([4, 1])
    values = []
    for _ in range(2):
        torch.manual_seed(3)
        loss = CRD(4, 3, clips=50, negatives=20)
        loss(*give)
        saved = {k: v.clone() for k, v in loss.state_dict().items()}
        torch.manual_seed(4)
        values.append(loss(*give))
    other = CRD(4, 3, clips=50, negatives=20)
    other.load_state_dict(saved)
    torch.manual_seed(4)
    assert torch.equal(values[0], values[1])
    assert torch.equal(other(*give), values[0])


@pytest.mark.parametrize("clips", [1, 2, 9])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_embeddings_without_variation_have_finite_gradients(clips: int, fill: float) -> None:
    loss = CRD(4, 3, clips)
    student = torch.full((1, 4), fill, requires_grad=True)
    for _ in range(3):
        value = loss(student, torch.full((1, 3), fill), torch.tensor([clips - 1]))
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_a_pair_becomes_nearer_than_other_clips() -> None:
    torch.manual_seed(0)
    loss = CRD(6, 5, clips=16, size=16, negatives=32)
    student, teacher = torch.randn(16, 6, requires_grad=True), torch.randn(16, 5)
    index = torch.arange(16)
    before = loss(student, teacher, index).mean().item()
    optimiser = torch.optim.Adam([student, *loss.parameters()], lr=0.03)
    for _ in range(60):
        optimiser.zero_grad()
        loss(student, teacher, index).mean().backward()
        optimiser.step()
    assert loss(student, teacher, index).mean().item() < before - 1
    pairs = unit(loss.student_map(student)) @ unit(loss.teacher_map(teacher)).T
    assert (pairs.argmax(1) == index).all()


def test_gradient_is_that_of_the_value() -> None:
    torch.manual_seed(0)
    loss = CRD(4, 3, clips=9, size=5, negatives=6, temperature=0.5).double().eval()
    teacher, index = torch.randn(2, 3).double(), torch.tensor([3, 8])

    def value(student: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return loss(student, teacher, index)

    student = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (student,))
