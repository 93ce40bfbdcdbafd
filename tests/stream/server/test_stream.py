"""A stream through the server is the recogniser's own, however it is cut into messages."""

import numpy as np
import pytest

from pskd.stream.wire import encode_samples
from tests.stream.server.serving import hear, offline, predictions, samples, until_done

LONG = 600
"""Samples: twelve seconds at 50 Hz."""


def test_ready_says_what_to_expect(serve, student):
    with serve().connect() as link:
        link.send('{"type":"hello","version":1,"unit":"m/s2"}')
        ready = hear(link)
    assert ready["classes"] == student.config.classes
    assert ready["window_seconds"] == student.config.window_seconds
    assert (ready["type"], ready["version"], ready["hop_seconds"]) == ("ready", 1, 0.2)
    assert ready["settings"] == student.settings.model_dump(mode="json")


@pytest.mark.parametrize("size", [1, 7, 100, LONG])
def test_any_size_of_message_gives_what_the_recogniser_gives(serve, student, size):
    wanted = offline(student, [samples(0, LONG)])
    assert len(wanted) > 20
    with serve().greeted() as link:
        for k in range(0, LONG, size):
            link.send(samples(k, min(LONG, k + size)))
        link.send('{"type":"finish"}')
        heard = until_done(link)
    assert predictions(heard) == wanted
    assert heard[-1]["counts"]["windows"] == len(wanted)
    assert (heard[-1]["counts"]["samples"], heard[-1]["counts"]["dropped"]) == (LONG, 0)


@pytest.mark.parametrize("scale", [None, 16 / 32767])
def test_binary_frames_at_a_nominal_rate_in_si_units(serve, student, scale):
    x = 9.80665 * np.random.default_rng(0).normal(size=(LONG, 3))
    frames = [encode_samples(x[k : k + 50], scale=scale) for k in range(0, LONG, 50)]
    with serve().greeted(unit="m/s2", rate=50) as link:
        for frame in frames:
            link.send(frame)
        link.send('{"type":"finish"}')
        heard = until_done(link)
    assert predictions(heard) == offline(student, frames, unit="m/s2", rate=50)


def test_after_done_another_recording_may_come(serve, student):
    with serve().greeted() as link:
        for _ in range(2):  # the second begins at 0 again, which would be late in the first
            link.send(samples(0, LONG))
            link.send('{"type":"finish"}')
            assert predictions(until_done(link)) == offline(student, [samples(0, LONG)])


def test_streams_beside_each_other_do_not_mix(serve, student):
    x = np.random.default_rng(1).normal(size=(2, LONG, 3))
    frames = [
        [encode_samples(x[s, k : k + 20], k / 50, 0.02) for k in range(0, LONG, 20)] for s in (0, 1)
    ]
    served = serve()
    with served.greeted() as first, served.greeted() as second:
        for a, b in zip(*frames, strict=True):
            first.send(a)
            second.send(b)
        for link, sent in ((first, frames[0]), (second, frames[1])):
            link.send('{"type":"finish"}')
            assert predictions(until_done(link)) == offline(student, sent)


def test_what_the_recogniser_notices_is_told_once(serve):
    with serve().greeted(unit="m/s2") as link:  # the wave is in g: far too little gravity
        link.send(samples(0, LONG))
        link.send('{"type":"finish"}')
        notices = [answer for answer in until_done(link) if answer["type"] == "notice"]
    assert len(notices) == 1
    assert "unit" in notices[0]["message"]


def test_the_end_of_the_server_gives_what_is_left(serve, student):
    served = serve()
    with served.greeted() as link, served.connect():  # the second never says a word
        link.send(samples(0, LONG))
        heard = [hear(link) for _ in range(3)]
        served.server.should_exit = True
        heard += until_done(link)
        assert predictions(heard) == offline(student, [samples(0, LONG)])
        with pytest.raises(Exception, match="1001"):
            link.recv(timeout=10)
