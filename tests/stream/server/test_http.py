"""What programs and browsers ask for beside the stream."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stream.server.serving import offline, predictions, samples, until_done

LONG = [f'{{"samples":[[{k * 0.9},0,0,1]]}}' for k in range(1000)]
"""Few samples, far apart: 900 s, five windows in each."""
HELLO = '{"type":"hello","version":1,"unit":"g"}'


def measured(served) -> dict[str, float]:
    """Metrics by name, with their labels if they have some."""
    text = served.get("/metrics")[2].decode()
    found = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {s.name + "".join(s.labels.values()): s.value for s in found}


def test_health_counts_sessions(serve, student):
    served = serve()
    assert json.loads(served.get("/health")[2]) == {
        "ok": True,
        "student": student.config.sha256,
        "dataset": "simulated",
        "runtime": "torch",
        "sessions": 0,
    }
    with served.greeted():
        assert json.loads(served.get("/health")[2])["sessions"] == 1


def test_metrics_are_what_happened(serve):
    served = serve()
    with served.greeted() as link:
        for message in (samples(0, 500), "nonsense", samples(500, 600), '{"type":"finish"}'):
            link.send(message)
        made = len(predictions(until_done(link)))
        metrics = measured(served)
    assert made > 20
    assert metrics["pskd_sessions"] == 1
    assert metrics["pskd_messages_total"] == 5
    assert metrics["pskd_samples_total"] == 600
    assert metrics["pskd_predictions_total"] == made
    assert metrics["pskd_errors_totalmalformed"] == 1
    assert metrics["pskd_dropped_total"] == 0
    assert metrics["pskd_latency_seconds_count"] == made
    assert metrics["pskd_latency_seconds_bucket+Inf"] == made
    assert 0 < metrics["pskd_latency_seconds_sum"] < 10 * made


def test_the_student_says_what_it_expects(serve, student):
    told = json.loads(serve().get("/student")[2])
    assert told["config"] == student.config.model_dump(mode="json")
    assert told["settings"]["hop_seconds"] == 0.2
    assert told["limits"]["message_samples"] == 1024


def test_the_interface_is_described_and_nothing_is_loaded_from_elsewhere(serve):
    served = serve()
    described = json.loads(served.get("/openapi.json")[2])
    assert {"/health", "/metrics", "/student", "/predict"} <= set(described["paths"])
    assert served.get("/docs")[0] == served.get("/redoc")[0] == 404


def test_the_page_is_made_for_this_student(serve, student, monkeypatch):
    monkeypatch.setattr("pskd.edge.page.render", lambda *given: f"<p>{given == wanted}</p>")
    wanted = (student.config, student.settings, b"\0asm", True)
    code, headers, body = serve(wasm=b"\0asm").get("/")
    assert (code, headers["Content-Type"], body) == (
        200,
        "text/html; charset=utf-8",
        b"<p>True</p>",
    )


def test_a_recording_is_recognised_at_once(serve, student):
    parts = [samples(0, 1000), samples(1000, 1100)]
    served = serve()
    code, _, body = served.get("/predict", body="\n".join([HELLO, *parts, ""]).encode())
    told = json.loads(body)
    assert code == 200
    stream = "\n".join([HELLO, *parts, '{"type":"finish"}'])  # as devices send it
    assert served.get("/predict", body=stream.encode())[::2] == (200, body)
    assert told["predictions"] == offline(student, parts)
    assert told["counts"]["samples"] == 1100


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", 422, "hello"),
        (b"\n\n", 422, "hello"),
        (b'{"samples":[[0,0,0,1]]}', 422, "hello"),
        (b"what\n", 422, "JSON"),
        (f"{HELLO}\n{HELLO}".encode(), 422, "no samples"),
        (f'{HELLO}\n{{"type":"finish"}}\n{samples(0, 5)}'.encode(), 422, "no samples"),
        (f'{HELLO}\n{{"samples":[[0,0,1]]}}'.encode(), 422, "rate"),
        (HELLO.replace('"g"', '"feet"').encode(), 422, "feet"),
        (HELLO.replace("}", ',"rate":9999}').encode(), 422, "student"),
        (b" " * 2_000_000, 413, "stream"),
        (("\n".join([HELLO, *LONG])).encode(), 413, "windows"),
    ],
)
def test_a_recording_that_cannot_be_recognised_is_refused(serve, body, code, words):
    found, _, told = serve().get("/predict", body=body)
    assert found == code
    assert words in json.loads(told)["detail"]
