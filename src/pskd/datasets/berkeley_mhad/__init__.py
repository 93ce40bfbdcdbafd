"""Berkeley-MHAD: 11 actions of 12 people, six accelerometers and motion capture."""

from __future__ import annotations

from pskd.datasets.berkeley_mhad.reader import BerkeleyMhad

__all__ = ["BerkeleyMhad"]
