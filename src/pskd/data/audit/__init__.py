"""What is wrong with a division of recordings before anybody trains on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pskd.data.audit.contents import dead_sensors, left_out, saturation, units
from pskd.data.audit.copies import exact_copies, partial_copies
from pskd.data.audit.findings import Audit, Finding
from pskd.data.audit.giveaway import giveaways
from pskd.data.audit.sides import balance, shared_fields, shared_recordings, shared_takes
from pskd.data.audit.signals import read_signals
from pskd.data.protocols import Split
from pskd.data.store import Store

__all__ = ["Audit", "Finding", "audit"]


def audit(store: Store, split: Split, classes: Sequence[str]) -> Audit:
    """Look for what the sides of a split share, and for what gives the classes away.

    Args:
        store: The recordings; every signal is read once.
        split: How they are divided.
        classes: Names of the classes that the labels point into.

    Returns:
        What was found; a training should be refused where there are `leaks`.
    """
    infos, signals = store.info, read_signals(store)
    findings = chain(
        shared_recordings(infos, split),
        shared_fields(infos, split),
        shared_takes(infos, split),
        exact_copies(infos, split, signals),
        partial_copies(infos, split, signals),
        balance(infos, split, classes),
        giveaways(infos, split, signals),
        units(infos, signals),
        saturation(infos, split, signals),
        dead_sensors(infos, signals),
        left_out(store.set_aside),
    )
    return Audit(
        store.dataset,
        split.name,
        split.note,
        {side: len(indices) for side, indices in split.sides.items()},
        tuple(findings),
    )
