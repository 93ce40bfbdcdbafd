"""Distillation losses, one a file, by the names of their papers; each is a plain torch module."""

from __future__ import annotations

import importlib
import pkgutil

from pskd.distill.losses.base import LOSSES, register

for _module in pkgutil.iter_modules(__path__):  # each enters its losses into the table
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["LOSSES", "register"]
