from __future__ import annotations

import numpy as np
import pytest

from pskd.edge.settings import StreamSettings
from pskd.edge.targets import Answer
from pskd.stream.decisions import IDLE, UNKNOWN, Decider, Decision, movement, score

CLASSES = ["wave", "clap", "jump"]
STILL = np.tile(np.float32([0, 0, 1]), (50, 1))
MOVING = STILL + np.float32(np.sin(np.arange(50))[:, None])


def answer(*probabilities: float) -> Answer:
    p = np.array(probabilities, np.float32)
    return Answer(np.log(p), p)


def decide(
    settings: StreamSettings, *windows: Answer, still: tuple[int, ...] = ()
) -> list[Decision]:
    decider = Decider(settings, CLASSES, hop=0.5)
    return [
        decider.decide(STILL if i in still else MOVING, w, 2 + 0.5 * i)
        for i, w in enumerate(windows)
    ]


WAVE, CLAP = answer(0.8, 0.1, 0.1), answer(0.1, 0.8, 0.1)


def test_movement_is_the_distance_from_the_mean() -> None:
    window = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    by_hand = np.sqrt(np.mean(np.sum((window - window.mean(0)) ** 2, axis=1)))
    assert movement(window) == pytest.approx(by_hand)


def test_scores() -> None:
    logits = np.array([1.0, 2.0, 3.0], np.float32)
    shown = Answer(logits, np.array([0.2, 0.3, 0.5], np.float32))
    assert score("probability", shown) == pytest.approx(0.5)
    assert score("energy", shown) == pytest.approx(np.log(np.exp(logits).sum()))


def test_the_exponential_is_the_recursion() -> None:
    settings = StreamSettings(smoothing="exponential", smoothing_seconds=1.0)
    last = decide(settings, WAVE, CLAP, CLAP)[-1]
    k = np.exp(-0.5)
    p = np.array([0.8, 0.1, 0.1])
    for _ in range(2):
        p = (1 - k) * np.array([0.1, 0.8, 0.1]) + k * p
    np.testing.assert_allclose(last.probabilities, p, atol=1e-6)


def test_the_hidden_markov_model_is_the_sum_over_all_paths() -> None:
    settings = StreamSettings(smoothing="hmm", smoothing_seconds=2.0)
    windows = [WAVE, CLAP, answer(0.3, 0.3, 0.4)]
    last = decide(settings, *windows)[-1]
    stay = np.exp(-0.5 / 2.0)
    move = np.where(np.eye(3), stay, (1 - stay) / 2)
    sums = np.zeros(3)
    for a in range(3):
        for b in range(3):
            for c in range(3):
                p = [w.probabilities[s] for w, s in zip(windows, (a, b, c), strict=True)]
                sums[c] += np.prod(p) * move[a, b] * move[b, c]
    np.testing.assert_allclose(last.probabilities, sums / sums.sum(), rtol=1e-5)


def test_without_smoothing_a_window_stands_alone() -> None:
    first, second = decide(StreamSettings(smoothing="none"), WAVE, CLAP)
    assert (first.class_name, second.class_name) == ("wave", "clap")
    np.testing.assert_allclose(second.probabilities, CLAP.probabilities)


def test_a_still_window_is_idle_and_says_nothing_of_the_classes() -> None:
    settings = StreamSettings(idle_g=0.05, smoothing="none")
    moving, still = decide(settings, WAVE, WAVE, still=(1,))
    assert (moving.class_name, still.class_name) == ("wave", IDLE)
    np.testing.assert_allclose(still.probabilities, 1 / 3)


def test_a_window_with_a_low_score_is_unknown() -> None:
    settings = StreamSettings(rejection="probability", threshold=0.5, smoothing="none")
    sure, unsure = decide(settings, WAVE, answer(0.4, 0.3, 0.3))
    assert (sure.class_name, unsure.class_name) == ("wave", UNKNOWN)


def test_an_action_is_reported_once_when_it_begins() -> None:
    settings = StreamSettings(smoothing="none")
    reported = [d.action for d in decide(settings, WAVE, WAVE, CLAP, CLAP, WAVE)]
    assert reported == ["wave", None, "clap", None, "wave"]


def test_windows_in_a_row_must_agree_where_that_is_asked_for() -> None:
    settings = StreamSettings(smoothing="none", agree=2)
    reported = [d.action for d in decide(settings, WAVE, CLAP, WAVE, WAVE, WAVE, CLAP, CLAP)]
    assert reported == [None, None, None, "wave", None, None, "clap"]


def test_after_a_report_none_comes_for_the_refractory_time() -> None:
    settings = StreamSettings(smoothing="none", refractory_seconds=1.0)
    reported = [d.action for d in decide(settings, WAVE, CLAP, CLAP, CLAP, WAVE)]
    assert reported == ["wave", None, "clap", None, "wave"]


def test_an_action_that_goes_on_after_a_pause_is_reported_again() -> None:
    settings = StreamSettings(smoothing="none", idle_g=0.05)
    reported = [d.action for d in decide(settings, WAVE, WAVE, WAVE, still=(1,))]
    assert reported == ["wave", None, "wave"]


def test_an_action_counts_as_reported_from_its_report_on() -> None:
    settings = StreamSettings(smoothing="none", agree=2, idle_g=0.05)
    found = decide(settings, WAVE, WAVE, WAVE, WAVE, WAVE, still=(3,))
    assert [d.reported for d in found] == [False, True, True, False, False]
