import io
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from pskd.data.archive import Limits, open_archive
from pskd.errors import DataError

FILES = {"top.txt": b"one", "deep/er/two.bin": bytes(range(256)), "deep/three": b""}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def unpacked(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture(params=[zipped, unpacked])
def archive_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path / "archive", FILES)
    return made


def test_names_and_contents(archive_path: Path) -> None:
    with open_archive(archive_path) as archive:
        assert archive.names == tuple(sorted(FILES))
        assert {n: archive.read(n, at_most=1000) for n in archive.names} == FILES


def test_a_file_over_the_limit_is_refused(archive_path: Path) -> None:
    with open_archive(archive_path) as archive:
        assert len(archive.read("deep/er/two.bin", at_most=256)) == 256
        with pytest.raises(DataError, match=r"archive/deep/er/two.bin: larger than the 255 bytes"):
            archive.read("deep/er/two.bin", at_most=255)


def test_too_many_or_too_large_in_all(archive_path: Path) -> None:
    open_archive(archive_path, Limits(members=3, total=259)).close()
    with pytest.raises(DataError, match="more than 2 files"):
        open_archive(archive_path, Limits(members=2))
    with pytest.raises(DataError, match="more than 258 bytes"):
        open_archive(archive_path, Limits(total=258))


def test_digest_of_a_folder_sees_contents_and_names(tmp_path: Path) -> None:
    digests = set()
    for i, files in enumerate(
        [FILES, FILES | {"top.txt": b"onE"}, {"top2.txt": b"one"}, {"top.txt": b"one"}]
    ):
        folder = unpacked(tmp_path / str(i), files)
        digests.add(open_archive(folder).digest())
    assert len(digests) == 4
    assert open_archive(unpacked(tmp_path / "again", FILES)).digest() in digests


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", r"..\evil", r"\evil", r"C:evil"]
)
def test_names_that_point_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "x.zip", {"good": b"1", name: b"2"})
    with pytest.raises(DataError, match="points outside the archive"):
        open_archive(path)


def test_a_zero_byte_in_a_name_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"good#evil": b"1"})
    path.write_bytes(path.read_bytes().replace(b"good#evil", b"good\0evil"))
    with pytest.raises(DataError, match="points outside the archive"):
        open_archive(path)


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a symbolic link"):
        open_archive(tmp_path / "x.zip")


def test_a_symbolic_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "folder", FILES)
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="symbolic link"):
        open_archive(folder)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"secret": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # flag in the central directory
    path.write_bytes(data)
    with pytest.raises(DataError, match="'secret' is encrypted"):
        open_archive(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1", "b": b"2"})
    data = path.read_bytes()
    path.write_bytes(
        data[: data.index(b"PK\x01\x02")] + data[data.index(b"PK\x01\x02") :].replace(b"b", b"a")
    )
    with pytest.raises(DataError, match="'a' is there twice"):
        open_archive(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_cannot_be_bounded_is_refused(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1" * 1000}, method)
    with pytest.raises(DataError, match=f"compressed by method {method}"):
        open_archive(path)


def test_an_absurd_expansion_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"bomb": bytes(20 << 20)})
    with pytest.raises(DataError, match="claim to unpack to 20971520"):
        open_archive(path)
    open_archive(zipped(tmp_path / "small.zip", {"zeros": bytes(1 << 20)})).close()


def test_a_bomb_that_lies_about_its_size_costs_no_memory(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"bomb": bytes(50 << 20)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 50 << 20), struct.pack("<I", 1000)))
    with open_archive(path) as archive:
        tracemalloc.start()
        with pytest.raises(DataError):
            archive.read("bomb", at_most=4000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 << 20


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    for data in (b"", b"hello", zipped(tmp_path / "whole.zip", FILES).read_bytes()[:-40]):
        path.write_bytes(data)
        with pytest.raises(DataError, match="Download it again"):
            open_archive(path)
    with pytest.raises(DataError, match="cannot be read"):
        open_archive(tmp_path / "missing.zip")


def test_a_damaged_member_is_refused_by_name_and_the_others_are_read(tmp_path: Path) -> None:
    files = {"bad": b"BAD" * 50, "good": b"GOOD" * 50}
    path = zipped(tmp_path / "x.zip", files, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"BADBAD", b"BADBAT", 1))
    with open_archive(path) as archive:
        assert archive.read("good", at_most=1000) == files["good"]
        with pytest.raises(DataError, match=r"x.zip/bad: cannot be read .*CRC"):
            archive.read("bad", at_most=1000)


def test_any_damage_to_a_zip_is_a_data_error_or_harmless(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/b", b"payload" * 20)
    whole, path = buffer.getvalue(), tmp_path / "x.zip"
    for position in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            torn = bytearray(whole)
            torn[position] ^= flip
            path.write_bytes(torn)
            try:
                with open_archive(path) as archive:
                    for name in archive.names:
                        assert archive.read(name, at_most=1000) == b"payload" * 20
            except DataError:
                pass


def test_nothing_is_written_to_disk(archive_path: Path) -> None:
    before = sorted(archive_path.parent.rglob("*"))
    with open_archive(archive_path) as archive:
        archive.digest()
        [archive.read(name, 1000) for name in archive.names]
    assert sorted(archive_path.parent.rglob("*")) == before
