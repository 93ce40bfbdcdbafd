"""Ideas for the student, tried on training subjects only: UTD-MHAD's 1, 3, 5, 7, each held out.

A student is trained on three of them and tested on the fourth, 100 epochs, three seeds: twelve
trainings an idea. The test side of the dataset is never opened. One JSON line an idea.

Example: python benchmarks/inner_folds/lab.py alone cut --data-root ~/data --work /tmp/lab --jobs 2
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ideas import IDEAS, Idea
from joblib import Parallel, delayed
from judge import CLASSES, FOLDS, SEEDS, Data, Judged, judge, summary
from torch import Tensor, nn
from torch.nn import functional
from views import Styles, cut, dynamics, wander

from pskd.datasets.berkeley_mhad import BerkeleyMhad
from pskd.distill.losses.kd import kd
from pskd.models import Model, Signal, build
from pskd.recipe import FitOptions, ViewOptions, load_recipe
from pskd.signal.augment import Batch, make_views
from pskd.train.fit import make_optimizer, set_learning_rate
from pskd.train.lessons import signals
from pskd.train.prepare import prepare
from pskd.train.state import move_average

FIT = FitOptions()
BATCH = FIT.batch_size


def read(root: Path, work: Path) -> Data:
    """The training side; `Prepared.test` is not read."""
    prepared = prepare(load_recipe("utd-mhad"), root, work / "cache")
    clips, every = prepared.train, torch.arange(len(prepared.train))
    return Data(
        clips.read("acceleration", every),
        clips.read("skeleton", every),
        clips.labels,
        torch.tensor([int(name) for name in clips.subjects]),
        prepared.signal,
    )


def descend(
    model: nn.Module, steps: int, loss_of: Callable[[int], Tensor], after: Callable[[int], None]
) -> None:
    """Train with AdamW and one cycle, as recipes do by default."""
    optimizer = make_optimizer(model, FIT)
    model.train()
    for step in range(steps):
        set_learning_rate(optimizer, step, steps, FIT)
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(step)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """With shares of labels."""
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def orders(train: Tensor, g: torch.Generator) -> Any:
    """Indices of batch after batch, epoch after epoch."""
    while True:
        shuffled = train[torch.randperm(len(train), generator=g)]
        yield from shuffled[: len(train) // BATCH * BATCH].split(BATCH)


def orders_by_person(train: Tensor, subjects: Tensor, g: torch.Generator) -> Any:
    """The same, each batch of one person."""
    while True:
        batches: list[Tensor] = []
        for subject in subjects[train].unique():
            own = train[subjects[train] == subject]
            own = own[torch.randperm(len(own), generator=g)]
            batches += own[: len(own) // BATCH * BATCH].split(BATCH)
        yield from (batches[i] for i in torch.randperm(len(batches), generator=g).tolist())


def fused_teacher(data: Data, fold: int, work: Path) -> Model:
    """The recipe's fused network without teachers of its own, 60 epochs, trained once a fold."""
    stage = next(s for s in load_recipe("utd-mhad").chain if s.name == "fused")
    path = work / f"teacher-{fold}.pt"
    torch.manual_seed(fold)
    model = build(stage.model.name, data.signal, **stage.model.options)
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    g = torch.Generator().manual_seed(fold)
    train, test = data.fold(fold)
    batches = orders(train, g)

    def loss(_: int) -> Tensor:
        view = make_views(data.batch(next(batches), True), ViewOptions(), g)
        return cross_entropy(model(*signals(model, view)).logits, view.target)

    descend(model, 60 * (len(train) // BATCH), loss, lambda _: None)
    model.eval()
    with torch.inference_mode():
        said = model(*signals(model, data.batch(test, True))).logits.argmax(1)
    right = float((said == data.labels[test]).float().mean())
    print(json.dumps({"teacher": fold, "accuracy": round(100 * right, 1)}), flush=True)
    torch.save(model.state_dict(), path)
    return model


def berkeley_weights(root: Path, seed: int, work: Path) -> dict[str, Tensor]:
    """Encoder that tells Berkeley-MHAD's actions by 2 to 4 s of either wrist."""
    path = work / f"berkeley-{seed}.pt"
    if path.exists():
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)
        return weights
    clips = []
    for sensor, mirror in (("right_wrist", 1.0), ("left_wrist", -1.0)):
        source = BerkeleyMhad(root, {"sensor": sensor, "skeleton": "none"})
        # The left arm is mirrored, and axes are turned to point as those of UTD-MHAD do.
        axes = torch.tensor([[-1.0], [-mirror], [1.0]])
        for one in source.read():
            if hasattr(one, "acceleration"):
                x = torch.from_numpy(one.acceleration.T.copy()) * axes
                clips.append((x, one.label, one.rate))
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    model = build("temporal_cnn", Signal(classes=11, samples=128, embedding=64))

    def loss(_: int) -> Tensor:
        drawn = torch.randint(len(clips), (BATCH,), generator=g).tolist()
        pieces = []
        for i in drawn:
            x, _label, rate = clips[i]
            span = min(x.shape[1], int((2 + 2 * float(torch.rand((), generator=g))) * rate))
            first = int(torch.randint(x.shape[1] - span + 1, (), generator=g))
            piece = x[None, :, first : first + span]
            pieces.append(functional.interpolate(piece, 128, mode="linear", align_corners=True)[0])
        target = functional.one_hot(torch.tensor([clips[i][1] for i in drawn]), 11).float()
        there = torch.ones(BATCH, dtype=torch.bool)
        plain = Batch(torch.stack(pieces), torch.zeros(BATCH, 2, 1, 3), there, there, target)
        view = make_views(plain, ViewOptions(rotation=0.3), g)
        return cross_entropy(model(view.acceleration).logits, view.target)

    descend(model, 2500, loss, lambda _: None)
    torch.save(model.encoder.state_dict(), path)
    return model.encoder.state_dict()


def try_idea(idea: Idea, data: Data, root: Path, fold: int, seed: int, work: Path) -> Judged:
    """Train a student by an idea and judge it on the subject that was held out."""
    torch.set_num_threads(1)
    train, test = data.fold(fold)
    weights = berkeley_weights(root, seed, work) if idea.berkeley else None
    taught = bool(idea.logits or idea.hint)
    teacher = fused_teacher(data, fold, work) if taught else None
    torch.manual_seed(1000 * seed + fold)
    model = build("temporal_cnn", Signal(classes=CLASSES, samples=128, embedding=64))
    if weights is not None:
        model.encoder.load_state_dict(weights)
    learner = nn.ModuleDict({"student": model})
    if teacher is not None and idea.hint:
        learner["hint"] = nn.Conv1d(model.feature_channels, teacher.feature_channels, 1)
        learner.spread = nn.Parameter(torch.full((teacher.feature_channels,), 5.0))
    styles = None
    if idea.style:
        some = (data.x[train], data.skeleton[train], data.labels[train], data.subjects[train])
        styles, place = Styles(*some), {int(i): n for n, i in enumerate(train)}
    average = deepcopy(model) if idea.averaging else None
    g = torch.Generator().manual_seed(7919 * seed + fold)
    batches, options = orders(train, g), ViewOptions(**idea.views)
    if idea.one_person:
        batches = orders_by_person(train, data.subjects, g)

    def loss(_: int) -> Tensor:
        index = next(batches)
        plain = data.batch(index, taught)
        if styles and idea.style:
            own = torch.tensor([place[int(i)] for i in index])
            plain = plain._replace(acceleration=styles.blend(own, *idea.style, g))
        if idea.dynamics:
            plain = plain._replace(acceleration=dynamics(plain.acceleration, idea.dynamics, g))
        if idea.wander:
            plain = plain._replace(acceleration=wander(plain.acceleration, idea.wander, g))
        view = make_views(plain, options, g)
        if idea.cut:
            view = cut(view, idea.cut, g)
        said = model(view.acceleration)
        total = idea.label * cross_entropy(said.logits, view.target)
        if teacher is None:
            return total
        with torch.no_grad():
            told = teacher(*signals(teacher, view))
        if idea.logits:
            total = total + idea.logits * kd(said.logits, told.logits, 2.0).mean()
        if idea.hint:
            mine = learner["hint"](said.features)
            theirs = functional.adaptive_avg_pool1d(told.features, mine.shape[-1])
            spread = functional.softplus(learner.spread)[None, :, None] + 1e-3
            apart = 0.5 * ((mine - theirs) ** 2 / spread + spread.log())
            total = total + idea.hint * apart.mean()
        return total

    def follow(step: int) -> None:
        if average is not None:
            move_average(average, model, idea.averaging, step)

    descend(learner, idea.epochs * (len(train) // BATCH), loss, follow)
    final = (average or model).eval()
    return judge(final, data, train, test)


def main() -> None:
    """Try the ideas that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ideas", nargs="*", choices=[*IDEAS, []], help="default: all")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of teachers")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    data = read(options.data_root, options.work)
    pairs = [(fold, seed) for seed in SEEDS for fold in FOLDS]
    pool = Parallel(n_jobs=options.jobs)
    for name in options.ideas or IDEAS:
        idea = IDEAS[name]
        if idea.logits or idea.hint:
            pool(delayed(fused_teacher)(data, fold, options.work) for fold in FOLDS)
        if idea.berkeley:
            pool(delayed(berkeley_weights)(options.data_root, s, options.work) for s in SEEDS)
        rows = pool(
            delayed(try_idea)(idea, data, options.data_root, fold, seed, options.work)
            for fold, seed in pairs
        )
        found = summary(dict(zip(pairs, rows, strict=True)))
        line = {"idea": name, **found, "settings": asdict(idea)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
