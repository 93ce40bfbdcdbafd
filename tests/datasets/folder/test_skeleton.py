"""Skeleton files that cannot be what they say."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pskd.data.skeleton import SkeletonLayout
from pskd.datasets.folder.skeleton import read_skeleton
from pskd.errors import DataError, PskdError

LAYOUT = SkeletonLayout("own", ("hips", "neck"), (0, 0), (1, 0))
HEADER = "hips_x,hips_y,hips_z,neck_x,neck_y,neck_z"
ROW = "0,1,0,0,1.5,0\n"


def npy(header: str | bytes, numbers: bytes, version: bytes = b"\1\0") -> bytes:
    """A file whose header says anything."""
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version[:1] == b"\1" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + numbers


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def honest(shape: tuple[int, ...], descr: str = "<f4") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n"


class Harm:
    """Would show itself if it were unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no npy file"),
        (b"\x93NUMPY", "is no npy file"),
        (saved(np.array([Harm()] * 12).reshape(2, 2, 3), allow_pickle=True), "holds object"),
        (saved(np.zeros((2, 2, 3), np.int32)), "holds int32 of shape"),
        (saved(np.zeros((2, 2, 3), complex)), "holds complex128"),
        (saved(np.zeros((2, 3, 3))), r"holds float64 of shape \(2, 3, 3\), not .*\(frames, 2, 3\)"),
        (saved(np.zeros((1, 2, 3))), "two frames or more"),
        (saved(np.zeros((2, 2))), "holds float64"),
        (saved(np.zeros((2, 2, 3)))[:-1], "holds 95 bytes of numbers where its header says 96"),
        (saved(np.zeros((2, 2, 3))) + b"\0", "holds 97 bytes"),
        (npy(honest((10**15, 2, 3)), b""), "holds 0 bytes of numbers where its header says 24000"),
        (npy(honest((-2, 2, 3)), bytes(48)), "two frames or more"),
        (npy(honest((2, 2, 3), "<f4, <f4"), bytes(96)), "is no npy file|holds"),
        (npy("{" * 900, b""), "is no npy file"),
        (npy("(" * 60000, b"", b"\2\0"), "is no npy file"),
        (npy("__import__('os').system('x')", b""), "is no npy file"),
        (npy(honest((2, 2, 3)), bytes(48), b"\7\0"), "is no npy file"),
        (saved(np.full((2, 2, 3), 1e300)), "holds infinite numbers"),
        (saved(np.full((2, 2, 3), -np.inf, np.float16)), "holds infinite numbers"),
    ],
)
def test_npy_files_are_judged_by_their_header(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_skeleton(data, "skeleton/a.npy", LAYOUT, None)
    assert "skeleton/a.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hips_x,hips_y\n", "no column 'hips_z' in the header 'hips_x,hips_y'"),
        (f"{HEADER},neck_z\n{ROW}", "several columns 'neck_z'"),
        (f"{HEADER}\n{ROW}", "has 1 samples"),
        (f"{HEADER}\n{ROW}0,1,0,0,high,0\n", "line 3: could not convert string to float: 'high'"),
        (f"{HEADER}\n{ROW}0,1,0,0,inf,0\n", "line 3: a value is not a finite number"),
        (f"{HEADER}\n{ROW}0,1\n", "line 3: line has 2 cells, the header has 6"),
        (f"t,{HEADER}\n1,{ROW}1,{ROW}", "line 3: time stamp is not later"),
        (f"t,{HEADER}\n1,{ROW}nan,{ROW}", "line 3: a value is not a finite number"),
        (f"t,{HEADER}\n1,{ROW}1000,{ROW}", "has 0.001 frames a second.*t_ms"),
        (f"t,{HEADER}\n0,{ROW}1e-300,{ROW}", "frames a second"),
        ("a" * 70_000, "line 1: line is longer than 65536 characters"),
        (",".join(map(str, range(1_000_000))), "line is longer than"),
        ("\0\n\0\n", "no column 'hips_x'"),
        (b"\xff\xfe" * 10, "is not a text file"),
        ("", "is empty"),
    ],
)
def test_csv_files(text: str | bytes, message: str) -> None:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(DataError, match=message):
        read_skeleton(data, "skeleton/a.csv", LAYOUT, None)


def test_bvh_files() -> None:
    with pytest.raises(DataError, match=r"a\.bvh: cannot be read as BVH"):
        read_skeleton(b"HIERARCHY", "a.bvh", LAYOUT, None)
    text = (
        b"HIERARCHY ROOT hips { OFFSET 0 0 0 CHANNELS 1 Xposition End Site { OFFSET 0 1 0 } }"
        b" MOTION Frames: 2 Frame Time: 0.1\n0\n1\n"
    )
    with pytest.raises(DataError, match=r"has no joint 'neck'\. Known: hips, hips_end"):
        read_skeleton(text, "a.bvh", LAYOUT, None)
    end = SkeletonLayout("own", ("hips", "hips_end"), (0, 0), (1, 0))
    file = read_skeleton(text, "a.bvh", end, rate=99)
    assert file.rate == pytest.approx(10)
    np.testing.assert_allclose(file.joints[1], [[1, 0, 0], [1, 1, 0]])
    with pytest.raises(DataError, match="three coordinates, not two"):
        read_skeleton(text, "a.bvh", SkeletonLayout("o", ("hips",), (0,), (0, 0), 1, 2), None)


def test_empty_cells_and_nan_are_unseen() -> None:
    data = f"{HEADER}\n,1,0,0,1.5,0\nnan,1,0,0,1.5,NaN\n{ROW}".encode()
    joints = read_skeleton(data, "a.csv", LAYOUT, 30).joints
    assert np.isnan(joints).sum() == 3


GOOD = saved(np.ones((3, 2, 3), np.float32))


@given(
    st.one_of(
        st.binary(max_size=150),
        st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=20)).map(
            lambda x: GOOD[: x[0]] + x[1] + GOOD[x[0] + len(x[1]) :]
        ),
        st.text(max_size=120).map(lambda x: npy(x.encode("utf-8", "replace"), bytes(72))),
    )
)
def test_whatever_an_npy_file_holds(data: bytes) -> None:
    with suppress(PskdError):
        file = read_skeleton(data, "a.npy", LAYOUT, None)
        assert file.joints.shape[1:] == (2, 3) and file.joints.dtype == np.float32


@given(
    st.lists(st.lists(st.sampled_from(["0", "1e9", "", "nan", "-1", "x", '"']), max_size=8)),
    st.sampled_from([HEADER, f"t,{HEADER}", "t_ms," + HEADER, "t"]),
    st.binary(max_size=50),
)
def test_whatever_a_csv_file_holds(rows: list[list[str]], header: str, noise: bytes) -> None:
    text = "\n".join([header, *map(",".join, rows)]).encode()
    for data in (text, text + noise, noise):
        with suppress(PskdError):
            file = read_skeleton(data, "a.csv", LAYOUT, None)
            assert len(file.joints) >= 2 and not np.isinf(file.joints).any()
