"""The parts of a recipe: typed, frozen, with their defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pskd.errors import nearest

FORMAT = 1
"""Version of the recipe format that this package writes."""

ALONE = "student_alone"
"""Name of the stage that trains the student without any teacher, beside every chain."""

Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() else None


class Part(BaseModel):
    """Base of all parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Schedule(Part):
    """A weight that moves from `start` to `end` over the training of a stage."""

    start: NotNegative
    end: NotNegative
    shape: Literal["linear", "cosine"] = "linear"


Weight = NotNegative | Schedule


def weight_at(weight: float | Schedule, progress: float) -> float:
    """Value of a weight at `progress` (0 at the start of training, 1 at its end)."""
    if not isinstance(weight, Schedule):
        return weight
    share = progress if weight.shape == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return weight.start + (weight.end - weight.start) * share


class Choice(Part):
    """A registered thing by name, with its options."""

    name: str
    options: dict[str, Any] = {}


class ClipOptions(Part):
    """Fixed lengths that every recording is stretched to."""

    samples: Annotated[int, Field(ge=16, le=4096)] = 128
    frames: Annotated[int, Field(ge=8, le=1024)] = 64


class ViewOptions(Part):
    """Random changes of a clip, drawn anew each time it is seen.

    Attributes:
        time_warp: Spread of the logarithm of local speed; both modalities alike.
        crop: Largest share cut off at either end; both modalities alike.
        rotation: Standard deviation of the sensor's mounting, radians an axis.
        scale: Standard deviation of the accelerometer's gain.
        noise: Standard deviation of the accelerometer's noise, g.
        yaw: Standard deviation of the body's heading, radians.
        limbs: Standard deviation of joint offsets, torso lengths.
        mixup: Parameter of the Beta distribution that mixes two clips; 0 turns mixing off.
        mix_share: Share of clips that are mixed.
        cut: Share of clips that get a piece of another one in the place of their own (CutMix).
    """

    time_warp: NotNegative = 0.4
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    rotation: NotNegative = 0.15
    scale: NotNegative = 0.05
    noise: NotNegative = 0.01
    yaw: NotNegative = 0.2
    limbs: NotNegative = 0.03
    mixup: NotNegative = 0.2
    mix_share: Fraction = 1.0
    cut: Fraction = 0.0


class Teacher(Part):
    """An earlier stage that teaches.

    Attributes:
        stage: Its name.
        weight: Preference for it: times its confidence where ACS chooses, its share of the mean
            where teachers are averaged. May move over training; at 0 it is not asked.
    """

    stage: str
    weight: Weight = 1.0


class Loss(Part):
    """One more loss by its name in `pskd.distill.losses`.

    Attributes:
        name: Its name.
        weight: What it is multiplied with; may move over training.
        teachers: Whom it is about; all teachers of the stage, if none is named.
        options: What its constructor takes.
    """

    name: str
    weight: Weight = 1.0
    teachers: tuple[str, ...] = ()
    options: dict[str, Any] = {}


class DistillOptions(Part):
    """The loss of a stage with teachers; every part can be turned off.

    L = label * CE + logits * T^2 KL(selected teacher) + semantic * (1 - cos) + motion * MSE
        + sum of weight * loss over `losses`

    Attributes:
        selection: `acs` picks one teacher or the label for each clip (PSKD); `average` mimics the
            weighted mean of all teachers; `label` ignores the teachers' logits.
        threshold: ACS mimics a teacher only if its confidence is above this.
        exclusive: With ACS, a clip that mimics a teacher leaves its label out: one or the other.
        temperature: T of the soft targets.
        teacher_dropping: Probability that the logits of a teacher sit out a batch (DGKD); `losses`
            hear all teachers all the same.
        label: Weight of the cross-entropy with the label.
        logits: Weight of the soft targets (lambda).
        semantic: Weight of the semantic term (mu).
        motion: Weight of the dense motion targets.
        losses: More losses, each with its own weight.
    """

    selection: Literal["acs", "average", "label"] = "acs"
    threshold: Fraction = 0.5
    exclusive: bool = False
    temperature: Annotated[float, Field(gt=0)] = 2.0
    teacher_dropping: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label: Weight = 1.0
    logits: Weight = 1.0
    semantic: Weight = 0.0
    motion: Weight = 0.0
    losses: tuple[Loss, ...] = ()


class FitOptions(Part):
    """How a stage is optimised (AdamW, one-cycle learning rate).

    Attributes:
        epochs: Passes over the training clips.
        batch_size: Clips a step, over all processes.
        learning_rate: Peak of the one-cycle schedule.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW.
        label_smoothing: Mass moved from the label to all classes alike.
        averaging: Decay a step of the exponential moving average of weights; 0 turns it off.
        quantise: Compute as int8 exports do, so that the weights learn to bear rounding.
    """

    epochs: Annotated[int, Field(ge=1)] = 200
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weight_decay: NotNegative = 0.02
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0
    quantise: bool = False


class Stage(Part):
    """One link of the chain: a model, who teaches it, and how it is trained.

    With `start`, training goes on from what an earlier stage with the same model ended with; with
    `fit.quantise` too, from weights that compute the same and are rescaled for int8.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    model: Choice
    start: str | None = None
    teachers: tuple[Teacher, ...] = ()
    distill: DistillOptions = DistillOptions()
    fit: FitOptions = FitOptions()

    @model_validator(mode="before")
    @classmethod
    def _plain_teacher_names(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("teachers"), list | tuple):
            teachers = [{"stage": t} if isinstance(t, str) else t for t in values["teachers"]]
            return {**values, "teachers": teachers}
        return values

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the stages that are trained before it: its teachers, and where it starts."""
        return (*(t.stage for t in self.teachers), *((self.start,) if self.start else ()))


class ComputeOptions(Part):
    """Where a run computes.

    Attributes:
        accelerator: `cpu`, `cuda`, or `auto` for CUDA where there is one.
        devices: Processes, one a device.
        precision: `32-true`, or `bf16-mixed`.
        threads: CPU threads a process; 0 leaves torch's choice.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"
    devices: Annotated[int, Field(ge=1)] = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: Annotated[int, Field(ge=0)] = 1


class Budget(Part):
    """What the student may need at most: its width is chosen so that it fits.

    Attributes:
        parameters: Trained parameters.
        macs: Multiply-accumulates of a window.
        int8_kb: Weights, biases and scales of its int8 export, in KB of 1024 bytes.
    """

    parameters: Annotated[int, Field(ge=1)] | None = None
    macs: Annotated[int, Field(ge=1)] | None = None
    int8_kb: Annotated[float, Field(gt=0)] | None = None


class TestOptions(Part):
    """What is done to the accelerometer of the test side, to see what a student bears or gains.

    Attributes:
        noise: Standard deviation of noise that is added, g.
        rotation: Angle by which the sensor is turned about an axis drawn for each recording,
            radians.
        rate: Samples a second that are left of each recording; None leaves all.
        adapt: Recordings without labels of the same test subject, others than the one tested, that
            an accelerometer-only model adapts its batch-norm statistics to; 0 leaves it as it is.
    """

    __test__ = False  # pytest takes classes of this name for tests

    noise: NotNegative = 0.0
    rotation: NotNegative = 0.0
    rate: Annotated[float, Field(gt=0)] | None = None
    adapt: Annotated[int, Field(ge=0)] = 0

    @property
    def disturbs(self) -> bool:
        """Whether the clips themselves are changed."""
        return bool(self.noise or self.rotation or self.rate)


class Recipe(Part):
    """All of a run. The last stage of the chain is the student.

    `train_share` is the share of training recordings that is used, drawn class by class.
    `labelled` is the share of training recordings whose label is used, drawn class by class. The
    others are pairs without a label: stages with teachers learn from them through their teachers,
    stages without see only those that are labelled, in as many steps. `labelled_subjects` are the
    training subjects whose recordings may be labelled; all, if none is named.
    """

    format: Annotated[int, Field(ge=1, strict=True)] = FORMAT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    dataset: Choice
    protocol: Choice
    clips: ClipOptions = ClipOptions()
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    labelled: Annotated[float, Field(gt=0, le=1)] = 1.0
    labelled_subjects: tuple[str | int, ...] = ()
    embedding: Annotated[int, Field(ge=2)] = 64
    class_vectors: str | None = None
    views: ViewOptions = ViewOptions()
    test: TestOptions = TestOptions()
    chain: Annotated[tuple[Stage, ...], Field(min_length=1)]
    budget: Budget = Budget()
    compute: ComputeOptions = ComputeOptions()

    @field_validator("labelled_subjects")
    @classmethod
    def _one_spelling(cls, names: tuple[str | int, ...]) -> tuple[str | int, ...]:
        texts = sorted(set(map(str, names)))
        numbers = {str(n): n for n in map(_number, texts) if n is not None}
        return tuple(numbers.get(text, text) for text in texts)

    @model_validator(mode="after")
    def _chain_holds(self) -> Recipe:
        if self.format > FORMAT:
            raise ValueError(f"format {self.format} is newer than {FORMAT}: update pskd")
        earlier: dict[str, Stage] = {}
        for stage in self.chain:
            if stage.name in (*earlier, ALONE):
                raise ValueError(f"two stages are named {stage.name!r}: give each its own name")
            for teacher in stage.teachers:
                if teacher.stage not in earlier:
                    known = nearest(teacher.stage, earlier) if earlier else "It has none before it"
                    raise ValueError(
                        f"stage {stage.name!r} learns from {teacher.stage!r}, "
                        f"which is no stage before it. {known}"
                    )
            teachers = [teacher.stage for teacher in stage.teachers]
            if twice := sorted({name for name in teachers if teachers.count(name) > 1}):
                raise ValueError(
                    f"stage {stage.name!r} learns from {', '.join(twice)} twice: name a teacher "
                    "once, with its weight"
                )
            for loss in stage.distill.losses:
                for name in loss.teachers:
                    if name not in teachers:
                        raise ValueError(
                            f"loss {loss.name!r} of stage {stage.name!r} is about {name!r}, which "
                            f"does not teach it. {nearest(name, teachers)}"
                        )
            if stage.start is not None:
                if stage.start not in earlier:
                    known = nearest(stage.start, earlier) if earlier else "It has none before it"
                    raise ValueError(
                        f"stage {stage.name!r} starts from {stage.start!r}, "
                        f"which is no stage before it. {known}"
                    )
                if earlier[stage.start].model != stage.model:
                    raise ValueError(
                        f"stage {stage.name!r} starts from {stage.start!r}, whose model or options "
                        "are others: give both the same"
                    )
            earlier[stage.name] = stage
        return self

    @property
    def student(self) -> Stage:
        """The last stage."""
        return self.chain[-1]

    def same_as(self, other: Recipe) -> bool:
        """Whether two recipes say the same, whatever they say of themselves."""
        return self == other.model_copy(update={"about": self.about})

    def to_yaml(self) -> str:
        """The resolved recipe, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)
