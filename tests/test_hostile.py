"""A sample of what `python -m fuzz.run` tries at length, and all that ever failed there."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import seeds
from fuzz.mutate import DAMAGES, damaged
from fuzz.run import make_input
from fuzz.stores import KINDS, Kind, put, try_store
from fuzz.targets import TARGETS
from pskd.data.store import open_store
from pskd.datasets import dataset

FAILED = sorted((Path(__file__).parent / "hostile").iterdir())


def refused(name: str, data: bytes) -> bool:
    """Whether a parser refuses a file as it may; any other error is raised, and warnings are."""
    target = TARGETS[name]
    try:
        target.parse(data)
    except target.refuses:
        return True
    return False


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_read(name: str) -> None:
    assert not all(refused(name, seed) for seed in TARGETS[name].seeds)


@settings(max_examples=250, deadline=None)
@given(name=st.sampled_from(sorted(TARGETS)), seed=st.integers(0, 2**31))
def test_damaged_files_are_refused_or_read(name: str, seed: int) -> None:
    target, random = TARGETS[name], Random(seed)
    # A hundred thousand brackets are refused by the YAML parsers, too, but after some seconds.
    kinds = ("bytes",) if name.endswith(("yaml", "recipe")) else target.kinds
    refused(name, damaged(random, random.choice(target.seeds), target.seeds, kinds))


@pytest.mark.parametrize("path", FAILED, ids=lambda path: path.name)
def test_what_once_failed_is_refused_or_read(path: Path) -> None:
    refused(path.name.split("--")[0].replace("-", " "), path.read_bytes())


def test_damage_is_the_same_again_and_mostly_refused() -> None:
    target = TARGETS["mat"]
    inputs = [make_input(target, 7, number) for number in range(100)]
    assert inputs == [make_input(target, 7, number) for number in range(100)]
    assert len(set(inputs)) > 90
    assert sum(refused("mat", data) for data in inputs) > 80
    assert {kind for t in TARGETS.values() for kind in t.kinds} == set(DAMAGES)


@pytest.mark.parametrize(("kind", "number"), [(KINDS[0], 0), (KINDS[-2], 1)])
def test_damaged_datasets_make_whole_stores_or_none(
    kind: Kind, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_WORKERS", "1")
    assert try_store(kind, 0, number) in ("opened", "set aside", "refused")


def test_what_is_set_aside_can_be_written_down(tmp_path: Path) -> None:
    signals = {
        name: d for name, d in seeds.mmact_tree().items() if name.endswith("Checking_time.csv")
    }
    odd = {"acc_watch_clip/\udcff\x1b[2J\n.csv": b"a name that is neither text nor one line"}
    tar = gzip.compress(seeds.tarred({**signals, **odd}), 1)
    put({"acc_watch_clip.tar.gz": tar}, tmp_path)
    store = open_store(dataset("mmact", tmp_path), tmp_path / "cache")
    assert [r.id for r in store] == ["s01_sc1_se1_checking_time"]
    assert [trial.id.rpartition("/")[2] for trial in store.set_aside] == [r"\udcff\x1b[2J\n.csv"]
