from __future__ import annotations

import hashlib
import io
import random
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from pskd.datasets import catalogue
from pskd.datasets import fetch as fetch_module
from pskd.datasets.download import Patience
from pskd.datasets.fetch import FetchReport, fetch
from pskd.errors import DataError, UsageError

QUICK = Patience(seconds=3.0, attempts=3, pause=0.01)
NAME = "Inertial.zip"


def packed(seed: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Inertial/readme.txt", random.Random(seed).randbytes(100_000))
    return buffer.getvalue()


RIGHT, OTHER = packed(1), packed(2)
HALF = len(RIGHT) // 2


class Server:
    """A server on 127.0.0.1 whose answers a test writes, one after the other, the last for good."""

    def __init__(self) -> None:
        self.answers: list[Callable[[Reply], None]] = []
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.closing = threading.Event()
        outer = self

        class Handler(Reply):
            server_side = outer

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, reply: Reply) -> None:
        self.ranges.append(reply.headers["Range"])
        self.paths.append(reply.path)
        self.answers[min(len(self.paths), len(self.answers)) - 1](reply)

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


class Reply(BaseHTTPRequestHandler):
    server_side: Server

    def do_GET(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
            self.server_side.answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")
        assert asked
        return int(asked[1])


def whole(reply: Reply) -> None:
    """All of the file, whatever was asked for."""
    reply.send(200, RIGHT, Content_Length=str(len(RIGHT)))


def rest(reply: Reply) -> None:
    """What was asked for."""
    if reply.start == 0:
        return whole(reply)
    span = f"bytes {reply.start}-{len(RIGHT) - 1}/{len(RIGHT)}"
    body = RIGHT[reply.start :]
    reply.send(206, body, Content_Length=str(len(body)), Content_Range=span)
    return None


def cut(reply: Reply) -> None:
    """The length of all, half of it, and good-bye."""
    reply.send(200, RIGHT[:HALF], Content_Length=str(len(RIGHT)))


def stall(reply: Reply) -> None:
    """Half, and then nothing."""
    cut(reply)
    reply.wfile.flush()
    reply.server_side.closing.wait(5)


def status(code: int) -> Callable[[Reply], None]:
    return lambda reply: reply.send(code, Content_Length="0")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("PSKD_MIRROR", raising=False)
    made = Server()
    yield made
    made.close()


def get(
    server: Server, root: Path, *answers: Callable[[Reply], None], **more: object
) -> FetchReport:
    server.answers = list(answers)
    arguments = {"files": [NAME], "mirror": server.url, "patience": QUICK} | more
    return fetch("utd_mhad", root, **arguments)  # type: ignore[arg-type]


def target(root: Path) -> Path:
    return root / "utd-mhad" / NAME


def part(root: Path) -> Path:
    return root / "utd-mhad" / ".partial" / f"{NAME}.part"


def test_a_file_comes_whole_after_its_licence_was_told(server: Server, tmp_path: Path) -> None:
    told: list[str] = []
    seen: list[tuple[str, int, int | None]] = []

    def announce(entry: catalogue.DatasetInfo) -> None:
        assert not server.paths
        told.extend([entry.licence, entry.citation])

    report = get(
        server, tmp_path, whole, announce=announce, progress=lambda *step: seen.append(step)
    )
    assert all(told) and len(told) == 2
    assert report.fetched == (NAME,) and report.there == ()
    assert report.folder == tmp_path / "utd-mhad"
    assert server.paths == ["/utd-mhad/Inertial.zip"]
    assert target(tmp_path).read_bytes() == RIGHT
    assert sorted(p.name for p in report.folder.iterdir()) == [".lock", NAME]
    assert {(name, total) for name, _, total in seen} == {(NAME, len(RIGHT))}
    counts = [count for _, count, _ in seen]
    assert counts == sorted(set(counts)) and counts[-1] == len(RIGHT)


def test_what_is_there_and_right_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, whole)
    report = get(server, tmp_path, whole)
    assert report.there == (NAME,) and report.fetched == ()
    assert len(server.paths) == 1


def test_what_is_there_and_wrong_stays_until_the_right_one_has_come(
    server: Server, tmp_path: Path
) -> None:
    target(tmp_path).parent.mkdir()
    target(tmp_path).write_text("<!DOCTYPE html><title>Moved</title>")
    with pytest.raises(DataError, match="404"):
        get(server, tmp_path, status(404))
    assert target(tmp_path).read_text().startswith("<!DOCTYPE")
    get(server, tmp_path, whole)
    assert target(tmp_path).read_bytes() == RIGHT


@pytest.mark.parametrize("first", [cut, stall])
@pytest.mark.parametrize("then", [rest, whole])
def test_it_goes_on_after_a_cut_or_a_stall(
    server: Server, tmp_path: Path, first: Callable[[Reply], None], then: Callable[[Reply], None]
) -> None:
    get(server, tmp_path, first, then)
    assert target(tmp_path).read_bytes() == RIGHT
    assert server.ranges[0] is None
    kept = re.fullmatch(r"bytes=(\d+)-", str(server.ranges[1]))
    assert kept and HALF - (16 << 10) < int(kept[1]) <= HALF
    assert len(server.paths) == 2


@pytest.mark.parametrize("answer", [cut, stall])
def test_what_has_come_is_kept_for_another_day(
    server: Server, tmp_path: Path, answer: Callable[[Reply], None]
) -> None:
    with pytest.raises(DataError, match=r"3 attempts failed.*bytes are kept.*kehtar"):
        get(server, tmp_path, answer)
    assert len(server.paths) == 3 and not target(tmp_path).exists()
    have = part(tmp_path).stat().st_size
    assert 0 < have <= HALF
    get(server, tmp_path, rest)
    assert server.ranges[3] == f"bytes={have}-"
    assert target(tmp_path).read_bytes() == RIGHT


def test_interrupted_it_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    def interrupt(_: str, done: int, total: int | None) -> None:
        if done > HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, whole, progress=interrupt)
    assert sorted(p.name for p in part(tmp_path).parent.iterdir()) == [part(tmp_path).name]
    have = part(tmp_path).stat().st_size
    assert HALF < have < len(RIGHT)
    get(server, tmp_path, rest)
    assert server.ranges == [None, f"bytes={have}-"]
    assert target(tmp_path).read_bytes() == RIGHT


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    said: list[str] = []

    def meanwhile(*_: object) -> None:
        if not said:
            with pytest.raises(DataError, match="another process is fetching") as refused:
                get(server, tmp_path, whole)
            said.append(str(refused.value))

    get(server, tmp_path, whole, progress=meanwhile)
    assert str(target(tmp_path).parent) in said[0] and len(server.paths) == 1
    assert target(tmp_path).read_bytes() == RIGHT


def test_stopped_just_before_the_end_nothing_more_is_downloaded(
    server: Server, tmp_path: Path
) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(RIGHT)
    get(server, tmp_path, lambda r: r.send(416, Content_Range=f"bytes */{len(RIGHT)}"))
    assert target(tmp_path).read_bytes() == RIGHT and len(server.paths) == 1


def test_as_many_bytes_of_something_else_are_dropped(server: Server, tmp_path: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(bytes(len(RIGHT)))
    get(server, tmp_path, lambda r: r.send(416, Content_Range=f"bytes */{len(RIGHT)}"), whole)
    assert target(tmp_path).read_bytes() == RIGHT and server.ranges[1] is None


@pytest.mark.parametrize("code", [206, 416])
def test_a_part_that_the_server_does_not_go_on_from_is_dropped(
    server: Server, tmp_path: Path, code: int
) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(RIGHT + b"and more")
    get(server, tmp_path, lambda r: r.send(code, b"", Content_Range="bytes 7-9/10"), rest)
    assert server.ranges[1] is None
    assert target(tmp_path).read_bytes() == RIGHT


@pytest.mark.parametrize(
    "sha256", [None, hashlib.sha256(RIGHT).hexdigest()], ids=["unknown", "known"]
)
def test_a_part_of_another_file_is_found_out_and_dropped(
    server: Server, tmp_path: Path, sha256: str | None
) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(OTHER[:HALF])
    with known(sha256):
        get(server, tmp_path, rest)
    assert server.ranges == [f"bytes={HALF}-", None]
    assert target(tmp_path).read_bytes() == RIGHT


class known:
    """Let the catalogue know a sha256, or another size, of Inertial.zip."""

    def __init__(self, sha256: str | None = None, at_most: int = 1 << 20) -> None:
        entry = catalogue.info("utd_mhad")
        files = tuple(replace(f, sha256=sha256, at_most=at_most) for f in entry.files)
        self.entry = replace(entry, files=files)

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(fetch_module, "info", lambda _: self.entry)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def test_another_file_never_gets_the_name(server: Server, tmp_path: Path) -> None:
    with known(hashlib.sha256(RIGHT).hexdigest()), pytest.raises(DataError, match="SHA256 hash"):
        get(server, tmp_path, lambda r: r.send(200, OTHER))
    assert len(server.paths) == 1
    assert not list(tmp_path.rglob("*.zip*"))


def test_a_web_page_in_place_of_the_file_is_recognised(server: Server, tmp_path: Path) -> None:
    page = b"\n<!doctype HTML><html><title>We have moved</title></html>"
    with pytest.raises(DataError, match=r"Inertial\.zip: it is a web page.*kehtar"):
        get(server, tmp_path, lambda r: r.send(200, page, Content_Type="text/html"))
    assert not list(tmp_path.rglob("*.zip*"))


def test_a_damaged_archive_is_found_out(server: Server, tmp_path: Path) -> None:
    flipped = bytearray(RIGHT)
    flipped[HALF] ^= 1
    with pytest.raises(DataError, match=r"gives another file than Inertial\.zip.*CRC"):
        get(server, tmp_path, lambda r: r.send(200, bytes(flipped)))
    assert not list(tmp_path.rglob("*.zip*"))


def test_a_refusal_is_not_repeated(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the server answered 404 Not Found.*in a browser"):
        get(server, tmp_path, status(404))
    assert len(server.paths) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path, code: int) -> None:
    get(server, tmp_path, status(code), status(code), whole)
    assert target(tmp_path).read_bytes() == RIGHT
    assert len(server.paths) == 3


def test_redirects_lead_to_http_only(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.zip"
    secret.write_bytes(RIGHT)

    def to(place: str) -> Callable[[Reply], None]:
        return lambda r: r.send(302, Location=place, Content_Length="0")

    for place in (secret.as_uri(), "ftp://127.0.0.1/file.zip"):
        with pytest.raises(DataError, match="no file can be reached"):
            get(server, tmp_path / "root", to(place))
    assert not target(tmp_path / "root").exists()
    server.paths.clear()
    get(server, tmp_path / "root", to("/elsewhere"), whole)
    assert server.paths[1] == "/elsewhere"
    assert target(tmp_path / "root").read_bytes() == RIGHT


def test_a_length_that_is_too_large_is_found_out(server: Server, tmp_path: Path) -> None:
    length = str(len(RIGHT) + 1)

    def lie(reply: Reply) -> None:
        if reply.start:  # and there is no more
            reply.send(416, Content_Range=f"bytes */{length}")
        else:
            reply.send(200, RIGHT, Content_Length=length)

    with pytest.raises(DataError, match="3 attempts failed"):
        get(server, tmp_path, lie)
    assert not target(tmp_path).exists()


def test_a_length_that_is_no_number_counts_for_nothing(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path, lambda r: r.send(200, RIGHT, Content_Length="9" * 5000))
    assert target(tmp_path).read_bytes() == RIGHT


def test_a_length_that_is_too_small_is_found_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gives another file than Inertial\.zip"):
        get(server, tmp_path, lambda r: r.send(200, RIGHT, Content_Length=str(len(RIGHT) - 100)))
    assert not target(tmp_path).exists()


@pytest.mark.parametrize("length", [None, str(10**12)])
def test_a_body_without_end_is_left(server: Server, tmp_path: Path, length: str | None) -> None:
    def endless(reply: Reply) -> None:
        reply.send(200, **({"Content_Length": length} if length else {}))
        while not reply.server_side.closing.is_set():
            reply.wfile.write(bytes(1 << 16))

    with known(at_most=1 << 20), pytest.raises(DataError, match="more than 1048576 bytes"):
        get(server, tmp_path, endless)
    assert len(server.paths) == 1
    assert not list(tmp_path.rglob("*.zip*"))


def test_a_full_disk_is_said_and_nothing_gets_the_name(server: Server, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full to write to")
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"No space left on device.*Free some space"):
        get(server, tmp_path, whole)
    assert not target(tmp_path).exists()


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "utd-mhad").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        get(server, tmp_path, whole)


def test_a_server_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Server()
    gone.close()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DataError, match=r"3 attempts failed.*efused"):
        get(gone, tmp_path)


def test_a_certificate_that_cannot_be_verified_ends_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_chain(*_: object, **__: object) -> None:
        raise requests.exceptions.SSLError("unable to get local issuer certificate")

    monkeypatch.setattr(requests, "get", broken_chain)
    with pytest.raises(DataError, match=r"certificate.*local issuer.*in a browser"):
        get(server, tmp_path)


@pytest.mark.parametrize("mirror", ["nowhere", "file:///tmp"])
def test_a_mirror_is_an_http_address(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(DataError, match="no file can be reached"):
        fetch("utd_mhad", tmp_path, mirror=mirror, patience=QUICK)


def test_the_environment_names_a_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSKD_MIRROR", f"{server.url}/data/")
    get(server, tmp_path, whole, mirror=None, files=None)
    assert server.paths == ["/data/utd-mhad/Inertial.zip", "/data/utd-mhad/Skeleton.zip"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("mmact", r"Ask its authors as https://mmact19\.github\.io/2019 says.*into mmact/"),
        ("berkeley_mhad", r"tele-immersion.*in a browser.*into berkeley-mhad/"),
        ("simulated", "nothing to download"),
        ("folder", "manifest"),
    ],
)
def test_what_no_server_gives_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    monkeypatch.delenv("PSKD_MIRROR", raising=False)
    told: list[catalogue.DatasetInfo] = []
    with pytest.raises(UsageError, match=how):
        fetch(name, tmp_path, announce=told.append)
    assert [entry.name for entry in told] == [name]
    assert not list(tmp_path.iterdir())


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown dataset 'utd'"):
        fetch("utd", tmp_path)
    with pytest.raises(UsageError, match=r"no file 'inertial\.zip'.*'Inertial\.zip'"):
        fetch("utd_mhad", tmp_path, files=["inertial.zip"])
