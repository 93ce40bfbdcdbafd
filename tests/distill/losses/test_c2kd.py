"""C2KD against its terms written out with loops in NumPy, and who learns from whom."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pskd.distill.losses.c2kd import C2KD, Proxy, kendall_tau, non_target_kd

Array = NDArray[np.float64]
B, K, E, D, D2 = 6, 5, 4, 7, 9


def softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max())
    return e / e.sum()


def kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


def tau_b(x: Array, y: Array) -> float:
    concordant = discordant = untied_x = untied_y = 0
    for i in range(len(x)):
        for j in range(i):
            product = (x[i] - x[j]) * (y[i] - y[j])
            concordant += product > 0
            discordant += product < 0
            untied_x += x[i] != x[j]
            untied_y += y[i] != y[j]
    if not untied_x or not untied_y:
        return 0.0
    return float((concordant - discordant) / np.sqrt(untied_x * untied_y))


def among_others(student: Array, teacher: Array, target: Array, temperature: float) -> float:
    others = [c for c in range(len(target)) if target[c] == 0]
    if not others:
        return 0.0
    p, q = softmax(teacher[others] / temperature), softmax(student[others] / temperature)
    return temperature**2 * kl(p, q)


def proxy_logits(proxy: Proxy, features: Array) -> Array:
    hidden = features.mean(-1) @ proxy.layer.weight.detach().numpy().T
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
    weight, bias = (p.detach().numpy() for p in proxy.classifier.parameters())
    result: Array = hidden @ weight.T + bias
    return result


def case(seed: int = 0) -> tuple[C2KD, tuple[Tensor, ...]]:
    torch.manual_seed(seed)
    loss = C2KD(E, D, D2, K).double()
    torch.nn.init.normal_(loss.correction.weight)
    torch.nn.init.normal_(loss.correction.bias)
    target = torch.eye(K, dtype=torch.float64)[[0, 1, 2, 3, 4, 0]]
    target[1] = torch.tensor([0.7, 0.0, 0.3, 0.0, 0.0])  # a mixed view
    target[2] = 0  # a clip without a label
    shapes = (B, K), (B, D, 8), (B, K), (B, E), (B, D2, 3)
    return loss, (*(torch.randn(s, dtype=torch.float64) for s in shapes), target)


def test_kendall_tau_counts_pairs_and_ties() -> None:
    x, y = torch.randint(0, 4, (2, 50, 6), generator=torch.Generator().manual_seed(0)).double()
    expected = [tau_b(a, b) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    assert kendall_tau(x, y).tolist() == pytest.approx(expected)
    rising = torch.arange(27.0).unsqueeze(0)
    assert kendall_tau(rising, rising.exp()).item() == 1
    assert kendall_tau(rising, -rising).item() == -1
    assert kendall_tau(rising, torch.ones(1, 27)).item() == 0


def test_non_target_classes_only() -> None:
    _, (student, _, teacher, _, _, target) = case()
    target = torch.cat([target, torch.full((1, K), 1 / K)])  # and one with nothing but targets
    student, teacher = torch.cat([student, student[:1]]), torch.cat([teacher, teacher[:1]])
    expected = [
        among_others(*(x[i].numpy() for x in (student, teacher, target)), 2.0)
        for i in range(len(target))
    ]
    assert expected[-1] == 0
    assert non_target_kd(student, teacher, target, 2.0).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [-2.0, 0.0, 1.0])
def test_value_by_loops(threshold: float) -> None:
    loss, inputs = case()
    loss.threshold = threshold
    s, student_features, t, embedding, teacher_features, y = (x.numpy() for x in inputs)
    weight, bias = (p.detach().numpy() for p in loss.correction.parameters())
    t = t + embedding @ weight.T + bias
    s_proxy = proxy_logits(loss.student_proxy, student_features)
    t_proxy = proxy_logits(loss.teacher_proxy, teacher_features)
    expected, kept = [], 0
    for i in range(B):
        value = -float((y[i] * np.log(softmax(t[i]))).sum())
        for a, b in ((s, s_proxy), (t, t_proxy)):
            p, q = softmax(a[i]), softmax(b[i])
            value += kl(p, q) + kl(q, p)
        if tau_b(s_proxy[i], t_proxy[i]) > threshold:
            kept += 1
            value += among_others(s_proxy[i], t_proxy[i], y[i], 1.0)
            value += among_others(t_proxy[i], s_proxy[i], y[i], 1.0)
        expected.append(value)
    assert {-2.0: kept == B, 0.0: 0 < kept < B, 1.0: kept == 0}[threshold]
    assert loss(*inputs).tolist() == pytest.approx(expected)


def test_the_student_learns_from_its_proxy_and_the_correction_from_proxy_and_label() -> None:
    loss, (student, *rest) = case()
    student.requires_grad_()
    loss(student, *rest).sum().backward()
    features, teacher, embedding, teacher_features, target = rest
    pull = student.softmax(-1) - loss.student_proxy(features).softmax(-1)
    torch.testing.assert_close(student.grad, pull.detach())
    now = (teacher + loss.correction(embedding)).softmax(-1)
    pull = now - loss.teacher_proxy(teacher_features).softmax(-1)
    pull = pull + now * target.sum(-1, keepdim=True) - target
    torch.testing.assert_close(loss.correction.weight.grad, (pull.T @ embedding).detach())


def test_dropped_clips_pass_nothing_across() -> None:
    loss, (_, student_features, *_) = case()
    student_features.requires_grad_()
    inputs = case()[1]

    def gradient(threshold: float, teacher_features: Tensor) -> Tensor:
        loss.threshold = threshold
        value = loss(inputs[0], student_features, *inputs[2:4], teacher_features, inputs[5])
        return torch.autograd.grad(value.sum(), student_features)[0]

    other = inputs[4].flip(0)
    assert not torch.equal(gradient(-2.0, inputs[4]), gradient(-2.0, other))
    assert torch.equal(gradient(1.0, inputs[4]), gradient(1.0, other))


def test_zero_where_all_four_agree() -> None:
    loss = C2KD(E, D, D, K)
    loss.teacher_proxy.load_state_dict(loss.student_proxy.state_dict())
    features = torch.randn(B, D, 8)
    logits = loss.student_proxy(features).detach()
    value = loss(logits, features, logits, torch.randn(B, E), features, torch.zeros(B, K))
    assert value.tolist() == pytest.approx([0.0] * B, abs=1e-5)


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e4])
def test_degenerate_inputs_stay_finite(clips: int, level: float) -> None:
    loss = C2KD(E, D, D2, K)
    shapes = (clips, K), (clips, D, 8), (clips, K), (clips, E), (clips, D2, 1)
    inputs = [torch.full(shape, level, requires_grad=True) for shape in shapes]
    value = loss(*inputs, torch.zeros(clips, K))
    assert value.shape == (clips,)
    value.sum().backward()
    gradients = [*(x.grad for x in inputs), *(p.grad for p in loss.parameters())]
    assert value.isfinite().all()
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_training_brings_the_student_to_a_teacher_that_stays() -> None:
    torch.manual_seed(0)
    x, target = torch.randn(32, K, 1), torch.zeros(32, K)
    teacher = 3 * x.squeeze(-1)
    loss, student = C2KD(K, K, K, K), torch.nn.Linear(K, K)
    loss.correction.requires_grad_(False)  # or the two meet halfway
    optimizer = torch.optim.Adam([*loss.parameters(), *student.parameters()], lr=0.05)
    values, distances = [], []
    for _ in range(80):
        logits = student(x.squeeze(-1))
        value = loss(logits, x, teacher, teacher, x, target).mean()
        values.append(value.item())
        distances.append(non_target_kd(logits, teacher, target, 1.0).mean().item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert values[-1] < 0.2 * values[0]
    assert distances[-1] < 0.5 * distances[0]


def test_gradients_of_the_smooth_parts() -> None:
    loss, (student, features, teacher, _, _, target) = case()
    student.requires_grad_()
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: non_target_kd(s, teacher, target, 2.0), student)
    assert torch.autograd.gradcheck(loss.student_proxy, features)
