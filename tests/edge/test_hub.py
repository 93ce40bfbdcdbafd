"""Students to and from the Hub, against a local server that speaks as much of it as is needed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
import torch
import yaml
from typer.testing import CliRunner

from pskd.cli.hub import app
from pskd.edge import hub
from pskd.edge.export import describe
from pskd.edge.material import Material
from pskd.edge.parity import Parity
from pskd.edge.settings import STREAM, StreamSettings, read_settings, write_settings
from pskd.errors import CheckpointError, DataError, PskdError, UsageError
from pskd.models.student_config import read_config
from pskd.models.student_folder import load_student, save_student

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's

REPO = "me/wrist"
TOKEN = "hf_made_up"


class Server(ThreadingHTTPServer):
    """Repositories in memory: commits of files by their paths, the newest last."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self.blobs: dict[str, bytes] = {}
        self.visibility: dict[str, str | None] = {}
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}  # that are told, where they are not those of the files

    def put(self, files: dict[str, bytes], repo: str = REPO) -> str:
        """Make a commit; its name."""
        self.repos.setdefault(repo, []).append(files)
        return sha(repo, len(self.repos[repo]) - 1)


def sha(repo: str, number: int) -> str:
    return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """The part of the Hub's API that a push and a pull use."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, content: object = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            self.create(json.loads(body), known)
        elif path == "/api/validate-yaml":
            self.validate(json.loads(body)["content"])
        elif self.command == "PUT":
            self.server.blobs[parts[1]] = body
            self.answer(200)
        elif path.endswith("/info/lfs/objects/batch"):
            self.batch(json.loads(body))
        else:
            repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
            if repo not in self.server.repos:
                self.answer(404 if known else 401, X_Error_Code="RepoNotFound")
            elif parts[0] == "api":
                self.api(repo, parts[4:], body)
            else:
                self.resolve(repo, parts[3], "/".join(parts[4:]))

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def create(self, asked: dict[str, str], known: bool) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if not known:
            return self.answer(401)
        if asked["organization"] != "me":
            return self.answer(403, X_Error_Message="You don't have the rights")
        if repo in self.server.repos:
            return self.answer(409, {"url": f"{self.server.url}/{repo}"})
        self.server.repos[repo] = []
        self.server.visibility[repo] = asked.get("visibility")
        return self.answer(200, {"url": f"{self.server.url}/{repo}"})

    def validate(self, card: str) -> None:
        found = yaml.safe_load(card.split("---\n")[1])
        good = isinstance(found["tags"], list) and found["license"] == found["license"].lower()
        self.answer(200 if good else 400, {"errors": [], "warnings": []})

    def batch(self, asked: dict[str, list[dict[str, object]]]) -> None:
        objects = [
            {**o, "actions": {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}}}
            for o in asked["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def api(self, repo: str, parts: list[str], body: bytes) -> None:
        commits = self.server.repos[repo]
        what, revision = parts if parts else ("revision", "main")
        if what == "preupload":
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if what == "commit":  # the deletions come before the files, as the Hub has it
            new = dict(commits[-1]) if commits else {}
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    new[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    new[value["path"]] = self.server.blobs[value["oid"]]
                elif line["key"] == "deletedFile":
                    del new[value["path"]]
            oid = self.server.put(new, repo)
            url = f"{self.server.url}/{repo}/commit/{oid}"
            return self.answer(200, {"commitUrl": url, "commitOid": oid})
        names = {sha(repo, n): n for n in range(len(commits))} | {"main": len(commits) - 1, "v1": 0}
        if revision not in names:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        files = commits[names[revision]] if commits else {}
        if what == "revision":
            card = files.get("README.md", b"").decode().split("---\n")
            about = yaml.safe_load(card[1]) if len(card) > 2 else {}
            info = {
                "id": repo,
                "sha": sha(repo, names[revision]),
                "private": self.server.visibility.get(repo) == "private",
                "siblings": [{"rfilename": name} for name in files],
                "library_name": about.get("library_name"),
            }
            return self.answer(200, info)
        asked = parse_qs(body.decode())["paths"]
        return self.answer(
            200,
            [
                {
                    "type": "file",
                    "path": path,
                    "size": self.server.sizes.get(path, len(files[path])),
                    "oid": "0" * 40,
                }
                for path in asked
                if path in files
            ],
        )

    def resolve(self, repo: str, revision: str, path: str) -> None:
        numbers = {sha(repo, n): n for n in range(len(self.server.repos[repo]))}
        content = self.server.repos[repo][numbers[revision]][path]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self.answer(200, content, ETag=etag, X_Repo_Commit=revision)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running
        close_session()
        running.shutdown()
        thread.join()


@pytest.fixture
def student(material: Material, tmp_path: Path) -> Path:
    save_student(tmp_path / "run" / "student", material.student, material.config)
    return tmp_path / "run" / "student"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture
def with_exports(student: Path) -> Path:
    """A run whose student has an export of two files."""
    _, config = load_student(student)
    files = {"student.onnx": b"graph", "c/student.h": b"header"}
    export = describe(config, calibration=0).model_dump(mode="json")
    export["files"]["onnx"] = {
        "file": "student.onnx",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "bytes": sum(map(len, files.values())),
        "parity": parity(),
    }
    folder = student.parent / "export"
    for name, content in {**files, "export.json": json.dumps(export).encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return student.parent


def parity() -> dict[str, object]:
    """Any values will do: here it is only carried."""
    other = {"where": "", "relative_where": "", "disagreements": [], "failures": []}
    return {name: other.get(name, 0) for name in Parity.model_fields}


# --- there and back ------------------------------------------------------------------------------


def test_a_student_comes_back_as_it_was_pushed(
    server: Server, student: Path, material: Material, tmp_path: Path
) -> None:
    pushed = hub.push(student.parent, REPO, private=True)
    assert len(server.repos[REPO]) == 1  # one commit
    assert server.visibility[REPO] == "private"
    assert set(server.repos[REPO][0]) == set(pushed.files) == set(hub.LIMITS)
    pulled = hub.pull(REPO, out=tmp_path / "deep" / "pulled")
    assert pulled.commit == pushed.commit == sha(REPO, 0)
    came = contents(tmp_path / "deep" / "pulled")
    source = json.loads(came.pop("source.json"))
    assert source == {"repo": REPO, "commit": pushed.commit, "revision": None}
    before = contents(student)
    assert f"pskd pull {REPO}".encode() in came.pop("README.md")
    assert came == {name: before[name] for name in ("model.safetensors", "config.json")}
    window = torch.from_numpy(material.test[:4])
    loaded, _ = load_student(pulled.folder)
    assert torch.equal(loaded(window).logits, material.student(window).logits)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["pulled"]  # nothing else is left


def test_the_revision_asked_for_is_the_one_that_comes(
    server: Server, student: Path, tmp_path: Path
) -> None:
    first = hub.push(student, REPO).commit
    server.put({"README.md": b"nothing of use"})
    with pytest.raises(CheckpointError, match=r"me/wrist/config\.json: is missing"):
        hub.pull(REPO, out=tmp_path / "newest")
    for revision in ("v1", first):
        pulled = hub.pull(REPO, revision=revision, out=tmp_path / revision)
        assert pulled.commit == first
        assert json.loads((pulled.folder / "source.json").read_text())["revision"] == revision


def test_nothing_but_the_files_of_a_student_is_fetched(
    server: Server, student: Path, tmp_path: Path
) -> None:
    server.put(contents(student) | {"evil.py": b"import os", "pickle.pkl": b"\x80\x04"})
    pulled = hub.pull(REPO, out=tmp_path / "pulled")
    assert set(pulled.files) == {*hub.LIMITS, "source.json"}
    got = {line.rpartition("/")[2] for line in server.asked if "/resolve/" in line}
    assert got == set(hub.LIMITS)


def test_exports_travel_when_asked_for(server: Server, with_exports: Path, tmp_path: Path) -> None:
    hub.push(with_exports, REPO)
    assert not any(name.startswith("export/") for name in server.repos[REPO][-1])
    hub.push(with_exports / "export", REPO, exports=True)
    assert len(server.repos[REPO]) == 2
    pulled = hub.pull(REPO, out=tmp_path / "pulled", exports=True)
    assert contents(pulled.folder / "export") == contents(with_exports / "export")
    assert not (hub.pull(REPO, out=tmp_path / "without").folder / "export").exists()


def test_exports_of_an_earlier_push_go(server: Server, with_exports: Path) -> None:
    server.put({"export/c/old.c": b"old", "export/student.onnx": b"old", "exports.md": b"mine"})
    hub.push(with_exports, REPO, exports=True)
    theirs = {f"export/{name}" for name in contents(with_exports / "export")}
    assert set(server.repos[REPO][-1]) == {*hub.LIMITS, *theirs, "exports.md"}
    hub.push(with_exports, REPO)
    assert set(server.repos[REPO][-1]) == {*hub.LIMITS, "exports.md"}
    assert len(server.repos[REPO]) == 3  # each push one commit


def test_the_settings_of_a_stream_travel_with_a_student(
    server: Server, student: Path, tmp_path: Path
) -> None:
    sha256 = read_config(student / hub.CONFIG).sha256
    settings = StreamSettings(student_sha256=sha256, idle_g=0.1, agree=2)
    write_settings(student, settings)
    hub.push(student, REPO)
    hub.pull(REPO, out=tmp_path / "calibrated")
    assert read_settings(tmp_path / "calibrated") == settings
    (student / STREAM).unlink()
    hub.push(student, REPO)
    hub.pull(REPO, out=tmp_path / "not")
    assert not (tmp_path / "not" / STREAM).exists()


def test_settings_of_another_student_are_not_pulled(
    server: Server, student: Path, tmp_path: Path
) -> None:
    foreign = StreamSettings(student_sha256="0" * 64).model_dump_json().encode()
    hub.push(student, REPO)
    server.put(contents(student) | {STREAM: foreign})
    with pytest.raises(CheckpointError, match="calibrated for another student"):
        hub.pull(REPO, out=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_exports_that_are_not_there_or_of_another_student(
    server: Server, with_exports: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"no exports here.*`pskd export` makes them"):
        hub.push(with_exports / "student", REPO, exports=True)
    path = with_exports / "export" / "export.json"
    listing = json.loads(path.read_text())
    path.write_text(json.dumps(listing | {"student_sha256": "0" * 64}))
    with pytest.raises(CheckpointError, match="exports of another student"):
        hub.push(with_exports, REPO, exports=True)
    assert server.asked == []


@pytest.mark.parametrize(
    "part", ["../up.onnx", "/etc/passwd", "a//b", ".hidden", "a\x1b[2J", "export.json", "a/../b"]
)
def test_names_of_exports_that_lead_elsewhere(
    server: Server, with_exports: Path, tmp_path: Path, part: str
) -> None:
    files = {f"export/{name}": data for name, data in contents(with_exports / "export").items()}
    listing = json.loads(files["export/export.json"])
    listing["files"]["onnx"]["sha256"][part] = hashlib.sha256(b"x").hexdigest()
    files["export/export.json"] = json.dumps(listing).encode()
    server.put(contents(with_exports / "student") | {f"export/{part}": b"x"} | files)
    with pytest.raises(CheckpointError, match=r"is no (name of an export|list of exports)"):
        hub.pull(REPO, out=tmp_path / "pulled", exports=True)
    assert not (tmp_path / "pulled").exists()


def test_an_export_whose_file_lies_elsewhere(
    server: Server, with_exports: Path, tmp_path: Path
) -> None:
    path = with_exports / "export" / "export.json"
    listing = json.loads(path.read_text())
    (tmp_path / "secret").write_bytes(b"graph")
    listing["files"]["onnx"]["file"] = str(tmp_path / "secret")
    path.write_text(json.dumps(listing))
    with pytest.raises(CheckpointError, match=r"files\.onnx\.file"):
        hub.push(with_exports, REPO, exports=True)
    assert server.asked == []
    files = {f"export/{name}": data for name, data in contents(with_exports / "export").items()}
    server.put(contents(with_exports / "student") | files)
    with pytest.raises(CheckpointError, match=r"files\.onnx\.file"):
        hub.pull(REPO, out=tmp_path / "pulled", exports=True)
    assert not (tmp_path / "pulled").exists()


def test_a_link_among_the_exports_is_not_uploaded(server: Server, with_exports: Path) -> None:
    graph = with_exports / "export" / "student.onnx"
    graph.rename(with_exports / "elsewhere")
    graph.symlink_to(with_exports / "elsewhere")
    with pytest.raises(
        CheckpointError, match=r"student\.onnx: cannot be read \(is a symbolic link"
    ):
        hub.push(with_exports, REPO, exports=True)
    assert server.asked == []


# --- what is refused -----------------------------------------------------------------------------


def config_of(student: Path, **changes: object) -> bytes:
    return json.dumps(json.loads((student / "config.json").read_text()) | changes).encode()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda s: {"model.safetensors": b"torn"}, CheckpointError, "checksum is not the one"),
        (lambda s: {"config.json": config_of(s, format=2)}, CheckpointError, "a newer pskd"),
        (lambda s: {"config.json": b"{}"}, CheckpointError, "no student configuration"),
        (
            lambda s: {"README.md": b"---\nlibrary_name: transformers\n---\nhello"},
            DataError,
            "is for transformers, not for pskd",
        ),
    ],
)  # fmt: skip
def test_repositories_that_hold_no_such_student(
    server: Server,
    student: Path,
    tmp_path: Path,
    change: Callable[[Path], dict[str, bytes]],
    kind: type[PskdError],
    message: str,
) -> None:
    server.put(contents(student) | change(student))
    (tmp_path / "here").mkdir()
    with pytest.raises(kind, match=message) as caught:
        hub.pull(REPO, out=tmp_path / "here" / "pulled")
    assert str(caught.value.where).startswith(REPO)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_file_that_is_too_large_is_not_downloaded(
    server: Server, student: Path, tmp_path: Path
) -> None:
    server.put(contents(student))
    server.sizes["model.safetensors"] = 10**12
    with pytest.raises(CheckpointError, match="has 1000000000000 bytes, more than the 67108864"):
        hub.pull(REPO, out=tmp_path / "pulled")
    assert not any("/resolve/" in line for line in server.asked)


def test_a_file_that_is_larger_than_was_said(server: Server, student: Path, tmp_path: Path) -> None:
    server.put(contents(student) | {"README.md": b" " * 1_000_001})
    server.sizes["README.md"] = 10
    with pytest.raises(PskdError, match="larger than 1000000 bytes"):
        hub.pull(REPO, out=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_folder_that_is_there_stays(server: Server, student: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already"):
        hub.pull(REPO, out=student)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        hub.pull(REPO, out=tmp_path / "link")
    assert server.asked == []


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PskdError, match=r"file/deep/x: cannot be made \(Not a dir.*--out"):
        hub.pull(REPO, out=tmp_path / "file" / "deep" / "x")
    assert server.asked == []


def test_repositories_and_revisions_that_are_not_there(
    server: Server, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="you/other: no such repository, or private"):
        hub.pull("you/other", out=tmp_path / "pulled")
    server.put(contents(student))
    with pytest.raises(UsageError, match="me/wrist: has no revision 'v9'"):
        hub.pull(REPO, revision="v9", out=tmp_path / "pulled")


@pytest.mark.parametrize("repo", ["wrist", "me/wrist/x", "../etc", "me/../x", "me/wr ist", "me/"])
def test_names_that_are_no_repository(server: Server, student: Path, repo: str) -> None:
    for call in (lambda: hub.pull(repo), lambda: hub.push(student, repo)):
        with pytest.raises(UsageError, match="is no repository"):
            call()
    assert server.asked == []


def test_a_push_without_the_right_token(
    server: Server, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"you/wrist: is not permitted to you.*HF_TOKEN"):
        hub.push(student, "you/wrist")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UsageError, match=r"me/wrist: is not permitted to you.*HF_TOKEN"):
        hub.push(student, REPO)
    assert server.repos == {}


def test_a_public_repository_is_not_taken_for_a_private_one(server: Server, student: Path) -> None:
    hub.push(student, REPO)
    with pytest.raises(UsageError, match=r"me/wrist: is there already, and public.*--private"):
        hub.push(student, REPO, private=True)
    assert len(server.repos[REPO]) == 1
    server.visibility[REPO] = "private"
    hub.push(student, REPO, private=True)
    assert len(server.repos[REPO]) == 2


def test_a_network_that_is_down(
    server: Server, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    for call in (lambda: hub.pull(REPO, out=tmp_path / "x"), lambda: hub.push(student, REPO)):
        with pytest.raises(PskdError, match="Check the network"):
            call()


def test_a_torn_student_is_not_pushed(server: Server, student: Path) -> None:
    (student / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="checksum"):
        hub.push(student, REPO)
    assert server.asked == []


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"not installed.*pskd\[hub\]"):
        hub.pull(REPO)


# --- the commands --------------------------------------------------------------------------------


def test_the_commands(
    server: Server, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    done = run(app, ["push", str(student), REPO], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"Pushed: {server.url}/{REPO}/commit/{sha(REPO, 0)}" in done.stdout
    done = run(app, ["pull", REPO, "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["commit"] == sha(REPO, 0)
    assert json.loads(done.stdout)["folder"] == "wrist"
    assert load_student(tmp_path / "wrist")
    shutil.rmtree(tmp_path / "wrist")
    assert "pskd predict wrist" in run(app, ["pull", REPO], catch_exceptions=False).stdout


def test_the_command_in_a_process_of_its_own(server: Server, tmp_path: Path) -> None:
    """Here the client's modules are loaded already; there nothing but the command loads them."""
    done = subprocess.run(
        [sys.executable, "-c", "from pskd.cli import main; main()", "pull", REPO],
        cwd=tmp_path,
        env=os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "me/wrist: no such repository, or private" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
