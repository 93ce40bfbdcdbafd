"""Clients that send what cannot be used, too much, or nothing, and those that do not listen."""

import json
import socket
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from pskd.stream.server import hub, outbox, run, session
from pskd.stream.server.limits import ERRORS_IN_A_ROW, LARGEST_MESSAGE, Limits
from pskd.stream.wire import MAX_SAMPLES
from tests.stream.server.serving import hear, offline, predictions, samples, until_done

NAN = '{"samples":[[7.0,0,0,NaN]]}'


def waited(condition) -> bool:
    """Whether something comes true within some seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def closed(link) -> int:
    """The code that a connection is closed with, whatever comes before."""
    with suppress(ConnectionClosed):
        while True:
            link.recv(timeout=10)
    return link.close_code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("what?", "malformed"),
        (b"PSK1", "malformed"),
        (NAN, "not_finite"),
        ('{"samples":[[7.0,0,0,1],[6.9,0,0,1]]}', "backward"),
        ('{"samples":[[0,0,1]]}', "times"),
        (json.dumps({"samples": [[7, 0, 0, 1]] * (MAX_SAMPLES + 1)}), "too_large"),
        (" " * (LARGEST_MESSAGE - 1), "too_large"),
        ('{"type":"hello","version":1,"unit":"g"}', "hello"),
    ],
)
def test_a_bad_message_is_answered_and_leaves_no_trace(serve, student, message, code):
    served = serve()
    with served.greeted() as link:
        link.send(samples(0, 200))
        link.send(message)
        link.send(samples(200, 400))
        link.send('{"type":"finish"}')
        heard = until_done(link)
    (error,) = [answer for answer in heard if answer["type"] == "error"]
    assert error["code"] == code
    assert "fatal" not in error
    assert predictions(heard) == offline(student, [samples(0, 200), samples(200, 400)])
    assert f'pskd_errors_total{{code="{code}"}} 1.0' in served.get("/metrics")[2].decode()


def test_samples_from_before_are_left_out_and_told(serve, student):
    with serve().greeted() as link:
        for message in (samples(0, 300), samples(100, 110), samples(300, 600), '{"type":"finish"}'):
            link.send(message)
        heard = until_done(link)
    assert [answer["code"] for answer in heard if answer["type"] == "error"] == ["backward"]
    assert heard[-1]["counts"]["late"] == 10
    assert predictions(heard) == offline(student, [samples(0, 600)])


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"unit": "feet"}, "unit"),
        ({"version": 2}, "version"),
        ({"rate": 0.01}, "rate"),
        ({"rate": 10_000}, "rate"),
    ],
)
def test_a_bad_hello_may_be_said_again(serve, hello, code):
    with serve().connect() as link:
        link.send(samples(0, 5))
        assert hear(link)["code"] == "hello"
        link.send(json.dumps({"type": "hello", "version": 1, "unit": "g"} | hello))
        assert hear(link)["code"] == code
        link.send('{"type":"hello","version":1,"unit":"g"}')
        assert hear(link)["type"] == "ready"


def test_errors_in_a_row_end_a_session_and_others_do_not(serve):
    with serve().greeted() as link:
        for _ in range(ERRORS_IN_A_ROW - 1):
            link.send(NAN)
        link.send(samples(0, 5))
        for _ in range(ERRORS_IN_A_ROW):
            link.send(NAN)
        errors = [hear(link) for _ in range(2 * ERRORS_IN_A_ROW)]
        assert [e["code"] for e in errors] == ["not_finite"] * (2 * ERRORS_IN_A_ROW - 1) + [
            "errors"
        ]
        assert errors[-1]["fatal"] is True
        assert closed(link) == 1008


@pytest.mark.parametrize("message", ["x" * (LARGEST_MESSAGE + 1), b"\0" * (LARGEST_MESSAGE + 1)])
def test_a_giant_is_not_read(serve, message):
    with serve().greeted() as link:
        with suppress(ConnectionClosed):
            link.send(message)
        assert closed(link) == 1009


def test_text_that_is_no_utf8_ends_the_connection_alone(serve):
    served = serve()
    with served.greeted() as other, served.greeted() as link:
        with suppress(ConnectionClosed):
            link.send(b"\xff\xff", text=True)
        assert closed(link) == 1007
        other.send(NAN)
        assert hear(other)["code"] == "not_finite"


def test_too_many_samples_a_second_are_refused(serve, student):
    with serve(limits=Limits(samples_per_second=100)).greeted() as link:
        for k in range(0, 800, 100):  # 200 may come at once
            link.send(samples(k, k + 100))
        link.send('{"type":"finish"}')
        heard = until_done(link)
    assert {a["code"] for a in heard if a["type"] == "error"} == {"too_fast"}
    assert heard[-1]["counts"]["samples"] in (200, 300)


def test_a_slow_stream_counts_as_what_it_is_resampled_to(serve, student):
    rate = student.config.rate
    rows = [[0.9 * k, 0, 0, 1] for k in range(1000)]
    with serve(limits=Limits(samples_per_second=0.2 * 1000 * rate)).greeted() as link:
        link.send(json.dumps({"samples": rows}))
        assert hear(link)["code"] == "too_fast"


def test_times_that_begin_anew_count_no_less(serve, student):
    """A second after each other, again and again: each is resampled to the student's rate."""
    rows = json.dumps({"samples": [[0.9 * k, 0, 0, 1] for k in range(100)]})
    enough = 90 * student.config.rate / 2  # of one such message in a burst of two seconds
    with serve(limits=Limits(samples_per_second=1.01 * enough)).greeted() as link:
        for _ in range(6):
            link.send(rows)
        link.send('{"type":"finish"}')
        heard = until_done(link)
    assert sum(a.get("code") == "too_fast" for a in heard) >= 4


def test_samples_that_are_refused_end_a_part_of_a_stream_with_a_rate(serve, student):
    n = round(0.75 * student.config.window_seconds * 50)
    half = json.dumps({"samples": [[0, 0, 1]] * n})
    with serve().greeted(rate=50) as link:
        for message in (half, NAN, half, '{"type":"finish"}'):
            link.send(message)
        heard = until_done(link)
    assert not predictions(heard)  # none spans what was refused
    assert heard[-1]["counts"]["gaps"] == 1


def test_who_asks_for_nothing_does_not_keep_a_socket(serve, monkeypatch):
    monkeypatch.setattr(run, "REQUEST_SECONDS", 0.3)
    served = serve()
    with served.greeted() as link, socket.create_connection(("127.0.0.1", served.port)) as silent:
        with socket.create_connection(("127.0.0.1", served.port)) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # and no end
            for one in (silent, slow):
                one.settimeout(10)
                with suppress(ConnectionResetError):
                    assert one.recv(1) == b""
        link.send(NAN)  # a WebSocket stays
        assert hear(link)["code"] == "not_finite"
        assert served.get("/health")[0] == 200


def test_a_session_too_many_is_sent_away_until_one_leaves(serve):
    served = serve(limits=Limits(sessions=1))
    with served.greeted(), served.connect() as link:
        error = hear(link)
        assert (error["code"], error["fatal"]) == ("full", True)
        assert closed(link) == 1013
    assert waited(lambda: not served.hub.sessions)
    with served.greeted():
        pass


def test_silence_ends_a_session(serve):
    with serve(limits=Limits(idle_seconds=0.3)).greeted() as link:
        link.send(samples(0, 5))
        error = hear(link)
        assert (error["code"], error["fatal"]) == ("idle", True)
        assert closed(link) == 1008


def test_a_client_that_does_not_say_hello_is_sent_away(serve, monkeypatch):
    monkeypatch.setattr(session, "HELLO_SECONDS", 0.2)
    with serve(limits=Limits(idle_seconds=1)).connect() as link:
        assert hear(link)["code"] == "hello"
        assert closed(link) == 1008


@contextmanager
def deaf(served):
    """A connection whose client reads nothing from now on, and that can hold little unread."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", served.port))
    with served.connect(sock=narrow, max_queue=1, ping_interval=None) as link:
        link.send('{"type":"hello","version":1,"unit":"g"}')
        yield link


def test_a_slow_client_loses_the_oldest_and_is_told(serve, student, monkeypatch):
    monkeypatch.setattr(outbox, "ANSWERS_WAITING", 20)
    served = serve(limits=Limits(samples_per_second=1e6), buffer=4096)
    count = 15_000
    sent = [samples(k, k + 1000) for k in range(0, count, 1000)]
    with deaf(served) as link:
        for message in sent:
            link.send(message)
        assert waited(lambda: served.hub.sessions)
        (one,) = served.hub.sessions
        assert waited(lambda: one._recognizer and one._recognizer.counts.samples >= count - 50)
        assert one.outbox.dropped > 0
        link.send('{"type":"finish"}')
        assert hear(link)["type"] == "ready"
        heard = until_done(link)
    wanted = offline(student, sent)
    got = predictions(heard)
    lost = heard[-1]["counts"]["dropped"]
    assert len(got) + lost == len(wanted)
    assert got[-1] == wanted[-1]
    assert got[0] == wanted[0]  # was on its way already
    assert all(answer in wanted for answer in got)
    told = [a["message"] for a in heard if a["type"] == "notice"]
    assert sum(int(text.split()[0]) for text in told) == lost


def test_a_dead_client_is_given_up_and_holds_up_nobody(serve, student, monkeypatch):
    monkeypatch.setattr(outbox, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(run, "LINGER_SECONDS", 0.2)
    served = serve(limits=Limits(samples_per_second=1e6), buffer=4096)
    with served.greeted() as good, deaf(served) as dead:
        for k in range(0, 15_000, 1000):
            dead.send(samples(k, k + 1000))
        for k in range(0, 600, 20):
            good.send(samples(k, k + 20))
        good.send('{"type":"finish"}')
        assert predictions(until_done(good)) == offline(student, [samples(0, 600)])
        assert waited(lambda: len(served.hub.sessions) == 1)
        assert waited(lambda: len(served.server.server_state.connections) == 1)


def test_a_server_full_of_dead_clients_still_ends(serve, monkeypatch):
    monkeypatch.setattr(hub, "GOODBYE_SECONDS", 0.2)
    served = serve(limits=Limits(samples_per_second=1e6), buffer=4096)
    with ExitStack() as stack:
        for link in [stack.enter_context(deaf(served)) for _ in range(2)]:
            for k in range(0, 15_000, 1000):
                link.send(samples(k, k + 1000))
        served.server.should_exit = True
        assert waited(lambda: not served.hub.sessions)
