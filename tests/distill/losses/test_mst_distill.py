"""MST-Distill against its terms written out with loops in NumPy, and who learns from whom."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pskd.distill.losses.kd import kd as kl
from pskd.distill.losses.mst_distill import MaskNet, MSTDistill, SpecialisedTeacher, balance

Array = NDArray[np.float64]
B, K, T = 5, 4, 4.0
SIZES = [6, 9, 6]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def kd(student: Array, teacher: Array) -> float:
    p, q = softmax(teacher / T), softmax(student / T)
    return T * T * float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


def numbers(module: torch.nn.Module) -> dict[str, Array]:
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def mask(net: MaskNet, x: Array) -> Array:
    """Mask of one clip [E]: attention among its entries, one head and one token at a time."""
    w = numbers(net)
    tokens = (w["embed.weight"] @ x + w["embed.bias"]).reshape(net.tokens)
    projected = tokens @ w["attention.in_proj_weight"].T + w["attention.in_proj_bias"]
    query, key, value = np.split(projected, 3, axis=1)
    heads, width = net.attention.num_heads, net.attention.head_dim
    mixed = np.zeros_like(tokens)
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        for i in range(len(tokens)):
            shares = softmax(key[:, part] @ query[i, part] / np.sqrt(width))
            mixed[i, part] = shares @ value[:, part]
    mixed = mixed @ w["attention.out_proj.weight"].T + w["attention.out_proj.bias"]
    result: Array = 1 / (1 + np.exp(-(mixed @ w["score.weight"][0] + w["score.bias"])))
    return result


def case(
    k: int = 2, balance_weight: float = 1.0
) -> tuple[MSTDistill, Tensor, list[Tensor], list[Tensor]]:
    torch.manual_seed(0)
    options = {"heads": 3, "hidden_factor": 2}
    loss = MSTDistill(SIZES, K, B, 0, k, 0, T, balance_weight, **options).double()
    logits = [5 * torch.randn(B, K, dtype=torch.float64) for _ in SIZES]
    embeddings = [torch.randn(B, size, dtype=torch.float64) for size in SIZES]
    return loss, 2 * torch.randn(B, K, dtype=torch.float64), logits, embeddings


@pytest.mark.parametrize(
    ("k", "stage"), [(1, "together"), (2, "together"), (3, "together"), (2, 1), (2, 2), (2, 3)]
)
def test_value_by_loops(k: int, stage: int | str) -> None:
    loss, student, logits, embeddings = case(k, balance_weight=0.5)
    if isinstance(stage, int):  # of one epoch, of B clips, each
        loss.stage_clips = B
        loss.seen.fill_(stage * B - 1)
    gate = numbers(loss.gate)
    expected, routes, shares = [], [], np.zeros(len(SIZES))
    for i, s in enumerate(student.numpy()):
        opened = gate["1.weight"] @ (gate["0.weight"] @ s + gate["0.bias"]) + gate["1.bias"]
        shares += softmax(opened) / B
        value, lessons, raw = 0.0, [], 0.0
        for teacher, t, e in zip(loss.teachers, logits, embeddings, strict=True):
            assert isinstance(teacher, SpecialisedTeacher)
            w = numbers(teacher.head)
            x = e[i].numpy()
            masked = t[i].numpy() - w["weight"] @ ((1 - mask(teacher.mask, x)) * x)
            value += kd(w["weight"] @ x + w["bias"], t[i].numpy())
            value += kd(masked, s) if stage in (2, "together") else 0
            lessons.append(kd(s, masked))
            raw += kd(s, t[i].numpy())
        chosen = sorted(range(len(SIZES)), key=lambda m: -opened[m])[:k]
        routes.append(chosen)
        mimicry = sum(lessons[m] for m in chosen) / k
        expected.append(value + {1: raw, 2: 0.0}.get(stage, mimicry))
    uniform = 1 / len(SIZES)
    spread = sum(uniform * np.log(uniform / share) for share in shares) / len(SIZES)
    assert k == 3 or len({tuple(sorted(r)) for r in routes}) > 1  # clips go different ways
    extra = 0.5 * spread if stage in (3, "together") else 0
    actual = loss(student, logits, embeddings).tolist()
    assert actual == pytest.approx([value + extra for value in expected])


def test_stages_train_heads_then_masks_then_the_gate() -> None:
    loss, student, logits, embeddings = case()
    loss.stage_clips = 2 * B  # two epochs a stage
    student.requires_grad_()
    parts = {
        "student": [student],
        "heads": [p for n, p in loss.named_parameters() if ".head." in n],
        "masks": [p for n, p in loss.named_parameters() if ".mask." in n],
        "gate": list(loss.gate.parameters()),
    }

    def learners() -> set[str]:
        for p in (student, *loss.parameters()):
            p.grad = None
        loss(student, logits, embeddings).sum().backward()
        return {name for name, of in parts.items() if all(p.grad is not None for p in of)}

    loss.eval()
    loss(student, logits, embeddings)  # not an epoch of training
    loss.train()
    seen = [learners() for _ in range(7)]
    assert seen[:2] == [{"student", "heads"}] * 2
    assert seen[2:4] == [{"heads", "masks"}] * 2
    assert seen[4:] == [{"student", "heads", "gate"}] * 3
    assert "seen" in loss.state_dict()  # a training that goes on knows its stage


def test_balance_is_zero_where_teachers_are_used_alike() -> None:
    assert balance(10 * torch.eye(3)).item() == pytest.approx(0, abs=1e-6)
    probabilities = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    expected = -(0.5 * np.log(2 * 0.7) + 0.5 * np.log(2 * 0.3)) / 2
    assert balance(probabilities.log()).item() == pytest.approx(expected, rel=1e-5)
    alone = torch.tensor([[0.0, 1e4]], requires_grad=True)
    balance(alone).backward()
    assert balance(alone).isfinite()
    assert alone.grad is not None
    assert alone.grad.isfinite().all()


def test_a_specialised_teacher_is_the_masked_one_once_the_head_is_known() -> None:
    teacher, embedding = SpecialisedTeacher(6, K, heads=1, hidden_factor=2), torch.randn(B, 6)
    head = teacher.head
    masked, copy = teacher(head(embedding), embedding)
    torch.testing.assert_close(copy, head(embedding))
    torch.testing.assert_close(masked, head(teacher.mask(embedding) * embedding))
    torch.nn.init.constant_(teacher.mask.score.bias, 100)  # all entries let through
    logits = torch.randn(B, K)
    torch.testing.assert_close(teacher(logits, embedding)[0], logits)


def test_the_student_learns_from_its_chosen_teachers_alone() -> None:
    loss, student, logits, embeddings = case(k=2, balance_weight=0.0)
    student.requires_grad_()
    loss(student, logits, embeddings).sum().backward()
    chosen = loss.gate(student).topk(2).indices
    masked = torch.stack(
        [t(x, e)[0] for t, x, e in zip(loss.teachers, logits, embeddings, strict=True)], 1
    )
    goals = (masked / T).softmax(-1)[torch.arange(B).unsqueeze(1), chosen].mean(1)
    torch.testing.assert_close(student.grad, (T * ((student / T).softmax(-1) - goals)).detach())
    assert all(not p.grad.any() for p in loss.gate.parameters() if p.grad is not None)


def test_heads_copy_their_teacher_and_ignore_masks_and_student() -> None:
    loss, student, logits, embeddings = case()
    loss(student, logits, embeddings).sum().backward()
    for teacher, t, e in zip(loss.teachers, logits, embeddings, strict=True):
        assert isinstance(teacher, SpecialisedTeacher)
        pull = T * ((teacher.head(e) / T).softmax(-1) - (t / T).softmax(-1))
        torch.testing.assert_close(teacher.head.weight.grad, (pull.T @ e).detach())


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e4])
def test_degenerate_inputs_stay_finite(clips: int, level: float) -> None:
    loss = MSTDistill([6], K, clips, 0)
    student = torch.full((clips, K), level, requires_grad=True)
    value = loss(student, [torch.zeros(clips, K)], [torch.full((clips, 6), level)])
    assert value.shape == (clips,)
    value.sum().backward()
    gradients = [student.grad, *(p.grad for p in loss.parameters())]
    assert value.isfinite().all()
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_training_brings_the_student_to_the_teachers() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    heads = [torch.nn.Linear(8, K) for _ in range(2)]
    logits = [4 * head(x).detach() for head in heads]
    loss, student = MSTDistill([8, 8], K, clips=64, epochs=150), torch.nn.Linear(8, K)
    optimizer = torch.optim.Adam([*loss.parameters(), *student.parameters()], lr=0.01)
    goal = torch.stack(logits).softmax(-1).mean(0)

    def distance() -> float:
        return kl(student(x), goal.log(), 1.0).mean().item()

    def step() -> float:
        value = loss(student(x), logits, [x, x]).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    before, values = distance(), [step() for _ in range(150)]
    assert values[-1] < 0.2 * values[0]
    assert distance() < 0.5 * before


def test_gradients_of_the_smooth_parts() -> None:
    loss, student, logits, embeddings = case()
    for x in (student, logits[0], embeddings[0]):
        x.requires_grad_()
    assert torch.autograd.gradcheck(balance, student)
    teacher = loss.teachers[0]
    assert torch.autograd.gradcheck(teacher, (logits[0], embeddings[0]))


@pytest.mark.parametrize("k", [0, 3])
def test_k_must_be_among_the_teachers(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}, not between 1 and the 2 teachers"):
        MSTDistill([6, 6], K, clips=1, epochs=3, k=k)
