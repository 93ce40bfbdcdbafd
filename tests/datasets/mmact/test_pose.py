"""Pose files of MMAct: JSON and arrays, people followed, holes filled."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pskd.data.skeleton import (
    COCO_17,
    COCO_17_TWO_PEOPLE,
    LAYOUTS,
    OPENPOSE_18,
    OPENPOSE_18_TWO_PEOPLE,
    SkeletonLayout,
)
from pskd.datasets.mmact.pose import read_coco, read_openpose, skeleton

BODY = {
    "nose": (0, -80), "neck": (0, -65), "shoulder": (18, -62), "elbow": (24, -35),
    "wrist": (25, -10), "hip": (12, 0), "knee": (13, 45), "ankle": (14, 90), "eye": (4, -84),
    "ear": (8, -82),
}  # fmt: skip


def person(layout: SkeletonLayout, frames: int = 40, at: float = 500.0, swing: float = 0.0) -> Any:
    """Somebody in a picture [F, J, 3], whose arms swing."""
    joints = np.ones((len(layout.joints), 3))
    for i, name in enumerate(layout.joints):
        side, _, part = name.rpartition("_")
        x, y = BODY[part]
        joints[i, :2] = at + (x if side == "left" else -x), 500 + y
    body = np.repeat(joints[None], frames, axis=0)
    for name in ("left_wrist", "right_wrist", "left_elbow", "right_elbow"):
        body[:, layout.index(name), 0] += swing * np.sin(np.arange(frames) / 5)
    body[..., 2] = 0.9
    return body


def pair(*people: np.ndarray) -> np.ndarray:
    both = [*people, np.zeros_like(people[0])][:2]
    return np.stack(both, axis=1)


def as_json(poses: np.ndarray, name: Callable[[int], str] = str) -> bytes:
    frames = {
        name(i): {f"person{n + 1}": body.ravel().tolist() for n, body in enumerate(frame)}
        for i, frame in enumerate(poses)
    }
    return json.dumps(frames).encode()


def as_npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), **options)
    return buffer.getvalue()


POSES = pair(person(COCO_17), person(COCO_17, at=900))
JSON = as_json(POSES)


@pytest.mark.parametrize(
    "layout", [COCO_17, COCO_17_TWO_PEOPLE, OPENPOSE_18, OPENPOSE_18_TWO_PEOPLE], ids=str
)
def test_layouts_are_trees_of_two_dimensions(layout: SkeletonLayout) -> None:
    count = len(layout.joints)
    assert LAYOUTS[layout.name] is layout
    assert (layout.dims, layout.up) == (2, 1)
    assert len(set(layout.joints)) == len(layout.parents) == count == len(layout.edges) + 1
    for joint in range(count):
        steps = 0
        while joint != layout.root:
            joint, steps = layout.parents[joint], steps + 1
            assert steps < count
    for child, parent in layout.edges:  # no bone crosses the body
        sides = {layout.joints[j].removeprefix("second_").split("_")[0] for j in (child, parent)}
        assert sides != {"left", "right"}
    upper, lower = (layout.joints[j] for j in layout.torso)
    assert upper in ("neck", "left_shoulder") and lower == "left_hip"


def test_numbers_are_where_json_has_them() -> None:
    np.testing.assert_array_equal(read_coco(JSON), POSES)


def test_nested_numbers_are_the_same_as_flat_ones() -> None:
    nested = {str(i): {"person1": f[0].tolist()} for i, f in enumerate(POSES)}
    np.testing.assert_array_equal(read_coco(json.dumps(nested).encode())[:, 0], POSES[:, 0])


@pytest.mark.parametrize("nobody", [{}, {"person1": []}, {"person1": [], "person2": None}])
def test_frames_without_people_are_zero(nobody: object) -> None:
    frames = json.loads(JSON)
    frames["3"] = nobody
    read = read_coco(json.dumps(frames).encode())
    assert not read[3].any()
    np.testing.assert_array_equal(np.delete(read, 3, axis=0), np.delete(POSES, 3, axis=0))


@pytest.mark.parametrize("name", ["{}", "frame_{:05d}.jpg", "cam1_{}"])
def test_frames_are_in_order_of_their_numbers(name: str) -> None:
    moving = POSES + np.arange(40)[:, None, None, None] * [1, 0, 0]
    frames = json.loads(as_json(moving, name.format))
    shuffled = dict(sorted(frames.items(), key=lambda item: hash(item[0][::-1])))
    np.testing.assert_array_equal(read_coco(json.dumps(shuffled).encode()), moving)


def test_frames_that_are_left_out_are_frames_without_people() -> None:
    frames = json.loads(as_json(POSES, lambda i: str(i + 7)))
    for gone in ("9", "10"):
        del frames[gone]
    read = read_coco(json.dumps(frames).encode())
    assert read.shape == POSES.shape
    assert not read[2:4].any() and read[4].any()


@pytest.mark.parametrize("name", ["{:d}00", "a{:d}b1", "{0}.{0}.x7"])
def test_frames_without_usable_numbers_are_in_order_of_the_file(name: str) -> None:
    np.testing.assert_array_equal(read_coco(as_json(POSES, name.format)), POSES)


def frame(person1: str) -> str:
    return '{"0": {"person1": ' + person1 + "}}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("\xff\xfe{", "is no JSON"),
        (JSON[:5000].decode(), "is no JSON"),
        ("[]", "no object of 1 to 20000 frames"),
        ("{}", "no object of 1 to 20000 frames"),
        ("7", "no object of 1 to 20000 frames"),
        (json.dumps(dict.fromkeys(map(str, range(20_001)), 0)), "no object of 1 to 20000 frames"),
        ('{"0": [1]}', "frame '0' is no object"),
        ('{"0": {}, "0": {}}', "holds a key twice"),
        (frame('[1], "person1": [1]'), "holds a key twice"),
        (frame("[" * 100_000 + "]" * 100_000), "nested too deeply"),
        (frame("[" * 80 + "1" + "]" * 80), "not 17 joints"),
        (frame(str([1.0] * 50)), "not 17 joints"),
        (frame(str([[1.0] * 3] * 16)), "not 17 joints"),
        (frame(str([[1.0] * 3] * 16 + [[1.0] * 2])), "not 17 joints"),
        (frame('["a"' + ', "1"' * 50 + "]"), "not 17 joints"),
        (frame('{"x": 1}'), "not 17 joints"),
        (frame("5"), "not 17 joints"),
        (frame('"left"'), "not 17 joints"),
        (frame(f"[{'9' * 30}" + ", 1" * 50 + "]"), "not within"),
        (frame(f"[{'9' * 400}" + ", 1" * 50 + "]"), "not 17 joints"),
        (frame(f"[{'9' * 5000}" + ", 1" * 50 + "]"), "Exceeds the limit|is no JSON"),
        (frame("[NaN" + ", 1" * 50 + "]"), "NaN is no coordinate"),
        (frame("[-Infinity" + ", 1" * 50 + "]"), "-Infinity is no coordinate"),
        (frame("[1e999" + ", 1" * 50 + "]"), "not within 100000 pixels"),
        (frame("[-1e6" + ", 1" * 50 + "]"), "not within 100000 pixels"),
    ],
)
def test_bad_json_is_named(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_coco(content.encode("latin-1"))


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_openpose_arrays(version: tuple[int, int]) -> None:
    one = person(OPENPOSE_18)
    both = np.stack([one, person(OPENPOSE_18, at=900)], axis=-1)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, one.astype(np.float32), version)
    np.testing.assert_allclose(read_openpose(buffer.getvalue()), one[:, None], rtol=1e-6)
    expected = np.moveaxis(both, -1, 1)
    np.testing.assert_array_equal(read_openpose(as_npy(both)), expected)
    np.testing.assert_array_equal(read_openpose(as_npy(np.asfortranarray(both))), expected)
    np.testing.assert_array_equal(read_openpose(as_npy(both.astype(">f8"))), expected)


def test_nan_is_unseen() -> None:
    one = person(OPENPOSE_18)
    one[3:9, 4, 0] = np.nan
    read = read_openpose(as_npy(one))[:, 0]
    assert not read[3:9, 4].any()
    assert np.isfinite(read).all() and (read[:3] == one[:3]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no .npy file"),
        (b"PK\x03\x04", "no .npy file"),
        (b"\x93NUMPY\x03\x00\x10\x00\x00\x00{}", "no .npy file"),
        (as_npy(np.zeros((4, 18, 3)))[:200], "is cut off"),
        (as_npy(np.zeros((4, 18, 3))) + b"\0", "longer than its shape"),
        (as_npy(np.zeros((4, 18, 3))).replace(b"(4, 18, 3)", b"(9**9,18,3"), "no .npy file"),
        (as_npy(np.zeros((4, 18, 3))).replace(b"(4, 18, 3), ", b"(9999,18,3),"), "is cut off"),
        (as_npy(np.zeros((4, 18, 3))).replace(b"(4, 18, 3), ", b"(99999,18,3)"), "no .npy|frames"),
        (as_npy(np.zeros((0, 18, 3))), "holds 0 frames"),
        (as_npy(np.zeros((4, 18, 3, 3))), "of .3,. people"),
        (as_npy(np.zeros((4, 17, 3))), r"shape \(4, 17, 3\)"),
        (as_npy(np.zeros((4, 18, 3), "U1")), "holds <U1"),
        (as_npy(np.full((1, 18, 3), None), allow_pickle=True), "holds object"),
        (as_npy(np.full((4, 18, 3), 1e30)), "not within 100000 pixels"),
    ],
)
def test_bad_arrays_are_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_openpose(content)


def made(poses: np.ndarray, layout: SkeletonLayout = COCO_17, persons: int = 1) -> Any:
    found = skeleton(poses, layout, persons)
    assert found is not None
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert found.shape == (len(poses), persons * len(layout.joints), 2)
    return found


@pytest.mark.parametrize("layout", [COCO_17, OPENPOSE_18], ids=str)
def test_what_is_seen_stays_where_it_is_with_y_up(layout: SkeletonLayout) -> None:
    body = person(layout, swing=20)
    found = made(body[:, None], layout)
    np.testing.assert_array_equal(found[..., 0], body[..., 0].astype(np.float32))
    np.testing.assert_array_equal(found[..., 1], -body[..., 1].astype(np.float32))
    heights = [found[0, layout.index(j), 1] for j in ("nose", "left_hip", "left_ankle")]
    assert heights == sorted(heights, reverse=True)


def test_unseen_for_a_while_is_interpolated_and_held_at_the_ends() -> None:
    body = person(COCO_17)
    body[:, 9, 0] = np.arange(40) * 3.0
    hidden = body.copy()
    hidden[10:20, 9] = 0
    hidden[[0, 1, 39], 9] = 0
    expected = -hidden[..., :2] * [-1, 1]
    expected[:, 9] = body[:, 9, :2] * [1, -1]
    expected[[0, 1], 9], expected[39, 9] = expected[2, 9], expected[38, 9]
    np.testing.assert_allclose(made(pair(hidden)), expected, rtol=1e-6)


def test_never_seen_is_at_the_parent() -> None:
    body = person(COCO_17)
    body[:, [COCO_17.index(j) for j in ("left_elbow", "left_wrist", "right_ear")]] = 0
    found = made(pair(body))
    for joint, place in (
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_shoulder"),
        ("right_ear", "right_eye"),
    ):
        np.testing.assert_array_equal(
            found[:, COCO_17.index(joint)], found[:, COCO_17.index(place)]
        )


@pytest.mark.parametrize("layout", [COCO_17, OPENPOSE_18], ids=str)
def test_a_hip_or_shoulder_that_is_hidden_by_the_body_is_that_of_the_other_side(
    layout: SkeletonLayout,
) -> None:
    body = person(layout)
    body[:, [layout.index("left_hip"), layout.index("left_shoulder")]] = 0
    found = made(pair(body), layout)
    for part in ("hip", "shoulder"):
        left, right = (found[:, layout.index(f"{side}_{part}")] for side in ("left", "right"))
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("layout", "root"), [(COCO_17, "nose"), (OPENPOSE_18, "neck")])
def test_a_root_that_is_never_seen_is_amid_the_others(layout: SkeletonLayout, root: str) -> None:
    body = person(layout)
    body[:, layout.index(root)] = 0
    found = made(pair(body), layout)
    others = np.delete(found, layout.root, axis=1).mean(axis=1)
    np.testing.assert_allclose(found[:, layout.root], others, rtol=1e-5)


def hidden(*joints: str) -> np.ndarray:
    body = person(COCO_17)
    body[:, [COCO_17.index(j) for j in joints]] = 0
    return body


@pytest.mark.parametrize(
    "body",
    [
        np.zeros((40, 17, 3)),
        hidden("left_hip", "right_hip"),
        hidden("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
        np.where(np.arange(40)[:, None, None] < 9, person(COCO_17), 0),
        person(COCO_17) * [1, 1, -1],
        person(COCO_17)[:1],
        np.ones((40, 17, 3)),
    ],
    ids=[
        "nobody",
        "no hips",
        "no trunk",
        "seen in 9 of 40 frames",
        "unsure",
        "one frame",
        "a point",
    ],
)
def test_too_little_to_go_by_is_no_skeleton(body: np.ndarray) -> None:
    assert skeleton(pair(body), COCO_17, 1) is None
    assert skeleton(pair(body, body), COCO_17, 2) is None


@given(
    swaps=arrays(bool, 40),
    gone=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 1)), max_size=30),
    near=st.sampled_from([60.0, 150.0, 400.0]),
)
def test_people_whose_numbers_are_swapped_are_followed(
    swaps: np.ndarray, gone: list[tuple[int, int]], near: float
) -> None:
    walker = person(COCO_17, at=500, swing=25)
    walker[..., 0] += np.arange(40)[:, None] * 0.5
    onlooker = person(COCO_17, at=500 + near + 20)
    both = pair(walker, onlooker)
    for frame, who in gone:
        both[frame, who] = 0
    both[0], swaps[0] = pair(walker, onlooker)[0], False
    mixed = np.where(swaps[:, None, None, None], both[:, ::-1], both)
    np.testing.assert_array_equal(made(mixed, persons=2), made(both, persons=2))
    assert abs(made(mixed)[:, 11, 0].mean() - walker[:, 11, 0].mean()) < 6


def test_a_newcomer_in_the_place_of_who_is_missing_is_somebody_else() -> None:
    walker, onlooker = person(COCO_17, swing=30), person(COCO_17, at=1100)
    both = pair(walker, onlooker)
    both[:10, 1] = both[10:15, 0] = 0
    mixed = both.copy()
    mixed[10:] = both[10:, ::-1]
    found = made(mixed)
    np.testing.assert_array_equal(found[15:, 9, 0], walker[15:, 9, 0].astype(np.float32))
    assert np.abs(found[:, 11, 0] - walker[:, 11, 0]).max() < 1


@pytest.mark.parametrize("slot", [0, 1])
def test_who_moves_is_taken(slot: int) -> None:
    people = [person(COCO_17, swing=30), person(COCO_17, at=800)]
    found = made(pair(*people[:: 1 - 2 * slot]))
    np.testing.assert_array_equal(found[:, 9, 0], people[0][:, 9, 0].astype(np.float32))


def test_who_is_hardly_seen_is_not_taken_however_much_it_moves() -> None:
    ghost = person(COCO_17, at=900, swing=200)
    ghost[15:] = 0
    found = made(pair(person(COCO_17, swing=5), ghost))
    assert abs(found[:, 11, 0].mean() - 500) < 20


def test_two_people_in_one_skeleton() -> None:
    walker, onlooker = person(COCO_17, swing=30), person(COCO_17, at=800)
    found = made(pair(onlooker, walker), persons=2)
    np.testing.assert_array_equal(found[:, :17, 0], walker[..., 0].astype(np.float32))
    np.testing.assert_array_equal(found[:, 17:, 0], onlooker[..., 0].astype(np.float32))


@pytest.mark.parametrize("layout", [COCO_17, OPENPOSE_18], ids=str)
def test_a_second_person_who_is_missing_is_at_the_root_of_the_first(layout: SkeletonLayout) -> None:
    count = len(layout.joints)
    for poses in (pair(person(layout, swing=9)), person(layout, swing=9)[:, None]):
        found = made(poses, layout, persons=2)
        root = np.repeat(found[:, layout.root, None], count, axis=1)
        np.testing.assert_array_equal(found[:, count:], root)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["0", "1", "person1", "person2", "x"]), inner, max_size=3)
    ),
    max_leaves=20,
)
bodies = st.lists(st.floats(-2e5, 2e5) | st.integers(), min_size=50, max_size=52)
frames = st.dictionaries(st.sampled_from(["person1", "person2"]), bodies | values)


@given(st.dictionaries(st.text(max_size=4), frames, max_size=4) | values)
def test_any_json_is_a_skeleton_or_a_reason(content: object) -> None:
    try:
        poses = read_coco(json.dumps(content).encode())
    except ValueError:
        return
    found = skeleton(poses, COCO_17, 2)
    assert found is None or np.isfinite(found).all()


@given(st.data())
def test_damaged_files_are_a_skeleton_or_a_reason(data: st.DataObject) -> None:
    for whole, read, layout in (
        (JSON[:4000] + JSON[-1200:], read_coco, COCO_17),
        (JSON, read_coco, COCO_17),
        (as_npy(person(OPENPOSE_18, 3)), read_openpose, OPENPOSE_18),
    ):
        bad = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(bad) - 1))
            bad[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
        try:
            found = skeleton(read(bytes(bad)), layout, 2)
        except ValueError:
            continue
        assert found is None or np.isfinite(found).all()


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_array_or_a_reason(data: bytes, magic: bool) -> None:
    for read in (read_coco, read_openpose):
        try:
            read(b"\x93NUMPY\x01\x00" * magic + data)
        except ValueError:
            continue
