"""The actions: programmes of joint angles.

Ten of the classes form five pairs that keep the right arm alike and differ elsewhere in the body,
so that a wrist can tell them apart only by how the body carries it: one or two hands waving,
picking up with bent knees or a bent back, squat or lunge, walking or marching, the kicking leg.
What differs from take to take is about as large as what differs within a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pskd.datasets.simulation.body import Arm, Array, Leg, Pose


@dataclass(frozen=True)
class Take:
    """One performance of an action.

    Attributes:
        time: Seconds [T].
        progress: Progress of the action itself [T]: 0 where it starts, 1 where it is done; the
            clip begins a little before and ends a little after.
        pace: Tempo of the person in this take, 1 on average.
        size: Amplitude of the person in this take, 1 on average.
        rng: Source of what differs from take to take.
    """

    time: Array
    progress: Array
    pace: float
    size: float
    rng: np.random.Generator

    def ease(self, start: float, stop: float) -> Array:
        """Go from 0 to 1 between two points of progress, with minimum jerk."""
        x = np.clip((self.progress - start) / (stop - start), 0.0, 1.0)
        return x**3 * (10 - 15 * x + 6 * x**2)

    def hold(self, start: float, reached: float, leave: float, stop: float) -> Array:
        """Go from 0 to 1, stay there, and go back to 0."""
        return self.ease(start, reached) - self.ease(leave, stop)

    def phase(self, hertz: float) -> Array:
        """Angle of a repeated movement, radians [T], begun anywhere in its cycle."""
        start = self.rng.uniform(0, 2 * np.pi)
        return 2 * np.pi * hertz * self.pace * self.time + start


def wave_right(take: Take) -> Pose:
    """Wave the right hand beside the head."""
    return Pose(right_arm=_waving(take, take.phase(1.8)))


def wave_both(take: Take) -> Pose:
    """Wave both hands beside the head, a little slower than one."""
    phase = take.phase(1.55)
    other = phase + take.rng.normal(0.0, 0.4)
    return Pose(right_arm=_waving(take, phase), left_arm=_waving(take, other))


def _waving(take: Take, phase: Array) -> Arm:
    up = take.hold(0.0, 0.25, 0.75, 1.0)
    elbow = up * (85 + 28 * take.size * np.sin(phase) * take.hold(0.15, 0.3, 0.7, 0.85))
    return Arm(15 * up, 70 * up * take.size, -75 * up, elbow, 20 * up)


def swipe_left(take: Take) -> Pose:
    """Swipe the right hand from right to left in front of the chest."""
    up = take.hold(0.0, 0.35, 0.65, 1.0)
    swipe = take.ease(0.35, 0.65)
    abduction = up * take.size * (35 - 75 * swipe)
    arm = Arm(75 * up, abduction, 0.0, 25 * up + 25 * swipe * up, 40 * up)
    return Pose(right_arm=arm, twist=10 * up * take.size * (2 * swipe - 1))


def draw_circle(take: Take) -> Pose:
    """Draw a circle in the air with the right hand."""
    up = take.hold(0.0, 0.25, 0.8, 1.0)
    turns = take.rng.integers(1, 3)
    angle = 2 * np.pi * turns * take.ease(0.1, 0.95)
    radius = 26 * take.size * take.hold(0.1, 0.3, 0.75, 0.95)
    flexion = up * 75 + radius * np.cos(angle)
    return Pose(right_arm=Arm(flexion, radius * np.sin(angle), 0.0, 25 * up, 40 * up))


def throw(take: Take) -> Pose:
    """Throw overarm with the right hand."""
    cock, release = take.ease(0.0, 0.4), take.ease(0.41, 0.61)
    down = 1 - take.ease(0.65, 1.0)
    arm = Arm(
        flexion=(15 * cock + 45 * release) * down,
        abduction=take.size * (85 * cock - 60 * release) * down,
        rotation=(-85 * cock + 110 * release) * down,
        elbow=(95 * cock - 75 * release) * down,
        pronation=40 * release * down,
    )
    step = take.hold(0.25, 0.4, 0.45, 0.6)
    return Pose(
        bend=15 * release * down,
        twist=take.size * (-25 * cock + 50 * release) * down,
        right_arm=arm,
        left_arm=Arm(flexion=50 * cock * (1 - release), elbow=20 * cock * down),
        left_leg=Leg(hip=12 * step, knee=15 * step),
    )


def clap(take: Take) -> Pose:
    """Clap both hands in front of the chest."""
    up = take.hold(0.0, 0.25, 0.75, 1.0)
    beats = take.hold(0.15, 0.3, 0.7, 0.85)
    apart = 0.5 + 0.5 * np.sin(take.phase(1.9)) * beats
    rotation = up * (50 - 28 * take.size * apart)
    arm = Arm(40 * up, 5 * up, rotation, 75 * up, 10 * up)
    return Pose(right_arm=arm, left_arm=Arm(**vars(arm)))


def pick_up_squatting(take: Take) -> Pose:
    """Pick something up from the floor with bent knees and a fairly upright back."""
    down = _down_and_up(take)
    leg = Leg(hip=70 * down, knee=96 * down)
    return _reaching(take, down, take.rng.uniform(42, 62) * down, 8.0, leg)


def pick_up_bending(take: Take) -> Pose:
    """Pick something up from the floor with fairly straight legs and a bent back."""
    down = _down_and_up(take)
    knee = take.rng.uniform(35, 60)
    leg = Leg(hip=(20 + knee / 2) * down, knee=knee * down)  # the hips go back for balance
    return _reaching(take, down, take.rng.uniform(75, 95) * down, 4.0, leg)


def _down_and_up(take: Take) -> Array:
    low = take.rng.uniform(0.36, 0.46)
    return take.size * take.hold(0.0, low, low + 0.13, take.rng.uniform(0.9, 1.0))


def _reaching(take: Take, down: Array, bend: Array, ahead: float, leg: Leg) -> Pose:
    """Both arms hang down, the right one a little ahead, however far the trunk is bent."""
    hang = bend + take.rng.normal(ahead, 10.0) * down
    grip = Arm(flexion=hang, elbow=take.rng.normal(10.0, 8.0) * down, pronation=30 * down)
    free = Arm(flexion=bend * take.rng.uniform(0.6, 1.0))
    return Pose(bend=bend, right_arm=grip, left_arm=free, right_leg=leg, left_leg=Leg(**vars(leg)))


def squat(take: Take) -> Pose:
    """Squat with both arms stretched forward."""
    down = take.hold(0.08, 0.42, 0.58, 0.92)
    leg = Leg(hip=70 * take.size * down, knee=90 * take.size * down)
    pose = _stretched(take, take.rng.uniform(2, 18) * down)
    pose.right_leg, pose.left_leg = leg, Leg(**vars(leg))
    return pose


def lunge(take: Take) -> Pose:
    """Lunge with the right leg, both arms stretched forward."""
    down = take.hold(0.08, 0.42, 0.58, 0.92)
    swing = take.hold(0.05, 0.2, 0.22, 0.4) + take.hold(0.6, 0.75, 0.8, 0.95)
    pose = _stretched(take, take.rng.uniform(0, 16) * down)
    pose.right_leg = Leg(hip=52 * take.size * down + 12 * swing, knee=75 * down + 25 * swing)
    pose.left_leg = Leg(hip=-6 * down, knee=70 * take.size * down)
    return pose


def _stretched(take: Take, bend: Array) -> Pose:
    """Both arms point forward, level, however far the trunk is bent."""
    early = take.rng.uniform(0.0, 0.18)
    up = take.hold(early, early + 0.3, 0.7 - early, 1.0 - early)
    flexion = up * take.rng.normal(80.0, 10.0) + bend
    arms = [Arm(flexion, -4 * up, 0.0, 8 * up, 35 * up) for _ in range(2)]
    return Pose(bend=bend, right_arm=arms[0], left_arm=arms[1])


def walk(take: Take) -> Pose:
    """Walk forward, the right hand holding a telephone before the chest."""
    phase = take.phase(0.85)
    going = take.hold(0.0, 0.2, 0.8, 1.0)
    legs = []
    for p in (phase, phase + np.pi):
        swing = np.clip(np.cos(p), 0, None) ** 2
        hip = 5 + 12 * take.size * np.sin(p)
        legs.append(Leg(hip=going * hip, knee=going * (8 + 40 * swing)))
    return _gait(take, phase, going, legs, take.rng.uniform(2, 16))


def march(take: Take) -> Pose:
    """March in place, the right hand holding a telephone before the chest."""
    phase = take.phase(0.85)
    going = take.hold(0.0, 0.2, 0.8, 1.0)
    legs = []
    for p in (phase, phase + np.pi):
        lift = going * np.clip(np.sin(p), 0, None) ** 2
        legs.append(Leg(hip=50 * take.size * lift, knee=75 * take.size * lift))
    return _gait(take, phase, going, legs, take.rng.uniform(8, 22))


def _gait(take: Take, phase: Array, going: Array, legs: list[Leg], spring: float) -> Pose:
    """Add what walking and marching share: springy knees, a held arm that bobs, a swinging one."""
    give = spring * going * np.sin(phase + take.rng.uniform(0, np.pi)) ** 2
    for leg in legs:
        leg.hip, leg.knee = leg.hip + give / 2, leg.knee + give
    bob = [
        size * going * np.sin(2 * phase + start)
        for size, start in zip(take.rng.normal(0, 8, 2), take.rng.uniform(0, 6.3, 2), strict=True)
    ]
    return Pose(
        twist=5 * going * np.sin(phase),
        right_arm=Arm(25 + bob[0], 5, 25, 95 + bob[1], 20),
        left_arm=Arm(flexion=22 * take.size * going * np.sin(phase), elbow=15 * going),
        right_leg=legs[0],
        left_leg=legs[1],
    )


def kick_left(take: Take) -> Pose:
    """Kick forward with the left leg."""
    counter = _counter_swing(take)
    return Pose(
        left_leg=_kicking(take),
        right_leg=_standing(take),
        right_arm=Arm(flexion=counter),
        left_arm=Arm(flexion=-counter),
    )


def kick_right(take: Take) -> Pose:
    """Kick forward with the right leg."""
    counter = _counter_swing(take)
    return Pose(
        right_leg=_kicking(take),
        left_leg=_standing(take),
        left_arm=Arm(flexion=counter),
        right_arm=Arm(flexion=-counter),
    )


def _kicking(take: Take) -> Leg:
    back, forth = take.ease(0.1, 0.35), take.ease(0.35, 0.55)
    down = 1 - take.ease(0.62, 0.95)
    hip = take.size * (-18 * back + 78 * forth) * down
    return Leg(hip=hip, knee=(65 * back - 50 * forth) * down)


def _standing(take: Take) -> Leg:
    soft: Array = take.rng.uniform(6, 14) * take.hold(0.0, 0.3, 0.7, 1.0)
    return Leg(hip=soft / 2, knee=soft)


def _counter_swing(take: Take) -> Array:
    """Most people swing the opposite arm along with the leg, some hardly or the other way."""
    swing: Array = take.rng.normal(4, 7) * take.hold(0.25, 0.5, 0.65, 1.0)
    return swing


ACTIONS: dict[str, tuple[Callable[[Take], Pose], float]] = {
    "wave right hand": (wave_right, 3.2),
    "wave both hands": (wave_both, 3.2),
    "swipe left": (swipe_left, 2.6),
    "draw circle": (draw_circle, 3.0),
    "throw": (throw, 2.8),
    "clap": (clap, 3.0),
    "pick up by squatting": (pick_up_squatting, 3.4),
    "pick up by bending": (pick_up_bending, 3.4),
    "squat": (squat, 3.4),
    "lunge": (lunge, 3.4),
    "walk": (walk, 3.8),
    "march in place": (march, 3.8),
    "kick with left leg": (kick_left, 2.8),
    "kick with right leg": (kick_right, 2.8),
}
"""Class name -> (programme, usual length in seconds)."""
