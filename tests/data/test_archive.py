import gzip
import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pskd.data.archive import Archive, Limits, digests_remembered, open_archive, unpacked_into
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


def tarred(path: Path, files: dict[str, bytes], mode: str = "w", **options: int) -> Path:
    """A tar of files and of the folders that they lie in, as tar makes it."""
    folders = {str(p) for name in files for p in Path(name).parents} - {"."}
    with tarfile.open(path, mode, **options) as archive:  # type: ignore[call-overload]
        for name in sorted(folders):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def gzipped(path: Path, files: dict[str, bytes]) -> Path:
    return tarred(path, files, "w:gz")


def judged(path: Path, limits: Limits | None = None) -> Archive:
    archive = open_archive(path, limits)
    _ = archive.names
    return archive


@pytest.fixture(params=[zipped, unpacked, tarred, gzipped])
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
    judged(archive_path, Limits(members=3, total=259)).close()
    with pytest.raises(DataError, match="more than 2 files"):
        judged(archive_path, Limits(members=2))
    with pytest.raises(DataError, match="more than 258 bytes"):
        judged(archive_path, Limits(total=258))


def test_digest_of_a_folder_sees_contents_and_names(tmp_path: Path) -> None:
    digests = set()
    for i, files in enumerate(
        [FILES, FILES | {"top.txt": b"onE"}, {"top2.txt": b"one"}, {"top.txt": b"one"}]
    ):
        folder = unpacked(tmp_path / str(i), files)
        digests.add(open_archive(folder).digest())
    assert len(digests) == 4
    assert open_archive(unpacked(tmp_path / "again", FILES)).digest() in digests


def test_digest_of_an_archive_is_that_of_its_file_and_needs_no_judgement(tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "a", FILES), gzipped(tmp_path / "b", FILES)):
        torn = path.read_bytes()[:-9]
        path.write_bytes(torn)
        assert open_archive(path).digest() == hashlib.sha256(torn).hexdigest()


def aged(path: Path, age_ns: int = 10**10) -> None:
    """Set back the time of the last change of a file, or of the files of a folder."""
    for file in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        changed = file.stat().st_mtime_ns - age_ns
        os.utime(file, ns=(changed, changed))


def test_a_remembered_digest_is_that_of_the_contents_until_they_change(
    archive_path: Path, tmp_path: Path
) -> None:
    plain, notes = open_archive(archive_path).digest(), tmp_path / "notes"
    with digests_remembered(notes):
        assert open_archive(archive_path).digest() == plain
        assert not notes.exists(), "too fresh: another change might leave the same time stamp"
        aged(archive_path)
        assert [open_archive(archive_path).digest() for _ in range(2)] == [plain] * 2
        (note,) = notes.iterdir()
        note.write_text("0" * 64)
        assert open_archive(archive_path).digest() == "0" * 64  # it is what is believed
        note.write_text("torn")
        assert open_archive(archive_path).digest() == plain
        aged(archive_path, 5)
        note.write_text("0" * 64)
        assert open_archive(archive_path).digest() == plain  # other time stamps, another note
    note.write_text("0" * 64)
    assert open_archive(archive_path).digest() == plain


def test_a_file_more_or_a_byte_more_is_another_digest(tmp_path: Path) -> None:
    folder, digests = unpacked(tmp_path / "folder", FILES), set()
    with digests_remembered(tmp_path / "notes"):
        for change in ({}, {"more": b""}, {"top.txt": b"longer"}):
            unpacked(folder, change)
            aged(folder)
            digests |= {open_archive(folder).digest(), open_archive(folder).digest()}
    assert len(digests) == 3


def test_notes_that_cannot_be_kept_are_no_hindrance(tmp_path: Path) -> None:
    path = gzipped(tmp_path / "x.tgz", FILES)
    aged(path)
    (tmp_path / "file").write_text("")
    with digests_remembered(tmp_path / "file" / "notes"):
        assert open_archive(path).digest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", r"..\evil", r"\evil", r"C:evil"]
)
@pytest.mark.parametrize("make", [zipped, tarred, gzipped])
def test_names_that_point_outside_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    path = make(tmp_path / "x.zip", {"good": b"1", name: b"2"})
    with pytest.raises(DataError, match="points outside the archive"):
        judged(path)


def test_a_zero_byte_in_a_name_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"good#evil": b"1"})
    path.write_bytes(path.read_bytes().replace(b"good#evil", b"good\0evil"))
    with pytest.raises(DataError, match="points outside the archive"):
        judged(path)


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a symbolic link"):
        judged(tmp_path / "x.zip")


def test_what_is_neither_file_nor_folder_is_left_out_of_a_folder(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "folder", FILES)
    os.mkfifo(folder / "pipe")  # reading it would hang
    assert judged(folder).names == tuple(sorted(FILES))


def test_a_symbolic_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "folder", FILES)
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="symbolic link"):
        judged(folder)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"secret": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # flag in the central directory
    path.write_bytes(data)
    with pytest.raises(DataError, match="'secret' is encrypted"):
        judged(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1", "b": b"2"})
    data = path.read_bytes()
    path.write_bytes(
        data[: data.index(b"PK\x01\x02")] + data[data.index(b"PK\x01\x02") :].replace(b"b", b"a")
    )
    with pytest.raises(DataError, match="'a' is there twice"):
        judged(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_cannot_be_bounded_is_refused(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1" * 1000}, method)
    with pytest.raises(DataError, match=f"compressed by method {method}"):
        judged(path)


def test_an_absurd_expansion_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"bomb": bytes(20 << 20)})
    with pytest.raises(DataError, match="claim to unpack to 20971520"):
        judged(path)
    judged(zipped(tmp_path / "small.zip", {"zeros": bytes(1 << 20)})).close()


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
            judged(path)
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


# --- tar ----------------------------------------------------------------------------------------


def raw_member(name: str, data: bytes = b"", kind: bytes = b"0", size: int | None = None) -> bytes:
    """One member, made by hand."""
    header = bytearray(512)
    header[: len(name)] = name.encode()
    header[124:136] = b"%011o\0" % (len(data) if size is None else size)
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % (sum(header) + 8 * 32)
    return bytes(header) + data + bytes(-len(data) % 512)


def pax(records: dict[str, str], kind: bytes = b"x") -> bytes:
    lines = b""
    for key, value in records.items():
        text = f" {key}={value}\n".encode()
        length = next(n for n in range(999) if n == len(text) + len(str(n)))
        lines += str(length).encode() + text
    return raw_member("././@PaxHeader", lines, kind)


END = bytes(1024)


def written(tmp_path: Path, *parts: bytes) -> Path:
    path = tmp_path / "x.tar"
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_in_every_form_of_tar(tmp_path: Path, form: int) -> None:
    files = {"a" * 90 + "/" + "b" * 90: b"1", "c/" * 40 + "d" * 99: b"22", "._mac": b""}
    if form != tarfile.USTAR_FORMAT:
        files |= {"e" * 300: b"333", "f/schön.csv": b"4444"}
    path = tarred(tmp_path / "x.tar", files, "w", format=form)
    archive = judged(path)
    assert {n: archive.read(n, 10) for n in archive.names} == files


def test_names_from_the_folder_itself_are_plain(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar", {"./a/b": b"1", "./c": b"2"})
    assert judged(path).names == ("a/b", "c")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"1", "'x' is a hard link"),
        (b"2", "'x' is a symbolic link"),
        (b"S", "'x' is a sparse file"),
        *((kind, "'x' is neither file nor folder") for kind in (b"3", b"4", b"6", b"7", b"V")),
    ],
)
def test_members_that_are_no_files_are_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what):
        judged(written(tmp_path, raw_member("good"), raw_member("x", kind=kind), END))


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ([pax({"size": "1"}), raw_member("x", b"123")], "'x' has two sizes"),
        ([pax({"size": "512"}), raw_member("x")], "'x' has two sizes"),
        ([pax({"GNU.sparse.major": "1"}), raw_member("x", b"1")], "sparse"),
        ([pax({"path": "../x"}), raw_member("x")], "points outside"),
        ([pax({"path": "x\0y"}), raw_member("x")], "points outside"),
        ([pax({"path": "a"}, b"g"), raw_member("x")], "one name or size for all"),
        ([raw_member("h", b"99 path=x\n", b"x"), raw_member("x")], "damaged pax header"),
        ([raw_member("h", b"0 path=x\n", b"x"), raw_member("x")], "damaged pax header"),
        ([raw_member("h", bytes(70_000), b"x"), raw_member("x")], "extended header of 70000"),
        ([raw_member("h", bytes(70_000), b"L"), raw_member("x")], "extended header of 70000"),
        ([raw_member("x", size=1 << 32), raw_member("y")], "its last member is not whole"),
        ([raw_member("x", b"1", b"5")], "'x' is a folder with contents"),
        ([raw_member("x/", b"1")], "'x/' is a folder with contents"),
        ([raw_member("x"), raw_member("./x")], "'x' is there twice"),
        ([raw_member("x"), b"junk" * 128], "damaged header"),
        ([raw_member("x").replace(b"00000000000", b"-0000000010")], "damaged header"),
    ],
)
def test_a_tar_with_tricks_is_refused(tmp_path: Path, parts: list[bytes], what: str) -> None:
    with pytest.raises(DataError, match=what):
        judged(written(tmp_path, *parts, END))


def test_harmless_extended_headers_are_passed_over(tmp_path: Path) -> None:
    extras = {"mtime": "1.5", "LIBARCHIVE.xattr.com.apple": "x\ny", "size": "3"}
    parts = [pax({"comment": "of git"}, b"g"), pax(extras), raw_member("x", b"123")]
    archive = judged(written(tmp_path, *parts, END))
    assert archive.names == ("x",) and archive.read("x", 3) == b"123"


def test_a_torn_tar_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "whole", {"a": b"x" * 700, "b": b"y"}).read_bytes()
    needed = (2 + 3 + 1) * 512  # headers, contents, one block of zeros
    for length in range(263, needed + 1024, 61):
        path = written(tmp_path, whole[:length])
        if length < needed:
            with pytest.raises(DataError, match=r"torn|not whole"):
                judged(path)
        else:
            judged(path)


def test_a_torn_or_damaged_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzipped(tmp_path / "whole", {"a": os.urandom(5000)}).read_bytes()
    for torn in (whole[:-1], whole[:-8], whole[:2000], whole[:3], whole[:-6] + b"abcdef"):
        with pytest.raises(DataError, match="cannot be unpacked"):
            judged(written(tmp_path, torn))
    with pytest.raises(DataError, match="torn"):
        judged(written(tmp_path, gzip.compress(b"no tar")))


def test_any_damage_to_a_tar_is_a_data_error_or_harmless(tmp_path: Path) -> None:
    content = b"payload" * 20
    for make in (tarred, gzipped):
        whole, path = make(tmp_path / "whole", {"a/b": content}).read_bytes(), tmp_path / "x"
        for position in range(0, min(len(whole), 2560), 1 if make is gzipped else 3):
            for flip in (0x01, 0x80):
                damaged = bytearray(whole)
                damaged[position] ^= flip
                path.write_bytes(damaged)
                try:
                    with open_archive(path) as archive:
                        for name in archive.names:
                            read = archive.read(name, at_most=1000)
                            if make is gzipped:  # a plain tar has no checksum of its contents
                                assert (name, read) == ("a/b", content)
                except DataError:
                    pass


def test_a_gzip_bomb_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.tgz"
    with gzip.open(path, "wb") as stream:
        for _ in range(400):
            stream.write(bytes(1 << 20))
    taken = 0

    def counted(stream: gzip.GzipFile, size: int) -> bytes:
        nonlocal taken
        taken += size
        return read(stream, size)

    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(DataError, match="bytes unpack to more than"):
        judged(path)
    assert taken < 100 * path.stat().st_size + (2 << 20) < 50 << 20
    with pytest.raises(DataError, match="more than 1000 bytes"):
        judged(path, Limits(total=1000, members=10, ratio=10**6))
    with unpacked_into(tmp_path / "shared"), pytest.raises(DataError):
        judged(path)
    assert [p.suffix for p in (tmp_path / "shared").iterdir()] == [".lock"]


def test_a_shared_folder_is_unpacked_into_once_by_all_processes(tmp_path: Path) -> None:
    path, shared = gzipped(tmp_path / "x.tgz", FILES), tmp_path / "shared"
    code = """
import gzip, sys, time
from pathlib import Path
from pskd.data.archive import open_archive, unpacked_into

read = gzip.GzipFile.read
def slow(stream, size):
    time.sleep(0.3)
    print("unpacking", flush=True)
    return read(stream, size)
gzip.GzipFile.read = slow

with unpacked_into(Path(sys.argv[2])):
    archive = open_archive(Path(sys.argv[1]))
    print(len(archive.read("deep/er/two.bin", 256)), end="")
"""
    command = [sys.executable, "-c", code, str(path), str(shared)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted((child.communicate(timeout=60)[0] for child in both), key=len)
    # Two reads: the contents, and the end.
    assert outputs == ["256", "unpacking\nunpacking\n256"]
    assert sorted(p.suffix for p in shared.iterdir()) == [".lock", ".tar"]


def test_a_torn_part_that_a_killed_process_left_is_written_anew(tmp_path: Path) -> None:
    path, shared = gzipped(tmp_path / "x.tgz", FILES), tmp_path / "shared"
    with unpacked_into(shared):
        judged(path).close()
        (plain,) = shared.glob("*.tar")
        plain.rename(plain.with_suffix(".part"))
        plain.with_suffix(".part").write_bytes(b"half")
        assert judged(path).read("top.txt", 3) == b"one"


def test_real_tars_are_read_as_tarfile_reads_them(real_data: Callable[[str], Path]) -> None:
    for name in ("Accelerometer", "OpticalData_sample", "Time_stamps"):
        path = real_data(f"berkeley-mhad/{name}.tar.gz")
        with tarfile.open(path) as theirs, open_archive(path) as ours:
            members = {m.name: m for m in theirs if m.isfile()}
            assert set(ours.names) == set(members)
            for member in [members[n] for n in sorted(members)[::50]]:
                stream = theirs.extractfile(member)
                assert stream and ours.read(member.name, 8 << 20) == stream.read()


def test_nothing_is_written_to_disk(archive_path: Path) -> None:
    before = sorted(archive_path.parent.rglob("*"))
    with open_archive(archive_path) as archive:
        archive.digest()
        [archive.read(name, 1000) for name in archive.names]
    assert sorted(archive_path.parent.rglob("*")) == before
