"""`pskd serve` as a user types it."""

import hashlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pskd.cli import serve
from pskd.cli.app import app
from pskd.edge.export import EXPORT, ExportedFile, describe
from pskd.errors import CheckpointError, UsageError
from pskd.models.student_config import CONFIG, read_config
from pskd.stream.runtime import find_export
from tests.edge.fakes import NOT_COMPARED
from tests.stream.server.serving import bind, hear, predictions, samples, until_done


def refused(*words: object) -> str:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(app, ["serve", *map(str, words)], catch_exceptions=False)
    return str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "watch.example"])
def test_others_are_let_in_with_tls_only(run, host):
    assert "--tls self-signed" in refused(run, "--host", host, "--token", "x" * 20)


def test_what_does_not_go_together_is_refused(run, tmp_path):
    assert "16 characters" in refused(run, "--token", "short")
    assert "both --tls-cert and --tls-key" in refused(run, "--tls-cert", tmp_path / "c.pem")
    pair = ["--tls-cert", tmp_path / "c.pem", "--tls-key", tmp_path / "k.pem"]
    assert "two" in refused(run, "--tls", "self-signed", *pair)
    assert "belong together" in refused(run, *pair)


def test_a_port_in_use_is_named(run):
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in refused(run, "--port", port)


def test_a_missing_extra_is_named(run, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else 1)
    assert "pip install 'pskd[serve]'" in refused(run)


def test_the_students_webassembly_is_served_and_no_other(run, tmp_path):
    student = tmp_path / "run"
    shutil.copytree(run / "student", student / "student")
    config = read_config(student / "student" / CONFIG)
    assert find_export(student, "wasm", config) is None
    module = student / "export" / "wasm" / "student.wasm"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"\0asm")
    exported = ExportedFile(
        file="wasm/student.wasm",
        sha256={"wasm/student.wasm": hashlib.sha256(b"\0asm").hexdigest()},
        bytes=4,
        parity=NOT_COMPARED,
    )
    export = describe(config, calibration=0).model_copy(update={"files": {"wasm": exported}})
    listing = student / "export" / EXPORT
    listing.write_text(export.model_dump_json())
    found = find_export(student, "wasm", config)
    assert found and found.read_bytes() == b"\0asm"
    module.write_bytes(b"\0asm!")
    with pytest.raises(CheckpointError, match="checksum"):
        find_export(student, "wasm", config)
    module.write_bytes(b"\0asm")
    listing.write_text(export.model_copy(update={"student_sha256": "0" * 64}).model_dump_json())
    with pytest.raises(CheckpointError, match="another student"):
        find_export(student, "wasm", config)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_phone_is_served_until_the_end(run: Path, tmp_path: Path, stop: signal.Signals):
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from pskd.cli import main; main()", "serve", str(run)),
            *("--host", "0.0.0.0", "--port", "0", "--tls", "self-signed"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    )
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        port, token = re.search(r"Open https://\S+:(\d+)/\?token=(\S+)", said).groups()
        (pem,) = tmp_path.rglob("*.pem")
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", int(port))))
        digest = hashlib.sha256(der).hexdigest().upper()
        assert ":".join(re.findall("..", digest)) in said
        trust = ssl.create_default_context(cafile=pem)
        with connect(f"wss://127.0.0.1:{port}/stream?token={token}", ssl=trust) as link:
            link.send('{"type":"hello","version":1,"unit":"g"}')
            assert hear(link)["type"] == "ready"
            link.send(samples(0, 600))
            heard = [hear(link)]
            process.send_signal(stop)
            heard += until_done(link)
            assert heard[-1]["counts"]["windows"] == len(predictions(heard)) > 2
            with pytest.raises(ConnectionClosed):
                link.recv(timeout=10)
        assert process.wait(10) == 0
        assert process.stderr.read().count("\n") <= 1  # the hint about WebAssembly
    finally:
        process.kill()
        process.wait()
        process.stdout.close(), process.stderr.close()
