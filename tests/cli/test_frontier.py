"""`pskd frontier`: trains, measures, draws; draws a folder that is there."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pskd.cli.frontier import app
from pskd.errors import UsageError
from pskd.recipe import Recipe


@pytest.fixture(scope="module")
def grid(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two widths of a student that the accelerometer teacher teaches."""
    folder = tmp_path_factory.mktemp("frontier")
    tree = tiny.model_dump(mode="json")
    sensor, student = (stage | {"fit": {"epochs": 1}} for stage in tree["chain"][-2:])
    student |= {"model": {"name": "temporal_cnn"}, "teachers": ["sensor"]}
    tree["chain"] = [sensor | {"teachers": []}, student]
    (folder / "base.yaml").write_text(yaml.safe_dump(tree))
    widths = {
        "narrow": {"budget.parameters": 5000},
        "usual": {"chain.student.model.options.width": 0.25},
    }
    content = {
        "name": "widths", "recipe": "base.yaml", "seeds": [0], "baseline": "student_alone",
        "tables": {"t": {}}, "methods": {name: {"set": what} for name, what in widths.items()},
    }  # fmt: skip
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_grid_is_trained_and_drawn_and_drawn_again(
    grid: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PSKD_CACHE", str(cache))
    out = tmp_path / "out"
    runner, command = CliRunner(), [str(grid), "--out", str(out), "--jobs", "1", "--time", ""]
    first = runner.invoke(app, command, catch_exceptions=False)
    assert "Alone, " in first.stdout
    assert (out / "frontier-t.png").is_file() and (out / "report.html").is_file()
    resolved = yaml.safe_load((out / "cells/t/narrow/seed0/recipe.yaml").read_text())
    assert resolved["chain"][-1]["model"]["options"] == {"width": 0.15}
    page = (out / "frontier.html").read_bytes()
    assert len(list((out / "stages").glob("*.ckpt"))) == 5  # one teacher, two students, each alone

    again = runner.invoke(app, [*command, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout)["page"] == str(out / "frontier.html")
    drawn = runner.invoke(app, [str(out), "--time", "", "--json"], catch_exceptions=False)
    assert json.loads(drawn.stdout) == json.loads(again.stdout)
    assert (out / "frontier.html").read_bytes() == page


def test_no_such_grid():
    with pytest.raises(UsageError, match="Did you mean 'frontier'"):
        CliRunner().invoke(app, ["fronteir"], catch_exceptions=False)
