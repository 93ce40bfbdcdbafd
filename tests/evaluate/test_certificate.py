"""The page of a certificate: true to certificate.json, safe, and the same every time."""

import json
from pathlib import Path
from typing import Any

import pytest

from pskd.errors import CheckpointError
from pskd.evaluate.certificate.facts import Certificate, load_certificate
from pskd.evaluate.certificate.page import write_certificate_page
from pskd.evaluate.certificate.words import headline, small, verdict
from tests.evaluate.html_page import Page

HOSTILE = "<b>\"5 % & ünï'c:ö</b>"


def parity(**changes: Any) -> dict[str, Any]:
    return {
        "golden": 3, "test": 430, "difference": 3.1e-5, "where": "silence",
        "test_difference": 1e-5, "relative": 2e-7, "relative_where": "saturated at 100 g",
        "agreement": 1.0, "disagreements": [],
        "accuracy": 0.926, "torch_accuracy": 0.926, "sum_error": 1e-7, "softmax_error": 1e-7,
        "failures": [],
    } | changes  # fmt: skip


def target(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "file": name, "sha256": {name: f"sum of {name}"}, "bytes": 204800, "int8": "int8" in name,
        "status": "passed", "parity": parity(),
        "latency": {"calls": 2000, "p50_us": 512.25, "p99_us": 1203.5},
        "memory": {"export": 307200, "first": 409600, "process": 99 << 20},
    } | changes  # fmt: skip


def content(**targets: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): facts for name, facts in targets.items()}
    differences = {name: 2e-6 for name, facts in named.items() if facts["parity"]}
    return {
        "format": 1,
        "date": "2026-11-22T12:00:00+00:00",
        "student": {
            "model": "temporal_cnn", "sha256": "5" * 64, "parameters": 49243, "macs": 1624768,
            "classes": ["walk", HOSTILE, "jog"], "samples": 128, "window_seconds": 3.5,
            "placement": "right wrist",
        },
        "data": {
            "dataset": "utd_mhad", "protocol": "cross_subject", "note": "2 of 8 test", "test": 430,
            "calibration": 256,
        },
        "machine": {"cpu": "Watchmaker 9", "cores": 2, "platform": "Linux", "load": 0.4},
        "versions": {"pskd": "0.1.0", "runtime-of-c": "7.7"},
        "limits": {
            "difference": 1e-4, "measurable": 16.0, "relative": 1e-4, "drop": 0.01,
            "agreement": 0.88, "sum_error": 1e-3, "softmax_error": 1e-4,
        },
        "targets": {"torch": target("torch")} | named,
        "golden": [
            {"name": "silence", "recorded": False, "measurable": True, "differences": differences},
            {"name": "100 g", "recorded": False, "measurable": False, "differences": differences},
            {"name": HOSTILE, "recorded": True, "measurable": True, "differences": differences},
        ],
    }  # fmt: skip


@pytest.fixture
def shown(tmp_path: Path):
    """The page of a certificate."""

    def show(written: dict[str, Any]) -> Page:
        source = tmp_path / "certificate.json"
        source.write_text(json.dumps(written))
        out = write_certificate_page(source, tmp_path / "page.html")
        return Page(out.read_text(encoding="utf-8"))

    return show


def read(written: dict[str, Any]) -> Certificate:
    return Certificate.model_validate(written)


def test_figures_are_those_of_the_file(shown):
    lossy = parity(accuracy=0.9214, difference=0.42, agreement=0.981)
    page = shown(content(onnx=target("onnx"), c_int8=target("c-int8", parity=lossy, bytes=53248)))
    row = page.text[page.text.index("c-int8 is the student") :]
    assert row.startswith(
        "c-int8 is the student 0.42 1e-5 98.1 92.1 \N{MINUS SIGN}0.5 52.0 512 1,204 1 300 400"
    )
    for words in (
        "onnx is the student 3.1e-5 1e-5 100.0 92.6 0.0 200 512",
        "49,243",
        "430",
        "256 wind",
    ):
        assert words in page.text
    for words in ("Watchmaker 9, 2 cores", "runtime-of-c 7.7", "sum of c-int8", "5" * 64):
        assert words in page.text


def test_a_small_peak_of_memory_is_no_figure(shown):
    small = {"export": 65535, "first": 65536, "process": 99 << 20}
    page = shown(content(onnx=target("onnx", memory=small)))
    assert "1,204 1 < 64 64.0" in page.text


def test_the_verdict_comes_first(shown):
    worse = parity(accuracy=0.9214, difference=0.42)
    written = content(onnx=target("onnx"), c_int8=target("c-int8", parity=worse))
    page = shown(written)
    assert page.text.index("2 of 2 exports are the student") < page.text.index("The exports")
    assert "by more than 3.1e-5; 1e-4 is allowed." in page.text
    assert "costs 0.5 points of accuracy at most; 1.0 points are allowed" in page.text
    assert "No limit was waived" in page.text
    assert "Share with another class 12.0 % all exports" in page.text


def test_failures_waivers_and_what_was_not_measured_are_named(shown):
    broken = parity(difference=2e-4, failures=["a logit of 'silence' differs by 0.0002"])
    written = content(
        onnx=target("onnx"),
        litert=target("litert", status="failed", parity=broken),
        c=target("c", status="accepted", parity=broken, missing={"memory": "no tell"}),
        wasm=target(
            "wasm", status="not measured", parity=None, latency=None, memory=None,
            reason="wasm needs node. Install it.",
        ),
    )  # fmt: skip
    page = shown(written)
    assert headline(read(written)) == "1 of 4 exports is the student"
    assert "1 of 4 exports is the student" in page.text
    assert "Do not ship litert." in page.text
    assert "Kept although they break a limit: c." in page.text
    assert "Not measured here, so nothing is said of wasm." in page.text
    assert "litert a logit of 'silence' differs by 0.0002" in page.text
    assert "wasm wasm needs node. Install it." in page.text
    assert "c memory: no tell" in page.text
    assert "asked to keep c although" in page.text


def test_windows_with_another_class_are_listed_worst_first(shown):
    def other(window: str, margin: float) -> dict[str, Any]:
        return {"window": window, "torch": 0, "export": 1, "margin": margin}

    many = [other(f"test window {k}", k / 100) for k in range(20)]
    page = shown(content(c_int8=target("c-int8", parity=parity(disagreements=many))))
    assert "20 windows." in page.text and "8 more" in page.text
    assert page.text.index("test window 19") < page.text.index("test window 0 ")
    assert f"walk c-int8: {HOSTILE} 0.19" in page.text
    assert "Nowhere: every export" in shown(content(c=target("c"))).text


def test_differences_over_the_limit_are_red(shown):
    written = content(c=target("c"), c_int8=target("c-int8"))
    for window, value in zip(written["golden"], (2e-4, 0.01, None), strict=True):
        window["differences"] = {"torch": 0.0, "c": value, "c-int8": value}
    page = shown(written)
    cells = [a["class"] for t, a in page.tags if t == "td" and "style" in a]
    over = [str(classes).split()[0] for classes in cells]
    # `silence` at rest has a limit without int8; no watch measures 100 g; not finite is never right
    assert over == ["miss", "hit", "hit", "hit", "miss", "miss"]


def test_pages_are_whole_safe_and_the_same_every_time(shown, tmp_path: Path):
    written = content(onnx=target("onnx"), c=target("c"))
    page = shown(written)
    first = (tmp_path / "page.html").read_bytes()
    shown(written)
    assert (tmp_path / "page.html").read_bytes() == first
    assert "b" not in page.open
    assert HOSTILE not in first.decode()
    assert not page.all("script", "src") and not page.all("link", "href")
    assert len(page.ids()) == len(set(page.ids()))


def test_a_busy_machine_is_told(shown):
    written = content(c=target("c"))
    assert "busy" not in shown(written).text
    written["machine"]["load"] = 1.4
    assert "The machine was busy" in shown(written).text


def test_pytorch_alone_makes_a_page(shown):
    assert "PyTorch alone was measured" in shown(content()).text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (3.14e-5, "3.1e-5"), (1e-4, "1e-4"), (2e-7, "2e-7"), (0.42, "0.42"), (12.3, "12")],
)
def test_small_numbers(value: float, words: str):
    assert small(value) == words


def test_verdict_of_an_int8_that_gains():
    better = parity(accuracy=0.93)
    assert "costs nothing" in verdict(read(content(c_int8=target("c-int8", parity=better))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "is no certificate"),
        ('{"format": 2}', "has format 2, this version of pskd reads up to 1"),
        ('{"format": 1}', "date: Field required"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, text: str, words: str):
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=words):
        load_certificate(path)
