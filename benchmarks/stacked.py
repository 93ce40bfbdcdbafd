"""Training steps of several students stacked into one, against one student after the other.

Times are medians of steps done in turns, in ms for each student: separate with the AdamW that
PyTorch chooses, separate with the fused AdamW, stacked with the fused AdamW. `gain` is the median
ratio within a turn, so that other work on the machine counts least: of stacked over the first, and
over the second. One thread on the CPU; also on a CUDA device where there is one.

With --losses: an epoch of the recipe demo's student, views, losses and lessons from books included,
as `fit_stacked` trains it against `fit`, in ms of processor time a step of each student.

Example: python benchmarks/stacked.py --models 1 4
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from pskd.models import Signal
from pskd.models.sensor import TemporalCNN
from pskd.recipe import load_recipe
from pskd.train.fit_stacked import Pupil, fit_stacked
from pskd.train.lessons import Teacher, write_book
from pskd.train.prepare import Prepared, prepare
from pskd.train.run import set_up_torch
from pskd.train.stacked import Stacked
from pskd.train.stages import build_model, train_stage
from pskd.train.stream import make_stream

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


def pupil(seed: int, fabric: Fabric, folder: Path, data: Prepared | None) -> Pupil:
    """The student of a seed, with what untrained teachers say in books."""
    recipe = load_recipe("demo", [f"seed={seed}", "chain.student.fit.epochs=1"])
    data = data or prepare(recipe, None, folder / "cache")
    up, student = data.source.layout.up, recipe.student
    stream = make_stream(recipe, student, data.train, data.signal.classes, name=student.name, up=up)
    teachers = {s.name: build_model(s, data.signal) for s in recipe.chain[:-1]}
    books = {name: folder / f"{name}-{seed}" for name in teachers}
    for name, model in teachers.items():
        write_book(books[name], Teacher(model, fabric, features=False), stream, epochs=1)
    return Pupil(recipe, student, data, teachers, books, folder / f"{seed}.ckpt")


def stage_steps(size: int, repeats: int) -> list[tuple[float, float]]:
    """Milliseconds a step of each student: separate, stacked; in turns."""
    fabric = Fabric(accelerator="cpu", devices=1)
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pupils: list[Pupil] = []
        for seed in range(size):
            pupils.append(pupil(seed, fabric, folder, pupils[0].data if pupils else None))
        first = pupils[0]
        steps = size * (len(first.data.train) // first.stage.fit.batch_size)

        def separate() -> None:
            for p in pupils:
                train_stage(
                    p.recipe, p.data, p.stage, p.teachers, fabric=fabric, books=p.books,
                    checkpoint=p.checkpoint, report=lambda _: None,
                )  # fmt: skip

        def stacked() -> None:
            fit_stacked(pupils, fabric=fabric, checkpoint=folder / "stack.ckpt")

        def taken(way: Callable[[], None]) -> float:
            began = time.process_time()
            way()
            seconds = time.process_time() - began
            for p in pupils:
                p.checkpoint.unlink()
            return 1000 * seconds / steps

        for _ in range(repeats):
            times.append((taken(separate), taken(stacked)))
    return times


def main() -> None:
    """Print a line for each device and number of models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--losses", action="store_true", help="a whole stage, on the CPU")
    options = parser.parse_args()
    if options.losses:
        set_up_torch(1)
        print("models  separate  stacked  gain")
        for size in options.models:
            pairs = stage_steps(size, options.repeats)
            apart, together = (statistics.median(some) for some in zip(*pairs, strict=True))
            gain = statistics.median(a / b for a, b in pairs)
            print(f"{size:>6}  {apart:>8.2f}  {together:>7.2f}  {gain:>4.2f}", flush=True)
        return
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
