"""Runtimes that a student can leave for, one a file."""

from __future__ import annotations

import importlib
import pkgutil

from pskd.edge.targets.base import TARGETS, Answer, Runner, Target

__all__ = ["TARGETS", "Answer", "Runner", "Target"]

for _module in pkgutil.iter_modules(__path__):  # each enters its targets
    importlib.import_module(f"{__name__}.{_module.name}")
