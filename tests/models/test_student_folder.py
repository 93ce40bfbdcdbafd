"""Students as folders: what was saved comes back, and whatever is torn or foreign does not."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pskd.errors import CheckpointError
from pskd.models import MODELS, build
from pskd.models.base import Model, Output, Signal
from pskd.models.student_folder import StudentConfig, load_student, save_student


class Toy(Model):
    """A linear layer over the mean, with dropout and a buffer that is not saved."""

    inputs = ("acceleration",)
    feature_channels = 3

    def __init__(self, signal: Signal, scale: float = 1.0) -> None:
        super().__init__()
        self.embed = nn.Linear(signal.channels, signal.embedding)
        self.dropout = nn.Dropout()
        self.classify = nn.Linear(signal.embedding, signal.classes)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, acceleration: Tensor) -> Output:
        embedding = self.dropout(self.embed(acceleration.mean(dim=2) * self.scale))
        return Output(self.classify(embedding), embedding, acceleration)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Toy)


def config(**changes: object) -> StudentConfig:
    values: dict[str, object] = {
        "model": "toy",
        "options": {"scale": 2.0},
        "dataset": "simulated",
        "classes": ["wave", "clap", "draw x"],
        "samples": 128,
        "embedding": 8,
        "rate": 128 / 3.5,
        "window_seconds": 3.5,
        "hop_seconds": 1.75,
        "normalisation": "none",
        "placement": "right wrist",
        "protocol": "cross_subject",
        "protocol_note": "test subjects are not in training",
        "accuracy": 0.925,
        "macro_f1": None,
        "parameters": 59,
        "macs": 51,
        "licence": "free for research",
        "seed": 3,
    }
    return StudentConfig.model_validate(values | changes)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Model]:
    model = build("toy", config().signal, scale=2.0)
    save_student(tmp_path / "student", model, config())
    return tmp_path / "student", model


def rewrite_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_student_comes_back_whole(saved):
    folder, model = saved
    loaded, found = load_student(folder)
    assert found == config(sha256=found.sha256)
    assert not loaded.training
    x = torch.randn(4, 3, 128)
    torch.testing.assert_close(loaded(x).logits, model.eval()(x).logits, rtol=0, atol=0)


def test_the_folder_holds_plain_files(saved):
    folder, _ = saved
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert list(folder.parent.iterdir()) == [folder]  # nothing temporary is left
    data = json.loads((folder / "config.json").read_text())
    assert data["format"] == 1
    assert data["unit"] == "g"
    weights = (folder / "model.safetensors").read_bytes()
    assert data["sha256"] == hashlib.sha256(weights).hexdigest()


def test_the_card_names_what_a_user_must_know(saved):
    card = (saved[0] / "README.md").read_text()
    for text in (
        "independent implementation",
        "x, y, z in g, 128 samples over 3.5 s (36.57 Hz)",
        "right wrist",
        "| Test accuracy | 92.5 % |",
        "| Test macro-F1 | not measured |",
        "cross_subject: test subjects are not in training",
        "free for research",
        "wave, clap, draw x.",
    ):
        assert text in card


def test_the_same_student_gives_the_same_bytes(saved, tmp_path: Path):
    folder, model = saved
    save_student(tmp_path / "again", model, config())
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_saving_again_replaces_the_student(saved):
    folder, model = saved
    with torch.no_grad():
        model.get_parameter("classify.bias").add_(1)
    save_student(folder, model, config(seed=4))
    loaded, found = load_student(folder)
    assert found.seed == 4
    assert torch.equal(loaded.get_parameter("classify.bias"), model.get_parameter("classify.bias"))


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.inputs == ("acceleration",)])
def test_every_student_of_the_package_comes_back(name: str, tmp_path: Path):
    described = config(model=name, options={})
    model = build(name, described.signal).eval()
    save_student(tmp_path / "student", model, described)
    loaded, _ = load_student(tmp_path / "student")
    x = torch.randn(2, 3, 128)
    with torch.inference_mode():
        assert torch.equal(loaded(x).logits, model(x).logits)


def test_random_numbers_of_the_caller_stay_as_they_were(saved):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_student(saved[0])
    assert torch.equal(torch.rand(3), expected)


def test_a_model_other_than_the_configured_one_is_not_saved(tmp_path: Path):
    model = build("toy", Signal(classes=3, embedding=9))
    with pytest.raises(
        CheckpointError, match=r"classify.weight \(has .*\[3, 9\], needs .*\[3, 8\]"
    ):
        save_student(tmp_path / "student", model, config())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    model = build("toy", config().signal)
    with pytest.raises(CheckpointError, match="student cannot be written"):
        save_student(tmp_path / "file" / "student", model, config())


def test_a_full_disk_leaves_the_earlier_student(saved, monkeypatch):
    folder, model = saved
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pskd.models.student_folder.save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_student(folder, model, config(seed=4))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_files_are_named(saved, name: str):
    folder, _ = saved
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_student(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_torn_files_are_named(saved, name: str):
    folder, _ = saved
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=name):
        load_student(folder)


def test_a_flipped_bit_is_found(saved):
    path = saved[0] / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"checksum is not the one in config\.json"):
        load_student(saved[0])


def test_a_newer_format_asks_for_a_newer_pskd(saved):
    rewrite_config(saved[0], format=2, something_new=1)
    with pytest.raises(CheckpointError, match=r"has format 2.*Install a newer pskd"):
        load_student(saved[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"unit": "m/s2"}, "unit"),
        ({"format": "one"}, "format"),
        ({"samples": 10**9}, "samples"),
        ({"classes": ["wave", "wave", "clap"]}, "two classes have the same name"),
        ({"window_seconds": 7.0}, "do not give 128 samples"),
        ({"accuracy": 92.5}, "accuracy"),
    ],
)
def test_foreign_configurations_are_refused(saved, changes: dict[str, object], message: str):
    rewrite_config(saved[0], **changes)
    with pytest.raises(CheckpointError, match=message):
        load_student(saved[0])


@pytest.mark.parametrize("text", ["[1, 2]", "null", "not json", "[" * 100_000, "\xff"])
def test_files_that_are_no_configuration(saved, text: str):
    (saved[0] / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json: .*student configuration"):
        load_student(saved[0])


def test_a_huge_configuration_is_not_read(saved):
    (saved[0] / "config.json").write_text(" " * 1_000_001)
    with pytest.raises(CheckpointError, match="larger than 1000000 bytes"):
        load_student(saved[0])


@pytest.mark.parametrize("changes", [{"model": "unheard_of"}, {"options": {"depth": 3}}])
def test_a_model_that_this_version_does_not_have(saved, changes: dict[str, object]):
    rewrite_config(saved[0], **changes)
    with pytest.raises(CheckpointError, match="cannot build the student"):
        load_student(saved[0])


def test_weights_of_another_model_are_named(saved):
    folder, _ = saved
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["classify.weight"] = torch.zeros(5, 8)
    tensors["embed.bias"] = tensors["embed.bias"].half()
    tensors["extra"] = torch.zeros(1)
    del tensors["embed.weight"]
    save_file(tensors, path)
    rewrite_config(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError) as caught:
        load_student(folder)
    for text in (
        "classify.weight (has float32 [5, 8], needs float32 [3, 8])",
        "embed.bias (has float16 [8], needs float32 [8])",
        "embed.weight (has nothing, needs float32 [8, 3])",
        "and 1 more",
    ):
        assert text in str(caught.value)


def test_a_file_that_only_claims_to_be_weights(saved):
    folder, _ = saved
    path = folder / "model.safetensors"
    path.write_bytes(b"\x80\x04not safetensors")
    rewrite_config(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        load_student(folder)


def test_a_huge_model_takes_no_memory_before_it_is_refused(saved):
    """As float32, the first layer alone would be 3 x 65536 and the classifier 10000 x 65536."""
    rewrite_config(saved[0], classes=[f"c{i}" for i in range(10_000)], embedding=65_536)
    with pytest.raises(CheckpointError, match="weights are not those of model 'toy'"):
        load_student(saved[0])


def test_a_configuration_does_not_change():
    with pytest.raises(ValidationError):
        config().seed = 1  # type: ignore[misc]
