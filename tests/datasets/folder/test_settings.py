"""`dataset.yaml` and `layout.yaml`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pskd.datasets.folder.layout import KEYS, read_layout
from pskd.datasets.folder.settings import MAX_YAML, Settings, read_settings, read_yaml
from pskd.errors import DataError, PskdError


def parse(text: str | bytes) -> tuple[Settings, list[str]]:
    problems: list[PskdError] = []
    data = text.encode() if isinstance(text, str) else text
    return read_settings(data, "dataset.yaml", problems), [str(problem) for problem in problems]


def test_plain_values_stay_text() -> None:
    """YAML would make false, 7, 8 and 2026-11-22 of these."""
    settings, problems = parse("classes: [no, 07, 0o10, 2026-11-22]\ntitle: 1_000\n")
    assert not problems
    assert settings.classes == ("no", "07", "0o10", "2026-11-22")
    assert settings.title == "1_000"


@pytest.mark.parametrize("empty", ["", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_file_says_nothing(empty: str) -> None:
    assert parse(empty) == (Settings(), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel: Kitchen", "dataset.yaml: unknown key 'titel'. Did you mean 'title'"),
        ("unit: G", "dataset.yaml: unit is 'G'. Known: g, m/s2"),
        ("alignment: strech", "Did you mean 'stretch'"),
        ("rate: fast", "rate is 'fast'. Give a number from 1 to 10000"),
        ("rate: 1e9", "rate is '1e9'. Give a number"),
        ("skeleton_rate: [30]", "skeleton_rate is ['30']. Give a value"),
        ("title:", "title is ''. Give a value, or leave the key out"),
        ("classes: walk", "classes is 'walk'. Give a list of class names"),
        ("classes: [walk, [sit]]", "Give a list of class names"),
        ("classes: [walk, walk]", "Name each class once"),
        ("classes: []", "Name each class once"),
        ("- title", "is no mapping of keys to values"),
        ("title", "is no mapping of keys to values"),
        ("unit: g\ntitle: [", "line 2: is not YAML"),
        ("title: !!python/object/apply:os.system [ls]", "title is ['ls']. Give a value"),
        ("? [a]\n: b", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("x" * (MAX_YAML + 1), "is larger than 65536 bytes"),
        (b"title: \xff\xff", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, message: str) -> None:
    settings, problems = parse(text)
    assert settings.title == "" and settings.classes is None
    assert len(problems) == 1 and message in problems[0] and "dataset.yaml" in problems[0]


def test_all_that_is_wrong_is_said() -> None:
    settings, problems = parse("rate: 0\nunit: kg\ntitle: Kitchen\nextra: 1\n")
    assert settings == Settings(title="Kitchen") and len(problems) == 3


def test_a_tree_of_aliases_is_not_unfolded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
    )
    _, problems = parse(bomb + "classes: *a59\n")
    assert len(problems) == 61 and max(map(len, problems)) < 1000


GOOD = "joints: [hips, neck, head, hand]\nparents: {neck: hips, head: neck, hand: neck}\n"


def test_a_layout() -> None:
    text = GOOD + "name: camera\ntorso: [neck, hips]\nup: z\ndims: 3\n"
    layout = read_layout(text.encode(), "layout.yaml")
    assert layout.joints == ("hips", "neck", "head", "hand")
    assert layout.parents == (0, 0, 1, 1)
    assert (layout.name, layout.torso, layout.up, layout.dims) == ("camera", (1, 0), 2, 3)
    assert (layout.root, layout.edges) == (0, ((1, 0), (2, 1), (3, 1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "joints is no list of names"),
        ("joints: [a]", "joints is no list of names"),
        ("joints: [a, a]", "joints is no list of names, each once"),
        ("joints: [a, '']", "joints is no list"),
        ("joints: {a: b}", "joints is no list"),
        ("joints: [a, b]", "parents is no mapping"),
        ("joints: [a, b]\nparents: {b: c}", "parents names 'c', which is none of the joints"),
        ("joints: [a, b]\nparents: {b: [a]}", r"parents names ['a'], which is none"),
        ("joints: [a, b]\nparents: {}", "2 joints have no parent (a, b), not one"),
        ("joints: [a, b]\nparents: {a: b, b: a}", "0 joints have no parent (), not one"),
        ("joints: [a, b, c]\nparents: {b: c, c: b}", "the parents of 'b' go round in a circle"),
        (GOOD, "torso is None, not an upper and a lower joint"),
        (GOOD + "torso: [neck, hip]", "torso is ['neck', 'hip'], not an upper"),
        (GOOD + "torso: [neck, neck]", "torso is ['neck', 'neck']"),
        (GOOD + "torso: [neck, hips]\nup: w", "up is 'w'. Name the axis"),
        (GOOD + "torso: [neck, hips]\nup: z\ndims: 2", "up is 'z'"),
        (GOOD + "torso: [neck, hips]\nup: [x]", "up is ['x']"),
        (GOOD + "torso: [neck, hips]\ndims: 4", "dims is '4'. Give 2 or 3"),
        (GOOD + "torso: [neck, hips]\nroot: hips", "unknown key 'root'"),
        ("- joints", "is no mapping of keys"),
    ],
)
def test_layouts_that_are_no_tree(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_layout(text.encode(), "layout.yaml")
    assert message in str(caught.value) and "layout.yaml" in str(caught.value)


WORDS = st.one_of(st.sampled_from(["a", "b", "x", "2", "hips", ""]), st.text(max_size=5))
TREES: Any = st.recursive(
    WORDS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
)


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    st.dictionaries(st.sampled_from([*KEYS, "rate", "classes", "unit"]), TREES),
)
@example(b"? &a [*a]\n: 1", {})
@example(b"a: &a {a: *a}", {})
@example(b"<<: [1, 2]", {})
@example(b"0: 2026-99-99", {})
def test_whatever_the_files_say(data: bytes, tree: dict[str, Any]) -> None:
    for content in (data, repr(tree).encode("utf-8", "replace")):
        with suppress(PskdError):
            read_yaml(content, "x.yaml")
        parse(content)
        with suppress(PskdError):
            layout = read_layout(content, "layout.yaml")
            assert len(layout.edges) == len(layout.joints) - 1
