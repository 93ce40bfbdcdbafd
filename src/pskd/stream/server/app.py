"""The application: the page, what programs ask for, and the stream."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from pskd import __version__
from pskd.stream.server.hub import Hub
from pskd.stream.server.limits import PREDICTING
from pskd.stream.server.recording import BODY, read_body, recognise
from pskd.stream.wire import MAX_BYTES, MAX_SAMPLES, VERSION


def create_app(hub: Hub, wasm: bytes | None) -> FastAPI:
    """Make the application.

    Args:
        hub: Of its sessions.
        wasm: The student as WebAssembly, for browsers that recognise by themselves.
    """
    # No /docs: its page loads scripts from elsewhere. The description itself is /openapi.json.
    # Nor FastAPI's telemetry, which would hold addresses, and with them tokens.
    app = FastAPI(
        title="pskd serve",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    student = hub.student
    predicting = asyncio.Semaphore(PREDICTING)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        from pskd.edge.page import render

        return render(student.config, student.settings, wasm, True)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether it runs, which student, and how many sessions are open."""
        return {
            "ok": True,
            "student": student.config.sha256,
            "dataset": student.config.dataset,
            "runtime": student.runtime,
            "sessions": len(hub.sessions),
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts in the text format of Prometheus."""
        return Response(hub.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/student")
    async def describe() -> dict[str, Any]:
        """What the student expects and predicts, how it decides, and what a client may send."""
        limits = asdict(hub.limits) | {"message_bytes": MAX_BYTES, "message_samples": MAX_SAMPLES}
        return {
            "config": student.config.model_dump(mode="json"),
            "settings": student.settings.model_dump(mode="json"),
            "wire": VERSION,
            "limits": limits,
        }

    @app.post("/predict", openapi_extra={"requestBody": BODY})
    async def predict(request: Request) -> dict[str, Any]:
        """Recognise a short recording: a hello and samples, as on the stream, a line each."""
        body = await read_body(request)
        async with predicting:
            return await recognise(student, body)

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await hub.serve(socket)

    return app
