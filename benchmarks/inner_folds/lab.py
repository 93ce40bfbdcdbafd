"""Ideas for the student, tried on training subjects only: UTD-MHAD's 1, 3, 5, 7, each held out.

A student is trained on three of them and tested on the fourth, 100 epochs, three seeds: twelve
trainings an idea. The test side of the dataset is never opened. One JSON line an idea. What gains
with three seeds is to be tried with others (`--seeds 3 4 5`), the student alone too.

Example: python benchmarks/inner_folds/lab.py alone cut --data-root ~/data --work /tmp/lab --jobs 2
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import torch
from berkeley import Piece, draw, random_view, shared
from fitting import BATCH, cross_entropy, descend, orders, orders_by_person
from ideas import IDEAS, Idea
from joblib import Parallel, delayed
from judge import CLASSES, FOLDS, SEEDS, Data, Judged, judge, summary
from teachers import cross_fitted, start, teacher
from terms import Adversary, Contrast, Informed, Through, across, mix_styles
from torch import Generator, Tensor, nn
from torch.nn import functional
from views import Styles, dynamics, in_time, wander

from pskd.distill.losses.kd import kd
from pskd.distill.losses.motion import MotionHead, motion_loss, motion_target
from pskd.distill.losses.vid import VID
from pskd.models import MODELS, Model
from pskd.recipe import ViewOptions, load_recipe
from pskd.signal.augment import Batch, make_views
from pskd.train.lessons import signals
from pskd.train.prepare import prepare
from pskd.train.state import move_average


def read(root: Path, work: Path) -> Data:
    """The training side; `Prepared.test` is not read."""
    prepared = prepare(load_recipe("utd-mhad"), root, work / "cache")
    clips, every = prepared.train, torch.arange(len(prepared.train))
    return Data(
        clips.read("acceleration", every),
        clips.read("skeleton", every),
        clips.labels,
        torch.tensor([int(name) for name in clips.subjects]),
        clips.seconds,
        prepared.signal,
    )


def begin(idea: Idea, data: Data, g: torch.Generator) -> Model:
    """The student of an idea."""
    kind = Through if idea.through else Informed if idea.informed else MODELS["temporal_cnn"]
    model = kind(data.signal)
    if idea.mixstyle:
        mix_styles(model, idea.mixstyle, g)
    return model


def heads(idea: Idea, model: Model, expert: Model | None, data: Data) -> nn.ModuleDict:
    """What is trained beside the student and dropped after."""
    mine, made = model.feature_channels, nn.ModuleDict()
    if expert is not None and idea.hint:
        made["hint"] = VID(mine, expert.feature_channels)
    if expert is not None and idea.contrast:
        made["contrast"] = Contrast(mine, expert.feature_channels)
    if idea.motion:
        coordinates = len(data.signal.layout.joints) * data.signal.layout.dims
        made["motion"] = nn.Identity() if idea.through else MotionHead(mine, coordinates)
    if idea.adversary:
        made["adversary"] = Adversary(mine, len(FOLDS))
    return made


def try_idea(
    idea: Idea, data: Data, root: Path, fold: int, seed: int, work: Path, adapting: bool = False
) -> Judged:
    """Train a student by an idea and judge it on the subject that was held out."""
    torch.set_num_threads(1)
    train, test = data.fold(fold)
    if idea.timed:
        data = replace(data, x=in_time(data.x, data.seconds))
    weights = start(idea.start, data, fold, seed, root, work) if idea.start else None
    expert = teacher(data, (fold,), idea.teacher, work) if idea.taught else None
    targets = functional.one_hot(data.labels, CLASSES).float()
    if idea.soft:
        targets = (targets + cross_fitted(data, fold, idea.soft, work)) / 2
    # Mixing carries shares of people behind those of labels.
    people = functional.one_hot(torch.searchsorted(torch.tensor(FOLDS), data.subjects), len(FOLDS))
    targets = torch.cat([targets, people.float()], 1)

    torch.manual_seed(1000 * seed + fold)
    g = torch.Generator().manual_seed(7919 * seed + fold)
    model = begin(idea, data, g)
    if weights is not None:
        model.encoder.load_state_dict(weights)
    learner = nn.ModuleDict({"student": model, "heads": heads(idea, model, expert, data)})
    beside = learner["heads"]
    styles = None
    if idea.style:
        some = (data.x[train], data.skeleton[train], data.labels[train], data.subjects[train])
        styles, place = Styles(*some), {int(i): n for n, i in enumerate(train)}
    average = deepcopy(model) if idea.averaging else None
    batches, options = orders(train, g), ViewOptions(**idea.views)
    others = shared(root) if idea.beside else []
    if idea.one_person:
        batches = orders_by_person(train, data.subjects, g)
    steps = idea.epochs * (len(train) // BATCH)

    def loss(step: int) -> Tensor:
        index = next(batches)
        plain = data.batch(index, bool(expert or idea.motion))._replace(target=targets[index])
        if styles and idea.style:
            own = torch.tensor([place[int(i)] for i in index])
            plain = plain._replace(acceleration=styles.blend(own, *idea.style, g))
        if idea.dynamics:
            plain = plain._replace(acceleration=dynamics(plain.acceleration, idea.dynamics, g))
        if idea.wander:
            plain = plain._replace(acceleration=wander(plain.acceleration, idea.wander, g))
        view = make_views(plain, options, g)
        if others:
            view = more(view, others, idea.beside, options, g)
        label, person = view.target[:, :CLASSES], view.target[:, CLASSES:]
        said = model(view.acceleration)
        total = idea.label * cross_entropy(said.logits, label)
        if idea.across:
            total = total + idea.across * across(said.embedding, label)
        if idea.adversary:
            much = idea.adversary * step / steps
            total = total + beside["adversary"](said.features, person, much)
        if idea.motion:
            guess = beside["motion"](said.features)
            total = total + idea.motion * motion_loss(guess, view.skeleton, view.aligned).mean()
            if isinstance(model, Through):
                known = model.read(motion_target(view.skeleton, guess.shape[-1]))
                total = total + cross_entropy(known.logits, label)
        if expert is None:
            return total
        with torch.no_grad():
            told = expert(*signals(expert, view))
        if idea.logits:
            total = total + idea.logits * kd(said.logits, told.logits, 2.0).mean()
        if idea.hint:
            total = total + idea.hint * beside["hint"](said.features, told.features).mean()
        if idea.contrast:
            total = total + idea.contrast * beside["contrast"](said.features, told.features)
        return total

    def follow(step: int) -> None:
        if average is not None:
            move_average(average, model, idea.averaging, step)

    descend(learner, steps, loss, follow)
    return judge((average or model).eval(), data, train, test, adapting)


def more(view: Batch, others: list[Piece], size: int, options: ViewOptions, g: Generator) -> Batch:
    """The view, and behind it clips of Berkeley-MHAD's people."""
    x, labels = draw(others, g, size)
    target = functional.one_hot(labels, view.target.shape[1]).float()
    theirs = random_view(x, target, options, g)
    return view._replace(
        acceleration=torch.cat([view.acceleration, theirs.acceleration]),
        target=torch.cat([view.target, theirs.target]),
    )


def first(
    idea: Idea, data: Data, root: Path, work: Path, pool: Parallel, seeds: Sequence[int]
) -> None:
    """Train what several students share, each once."""
    if idea.start == "berkeley":
        pool(delayed(start)(idea.start, data, 0, seed, root, work) for seed in seeds)
    kind, out = "", list[tuple[int, ...]]()
    if idea.taught:
        kind, out = idea.teacher, [(fold,) for fold in FOLDS]
    elif idea.soft:
        kind, out = idea.soft, list(combinations(FOLDS, 2))
    pool(delayed(teacher)(data, subjects, kind, work) for subjects in out)


def kept(work: Path, idea: str, seeds: Sequence[int]) -> Path:
    """Where the logits of an idea's students are kept, by (fold, seed)."""
    return work / f"said-{idea}-{'-'.join(map(str, seeds))}.pt"


def main() -> None:
    """Try the ideas that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ideas", nargs="*", choices=[*IDEAS, []], help="default: all")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of teachers")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--adapt", action="store_true", help="also the tables of pskd adapt")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    data = read(options.data_root, options.work)
    pairs = [(fold, seed) for seed in options.seeds for fold in FOLDS]
    pool = Parallel(n_jobs=options.jobs)
    for name in options.ideas or IDEAS:
        idea = IDEAS[name]
        first(idea, data, options.data_root, options.work, pool, options.seeds)
        rows = pool(
            delayed(try_idea)(
                idea, data, options.data_root, fold, seed, options.work, options.adapt
            )
            for fold, seed in pairs
        )
        judged = dict(zip(pairs, rows, strict=True))
        logits = {pair: one.logits for pair, one in judged.items()}
        torch.save(logits, kept(options.work, name, options.seeds))
        found = summary(judged)
        line = {"idea": name, "seeds": options.seeds, **found, "settings": asdict(idea)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
