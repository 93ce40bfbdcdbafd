"""`pskd serve`: live recognition for watches, phones and browsers."""

from __future__ import annotations

import asyncio
import gc
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from pskd.cli.console import remark, say
from pskd.errors import UsageError

if TYPE_CHECKING:
    from pskd.stream.server.run import Access

app = typer.Typer()

NEEDS = ("fastapi", "uvicorn", "websockets", "prometheus_client", "cryptography")


@app.command()
def serve(
    run: Annotated[Path, typer.Argument(help="Run folder, or a student folder.")],
    host: Annotated[
        str, typer.Option(help="Address. Another than this machine's own needs --tls.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PSKD_TOKEN", help="Asked of clients. Made where --host needs one and none is."
        ),
    ] = None,
    tls: Annotated[
        Literal["self-signed"] | None, typer.Option(help="Make a certificate and use it.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate of yours, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    runtime: Annotated[
        str, typer.Option(help="Target that runs the student; auto: onnx if it is there.")
    ] = "auto",
    sessions: Annotated[int, typer.Option(min=1, help="At the same time.")] = 500,
    samples_per_second: Annotated[float, typer.Option(min=1, help="Of a session.")] = 10_000,
    idle_seconds: Annotated[
        float, typer.Option(min=1, help="Without a message, after which a session ends.")
    ] = 60,
) -> None:
    """Serve live recognition, to this machine alone unless told otherwise, until Ctrl-C.

    A page at /, a WebSocket at /stream (docs/live.md), and /health, /metrics, /student, /predict
    and /openapi.json for programs. PSKD_TOKEN keeps a token out of the list of processes.

    Example: pskd serve runs/demo --host 0.0.0.0 --tls self-signed
    """
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"pskd serve needs {', '.join(missing)}, which is not installed",
            remedy="pip install 'pskd[serve]'",
        )
    from pskd.stream.runtime import find_export, open_student
    from pskd.stream.server.gate import is_loopback
    from pskd.stream.server.hub import Hub
    from pskd.stream.server.limits import Limits
    from pskd.stream.server.metrics import Metrics
    from pskd.stream.server.run import bind, make_server

    access = _access(host, token, tls, tls_cert, tls_key, local=is_loopback(host))
    with bind(host, port) as bound:
        student = open_student(run, runtime)
        module = find_export(run, "wasm", student.config)
        if module is None:
            hint = f"Browsers recognise by themselves once there is: pskd export {run} --to wasm"
            remark(hint)
        hub = Hub(student, Limits(sessions, samples_per_second, idle_seconds), Metrics())
        server = make_server(hub, module.read_bytes() if module else None, access)
        _announce(host, bound.getsockname()[1], access, made=token is None)
        gc.collect()
        gc.freeze()  # to look through PyTorch's objects again would stop all streams for 0.15 s
        asyncio.run(server.serve([bound]))


def _access(
    host: str,
    token: str | None,
    tls: str | None,
    certificate: Path | None,
    key: Path | None,
    *,
    local: bool,
) -> Access:
    """How the server may be reached; from elsewhere, only with a token and TLS."""
    from pskd.stream.server.run import Access
    from pskd.stream.server.tls import check_pair, self_signed

    if (certificate is None) != (key is None) or (certificate and tls):
        raise UsageError(
            "half a certificate, or two",
            remedy="Give --tls self-signed, or both --tls-cert and --tls-key",
        )
    if token is not None and len(token) < 16:
        raise UsageError(
            "a token of less than 16 characters can be guessed",
            remedy="Leave --token out and one is made",
        )
    if tls:
        certificate = key = self_signed(Path(typer.get_app_dir("pskd")) / "tls", host)
    elif certificate and key:
        check_pair(certificate, key)
    if local:
        return Access(token, certificate, key)
    if certificate is None:
        raise UsageError(
            f"{host} can be reached by others, who could read what is sent",
            remedy="Give --tls self-signed, or --tls-cert and --tls-key",
        )
    return Access(token or secrets.token_urlsafe(24), certificate, key)


def _announce(host: str, port: int, access: Access, *, made: bool) -> None:
    """Say where the server is; a token is shown only if it was made here."""
    from pskd.stream.server.tls import addresses, fingerprint

    scheme = "https" if access.certificate else "http"
    shown = quote(access.token) if access.token and made else "YOURS"
    query = f"/?token={shown}" if access.token else ""
    for address in addresses(host):
        name = f"[{address}]" if ":" in address else address
        say(f"Open {scheme}://{name}:{port}{query}")
    if access.certificate:
        say(f"SHA-256 of the certificate: {fingerprint(access.certificate)}")
    say("Ctrl-C ends it.")
