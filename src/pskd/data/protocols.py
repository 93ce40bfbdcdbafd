"""Protocols: who trains and who is tested, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pskd.data.store import RecordingInfo
from pskd.errors import ProtocolError, UsageError, nearest

Infos = Sequence[RecordingInfo]
Names = Iterable[str | int]
"""Subjects, trials, sessions, scenes or cameras; recipes may write them as numbers."""


@dataclass(frozen=True)
class Split:
    """One division of the recordings of a store.

    Attributes:
        name: Name of the protocol.
        train: Indices of the recordings to train on.
        validation: Indices of those to choose by; often none.
        test: Indices of those to report on.
        subject_independent: Whether nobody is on two sides. Figures of protocols that differ in
            this are not to be compared.
        note: What the split is, in words, to be printed with every figure.
        shares_takes: Whether the sides share takes by design: the same accelerometer signal trains
            and is tested, seen by other cameras.
    """

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    subject_independent: bool
    note: str
    shares_takes: bool = False

    @property
    def sides(self) -> dict[str, tuple[int, ...]]:
        """The three sides by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def cross_subject(infos: Infos, *, train: Names, test: Names, validation: Names = ()) -> Split:
    """Some subjects train, others validate, others are tested."""
    training, tested, validating = (
        _known("subject", names, infos) for names in (train, test, validation)
    )
    note = f"subjects {', '.join(training)} train, {', '.join(tested)} test"
    return Split(
        "cross_subject",
        train=_where(infos, lambda i: i.subject in training),
        validation=_where(infos, lambda i: i.subject in validating),
        test=_where(infos, lambda i: i.subject in tested),
        subject_independent=True,
        note=f"{note}, {', '.join(validating)} validate" if validating else note,
    )


def trial_split(infos: Infos, *, train: Names, test: Names, validation: Names = ()) -> Split:
    """Some trials of everybody train, others are tested: NOT subject-independent.

    Subjects named in `validation` give their training trials to the validation side.
    """
    return _shared_subjects("trial_split", "trial", infos, train, test, validation)


def cross_session(infos: Infos, *, train: Names, test: Names, validation: Names = ()) -> Split:
    """Some sessions train, others are tested: NOT subject-independent (MMAct).

    Subjects named in `validation` give their training sessions to the validation side.
    """
    return _shared_subjects("cross_session", "session", infos, train, test, validation)


def cross_scene(infos: Infos, *, train: Names, test: Names, validation: Names = ()) -> Split:
    """Some scenes train, others are tested: NOT subject-independent (MMAct).

    Subjects named in `validation` give their training scenes to the validation side.
    """
    return _shared_subjects("cross_scene", "scene", infos, train, test, validation)


def cross_view(infos: Infos, *, train: Names, test: Names, validation: Names = ()) -> Split:
    """Some cameras train, others are tested: the SAME takes on both sides (MMAct).

    A sensor has no camera: whoever sees the accelerometer is tested on the very signals it was
    trained on. Only figures of models that see the skeleton alone mean something here.
    """
    split = _shared_subjects("cross_view", "view", infos, train, test, validation)
    note = (
        f"{split.note}. NOT take-independent: every camera sees the same takes, so an accelerometer"
        " model is tested on signals it was trained on"
    )
    return replace(split, note=note, shares_takes=True)


def predefined(infos: Infos) -> Split:
    """The sides that came with the data, `Recording.side`."""
    train, validation, test = (
        tuple(i for i, info in enumerate(infos) if info.side == side)
        for side in ("train", "validation", "test")
    )
    sides_of: dict[str, set[str]] = {}
    for info in infos:
        if info.side:
            sides_of.setdefault(info.subject, set()).add(info.side)
    both = [subject for subject, sides in sides_of.items() if len(sides) > 1]
    note = "sides as they came with the data"
    if both:
        note = f"NOT subject-independent: {note}, {len(both)} people on two of them"
    return Split("predefined", train, validation, test, not both, note)


def leave_one_subject_out(infos: Infos, *, held_out: str | int, validation: Names = ()) -> Split:
    """One subject is tested, all others train, or validate where named."""
    (one,), held = _known("subject", [held_out], infos), _known("subject", validation, infos)
    return Split(
        "leave_one_subject_out",
        train=_where(infos, lambda i: i.subject != one and i.subject not in held),
        validation=_where(infos, lambda i: i.subject in held),
        test=_where(infos, lambda i: i.subject == one),
        subject_independent=True,
        note=f"subject {one} held out",
    )


PROTOCOLS: dict[str, Callable[..., Split]] = {
    f.__name__: f
    for f in (
        cross_subject,
        leave_one_subject_out,
        trial_split,
        cross_session,
        cross_scene,
        cross_view,
        predefined,
    )
}


def make_split(
    name: str, infos: Infos, classes: Sequence[str], options: Mapping[str, object]
) -> Split:
    """Divide recordings by a named protocol and check that the split keeps its promises.

    Args:
        name: One of `PROTOCOLS`.
        infos: The recordings, `Store.info`.
        classes: Names of the classes that the labels point into.
        options: Keyword arguments of the protocol.

    Raises:
        UsageError: Unknown protocol, option, subject or trial.
        ProtocolError: A side without recordings, a label outside the classes, a class without
            training recordings, or a subject on two sides where the protocol forbids it.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"unknown protocol {name!r}", remedy=nearest(name, PROTOCOLS))
    signature = inspect.signature(PROTOCOLS[name])
    known = signature.parameters.keys() - {"infos"}
    for option in options.keys() - known:
        raise UsageError(f"unknown option {option!r}", where=name, remedy=nearest(option, known))
    try:
        signature.bind(infos, **options)
    except TypeError as error:
        raise UsageError(str(error), where=name, remedy="Name it in the recipe") from error
    split = PROTOCOLS[name](infos, **options)
    _check_sides(split, infos)
    _check_labels(split, infos, classes)
    return split


def _shared_subjects(
    name: str, field: str, infos: Infos, train: Names, test: Names, validation: Names
) -> Split:
    """Divide by a field that does not keep people apart."""
    first, second = (_known(field, names, infos) for names in (train, test))
    if both := [t for t in first if t in second]:
        raise ProtocolError(
            f"{field} {both[0]!r} is on two sides", where=name, remedy="Take it out of one"
        )
    held = _known("subject", validation, infos)
    return Split(
        name,
        train=_where(infos, lambda i: getattr(i, field) in first and i.subject not in held),
        validation=_where(infos, lambda i: getattr(i, field) in first and i.subject in held),
        test=_where(infos, lambda i: getattr(i, field) in second),
        subject_independent=False,
        note=f"NOT subject-independent: {field}s {', '.join(first)} train and {', '.join(second)} "
        "test, the same people on both sides; easier than any cross-subject protocol",
    )


def _check_sides(split: Split, infos: Infos) -> None:
    for side in ("train", "test"):
        if not split.sides[side]:
            raise ProtocolError(
                f"the {side} side is empty",
                where=split.name,
                remedy="Name others, or give recordings a side in the data",
            )
    seen: dict[str, str] = {}
    for side, indices in split.sides.items():
        for subject in {infos[i].subject for i in indices}:
            if split.subject_independent and seen.setdefault(subject, side) != side:
                raise ProtocolError(
                    f"subject {subject!r} is on two sides, {seen[subject]} and {side}",
                    where=split.name,
                    remedy="Name each subject on one side only",
                )


def _check_labels(split: Split, infos: Infos, classes: Sequence[str]) -> None:
    for info in infos:
        if not 0 <= info.label < len(classes):
            raise ProtocolError(
                f"label {info.label} is outside the {len(classes)} classes", where=info.id
            )
    trained = {infos[i].label for i in split.train}
    there = {info.label for info in infos}  # a class that nobody recorded is nobody's fault
    missing = [repr(classes[label]) for label in sorted(there - trained)]
    if missing:
        raise ProtocolError(
            f"no training recordings of class {', '.join(missing)}",
            where=split.name,
            remedy="Add subjects or trials that hold it to the train side",
        )


def _known(field: str, names: Names, infos: Infos) -> list[str]:
    """Return names as text after checking that each occurs in the recordings."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"{field}s {names!r} are not a list", remedy=f"Write [{names}]")
    there = {getattr(info, field) for info in infos}
    wanted = [str(name) for name in names]
    for name in wanted:
        if name not in there:
            raise UsageError(f"there is no {field} {name!r}", remedy=nearest(name, there))
    return wanted


def _where(infos: Infos, belongs: Callable[[RecordingInfo], bool]) -> tuple[int, ...]:
    return tuple(i for i, info in enumerate(infos) if belongs(info))
