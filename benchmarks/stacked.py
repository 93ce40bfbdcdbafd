"""Training steps of several students stacked into one, against one student after the other.

Times are medians of steps done in turns, in ms for each student: separate with the AdamW that
PyTorch chooses, separate with the fused AdamW, stacked with the fused AdamW. `gain` is the median
ratio within a turn, so that other work on the machine counts least: of stacked over the first, and
over the second. One thread on the CPU; also on a CUDA device where there is one.

Example: python benchmarks/stacked.py --models 1 4
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pskd.models import Signal
from pskd.models.sensor import TemporalCNN
from pskd.train.stacked import Stacked

BATCH, CLASSES, SAMPLES = 32, 27, 128


def steps(size: int, device: torch.device) -> list[Callable[[], None]]:
    """Make the three ways to do one training step of every model."""
    torch.manual_seed(0)
    x = torch.randn(size, BATCH, 3, SAMPLES, device=device)
    y = torch.randint(CLASSES, (size, BATCH), device=device)

    def models() -> list[TemporalCNN]:
        return [TemporalCNN(Signal(CLASSES, SAMPLES)).to(device) for _ in range(size)]

    def adamw(model: nn.Module, **options: Any) -> torch.optim.AdamW:
        return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, **options)

    def separate(**options: Any) -> Callable[[], None]:
        pairs = [(model, adamw(model, **options)) for model in models()]

        def step() -> None:
            for i, (model, optimizer) in enumerate(pairs):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[i]).logits, y[i]).backward()
                optimizer.step()

        return step

    stacked = Stacked(models())
    optimizer = adamw(stacked, fused=True)

    def stacked_step() -> None:
        optimizer.zero_grad()
        logits = stacked(x).logits.flatten(0, 1)
        (size * functional.cross_entropy(logits, y.flatten())).backward()
        optimizer.step()

    return [separate(), separate(fused=True), stacked_step]


def main() -> None:
    """Print a line for each device and number of models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cuda = torch.cuda.is_available()
    print("device  models  separate  fused  stacked  gain  gain over fused")
    for device in map(torch.device, ["cpu", "cuda"] if cuda else ["cpu"]):
        for size in options.models:
            jobs = steps(size, device)
            for job in 3 * jobs:
                job()
            times: list[list[float]] = [[] for _ in jobs]
            for _ in range(options.repeats):
                for job, taken in zip(jobs, times, strict=True):
                    start = time.perf_counter()
                    job()
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                    taken.append(1000 * (time.perf_counter() - start) / size)
            separate, fused, stacked = map(statistics.median, times)
            gains = [
                statistics.median(a / b for a, b in zip(other, times[2], strict=True))
                for other in times[:2]
            ]
            print(
                f"{device.type:<7} {size:>6}  {separate:>8.2f}  {fused:>5.2f}  {stacked:>7.2f}"
                f"  {gains[0]:>4.2f}  {gains[1]:>15.2f}",
                flush=True,
            )
    if not cuda:
        print("no CUDA device here: only the CPU was measured")


if __name__ == "__main__":
    main()
