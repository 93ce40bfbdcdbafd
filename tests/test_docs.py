"""What the documents show works."""

from __future__ import annotations

import re
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pskd.data.store import open_store

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


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
