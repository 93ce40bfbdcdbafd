"""What each class of the real datasets looks like when simulated people do it.

The movements resemble their names and differ from each other; they are no model of how the people
of a dataset moved.
"""

from __future__ import annotations

from collections.abc import Callable

from pskd.datasets.simulation import actions
from pskd.datasets.simulation.actions import Take
from pskd.datasets.simulation.body import Pose
from pskd.datasets.simulation.scores import Keys, Score, Steps
from pskd.errors import UsageError, nearest

Programme = Callable[[Take], Pose]
Angles = dict[str, Keys]


def programme(dataset: str, label: int) -> tuple[Programme, float]:
    """Return the programme of a class and how many seconds it usually takes.

    Args:
        dataset: `utd_mhad`, `berkeley_mhad` or `mmact`.
        label: Index into the classes of the dataset.

    Raises:
        UsageError: No such dataset or class.
    """
    if dataset not in REPERTOIRE:
        raise UsageError(f"no repertoire for {dataset!r}", remedy=nearest(dataset, REPERTOIRE))
    classes = tuple(REPERTOIRE[dataset].values())
    if not 0 <= label < len(classes):
        raise UsageError(
            f"class {label} of {dataset} does not exist", remedy=f"Give 0 to {len(classes) - 1}"
        )
    return classes[label]


def _from(start: float, stop: float) -> Callable[[float], Keys]:
    return lambda degrees: {start: degrees, stop: degrees}


_hold = _from(0.25, 0.75)


def _all_along(degrees: float) -> Keys:
    return {0.0: degrees, 1.0: degrees}


def _take_up(degrees: float) -> Keys:
    return {0.2: 0.0, 0.75: degrees, 1.0: degrees}


def _give_up(degrees: float) -> Keys:
    return {0.0: degrees, 0.2: degrees, 0.75: 0.0}


def _arm(flexion: float, elbow: float, keys: Callable[[float], Keys] = _hold) -> Angles:
    return {"right_flexion": keys(flexion), "right_elbow": keys(elbow)}


def _arms(flexion: float, elbow: float, keys: Callable[[float], Keys] = _hold) -> Angles:
    return {"flexion": keys(flexion), "elbow": keys(elbow)}


def _legs(hip: float, knee: float, keys: Callable[[float], Keys] = _hold) -> Angles:
    return {"hip": keys(hip), "knee": keys(knee)}


def draw_circle_back(take: Take) -> Pose:
    """Draw a circle the other way round."""
    pose = actions.draw_circle(take)
    pose.right_arm.abduction = -pose.right_arm.abduction
    return pose


_SITTING = _legs(80, 82, _all_along)
_SITTING_DOWN = Score(_legs(80, 82, _take_up) | dict(bend={0.45: 38, 0.8: 6, 1.0: 6}))
_STANDING_UP = Score(_legs(80, 82, _give_up) | dict(bend={0.0: 6, 0.2: 6, 0.5: 38, 0.8: 0}))
_REACH_DOWN = _legs(50, 60, _from(0.45, 0.55)) | dict(bend=_from(0.45, 0.55)(58))
_PHONE = _arm(32, 105)
_TYPING = dict(right_pronation=(14, 0), right_elbow=(5, 0.3))
_CALL = _arm(48, 138) | dict(right_abduction=_hold(42))
_WALK = Steps(stride=19, knee=42, arms=17)
_BOXING = Score(
    _arms(35, 118) | dict(rotation=_hold(18), twist=_hold(-15)),
    dict(right_flexion=(50, 0), right_elbow=(-95, 0), left_flexion=(50, 0.5), left_elbow=(-95, 0.5),
    twist=(30, 0)), hertz=1.4)  # fmt: skip

_UTD_MHAD: dict[str, tuple[Programme, float]] = {
    "swipe left": (actions.swipe_left, 2.6),
    "swipe right": (
        Score(_arm(75, 35) | dict(right_abduction={0.33: -42, 0.62: 38}, right_pronation=_hold(35),
        twist={0.33: 10, 0.62: -10})), 2.6),
    "wave": (actions.wave_right, 3.2),
    "clap": (actions.clap, 3),
    "throw": (actions.throw, 2.8),
    "arm cross": (Score(_arms(48, 85) | dict(rotation=_hold(80))), 2.8),
    "basketball shoot": (
        Score(dict(flexion={0.3: 45, 0.58: 135, 0.75: 135}, elbow={0.3: 115, 0.58: 12, 0.75: 12},
        hip={0.35: 24, 0.58: 0}, knee={0.35: 48, 0.58: 0})), 3),
    "draw x": (
        Score(dict(right_flexion={0.15: 105, 0.4: 45, 0.58: 105, 0.85: 45},
        right_abduction={0.15: 34, 0.4: -34, 0.58: -34, 0.85: 34},
        right_elbow=_from(0.15, 0.85)(22))), 3.4),
    "draw circle clockwise": (actions.draw_circle, 3),
    "draw circle counter-clockwise": (draw_circle_back, 3),
    "draw triangle": (
        Score(dict(right_flexion={0.15: 108, 0.4: 48, 0.62: 48, 0.85: 108},
        right_abduction={0.15: 0, 0.4: 36, 0.62: -36, 0.85: 0},
        right_elbow=_from(0.15, 0.85)(22))), 3.4),
    "bowling": (
        Score(dict(right_flexion={0.3: -48, 0.58: 75, 0.72: 75}, bend={0.3: 20, 0.55: 40, 0.7: 25},
        left_hip={0.3: 5, 0.55: 46, 0.7: 46}, left_knee={0.3: 10, 0.55: 62, 0.7: 62},
        right_knee={0.3: 10, 0.55: 48, 0.7: 48}, left_abduction={0.5: 40})), 2.8),
    "boxing": (_BOXING, 3),
    "baseball swing": (
        Score(dict(twist={0.38: -48, 0.6: 55, 0.75: 55}, flexion=_from(0.3, 0.75)(68),
        right_elbow={0.38: 90, 0.6: 20, 0.75: 60}, right_rotation=_from(0.3, 0.75)(40),
        left_abduction={0.38: -38, 0.6: 10, 0.75: 10})), 2.6),
    "tennis swing": (
        Score(dict(twist={0.38: -32, 0.62: 34}, right_flexion={0.38: 15, 0.62: 85, 0.75: 85},
        right_abduction={0.38: 78, 0.62: -32, 0.75: -32},
        right_elbow={0.38: 20, 0.62: 35, 0.75: 60}, right_knee={0.4: 22, 0.6: 6},
        left_knee={0.4: 8, 0.6: 22})), 2.6),
    "arm curl": (Score(beats=dict(elbow=(115, 0)), hertz=0.8), 3.2),
    "tennis serve": (
        Score(dict(right_flexion={0.4: 25, 0.6: 130, 0.8: 30}, right_abduction={0.4: 95, 0.6: 0},
        right_rotation={0.4: -85, 0.62: 30, 0.8: 0}, right_elbow={0.4: 110, 0.6: 10, 0.8: 20},
        left_flexion={0.33: 150, 0.6: 20}, hip={0.38: 12, 0.55: 0}, knee={0.38: 30, 0.55: 0},
        bend={0.38: -12, 0.66: 26})), 3.2),
    "push": (
        Score(dict(flexion={0.28: 35, 0.55: 84, 0.72: 84}, elbow={0.28: 125, 0.55: 8, 0.72: 8},
        bend={0.28: 0, 0.55: 10, 0.72: 10})), 2.6),
    "knock": (Score(_arm(62, 60), dict(right_elbow=(42, 0)), hertz=2.3), 2.8),
    "catch": (
        Score(dict(right_flexion={0.35: 92, 0.46: 92, 0.68: 25},
        right_abduction={0.35: 18, 0.46: 18, 0.68: 5},
        right_elbow={0.35: 6, 0.46: 12, 0.68: 105})), 2.4),
    "pick up and throw": (
        Score(dict(bend={0.27: 72, 0.34: 72, 0.55: -4, 0.72: 18},
        hip={0.27: 46, 0.34: 46, 0.52: 0}, knee={0.27: 55, 0.34: 55, 0.52: 0},
        right_flexion={0.27: 85, 0.34: 85, 0.55: 20, 0.72: 75},
        right_abduction={0.38: 0, 0.57: 85, 0.72: 15},
        right_rotation={0.38: 0, 0.57: -82, 0.72: 25}, right_elbow={0.38: 10, 0.57: 95, 0.72: 15},
        twist={0.4: 0, 0.57: -24, 0.72: 26})), 4),
    "jog": (
        Score(_arms(5, 80, _from(0.15, 0.85)), hertz=1.35,
        steps=Steps(lift=34, knee=30, arms=24, flight=0.6)), 3.2),
    "walk": (Score(hertz=0.9, steps=Steps(lift=38, arms=14)), 3.4),
    "sit to stand": (_STANDING_UP, 2.8),
    "stand to sit": (_SITTING_DOWN, 2.8),
    "lunge": (actions.lunge, 3.4),
    "squat": (actions.squat, 3.4),
}  # fmt: skip

_BERKELEY_MHAD: dict[str, tuple[Programme, float]] = {
    "jumping in place": (
        Score(beats=dict(flexion=(38, 0), elbow=(30, 0.2)), hertz=1.2,
        steps=Steps(knee=48, flight=1.0, hops=1)), 4.2),
    "jumping jacks": (
        Score(beats=dict(abduction=(145, 0), spread=(21, 0)), hertz=0.95,
        steps=Steps(knee=26, flight=0.9, hops=2)), 4.4),
    "bending": (
        Score(_arms(70, 5, _from(0.12, 0.88)), dict(bend=(78, 0), hip=(16, 0), knee=(12, 0)),
        hertz=0.45), 5),
    "punching": (_BOXING, 4),
    "waving two hands": (actions.wave_both, 4),
    "waving one hand": (actions.wave_right, 4),
    "clapping": (actions.clap, 4),
    "throwing": (actions.throw, 2.8),
    "sit down then stand up": (
        Score(_legs(80, 82, _from(0.4, 0.6)) | dict(bend={0.25: 36, 0.5: 6, 0.75: 36})), 4),
    "sit down": (_SITTING_DOWN, 2.6),
    "stand up": (_STANDING_UP, 2.6),
}  # fmt: skip

_MMACT: dict[str, tuple[Programme, float]] = {
    "standing": (Score(), 4),
    "crouching": (Score(_legs(105, 138, _from(0.3, 0.8)) | dict(bend=_hold(34))), 4),
    "walking": (Score(hertz=0.9, steps=_WALK), 4.2),
    "running": (
        Score(_arms(8, 88, _from(0.12, 0.88)) | dict(bend=_hold(10)), hertz=1.4,
        steps=Steps(stride=30, lift=14, knee=75, arms=34, flight=0.8)), 3.4),
    "checking time": (Score(_arm(38, 88) | dict(right_rotation=_hold(62), bend=_hold(10))), 3.2),
    "waving hand": (actions.wave_right, 3.4),
    "using phone": (Score(_PHONE, _TYPING, hertz=1.7), 4.2),
    "talking on phone": (Score(_CALL, dict(twist=(14, 0)), hertz=0.35), 4.4),
    "kicking": (actions.kick_right, 2.8),
    "pointing": (Score(_arm(88, -6) | dict(right_pronation=_hold(30))), 3),
    "throwing": (actions.throw, 2.8),
    "jumping": (
        Score(beats=dict(flexion=(60, 0)), hertz=1.1, steps=Steps(knee=60, flight=1.0, hops=1)),
        3.6),
    "exiting": (
        Score(_arm(45, 70, _from(0.12, 0.2)) | dict(facing=_take_up(-75)),
        hertz=0.85, steps=_WALK), 4.4),
    "entering": (
        Score(_arm(80, 15, _from(0.15, 0.35)) | dict(facing=_give_up(75)),
        hertz=0.85, steps=_WALK), 4.4),
    "setting down": (
        Score(_REACH_DOWN | dict(flexion={0.0: 25, 0.15: 25, 0.45: 70, 0.58: 60, 0.85: 0},
        elbow={0.0: 85, 0.15: 85, 0.45: 15, 0.85: 0})), 3.6),
    "talking": (
        Score(_arms(14, 62), dict(right_elbow=(40, 0), left_elbow=(34, 0.37),
        rotation=(-26, 0.15)), hertz=0.7), 4.4),
    "opening": (
        Score(dict(right_flexion={0.3: 70, 0.4: 70}, right_abduction=_hold(8),
        right_elbow={0.3: 8, 0.4: 8, 0.75: 100}, twist={0.4: 10, 0.75: -24},
        right_hip={0.5: 0, 0.75: -12})), 3.4),
    "closing": (
        Score(dict(right_flexion={0.3: 5, 0.68: 78, 0.78: 78}, right_abduction=_hold(8),
        right_elbow={0.3: 105, 0.68: 8, 0.78: 8}, twist={0.3: -24, 0.7: 20},
        right_hip={0.35: 0, 0.7: 16})), 3.4),
    "carrying": (
        Score(_arms(25, 85, _all_along) | dict(rotation=_all_along(22)), hertz=0.85,
        steps=Steps(stride=17, knee=40)), 4.2),
    "loitering": (
        Score(dict(facing={0.3: 60, 0.7: -60}, flexion=_hold(-22), elbow=_hold(45)), hertz=0.6,
        steps=Steps(stride=10, knee=26)), 4.8),
    "transferring object": (
        Score(dict(right_flexion={0.25: 35, 0.5: 62, 0.7: 10},
        right_elbow={0.25: 80, 0.5: 35, 0.7: 20}, right_rotation={0.25: 10, 0.5: 45, 0.7: 0},
        left_flexion={0.3: 10, 0.5: 62, 0.75: 20}, left_elbow={0.3: 20, 0.5: 35, 0.75: 85},
        left_rotation={0.3: 0, 0.5: 20, 0.75: 10})), 3.4),
    "looking around": (Score(dict(twist={0.25: 48, 0.4: 48, 0.65: -48, 0.8: -48})), 4.4),
    "pushing": (
        Score(_arms(76, 12, _from(0.15, 0.85)) | dict(bend=_from(0.15, 0.85)(24)), hertz=0.7,
        steps=Steps(stride=18, knee=36)), 4.2),
    "pulling": (
        Score(_arms(62, 24, _from(0.15, 0.85)) | dict(bend=_from(0.15, 0.85)(-16)), hertz=0.7,
        steps=Steps(stride=-16, knee=36)), 4.2),
    "picking up": (
        Score(_REACH_DOWN | dict(flexion={0.15: 0, 0.45: 60, 0.55: 70, 0.85: 25, 1.0: 25},
        elbow={0.55: 15, 0.85: 85, 1.0: 85})), 3.6),
    "fall": (
        Score(dict(knee={0.15: 0, 0.38: 96, 1.0: 96}, hip={0.15: 0, 0.38: 8, 1.0: 8},
        bend={0.25: 5, 0.5: 78, 1.0: 82}, flexion={0.2: 10, 0.42: 80, 1.0: 95},
        elbow={0.42: 10, 0.55: 55, 1.0: 60})), 2.8),
    "sitting down": (_SITTING_DOWN, 2.8),
    "using pc": (
        Score(_SITTING | _arms(28, 72, _all_along) | dict(rotation=_all_along(20)),
        dict(right_pronation=(12, 0), left_pronation=(12, 0.5)), hertz=2.6), 4.4),
    "drinking": (
        Score(_arm(58, 128) | dict(right_rotation=_hold(28), bend=_from(0.4, 0.65)(-9)),
        dict(right_elbow=(10, 0)), hertz=0.6), 3.8),
    "pocket out": (
        Score(dict(right_flexion={0.25: -18, 0.4: -18, 0.7: 34, 1.0: 34},
        right_elbow={0.25: 62, 0.4: 62, 0.7: 100, 1.0: 100},
        right_abduction={0.25: 16, 0.4: 16, 0.7: 0})), 3),
    "pocket in": (
        Score(dict(right_flexion={0.0: 34, 0.3: 34, 0.6: -18, 0.75: -18},
        right_elbow={0.0: 100, 0.3: 100, 0.6: 62, 0.75: 62},
        right_abduction={0.3: 0, 0.6: 16, 0.75: 16})), 3),
    "sitting": (Score(_SITTING), 4),
    "using phone desk": (Score(_SITTING | _PHONE, _TYPING, hertz=1.7), 4.2),
    "talking on phone desk": (Score(_SITTING | _CALL, dict(twist=(14, 0)), hertz=0.35), 4.4),
    "standing up": (_STANDING_UP, 2.8),
    "carrying light": (
        Score(dict(right_elbow=_all_along(28), right_abduction=_all_along(8)), hertz=0.9,
        steps=Steps(stride=18, knee=42, arms=6)), 4.2),
    "carrying heavy": (
        Score(_arms(26, 40, _all_along) | dict(bend=_all_along(-12), knee=_all_along(14)),
        hertz=0.7, steps=Steps(stride=11, knee=30)), 4.4),
}  # fmt: skip

REPERTOIRE: dict[str, dict[str, tuple[Programme, float]]] = {
    "utd_mhad": _UTD_MHAD,
    "berkeley_mhad": _BERKELEY_MHAD,
    "mmact": _MMACT,
}
"""Programme and usual seconds of every class, by dataset and class name, in the order of labels."""
