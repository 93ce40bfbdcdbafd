"""Checkpoints are whole, verified, and refused by name."""

from pathlib import Path

import pytest
import torch

from pskd.errors import CheckpointError
from pskd.train.checkpoint import load_checkpoint, save_checkpoint, write_run_file
from pskd.train.state import load_verified

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, TENSORS, {"epoch": 3})
    return path


def test_round_trip(saved: Path) -> None:
    tensors, meta = load_checkpoint(saved)
    assert meta == {"epoch": 3}
    assert all(torch.equal(tensors[k], v) for k, v in TENSORS.items())


def test_the_same_content_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "y.ckpt", dict(reversed(TENSORS.items())), {"epoch": 3})
    assert (tmp_path / "y.ckpt").read_bytes() == saved.read_bytes()


FACTS = {"settings": "s", "data": "d", "class names": "c"}


@pytest.mark.parametrize("other", [*FACTS])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, other: str) -> None:
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, TENSORS, {"identity": FACTS | {other: "x"}})
    with pytest.raises(CheckpointError, match=f"not trained with the same {other}"):
        load_verified(path, FACTS)


def test_a_checkpoint_of_other_clips_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    save_checkpoint(path, TENSORS, {"identity": FACTS})
    with pytest.raises(CheckpointError, match=r"clips of version 1, this pskd makes version 2"):
        load_verified(path, FACTS | {"clips": "2"})


def test_an_older_checkpoint_is_read_on_another_cpu(tmp_path: Path) -> None:
    """They have a hash of class vectors to the last digit, which other CPUs round otherwise."""
    path = tmp_path / "x.ckpt"
    old = {"settings": "s", "data": "d", "class vectors": "of another CPU"}
    save_checkpoint(path, TENSORS, {"identity": old})
    assert load_verified(path, FACTS)[1]["identity"] == old
    with pytest.raises(CheckpointError, match="not trained with the same data"):
        load_verified(path, FACTS | {"data": "x"})


@pytest.mark.parametrize("keep", [0, 10, 60, 200])
def test_a_torn_file_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"x\.ckpt"):
        load_checkpoint(saved)


def test_one_changed_byte_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(saved)


def test_a_foreign_and_a_newer_file_are_told_apart(saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content.replace(b"pskd-checkpoint 1", b"pskd-checkpoint 2", 1))
    with pytest.raises(CheckpointError, match="Update pskd"):
        load_checkpoint(saved)
    saved.write_bytes(b"PK\x03\x04" + content)
    with pytest.raises(CheckpointError, match="not a checkpoint of pskd"):
        load_checkpoint(saved)


def test_a_full_disk_leaves_the_old_file_and_no_part(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_run_file(saved, b"new")
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
