"""A student folder from a stranger: it cannot run code, fool a reader or eat the machine."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load, save
from typer.testing import CliRunner

from pskd.cli.app import app
from pskd.edge.material import Material
from pskd.errors import CheckpointError
from pskd.models import MODELS, build
from pskd.models.student_card import model_card
from pskd.models.student_config import StudentConfig
from pskd.models.student_folder import load_student, save_student

Made = Callable[..., Material]
SMALL = {"widths": [12, 12, 16], "strides": [2, 1, 2], "stem": 8, "kernel": 5}  # conftest's


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Nothing here may take 1 GiB more, or 20 s of the processor."""
    with at_most(1 << 30):
        start = time.process_time()
        yield
        assert time.process_time() - start < 20


@contextmanager
def at_most(more: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def folder(material: Material, tmp_path: Path) -> Path:
    save_student(tmp_path / "student", material.student, material.config)
    return tmp_path / "student"


def seal(folder: Path, weights: bytes | None = None, **changes: object) -> None:
    """Write weights and configuration that fit together, as somebody who knows the format does."""
    path = folder / "model.safetensors"
    if weights is not None:
        path.write_bytes(weights)
    config = json.loads((folder / "config.json").read_text()) | changes
    config["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def header(about: object, data: bytes = b"") -> bytes:
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + data


# --- weights -------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("ran"),)


def test_pickled_weights_are_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for pickled in (pickle.dumps(Bomb()), pickle.dumps({"state_dict": Bomb()}, protocol=0)):
        seal(folder, pickled)
        with pytest.raises(CheckpointError, match=r"model\.safetensors: weights cannot be read"):
            load_student(folder)
    torch.save({"weights": Bomb()}, folder / "model.safetensors")
    seal(folder)
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        load_student(folder)
    assert not Path("ran").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("ran").exists()  # the bomb is one


def tensor(dtype: str, shape: list[int], end: int) -> dict[str, object]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\x01",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2**31) + b"{}",
        header(b"[" * 900_000),
        header(b'{"a":' * 150_000),
        header(b" " * 2_000_000 + b"{}"),
        header(tensor("F32", [2**62, 8], 0)),
        header(tensor("F32", [2**63, 2**63], 4), b"abcd"),
        header(tensor("F32", [2**40], 4), b"abcd"),
        header(tensor("F32", [0, 2**62, 2**62], 0)),
        header(tensor("F32", [-1], 4), b"abcd"),
        header(tensor("F4", [8], 4), b"abcd"),
        header(tensor("C64", [1], 8), b"abcdefgh"),
        header(tensor("O", [1], 8), b"abcdefgh"),
        header({"x\x1b[2J": tensor("U8", [1], 1)["x"]}, b"a"),
        header({f"{n}": tensor("F32", [0], 0)["x"] for n in range(15_000)}),
    ],
    ids=range(17),
)
def test_weights_that_lie_are_refused(folder: Path, weights: bytes) -> None:
    seal(folder, weights)
    with pytest.raises(CheckpointError) as caught:
        load_student(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_weights_that_are_not_finite(folder: Path) -> None:
    tensors = load((folder / "model.safetensors").read_bytes())
    tensors["head.classifier.bias"][1] = torch.nan
    seal(folder, save(tensors))
    with pytest.raises(CheckpointError, match="not all finite"):
        load_student(folder)


def test_weights_without_an_end_are_not_read(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 40)  # takes no place on the disk
    with pytest.raises(CheckpointError, match="larger than 67108864 bytes"):
        load_student(folder)


def test_a_file_swapped_after_the_check_is_not_the_one_that_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write the folder changes the file at the moment that its checksum is known."""
    good = load((folder / "model.safetensors").read_bytes())
    swapped = save({name: torch.zeros_like(t) for name, t in good.items()})
    real = hashlib.sha256

    def slow(data: bytes = b"") -> object:
        (folder / "model.safetensors").write_bytes(swapped)
        return real(data)

    monkeypatch.setattr("pskd.models.student_folder.hashlib.sha256", slow)
    student, _ = load_student(folder)
    assert (folder / "model.safetensors").read_bytes() == swapped
    for name, value in student.state_dict().items():
        assert torch.equal(value, good[name])


# --- files that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_links_pipes_devices_and_folders(folder: Path, tmp_path: Path, name: str) -> None:
    good = (folder / name).rename(tmp_path / "good")

    def fifo(path: Path) -> None:
        os.mkfifo(path)

    makes: list[Callable[[Path], None]] = [
        lambda path: path.symlink_to(good),
        lambda path: path.symlink_to("/dev/zero"),
        fifo,
        lambda path: path.mkdir(),
    ]
    for make in makes:
        make(folder / name)
        with pytest.raises(CheckpointError, match=name):
            load_student(folder)
        (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()
    good.rename(folder / name)
    load_student(folder)


# --- configurations ------------------------------------------------------------------------------


def test_configurations_that_are_too_large_or_deep(folder: Path) -> None:
    path = folder / "config.json"
    for text in ("[" * 900_000, '{"options":' * 90_000, "9" * 900_000, '{"seed": 1e999999}'):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="student configuration"):
            load_student(folder)
    with path.open("w") as file:
        file.truncate(100_000_000)
    with pytest.raises(CheckpointError, match="larger than 1000000 bytes"):
        load_student(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"widths": [10**9] * 8}},
        {"options": {"widths": [10**19] * 8}},
        {"options": {"widths": [8] * 100_000, "strides": [1] * 100_000}},
        {"options": {"widths": [8] * 300, "strides": [1] * 300}},
        {"options": {"widths": {"a": 1}}},
        {"options": {"widths": []}},
        {"options": {"widths": "12345678"}},
        {"options": {"kernel": 10**30 + 1}},
        {"options": {"kernel": -1}},
        {"options": {"stem": 0}},
        {"options": {"stem": None}},
        {"options": {"dropout": 1e308}},
        {"options": {"dropout": [[[[]]]]}},
        {"options": {"strides": [0] * 3}},
        {"options": {**SMALL, "strides": [2, 1.5, 2]}},
        {"options": {"name": "xtinyhar"}},
        {"options": {"signal": 1}},
        {"options": {"self": 1}},
        {"options": {"\x1b]0;owned\x07": 1}},
        {"options": {"x" * 10_000: 1}},
        {"model": "xtinyhar", "options": {"patch": 0}},
        {"model": "tinyhar", "options": {"filters": 10**9}},
        {"model": "gaf_cnn", "options": {"image_size": 10**30}},
        {"model": "gaf_cnn", "options": {"method": "\x1b[2J"}},
        {"model": "\x1b[2J"},
        {"model": "x" * 500_000},
        {"embedding": 65_536, "classes": [f"c{n}" for n in range(10_000)]},
        {"\x1b[2J\u202e": 1},
    ],
    ids=range(28),
)
def test_configurations_of_no_such_student(folder: Path, changes: dict[str, object]) -> None:
    seal(folder, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_student(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.inputs != ("acceleration",)])
def test_a_teacher_is_no_student(folder: Path, name: str) -> None:
    seal(folder, model=name, options={})
    with pytest.raises(CheckpointError, match="skeleton, so it is no student"):
        load_student(folder)


@pytest.mark.parametrize(
    ("model", "options", "samples"),
    [
        ("gaf_cnn", {"image_size": 65_536}, 65_536),
        ("gaf_resnet18", {"image_size": 2048}, 4096),
        ("xtinyhar", {"patch": 1}, 4096),
    ],
)
def test_windows_that_would_eat_the_machine(
    folder: Path, made: Made, model: str, options: dict[str, object], samples: int
) -> None:
    """The weights fit and are small: it is the images and the attention that are not."""
    config = made(samples=64).config
    config = config.model_copy(
        update={"model": model, "options": options, "samples": samples, "rate": samples / 4.0,
                "window_seconds": 4.0, "hop_seconds": 1.0}
    )  # fmt: skip
    save_student(folder, build(model, config.signal, **options), config)
    with pytest.raises(CheckpointError, match=r"config\.json: a window takes tensors of .* MiB"):
        load_student(folder)


@pytest.mark.parametrize("image_size", [128, 224])
def test_the_student_of_the_lineage_is_no_such_window(image_size: int, tmp_path: Path) -> None:
    config = StudentConfig.model_validate(
        {
            "model": "gaf_cnn", "options": {"image_size": image_size}, "dataset": "d",
            "classes": ["a", "b"], "samples": 224, "embedding": 8, "rate": 56.0,
            "window_seconds": 4.0, "hop_seconds": 1.0, "normalisation": "", "placement": "",
            "protocol": "", "protocol_note": "", "parameters": 0, "macs": 0, "licence": "",
            "seed": 0,
        }
    )  # fmt: skip
    save_student(tmp_path / "s", build("gaf_cnn", config.signal, image_size=image_size), config)
    load_student(tmp_path / "s")


# --- what is shown of it -------------------------------------------------------------------------

NASTY = [
    "\x1b[2J\x1b]0;owned\x07",
    "walk\u202egpj.exe",
    "sit\u2066\u200b",
    "line\nbreak\r| cell",
    "\ud800",
]


def test_what_cannot_be_printed_is_written_out(folder: Path) -> None:
    seal(folder, classes=NASTY, placement=NASTY[0], licence=NASTY[1], dataset=NASTY[3])
    _, config = load_student(folder)
    assert all(name.isprintable() for name in config.classes)
    assert config.classes[0] == r"\x1b[2J\x1b]0;owned\x07"
    assert config.classes[1] == r"walk\u202egpj.exe"
    for text in (config.placement, config.licence, config.dataset):
        assert text.isprintable()
    assert all(line.isprintable() for line in model_card(config).split("\n"))


def test_names_of_classes_are_no_markup_in_the_terminal(folder: Path, tmp_path: Path) -> None:
    names = [f"[/{n}][link=file:///etc/passwd]{NASTY[0]}" for n in range(5)]
    seal(folder, classes=names)
    rows = "".join(f"{n / 32},0,0,{1 + n % 2}\n" for n in range(100))
    (tmp_path / "watch.csv").write_text("t,x,y,z\n" + rows)
    arguments = ["predict", str(folder), str(tmp_path / "watch.csv"), "--unit", "g"]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "][link=file:///etc/passwd]" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_names_that_are_the_same_once_written_out(folder: Path) -> None:
    seal(folder, classes=["\x1b", r"\x1b", "c", "d", "e"])
    with pytest.raises(CheckpointError, match="two classes have the same name"):
        load_student(folder)


def test_a_card_shows_marks_of_html_and_markdown_as_they_are(material: Material) -> None:
    name = "<img src=x onerror=alert(1)> | [a](javascript:b) `c` **d** ![e](f) &amp;"
    config = material.config.model_copy(update={"classes": [name, "b"], "licence": name})
    card = model_card(config)
    assert "<img" not in card
    assert r"\[a\](javascript:b) \`c\` \*\*d\*\* \!\[e\](f) &amp;amp;" in card
    (row,) = (line for line in card.split("\n") if line.startswith("| Licence"))
    assert row.replace(r"\|", "").count("|") == 3


def test_the_metadata_of_a_card_are_what_they_say(material: Material) -> None:
    nasty = 'x"\n---\nlicense: mit\n# <script>: [{'
    config = StudentConfig.model_validate(
        material.config.model_dump() | {"dataset": nasty, "licence": nasty, "accuracy": 0.92558}
    )
    _, front, rest = model_card(config).split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["license"] == "other"
    assert found["library_name"] == "pskd"
    assert {"pskd", "human-activity-recognition", "accelerometer"} <= set(found["tags"])
    (result,) = found["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9256, "name": "Test accuracy"}]
    assert result["dataset"]["name"] == config.dataset
    assert found["datasets"] == [result["dataset"]["type"]]
    assert rest.startswith("\n# Student `temporal_cnn`")


def test_what_was_not_measured_is_not_in_the_metadata(material: Material) -> None:
    config = material.config.model_copy(update={"licence": "CC-BY-4.0"})
    found = yaml.safe_load(model_card(config).split("---\n")[1])
    assert "model-index" not in found
    assert found["license"] == "cc-by-4.0"
