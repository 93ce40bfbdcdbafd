"""Class-name vectors and the targets made of them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from pskd.datasets import DATASETS
from pskd.distill import semantics
from pskd.distill.semantics import class_vectors, encode, main, semantic_targets
from pskd.distill.vector_table import read_table
from pskd.errors import DataError, UsageError

UTD = DATASETS["utd_mhad"].classes


def vectors(count: int, size: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(0)) + 3


def cosines(rows: Tensor) -> Tensor:
    unit = functional.normalize(rows.double(), dim=1)
    return unit @ unit.T


def spelled(names: Sequence[str]) -> Tensor:
    """Stands in for the sentence encoder: vectors that tell names apart."""
    return torch.tensor([[float(len(name)), float(ord(name[0])), 1.0] for name in names])


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantics, "encoder_installed", lambda: True)
    monkeypatch.setattr(semantics, "encode", spelled)
    monkeypatch.setattr(semantics.metadata, "version", lambda package: "1.2.3")


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantics, "encoder_installed", lambda: False)


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_has_every_shipped_dataset(no_encoder: None, name: str) -> None:
    classes = DATASETS[name].classes
    rows = class_vectors(classes)
    assert rows.shape == (len(classes), 384)
    assert torch.allclose(rows.norm(dim=1), torch.ones(len(classes)), atol=1e-5)
    assert torch.unique(rows, dim=0).shape == rows.shape


def test_the_table_has_datasets_without_a_reader(no_encoder: None) -> None:
    assert class_vectors(semantics.BERKELEY_MHAD).shape == (11, 384)
    assert class_vectors(semantics.MMACT).shape == (37, 384)


def test_rows_follow_the_classes_whatever_their_case(no_encoder: None) -> None:
    rows = class_vectors(["squat", "Swipe_Left", "wave"])
    assert torch.equal(rows, class_vectors(["wave", "swipe left", "squat"])[[2, 1, 0]])


def test_related_names_are_near(no_encoder: None) -> None:
    similar = cosines(semantic_targets(class_vectors(UTD), 64))
    nearest = {UTD[i]: UTD[j] for i, j in enumerate((similar - 2 * torch.eye(27)).argmax(1))}
    assert nearest["swipe left"] == "swipe right"
    assert nearest["sit to stand"] == "stand to sit"
    assert nearest["tennis swing"] == "tennis serve"
    assert nearest["jog"] == "walk"


def test_agrees_with_glove(no_encoder: None, real_data: Callable[[str], Path]) -> None:
    """Rank correlation of the 351 similarities; 0.16 by chance has p = 0.003 if independent."""
    words = torch.from_numpy(np.load(real_data("glove/UTD_Glove.npy"), allow_pickle=False))
    pairs = np.triu_indices(27, 1)
    ours = cosines(class_vectors(UTD)).numpy()[pairs]
    assert spearmanr(ours, cosines(words).numpy()[pairs]).statistic > 0.3
    ours = cosines(semantic_targets(class_vectors(UTD), 64)).numpy()[pairs]
    centred = cosines(words - words.mean(0)).numpy()[pairs]
    assert spearmanr(ours, centred).statistic > 0.16


@pytest.mark.parametrize("size", [26, 27, 64, 300])
def test_targets_keep_every_angle(size: int) -> None:
    rows = vectors(27, 50)
    targets = semantic_targets(rows, size)
    assert targets.shape == (27, size)
    assert targets.dtype == torch.float32
    assert torch.allclose(cosines(targets), cosines(rows - rows.mean(0)), atol=1e-6)
    assert torch.allclose(targets.norm(dim=1), torch.ones(27), atol=1e-6)


def test_fewer_dimensions_than_classes_too() -> None:
    rows = vectors(12, 4)
    assert torch.allclose(
        cosines(semantic_targets(rows, 16)), cosines(rows - rows.mean(0)), atol=1e-6
    )


def test_axes_that_are_rounding_are_zeros() -> None:
    """Five classes have four axes; the fifth singular value is another 1e-16 on every CPU."""
    targets = semantic_targets(torch.randn(5, 30), 8)
    assert not targets[:, 4:].any()
    assert targets[:, 3].any()


def test_small_targets_are_the_best_approximation() -> None:
    """As classical multidimensional scaling of the centred Gram matrix gives them."""
    rows = vectors(20, 30).double().numpy()
    centred = rows - rows.mean(0)
    values, axes = np.linalg.eigh(centred @ centred.T)
    expected = axes[:, -5:] * np.sqrt(values[-5:])
    targets = semantic_targets(torch.from_numpy(rows), 5)
    assert torch.allclose(cosines(targets), cosines(torch.from_numpy(expected)), atol=1e-6)


def test_targets_do_not_depend_on_the_signs_or_turn_of_the_vectors() -> None:
    rows = vectors(9, 6)
    turn, _ = torch.linalg.qr(vectors(6, 6))
    targets = semantic_targets(rows, 8)
    assert torch.equal(targets, semantic_targets(rows.clone(), 8))
    for other in (-1 * rows @ turn, 2.5 * rows + 7):
        kept = semantic_targets(other, 8)
        assert torch.allclose(cosines(kept), cosines(targets), atol=1e-5)
    assert torch.allclose(semantic_targets(rows @ turn, 8), targets, atol=1e-5)


def test_classes_without_a_direction_are_refused() -> None:
    with pytest.raises(UsageError, match=r"classes \[0\]"):
        semantic_targets(vectors(1, 5), 8)
    with pytest.raises(UsageError, match=r"classes \[2\]"):
        semantic_targets(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]), 8)


def test_unknown_names_are_named_with_remedies(no_encoder: None) -> None:
    with pytest.raises(UsageError) as caught:
        class_vectors(["wave", "yodel", "juggle"])
    message = str(caught.value)
    assert "'yodel', 'juggle'" in message
    assert "'wave'" not in message
    for remedy in ("shipped table", "a file of your own", "pskd[semantic]"):
        assert remedy in message


def test_unknown_names_go_to_the_encoder(encoder: None) -> None:
    names = ["wave", "yodel"]
    assert torch.equal(class_vectors(names), spelled(names))


def test_own_csv(encoder: None, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("name,v0,v1\nYodel,1,2.5\n\njuggle,-3,4e-1\n")
    assert torch.equal(
        class_vectors(["juggle", "yodel"], file), torch.tensor([[-3, 0.4], [1, 2.5]])
    )
    with pytest.raises(UsageError, match=r"own.csv: no class-name vectors for 'wave'"):
        class_vectors(["juggle", "wave"], str(file))


def test_command_writes_a_file_for_own_names(encoder: None, tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    assert main(["wash hands", "Brush_Teeth", "--out", str(file)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    names = ["wash hands", "brush teeth"]
    assert torch.equal(class_vectors(names, file), spelled(names))
    before = file.read_bytes()
    assert main(["brush teeth", "wash hands", "--out", str(file)]) == 0
    assert file.read_bytes() == before


def test_command_makes_all_shipped_names(encoder: None, tmp_path: Path) -> None:
    file = tmp_path / "all.safetensors"
    assert main(["--out", str(file)]) == 0
    assert read_table(file).names == read_table(semantics.TABLE).names


def test_command_refuses(
    no_encoder: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    assert "pip install" in capsys.readouterr().err
    monkeypatch.setattr(semantics, "encoder_installed", lambda: True)
    assert main(["wave"]) == 2
    assert "--out" in capsys.readouterr().err


def test_the_table_is_what_the_encoder_says() -> None:
    if not semantics.encoder_installed():
        pytest.skip("the extra pskd[semantic] is not installed")
    assert torch.allclose(encode(UTD), class_vectors(UTD), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0 names"),
        ("wave,1,x\n", "row 'wave'.*could not convert.*Write rows"),
        ("wave,1,2\nclap,1\n", "row 'clap': 1 values, in the rows before 2"),
        ("wave,1,nan\n", "not finite"),
        ("wave,1\nWAVE,2\n", "more than one vector for 'wave'"),
        ("wave\n", "no table"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        read_table(file)


def test_bad_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "bad.safetensors"
    file.write_bytes(semantics.TABLE.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read"):
        read_table(file)
    save_file({"weight": torch.zeros(2, 2)}, file)
    with pytest.raises(DataError, match="has no class vectors"):
        read_table(file)
    save_file({"vectors": torch.zeros(2, 2)}, file, {"class_vectors": "[1]"})
    with pytest.raises(DataError, match="cannot be read"):
        read_table(file)
    save_file({"vectors": torch.zeros(2, 2)}, file, {"class_vectors": json.dumps({"names": ["a"]})})
    with pytest.raises(DataError, match="1 names and vectors of shape"):
        read_table(file)


def test_missing_or_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"'\.npy'.*\.safetensors or a \.csv"):
        read_table(tmp_path / "glove.npy")
