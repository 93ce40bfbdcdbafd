"""Books of lessons: the same as asking the teacher, whole, and made again when torn."""

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from pskd.recipe import Recipe
from pskd.train.lessons import Book, Teacher, write_book
from pskd.train.prepare import Prepared, prepare
from pskd.train.stages import build_model
from pskd.train.stream import Stream, make_stream

FABRIC = Fabric(accelerator="cpu", devices=1)
EPOCHS = 3


@pytest.fixture(scope="module")
def data(tiny: Recipe, cache: Path) -> Prepared:
    return prepare(tiny, None, cache)


@pytest.fixture(scope="module")
def stream(tiny: Recipe, data: Prepared) -> Stream:
    classes = data.signal.classes
    return make_stream(tiny, tiny.student, data.train, classes, name="student", up=1)


def teacher(tiny: Recipe, data: Prepared, name: str = "fused", features: bool = True) -> Teacher:
    torch.manual_seed(0)
    stage = next(stage for stage in tiny.chain if stage.name == name)
    return Teacher(build_model(stage, data.signal), FABRIC, features)


def test_a_book_says_what_the_teacher_says_bit_by_bit(
    tiny: Recipe, data: Prepared, stream: Stream, tmp_path: Path
) -> None:
    asked = teacher(tiny, data)
    write_book(tmp_path / "book", asked, stream, EPOCHS)
    book = Book(tmp_path / "book", EPOCHS * stream.steps)
    seen = 0
    for epoch in range(EPOCHS):
        for view in stream.epoch(epoch, FABRIC.device):
            mine, theirs = (source.lesson(seen, view.batch) for source in (book, asked))
            for a, b in zip(mine, theirs, strict=True):
                assert torch.equal(a, b)
            seen += 1
    assert seen == EPOCHS * stream.steps
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == ["book"]


def test_clips_without_a_skeleton_are_marked(
    tiny: Recipe, data: Prepared, stream: Stream, tmp_path: Path
) -> None:
    blind = {"skeleton": teacher(tiny, data, "skeleton"), "sensor": teacher(tiny, data, "sensor")}
    clips = stream.clips.select(range(len(stream.clips)))
    clips.has_skeleton[::2] = False
    few = make_stream(tiny, tiny.student, clips, data.signal.classes, name="student", up=1)
    for name, asked in blind.items():
        write_book(tmp_path / name, asked, few, 1)
        book = Book(tmp_path / name, few.steps)
        for step, view in enumerate(few.epoch(0, FABRIC.device)):
            sees = book.lesson(step, view.batch).available
            expected = view.batch.has_skeleton if name == "skeleton" else torch.ones_like(sees)
            assert torch.equal(sees, expected)


def test_features_are_kept_where_wanted_and_added_to_a_book_without(
    tiny: Recipe, data: Prepared, stream: Stream, tmp_path: Path
) -> None:
    steps = stream.steps
    write_book(tmp_path / "book", teacher(tiny, data, features=False), stream, 1)
    assert not Book(tmp_path / "book", steps).has_features
    write_book(tmp_path / "book", teacher(tiny, data, features=True), stream, 1)
    assert Book(tmp_path / "book", steps).has_features
    before = (tmp_path / "book" / "features.npy").stat().st_mtime_ns
    write_book(tmp_path / "book", teacher(tiny, data, features=False), stream, 1)
    assert (tmp_path / "book" / "features.npy").stat().st_mtime_ns == before


def test_a_torn_book_is_no_book_and_is_written_again(
    tiny: Recipe, data: Prepared, stream: Stream, tmp_path: Path
) -> None:
    folder, asked = tmp_path / "book", teacher(tiny, data)
    write_book(folder, asked, stream, 1)
    whole = (folder / "logits.npy").read_bytes()
    (folder / "logits.npy").write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="logits"):
        Book(folder, stream.steps)
    write_book(folder, asked, stream, 1)
    assert (folder / "logits.npy").read_bytes() == whole
    with pytest.raises(ValueError, match="no book of"):
        Book(folder, stream.steps + 1)
