"""Fuzz one parser by the coverage of its code, with atheris on CPython 3.11.

    .venv/bin/pip install -c constraints.txt atheris
    .venv/bin/python -m fuzz.harness "mmact csv" -max_total_time=60

What follows the name of the parser is for libFuzzer. It starts from the good files of the parser;
half of the damage is its own, half that of `fuzz.mutate`. An input that fails is written to the
working folder, and `-m fuzz.harness PARSER FILE` tries it again.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from random import Random

import atheris

from fuzz.mutate import damaged

with atheris.instrument_imports(include=["pskd"]):
    from fuzz.targets import TARGETS, Target

LIMITS = ("-timeout=60", "-rss_limit_mb=2048", "-max_len=200000")


def fuzz(target: Target, arguments: list[str]) -> None:
    """Run libFuzzer on a parser; the process ends with it."""

    def try_input(data: bytes) -> None:
        try:
            target.parse(data)
        except target.refuses:
            return

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        return damaged(Random(seed), bytes(data), target.seeds, target.kinds)[:most]

    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory(prefix="pskd-fuzz-") as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        corpora = [] if any(Path(a).is_file() for a in arguments) else [corpus]
        atheris.Setup(
            [sys.argv[0], *LIMITS, *arguments, *corpora], try_input, custom_mutator=mutate
        )
        atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        sys.exit(f"Usage: python -m fuzz.harness PARSER [libFuzzer's arguments]\n{list(TARGETS)}")
    fuzz(TARGETS[sys.argv[1]], sys.argv[2:])
