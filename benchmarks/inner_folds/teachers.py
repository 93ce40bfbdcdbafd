"""What a student starts from or is taught by; trained once and kept in the folder of work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from berkeley import Piece, draw, random_view, wrists
from fitting import BATCH, cross_entropy, descend, orders
from judge import CLASSES, Data
from torch import Tensor, nn
from torch.nn import functional

from pskd.models import Model, Signal, build
from pskd.recipe import ViewOptions, load_recipe
from pskd.signal.augment import Batch, make_views
from pskd.train.lessons import signals

JOINTS = {
    "wrist": ("right_wrist", "right_hand"),
    "forearm": ("right_elbow", "right_wrist", "right_hand"),
    "limbs": ("right_elbow", "right_wrist", "right_hand", "right_hip", "right_knee"),
}
"""What fused teachers see of the skeleton, if not all: what is near the sensor."""
CUT = "_cut"
"""End of the name of those that were themselves trained with cut-and-join."""
KINDS = ("fused", *JOINTS, "sensor", "fused_cut", "forearm_cut")
START = ("berkeley", "masked")
"""An encoder that tells Berkeley-MHAD's actions by a wrist, or fills gaps of wrists' signals."""

Weights = dict[str, Tensor]

_STEPS = 2500


def teacher(data: Data, out: tuple[int, ...], kind: str, work: Path) -> Model:
    """The recipe's network without teachers of its own, 60 epochs, that never saw some subjects.

    Those of `JOINTS` are the fused network with part of the skeleton, `sensor` is the student's.
    """
    stage = next(s for s in load_recipe("utd-mhad").chain if s.name == "fused")
    path = work / f"{kind}-{'-'.join(map(str, out))}.pt"
    torch.manual_seed(out[0])
    if kind == "sensor":
        model = build("temporal_cnn", data.signal)
    else:
        skeleton = {**stage.model.options["skeleton"], "joints": JOINTS.get(kind.removesuffix(CUT))}
        model = build(stage.model.name, data.signal, skeleton=skeleton)
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    g = torch.Generator().manual_seed(out[0])
    unseen = torch.isin(data.subjects, torch.tensor(out))
    train, test = (~unseen).nonzero().flatten(), unseen.nonzero().flatten()
    batches, options = orders(train, g), ViewOptions(cut=0.5 if kind.endswith(CUT) else 0.0)

    def loss(_: int) -> Tensor:
        view = make_views(data.batch(next(batches), True), options, g)
        return cross_entropy(ask(model, view), view.target)

    descend(model, 60 * (len(train) // BATCH), loss)
    model.eval()
    said = tell(model, data, test).argmax(1)
    right = float((said == data.labels[test]).float().mean())
    print(json.dumps({"teacher": kind, "out": out, "accuracy": round(100 * right, 1)}), flush=True)
    torch.save(model.state_dict(), path)
    return model


def ask(model: Model, view: Batch) -> Tensor:
    """Logits of a view."""
    return model(*signals(model, view)).logits


@torch.inference_mode()
def tell(model: Model, data: Data, clips: Tensor) -> Tensor:
    """Logits of clips as they are."""
    return ask(model, data.batch(clips, True))


def cross_fitted(data: Data, fold: int, kind: str, work: Path) -> Tensor:
    """Probabilities [N, K] by teachers that saw neither the fold's subject nor the clip's own."""
    soft = functional.one_hot(data.labels, CLASSES).float()
    for subject in data.subjects.unique().tolist():
        if subject != fold:
            clips = (data.subjects == subject).nonzero().flatten()
            model = teacher(data, tuple(sorted((fold, subject))), kind, work)
            soft[clips] = tell(model, data, clips).softmax(1)
    return soft


def start(name: str, data: Data, fold: int, seed: int, root: Path, work: Path) -> Weights:
    """Weights of the encoder by their name in `START`."""
    if name == "berkeley":
        return _kept(work / f"berkeley-{seed}.pt", lambda: _by_labels(wrists(root), seed))
    own, _ = data.fold(fold)
    pieces = [*wrists(root), *((x, 0, 128 / 3) for x in data.x[own])]
    return _kept(work / f"masked-{fold}-{seed}.pt", lambda: _by_gaps(pieces, seed))


def _kept(path: Path, train: Callable[[], Weights]) -> Weights:
    if not path.exists():
        torch.save(train(), path)
    weights: Weights = torch.load(path, weights_only=True)
    return weights


def _by_labels(pieces: list[Piece], seed: int) -> Weights:
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    model = build("temporal_cnn", Signal(classes=11, samples=128, embedding=64))

    def loss(_: int) -> Tensor:
        x, labels = draw(pieces, g)
        target = functional.one_hot(labels, 11).float()
        view = random_view(x, target, ViewOptions(rotation=0.3), g)
        return cross_entropy(model(view.acceleration).logits, view.target)

    descend(model, _STEPS, loss)
    return model.encoder.state_dict()


def _by_gaps(pieces: list[Piece], seed: int) -> Weights:
    """Four spans of 12 samples are hidden and have to be filled from what is around."""
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    encoder = build("temporal_cnn", Signal(classes=11, samples=128, embedding=64)).encoder
    fill = nn.Conv1d(encoder.channels, 12, 1)  # four samples of three axes a step

    def loss(_: int) -> Tensor:
        x, labels = draw(pieces, g)
        options = ViewOptions(rotation=0.3, mixup=0)
        x = random_view(x, torch.zeros(len(labels), 1), options, g).acceleration
        first = torch.randint(128 - 12, (len(x), 4, 1), generator=g)
        at = torch.arange(128)
        hidden = ((at >= first) & (at < first + 12)).any(1)[:, None].float()
        filled = fill(encoder(x * (1 - hidden))).unflatten(1, (3, 4))
        wrong = filled.transpose(2, 3).flatten(2) - x
        return (wrong.square() * hidden).sum() / (3 * hidden.sum())

    descend(nn.ModuleList([encoder, fill]), _STEPS, loss)
    return encoder.state_dict()
