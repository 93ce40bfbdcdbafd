"""ExecuTorch exports against the student itself, and how much of them XNNPACK takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pskd.edge.conversion import quiet
from pskd.edge.material import Material
from pskd.edge.targets import TARGETS
from pskd.errors import CheckpointError, UsageError
from pskd.models.base import Output

with quiet():
    pytest.importorskip("executorch.exir")
    from executorch.exir._serialize._program import deserialize_pte_binary


@pytest.fixture(scope="module")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both exports of the temporal student."""
    folder = tmp_path_factory.mktemp("export")
    for name in ("executorch", "executorch-int8"):
        TARGETS[name].export(material, folder)
    return folder


@pytest.mark.parametrize(("name", "share"), [("executorch", 1e-6), ("executorch-int8", 0.1)])
def test_it_says_what_the_student_says(
    material: Material, folder: Path, name: str, share: float
) -> None:
    run = TARGETS[name].load(folder / TARGETS[name].file)
    answers = [run(window[None]) for window in material.test]
    with torch.inference_mode():
        want = material.student(torch.from_numpy(material.test)).logits.numpy()
    got = np.stack([answer.logits for answer in answers])
    assert 0 < np.abs(got - want).max() < share * np.ptp(want)
    e = np.exp(got - got.max(1, keepdims=True))
    probabilities = np.stack([answer.probabilities for answer in answers])
    np.testing.assert_allclose(probabilities, e / e.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("name", ["executorch", "executorch-int8"])
def test_xnnpack_takes_the_whole_student(folder: Path, name: str) -> None:
    program = deserialize_pte_binary((folder / TARGETS[name].file).read_bytes()).program
    plan = program.execution_plan[0]
    assert [delegate.id for delegate in plan.delegates] == ["XnnpackBackend"]
    assert not plan.operators


def test_no_window_to_calibrate_with(material: Material, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        TARGETS["executorch-int8"].export(
            replace(material, calibration=material.test[:0]), tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_an_operator_that_executorch_lacks_is_named(material: Material, tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Output:
            logits = torch.linalg.eigvalsh(x @ x.transpose(1, 2))
            return Output(logits, logits, x)

    with pytest.raises(UsageError, match=r"'temporal_cnn'.*eig"):
        TARGETS["executorch"].export(replace(material, student=Odd()), tmp_path)


@pytest.mark.parametrize("content", ["torn", "empty", "text"])
def test_what_is_no_exported_student_is_named(folder: Path, tmp_path: Path, content: str) -> None:
    whole = (folder / "student.pte").read_bytes()
    path = tmp_path / "student.pte"
    path.write_bytes({"torn": whole[:-100], "empty": b"", "text": b"no program"}[content])
    with pytest.raises(CheckpointError, match=r"student\.pte: is torn or no exported student"):
        TARGETS["executorch"].load(path)
    with pytest.raises(CheckpointError, match=r"student\.pte"):
        TARGETS["executorch"].load(tmp_path / "missing" / "student.pte")
