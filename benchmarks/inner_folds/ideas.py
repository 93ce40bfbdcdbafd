"""What was tried: each idea a row of results/research-log.md."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Idea:
    """What is done beside, or instead of, what the student alone gets.

    Attributes:
        epochs: Of the student.
        informed: It is shown the norm and the change of acceleration too.
        timed: Clips are not stretched but played in real time, held at both ends.
        views: Changes of the recipe's views.
        wander: Size of a rotation that wanders along the clip, radians.
        dynamics: Size of a gain on what is not gravity.
        style: Blends with other people's clips: share, from, to, matched by skeletons.
        mixstyle: Share of batches whose first layers swap the clips' means and deviations.
        one_person: Batches of one person each.
        averaging: Decay of the mean of weights.
        beside: Clips a batch of Berkeley-MHAD's people, of five actions that both datasets have.
        start: What the encoder knows before, one of `teachers.START`.
        through: The class is told by the path of the joints that the student predicts.
        teacher: Who is asked, one of `teachers.KINDS`.
        soft: Whose answers take half of the label's place, asked of nobody they trained on.
        label: Weight of the cross-entropy with the label.
        logits: Of the teacher's soft targets, T = 2.
        hint: Of VID between time features.
        contrast: Of InfoNCE between time features, over clips and moments.
        motion: Of the places of the joints.
        across: Of supervised contrast, people doing the same being one.
        adversary: Of what tells people apart, with its gradient turned round.
    """

    epochs: int = 100
    informed: bool = False
    timed: bool = False
    views: dict[str, float] = field(default_factory=dict)
    wander: float = 0.0
    dynamics: float = 0.0
    style: tuple[float, float, float, bool] | None = None
    mixstyle: float = 0.0
    one_person: bool = False
    averaging: float = 0.0
    beside: int = 0
    start: str = ""
    through: bool = False
    teacher: str = "fused"
    soft: str = ""
    label: float = 1.0
    logits: float = 0.0
    hint: float = 0.0
    contrast: float = 0.0
    motion: float = 0.0
    across: float = 0.0
    adversary: float = 0.0

    @property
    def taught(self) -> bool:
        """Whether a teacher is asked about every view."""
        return bool(self.logits or self.hint or self.contrast)


CUT = {"cut": 0.5}
IDEAS = {
    "alone": Idea(),
    "informed": Idea(informed=True),
    "timed": Idea(timed=True),
    "cut": Idea(views=CUT),
    "posture_force": Idea(wander=0.3, dynamics=0.3),
    "posture": Idea(wander=0.3),
    "force": Idea(dynamics=0.3),
    "warp_more": Idea(views={"time_warp": 0.8}),
    "turn_more": Idea(views={"rotation": 0.3}),
    "mix_more": Idea(views={"mixup": 1.0}),
    "averaging": Idea(averaging=0.99),
    "style": Idea(style=(0.5, 0.0, 1.0, True)),
    "style_beyond": Idea(style=(0.5, -0.5, 1.0, True)),
    "mixstyle": Idea(mixstyle=0.5),
    "one_person": Idea(one_person=True),
    "adversary": Idea(adversary=0.3),
    "across": Idea(across=0.5),
    "berkeley_beside": Idea(beside=8),
    "berkeley_first": Idea(start="berkeley"),
    "masked_first": Idea(start="masked"),
    "masked_vid_kd_cut": Idea(start="masked", views=CUT, logits=0.5, hint=1.0),
    "motion": Idea(motion=1.0),
    "through": Idea(motion=1.0, through=True),
    "kd_cut": Idea(views=CUT, logits=1.0),
    "vid_kd_cut": Idea(views=CUT, logits=0.5, hint=1.0),
    "forearm_vid_kd_cut": Idea(teacher="forearm", views=CUT, logits=0.5, hint=1.0),
    "forearm_cut_vid_kd_cut": Idea(teacher="forearm_cut", views=CUT, logits=0.5, hint=1.0),
    "fused_cut_vid_kd_cut": Idea(teacher="fused_cut", views=CUT, logits=0.5, hint=1.0),
    "forearm_vid_cut": Idea(teacher="forearm", views=CUT, hint=1.0),
    "forearm_kd_cut": Idea(teacher="forearm", views=CUT, logits=0.5),
    "forearm_vid_kd": Idea(teacher="forearm", logits=0.5, hint=1.0),
    "limbs_vid_kd_cut": Idea(teacher="limbs", views=CUT, logits=0.5, hint=1.0),
    "wrist_vid_kd_cut": Idea(teacher="wrist", views=CUT, logits=0.5, hint=1.0),
    "contrast": Idea(contrast=0.3),
    "function_matching": Idea(views={**CUT, "mixup": 1.0}, label=0.0, logits=1.0),
    "cross_fitted": Idea(soft="fused"),
    "cross_fitted_sensor": Idea(soft="sensor"),
}
