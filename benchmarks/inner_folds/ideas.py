"""What was tried: each idea a row of results/research-log.md."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Idea:
    """What is done beside, or instead of, what the student alone gets."""

    epochs: int = 100
    views: dict[str, float] = field(default_factory=dict)
    cut: float = 0.0
    wander: float = 0.0
    dynamics: float = 0.0
    style: tuple[float, float, float, bool] | None = None  # share, low, high, aligned
    averaging: float = 0.0
    one_person: bool = False  # batches of one person each
    berkeley: bool = False  # start from weights that know Berkeley-MHAD's wrists
    label: float = 1.0  # weight of the cross-entropy with the label
    logits: float = 0.0  # weight of the fused teacher's soft targets, T = 2
    hint: float = 0.0  # weight of VID between time features


IDEAS = {
    "alone": Idea(),
    "cut": Idea(cut=0.5),
    "posture_force": Idea(wander=0.3, dynamics=0.3),
    "posture": Idea(wander=0.3),
    "force": Idea(dynamics=0.3),
    "style": Idea(style=(0.5, 0.0, 1.0, True)),
    "style_beyond": Idea(style=(0.5, -0.5, 1.0, True)),
    "berkeley_first": Idea(berkeley=True),
    "vid_kd_cut": Idea(cut=0.5, logits=0.5, hint=1.0),
    "kd_cut": Idea(cut=0.5, logits=1.0),
    "function_matching": Idea(cut=0.5, views={"mixup": 1.0}, label=0.0, logits=1.0),
    "averaging": Idea(averaging=0.99),
    "one_person": Idea(one_person=True),
    "warp_more": Idea(views={"time_warp": 0.8}),
    "turn_more": Idea(views={"rotation": 0.3}),
    "mix_more": Idea(views={"mixup": 1.0}),
}
