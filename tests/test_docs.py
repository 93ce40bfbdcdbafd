"""What the documents show works."""

from __future__ import annotations

import re
import shutil
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.store import open_store
from pskd.distill.losses import LOSSES
from pskd.distill.objective import Objective, Sizes
from pskd.recipe import Stage
from pskd.recipe.grid import cells, load_grid

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_example_of_the_readme(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("../README.md", "python")
    shutil.copytree(run, tmp_path / "runs" / "demo")
    lines = "".join(f"{k / 50},0.1,0.2,9.8\n" for k in range(500))
    (tmp_path / "watch.csv").write_text(f"t,x,y,z\n{lines}")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("0.0 ")


def test_the_dataset_of_the_page_on_adding_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_WORKERS", "1")  # as in a notebook: a class that cannot be imported
    module: Any = types.ModuleType("kitchen")
    (code,) = blocks("add-a-dataset.md", "python")
    exec(compile(code, "add-a-dataset.md", "exec"), module.__dict__)
    with pytest.raises(module.DataError, match=r"no Kitchen found.*Put kitchen.zip there"):
        module.Kitchen(tmp_path)
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(40, 3)).astype(np.float32)
    with zipfile.ZipFile(tmp_path / "kitchen.zip", "w") as archive:
        archive.writestr(
            "cut_4_1.csv", "\n".join(",".join(map(repr, map(float, r))) for r in signal)
        )
        archive.writestr("stir_1_2.csv", "1,2,3\n4,5,oops\n")
    store = open_store(module.Kitchen(tmp_path), tmp_path / "cache")
    (recording,) = store
    assert (recording.id, recording.label, recording.subject) == ("cut_4_1", 1, "4")
    np.testing.assert_array_equal(recording.acceleration, signal)
    assert [trial.id for trial in store.set_aside] == ["stir_1_2"]


def test_the_loss_of_the_page_on_comparing_trains_by_its_name() -> None:
    (code,) = [b for b in blocks("compare.md", "python") if "@register" in b]
    exec(compile(code, "compare.md", "exec"), {"__name__": "cosine_hint"})
    assert "cosine_hint" in LOSSES
    stage = Stage.model_validate(
        {
            "name": "student",
            "model": {"name": "temporal_cnn"},
            "teachers": ["fused"],
            "distill": {"losses": [{"name": "cosine_hint", "options": {"bias": False}}]},
        }
    )
    sizes = Sizes(4, 3)
    made = Objective(stage, sizes, {"fused": sizes}, classes=2, clips=9, coordinates=None)
    (weight,) = [p for name, p in made.named_parameters() if name.endswith("map.weight")]
    assert weight.shape == (3, 3)


def test_the_grid_of_the_page_on_comparing_holds(tmp_path: Path) -> None:
    (text,) = blocks("compare.md", "yaml")
    (tmp_path / "mine.yaml").write_text(text)
    grid, beside = load_grid(tmp_path / "mine.yaml")
    assert len(cells(grid, beside)) == 2 * (5 + 2)


def test_every_loss_is_in_the_table_of_the_page_on_comparing() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (DOCS / "compare.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(LOSSES) <= listed


def test_the_readme_has_no_result_that_the_page_of_results_has_not() -> None:
    readme = (DOCS.parent / "README.md").read_text()
    rows = re.findall(r"^\|.*(?:±|\[[+-]).*\|$", readme.split("\n## Results\n")[1], re.MULTILINE)
    told = (DOCS / "results.md").read_text().splitlines()
    assert len(rows) > 5
    assert set(rows) <= set(told)


def test_every_link_of_a_page_leads_to_a_file_and_a_heading() -> None:
    root = DOCS.parent
    for page in (p for folder in (root, DOCS, root / "results") for p in folder.glob("*.md")):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            if re.match(r"https?:|mailto:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                assert anchor in map(as_anchor, titles), f"{page.name}: {link}"


def as_anchor(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
