"""MMAct: 37 everyday actions of 20 people, watch and phone, poses from four cameras."""

from __future__ import annotations

from pskd.datasets.mmact.reader import MMAct

__all__ = ["MMAct"]
