"""What the Recognizer adds to the bare student, and whether its memory grows over a day.

python benchmarks/streaming.py RUN [--runtime torch] [--hours 24]
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from pathlib import Path

import numpy as np

from pskd.stream.recognizer import Recognizer
from pskd.stream.runtime import Student, open_student

RATE = 50
SECONDS = 120
TURNS = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--runtime", default="torch")
    parser.add_argument("--hours", type=float, default=0.0)
    arguments = parser.parse_args()
    student = open_student(arguments.run, arguments.runtime)
    print(f"{student.runtime}, {RATE} samples a second, hop {student.config.hop_seconds:g} s")
    for size in (1, 5, 50):
        print(f"pieces of {size:2}: {overhead(student, size)}")
    if arguments.hours:
        day(student, arguments.hours)


def signal(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Acceleration and times of a watch, with jitter."""
    n = round(seconds * RATE)
    rng = np.random.default_rng(0)
    times = np.arange(n) / RATE + rng.uniform(0, 0.005, n)
    return rng.normal([0, 0, 1], 0.3, (n, 3)), times


def overhead(student: Student, size: int) -> str:
    """Processor time with the Recognizer and of the bare student, in turns."""
    acceleration, times = signal(SECONDS)
    window = np.zeros((1, 3, student.config.samples), np.float32)
    ratios, added = [], []
    for _ in range(TURNS):
        recognizer = Recognizer(student.runner, student.config, student.settings)
        begun = time.process_time()
        for first in range(0, len(times), size):
            recognizer.push(acceleration[first : first + size], times[first : first + size])
        streamed = time.process_time() - begun
        windows = recognizer.counts.windows
        begun = time.process_time()
        for _ in range(windows):
            student.runner(window)
        bare = time.process_time() - begun
        ratios.append(streamed / bare - 1)
        added.append((streamed - bare) / windows * 1e6)
    return (
        f"{statistics.median(ratios):.1%} over the bare student "
        f"({statistics.median(added):.0f} us a window, of {bare / windows * 1e6:.0f})"
    )


def day(student: Student, hours: float) -> None:
    """Memory that Python and NumPy hold while a day goes by."""
    answer = student.runner(np.zeros((1, 3, student.config.samples), np.float32))
    recognizer = Recognizer(lambda window: answer, student.config, student.settings)
    acceleration, times = signal(60)
    tracemalloc.start()
    for minute in range(round(60 * hours) + 1):
        for first in range(0, len(times), 5):
            piece = slice(first, first + 5)
            recognizer.push(acceleration[piece], 60 * minute + times[piece])
        if minute in (1, 10) or (minute % 240 == 0 and minute):
            print(f"{minute / 60:5.1f} h: {tracemalloc.get_traced_memory()[0] / 1024:.1f} KB held")
    print(recognizer.counts)


if __name__ == "__main__":
    main()
