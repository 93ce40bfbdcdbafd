"""Live recognition in a browser: one HTML file that holds the student and needs nothing beside it.

The parts lie here as files of their own. `render` puts them into `index.html`: scripts in the order
of `MODULES`, each without its `import` lines and without the word `export`, so that together they
are one module; every `import` therefore takes one line, and no two parts share a name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from pskd.edge.page.person import RATE, simulate_person
from pskd.edge.settings import StreamSettings
from pskd.models.student_config import StudentConfig

_HERE = Path(__file__).parent

MODULES = (
    "../wasm/student.mjs",
    "resampler.mjs",
    "recognizer.mjs",
    "csv.mjs",
    "sources.mjs",
    "connection.mjs",
    "tape.mjs",
    "view.mjs",
    "main.mjs",
)
"""Scripts of the page, each after those that it needs."""

_SHOWN = (
    "accuracy", "classes", "dataset", "hop_seconds", "licence", "placement", "protocol_note",
    "rate", "samples", "window_seconds",
)  # fmt: skip
_DECIDES = (
    "hop_seconds", "smoothing", "smoothing_seconds", "rejection", "threshold", "idle_g",
    "agree", "refractory_seconds",
)  # fmt: skip

_STUDENT = re.compile(rb'<script type="application/wasm" id="student"[^>]*>([^<]*)</script>')


def render(
    config: StudentConfig, settings: StreamSettings, wasm: bytes | None, server: bool
) -> str:
    """Write the page.

    Args:
        config: Of the student.
        settings: How it decides on a stream.
        wasm: The student as WebAssembly; without it only the server recognises.
        server: Whether a server that speaks the wire format at `stream` beside the page serves it.

    Returns:
        HTML that asks for nothing but that stream, and not even for that without `server`.
    """
    style, script = _style(), _script()
    data = {
        "config": config.model_dump(mode="json", include=set(_SHOWN)),
        "settings": settings.model_dump(mode="json", include=set(_DECIDES)),
        "person": _person(tuple(config.classes)),
        "server": server,
    }
    connect = "'self'" if server else "'none'"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}' 'wasm-unsafe-eval'; "
        f"style-src '{_digest(style)}'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "script": script,
        # No name of a class can end the element: JSON may write any character as its number.
        "data": json.dumps(data, sort_keys=True).replace("<", "\\u003c"),
        "student": base64.b64encode(wasm or b"").decode(),
    }
    page = (_HERE / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda part: parts[part[1]], page)


def read_module(page: bytes) -> bytes:
    """Take the WebAssembly of a student out of a page.

    Raises:
        ValueError: There is none.
    """
    found = _STUDENT.findall(page)
    if len(found) != 1 or not found[0]:
        raise ValueError("no student in the page")
    try:
        return base64.b64decode(found[0], validate=True)
    except binascii.Error as error:
        raise ValueError(f"torn student in the page: {error}") from error


@cache
def _style() -> str:
    return (_HERE / "style.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    sources = [(_HERE / name).read_text(encoding="utf-8") for name in MODULES]
    return re.sub(r"^import .*\n|^export ", "", "\n".join(sources), flags=re.MULTILINE)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _person(classes: tuple[str, ...]) -> dict[str, Any]:
    acceleration, actions = simulate_person(list(classes))
    samples = (1000 * acceleration).round().astype("<i2").tobytes()
    return {
        "rate": RATE,
        "samples": base64.b64encode(samples).decode(),
        "actions": [(round(a, 3), round(b, 3), name) for a, b, name in actions],
    }
