"""Who a student has adapted to before a clip is tested, and who not."""

import json
from pathlib import Path

import pytest
import torch

from pskd.errors import UsageError
from pskd.models import Model
from pskd.recipe import Recipe, TestOptions, load_recipe
from pskd.train import wearer
from pskd.train.fit import predict
from pskd.train.prepare import Prepared, prepare
from pskd.train.run import train
from pskd.train.stages import build_model
from pskd.train.wearer import predict_adapted


@pytest.fixture(scope="module")
def data(tiny: Recipe, cache: Path) -> Prepared:
    return prepare(tiny, None, cache)


@pytest.fixture
def student(tiny: Recipe, data: Prepared) -> Model:
    torch.manual_seed(0)
    return build_model(tiny.student, data.signal).eval()


@pytest.mark.parametrize("recordings", [1, 5, 10_000])
def test_every_clip_is_tested_once_by_a_student_that_saw_others_of_its_subject(
    data: Prepared, student: Model, monkeypatch: pytest.MonkeyPatch, recordings: int
) -> None:
    clips, everything = data.test, torch.arange(len(data.test))
    samples = clips.read("acceleration", everything)
    seen: list[set[int]] = []
    tested: list[set[int]] = []

    def which(windows: torch.Tensor) -> set[int]:
        return {int((samples == w).all(2).all(1).nonzero()[0, 0]) for w in windows}

    def note_seen(model: Model, windows: torch.Tensor) -> Model:
        seen.append(which(windows))
        return model

    def note_tested(model: Model, some) -> object:
        tested.append(which(some.read("acceleration", torch.arange(len(some)))))
        return predict(model, some)

    monkeypatch.setattr(wearer, "adapt", note_seen)
    monkeypatch.setattr(wearer, "predict", note_tested)
    output = predict_adapted(student, clips, recordings, seed=3)
    torch.testing.assert_close(output.logits, predict(student, clips).logits)  # in their order
    assert sorted(i for group in tested for i in group) == everything.tolist()
    for one, other in zip(seen, tested, strict=True):
        assert not one & other
        assert len({clips.subjects[i] for i in one | other}) == 1
        subject = clips.subjects[next(iter(one))]
        assert len(one) == min(recordings, clips.subjects.count(subject) // 2)


def test_a_subject_with_one_clip_is_tested_by_the_student_as_it_is(
    data: Prepared, student: Model
) -> None:
    one = data.test.select([0])
    adapted = predict_adapted(student, one, 8, seed=0)
    assert torch.equal(adapted.logits, predict(student, one).logits)


def test_a_recipe_asks_for_it_and_the_run_says_so(
    tiny: Recipe, cache: Path, run: Path, tmp_path: Path
) -> None:
    asked = tiny.model_copy(update={"test": TestOptions(adapt=8)})
    out = train(asked, data_root=None, out=tmp_path / "run", cache=cache)
    summary, plain = (json.loads((r / "summary.json").read_text()) for r in (out, run))
    assert summary["protocol"]["note"].endswith(
        "; adapted to 8 recordings of each test subject (at most half of theirs), without labels"
    )
    config = json.loads((out / "student" / "config.json").read_text())
    assert config["accuracy"] is None  # what leaves has adapted to nobody
    assert config["protocol_note"] == plain["protocol"]["note"]
    assert (out / "student" / "model.safetensors").read_bytes() == (
        run / "student" / "model.safetensors"
    ).read_bytes()
    names = ("skeleton", "student", "sensor")
    same = [
        (out / "predictions" / f"{name}.csv").read_text()
        == (run / "predictions" / f"{name}.csv").read_text()
        for name in names
    ]
    assert same == [True, False, False]  # what sees skeletons is left as it is
    assert summary["stages"]["student"]["parameters"] == plain["stages"]["student"]["parameters"]


def test_a_model_that_cannot_adapt_is_refused_before_any_training(
    cache: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(
        "demo",
        ["dataset.options={subjects: 4, trials: 1}", "protocol.options={train: [1, 3], test: [2]}",
         "test.adapt=8", "chain.student.model={name: xtinyhar}"],
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"test.adapt, stage 'student'.*no batch norm"):
        train(recipe, data_root=None, out=tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_adapting_leaves_the_clips_where_they_are(tiny: Recipe, cache: Path) -> None:
    asked = tiny.model_copy(update={"test": TestOptions(adapt=8)})
    plain, other = (prepare(recipe, None, cache).test for recipe in (tiny, asked))
    assert type(other.signals) is type(plain.signals)  # mapped, not read
